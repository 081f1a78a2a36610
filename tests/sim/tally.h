/* Counts over all seeds of a run: tally.def. */
#pragma once
#include <stdint.h>

enum tally {
#define TALLY(name) TALLY_##name,
#include "tally.def"
#undef TALLY
    TALLIES
};
void tally_share(void); /* before processes part */
void tally_add(enum tally t, uint64_t n);
uint64_t tally_of(enum tally t);
