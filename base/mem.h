/* A node's memory.
 * heap    all that a node allocates comes from its heap, so a simulated crash drops it in one call. Any thread.
 *         Out of memory ends the process: what clients can make us hold is bounded where they are admitted.
 * arena   many small pieces with one end: a request's, a decoded record's. One thread at a time.
 * slice   some bytes that belong to somebody else; p == NULL is Kafka's null, len 0 with p != NULL is empty. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    uint8_t *p;
    size_t len;
};

#define SLICE(str) ((struct slice){.p = (uint8_t *)(str), .len = strlen(str)})
#define SLICE_NULL ((struct slice){0})

static inline struct slice slice_of(const void *p, size_t len)
{
    return (struct slice){.p = (uint8_t *)p, .len = len};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

int slice_cmp(struct slice a, struct slice b); /* bytewise; the shorter first */

struct heap;
struct heap *heap_new(bool tracked); /* tracked: heap_drop() frees what is left; costs a lock and a header */
void heap_drop(struct heap *h);      /* with all its blocks if tracked, else it must be empty */
size_t heap_used(const struct heap *h);                 /* bytes asked for and not given back */
void *heap_alloc(struct heap *h, size_t len);           /* zeroed; never NULL */
void *heap_resize(struct heap *h, void *p, size_t len); /* what grows isn't zeroed; p may be NULL */
void heap_free(struct heap *h, void *p);                /* NULL is fine */
char *heap_str(struct heap *h, struct slice s);         /* a copy, with a NUL at the end */
struct slice heap_copy(struct heap *h, struct slice s); /* a copy; of null, null */

/* Pieces are aligned to 16, zeroed, and gone at the reset. Past `max` bytes arena_alloc() returns NULL, which is
 * how a hostile request meets its bound: every other user sets max to SIZE_MAX and never sees NULL. */
struct arena_chunk;
struct arena {
    struct heap *heap;
    struct arena_chunk *chunks; /* newest first */
    size_t used;                /* bytes handed out since the reset */
    size_t max;
};
void arena_init(struct arena *a, struct heap *h, size_t max);
void *arena_alloc(struct arena *a, size_t len);
struct slice arena_copy(struct arena *a, struct slice s);
char *arena_str(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_reset(struct arena *a); /* keeps one chunk */
void arena_drop(struct arena *a);

/* Bytes that grow: text, encodings. */
struct bytes {
    struct heap *heap;
    uint8_t *p;
    size_t len;
    size_t room;
};
void bytes_init(struct bytes *b, struct heap *h);
uint8_t *bytes_more(struct bytes *b, size_t len); /* len bytes at the end, not zeroed */
void bytes_add(struct bytes *b, const void *p, size_t len);
void bytes_printf(struct bytes *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bytes_drop(struct bytes *b);
static inline struct slice bytes_slice(const struct bytes *b)
{
    return slice_of(b->p, b->len);
}
