/* The quorum of a node ends and begins again while the node runs on: three whole nodes, a client at each of them. */
#include "base/trace.h"
#include "broker/control.h"
#include "broker/control_internal.h"
#include "tests/check.h"
#include "tests/sim/client_wire.h"
#include "tests/sim/whole.h"
#include <stdio.h>

enum { N = 3, CLIENT = 9 };
static const int64_t A_MS = 1000000;

struct life {
    struct sim *sim;
    struct whole *v[N];
    struct io *client;
    struct wire wires[N];
    struct wire_ask asks[N];
    bool answered[N];
    int topics;
};

static void ask_done(struct wire_ask *a)
{
    ((bool *)a->arg)[0] = true;
}

static void client_begin(struct loop *loop, void *arg)
{
    struct life *w = arg;

    for (int i = 0; i < N; i++) {
        wire_init(&w->wires[i], w->client, loop);
        wire_ask_init(&w->asks[i], w->client);
        w->wires[i].patience = w->asks[i].patience = 60000 * A_MS;
        w->asks[i].done = ask_done;
        w->asks[i].arg = &w->answered[i];
    }
}

static void client_end(struct loop *loop, void *arg)
{
    struct life *w = arg;

    for (int i = 0; i < N; i++) {
        wire_cut(&w->wires[i]);
        wire_ask_drop(&w->asks[i]);
    }
}

static void client_dial(struct loop *loop, void *arg)
{
    struct life *w = arg;

    for (int i = 0; i < N; i++) {
        struct addr to = sim_addr(i + 1, WHOLE_PORT);

        if (!w->wires[i].dialled)
            wire_dial(&w->wires[i], &to);
    }
}

static bool client_open(void *arg)
{
    const struct life *w = arg;

    return w->wires[0].open && w->wires[1].open && w->wires[2].open;
}

static void dial(struct life *w)
{
    CHECK(sim_call(w->sim, w->client, LOOP_NET, client_dial, w));
    CHECK(sim_run(w->sim, client_open, w, 5000 * A_MS));
}

static void life_run(struct life *w, int64_t ms)
{
    (void)sim_run(w->sim, NULL, NULL, ms * A_MS);
}

static int64_t told(const struct life *w, int i, enum trace_id id)
{
    return (int64_t)trace_count(io_trace(w->v[i]->io), id);
}

static int leader(const struct life *w)
{
    int best = -1, epoch = -1;

    for (int i = 0; i < N; i++) {
        struct quorum_view v = {.leader = -1};

        if (w->v[i]->io && w->v[i]->node->control)
            v = control_quorum(w->v[i]->node->control);
        if (v.leader == i + 1 && v.epoch > epoch) {
            best = i;
            epoch = v.epoch;
        }
    }
    return best;
}

static void life_init(struct life *w, uint64_t seed)
{
    static const char *const sets[] = {
        "controller.quorum.voters=1@10.0.0.1:9093,2@10.0.0.2:9093,3@10.0.0.3:9093", "metadata.log.dir=/meta",
        "broker.session.timeout.ms=6000"};

    *w = (struct life){.sim = sim_new(seed)};
    for (int i = 0; i < N; i++) {
        w->v[i] = whole_new(w->sim, i + 1, 1, sets, 3);
        whole_dir(w->v[i], "/meta", (uint8_t)(0x20 + i));
        whole_start(w->v[i]);
    }
    for (int i = 0; i < N; i++) {
        CHECK(sim_run(w->sim, whole_up, w->v[i], 20000 * A_MS));
        if (!w->v[i]->ready)
            test_fail(__FILE__, __LINE__, "node %d did not start: %s", i + 1, w->v[i]->text);
    }
    w->client = sim_node(w->sim, CLIENT);
    CHECK(sim_call(w->sim, w->client, LOOP_NET, client_begin, w));
    dial(w);
}

static void life_drop(struct life *w)
{
    CHECK(sim_call(w->sim, w->client, LOOP_NET, client_end, w));
    life_run(w, 100);
    for (int i = N - 1; i >= 0; i--) {
        whole_stop(w->v[i]);
        CHECK(sim_run(w->sim, whole_over, w->v[i], 30000 * A_MS));
        if (w->v[i]->why)
            test_fail(__FILE__, __LINE__, "node %d stops: %s", i + 1, w->v[i]->text);
        whole_drop(w->v[i]);
    }
    sim_drop(w->sim);
}

