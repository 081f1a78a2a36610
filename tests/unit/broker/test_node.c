/* A whole node: server_start() to its last loop, over simulated disks and sockets. */
#include "node_world.h"

static const struct node_setting durable[] = {{"log.durable", "true"}};

static int fetch_all(struct node_world *w, const char *topic, int64_t from, int first)
{
    return node_records(w, node_fetched(node_ask(w, 0, 12, node_fetch_in(w, 0, topic, 0, from, 0, 1))), from,
                        first);
}

static int64_t produce_ok(struct node_world *w, const char *topic, int first, int n)
{
    const struct node_batch b = {.producer_id = -1, .n = n, .first = first};
    const struct ProduceResponse_PartitionProduceResponse *p = node_produce(w, topic, 0, &b);

    CHECK_EQ(p->error_code, 0);
    return p->base_offset;
}

/* What was produced is fetched, also after a clean stop and a new start. */
TEST(node, keeps_records_over_a_clean_restart)
{
    struct node_world *w = node_world_new(1, 1, NULL, 0);

    CHECK_EQ(node_topic(w, "t", 2, NULL, 0), 0);
    for (int life = 0; life < 2; life++) {
        CHECK_EQ(produce_ok(w, "t", life * 10, 10), life * 10);
        CHECK_EQ(fetch_all(w, "t", 0, 0), (life + 1) * 10);
        CHECK_EQ(node_offset(w, "t", 0, -1), (life + 1) * 10);
        CHECK_EQ(node_offset(w, "t", 0, -2), 0);
        CHECK_EQ(node_offset(w, "t", 1, -1), 0);
        node_world_stop(w);
        node_world_start(w);
    }
    CHECK_EQ(fetch_all(w, "t", 5, 5), 15);
    node_world_drop(w);
}

/* A crash of the process loses nothing that was answered. */
TEST(node, keeps_records_over_a_crash_of_the_process)
{
    struct node_world *w = node_world_new(2, 1, NULL, 0);

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    for (int life = 0; life < 5; life++) {
        CHECK_EQ(produce_ok(w, "t", life * 10, 10), life * 10);
        node_world_crash(w, SIM_PROCESS);
        node_world_start(w);
    }
    CHECK_EQ(fetch_all(w, "t", 0, 0), 50);
    node_world_drop(w);
}

/* A crash of the power loses nothing that a durable topic has answered, the topic itself least of all. */
TEST(node, keeps_durable_records_over_a_crash_of_the_power)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct node_world *w = node_world_new(seed, 1, NULL, 0);
        CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
        for (int life = 0; life < 5; life++) {
            CHECK_EQ(produce_ok(w, "t", life * 10, 10), life * 10);
            node_world_crash(w, SIM_POWER);
            node_world_start(w);
        }
        CHECK_EQ(fetch_all(w, "t", 0, 0), 50);
        node_world_drop(w);
    }
}

/* A fetch that waits is answered by the append that it waited for, at once, and by its deadline without one. */
TEST(node, wakes_a_fetch_that_waits)
{
    struct node_world *w = node_world_new(3, 1, NULL, 0);
    int64_t before;

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    CHECK_EQ(produce_ok(w, "t", 0, 1), 0);
    node_send(w, 1, 12, node_fetch_in(w, 1, "t", 0, 1, 30000, 1));
    node_run(w, 3000);
    CHECK(!node_answered(w, 1));
    before = sim_now(w->sim);
    CHECK_EQ(produce_ok(w, "t", 1, 3), 1);
    CHECK_EQ(node_records(w, node_fetched(node_wait(w, 1, 50)), 1, 1), 3);
    CHECK(sim_now(w->sim) - before < 50000000);

    before = sim_now(w->sim);
    node_send(w, 1, 12, node_fetch_in(w, 1, "t", 0, 4, 2000, 1));
    CHECK_EQ(node_records(w, node_fetched(node_wait(w, 1, 2100)), 4, 4), 0);
    CHECK(sim_now(w->sim) - before >= 2000000000);
    node_world_drop(w);
}

/* A fetch that wants more bytes waits through appends that are too few. */
TEST(node, fetch_waits_until_min_bytes_are_there)
{
    struct node_world *w = node_world_new(4, 1, NULL, 0);
    int n = 0;

    CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
    node_send(w, 1, 12, node_fetch_in(w, 1, "t", 0, 0, 30000, 1000));
    for (; !node_answered(w, 1) && n < 100; n++)
        (void)produce_ok(w, "t", n, 1); /* 61 bytes of a head and some ten of a record */
    CHECK(n >= 12 && n <= 18);
    CHECK(node_records(w, node_fetched(node_wait(w, 1, 50)), 0, 0) >= 12);
    node_world_drop(w);
}

