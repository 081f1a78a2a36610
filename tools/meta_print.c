#include "tools/meta_print.h"
#include "metadata/states.h"
#include "proto/wire.h"
#include "tools/meta_words.h"
#include <inttypes.h>

#define TEXT(s) (int)(s).len, (const char *)(s).p

/* ---- JSON ---- */

static void json_uuid(struct json *j, const char *name, struct uuid id)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_text(id, text);
    json_str(j, name, text);
}

static void json_ids(struct json *j, const char *name, struct ids ids)
{
    json_open(j, name, '[');
    for (int i = 0; i < ids.n; i++)
        json_int(j, NULL, ids.v[i]);
    json_close(j, ']');
}

static void json_uuids(struct json *j, const char *name, struct uuids ids)
{
    json_open(j, name, '[');
    for (int i = 0; i < ids.n; i++) {
        struct uuid id;

        memcpy(&id, ids.v + i, sizeof(id)); /* packed behind other things */
        json_uuid(j, NULL, id);
    }
    json_close(j, ']');
}

void meta_json_feature(struct json *j, const char *name, const struct image_feature *f)
{
    json_open(j, name, '{');
    json_text(j, "name", f->name);
    json_int(j, "level", f->level);
    json_close(j, '}');
}

void meta_json_request_done(struct json *j, const struct record_request_done *d)
{
    const struct proto_api *api = proto_api(d->api_key);

    json_uuid(j, "requestId", d->id);
    json_int(j, "atMs", d->at_ms);
    json_int(j, "keepMs", d->keep_ms);
    json_int(j, "apiKey", d->api_key);
    json_text(j, "apiName", api ? SLICE(api->name) : SLICE_NULL);
    json_int(j, "apiVersion", d->version);
    json_int(j, "answerBytes", d->answer.p ? (int64_t)d->answer.len : -1);
    json_int(j, "piece", d->piece);
    json_int(j, "lastPiece", d->last_piece);
}

void meta_json_request(struct json *j, const char *name, const struct image_request *q)
{
    json_open(j, name, '{');
    meta_json_request_done(j, &q->done);
    json_close(j, '}');
}

