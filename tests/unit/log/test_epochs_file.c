#include "log/epochs.h"
#include "tests/unit/log/fault_sweep.h"

static struct epochs made(struct io *io, int n)
{
    struct epochs e;

    epochs_init(&e, io_heap(io));
    for (int i = 0; i < n; i++)
        (void)epochs_assign(&e, i * 3, i * 100);
    return e;
}

static void save_two(struct sweep *w)
{
    struct epochs e = made(w->io, 2);

    CHECK_OK(dir_make(w->io, "t-0"));
    CHECK_OK(dir_sync(w->io, "."));
    CHECK_OK(epochs_save(&e, w->io, "t-0", true));
    epochs_drop(&e);
}

static void save_three(struct sweep *w)
{
    struct epochs e = made(w->io, 3);

    w->err = epochs_save(&e, w->io, "t-0", true);
    epochs_drop(&e);
}

static void two_or_three(struct sweep *w)
{
    struct epochs e;

    epochs_init(&e, io_heap(w->io));
    CHECK_OK(epochs_load(&e, w->io, "t-0"));
    CHECK(e.n == 3 || (e.n == 2 && (!w->acted || w->err)));
    for (uint32_t i = 0; i < e.n; i++)
        CHECK(e.rows[i].epoch == (int32_t)i * 3 && e.rows[i].start == (int64_t)i * 100);
    epochs_drop(&e);
    save_three(w);
    CHECK_OK(w->err);
    CHECK_EQ(sim_files_open(w->sim, 1), 0);
}

static const enum sim_fault faults[] = {SIM_CRASH_PROCESS, SIM_CRASH_POWER, SIM_EIO, SIM_FULL};
/* Whatever fails while the file is replaced, at every file call: it holds the old rows or the new ones, the
 * new ones if the call said so, and can be saved again. */
TEST_EACH(epochs_file, replaced_whole_or_not_at_all, faults)
{
    const struct sweep_case c = {.before = save_two, .act = save_three, .after = two_or_three};

    for (uint64_t seed = 0; seed < 20; seed++)
        CHECK(sweep_run(&c, *row, seed * 100) >= 4);
}

/* A file of a hundred epochs, none, and then Kafka's own text. */
static void text_is_kafkas(struct loop *loop, void *arg)
{
    struct io *io = arg;
    struct epochs e = made(io, 3);
    char text[100];
    size_t got;
    struct file *f;

    (void)loop;
    CHECK_EQ(epochs_load(&e, io, "none"), E_NOENT);
    CHECK_EQ(e.n, 0);
    epochs_drop(&e);
    e = made(io, 3);
    CHECK_OK(dir_make(io, "t-0"));
    CHECK_OK(epochs_save(&e, io, "t-0", true));
    CHECK_OK(file_open(io, "t-0/leader-epoch-checkpoint", 0, &f));
    CHECK_OK(file_read(f, 0, text, sizeof(text), &got));
    file_unref(f);
    CHECK(slice_eq(slice_of(text, got), SLICE("0\n3\n0 0\n3 100\n6 200\n")));
    epochs_drop(&e);
}

/* The file has Kafka's text: version, count, a line an epoch. */
TEST(epochs_file, text_is_that_of_kafka)
{
    struct sim *s = sim_new(1);
    struct io *io = sim_node(s, 1);
    CHECK(sim_call(s, io, LOOP_DISK, text_is_kafkas, io));
    sim_drop(s);
}

static const char *const wrong[] = {"",
                                    "1\n0\n",
                                    "0\n",
                                    "0\n1\n",
                                    "0\n2\n0 0\n",
                                    "0\n1\n0 0",
                                    "x",
                                    "0\n-1\n",
                                    "0\n1\n0 0\n1 1\n",
                                    "0\n1\n0  0\n",
                                    "0\n1\n9999999999 0\n",
                                    "0\n1\n1 99999999999999999999\n"};
struct wrong_call {
    struct io *io;
    enum err err;
    uint32_t n;
};
static void load_wrong(struct loop *loop, void *arg)
{
    struct wrong_call *c = arg;
    struct epochs e;

    (void)loop;
    epochs_init(&e, io_heap(c->io));
    c->err = epochs_load(&e, c->io, "t-0");
    c->n = e.n;
    epochs_drop(&e);
}

/* A file that isn't one is refused as a whole. */
TEST_EACH(epochs_file, malformed_text_is_refused, wrong)
{
    struct sim *s = sim_new(1);
    struct wrong_call c = {.io = sim_node(s, 1), .err = E_OK};
    CHECK_OK(sim_file_put(s, 1, "t-0/leader-epoch-checkpoint", *row, strlen(*row)));
    CHECK(sim_call(s, c.io, LOOP_DISK, load_wrong, &c));
    CHECK_EQ(c.err, E_MALFORMED);
    CHECK_EQ(c.n, 0);
    sim_drop(s);
}
