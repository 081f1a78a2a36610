/* A node whose only disk is full: what needs no room goes on, what needs some is told to come again, and nobody has to
 * start anything again when there is room. */
#include "base/trace.h"
#include "node_world.h"
#include <stdio.h>
#include <stdlib.h>

enum { DISK_SLACK = 4096 };

static const struct node_setting durable[] = {{"log.durable", "true"}};

static const void *create_in(struct node_world *w, int i, const char *name, int timeout_ms)
{
    struct CreateTopicsRequest *in = node_in(w, i, API_CreateTopics);

    PROTO_ARRAY_NEW(&w->asks[i].arena, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    in->topics.v[0].name = SLICE(name);
    in->topics.v[0].num_partitions = 1;
    in->topics.v[0].replication_factor = 1;
    in->timeout_ms = timeout_ms;
    return in;
}

static int16_t created(const void *answer)
{
    const struct CreateTopicsResponse *out = answer;

    CHECK_EQ(out->topics.n, 1);
    return out->topics.v[0].error_code;
}

static int16_t delete_topic(struct node_world *w, const char *name)
{
    struct DeleteTopicsRequest *in = node_in(w, 0, API_DeleteTopics);
    const struct DeleteTopicsResponse *out;

    PROTO_ARRAY_NEW(&w->asks[0].arena, DeleteTopicsRequest_DeleteTopicState, in->topics, 1);
    in->topics.v[0].name = SLICE(name);
    in->timeout_ms = 700;
    out = node_ask(w, 0, -1, in);
    CHECK_EQ(out->responses.n, 1);
    return out->responses.v[0].error_code;
}

static int16_t grow(struct node_world *w, const char *name, int count)
{
    struct CreatePartitionsRequest *in = node_in(w, 0, API_CreatePartitions);
    const struct CreatePartitionsResponse *out;

    PROTO_ARRAY_NEW(&w->asks[0].arena, CreatePartitionsRequest_CreatePartitionsTopic, in->topics, 1);
    in->topics.v[0].name = SLICE(name);
    in->topics.v[0].count = count;
    in->topics.v[0].assignments.n = -1;
    in->timeout_ms = 700;
    out = node_ask(w, 0, -1, in);
    CHECK_EQ(out->results.n, 1);
    return out->results.v[0].error_code;
}

static int16_t produced(struct node_world *w, int first)
{
    const struct node_batch b = {.producer_id = -1, .n = 5, .first = first};
    return node_produce(w, "t", 0, &b)->error_code;
}

/* Blocks that are begun are filled first, the metadata log's too. Returns how many records the topic has got. */
static int fill(struct node_world *w)
{
    int16_t code;
    char name[16];
    int n = 0, made = 0;

    CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
    while ((code = produced(w, n)) == 0) {
        n += 5;
        sim_disk_limit(w->sim, 1, 0);
    }
    CHECK(n > 0);
    CHECK_EQ(code, err_wire(E_KAFKA_STORAGE_ERROR));
    do {
        (void)snprintf(name, sizeof(name), "fill-%d", made++);
        code = created(node_ask(w, 0, -1, create_in(w, 0, name, 700)));
    } while (!code);
    CHECK_EQ(code, err_wire(E_REQUEST_TIMED_OUT));
    return n;
}

static int topics(struct node_world *w, int i)
{
    struct MetadataRequest *in = node_in(w, i, API_Metadata);

    in->topics.n = -1;
    return ((struct MetadataResponse *)node_ask(w, i, 9, in))->topics.n;
}

/* What only reads is answered as ever, at once. */
static void reads_go_on(struct node_world *w, int n_records)
{
    int64_t before = sim_now(w->sim);

    CHECK(topics(w, 2) >= 1);
    (void)node_ask(w, 3, 3, node_in(w, 3, API_ApiVersions));
    CHECK_EQ(node_records(w, node_fetched(node_ask(w, 3, 12, node_fetch_in(w, 3, "t", 0, 0, 0, 1))), 0, 0),
             n_records);
    CHECK(sim_now(w->sim) - before < 50000000);
}

/* Changes that find no room wait until their time has run out or there is room, whichever is first; reading goes
 * on, and after that everything does, without a new start. */
TEST(full_disk, changes_wait_or_time_out)
{
    const int16_t late = err_wire(E_REQUEST_TIMED_OUT);

    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct node_world *w = node_world_new(seed, 1, NULL, 0);
        int n = fill(w);
        int64_t before = sim_now(w->sim);

        node_send(w, 1, -1, create_in(w, 1, "waits", 60000));
        CHECK_EQ(created(node_ask(w, 0, -1, create_in(w, 0, "late", 1500))), late);
        CHECK(sim_now(w->sim) - before >= 1500000000 && sim_now(w->sim) - before < 1600000000);
        CHECK_EQ(delete_topic(w, "t"), late);
        CHECK_EQ(grow(w, "t", 3), late);
        reads_go_on(w, n);
        CHECK(!node_answered(w, 1));
        CHECK_EQ(produced(w, n), err_wire(E_KAFKA_STORAGE_ERROR));
        CHECK_EQ(trace_count(io_trace(w->whole->io), TR_quorum_full), 1);

        sim_disk_limit(w->sim, 1, -1);
        CHECK_EQ(created(node_wait(w, 1, 2000)), 0);
        CHECK_EQ(trace_count(io_trace(w->whole->io), TR_quorum_room), 1);
        CHECK_EQ(node_topic(w, "later", 1, durable, 1), 0);
        CHECK(topics(w, 2) >= 3);
        node_world_drop(w);
    }
}

