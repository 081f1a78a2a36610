#include "tests/unit/metadata/meta_world.h"

static void check_text(struct slice got, const char *want)
{
    char text[400];

    (void)snprintf(text, sizeof(text), "%.*s", (int)got.len, (const char *)got.p);
    CHECK_STR(text, want);
}

struct refusal {
    const char *name;
    int partitions, factor;
    enum err err;
    const char *text;
};
static const struct refusal REFUSALS[] = {
    {"", 1, 1, E_INVALID_TOPIC_EXCEPTION, "Topic name is invalid: the empty string is not allowed"},
    {"..", 1, 1, E_INVALID_TOPIC_EXCEPTION, "Topic name is invalid: '..' is not allowed"},
    {"a b", 1, 1, E_INVALID_TOPIC_EXCEPTION,
     "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' "
     "and '-'"},
    {"there.is", 1, 1, E_TOPIC_ALREADY_EXISTS, "Topic 'there.is' already exists."},
    {"there_is", 1, 1, E_INVALID_TOPIC_EXCEPTION, "Topic 'there_is' collides with existing topic: there.is"},
    {"t", 0, 1, E_INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value."},
    {"t", 1, 0, E_INVALID_REPLICATION_FACTOR,
     "Replication factor must be larger than 0, or -1 to use the default value."},
    {"t", 1, 2, E_INVALID_REPLICATION_FACTOR,
     "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached "
     "because only 1 "
     "broker(s) are registered or some brokers have all their log directories cordoned."},
    {"t", 10001, 1, E_POLICY_VIOLATION, "Excessively large number of partitions per request."},
    {"__cluster_metadata", 1, 1, E_INVALID_REQUEST,
     "Creation of internal topic __cluster_metadata is prohibited."},
};

/* A topic that can't be is refused with Kafka's code and words, and nothing is written. */
TEST_EACH(controller, create_refused_as_kafka_does, REFUSALS)
{
    const struct CreateTopicsResponse_CreatableTopicResult *result;
    struct CreateTopicsRequest req;
    struct ctl_world w;
    int64_t before;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    req = create_one(&w, "there.is", -1, -1);
    CHECK_EQ(created(&w, &req)->error_code, 0);
    before = ctl_image(w.c)->offset;
    req = create_one(&w, row->name, row->partitions, row->factor);
    result = created(&w, &req);
    CHECK_EQ(result->error_code, err_wire(row->err));
    check_text(result->error_message, row->text);
    CHECK_EQ(result->num_partitions, -1);
    CHECK_EQ(ctl_image(w.c)->offset, before);
    ctl_world_stop(&w);
}

/* A created topic has its partitions with leaders, its settings, and a reply that tells all of it. */
TEST(controller, create_makes_topic_partitions_and_settings)
{
    const struct CreateTopicsResponse_CreatableTopicResult *result;
    const struct image_topic *t;
    struct CreateTopicsRequest req;
    struct ctl_world w;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    req = create_one(&w, "t", 3, -1);
    PROTO_ARRAY_NEW(&w.arena, CreateTopicsRequest_CreatableTopicConfig, req.topics.v[0].configs, 1);
    req.topics.v[0].configs.v[0].name = SLICE("cleanup.policy");
    req.topics.v[0].configs.v[0].value = SLICE("compact");
    result = created(&w, &req);
    CHECK_EQ(result->error_code, 0);
    CHECK(result->error_message.p == NULL);
    CHECK(result->num_partitions == 3 && result->replication_factor == 1 && result->configs.n == 1);
    check_text(result->configs.v[0].value, "compact");
    CHECK_EQ(result->configs.v[0].config_source, 1);
    t = image_topic_by_name(ctl_image(w.c), SLICE("t"));
    CHECK(t && t->partitions.count == 3 && uuid_eq(t->id, result->topic_id));
    for (int i = 0; i < 3; i++) {
        const struct image_partition *p = image_partition(t, i);

        CHECK(p->leader == 1 && p->leader_epoch == 0 && p->n_isr == 1);
        CHECK_EQ(partition_dirs(p).v[0].b[0], 2);
    }
    check_text(image_config(ctl_image(w.c), CONFIG_TOPIC, SLICE("t"), "cleanup.policy"), "compact");
    ctl_world_stop(&w);
}

/* Validate-only answers as if it were done, and writes nothing. */
TEST(controller, validate_only_writes_nothing)
{
    struct CreateTopicsRequest req;
    struct ctl_world w;
    int64_t before;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    before = ctl_image(w.c)->offset;
    req = create_one(&w, "t", 3, 1);
    req.validate_only = true;
    CHECK_EQ(created(&w, &req)->num_partitions, 3);
    CHECK_EQ(ctl_image(w.c)->offset, before);
    ctl_world_stop(&w);
}

/* A reply goes when what it was decided on has committed: the second of two equal requests, which wrote
 * nothing, waits for the first. */
TEST(controller, refusal_waits_for_what_it_saw)
{
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse first, second;
    struct ctl_call a, b;
    struct ctl_world w;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    req = create_one(&w, "t", 1, 1);
    proto_defaults(&CreateTopicsResponse_type, &first);
    proto_defaults(&CreateTopicsResponse_type, &second);
    ctl_world_submit(&w, &a, decide_create_topics, &req, &first, 7);
    ctl_world_turns(&w);
    ctl_world_submit(&w, &b, decide_create_topics, &req, &second, 7);
    ctl_world_turns(&w);
    CHECK(!a.done && !b.done && w.n_proposed == 1);
    CHECK(image_topic_by_name(ctl_tip(w.c), SLICE("t")) && !image_topic_by_name(ctl_image(w.c), SLICE("t")));
    ctl_world_commit(&w);
    CHECK(a.done && b.done);
    CHECK_EQ(first.topics.v[0].error_code, 0);
    CHECK_EQ(second.topics.v[0].error_code, err_wire(E_TOPIC_ALREADY_EXISTS));
    ctl_world_stop(&w);
}

/* When leadership is lost, what wasn't committed has never been, and every request that waits is told so. */
TEST(controller, lost_leadership_undoes_and_fails_all)
{
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse resp[6];
    struct ctl_call calls[6];
    struct ctl_world w;
    uint64_t before;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    before = image_hash(ctl_image(w.c), w.heap);
    req = create_one(&w, "t", 1, 1);
    for (int i = 0; i < 6; i++) {
        proto_defaults(&CreateTopicsResponse_type, &resp[i]);
        ctl_world_submit(&w, &calls[i], decide_create_topics, &req, &resp[i], 7);
        if (i != 5)
            ctl_world_turns(&w);
    }
    ctl_lost(w.c);
    for (int i = 0; i < 6; i++)
        CHECK(calls[i].done && calls[i].err == E_NOT_CONTROLLER);
    CHECK(image_hash(ctl_image(w.c), w.heap) == before && image_hash(ctl_tip(w.c), w.heap) == before);
    ctl_world_submit(&w, &calls[0], decide_create_topics, &req, &resp[0], 7);
    CHECK(calls[0].done && calls[0].err == E_NOT_CONTROLLER);
    ctl_world_stop(&w);
}

/* Six brokers in two racks, three replicas: every partition lies in both racks, on three brokers, and leaders
 * and replicas are spread evenly. */
TEST(controller, placement_spreads_over_racks)
{
    struct CreateTopicsRequest req;
    const struct image_topic *t;
    int leads[7] = {0}, holds[7] = {0};
    struct ctl_world w;

    ctl_world_start(&w);
    for (int i = 1; i <= 6; i++)
        ctl_world_broker(&w, i, i <= 3 ? "a" : "b");
    req = create_one(&w, "t", 600, 3);
    CHECK_EQ(created(&w, &req)->error_code, 0);
    t = image_topic_by_name(ctl_image(w.c), SLICE("t"));
    for (int i = 0; i < 600; i++) {
        struct ids r = partition_replicas(image_partition(t, i));
        int in_a = 0;

        for (int j = 0; j < r.n; j++) {
            in_a += r.v[j] <= 3;
            holds[r.v[j]]++;
            CHECK(!ids_has((struct ids){r.v, j}, r.v[j]));
        }
        CHECK(r.n == 3 && in_a > 0 && in_a < 3);
        leads[r.v[0]]++;
    }
    for (int i = 1; i <= 6; i++) {
        CHECK_EQ(leads[i], 100);
        CHECK_EQ(holds[i], 300);
    }
    ctl_world_stop(&w);
}

/* Deleting a topic takes its partitions and settings along; by name and by id; what isn't there is said to be
 * not. */
TEST(controller, delete_takes_all_along)
{
    struct DeleteTopicsRequest del;
    struct DeleteTopicsResponse resp;
    struct CreateTopicsRequest req;
    struct ctl_world w;
    struct uuid id;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    req = create_one(&w, "one", 3, 1);
    CHECK_EQ(created(&w, &req)->error_code, 0);
    req = create_one(&w, "two", 3, 1);
    id = created(&w, &req)->topic_id;
    proto_defaults(&DeleteTopicsRequest_type, &del);
    proto_defaults(&DeleteTopicsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, DeleteTopicsRequest_DeleteTopicState, del.topics, 4);
    del.topics.v[0].name = SLICE("one");
    del.topics.v[1].topic_id = id;
    del.topics.v[2].name = SLICE("three");
    ctl_world_call(&w, decide_delete_topics, &del, &resp, 6);
    CHECK_EQ(resp.responses.n, 4);
    CHECK(ctl_image(w.c)->topics.count == 0 && ctl_image(w.c)->names.count == 0 &&
          ctl_image(w.c)->n_partitions == 0);
    for (int i = 0; i < 4; i++) {
        struct slice name = resp.responses.v[i].name;
        int16_t code = resp.responses.v[i].error_code;

        if (!name.p)
            CHECK_EQ(code, err_wire(E_INVALID_REQUEST));
        else if (slice_eq(name, SLICE("three")))
            CHECK_EQ(code, err_wire(E_UNKNOWN_TOPIC_OR_PARTITION));
        else
            CHECK_EQ(code, 0);
    }
    ctl_world_stop(&w);
}

/* CreatePartitions grows a topic; what wouldn't be growth is refused. */
TEST(controller, partitions_only_grow)
{
    static const int counts[] = {3, 2, 7};
    static const enum err want[] = {E_INVALID_PARTITIONS, E_INVALID_PARTITIONS, E_OK};
    struct CreateTopicsRequest req;
    struct ctl_world w;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    req = create_one(&w, "t", 3, 1);
    CHECK_EQ(created(&w, &req)->error_code, 0);
    for (int i = 0; i < 3; i++) {
        struct CreatePartitionsRequest grow;
        struct CreatePartitionsResponse resp;

        proto_defaults(&CreatePartitionsRequest_type, &grow);
        proto_defaults(&CreatePartitionsResponse_type, &resp);
        PROTO_ARRAY_NEW(&w.arena, CreatePartitionsRequest_CreatePartitionsTopic, grow.topics, 1);
        grow.topics.v[0].name = SLICE("t");
        grow.topics.v[0].count = counts[i];
        grow.topics.v[0].assignments.n = -1;
        ctl_world_call(&w, decide_create_partitions, &grow, &resp, 3);
        CHECK_EQ(resp.results.v[0].error_code, err_wire(want[i]));
    }
    CHECK_EQ(image_topic_by_name(ctl_image(w.c), SLICE("t"))->partitions.count, 7);
    ctl_world_stop(&w);
}

struct alter {
    const char *name;
    int8_t op;
    const char *value;
    enum err err;
    const char *want; /* cleanup.policy afterwards; NULL: not set */
};
static const struct alter ALTERS[] = {
    {"cleanup.policy", 0, "compact", E_OK, "compact"},
    {"cleanup.policy", 2, "compact", E_OK, "delete,compact"},
    {"cleanup.policy", 3, "delete", E_OK, ""},
    {"cleanup.policy", 1, NULL, E_OK, NULL},
    {"retention.ms", 2, "5", E_INVALID_CONFIG, NULL},
    {"bad.name", 0, "5", E_INVALID_CONFIG, NULL},
    {"cleanup.policy", 0, NULL, E_INVALID_REQUEST, NULL},
};

/* Each operation of IncrementalAlterConfigs does to a setting what it says, or is refused. */
TEST_EACH(controller, incremental_alter, ALTERS)
{
    struct IncrementalAlterConfigsRequest alter;
    struct IncrementalAlterConfigsResponse resp;
    struct CreateTopicsRequest req;
    struct ctl_world w;
    struct slice got;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    req = create_one(&w, "t", 1, 1);
    CHECK_EQ(created(&w, &req)->error_code, 0);
    proto_defaults(&IncrementalAlterConfigsRequest_type, &alter);
    proto_defaults(&IncrementalAlterConfigsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterConfigsResource, alter.resources, 1);
    alter.resources.v[0].resource_type = CONFIG_TOPIC;
    alter.resources.v[0].resource_name = SLICE("t");
    PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterableConfig, alter.resources.v[0].configs,
                    1);
    alter.resources.v[0].configs.v[0].name = SLICE(row->name);
    alter.resources.v[0].configs.v[0].config_operation = row->op;
    alter.resources.v[0].configs.v[0].value = row->value ? SLICE(row->value) : SLICE_NULL;
    ctl_world_call(&w, decide_incremental_alter_configs, &alter, &resp, 1);
    CHECK_EQ(resp.responses.v[0].error_code, err_wire(row->err));
    got = image_config(ctl_image(w.c), CONFIG_TOPIC, SLICE("t"), "cleanup.policy");
    CHECK((got.p != NULL) == (row->want != NULL));
    if (row->want)
        check_text(got, row->want);
    ctl_world_stop(&w);
}

