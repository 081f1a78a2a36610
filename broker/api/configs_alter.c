/* AlterConfigs and IncrementalAlterConfigs: what the broker decides itself, and what the controller gets.
 *
 *   each resource ─► refused here: named twice, null, another broker's, a broker setting that can't be
 *                 ├► done here: levels of this broker's loggers
 *                 └► one request to the controller for all the rest; its answers are put back in their places
 *
 * Both requests are brought to one shape: AlterConfigs says SET for each entry, and that the others go. */
#include "base/trace.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "metadata/list_value.h"
#include <proto_gen.h>
#include <stdio.h>
#include <stdlib.h>

enum { SET_ = 0, DELETE_ = 1, APPEND_ = 2, SUBTRACT_ = 3 };

struct change {
    struct slice name;
    struct slice value;
    int op;
};

struct alter {
    int type;
    struct slice name;
    const struct change *changes;
    int n;
    enum err err;
    int16_t code; /* the controller's, where it was asked */
    const char *why;
    struct slice message;
    int asked; /* its place in the controller's request; -1: decided here */
};

struct altering {
    struct request *r;
    bool incremental;
    bool validate_only;
    struct alter *v;
    int n;
    int n_asked;
    struct control_call call;
};

static void refuse(struct alter *a, enum err err, const char *why)
{
    a->err = err;
    a->why = why;
}