/* A stop answers the fetches that wait, and a connection that goes away takes its waiting fetch along. */
TEST(node, stops_while_a_fetch_waits)
{
    struct node_world *w = node_world_new(5, 1, NULL, 0);

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    node_send(w, 1, 12, node_fetch_in(w, 1, "t", 0, 0, 30000, 1));
    node_send(w, 2, 12, node_fetch_in(w, 2, "t", 0, 0, 30000, 1));
    node_run(w, 100);
    sim_reset(w->sim, 1, NODE_CLIENT);
    node_run(w, 100);
    node_world_stop(w);
    node_world_start(w);
    node_send(w, 1, 12, node_fetch_in(w, 1, "t", 0, 0, 30000, 1));
    node_run(w, 100);
    node_world_drop(w);
}

/* A topic's fetches that wait end when it is deleted, and its name can be used again, empty. */
TEST(node, deletes_a_topic_under_a_fetch_that_waits)
{
    struct node_world *w = node_world_new(6, 1, NULL, 0);
    struct DeleteTopicsRequest *in;
    const struct DeleteTopicsResponse *out;
    struct slice name = SLICE("t");

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    CHECK_EQ(produce_ok(w, "t", 0, 5), 0);
    node_send(w, 1, 12, node_fetch_in(w, 1, "t", 0, 5, 30000, 1));
    node_run(w, 100);
    in = node_in(w, 0, API_DeleteTopics);
    in->topic_names.v = &name;
    in->topic_names.n = 1;
    in->timeout_ms = 1000;
    out = node_ask(w, 0, 5, in);
    CHECK_EQ(out->responses.v[0].error_code, 0);
    CHECK_EQ(node_fetched(node_wait(w, 1, 1000))->error_code, err_wire(E_UNKNOWN_TOPIC_OR_PARTITION));
    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    CHECK_EQ(node_offset(w, "t", 0, -1), 0);
    CHECK_EQ(produce_ok(w, "t", 7, 2), 0);
    CHECK_EQ(fetch_all(w, "t", 0, 7), 2);
    node_world_drop(w);
}

/* A batch sent twice by an idempotent producer is stored once, over a restart too. */
TEST(node, stores_a_batch_once)
{
    static const enum sim_crash how[] = {SIM_PROCESS, SIM_POWER};
    struct node_world *w = node_world_new(7, 1, NULL, 0);
    const struct InitProducerIdResponse *id;
    struct InitProducerIdRequest *in;
    struct node_batch b = {.n = 5};

    CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
    in = node_in(w, 0, API_InitProducerId);
    in->transactional_id = SLICE_NULL;
    id = node_ask(w, 0, 4, in);
    CHECK_EQ(id->error_code, 0);
    b.producer_id = id->producer_id;
    b.epoch = id->producer_epoch;
    for (int i = 0; i < 4; i++) {
        struct ProduceResponse_PartitionProduceResponse *p;
        b.sequence = b.first = 5 * i;
        for (int again = 0; again < 2; again++) {
            p = node_produce(w, "t", 0, &b);
            CHECK_EQ(p->error_code, 0);
            CHECK_EQ(p->base_offset, 5 * i);
            if (i == 3)
                continue;
            node_world_crash(w, how[i % 2]);
            node_world_start(w);
        }
    }
    CHECK_EQ(fetch_all(w, "t", 0, 0), 20);
    b.sequence = 40;
    CHECK_EQ(node_produce(w, "t", 0, &b)->error_code, err_wire(E_OUT_OF_ORDER_SEQUENCE_NUMBER));
    node_world_drop(w);
}

/* A clean stop doesn't make clean what a crash had left and nobody has touched since: it is scanned when it is. */
TEST(node, clean_stop_keeps_an_older_crash_in_mind)
{
    struct node_world *w = node_world_new(11, 1, NULL, 0);
    const struct InitProducerIdResponse *id;
    struct InitProducerIdRequest *in;
    struct node_batch b = {.n = 5};

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    in = node_in(w, 0, API_InitProducerId);
    in->transactional_id = SLICE_NULL;
    id = node_ask(w, 0, 4, in);
    b.producer_id = id->producer_id;
    CHECK_EQ(node_produce(w, "t", 0, &b)->base_offset, 0);
    node_world_crash(w, SIM_PROCESS);
    node_world_start(w);
    node_world_stop(w);
    node_world_start(w);
    CHECK_EQ(node_produce(w, "t", 0, &b)->base_offset, 0);
    CHECK_EQ(node_offset(w, "t", 0, -1), 5);
    node_world_drop(w);
}

