/* How the cluster agrees on a row of record batches. No raft types here, and no networking: the composition
 * root joins send() and quorum_deliver() to the connections between controllers. local.h has one voter without
 * raft on the same files, for unit tests.
 *
 *     <metadata.log.dir>/__cluster_metadata-0/   0000….log …, quorum-state, <offset>-<epoch>.checkpoint
 *
 * Loop:   the control loop calls and is called; files are written on a DISK loop of its own, so nothing here
 *         waits.
 * Memory: entries are embedded in their owners and lent, with their bytes, until `done`.
 * Order:  entries become durable and are told in the order submitted; many share one flush. Callbacks never
 *         run inside a call.
 * Ends:   a file that fails stops the quorum: `failed` says so once, later and pending entries end with that
 *         error. What was told as committed stays so. The process may start the quorum again on the same files, with the same
 *         quorum_mark: what was synced must be there, what wasn't is cut, for of that nothing was told to anybody: no entry
 *         was acknowledged, no vote given.
 * Full:   a reserve is given up for entries, and `room` says so. When that is used up too, a leader gives way to a voter
 *         that has stored what it couldn't. Else entries wait, in order, until the disk has room again; a snapshot is put
 *         off. A new term or vote can't wait: without room for that file it fails. At the start, before `loaded`, where others
 *         vote too, and after quorum_end_waits() a disk without any room fails like any other error. */
#pragma once
#include "base/io.h"
#include "log/log.h"
#include "metadata/image.h"

struct quorum;

struct quorum_entry {
    struct msg msg;     /* the quorum's own */
    void *owner;        /* the quorum's too */
    struct slice bytes; /* one record batch; base offset and leader epoch already in it */
    int64_t base_offset;
    int64_t last_offset;
    enum err err;
    void (*done)(struct quorum_entry *e, enum err err); /* E_OK: committed */
};

enum {
    QUORUM_VOTERS_MAX = 7,
    QUORUM_STEP_BYTES = 1 << 14 /* of batches told in one callback, one of which may be longer */
};

/* What one quorum of a process knew of its files when it ended, for the next one on the same directory. Zeroed at first, and
 * kept by the caller; lent to each. What the files say is believed only as far as it agrees: a disk that comes back with
 * less than was synced, or another one in its place, is no reason to vote again. */
struct quorum_mark {
    bool known;
    int64_t end; /* of what was synced of the log */
    int32_t epoch, voted_id;
    int64_t removed_index;
    bool failed; /* one has failed and none was well since: the log says the next failure more quietly */
};

struct quorum_settings {
    const char *dir; /* metadata.log.dir; exists */
    int32_t node_id;
    struct uuid directory_id;
    /* Who begins a new log together, as node ids, each with its directory where that is known already (not zero). None:
     * this node alone. A log that is there says itself who votes. */
    int32_t voters[QUORUM_VOTERS_MAX];
    struct uuid voter_directories[QUORUM_VOTERS_MAX];
    int n_voters;
    /* A new log begins with kraft.version 0: the voters are those of controller.quorum.voters, which every start must say
     * alike, until QUORUM_UPGRADE. Else with 1: they come and go. Whose directories aren't known is told below. */
    bool fixed;
    bool joins;           /* this node begins no log; it follows until a configuration names its directory */
    bool observes;        /* this node follows and never votes */
    int32_t election_ms;  /* quorum.election.ms, ours: silence of the leader before an election */
    int32_t heartbeat_ms; /* and how often it speaks */
    /* An earlier life of this process has told the image of this offset: `loaded` waits for what comes behind it. 0: none */
    int64_t told;
    struct quorum_mark *mark; /* NULL: this quorum is the only one of its process */
    int64_t snapshot_bytes;   /* metadata.log.max.record.bytes.between.snapshots */
    /* Kept in memory behind a snapshot, for voters that lag less than that; 0: some thousands. */
    int32_t trailing_entries;
    int64_t snapshot_ms;   /* metadata.log.max.snapshot.interval.ms; 0: never by time */
    int64_t segment_bytes; /* metadata.log.segment.bytes */
    int64_t segment_ms;
    int64_t retention_bytes; /* metadata.max.retention.bytes; -1: no limit */
    int64_t retention_ms;
};

