/* Decisions that look at every partition: in steps, with the same outcome as at once. */
#include "base/check.h"
#include "tests/unit/metadata/cluster_world.h"

enum { PARTITIONS = 3000, TURNS_MIN = 3 /* a step looks at 1,200 partitions at most */ };

/* Three brokers; broker 3 has no replica but in "on3". */
static void three(struct cluster *c)
{
    cluster_start(c);
    for (int i = 1; i <= 2; i++)
        cluster_join(c, i, NULL);
    CHECK_EQ(cluster_create(c, "many", PARTITIONS, 2), 0);
    cluster_join(c, 3, NULL);
}

static void commit_all(struct cluster *c)
{
    while (c->w.n_proposed) {
        CHECK_OK(ctl_follow(c->follower, bytes_slice(&c->w.proposed[0]->bytes)));
        ctl_world_commit(&c->w);
    }
}

/* Decides and commits; how many turns of the control loop it took, none of which made more records than a step may. */
static int turns(struct cluster *c, ctl_decide_fn decide, const void *in, void *out, int16_t version)
{
    int64_t offset = ctl_tip(c->w.c)->offset;
    struct ctl_call call;
    int n = 0;

    ctl_world_submit(&c->w, &call, decide, in, out, version);
    for (; !call.done; n++) {
        bool more = ctl_turn(c->w.c, 0);
        int64_t made = ctl_tip(c->w.c)->offset - offset;

        CHECK(made <= CTL_BATCH_MAX && n < 1000);
        offset += made;
        if (!more)
            commit_all(c);
    }
    commit_all(c);
    CHECK(image_equal(ctl_image(c->w.c), ctl_image(c->follower), c->w.heap));
    return n;
}

static int fence(struct cluster *c, int32_t id)
{
    struct broker_fence f = {.id = id, .epoch = image_broker(ctl_image(c->w.c), id)->reg.epoch};
    bool fenced = false;
    int n = turns(c, decide_fence_broker, &f, &fenced, 0);

    CHECK(fenced && image_broker(ctl_image(c->w.c), id)->reg.fenced);
    return n;
}

static int beat(struct cluster *c, int32_t id, bool leave, struct BrokerHeartbeatResponse *resp)
{
    struct BrokerHeartbeatRequest req;
    struct broker_heartbeat in = {.request = &req, .lowest_offset = INT64_MAX};

    proto_defaults(&BrokerHeartbeatRequest_type, &req);
    proto_defaults(&BrokerHeartbeatResponse_type, resp);
    req.broker_id = id;
    req.broker_epoch = image_broker(ctl_image(c->w.c), id)->reg.epoch;
    req.current_metadata_offset = ctl_image(c->w.c)->offset;
    req.want_shut_down = leave;
    return turns(c, decide_broker_heartbeat, &in, resp, 2);
}

/* How many partitions have this leader, and that nobody is in an ISR who is `out`. */
static int led_by(struct cluster *c, int32_t leader, int32_t out)
{
    const struct image_topic *t = image_topic_by_name(ctl_image(c->w.c), SLICE("many"));
    int led = 0;

    for (int32_t i = 0; i < PARTITIONS; i++) {
        led += image_partition(t, i)->leader == leader;
        CHECK(!ids_has(partition_isr(image_partition(t, i)), out));
    }
    return led;
}

/* Fencing changes every partition of a broker, a thousand records a batch; a broker that has none is fenced in as many
 * steps as it takes to see that. */
TEST(walk, fencing_goes_in_steps)
{
    struct cluster c;

    three(&c);
    CHECK(fence(&c, 1) >= PARTITIONS / CTL_STEP_MAX);
    CHECK_EQ(led_by(&c, 2, 1), PARTITIONS);
    CHECK(fence(&c, 3) >= TURNS_MIN);
    CHECK_EQ(led_by(&c, 2, 1), PARTITIONS);
    cluster_stop(&c);
}

/* A broker that comes back leads what nobody leads: the record that it is back first, the partitions behind it. */
TEST(walk, unfencing_goes_in_steps)
{
    struct BrokerHeartbeatResponse resp;
    struct cluster c;

    three(&c);
    (void)fence(&c, 1);
    (void)fence(&c, 2);
    CHECK_EQ(led_by(&c, -1, 1), PARTITIONS);
    CHECK(beat(&c, 2, false, &resp) >= PARTITIONS / CTL_STEP_MAX);
    CHECK(!resp.is_fenced);
    CHECK_EQ(led_by(&c, 2, 1), PARTITIONS);
    cluster_stop(&c);
}

/* Whether a broker that wants to go still leads is found out in steps, too; then its leaders move, and it may go. */
TEST(walk, leaving_goes_in_steps)
{
    struct BrokerHeartbeatResponse resp;
    struct cluster c;

    three(&c);
    CHECK(beat(&c, 3, true, &resp) >= TURNS_MIN);
    CHECK(resp.should_shut_down);
    CHECK(beat(&c, 1, true, &resp) >= PARTITIONS / CTL_STEP_MAX);
    CHECK(!resp.should_shut_down && !resp.is_fenced);
    CHECK_EQ(led_by(&c, 2, 1), PARTITIONS);
    CHECK(beat(&c, 1, true, &resp) >= TURNS_MIN);
    CHECK(resp.should_shut_down);
    cluster_stop(&c);
}

/* A new incarnation registers when the last partition knows that the old one is gone, and gets that offset as its epoch. */
TEST(walk, registering_anew_goes_in_steps)
{
    struct cluster c;
    int64_t offset;

    three(&c);
    offset = ctl_image(c.w.c)->offset;
    CHECK_OK(cluster_register(&c, 1, NULL, true));
    CHECK_EQ(image_broker(ctl_image(c.w.c), 1)->reg.epoch, offset + PARTITIONS + 1);
    CHECK_EQ(led_by(&c, 2, 1), PARTITIONS);
    cluster_stop(&c);
}

/* Leadership that is lost between the steps ends it: nothing leaks, and no leader is fenced. */
TEST(walk, leadership_lost_between_steps)
{
    struct ctl_call call;
    struct cluster c;
    struct broker_fence f = {.id = 1};
    bool fenced;

    three(&c);
    f.epoch = image_broker(ctl_image(c.w.c), 1)->reg.epoch;
    ctl_world_submit(&c.w, &call, decide_fence_broker, &f, &fenced, 0);
    CHECK(ctl_turn(c.w.c, 0) && ctl_turn(c.w.c, 0));
    ctl_lost(c.w.c);
    c.w.n_proposed = 0;
    CHECK(call.done && call.err == E_NOT_CONTROLLER);
    CHECK(!image_broker(ctl_image(c.w.c), 1)->reg.fenced);
    cluster_stop(&c);
}
