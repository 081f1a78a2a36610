#include "broker/control_internal.h"
#include "metadata/requests.h"

/* Requests from the NET loops: decided here where this node leads, else where another does. */

enum {
    CALL_WAIT_MS = 30000,
    KEEPS_STEP_MS = 1000,
    /* The sender may wait a little longer than its time, and the clock of what is kept may be two steps off: where it stood when
     * this was decided, and where a new leader began it. */
    KEEPS_SLACK_MS = UPLINK_SLACK_MS + 2 * KEEPS_STEP_MS,
    CALL_WAIT_MAX_MS = REQUEST_KEEP_MAX_MS - KEEPS_SLACK_MS,
    NS_A_MS = 1000000
};

static void call_back(struct msg *msg)
{
    struct control_call *c = container_of(msg, struct control_call, msg);

    if (c->request && c->err == E_NOT_CONTROLLER)
        c->request->not_controller = true;
    if (c->request)
        c->request->shown_from = c->shown_from;
    c->done(c); /* last touch */
}

void control_call_give(struct control_call *call)
{
    call->msg.run = call_back;
    loop_post(call->back, &call->msg); /* last touch */
}

static void call_answer(struct control_call *call)
{
    if (call->request && call->err == E_NOT_CONTROLLER)
        call->request->abandoned = call->node->control->ending;
    if (!shown_wait(call))
        control_call_give(call); /* last touch */
}

void control_answers_post(struct control *c)
{
    list_each_safe (it, &c->decided) {
        list_remove(it);
        call_answer(container_of(it, struct control_call, ctl.link));
    }
}

static void call_submit(struct control_call *call);

/* The time that the controller there takes is counted there. */
static void call_returned(struct uplink_call *up)
{
    struct control_call *call = container_of(up, struct control_call, up);

    call->err = up->err;
    if (up->here)
        call_submit(call);
    else
        call_answer(call);
}

/* This node doesn't lead, or not any more (call->err): another may. */
static void call_elsewhere(struct control_call *call)
{
    struct control *c = call->node->control;

    timer_stop(&call->timer);
    if (c->ending || !forward_may(call)) {
        call_answer(call);
        return;
    }
    forward_call(call);
    call->up.done = call_returned;
    call->up.timeout_ms = (call->deadline - loop_now(c->loop)) / NS_A_MS;
    uplink_send(c->uplink, &call->up);
}

/* ---- answers for requests that may come again ---- */

static void keeps_fire(struct timer *timer)
{
    struct control *c = container_of(timer, struct control, keeps);

    if (c->leads && !c->stopped) {
        ctl_elapsed(c->ctl, (loop_now(c->loop) - c->keeps_since) / NS_A_MS);
        control_turn(c);
    }
    c->keeps_since = 0;
}

/* Its clock runs a second at a time, and not while nothing is kept; brokers' heartbeats start it anew. */
static void keeps_run(struct control *c)
{
    if (c->keeps_since || c->stopped || !ctl_keeps(c->ctl))
        return;
    c->keeps_since = loop_now(c->loop);
    timer_set(c->loop, &c->keeps, c->keeps_since + (int64_t)KEEPS_STEP_MS * NS_A_MS);
}

void control_calls_begin(struct control *c)
{
    c->keeps.fire = keeps_fire;
    list_init(&c->keeps.link);
}

/* Nobody sends again what was asked of a controller itself; nor is it lost where nobody else can lead. */
static void call_keep(struct control_call *call)
{
    const struct control *c = call->node->control;

    if (!call->comes_again && !(forward_may(call) && c->n_voters > 1))
        return;
    call->ctl.api = forward_kept(call, &call->ctl.again);
    call->ctl.keep_ms = (int32_t)((call->deadline - loop_now(c->loop)) / NS_A_MS) + KEEPS_SLACK_MS;
}

/* Nobody waits, and asks again, for longer than an answer may be kept. */
static int64_t call_wait_ms(const struct control_call *call)
{
    int64_t ms = call->timeout_ms > 0 ? call->timeout_ms : CALL_WAIT_MS;
    enum ctl_again again;

    return ms > CALL_WAIT_MAX_MS && forward_kept(call, &again) ? CALL_WAIT_MAX_MS : ms;
}

/* ---- deciding ---- */

static void call_confirmed(struct quorum_confirm *confirm, enum err err)
{
    struct control_call *call = container_of(confirm, struct control_call, confirm);

    call->err = err;
    if (err)
        call_elsewhere(call);
    else
        call_answer(call);
}

void control_call_end(struct control_call *call, enum err err)
{
    call->err = err;
    if (err == E_NOT_CONTROLLER)
        call_elsewhere(call);
    else
        call_answer(call);
}

