/* ListOffsets, OffsetForLeaderEpoch and DeleteRecords: each asks the DISK loops of its partitions once. */
#include "broker/api/handlers.h"
#include "broker/api/partition_call.h"
#include "broker/replica/manager.h"
#include "broker/replica/upkeep.h"
#include "proto_gen.h"

/* ---- ListOffsets ---- */

/* The timestamps that aren't times, and the first version that knows each. */
enum special {
    LATEST = -1,
    EARLIEST = -2,
    MAX_TIMESTAMP = -3,
    EARLIEST_LOCAL = -4,
    LATEST_TIERED = -5,
    EARLIEST_PENDING_UPLOAD = -6
};

struct list_part {
    struct scatter_item item;
    int64_t timestamp;
    int32_t current_leader_epoch;
    struct ListOffsetsResponse_ListOffsetsPartitionResponse *out;
};

static bool special_known(int64_t timestamp, int16_t version)
{
    switch (timestamp) {
    case MAX_TIMESTAMP:
        return version >= 7;
    case EARLIEST_LOCAL:
        return version >= 8;
    case LATEST_TIERED:
        return version >= 9;
    case EARLIEST_PENDING_UPLOAD:
        return version >= 11;
    default:
        return timestamp >= EARLIEST;
    }
}

static enum err list_one(struct partition *p, struct list_part *part, int16_t version)
{
    struct log_at at = {.offset = -1, .timestamp = -1, .leader_epoch = -1};
    enum err err = E_OK;

    switch (part->timestamp) {
    case LATEST:
        at.offset = p->hw;
        at.leader_epoch = p->leader_epoch;
        break;
    case EARLIEST:
    case EARLIEST_LOCAL:
        at.offset = log_start(p->log);
        at.leader_epoch =
            at.offset == log_end(p->log) ? p->leader_epoch : epochs_at(log_epochs(p->log), at.offset);
        break;
    case LATEST_TIERED:
    case EARLIEST_PENDING_UPLOAD:
        break; /* nothing is tiered */
    case MAX_TIMESTAMP:
        err = log_max_timestamp(p->log, p->hw, &at);
        break;
    default:
        err = log_offset_at_time(p->log, part->timestamp, p->hw, &at);
    }
    if (err)
        return err;
    part->out->offset = at.offset;
    part->out->timestamp = at.timestamp;
    if (version >= 4)
        part->out->leader_epoch = at.leader_epoch;
    return E_OK;
}

static void list_visit(struct lane *lane)
{
    for (struct scatter_item *it = lane->first; it; it = it->next) {
        struct list_part *part = container_of(it, struct list_part, item);
        struct partition *p;
        it->err = partition_find(lane->disk->partitions, &it->topic_id, it->partition, &p);
        if (!it->err)
            it->err = partition_epoch_check(p, part->current_leader_epoch);
        if (!it->err)
            it->err = list_one(p, part, lane->scatter->request->version);
    }
    lane_answer(lane);
}

static void list_done(struct scatter *s)
{
    scatter_each(it, s) container_of(it, struct list_part, item)->out->error_code = err_wire(it->err);
    request_reply(s->request);
}

/* Another place of the request that names the same partition; -1: none. */
static int32_t twin_of(const struct ListOffsetsRequest_ListOffsetsTopic *t, int32_t i)
{
    for (int32_t j = 0; j < t->partitions.n && j < NAMED_TWICE_MAX; j++)
        if (j != i && t->partitions.v[j].partition_index == t->partitions.v[i].partition_index)
            return j;
    return -1;
}

static void list_topic(struct request *r, struct scatter *s,
                       const struct ListOffsetsRequest_ListOffsetsTopic *in,
                       struct ListOffsetsResponse_ListOffsetsTopicResponse *out)
{
    int8_t isolation = ((const struct ListOffsetsRequest *)r->in)->isolation_level;
    struct list_part *parts = arena_alloc(&r->arena, (size_t)in->partitions.n * sizeof(*parts));

