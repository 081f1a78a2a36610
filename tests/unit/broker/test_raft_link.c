/* The way between voters: whole nodes as voters, and strangers at the controller's listener; test_lone_link.c has a link alone. What processes and a kernel add is in tests/real/quorum.py. */
#include "base/trace.h"
#include "broker/control.h"
#include "broker/link/raft_link.h"
#include "tests/check.h"
#include "tests/sim/client_wire.h"
#include "tests/sim/whole.h"
#include <stdio.h>

#define VOTERS_TWO   "controller.quorum.voters=1@10.0.0.1:9093,2@10.0.0.2:9093"
#define VOTERS_THREE "controller.quorum.voters=1@10.0.0.1:9093,2@10.0.0.2:9093,3@10.0.0.3:9093"
enum { CONTROLLER_PORT = 9093, STRANGER = 8 };
static const int64_t A_MS = 1000000;

static int64_t told(const struct whole *w, enum trace_id id)
{
    return w->io ? (int64_t)trace_count(io_trace(w->io), id) : 0;
}

/* ---- three whole nodes ---- */

struct three {
    struct sim *sim;
    struct whole *v[3];
    int but; /* index of one that doesn't count; -1 */
};

static void three_init(struct three *t, uint64_t seed)
{
    static const char *const sets[] = {VOTERS_THREE, "metadata.log.max.record.bytes.between.snapshots=500"};

    *t = (struct three){.sim = sim_new(seed), .but = -1};
    for (int i = 0; i < 3; i++)
        t->v[i] = whole_new(t->sim, i + 1, 1, sets, 2);
    for (int i = 0; i < 3; i++)
        whole_start(t->v[i]);
}

/* Who leads in the newest epoch that anybody leads in; -1: nobody. */
static int leader(const struct three *t)
{
    int best = -1, epoch = -1;

    for (int i = 0; i < 3; i++) {
        struct quorum_view v = {.leader = -1};

        if (t->v[i]->io && t->v[i]->node->control && i != t->but)
            v = control_quorum(t->v[i]->node->control);
        if (v.leader == i + 1 && v.epoch > epoch) {
            best = i;
            epoch = v.epoch;
        }
    }
    return best;
}

static bool agreed(void *arg)
{
    const struct three *t = arg;
    int l = leader(t);
    struct quorum_view lead, v;

    if (l < 0)
        return false;
    lead = control_quorum(t->v[l]->node->control);
    for (int i = 0; i < 3; i++) {
        if (!t->v[i]->io || i == t->but)
            continue;
        if (!t->v[i]->node->control)
            return false;
        v = control_quorum(t->v[i]->node->control);
        if (v.leader != l + 1 || v.epoch != lead.epoch || v.committed != lead.end)
            return false;
    }
    return true;
}

static bool agree(struct three *t, int64_t ms)
{
    return sim_run(t->sim, agreed, t, ms * A_MS);
}

static bool has_stopped(void *arg)
{
    return ((struct whole *)arg)->stopped;
}

static void whole_ends(struct sim *s, struct whole *w)
{
    whole_stop(w);
    CHECK(sim_run(s, has_stopped, w, 20000 * A_MS));
    (void)sim_run(s, NULL, NULL, 200 * A_MS); /* its last loop */
    CHECK(whole_over(w));
    CHECK_OK(w->why);
}

static void three_drop(struct three *t)
{
    for (int i = 0; i < 3; i++)
        if (t->v[i]->io) {
            whole_ends(t->sim, t->v[i]);
        }
    for (int i = 0; i < 3; i++)
        whole_drop(t->v[i]);
    sim_drop(t->sim);
}

/* Three nodes that know nothing but each other's addresses become one quorum; each ends in order. */
TEST(raft_link, three_nodes_form_a_quorum)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct three t;

        three_init(&t, seed);
        CHECK(agree(&t, 5000));
        CHECK(sim_run(t.sim, whole_ready, t.v[leader(&t)], 5000 * A_MS));
        three_drop(&t);
    }
}

