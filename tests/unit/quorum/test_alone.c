/* A quorum of one: what it says committed is there afterwards, whatever ends it. */
#include "base/trace.h"
#include "tests/unit/quorum/quorum_world.h"
#include <stdlib.h>

static void world_one(struct quorum_world *w, const struct qdoor *door, uint64_t seed)
{
    qworld_init(w, door, seed);
    CHECK(qworld_start(w) && qworld_up(w));
}

static void world_end(struct quorum_world *w)
{
    CHECK(qworld_stop(w));
    qworld_drop(w);
}

/* A fresh directory is founded at epoch 1 and led at epoch 2: two configuration records, then the barrier. */
TEST_EACH(alone, first_start_founds_and_leads, qdoors)
{
    struct quorum_world w;
    struct quorum_view v;

    qworld_init(&w, row, 1);
    CHECK(qworld_start(&w) && qworld_up(&w));
    CHECK_EQ(w.epoch, 2);
    CHECK_EQ(w.next, 3);
    CHECK_EQ(w.committed->n_partitions, 0);
    v = w.door->view(w.quorum);
    CHECK(v.leader == WORLD_NODE_ID && v.n_voters == 1 && v.voters[0] == WORLD_NODE_ID);
    CHECK(v.log_start == 0 && v.end == 3 && v.committed == 3 && v.snapshot == -1 && !v.failed);
    CHECK(qworld_stop(&w));
    qworld_drop(&w);
}

/* Each start leads in an epoch of its own and begins with the image that the log holds. */
TEST_EACH(alone, restarts_keep_everything, qdoors)
{
    struct quorum_world w;

    qworld_init(&w, row, 2);
    CHECK(qworld_start(&w));
    for (int i = 0; i < 5; i++) {
        qworld_submit(&w, 40);
        CHECK(qworld_settle(&w));
        qworld_restart(&w);
        qworld_verify(&w);
        CHECK_EQ(w.promised, 40 * (i + 1));
        CHECK_EQ(w.epoch, 3 + i);
    }
    CHECK(qworld_stop(&w));
    qworld_drop(&w);
}

/* A start asks the disk for no more than the one before it did, however many there have been. */
TEST_EACH(alone, restarts_cost_the_same, qdoors)
{
    struct quorum_world w;
    int64_t cost[30];

    world_one(&w, row, 2);
    for (int i = 0; i < 30; i++) {
        CHECK(qworld_stop(&w));
        int64_t before = sim_file_calls(w.sim, WORLD_NODE);
        qworld_restart(&w);
        cost[i] = sim_file_calls(w.sim, WORLD_NODE) - before;
    }
    CHECK_EQ(cost[29], cost[1]);
    world_end(&w);
}

/* Proposals that come together are written one by one and synced once. */
TEST_EACH(alone, proposals_share_a_sync, qdoors)
{
    struct quorum_world w;
    int64_t calls;

    world_one(&w, row, 3);
    calls = sim_file_calls(w.sim, WORLD_NODE);
    qworld_submit(&w, 60);
    CHECK(qworld_settle(&w));
    CHECK_EQ(w.promised, 60);
    CHECK(sim_file_calls(w.sim, WORLD_NODE) - calls < 60 + 60 / 2);
    world_end(&w);
}

/* ---- snapshots ---- */

struct found {
    int checkpoints, segments, temporary;
    char newest[256], second[256];
};

static void file_found(void *arg, const char *path, bool is_dir, int64_t size)
{
    struct found *f = arg;
    size_t len = strlen(path);

    (void)is_dir;
    (void)size;
    if (len > 11 && strcmp(path + len - 11, ".checkpoint") == 0) {
        f->checkpoints++;
        (void)strcpy(f->second, f->newest);
        (void)snprintf(f->newest, sizeof(f->newest), "%s", path);
    }
    f->segments += len > 4 && strcmp(path + len - 4, ".log") == 0;
    f->temporary += len > 4 && strcmp(path + len - 4, ".tmp") == 0;
}

static struct found files(struct quorum_world *w)
{
    struct found f = {0};

    sim_files(w->sim, WORLD_NODE, WORLD_DIR, file_found, &f);
    return f;
}

static void three_snapshots(struct quorum_world *w)
{
    for (int i = 0; i < 3; i++) {
        qworld_submit(w, 60);
        CHECK(qworld_settle(w));
        CHECK(qworld_snapshot(w));
    }
    CHECK(w->door->view(w->quorum).snapshot > w->committed->offset);
}

