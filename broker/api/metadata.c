/* Metadata: brokers and topics, as the listener that was asked shows them.
 *
 * An answer is built and encoded in one go. At 100,000 partitions that takes longer than the 2 ms that a
 * callback may: the place to go on from is topics_all(), which could hand out one encoding per image and
 * listener; memory grows with the answer alone, since replicas and ISR are lent by the image. */
#include "base/check.h"
#include "base/map.h"
#include "broker/api/auto_topic.h"
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/api/partition_call.h"
#include "broker/api/topic_name.h"
#include "broker/node.h"
#include "proto_gen.h"

enum { TOPIC_IDS_FROM = 12 }; /* versions 10 and 11 have the field, but a name is what counts there */

struct answer {
    struct cluster_view cluster;
    struct partition_view_rules rules;
    bool operations; /* are asked for */
    int32_t n;       /* topics told so far */
};

typedef struct MetadataResponse_MetadataResponseTopic told_topic;

/* ---- topics ---- */

static void partition_tell(struct request *r, const struct answer *a, const struct image_partition *ip,
                           struct MetadataResponse_MetadataResponsePartition *out)
{
    struct partition_view view;

    partition_view_init(&view, &a->cluster, r, ip, &a->rules);
    out->error_code = err_wire(view.err);
    out->partition_index = partition_index(ip);
    out->leader_id = view.leader;
    out->leader_epoch = ip->leader_epoch;
    IDS_LEND(out->replica_nodes, view.replicas);
    IDS_LEND(out->isr_nodes, view.isr);
    IDS_LEND(out->offline_replicas, view.offline);
}

static void topic_tell(struct request *r, struct answer *a, const struct image_topic *t)
{
    struct MetadataResponse *out = r->out;
    told_topic *told = &out->topics.v[a->n++];
    struct image_partitions walk = image_partitions_from(t, 0);
    const struct image_partition *ip;
    int32_t n = 0;

    told->name = t->name;
    told->topic_id = t->id;
    told->is_internal = topic_is_internal(t->name);
    PROTO_ARRAY_NEW(&r->arena, MetadataResponse_MetadataResponsePartition, told->partitions,
                    (int32_t)t->partitions.count);
    while ((ip = image_partitions_next(&walk)))
        partition_tell(r, a, ip, &told->partitions.v[n++]);
    if (a->operations)
        told->topic_authorized_operations = authorized_operations(r, RES_TOPIC, t->name);
}

/* A topic that is named but not described. */
static told_topic *topic_refuse(struct request *r, struct answer *a, struct slice name, enum err err)
{
    struct MetadataResponse *out = r->out;
    told_topic *told = &out->topics.v[a->n++];

    told->error_code = err_wire(err);
    told->name = name;
    return told;
}

static void topic_missing(struct request *r, struct answer *a, struct slice name, enum err err)
{
    told_topic *told = topic_refuse(r, a, name, err);

    told->is_internal = topic_is_internal(name);
    if (a->operations)
        told->topic_authorized_operations = authorized_operations(r, RES_TOPIC, name);
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

static void topics_all(struct request *r, struct answer *a)
{
    struct image_topics walk = image_topics_from(r->net->image, SLICE_NULL);
    struct MetadataResponse *out = r->out;
    const struct image_topic *t;

    PROTO_ARRAY_NEW(&r->arena, MetadataResponse_MetadataResponseTopic, out->topics,
                    (int32_t)r->net->image->topics.count);
    while ((t = image_topics_next(&walk)))
        if (authorize(r, OP_DESCRIBE, RES_TOPIC, t->name))
            topic_tell(r, a, t);
}

/* What was asked for, each once, in the order of the request. */
struct asked {
    struct slice *v; /* names, or ids of 16 bytes */
    enum err
        *told; /* of names: E_OK, or what is told of a topic that was asked to be created for this request,
                         whatever has come of it meanwhile: clients meet Kafka's first answer */
    int n;
};

static void asked_collect(struct request *r, bool ids, struct asked *asked)
{
    const struct MetadataRequest *in = r->in;
    struct map seen;
    uint64_t seed;

    asked->n = 0;
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

static void topics_by_id(struct request *r, struct answer *a, const struct asked *asked)
{
    for (int i = 0; i < asked->n; i++) {
        struct uuid id;
        const struct image_topic *t;
        memcpy(id.b, asked->v[i].p, sizeof(id.b));
        t = image_topic_by_id(r->net->image, id);
        if (t && authorize(r, OP_DESCRIBE, RES_TOPIC, t->name))
            topic_tell(r, a, t);
        else
            topic_refuse(r, a, SLICE_NULL, t ? E_TOPIC_AUTHORIZATION_FAILED : E_UNKNOWN_TOPIC_ID)->topic_id =
                id;
    }
}

static enum err name_missing(struct slice name)
{
    return topic_name_ok(name) ? E_UNKNOWN_TOPIC_OR_PARTITION : E_INVALID_TOPIC_EXCEPTION;
}

static void topics_by_name(struct request *r, struct answer *a, const struct asked *asked)
{
    for (int i = 0; i < asked->n; i++) {
        struct slice name = asked->v[i];
        const struct image_topic *t = image_topic_by_name(r->net->image, name);
        if (!authorize(r, OP_DESCRIBE, RES_TOPIC, name))
            topic_refuse(r, a, name, E_TOPIC_AUTHORIZATION_FAILED);
        else if (asked->told[i])
            topic_missing(r, a, name, asked->told[i]);
        else if (t)
            topic_tell(r, a, t);
        else
            topic_missing(r, a, name, name_missing(name));
    }
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

static void cluster_tell(struct request *r, struct answer *a)
{
    const struct MetadataRequest *in = r->in;
    struct MetadataResponse *out = r->out;

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
}

static void answer_named(struct request *r, const struct asked *asked, bool ids)
{
    struct MetadataResponse *out = r->out;
    struct answer a = {0};

    cluster_tell(r, &a);
    PROTO_ARRAY_NEW(&r->arena, MetadataResponse_MetadataResponseTopic, out->topics, asked->n);
    if (ids)
        topics_by_id(r, &a, asked);
    else
        topics_by_name(r, &a, asked);
    ASSERT(a.n == asked->n);
    request_reply(r);
}

static void answer_all(struct request *r)
{
    struct MetadataResponse *out = r->out;
    struct answer a = {0};

    cluster_tell(r, &a);
    topics_all(r, &a);
    out->topics.n = a.n;
    request_reply(r);
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
    answer_named(r, r->state, false);
}

static void names_create(struct request *r, struct asked *asked)
{
    struct auto_topics *create = auto_topics_new(r, asked->n);

    for (int i = 0; i < asked->n; i++) {
        struct slice name = asked->v[i];
        if (authorize(r, OP_DESCRIBE, RES_TOPIC, name) && !image_topic_by_name(r->net->image, name))
            asked->told[i] = auto_topics_add(create, name);
    }
    r->state = asked;
    auto_topics_go(create, created);
}

void metadata(struct request *r)
{
    const struct MetadataRequest *in = r->in;
    bool ids = ids_asked(r);
    struct asked *asked;

    if (all_asked(r)) {
        answer_all(r);
        return;
    }
    if (!request_valid(r, ids)) {
        answer_invalid(r);
        return;
    }
    asked = arena_alloc(&r->arena, sizeof(*asked));
    asked_collect(r, ids, asked);
    if (!ids && in->allow_auto_topic_creation && config_bool(r->net->config, C_auto_create_topics_enable))
        names_create(r, asked);
    else
        answer_named(r, asked, ids);
}