static bool somebody_leads(void *arg)
{
    return leader(arg) >= 0;
}

/* The dead process of a leader is seen by its port: another leads, its barrier committed, as soon as the disks have taken
 * that; no heartbeat is waited for, nor any silence. */
TEST(raft_link, a_killed_leader_is_replaced_at_once)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct three t;

        three_init(&t, seed);
        CHECK(agree(&t, 5000));
        int old = leader(&t);

        whole_crash(t.v[old], SIM_PROCESS);
        CHECK(sim_run(t.sim, somebody_leads, &t, 20 * A_MS));
        CHECK(agree(&t, 300));
        CHECK(leader(&t) != old);
        CHECK_EQ(told(t.v[(old + 1) % 3], TR_quorum_leader_dead) +
                     told(t.v[(old + 2) % 3], TR_quorum_leader_dead),
                 1);
        whole_start(t.v[old]);
        CHECK(agree(&t, 5000) && leader(&t) != old);
        three_drop(&t);
    }
}

/* A voter that has come back is counted on again: it is the one with the lowest id that stands, nobody beside it. */
TEST(raft_link, who_came_back_stands_again)
{
    struct three t;

    three_init(&t, 7);
    CHECK(agree(&t, 5000));
    for (int n = 0; n < 6; n++) {
        int old = leader(&t);

        whole_crash(t.v[old], SIM_PROCESS);
        CHECK(agree(&t, 300));
        CHECK_EQ(leader(&t), old == 0 ? 1 : 0);
        whole_start(t.v[old]);
        CHECK(agree(&t, 5000));
    }
    three_drop(&t);
}

/* A voter whose log ends before the others' begin is brought up by their snapshot, over the same connections. */
TEST(raft_link, a_voter_that_fell_behind_gets_a_snapshot)
{
    struct three t;

    three_init(&t, 6);
    CHECK(agree(&t, 5000));
    whole_crash(t.v[2], SIM_PROCESS);
    CHECK(agree(&t, 5000));
    for (int n = 0; n < 4; n++) { /* who starts again holds no more in memory than what its snapshot lacks */
        int i = n % 2;

        (void)sim_run(t.sim, NULL, NULL, 1000 * A_MS);
        whole_ends(t.sim, t.v[i]);
        whole_start(t.v[i]);
        CHECK(agree(&t, 10000));
    }
    whole_start(t.v[2]);
    CHECK(agree(&t, 10000));
    CHECK_EQ(told(t.v[2], TR_quorum_installed), 1);
    three_drop(&t);
}

/* A paused leader is not told dead; silence replaces it, and awake it follows. */
TEST(raft_link, a_paused_leader_is_not_dead)
{
    struct three t;

    three_init(&t, 3);
    CHECK(agree(&t, 5000));
    t.but = leader(&t);
    sim_pause(t.sim, t.but + 1, true);
    CHECK(agree(&t, 5000));
    for (int i = 0; i < 3; i++)
        CHECK(i == t.but || told(t.v[i], TR_quorum_leader_dead) == 0);
    sim_pause(t.sim, t.but + 1, false);
    t.but = -1;
    CHECK(agree(&t, 5000));
    three_drop(&t);
}

/* One of three stops in order before it has ever loaded. */
TEST(raft_link, a_lone_voter_ends_in_order)
{
    struct three t;

    three_init(&t, 4);
    whole_crash(t.v[1], SIM_PROCESS);
    whole_crash(t.v[2], SIM_PROCESS);
    (void)sim_run(t.sim, NULL, NULL, 3000 * A_MS);
    CHECK_EQ(leader(&t), -1);
    three_drop(&t);
}

/* ---- strangers ---- */

struct stranger {
    struct sim *sim;
    struct whole *whole; /* voter 1 of two; the other never starts */
    struct io *io;
    struct wire wire;
    struct wire_ask ask;
    bool answered;
    uint16_t port; /* 0: the controller's */
};

