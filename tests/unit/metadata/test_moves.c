#include "tests/unit/metadata/cluster_world.h"

/* Reassignments (KIP-455), directories, and where new partitions go. cluster_text() says "replicas/ISR leader epoch …". */

static const int32_t ONE_TWO_THREE[] = {1, 2, 3};

static void six(struct cluster *c)
{
    cluster_start(c);
    for (int i = 1; i <= 6; i++)
        cluster_join(c, i, i <= 3 ? "a" : "b");
    cluster_place(c, "t", 3, ONE_TWO_THREE);
}

/* n < 0: cancel. */
static const struct AlterPartitionReassignmentsResponse_ReassignablePartitionResponse *moved(
    struct cluster *c, const char *topic, int32_t index, int n, const int32_t *to, bool any_factor)
{
    struct AlterPartitionReassignmentsRequest req;
    struct AlterPartitionReassignmentsResponse *resp = arena_alloc(&c->w.arena, sizeof(*resp));

    proto_defaults(&AlterPartitionReassignmentsRequest_type, &req);
    proto_defaults(&AlterPartitionReassignmentsResponse_type, resp);
    req.allow_replication_factor_change = any_factor;
    PROTO_ARRAY_NEW(&c->w.arena, AlterPartitionReassignmentsRequest_ReassignableTopic, req.topics, 1);
    req.topics.v[0].name = SLICE(topic);
    PROTO_ARRAY_NEW(&c->w.arena, AlterPartitionReassignmentsRequest_ReassignablePartition,
                    req.topics.v[0].partitions, 1);
    req.topics.v[0].partitions.v[0].partition_index = index;
    req.topics.v[0].partitions.v[0].replicas.v = (int32_t *)to;
    req.topics.v[0].partitions.v[0].replicas.n = n;
    cluster_call(c, decide_alter_reassignments, &req, resp, 1);
    CHECK_EQ(resp->error_code, 0);
    return &resp->responses.v[0].partitions.v[0];
}

static enum err in_sync(struct cluster *c, const char *topic, int n, const int32_t *isr)
{
    const struct record_partition *p = cluster_part(c, topic, 0);
    struct AlterPartitionRequest req;
    struct AlterPartitionResponse resp;

    proto_defaults(&AlterPartitionRequest_type, &req);
    proto_defaults(&AlterPartitionResponse_type, &resp);
    req.broker_id = p->leader;
    req.broker_epoch = image_broker(ctl_image(c->w.c), p->leader)->reg.epoch;
    PROTO_ARRAY_NEW(&c->w.arena, AlterPartitionRequest_TopicData, req.topics, 1);
    req.topics.v[0].topic_id = p->topic;
    PROTO_ARRAY_NEW(&c->w.arena, AlterPartitionRequest_PartitionData, req.topics.v[0].partitions, 1);
    req.topics.v[0].partitions.v[0].leader_epoch = p->leader_epoch;
    req.topics.v[0].partitions.v[0].partition_epoch = p->partition_epoch;
    req.topics.v[0].partitions.v[0].new_isr.v = (int32_t *)isr;
    req.topics.v[0].partitions.v[0].new_isr.n = n;
    cluster_call(c, decide_alter_partition, &req, &resp, 2);
    return resp.topics.v[0].partitions.v[0].error_code
               ? err_of_wire(resp.topics.v[0].partitions.v[0].error_code)
               : E_OK;
}

static int32_t listed(struct cluster *c)
{
    struct ListPartitionReassignmentsRequest req;
    struct ListPartitionReassignmentsResponse resp;

    proto_defaults(&ListPartitionReassignmentsRequest_type, &req);
    proto_defaults(&ListPartitionReassignmentsResponse_type, &resp);
    req.topics.n = -1;
    cluster_call(c, decide_list_reassignments, &req, &resp, 0);
    CHECK_EQ(resp.error_code, 0);
    return resp.topics.n ? resp.topics.v[0].partitions.n : 0;
}

/* A partition moves by adding who is to have it, waiting until they are in sync, and letting the others go: its leader too,
 * who is told that another was elected. */
