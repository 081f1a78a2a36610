/* The loops of a node: made at its start and when num.network.threads or num.io.threads grow, freed at its end. One that isn't
 * wanted any more rests until it is wanted again. */
#include "base/check.h"
#include "broker/api/fetch_session.h"
#include "broker/api/init_producer_id.h"
#include "broker/api/topic_rules.h"
#include "broker/replica/move.h"
#include "broker/server_internal.h"
#include <stdio.h>

enum { FETCH_EVICTION_MS = 120000 };

/* ---- making ---- */

void net_adopted(struct image_slot *slot, const struct published *old, const struct published *now)
{
    struct net_loop *n = container_of(slot, struct net_loop, slot);

    n->image = now->image;
    n->config = now->config;
    net_adopt(n->net);
    topic_rules_adopted(n->rules, old, now);
}

void disk_loop_adopted(struct image_slot *slot, const struct published *old, const struct published *now)
{
    struct disk_loop *d = container_of(slot, struct disk_loop, slot);

    d->image = now->image;
    d->config = now->config;
    partitions_adopted(d->partitions, old, now);
    if (!old)
        partitions_run(d->partitions);
}

struct disk_loop *disk_loop_start(struct server *s, int index)
{
    struct node *n = &s->node;
    struct disk_loop *d = heap_alloc(n->heap, sizeof(*d));
    struct dir_told *dirs = heap_alloc(n->heap, (size_t)s->boot.n * sizeof(*dirs));
    char name[24];

    for (int i = 0; i < s->boot.n; i++)
        dirs[i] = (struct dir_told){.past = s->boot.dirs[i].past, .id = s->boot.dirs[i].meta.directory_id};
    snprintf(name, sizeof(name), "disk-%d", index);
    d->node = n;
    d->index = index;
    d->config = n->config;
    d->disks = n->disks;
    d->loop = loop_start(n->io, LOOP_DISK, name);
    d->partitions = partitions_new(d, dirs, s->boot.n);
    for (int i = 0; i < s->boot.n; i++)
        if (s->boot.dirs[i].offline)
            partitions_unlisted(d->partitions, i);
    heap_free(n->heap, dirs);
    return d;
}

struct net_loop *net_loop_start(struct server *s, int index)
{
    struct node *n = &s->node;
    struct net_loop *l = heap_alloc(n->heap, sizeof(*l));
    int slots = (int)config_int(n->config, C_max_incremental_fetch_session_cache_slots);
    int started = (int)config_int(n->config, C_num_network_threads);
    int loops = n->n_net > started ? n->n_net : started;
    char name[24];
    uint64_t seed;

    io_random(n->io, &seed, sizeof(seed));
    snprintf(name, sizeof(name), "net-%d", index);
    l->node = n;
    l->index = index;
    l->config = n->config;
    l->disks = n->disks;
    l->controller = n->controller;
    list_init(&l->lives);
    l->loop = loop_start(n->io, LOOP_NET, name);
    l->codecs = codec_cache_new(n->heap);
    l->sessions = fetch_sessions_new(n->heap, seed, (slots + loops - 1) / loops, FETCH_EVICTION_MS);
    l->rules = heap_alloc(n->heap, sizeof(*l->rules));
    topic_rules_init(l->rules, n->heap, seed);
    l->producer_ids = producer_ids_new(l);
    l->net = net_new(n->net_shared, l);
    return l;
}

void loops_free(struct server *s)
{
    struct node *n = &s->node;

    for (int i = 0; i < n->n_net; i++) {
        struct net_loop *l = n->net[i];
        net_free(l->net);
        codec_cache_drop(l->codecs);
        fetch_sessions_drop(l->sessions);
        topic_rules_drop(l->rules);
        heap_free(n->heap, l->rules);
        producer_ids_drop(l->producer_ids);
        heap_free(n->heap, l);
    }
    heap_free(n->heap, n->net);
    for (int i = 0; n->disks && i < n->disks->n; i++) {
        partitions_drop(n->disks->v[i]->partitions);
        heap_free(n->heap, n->disks->v[i]);
    }
    heap_free(n->heap, n->disks);
    if (s->rounds)
        rounds_drop(s->rounds);
    if (n->net_shared)
        net_shared_drop(n->net_shared);
    dirs_drop(n->dirs);
    followers_drop(n->followers);
}

