/* A Kafka connection as a client sees it, for tests: frames by the generated codec, answers in order, nothing retried.
 * Loop:   the wire's own; wire_ask() and all callbacks there.
 * Memory: an ask is embedded in its owner and lent, with its answer, until wire_ask_drop().
 * Order:  answers come in the order asked. `done` runs once for each: E_OK with `out`, or why the connection ended. */
#pragma once
#include "proto/wire.h"
#include "tests/sim/sim.h"
#include <proto_gen.h>

struct wire;

struct wire_ask {
    struct list link; /* of the wire's, while it waits */
    struct wire *wire;
    const struct proto_api *api;
    int16_t version;
    int32_t correlation;
    bool silent; /* acks=0: no answer comes; done when the kernel has it */
    bool sending, done_due;
    enum err err;
    struct arena arena; /* the request's arrays, the answer */
    struct bytes frame;
    void *out;
    int64_t asked;    /* ns */
    int64_t patience; /* ns, 0: the wire's */
    struct part part;
    struct out sent;
    void (*done)(struct wire_ask *a);
    void *arg;
};

struct wire {
    struct sock sock;
    struct io *io;
    struct loop *loop;
    struct list asks;
    struct bytes in;
    uint8_t room[16384];
    int32_t next;
    bool dialled, open, closing;
    int opens;        /* how often it was open */
    int64_t patience; /* an answer that takes longer ends the connection */
    struct timer timer;
    void (*opened)(struct wire *w);             /* may be NULL */
    void (*lost)(struct wire *w, enum err why); /* after every ask has ended; may be NULL */
    void *arg;
};

void wire_init(struct wire *w, struct io *io, struct loop *loop);
void wire_dial(struct wire *w, const struct addr *to); /* it is not dialled */
void wire_cut(struct wire *w);                         /* at once */
void wire_ask_init(struct wire_ask *a, struct io *io);
/* A request with defaults in the ask's arena; what the ask held before is gone. */
void *wire_in(struct wire_ask *a, int16_t key);
/* false: not open; `done` won't run. version -1: our newest stable. */
bool wire_ask(struct wire *w, struct wire_ask *a, int version, const void *in);
void wire_ask_drop(struct wire_ask *a);
