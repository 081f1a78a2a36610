/* Random histories: appends, syncs, checkpoints, cuts, rests, clean stops and both crashes, against the
 * model; and the files themselves, byte for byte. */
#include "tests/unit/log/log_world.h"
#include <stdlib.h>

struct history {
    struct log_world w;
    struct sim *sim;
    struct io *io;
    struct test_random rnd;
};

static void do_cut(struct log_world *w, struct test_random *rnd)
{
    int first = 0, i;

    while (first < w->n && w->base[first] < log_start(w->log))
        first++;
    if (first >= w->n)
        return;
    i = first + (int)test_random_below(rnd, (uint64_t)(w->n - first));
    if (w->base[i] < log_start(w->log))
        return;
    CHECK_OK(log_truncate(w->log, w->base[i]));
    CHECK_EQ(log_end(w->log), w->base[i]);
    if (log_checkpoint_first(w->log))
        CHECK_OK(world_checkpoint(w));
    w->n = i;
    w->written = w->attempted = w->base[i];
    if (w->promised > w->base[i])
        w->promised = w->base[i];
}

static void do_step(struct history *h)
{
    struct log_world *w = &h->w;
    int removed;

    switch (test_random_below(&h->rnd, 12)) {
    default:
        for (uint64_t n = test_random_below(&h->rnd, 20); n > 0 && w->n < WORLD_BATCHES_MAX - 1; n--)
            CHECK_OK(world_append(w));
        break;
    case 0:
        CHECK_OK(world_sync(w, LOG_SYNC_DATA));
        break;
    case 1:
        CHECK_OK(world_sync(w, LOG_SYNC_ALL));
        CHECK_OK(world_checkpoint(w));
        break;
    case 2:
        do_cut(w, &h->rnd);
        break;
    case 3:
        CHECK_OK(log_rest(w->log));
        break;
    case 4:
        w->config.retention_bytes = 8000;
        CHECK_OK(log_retain(w->log, 5000, log_end(w->log), &removed));
        break;
    case 5:
        (void)log_env_due(w->env, io_wall_ms(h->io) + (int64_t)test_random_below(&h->rnd, 200000));
        break;
    }
}

static void one_life(struct loop *loop, void *arg)
{
    struct history *h = arg;

    (void)loop;
    CHECK_OK(world_start(&h->w, h->io));
    CHECK(log_end(h->w.log) >= h->w.promised && log_end(h->w.log) <= h->w.attempted);
    world_adopt_end(&h->w);
    world_verify(&h->w);
    for (uint64_t n = 5 + test_random_below(&h->rnd, 25); n > 0; n--)
        do_step(h);
    if (test_random_below(&h->rnd, 3) == 0)
        CHECK_OK(world_stop(&h->w));
}

static const uint64_t seeds[] = {1, 2, 3, 4, 5, 6, 7, 8};

/* Through twenty lives with crashes of the process and of the power the log holds what the model says. */
TEST_EACH(log_model, histories, seeds)
{
    struct history *h = calloc(1, sizeof *h);

    test_random_init(&h->rnd, *row);
    h->sim = sim_new(*row);
    world_config(&h->w);
    for (int life = 0; life < 20; life++) {
        bool power = test_random_below(&h->rnd, 2);

        h->io = sim_node(h->sim, 1);
        CHECK(sim_call(h->sim, h->io, LOOP_DISK, one_life, h));
        if (!power)
            h->w.promised = h->w.written;
        sim_crash(h->sim, 1, power ? SIM_POWER : SIM_PROCESS);
    }
    sim_drop(h->sim);
    free(h);
}

/*  .log: two batches of one record, offsets 0 and 1, epoch 3, producer none, timestamps 1000 and 2000
 *        (log/segment.h and proto/batch.h have the fields); index.interval.bytes is 0, so that each batch
 * behind the first has a row .index: offset 1 at position 70 .timeindex: timestamp 2000 at offset 1 */
static const char golden_log[] =
    "00000000000000000000003a0000000302716a618900000000000000000000000003e800000000000003e8ffffffffffffff"
    "ffffffffffffff0000000110000000026b0276000000000000000001"
    "0000003a000000030293cd8e1a00000000000000000000000007d000000000000007d0ffffffffffffffffffffffffffff00"
    "00000110000000026b027600";

static void hex_of(struct log_world *w, struct sim *sim, const char *path, char *out)
{
    uint8_t b[512];
    size_t n = 0;

    (void)w;
    CHECK_OK(sim_file_read(sim, 1, path, 0, b, sizeof b, &n));
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", b[i]);
    out[2 * n] = 0;
}

static void golden_append(struct history *h, int64_t timestamp)
{
    struct batch_record r = {.timestamp = timestamp, .key = SLICE("k"), .value = SLICE("v")};
    struct log_append a = {.leader_epoch = 3, .now_ms = 1};
    struct batch_spec s;
    struct bytes b;

    batch_spec_init(&s);
    s.v = &r;
    s.n = 1;
    bytes_init(&b, io_heap(h->io));
    batch_build(NULL, &s, &b);
    a.bytes = bytes_slice(&b);
    CHECK_OK(log_append(h->w.log, &a));
    bytes_drop(&b);
}

static void golden_write(struct loop *loop, void *arg)
{
    struct history *h = arg;

    (void)loop;
    CHECK_OK(world_start(&h->w, h->io));
    golden_append(h, 1000);
    golden_append(h, 2000);
    CHECK_OK(world_stop(&h->w));
}

/* A segment made of fixed records is these bytes. */
TEST(log_model, golden_files)
{
    struct history *h = calloc(1, sizeof *h);
    char hex[1100];

    h->sim = sim_new(1);
    h->io = sim_node(h->sim, 1);
    world_config(&h->w);
    h->w.config.index_interval_bytes = 0;
    CHECK(sim_call(h->sim, h->io, LOOP_DISK, golden_write, h));
    hex_of(&h->w, h->sim, WORLD_DIR "/" WORLD_LOG "/00000000000000000000.log", hex);
    CHECK_STR(hex, golden_log);
    hex_of(&h->w, h->sim, WORLD_DIR "/" WORLD_LOG "/00000000000000000000.index", hex);
    CHECK_STR(hex, "0000000100000046");
    hex_of(&h->w, h->sim, WORLD_DIR "/" WORLD_LOG "/00000000000000000000.timeindex", hex);
    CHECK_STR(hex, "00000000000007d000000001");
    hex_of(&h->w, h->sim, WORLD_DIR "/" WORLD_LOG "/leader-epoch-checkpoint", hex);
    CHECK_STR(hex, "300a310a3320300a");
    sim_drop(h->sim);
    free(h);
}
