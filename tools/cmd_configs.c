/* configs: what is set on a topic, a broker, its loggers, a metrics subscription, a group; and changing it. */
#include "metadata/image.h"
#include "tools/commands.h"
#include <stdlib.h>

#define LATER_SECURITY "security"
#define LATER_QUOTAS   "quotas"

/* clang-format off */
const struct flag flags_configs[] = {
    {"describe", 0, FLAG_BOOL, NULL, NULL, NULL, "show what is set"},
    {"alter", 0, FLAG_BOOL, NULL, NULL, NULL, "change it"},
    {"entity-type", 0, FLAG_TEXT, "TYPE", NULL, NULL, "topics, brokers, broker-loggers, client-metrics or groups"},
    {"entity-name", 0, FLAG_TEXT, "NAME", NULL, NULL, "which of them; the number of a broker"},
    {"entity-default", 0, FLAG_BOOL, NULL, NULL, NULL, "the defaults of all brokers"},
    {"topic", 0, FLAG_TEXT, "NAME", NULL, NULL, "for --entity-type topics --entity-name NAME"},
    {"broker", 0, FLAG_TEXT, "ID", NULL, NULL, "for --entity-type brokers --entity-name ID"},
    {"broker-defaults", 0, FLAG_BOOL, NULL, NULL, NULL, "for --entity-type brokers --entity-default"},
    {"broker-logger", 0, FLAG_TEXT, "ID", NULL, NULL, "for --entity-type broker-loggers --entity-name ID"},
    {"client-metrics", 0, FLAG_TEXT, "NAME", NULL, NULL, "for --entity-type client-metrics --entity-name NAME"},
    {"group", 0, FLAG_TEXT, "NAME", NULL, NULL, "for --entity-type groups --entity-name NAME"},
    {"all", 0, FLAG_BOOL, NULL, NULL, NULL, "with --describe: also what nobody has set"},
    {"add-config", 0, FLAG_TEXT, "K=V,K=[V,V]", NULL, NULL, "settings to make; lists in brackets"},
    {"add-config-file", 0, FLAG_TEXT, "FILE", NULL, NULL, "settings to make, as properties"},
    {"delete-config", 0, FLAG_TEXT, "K,K", NULL, NULL, "settings to take back"},
    {"bootstrap-controller", 0, FLAG_TEXT, "HOST:PORT", NULL, "the quorum of several controllers", NULL},
    {"user", 0, FLAG_TEXT, "NAME", NULL, LATER_SECURITY, NULL},
    {"user-defaults", 0, FLAG_BOOL, NULL, NULL, LATER_QUOTAS, NULL},
    {"client", 0, FLAG_TEXT, "NAME", NULL, LATER_QUOTAS, NULL},
    {"client-defaults", 0, FLAG_BOOL, NULL, NULL, LATER_QUOTAS, NULL},
    {"ip", 0, FLAG_TEXT, "ADDRESS", NULL, LATER_QUOTAS, NULL},
    {"ip-defaults", 0, FLAG_BOOL, NULL, NULL, LATER_QUOTAS, NULL},
    FLAGS_CLIENT,
    {0},
};
/* clang-format on */

static const struct entity_type {
    const char *plural, *singular;
    const char *flag; /* the short way to name one */
    int8_t resource;
    int8_t own_source; /* the source of what is set on it; 0: any */
    const char *later;
} types[] = {
    {"topics", "topic", "topic", CONFIG_TOPIC, 1, NULL},
    {"brokers", "broker", "broker", CONFIG_BROKER, 2, NULL},
    {"broker-loggers", "broker-logger", "broker-logger", CONFIG_BROKER_LOGGER, 0, NULL},
    {"client-metrics", "client-metric", "client-metrics", CONFIG_CLIENT_METRICS, 7, NULL},
    {"groups", "group", "group", CONFIG_GROUP, 8, NULL},
    {"users", "user", NULL, 0, 0, LATER_SECURITY},
    {"clients", "client", NULL, 0, 0, LATER_QUOTAS},
    {"ips", "ip", NULL, 0, 0, LATER_QUOTAS},
};
enum { N_TYPES = sizeof(types) / sizeof(types[0]), FROM_DEFAULT_BROKER = 3 };

