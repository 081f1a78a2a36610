#include "broker/server_internal.h"
#include <stdio.h>

enum { STOP_GRACE_NS = 2000000000 };

/* Remembers the first reason only, and stops as an orderly stop does, as far as it gets. */
void server_fail(struct server *s, enum err err, const char *what)
{
    if (s->why == E_OK) {
        s->why = err;
        snprintf(s->why_text, sizeof(s->why_text), "%.511s (%s)", what, err_text(err));
    }
    stop_begin(s);
}

/* ---- stop: each step counts the loops it waits for, and the last one to answer begins the next ---- */

static void server_free(struct server *s)
{
    struct heap *heap = s->node.heap;
    struct loop *loop = s->control_loop;
    struct server_options options = s->options;
    enum err why = s->why;
    char text[sizeof(s->why_text)];

    memcpy(text, s->why_text, sizeof(text));
    TRACE(s->node.io, server_stopped);
    member_drop(s->member);
    loops_free(s);
    boot_drop(&s->boot);
    arena_drop(&s->arena);
    heap_free(heap, (void *)s->limits.per_ip);
    heap_free(heap, s->dir_ok);
    heap_free(heap, s);
    options.stopped(options.arg, why, text);
    loop_stop(loop, NULL, NULL);
}

static void control_stopped(struct msg *msg)
{
    server_free(container_of(msg, struct server, step));
}

static void control_end(struct server *s)
{
    s->step.run = control_stopped;
    control_stop(s->node.control, &s->step);
}

static void all_disks_stopped(struct server *s)
{
    if (--s->pending > 0)
        return;
    for (int i = 0; i < s->boot.n; i++)
        if (!s->boot.dirs[i].offline && boot_checkpoint(&s->boot, &s->node, i) != E_OK)
            s->dir_ok[i] = false;
    boot_clean(&s->boot, s->dir_ok, s->node.disks->n, s->broker_epoch);
    control_end(s);
}

static void disk_stopped(struct msg *msg)
{
    all_disks_stopped(server_of(container_of(msg, struct disk_loop, stopping)->node));
}

/* Every partition is closed and the reader has ended: only now may a DISK loop end, since a directory that fails while
 * one loop closes is told to all of them. */
static void all_partitions_closed(struct server *s)
{
    if (--s->pending > 0)
        return;
    s->pending = s->node.disks->n;
    for (int i = 0; i < s->node.disks->n; i++) {
        s->node.disks->v[i]->stopping.run = disk_stopped;
        loop_stop(s->node.disks->v[i]->loop, s->control_loop, &s->node.disks->v[i]->stopping);
    }
}

static void reader_stopped(struct msg *msg)
{
    all_partitions_closed(container_of(msg, struct server, reader_stopping));
}

static void disk_closed_home(struct msg *msg)
{
    all_partitions_closed(server_of(container_of(msg, struct disk_loop, stopping)->node));
}

static void disk_closed(void *arg)
{
    struct disk_loop *d = arg;

    d->stopping.run = disk_closed_home;
    loop_post(server_of(d->node)->control_loop, &d->stopping);
}

static void disk_close(struct msg *msg)
{
    struct disk_loop *d = container_of(msg, struct disk_loop, stopping);
    struct server *s = server_of(d->node);

    partitions_close(d->partitions, s->dir_ok + d->index * s->boot.n, disk_closed, d);
}

static void rounds_over(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, step);

    s->pending = s->node.disks->n + 1;
    s->reader_stopping.run = reader_stopped;
    loop_stop(s->node.reader, s->control_loop, &s->reader_stopping);
    for (int i = 0; i < s->node.disks->n; i++) {
        s->node.disks->v[i]->stopping.run = disk_close;
        loop_post(s->node.disks->v[i]->loop, &s->node.disks->v[i]->stopping);
    }
}

static void rounds_end(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, step);

    s->step.run = rounds_over;
    rounds_stop(s->rounds, s->control_loop, &s->step);
}

static void reader_ended(struct msg *msg)
{
    control_end(container_of(msg, struct server, reader_stopping));
}

/* Of a controller, which has no partitions, or a node that stops before it has found them. */
static void reader_end(struct server *s)
{
    s->reader_stopping.run = reader_ended;
    if (s->node.reader)
        loop_stop(s->node.reader, s->control_loop, &s->reader_stopping);
    else
        loop_post(s->control_loop, &s->reader_stopping);
}

static void net_stopped(struct msg *msg)
{
    struct server *s = server_of(container_of(msg, struct net_loop, stopping)->node);

    if (--s->pending > 0)
        return;
    if (!s->node.disks) {
        reader_end(s);
        return;
    }
    s->step.run = rounds_end;
    loop_post(s->node.disks->v[0]->loop, &s->step);
}

static void unlinked(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, step);

    s->pending = s->node.n_net;
    for (int i = 0; i < s->node.n_net; i++) {
        s->node.net[i]->stopping.run = net_stopped;
        loop_stop(s->node.net[i]->loop, s->control_loop, &s->node.net[i]->stopping);
    }
}

/* The acceptor has heard of every connection's end: no loop has anything for another any more. */
static void acceptor_quiet(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, step);

    control_publish_end(s->node.control);
    s->step.run = unlinked;
    control_unlink(s->node.control, &s->step);
}

static void acceptor_last(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, step);

    s->step.run = acceptor_quiet;
    loop_post(s->control_loop, &s->step);
}

static void all_drained(struct server *s)
{
    if (--s->pending > 0)
        return;
    s->step.run = acceptor_last;
    loop_post(s->node.net[0]->loop, &s->step);
}

static void net_drained_home(struct msg *msg)
{
    all_drained(server_of(container_of(msg, struct net_loop, stopping)->node));
}

static void net_drained(void *arg)
{
    struct net_loop *l = arg;

    l->stopping.run = net_drained_home;
    loop_post(server_of(l->node)->control_loop, &l->stopping);
}

static void net_drain(struct msg *msg)
{
    struct net_loop *l = container_of(msg, struct net_loop, stopping);
    net_stop(l->net, STOP_GRACE_NS, net_drained, l);
}

static void calls_ended(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, calls);

    all_drained(s);
}

static void listeners_closed(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, step);

    s->pending = s->node.n_net + 1;
    s->calls.run = calls_ended;
    control_await_calls(s->node.control, &s->calls);
    for (int i = 0; i < s->node.n_net; i++) {
        s->node.net[i]->stopping.run = net_drain;
        loop_post(s->node.net[i]->loop, &s->node.net[i]->stopping);
    }
}

static void listeners_end(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, step);

    listeners_close(s->node.net_shared);
    s->step.run = listeners_closed;
    loop_post(s->control_loop, &s->step);
}

void stop_begin(struct server *s)
{
    if (s->phase == STOPPING)
        return;
    s->phase = STOPPING;
    dirs_stop(s->node.dirs);
    member_stop(s->member);
    TRACE(s->node.io, server_stopping, s->why ? s->why_text : "asked to");
    if (!s->node.control) {
        s->step.run = control_stopped;
        loop_post(s->control_loop, &s->step);
        return;
    }
    control_end_waits(s->node.control);
    if (!s->changing) /* partitions on their way arrive first */
        stop_go(s);
}

void stop_go(struct server *s)
{
    int n_disks = s->node.disks ? s->node.disks->n : 0;

    s->dir_ok = heap_alloc(s->node.heap, (size_t)(s->boot.n * n_disks));
    memset(s->dir_ok, true, (size_t)(s->boot.n * n_disks));
    s->step.run = listeners_end;
    loop_post(s->node.net[0]->loop, &s->step);
}
