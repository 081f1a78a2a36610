#include "presence.h"
#include "base/check.h"
#include "broker/link/dial.h"
#include "broker/link/raft_link.h"
#include "broker/link/uplink.h"
#include "broker/net/client.h"
#include "proto_gen.h"
#include <stdio.h>

#define MS INT64_C(1000000)
enum { CALL_MS = 2000 };
_Static_assert((int)PRESENCE_PLACES <= (int)RAFT_LINK_PEERS, "who is told gone is remembered there");

/* One of those who are told; net[0]'s. */
struct place {
    struct presence *presence;
    int32_t node;
    struct client *client; /* NULL until it is dialled first */
    struct client_call call;
    struct BrokerHeartbeatRequest in;
    struct arena arena;
    struct timer again;
    int64_t rest_ms;
    int64_t told; /* the epoch that was sent on its connection; -1: none */
    bool asking, resting;
    bool wanted; /* it votes */
    bool gone;   /* told so */
};

struct presence {
    struct node *node;
    struct loop *control;
    struct presence_ops ops;
    /* ---- control loop ---- */
    struct net_loop *net; /* NULL: not open yet */
    int32_t voters[QUORUM_VOTERS_MAX];
    int n_voters;
    int64_t epoch;
    bool ended;
    struct msg end;
    struct msg *told_end;
    /* ---- net[0] ---- */
    struct place *places[PRESENCE_PLACES];
    int n;
    int64_t now; /* the epoch that all should be told; -1: none yet */
    int n_clients;
    bool ending;
};

/* ---- what is told ---- */

struct presence_told {
    struct msg msg;
    struct presence *presence;
    int32_t node;
    bool gone;
};

static void told(struct msg *msg)
{
    struct presence_told *t = container_of(msg, struct presence_told, msg);
    struct presence *p = t->presence;

    if (!p->ended)
        p->ops.gone(p->ops.arg, t->node, t->gone);
    heap_free(p->node->heap, t);
}

static void tell(struct place *at, bool gone)
{
    struct presence_told *t;

    if (at->gone == gone)
        return;
    at->gone = gone;
    t = heap_alloc(at->presence->node->heap, sizeof(*t));
    *t = (struct presence_told){
        .msg = {.run = told}, .presence = at->presence, .node = at->node, .gone = gone};
    loop_post(at->presence->control, &t->msg);
}

/* ---- one place ---- */

static void look(struct place *at);

static void rest_over(struct timer *timer)
{
    struct place *at = container_of(timer, struct place, again);

    at->resting = false;
    look(at);
}

static void rest(struct place *at)
{
    struct loop *loop = at->presence->net->loop;

    at->resting = true;
    timer_set(loop, &at->again, loop_now(loop) + at->rest_ms * MS);
    at->rest_ms = 2 * at->rest_ms < PRESENCE_REST_MAX_MS ? 2 * at->rest_ms : PRESENCE_REST_MAX_MS;
}

static void connection_ended(void *arg)
{
    struct place *at = arg;

    at->told = -1;
    if (!at->presence->ending && !at->asking && !at->resting)
        rest(at);
}

/* Whatever it says: the connection is known there. */
static void beaten(struct client_call *call)
{
    struct place *at = call->arg;

    at->asking = false;
    if (at->presence->ending)
        return;
    if (call->err) {
        at->told = -1;
        if (at->wanted && call->err == E_REFUSED)
            tell(at, true);
        rest(at);
        return;
    }
    tell(at, false);
    at->rest_ms = PRESENCE_REST_MS;
    at->told = at->in.broker_epoch;
    look(at);
}

static void client_make(struct place *at)
{
    struct presence *p = at->presence;
    char id[32];
    struct client_options o = dial_options(p->node, p->net->loop, p->node->reader, id, CALL_MS);
    enum err err;

    snprintf(id, sizeof(id), "broker-%d", p->node->id);
    o.ready = leader_apis_came;
    o.ready_arg = p->node->leader_apis;
    o.ended = connection_ended;
    o.ended_arg = at;
    err = client_new(&o, &at->client);
    ASSERT(!err); /* no list that could be wrong */
    p->n_clients++;
}

static void beat(struct place *at)
{
    arena_reset(&at->arena);
    proto_defaults(&BrokerHeartbeatRequest_type, &at->in);
    at->in.broker_id = at->presence->node->id;
    at->in.broker_epoch = at->presence->now;
    at->in.current_metadata_offset = -1;
    client_call_init(&at->call, API_BrokerHeartbeat, client_node(at->node), &at->in, &at->arena);
    at->call.done = beaten;
    at->call.arg = at;
    at->asking = true;
    client_send(at->client, &at->call);
}

