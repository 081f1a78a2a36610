/* What a log asks of its disk, and what it does when a sync fails. */
#include "tests/unit/log/log_world.h"
#include <stdlib.h>

enum { SYNC_NS = 100000000 };

struct run {
    struct log_world w;
    struct sim *sim;
    struct io *io;
    void (*fn)(struct run *r);
    int64_t *calls;
    int64_t latest; /* the offset of the largest time */
    int more;       /* batches before it */
};

static void run_one(struct loop *loop, void *arg)
{
    struct run *r = arg;

    (void)loop;
    r->fn(r);
}

/* A sync takes SYNC_NS, everything else next to nothing. */
static struct run *run_new(uint64_t seed)
{
    struct sim_options o = sim_plain(seed);
    struct run *r = calloc(1, sizeof *r);

    o.disk = (struct sim_range){SYNC_NS, SYNC_NS};
    r->sim = sim_new_with(&o);
    r->io = sim_node(r->sim, 1);
    world_config(&r->w);
    return r;
}

static void run_step(struct run *r, void (*fn)(struct run *r))
{
    r->fn = fn;
    CHECK(sim_call(r->sim, r->io, LOOP_DISK, run_one, r));
}

static void run_end(struct run *r)
{
    sim_drop(r->sim);
    free(r);
}

static int64_t syncs(const struct run *r, int64_t since)
{
    return (sim_now(r->sim) - since) / SYNC_NS;
}

static void first_append(struct run *r)
{
    int64_t before;

    CHECK_OK(world_start(&r->w, r->io));
    before = sim_now(r->sim);
    CHECK_OK(world_append(&r->w));
    CHECK_EQ(syncs(r, before), 0);
    CHECK_OK(world_sync(&r->w, LOG_SYNC_DATA));
    CHECK_EQ(syncs(r, before), 3); /* the files together, the names in the directory, its own */
    before = sim_now(r->sim);
    CHECK_OK(world_append(&r->w));
    CHECK_OK(world_sync(&r->w, LOG_SYNC_DATA));
    CHECK_EQ(syncs(r, before), 1);
    world_drop(&r->w);
}

static void id_is_there(struct run *r)
{
    struct uuid id;

    CHECK_OK(log_dir_topic_id(r->io, WORLD_DIR, WORLD_LOG, &id));
    CHECK_OK(world_start(&r->w, r->io));
    CHECK_EQ(log_end(r->w.log), r->w.base[2]);
    CHECK_EQ(log_epochs(r->w.log)->n, 1);
    CHECK_OK(world_stop(&r->w));
}

/* The first append of a partition waits for no disk. With its first sync partition.metadata and the epochs are durable
 * too, whatever else a power cut takes. */
TEST(log_disk, a_partition_begins_without_a_sync)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run *r = run_new(seed);

        run_step(r, first_append);
        sim_crash(r->sim, 1, SIM_POWER);
        r->io = sim_node(r->sim, 1);
        run_step(r, id_is_there);
        run_end(r);
    }
}

static void many_epochs(struct run *r)
{
    struct log_world *w = &r->w;
    struct bytes b;

    w->config.segment_bytes = 1 << 20;
    CHECK_OK(world_start(w, r->io));
    for (int i = 0; i < 60; i++) {
        struct log_append a = {.leader_epoch = i, .now_ms = 1};

        world_batch(io_heap(r->io), i, 0, &b);
        a.bytes = bytes_slice(&b);
        CHECK_OK(log_append(w->log, &a));
        bytes_drop(&b);
    }
    CHECK_OK(world_sync(w, LOG_SYNC_DATA));
    world_drop(w);
}

static void scan_costs_nothing(struct run *r)
{
    int64_t before = sim_now(r->sim);

    CHECK_OK(world_start(&r->w, r->io));
    CHECK_EQ(log_epochs(r->w.log)->n, 60);
    CHECK(syncs(r, before) <= 2); /* of the directory around it: the world's start */
    CHECK_OK(world_stop(&r->w));
}

static void without_epochs(struct run *r)
{
    run_step(r, many_epochs);
    CHECK_OK(sim_file_put(r->sim, 1, WORLD_DIR "/" WORLD_LOG "/" EPOCHS_FILE, "0\n0\n", 4));
    run_step(r, scan_costs_nothing);
}

