/* base/io.h's sockets: a TCP of bounded buffers, split segments, latency, stalls, resets and partitions.
 * A connection has two ends and a pipe in each direction. A pipe's bytes lie in one queue: first those that wait for
 * the receiver's room, then those on the wire, then those in the sender's kernel.
 * An end lives until both it and all events that know its connection are gone. */
#include "sim_impl.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEGMENT_MAX = 16384, PORT_FIRST = 32768 };
static const int64_t RETRY_NS = 1000000000;

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
    size_t kernel_max, here_max;
    int64_t last_arrival;
    bool fin, fin_sent, fin_held, fin_here; /* the sender has closed */
    bool rst_held;
    int64_t silent_since; /* the receiver's machine doesn't answer; -1: it does */
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

/* ---- addresses ---- */

struct addr sim_addr(int node, uint16_t port)
{
    struct addr a = {.port = port};

    a.ip[10] = a.ip[11] = 0xff;
    a.ip[12] = 10;
    a.ip[15] = (uint8_t)node;
    return a;
}

/* The node that an address means to `self`; 0: everybody; -1: nobody. */
static int addr_node(const struct addr *a, int self)
{
    static const uint8_t any[16], loopback6[16] = {[15] = 1};
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(a->ip, any, 16) == 0)
        return 0;
    if (memcmp(a->ip, loopback6, 16) == 0)
        return self;
    if (memcmp(a->ip, v4, 12) != 0)
        return -1;
    if (a->ip[12] == 127)
        return self;
    if (a->ip[12] == 0)
        return 0;
    return a->ip[12] == 10 && a->ip[13] == 0 && a->ip[14] == 0 && a->ip[15] > 0 && a->ip[15] < SIM_NODES_MAX
               ? a->ip[15]
               : -1;
}

/* Knows numbers, "localhost" and "node<n>". */
enum err addr_find(struct io *io, const char *host, uint16_t port, struct addr *v, int max, int *n)
{
    struct in_addr a4;
    struct in6_addr a6;
    int node;
    char rest;

    ASSERT(io->s->cur && io->s->cur->kind == LOOP_DISK && max > 0);
    loop_wait(io->s->cur, io->s->now + world_draw(io->s, io->s->opt.net));
    *n = 1;
    v[0] = sim_addr(io->node, port);
    if (strcmp(host, "localhost") == 0)
        return E_OK;
    if (sscanf(host, "node%d%c", &node, &rest) == 1 && node > 0 && node < SIM_NODES_MAX) {
        v[0].ip[15] = (uint8_t)node;
        return E_OK;
    }
    if (inet_pton(AF_INET, host, &a4) == 1) {
        memcpy(v[0].ip + 12, &a4, 4);
        return E_OK;
    }
    if (inet_pton(AF_INET6, host, &a6) == 1) {
        memcpy(v[0].ip, &a6, 16);
        return E_OK;
    }
    *n = 0;
    return E_NOENT;
}

/* ---- lifetimes ---- */

static void conn_unref(struct conn *c)
{
    ASSERT(c->refs > 0);
    if (--c->refs > 0)
        return;
    list_remove(&c->link);
    free(c->pipe[0].p);
    free(c->pipe[1].p);
    free(c);
}

/* An event of a connection; it holds a reference that its function gives back. n: the side. */
static void conn_at(struct conn *c, int64_t at, void (*run)(struct sim *, void *, int64_t), int64_t n)
{
    c->refs++;
    world_at(c->s, at, run, c, n);
}

static struct end *other(struct end *e)
{
    return &e->conn->end[!e->side];
}

static bool cut(const struct conn *c, int from_side)
{
    return c->s->blocked[c->end[from_side].node][c->end[!from_side].node];
}

static void end_wake(struct end *e)
{
    if (e->loop && e->state != END_GONE && e->io)
        loop_task(e->loop, &e->task);
}

static void end_gone(struct end *e)
{
    e->state = END_GONE;
    e->sock = NULL;
    e->loop = NULL;
    e->io = NULL;
    conn_unref(e->conn);
}

static void outs_take(struct end *e, struct out **first, struct out ***last)
{
    if (!*first)
        return;
    *e->done_last = *first;
    e->done_last = *last;
    *first = NULL;
    *last = first;
}

