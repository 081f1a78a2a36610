/* Who the other controllers are, and where: what is known of them, and the questions by which more is learnt.
 *
 * 1. A place is believed by who says it (enum place_source), then tried in turn: a wrong one costs a dial.
 * 2. What others tell is noted of voters alone; so nobody fills the table by telling of controllers that there aren't.
 * 3. One question at a time, by a connection of its own that ends with the answer; the rest between two grows up to
 *    INQUIRY_MAX_MS. None while every voter is connected, or its place is a setting. */
#include "broker/link/dial.h"
#include "broker/link/raft_link_internal.h"
#include <stdio.h>

#define MS INT64_C(1000000)
enum { INQUIRY_MAX_MS = 2000 };

/* ---- the table ---- */

struct link_peer *link_peer_of(const struct raft_link *l, int32_t node)
{
    for (int i = 0; i < l->n; i++)
        if (l->peers[i]->node == node)
            return l->peers[i];
    return NULL;
}

int64_t link_retry_ns(const struct raft_link *l)
{
    int64_t ms = config_int(l->node->config, C_controller_quorum_retry_backoff_ms);

    return (ms > 0 ? ms : 1) * MS;
}

struct link_peer *link_peer_add(struct raft_link *l, int32_t node)
{
    struct link_peer *p = link_peer_of(l, node);

    ASSERT(node >= 0 && node != l->node->id);
    if (p || l->n == RAFT_LINK_PEERS)
        return p;
    p = heap_alloc(l->node->heap, sizeof(*p));
    p->link = l;
    p->node = node;
    p->wait_ns = link_retry_ns(l);
    list_init(&p->ins);
    arena_init(&p->arena, l->node->heap, SIZE_MAX);
    l->peers[l->n++] = p;
    return p;
}

void link_book_drop(struct raft_link *l)
{
    for (int i = 0; i < l->n; i++) {
        struct link_peer *p = l->peers[i];

        ASSERT(p->n_waiting == 0 && p->n_in == 0 && list_empty(&p->ins));
        for (int k = 0; k < PLACE_SOURCES; k++)
            heap_free(l->node->heap, p->places[k].host.p);
        arena_drop(&p->arena);
        heap_free(l->node->heap, p);
    }
    arena_drop(&l->inquiry.arena);
}

/* ---- places ---- */

bool link_place_note(struct link_peer *p, enum place_source source, struct slice host, uint16_t port)
{
    struct link_place *at = &p->places[source];
    struct heap *heap = p->link->node->heap;

    if (host.len == 0 || host.len > DIAL_HOST_MAX || memchr(host.p, 0, host.len) || port == 0)
        return false;
    if (at->port == port && slice_eq(at->host, host))
        return false;
    heap_free(heap, at->host.p);
    *at = (struct link_place){.host = heap_copy(heap, host), .port = port};
    p->tries = 0;
    return true;
}

/* As it has registered. */
static bool place_registered(const struct link_peer *p, struct link_place *out)
{
    const struct raft_link *l = p->link;
    const struct image *image = l->first->image;
    const struct image_controller *c = image ? image_controller(image, p->node) : NULL;

    for (int i = 0; c && l->own && i < c->reg.n_endpoints; i++) {
        const struct endpoint *e = &c->reg.endpoints[i];

        if (!slice_eq(e->name, SLICE(l->own->name)) || e->host.len == 0 || e->host.len > DIAL_HOST_MAX ||
            !e->port)
            continue;
        *out = (struct link_place){.host = e->host, .port = e->port};
        return true;
    }
    return false;
}

bool link_place_find(const struct link_peer *p, struct link_place *out, bool *hearsay)
{
    struct link_place all[PLACE_SOURCES + 1];
    int n = 0;

    *hearsay = false;
    if (p->places[PLACE_SETTINGS].port) {
        *out = p->places[PLACE_SETTINGS];
        return true;
    }
    if (p->places[PLACE_SAID].port)
        all[n++] = p->places[PLACE_SAID];
    n += place_registered(p, &all[n]);
    if (p->places[PLACE_TOLD].port)
        all[n++] = p->places[PLACE_TOLD];
    if (n == 0)
        return false;
    *out = all[p->tries % n];
    *hearsay = p->places[PLACE_TOLD].port && p->tries % n == n - 1;
    return true;
}