/* A start from a snapshot and the log behind it gives what replaying everything gives. */
TEST_EACH(alone, snapshot_and_log_give_the_image, qdoors)
{
    struct quorum_world w;

    world_one(&w, row, 4);
    three_snapshots(&w);
    qworld_submit(&w, 13);
    CHECK(qworld_settle(&w));
    qworld_restart(&w);
    qworld_verify(&w);
    CHECK_EQ(w.promised, 193);
    CHECK_EQ(files(&w).temporary, 0);
    world_end(&w);
}

/* A snapshot of what the newest one holds already isn't written. */
TEST_EACH(alone, nothing_new_is_no_snapshot, qdoors)
{
    struct quorum_world w;

    world_one(&w, row, 5);
    three_snapshots(&w);
    int64_t calls = sim_file_calls(w.sim, WORLD_NODE);

    qworld_snapshot_begin(&w);
    (void)!sim_run(w.sim, NULL, NULL, 100000000);
    CHECK(qworld_settle(&w));
    CHECK_EQ(sim_file_calls(w.sim, WORLD_NODE), calls);
    world_end(&w);
}

/* So many bytes after the last one, a snapshot is written by itself. */
TEST_EACH(alone, bytes_ask_for_a_snapshot, qdoors)
{
    struct quorum_world w;

    qworld_init(&w, row, 6);
    w.settings.snapshot_bytes = 2000;
    CHECK(qworld_start(&w));
    for (int i = 0; i < 40; i++) {
        qworld_submit(&w, 1);
        CHECK(qworld_settle(&w));
    }
    CHECK(w.held >= 2 && w.held <= 4);
    CHECK_EQ(files(&w).checkpoints, 2);
    qworld_restart(&w);
    qworld_verify(&w);
    CHECK_EQ(w.promised, 40);
    world_end(&w);
}

static bool was_held(void *arg)
{
    struct quorum_world *w = arg;
    return w->held > 0;
}

/* A change that no snapshot holds is in one after metadata.log.max.snapshot.interval.ms. */
TEST_EACH(alone, time_asks_for_a_snapshot, qdoors)
{
    struct quorum_world w;

    qworld_init(&w, row, 7);
    w.settings.snapshot_ms = 500;
    CHECK(qworld_start(&w));
    qworld_submit(&w, 1);
    CHECK(qworld_settle(&w));
    CHECK(!sim_run(w.sim, was_held, &w, 450000000));
    CHECK(sim_run(w.sim, was_held, &w, 100000000));
    CHECK(qworld_settle(&w));
    CHECK_EQ(files(&w).checkpoints, 1);
    CHECK(!sim_run(w.sim, NULL, NULL, 2000000000));
    CHECK_EQ(w.held, 1);
    world_end(&w);
}

/* Two snapshots stay, and of the log only what the older one needs, if retention wants no more. */
TEST_EACH(alone, old_snapshots_and_log_go, qdoors)
{
    struct quorum_world w;
    struct found f;

    qworld_init(&w, row, 8);
    w.settings.retention_bytes = 1000;
    w.settings.segment_bytes = 2000;
    CHECK(qworld_start(&w));
    three_snapshots(&w);
    f = files(&w);
    CHECK_EQ(f.checkpoints, 2);
    struct quorum_view v = w.door->view(w.quorum);

    CHECK(v.log_start > 3 && v.log_start <= strtoll(strrchr(f.second, '/') + 1, NULL, 10));
    qworld_restart(&w);
    qworld_verify(&w);
    CHECK_EQ(w.promised, 180);
    world_end(&w);
}

/* Without a limit the log stays from its first offset on, whatever snapshots hold; with metadata.max.retention.ms it goes
 * when it is that old and a snapshot is written. */
TEST_EACH(alone, history_stays_as_long_as_retention_says, qdoors)
{
    struct quorum_world w;

    qworld_init(&w, row, 43);
    w.settings.retention_bytes = -1;
    w.settings.retention_ms = 60000;
    w.settings.segment_bytes = 2000;
    CHECK(qworld_start(&w));
    three_snapshots(&w);
    CHECK_EQ(w.door->view(w.quorum).log_start, 0);
    (void)!sim_run(w.sim, NULL, NULL, 61000000000);
    qworld_submit(&w, 1);
    CHECK(qworld_settle(&w));
    CHECK(qworld_snapshot(&w));
    CHECK(w.door->view(w.quorum).log_start > 60);
    qworld_restart(&w);
    qworld_verify(&w);
    CHECK_EQ(w.promised, 181);
    world_end(&w);
}

