/* Voters, those that follow them, and what befalls them all. */
#pragma once
#include "quorum_node.h"

enum { QVOTERS_ROOM = 8 };

struct qworld {
    struct sim *s;
    struct qcluster cluster;
    struct qnode nodes[QVOTERS_ROOM]; /* from 1 on */
    int founders;                     /* the first of them, who begin the log together */
    bool young;                       /* logs are kept from the begin, for a story about that */
    bool fixed;                       /* … with kraft.version 0 */
    int disks;                        /* lost so far */
    /* Disks fail, and then the power doesn't: what a sync had failed on may be in the page cache for ever, where a new
     * process finds it and can't tell. */
    bool errors;
    bool calm;    /* nothing fails by itself any more */
    int64_t goal; /* batches */
};

void qfault_start(struct qworld *w, int i);
void qfault_stop(struct qworld *w, int i); /* SIGTERM */
/* Of one that is up; what it leaves on its disk is judged. */
void qfault_crash(struct qworld *w, int i, enum sim_crash how);
void qfault_either(struct qworld *w, int i);  /* process or power */
bool qfault_is_down(struct qworld *w, int i); /* by itself too; judged then */
void qfault_any(struct qworld *w);            /* one fault of one or more voters, often of the leader */
/* As soon as somebody leads a new epoch or stands for one, it is hit, at once or a little later. */
void qfault_hunt(struct qworld *w);
int qfault_rises(struct qworld *w); /* waits for the next one to lead an epoch; 0: nobody in time */
/* Down, and with an empty disk under another directory id, from which it follows until somebody adds it; the leader
 * does while kraft.version is 0. */
void qfault_new_disk(struct qworld *w, int i);
/* Each node knows the same leader, in the same epoch. */
bool qfault_all_follow(const struct qworld *w);
/* quorum_schedules.c: one of them, each long enough for its story. */
void qschedule_any(struct qworld *w);
void qschedule_first(struct qworld *w); /* with a log that has just begun */
/* Some of what was broken is repaired, some of those that are down are started. */
void qfault_calm_some(struct qworld *w);
void qfault_well(struct qworld *w, int i);   /* its disk and its pause, not its links */
void qfault_revive(struct qworld *w, int i); /* what failed is stopped, what is down is started */
void qfault_heal(struct qworld *w);          /* everything, once; everybody is up or on its way */