/* ---- a client at node i ---- */

struct asking {
    struct life *w;
    int i;
    const void *in;
};

static void ask_run(struct loop *loop, void *arg)
{
    struct asking *a = arg;

    CHECK(wire_ask(&a->w->wires[a->i], &a->w->asks[a->i], -1, a->in));
}

static bool is_answered(void *arg)
{
    return *(bool *)arg;
}

static void create_begin(struct life *w, int i)
{
    struct CreateTopicsRequest *in = wire_in(&w->asks[i], API_CreateTopics);
    struct arena *a = &w->asks[i].arena;
    struct asking asking = {w, i, in};

    in->timeout_ms = 30000;
    PROTO_ARRAY_NEW(a, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    in->topics.v[0].name = SLICE(arena_printf(a, "t%d", w->topics++));
    in->topics.v[0].num_partitions = 1;
    in->topics.v[0].replication_factor = 1;
    w->answered[i] = false;
    CHECK(sim_call(w->sim, w->client, LOOP_NET, ask_run, &asking));
}

/* It was created, within that time. */
static void created(struct life *w, int i, int64_t ms)
{
    const struct CreateTopicsResponse *out;

    CHECK(sim_run(w->sim, is_answered, &w->answered[i], ms * A_MS));
    CHECK_OK(w->asks[i].err);
    out = w->asks[i].out;
    CHECK_EQ(out->topics.v[0].error_code, 0);
}

static int64_t newest(const struct life *w, int i)
{
    return control_image(w->v[i]->node->control)->offset;
}

static bool all_alike(void *arg)
{
    const struct life *w = arg;

    return newest(w, 0) == newest(w, 1) && newest(w, 1) == newest(w, 2);
}

/* ---- it becomes something else ---- */

struct again {
    struct msg msg;
    struct control *c;
};

static void again_run(struct msg *msg)
{
    control_role(container_of(msg, struct again, msg)->c);
}

static void again_post(struct loop *loop, void *arg)
{
    struct again *a = arg;

    a->msg.run = again_run;
    loop_post(control_loop(a->c), &a->msg);
}

static bool runs_again(void *arg)
{
    const struct control *c = arg;

    return c->quorum && quorum_view(c->quorum).leader >= 0 && quorum_view(c->quorum).committed > 0;
}

/* A quorum begins again in a node that runs on, on a follower and on a leader: whoever asks that node meanwhile is answered
 * by the leader that there is, or will be; nothing goes back. */
TEST(life, a_quorum_begins_again)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct life w;

        life_init(&w, seed);
        for (int n = 0; n < N; n++) {
            int i = n < 2 ? (leader(&w) + n) % N : leader(&w);
            struct again a = {.c = w.v[i]->node->control};
            int64_t before = newest(&w, i), loads = told(&w, i, TR_quorum_loaded_log);

            create_begin(&w, i);
            life_run(&w, (int64_t)(seed % 3));
            CHECK(sim_call(w.sim, w.v[i]->io, LOOP_DISK, again_post, &a));
            created(&w, i, 5000);
            create_begin(&w, i);
            created(&w, i, 5000);
            CHECK(sim_run(w.sim, runs_again, a.c, 5000 * A_MS));
            CHECK(sim_run(w.sim, all_alike, &w, 5000 * A_MS) && newest(&w, i) > before);
            CHECK_EQ(told(&w, i, TR_quorum_loaded_log), loads + 1);
        }
        for (int i = 0; i < N; i++)
            CHECK(w.v[i]->ready && !w.v[i]->stopped);
        life_drop(&w);
    }
}

/* A node may be told to stop at any moment of it. */
TEST(life, a_stop_between_two_lives)
{
    for (int us = 0; us < 4000; us += 250) {
        struct life w;
        struct again a;

        life_init(&w, 7);
        a = (struct again){.c = w.v[1]->node->control};
        CHECK(sim_call(w.sim, w.v[1]->io, LOOP_DISK, again_post, &a));
        (void)sim_run(w.sim, NULL, NULL, us * INT64_C(1000));
        life_drop(&w);
    }
}

/* ---- a disk that fails ---- */

static bool rests(void *arg)
{
    const struct control *c = arg;

    return c->resting && !c->quorum && c->n_closing == 0;
}

static bool is_back(void *arg)
{
    const struct control *c = arg;

    return !c->resting && c->well_ns > 0 && !c->afar.follow;
}

