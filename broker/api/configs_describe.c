/* DescribeConfigs and ListConfigResources: answered from the image and the settings that the loop has adopted, in steps
 * (net/long_answer.h). */
#include "base/trace.h"
#include "broker/api/handlers.h"
#include "broker/net/long_answer.h"
#include "broker/node.h"
#include "metadata/topic_name.h"
#include <proto_gen.h>
#include <stdio.h>

typedef struct DescribeConfigsRequest_DescribeConfigsResource wanted_t;
typedef struct DescribeConfigsResponse_DescribeConfigsResult result_t;
typedef struct DescribeConfigsResponse_DescribeConfigsResourceResult setting_t;

/* An answer larger than this is refused resource by resource: a small request could ask for one broker many
 * times. */
enum { ANSWER_BYTES_MAX = 16 << 20, RESOURCE_WORK = 30 };

static void refuse(result_t *to, enum err err, const char *why)
{
    to->error_code = err_wire(err);
    to->error_message = SLICE(why ? why : err_text(err));
}

static bool is_wanted(const wanted_t *w, const char *name)
{
    for (int i = 0; i < w->configuration_keys.n; i++)
        if (w->configuration_keys.v[i].len == strlen(name) &&
            memcmp(w->configuration_keys.v[i].p, name, strlen(name)) == 0)
            return true;
    return w->configuration_keys.n <= 0; /* null or empty: all */
}

static struct slice text_of(const char *s)
{
    return s ? SLICE(s) : SLICE_NULL;
}

static void fill_synonyms(struct arena *a, const struct config_described *d, setting_t *to)
{
    PROTO_ARRAY_NEW(a, DescribeConfigsResponse_DescribeConfigsSynonym, to->synonyms, d->n_synonyms);
    for (int i = 0; i < d->n_synonyms; i++)
        to->synonyms.v[i] =
            (struct DescribeConfigsResponse_DescribeConfigsSynonym){.name = SLICE(d->synonyms[i].name),
                                                                    .value = text_of(d->synonyms[i].value),
                                                                    .source = (int8_t)d->synonyms[i].source};
}

static void fill(const struct request *r, struct arena *a, const wanted_t *w,
                 const struct config_described *v, int n, result_t *to)
{
    const struct DescribeConfigsRequest *in = r->in;
    int told = 0;

    PROTO_ARRAY_NEW(a, DescribeConfigsResponse_DescribeConfigsResourceResult, to->configs, n);
    for (int i = 0; i < n; i++) {
        setting_t *s = &to->configs.v[told];
        if (!is_wanted(w, v[i].name))
            continue;
        told++;
        s->name = SLICE(v[i].name);
        s->value = text_of(v[i].value);
        s->read_only = v[i].read_only;
        s->config_source = (int8_t)v[i].source;
        s->is_sensitive = v[i].sensitive;
        s->config_type = v[i].type;
        s->documentation = in->include_documentation ? text_of(v[i].doc) : SLICE_NULL;
        if (in->include_synonyms)
            fill_synonyms(a, &v[i], s);
    }
    to->configs.n = told;
}

/* The entries that the image has for a resource. */
static struct config_entry *own_entries(const struct request *r, struct arena *a, const wanted_t *w, int *n)
{
    enum config_resource type = (enum config_resource)w->resource_type;
    const struct image_config *c;
    struct config_entry *own;

    *n = 0;
    for (struct image_configs it = image_configs_of(r->net->image, type, w->resource_name);
         image_configs_next(&it);)
        ++*n;
    own = arena_alloc(a, (size_t)(*n + 1) * sizeof(*own));
    *n = 0;
    for (struct image_configs it = image_configs_of(r->net->image, type, w->resource_name);
         (c = image_configs_next(&it));)
        own[(*n)++] = (struct config_entry){.name = c->name, .value = c->value};
    return own;
}

static void describe_own(const struct request *r, struct arena *a, const wanted_t *w, result_t *to)
{
    const struct config_described *v;
    struct config_entry *own;
    int n_own, n;

    own = own_entries(r, a, w, &n_own);
    v = config_describe(r->net->config, (enum config_resource)w->resource_type, w->resource_name.len == 0,
                        own, n_own, a, &n);
    fill(r, a, w, v, n, to);
}

/* Brokers tell of themselves alone. */
static bool is_this_broker(const struct request *r, struct arena *a, struct slice name, result_t *to)
{
    char mine[16];
    int len = snprintf(mine, sizeof(mine), "%d", r->net->node->id);

    if (slice_eq(name, slice_of(mine, (size_t)len)))
        return true;
    refuse(to, E_INVALID_REQUEST,
           arena_printf(a, "This is broker %s, not %.*s: ask that one itself", mine, (int)name.len, name.p));
    return false;
}

