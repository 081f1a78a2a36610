#include "uplink.h"
#include "base/check.h"
#include "broker/link/dial.h"
#include "proto_gen.h"
#include <stdio.h>

enum { NS_A_MS = 1000000 };

struct uplink {
    struct node *node;
    struct loop *control;
    int32_t leader;      /* -1: unknown */
    struct list waiting; /* for a leader, or resting */
    struct list flying;  /* with the NET loop */
    struct timer patience;
    bool ending;
    bool closed;
    struct msg close;
    struct msg *ended; /* who waits for `closed` */
    /* the NET loop's */
    struct net_loop *net;
    struct client *client; /* NULL until the first call */
    bool closing;
};

/* ---- on the NET loop ---- */

static void call_came_back(struct msg *msg);

static void call_home(struct uplink_call *c)
{
    c->msg.run = call_came_back;
    loop_post(c->uplink->control, &c->msg);
}

static void call_answered(struct client_call *call)
{
    struct uplink_call *c = container_of(call, struct uplink_call, call);

    c->out = call->out;
    c->version = call->version;
    c->err = call->err;
    if (!c->err && c->read)
        c->err = c->read(c);
    call_home(c);
}

static enum err client_make(struct uplink *u)
{
    char id[32];
    struct client_options o;

    if (u->client)
        return E_OK;
    snprintf(id, sizeof(id), "broker-%d", u->node->id);
    o = dial_options(u->node, u->net->loop, u->node->reader, id, UPLINK_SLACK_MS);
    o.ready = leader_apis_came;
    o.ready_arg = u->node->leader_apis;
    return client_new(&o, &u->client);
}

bool uplink_place(const struct net_loop *net, int32_t id, struct slice *host, uint16_t *port)
{
    const struct config *config = net->node->config;
    const struct config_list names = config_list(config, C_controller_listener_names);
    const struct image_controller *c = net->image ? image_controller(net->image, id) : NULL;
    int n;
    const struct config_voter *voters = config_voters(config, &n);

    for (int i = 0; i < n; i++) {
        if (voters[i].id != id)
            continue;
        *host = SLICE(voters[i].host);
        *port = voters[i].port;
        return true;
    }
    for (int i = 0; c && i < c->reg.n_endpoints; i++) {
        if (names.n == 0 || !slice_eq(c->reg.endpoints[i].name, SLICE(names.v[0])))
            continue;
        *host = c->reg.endpoints[i].host;
        *port = c->reg.endpoints[i].port;
        return true;
    }
    return false;
}

/* At least 1: who has none left isn't sent any more, but for a moment's work. */
static int32_t time_left_ms(const struct uplink_call *c)
{
    int64_t ms = (c->deadline - loop_now(c->uplink->net->loop)) / NS_A_MS;

    return ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (int32_t)ms;
}

/* How long this try may take: who is silent for longer is asked again, or whoever leads then. */
static int64_t try_ns(const struct uplink_call *c)
{
    int64_t left = c->deadline - loop_now(c->uplink->net->loop) + (int64_t)UPLINK_SLACK_MS * NS_A_MS;
    int64_t most = config_int(c->uplink->node->config, C_controller_socket_timeout_ms) * NS_A_MS;

    if (most > 0 && left > most)
        left = most;
    return left > NS_A_MS ? left : NS_A_MS;
}

static void call_fly(struct msg *msg)
{
    struct uplink_call *c = container_of(msg, struct uplink_call, msg);
    struct uplink *u = c->uplink;
    struct slice host;
    uint16_t port;

    c->err = u->closing ? E_CANCELED : client_make(u);
    if (!c->err && !uplink_place(u->net, c->to, &host, &port))
        c->err = E_BROKER_NOT_AVAILABLE;
    if (!c->err && c->make && !c->made)
        c->err = c->make(c);
    if (c->err) {
        call_home(c);
        return;
    }
    c->made = true;
    if (c->left_ms)
        *c->left_ms = time_left_ms(c);
    client_place(u->client, c->to, host, port);
    client_call_init(&c->call, c->api_key, client_node(c->to), c->in, c->arena);
    if (c->version_min || c->version_max) {
        c->call.version_min = c->version_min;
        c->call.version_max = c->version_max;
    }
    c->call.timeout_ns = try_ns(c);
    c->call.done = call_answered;
    client_send(u->client, &c->call);
}

/* ---- on the control loop ---- */

static void call_ended(struct msg *msg)
{
    struct uplink_call *c = container_of(msg, struct uplink_call, msg);

    c->done(c); /* last touch */
}

static void call_end(struct uplink_call *c, enum err err)
{
    list_remove(&c->link);
    timer_stop(&c->timer);
    c->err = err;
    c->msg.run = call_ended;
    loop_post(c->uplink->control, &c->msg);
}

static void call_try(struct uplink_call *c);

static void call_due(struct timer *timer)
{
    call_try(container_of(timer, struct uplink_call, timer));
}

/* Until there is another leader, its rest is over, or its time. */
static void call_wait(struct uplink_call *c, int64_t until)
{
    int64_t due = until > 0 && until < c->deadline ? until : c->deadline;

    list_remove(&c->link);
    list_add(&c->uplink->waiting, &c->link);
    timer_set(c->uplink->control, &c->timer, due);
}