/* Is there something to tell it? */
static void look(struct place *at)
{
    const struct presence *p = at->presence;
    struct slice host;
    uint16_t port;

    if (p->ending || at->asking || at->resting || !at->wanted || p->now < 0 || at->told == p->now)
        return;
    if (!uplink_place(p->net, at->node, &host, &port)) {
        rest(at);
        return;
    }
    if (!at->client)
        client_make(at);
    client_place(at->client, at->node, host, port);
    beat(at);
}

/* ---- who is told what ---- */

static struct place *place_of(struct presence *p, int32_t node)
{
    struct place *at;

    for (int i = 0; i < p->n; i++)
        if (p->places[i]->node == node)
            return p->places[i];
    if (p->n == PRESENCE_PLACES)
        return NULL;
    at = heap_alloc(p->node->heap, sizeof(*at));
    at->presence = p;
    at->node = node;
    at->told = -1;
    at->rest_ms = PRESENCE_REST_MS;
    at->again.fire = rest_over;
    list_init(&at->again.link);
    arena_init(&at->arena, p->node->heap, SIZE_MAX);
    p->places[p->n++] = at;
    return at;
}

struct presence_news {
    struct msg msg;
    struct presence *presence;
    int32_t voters[QUORUM_VOTERS_MAX];
    int n;
    int64_t epoch;
};

static bool votes(const struct presence_news *news, int32_t node)
{
    for (int i = 0; i < news->n; i++)
        if (news->voters[i] == node)
            return true;
    return false;
}

static void news_run(struct msg *msg)
{
    struct presence_news *news = container_of(msg, struct presence_news, msg);
    struct presence *p = news->presence;

    p->now = news->epoch;
    for (int i = 0; i < news->n && !p->ending; i++)
        if (news->voters[i] != p->node->id)
            (void)place_of(p, news->voters[i]);
    for (int i = 0; i < p->n && !p->ending; i++) {
        struct place *at = p->places[i];

        at->wanted = votes(news, at->node);
        if (at->client && !at->wanted)
            client_hang_up(at->client, at->node);
        if (!at->wanted)
            tell(at, false);
        look(at);
    }
    heap_free(p->node->heap, news);
}

static void news_tell(struct presence *p)
{
    struct presence_news *news;

    if (!p->net || p->ended)
        return;
    news = heap_alloc(p->node->heap, sizeof(*news));
    news->msg.run = news_run;
    news->presence = p;
    news->epoch = p->epoch;
    news->n = p->n_voters;
    memcpy(news->voters, p->voters, sizeof(news->voters));
    loop_post(p->net->loop, &news->msg);
}

void presence_open(struct presence *p, struct net_loop *net)
{
    p->net = net;
    news_tell(p);
}

void presence_voters(struct presence *p, const int32_t *nodes, int n)
{
    ASSERT(n <= QUORUM_VOTERS_MAX);
    p->n_voters = n;
    memcpy(p->voters, nodes, (size_t)n * sizeof(*nodes));
    news_tell(p);
}

void presence_epoch(struct presence *p, int64_t epoch)
{
    p->epoch = epoch;
    news_tell(p);
}

/* ---- beginning and end ---- */

struct presence *presence_new(struct node *node, struct loop *control, const struct presence_ops *ops)
{
    struct presence *p = heap_alloc(node->heap, sizeof(*p));

    p->node = node;
    p->control = control;
    p->ops = *ops;
    p->epoch = p->now = -1;
    return p;
}

static void all_closed(struct presence *p)
{
    loop_post(p->control, p->told_end);
}

static void client_closed(void *arg)
{
    struct presence *p = arg;

    if (--p->n_clients == 0)
        all_closed(p);
}

static void end_run(struct msg *msg)
{
    struct presence *p = container_of(msg, struct presence, end);

    p->ending = true;
    for (int i = 0; i < p->n; i++)
        timer_stop(&p->places[i]->again);
    if (p->n_clients == 0) {
        all_closed(p);
        return;
    }
    for (int i = 0; i < p->n; i++)
        if (p->places[i]->client)
            client_close(p->places[i]->client, client_closed, p);
}

void presence_end(struct presence *p, struct msg *ended)
{
    ASSERT(!p->ended);
    p->ended = true;
    p->told_end = ended;
    p->end.run = end_run;
    if (p->net)
        loop_post(p->net->loop, &p->end);
    else
        loop_post(p->control, ended);
}

void presence_drop(struct presence *p)
{
    ASSERT(p->ended);
    for (int i = 0; i < p->n; i++) {
        arena_drop(&p->places[i]->arena);
        heap_free(p->node->heap, p->places[i]);
    }
    heap_free(p->node->heap, p);
}
