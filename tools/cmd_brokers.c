/* Commands that ask each broker: log-dirs and api-versions. */
#include "tools/cmd_topics.h"
#include "tools/commands.h"
#include <inttypes.h>

/* clang-format off */
const struct flag flags_log_dirs[] = {
    {"describe", 0, FLAG_BOOL, NULL, NULL, NULL, "show them: the only thing that this command does"},
    {"broker-list", 0, FLAG_TEXT, "0,1,...", "", NULL, "only these brokers"},
    {"topic-list", 0, FLAG_TEXT, "T1,T2,...", "", NULL, "only partitions of these topics"},
    FLAGS_CLIENT,
    {0},
};
const struct flag flags_api_versions[] = {FLAGS_CLIENT, {0}};
/* clang-format on */

struct broker {
    int32_t id;
    const struct MetadataResponse_MetadataResponseBroker *b;
    struct client_call *call;
};

struct brokers {
    struct client_call *metadata;
    struct broker *v;
    int n;
    struct properties topics;
    int32_t *ids;
    int32_t n_ids;
};

static void metadata_ask(struct tool *t)
{
    struct brokers *s = t->state;
    struct MetadataRequest *in = tool_request(t, API_Metadata);

    in->topics.n = 0;
    in->allow_auto_topic_creation = false;
    s->metadata = tool_ask(t, client_any(), API_Metadata, in);
}

static bool brokers_know(struct tool *t)
{
    struct brokers *s = t->state;
    const struct MetadataResponse *m = tool_answer(t, s->metadata);

    if (!m)
        return false;
    s->v = arena_alloc(&t->arena, ((size_t)m->brokers.n + 1) * sizeof(*s->v));
    for (int i = 0; i < m->brokers.n; i++) {
        bool wanted = s->n_ids == 0;

        for (int k = 0; k < s->n_ids; k++)
            wanted = wanted || s->ids[k] == m->brokers.v[i].node_id;
        if (wanted)
            s->v[s->n++] = (struct broker){.id = m->brokers.v[i].node_id, .b = &m->brokers.v[i]};
    }
    for (int k = 0; k < s->n_ids && !t->ended; k++) {
        bool found = false;

        for (int i = 0; i < s->n; i++)
            found = found || s->v[i].id == s->ids[k];
        if (!found)
            tool_fail(t, "there is no broker %d", s->ids[k]);
    }
    return !t->ended;
}

static const char *brokers_text(struct tool *t)
{
    const struct brokers *s = t->state;
    const char *text = "";

    for (int i = 0; i < s->n; i++)
        text = arena_printf(&t->arena, "%s%s%d", text, i ? "," : "", s->v[i].id);
    return text;
}

/* ---- log-dirs ---- */

static void dirs_ask(struct tool *t)
{
    struct brokers *s = t->state;

    if (!brokers_know(t))
        return;
    if (!t->json)
        bytes_printf(&t->out, "Querying brokers for log directories information\n");
    for (int i = 0; i < s->n; i++) {
        struct DescribeLogDirsRequest *in = tool_request(t, API_DescribeLogDirs);

        in->topics.n = -1;
        s->v[i].call = tool_ask(t, client_node(s->v[i].id), API_DescribeLogDirs, in);
    }
}

static bool topic_wanted(const struct brokers *s, struct slice name)
{
    for (int i = 0; i < s->topics.n; i++)
        if (slice_eq(name, SLICE(s->topics.v[i].name)))
            return true;
    return s->topics.n == 0;
}

static void dir_json(struct tool *t, struct json *j,
                     const struct DescribeLogDirsResponse_DescribeLogDirsResult *dir)
{
    const struct brokers *s = t->state;

    json_open(j, NULL, '{');
    json_open(j, "partitions", '[');
    for (int i = 0; i < dir->topics.n; i++) {
        const struct DescribeLogDirsResponse_DescribeLogDirsTopic *topic = &dir->topics.v[i];

        if (!topic_wanted(s, topic->name))
            continue;
        for (int k = 0; k < topic->partitions.n; k++) {
            const struct DescribeLogDirsResponse_DescribeLogDirsPartition *p = &topic->partitions.v[k];

            json_open(j, NULL, '{');
            json_str(
                j, "partition",
                arena_printf(&t->arena, "%.*s-%d", (int)topic->name.len, topic->name.p, p->partition_index));
            json_int(j, "size", p->partition_size);
            json_int(j, "offsetLag", p->offset_lag);
            json_bool(j, "isFuture", p->is_future_key);
            json_close(j, '}');
        }
    }
    json_close(j, ']');
    json_str(j, "error", dir->error_code ? tool_error(t, dir->error_code, SLICE_NULL) : NULL);
    json_text(j, "logDir", dir->log_dir);
    json_close(j, '}');
}

static void dirs_print(struct tool *t)
{
    const struct brokers *s = t->state;
    struct json j = tool_json(t);

    if (!t->json)
        bytes_printf(&t->out, "Received log directory information from brokers %s\n", brokers_text(t));
    json_open(&j, NULL, '{');
    json_open(&j, "brokers", '[');
    for (int i = 0; i < s->n; i++) {
        const struct DescribeLogDirsResponse *out = tool_answer(t, s->v[i].call);

        json_open(&j, NULL, '{');
        json_int(&j, "broker", s->v[i].id);
        json_open(&j, "logDirs", '[');
        for (int k = 0; out && k < out->results.n; k++)
            dir_json(t, &j, &out->results.v[k]);
        json_close(&j, ']');
        json_close(&j, '}');
        if (out && out->error_code)
            tool_fail(t, "broker %d: %s", s->v[i].id, tool_error(t, out->error_code, SLICE_NULL));
    }
    json_close(&j, ']');
    json_int(&j, "version", 1);
    json_close(&j, '}');
    bytes_printf(&t->out, "\n");
}

