#include "tests/check.h"
#include "tests/sim/sim.h"
#include <stdlib.h>

struct disk_test {
    struct sim *s;
    struct io *io;
    struct file *f;
    enum err err;
    int n;
    char text[64];
};

static enum err put(struct file *f, int64_t at, const char *text)
{
    struct slice v = SLICE(text);

    return file_write(f, at, &v, 1);
}

/* /d is durable with its file a, which holds "old!" durably. */
static void prepare(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;

    CHECK_OK(dir_make(t->io, "/d"));
    CHECK_OK(dir_sync(t->io, "/"));
    CHECK_OK(file_open(t->io, "/d/a", FILE_WRITE | FILE_CREATE, &t->f));
    CHECK_OK(put(t->f, 0, "old!"));
    CHECK_OK(file_sync(&t->f, 1));
    CHECK_OK(dir_sync(t->io, "/d"));
}

static struct disk_test begin(uint64_t seed)
{
    struct disk_test t = {.s = sim_new(seed)};

    t.io = sim_node(t.s, 1);
    CHECK(sim_call(t.s, t.io, LOOP_DISK, prepare, &t));
    return t;
}

static bool holds(struct disk_test *t, const char *path, const char *text)
{
    char buf[64] = "";
    size_t got;

    if (sim_file_read(t->s, 1, path, 0, buf, sizeof(buf) - 1, &got) != E_OK)
        return false;
    return strcmp(buf, text) == 0;
}

static void overwrite(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;

    CHECK_OK(put(t->f, 0, "new!"));
}

/* A crash of the process keeps what was written, synced or not. */
TEST(sim, process_crash_keeps_what_was_written)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct disk_test t = begin(seed);
        CHECK(sim_call(t.s, t.io, LOOP_DISK, overwrite, &t));
        sim_crash(t.s, 1, SIM_PROCESS);
        CHECK(holds(&t, "/d/a", "new!"));
        CHECK_EQ(sim_files_open(t.s, 1), 0);
        sim_drop(t.s);
    }
}

/* A crash of the power keeps or loses an unsynced write, each with some seeds, and never what was synced. */
TEST(sim, power_crash_keeps_or_loses_what_was_not_synced)
{
    int kept = 0, lost = 0;

    for (uint64_t seed = 0; seed < 60; seed++) {
        struct disk_test t = begin(seed);
        CHECK(sim_call(t.s, t.io, LOOP_DISK, overwrite, &t));
        sim_crash(t.s, 1, SIM_POWER);
        kept += holds(&t, "/d/a", "new!");
        lost += holds(&t, "/d/a", "old!");
        sim_drop(t.s);
    }
    CHECK_EQ(kept + lost, 60);
    CHECK(kept > 5 && lost > 5);
}

static void write_sectors(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;
    uint8_t v[4096];
    struct slice part = slice_of(v, sizeof(v));

    memset(v, 'x', sizeof(v));
    CHECK_OK(file_write(t->f, 0, &part, 1));
}

/* An unsynced write can be torn, but only where one sector ends and the next begins. */
TEST(sim, power_crash_tears_at_sectors)
{
    int torn = 0;

    for (uint64_t seed = 0; seed < 60; seed++) {
        struct disk_test t = begin(seed);
        uint8_t v[4096] = {0};
        size_t got;
        int changes = 0;
        CHECK(sim_call(t.s, t.io, LOOP_DISK, write_sectors, &t));
        sim_crash(t.s, 1, SIM_POWER);
        CHECK_OK(sim_file_read(t.s, 1, "/d/a", 0, v, sizeof(v), &got));
        for (int i = 1; i < 4096; i++)
            if ((v[i] == 'x') != (v[i - 1] == 'x')) {
                CHECK_EQ(i % 512, 0);
                changes++;
            }
        torn += changes > 0;
        sim_drop(t.s);
    }
    CHECK(torn > 5);
}