static bool allowed(struct request *r, struct alter *a)
{
    enum acl_resource on = a->type == CONFIG_TOPIC   ? RES_TOPIC
                           : a->type == CONFIG_GROUP ? RES_GROUP
                                                     : RES_CLUSTER;

    if (authorize(r, OP_ALTER_CONFIGS, on, on == RES_CLUSTER ? SLICE("kafka-cluster") : a->name))
        return true;
    refuse(a,
           on == RES_TOPIC   ? E_TOPIC_AUTHORIZATION_FAILED
           : on == RES_GROUP ? E_GROUP_AUTHORIZATION_FAILED
                             : E_CLUSTER_AUTHORIZATION_FAILED,
           NULL);
    return false;
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static bool has_twice(struct slice *v, int n)
{
    qsort(v, (size_t)n, sizeof(*v), by_name);
    for (int i = 1; i < n; i++)
        if (slice_eq(v[i - 1], v[i]))
            return true;
    return false;
}

static int by_resource(const void *a, const void *b)
{
    const struct alter *x = *(struct alter *const *)a, *y = *(struct alter *const *)b;

    return x->type != y->type ? x->type - y->type : slice_cmp(x->name, y->name);
}

/* Resources that are named twice are refused, each of them. */
static void refuse_twins(struct altering *x)
{
    struct alter **v = arena_alloc(&x->r->arena, (size_t)(x->n + 1) * sizeof(*v));

    for (int i = 0; i < x->n; i++)
        v[i] = &x->v[i];
    qsort(v, (size_t)x->n, sizeof(struct alter *), by_resource);
    for (int i = 1; i < x->n; i++)
        if (by_resource(&v[i - 1], &v[i]) == 0) {
            refuse(v[i - 1], E_INVALID_REQUEST, "Each resource must appear once");
            refuse(v[i], E_INVALID_REQUEST, "Each resource must appear once");
        }
}

/* What is wrong with a resource's changes, whatever they mean. */
static bool well_formed(struct altering *x, struct alter *a)
{
    struct slice *names = arena_alloc(&x->r->arena, (size_t)(a->n + 1) * sizeof(*names));

    for (int i = 0; i < a->n; i++) {
        const struct change *c = &a->changes[i];
        names[i] = c->name;
        if (c->op < SET_ || c->op > SUBTRACT_)
            refuse(a, E_INVALID_REQUEST, "There is no such operation");
        else if (!c->value.p && c->op != DELETE_)
            refuse(a, E_INVALID_REQUEST,
                   arena_printf(&x->r->arena, "%.*s: null is no value", (int)c->name.len, c->name.p));
    }
    if (!a->err && has_twice(names, a->n))
        refuse(a, E_INVALID_REQUEST, "Each setting must appear once");
    return !a->err;
}

static bool is_this_broker(struct altering *x, struct alter *a)
{
    char mine[16];
    int len = snprintf(mine, sizeof(mine), "%d", x->r->net->node->id);

    if (slice_eq(a->name, slice_of(mine, (size_t)len)))
        return true;
    refuse(a, E_INVALID_REQUEST,
           arena_printf(&x->r->arena, "This is broker %s: ask the other one itself", mine));
    return false;
}

/* ---- Loggers ---- */

static int logger_find(struct slice name)
{
    for (int i = 0; i < trace_logger_count(); i++)
        if (slice_eq(name, SLICE(trace_logger_name(i))))
            return i;
    return -1;
}

static bool logger_change_ok(struct altering *x, struct alter *a, const struct change *c)
{
    enum trace_level level;

    if (c->op == APPEND_ || c->op == SUBTRACT_)
        refuse(a, E_INVALID_REQUEST, "A logger's level can be set and deleted, no more");
    else if (c->op == DELETE_ && slice_eq(c->name, SLICE("root")))
        refuse(a, E_INVALID_REQUEST, "The level of the root logger can't be deleted");
    else if (logger_find(c->name) < 0)
        refuse(a, E_INVALID_CONFIG,
               arena_printf(&x->r->arena, "There is no logger %.*s", (int)c->name.len, c->name.p));
    else if (c->op == SET_ && !trace_level_find(c->value, &level))
        refuse(a, E_INVALID_CONFIG,
               arena_printf(&x->r->arena, "%.*s is no level: FATAL ERROR WARN INFO DEBUG TRACE are",
                            (int)c->value.len, c->value.p));
    else if (c->op == DELETE_ && logger_find(c->name) == 0)
        refuse(a, E_INVALID_REQUEST, "The level of the root logger can't be deleted");
    return !a->err;
}

/* All changes or none. A deleted level is the root's again. */
static void alter_loggers(struct altering *x, struct alter *a)
{
    struct trace *t = io_trace(x->r->net->node->io);
    enum trace_level level;

    if (!x->incremental) {
        refuse(a, E_INVALID_REQUEST, "Loggers are changed by IncrementalAlterConfigs");
        return;
    }
    if (!is_this_broker(x, a))
        return;
    for (int i = 0; i < a->n; i++)
        if (!logger_change_ok(x, a, &a->changes[i]))
            return;
    for (int i = 0; i < a->n && !x->validate_only; i++) {
        if (a->changes[i].op == DELETE_ || !trace_level_find(a->changes[i].value, &level))
            level = trace_logger_level(t, 0);
        trace_logger_set(t, logger_find(a->changes[i].name), level);
    }
}

/* ---- Brokers ---- */

static uint64_t chance(const struct altering *x)
{
    uint64_t seed;

    io_random(x->r->net->node->io, &seed, sizeof(seed));
    return seed;
}

/* The settings that a broker, or all by default, would have of their own. */
struct owns {
    struct slice *names;
    struct slice *values;
    int n;
    struct map at; /* name → its place in values */
};

static void owns_put(struct owns *o, struct slice name, struct slice value)
{
    struct slice *at = map_get(&o->at, name);

    if (!at)
        (void)map_put(&o->at, name, at = &o->values[o->n++]);
    o->names[at - o->values] = name;
    *at = value;
}

static void owns_begin(struct altering *x, const struct alter *a, struct owns *o)
{
    const struct image_config *c;
    int n = 0;

    for (struct image_configs it = image_configs_of(x->r->net->image, CONFIG_BROKER, a->name);
         image_configs_next(&it);)
        n++;
    *o = (struct owns){.names = arena_alloc(&x->r->arena, (size_t)(n + a->n + 1) * sizeof(*o->names)),
                       .values = arena_alloc(&x->r->arena, (size_t)(n + a->n + 1) * sizeof(*o->values))};
    map_init(&o->at, x->r->net->node->heap, chance(x));
    if (!x->incremental)
        return;
    for (struct image_configs it = image_configs_of(x->r->net->image, CONFIG_BROKER, a->name);
         (c = image_configs_next(&it));)
        owns_put(o, c->name, c->value);
}

static void owns_change(struct altering *x, struct alter *a, const struct change *c, struct owns *o)
{
    struct arena *mem = &x->r->arena;
    const char *preset = config_default(CONFIG_BROKER, c->name);
    const struct slice *at = map_get(&o->at, c->name);
    struct slice value = c->op == DELETE_ ? SLICE_NULL : c->value;
    char why[512];

    if (c->op >= APPEND_) {
        if (!config_is_list(CONFIG_BROKER, c->name)) {
            refuse(a, E_INVALID_CONFIG,
                   arena_printf(mem, "%.*s is no list: nothing can be added or taken away", (int)c->name.len,
                                c->name.p));
            return;
        }
        value = list_value_change(mem, chance(x), at ? *at : SLICE(preset ? preset : ""), value,
                                  c->op == APPEND_);
    }
    a->err = config_check(x->r->net->config, CONFIG_BROKER, a->name, c->name, value, why, sizeof(why));
    a->why = a->err ? arena_str(mem, SLICE(why)) : NULL;
    owns_put(o, c->name, value);
}

/* Checked as a whole: Kafka's controller leaves that to the broker, which alone knows its static settings. */
static void check_broker(struct altering *x, struct alter *a)
{
    struct owns o;
    char why[512];

    if (a->name.len > 0 && !is_this_broker(x, a))
        return;
    owns_begin(x, a, &o);
    for (int i = 0; i < a->n && !a->err; i++)
        owns_change(x, a, &a->changes[i], &o);
    map_drop(&o.at);
    if (a->err)
        return;
    a->err =
        config_check_all(x->r->net->config, CONFIG_BROKER, a->name, o.names, o.values, o.n, why, sizeof(why));
    a->why = a->err ? arena_str(&x->r->arena, SLICE(why)) : NULL;
}

/* ---- All ---- */

static void decide_here(struct altering *x, struct alter *a)
{
    a->asked = -1;
    if (a->err || !well_formed(x, a) || !allowed(x->r, a))
        return;
    switch (a->type) {
    case CONFIG_BROKER_LOGGER:
        alter_loggers(x, a);
        return;
    case CONFIG_TOPIC:
        if (a->name.len == 0)
            refuse(a, E_INVALID_REQUEST, "Topics have no common default: name one");
        break;
    case CONFIG_BROKER:
        check_broker(x, a);
        break;
    case CONFIG_CLIENT_METRICS:
    case CONFIG_GROUP:
        break;
    default:
        refuse(a, E_INVALID_REQUEST, arena_printf(&x->r->arena, "There is no resource type %d", a->type));
    }
    if (!a->err)
        a->asked = x->n_asked++;
}

static void answer(struct altering *x)
{
    struct arena *mem = &x->r->arena;

#define ANSWER(Name)                                                                                         \
    do {                                                                                                     \
        struct Name##Response *out = x->r->out;                                                              \
        PROTO_ARRAY_NEW(mem, Name##Response_AlterConfigsResourceResponse, out->responses, x->n);             \
        for (int i = 0; i < x->n; i++)                                                                       \
            out->responses.v[i] =                                                                            \
                (struct Name##Response_AlterConfigsResourceResponse){.error_code = x->v[i].code,             \
                                                                     .error_message = x->v[i].message,       \
                                                                     .resource_type = (int8_t)x->v[i].type,  \
                                                                     .resource_name = x->v[i].name};         \
    } while (0)
    for (int i = 0; i < x->n; i++) {
        struct alter *a = &x->v[i];
        if (a->asked >= 0 && !a->err)
            continue;
        a->code = err_wire(a->err);
        a->message = a->err ? SLICE(a->why ? a->why : err_text(a->err)) : SLICE_NULL;
    }
    if (x->incremental)
        ANSWER(IncrementalAlterConfigs);
    else
        ANSWER(AlterConfigs);
#undef ANSWER
    request_reply(x->r);
}

/* The controller answers in the order in which it was asked. */
static void alter_done(struct control_call *call)
{
    struct altering *x = call->arg;

#define TAKE(Name)                                                                                           \
    do {                                                                                                     \
        const struct Name##Response *out = call->out;                                                        \
        if (a->asked < out->responses.n) {                                                                   \
            a->code = out->responses.v[a->asked].error_code;                                                 \
            a->message = out->responses.v[a->asked].error_message;                                           \
        } else {                                                                                             \
            a->err = E_UNKNOWN_SERVER_ERROR;                                                                 \
        }                                                                                                    \
    } while (0)
    for (struct alter *a = x->v; a < x->v + x->n; a++) {
        if (a->asked < 0)
            continue;
        if (call->err)
            a->err = call->err;
        else if (x->incremental)
            TAKE(IncrementalAlterConfigs);
        else
            TAKE(AlterConfigs);
    }
#undef TAKE
    answer(x);
}

static void ask(struct altering *x, const struct proto_type *in, const struct proto_type *out,
                ctl_decide_fn decide)
{
    void *request = proto_new(in, &x->r->arena, 1);

#define ASK(Name)                                                                                            \
    do {                                                                                                     \
        const struct Name##Request *from = x->r->in;                                                         \
        struct Name##Request *to = request;                                                                  \
        to->validate_only = x->validate_only;                                                                \
        PROTO_ARRAY_NEW(&x->r->arena, Name##Request_AlterConfigsResource, to->resources, x->n_asked);        \
        for (int i = 0; i < x->n; i++)                                                                       \
            if (x->v[i].asked >= 0)                                                                          \
                to->resources.v[x->v[i].asked] = from->resources.v[i];                                       \
    } while (0)
    if (x->incremental)
        ASK(IncrementalAlterConfigs);
    else
        ASK(AlterConfigs);
#undef ASK
    x->call = control_call_of(x->r, decide, request, alter_done, x);
    x->call.out = proto_new(out, &x->r->arena, 1);
    control_call(&x->call);
}

static struct altering *begin(struct request *r, int n, bool validate_only, bool incremental)
{
    struct altering *x = arena_alloc(&r->arena, sizeof(*x));

    *x = (struct altering){.r = r, .n = n, .validate_only = validate_only, .incremental = incremental};
    x->v = arena_alloc(&r->arena, (size_t)(n + 1) * sizeof(*x->v));
    return x;
}

void alter_configs(struct request *r)
{
    const struct AlterConfigsRequest *in = r->in;
    struct altering *x = begin(r, in->resources.n, in->validate_only, false);

    for (int i = 0; i < x->n; i++) {
        const struct AlterConfigsRequest_AlterConfigsResource *from = &in->resources.v[i];
        struct change *v = arena_alloc(&r->arena, (size_t)(from->configs.n + 1) * sizeof(*v));
        for (int j = 0; j < from->configs.n; j++)
            v[j] = (struct change){
                .name = from->configs.v[j].name, .value = from->configs.v[j].value, .op = SET_};
        x->v[i] = (struct alter){
            .type = from->resource_type, .name = from->resource_name, .changes = v, .n = from->configs.n};
    }
    refuse_twins(x);
    for (int i = 0; i < x->n; i++)
        decide_here(x, &x->v[i]);
    if (x->n_asked)
        ask(x, &AlterConfigsRequest_type, &AlterConfigsResponse_type, decide_alter_configs);
    else
        answer(x);
}

void incremental_alter_configs(struct request *r)
{
    const struct IncrementalAlterConfigsRequest *in = r->in;
    struct altering *x = begin(r, in->resources.n, in->validate_only, true);

    for (int i = 0; i < x->n; i++) {
        const struct IncrementalAlterConfigsRequest_AlterConfigsResource *from = &in->resources.v[i];
        struct change *v = arena_alloc(&r->arena, (size_t)(from->configs.n + 1) * sizeof(*v));
        for (int j = 0; j < from->configs.n; j++)
            v[j] = (struct change){.name = from->configs.v[j].name,
                                   .value = from->configs.v[j].value,
                                   .op = from->configs.v[j].config_operation};
        x->v[i] = (struct alter){
            .type = from->resource_type, .name = from->resource_name, .changes = v, .n = from->configs.n};
    }
    refuse_twins(x);
    for (int i = 0; i < x->n; i++)
        decide_here(x, &x->v[i]);
    if (x->n_asked)
        ask(x, &IncrementalAlterConfigsRequest_type, &IncrementalAlterConfigsResponse_type,
            decide_incremental_alter_configs);
    else
        answer(x);
}
