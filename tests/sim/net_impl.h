/* What the simulator's TCP is made of: bounded buffers, split segments, latency, stalls, resets and partitions.
 * A connection has two ends and a pipe in each direction. A pipe's bytes lie in one queue: first those that wait for
 * the receiver's room, then those on the wire, then those in the sender's kernel.
 * An end lives until both it and all events that know its connection are gone.
 * net_pipe.c has the bytes under way, net_end.c the ends and their callbacks, net_dial.c how they come to be. */
#pragma once
#include "sim_impl.h"

enum end_state {
    END_DIALLING,
    END_WAITING, /* a ticket that nobody has adopted */
    END_OPEN,
    END_CLOSING, /* sock_close(): sends what it has */
    END_ENDED,   /* `closed` is all that is to come */
    END_GONE,    /* nobody holds it */
};

struct pipe {
    uint8_t *p;
    size_t head, len, room; /* the queue: p[head .. head + len) */
    size_t here, wire;      /* of it: at the receiver, between them; the rest in the sender's kernel */
    size_t held;            /* of wire: arrived at a partition, goes on when that ends */
    size_t unacked;         /* went on the wire, and the receiver's word that it was read hasn't come back */
    size_t acks_held;       /* of unacked: that word has arrived at a partition of the way back */
    size_t kernel_max, here_max;
    int64_t last_arrival;
    bool fin, fin_sent, fin_held, fin_here; /* the sender has closed */
    bool rst_held;
    int64_t silent_since; /* the receiver's machine doesn't answer; -1: it does */
    int64_t stuck_since;  /* something is held; -1: nothing is */
    bool lost;            /* the sender has given up: nothing of it arrives any more */
};

struct end {
    struct task task;
    struct conn *conn;
    int side; /* its own pipe is conn->pipe[side]: what it sends */
    int node;
    struct io *io; /* NULL: the node is gone */
    enum end_state state;
    enum err why;
    bool opened; /* open() is to be called */
    bool paused; /* room() was empty */
    struct loop *loop;
    struct sock *sock;
    int ticket;
    struct out *outs, **outs_last; /* not all in the kernel; part and skip say where */
    int part;
    size_t skip;
    struct out *late, **late_last; /* sent after sock_close() */
    struct out *done, **done_last; /* whose done() is to come */
    int n_ok;                      /* how many of `done` went well; the rest is cancelled */
};

struct conn {
    struct list link;
    struct sim *s;
    uint64_t id;
    int refs; /* ends that aren't GONE, and events */
    uint16_t port;
    int64_t dialled_at;
    struct addr to;
    struct end end[2]; /* 0: the dialler */
    struct pipe pipe[2];
};

struct hearing {
    struct list link;
    struct io *io;
    struct loop *loop;
    struct listener *l; /* NULL: closed */
    uint16_t port;
    struct task task;
    int *tickets;
    struct addr *peers;
    int n, room;
};

/* net_pipe.c. A side is the number of an end; cut: nothing comes through from it to the other. */
bool cut(const struct conn *c, int from_side);
void conn_unref(struct conn *c);
/* An event of a connection; it holds a reference that its function gives back. n: the side. */
void conn_at(struct conn *c, int64_t at, void (*run)(struct sim *, void *, int64_t), int64_t n);
int64_t way(struct conn *c, int from_side); /* the time that a packet takes, drawn */
void pipe_init(struct conn *c, int side);
size_t kernel_len(const struct pipe *q);
void pump(struct conn *c, int side);               /* sends what windows allow */
void ack_send(struct conn *c, int side, size_t n); /* of that side's bytes, n were read */
void reset_send(struct conn *c, int side);         /* on its way from that side to the other */
void unanswered(struct conn *c, int side);         /* nothing answers at the other side */

/* net_end.c */
void end_init(struct conn *c, int side, int node);
void end_wake(struct end *e);
void end_gone(struct end *e);
void end_over(struct end *e,
              enum err why); /* what hasn't gone to the kernel is cancelled, and `closed` follows */
void end_kill(struct end *e, enum sim_crash how);
void end_more(struct end *e); /* sock_more() */
void fill(struct end *e);     /* the kernel takes what it has room for, unless the process is paused */

/* net_dial.c */
void net_own_loop(const struct loop *l); /* asserts: sockets are for their own NET loop */
