/* Refusals on the wire: a node whose authorizer refuses everything, and each API that there is. */
#include "broker/api/handlers.h"
#include "broker/net/net.h"
#include "broker/node.h"
#include "node_world.h"

static int n_asked;

static bool refuse_all(const struct request *r, enum acl_operation op, enum acl_resource type,
                       struct slice name)
{
    CHECK(slice_eq(r->principal->name, SLICE("ANONYMOUS")) && name.p && op && type);
    n_asked++;
    return false;
}

#define TOPICS(type, field)                                                                                  \
    PROTO_ARRAY_NEW(a, type, in->topics, 1);                                                                 \
    in->topics.v[0].field = SLICE("t")

#define REQUEST(api) struct api##Request *in = node_in(w, 0, API_##api)

static const void *of_produce(struct node_world *w, struct arena *a)
{
    const struct node_batch b = {.producer_id = -1, .n = 1};
    const void *in;

    node_produce_make(w, 0, "t", 0, -1, &b, &in);
    return in;
}

static const void *of_fetch(struct node_world *w, struct arena *a)
{
    return node_fetch_in(w, 0, "t", 0, 0, 0, 1);
}

static const void *of_list_offsets(struct node_world *w, struct arena *a)
{
    REQUEST(ListOffsets);
    TOPICS(ListOffsetsRequest_ListOffsetsTopic, name);
    PROTO_ARRAY_NEW(a, ListOffsetsRequest_ListOffsetsPartition, in->topics.v[0].partitions, 1);
    return in;
}

static const void *of_metadata(struct node_world *w, struct arena *a)
{
    REQUEST(Metadata);
    TOPICS(MetadataRequest_MetadataRequestTopic, name);
    return in;
}

static const void *of_coordinator(struct node_world *w, struct arena *a)
{
    REQUEST(FindCoordinator);
    in->key = SLICE("group");
    return in;
}

static const void *of_create(struct node_world *w, struct arena *a)
{
    REQUEST(CreateTopics);
    TOPICS(CreateTopicsRequest_CreatableTopic, name);
    in->topics.v[0].num_partitions = in->topics.v[0].replication_factor = 1;
    return in;
}

static const void *of_delete(struct node_world *w, struct arena *a)
{
    static struct slice name;
    REQUEST(DeleteTopics);
    name = SLICE("t");
    in->topic_names.v = &name;
    in->topic_names.n = 1;
    return in;
}

static const void *of_delete_records(struct node_world *w, struct arena *a)
{
    REQUEST(DeleteRecords);
    TOPICS(DeleteRecordsRequest_DeleteRecordsTopic, name);
    PROTO_ARRAY_NEW(a, DeleteRecordsRequest_DeleteRecordsPartition, in->topics.v[0].partitions, 1);
    return in;
}

static const void *of_producer_id(struct node_world *w, struct arena *a)
{
    REQUEST(InitProducerId);
    in->transactional_id = SLICE_NULL;
    return in;
}

static const void *of_epoch_end(struct node_world *w, struct arena *a)
{
    REQUEST(OffsetForLeaderEpoch);
    TOPICS(OffsetForLeaderEpochRequest_OffsetForLeaderTopic, topic);
    PROTO_ARRAY_NEW(a, OffsetForLeaderEpochRequest_OffsetForLeaderPartition, in->topics.v[0].partitions, 1);
    return in;
}

