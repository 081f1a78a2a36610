#include "metadata/kafka_records.h"
#include "base/check.h"
#include "proto/varint.h"
#include "proto_gen.h"
#include <stdlib.h>

/* ---- reading ---- */

static bool head_read(struct slice value, uint64_t head[3], size_t *used)
{
    const uint8_t *p = value.p, *end = value.p + value.len;

    for (int i = 0; i < 3; i++)
        if (!varint64_read(&p, end, &head[i]))
            return false;
    *used = (size_t)(p - value.p);
    return true;
}

bool kafka_record_is(struct slice value)
{
    uint64_t head[3];
    size_t used;

    return head_read(value, head, &used) && head[2] <= KAFKA_RECORD_VERSION_MAX;
}

enum err kafka_record_decode(struct slice value, struct arena *a, struct kafka_record *out)
{
    uint64_t head[3]; /* frame, type, version */
    size_t used;
    void *msg;

    if (!head_read(value, head, &used))
        return E_MALFORMED;
    *out = (struct kafka_record){.version = (int16_t)head[2]};
    for (int i = 0; i < proto_metadata_n && head[0] == RECORD_FRAME; i++) {
        if (proto_metadata[i].key == (int64_t)head[1]) {
            out->key = proto_metadata[i].key;
            out->type = proto_metadata[i].type;
        }
    }
    if (!out->type || head[2] > KAFKA_RECORD_VERSION_MAX)
        return E_UNSUPPORTED_VERSION;
    msg = proto_new(out->type, a, 1);
    if (!msg)
        return E_NOMEM;
    out->msg = msg;
    return proto_decode(out->type, out->version, slice_of(value.p + used, value.len - used), a, msg);
}

void kafka_record_name(const struct kafka_record *r, struct bytes *out)
{
    for (const char *c = r->type->name; *c; c++) {
        bool upper = *c >= 'A' && *c <= 'Z';
        char up = (char)(upper ? *c : *c - 'a' + 'A');

        if (upper && c != r->type->name)
            bytes_add(out, "_", 1);
        bytes_add(out, &up, 1);
    }
}

/* ---- as ours ---- */

#define IDS(list)         ((struct ids){.v = (list).v, .n = (list).n > 0 ? (list).n : 0})
#define IDS_MAYBE(list)   ((struct ids){.v = (list).v, .n = (list).n})
#define UUIDS(list)       ((struct uuids){.v = (list).v, .n = (list).n > 0 ? (list).n : 0})
#define UUIDS_MAYBE(list) ((struct uuids){.v = (list).v, .n = (list).n})

/* Before directories were recorded, or where a record leaves them out: Kafka's DirectoryId.MIGRATING, all zeros. */
static struct uuids dirs_of(struct uuids dirs, int32_t replicas, struct arena *a)
{
    struct uuid *v;

    if (dirs.n > 0)
        return dirs;
    v = arena_alloc(a, (size_t)replicas * sizeof(*v));
    return (struct uuids){.v = v, .n = v ? replicas : 0};
}

/* Kafka keeps endpoints and feature ranges in hash maps, so they come in any order; in ours they have one. */
static int endpoint_order(const void *a, const void *b)
{
    return slice_cmp(((const struct endpoint *)a)->name, ((const struct endpoint *)b)->name);
}

static int feature_order(const void *a, const void *b)
{
    return slice_cmp(((const struct feature_range *)a)->name, ((const struct feature_range *)b)->name);
}

/* Brokers and controllers have structs of the same shape for both. */
#define SORTED_ENDPOINTS(a, list, out)                                                                       \
    struct endpoint *out = arena_alloc(a, (size_t)(list).n * sizeof(*out));                                  \
    for (int k = 0; k < (list).n; k++)                                                                       \
        out[k] = (struct endpoint){.name = (list).v[k].name,                                                 \
                                   .host = (list).v[k].host,                                                 \
                                   .port = (list).v[k].port,                                                 \
                                   .security_protocol = (list).v[k].security_protocol};                      \
    qsort(out, (size_t)(list).n, sizeof(*out), endpoint_order)
#define SORTED_FEATURES(a, list, out)                                                                        \
    struct feature_range *out = arena_alloc(a, (size_t)(list).n * sizeof(*out));                             \
    for (int k = 0; k < (list).n; k++)                                                                       \
        out[k] = (struct feature_range){.name = (list).v[k].name,                                            \
                                        .min = (list).v[k].min_supported_version,                            \
                                        .max = (list).v[k].max_supported_version};                           \
    qsort(out, (size_t)(list).n, sizeof(*out), feature_order)

