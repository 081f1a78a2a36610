/* Dials the other controllers and sends what the quorum gives.
 *
 *            dial, ApiVersions, RaftHello             accepted
 *     RESTS ─────────────────────────────► HELLO ────────────────► UP
 *       ▲                                    │ refused, failed     │ the connection ended
 *       └────────── timer, or it says hello ◄┴─────────────────────┘ (then at once HELLO again)
 *
 * 1. Only a peer that is UP is sent messages; what is on its way when the connection ends is lost.
 * 2. A peer is told dead when its port has refused, none of its connections is open here, and it wasn't told so since it was
 *    heard last. A place that others tell is no evidence.
 * 3. One that doesn't vote, and has no connection here, is dialled all the same, seldom: it may not know where this one is.
 * 4. A peer is of one directory at a time: another one is believed when it says hello and nothing connects the old one any
 *    more, or answers where the old one did, which is asked at once then. A connection here by which nothing has come for
 *    three probes connects nobody: its machine may have lost its power. What a connection of the old one still brings isn't
 *    taken.
 * 5. A hello from another process of the same directory ends the connections of the one before, whose machine may have lost its
 *    power: they count no more, and what they still bring isn't taken.
 * 6. Every message that raft_link_send() took comes back to the control loop once, and is counted out there. */
#include "broker/link/dial.h"
#include "broker/link/piece.h"
#include "broker/link/raft_link_internal.h"
#include <strings.h>

#define MS INT64_C(1000000)
enum { RETRY_MAX_MS = 1000, REFUSED_MS = 5000, PIECE_MS = 30000 };

static int64_t setting_ms(const struct raft_link *l, enum config_id id)
{
    int64_t ms = config_int(l->node->config, id);

    return ms > 0 ? ms : 1;
}

/* ---- what net[0] tells the control loop ---- */

enum link_event { EVENT_HELLO, EVENT_UP, EVENT_DOWN, EVENT_DEAD };

struct link_told {
    struct msg msg;
    struct link_peer *peer;
    enum link_event event;
    struct uuid directory_id;
};

static void told_of(struct link_peer *p, const struct uuid *directory_id)
{
    struct raft_link *l = p->link;

    if (!p->listed)
        l->heard[l->n_heard++] = p;
    p->listed = true;
    p->said = *directory_id;
    if (!l->stopping)
        l->ops.hello(l->ops.arg, p->node, &p->said);
}

static void told(struct msg *msg)
{
    struct link_told *t = container_of(msg, struct link_told, msg);
    struct link_peer *p = t->peer;
    struct raft_link *l = p->link;

    if (t->event == EVENT_HELLO)
        told_of(p, &t->directory_id);
    if (t->event == EVENT_UP || t->event == EVENT_DOWN)
        p->up = t->event == EVENT_UP;
    if (t->event == EVENT_UP && !l->stopping)
        l->ops.alive(l->ops.arg, p->node);
    if (t->event == EVENT_DEAD && !l->stopping)
        l->ops.dead(l->ops.arg, p->node);
    heap_free(l->node->heap, t);
}

static void tell(struct link_peer *p, enum link_event event)
{
    struct link_told *t = heap_alloc(p->link->node->heap, sizeof(*t));

    t->msg.run = told;
    t->peer = p;
    t->event = event;
    t->directory_id = p->directory_id;
    loop_post(p->link->control, &t->msg);
}

static void directory_take(struct link_peer *p, const struct uuid *directory_id)
{
    if (p->known && uuid_eq(p->directory_id, *directory_id))
        return;
    p->known = true;
    p->directory_id = *directory_id;
    tell(p, EVENT_HELLO);
}

static void evidence(struct link_peer *p)
{
    if (!p->refused || p->n_in > 0 || p->dead)
        return;
    p->dead = true;
    TRACE(p->link->node->io, raft_link_dead, p->node);
    tell(p, EVENT_DEAD);
}

/* ---- clients ---- */

