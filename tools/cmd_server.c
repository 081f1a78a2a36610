/* server: a node with the settings of a file, or one embedded node that formats itself and says how to go on. */
#include "broker/server.h"
#include "tools/commands.h"
#include "tools/storage.h"

/* clang-format off */
const struct flag flags_server[] = {
    {"config", 'c', FLAG_TEXT, "FILE", NULL, NULL, "server.properties; without it one node by itself"},
    {"set", 0, FLAG_LIST, "NAME=VALUE", NULL, NULL, "a setting, over those of the file; may come several times"},
    {"override", 0, FLAG_LIST, "NAME=VALUE", NULL, NULL, "Kafka's name of --set"},
    {"data", 0, FLAG_TEXT, "DIR", "./data", NULL, "without --config: where the node keeps everything"},
    {"port", 0, FLAG_NUMBER, "N", "9092", NULL, "without --config: where clients connect, on 127.0.0.1; 0: any free port"},
    {"daemon", 0, FLAG_BOOL, NULL, NULL, "the packages: a service manager does it", NULL},
    FLAGS_TOOL,
    {0},
};
/* clang-format on */

struct server {
    struct tool *tool;
    struct config *config;
    bool embedded;
};

static void guide(struct tool *t, unsigned port)
{
    bytes_printf(&t->out,
                 "weir is ready at 127.0.0.1:%u. In another terminal:\n\n"
                 "  ./weir topics --bootstrap-server 127.0.0.1:%u --create --topic hello --partitions 3\n"
                 "  echo 'a first record' | ./weir produce --bootstrap-server 127.0.0.1:%u --topic hello\n"
                 "  ./weir consume --bootstrap-server 127.0.0.1:%u --topic hello --from-beginning\n\n"
                 "Ctrl-C stops it; what it stores stays in %s.\n",
                 port, port, port, port, flag_text(&t->flags, "data"));
}

static void ready(void *arg, const struct addr *bound, int n_bound)
{
    struct server *s = arg;
    struct tool *t = s->tool;

    if (t->json) {
        struct json j = tool_json(t);

        json_open(&j, NULL, '{');
        json_open(&j, "ports", '[');
        for (int i = 0; i < n_bound; i++)
            json_int(&j, NULL, bound[i].port);
        json_close(&j, ']');
        json_close(&j, '}');
        bytes_printf(&t->out, "\n");
    } else if (s->embedded && n_bound) {
        guide(t, bound[0].port);
    }
    tool_flush(t);
}

static void stopped(void *arg, enum err why, const char *text)
{
    struct server *s = arg;

    if (why)
        tool_fail(s->tool, "%s", text && *text ? text : err_text(why));
    config_drop(s->config);
}

/* One node that needs no other: topics of its own have one replica. Words typed later win. */
static struct config *embedded_config(struct tool *t, const char **sets, int n)
{
    const char *data = flag_text(&t->flags, "data");
    int64_t port = flag_number(&t->flags, "port");
    const char *presets[] = {
        "process.roles=broker,controller",
        "node.id=1",
        "controller.listener.names=CONTROLLER",
        "controller.quorum.bootstrap.servers=127.0.0.1:9093",
        "offsets.topic.replication.factor=1",
        "transaction.state.log.replication.factor=1",
        "transaction.state.log.min.isr=1",
        "share.coordinator.state.topic.replication.factor=1",
        "share.coordinator.state.topic.min.isr=1",
        arena_printf(&t->arena, "log.dirs=%s", data),
        arena_printf(&t->arena, "listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:0", (int)port),
    };
    enum { PRESETS = sizeof(presets) / sizeof(presets[0]) };
    const char **all = arena_alloc(&t->arena, ((size_t)n + PRESETS) * sizeof(*all));

    if (port < 0 || port > UINT16_MAX) {
        tool_usage(t, "--port takes a number from 0 to 65535");
        return NULL;
    }
    memcpy(all, presets, sizeof(presets));
    memcpy(all + PRESETS, sets, (size_t)n * sizeof(*all));
    return storage_config(t, NULL, all, n + PRESETS);
}

/* Where nobody else is named as a voter, it is one alone. */
static bool embedded_format(struct tool *t, const struct config *c)
{
    struct storage_plan plan = {.level = METADATA_VERSION, .again = true};

    if (config_controls(c) && config_list(c, C_controller_quorum_voters).n == 0)
        storage_alone(t, c, &plan.first);
    return storage_format(t, c, &plan);
}

static const char **sets_of(struct tool *t, int *n)
{
    const struct flag_value *a = flag_list(&t->flags, "set"), *b = flag_list(&t->flags, "override");
    const char **all = arena_alloc(&t->arena, ((size_t)a->n + (size_t)b->n + 1) * sizeof(*all));

    memcpy(all, a->list, (size_t)a->n * sizeof(*all));
    memcpy(all + a->n, b->list, (size_t)b->n * sizeof(*all));
    *n = a->n + b->n;
    return all;
}

void cmd_server(struct tool *t)
{
    struct server *s = arena_alloc(&t->arena, sizeof(*s));
    const char *path = flag_text(&t->flags, "config");
    int n;
    const char **sets = sets_of(t, &n);

    if (!path && t->flags.n_rest) /* as kafka-server-start.sh takes it */
        path = t->flags.rest[0];
    s->tool = t;
    s->embedded = !path;
    if (path && (flag_given(&t->flags, "data") || flag_given(&t->flags, "port"))) {
        tool_usage(
            t, "--data and --port belong to a node without --config; log.dirs and listeners say it there");
        return;
    }
    s->config = path ? storage_config(t, path, sets, n) : embedded_config(t, sets, n);
    if (!s->config)
        return;
    if (s->embedded && !storage_ready(t, s->config) && !embedded_format(t, s->config)) {
        config_drop(s->config);
        return;
    }
    tool_flush(t);
    struct server_options options = {.config = s->config, .ready = ready, .stopped = stopped, .arg = s};
    t->running = server_start(t->io, &options) != NULL;
}
