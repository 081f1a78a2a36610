#include "tests/unit/log/fault_sweep.h"

enum { NODE = 1 };

struct step {
    struct sweep *w;
    void (*fn)(struct sweep *w);
};

static void run_step(struct loop *loop, void *arg)
{
    struct step *step = arg;
    (void)loop;
    step->fn(step->w);
}

static bool call(struct sweep *w, void (*fn)(struct sweep *w))
{
    struct step step = {.w = w, .fn = fn};
    return sim_call(w->sim, w->io, LOOP_DISK, run_step, &step);
}

/* One fault; false: `act` ended before it came. */
static bool run_one(const struct sweep_case *c, enum sim_fault fault, uint64_t seed, int64_t nth)
{
    struct sweep w = {.seed = seed + (uint64_t)nth, .arg = c->arg, .err = E_OK};

    w.sim = sim_new(w.seed);
    w.io = sim_node(w.sim, NODE);
    CHECK(call(&w, c->before));
    int64_t calls = sim_file_calls(w.sim, NODE);
    sim_fail_at(w.sim, NODE, nth, fault);
    w.acted = call(&w, c->act);
    bool met = !w.acted || sim_file_calls(w.sim, NODE) - calls >= nth;
    sim_fail_at(w.sim, NODE, 0, fault);
    if (!sim_up(w.sim, NODE))
        w.io = sim_node(w.sim, NODE);
    CHECK(call(&w, c->after));
    sim_drop(w.sim);
    return met;
}

int sweep_run(const struct sweep_case *c, enum sim_fault fault, uint64_t seed)
{
    int n = 0;

    while (run_one(c, fault, seed, n + 1))
        n++;
    return n;
}