struct long_name {
    size_t len;
    enum err err;
};
static const struct long_name LONG_NAMES[] = {{UINT16_MAX, E_OK}, {UINT16_MAX + 1, E_INVALID_REQUEST}};

/* A resource whose name the image can't hold is refused: written, it would stop every node that follows. */
TEST_EACH(controller, a_resource_with_a_long_name, LONG_NAMES)
{
    struct IncrementalAlterConfigsRequest alter;
    struct IncrementalAlterConfigsResponse resp;
    struct ctl_world w;
    uint8_t *name;

    ctl_world_start(&w);
    name = arena_alloc(&w.arena, row->len);
    memset(name, 'g', row->len);
    proto_defaults(&IncrementalAlterConfigsRequest_type, &alter);
    proto_defaults(&IncrementalAlterConfigsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterConfigsResource, alter.resources, 1);
    alter.resources.v[0].resource_type = CONFIG_GROUP;
    alter.resources.v[0].resource_name = slice_of(name, row->len);
    PROTO_ARRAY_NEW(&w.arena, IncrementalAlterConfigsRequest_AlterableConfig, alter.resources.v[0].configs,
                    1);
    alter.resources.v[0].configs.v[0].name = SLICE("cleanup.policy"); /* the test's rules know no other */
    alter.resources.v[0].configs.v[0].value = SLICE("compact");
    ctl_world_call(&w, decide_incremental_alter_configs, &alter, &resp, 1);
    CHECK_EQ(resp.responses.v[0].error_code, err_wire(row->err));
    CHECK((image_config(ctl_image(w.c), CONFIG_GROUP, slice_of(name, row->len), "cleanup.policy").p !=
           NULL) == (row->err == E_OK));
    ctl_world_stop(&w);
}

