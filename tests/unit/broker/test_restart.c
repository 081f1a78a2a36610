/* What a new start of a node costs the metadata log, and what clients see of it. */
#include "node_world.h"

static int32_t leader_epoch(struct node_world *w)
{
    struct MetadataRequest *in = node_in(w, 0, API_Metadata);
    const struct MetadataResponse *out;

    in->topics.n = -1;
    out = node_ask(w, 0, 9, in);
    CHECK(out->topics.n == 1 && out->topics.v[0].partitions.n == 1000);
    CHECK_EQ(out->topics.v[0].partitions.v[999].leader_id, 1);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(out->topics.v[0].partitions.v[i].leader_epoch,
                 out->topics.v[0].partitions.v[0].leader_epoch);
    return out->topics.v[0].partitions.v[0].leader_epoch;
}

struct sized {
    int64_t bytes;
};

static void file_sized(void *arg, const char *path, bool is_dir, int64_t size)
{
    struct sized *s = arg;
    size_t len = strlen(path);

    if (!is_dir && strstr(path, "__cluster_metadata-0") && len > 4 && strcmp(path + len - 4, ".log") == 0)
        s->bytes += size;
}

static int64_t metadata_bytes(struct node_world *w)
{
    struct sized s = {0};

    sim_files(w->sim, 1, "/data", file_sized, &s);
    CHECK(s.bytes > 0);
    return s.bytes;
}

/* A stop, or a crash that the kernel outlives, loses nothing: partitions are led on in their epoch, and a new start
 * writes as much as it would without any. */
TEST(restart, costs_no_record_for_a_partition)
{
    struct node_world *w = node_world_new(1, 1, NULL, 0);
    int32_t epoch;

    CHECK_EQ(node_topic(w, "t", 1000, NULL, 0), 0);
    epoch = leader_epoch(w);
    for (int life = 0; life < 4; life++) {
        int64_t before = metadata_bytes(w);

        if (life % 2)
            node_world_stop(w);
        else
            node_world_crash(w, SIM_PROCESS);
        node_world_start(w);
        CHECK_EQ(leader_epoch(w), epoch);
        CHECK(metadata_bytes(w) - before < 1000);
    }
    node_world_drop(w);
}

/* After a power cut records may be gone that were told: the epoch is a new one. */
TEST(restart, leads_in_a_new_epoch_after_a_power_cut)
{
    struct node_world *w = node_world_new(2, 1, NULL, 0);
    int32_t epoch;

    CHECK_EQ(node_topic(w, "t", 1000, NULL, 0), 0);
    epoch = leader_epoch(w);
    for (int life = 0; life < 3; life++) {
        node_world_crash(w, SIM_POWER);
        node_world_start(w);
        node_run(w, 1000);
        CHECK_EQ(leader_epoch(w), epoch + life + 1);
    }
    node_world_crash(w, SIM_PROCESS);
    node_world_start(w);
    CHECK_EQ(leader_epoch(w), epoch + 3);
    node_world_drop(w);
}

/* Whatever file call fails while a node stops, every loop hears of the directory that failed, and the stop ends. */
TEST(restart, a_stop_ends_though_a_directory_fails_meanwhile)
{
    static const int64_t STOP_NS = 60000000000;
    int64_t calls = 1;

    for (int64_t nth = 1; nth <= calls; nth++) {
        struct node_world *w = node_world_new(3, 1, NULL, 0);
        int64_t before;

        CHECK_EQ(node_topic(w, "t", 8, NULL, 0), 0);
        for (int p = 0; p < 8; p++) {
            const struct node_batch b = {.producer_id = -1, .n = 1};
            CHECK_EQ(node_produce(w, "t", p, &b)->error_code, 0);
        }
        before = sim_file_calls(w->sim, 1);
        sim_fail_at(w->sim, 1, nth, SIM_EIO);
        whole_stop(w->whole);
        CHECK(sim_run(w->sim, whole_over, w->whole, STOP_NS));
        calls = sim_file_calls(w->sim, 1) - before > calls ? sim_file_calls(w->sim, 1) - before : calls;
        node_world_drop(w);
    }
    CHECK(calls > 8 * 4);
}

