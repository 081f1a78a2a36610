/* Crashes of the process and of the power, EIO and a full disk at each file call of each thing that a quorum
 * of one does, then a restart: what was told committed is there, what was never submitted isn't, offsets go
 * on. */
#include "tests/unit/quorum/quorum_world.h"

enum op { OP_FOUND, OP_START, OP_APPEND, OP_SNAPSHOT, OP_STOP };

struct sweep_row {
    enum op op;
    enum sim_fault fault;
    int least; /* file calls that the operation makes at least */
};

static void before(struct quorum_world *w, enum op op)
{
    w->settings.retention_bytes = 1000;
    w->settings.segment_bytes = 1500;
    if (op == OP_FOUND)
        return;
    CHECK(qworld_start(w) && qworld_up(w));
    for (int i = 0; i < 3; i++) {
        qworld_submit(w, 20);
        CHECK(qworld_settle(w));
        CHECK(qworld_snapshot(w));
    }
    qworld_submit(w, 20);
    CHECK(qworld_settle(w));
    if (op == OP_START)
        qworld_begin(w);
}

/* false: the node crashed inside. */
static bool act(struct quorum_world *w, enum op op)
{
    switch (op) {
    case OP_FOUND:
    case OP_START:
        return qworld_start(w);
    case OP_APPEND:
        for (int i = 0; i < 4; i++) {
            qworld_submit(w, 7);
            if (!qworld_settle(w))
                return false;
        }
        return true;
    case OP_SNAPSHOT:
        qworld_snapshot_begin(w);
        qworld_submit(w, 3);
        return qworld_settle(w);
    case OP_STOP:
        qworld_submit(w, 3);
        return qworld_stop(w);
    }
    return false;
}

/* false: the operation was over before the fault. */
static bool one(const struct qdoor *door, const struct sweep_row *row, int64_t nth)
{
    struct quorum_world w;
    int64_t calls;
    bool met;

    qworld_init(&w, door, (uint64_t)nth * 7 + row->op);
    before(&w, row->op);
    calls = sim_file_calls(w.sim, WORLD_NODE);
    sim_fail_at(w.sim, WORLD_NODE, nth, row->fault);
    met = !act(&w, row->op) || sim_file_calls(w.sim, WORLD_NODE) - calls >= nth;
    if (sim_up(w.sim, WORLD_NODE)) {
        (void)!sim_run(w.sim, NULL, NULL, 1000000); /* `failed` comes behind what committed */
        CHECK(w.errors == 0 || w.failures == 1);
    }
    sim_fail_at(w.sim, WORLD_NODE, 0, row->fault);
    qworld_restart(&w);
    qworld_verify(&w);
    qworld_submit(&w, 5);
    CHECK(qworld_settle(&w));
    qworld_restart(&w);
    qworld_verify(&w);
    CHECK(qworld_stop(&w));
    qworld_drop(&w);
    return met;
}

static const struct sweep_row rows[] = {
    {OP_FOUND, SIM_CRASH_PROCESS, 20},
    {OP_FOUND, SIM_CRASH_POWER, 20},
    {OP_FOUND, SIM_EIO, 20},
    {OP_FOUND, SIM_FULL, 20},
    {OP_START, SIM_CRASH_PROCESS, 20},
    {OP_START, SIM_CRASH_POWER, 20},
    {OP_START, SIM_EIO, 20},
    {OP_START, SIM_FULL, 20},
    {OP_APPEND, SIM_CRASH_PROCESS, 30},
    {OP_APPEND, SIM_CRASH_POWER, 30},
    {OP_APPEND, SIM_EIO, 30},
    {OP_APPEND, SIM_FULL, 30},
    {OP_SNAPSHOT, SIM_CRASH_PROCESS, 15},
    {OP_SNAPSHOT, SIM_CRASH_POWER, 15},
    {OP_SNAPSHOT, SIM_EIO, 15},
    {OP_SNAPSHOT, SIM_FULL, 15},
    {OP_STOP, SIM_CRASH_PROCESS, 5},
    {OP_STOP, SIM_CRASH_POWER, 5},
    {OP_STOP, SIM_EIO, 5},
    {OP_STOP, SIM_FULL, 5},
};

/* Nothing that was told committed is lost by any one fault. */
TEST_EACH(alone_faults, what_was_told_stays, rows)
{
    for (size_t i = 0; i < sizeof(qdoors) / sizeof(qdoors[0]); i++) {
        int64_t nth = 1;

        while (one(&qdoors[i], row, nth))
            nth++;
        CHECK(nth > row->least);
    }
}
