/* The network side of a node: listeners, connections, and what they may take.
 *
 *   acceptor (net[0])            loop i
 *   listener ──conn──► spread ──msg──► conn: head → budget → frame → dispatch → handler
 *      ▲                                 │                                        │
 *      └────────────── closed ◄──────────┴──── one send ◄──── reply, in order ◄───┘
 *
 * Loop:   one acceptor, the loop of net[0], owns the listeners and all counts of connections. Each NET loop has a
 *         `struct net` of its own; the budget is shared by atomics, everything else goes by message.
 * Memory: a connection at rest is its struct and nothing else: all reads of a loop begin in one scratch buffer. A
 *         frame's exact size is taken from the budget before its body is read, and given back when its answer has been
 *         written. A connection that must wait for budget waits in its loop's queue, in order of arrival.
 *         Small frames that would wait may take from a quarter more, so that metadata and fetches go on beside large ones;
 *         a large one that hardly comes ends while others wait.
 * Always: a loop may hold one frame beyond the budget, so every loop makes progress whatever the others hold.
 *         A connection has at most CONN_REQUESTS_MAX requests and CONN_UNSENT_MAX bytes of answers (and one answer more)
 *         in flight; beyond that it isn't read. */
#pragma once
#include "broker/node.h"
#include "broker/request.h"

struct net;        /* one loop's */
struct net_shared; /* the node's */

/* max.connections.per.ip.overrides, resolved. */
struct ip_limit {
    uint8_t ip[16];
    int32_t max;
};

enum { NET_LISTENERS_MAX = 16 };

/* What is allowed; from the settings whose names are beside. Those marked * may change while the node runs. */
struct net_limits {
    int32_t request_bytes_max; /* socket.request.max.bytes */
    int64_t queued_bytes_max;  /* queued.max.request.bytes, or ours where that is -1 */
    int64_t idle_ns;           /* connections.max.idle.ms; 0: never */
    int32_t backlog;           /* socket.listen.backlog.size: how many wait to be let in */
    int32_t connections_max;   /* * max.connections */
    int32_t per_ip_max;        /* * max.connections.per.ip */
    int32_t creation_rate;     /* * max.connection.creation.rate, a second */
    struct listener_limit {
        int32_t connections_max;
        int32_t creation_rate;
    } listeners[NET_LISTENERS_MAX]; /* * by their order of opening, the controller's left out */
    const struct ip_limit *per_ip;  /* * lent until net_limits_set() gives another */
    int n_per_ip;
};

/* One listener to open. */
struct listener_open {
    const struct config_listener *config; /* lent; requests that come in here point to it */
    struct addr at;                       /* port 0 is filled in */
    const struct handler *(*serve)(
        int16_t key);      /* what is served here: handler_find, handler_find_controller; NULL: not here */
    int32_t send_bytes;    /* socket.send.buffer.bytes; -1: the kernel sizes it */
    int32_t receive_bytes; /* socket.receive.buffer.bytes; -1 */
};

/* From a broker's settings. A DISK loop: the overrides may name hosts; what can't be resolved is left out and said.
 * Memory: per_ip is the heap's; free it when net_limits_set() has given another, or after net_shared_drop(). */
void net_limits_of(struct io *io, struct heap *h, const struct config *c, struct net_limits *out);

/* Any thread, before the loops know of it. `limits` is copied but for what it lends. */
struct net_shared *net_shared_new(struct node *n, const struct net_limits *limits);
void net_shared_drop(struct net_shared *s); /* after every net has stopped and the listeners are closed */
struct net *net_new(struct net_shared *s, struct net_loop *loop);
void net_free(struct net *net); /* stopped */

/* Its own loop. No connection is read any more; each closes once its due replies are written, or after grace_ns at
 * once, which ends waiting handlers by `gone`. `done` runs when no connection and no request is left. */
void net_stop(struct net *net, int64_t grace_ns, void (*done)(void *arg), void *arg);
int net_connections(const struct net *net);
void net_adopt(struct net *net); /* the loop has another image or settings */

/* The acceptor's loop. */
/* Opens all of them or none, beside those that are open. The controller's (config->controller) let in at once and stay on
 * the acceptor's loop; the others wait for listeners_spread(). */
enum err listeners_open(struct net_shared *s, struct net_loop *acceptor, struct listener_open *v, int n);
void listeners_close(struct net_shared *s); /* new connections are refused; the open ones go on */
/* From now on, new connections go to these loops, evenly. Others keep what they have. Their order may not matter. */
void listeners_spread(struct net_shared *s, struct net_loop *const *v, int n);
void net_limits_set(struct net_shared *s, const struct net_limits *limits); /* what is marked * above */
int64_t net_budget_used(const struct net_shared *s);                        /* any thread */

/* Dispatch (dispatch.c): the handlers in key order, as ApiVersions announces them. */
const struct handler *handler_find(int16_t key);             /* NULL: unknown to clients */
const struct handler *handler_find_controller(int16_t key);  /* on the controller's own listener */
const struct handler *handler_next(const struct handler *h); /* NULL: from the first; after the last, NULL */
