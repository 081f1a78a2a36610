#include "base/mem.h"
#include "tests/check.h"

/* A heap counts what is out, and comes back to zero when all of it is given back. */
TEST(mem, heap_counts_what_is_out)
{
    for (int tracked = 0; tracked < 2; tracked++) {
        struct heap *h = heap_new(tracked);
        char *a = heap_alloc(h, 1000), *b = heap_resize(h, NULL, 10);
        CHECK(heap_used(h) >= 1010 && heap_used(h) < 1200);
        CHECK(a[0] == 0 && a[999] == 0);
        b[9] = 'x';
        b = heap_resize(h, b, 5000);
        CHECK(b[9] == 'x' && heap_used(h) >= 6000);
        heap_free(h, a);
        heap_free(h, b);
        heap_free(h, NULL);
        CHECK_EQ(heap_used(h), 0);
        heap_drop(h);
    }
}

/* A tracked heap takes its blocks with it: the leak checker sees none of them. */
TEST(mem, tracked_heap_drops_all)
{
    struct heap *h = heap_new(true);

    for (size_t i = 0; i < 100; i++)
        heap_free(h, i % 3 ? NULL : heap_alloc(h, i)), (void)heap_alloc(h, i * 7);
    CHECK(((uintptr_t)heap_alloc(h, 1) & 15) == 0);
    heap_drop(h);
}

/* Copies keep null and empty apart, as Kafka does. */
TEST(mem, copies_keep_null_apart_from_empty)
{
    struct heap *h = heap_new(true);
    struct arena a;

    arena_init(&a, h, SIZE_MAX);
    CHECK(heap_copy(h, SLICE_NULL).p == NULL && arena_copy(&a, SLICE_NULL).p == NULL);
    CHECK(heap_copy(h, SLICE("")).p != NULL && arena_copy(&a, SLICE("")).p != NULL);
    CHECK(slice_eq(heap_copy(h, SLICE("abc")), SLICE("abc")));
    CHECK_STR(heap_str(h, SLICE("abc")), "abc");
    CHECK_STR(arena_str(&a, SLICE_NULL), "");
    CHECK_STR(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    heap_drop(h);
}

/* Slices sort by their bytes, and a prefix comes before what it begins. */
TEST(mem, slices_sort_bytewise)
{
    CHECK(slice_cmp(SLICE("a"), SLICE("b")) < 0 && slice_cmp(SLICE("b"), SLICE("a")) > 0);
    CHECK(slice_cmp(SLICE("a"), SLICE("aa")) < 0 && slice_cmp(SLICE("\xff"), SLICE("a")) > 0);
    CHECK(slice_cmp(SLICE_NULL, SLICE("")) == 0);
}

/* Pieces of an arena are aligned, zeroed even where an earlier round has written, and don't overlap. */
TEST(mem, arena_pieces_are_fresh)
{
    struct heap *h = heap_new(false);
    struct arena a;

    arena_init(&a, h, SIZE_MAX);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 1; i < 3000; i += 37) {
            uint8_t *p = arena_alloc(&a, i);
            CHECK(((uintptr_t)p & 15) == 0 && p[0] == 0 && p[i - 1] == 0);
            memset(p, 0xee, i);
        }
        arena_reset(&a);
        CHECK_EQ(a.used, 0);
    }
    CHECK(heap_used(h) <= 70000); /* one chunk stays */
    arena_drop(&a);
    CHECK_EQ(heap_used(h), 0);
    heap_drop(h);
}

/* An arena hands out no more than its maximum, whatever is asked, and the same again after a reset. */
TEST(mem, arena_keeps_its_maximum)
{
    struct heap *h = heap_new(false);
    struct arena a;

    arena_init(&a, h, 4096);
    for (int round = 0; round < 2; round++) {
        CHECK(arena_alloc(&a, SIZE_MAX) == NULL && arena_alloc(&a, SIZE_MAX - 8) == NULL);
        CHECK(arena_alloc(&a, 4097) == NULL && arena_alloc(&a, 4000) != NULL);
        CHECK(arena_alloc(&a, 97) == NULL && arena_alloc(&a, 96) != NULL && arena_alloc(&a, 1) == NULL);
        CHECK(arena_copy(&a, SLICE("x")).p == NULL && arena_str(&a, SLICE("x")) == NULL);
        arena_reset(&a);
    }
    arena_drop(&a);
    heap_drop(h);
}

/* Growing bytes keep what they have. */
TEST(mem, bytes_grow)
{
    struct heap *h = heap_new(false);
    struct bytes b;

    bytes_init(&b, h);
    for (int i = 0; i < 1000; i++) {
        bytes_add(&b, "ab", 2);
        bytes_printf(&b, "%03d", i);
    }
    CHECK_EQ(b.len, 5000);
    CHECK(memcmp(b.p + 4995, "ab999", 5) == 0 && memcmp(b.p, "ab000", 5) == 0);
    bytes_drop(&b);
    heap_drop(h);
}
