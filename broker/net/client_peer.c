/* One connection of the client: lookup, dial, ApiVersions, then calls in a pipeline. A failure before it is ready tries
 * the next address, then the next host; when none is left, the calls that wait end with the last failure. */
#include "broker/net/client_peer.h"
#include "proto/bigend.h"

static void peer_start(struct peer *p);

/* ---- Sending ---- */

/* A call has ended when both its answer has come and the socket has given the request back. */
static void call_sent(struct out *out, enum err err)
{
    struct client_call *call = container_of(out, struct client_call, sent);

    (void)err; /* an error comes again as the connection's end */
    call->sending = false;
    if (call->stage == CALL_ANSWERED)
        call_end(call, call->err);
}

static void call_answered(struct client_call *call, enum err err)
{
    list_remove(&call->link);
    call->stage = CALL_ANSWERED;
    call->err = err;
    if (!call->sending)
        call_end(call, err);
}

static enum err call_version(const struct peer *p, struct client_call *call)
{
    for (int i = 0; i < p->versions->api_keys.n; i++) {
        const struct ApiVersionsResponse_ApiVersion *v = &p->versions->api_keys.v[i];

        if (v->api_key != call->api->key)
            continue;
        call->version = v->max_version < call->version_max ? v->max_version : call->version_max;
        if (call->version >= v->min_version && call->version >= call->version_min)
            return E_OK;
    }
    return E_UNSUPPORTED_VERSION;
}

static void peer_transmit(struct peer *p, struct client_call *call)
{
    enum err err = call == &p->asking ? E_OK : call_version(p, call);

    list_remove(&call->link);
    bytes_init(&call->frame, p->client->heap);
    call->correlation = p->next_correlation++;
    if (!err)
        err = proto_request_frame(call->api, call->version, call->correlation, SLICE(p->client->client_id),
                                  call->in, &call->frame, NULL);
    if (err) {
        call_end(call, err);
        return;
    }
    list_add(&p->pending, &call->link);
    call->stage = CALL_SENT;
    call->part = (struct part){.mem = bytes_slice(&call->frame), .len = call->frame.len};
    call->sent = (struct out){.v = &call->part, .n = 1, .done = call_sent};
    call->sending = true;
    sock_send(&p->sock, &call->sent);
}

void peer_give(struct peer *p, struct client_call *call)
{
    list_remove(&call->link);
    list_add(&p->waiting, &call->link);
    call->peer = p;
    call->stage = CALL_WAITING;
    if (p->state == PEER_READY)
        peer_transmit(p, call);
    else if (p->state == PEER_IDLE)
        peer_start(p);
}

static void peer_fail_list(struct list *calls, enum err why)
{
    struct list ended;

    list_init(&ended);
    list_take(&ended, calls); /* what `done` starts anew isn't among them */
    while (!list_empty(&ended))
        call_answered(container_of(ended.next, struct client_call, link), why);
}

/* ---- ApiVersions ---- */

static void asking_done(struct client_call *call);

static void peer_ask(struct peer *p, int16_t version)
{
    struct client_call *call = &p->asking;

    proto_defaults(&ApiVersionsRequest_type, &p->asking_in);
    p->asking_in.client_software_name = SLICE("weir");
    p->asking_in.client_software_version = SLICE(p->client->software_version);
    *call = (struct client_call){.api = proto_api(API_ApiVersions),
                                 .in = &p->asking_in,
                                 .arena = &p->arena,
                                 .version = version,
                                 .done = asking_done,
                                 .client = p->client,
                                 .peer = p};
    list_init(&call->link);
    list_init(&call->all);
    p->state = PEER_ASKING;
    peer_transmit(p, call);
}

/* A node that lacks our version says so in version 0, and which ones it has; it is asked once more. */
static void asking_done(struct client_call *call)
{
    struct peer *p = call->peer;
    const struct ApiVersionsResponse *answer = p->asking.out;
    enum err err = call->err ? call->err : answer->error_code ? err_of_wire(answer->error_code) : E_OK;

    if (p->state != PEER_ASKING)
        return;
    if (err == E_UNSUPPORTED_VERSION && !call->err && call->version > 0 && answer->api_keys.n == 1) {
        int16_t max = answer->api_keys.v[0].max_version;

        peer_ask(p, max < call->version ? max : 0);
        return;
    }
    if (err) {
        peer_fail(p, err);
        return;
    }
    p->versions = answer;
    p->state = PEER_READY;
    if (p->client->o.ready)
        p->client->o.ready(p->client->o.ready_arg, p->node, p->versions);
    while (p->state == PEER_READY && !list_empty(&p->waiting))
        peer_transmit(p, container_of(p->waiting.next, struct client_call, link));
}

