#include "session.h"
#include "base/check.h"

static int64_t retry_ms(const struct session *s)
{
    int64_t ms = SESSION_RETRY_MAX_MS;

    if (s->tries < 16 && (int64_t)SESSION_RETRY_MS << s->tries < SESSION_RETRY_MAX_MS)
        ms = (int64_t)SESSION_RETRY_MS << s->tries;
    return ms;
}

static void end(struct session *s, enum session_state how)
{
    s->state = how;
    s->due_ms = SESSION_NEVER;
    s->again = false;
}

static void fail(struct session *s, enum err why, struct session_effects *fx)
{
    end(s, SESSION_FAILED);
    fx->failed = why;
}

static void leave_now(struct session *s, struct session_effects *fx)
{
    end(s, SESSION_LEFT);
    fx->left = true;
}

static void join(struct session *s, int64_t now)
{
    s->state = SESSION_JOINING;
    s->since_ms = s->due_ms = now;
    s->tries = 0;
}

/* What no time changes: another cluster's broker, settings that don't fit. */
static bool is_final(enum err err)
{
    return err == E_INCONSISTENT_CLUSTER_ID || err == E_INVALID_REGISTRATION ||
           err == E_UNSUPPORTED_VERSION || err == E_BROKER_ID_NOT_REGISTERED ||
           err == E_CLUSTER_AUTHORIZATION_FAILED;
}

static void on_registered(struct session *s, const struct session_event *ev, struct session_effects *fx)
{
    if (s->state != SESSION_JOINING)
        return;
    if (!ev->err) {
        s->state = SESSION_FENCED;
        s->epoch = ev->epoch;
        s->tries = 0;
        s->heard_ms = ev->now_ms;
        s->due_ms = s->offset >= s->epoch ? ev->now_ms : ev->now_ms + s->heartbeat_ms;
    } else if (is_final(ev->err) || ev->now_ms - s->since_ms >= s->registration_ms) {
        fail(s, ev->err, fx);
    } else {
        s->due_ms = ev->now_ms + retry_ms(s);
        s->tries++;
    }
}

static bool waited_enough(const struct session *s, int64_t now)
{
    int64_t heard = s->heard_ms > s->since_ms ? s->heard_ms : s->since_ms;

    return now - heard >= SESSION_LEAVE_SILENCE_MS || now - s->since_ms >= SESSION_LEAVE_MAX_MS;
}

static bool tells_leaver(const struct session *s)
{
    return s->leaver && s->state == SESSION_ACTIVE && !s->local;
}

/* After an answer, or none. */
static int64_t next_beat(const struct session *s, const struct session_event *ev)
{
    if (ev->err)
        return ev->now_ms + retry_ms(s);
    if (s->state == SESSION_LEAVING || tells_leaver(s))
        return ev->now_ms + SESSION_LEAVE_POLL_MS;
    return s->state == SESSION_ACTIVE && s->local ? SESSION_NEVER : ev->now_ms + s->heartbeat_ms;
}

static void on_beaten(struct session *s, const struct session_event *ev, struct session_effects *fx)
{
    bool leaving = s->state == SESSION_LEAVING;

    if (s->state != SESSION_FENCED && s->state != SESSION_ACTIVE && !leaving)
        return;
    if (ev->err == E_STALE_BROKER_EPOCH) {
        if (leaving)
            leave_now(s, fx);
        else
            join(s, ev->now_ms);
        return;
    }
    if (leaving && !ev->err && ev->may_go) {
        leave_now(s, fx);
        return;
    }
    if (!ev->err) {
        s->heard_ms = ev->now_ms;
        s->tries = 0;
        if (!leaving)
            s->state = ev->fenced ? SESSION_FENCED : SESSION_ACTIVE;
    }
    s->due_ms = next_beat(s, ev);
    s->tries += ev->err != E_OK;
}

static void on_image(struct session *s, const struct session_event *ev, struct session_effects *fx)
{
    bool caught_up = s->offset < s->epoch && ev->offset >= s->epoch;

    s->offset = ev->offset;
    if (s->epoch >= 0 && ev->unfenced && !s->ready) {
        s->ready = true;
        fx->ready = true;
    }
    s->leaver = ev->leaver;
    s->unfenced = ev->unfenced;
    if ((s->state == SESSION_FENCED && caught_up) || (s->state == SESSION_ACTIVE && s->local && !s->unfenced))
        s->due_ms = ev->now_ms;
    else if (tells_leaver(s) && !s->asking && s->due_ms > s->heard_ms + SESSION_LEAVE_POLL_MS)
        s->due_ms = s->heard_ms + SESSION_LEAVE_POLL_MS;
}

