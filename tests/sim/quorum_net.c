#include "quorum_net.h"
#include "base/check.h"

enum { PORT = 9093, WAITING_MAX = 4 << 20, FRAME_MAX = 8 << 20 };
static const int64_t PAUSE_NS = 30000000;

struct head {
    uint32_t len;
    uint8_t kind, from, zero[2];
    struct uuid directory;
};

/* ---- out ---- */

struct frame {
    struct msg msg;
    struct out out;
    struct part part;
    struct qlink *link;
    size_t len;
    uint8_t bytes[];
};

static void frame_over(struct frame *f)
{
    f->link->waiting -= f->len;
    heap_free(io_heap(f->link->net->io), f);
}

static void frame_sent(struct out *out, enum err err)
{
    frame_over(container_of(out, struct frame, out));
}

static void frame_run(struct msg *msg)
{
    struct frame *f = container_of(msg, struct frame, msg);

    if (!f->link->open || f->link->net->stopping) {
        frame_over(f);
        return;
    }
    f->part = (struct part){.mem = slice_of(f->bytes, f->len)};
    f->out = (struct out){.v = &f->part, .n = 1, .done = frame_sent};
    sock_send(&f->link->sock, &f->out);
}

bool qnet_send(struct qnet *net, int to, int kind, struct slice head, struct slice body)
{
    struct qlink *l = &net->links[to];
    struct head h = {(uint32_t)(head.len + body.len), (uint8_t)kind, (uint8_t)net->node, {0}, net->directory};
    size_t len = sizeof(h) + h.len;
    struct frame *f;

    ASSERT(to != net->node && to <= net->n && h.len <= FRAME_MAX);
    if (!l->open || l->waiting + len > WAITING_MAX)
        return false;
    f = heap_alloc(io_heap(net->io), sizeof(*f) + len);
    f->link = l;
    f->len = len;
    memcpy(f->bytes, &h, sizeof(h));
    if (head.len)
        memcpy(f->bytes + sizeof(h), head.p, head.len);
    if (body.len)
        memcpy(f->bytes + sizeof(h) + head.len, body.p, body.len);
    l->waiting += len;
    f->msg.run = frame_run;
    loop_post(net->loop, &f->msg);
    return true;
}

static void link_open(struct sock *sock)
{
    struct qlink *l = container_of(sock, struct qlink, sock);

    l->open = true;
    l->lost = false;
}

static struct slice link_room(struct sock *sock)
{
    struct qlink *l = container_of(sock, struct qlink, sock);

    return slice_of(l->spare, sizeof(l->spare));
}

static void link_came(struct sock *sock, size_t len)
{
    ASSERT(false);
}

struct death {
    struct msg msg;
    struct qnet *net;
    int node;
};

static void death_run(struct msg *msg)
{
    struct death *d = container_of(msg, struct death, msg);
    struct qnet *net = d->net;
    int node = d->node;

    heap_free(io_heap(net->io), d);
    net->dead(net->arg, node);
}

static void link_dead(struct qlink *l)
{
    struct death *d = heap_alloc(io_heap(l->net->io), sizeof(*d));

    *d = (struct death){.msg.run = death_run, .net = l->net, .node = l->to};
    loop_post(l->net->control, &d->msg);
}

/* A connection that ended is dialled again at once: a refusal then says that the process is dead. */
static void link_closed(struct sock *sock, enum err why)
{
    struct qlink *l = container_of(sock, struct qlink, sock);
    struct qnet *net = l->net;
    bool was_open = l->open;

    l->dialled = l->open = false;
    if (net->stopping)
        return;
    if (l->lost && why == E_REFUSED)
        link_dead(l);
    l->lost = was_open;
    timer_set(net->loop, &l->again,
              loop_now(net->loop) + (was_open ? 0 : (int64_t)sim_below(net->sim, (uint64_t)PAUSE_NS)));
}

static const struct sock_ops link_ops = {link_open, link_room, link_came, link_closed};

static void link_dial(struct timer *timer)
{
    struct qlink *l = container_of(timer, struct qlink, again);
    struct addr to = sim_addr(l->to, PORT);

    ASSERT(!l->dialled);
    l->dialled = true;
    sock_dial(l->net->loop, &l->sock, &link_ops, &to);
}

