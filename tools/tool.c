#include "tools/tool.h"
#include "base/check.h"
#include "broker/config.h"
#include "tools/commands.h"
#include <regex.h>
#include <stdarg.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 60000, SETUP_MS = 10000, SETUP_MAX_MS = 30000 };

void tool_init(struct tool *t, struct io *io, const struct tool_world *world)
{
    *t = (struct tool){.io = io, .heap = io_heap(io), .world = world};
    arena_init(&t->arena, t->heap, SIZE_MAX);
    bytes_init(&t->out, t->heap);
}

static void say(struct tool *t, const char *before, const char *fmt, va_list args)
{
    char text[4096];
    struct bytes line;
    int len = vsnprintf(text, sizeof(text), fmt, args);

    ASSERT(len >= 0);
    tool_flush(t); /* in the order in which it was written */
    bytes_init(&line, t->heap);
    bytes_printf(&line, "%s%s\n", before, text);
    t->world->write(t->world->arg, 2, bytes_slice(&line));
    bytes_drop(&line);
}

void tool_fail(struct tool *t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(t, "weir: ", fmt, args);
    va_end(args);
    t->exit = EXIT_FAILED;
    t->ended = true;
}

void tool_usage(struct tool *t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(t, "weir: ", fmt, args);
    va_end(args);
    t->exit = EXIT_USAGE;
    t->ended = true;
}

void tool_warn(struct tool *t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(t, "", fmt, args);
    va_end(args);
}

void tool_flush(struct tool *t)
{
    if (t->out.len)
        t->world->write(t->world->arg, 1, bytes_slice(&t->out));
    t->out.len = 0;
}

struct json tool_json(struct tool *t)
{
    return (struct json){.out = &t->out};
}

/* ---- Steps ---- */

static void client_gone(void *arg)
{
    struct tool *t = arg;

    loop_stop(t->disk, NULL, NULL);
    loop_stop(t->net, NULL, NULL);
}

static void step_run(void *arg)
{
    struct tool *t = arg;

    if (!t->ended && *t->steps) {
        (*t->steps++)(t);
        client_then(t->client, step_run, t);
        return;
    }
    client_close(t->client, client_gone, t);
}

void tool_again(struct tool *t)
{
    t->steps--;
}

static void client_begin(struct msg *msg)
{
    struct tool *t = container_of(msg, struct tool, first);

    if (client_new(&t->options, &t->client)) {
        tool_usage(t, "--bootstrap-server takes host:port, or several separated by commas, not \"%s\"",
                   t->options.bootstrap);
        client_gone(t);
        return;
    }
    step_run(t);
}

/* What a client's properties may say here. Security's come with security; others are none of a tool's business. */
static bool property(struct tool *t, const char *servers, const char *name, const char *value)
{
    bool controllers = strcmp(servers, "bootstrap-controller") == 0;

    if (strcmp(name, controllers ? "bootstrap.controllers" : "bootstrap.servers") == 0 &&
        !flag_given(&t->flags, servers))
        t->options.bootstrap = value;
    else if (strcmp(name, "client.id") == 0)
        t->options.client_id = value;
    else if (strcmp(name, "default.api.timeout.ms") == 0 || strcmp(name, "request.timeout.ms") == 0)
        t->options.timeout_ns = atoll(value) * 1000000;
    else if (strcmp(name, "socket.connection.setup.timeout.ms") == 0)
        t->options.setup_ns = atoll(value) * 1000000;
    else if (strcmp(name, "socket.connection.setup.timeout.max.ms") == 0)
        t->options.setup_max_ns = atoll(value) * 1000000;
    else if (strcmp(name, "security.protocol") == 0 && strcmp(value, "PLAINTEXT") != 0)
        tool_usage(t, "security.protocol=%s isn't there yet: it comes with security", value);
    if (t->options.timeout_ns <= 0 || t->options.setup_ns <= 0 || t->options.setup_max_ns <= 0)
        tool_usage(t, "%s must be a number above 0, not \"%s\"", name, value);
    return !t->ended;
}

bool tool_properties(struct tool *t, const char *path, struct properties *out)
{
    struct bytes text;

    bytes_init(&text, t->heap);
    enum err err = config_read_file(t->io, path, &text);
    if (err)
        tool_fail(t, "%s can't be read: %s", path, err_text(err));
    else
        properties_file(&t->arena, bytes_slice(&text), out);
    bytes_drop(&text);
    return !err;
}

static bool properties_apply(struct tool *t, const char *servers, const char *path)
{
    struct properties p;

    if (!tool_properties(t, path, &p))
        return false;
    for (int i = 0; i < p.n; i++)
        if (!property(t, servers, p.v[i].name, p.v[i].value))
            return false;
    return true;
}

bool tool_options(struct tool *t, const char *servers)
{
    const char *path = flag_text(&t->flags, "command-config");

    t->options = (struct client_options){.io = t->io,
                                         .bootstrap = flag_text(&t->flags, servers),
                                         .client_id = "weir-tools",
                                         .software_version = WEIR_VERSION_TEXT,
                                         .timeout_ns = TIMEOUT_MS * 1000000ll,
                                         .setup_ns = SETUP_MS * 1000000ll,
                                         .setup_max_ns = SETUP_MAX_MS * 1000000ll};
    return !path || properties_apply(t, servers, path);
}

