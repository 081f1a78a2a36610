/* The files of a node that was founded today: tests/wire/quorum_fresh.def keeps them, byte for byte, for
 * whatever reads them later, raft above all. */
#include "proto/batch.h"
#include "quorum/quorum_state.h"
#include "quorum/voters.h"
#include "tests/unit/quorum/quorum_world.h"
#include <stdlib.h>

struct fresh_file {
    const char *name;
    const char *hex;
};

static const struct fresh_file fresh[] = {
#define FRESH(name, hex) {name, hex},
#include "tests/wire/quorum_fresh.def"
#undef FRESH
};
enum { FRESH_N = sizeof(fresh) / sizeof(fresh[0]) };

static size_t unhex(const char *hex, uint8_t *out, size_t room)
{
    size_t n = 0;

    for (; *hex; hex += *hex == ' ' ? 1 : 2) {
        char pair[3] = {hex[0], hex[1]};

        if (*hex == ' ')
            continue;
        CHECK(n < room);
        out[n++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return n;
}

/* Time isn't part of the format: it is 0 here, and so is the CRC over it, and which of the batches was the latest one. */
static void without_time(const char *name, uint8_t *p, size_t len)
{
    struct slice rest = slice_of(p, len);
    struct batch_view v;

    if (strstr(name, ".timeindex"))
        memset(p, 0, len);
    if (!strstr(name, ".log"))
        return;
    while (!batch_next(&rest, &v)) {
        CHECK(batch_crc_ok(&v));
        memset(v.p + 17, 0, 4);
        memset(v.p + 27, 0, 16);
    }
    CHECK_EQ(rest.len, 0);
}

struct comparison {
    struct quorum_world *w;
    int n;
};

static void compare_file(void *arg, const char *path, bool is_dir, int64_t size)
{
    struct comparison *c = arg;
    const char *name = strrchr(path, '/') + 1;
    uint8_t got[4096], want[4096];
    size_t len = 0, n = 0;

    CHECK(!is_dir && size <= (int64_t)sizeof(got));
    CHECK_OK(sim_file_read(c->w->sim, WORLD_NODE, path, 0, got, (size_t)size, &len));
    for (int i = 0; i < FRESH_N; i++)
        if (strcmp(fresh[i].name, name) == 0)
            n = unhex(fresh[i].hex, want, sizeof(want));
    without_time(name, got, len);
    without_time(name, want, n);
    CHECK(slice_eq(slice_of(got, len), slice_of(want, n)));
    c->n++;
}

/* A directory founded now has the files and the bytes of the one that is kept. */
TEST_EACH(fresh, a_new_directory_is_the_kept_one, qdoors)
{
    struct comparison c = {0};
    struct quorum_world w;

    c.w = &w;
    qworld_init(&w, row, 1);
    CHECK(qworld_start(&w) && qworld_up(&w) && qworld_stop(&w));
    sim_files(w.sim, WORLD_NODE, WORLD_LOG, compare_file, &c);
    CHECK_EQ(c.n, FRESH_N);
    qworld_drop(&w);
}

/* The kept directory starts, in the epoch after its own, behind its three records. */
TEST_EACH(fresh, the_kept_directory_starts, qdoors)
{
    struct quorum_world w;

    qworld_init(&w, row, 2);
    for (int i = 0; i < FRESH_N; i++) {
        uint8_t bytes[4096];
        char path[256];
        size_t n = unhex(fresh[i].hex, bytes, sizeof(bytes));

        (void)snprintf(path, sizeof(path), "%s/%s", WORLD_LOG, fresh[i].name);
        CHECK_OK(sim_file_put(w.sim, WORLD_NODE, path, bytes, n));
    }
    CHECK(qworld_start(&w) && qworld_up(&w));
    CHECK_EQ(w.epoch, 3);
    CHECK_EQ(w.next, 4);
    CHECK(w.committed->offset >= 2); /* raft tells with the first state that its barrier, 3, has committed */
    CHECK(qworld_stop(&w));
    qworld_drop(&w);
}

/* Its first batch is the configuration at epoch 1: one voter, server node.id + 1, in this directory. */
TEST_EACH(fresh, the_first_batch_is_the_configuration, qdoors)
{
    struct heap *h = heap_new(false);
    struct batch_content c;
    struct voters voters;
    uint8_t bytes[4096];
    struct arena a;
    size_t n = 0, used;

    arena_init(&a, h, SIZE_MAX);
    for (int i = 0; i < FRESH_N; i++)
        if (strstr(fresh[i].name, ".log"))
            n = unhex(fresh[i].hex, bytes, sizeof(bytes));
    CHECK_OK(batches_read(slice_of(bytes, n), &a, &c, &used));
    CHECK(c.base_offset == 0 && c.last_offset == 1 && c.epoch == 1 && voters_in(&c));
    CHECK_OK(voters_read(&c, &a, &voters));
    CHECK_EQ(voters.n, 1);
    CHECK_EQ(voters.v[0].server_id, WORLD_NODE_ID + 1);
    CHECK(voters.v[0].directory_id.b[0] == 1 && voters.v[0].directory_id.b[15] == 16);
    CHECK_OK(batches_read(slice_of(bytes + used, n - used), &a, &c, &used));
    CHECK(c.base_offset == 2 && c.epoch == 2 && c.is_control && c.control[0].type == CONTROL_LEADER_CHANGE);
    arena_drop(&a);
    heap_drop(h);
}

/* No bit of quorum-state can turn unseen. */
TEST(quorum_state, every_flipped_bit_is_seen)
{
    const struct quorum_state s = {.leader_id = 5, .leader_epoch = 2147483647, .voted_id = -1};
    struct heap *h = heap_new(false);
    struct quorum_state back;
    struct bytes b;

    bytes_init(&b, h);
    quorum_state_encode(&s, &b);
    CHECK_OK(quorum_state_decode(bytes_slice(&b), &back));
    CHECK(back.leader_id == 5 && back.leader_epoch == 2147483647 && back.voted_id == -1);
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_EQ(quorum_state_decode(bytes_slice(&b), &back), E_CORRUPT_MESSAGE);
        b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < b.len; len++)
        CHECK_EQ(quorum_state_decode(slice_of(b.p, len), &back), E_CORRUPT_MESSAGE);
    bytes_drop(&b);
    heap_drop(h);
}
