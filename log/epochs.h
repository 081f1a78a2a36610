/* Which leader epoch began at which offset: a log's `leader-epoch-checkpoint`.
 * A pure core (a small sorted array) and its file, in Kafka's text format:
 *
 *     0                   version
 *     2                   how many lines follow
 *     0 0                 epoch, start offset
 *     4 1200
 *
 * Loop:   the log's own.
 * Memory: a log without epochs allocates nothing; 16 bytes a row.
 * Always: epochs and start offsets rise strictly from row to row, none is negative.
 *
 * The file may be older than the array after a crash, never newer than the log in what it says about records
 * that are there: a new epoch is saved before its first batch is written, cuts may be saved late, because
 * loading cuts again to what the log holds. Where the file is missing or wrong (a save that wasn't synced may be
 * torn by a power cut), epochs_assign() of each batch rebuilds it. */
#pragma once
#include "base/io.h"

#define EPOCHS_FILE "leader-epoch-checkpoint"

struct epoch_row {
    int32_t epoch;
    int64_t start;
};

struct epochs {
    struct heap *heap;
    struct epoch_row *rows;
    uint32_t n;
    uint32_t room;
};

/* -1, -1: not known. */
struct epoch_end {
    int32_t epoch;
    int64_t end;
};

void epochs_init(struct epochs *e, struct heap *h);
void epochs_drop(struct epochs *e);

/* The first batch of `epoch` lies at `start`. Rows that contradict it go. false: known already, nothing to
 * save. */
bool epochs_assign(struct epochs *e, int32_t epoch, int64_t start);
/* Rows that start at `end` or later go (the log was cut there). false: nothing changed. */
bool epochs_cut_end(struct epochs *e, int64_t end);
/* The log begins at `start` now: of the rows at or before it the last stays and starts there. */
bool epochs_cut_start(struct epochs *e, int64_t start);

int32_t epochs_latest(const struct epochs *e);             /* -1: none */
int32_t epochs_at(const struct epochs *e, int64_t offset); /* of the batch at that offset; -1: before all */
/* OffsetForLeaderEpoch: the largest known epoch that is not larger, and where it ended; that of the latest
 * epoch is `log_end`. An epoch older than all: itself, and the start of the first known one. A later one than
 * all: unknown. */
struct epoch_end epochs_end_of(const struct epochs *e, int32_t epoch, int64_t log_end);

/* Loads what the file says. E_NOENT: there is none; E_MALFORMED: it isn't one. `e` is empty after any error.
 */
enum err epochs_load(struct epochs *e, struct io *io, const char *dir);
/* Replaces the file: whole or not at all. sync: on disk when it returns; else a power cut may also leave it torn
 * (E_MALFORMED, never other rows) or missing, until the caller has synced it and its directory. */
enum err epochs_save(const struct epochs *e, struct io *io, const char *dir, bool sync);