void cmd_log_dirs(struct tool *t)
{
    static const tool_step steps[] = {metadata_ask, dirs_ask, dirs_print, NULL};
    struct brokers *s = arena_alloc(&t->arena, sizeof(*s));
    const char *ids = flag_text(&t->flags, "broker-list");

    t->state = s;
    properties_names(&t->arena, flag_text(&t->flags, "topic-list"), &s->topics);
    if (*ids && !ids_parse(&t->arena, ids, ',', &s->ids, &s->n_ids))
        tool_usage(t, "--broker-list takes numbers separated by commas, not \"%s\"", ids);
    else
        tool_steps(t, steps);
}

/* ---- api-versions ---- */

static void versions_ask(struct tool *t)
{
    struct brokers *s = t->state;

    if (!brokers_know(t))
        return;
    for (int i = 0; i < s->n; i++) {
        struct ApiVersionsRequest *in = tool_request(t, API_ApiVersions);

        in->client_software_name = SLICE("weir-tools");
        in->client_software_version = SLICE(WEIR_VERSION_TEXT);
        s->v[i].call = tool_ask(t, client_node(s->v[i].id), API_ApiVersions, in);
    }
}

static const struct ApiVersionsResponse_ApiVersion *version_of(const struct ApiVersionsResponse *out,
                                                               int16_t key)
{
    for (int i = 0; i < out->api_keys.n; i++)
        if (out->api_keys.v[i].api_key == key)
            return &out->api_keys.v[i];
    return NULL;
}

/* The highest version that both know; -1: none. */
static int16_t usable(const struct proto_api *api, const struct ApiVersionsResponse_ApiVersion *v)
{
    int16_t max = api->stable_max < v->max_version ? api->stable_max : v->max_version;
    int16_t min = api->version_min > v->min_version ? api->version_min : v->min_version;

    return max < min ? -1 : max;
}

static void api_print(struct tool *t, const char *comma, const struct proto_api *api, int16_t key,
                      const struct ApiVersionsResponse_ApiVersion *v)
{
    bytes_printf(&t->out, "%s\n\t", comma);
    if (api)
        bytes_printf(&t->out, "%s(%d): ", api->name, key);
    else
        bytes_printf(&t->out, "UNKNOWN(%d): ", key);
    if (!v) {
        bytes_printf(&t->out, "UNSUPPORTED");
        return;
    }
    if (v->min_version == v->max_version)
        bytes_printf(&t->out, "%d", v->min_version);
    else
        bytes_printf(&t->out, "%d to %d", v->min_version, v->max_version);
    if (!api)
        return;
    if (usable(api, v) >= 0)
        bytes_printf(&t->out, " [usable: %d]", usable(api, v));
    else
        bytes_printf(&t->out, " [unusable: node too %s]", v->min_version > api->stable_max ? "new" : "old");
}

static void broker_print(struct tool *t, const struct broker *b, const struct ApiVersionsResponse *out)
{
    const char *comma = "";

    bytes_printf(&t->out, "%.*s:%d (id: %d rack: %s isFenced: false) -> (", (int)b->b->host.len, b->b->host.p,
                 b->b->port, b->id, b->b->rack.p ? arena_str(&t->arena, b->b->rack) : "null");
    for (int key = 0; key <= INT16_MAX; key++) {
        const struct proto_api *api = proto_api((int16_t)key);
        const struct ApiVersionsResponse_ApiVersion *v = version_of(out, (int16_t)key);

        if (!v && (!api || !(api->listeners & PROTO_ON_BROKER) || key >= 0x7000))
            continue;
        api_print(t, comma, api, (int16_t)key, v);
        comma = ",";
    }
    bytes_printf(&t->out, "\n)\n");
}

static void broker_json(struct json *j, const struct broker *b, const struct ApiVersionsResponse *out)
{
    json_open(j, NULL, '{');
    json_int(j, "broker", b->id);
    json_text(j, "host", b->b->host);
    json_int(j, "port", b->b->port);
    json_open(j, "apis", '[');
    for (int i = 0; i < out->api_keys.n; i++) {
        const struct ApiVersionsResponse_ApiVersion *v = &out->api_keys.v[i];
        const struct proto_api *api = proto_api(v->api_key);

        json_open(j, NULL, '{');
        json_str(j, "name", api ? api->name : NULL);
        json_int(j, "key", v->api_key);
        json_int(j, "min", v->min_version);
        json_int(j, "max", v->max_version);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void versions_print(struct tool *t)
{
    const struct brokers *s = t->state;
    struct json j = tool_json(t);

    if (t->json)
        json_open(&j, NULL, '[');
    for (int i = 0; i < s->n; i++) {
        const struct ApiVersionsResponse *out = tool_answer(t, s->v[i].call);

        if (out && t->json)
            broker_json(&j, &s->v[i], out);
        else if (out)
            broker_print(t, &s->v[i], out);
    }
    if (t->json) {
        json_close(&j, ']');
        bytes_printf(&t->out, "\n");
    }
}

void cmd_api_versions(struct tool *t)
{
    static const tool_step steps[] = {metadata_ask, versions_ask, versions_print, NULL};

    t->state = arena_alloc(&t->arena, sizeof(struct brokers));
    tool_steps(t, steps);
}
