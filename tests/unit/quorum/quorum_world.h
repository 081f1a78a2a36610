/* A node whose only broker part is a quorum of one, on raft or without it, and a model of what it was told. The broker's share (an
 * image per commit, references on the control loop) is done here as broker/control.c does it. */
#pragma once
#include "metadata/batches.h"
#include "quorum/local.h"
#include "tests/check.h"
#include "tests/sim/sim.h"

#define WORLD_DIR "meta"
#define WORLD_LOG WORLD_DIR "/__cluster_metadata-0"
enum { WORLD_NODE = 1, WORLD_NODE_ID = 4, WORLD_FLIGHT = 64 };

struct quorum_world;

/* The two quorums behind one door: every promise to the broker is theirs alike. */
struct qdoor {
    const char *name;
    void *(*start)(struct io *io, struct loop *control, struct grave *grave,
                   const struct quorum_settings *settings, const struct quorum_ops *ops);
    void (*submit)(void *q, struct quorum_entry *e);
    void (*snapshot)(void *q);
    struct quorum_view (*view)(const void *q);
    void (*end_waits)(void *q);
    void (*stop)(void *q, struct msg *stopped);
    bool snapshot_needs_room; /* it begins with an entry, which waits on a full disk */
};
extern const struct qdoor qdoors[2];

struct world_entry {
    struct quorum_entry entry;
    struct quorum_world *world;
    struct bytes bytes;
    bool busy;
};

struct quorum_world {
    struct sim *sim;
    struct io *io;
    struct loop *control;
    struct quorum_settings settings;
    const struct qdoor *door;
    /* one start */
    void *quorum;
    struct grave grave;
    struct image *committed;
    struct world_entry flight[WORLD_FLIGHT];
    int in_flight;
    int32_t epoch;
    int64_t next;
    int loaded, led, held, given_back, failures, errors;
    enum err failed;
    struct msg stopped;
    bool is_stopped;
    /* what outlives crashes */
    int attempted; /* topics that were submitted, by number */
    int promised;  /* told committed: all of 0 .. promised - 1 */
    int32_t last_epoch;
    int64_t last_next;
};

void qworld_init(struct quorum_world *w, const struct qdoor *door, uint64_t seed);
/* All on the control loop or through it. qworld_start() starts and waits; false: the node crashed. */
bool qworld_start(struct quorum_world *w);
bool qworld_up(struct quorum_world *w);            /* opened, no failure */
void qworld_submit(struct quorum_world *w, int n); /* n batches of one topic each, at once */
bool qworld_settle(struct quorum_world *w);        /* until nothing is in flight; false: crashed */
void qworld_snapshot_begin(struct quorum_world *w);
bool qworld_snapshot(struct quorum_world *w);
bool qworld_stop(struct quorum_world *w);    /* and checks that all memory came back */
void qworld_begin(struct quorum_world *w);   /* a new process: after a crash, or a stop, which it does */
void qworld_restart(struct quorum_world *w); /* and the quorum is well */
/* Topics 0 .. n-1 are there and no other; n lies in promised .. attempted, which it becomes. */
void qworld_verify(struct quorum_world *w);
void qworld_drop(struct quorum_world *w);
