/* Does a port refuse? A connection is dialled, and ended as soon as it is open: nothing is said on it.
 * Loop:   the control loop calls, and `done` runs there, never inside a call. Names are looked up on the reader's loop, dialled
 *         on a NET loop.
 * Memory: a knock is lent until `done`.
 * Ends:   after its time at the latest, but for a name that takes long. */
#pragma once
#include "broker/node.h"

struct knocker;

struct knock {
    const char *host;
    uint16_t port;
    int64_t timeout_ms;
    void (*done)(struct knock *k);
    void *arg;
    bool refused; /* the answer: its machine is there, and nobody listens */
    /* the knocker's */
    struct knocker *knocker;
    struct msg msg;
    struct list link;
    struct timer timer;
    struct sock sock;
    struct addr at;
    bool found;
};

struct knocker *knocker_new(struct node *node, struct loop *control);
void knocker_open(struct knocker *k, struct net_loop *net); /* before the first knock */
void knocker_knock(struct knocker *k, struct knock *one);
/* No more knocks; those under way end soon. Then `ended` is posted to the control loop. Once. */
void knocker_end(struct knocker *k, struct msg *ended);
void knocker_drop(struct knocker *k);
