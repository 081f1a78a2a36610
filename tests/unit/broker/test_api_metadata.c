#include "broker/api/handlers.h"
#include "tests/unit/broker/config_world.h"
#include "tests/unit/broker/net_world.h"

/* A cluster of three: 1 is whole, 2 is fenced, 3 isn't on the listener that is asked. Topic "a" has three
 * partitions: led by 1, by 3, by nobody; "b" has one on a directory that is lost; "__consumer_offsets" has
 * one. */
struct meta_world {
    struct net_world *w;
    struct small_world small;
    struct raw *raw;
    struct grave grave;
    struct image *image;
    struct arena arena;
    int asked;
};

static const struct uuid id_a = {{1}}, id_b = {{2}}, id_offsets = {{3}}, dir = {{9, 9}};

static void put_broker(struct meta_world *m, int32_t id, const char *listener, bool fenced)
{
    const struct endpoint at = {
        .name = SLICE(listener), .host = SLICE("host"), .port = (uint16_t)(9000 + id)};
    struct meta_record r = {.type = RECORD_REGISTER_BROKER,
                            .register_broker = {.id = id,
                                                .epoch = 1,
                                                .endpoints = &at,
                                                .n_endpoints = 1,
                                                .rack = SLICE("r"),
                                                .fenced = fenced,
                                                .dirs = {&dir, 1}}};

    image_replay(m->image, &m->grave, &r);
}

static void put_topic(struct meta_world *m, const char *name, struct uuid id)
{
    struct meta_record r = {.type = RECORD_TOPIC, .topic = {.name = SLICE(name), .id = id}};
    image_replay(m->image, &m->grave, &r);
}

static void put_partition(struct meta_world *m, struct uuid topic, int32_t index, int32_t leader,
                          struct uuid at)
{
    static const int32_t replicas[] = {1, 2, 3};
    const struct uuid dirs[] = {at, dir, dir};
    struct meta_record r = {.type = RECORD_PARTITION,
                            .partition = {.topic = topic,
                                          .index = index,
                                          .leader = leader,
                                          .leader_epoch = 7,
                                          .replicas = {replicas, 3},
                                          .isr = {replicas, 1},
                                          .elr = {replicas + 1, 1},
                                          .dirs = {dirs, 3}}};

    image_replay(m->image, &m->grave, &r);
}

static void meta_world_init(struct meta_world *m, const char *settings)
{
    struct config *config;

    *m = (struct meta_world){.w = nw_new(5)};
    config = small_config(&m->small, settings);
    arena_init(&m->arena, m->small.heap, SIZE_MAX);
    grave_init(&m->grave, m->small.heap);
    m->image = image_new(&m->grave);
    put_broker(m, 1, "PLAINTEXT", false);
    put_broker(m, 2, "PLAINTEXT", true);
    put_broker(m, 3, "OTHER", false);
    put_topic(m, "a", id_a);
    put_topic(m, "b", id_b);
    put_topic(m, "__consumer_offsets", id_offsets);
    put_partition(m, id_a, 0, 1, dir);
    put_partition(m, id_a, 1, 3, dir);
    put_partition(m, id_a, 2, -1, dir);
    put_partition(m, id_b, 0, 1, (struct uuid){{[15] = 2}});
    put_partition(m, id_offsets, 0, 1, dir);
    image_seal(m->image);
    m->w->node.id = NW_NODE;
    strcpy(m->w->node.cluster_id, "cluster");
    m->w->run = metadata;
    for (int i = 0; i < NW_LOOPS; i++) {
        m->w->loops[i].image = m->image;
        m->w->loops[i].config = config;
    }
    m->raw = raw_dial(m->w, 2);
}

static void meta_world_drop(struct meta_world *m)
{
    raw_free(m->raw);
    nw_drop(m->w);
    heap_drop(m->small.heap);
}

static void ask(struct meta_world *m, int16_t key, int version, const void *in, void *out)
{
    struct bytes b;
    struct slice got;

    bytes_init(&b, m->raw->heap);
    frame_add(&b, key, version, m->asked, in);
    raw_send(m->raw, b.p, b.len);
    bytes_drop(&b);
    nw_run(m->w, 10);
    CHECK_EQ(raw_answers(m->raw), m->asked + 1);
    CHECK_EQ(raw_correlation(m->raw, m->asked), m->asked);
    got = arena_copy(&m->arena, raw_answer(m->raw, m->asked++));
    CHECK_OK(proto_response_body(proto_api(key), version, got, &m->arena, out));
}

