#include "log/whole_file.h"
#include "quorum/ckpt.h"
#include "quorum/formatted.h"
#include "tests/check.h"
#include "tests/sim/sim.h"
#include <stdio.h>

#define DIR       "data"
#define LOG       DIR "/__cluster_metadata-0"
#define FILE_NAME LOG "/00000000000000000000-0000000000.checkpoint"

struct kept {
    struct io *io;
    struct formatted f;
    enum err err;
};

static struct formatted two(void)
{
    struct formatted f = {.n = 2};

    for (int i = 0; i < 2; i++) {
        f.v[i] = (struct formatted_voter){.node = 4 + i, .port = (uint16_t)(9093 + i)};
        memset(f.v[i].directory_id.b, 7 + i, 16);
        snprintf(f.v[i].host, sizeof(f.v[i].host), "host-%d", i);
    }
    return f;
}

static void write_it(struct loop *loop, void *arg)
{
    struct kept *k = arg;
    const struct formatted f = two();
    struct ckpt_list list;
    int64_t oldest;

    (void)loop;
    CHECK_OK(dir_make(k->io, DIR));
    CHECK_OK(formatted_read(k->io, DIR, &k->f));
    CHECK_EQ(k->f.n, 0);
    CHECK_OK(formatted_write(k->io, DIR, "CONTROLLER", &f));
    CHECK_OK(ckpt_list_read(k->io, LOG, &list));
    CHECK_EQ(list.n, 0);
    CHECK_OK(ckpt_keep(k->io, LOG, 1, &oldest));
}

static void read_it(struct loop *loop, void *arg)
{
    struct kept *k = arg;

    (void)loop;
    k->err = formatted_read(k->io, DIR, &k->f);
}

/* Who begins the quorum is read as it was written, and the file is taken for no snapshot and never removed as one; damaged in
 * any byte that a checksum covers, it is refused. */
TEST(formatted, says_who_begins)
{
    struct sim_options o = sim_plain(1);
    struct sim *sim = sim_new_with(&o);
    struct kept k = {.io = sim_node(sim, 1)};
    const struct formatted f = two();
    uint8_t bytes[1024];
    size_t got;
    int64_t size;

    CHECK(sim_call(sim, k.io, LOOP_DISK, write_it, &k));
    CHECK(sim_call(sim, k.io, LOOP_DISK, read_it, &k));
    CHECK(!k.err && k.f.n == 2);
    for (int i = 0; i < 2; i++) {
        CHECK(k.f.v[i].node == f.v[i].node && k.f.v[i].port == f.v[i].port);
        CHECK(uuid_eq(k.f.v[i].directory_id, f.v[i].directory_id));
        CHECK_STR(k.f.v[i].host, f.v[i].host);
    }
    size = sim_file_size(sim, 1, FILE_NAME);
    CHECK(size > 100);
    for (int64_t at = 17; at < size; at++) {
        CHECK_OK(sim_file_flip(sim, 1, FILE_NAME, at, 1));
        CHECK(sim_call(sim, k.io, LOOP_DISK, read_it, &k));
        CHECK(k.err ? k.f.n == 0 : k.f.n == 2);
        CHECK(k.err || at >= 83); /* the places and epochs of later batches */
        CHECK_OK(sim_file_flip(sim, 1, FILE_NAME, at, 1));
    }
    CHECK(size <= (int64_t)sizeof(bytes));
    CHECK_OK(sim_file_read(sim, 1, FILE_NAME, 0, bytes, (size_t)size, &got));
    CHECK_OK(sim_file_put(sim, 1, FILE_NAME, bytes, (size_t)size - 75)); /* the footer */
    CHECK(sim_call(sim, k.io, LOOP_DISK, read_it, &k));
    CHECK_EQ(k.err, E_TRUNCATED);
    sim_drop(sim);
}
