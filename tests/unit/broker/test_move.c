/* num.io.threads changes while a node works: partitions move to other loops with all that belongs to them. */
#include "base/trace.h"
#include "node_world.h"
#include <stdio.h>

enum { PARTITIONS = 24, MOVE_MS = 5000 };

static void threads_send(struct node_world *w, int i, int n)
{
    struct IncrementalAlterConfigsRequest *in = node_in(w, i, API_IncrementalAlterConfigs);
    struct arena *a = &w->asks[i].arena;

    PROTO_ARRAY_NEW(a, IncrementalAlterConfigsRequest_AlterConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = 4;
    in->resources.v[0].resource_name = SLICE("1");
    PROTO_ARRAY_NEW(a, IncrementalAlterConfigsRequest_AlterableConfig, in->resources.v[0].configs, 1);
    in->resources.v[0].configs.v[0].name = SLICE("num.io.threads");
    in->resources.v[0].configs.v[0].value = SLICE(arena_printf(a, "%d", n));
    node_send(w, i, 1, in);
}

static uint64_t moves(const struct node_world *w)
{
    return trace_count(io_trace(w->whole->io), TR_io_threads);
}

struct moved {
    const struct node_world *w;
    uint64_t n;
};

static bool has_moved(void *arg)
{
    const struct moved *m = arg;
    return moves(m->w) >= m->n;
}

static void threads_wait(struct node_world *w, uint64_t n)
{
    struct moved m = {.w = w, .n = n};
    CHECK(sim_run(w->sim, has_moved, &m, MOVE_MS * 1000000ll));
}

static void threads_set(struct node_world *w, int n)
{
    uint64_t before = moves(w);

    threads_send(w, 0, n);
    CHECK_EQ(((struct IncrementalAlterConfigsResponse *)node_wait(w, 0, MOVE_MS))->responses.v[0].error_code,
             0);
    threads_wait(w, before + 1);
}

static int64_t producer_id(struct node_world *w)
{
    struct InitProducerIdRequest *in = node_in(w, 0, API_InitProducerId);
    const struct InitProducerIdResponse *out;

    in->transactional_id = SLICE_NULL;
    out = node_ask(w, 0, 4, in);
    CHECK_EQ(out->error_code, 0);
    return out->producer_id;
}

static void each_grows(struct node_world *w, int64_t id, int sequence)
{
    const struct node_batch b = {.producer_id = id, .sequence = sequence, .n = 3, .first = sequence};

    for (int p = 0; p < PARTITIONS; p++)
        for (int twice = 0; twice < 2; twice++) {
            const struct ProduceResponse_PartitionProduceResponse *out = node_produce(w, "t", p, &b);
            CHECK_EQ(out->error_code, 0);
            CHECK_EQ(out->base_offset, sequence);
        }
}

static void each_holds(struct node_world *w, int n)
{
    for (int p = 0; p < PARTITIONS; p++) {
        CHECK_EQ(
            node_records(w, node_fetched(node_ask(w, 0, 12, node_fetch_in(w, 0, "t", p, 0, 0, 1))), 0, 0), n);
        CHECK_EQ(node_offset(w, "t", p, -1), n);
    }
}

/* Records, high watermarks and what is known of producers move along, of partitions in use as of those that nobody has touched
 * since the start, and are there after a stop and after a crash. */
TEST(move, takes_all_of_a_partition_along)
{
    static const int threads[] = {4, 2, 1, 2, 3};
    static const struct node_setting durable[] = {{"log.durable", "true"}};

    for (int with = 0; with < 2; with++) {
        struct node_world *w = node_world_new(1, 2, NULL, 0);
        int64_t id;
        int at = 0;

        CHECK_EQ(node_topic(w, "t", PARTITIONS, durable, with), 0);
        id = producer_id(w);
        each_grows(w, id, at);
        for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
            threads_set(w, threads[i]);
            each_holds(w, at + 3);
            at += 3;
            each_grows(w, id, at);
            if (i == 1) {
                node_world_stop(w);
                node_world_start(w);
            } else if (i == 3) {
                node_world_crash(w, with ? SIM_POWER : SIM_PROCESS);
                node_world_start(w);
            }
        }
        node_world_stop(w);
        node_world_start(w);
        each_holds(w, at + 3);
        node_world_drop(w);
    }
}

/* A fetch that waits stays asleep while its partition moves, is woken by an append at the new owner, and keeps its
 * deadline. */