/* Whatever has not gone to the kernel is cancelled, and `closed` follows. */
static void end_over(struct end *e, enum err why)
{
    if (e->state == END_ENDED || e->state == END_GONE)
        return;
    if (e->state == END_WAITING && !e->sock) { /* who adopts it will hear of it then */
        e->why = why;
        return;
    }
    e->state = END_ENDED;
    e->why = why;
    outs_take(e, &e->outs, &e->outs_last);
    outs_take(e, &e->late, &e->late_last);
    end_wake(e);
}

/* ---- pipes ---- */

static void queue_add(struct pipe *q, const void *p, size_t len)
{
    if (q->head > 0 && q->head + q->len + len > q->room) {
        memmove(q->p, q->p + q->head, q->len);
        q->head = 0;
    }
    if (q->len + len > q->room) {
        q->room = (q->len + len) * 2;
        q->p = realloc(q->p, q->room);
        ASSERT(q->p);
    }
    memcpy(q->p + q->head + q->len, p, len);
    q->len += len;
}

static size_t kernel_len(const struct pipe *q)
{
    return q->len - q->here - q->wire;
}

static void arrive(struct sim *s, void *arg, int64_t n);
static void reset_arrive(struct sim *s, void *arg, int64_t side);
static void silence(struct sim *s, void *arg, int64_t side);

static int64_t next_arrival(struct conn *c, struct pipe *q)
{
    int64_t at = c->s->now + world_draw(c->s, c->s->opt.net);

    if (sim_chance(c->s, c->s->opt.net_stall_ppm))
        at += world_draw(c->s, c->s->opt.stall);
    if (at < q->last_arrival)
        at = q->last_arrival;
    return q->last_arrival = at;
}

/* A reset on its way from that side to the other. */
static void reset_send(struct conn *c, int side)
{
    conn_at(c, c->s->now + world_draw(c->s, c->s->opt.net), reset_arrive, side);
}

/* Sends what windows allow. The number of an arrival: twice its length, and the side. */
static void pump(struct conn *c, int side)
{
    struct pipe *q = &c->pipe[side];

    if (c->end[side].state == END_DIALLING)
        return;
    while (kernel_len(q) > 0 && q->here + q->wire < q->here_max) {
        size_t n = 1 + (size_t)sim_below(c->s, SEGMENT_MAX);
        if (n > kernel_len(q) || sim_below(c->s, 2))
            n = kernel_len(q);
        if (n > q->here_max - q->here - q->wire)
            n = q->here_max - q->here - q->wire;
        q->wire += n;
        conn_at(c, next_arrival(c, q), arrive, (int64_t)n * 2 + side);
    }
    if (q->fin && !q->fin_sent && kernel_len(q) == 0) {
        q->fin_sent = true;
        conn_at(c, next_arrival(c, q), arrive, side);
    }
}

/* Nothing answers at the other side: its machine is down, or knows nothing of the connection. */
static void unanswered(struct conn *c, int side)
{
    struct pipe *q = &c->pipe[side];

    if (q->silent_since < 0) {
        q->silent_since = c->s->now;
        silence(c->s, (c->refs++, c), side);
    }
}

static void silence(struct sim *s, void *arg, int64_t side)
{
    struct conn *c = arg;
    struct end *e = &c->end[side];

    if (s->hosts[c->end[!side].node].powered)
        reset_send(c, !(int)side);
    else if (s->now - c->pipe[side].silent_since >= s->opt.tcp_timeout)
        end_over(e, E_TIMEOUT);
    else if (e->state != END_GONE)
        conn_at(c, s->now + RETRY_NS, silence, side);
    conn_unref(c);
}

static void arrived(struct conn *c, int side, size_t n)
{
    struct pipe *q = &c->pipe[side];
    struct end *to = &c->end[!side];

    world_event(c->s, "segment", to->node, (int64_t)c->id, (int64_t)n);
    q->wire -= n;
    q->here += n;
    if (n == 0)
        q->fin_here = true;
    if (to->state == END_GONE) {
        q->here -= n;
        q->head += n;
        q->len -= n;
        if (n > 0)
            unanswered(c, side);
        return;
    }
    end_wake(to);
}

