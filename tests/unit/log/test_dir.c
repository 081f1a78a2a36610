/* Checkpoints and the small files at the top of a log directory. */
#include "log/checkpoint.h"
#include "log/dir.h"
#include "tests/check.h"
#include "tests/sim/sim.h"
#include "tests/unit/log/log_world.h"

static void on_disk_loop(void (*fn)(struct loop *loop, void *arg))
{
    struct sim *sim = sim_new(3);
    struct io *io = sim_node(sim, 1);

    CHECK(sim_call(sim, io, LOOP_DISK, fn, io));
    sim_drop(sim);
}

static void checkpoints(struct loop *loop, void *arg)
{
    struct io *io = arg;
    struct checkpoint c, d;
    char text[64];
    size_t got;

    (void)loop;
    CHECK_OK(dir_make(io, "d"));
    checkpoint_init(&c, io_heap(io), 1);
    checkpoint_init(&d, io_heap(io), 2);
    CHECK_OK(checkpoint_load(&c, io, "d", CHECKPOINT_HW)); /* there is none: empty */
    checkpoint_set(&c, SLICE("a-b"), 3, 1200);
    checkpoint_set(&c, SLICE("x"), 0, 5);
    checkpoint_set(&c, SLICE("x"), 0, 7);
    checkpoint_set(&c, SLICE("gone"), 1, 7);
    checkpoint_remove(&c, SLICE("gone"), 1);
    CHECK_OK(checkpoint_save(&c, io, "d", CHECKPOINT_HW));
    CHECK_OK(sim_file_read(sim_of(io), 1, "d/replication-offset-checkpoint", 0, text, sizeof text, &got));
    text[got] = 0;
    CHECK_STR(text, "0\n2\na-b 3 1200\nx 0 7\n");
    CHECK_OK(checkpoint_load(&d, io, "d", CHECKPOINT_HW));
    CHECK_EQ(checkpoint_get(&d, SLICE("a-b"), 3), 1200);
    CHECK_EQ(checkpoint_get(&d, SLICE("x"), 0), 7);
    CHECK_EQ(checkpoint_get(&d, SLICE("gone"), 1), -1);
    CHECK_OK(sim_file_put(sim_of(io), 1, "d/bad", "0\n2\nx 0 7\n", 10));
    CHECK_EQ(checkpoint_load(&d, io, "d", "bad"), E_MALFORMED);
    checkpoint_drop(&c);
    checkpoint_drop(&d);
}

/* A checkpoint is Kafka's text, and comes back as it was; one that counts wrong is refused. */
TEST(log_dir, checkpoints_round_trip)
{
    on_disk_loop(checkpoints);
}

static void small_files(struct loop *loop, void *arg)
{
    struct io *io = arg;
    struct log_meta meta = {.cluster_id = "MkU3OEVBNTcwNTJENDM2Qk", .node_id = 4, .directory_id = {{1, 2}}},
                    back;
    struct log_dir_past past;
    struct file *lock;

    (void)loop;
    CHECK_OK(dir_make(io, "d"));
    CHECK_EQ(log_meta_read(io, "d", &back), E_NOENT);
    CHECK_OK(log_meta_write(io, "d", &meta));
    CHECK_OK(log_meta_read(io, "d", &back));
    CHECK_STR(back.cluster_id, meta.cluster_id);
    CHECK(back.node_id == 4 && uuid_eq(back.directory_id, meta.directory_id));
    CHECK_OK(sim_file_put(sim_of(io), 1, "d/meta.properties", "version=1\nnode.id=x\n", 20));
    CHECK_EQ(log_meta_read(io, "d", &back), E_MALFORMED);
    CHECK_OK(log_dir_past_read(io, "d", &past));
    CHECK(!past.clean && !past.same_boot && past.broker_epoch == -1);
    CHECK_OK(log_dir_running(io, "d", &past));
    CHECK_OK(log_dir_past_read(io, "d", &past));
    CHECK(!past.clean && past.same_boot);
    CHECK_OK(log_dir_clean(io, "d", 99));
    CHECK_OK(log_dir_past_read(io, "d", &past));
    CHECK(past.clean && past.broker_epoch == 99);
    CHECK_OK(log_dir_running(io, "d", &past));
    CHECK_OK(log_dir_past_read(io, "d", &past));
    CHECK(!past.clean && past.same_boot);
    CHECK_OK(log_dir_lock(io, "d", &lock));
    file_unref(lock);
}