static void call_try(struct uplink_call *c)
{
    struct uplink *u = c->uplink;
    int64_t now = loop_now(u->control);

    if (u->ending) {
        call_end(c, E_NOT_CONTROLLER);
    } else if (u->leader == u->node->id) {
        c->here = true;
        call_end(c, E_NOT_CONTROLLER);
    } else if (now >= c->deadline) {
        call_end(c, E_REQUEST_TIMED_OUT);
    } else if (u->leader < 0 || !u->net) {
        call_wait(c, 0);
    } else if (u->leader == c->to && now < c->rests_until) {
        call_wait(c, c->rests_until);
    } else {
        timer_stop(&c->timer);
        list_remove(&c->link);
        list_add(&u->flying, &c->link);
        c->to = u->leader;
        c->msg.run = call_fly;
        loop_post(u->net->loop, &c->msg);
    }
}

/* Was there no answer, or one that another leader has to give? Whatever else it is, it stays so. */
static bool ask_again(enum err err)
{
    return err == E_NOT_CONTROLLER || err == E_REFUSED || err == E_RESET || err == E_EOF ||
           err == E_TIMEOUT || err == E_CANCELED || err == E_NOENT || err == E_BROKER_NOT_AVAILABLE;
}

static void call_came_back(struct msg *msg)
{
    struct uplink_call *c = container_of(msg, struct uplink_call, msg);
    int64_t rest_ms = UPLINK_REST_MAX_MS;

    if (!ask_again(c->err)) {
        call_end(c, c->err);
        return;
    }
    if (c->tries < 5 && UPLINK_REST_MS << c->tries < UPLINK_REST_MAX_MS)
        rest_ms = UPLINK_REST_MS << c->tries;
    c->tries++;
    c->rests_until = loop_now(c->uplink->control) + rest_ms * NS_A_MS;
    call_try(c);
}

void uplink_send(struct uplink *u, struct uplink_call *c)
{
    ASSERT(c->done && c->arena->max == SIZE_MAX);
    c->uplink = u;
    c->deadline = loop_now(u->control) + c->timeout_ms * NS_A_MS;
    c->timer = (struct timer){.fire = call_due};
    list_init(&c->timer.link);
    c->to = -1;
    c->tries = 0;
    c->made = c->here = false;
    c->out = NULL;
    list_init(&c->link);
    call_try(c);
}

/* ---- leaders ---- */

/* A connection that is to be ended: what flies on it comes back. */
struct hang_up {
    struct msg msg;
    struct uplink *uplink;
    int32_t node;
};

static void hang_up_run(struct msg *msg)
{
    struct hang_up *h = container_of(msg, struct hang_up, msg);

    if (h->uplink->client && !h->uplink->closing)
        client_hang_up(h->uplink->client, h->node);
    heap_free(h->uplink->node->heap, h);
}

static void hang_up(struct uplink *u, int32_t node)
{
    struct hang_up *h = heap_alloc(u->node->heap, sizeof(*h));

    *h = (struct hang_up){.msg = {.run = hang_up_run}, .uplink = u, .node = node};
    loop_post(u->net->loop, &h->msg);
}

/* A former leader that doesn't even say that it is none is paused, or cut off. */
static void patience_over(struct timer *timer)
{
    struct uplink *u = container_of(timer, struct uplink, patience);
    int32_t last = -1;

    if (u->ending)
        return;
    list_each (it, &u->flying) {
        const struct uplink_call *c = container_of(it, struct uplink_call, link);

        if (c->to != u->leader && c->to != last)
            hang_up(u, c->to);
        last = c->to;
    }
}

static void waiting_try(struct uplink *u)
{
    struct list all;

    list_init(&all);
    list_take(&all, &u->waiting);
    while (!list_empty(&all)) {
        struct uplink_call *c = list_first(&all, struct uplink_call, link);

        list_remove(&c->link);
        call_try(c);
    }
}

void uplink_leader(struct uplink *u, int32_t leader)
{
    u->leader = leader;
    leader_apis_leads(u->node->leader_apis, leader);
    if (u->ending || leader < 0)
        return;
    waiting_try(u);
    if (!list_empty(&u->flying))
        timer_set(u->control, &u->patience, loop_now(u->control) + (int64_t)UPLINK_PATIENCE_MS * NS_A_MS);
}

/* ---- beginning and end ---- */

static void closed_home(struct msg *msg)
{
    struct uplink *u = container_of(msg, struct uplink, close);

    u->closed = true;
    if (u->ended)
        loop_post(u->control, u->ended);
}

static void client_closed(void *arg)
{
    struct uplink *u = arg;

    u->close.run = closed_home;
    loop_post(u->control, &u->close);
}

static void close_run(struct msg *msg)
{
    struct uplink *u = container_of(msg, struct uplink, close);

    u->closing = true;
    if (u->client)
        client_close(u->client, client_closed, u);
    else
        client_closed(u);
}

void uplink_end(struct uplink *u)
{
    ASSERT(!u->ending);
    u->ending = true;
    timer_stop(&u->patience);
    waiting_try(u);
    u->close.run = close_run;
    if (u->net)
        loop_post(u->net->loop, &u->close);
    else
        u->closed = true;
}

void uplink_await_end(struct uplink *u, struct msg *ended)
{
    ASSERT(u->ending);
    u->ended = ended;
    if (u->closed)
        loop_post(u->control, ended);
}

struct uplink *uplink_new(struct node *node, struct loop *control)
{
    struct uplink *u = heap_alloc(node->heap, sizeof(*u));

    u->node = node;
    u->control = control;
    u->leader = -1;
    u->patience.fire = patience_over;
    list_init(&u->patience.link);
    list_init(&u->waiting);
    list_init(&u->flying);
    return u;
}

void uplink_open(struct uplink *u, struct net_loop *net)
{
    u->net = net;
    waiting_try(u);
}

void uplink_drop(struct uplink *u)
{
    ASSERT(u->closed && list_empty(&u->waiting) && list_empty(&u->flying));
    heap_free(u->node->heap, u);
}