/* LATEST of t-0, or -1 if the partition can't be served. */
static int64_t latest(struct node_world *w)
{
    struct ListOffsetsRequest *in = node_in(w, 0, API_ListOffsets);
    struct arena *a = &w->asks[0].arena;
    const struct ListOffsetsResponse *out;

    in->replica_id = -1;
    PROTO_ARRAY_NEW(a, ListOffsetsRequest_ListOffsetsTopic, in->topics, 1);
    in->topics.v[0].name = SLICE("t");
    PROTO_ARRAY_NEW(a, ListOffsetsRequest_ListOffsetsPartition, in->topics.v[0].partitions, 1);
    in->topics.v[0].partitions.v[0].timestamp = -1;
    out = node_ask(w, 0, 7, in);
    CHECK_EQ(out->topics.n, 1);
    CHECK(out->topics.v[0].partitions.v[0].error_code == 0 ||
          out->topics.v[0].partitions.v[0].error_code == err_wire(E_KAFKA_STORAGE_ERROR));
    return out->topics.v[0].partitions.v[0].error_code ? -1 : out->topics.v[0].partitions.v[0].offset;
}

/* A durable partition that a crash left is served with all that was acknowledged or not at all, whichever call of the disk
 * fails while it is loaded. */
TEST(restart, shows_all_that_was_durable_or_nothing)
{
    const struct node_setting durable[] = {{"log.durable", "true"}};
    const struct node_batch b = {.producer_id = -1, .n = 5};
    bool whole = false;
    int refused = 0;

    for (int64_t nth = 1; !whole; nth++) {
        struct node_world *w = node_world_new(3, 1, NULL, 0);

        CHECK(nth < 100);
        CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
        CHECK_EQ(node_produce(w, "t", 0, &b)->error_code, 0);
        node_world_crash(w, SIM_PROCESS);
        node_world_start(w);
        sim_fail_at(w->sim, 1, nth, SIM_EIO);
        for (int look = 0; look < 2; look++) {
            int64_t end = latest(w);
            CHECK(end == -1 || end == 5);
            refused += end == -1;
            whole |= end == 5 && look == 0;
        }
        sim_fail_at(w->sim, 1, 0, SIM_EIO);
        node_world_crash(w, SIM_PROCESS);
        node_world_drop(w);
    }
    CHECK(refused > 4);
}

static void wires_dial(struct loop *loop, void *arg)
{
    struct node_world *w = arg;
    struct addr to = sim_addr(1, WHOLE_PORT);

    if (!w->wires[1].dialled)
        wire_dial(&w->wires[1], &to);
}

static bool wire_is_open(void *arg)
{
    const struct node_world *w = arg;
    return w->wires[1].open;
}

/* Dials until the node listens, which is some time before it is ready. */
static void come_early(struct node_world *w)
{
    while (!w->wires[1].open) {
        CHECK(sim_call(w->sim, w->client, LOOP_NET, wires_dial, w));
        (void)sim_run(w->sim, wire_is_open, w, 1000000);
    }
    CHECK(!w->whole->ready);
}

/* Who comes as soon as the node listens is served by what this life decides: a topic finds its broker unfenced, and records
 * go into the epoch that leads since a power cut. */
