/* What a DISK loop does for its partitions when nobody asks: write-back, flush.ms, retention, expiry of producers, files whose
 * time has come. checkpoints.h and cleaner.h are its neighbours.
 * Loop:   the partitions' own.
 * Memory: a list of those appended to since the last round; walks go on by key, so a partition may come and go.
 * Always: the timer is set only while something is due; a round is cut into steps of UPKEEP_STEP partitions, and the
 *         loop's other messages run between them. */
#pragma once
#include "manager.h"

enum {
    UPKEEP_STEP = 50,
    UPKEEP_FLUSH_MS = 5000,
    UPKEEP_FIRST_RETENTION_MS = 30000 /* Kafka's initial delay */
};

struct upkeep *upkeep_new(struct partitions *ps);
void upkeep_run(struct upkeep *u);
/* Loads, and so scans, every partition; `recovered` runs at the end on this loop, unless upkeep stops before. */
void upkeep_recover(struct upkeep *u, void (*recovered)(void *arg), void *arg);
void upkeep_stop(
    struct upkeep *u); /* no timer and no step of it runs any more after upkeep_stopped() says so */
bool upkeep_stopped(const struct upkeep *u);
void upkeep_drop(struct upkeep *u);
void upkeep_appended(struct partitions *ps, struct partition *p);
void upkeep_files(struct partitions *ps); /* something was renamed that goes away later */