static struct client *client_of(struct link_peer *p, struct client **client, int64_t timeout_ms,
                                void (*ended)(void *arg))
{
    struct raft_link *l = p->link;
    struct link_place at;
    bool hearsay;

    if (!*client) {
        struct client_options o = dial_options(l->node, l->net, l->names, "raft", timeout_ms);
        enum err err;

        o.ended = ended;
        o.ended_arg = p;
        err = client_new(&o, client);
        ASSERT(!err); /* no list that could be wrong */
        l->n_clients++;
    }
    if (link_place_find(p, &at, &hearsay))
        client_place(*client, p->node, at.host, at.port);
    return *client;
}

/* ---- the hello ---- */

static void hello_send(struct link_peer *p, void (*done)(struct client_call *call));
static void probed(struct client_call *call);

static void hello_again(struct timer *timer)
{
    struct link_peer *p = container_of(timer, struct link_peer, again);

    if (p->state == LINK_UP)
        hello_send(p, probed);
    else
        link_reach(p);
}

static void again_in(struct link_peer *p, int64_t ms)
{
    p->again.fire = hello_again;
    timer_set(p->link->net, &p->again, loop_now(p->link->net) + ms * MS);
}

static void rest(struct link_peer *p, int64_t ms)
{
    p->state = LINK_RESTS;
    again_in(p, ms);
    link_inquire(p->link);
}

/* E_OK, or the node at the other end isn't who is meant; told in words. */
static bool hello_taken(struct link_peer *p, const struct RaftHelloResponse *out)
{
    bool other = out->node_id != p->node || uuid_is_zero(out->directory_id);
    struct slice why = out->error_code ? out->error_message : SLICE("another node listens there");

    if (!out->error_code && !other)
        return true;
    TRACE(p->link->node->io, raft_link_not_taken, p->node, (int)why.len, why.len ? (const char *)why.p : "");
    return false;
}

static void hello_done(struct client_call *call)
{
    struct link_peer *p = call->arg;
    struct raft_link *l = p->link;
    const struct RaftHelloResponse *out = call->out;

    p->asking = false;
    if (l->ending)
        return;
    p->refused = call->err == E_REFUSED && !p->hearsay;
    if (call->err) {
        evidence(p);
        p->tries++;
        rest(p, p->wanted || p->n_in > 0 ? p->wait_ns / MS : LINK_PROBE_MS);
        p->wait_ns = p->wait_ns * 2 < RETRY_MAX_MS * MS ? p->wait_ns * 2 : RETRY_MAX_MS * MS;
        return;
    }
    p->dead = false;
    p->wait_ns = link_retry_ns(l);
    if (!hello_taken(p, out)) {
        p->tries++;
        rest(p, REFUSED_MS);
        return;
    }
    p->tries = 0;
    p->state = LINK_UP;
    p->up_at = loop_now(l->net);
    directory_take(p, &out->directory_id);
    TRACE(l->node->io, raft_link_up, p->node);
    tell(p, EVENT_UP);
    link_answer_note(l, out, SLICE_NULL);
    link_inquire(l);
    again_in(p, LINK_PROBE_MS);
}

/* Nothing may be there to say to one that doesn't vote: by this its end is seen. */
static void probed(struct client_call *call)
{
    struct link_peer *p = call->arg;

    p->asking = false;
    if (p->link->ending)
        return;
    if (call->err || p->state != LINK_UP) { /* connection_ended() says the rest, or it was down meanwhile */
        link_reach(p);
        return;
    }
    link_answer_note(p->link, call->out, SLICE_NULL);
    again_in(p, LINK_PROBE_MS);
}

/* Who ends it again and again as soon as it is there isn't asked all the time. */
static void down(struct link_peer *p)
{
    struct raft_link *l = p->link;
    bool soon = loop_now(l->net) - p->up_at < link_retry_ns(l), again = soon && p->ended_soon;

    if (p->state != LINK_UP)
        return;
    p->ended_soon = soon;
    p->state = LINK_RESTS;
    tell(p, EVENT_DOWN);
    if (again && !l->ending)
        rest(p, link_retry_ns(l) / MS);
    else
        link_reach(p);
}

static void connection_ended(void *arg)
{
    down(arg);
}

