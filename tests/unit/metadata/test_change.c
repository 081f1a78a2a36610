#include "tests/unit/metadata/cluster_world.h"

/* Who is in sync, who leads: by fencing, unfencing, AlterPartition, ElectLeaders, with ELR and without. cluster_text()
 * says "replicas/ISR leader epoch …". */

static const int32_t ONE_TWO_THREE[] = {1, 2, 3};

static void three(struct cluster *c)
{
    cluster_start(c);
    for (int i = 1; i <= 4; i++)
        cluster_join(c, i, NULL);
    cluster_place(c, "t", 3, ONE_TWO_THREE);
    CHECK_STR(cluster_text(c, "t", 0), "1 2 3/1 2 3 L1 E0");
}

static void unfence(struct cluster *c, int32_t id)
{
    struct BrokerHeartbeatRequest beat;

    proto_defaults(&BrokerHeartbeatRequest_type, &beat);
    CHECK(!cluster_beat(c, id, &beat).is_fenced);
}

/* A broker that is fenced leaves every ISR, the next in sync leads, and the last one stays in the ISR without leading. */
TEST(change, fenced_one_after_the_other)
{
    static const char *const want[] = {"1 2 3/2 3 L2 E1", "1 2 3/3 L3 E2", "1 2 3/3 L-1 E3"};
    struct cluster c;

    three(&c);
    for (int32_t i = 0; i < 3; i++) {
        CHECK(cluster_fence(&c, i + 1));
        CHECK_STR(cluster_text(&c, "t", 0), want[i]);
    }
    unfence(&c, 1);
    CHECK_STR(cluster_text(&c, "t", 0), want[2]); /* it isn't in sync: waiting is better than losing */
    unfence(&c, 3);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/3 L3 E4");
    cluster_stop(&c);
}

/* A topic that would rather lose than wait takes whoever lives, as a partition that recovers; its leader says when that
 * is done. */
TEST(change, unclean_election_where_the_topic_allows)
{
    struct cluster c;

    three(&c);
    cluster_set(&c, CONFIG_TOPIC, "t", "unclean.leader.election.enable", "true");
    CHECK(cluster_fence(&c, 2) && cluster_fence(&c, 3));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 L1 E0");
    unfence(&c, 2);
    CHECK(cluster_fence(&c, 1));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/2 L2 E1 recovering");
    cluster_stop(&c);
}

/* With ELR, whoever leaves an ISR that is smaller than min.insync.replicas may lead again, the last leader too; a broker
 * that lost what it had may not. */
TEST(change, eligible_leaders)
{
    struct cluster c;

    three(&c);
    CHECK_EQ(cluster_feature(&c, FEATURE_ELR, 1, 1), 0);
    cluster_set(&c, CONFIG_TOPIC, "t", SETTING_MIN_ISR, "2");
    CHECK(cluster_fence(&c, 3));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 2 L1 E0");
    CHECK(cluster_fence(&c, 2));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 L1 E0 elr 2");
    CHECK(cluster_fence(&c, 1));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/ L-1 E1 elr 1 2 last 1");
    CHECK_OK(cluster_register(&c, 2, NULL, false)); /* after a power cut */
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/ L-1 E1 elr 1 last 1");
    unfence(&c, 2);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/ L-1 E1 elr 1 last 1");
    CHECK_OK(cluster_register(&c, 1, NULL, true));
    unfence(&c, 1);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 L1 E2");
    cluster_stop(&c);
}

/* When nobody is left in ISR and ELR, the one who led last leads again, uncleanly. */
TEST(change, the_last_known_leader)
{
    struct cluster c;

    three(&c);
    CHECK_EQ(cluster_feature(&c, FEATURE_ELR, 1, 1), 0);
    CHECK(cluster_fence(&c, 2) && cluster_fence(&c, 3));
    CHECK_OK(cluster_register(&c, 1, NULL, false));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/ L-1 E1 last 1");
    unfence(&c, 2);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/ L-1 E1 last 1");
    unfence(&c, 1);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 L1 E2 recovering");
    cluster_stop(&c);
}

