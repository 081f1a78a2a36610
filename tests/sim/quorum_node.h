/* A voter: `struct quorum` on a control loop, with what the broker would do reduced to an image per commit, and the
 * connections to the other voters. It proposes while it leads, asks now and then whether it still does, and tells the
 * book of everything.
 *
 * Memory: struct qnode outlives the node's lives; all else is the node's heap.
 * Thread: the functions are called from outside of loops. */
#pragma once
#include "quorum/quorum.h"
#include "quorum_book.h"
#include "quorum_net.h"

struct qnode_tally {
    uint64_t proposed, committed, lost, installs, snapshots, confirms, confirms_refused, truncations, deaths,
        full, failed, bad_messages, additions, additions_undone, transfers, changes_refused;
};

/* All voters of one quorum. */
struct qcluster {
    struct sim *sim;
    struct qbook *book;
    int n;
    int64_t number; /* of the next topic */
    bool quiet;     /* nobody proposes */
    struct qnode_tally tally;
};

struct qask {
    bool active;
    struct quorum_checkpoint id;
    int64_t at;
    int node;
    struct timer patience;
};

struct qnode {
    struct sim *sim;
    struct qcluster *cluster;
    struct qbook *book; /* the cluster's */
    int node;
    struct quorum_settings settings;
    /* one life; io is NULL between lives */
    struct io *io;
    struct loop *control;
    struct quorum *quorum;
    struct qnet net;
    struct grave grave;
    struct image *committed; /* NULL: not loaded */
    bool leads, tight;
    int32_t epoch, leader;
    int64_t next;
    int in_flight, reading, confirming, changing, held;
    enum err failed;
    const char *what;
    struct qask ask;
    struct timer propose;
    struct msg start, stop, stopped, gone;
    bool told_to_stop, stopping, over;
    int64_t over_at;
};

/* quorum_work.c: the broker's share. From the control loop. */
void qwork_start(struct qnode *n);                     /* proposes and asks for confirmation from now on */
void qwork_apply(struct qnode *n, struct slice batch); /* it has committed */

void qnode_start(struct qnode *n);
void qnode_stop(struct qnode *n); /* SIGTERM; then qnode_over() */
void qnode_crash(struct qnode *n, enum sim_crash how);
/* It isn't up: it crashed by itself, or its stop is complete, which ends it here (and looks for memory and files that
 * are left). */
bool qnode_over(struct qnode *n);
