/* What the files of this folder share; nobody else includes it. */
#pragma once
#include "base/check.h"
#include "base/map.h"
#include "base/trace.h"
#include "broker/net/long_answer.h"
#include "broker/net/net.h"
#include <stdatomic.h>

enum {
    CONN_REQUESTS_MAX = 64,      /* of one connection in flight */
    CONN_UNSENT_MAX = 64 * 1024, /* bytes of encoded answers after which a connection isn't read */
    SCRATCH_BYTES = 16 * 1024,   /* what a first read may bring; larger bodies are read into their frame */
    POOL_MAX = 256,              /* requests that a loop keeps for the next ones */
    POOL_BYTES_MAX = 4096,       /* and the frame and reply buffers in them */
    KEPT_MAX = 32,               /* larger frame buffers that a loop keeps, */
    KEPT_BYTES_MAX = 12 << 20,   /* and their bytes, while it has connections */
    LONG_KEPT_BYTES = 4 << 20,   /* and of a long answer that others may ask for */
    SMALL_FRAME = 16 * 1024,     /* what need not wait behind larger ones */
    ASIDE_PART = 4,
    SLOW_CHECK_NS = 1000000000, /* while others wait for budget, a frame that is being read … */
    SLOW_GRACE_NS = 2000000000, /* … must come, after so long, … */
    SLOW_BYTES_MS = 64,         /* … at so many bytes a millisecond on average; so must an answer go */
    FRAME_MIN = 10,             /* key, version, correlation, client id */
    PARTS_INLINE = 4,
};

/* ---- The budget for frames (budget.c) ---- */

/* The budget of all loops. A loop that waits stands in `waiting` once; who gives back takes all of them off and wakes
 * them. */
struct budget {
    int64_t max;
    _Atomic int64_t used;
    _Atomic int64_t
        aside; /* used by small frames that others' large ones would hold up; up to max / ASIDE_PART */
    _Atomic(struct budget_loop *) waiting;
};

struct budget_loop {
    struct budget *budget;
    struct loop *loop;
    struct msg wake;
    struct budget_loop *next;
    bool asked;   /* it stands in `waiting`, or its wake is on the way */
    bool passing; /* a frame beyond the budget is out */
    struct list queue;
    void (*granted)(struct list *waiter, bool pass); /* off the queue, its size taken */
    int64_t (*size)(struct list *waiter);
};

void budget_loop_init(struct budget_loop *b, struct budget *budget, struct loop *loop);
/* Takes bytes for a frame; false: not now. *pass: it is the one frame beyond. Not past others who wait. */
bool budget_take(struct budget_loop *b, int64_t bytes, bool *pass);
/* Queues a waiter. `granted` comes in order, never inside this call. It leaves the queue by list_remove(). */
void budget_wait(struct budget_loop *b, struct list *waiter);
void budget_force(struct budget_loop *b, int64_t bytes); /* what was read ahead counts too */
/* For a small frame where budget_take() has none, or others wait: what is set aside. No waiting, no queue. */
bool budget_take_aside(struct budget *b, int64_t bytes);
void budget_give_aside(struct budget *b, int64_t bytes);
void budget_give(struct budget_loop *b, int64_t bytes, bool pass);

/* ---- Long answers (long_answer.c) ---- */

struct long_line {
    struct net *net;
    struct list queue; /* net_request.turn: those who wait for it */
    struct net_request *active;
    struct long_answer *building;
    struct published *held;
    struct long_answer *kept; /* the newest shared one */
    struct budget_loop budget;
    struct list wait; /* in the budget's queue */
    struct msg msg;
    bool posted, running;
};

void long_line_init(struct long_line *l, struct net *net);
void long_next(struct conn *c);    /* if it is a long answer's turn on this connection, it gets in line */
void long_forget(struct net *net); /* gives back what is kept for others */
void long_unuse(struct long_answer *a);
bool request_reply_listed(struct request *r); /* true: r->out has many elements, so it is answered in steps */
int long_pages(const struct long_answer *a);
size_t long_part(const struct long_answer *a, int i, struct part *out);

/* ---- Connections (conn.c) ---- */

struct net {
    struct net_shared *shared;
    struct net_loop *owner;
    struct loop *loop;
    struct io *io;
    struct heap *heap;
    struct budget_loop budget;
    struct list conns;   /* the one that was quiet for longest first */
    struct list sending; /* net_request.turn: long answers on their way, the oldest first */
    struct list filling; /* requests whose frames aren't whole yet, the oldest first */
    int n_conns;
    int n_let_in;   /* the acceptor's count */
    int n_requests; /* orphans included */
    struct timer idle;
    struct timer grace;
    struct timer slow; /* set while a frame is being filled or a long answer is on its way */
    struct long_line line;
    struct list pool;
    int n_pool;
    struct bytes kept[KEPT_MAX];
    int n_kept;
    size_t kept_bytes;
    bool stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
    uint8_t scratch[SCRATCH_BYTES];
};