/* A change of min.insync.replicas ends every claim that rests on the old one. */
TEST(change, min_isr_clears_elr)
{
    struct cluster c;

    three(&c);
    cluster_place(&c, "u", 3, ONE_TWO_THREE);
    CHECK_EQ(cluster_feature(&c, FEATURE_ELR, 1, 1), 0);
    cluster_set(&c, CONFIG_BROKER, "", SETTING_MIN_ISR, "3");
    CHECK(cluster_fence(&c, 3));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 2 L1 E0 elr 3");
    cluster_set(&c, CONFIG_TOPIC, "t", SETTING_MIN_ISR, "2");
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 2 L1 E0");
    CHECK_STR(cluster_text(&c, "u", 0), "1 2 3/1 2 L1 E0 elr 3");
    cluster_set(&c, CONFIG_BROKER, "", SETTING_MIN_ISR, "1");
    CHECK_STR(cluster_text(&c, "u", 0), "1 2 3/1 2 L1 E0");
    CHECK_EQ(cluster_part(&c, "u", 0)->partition_epoch, 2);
    cluster_stop(&c);
}

/* Where all who were in sync are gone when ELR is given up, they are eligible until one of them leads, as in Kafka: the only replica
 * of a topic leads again when it is back, and one of several; not one that comes back after a power cut. */
TEST(change, elr_ends_and_who_comes_back_leads)
{
    static const int32_t alone[] = {1};
    struct cluster c;

    three(&c);
    cluster_place(&c, "alone", 1, alone);
    CHECK_EQ(cluster_feature(&c, FEATURE_ELR, 1, 1), 0);
    cluster_set(&c, CONFIG_BROKER, "", SETTING_MIN_ISR, "2");
    CHECK(cluster_fence(&c, 3) && cluster_fence(&c, 2) && cluster_fence(&c, 1));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/ L-1 E1 elr 1 2 last 1");
    CHECK_STR(cluster_text(&c, "alone", 0), "1/ L-1 E1 elr 1 last 1");
    CHECK_EQ(cluster_feature(&c, FEATURE_ELR, 0, 3), 0);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/ L-1 E1 elr 1 2 last 1");
    CHECK_OK(cluster_register(&c, 1, NULL, false)); /* after a power cut */
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/ L-1 E1 elr 2 last 1");
    unfence(&c, 1);
    CHECK_EQ(cluster_part(&c, "t", 0)->leader, -1);
    CHECK_STR(cluster_text(&c, "alone", 0), "1/1 L1 E2");
    CHECK_OK(cluster_register(&c, 2, NULL, true));
    unfence(&c, 2);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/2 L2 E2");
    CHECK(cluster_fence(&c, 2)); /* from now on as ever without ELR */
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/2 L-1 E3");
    unfence(&c, 2);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/2 L2 E4");
    cluster_stop(&c);
}

/* ---- AlterPartition ---- */

