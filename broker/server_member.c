/* This node joins its cluster, and leaves it: what it says of itself, and what comes of the answers. */
#include "broker/overseer.h"
#include "broker/server_internal.h"

/* What others are told to dial: as configured, the port as bound. */
static struct slice told_host(const struct config_listener *l)
{
    return SLICE(l->advertised_host[0] ? l->advertised_host : l->host[0] ? l->host : "localhost");
}

static uint16_t told_port(const struct listener_open *o)
{
    return o->config->advertised_port ? o->config->advertised_port : o->at.port;
}

static void broker_make(struct server *s)
{
    struct BrokerRegistrationRequest *r = &s->registration;
    const char *rack = config_str(s->node.config, C_broker_rack);
    int n = 0;

    proto_defaults(&BrokerRegistrationRequest_type, r);
    r->broker_id = s->node.id;
    r->cluster_id = SLICE(s->node.cluster_id);
    io_random(s->node.io, r->incarnation_id.b, sizeof(r->incarnation_id.b));
    r->previous_broker_epoch = s->kept_epoch;
    r->rack = rack ? SLICE(rack) : SLICE_NULL;
    PROTO_ARRAY_NEW(&s->arena, BrokerRegistrationRequest_Listener, r->listeners, s->n_listeners);
    for (int i = 0; i < s->n_listeners; i++) {
        const struct config_listener *l = s->listeners[i].config;

        if (!l->advertised)
            continue;
        r->listeners.v[n].name = SLICE(l->name);
        r->listeners.v[n].host = told_host(l);
        r->listeners.v[n++].port = told_port(&s->listeners[i]);
    }
    r->listeners.n = n;
    PROTO_ARRAY_NEW(&s->arena, BrokerRegistrationRequest_Feature, r->features, FEATURE_COUNT);
    for (int i = 0; i < FEATURE_COUNT; i++)
        r->features.v[i] = (struct BrokerRegistrationRequest_Feature){SLICE(FEATURES[i].name),
                                                                      FEATURES[i].min, FEATURES[i].max};
    r->log_dirs.v = arena_alloc(&s->arena, (size_t)s->boot.n * sizeof(struct uuid));
    for (int i = 0; i < s->boot.n; i++)
        if (!s->boot.dirs[i].offline)
            r->log_dirs.v[r->log_dirs.n++] = s->boot.dirs[i].meta.directory_id;
}

static void controller_make(struct server *s)
{
    struct ControllerRegistrationRequest *r = &s->controller;
    int n = 0;

    proto_defaults(&ControllerRegistrationRequest_type, r);
    r->controller_id = s->node.id;
    io_random(s->node.io, r->incarnation_id.b, sizeof(r->incarnation_id.b));
    PROTO_ARRAY_NEW(&s->arena, ControllerRegistrationRequest_Listener, r->listeners, s->n_listeners);
    for (int i = 0; i < s->n_listeners; i++) {
        const struct config_listener *l = s->listeners[i].config;

        if (!l->controller)
            continue;
        r->listeners.v[n].name = SLICE(l->name);
        r->listeners.v[n].host = told_host(l);
        r->listeners.v[n++].port = told_port(&s->listeners[i]);
    }
    r->listeners.n = n;
    PROTO_ARRAY_NEW(&s->arena, ControllerRegistrationRequest_Feature, r->features, FEATURE_COUNT);
    for (int i = 0; i < FEATURE_COUNT; i++)
        r->features.v[i] = (struct ControllerRegistrationRequest_Feature){SLICE(FEATURES[i].name),
                                                                          FEATURES[i].min, FEATURES[i].max};
}

static void on_joined(void *arg, int64_t broker_epoch)
{
    struct server *s = arg;

    s->broker_epoch = broker_epoch;
    control_registered(s->node.control, broker_epoch);
    if (s->phase == RUNNING)
        dirs_registered(s->node.dirs, broker_epoch);
}

/* Now the connections that wait come in. */
static void started(struct server *s, const char *as_what)
{
    struct addr bound[LISTENERS_MAX];

    s->phase = RUNNING;
    on_configured(s, control_config(s->node.control));
    for (int i = 0; i < s->n_listeners; i++)
        bound[i] = s->listeners[i].at;
    TRACE(s->node.io, server_started, s->node.id, s->node.cluster_id, as_what);
    s->options.ready(s->options.arg, bound, s->n_listeners);
}

static void on_ready(void *arg)
{
    struct server *s = arg;

    if (s->phase != STARTING)
        return;
    dirs_registered(s->node.dirs, s->broker_epoch);
    started(s, "ready for clients");
}

static void on_left(void *arg)
{
    stop_begin(arg);
}

static void on_refused(void *arg, enum err err, const char *what)
{
    server_fail(arg, err, what);
}

void server_member(struct server *s)
{
    const struct member_ops ops = {
        .joined = on_joined, .ready = on_ready, .left = on_left, .failed = on_refused, .arg = s};

    s->member = member_new(&s->node, s->control_loop, &ops);
}

void server_join(struct server *s)
{
    const bool controls = config_controls(s->node.config);

    if (s->serves)
        broker_make(s);
    if (controls)
        controller_make(s);
    member_begin(s->member, s->serves ? &s->registration : NULL, controls ? &s->controller : NULL);
    if (!s->serves) /* nobody has to let it in */
        started(s, "ready as a controller");
}

void server_leave(struct server *s)
{
    if (s->phase == STOPPING || s->leaving)
        return;
    s->leaving = true;
    if (s->phase == STARTING || !s->serves || !config_bool(s->node.config, C_controlled_shutdown_enable))
        stop_begin(s);
    else
        member_leave(s->member);
}
