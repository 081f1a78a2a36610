/* Every batch of the metadata log from an offset on, in order: opening, and whoever reads a log that is open.
 * Loop: the log's. Memory: one stretch of the file, or a batch that is larger; what `each` gets is lent for the call. */
#pragma once
#include "log/log.h"
#include "metadata/batches.h"

/* `bytes` are the whole batch. What it returns ends the walk, unless it is E_OK. */
typedef enum err (*log_walk_fn)(void *arg, const struct batch_content *c, struct slice bytes,
                                struct arena *a);
/* `from` is where a batch begins. E_CORRUPT_MESSAGE: a batch that doesn't read, or a gap between two. */
enum err log_walk(struct log *log, struct heap *h, int64_t from, log_walk_fn each, void *arg);
