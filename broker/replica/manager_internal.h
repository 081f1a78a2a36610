/* What the files behind manager.h share: manager.c finds and loads partitions, commit.c appends, adopt.c follows the
 * metadata, lifecycle.c begins and ends. The loop, memory and order are those of manager.h. */
#pragma once
#include "base/check.h"
#include "base/trace.h"
#include "broker/dirs.h"
#include "broker/replica/cleaner.h"
#include "broker/replica/manager.h"
#include "broker/replica/topic_config.h"
#include "broker/replica/upkeep.h"

enum { LOG_DIRS_MAX = 64 };

bool partition_invariant(const struct partition *p);
/* The settings that its log is to have; remembers them if they are the topic's own. */
void partition_configure(struct partitions *ps, struct partition *p, struct slice topic,
                         const struct log_config **out);
/* Loads a partition that isn't. */
enum err partition_make(struct partitions *ps, const struct image_topic *topic, int32_t leader_epoch,
                        int32_t index, struct partition **out);
void partition_free(struct partitions *ps, struct partition *p); /* its log is closed or deleted */
struct resting *resting_of(const struct partitions *ps, const struct partition *p);
/* Where a partition lies, or shall lie: where the metadata says, else where this broker chooses, which it tells the controller.
 * fresh: the partition is new, so it can't lie in a directory that is lost. NULL: it may, or none works. */
struct resting *partition_place(struct partitions *ps, const struct image_topic *topic, int32_t index,
                                bool fresh);
void resting_put(struct partitions *ps, struct resting *r);
void resting_take(struct partitions *ps, struct resting *r);
void resting_forget(struct partitions *ps, struct resting *r);
void partition_reconfigure(struct partitions *ps, struct partition *p,
                           struct slice topic);                    /* settings may have changed */
void partition_delete(struct partitions *ps, struct partition *p); /* its topic is gone */
void unsynced_flush(struct partitions *ps); /* syncs what waits for this turn's flush, now */
void commit_now(struct partitions *ps);     /* the same, and answers those who wait for it */
