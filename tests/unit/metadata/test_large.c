/* Decisions larger than a batch: cut by number and by bytes, in steps, as transactions where they count together. */
#include "tests/unit/metadata/meta_world.h"

/* Submits a topic of more partitions than a batch can hold. */
static void submit_large(struct ctl_world *w, struct ctl_call *call, struct CreateTopicsResponse *resp)
{
    struct CreateTopicsRequest *req = arena_alloc(&w->arena, sizeof(*req));

    *req = create_one(w, "t", 10000, 1);
    proto_defaults(&CreateTopicsResponse_type, resp);
    ctl_world_submit(w, call, decide_create_topics, req, resp, 7);
    ctl_world_turns(w);
}

/* A topic that a batch can't hold goes out in batches of at most 1,000 records, at most four in flight, and nobody sees a
 * part of it: what is published is without it until the end of the transaction has committed. */
TEST(controller, large_topic_is_a_transaction)
{
    struct CreateTopicsResponse resp;
    struct ctl_call call;
    struct ctl_world w;
    int batches = 0;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    submit_large(&w, &call, &resp);
    CHECK_EQ(w.n_proposed, CTL_FLIGHT_MAX);
    for (; w.n_proposed; batches++) {
        CHECK(!call.done && !image_topic_by_name(ctl_image(w.c), SLICE("t")));
        CHECK(w.proposed[0]->last_offset - w.proposed[0]->base_offset < CTL_BATCH_MAX);
        ctl_world_commit(&w);
        CHECK(ctl_in_transaction(w.c) == !call.done);
        ctl_world_turns(&w);
    }
    CHECK_EQ(batches, 11);
    CHECK(call.done && resp.topics.v[0].num_partitions == 10000);
    CHECK_EQ(ctl_image(w.c)->n_partitions, 10000);
    CHECK_EQ(ctl_image(w.c)->offset, ctl_tip(w.c)->offset);
    ctl_world_stop(&w);
}

/* A leader that finds a transaction open undoes it before it decides anything, and its topic can be made again. */
TEST(controller, new_leader_undoes_an_open_transaction)
{
    const struct CreateTopicsResponse_CreatableTopicResult *made;
    struct CreateTopicsRequest again;
    struct CreateTopicsResponse resp;
    struct ctl_call call;
    struct ctl_world w;
    int64_t before;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    before = ctl_image(w.c)->offset;
    submit_large(&w, &call, &resp);
    ctl_world_commit(&w);
    CHECK(ctl_in_transaction(w.c) && ctl_image(w.c)->offset == before);
    ctl_lost(w.c);
    w.n_proposed = 0;
    CHECK(call.done && call.err == E_NOT_CONTROLLER);
    ctl_lead(w.c, 9, ctl_tip(w.c)->offset + 2); /* behind the barrier */
    again = create_one(&w, "t", 2, 1);
    made = created(&w, &again);
    CHECK_EQ(made->error_code, 0);
    CHECK(!ctl_in_transaction(w.c));
    CHECK_EQ(ctl_image(w.c)->n_partitions, 2);
    ctl_world_stop(&w);
}

/* So do the partitions that a topic gets later, if a batch can't hold them. */
TEST(controller, large_growth_is_a_transaction)
{
    struct CreatePartitionsRequest req;
    struct CreatePartitionsResponse resp;
    struct CreateTopicsRequest first;
    struct ctl_call call;
    struct ctl_world w;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    first = create_one(&w, "t", 2, 1);
    CHECK_EQ(created(&w, &first)->error_code, 0);
    proto_defaults(&CreatePartitionsRequest_type, &req);
    proto_defaults(&CreatePartitionsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, CreatePartitionsRequest_CreatePartitionsTopic, req.topics, 1);
    req.topics.v[0].name = SLICE("t");
    req.topics.v[0].count = 3000;
    req.topics.v[0].assignments.n = -1;
    ctl_world_submit(&w, &call, decide_create_partitions, &req, &resp, 3);
    for (ctl_world_turns(&w); w.n_proposed; ctl_world_turns(&w)) {
        CHECK_EQ(ctl_image(w.c)->n_partitions, 2);
        ctl_world_commit(&w);
    }
    CHECK(call.done && resp.results.v[0].error_code == 0);
    CHECK_EQ(ctl_image(w.c)->n_partitions, 3000);
    ctl_world_stop(&w);
}