/* ---- Receiving ---- */

static enum err frame_decode(struct peer *p, struct client_call *call)
{
    int version = call->version;
    int32_t correlation;
    enum err err = proto_response_header(p->frame, &correlation);

    if (err)
        return err;
    if (correlation != call->correlation)
        return E_MALFORMED;
    if (call == &p->asking && p->frame.len >= 6 &&
        get_be16(p->frame.p + 4) == err_wire(E_UNSUPPORTED_VERSION))
        version = 0;
    call->out = proto_new(call->api->response, call->arena, 1);
    return proto_response_body(call->api, version, p->frame, call->arena, call->out);
}

static void frame_done(struct peer *p)
{
    struct client_call *call = container_of(p->pending.next, struct client_call, link);
    enum err err = frame_decode(p, call);

    p->frame = SLICE_NULL;
    p->got = 0;
    if (err) {
        call->out = NULL;
        peer_fail(p, E_MALFORMED);
        return;
    }
    call_answered(call, E_OK);
}

static bool frame_begin(struct peer *p)
{
    uint32_t size = get_be32(p->head);

    if (list_empty(&p->pending) || size > RESPONSE_MAX || size < 4) {
        peer_fail(p, E_MALFORMED);
        return false;
    }
    struct client_call *call = container_of(p->pending.next, struct client_call, link);

    p->frame = slice_of(arena_alloc(call->arena, size), size);
    p->read = 0;
    return true;
}

static size_t peer_fill(uint8_t *to, size_t want, struct slice in)
{
    size_t n = in.len < want ? in.len : want;

    if (to != in.p)
        memcpy(to, in.p, n);
    return n;
}

static bool peer_alive(const struct peer *p)
{
    return p->state == PEER_ASKING || p->state == PEER_READY;
}

static struct slice peer_room(struct sock *s)
{
    struct peer *p = container_of(s, struct peer, sock);

    if (!peer_alive(p))
        return SLICE_NULL;
    if (p->frame.p)
        return slice_of(p->frame.p + p->read, p->frame.len - p->read);
    return slice_of(p->client->scratch, sizeof(p->client->scratch));
}

static void peer_came(struct sock *s, size_t len)
{
    struct peer *p = container_of(s, struct peer, sock);
    struct slice in = slice_of(peer_room(s).p, len);

    while (in.len && peer_alive(p)) {
        size_t n;

        if (p->frame.p) {
            n = peer_fill(p->frame.p + p->read, p->frame.len - p->read, in);
            p->read += n;
        } else {
            n = peer_fill(p->head + p->got, sizeof(p->head) - p->got, in);
            p->got += (uint8_t)n;
            if (p->got == sizeof(p->head) && !frame_begin(p))
                return;
        }
        in = slice_of(in.p + n, in.len - n);
        if (p->frame.p && p->read == p->frame.len)
            frame_done(p);
    }
}

/* ---- Beginning and end ---- */

static void peer_open(struct sock *s)
{
    struct peer *p = container_of(s, struct peer, sock);

    if (p->state != PEER_DIALING)
        return;
    timer_stop(&p->setup);
    p->silent = 0;
    peer_ask(p, ApiVersionsRequest_type.versions.last);
}

static void peer_silent(struct timer *timer)
{
    struct peer *p = container_of(timer, struct peer, setup);

    p->silent++;
    peer_fail(p, E_TIMEOUT);
}

static void peer_closed(struct sock *s, enum err why);

static const struct sock_ops peer_ops = {
    .open = peer_open, .room = peer_room, .came = peer_came, .closed = peer_closed};

static void peer_dial(struct peer *p)
{
    const struct client_options *o = &p->client->o;
    int64_t patience = o->setup_ns;

    for (int i = 0; i < p->silent && patience < o->setup_max_ns; i++)
        patience *= 2;
    p->state = PEER_DIALING;
    if (patience > o->setup_max_ns)
        patience = o->setup_max_ns;
    if (patience > 0)
        timer_set(o->net, &p->setup, loop_now(o->net) + patience);
    sock_dial(o->net, &p->sock, &peer_ops, &p->addrs[p->addr++]);
}

