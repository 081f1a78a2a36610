/* Fetch of the metadata log, on the controller's listener: for brokers, and controllers that don't vote. Any voter answers,
 * with what it knows to have committed; who leads is in every answer. link/followers.h has the waiting. */
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/link/followers.h"
#include "broker/link/metadata_log.h"
#include "broker/link/raft_link.h"
#include "proto_gen.h"

struct metadata_fetch {
    struct follower_fetch fetch;
    struct request *r;
    const struct FetchRequest_FetchPartition *asked;
    struct FetchResponse_PartitionData *out;
};

static bool is_metadata(const struct request *r, const struct FetchRequest_FetchTopic *t)
{
    const struct uuid id = METADATA_TOPIC_ID;

    return r->version >= 13 ? uuid_eq(t->topic_id, id) : slice_eq(t->topic, SLICE(METADATA_TOPIC));
}

static enum err whole_check(const struct request *r)
{
    const struct FetchRequest *in = r->in;

    if (!authorize(r, OP_CLUSTER_ACTION, RES_CLUSTER, CLUSTER_NAME))
        return E_CLUSTER_AUTHORIZATION_FAILED;
    if (in->cluster_id.p && !slice_eq(in->cluster_id, SLICE(r->net->node->cluster_id)))
        return E_INCONSISTENT_CLUSTER_ID;
    return in->topics.n == 1 && in->topics.v[0].partitions.n == 1 ? E_OK : E_INVALID_REQUEST;
}

static void endpoint_tell(struct request *r, int32_t leader)
{
    const struct node *node = r->net->node;
    struct FetchResponse *out = r->out;
    struct slice host = {0};
    uint16_t port = 0;

    if (r->version < 16 || leader < 0 || !node->raft_link ||
        !raft_link_where(node->raft_link, leader, &host, &port))
        return;
    PROTO_ARRAY_NEW(&r->arena, FetchResponse_NodeEndpoint, out->node_endpoints, 1);
    out->node_endpoints.v[0].node_id = leader;
    out->node_endpoints.v[0].host = arena_copy(&r->arena, host);
    out->node_endpoints.v[0].port = port;
}

static void fetch_answered(struct follower_fetch *x)
{
    struct metadata_fetch *f = container_of(x, struct metadata_fetch, fetch);
    struct FetchResponse_PartitionData *out = f->out;
    struct quorum_read *read = &x->read;

    out->error_code = err_wire(x->err);
    out->current_leader.leader_id = x->leader;
    out->current_leader.leader_epoch = x->epoch;
    endpoint_tell(f->r, x->leader);
    if (!x->err) {
        out->high_watermark = out->last_stable_offset = read->committed;
        out->log_start_offset = read->log_start;
    }
    if (!x->err && x->begins_later) {
        out->snapshot_id.end_offset = read->newest.offset;
        out->snapshot_id.epoch = read->newest.epoch;
    } else if (!x->err && read->diverges) {
        out->diverging_epoch.epoch = read->ours_epoch;
        out->diverging_epoch.end_offset = read->ours_end;
    } else if (!x->err && read->range.len > 0) {
        struct part part = {.file = read->range.file, .at = read->range.at, .len = read->range.len};

        out->records = request_range(f->r, &part); /* has the reference now */
        read->range = (struct log_range){0};
    }
    log_range_drop(&read->range);
    request_reply(f->r);
}

static void fetch_begin(struct metadata_fetch *f)
{
    const struct FetchRequest *in = f->r->in;
    int32_t max = f->asked->partition_max_bytes;

    if (in->max_bytes < max)
        max = in->max_bytes;
    f->fetch = (struct follower_fetch){
        .node = f->r->net->node,
        .back = f->r->net->loop,
        .replica = f->r->version >= 15 ? in->replica_state.replica_id : in->replica_id,
        .directory = f->asked->replica_directory_id,
        .offset = f->asked->fetch_offset,
        .last_epoch = f->asked->last_fetched_epoch,
        .leader_epoch = f->asked->current_leader_epoch,
        .wait_ms = in->max_wait_ms,
        .max_bytes = max < 1                      ? 1
                     : max < METADATA_FETCH_BYTES ? (size_t)max
                                                  : METADATA_FETCH_BYTES,
        .done = fetch_answered,
    };
    followers_fetch(&f->fetch);
}

void fetch_metadata(struct request *r)
{
    const struct FetchRequest *in = r->in;
    struct FetchResponse *out = r->out;
    struct metadata_fetch *f = arena_alloc(&r->arena, sizeof(*f));
    enum err err = whole_check(r);

    out->error_code = err_wire(err);
    if (err) {
        request_reply(r);
        return;
    }
    f->r = r;
    f->asked = &in->topics.v[0].partitions.v[0];
    PROTO_ARRAY_NEW(&r->arena, FetchResponse_FetchableTopicResponse, out->responses, 1);
    out->responses.v[0].topic = in->topics.v[0].topic;
    out->responses.v[0].topic_id = in->topics.v[0].topic_id;
    PROTO_ARRAY_NEW(&r->arena, FetchResponse_PartitionData, out->responses.v[0].partitions, 1);
    f->out = &out->responses.v[0].partitions.v[0];
    f->out->partition_index = f->asked->partition;
    f->out->high_watermark = -1;
    f->out->records = slice_of("", 0);
    if (is_metadata(r, &in->topics.v[0]) && f->asked->partition == 0 && f->asked->fetch_offset >= 0) {
        fetch_begin(f);
        return;
    }
    f->out->error_code = err_wire(f->asked->fetch_offset < 0 ? E_OFFSET_OUT_OF_RANGE
                                  : r->version >= 13         ? E_UNKNOWN_TOPIC_ID
                                                             : E_UNKNOWN_TOPIC_OR_PARTITION);
    request_reply(r);
}