static void arrive(struct sim *s, void *arg, int64_t n)
{
    struct conn *c = arg;
    int side = (int)(n & 1);
    struct pipe *q = &c->pipe[side];

    if (sim_chance(s, s->opt.net_reset_ppm)) {
        world_event(s, "reset", c->end[side].node, (int64_t)c->id, 0);
        reset_send(c, side);
        reset_send(c, !side);
    }
    if (cut(c, side) || q->held > 0 || q->fin_held) {
        q->held += (size_t)(n >> 1);
        q->fin_held = q->fin_held || (n >> 1) == 0;
    } else {
        arrived(c, side, (size_t)(n >> 1));
    }
    conn_unref(c);
}

static void reset_arrive(struct sim *s, void *arg, int64_t side)
{
    struct conn *c = arg;
    struct pipe *q = &c->pipe[side];

    if (cut(c, (int)side)) {
        q->rst_held = true;
    } else {
        world_event(s, "rst", c->end[!side].node, (int64_t)c->id, 0);
        end_over(&c->end[!side], E_RESET);
    }
    conn_unref(c);
}

/* From the sender's memory into its kernel, as much as fits. */
static bool out_copy(struct end *e, struct pipe *q, const struct part *part)
{
    uint8_t chunk[4096];
    size_t len = part->file ? part->len : part->mem.len;

    while (e->skip < len && kernel_len(q) < q->kernel_max) {
        size_t n = q->kernel_max - kernel_len(q);
        const uint8_t *p = chunk;
        if (n > len - e->skip)
            n = len - e->skip;
        if (n > sizeof(chunk))
            n = sizeof(chunk);
        if (!part->file)
            p = part->mem.p + e->skip;
        else if (file_send(part->file, part->at + (int64_t)e->skip, chunk, n) < n)
            return false;
        queue_add(q, p, n);
        world_fold_bytes(e->conn->s, p, n);
        if (e->conn->s->tap)
            e->conn->s->tap(e->conn->s->tap_arg, e->conn->id, e->node, other(e)->node, e->conn->port,
                            e->side == 0, slice_of(p, n));
        e->skip += n;
    }
    return true;
}

static void out_done(struct end *e)
{
    struct out *o = e->outs;

    e->outs = o->next;
    if (!e->outs)
        e->outs_last = &e->outs;
    e->part = 0;
    e->skip = 0;
    o->next = NULL;
    *e->done_last = o;
    e->done_last = &o->next;
    e->n_ok++;
    end_wake(e);
}

/* The first of the outs, as far as the kernel takes it; false: not whole yet, or ended. */
static bool fill_one(struct end *e, struct pipe *q)
{
    struct out *o = e->outs;

    while (e->part < o->n) {
        const struct part *part = &o->v[e->part];
        if (!out_copy(e, q, part)) { /* the file was cut under the send: the peer can't be told otherwise */
            reset_send(e->conn, e->side);
            end_over(e, E_IO);
            return false;
        }
        if (e->skip == (part->file ? part->len : part->mem.len)) {
            e->part++;
            e->skip = 0;
            continue;
        }
        pump(e->conn, e->side);
        if (kernel_len(q) >= q->kernel_max)
            return false;
    }
    return true;
}

static void fill(struct end *e)
{
    struct pipe *q = &e->conn->pipe[e->side];

    if (e->state != END_OPEN && e->state != END_CLOSING)
        return;
    while (e->outs && fill_one(e, q))
        out_done(e);
    if (e->state == END_CLOSING && !e->outs) {
        q->fin = true;
        end_over(e, E_CANCELED);
    }
    pump(e->conn, e->side);
}

/* The kernel sends on what it holds by itself; when some has left, there is room for more. */
static void refill(struct sim *s, void *arg, int64_t side)
{
    struct conn *c = arg;

    pump(c, (int)side);
    if (c->end[side].io)
        fill(&c->end[side]);
    conn_unref(c);
}

/* ---- callbacks: one a turn ---- */