struct alter_row {
    int32_t broker;   /* who asks */
    int leader_epoch; /* beside the partition's */
    int partition_epoch;
    int n;
    int32_t isr[4];
    int recovery;
    int broker_epoch; /* of the last in the ISR, beside its own; -99: -1 */
    enum err err;
};
static const struct alter_row ALTERS[] = {
    {1, 0, 0, 2, {1, 2}, 0, 0, E_OK},
    {1, 0, 0, 3, {3, 1, 2}, 0, 0, E_OK},
    {1, 0, 0, 2, {1, 2}, 0, -99, E_OK},
    {1, 1, 0, 2, {1, 2}, 0, 0, E_NOT_CONTROLLER},
    {1, 0, 1, 2, {1, 2}, 0, 0, E_NOT_CONTROLLER},
    {1, -1, 0, 2, {1, 2}, 0, 0, E_FENCED_LEADER_EPOCH},
    {1, 0, -1, 2, {1, 2}, 0, 0, E_INVALID_UPDATE_VERSION},
    {2, 0, 0, 2, {1, 2}, 0, 0, E_INVALID_REQUEST},
    {1, 0, 0, 2, {2, 3}, 0, 0, E_INVALID_REQUEST}, /* without itself */
    {1, 0, 0, 2, {1, 1}, 0, 0, E_INVALID_REQUEST}, /* twice */
    {1, 0, 0, 2, {1, 5}, 0, 0, E_INVALID_REQUEST}, /* no replica */
    {1, 0, 0, 0, {0}, 0, 0, E_INVALID_REQUEST},
    {1, 0, 0, 1, {1}, 1, 0, E_INVALID_REQUEST}, /* it has recovered */
    {1, 0, 0, 1, {1}, 9, 0, E_INVALID_REQUEST},
    {1, 0, 0, 2, {1, 4}, 0, 0, E_INELIGIBLE_REPLICA}, /* fenced */
    {1, 0, 0, 2, {1, 2}, 0, 7, E_INELIGIBLE_REPLICA}, /* another incarnation */
};

static int16_t altered(struct cluster *c, const struct alter_row *row, const char *topic)
{
    const struct record_partition *p = cluster_part(c, topic, 0);
    struct AlterPartitionRequest req;
    struct AlterPartitionResponse *resp = arena_alloc(&c->w.arena, sizeof(*resp));
    struct AlterPartitionRequest_PartitionData *a;

    proto_defaults(&AlterPartitionRequest_type, &req);
    proto_defaults(&AlterPartitionResponse_type, resp);
    req.broker_id = row->broker;
    req.broker_epoch = image_broker(ctl_image(c->w.c), row->broker)->reg.epoch;
    PROTO_ARRAY_NEW(&c->w.arena, AlterPartitionRequest_TopicData, req.topics, 1);
    req.topics.v[0].topic_id = p->topic;
    PROTO_ARRAY_NEW(&c->w.arena, AlterPartitionRequest_PartitionData, req.topics.v[0].partitions, 1);
    a = &req.topics.v[0].partitions.v[0];
    a->leader_epoch = p->leader_epoch + row->leader_epoch;
    a->partition_epoch = p->partition_epoch + row->partition_epoch;
    a->leader_recovery_state = (int8_t)row->recovery;
    PROTO_ARRAY_NEW(&c->w.arena, AlterPartitionRequest_BrokerState, a->new_isr_with_epochs, row->n);
    for (int i = 0; i < row->n; i++) {
        const struct image_broker *b = image_broker(ctl_image(c->w.c), row->isr[i]);
        bool last = i == row->n - 1;

        a->new_isr_with_epochs.v[i].broker_id = row->isr[i];
        a->new_isr_with_epochs.v[i].broker_epoch =
            !b || (last && row->broker_epoch == -99) ? -1 : b->reg.epoch + (last ? row->broker_epoch : 0);
    }
    cluster_call(c, decide_alter_partition, &req, resp, 3);
    CHECK_EQ(resp->error_code, 0);
    if (resp->topics.v[0].partitions.v[0].error_code == 0) {
        const struct record_partition *now = cluster_part(c, topic, 0);

        CHECK_EQ(resp->topics.v[0].partitions.v[0].partition_epoch, now->partition_epoch);
        CHECK_EQ(resp->topics.v[0].partitions.v[0].leader_id, now->leader);
        CHECK_EQ(resp->topics.v[0].partitions.v[0].isr.n, now->isr.n);
    }
    return resp->topics.v[0].partitions.v[0].error_code;
}

/* A leader's word on its ISR is taken, or refused with the code from which it learns what it has missed. */
TEST_EACH(change, alter_partition, ALTERS)
{
    static const int32_t replicas[] = {1, 2, 3, 4};
    struct cluster c;
    const char *before;

    three(&c);
    cluster_place(&c, "four", 4, replicas);
    CHECK(cluster_fence(&c, 4));
    (void)altered(&c, &(struct alter_row){.broker = 1, .n = 2, .isr = {1, 3}}, "four"); /* epochs aren't 0 */
    before = cluster_text(&c, "four", 0);
    CHECK_EQ(altered(&c, row, "four"), err_wire(row->err));
    CHECK((row->err != E_OK) == (strcmp(before, cluster_text(&c, "four", 0)) == 0));
    cluster_stop(&c);
}

