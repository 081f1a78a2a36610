/* Long answers, asked of a network side alone: each frame asks for as many topics as its topic's name has bytes. */
#include "net_world.h"
#include "proto/bigend.h"

enum { TOPIC_BYTES = 500 };

static int n_steps, n_begun;
static bool is_shared, is_nested;

static bool tell_one(struct long_answer *to, struct request *r, void *state)
{
    static const char name[TOPIC_BYTES] = "topic";
    const struct MetadataRequest *in = r->in;
    struct MetadataResponse_MetadataResponseTopic told;
    int *left = state;

    if (*left == 0) {
        if (is_nested)
            long_close(to);
        return false;
    }
    n_steps++;
    proto_defaults(&MetadataResponse_MetadataResponseTopic_type, &told);
    told.name = slice_of(name, sizeof(name));
    if (is_nested && (size_t)*left == in->topics.v[0].name.len) {
        told.partitions.v = (void *)PROTO_ELSEWHERE;
        told.partitions.n = *left - 1;
        long_open(to, &MetadataResponse_MetadataResponseTopic_type, &told);
    } else if (is_nested) {
        struct MetadataResponse_MetadataResponsePartition p;
        proto_defaults(&MetadataResponse_MetadataResponsePartition_type, &p);
        p.partition_index = *left;
        long_add(to, &MetadataResponse_MetadataResponsePartition_type, &p);
    } else {
        long_add(to, &MetadataResponse_MetadataResponseTopic_type, &told);
    }
    --*left;
    return true;
}

static void begin(struct request *r, struct long_plan *plan)
{
    const struct MetadataRequest *in = r->in;
    struct MetadataResponse *out = r->out;
    int *left = arena_alloc(&r->arena, sizeof(*left));

    n_begun++;
    *left = (int)in->topics.v[0].name.len;
    out->controller_id = 77;
    *plan = (struct long_plan){.array = &out->topics,
                               .step = tell_one,
                               .state = left,
                               .shared = is_shared,
                               .flags = (uint32_t)*left};
}

static void answer_at_length(struct request *r)
{
    request_reply_long(r, begin);
}

static struct net_world *world(uint64_t seed, int64_t budget)
{
    struct net_world *w = nw_make(seed);

    n_steps = n_begun = 0;
    is_shared = is_nested = false;
    w->run = answer_at_length;
    w->limits.queued_bytes_max = budget;
    nw_start(w);
    return w;
}

static void ask(struct raw *r, int32_t correlation, size_t topics)
{
    struct bytes b;

    bytes_init(&b, r->heap);
    frame_metadata(&b, correlation, topics);
    raw_send(r, b.p, b.len);
    bytes_drop(&b);
}

/* The i-th answer has so many topics. */
static void check_answer(const struct raw *r, int i, int topics)
{
    const struct proto_api *api = proto_api(API_Metadata);
    struct MetadataResponse m;
    struct arena a;

    arena_init(&a, r->heap, SIZE_MAX);
    CHECK_EQ(proto_response_body(api, 4, raw_answer(r, i), &a, &m), E_OK);
    CHECK_EQ(m.controller_id, 77);
    CHECK_EQ(m.topics.n, topics);
    arena_drop(&a);
}

/* What is told in steps is the same message as if it had been told at once, with elements inside elements too. */
TEST(long_answer, is_one_message)
{
    struct net_world *w = world(1, 8 << 20);
    struct raw *r = raw_dial(w, 2);

    for (int i = 0; i < 8; i++) {
        int n = 1 << (2 * i);
        is_nested = i % 2 == 1;
        ask(r, i, (size_t)n);
        nw_run(w, 2000);
        CHECK_EQ(raw_answers(r), i + 1);
        check_answer(r, i, is_nested ? 1 : n);
    }
    CHECK_EQ(net_budget_used(w->shared), 0);
    raw_free(r);
    nw_drop(w);
}

static bool is_begun(void *arg)
{
    (void)arg;
    return n_steps > 0;
}

static int steps_at_versions;

static void note_steps(struct request *r)
{
    steps_at_versions = n_steps;
    handler_find(API_ApiVersions)->run(r);
}

/* While a long answer is made, others are answered: no callback of it takes more than its share. */
TEST(long_answer, lets_others_through)
{
    struct net_world *w = world(2, 64 << 20);
    struct raw *long_one = raw_dial(w, 2), *skip = raw_dial(w, 3), *short_one = raw_dial(w, 4);
    struct ApiVersionsRequest m;
    struct bytes b;

    bytes_init(&b, short_one->heap);
    proto_defaults(&ApiVersionsRequest_type, &m);
    w->versions = note_steps;
    frame_add(&b, API_ApiVersions, 0, 1, &m);
    ask(long_one, 1, 20000);
    CHECK(sim_run(w->sim, is_begun, NULL, INT64_C(1000000000)));
    CHECK(n_steps < 1000);
    raw_send(short_one, b.p, b.len);
    nw_run(w, 10000);
    CHECK(steps_at_versions > 0 && steps_at_versions < 20000);
    check_answer(long_one, 0, 20000);
    bytes_drop(&b);
    raw_free(long_one);
    raw_free(skip);
    raw_free(short_one);
    nw_drop(w);
}

/* Answers keep the order of requests, long ones among short ones. */
TEST(long_answer, keeps_the_order_of_requests)
{
    struct net_world *w = world(3, 8 << 20);
    struct raw *r = raw_dial(w, 2);

    for (int i = 0; i < 20; i++)
        ask(r, i, i % 3 == 0 ? 700 : 1);
    nw_run(w, 5000);
    CHECK_EQ(raw_answers(r), 20);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(raw_correlation(r, i), i);
        check_answer(r, i, i % 3 == 0 ? 700 : 1);
    }
    raw_free(r);
    nw_drop(w);
}