/* meta.properties, the clean marker and the boot id say what was written, or that they are wrong. */
TEST(log_dir, small_files_round_trip)
{
    on_disk_loop(small_files);
}

struct name_row {
    const char *name;
    bool ok;
    enum log_dir_kind kind;
    const char *topic;
    int32_t partition;
};

static const struct name_row names[] = {
    {"a-b-12", true, LOG_DIR_LIVE, "a-b", 12},
    {"x-0.0123456789abcdef0123456789abcdef-delete", true, LOG_DIR_DELETE, "x", 0},
    {"x.y-7.0123456789abcdef0123456789abcdef-stray", true, LOG_DIR_STRAY, "x.y", 7},
    {"x-1.0123456789abcdef0123456789abcdef-future", true, LOG_DIR_FUTURE, "x", 1},
    {"x", false, LOG_DIR_LIVE, NULL, 0},
    {"-3", false, LOG_DIR_LIVE, NULL, 0},
    {"x-", false, LOG_DIR_LIVE, NULL, 0},
    {"x-99999999999", false, LOG_DIR_LIVE, NULL, 0},
    {"x-1a", false, LOG_DIR_LIVE, NULL, 0},
};

/* A directory's name says which partition it is and in which state, or nothing. */
TEST_EACH(log_dir, names_are_told_apart, names)
{
    enum log_dir_kind kind;
    struct slice topic;
    int32_t partition;

    CHECK_EQ(log_dir_parse(row->name, &kind, &topic, &partition), row->ok);
    if (row->ok)
        CHECK(kind == row->kind && partition == row->partition && slice_eq(topic, SLICE(row->topic)));
}

struct retry {
    struct log_world w;
    struct sim *sim;
    struct io *io;
};

static void fills_up(struct loop *loop, void *arg)
{
    struct retry *r = arg;
    enum err err = E_OK;

    (void)loop;
    CHECK_OK(world_start(&r->w, r->io));
    CHECK_OK(world_append(&r->w));
    sim_disk_limit(r->sim, 1, 40 * 4096);
    while (!err && r->w.n < WORLD_BATCHES_MAX - 10)
        err = world_append(&r->w);
    CHECK_EQ(err, E_FULL);
    CHECK(r->w.dir->full && !r->w.dir->offline);
    world_verify(&r->w);
    CHECK_EQ(world_append(&r->w), E_FULL);
    sim_disk_limit(r->sim, 1, -1);
}

static void goes_on(struct loop *loop, void *arg)
{
    struct retry *r = arg;

    (void)loop;
    CHECK_OK(world_append(&r->w));
    CHECK(!r->w.dir->full);
    world_verify(&r->w);
    CHECK_OK(world_stop(&r->w));
}

/* A full disk refuses appends by name, reads go on, and appends too once there is space. */
TEST(log_dir, a_full_disk_ends_by_itself)
{
    static struct retry r;

    r.sim = sim_new(5);
    r.io = sim_node(r.sim, 1);
    world_config(&r.w);
    CHECK(sim_call(r.sim, r.io, LOOP_DISK, fills_up, &r));
    (void)sim_run(r.sim, NULL, NULL, 2000000000);
    CHECK(sim_call(r.sim, r.io, LOOP_DISK, goes_on, &r));
    sim_drop(r.sim);
}

/* … also when the wall clock was set back meanwhile. */
TEST(log_dir, a_full_disk_ends_whatever_the_clock_says)
{
    static struct retry r;

    r.sim = sim_new(5);
    r.io = sim_node(r.sim, 1);
    world_config(&r.w);
    CHECK(sim_call(r.sim, r.io, LOOP_DISK, fills_up, &r));
    sim_wall_jump(r.sim, 1, -3600000);
    (void)sim_run(r.sim, NULL, NULL, 2000000000);
    CHECK(sim_call(r.sim, r.io, LOOP_DISK, goes_on, &r));
    sim_drop(r.sim);
}
