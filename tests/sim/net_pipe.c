/* Bytes under way between two ends, and what the network does to them. */
#include "net_impl.h"
#include <stdlib.h>

enum { SEGMENT_MAX = 16384 };
static const int64_t RETRY_NS = 1000000000;

static void arrive(struct sim *s, void *arg, int64_t n);
static void ack_arrive(struct sim *s, void *arg, int64_t n);
static void reset_arrive(struct sim *s, void *arg, int64_t side);
static void silence(struct sim *s, void *arg, int64_t side);
static void stuck(struct sim *s, void *arg, int64_t side);

void conn_unref(struct conn *c)
{
    ASSERT(c->refs > 0);
    if (--c->refs > 0)
        return;
    list_remove(&c->link);
    free(c->pipe[0].p);
    free(c->pipe[1].p);
    free(c);
}

void conn_at(struct conn *c, int64_t at, void (*run)(struct sim *, void *, int64_t), int64_t n)
{
    c->refs++;
    world_at(c->s, at, run, c, n);
}

void pipe_init(struct conn *c, int side)
{
    const struct sim_options *o = &c->s->opt;
    uint64_t span = o->buffer_max - o->buffer_min + 1;
    struct pipe *q = &c->pipe[side];

    q->kernel_max = o->buffer_min + (size_t)sim_below(c->s, span);
    q->here_max = o->buffer_min + (size_t)sim_below(c->s, span);
    q->silent_since = q->stuck_since = -1;
}

/* ---- links ---- */

bool cut(const struct conn *c, int from_side)
{
    return c->s->blocked[c->end[from_side].node][c->end[!from_side].node];
}

static struct sim_link link_of(const struct conn *c, int from_side)
{
    const struct sim *s = c->s;
    int i = s->link_at[c->end[from_side].node][c->end[!from_side].node];

    return i ? s->links[i - 1] : sim_link_plain(s);
}

int64_t way(struct conn *c, int from_side)
{
    return world_draw(c->s, link_of(c, from_side).net);
}

/* When `n` bytes that leave now are at the other side: behind all that left before. */
static int64_t next_arrival(struct conn *c, int side, size_t n)
{
    struct sim_link link = link_of(c, side);
    struct pipe *q = &c->pipe[side];
    int64_t at = c->s->now + world_draw(c->s, link.net);

    if (sim_chance(c->s, link.stall_ppm))
        at += world_draw(c->s, c->s->opt.stall);
    if (at < q->last_arrival)
        at = q->last_arrival;
    if (link.bytes_per_s > 0)
        at += (int64_t)n * 1000000000 / link.bytes_per_s;
    return q->last_arrival = at;
}

/* ---- from the sender's kernel to the receiver's ---- */

size_t kernel_len(const struct pipe *q)
{
    return q->len - q->here - q->wire;
}

