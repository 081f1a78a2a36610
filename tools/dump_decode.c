/* What keys and values mean: control records, records of coordinators, metadata records. */
#include "metadata/kafka_records.h"
#include "proto/bigend.h"
#include "tools/dump.h"
#include "tools/meta_print.h"
#include "tools/utf8.h"
#include <inttypes.h>

/* ---- Control records ---- */

/* Kafka's numbers. */
enum {
    CONTROL_ABORT,
    CONTROL_COMMIT,
    CONTROL_LEADER_CHANGE,
    CONTROL_SNAPSHOT_HEADER,
    CONTROL_SNAPSHOT_FOOTER,
    CONTROL_KRAFT_VERSION,
    CONTROL_KRAFT_VOTERS
};

static void message_json(const char *name, struct slice value, struct arena *a, struct bytes *out)
{
    const struct proto_type *type = proto_type_find(SLICE(name));
    int16_t version = value.len >= 2 ? (int16_t)get_be16(value.p) : 0;
    void *message = type ? proto_new(type, a, 1) : NULL;

    if (!message || proto_decode(type, version, value, a, message))
        bytes_printf(out, "(not readable)");
    else
        proto_json(type, version, message, out);
}

void dump_control(struct slice key, struct slice value, struct arena *a, struct bytes *out)
{
    static const struct {
        const char *before, *message;
    } kinds[] = {
        [CONTROL_LEADER_CHANGE] = {" LeaderChange: ", "LeaderChangeMessage"},
        [CONTROL_SNAPSHOT_HEADER] = {" SnapshotHeader ", "SnapshotHeaderRecord"},
        [CONTROL_SNAPSHOT_FOOTER] = {" SnapshotFooter ", "SnapshotFooterRecord"},
        [CONTROL_KRAFT_VERSION] = {" KRaftVersion ", "KRaftVersionRecord"},
        [CONTROL_KRAFT_VOTERS] = {" KRaftVoters ", "VotersRecord"},
    };
    int kind = key.len == 4 ? get_be16(key.p + 2) : -1;

    if ((kind == CONTROL_ABORT || kind == CONTROL_COMMIT) && value.len >= 6) {
        bytes_printf(out, " endTxnMarker: %s coordinatorEpoch: %d",
                     kind == CONTROL_ABORT ? "ABORT" : "COMMIT", (int32_t)get_be32(value.p + 2));
    } else if (kind >= CONTROL_LEADER_CHANGE && kind <= CONTROL_KRAFT_VOTERS) {
        bytes_printf(out, "%s", kinds[kind].before);
        message_json(kinds[kind].message, value, a, out);
    } else {
        bytes_printf(out, " controlType: UNKNOWN(%d)", kind);
    }
}

/* ---- Metadata records ---- */

static void uuid_json(struct json *j, const char *name, struct uuid id)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_text(id, text);
    json_str(j, name, text);
}

static void ids_json(struct json *j, const char *name, struct ids ids)
{
    if (ids.n < 0)
        return; /* unchanged */
    json_open(j, name, '[');
    for (int i = 0; i < ids.n; i++)
        json_int(j, NULL, ids.v[i]);
    json_close(j, ']');
}

static void uuids_json(struct json *j, const char *name, struct uuids ids)
{
    if (ids.n < 0)
        return;
    json_open(j, name, '[');
    for (int i = 0; i < ids.n; i++)
        uuid_json(j, NULL, ids.v[i]);
    json_close(j, ']');
}