bool raft_link_where(const struct raft_link *l, int32_t node, struct slice *host, uint16_t *port)
{
    const struct link_peer *p = link_peer_of(l, node);
    struct link_place at;
    bool hearsay;

    if (!p || !link_place_find(p, &at, &hearsay))
        return false;
    *host = at.host;
    *port = at.port;
    return true;
}

int raft_link_places(const struct raft_link *l, struct raft_link_at out[RAFT_LINK_PEERS])
{
    int n = 0;

    for (int i = 0; i < l->n; i++) {
        out[n].node = l->peers[i]->node;
        n += raft_link_where(l, out[n].node, &out[n].host, &out[n].port);
    }
    return n;
}

/* ---- what hellos say ---- */

static struct slice own_host(const struct raft_link *l)
{
    const char *host = !l->own ? "" : l->own->advertised_host[0] ? l->own->advertised_host : l->own->host;

    return SLICE(strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 ? "" : host);
}

static uint16_t own_port(const struct raft_link *l)
{
    return !l->own ? 0 : l->own->advertised_port ? l->own->advertised_port : l->own->port;
}

void link_hello_fill(const struct raft_link *l, int32_t node, struct RaftHelloRequest *out)
{
    proto_defaults(&RaftHelloRequest_type, out);
    out->cluster_id = SLICE(l->node->cluster_id);
    out->node_id = l->node->id;
    out->directory_id = l->directory_id;
    out->incarnation_id = l->incarnation;
    out->voter_id = node;
    out->host = own_host(l);
    out->port = own_port(l);
}

void link_controllers_tell(const struct raft_link *l, struct arena *a, struct RaftHelloResponse *out)
{
    out->node_id = l->node->id;
    out->directory_id = l->directory_id;
    PROTO_ARRAY_NEW(a, RaftHelloResponse_Controller, out->controllers, l->n + 1);
    out->controllers.v[0] = (struct RaftHelloResponse_Controller){l->node->id, own_host(l), own_port(l)};
    out->controllers.n = 1;
    for (int i = 0; i < l->n; i++) {
        struct link_place at;
        bool hearsay;

        if (link_place_find(l->peers[i], &at, &hearsay) && !hearsay)
            out->controllers.v[out->controllers.n++] =
                (struct RaftHelloResponse_Controller){l->peers[i]->node, at.host, at.port};
    }
}

void link_answer_note(struct raft_link *l, const struct RaftHelloResponse *out, struct slice host)
{
    bool news = false;

    for (int i = 0; i < out->controllers.n; i++) {
        const struct RaftHelloResponse_Controller *c = &out->controllers.v[i];
        struct link_peer *p = link_peer_of(l, c->node_id);
        bool itself = c->node_id == out->node_id;

        if (!p || !p->wanted ||
            !link_place_note(p, itself ? PLACE_SAID : PLACE_TOLD, itself && c->host.len == 0 ? host : c->host,
                             c->port))
            continue;
        news = true;
        link_reach(p);
    }
    if (news)
        l->inquiry.wait_ns = link_retry_ns(l);
}

/* ---- questions ---- */

static bool missing(const struct raft_link *l)
{
    for (int i = 0; i < l->n; i++)
        if (l->peers[i]->wanted && l->peers[i]->state != LINK_UP && !l->peers[i]->places[PLACE_SETTINGS].port)
            return true;
    return false;
}

static void place_text(struct link_inquiry *q, const struct link_place *at)
{
    char text[DIAL_TEXT_MAX];

    q->host = arena_copy(&q->arena, at->host);
    dial_text(text, at->host, at->port);
    q->at = arena_str(&q->arena, SLICE(text));
}

/* Of host:port or [v6]:port. */
static struct slice host_of(const char *at)
{
    const char *colon = strrchr(at, ':');
    bool v6 = at[0] == '[';