TEST(moves, a_partition_moves_in_two_steps)
{
    static const int32_t to[] = {4, 5, 3}, most[] = {1, 2, 3, 4}, all[] = {1, 2, 3, 4, 5};
    struct cluster c;

    six(&c);
    CHECK_EQ(moved(&c, "t", 0, 3, to, true)->error_code, 0);
    CHECK_STR(cluster_text(&c, "t", 0), "4 5 3 1 2/1 2 3 L1 E0 adding 4 5 removing 1 2");
    CHECK_EQ(listed(&c), 1);
    CHECK_OK(in_sync(&c, "t", 4, most));
    CHECK_STR(cluster_text(&c, "t", 0), "4 5 3 1 2/1 2 3 4 L1 E0 adding 4 5 removing 1 2");
    CHECK_EQ(in_sync(&c, "t", 5, all), E_NEW_LEADER_ELECTED);
    CHECK_STR(cluster_text(&c, "t", 0), "4 5 3/3 4 5 L4 E1");
    CHECK_EQ(listed(&c), 0);
    cluster_stop(&c);
}

/* An order of the same replicas is another order at once; fewer of them too, in a new epoch. */
TEST(moves, what_needs_no_waiting_is_done_at_once)
{
    static const int32_t turned[] = {3, 2, 1}, fewer[] = {2, 3};
    struct cluster c;

    six(&c);
    CHECK_EQ(moved(&c, "t", 0, 3, turned, false)->error_code, 0);
    CHECK_STR(cluster_text(&c, "t", 0), "3 2 1/1 2 3 L1 E0");
    CHECK_EQ(moved(&c, "t", 0, 2, fewer, true)->error_code, 0);
    CHECK_STR(cluster_text(&c, "t", 0), "2 3/2 3 L2 E1");
    cluster_stop(&c);
}

/* A move that is cancelled leaves who was there before, and the leader among them. */
TEST(moves, cancelled)
{
    static const int32_t to[] = {4, 5, 6}, some[] = {1, 2, 3, 4};
    struct cluster c;

    six(&c);
    CHECK_EQ(moved(&c, "t", 0, -1, NULL, true)->error_code, err_wire(E_NO_REASSIGNMENT_IN_PROGRESS));
    CHECK_EQ(moved(&c, "t", 0, 3, to, true)->error_code, 0);
    CHECK_OK(in_sync(&c, "t", 4, some));
    CHECK_EQ(moved(&c, "t", 0, -1, NULL, true)->error_code, 0);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 2 3 L1 E1");
    cluster_stop(&c);
}

/* When all who were there before have fallen out, going back would lose records: only where the topic allows it. */
TEST(moves, cancelled_uncleanly_where_the_topic_allows)
{
    static const int32_t two[] = {1, 2}, to[] = {4, 5}, both[] = {1, 2, 4};
    struct cluster c;

    six(&c);
    cluster_place(&c, "u", 2, two);
    CHECK_EQ(moved(&c, "u", 0, 2, to, true)->error_code, 0);
    CHECK_OK(in_sync(&c, "u", 3, both));
    CHECK(cluster_fence(&c, 1) && cluster_fence(&c, 2));
    CHECK_STR(cluster_text(&c, "u", 0), "4 5 1 2/4 L4 E1 adding 4 5 removing 1 2");
    CHECK_EQ(moved(&c, "u", 0, -1, NULL, true)->error_code, err_wire(E_INVALID_REPLICA_ASSIGNMENT));
    cluster_set(&c, CONFIG_TOPIC, "u", "unclean.leader.election.enable", "true");
    CHECK_EQ(moved(&c, "u", 0, -1, NULL, true)->error_code, 0);
    CHECK_STR(cluster_text(&c, "u", 0), "1 2/1 L-1 E2");
    cluster_stop(&c);
}

