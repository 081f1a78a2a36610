/* A voter's directory as bytes on its simulated disk, read without any code of the quorum or the log engine.
 * Anywhere; costs no time. */
#pragma once
#include "proto/batch.h"
#include "sim.h"

#define QUORUM_DIR "meta"
#define QUORUM_LOG QUORUM_DIR "/__cluster_metadata-0"

/* The batches of its segments in order, up to the first that isn't whole or leaves a gap: true says that there was one. */
typedef void (*qdisk_each)(void *arg, const struct batch_view *v);
bool qdisk_batches(struct sim *s, int node, qdisk_each each, void *arg);
/* Of the newest checkpoint; -1: it has none. */
int64_t qdisk_checkpoint(struct sim *s, int node);
/* What quorum-state says; epoch 0: there is no such file. */
struct qdisk_state {
    int32_t epoch, voted; /* a server id; -1: none */
};
struct qdisk_state qdisk_state(struct sim *s, int node);
