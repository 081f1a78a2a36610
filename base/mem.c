#include "mem.h"
#include "check.h"
#include "list.h"
#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes are counted in stripes, so that threads don't share a cache line for every allocation. A stripe may
 * go below zero when one thread frees what another allocated: only the sum means something. */
enum { STRIPES = 16, STRIPE_SHIFT = 18 };

struct stripe {
    _Alignas(64) _Atomic int64_t bytes;
};

struct heap {
    struct stripe used[STRIPES];
    bool tracked;
    atomic_flag lock;   /* held for a few instructions */
    struct list blocks; /* tracked only */
};

/* In front of every block of a tracked heap; a multiple of 16 long. */
struct block {
    struct list link;
    size_t len;
    size_t unused;
};

int slice_cmp(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

struct heap *heap_new(bool tracked)
{
    struct heap *h = aligned_alloc(64, sizeof(*h));

    ASSERT(h != NULL);
    memset(h, 0, sizeof(*h));
    h->tracked = tracked;
    atomic_flag_clear(&h->lock);
    list_init(&h->blocks);
    return h;
}

void heap_drop(struct heap *h)
{
    if (h->tracked) {
        list_each_safe (it, &h->blocks)
            free(container_of(it, struct block, link));
    } else {
        ASSERT(heap_used(h) == 0);
    }
    free(h);
}

size_t heap_used(const struct heap *h)
{
    int64_t sum = 0;

    for (int i = 0; i < STRIPES; i++)
        sum += atomic_load_explicit(&h->used[i].bytes, memory_order_relaxed);
    return sum > 0 ? (size_t)sum : 0;
}

/* Threads have stacks of their own, so the stack's address tells them apart without a thread-local variable.
 */
static void count(struct heap *h, int64_t bytes)
{
    uintptr_t stack = (uintptr_t)__builtin_frame_address(0) >> STRIPE_SHIFT;

    atomic_fetch_add_explicit(&h->used[stack % STRIPES].bytes, bytes, memory_order_relaxed);
}

static void lock(struct heap *h)
{
    while (atomic_flag_test_and_set_explicit(&h->lock, memory_order_acquire))
        ;
}

static void unlock(struct heap *h)
{
    atomic_flag_clear_explicit(&h->lock, memory_order_release);
}

static void *must(void *p)
{
    if (!p)
        check_failed(__FILE__, __LINE__, "out of memory");
    return p;
}

static void *track(struct heap *h, struct block *b, size_t len)
{
    b->len = len;
    lock(h);
    list_add(&h->blocks, &b->link);
    unlock(h);
    count(h, (int64_t)len);
    return b + 1;
}

static struct block *untrack(struct heap *h, void *p)
{
    struct block *b = (struct block *)p - 1;

    lock(h);
    list_remove(&b->link);
    unlock(h);
    count(h, -(int64_t)b->len);
    return b;
}

void *heap_alloc(struct heap *h, size_t len)
{
    ASSERT(len < SIZE_MAX / 2);
    if (h->tracked)
        return track(h, must(calloc(1, sizeof(struct block) + len)), len);
    void *p = must(calloc(1, len ? len : 1));
    count(h, (int64_t)malloc_usable_size(p));
    return p;
}

void *heap_resize(struct heap *h, void *p, size_t len)
{
    ASSERT(len < SIZE_MAX / 2);
    if (h->tracked) {
        struct block *b = p ? untrack(h, p) : NULL;
        return track(h, must(realloc(b, sizeof(*b) + len)), len);
    }
    int64_t before = p ? (int64_t)malloc_usable_size(p) : 0;
    p = must(realloc(p, len ? len : 1));
    count(h, (int64_t)malloc_usable_size(p) - before);
    return p;
}

void heap_free(struct heap *h, void *p)
{
    if (!p)
        return;
    if (h->tracked) {
        free(untrack(h, p));
        return;
    }
    count(h, -(int64_t)malloc_usable_size(p));
    free(p);
}

char *heap_str(struct heap *h, struct slice s)
{
    char *p = heap_resize(h, NULL, s.len + 1);

    if (s.len)
        memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return p;
}

struct slice heap_copy(struct heap *h, struct slice s)
{
    if (!s.p)
        return SLICE_NULL;
    void *p = heap_resize(h, NULL, s.len);
    if (s.len)
        memcpy(p, s.p, s.len);
    return slice_of(p, s.len);
}

/* Chunks double from the first size to the last; a piece that is larger gets a chunk of its own. */
enum { ALIGN = 16, CHUNK_FIRST = 1024, CHUNK_LAST = 64 * 1024 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t room;
    size_t used;
    _Alignas(ALIGN) uint8_t bytes[];
};

void arena_init(struct arena *a, struct heap *h, size_t max)
{
    *a = (struct arena){.heap = h, .max = max};
}

static struct arena_chunk *chunk_add(struct arena *a, size_t len)
{
    size_t room = a->chunks ? 2 * (a->chunks->room + sizeof(struct arena_chunk)) : CHUNK_FIRST;

    room = (room > CHUNK_LAST ? CHUNK_LAST : room) - sizeof(struct arena_chunk);
    if (room < len)
        room = len;
    struct arena_chunk *c = heap_resize(a->heap, NULL, sizeof(*c) + room);
    *c = (struct arena_chunk){.older = a->chunks, .room = room};
    a->chunks = c;
    return c;
}

void *arena_alloc(struct arena *a, size_t len)
{
    struct arena_chunk *c = a->chunks;

    if (len > SIZE_MAX / 4)
        return NULL;
    len = (len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (len > a->max - a->used)
        return NULL;
    if (!c || len > c->room - c->used)
        c = chunk_add(a, len);
    uint8_t *p = c->bytes + c->used;
    c->used += len;
    a->used += len;
    return memset(p, 0, len);
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    void *p = s.p ? arena_alloc(a, s.len) : NULL;

    if (!p)
        return SLICE_NULL;
    if (s.len)
        memcpy(p, s.p, s.len);
    return slice_of(p, s.len);
}

char *arena_str(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.len + 1);

    if (p && s.len)
        memcpy(p, s.p, s.len);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(len >= 0);
    char *p = arena_alloc(a, (size_t)len + 1);
    if (p) {
        va_start(ap, fmt);
        vsnprintf(p, (size_t)len + 1, fmt, ap);
        va_end(ap);
    }
    return p;
}

/* The largest chunk that isn't an exception stays, so that an arena which is used again needs no allocation.
 */
void arena_reset(struct arena *a)
{
    struct arena_chunk *keep = NULL, *next;

    for (struct arena_chunk *c = a->chunks; c; c = next) {
        next = c->older;
        if (c->room <= CHUNK_LAST && (!keep || c->room > keep->room)) {
            heap_free(a->heap, keep);
            keep = c;
        } else {
            heap_free(a->heap, c);
        }
    }
    if (keep)
        *keep = (struct arena_chunk){.room = keep->room};
    a->chunks = keep;
    a->used = 0;
}

void arena_drop(struct arena *a)
{
    arena_reset(a);
    heap_free(a->heap, a->chunks);
    a->chunks = NULL;
}

void bytes_init(struct bytes *b, struct heap *h)
{
    *b = (struct bytes){.heap = h};
}

uint8_t *bytes_more(struct bytes *b, size_t len)
{
    ASSERT(len < SIZE_MAX / 4);
    if (len > b->room - b->len) {
        size_t room = b->room + b->room / 2;
        b->room = room < b->len + len ? b->len + len : room;
        if (b->room < 64)
            b->room = 64;
        b->p = heap_resize(b->heap, b->p, b->room);
    }
    b->len += len;
    return len > 0 ? b->p + b->len - len : b->p;
}

void bytes_add(struct bytes *b, const void *p, size_t len)
{
    if (len)
        memcpy(bytes_more(b, len), p, len);
}

void bytes_printf(struct bytes *b, const char *fmt, ...)
{
    va_list ap;

    ASSERT(fmt != NULL);
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(len >= 0);
    char *to = (char *)bytes_more(b, (size_t)len + 1);
    va_start(ap, fmt);
    vsnprintf(to, (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->len--; /* the NUL isn't part of it */
}

void bytes_drop(struct bytes *b)
{
    heap_free(b->heap, b->p);
    *b = (struct bytes){.heap = b->heap};
}
