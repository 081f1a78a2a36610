#include "base/check.h"
#include "base/map.h"
#include "metadata/decide.h"
#include "metadata/list_value.h"
#include "metadata/mentions.h"
#include "proto_gen.h"
#include <stdlib.h>

/* AlterConfigs and IncrementalAlterConfigs, in steps: rules and messages are Kafka's. Whether a value is right is told by
 * the broker's ctl_rules. A resource is checked in one go before its first record, so it changes as a whole or not at all. */

enum { OP_SET, OP_DELETE, OP_APPEND, OP_SUBTRACT };

/* One resource of either request. */
struct target {
    enum config_resource type;
    struct slice name;
    struct config_change *v;
    int n;
};

static bool is_number(struct slice s, int32_t *out)
{
    char text[16], *end;
    long v;

    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    v = strtol(text, &end, 10);
    *out = (int32_t)v;
    return *end == 0 && text[0] != ' ' && v >= INT32_MIN && v <= INT32_MAX;
}

static struct api_error check_resource_name(struct ctl_out *o, const struct target *t)
{
    int32_t id;

    if (t->name.len > UINT16_MAX) /* more than the image holds (image_check.c) */
        return api_error(o, E_INVALID_REQUEST, "A resource's name can't have %zu bytes.", t->name.len);
    switch (t->type) {
    case CONFIG_TOPIC:
        if (t->name.len == 0)
            return api_error(o, E_INVALID_REQUEST, "Default topic resources are not allowed.");
        return check_topic_name(o, t->name);
    case CONFIG_BROKER:
        if (t->name.len && !is_number(t->name, &id))
            return api_error(o, E_INVALID_REQUEST, "Unable to parse broker name as a base 10 number.");
        return API_OK;
    case CONFIG_CLIENT_METRICS:
        return t->name.len ? API_OK : api_error(o, E_INVALID_REQUEST, "Subscription name can't be empty");
    case CONFIG_GROUP:
        return t->name.len ? API_OK
                           : api_error(o, E_INVALID_REQUEST, "Default group resources are not allowed.");
    default:
        return api_error(o, E_INVALID_REQUEST, "Unexpected resource type %s.",
                         t->type == CONFIG_BROKER_LOGGER ? "BROKER_LOGGER" : "UNKNOWN");
    }
}

static struct api_error check_exists(const struct image *tip, struct ctl_out *o, const struct target *t)
{
    int32_t id;

    if (t->type == CONFIG_TOPIC && !image_topic_by_name(tip, t->name))
        return api_error(o, E_UNKNOWN_TOPIC_OR_PARTITION, "The topic '%.*s' does not exist.",
                         SLICE_ARG(t->name));
    if (t->type == CONFIG_BROKER && is_number(t->name, &id) && !image_broker(tip, id))
        return api_error(o, E_BROKER_ID_NOT_REGISTERED, "No node with id %d found.", id);
    return API_OK;
}

static struct api_error rule_error(struct ctl_out *o, enum err err, const char *why)
{
    return why[0] ? api_error(o, err, "%s", why) : api_error_plain(err);
}

/* The names of changes; a request may bring as many as its frame holds, so nobody walks them for each other. */
static void names_of(struct ctl_out *o, const struct config_change *v, int n, struct map *out)
{
    map_init(out, o->work->heap, ctl_random(o));
    for (int i = 0; i < n; i++)
        (void)map_put(out, v[i].name, (void *)&v[i]);
}

/* The resource's settings as they will be, together. */
static struct api_error check_together(const struct image *tip, struct ctl_out *o, enum config_resource type,
                                       struct slice resource, const struct config_change *v, int n)
{
    struct image_configs w = image_configs_of(tip, type, resource);
    const struct image_config *c;
    struct slice *names, *values;
    char why[512] = "";
    struct map changed;
    int count = 0;
    enum err err;

    names_of(o, v, n, &changed);
    for (; (c = image_configs_next(&w)); count++)
        ;
    names = arena_alloc(o->work, (size_t)(count + n + 1) * sizeof(*names));
    values = arena_alloc(o->work, (size_t)(count + n + 1) * sizeof(*values));
    w = image_configs_of(tip, type, resource);
    for (count = 0; (c = image_configs_next(&w));) {
        if (map_get(&changed, c->name))
            continue;
        names[count] = c->name;
        values[count++] = c->value;
    }
    for (int i = 0; i < n; i++) {
        if (!v[i].value.p)
            continue;
        names[count] = v[i].name;
        values[count++] = v[i].value;
    }
    map_drop(&changed);
    err = o->rules->check_all(o->rules->arg, type, resource, names, values, count, why, sizeof(why));
    return err ? rule_error(o, err, why) : API_OK;
}

