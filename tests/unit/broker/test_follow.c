/* Processes of one role: a controller alone, what it serves of the metadata log, and brokers outside the quorum. */
#include "base/trace.h"
#include "broker/control.h"
#include "broker/link/followers.h"
#include "broker/link/metadata_log.h"
#include "broker/server_internal.h"
#include "tests/check.h"
#include "tests/sim/client_wire.h"
#include "tests/sim/whole.h"
#include <stdio.h>

enum { CLIENT = 9, CONTROLLER_PORT = 9093, WAIT_MS = 20000 };

struct roles_world {
    struct sim *sim;
    struct whole *controller, *broker;
    struct io *client;
    struct wire wires[2];
    struct wire_ask asks[2];
    bool answered[2];
};

#define VOTERS "controller.quorum.voters=1@10.0.0.1:9093"
static const char *const of_controller[] = {"process.roles=controller", "listeners=CONTROLLER://:9093",
                                            "advertised.listeners=CONTROLLER://10.0.0.1:9093", VOTERS};
static const char *const of_broker[] = {"process.roles=broker", "listeners=PLAINTEXT://:9092", VOTERS};

static void ask_done(struct wire_ask *a)
{
    struct roles_world *w = a->arg;

    CHECK_OK(a->err);
    w->answered[a - w->asks] = true;
}

static void client_begin(struct loop *loop, void *arg)
{
    struct roles_world *w = arg;
    struct addr to = sim_addr(1, CONTROLLER_PORT);

    for (int i = 0; i < 2; i++) {
        wire_init(&w->wires[i], w->client, loop);
        wire_ask_init(&w->asks[i], w->client);
        w->asks[i].patience = 10 * INT64_C(1000000000);
        w->asks[i].done = ask_done;
        w->asks[i].arg = w;
        wire_dial(&w->wires[i], &to);
    }
}

static void client_end(struct loop *loop, void *arg)
{
    struct roles_world *w = arg;

    for (int i = 0; i < 2; i++)
        wire_cut(&w->wires[i]);
}

static bool client_open(void *arg)
{
    const struct roles_world *w = arg;
    return w->wires[0].open && w->wires[1].open;
}

static void run(struct roles_world *w, int64_t ms)
{
    (void)sim_run(w->sim, NULL, NULL, ms * 1000000);
}

/* A controller that is ready, and two wires to it. */
static void world_init(struct roles_world *w, uint64_t seed)
{
    *w = (struct roles_world){.sim = sim_new(seed)};
    w->controller = whole_new(w->sim, 1, 1, of_controller, 4);
    w->broker = whole_new(w->sim, 2, 1, of_broker, 3);
    whole_start(w->controller);
    CHECK(sim_run(w->sim, whole_up, w->controller, WAIT_MS * INT64_C(1000000)));
    if (!w->controller->ready)
        test_fail(__FILE__, __LINE__, "the controller did not start: %s", w->controller->text);
    w->client = sim_node(w->sim, CLIENT);
    CHECK(sim_call(w->sim, w->client, LOOP_NET, client_begin, w));
    CHECK(sim_run(w->sim, client_open, w, WAIT_MS * INT64_C(1000000)));
}

static void stop(struct roles_world *w, struct whole *node)
{
    if (!node->io)
        return;
    whole_stop(node);
    CHECK(sim_run(w->sim, whole_over, node, WAIT_MS * INT64_C(1000000)));
    if (node->why)
        test_fail(__FILE__, __LINE__, "the stop says: %s", node->text);
}

static void world_drop(struct roles_world *w)
{
    stop(w, w->broker);
    stop(w, w->controller);
    CHECK(sim_call(w->sim, w->client, LOOP_NET, client_end, w));
    run(w, 100);
    for (int i = 0; i < 2; i++)
        wire_ask_drop(&w->asks[i]);
    whole_drop(w->broker);
    whole_drop(w->controller);
    sim_drop(w->sim);
}

/* ---- asking ---- */

struct sending {
    struct roles_world *w;
    int i;
    const void *in;
};

static void send_run(struct loop *loop, void *arg)
{
    struct sending *s = arg;

    s->w->answered[s->i] = false;
    CHECK(wire_ask(&s->w->wires[s->i], &s->w->asks[s->i], -1, s->in));
}

static void ask(struct roles_world *w, int i, const void *in)
{
    struct sending s = {w, i, in};

    CHECK(sim_call(w->sim, w->client, LOOP_NET, send_run, &s));
}

static bool is_answered(void *arg)
{
    return *(bool *)arg;
}