    out->name = in->name;
    PROTO_ARRAY_NEW(&r->arena, ListOffsetsResponse_ListOffsetsPartitionResponse, out->partitions,
                    in->partitions.n);
    out->partitions.n = 0;
    for (int32_t i = 0; i < in->partitions.n; i++) {
        struct list_part *p = &parts[i];
        int32_t twin = twin_of(in, i);
        enum err err;

        if (twin >= 0 && twin < i) /* Kafka refuses those partitions alone, and tells each once */
            continue;
        p->out = &out->partitions.v[out->partitions.n++];
        p->timestamp = in->partitions.v[i].timestamp;
        p->current_leader_epoch = in->partitions.v[i].current_leader_epoch;
        p->item.partition = p->out->partition_index = in->partitions.v[i].partition_index;
        err = partition_resolve(r, in->name, OP_DESCRIBE, &p->item);
        if (twin >= 0)
            err = E_INVALID_REQUEST;
        else if (!err && !special_known(p->timestamp, r->version))
            err = E_UNSUPPORTED_VERSION;
        else if (!err && (isolation < 0 || isolation > 1))
            err = E_UNKNOWN_SERVER_ERROR; /* Kafka's code for it */
        p->out->error_code = err_wire(err);
        if (!err)
            scatter_add(s, &p->item);
    }
}

void list_offsets(struct request *r)
{
    const struct ListOffsetsRequest *in = r->in;
    struct ListOffsetsResponse *out = r->out;
    struct scatter *s = scatter_new(r, list_visit, list_done);

    PROTO_ARRAY_NEW(&r->arena, ListOffsetsResponse_ListOffsetsTopicResponse, out->topics, in->topics.n);
    for (int32_t i = 0; i < in->topics.n; i++)
        list_topic(r, s, &in->topics.v[i], &out->topics.v[i]);
    scatter_go(s);
}

/* ---- OffsetForLeaderEpoch ---- */

struct epoch_part {
    struct scatter_item item;
    int32_t current_leader_epoch;
    int32_t leader_epoch;
    struct OffsetForLeaderEpochResponse_EpochEndOffset *out;
};

static void epoch_visit(struct lane *lane)
{
    for (struct scatter_item *it = lane->first; it; it = it->next) {
        struct epoch_part *part = container_of(it, struct epoch_part, item);
        struct partition *p;
        struct epoch_end end;
        it->err = partition_find(lane->disk->partitions, &it->topic_id, it->partition, &p);
        if (!it->err)
            it->err = partition_epoch_check(p, part->current_leader_epoch);
        if (it->err)
            continue;
        end = partition_epoch_end(p, part->leader_epoch);
        part->out->leader_epoch = end.epoch;
        part->out->end_offset = end.end;
    }
    lane_answer(lane);
}

static void epoch_done(struct scatter *s)
{
    scatter_each(it, s) container_of(it, struct epoch_part, item)->out->error_code = err_wire(it->err);
    request_reply(s->request);
}

static void epoch_topic(struct request *r, struct scatter *s,
                        const struct OffsetForLeaderEpochRequest_OffsetForLeaderTopic *in,
                        struct OffsetForLeaderEpochResponse_OffsetForLeaderTopicResult *out)
{
    struct epoch_part *parts = arena_alloc(&r->arena, (size_t)in->partitions.n * sizeof(*parts));

    out->topic = in->topic;
    PROTO_ARRAY_NEW(&r->arena, OffsetForLeaderEpochResponse_EpochEndOffset, out->partitions,
                    in->partitions.n);
    for (int32_t i = 0; i < in->partitions.n; i++) {
        struct epoch_part *p = &parts[i];
        enum err err;
        p->out = &out->partitions.v[i];
        p->current_leader_epoch = in->partitions.v[i].current_leader_epoch;
        p->leader_epoch = in->partitions.v[i].leader_epoch;
        p->item.partition = p->out->partition = in->partitions.v[i].partition;
        err = partition_resolve(r, in->topic, OP_DESCRIBE, &p->item);
        p->out->error_code = err_wire(err);
        if (!err)
            scatter_add(s, &p->item);
    }
}

