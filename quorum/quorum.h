/* How the cluster agrees on a row of record batches. No raft types here, and no networking: the composition
 * root joins send() and quorum_deliver() to the connections between brokers. local.c is one voter without
 * raft on the same files.
 *
 *     <metadata.log.dir>/__cluster_metadata-0/   0000….log …, quorum-state, <offset>-<epoch>.checkpoint
 *
 * Loop:   the control loop calls and is called; files are written on a DISK loop of its own, so nothing here
 *         waits.
 * Memory: entries are embedded in their owners and lent, with their bytes, until `done`.
 * Order:  entries become durable and are told in the order submitted; many share one flush. Callbacks never
 *         run inside a call.
 * Ends:   a file that fails stops the quorum: `failed` says so once, later and pending entries end with that
 *         error. What was told as committed stays so.
 * Full:   a reserve is given up for entries, and `room` says so. When that is used up too, entries wait, in order, until
 *         the disk has room again; a snapshot is put off. At the start, before `leader`, and after quorum_end_waits()
 *         a disk without any room fails like any other error. */
#pragma once
#include "base/io.h"
#include "metadata/image.h"

struct quorum;

struct quorum_entry {
    struct msg msg; /* the quorum's own */
    struct quorum *quorum;
    struct slice bytes; /* one record batch; base offset and leader epoch already in it */
    int64_t base_offset;
    int64_t last_offset;
    enum err err;
    void (*done)(struct quorum_entry *e, enum err err); /* E_OK: committed */
};

struct quorum_settings {
    const char *dir; /* metadata.log.dir; exists */
    int32_t node_id;
    struct uuid directory_id;
    int64_t snapshot_bytes; /* metadata.log.max.record.bytes.between.snapshots */
    int64_t snapshot_ms;    /* metadata.log.max.snapshot.interval.ms; 0: never by time */
    int64_t segment_bytes;  /* metadata.log.segment.bytes */
    int64_t segment_ms;
    int64_t retention_bytes; /* metadata.max.retention.bytes; -1: no limit */
    int64_t retention_ms;
};

struct quorum_ops {
    /* Once: the state that was on the disk (its reference goes over), before any other callback. */
    void (*loaded)(void *arg, struct image *image);
    /* Who leads. self: the barrier has committed; the next record gets next_offset. leader -1: nobody known.
     */
    void (*leader)(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset);
    /* A batch of another leader has committed. */
    void (*committed)(void *arg, struct slice batch);
    /* The committed image, for a snapshot; given back by released(). Asked after a commit, at most one at a
     * time. */
    struct image *(*hold)(void *arg);
    void (*released)(void *arg, struct image *image);
    void (*failed)(void *arg, enum err err, const char *what);
    /* tight: the disk is full and entries live on its reserve (log/reserve.h): from now on only those that free room
     * should come; false: all may again. NULL: nobody cares. */
    void (*room)(void *arg, bool tight);
    void (*send)(void *arg, int32_t node, struct slice bytes);
    void *arg;
};

/* Opens or makes the directory and starts; `loaded`, then `leader`, or `failed`. Strings of `settings` are
 * copied. */
struct quorum *quorum_start(struct io *io, struct loop *control, struct grave *grave,
                            const struct quorum_settings *settings, const struct quorum_ops *ops);
void quorum_submit(struct quorum *q, struct quorum_entry *e);
void quorum_deliver(struct quorum *q, int32_t node, struct slice bytes);
/* A snapshot of the committed image, now (before a long rest, for tools); nothing if one is under way. */
void quorum_snapshot(struct quorum *q);

struct quorum_view {
    int32_t leader; /* -1: unknown */
    int32_t epoch;
    int64_t log_start, end, committed;
    int64_t snapshot;  /* offset of the newest; -1: none */
    int32_t voters[7]; /* node ids */
    int n_voters;
    enum err failed; /* E_OK: well */
};
struct quorum_view quorum_view(const struct quorum *q);

/* A stop is near: from now on a full disk is a failure like any other, so that what waits for room ends. Once. */
void quorum_end_waits(struct quorum *q);
/* Waits for what was submitted, but not for room; keeps a snapshot if the next start would else read much,
 * syncs, closes; `stopped` is posted to the control loop, after it nothing of q exists. */
void quorum_stop(struct quorum *q, struct msg *stopped);