static const void *wait_for(struct roles_world *w, int i)
{
    CHECK(sim_run(w->sim, is_answered, &w->answered[i], WAIT_MS * INT64_C(1000000)));
    return w->asks[i].out;
}

static struct FetchRequest_FetchPartition *fetch_in(struct roles_world *w, int i, struct FetchRequest **out)
{
    struct FetchRequest *in = wire_in(&w->asks[i], API_Fetch);
    struct arena *a = &w->asks[i].arena;
    const struct uuid id = METADATA_TOPIC_ID;
    struct FetchRequest_FetchPartition *p;

    in->replica_state.replica_id = 7;
    in->max_wait_ms = 0;
    PROTO_ARRAY_NEW(a, FetchRequest_FetchTopic, in->topics, 1);
    in->topics.v[0].topic_id = id;
    PROTO_ARRAY_NEW(a, FetchRequest_FetchPartition, in->topics.v[0].partitions, 1);
    p = &in->topics.v[0].partitions.v[0];
    p->partition_max_bytes = 1 << 20;
    *out = in;
    return p;
}

static const struct FetchResponse_PartitionData *fetched(const struct FetchResponse *out)
{
    CHECK_EQ(out->error_code, 0);
    CHECK(out->responses.n == 1 && out->responses.v[0].partitions.n == 1);
    return &out->responses.v[0].partitions.v[0];
}

/* All that has committed, from the first offset on. */
static const struct FetchResponse_PartitionData *fetch_all(struct roles_world *w, int i)
{
    struct FetchRequest *in;

    (void)fetch_in(w, i, &in);
    ask(w, i, in);
    return fetched(wait_for(w, i));
}