static void call_done(struct end *e)
{
    struct out *o = e->done;
    enum err err = E_CANCELED;

    e->done = o->next;
    if (!e->done)
        e->done_last = &e->done;
    if (e->n_ok > 0) {
        e->n_ok--;
        err = E_OK;
    }
    world_event(e->conn->s, "sent", e->node, (int64_t)e->conn->id, err);
    o->done(o, err);
}

static void call_came(struct end *e)
{
    struct pipe *q = &e->conn->pipe[!e->side];
    struct slice room = e->sock->ops->room(e->sock);
    size_t n = room.len < q->here ? room.len : q->here;

    if (e->state != END_OPEN) /* it closed the socket in room() */
        return;
    if (room.len == 0) {
        e->paused = true;
        return;
    }
    if (n > 1 && sim_below(e->conn->s, 8) == 0)
        n = 1 + (size_t)sim_below(e->conn->s, n);
    memcpy(room.p, q->p + q->head, n);
    q->head += n;
    q->len -= n;
    q->here -= n;
    conn_at(e->conn, e->conn->s->now + world_draw(e->conn->s, e->conn->s->opt.net), refill, !e->side);
    world_event(e->conn->s, "came", e->node, (int64_t)e->conn->id, (int64_t)n);
    e->sock->ops->came(e->sock, n);
}

static void call_closed(struct end *e)
{
    struct sock *sock = e->sock;
    enum err why = e->why;

    world_event(e->conn->s, "closed", e->node, (int64_t)e->conn->id, why);
    if (e->conn->pipe[!e->side].here > 0) /* bytes that nobody will read: a kernel tells the peer so */
        reset_send(e->conn, e->side);
    e->loop->n_socks--;
    sock->impl = NULL;
    end_gone(e);
    sock->ops->closed(sock, why);
}

static bool readable(const struct end *e)
{
    return e->state == END_OPEN && !e->paused && e->conn->pipe[!e->side].here > 0;
}

static bool at_eof(const struct end *e)
{
    const struct pipe *q = &e->conn->pipe[!e->side];

    return e->state == END_OPEN && !e->paused && q->fin_here && q->here == 0;
}

/* An end is found by reading, and so only where there is room. */
static void call_eof(struct end *e)
{
    struct conn *c = e->conn;

    e->paused = e->sock->ops->room(e->sock).len == 0;
    if (e->paused || e->state != END_OPEN)
        return;
    c->pipe[e->side].fin = true;
    end_over(e, E_EOF);
    pump(c, e->side);
}

static void end_run(struct task *task)
{
    struct end *e = container_of(task, struct end, task);
    struct conn *c = e->conn;

    if (e->state == END_GONE)
        return;
    c->refs++; /* callbacks may end it */
    if (e->opened) {
        e->opened = false;
        world_event(c->s, "open", e->node, (int64_t)c->id, 0);
        e->sock->ops->open(e->sock);
    } else if (e->done && (!readable(e) || sim_below(c->s, 2))) {
        call_done(e);
    } else if (readable(e)) {
        call_came(e);
    } else if (at_eof(e)) {
        call_eof(e);
    } else if (e->state == END_ENDED) {
        call_closed(e);
    }
    if (e->opened || e->done || readable(e) || at_eof(e) || e->state == END_ENDED)
        end_wake(e);
    conn_unref(c);
}

/* ---- dialling and listening ---- */

static struct hearing *hearing_find(struct sim *s, int node, uint16_t port)
{
    list_each (it, &s->listeners) {
        struct hearing *h = container_of(it, struct hearing, link);
        if (h->l && h->io->node == node && h->port == port)
            return h;
    }
    return NULL;
}

static void hearing_run(struct task *task)
{
    struct hearing *h = container_of(task, struct hearing, task);
    int ticket;
    struct addr peer;

    if (!h->l || h->n == 0)
        return;
    ticket = h->tickets[0];
    peer = h->peers[0];
    h->n--;
    memmove(h->tickets, h->tickets + 1, (size_t)h->n * sizeof(*h->tickets));
    memmove(h->peers, h->peers + 1, (size_t)h->n * sizeof(*h->peers));
    if (h->n > 0)
        loop_task(h->loop, &h->task);
    world_event(h->io->s, "arrived", h->io->node, h->port, ticket);
    h->l->arrived(h->l, ticket, &peer);
}