static const struct DeleteRecordsResponse_DeleteRecordsPartitionResult *delete_to(struct node_world *w,
                                                                                  int64_t offset)
{
    struct DeleteRecordsRequest *in = node_in(w, 0, API_DeleteRecords);
    struct arena *a = &w->asks[0].arena;
    const struct DeleteRecordsResponse *out;

    in->timeout_ms = 1000;
    PROTO_ARRAY_NEW(a, DeleteRecordsRequest_DeleteRecordsTopic, in->topics, 1);
    in->topics.v[0].name = SLICE("t");
    PROTO_ARRAY_NEW(a, DeleteRecordsRequest_DeleteRecordsPartition, in->topics.v[0].partitions, 1);
    in->topics.v[0].partitions.v[0].offset = offset;
    out = node_ask(w, 0, -1, in);
    return &out->topics.v[0].partitions.v[0];
}

/* Deleted records stay away: out of range at once, and after a clean restart. */
TEST(node, deletes_records)
{
    struct node_world *w = node_world_new(8, 1, NULL, 0);

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    CHECK_EQ(produce_ok(w, "t", 0, 10), 0);
    CHECK_EQ(delete_to(w, 11)->error_code, err_wire(E_OFFSET_OUT_OF_RANGE));
    CHECK_EQ(delete_to(w, 4)->low_watermark, 4);
    for (int life = 0; life < 2; life++) {
        CHECK_EQ(node_offset(w, "t", 0, -2), 4);
        CHECK_EQ(node_fetched(node_ask(w, 0, 12, node_fetch_in(w, 0, "t", 0, 3, 0, 1)))->error_code,
                 err_wire(E_OFFSET_OUT_OF_RANGE));
        CHECK_EQ(fetch_all(w, "t", 4, 4), 6);
        node_world_stop(w);
        node_world_start(w);
    }
    CHECK_EQ(delete_to(w, -1)->low_watermark, 10);
    node_world_drop(w);
}

/* A full disk refuses produces by an error that clients retry, and takes them again once there is room. */
TEST(node, full_disk_refuses_and_recovers)
{
    struct node_world *w = node_world_new(9, 1, NULL, 0);
    const struct node_batch big = {.producer_id = -1, .n = 10, .first = 5, .fill = 100000};
    int refused = 0;

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    CHECK_EQ(produce_ok(w, "t", 0, 5), 0);
    sim_disk_limit(w->sim, 1, 1 << 20);
    for (int i = 0; i < 4; i++) {
        int16_t code = node_produce(w, "t", 0, &big)->error_code;
        CHECK(code == 0 || code == err_wire(E_KAFKA_STORAGE_ERROR) || code == err_wire(E_MESSAGE_TOO_LARGE));
        refused += code == err_wire(E_KAFKA_STORAGE_ERROR);
    }
    CHECK(refused > 0);
    CHECK_EQ(fetch_all(w, "t", 0, 0) >= 5, true); /* reading goes on */
    sim_disk_limit(w->sim, 1, -1);
    node_run(w, 10000);
    CHECK(produce_ok(w, "t", 0, 5) >= 5);
    node_world_drop(w);
}

/* While a disk stalls and produces wait for it, other connections are answered. */
TEST(node, stalled_disk_delays_nobody_else)
{
    struct node_world *w = node_world_new(10, 1, NULL, 0);
    const struct node_batch b = {.producer_id = -1, .n = 5};
    struct MetadataRequest *in;
    const void *produce;
    int64_t before;

    CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
    CHECK_EQ(produce_ok(w, "t", 0, 5), 0);
    sim_disk_stall(w->sim, 1, sim_now(w->sim) + 3000000000);
    node_produce_make(w, 1, "t", 0, -1, &b, &produce);
    node_send(w, 1, 9, produce);
    node_run(w, 50);
    for (int i = 2; i < NODE_WIRES; i++) { /* both NET loops */
        before = sim_now(w->sim);
        in = node_in(w, i, API_Metadata);
        in->topics.n = -1;
        CHECK_EQ(((struct MetadataResponse *)node_ask(w, i, 9, in))->topics.n, 1);
        (void)node_ask(w, i, 3, node_in(w, i, API_ApiVersions));
        CHECK(sim_now(w->sim) - before < 20000000);
    }
    CHECK(!node_answered(w, 1));
    CHECK_EQ(
        ((struct ProduceResponse *)node_wait(w, 1, 4000))->responses.v[0].partition_responses.v[0].error_code,
        0);
    node_world_drop(w);
}

