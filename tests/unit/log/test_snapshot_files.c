#include "log/snapshot_files.h"
#include "tests/unit/log/fault_sweep.h"

static struct producer_batch batch_at(int64_t id, int64_t base, int32_t sequence, int32_t n)
{
    return (struct producer_batch){.producer_id = id,
                                   .epoch = 3,
                                   .base_sequence = sequence,
                                   .base_offset = base,
                                   .last_offset = base + n - 1,
                                   .max_timestamp = 0x0102030405,
                                   .coordinator_epoch = -1};
}

/* Producers 0 … n-1, one batch of ten each. */
static struct producers made(struct io *io, int n)
{
    struct producers p;

    producers_init(&p, io_heap(io), 1);
    for (int i = 0; i < n; i++) {
        struct producer_batch b = batch_at(i, i * 10, 5, 10);
        producers_apply(&p, &b);
    }
    return p;
}

static bool holds(const struct producers *p, int n)
{
    bool ok = p->n == (uint32_t)n;

    for (int i = 0; i < n && ok; i++) {
        const struct producer *r = producers_get(p, i);
        ok = r && r->n == 1 && r->epoch == 3 && r->txn_first == -1 && producer_last_sequence(r) == 14 &&
             producer_last_offset(r) == i * 10 + 9 && r->past[0].offset_delta == 9;
    }
    return ok;
}

/* The bytes are Kafka's, field for field, and reading them back gives the same producers. */
TEST(snapshot_files, golden_bytes)
{
    static const uint8_t golden[] = {
        0,    1,    0xd4, 0x33, 0xcf, 0x87, 0,    0,    0,    1, /* version, CRC, count */
        0,    0,    0,    0,    0,    0,    0,    77,   0,    3,    0,    0,    0,
        14,                                                                     /* id, epoch, last sequence */
        0,    0,    0,    0,    0,    0,    1,    9,    0,    0,    0,    9,    /* last offset, its delta */
        0,    0,    0,    1,    2,    3,    4,    5,    0xff, 0xff, 0xff, 0xff, /* timestamp, coordinator
                                                                                   epoch */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,                         /* open transaction */
    };
    struct heap *h = heap_new(true);
    struct producers p, q;
    struct bytes out;
    struct producer_batch b = batch_at(77, 256, 5, 10);

    producers_init(&p, h, 1);
    producers_init(&q, h, 1);
    bytes_init(&out, h);
    producers_apply(&p, &b);
    snapshot_encode(&p, &out);
    CHECK_EQ(out.len, sizeof(golden));
    for (size_t at = 0; at < sizeof(golden); at++)
        CHECK_EQ(out.p[at], golden[at]);
    CHECK_OK(snapshot_decode(&q, bytes_slice(&out)));
    CHECK(memcmp(producers_get(&p, 77), producers_get(&q, 77), sizeof(struct producer)) == 0);
    for (size_t at = 0; at < out.len; at++) { /* no bit may change, no byte be missing */
        out.p[at] ^= 4;
        CHECK(snapshot_decode(&q, bytes_slice(&out)) != E_OK);
        out.p[at] ^= 4;
        CHECK(snapshot_decode(&q, slice_of(out.p, at)) != E_OK);
    }
    bytes_drop(&out);
    producers_drop(&p);
    producers_drop(&q);
    heap_drop(h);
}

static void write_first(struct sweep *w)
{
    struct producers p = made(w->io, 3);

    CHECK_OK(dir_make(w->io, "t-0"));
    CHECK_OK(dir_sync(w->io, "."));
    CHECK_OK(snapshot_write(&p, w->io, "t-0", true));
    producers_drop(&p);
}

static void write_second(struct sweep *w)
{
    struct producers p = made(w->io, 5);

    w->err = snapshot_write(&p, w->io, "t-0", true);
    CHECK_EQ(p.snapshot, w->err ? 0 : 50);
    producers_drop(&p);
}

static void first_or_second(struct sweep *w)
{
    struct producers p;

    producers_init(&p, io_heap(w->io), 1);
    CHECK_OK(snapshot_reload(&p, w->io, "t-0", 0, 1000, 0, 1000));
    CHECK(p.end == 50 || (p.end == 30 && (!w->acted || w->err)));
    CHECK(holds(&p, (int)p.end / 10));
    producers_drop(&p);
    write_second(w);
    CHECK_OK(w->err);
}