    ASSERT(colon && colon - at >= (v6 ? 2 : 0)); /* the settings were checked when they were read */
    return v6 ? slice_of(at + 1, (size_t)(colon - at) - 2) : slice_of(at, (size_t)(colon - at));
}

/* The next one to ask: the servers of the settings, and each controller that is connected. */
static bool inquiry_next(struct raft_link *l)
{
    struct config_list servers = config_list(l->node->config, C_controller_quorum_bootstrap_servers);
    struct link_inquiry *q = &l->inquiry;

    arena_reset(&q->arena);
    for (int tried = 0; tried < servers.n + l->n; tried++) {
        int at = q->turn++ % (servers.n + l->n);
        struct link_place place;
        bool hearsay;

        if (at < servers.n) {
            q->at = servers.v[at];
            q->host = host_of(servers.v[at]);
            return true;
        }
        if (l->peers[at - servers.n]->state != LINK_UP ||
            !link_place_find(l->peers[at - servers.n], &place, &hearsay))
            continue;
        place_text(q, &place);
        return true;
    }
    return false;
}

static void inquiry_closed(void *arg)
{
    struct raft_link *l = arg;

    l->inquiry.client = NULL;
    l->inquiry.closing = false;
    if (!l->ending)
        link_inquire(l);
    link_client_closed(l);
}

static void inquiry_done(struct client_call *call)
{
    struct raft_link *l = call->arg;
    struct link_inquiry *q = &l->inquiry;
    const struct RaftHelloResponse *out = call->out;

    if (l->ending)
        return;
    if (out && out->error_code)
        TRACE(l->node->io, raft_link_not_told, q->at, (int)out->error_message.len,
              out->error_message.len ? (const char *)out->error_message.p : "");
    else if (out)
        link_answer_note(l, out, q->host);
    q->closing = true;
    client_close(q->client, inquiry_closed, l);
}

static void inquiry_fire(struct timer *timer)
{
    struct link_inquiry *q = container_of(timer, struct link_inquiry, timer);
    struct raft_link *l = container_of(q, struct raft_link, inquiry);
    int64_t timeout_ms = config_int(l->node->config, C_controller_quorum_request_timeout_ms);
    struct client_options o;
    enum err err;

    q->timed = false;
    if (!missing(l) || !inquiry_next(l))
        return;
    q->wait_ns = q->wait_ns * 2 < INQUIRY_MAX_MS * MS ? q->wait_ns * 2 : INQUIRY_MAX_MS * MS;
    o = dial_options(l->node, l->net, l->names, "raft", timeout_ms > 0 ? timeout_ms : 1);
    o.bootstrap = q->at;
    err = client_new(&o, &q->client);
    if (err) { /* a host that is none, told by another: the next one is asked */
        q->client = NULL;
        link_inquire(l);
        return;
    }
    l->n_clients++;
    link_hello_fill(l, -1, &q->hello);
    client_call_init(&q->call, API_RaftHello, client_any(), &q->hello, &q->arena);
    q->call.done = inquiry_done;
    q->call.arg = l;
    client_send(q->client, &q->call);
}

void link_inquire(struct raft_link *l)
{
    struct link_inquiry *q = &l->inquiry;

    if (q->client || l->ending)
        return;
    if (missing(l) && !q->timed) {
        q->timed = true;
        timer_set(l->net, &q->timer, loop_now(l->net) + q->wait_ns);
    } else if (!missing(l)) {
        q->timed = false;
        timer_stop(&q->timer);
        q->wait_ns = link_retry_ns(l);
    }
}

void link_inquiry_init(struct raft_link *l)
{
    l->inquiry.timer.fire = inquiry_fire;
    l->inquiry.wait_ns = link_retry_ns(l);
    arena_init(&l->inquiry.arena, l->node->heap, SIZE_MAX);
}

void link_inquiry_end(struct raft_link *l)
{
    struct link_inquiry *q = &l->inquiry;

    timer_stop(&q->timer);
    if (q->client && !q->closing)
        client_close(q->client, inquiry_closed, l);
}