struct refused_move {
    const char *topic;
    int32_t index;
    int n;
    int32_t to[3];
    bool any_factor;
    enum err err;
    const char *text;
};
static const struct refused_move REFUSED[] = {
    {"x", 0, 1, {1}, true, E_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find a topic named x."},
    {"t", 9, 1, {1}, true, E_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find partition t:9."},
    {"t",
     0,
     0,
     {0},
     true,
     E_INVALID_REPLICA_ASSIGNMENT,
     "The manual partition assignment includes an empty replica list."},
    {"t",
     0,
     2,
     {1, 1},
     true,
     E_INVALID_REPLICA_ASSIGNMENT,
     "The manual partition assignment includes the broker 1 more than once."},
    {"t",
     0,
     2,
     {1, 9},
     true,
     E_INVALID_REPLICA_ASSIGNMENT,
     "The manual partition assignment includes broker 9, but no such broker is registered."},
    {"t", 0, 2, {1, 2}, false, E_INVALID_REPLICATION_FACTOR, "The replication factor is changed from 3 to 2"},
};

/* A move that can't be is refused in Kafka's words, and nothing changes. */
TEST_EACH(moves, refused_as_kafka_does, REFUSED)
{
    const struct AlterPartitionReassignmentsResponse_ReassignablePartitionResponse *p;
    struct cluster c;
    int64_t before;

    six(&c);
    before = ctl_image(c.w.c)->offset;
    p = moved(&c, row->topic, row->index, row->n, row->to, row->any_factor);
    CHECK_EQ(p->error_code, err_wire(row->err));
    CHECK_STR(arena_str(&c.w.arena, p->error_message), row->text);
    CHECK_EQ(ctl_image(c.w.c)->offset, before);
    cluster_stop(&c);
}

/* ---- directories ---- */

static int16_t assigned(struct cluster *c, int32_t broker, struct uuid dir, const char *topic, int32_t index)
{
    const struct image_topic *t = image_topic_by_name(ctl_image(c->w.c), SLICE(topic));
    struct AssignReplicasToDirsRequest req;
    struct AssignReplicasToDirsResponse resp;

    proto_defaults(&AssignReplicasToDirsRequest_type, &req);
    proto_defaults(&AssignReplicasToDirsResponse_type, &resp);
    req.broker_id = broker;
    req.broker_epoch = image_broker(ctl_image(c->w.c), broker)->reg.epoch;
    PROTO_ARRAY_NEW(&c->w.arena, AssignReplicasToDirsRequest_DirectoryData, req.directories, 1);
    req.directories.v[0].id = dir;
    PROTO_ARRAY_NEW(&c->w.arena, AssignReplicasToDirsRequest_TopicData, req.directories.v[0].topics, 1);
    req.directories.v[0].topics.v[0].topic_id = t ? t->id : (struct uuid){{1}};
    PROTO_ARRAY_NEW(&c->w.arena, AssignReplicasToDirsRequest_PartitionData,
                    req.directories.v[0].topics.v[0].partitions, 1);
    req.directories.v[0].topics.v[0].partitions.v[0].partition_index = index;
    cluster_call(c, decide_assign_replicas, &req, &resp, 0);
    CHECK_EQ(resp.error_code, 0);
    return resp.directories.v[0].topics.v[0].partitions.v[0].error_code;
}

/* A broker says where its replica lies; in a directory that isn't online it leaves the ISR, and another leads. */
TEST(moves, replicas_are_assigned_to_directories)
{
    struct uuid gone = {{9, 9}}, there;
    struct cluster c;

    six(&c);
    there = image_broker(ctl_image(c.w.c), 1)->reg.dirs.v[0];
    CHECK_EQ(assigned(&c, 1, there, "none", 0), err_wire(E_UNKNOWN_TOPIC_ID));
    CHECK_EQ(assigned(&c, 1, there, "t", 7), err_wire(E_UNKNOWN_TOPIC_OR_PARTITION));
    CHECK_EQ(assigned(&c, 6, there, "t", 0), err_wire(E_NOT_LEADER_OR_FOLLOWER));
    CHECK_EQ(assigned(&c, 1, DIR_UNASSIGNED, "t", 0), 0);
    CHECK(uuid_eq(cluster_part(&c, "t", 0)->dirs.v[0], DIR_UNASSIGNED));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 2 3 L1 E0");
    CHECK_EQ(assigned(&c, 1, gone, "t", 0), 0);
    CHECK(uuid_eq(cluster_part(&c, "t", 0)->dirs.v[0], gone));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/2 3 L2 E1");
    cluster_stop(&c);
}

/* The only replica leads again when its broker has found it in a directory that is online. */
TEST(moves, the_only_replica_is_found_again)
{
    struct uuid gone = {{9, 9}};
    struct cluster c;

    six(&c);
    cluster_place(&c, "own", 1, ONE_TWO_THREE);
    CHECK_EQ(assigned(&c, 1, gone, "own", 0), 0);
    CHECK_STR(cluster_text(&c, "own", 0), "1/1 L-1 E1");
    CHECK_EQ(assigned(&c, 1, image_broker(ctl_image(c.w.c), 1)->reg.dirs.v[0], "own", 0), 0);
    CHECK_STR(cluster_text(&c, "own", 0), "1/1 L1 E2");
    cluster_stop(&c);
}

/* ---- placement ---- */

/* The textbook example: six brokers in two racks, ten partitions of three replicas. Each partition lies in both racks, and
 * leaders and followers are spread evenly. */
TEST(moves, ten_partitions_on_six_brokers_in_two_racks)
{
    int leads[7] = {0}, holds[7] = {0};
    struct cluster c;

    six(&c);
    CHECK_EQ(cluster_create(&c, "ten", 10, 3), 0);
    for (int i = 0; i < 10; i++) {
        const struct record_partition *p = cluster_part(&c, "ten", i);
        int in_a = 0;

        CHECK_EQ(p->replicas.n, 3);
        CHECK_EQ(p->isr.n, 3);
        CHECK_EQ(p->leader, p->replicas.v[0]);
        leads[p->leader]++;
        for (int j = 0; j < 3; j++) {
            in_a += p->replicas.v[j] <= 3;
            holds[p->replicas.v[j]]++;
        }
        CHECK(in_a == 1 || in_a == 2);
    }
    for (int i = 1; i <= 6; i++) {
        CHECK(leads[i] == 1 || leads[i] == 2); /* 10 leaders on 6 */
        CHECK_EQ(holds[i], 5);                 /* 30 replicas on 6 */
    }
    cluster_stop(&c);
}

/* Fenced brokers take replicas only where there aren't enough others, never lead and aren't in sync; without an unfenced
 * one there is no topic. */
TEST(moves, fenced_brokers_and_new_partitions)
{
    struct cluster c;

    six(&c);
    CHECK_EQ(cluster_create(&c, "big", 1, 7), err_wire(E_INVALID_REPLICATION_FACTOR));
    CHECK(cluster_fence(&c, 6) && cluster_fence(&c, 5));
    CHECK_EQ(cluster_create(&c, "four", 20, 4), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(cluster_part(&c, "four", i)->isr.n, 4 - ids_has(cluster_part(&c, "four", i)->replicas, 5) -
                                                         ids_has(cluster_part(&c, "four", i)->replicas, 6));
    CHECK_EQ(cluster_create(&c, "six", 1, 6), 0);
    CHECK_EQ(cluster_part(&c, "six", 0)->isr.n, 4);
    for (int i = 1; i <= 4; i++)
        CHECK(cluster_fence(&c, i));
    CHECK_EQ(cluster_create(&c, "none", 1, 1), err_wire(E_INVALID_REPLICATION_FACTOR));
    cluster_stop(&c);
}

/* No new replica goes to a broker whose directories are all cordoned. */
TEST(moves, cordoned_brokers_get_nothing_new)
{
    struct BrokerHeartbeatRequest beat;
    struct cluster c;

    six(&c);
    proto_defaults(&BrokerHeartbeatRequest_type, &beat);
    beat.cordoned_log_dirs.v = (struct uuid *)image_broker(ctl_image(c.w.c), 2)->reg.dirs.v;
    beat.cordoned_log_dirs.n = 1;
    (void)cluster_beat(&c, 2, &beat);
    CHECK_EQ(image_broker(ctl_image(c.w.c), 2)->reg.cordoned.n, 1);
    CHECK_EQ(cluster_create(&c, "ten", 10, 3), 0);
    for (int i = 0; i < 10; i++)
        CHECK(!ids_has(cluster_part(&c, "ten", i)->replicas, 2));
    CHECK_EQ(cluster_create(&c, "six", 1, 6), err_wire(E_INVALID_REPLICATION_FACTOR));
    cluster_stop(&c);
}