/* An answer of the wrong broker epoch, or for a topic that is gone, tells so. */
TEST(change, alter_partition_of_strangers)
{
    struct AlterPartitionRequest req;
    struct AlterPartitionResponse resp;
    struct cluster c;

    three(&c);
    proto_defaults(&AlterPartitionRequest_type, &req);
    proto_defaults(&AlterPartitionResponse_type, &resp);
    PROTO_ARRAY_NEW(&c.w.arena, AlterPartitionRequest_TopicData, req.topics, 1);
    PROTO_ARRAY_NEW(&c.w.arena, AlterPartitionRequest_PartitionData, req.topics.v[0].partitions, 1);
    req.broker_id = 1;
    cluster_call(&c, decide_alter_partition, &req, &resp, 3);
    CHECK_EQ(resp.error_code, err_wire(E_STALE_BROKER_EPOCH));
    req.broker_epoch = image_broker(ctl_image(c.w.c), 1)->reg.epoch;
    proto_defaults(&AlterPartitionResponse_type, &resp);
    cluster_call(&c, decide_alter_partition, &req, &resp, 3);
    CHECK_EQ(resp.topics.v[0].partitions.v[0].error_code, err_wire(E_UNKNOWN_TOPIC_ID));
    cluster_stop(&c);
}

/* ---- ElectLeaders ---- */

static int16_t elected(struct cluster *c, const char *topic, int32_t index, int type)
{
    struct ElectLeadersRequest req;
    struct ElectLeadersResponse *resp = arena_alloc(&c->w.arena, sizeof(*resp));

    proto_defaults(&ElectLeadersRequest_type, &req);
    proto_defaults(&ElectLeadersResponse_type, resp);
    req.election_type = (int8_t)type;
    PROTO_ARRAY_NEW(&c->w.arena, ElectLeadersRequest_TopicPartitions, req.topic_partitions, 1);
    req.topic_partitions.v[0].topic = SLICE(topic);
    req.topic_partitions.v[0].partitions.v = &index;
    req.topic_partitions.v[0].partitions.n = 1;
    cluster_call(c, decide_elect_leaders, &req, resp, 2);
    return resp->replica_election_results.v[0].partition_result.v[0].error_code;
}

/* An election on request: what isn't needed or possible is said, what is possible is done. */
TEST(change, elections_on_request)
{
    enum { PREFERRED, UNCLEAN, UNKNOWN };
    struct cluster c;

    three(&c);
    CHECK_EQ(elected(&c, "t", 0, PREFERRED), err_wire(E_ELECTION_NOT_NEEDED));
    CHECK_EQ(elected(&c, "t", 0, UNCLEAN), err_wire(E_ELECTION_NOT_NEEDED));
    CHECK_EQ(elected(&c, "t", 1, PREFERRED), err_wire(E_UNKNOWN_TOPIC_OR_PARTITION));
    CHECK_EQ(elected(&c, "none", 0, PREFERRED), err_wire(E_UNKNOWN_TOPIC_OR_PARTITION));
    CHECK_EQ(elected(&c, "t", 0, UNKNOWN), err_wire(E_INVALID_REQUEST));
    CHECK(cluster_fence(&c, 1));
    CHECK_EQ(elected(&c, "t", 0, PREFERRED), err_wire(E_PREFERRED_LEADER_NOT_AVAILABLE));
    unfence(&c, 1);
    CHECK_EQ(elected(&c, "t", 0, PREFERRED), err_wire(E_PREFERRED_LEADER_NOT_AVAILABLE)); /* not in sync */
    CHECK_EQ(altered(&c, &(struct alter_row){.broker = 2, .n = 3, .isr = {1, 2, 3}}, "t"), 0);
    CHECK_EQ(elected(&c, "t", 0, PREFERRED), 0);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 2 3 L1 E2");
    CHECK(cluster_fence(&c, 1) && cluster_fence(&c, 2) && cluster_fence(&c, 3));
    CHECK_EQ(elected(&c, "t", 0, UNCLEAN), err_wire(E_ELIGIBLE_LEADERS_NOT_AVAILABLE));
    unfence(&c, 1);
    CHECK_EQ(elected(&c, "t", 0, UNCLEAN), 0);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/1 L1 E6 recovering");
    cluster_stop(&c);
}

