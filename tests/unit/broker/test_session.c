/* A broker's session, on a clock of the test's own. */
#include "broker/session.h"
#include "tests/check.h"

enum { BEAT = 2000, JOIN_MAX = 60000, EPOCH = 100 };

struct desk {
    struct session s;
    struct session_effects fx;
    int64_t now;
};

static void tell(struct desk *d, struct session_event ev)
{
    ev.now_ms = d->now;
    session_step(&d->s, &ev, &d->fx);
}

static void tick(struct desk *d, int64_t ms)
{
    d->now += ms;
    tell(d, (struct session_event){.type = SESSION_TICK});
}

static void joined(struct desk *d, enum err err)
{
    tell(d, (struct session_event){.type = SESSION_REGISTERED, .err = err, .epoch = EPOCH});
}

static void beaten(struct desk *d, enum err err, bool fenced, bool may_go)
{
    tell(d, (struct session_event){.type = SESSION_BEATEN, .err = err, .fenced = fenced, .may_go = may_go});
}

static void image(struct desk *d, int64_t offset, bool unfenced, bool leaver)
{
    tell(d, (struct session_event){
                .type = SESSION_IMAGE, .offset = offset, .unfenced = unfenced, .leaver = leaver});
}

static void leader(struct desk *d, bool local)
{
    tell(d, (struct session_event){.type = SESSION_LEADER, .local = local});
}

static void begin(struct desk *d)
{
    *d = (struct desk){.now = 1000};
    session_init(&d->s, BEAT, JOIN_MAX);
    tell(d, (struct session_event){.type = SESSION_BEGIN});
    CHECK(d->fx.join && !d->fx.beat);
}

/* Registered, caught up, unfenced, and seen to be so; another node leads. */
static void active(struct desk *d)
{
    begin(d);
    joined(d, E_OK);
    image(d, EPOCH, false, false);
    CHECK(d->fx.beat && !d->fx.want_out);
    beaten(d, E_OK, false, false);
    image(d, EPOCH + 1, true, false);
    CHECK(d->fx.ready);
}

/* It beats when its image has its own registration, not before; and is ready when the image says that it is unfenced. */
TEST(session, a_broker_is_ready_when_its_image_says_so)
{
    struct desk d;

    begin(&d);
    joined(&d, E_OK);
    CHECK(!d.fx.beat && d.fx.tick_ms == d.now + BEAT);
    image(&d, EPOCH - 1, false, false);
    CHECK(!d.fx.beat);
    image(&d, EPOCH, false, false);
    CHECK(d.fx.beat);
    beaten(&d, E_OK, false, false);
    CHECK(!d.fx.ready && d.s.state == SESSION_ACTIVE);
    image(&d, EPOCH + 1, true, false);
    CHECK(d.fx.ready);
    image(&d, EPOCH + 2, true, false);
    CHECK(!d.fx.ready);
}

/* A heartbeat an interval, one under way at a time. */
TEST(session, heartbeats_keep_their_interval)
{
    struct desk d;

    active(&d);
    for (int i = 0; i < 3; i++) {
        CHECK(d.fx.tick_ms == d.now + BEAT);
        tick(&d, BEAT - 1);
        CHECK(!d.fx.beat);
        tick(&d, 1);
        CHECK(d.fx.beat && d.fx.tick_ms == SESSION_NEVER);
        beaten(&d, E_OK, false, false);
    }
}

/* Where it leads itself there is nobody to tell: no heartbeat, no timer; at once when another leads. */
TEST(session, the_leader_needs_no_heartbeat)
{
    struct desk d;

    active(&d);
    leader(&d, true);
    CHECK(!d.fx.beat && d.fx.tick_ms == SESSION_NEVER);
    leader(&d, false);
    CHECK(d.fx.beat);
}

/* A change of leaders while a heartbeat is under way has the next one follow at once. */
TEST(session, a_new_leader_is_told_at_once)
{
    struct desk d;

    active(&d);
    tick(&d, BEAT);
    CHECK(d.fx.beat);
    leader(&d, false);
    CHECK(!d.fx.beat);
    beaten(&d, E_REQUEST_TIMED_OUT, false, false);
    CHECK(d.fx.beat);
}

/* Refusals that time may change are asked again, ever more slowly, until the time for it is over; others end it. */
TEST(session, registration_is_retried_within_its_time)
{
    struct desk d;
    int asked = 1;

    begin(&d);
    while (d.s.state == SESSION_JOINING && asked < 1000) {
        joined(&d, E_DUPLICATE_BROKER_REGISTRATION);
        if (d.s.state == SESSION_JOINING) {
            CHECK(!d.fx.join && d.fx.tick_ms > d.now && d.fx.tick_ms <= d.now + SESSION_RETRY_MAX_MS);
            d.now = d.fx.tick_ms;
            tick(&d, 0);
            asked += d.fx.join;
        }
    }
    CHECK(d.fx.failed == E_DUPLICATE_BROKER_REGISTRATION && d.s.state == SESSION_FAILED);
    CHECK(asked >= 30 && asked <= 50 && d.now - 1000 >= JOIN_MAX);
    begin(&d);
    joined(&d, E_INCONSISTENT_CLUSTER_ID);
    CHECK(d.fx.failed == E_INCONSISTENT_CLUSTER_ID);
}

