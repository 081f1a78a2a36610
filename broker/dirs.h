/* What this broker tells the controller of its log directories: which one it chose for a replica, which ones it lost.
 * Loop:   the control loop; dirs_chose() and dirs_lost() on any.
 * Memory: a row for each choice that the metadata doesn't have yet.
 * Order:  choices are told in the order in which they were made, up to DIRS_TOLD_MAX at a time; a lost directory before them.
 * Always: 1. nothing is told before this broker is registered, and all of it then
 *         2. what could not be told, because a disk is full, is told again
 *         3. a lost directory of which no controller hears for log.dir.failure.timeout.ms ends this node (`failed`): it would
 *            be taken for the leader of what it can't serve */
#pragma once
#include "broker/node.h"

enum { DIRS_TOLD_MAX = 1000 };

struct dirs;
struct dirs_ops {
    void (*failed)(void *arg, enum err err, const char *what);
    void *arg;
};
struct dirs *dirs_new(struct node *node, struct loop *control, const struct dirs_ops *ops);
void dirs_registered(struct dirs *d, int64_t broker_epoch);
void dirs_stop(struct dirs *d); /* tells nothing more; what is under way may end until control_stop() has */
void dirs_drop(struct dirs *d);
void dirs_chose(struct dirs *d, const struct uuid *topic, int32_t partition, const struct uuid *dir);
void dirs_lost(struct dirs *d, const struct uuid *dir); /* more than once is fine */
