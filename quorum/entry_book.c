#include "quorum/entry_book.h"
#include "base/check.h"

enum { ROWS_FIRST = 64 };

void entry_book_init(struct entry_book *b, struct heap *h)
{
    *b = (struct entry_book){.heap = h, .first = 1};
}

void entry_book_drop(struct entry_book *b)
{
    entry_book_restart(b, 1, 0);
    heap_free(b->heap, b->v);
}

static void rows_free(struct entry_book *b, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        heap_free(b->heap, b->v[i].batch.p);
}

void entry_book_restart(struct entry_book *b, uint64_t index, int64_t offset)
{
    rows_free(b, b->front, b->end);
    b->front = b->end = 0;
    b->first = index;
    b->base = offset;
}

/* Room for one more row: the rows move to the begin when half of the place in front of them is unused. */
static void row_room(struct entry_book *b)
{
    if (b->end < b->room)
        return;
    if (b->front > b->room / 2) {
        memmove(b->v, b->v + b->front, (b->end - b->front) * sizeof(b->v[0]));
        b->end -= b->front;
        b->front = 0;
        return;
    }
    b->room = b->room ? 2 * b->room : ROWS_FIRST;
    b->v = heap_resize(b->heap, b->v, b->room * sizeof(b->v[0]));
}

void entry_book_add(struct entry_book *b, enum entry_kind kind, int32_t epoch, int64_t last_offset,
                    struct slice batch)
{
    ASSERT(last_offset >= entry_book_end(b));
    ASSERT(b->front == b->end || epoch >= b->v[b->end - 1].epoch);
    row_room(b);
    b->v[b->end++] = (struct entry_row){.last_offset = last_offset,
                                        .epoch = epoch,
                                        .kind = kind,
                                        .batch = kind == ENTRY_DATA ? SLICE_NULL : heap_copy(b->heap, batch)};
}

void entry_book_cut(struct entry_book *b, uint64_t index)
{
    size_t at;

    ASSERT(index >= b->first && index <= entry_book_next(b));
    at = b->front + (size_t)(index - b->first);
    rows_free(b, at, b->end);
    b->end = at;
}

void entry_book_forget(struct entry_book *b, uint64_t index)
{
    size_t n;

    if (index < b->first)
        return;
    ASSERT(index < entry_book_next(b));
    n = (size_t)(index - b->first) + 1;
    b->base = b->v[b->front + n - 1].last_offset + 1;
    rows_free(b, b->front, b->front + n);
    b->front += n;
    b->first += n;
}

uint64_t entry_book_next(const struct entry_book *b)
{
    return b->first + (b->end - b->front);
}

int64_t entry_book_end(const struct entry_book *b)
{
    return b->end > b->front ? b->v[b->end - 1].last_offset + 1 : b->base;
}

const struct entry_row *entry_book_row(const struct entry_book *b, uint64_t index)
{
    return index >= b->first && index < entry_book_next(b) ? &b->v[b->front + (size_t)(index - b->first)]
                                                           : NULL;
}

int64_t entry_book_offset(const struct entry_book *b, uint64_t index)
{
    ASSERT(index >= b->first && index <= entry_book_next(b));
    return index == b->first ? b->base : entry_book_row(b, index - 1)->last_offset + 1;
}
