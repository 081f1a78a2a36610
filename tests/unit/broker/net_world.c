#include "net_world.h"
#include "proto/bigend.h"

struct net_world *nw_of(const struct request *r)
{
    return container_of(r->net->node, struct net_world, node);
}

/* ---- The node ---- */

static void held_gone(struct request *r)
{
    struct net_world *w = nw_of(r);

    w->n_gone++;
    for (int i = 0; i < w->n_held; i++)
        if (w->held[i] == r)
            w->held[i] = NULL;
    request_reply(r);
}

void nw_hold(struct request *r)
{
    struct net_world *w = nw_of(r);

    CHECK(w->n_held < NW_HELD_MAX);
    w->held[w->n_held++] = r;
    r->gone = held_gone;
}

static void test_metadata(struct request *r)
{
    nw_of(r)->n_ran++;
    nw_of(r)->run(r);
}

static void test_versions(struct request *r)
{
    if (nw_of(r)->versions)
        nw_of(r)->versions(r);
    else
        handler_find(API_ApiVersions)->run(r);
}

static const struct handler *test_serve(int16_t key)
{
    static const struct handler metadata = {.key = API_Metadata,
                                            .version_min = 0,
                                            .version_max = 13,
                                            .in = &MetadataRequest_type,
                                            .out = &MetadataResponse_type,
                                            .run = test_metadata};

    static const struct handler versions = {.key = API_ApiVersions,
                                            .version_min = 0,
                                            .version_max = 4,
                                            .in = &ApiVersionsRequest_type,
                                            .out = &ApiVersionsResponse_type,
                                            .run = test_versions};

    return key == API_Metadata ? &metadata : key == API_ApiVersions ? &versions : handler_find(key);
}

struct end {
    struct net_world *w;
    int i;
    void (*how)(struct request *r);
};

static void end_run(struct loop *loop, void *arg)
{
    struct end *e = arg;

    (void)loop;
    e->how(e->w->held[e->i]);
}

/* Only for requests of loop 0, which is the one of sim_call. */
static void nw_end(struct net_world *w, int i, void (*how)(struct request *r))
{
    struct end e = {.w = w, .i = i, .how = how};

    CHECK(w->held[i] && w->held[i]->net == &w->loops[0]);
    CHECK(sim_call(w->sim, w->io, LOOP_NET, end_run, &e));
    w->held[i] = NULL;
}

void nw_reply(struct net_world *w, int i)
{
    nw_end(w, i, request_reply);
}

void nw_skip(struct net_world *w, int i)
{
    nw_end(w, i, request_skip);
}

void nw_abort(struct net_world *w, int i)
{
    nw_end(w, i, request_abort);
}

struct net_world *nw_make(uint64_t seed)
{
    struct net_world *w = calloc(1, sizeof(*w));

    w->sim = sim_new(seed);
    w->run = nw_hold;
    w->limits = (struct net_limits){.request_bytes_max = 1 << 20,
                                    .queued_bytes_max = 8 << 20,
                                    .idle_ns = INT64_C(600) * 1000000000,
                                    .backlog = 50,
                                    .connections_max = INT32_MAX,
                                    .per_ip_max = INT32_MAX,
                                    .creation_rate = INT32_MAX,
                                    .listeners[0] = {INT32_MAX, INT32_MAX}};
    return w;
}

static void start_run(struct loop *loop, void *arg)
{
    static const struct config_listener plain = {.name = "PLAINTEXT"};
    struct net_world *w = arg;
    struct listener_open at = {.config = &plain, .at = sim_addr(NW_NODE, NW_PORT), .serve = test_serve};

    w->acceptor = loop;
    w->node.io = w->io;
    w->node.heap = io_heap(w->io);
    w->node.anonymous = (struct principal){SLICE("User"), SLICE("ANONYMOUS")};
    w->shared = net_shared_new(&w->node, &w->limits);
    for (int i = 0; i < NW_LOOPS; i++) {
        struct net_loop *l = &w->loops[i];

        *l = (struct net_loop){.node = &w->node, .index = i};
        l->loop = i == 0 ? loop : loop_start(w->io, LOOP_NET, "net");
        l->net = net_new(w->shared, l);
        w->loop_ptrs[i] = l;
    }
    listeners_spread(w->shared, w->loop_ptrs, 1);
    CHECK_OK(listeners_open(w->shared, &w->loops[0], &at, 1));
}

