/* Producer state on disk: `<offset, 20 digits>.snapshot` holds what producers.h knows of the log below that
 * offset, in Kafka's format (big endian):
 *
 *     OFFSET  SIZE  DESCRIPTION
 *          0     2  version: 1
 *          2     4  CRC-32C of all that follows
 *          6     4  n, how many producers
 *         10  46*n  id 8, epoch 2, last sequence 4, last offset 8, its offset delta 4, last timestamp 8,
 *                   coordinator epoch 4, first offset of the open transaction 8 (-1: none)
 *
 * One is written when a segment is rolled and at a clean shutdown. Only the last batch of a producer is in
 * it: after a restart its window of duplicates is one batch and what the scan of the log's end adds. A file
 * that isn't whole is as good as none: an older one, or the start of the log, and a longer scan stand in for
 * it.
 *
 * Loop:   the log's own.
 * Memory: the file's bytes while it is read or written. */
#pragma once
#include "base/io.h"
#include "log/producers.h"

/* A partition's snapshot files by offset, rising. */
struct snapshot_list {
    struct heap *heap;
    int64_t *offsets;
    uint32_t n;
    uint32_t room;
};

enum err snapshot_list_read(struct snapshot_list *out, struct io *io, const char *dir);
void snapshot_list_drop(struct snapshot_list *l);

void snapshot_encode(const struct producers *p, struct bytes *out);
/* Adds the rows to `p`. E_MALFORMED, E_CORRUPT_MESSAGE: nothing is added. */
enum err snapshot_decode(struct producers *p, struct slice s);

/* Writes p->end's file unless the newest has that offset already. Unsynced it may be torn by a power cut. */
enum err snapshot_write(struct producers *p, struct io *io, const char *dir, bool sync);

/* `p` becomes what the newest whole snapshot in (log_start, log_end] tells, without those that have expired;
 * files outside that range, and those not whole, are removed for good. p->end says from where the log must be
 * applied: the snapshot's offset, or log_start. Also after the log was cut at its end. */
enum err snapshot_reload(struct producers *p, struct io *io, const char *dir, int64_t log_start,
                         int64_t log_end, int64_t now_ms, int64_t expiration_ms);

enum err snapshot_remove(struct io *io, const char *dir, int64_t offset);        /* fine if there is none */
enum err snapshot_remove_before(struct io *io, const char *dir, int64_t offset); /* exclusive */
/* Removes those that don't begin a segment, but for the newest if it lies past all of them (a clean
 * shutdown's). */
enum err snapshot_remove_strays(struct io *io, const char *dir, const int64_t *bases, uint32_t n);
