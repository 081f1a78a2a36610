/* The way between voters: a link by itself, which is voter 2 and whose quorum is this test, and a whole node that it dials. */
#include "base/trace.h"
#include "broker/control.h"
#include "broker/link/raft_link.h"
#include "config_world.h"
#include "proto/uuid.h"
#include "tests/check.h"
#include "tests/sim/whole.h"
#include <stdio.h>

#define VOTERS_TWO "controller.quorum.voters=1@10.0.0.1:9093,2@10.0.0.2:9093"
#define PIECES     "controller.quorum.fetch.snapshot.max.bytes=100"
enum { SECOND = 2 };
static const int64_t A_MS = 1000000;

struct lone {
    struct sim *sim;
    struct whole *whole; /* voter 1 */
    struct io *io;
    struct node node;
    struct net_loop net, *nets[1];
    struct small_world settings;
    struct loop *control;
    struct raft_link *link;
    struct msg stopped_msg;
    int n_hellos, n_alive, n_dead, n_pieces, n_taken;
    size_t message;
    struct quorum_checkpoint id;
    int64_t at, size;
    uint64_t sum;
    enum err err;
    bool stopped;
};

static bool lone_came(void *arg, int32_t node, struct slice bytes)
{
    return true;
}

static void lone_hello(void *arg, int32_t node, const struct uuid *directory_id)
{
    ((struct lone *)arg)->n_hellos += node == 1 && !uuid_is_zero(*directory_id);
}

static void lone_dead(void *arg, int32_t node)
{
    ((struct lone *)arg)->n_dead += node == 1;
}

static void lone_alive(void *arg, int32_t node)
{
    ((struct lone *)arg)->n_alive += node == 1;
}

static void lone_piece(void *arg, struct quorum_checkpoint id, int64_t at, int64_t size, struct slice bytes,
                       enum err err)
{
    struct lone *l = arg;

    l->n_pieces++;
    l->err = err;
    if (err)
        return;
    CHECK_EQ(at, l->at);
    l->size = size;
    l->at += (int64_t)bytes.len;
    if (l->at < size)
        raft_link_ask(l->link, 1, id, l->at);
}

static void lone_net(struct loop *loop, void *arg)
{
    struct lone *l = arg;
    l->net = (struct net_loop){.node = &l->node, .loop = loop};
}

static void lone_begin(struct loop *loop, void *arg)
{
    struct lone *l = arg;
    struct raft_link_settings settings = {.directory_id = {{9, 9}}};
    const struct raft_link_ops ops = {.hello = lone_hello,
                                      .came = lone_came,
                                      .dead = lone_dead,
                                      .alive = lone_alive,
                                      .piece = lone_piece,
                                      .arg = l};

    settings.voters = config_voters(l->node.config, &settings.n_voters);
    l->control = loop;
    l->link = raft_link_start(&l->node, loop, &settings, &ops);
}

static void lone_init_of(struct lone *l, uint64_t seed, const char *const *sets, int n_sets,
                         const char *const *own, int n_own)
{
    *l = (struct lone){.sim = sim_new(seed)};
    l->whole = whole_new(l->sim, 1, 1, sets, n_sets);
    l->io = sim_node(l->sim, SECOND);
    l->nets[0] = &l->net;
    l->node = (struct node){.io = l->io, .heap = io_heap(l->io), .id = SECOND, .net = l->nets, .n_net = 1};
    snprintf(l->node.cluster_id, sizeof(l->node.cluster_id), "sim-cluster");
    small_world_init(&l->settings);
    l->node.config = small_load_bare(&l->settings, NULL, own, n_own);
    if (!l->node.config)
        test_fail(__FILE__, __LINE__, "%.*s", (int)l->settings.why.len, (char *)l->settings.why.p);
    CHECK(sim_call(l->sim, l->io, LOOP_NET, lone_net, l));
    CHECK(sim_call(l->sim, l->io, LOOP_DISK, lone_begin, l));
}