/* A scan that meets many epochs writes their file once, if it says anything else, and doesn't wait for that. */
TEST(log_disk, epochs_are_written_once_by_a_recovery)
{
    struct run *r = run_new(1);

    run_step(r, many_epochs);
    run_step(r, scan_costs_nothing);
    run_end(r);
    r = run_new(2);
    without_epochs(r);
    run_end(r);
}

static void no_epoch(struct run *r)
{
    struct log_world *w = &r->w;
    struct log_append a = {.origin = LOG_FROM_LEADER, .now_ms = 5};
    struct bytes b;

    CHECK_OK(world_start(w, r->io));
    world_batch(io_heap(r->io), 0, 0, &b);
    memset(b.p + 12, 0xff, 4); /* outside the CRC */
    a.bytes = bytes_slice(&b);
    CHECK_OK(log_append(w->log, &a));
    bytes_drop(&b);
    world_drop(w);
    CHECK_OK(world_start(w, r->io));
    CHECK(log_end(w->log) > 0 && log_epochs(w->log)->n == 0);
    CHECK_OK(world_stop(w));
}

/* A batch without a leader epoch, or with a damaged one, is stored and recovered as any other. */
TEST(log_disk, a_batch_without_an_epoch_is_recovered)
{
    struct run *r = run_new(1);

    run_step(r, no_epoch);
    run_end(r);
}

enum { IDEMPOTENT = 8 };

/* Batches of one record of one producer; where each lies in the segment is told. */
static void idempotent(struct run *r, int64_t at[IDEMPOTENT])
{
    struct log_world *w = &r->w;
    struct batch_record one = {.value = SLICE("v")};
    int64_t size = 0;

    CHECK_OK(world_start(w, r->io));
    for (int i = 0; i < IDEMPOTENT; i++) {
        struct log_append a = {.now_ms = 1};
        struct batch_spec s;
        struct bytes b;

        batch_spec_init(&s);
        s.v = &one;
        s.n = 1;
        s.producer_id = 7;
        s.producer_epoch = 0;
        s.base_sequence = i;
        bytes_init(&b, io_heap(r->io));
        batch_build(NULL, &s, &b);
        a.bytes = bytes_slice(&b);
        CHECK_OK(log_append(w->log, &a));
        at[i] = size;
        size += (int64_t)b.len;
        bytes_drop(&b);
    }
    CHECK_OK(world_stop(w));
}

static void cut_damaged(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    CHECK_EQ(log_end(r->w.log), IDEMPOTENT);
    CHECK_OK(log_truncate(r->w.log, IDEMPOTENT - 1));
    CHECK_EQ(log_end(r->w.log), IDEMPOTENT - 1);
    CHECK_OK(world_stop(&r->w));
}

static void make_idempotent(struct run *r)
{
    idempotent(r, r->calls);
}

/* Bit rot in the head of an old batch, which nothing scans: producers are told from those that make sense, when a cut has
 * them told anew, and the node goes on. */
TEST(log_disk, a_damaged_head_says_nothing_of_producers)
{
    const char *segment = WORLD_DIR "/" WORLD_LOG "/00000000000000000000.log";
    struct run *r = run_new(1);
    int64_t at[IDEMPOTENT];

    r->calls = at;
    run_step(r, make_idempotent);
    CHECK_OK(sim_file_flip(r->sim, 1, segment, at[4] + 7, 4)); /* offset 0 */
    CHECK_OK(sim_file_flip(r->sim, 1, segment, at[2], 0x40));  /* 2^62 and more */
    run_step(r, cut_damaged);
    run_end(r);
}

static void read_damaged(struct run *r)
{
    const struct log_limits limits = {.up_to = INT64_MAX, .max_bytes = 100, .min_one = true};
    struct log_range range;

    CHECK_OK(world_start(&r->w, r->io));
    CHECK_OK(log_read(r->w.log, 0, &limits, &range));
    log_range_drop(&range);
    CHECK_EQ(log_read(r->w.log, 3, &limits, &range), E_KAFKA_STORAGE_ERROR);
    CHECK_EQ(r->w.offline, 1);
    world_drop(&r->w);
}

