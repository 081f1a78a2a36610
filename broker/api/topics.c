/* CreateTopics, DeleteTopics, CreatePartitions: the controller decides (metadata/decide_topics.c, decide_delete.c). Here is
 * what comes before, who may ask for which topic, and after: those who may not, and a controller that is
 * none. The answer comes when the decision has committed, and this node's images are published before; the
 * timeout of a request ends its wait where a full disk holds that up. */
#include "base/check.h"
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "metadata/topic_name.h"
#include "proto_gen.h"

/* A request on its way to the controller without the topics that its client may not touch. */
struct change {
    struct control_call call;
    int32_t n_refused;
    union {
        struct {
            struct CreateTopicsRequest ask;
            struct slice *refused;
        } create;
        struct {
            struct DeleteTopicsRequest ask;
            struct DeleteTopicsResponse_DeletableTopicResult *refused;
        } remove;
        struct {
            struct CreatePartitionsRequest ask;
            struct slice *refused;
        } grow;
    };
};

static void *room_for(struct request *r, int32_t n, size_t size)
{
    return arena_alloc(&r->arena, (size_t)(n > 0 ? n : 0) * size);
}

static struct change *change_new(struct request *r, ctl_decide_fn decide,
                                 void (*done)(struct control_call *c))
{
    struct change *c = arena_alloc(&r->arena, sizeof(*c));

    c->call = control_call_of(r, decide, NULL, done, r);
    return c;
}

/* A request whose time is over when it comes is not decided at all. */
static void change_go(struct change *c, const void *ask, int32_t timeout_ms)
{
    c->call.in = ask;
    c->call.timeout_ms = timeout_ms;
    if (timeout_ms > 0) {
        control_call(&c->call);
        return;
    }
    c->call.err = E_REQUEST_TIMED_OUT;
    c->call.done(&c->call);
}

/* ---- CreateTopics ---- */

typedef struct CreateTopicsResponse_CreatableTopicResult created_topic;

static bool may_create(const struct request *r, struct slice name)
{
    /* Nobody may create the metadata log, and the controller says so. */
    return slice_eq(name, SLICE(METADATA_TOPIC)) || authorize(r, OP_CREATE, RES_CLUSTER, CLUSTER_NAME) ||
           authorize(r, OP_CREATE, RES_TOPIC, name);
}

static void create_failed(struct request *r, const struct change *c)
{
    struct CreateTopicsResponse *out = r->out;

    PROTO_ARRAY_NEW(&r->arena, CreateTopicsResponse_CreatableTopicResult, out->topics,
                    c->create.ask.topics.n);
    for (int32_t i = 0; i < out->topics.n; i++) {
        out->topics.v[i].name = c->create.ask.topics.v[i].name;
        out->topics.v[i].error_code = err_wire(c->call.err);
        out->topics.v[i].error_message = SLICE_NULL;
    }
}

/* The settings of a new topic are told to those who may read them. */
static void configs_hide(const struct request *r, created_topic *t)
{
    if (t->error_code || authorize(r, OP_DESCRIBE_CONFIGS, RES_TOPIC, t->name))
        return;
    t->topic_config_error_code = err_wire(E_TOPIC_AUTHORIZATION_FAILED);
    t->num_partitions = -1;
    t->replication_factor = -1;
    t->configs.n = 0;
}

static void create_done(struct control_call *call)
{
    struct change *c = container_of(call, struct change, call);
    struct request *r = call->arg;
    struct CreateTopicsResponse *out = r->out;
    created_topic *all;
    int32_t n;

    if (call->err)
        create_failed(r, c);
    n = out->topics.n;
    all = proto_new(&CreateTopicsResponse_CreatableTopicResult_type, &r->arena, n + c->n_refused);
    for (int32_t i = 0; i < n; i++) {
        all[i] = out->topics.v[i];
        configs_hide(r, &all[i]);
    }
    for (int32_t i = 0; i < c->n_refused; i++) {
        all[n + i].name = c->create.refused[i];
        all[n + i].error_code = err_wire(E_TOPIC_AUTHORIZATION_FAILED);
        all[n + i].error_message = SLICE("Authorization failed.");
    }
    out->topics.v = all;
    out->topics.n = n + c->n_refused;
    request_reply(r);
}