/* Preferred leaders come back by themselves where a broker leads less than its share, in steps of the asked size. */
TEST(change, balance_in_steps)
{
    struct balance b = {.max = 4, .percent = 10};
    struct balance_done done;
    struct cluster c;
    int steps = 0, led = 0;

    three(&c);
    CHECK_EQ(cluster_create(&c, "many", 30, 2), 0);
    CHECK(cluster_fence(&c, 2));
    unfence(&c, 2);
    for (int i = 0; i < 30; i++) {
        const struct record_partition *p = cluster_part(&c, "many", i);
        struct alter_row row = {.broker = p->leader, .n = 2, .isr = {p->replicas.v[0], p->replicas.v[1]}};

        if (p->isr.n == 1 && ids_has(p->replicas, 2)) {
            struct AlterPartitionRequest req;
            struct AlterPartitionResponse resp;

            proto_defaults(&AlterPartitionRequest_type, &req);
            proto_defaults(&AlterPartitionResponse_type, &resp);
            req.broker_id = row.broker;
            req.broker_epoch = image_broker(ctl_image(c.w.c), row.broker)->reg.epoch;
            PROTO_ARRAY_NEW(&c.w.arena, AlterPartitionRequest_TopicData, req.topics, 1);
            req.topics.v[0].topic_id = p->topic;
            PROTO_ARRAY_NEW(&c.w.arena, AlterPartitionRequest_PartitionData, req.topics.v[0].partitions, 1);
            req.topics.v[0].partitions.v[0].partition_index = i;
            req.topics.v[0].partitions.v[0].leader_epoch = p->leader_epoch;
            req.topics.v[0].partitions.v[0].partition_epoch = p->partition_epoch;
            req.topics.v[0].partitions.v[0].new_isr.v = row.isr;
            req.topics.v[0].partitions.v[0].new_isr.n = 2;
            cluster_call(&c, decide_alter_partition, &req, &resp, 2);
            CHECK_EQ(resp.topics.v[0].partitions.v[0].error_code, 0);
        }
    }
    do {
        cluster_call(&c, decide_balance_leaders, &b, &done, 0);
        CHECK(done.elected <= 4);
        steps++;
    } while (done.more);
    CHECK(steps > 1);
    for (int i = 0; i < 30; i++)
        led += cluster_part(&c, "many", i)->leader == cluster_part(&c, "many", i)->replicas.v[0];
    CHECK(led >= 29); /* what is left is within a tenth of a broker's share */
    cluster_stop(&c);
}

/* A topic that begins to allow unclean elections gets its leaders with the next round. */
TEST(change, leaderless_partitions_are_found)
{
    struct balance b = {.max = 100};
    struct balance_done done;
    struct cluster c;

    three(&c);
    CHECK(cluster_fence(&c, 2) && cluster_fence(&c, 3) && cluster_fence(&c, 1));
    unfence(&c, 2);
    cluster_call(&c, decide_unclean_leaders, &b, &done, 0);
    CHECK_EQ(done.elected, 0);
    cluster_set(&c, CONFIG_TOPIC, "t", "unclean.leader.election.enable", "true");
    cluster_call(&c, decide_unclean_leaders, &b, &done, 0);
    CHECK(done.elected == 1 && !done.more);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2 3/2 L2 E2 recovering");
    cluster_stop(&c);
}
