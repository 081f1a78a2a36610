/* One log on the simulator: what it promises while nothing fails. */
#include "tests/unit/log/log_world.h"
#include <stdlib.h>

struct run {
    struct log_world w;
    struct sim *sim;
    struct io *io;
    void (*fn)(struct run *r);
};

static void run_one(struct loop *loop, void *arg)
{
    struct run *r = arg;

    (void)loop;
    r->fn(r);
}

static void on_disk_loop(void (*fn)(struct run *r), void (*config)(struct log_world *w))
{
    struct run *r = calloc(1, sizeof *r);

    r->fn = fn;
    r->sim = sim_new(1);
    r->io = sim_node(r->sim, 1);
    world_config(&r->w);
    if (config)
        config(&r->w);
    CHECK(sim_call(r->sim, r->io, LOOP_DISK, run_one, r));
    sim_drop(r->sim);
    free(r);
}

static void append_n(struct log_world *w, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_OK(world_append(w));
}

static void appends_read_back(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    append_n(&r->w, 120);
    world_verify(&r->w);
    CHECK(log_env_counters(r->w.env)->rolls > 5);
    CHECK_OK(world_sync(&r->w, LOG_SYNC_ALL));
    world_verify(&r->w);
    CHECK_OK(world_stop(&r->w));
}

/* Every batch can be read from each of its offsets and found by its time, across rolled segments, and with
 * more segments than descriptors. */
TEST(log, what_was_appended_is_read_from_every_offset)
{
    on_disk_loop(appends_read_back, NULL);
}

static void empty_costs_nothing(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    CHECK_EQ(log_end(r->w.log), 0);
    CHECK_EQ(sim_file_size(r->sim, 1, WORLD_DIR "/" WORLD_LOG), -1);
    CHECK_OK(world_append(&r->w));
    CHECK(sim_file_size(r->sim, 1, WORLD_DIR "/" WORLD_LOG "/partition.metadata") > 0);
    CHECK_OK(world_stop(&r->w));
}

/* A partition's directory appears with its first append. */
TEST(log, an_empty_log_has_no_directory)
{
    on_disk_loop(empty_costs_nothing, NULL);
}

static void clean_restart(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    append_n(&r->w, 60);
    CHECK_OK(world_stop(&r->w));
    CHECK_OK(world_start(&r->w, r->io));
    CHECK_EQ(log_env_counters(r->w.env)->recovered_bytes, 0);
    CHECK_EQ(log_end(r->w.log), r->w.base[60]);
    world_verify(&r->w);
    append_n(&r->w, 10);
    world_verify(&r->w);
    CHECK_OK(world_stop(&r->w));
}

/* After a clean stop nothing is scanned, and the log goes on where it was. */
TEST(log, a_clean_restart_scans_nothing)
{
    on_disk_loop(clean_restart, NULL);
}

static void indexes_come_back(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    append_n(&r->w, 60);
    CHECK_OK(world_stop(&r->w));
    CHECK_OK(path_remove(r->io, WORLD_DIR "/" WORLD_LOG "/00000000000000000000.index"));
    CHECK_OK(path_remove(r->io, WORLD_DIR "/" WORLD_LOG "/00000000000000000000.timeindex"));
    CHECK_OK(world_start(&r->w, r->io));
    CHECK(sim_file_size(r->sim, 1, WORLD_DIR "/" WORLD_LOG "/00000000000000000000.index") > 0);
    CHECK(sim_file_size(r->sim, 1, WORLD_DIR "/" WORLD_LOG "/00000000000000000000.timeindex") > 0);
    world_verify(&r->w);
    CHECK_OK(world_stop(&r->w));
}

/* Indexes that are missing are made again when the log is opened. */
TEST(log, missing_indexes_are_rebuilt)
{
    on_disk_loop(indexes_come_back, NULL);
}

static void truncates(struct run *r)
{
    struct log_world *w = &r->w;

    CHECK_OK(world_start(w, r->io));
    append_n(w, 80);
    CHECK_OK(log_truncate(w->log, w->base[45]));
    CHECK_EQ(log_end(w->log), w->base[45]);
    w->n = 45;
    world_verify(w);
    append_n(w, 30);
    world_verify(w);
    CHECK_EQ(log_epoch_end(w->log, 0).end, w->base[50]);
    CHECK_OK(world_stop(w));
    CHECK_OK(world_start(w, r->io));
    world_verify(w);
    CHECK_OK(world_stop(w));
}

/* A truncated log ends at the batch it was cut to, and goes on from there. */
TEST(log, truncation_cuts_at_a_batch)
{
    on_disk_loop(truncates, NULL);
}

