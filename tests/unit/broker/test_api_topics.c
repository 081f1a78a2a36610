/* CreateTopics, DeleteTopics, CreatePartitions and automatic creation, asked of a whole node. */
#include "node_world.h"

static struct MetadataResponse_MetadataResponseTopic *described(struct node_world *w, int i, int version,
                                                                const char *name, bool create)
{
    struct MetadataRequest *in = node_in(w, i, API_Metadata);
    struct MetadataResponse *out;

    PROTO_ARRAY_NEW(&w->asks[i].arena, MetadataRequest_MetadataRequestTopic, in->topics, 1);
    in->topics.v[0].name = SLICE(name);
    in->allow_auto_topic_creation = create;
    out = node_ask(w, i, version, in);
    CHECK_EQ(out->topics.n, 1);
    return &out->topics.v[0];
}

/* Who hears that a topic was created, has grown or is gone finds it so with the next request, every time. */
TEST(api_topics, metadata_follows_each_change_at_once)
{
    struct node_world *w = node_world_new(1, 1, NULL, 0);
    char name[8] = "t-a";

    for (int i = 0; i < 10; i++, name[2]++) {
        struct CreatePartitionsRequest *grow;
        struct CreatePartitionsResponse *grown;
        struct DeleteTopicsRequest *remove;
        struct DeleteTopicsResponse *removed;
        struct uuid id;

        CHECK_EQ(node_topic(w, name, 2, NULL, 0), 0);
        id = described(w, 0, 13, name, false)->topic_id;
        CHECK(!uuid_is_zero(id));
        grow = node_in(w, 0, API_CreatePartitions);
        PROTO_ARRAY_NEW(&w->asks[0].arena, CreatePartitionsRequest_CreatePartitionsTopic, grow->topics, 1);
        grow->timeout_ms = 1000;
        grow->topics.v[0].name = SLICE(name);
        grow->topics.v[0].count = 3;
        grow->topics.v[0].assignments.n = -1;
        grown = node_ask(w, 0, 3, grow);
        CHECK(grown->results.n == 1 && grown->results.v[0].error_code == 0);
        CHECK_EQ(described(w, 0, 13, name, false)->partitions.n, 3);
        remove = node_in(w, 0, API_DeleteTopics);
        PROTO_ARRAY_NEW(&w->asks[0].arena, DeleteTopicsRequest_DeleteTopicState, remove->topics, 1);
        remove->timeout_ms = 1000;
        remove->topics.v[0].topic_id = id;
        removed = node_ask(w, 0, 6, remove);
        CHECK(removed->responses.n == 1 && removed->responses.v[0].error_code == 0);
        CHECK(slice_eq(removed->responses.v[0].name, SLICE(name)));
        CHECK_EQ(described(w, 0, 13, name, false)->error_code, 3);
    }
    node_world_drop(w);
}

/* A name that is asked for with automatic creation is unknown in the first answer and there in the next. */
TEST(api_topics, automatic_creation_answers_unknown_first)
{
    static const char *const sets[] = {"num.partitions=4"};
    struct node_world *w = node_world_new(2, 1, sets, 1);
    struct MetadataResponse_MetadataResponseTopic *t = described(w, 0, 12, "new", true);

    CHECK_EQ(t->error_code, 3);
    CHECK(t->partitions.n == 0 && uuid_is_zero(t->topic_id));
    t = described(w, 0, 12, "new", true);
    CHECK_EQ(t->error_code, 0);
    CHECK_EQ(t->partitions.n, 4);
    CHECK_EQ(described(w, 0, 12, "other", false)->error_code, 3);
    CHECK_EQ(described(w, 0, 12, "other", false)->error_code, 3);
    node_world_drop(w);
}

