/* Produce: a batch is checked where it was received, on the NET loop, and appended on the DISK loop of its
 * partition. acks=1 and acks=all are the same while a partition has one replica; with log.durable the answer waits for the
 * flush that the loop's other appends share. */
#include "base/check.h"
#include "base/trace.h"
#include "broker/api/handlers.h"
#include "broker/api/partition_call.h"
#include "broker/api/topic_rules.h"
#include "broker/replica/manager.h"
#include "proto/recompress.h"
#include "proto_gen.h"

enum { RECOMPRESS_ROOM = 128 << 20 }; /* how far a batch may swell on its way into another codec */

struct produce_part {
    struct scatter_item item;
    const struct topic_rules *rules; /* the NET loop's: not for the DISK loop, nor after a wait */
    bool append_time;
    struct ProduceResponse_PartitionProduceResponse *out;
    struct slice batch; /* checked, perhaps recompressed */
    struct slice topic;
    int64_t last_offset;
    bool wait; /* for the flush of this turn */
};

struct produce {
    const struct ProduceRequest *in;
    int64_t now_ms;
    int32_t node_id;
    enum err refused; /* all of it */
    bool failed;
};

static void faults_tell(struct request *r, const struct batch_rules *rules,
                        const struct batch_checked *checked,
                        struct ProduceResponse_PartitionProduceResponse *out)
{
    int n = checked->faults_n < BATCH_FAULTS_MAX ? checked->faults_n : BATCH_FAULTS_MAX;

    PROTO_ARRAY_NEW(&r->arena, ProduceResponse_BatchIndexAndErrorMessage, out->record_errors, n);
    for (int i = 0; i < n; i++) {
        struct bytes text;
        bytes_init(&text, r->arena.heap);
        batch_fault_text(rules, &checked->faults[i], &text);
        out->record_errors.v[i].batch_index = checked->faults[i].index;
        out->record_errors.v[i].batch_index_error_message = arena_copy(&r->arena, bytes_slice(&text));
        bytes_drop(&text);
    }
    if (n > 0)
        out->error_message = SLICE("One or more records have been rejected");
    else if (checked->why)
        out->error_message = SLICE(checked->why);
}

static enum err batch_ready(struct request *r, struct produce_part *p, struct slice records, int64_t now_ms)
{
    const struct log_config *log = &p->rules->log;
    struct batch_rules rules = {.produce_version = r->version,
                                .compacted = log->cleanup_compact,
                                .append_time = log->append_time,
                                .recompress = log->recompress,
                                .codec = log->codec,
                                .max_message_bytes = log->max_message_bytes,
                                .before_max_ms = log->timestamp_before_max_ms,
                                .after_max_ms = log->timestamp_after_max_ms,
                                .now_ms = now_ms};
    struct batch_checked checked;
    struct bytes other;
    enum err err;

    err = batch_check(&rules, r->net->codecs, records, &checked);
    if (err) {
        faults_tell(r, &rules, &checked, p->out);
        return err;
    }
    if (checked.batch.attributes & BATCH_TRANSACTIONAL) {
        p->out->error_message = SLICE("Transactions have no coordinator yet");
        return E_NOT_ENOUGH_REPLICAS; /* Kafka's code where it can't verify one */
    }
    p->batch = slice_of(checked.batch.p, checked.batch.len);
    if (!checked.recompress)
        return E_OK;
    bytes_init(&other, r->arena.heap);
    err = batch_recompress(r->net->codecs, &checked.batch, log->codec, log->codec_level, RECOMPRESS_ROOM,
                           &other);
    if (!err && other.len > (size_t)log->max_message_bytes)
        err = E_MESSAGE_TOO_LARGE;
    if (!err)
        p->batch = arena_copy(&r->arena, bytes_slice(&other));
    bytes_drop(&other);
    return err;
}

static enum err part_prepare(struct request *r, struct produce *s, const struct image_topic *topic,
                             struct produce_part *p, struct slice records)
{
    const struct image_partition *ip = topic ? image_partition(topic, p->item.partition) : NULL;
    enum err err;

    if (!topic)
        return r->version >= 13 ? E_UNKNOWN_TOPIC_ID : E_UNKNOWN_TOPIC_OR_PARTITION;
    p->topic = topic->name;
    if (!authorize(r, OP_WRITE, RES_TOPIC, topic->name))
        return E_TOPIC_AUTHORIZATION_FAILED;
    if (!ip)
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    if (topic_is_internal(topic->name) && !slice_eq(r->client_id, SLICE("__admin_client")))
        return E_INVALID_TOPIC_EXCEPTION;
    if (s->in->acks < -1 || s->in->acks > 1)
        return E_INVALID_REQUIRED_ACKS;
    err = partition_led(ip, s->node_id);
    if (err) {
        if (r->version >= 10) {
            p->out->current_leader.leader_id = ip->leader;
            p->out->current_leader.leader_epoch = ip->leader_epoch;
        }
        return err;
    }
    if (ip->n_replicas > 1)
        return E_NOT_ENOUGH_REPLICAS; /* until data is replicated, one copy is never taken for several */
    scatter_aim(&p->item, topic);
    p->rules = topic_rules_get(r->net->rules, r->net, topic);
    p->append_time = p->rules->log.append_time;
    return batch_ready(r, p, records, s->now_ms);
}

