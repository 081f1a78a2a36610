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
    c->uplink = uplink_new(&c->node, loop);
}

static void open_run(struct loop *loop, void *arg)
{
    struct climber *c = arg;
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