/* Who asks for what was told to another gets the same bytes: they are made once, and lie in memory once. */
TEST(long_answer, is_shared_by_those_who_ask_the_same)
{
    enum { ASKERS = 12, TOPICS = 2000 };
    struct net_world *w = world(4, 64 << 20);
    struct raw *r[ASKERS];

    is_shared = true;
    for (int i = 0; i < ASKERS; i++) {
        r[i] = raw_dial(w, 2 + i % 4);
        r[i]->deaf = true;
        ask(r[i], i, TOPICS);
    }
    nw_run(w, 3000);
    CHECK_EQ(n_begun, ASKERS);
    CHECK(n_steps % TOPICS == 0 && n_steps <= NW_LOOPS * TOPICS);
    CHECK(net_budget_used(w->shared) > TOPICS * TOPIC_BYTES);
    CHECK(net_budget_used(w->shared) < 2 * NW_LOOPS * TOPICS * TOPIC_BYTES);
    for (int i = 0; i < ASKERS; i++)
        raw_hear(r[i]);
    nw_run(w, 5000);
    for (int i = 0; i < ASKERS; i++)
        check_answer(r[i], 0, TOPICS);
    CHECK_EQ(net_budget_used(w->shared), 0);
    for (int i = 0; i < ASKERS; i++)
        raw_free(r[i]);
    nw_drop(w);
}

/* Long answers are counted with the frames: the budget bounds them, one a loop aside, and everybody gets his. */
TEST(long_answer, budget_bounds_it_and_starves_nobody)
{
    enum { ASKERS = 16, TOPICS = 1000, MAX = 1 << 20, ONE = TOPICS * TOPIC_BYTES * 5 / 4 };
    struct net_world *w = world(5, MAX);
    struct raw *r[ASKERS];

    for (int i = 0; i < ASKERS; i++) {
        r[i] = raw_dial(w, 2 + i % 4);
        ask(r[i], i, TOPICS);
    }
    for (int i = 0; i < 400; i++) {
        nw_run(w, 5);
        CHECK(net_budget_used(w->shared) <= MAX + NW_LOOPS * ONE);
    }
    nw_run(w, 10000);
    for (int i = 0; i < ASKERS; i++) {
        check_answer(r[i], 0, TOPICS);
        raw_free(r[i]);
    }
    CHECK_EQ(net_budget_used(w->shared), 0);
    nw_drop(w);
}

/* Who doesn't read long answers loses its connection once others wait for the memory; alone, it may take its time. */
TEST(long_answer, deaf_readers_give_way)
{
    enum { DEAF = 12, TOPICS = 2000, MAX = 3 << 20 };
    struct net_world *w = world(6, MAX);
    struct raw *deaf[DEAF], *good;

    for (int i = 0; i < DEAF; i++) {
        deaf[i] = raw_dial(w, 2 + i % 3);
        deaf[i]->deaf = true;
        ask(deaf[i], i, TOPICS);
        nw_run(w, 1000);
        CHECK(i > 0 || !deaf[i]->closed);
    }
    good = raw_dial(w, 5);
    ask(good, 1, TOPICS);
    nw_run(w, 200000);
    CHECK_EQ(raw_answers(good), 1);
    check_answer(good, 0, TOPICS);
    for (int i = 0; i < DEAF; i++)
        raw_free(deaf[i]);
    raw_free(good);
    nw_drop(w);
}

/* Connections that end while their answers wait, are made or are sent leave nothing behind and hold nobody up. */
TEST(long_answer, ends_with_its_connection)
{
    for (int delay = 0; delay < 40; delay += 3) {
        struct net_world *w = world(100 + (uint64_t)delay, 1 << 20);
        struct raw *r[6];

        is_shared = delay % 2;
        for (int i = 0; i < 6; i++) {
            r[i] = raw_dial(w, 2 + i % 3);
            for (int k = 0; k < 3; k++)
                ask(r[i], k, 3000);
        }
        nw_run(w, delay);
        for (int i = 1; i < 6; i++)
            raw_close(r[i]);
        nw_run(w, 20000);
        CHECK_EQ(raw_answers(r[0]), 3);
        CHECK_EQ(net_budget_used(w->shared), 0);
        for (int i = 0; i < 6; i++)
            raw_free(r[i]);
        nw_drop(w);
    }
}

static void reply_many(struct request *r)
{
    const struct MetadataRequest *in = r->in;
    struct MetadataResponse *out = r->out;

    out->controller_id = 77;
    PROTO_ARRAY_NEW(&r->arena, MetadataResponse_MetadataResponseTopic, out->topics,
                    (int32_t)in->topics.v[0].name.len);
    for (int32_t i = 0; i < out->topics.n; i++)
        out->topics.v[i].name = SLICE("t");
    request_reply(r);
}

/* An answer that a handler has made whole goes the same way if it is long. */
TEST(long_answer, takes_elements_that_are_there)
{
    struct net_world *w = world(7, 8 << 20);
    struct raw *r = raw_dial(w, 2);

    w->run = reply_many;
    for (int i = 0; i < 3; i++)
        ask(r, i, i == 1 ? 30000 : 3);
    nw_run(w, 5000);
    CHECK_EQ(raw_answers(r), 3);
    for (int i = 0; i < 3; i++)
        check_answer(r, i, i == 1 ? 30000 : 3);
    raw_free(r);
    nw_drop(w);
}
