/* Who may come in: listeners, limits and the spreading of connections over the NET loops. All of it on the acceptor.
 *
 * A connection that arrives is refused (closed at once) when its address has too many or too many wait already; it waits
 * in its listener's queue while max.connections are in use or connections come faster than allowed; else it goes by
 * message to the loop that has the fewest. When it has closed it comes back by the same message, is counted out and
 * freed, and the next one that waits comes in. Those of the controller's own listener are few, known, and what a quorum
 * forms by: they don't wait, and live on the acceptor's loop.
 *
 * Kafka lets the listener between brokers exceed max.connections and closes an idle connection elsewhere for it; with one
 * node there is nobody to come in by that way. */
#include "broker/net/internal.h"

enum { SECOND = 1000000000 };

/* ---- Rates ---- */

static void rate_init(struct rate *r, int32_t per_second)
{
    *r = (struct rate){.per_second = per_second, .next = INT64_MIN};
}

/* When one more may come: now, or later. */
static int64_t rate_due(const struct rate *r, int64_t now)
{
    return r->next > now ? r->next : now;
}

static void rate_take(struct rate *r, int64_t now)
{
    if (r->per_second == INT32_MAX)
        return;
    if (r->next < now - SECOND)
        r->next = now - SECOND; /* what was not used for longer is lost */
    r->next += SECOND / (r->per_second > 0 ? r->per_second : 1);
}

/* ---- Counts ---- */

static struct slice ip_key(const uint8_t *ip)
{
    return slice_of(ip, sizeof(((struct addr *)0)->ip));
}

static int32_t ip_max(const struct net_limits *l, const struct addr *peer)
{
    for (int i = 0; i < l->n_per_ip; i++)
        if (memcmp(l->per_ip[i].ip, peer->ip, sizeof(peer->ip)) == 0)
            return l->per_ip[i].max;
    return l->per_ip_max;
}

static bool ip_enter(struct net_shared *s, const struct addr *peer)
{
    struct ip_count *count = map_get(&s->ips, ip_key(peer->ip));

    if ((count ? count->n : 0) >= ip_max(&s->limits, peer))
        return false;
    if (!count) {
        count = heap_alloc(s->heap, sizeof(*count));
        memcpy(count->ip, peer->ip, sizeof(count->ip));
        (void)map_put(&s->ips, ip_key(count->ip), count);
    }
    count->n++;
    return true;
}

static void ip_leave(struct net_shared *s, const struct addr *peer)
{
    struct ip_count *count = map_get(&s->ips, ip_key(peer->ip));

    ASSERT(count && count->n > 0);
    if (--count->n == 0) {
        (void)map_remove(&s->ips, ip_key(peer->ip));
        heap_free(s->heap, count);
    }
}

/* ---- Coming in ---- */

static void refused_open(struct sock *sock)
{
    (void)sock;
}

static struct slice refused_room(struct sock *sock)
{
    (void)sock;
    return SLICE_NULL;
}

static void refused_came(struct sock *sock, size_t len)
{
    (void)sock;
    ASSERT(len == 0);
}

static void refused_closed(struct sock *sock, enum err why)
{
    struct conn *c = container_of(sock, struct conn, sock);

    (void)why;
    heap_free(c->door->shared->heap, c);
}

static const struct sock_ops refused_ops = {
    .open = refused_open, .room = refused_room, .came = refused_came, .closed = refused_closed};

static void refuse(struct conn *c, const char *why)
{
    struct net_shared *s = c->door->shared;

    TRACE(s->io, net_refused, why);
    sock_adopt(s->loop, &c->sock, &refused_ops, c->ticket);
    sock_close(&c->sock);
    sock_close(&c->sock);
}