/* A batch whose length rotted isn't sent with what lies behind the segment's end: the directory is taken for what it is. */
TEST(log_disk, a_damaged_length_is_an_error)
{
    const char *segment = WORLD_DIR "/" WORLD_LOG "/00000000000000000000.log";
    struct run *r = run_new(1);
    int64_t at[IDEMPOTENT];

    r->calls = at;
    run_step(r, make_idempotent);
    CHECK_OK(sim_file_flip(r->sim, 1, segment, at[3] + 9, 1)); /* 65,536 bytes more */
    run_step(r, read_damaged);
    run_end(r);
}

static void start_shorter(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    CHECK_EQ(log_end(r->w.log), IDEMPOTENT - 1);
    CHECK_OK(world_stop(&r->w));
}

/* After a clean stop, a last batch whose offset can't be in its segment has rotted: the segment is scanned, and ends before it. */
TEST(log_disk, a_damaged_last_offset_is_no_end)
{
    const char *segment = WORLD_DIR "/" WORLD_LOG "/00000000000000000000.log";
    static const uint8_t places[] = {3, 7}; /* 2^32 more; before the one in front of it */
    int64_t at[IDEMPOTENT];

    for (size_t i = 0; i < sizeof(places); i++) {
        struct run *r = run_new(1);

        r->calls = at;
        run_step(r, make_idempotent);
        CHECK_OK(sim_file_flip(r->sim, 1, segment, at[IDEMPOTENT - 1] + places[i], 1));
        run_step(r, start_shorter);
        run_end(r);
    }
}

static void start_again(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
}

static void cut_rotten(struct run *r)
{
    CHECK_EQ(log_truncate(r->w.log, IDEMPOTENT - 1), E_KAFKA_STORAGE_ERROR);
    CHECK_EQ(r->w.offline, 1);
    world_drop(&r->w);
}

/* A cut that doesn't find what it is to cut, because the head of that has rotted, says so. */
TEST(log_disk, a_cut_at_a_damaged_head_is_an_error)
{
    const char *segment = WORLD_DIR "/" WORLD_LOG "/00000000000000000000.log";
    struct run *r = run_new(1);
    int64_t at[IDEMPOTENT];

    r->calls = at;
    run_step(r, make_idempotent);
    run_step(r, start_again);
    CHECK_OK(sim_file_flip(r->sim, 1, segment, at[IDEMPOTENT - 1] + 7, 4)); /* offset 3 */
    run_step(r, cut_rotten);
    run_end(r);
}

static int rolls(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    for (int i = 0; i < 45; i++)
        CHECK_OK(world_append(&r->w));
    world_verify(&r->w);
    int n = (int)log_env_counters(r->w.env)->rolls;
    CHECK_OK(world_stop(&r->w));
    return n;
}

static void rolls_for_compaction(struct run *r)
{
    CHECK_EQ(rolls(r), 5);
}

static void rolls_never(struct run *r)
{
    CHECK_EQ(rolls(r), 1);
}

/* On a compacted topic a segment is active for max.compaction.lag.ms at most, if that is less than segment.ms; on others
 * that setting means nothing, and a jitter larger than it doesn't roll at each append. */
TEST(log_disk, compacted_segments_roll_by_the_lag)
{
    for (int i = 0; i < 3; i++) {
        struct run *r = run_new(1);

        r->w.config.segment_bytes = 1 << 20;
        r->w.config.max_compaction_lag_ms = 95; /* ten batches */
        r->w.config.cleanup_compact = i > 0;
        r->w.config.segment_jitter_ms = i == 2 ? 1 : 0;
        run_step(r, i > 0 ? rolls_for_compaction : rolls_never);
        run_end(r);
    }
}

/* ---- a sync that fails ---- */

static void sync_fails_once(struct run *r, int nth)
{
    struct log_world *w = &r->w;
    struct log_append a = {.now_ms = 1};
    int64_t calls;

    CHECK_OK(world_start(w, r->io));
    for (int i = 0; i < 6; i++)
        CHECK_OK(world_append(w));
    CHECK_OK(world_sync(w, LOG_SYNC_DATA));
    for (int i = 0; i < 6; i++)
        CHECK_OK(world_append(w));
    sim_fail_at(r->sim, 1, nth, SIM_EIO);
    CHECK_EQ(world_sync(w, LOG_SYNC_DATA), E_KAFKA_STORAGE_ERROR);
    CHECK(w->dir->offline);
    CHECK_EQ(w->offline, 1);
    calls = sim_file_calls(r->sim, 1);
    CHECK_EQ(world_sync(w, LOG_SYNC_DATA), E_KAFKA_STORAGE_ERROR);
    CHECK_EQ(world_sync(w, LOG_SYNC_ALL), E_KAFKA_STORAGE_ERROR);
    CHECK_EQ(log_append(w->log, &a), E_KAFKA_STORAGE_ERROR);
    CHECK_EQ(log_truncate(w->log, 0), E_KAFKA_STORAGE_ERROR);
    CHECK_EQ(sim_file_calls(r->sim, 1), calls); /* the disk isn't asked again */
    CHECK(log_synced(w->log) == w->base[6]);
    CHECK_EQ(log_close(w->log), E_OK); /* frees it; what the disk holds is for the next start to find out */
    CHECK_EQ(sim_file_calls(r->sim, 1), calls);
    w->log = NULL;
    world_drop(w);
}