static bool led_elsewhere(void *arg)
{
    const struct life *w = arg;

    return leader(w) >= 0 && !control_quorum(w->v[leader(w)]->node->control).failed;
}

/* The disk of the metadata breaks below a leader and below a follower: one line says so, another node leads, the broker of
 * that node goes on, with every image and with its clients' wishes, and it votes again when the disk does. */
TEST(life, a_disk_breaks_and_comes_back)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct life w;
        life_init(&w, seed);
        for (int n = 0; n < 2; n++) { /* a leader, then one that follows */
            int i = (leader(&w) + n) % N, other = (i + 1) % N, third = (i + 2) % N;
            struct control *c = w.v[i]->node->control;

            int64_t failed = told(&w, i, TR_quorum_failed), rested = told(&w, i, TR_control_rests),
                    back = told(&w, i, TR_control_back);

            sim_disk_break(w.sim, i + 1, "/meta");
            create_begin(&w, other);
            created(&w, other, 5000);
            CHECK(sim_run(w.sim, rests, c, 5000 * A_MS));
            CHECK(sim_run(w.sim, led_elsewhere, &w, 5000 * A_MS) && leader(&w) != i);
            for (int round = 0; round < 3; round++) {
                create_begin(&w, i);
                created(&w, i, 5000);
                CHECK(sim_run(w.sim, all_alike, &w, 2000 * A_MS));
                life_run(&w, 4000);
            }
            CHECK_EQ(told(&w, i, TR_quorum_failed), failed + 1);
            CHECK_EQ(told(&w, i, TR_control_rests), rested + 1);
            CHECK(w.v[i]->ready && !w.v[i]->stopped);
            sim_disk_break(w.sim, i + 1, NULL);
            CHECK(sim_run(w.sim, is_back, c, 40000 * A_MS));
            CHECK_EQ(told(&w, i, TR_control_back), back + 1);
            whole_crash(w.v[third], SIM_PROCESS); /* without this node's vote there is no majority */
            create_begin(&w, i);
            created(&w, i, 5000);
            whole_start(w.v[third]);
            CHECK(sim_run(w.sim, whole_up, w.v[third], 20000 * A_MS));
            CHECK(sim_run(w.sim, all_alike, &w, 5000 * A_MS));
            whole_crash(w.v[i], SIM_POWER); /* nothing that it said was in the page cache alone */
            whole_start(w.v[i]);
            CHECK(sim_run(w.sim, whole_up, w.v[i], 20000 * A_MS));
            CHECK(sim_run(w.sim, all_alike, &w, 5000 * A_MS));
            sim_reset(w.sim, CLIENT, i + 1);
            life_run(&w, 10);
            dial(&w);
        }
        life_drop(&w);
    }
}

/* Disks that break at any moment, one at a time, for long and for short: nothing is lost, no process ends, and every node takes
 * part again. */
TEST(life, disks_break_at_any_moment)
{
    int64_t failed = 0;

    for (uint64_t seed = 100; seed < 112; seed++) {
        struct life w;

        life_init(&w, seed);
        for (int round = 0; round < 12; round++) {
            int i = (int)sim_below(w.sim, N), at = (int)sim_below(w.sim, N);
            struct control *c = w.v[i]->node->control;

            create_begin(&w, at);
            (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, 400000));
            sim_disk_break(w.sim, i + 1, "/meta");
            (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, round % 2 ? 1000000 : 4000000000));
            sim_disk_break(w.sim, i + 1, NULL);
            created(&w, at, 20000);
            CHECK(sim_run(w.sim, runs_again, c, 40000 * A_MS));
            create_begin(&w,
                         i); /* an epoch that began with nothing to say has no offset in its leader's image */
            created(&w, i, 5000);
            CHECK(sim_run(w.sim, all_alike, &w, 5000 * A_MS));
        }
        for (int i = 0; i < N; i++) {
            CHECK(w.v[i]->ready && !w.v[i]->stopped);
            failed += told(&w, i, TR_quorum_failed);
        }
        life_drop(&w);
    }
    CHECK(failed > 40);
}

static bool two_alike(void *arg)
{
    const struct life *w = arg;

    return newest(w, 0) == newest(w, 1);
}

