#include "member.h"
#include "base/check.h"
#include "broker/session.h"
#include "proto_gen.h"

enum { NS_A_MS = 1000000, JOIN_WAIT_MS = 5000, TELL_WAIT_MS = 5000, TELL_REST_MS = 1000, BEAT_VERSION = 2 };

/* What this node's controller says of itself: asked until the image has it. */
struct teller {
    const struct ControllerRegistrationRequest *request;
    struct ControllerRegistrationResponse answer;
    struct control_call call;
    struct arena arena;
    struct timer rest;
    bool asking, resting;
};

struct member {
    struct node *node;
    struct loop *loop;
    struct member_ops ops;
    struct session session;
    struct timer tick;
    struct BrokerRegistrationRequest request;
    struct broker_registration joins;
    struct BrokerRegistrationResponse joined;
    struct BrokerHeartbeatRequest beat;
    struct broker_heartbeat beats;
    struct BrokerHeartbeatResponse beaten;
    struct control_call call; /* one at a time: the session's */
    struct arena arena;
    struct teller teller;
    bool begun, is_broker;
    bool alone;
    bool stopped;
    struct msg up, left;
};

static void step(struct member *m, struct session_event ev);

/* ---- what the session asks ---- */

static void ask(struct member *m, ctl_decide_fn decide, const void *in, void *out, int16_t version,
                int64_t wait_ms, void (*done)(struct control_call *c))
{
    arena_reset(&m->arena);
    m->call = (struct control_call){.node = m->node,
                                    .back = m->loop,
                                    .decide = decide,
                                    .in = in,
                                    .out = out,
                                    .version = version,
                                    .timeout_ms = (int32_t)wait_ms,
                                    .arena = &m->arena,
                                    .done = done,
                                    .arg = m};
    control_call(&m->call);
}

static enum err said(const struct control_call *c, int16_t code)
{
    return c->err ? c->err : err_of_wire(code);
}

static void join_done(struct control_call *c)
{
    struct member *m = c->arg;
    enum err err = said(c, m->joined.error_code);

    if (!err && !m->stopped)
        m->ops.joined(m->ops.arg, m->joined.broker_epoch);
    step(m, (struct session_event){.type = SESSION_REGISTERED, .err = err, .epoch = m->joined.broker_epoch});
}

/* A session that begins again has kept everything since the last. */
static void join(struct member *m)
{
    if (m->session.epoch >= 0)
        m->request.previous_broker_epoch = m->session.epoch;
    proto_defaults(&BrokerRegistrationResponse_type, &m->joined);
    m->joins = (struct broker_registration){.request = &m->request};
    ask(m, decide_broker_registration, &m->joins, &m->joined, BrokerRegistrationRequest_type.versions.last,
        JOIN_WAIT_MS, join_done);
}

static void beat_done(struct control_call *c)
{
    struct member *m = c->arg;

    step(m, (struct session_event){.type = SESSION_BEATEN,
                                   .err = said(c, m->beaten.error_code),
                                   .fenced = m->beaten.is_fenced,
                                   .may_go = m->beaten.should_shut_down});
}

static void beat(struct member *m, bool want_out)
{
    proto_defaults(&BrokerHeartbeatRequest_type, &m->beat);
    proto_defaults(&BrokerHeartbeatResponse_type, &m->beaten);
    m->beat.broker_id = m->node->id;
    m->beat.broker_epoch = m->session.epoch;
    m->beat.current_metadata_offset = m->session.offset;
    m->beat.want_shut_down = want_out;
    m->beats = (struct broker_heartbeat){.request = &m->beat, .lowest_offset = INT64_MAX};
    ask(m, decide_broker_heartbeat, &m->beats, &m->beaten, BEAT_VERSION,
        config_int(m->node->config, C_broker_session_timeout_ms) / 2, beat_done);
}

/* ---- what comes of an event ---- */

static void up_run(struct msg *msg)
{
    struct member *m = container_of(msg, struct member, up);

    m->ops.ready(m->ops.arg);
}

static void left_run(struct msg *msg)
{
    struct member *m = container_of(msg, struct member, left);

    m->ops.left(m->ops.arg);
}

static void step(struct member *m, struct session_event ev)
{
    struct session_effects fx;

    if (m->stopped)
        return;
    ev.now_ms = loop_now(m->loop) / NS_A_MS;
    session_step(&m->session, &ev, &fx);
    if (fx.join)
        join(m);
    if (fx.beat)
        beat(m, fx.want_out);
    if (fx.tick_ms == SESSION_NEVER)
        timer_stop(&m->tick);
    else
        timer_set(m->loop, &m->tick, fx.tick_ms * NS_A_MS);
    if (fx.ready)
        loop_post(m->loop, &m->up);
    if (fx.left)
        loop_post(m->loop, &m->left);
    if (fx.failed)
        m->ops.failed(m->ops.arg, fx.failed, "this broker could not register");
}