static void first_call_fails(struct run *r)
{
    sync_fails_once(r, 1);
}

static void second_call_fails(struct run *r)
{
    sync_fails_once(r, 2);
}

static void after_the_failure(struct run *r)
{
    struct log_world *w = &r->w;

    CHECK_OK(world_start(w, r->io));
    CHECK(log_end(w->log) >= w->base[6] && log_end(w->log) <= w->base[12]);
    world_adopt_end(w);
    world_verify(w);
    CHECK_OK(world_append(w));
    CHECK_OK(world_sync(w, LOG_SYNC_ALL));
    CHECK_OK(world_stop(w));
}

/* A failed sync means that pages may be gone: nothing is synced or written there again by this process, although the disk
 * would say that all is well. What was promised before is there, also after a power cut. */
TEST(log_disk, a_failed_sync_is_final)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct run *r = run_new(seed);

        run_step(r, seed % 3 ? first_call_fails : second_call_fails);
        sim_crash(r->sim, 1, seed % 2 ? SIM_POWER : SIM_PROCESS);
        r->io = sim_node(r->sim, 1);
        run_step(r, after_the_failure);
        run_end(r);
    }
}

/* In the process that met the failure. */
static void goes_on(struct run *r)
{
    struct log_world *w = &r->w;

    first_call_fails(r);
    w->doubted = true;
    CHECK_OK(world_start(w, r->io));
    w->doubted = false;
    CHECK_EQ(log_end(w->log), w->base[6]);
    world_adopt_end(w);
    world_verify(w);
    CHECK_OK(world_append(w));
    CHECK_OK(world_sync(w, LOG_SYNC_DATA));
}

static void all_is_there(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    CHECK_EQ(log_end(r->w.log), r->w.base[7]);
    world_verify(&r->w);
    CHECK_OK(world_stop(&r->w));
}

/* What the page cache shows of a sync that failed is cut when the same process opens the log again, so all that it promises
 * from then on is there after a power cut. */
TEST(log_disk, a_process_goes_on_behind_what_was_synced)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct run *r = run_new(seed);

        run_step(r, goes_on);
        sim_crash(r->sim, 1, SIM_POWER);
        r->io = sim_node(r->sim, 1);
        run_step(r, all_is_there);
        run_end(r);
    }
}

enum { MANY = 40 };

/* *calls: which file call of the flush fails, then how many there were. */
static void few_descriptors(struct run *r, int64_t *calls)
{
    struct log_start from = {.start = -1, .past = {.same_boot = true}};
    struct log_world *w = &r->w;
    struct uuid id = {{9}};
    struct log *logs[MANY];
    struct bytes b;

    CHECK_OK(world_start(w, r->io));
    world_batch(io_heap(r->io), 1, 0, &b);
    for (int i = 0; i < MANY; i++) {
        struct log_append a = {.bytes = bytes_slice(&b), .now_ms = 1};
        char name[32];

        (void)snprintf(name, sizeof name, "topic-%d", i);
        CHECK_OK(log_open(w->env, w->dir, name, &id, &w->config, &from, &logs[i]));
        CHECK_OK(log_append(logs[i], &a));
    }
    CHECK(log_env_files_open(w->env) < MANY);
    int64_t before = sim_file_calls(r->sim, 1);
    sim_fail_at(r->sim, 1, *calls, SIM_EIO);
    CHECK_EQ(log_sync(logs, MANY, LOG_SYNC_DATA), *calls ? E_KAFKA_STORAGE_ERROR : E_OK);
    CHECK_EQ(w->dir->offline, *calls > 0);
    *calls = sim_file_calls(r->sim, 1) - before;
    for (int i = 0; i < MANY; i++)
        log_abandon(logs[i]);
    bytes_drop(&b);
    world_drop(w);
}