/* ---- in ---- */

struct peer {
    struct list link;
    struct sock sock;
    struct qnet *net;
    struct head head;
    struct came *body;
    size_t got;
    int from; /* 0: it hasn't said */
    bool old; /* the node has another one now */
};

struct came {
    struct msg msg;
    struct qnet *net;
    struct head head;
    uint8_t bytes[];
};

static void came_run(struct msg *msg)
{
    struct came *c = container_of(msg, struct came, msg);

    c->net->came(c->net->arg, c->head.from, &c->head.directory, c->head.kind,
                 slice_of(c->bytes, c->head.len));
    heap_free(io_heap(c->net->io), c);
}

static void peer_open(struct sock *sock)
{
}

static struct slice peer_room(struct sock *sock)
{
    struct peer *p = container_of(sock, struct peer, sock);

    if (p->old)
        return SLICE_NULL;
    if (p->got < sizeof(p->head))
        return slice_of((uint8_t *)&p->head + p->got, sizeof(p->head) - p->got);
    return slice_of(p->body->bytes + (p->got - sizeof(p->head)), p->head.len - (p->got - sizeof(p->head)));
}

/* The head is whole: who speaks here speaks nowhere else any more. */
static void peer_head(struct peer *p)
{
    struct qnet *net = p->net;

    ASSERT(p->head.from >= 1 && p->head.from <= net->n && p->head.len > 0 && p->head.len <= FRAME_MAX);
    if (!p->from) {
        p->from = p->head.from;
        list_each (it, &net->peers) {
            struct peer *other = container_of(it, struct peer, link);

            if (other == p || other->from != p->from || other->old)
                continue;
            other->old = true;
            sock_close(&other->sock);
        }
    }
    p->body = heap_alloc(io_heap(net->io), sizeof(*p->body) + p->head.len);
    p->body->net = net;
    p->body->head = p->head;
}

static void peer_came(struct sock *sock, size_t len)
{
    struct peer *p = container_of(sock, struct peer, sock);

    p->got += len;
    if (p->got == sizeof(p->head))
        peer_head(p);
    if (!p->body || p->got < sizeof(p->head) + p->head.len)
        return;
    p->got = 0;
    p->body->msg.run = came_run;
    loop_post(p->net->control, &p->body->msg);
    p->body = NULL;
}

static void peer_closed(struct sock *sock, enum err why)
{
    struct peer *p = container_of(sock, struct peer, sock);
    struct heap *h = io_heap(p->net->io);

    list_remove(&p->link);
    heap_free(h, p->body);
    heap_free(h, p);
}

static const struct sock_ops peer_ops = {peer_open, peer_room, peer_came, peer_closed};

static void net_arrived(struct listener *l, int ticket, const struct addr *from)
{
    struct qnet *net = container_of(l, struct qnet, listener);
    struct peer *p = heap_alloc(io_heap(net->io), sizeof(*p));

    *p = (struct peer){.net = net};
    list_add(&net->peers, &p->link);
    sock_adopt(net->loop, &p->sock, &peer_ops, ticket);
}

/* ---- start and end ---- */

static void start_run(struct msg *msg)
{
    struct qnet *net = container_of(msg, struct qnet, start);
    struct addr at = sim_addr(net->node, PORT);

    net->listener.arrived = net_arrived;
    ASSERT(sock_listen(net->loop, &net->listener, &at) == E_OK);
    for (int i = 1; i <= net->n; i++) {
        struct qlink *l = &net->links[i];

        if (i == net->node)
            continue;
        *l = (struct qlink){.net = net, .to = i, .again.fire = link_dial};
        link_dial(&l->again);
    }
}

void qnet_start(struct qnet *net)
{
    list_init(&net->peers);
    net->loop = loop_start(net->io, LOOP_NET, "voters");
    net->start.run = start_run;
    loop_post(net->loop, &net->start);
}

void qnet_stop(struct qnet *net, struct msg *gone)
{
    net->stopping = true;
    loop_stop(net->loop, net->control, gone);
}
