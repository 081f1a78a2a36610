/* Calls and where they go. A call is fresh until the loop's next turn, so that nothing ends inside client_send(). Then it
 * goes to the connection that it names; if that takes metadata that isn't there, it is lost until a Metadata answer that
 * was asked for after it. Brokers, the controller and leaders are remembered from every answer, until client_stale(). */
#include "broker/net/client_peer.h"

/* What a Metadata answer said of one topic. */
struct topic_leaders {
    struct slice name;
    enum err err;
    int32_t n;
    int32_t leader[]; /* -1: none now */
};

static void meta_ask(struct client *c);

/* ---- Time ---- */

static void timer_by(struct client *c, int64_t due)
{
    if (due >= c->timer_due)
        return;
    c->timer_due = due;
    timer_set(c->o.net, &c->timer, due);
}

static void call_expire(struct client_call *call)
{
    struct peer *p = call->peer;

    if (call->stage == CALL_SENT) {
        peer_fail(p, E_TIMEOUT); /* its end is this call's end */
    } else if (call->stage != CALL_ANSWERED) {
        if (call->stage == CALL_WAITING && p->state != PEER_READY)
            peer_fail(p, E_TIMEOUT);
        call_end(call, E_TIMEOUT);
    }
}

static void client_fire(struct timer *timer)
{
    struct client *c = container_of(timer, struct client, timer);
    int64_t now = loop_now(c->o.net), next = INT64_MAX;
    struct list seen;

    c->timer_due = INT64_MAX;
    if (c->retry_at <= now) {
        c->retry_at = INT64_MAX;
        meta_ask(c);
    }
    list_init(&seen);
    while (
        !list_empty(&c->all)) { /* a call's end may start others or end others: begin again from the front */
        struct client_call *call = container_of(c->all.next, struct client_call, all);

        list_remove(&call->all);
        list_add(&seen, &call->all);
        if (call->deadline <= now)
            call_expire(call);
        else if (call->deadline < next)
            next = call->deadline;
    }
    list_take(&c->all, &seen);
    timer_by(c, next < c->retry_at ? next : c->retry_at);
}

/* ---- Metadata ---- */

static struct peer *peer_of(struct client *c, int32_t node)
{
    list_each (it, &c->peers) {
        struct peer *p = container_of(it, struct peer, link);

        if (p->node == node)
            return p;
    }
    return NULL;
}

void client_place(struct client *c, int32_t node, struct slice host, uint16_t port)
{
    struct peer *p = peer_of(c, node);

    ASSERT(node >= 0);
    if (!p) {
        p = peer_new(c, node);
        peer_host_add(p, host, port);
    } else if (p->state == PEER_IDLE) {
        peer_moved(p, host, port);
    }
}

void client_hang_up(struct client *c, int32_t node)
{
    struct peer *p = peer_of(c, node);

    if (p)
        peer_fail(p, E_CANCELED);
}

static void brokers_learn(struct client *c, const struct MetadataResponse *m)
{
    for (int i = 0; i < m->brokers.n; i++) {
        const struct MetadataResponse_MetadataResponseBroker *b = &m->brokers.v[i];

        if (b->node_id >= 0 && b->port >= 0 && b->port <= UINT16_MAX)
            client_place(c, b->node_id, b->host, (uint16_t)b->port);
    }
    c->controller = m->controller_id;
}

static void topic_learn(struct client *c, const struct MetadataResponse_MetadataResponseTopic *t)
{
    int32_t n = 0;
    struct topic_leaders *l;

    for (int i = 0; i < t->partitions.n; i++)
        if (t->partitions.v[i].partition_index >= n)
            n = t->partitions.v[i].partition_index + 1;
    if (t->error_code || n > t->partitions.n)
        n = 0; /* partitions are numbered without gaps: this is no answer that we can use */
    l = heap_alloc(c->heap, sizeof(*l) + (size_t)n * sizeof(*l->leader) + t->name.len);
    l->err = t->error_code ? err_of_wire(t->error_code) : E_OK;
    l->n = n;
    for (int i = 0; i < n; i++)
        l->leader[i] = -1;
    for (int i = 0; i < t->partitions.n && n; i++)
        if (t->partitions.v[i].partition_index >= 0)
            l->leader[t->partitions.v[i].partition_index] = t->partitions.v[i].leader_id;
    l->name = slice_of((uint8_t *)&l->leader[n], t->name.len);
    memcpy(l->name.p, t->name.p, t->name.len);

    struct topic_leaders *old = map_remove(&c->topics, l->name);

    heap_free(c->heap, old);
    (void)map_put(&c->topics, l->name, l);
}

