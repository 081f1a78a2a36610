/* The way to the active controller: a node without one of its own asks whoever leads. The node of net_world stands for all
 * other controllers; what it answers says what they know. */
#include "broker/link/uplink.h"
#include "broker/net/net.h"
#include "config_world.h"
#include "net_world.h"

enum { SELF = 3, LEADER = 5, OTHER = 6, DEAD = 7, SILENT = 8, LIKES = 41 };

struct climber {
    struct net_world *w;
    struct io *io;
    struct node node;
    struct net_loop net;
    struct net_loop *nets[1];
    struct loop *control;
    struct uplink *uplink;
    struct grave grave;
    struct image *image;
    struct small_world settings;
    struct uplink_call call;
    struct arena arena;
    struct MetadataRequest in;
    struct msg ended_msg;
    int32_t leader; /* for leader_run() */
    int64_t timeout_ms;
    int32_t left_ms;
    bool done, ended;
};

static void on_net(struct loop *loop, void *arg)
{
    struct climber *c = arg;

    c->net = (struct net_loop){.node = &c->node, .loop = loop, .image = c->image};
    c->nets[0] = &c->net;
}

static void controller_add(struct climber *c, int32_t id, const char *host, uint16_t port)
{
    const struct endpoint at = {.name = SLICE("CONTROLLER"), .host = SLICE(host), .port = port};
    const struct meta_record r = {.type = RECORD_REGISTER_CONTROLLER,
                                  .register_controller = {.id = id, .endpoints = &at, .n_endpoints = 1}};

    image_replay(c->image, &c->grave, &r);
}

static void begin(struct loop *loop, void *arg)
{
    struct climber *c = arg;

    c->control = loop;
    c->node.io = c->io;
    c->node.heap = io_heap(c->io);
    c->node.id = SELF;
    c->node.reader = loop;
    grave_init(&c->grave, c->node.heap);
    c->image = image_new(&c->grave);
    controller_add(c, LEADER, "10.0.0.1", NW_PORT);
    controller_add(c, OTHER, "10.0.0.1", NW_PORT);
    controller_add(c, DEAD, "10.0.0.1", NW_PORT + 1);
    controller_add(c, SILENT, "10.0.0.1", NW_PORT);
    image_seal(c->image);
    arena_init(&c->arena, c->node.heap, SIZE_MAX);
    c->node.leader_apis = leader_apis_new(&c->node, loop);
    c->uplink = uplink_new(&c->node, loop);
}

static void open_run(struct loop *loop, void *arg)
{
    struct climber *c = arg;

    c->node.net = c->nets;
    c->node.n_net = 1;
    uplink_open(c->uplink, &c->net);
}

static void climber_init(struct climber *c, uint64_t seed, void (*answers)(struct request *r))
{
    *c = (struct climber){.w = nw_new(seed)};
    c->w->run = answers;
    c->io = sim_node(c->w->sim, 2);
    c->node.config = small_config(
        &c->settings, "controller.listener.names=CONTROLLER\ncontroller.socket.timeout.ms=3000\n");
    CHECK(sim_call(c->w->sim, c->io, LOOP_DISK, begin, c));
    CHECK(sim_call(c->w->sim, c->io, LOOP_NET, on_net, c));
    CHECK(sim_call(c->w->sim, c->io, LOOP_DISK, open_run, c));
}

static void leader_run(struct loop *loop, void *arg)
{
    struct climber *c = arg;
    uplink_leader(c->uplink, c->leader);
}

static void leads(struct climber *c, int32_t id)
{
    c->leader = id;
    CHECK(sim_call(c->w->sim, c->io, LOOP_DISK, leader_run, c));
}

static enum err read_answer(struct uplink_call *call)
{
    const struct MetadataResponse *out = call->out;

    return out->controller_id == LIKES ? E_OK : E_NOT_CONTROLLER;
}

static void call_done(struct uplink_call *call)
{
    ((struct climber *)call->arg)->done = true;
}

static void ask_run(struct loop *loop, void *arg)
{
    struct climber *c = arg;

    proto_defaults(&MetadataRequest_type, &c->in);
    c->done = false;
    c->call = (struct uplink_call){.api_key = API_Metadata,
                                   .in = &c->in,
                                   .arena = &c->arena,
                                   .timeout_ms = c->timeout_ms,
                                   .left_ms = &c->left_ms,
                                   .read = read_answer,
                                   .done = call_done,
                                   .arg = c};
    uplink_send(c->uplink, &c->call);
    CHECK(!c->done);
}

static void ask(struct climber *c, int64_t timeout_ms)
{
    c->timeout_ms = timeout_ms;
    CHECK(sim_call(c->w->sim, c->io, LOOP_DISK, ask_run, c));
}