/* Dials the next address, looks up the next host, or gives up. */
static void peer_next(struct peer *p, enum err why)
{
    struct client *c = p->client;

    p->versions = NULL;
    p->frame = SLICE_NULL;
    p->got = 0;
    p->why = E_OK;
    if (c->closing || list_empty(&p->waiting)) {
        p->state = PEER_IDLE;
    } else if (p->addr < p->n_addrs) {
        peer_dial(p);
        return;
    } else if (p->host < p->n_hosts) {
        p->state = PEER_LOOKUP;
        loop_post(c->o.disk, &p->lookup);
        return;
    } else {
        p->state = PEER_IDLE;
        peer_fail_list(&p->waiting, why);
    }
    client_peer_idle(c);
}

static void peer_closed(struct sock *s, enum err why)
{
    struct peer *p = container_of(s, struct peer, sock);
    struct client *c = p->client;
    bool was_ready = p->versions != NULL;

    why = p->why ? p->why : why;
    p->state = PEER_CLOSING;
    timer_stop(&p->setup);
    peer_fail_list(&p->pending, why);
    if (was_ready) /* what came since it began to close is dialled for anew */
        p->host = p->addr = p->n_addrs = 0;
    arena_reset(&p->arena);
    peer_next(p, why);
    if (was_ready && !c->closing && c->o.ended)
        c->o.ended(c->o.ended_arg);
}

void peer_fail(struct peer *p, enum err why)
{
    if (p->state == PEER_IDLE || p->state == PEER_LOOKUP || p->state == PEER_CLOSING)
        return;
    p->state = PEER_CLOSING;
    p->why = why;
    timer_stop(&p->setup);
    sock_close(&p->sock);
}

static void lookup_back(struct msg *msg);

static void lookup_run(struct msg *msg)
{
    struct peer *p = container_of(msg, struct peer, lookup);
    const struct peer_host *h = &p->hosts[p->host];

    p->n_addrs = 0;
    p->lookup_err = addr_find(p->client->o.io, h->name, h->port, p->addrs, PEER_ADDRS_MAX, &p->n_addrs);
    p->lookup.run = lookup_back;
    loop_post(p->client->o.net, &p->lookup);
}

static void lookup_back(struct msg *msg)
{
    struct peer *p = container_of(msg, struct peer, lookup);

    p->lookup.run = lookup_run;
    p->host++;
    p->addr = 0;
    peer_next(p, p->lookup_err ? p->lookup_err : E_NOENT);
}

static void peer_start(struct peer *p)
{
    p->host = p->addr = p->n_addrs = 0;
    peer_next(p, E_BROKER_NOT_AVAILABLE);
}

struct peer *peer_new(struct client *c, int32_t node)
{
    struct peer *p = heap_alloc(c->heap, sizeof(*p));

    p->client = c;
    p->node = node;
    p->lookup.run = lookup_run;
    p->setup.fire = peer_silent;
    list_init(&p->waiting);
    list_init(&p->pending);
    arena_init(&p->arena, c->heap, SIZE_MAX);
    list_add(&c->peers, &p->link);
    return p;
}

void peer_host_add(struct peer *p, struct slice host, uint16_t port)
{
    struct heap *h = p->client->heap;

    p->hosts = heap_resize(h, p->hosts, (size_t)(p->n_hosts + 1) * sizeof(*p->hosts));
    p->hosts[p->n_hosts++] = (struct peer_host){.name = heap_str(h, host), .port = port};
}

static void hosts_drop(struct peer *p)
{
    struct heap *h = p->client->heap;

    for (int i = 0; i < p->n_hosts; i++)
        heap_free(h, p->hosts[i].name);
    heap_free(h, p->hosts);
    p->hosts = NULL;
    p->n_hosts = 0;
}

void peer_moved(struct peer *p, struct slice host, uint16_t port)
{
    ASSERT(p->state == PEER_IDLE && p->n_hosts == 1);
    if (p->hosts[0].port == port && slice_eq(SLICE(p->hosts[0].name), host))
        return;
    hosts_drop(p);
    peer_host_add(p, host, port);
}

void peer_free(struct peer *p)
{
    struct heap *h = p->client->heap;

    ASSERT(p->state == PEER_IDLE && list_empty(&p->waiting) && list_empty(&p->pending));
    list_remove(&p->link);
    hosts_drop(p);
    arena_drop(&p->arena);
    heap_free(h, p);
}

/* The end of any call. Its last touch is `done`. */
void call_end(struct client_call *call, enum err err)
{
    call->err = err;
    if (err)
        call->out = NULL;
    list_remove(&call->link);
    list_remove(&call->all);
    bytes_drop(&call->frame);
    call->done(call);
}