void nw_start(struct net_world *w)
{
    w->io = sim_node(w->sim, NW_NODE);
    w->heap_before = heap_used(io_heap(w->io));
    CHECK(sim_call(w->sim, w->io, LOOP_NET, start_run, w));
}

struct net_world *nw_new(uint64_t seed)
{
    struct net_world *w = nw_make(seed);

    nw_start(w);
    return w;
}

struct stop {
    struct msg msg;
    struct net_world *w;
    struct net *net;
};

static void stopped(void *arg)
{
    ((struct net_world *)arg)->n_stopped++;
}

static void stop_run(struct msg *msg)
{
    struct stop *s = container_of(msg, struct stop, msg);

    net_stop(s->net, INT64_C(500) * 1000000, stopped, s->w);
}

static void drop_begin(struct loop *loop, void *arg)
{
    struct stop *s = arg;

    (void)loop;
    listeners_close(s->w->shared);
    for (int i = 0; i < NW_LOOPS; i++)
        loop_post(s->w->loops[i].loop, &s[i].msg);
}

static void drop_end(struct loop *loop, void *arg)
{
    struct net_world *w = arg;

    (void)loop;
    for (int i = 0; i < NW_LOOPS; i++)
        net_free(w->loops[i].net);
    net_shared_drop(w->shared);
}

static bool all_stopped(void *arg)
{
    return ((struct net_world *)arg)->n_stopped == NW_LOOPS;
}

void nw_stop(struct net_world *w)
{
    struct stop s[NW_LOOPS];

    for (int i = 0; i < NW_LOOPS; i++)
        s[i] = (struct stop){.msg.run = stop_run, .w = w, .net = w->loops[i].net};
    CHECK(sim_call(w->sim, w->io, LOOP_NET, drop_begin, s));
    CHECK(sim_run(w->sim, all_stopped, w, INT64_C(5) * 1000000000));
    nw_run(w, 10); /* the closed come back to the acceptor */
}

void nw_drop(struct net_world *w)
{
    if (!w->n_stopped)
        nw_stop(w);
    CHECK_EQ(net_budget_used(w->shared), 0);
    CHECK(sim_call(w->sim, w->io, LOOP_NET, drop_end, w));
    CHECK_EQ(heap_used(io_heap(w->io)), w->heap_before);
    sim_drop(w->sim);
    free(w);
}

/* ---- Raw connections ---- */

static void raw_opened(struct sock *s)
{
    container_of(s, struct raw, sock)->open = true;
}

static struct slice raw_room(struct sock *s)
{
    struct raw *r = container_of(s, struct raw, sock);

    return r->deaf ? SLICE_NULL : slice_of(r->room, sizeof(r->room));
}

static void raw_came(struct sock *s, size_t len)
{
    struct raw *r = container_of(s, struct raw, sock);

    bytes_add(&r->got, r->room, len);
}

static void raw_closed(struct sock *s, enum err why)
{
    struct raw *r = container_of(s, struct raw, sock);

    r->closed = true;
    r->why = why;
}

static const struct sock_ops raw_ops = {
    .open = raw_opened, .room = raw_room, .came = raw_came, .closed = raw_closed};

static void dial_run(struct loop *loop, void *arg)
{
    struct raw *r = arg;

    sock_dial(loop, &r->sock, &raw_ops, &r->to);
}

struct raw *raw_dial(struct net_world *w, int node)
{
    struct raw *r = calloc(1, sizeof(*r));