/* A setting of all brokers: one record. */
static void write_one(struct roles_world *w, int i, const char *value)
{
    struct IncrementalAlterConfigsRequest *in = wire_in(&w->asks[i], API_IncrementalAlterConfigs);
    struct arena *a = &w->asks[i].arena;
    const struct IncrementalAlterConfigsResponse *out;

    PROTO_ARRAY_NEW(a, IncrementalAlterConfigsRequest_AlterConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = 4;
    in->resources.v[0].resource_name = SLICE("");
    PROTO_ARRAY_NEW(a, IncrementalAlterConfigsRequest_AlterableConfig, in->resources.v[0].configs, 1);
    in->resources.v[0].configs.v[0].name = SLICE("log.retention.ms");
    in->resources.v[0].configs.v[0].value = SLICE(value);
    ask(w, i, in);
    out = wait_for(w, i);
    CHECK(out->responses.n == 1);
    CHECK_EQ(out->responses.v[0].error_code, 0);
}

/* ---- the controller ---- */

/* A controller alone becomes ready, has no DISK loops for partitions, decides, and stops. */
TEST(roles, a_controller_alone)
{
    struct roles_world w;

    world_init(&w, 1);
    CHECK(!w.controller->node->disks);
    write_one(&w, 0, "1000000");
    CHECK(fetch_all(&w, 1)->high_watermark > 3);
    stop(&w, w.controller);
    whole_start(w.controller);
    CHECK(sim_run(w.sim, whole_up, w.controller, WAIT_MS * INT64_C(1000000)));
    CHECK(w.controller->ready);
    world_drop(&w);
}

static const struct refusal_row {
    int32_t leader_epoch;
    int64_t offset;
    int16_t error;
} refusals[] = {
    {0, 0, 74},       /* FENCED_LEADER_EPOCH */
    {99, 0, 75},      /* UNKNOWN_LEADER_EPOCH */
    {-1, 1000000, 1}, /* OFFSET_OUT_OF_RANGE: it leads, and has no such offset */
    {-1, -1, 1},
};

/* What a fetch may not ask is refused by Kafka's errors, and who leads is said. */
TEST_EACH(roles, fetches_that_are_refused, refusals)
{
    struct FetchRequest *in;
    struct roles_world w;
    struct FetchRequest_FetchPartition *p;
    const struct FetchResponse_PartitionData *out;

    world_init(&w, 2);
    p = fetch_in(&w, 0, &in);
    p->current_leader_epoch = row->leader_epoch;
    p->fetch_offset = row->offset;
    ask(&w, 0, in);
    out = fetched(wait_for(&w, 0));
    CHECK_EQ(out->error_code, row->error);
    if (row->offset >= 0)
        CHECK_EQ(out->current_leader.leader_id, 1);
    CHECK_EQ(out->records.len, 0);
    world_drop(&w);
}

/* Another topic isn't here; another cluster's broker is told so. */
TEST(roles, fetches_of_something_else)
{
    const struct FetchResponse *out;
    struct FetchRequest *in;
    struct roles_world w;

    world_init(&w, 3);
    (void)fetch_in(&w, 0, &in);
    in->topics.v[0].topic_id.b[0] = 5;
    ask(&w, 0, in);
    CHECK_EQ(fetched(wait_for(&w, 0))->error_code, 100);
    (void)fetch_in(&w, 0, &in);
    in->cluster_id = SLICE("another");
    ask(&w, 0, in);
    out = wait_for(&w, 0);
    CHECK_EQ(out->error_code, 104);
    world_drop(&w);
}

/* A follower whose last batch isn't this one's is told where this log's epoch ends. */
TEST(roles, a_fetch_that_diverges)
{
    const struct FetchResponse_PartitionData *out;
    struct FetchRequest_FetchPartition *p;
    struct FetchRequest *in;
    struct roles_world w;

    world_init(&w, 4);
    write_one(&w, 0, "1000000");
    p = fetch_in(&w, 0, &in);
    p->fetch_offset = 4;
    p->last_fetched_epoch = 1; /* it is 2 */
    ask(&w, 0, in);
    out = fetched(wait_for(&w, 0));
    CHECK_EQ(out->error_code, 0);
    CHECK_EQ(out->diverging_epoch.epoch, 1);
    CHECK_EQ(out->diverging_epoch.end_offset, 2);
    CHECK_EQ(out->records.len, 0);
    world_drop(&w);
}

/* A fetch at the log's end waits, isn't answered before its time without news, and at once when something commits. */
TEST(roles, a_fetch_at_the_end_waits_for_a_commit)
{
    const struct FetchResponse_PartitionData *out;
    struct FetchRequest_FetchPartition *p;
    struct FetchRequest *in;
    struct roles_world w;
    int64_t end, began;

    world_init(&w, 5);
    (void)fetch_all(&w, 1); /* a wire that asks nothing ends */
    run(&w, 1000);          /* the controller says who it is, which is a record too */
    end = fetch_all(&w, 0)->high_watermark;
    for (int i = 0; i < 2; i++) {
        p = fetch_in(&w, 0, &in);
        p->fetch_offset = end;
        in->max_wait_ms = 3000;
        began = sim_now(w.sim);
        ask(&w, 0, in);
        run(&w, 2900);
        CHECK(!w.answered[0]);
        if (i == 1)
            write_one(&w, 1, "2000000");
        out = fetched(wait_for(&w, 0));
        CHECK(sim_now(w.sim) - began < 3050 * INT64_C(1000000));
        CHECK_EQ(out->records.len > 0, i == 1);
        CHECK_EQ(out->high_watermark, end + i);
    }
    world_drop(&w);
}

/* A stop doesn't wait for those that wait. */
TEST(roles, a_stop_ends_fetches_that_wait)
{
    struct FetchRequest_FetchPartition *p;
    struct FetchRequest *in;
    struct roles_world w;
    int64_t end, began;

    world_init(&w, 6);
    run(&w, 1000);
    end = fetch_all(&w, 0)->high_watermark;
    p = fetch_in(&w, 0, &in);
    p->fetch_offset = end;
    in->max_wait_ms = 9000;
    ask(&w, 0, in);
    run(&w, 100);
    began = sim_now(w.sim);
    stop(&w, w.controller);
    CHECK(w.answered[0]);
    CHECK(sim_now(w.sim) - began < 1000 * INT64_C(1000000));
    world_drop(&w);
}

/* What followers asked for last is known, by node and directory. */
TEST(roles, followers_are_known)
{
    const struct followers *f;
    struct roles_world w;
    int64_t end;

    world_init(&w, 7);
    f = w.controller->node->followers;
    CHECK_EQ(followers_known(f), 0);
    end = fetch_all(&w, 0)->high_watermark;
    CHECK_EQ(followers_known(f), 1);
    CHECK_EQ(followers_at(f, 0)->replica, 7);
    CHECK_EQ(followers_at(f, 0)->end, 0);
    CHECK_EQ(followers_at(f, 0)->caught_up_ms, -1);
    whole_start(w.broker);
    run(&w, 1000);
    CHECK_EQ(followers_known(f), 2);
    CHECK_EQ(followers_at(f, 1)->replica, 2);
    CHECK(followers_at(f, 1)->end >= end);
    CHECK(followers_at(f, 1)->caught_up_ms > 0);
    world_drop(&w);
}

/* DescribeQuorum tells of them, and forgets who is silent for five minutes. */
TEST(roles, observers_are_described)
{
    const struct DescribeQuorumResponse *out;
    const struct DescribeQuorumResponse_PartitionData *p = NULL;
    struct roles_world w;

    world_init(&w, 11);
    whole_start(w.broker);
    CHECK(sim_run(w.sim, whole_up, w.broker, WAIT_MS * INT64_C(1000000)));
    for (int round = 0; round < 2; round++) {
        struct DescribeQuorumRequest *in = wire_in(&w.asks[0], API_DescribeQuorum);

        PROTO_ARRAY_NEW(&w.asks[0].arena, DescribeQuorumRequest_TopicData, in->topics, 1);
        in->topics.v[0].topic_name = SLICE(METADATA_TOPIC);
        PROTO_ARRAY_NEW(&w.asks[0].arena, DescribeQuorumRequest_PartitionData, in->topics.v[0].partitions, 1);
        run(&w, 100);
        ask(&w, 0, in);
        out = wait_for(&w, 0);
        CHECK_EQ(out->error_code, 0);
        p = &out->topics.v[0].partitions.v[0];
        CHECK_EQ(p->current_voters.n, 1);
        CHECK_EQ(p->observers.n, round == 0);
        if (round == 0) {
            CHECK_EQ(p->observers.v[0].replica_id, 2);
            CHECK_EQ(p->observers.v[0].log_end_offset, p->high_watermark);
            CHECK(p->observers.v[0].last_caught_up_timestamp > 0);
            whole_crash(w.broker, SIM_PROCESS);
            run(&w, 301000);
        }
    }
    world_drop(&w);
}

/* ---- the broker ---- */

#define LOG_FILE "/data/0/__cluster_metadata-0/00000000000000000000.log"

static void same_log(struct roles_world *w)
{
    uint8_t ours[1 << 14], theirs[1 << 14];
    size_t n = 0, m = 0;

    CHECK_OK(sim_file_read(w->sim, 2, LOG_FILE, 0, ours, sizeof(ours), &n));
    CHECK_OK(sim_file_read(w->sim, 1, LOG_FILE, 0, theirs, sizeof(theirs), &m));
    CHECK(n > 200 && n == m && memcmp(ours, theirs, n) == 0);
}

/* A broker outside the quorum becomes ready, and keeps a copy of the metadata log which follows every commit at once. */
TEST(roles, a_broker_follows)
{
    struct roles_world w;

    world_init(&w, 8);
    whole_start(w.broker);
    CHECK(sim_run(w.sim, whole_up, w.broker, WAIT_MS * INT64_C(1000000)));
    CHECK(w.broker->ready);
    run(&w, 20);
    same_log(&w);
    write_one(&w, 0, "3000000");
    run(&w, 20);
    same_log(&w);
    stop(&w, w.controller);
    run(&w, 3000);
    whole_start(w.controller);
    run(&w, 3000);
    same_log(&w);
    world_drop(&w);
}

/* It stops while it waits for a leader that never answers. */
TEST(roles, a_broker_stops_while_it_waits)
{
    struct roles_world w;

    world_init(&w, 9);
    whole_crash(w.controller, SIM_POWER);
    whole_start(w.broker);
    run(&w, 5000);
    CHECK(!w.broker->ready && !w.broker->stopped);
    stop(&w, w.broker);
    world_drop(&w);
}

/* ---- three controllers ---- */

#define THREE "controller.quorum.voters=1@10.0.0.1:9093,2@10.0.0.2:9093,3@10.0.0.3:9093"
enum { N_THREE = 3, FOLLOWER = 4 };

struct three_world {
    struct sim *sim;
    struct whole *nodes[N_THREE + 1]; /* the last is the broker */
};

static struct whole *three_new(struct sim *s, int id)
{
    char told[64];
    const char *controller[] = {"process.roles=controller", "listeners=CONTROLLER://:9093", told, THREE};
    const char *broker[] = {"process.roles=broker", "listeners=PLAINTEXT://:9092", THREE};

    (void)snprintf(told, sizeof(told), "advertised.listeners=CONTROLLER://10.0.0.%d:9093", id);
    return id == FOLLOWER ? whole_new(s, id, 1, broker, 3) : whole_new(s, id, 1, controller, 4);
}

static void three_ready(struct three_world *w)
{
    for (int i = 0; i <= N_THREE; i++) {
        if (!w->nodes[i]->io)
            continue;
        CHECK(sim_run(w->sim, whole_up, w->nodes[i], WAIT_MS * INT64_C(1000000)));
        if (!w->nodes[i]->ready)
            test_fail(__FILE__, __LINE__, "node %d did not start: %s", i + 1, w->nodes[i]->text);
    }
}

/* Who says that it leads; NULL: nobody. */
static struct whole *three_leader(struct three_world *w)
{
    for (int i = 0; i < N_THREE; i++)
        if (w->nodes[i]->io && w->nodes[i]->node->control &&
            control_quorum(w->nodes[i]->node->control).leader == i + 1)
            return w->nodes[i];
    return NULL;
}

static bool follows_newer(void *arg)
{
    struct three_world *w = arg;
    struct whole *leader = three_leader(w);
    const struct control *c = w->nodes[N_THREE]->node->control;
    struct quorum_view v;

    if (!c)
        return false;
    v = control_quorum(c);
    return leader && v.leader == leader->id && v.committed == control_quorum(leader->node->control).committed;
}

static void three_begin(struct three_world *w, uint64_t seed)
{
    *w = (struct three_world){.sim = sim_new(seed)};
    for (int i = 0; i <= N_THREE; i++)
        w->nodes[i] = three_new(w->sim, i + 1);
    for (int i = 0; i < N_THREE; i++)
        whole_start(w->nodes[i]);
}

static void three_end(struct three_world *w)
{
    for (int i = N_THREE; i >= 0; i--) {
        whole_stop(w->nodes[i]);
        CHECK(sim_run(w->sim, whole_over, w->nodes[i], WAIT_MS * INT64_C(1000000)));
        if (w->nodes[i]->why)
            test_fail(__FILE__, __LINE__, "node %d stops: %s", i + 1, w->nodes[i]->text);
        whole_drop(w->nodes[i]);
    }
    sim_drop(w->sim);
}

/* What rotted on the disk of the voter that is asked first is had of another one. */
TEST(roles, damaged_bytes_are_had_of_another_voter)
{
    struct three_world w;
    struct whole *broker;

    three_begin(&w, 12);
    three_ready(&w);
    (void)sim_run(w.sim, NULL, NULL, 2000000000);
    broker = w.nodes[N_THREE];
    CHECK_OK(sim_file_flip(w.sim, 1, LOG_FILE, 100, 4));
    whole_start(broker);
    three_ready(&w);
    CHECK(trace_count(io_trace(broker->io), TR_quorum_fetch_bad) > 0);
    CHECK(trace_count(io_trace(broker->io), TR_follow_from) > 1);
    three_end(&w);
}

/* A voter that is cut off from the others knows of no leader: a broker that asked it first doesn't wait for one there. */
TEST(roles, a_voter_without_a_leader_is_left)
{
    struct three_world w;

    three_begin(&w, 13);
    (void)sim_run(w.sim, NULL, NULL, 3000000000);
    for (int i = 2; i <= N_THREE; i++) {
        sim_partition(w.sim, 1, i, true);
        sim_partition(w.sim, i, 1, true);
    }
    (void)sim_run(w.sim, NULL, NULL, 3000000000);
    whole_start(w.nodes[N_THREE]);
    CHECK(sim_run(w.sim, whole_up, w.nodes[N_THREE], 15 * INT64_C(1000000000)));
    CHECK(w.nodes[N_THREE]->ready);
    sim_heal(w.sim);
    (void)sim_run(w.sim, NULL, NULL, 3000000000);
    three_end(&w);
}

/* A broker whose leader dies hears of the next one from another voter, within little more than the election takes; nodes
 * that come back find what was kept. */
TEST(roles, a_leader_dies_under_a_broker)
{
    struct three_world w;
    int64_t began;

    three_begin(&w, 10);
    whole_start(w.nodes[N_THREE]);
    three_ready(&w);
    for (int round = 0; round < 4; round++) {
        struct whole *leader = three_leader(&w);
        int32_t epoch = control_quorum(w.nodes[N_THREE]->node->control).epoch;

        CHECK(leader);
        began = sim_now(w.sim);
        whole_crash(leader, round % 2 ? SIM_POWER : SIM_PROCESS);
        CHECK(sim_run(w.sim, follows_newer, &w, 10 * INT64_C(1000000000)));
        CHECK(control_quorum(w.nodes[N_THREE]->node->control).epoch > epoch);
        if (round == 0) /* its port refuses: found at once */
            CHECK(sim_now(w.sim) - began < 500 * INT64_C(1000000));
        CHECK(sim_now(w.sim) - began < 3000 * INT64_C(1000000));
        whole_start(leader);
        three_ready(&w);
    }
    whole_crash(w.nodes[N_THREE], SIM_POWER);
    whole_start(w.nodes[N_THREE]);
    CHECK(sim_run(w.sim, follows_newer, &w, 10 * INT64_C(1000000000)));
    three_end(&w);
}