static bool is_done(void *arg)
{
    return ((struct climber *)arg)->done;
}

static bool done_within(struct climber *c, int64_t ms)
{
    return sim_run(c->w->sim, is_done, c, ms * 1000000);
}

static void end_came(struct msg *msg)
{
    container_of(msg, struct climber, ended_msg)->ended = true;
}

static void end_run(struct loop *loop, void *arg)
{
    struct climber *c = arg;

    c->ended_msg.run = end_came;
    leader_apis_end(c->node.leader_apis);
    uplink_end(c->uplink);
    uplink_await_end(c->uplink, &c->ended_msg);
}

static bool is_ended(void *arg)
{
    return ((struct climber *)arg)->ended;
}

static void drop_run(struct loop *loop, void *arg)
{
    struct climber *c = arg;

    uplink_drop(c->uplink);
    leader_apis_drop(c->node.leader_apis);
    image_unref(c->image, &c->grave);
    grave_empty(&c->grave);
    arena_drop(&c->arena);
}

static void climber_end(struct climber *c)
{
    CHECK(sim_call(c->w->sim, c->io, LOOP_DISK, end_run, c));
    CHECK(sim_run(c->w->sim, is_ended, c, INT64_C(1000000000)));
}

static void climber_drop(struct climber *c)
{
    if (!c->ended)
        climber_end(c);
    CHECK(sim_call(c->w->sim, c->io, LOOP_DISK, drop_run, c));
    nw_drop(c->w);
    heap_drop(c->settings.heap);
}

static void yes(struct request *r)
{
    ((struct MetadataResponse *)r->out)->controller_id = LIKES;
    request_reply(r);
}

static void no(struct request *r)
{
    ((struct MetadataResponse *)r->out)->controller_id = -1;
    request_reply(r);
}

/* A call that comes while nobody is known to lead waits for a leader, and is answered by it. */
TEST(uplink, a_call_waits_for_a_leader)
{
    struct climber c;

    climber_init(&c, 1, yes);
    ask(&c, 5000);
    CHECK(!done_within(&c, 1000) && c.w->n_ran == 0);
    leads(&c, LEADER);
    CHECK(done_within(&c, 100));
    CHECK_OK(c.call.err);
    CHECK(c.w->n_ran == 1 && c.call.to == LEADER);
    climber_drop(&c);
}

/* Without a leader it ends when its time is over, neither earlier nor later. */
TEST(uplink, a_call_without_a_leader_ends_in_its_time)
{
    struct climber c;

    climber_init(&c, 2, yes);
    ask(&c, 300);
    CHECK(!done_within(&c, 299));
    CHECK(done_within(&c, 2));
    CHECK(c.call.err == E_REQUEST_TIMED_OUT);
    climber_drop(&c);
}

/* Who says that he isn't the controller is asked again, but a few times a second; another leader at once. */
TEST(uplink, not_controller_is_asked_again_after_a_rest)
{
    struct climber c;

    climber_init(&c, 3, no);
    leads(&c, LEADER);
    ask(&c, 60000);
    CHECK(!done_within(&c, 5000));
    CHECK(c.w->n_ran >= 8 && c.w->n_ran <= 20);
    c.w->run = yes;
    leads(&c, OTHER);
    CHECK(done_within(&c, 100));
    CHECK(!c.call.err && c.call.to == OTHER);
    CHECK(c.left_ms <= 55000 && c.left_ms > 54000); /* the time that is left, not the whole again */
    climber_drop(&c);
}

/* A leader whose process is gone is asked for in vain until another leads. */
TEST(uplink, a_dead_leader_is_left_for_the_next)
{
    struct climber c;

    climber_init(&c, 4, yes);
    leads(&c, DEAD);
    ask(&c, 60000);
    CHECK(!done_within(&c, 2000));
    leads(&c, LEADER);
    CHECK(done_within(&c, 100));
    CHECK_OK(c.call.err);
    climber_drop(&c);
}

/* A former leader that says nothing, as one that is paused, is left after a while for the one that leads now. */
TEST(uplink, a_silent_former_leader_is_left)
{
    struct climber c;

    climber_init(&c, 5, nw_hold);
    leads(&c, SILENT);
    ask(&c, 60000);
    CHECK(!done_within(&c, 1000) && c.w->n_held == 1);
    c.w->run = yes;
    leads(&c, LEADER);
    CHECK(!done_within(&c, UPLINK_PATIENCE_MS - 10));
    CHECK(done_within(&c, 100));
    CHECK(!c.call.err && c.call.to == LEADER);
    climber_drop(&c);
}

