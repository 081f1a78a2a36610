/* A storage operation under a fault at its 1st, 2nd, 3rd … file call, until it no longer makes that many.
 * For each: a new world, `before` in it, the fault armed, `act`, a restart if the node went down, `after`,
 * which judges what is on disk. `after` is told how it went: *acted is false where the node crashed inside
 * `act`. */
#pragma once
#include "base/io.h"
#include "tests/check.h"
#include "tests/sim/sim.h"

struct sweep {
    struct io *io; /* of the running start */
    struct sim *sim;
    uint64_t seed;
    bool acted;
    enum err err; /* what `act` left here */
    void *arg;
};

struct sweep_case {
    void (*before)(struct sweep *w);
    void (*act)(struct sweep *w);
    void (*after)(struct sweep *w);
    void *arg;
};

/* How many faults were met. */
int sweep_run(const struct sweep_case *c, enum sim_fault fault, uint64_t seed);
