/* DescribeConfigs and ListConfigResources: answered from the image and the settings that the loop has
 * adopted. */
#include "base/trace.h"
#include "broker/api/handlers.h"
#include "broker/node.h"
#include <ctype.h>
#include <proto_gen.h>
#include <stdio.h>

typedef struct DescribeConfigsRequest_DescribeConfigsResource wanted_t;
typedef struct DescribeConfigsResponse_DescribeConfigsResult result_t;
typedef struct DescribeConfigsResponse_DescribeConfigsResourceResult setting_t;

/* An answer larger than this is refused resource by resource: a small request could ask for one broker many
 * times. */
enum { ANSWER_BYTES_MAX = 16 << 20 };

/* Whether a topic could have that name at all. */
static bool topic_name_ok(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum(s.p[i]) && !memchr("._-", s.p[i], 3))
            return false;
    return s.len > 0 && s.len <= 249 && !slice_eq(s, SLICE(".")) && !slice_eq(s, SLICE(".."));
}

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

static void fill(struct request *r, const wanted_t *w, const struct config_described *v, int n, result_t *to)
{
    const struct DescribeConfigsRequest *in = r->in;
    int told = 0;

    PROTO_ARRAY_NEW(&r->arena, DescribeConfigsResponse_DescribeConfigsResourceResult, to->configs, n);
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
            fill_synonyms(&r->arena, &v[i], s);
    }
    to->configs.n = told;
}

/* The entries that the image has for a resource. */
static struct config_entry *own_entries(struct request *r, const wanted_t *w, int *n)
{
    enum config_resource type = (enum config_resource)w->resource_type;
    const struct image_config *c;
    struct config_entry *own;

    *n = 0;
    for (struct image_configs it = image_configs_of(r->net->image, type, w->resource_name);
         image_configs_next(&it);)
        ++*n;
    own = arena_alloc(&r->arena, (size_t)(*n + 1) * sizeof(*own));
    *n = 0;
    for (struct image_configs it = image_configs_of(r->net->image, type, w->resource_name);
         (c = image_configs_next(&it));)
        own[(*n)++] = (struct config_entry){.name = c->name, .value = c->value};
    return own;
}

static void describe_own(struct request *r, const wanted_t *w, result_t *to)
{
    const struct config_described *v;
    struct config_entry *own;
    int n_own, n;

    own = own_entries(r, w, &n_own);
    v = config_describe(r->net->config, (enum config_resource)w->resource_type, w->resource_name.len == 0,
                        own, n_own, &r->arena, &n);
    fill(r, w, v, n, to);
}

/* Brokers tell of themselves alone. */
static bool is_this_broker(struct request *r, struct slice name, result_t *to)
{
    char mine[16];
    int len = snprintf(mine, sizeof(mine), "%d", r->net->node->id);

    if (slice_eq(name, slice_of(mine, (size_t)len)))
        return true;
    refuse(to, E_INVALID_REQUEST,
           arena_printf(&r->arena, "This is broker %s, not %.*s: ask that one itself", mine, (int)name.len,
                        name.p));
    return false;
}

static void describe_loggers(struct request *r, const wanted_t *w, result_t *to)
{
    const struct trace *t = io_trace(r->net->node->io);
    struct config_described *v = arena_alloc(&r->arena, (size_t)trace_logger_count() * sizeof(*v));

    if (!is_this_broker(r, w->resource_name, to))
        return;
    for (int i = 0; i < trace_logger_count(); i++)
        v[i] = (struct config_described){.name = trace_logger_name(i),
                                         .value = trace_level_name(trace_logger_level(t, i)),
                                         .source = CONFIG_FROM_LOGGER,
                                         .doc = "The level from which this logger's lines are written."};
    fill(r, w, v, trace_logger_count(), to);
}

static bool allowed(struct request *r, const wanted_t *w, result_t *to)
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

