#include "log/clean_swap.h"
#include "tests/unit/log/clean_world.h"
#include "tests/unit/log/fault_sweep.h"

enum { MAP_BYTES = 1 << 20, FIRST_FILL = 60 };

static struct clean_world_record model[CLEAN_WORLD_RECORDS];
static struct clean_world w;

static void fill(struct sweep *s)
{
    clean_world_init(&w, model, s->seed / 1000);
    CHECK_OK(clean_world_open(&w, s->io));
    CHECK_OK(clean_world_fill(&w, FIRST_FILL, CLEAN_WORLD_KEYS));
    CHECK_OK(clean_world_close(&w));
    w.config.segment_bytes = 4000; /* so that two or three become one */
}

static void open_clean_close(struct sweep *s)
{
    s->err = clean_world_open(&w, s->io);
    if (!s->err)
        s->err = clean_world_clean(&w, MAP_BYTES);
    if (!s->err)
        s->err = clean_world_close(&w);
    else
        clean_world_abandon(&w);
}

static void check_and_clean_again(struct sweep *s)
{
    int64_t whole_from = w.n;

    CHECK_OK(clean_world_open(&w, s->io));
    clean_world_check(&w, 0, whole_from);
    w.checkpoint = -1;
    CHECK_OK(clean_world_clean(&w, MAP_BYTES));
    clean_world_check(&w, w.checkpoint, whole_from);
    CHECK_OK(clean_world_fill(&w, 5, CLEAN_WORLD_KEYS));
    clean_world_check(&w, w.checkpoint, whole_from);
    CHECK_OK(clean_world_close(&w));
    CHECK_EQ(sim_files_open(s->sim, 1), 0);
}

static const enum sim_fault faults[] = {SIM_CRASH_PROCESS, SIM_CRASH_POWER, SIM_EIO, SIM_FULL};
/* Whatever fails during a compaction, at every file call: afterwards the last value of each key is there,
 * offsets rise, no record differs from what was appended, and it can be compacted and appended to. */
TEST_EACH(clean_faults, swap_survives_a_fault_at_every_file_call, faults)
{
    const struct sweep_case c = {.before = fill, .act = open_clean_close, .after = check_and_clean_again};

    CHECK(sweep_run(&c, *row, 1000) > 40);
    for (uint64_t seed = 2; *row == SIM_CRASH_POWER && seed < 6; seed++)
        CHECK(sweep_run(&c, *row, seed * 1000) > 40);
}