/* `names` ends with NULL; names itself NULL: all topics. */
static struct MetadataResponse ask_metadata(struct meta_world *m, int version, const char *const *names)
{
    struct MetadataRequest in;
    struct MetadataResponse out;
    int n = 0;

    proto_defaults(&MetadataRequest_type, &in);
    while (names && names[n])
        n++;
    PROTO_ARRAY_NEW(&m->arena, MetadataRequest_MetadataRequestTopic, in.topics, n);
    for (int i = 0; i < n; i++)
        in.topics.v[i].name = SLICE(names[i]);
    if (!names)
        in.topics.n = version == 0 ? 0 : -1;
    in.allow_auto_topic_creation = version < 4;
    in.include_topic_authorized_operations = version >= 8;
    in.include_cluster_authorized_operations = version >= 8 && version <= 10;
    ask(m, API_Metadata, version, &in, &out);
    return out;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char no_creation[] = "auto.create.topics.enable=false\n";

/* In every version, clients see the unfenced brokers of their listener, and the one that they asked as
 * controller, for it lives; and all topics by name when they ask for none in particular. */
TEST(api_metadata, every_version_tells_brokers_and_topics)
{
    struct meta_world m;

    meta_world_init(&m, no_creation);
    for (int version = 0; version <= 13; version++) {
        struct MetadataResponse out = ask_metadata(&m, version, NULL);

        CHECK_EQ(out.brokers.n, 1);
        CHECK_EQ(out.brokers.v[0].node_id, 1);
        CHECK_EQ(out.brokers.v[0].port, 9001);
        CHECK(slice_eq(out.brokers.v[0].rack, version >= 1 ? SLICE("r") : SLICE_NULL));
        CHECK(version < 1 || out.controller_id == 1);
        CHECK(version < 2 || slice_eq(out.cluster_id, SLICE("cluster")));
        CHECK_EQ(out.topics.n, 3);
        CHECK(slice_eq(out.topics.v[0].name, SLICE("__consumer_offsets")));
        CHECK_EQ(out.topics.v[0].is_internal, version >= 1);
        CHECK(slice_eq(out.topics.v[2].name, SLICE("b")));
        CHECK(version < 10 || uuid_eq(out.topics.v[1].topic_id, id_a));
        CHECK_EQ(out.topics.v[1].topic_authorized_operations, version >= 8 ? 3576 : INT32_MIN);
        CHECK_EQ(out.cluster_authorized_operations, version >= 8 && version <= 10 ? 8096 : INT32_MIN);
        CHECK_EQ(out.topics.v[1].partitions.n, 3);
    }
    meta_world_drop(&m);
}

/* A partition tells its leader, or with the version's own code why there is none; version 0 leaves out
 * replicas that can't be reached and says so. */
TEST(api_metadata, partitions_tell_why_they_have_no_leader)
{
    static const struct {
        int version;
        int16_t code[3];
        int replicas;
    } rows[] = {{0, {9, 5, 5}, 1}, {5, {0, 5, 5}, 3}, {6, {0, 72, 5}, 3}, {13, {0, 72, 5}, 3}};
    struct meta_world m;

    meta_world_init(&m, no_creation);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct MetadataResponse out = ask_metadata(&m, rows[i].version, NAMES("a"));

        CHECK_EQ(out.topics.n, 1);
        for (int p = 0; p < 3; p++) {
            struct MetadataResponse_MetadataResponsePartition *got = &out.topics.v[0].partitions.v[p];
            CHECK_EQ(got->partition_index, p);
            CHECK_EQ(got->error_code, rows[i].code[p]);
            CHECK_EQ(got->leader_id, p == 0 ? 1 : -1);
            CHECK_EQ(got->leader_epoch, rows[i].version >= 7 ? 7 : -1);
            CHECK_EQ(got->replica_nodes.n, rows[i].replicas);
            CHECK_EQ(got->isr_nodes.n, 1);
            CHECK_EQ(got->offline_replicas.n, rows[i].version >= 5 ? 2 : 0);
        }
    }
    meta_world_drop(&m);
}

/* A replica on a directory that its broker has lost is offline, though the broker lives. */
TEST(api_metadata, replica_on_a_lost_directory_is_offline)
{
    struct meta_world m;
    struct MetadataResponse out;

    meta_world_init(&m, no_creation);
    out = ask_metadata(&m, 13, NAMES("b"));
    CHECK_EQ(out.topics.v[0].partitions.v[0].offline_replicas.n, 3);
    CHECK_EQ(out.topics.v[0].partitions.v[0].leader_id, 1);
    meta_world_drop(&m);
}

