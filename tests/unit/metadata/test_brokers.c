#include "metadata/life.h"
#include "tests/unit/metadata/cluster_world.h"

/* Brokers that register, beat, leave, die and come back; controllers that register. */

static const int32_t ONE_TWO[] = {1, 2};

static void two(struct cluster *c)
{
    cluster_start(c);
    for (int i = 1; i <= 3; i++)
        cluster_join(c, i, NULL);
    cluster_place(c, "t", 2, ONE_TWO);
    cluster_place(c, "own", 1, ONE_TWO);
}

/* ---- registration ---- */

static const uint8_t OWN_DIR = 101, OTHER_DIR = 50, TWOS_DIR = 102;

struct registration_row {
    int32_t id;
    const char *cluster;
    uint8_t dir;
    int n_dirs; /* all the same */
    bool connected, session, zk;
    int16_t metadata_min, metadata_max; /* 0, 0: not told */
    int16_t weir_max;
    enum err err;
};
static const struct registration_row REGISTRATIONS[] = {
    {1, "cluster", OWN_DIR, 1, false, true, false, 7, 30, WEIR_VERSION, E_OK},
    {1, "cluster", OTHER_DIR, 1, false, false, false, 7, 30, WEIR_VERSION, E_OK},
    {1, "cluster", OWN_DIR, 1, true, true, false, 7, 30, WEIR_VERSION, E_DUPLICATE_BROKER_REGISTRATION},
    {1, "cluster", OTHER_DIR, 1, false, true, false, 7, 30, WEIR_VERSION, E_DUPLICATE_BROKER_REGISTRATION},
    {1, "another", OWN_DIR, 1, false, false, false, 7, 30, WEIR_VERSION, E_INCONSISTENT_CLUSTER_ID},
    {1, "cluster", OWN_DIR, 1, false, false, true, 7, 30, WEIR_VERSION, E_BROKER_ID_NOT_REGISTERED},
    {1, "cluster", OWN_DIR, 0, false, false, false, 7, 30, WEIR_VERSION, E_INVALID_REGISTRATION},
    {1, "cluster", OWN_DIR, 2, false, false, false, 7, 30, WEIR_VERSION, E_INVALID_REGISTRATION},
    {1, "cluster", TWOS_DIR, 1, false, false, false, 7, 30, WEIR_VERSION, E_INVALID_REGISTRATION},
    {1, "cluster", 0, 1, false, false, false, 7, 30, WEIR_VERSION, E_INVALID_REGISTRATION}, /* Kafka's own */
    {1, "cluster", OWN_DIR, 1, false, false, false, 0, 0, WEIR_VERSION, E_INVALID_REGISTRATION},
    {1, "cluster", OWN_DIR, 1, false, false, false, 7, 29, WEIR_VERSION, E_UNSUPPORTED_VERSION},
    {1, "cluster", OWN_DIR, 1, false, false, false, 7, 30, 1, E_UNSUPPORTED_VERSION},
    {-1, "cluster", OTHER_DIR, 1, false, false, false, 7, 30, WEIR_VERSION, E_INVALID_REGISTRATION},
};

/* A registration replaces one that has ended, and only that; what can't be is refused with Kafka's code. */
TEST_EACH(brokers, registration, REGISTRATIONS)
{
    struct BrokerRegistrationRequest req;
    struct BrokerRegistrationResponse resp;
    struct broker_registration in = {.request = &req, .connected = row->connected, .session = row->session};
    struct cluster c;
    int64_t epoch;
    int n = 0;

    two(&c);
    epoch = image_broker(ctl_image(c.w.c), 1)->reg.epoch;
    proto_defaults(&BrokerRegistrationRequest_type, &req);
    proto_defaults(&BrokerRegistrationResponse_type, &resp);
    req.broker_id = row->id;
    req.cluster_id = SLICE(row->cluster);
    req.incarnation_id.b[9] = 9;
    req.is_migrating_zk_broker = row->zk;
    PROTO_ARRAY_NEW(&c.w.arena, BrokerRegistrationRequest_Feature, req.features, 2);
    if (row->metadata_max)
        req.features.v[n++] = (struct BrokerRegistrationRequest_Feature){
            SLICE(FEATURE_METADATA), row->metadata_min, row->metadata_max};
    req.features.v[n++] = (struct BrokerRegistrationRequest_Feature){SLICE(FEATURE_WEIR), 1, row->weir_max};
    req.features.n = n;
    req.log_dirs.v = arena_alloc(&c.w.arena, 2 * sizeof(struct uuid));
    req.log_dirs.n = row->n_dirs;
    memset(req.log_dirs.v, row->dir, 2 * sizeof(struct uuid));
    cluster_call(&c, decide_broker_registration, &in, &resp, 4);
    CHECK_EQ(resp.error_code, err_wire(row->err));
    if (row->err) {
        CHECK_EQ(resp.broker_epoch, -1);
        CHECK_EQ(image_broker(ctl_image(c.w.c), 1)->reg.epoch, epoch);
    } else {
        CHECK(resp.broker_epoch > epoch && resp.broker_epoch == ctl_image(c.w.c)->offset);
        CHECK_STR(cluster_text(&c, "t", 0), "1 2/2 L2 E1");
    }
    cluster_stop(&c);
}