static void replace(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;
    struct file *f;

    CHECK_OK(file_open(t->io, "/d/tmp", FILE_WRITE | FILE_CREATE, &f));
    CHECK_OK(put(f, 0, "two"));
    CHECK_OK(file_sync(&f, 1));
    file_unref(f);
    CHECK_OK(path_move(t->io, "/d/tmp", "/d/a"));
    if (t->n)
        CHECK_OK(dir_sync(t->io, "/d"));
}

/* A move is atomic: before dir_sync() the old or the new file is there after a power crash, after it the new one. */
TEST(sim, moves_are_atomic_and_durable_after_dir_sync)
{
    int old = 0, new = 0;

    for (uint64_t seed = 0; seed < 80; seed++) {
        struct disk_test t = begin(seed);
        t.n = seed % 2;
        CHECK(sim_call(t.s, t.io, LOOP_DISK, replace, &t));
        sim_crash(t.s, 1, SIM_POWER);
        old += holds(&t, "/d/a", "old!");
        new += holds(&t, "/d/a", "two");
        CHECK(!t.n || !holds(&t, "/d/a", "old!"));
        sim_drop(t.s);
    }
    CHECK_EQ(old + new, 80);
    CHECK(old > 5 && new > 45);
}

static void create_unsynced(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;
    struct file *f;

    CHECK_OK(file_open(t->io, "/d/b", FILE_WRITE | FILE_NEW, &f));
    CHECK_OK(put(f, 0, "b"));
    CHECK_OK(file_sync(&f, 1));
    CHECK_EQ(file_open(t->io, "/d/b", FILE_WRITE | FILE_NEW, &f), E_EXISTS);
}

/* A name that no dir_sync() covered can be gone after a power crash, though its file was synced. */
TEST(sim, names_can_be_lost_before_dir_sync)
{
    int there = 0;

    for (uint64_t seed = 0; seed < 40; seed++) {
        struct disk_test t = begin(seed);
        CHECK(sim_call(t.s, t.io, LOOP_DISK, create_unsynced, &t));
        sim_crash(t.s, 1, SIM_POWER);
        there += sim_file_size(t.s, 1, "/d/b") >= 0;
        sim_drop(t.s);
    }
    CHECK(there > 3 && there < 37);
}

static void fill_disk(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;
    int64_t bytes_free, bytes;
    uint8_t v[4096] = {1};
    struct slice part = slice_of(v, sizeof(v));

    for (t->n = 0; t->n < 100; t->n++) {
        t->err = file_write(t->f, (int64_t)t->n * 4096, &part, 1);
        if (t->err)
            break;
    }
    CHECK_EQ(file_size(t->f), (int64_t)t->n * 4096);
    CHECK_OK(file_resize(t->f, 4096));
    CHECK_OK(path_space(t->io, "/d", &bytes_free, &bytes));
    CHECK_EQ(bytes_free, 9 * 4096);
    CHECK_OK(file_write(t->f, 4096, &part, 1));
}

/* A full disk says E_FULL, keeps what it has, and takes writes again when there is room. */
TEST(sim, full_disk_refuses_until_there_is_room)
{
    struct disk_test t = begin(1);

    sim_disk_limit(t.s, 1, 10 * 4096);
    CHECK(sim_call(t.s, t.io, LOOP_DISK, fill_disk, &t));
    CHECK_EQ(t.err, E_FULL);
    CHECK_EQ(t.n, 10);
    sim_drop(t.s);
}

static void sync_after_error(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;

    CHECK_OK(put(t->f, 0, "new!"));
    sim_fail_at(t->s, 1, 1, SIM_EIO);
    CHECK_EQ(file_sync(&t->f, 1), E_IO);
    CHECK_EQ(put(t->f, 0, "more"), E_IO);
    CHECK_EQ(file_sync(&t->f, 1), E_IO);
}