void tool_loops(struct tool *t)
{
    t->net = loop_start(t->io, LOOP_NET, "net");
    t->disk = loop_start(t->io, LOOP_DISK, "disk");
    t->options.net = t->net;
    t->options.disk = t->disk;
    t->running = true;
}

void tool_steps(struct tool *t, const tool_step *steps)
{
    if (!tool_options(t, "bootstrap-server"))
        return;
    tool_loops(t);
    t->steps = steps;
    t->first.run = client_begin;
    loop_post(t->net, &t->first);
}

void *tool_request(struct tool *t, int16_t api_key)
{
    return client_in(t->client, api_key);
}

struct client_call *tool_ask(struct tool *t, struct client_route route, int16_t api_key, const void *in)
{
    return client_ask(t->client, route, api_key, in);
}

const void *tool_answer(struct tool *t, const struct client_call *call)
{
    const char *at = client_bootstrap(t->client);

    if (!call->err)
        return call->out;
    if (t->ended)
        return NULL;
    switch (call->err) {
    case E_REFUSED:
        tool_fail(t, "no broker listens at %s; `weir server` starts one, --bootstrap-server names another",
                  at);
        break;
    case E_NOENT:
        tool_fail(t, "there is no host of that name: %s", at);
        break;
    case E_TIMEOUT:
        tool_fail(t, "%s didn't answer in time (%s); is it up, and is that the port of a broker?", at,
                  call->api->name);
        break;
    case E_RESET:
    case E_EOF:
        tool_fail(t, "%s broke the connection off (%s); is that the port of a broker?", at, call->api->name);
        break;
    case E_UNSUPPORTED_VERSION:
        tool_fail(t, "the broker at %s doesn't know %s, or not in a version that can say this", at,
                  call->api->name);
        break;
    default:
        tool_fail(t, "%s failed: %s", call->api->name, err_text(call->err));
    }
    return NULL;
}

const char *tool_error(struct tool *t, int16_t code, struct slice message)
{
    if (message.len)
        return arena_printf(&t->arena, "%.*s (%s)", (int)message.len, message.p, err_wire_name(code));
    return arena_printf(&t->arena, "%s (%s)", err_text(err_of_wire(code)), err_wire_name(code));
}

void tool_exec(struct tool *t, const char *program, const char *command)
{
    char **argv = arena_alloc(&t->arena, (size_t)(t->argc + 3) * sizeof(*argv));

    argv[0] = arena_str(&t->arena, SLICE(program));
    argv[1] = arena_str(&t->arena, SLICE(command));
    for (int i = 0; i < t->argc; i++)
        argv[2 + i] = t->argv[i];
    t->world->exec(t->world->arg, program, argv);
    tool_fail(t, "%s can't be run; it belongs beside weir (make install puts it there)", program);
}

/* ---- Names ---- */

struct pattern {
    regex_t compiled;
    struct pattern *next;
};

/* Java's \d \w \s have other names here; what POSIX lacks altogether is refused by regcomp() or by us. */
struct pattern *pattern_new(struct tool *t, const char *text)
{
    struct pattern *p = arena_alloc(&t->arena, sizeof(*p));
    struct bytes posix;

    bytes_init(&posix, t->heap);
    bytes_add(&posix, "^(", 2);
    for (const char *c = text; *c; c++) {
        if (c[0] == '\\' && c[1] == 'd')
            bytes_add(&posix, "[0-9]", 5), c++;
        else if (c[0] == '\\' && c[1])
            bytes_add(&posix, c, 2), c++;
        else
            bytes_add(&posix, c, 1);
    }
    bytes_add(&posix, ")$", 3); /* its NUL too */
    if (strstr(text, "(?") || regcomp(&p->compiled, (char *)posix.p, REG_EXTENDED | REG_NOSUB))
        tool_usage(t, "\"%s\" is no regular expression that weir understands (POSIX, extended, and \\d)",
                   text);
    bytes_drop(&posix);
    if (t->ended)
        return NULL;
    p->next = t->patterns;
    t->patterns = p;
    return p;
}

void tool_end(struct tool *t)
{
    for (struct pattern *p = t->patterns; p; p = p->next)
        regfree(&p->compiled);
    bytes_drop(&t->out);
    arena_drop(&t->arena);
}

bool pattern_matches(const struct pattern *p, struct slice name)
{
    char text[256];

    if (name.len >= sizeof(text))
        return false;
    memcpy(text, name.p, name.len);
    text[name.len] = 0;
    return regexec(&p->compiled, text, 0, NULL, 0) == 0;
}

bool is_internal_topic(struct slice name)
{
    return slice_eq(name, SLICE("__consumer_offsets")) || slice_eq(name, SLICE("__transaction_state")) ||
           slice_eq(name, SLICE("__share_group_state"));
}