static void hearing_add(struct hearing *h, int ticket, struct addr peer)
{
    if (h->n == h->room) {
        h->room = h->room ? h->room * 2 : 8;
        h->tickets = realloc(h->tickets, (size_t)h->room * sizeof(*h->tickets));
        h->peers = realloc(h->peers, (size_t)h->room * sizeof(*h->peers));
        ASSERT(h->tickets && h->peers);
    }
    h->tickets[h->n] = ticket;
    h->peers[h->n++] = peer;
    loop_task(h->loop, &h->task);
}

static void end_init(struct conn *c, int side, int node)
{
    struct end *e = &c->end[side];

    *e = (struct end){.conn = c, .side = side, .node = node, .state = END_GONE, .task.run = end_run};
    e->outs_last = &e->outs;
    e->done_last = &e->done;
    e->late_last = &e->late;
}

static void opened(struct sim *s, void *arg, int64_t n)
{
    struct conn *c = arg;
    struct end *e = &c->end[0];

    if (e->state == END_DIALLING) {
        e->state = END_OPEN;
        e->opened = true;
        end_wake(e);
        fill(e); /* what was sent while it dialled */
    } else if (s->hosts[e->node].powered) {
        reset_send(c, 0);
    }
    conn_unref(c);
}

static void dial_refused(struct sim *s, void *arg, int64_t n)
{
    struct conn *c = arg;

    end_over(&c->end[0], E_REFUSED);
    conn_unref(c);
}

static void dial_arrive(struct sim *s, void *arg, int64_t n)
{
    struct conn *c = arg;
    int node = c->end[1].node, from = c->end[0].node;
    struct hearing *h = node > 0 ? hearing_find(s, node, c->to.port) : NULL;
    int64_t back = s->now + world_draw(s, s->opt.net);

    if (c->end[0].state != END_DIALLING)
        ;
    else if (node <= 0 || !s->hosts[node].powered || s->blocked[from][node] || s->blocked[node][from]) {
        if (s->now - c->dialled_at >= s->opt.tcp_timeout)
            end_over(&c->end[0], E_TIMEOUT);
        else
            conn_at(c, s->now + RETRY_NS, dial_arrive, 0);
    } else if (!h) {
        conn_at(c, back, dial_refused, 0);
    } else {
        struct end *e = &c->end[1];
        e->io = h->io;
        e->state = END_WAITING;
        e->ticket = h->io->next_ticket++;
        c->refs++;
        hearing_add(h, e->ticket, sim_addr(from, (uint16_t)(PORT_FIRST + c->id % 28000)));
        conn_at(c, back, opened, 0);
    }
    conn_unref(c);
}

static void own_loop(const struct loop *l)
{
    ASSERT(l->kind == LOOP_NET && l->io->s->cur == l); /* sockets are for their own NET loop */
}

void sock_dial(struct loop *loop, struct sock *sock, const struct sock_ops *ops, const struct addr *to)
{
    struct sim *s = loop->io->s;
    struct conn *c = sim_alloc(sizeof(*c));
    int node = addr_node(to, loop->io->node);

    own_loop(loop);
    *c = (struct conn){
        .s = s, .id = ++s->next_conn, .port = to->port, .to = *to, .dialled_at = s->now, .refs = 1};
    list_add(&s->conns, &c->link);
    for (int i = 0; i < 2; i++) {
        uint64_t span = s->opt.buffer_max - s->opt.buffer_min + 1;
        c->pipe[i].kernel_max = s->opt.buffer_min + (size_t)sim_below(s, span);
        c->pipe[i].here_max = s->opt.buffer_min + (size_t)sim_below(s, span);
        c->pipe[i].silent_since = -1;
    }
    end_init(c, 0, loop->io->node);
    end_init(c, 1, node < 0 ? 0 : node == 0 ? loop->io->node : node);
    c->end[0].state = END_DIALLING;
    c->end[0].io = loop->io;
    c->end[0].loop = loop;
    c->end[0].sock = sock;
    *sock = (struct sock){.impl = &c->end[0], .loop = loop, .ops = ops};
    loop->n_socks++;
    world_event(s, "dial", loop->io->node, (int64_t)c->id, to->port);
    conn_at(c, s->now + world_draw(s, s->opt.net), dial_arrive, 0);
}

