/* How the voters of a simulated quorum reach each other: a listener, and one connection dialled to each of the others,
 * which carries what this node says. Frames: u32 length of the body, u8 kind, u8 sender, 2 zeros,
 * the sender's directory, the body.
 *
 * Loop:   a NET loop of its own; qnet_send() from the control loop, where `came` and `dead` run.
 * Order:  one node's frames come in order or not at all: what a connection still holds when that node has opened
 *         another is dropped.
 * Memory: the node's heap; the simulator is one thread, so that the two loops share what they count. */
#pragma once
#include "proto/uuid.h"
#include "sim.h"

enum { QNET_VOTERS = 8 };
struct qnet;

struct qlink {
    struct qnet *net;
    int to;
    struct sock sock;
    struct timer again;
    bool dialled, open, lost; /* lost: it was open, and nobody was dialled since */
    size_t waiting;           /* bytes */
    uint8_t spare[8];         /* nothing comes this way */
};

struct qnet {
    struct sim *sim;
    struct io *io;
    int node, n;
    struct uuid directory;
    struct loop *control, *loop;
    struct listener listener;
    struct qlink links[QNET_VOTERS]; /* by node */
    struct list peers;               /* connections that came in */
    struct msg start;
    bool stopping;
    void (*came)(void *arg, int from, const struct uuid *directory, int kind, struct slice body);
    void (*dead)(void *arg, int node);
    void *arg;
};

void qnet_start(struct qnet *net); /* sim, io, node, n, control and callbacks are filled in */
/* The body in two parts. false: there is no connection, or too much waits on it. */
bool qnet_send(struct qnet *net, int to, int kind, struct slice head, struct slice body);
void qnet_stop(struct qnet *net, struct msg *gone); /* to the control loop */
