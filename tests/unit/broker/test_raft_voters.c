/* Voters that come and go, by the APIs: whole nodes of which the first began the quorum alone, and a client of any broker. */
#include "base/trace.h"
#include "broker/control.h"
#include "broker/link/raft_link.h"
#include "quorum/formatted.h"
#include "tests/check.h"
#include "tests/sim/client_wire.h"
#include "tests/sim/whole.h"
#include <stdio.h>

enum { N = 3, CLIENT = 9 };
static const int64_t A_MS = 1000000;

struct voting {
    struct sim *sim;
    struct whole *v[N];
    const char *extra; /* a setting of all; voters of the first alone */
    struct io *client;
    struct wire wire;
    struct wire_ask ask;
    struct addr to;
    const void *in;
    bool answered;
};

static struct uuid directory_of(int id)
{
    struct uuid u;

    memset(u.b, 0x11, sizeof(u.b)); /* whole_dir() */
    u.b[0] = (uint8_t)(u.b[0] + id - 1);
    return u;
}

static void standalone(struct loop *loop, void *arg)
{
    struct voting *w = arg;
    struct formatted f = {.n = 1};

    f.v[0].node = 1;
    f.v[0].directory_id = directory_of(1);
    snprintf(f.v[0].host, sizeof(f.v[0].host), "10.0.0.1");
    f.v[0].port = WHOLE_CONTROL_PORT;
    CHECK_OK(formatted_write(w->client, "/data/0", "CONTROLLER", &f));
}

static void voting_init_at(struct voting *w, uint64_t seed, const char *servers, const char *extra)
{
    *w = (struct voting){.sim = sim_new(seed), .extra = extra};
    for (int i = 0; i < N; i++) {
        char listeners[100];
        const char *sets[] = {"controller.quorum.voters=", servers, listeners,
                              extra && (i == 0 || !strstr(extra, "voters=")) ? extra : "num.io.threads=2"};

        snprintf(listeners, sizeof(listeners), "listeners=PLAINTEXT://:9092,CONTROLLER://10.0.0.%d:9093",
                 i + 1);
        w->v[i] = whole_new(w->sim, i + 1, 1, sets, 4);
    }
    w->client = sim_node(w->sim, 1);
    CHECK(sim_call(w->sim, w->client, LOOP_DISK, standalone, w));
    sim_exit(w->sim, 1);
    w->client = sim_node(w->sim, CLIENT);
}

static void voting_init(struct voting *w, uint64_t seed, const char *extra)
{
    voting_init_at(w, seed, "controller.quorum.bootstrap.servers=10.0.0.1:9093", extra);
}

static void start(struct voting *w, int id)
{
    whole_start(w->v[id - 1]);
    CHECK(sim_run(w->sim, whole_ready, w->v[id - 1], 20000 * A_MS));
}

static void voting_drop(struct voting *w)
{
    for (int i = 0; i < N; i++)
        whole_crash(w->v[i], SIM_PROCESS);
    for (int i = 0; i < N; i++)
        whole_drop(w->v[i]);
    sim_crash(w->sim, CLIENT, SIM_PROCESS);
    sim_drop(w->sim);
}

static int64_t told(const struct whole *w, enum trace_id id)
{
    return (int64_t)trace_count(io_trace(w->io), id);
}

/* ---- questions to a node ---- */

static void ask_done(struct wire_ask *a)
{
    ((struct voting *)a->arg)->answered = true;
}

static void ask_begin(struct loop *loop, void *arg)
{
    struct voting *w = arg;

    wire_init(&w->wire, w->client, loop);
    wire_ask_init(&w->ask, w->client);
    w->wire.patience = w->ask.patience = 60000 * A_MS;
    w->ask.done = ask_done;
    w->ask.arg = w;
    wire_dial(&w->wire, &w->to);
}

static bool ask_open(void *arg)
{
    return ((struct voting *)arg)->wire.open;
}

static void dial(struct voting *w, int id, uint16_t port)
{
    if (sim_up(w->sim, CLIENT))
        sim_crash(w->sim, CLIENT, SIM_PROCESS);
    w->client = sim_node(w->sim, CLIENT);
    w->to = sim_addr(id, port);
    CHECK(sim_call(w->sim, w->client, LOOP_NET, ask_begin, w));
    CHECK(sim_run(w->sim, ask_open, w, 1000 * A_MS));
}

