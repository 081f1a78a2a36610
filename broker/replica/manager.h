/* The partitions of one DISK loop: which logs it has open, how far they are committed, and who waits for that.
 *
 * Loop:   all of it on the DISK loop that owns the partitions. Only partitions_stop()'s answer leaves it.
 * Memory: a partition that was never touched since the start costs its name and two offsets; a loaded one at rest some
 *         hundred bytes, no descriptor and no timer. One timer a loop, none while nothing is due.
 * Order:  appends of one mailbox turn are written, then synced together (those that must be), then answered. The high
 *         watermark moves before the answer leaves, and those who watch it are told then.
 * Always: 1. log start <= high watermark <= log end
 *         2. with log.durable, high watermark <= what is on disk
 *         3. the high watermark of a partition never moves back while this process leads it */
#pragma once
#include "base/list.h"
#include "broker/node.h"
#include "broker/replica/scatter.h"
#include "log/checkpoint.h"
#include "log/log.h"

enum { PARTITION_KEY = 20 };

struct partition {
    uint8_t key[PARTITION_KEY]; /* topic id, index in big endian */
    struct uuid topic_id;
    int32_t index;
    int32_t leader_epoch;
    bool leads; /* this node, as the image has it */
    int64_t hw;
    int64_t warm_from; /* what was appended since it was loaded begins here */
    struct log *log;
    struct log_config *own_config; /* NULL: the loop's defaults serve */
    struct list watchers;          /* struct watch.link */
    struct list unsynced;          /* in partitions.unsynced while a flush is due */
    struct list dirty;             /* in upkeep's list while write-back hasn't begun */
    bool appended;                 /* since the last round of retention */
    bool compacted;
};

/* A partition that has, or will have, a directory. */
struct resting {
    struct slice name;
    int dir;    /* index in log.dirs */
    bool fresh; /* chosen in this life and not loaded since: there is no directory yet */
    int64_t recovery_point;
    int64_t start;
    int64_t hw;
    struct partition *loaded; /* NULL: at rest, the offsets above hold */
};

/* How a loop hears that another one lost a directory. */
struct dir_down {
    struct msg msg;
    atomic_flag told;
    struct partitions *partitions;
    int dir;
};