static void stranger_answered(struct wire_ask *a)
{
    ((struct stranger *)a->arg)->answered = true;
}

static void stranger_begin(struct loop *loop, void *arg)
{
    struct stranger *s = arg;
    struct addr to = sim_addr(s->whole->id, s->port ? s->port : CONTROLLER_PORT);

    wire_init(&s->wire, s->io, loop);
    wire_ask_init(&s->ask, s->io);
    s->ask.done = stranger_answered;
    s->ask.arg = s;
    wire_dial(&s->wire, &to);
}

static bool stranger_open(void *arg)
{
    return ((struct stranger *)arg)->wire.open;
}

static void stranger_comes(struct stranger *s)
{
    s->io = sim_node(s->sim, STRANGER);
    CHECK(sim_call(s->sim, s->io, LOOP_NET, stranger_begin, s));
    CHECK(sim_run(s->sim, stranger_open, s, 1000 * A_MS));
}

static void stranger_init(struct stranger *s, uint64_t seed)
{
    static const char *const sets[] = {VOTERS_TWO};

    *s = (struct stranger){.sim = sim_new(seed)};
    s->whole = whole_new(s->sim, 1, 1, sets, 1);
    whole_start(s->whole);
    (void)sim_run(s->sim, NULL, NULL, 500 * A_MS);
    stranger_comes(s);
}

static void stranger_drop(struct stranger *s)
{
    whole_ends(s->sim, s->whole);
    whole_drop(s->whole);
    sim_crash(s->sim, STRANGER, SIM_PROCESS);
    sim_drop(s->sim);
}

struct stranger_asks {
    struct stranger *s;
    const void *in;
};

static void stranger_ask_run(struct loop *loop, void *arg)
{
    struct stranger_asks *a = arg;

    CHECK(wire_ask(&a->s->wire, &a->s->ask, -1, a->in));
}

static bool stranger_done(void *arg)
{
    return ((struct stranger *)arg)->answered;
}

/* NULL: the connection ended instead. */
static const void *stranger_asks(struct stranger *s, const void *in)
{
    struct stranger_asks a = {.s = s, .in = in};

    s->answered = false;
    CHECK(sim_call(s->sim, s->io, LOOP_NET, stranger_ask_run, &a));
    CHECK(sim_run(s->sim, stranger_done, s, 5000 * A_MS));
    return s->ask.err ? NULL : s->ask.out;
}

struct hello {
    const char *cluster;
    int32_t node, voter;
    uint8_t directory;
};

static int16_t says_hello(struct stranger *s, const struct hello *h)
{
    struct RaftHelloRequest *in = wire_in(&s->ask, API_RaftHello);
    const struct RaftHelloResponse *out;

    in->cluster_id = SLICE(h->cluster);
    in->node_id = h->node;
    in->voter_id = h->voter;
    memset(in->directory_id.b, h->directory, sizeof(in->directory_id.b));
    out = stranger_asks(s, in);
    CHECK(out != NULL);
    CHECK((out->error_code != 0) == (out->error_message.len > 0));
    return out->error_code;
}

static const void *sends(struct stranger *s, struct slice message)
{
    struct RaftRequest *in = wire_in(&s->ask, API_Raft);

    in->message = message;
    return stranger_asks(s, in);
}

static const struct hello good = {"sim-cluster", 2, 1, 7};