/* A broker's copy of the log breaks: it goes on in memory, and keeps a copy again when the disk does. */
TEST(life, a_brokers_copy_breaks)
{
    static const char *const controller[] = {"process.roles=controller", "listeners=CONTROLLER://:9093",
                                             "advertised.listeners=CONTROLLER://10.0.0.1:9093",
                                             "controller.quorum.voters=1@10.0.0.1:9093"};
    static const char *const broker[] = {"process.roles=broker", "listeners=PLAINTEXT://:9092",
                                         "controller.quorum.voters=1@10.0.0.1:9093",
                                         "metadata.log.dir=/meta"};
    struct life w = {.sim = sim_new(3)};
    struct control *c;

    w.v[0] = whole_new(w.sim, 1, 1, controller, 4);
    w.v[1] = whole_new(w.sim, 2, 1, broker, 4);
    whole_dir(w.v[1], "/meta", 0x20);
    for (int i = 0; i < 2; i++) {
        whole_start(w.v[i]);
        CHECK(sim_run(w.sim, whole_ready, w.v[i], 20000 * A_MS));
    }
    c = w.v[1]->node->control;
    for (int round = 0; round < 3; round++) {
        sim_disk_break(w.sim, 2, "/meta");
        w.client = sim_node(w.sim, CLIENT);
        CHECK(sim_call(w.sim, w.client, LOOP_NET, client_begin, &w));
        CHECK(sim_call(w.sim, w.client, LOOP_NET, client_dial, &w));
        life_run(&w, 10);
        create_begin(&w, 1);
        created(&w, 1, 5000);
        CHECK(sim_run(w.sim, rests, c, 5000 * A_MS));
        create_begin(&w, 1);
        created(&w, 1, 5000);
        CHECK(sim_run(w.sim, two_alike, &w, 1000 * A_MS));
        sim_disk_break(w.sim, 2, NULL);
        CHECK(sim_run(w.sim, is_back, c, 40000 * A_MS));
        CHECK(sim_run(w.sim, two_alike, &w, 1000 * A_MS));
        sim_crash(w.sim, CLIENT, SIM_PROCESS);
    }
    CHECK(w.v[1]->ready && !w.v[1]->stopped);
    for (int i = 1; i >= 0; i--) {
        whole_stop(w.v[i]);
        CHECK(sim_run(w.sim, whole_over, w.v[i], 30000 * A_MS));
        CHECK_OK(w.v[i]->why);
        whole_drop(w.v[i]);
    }
    sim_drop(w.sim);
}

/* The only voter's disk breaks: what was published is served, what would change it waits, and is done when the disk does. */
TEST(life, the_only_voters_disk_breaks)
{
    static const char *const sets[] = {"metadata.log.dir=/meta"};
    struct life w = {.sim = sim_new(4)};
    struct control *c;

    w.v[0] = whole_new(w.sim, 1, 1, sets, 1);
    whole_dir(w.v[0], "/meta", 0x20);
    whole_start(w.v[0]);
    CHECK(sim_run(w.sim, whole_ready, w.v[0], 20000 * A_MS));
    c = w.v[0]->node->control;
    w.client = sim_node(w.sim, CLIENT);
    CHECK(sim_call(w.sim, w.client, LOOP_NET, client_begin, &w));
    CHECK(sim_call(w.sim, w.client, LOOP_NET, client_dial, &w));
    life_run(&w, 10);
    for (int round = 0; round < 2; round++) {
        sim_disk_break(w.sim, 1, "/meta");
        create_begin(&w, 0);
        CHECK(sim_run(w.sim, rests, c, 10000 * A_MS));
        life_run(&w, 3000);
        CHECK(!w.answered[0] && w.v[0]->ready && !w.v[0]->stopped);
        sim_disk_break(w.sim, 1, NULL);
        created(&w, 0, 20000);
    }
    sim_disk_break(w.sim, 1, "/meta"); /* a stop while it rests */
    create_begin(&w, 0);
    CHECK(sim_run(w.sim, rests, c, 10000 * A_MS));
    whole_stop(w.v[0]);
    CHECK(sim_run(w.sim, whole_over, w.v[0], 30000 * A_MS));
    CHECK_OK(w.v[0]->why);
    whole_drop(w.v[0]);
    sim_crash(w.sim, CLIENT, SIM_PROCESS);
    sim_drop(w.sim);
}

/* A disk that comes back with an older vote than this process has given isn't believed: the node rests until it has the right
 * one. */