/* ---- num.network.threads changes: new connections go to so many loops; those that are there stay where they are, so a loop
 * that is not wanted any more only rests ---- */

struct spread {
    struct msg msg;
    struct server *server;
    int n;
    struct net_loop *loops[];
};

static void spread_run(struct msg *msg)
{
    struct spread *p = container_of(msg, struct spread, msg);

    listeners_spread(p->server->node.net_shared, p->loops, p->n);
    heap_free(p->server->node.heap, p);
}

static void net_threads_set(struct server *s, int n)
{
    struct node *node = &s->node;
    struct spread *p = heap_alloc(node->heap, sizeof(*p) + (size_t)n * sizeof(struct net_loop *));

    if (n > node->n_net)
        node->net = heap_resize(node->heap, node->net, (size_t)n * sizeof(struct net_loop *));
    while (node->n_net < n) {
        struct net_loop *l = node->net[node->n_net] = net_loop_start(s, node->n_net);
        node->n_net++;
        control_slot(node->control, &l->slot, l->loop, LOOP_NET, net_adopted);
    }
    s->n_spread = n;
    p->server = s;
    p->n = n;
    memcpy(p->loops, node->net, (size_t)n * sizeof(struct net_loop *));
    p->msg.run = spread_run;
    loop_post(node->net[0]->loop, &p->msg);
}

/* ---- num.io.threads changes: partitions move between loops (replica/move.h). One change at a time, after the scan that
 * follows a power cut, and no checkpoint round meanwhile:
 *
 *     rounds rest ─► move_begin ─► ended ─► rounds go on ─► is another change due, or a stop?
 */

static void io_threads_moved(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, threads);

    s->changing = false;
    if (s->phase == STOPPING)
        stop_go(s);
    else
        io_threads_check(s);
}

static void rounds_go_on(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, threads);

    rounds_again(s->rounds);
    s->threads.run = io_threads_moved;
    loop_post(s->control_loop, &s->threads);
}

static void move_ended(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, threads);

    TRACE(s->node.io, io_threads, s->node.disks->n_active);
    move_free(s->move);
    heap_free(s->node.heap, s->disks_before);
    s->threads.run = rounds_go_on;
    loop_post(s->node.disks->v[0]->loop, &s->threads);
}

/* The next table; loops that it is the first to need are made, and know the newest image before any partition. */
static struct disk_table *table_next(struct server *s, int n_active)
{
    struct node *node = &s->node;
    const struct disk_table *was = node->disks;
    int n = was->n > n_active ? was->n : n_active;
    struct disk_table *t = heap_alloc(node->heap, sizeof(*t) + (size_t)n * sizeof(struct disk_loop *));

    t->generation = was->generation + 1;
    t->n_active = n_active;
    t->n = n;
    memcpy(t->v, was->v, (size_t)was->n * sizeof(struct disk_loop *));
    for (int i = was->n; i < n; i++) {
        t->v[i] = disk_loop_start(s, i);
        control_slot(node->control, &t->v[i]->slot, t->v[i]->loop, LOOP_DISK, disk_loop_adopted);
    }
    return t;
}

static void rounds_rest(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, threads);

    s->disks_before = s->node.disks;
    s->node.disks = table_next(s, s->io_threads);
    s->threads.run = move_ended;
    s->move = move_begin(&s->node, s->control_loop, s->disks_before, s->node.disks, &s->threads);
}

static void rounds_pause(struct msg *msg)
{
    struct server *s = container_of(msg, struct server, threads);

    s->threads.run = rounds_rest;
    rounds_stop(s->rounds, s->control_loop, &s->threads);
}

void io_threads_check(struct server *s)
{
    s->io_threads = (int)config_int(control_config(s->node.control), C_num_io_threads);
    if (s->phase == STOPPING || !s->node.disks || s->scans || s->changing ||
        s->io_threads == s->node.disks->n_active)
        return;
    s->changing = true;
    s->threads.run = rounds_pause;
    loop_post(s->node.disks->v[0]->loop, &s->threads);
}

void on_configured(void *arg, const struct config *config)
{
    struct server *s = arg;
    int n = (int)config_int(config, C_num_network_threads);

    if (s->phase == RUNNING && n != s->n_spread)
        net_threads_set(s, n);
    io_threads_check(s);
}