/* With the disk still full the node stops in order and at once: what waits is told that nobody decides any more. */
TEST(full_disk, a_stop_ends_what_waits)
{
    struct node_world *w = node_world_new(7, 1, NULL, 0);
    int n = fill(w);
    int64_t before;

    node_send(w, 1, -1, create_in(w, 1, "waits", 60000));
    node_send(w, 2, -1, create_in(w, 2, "too", 60000));
    node_run(w, 1000);
    before = sim_now(w->sim);
    node_world_stop(w);
    CHECK(sim_now(w->sim) - before < 1000000000);
    sim_disk_limit(w->sim, 1, -1);
    node_world_start(w);
    reads_go_on(w, n);
    CHECK_EQ(produced(w, n), 0);
    node_world_drop(w);
}

static int16_t produced_to(struct node_world *w, const char *topic, size_t bytes)
{
    const struct node_batch b = {.producer_id = -1, .n = 1, .fill = bytes};
    return node_produce(w, topic, 0, &b)->error_code;
}

/* Six megabytes more than there are now, and records until there is no room for them. */
static void fill_with_records(struct node_world *w)
{
    int16_t code;
    int n = 0;

    CHECK_EQ(node_topic(w, "big", 1, durable, 1), 0);
    CHECK_EQ(node_topic(w, "small", 1, NULL, 0), 0);
    sim_disk_limit(w->sim, 1, sim_disk_used(w->sim, 1) + (6 << 20));
    while ((code = produced_to(w, "big", 200000)) == 0)
        n++;
    CHECK_EQ(code, err_wire(E_KAFKA_STORAGE_ERROR));
    CHECK(n > 15 && n < 25);
}

/* Somebody else takes all that is left. */
static void fill_with_others(struct node_world *w, int64_t limit)
{
    size_t n = (size_t)(limit - sim_disk_used(w->sim, 1));
    void *p = calloc(1, n + DISK_SLACK);

    sim_disk_limit(w->sim, 1, -1);
    CHECK_OK(sim_file_put(w->sim, 1, "others", p, n + DISK_SLACK));
    sim_disk_limit(w->sim, 1, limit);
    free(p);
}

static bool has_reserve(struct node_world *w)
{
    return sim_file_size(w->sim, 1, "/data/0/weir-reserve") >= 0;
}

/* A disk full of records: the metadata log has room beside them, so that topics can be made, and be deleted, which makes
 * room for records at once, whatever file.delete.delay.ms says. */
TEST(full_disk, deletion_makes_room_for_records)
{
    struct node_world *w = node_world_new(11, 1, NULL, 0);

    fill_with_records(w);
    CHECK_EQ(produced_to(w, "small", 200000), err_wire(E_KAFKA_STORAGE_ERROR));
    CHECK_EQ(node_topic(w, "more", 1, NULL, 0), 0);
    CHECK_EQ(delete_topic(w, "big"), 0);
    node_run(w, 1000);
    CHECK_EQ(produced_to(w, "small", 100000), 0);
    CHECK_EQ(trace_count(io_trace(w->whole->io), TR_log_reserve_used), 0);
    node_world_drop(w);
}