TEST(life, an_older_disk_is_not_believed)
{
    static const char path[] = "/meta/__cluster_metadata-0/quorum-state";
    struct life w;
    uint8_t old[512], now[512];
    size_t n_old, n_now;
    int first, i;
    struct control *c;

    life_init(&w, 11);
    first = leader(&w);
    i = (first + 1) % N;
    c = w.v[i]->node->control;
    CHECK_OK(sim_file_read(w.sim, i + 1, path, 0, old, sizeof(old), &n_old));
    sim_disk_break(w.sim, first + 1, "/meta");
    create_begin(&w, i);
    created(&w, i, 5000); /* in the next epoch */
    sim_disk_break(w.sim, first + 1, NULL);
    CHECK(sim_run(w.sim, is_back, w.v[first]->node->control, 40000 * A_MS));
    CHECK_OK(sim_file_read(w.sim, i + 1, path, 0, now, sizeof(now), &n_now));
    CHECK(n_old != n_now || memcmp(old, now, n_now) != 0);
    sim_disk_break(w.sim, i + 1, "/meta");
    create_begin(&w, i);
    created(&w, i, 5000);
    CHECK(sim_run(w.sim, rests, c, 5000 * A_MS));
    CHECK_OK(sim_file_read(w.sim, i + 1, path, 0, now, sizeof(now), &n_now));
    CHECK_OK(sim_file_put(w.sim, i + 1, path, old, n_old));
    sim_disk_break(w.sim, i + 1, NULL);
    life_run(&w, 20000);
    CHECK(rests(c) && told(&w, i, TR_control_back) == 0 && told(&w, i, TR_quorum_fails_still) > 1);
    CHECK_OK(sim_file_put(w.sim, i + 1, path, now, n_now));
    CHECK(sim_run(w.sim, is_back, c, 40000 * A_MS));
    life_drop(&w);
}

/* ---- a disk that is full ---- */

enum { ROOM = 65536 }; /* for the topics that are deleted when there is none */

static void deleted(struct life *w, int i, int topic)
{
    const struct DeleteTopicsResponse *out;
    struct DeleteTopicsRequest *in = wire_in(&w->asks[i], API_DeleteTopics);
    struct arena *a = &w->asks[i].arena;
    struct asking asking = {w, i, in};

    in->timeout_ms = 30000;
    PROTO_ARRAY_NEW(a, DeleteTopicsRequest_DeleteTopicState, in->topics, 1);
    in->topics.v[0].name = SLICE(arena_printf(a, "t%d", topic));
    w->answered[i] = false;
    CHECK(sim_call(w->sim, w->client, LOOP_NET, ask_run, &asking));
    CHECK(sim_run(w->sim, is_answered, &w->answered[i], 3000 * A_MS));
    CHECK_OK(w->asks[i].err);
    out = w->asks[i].out;
    if (out->responses.v[0].error_code != 3) /* it had committed before it was asked of the next leader */
        CHECK_EQ(out->responses.v[0].error_code, 0);
}

/* A leader whose disk is full, its reserve used up, holds up nobody: another one leads, and it follows again when there is
 * room. */
TEST(life, a_leader_without_room_gives_way)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct life w;
        int i, other;

        life_init(&w, seed);
        i = leader(&w);
        other = (i + 1) % N;
        sim_disk_limit(w.sim, i + 1, sim_disk_used(w.sim, i + 1) + ROOM);
        while (told(&w, i, TR_control_tight) == 0) { /* the last ones on the reserve */
            create_begin(&w, other);
            created(&w, other, 5000);
            life_run(&w, 5);
        }
        CHECK(leader(&w) == i && w.topics > 80);
        sim_disk_limit(w.sim, i + 1, sim_disk_used(w.sim, i + 1));
        for (int n = 0; told(&w, i, TR_quorum_gives_way) == 0; n++) {
            CHECK(n < w.topics);
            deleted(&w, other, n);
        }
        CHECK(leader(&w) != i);
        create_begin(&w, i);
        created(&w, i, 5000);
        sim_disk_limit(w.sim, i + 1, -1);
        life_run(&w, 40000);
        create_begin(&w, i);
        created(&w, i, 5000);
        CHECK(sim_run(w.sim, all_alike, &w, 5000 * A_MS));
        CHECK(w.v[i]->ready && !w.v[i]->stopped);
        CHECK(control_quorum(w.v[i]->node->control).failed == E_OK);
        life_drop(&w);
    }
}