/* A leader that stays and is silent is asked again when one try has had its time. */
TEST(uplink, a_silent_leader_is_asked_again)
{
    struct climber c;

    climber_init(&c, 8, nw_hold);
    leads(&c, SILENT);
    ask(&c, 60000);
    CHECK(!done_within(&c, 2990) && c.w->n_held == 1);
    c.w->run = yes;
    CHECK(done_within(&c, 1000));
    CHECK(!c.call.err && c.w->n_ran == 2 && c.left_ms <= 57000 && c.left_ms > 56000);
    climber_drop(&c);
}

/* A node that comes to lead itself asks its own controller. */
TEST(uplink, the_leader_asks_itself)
{
    struct climber c;

    climber_init(&c, 6, yes);
    ask(&c, 60000);
    leads(&c, SELF);
    CHECK(done_within(&c, 10));
    CHECK(c.call.here && c.call.err == E_NOT_CONTROLLER && c.w->n_ran == 0);
    climber_drop(&c);
}

/* Its end is the end of what waits and of what is under way. */
TEST(uplink, an_end_ends_all)
{
    for (int under_way = 0; under_way < 2; under_way++) {
        struct climber c;

        climber_init(&c, 7, nw_hold);
        if (under_way)
            leads(&c, SILENT);
        ask(&c, 60000);
        CHECK(!done_within(&c, 100));
        climber_end(&c);
        CHECK(c.done && c.call.err == E_NOT_CONTROLLER && !c.call.here);
        climber_drop(&c);
    }
}

/* ---- what the controller has of what clients ask for ---- */

struct told {
    struct heap *heap;
    struct arena arena;
    void *out;
};

static void copy_run(struct loop *loop, void *arg)
{
    struct climber *c = arg;
    c->w->loops[0].controller = c->net.controller;
}

static void forget_run(struct loop *loop, void *arg)
{
    struct climber *c = arg;
    c->w->loops[0].controller = (struct api_ranges){.known = false};
}

/* What a broker with a loop as the climber's answers its clients: the world's node is that one for a while. */
static void *ask_as(struct climber *c, struct told *t, int16_t key, int16_t version, const void *in)
{
    void (*versions)(struct request * r) = c->w->versions;
    const struct proto_api *api = proto_api(key);
    struct bytes b;
    struct raw *r;

    nw_run(c->w, 1); /* what is on its way to the climber's loop arrives */
    c->w->versions = NULL;
    CHECK(sim_call(c->w->sim, c->w->io, LOOP_NET, copy_run, c));
    t->heap = heap_new(false);
    arena_init(&t->arena, t->heap, SIZE_MAX);
    bytes_init(&b, t->heap);
    r = raw_dial(c->w, 4);
    frame_add(&b, key, version, 1, in);
    raw_send(r, b.p, b.len);
    bytes_drop(&b);
    nw_run(c->w, 10);
    t->out = proto_new(api->response, &t->arena, 1);
    CHECK_OK(proto_response_body(api, version,
                                 slice_of(arena_copy(&t->arena, raw_answer(r, 0)).p, raw_answer(r, 0).len),
                                 &t->arena, t->out));
    raw_free(r);
    CHECK(sim_call(c->w->sim, c->w->io, LOOP_NET, forget_run, c));
    c->w->versions = versions;
    return t->out;
}

static void told_drop(struct told *t)
{
    arena_drop(&t->arena);
    heap_drop(t->heap);
}

/* Is that API told, with just these versions? max -1: is it left out? */
static bool tells(struct climber *c, int16_t key, int min, int max)
{
    bool is = max < 0;
    const struct ApiVersionsResponse *out;
    struct ApiVersionsRequest in;
    struct told t;

    proto_defaults(&ApiVersionsRequest_type, &in);
    in.client_software_name = in.client_software_version = SLICE("t");
    out = ask_as(c, &t, API_ApiVersions, 4, &in);
    CHECK(out->api_keys.n > 10);
    for (int i = 0; i < out->api_keys.n; i++)
        if (out->api_keys.v[i].api_key == key)
            is = out->api_keys.v[i].min_version == min && out->api_keys.v[i].max_version == max;
    told_drop(&t);
    return is;
}

static bool tells_ours(struct climber *c, int16_t key)
{
    return tells(c, key, handler_find(key)->version_min, handler_find(key)->version_max);
}