static void tmp_found(void *arg, const char *path, bool is_dir, int64_t size)
{
    size_t len = strlen(path);

    if (!is_dir && size > 1000 && len > 4 && strcmp(path + len - 4, ".tmp") == 0)
        (void)snprintf(arg, 256, "%s", path);
}

/* A snapshot that doesn't read as it was written never gets its name: the quorum stops and says so, and the one before it is
 * still there. */
TEST_EACH(alone, a_snapshot_is_read_before_it_counts, qdoors)
{
    struct quorum_world w;
    char tmp[256] = "";

    world_one(&w, row, 44);
    three_snapshots(&w);
    qworld_submit(&w, 60);
    CHECK(qworld_settle(&w));
    qworld_snapshot_begin(&w);
    for (int i = 0; i < 100000 && !tmp[0]; i++) {
        (void)!sim_run(w.sim, NULL, NULL, 10000);
        sim_files(w.sim, WORLD_NODE, WORLD_DIR, tmp_found, tmp);
    }
    CHECK_OK(sim_file_flip(w.sim, WORLD_NODE, tmp, 700, 4));
    (void)!sim_run(w.sim, NULL, NULL, 1000000000);
    CHECK_EQ(w.failed, E_CORRUPT_MESSAGE);
    CHECK_EQ(files(&w).checkpoints, 2);
    qworld_restart(&w);
    CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_checkpoint_bad), 0);
    qworld_verify(&w);
    CHECK_EQ(w.promised, 240);
    world_end(&w);
}

/* The log is in raft's memory: some 50,000 entries after the last snapshot there is another, however small they are. */
TEST(alone, many_entries_ask_for_a_snapshot)
{
    struct quorum_world w;

    world_one(&w, &qdoors[0], 45);
    for (int i = 0; i < 820; i++) {
        CHECK_EQ(w.held, i < 780 ? 0 : w.held);
        qworld_submit(&w, 62);
        CHECK(qworld_settle(&w));
    }
    CHECK_EQ(w.held, 1);
    CHECK_EQ(files(&w).checkpoints, 1);
    world_end(&w);
}

/* A damaged snapshot is passed over and put aside; the one before it and the log behind it give the same. */
TEST_EACH(alone, a_damaged_snapshot_is_passed_over, qdoors)
{
    struct quorum_world w;
    struct found f;

    qworld_init(&w, row, 9);
    w.settings.retention_bytes = 1000;
    w.settings.segment_bytes = 2000;
    CHECK(qworld_start(&w));
    three_snapshots(&w);
    CHECK(qworld_stop(&w));
    f = files(&w);
    CHECK_OK(sim_file_flip(w.sim, WORLD_NODE, f.newest, 700, 4));
    w.io = sim_node(w.sim, WORLD_NODE);
    CHECK(qworld_start(&w) && qworld_up(&w));
    qworld_verify(&w);
    CHECK_EQ(w.promised, 180);
    CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_checkpoint_bad), 1);
    CHECK_EQ(files(&w).checkpoints, 1);
    world_end(&w);
}

/* ---- what it refuses ---- */

static void refused(struct quorum_world *w, enum err err)
{
    CHECK(qworld_start(w) && !qworld_up(w));
    CHECK_EQ(w->failed, err);
    CHECK_EQ(w->loaded, 0);
    CHECK_EQ(w->door->view(w->quorum).failed, err);
    world_end(w);
}

/* Where no good snapshot reaches the log's start, nothing is served. */
TEST_EACH(alone, a_gap_is_refused, qdoors)
{
    struct quorum_world w;
    struct found f;

    qworld_init(&w, row, 10);
    w.settings.retention_bytes = 1000;
    w.settings.segment_bytes = 2000;
    CHECK(qworld_start(&w));
    three_snapshots(&w);
    CHECK(qworld_stop(&w));
    f = files(&w);
    CHECK_OK(sim_file_flip(w.sim, WORLD_NODE, f.newest, 700, 4));
    CHECK_OK(sim_file_flip(w.sim, WORLD_NODE, f.second, 700, 4));
    w.io = sim_node(w.sim, WORLD_NODE);
    refused(&w, E_OFFSET_OUT_OF_RANGE);
}

/* ---- a committed batch that rotted ---- */

