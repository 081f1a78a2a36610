/* For tests of metadata: random histories, and a controller whose log is a row of offsets. */
#pragma once
#include "metadata/controller.h"
#include "proto_gen.h"
#include "tests/check.h"

/* A random record that makes sense on `draft`; lists and names live in the arena. */
void random_record(struct test_random *r, const struct image *draft, struct arena *a,
                   struct meta_record *out);

struct ctl_world {
    struct heap *heap;
    struct controller *c;
    struct ctl_rules rules;
    struct arena arena;
    struct ctl_batch *proposed[CTL_FLIGHT_MAX];
    int n_proposed;
    size_t largest; /* batch of all proposed so far, in bytes */
    uint64_t seed;
    int32_t broker_epoch;
};

struct ctl_call {
    struct ctl_request r;
    int done; /* 0 waits, 1 done */
    enum err err;
};

void ctl_world_start_empty(struct ctl_world *w); /* leads an empty log */
void ctl_world_start(struct ctl_world *w);       /* the first records are there */
/* Registers and unfences broker `id` in `rack` (NULL: none). */
void ctl_world_broker(struct ctl_world *w, int32_t id, const char *rack);
void ctl_world_submit(struct ctl_world *w, struct ctl_call *call, ctl_decide_fn decide, const void *in,
                      void *out, int16_t version);
void ctl_world_turns(struct ctl_world *w);  /* as many as want to run */
void ctl_world_commit(struct ctl_world *w); /* the oldest batch in flight */
void ctl_world_settle(struct ctl_world *w); /* until nothing waits */
/* Submit, settle, and the reply must be there. */
void ctl_world_call(struct ctl_world *w, ctl_decide_fn decide, const void *in, void *out, int16_t version);
void ctl_world_stop(struct ctl_world *w); /* checks that nothing leaked */

/* CreateTopics of one topic, as most tests need it; and its answer. */
struct CreateTopicsRequest create_one(struct ctl_world *w, const char *name, int partitions, int factor);
const struct CreateTopicsResponse_CreatableTopicResult *created(struct ctl_world *w,
                                                                const struct CreateTopicsRequest *req);