static void describe_loggers(const struct request *r, struct arena *a, const wanted_t *w, result_t *to)
{
    const struct trace *t = io_trace(r->net->node->io);
    struct config_described *v = arena_alloc(a, (size_t)trace_logger_count() * sizeof(*v));

    if (!is_this_broker(r, a, w->resource_name, to))
        return;
    for (int i = 0; i < trace_logger_count(); i++)
        v[i] = (struct config_described){.name = trace_logger_name(i),
                                         .value = trace_level_name(trace_logger_level(t, i)),
                                         .source = CONFIG_FROM_LOGGER,
                                         .doc = "The level from which this logger's lines are written."};
    fill(r, a, w, v, trace_logger_count(), to);
}

static bool allowed(const struct request *r, const wanted_t *w, result_t *to)
{
    enum acl_resource on = RES_CLUSTER;
    enum err err = E_CLUSTER_AUTHORIZATION_FAILED;
    struct slice name = SLICE("kafka-cluster");

    if (w->resource_type == CONFIG_TOPIC || w->resource_type == CONFIG_GROUP) {
        on = w->resource_type == CONFIG_TOPIC ? RES_TOPIC : RES_GROUP;
        err = w->resource_type == CONFIG_TOPIC ? E_TOPIC_AUTHORIZATION_FAILED : E_GROUP_AUTHORIZATION_FAILED;
        name = w->resource_name;
    }
    if (authorize(r, OP_DESCRIBE_CONFIGS, on, name))
        return true;
    refuse(to, err, NULL);
    return false;
}

static void describe_one(const struct request *r, struct arena *a, size_t told, const wanted_t *w,
                         result_t *to)
{
    to->resource_type = w->resource_type;
    to->resource_name = w->resource_name;
    if (!allowed(r, w, to))
        return;
    if (told > ANSWER_BYTES_MAX) {
        refuse(to, E_INVALID_REQUEST, "The answer would be too large: ask for fewer resources at a time");
        return;
    }
    switch (w->resource_type) {
    case CONFIG_TOPIC:
        if (!topic_name_ok(w->resource_name))
            refuse(to, E_INVALID_TOPIC_EXCEPTION, NULL);
        else if (!image_topic_by_name(r->net->image, w->resource_name))
            refuse(to, E_UNKNOWN_TOPIC_OR_PARTITION, NULL);
        else
            describe_own(r, a, w, to);
        return;
    case CONFIG_BROKER:
        if (w->resource_name.len == 0 || is_this_broker(r, a, w->resource_name, to))
            describe_own(r, a, w, to);
        return;
    case CONFIG_BROKER_LOGGER:
        describe_loggers(r, a, w, to);
        return;
    case CONFIG_GROUP:
    case CONFIG_CLIENT_METRICS:
        if (w->resource_name.len == 0)
            refuse(to, E_INVALID_REQUEST, "Groups and client metrics subscriptions have names");
        else
            describe_own(r, a, w, to);
        return;
    default:
        refuse(to, E_INVALID_REQUEST, arena_printf(a, "There is no resource type %d", w->resource_type));
    }
}

static bool describe_step(struct long_answer *to, struct request *r, void *state)
{
    const struct DescribeConfigsRequest *in = r->in;
    int *at = state;
    result_t told;

    if (*at == in->resources.n)
        return false;
    proto_defaults(&DescribeConfigsResponse_DescribeConfigsResult_type, &told);
    describe_one(r, long_scratch(to), long_bytes(to), &in->resources.v[(*at)++], &told);
    long_work(to, RESOURCE_WORK);
    long_add(to, &DescribeConfigsResponse_DescribeConfigsResult_type, &told);
    return true;
}

static void describe_begin(struct request *r, struct long_plan *plan)
{
    struct DescribeConfigsResponse *out = r->out;

    *plan = (struct long_plan){
        .array = &out->results, .step = describe_step, .state = arena_alloc(&r->arena, sizeof(int))};
}

void describe_configs(struct request *r)
{
    request_reply_long(r, describe_begin);
}

/* ---- ListConfigResources ---- */

/* In this order: topics, brokers twice, and those that have entries. */
enum list_stage { LIST_TOPICS, LIST_BROKERS, LIST_LOGGERS, LIST_METRICS, LIST_GROUPS, LIST_END };