/* Each way to be somebody else is refused with its own reason, which the log tells too; nothing else is taken then. */
TEST(raft_link, a_wrong_hello_is_refused)
{
    static const struct {
        struct hello hello;
        enum err err;
    } bad[] = {
        {{"other", 2, 1, 7}, E_INCONSISTENT_CLUSTER_ID},  {{"sim-cluster", 2, 3, 7}, E_INVALID_VOTER_KEY},
        {{"sim-cluster", 1, 1, 7}, E_INVALID_VOTER_KEY},  {{"sim-cluster", 2, 1, 0x11}, E_INVALID_VOTER_KEY},
        {{"sim-cluster", -1, 1, 7}, E_INVALID_VOTER_KEY}, {{"sim-cluster", 2, 1, 0}, E_INVALID_VOTER_KEY},
    };
    struct stranger s;
    int n = sizeof(bad) / sizeof(bad[0]);

    stranger_init(&s, 1);
    for (int i = 0; i < n; i++)
        CHECK_EQ(says_hello(&s, &bad[i].hello), err_wire(bad[i].err));
    CHECK_EQ(told(s.whole, TR_raft_link_refused), n);
    CHECK_EQ(((const struct RaftResponse *)sends(&s, SLICE("x")))->error_code,
             err_wire(E_CLUSTER_AUTHORIZATION_FAILED));
    stranger_drop(&s);
}

/* A controller is of one directory at a time: while it is connected another one isn't that node; when nothing connects it any
 * more, it may come from another. */
TEST(raft_link, a_controller_is_of_one_directory)
{
    struct stranger s;
    struct hello other = good;

    stranger_init(&s, 2);
    other.directory++;
    CHECK_EQ(says_hello(&s, &good), 0);
    CHECK_EQ(says_hello(&s, &good), 0);
    CHECK_EQ(says_hello(&s, &other), err_wire(E_INVALID_VOTER_KEY));
    sim_crash(s.sim, STRANGER, SIM_PROCESS);
    stranger_comes(&s);
    CHECK_EQ(says_hello(&s, &other), 0);
    CHECK_EQ(says_hello(&s, &good), err_wire(E_INVALID_VOTER_KEY));
    stranger_drop(&s);
}

/* The power of a controller's machine fails, and its node comes back with another disk: what is left of the old connection
 * holds it up only as long as the old process may be there. */
TEST(raft_link, halves_of_connections_keep_no_directory)
{
    struct stranger s;
    struct hello other = good;

    stranger_init(&s, 3);
    other.directory++;
    CHECK_EQ(says_hello(&s, &good), 0);
    sim_crash(s.sim, STRANGER, SIM_POWER);
    stranger_comes(&s);
    CHECK_EQ(says_hello(&s, &other), err_wire(E_INVALID_VOTER_KEY));
    (void)sim_run(s.sim, NULL, NULL, 11000 * A_MS);
    CHECK_EQ(says_hello(&s, &other), 0);
    CHECK_EQ(says_hello(&s, &good), err_wire(E_INVALID_VOTER_KEY));
    stranger_drop(&s);
}

/* Any controller of the cluster may say hello, voter or not; but there is a bound to how many. */
TEST(raft_link, controllers_are_known_up_to_a_bound)
{
    struct stranger s;

    stranger_init(&s, 4);
    for (int i = 0; i < RAFT_LINK_PEERS; i++) {
        const struct hello h = {"sim-cluster", 2 + i, -1, (uint8_t)(0x40 + i)};

        CHECK_EQ(says_hello(&s, &h), 0);
    }
    CHECK_EQ(says_hello(&s, &(struct hello){"sim-cluster", 100, 1, 7}), err_wire(E_INVALID_REQUEST));
    CHECK_EQ(says_hello(&s, &(struct hello){"sim-cluster", 5, 1, 7}), 0);
    stranger_drop(&s);
}

/* Who asks whoever listens is told who that is, and where the others are: as they said, by what their connection comes from
 * where they named no host. */