/* INT64_MAX: only once another has closed. */
static int64_t door_due(const struct door *d, int64_t now)
{
    const struct net_shared *s = d->shared;
    int64_t own = rate_due(&d->rate, now), all = rate_due(&s->rate, now);

    if (d->early)
        return now;
    if (s->n_targets == 0 || s->n_conns >= s->limits.connections_max || d->n_conns >= d->connections_max)
        return INT64_MAX;
    return own > all ? own : all;
}

static struct net *target_of(const struct conn *c)
{
    const struct net_shared *s = c->door->shared;
    int best = 0;

    if (c->door->early)
        return s->acceptor;
    for (int i = 1; i < s->n_targets; i++)
        if (s->targets[i]->n_let_in < s->targets[best]->n_let_in)
            best = i;
    return s->targets[best];
}

static void let_in(struct conn *c)
{
    struct net_shared *s = c->door->shared;
    int64_t now = loop_now(s->loop);

    if (!c->door->early) {
        rate_take(&c->door->rate, now);
        rate_take(&s->rate, now);
    }
    s->n_conns++;
    c->door->n_conns++;
    c->net = target_of(c);
    c->net->n_let_in++;
    c->msg.run = conn_adopt;
    loop_post(c->net->loop, &c->msg);
}

/* Lets in who waits, and sets the timer for the next one whom only a rate holds back. */
static void doors_work(struct net_shared *s)
{
    int64_t now, next = INT64_MAX;

    if (s->n_doors == 0)
        return; /* limits and loops may be set before the listeners open */
    now = loop_now(s->loop);
    timer_stop(&s->again);
    for (int i = 0; i < s->n_doors; i++) {
        struct door *d = &s->doors[i];
        int64_t due = INT64_MAX;

        while (!list_empty(&d->waiting) && (due = door_due(d, now)) <= now) {
            struct conn *c = container_of(d->waiting.next, struct conn, link);

            list_remove(&c->link);
            d->n_waiting--;
            let_in(c);
        }
        if (!list_empty(&d->waiting) && due < next)
            next = due;
    }
    if (next < INT64_MAX)
        timer_set(s->loop, &s->again, next);
}

static void again_fire(struct timer *timer)
{
    doors_work(container_of(timer, struct net_shared, again));
}

static void door_arrived(struct listener *l, int ticket, const struct addr *peer)
{
    struct door *d = container_of(l, struct door, listener);
    struct net_shared *s = d->shared;
    struct conn *c = heap_alloc(s->heap, sizeof(*c));

    c->door = d;
    c->peer = *peer;
    c->ticket = ticket;
    list_init(&c->link);
    if (d->n_waiting >= s->limits.backlog) {
        refuse(c, "too many wait to be let in");
        return;
    }
    if (!ip_enter(s, peer)) {
        refuse(c, "its address has max.connections.per.ip already");
        return;
    }
    list_add(&d->waiting, &c->link);
    d->n_waiting++;
    doors_work(s);
}

void door_conn_closed(struct msg *msg)
{
    struct conn *c = container_of(msg, struct conn, msg);
    struct door *d = c->door;
    struct net_shared *s = d->shared;

    c->net->n_let_in--;
    s->n_conns--;
    d->n_conns--;
    ip_leave(s, &c->peer);
    heap_free(s->heap, c);
    doors_work(s);
}

/* ---- Opening, changing, closing ---- */

static enum err door_open(struct net_shared *s, struct door *d, struct listener_open *v)
{
    struct listener_limit limit = {INT32_MAX, INT32_MAX};
    enum err err;

    *d = (struct door){.shared = s, .config = v->config, .serve = v->serve, .limits = -1};
    d->early = v->config && v->config->controller;
    for (int i = 0; i < s->n_doors && !d->early; i++)
        d->limits += !s->doors[i].early;
    d->limits += !d->early;
    if (!d->early)
        limit = s->limits.listeners[d->limits];
    d->connections_max = limit.connections_max;
    d->listener.arrived = door_arrived;
    d->listener.send_bytes = v->send_bytes;
    d->listener.receive_bytes = v->receive_bytes;
    rate_init(&d->rate, limit.creation_rate);
    list_init(&d->waiting);
    err = sock_listen(s->loop, &d->listener, &v->at);
    d->open = !err;
    return err;
}

