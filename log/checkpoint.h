/* The checkpoints at the top of a log directory, each a text file as Kafka's: version 0, a count, and a line
 * `topic partition offset` each. They are replaced as a whole; a missing one is empty. Rows go by name, and a name may have
 * got a new topic since: so the last file, ours (Kafka ignores it), has the head of the topic's id in place of an offset,
 * and is written after the others. Where it names another topic the rows of that name mean nothing.
 * Loop:   one at a time.
 * Memory: a row a partition in the map while it is held; the file is small. */
#pragma once
#include "base/io.h"
#include "base/map.h"

#define CHECKPOINT_RECOVERY  "recovery-point-offset-checkpoint"
#define CHECKPOINT_LOG_START "log-start-offset-checkpoint"
#define CHECKPOINT_HW        "replication-offset-checkpoint"
#define CHECKPOINT_CLEANER   "cleaner-offset-checkpoint"
#define CHECKPOINT_TOPICS    "weir-topic-checkpoint"

/* All of a directory, in the order in which they are written. */
enum { ROWS_RECOVERY, ROWS_START, ROWS_HW, ROWS_CLEANED, ROWS_TOPICS, ROWS_KINDS };
extern const char *const checkpoint_names[ROWS_KINDS];

struct checkpoint {
    struct heap *heap;
    struct map rows; /* by "topic-partition" */
};
void checkpoint_init(struct checkpoint *c, struct heap *h, uint64_t seed);
void checkpoint_drop(struct checkpoint *c);
void checkpoint_set(struct checkpoint *c, struct slice topic, int32_t partition, int64_t offset);
void checkpoint_remove(struct checkpoint *c, struct slice topic, int32_t partition);
int64_t checkpoint_get(const struct checkpoint *c, struct slice topic, int32_t partition); /* -1: no row */
/* E_MALFORMED: the file isn't one; rows before the bad line are kept. E_OK where there is no file. */
enum err checkpoint_load(struct checkpoint *c, struct io *io, const char *dir, const char *name);
/* On disk when it returns, or the old one stays. */
enum err checkpoint_save(const struct checkpoint *c, struct io *io, const char *dir, const char *name);