struct api_error check_configs(const struct image *tip, struct ctl_out *o, enum config_resource type,
                               struct slice resource, const struct config_change *v, int n)
{
    char why[512] = "";

    for (int i = 0; i < n; i++) {
        enum err err =
            o->rules->check(o->rules->arg, type, resource, v[i].name, v[i].value, why, sizeof(why));

        if (err)
            return rule_error(o, err, why);
    }
    return o->rules->check_all ? check_together(tip, o, type, resource, v, n) : API_OK;
}

static struct api_error apply_op(const struct image *tip, struct ctl_out *o, const struct target *t, int op,
                                 struct config_change *c)
{
    struct slice now = image_config_slice(tip, t->type, t->name, c->name);

    switch (op) {
    case OP_SET:
        return API_OK;
    case OP_DELETE:
        c->value = SLICE_NULL;
        return API_OK;
    case OP_APPEND:
    case OP_SUBTRACT:
        if (!o->rules->is_list(o->rules->arg, t->type, c->name))
            return api_error(o, E_INVALID_CONFIG, "Can't %s to key %.*s because its type is not LIST.",
                             op == OP_APPEND ? "APPEND" : "SUBTRACT", SLICE_ARG(c->name));
        if (!now.p)
            now = o->rules->fallback(o->rules->arg, t->type, c->name);
        c->value = list_value_change(o->arena, ctl_random(o), now, c->value, op == OP_APPEND);
        return API_OK;
    default:
        return api_error(o, E_INVALID_REQUEST, "Unknown operation type %d", op);
    }
}

/* Whoever was eligible under another min.insync.replicas may not have all that is acknowledged under this one. true: the
 * change of the setting belongs to the record that says so. */
static bool clear_elr(const struct image *tip, struct ctl_out *o, const struct target *t, struct slice name)
{
    if (!slice_eq(name, SLICE(SETTING_MIN_ISR)) || image_feature(tip, FEATURE_ELR) == 0)
        return false;
    ctl_emit(o, RECORD_CLEAR_ELR, false)->clear_elr.topic = t->type == CONFIG_TOPIC ? t->name : SLICE("");
    return true;
}

/* A record if it changes; for BROKER also when the value stays, so that brokers load files again. */
static void emit_config(const struct image *tip, struct ctl_out *o, const struct target *t,
                        const struct config_change *c)
{
    struct slice now = image_config_slice(tip, t->type, t->name, c->name);
    struct meta_record *r;

    if (t->type != CONFIG_BROKER && !now.p == !c->value.p && slice_eq(now, c->value))
        return;
    r = ctl_emit(o, RECORD_CONFIG, clear_elr(tip, o, t, c->name));
    r->config = (struct record_config){
        .resource_type = (int8_t)t->type, .resource = t->name, .name = c->name, .value = c->value};
}

/* With ELR on, min.insync.replicas stands still where ELR rests on it: for all brokers alike. */
static struct api_error check_min_isr(const struct image *tip, struct ctl_out *o, const struct target *t)
{
    if (t->type != CONFIG_BROKER || image_feature(tip, FEATURE_ELR) == 0)
        return API_OK;
    for (int i = 0; i < t->n; i++) {
        if (!slice_eq(t->v[i].name, SLICE(SETTING_MIN_ISR)))
            continue;
        if (t->name.len)
            return api_error(o, E_INVALID_CONFIG,
                             "Broker-level min.insync.replicas cannot be altered while ELR is enabled.");
        if (!t->v[i].value.p)
            return api_error(o, E_INVALID_CONFIG,
                             "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.");
    }
    return API_OK;
}

static struct api_error check_resource(const struct image *tip, struct ctl_out *o, const struct target *t)
{
    struct api_error e = check_min_isr(tip, o, t);

    if (!e.err)
        e = check_resource_name(o, t);
    if (!e.err)
        e = check_configs(tip, o, t->type, t->name, t->v, t->n);
    return e.err ? e : check_exists(tip, o, t);
}

/* ---- what both requests share before anything is changed ---- */

static bool type_known(int8_t type)
{
    return type == CONFIG_TOPIC || type == CONFIG_BROKER || type == CONFIG_BROKER_LOGGER ||
           type == CONFIG_CLIENT_METRICS || type == CONFIG_GROUP;
}

/* How far a decision is. */
struct altering {
    struct mentions seen; /* how often each resource stands in the request */
    int counted;
    int at;     /* this resource … */
    bool emits; /* … is right, and its changes from `next` on are to be written */
    struct target target;
    int next;
};

