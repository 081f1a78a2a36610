/* Compaction of a loop's partitions: every log.cleaner.backoff.ms the dirtiest log that is due, one at a time.
 * Loop:   the partitions' own. Nothing is set or posted while no partition here is compacted.
 * Memory: the map of one cleaning: this loop's share of log.cleaner.dedupe.buffer.size. */
#pragma once
#include "manager.h"

struct cleaner *cleaner_new(struct partitions *ps);
void cleaner_run(struct cleaner *c);
void cleaner_met(struct partitions *ps,
                 struct partition *p); /* it was loaded or configured: perhaps compacted */
/* How far a partition is clean. */
struct cleaner_place {
    int64_t offset; /* -1: never */
    bool broken;    /* it can't be cleaned until the next start */
};
/* It goes: a cleaning of it ends now. */
struct cleaner_place cleaner_leave(struct partitions *ps, const struct resting *r);
void cleaner_came(struct partitions *ps, struct slice name, struct cleaner_place place); /* it goes on here */
/* Rows of one directory's cleaner-offset-checkpoint. */
void cleaner_checkpoint(const struct cleaner *c, int dir, struct checkpoint *cleaned);
void cleaner_found(struct cleaner *c, struct slice name, int64_t offset); /* as the checkpoint had it */
void cleaner_stop(struct cleaner *c);
bool cleaner_stopped(const struct cleaner *c);
void cleaner_drop(struct cleaner *c);