struct listing {
    const struct image *image;
    enum list_stage stage;
    bool begun; /* the stage: one of these is under way */
    struct image_topics topics;
    struct image_brokers brokers;
    struct image_configs configs;
    struct slice last;
};

static void list_add_one(struct long_answer *to, enum config_resource type, struct slice name)
{
    const struct ListConfigResourcesResponse_ConfigResource told = {.resource_name = name,
                                                                    .resource_type = (int8_t)type};

    long_add(to, &ListConfigResourcesResponse_ConfigResource_type, &told);
}

static bool list_topic(struct long_answer *to, struct listing *l)
{
    const struct image_topic *t = image_topics_next(&l->topics);

    if (t)
        list_add_one(to, CONFIG_TOPIC, t->name);
    return t != NULL;
}

static bool list_broker(struct long_answer *to, struct listing *l, enum config_resource type)
{
    const struct image_broker *b = image_brokers_next(&l->brokers);

    if (b)
        list_add_one(to, type, SLICE(arena_printf(long_scratch(to), "%d", (int)b->reg.id)));
    return b != NULL;
}

/* A resource's entries stand together. */
static bool list_configured(struct long_answer *to, struct listing *l, enum config_resource type)
{
    const struct image_config *c = image_configs_next(&l->configs);

    if (!c)
        return false;
    if (c->type == (int8_t)type && (!l->last.p || !slice_eq(l->last, c->resource))) {
        l->last = c->resource;
        list_add_one(to, type, c->resource);
    }
    return true;
}

static const enum config_resource listed_type[LIST_END] = {[LIST_TOPICS] = CONFIG_TOPIC,
                                                           [LIST_BROKERS] = CONFIG_BROKER,
                                                           [LIST_LOGGERS] = CONFIG_BROKER_LOGGER,
                                                           [LIST_METRICS] = CONFIG_CLIENT_METRICS,
                                                           [LIST_GROUPS] = CONFIG_GROUP};

static bool list_one(struct long_answer *to, struct listing *l)
{
    enum config_resource type = listed_type[l->stage];

    return type == CONFIG_TOPIC                                    ? list_topic(to, l)
           : type == CONFIG_BROKER || type == CONFIG_BROKER_LOGGER ? list_broker(to, l, type)
                                                                   : list_configured(to, l, type);
}

static bool type_wanted(const struct request *r, enum config_resource type)
{
    const struct ListConfigResourcesRequest *in = r->in;

    if (r->version == 0) /* knows of nothing else, and doesn't say so */
        return type == CONFIG_CLIENT_METRICS;
    for (int i = 0; i < in->resource_types.n; i++)
        if (in->resource_types.v[i] == (int8_t)type)
            return true;
    return in->resource_types.n == 0;
}

static bool list_step(struct long_answer *to, struct request *r, void *state)
{
    struct listing *l = state;

    if (!l->begun) {
        l->begun = true;
        l->topics = image_topics_from(l->image, SLICE_NULL);
        l->brokers = image_brokers_all(l->image);
        l->configs = image_configs_all(l->image);
        l->last = SLICE_NULL;
    }
    if (type_wanted(r, listed_type[l->stage]) && list_one(to, l))
        return true;
    l->begun = false;
    return ++l->stage < LIST_END;
}

static void list_begin(struct request *r, struct long_plan *plan)
{
    struct ListConfigResourcesResponse *out = r->out;
    struct listing *l = arena_alloc(&r->arena, sizeof(*l));

    l->image = r->net->image;
    *plan = (struct long_plan){.array = &out->config_resources, .step = list_step, .state = l};
}

static bool types_known(const struct ListConfigResourcesRequest *in)
{
    for (int i = 0; i < in->resource_types.n; i++)
        switch (in->resource_types.v[i]) {
        case CONFIG_TOPIC:
        case CONFIG_BROKER:
        case CONFIG_BROKER_LOGGER:
        case CONFIG_CLIENT_METRICS:
        case CONFIG_GROUP:
            break;
        default:
            return false;
        }
    return true;
}

void list_config_resources(struct request *r)
{
    struct ListConfigResourcesResponse *out = r->out;

    if (!authorize(r, OP_DESCRIBE_CONFIGS, RES_CLUSTER, SLICE("kafka-cluster")))
        out->error_code = err_wire(E_CLUSTER_AUTHORIZATION_FAILED);
    else if (!types_known(r->in))
        out->error_code = err_wire(E_UNSUPPORTED_VERSION);
    if (out->error_code)
        request_reply(r);
    else
        request_reply_long(r, list_begin);
}
