/* Those who follow the metadata log from outside the quorum, as a voter sees them: their fetches wait here for something
 * new, and what each has asked for last is kept for DescribeQuorum.
 *
 *     NET loop: api/fetch_metadata.c                     control loop                  the quorum's DISK loop
 *     followers_fetch ──► noted ──► quorum_read ───────────────────────────────────► reads
 *     done ◄───────────── news, or the time is over ◄─── waits, woken by a commit ◄── nothing
 *
 * Loop:   the control loop, but followers_fetch(), which any loop may call; `done` runs on `back`.
 * Memory: a fetch is lent until `done`. At most FOLLOWERS_MAX followers are known, those heard longest ago are forgotten.
 * Ends:   every fetch ends after its time at the latest, or at followers_end(): then all end, and later ones at once. */
#pragma once
#include "broker/node.h"
#include "quorum/quorum.h"

enum { FOLLOWERS_MAX = 256, FOLLOW_WAIT_MAX_MS = 10000 };

struct follower_fetch {
    /* the caller's */
    struct node *node;
    struct loop *back;
    int32_t replica; /* -1: a tool, which isn't noted */
    struct uuid directory;
    int64_t offset;
    int32_t last_epoch;   /* of the batch before; -1: it doesn't say */
    int32_t leader_epoch; /* in which it believes; -1: any */
    int32_t wait_ms;
    size_t max_bytes;
    void (*done)(struct follower_fetch *f);
    void *arg;
    /* The answer. err: E_FENCED_LEADER_EPOCH, E_UNKNOWN_LEADER_EPOCH, E_NOT_LEADER_OR_FOLLOWER (this node doesn't vote, or
     * its log has failed), E_OFFSET_OUT_OF_RANGE (this node leads and its log ends before), E_KAFKA_STORAGE_ERROR. */
    enum err err;
    int32_t leader, epoch;
    bool begins_later;       /* read.newest is what to begin with */
    struct quorum_read read; /* its range, the caller's to drop */
    /* the followers' */
    struct msg msg;
    struct list link;
    struct timer timer;
    bool last_look;
};

struct followers;
struct followers *followers_new(struct node *node, struct loop *control);
void followers_open(struct followers *f, struct quorum *q); /* before the first time, fetches wait */
/* The quorum is about to stop, and may open again: until then all are refused (E_NOT_LEADER_OR_FOLLOWER). */
void followers_close(struct followers *f);
void followers_fetch(struct follower_fetch *f);
/* Something has committed, or who leads has changed. */
void followers_look(struct followers *f);
void followers_end(struct followers *f);
void followers_drop(struct followers *f); /* nothing waits any more */

/* What a follower has told by asking; times are of the wall clock. */
struct follower {
    int32_t replica;
    struct uuid directory;
    int64_t end;          /* the offset that it asked for: the end of its log */
    int64_t fetched_ms;   /* when */
    int64_t caught_up_ms; /* when it last had all that had committed here; -1: never yet */
};
int followers_known(const struct followers *f); /* how many */
const struct follower *followers_at(const struct followers *f, int i);