static void door_close(struct door *d)
{
    if (!d->open)
        return;
    d->open = false;
    while (!list_empty(&d->waiting)) {
        struct conn *c = container_of(d->waiting.next, struct conn, link);

        list_remove(&c->link);
        d->n_waiting--;
        ip_leave(d->shared, &c->peer);
        heap_free(d->shared->heap, c); /* the listener refuses its ticket */
    }
    listener_close(&d->listener);
}

enum err listeners_open(struct net_shared *s, struct net_loop *acceptor, struct listener_open *v, int n)
{
    int before = s->n_doors;
    enum err err = E_OK;

    ASSERT(n > 0 && before + n <= NET_LISTENERS_MAX);
    s->loop = acceptor->loop;
    s->acceptor = acceptor->net;
    if (!s->doors)
        s->doors = heap_alloc(s->heap, NET_LISTENERS_MAX * sizeof(*s->doors));
    for (int i = 0; i < n && !err; i++) {
        err = door_open(s, &s->doors[s->n_doors], &v[i]);
        s->n_doors += !err;
    }
    while (err && s->n_doors > before)
        door_close(&s->doors[--s->n_doors]);
    return err;
}

void listeners_close(struct net_shared *s)
{
    for (int i = 0; i < s->n_doors; i++)
        door_close(&s->doors[i]);
    timer_stop(&s->again);
}

void listeners_spread(struct net_shared *s, struct net_loop *const *v, int n)
{
    struct net **targets = heap_alloc(s->heap, (size_t)n * sizeof(struct net *));

    for (int i = 0; i < n; i++)
        targets[i] = v[i]->net;
    heap_free(s->heap, s->targets);
    s->targets = targets;
    s->n_targets = n;
    doors_work(s);
}

void net_limits_set(struct net_shared *s, const struct net_limits *limits)
{
    s->limits.connections_max = limits->connections_max;
    s->limits.per_ip_max = limits->per_ip_max;
    s->limits.per_ip = limits->per_ip;
    s->limits.n_per_ip = limits->n_per_ip;
    if (limits->creation_rate != s->limits.creation_rate)
        rate_init(&s->rate, limits->creation_rate);
    s->limits.creation_rate = limits->creation_rate;
    for (int i = 0; i < s->n_doors; i++) {
        int at = s->doors[i].limits;

        if (at < 0)
            continue;
        s->doors[i].connections_max = limits->listeners[at].connections_max;
        if (limits->listeners[at].creation_rate != s->limits.listeners[at].creation_rate)
            rate_init(&s->doors[i].rate, limits->listeners[at].creation_rate);
    }
    memcpy(s->limits.listeners, limits->listeners, sizeof(s->limits.listeners));
    doors_work(s);
}

struct net_shared *net_shared_new(struct node *n, const struct net_limits *limits)
{
    struct net_shared *s = heap_alloc(n->heap, sizeof(*s));
    uint64_t seed;

    s->node = n;
    s->io = n->io;
    s->heap = n->heap;
    s->limits = *limits;
    s->budget.max = limits->queued_bytes_max;
    s->again.fire = again_fire;
    rate_init(&s->rate, limits->creation_rate);
    io_random(n->io, &seed, sizeof(seed));
    map_init(&s->ips, n->heap, seed);
    return s;
}

void net_shared_drop(struct net_shared *s)
{
    ASSERT(s->n_conns == 0 && atomic_load(&s->budget.used) == 0);
    map_drop(&s->ips);
    heap_free(s->heap, s->doors);
    heap_free(s->heap, s->targets);
    heap_free(s->heap, s);
}

int64_t net_budget_used(const struct net_shared *s)
{
    return atomic_load(&s->budget.used);
}
