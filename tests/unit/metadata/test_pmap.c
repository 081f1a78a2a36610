#include "base/check.h"
#include "metadata/pmap.h"
#include "tests/check.h"

enum { KEYS = 4000 };

struct number {
    struct pval ref;
    uint8_t key[2];
    uint32_t value;
};

static struct slice number_key(const struct pval *v)
{
    return slice_of(((const struct number *)v)->key, 2);
}

static void number_drop(struct grave *g, struct pval *v)
{
    heap_free(g->heap, v);
}

static struct pval *number_copy(struct grave *g, const struct pval *v)
{
    struct number *n = heap_alloc(g->heap, sizeof(*n));

    *n = *(const struct number *)v;
    n->ref.refs = 1;
    return &n->ref;
}

static const struct pmap_kind NUMBERS = {.key = number_key, .drop = number_drop, .copy = number_copy};

/* A map beside an array that says what it should hold. */
struct pair {
    struct pmap map;
    uint32_t want[KEYS]; /* 0: absent */
};

static struct slice key_of(uint8_t to[2], int k)
{
    to[0] = (uint8_t)(k >> 8);
    to[1] = (uint8_t)k;
    return slice_of(to, 2);
}

static void put(struct grave *g, struct pair *p, int k, uint32_t value)
{
    struct number *n = heap_alloc(g->heap, sizeof(*n));

    n->ref.refs = 1;
    n->value = value;
    (void)key_of(n->key, k);
    pmap_put(&p->map, g, &n->ref);
    p->want[k] = value;
}

static void check_pair(const struct pair *p)
{
    struct pmap_iter it = pmap_first(&p->map);
    uint8_t b[2];

    CHECK(pmap_ok(&p->map));
    for (int k = 0; k < KEYS; k++) {
        const struct number *n = (const struct number *)pmap_get(&p->map, key_of(b, k));

        CHECK_EQ(n ? n->value : 0, p->want[k]);
        if (n)
            CHECK((const struct number *)pmap_next(&it) == n);
    }
    CHECK(pmap_next(&it) == NULL);
}

static void change(struct grave *g, struct pair *p, struct test_random *r, uint32_t value)
{
    int k = (int)test_random_below(r, KEYS);
    uint8_t b[2];
    struct pval *v;

    switch (test_random_below(r, 4)) {
    case 0:
        v = pmap_edit(&p->map, g, key_of(b, k));
        CHECK((v != NULL) == (p->want[k] != 0));
        if (v)
            ((struct number *)v)->value = p->want[k] = value;
        break;
    case 1:
        CHECK(pmap_remove(&p->map, g, key_of(b, k)) == (p->want[k] != 0));
        p->want[k] = 0;
        break;
    default:
        put(g, p, k, value);
    }
}

static void pair_copy(struct pair *to, const struct pair *from)
{
    memcpy(to->want, from->want, sizeof(to->want));
    to->map = pmap_ref(&from->map);
}

/* Old roots never change, whatever is put, edited and removed in those made from them, and nothing leaks. */
TEST(pmap, old_roots_never_change)
{
    enum { OLD = 6 };
    struct heap *h = heap_new(false);
    struct grave g;
    struct pair *pairs = heap_alloc(h, OLD * sizeof(*pairs));
    struct test_random r;

    grave_init(&g, h);
    test_random_init(&r, 7);
    for (int i = 0; i < OLD; i++)
        pairs[i].map.kind = &NUMBERS;
    for (int round = 1; round < 60; round++) {
        int from = (int)test_random_below(&r, OLD), to = (int)test_random_below(&r, OLD);

        if (from != to) {
            pmap_drop(&pairs[to].map, &g);
            pair_copy(&pairs[to], &pairs[from]);
        }
        for (uint64_t n = test_random_below(&r, 700); n > 0; n--)
            change(&g, &pairs[to], &r, (uint32_t)round);
        for (int i = 0; i < OLD; i++)
            check_pair(&pairs[i]);
        (void)grave_step(&g, 10);
    }
    for (int i = 0; i < OLD; i++)
        pmap_drop(&pairs[i].map, &g);
    grave_empty(&g);
    heap_free(h, pairs);
    CHECK_EQ(heap_used(h), 0);
    heap_drop(h);
}