enum err sock_listen(struct loop *loop, struct listener *l, struct addr *at)
{
    struct io *io = loop->io;
    struct host *host = &io->s->hosts[io->node];
    int node = addr_node(at, io->node);
    struct hearing *h;

    own_loop(loop);
    ASSERT(l->arrived);
    if (node != 0 && node != io->node)
        return E_NOENT;
    if (at->port == 0) {
        do
            at->port = (uint16_t)(PORT_FIRST + host->next_port++ % 28000);
        while (hearing_find(io->s, io->node, at->port));
    } else if (hearing_find(io->s, io->node, at->port)) {
        return E_BUSY;
    }
    h = sim_alloc(sizeof(*h));
    *h = (struct hearing){.io = io, .loop = loop, .l = l, .port = at->port, .task.run = hearing_run};
    list_add(&io->s->listeners, &h->link);
    l->impl = h;
    loop->n_socks++;
    world_event(io->s, "listen", io->node, at->port, 0);
    return E_OK;
}

static void refuse(struct end *e)
{
    reset_send(e->conn, e->side);
    end_gone(e);
}

static void hearing_close(struct hearing *h)
{
    list_each_safe (it, &h->io->s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        struct end *e = &c->end[1];
        for (int i = 0; i < h->n; i++)
            if (e->state == END_WAITING && e->io == h->io && e->ticket == h->tickets[i]) {
                refuse(e);
                break;
            }
    }
    h->n = 0;
    h->l = NULL;
}

/* Those that arrived() has told of and nobody has adopted stay adoptable: a message may be on its way with one. */
void listener_close(struct listener *l)
{
    struct hearing *h = l->impl;

    ASSERT(h && h->l == l);
    own_loop(h->loop);
    h->loop->n_socks--;
    if (h->n > 0) /* its callback is queued */
        list_remove(&h->task.link);
    hearing_close(h);
    l->impl = NULL;
}

void sock_adopt(struct loop *loop, struct sock *sock, const struct sock_ops *ops, int ticket)
{
    struct end *e = NULL;

    own_loop(loop);
    list_each (it, &loop->io->s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        if (c->end[1].state == END_WAITING && c->end[1].io == loop->io && c->end[1].ticket == ticket)
            e = &c->end[1];
    }
    ASSERT(e); /* a ticket is adopted once */
    e->loop = loop;
    e->sock = sock;
    e->state = END_OPEN;
    e->opened = true;
    *sock = (struct sock){.impl = e, .loop = loop, .ops = ops};
    loop->n_socks++;
    if (e->why != E_OK)
        end_over(e, e->why);
    end_wake(e);
}

/* ---- the rest of a socket's life ---- */

static struct end *end_of(struct sock *sock)
{
    struct end *e = sock->impl;

    ASSERT(e && e->sock == sock); /* `closed` was the last */
    own_loop(e->loop);
    return e;
}

void sock_send(struct sock *sock, struct out *out)
{
    struct end *e = end_of(sock);

    ASSERT(out->done && out->n >= 0);
    out->next = NULL;
    if (e->state ==
        END_CLOSING) { /* it comes after those before it, which may still be sent, and is cancelled */
        *e->late_last = out;
        e->late_last = &out->next;
        return;
    }
    if (e->state == END_ENDED) {
        *e->done_last = out;
        e->done_last = &out->next;
        end_wake(e);
        return;
    }
    *e->outs_last = out;
    e->outs_last = &out->next;
    fill(e);
}

void sock_more(struct sock *sock)
{
    struct end *e = end_of(sock);

    e->paused = false;
    if (readable(e) || at_eof(e))
        end_wake(e);
}

void sock_close(struct sock *sock)
{
    struct end *e = end_of(sock);

    if (e->state == END_ENDED)
        return;
    if (e->state == END_OPEN) {
        e->state = END_CLOSING;
        fill(e);
        return;
    }
    if (e->state == END_CLOSING)
        reset_send(e->conn, e->side);
    end_over(e, E_CANCELED);
}