static struct altering *altering_new(struct ctl_out *o, int n)
{
    struct altering *s = o->state = arena_alloc(o->arena, sizeof(*s));

    mentions_init(&s->seen, o->arena, ctl_random(o), n);
    return s;
}

static struct slice resource_key(struct arena *a, int8_t type, struct slice name)
{
    struct slice key = {.p = arena_alloc(a, name.len + 1), .len = name.len + 1};

    key.p[0] = (uint8_t)type;
    if (name.len)
        memcpy(key.p + 1, name.p, name.len);
    return key;
}

/* Counts one. false: not in this step. */
static bool altering_count(struct altering *s, struct ctl_out *o, int8_t type, struct slice name)
{
    if (ctl_pause(o))
        return false;
    mentions_add(&s->seen, resource_key(o->arena, type, name));
    o->cost += s->counted++ % 16 == 0;
    return true;
}

static int times(const struct altering *s, struct ctl_out *o, int8_t type, struct slice name)
{
    return *mentions_of(&s->seen, resource_key(o->work, type, name));
}

/* Begins to write what was found right; else the resource is over. */
static void altering_checked(struct altering *s, struct ctl_out *o, struct target t, enum err err)
{
    o->cost += 1 + t.n / 8;
    s->target = t;
    s->next = 0;
    s->emits = !err;
    s->at += err != E_OK;
}

/* true: nothing of a resource is left to write. */
static bool altering_emit(const struct image *tip, struct altering *s, struct ctl_out *o)
{
    for (; s->emits && s->next < s->target.n; s->next++) {
        if (ctl_pause(o))
            return false;
        emit_config(tip, o, &s->target, &s->target.v[s->next]);
    }
    s->at += s->emits;
    s->emits = false;
    return true;
}

static int order_changes(const void *a, const void *b)
{
    return slice_cmp(((const struct config_change *)a)->name, ((const struct config_change *)b)->name);
}

static struct api_error check_keys(struct ctl_out *o, const struct target *t, const int8_t *ops)
{
    struct config_change *sorted = arena_alloc(o->work, ((size_t)t->n + 1) * sizeof(*sorted));
    struct bytes nulls;
    struct api_error e = API_OK;

    if (t->n)
        memcpy(sorted, t->v, (size_t)t->n * sizeof(*sorted));
    qsort(sorted, (size_t)t->n, sizeof(*sorted), order_changes);
    for (int i = 1; i < t->n; i++)
        if (slice_eq(sorted[i].name, sorted[i - 1].name))
            return api_error(o, E_INVALID_REQUEST, "Error due to duplicate config keys");
    bytes_init(&nulls, o->work->heap);
    for (int i = 0; i < t->n; i++)
        if (!t->v[i].value.p && !(ops && ops[i] == OP_DELETE))
            bytes_printf(&nulls, "%s%.*s", nulls.len ? ", " : "", SLICE_ARG(t->v[i].name));
    if (nulls.len)
        e = api_error(o, E_INVALID_REQUEST, "Null value not supported for : %.*s", (int)nulls.len,
                      (const char *)nulls.p);
    bytes_drop(&nulls);
    return e;
}

static struct api_error check_target(struct ctl_out *o, const struct target *t, int8_t raw_type, int count,
                                     const int8_t *ops)
{
    if (count > 1)
        return api_error(o, E_INVALID_REQUEST, "Each resource must appear at most once.");
    if (!type_known(raw_type))
        return api_error(o, E_UNSUPPORTED_VERSION, "Unknown resource type %d.", raw_type);
    return check_keys(o, t, ops);
}

/* ---- IncrementalAlterConfigs ---- */

typedef struct IncrementalAlterConfigsRequest_AlterConfigsResource inc_resource;

static struct api_error check_changes(const struct image *tip, const inc_resource *r, int count,
                                      struct ctl_out *o, struct target *t)
{
    int8_t *ops = arena_alloc(o->work, (size_t)r->configs.n + 1);
    struct api_error e;

    *t = (struct target){.type = (enum config_resource)r->resource_type,
                         .name = r->resource_name,
                         .n = r->configs.n,
                         .v = arena_alloc(o->arena, ((size_t)r->configs.n + 1) * sizeof(*t->v))};
    for (int i = 0; i < t->n; i++) {
        t->v[i] = (struct config_change){r->configs.v[i].name, r->configs.v[i].value};
        ops[i] = r->configs.v[i].config_operation;
    }
    e = check_target(o, t, r->resource_type, count, ops);
    for (int i = 0; i < t->n && !e.err; i++)
        e = apply_op(tip, o, t, ops[i], &t->v[i]);
    return e.err ? e : check_resource(tip, o, t);
}

