/* What the files of the composition root share. server.c starts a node, server_stop.c ends it, server_threads.c makes its
 * loops, server_limits.c follows the settings of the network,
 * server_member.c is its membership of the cluster.
 * Loop: the control loop, but for messages that name another. */
#pragma once
#include "base/trace.h"
#include "broker/boot.h"
#include "broker/control.h"
#include "broker/dirs.h"
#include "broker/link/followers.h"
#include "broker/member.h"
#include "broker/net/net.h"
#include "broker/replica/manager.h"
#include "broker/replica/rounds.h"
#include "broker/server.h"
#include "proto_gen.h"

enum { LISTENERS_MAX = 16 };

enum phase { STARTING, RUNNING, STOPPING };

struct server {
    struct node node;
    struct server_options options;
    struct loop *control_loop;
    struct boot boot;
    struct rounds *rounds;
    struct net_limits limits;
    struct listener_open listeners[LISTENERS_MAX];
    int n_listeners;
    int n_spread; /* NET loops that get new connections */
    enum err early_err, open_err;
    struct member *member;
    struct BrokerRegistrationRequest registration;
    struct ControllerRegistrationRequest controller;
    struct arena arena;
    int64_t broker_epoch;
    int64_t kept_epoch; /* boot_kept_epoch() */
    enum phase phase;
    bool leaving;   /* asked to stop: the other brokers take over first */
    bool serves;    /* it is a broker */
    bool scans;     /* partitions are scanned after a power cut */
    bool changing;  /* io_threads_check() began what has not ended */
    int io_threads; /* wanted */
    struct move *move;
    struct disk_table *disks_before;
    struct net_loop *net_first;            /* for that loop itself: node.net grows */
    const struct disk_table *shared_disks; /* for the first NET loop, which came before them */
    int pending;                           /* loops that a step of the stop waits for */
    bool *dir_ok;                          /* a row of directories for each DISK loop */
    enum err why;                          /* what stopped it */
    char why_text[640];
    _Atomic int recovering;        /* loops that scan their partitions after a power cut */
    struct image_slot limits_slot; /* the reader's: server_limits.c */
    struct msg reader_stopping;
    struct msg begin, early, shared, open, opened, stop, signal, step, calls, recovered, threads;
};

static inline struct server *server_of(struct node *node)
{
    return container_of(node, struct server, node);
}

void server_fail(struct server *s, enum err err, const char *what);
void stop_begin(struct server *s);
void stop_go(struct server *s); /* goes on with a stop that waited for partitions to have moved */
/* server_member.c */
void server_member(struct server *s);
void server_join(struct server *s); /* the listeners are open: registers; then `ready` */
/* Hands over what this broker leads, then stops: the way out that isn't a failure. */
void server_leave(struct server *s);
/* server_threads.c */
struct disk_loop *disk_loop_start(struct server *s, int index);
struct net_loop *net_loop_start(struct server *s, int index);
void disk_loop_adopted(struct image_slot *slot, const struct published *old, const struct published *now);
void net_adopted(struct image_slot *slot, const struct published *old, const struct published *now);
void on_configured(void *arg, const struct config *config);
void io_threads_check(struct server *s); /* moves partitions if num.io.threads says so */
void loops_free(struct server *s);
/* On the reader's loop: dynamic limits of the network, on their way to the acceptor. */
void limits_adopted(struct image_slot *slot, const struct published *old, const struct published *now);
