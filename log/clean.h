/* Compaction of one log: of the records with the same key in its cleaned part the last one stays.
 * Two passes over closed segments, both in short steps between which the log goes on taking appends and
 * reads: map    the keys of the dirty part and the last offset of each (clean_map.h), as many as fit copy
 * each group of segments up to there becomes one, batch by batch (clean_batch.h), and takes their place
 *          (clean_swap.h)
 * Readers that hold a replaced segment's file read on in it: files are counted.
 *
 * Loop:   the log's. A log has one cleaning at a time, which is ended before the log is closed or deleted.
 * Memory: the map (24 bytes a key, at most `map_bytes`), one step's bytes, one batch uncompressed.
 * Order:  clean_new(), clean_step() until it isn't E_BUSY, clean_reached() to the checkpoint, clean_drop().
 */
#pragma once
#include "log/clean_choose.h"

struct clean;

enum { CLEAN_STEP_BYTES = 256 * 1024 };

struct clean_progress {
    int64_t bytes_read; /* both passes */
    int64_t bytes_written;
    int64_t records_read;
    int64_t records_kept;
    uint32_t segments_before;
    uint32_t segments_after;
};

/* What cleaning this log now would mean. checkpoint: its row of cleaner-offset-checkpoint, -1 if there is
 * none. stable_end: high watermark, or the first offset that a transaction holds open. May load timestamps of
 * segments. */
enum err clean_look(struct log *log, int64_t checkpoint, int64_t stable_end, int64_t now_ms,
                    struct clean_range *out);

struct clean *clean_new(struct log *log, const struct clean_range *range, uint64_t map_bytes, int64_t now_ms);
/* How full its map of keys may get (0 to 1; above 0.9 it is 0.9), and how much one step reads. */
void clean_tune(struct clean *c, double map_load, int64_t step_bytes);
/* Reads about CLEAN_STEP_BYTES more, where clean_tune() didn't say otherwise.
 * E_BUSY         there is more to do
 * E_OK           done
 * E_CANCELED     the log lost segments meanwhile (retention, a cut): begin anew; what was swapped stays
 * cleaned E_NOMEM        the map doesn't hold the keys of one batch, or a record is too large: this log can't
 * be cleaned E_CORRUPT_MESSAGE, E_INVALID_RECORD   nor can it: a batch in it is damaged E_FULL         no
 * space for the copy: later else           the directory is offline */
enum err clean_step(struct clean *c, int64_t now_ms);
/* The log is clean below this offset once clean_step() said E_OK. */
int64_t clean_reached(const struct clean *c);
const struct clean_progress *clean_progress(const struct clean *c);
void clean_drop(struct clean *c); /* at any time; removes a copy that wasn't finished */