struct partitions {
    struct disk_loop *disk;
    struct io *io;
    struct heap *heap;
    struct codec_cache *codecs;
    struct log_env *env;
    struct log_dir **dirs; /* as log.dirs */
    struct log_dir_past *past;
    struct dir_down *down;
    struct uuid *dir_ids; /* zero: it couldn't be read at the start */
    uint32_t *dir_counts; /* of `resting` */
    int n_dirs;
    bool unlisted;              /* partitions_unlisted() was called */
    struct log_config defaults; /* of topics without settings of their own */
    struct map loaded;          /* key → struct partition */
    struct map resting;         /* name → struct resting; loaded ones too */
    struct list unsynced;       /* partitions with appends that wait for the flush of this turn */
    struct list commits;        /* lanes that are answered after it */
    struct msg commit;          /* to this loop itself: runs when the mailbox of now has been served */
    bool commit_posted;
    struct upkeep *upkeep;
    struct cleaner *cleaner;
    bool moved;            /* some offset of the checkpoints may have changed */
    struct moving *moving; /* move.h; NULL: nothing moves */
    struct list held;      /* lanes that wait for partitions on their way here, in order */
    struct msg close;
    bool *dir_ok;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* Adds this loop's rows of one directory to its checkpoints, ROWS_KINDS of them. */
void partitions_checkpoint(struct partitions *ps, int dir, struct checkpoint *rows);
/* A topic in CHECKPOINT_TOPICS. */
int64_t checkpoint_topic(const struct uuid *topic_id);

/* What the start found on disk, handed to the loop that owns it before anything else happens there. */
/* What is told of one of the log.dirs. */
struct dir_told {
    struct log_dir_past past;
    struct uuid id;
};
struct partitions *partitions_new(struct disk_loop *disk, const struct dir_told *dirs, int n_dirs);
/* false: it is known already, from another directory. */
bool partitions_found(struct partitions *ps, int dir, struct slice name, int64_t recovery_point,
                      int64_t start, int64_t hw);
/* What lies in that directory isn't known, because it couldn't be read at the start: nothing is served from it, and a
 * partition that was found nowhere lies there, unless its topic is made after this start. Before the loop's first image. */
void partitions_unlisted(struct partitions *ps, int dir);
void partitions_run(struct partitions *ps); /* upkeep begins */
/* Every log is on disk and closed, then `closed` runs on this loop. dir_ok[i] turns false where a log of that directory
 * could not be closed: it is scanned at the next start. Rows for the checkpoints stay until partitions_drop(). */
void partitions_close(struct partitions *ps, bool *dir_ok, void (*closed)(void *arg), void *arg);
void partitions_drop(struct partitions *ps); /* after its loop has stopped */

/* The image's listener. */
void partitions_adopted(struct partitions *ps, const struct published *old, const struct published *now);

/* The partition that this node leads, loaded now if it wasn't.
 * E_UNKNOWN_TOPIC_OR_PARTITION, E_UNKNOWN_TOPIC_ID, E_NOT_LEADER_OR_FOLLOWER, E_KAFKA_STORAGE_ERROR */
enum err partition_find(struct partitions *ps, const struct uuid *topic_id, int32_t index,
                        struct partition **out);
/* E_NOT_LEADER_OR_FOLLOWER: another node is to be asked, as the image has it. A replica of this node that nobody leads is for
 * its DISK loop to answer for, which knows of directories that are lost. */
enum err partition_led(const struct image_partition *ip, int32_t node_id);
/* What a client believes of the epoch: -1 believes anything.
 * E_FENCED_LEADER_EPOCH: older than ours; E_UNKNOWN_LEADER_EPOCH: newer */
enum err partition_epoch_check(const struct partition *p, int32_t current_leader_epoch);
/* Where the records of an epoch end here. The leader's own epoch begins where it took over, though no record of it may
 * be there yet. epoch -1: it isn't known. */
struct epoch_end partition_epoch_end(const struct partition *p, int32_t epoch);

/* ---- append and commit ---- */
/* Appends; when it is to be on disk first, the lane is to be answered through partitions_commit(). */
enum err partition_append(struct partitions *ps, struct partition *p, struct log_append *a, bool *wait);
/* `committed` runs after this turn's flush, in the order of these calls; it looks for itself how far its partitions
 * got, for a flush may fail and a partition may be gone. */
void partitions_commit(struct partitions *ps, struct lane *lane, void (*committed)(struct lane *));
/* The partition of that directory, loaded if need be; NULL: it can't be, or isn't in the metadata any more. */
struct partition *partition_of_name(struct partitions *ps, const struct resting *r);
struct partition *partition_loaded(struct partitions *ps, const struct uuid *topic_id,
                                   int32_t index); /* or NULL */
/* Recomputes the high watermark and tells the watchers. */
void partition_advance(struct partition *p);
void partition_tell(struct partition *p, int64_t bytes); /* INT64_MAX: whatever they wait for */

/* ---- waiting for records ---- */
/* A fetch that waits, as far as one lane goes: it is told once, when `need` more bytes were appended or a partition
 * that it watches went away. */
struct watcher {
    struct list watches; /* struct watch.mine */
    struct list ready;   /* while partition_tell() picks those to tell */
    int64_t need;
    uint32_t told; /* how often; not while a wake is on its way */
    struct loop *back;
    struct msg wake; /* to `back` */
};
struct watch {
    struct list link; /* the partition's */
    struct list mine; /* the watcher's */
    struct watcher *watcher;
};
void watcher_init(struct watcher *w, struct loop *back, void (*woken)(struct msg *));
void watcher_add(struct watcher *w, struct watch *watch, struct partition *p);
void watcher_clear(struct watcher *w); /* watches nothing any more */