/* After a sync has failed, writing and syncing that file fail too. */
TEST(sim, failed_sync_sticks)
{
    struct disk_test t = begin(1);

    CHECK(sim_call(t.s, t.io, LOOP_DISK, sync_after_error, &t));
    sim_drop(t.s);
}

static void two_files(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;
    struct file *f;

    heap_alloc(io_heap(t->io), 100); /* lost with the node */
    CHECK_OK(put(t->f, 0, "new!"));
    CHECK_OK(file_sync(&t->f, 1));
    CHECK_OK(file_open(t->io, "/d/b", FILE_WRITE | FILE_CREATE, &f));
    CHECK_OK(put(f, 0, "b"));
    CHECK_OK(file_sync(&f, 1));
    CHECK_OK(dir_sync(t->io, "/d"));
    file_unref(f);
    t->n = 1;
}

/* A sweep crashes at each file call of an operation in turn: nothing after that call happens, and a restart works. */
TEST(sim, sweep_crashes_at_every_file_call)
{
    int crashes = 0;

    for (int how = SIM_CRASH_PROCESS; how <= SIM_CRASH_POWER; how++)
        for (int nth = 1;; nth++) {
            struct disk_test t = begin((uint64_t)nth);
            sim_fail_at(t.s, 1, nth, how);
            bool whole = sim_call(t.s, t.io, LOOP_DISK, two_files, &t);
            CHECK_EQ(whole, t.n);
            if (!whole) {
                crashes++;
                CHECK(!sim_up(t.s, 1));
                CHECK(nth > 2 ? holds(&t, "/d/a", "new!")
                              : holds(&t, "/d/a", "new!") || holds(&t, "/d/a", "old!") ||
                                    how == SIM_CRASH_PROCESS);
                t.io = sim_node(t.s, 1);
                t.n = 0;
                t.s = t.s;
            }
            sim_drop(t.s);
            if (whole)
                break;
        }
    CHECK_EQ(crashes, 12);
}

struct late_call {
    struct msg msg;
    struct io *io;
};

static void call_late(struct msg *msg)
{
    (void)dir_sync(container_of(msg, struct late_call, msg)->io, "/d");
}

/* A call that a stalled disk holds up crashes as it was told when it began: what is armed meanwhile is for a later one. */
TEST(sim, crash_is_of_the_kind_its_call_began_with)
{
    for (int power = 0; power < 2; power++) {
        struct disk_test t = begin(1);
        struct late_call c = {.msg.run = call_late};

        sim_crash(t.s, 1, power ? SIM_PROCESS : SIM_POWER);
        CHECK_EQ(sim_crashed(t.s, 1), power ? SIM_PROCESS : SIM_POWER);
        c.io = sim_node(t.s, 1);
        sim_disk_stall(t.s, 1, sim_now(t.s) + 500000000);
        sim_fail_at(t.s, 1, 1, power ? SIM_CRASH_POWER : SIM_CRASH_PROCESS);
        loop_post(loop_start(c.io, LOOP_DISK, "disk"), &c.msg);
        (void)sim_run(t.s, NULL, NULL, 100000000);
        CHECK(sim_up(t.s, 1));
        sim_fail_at(t.s, 1, 1, power ? SIM_CRASH_PROCESS : SIM_CRASH_POWER);
        (void)sim_run(t.s, NULL, NULL, 500000000);
        CHECK(!sim_up(t.s, 1));
        CHECK_EQ(sim_crashed(t.s, 1), power ? SIM_POWER : SIM_PROCESS);
        sim_drop(t.s);
    }
}