struct quorum_checkpoint {
    int64_t offset;
    int32_t epoch;
};

struct quorum_ops {
    /* Once, before any other callback: the state as it was when this node had caught up with a leader for the
     * first time, itself or another (the reference goes over). An older state is never told: partitions that it
     * doesn't know would look like strangers. */
    void (*loaded)(void *arg, struct image *image);
    /* Who leads. self: the barrier has committed; the next record gets next_offset. leader -1: nobody known. The epoch never
     * falls, but where this node is outside, heard of it without a leader, and then that its teller is no voter any more.
     */
    void (*leader)(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset);
    /* This node leads, and the log has got a control batch: the next record gets this offset. Runs inside the call
     * that caused it. */
    void (*skipped)(void *arg, int64_t next_offset);
    /* A batch that wasn't submitted here, or whose `done` has told an error, has committed. */
    void (*committed)(void *arg, struct slice batch);
    /* The leader's snapshot took the place of what had committed here; the reference goes over. */
    void (*installed)(void *arg, struct image *image);
    /* The committed image, for a snapshot; given back by released(). Asked after a commit, at most one at a
     * time. NULL: not now, in the middle of a transaction; a later commit asks again. */
    struct image *(*hold)(void *arg);
    void (*released)(void *arg, struct image *image);
    /* A leader's disk that is silent counts too, once another voter has stored what it hasn't; then a stop
     * takes until the disk answers. */
    void (*failed)(void *arg, enum err err, const char *what);
    /* tight: the disk is full and entries live on its reserve (log/reserve.h): from now on only those that free room
     * should come; false: all may again. NULL: nobody cares. */
    void (*room)(void *arg, bool tight);
    /* Bytes for quorum_deliver() of that voter; lent for the call. Messages to one node arrive in order or not at
     * all. false: dropped at once, there is no connection or too much waits on it. */
    bool (*send)(void *arg, int32_t node, struct slice bytes);
    /* Asks a voter for a stretch of its checkpoint (FetchSnapshot); it comes by quorum_piece(). */
    void (*ask)(void *arg, int32_t node, struct quorum_checkpoint id, int64_t at);
    /* An observer asks for what has committed from `offset` on; `epoch` is that of the batch before it, -1: none. One
     * question at a time, and none once quorum_stop() was called; quorum_fetched() answers it, when there is something to
     * tell, sooner or later: who doesn't get an answer from one voter asks the next. NULL: this node never observes. */
    void (*fetch)(void *arg, int64_t offset, int32_t epoch);
    /* The newest configuration is another one: quorum_view() tells it. It may not have committed, and may go again. Connections
     * follow it, both ways: a new voter is in it before it knows. NULL: nobody cares. */
    void (*voters)(void *arg);
    /* This node is something else from now on, and the quorum can't change what it is while it runs: the broker stops it
     * and starts it again, when that suits. member: it followed, and a configuration names its directory; false: it was
     * removed, and does nothing any more. Once in a start, also before `loaded`. NULL: nobody cares. */
    void (*role)(void *arg, bool member);
    void *arg;
};

/* Opens or makes the directory and starts; `loaded`, then `leader`, or `failed`. Strings of `settings` are
 * copied. The log decides what this node is: the newest configuration in it names the node's directory, or one of the
 * setting's where there is no log yet, and it is a voter, or about to be one; else it follows (ops.fetch). */
struct quorum *quorum_start(struct io *io, struct loop *control, struct grave *grave,
                            const struct quorum_settings *settings, const struct quorum_ops *ops);

/* What a voter answered to ops.fetch(). Bytes that don't continue this node's log are dropped and asked for again; what
 * contradicts it stops the quorum: nothing that committed is ever cut. */
struct quorum_fetched {
    int64_t offset; /* asked for */
    int32_t node;   /* who answers: its snapshot may be asked for next */
    enum err err;   /* E_OK, or E_OFFSET_OUT_OF_RANGE: its log has ended before `offset`, though it leads */
    bool diverges;  /* it has another batch before `offset` */
    int32_t leader; /* as it knows; -1: nobody */
    int32_t epoch;  /* and the newest epoch */
    int64_t committed;
    struct quorum_checkpoint snapshot; /* to begin with, because the log before it is gone; offset -1: none */
    struct slice batches;              /* committed ones, lent; the last may be cut */
};
void quorum_fetched(struct quorum *q, const struct quorum_fetched *f);