TEST(raft_link, an_answer_tells_where_all_are)
{
    struct stranger s;
    struct RaftHelloRequest *in;
    const struct RaftHelloResponse *out;

    stranger_init(&s, 5);
    for (int i = 0; i < 2; i++) {
        in = wire_in(&s.ask, API_RaftHello);
        in->cluster_id = SLICE("sim-cluster");
        in->node_id = 7;
        in->directory_id = (struct uuid){{7}};
        in->voter_id = -1;
        in->port = 1234;
        out = stranger_asks(&s, in);
        CHECK(out && !out->error_code && out->node_id == 1 && !uuid_is_zero(out->directory_id));
    }
    CHECK_EQ(out->controllers.n, 3);
    CHECK(out->controllers.v[0].node_id == 1 && out->controllers.v[0].port == CONTROLLER_PORT);
    CHECK(out->controllers.v[1].node_id == 2 && slice_eq(out->controllers.v[1].host, SLICE("10.0.0.2")));
    CHECK(out->controllers.v[2].node_id == 7 && out->controllers.v[2].port == 1234);
    CHECK(slice_eq(out->controllers.v[2].host, SLICE("10.0.0.8")));
    stranger_drop(&s);
}

/* What an accepted voter sends is read, or it ends its connection and leaves a row. */
TEST(raft_link, junk_ends_the_connection)
{
    uint8_t junk[300];

    for (size_t len = 0; len < sizeof(junk); len = len * 2 + 1) {
        struct stranger s;

        stranger_init(&s, 10 + len);
        for (size_t i = 0; i < len; i++)
            junk[i] = (uint8_t)(i * 37 + 3);
        CHECK_EQ(says_hello(&s, &good), 0);
        CHECK(sends(&s, slice_of(junk, len)) == NULL);
        CHECK_EQ(told(s.whole, TR_quorum_message_bad), 1);
        stranger_drop(&s);
    }
}

/* Before the quorum has loaded nothing is answered but what lets it load: who asks for else comes again. */
TEST(raft_link, only_controllers_are_served_early)
{
    struct stranger s;
    struct FetchSnapshotRequest *in;
    const struct FetchSnapshotResponse *out;

    stranger_init(&s, 3);
    in = wire_in(&s.ask, API_FetchSnapshot);
    out = stranger_asks(&s, in);
    CHECK(out && out->error_code == err_wire(E_INVALID_REQUEST));
    CHECK(stranger_asks(&s, wire_in(&s.ask, API_DescribeCluster)) == NULL);
    stranger_drop(&s);
}

/* ---- what a quorum says of itself ---- */

static const struct DescribeQuorumResponse *describes(struct stranger *s)
{
    struct DescribeQuorumRequest *in = wire_in(&s->ask, API_DescribeQuorum);
    const void *out;

    PROTO_ARRAY_NEW(&s->ask.arena, DescribeQuorumRequest_TopicData, in->topics, 1);
    in->topics.v[0].topic_name = SLICE("__cluster_metadata");
    PROTO_ARRAY_NEW(&s->ask.arena, DescribeQuorumRequest_PartitionData, in->topics.v[0].partitions, 1);
    out = stranger_asks(s, in);
    CHECK(out != NULL);
    return out;
}

/* The leader tells how far each voter has come, and that it was heard a moment ago although nothing is written; where all
 * listen. Another controller says that it doesn't lead; another broker asks the one that does. */