static void json_endpoints(struct json *j, const struct endpoint *v, int32_t n)
{
    json_open(j, "endpoints", '[');
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

static void json_features(struct json *j, const struct feature_range *v, int32_t n)
{
    json_open(j, "features", '[');
    for (int i = 0; i < n; i++) {
        json_open(j, NULL, '{');
        json_text(j, "name", v[i].name);
        json_int(j, "min", v[i].min);
        json_int(j, "max", v[i].max);
        json_close(j, '}');
    }
    json_close(j, ']');
}

void meta_json_controller(struct json *j, const char *name, const struct image_controller *c)
{
    json_open(j, name, '{');
    json_int(j, "id", c->reg.id);
    json_uuid(j, "incarnationId", c->reg.incarnation);
    json_endpoints(j, c->reg.endpoints, c->reg.n_endpoints);
    json_features(j, c->reg.features, c->reg.n_features);
    json_close(j, '}');
}

void meta_json_broker(struct json *j, const char *name, const struct image_broker *b)
{
    const struct record_register_broker *r = &b->reg;

    json_open(j, name, '{');
    json_int(j, "id", r->id);
    json_int(j, "epoch", r->epoch);
    json_bool(j, "fenced", r->fenced);
    json_bool(j, "inControlledShutdown", r->in_controlled_shutdown);
    json_text(j, "rack", r->rack);
    json_uuid(j, "incarnationId", r->incarnation);
    json_endpoints(j, r->endpoints, r->n_endpoints);
    json_features(j, r->features, r->n_features);
    json_uuids(j, "logDirs", r->dirs);
    json_uuids(j, "cordonedLogDirs", r->cordoned);
    json_close(j, '}');
}

void meta_json_partition(struct json *j, const char *name, const struct image *i,
                         const struct image_partition *p)
{
    static const struct image_topic nowhere; /* the record's topic isn't told here */
    struct meta_record all;
    const struct record_partition *r = &all.partition;

    partition_record(&nowhere, p, &all);
    json_open(j, name, '{');
    json_int(j, "partition", r->index);
    json_str(j, "state", partition_state_name(partition_state(i, p)));
    json_int(j, "leader", r->leader);
    json_int(j, "leaderEpoch", r->leader_epoch);
    json_int(j, "partitionEpoch", r->partition_epoch);
    json_str(j, "leaderRecoveryState", r->recovering ? "RECOVERING" : "RECOVERED");
    json_open(j, "replicas", '[');
    for (int n = 0; n < r->replicas.n; n++) {
        struct uuid dir;

        memcpy(&dir, r->dirs.v + n, sizeof(dir));
        json_open(j, NULL, '{');
        json_int(j, "broker", r->replicas.v[n]);
        json_str(j, "state", replica_state_name(replica_state(i, p, r->replicas.v[n])));
        json_uuid(j, "directory", dir);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_ids(j, "isr", r->isr);
    json_ids(j, "addingReplicas", r->adding);
    json_ids(j, "removingReplicas", r->removing);
    json_ids(j, "eligibleLeaderReplicas", r->elr);
    json_ids(j, "lastKnownElr", r->last_elr);
    json_close(j, '}');
}

void meta_json_config(struct json *j, const char *name, const struct image_config *c)
{
    json_open(j, name, '{');
    json_int(j, "resourceType", c->type);
    json_text(j, "resource", c->resource);
    json_text(j, "name", c->name);
    json_text(j, "value", c->value);
    json_close(j, '}');
}

/* ---- text ---- */

static void text_ids(const char *name, struct ids ids, struct bytes *out)
{
    bytes_printf(out, "  %s ", name);
    for (int i = 0; i < ids.n; i++)
        bytes_printf(out, "%s%d", i ? "," : "", ids.v[i]);
    if (ids.n == 0)
        bytes_printf(out, "none");
}

/* Those that aren't Online, in brackets. */
static void text_states(const struct image *i, const struct image_partition *p, struct ids replicas,
                        struct bytes *out)
{
    const char *before = " (";

    for (int n = 0; n < replicas.n; n++) {
        enum replica_state s = replica_state(i, p, replicas.v[n]);

        if (s == REPLICA_ONLINE)
            continue;
        bytes_printf(out, "%s%d %s", before, replicas.v[n], replica_state_name(s));
        before = ", ";
    }
    if (before[0] == ',')
        bytes_printf(out, ")");
}

void meta_text_partition(const struct image *i, const struct image_partition *p, struct bytes *out)
{
    static const struct image_topic nowhere;
    struct meta_record all;
    const struct record_partition *r = &all.partition;

    partition_record(&nowhere, p, &all);
    bytes_printf(out, "%s", partition_state_name(partition_state(i, p)));
    if (r->leader < 0)
        bytes_printf(out, "  leader none");
    else
        bytes_printf(out, "  leader %d", r->leader);
    bytes_printf(out, "  epoch %d", r->leader_epoch);
    text_ids("replicas", r->replicas, out);
    text_states(i, p, r->replicas, out);
    text_ids("ISR", r->isr, out);
    if (r->adding.n)
        text_ids("adding", r->adding, out);
    if (r->removing.n)
        text_ids("removing", r->removing, out);
    if (r->elr.n)
        text_ids("ELR", r->elr, out);
    if (r->last_elr.n)
        text_ids("last ELR", r->last_elr, out);
    if (r->recovering)
        bytes_printf(out, "  recovering");
}

void meta_text_broker(const struct image_broker *b, struct bytes *out)
{
    const struct record_register_broker *r = &b->reg;
    struct arena a;

    arena_init(&a, out->heap, SIZE_MAX);
    bytes_printf(out, "%s%s", r->fenced ? "fenced" : "unfenced",
                 r->in_controlled_shutdown ? ", about to shut down" : "");
    if (r->rack.p)
        bytes_printf(out, "  rack %.*s", TEXT(r->rack));
    bytes_printf(out, "  epoch %" PRId64 "  %s", r->epoch, meta_endpoints(r->endpoints, r->n_endpoints, &a));
    arena_drop(&a);
}