enum { ROT_FIRST = 700, ROT_LAST = -30 };
static const struct rot_row {
    int64_t at; /* in the log; from its end if negative */
    uint8_t bits;
} rots[] = {{ROT_FIRST, 4}, {ROT_FIRST, 0x80}, {ROT_LAST, 1}};

/* An acknowledged batch that rotted on the disk is never cut, the last one neither: the start ends, file and position are
 * said, and the file stays as it is. */
TEST_EACH(alone, a_committed_batch_that_rotted_stops_it, rots)
{
    static const char path[] = WORLD_LOG "/00000000000000000000.log";

    for (size_t i = 0; i < sizeof(qdoors) / sizeof(qdoors[0]); i++) {
        struct quorum_world w;
        int64_t size;

        qworld_init(&w, &qdoors[i], 14);
        CHECK(qworld_start(&w));
        qworld_submit(&w, 20);
        CHECK(qworld_settle(&w) && qworld_stop(&w));
        size = sim_file_size(w.sim, WORLD_NODE, path);
        CHECK(size > 1500);
        CHECK_OK(sim_file_flip(w.sim, WORLD_NODE, path, row->at < 0 ? size + row->at : row->at, row->bits));
        w.io = sim_node(w.sim, WORLD_NODE);
        CHECK(qworld_start(&w) && !qworld_up(&w));
        CHECK_EQ(w.failed, E_CORRUPT_MESSAGE);
        CHECK_EQ(trace_count(io_trace(w.io), TR_log_batch_wrong), 1);
        CHECK_EQ(sim_file_size(w.sim, WORLD_NODE, path), size);
        world_end(&w);
    }
}

/* A vote that can't be read is never guessed. */
TEST_EACH(alone, a_damaged_quorum_state_is_refused, qdoors)
{
    struct quorum_world w;

    world_one(&w, row, 11);
    CHECK(qworld_stop(&w));
    CHECK_OK(sim_file_flip(w.sim, WORLD_NODE, WORLD_LOG "/quorum-state", 30, 1));
    w.io = sim_node(w.sim, WORLD_NODE);
    refused(&w, E_CORRUPT_MESSAGE);
}

/* The files of another directory are not this node's. */
TEST_EACH(alone, another_directory_is_refused, qdoors)
{
    struct quorum_world w;

    world_one(&w, row, 12);
    qworld_begin(&w);
    w.settings.directory_id.b[0] ^= 1;
    refused(&w, E_INCONSISTENT_VOTER_SET);
}

/* ---- disks ---- */

static void fill_disk(struct quorum_world *w)
{
    sim_disk_limit(w->sim, WORLD_NODE, 0);
    for (int i = 0; i < 3; i++) {
        qworld_submit(w, 20);
        (void)!sim_run(w->sim, NULL, NULL, 3000000000);
    }
    CHECK(w->in_flight > 0 && w->in_flight <= 60);
    CHECK_EQ(w->errors + w->failures, 0);
    CHECK_EQ(trace_count(io_trace(w->io), TR_quorum_full), 1);
}

/* On a full disk entries wait in their order, and go on by themselves when there is room again. */
TEST_EACH(alone, a_full_disk_makes_entries_wait, qdoors)
{
    struct quorum_world w;

    for (uint64_t seed = 13; seed < 18; seed++) {
        world_one(&w, row, seed);
        fill_disk(&w);
        CHECK_EQ(w.door->view(w.quorum).leader, WORLD_NODE_ID);
        CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_room), 0);
        sim_disk_limit(w.sim, WORLD_NODE, -1);
        CHECK(qworld_settle(&w));
        CHECK_EQ(w.promised, 60);
        CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_room), 1);
        qworld_submit(&w, 5);
        CHECK(qworld_settle(&w));
        qworld_restart(&w);
        qworld_verify(&w);
        CHECK_EQ(w.promised, 65);
        world_end(&w);
    }
}

/* What waits for room is lost with the process, and nothing else is. */
TEST_EACH(alone, a_crash_on_a_full_disk_keeps_what_was_told, qdoors)
{
    static const enum sim_crash how[] = {SIM_PROCESS, SIM_POWER};

    for (uint64_t seed = 0; seed < 10; seed++) {
        struct quorum_world w;
        int promised;

        world_one(&w, row, seed + 100);
        qworld_submit(&w, 20);
        CHECK(qworld_settle(&w));
        fill_disk(&w);
        promised = w.promised;
        CHECK(promised >= 20);
        sim_crash(w.sim, WORLD_NODE, how[seed % 2]);
        sim_disk_limit(w.sim, WORLD_NODE, -1);
        qworld_begin(&w);
        CHECK(qworld_start(&w) && qworld_up(&w));
        qworld_verify(&w);
        CHECK(w.promised >= promised);
        world_end(&w);
    }
}

