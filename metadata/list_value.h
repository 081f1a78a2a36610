/* The value of a LIST setting, in one pass: a request may bring as many elements as a frame holds.
 * Loop: any. Memory: the answer lies in the arena. */
#pragma once
#include "base/mem.h"

/* add: `list` (may be null) and behind it those of `items` that it lacks, each once; else what is left of `list` without
 * them. Empty elements of `list` go; of `items` those at its end do, as Java splits texts. seed: random, so that nobody
 * chooses who collides. */
struct slice list_value_change(struct arena *a, uint64_t seed, struct slice list, struct slice items,
                               bool add);
