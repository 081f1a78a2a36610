#include "tests/unit/broker/life_world.h"
#include "base/trace.h"
#include "quorum/formatted.h"
#include <stdio.h>

enum { OURS = 3, MORE_MAX = 8 }; /* settings */

static void ask_done(struct wire_ask *a)
{
    ((bool *)a->arg)[0] = true;
}

void life_client_begin(struct loop *loop, void *arg)
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

void life_client_dial(struct loop *loop, void *arg)
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

void life_dial(struct life *w)
{
    CHECK(sim_call(w->sim, w->client, LOOP_NET, life_client_dial, w));
    CHECK(sim_run(w->sim, client_open, w, 5000 * A_MS));
}

void life_run(struct life *w, int64_t ms)
{
    (void)sim_run(w->sim, NULL, NULL, ms * A_MS);
}

int64_t life_told(const struct life *w, int i, enum trace_id id)
{
    return (int64_t)trace_count(io_trace(w->v[i]->io), id);
}

int life_leader(const struct life *w)
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

void life_init(struct life *w, uint64_t seed)
{
    life_init_with(w, seed, NULL, 0);
}

struct formatting {
    struct io *io;
    int n;
};

static void format_run(struct loop *loop, void *arg)
{
    struct formatting *x = arg;
    struct formatted f = {.n = x->n};

    for (int i = 0; i < x->n; i++) {
        f.v[i] = (struct formatted_voter){.node = i + 1, .port = WHOLE_CONTROL_PORT};
        memset(f.v[i].directory_id.b, 0x20 + i, sizeof(f.v[i].directory_id.b));
        f.v[i].directory_id.b[0] = (uint8_t)(f.v[i].directory_id.b[0] + i);
        snprintf(f.v[i].host, sizeof(f.v[i].host), "10.0.0.%d", i + 1);
    }
    CHECK_OK(formatted_write(x->io, "/meta", "CONTROLLER", &f));
}

void life_format(struct sim *sim, struct whole *v, int n)
{
    struct formatting x = {sim_node(sim, v->id), n};

    CHECK(sim_call(sim, x.io, LOOP_DISK, format_run, &x));
    sim_exit(sim, v->id);
}

static void begin(struct life *w, uint64_t seed, const char *const *more, int n, bool formatted)
{
    const char *sets[OURS + MORE_MAX] = {
        "controller.quorum.voters=1@10.0.0.1:9093,2@10.0.0.2:9093,3@10.0.0.3:9093", "metadata.log.dir=/meta",
        "broker.session.timeout.ms=6000"};
    char listeners[80];

    CHECK(n < MORE_MAX);
    for (int i = 0; i < n; i++)
        sets[OURS + i] = more[i];

    *w = (struct life){.sim = sim_new(seed)};
    if (formatted)
        sets[OURS + n++] = listeners;
    for (int i = 0; i < N; i++) {
        snprintf(listeners, sizeof(listeners), "listeners=PLAINTEXT://:9092,CONTROLLER://10.0.0.%d:9093",
                 i + 1);
        w->v[i] = whole_new(w->sim, i + 1, 1, sets, OURS + n);
        whole_dir(w->v[i], "/meta", (uint8_t)(0x20 + i));
        if (formatted)
            life_format(w->sim, w->v[i], N);
        whole_start(w->v[i]);
    }
    for (int i = 0; i < N; i++) {
        CHECK(sim_run(w->sim, whole_up, w->v[i], 20000 * A_MS));
        if (!w->v[i]->ready)
            test_fail(__FILE__, __LINE__, "node %d did not start: %s", i + 1, w->v[i]->text);
    }
    w->client = sim_node(w->sim, CLIENT);
    CHECK(sim_call(w->sim, w->client, LOOP_NET, life_client_begin, w));
    life_dial(w);
}

void life_init_formatted(struct life *w, uint64_t seed)
{
    static const char *const sets[] = {
        "controller.quorum.voters=",
        "controller.quorum.bootstrap.servers=10.0.0.1:9093,10.0.0.2:9093,10.0.0.3:9093"};

    begin(w, seed, sets, 2, true);
}

void life_init_with(struct life *w, uint64_t seed, const char *const *more, int n)
{
    begin(w, seed, more, n, false);
}

void life_drop(struct life *w)
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

bool life_is_answered(void *arg)
{
    return *(bool *)arg;
}

void life_create_begin(struct life *w, int i)
{
    struct CreateTopicsRequest *in = wire_in(&w->asks[i], API_CreateTopics);
    struct arena *a = &w->asks[i].arena;
    struct asking asking = {w, i, in};
    const char *name;

    in->timeout_ms = 30000;
    PROTO_ARRAY_NEW(a, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    name = arena_printf(a, "t%d", w->topics++);
    in->topics.v[0].name = SLICE(name);
    in->topics.v[0].num_partitions = 1;
    in->topics.v[0].replication_factor = 1;
    w->answered[i] = false;
    CHECK(sim_call(w->sim, w->client, LOOP_NET, ask_run, &asking));
}

/* It was life_created, within that time. */
void life_created(struct life *w, int i, int64_t ms)
{
    const struct CreateTopicsResponse *out;

    CHECK(sim_run(w->sim, life_is_answered, &w->answered[i], ms * A_MS));
    CHECK_OK(w->asks[i].err);
    out = w->asks[i].out;
    CHECK_EQ(out->topics.v[0].error_code, 0);
}

int64_t life_newest(const struct life *w, int i)
{
    return control_image(w->v[i]->node->control)->offset;
}

bool life_all_alike(void *arg)
{
    const struct life *w = arg;

    return life_newest(w, 0) == life_newest(w, 1) && life_newest(w, 1) == life_newest(w, 2);
}

bool life_rests(void *arg)
{
    const struct control *c = arg;

    return c->resting && !c->quorum && c->n_closing == 0;
}

bool life_is_back(void *arg)
{
    const struct control *c = arg;

    return !c->resting && c->well_ns > 0 && !c->afar.follow;
}

bool life_led_elsewhere(void *arg)
{
    const struct life *w = arg;

    return life_leader(w) >= 0 && !control_quorum(w->v[life_leader(w)]->node->control).failed;
}

bool life_runs_again(void *arg)
{
    const struct control *c = arg;

    return c->quorum && quorum_view(c->quorum).leader >= 0 && quorum_view(c->quorum).committed > 0;
}

void life_deleted(struct life *w, int i, int topic)
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
    CHECK(sim_run(w->sim, life_is_answered, &w->answered[i], 3000 * A_MS));
    CHECK_OK(w->asks[i].err);
    out = w->asks[i].out;
    if (out->responses.v[0].error_code != 3) /* it had committed before it was asked of the next leader */
        CHECK_EQ(out->responses.v[0].error_code, 0);
}
