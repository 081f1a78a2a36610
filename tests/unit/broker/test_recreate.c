/* A topic that is deleted and made again at once: what the new one acknowledged is its own, and stays. */
#include "node_world.h"

enum { MANY = 200, FIVE = 5 };

static void delete_send(struct node_world *w, int wire)
{
    static struct slice names[1];
    struct DeleteTopicsRequest *in = node_in(w, wire, API_DeleteTopics);

    names[0] = SLICE("t");
    in->topic_names.v = names;
    in->topic_names.n = 1;
    in->timeout_ms = 1000;
    node_send(w, wire, 5, in);
}

static void delete_now(struct node_world *w)
{
    delete_send(w, 1);
    CHECK_EQ(((struct DeleteTopicsResponse *)node_wait(w, 1, 10000))->responses.v[0].error_code, 0);
}

static void each_gets(struct node_world *w, int n, int records)
{
    const struct node_batch b = {.producer_id = -1, .n = records};

    for (int p = 0; p < n; p++) {
        const struct ProduceResponse_PartitionProduceResponse *out = node_produce(w, "t", p, &b);

        CHECK_EQ(out->error_code, 0);
        CHECK_EQ(out->base_offset, 0);
    }
}

static void has(struct node_world *w, int p, int records)
{
    CHECK_EQ(node_records(w, node_fetched(node_ask(w, 0, 12, node_fetch_in(w, 0, "t", p, 0, 0, 1))), 0, 0),
             records);
    CHECK_EQ(node_offset(w, "t", p, -2), 0);
    CHECK_EQ(node_offset(w, "t", p, -1), records);
}

static void each_has(struct node_world *w, int n, int records)
{
    for (int p = 0; p < n; p++)
        has(w, p, records);
}

/* The disk is slow while a topic goes and comes again: its old directories, which have the names of the new one's, are
 * renamed one after the other, and meanwhile the last of the new ones are written. */
TEST(recreate, a_disk_that_stalls_takes_nothing_of_the_new_topic)
{
    static const char *const sets[] = {"num.io.threads=4"};
    const struct node_batch b = {.producer_id = -1, .n = FIVE};

    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct node_world *w = node_world_new(seed, 1 + (int)(seed % 2), sets, 1);

        CHECK_EQ(node_topic(w, "t", MANY, NULL, 0), 0);
        each_gets(w, MANY, 2);
        if (seed % 3 == 0) { /* not loaded */
            node_world_stop(w);
            node_world_start(w);
        }
        sim_disk_stall(w->sim, 1, sim_now(w->sim) + (int64_t)(seed % 4) * 30000000);
        delete_now(w);
        CHECK_EQ(node_topic(w, "t", MANY, NULL, 0), 0);
        for (int p = MANY - 1; p >= MANY - 12; p--) {
            CHECK_EQ(node_produce(w, "t", p, &b)->base_offset, 0);
            has(w, p, FIVE);
        }
        node_run(w, 1000);
        for (int life = 0; life < 2; life++) {
            for (int p = MANY - 1; p >= MANY - 12; p--)
                has(w, p, FIVE);
            node_world_crash(w, SIM_PROCESS);
            node_world_start(w);
        }
        node_world_drop(w);
    }
}

static void records_delete(struct node_world *w, int64_t before)
{
    struct DeleteRecordsRequest *in = node_in(w, 0, API_DeleteRecords);
    struct arena *a = &w->asks[0].arena;
    const struct DeleteRecordsResponse *out;

    PROTO_ARRAY_NEW(a, DeleteRecordsRequest_DeleteRecordsTopic, in->topics, 1);
    in->topics.v[0].name = SLICE("t");
    PROTO_ARRAY_NEW(a, DeleteRecordsRequest_DeleteRecordsPartition, in->topics.v[0].partitions, 1);
    in->topics.v[0].partitions.v[0].offset = before;
    out = node_ask(w, 0, 2, in);
    CHECK_EQ(out->topics.v[0].partitions.v[0].error_code, 0);
}

/* The checkpoints of a directory go by name: after a crash they may still speak of the topic that is gone. */
TEST(recreate, checkpoints_of_the_old_topic_hide_nothing_of_the_new_one)
{
    static const enum sim_crash how[] = {SIM_PROCESS, SIM_POWER};
    static const char *const sets[] = {"log.flush.offset.checkpoint.interval.ms=800",
                                       "log.flush.start.offset.checkpoint.interval.ms=800"};
    const struct node_setting durable[] = {{"log.durable", "true"}};

    for (int i = 0; i < 2; i++) {
        struct node_world *w = node_world_new(7, 1, sets, 2);

        CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
        each_gets(w, 1, FIVE);
        records_delete(w, 3);
        node_run(w, 1000); /* a checkpoint round, and no other until the crash */
        delete_now(w);
        CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
        each_gets(w, 1, FIVE);
        node_world_crash(w, how[i]);
        node_world_start(w);
        node_run(w, 100);
        each_has(w, 1, FIVE);
        node_world_drop(w);
    }
}

/* The process ends before the old directory is out of the way: it is set aside, and the new topic begins empty. */
TEST(recreate, a_crash_before_the_old_directory_is_gone)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct node_world *w = node_world_new(seed, 1, NULL, 0);

        CHECK_EQ(node_topic(w, "t", 8, NULL, 0), 0);
        each_gets(w, 8, 2);
        delete_send(w, 1);
        node_run(w, (int64_t)seed / 2);
        node_world_crash(w, SIM_PROCESS);
        node_world_start(w);
        if (node_topic(w, "t", 8, NULL, 0) == 0) { /* else the deletion was lost */
            each_gets(w, 8, FIVE);
            node_world_crash(w, SIM_PROCESS);
            node_world_start(w);
            each_has(w, 8, FIVE);
        }
        node_world_drop(w);
    }
}