/* A new leader hears at once that this broker lives. */
static void on_leader(struct session *s, const struct session_event *ev)
{
    s->local = ev->local;
    if (s->state == SESSION_ACTIVE && s->local && s->unfenced)
        s->due_ms = SESSION_NEVER;
    else if (s->state != SESSION_IDLE && s->state != SESSION_LEFT && s->state != SESSION_FAILED)
        s->due_ms = ev->now_ms;
}

static void on_leave(struct session *s, const struct session_event *ev, struct session_effects *fx)
{
    if (s->state == SESSION_LEAVING || s->state == SESSION_LEFT)
        return;
    if (ev->alone || (s->state != SESSION_FENCED && s->state != SESSION_ACTIVE)) {
        leave_now(s, fx);
        return;
    }
    s->state = SESSION_LEAVING;
    s->since_ms = s->due_ms = ev->now_ms;
}

/* What is due is asked, or asked after what is under way. */
static void ask(struct session *s, int64_t now, struct session_effects *fx)
{
    if (s->due_ms > now)
        return;
    if (s->asking) {
        s->again = true;
        s->due_ms = SESSION_NEVER;
        return;
    }
    fx->join = s->state == SESSION_JOINING;
    fx->beat = !fx->join;
    fx->want_out = s->state == SESSION_LEAVING;
    s->asking = true;
    s->again = false;
    s->due_ms = SESSION_NEVER;
}

static bool invariant(const struct session *s)
{
    bool over = s->state == SESSION_IDLE || s->state == SESSION_LEFT || s->state == SESSION_FAILED;

    if (over)
        return s->due_ms == SESSION_NEVER && !s->again;
    if (s->state != SESSION_JOINING && s->epoch < 0)
        return false;
    return s->asking || s->due_ms != SESSION_NEVER || (s->local && s->state == SESSION_ACTIVE);
}

void session_init(struct session *s, int64_t heartbeat_ms, int64_t registration_ms)
{
    *s = (struct session){.state = SESSION_IDLE,
                          .heartbeat_ms = heartbeat_ms,
                          .registration_ms = registration_ms,
                          .epoch = -1,
                          .offset = -1,
                          .due_ms = SESSION_NEVER};
}

static void answered(struct session *s, const struct session_event *ev, struct session_effects *fx)
{
    bool again = s->again;

    ASSERT(s->asking);
    s->asking = s->again = false;
    if (ev->type == SESSION_REGISTERED)
        on_registered(s, ev, fx);
    else
        on_beaten(s, ev, fx);
    if (again && s->state != SESSION_LEFT && s->state != SESSION_FAILED)
        s->due_ms = ev->now_ms;
}

void session_step(struct session *s, const struct session_event *ev, struct session_effects *fx)
{
    *fx = (struct session_effects){.tick_ms = SESSION_NEVER};
    switch (ev->type) {
    case SESSION_BEGIN:
        ASSERT(s->state == SESSION_IDLE);
        join(s, ev->now_ms);
        break;
    case SESSION_REGISTERED:
    case SESSION_BEATEN:
        answered(s, ev, fx);
        break;
    case SESSION_IMAGE:
        on_image(s, ev, fx);
        break;
    case SESSION_LEADER:
        on_leader(s, ev);
        break;
    case SESSION_LEAVE:
        on_leave(s, ev, fx);
        break;
    case SESSION_DESERTED:
        s->deserted = ev->deserted;
        break;
    case SESSION_TICK:
        break;
    }
    if (s->state == SESSION_LEAVING && (s->deserted || waited_enough(s, ev->now_ms)))
        leave_now(s, fx);
    ask(s, ev->now_ms, fx);
    fx->tick_ms = s->due_ms;
    if (s->state == SESSION_LEAVING && s->due_ms == SESSION_NEVER)
        fx->tick_ms = ev->now_ms + SESSION_LEAVE_POLL_MS; /* nobody may answer at all */
    ASSERT(invariant(s));
}