#define LONE_ROLES                                                                                           \
    "process.roles=controller", "node.id=2", "controller.listener.names=CONTROLLER",                         \
        "listeners=CONTROLLER://:9093", PIECES

static void lone_init(struct lone *l, uint64_t seed, const char *const *sets, int n_sets)
{
    static const char *const own[] = {LONE_ROLES, VOTERS_TWO};

    lone_init_of(l, seed, sets, n_sets, own, 6);
}

static void lone_stopped(struct msg *msg)
{
    container_of(msg, struct lone, stopped_msg)->stopped = true;
}

static void lone_end(struct loop *loop, void *arg)
{
    struct lone *l = arg;

    l->stopped_msg.run = lone_stopped;
    raft_link_stop(l->link, &l->stopped_msg);
}

static bool lone_over(void *arg)
{
    return ((struct lone *)arg)->stopped;
}

static void lone_drop(struct lone *l)
{
    CHECK(sim_call(l->sim, l->io, LOOP_DISK, lone_end, l));
    CHECK(sim_run(l->sim, lone_over, l, 1000 * A_MS));
    whole_crash(l->whole, SIM_PROCESS);
    whole_drop(l->whole);
    heap_drop(l->settings.heap);
    sim_crash(l->sim, SECOND, SIM_PROCESS);
    sim_drop(l->sim);
}

static bool lone_up(void *arg)
{
    return ((struct lone *)arg)->n_alive > 0;
}

static void lone_wait(struct lone *l)
{
    l->n_alive = 0;
    CHECK(sim_run(l->sim, lone_up, l, 20000 * A_MS));
}

/* As many messages as it takes, in one turn. */
static void lone_sends(struct loop *loop, void *arg)
{
    struct lone *l = arg;
    struct slice bytes = slice_of(heap_alloc(l->node.heap, l->message), l->message);

    l->n_taken = 0;
    while (l->n_taken < 2 * RAFT_LINK_MESSAGES && raft_link_send(l->link, 1, bytes))
        l->n_taken++;
    CHECK(!raft_link_send(l->link, 5, bytes));
    heap_free(l->node.heap, bytes.p);
}

static int lone_takes(struct lone *l, size_t message)
{
    l->message = message;
    CHECK(sim_call(l->sim, l->io, LOOP_DISK, lone_sends, l));
    return l->n_taken;
}

static const char *const two[] = {VOTERS_TWO};

/* What waits for one voter is bounded, in bytes and in messages, but for a single one; what was lost with its connection
 * makes room again. */
TEST(lone_link, what_waits_is_bounded)
{
    struct lone l;

    lone_init(&l, 1, two, 1);
    CHECK_EQ(lone_takes(&l, 10), 0);
    whole_start(l.whole);
    lone_wait(&l);
    CHECK_EQ(lone_takes(&l, 10),
             RAFT_LINK_MESSAGES); /* they don't read: the connection ends, and comes again */
    lone_wait(&l);
    CHECK_EQ(lone_takes(&l, 64 << 10), RAFT_LINK_BYTES / (64 << 10));
    lone_wait(&l);
    CHECK_EQ(lone_takes(&l, RAFT_LINK_BYTES + 1), 1);
    lone_drop(&l);
}

static void lone_learns(struct loop *loop, void *arg)
{
    static const int32_t voters[] = {1, SECOND};

    raft_link_voters(((struct lone *)arg)->link, voters, 2);
}

/* A voter that no setting names by its id is found by asking a bootstrap server; its directory is told
 * before anything of it comes, and again when the voters have changed. */
