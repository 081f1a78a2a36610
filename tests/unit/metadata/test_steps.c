/* Decisions in steps: no step makes more than a step may, whatever the request holds, and its end is as if it had been
 * made in one. */
#include "metadata/decide.h"
#include "tests/unit/metadata/meta_world.h"

/* A decision that is watched. */
struct watched {
    ctl_decide_fn decide;
    const void *in;
    int *steps;
    int *largest; /* records and cost of one */
};

static void decide_watched(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct watched *w = in;

    w->decide(tip, w->in, out, o);
    ++*w->steps;
    if (o->n + o->cost > *w->largest)
        *w->largest = o->n + o->cost;
}

enum { SLACK = 50 }; /* what belongs together may come on top */

static int call_watched(struct ctl_world *w, ctl_decide_fn decide, const void *in, void *out, int16_t version)
{
    int steps = 0, largest = 0;

    ctl_world_call(w, decide_watched, &(struct watched){decide, in, &steps, &largest}, out, version);
    CHECK(largest <= CTL_STEP_MAX + SLACK);
    return steps;
}

static void world(struct ctl_world *w)
{
    ctl_world_start(w);
    for (int i = 1; i <= 3; i++)
        ctl_world_broker(w, i, NULL);
}

/* n topics t0 … of one partition. */
static void make_topics(struct ctl_world *w, int n)
{
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse resp;

    proto_defaults(&CreateTopicsRequest_type, &req);
    proto_defaults(&CreateTopicsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w->arena, CreateTopicsRequest_CreatableTopic, req.topics, n);
    for (int i = 0; i < n; i++) {
        req.topics.v[i].name = SLICE(arena_printf(&w->arena, "t%d", i));
        req.topics.v[i].num_partitions = req.topics.v[i].replication_factor = 1;
    }
    CHECK(call_watched(w, decide_create_topics, &req, &resp, 4) >= 2 * n / (CTL_STEP_MAX + SLACK));
    CHECK_EQ(ctl_image(w->c)->topics.count, n);
}

static const struct image_topic *topic(struct ctl_world *w, const char *name)
{
    return image_topic_by_name(ctl_image(w->c), SLICE(name));
}

/* ---- one topic ---- */

struct growth {
    bool by_hand;
    bool validate_only;
};
static const struct growth GROWTHS[] = {{false, false}, {true, false}, {false, true}, {true, true}};

/* Replicas of partition i when they are given. */
static void by_hand(struct ctl_world *w, int32_t **v, int32_t *n, int i)
{
    *n = 2;
    *v = arena_alloc(&w->arena, 2 * sizeof(**v));
    (*v)[0] = 1 + i % 3;
    (*v)[1] = 1 + (i + 1) % 3;
}

static void check_placed(struct ctl_world *w, const struct growth *row, int from, int to)
{
    int leads[4] = {0};

    for (int i = from; i < to; i++) {
        const struct image_partition *p = image_partition(topic(w, "t"), i);

        CHECK(p->n_replicas == 2 && p->n_isr == 2 && p->ids[0] != p->ids[1]);
        CHECK(!row->by_hand || p->leader == 1 + i % 3);
        leads[p->leader]++;
    }
    for (int b = 1; b <= 3; b++) /* one placer placed them all */
        CHECK(leads[b] >= (to - from) / 3 - 1 && leads[b] <= (to - from) / 3 + 1);
}

/* A topic of ten thousand partitions comes in steps, and is placed as by one hand. */
TEST_EACH(steps, one_large_topic, GROWTHS)
{
    enum { N = 10000 };
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse resp;
    struct ctl_world w;
    int steps;

    world(&w);
    proto_defaults(&CreateTopicsRequest_type, &req);
    proto_defaults(&CreateTopicsResponse_type, &resp);
    req.validate_only = row->validate_only;
    PROTO_ARRAY_NEW(&w.arena, CreateTopicsRequest_CreatableTopic, req.topics, 1);
    req.topics.v[0].name = SLICE("t");
    req.topics.v[0].num_partitions = row->by_hand ? -1 : N;
    req.topics.v[0].replication_factor = row->by_hand ? -1 : 2;
    if (row->by_hand)
        PROTO_ARRAY_NEW(&w.arena, CreateTopicsRequest_CreatableReplicaAssignment, req.topics.v[0].assignments,
                        N);
    for (int i = 0; row->by_hand && i < N; i++) {
        req.topics.v[0].assignments.v[i].partition_index = N - 1 - i;
        by_hand(&w, &req.topics.v[0].assignments.v[i].broker_ids.v,
                &req.topics.v[0].assignments.v[i].broker_ids.n, N - 1 - i);
    }
    steps = call_watched(&w, decide_create_topics, &req, &resp, 7);
    CHECK_EQ(resp.topics.v[0].error_code, 0);
    CHECK(resp.topics.v[0].num_partitions == N && resp.topics.v[0].replication_factor == 2);
    CHECK_EQ(topic(&w, "t") != NULL, !row->validate_only);
    if (!row->validate_only) {
        CHECK(steps >= N / CTL_STEP_MAX);
        check_placed(&w, row, 0, N);
    }
    ctl_world_stop(&w);
}

