/* Listeners, and what settings must agree on with each other. */
#include "broker/config_rows.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static bool no(char *why, size_t room, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool no(char *why, size_t room, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, room, fmt, ap);
    va_end(ap);
    return false;
}

/* Names of listeners are the same in any case. */
static const char *upper(struct arena *a, struct slice s)
{
    char *text = arena_str(a, s);

    for (char *p = text; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return text;
}

static bool is_controllers(const struct config *c, const char *name)
{
    struct config_list names = config_list(c, C_controller_listener_names);

    for (int i = 0; i < names.n; i++)
        if (strcasecmp(names.v[i], name) == 0)
            return true;
    return false;
}

/* What listener.security.protocol.map says of a name; NULL: nothing. Where the map is the default, a
 * controller's listener speaks PLAINTEXT. */
static const char *protocol_of(const struct config *c, const char *name, struct arena *a)
{
    struct slice rest = SLICE(config_str(c, C_listener_security_protocol_map)), one, who;

    while (slice_cut(&rest, ',', &one)) {
        if (!slice_cut(&one, ':', &who) || !one.p)
            continue;
        if (strcmp(upper(a, slice_trim(who)), name) == 0)
            return upper(a, slice_trim(one));
    }
    return !c->text[LAYER_FILE][C_listener_security_protocol_map] && is_controllers(c, name) ? "PLAINTEXT"
                                                                                             : NULL;
}

static bool same_place(const struct config_listener *a, const struct config_listener *b)
{
    return a->port == b->port && a->port != 0 && !strchr(a->host, ':') == !strchr(b->host, ':');
}

static bool read_listeners(struct config *c, char *why, size_t room)
{
    struct config_list texts = config_list(c, C_listeners);
    struct arena *a = &c->arena;
    struct config_endpoint ep;

    c->listeners = arena_alloc(a, (size_t)texts.n * sizeof(*c->listeners));
    c->n_listeners = 0;
    for (int i = 0; i < texts.n; i++) {
        struct config_listener *l = &c->listeners[i];
        if (!config_endpoint(SLICE(texts.v[i]), &ep))
            return no(why, room, "listeners: %s must be name://host:port", texts.v[i]);
        *l = (struct config_listener){
            .name = upper(a, ep.name), .host = arena_str(a, ep.host), .port = ep.port, .advertised_host = ""};
        l->controller = is_controllers(c, l->name);
        l->protocol = protocol_of(c, l->name, a);
        if (!l->protocol)
            return no(why, room, "listeners: listener.security.protocol.map names no protocol for %s",
                      l->name);
        if (strcmp(l->protocol, "PLAINTEXT") != 0)
            return no(why, room, "listeners: %s speaks %s, which isn't there yet: it comes with security",
                      l->name, l->protocol);
        for (int j = 0; j < i; j++) {
            if (strcmp(c->listeners[j].name, l->name) == 0)
                return no(why, room, "listeners: each must have a name of its own, and %s is there twice",
                          l->name);
            if (same_place(&c->listeners[j], l))
                return no(why, room, "listeners: each must have a port of its own, and %u is there twice",
                          l->port);
        }
        c->n_listeners++;
    }
    return true;
}

static bool advertise(struct config *c, const char *text, char *why, size_t room)
{
    struct config_endpoint ep;
    const char *name;

    if (!config_endpoint(SLICE(text), &ep))
        return no(why, room, "advertised.listeners: %s must be name://host:port", text);
    name = upper(&c->arena, ep.name);
    if (slice_is(ep.host, "0.0.0.0"))
        return no(why, room,
                  "advertised.listeners: nobody can dial 0.0.0.0; name an address that clients reach");
    for (int i = 0; i < c->n_listeners; i++) {
        struct config_listener *l = &c->listeners[i];
        if (strcmp(l->name, name) != 0)
            continue;
        l->advertised = !l->controller;
        l->advertised_host = arena_str(&c->arena, ep.host);
        l->advertised_port = ep.port;
        return true;
    }
    return no(why, room, "advertised.listeners: %s is none of listeners", name);
}

#define OWN_PREFIX "listener.name."

bool slice_is_caseless(struct slice s, const char *text)
{
    return s.len == strlen(text) && strncasecmp((const char *)s.p, text, s.len) == 0;
}

static bool ends_with(struct slice s, const char *end)
{
    size_t len = strlen(end);

    return s.len > len && memcmp(s.p + s.len - len, end, len) == 0;
}

enum config_own config_own(struct slice name, struct slice *listener)
{
    static const struct {
        const char *end;
        enum config_own what;
    } known[] = {{".max.connections", OWN_CONNECTIONS}, {".max.connection.creation.rate", OWN_RATE}};
    size_t prefix = strlen(OWN_PREFIX);

    if (name.len <= prefix || memcmp(name.p, OWN_PREFIX, prefix) != 0)
        return OWN_NONE;
    *listener = slice_of(name.p + prefix, name.len - prefix);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (ends_with(*listener, known[i].end)) {
            listener->len -= strlen(known[i].end);
            return known[i].what;
        }
    return ends_with(*listener, ".num.network.threads") ? OWN_THREADS : OWN_OTHER;
}

bool config_own_check(enum config_own what, struct slice value, char *why, size_t room)
{
    int64_t n;

    if (what == OWN_THREADS)
        return no(why, room, "the same threads serve every listener; set num.network.threads itself");
    if (what == OWN_OTHER)
        return no(why, room,
                  "of a single listener max.connections and max.connection.creation.rate can be given; "
                  "others come with security");
    if (!slice_int(slice_trim(value), 0, INT32_MAX, &n))
        return no(why, room, "it must be a number from 0 to 2147483647");
    return true;
}

/* What single listeners have of their own; the upper layer counts. false: there is no such listener. */
static bool read_own(struct config *c, char *why, size_t room)
{
    for (int i = 0; i < c->n_listeners; i++)
        c->listeners[i].connections_max = c->listeners[i].creation_rate = INT32_MAX;
    for (int layer = LAYER_COUNT - 1; layer >= 0; layer--)
        for (int i = 0; i < c->n_unknown; i++) {
            const struct config_unknown *u = &c->unknown[i];
            struct slice who;
            enum config_own what = config_own(SLICE(u->name), &who);
            int64_t n;
            int at = 0;
            if ((int)u->layer != layer || (what != OWN_CONNECTIONS && what != OWN_RATE))
                continue;
            while (at < c->n_listeners && !slice_is_caseless(who, c->listeners[at].name))
                at++;
            if (at == c->n_listeners && layer == LAYER_FILE)
                return no(why, room, "%s: there is no such listener", u->name);
            if (at == c->n_listeners || !slice_int(slice_trim(SLICE(u->value)), 0, INT32_MAX, &n))
                continue;
            if (what == OWN_CONNECTIONS)
                c->listeners[at].connections_max = (int32_t)n;
            else
                c->listeners[at].creation_rate = (int32_t)n;
        }
    return true;
}

/* controller.quorum.voters as a table. Each element is known to be id@host:port. */
static bool read_voters(struct config *c, char *why, size_t room)
{
    struct config_list texts = config_list(c, C_controller_quorum_voters);

    if (texts.n > CONFIG_VOTERS_MAX)
        return no(why, room, "controller.quorum.voters: at most %d controllers can vote", CONFIG_VOTERS_MAX);
    c->voters = arena_alloc(&c->arena, (size_t)texts.n * sizeof(*c->voters));
    c->n_voters = 0;
    for (int i = 0; i < texts.n; i++) {
        struct config_voter *v = &c->voters[i];
        struct slice rest = SLICE(texts.v[i]), id = SLICE_NULL, host;
        int64_t n;

        if (!slice_cut(&rest, '@', &id) || !slice_int(id, 0, INT32_MAX, &n) ||
            !config_host_port(rest, &host, &v->port))
            return no(why, room, "controller.quorum.voters: %s must be id@host:port", texts.v[i]);
        if (texts.n > 1 && (host.len == 0 || v->port == 0))
            return no(why, room, "controller.quorum.voters: %s can't be dialled", texts.v[i]);
        v->id = (int32_t)n;
        v->host = arena_str(&c->arena, host);
        for (int j = 0; j < i; j++)
            if (c->voters[j].id == v->id)
                return no(why, room, "controller.quorum.voters: %d is there twice", v->id);
        c->n_voters++;
    }
    return true;
}

bool config_listeners_resolve(struct config *c, char *why, size_t room)
{
    struct config_list advertised = config_list(c, C_advertised_listeners);
    int told = 0;

    if (!read_listeners(c, why, room) || !read_own(c, why, room) || !read_voters(c, why, room))
        return false;
    for (int i = 0; i < advertised.n; i++)
        if (!advertise(c, advertised.v[i], why, room))
            return false;
    for (int i = 0; i < c->n_listeners; i++) {
        struct config_listener *l = &c->listeners[i];
        if (config_is_null(c, C_advertised_listeners) && !l->controller) {
            if (strcmp(l->host, "0.0.0.0") == 0)
                return no(why, room, "listeners: clients can't dial 0.0.0.0; set advertised.listeners for %s",
                          l->name);
            l->advertised = true;
            l->advertised_host = l->host;
            l->advertised_port = l->port;
        }
        told += l->advertised;
    }
    if (told == 0 && config_serves(c))
        return no(why, room,
                  "listeners: clients need one, and all are in controller.listener.names or not advertised");
    return true;
}

/* Controllers vote, brokers alone don't. */
static bool votes_agree(const struct config *c, char *why, size_t room)
{
    long long self = (long long)config_int(c, C_node_id);
    bool votes = false;

    for (int i = 0; i < c->n_voters; i++)
        votes |= c->voters[i].id == self;
    if (c->n_voters == 0 || votes == config_controls(c))
        return true;
    return votes ? no(why, room,
                      "controller.quorum.voters: this node, %lld, is among them, but no controller by "
                      "process.roles",
                      self)
                 : no(why, room, "controller.quorum.voters: this node, %lld, must be among them", self);
}

/* Each role has its listeners. */
static bool roles_agree(const struct config *c, char *why, size_t room)
{
    bool serves = config_serves(c), controls = config_controls(c);
    int of_controllers = 0;

    for (int i = 0; i < c->n_listeners; i++)
        of_controllers += c->listeners[i].controller;
    if (controls && of_controllers == 0)
        return no(why, room, "controller.listener.names must name one of listeners");
    if (!controls && of_controllers > 0)
        return no(
            why, room,
            "controller.listener.names: it names one of listeners, but process.roles has no controller");
    if (!serves && of_controllers < c->n_listeners)
        return no(why, room,
                  "listeners: where process.roles is controller, all must be in controller.listener.names");
    return true;
}

static bool quorum_agrees(const struct config *c, char *why, size_t room)
{
    struct config_list voters = config_list(c, C_controller_quorum_voters);
    struct config_list servers = config_list(c, C_controller_quorum_bootstrap_servers);

    if (config_is_null(c, C_process_roles) || config_is_null(c, C_node_id))
        return no(why, room, "process.roles and node.id must be given");
    if (config_int(c, C_broker_id) != -1 && config_int(c, C_broker_id) != config_int(c, C_node_id))
        return no(why, room, "broker.id and node.id must be the same");
    if (config_is_null(c, C_controller_listener_names))
        return no(why, room, "controller.listener.names must be given");
    if (!roles_agree(c, why, room))
        return false;
    if (voters.n == 0 && servers.n == 0)
        return no(
            why, room,
            "If using process.roles, either controller.quorum.bootstrap.servers must contain the set of "
            "bootstrap controllers or controller.quorum.voters must contain a parseable set of "
            "controllers.");
    return votes_agree(c, why, room);
}

static bool times_agree(const struct config *c, char *why, size_t room)
{
    if (c->value[T_retention_ms].i == 0)
        return no(why, room, "log.retention.ms (or minutes, hours) must be at least 1, or -1 for ever");
    if (c->value[T_segment_ms].i < 1)
        return no(why, room, "log.roll.ms must be at least 1");
    if (c->value[T_segment_jitter_ms].i < 0)
        return no(why, room, "log.roll.jitter.ms must be at least 0");
    return true;
}

bool config_agrees(const struct config *c, char *why, size_t room)
{
    int64_t threads = config_int(c, C_log_cleaner_threads), bytes = config_int(c, C_queued_max_request_bytes);
    const char *between = config_str(c, C_inter_broker_listener_name);
    bool found = !between || !config_serves(c);

    if (!quorum_agrees(c, why, room) || !times_agree(c, why, room))
        return false;
    for (int i = 0; i < c->n_listeners && !found; i++)
        found = strcasecmp(c->listeners[i].name, between) == 0 && c->listeners[i].advertised;
    if (!found)
        return no(why, room, "inter.broker.listener.name: %s is no listener that is advertised", between);
    if (bytes > 0 && bytes < config_int(c, C_socket_request_max_bytes))
        return no(why, room, "queued.max.request.bytes must be at least socket.request.max.bytes");
    if (config_int(c, C_max_connections_per_ip) == 0 && !*config_str(c, C_max_connections_per_ip_overrides))
        return no(why, room,
                  "max.connections.per.ip can be 0 only where max.connections.per.ip.overrides is set");
    if (config_int(c, C_log_cleaner_dedupe_buffer_size) / (threads > 0 ? threads : 1) < 1024 * 1024)
        return no(why, room,
                  "log.cleaner.dedupe.buffer.size must be at least 1 MiB for each of log.cleaner.threads");
    return true;
}
