/* Where metadata comes from: a stream of record batches in order, whoever holds them: files, or a running cluster
 * (tools/meta_live.h).
 *
 * Loop:   the main thread.
 * Memory: a batch is lent until the next call; a file is read in pieces, so a log of gigabytes takes a window of it.
 * Always: whatever the bytes are, an error names where it was met; nothing asserts on them. */
#pragma once
#include "proto/batch.h"
#include "tools/tool.h"

enum { META_BATCH_MAX = 64 << 20 }; /* far above what a controller writes at once */

struct meta_batch {
    struct batch_view view;
    const char *where; /* the file's path; also set where next() fails, with `position` */
    int64_t position;
    int file; /* grows with each file of the source */
};

struct meta_source {
    /* E_EOF at the end. E_TRUNCATED, E_CORRUPT_MESSAGE …: no batch begins there, and none follows. The checksum is the
     * caller's to check. */
    enum err (*next)(struct meta_source *s, struct meta_batch *out);
    void (*close)(struct meta_source *s);
    const char
        *why; /* where next() failed: a whole sentence in place of the error; NULL: the error says it all */
};

/* ---- places ---- */

struct meta_file {
    const char *path;
    int64_t offset; /* by its name: a segment's first, a checkpoint's end; a file with another name: 0 */
    int32_t epoch;  /* of a checkpoint */
    struct meta_live
        *live; /* it is no file: a running cluster has it; NULL: a file. Of its log epoch is -1 */
};

/* What a path stands for: a directory with segments and checkpoints (or one that holds __cluster_metadata-0), one
 * checkpoint, or one segment with the checkpoints beside it. */
struct meta_place {
    const char *path;
    struct meta_file *logs, *checkpoints; /* by offset */
    int n_logs, n_checkpoints;
    bool directory;
};
/* false after tool_fail(). */
bool meta_place_find(struct tool *t, const char *path, struct meta_place *out);

/* The batches of these files from the one that holds offset `from` on; a cluster's log or snapshot is one. Lent: v. */
struct meta_source *meta_files(struct tool *t, const struct meta_file *v, int n, int64_t from);