    r->w = w;
    r->io = NULL;
    r->to = sim_addr(NW_NODE, NW_PORT);
    r->io = sim_up(w->sim, node) ? w->peers[node] : (w->peers[node] = sim_node(w->sim, node));
    r->heap = heap_new(false);
    bytes_init(&r->got, r->heap);
    CHECK(sim_call(w->sim, r->io, LOOP_NET, dial_run, r));
    return r;
}

struct raw_out {
    struct out out;
    struct part part;
    struct raw *r;
};

static void raw_sent(struct out *out, enum err err)
{
    struct raw_out *o = container_of(out, struct raw_out, out);

    (void)err;
    free(o->part.mem.p);
    free(o);
}

static void send_run(struct loop *loop, void *arg)
{
    struct raw_out *o = arg;

    (void)loop;
    sock_send(&o->r->sock, &o->out);
}

void raw_send(struct raw *r, const void *p, size_t len)
{
    struct raw_out *o = calloc(1, sizeof(*o));

    if (r->closed) {
        free(o);
        return;
    }
    o->r = r;
    o->part = (struct part){.mem = slice_of(malloc(len), len), .len = len};
    memcpy(o->part.mem.p, p, len);
    o->out = (struct out){.v = &o->part, .n = 1, .done = raw_sent};
    CHECK(sim_call(r->w->sim, r->io, LOOP_NET, send_run, o));
}

static void hear_run(struct loop *loop, void *arg)
{
    struct raw *r = arg;

    (void)loop;
    r->deaf = false;
    if (!r->closed)
        sock_more(&r->sock);
}

void raw_hear(struct raw *r)
{
    CHECK(sim_call(r->w->sim, r->io, LOOP_NET, hear_run, r));
}

static void close_run(struct loop *loop, void *arg)
{
    struct raw *r = arg;

    (void)loop;
    if (!r->closed)
        sock_close(&r->sock);
}

void raw_close(struct raw *r)
{
    CHECK(sim_call(r->w->sim, r->io, LOOP_NET, close_run, r));
}

void raw_free(struct raw *r)
{
    for (int i = 0; i < 100 && !r->closed; i++) {
        if (i == 0)
            raw_close(r);
        nw_run(r->w, 10);
    }
    CHECK(r->closed);
    bytes_drop(&r->got);
    heap_drop(r->heap);
    free(r);
}

void nw_run(struct net_world *w, int64_t ms)
{
    (void)sim_run(w->sim, NULL, NULL, ms * 1000000);
}

static struct slice answer_at(const struct raw *r, int i, int *n)
{
    size_t at = 0;

    for (*n = 0; at + 4 <= r->got.len; (*n)++) {
        size_t len = get_be32(r->got.p + at);

        if (at + 4 + len > r->got.len)
            break;
        if (*n == i)
            return slice_of(r->got.p + at + 4, len);
        at += 4 + len;
    }
    return SLICE_NULL;
}

int raw_answers(const struct raw *r)
{
    int n;

    (void)answer_at(r, -1, &n);
    return n;
}

struct slice raw_answer(const struct raw *r, int i)
{
    int n;
    struct slice s = answer_at(r, i, &n);

    CHECK(s.p != NULL);
    return s;
}

int32_t raw_correlation(const struct raw *r, int i)
{
    return (int32_t)get_be32(raw_answer(r, i).p);
}

/* ---- Frames ---- */

void frame_add(struct bytes *to, int16_t key, int version, int32_t correlation, const void *msg)
{
    CHECK_OK(proto_request_frame(proto_api(key), version, correlation, SLICE("test"), msg, to, NULL));
}

void frame_metadata(struct bytes *to, int32_t correlation, size_t topic_bytes)
{
    struct MetadataRequest m;
    struct MetadataRequest_MetadataRequestTopic t;

    proto_defaults(&MetadataRequest_type, &m);
    proto_defaults(&MetadataRequest_MetadataRequestTopic_type, &t);
    t.name = slice_of(calloc(1, topic_bytes + 1), topic_bytes);
    memset(t.name.p, 'x', topic_bytes);
    m.topics.v = &t;
    m.topics.n = 1;
    frame_add(to, API_Metadata, 4, correlation, &m);
    free(t.name.p);
}