/* ---- leaving ---- */

static struct BrokerHeartbeatResponse beat(struct cluster *c, int32_t id, bool fence, bool leave,
                                           const struct broker_heartbeat *known)
{
    struct BrokerHeartbeatRequest req;
    struct BrokerHeartbeatResponse resp;
    struct broker_heartbeat in = *known;

    proto_defaults(&BrokerHeartbeatRequest_type, &req);
    proto_defaults(&BrokerHeartbeatResponse_type, &resp);
    req.broker_id = id;
    req.broker_epoch = image_broker(ctl_image(c->w.c), id)->reg.epoch;
    req.current_metadata_offset = ctl_image(c->w.c)->offset;
    req.want_fence = fence;
    req.want_shut_down = leave;
    in.request = &req;
    cluster_call(c, decide_broker_heartbeat, &in, &resp, 2);
    CHECK_EQ(resp.error_code, 0);
    return resp;
}

/* A controlled shutdown: leaders move, then the broker waits until the others have seen it, then it may go, fenced. */
TEST(brokers, controlled_shutdown_waits_for_the_others)
{
    struct broker_heartbeat known = {.lowest_offset = 5};
    struct BrokerHeartbeatResponse r;
    struct cluster c;

    two(&c);
    r = beat(&c, 1, false, true, &known);
    CHECK(!r.is_fenced && !r.should_shut_down);
    CHECK(image_broker(ctl_image(c.w.c), 1)->reg.in_controlled_shutdown);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2/2 L2 E1");
    CHECK_STR(cluster_text(&c, "own", 0), "1/1 L-1 E1");
    known =
        (struct broker_heartbeat){.leaving = true, .leaves_at = ctl_image(c.w.c)->offset, .lowest_offset = 5};
    r = beat(&c, 1, false, true, &known);
    CHECK(!r.is_fenced && !r.should_shut_down);
    known.lowest_offset = known.leaves_at;
    r = beat(&c, 1, false, true, &known);
    CHECK(r.is_fenced && r.should_shut_down && image_broker(ctl_image(c.w.c), 1)->reg.fenced);
    cluster_join(&c, 1, NULL);
    CHECK_STR(cluster_text(&c, "own", 0), "1/1 L1 E2");
    cluster_stop(&c);
}

/* Who leads nothing may go at once, and who is fenced; who asks to be fenced is. */
TEST(brokers, who_leads_nothing_goes_at_once)
{
    struct broker_heartbeat known = {.lowest_offset = 0};
    struct BrokerHeartbeatResponse r;
    struct cluster c;

    two(&c);
    r = beat(&c, 3, false, true, &known);
    CHECK(r.is_fenced && r.should_shut_down);
    r = beat(&c, 3, false, true, &known);
    CHECK(r.is_fenced && r.should_shut_down);
    r = beat(&c, 2, true, false, &known);
    CHECK(r.is_fenced && !r.should_shut_down);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2/1 L1 E0");
    r = beat(&c, 2, true, false, &known);
    CHECK(r.is_fenced && !r.should_shut_down);
    r = beat(&c, 2, false, false, &known);
    CHECK(!r.is_fenced && r.is_caught_up);
    cluster_stop(&c);
}

/* A directory that failed takes its partitions with it, and no others; the last one stays registered. */
TEST(brokers, a_failed_directory)
{
    struct BrokerHeartbeatRequest req;
    const struct image_broker *b;
    struct cluster c;

    two(&c);
    c.dirs = 2;
    cluster_join(&c, 1, NULL); /* "own" lies in the directory that it had before */
    proto_defaults(&BrokerHeartbeatRequest_type, &req);
    req.offline_log_dirs.v = (struct uuid[]){{{[0] = 7}}};
    req.offline_log_dirs.n = 1;
    (void)cluster_beat(&c, 1, &req);
    CHECK_STR(cluster_text(&c, "own", 0), "1/1 L1 E0"); /* not one of its own */
    req.offline_log_dirs.v = (struct uuid[]){image_broker(ctl_image(c.w.c), 1)->reg.dirs.v[0]};
    (void)cluster_beat(&c, 1, &req);
    CHECK_STR(cluster_text(&c, "own", 0), "1/1 L-1 E1");
    b = image_broker(ctl_image(c.w.c), 1);
    CHECK_EQ(b->reg.dirs.n, 1);
    req.offline_log_dirs.v = (struct uuid[]){b->reg.dirs.v[0]};
    (void)cluster_beat(&c, 1, &req);
    CHECK_EQ(image_broker(ctl_image(c.w.c), 1)->reg.dirs.n, 1);
    cluster_stop(&c);
}

