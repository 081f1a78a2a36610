/* Two machines and one connection, for tests of the simulated network: a sender on node 1 dials a reader on node 2. */
#pragma once
#include "tests/check.h"
#include "tests/sim/sim.h"

enum { BYTES = 1 << 20, PORT = 1000 };

/* The sender gives BYTES in one piece to its kernel as soon as it is connected. */
struct pair {
    struct sim *s;
    struct io *io[3];
    struct listener listener;
    struct loop *loop[3];
    struct sock sender, reader;
    uint8_t *bytes, *got;
    size_t n_got;
    size_t read_max; /* the reader's appetite */
    bool opened, sent, adopted, sender_closed, reader_closed, close_when_sent;
    enum err sent_err, sender_why, reader_why;
    struct out out;
    struct part part;
};

extern struct pair *pair_of; /* the one that is under test */

void pair_begin(struct pair *p, uint64_t seed);
void pair_end(struct pair *p);
void pair_dial(struct pair *p); /* node 2 listens, node 1 dials */
void pair_pass(struct pair *p, int64_t ms);
void pair_more(struct pair *p); /* the reader takes all there is from now on */

/* For sim_call(): on node 2, on node 1. */
void pair_listen_now(struct loop *loop, void *arg);
void pair_dial_now(struct loop *loop, void *arg);