static const enum sim_fault faults[] = {SIM_CRASH_PROCESS, SIM_CRASH_POWER, SIM_EIO, SIM_FULL};
/* Whatever fails while a snapshot is written, at every file call: the newest whole one is loaded, which is
 * this one if the write said so, else the one before, and it can be written again. */
TEST_EACH(snapshot_files, a_torn_file_falls_back_to_the_one_before, faults)
{
    const struct sweep_case c = {.before = write_first, .act = write_second, .after = first_or_second};

    for (uint64_t seed = 0; seed < 20; seed++)
        CHECK(sweep_run(&c, *row, seed * 100) >= 3);
}

static void in_sim(void (*fn)(struct loop *loop, void *arg))
{
    struct sim *s = sim_new(1);
    struct io *io = sim_node(s, 1);
    CHECK(sim_call(s, io, LOOP_DISK, fn, io));
    sim_drop(s);
}

static void write_at(struct io *io, int n)
{
    struct producers p = made(io, n);
    CHECK_OK(snapshot_write(&p, io, "t-0", false));
    CHECK_OK(snapshot_write(&p, io, "t-0", false));
    producers_drop(&p);
}

static void check_list(struct io *io, int n, const int64_t *offsets)
{
    struct snapshot_list l;

    CHECK_OK(snapshot_list_read(&l, io, "t-0"));
    CHECK_EQ(l.n, n);
    for (int i = 0; i < n; i++)
        CHECK_EQ(l.offsets[i], offsets[i]);
    snapshot_list_drop(&l);
}
#define OFFSETS(...)                                                                                         \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[])                                   \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static void reload_after_cuts(struct loop *loop, void *arg)
{
    struct io *io = arg;
    struct producers p;

    (void)loop;
    CHECK_OK(dir_make(io, "t-0"));
    producers_init(&p, io_heap(io), 1);
    for (int n = 1; n <= 5; n++)
        write_at(io, n);
    check_list(io, OFFSETS(10, 20, 30, 40, 50));
    CHECK_OK(snapshot_reload(&p, io, "t-0", 10, 45, 0, 1000)); /* cut at 45, begins at 10 */
    CHECK(p.end == 40 && p.snapshot == 40 && holds(&p, 4));
    check_list(io, OFFSETS(20, 30, 40));
    CHECK_OK(snapshot_reload(&p, io, "t-0", 10, 20, 0x0102030405 + 500, 500));
    CHECK(p.end == 20 && p.n == 0); /* all expired */
    CHECK_OK(snapshot_reload(&p, io, "t-0", 20, 30, 0, 1000));
    CHECK(p.end == 20 && p.n == 0 && p.snapshot == 0); /* none is left: from the log's start */
    check_list(io, 0, NULL);
    producers_drop(&p);
}

/* After a cut of the log at either end, what lies outside is gone and the newest within is loaded. */
TEST(snapshot_files, reload_removes_what_lies_outside_the_log)
{
    in_sim(reload_after_cuts);
}

static void strays(struct loop *loop, void *arg)
{
    struct io *io = arg;
    const int64_t bases[] = {0, 20, 40};

    (void)loop;
    CHECK_OK(dir_make(io, "t-0"));
    for (int n = 1; n <= 6; n++)
        write_at(io, n);
    CHECK_OK(snapshot_remove_strays(io, "t-0", bases, 3));
    check_list(io, OFFSETS(20, 40, 60));
    CHECK_OK(snapshot_remove_before(io, "t-0", 40));
    check_list(io, OFFSETS(40, 60));
    CHECK_OK(snapshot_remove(io, "t-0", 40));
    CHECK_OK(snapshot_remove(io, "t-0", 40));
    check_list(io, OFFSETS(60));
}

/* Snapshots that begin no segment go, but for the newest past all of them, which a clean shutdown left. */
TEST(snapshot_files, strays_go_but_for_the_newest)
{
    in_sim(strays);
}