void client_stale(struct client *c)
{
    map_each (struct topic_leaders, l, &c->topics) {
        (void)map_remove(&c->topics, l->name);
        heap_free(c->heap, l);
    }
    c->controller = -1;
}

/* ---- Routing ---- */

/* Which node the call is for. E_LEADER_NOT_AVAILABLE: there may be one soon. */
static enum err route(struct client *c, const struct client_call *call, struct peer **out)
{
    const struct client_route *r = &call->route;
    int32_t node = r->node;

    *out = container_of(c->peers.next, struct peer, link);
    if (r->target == CLIENT_ANY)
        return E_OK;
    if (r->target == CLIENT_CONTROLLER)
        node = c->controller;
    if (r->target == CLIENT_LEADER) {
        const struct topic_leaders *l = map_get(&c->topics, r->topic);

        if (!l || l->err)
            return l ? l->err : E_UNKNOWN_TOPIC_OR_PARTITION;
        if (r->partition < 0 || r->partition >= l->n)
            return E_UNKNOWN_TOPIC_OR_PARTITION;
        node = l->leader[r->partition];
        if (node < 0)
            return E_LEADER_NOT_AVAILABLE;
    }
    *out = node < 0 ? NULL : peer_of(c, node);
    return *out ? E_OK : E_BROKER_NOT_AVAILABLE;
}

static void call_route(struct client *c, struct client_call *call)
{
    struct peer *p;
    enum err err = route(c, call, &p);

    if (!err) {
        peer_give(p, call);
    } else if (call->looked && err != E_LEADER_NOT_AVAILABLE) {
        call_end(call, err);
    } else {
        call->stage = CALL_LOST;
        list_remove(&call->link);
        list_add(&c->lost, &call->link);
        if (!call->looked) {
            c->meta_wanted = true;
        } else {
            c->retry_at = loop_now(c->o.net) + CLIENT_RETRY_NS;
            timer_by(c, c->retry_at);
        }
    }
}

static void meta_done(struct client_call *meta)
{
    struct client *c = container_of(meta, struct client, meta);
    const struct MetadataResponse *m = meta->out;
    struct list again;

    c->meta_busy = false;
    if (m) {
        brokers_learn(c, m);
        for (int i = 0; i < m->topics.n; i++)
            if (m->topics.v[i].name.p)
                topic_learn(c, &m->topics.v[i]);
    }
    list_init(&again);
    list_take(&again, &c->lost);
    while (!list_empty(&again)) {
        struct client_call *call = container_of(again.next, struct client_call, link);

        if (!m) {
            call_end(call, meta->err);
        } else if (call->asked_in == c->meta_asked) {
            call->looked = true;
            call_route(c, call);
        } else { /* it came after the question */
            list_remove(&call->link);
            list_add(&c->lost, &call->link);
            c->meta_wanted = true;
        }
    }
    if (c->meta_wanted)
        meta_ask(c);
}

static bool topic_asked(const struct MetadataRequest *in, struct slice name)
{
    for (int i = 0; i < in->topics.n; i++)
        if (slice_eq(in->topics.v[i].name, name))
            return true;
    return false;
}