/* Names that don't exist, or that no topic may have, are told with Kafka's codes, each once. */
TEST(api_metadata, missing_names_are_told_once_each)
{
    struct meta_world m;
    struct MetadataResponse out;

    meta_world_init(&m, no_creation);
    out = ask_metadata(&m, 13, NAMES("nope", "a b", "nope", "a", ""));
    CHECK_EQ(out.topics.n, 4);
    CHECK_EQ(out.topics.v[0].error_code, 3);
    CHECK_EQ(out.topics.v[1].error_code, 17);
    CHECK_EQ(out.topics.v[2].error_code, 0);
    CHECK_EQ(out.topics.v[3].error_code, 17);
    CHECK_EQ(out.topics.v[0].partitions.n, 0);
    CHECK_EQ(out.topics.v[0].topic_authorized_operations, 3576);
    out = ask_metadata(&m, 1, NAMES(NULL)); /* no topics, not all */
    CHECK_EQ(out.topics.n, 0);
    meta_world_drop(&m);
}

/* From version 12 on topics are asked for by id; below, an id is an invalid request, and so is a null
 * name. */
TEST(api_metadata, ids_count_from_version_12_on)
{
    struct meta_world m;
    struct MetadataRequest in;
    struct MetadataResponse out;

    meta_world_init(&m, no_creation);
    proto_defaults(&MetadataRequest_type, &in);
    PROTO_ARRAY_NEW(&m.arena, MetadataRequest_MetadataRequestTopic, in.topics, 2);
    in.topics.v[0].topic_id = id_b;
    in.topics.v[1].topic_id = (struct uuid){{77}};
    ask(&m, API_Metadata, 12, &in, &out);
    CHECK_EQ(out.topics.n, 2);
    CHECK_EQ(out.topics.v[0].error_code, 0);
    CHECK(slice_eq(out.topics.v[0].name, SLICE("b")));
    CHECK_EQ(out.topics.v[1].error_code, 100);
    CHECK(!out.topics.v[1].name.p && out.topics.v[1].topic_id.b[0] == 77);
    ask(&m, API_Metadata, 10, &in, &out);
    CHECK_EQ(out.brokers.n, 0);
    CHECK_EQ(out.topics.v[0].error_code, 42);
    in.topics.v[0].topic_id = in.topics.v[1].topic_id = (struct uuid){{0}};
    in.topics.v[0].name = in.topics.v[1].name = SLICE_NULL;
    ask(&m, API_Metadata, 13, &in, &out);
    CHECK_EQ(out.error_code, 42);
    meta_world_drop(&m);
}

/* With automatic creation on, a name that no topic may have isn't asked of the controller. */
TEST(api_metadata, bad_names_are_not_created)
{
    struct meta_world m;
    struct MetadataResponse out;

    meta_world_init(&m, "");
    out = ask_metadata(&m, 3, NAMES("a b", "a"));
    CHECK_EQ(out.topics.n, 2);
    CHECK_EQ(out.topics.v[0].error_code, 17);
    CHECK_EQ(out.topics.v[1].error_code, 0);
    meta_world_drop(&m);
}

/* ---- DescribeCluster ---- */

static struct DescribeClusterResponse ask_cluster(struct meta_world *m, int version, int type, bool fenced)
{
    struct DescribeClusterRequest in;
    struct DescribeClusterResponse out;

    proto_defaults(&DescribeClusterRequest_type, &in);
    in.endpoint_type = (int8_t)type;
    in.include_fenced_brokers = fenced;
    in.include_cluster_authorized_operations = true;
    ask(m, API_DescribeCluster, version, &in, &out);
    return out;
}

/* DescribeCluster tells the brokers of the listener, fenced ones when version 2 asks for them. */
TEST(api_metadata, cluster_tells_fenced_brokers_when_asked)
{
    struct meta_world m;

    meta_world_init(&m, "");
    for (int version = 0; version <= 2; version++) {
        struct DescribeClusterResponse out = ask_cluster(&m, version, 1, version >= 2);

        CHECK_EQ(out.error_code, 0);
        CHECK_EQ(out.brokers.n, version >= 2 ? 2 : 1);
        CHECK_EQ(out.brokers.v[0].broker_id, 1);
        CHECK(version < 2 || (out.brokers.v[1].is_fenced && !out.brokers.v[0].is_fenced));
        CHECK_EQ(out.controller_id, 1);
        CHECK_EQ(out.cluster_authorized_operations, 8096);
        CHECK(slice_eq(out.cluster_id, SLICE("cluster")));
    }
    meta_world_drop(&m);
}

