#include "tests/unit/metadata/cluster_world.h"

/* Random histories of a cluster: whatever brokers, leaders and operators do, every image keeps its invariants, and the
 * log says the same as the decisions (cluster_call() checks both after each step). */

enum { BROKERS = 6, STEPS = 400 };

struct story {
    struct cluster c;
    struct test_random r;
    bool elr;
};

static int32_t any_broker(struct story *s)
{
    return (int32_t)test_random_below(&s->r, BROKERS);
}

static const struct image_topic *any_topic(struct story *s)
{
    const char *name = arena_printf(&s->c.w.arena, "t%d", (int)test_random_below(&s->r, 4));

    return image_topic_by_name(ctl_image(s->c.w.c), SLICE(name));
}

static struct ids any_replicas(struct story *s)
{
    int32_t *v = arena_alloc(&s->c.w.arena, BROKERS * sizeof(*v));
    int n = 0, want = 1 + (int)test_random_below(&s->r, 4);

    while (n < want) {
        int32_t id = any_broker(s);

        if (!ids_has((struct ids){v, n}, id))
            v[n++] = id;
    }
    return (struct ids){v, n};
}

static void do_register(struct story *s)
{
    int32_t id = any_broker(s);

    (void)cluster_register(&s->c, id, id % 2 ? "a" : "b", test_random_below(&s->r, 2));
}

static void do_beat(struct story *s)
{
    int32_t id = any_broker(s);
    struct BrokerHeartbeatRequest beat;
    const struct image_broker *b = image_broker(ctl_image(s->c.w.c), id);
    uint64_t dice = test_random_below(&s->r, 12);

    if (!b)
        return;
    proto_defaults(&BrokerHeartbeatRequest_type, &beat);
    beat.want_fence = dice == 0;
    beat.want_shut_down = dice == 1;
    if (dice == 2 && b->reg.dirs.n > 1) {
        beat.offline_log_dirs.v = (struct uuid *)b->reg.dirs.v;
        beat.offline_log_dirs.n = 1;
    }
    (void)cluster_beat(&s->c, id, &beat);
}

static void do_fence(struct story *s)
{
    (void)cluster_fence(&s->c, any_broker(s));
}

static void do_unregister(struct story *s)
{
    struct UnregisterBrokerRequest req = {.broker_id = any_broker(s)};
    struct UnregisterBrokerResponse resp = {0};

    cluster_call(&s->c, decide_unregister_broker, &req, &resp, 0);
}

static void do_create(struct story *s)
{
    const char *name = arena_printf(&s->c.w.arena, "t%d", (int)test_random_below(&s->r, 4));

    (void)cluster_create(&s->c, name, 1 + (int)test_random_below(&s->r, 5),
                         1 + (int)test_random_below(&s->r, 4));
}

static void do_delete(struct story *s)
{
    const struct image_topic *t = any_topic(s);
    struct DeleteTopicsRequest req;
    struct DeleteTopicsResponse resp;

    if (!t)
        return;
    proto_defaults(&DeleteTopicsRequest_type, &req);
    proto_defaults(&DeleteTopicsResponse_type, &resp);
    PROTO_ARRAY_NEW(&s->c.w.arena, DeleteTopicsRequest_DeleteTopicState, req.topics, 1);
    req.topics.v[0].topic_id = t->id;
    cluster_call(&s->c, decide_delete_topics, &req, &resp, 6);
}

/* A leader tells an ISR; mostly as it should. */
static void do_alter(struct story *s)
{
    const struct image_topic *t = any_topic(s);
    struct AlterPartitionRequest req;
    struct AlterPartitionResponse resp;
    struct AlterPartitionRequest_PartitionData *p;
    const struct image_partition *old;
    const struct image_broker *b;
    struct ids replicas;

    if (!t)
        return;
    old = image_partition(t, (int32_t)test_random_below(&s->r, t->partitions.count));
    b = old->leader < 0 ? NULL : image_broker(ctl_image(s->c.w.c), old->leader);
    if (!b)
        return;
    proto_defaults(&AlterPartitionRequest_type, &req);
    proto_defaults(&AlterPartitionResponse_type, &resp);
    req.broker_id = old->leader;
    req.broker_epoch = b->reg.epoch;
    PROTO_ARRAY_NEW(&s->c.w.arena, AlterPartitionRequest_TopicData, req.topics, 1);
    req.topics.v[0].topic_id = t->id;
    PROTO_ARRAY_NEW(&s->c.w.arena, AlterPartitionRequest_PartitionData, req.topics.v[0].partitions, 1);
    p = &req.topics.v[0].partitions.v[0];
    p->partition_index = partition_index(old);
    p->leader_epoch = old->leader_epoch - (test_random_below(&s->r, 20) == 0);
    p->partition_epoch = old->partition_epoch - (test_random_below(&s->r, 20) == 0);
    replicas = partition_replicas(old);
    p->new_isr.v = arena_alloc(&s->c.w.arena, (size_t)replicas.n * sizeof(int32_t));
    for (int i = 0; i < replicas.n; i++)
        if (replicas.v[i] == old->leader ||
            (broker_active(ctl_image(s->c.w.c), replicas.v[i]) && test_random_below(&s->r, 4)))
            p->new_isr.v[p->new_isr.n++] = replicas.v[i];
    cluster_call(&s->c, decide_alter_partition, &req, &resp, 2);
}

static void do_elect(struct story *s)
{
    struct ElectLeadersRequest req;
    struct ElectLeadersResponse resp;

    proto_defaults(&ElectLeadersRequest_type, &req);
    proto_defaults(&ElectLeadersResponse_type, &resp);
    req.election_type = (int8_t)test_random_below(&s->r, 2);
    req.topic_partitions.n = -1;
    cluster_call(&s->c, decide_elect_leaders, &req, &resp, 2);
}

