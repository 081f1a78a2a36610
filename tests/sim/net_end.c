/* The ends of connections: what a process sends goes into its kernel, and what its kernel knows is called back. */
#include "net_impl.h"
#include <stdlib.h>

static void end_run(struct task *task);

void end_init(struct conn *c, int side, int node)
{
    struct end *e = &c->end[side];

    *e = (struct end){.conn = c, .side = side, .node = node, .state = END_GONE, .task.run = end_run};
    e->outs_last = &e->outs;
    e->done_last = &e->done;
    e->late_last = &e->late;
}

static struct end *other(struct end *e)
{
    return &e->conn->end[!e->side];
}

void end_wake(struct end *e)
{
    if (e->loop && e->state != END_GONE && e->io)
        loop_task(e->loop, &e->task);
}

void end_gone(struct end *e)
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

void end_over(struct end *e, enum err why)
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

/* ---- from the process into its kernel ---- */

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

void fill(struct end *e)
{
    struct pipe *q = &e->conn->pipe[e->side];

    if ((e->state != END_OPEN && e->state != END_CLOSING) || e->io->paused)
        return;
    while (e->outs && fill_one(e, q))
        out_done(e);
    if (e->state == END_CLOSING && !e->outs) {
        q->fin = true;
        end_over(e, E_CANCELED);
    }
    pump(e->conn, e->side);
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
    ack_send(e->conn, !e->side, n);
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

void end_more(struct end *e)
{
    e->paused = false;
    if (readable(e) || at_eof(e))
        end_wake(e);
}

/* ---- from outside ---- */

void end_kill(struct end *e, enum sim_crash how)
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
