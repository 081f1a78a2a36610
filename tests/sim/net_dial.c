/* How connections come to be: addresses, listening, dialling, and tickets that are adopted. */
#include "net_impl.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

enum { PORT_FIRST = 32768 };
static const int64_t RETRY_NS = 1000000000;

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

/* ---- dialling ---- */

void net_own_loop(const struct loop *l)
{
    ASSERT(l->kind == LOOP_NET && l->io->s->cur == l);
}

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
    int64_t back = s->now + way(c, 1);

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

void sock_dial(struct loop *loop, struct sock *sock, const struct sock_ops *ops, const struct addr *to)
{
    struct sim *s = loop->io->s;
    struct conn *c = sim_alloc(sizeof(*c));
    int node = addr_node(to, loop->io->node);

    net_own_loop(loop);
    *c = (struct conn){
        .s = s, .id = ++s->next_conn, .port = to->port, .to = *to, .dialled_at = s->now, .refs = 1};
    list_add(&s->conns, &c->link);
    end_init(c, 0, loop->io->node);
    end_init(c, 1, node < 0 ? 0 : node == 0 ? loop->io->node : node);
    pipe_init(c, 0);
    pipe_init(c, 1);
    c->end[0].state = END_DIALLING;
    c->end[0].io = loop->io;
    c->end[0].loop = loop;
    c->end[0].sock = sock;
    *sock = (struct sock){.impl = &c->end[0], .loop = loop, .ops = ops};
    loop->n_socks++;
    world_event(s, "dial", loop->io->node, (int64_t)c->id, to->port);
    conn_at(c, s->now + way(c, 0), dial_arrive, 0);
}

/* ---- listening ---- */

enum err sock_listen(struct loop *loop, struct listener *l, struct addr *at)
{
    struct io *io = loop->io;
    struct host *host = &io->s->hosts[io->node];
    int node = addr_node(at, io->node);
    struct hearing *h;

    net_own_loop(loop);
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
    net_own_loop(h->loop);
    h->loop->n_socks--;
    if (h->n > 0) /* its callback is queued */
        list_remove(&h->task.link);
    hearing_close(h);
    l->impl = NULL;
}

void sock_adopt(struct loop *loop, struct sock *sock, const struct sock_ops *ops, int ticket)
{
    struct end *e = NULL;

    net_own_loop(loop);
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