static const char *const sources[] = {"UNKNOWN",
                                      "DYNAMIC_TOPIC_CONFIG",
                                      "DYNAMIC_BROKER_CONFIG",
                                      "DYNAMIC_DEFAULT_BROKER_CONFIG",
                                      "STATIC_BROKER_CONFIG",
                                      "DEFAULT_CONFIG",
                                      "DYNAMIC_BROKER_LOGGER_CONFIG",
                                      "DYNAMIC_CLIENT_METRICS_CONFIG",
                                      "DYNAMIC_GROUP_CONFIG"};

struct entity {
    struct slice name; /* empty: the defaults of all brokers */
    struct client_call *call;
};

struct configs {
    const struct entity_type *type;
    const char *name; /* NULL: all of the type; "": the defaults */
    struct entity *entities;
    int n;
    struct client_call *listed, *altered;
    struct properties add, remove;
};

static const char *source_name(int8_t source)
{
    return source >= 0 && source < (int)(sizeof(sources) / sizeof(sources[0])) ? sources[source] : sources[0];
}

/* Settings of a broker and of its loggers are told by that broker alone. */
static struct client_route route_of(const struct configs *s, struct slice name)
{
    if (name.len && (s->type->resource == CONFIG_BROKER || s->type->resource == CONFIG_BROKER_LOGGER))
        return client_node(atoi((const char *)name.p));
    return client_any();
}

/* ---- Which entities ---- */

static void entities_find(struct tool *t)
{
    struct configs *s = t->state;

    if (s->name) {
        s->entities = arena_alloc(&t->arena, sizeof(*s->entities));
        s->entities[s->n++].name = SLICE(s->name);
        return;
    }
    if (s->type->resource == CONFIG_CLIENT_METRICS || s->type->resource == CONFIG_GROUP) {
        struct ListConfigResourcesRequest *in = tool_request(t, API_ListConfigResources);

        in->resource_types.v = arena_alloc(&t->arena, 1);
        in->resource_types.n = 1;
        in->resource_types.v[0] = s->type->resource;
        s->listed = tool_ask(t, client_any(), API_ListConfigResources, in);
        return;
    }
    struct MetadataRequest *in = tool_request(t, API_Metadata);
    in->topics.n = s->type->resource == CONFIG_TOPIC ? -1 : 0;
    in->allow_auto_topic_creation = false;
    s->listed = tool_ask(t, client_any(), API_Metadata, in);
}

static void entity_add(struct configs *s, struct slice name)
{
    s->entities[s->n++].name = name;
}

static void entities_list(struct tool *t)
{
    struct configs *s = t->state;
    const void *answer = s->listed ? tool_answer(t, s->listed) : NULL;

    if (!answer)
        return;
    if (s->listed->api->key == API_ListConfigResources) {
        const struct ListConfigResourcesResponse *out = answer;

        if (out->error_code)
            tool_fail(t, "the %s can't be listed: %s", s->type->plural,
                      tool_error(t, out->error_code, SLICE_NULL));
        s->entities = arena_alloc(&t->arena, ((size_t)out->config_resources.n + 1) * sizeof(*s->entities));
        for (int i = 0; i < out->config_resources.n; i++)
            entity_add(s, out->config_resources.v[i].resource_name);
        return;
    }
    const struct MetadataResponse *m = answer;
    size_t n = (size_t)m->brokers.n + (m->topics.n > 0 ? (size_t)m->topics.n : 0);
    s->entities = arena_alloc(&t->arena, (n + 1) * sizeof(*s->entities));
    if (s->type->resource == CONFIG_TOPIC) {
        for (int i = 0; i < m->topics.n; i++)
            entity_add(s, m->topics.v[i].name);
        return;
    }
    for (int i = 0; i < m->brokers.n; i++)
        entity_add(s, SLICE(arena_printf(&t->arena, "%d", m->brokers.v[i].node_id)));
    if (s->type->resource == CONFIG_BROKER)
        entity_add(s, SLICE(""));
}