static struct altering *incremental_begin(const struct IncrementalAlterConfigsRequest *req,
                                          struct IncrementalAlterConfigsResponse *resp, struct ctl_out *o)
{
    PROTO_ARRAY_NEW(o->arena, IncrementalAlterConfigsResponse_AlterConfigsResourceResponse, resp->responses,
                    req->resources.n);
    resp->responses.n = 0;
    return altering_new(o, req->resources.n);
}

void decide_incremental_alter_configs(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct IncrementalAlterConfigsRequest *req = in;
    struct IncrementalAlterConfigsResponse *resp = out;
    struct altering *s = o->state ? o->state : incremental_begin(req, resp, o);
    const inc_resource *r = req->resources.v;

    while (s->counted < req->resources.n)
        if (!altering_count(s, o, r[s->counted].resource_type, r[s->counted].resource_name))
            return;
    while (altering_emit(tip, s, o) && s->at < req->resources.n && !ctl_pause(o)) {
        struct IncrementalAlterConfigsResponse_AlterConfigsResourceResponse *a;
        struct api_error e;
        struct target t;

        r = &req->resources.v[s->at];
        if (r->resource_type == CONFIG_BROKER_LOGGER) {
            s->at++;
            continue;
        }
        a = &resp->responses.v[resp->responses.n++];
        e = check_changes(tip, r, times(s, o, r->resource_type, r->resource_name), o, &t);
        a->resource_type = r->resource_type;
        a->resource_name = r->resource_name;
        api_error_set(e, &a->error_code, &a->error_message);
        altering_checked(s, o, t, e.err);
    }
    if (req->validate_only)
        o->n = 0;
}

/* ---- AlterConfigs: what it doesn't name goes back to its default ---- */

typedef struct AlterConfigsRequest_AlterConfigsResource legacy_resource;

static struct api_error check_whole(const struct image *tip, const legacy_resource *r, int count,
                                    struct ctl_out *o, struct target *t)
{
    struct image_configs w = image_configs_of(tip, (enum config_resource)r->resource_type, r->resource_name);
    size_t room = (size_t)r->configs.n + 1;
    const struct image_config *c;
    struct api_error e;
    struct map said;

    while (image_configs_next(&w))
        room++;
    *t = (struct target){.type = (enum config_resource)r->resource_type,
                         .name = r->resource_name,
                         .n = r->configs.n,
                         .v = arena_alloc(o->arena, room * sizeof(*t->v))};
    for (int i = 0; i < t->n; i++)
        t->v[i] = (struct config_change){r->configs.v[i].name, r->configs.v[i].value};
    e = check_target(o, t, r->resource_type, count, NULL);
    if (e.err)
        return e;
    names_of(o, t->v, t->n, &said);
    w = image_configs_of(tip, t->type, t->name);
    while ((c = image_configs_next(&w)))
        if (!map_get(&said, c->name))
            t->v[t->n++] = (struct config_change){.name = arena_copy(o->arena, c->name)};
    map_drop(&said);
    return check_resource(tip, o, t);
}

static struct altering *whole_begin(const struct AlterConfigsRequest *req, struct AlterConfigsResponse *resp,
                                    struct ctl_out *o)
{
    PROTO_ARRAY_NEW(o->arena, AlterConfigsResponse_AlterConfigsResourceResponse, resp->responses,
                    req->resources.n);
    return altering_new(o, req->resources.n);
}

void decide_alter_configs(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct AlterConfigsRequest *req = in;
    struct AlterConfigsResponse *resp = out;
    struct altering *s = o->state ? o->state : whole_begin(req, resp, o);
    const legacy_resource *r = req->resources.v;

    while (s->counted < req->resources.n)
        if (!altering_count(s, o, r[s->counted].resource_type, r[s->counted].resource_name))
            return;
    while (altering_emit(tip, s, o) && s->at < req->resources.n && !ctl_pause(o)) {
        struct AlterConfigsResponse_AlterConfigsResourceResponse *a = &resp->responses.v[s->at];
        struct api_error e;
        struct target t;

        r = &req->resources.v[s->at];
        e = check_whole(tip, r, times(s, o, r->resource_type, r->resource_name), o, &t);
        a->resource_type = r->resource_type;
        a->resource_name = r->resource_name;
        api_error_set(e, &a->error_code, &a->error_message);
        altering_checked(s, o, t, e.err);
    }
    if (req->validate_only)
        o->n = 0;
}
