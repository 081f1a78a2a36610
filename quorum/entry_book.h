/* Where raft's entries lie in the log: raft counts entries, the log counts offsets, and an entry is one batch. A row an
 * entry, for the stretch of the log that raft holds in memory; the row of a barrier or a configuration keeps that
 * batch as well, because raft itself keeps its own encoding of those.
 *
 * Loop:   the control loop.
 * Always: indexes and offsets of the rows follow each other without a gap; epochs never fall. */
#pragma once
#include "base/mem.h"

enum entry_kind { ENTRY_DATA, ENTRY_BARRIER, ENTRY_VOTERS };

struct entry_row {
    int64_t last_offset;
    int32_t epoch;
    enum entry_kind kind;
    struct slice batch; /* null for data */
};

struct entry_book {
    struct heap *heap;
    struct entry_row *v; /* rows front .. end - 1 */
    size_t front, end, room;
    uint64_t first; /* index of the first row */
    int64_t base;   /* its first offset */
};

void entry_book_init(struct entry_book *b, struct heap *h);
void entry_book_drop(struct entry_book *b);
/* No rows; the next one added has this index and begins at this offset. */
void entry_book_restart(struct entry_book *b, uint64_t index, int64_t offset);
/* The next entry; `batch` is copied unless it is data. */
void entry_book_add(struct entry_book *b, enum entry_kind kind, int32_t epoch, int64_t last_offset,
                    struct slice batch);
void entry_book_cut(struct entry_book *b, uint64_t index); /* this entry and those behind it are gone */
void entry_book_forget(struct entry_book *b,
                       uint64_t index); /* those up to this one needn't be known any more */

uint64_t entry_book_next(const struct entry_book *b); /* index of the next entry */
int64_t entry_book_end(const struct entry_book *b);   /* its first offset */
const struct entry_row *entry_book_row(const struct entry_book *b, uint64_t index); /* NULL: not held */
int64_t entry_book_offset(const struct entry_book *b,
                          uint64_t index); /* first offset of an entry held, or the next */
