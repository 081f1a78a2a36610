/* One stretch of a log on disk. Names are the base offset in 20 digits; whole numbers are big-endian.
 *
 *     <base>.log        record batches, one after the other (proto/batch.h)
 *     <base>.index      8 bytes a row: last offset of a batch - base, position of that batch in .log
 *     <base>.timeindex  12 bytes a row: the largest timestamp so far, last offset of its batch - base
 *     <base>.txnindex   aborted transactions: its place; nothing aborts yet, so there is none
 *     <offset>.snapshot producers at that offset (snapshot_files.h)
 *
 * A row goes into the indexes for the first batch that begins more than index.interval.bytes after the last
 * row. Rows wait in memory (the tail) until there are INDEX_TAIL_MAX, a sync, a roll or a rest: losing them
 * costs a longer search, never a wrong answer.
 * Suffixes: .deleted: goes soon; .cleaned: compaction is writing it; .swap: it is replacing segments by it.
 * Loop:   the log's.
 * Memory: about 100 bytes at rest. */
#pragma once
#include "log/log.h"

enum segment_file { SEGMENT_LOG, SEGMENT_INDEX, SEGMENT_TIME, SEGMENT_FILES };
enum { INDEX_ROW = 8, TIME_ROW = 12, INDEX_TAIL_MAX = 64 };
#define INDEX_UNKNOWN UINT32_MAX

struct log_file;
struct segment_tail;
struct index_page;

struct segment {
    struct log *log;
    const char *suffix; /* "", or one of the above; static */
    int64_t base;
    int64_t size;     /* of .log: whole batches */
    int64_t last_end; /* offset behind its last batch; base when empty; -1: not known (a rolled segment at
                         rest) */
    int64_t max_timestamp; /* -1: none; INT64_MIN: not loaded */
    int64_t max_timestamp_offset;
    int64_t first_timestamp;  /* of its first batch, for rolling; INT64_MIN: not loaded */
    struct index_page *pages; /* cached, of both indexes */
    uint32_t index_n;         /* rows, those in the tail included; INDEX_UNKNOWN: not loaded */
    uint32_t time_n;
    uint8_t unsynced; /* a bit per segment_file */
    bool finished;    /* indexes are on their files and complete */
    bool no_index;    /* found without one: recovery makes it */
    bool mending;     /* … now, beside its place: both end in ".cleaned" until they are on disk */
    bool grown;       /* preallocated: the file is longer than `size` */
    struct log_file *files[SEGMENT_FILES];
    struct segment_tail *tail; /* NULL at rest */
};

struct segment *segment_new(struct log *log, int64_t base, const char *suffix); /* no file yet */
void segment_free(struct segment *s); /* closes; what waits in the tail is lost */
/* dir/name/<base>.<kind><suffix>; the caller frees it. */
char *segment_path(const struct segment *s, enum segment_file kind, const char *suffix);
/* An open descriptor, made if there is none, lent until the next call that opens one: file_ref() to keep it
 * longer. */
enum err segment_file(struct segment *s, enum segment_file kind, struct file **out);
void segment_files_close(struct segment *s);

/* Behind what is there: n slices that make up whole batches, `v` and `heads` say which. On an error nothing
 * was appended, and the bytes are cut off again, or the directory is offline. */
struct segment_batch {
    int64_t last_offset;
    int64_t max_timestamp;
    size_t len;
};
enum err segment_append(struct segment *s, const struct slice *bytes, int n,
                        const struct segment_batch *batches, int batches_n);
/* What an append notes of one batch that already lies at `at` in .log: recovery calls it alone. */
enum err segment_note(struct segment *s, const struct segment_batch *b, int64_t at);
enum err segment_tail(struct segment *s);       /* makes sure that there is one */
enum err segment_tail_write(struct segment *s); /* waiting rows go to their files */
enum err segment_finish(struct segment *s);     /* rolled or closed: last time row, tail, preallocated rest */
enum err segment_cut(struct segment *s, int64_t offset); /* to the start of the batch that holds it */
void segment_rest(struct segment *s);                    /* writes the tail if it can, closes everything */
enum err segment_indexes_clear(struct segment *s);
enum err segment_indexes_place(struct segment *s); /* mended and finished: on disk, and then in their place */
enum err segment_rename(struct segment *s, const char *suffix); /* all its files; those that lack are fine */

/* The first batch at or behind `from` in the file whose last offset is >= offset. E_EOF: none.
 * `head` speaks of bytes that aren't in memory: its p is NULL. */
enum err segment_find(struct segment *s, int64_t offset, int64_t *at, struct batch_view *head);
/* Header of the batch at `at`; E_EOF at the end. Reads ahead, so a walk is cheap. */
struct segment_walk {
    struct segment *s;
    struct file *file;
    int64_t at; /* of the next batch */
    int64_t buf_at;
    size_t buf_len;
    size_t ahead; /* how much is read at once */
    uint8_t *buf;
};
enum err segment_walk_open(struct segment_walk *w, struct segment *s, int64_t at, size_t ahead);
enum err segment_walk_head(struct segment_walk *w, struct batch_view *v); /* header only, v->p is NULL */
/* The whole batch in memory until the next call. E_CORRUPT_MESSAGE, E_TRUNCATED,
 * E_UNSUPPORTED_FOR_MESSAGE_FORMAT as batch_view(); the CRC is the caller's to check. */
enum err segment_walk_batch(struct segment_walk *w, struct batch_view *v);
void segment_walk_close(struct segment_walk *w);
/* max_timestamp of the batches that begin before `at`, from the last time row on by their headers: an index row may stand
 * on the disk when the time row that came with it doesn't. A long walk only where times don't rise. */
enum err segment_times_below(struct segment *s, int64_t at);
enum err segment_times(struct segment *s); /* fills max_timestamp, first_timestamp */
