/* Metadata: brokers and topics, as the listener that was asked shows them. Topics are told in steps (net/long_answer.h); all
 * topics of one image are encoded once for all who ask in the same version. */
#include "base/check.h"
#include "base/map.h"
#include "broker/api/auto_topic.h"
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/api/partition_call.h"
#include "broker/net/long_answer.h"
#include "broker/node.h"
#include "metadata/topic_name.h"
#include "proto_gen.h"

enum { TOPIC_IDS_FROM = 12 }; /* versions 10 and 11 have the field, but a name is what counts there */

/* Which topics are asked for, each once, in the order of the request. */
struct asked {
    struct slice *v; /* names, or ids of 16 bytes */
    enum err
        *told; /* of names: E_OK, or what is told of a topic that was asked to be created for this request,
                         whatever has come of it meanwhile: clients meet Kafka's first answer */
    int n;
    bool ids;
};

/* How far the telling has come. */
struct answer {
    const struct image *image;
    struct cluster_view cluster;
    struct partition_view_rules rules;
    bool operations;           /* are asked for */
    struct image_topics walk;  /* when all are told, */
    const struct asked *asked; /* else these, */
    int at;                    /* from here on */
    bool in_topic;
    struct image_partitions partitions; /* and then these */
};

typedef struct MetadataResponse_MetadataResponseTopic told_topic;
typedef struct MetadataResponse_MetadataResponsePartition told_partition;

/* ---- topics ---- */

/* The next partition of the topic under way, or its end. */
static void partition_tell(struct long_answer *to, struct answer *a)
{
    const struct image_partition *ip = image_partitions_next(&a->partitions);
    struct partition_view view;
    told_partition told;

    if (!ip) {
        a->in_topic = false;
        long_close(to);
        return;
    }
    partition_view_init(&view, &a->cluster, long_scratch(to), ip, &a->rules);
    proto_defaults(&MetadataResponse_MetadataResponsePartition_type, &told);
    told.error_code = err_wire(view.err);
    told.partition_index = partition_index(ip);
    told.leader_id = view.leader;
    told.leader_epoch = ip->leader_epoch;
    IDS_LEND(told.replica_nodes, view.replicas);
    IDS_LEND(told.isr_nodes, view.isr);
    IDS_LEND(told.offline_replicas, view.offline);
    long_add(to, &MetadataResponse_MetadataResponsePartition_type, &told);
}

/* Its partitions come in the next steps. */
static void topic_tell(struct long_answer *to, const struct request *r, struct answer *a,
                       const struct image_topic *t)
{
    told_topic told;

    proto_defaults(&MetadataResponse_MetadataResponseTopic_type, &told);
    told.name = t->name;
    told.topic_id = t->id;
    told.is_internal = topic_is_internal(t->name);
    told.partitions.v = (void *)PROTO_ELSEWHERE;
    told.partitions.n = (int32_t)t->partitions.count;
    if (a->operations)
        told.topic_authorized_operations = authorized_operations(r, RES_TOPIC, t->name);
    long_open(to, &MetadataResponse_MetadataResponseTopic_type, &told);
    a->partitions = image_partitions_from(t, 0);
    a->in_topic = true;
}

/* A topic that is named but not described: by id and without a name, or by name. */
static void topic_refuse(struct long_answer *to, const struct uuid *id, struct slice name, enum err err)
{
    told_topic told;

    proto_defaults(&MetadataResponse_MetadataResponseTopic_type, &told);
    told.error_code = err_wire(err);
    told.name = name;
    if (id)
        told.topic_id = *id;
    long_add(to, &MetadataResponse_MetadataResponseTopic_type, &told);
}

static void topic_missing(struct long_answer *to, const struct request *r, const struct answer *a,
                          struct slice name, enum err err)
{
    told_topic told;

    proto_defaults(&MetadataResponse_MetadataResponseTopic_type, &told);
    told.error_code = err_wire(err);
    told.name = name;
    told.is_internal = topic_is_internal(name);
    if (a->operations)
        told.topic_authorized_operations = authorized_operations(r, RES_TOPIC, name);
    long_add(to, &MetadataResponse_MetadataResponseTopic_type, &told);
}

/* ---- which topics ---- */

