/* Dynamic limits of the network: the reader, a DISK loop, resolves what they name, the control loop passes them on while the node
 * runs, and the acceptor puts them into force. */
#include "broker/server_internal.h"

struct limits_change {
    struct msg msg;
    struct server *server;
    struct net_limits limits;
};

static void change_free(struct limits_change *c)
{
    struct heap *heap = c->server->node.heap;

    heap_free(heap, (void *)c->limits.per_ip);
    heap_free(heap, c);
}

/* On the acceptor. What was in force goes in exchange. */
static void limits_set(struct msg *msg)
{
    struct limits_change *c = container_of(msg, struct limits_change, msg);
    struct net_limits old = c->server->limits;

    net_limits_set(c->server->node.net_shared, &c->limits);
    c->server->limits = c->limits;
    c->limits = old;
    change_free(c);
}

static void limits_pass(struct msg *msg)
{
    struct limits_change *c = container_of(msg, struct limits_change, msg);

    if (c->server->phase == STOPPING) {
        change_free(c);
        return;
    }
    c->msg.run = limits_set;
    loop_post(c->server->node.net[0]->loop, &c->msg);
}

void limits_adopted(struct image_slot *slot, const struct published *old, const struct published *now)
{
    struct server *s = container_of(slot, struct server, limits_slot);
    struct limits_change *c;

    if ((old ? old->config : s->node.config) == now->config)
        return;
    c = heap_alloc(s->node.heap, sizeof(*c));
    c->server = s;
    net_limits_of(s->node.io, s->node.heap, now->config, &c->limits);
    c->msg.run = limits_pass;
    loop_post(s->control_loop, &c->msg);
}