/* AlterConfigs sets what it names and takes the rest back. */
TEST(controller, legacy_alter_replaces_all)
{
    struct CreateTopicsRequest req;
    struct ctl_world w;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    req = create_one(&w, "t", 1, 1);
    CHECK_EQ(created(&w, &req)->error_code, 0);
    for (int i = 0; i < 2; i++) {
        struct AlterConfigsRequest alter;
        struct AlterConfigsResponse resp;

        proto_defaults(&AlterConfigsRequest_type, &alter);
        proto_defaults(&AlterConfigsResponse_type, &resp);
        PROTO_ARRAY_NEW(&w.arena, AlterConfigsRequest_AlterConfigsResource, alter.resources, 1);
        alter.resources.v[0].resource_type = CONFIG_TOPIC;
        alter.resources.v[0].resource_name = SLICE("t");
        PROTO_ARRAY_NEW(&w.arena, AlterConfigsRequest_AlterableConfig, alter.resources.v[0].configs, 1);
        alter.resources.v[0].configs.v[0].name = SLICE(i ? "b" : "a");
        alter.resources.v[0].configs.v[0].value = SLICE("1");
        ctl_world_call(&w, decide_alter_configs, &alter, &resp, 2);
        CHECK_EQ(resp.responses.v[0].error_code, 0);
    }
    CHECK(image_config(ctl_image(w.c), CONFIG_TOPIC, SLICE("t"), "a").p == NULL);
    check_text(image_config(ctl_image(w.c), CONFIG_TOPIC, SLICE("t"), "b"), "1");
    ctl_world_stop(&w);
}