/* So do partitions that are added, to two topics in one request. */
TEST_EACH(steps, partitions_are_added, GROWTHS)
{
    enum { FROM = 1, TO = 5001 };
    struct CreatePartitionsRequest req;
    struct CreatePartitionsResponse resp;
    struct CreateTopicsRequest first;
    struct CreateTopicsResponse made;
    struct ctl_world w;
    int steps;

    world(&w);
    proto_defaults(&CreateTopicsRequest_type, &first);
    PROTO_ARRAY_NEW(&w.arena, CreateTopicsRequest_CreatableTopic, first.topics, 2);
    for (int i = 0; i < 2; i++) {
        first.topics.v[i].name = SLICE(i ? "other" : "t");
        first.topics.v[i].num_partitions = FROM;
        first.topics.v[i].replication_factor = 2;
    }
    ctl_world_call(&w, decide_create_topics, &first, &made, 7);
    proto_defaults(&CreatePartitionsRequest_type, &req);
    proto_defaults(&CreatePartitionsResponse_type, &resp);
    req.validate_only = row->validate_only;
    PROTO_ARRAY_NEW(&w.arena, CreatePartitionsRequest_CreatePartitionsTopic, req.topics, 2);
    for (int k = 0; k < 2; k++) {
        req.topics.v[k].name = SLICE(k ? "other" : "t");
        req.topics.v[k].count = TO;
        req.topics.v[k].assignments.n = -1;
        if (row->by_hand)
            PROTO_ARRAY_NEW(&w.arena, CreatePartitionsRequest_CreatePartitionsAssignment,
                            req.topics.v[k].assignments, TO - FROM);
        for (int i = FROM; row->by_hand && i < TO; i++)
            by_hand(&w, &req.topics.v[k].assignments.v[i - FROM].broker_ids.v,
                    &req.topics.v[k].assignments.v[i - FROM].broker_ids.n, i);
    }
    steps = call_watched(&w, decide_create_partitions, &req, &resp, 3);
    CHECK(resp.results.n == 2 && resp.results.v[0].error_code == 0 && resp.results.v[1].error_code == 0);
    CHECK_EQ(topic(&w, "t")->partitions.count, row->validate_only ? FROM : TO);
    CHECK_EQ(topic(&w, "other")->partitions.count, row->validate_only ? FROM : TO);
    if (!row->validate_only) {
        CHECK(steps >= 2 * (TO - FROM) / CTL_STEP_MAX);
        check_placed(&w, row, FROM, TO);
    }
    ctl_world_stop(&w);
}

/* ---- many ---- */

/* Thousands of topics go in steps, by name and by id. One that is named in both ways stays, as in Kafka, also when
 * steps lie between the two. */
TEST(steps, many_topics_are_deleted)
{
    enum { N = 3000 };
    struct DeleteTopicsRequest req;
    struct DeleteTopicsResponse resp;
    struct ctl_world w;
    int gone = 0;

    world(&w);
    make_topics(&w, N);
    proto_defaults(&DeleteTopicsRequest_type, &req);
    proto_defaults(&DeleteTopicsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, DeleteTopicsRequest_DeleteTopicState, req.topics, N + 4);
    for (int i = 0; i < N; i++) {
        if (i % 2)
            req.topics.v[i].topic_id = topic(&w, arena_printf(&w.arena, "t%d", i))->id;
        else
            req.topics.v[i].name = SLICE(arena_printf(&w.arena, "t%d", i));
    }
    req.topics.v[N].name = SLICE("t1");                 /* whose id stands there too */
    req.topics.v[N + 1].topic_id = topic(&w, "t0")->id; /* whose name does */
    req.topics.v[N + 2].name = SLICE("t3"); /* whose id does, but a name that is there twice counts not */
    req.topics.v[N + 3].name = SLICE("t3");
    CHECK(call_watched(&w, decide_delete_topics, &req, &resp, 6) >= N / CTL_STEP_MAX);
    CHECK(ctl_image(w.c)->topics.count == 2 && topic(&w, "t0") && topic(&w, "t1") && !topic(&w, "t3"));
    for (int i = 0; i < resp.responses.n; i++) {
        const struct DeleteTopicsResponse_DeletableTopicResult *r = &resp.responses.v[i];

        gone += r->error_code == 0;
        if (r->error_code)
            CHECK_EQ(r->error_code, err_wire(E_INVALID_REQUEST));
    }
    CHECK(gone == N - 2 && resp.responses.n == N + 1);
    ctl_world_stop(&w);
}