/* Who asks for a coordinator hears that there is none yet, in every version and for every kind of key. */
TEST(node, knows_no_coordinator_yet)
{
    struct node_world *w = node_world_new(7, 1, NULL, 0);
    struct slice keys[2] = {SLICE("a"), SLICE("b")};

    for (int version = 0; version <= 6; version++)
        for (int8_t type = 0; type <= (version > 0 ? 3 : 0); type++) {
            struct FindCoordinatorRequest *in = node_in(w, 0, API_FindCoordinator);
            const struct FindCoordinatorResponse *out;
            int want = type == 3 || (type == 2 && version < 6) ? 42 : 15;

            in->key = version < 4 ? keys[0] : SLICE("");
            in->key_type = type;
            in->coordinator_keys.v = keys;
            in->coordinator_keys.n = version >= 4 ? 2 : 0;
            out = node_ask(w, 0, version, in);
            CHECK_EQ(version < 4 ? out->error_code : out->coordinators.v[1].error_code, want);
            CHECK_EQ(version < 4 ? out->node_id : out->coordinators.v[1].node_id, -1);
            CHECK_EQ(out->coordinators.n, version < 4 ? 0 : 2);
        }
    node_world_drop(w);
}

static void rename_partition(struct loop *loop, void *io)
{
    CHECK_OK(path_move(io, "/data/0/a-0", "/data/0/b-0"));
}

static void stray_seen(void *arg, const char *name, bool is_dir)
{
    if (is_dir && strncmp(name, "b-0.", 4) == 0 && strstr(name, "-stray"))
        *(bool *)arg = true;
}

struct listing {
    struct io *io;
    bool seen;
};

static void list_strays(struct loop *loop, void *arg)
{
    struct listing *l = arg;
    CHECK_OK(dir_list(l->io, "/data/0", stray_seen, &l->seen));
}

/* A directory with a partition's name but another topic's id is never served, and kept for the operator. */
TEST(node, sets_a_directory_of_another_topic_aside)
{
    struct node_world *w = node_world_new(11, 1, NULL, 0);
    struct io *disk;
    struct listing l = {0};

    CHECK_EQ(node_topic(w, "a", 1, NULL, 0), 0);
    CHECK_EQ(node_topic(w, "b", 1, NULL, 0), 0);
    CHECK_EQ(produce_ok(w, "a", 0, 5), 0);
    node_world_stop(w);
    disk = sim_node(w->sim, 1);
    CHECK(sim_call(w->sim, disk, LOOP_DISK, rename_partition, disk));
    sim_crash(w->sim, 1, SIM_PROCESS);
    node_world_start(w);
    CHECK_EQ(node_offset(w, "b", 0, -1), 0);
    CHECK_EQ(produce_ok(w, "b", 0, 3), 0);
    CHECK_EQ(fetch_all(w, "b", 0, 0), 3);
    node_world_stop(w);
    l.io = sim_node(w->sim, 1);
    CHECK(sim_call(w->sim, l.io, LOOP_DISK, list_strays, &l));
    CHECK(l.seen);
    sim_crash(w->sim, 1, SIM_PROCESS);
    node_world_start(w);
    node_world_drop(w);
}

/* A fetch of many partitions that wants more than there will ever be. */
static void fetch_greedily(struct node_world *w, int i, int partitions, int wait_ms)
{
    struct FetchRequest *in = node_fetch_in(w, i, "t", 0, 0, wait_ms, 1000000);
    struct FetchRequest_FetchTopic *t = &in->topics.v[0];

    PROTO_ARRAY_NEW(&w->asks[i].arena, FetchRequest_FetchPartition, t->partitions, partitions);
    for (int p = 0; p < partitions; p++) {
        t->partitions.v[p].partition = p;
        t->partitions.v[p].partition_max_bytes = 1 << 20;
    }
    node_send(w, i, 12, in);
}

/* Partitions of several loops wake one fetch again and again while its NET loop is slow: no wake is posted while it is
 * still on its way. */
TEST(node, wakes_a_busy_fetch_by_one_message_at_a_time)
{
    enum { PARTITIONS = 8, MAKERS = NODE_WIRES - 1 };

    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim_options o = sim_plain(seed);
        struct node_world *w;
        const void *in;
        int n = 0;

        o.cost = (struct sim_range){1000, 1000000};
        o.disk = (struct sim_range){1000, 20000};
        w = node_world_with(&o, 1, NULL, 0);
        CHECK_EQ(node_topic(w, "t", PARTITIONS, durable, 1), 0);
        fetch_greedily(w, 0, PARTITIONS, 1000);
        while (!node_answered(w, 0)) {
            for (int i = 1; i <= MAKERS; i++) {
                const struct node_batch b = {.producer_id = -1, .n = 1, .first = n};
                node_produce_make(w, i, "t", n++ % PARTITIONS, -1, &b, &in);
                node_send(w, i, 9, in);
            }
            for (int i = 1; i <= MAKERS; i++)
                (void)node_wait(w, i, 5000);
        }
        CHECK(n > 50);
        node_world_drop(w);
    }
}