static void of_register_broker(const struct RegisterBrokerRecord *m, struct meta_record *r, struct arena *a)
{
    SORTED_ENDPOINTS(a, m->end_points, endpoints);
    SORTED_FEATURES(a, m->features, features);

    r->type = RECORD_REGISTER_BROKER;
    r->register_broker = (struct record_register_broker){.id = m->broker_id,
                                                         .incarnation = m->incarnation_id,
                                                         .epoch = m->broker_epoch,
                                                         .endpoints = endpoints,
                                                         .n_endpoints = m->end_points.n,
                                                         .features = features,
                                                         .n_features = m->features.n,
                                                         .rack = m->rack,
                                                         .fenced = m->fenced,
                                                         .in_controlled_shutdown = m->in_controlled_shutdown,
                                                         .dirs = UUIDS(m->log_dirs),
                                                         .cordoned = UUIDS(m->cordoned_log_dirs)};
}

static void of_register_controller(const struct RegisterControllerRecord *m, struct meta_record *r,
                                   struct arena *a)
{
    SORTED_ENDPOINTS(a, m->end_points, endpoints);
    SORTED_FEATURES(a, m->features, features);

    r->type = RECORD_REGISTER_CONTROLLER;
    r->register_controller = (struct record_register_controller){.id = m->controller_id,
                                                                 .incarnation = m->incarnation_id,
                                                                 .endpoints = endpoints,
                                                                 .n_endpoints = m->end_points.n,
                                                                 .features = features,
                                                                 .n_features = m->features.n};
}

static void of_partition(const struct PartitionRecord *m, struct meta_record *r, struct arena *a)
{
    r->type = RECORD_PARTITION;
    r->partition = (struct record_partition){.topic = m->topic_id,
                                             .index = m->partition_id,
                                             .leader = m->leader,
                                             .leader_epoch = m->leader_epoch,
                                             .partition_epoch = m->partition_epoch,
                                             .recovering = m->leader_recovery_state != 0,
                                             .replicas = IDS(m->replicas),
                                             .isr = IDS(m->isr),
                                             .removing = IDS(m->removing_replicas),
                                             .adding = IDS(m->adding_replicas),
                                             .elr = IDS(m->eligible_leader_replicas),
                                             .last_elr = IDS(m->last_known_elr),
                                             .dirs = dirs_of(UUIDS(m->directories), m->replicas.n, a)};
}

static void of_partition_change(const struct PartitionChangeRecord *m, struct meta_record *r, struct arena *a)
{
    r->type = RECORD_PARTITION_CHANGE;
    r->partition_change = (struct record_partition_change){.topic = m->topic_id,
                                                           .index = m->partition_id,
                                                           .leader = m->leader,
                                                           .recovering = m->leader_recovery_state,
                                                           .replicas = IDS_MAYBE(m->replicas),
                                                           .isr = IDS_MAYBE(m->isr),
                                                           .removing = IDS_MAYBE(m->removing_replicas),
                                                           .adding = IDS_MAYBE(m->adding_replicas),
                                                           .elr = IDS_MAYBE(m->eligible_leader_replicas),
                                                           .last_elr = IDS_MAYBE(m->last_known_elr),
                                                           .dirs = UUIDS_MAYBE(m->directories)};
    if (m->replicas.n >= 0 && m->directories.n < 0)
        r->partition_change.dirs = dirs_of((struct uuids){.n = -1}, m->replicas.n, a);
}

static void of_broker_change(const struct BrokerRegistrationChangeRecord *m, struct meta_record *r)
{
    r->type = RECORD_BROKER_CHANGE;
    r->broker_change =
        (struct record_broker_change){.id = m->broker_id,
                                      .epoch = m->broker_epoch,
                                      .fenced = m->fenced,
                                      .in_controlled_shutdown = m->in_controlled_shutdown,
                                      .dirs = m->log_dirs.n > 0 ? UUIDS(m->log_dirs) : UUIDS_SAME,
                                      .cordoned = UUIDS_MAYBE(m->cordoned_log_dirs)};
}

/* Before there were registration changes. */
static void of_fencing(int32_t id, int64_t epoch, int8_t fenced, struct meta_record *r)
{
    r->type = RECORD_BROKER_CHANGE;
    r->broker_change = (struct record_broker_change){
        .id = id, .epoch = epoch, .fenced = fenced, .dirs = UUIDS_SAME, .cordoned = UUIDS_SAME};
}

