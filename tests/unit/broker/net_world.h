/* A node that is only its network side, in the simulator, and raw connections to it: bytes in, bytes out. */
#pragma once
#include "broker/net/internal.h"
#include "broker/net/net.h"
#include "tests/check.h"
#include "tests/sim/sim.h"
#include <proto_gen.h>
#include <stdlib.h>

enum { NW_LOOPS = 2, NW_NODE = 1, NW_PORT = 9092, NW_HELD_MAX = 256 };

struct net_world {
    struct sim *sim;
    struct io *io;
    struct node node;
    struct net_loop loops[NW_LOOPS];
    struct net_loop *loop_ptrs[NW_LOOPS];
    struct loop *acceptor;
    struct net_limits limits;
    struct net_shared *shared;
    size_t heap_before; /* the simulator's own */
    int n_stopped;
    /* requests that the test's own handlers keep until told otherwise */
    struct request *held[NW_HELD_MAX];
    int n_held;
    int n_gone;
    int n_ran;
    void (*run)(struct request *r);      /* the body of the test's Metadata handler */
    void (*versions)(struct request *r); /* in place of ApiVersions, if set */
    struct io *peers[8];
};

/* Starts the node; limits are generous where the test has not set w->limits before. */
struct net_world *nw_new(uint64_t seed);
struct net_world *nw_make(uint64_t seed); /* not started yet: set limits, then nw_start() */
void nw_start(struct net_world *w);
void nw_stop(struct net_world *w); /* in order, with half a second of grace */
void nw_drop(struct net_world *w); /* stops it unless it has been, and checks that nothing is left */
struct net_world *nw_of(const struct request *r);

/* The test's Metadata handler keeps every request; this ends the i-th that is held, in any order. */
void nw_hold(struct request *r);
void nw_reply(struct net_world *w, int i);
void nw_skip(struct net_world *w, int i);
void nw_abort(struct net_world *w, int i);

/* A raw connection from another node (2 .. 7). */
struct raw {
    struct sock sock;
    struct net_world *w;
    struct io *io;
    struct heap *heap;
    struct bytes got;
    uint8_t room[4096];
    bool open, closed;
    bool deaf; /* doesn't read */
    enum err why;
    struct addr to;
};
struct raw *raw_dial(struct net_world *w, int node);
void raw_send(struct raw *r, const void *p, size_t len);
void raw_hear(struct raw *r); /* reads again */
void raw_close(struct raw *r);
void raw_free(struct raw *r); /* closed */
void nw_run(struct net_world *w, int64_t ms);
int raw_answers(const struct raw *r);                /* whole frames that came */
struct slice raw_answer(const struct raw *r, int i); /* without its length */
int32_t raw_correlation(const struct raw *r, int i);

/* Frames. */
void frame_add(struct bytes *to, int16_t key, int version, int32_t correlation, const void *msg);
void frame_metadata(struct bytes *to, int32_t correlation,
                    size_t topic_bytes); /* one topic name of that length */