void offset_for_leader_epoch(struct request *r)
{
    const struct OffsetForLeaderEpochRequest *in = r->in;
    struct OffsetForLeaderEpochResponse *out = r->out;
    struct scatter *s = scatter_new(r, epoch_visit, epoch_done);

    PROTO_ARRAY_NEW(&r->arena, OffsetForLeaderEpochResponse_OffsetForLeaderTopicResult, out->topics,
                    in->topics.n);
    for (int32_t i = 0; i < in->topics.n; i++)
        epoch_topic(r, s, &in->topics.v[i], &out->topics.v[i]);
    scatter_go(s);
}

/* ---- DeleteRecords ---- */

struct delete_part {
    struct scatter_item item;
    int64_t offset; /* -1: the high watermark */
    struct DeleteRecordsResponse_DeleteRecordsPartitionResult *out;
};

static enum err delete_one(struct partitions *ps, struct delete_part *part)
{
    struct partition *p;
    enum err err = partition_find(ps, &part->item.topic_id, part->item.partition, &p);
    int removed;

    if (err)
        return err;
    if (!log_settings(p->log)->cleanup_delete)
        return E_POLICY_VIOLATION;
    if (part->offset < -1)
        return E_OFFSET_OUT_OF_RANGE;
    err = log_start_set(p->log, part->offset == -1 ? p->hw : part->offset, p->hw);
    if (err)
        return err;
    ps->moved = true;
    part->out->low_watermark = log_start(p->log);
    err = log_retain(p->log, io_wall_ms(ps->io), p->hw, &removed);
    upkeep_files(ps);
    return err;
}

static void delete_visit(struct lane *lane)
{
    for (struct scatter_item *it = lane->first; it; it = it->next)
        it->err = delete_one(lane->disk->partitions, container_of(it, struct delete_part, item));
    lane_answer(lane);
}

static void delete_done(struct scatter *s)
{
    scatter_each(it, s)
    {
        struct delete_part *part = container_of(it, struct delete_part, item);
        part->out->error_code = err_wire(it->err);
        if (it->err)
            part->out->low_watermark = -1;
    }
    request_reply(s->request);
}

static void delete_topic(struct request *r, struct scatter *s,
                         const struct DeleteRecordsRequest_DeleteRecordsTopic *in,
                         struct DeleteRecordsResponse_DeleteRecordsTopicResult *out)
{
    struct delete_part *parts = arena_alloc(&r->arena, (size_t)in->partitions.n * sizeof(*parts));

    out->name = in->name;
    PROTO_ARRAY_NEW(&r->arena, DeleteRecordsResponse_DeleteRecordsPartitionResult, out->partitions,
                    in->partitions.n);
    for (int32_t i = 0; i < in->partitions.n; i++) {
        struct delete_part *p = &parts[i];
        enum err err;
        p->out = &out->partitions.v[i];
        p->out->low_watermark = -1;
        p->offset = in->partitions.v[i].offset;
        p->item.partition = p->out->partition_index = in->partitions.v[i].partition_index;
        err = partition_resolve(r, in->name, OP_DELETE, &p->item);
        if (!err && topic_is_internal(in->name))
            err = E_INVALID_TOPIC_EXCEPTION;
        p->out->error_code = err_wire(err);
        if (!err)
            scatter_add(s, &p->item);
    }
}

void delete_records(struct request *r)
{
    const struct DeleteRecordsRequest *in = r->in;
    struct DeleteRecordsResponse *out = r->out;
    struct scatter *s = scatter_new(r, delete_visit, delete_done);

    PROTO_ARRAY_NEW(&r->arena, DeleteRecordsResponse_DeleteRecordsTopicResult, out->topics, in->topics.n);
    for (int32_t i = 0; i < in->topics.n; i++)
        delete_topic(r, s, &in->topics.v[i], &out->topics.v[i]);
    scatter_go(s);
}
