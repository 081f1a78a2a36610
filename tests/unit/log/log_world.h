/* A log directory with one log in it, as a broker keeps it, and a model: batch i is always the same records,
 * so what the log should hold is told by the offsets at which batches begin. All calls run inside sim_call()
 * on a DISK loop. */
#pragma once
#include "log/checkpoint.h"
#include "log/log.h"
#include "tests/check.h"
#include "tests/sim/sim.h"

enum { WORLD_BATCHES_MAX = 2048, WORLD_T0 = 1000000 };
#define WORLD_DIR "data"
#define WORLD_LOG "events-0"

struct log_world {
    struct io *io;
    struct codec_cache *codecs;
    struct log_env *env;
    struct log_dir *dir;
    struct log_config config;
    struct log *log;
    int offline;  /* how often a directory failed */
    bool doubted; /* the next start is of the same process: what lies behind `promised` was given up */
    /* the model: outlives crashes */
    int n;
    int64_t base[WORLD_BATCHES_MAX + 1]; /* base[i + 1] is the end of batch i */
    int64_t attempted;                   /* the end that an append may have reached */
    int64_t written;                     /* acknowledged */
    int64_t promised;                    /* synced */
};

void world_config(struct log_world *w); /* small segments, dense indexes */
/* As a broker starts: reads how the last one ended, the checkpoints, opens the log. */
enum err world_start(struct log_world *w, struct io *io);
enum err world_stop(struct log_world *w); /* cleanly */
void world_drop(struct log_world *w);     /* as it is */
enum err world_checkpoint(struct log_world *w);
void world_batch(struct heap *h, int i, int64_t base, struct bytes *out);
int64_t world_time(int i);                  /* of all records of batch i */
enum err world_append(struct log_world *w); /* the model's next batch */
enum err world_sync(struct log_world *w, enum log_sync_how how);
/* Every batch from the log's start to its end is the model's, found by each of its offsets and by its time.
 */
void world_verify(struct log_world *w);
/* The model ends where the log does: batches behind it never were. */
void world_adopt_end(struct log_world *w);