/* Newer in DeleteTopics, older in CreateTopics, without DescribeQuorum; AlterConfigs of other versions altogether. */
static void announce_less(struct request *r)
{
    struct ApiVersionsResponse *out = r->out;

    nw_of(r)->n_held++; /* counts the questions */
    PROTO_ARRAY_NEW(&r->arena, ApiVersionsResponse_ApiVersion, out->api_keys, 5);
    out->api_keys.v[0] = (struct ApiVersionsResponse_ApiVersion){.api_key = API_Metadata, .max_version = 13};
    out->api_keys.v[1] = (struct ApiVersionsResponse_ApiVersion){
        .api_key = API_CreateTopics, .min_version = 0, .max_version = 5};
    out->api_keys.v[2] = (struct ApiVersionsResponse_ApiVersion){
        .api_key = API_DeleteTopics, .min_version = 4, .max_version = 99};
    out->api_keys.v[3] = (struct ApiVersionsResponse_ApiVersion){
        .api_key = API_AlterConfigs, .min_version = 50, .max_version = 51};
    out->api_keys.v[4] =
        (struct ApiVersionsResponse_ApiVersion){.api_key = API_Produce, .min_version = 5, .max_version = 6};
    request_reply(r);
}

static void called(struct climber *c)
{
    ask(c, 5000);
    CHECK(done_within(c, 1000));
    CHECK_OK(c->call.err);
}

/* Clients are told forwarded APIs at the versions that the broker and the active controller share, and not at all where they
 * share none; what the broker does itself isn't the controller's matter. It is learned from the connection's own
 * question. */
TEST(uplink, forwarded_apis_are_told_at_shared_versions)
{
    struct climber c;

    climber_init(&c, 9, yes);
    c.w->versions = announce_less;
    leads(&c, LEADER);
    CHECK(tells_ours(&c, API_CreateTopics) && tells_ours(&c, API_DescribeQuorum));
    called(&c);
    called(&c);
    CHECK_EQ(c.w->n_held, 1);
    CHECK(tells(&c, API_CreateTopics, handler_find(API_CreateTopics)->version_min, 5));
    CHECK(tells(&c, API_DeleteTopics, 4, handler_find(API_DeleteTopics)->version_max));
    CHECK(tells(&c, API_AlterConfigs, 0, -1) && tells(&c, API_DescribeQuorum, 0, -1));
    CHECK(tells_ours(&c, API_Produce) && tells_ours(&c, API_Metadata));
    climber_drop(&c);
}

/* What is asked in a version that the active controller hasn't got is answered so, in the answer of its own API. */
TEST(uplink, what_the_controller_lacks_is_refused)
{
    const struct DescribeQuorumResponse *quorum;
    const struct CreateTopicsResponse *created;
    struct CreateTopicsRequest_CreatableTopic topic = {.name = SLICE("t")};
    struct CreateTopicsRequest create;
    struct DescribeQuorumRequest describe;
    struct climber c;
    struct told t;

    climber_init(&c, 11, yes);
    c.w->versions = announce_less;
    leads(&c, LEADER);
    called(&c);
    proto_defaults(&CreateTopicsRequest_type, &create);
    proto_defaults(&DescribeQuorumRequest_type, &describe);
    create.topics.v = &topic;
    create.topics.n = 1;
    create.timeout_ms = 1000;
    for (int16_t version = 6; version <= 7; version++) {
        created = ask_as(&c, &t, API_CreateTopics, version, &create);
        CHECK_EQ(created->topics.n, 1);
        CHECK(slice_eq(created->topics.v[0].name, SLICE("t")));
        CHECK_EQ(created->topics.v[0].error_code, err_wire(E_UNSUPPORTED_VERSION));
        told_drop(&t);
    }
    quorum = ask_as(&c, &t, API_DescribeQuorum, 2, &describe);
    CHECK_EQ(quorum->error_code, err_wire(E_UNSUPPORTED_VERSION));
    told_drop(&t);
    climber_drop(&c);
}

static bool narrow(struct climber *c)
{
    return tells(c, API_CreateTopics, handler_find(API_CreateTopics)->version_min, 5);
}

/* Another leader's versions replace the former one's once they are known, at once where they were before; while nobody
 * leads, nothing changes; where this node leads, its own count. */
TEST(uplink, the_next_leader_s_versions_replace_the_last_one_s)
{
    struct climber c;

    climber_init(&c, 10, yes);
    c.w->versions = announce_less;
    leads(&c, LEADER);
    called(&c);
    CHECK(narrow(&c));
    leads(&c, -1);
    CHECK(narrow(&c));
    c.w->versions = NULL;
    leads(&c, OTHER);
    CHECK(narrow(&c));
    called(&c);
    CHECK(tells_ours(&c, API_CreateTopics) && tells_ours(&c, API_DescribeQuorum));
    leads(&c, LEADER);
    CHECK(narrow(&c));
    leads(&c, SELF);
    CHECK(tells_ours(&c, API_CreateTopics) && tells_ours(&c, API_DescribeQuorum));
    climber_drop(&c);
}
