/* Files of a simulated disk, as they were whole, and as a row of edits leaves them:
 *
 *     edit    file 1, how 1 (128: cut there; else its low bits: so many bytes), offset 2, bytes */
#pragma once
#include "base/check.h"
#include "proto/bigend.h"
#include "tests/sim/sim.h"
#include "tests/wire/random.h"
#include <stdlib.h>

enum { STORED_MAX = 32, EDIT_HEAD = 4, EDIT_MAX = 31, FRESH_EDITS = 4, FRESH_AT = 2048, FRESH_BYTES = 8 };

struct stored {
    char path[96];
    uint8_t *p;
    size_t len;
};

struct stored_files {
    struct stored v[STORED_MAX];
    int n;
    struct sim *sim;
    int node;
};

static inline void stored_one(void *arg, const char *path, bool is_dir, int64_t size)
{
    struct stored_files *all = arg;
    struct stored *to = &all->v[all->n];
    size_t got;

    if (is_dir)
        return;
    ASSERT(all->n < STORED_MAX && strlen(path) < sizeof(to->path));
    strcpy(to->path, path);
    to->p = malloc((size_t)size + 1);
    to->len = (size_t)size;
    ASSERT(sim_file_read(all->sim, all->node, path, 0, to->p, to->len, &got) == E_OK && got == to->len);
    all->n++;
}

/* All that the node has; never freed. */
static inline void stored_keep(struct stored_files *all, struct sim *sim, int node)
{
    all->sim = sim;
    all->node = node;
    sim_files(sim, node, "/", stored_one, all);
}

static inline void stored_edit(uint8_t **p, size_t *len, uint8_t how, size_t at, const uint8_t *bytes,
                               size_t n)
{
    if (how & 128) {
        *len = at < *len ? at : *len;
        return;
    }
    if (at > *len)
        at = *len;
    if (at + n > *len) {
        *p = realloc(*p, at + n + 1);
        *len = at + n;
    }
    memcpy(*p + at, bytes, n);
}

/* What becomes of file i of n; the caller frees it. */
static inline uint8_t *stored_edited(const struct stored *v, int i, int n, struct slice edits, size_t *len)
{
    uint8_t *p = malloc(v[i].len + 1);

    memcpy(p, v[i].p, v[i].len);
    *len = v[i].len;
    while (edits.len >= EDIT_HEAD) {
        size_t more = edits.p[1] & EDIT_MAX;
        if (more > edits.len - EDIT_HEAD)
            more = edits.len - EDIT_HEAD;
        if (edits.p[0] % n == i)
            stored_edit(&p, len, edits.p[1], get_be16(edits.p + 2), edits.p + EDIT_HEAD, more);
        edits = slice_of(edits.p + EDIT_HEAD + more, edits.len - EDIT_HEAD - more);
    }
    return p;
}

/* Flags, and a few edits anywhere: what grows byte by byte from nothing takes long to touch a second file. */
static inline size_t stored_fresh(uint8_t *data, size_t max, unsigned seed)
{
    struct test_random r;
    size_t len = 1;

    test_random_init(&r, seed);
    data[0] = (uint8_t)test_random_next(&r);
    for (uint64_t n = 1 + test_random_below(&r, FRESH_EDITS); n > 0; n--) {
        size_t more = 1 + (size_t)test_random_below(&r, FRESH_BYTES);

        if (len + EDIT_HEAD + more > max)
            break;
        data[len] = (uint8_t)test_random_next(&r);
        data[len + 1] = test_random_below(&r, 8) ? (uint8_t)more : (uint8_t)(128 | more);
        put_be16(data + len + 2, (uint16_t)test_random_below(&r, FRESH_AT));
        for (size_t i = 0; i < more; i++)
            data[len + EDIT_HEAD + i] = (uint8_t)(test_random_below(&r, 2) ? test_random_next(&r) : 0xff);
        len += EDIT_HEAD + more;
    }
    return len;
}