static void end_waits_run(struct loop *loop, void *arg)
{
    struct quorum_world *w = arg;

    w->door->end_waits(w->quorum);
}

/* Once a stop is near, what waits for room ends with the error, by name; without that, the stop itself ends it. */
TEST_EACH(alone, a_stop_does_not_wait_for_room, qdoors)
{
    for (int told = 0; told < 2; told++) {
        struct quorum_world w;
        int waiting;

        world_one(&w, row, 19);
        fill_disk(&w);
        waiting = w.in_flight;
        if (told) {
            CHECK(sim_call(w.sim, w.io, LOOP_DISK, end_waits_run, &w));
            CHECK(qworld_settle(&w));
            (void)!sim_run(w.sim, NULL, NULL, 1000000);
            CHECK_EQ(w.failed, E_FULL);
            CHECK_EQ(w.errors, waiting);
            CHECK_EQ(w.door->view(w.quorum).leader, -1);
        }
        CHECK(qworld_stop(&w));
        CHECK_EQ(w.errors, waiting);
        CHECK_EQ(w.failures, 1);
        sim_disk_limit(w.sim, WORLD_NODE, -1);
        w.io = sim_node(w.sim, WORLD_NODE);
        CHECK(qworld_start(&w) && qworld_up(&w));
        qworld_verify(&w);
        world_end(&w);
    }
}

/* A snapshot that finds no room is dropped, and there a minute after there is some. */
TEST_EACH(alone, a_snapshot_put_off_comes_later, qdoors)
{
    struct quorum_world w;

    if (row->snapshot_needs_room)
        return;
    world_one(&w, row, 20);
    qworld_submit(&w, 60);
    CHECK(qworld_settle(&w));
    sim_disk_limit(w.sim, WORLD_NODE, 0);
    CHECK(qworld_snapshot(&w));
    CHECK_EQ(files(&w).checkpoints + files(&w).temporary, 0);
    CHECK_EQ(trace_count(io_trace(w.io), TR_quorum_checkpoint_put_off), 1);
    sim_disk_limit(w.sim, WORLD_NODE, -1);
    (void)!sim_run(w.sim, NULL, NULL, 61000000000);
    CHECK_EQ(files(&w).checkpoints, 1);
    CHECK(w.door->view(w.quorum).snapshot > w.committed->offset);
    world_end(&w);
}

/* ---- stopping ---- */

/* A stop waits for what was submitted and gives back the image of a snapshot that it breaks off. */
TEST_EACH(alone, a_stop_waits_for_what_was_submitted, qdoors)
{
    for (uint64_t seed = 20; seed < 40; seed++) {
        struct quorum_world w;

        world_one(&w, row, seed);
        qworld_submit(&w, 30);
        CHECK(qworld_settle(&w));
        qworld_snapshot_begin(&w);
        (void)!sim_run(w.sim, NULL, NULL, (int64_t)(seed - 20) * 5000);
        qworld_submit(&w, 30);
        CHECK(qworld_stop(&w));
        CHECK_EQ(w.promised, 60);
        CHECK_EQ(w.errors, 0);
        w.io = sim_node(w.sim, WORLD_NODE);
        CHECK(qworld_start(&w) && qworld_up(&w));
        qworld_verify(&w);
        CHECK_EQ(w.promised, 60);
        world_end(&w);
    }
}

/* A stop behind which the next start would read much keeps a snapshot, and that start reads only what is behind it. */
TEST_EACH(alone, a_stop_keeps_a_snapshot_of_much, qdoors)
{
    struct quorum_world w;

    world_one(&w, row, 41);
    for (int i = 0; i < 15; i++) {
        qworld_submit(&w, 60);
        CHECK(qworld_settle(&w));
    }
    CHECK_EQ(w.held, 0);
    qworld_restart(&w);
    CHECK_EQ(files(&w).checkpoints, 1);
    qworld_verify(&w);
    CHECK_EQ(w.promised, 900);
    CHECK(w.door->view(w.quorum).snapshot >= w.committed->offset);
    qworld_restart(&w);
    CHECK_EQ(files(&w).checkpoints, 1); /* next to nothing has come */
    world_end(&w);
}