/* Blocks of producer ids follow each other and go to registered brokers of this incarnation alone. */
TEST(controller, producer_id_blocks)
{
    struct AllocateProducerIdsRequest req;
    struct AllocateProducerIdsResponse resp;
    struct ctl_world w;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    proto_defaults(&AllocateProducerIdsRequest_type, &req);
    req.broker_id = 1;
    req.broker_epoch = image_broker(ctl_image(w.c), 1)->reg.epoch;
    for (int i = 0; i < 3; i++) {
        proto_defaults(&AllocateProducerIdsResponse_type, &resp);
        ctl_world_call(&w, decide_allocate_producer_ids, &req, &resp, 0);
        CHECK(resp.error_code == 0 && resp.producer_id_start == 1000 * i && resp.producer_id_len == 1000);
    }
    req.broker_epoch++;
    ctl_world_call(&w, decide_allocate_producer_ids, &req, &resp, 0);
    CHECK_EQ(resp.error_code, err_wire(E_STALE_BROKER_EPOCH));
    ctl_world_stop(&w);
}

/* A new incarnation on the same directories replaces the broker at once, and leads its partitions: in a new
 * epoch, unless it says that nothing was lost; then no partition costs a record. */
static void new_incarnation(bool kept)
{
    struct BrokerRegistrationRequest reg;
    struct broker_registration joins = {.request = &reg, .session = true};
    struct BrokerRegistrationResponse resp;
    struct BrokerHeartbeatRequest beat;
    struct broker_heartbeat beats = {.request = &beat, .lowest_offset = INT64_MAX};
    struct BrokerHeartbeatResponse beaten;
    struct CreateTopicsRequest req;
    struct ctl_world w;
    int64_t epoch, before;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    req = create_one(&w, "t", 2, 1);
    CHECK_EQ(created(&w, &req)->error_code, 0);
    epoch = image_broker(ctl_image(w.c), 1)->reg.epoch;
    proto_defaults(&BrokerRegistrationRequest_type, &reg);
    proto_defaults(&BrokerRegistrationResponse_type, &resp);
    reg.broker_id = 1;
    reg.cluster_id = SLICE("cluster");
    reg.incarnation_id.b[5] = 77;
    PROTO_ARRAY_NEW(&w.arena, BrokerRegistrationRequest_Feature, reg.features, 2);
    reg.features.v[0] = (struct BrokerRegistrationRequest_Feature){
        .name = SLICE(FEATURE_METADATA), .min_supported_version = 7, .max_supported_version = 30};
    reg.features.v[1] = (struct BrokerRegistrationRequest_Feature){
        .name = SLICE(FEATURE_WEIR), .min_supported_version = 1, .max_supported_version = WEIR_VERSION};
    reg.log_dirs.v = arena_alloc(&w.arena, sizeof(struct uuid));
    reg.log_dirs.n = 1;
    memset(reg.log_dirs.v, 9, sizeof(struct uuid));
    ctl_world_call(&w, decide_broker_registration, &joins, &resp, 4);
    CHECK_EQ(resp.error_code, err_wire(E_DUPLICATE_BROKER_REGISTRATION)); /* other disks: another broker */
    memset(reg.log_dirs.v, 2, sizeof(struct uuid));
    reg.previous_broker_epoch = kept ? epoch : -1;
    before = ctl_image(w.c)->offset;
    ctl_world_call(&w, decide_broker_registration, &joins, &resp, 4);
    CHECK(resp.error_code == 0 && resp.broker_epoch > epoch);
    CHECK_EQ(image_broker(ctl_image(w.c), 1)->reg.epoch, resp.broker_epoch);
    CHECK(image_broker(ctl_image(w.c), 1)->reg.fenced);
    proto_defaults(&BrokerHeartbeatRequest_type, &beat);
    proto_defaults(&BrokerHeartbeatResponse_type, &beaten);
    beat.broker_id = 1;
    beat.broker_epoch = beat.current_metadata_offset = resp.broker_epoch;
    ctl_world_call(&w, decide_broker_heartbeat, &beats, &beaten, 1);
    for (int i = 0; i < 2; i++) {
        const struct image_partition *p = image_partition(image_topic_by_name(ctl_image(w.c), SLICE("t")), i);

        CHECK(p->leader == 1 && p->leader_epoch == !kept && p->partition_epoch == !kept);
    }
    CHECK_EQ(ctl_image(w.c)->offset - before, kept ? 2 : 4);
    ctl_world_stop(&w);
}

TEST(controller, new_incarnation_leads_in_a_new_epoch)
{
    new_incarnation(false);
}

TEST(controller, new_incarnation_that_lost_nothing_leads_on)
{
    new_incarnation(true);
}
