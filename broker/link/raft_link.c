/* Dials the other voters and sends what the quorum gives.
 *
 *            dial, ApiVersions, RaftHello             accepted
 *     RESTS ─────────────────────────────► HELLO ────────────────► UP
 *       ▲                                    │ refused, failed     │ the connection ended
 *       └────────── timer, or it says hello ◄┴─────────────────────┘ (then at once HELLO again)
 *
 * 1. Only a voter that is UP is sent messages; what is on its way when the connection ends is lost.
 * 2. A voter is told dead when its port has refused, none of its connections is open here, and it wasn't told so since it was
 *    heard last.
 * 3. Every message that raft_link_send() took comes back to the control loop once, and is counted out there. */
#include "base/version.h"
#include "broker/link/piece.h"
#include "broker/link/raft_link_internal.h"
#include <stdio.h>

#define MS INT64_C(1000000)
enum { RETRY_MAX_MS = 1000, REFUSED_MS = 5000, PIECE_MS = 30000 };

struct link_voter *link_voter_of(struct raft_link *l, int32_t node)
{
    for (int i = 0; i < l->n; i++)
        if (l->voters[i].node == node)
            return &l->voters[i];
    return NULL;
}

static int64_t setting_ms(const struct raft_link *l, enum config_id id)
{
    int64_t ms = config_int(l->node->config, id);

    return ms > 0 ? ms : 1;
}

static int64_t retry_ns(const struct raft_link *l)
{
    return setting_ms(l, C_controller_quorum_retry_backoff_ms) * MS;
}

/* ---- what net[0] tells the control loop ---- */

enum link_event { EVENT_UP, EVENT_DOWN, EVENT_DEAD };

struct link_told {
    struct msg msg;
    struct link_voter *voter;
    enum link_event event;
};

static void told(struct msg *msg)
{
    struct link_told *t = container_of(msg, struct link_told, msg);
    struct link_voter *v = t->voter;
    struct raft_link *l = v->link;

    if (t->event != EVENT_DEAD)
        v->up = t->event == EVENT_UP;
    if (t->event == EVENT_UP && !l->stopping)
        l->ops.alive(l->ops.arg, v->node);
    if (t->event == EVENT_DEAD && !l->stopping)
        l->ops.dead(l->ops.arg, v->node);
    heap_free(l->node->heap, t);
}

static void tell(struct link_voter *v, enum link_event event)
{
    struct link_told *t = heap_alloc(v->link->node->heap, sizeof(*t));

    t->msg.run = told;
    t->voter = v;
    t->event = event;
    loop_post(v->link->control, &t->msg);
}

static void evidence(struct link_voter *v)
{
    if (!v->refused || v->n_in > 0 || v->dead)
        return;
    v->dead = true;
    TRACE(v->link->node->io, raft_link_dead, v->node);
    tell(v, EVENT_DEAD);
}

/* ---- the hello ---- */

static void hello_again(struct timer *timer);

static void rest(struct link_voter *v, int64_t ms)
{
    v->state = LINK_RESTS;
    timer_set(v->link->net, &v->again, loop_now(v->link->net) + ms * MS);
}

static void hello_done(struct client_call *call)
{
    struct link_voter *v = call->arg;
    struct raft_link *l = v->link;
    const struct RaftHelloResponse *out = call->out;

    if (l->ending)
        return;
    v->refused = call->err == E_REFUSED;
    if (call->err) {
        evidence(v);
        rest(v, v->wait_ns / MS);
        v->wait_ns = v->wait_ns * 2 < RETRY_MAX_MS * MS ? v->wait_ns * 2 : RETRY_MAX_MS * MS;
        return;
    }
    v->dead = false;
    v->wait_ns = retry_ns(v->link);
    if (out->error_code) {
        TRACE(l->node->io, raft_link_not_taken, v->node, (int)out->error_message.len,
              out->error_message.len ? (const char *)out->error_message.p : "");
        rest(v, REFUSED_MS);
        return;
    }
    v->state = LINK_UP;
    TRACE(l->node->io, raft_link_up, v->node);
    tell(v, EVENT_UP);
}