TEST(restart, serves_nobody_before_it_is_registered)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim_options o = sim_plain(seed);
        const struct node_batch b = {.producer_id = -1, .n = 5};
        const struct FetchResponse_PartitionData *p;
        struct CreateTopicsRequest *in;
        struct batch_view v;
        struct node_world *w;
        const void *produce;
        struct slice rest;

        o.disk = (struct sim_range){10000000, 20000000};
        w = node_world_with(&o, 1, NULL, 0);
        CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
        node_world_crash(w, SIM_POWER);
        whole_start(w->whole);
        come_early(w);
        node_produce_make(w, 1, "t", 0, 1, &b, &produce);
        CHECK_EQ(((struct ProduceResponse *)node_ask(w, 1, 9, produce))
                     ->responses.v[0]
                     .partition_responses.v[0]
                     .error_code,
                 0);
        p = node_fetched(node_ask(w, 1, 12, node_fetch_in(w, 1, "t", 0, 0, 0, 1)));
        rest = p->records;
        CHECK_OK(batch_next(&rest, &v));
        CHECK_EQ(v.leader_epoch, 1);
        node_world_stop(w);

        whole_start(w->whole);
        come_early(w);
        in = node_in(w, 1, API_CreateTopics);
        PROTO_ARRAY_NEW(&w->asks[1].arena, CreateTopicsRequest_CreatableTopic, in->topics, 1);
        in->topics.v[0].name = SLICE("early");
        in->topics.v[0].num_partitions = 1;
        in->topics.v[0].replication_factor = 1;
        CHECK_EQ(((struct CreateTopicsResponse *)node_ask(w, 1, -1, in))->topics.v[0].error_code, 0);
        node_world_drop(w);
    }
}

static int16_t append_one(struct node_world *w, const char *topic, int64_t *offset)
{
    const struct node_batch b = {.producer_id = -1, .n = 1};
    const struct ProduceResponse_PartitionProduceResponse *out = node_produce(w, topic, 0, &b);

    *offset = out->base_offset;
    return out->error_code;
}

static void delete_topic(struct node_world *w, const char *name)
{
    struct DeleteTopicsRequest *in = node_in(w, 0, API_DeleteTopics);
    struct slice names = SLICE(name);

    in->topic_names.v = &names;
    in->topic_names.n = 1;
    in->timeout_ms = 1000;
    (void)node_ask(w, 0, 5, in);
}

/* A topic that lies alone, in the second of two directories. */
static struct node_world *second_directory_world(void)
{
    static const char *const sets[] = {"num.io.threads=1"};
    struct node_world *w = node_world_new(4, 2, sets, 1);
    int64_t at;

    CHECK_EQ(node_topic(w, "first", 1, NULL, 0), 0);
    CHECK_EQ(append_one(w, "first", &at), 0);
    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    CHECK_EQ(append_one(w, "t", &at), 0);
    delete_topic(w, "first");
    node_run(w, 1000);
    CHECK(sim_file_size(w->sim, 1, "/data/1/t-0/00000000000000000000.log") > 0);
    node_world_crash(w, SIM_PROCESS);
    return w;
}

/* Whatever file call fails at a start: a partition whose directory can't be read never begins anew in another one; it says
 * so until the disk is well, while a topic that is made meanwhile works. */
TEST(restart, no_partition_of_a_failed_directory_begins_anew)
{
    int64_t calls = 1, before, at;
    int failed = 0;

    for (int64_t nth = 1; nth <= calls; nth++) {
        struct node_world *w = second_directory_world();

        before = sim_file_calls(w->sim, 1);
        sim_fail_at(w->sim, 1, nth, SIM_EIO);
        if (node_world_try(w)) {
            int16_t error = append_one(w, "t", &at);
            CHECK(error == err_wire(E_KAFKA_STORAGE_ERROR) || (error == 0 && at == 1));
            failed += error != 0;
            if (error) {
                CHECK_EQ(node_topic(w, "new", 1, NULL, 0), 0);
                CHECK_EQ(append_one(w, "new", &at), 0);
            }
            node_world_crash(w, SIM_PROCESS);
        }
        calls = sim_file_calls(w->sim, 1) - before > calls ? sim_file_calls(w->sim, 1) - before : calls;
        sim_fail_at(w->sim, 1, 0, SIM_EIO);
        node_world_start(w);
        CHECK_EQ(append_one(w, "t", &at), 0);
        CHECK(at >= 1);
        node_world_drop(w);
    }
    CHECK(failed > 4);
}