/* A request with what only this folder sees of it. */
struct net_request {
    struct request r;
    struct net *net;
    struct bytes buf;   /* the frame's memory; its room is kept in the pool while small */
    struct bytes reply; /* the encoded answer without what is elsewhere */
    struct part inline_parts[PARTS_INLINE];
    struct part *parts;
    int n_parts;
    int ranges_room;
    size_t reply_bytes;                                       /* with what is elsewhere */
    void (*begin)(struct request *r, struct long_plan *plan); /* of a long answer */
    struct long_plan plan;
    struct list turn; /* in the loop's line; then net's sending */
    int64_t sent_from;
    struct long_answer *answer; /* what its array lies in */
    int64_t charged;
    bool pass;
    bool aside;
    struct request *around; /* it came inside of this one, and has no connection */
    request_inside_done inside_done;
};

enum conn_state { CONN_OPEN, CONN_DRAINING, CONN_CLOSING };

struct conn {
    struct sock sock;
    struct net *net;
    struct door *door;
    struct addr peer;
    struct msg msg; /* from the acceptor to its loop; back when it has closed */
    int ticket;
    enum conn_state state;
    bool corked; /* several frames are being parsed: their answers leave together */
    bool sending;
    uint8_t got; /* bytes of head */
    uint8_t head[4];
    int n_requests;
    struct list link;     /* net's conns; before that, door's waiting */
    struct list wait;     /* in the queue for budget */
    struct list requests; /* in order of arrival */
    struct list in_send;  /* those whose answers are with the socket */
    struct net_request *reading;
    size_t read;    /* bytes of its frame */
    uint8_t *stash; /* what came ahead of what may be parsed */
    size_t stash_at, stash_len;
    size_t unsent;
    int64_t touched;
    struct conn_tie *tie; /* NULL: none */
};

void conn_adopt(struct msg *msg); /* on its own loop */
void conn_close(struct conn *c);  /* at once: replies that are due are dropped */
void conn_flush(struct conn *c);  /* sends what is ready and next in order */
void conn_resume(struct conn *c); /* goes on reading if it may */
void conn_wait_granted(struct list *waiter, bool pass);
int64_t conn_wait_size(struct list *waiter);
void net_check_stopped(struct net *net);

/* ---- Requests (dispatch.c, reply.c) ---- */

struct net_request *request_new(struct net *net, size_t frame_bytes);
void request_free(struct net_request *q);
void net_forget_frames(struct net *net); /* gives back the memory of frames that were large */
/* The body of a request that we know, decoded; `out` ready for its handler. */
enum err request_prepare(struct request *r, const struct proto_request *head);
void request_inside_end(struct net_request *q); /* the answer to one that came inside another */
/* The frame is complete. False: the connection must be closed, and the request is gone. */
bool dispatch(struct net_request *q);
/* The answer is encoded around the array that lies in `a`, of which it takes over a use; then request_encoded() ends it. */
enum err request_encode_long(struct net_request *q, struct long_answer *a, int32_t n, size_t bytes);
void request_encoded(struct net_request *q, enum err err);

/* ---- Listeners (listener.c) ---- */

/* A bucket of permissions that fills evenly, one second's worth deep. */
struct rate {
    int32_t per_second;
    int64_t next; /* ns: when the permission after the last one's is earned, at most a second behind now */
};

struct door {
    struct listener listener;
    struct net_shared *shared;
    const struct config_listener *config;
    const struct handler *(*serve)(int16_t key);
    int limits; /* which of net_limits.listeners; -1: the controller's, which has none */
    bool early; /* the controller's: let in at once, on the acceptor's loop */
    int32_t connections_max;
    int n_conns;
    struct rate rate;
    struct list waiting;
    int n_waiting;
    bool open;
};

struct ip_count {
    uint8_t ip[16];
    int32_t n;
};

struct net_shared {
    struct node *node;
    struct io *io;
    struct heap *heap;
    struct net_limits limits;
    struct budget budget;
    /* the acceptor's: */
    struct loop *loop;
    struct net *acceptor;
    struct door *doors; /* room for NET_LISTENERS_MAX */
    int n_doors;
    struct net **targets;
    int n_targets;
    struct map ips;
    int n_conns;
    struct rate rate;
    struct timer again; /* when the next waiting connection may come in */
};

void door_conn_closed(struct msg *msg); /* on the acceptor's loop: counts it out and frees it */