/* The settings of thousands of topics change in steps, and each topic's as a whole: one wrong one, and none does. */
TEST(steps, many_resources_change)
{
    enum { N = 2000 };
    struct IncrementalAlterConfigsRequest req;
    struct IncrementalAlterConfigsResponse resp;
    struct AlterConfigsRequest whole;
    struct AlterConfigsResponse replaced;
    struct ctl_world w;
    struct image_configs it;
    int left = 0;

    world(&w);
    make_topics(&w, N);
    proto_defaults(&IncrementalAlterConfigsRequest_type, &req);
    proto_defaults(&IncrementalAlterConfigsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterConfigsResource, req.resources, N + 1);
    for (int i = 0; i <= N; i++) { /* the last is the second's twin */
        struct IncrementalAlterConfigsRequest_AlterConfigsResource *r = &req.resources.v[i];

        r->resource_type = CONFIG_TOPIC;
        r->resource_name = SLICE(arena_printf(&w.arena, "t%d", i == N ? 1 : i));
        PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterableConfig, r->configs, 3);
        for (int k = 0; k < 3; k++) {
            r->configs.v[k].name = SLICE(i == 5 && k == 2 ? "bad" : k == 2 ? "c" : k ? "b" : "a");
            r->configs.v[k].value = SLICE("1");
        }
    }
    CHECK(call_watched(&w, decide_incremental_alter_configs, &req, &resp, 1) >= 3 * N / CTL_STEP_MAX);
    CHECK_EQ(resp.responses.n, N + 1);
    for (int i = 0; i <= N; i++) {
        int16_t want = i == 5             ? err_wire(E_INVALID_CONFIG)
                       : i == 1 || i == N ? err_wire(E_INVALID_REQUEST)
                                          : 0;

        CHECK_EQ(resp.responses.v[i].error_code, want);
        CHECK(image_config(ctl_image(w.c), CONFIG_TOPIC, req.resources.v[i].resource_name, "a").p || want);
    }
    CHECK(!image_config(ctl_image(w.c), CONFIG_TOPIC, SLICE("t5"), "a").p);
    proto_defaults(&AlterConfigsRequest_type, &whole);
    proto_defaults(&AlterConfigsResponse_type, &replaced);
    PROTO_ARRAY_NEW(&w.arena, AlterConfigsRequest_AlterConfigsResource, whole.resources, N);
    for (int i = 0; i < N; i++) {
        whole.resources.v[i].resource_type = CONFIG_TOPIC;
        whole.resources.v[i].resource_name = req.resources.v[i].resource_name;
        PROTO_ARRAY_NEW(&w.arena, AlterConfigsRequest_AlterableConfig, whole.resources.v[i].configs, 1);
        whole.resources.v[i].configs.v[0].name = whole.resources.v[i].configs.v[0].value = SLICE("d");
    }
    CHECK(call_watched(&w, decide_alter_configs, &whole, &replaced, 1) >=
          4 * (N - 2) / (CTL_STEP_MAX + SLACK));
    for (it = image_configs_all(ctl_image(w.c)); image_configs_next(&it);)
        left++;
    CHECK_EQ(left, N);
    ctl_world_stop(&w);
}

/* One resource's changes are written in steps too. */
TEST(steps, one_resource_with_many_settings)
{
    enum { N = 5000 };
    struct IncrementalAlterConfigsRequest req;
    struct IncrementalAlterConfigsResponse resp;
    struct ctl_world w;
    int steps = 0, largest = 0;

    world(&w);
    proto_defaults(&IncrementalAlterConfigsRequest_type, &req);
    proto_defaults(&IncrementalAlterConfigsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterConfigsResource, req.resources, 1);
    req.resources.v[0].resource_type = CONFIG_BROKER;
    req.resources.v[0].resource_name = SLICE("1");
    PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterableConfig, req.resources.v[0].configs, N);
    for (int i = 0; i < N; i++) {
        req.resources.v[0].configs.v[i].name = SLICE(arena_printf(&w.arena, "it%d", i));
        req.resources.v[0].configs.v[i].value = SLICE("1");
    }
    ctl_world_call(&w, decide_watched,
                   &(struct watched){decide_incremental_alter_configs, &req, &steps, &largest}, &resp, 1);
    CHECK_EQ(resp.responses.v[0].error_code, 0);
    CHECK(steps >= N / CTL_STEP_MAX);
    CHECK(image_config(ctl_image(w.c), CONFIG_BROKER, SLICE("1"), "it4999").p);
    ctl_world_stop(&w);
}