TEST(raft_link, the_leader_describes_the_quorum)
{
    struct three t;
    struct stranger s;
    const struct DescribeQuorumResponse *out;
    const struct DescribeQuorumResponse_PartitionData *p;

    three_init(&t, 5);
    CHECK(agree(&t, 5000));
    int l = leader(&t);
    s = (struct stranger){.sim = t.sim, .whole = t.v[l]};

    stranger_comes(&s);
    CHECK(sim_run(t.sim, whole_ready, t.v[l], 5000 * A_MS));
    (void)sim_run(t.sim, NULL, NULL, 3000 * A_MS);
    out = describes(&s);
    CHECK_EQ(out->error_code, 0);
    p = &out->topics.v[0].partitions.v[0];
    CHECK(p->leader_id == l + 1 && p->leader_epoch > 0 && p->current_voters.n == 3 && out->nodes.n == 3);
    for (int i = 0; i < 3; i++) {
        const struct DescribeQuorumResponse_ReplicaState *v = &p->current_voters.v[i];
        int64_t ago = sim_wall_ms(t.sim, l + 1) - v->last_fetch_timestamp;

        CHECK(v->replica_id == i + 1 && v->log_end_offset == p->high_watermark);
        CHECK(ago >= 0 && ago < 200 && v->last_caught_up_timestamp == v->last_fetch_timestamp);
        CHECK(out->nodes.v[i].node_id == i + 1 && out->nodes.v[i].listeners.v[0].port == CONTROLLER_PORT);
    }
    wire_ask_drop(&s.ask);
    sim_crash(t.sim, STRANGER, SIM_PROCESS);
    s.whole = t.v[(l + 1) % 3];
    stranger_comes(&s);
    CHECK_EQ(describes(&s)->error_code, err_wire(E_NOT_LEADER_OR_FOLLOWER));
    sim_crash(t.sim, STRANGER, SIM_PROCESS);
    s.port = WHOLE_PORT;
    CHECK(sim_run(t.sim, whole_ready, s.whole, 5000 * A_MS));
    stranger_comes(&s);
    out = describes(&s);
    CHECK(!out->error_code && out->topics.v[0].partitions.v[0].leader_id == l + 1);
    sim_crash(t.sim, STRANGER, SIM_PROCESS);
    three_drop(&t);
}

/* The controller's listener tells who the controllers are and which one leads, on each of them, and doesn't pass for a
 * broker's. */
TEST(raft_link, each_controller_tells_the_active_one)
{
    struct three t;
    struct stranger s;

    three_init(&t, 8);
    CHECK(agree(&t, 5000));
    int l = leader(&t);

    for (int i = 0; i < 3; i++) {
        struct DescribeClusterRequest *in;
        const struct DescribeClusterResponse *out;

        CHECK(sim_run(t.sim, whole_ready, t.v[i], 5000 * A_MS));
        s = (struct stranger){.sim = t.sim, .whole = t.v[i]};
        stranger_comes(&s);
        in = wire_in(&s.ask, API_DescribeCluster);
        in->endpoint_type = 2;
        out = stranger_asks(&s, in);
        CHECK(out && !out->error_code && out->endpoint_type == 2 && out->controller_id == l + 1);
        CHECK_EQ(out->brokers.n, 3);
        for (int k = 0; k < 3; k++)
            CHECK(out->brokers.v[k].broker_id == k + 1 && out->brokers.v[k].port == CONTROLLER_PORT);
        out = stranger_asks(&s, wire_in(&s.ask, API_DescribeCluster));
        CHECK(out && out->error_code == err_wire(E_MISMATCHED_ENDPOINT_TYPE));
        sim_crash(t.sim, STRANGER, SIM_PROCESS);
    }
    three_drop(&t);
}

/* A leader that is cut off answers nothing, not even what needs no record: a majority may have another by now. */
TEST(raft_link, a_leader_that_is_cut_off_says_nothing)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct three t;
        struct stranger s;

        three_init(&t, seed);
        CHECK(agree(&t, 5000));
        t.but = leader(&t);
        s = (struct stranger){.sim = t.sim, .whole = t.v[t.but]};
        stranger_comes(&s);
        CHECK(sim_run(t.sim, whole_ready, t.v[t.but], 5000 * A_MS));
        CHECK_EQ(describes(&s)->error_code, 0);
        for (int i = 0; i < 3; i++) {
            sim_partition(t.sim, t.but + 1, i + 1, i != t.but);
            sim_partition(t.sim, i + 1, t.but + 1, i != t.but);
        }
        CHECK_EQ(control_quorum(t.v[t.but]->node->control).leader, t.but + 1);
        CHECK_EQ(describes(&s)->error_code, err_wire(E_NOT_LEADER_OR_FOLLOWER));
        CHECK(agree(&t, 5000));
        sim_heal(t.sim);
        t.but = -1;
        CHECK(agree(&t, 10000));
        sim_crash(t.sim, STRANGER, SIM_PROCESS);
        three_drop(&t);
    }
}
