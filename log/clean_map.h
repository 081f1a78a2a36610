/* Where each key was seen last: key -> largest offset, in memory of a fixed size. Compaction's first pass
 * fills it, the second asks it.
 *
 * Keys are known by a hash of 128 bits alone, 24 bytes a key whatever its length. Two keys with the same hash
 * would cost the older one its record, so the hash has to be one that nobody can collide on purpose:
 * SipHash-2-4-128 with a key drawn for each cleaning. (Kafka takes MD5, for which anyone can make such
 * pairs.)
 *
 * Loop:   one at a time.
 * Memory: what clean_map_open() allocates, at most `bytes`. */
#pragma once
#include "base/mem.h"

struct clean_slot {
    uint64_t hash[2];
    int64_t next; /* offset + 1; 0: the slot is free */
};

struct clean_map {
    struct heap *heap;
    struct clean_slot *slots;
    uint64_t key[2];
    uint64_t n_slots;
    uint64_t n;
    uint64_t n_max; /* full at 9 of 10 */
};

/* Room for `keys` keys if they fit into `bytes`, else for as many as do, at least one. key: from io_random.
 */
void clean_map_open(struct clean_map *m, struct heap *h, uint64_t keys, uint64_t bytes,
                    const uint64_t key[2]);
void clean_map_drop(struct clean_map *m);
/* `offset` isn't below one put before. false: full, and the key isn't there. */
bool clean_map_put(struct clean_map *m, struct slice key, int64_t offset);
int64_t clean_map_get(const struct clean_map *m, struct slice key); /* -1: not there */
void siphash_128(const uint64_t key[2], struct slice in, uint64_t out[2]);
