#include "quorum/log_walk.h"

enum { READ_BYTES = 1 << 20 };

struct walk {
    struct heap *heap;
    log_walk_fn each;
    void *arg;
    struct arena arena; /* of one batch */
    uint8_t *buf;
    size_t room;
    int64_t next;
};

static enum err walk_batch(struct walk *w, struct slice rest, size_t *used)
{
    struct batch_content c;
    enum err err;

    arena_reset(&w->arena);
    err = batches_read(rest, &w->arena, &c, used);
    if (err)
        return err;
    if (c.base_offset != w->next || c.last_offset < c.base_offset)
        return E_CORRUPT_MESSAGE;
    w->next = c.last_offset + 1;
    return w->each(w->arg, &c, slice_of(rest.p, *used), &w->arena);
}

/* One stretch of the log: whole batches, the last one may be cut. */
static enum err walk_range(struct walk *w, const struct log_range *range)
{
    size_t got, used;
    struct slice rest;
    enum err err;

    if (range->len > w->room) {
        w->room = range->len;
        w->buf = heap_resize(w->heap, w->buf, w->room);
    }
    err = file_read(range->file, range->at, w->buf, range->len, &got);
    for (rest = slice_of(w->buf, got); !err && rest.len > 0;) {
        err = walk_batch(w, rest, &used);
        if (err == E_TRUNCATED && rest.p != w->buf)
            return E_OK;
        if (!err)
            rest = slice_of(rest.p + used, rest.len - used);
    }
    return err;
}

enum err log_walk(struct log *log, struct heap *h, int64_t from, log_walk_fn each, void *arg)
{
    struct log_limits limits = {.up_to = log_end(log), .max_bytes = READ_BYTES, .min_one = true};
    struct walk w = {.heap = h, .each = each, .arg = arg, .next = from};
    enum err err = E_OK;

    arena_init(&w.arena, h, SIZE_MAX);
    while (!err && w.next < limits.up_to) {
        struct log_range range;

        err = log_read(log, w.next, &limits, &range);
        if (err)
            break;
        err = range.len > 0 ? walk_range(&w, &range) : E_CORRUPT_MESSAGE;
        log_range_drop(&range);
    }
    arena_drop(&w.arena);
    heap_free(h, w.buf);
    return err;
}