void create_topics(struct request *r)
{
    const struct CreateTopicsRequest *in = r->in;
    struct change *c = change_new(r, decide_create_topics, create_done);
    struct CreateTopicsRequest *ask = &c->create.ask;

    *ask = *in;
    ask->topics.v = room_for(r, in->topics.n, sizeof(*ask->topics.v));
    ask->topics.n = 0;
    c->create.refused = room_for(r, in->topics.n, sizeof(*c->create.refused));
    for (int32_t i = 0; i < in->topics.n; i++) {
        if (may_create(r, in->topics.v[i].name))
            ask->topics.v[ask->topics.n++] = in->topics.v[i];
        else
            c->create.refused[c->n_refused++] = in->topics.v[i].name;
    }
    change_go(c, ask, in->timeout_ms);
}

/* ---- DeleteTopics ---- */

typedef struct DeleteTopicsResponse_DeletableTopicResult deleted_topic;

static bool may_delete(const struct request *r, struct slice name)
{
    return authorize(r, OP_DELETE, RES_CLUSTER, CLUSTER_NAME) || authorize(r, OP_DELETE, RES_TOPIC, name);
}

/* By id: who may not see the topic isn't told its name. An id that this loop doesn't know (yet) is left to
 * the controller if the client may delete all there is, else it is unknown: nothing may slip past a
 * question not asked. */
static bool delete_refused(const struct request *r, const struct DeleteTopicsRequest_DeleteTopicState *t,
                           deleted_topic *told)
{
    const struct image_topic *topic = t->name.p ? NULL : image_topic_by_id(r->net->image, t->topic_id);
    struct slice name = topic ? topic->name : t->name;

    if (authorize(r, OP_DELETE, RES_CLUSTER, CLUSTER_NAME) || (name.p && may_delete(r, name)))
        return false;
    if (!name.p && uuid_is_zero(t->topic_id))
        return false; /* names nothing: the controller says so */
    *told = (deleted_topic){.name = t->name, .topic_id = t->topic_id};
    if (topic && authorize(r, OP_DESCRIBE, RES_TOPIC, name))
        told->name = arena_copy(&((struct request *)r)->arena, name);
    told->error_code = err_wire(name.p ? E_TOPIC_AUTHORIZATION_FAILED : E_UNKNOWN_TOPIC_ID);
    return true;
}

static void delete_failed(struct request *r, const struct change *c)
{
    const struct DeleteTopicsRequest *ask = &c->remove.ask;
    struct DeleteTopicsResponse *out = r->out;
    int32_t n = 0;

    PROTO_ARRAY_NEW(&r->arena, DeleteTopicsResponse_DeletableTopicResult, out->responses,
                    ask->topics.n + ask->topic_names.n);
    for (int32_t i = 0; i < ask->topics.n; i++, n++) {
        out->responses.v[n].name = ask->topics.v[i].name;
        out->responses.v[n].topic_id = ask->topics.v[i].topic_id;
        out->responses.v[n].error_code = err_wire(c->call.err);
    }
    for (int32_t i = 0; i < ask->topic_names.n; i++, n++) {
        out->responses.v[n].name = ask->topic_names.v[i];
        out->responses.v[n].error_code = err_wire(c->call.err);
    }
}

static void delete_done(struct control_call *call)
{
    struct change *c = container_of(call, struct change, call);
    struct request *r = call->arg;
    struct DeleteTopicsResponse *out = r->out;
    deleted_topic *all;
    int32_t n;

    if (call->err)
        delete_failed(r, c);
    n = out->responses.n;
    all = proto_new(&DeleteTopicsResponse_DeletableTopicResult_type, &r->arena, n + c->n_refused);
    for (int32_t i = 0; i < n; i++)
        all[i] = out->responses.v[i];
    for (int32_t i = 0; i < c->n_refused; i++)
        all[n + i] = c->remove.refused[i];
    out->responses.v = all;
    out->responses.n = n + c->n_refused;
    request_reply(r);
}