/* Whoever follows batch by batch sees the same as the leader at every offset, a transaction that was undone included. */
TEST(controller, follower_sees_transactions_as_the_leader_does)
{
    struct CreateTopicsResponse resp;
    struct ctl_world leader, follower;
    struct ctl_call call;

    ctl_world_start(&leader);
    ctl_world_broker(&leader, 1, NULL);
    ctl_world_start_empty(&follower);
    ctl_lost(follower.c);
    ctl_load(follower.c, image_ref(ctl_image(leader.c)));
    submit_large(&leader, &call, &resp);
    while (leader.n_proposed) {
        CHECK_OK(ctl_follow(follower.c, bytes_slice(&leader.proposed[0]->bytes)));
        ctl_world_commit(&leader);
        CHECK_EQ(ctl_in_transaction(follower.c), ctl_in_transaction(leader.c));
        CHECK_EQ(ctl_image(follower.c)->offset, ctl_image(leader.c)->offset);
        CHECK(image_equal(ctl_image(follower.c), ctl_image(leader.c), leader.heap));
        ctl_world_turns(&leader);
    }
    CHECK(call.done);
    ctl_world_stop(&follower);
    ctl_world_stop(&leader);
}

/* Where weir.version has no transactions yet, the topic grows batch by batch, each complete in itself. */
TEST(controller, large_topic_before_transactions)
{
    struct UpdateFeaturesRequest req;
    struct UpdateFeaturesResponse done;
    struct CreateTopicsResponse resp;
    struct ctl_call call;
    struct ctl_world w;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    proto_defaults(&UpdateFeaturesRequest_type, &req);
    proto_defaults(&UpdateFeaturesResponse_type, &done);
    PROTO_ARRAY_NEW(&w.arena, UpdateFeaturesRequest_FeatureUpdateKey, req.feature_updates, 1);
    req.feature_updates.v[0] =
        (struct UpdateFeaturesRequest_FeatureUpdateKey){.feature = SLICE(FEATURE_WEIR),
                                                        .max_version_level = WEIR_VERSION_TRANSACTIONS - 1,
                                                        .upgrade_type = 2};
    ctl_world_call(&w, decide_update_features, &req, &done, 1);
    CHECK_EQ(done.error_code, 0);
    submit_large(&w, &call, &resp);
    while (w.n_proposed) {
        const struct image_topic *t;

        ctl_world_commit(&w);
        t = image_topic_by_name(ctl_image(w.c), SLICE("t"));
        CHECK(t && image_partition(t, (int32_t)t->partitions.count - 1)->leader == 1);
        ctl_world_turns(&w);
    }
    CHECK(call.done && ctl_image(w.c)->n_partitions == 10000);
    ctl_world_stop(&w);
}

/* A request that brings megabytes goes out in batches of about one: a follower that waits for the end of a larger one would
 * take its leader for dead. */
TEST(controller, large_values_go_in_batches_of_bounded_size)
{
    enum { GROUPS = 200, VALUE = 30000 };
    struct IncrementalAlterConfigsRequest alter;
    struct IncrementalAlterConfigsResponse resp;
    struct ctl_world w;
    char *value;

    ctl_world_start(&w);
    value = arena_alloc(&w.arena, VALUE);
    memset(value, 'v', VALUE);
    proto_defaults(&IncrementalAlterConfigsRequest_type, &alter);
    proto_defaults(&IncrementalAlterConfigsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterConfigsResource, alter.resources, GROUPS);
    for (int i = 0; i < GROUPS; i++) {
        struct IncrementalAlterConfigsRequest_AlterConfigsResource *r = &alter.resources.v[i];

        r->resource_type = CONFIG_GROUP;
        r->resource_name = SLICE(arena_printf(&w.arena, "g%d", i));
        PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterableConfig, r->configs, 1);
        r->configs.v[0].name = SLICE("x");
        r->configs.v[0].value = slice_of(value, VALUE);
    }
    w.largest = 0;
    ctl_world_call(&w, decide_incremental_alter_configs, &alter, &resp, 1);
    for (int i = 0; i < GROUPS; i++)
        CHECK_EQ(resp.responses.v[i].error_code, 0);
    CHECK_EQ(ctl_image(w.c)->configs.count, GROUPS);
    CHECK(w.largest > CTL_BATCH_BYTES / 2 && w.largest < CTL_BATCH_BYTES + 2 * VALUE);
    ctl_world_stop(&w);
}

/* So do the settings of one new topic, though they count only as a whole: nobody sees a part of it. */
TEST(controller, a_topic_with_large_values_goes_in_batches_of_bounded_size)
{
    enum { SETTINGS = 200, VALUE = 30000 };
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse resp;
    struct ctl_world w;
    struct ctl_call call;
    char *value;
    int batches = 0;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    value = arena_alloc(&w.arena, VALUE);
    memset(value, 'v', VALUE);
    req = create_one(&w, "t", 1, 1);
    PROTO_ARRAY_NEW(&w.arena, CreateTopicsRequest_CreatableTopicConfig, req.topics.v[0].configs, SETTINGS);
    for (int i = 0; i < SETTINGS; i++) {
        req.topics.v[0].configs.v[i].name = SLICE(arena_printf(&w.arena, "s%d", i));
        req.topics.v[0].configs.v[i].value = slice_of(value, VALUE);
    }
    w.largest = 0;
    proto_defaults(&CreateTopicsResponse_type, &resp);
    ctl_world_submit(&w, &call, decide_create_topics, &req, &resp, 7);
    for (ctl_world_turns(&w); w.n_proposed; ctl_world_turns(&w)) {
        CHECK_EQ(ctl_image(w.c)->topics.count, 0);
        ctl_world_commit(&w);
        batches++;
    }
    CHECK(call.done && !call.err && resp.topics.v[0].error_code == 0);
    CHECK_EQ(ctl_image(w.c)->topics.count, 1);
    CHECK_EQ(ctl_image(w.c)->configs.count, SETTINGS);
    CHECK(batches >= SETTINGS * VALUE / CTL_BATCH_BYTES && w.largest < CTL_BATCH_BYTES + 2 * VALUE);
    ctl_world_stop(&w);
}

