/* A controller ends between the batches of one decision: what the next one makes of it. */
#include "tests/unit/metadata/cluster_world.h"

enum { PARTITIONS = 2500 };

static const struct midway {
    bool elr;
    int dirs;
    enum { FENCE, UNREGISTER, TAKE_BACK, LOSE_DIR } what;
} WALKS[] = {{.what = FENCE},     {.elr = true, .what = FENCE},     {.what = UNREGISTER},
             {.what = TAKE_BACK}, {.elr = true, .what = TAKE_BACK}, {.dirs = 2, .what = LOSE_DIR}};

static int leaderless(struct cluster *c)
{
    struct image_topics topics = image_topics_from(ctl_image(c->w.c), SLICE_NULL);
    const struct image_topic *t = image_topics_next(&topics);
    int n = 0;

    for (int i = 0; i < PARTITIONS; i++)
        n += image_partition(t, i)->leader == NOBODY;
    return n;
}

static void beat(struct cluster *c, struct BrokerHeartbeatRequest *req)
{
    const struct image_broker *b = image_broker(ctl_image(c->w.c), 1);

    proto_defaults(&BrokerHeartbeatRequest_type, req);
    req->broker_id = 1;
    req->broker_epoch = b->reg.epoch;
    req->current_metadata_offset = ctl_image(c->w.c)->offset;
}

/* The decision that is broken off after its first batch. */
static void break_off(struct cluster *c, const struct midway *row)
{
    const struct image_broker *b = image_broker(ctl_image(c->w.c), 1);
    struct broker_fence f = {.id = 1, .epoch = b->reg.epoch};
    struct UnregisterBrokerRequest gone = {.broker_id = 1};
    struct UnregisterBrokerResponse left;
    struct BrokerHeartbeatRequest req;
    struct broker_heartbeat in = {.request = &req, .lowest_offset = INT64_MAX};
    struct BrokerHeartbeatResponse resp;
    struct uuid lost = b->reg.dirs.v[0];
    bool fenced;

    if (row->what == TAKE_BACK)
        CHECK(cluster_fence(c, 1));
    beat(c, &req);
    proto_defaults(&BrokerHeartbeatResponse_type, &resp);
    proto_defaults(&UnregisterBrokerResponse_type, &left);
    if (row->what == LOSE_DIR) {
        req.offline_log_dirs.n = 1;
        req.offline_log_dirs.v = &lost;
    }
    if (row->what == FENCE)
        cluster_takeover(c, decide_fence_broker, &f, &fenced, 0, 1);
    else if (row->what == UNREGISTER)
        cluster_takeover(c, decide_unregister_broker, &gone, &left, 0, 1);
    else
        cluster_takeover(c, decide_broker_heartbeat, &in, &resp, 2, 1);
}

static int elect(struct cluster *c)
{
    struct balance_done done = {0};

    c->midway = false;
    cluster_call(c, decide_stranded_leaders, NULL, &done, 0);
    CHECK(!done.more);
    return done.elected;
}

static void all_led(struct cluster *c)
{
    CHECK_EQ(leaderless(c), 0);
    CHECK_STR(cluster_text(c, "t", 0), "1/1 L1 E2");
}

/* Partitions in a directory that was told of. */
static void place(struct cluster *c)
{
    struct AssignReplicasToDirsRequest req;
    struct AssignReplicasToDirsResponse resp;
    const struct image_broker *b = image_broker(ctl_image(c->w.c), 1);

    proto_defaults(&AssignReplicasToDirsRequest_type, &req);
    proto_defaults(&AssignReplicasToDirsResponse_type, &resp);
    req.broker_id = 1;
    req.broker_epoch = b->reg.epoch;
    PROTO_ARRAY_NEW(&c->w.arena, AssignReplicasToDirsRequest_DirectoryData, req.directories, 1);
    req.directories.v[0].id = b->reg.dirs.v[0];
    PROTO_ARRAY_NEW(&c->w.arena, AssignReplicasToDirsRequest_TopicData, req.directories.v[0].topics, 1);
    req.directories.v[0].topics.v[0].topic_id = image_topic_by_name(ctl_image(c->w.c), SLICE("t"))->id;
    PROTO_ARRAY_NEW(&c->w.arena, AssignReplicasToDirsRequest_PartitionData,
                    req.directories.v[0].topics.v[0].partitions, PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++)
        req.directories.v[0].topics.v[0].partitions.v[i].partition_index = i;
    cluster_call(c, decide_assign_replicas, &req, &resp, 0);
}

static void begin(struct cluster *c, const struct midway *row)
{
    cluster_start(c);
    if (row->elr)
        CHECK_EQ(cluster_feature(c, FEATURE_ELR, 1, 1), 0);
    if (row->dirs)
        c->dirs = row->dirs;
    cluster_join(c, 1, NULL);
    CHECK_EQ(cluster_create(c, "t", PARTITIONS, 1), 0);
    if (row->what == LOSE_DIR)
        place(c);
}

/* A controller that ends while it fences a broker, unregisters it, takes it back or hears of a lost directory leaves partitions
 * without a leader. If the broker lives on, the next one elects them, in steps and once. */
TEST_EACH(midway, the_next_controller_elects_who_was_left, WALKS)
{
    struct BrokerHeartbeatRequest req;
    struct cluster c;
    int left;

    begin(&c, row);
    break_off(&c, row);
    left = leaderless(&c);
    CHECK(left > 900 && left < PARTITIONS - 900);
    proto_defaults(&BrokerHeartbeatRequest_type, &req);
    CHECK(!cluster_beat(&c, 1, &req).is_fenced);
    CHECK_EQ(leaderless(&c), left); /* by itself it stays so */
    CHECK_EQ(elect(&c), left);
    all_led(&c);
    CHECK_EQ(elect(&c), 0);
    CHECK(cluster_fence(&c, 1));
    CHECK_EQ(leaderless(&c), PARTITIONS);
    CHECK_EQ(elect(&c), 0); /* fenced for good: nobody may lead */
    cluster_join(&c, 1, NULL);
    CHECK_EQ(leaderless(&c), 0);
    cluster_stop(&c);
}

/* One that is being fenced at that moment, now by the next controller, leads nothing afterwards, whatever comes first. */
TEST(midway, who_is_fenced_again_is_fenced)
{
    for (int first = 0; first < 2; first++) {
        struct cluster c;

        begin(&c, &WALKS[0]);
        break_off(&c, &WALKS[0]);
        if (first)
            CHECK(elect(&c) > 0);
        CHECK(cluster_fence(&c, 1));
        CHECK_EQ(elect(&c), 0);
        CHECK_EQ(leaderless(&c), PARTITIONS);
        cluster_stop(&c);
    }
}