TEST(move, keeps_those_who_wait)
{
    struct node_world *w = node_world_new(2, 1, NULL, 0);
    const struct node_batch b = {.producer_id = -1, .n = 3};
    int64_t before;

    CHECK_EQ(node_topic(w, "t", PARTITIONS, NULL, 0), 0);
    for (int p = 0; p < PARTITIONS; p++) {
        before = sim_now(w->sim);
        node_send(w, 1, 12, node_fetch_in(w, 1, "t", p, 0, 30000, 1));
        node_send(w, 2, 12, node_fetch_in(w, 2, "t", (p + 1) % PARTITIONS, 3, 2000, 1));
        node_run(w, 100);
        threads_set(w, p % 2 ? 2 : 1);
        node_run(w, 100);
        CHECK(!node_answered(w, 1));
        CHECK_EQ(node_produce(w, "t", p, &b)->error_code, 0);
        CHECK_EQ(node_records(w, node_fetched(node_wait(w, 1, 50)), 0, 0), 3);
        if (p + 1 < PARTITIONS) /* it has no such offset yet */
            continue;
        CHECK_EQ(node_records(w, node_fetched(node_wait(w, 2, 2100)), 3, 3), 0);
        CHECK(sim_now(w->sim) - before >= 2000000000);
    }
    node_world_drop(w);
}

/* A loop that waits for its disk holds up the move, and nothing is lost: what it had taken is answered, and what was sent to
 * the new owner meanwhile comes after it. A stop in the middle waits for the move. */
TEST(move, waits_for_a_stalled_loop)
{
    static const struct node_setting durable[] = {{"log.durable", "true"}};

    for (int stop = 0; stop < 2; stop++) {
        struct node_world *w = node_world_new(3, 1, NULL, 0);
        const struct node_batch b = {.producer_id = -1, .n = 3};
        const void *in;

        CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
        CHECK_EQ(node_produce(w, "t", 0, &b)->error_code, 0);
        for (int n = 4; n >= 1; n /= 2) {
            threads_send(w, 0, n);
            (void)node_wait(w, 0, MOVE_MS);
            sim_disk_stall(w->sim, 1, sim_now(w->sim) + 1000000000);
            for (int i = 1; i < 4; i++) {
                node_produce_make(w, i, "t", 0, -1, &b, &in);
                node_send(w, i, 9, in);
                if (i == 2)
                    node_run(w, 10);
            }
            for (int i = 1; i < 4 && !stop; i++)
                CHECK_EQ(((struct ProduceResponse *)node_wait(w, i, 3000))
                             ->responses.v[0]
                             .partition_responses.v[0]
                             .error_code,
                         0);
            if (stop)
                break;
            threads_wait(w, n == 4 ? 1 : n == 2 ? 2 : 3);
            CHECK_EQ(node_offset(w, "t", 0, -1), n == 4 ? 12 : n == 2 ? 21 : 30);
        }
        node_world_stop(w);
        node_world_start(w);
        CHECK(node_offset(w, "t", 0, -1) >= 3);
        node_world_drop(w);
    }
}

static void topic_delete(struct node_world *w, int i, const char *name)
{
    struct DeleteTopicsRequest *in = node_in(w, i, API_DeleteTopics);
    struct slice *names = arena_alloc(&w->asks[i].arena, sizeof(*names));

    *names = SLICE(name);
    in->topic_names.v = names;
    in->topic_names.n = 1;
    in->timeout_ms = 1000;
    node_send(w, i, 5, in);
}

struct dirs {
    int n;
};

static void dir_counted(void *arg, const char *path, bool is_dir, int64_t size)
{
    struct dirs *d = arg;
    const char *name = strrchr(path, '/');

    if (is_dir && name && strncmp(name, "/t-", 3) == 0 && !strstr(name, "-delete"))
        d->n++;
}

/* A topic that is deleted while its partitions move leaves no directory and no partition behind, whichever of the two comes
 * first on a loop. */
TEST(move, loses_a_topic_that_is_deleted_meanwhile)
{
    const struct node_batch b = {.producer_id = -1, .n = 3};

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct node_world *w = node_world_new(seed, 1, NULL, 0);
        struct dirs left = {0};

        CHECK_EQ(node_topic(w, "t", PARTITIONS, NULL, 0), 0);
        for (int p = 0; p < PARTITIONS; p++)
            CHECK_EQ(node_produce(w, "t", p, &b)->error_code, 0);
        if (seed % 2) {
            node_world_stop(w);
            node_world_start(w);
        }
        sim_disk_stall(w->sim, 1, sim_now(w->sim) + (int64_t)(seed % 4) * 50000000);
        threads_send(w, 0, 4);
        topic_delete(w, 1, "t");
        (void)node_wait(w, 0, MOVE_MS);
        (void)node_wait(w, 1, MOVE_MS);
        threads_wait(w, 1);
        node_run(w, 1000);
        CHECK_EQ(node_topic(w, "t", 2, NULL, 0), 0);
        for (int p = 0; p < 2; p++)
            CHECK_EQ(node_produce(w, "t", p, &b)->base_offset, 0);
        node_world_stop(w);
        sim_files(w->sim, 1, "/data", dir_counted, &left);
        CHECK_EQ(left.n, 2);
        node_world_start(w);
        node_world_drop(w);
    }
}
