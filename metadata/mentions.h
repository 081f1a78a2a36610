/* How often each key stands in a request. It lies in an arena, so that a decision in steps keeps it and owes it no end.
 * Loop: any. Memory: keys are lent. */
#pragma once
#include "base/mem.h"

struct mention {
    struct slice key;
    bool used;
    int count;
};
struct mentions {
    uint64_t seed; /* random, so that nobody chooses who collides */
    uint32_t mask;
    struct mention *rows;
};

void mentions_init(struct mentions *t, struct arena *a, uint64_t seed,
                   int max); /* for at most so many keys */
void mentions_add(struct mentions *t, struct slice key);
int *mentions_of(const struct mentions *t, struct slice key); /* NULL: it was never added */
