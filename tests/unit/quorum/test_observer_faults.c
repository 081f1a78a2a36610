/* Crashes of the process and of the power, EIO and a full disk at each file call of each thing that an observer does, then
 * a restart: what it has once asked the end of is on its disk, nothing of its log contradicts the voters', and it catches
 * up. */
#include "tests/unit/quorum/observer_world.h"

enum op { OP_EMPTY, OP_START, OP_APPEND, OP_SNAPSHOT, OP_EMPTY_INSTALL, OP_INSTALL, OP_STOP };

struct sweep_row {
    enum op op;
    enum sim_fault fault;
    int least; /* file calls that the operation makes at least */
};

static void snapshots(struct observer_world *w, int n)
{
    for (int i = 0; i < n; i++) {
        oworld_write(w, 50);
        CHECK(qworld_snapshot(&w->voter));
    }
}

static void before(struct observer_world *w, enum op op)
{
    w->fetch_bytes = 700;
    w->piece_bytes = 3000;
    oworld_write(w, 20);
    if (op == OP_EMPTY_INSTALL)
        snapshots(w, 3);
    if (op == OP_EMPTY || op == OP_EMPTY_INSTALL)
        return;
    CHECK(oworld_start(w) && oworld_follow(w));
    if (op == OP_START)
        oworld_begin(w);
    if (op == OP_INSTALL)
        snapshots(w, 3);
    else
        oworld_write(w, 20);
}

static void snapshot_run(struct loop *loop, void *arg)
{
    quorum_snapshot(((struct observer_world *)arg)->quorum);
}

/* false: the node crashed inside, or failed. */
static bool act(struct observer_world *w, enum op op)
{
    switch (op) {
    case OP_EMPTY:
    case OP_EMPTY_INSTALL:
    case OP_START:
        return oworld_start(w) && oworld_follow(w);
    case OP_APPEND:
    case OP_INSTALL:
        return oworld_follow(w);
    case OP_SNAPSHOT:
        return oworld_follow(w) && sim_call(w->voter.sim, w->io, LOOP_DISK, snapshot_run, w) &&
               oworld_rest(w);
    case OP_STOP:
        return oworld_stop(w);
    }
    return false;
}

/* false: the operation was over before the fault. */
static bool one(const struct sweep_row *row, int64_t nth)
{
    struct observer_world w;
    struct sim *sim;
    int64_t calls;
    bool met;

    oworld_init(&w, (uint64_t)nth * 7 + row->op);
    sim = w.voter.sim;
    before(&w, row->op);
    calls = sim_file_calls(sim, OBSERVER_NODE);
    sim_fail_at(sim, OBSERVER_NODE, nth, row->fault);
    met = !act(&w, row->op) || sim_file_calls(sim, OBSERVER_NODE) - calls >= nth;
    sim_fail_at(sim, OBSERVER_NODE, 0, row->fault);
    oworld_restart(&w);
    CHECK(w.asked && w.offset >= w.asked_max);
    CHECK(oworld_follow(&w));
    CHECK_EQ(oworld_topics(&w), w.voter.promised);
    oworld_write(&w, 5);
    CHECK(oworld_follow(&w));
    oworld_restart(&w);
    CHECK(oworld_follow(&w));
    CHECK_EQ(oworld_topics(&w), w.voter.promised);
    oworld_drop(&w);
    return met;
}

static const struct sweep_row rows[] = {
#define FAULTS(op, least)                                                                                    \
    {op, SIM_CRASH_PROCESS, least}, {op, SIM_CRASH_POWER, least}, {op, SIM_EIO, least},                      \
    {                                                                                                        \
        op, SIM_FULL, least                                                                                  \
    }
    FAULTS(OP_EMPTY, 10),         FAULTS(OP_START, 10),   FAULTS(OP_APPEND, 10), FAULTS(OP_SNAPSHOT, 10),
    FAULTS(OP_EMPTY_INSTALL, 15), FAULTS(OP_INSTALL, 15), FAULTS(OP_STOP, 2),
};

/* Nothing that the broker was told of is lost by any one fault. */
TEST_EACH(observer_faults, what_was_told_stays, rows)
{
    int64_t nth = 1;

    while (one(row, nth))
        nth++;
    CHECK(nth > row->least);
}