/* Evidence is of one incarnation: what was seen of the last doesn't fence this one. */
TEST(brokers, evidence_of_another_incarnation_fences_nobody)
{
    struct broker_fence f = {.id = 1};
    bool fenced = true;
    struct cluster c;

    two(&c);
    f.epoch = image_broker(ctl_image(c.w.c), 1)->reg.epoch;
    cluster_join(&c, 1, NULL);
    cluster_call(&c, decide_fence_broker, &f, &fenced, 0);
    CHECK(!fenced && !image_broker(ctl_image(c.w.c), 1)->reg.fenced);
    cluster_stop(&c);
}

/* Who is unregistered is in no ISR and no ELR, and its number is free. */
TEST(brokers, unregistered)
{
    struct UnregisterBrokerRequest req = {.broker_id = 1};
    struct UnregisterBrokerResponse resp = {0};
    struct cluster c;

    two(&c);
    cluster_call(&c, decide_unregister_broker, &req, &resp, 0);
    CHECK(resp.error_code == 0 && !image_broker(ctl_image(c.w.c), 1));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2/2 L2 E1");
    cluster_call(&c, decide_unregister_broker, &req, &resp, 0);
    CHECK_EQ(resp.error_code, err_wire(E_BROKER_ID_NOT_REGISTERED));
    CHECK_STR(arena_str(&c.w.arena, resp.error_message), "Broker ID 1 is not currently registered");
    cluster_stop(&c);
}

/* Controllers register from the level on that brought the record; a new incarnation replaces the old one. */
TEST(brokers, controllers_register)
{
    struct ControllerRegistrationRequest req;
    struct ControllerRegistrationResponse resp;
    struct cluster c;

    two(&c);
    proto_defaults(&ControllerRegistrationRequest_type, &req);
    for (uint8_t i = 1; i <= 2; i++) {
        proto_defaults(&ControllerRegistrationResponse_type, &resp);
        req.controller_id = 7;
        req.incarnation_id.b[0] = i;
        PROTO_ARRAY_NEW(&c.w.arena, ControllerRegistrationRequest_Listener, req.listeners, 1);
        req.listeners.v[0].name = SLICE("CONTROLLER");
        req.listeners.v[0].host = SLICE("h");
        req.listeners.v[0].port = 9093;
        cluster_call(&c, decide_controller_registration, &req, &resp, 0);
        CHECK_EQ(resp.error_code, 0);
        CHECK_EQ(image_controller(ctl_image(c.w.c), 7)->reg.incarnation.b[0], i);
    }
    CHECK_EQ(image_controller(ctl_image(c.w.c), 7)->reg.endpoints[0].port, 9093);
    req.controller_id = -1;
    cluster_call(&c, decide_controller_registration, &req, &resp, 0);
    CHECK_EQ(resp.error_code, err_wire(E_INVALID_REQUEST));
    CHECK_EQ(ctl_image(c.w.c)->controllers.count, 1);
    cluster_stop(&c);
}

/* ---- does it live? ---- */

struct life_row {
    struct life life;
    int64_t now;
    enum life_verdict verdict;
    int64_t look_again;
};
static const struct life_row LIVES[] = {
    {{1000, -1, -1}, 2000, LIFE_LIVES, 10000},     /* connected */
    {{1000, -1, -1}, 9999, LIFE_LIVES, 10000},     /* silent, but its session lasts: a paused process */
    {{1000, -1, -1}, 10000, LIFE_DEAD, 0},         /* timed out */
    {{1000, 2000, -1}, 2000, LIFE_DOUBT, 2050},    /* closed: dial */
    {{1000, 2000, -1}, 2200, LIFE_DOUBT, 2250},    /* it accepts or says nothing */
    {{1000, 2000, -1}, 2250, LIFE_LIVES, 10000},   /* grace is over: its session decides */
    {{1000, 2000, 2000}, 2000, LIFE_DEAD, 0},      /* refused in the same step */
    {{1000, 2000, 2100}, 2100, LIFE_DEAD, 0},      /* refused at a later dial */
    {{1000, 2000, 1500}, 2000, LIFE_DOUBT, 2050},  /* an older refusal is of another time */
    {{2010, 2000, 2005}, 2010, LIFE_LIVES, 11010}, /* heard since */
    {{1000, 9990, -1}, 9990, LIFE_DOUBT, 10000},
};

/* A broker whose kernel says so is dead at once; a paused one lives as long as its session. */
TEST_EACH(brokers, verdict_follows_the_evidence, LIVES)
{
    const struct life_rules rules = {.grace_ms = 250, .session_ms = 9000};
    struct life_judged j = life_judge(&row->life, &rules, row->now);

    CHECK_EQ(j.verdict, row->verdict);
    CHECK_EQ(j.look_again_ms, row->look_again);
    CHECK((j.why != NULL) == (j.verdict == LIFE_DEAD));
}