/* Asks for the brokers and for the topics of all lost calls. */
static void meta_ask(struct client *c)
{
    struct MetadataRequest *in;
    int n = 0;

    if (c->meta_busy || c->closing)
        return;
    c->meta_busy = true;
    c->meta_wanted = false;
    c->meta_asked++;
    arena_reset(&c->meta_arena);
    in = proto_new(&MetadataRequest_type, &c->meta_arena, 1);
    list_each (it, &c->lost) {
        struct client_call *call = container_of(it, struct client_call, link);

        call->asked_in = c->meta_asked;
        n += call->route.target == CLIENT_LEADER;
    }
    PROTO_ARRAY_NEW(&c->meta_arena, MetadataRequest_MetadataRequestTopic, in->topics, n);
    in->topics.n = 0;
    list_each (it, &c->lost) {
        struct client_call *call = container_of(it, struct client_call, link);

        if (call->route.target == CLIENT_LEADER && !topic_asked(in, call->route.topic))
            in->topics.v[in->topics.n++].name = arena_copy(&c->meta_arena, call->route.topic);
    }
    in->allow_auto_topic_creation = false;
    client_call_init(&c->meta, API_Metadata, client_any(), in, &c->meta_arena);
    c->meta.version_min = 4; /* the first that can forbid creation */
    c->meta.done = meta_done;
    client_send(c, &c->meta);
}

/* ---- Calls ---- */

void client_call_init(struct client_call *call, int16_t api_key, struct client_route to, const void *in,
                      struct arena *arena)
{
    const struct proto_api *api = proto_api(api_key);

    ASSERT(api && arena->max == SIZE_MAX);
    *call = (struct client_call){.api = api,
                                 .version_min = api->version_min,
                                 .version_max = api->stable_max,
                                 .route = to,
                                 .in = in,
                                 .arena = arena};
}

static void work_post(struct client *c)
{
    if (c->work_posted)
        return;
    c->work_posted = true;
    loop_post(c->o.net, &c->work);
}

void client_send(struct client *c, struct client_call *call)
{
    ASSERT(call->done);
    call->client = c;
    call->stage = CALL_FRESH;
    call->deadline = loop_now(c->o.net) + (call->timeout_ns ? call->timeout_ns : c->o.timeout_ns);
    bytes_init(&call->frame, c->heap);
    list_add(&c->fresh, &call->link);
    list_add(&c->all, &call->all);
    timer_by(c, call->deadline);
    work_post(c);
}

/* Ends what can end now; says whether nothing is left. */
static bool client_ended(struct client *c)
{
    bool idle = true;
    struct list sent;

    list_init(&sent);
    while (!list_empty(&c->all)) {
        struct client_call *call = container_of(c->all.next, struct client_call, all);

        if (call->stage != CALL_SENT && call->stage != CALL_ANSWERED) {
            call_end(call, E_CANCELED);
            continue;
        }
        list_remove(&call->all);
        list_add(&sent, &call->all);
    }
    list_take(&c->all, &sent);
    list_each (it, &c->peers) {
        struct peer *p = container_of(it, struct peer, link);

        peer_fail(p, E_CANCELED);
        idle = idle && p->state == PEER_IDLE;
    }
    return idle && list_empty(&c->all);
}

static void client_free(struct client *c)
{
    void (*closed)(void *arg) = c->closed;
    void *arg = c->closed_arg;

    while (!list_empty(&c->peers))
        peer_free(container_of(c->peers.next, struct peer, link));
    client_stale(c);
    map_drop(&c->topics);
    arena_drop(&c->meta_arena);
    arena_drop(&c->arena);
    timer_stop(&c->timer);
    heap_free(c->heap, c->bootstrap_text);
    heap_free(c->heap, c->client_id);
    heap_free(c->heap, c->software_version);
    heap_free(c->heap, c);
    closed(arg);
}

static void client_work(struct msg *msg)
{
    struct client *c = container_of(msg, struct client, work);
    struct list fresh;

    c->work_posted = false;
    if (c->closing) {
        if (client_ended(c) && !c->work_posted)
            client_free(c);
        return;
    }
    list_init(&fresh);
    list_take(&fresh, &c->fresh);
    while (!list_empty(&fresh))
        call_route(c, container_of(fresh.next, struct client_call, link));
    if (c->meta_wanted)
        meta_ask(c);
    if (c->n_asked == 0 && c->next && !c->closing) {
        void (*next)(void *arg) = c->next;

        c->next = NULL;
        next(c->next_arg);
    }
}