static void hello(struct link_voter *v)
{
    struct raft_link *l = v->link;

    ASSERT(v->state == LINK_RESTS && !l->ending);
    timer_stop(&v->again);
    v->state = LINK_HELLO;
    arena_reset(&v->arena);
    proto_defaults(&RaftHelloRequest_type, &v->hello);
    v->hello.cluster_id = SLICE(l->node->cluster_id);
    v->hello.node_id = l->node->id;
    v->hello.directory_id = l->directory_id;
    v->hello.voter_id = v->node;
    client_call_init(&v->call, API_RaftHello, client_any(), &v->hello, &v->arena);
    v->call.done = hello_done;
    v->call.arg = v;
    client_send(v->client, &v->call);
}

static void hello_again(struct timer *timer)
{
    hello(container_of(timer, struct link_voter, again));
}

static void down(struct link_voter *v)
{
    if (v->state != LINK_UP)
        return;
    v->state = LINK_RESTS;
    tell(v, EVENT_DOWN);
    if (!v->link->ending)
        hello(v);
}

static void connection_ended(void *arg)
{
    down(arg);
}

void link_heard(struct link_voter *v)
{
    v->n_in++;
    v->dead = v->refused = false;
    v->wait_ns = retry_ns(v->link);
    if (v->state == LINK_RESTS && !v->link->ending)
        hello(v);
}

void link_left(struct link_voter *v)
{
    ASSERT(v->n_in > 0);
    if (--v->n_in > 0 || v->link->ending)
        return;
    evidence(v);
    if (v->state == LINK_RESTS)
        hello(v);
}

/* ---- clients ---- */

static struct client *client_of(struct link_voter *v, const char *host, uint16_t port, int64_t timeout_ms,
                                void (*ended)(void *arg))
{
    struct raft_link *l = v->link;
    struct arena a;
    struct client *c;
    enum err err;

    arena_init(&a, l->node->heap, SIZE_MAX);
    err = client_new(
        &(struct client_options){
            .io = l->node->io,
            .net = l->net,
            .disk = l->names,
            .bootstrap = arena_printf(&a, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port),
            .client_id = "raft",
            .software_version = WEIR_VERSION_TEXT,
            .timeout_ns = timeout_ms * MS,
            .setup_ns = config_int(l->node->config, C_socket_connection_setup_timeout_ms) * MS,
            .setup_max_ns = config_int(l->node->config, C_socket_connection_setup_timeout_max_ms) * MS,
            .ended = ended,
            .ended_arg = v},
        &c);
    ASSERT(!err); /* the settings were checked when they were read */
    arena_drop(&a);
    l->n_clients++;
    return c;
}

static const struct config_voter *where(const struct link_voter *v)
{
    int n;
    const struct config_voter *all = config_voters(v->link->node->config, &n);

    for (int i = 0; i < n; i++)
        if (all[i].id == v->node)
            return &all[i];
    return NULL;
}

static void begin(struct msg *msg)
{
    struct raft_link *l = container_of(msg, struct raft_link, begin);

    for (int i = 0; i < l->n; i++) {
        struct link_voter *v = &l->voters[i];
        const struct config_voter *at = where(v);

        ASSERT(at);
        v->client = client_of(v, at->host, at->port, setting_ms(l, C_controller_quorum_request_timeout_ms),
                              connection_ended);
        if (v->state == LINK_RESTS)
            hello(v);
    }
}

/* ---- messages ---- */

struct raft_send {
    struct msg msg;
    struct link_voter *voter;
    struct client_call call;
    struct arena arena;
    struct RaftRequest in;
    size_t len;
    uint8_t bytes[];
};

static void send_home(struct msg *msg)
{
    struct raft_send *s = container_of(msg, struct raft_send, msg);
    struct link_voter *v = s->voter;

    ASSERT(v->n_waiting > 0 && v->bytes_waiting >= s->len);
    v->n_waiting--;
    v->bytes_waiting -= s->len;
    arena_drop(&s->arena);
    heap_free(v->link->node->heap, s);
}

static void send_back(struct raft_send *s)
{
    s->msg.run = send_home;
    loop_post(s->voter->link->control, &s->msg);
}

/* One that was not heard here: the connection is another than the one that said hello. */
static void send_done(struct client_call *call)
{
    struct raft_send *s = call->arg;
    const struct RaftResponse *out = call->out;

    if (out && out->error_code)
        down(s->voter);
    send_back(s);
}

static void send_run(struct msg *msg)
{
    struct raft_send *s = container_of(msg, struct raft_send, msg);

    if (s->voter->state != LINK_UP || s->voter->link->ending) {
        send_back(s);
        return;
    }
    s->in.message = slice_of(s->bytes, s->len);
    client_call_init(&s->call, API_Raft, client_any(), &s->in, &s->arena);
    s->call.done = send_done;
    s->call.arg = s;
    client_send(s->voter->client, &s->call);
}

