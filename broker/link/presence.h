/* How every controller that votes knows that this broker lives: a connection to each of them but this node, on which one
 * BrokerHeartbeat was sent, and that ends with this process. Who comes to lead has known since when its kernel closes it
 * (life_watch.h), so a broker that dies while the leader changes is fenced by the next one as it begins.
 *
 *     control loop                      net[0]
 *     presence_voters ─┐
 *     presence_epoch  ─┴─ the whole ──► for each voter: dial, BrokerHeartbeat with that epoch ──► api/brokers.c notes it
 *                                          ▲                                                        before it decides
 *                                          └── after a rest, when it has ended ── or at once, with another epoch
 *
 * Who:    the voters of the newest configuration, the active controller among them: nothing changes hands when it does. Where
 *         they listen: uplink_place().
 * Says:   CurrentMetadataOffset -1, so where it is decided it lets nobody in; the answer is for nobody. The active controller
 *         may end the connection to see whether this process lives: it is dialled again after PRESENCE_REST_MS.
 * Tells:  when a voter's port has refused, and when it took a call again: no process of its is there, for what is dialled is
 *         what it said of itself, or the settings. One that doesn't vote any more is told as one that is there.
 * Loop:   the control loop calls, and is told. Connections live on net[0]; names are looked up on the reader's loop.
 * Memory: one connection and one request for each voter; at most PRESENCE_PLACES in a process's life. */
#pragma once
#include "broker/node.h"
#include "quorum/quorum.h"

enum { PRESENCE_REST_MS = 100, PRESENCE_REST_MAX_MS = 2000, PRESENCE_PLACES = 32 };

struct presence;

struct presence_ops {
    void (*gone)(void *arg, int32_t node, bool is);
    void *arg;
};

struct presence *presence_new(struct node *node, struct loop *control, const struct presence_ops *ops);
/* Nothing is dialled before. */
void presence_open(struct presence *p, struct net_loop *net);
void presence_voters(struct presence *p, const int32_t *nodes, int n);
/* This broker is registered with that epoch. */
void presence_epoch(struct presence *p, int64_t epoch);
/* Ends the connections; `ended` is posted to the control loop when nothing of it is left on net[0]. Once. */
void presence_end(struct presence *p, struct msg *ended);
void presence_drop(struct presence *p);