/* A node starts on a disk that others have filled to the last byte, by way of its reserve. What needs room waits, a
 * deletion goes through, and then everything does, and the reserve is back, without another start. */
TEST(full_disk, a_start_needs_no_room)
{
    for (uint64_t seed = 12; seed < 18; seed++) {
        struct node_world *w = node_world_new(seed, 1, NULL, 0);
        int64_t limit;

        fill_with_records(w);
        limit = sim_disk_used(w->sim, 1) + (2 << 20);
        if (seed % 2)
            node_world_stop(w);
        else
            node_world_crash(w, seed % 4 ? SIM_POWER : SIM_PROCESS);
        fill_with_others(w, limit);
        node_world_start(w);
        CHECK_EQ(trace_count(io_trace(w->whole->io), TR_log_reserve_used), 1);
        CHECK(!has_reserve(w));
        CHECK_EQ(created(node_ask(w, 0, -1, create_in(w, 0, "late", 700))), err_wire(E_REQUEST_TIMED_OUT));
        node_send(w, 1, -1, create_in(w, 1, "waits", 60000));
        CHECK_EQ(produced_to(w, "small", 100), err_wire(E_KAFKA_STORAGE_ERROR));
        CHECK_EQ(delete_topic(w, "big"), 0);
        CHECK_EQ(created(node_wait(w, 1, 2000)), 0);
        CHECK(has_reserve(w));
        node_run(w, 1000);
        CHECK_EQ(produced_to(w, "small", 100000), 0);
        CHECK_EQ(trace_count(io_trace(w->whole->io), TR_control_roomy), 1);
        node_world_drop(w);
    }
}

/* Clients that ask for topics by name, to be made as they are used, and for producer ids have answers too. */
TEST(full_disk, nobody_waits_for_ever)
{
    struct node_world *w = node_world_new(8, 1, NULL, 0);
    struct MetadataRequest *in;
    int64_t before;

    (void)fill(w);
    in = node_in(w, 0, API_Metadata);
    PROTO_ARRAY_NEW(&w->asks[0].arena, MetadataRequest_MetadataRequestTopic, in->topics, 1);
    in->topics.v[0].name = SLICE("new");
    in->allow_auto_topic_creation = true;
    before = sim_now(w->sim);
    CHECK_EQ(((struct MetadataResponse *)node_ask(w, 0, 9, in))->topics.v[0].error_code,
             err_wire(E_UNKNOWN_TOPIC_OR_PARTITION));
    CHECK(sim_now(w->sim) - before < 1100000000);
    for (int i = 1; i < NODE_WIRES; i++) {
        struct InitProducerIdRequest *init = node_in(w, i, API_InitProducerId);

        w->wires[i].patience = 60000000000;
        init->transactional_id = SLICE_NULL;
        node_send(w, i, 4, init);
    }
    for (int i = 1; i < NODE_WIRES; i++)
        CHECK_EQ(((struct InitProducerIdResponse *)node_wait(w, i, 31000))->error_code,
                 err_wire(E_COORDINATOR_NOT_AVAILABLE));
    node_world_drop(w);
}

/* A directory whose checkpoints can't be written, or synced, is offline, as one whose records can't: nothing more is tried
 * there as if all were well. */
TEST(failing_disk, checkpoints_count_too)
{
    const char *sets[] = {"log.flush.offset.checkpoint.interval.ms=1000"};
    int failed = 0;

    for (int64_t nth = 1; nth <= 24; nth++) {
        struct node_world *w = node_world_new((uint64_t)nth, 1, sets, 1);

        CHECK_EQ(node_topic(w, "t", 1, durable, 1), 0);
        CHECK_EQ(produced_to(w, "t", 10), 0);
        sim_fail_at(w->sim, 1, nth, SIM_EIO);
        node_run(w, 1500);
        sim_fail_at(w->sim, 1, 0, SIM_EIO);
        CHECK_EQ(trace_count(io_trace(w->whole->io), TR_checkpoint_failed), 0);
        if (trace_count(io_trace(w->whole->io), TR_log_dir_failed) > 0) {
            CHECK_EQ(produced_to(w, "t", 10), err_wire(E_KAFKA_STORAGE_ERROR));
            failed++;
        }
        node_world_drop(w);
    }
    CHECK(failed >= 16);
}