TEST(lone_link, a_voter_is_found_by_an_address)
{
    static const char *const own[] = {LONE_ROLES, "controller.quorum.bootstrap.servers=10.0.0.1:9093"};
    struct lone l;

    lone_init_of(&l, 3, two, 1, own, 6);
    whole_start(l.whole);
    (void)sim_run(l.sim, NULL, NULL, 1000 * A_MS);
    CHECK_EQ(l.n_alive, 0);
    CHECK(sim_call(l.sim, l.io, LOOP_DISK, lone_learns, &l));
    lone_wait(&l);
    CHECK_EQ(l.n_hellos, 1);
    CHECK_EQ(lone_takes(&l, RAFT_LINK_BYTES + 1), 1);
    CHECK(sim_call(l.sim, l.io, LOOP_DISK, lone_learns, &l));
    CHECK_EQ(l.n_hellos, 2);
    lone_drop(&l);
}

/* A voter is dead when its port refuses: once, also if it wasn't there at all, and again after it had come back. A machine
 * that says nothing is not. */
TEST(lone_link, dead_is_who_refuses)
{
    struct lone l;

    lone_init(&l, 2, two, 1);
    (void)sim_run(l.sim, NULL, NULL, 5000 * A_MS);
    int before = l.n_dead; /* its machine isn't on */

    whole_start(l.whole);
    lone_wait(&l);
    whole_crash(l.whole, SIM_PROCESS);
    (void)sim_run(l.sim, NULL, NULL, 20 * A_MS);
    CHECK_EQ(l.n_dead, before + 1);
    (void)sim_run(l.sim, NULL, NULL, 5000 * A_MS);
    CHECK_EQ(l.n_dead, before + 1);
    whole_start(l.whole);
    lone_wait(&l);
    sim_pause(l.sim, 1, true);
    (void)sim_run(l.sim, NULL, NULL, 10000 * A_MS);
    CHECK_EQ(l.n_dead, before + 1);
    sim_pause(l.sim, 1, false);
    whole_crash(l.whole, SIM_PROCESS);
    (void)sim_run(l.sim, NULL, NULL, 3000 * A_MS);
    CHECK_EQ(l.n_dead, before + 2);
    lone_drop(&l);
}

static void lone_asks(struct loop *loop, void *arg)
{
    struct lone *l = arg;

    raft_link_ask(l->link, 1, l->id, l->at);
}

static bool lone_answered(void *arg)
{
    const struct lone *l = arg;

    return l->n_pieces > 0 && (l->err || l->at == l->size);
}

static enum err lone_fetches(struct lone *l, int64_t at)
{
    l->n_pieces = 0;
    l->at = at;
    l->size = -1;
    CHECK(sim_call(l->sim, l->io, LOOP_DISK, lone_asks, l));
    CHECK(sim_run(l->sim, lone_answered, l, 40000 * A_MS));
    return l->err;
}

static bool has_checkpoint(void *arg)
{
    const struct lone *l = arg;

    return l->whole->ready && control_quorum(l->whole->node->control).snapshot > 0;
}

/* A checkpoint comes in pieces, by the controller's listener; what isn't there is said, and so is a node that is gone. */
TEST(lone_link, a_checkpoint_is_fetched_in_pieces)
{
    static const char *const sets[] = {"metadata.log.max.record.bytes.between.snapshots=1"};
    struct lone l;
    struct quorum_view v;

    lone_init(&l, 3, sets, 1);
    whole_start(l.whole);
    CHECK(sim_run(l.sim, has_checkpoint, &l, 20000 * A_MS));
    (void)sim_run(l.sim, NULL, NULL, 1000 * A_MS);
    v = control_quorum(l.whole->node->control);
    l.id = (struct quorum_checkpoint){v.snapshot, v.epoch};
    CHECK_OK(lone_fetches(&l, 0));
    CHECK(l.size > 300 && l.n_pieces == (l.size + 99) / 100);
    CHECK_EQ(lone_fetches(&l, l.size), E_POSITION_OUT_OF_RANGE);
    l.id.offset++;
    CHECK_EQ(lone_fetches(&l, 0), E_SNAPSHOT_NOT_FOUND);
    whole_crash(l.whole, SIM_PROCESS);
    CHECK(lone_fetches(&l, 0) != E_OK && l.err != E_SNAPSHOT_NOT_FOUND);
    lone_drop(&l);
}
