#include "log/clean_map.h"
#include "base/check.h"

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

static uint64_t load_le(const uint8_t *p, size_t len)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

void siphash_128(const uint64_t key[2], struct slice in, uint64_t out[2])
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du ^ 0xee,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    size_t whole = in.len & ~(size_t)7;

    for (size_t at = 0; at <= whole; at += 8) {
        uint64_t word =
            at < whole ? load_le(in.p + at, 8) : load_le(in.p + at, in.len - at) | (uint64_t)in.len << 56;
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    for (int half = 0; half < 2; half++) {
        v[half ? 1 : 2] ^= half ? 0xdd : 0xee;
        for (int i = 0; i < 4; i++)
            sip_round(v);
        out[half] = v[0] ^ v[1] ^ v[2] ^ v[3];
    }
}

void clean_map_open(struct clean_map *m, struct heap *h, uint64_t keys, uint64_t bytes, const uint64_t key[2])
{
    uint64_t fit = bytes / sizeof(struct clean_slot);
    uint64_t want = keys + keys / 9 + 2;

    *m = (struct clean_map){.heap = h, .key = {key[0], key[1]}};
    m->n_slots = want < fit ? want : fit;
    if (m->n_slots < 2)
        m->n_slots = 2;
    m->n_max = m->n_slots - m->n_slots / 10;
    if (m->n_max == m->n_slots)
        m->n_max--;
    m->slots = heap_alloc(h, m->n_slots * sizeof(*m->slots));
}

void clean_map_drop(struct clean_map *m)
{
    heap_free(m->heap, m->slots);
    *m = (struct clean_map){.heap = m->heap};
}

/* The key's slot, or the free one where it belongs: there is always a free one. */
static struct clean_slot *slot_of(const struct clean_map *m, const uint64_t hash[2])
{
    uint64_t at = (uint64_t)((unsigned __int128)hash[0] * m->n_slots >> 64);

    while (m->slots[at].next && (m->slots[at].hash[0] != hash[0] || m->slots[at].hash[1] != hash[1]))
        at = at + 1 == m->n_slots ? 0 : at + 1;
    return &m->slots[at];
}

bool clean_map_put(struct clean_map *m, struct slice key, int64_t offset)
{
    uint64_t hash[2];

    siphash_128(m->key, key, hash);
    struct clean_slot *s = slot_of(m, hash);
    if (!s->next) {
        if (m->n == m->n_max)
            return false;
        m->n++;
        *s = (struct clean_slot){.hash = {hash[0], hash[1]}};
    }
    ASSERT(s->next <= offset + 1);
    s->next = offset + 1;
    return true;
}

int64_t clean_map_get(const struct clean_map *m, struct slice key)
{
    uint64_t hash[2];

    siphash_128(m->key, key, hash);
    return slot_of(m, hash)->next - 1;
}
