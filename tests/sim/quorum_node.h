/* A voter, or one that follows: `struct quorum` on a control loop, with what the broker would do reduced to an image per commit, and the
 * connections to the other voters. It proposes while it leads, asks now and then whether it still does, and tells the
 * book of everything.
 *
 * Memory: struct qnode outlives the node's lives; all else is the node's heap.
 * Thread: the functions are called from outside of loops. */
#pragma once
#include "quorum/quorum.h"
#include "quorum_book.h"
#include "quorum_net.h"
#include "quorum_voters.h"

struct qnode_tally {
    uint64_t proposed, committed, lost, installs, snapshots, confirms, confirms_refused, truncations, deaths,
        full, failed, bad_messages, additions, additions_late, additions_undone, additions_of_new_disks,
        removals, removals_of_leaders, removals_of_down, removals_refused, upgrades, changes_at_0, transfers,
        changes_refused, became_voters, became_observers, observers_installs, hangs_away, rests;
};

enum { QWISHES_MAX = 4 };

/* A change that is asked for until it has come about. */
struct qwish {
    int64_t number;
    enum qchange what;
    int node;
    struct uuid directory;
    bool led; /* the leader that was asked gave its leadership away, and the next one may refuse */
};

/* All voters of one quorum. */
struct qcluster {
    struct sim *sim;
    struct qbook *book;
    int n;
    struct qnode *nodes; /* from 1 on */
    int64_t number;      /* of the next topic */
    bool quiet;          /* nobody proposes */
    bool big;            /* large values only */
    bool moves;          /* voters come and go */
    bool still;          /* … but not now */
    struct qwish wishes[QWISHES_MAX];
    int n_wishes;
    int64_t wish_number;
    struct qnode_tally tally;
};

struct qask {
    bool active;
    struct quorum_checkpoint id;
    int64_t at;
    int node;
    struct timer patience;
};

/* What a node that observes asks voters for. */
struct qfollow {
    bool asked, unanswered;
    int from; /* 0: nobody yet */
    int64_t offset;
    int32_t epoch, number, told_leader, told_epoch;
    struct timer patience;
};

enum qkind { QKIND_RAFT = 1, QKIND_ASK, QKIND_PIECE, QKIND_FETCH, QKIND_FETCHED };

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
    struct qfollow follow;
    struct uuid told_hello[QNET_VOTERS]; /* zero: nothing, in this life of the quorum */
    struct timer propose;
    struct msg start, stop, stopped, gone, turn, yield;
    bool told_to_stop, stopping, over;
    bool role_over, removed; /* it is something else from the quorum's next start on; a voter no more */
    bool yielding;           /* it has been told to give its leadership away */
    bool turning, ending;    /* its quorum stops, to start again; has been told to */
    int64_t over_at;
};

/* quorum_work.c: the broker's share. From the control loop. */
void qwork_start(struct qnode *n);                     /* proposes and asks for confirmation from now on */
void qwork_apply(struct qnode *n, struct slice batch); /* it has committed */

void qnode_read_over(struct qnode *n); /* one of n->reading; from the control loop */

void qnode_start(struct qnode *n);
void qnode_stop(struct qnode *n); /* SIGTERM; then qnode_over() */
void qnode_crash(struct qnode *n, enum sim_crash how);
/* It isn't up: it crashed by itself, or its stop is complete, which ends it here (and looks for memory and files that
 * are left). */
bool qnode_over(struct qnode *n);