static void describe_one(struct request *r, const wanted_t *w, result_t *to)
{
    to->resource_type = w->resource_type;
    to->resource_name = w->resource_name;
    if (!allowed(r, w, to))
        return;
    if (r->arena.used > ANSWER_BYTES_MAX) {
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
            describe_own(r, w, to);
        return;
    case CONFIG_BROKER:
        if (w->resource_name.len == 0 || is_this_broker(r, w->resource_name, to))
            describe_own(r, w, to);
        return;
    case CONFIG_BROKER_LOGGER:
        describe_loggers(r, w, to);
        return;
    case CONFIG_GROUP:
    case CONFIG_CLIENT_METRICS:
        if (w->resource_name.len == 0)
            refuse(to, E_INVALID_REQUEST, "Groups and client metrics subscriptions have names");
        else
            describe_own(r, w, to);
        return;
    default:
        refuse(to, E_INVALID_REQUEST,
               arena_printf(&r->arena, "There is no resource type %d", w->resource_type));
    }
}

void describe_configs(struct request *r)
{
    const struct DescribeConfigsRequest *in = r->in;
    struct DescribeConfigsResponse *out = r->out;

    PROTO_ARRAY_NEW(&r->arena, DescribeConfigsResponse_DescribeConfigsResult, out->results, in->resources.n);
    for (int i = 0; i < in->resources.n; i++)
        describe_one(r, &in->resources.v[i], &out->results.v[i]);
    request_reply(r);
}

/* ---- ListConfigResources ---- */

/* Counts when `out` has no array yet, fills it after that. */
struct listing {
    struct request *r;
    struct ListConfigResourcesResponse *out;
    int n;
};

static void list_add_one(struct listing *l, enum config_resource type, struct slice name)
{
    if (l->out->config_resources.v)
        l->out->config_resources.v[l->n] = (struct ListConfigResourcesResponse_ConfigResource){
            .resource_name = name, .resource_type = (int8_t)type};
    l->n++;
}

static void list_topics(struct listing *l)
{
    const struct image_topic *t;

    for (struct image_topics it = image_topics_from(l->r->net->image, SLICE_NULL);
         (t = image_topics_next(&it));)
        list_add_one(l, CONFIG_TOPIC, t->name);
}

static void list_brokers(struct listing *l, enum config_resource type)
{
    const struct image_broker *b;

    for (struct image_brokers it = image_brokers_all(l->r->net->image); (b = image_brokers_next(&it));)
        list_add_one(l, type, SLICE(arena_printf(&l->r->arena, "%d", (int)b->reg.id)));
}

/* Those that have entries; a resource's entries stand together. */
static void list_configured(struct listing *l, enum config_resource type)
{
    const struct image_config *c;
    struct slice last = SLICE_NULL;

    for (struct image_configs it = image_configs_all(l->r->net->image); (c = image_configs_next(&it));) {
        if (c->type != (int8_t)type || (last.p && slice_eq(last, c->resource)))
            continue;
        last = c->resource;
        list_add_one(l, type, c->resource);
    }
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

static void list_all(struct listing *l)
{
    if (type_wanted(l->r, CONFIG_TOPIC))
        list_topics(l);
    if (type_wanted(l->r, CONFIG_BROKER))
        list_brokers(l, CONFIG_BROKER);
    if (type_wanted(l->r, CONFIG_BROKER_LOGGER))
        list_brokers(l, CONFIG_BROKER_LOGGER);
    if (type_wanted(l->r, CONFIG_CLIENT_METRICS))
        list_configured(l, CONFIG_CLIENT_METRICS);
    if (type_wanted(l->r, CONFIG_GROUP))
        list_configured(l, CONFIG_GROUP);
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
    struct listing l = {.r = r, .out = out};

    if (!authorize(r, OP_DESCRIBE_CONFIGS, RES_CLUSTER, SLICE("kafka-cluster"))) {
        out->error_code = err_wire(E_CLUSTER_AUTHORIZATION_FAILED);
    } else if (!types_known(r->in)) {
        out->error_code = err_wire(E_UNSUPPORTED_VERSION);
    } else {
        list_all(&l);
        PROTO_ARRAY_NEW(&r->arena, ListConfigResourcesResponse_ConfigResource, out->config_resources, l.n);
        l.n = 0;
        if (out->config_resources.v)
            list_all(&l);
    }
    request_reply(r);
}