static void do_balance(struct story *s)
{
    struct balance b = {.max = 3, .percent = 10};
    struct balance_done done = {0};

    cluster_call(&s->c, test_random_below(&s->r, 2) ? decide_balance_leaders : decide_unclean_leaders, &b,
                 &done, 0);
    CHECK(done.elected <= b.max);
}

/* One partition is named twice: the second move is decided on what the first has made. */
static void do_reassign(struct story *s)
{
    const struct image_topic *t = any_topic(s);
    struct AlterPartitionReassignmentsRequest req;
    struct AlterPartitionReassignmentsResponse resp;
    int n = 1 + (int)test_random_below(&s->r, 2);

    if (!t)
        return;
    proto_defaults(&AlterPartitionReassignmentsRequest_type, &req);
    proto_defaults(&AlterPartitionReassignmentsResponse_type, &resp);
    PROTO_ARRAY_NEW(&s->c.w.arena, AlterPartitionReassignmentsRequest_ReassignableTopic, req.topics, 1);
    req.topics.v[0].name = t->name;
    PROTO_ARRAY_NEW(&s->c.w.arena, AlterPartitionReassignmentsRequest_ReassignablePartition,
                    req.topics.v[0].partitions, n);
    for (int i = 0; i < n; i++) {
        struct ids to = any_replicas(s);

        req.topics.v[0].partitions.v[i].replicas.v = (int32_t *)to.v;
        req.topics.v[0].partitions.v[i].replicas.n = test_random_below(&s->r, 4) ? to.n : -1;
    }
    cluster_call(&s->c, decide_alter_reassignments, &req, &resp, 1);
}

static void do_assign(struct story *s)
{
    const struct image_topic *t = any_topic(s);
    const struct image_broker *b = image_broker(ctl_image(s->c.w.c), any_broker(s));
    struct AssignReplicasToDirsRequest req;
    struct AssignReplicasToDirsResponse resp;

    if (!t || !b)
        return;
    proto_defaults(&AssignReplicasToDirsRequest_type, &req);
    proto_defaults(&AssignReplicasToDirsResponse_type, &resp);
    req.broker_id = b->reg.id;
    req.broker_epoch = b->reg.epoch;
    PROTO_ARRAY_NEW(&s->c.w.arena, AssignReplicasToDirsRequest_DirectoryData, req.directories, 2);
    for (int i = 0; i < 2; i++) {
        req.directories.v[i].id = test_random_below(&s->r, 3) ? b->reg.dirs.v[0] : (struct uuid){{7}};
        PROTO_ARRAY_NEW(&s->c.w.arena, AssignReplicasToDirsRequest_TopicData, req.directories.v[i].topics, 1);
        req.directories.v[i].topics.v[0].topic_id = t->id;
        PROTO_ARRAY_NEW(&s->c.w.arena, AssignReplicasToDirsRequest_PartitionData,
                        req.directories.v[i].topics.v[0].partitions, 1);
    }
    cluster_call(&s->c, decide_assign_replicas, &req, &resp, 0);
}

static void do_setting(struct story *s)
{
    static const char *const values[] = {"1", "2", "3"};
    const struct image_topic *t = any_topic(s);
    const char *name = t ? arena_str(&s->c.w.arena, t->name) : "";

    switch (test_random_below(&s->r, 4)) {
    case 0:
        cluster_set(&s->c, CONFIG_BROKER, "", SETTING_MIN_ISR, values[test_random_below(&s->r, 3)]);
        break;
    case 1:
        if (t)
            cluster_set(&s->c, CONFIG_TOPIC, name, SETTING_MIN_ISR, values[test_random_below(&s->r, 3)]);
        break;
    case 2:
        if (t)
            cluster_set(&s->c, CONFIG_TOPIC, name, "unclean.leader.election.enable",
                        test_random_below(&s->r, 2) ? "true" : "false");
        break;
    default:
        (void)cluster_feature(&s->c, FEATURE_ELR, s->elr && test_random_below(&s->r, 4),
                              (int8_t)(1 + test_random_below(&s->r, 3)));
    }
}

typedef void (*deed)(struct story *);
static const deed DEEDS[] = {do_register, do_beat,     do_beat,   do_beat,    do_beat,      do_fence,
                             do_fence,    do_create,   do_create, do_delete,  do_alter,     do_alter,
                             do_alter,    do_alter,    do_alter,  do_elect,   do_balance,   do_reassign,
                             do_reassign, do_reassign, do_assign, do_setting, do_unregister};

static const int HISTORIES[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/* Any order of registrations, heartbeats, fencings, elections, ISR changes, moves, settings and deletions leaves a sound
 * image that the log gives again. */
TEST_EACH(history, keeps_every_invariant, HISTORIES)
{
    struct story s = {.elr = *row % 2};
    struct cluster *c = &s.c;

    cluster_start(c);
    c->dirs = 2;
    test_random_init(&s.r, (uint64_t)*row);
    for (int i = 0; i < BROKERS; i++)
        cluster_join(c, i, i % 2 ? "a" : "b");
    CHECK_EQ(cluster_create(c, "t0", 6, 3), 0);
    if (s.elr)
        CHECK_EQ(cluster_feature(c, FEATURE_ELR, 1, 1), 0);
    for (int i = 0; i < STEPS; i++) {
        DEEDS[test_random_below(&s.r, sizeof(DEEDS) / sizeof(DEEDS[0]))](&s);
        arena_reset(&c->w.arena);
    }
    cluster_stop(c);
}
