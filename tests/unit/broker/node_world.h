/* A whole node in the simulator and clients that ask it one thing after the other. */
#pragma once
#include "proto/batch.h"
#include "tests/check.h"
#include "tests/sim/client_wire.h"
#include "tests/sim/whole.h"

enum { NODE_CLIENT = 9, NODE_WIRES = 4 };

struct node_world {
    struct sim *sim;
    struct whole *whole;
    struct io *client;
    struct loop *loop;
    struct wire wires[NODE_WIRES];
    struct wire_ask asks[NODE_WIRES]; /* the one under way on each wire */
    bool answered[NODE_WIRES];
    struct slice raw;
    enum err end; /* of the last ask */
};

/* A node that is ready, and wires that are open. */
struct node_world *node_world_new(uint64_t seed, int n_dirs, const char *const *sets, int n_sets);
struct node_world *node_world_with(const struct sim_options *o, int n_dirs, const char *const *sets,
                                   int n_sets);
void node_world_start(struct node_world *w); /* waits until it is ready */
bool node_world_try(struct node_world *w);   /* false: it gave up, and is down again */
void node_world_stop(struct node_world *w);  /* in order; checks that nothing is left */
void node_world_crash(struct node_world *w, enum sim_crash how);
void node_world_drop(struct node_world *w); /* stops it if it is up */
void node_run(struct node_world *w, int64_t ms);

/* A request with defaults for wire i: lent until the next. */
void *node_in(struct node_world *w, int i, int16_t key);
void node_send(struct node_world *w, int i, int version, const void *in); /* version -1: the newest */
bool node_answered(const struct node_world *w, int i);
void *node_wait(struct node_world *w, int i,
                int64_t ms); /* the answer; it fails the test if none comes in time */
void *node_ask(struct node_world *w, int i, int version, const void *in); /* both */

/* ---- the usual ones, on wire 0 ---- */
struct node_setting {
    const char *name, *value;
};
int16_t node_topic(struct node_world *w, const char *name, int partitions, const struct node_setting *v,
                   int n);
struct node_batch {
    int64_t producer_id;
    int16_t epoch;
    int32_t sequence;
    int n;       /* records */
    int first;   /* their values are "v<first>" … */
    size_t fill; /* bytes more in each value */
};
void node_produce_make(struct node_world *w, int i, const char *topic, int partition, int16_t acks,
                       const struct node_batch *b, const void **in);
struct ProduceResponse_PartitionProduceResponse *node_produce(struct node_world *w, const char *topic,
                                                              int partition, const struct node_batch *b);
void *node_fetch_in(struct node_world *w, int i, const char *topic, int partition, int64_t offset,
                    int wait_ms, int min_bytes);
struct FetchResponse_PartitionData *node_fetched(const void *fetch_response);
/* Counts the records in the fetch's answer and checks that they are v<first> … from that offset on. */
int node_records(struct node_world *w, const struct FetchResponse_PartitionData *p, int64_t offset,
                 int first);
int64_t node_offset(struct node_world *w, const char *topic, int partition,
                    int64_t timestamp); /* -1: LATEST */
