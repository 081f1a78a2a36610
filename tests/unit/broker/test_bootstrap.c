#include "broker/bootstrap.h"
#include "metadata/features.h"
#include "tests/check.h"
#include "tests/sim/sim.h"

#define DIR "data"

struct kept {
    struct io *io;
    int16_t level;
    enum err err;
};

static void write_and_read(struct loop *loop, void *arg)
{
    struct kept *k = arg;

    (void)loop;
    CHECK_OK(dir_make(k->io, DIR));
    CHECK_OK(bootstrap_read(k->io, DIR, &k->level));
    CHECK_EQ(k->level, METADATA_VERSION);
    CHECK_OK(bootstrap_write(k->io, DIR, METADATA_VERSION_MIN));
    CHECK_OK(bootstrap_read(k->io, DIR, &k->level));
    CHECK_EQ(k->level, METADATA_VERSION_MIN);
    CHECK_OK(bootstrap_write(k->io, DIR, METADATA_VERSION + 1));
    CHECK_EQ(bootstrap_read(k->io, DIR, &k->level), E_MALFORMED);
    CHECK_OK(bootstrap_write(k->io, DIR, METADATA_VERSION - 1));
}

static void read_again(struct loop *loop, void *arg)
{
    struct kept *k = arg;

    (void)loop;
    k->err = bootstrap_read(k->io, DIR, &k->level);
}

/* A directory says with which metadata.version a new cluster begins, the newest if it says nothing; a file that is damaged in
 * any of its bytes, or asks for a version that there isn't, is refused. */
TEST(bootstrap, says_where_a_cluster_begins)
{
    struct sim_options o = sim_plain(1);
    struct sim *sim = sim_new_with(&o);
    struct kept k = {.io = sim_node(sim, 1)};
    int64_t size;

    CHECK(sim_call(sim, k.io, LOOP_DISK, write_and_read, &k));
    CHECK(sim_call(sim, k.io, LOOP_DISK, read_again, &k));
    CHECK(!k.err && k.level == METADATA_VERSION - 1);
    size = sim_file_size(sim, 1, DIR "/bootstrap.checkpoint");
    CHECK(size > 0);
    for (int64_t at = 17; at < size; at++) { /* behind what no checksum of the first batch covers */
        CHECK_OK(sim_file_flip(sim, 1, DIR "/bootstrap.checkpoint", at, 1));
        CHECK(sim_call(sim, k.io, LOOP_DISK, read_again, &k));
        CHECK(k.err == E_MALFORMED || k.level == METADATA_VERSION - 1);
        CHECK_OK(sim_file_flip(sim, 1, DIR "/bootstrap.checkpoint", at, 1));
    }
    sim_drop(sim);
}
