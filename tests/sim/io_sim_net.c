/* base/io.h's sockets, once they are there, and the end of all of a node's. */
#include "net_impl.h"
#include <stdlib.h>

static struct end *end_of(struct sock *sock)
{
    struct end *e = sock->impl;

    ASSERT(e && e->sock == sock); /* `closed` was the last */
    net_own_loop(e->loop);
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
    end_more(end_of(sock));
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

/* A process that goes on finds what room its kernel has by now. */
void net_resume(struct io *io)
{
    list_each (it, &io->s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        for (int i = 0; i < 2; i++)
            if (c->end[i].io == io)
                fill(&c->end[i]);
    }
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

void sim_tap_set(struct sim *s, sim_tap tap, void *arg)
{
    s->tap = tap;
    s->tap_arg = arg;
}