void net_close_loop(struct loop *loop)
{
    struct sim *s = loop->io->s;

    list_each (it, &s->listeners) {
        struct hearing *h = container_of(it, struct hearing, link);
        if (h->l && h->loop == loop)
            listener_close(h->l);
    }
    list_each (it, &s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        for (int i = 0; i < 2; i++) {
            if (c->end[i].state == END_GONE || c->end[i].loop != loop)
                continue;
            c->pipe[i].fin = true;
            end_over(&c->end[i], E_CANCELED);
            pump(c, i);
        }
    }
}

/* ---- from outside ---- */

static void end_kill(struct end *e, enum sim_crash how)
{
    struct conn *c = e->conn;
    bool met = e->state != END_DIALLING;

    c->refs++;
    end_gone(e);
    if (how == SIM_PROCESS && met) {
        if (c->pipe[!e->side].here > 0 || sim_below(c->s, 2)) {
            reset_send(c, e->side);
        } else {
            c->pipe[e->side].fin = true;
            pump(c, e->side);
        }
    } else if (how == SIM_POWER) { /* what its kernel held is gone; what was on the wire arrives */
        c->pipe[e->side].len = c->pipe[e->side].here + c->pipe[e->side].wire;
        if (met && c->pipe[!e->side].len > c->pipe[!e->side].here)
            unanswered(c, !e->side);
    }
    conn_unref(c);
}

void net_kill(struct io *io, enum sim_crash how)
{
    struct sim *s = io->s;

    list_each_safe (it, &s->listeners) {
        struct hearing *h = container_of(it, struct hearing, link);
        if (h->io != io)
            continue;
        list_remove(&h->link);
        free(h->tickets);
        free(h->peers);
        free(h);
    }
    for (struct list *it = s->conns.next, *next; it != &s->conns; it = next) {
        struct conn *c = container_of(it, struct conn, link);
        c->refs++;
        for (int i = 0; i < 2; i++)
            if (c->end[i].state != END_GONE && c->end[i].io == io)
                end_kill(&c->end[i], how);
        next = it->next;
        conn_unref(c);
    }
}

void net_drop(struct sim *s)
{
    list_each_safe (it, &s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        free(c->pipe[0].p);
        free(c->pipe[1].p);
        free(c);
    }
}

static void pipe_healed(struct conn *c, int side)
{
    struct pipe *q = &c->pipe[side];
    size_t n = q->held;

    if (cut(c, side))
        return;
    c->refs++;
    q->held = 0;
    if (n > 0)
        arrived(c, side, n);
    if (q->fin_held) {
        q->fin_held = false;
        arrived(c, side, 0);
    }
    if (q->rst_held) {
        q->rst_held = false;
        reset_send(c, side);
    }
    conn_unref(c);
}

static void net_healed(struct sim *s)
{
    for (struct list *it = s->conns.next, *next; it != &s->conns; it = next) {
        struct conn *c = container_of(it, struct conn, link);
        c->refs++;
        pipe_healed(c, 0);
        pipe_healed(c, 1);
        next = it->next;
        conn_unref(c);
    }
}

void sim_partition(struct sim *s, int from, int to, bool on)
{
    ASSERT(from > 0 && from < SIM_NODES_MAX && to > 0 && to < SIM_NODES_MAX);
    world_event(s, on ? "cut" : "heal", from, to, 0);
    s->blocked[from][to] = on;
    if (!on)
        net_healed(s);
}

void sim_heal(struct sim *s)
{
    world_event(s, "heal", 0, 0, 0);
    memset(s->blocked, 0, sizeof(s->blocked));
    net_healed(s);
}

void sim_reset(struct sim *s, int a, int b)
{
    list_each (it, &s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        int x = c->end[0].node, y = c->end[1].node;
        if ((x == a && y == b) || (x == b && y == a)) {
            reset_send(c, 0);
            reset_send(c, 1);
        }
    }
}

void sim_tap_set(struct sim *s, sim_tap tap, void *arg)
{
    s->tap = tap;
    s->tap_arg = arg;
}