/* A coordinator's topic that is created by its name gets what its own settings say. */
TEST(api_topics, coordinator_topics_have_their_own_settings)
{
    static const char *const sets[] = {"offsets.topic.num.partitions=7",
                                       "offsets.topic.replication.factor=1"};
    struct node_world *w = node_world_new(3, 1, sets, 2);
    struct MetadataResponse_MetadataResponseTopic *t = described(w, 0, 12, "__consumer_offsets", true);
    struct DescribeConfigsRequest *in;
    struct DescribeConfigsResponse *out;
    struct slice key = SLICE("cleanup.policy");

    CHECK(t->error_code == 3 && t->is_internal);
    t = described(w, 0, 12, "__consumer_offsets", true);
    CHECK_EQ(t->error_code, 0);
    CHECK(t->partitions.n == 7 && t->is_internal);
    in = node_in(w, 0, API_DescribeConfigs);
    PROTO_ARRAY_NEW(&w->asks[0].arena, DescribeConfigsRequest_DescribeConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = 2;
    in->resources.v[0].resource_name = SLICE("__consumer_offsets");
    in->resources.v[0].configuration_keys.v = &key;
    in->resources.v[0].configuration_keys.n = 1;
    out = node_ask(w, 0, 4, in);
    CHECK_EQ(out->results.v[0].configs.n, 1);
    CHECK(slice_eq(out->results.v[0].configs.v[0].value, SLICE("compact")));
    node_world_drop(w);
}

/* While the metadata log's disk stalls, an answer that needs a creation waits and others don't. */
TEST(api_topics, stalled_creation_holds_up_nobody_else)
{
    struct node_world *w = node_world_new(4, 1, NULL, 0);
    struct MetadataRequest *in;
    struct MetadataResponse *out;

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    sim_disk_stall(w->sim, 1, sim_now(w->sim) + INT64_C(2000000000));
    in = node_in(w, 0, API_Metadata);
    PROTO_ARRAY_NEW(&w->asks[0].arena, MetadataRequest_MetadataRequestTopic, in->topics, 1);
    in->topics.v[0].name = SLICE("new");
    node_send(w, 0, 12, in);
    CHECK_EQ(described(w, 1, 12, "t", true)->error_code, 0);
    CHECK(!node_answered(w, 0));
    out = node_wait(w, 0, 5000);
    CHECK_EQ(out->topics.v[0].error_code, 3);
    node_world_drop(w);
}

/* Deletion that is disabled says so in the versions that have a code for it. */
TEST(api_topics, disabled_deletion_is_refused)
{
    static const char *const sets[] = {"delete.topic.enable=false"};
    struct node_world *w = node_world_new(5, 1, sets, 1);

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    for (int version = 1; version <= 5; version++) {
        struct DeleteTopicsRequest *in = node_in(w, 0, API_DeleteTopics);
        struct slice name = SLICE("t");
        struct DeleteTopicsResponse *out;
        in->topic_names.v = &name;
        in->topic_names.n = 1;
        in->timeout_ms = 1000;
        out = node_ask(w, 0, version, in);
        CHECK_EQ(out->responses.n, 1);
        CHECK_EQ(out->responses.v[0].error_code, version < 3 ? 42 : 73);
    }
    CHECK_EQ(described(w, 0, 13, "t", false)->error_code, 0);
    node_world_drop(w);
}

/* Every version of CreateTopics creates, and tells the settings from version 5 on, the id from version 7
 * on. */
TEST(api_topics, every_version_creates)
{
    struct node_world *w = node_world_new(6, 1, NULL, 0);
    char name[4] = "t0";

    for (int version = 2; version <= 7; version++) {
        struct CreateTopicsRequest *in = node_in(w, 0, API_CreateTopics);
        struct CreateTopicsResponse *out;
        name[1] = (char)('0' + version);
        PROTO_ARRAY_NEW(&w->asks[0].arena, CreateTopicsRequest_CreatableTopic, in->topics, 2);
        for (int i = 0; i < 2; i++) {
            in->topics.v[i].num_partitions = 1;
            in->topics.v[i].replication_factor = 1;
        }
        in->topics.v[0].name = SLICE(name);
        in->topics.v[1].name = SLICE("a b");
        out = node_ask(w, 0, version, in);
        CHECK_EQ(out->topics.n, 2);
        CHECK_EQ(out->topics.v[0].error_code, 0);
        CHECK_EQ(out->topics.v[1].error_code, 17);
        CHECK(version < 5 || (out->topics.v[0].configs.n == 34 && out->topics.v[0].num_partitions == 1));
        CHECK(uuid_is_zero(out->topics.v[0].topic_id) == (version < 7));
    }
    node_world_drop(w);
}