static void tick_fire(struct timer *timer)
{
    step(container_of(timer, struct member, tick), (struct session_event){.type = SESSION_TICK});
}

/* ---- the controller of this node ---- */

static void tell_done(struct control_call *c)
{
    struct member *m = c->arg;
    struct teller *t = &m->teller;

    t->asking = false;
    if (m->stopped)
        return;
    t->resting = true; /* also after a success: the image that has it is on its way */
    timer_set(m->loop, &t->rest, loop_now(m->loop) + (int64_t)TELL_REST_MS * NS_A_MS);
}

static bool told(const struct member *m, const struct image *image)
{
    const struct image_controller *c = image_controller(image, m->node->id);

    return c && uuid_eq(c->reg.incarnation, m->teller.request->incarnation_id);
}

static void tell(struct member *m, const struct image *image)
{
    struct teller *t = &m->teller;

    if (!m->begun || !t->request || t->asking || t->resting || m->stopped || told(m, image) ||
        image_feature(image, FEATURE_WEIR) < WEIR_VERSION_CONTROLLERS)
        return;
    t->asking = true;
    arena_reset(&t->arena);
    proto_defaults(&ControllerRegistrationResponse_type, &t->answer);
    t->call = (struct control_call){.node = m->node,
                                    .back = m->loop,
                                    .decide = decide_controller_registration,
                                    .in = t->request,
                                    .out = &t->answer,
                                    .timeout_ms = TELL_WAIT_MS,
                                    .arena = &t->arena,
                                    .done = tell_done,
                                    .arg = m};
    control_call(&t->call);
}

static void rest_over(struct timer *timer)
{
    struct member *m = container_of(timer, struct member, teller.rest);

    m->teller.resting = false;
    if (!m->stopped)
        tell(m, control_image(m->node->control));
}

/* ---- what the control loop says ---- */

/* Who else there is; does anybody leave? */
static bool brokers_look(struct member *m, const struct image *image)
{
    struct image_brokers walk = image_brokers_all(image);
    const struct image_broker *b;
    bool leaver = false;

    m->alone = true;
    while ((b = image_brokers_next(&walk))) {
        if (b->reg.id == m->node->id || b->reg.fenced)
            continue;
        leaver |= b->reg.in_controlled_shutdown;
        m->alone &= b->reg.in_controlled_shutdown;
    }
    return leaver;
}

void member_image(struct member *m, const struct image *image)
{
    const struct image_broker *self = image_broker(image, m->node->id);
    bool leaver = brokers_look(m, image);

    if (!m->begun)
        return;
    step(m,
         (struct session_event){.type = SESSION_IMAGE,
                                .offset = image->offset,
                                .unfenced = self && self->reg.epoch == m->session.epoch && !self->reg.fenced,
                                .leaver = leaver});
    tell(m, image);
}

void member_leader(struct member *m, bool local)
{
    step(m, (struct session_event){.type = SESSION_LEADER, .local = local});
}

void member_deserted(struct member *m, bool deserted)
{
    step(m, (struct session_event){.type = SESSION_DESERTED, .deserted = deserted});
}

void member_leave(struct member *m)
{
    step(m, (struct session_event){.type = SESSION_LEAVE, .alone = m->alone});
}

/* ---- beginning and end ---- */

struct member *member_new(struct node *node, struct loop *control, const struct member_ops *ops)
{
    struct member *m = heap_alloc(node->heap, sizeof(*m));

    m->node = node;
    m->loop = control;
    m->ops = *ops;
    m->alone = true;
    m->tick.fire = tick_fire;
    m->teller.rest.fire = rest_over;
    m->up.run = up_run;
    m->left.run = left_run;
    arena_init(&m->arena, node->heap, SIZE_MAX);
    arena_init(&m->teller.arena, node->heap, SIZE_MAX);
    session_init(&m->session, config_int(node->config, C_broker_heartbeat_interval_ms),
                 config_int(node->config, C_initial_broker_registration_timeout_ms));
    return m;
}

void member_begin(struct member *m, const struct BrokerRegistrationRequest *broker,
                  const struct ControllerRegistrationRequest *controller)
{
    m->begun = true;
    m->teller.request = controller;
    if (broker) {
        m->request = *broker;
        step(m, (struct session_event){.type = SESSION_BEGIN});
    }
    member_image(m, control_image(m->node->control));
}

void member_stop(struct member *m)
{
    m->stopped = true;
    timer_stop(&m->tick);
    timer_stop(&m->teller.rest);
}

void member_drop(struct member *m)
{
    ASSERT(m->stopped && !m->teller.asking);
    arena_drop(&m->arena);
    arena_drop(&m->teller.arena);
    heap_free(m->node->heap, m);
}