static void hello_send(struct link_peer *p, void (*done)(struct client_call *call))
{
    struct raft_link *l = p->link;

    ASSERT(!p->asking);
    p->asking = true;
    timer_stop(&p->again);
    arena_reset(&p->arena);
    link_hello_fill(l, p->node, &p->hello);
    client_call_init(&p->call, API_RaftHello, client_node(p->node), &p->hello, &p->arena);
    p->call.done = done;
    p->call.arg = p;
    client_send(
        client_of(p, &p->client, setting_ms(l, C_controller_quorum_request_timeout_ms), connection_ended),
        &p->call);
}

void link_reach(struct link_peer *p)
{
    struct raft_link *l = p->link;
    struct link_place at;

    link_inquire(l);
    if (l->ending || p->asking || p->state != LINK_RESTS || !link_place_find(p, &at, &p->hearsay))
        return;
    p->state = LINK_HELLO;
    hello_send(p, hello_done);
}

void link_doubt(struct link_peer *p)
{
    if (p->asking || p->link->ending)
        return;
    if (p->state == LINK_UP)
        hello_send(p, probed);
    else
        link_reach(p);
}

void link_heard(struct link_peer *p, const struct uuid *directory_id)
{
    p->n_in++;
    p->dead = p->refused = false;
    p->wait_ns = link_retry_ns(p->link);
    p->tries = 0;
    directory_take(p, directory_id);
    link_reach(p);
}

void link_left(struct link_peer *p)
{
    ASSERT(p->n_in > 0);
    if (--p->n_in > 0 || p->link->ending)
        return;
    evidence(p);
    link_reach(p);
}

/* ---- who is dialled ---- */

struct link_voters {
    struct msg msg;
    struct raft_link *link;
    int n;
    int32_t nodes[RAFT_LINK_PEERS];
};

static void voters_came(struct msg *msg)
{
    struct link_voters *v = container_of(msg, struct link_voters, msg);
    struct raft_link *l = v->link;

    for (int i = 0; i < l->n && !l->ending; i++)
        l->peers[i]->wanted = l->peers[i]->places[PLACE_SETTINGS].port != 0;
    for (int i = 0; i < v->n && !l->ending; i++) {
        struct link_peer *p = v->nodes[i] == l->node->id ? NULL : link_peer_add(l, v->nodes[i]);

        if (!p)
            continue;
        p->wanted = true;
        link_reach(p);
    }
    if (!l->ending)
        link_inquire(l);
    heap_free(l->node->heap, v);
}

void raft_link_voters(struct raft_link *l, const int32_t *nodes, int n)
{
    struct link_voters *v = heap_alloc(l->node->heap, sizeof(*v));

    ASSERT(n <= RAFT_LINK_PEERS);
    v->msg.run = voters_came;
    v->link = l;
    v->n = n;
    memcpy(v->nodes, nodes, (size_t)n * sizeof(*nodes));
    loop_post(l->net, &v->msg);
    for (int i = 0; i < l->n_heard && !l->stopping; i++)
        l->ops.hello(l->ops.arg, l->heard[i]->node, &l->heard[i]->said);
}

struct link_placed {
    struct msg msg;
    struct raft_link *link;
    int32_t node;
    uint16_t port;
    size_t len;
    uint8_t host[];
};

static void placed(struct msg *msg)
{
    struct link_placed *at = container_of(msg, struct link_placed, msg);
    struct raft_link *l = at->link;
    struct link_peer *p =
        l->ending || at->node < 0 || at->node == l->node->id ? NULL : link_peer_add(l, at->node);

    if (p && link_place_note(p, PLACE_TOLD, slice_of(at->host, at->len), at->port))
        link_reach(p);
    heap_free(l->node->heap, at);
}

void raft_link_place(struct raft_link *l, int32_t node, struct slice host, uint16_t port)
{
    struct link_placed *at = heap_alloc(l->node->heap, sizeof(*at) + host.len);

    at->msg.run = placed;
    at->link = l;
    at->node = node;
    at->port = port;
    at->len = host.len;
    memcpy(at->host, host.p, host.len);
    loop_post(l->net, &at->msg);
}