void client_peer_idle(struct client *c)
{
    if (c->closing)
        work_post(c);
}

void client_close(struct client *c, void (*closed)(void *arg), void *arg)
{
    ASSERT(!c->closing);
    c->closing = true;
    c->closed = closed;
    c->closed_arg = arg;
    work_post(c);
}

/* ---- Tools ---- */

struct arena *client_arena(struct client *c)
{
    return &c->arena;
}

const char *client_bootstrap(const struct client *c)
{
    return c->bootstrap_text;
}

void *client_in(struct client *c, int16_t api_key)
{
    const struct proto_api *api = proto_api(api_key);

    ASSERT(api);
    return proto_new(api->request, &c->arena, 1);
}

static void asked_done(struct client_call *call)
{
    struct client *c = call->client;

    ASSERT(c->n_asked > 0);
    c->n_asked--;
    work_post(c);
}

struct client_call *client_ask(struct client *c, struct client_route to, int16_t api_key, const void *in)
{
    struct client_call *call = arena_alloc(&c->arena, sizeof(*call));

    client_call_init(call, api_key, to, in, &c->arena);
    call->done = asked_done;
    c->n_asked++;
    client_send(c, call);
    return call;
}

void client_then(struct client *c, void (*next)(void *arg), void *arg)
{
    ASSERT(!c->next);
    c->next = next;
    c->next_arg = arg;
    work_post(c);
}

/* ---- Beginning ---- */

/* "host:port" or "[v6]:port". */
static bool host_parse(struct slice text, struct slice *host, uint16_t *port)
{
    size_t colon = text.len, n = 0;
    uint32_t number = 0;

    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || colon == text.len)
        return false;
    for (size_t i = colon; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || ++n > 5)
            return false;
        number = number * 10 + (text.p[i] - '0');
    }
    *host = slice_of(text.p, colon - 1);
    if (host->p[0] == '[' && host->p[host->len - 1] == ']')
        *host = slice_of(host->p + 1, host->len - 2);
    *port = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX && host->len > 0;
}

static bool bootstrap_parse(struct peer *p, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        struct slice one = slice_of(text, len), host;
        uint16_t port;

        while (one.len && one.p[0] == ' ')
            one = slice_of(one.p + 1, one.len - 1);
        while (one.len && one.p[one.len - 1] == ' ')
            one.len--;
        if (one.len && !host_parse(one, &host, &port))
            return false;
        if (one.len)
            peer_host_add(p, host, port);
        text += len + (text[len] == ',');
    }
    return p->n_hosts > 0;
}

static void closed_unseen(void *arg)
{
    (void)arg;
}

enum err client_new(const struct client_options *options, struct client **out)
{
    struct heap *h = io_heap(options->io);
    struct client *c = heap_alloc(h, sizeof(*c));
    uint64_t seed;

    ASSERT(options->timeout_ns > 0);
    io_random(options->io, &seed, sizeof(seed));
    c->heap = h;
    c->o = *options;
    c->bootstrap_text = heap_str(h, SLICE(options->bootstrap ? options->bootstrap : ""));
    c->client_id = heap_str(h, SLICE(options->client_id));
    c->software_version = heap_str(h, SLICE(options->software_version));
    list_init(&c->peers);
    list_init(&c->all);
    list_init(&c->fresh);
    list_init(&c->lost);
    c->work.run = client_work;
    c->timer.fire = client_fire;
    c->timer_due = c->retry_at = INT64_MAX;
    c->controller = -1;
    c->closed = closed_unseen;
    arena_init(&c->meta_arena, h, SIZE_MAX);
    arena_init(&c->arena, h, SIZE_MAX);
    map_init(&c->topics, h, seed);
    if (!bootstrap_parse(peer_new(c, -1), c->bootstrap_text) && options->bootstrap) {
        client_free(c);
        return E_INVALID_REQUEST;
    }
    *out = c;
    return E_OK;
}
