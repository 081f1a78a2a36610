/* What a controller makes of what it sees of brokers, on a clock of the test's own. */
#include "broker/life_watch.h"
#include "proto_gen.h"
#include "tests/check.h"

enum { SELF = 1, THEM = 2, OTHER = 3, GRACE = 250, SESSION = 9000 };

struct post {
    struct heap *heap;
    struct grave grave;
    struct image *image;
    struct life_watch *w;
    int64_t now;
    int dials, fences, asks;
    int32_t fenced;
    const char *why;
};

static void on_dial(void *arg, const struct image_broker *b)
{
    struct post *p = arg;

    CHECK(b->reg.id == THEM);
    p->dials++;
}

static void on_fence(void *arg, int32_t id, int64_t epoch, const char *why)
{
    struct post *p = arg;

    p->fences++;
    p->fenced = id;
    p->why = why;
}

static void on_ask(void *arg, int32_t id, int64_t epoch)
{
    struct post *p = arg;

    CHECK(id == THEM && epoch == 20);
    p->asks++;
}

static void replay(struct post *p, const struct meta_record *r)
{
    struct image *draft = image_draft(p->image, &p->grave);

    image_replay(draft, &p->grave, r);
    draft->offset = p->image->offset + 1;
    image_seal(draft);
    life_watch_image(p->w, draft);
    image_unref(p->image, &p->grave);
    p->image = draft;
}

static void joins(struct post *p, int32_t id, int64_t epoch, bool fenced)
{
    struct uuid dir = {{(uint8_t)id, 1}};
    const struct meta_record r = {.type = RECORD_REGISTER_BROKER,
                                  .register_broker = {.id = id,
                                                      .epoch = epoch,
                                                      .incarnation = {{(uint8_t)epoch}},
                                                      .fenced = fenced,
                                                      .dirs = {&dir, 1}}};

    replay(p, &r);
}

static void post_init(struct post *p)
{
    const struct life_rules rules = {.grace_ms = GRACE, .session_ms = SESSION};
    const struct life_watch_ops ops = {.dial = on_dial, .fence = on_fence, .ask = on_ask, .arg = p};

    *p = (struct post){.heap = heap_new(true), .now = 1000};
    grave_init(&p->grave, p->heap);
    p->image = image_new(&p->grave);
    image_seal(p->image);
    p->w = life_watch_new(p->heap, SELF, &rules, &ops);
    joins(p, SELF, 10, false);
    joins(p, THEM, 20, false);
    life_watch_self(p->w, 10);
}

static void post_drop(struct post *p)
{
    life_watch_drop(p->w);
    image_unref(p->image, &p->grave);
    grave_empty(&p->grave);
    heap_drop(p->heap);
}

static int64_t look(struct post *p)
{
    return life_watch_look(p->w, p->now);
}

static struct broker_heartbeat beat(struct post *p, int32_t id, int64_t epoch, int64_t offset)
{
    struct BrokerHeartbeatRequest in;
    struct broker_heartbeat b = {.request = &in};

    proto_defaults(&BrokerHeartbeatRequest_type, &in);
    in.broker_id = id;
    in.broker_epoch = epoch;
    in.current_metadata_offset = offset;
    life_watch_beating(p->w, &b, p->now);
    b.request = NULL;
    return b;
}

/* Leads, and has heard from broker 2 on a connection. */
static void settled(struct post *p)
{
    post_init(p);
    life_watch_lead(p->w, true, p->now);
    life_watch_opened(p->w, THEM, 20);
    (void)beat(p, THEM, 20, 5);
    CHECK(look(p) == p->now + SESSION);
}

/* A connection that closes and a port that refuses are its death, in the same step; it is fenced once. */
TEST(life_watch, a_refusal_fences_at_once)
{
    struct post p;

    settled(&p);
    p.now += 1000;
    life_watch_closed(p.w, THEM, 20, p.now);
    (void)look(&p);
    CHECK(p.dials == 1 && p.fences == 0);
    life_watch_dialled(p.w, THEM, 20, true, ++p.now);
    (void)look(&p);
    (void)look(&p);
    CHECK(p.fences == 1 && p.fenced == THEM);
    post_drop(&p);
}

/* A port that accepts is dialled again every 50 ms for the grace, and then left to its session. */
TEST(life_watch, one_who_accepts_is_doubted_for_a_while)
{
    struct post p;
    int64_t closed;

    settled(&p);
    p.now += 1000;
    closed = p.now;
    life_watch_closed(p.w, THEM, 20, p.now);
    while (p.now < closed + 2 * GRACE) {
        int64_t next = look(&p);

        life_watch_dialled(p.w, THEM, 20, false, p.now);
        (void)look(&p);
        p.now = next;
    }
    CHECK_EQ(p.dials, GRACE / LIFE_DIAL_MS);
    CHECK(p.fences == 0 && p.now == closed - 1000 + SESSION);
    (void)look(&p);
    CHECK(p.fences == 1);
    post_drop(&p);
}