/* E_NOT_CONTROLLER from `done`: leadership was lost; the batch may commit all the same, as somebody else's. */
void quorum_submit(struct quorum *q, struct quorum_entry *e);
/* The node at the other end of a connection said that this is its directory, before anything of it is delivered. What comes
 * from another directory than the configuration says is dropped: an emptied disk doesn't vote. */
void quorum_hello(struct quorum *q, int32_t node, const struct uuid *directory_id);
/* What a voter sent, or a node that was or will be one: whoever may speak to controllers. false: the bytes don't read, and
 * were dropped with a trace row. */
bool quorum_deliver(struct quorum *q, int32_t node, struct slice bytes);
/* What ops.ask() asked for, in one piece of a file of `size` bytes; err: it could not be had. */
void quorum_piece(struct quorum *q, struct quorum_checkpoint id, int64_t at, int64_t size, struct slice bytes,
                  enum err err);
/* That voter's process is known to be dead (its connections closed and its listener refuses): if it led, the
 * survivor with the lowest id stands for election at once. */
void quorum_dead(struct quorum *q, int32_t node);
/* It lives again, or for the first time: another one counts on it to stand. */
void quorum_alive(struct quorum *q, int32_t node);

/* Is this node still the leader, seen from now? `done` runs when a majority has said that it knows of no later epoch
 * (E_OK), or when this node doesn't lead any more (E_NOT_CONTROLLER). Many may wait; one round serves all of a turn. */
struct quorum_confirm {
    struct list link;
    int64_t round;
    void (*done)(struct quorum_confirm *c, enum err err);
};
void quorum_confirm(struct quorum *q, struct quorum_confirm *c);

/* What has committed is told to all voters now, not within milliseconds: a broker waits to hear of it. */
void quorum_hurry(struct quorum *q);

/* The committed log and the checkpoints as files, for Fetch, FetchSnapshot and tools: read on the quorum's DISK loop,
 * `done` on `back`, before quorum_stop(). Lent until then. E_SNAPSHOT_NOT_FOUND, E_POSITION_OUT_OF_RANGE,
 * E_OFFSET_OUT_OF_RANGE, E_KAFKA_STORAGE_ERROR. */
struct quorum_read {
    struct msg msg; /* the quorum's, and */
    void *owner;    /* this */
    struct loop *back;
    int64_t offset;     /* of the log; or the position in the checkpoint */
    int32_t last_epoch; /* of the reader's batch before `offset`: is it ours? -1: it doesn't say */
    size_t max_bytes;
    bool is_checkpoint;
    struct quorum_checkpoint checkpoint;
    /* out */
    enum err err;
    struct log_range range; /* the caller's to drop */
    int64_t log_start, committed, size;
    bool diverges;                   /* another batch lies before `offset` here: where the reader's epoch */
    int32_t ours_epoch;              /* … or the one before it … */
    int64_t ours_end;                /* … ends here */
    int64_t end;                     /* of the log, what hasn't committed included */
    int32_t leader, epoch;           /* as in quorum_view, when it was asked */
    struct quorum_checkpoint newest; /* offset -1: none */
    void (*done)(struct quorum_read *r);
};
void quorum_read(struct quorum *q, struct quorum_read *r);
/* A snapshot of the committed image, now (before a long rest, for tools); nothing if one is under way. */
void quorum_snapshot(struct quorum *q);

/* The voters come and go, one at a time, each step an entry of the log; only the leader takes a change. `done` runs once,
 * never inside quorum_change():
 *
 *     E_OK                     the new configuration has committed
 *     E_NOT_CONTROLLER         this node doesn't lead, or doesn't any more: the change may come about or not. To remove the leader
 *                              itself it gives its leadership away and ends so: asked again, the next leader does it.
 *     E_REQUEST_TIMED_OUT      another change is under way, or the new voter didn't catch up within 5 s: it isn't one
 *     E_DUPLICATE_VOTER        the node is a voter already, under this directory or another
 *     E_VOTER_NOT_FOUND        no such voter in that directory
 *     E_INVALID_REQUEST        it would lose the majority, or there is no room; `why` says it in words
 *     E_UNSUPPORTED_VERSION    kraft.version is 0 (or, to upgrade, isn't, and that has committed)
 *
 * An added directory is caught up before it votes. It must run, following (settings.joins); it is told by ops.role. Who was
 * removed learns it from the leader; who was removed while it was down asks those that it takes for voters when it comes back, and each
 * that has seen a later configuration commit tells it, also one that has been removed itself. A change
 * that a leader left half done, an added one that doesn't vote yet, is undone by the next leader. */