static void part_fail(struct produce *s, struct produce_part *p, enum err err)
{
    p->out->error_code = err_wire(err);
    p->out->base_offset = -1;
    p->out->log_append_time_ms = -1;
    s->failed = true;
}

/* ---- on the DISK loop ---- */

static void part_append(struct partitions *ps, struct produce *s, struct produce_part *part)
{
    struct log_append a = {.bytes = part->batch, .origin = LOG_FROM_CLIENT, .now_ms = s->now_ms};
    struct partition *p;
    enum err err = partition_find(ps, &part->item.topic_id, part->item.partition, &p);

    if (!err) {
        a.leader_epoch = p->leader_epoch;
        err = partition_append(ps, p, &a, &part->wait);
    }
    part->item.err = err;
    if (err)
        return;
    part->last_offset = a.last_offset;
    part->out->base_offset = a.base_offset;
    part->out->log_append_time_ms = part->append_time ? a.max_timestamp : -1;
    part->out->log_start_offset = log_start(p->log);
}

/* The flush is over: did it get as far as this request's batches? */
static void produce_committed(struct lane *lane)
{
    struct partitions *ps = lane->disk->partitions;

    for (struct scatter_item *it = lane->first; it; it = it->next) {
        struct produce_part *part = container_of(it, struct produce_part, item);
        struct partition *p;
        if (it->err || !part->wait)
            continue;
        p = partition_loaded(ps, &it->topic_id, it->partition);
        if (!p)
            it->err = E_UNKNOWN_TOPIC_OR_PARTITION;
        else if (log_synced(p->log) <= part->last_offset)
            it->err = E_KAFKA_STORAGE_ERROR;
    }
    lane_answer(lane);
}

static void produce_visit(struct lane *lane)
{
    struct partitions *ps = lane->disk->partitions;
    bool wait = false;

    for (struct scatter_item *it = lane->first; it; it = it->next) {
        struct produce_part *part = container_of(it, struct produce_part, item);
        part_append(ps, lane->scatter->state, part);
        wait |= part->wait;
    }
    if (wait)
        partitions_commit(ps, lane, produce_committed);
    else
        lane_answer(lane);
}

/* ---- back on the NET loop ---- */

static void produce_done(struct scatter *sc)
{
    struct request *r = sc->request;
    struct produce *s = sc->state;

    for (int i = 0; i < sc->n_lanes; i++)
        for (struct scatter_item *it = sc->lanes[i].first; it; it = it->next)
            if (it->err)
                part_fail(s, container_of(it, struct produce_part, item), it->err);
    if (s->in->acks != 0)
        request_reply(r);
    else if (s->failed)
        request_abort(r);
    else
        request_skip(r);
}

/* Some batch belongs to a transaction. */
static bool has_transactional(const struct ProduceRequest *in)
{
    for (int32_t i = 0; i < in->topic_data.n; i++)
        for (int32_t j = 0; j < in->topic_data.v[i].partition_data.n; j++) {
            struct batch_view v;
            if (batch_head(in->topic_data.v[i].partition_data.v[j].records, &v) == E_OK &&
                v.attributes & BATCH_TRANSACTIONAL)
                return true;
        }
    return false;
}

static void topic_prepare(struct request *r, struct scatter *sc,
                          const struct ProduceRequest_TopicProduceData *in,
                          struct ProduceResponse_TopicProduceResponse *out)
{
    struct produce *s = sc->state;
    const struct image_topic *topic = r->version >= 13 ? image_topic_by_id(r->net->image, in->topic_id)
                                                       : image_topic_by_name(r->net->image, in->name);
    struct produce_part *parts = arena_alloc(&r->arena, (size_t)in->partition_data.n * sizeof(*parts));

    out->name = in->name;
    out->topic_id = in->topic_id;
    PROTO_ARRAY_NEW(&r->arena, ProduceResponse_PartitionProduceResponse, out->partition_responses,
                    in->partition_data.n);
    for (int32_t i = 0; i < in->partition_data.n; i++) {
        struct produce_part *p = &parts[i];
        enum err err;
        p->out = &out->partition_responses.v[i];
        p->out->index = p->item.partition = in->partition_data.v[i].index;
        err = s->refused ? s->refused : part_prepare(r, s, topic, p, in->partition_data.v[i].records);
        if (err)
            part_fail(s, p, err);
        else
            scatter_add(sc, &p->item);
    }
}

void produce(struct request *r)
{
    const struct ProduceRequest *in = r->in;
    struct ProduceResponse *out = r->out;
    struct scatter *sc = scatter_new(r, produce_visit, produce_done);
    struct produce *s = arena_alloc(&r->arena, sizeof(*s));

    s->in = in;
    s->now_ms = io_wall_ms(r->net->node->io);
    s->node_id = r->net->node->id;
    sc->state = s;
    if (!in->transactional_id.p && has_transactional(in))
        s->refused = E_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    PROTO_ARRAY_NEW(&r->arena, ProduceResponse_TopicProduceResponse, out->responses, in->topic_data.n);
    out->responses.n = 0;
    for (int32_t i = 0; i < in->topic_data.n; i++)
        if (in->topic_data.v[i].partition_data.n > 0) /* of others Kafka says nothing */
            topic_prepare(r, sc, &in->topic_data.v[i], &out->responses.v[out->responses.n++]);
    scatter_go(sc);
}