static void endpoints_json(struct json *j, const struct endpoint *v, int32_t n)
{
    json_open(j, "endPoints", '[');
    for (int i = 0; i < n; i++) {
        json_open(j, NULL, '{');
        json_text(j, "name", v[i].name);
        json_text(j, "host", v[i].host);
        json_int(j, "port", v[i].port);
        json_int(j, "securityProtocol", v[i].security_protocol);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void features_json(struct json *j, const struct feature_range *v, int32_t n)
{
    json_open(j, "features", '[');
    for (int i = 0; i < n; i++) {
        json_open(j, NULL, '{');
        json_text(j, "name", v[i].name);
        json_int(j, "minSupportedVersion", v[i].min);
        json_int(j, "maxSupportedVersion", v[i].max);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void broker_json(struct json *j, const struct record_register_broker *b)
{
    json_int(j, "brokerId", b->id);
    uuid_json(j, "incarnationId", b->incarnation);
    json_int(j, "brokerEpoch", b->epoch);
    endpoints_json(j, b->endpoints, b->n_endpoints);
    features_json(j, b->features, b->n_features);
    json_text(j, "rack", b->rack);
    json_bool(j, "fenced", b->fenced);
    json_bool(j, "inControlledShutdown", b->in_controlled_shutdown);
    uuids_json(j, "logDirs", b->dirs);
}

static void controller_json(struct json *j, const struct record_register_controller *c)
{
    json_int(j, "controllerId", c->id);
    uuid_json(j, "incarnationId", c->incarnation);
    json_bool(j, "zkMigrationReady", false);
    endpoints_json(j, c->endpoints, c->n_endpoints);
    features_json(j, c->features, c->n_features);
}

static void partition_json(struct json *j, const struct record_partition *p)
{
    json_int(j, "partitionId", p->index);
    uuid_json(j, "topicId", p->topic);
    ids_json(j, "replicas", p->replicas);
    ids_json(j, "isr", p->isr);
    ids_json(j, "removingReplicas", p->removing);
    ids_json(j, "addingReplicas", p->adding);
    json_int(j, "leader", p->leader);
    json_int(j, "leaderRecoveryState", p->recovering);
    json_int(j, "leaderEpoch", p->leader_epoch);
    json_int(j, "partitionEpoch", p->partition_epoch);
    uuids_json(j, "directories", p->dirs);
    ids_json(j, "eligibleLeaderReplicas", p->elr);
    ids_json(j, "lastKnownElr", p->last_elr);
}

static void partition_change_json(struct json *j, const struct record_partition_change *p)
{
    json_int(j, "partitionId", p->index);
    uuid_json(j, "topicId", p->topic);
    ids_json(j, "replicas", p->replicas);
    ids_json(j, "isr", p->isr);
    ids_json(j, "removingReplicas", p->removing);
    ids_json(j, "addingReplicas", p->adding);
    if (p->leader != LEADER_SAME)
        json_int(j, "leader", p->leader);
    if (p->recovering >= 0)
        json_int(j, "leaderRecoveryState", p->recovering);
    uuids_json(j, "directories", p->dirs);
    ids_json(j, "eligibleLeaderReplicas", p->elr);
    ids_json(j, "lastKnownElr", p->last_elr);
}

static void broker_change_json(struct json *j, const struct record_broker_change *b)
{
    json_int(j, "brokerId", b->id);
    json_int(j, "brokerEpoch", b->epoch);
    json_int(j, "fenced", b->fenced);
    json_int(j, "inControlledShutdown", b->in_controlled_shutdown);
    uuids_json(j, "logDirs", b->dirs);
}

static void config_json(struct json *j, const struct record_config *c)
{
    json_int(j, "resourceType", c->resource_type);
    json_text(j, "resourceName", c->resource);
    json_text(j, "name", c->name);
    json_text(j, "value", c->value);
}

static void data_json(struct json *j, const struct meta_record *r)
{
    switch (r->type) {
    case RECORD_REGISTER_BROKER:
        broker_json(j, &r->register_broker);
        break;
    case RECORD_UNREGISTER_BROKER:
        json_int(j, "brokerId", r->unregister_broker.id);
        json_int(j, "brokerEpoch", r->unregister_broker.epoch);
        break;
    case RECORD_TOPIC:
        json_text(j, "name", r->topic.name);
        uuid_json(j, "topicId", r->topic.id);
        break;
    case RECORD_PARTITION:
        partition_json(j, &r->partition);
        break;
    case RECORD_CONFIG:
        config_json(j, &r->config);
        break;
    case RECORD_PARTITION_CHANGE:
        partition_change_json(j, &r->partition_change);
        break;
    case RECORD_REMOVE_TOPIC:
        uuid_json(j, "topicId", r->remove_topic.id);
        break;
    case RECORD_FEATURE:
        json_text(j, "name", r->feature.name);
        json_int(j, "featureLevel", r->feature.level);
        break;
    case RECORD_PRODUCER_IDS:
        json_int(j, "brokerId", r->producer_ids.broker_id);
        json_int(j, "brokerEpoch", r->producer_ids.broker_epoch);
        json_int(j, "nextProducerId", r->producer_ids.next);
        break;
    case RECORD_BROKER_CHANGE:
        broker_change_json(j, &r->broker_change);
        break;
    case RECORD_CLUSTER:
        json_text(j, "clusterId", r->cluster.id);
        break;
    case RECORD_REGISTER_CONTROLLER:
        controller_json(j, &r->register_controller);
        break;
    case RECORD_CLEAR_ELR:
        json_text(j, "topicName", r->clear_elr.topic);
        if (r->clear_elr.leaderless_stay)
            json_bool(j, "leaderlessStay", true);
        break;
    case RECORD_BEGIN_TRANSACTION:
        json_text(j, "name", r->begin_transaction.name);
        break;
    case RECORD_ABORT_TRANSACTION:
        json_text(j, "reason", r->abort_transaction.reason);
        break;
    case RECORD_REQUEST_DONE:
        meta_json_request_done(j, &r->request_done);
        break;
    case RECORD_REQUESTS_FORGET:
        json_int(j, "dueMs", r->requests_forget.due_ms);
        uuid_json(j, "lastRequestId", r->requests_forget.last);
        json_bool(j, "answersOnly", r->requests_forget.answers_only);
        break;
    case RECORD_END_TRANSACTION:
    case RECORD_NO_OP:
        break;
    }
}

void dump_record_data(const struct meta_record *r, struct bytes *out)
{
    struct json j = {.out = out};

    json_open(&j, NULL, '{');
    data_json(&j, r);
    json_close(&j, '}');
}

void dump_metadata(struct arena *a, struct slice value, struct bytes *out)
{
    struct kafka_record k;
    struct meta_record r;
    bool kafkas = kafka_record_is(value);
    enum err err = kafkas ? kafka_record_decode(value, a, &k) : record_decode(value, a, &r);

    if (err) {
        bytes_printf(out, "(not readable: %s)", err_text(err));
        return;
    }
    bytes_printf(out, "{\"type\":\"");
    if (kafkas) {
        kafka_record_name(&k, out);
        bytes_printf(out, "\",\"version\":%d,\"data\":", k.version);
        proto_json(k.type, k.version, k.msg, out);
    } else {
        bytes_printf(out, "%s_RECORD\",\"data\":", record_name(r.type));
        dump_record_data(&r, out);
    }
    bytes_printf(out, "}");
}

/* ---- Records of coordinators ---- */

static void coordinator_payload(struct dump *d, const char *topic, const struct record *r, struct bytes *out)
{
    const struct proto_record *kind;
    struct arena *a = &d->arena;
    void *key, *value;

    if (proto_record_type(SLICE(topic), r->key, &kind)) {
        bytes_printf(out, " key: (a type that isn't known)");
        return;
    }
    key = proto_new(kind->key, a, 1);
    value = proto_new(kind->value, a, 1);
    if (proto_record_key_read(kind, r->key, a, key)) {
        bytes_printf(out, " key: (not readable)");
        return;
    }
    bytes_printf(out, " key: {\"type\":\"%d\",\"data\":", kind->type);
    proto_json(kind->key, 0, key, out);
    bytes_printf(out, "} payload: ");
    if (!r->value.p) {
        bytes_printf(out, "<DELETE>");
    } else if (r->value.len < 2 || proto_record_value_read(kind, r->value, a, value)) {
        bytes_printf(out, "(not readable)");
    } else {
        bytes_printf(out, "{\"version\":\"%d\",\"data\":", get_be16(r->value.p));
        proto_json(kind->value, get_be16(r->value.p), value, out);
        bytes_printf(out, "}");
    }
}

static void text_add(struct bytes *out, const char *label, struct slice text)
{
    bytes_printf(out, "%s", label);
    utf8_add(out, text);
}

void dump_payload(struct dump *d, const struct record *r, struct bytes *out)
{
    switch (d->decoder) {
    case DUMP_STRINGS:
        if (r->key.p)
            text_add(out, " key: ", r->key);
        if (r->value.p)
            text_add(out, " payload: ", r->value);
        break;
    case DUMP_METADATA:
        bytes_printf(out, " payload: ");
        dump_metadata(&d->arena, r->value, out);
        break;
    case DUMP_OFFSETS:
        coordinator_payload(d, "__consumer_offsets", r, out);
        break;
    case DUMP_TRANSACTIONS:
        coordinator_payload(d, "__transaction_state", r, out);
        break;
    case DUMP_SHARE:
        coordinator_payload(d, "__share_group_state", r, out);
        break;
    }
}