/* A call that a stalled disk holds up takes its time when the disk is well again, and it is known how much. */
TEST(sim, a_call_under_way_stays_delayed)
{
    struct disk_test t = begin(1);
    struct late_call c = {.msg.run = call_late, .io = t.io};
    int64_t stalled = sim_now(t.s) + 500000000, until;

    CHECK_EQ(sim_delayed_until(t.s), sim_now(t.s));
    sim_disk_stall(t.s, 1, stalled);
    loop_post(loop_start(c.io, LOOP_DISK, "disk"), &c.msg);
    (void)sim_run(t.s, NULL, NULL, 100000000);
    sim_disk_stall(t.s, 1, 0);
    until = sim_delayed_until(t.s);
    CHECK(until > stalled && until < stalled + 1000000);
    (void)sim_run(t.s, NULL, NULL, until - sim_now(t.s));
    CHECK_EQ(sim_delayed_until(t.s), sim_now(t.s));
    sim_drop(t.s);
}

static void peek(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;
    size_t got;

    t->err = file_peek(t->f, 0, t->text, 4, &got);
}

static void open_again(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;

    CHECK_OK(file_open(t->io, "/d/a", 0, &t->f));
}

static void warm(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;

    CHECK_OK(file_warm(t->f, 0, 4));
}

/* The page cache outlives a process and not the power; what is cold is warm after file_warm(). */
TEST(sim, page_cache_outlives_processes)
{
    struct disk_test t = begin(3);
    uint8_t id[3][16];

    io_boot_id(t.io, id[0]);
    sim_crash(t.s, 1, SIM_PROCESS);
    t.io = sim_node(t.s, 1);
    io_boot_id(t.io, id[1]);
    CHECK(sim_call(t.s, t.io, LOOP_DISK, open_again, &t));
    CHECK(sim_call(t.s, t.io, LOOP_NET, peek, &t));
    CHECK_OK(t.err);
    CHECK(memcmp(t.text, "old!", 4) == 0);
    sim_crash(t.s, 1, SIM_POWER);
    t.io = sim_node(t.s, 1);
    io_boot_id(t.io, id[2]);
    CHECK(sim_call(t.s, t.io, LOOP_DISK, open_again, &t));
    CHECK(sim_call(t.s, t.io, LOOP_NET, peek, &t));
    CHECK_EQ(t.err, E_COLD);
    CHECK(sim_call(t.s, t.io, LOOP_DISK, warm, &t));
    CHECK(sim_call(t.s, t.io, LOOP_NET, peek, &t));
    CHECK_OK(t.err);
    CHECK(memcmp(id[0], id[1], 16) == 0 && memcmp(id[1], id[2], 16) != 0);
    sim_drop(t.s);
}

static void list_name(void *arg, const char *name, bool is_dir)
{
    struct disk_test *t = arg;

    strcat(t->text, name);
    strcat(t->text, is_dir ? "/" : " ");
}

static void tree(struct loop *loop, void *arg)
{
    struct disk_test *t = arg;
    struct file *lock, *f;

    CHECK_EQ(dir_make(t->io, "/x/y"), E_NOENT);
    CHECK_OK(dir_make(t->io, "/d/z"));
    CHECK_OK(dir_make(t->io, "d/c"));
    CHECK_EQ(dir_make(t->io, "/d/c"), E_EXISTS);
    CHECK_OK(path_lock(t->io, "/d/b", &lock));
    CHECK_EQ(path_lock(t->io, "/d/b", &f), E_BUSY);
    file_unref(lock);
    CHECK_OK(path_lock(t->io, "/d/b", &lock));
    file_unref(lock);
    CHECK_OK(dir_list(t->io, "/d", list_name, t));
    CHECK_EQ(path_move(t->io, "/d/none", "/d/q"), E_NOENT);
    CHECK_OK(path_remove(t->io, "/d"));
    CHECK_EQ(file_open(t->io, "/d/a", 0, &f), E_NOENT);
    CHECK_EQ(file_size(t->f), 4); /* an open file outlives its name */
}

/* Directories list in name order, paths need no leading slash, locks end with their handle, trees vanish whole. */
TEST(sim, names_behave)
{
    struct disk_test t = begin(1);

    CHECK(sim_call(t.s, t.io, LOOP_DISK, tree, &t));
    CHECK_STR(t.text, "a b c/z/");
    sim_drop(t.s);
}