static void short_retention(struct log_world *w)
{
    w->config.retention_bytes = 4000;
}

static void retains(struct run *r)
{
    struct log_world *w = &r->w;
    int removed;

    CHECK_OK(world_start(w, r->io));
    append_n(w, 100);
    CHECK_OK(log_retain(w->log, 5000, log_end(w->log), &removed));
    CHECK(removed > 2);
    CHECK(log_size(w->log) >= 4000 && log_size(w->log) < 6000);
    CHECK(log_start(w->log) > 0);
    world_verify(w);
    CHECK_OK(log_start_set(w->log, log_end(w->log), log_end(w->log)));
    CHECK_OK(log_retain(w->log, 5000, log_end(w->log), &removed));
    world_verify(w);
    w->config.retention_bytes = -1;
    w->config.retention_ms = 1000;
    append_n(w, 20);
    CHECK_OK(log_retain(w->log, world_time(w->n) + 5000, log_end(w->log), &removed));
    CHECK_EQ(log_start(w->log), log_end(w->log));
    CHECK_EQ(log_size(w->log), 0);
    (void)log_env_due(w->env, INT64_MAX - 100000);
    CHECK_OK(world_stop(w));
    CHECK_OK(world_start(w, r->io));
    CHECK_EQ(log_end(w->log), w->base[w->n]);
    append_n(w, 5);
    world_verify(w);
    CHECK_OK(world_stop(w));
}

/* Retention removes old segments by size, by log start and by time, and offsets go on though all records
 * went. */
TEST(log, retention_removes_whole_segments)
{
    on_disk_loop(retains, short_retention);
}

static void rests(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    append_n(&r->w, 40);
    CHECK(log_env_files_open(r->w.env) > 0);
    CHECK_OK(world_sync(&r->w, LOG_SYNC_ALL));
    (void)log_env_due(r->w.env, io_wall_ms(r->io) + 120000);
    CHECK_EQ(log_env_files_open(r->w.env), 0);
    world_verify(&r->w);
    append_n(&r->w, 10);
    world_verify(&r->w);
    CHECK_OK(world_stop(&r->w));
}

/* A log that nobody uses gives back every descriptor, and goes on when it is used. */
TEST(log, a_log_at_rest_has_no_descriptor)
{
    on_disk_loop(rests, NULL);
}

enum { MANY = 1000 };

static void many_at_rest(struct run *r)
{
    struct log_start from = {.start = -1, .past = {.same_boot = true}};
    struct uuid id = {{9}};
    struct log *logs[MANY];
    struct bytes b;
    size_t before;

    CHECK_OK(world_start(&r->w, r->io));
    log_config_init(&r->w.config);
    world_batch(io_heap(r->io), 1, 0, &b);
    before = heap_used(io_heap(r->io));
    for (int i = 0; i < MANY; i++) {
        struct log_append a = {.bytes = bytes_slice(&b), .now_ms = 1};
        char name[32];

        snprintf(name, sizeof name, "topic-%d", i);
        CHECK_OK(log_open(r->w.env, r->w.dir, name, &id, &r->w.config, &from, &logs[i]));
        CHECK_OK(log_append(logs[i], &a));
    }
    (void)log_env_due(r->w.env, INT64_MAX - 100000);
    CHECK((heap_used(io_heap(r->io)) - before) / MANY <= 520);
    for (int i = 0; i < MANY; i++)
        log_abandon(logs[i]);
    bytes_drop(&b);
    CHECK_OK(world_stop(&r->w));
}

/* A log at rest is a few hundred bytes. */
TEST(log, a_log_at_rest_is_small)
{
    on_disk_loop(many_at_rest, NULL);
}

static void up_to_is_kept(struct run *r)
{
    struct log_world *w = &r->w;
    struct log_range range;

    CHECK_OK(world_start(w, r->io));
    append_n(w, 30);
    for (int i = 1; i < 30; i++) {
        struct log_limits limits = {.up_to = w->base[i], .max_bytes = 1 << 20, .min_one = true};
        int64_t size = 0;

        for (int64_t at = 0; at < w->base[i];) {
            CHECK_OK(log_read(w->log, at, &limits, &range));
            CHECK(range.len > 0);
            size += (int64_t)range.len;
            int k = 0;
            for (int64_t left = (int64_t)range.len; left > 0; k++) {
                struct bytes b;
                int n = 0;

                while (w->base[n] < at)
                    n++;
                world_batch(io_heap(r->io), n, 0, &b);
                left -= (int64_t)b.len;
                bytes_drop(&b);
                CHECK(left >= 0);
                at = w->base[n + 1];
            }
            log_range_drop(&range);
        }
        CHECK_OK(log_read(w->log, w->base[i], &limits, &range));
        CHECK_EQ(range.len, 0);
    }
    CHECK_OK(world_stop(w));
}

