/* Crashes of the process and of the power, EIO and a full disk at each file call of each operation, and a
 * restart.
 *
 * After a crash of the power the log ends no earlier than what was synced, after one of the process no
 * earlier than what was appended; never later than what was tried. What it holds is the model's, index and
 * time lookups included, and the next append gets the next offset. */
#include "tests/unit/log/fault_sweep.h"
#include "tests/unit/log/log_world.h"
#include <stdlib.h>

enum { BEFORE = 40, SYNCED = 25 };

enum op {
    OP_FIRST_APPEND,
    OP_APPEND,
    OP_SYNC_DATA,
    OP_SYNC_ALL,
    OP_TRUNCATE,
    OP_RETAIN,
    OP_RESTART_AT,
    OP_DELETE,
    OP_STOP,
    OP_RECOVER,
    OP_COUNT
};

struct fault_run {
    struct log_world w;
    enum op op;
    enum sim_fault fault;
    int64_t cut;  /* truncation: the log may end here */
    int64_t anew; /* restart_at */
    bool gone;    /* deleted */
};

static void fault_before(struct sweep *s)
{
    struct fault_run *r = s->arg;
    enum op op = r->op;
    enum sim_fault fault = r->fault;

    memset(r, 0, sizeof *r);
    r->op = op;
    r->fault = fault;
    r->cut = r->anew = -1;
    world_config(&r->w);
    CHECK_OK(world_start(&r->w, s->io));
    if (op == OP_FIRST_APPEND)
        return;
    for (int i = 0; i < BEFORE; i++) {
        CHECK_OK(world_append(&r->w));
        if (i == SYNCED / 2 || i == SYNCED) {
            CHECK_OK(world_sync(&r->w, i == SYNCED ? LOG_SYNC_DATA : LOG_SYNC_ALL));
            CHECK_OK(world_checkpoint(&r->w));
        }
    }
    if (op == OP_RECOVER)
        world_drop(&r->w);
}

static enum err act_one(struct fault_run *r, struct io *io)
{
    struct log_world *w = &r->w;
    enum err err = E_OK;
    int removed;

    switch (r->op) {
    case OP_FIRST_APPEND:
    case OP_APPEND:
        for (int i = 0; i < 30 && !err; i++) {
            err = world_append(w);
            if (!err && i % 7 == 3)
                err = world_sync(w, LOG_SYNC_DATA);
        }
        return err;
    case OP_SYNC_DATA:
        return world_sync(w, LOG_SYNC_DATA);
    case OP_SYNC_ALL:
        err = world_sync(w, LOG_SYNC_ALL);
        return err ? err : world_checkpoint(w);
    case OP_TRUNCATE:
        r->cut = w->base[18];
        w->promised = r->cut < w->promised ? r->cut : w->promised;
        w->written = r->cut;
        return log_truncate(w->log, r->cut);
    case OP_RETAIN:
        w->config.retention_bytes = 3000;
        return log_retain(w->log, 5000, log_end(w->log), &removed);
    case OP_RESTART_AT:
        r->anew = 1000;
        return log_restart_at(w->log, 1000, 5000);
    case OP_DELETE:
        r->gone = true;
        err = log_delete(w->log, 5000);
        w->log = NULL;
        (void)log_env_due(w->env, 100000);
        return err;
    case OP_STOP:
        return world_stop(w);
    case OP_RECOVER:
        err = world_start(w, io);
        if (!err)
            err = world_sync(w, LOG_SYNC_ALL);
        return err ? err : world_checkpoint(w);
    case OP_COUNT:
        break;
    }
    return E_OK;
}

static void fault_act(struct sweep *s)
{
    struct fault_run *r = s->arg;

    s->err = act_one(r, s->io);
}

/* A fault that the log saw: the directory is offline, or full and working again. */
static void alive_judge(struct sweep *s, struct fault_run *r)
{
    struct log_world *w = &r->w;

    if (r->op == OP_STOP || !w->log)
        return;
    if (w->dir->offline) {
        struct log_append a = {.now_ms = 1};

        CHECK_EQ(w->offline, 1);
        CHECK_EQ(log_append(w->log, &a), E_KAFKA_STORAGE_ERROR);
    } else if (s->err == E_FULL) {
        struct log_at at;

        CHECK_OK(log_offset_at_time(w->log, world_time(0), log_end(w->log), &at));
    }
}

