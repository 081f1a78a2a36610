#include "metadata/mentions.h"
#include "base/map.h"

void mentions_init(struct mentions *t, struct arena *a, uint64_t seed, int max)
{
    uint32_t room = 2;

    while (room < 2 * (uint32_t)max)
        room *= 2;
    *t = (struct mentions){.seed = seed, .mask = room - 1, .rows = arena_alloc(a, room * sizeof(*t->rows))};
}

/* Its row, or the free one where it belongs. */
static struct mention *row_of(const struct mentions *t, struct slice key)
{
    uint32_t at = (uint32_t)map_hash(t->seed, key) & t->mask;

    while (t->rows[at].used && !slice_eq(t->rows[at].key, key))
        at = (at + 1) & t->mask;
    return &t->rows[at];
}

void mentions_add(struct mentions *t, struct slice key)
{
    struct mention *row = row_of(t, key);

    row->key = key;
    row->used = true;
    row->count++;
}

int *mentions_of(const struct mentions *t, struct slice key)
{
    struct mention *row = row_of(t, key);

    return row->used ? &row->count : NULL;
}