/* What counts together and fits by number is still cut by bytes. */
static void decide_whole(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct slice *value = in;

    o->together = "test";
    for (int i = 0; i < 200; i++)
        ctl_emit(o, RECORD_CONFIG, i > 0)->config =
            (struct record_config){.resource_type = CONFIG_GROUP,
                                   .resource = SLICE("g"),
                                   .name = SLICE(arena_printf(o->work, "s%d", i)),
                                   .value = *value};
}

TEST(controller, what_counts_together_goes_in_batches_of_bounded_size)
{
    enum { VALUE = 30000 };
    struct ctl_world w;
    struct slice value;
    char *v;

    ctl_world_start(&w);
    v = arena_alloc(&w.arena, VALUE);
    memset(v, 'v', VALUE);
    value = slice_of(v, VALUE);
    w.largest = 0;
    ctl_world_call(&w, decide_whole, &value, NULL, 0);
    CHECK_EQ(ctl_image(w.c)->configs.count, 200);
    CHECK(w.largest > CTL_BATCH_BYTES / 2 && w.largest < CTL_BATCH_BYTES + 2 * VALUE);
    ctl_world_stop(&w);
}

/* A request for thousands of topics is decided in steps: no turn makes more records than a step may, batches hold 1,000
 * at most and are complete in themselves, and the reply is as if it had been decided at once. */
TEST(controller, a_large_decision_goes_in_steps)
{
    enum { TOPICS = 3000 };
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse resp;
    struct ctl_world w;
    struct ctl_call call;
    int64_t before;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    before = ctl_tip(w.c)->offset;
    proto_defaults(&CreateTopicsRequest_type, &req);
    proto_defaults(&CreateTopicsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, CreateTopicsRequest_CreatableTopic, req.topics, TOPICS);
    for (int i = 0; i < TOPICS; i++) { /* the last one's name stands there twice */
        req.topics.v[i].name = SLICE(arena_printf(&w.arena, "t%d", i == TOPICS - 1 ? 0 : i));
        req.topics.v[i].num_partitions = 2;
        req.topics.v[i].replication_factor = 1;
    }
    ctl_world_submit(&w, &call, decide_create_topics, &req, &resp, 4);
    for (int64_t offset = before, turns = 0; !call.done; turns++) {
        bool more = ctl_turn(w.c, 0);
        int64_t wrote = ctl_tip(w.c)->offset - offset;
        CHECK(wrote <= CTL_BATCH_MAX && turns < 100);
        offset += wrote;
        if (!more)
            ctl_world_commit(&w);
    }
    CHECK_EQ(resp.topics.n, TOPICS - 1);
    CHECK_EQ(resp.topics.v[0].error_code, err_wire(E_INVALID_REQUEST));
    for (int i = 1; i < TOPICS - 1; i++)
        CHECK_EQ(resp.topics.v[i].error_code, 0);
    CHECK_EQ(ctl_image(w.c)->n_partitions, 2 * (TOPICS - 2));
    ctl_world_stop(&w);
}

/* Leadership that is lost between the steps of a decision ends it; what had committed stays, and nothing leaks. */
TEST(controller, loses_leadership_between_steps)
{
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse resp;
    struct ctl_world w;
    struct ctl_call call;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    proto_defaults(&CreateTopicsRequest_type, &req);
    proto_defaults(&CreateTopicsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, CreateTopicsRequest_CreatableTopic, req.topics, 2000);
    for (int i = 0; i < req.topics.n; i++) {
        req.topics.v[i].name = SLICE(arena_printf(&w.arena, "t%d", i));
        req.topics.v[i].num_partitions = 1;
        req.topics.v[i].replication_factor = 1;
    }
    ctl_world_submit(&w, &call, decide_create_topics, &req, &resp, 4);
    CHECK(ctl_turn(w.c, 0) && !call.done);
    ctl_lost(w.c);
    CHECK(call.done && call.err == E_NOT_CONTROLLER);
    CHECK_EQ(ctl_tip(w.c)->n_partitions, 0);
    ctl_world_stop(&w);
}
