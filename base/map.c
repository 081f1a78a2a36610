#include "map.h"
#include "check.h"

enum { ROOM_MIN = 8 };

/* Turns are numbered anew past this, when rows move anyway. A walk that is under way at that very moment,
 * once in two billion new keys, may miss rows. */
#define TURN_MAX (UINT32_MAX / 2)

static uint64_t rotl(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-1-3; the second half of its key is derived from the first, which is secret enough for a table. */
uint64_t map_hash(uint64_t seed, struct slice key)
{
    uint64_t k1 = seed * 0x9e3779b97f4a7c15u + 1, last = (uint64_t)key.len << 56, word;
    uint64_t v[4] = {seed ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, seed ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    const uint8_t *p = key.p;
    size_t left = key.len;

    for (; left >= 8; p += 8, left -= 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m, struct heap *h, uint64_t seed)
{
    *m = (struct map){.heap = h, .seed = seed};
}

void map_drop(struct map *m)
{
    heap_free(m->heap, m->rows);
    heap_free(m->heap, m->index);
    map_init(m, m->heap, m->seed);
}

static void index_add(struct map *m, uint32_t row)
{
    uint32_t i = m->rows[row].hash & m->index_mask;

    while (m->index[i])
        i = (i + 1) & m->index_mask;
    m->index[i] = row + 1;
}

/* Moves the live rows together and makes room for more: at least a half again. */
static void rebuild(struct map *m)
{
    uint32_t room = ROOM_MIN, n = 0;

    ASSERT(m->count < UINT32_MAX / 4);
    while (room < m->count + m->count / 2 + 1)
        room *= 2;
    for (uint32_t i = 0; i < m->n_rows; i++)
        if (m->rows[i].value)
            m->rows[n++] = m->rows[i];
    ASSERT(n == m->count);
    if (m->turn > TURN_MAX) {
        for (uint32_t i = 0; i < n; i++)
            m->rows[i].turn = i;
        m->turn = n;
    }
    if (room != m->rows_room) {
        heap_free(m->heap, m->index);
        m->index = heap_alloc(m->heap, 2 * (size_t)room * sizeof(m->index[0]));
        m->rows = heap_resize(m->heap, m->rows, room * sizeof(m->rows[0]));
    } else {
        memset(m->index, 0, 2 * (size_t)room * sizeof(m->index[0]));
    }
    m->rows_room = room;
    m->index_mask = 2 * room - 1;
    m->n_rows = n;
    for (uint32_t i = 0; i < n; i++)
        index_add(m, i);
}

/* Removed rows stay in the index, where they keep later ones reachable until the next rebuild. */
static struct map_row *find(const struct map *m, struct slice key, uint32_t hash)
{
    if (!m->index)
        return NULL;
    for (uint32_t i = hash & m->index_mask; m->index[i]; i = (i + 1) & m->index_mask) {
        struct map_row *r = &m->rows[m->index[i] - 1];
        if (r->hash == hash && r->value && slice_eq(r->key, key))
            return r;
    }
    return NULL;
}

void *map_get(const struct map *m, struct slice key)
{
    if (m->count == 0)
        return NULL;
    struct map_row *r = find(m, key, (uint32_t)map_hash(m->seed, key));
    return r ? r->value : NULL;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    uint32_t hash = (uint32_t)map_hash(m->seed, key);
    struct map_row *r = find(m, key, hash);

    ASSERT(value != NULL);
    if (r) {
        void *old = r->value;
        r->key = key;
        r->value = value;
        return old;
    }
    if (m->n_rows == m->rows_room)
        rebuild(m);
    m->rows[m->n_rows] = (struct map_row){.key = key, .value = value, .hash = hash, .turn = m->turn++};
    index_add(m, m->n_rows++);
    m->count++;
    return NULL;
}

void *map_remove(struct map *m, struct slice key)
{
    struct map_row *r = m->count ? find(m, key, (uint32_t)map_hash(m->seed, key)) : NULL;

    if (!r)
        return NULL;
    void *old = r->value;
    r->value = NULL;
    r->key = SLICE_NULL;
    m->count--;
    return old;
}

/* The first row whose turn is at least `turn`. Rows are where their turns say unless they have moved
 * together. */
static uint32_t row_at(const struct map *m, uint32_t turn)
{
    uint32_t low = 0, high = m->n_rows;

    if (high == 0 || turn <= m->rows[0].turn)
        return 0;
    uint32_t guess = turn - m->rows[0].turn;
    if (guess < high && m->rows[guess].turn == turn)
        return guess;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (m->rows[mid].turn < turn)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void *map_next(const struct map *m, uint32_t *at)
{
    for (uint32_t i = row_at(m, *at); i < m->n_rows; i++) {
        if (m->rows[i].value) {
            *at = m->rows[i].turn + 1;
            return m->rows[i].value;
        }
    }
    return NULL;
}