/* An answer for which nothing had to commit may be an old leader's: a majority says that it isn't. */
static void call_decided(struct ctl_request *r, enum err err)
{
    struct control_call *call = container_of(r, struct control_call, ctl);
    struct control *c = call->node->control;

    timer_stop(&call->timer);
    keeps_run(c);
    call->err = err;
    call->shown_from = !err && r->changed ? r->after : 0;
    if (!err)
        overseer_after(c->overseer, call);
    if (call->shown_from && call->comes_again && c->quorum) /* that broker answers when it shows it */
        quorum_hurry(c->quorum);
    if (err == E_NOT_CONTROLLER) {
        call_elsewhere(call);
    } else if (!err && call->here && (!call->wants || call->wants(call))) {
        call->here(call);
    } else if (c->committing) {
        list_add(&c->decided, &r->link);
    } else if (!err && c->n_voters > 1) {
        ASSERT(c->quorum);
        call->confirm.done = call_confirmed;
        quorum_confirm(c->quorum, &call->confirm);
    } else {
        call_answer(call);
    }
}

/* Deletions and settings may free some; what a broker says of itself is little, and it must be heard. */
static bool needs_no_room(ctl_decide_fn decide)
{
    return decide == decide_delete_topics || decide == decide_alter_configs ||
           decide == decide_incremental_alter_configs || decide == decide_broker_registration ||
           decide == decide_broker_heartbeat;
}

void control_held_end(struct control *c, enum err err)
{
    list_each_safe (it, &c->held) {
        struct control_call *call = container_of(it, struct control_call, ctl.link);

        list_remove(it);
        call->held = false;
        if (!err) {
            control_submit(c, &call->ctl);
            continue;
        }
        call->err = err;
        call_elsewhere(call);
    }
}

/* A request whose records are partly on their way is answered when all of them are. */
static void call_late(struct timer *timer)
{
    struct control_call *call = container_of(timer, struct control_call, timer);

    if (call->held)
        list_remove(&call->ctl.link);
    else if (!ctl_cancel(call->node->control->ctl, &call->ctl))
        return;
    call->held = false;
    call->err = E_REQUEST_TIMED_OUT;
    call_answer(call);
}

static void call_submit(struct control_call *call)
{
    struct control *c = call->node->control;

    timer_set(c->loop, &call->timer, call->deadline);
    call->ctl = (struct ctl_request){.decide = call->decide,
                                     .in = call->in,
                                     .out = call->out,
                                     .version = call->version,
                                     .id = call->id,
                                     .arena = call->arena,
                                     .done = call_decided};
    if (call->request)
        call_keep(call);
    if (c->leads)
        overseer_before(c->overseer, call);
    call->held = c->tight && c->leads && !c->ending && !needs_no_room(call->decide);
    if (call->held)
        list_add(&c->held, &call->ctl.link);
    else
        control_submit(c, &call->ctl);
}

static void call_arrived(struct msg *msg)
{
    struct control_call *call = container_of(msg, struct control_call, msg);

    if (call->request && uuid_is_zero(call->id))
        io_random(call->node->io, call->id.b, sizeof(call->id.b));
    call->timer = (struct timer){.fire = call_late};
    call->deadline = loop_now(call->node->control->loop) + call_wait_ms(call) * NS_A_MS;
    call_submit(call);
}

void control_call(struct control_call *c)
{
    if (c->request) {
        c->peer = *c->request->peer;
        c->principal = *c->request->principal;
        c->id = c->request->id;
        c->comes_again = !uuid_is_zero(c->id);
        if (c->request->time_left_ms > 0 && (c->timeout_ms <= 0 || c->timeout_ms > c->request->time_left_ms))
            c->timeout_ms = c->request->time_left_ms;
    }
    c->msg.run = call_arrived;
    if (forward_shared(c)) {
        loop_post(c->node->control->loop, &c->msg);
        return;
    }
    c->err = E_UNSUPPORTED_VERSION;
    c->msg.run = call_back;
    loop_post(c->back, &c->msg);
}

struct control_call control_call_of(struct request *r, ctl_decide_fn decide, const void *in,
                                    void (*done)(struct control_call *c), void *arg)
{
    return (struct control_call){.node = r->net->node,
                                 .back = r->net->loop,
                                 .request = r,
                                 .decide = decide,
                                 .in = in,
                                 .out = r->out,
                                 .version = r->version,
                                 .arena = &r->arena,
                                 .done = done,
                                 .arg = arg};
}

struct decided {
    struct control_call call;
    void (*failed)(struct request *r, enum err err);
};

static void request_decided(struct control_call *c)
{
    struct request *r = c->arg;

    if (c->err)
        container_of(c, struct decided, call)->failed(r, c->err);
    request_reply(r);
}

void control_request_in(struct request *r, ctl_decide_fn decide, const void *in,
                        void (*failed)(struct request *r, enum err err))
{
    struct decided *d = arena_alloc(&r->arena, sizeof(*d));

    d->failed = failed;
    d->call = control_call_of(r, decide, in, request_decided, r);
    control_call(&d->call);
}

void control_request(struct request *r, ctl_decide_fn decide, void (*failed)(struct request *r, enum err err))
{
    control_request_in(r, decide, r->in, failed);
}