/* Two connections: one that closes is no doubt. */
TEST(life_watch, the_last_connection_counts)
{
    struct post p;

    settled(&p);
    life_watch_opened(p.w, THEM, 20);
    life_watch_closed(p.w, THEM, 20, ++p.now);
    (void)look(&p);
    CHECK_EQ(p.dials, 0);
    life_watch_closed(p.w, THEM, 20, ++p.now);
    (void)look(&p);
    CHECK_EQ(p.dials, 1);
    post_drop(&p);
}

/* Who is silent on an open connection, as a paused process is, lives as long as its session. */
TEST(life_watch, a_paused_broker_lives_until_its_session_ends)
{
    struct post p;

    settled(&p);
    p.now += SESSION - 1;
    CHECK(look(&p) == p.now + 1 && p.dials == 0 && p.fences == 0);
    p.now++;
    (void)look(&p);
    CHECK(p.dials == 0 && p.fences == 1);
    post_drop(&p);
}

/* A new active controller dials who hasn't spoken in 50 ms, and nobody else; it doesn't take over a session's end. */
TEST(life_watch, a_new_controller_dials_the_silent)
{
    struct post p;

    post_init(&p);
    (void)look(&p);
    p.now += 10 * SESSION;
    life_watch_lead(p.w, true, p.now);
    CHECK(look(&p) == p.now + LIFE_DIAL_MS && p.dials == 0 && p.fences == 0);
    p.now += LIFE_DIAL_MS;
    (void)look(&p);
    CHECK(p.dials == 1 && p.fences == 0);
    life_watch_opened(p.w, THEM, 20);
    (void)beat(&p, THEM, 20, 5);
    life_watch_dialled(p.w, THEM, 20, false, p.now);
    CHECK(look(&p) == p.now + SESSION && p.dials == 1);
    post_drop(&p);
}

/* Evidence of one epoch is none of the next. */
TEST(life_watch, another_epoch_begins_anew)
{
    struct post p;

    settled(&p);
    joins(&p, THEM, 30, true);
    life_watch_closed(p.w, THEM, 20, p.now);
    life_watch_dialled(p.w, THEM, 20, true, p.now);
    joins(&p, THEM, 30, false);
    (void)beat(&p, THEM, 30, 5);
    life_watch_opened(p.w, THEM, 30);
    CHECK(look(&p) == p.now + SESSION && p.dials == 0 && p.fences == 0);
    post_drop(&p);
}

/* Who registers is told whether the one of that number lives: connected, or within its session; a connection that nothing
 * comes over any more says nothing, for that of a machine without power never ends. */
TEST(life_watch, registrations_meet_what_is_known)
{
    struct post p;
    struct BrokerRegistrationRequest in;
    struct broker_registration r = {.request = &in};

    settled(&p);
    proto_defaults(&BrokerRegistrationRequest_type, &in);
    in.broker_id = THEM;
    life_watch_registering(p.w, &r, p.now);
    CHECK(r.connected && r.session);
    life_watch_registering(p.w, &r, p.now + SESSION);
    CHECK(!r.connected && !r.session);
    life_watch_closed(p.w, THEM, 20, p.now);
    life_watch_registering(p.w, &r, p.now);
    CHECK(!r.connected && r.session);
    life_watch_registering(p.w, &r, p.now + SESSION);
    CHECK(!r.connected && !r.session);
    in.broker_id = SELF;
    life_watch_registering(p.w, &r, p.now);
    CHECK(r.connected && r.session);
    life_watch_self(p.w, -1);
    life_watch_registering(p.w, &r, p.now);
    CHECK(!r.connected);
    in.broker_id = OTHER;
    life_watch_registering(p.w, &r, p.now);
    CHECK(!r.connected && !r.session);
    post_drop(&p);
}

/* Another process comes as broker 2, from its disks or others. Returns whether it is told that the old one is connected. */
static bool meets(struct post *p, bool same_disks)
{
    struct uuid dir = {{same_disks ? THEM : OTHER, 1}};
    struct BrokerRegistrationRequest in;
    struct broker_registration r = {.request = &in};

    proto_defaults(&BrokerRegistrationRequest_type, &in);
    in.broker_id = THEM;
    in.incarnation_id = (struct uuid){{99}};
    in.log_dirs.v = &dir;
    in.log_dirs.n = 1;
    life_watch_registering(p->w, &r, p->now);
    return r.connected;
}

struct asked {
    int open;  /* connections when another process comes */
    int ended; /* of these, by being asked */
    bool answers;
    bool stands; /* after its time to answer */
};
static const struct asked askings[] = {
    {2, 1, false, false},
    {1, 1, false, false}, /* nothing is open any more: who lives has the time to dial again */
    {2, 1, true, true},
    {1, 1, true, true},
    {1, 0, false, true}, /* nothing could be ended, so silence says nothing */
};

/* A broker is asked whether it lives when another process comes from its disks, once; what is left of the connections of a
 * machine that lost its power doesn't answer, and soon stands for nothing, however young its session is. */