/* The number of an arrival: twice its length, and the side. */
void pump(struct conn *c, int side)
{
    struct pipe *q = &c->pipe[side];

    if (c->end[side].state == END_DIALLING)
        return;
    while (kernel_len(q) > 0 && q->unacked < q->here_max) {
        size_t n = 1 + (size_t)sim_below(c->s, SEGMENT_MAX);
        if (n > kernel_len(q) || sim_below(c->s, 2))
            n = kernel_len(q);
        if (n > q->here_max - q->unacked)
            n = q->here_max - q->unacked;
        q->wire += n;
        q->unacked += n;
        conn_at(c, next_arrival(c, side, n), arrive, (int64_t)n * 2 + side);
    }
    if (q->fin && !q->fin_sent && kernel_len(q) == 0) {
        q->fin_sent = true;
        conn_at(c, next_arrival(c, side, 0), arrive, side);
    }
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

/* Something waits at a partition: when it has waited too long, its sender gives up. */
static void held(struct conn *c, int side)
{
    struct pipe *q = &c->pipe[side];

    if (q->stuck_since >= 0)
        return;
    q->stuck_since = c->s->now;
    conn_at(c, c->s->now + c->s->opt.tcp_timeout, stuck, side);
}

static void stuck(struct sim *s, void *arg, int64_t side)
{
    struct conn *c = arg;
    struct pipe *q = &c->pipe[side];
    int64_t due = q->stuck_since + s->opt.tcp_timeout;

    if (q->stuck_since >= 0 && s->now >= due) {
        q->lost = true;
        world_event(s, "given up", c->end[side].node, (int64_t)c->id, 0);
        end_over(&c->end[side], E_TIMEOUT);
    } else if (q->stuck_since >= 0) {
        conn_at(c, due, stuck, side);
    }
    conn_unref(c);
}

static void arrive(struct sim *s, void *arg, int64_t n)
{
    struct conn *c = arg;
    int side = (int)(n & 1);
    struct pipe *q = &c->pipe[side];

    if (sim_chance(s, link_of(c, side).reset_ppm)) {
        world_event(s, "reset", c->end[side].node, (int64_t)c->id, 0);
        reset_send(c, side);
        reset_send(c, !side);
    }
    if (q->lost) {
        ;
    } else if (cut(c, side) || q->held > 0 || q->fin_held) {
        q->held += (size_t)(n >> 1);
        q->fin_held = q->fin_held || (n >> 1) == 0;
        held(c, side);
    } else {
        arrived(c, side, (size_t)(n >> 1));
    }
    conn_unref(c);
}

/* ---- the way back ---- */

static void acked(struct conn *c, int side, size_t n)
{
    ASSERT(c->pipe[side].unacked >= n);
    c->pipe[side].unacked -= n;
    pump(c,
         side); /* the kernel sends on what it holds by itself; when some has left, there is room for more */
    fill(&c->end[side]);
}

void ack_send(struct conn *c, int side, size_t n)
{
    conn_at(c, c->s->now + way(c, !side), ack_arrive, (int64_t)n * 2 + side);
}

static void ack_arrive(struct sim *s, void *arg, int64_t n)
{
    struct conn *c = arg;
    int side = (int)(n & 1);

    if (cut(c, !side)) {
        c->pipe[side].acks_held += (size_t)(n >> 1);
        held(c, side);
    } else {
        acked(c, side, (size_t)(n >> 1));
    }
    conn_unref(c);
}

/* ---- resets, and machines that say nothing ---- */

void reset_send(struct conn *c, int side)
{
    conn_at(c, c->s->now + way(c, side), reset_arrive, side);
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

/* Its machine is down, or knows nothing of the connection. */
void unanswered(struct conn *c, int side)
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

/* ---- from outside ---- */

int64_t net_delayed_until(const struct sim *s)
{
    int64_t last = 0;

    list_each (it, &s->conns) {
        const struct conn *c = container_of(it, struct conn, link);

        for (int side = 0; side < 2; side++)
            last = c->pipe[side].last_arrival > last ? c->pipe[side].last_arrival : last;
    }
    return last;
}

static void pipe_healed(struct conn *c, int side)
{
    struct pipe *q = &c->pipe[side];
    size_t n = q->lost ? 0 : q->held, acks = q->acks_held;

    if (!cut(c, !side) && acks > 0) {
        q->acks_held = 0;
        acked(c, side, acks);
    }
    if (cut(c, side))
        return;
    q->held = 0;
    if (n > 0)
        arrived(c, side, n);
    if (q->fin_held) {
        q->fin_held = false;
        if (!q->lost)
            arrived(c, side, 0);
    }
    if (q->acks_held == 0)
        q->stuck_since = -1;
    if (q->rst_held) {
        q->rst_held = false;
        reset_send(c, side);
    }
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
    memset(s->link_at, 0, sizeof(s->link_at));
    s->n_links = 0;
    net_healed(s);
}

struct sim_link sim_link_plain(const struct sim *s)
{
    return (struct sim_link){
        .net = s->opt.net, .reset_ppm = s->opt.net_reset_ppm, .stall_ppm = s->opt.net_stall_ppm};
}

void sim_link(struct sim *s, int from, int to, const struct sim_link *link)
{
    uint8_t *at = &s->link_at[from][to];

    ASSERT(from > 0 && from < SIM_NODES_MAX && to > 0 && to < SIM_NODES_MAX);
    world_event(s, "link", from, to, link->net.max);
    if (*at == 0) {
        ASSERT(s->n_links < SIM_LINKS_MAX);
        *at = (uint8_t)++s->n_links;
    }
    s->links[*at - 1] = *link;
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