/* A broker isn't a controller's endpoint, and other types there are none. */
TEST(api_metadata, cluster_refuses_other_endpoints)
{
    struct meta_world m;
    struct DescribeClusterResponse out;

    meta_world_init(&m, "");
    CHECK_EQ(ask_cluster(&m, 1, 2, false).error_code, 114);
    out = ask_cluster(&m, 2, 5, false);
    CHECK_EQ(out.error_code, 115);
    CHECK(slice_eq(out.error_message, SLICE("Unsupported endpoint type 5")));
    CHECK_EQ(out.brokers.n, 0);
    meta_world_drop(&m);
}

/* ---- DescribeTopicPartitions ---- */

static struct DescribeTopicPartitionsResponse ask_pages(struct meta_world *m, const char *const *names,
                                                        int limit, const char *cursor, int partition)
{
    struct DescribeTopicPartitionsRequest in;
    struct DescribeTopicPartitionsRequest_Cursor at = {.partition_index = partition};
    struct DescribeTopicPartitionsResponse out;
    int n = 0;

    proto_defaults(&DescribeTopicPartitionsRequest_type, &in);
    while (names && names[n])
        n++;
    PROTO_ARRAY_NEW(&m->arena, DescribeTopicPartitionsRequest_TopicRequest, in.topics, n);
    for (int i = 0; i < n; i++)
        in.topics.v[i].name = SLICE(names[i]);
    in.response_partition_limit = limit;
    if (cursor) {
        at.topic_name = SLICE(cursor);
        in.cursor = &at;
    }
    ask(m, API_DescribeTopicPartitions, 0, &in, &out);
    return out;
}

/* Page by page, every partition of every topic is told once, in order. */
TEST(api_metadata, pages_tell_everything_once)
{
    struct meta_world m;

    meta_world_init(&m, "");
    for (int limit = 0; limit <= 6; limit++) {
        const char *cursor = NULL;
        int partition = 0, told = 0, pages = 0;

        do {
            struct DescribeTopicPartitionsResponse out = ask_pages(&m, NULL, limit, cursor, partition);
            int here = 0;
            for (int i = 0; i < out.topics.n; i++)
                here += out.topics.v[i].partitions.n;
            CHECK(here <= (limit < 1 ? 1 : limit));
            told += here;
            pages++;
            cursor = out.next_cursor ? arena_str(&m.arena, out.next_cursor->topic_name) : NULL;
            partition = out.next_cursor ? out.next_cursor->partition_index : 0;
        } while (cursor);
        CHECK_EQ(told, 5);
        CHECK_EQ(pages, limit < 2 ? 5 : limit == 2 ? 3 : limit < 5 ? 2 : 1);
    }
    meta_world_drop(&m);
}

/* What a topic's partitions tell: leader, epoch, replicas that could lead, and no error. */
TEST(api_metadata, described_partitions_name_eligible_leaders)
{
    struct meta_world m;
    struct DescribeTopicPartitionsResponse out;
    struct DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponsePartition *p;

    meta_world_init(&m, "");
    out = ask_pages(&m, NAMES("nope", "a", "a", "x y"), 2000, NULL, 0);
    CHECK_EQ(out.topics.n, 3);
    CHECK(slice_eq(out.topics.v[0].name, SLICE("a")) && !out.next_cursor);
    CHECK_EQ(out.topics.v[0].topic_authorized_operations, 3576);
    CHECK_EQ(out.topics.v[1].error_code, 3);
    CHECK_EQ(out.topics.v[2].error_code, 17);
    p = &out.topics.v[0].partitions.v[2];
    CHECK_EQ(p->error_code, 0);
    CHECK_EQ(p->leader_id, -1);
    CHECK_EQ(p->leader_epoch, 7);
    CHECK(p->eligible_leader_replicas.n == 1 && p->eligible_leader_replicas.v[0] == 2);
    CHECK_EQ(p->last_known_elr.n, 0);
    CHECK_EQ(p->offline_replicas.n, 2);
    meta_world_drop(&m);
}

/* A cursor that points outside of what is asked for is an invalid request. */
TEST(api_metadata, wrong_cursors_are_refused)
{
    struct meta_world m;
    struct DescribeTopicPartitionsResponse out;

    meta_world_init(&m, "");
    out = ask_pages(&m, NAMES("a"), 10, "b", 0);
    CHECK(out.topics.n == 1 && out.topics.v[0].error_code == 42);
    out = ask_pages(&m, NAMES("a"), 10, "a", -1);
    CHECK(out.topics.n == 1 && out.topics.v[0].error_code == 42);
    out = ask_pages(&m, NAMES("a", "b"), 10, "b", 0);
    CHECK(out.topics.n == 1 && slice_eq(out.topics.v[0].name, SLICE("b")));
    meta_world_drop(&m);
}
