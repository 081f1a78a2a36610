/* The administrating client: client_node.h. One question at a time. */
#include "base/check.h"
#include "client_node_internal.h"
#include <stdio.h>

static const int64_t TICK_NS = 150000000;

static void admin_done(struct wire_ask *a);

enum { NAME = 24 };
enum { TOPIC = 2, BROKER = 4 }; /* what settings belong to */

static void churn_name(int i, char name[NAME])
{
    snprintf(name, NAME, "churn%d", i);
}

/* ---- questions ---- */

static void ask(struct admin *a, int version, const void *in)
{
    (void)wire_ask(&a->link.wire, &a->ask, version, in);
}

static void settings_split(struct arena *a, const char *text, struct CreateTopicsRequest_CreatableTopic *t)
{
    struct CreateTopicsRequest_CreatableTopicConfig *c;
    int n = 0;

    PROTO_ARRAY_NEW(a, CreateTopicsRequest_CreatableTopicConfig, t->configs, 8);
    while (*text) {
        size_t len = strcspn(text, ","), eq = strcspn(text, "=");
        c = &t->configs.v[n++];
        c->name = slice_of(text, eq);
        c->value = slice_of(text + eq + 1, len - eq - 1);
        text += len + (text[len] == ',');
    }
    t->configs.n = n;
}

static void assign(struct admin *a, struct CreateTopicsRequest_CreatableTopic *t)
{
    struct arena *m = &a->ask.arena;

    PROTO_ARRAY_NEW(m, CreateTopicsRequest_CreatableReplicaAssignment, t->assignments, t->num_partitions);
    for (int i = 0; i < t->num_partitions; i++) {
        t->assignments.v[i].partition_index = i;
        t->assignments.v[i].broker_ids.v = arena_alloc(m, sizeof(int32_t));
        t->assignments.v[i].broker_ids.v[0] = a->link.c->server;
        t->assignments.v[i].broker_ids.n = 1;
    }
    t->num_partitions = t->replication_factor = -1;
}