enum quorum_change_kind { QUORUM_ADD, QUORUM_REMOVE, QUORUM_UPGRADE /* of kraft.version, from 0 to 1 */ };
enum { QUORUM_WHY_MAX = 160 };
/* The disks of fixed voters (kraft.version 0). Nobody knows their directories when a cluster begins: each says its own when it
 * connects (quorum_hello), and the leader notes it in the log.
 *
 *     An empty disk doesn't vote. It follows (ops.fetch), and becomes a voter (ops.role) when a committed configuration names its
 *     directory; or it begins the log, when every voter of the setting has said in this start that it has none yet, or
 *     nothing in it: all are needed for that once, a majority from then on.
 *     A voter that comes with another directory than noted is a new server. The leader replaces it by itself, one at a time,
 *     while a majority of the directories that it noted is present, with a line for each step: the old one is taken out,
 *     the new one added and caught up (5 s; else it goes again, and is tried again later), and votes. A leader that
 *     falls in the middle leaves it to the next: the configuration says which node is awaited.
 *     With so many new ones that those left are no majority, nothing is replaced and nobody is elected; who is left says so. */
struct quorum_change {
    struct msg msg; /* the quorum's own */
    void *owner;    /* the quorum's too */
    enum quorum_change_kind kind;
    int32_t node;
    struct uuid directory_id;
    char why[QUORUM_WHY_MAX]; /* out: in words, "" where the code says all */
    void (*done)(struct quorum_change *c, enum err err);
};
void quorum_change(struct quorum *q, struct quorum_change *c);
/* What has committed says that kraft.version is to be 1: from now on this node raises it when it leads, as soon as no other
 * change of the voters is under way. Where it is 1 already nothing happens. May be called in callbacks. */
void quorum_raise(struct quorum *q);

struct quorum_view {
    int32_t leader; /* -1: unknown */
    int32_t epoch;
    int64_t log_start, end, committed;
    int64_t snapshot; /* offset of the newest; -1: none */
    int32_t
        voters[QUORUM_VOTERS_MAX]; /* node ids: the newest configuration, whether it has committed or not */
    int n_voters;
    /* How far each voter has come, as this node knows while it leads; the wall clock's ms. -1: not known. Of itself it
     * says nothing but `end`. */
    struct quorum_progress {
        struct uuid directory_id; /* zero: not known */
        bool votes;               /* false: added, and being caught up */
        int64_t end;
        int64_t heard_ms;          /* its last answer to an append */
        int64_t caught_up_ms;      /* when it last had all that this node had */
    } progress[QUORUM_VOTERS_MAX]; /* as voters */
    int kraft_version;
    bool observes;   /* this node isn't among them, and follows */
    bool removed;    /* because it was taken out, and hasn't been added since */
    enum err failed; /* E_OK: well */
    bool for_good;   /* … not well, and this process must not start it again on these files */
};
struct quorum_view quorum_view(const struct quorum *q);
/* Where that node stands among the voters, as in `progress`; -1: it is none. */
static inline int quorum_view_voter(const struct quorum_view *v, int32_t node)
{
    for (int i = 0; i < v->n_voters; i++)
        if (v->voters[i] == node)
            return i;
    return -1;
}

/* A stop is near: from now on a full disk is a failure like any other, so that what waits for room ends. Once. */
void quorum_end_waits(struct quorum *q);
/* Waits for what was submitted, but not for room; keeps a snapshot if the next start would else read much,
 * syncs, closes; `stopped` is posted to the control loop, after it nothing of q exists. */
void quorum_stop(struct quorum *q, struct msg *stopped);