TEST_EACH(life_watch, one_whose_disks_return_is_asked, askings)
{
    struct post p;

    settled(&p);
    for (int i = 1; i < row->open; i++)
        life_watch_opened(p.w, THEM, 20);
    CHECK(meets(&p, true) && p.asks == 1);
    for (int i = 0; i < row->ended; i++)
        life_watch_closed(p.w, THEM, 20, p.now);
    p.now += 100;
    if (row->answers) {
        life_watch_opened(p.w, THEM, 20);
        (void)beat(&p, THEM, 20, -1);
    } else {
        CHECK(meets(&p, true));
    }
    p.now += LIFE_ANSWER_MS - 101;
    CHECK(meets(&p, true));
    CHECK_EQ(p.asks, 1 + row->answers);
    p.now++;
    CHECK_EQ(meets(&p, true), row->stands);
    CHECK_EQ(p.asks, 1 + row->answers);
    p.now += SESSION;
    CHECK(!meets(&p, true));
    post_drop(&p);
}

/* A new active controller asks for itself: a session that begins with it is nobody's sign of life. */
TEST(life_watch, a_new_controller_asks_anew)
{
    struct post p;

    settled(&p);
    life_watch_opened(p.w, THEM, 20);
    CHECK(meets(&p, true) && p.asks == 1);
    p.now += 10;
    life_watch_lead(p.w, true, p.now);
    CHECK(meets(&p, true) && p.asks == 2);
    life_watch_closed(p.w, THEM, 20, p.now);
    p.now += LIFE_ANSWER_MS;
    CHECK(!meets(&p, true) && p.asks == 2);
    post_drop(&p);
}

/* Who comes from other disks disturbs nobody. */
TEST(life_watch, other_disks_wait_for_the_session)
{
    struct post p;

    settled(&p);
    CHECK(meets(&p, false));
    p.now += SESSION - 1;
    CHECK(meets(&p, false) && p.asks == 0);
    p.now++;
    CHECK(!meets(&p, false));
    post_drop(&p);
}

/* Who leaves waits for the offset at which that was decided; the lowest that an active broker has told is known. */
TEST(life_watch, one_who_leaves_is_remembered)
{
    struct post p;
    struct BrokerHeartbeatRequest in;
    struct BrokerHeartbeatResponse out;
    struct broker_heartbeat b = {.request = &in};

    settled(&p);
    joins(&p, OTHER, 40, false);
    CHECK_EQ(beat(&p, THEM, 20, 5).lowest_offset, -1); /* the third has told nothing yet */
    (void)beat(&p, OTHER, 40, 1);
    CHECK_EQ(beat(&p, THEM, 20, 5).lowest_offset, 1);
    proto_defaults(&BrokerHeartbeatRequest_type, &in);
    proto_defaults(&BrokerHeartbeatResponse_type, &out);
    in.broker_id = THEM;
    in.broker_epoch = 20;
    in.want_shut_down = true;
    out.is_fenced = false;
    life_watch_beaten(p.w, &b, &out, 77);
    life_watch_beaten(p.w, &b, &out, 99);
    b = beat(&p, THEM, 20, 6);
    CHECK(b.leaving && b.leaves_at == 77);
    post_drop(&p);
}

/* Whose last connection to a controller had closed before it led is dialled as it begins, one of whom it never had any after a
 * while; who came back meanwhile is not. */
TEST(life_watch, a_new_controller_doubts_whom_it_saw_leave)
{
    for (int back = 0; back < 2; back++) {
        struct post p;

        post_init(&p);
        life_watch_opened(p.w, THEM, 20);
        life_watch_closed(p.w, THEM, 20, p.now);
        if (back)
            life_watch_opened(p.w, THEM, 20);
        p.now += 10000;
        CHECK(look(&p) == INT64_MAX && p.dials == 0);
        life_watch_lead(p.w, true, p.now);
        (void)look(&p);
        CHECK_EQ(p.dials, !back);
        if (!back) {
            life_watch_dialled(p.w, THEM, 20, true, p.now);
            (void)look(&p);
        }
        CHECK_EQ(p.fences, !back);
        post_drop(&p);
    }
}

/* Connections of an epoch that the image brings only later count for it then, but for those that have closed meanwhile. */
TEST(life_watch, connections_come_before_their_epoch)
{
    for (int left = 0; left < 3; left++) {
        struct post p;

        post_init(&p);
        for (int i = 0; i < 2; i++)
            life_watch_opened(p.w, THEM, 30);
        for (int i = 0; i < 20; i++)
            life_watch_opened(p.w, OTHER, 40 + i);
        for (int i = left; i < 2; i++)
            life_watch_closed(p.w, THEM, 30, p.now);
        joins(&p, THEM, 30, false);
        life_watch_lead(p.w, true, p.now);
        p.now += LIFE_DIAL_MS;
        (void)look(&p);
        CHECK_EQ(p.dials, left == 0);
        for (int i = 0; i < left; i++) {
            CHECK_EQ(p.dials, 0);
            life_watch_closed(p.w, THEM, 30, p.now);
            (void)look(&p);
        }
        CHECK_EQ(p.dials, 1);
        post_drop(&p);
    }
}