static bool all_asked(const struct request *r)
{
    const struct MetadataRequest *in = r->in;
    return in->topics.n < 0 || (r->version == 0 && in->topics.n == 0);
}

/* Ids are a way of asking of their own: where there is one, names don't count. */
static bool ids_asked(const struct request *r)
{
    const struct MetadataRequest *in = r->in;

    for (int32_t i = 0; i < in->topics.n; i++)
        if (!uuid_is_zero(in->topics.v[i].topic_id))
            return true;
    return false;
}

static bool step_all(struct long_answer *to, struct request *r, void *state)
{
    struct answer *a = state;
    const struct image_topic *t;

    if (a->in_topic) {
        partition_tell(to, a);
        return true;
    }
    t = image_topics_next(&a->walk);
    if (t && authorize(r, OP_DESCRIBE, RES_TOPIC, t->name))
        topic_tell(to, r, a, t);
    return t != NULL;
}

static void asked_collect(struct request *r, bool ids, struct asked *asked)
{
    const struct MetadataRequest *in = r->in;
    struct map seen;
    uint64_t seed;

    asked->n = 0;
    asked->ids = ids;
    asked->v = arena_alloc(&r->arena, (size_t)in->topics.n * sizeof(*asked->v));
    asked->told = arena_alloc(&r->arena, (size_t)in->topics.n * sizeof(*asked->told));
    io_random(r->net->node->io, &seed, sizeof(seed));
    map_init(&seen, r->net->node->heap, seed);
    for (int32_t i = 0; i < in->topics.n; i++) {
        const struct MetadataRequest_MetadataRequestTopic *t = &in->topics.v[i];
        struct slice key = ids ? slice_of(t->topic_id.b, sizeof(t->topic_id.b)) : t->name;
        if ((ids && uuid_is_zero(t->topic_id)) || map_get(&seen, key))
            continue;
        if (map_put(&seen, key, asked))
            ASSERT(false);
        asked->v[asked->n++] = key;
    }
    map_drop(&seen);
}

static void tell_by_id(struct long_answer *to, const struct request *r, struct answer *a, struct slice key)
{
    const struct image_topic *t;
    struct uuid id;

    memcpy(id.b, key.p, sizeof(id.b));
    t = image_topic_by_id(a->image, id);
    if (t && authorize(r, OP_DESCRIBE, RES_TOPIC, t->name))
        topic_tell(to, r, a, t);
    else
        topic_refuse(to, &id, SLICE_NULL, t ? E_TOPIC_AUTHORIZATION_FAILED : E_UNKNOWN_TOPIC_ID);
}

static enum err name_missing(struct slice name)
{
    return topic_name_ok(name) ? E_UNKNOWN_TOPIC_OR_PARTITION : E_INVALID_TOPIC_EXCEPTION;
}

static void tell_by_name(struct long_answer *to, const struct request *r, struct answer *a, struct slice name,
                         enum err told)
{
    const struct image_topic *t = image_topic_by_name(a->image, name);

    if (!authorize(r, OP_DESCRIBE, RES_TOPIC, name))
        topic_refuse(to, NULL, name, E_TOPIC_AUTHORIZATION_FAILED);
    else if (told)
        topic_missing(to, r, a, name, told);
    else if (t)
        topic_tell(to, r, a, t);
    else
        topic_missing(to, r, a, name, name_missing(name));
}

static bool step_asked(struct long_answer *to, struct request *r, void *state)
{
    struct answer *a = state;

    if (a->in_topic) {
        partition_tell(to, a);
        return true;
    }
    if (a->at == a->asked->n)
        return false;
    if (a->asked->ids)
        tell_by_id(to, r, a, a->asked->v[a->at]);
    else
        tell_by_name(to, r, a, a->asked->v[a->at], a->asked->told[a->at]);
    a->at++;
    return true;
}

/* ---- the answer ---- */

static void brokers_tell(struct request *r, const struct cluster_view *c)
{
    struct MetadataResponse *out = r->out;
    int32_t n = 0;

    PROTO_ARRAY_NEW(&r->arena, MetadataResponse_MetadataResponseBroker, out->brokers, c->n);
    for (int i = 0; i < c->n; i++)
        if (node_alive(&c->v[i]))
            out->brokers.v[n++] =
                (struct MetadataResponse_MetadataResponseBroker){.node_id = c->v[i].id,
                                                                 .host = c->v[i].at->host,
                                                                 .port = c->v[i].at->port,
                                                                 .rack = c->v[i].broker->reg.rack};
    out->brokers.n = n;
}