/* A map that is emptied again in any order stays a tree and ends without a node. */
TEST(pmap, emptied_map_has_no_nodes)
{
    struct heap *h = heap_new(false);
    struct grave g;
    struct pair *p = heap_alloc(h, sizeof(*p));
    struct test_random r;

    grave_init(&g, h);
    test_random_init(&r, 11);
    p->map.kind = &NUMBERS;
    for (int k = 0; k < KEYS; k++)
        put(&g, p, k, 1);
    check_pair(p);
    while (p->map.count > 0) {
        int k = (int)test_random_below(&r, KEYS);
        uint8_t b[2];

        CHECK(pmap_remove(&p->map, &g, key_of(b, k)) == (p->want[k] != 0));
        p->want[k] = 0;
        if (p->map.count % 97 == 0)
            check_pair(p);
    }
    CHECK_EQ(pmap_nodes(&p->map), 0);
    heap_free(h, p);
    CHECK_EQ(heap_used(h), 0);
    heap_drop(h);
}

/* Keys that come in order fill their nodes, so that a large image stays small. */
TEST(pmap, keys_in_order_fill_nodes)
{
    struct heap *h = heap_new(true);
    struct grave g;
    struct pair *p = heap_alloc(h, sizeof(*p));

    grave_init(&g, h);
    p->map.kind = &NUMBERS;
    for (int k = 0; k < KEYS; k++)
        put(&g, p, k, 1);
    CHECK(pmap_nodes(&p->map) < KEYS / 28);
    heap_drop(h);
}

struct diffed {
    uint32_t want[KEYS];
    int calls;
};

static void diff_each(void *arg, const struct pval *before, const struct pval *after)
{
    struct diffed *d = arg;
    const struct number *n = (const struct number *)(after ? after : before);
    int k = n->key[0] << 8 | n->key[1];

    CHECK_EQ(d->want[k], before ? ((const struct number *)before)->value : 0);
    d->want[k] = after ? n->value : 0;
    d->calls++;
}

/* What a diff tells turns one map into the other. */
TEST(pmap, diff_applied_gives_the_other)
{
    struct heap *h = heap_new(true);
    struct grave g;
    struct pair *a = heap_alloc(h, sizeof(*a)), *b = heap_alloc(h, sizeof(*b));
    struct diffed *d = heap_alloc(h, sizeof(*d));
    struct test_random r;

    grave_init(&g, h);
    test_random_init(&r, 3);
    a->map.kind = &NUMBERS;
    for (int round = 1; round < 100; round++) {
        int changes = (int)test_random_below(&r, 300);

        pair_copy(b, a);
        for (int i = 0; i < changes; i++)
            change(&g, b, &r, (uint32_t)round);
        memcpy(d->want, a->want, sizeof(d->want));
        d->calls = 0;
        pmap_diff(&a->map, &b->map, diff_each, d);
        CHECK(memcmp(d->want, b->want, sizeof(d->want)) == 0);
        CHECK(d->calls <= changes);
        pmap_diff(&b->map, &a->map, diff_each, d);
        CHECK(memcmp(d->want, a->want, sizeof(d->want)) == 0);
        pmap_drop(&a->map, &g);
        *a = *b;
    }
    heap_drop(h);
}

/* A walk from a key begins with the first key that isn't smaller. */
TEST(pmap, walk_from_key)
{
    struct heap *h = heap_new(true);
    struct grave g;
    struct pair *p = heap_alloc(h, sizeof(*p));
    uint8_t b[2];

    grave_init(&g, h);
    p->map.kind = &NUMBERS;
    for (int k = 0; k < KEYS; k += 3)
        put(&g, p, k, (uint32_t)k + 1);
    for (int k = 0; k + 3 < KEYS; k++) {
        struct pmap_iter it = pmap_from(&p->map, key_of(b, k));

        CHECK_EQ(((const struct number *)pmap_next(&it))->value, (k + 2) / 3 * 3 + 1);
        CHECK_EQ(((const struct number *)pmap_next(&it))->value, (k + 2) / 3 * 3 + 4);
    }
    heap_drop(h);
}

/* A step of the grave ends after so many values as well as after so many nodes. */
TEST(pmap, a_large_map_goes_in_steps)
{
    enum { VALUES = 60000, STEP = 1000, VALUES_MAX = 8 * STEP };
    struct heap *h = heap_new(false);
    struct pmap m = {.kind = &NUMBERS};
    struct grave g;
    int steps = 1;

    grave_init(&g, h);
    for (int k = 0; k < VALUES; k++) {
        struct number *n = heap_alloc(h, sizeof(*n));

        n->ref.refs = 1;
        (void)key_of(n->key, k);
        pmap_put(&m, &g, &n->ref);
    }
    pmap_drop(&m, &g);
    for (; grave_step(&g, STEP); steps++)
        ;
    CHECK(steps >= VALUES / VALUES_MAX);
    CHECK_EQ(heap_used(h), 0);
    heap_drop(h);
}