/* A read never passes the high watermark, and ends at a batch there. */
TEST(log, reads_end_at_up_to)
{
    on_disk_loop(up_to_is_kept, NULL);
}

static void replicas_append(struct run *r)
{
    struct log_world *w = &r->w;
    struct log_append a = {.origin = LOG_FROM_LEADER, .now_ms = 5};
    struct bytes all, one;

    CHECK_OK(world_start(w, r->io));
    bytes_init(&all, io_heap(r->io));
    for (int i = 0; i < 90; i++) {
        w->base[i + 1] = w->base[i] + 1 + i % 3;
        world_batch(io_heap(r->io), i, w->base[i], &one);
        bytes_add(&all, one.p, one.len);
        bytes_drop(&one);
    }
    w->n = 90;
    a.bytes = bytes_slice(&all);
    CHECK_OK(log_append(w->log, &a));
    CHECK_EQ(log_end(w->log), w->base[90]);
    world_verify(w);
    CHECK_EQ(log_append(w->log, &a), E_OFFSET_OUT_OF_RANGE);
    all.p[30] ^= 1;
    CHECK_OK(log_restart_at(w->log, 0, 6));
    CHECK_EQ(log_append(w->log, &a), E_CORRUPT_MESSAGE);
    CHECK_EQ(log_end(w->log), 0);
    bytes_drop(&all);
    CHECK_OK(world_stop(w));
}

/* A replica's append keeps offsets and epochs, splits at segments, and refuses what overlaps or is damaged.
 */
TEST(log, a_replica_takes_batches_as_they_are)
{
    on_disk_loop(replicas_append, NULL);
}

