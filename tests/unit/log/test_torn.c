/* What a crash tears and what rots are told apart, at every place of a batch. */
#include "log/torn.h"
#include "metadata/batches.h"
#include "tests/check.h"
#include "tests/sim/sim.h"
#include <stdlib.h>

enum { BATCHES = 6, SECTOR = 512 };

struct torn_world {
    struct sim *sim;
    struct io *io;
    struct bytes log;
    size_t at[BATCHES + 1]; /* where each begins */
    size_t from;            /* looks from that batch on */
    bool torn;
};

static void look_run(struct loop *loop, void *arg)
{
    struct torn_world *w = arg;
    struct file *f;

    CHECK_OK(file_open(w->io, "log", 0, &f));
    CHECK_OK(tail_torn(io_heap(w->io), f, (int64_t)w->at[w->from], file_size(f), (int64_t)w->from, &w->torn));
    file_unref(f);
}

/* As the file would be found if it had these bytes. */
static bool torn(struct torn_world *w, const uint8_t *p, size_t len)
{
    CHECK_OK(sim_file_put(w->sim, 1, "log", p, len));
    CHECK(sim_call(w->sim, w->io, LOOP_DISK, look_run, w));
    return w->torn;
}

static void world_init(struct torn_world *w)
{
    uint8_t value[700];
    struct arena a;

    *w = (struct torn_world){.sim = sim_new(1), .from = 2};
    w->io = sim_node(w->sim, 1);
    bytes_init(&w->log, io_heap(w->io));
    arena_init(&a, io_heap(w->io), SIZE_MAX);
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (uint8_t)(i % 250 + 1);
    for (int i = 0; i < BATCHES; i++) {
        struct batch_place at = {.base_offset = i, .epoch = 3, .now_ms = 1700000000000};
        size_t end = 300 + 60 * (size_t)i;

        w->at[i] = w->log.len;
        batches_data(&at, slice_of(value, end), &end, 1, &a, &w->log);
    }
    w->at[BATCHES] = w->log.len;
    arena_drop(&a);
}

static void world_drop(struct torn_world *w)
{
    bytes_drop(&w->log);
    sim_drop(w->sim);
}

/* A file that ends inside a batch was torn. */
TEST(torn, a_file_that_ends_too_early)
{
    struct torn_world w;

    world_init(&w);
    for (size_t len = w.at[w.from] + 1; len < w.at[w.from + 1]; len++)
        CHECK(torn(&w, w.log.p, len));
    world_drop(&w);
}

/* A batch of which a sector was lost was torn, whatever is behind it. */
TEST(torn, a_sector_that_was_lost)
{
    struct torn_world w;
    int lost = 0;

    world_init(&w);
    for (size_t from = w.at[w.from] / SECTOR * SECTOR; from < w.at[w.from + 1]; from += SECTOR) {
        uint8_t *p = malloc(w.log.len);
        size_t begin = from < w.at[w.from] ? w.at[w.from] : from;
        size_t end = from + SECTOR < w.log.len ? from + SECTOR : w.log.len;

        memcpy(p, w.log.p, w.log.len);
        memset(p + begin, 0, end - begin);
        CHECK(torn(&w, p, w.log.len));
        free(p);
        lost++;
    }
    CHECK(lost >= 1);
    world_drop(&w);
}

/* One wrong byte, wherever it is but in the fields that no checksum covers, is rot: in the length too, if batches follow. */
TEST(torn, a_byte_that_rotted)
{
    struct torn_world w;

    world_init(&w);
    for (size_t i = w.at[w.from] + 8; i < w.at[w.from + 1]; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            w.log.p[i] ^= (uint8_t)(1 << bit);
            CHECK(!torn(&w, w.log.p, w.log.len));
            w.log.p[i] ^= (uint8_t)(1 << bit);
        }
    world_drop(&w);
}

/* So is a wrong byte of the very last batch, if its length is right. */
TEST(torn, a_byte_of_the_last_batch)
{
    struct torn_world w;

    world_init(&w);
    w.from = BATCHES - 1;
    for (size_t i = w.at[w.from] + 12; i < w.log.len; i++) {
        w.log.p[i] ^= 2;
        CHECK(!torn(&w, w.log.p, w.log.len));
        w.log.p[i] ^= 2;
    }
    world_drop(&w);
}
