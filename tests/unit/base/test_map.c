#include "base/map.h"
#include "tests/check.h"
#include <stdio.h>

struct entry {
    char key[16];
    int n;
    bool in;
};

static struct slice key_of(const struct entry *e)
{
    return SLICE(e->key);
}

/* What was put is found, what was removed isn't, under any mixture of the two. */
TEST(map, agrees_with_a_table)
{
    struct heap *h = heap_new(false);
    struct entry *v = heap_alloc(h, 2000 * sizeof(*v));
    struct test_random r;
    struct map m;
    uint32_t count = 0;

    test_random_init(&r, 7);
    map_init(&m, h, 1);
    for (int i = 0; i < 2000; i++)
        snprintf(v[i].key, sizeof(v[i].key), "key-%d", i);
    for (int step = 0; step < 100000; step++) {
        struct entry *e = &v[test_random_below(&r, step % 20000 < 10000 ? 2000 : 30)];
        if (test_random_below(&r, 2)) {
            CHECK(map_put(&m, key_of(e), e) == (e->in ? e : NULL));
            count += !e->in;
            e->in = true;
        } else {
            CHECK(map_remove(&m, key_of(e)) == (e->in ? e : NULL));
            count -= e->in;
            e->in = false;
        }
        CHECK_EQ(m.count, count);
    }
    for (int i = 0; i < 2000; i++)
        CHECK(map_get(&m, key_of(&v[i])) == (v[i].in ? &v[i] : NULL));
    map_drop(&m);
    heap_free(h, v);
    heap_drop(h);
}

/* A walk meets values in the order in which their keys came, whatever the seed. */
TEST(map, walks_in_order_of_insertion)
{
    struct heap *h = heap_new(true);
    struct entry v[300];

    for (uint64_t seed = 0; seed < 3; seed++) {
        struct map m;
        int next = 0;
        map_init(&m, h, seed);
        for (int i = 0; i < 300; i++) {
            snprintf(v[i].key, sizeof(v[i].key), "%d", i * 7919 % 300);
            v[i].n = i;
            CHECK(map_put(&m, key_of(&v[i]), &v[i]) == NULL);
        }
        for (int i = 0; i < 300; i += 2)
            CHECK(map_remove(&m, key_of(&v[i])) == &v[i]);
        map_each (struct entry, e, &m) {
            CHECK_EQ(e->n, 2 * next + 1);
            next++;
        }
        CHECK_EQ(next, 150);
    }
    heap_drop(h);
}

/* A walk that removes and puts meets each of the values it began with exactly once. */
TEST(map, walk_survives_changes)
{
    struct heap *h = heap_new(true);
    struct entry v[500], w[5000];
    struct map m;
    int met = 0, puts = 0;

    map_init(&m, h, 3);
    for (int i = 0; i < 500; i++) {
        v[i] = (struct entry){.n = i};
        snprintf(v[i].key, sizeof(v[i].key), "v%d", i);
        CHECK(map_put(&m, key_of(&v[i]), &v[i]) == NULL);
    }
    map_each (struct entry, e, &m) {
        if (e->key[0] == 'w')
            break;
        CHECK_EQ(e->n, met++);
        if (e->n % 2)
            CHECK(map_remove(&m, key_of(e)) == e);
        for (int i = 0; i < 10; i++, puts++) {
            w[puts] = (struct entry){.n = puts};
            snprintf(w[puts].key, sizeof(w[puts].key), "w%d", puts);
            CHECK(map_put(&m, key_of(&w[puts]), &w[puts]) == NULL);
            if (i < 9)
                CHECK(map_remove(&m, key_of(&w[puts])) == &w[puts]);
        }
    }
    CHECK_EQ(met, 500);
    CHECK_EQ(m.count, 750);
    heap_drop(h);
}

/* The hash depends on the seed, on each byte and on the length. */
TEST(map, hash_is_keyed)
{
    uint8_t zeros[64] = {0}, one[64] = {0};

    for (size_t i = 0; i < 64; i++) {
        one[i] = 1;
        CHECK(map_hash(5, slice_of(zeros, 64)) != map_hash(5, slice_of(one, 64)));
        CHECK(map_hash(5, slice_of(zeros, i)) != map_hash(5, slice_of(zeros, i + 1)));
        one[i] = 0;
    }
    CHECK(map_hash(5, SLICE("a")) != map_hash(6, SLICE("a")));
}