void delete_topics(struct request *r)
{
    const struct DeleteTopicsRequest *in = r->in;
    struct change *c = change_new(r, decide_delete_topics, delete_done);
    struct DeleteTopicsRequest *ask = &c->remove.ask;

    *ask = *in;
    ask->topics.v = room_for(r, in->topics.n, sizeof(*ask->topics.v));
    ask->topic_names.v = room_for(r, in->topic_names.n, sizeof(*ask->topic_names.v));
    ask->topics.n = ask->topic_names.n = 0;
    c->remove.refused = room_for(r, in->topics.n + in->topic_names.n, sizeof(*c->remove.refused));
    for (int32_t i = 0; i < in->topics.n; i++) {
        if (delete_refused(r, &in->topics.v[i], &c->remove.refused[c->n_refused]))
            c->n_refused++;
        else
            ask->topics.v[ask->topics.n++] = in->topics.v[i];
    }
    for (int32_t i = 0; i < in->topic_names.n; i++) {
        const struct DeleteTopicsRequest_DeleteTopicState by_name = {.name = in->topic_names.v[i]};
        if (delete_refused(r, &by_name, &c->remove.refused[c->n_refused]))
            c->n_refused++;
        else
            ask->topic_names.v[ask->topic_names.n++] = in->topic_names.v[i];
    }
    change_go(c, ask, in->timeout_ms);
}

/* ---- CreatePartitions ---- */

typedef struct CreatePartitionsResponse_CreatePartitionsTopicResult grown_topic;

static void grow_failed(struct request *r, const struct change *c)
{
    struct CreatePartitionsResponse *out = r->out;

    PROTO_ARRAY_NEW(&r->arena, CreatePartitionsResponse_CreatePartitionsTopicResult, out->results,
                    c->grow.ask.topics.n);
    for (int32_t i = 0; i < out->results.n; i++) {
        out->results.v[i].name = c->grow.ask.topics.v[i].name;
        out->results.v[i].error_code = err_wire(c->call.err);
    }
}

static void grow_done(struct control_call *call)
{
    struct change *c = container_of(call, struct change, call);
    struct request *r = call->arg;
    struct CreatePartitionsResponse *out = r->out;
    grown_topic *all;
    int32_t n;

    if (call->err)
        grow_failed(r, c);
    n = out->results.n;
    all = proto_new(&CreatePartitionsResponse_CreatePartitionsTopicResult_type, &r->arena, n + c->n_refused);
    for (int32_t i = 0; i < n; i++)
        all[i] = out->results.v[i];
    for (int32_t i = 0; i < c->n_refused; i++) {
        all[n + i].name = c->grow.refused[i];
        all[n + i].error_code = err_wire(E_TOPIC_AUTHORIZATION_FAILED);
    }
    out->results.v = all;
    out->results.n = n + c->n_refused;
    request_reply(r);
}

void create_partitions(struct request *r)
{
    const struct CreatePartitionsRequest *in = r->in;
    struct change *c = change_new(r, decide_create_partitions, grow_done);
    struct CreatePartitionsRequest *ask = &c->grow.ask;

    *ask = *in;
    ask->topics.v = room_for(r, in->topics.n, sizeof(*ask->topics.v));
    ask->topics.n = 0;
    c->grow.refused = room_for(r, in->topics.n, sizeof(*c->grow.refused));
    for (int32_t i = 0; i < in->topics.n; i++) {
        if (authorize(r, OP_ALTER, RES_TOPIC, in->topics.v[i].name))
            ask->topics.v[ask->topics.n++] = in->topics.v[i];
        else
            c->grow.refused[c->n_refused++] = in->topics.v[i].name;
    }
    change_go(c, ask, in->timeout_ms);
}