static void create(struct admin *a, const char *name, int partitions, const char *settings)
{
    struct CreateTopicsRequest *in = wire_in(&a->ask, API_CreateTopics);

    PROTO_ARRAY_NEW(&a->ask.arena, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    in->topics.v[0].name = arena_copy(&a->ask.arena, SLICE(name));
    in->topics.v[0].num_partitions = partitions;
    in->topics.v[0].replication_factor = 1;
    settings_split(&a->ask.arena, settings, &in->topics.v[0]);
    if (a->link.c->one_of_several)
        assign(a, &in->topics.v[0]);
    ask(a, 7, in);
}

static void churn_create(struct admin *a)
{
    char name[NAME];

    if (a->n_churn == CHURN_MAX)
        return;
    a->at = a->n_churn++;
    a->churn[a->at] = CHURN_MAYBE;
    churn_name(a->at, name);
    create(a, name, 1 + (int)sim_below(a->link.c->s, 3), "");
}

static void churn_delete(struct admin *a)
{
    struct DeleteTopicsRequest *in;
    struct slice *names;
    char name[NAME];

    for (a->at = 0; a->at < a->n_churn && a->churn[a->at] != CHURN_SURE; a->at++)
        ;
    if (a->at == a->n_churn)
        return;
    a->churn[a->at] = CHURN_LEAVING;
    in = wire_in(&a->ask, API_DeleteTopics);
    churn_name(a->at, name);
    names = arena_alloc(&a->ask.arena, sizeof(*names));
    names[0] = arena_copy(&a->ask.arena, SLICE(name));
    in->topic_names.v = names;
    in->topic_names.n = 1;
    in->timeout_ms = 5000;
    ask(a, 5, in);
}

static void metadata(struct admin *a)
{
    struct MetadataRequest *in = wire_in(&a->ask, API_Metadata);

    in->topics.n = -1;
    in->allow_auto_topic_creation = false;
    ask(a, 12, in);
}

static void alter(struct admin *a, int8_t type, const char *resource, const char *name, const char *value)
{
    struct IncrementalAlterConfigsRequest *in = wire_in(&a->ask, API_IncrementalAlterConfigs);
    struct arena *m = &a->ask.arena;

    PROTO_ARRAY_NEW(m, IncrementalAlterConfigsRequest_AlterConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = type;
    in->resources.v[0].resource_name = SLICE(resource);
    PROTO_ARRAY_NEW(m, IncrementalAlterConfigsRequest_AlterableConfig, in->resources.v[0].configs, 1);
    in->resources.v[0].configs.v[0].name = SLICE(name);
    in->resources.v[0].configs.v[0].value = arena_copy(m, SLICE(value));
    ask(a, 1, in);
}

static void alter_something(struct admin *a)
{
    struct clients *c = a->link.c;
    char value[16];

    a->turns_durable = false;
    a->threads_asked = false;
    switch (sim_below(c->s, 4)) {
    case 0: /* nothing is durable from the moment it is asked not to be, all from the moment it is said to be */
        a->turns_durable = !clients_book(c, "turns", 0)->durable;
        clients_book(c, "turns", 0)->durable = false;
        alter(a, TOPIC, "turns", "log.durable", a->turns_durable ? "true" : "false");
        break;
    case 1:
        snprintf(value, sizeof(value), "%d", 100 + (int)sim_below(c->s, 3000));
        alter(a, TOPIC, sim_below(c->s, 2) ? "plain" : "durable", "segment.ms", value);
        break;
    case 2: /* what isn't half or double is refused */
        a->threads_asked = true;
        snprintf(value, sizeof(value), "%d", 1 + (int)sim_below(c->s, 6));
        alter(a, BROKER, "1", "num.io.threads", value);
        break;
    default:
        snprintf(value, sizeof(value), "%d", 20000 + (int)sim_below(c->s, 300000));
        alter(a, TOPIC, "short", "retention.bytes", value);
    }
}

static void delete_records(struct admin *a)
{
    struct DeleteRecordsRequest *in = wire_in(&a->ask, API_DeleteRecords);
    struct arena *m = &a->ask.arena;
    struct book *b = clients_book(a->link.c, "short", 0);

    a->deleted_to = b->promised_end ? (int64_t)sim_below(a->link.c->s, (uint64_t)b->promised_end) : 0;
    in->timeout_ms = 5000;
    PROTO_ARRAY_NEW(m, DeleteRecordsRequest_DeleteRecordsTopic, in->topics, 1);
    in->topics.v[0].name = SLICE("short");
    PROTO_ARRAY_NEW(m, DeleteRecordsRequest_DeleteRecordsPartition, in->topics.v[0].partitions, 1);
    in->topics.v[0].partitions.v[0].offset = a->deleted_to;
    ask(a, 2, in);
}

static void admin_ticked(struct link *l)
{
    struct admin *a = container_of(l, struct admin, link);
    struct clients *c = l->c;

    link_tick(l, TICK_NS);
    if (a->ask.wire)
        return;
    for (a->at = 0; a->at < c->n_topics; a->at++)
        if (!c->topics[a->at].made) {
            create(a, c->topics[a->at].name, c->topics[a->at].partitions, c->topics[a->at].settings);
            return;
        }
    if (c->one_of_several) {
        a->rounds++;
        return;
    }
    switch (sim_below(c->s, 8)) {
    case 0:
        churn_create(a);
        break;
    case 1:
        churn_delete(a);
        break;
    case 2:
        delete_records(a);
        break;
    case 3:
    case 4:
        alter_something(a);
        break;
    default:
        metadata(a);
    }
}

/* ---- what comes back ---- */

static void fixed_created(struct admin *a, const struct CreateTopicsResponse_CreatableTopicResult *t)
{
    struct fixed *f = &a->link.c->topics[a->at];

    JUDGE(t->error_code == 0 || t->error_code == err_wire(E_TOPIC_ALREADY_EXISTS) ||
              t->error_code == err_wire(E_NOT_CONTROLLER) || a->link.c->one_of_several ||
              t->error_code == err_wire(E_REQUEST_TIMED_OUT),
          "%s can't be made: %d %.*s", f->name, t->error_code, (int)t->error_message.len,
          (const char *)t->error_message.p);
    f->made = t->error_code == 0 || t->error_code == err_wire(E_TOPIC_ALREADY_EXISTS);
    f->id = t->error_code ? f->id : t->topic_id;
}

static void created(struct admin *a, const struct CreateTopicsResponse *out)
{
    const struct CreateTopicsResponse_CreatableTopicResult *t = &out->topics.v[0];
    char name[NAME];

    JUDGE(out->topics.n == 1, "shape");
    if (a->at < a->link.c->n_topics && slice_eq(t->name, SLICE(a->link.c->topics[a->at].name))) {
        fixed_created(a, t);
        return;
    }
    churn_name(a->at, name);
    JUDGE(slice_eq(t->name, SLICE(name)), "another topic's answer");
    if (t->error_code)
        return;
    a->churn[a->at] = CHURN_SURE;
    a->ids[a->at] = t->topic_id;
    a->link.c->tally.topics_made++;
}

static const struct MetadataResponse_MetadataResponseTopic *seen(const struct MetadataResponse *m,
                                                                 const char *name)
{
    for (int32_t i = 0; i < m->topics.n; i++)
        if (slice_eq(m->topics.v[i].name, SLICE(name)))
            return &m->topics.v[i];
    return NULL;
}

/* What was answered as made is there, with its id, ever after; what was answered as gone isn't. */
static void metadata_judge(struct admin *a, const struct MetadataResponse *out)
{
    const struct MetadataResponse_MetadataResponseTopic *t;
    struct clients *c = a->link.c;
    char name[NAME];

    for (int i = 0; i < a->n_churn; i++) {
        churn_name(i, name);
        t = seen(out, name);
        JUDGE(a->churn[i] != CHURN_SURE || (t && uuid_eq(t->topic_id, a->ids[i])),
              "%s was made and isn't there", name);
        JUDGE(a->churn[i] != CHURN_GONE || !t, "%s was deleted and is there", name);
    }
    for (int i = 0; i < c->n_topics; i++) {
        t = seen(out, c->topics[i].name);
        JUDGE(t && t->partitions.n == c->topics[i].partitions, "%s was made and isn't whole",
              c->topics[i].name);
        if (uuid_eq(c->topics[i].id, (struct uuid){0}))
            c->topics[i].id = t->topic_id;
        JUDGE(uuid_eq(c->topics[i].id, t->topic_id), "%s has another id", c->topics[i].name);
    }
    c->tally.metadata++;
}

static void altered(struct admin *a, const struct IncrementalAlterConfigsResponse *out)
{
    struct clients *c = a->link.c;

    JUDGE(out->responses.n == 1, "shape");
    if (out->responses.v[0].error_code)
        return;
    c->tally.settings++;
    c->tally.threads += a->threads_asked;
    if (a->turns_durable)
        clients_book(c, "turns", 0)->durable = true;
}

static void records_deleted(struct admin *a, const struct DeleteRecordsResponse *out)
{
    const struct DeleteRecordsResponse_DeleteRecordsPartitionResult *p = &out->topics.v[0].partitions.v[0];

    JUDGE(out->topics.n == 1 && out->topics.v[0].partitions.n == 1, "shape");
    if (p->error_code)
        return;
    a->link.c->tally.deleted++;
    JUDGE(p->low_watermark >= a->deleted_to, "deleted to %lld, the start is %lld", (long long)a->deleted_to,
          (long long)p->low_watermark);
}

static void admin_done(struct wire_ask *ask)
{
    struct admin *a = ask->arg;

    if (ask->err)
        return;
    a->rounds++;
    switch (ask->api->key) {
    case API_CreateTopics:
        created(a, ask->out);
        break;
    case API_DeleteTopics:
        if (((struct DeleteTopicsResponse *)ask->out)->responses.v[0].error_code == 0) {
            a->churn[a->at] = CHURN_GONE;
            a->link.c->tally.topics_gone++;
        }
        break;
    case API_Metadata:
        metadata_judge(a, ask->out);
        break;
    case API_IncrementalAlterConfigs:
        altered(a, ask->out);
        break;
    default:
        records_deleted(a, ask->out);
    }
}

void admin_start(struct admin *a)
{
    a->link.ticked = admin_ticked;
    wire_ask_init(&a->ask, a->link.c->io);
    a->ask.done = admin_done;
    a->ask.arg = a;
    link_dial(&a->link);
}