/* ---- messages ---- */

struct raft_send {
    struct msg msg;
    struct link_peer *peer;
    struct client_call call;
    struct arena arena;
    struct RaftRequest in;
    size_t len;
    uint8_t bytes[];
};

static void send_home(struct msg *msg)
{
    struct raft_send *s = container_of(msg, struct raft_send, msg);
    struct link_peer *p = s->peer;

    ASSERT(p->n_waiting > 0 && p->bytes_waiting >= s->len);
    p->n_waiting--;
    p->bytes_waiting -= s->len;
    arena_drop(&s->arena);
    heap_free(p->link->node->heap, s);
}

static void send_back(struct raft_send *s)
{
    s->msg.run = send_home;
    loop_post(s->peer->link->control, &s->msg);
}

/* One that was not heard here: the connection is another than the one that said hello. */
static void send_done(struct client_call *call)
{
    struct raft_send *s = call->arg;
    const struct RaftResponse *out = call->out;

    if (out && out->error_code)
        down(s->peer);
    send_back(s);
}

static void send_run(struct msg *msg)
{
    struct raft_send *s = container_of(msg, struct raft_send, msg);

    if (s->peer->state != LINK_UP || s->peer->link->ending) {
        send_back(s);
        return;
    }
    s->in.message = slice_of(s->bytes, s->len);
    client_call_init(&s->call, API_Raft, client_node(s->peer->node), &s->in, &s->arena);
    s->call.done = send_done;
    s->call.arg = s;
    client_send(s->peer->client, &s->call);
}

static struct link_peer *heard_of(const struct raft_link *l, int32_t node)
{
    for (int i = 0; i < l->n_heard; i++)
        if (l->heard[i]->node == node)
            return l->heard[i];
    return NULL;
}

bool raft_link_send(struct raft_link *l, int32_t node, struct slice bytes)
{
    struct link_peer *p = heard_of(l, node);
    struct raft_send *s;

    if (!p || !p->up || l->stopping || p->n_waiting >= RAFT_LINK_MESSAGES ||
        (p->n_waiting > 0 && p->bytes_waiting + bytes.len > RAFT_LINK_BYTES))
        return false;
    s = heap_alloc(l->node->heap, sizeof(*s) + bytes.len);
    s->msg.run = send_run;
    s->peer = p;
    arena_init(&s->arena, l->node->heap, SIZE_MAX);
    proto_defaults(&RaftRequest_type, &s->in);
    s->len = bytes.len;
    memcpy(s->bytes, bytes.p, bytes.len);
    p->n_waiting++;
    p->bytes_waiting += bytes.len;
    loop_post(l->net, &s->msg);
    return true;
}

/* ---- pieces of a checkpoint ---- */

struct raft_ask {
    struct msg msg;
    struct raft_link *link;
    int32_t node;
    struct quorum_checkpoint id;
    int64_t at;
    struct client_call call;
    struct arena arena;
    enum err err;
    int64_t size;
    struct slice piece;
};

static void ask_home(struct msg *msg)
{
    struct raft_ask *a = container_of(msg, struct raft_ask, msg);
    struct raft_link *l = a->link;

    if (!l->stopping)
        l->ops.piece(l->ops.arg, a->id, a->at, a->size, a->piece, a->err);
    arena_drop(&a->arena);
    heap_free(l->node->heap, a);
}

static void ask_back(struct raft_ask *a, enum err err)
{
    a->err = err;
    a->msg.run = ask_home;
    loop_post(a->link->control, &a->msg);
}

static void ask_done(struct client_call *call)
{
    struct raft_ask *a = call->arg;

    ask_back(a, call->err ? call->err : piece_read(call->out, a->id, a->at, &a->size, &a->piece));
}