bool raft_link_send(struct raft_link *l, int32_t node, struct slice bytes)
{
    struct link_voter *v = link_voter_of(l, node);
    struct raft_send *s;

    if (!v || !v->up || l->stopping || v->n_waiting >= RAFT_LINK_MESSAGES ||
        (v->n_waiting > 0 && v->bytes_waiting + bytes.len > RAFT_LINK_BYTES))
        return false;
    s = heap_alloc(l->node->heap, sizeof(*s) + bytes.len);
    s->msg.run = send_run;
    s->voter = v;
    arena_init(&s->arena, l->node->heap, SIZE_MAX);
    proto_defaults(&RaftRequest_type, &s->in);
    s->len = bytes.len;
    memcpy(s->bytes, bytes.p, bytes.len);
    v->n_waiting++;
    v->bytes_waiting += bytes.len;
    loop_post(l->net, &s->msg);
    return true;
}

/* ---- pieces of a checkpoint ---- */

struct raft_ask {
    struct msg msg;
    struct raft_link *link;
    struct link_voter *voter; /* NULL: there is none */
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
    struct link_voter *v = a->voter;

    if (!v || v->link->ending) {
        ask_back(a, E_BROKER_NOT_AVAILABLE);
        return;
    }
    if (!v->bulk)
        v->bulk = client_of(v, where(v)->host, where(v)->port, PIECE_MS, NULL);
    client_call_init(&a->call, API_FetchSnapshot, client_any(),
                     piece_request(&a->arena, a->link->node, &a->link->directory_id, a->id, a->at),
                     &a->arena);
    a->call.done = ask_done;
    a->call.arg = a;
    client_send(v->bulk, &a->call);
}

void raft_link_ask(struct raft_link *l, int32_t node, struct quorum_checkpoint id, int64_t at)
{
    struct raft_ask *a = heap_alloc(l->node->heap, sizeof(*a));

    a->msg.run = ask_run;
    a->link = l;
    a->voter = l->stopping ? NULL : link_voter_of(l, node);
    a->id = id;
    a->at = at;
    arena_init(&a->arena, l->node->heap, SIZE_MAX);
    loop_post(l->net, &a->msg);
}

/* ---- start and stop ---- */

struct raft_link *raft_link_start(struct node *node, struct loop *control,
                                  const struct raft_link_settings *settings, const struct raft_link_ops *ops)
{
    struct raft_link *l = heap_alloc(node->heap, sizeof(*l));

    l->node = node;
    l->control = control;
    l->net = node->net[0]->loop;
    l->names = loop_start(node->io, LOOP_DISK, "names");
    l->ops = *ops;
    l->directory_id = settings->directory_id;
    l->voters = heap_alloc(node->heap, (size_t)settings->n_voters * sizeof(*l->voters));
    for (int i = 0; i < settings->n_voters; i++) {
        struct link_voter *v = &l->voters[l->n];

        if (settings->voters[i].id == node->id)
            continue;
        l->n++;
        v->link = l;
        v->node = settings->voters[i].id;
        v->wait_ns = retry_ns(l);
        v->again.fire = hello_again;
        arena_init(&v->arena, node->heap, SIZE_MAX);
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

    for (int i = 0; i < l->n; i++) {
        ASSERT(l->voters[i].n_waiting == 0 && l->voters[i].n_in == 0);
        arena_drop(&l->voters[i].arena);
    }
    heap_free(l->node->heap, l->voters);
    heap_free(l->node->heap, l);
    loop_post(control, stopped);
}

static void client_closed(void *arg)
{
    struct raft_link *l = arg;

    if (--l->n_clients > 0)
        return;
    l->stop.run = gone;
    loop_stop(l->names, l->control, &l->stop);
}

static void stop_run(struct msg *msg)
{
    struct raft_link *l = container_of(msg, struct raft_link, stop);

    l->ending = true;
    for (int i = 0; i < l->n; i++) {
        struct link_voter *v = &l->voters[i];

        timer_stop(&v->again);
        client_close(v->client, client_closed, l);
        if (v->bulk)
            client_close(v->bulk, client_closed, l);
    }
}

void raft_link_stop(struct raft_link *l, struct msg *stopped)
{
    l->stopping = true;
    l->stopped = stopped;
    l->stop.run = stop_run;
    loop_post(l->net, &l->stop);
}