/* An epoch that isn't known any more is the end of that registration, not of the broker. */
TEST(session, a_stale_epoch_registers_again)
{
    struct desk d;

    active(&d);
    tick(&d, BEAT);
    beaten(&d, E_STALE_BROKER_EPOCH, true, false);
    CHECK(d.fx.join);
    joined(&d, E_OK);
    CHECK(d.fx.beat || d.fx.tick_ms <= d.now + BEAT);
}

/* Fenced by a controller that didn't hear it, it beats on and is unfenced. */
TEST(session, a_fenced_broker_beats_on)
{
    struct desk d;

    active(&d);
    tick(&d, BEAT);
    beaten(&d, E_OK, true, false);
    CHECK(d.s.state == SESSION_FENCED && d.fx.tick_ms == d.now + BEAT);
    tick(&d, BEAT);
    CHECK(d.fx.beat);
    beaten(&d, E_OK, false, false);
    CHECK(d.s.state == SESSION_ACTIVE);
}

/* Where it leads itself its image tells it: fenced by the leader before, or unregistered, it asks to be back. */
TEST(session, the_leader_hears_of_its_own_fencing)
{
    struct desk d;

    active(&d);
    image(&d, EPOCH + 2, false, false);
    CHECK(!d.fx.beat); /* its next heartbeat does */
    leader(&d, true);
    CHECK(d.fx.beat);
    beaten(&d, E_OK, false, false);
    image(&d, EPOCH + 3, true, false);
    CHECK(!d.fx.beat && d.fx.tick_ms == SESSION_NEVER);
    image(&d, EPOCH + 4, false, false);
    CHECK(d.fx.beat);
    beaten(&d, E_STALE_BROKER_EPOCH, false, false);
    CHECK(d.fx.join);
}

/* It leaves when the controller says that it may, asked often; also where it leads itself. */
TEST(session, it_leaves_when_it_may)
{
    for (int local = 0; local < 2; local++) {
        struct desk d;

        active(&d);
        leader(&d, local);
        if (!local)
            beaten(&d, E_OK, false, false);
        tell(&d, (struct session_event){.type = SESSION_LEAVE});
        CHECK(d.fx.beat && d.fx.want_out && !d.fx.left);
        beaten(&d, E_OK, false, false);
        CHECK(!d.fx.left && d.fx.tick_ms == d.now + SESSION_LEAVE_POLL_MS);
        tick(&d, SESSION_LEAVE_POLL_MS);
        CHECK(d.fx.beat && d.fx.want_out);
        beaten(&d, E_OK, true, true);
        CHECK(d.fx.left && d.fx.tick_ms == SESSION_NEVER);
    }
}

/* Nobody to hand over to, nobody who answers, nobody who lets it go: it goes all the same. */
TEST(session, it_leaves_without_leave)
{
    struct desk d;
    int64_t since;

    active(&d);
    tell(&d, (struct session_event){.type = SESSION_LEAVE, .alone = true});
    CHECK(d.fx.left);
    active(&d);
    tell(&d, (struct session_event){.type = SESSION_LEAVE});
    for (since = d.now; !d.fx.left && d.now < since + JOIN_MAX;)
        tick(&d, d.fx.tick_ms - d.now);
    CHECK(d.fx.left && d.now - since >= SESSION_LEAVE_SILENCE_MS);
    CHECK(d.now - since <= SESSION_LEAVE_SILENCE_MS + SESSION_LEAVE_POLL_MS);
    beaten(&d, E_NOT_CONTROLLER, false, false);
    CHECK(!d.fx.left && !d.fx.beat);
    active(&d);
    tell(&d, (struct session_event){.type = SESSION_LEAVE});
    for (since = d.now; !d.fx.left && d.now < since + 2 * SESSION_LEAVE_MAX_MS;) {
        if (d.fx.beat)
            beaten(&d, E_OK, false, false);
        else
            tick(&d, d.fx.tick_ms - d.now);
    }
    CHECK(d.fx.left && d.now - since >= SESSION_LEAVE_MAX_MS);
}

/* Where nobody can come to lead it leaves at once, whenever that is known; where somebody can again it waits. */
TEST(session, it_leaves_a_desert)
{
    struct desk d;

    for (int before = 0; before < 2; before++) {
        active(&d);
        if (before)
            tell(&d, (struct session_event){.type = SESSION_DESERTED, .deserted = true});
        CHECK(!d.fx.left);
        tell(&d, (struct session_event){.type = SESSION_LEAVE});
        CHECK_EQ(d.fx.left, before);
        if (!before)
            tell(&d, (struct session_event){.type = SESSION_DESERTED, .deserted = true});
        CHECK(d.fx.left);
    }
    active(&d);
    tell(&d, (struct session_event){.type = SESSION_DESERTED, .deserted = true});
    tell(&d, (struct session_event){.type = SESSION_DESERTED});
    tell(&d, (struct session_event){.type = SESSION_LEAVE});
    CHECK(!d.fx.left);
}

/* While another broker leaves, what this one has seen is told often, so that it needn't wait for an interval. */
TEST(session, one_who_leaves_is_not_kept_waiting)
{
    struct desk d;

    active(&d);
    tick(&d, BEAT / 2);
    image(&d, EPOCH + 5, true, true);
    CHECK(d.fx.beat);
    beaten(&d, E_OK, false, false);
    CHECK(d.fx.tick_ms == d.now + SESSION_LEAVE_POLL_MS);
    image(&d, EPOCH + 6, true, false);
    tick(&d, SESSION_LEAVE_POLL_MS);
    beaten(&d, E_OK, false, false);
    CHECK(d.fx.tick_ms == d.now + BEAT);
}