static void many_step(struct run *r)
{
    few_descriptors(r, r->calls);
}

static void sync_many(int64_t *calls)
{
    struct run *r = run_new(1);

    r->calls = calls;
    run_step(r, many_step);
    run_end(r);
}

/* A file that was closed and opened again knows nothing of a sync that failed before: a group of more files than there are
 * descriptors takes its fate from those that met it. */
TEST(log_disk, a_failed_sync_is_no_other_descriptors_matter)
{
    int64_t calls = 0;

    sync_many(&calls);
    for (int64_t nth = 1, all = calls; nth <= all; nth++) {
        calls = nth;
        sync_many(&calls);
    }
}

static void append_batch(struct run *r, int number)
{
    struct log_append a = {.leader_epoch = 0, .now_ms = 1};
    struct bytes b;

    world_batch(io_heap(r->io), number, 0, &b);
    a.bytes = bytes_slice(&b);
    CHECK_OK(log_append(r->w.log, &a));
    bytes_drop(&b);
}

enum { LATEST_BATCH = 100 };

static void latest_time_first(struct run *r)
{
    r->w.config.segment_bytes = 1 << 20;
    r->w.config.index_interval_bytes = 1000; /* its row is made by the stop */
    CHECK_OK(world_start(&r->w, r->io));
    for (int i = 41; i < 60 + r->more; i++)
        append_batch(r, i);
    CHECK_OK(world_sync(&r->w, LOG_SYNC_ALL)); /* the files are there */
    r->latest = log_end(r->w.log);
    append_batch(r, LATEST_BATCH);
    CHECK_OK(world_stop(&r->w));
}

static void earlier_times_behind(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    for (int i = 0; i < 40; i++)
        append_batch(r, i);
    CHECK_OK(world_sync(&r->w, LOG_SYNC_ALL));
    CHECK_OK(world_checkpoint(&r->w));
    world_drop(&r->w);
}

static void latest_time_found(struct run *r)
{
    struct log_at at;

    CHECK_OK(world_start(&r->w, r->io));
    CHECK_OK(log_offset_at_time(r->w.log, world_time(LATEST_BATCH), log_end(r->w.log), &at));
    CHECK_EQ(at.offset, r->latest);
    CHECK_OK(world_stop(&r->w));
}

/* The largest time of a segment is known after a stop, a clock that went back, and a power cut. */
TEST(log_disk, the_stops_time_row_is_durable)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run *r = run_new(seed);

        r->more = (int)seed;
        run_step(r, latest_time_first);
        run_step(r, earlier_times_behind);
        sim_crash(r->sim, 1, SIM_POWER);
        r->io = sim_node(r->sim, 1);
        run_step(r, latest_time_found);
        run_end(r);
    }
}

static void latest_time_in_a_row(struct run *r)
{
    r->w.config.segment_bytes = 1 << 20;
    r->w.config.index_interval_bytes = 1000;
    CHECK_OK(world_start(&r->w, r->io));
    r->latest = log_end(r->w.log);
    append_batch(r, LATEST_BATCH);
    for (int i = 0; i < r->more; i++) /* an index row or two */
        append_batch(r, i);
    CHECK_OK(world_sync(&r->w, LOG_SYNC_ALL));
    CHECK_OK(world_checkpoint(&r->w));
    world_drop(&r->w);
}

static void started_for_nothing(struct run *r)
{
    CHECK_OK(world_start(&r->w, r->io));
    world_drop(&r->w);
}

/* A start after a crash of the process makes index rows anew that were synced. A power cut may then leave an index row
 * and take the time row that came with it: the largest time is still known, by the batches' headers. */
TEST(log_disk, a_lost_time_row_is_no_lost_time)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct run *r = run_new(seed);

        r->more = 4 + (int)(seed % 8);
        run_step(r, latest_time_in_a_row);
        sim_crash(r->sim, 1, SIM_PROCESS);
        r->io = sim_node(r->sim, 1);
        run_step(r, started_for_nothing);
        sim_crash(r->sim, 1, SIM_POWER);
        r->io = sim_node(r->sim, 1);
        run_step(r, latest_time_found);
        run_end(r);
    }
}
