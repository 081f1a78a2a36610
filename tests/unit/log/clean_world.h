/* A compacted log and a model of it that forgets nothing: every record ever appended. */
#pragma once
#include "log/clean.h"
#include "tests/check.h"
#include "tests/sim/sim.h"

enum { CLEAN_WORLD_KEYS = 16, CLEAN_WORLD_RECORDS = 6000 };

struct clean_world_record {
    int key;       /* 0 … CLEAN_WORLD_KEYS-1 */
    int64_t value; /* -1: tombstone */
    int64_t timestamp;
};

struct clean_world {
    struct io *io;
    struct codec_cache *codecs;
    struct log_env *env;
    struct log *log;
    struct log_config config;
    struct test_random random;
    int64_t now_ms;
    int64_t checkpoint;
    int64_t recovery; /* everything below was on disk at the last close: a start doesn't look at it */
    int32_t sequence;
    enum codec codec;                   /* of batches appended from now on */
    struct clean_world_record *records; /* by offset; the model, which outlives the node */
    int64_t n;
};

void clean_world_init(struct clean_world *w, struct clean_world_record *records, uint64_t seed);
/* These return the world's errors: faults come from the simulator. */
enum err clean_world_open(struct clean_world *w, struct io *io); /* in a DISK loop */
enum err clean_world_close(struct clean_world *w);
void clean_world_abandon(struct clean_world *w); /* frees all without a file call that could fail the test */
enum err clean_world_append(struct clean_world *w, int n, int keys); /* one batch of random records */
enum err clean_world_fill(struct clean_world *w, int batches, int keys);
enum err clean_world_clean(struct clean_world *w, uint64_t map_bytes); /* to the end; moves the checkpoint */
/* Offsets rise, each record is the one that was appended there, the last value of each key is there, and
 * everything from `whole_from` on. Below `clean_to` no key occurs twice. */
void clean_world_check(struct clean_world *w, int64_t clean_to, int64_t whole_from);