static void of_config(const struct ConfigRecord *m, struct meta_record *r)
{
    r->type = RECORD_CONFIG;
    r->config = (struct record_config){
        .resource_type = m->resource_type, .resource = m->resource_name, .name = m->name, .value = m->value};
}

static void of_producer_ids(const struct ProducerIdsRecord *m, struct meta_record *r)
{
    r->type = RECORD_PRODUCER_IDS;
    r->producer_ids = (struct record_producer_ids){
        .broker_id = m->broker_id, .broker_epoch = m->broker_epoch, .next = m->next_producer_id};
}

/* Records that stand for one of ours. false: another kind. */
static bool one_of_ours(const struct kafka_record *k, struct meta_record *r, struct arena *a)
{
    switch (k->key) {
    case METADATA_RegisterBrokerRecord:
        of_register_broker(k->msg, r, a);
        return true;
    case METADATA_UnregisterBrokerRecord: {
        const struct UnregisterBrokerRecord *m = k->msg;

        r->type = RECORD_UNREGISTER_BROKER;
        r->unregister_broker =
            (struct record_unregister_broker){.id = m->broker_id, .epoch = m->broker_epoch};
        return true;
    }
    case METADATA_TopicRecord: {
        const struct TopicRecord *m = k->msg;

        r->type = RECORD_TOPIC;
        r->topic = (struct record_topic){.name = m->name, .id = m->topic_id};
        return true;
    }
    case METADATA_PartitionRecord:
        of_partition(k->msg, r, a);
        return true;
    case METADATA_ConfigRecord:
        of_config(k->msg, r);
        return true;
    case METADATA_PartitionChangeRecord:
        of_partition_change(k->msg, r, a);
        return true;
    case METADATA_FenceBrokerRecord:
        of_fencing(((const struct FenceBrokerRecord *)k->msg)->id,
                   ((const struct FenceBrokerRecord *)k->msg)->epoch, 1, r);
        return true;
    case METADATA_UnfenceBrokerRecord:
        of_fencing(((const struct UnfenceBrokerRecord *)k->msg)->id,
                   ((const struct UnfenceBrokerRecord *)k->msg)->epoch, -1, r);
        return true;
    case METADATA_RemoveTopicRecord:
        r->type = RECORD_REMOVE_TOPIC;
        r->remove_topic.id = ((const struct RemoveTopicRecord *)k->msg)->topic_id;
        return true;
    case METADATA_FeatureLevelRecord: {
        const struct FeatureLevelRecord *m = k->msg;

        r->type = RECORD_FEATURE;
        r->feature = (struct record_feature){.name = m->name, .level = m->feature_level};
        return true;
    }
    case METADATA_ProducerIdsRecord:
        of_producer_ids(k->msg, r);
        return true;
    case METADATA_BrokerRegistrationChangeRecord:
        of_broker_change(k->msg, r);
        return true;
    case METADATA_RegisterControllerRecord:
        of_register_controller(k->msg, r, a);
        return true;
    case METADATA_ClearElrRecord:
        r->type = RECORD_CLEAR_ELR;
        r->clear_elr.topic = ((const struct ClearElrRecord *)k->msg)->topic_name;
        return true;
    default:
        return false;
    }
}

enum kafka_meaning kafka_record_ours(const struct kafka_record *k, struct arena *a, struct meta_record *out)
{
    memset(out, 0, sizeof(*out));
    switch (k->key) {
    case METADATA_BeginTransactionRecord:
        out->type = RECORD_BEGIN_TRANSACTION;
        out->begin_transaction.name = ((const struct BeginTransactionRecord *)k->msg)->name;
        return KAFKA_CHANGES;
    case METADATA_EndTransactionRecord:
        out->type = RECORD_END_TRANSACTION;
        return KAFKA_CHANGES;
    case METADATA_AbortTransactionRecord:
        out->type = RECORD_ABORT_TRANSACTION;
        out->abort_transaction.reason = ((const struct AbortTransactionRecord *)k->msg)->reason;
        return KAFKA_CHANGES;
    case METADATA_NoOpRecord:
        out->type = RECORD_NO_OP;
        return KAFKA_CHANGES;
    default:
        return one_of_ours(k, out, a) ? KAFKA_CHANGES : KAFKA_ELSEWHERE;
    }
}