/* ---- --describe ---- */

static void describe_ask(struct tool *t)
{
    struct configs *s = t->state;

    for (int i = 0; i < s->n; i++) {
        struct DescribeConfigsRequest *in = tool_request(t, API_DescribeConfigs);

        PROTO_ARRAY_NEW(&t->arena, DescribeConfigsRequest_DescribeConfigsResource, in->resources, 1);
        in->resources.v[0].resource_type = s->type->resource;
        in->resources.v[0].resource_name = s->entities[i].name;
        in->resources.v[0].configuration_keys.n = -1;
        in->include_synonyms = true;
        s->entities[i].call = tool_ask(t, route_of(s, s->entities[i].name), API_DescribeConfigs, in);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct DescribeConfigsResponse_DescribeConfigsResourceResult *x = a, *y = b;

    return slice_cmp(x->name, y->name);
}

/* An entity's settings by name, or NULL after tool_fail(). */
static const struct DescribeConfigsResponse_DescribeConfigsResult *described(struct tool *t,
                                                                             const struct entity *e)
{
    const struct DescribeConfigsResponse *out = tool_answer(t, e->call);

    if (!out || out->results.n != 1)
        return NULL;
    if (out->results.v[0].error_code) {
        tool_fail(t, "%.*s: %s", (int)e->name.len, e->name.p,
                  tool_error(t, out->results.v[0].error_code, out->results.v[0].error_message));
        return NULL;
    }
    qsort(out->results.v[0].configs.v, (size_t)out->results.v[0].configs.n,
          sizeof(*out->results.v[0].configs.v), by_name);
    return &out->results.v[0];
}

static bool is_own(const struct configs *s, const struct entity *e, int8_t source)
{
    int8_t own =
        s->type->resource == CONFIG_BROKER && e->name.len == 0 ? FROM_DEFAULT_BROKER : s->type->own_source;

    return own == 0 || source == own;
}

static const char *or_null(struct tool *t, struct slice value)
{
    return value.p ? arena_str(&t->arena, value) : "null";
}

static void config_print(struct tool *t,
                         const struct DescribeConfigsResponse_DescribeConfigsResourceResult *c)
{
    bytes_printf(&t->out, "  %.*s=%s sensitive=%s synonyms={", (int)c->name.len, c->name.p,
                 or_null(t, c->value), c->is_sensitive ? "true" : "false");
    for (int i = 0; i < c->synonyms.n; i++)
        bytes_printf(&t->out, "%s%s:%.*s=%s", i ? ", " : "", source_name(c->synonyms.v[i].source),
                     (int)c->synonyms.v[i].name.len, c->synonyms.v[i].name.p,
                     or_null(t, c->synonyms.v[i].value));
    bytes_printf(&t->out, "}\n");
}

static void config_json(struct json *j, const struct DescribeConfigsResponse_DescribeConfigsResourceResult *c)
{
    json_open(j, NULL, '{');
    json_text(j, "name", c->name);
    json_text(j, "value", c->value);
    json_str(j, "source", source_name(c->config_source));
    json_bool(j, "readOnly", c->read_only);
    json_bool(j, "sensitive", c->is_sensitive);
    json_open(j, "synonyms", '[');
    for (int i = 0; i < c->synonyms.n; i++) {
        json_open(j, NULL, '{');
        json_text(j, "name", c->synonyms.v[i].name);
        json_text(j, "value", c->synonyms.v[i].value);
        json_str(j, "source", source_name(c->synonyms.v[i].source));
        json_close(j, '}');
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void entity_head(struct tool *t, const struct configs *s, const struct entity *e, bool all)
{
    if (e->name.len == 0)
        bytes_printf(&t->out, "Default configs for %s in the cluster are:\n", s->type->plural);
    else
        bytes_printf(&t->out, "%s configs for %s %.*s are:\n", all ? "All" : "Dynamic", s->type->singular,
                     (int)e->name.len, e->name.p);
}

static void describe_print(struct tool *t)
{
    const struct configs *s = t->state;
    bool all = flag_given(&t->flags, "all");
    struct json j = tool_json(t);

    if (t->json)
        json_open(&j, NULL, '[');
    for (int i = 0; i < s->n && !t->ended; i++) {
        const struct DescribeConfigsResponse_DescribeConfigsResult *r = described(t, &s->entities[i]);

        if (!r)
            return;
        if (t->json) {
            json_open(&j, NULL, '{');
            json_str(&j, "entityType", s->type->plural);
            json_text(&j, "entityName", s->entities[i].name);
            json_open(&j, "configs", '[');
        } else {
            entity_head(t, s, &s->entities[i], all);
        }
        for (int k = 0; k < r->configs.n; k++) {
            if (!all && !is_own(s, &s->entities[i], r->configs.v[k].config_source))
                continue;
            if (t->json)
                config_json(&j, &r->configs.v[k]);
            else
                config_print(t, &r->configs.v[k]);
        }
        if (t->json) {
            json_close(&j, ']');
            json_close(&j, '}');
        }
    }
    if (t->json) {
        json_close(&j, ']');
        bytes_printf(&t->out, "\n");
    }
}

/* ---- --alter ---- */

/* As Kafka does: what isn't set can't be taken back. */
static void remove_check(struct tool *t)
{
    const struct configs *s = t->state;
    const struct entity *e = &s->entities[0];
    const struct DescribeConfigsResponse_DescribeConfigsResult *r = described(t, e);

    for (int i = 0; r && i < s->remove.n; i++) {
        bool found = false;

        for (int k = 0; k < r->configs.n; k++)
            found = found || (slice_eq(r->configs.v[k].name, SLICE(s->remove.v[i].name)) &&
                              is_own(s, e, r->configs.v[k].config_source));
        if (!found) {
            tool_fail(t, "%s isn't set here, so it can't be taken back", s->remove.v[i].name);
            return;
        }
    }
}

static void alter_ask(struct tool *t)
{
    struct configs *s = t->state;
    struct IncrementalAlterConfigsRequest *in = tool_request(t, API_IncrementalAlterConfigs);

    PROTO_ARRAY_NEW(&t->arena, IncrementalAlterConfigsRequest_AlterConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = s->type->resource;
    in->resources.v[0].resource_name = SLICE(s->name);
    PROTO_ARRAY_NEW(&t->arena, IncrementalAlterConfigsRequest_AlterableConfig, in->resources.v[0].configs,
                    s->add.n + s->remove.n);
    for (int i = 0; i < s->add.n; i++) {
        in->resources.v[0].configs.v[i].name = SLICE(s->add.v[i].name);
        in->resources.v[0].configs.v[i].value = SLICE(s->add.v[i].value);
    }
    for (int i = 0; i < s->remove.n; i++) {
        in->resources.v[0].configs.v[s->add.n + i].name = SLICE(s->remove.v[i].name);
        in->resources.v[0].configs.v[s->add.n + i].config_operation = 1;
        in->resources.v[0].configs.v[s->add.n + i].value = SLICE_NULL;
    }
    s->altered = tool_ask(t, route_of(s, SLICE(s->name)), API_IncrementalAlterConfigs, in);
}

static void alter_print(struct tool *t)
{
    const struct configs *s = t->state;
    const struct IncrementalAlterConfigsResponse *out = tool_answer(t, s->altered);
    struct json j = tool_json(t);

    if (!out)
        return;
    if (out->responses.n && out->responses.v[0].error_code) {
        tool_fail(t, "nothing was changed: %s",
                  tool_error(t, out->responses.v[0].error_code, out->responses.v[0].error_message));
    } else if (t->json) {
        json_open(&j, NULL, '{');
        json_str(&j, "entityType", s->type->plural);
        json_str(&j, "entityName", s->name);
        json_int(&j, "changed", s->add.n + s->remove.n);
        json_close(&j, '}');
        bytes_printf(&t->out, "\n");
    } else if (s->name[0]) {
        bytes_printf(&t->out, "Completed updating config for %s %s.\n", s->type->singular, s->name);
    } else {
        bytes_printf(&t->out, "Completed updating default config for %s in the cluster.\n", s->type->plural);
    }
}

/* ---- What was typed ---- */

static void entity_parse(struct tool *t, struct configs *s)
{
    const char *type = flag_text(&t->flags, "entity-type");

    for (int i = 0; i < N_TYPES; i++) {
        bool chosen = type && strcmp(type, types[i].plural) == 0;

        if (!type && types[i].flag && flag_given(&t->flags, types[i].flag)) {
            s->name = flag_text(&t->flags, types[i].flag);
            chosen = true;
        }
        if (chosen)
            s->type = &types[i];
    }
    if (!type && flag_given(&t->flags, "broker-defaults")) {
        s->type = &types[1];
        s->name = "";
    }
    if (!s->type)
        tool_usage(t, "of what? --entity-type topics, brokers, broker-loggers, client-metrics or groups");
    else if (s->type->later)
        tool_usage(t, "settings of %s aren't there yet: they come with %s", s->type->plural, s->type->later);
    else if (flag_given(&t->flags, "entity-name"))
        s->name = flag_text(&t->flags, "entity-name");
    else if (flag_given(&t->flags, "entity-default"))
        s->name = "";
}

static void entity_check(struct tool *t, const struct configs *s)
{
    bool broker = s->type->resource == CONFIG_BROKER || s->type->resource == CONFIG_BROKER_LOGGER;

    if (s->name && !s->name[0] && s->type->resource != CONFIG_BROKER)
        tool_usage(t, "only brokers have defaults of their own: --entity-type brokers --entity-default");
    else if (s->name && broker && s->name[strspn(s->name, "0123456789")])
        tool_usage(t, "a broker is named by its number, not \"%s\"", s->name);
    else if (!s->name && (flag_given(&t->flags, "alter") || s->type->resource == CONFIG_BROKER_LOGGER))
        tool_usage(t, "which of the %s? --entity-name NAME", s->type->plural);
}

static void changes_parse(struct tool *t, struct configs *s)
{
    const char *add = flag_text(&t->flags, "add-config"), *file = flag_text(&t->flags, "add-config-file");
    const char *remove = flag_text(&t->flags, "delete-config");
    struct bytes why;

    bytes_init(&why, t->heap);
    if (add && file)
        tool_usage(t, "--add-config or --add-config-file, not both");
    else if (add && !properties_inline(&t->arena, add, &s->add, &why))
        tool_usage(t, "%.*s", (int)why.len, (char *)why.p);
    else if (file)
        (void)tool_properties(t, file, &s->add);
    if (remove)
        properties_names(&t->arena, remove, &s->remove);
    if (s->add.n + s->remove.n == 0 && !t->ended)
        tool_usage(t, "--alter takes --add-config, --add-config-file or --delete-config");
    bytes_drop(&why);
}

void cmd_configs(struct tool *t)
{
    static const tool_step describe[] = {entities_find, entities_list, describe_ask, describe_print, NULL};
    static const tool_step alter[] = {alter_ask, alter_print, NULL};
    static const tool_step remove[] = {entities_find, describe_ask, remove_check,
                                       alter_ask,     alter_print,  NULL};
    struct configs *s = arena_alloc(&t->arena, sizeof(*s));
    bool altering = flag_given(&t->flags, "alter");

    t->state = s;
    if (altering == flag_given(&t->flags, "describe"))
        tool_usage(t, "configs takes one of --describe and --alter");
    if (!t->ended)
        entity_parse(t, s);
    if (!t->ended)
        entity_check(t, s);
    if (!t->ended && altering)
        changes_parse(t, s);
    if (!t->ended)
        tool_steps(t, !altering ? describe : s->remove.n ? remove : alter);
}