static void idempotent(struct run *r)
{
    struct log_world *w = &r->w;
    struct batch_record rec[2] = {{.timestamp = 5, .value = SLICE("a")},
                                  {.timestamp = 6, .value = SLICE("b")}};
    struct batch_spec s;
    struct bytes b[7];

    CHECK_OK(world_start(w, r->io));
    for (int i = 0; i < 7; i++) {
        struct log_append a = {.now_ms = 10};

        batch_spec_init(&s);
        s.producer_id = 77;
        s.producer_epoch = 0;
        s.base_sequence = 2 * i;
        s.v = rec;
        s.n = 2;
        bytes_init(&b[i], io_heap(r->io));
        batch_build(NULL, &s, &b[i]);
        a.bytes = bytes_slice(&b[i]);
        CHECK_OK(log_append(w->log, &a));
        CHECK_EQ(a.base_offset, 2 * i);
    }
    for (int i = 2; i < 7; i++) {
        struct log_append a = {.now_ms = 10, .bytes = bytes_slice(&b[i])};

        CHECK_OK(log_append(w->log, &a));
        CHECK(a.duplicate && a.base_offset == 2 * i && a.last_offset == 2 * i + 1);
    }
    struct log_append old = {.now_ms = 10, .bytes = bytes_slice(&b[0])};

    CHECK_EQ(log_append(w->log, &old), E_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CHECK_EQ(log_end(w->log), 14);
    /* unclean: the window comes back from the log */
    world_drop(w);
    CHECK_OK(world_start(w, r->io));
    struct log_append again = {.now_ms = 10, .bytes = bytes_slice(&b[3])};

    CHECK_OK(log_append(w->log, &again));
    CHECK(again.duplicate && again.base_offset == 6);
    for (int i = 0; i < 7; i++)
        bytes_drop(&b[i]);
    CHECK_OK(world_stop(w));
}

/* A repeated batch of an idempotent producer answers with its first offsets, after a crash too. */
TEST(log, duplicates_keep_their_offsets)
{
    on_disk_loop(idempotent, NULL);
}

static enum err append_txn(struct log_world *w, uint16_t attributes, int32_t sequence)
{
    static const char key[4] = {0, 0, 0, 1}, value[6] = {0, 0, 0, 0, 0, 9}; /* commit, coordinator epoch 9 */
    bool control = attributes & BATCH_CONTROL;
    struct batch_record r = {.timestamp = 5,
                             .key = control ? slice_of(key, sizeof key) : SLICE("k"),
                             .value = control ? slice_of(value, sizeof value) : SLICE("v")};
    struct log_append a = {.origin = control ? LOG_FROM_COORDINATOR : LOG_FROM_CLIENT, .now_ms = 5};
    struct batch_spec s;
    struct bytes b;
    enum err err;

    batch_spec_init(&s);
    s.attributes = attributes;
    s.producer_id = 5;
    s.producer_epoch = 0;
    s.base_sequence = sequence;
    s.v = &r;
    s.n = 1;
    bytes_init(&b, io_heap(w->io));
    batch_build(NULL, &s, &b);
    a.bytes = bytes_slice(&b);
    err = log_append(w->log, &a);
    bytes_drop(&b);
    return err;
}

static void transactions(struct run *r)
{
    struct log_world *w = &r->w;
    const struct producer *p;

    CHECK_OK(world_start(w, r->io));
    CHECK_OK(append_txn(w, BATCH_TRANSACTIONAL, 0));
    CHECK_OK(append_txn(w, BATCH_TRANSACTIONAL, 1));
    CHECK_EQ(log_stable_limit(w->log), 0);
    world_drop(w);
    CHECK_OK(world_start(w, r->io));
    CHECK_EQ(log_stable_limit(w->log), 0);
    CHECK_OK(append_txn(w, BATCH_TRANSACTIONAL | BATCH_CONTROL, -1));
    CHECK_EQ(log_stable_limit(w->log), 3);
    world_drop(w);
    CHECK_OK(world_start(w, r->io));
    CHECK_EQ(log_stable_limit(w->log), 3);
    p = producers_get(log_producers(w->log), 5);
    CHECK(p && p->coordinator_epoch == 9);
    CHECK_OK(world_stop(w));
}

/* An open transaction holds the stable limit until its marker, after a crash too. */
TEST(log, markers_end_transactions)
{
    on_disk_loop(transactions, NULL);
}

static void by_time(struct log_world *w)
{
    w->config.segment_bytes = 1 << 20;
    w->config.segment_ms = 95; /* ten batches */
    w->config.preallocate = true;
}

static void rolls_by_time(struct run *r)
{
    struct log_world *w = &r->w;
    struct log_at at;

    CHECK_OK(world_start(w, r->io));
    append_n(w, 45);
    CHECK_EQ(log_env_counters(w->env)->rolls, 5);
    CHECK_EQ(sim_file_size(r->sim, 1, WORLD_DIR "/" WORLD_LOG "/00000000000000000079.log"), 1 << 20);
    CHECK(sim_file_size(r->sim, 1, WORLD_DIR "/" WORLD_LOG "/00000000000000000000.log") < 8000);
    CHECK_OK(log_max_timestamp(w->log, log_end(w->log), &at));
    CHECK(at.timestamp == world_time(44) && at.offset == w->base[44]);
    CHECK_OK(log_max_timestamp(w->log, w->base[20], &at));
    CHECK(at.timestamp == world_time(19) && at.offset == w->base[19]);
    world_drop(w);
    CHECK_OK(world_start(w, r->io));
    CHECK_EQ(log_end(w->log), w->base[45]);
    world_verify(w);
    CHECK_OK(world_stop(w));
}

/* Segments are rolled by the records' time; what preallocation left is cut off by the roll or the recovery.
 */
TEST(log, segments_roll_by_time)
{
    on_disk_loop(rolls_by_time, by_time);
}

enum { GROUP = 30 };

static void group_commit(struct run *r)
{
    struct log_start from = {.start = -1, .past = {.same_boot = true}};
    struct uuid id = {{9}};
    struct log *logs[GROUP];
    struct bytes b;

    CHECK_OK(world_start(&r->w, r->io));
    r->w.config.durable = true;
    world_batch(io_heap(r->io), 1, 0, &b);
    for (int i = 0; i < GROUP; i++) {
        struct log_append a = {.bytes = bytes_slice(&b), .now_ms = 1};
        char name[32];

        snprintf(name, sizeof name, "topic-%d", i);
        CHECK_OK(log_open(r->w.env, r->w.dir, name, &id, &r->w.config, &from, &logs[i]));
        CHECK_OK(log_append(logs[i], &a));
        CHECK(a.flush_due);
    }
    CHECK(log_env_files_open(r->w.env) >= GROUP); /* unsynced ones of durable topics aren't closed */
    CHECK_OK(log_sync(logs, GROUP, LOG_SYNC_DATA));
    for (int i = 0; i < GROUP; i++)
        CHECK(log_synced(logs[i]) == log_end(logs[i]) && log_recovery_point(logs[i]) == 0);
    for (int i = 0; i < GROUP; i++)
        CHECK_OK(log_close(logs[i]));
    bytes_drop(&b);
    CHECK_OK(world_stop(&r->w));
}

/* One flush syncs many logs, and until then none of their files is closed. */
TEST(log, many_logs_share_a_flush)
{
    on_disk_loop(group_commit, NULL);
}
