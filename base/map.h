/* A hash map from bytes to a pointer; iterates in the order of insertion, so that a run can be repeated.
 * Keys are lent: they live inside the value or outlive it. One thread at a time. Values aren't NULL.
 * The hash is keyed with `seed` (from io_random), so that no client can choose collisions. */
#pragma once
#include "mem.h"

struct map {
    struct heap *heap;
    uint64_t seed;
    struct map_row *rows; /* dense, in insertion order; a removed row has a NULL value */
    uint32_t *index;      /* open addressing: row number + 1 */
    uint32_t n_rows;      /* removed ones included */
    uint32_t rows_room;
    uint32_t index_mask;
    uint32_t count;
    uint32_t turn; /* of the next row */
};

struct map_row {
    struct slice key;
    void *value;
    uint32_t hash;
    uint32_t turn; /* grows from row to row: a walk keeps its place by it when rows move together */
};

void map_init(struct map *m, struct heap *h, uint64_t seed);
void map_drop(struct map *m); /* the values stay their owner's */
void *map_get(const struct map *m, struct slice key);
/* The value that it replaces, or NULL. The key then lent is the new one; the place in the order is the old one's. */
void *map_put(struct map *m, struct slice key, void *value);
void *map_remove(struct map *m, struct slice key); /* the value, or NULL; allowed inside map_each */
/* The next value from *at on (start with 0), or NULL. Values put meanwhile may or may not be met. */
void *map_next(const struct map *m, uint32_t *at);
#define map_each(type, it, m)                                                                                \
    for (uint32_t it##_at = 0, it##_go = 1; it##_go; it##_go = 0)                                            \
        for (type *it = map_next(m, &it##_at); it; it = map_next(m, &it##_at))
uint64_t map_hash(uint64_t seed, struct slice key);
