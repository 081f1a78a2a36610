/* The way to the active controller, wherever it is: over the controller listener of the node that leads.
 *
 *   owner ─uplink_send─► waits until a leader is known ─► NET loop: make, client ─► the leader's controller listener
 *     ▲                     ▲                                                          │
 *     └────── done ◄────────┴── no answer, or NOT_CONTROLLER: again, at once to ───────┘ read
 *                               another leader, to the same one after a rest
 *
 * Loop:   the control loop calls, and `done` runs there, never inside a call; `make` and `read` run on a NET loop.
 * Memory: a call is lent, with all it points to, until `done`. So what is under way is bounded by its owners.
 * Time:   a call without an answer ends with E_REQUEST_TIMED_OUT when its time is over. One that was sent may take
 *         UPLINK_SLACK_MS more, for the controller keeps the same time and its answer is better than none.
 *         One try takes no longer than controller.socket.timeout.ms.
 * Again:  a call whose answer was lost may have had its effect; it is sent again all the same, by the same id and with the
 *         time that is left. The controller keeps its answer where doing it twice would show (metadata/requests.h). */
#pragma once
#include "broker/net/client.h"
#include "broker/node.h"

enum {
    UPLINK_REST_MS = 20,      /* before the same leader is asked again; doubled each time, up to */
    UPLINK_REST_MAX_MS = 500, /* this */
    UPLINK_SLACK_MS = 2000,
    UPLINK_PATIENCE_MS = 500, /* with a former leader's answers, once there is another */
};

struct uplink;

struct uplink_call {
    /* the owner's */
    int16_t api_key;
    int16_t version_min, version_max; /* 0, 0: all that there are */
    const void *in;
    struct arena *arena; /* without a limit */
    int64_t timeout_ms;
    enum err (*make)(
        struct uplink_call *c); /* fills `in`, once, before it is sent first; NULL: it is there */
    int32_t *left_ms; /* a field of `in`: how much time is left whenever it is sent; NULL: it has none */
    /* What the answer in `out` says; E_NOT_CONTROLLER: it is asked for again. */
    enum err (*read)(struct uplink_call *c);
    void (*done)(struct uplink_call *c);
    void *arg;
    /* the answer */
    enum err err; /* E_NOT_CONTROLLER: `here`, or this node stops */
    bool here;    /* this node itself leads: ask its own controller */
    void *out;
    int16_t version;
    /* the uplink's */
    struct uplink *uplink;
    struct list link; /* its waiting, or its flying */
    struct msg msg;
    struct timer timer;
    struct client_call call;
    int64_t deadline, rests_until;
    int32_t to;
    int tries;
    bool made;
};

struct uplink *uplink_new(struct node *node, struct loop *control);
/* Calls wait until it has a NET loop: a client lives there. */
void uplink_open(struct uplink *u, struct net_loop *net);
/* Who leads, as the quorum says; -1: nobody is known. Tells node->leader_apis, too. */
void uplink_leader(struct uplink *u, int32_t leader);
void uplink_send(struct uplink *u, struct uplink_call *c);
/* Ends all calls, and those to come, with E_NOT_CONTROLLER. Once. */
void uplink_end(struct uplink *u);
/* After uplink_end(): `ended` is posted to the control loop when nothing of it is left on the NET loop. */
void uplink_await_end(struct uplink *u, struct msg *ended);
void uplink_drop(struct uplink *u);
/* On the NET loop: where a controller listens, as this node's settings say, else as it has registered; lent for this
 * callback. false: nobody knows. */
bool uplink_place(const struct net_loop *net, int32_t id, struct slice *host, uint16_t *port);