static void ask_run(struct loop *loop, void *arg)
{
    struct voting *w = arg;

    CHECK(wire_ask(&w->wire, &w->ask, -1, w->in));
}

static bool ask_over(void *arg)
{
    return ((struct voting *)arg)->answered;
}

static const void *asks(struct voting *w, const void *in)
{
    w->answered = false;
    w->in = in;
    CHECK(sim_call(w->sim, w->client, LOOP_NET, ask_run, w));
    CHECK(sim_run(w->sim, ask_over, w, 60000 * A_MS));
    CHECK_OK(w->ask.err);
    return w->ask.out;
}

static struct AddRaftVoterRequest *add_in(struct voting *w, int id)
{
    struct AddRaftVoterRequest *in = wire_in(&w->ask, API_AddRaftVoter);

    in->cluster_id = SLICE("sim-cluster");
    in->voter_id = id;
    in->voter_directory_id = directory_of(id);
    PROTO_ARRAY_NEW(&w->ask.arena, AddRaftVoterRequest_Listener, in->listeners, 1);
    in->listeners.v[0].name = SLICE("CONTROLLER");
    in->listeners.v[0].host = SLICE(arena_printf(&w->ask.arena, "10.0.0.%d", id));
    in->listeners.v[0].port = WHOLE_CONTROL_PORT;
    return in;
}

static int added(struct voting *w, const struct AddRaftVoterRequest *in)
{
    const struct AddRaftVoterResponse *out = asks(w, in);

    CHECK((out->error_code != 0) == (out->error_message.len > 0));
    return out->error_code;
}

static int removed(struct voting *w, int id, struct uuid directory_id)
{
    struct RemoveRaftVoterRequest *in = wire_in(&w->ask, API_RemoveRaftVoter);
    const struct RemoveRaftVoterResponse *out;

    in->cluster_id = SLICE("sim-cluster");
    in->voter_id = id;
    in->voter_directory_id = directory_id;
    out = asks(w, in);
    CHECK((out->error_code != 0) == (out->error_message.len > 0));
    return out->error_code;
}

/* ---- who votes, as a node has it ---- */

struct expects {
    struct voting *w;
    int at, n_voters;
    bool observes;
};

static bool as_expected(void *arg)
{
    const struct expects *e = arg;
    const struct node *node = e->w->v[e->at - 1]->node;
    struct quorum_view v;

    if (!node || !node->control)
        return false;
    v = control_quorum(node->control);
    return v.n_voters == e->n_voters && v.observes == e->observes && v.leader > 0;
}

static bool becomes(struct voting *w, int at, int n_voters, bool observes)
{
    struct expects e = {w, at, n_voters, observes};

    return sim_run(w->sim, as_expected, &e, 20000 * A_MS);
}

/* From one controller to three, asked of any broker, without a restart of any; the active one is removed while it leads, its
 * client is answered, and it stays removed over a restart. */
TEST(raft_voters, a_quorum_grows_and_its_leader_goes)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct voting w;

        voting_init(&w, seed, NULL);
        start(&w, 1);
        start(&w, 2);
        start(&w, 3);
        CHECK(becomes(&w, 2, 1, true));
        dial(&w, 1, WHOLE_PORT);
        CHECK_EQ(added(&w, add_in(&w, 2)), 0);
        CHECK_EQ(added(&w, add_in(&w, 2)), err_wire(E_DUPLICATE_VOTER));
        CHECK(becomes(&w, 2, 2, false));
        dial(&w, 2, WHOLE_PORT);
        CHECK_EQ(added(&w, add_in(&w, 3)), 0);
        for (int id = 1; id <= N; id++)
            CHECK(becomes(&w, id, 3, false));
        CHECK_EQ(removed(&w, 1, directory_of(2)), err_wire(E_VOTER_NOT_FOUND));
        CHECK_EQ(removed(&w, 1, directory_of(1)), 0);
        CHECK(becomes(&w, 1, 2, true) && becomes(&w, 3, 2, false));
        CHECK(told(w.v[0], TR_quorum_removed) == 1 && w.v[0]->ready);
        whole_crash(w.v[0], SIM_POWER);
        start(&w, 1);
        CHECK(becomes(&w, 1, 2, true));
        voting_drop(&w);
    }
}

