#include "broker/link/piece.h"
#include "broker/link/metadata_log.h"
#include "proto_gen.h"

const struct FetchSnapshotRequest *piece_request(struct arena *a, const struct node *node,
                                                 const struct uuid *directory_id, struct quorum_checkpoint id,
                                                 int64_t at)
{
    struct FetchSnapshotRequest *in = proto_new(&FetchSnapshotRequest_type, a, 1);
    struct FetchSnapshotRequest_PartitionSnapshot *p;

    in->cluster_id = SLICE(node->cluster_id);
    in->replica_id = node->id;
    in->max_bytes = (int32_t)config_int(node->config, C_controller_quorum_fetch_snapshot_max_bytes);
    PROTO_ARRAY_NEW(a, FetchSnapshotRequest_TopicSnapshot, in->topics, 1);
    in->topics.v[0].name = SLICE(METADATA_TOPIC);
    PROTO_ARRAY_NEW(a, FetchSnapshotRequest_PartitionSnapshot, in->topics.v[0].partitions, 1);
    p = &in->topics.v[0].partitions.v[0];
    p->current_leader_epoch = -1;
    p->snapshot_id.end_offset = id.offset;
    p->snapshot_id.epoch = id.epoch;
    p->position = at;
    p->replica_directory_id = *directory_id;
    return in;
}

enum err piece_read(const struct FetchSnapshotResponse *out, struct quorum_checkpoint id, int64_t at,
                    int64_t *size, struct slice *piece)
{
    const struct FetchSnapshotResponse_PartitionSnapshot *p;

    if (out->error_code)
        return err_of_wire(out->error_code);
    if (out->topics.n != 1 || out->topics.v[0].partitions.n != 1)
        return E_MALFORMED;
    p = &out->topics.v[0].partitions.v[0];
    if (p->error_code)
        return err_of_wire(p->error_code);
    if (p->snapshot_id.end_offset != id.offset || p->snapshot_id.epoch != id.epoch || p->position != at)
        return E_MALFORMED;
    *size = p->size;
    *piece = p->unaligned_records;
    return E_OK;
}