static const void *of_describe(struct node_world *w, struct arena *a)
{
    REQUEST(DescribeConfigs);
    PROTO_ARRAY_NEW(a, DescribeConfigsRequest_DescribeConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = 2;
    in->resources.v[0].resource_name = SLICE("t");
    return in;
}

static const void *of_alter(struct node_world *w, struct arena *a)
{
    REQUEST(AlterConfigs);
    PROTO_ARRAY_NEW(a, AlterConfigsRequest_AlterConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = 2;
    in->resources.v[0].resource_name = SLICE("t");
    return in;
}

static const void *of_alter_some(struct node_world *w, struct arena *a)
{
    REQUEST(IncrementalAlterConfigs);
    PROTO_ARRAY_NEW(a, IncrementalAlterConfigsRequest_AlterConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = 2;
    in->resources.v[0].resource_name = SLICE("t");
    return in;
}

static const void *of_log_dirs(struct node_world *w, struct arena *a)
{
    REQUEST(DescribeLogDirs);
    return in;
}

static const void *of_grow(struct node_world *w, struct arena *a)
{
    REQUEST(CreatePartitions);
    TOPICS(CreatePartitionsRequest_CreatePartitionsTopic, name);
    in->topics.v[0].count = 2;
    in->topics.v[0].assignments.n = -1;
    return in;
}

static const void *of_cluster(struct node_world *w, struct arena *a)
{
    REQUEST(DescribeCluster);
    in->include_cluster_authorized_operations = true;
    return in;
}

static const void *of_producers(struct node_world *w, struct arena *a)
{
    static int32_t zero;
    REQUEST(DescribeProducers);
    TOPICS(DescribeProducersRequest_TopicRequest, name);
    in->topics.v[0].partition_indexes.v = &zero;
    in->topics.v[0].partition_indexes.n = 1;
    return in;
}

static const void *of_list_configs(struct node_world *w, struct arena *a)
{
    REQUEST(ListConfigResources);
    return in;
}

static const void *of_pages(struct node_world *w, struct arena *a)
{
    REQUEST(DescribeTopicPartitions);
    TOPICS(DescribeTopicPartitionsRequest_TopicRequest, name);
    return in;
}

/* Those that need the cluster and nothing of the request. */
#define PLAIN(name, api)                                                                                     \
    static const void *name(struct node_world *w, struct arena *a)                                           \
    {                                                                                                        \
        REQUEST(api);                                                                                        \
        return in;                                                                                           \
    }
PLAIN(of_elect, ElectLeaders)
PLAIN(of_move, AlterPartitionReassignments)
PLAIN(of_moves, ListPartitionReassignments)
PLAIN(of_quorum, DescribeQuorum)
PLAIN(of_features, UpdateFeatures)
PLAIN(of_unregister, UnregisterBroker)
PLAIN(of_voter, AddRaftVoter)
PLAIN(of_no_voter, RemoveRaftVoter)

#define TOPIC_REFUSED   "rrorCode\":29"
#define GROUP_REFUSED   "rrorCode\":30"
#define CLUSTER_REFUSED "rrorCode\":31"

struct refused {
    int16_t key, version;
    const void *(*in)(struct node_world *w, struct arena *a);
    const char *told;
};
static const struct refused REFUSED[] = {
    {API_Produce, 9, of_produce, TOPIC_REFUSED},
    {API_Fetch, 12, of_fetch, TOPIC_REFUSED},
    {API_ListOffsets, -1, of_list_offsets, TOPIC_REFUSED},
    {API_Metadata, -1, of_metadata, TOPIC_REFUSED},
    {API_FindCoordinator, 3, of_coordinator, GROUP_REFUSED},
    {API_CreateTopics, -1, of_create, TOPIC_REFUSED},
    {API_DeleteTopics, 5, of_delete, TOPIC_REFUSED},
    {API_DeleteRecords, -1, of_delete_records, TOPIC_REFUSED},
    {API_InitProducerId, 4, of_producer_id, CLUSTER_REFUSED},
    {API_OffsetForLeaderEpoch, -1, of_epoch_end, TOPIC_REFUSED},
    {API_DescribeConfigs, -1, of_describe, TOPIC_REFUSED},
    {API_AlterConfigs, -1, of_alter, TOPIC_REFUSED},
    {API_DescribeLogDirs, -1, of_log_dirs, CLUSTER_REFUSED},
    {API_CreatePartitions, -1, of_grow, TOPIC_REFUSED},
    {API_ElectLeaders, -1, of_elect, CLUSTER_REFUSED},
    {API_IncrementalAlterConfigs, -1, of_alter_some, TOPIC_REFUSED},
    {API_AlterPartitionReassignments, -1, of_move, CLUSTER_REFUSED},
    {API_ListPartitionReassignments, -1, of_moves, CLUSTER_REFUSED},
    {API_DescribeQuorum, -1, of_quorum, CLUSTER_REFUSED},
    {API_UpdateFeatures, -1, of_features, CLUSTER_REFUSED},
    {API_UnregisterBroker, -1, of_unregister, CLUSTER_REFUSED},
    {API_DescribeCluster, 1, of_cluster, "\"clusterAuthorizedOperations\":0"},
    {API_DescribeProducers, -1, of_producers, TOPIC_REFUSED},
    {API_ListConfigResources, -1, of_list_configs, CLUSTER_REFUSED},
    {API_DescribeTopicPartitions, -1, of_pages, TOPIC_REFUSED},
    {API_AddRaftVoter, -1, of_voter, CLUSTER_REFUSED},
    {API_RemoveRaftVoter, -1, of_no_voter, CLUSTER_REFUSED},
};
enum { N_REFUSED = sizeof(REFUSED) / sizeof(REFUSED[0]) };

static void check_refused(struct node_world *w, const struct refused *row)
{
    const struct proto_api *api = proto_api(row->key);
    const void *in = row->in(w, &w->asks[0].arena);
    int version = row->version < 0 ? api->stable_max : row->version;
    struct bytes text;
    const void *out;

    n_asked = 0;
    out = node_ask(w, 0, row->version, in);
    bytes_init(&text, w->asks[0].arena.heap);
    proto_json(api->response, version, out, &text);
    bytes_add(&text, ",", 2);
    if (n_asked == 0 || !strstr((const char *)text.p, row->told))
        fprintf(stderr, "%s was asked %d times and answers %s\n", api->name, n_asked, (const char *)text.p);
    CHECK(n_asked > 0 && strstr((const char *)text.p, row->told));
    bytes_drop(&text);
}

/* What the authorizer refuses is refused on the wire, by each API with the error that Kafka has for it, and who asks is
 * named to it: no API that is announced does without, but ApiVersions, which tells nothing of anybody. */
TEST(authorize, refusals_reach_the_wire_for_every_api)
{
    struct node_world *w = node_world_new(1, 1, NULL, 0);
    int n = 0;

    CHECK_EQ(node_topic(w, "t", 1, NULL, 0), 0);
    w->whole->node->authorizer = refuse_all;
    for (const struct handler *h = handler_next(NULL); h; h = handler_next(h)) {
        int i = 0;
        if (!(h->on & ON_BROKER))
            continue;
        while (i < N_REFUSED && REFUSED[i].key != h->key)
            i++;
        CHECK(i < N_REFUSED || h->key == API_ApiVersions);
        if (i == N_REFUSED)
            continue;
        check_refused(w, &REFUSED[i]);
        n++;
    }
    CHECK_EQ(n, N_REFUSED);
    w->whole->node->authorizer = NULL;
    CHECK_EQ(node_offset(w, "t", 0, -1), 0);
    node_world_drop(w);
}