/* ---- while a node's copy of the log rests ---- */

static void topic_made(struct voting *w, const char *name)
{
    struct CreateTopicsRequest *in = wire_in(&w->ask, API_CreateTopics);
    const struct CreateTopicsResponse *out;

    in->timeout_ms = 10000;
    PROTO_ARRAY_NEW(&w->ask.arena, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    in->topics.v[0].name = SLICE(name);
    in->topics.v[0].num_partitions = in->topics.v[0].replication_factor = 1;
    out = asks(w, in);
    CHECK_EQ(out->topics.v[0].error_code, 0);
}

static bool has_rested(void *arg)
{
    return told(arg, TR_control_rests) > 0;
}

/* The metadata log of node id alone breaks; asked of node 2. */
static void breaks(struct voting *w, int id)
{
    dial(w, 2, WHOLE_PORT);
    sim_disk_break(w->sim, id, "/data/0/__cluster_metadata-0");
    topic_made(w, "t");
    CHECK(sim_run(w->sim, has_rested, w->v[id - 1], 5000 * A_MS));
}

/* A voter that is removed while it rests, one that led or one that followed, learns it when its disk is back: it follows, and
 * votes again when it is added again. */
TEST(raft_voters, one_who_rests_is_removed)
{
    for (uint64_t seed = 21; seed <= 24; seed++) {
        struct voting w;
        int id = seed % 2 ? 3 : 1;

        voting_init(&w, seed, NULL);
        for (int i = 1; i <= N; i++)
            start(&w, i);
        dial(&w, 1, WHOLE_PORT);
        CHECK_EQ(added(&w, add_in(&w, 2)), 0);
        CHECK_EQ(added(&w, add_in(&w, 3)), 0);
        CHECK(becomes(&w, 3, 3, false));
        breaks(&w, id);
        CHECK_EQ(removed(&w, id, directory_of(id)), 0);
        CHECK(becomes(&w, 2, 2, false));
        (void)sim_run(w.sim, NULL, NULL, 3000 * A_MS);
        CHECK(told(w.v[id - 1], TR_control_back) == 0 && w.v[id - 1]->ready);
        sim_disk_break(w.sim, id, NULL);
        CHECK(becomes(&w, id, 2, true));
        CHECK_EQ(added(&w, add_in(&w, id)), 0);
        CHECK(becomes(&w, id, 3, false) && w.v[id - 1]->ready);
        voting_drop(&w);
    }
}

/* One that rests has caught up with nothing, though it follows in memory: it isn't made a voter, which the quorum would have to
 * wait for. */
TEST(raft_voters, one_who_rests_is_not_added)
{
    struct voting w;
    struct AddRaftVoterRequest *in;

    voting_init(&w, 25, NULL);
    for (int i = 1; i <= N; i++)
        start(&w, i);
    CHECK(becomes(&w, 3, 1, true));
    breaks(&w, 3);
    in = add_in(&w, 3);
    in->timeout_ms = 3000;
    CHECK_EQ(added(&w, in), err_wire(E_REQUEST_TIMED_OUT));
    CHECK(becomes(&w, 1, 1, false));
    topic_made(&w, "t2");
    sim_disk_break(w.sim, 3, NULL);
    CHECK(becomes(&w, 3, 1, true));
    CHECK_EQ(added(&w, add_in(&w, 3)), 0);
    CHECK(becomes(&w, 3, 2, false));
    voting_drop(&w);
}

/* Each thing that is wrong with a request has its code; where several controllers are, the one that doesn't lead says so. */
TEST(raft_voters, what_is_wrong_is_said)
{
    struct voting w;
    struct AddRaftVoterRequest *in;

    voting_init(&w, 5, NULL);
    start(&w, 1);
    dial(&w, 1, WHOLE_CONTROL_PORT);
    in = add_in(&w, 2);
    in->cluster_id = SLICE("another");
    CHECK_EQ(added(&w, in), err_wire(E_INCONSISTENT_CLUSTER_ID));
    in = add_in(&w, 2);
    in->voter_directory_id = (struct uuid){{0}};
    CHECK_EQ(added(&w, in), err_wire(E_INVALID_REQUEST));
    in = add_in(&w, 2);
    in->listeners.v[0].name = SLICE("OTHER");
    CHECK_EQ(added(&w, in), err_wire(E_INVALID_REQUEST));
    CHECK_EQ(removed(&w, 1, directory_of(1)), err_wire(E_INVALID_REQUEST)); /* nobody would be left */
    CHECK_EQ(removed(&w, 2, directory_of(2)), err_wire(E_VOTER_NOT_FOUND));
    in = add_in(&w, 2); /* nobody runs there: it can't catch up */
    CHECK_EQ(added(&w, in), err_wire(E_REQUEST_TIMED_OUT));
    CHECK(becomes(&w, 1, 1, false));
    start(&w, 2);
    dial(&w, 2, WHOLE_CONTROL_PORT);
    CHECK_EQ(added(&w, add_in(&w, 2)), err_wire(E_NOT_LEADER_OR_FOLLOWER));
    dial(&w, 2, WHOLE_PORT);
    in = add_in(&w, 2);
    in->ack_when_committed = false; /* it has begun: the rest is seen */
    CHECK_EQ(added(&w, in), 0);
    CHECK(becomes(&w, 2, 2, false));
    voting_drop(&w);
}

/* A controller that is to join by itself becomes a voter, in the place of the directory that its node lost; one that was
 * removed doesn't come back by itself, and does when it is added. */
TEST(raft_voters, who_joins_by_itself)
{
    struct voting w;

    voting_init(&w, 7, "controller.quorum.auto.join.enable=true");
    start(&w, 1);
    start(&w, 2);
    CHECK(becomes(&w, 2, 2, false));
    start(&w, 3);
    CHECK(becomes(&w, 3, 3, false));
    whole_crash(w.v[2], SIM_POWER);
    whole_new_disk(w.v[2]);
    start(&w, 3);
    CHECK(becomes(&w, 3, 3, false));
    CHECK(told(w.v[2], TR_quorum_joins) >= 2);
    dial(&w, 1, WHOLE_PORT);
    CHECK_EQ(removed(&w, 2, directory_of(2)), 0);
    CHECK(becomes(&w, 2, 2, true));
    whole_crash(w.v[1], SIM_PROCESS);
    start(&w, 2);
    (void)sim_run(w.sim, NULL, NULL, 10000 * A_MS);
    CHECK(becomes(&w, 2, 2, true) && told(w.v[1], TR_quorum_joins) == 0);
    CHECK_EQ(added(&w, add_in(&w, 2)), 0);
    CHECK(becomes(&w, 2, 3, false));
    voting_drop(&w);
}

/* Where the settings say who votes, kraft.version is 0 and nobody is added or removed. */
TEST(raft_voters, fixed_voters_stay)
{
    struct voting w;

    voting_init(&w, 9, "controller.quorum.voters=1@10.0.0.1:9093");
    start(&w, 1);
    dial(&w, 1, WHOLE_PORT);
    CHECK_EQ(added(&w, add_in(&w, 2)), err_wire(E_UNSUPPORTED_VERSION));
    CHECK_EQ(removed(&w, 1, directory_of(1)), err_wire(E_UNSUPPORTED_VERSION));
    CHECK(becomes(&w, 1, 1, false));
    voting_drop(&w);
}

/* ---- kraft.version, with other features in one request ---- */

static struct UpdateFeaturesRequest *levels_in(struct voting *w)
{
    struct UpdateFeaturesRequest *in = wire_in(&w->ask, API_UpdateFeatures);

    in->timeout_ms = 10000;
    PROTO_ARRAY_NEW(&w->ask.arena, UpdateFeaturesRequest_FeatureUpdateKey, in->feature_updates, 2);
    in->feature_updates.v[0].feature = SLICE(FEATURE_KRAFT);
    in->feature_updates.v[1].feature = SLICE(FEATURE_ELR);
    in->feature_updates.v[0].max_version_level = in->feature_updates.v[1].max_version_level = 1;
    in->feature_updates.v[0].upgrade_type = in->feature_updates.v[1].upgrade_type = 1;
    return in;
}

static bool kraft_raised(const struct voting *w)
{
    return control_quorum(w->v[0]->node->control).kraft_version > 0;
}

static bool elr_raised(const struct voting *w)
{
    return image_feature(control_image(w->v[0]->node->control), FEATURE_ELR) > 0;
}

static bool both_or_none(void *arg)
{
    return kraft_raised(arg) == elr_raised(arg);
}

/* Whenever the controller that raises it dies, both levels hold soon after its restart, or neither does. */
TEST(raft_voters, levels_rise_together)
{
    int none = 0, both = 0;

    for (int at = 0; at < 200 && !both; at++) {
        struct voting w;

        voting_init(&w, 40, "controller.quorum.voters=1@10.0.0.1:9093");
        start(&w, 1);
        dial(&w, 1, WHOLE_PORT);
        w.answered = false;
        w.in = levels_in(&w);
        CHECK(sim_call(w.sim, w.client, LOOP_NET, ask_run, &w));
        (void)sim_run(w.sim, NULL, NULL, at * A_MS / 10);
        CHECK(!w.answered || (kraft_raised(&w) && elr_raised(&w)));
        both += w.answered;
        none += !elr_raised(&w) && !kraft_raised(&w);
        whole_crash(w.v[0], SIM_POWER);
        start(&w, 1);
        CHECK(sim_run(w.sim, both_or_none, &w, 1000 * A_MS));
        (void)sim_run(w.sim, NULL, NULL, 1000 * A_MS);
        CHECK(both_or_none(&w) && (!both || kraft_raised(&w)));
        voting_drop(&w);
    }
    CHECK(none > 0 && both > 0);
}

static bool image_raised(void *arg)
{
    const struct voting *w = arg;

    return image_feature(control_image(w->v[1]->node->control), FEATURE_KRAFT) > 0;
}

/* Who is answered by a broker that kraft.version was raised finds it there, though that broker follows from outside of the quorum,
 * and its disk hangs between the record of it and the configuration. */
TEST(raft_voters, a_raised_level_is_shown_by_who_says_so)
{
    for (uint64_t seed = 41; seed <= 44; seed++) {
        struct UpdateFeaturesRequest *in;
        struct voting w;

        voting_init(&w, seed, "controller.quorum.voters=1@10.0.0.1:9093");
        start(&w, 1);
        start(&w, 2);
        CHECK(becomes(&w, 2, 1, true));
        dial(&w, 2, WHOLE_PORT);
        in = levels_in(&w);
        in->feature_updates.n = 1;
        w.answered = false;
        w.in = in;
        CHECK(sim_call(w.sim, w.client, LOOP_NET, ask_run, &w));
        CHECK(sim_run(w.sim, image_raised, &w, 1000 * A_MS));
        CHECK(!w.answered && atomic_load(&w.v[1]->node->kraft_version) == 0);
        sim_disk_stall(w.sim, 2, sim_now(w.sim) + 400 * A_MS);
        (void)sim_run(w.sim, NULL, NULL, 390 * A_MS);
        CHECK(!w.answered && kraft_raised(&w));
        CHECK(sim_run(w.sim, ask_over, &w, 100 * A_MS));
        CHECK_EQ(((const struct UpdateFeaturesResponse *)w.ask.out)->error_code, 0);
        CHECK_EQ(atomic_load(&w.v[1]->node->kraft_version), 1);
        CHECK(told(w.v[1], TR_control_shows_late) == 0);
        voting_drop(&w);
    }
}

/* ---- who can't be a voter ---- */

/* The quorum's log, to which nothing was added meanwhile; no change was begun. */
static int64_t quorum_end(const struct voting *w)
{
    return control_quorum(w->v[0]->node->control).end;
}

static enum err refused(struct voting *w, const struct AddRaftVoterRequest *in, const char *words)
{
    int64_t end = quorum_end(w);
    const struct AddRaftVoterResponse *out = asks(w, in);

    CHECK_EQ(quorum_end(w), end);
    if (!strstr(arena_str(&w->ask.arena, out->error_message), words))
        CHECK_STR(arena_str(&w->ask.arena, out->error_message), words);
    return err_of_wire(out->error_code);
}

/* A voter that is silent is waited for as long as the request says, one whose port refuses not at all: either way nothing of the
 * quorum has changed. */
TEST(raft_voters, who_cannot_be_asked_is_refused)
{
    struct voting w;
    struct AddRaftVoterRequest *in;
    int64_t began;

    voting_init(&w, 11, NULL);
    start(&w, 1);
    for (int by = 0; by < 2; by++) {
        sim_partition(w.sim, 2, 1, by == 1); /* nobody runs there; what says so doesn't come through */
        dial(&w, 1, by ? WHOLE_PORT : WHOLE_CONTROL_PORT);
        in = add_in(&w, 2);
        in->timeout_ms = 1000;
        began = sim_now(w.sim);
        CHECK_EQ(refused(&w, in, "node 2 can't be asked at 10.0.0.2:9093"), E_REQUEST_TIMED_OUT);
        CHECK((by == 0 || sim_now(w.sim) - began >= 990 * A_MS) &&
              sim_now(w.sim) - began < (by ? 1500 : 500) * A_MS);
        CHECK(becomes(&w, 1, 1, false));
    }
    sim_partition(w.sim, 2, 1, false);
    in = add_in(&w, 2);
    in->listeners.v[0].host = SLICE("nowhere.invalid");
    CHECK_EQ(refused(&w, in, "nowhere.invalid"), E_REQUEST_TIMED_OUT);
    in = add_in(&w, 2);
    in->listeners.v[0].host = SLICE("");
    CHECK_EQ(refused(&w, in, "no address"), E_INVALID_REQUEST);
    voting_drop(&w);
}

/* Another node, another directory, or what is no controller's listener, at the place that the request names:
 * it says which, and nothing of the quorum has changed; the right one is added then. */
TEST(raft_voters, who_is_another_is_refused)
{
    struct voting w;
    struct AddRaftVoterRequest *in;

    voting_init(&w, 12, NULL);
    start(&w, 1);
    start(&w, 2);
    dial(&w, 1, WHOLE_PORT);
    in = add_in(&w, 2);
    in->listeners.v[0].host = SLICE("10.0.0.1");
    CHECK_EQ(refused(&w, in, "is node 1"), E_INVALID_REQUEST);
    in = add_in(&w, 3);
    in->listeners.v[0].host = SLICE("10.0.0.2");
    CHECK_EQ(refused(&w, in, "is node 2"), E_INVALID_REQUEST);
    in = add_in(&w, 2);
    in->voter_directory_id = directory_of(3);
    CHECK_EQ(refused(&w, in, "has directory"), E_INVALID_REQUEST);
    in = add_in(&w, 2);
    in->listeners.v[0].port = WHOLE_PORT;
    CHECK_EQ(refused(&w, in, "no controller"), E_INVALID_REQUEST);
    CHECK_EQ(added(&w, add_in(&w, 2)), 0);
    CHECK(becomes(&w, 2, 2, false));
    voting_drop(&w);
}

static bool is_known(const struct voting *w, int id)
{
    struct slice host;
    uint16_t port;

    return raft_link_where(w->v[0]->node->raft_link, id, &host, &port);
}

/* Where a new voter listens is noted when the quorum has begun with it: a request that the quorum refuses, for another change is
 * under way, leaves nothing, though there is such a controller. The new ones can't reach the first, nor say where they are. */
TEST(raft_voters, who_is_refused_is_not_noted)
{
    struct voting w;
    struct AddRaftVoterRequest *in;
    const struct AddRaftVoterResponse *out;

    voting_init_at(&w, 14, "controller.quorum.bootstrap.servers=10.0.0.1:9999",
                   "advertised.listeners=PLAINTEXT://10.0.0.1:9092,CONTROLLER://10.0.0.1:9999");
    start(&w, 1);
    whole_start(w.v[1]);
    whole_start(w.v[2]);
    (void)sim_run(w.sim, NULL, NULL, 1000 * A_MS);
    CHECK(!is_known(&w, 2) && !is_known(&w, 3));
    dial(&w, 1, WHOLE_PORT);
    in = add_in(&w, 2);
    in->ack_when_committed = false;
    CHECK_EQ(added(&w, in), 0);
    out = asks(&w, add_in(&w, 3));
    CHECK_EQ(out->error_code, err_wire(E_REQUEST_TIMED_OUT));
    CHECK(slice_eq(out->error_message, SLICE("another change of the voters is under way")));
    (void)sim_run(w.sim, NULL, NULL, 100 * A_MS);
    CHECK(is_known(&w, 2) && !is_known(&w, 3));
    voting_drop(&w);
}

static struct UpdateRaftVoterRequest *update_in(struct voting *w, int id, int32_t epoch)
{
    struct UpdateRaftVoterRequest *in = wire_in(&w->ask, API_UpdateRaftVoter);

    in->cluster_id = SLICE("sim-cluster");
    in->current_leader_epoch = epoch;
    in->voter_id = id;
    in->voter_directory_id = directory_of(id);
    PROTO_ARRAY_NEW(&w->ask.arena, UpdateRaftVoterRequest_Listener, in->listeners, 1);
    in->listeners.v[0].name = SLICE("CONTROLLER");
    in->listeners.v[0].host = SLICE("10.0.0.2");
    in->listeners.v[0].port = WHOLE_CONTROL_PORT;
    in->kraft_version_feature.max_supported_version = 1;
    return in;
}

/* Its code; whatever it is, but for who isn't heard at all, the first node is told as the leader, and where it listens. */
static enum err updated(struct voting *w, const struct UpdateRaftVoterRequest *in)
{
    const struct UpdateRaftVoterResponse *out = asks(w, in);
    enum err err = err_of_wire(out->error_code);

    if (err == E_INCONSISTENT_CLUSTER_ID)
        return err;
    CHECK_EQ(out->current_leader.leader_id, 1);
    CHECK(slice_eq(out->current_leader.host, SLICE("10.0.0.1")));
    CHECK_EQ(out->current_leader.port, WHOLE_CONTROL_PORT);
    return err;
}

/* A voter says where it listens: each thing that is wrong with that has its code, and every answer tells the leader. */
TEST(raft_voters, a_voter_says_where_it_listens)
{
    struct voting w;
    struct UpdateRaftVoterRequest *in;
    int32_t epoch;

    voting_init(&w, 13, NULL);
    start(&w, 1);
    start(&w, 2);
    dial(&w, 1, WHOLE_PORT);
    CHECK_EQ(added(&w, add_in(&w, 2)), 0);
    CHECK(becomes(&w, 2, 2, false));
    epoch = control_quorum(w.v[0]->node->control).epoch;
    dial(&w, 2, WHOLE_CONTROL_PORT);
    CHECK_EQ(updated(&w, update_in(&w, 2, epoch)), E_NOT_LEADER_OR_FOLLOWER);
    CHECK_EQ(updated(&w, update_in(&w, 2, epoch - 1)), E_FENCED_LEADER_EPOCH);
    dial(&w, 1, WHOLE_CONTROL_PORT);
    CHECK_EQ(updated(&w, update_in(&w, 2, epoch)), E_OK);
    CHECK_EQ(updated(&w, update_in(&w, 1, epoch)), E_OK);
    CHECK_EQ(updated(&w, update_in(&w, 2, epoch - 1)), E_FENCED_LEADER_EPOCH);
    CHECK_EQ(updated(&w, update_in(&w, 2, epoch + 1)), E_UNKNOWN_LEADER_EPOCH);
    CHECK_EQ(updated(&w, update_in(&w, 3, epoch)), E_VOTER_NOT_FOUND);
    in = update_in(&w, 2, epoch);
    in->cluster_id = SLICE("another");
    CHECK_EQ(updated(&w, in), E_INCONSISTENT_CLUSTER_ID);
    in = update_in(&w, 2, epoch);
    in->voter_directory_id = directory_of(3);
    CHECK_EQ(updated(&w, in), E_VOTER_NOT_FOUND);
    in = update_in(&w, 2, epoch);
    in->voter_directory_id = (struct uuid){{0}};
    CHECK_EQ(updated(&w, in), E_INVALID_REQUEST);
    in = update_in(&w, 3, epoch);
    in->listeners.v[0].name = SLICE("OTHER");
    CHECK_EQ(updated(&w, in), E_INVALID_REQUEST);
    in = update_in(&w, 2, epoch);
    in->kraft_version_feature.max_supported_version = 0;
    CHECK_EQ(updated(&w, in), E_INVALID_REQUEST);
    voting_drop(&w);
}