static void anew_judge(struct sweep *s, struct fault_run *r)
{
    struct log_world *w = &r->w;

    if (r->anew >= 0 && log_end(w->log) == r->anew) {
        CHECK_EQ(log_start(w->log), r->anew);
        return;
    }
    if (r->gone && log_end(w->log) == 0)
        return;
    if (r->anew < 0 && !r->gone) {
        bool process = r->fault == SIM_CRASH_PROCESS || s->acted;

        CHECK(log_end(w->log) >= w->promised);
        CHECK(!process || r->op == OP_DELETE || log_end(w->log) >= w->written);
        CHECK(log_end(w->log) <= w->attempted);
        CHECK(r->cut < 0 || !s->acted || s->err || log_end(w->log) == r->cut);
    }
    if (r->anew >= 0 || r->gone) { /* cut off in the middle: a shorter log, right as far as it goes */
        if (log_end(w->log) > log_start(w->log))
            while (w->n > 0 && w->base[w->n] > log_end(w->log))
                w->n--;
        w->attempted = w->base[w->n];
        if (w->attempted != log_end(w->log))
            return;
    }
    world_adopt_end(w);
    world_verify(w);
    for (int i = 0; i < 12; i++)
        CHECK_OK(world_append(w));
    CHECK_OK(world_sync(w, LOG_SYNC_ALL));
    world_verify(w);
}

static void fault_after(struct sweep *s)
{
    struct fault_run *r = s->arg;
    struct log_world *w = &r->w;

    if (s->acted && !(r->op == OP_STOP)) {
        if (r->op != OP_RECOVER || w->log)
            alive_judge(s, r);
        world_drop(w);
    } else if (s->acted && w->log) {
        world_drop(w);
    }
    CHECK_OK(world_start(w, s->io));
    anew_judge(s, r);
    CHECK_OK(world_stop(w));
    CHECK_OK(world_start(w, s->io));
    CHECK_EQ(log_env_counters(w->env)->recovered_bytes, 0);
    CHECK_OK(world_stop(w));
}

struct fault_row {
    enum op op;
    enum sim_fault fault;
    int least; /* faults that must have been met, so that a row that tests nothing fails */
};

static const struct fault_row rows[] = {
    {OP_FIRST_APPEND, SIM_CRASH_PROCESS, 20},
    {OP_FIRST_APPEND, SIM_CRASH_POWER, 20},
    {OP_FIRST_APPEND, SIM_EIO, 4},
    {OP_FIRST_APPEND, SIM_FULL, 4},
    {OP_APPEND, SIM_CRASH_PROCESS, 20},
    {OP_APPEND, SIM_CRASH_POWER, 20},
    {OP_APPEND, SIM_EIO, 20},
    {OP_APPEND, SIM_FULL, 10},
    {OP_SYNC_DATA, SIM_CRASH_POWER, 1},
    {OP_SYNC_DATA, SIM_EIO, 1},
    {OP_SYNC_ALL, SIM_CRASH_POWER, 3},
    {OP_SYNC_ALL, SIM_CRASH_PROCESS, 3},
    {OP_SYNC_ALL, SIM_EIO, 3},
    {OP_TRUNCATE, SIM_CRASH_PROCESS, 10},
    {OP_TRUNCATE, SIM_CRASH_POWER, 10},
    {OP_TRUNCATE, SIM_EIO, 10},
    {OP_RETAIN, SIM_CRASH_PROCESS, 8},
    {OP_RETAIN, SIM_CRASH_POWER, 8},
    {OP_RETAIN, SIM_EIO, 8},
    {OP_RESTART_AT, SIM_CRASH_PROCESS, 8},
    {OP_RESTART_AT, SIM_CRASH_POWER, 8},
    {OP_DELETE, SIM_CRASH_PROCESS, 2},
    {OP_DELETE, SIM_CRASH_POWER, 2},
    {OP_DELETE, SIM_EIO, 2},
    {OP_STOP, SIM_CRASH_PROCESS, 8},
    {OP_STOP, SIM_CRASH_POWER, 8},
    {OP_RECOVER, SIM_CRASH_PROCESS, 15},
    {OP_RECOVER, SIM_CRASH_POWER, 15},
    {OP_RECOVER, SIM_EIO, 15},
};

/* Whatever call a fault hits, nothing synced is lost, no offset is used twice, and indexes are right. */
TEST_EACH(log_faults, sweep, rows)
{
    struct fault_run *r = calloc(1, sizeof *r);
    struct sweep_case c = {.before = fault_before, .act = fault_act, .after = fault_after, .arg = r};

    r->op = row->op;
    r->fault = row->fault;
    for (uint64_t seed = 0; seed < 2; seed++) {
        int n = sweep_run(&c, row->fault, seed * 1000 + 1);

        if (n < row->least)
            test_fail(__FILE__, __LINE__, "only %d faults were met", n);
    }
    free(r);
}