static struct answer *cluster_tell(struct request *r)
{
    const struct MetadataRequest *in = r->in;
    struct MetadataResponse *out = r->out;
    struct answer *a = arena_alloc(&r->arena, sizeof(*a));

    a->image = r->net->image;
    cluster_view_init(&a->cluster, r);
    a->operations = r->version >= 8 && in->include_topic_authorized_operations;
    a->rules.alive_only = r->version == 0;
    a->rules.no_listener = r->version >= 6 ? E_LISTENER_NOT_FOUND : E_LEADER_NOT_AVAILABLE;
    brokers_tell(r, &a->cluster);
    out->cluster_id = SLICE(r->net->node->cluster_id);
    out->controller_id = cluster_controller(&a->cluster, r);
    if (r->version >= 8 && r->version <= 10 && in->include_cluster_authorized_operations)
        out->cluster_authorized_operations = authorize(r, OP_DESCRIBE, RES_CLUSTER, CLUSTER_NAME)
                                                 ? authorized_operations(r, RES_CLUSTER, CLUSTER_NAME)
                                                 : 0;
    return a;
}

static void begin_all(struct request *r, struct long_plan *plan)
{
    struct MetadataResponse *out = r->out;
    struct answer *a = cluster_tell(r);

    a->walk = image_topics_from(a->image, SLICE_NULL);
    *plan = (struct long_plan){
        .array = &out->topics, .step = step_all, .state = a, .shared = true, .flags = a->operations};
}

static void begin_asked(struct request *r, struct long_plan *plan)
{
    struct MetadataResponse *out = r->out;
    struct answer *a = cluster_tell(r);

    a->asked = r->state;
    *plan = (struct long_plan){.array = &out->topics, .step = step_asked, .state = a};
}

/* A request that says what its version can't mean. As Kafka: nothing but each topic with that error. */
static void answer_invalid(struct request *r)
{
    const struct MetadataRequest *in = r->in;
    struct MetadataResponse *out = r->out;

    PROTO_ARRAY_NEW(&r->arena, MetadataResponse_MetadataResponseTopic, out->topics, in->topics.n);
    for (int32_t i = 0; i < in->topics.n; i++) {
        out->topics.v[i].error_code = err_wire(E_INVALID_REQUEST);
        out->topics.v[i].name = in->topics.v[i].name.p ? in->topics.v[i].name : SLICE("");
        out->topics.v[i].topic_id = in->topics.v[i].topic_id;
    }
    out->error_code = err_wire(E_INVALID_REQUEST);
    request_reply(r);
}

static bool request_valid(const struct request *r, bool ids)
{
    const struct MetadataRequest *in = r->in;

    for (int32_t i = 0; i < in->topics.n; i++)
        if (!in->topics.v[i].name.p && (!ids || r->version < TOPIC_IDS_FROM))
            return false;
    return !ids || r->version >= TOPIC_IDS_FROM;
}

/* ---- automatic creation ---- */

static void created(struct request *r)
{
    request_reply_long(r, begin_asked);
}

static void names_create(struct request *r, struct asked *asked)
{
    struct auto_topics *create = auto_topics_new(r, asked->n);

    for (int i = 0; i < asked->n; i++) {
        struct slice name = asked->v[i];
        if (authorize(r, OP_DESCRIBE, RES_TOPIC, name) && !image_topic_by_name(r->net->image, name))
            asked->told[i] = auto_topics_add(create, name);
    }
    auto_topics_go(create, created);
}

void metadata(struct request *r)
{
    const struct MetadataRequest *in = r->in;
    bool ids = ids_asked(r);
    struct asked *asked;

    if (all_asked(r)) {
        request_reply_long(r, begin_all);
        return;
    }
    if (!request_valid(r, ids)) {
        answer_invalid(r);
        return;
    }
    asked = arena_alloc(&r->arena, sizeof(*asked));
    asked_collect(r, ids, asked);
    r->state = asked;
    if (!ids && in->allow_auto_topic_creation && config_bool(r->net->config, C_auto_create_topics_enable))
        names_create(r, asked);
    else
        request_reply_long(r, begin_asked);
}