static void ask_run(struct msg *msg)
{
    struct raft_ask *a = container_of(msg, struct raft_ask, msg);
    struct raft_link *l = a->link;
    struct link_peer *p = l->ending ? NULL : link_peer_of(l, a->node);
    struct link_place at;
    bool hearsay;

    if (!p || !link_place_find(p, &at, &hearsay)) {
        ask_back(a, E_BROKER_NOT_AVAILABLE);
        return;
    }
    client_call_init(&a->call, API_FetchSnapshot, client_node(p->node),
                     piece_request(&a->arena, l->node, &l->directory_id, a->id, a->at), &a->arena);
    a->call.done = ask_done;
    a->call.arg = a;
    client_send(client_of(p, &p->bulk, PIECE_MS, NULL), &a->call);
}

void raft_link_ask(struct raft_link *l, int32_t node, struct quorum_checkpoint id, int64_t at)
{
    struct raft_ask *a = heap_alloc(l->node->heap, sizeof(*a));

    a->msg.run = ask_run;
    a->link = l;
    a->node = node;
    a->id = id;
    a->at = at;
    arena_init(&a->arena, l->node->heap, SIZE_MAX);
    loop_post(l->net, &a->msg);
}

/* ---- start and stop ---- */

static void begin(struct msg *msg)
{
    struct raft_link *l = container_of(msg, struct raft_link, begin);

    for (int i = 0; i < l->n; i++)
        link_reach(l->peers[i]);
}

/* As peers know this node: by the first listener of controller.listener.names. */
static const struct config_listener *own_listener(const struct node *node)
{
    struct config_list names = config_list(node->config, C_controller_listener_names);
    int n;
    const struct config_listener *all = config_listeners(node->config, &n);

    for (int i = 0; i < n; i++)
        if (all[i].controller && names.n && strcasecmp(all[i].name, names.v[0]) == 0)
            return &all[i];
    return NULL;
}

struct raft_link *raft_link_start(struct node *node, struct loop *control,
                                  const struct raft_link_settings *settings, const struct raft_link_ops *ops)
{
    struct raft_link *l = heap_alloc(node->heap, sizeof(*l));

    l->node = node;
    l->control = control;
    l->first = node->net[0];
    l->net = l->first->loop;
    l->names = loop_start(node->io, LOOP_DISK, "names");
    l->ops = *ops;
    l->directory_id = settings->directory_id;
    io_random(node->io, l->incarnation.b, sizeof(l->incarnation.b));
    l->own = own_listener(node);
    link_inquiry_init(l);
    list_init(&l->vets);
    for (int i = 0; i < settings->n_voters; i++) {
        const struct config_voter *v = &settings->voters[i];
        struct link_peer *p = v->id == node->id ? NULL : link_peer_add(l, v->id);

        if (!p)
            continue;
        (void)link_place_note(p, PLACE_SETTINGS, SLICE(v->host), v->port);
        p->wanted = true;
    }
    l->begin.run = begin;
    loop_post(l->net, &l->begin);
    return l;
}

/* On the control loop, behind everything that net[0] had told it. */
static void gone(struct msg *msg)
{
    struct raft_link *l = container_of(msg, struct raft_link, stop);
    struct msg *stopped = l->stopped;
    struct loop *control = l->control;

    link_book_drop(l);
    heap_free(l->node->heap, l);
    loop_post(control, stopped);
}

static void names_end(struct raft_link *l)
{
    l->stop.run = gone;
    loop_stop(l->names, l->control, &l->stop);
}

void link_client_closed(void *link)
{
    struct raft_link *l = link;

    if (--l->n_clients == 0 && l->ending)
        names_end(l);
}

static void stop_run(struct msg *msg)
{
    struct raft_link *l = container_of(msg, struct raft_link, stop);

    l->ending = true;
    if (l->n_clients == 0) {
        names_end(l);
        return;
    }
    link_inquiry_end(l);
    link_vets_end(l);
    for (int i = 0; i < l->n; i++) {
        struct link_peer *p = l->peers[i];

        timer_stop(&p->again);
        if (p->client)
            client_close(p->client, link_client_closed, l);
        if (p->bulk)
            client_close(p->bulk, link_client_closed, l);
    }
}

void raft_link_stop(struct raft_link *l, struct msg *stopped)
{
    l->stopping = true;
    l->stopped = stopped;
    l->stop.run = stop_run;
    loop_post(l->net, &l->stop);
}
