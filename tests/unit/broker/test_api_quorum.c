/* What brokers and operators ask of the controller, on the wire of a whole node: which listener serves it, and what comes
 * of it. Rules are tested in tests/unit/metadata. */
#include "node_world.h"
#include <stdio.h>

enum { CONTROLLER_PORT = 9093, THE_CONTROLLERS_WIRE = 3 };

static void cut_and_dial(struct loop *loop, void *arg)
{
    struct node_world *w = arg;

    wire_cut(&w->wires[THE_CONTROLLERS_WIRE]);
}

static bool is_cut(void *arg)
{
    const struct node_world *w = arg;
    return !w->wires[THE_CONTROLLERS_WIRE].dialled;
}

static bool is_open(void *arg)
{
    const struct node_world *w = arg;
    return w->wires[THE_CONTROLLERS_WIRE].open;
}

static void dial(struct loop *loop, void *arg)
{
    struct node_world *w = arg;
    struct addr to = sim_addr(1, CONTROLLER_PORT);

    wire_dial(&w->wires[THE_CONTROLLERS_WIRE], &to);
}

/* The last wire goes to the controller's listener. */
static struct node_world *quorum_world(uint64_t seed)
{
    struct node_world *w = node_world_new(seed, 1, NULL, 0);

    CHECK(sim_call(w->sim, w->client, LOOP_NET, cut_and_dial, w));
    CHECK(sim_run(w->sim, is_cut, w, INT64_C(1000000000)));
    CHECK(sim_call(w->sim, w->client, LOOP_NET, dial, w));
    CHECK(sim_run(w->sim, is_open, w, INT64_C(1000000000)));
    return w;
}

static bool announced(struct node_world *w, int wire, int16_t key)
{
    const struct ApiVersionsResponse *out;
    struct ApiVersionsRequest *in = node_in(w, wire, API_ApiVersions);

    in->client_software_name = in->client_software_version = SLICE("t");
    out = node_ask(w, wire, 3, in);
    for (int32_t i = 0; i < out->api_keys.n; i++)
        if (out->api_keys.v[i].api_key == key)
            return true;
    return false;
}

/* Each listener announces what it serves: a client can't play a broker, nor fetch from a controller. */
TEST(api_quorum, each_listener_announces_its_own)
{
    struct node_world *w = quorum_world(1);

    CHECK(announced(w, 0, API_Produce) && !announced(w, THE_CONTROLLERS_WIRE, API_Produce));
    CHECK(announced(w, 0, API_ElectLeaders) && announced(w, THE_CONTROLLERS_WIRE, API_ElectLeaders));
    CHECK(!announced(w, 0, API_BrokerRegistration));
    CHECK(announced(w, THE_CONTROLLERS_WIRE, API_BrokerRegistration));
    node_world_drop(w);
}

/* Broker 2, which nobody will hear again. */
static struct BrokerRegistrationResponse *second_broker(struct node_world *w)
{
    const struct DescribeClusterResponse *cluster = node_ask(w, 0, 2, node_in(w, 0, API_DescribeCluster));
    struct BrokerRegistrationRequest *in = node_in(w, THE_CONTROLLERS_WIRE, API_BrokerRegistration);
    struct arena *a = &w->asks[THE_CONTROLLERS_WIRE].arena;

    in->broker_id = 2;
    in->cluster_id = arena_copy(a, cluster->cluster_id);
    in->incarnation_id.b[0] = 77;
    PROTO_ARRAY_NEW(a, BrokerRegistrationRequest_Feature, in->features, 2);
    in->features.v[0] = (struct BrokerRegistrationRequest_Feature){SLICE("metadata.version"), 7, 30};
    in->features.v[1] = (struct BrokerRegistrationRequest_Feature){SLICE("weir.version"), 1, 99};
    in->log_dirs.v = arena_alloc(a, sizeof(struct uuid));
    in->log_dirs.n = 1;
    memset(in->log_dirs.v, 66, sizeof(struct uuid));
    return node_ask(w, THE_CONTROLLERS_WIRE, 4, in);
}

static int16_t topic_of_two(struct node_world *w, const char *name)
{
    struct CreateTopicsRequest *in = node_in(w, 0, API_CreateTopics);
    const struct CreateTopicsResponse *out;

    PROTO_ARRAY_NEW(&w->asks[0].arena, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    in->topics.v[0].name = SLICE(name);
    in->topics.v[0].num_partitions = 1;
    in->topics.v[0].replication_factor = 2;
    out = node_ask(w, 0, 7, in);
    return out->topics.v[0].error_code;
}

static int16_t produced(struct node_world *w, const char *topic, int16_t acks)
{
    const struct node_batch b = {.producer_id = -1, .n = 1};
    const struct ProduceResponse *out;
    const void *in;

    node_produce_make(w, 0, topic, 0, acks, &b, &in);
    out = node_ask(w, 0, 9, in);
    return out->responses.v[0].partition_responses.v[0].error_code;
}

/* A partition that is to have two replicas takes nothing, whatever a producer would be content with, and one of one
 * replica on the same node takes all. */
TEST(api_quorum, nothing_is_acknowledged_for_two_replicas)
{
    struct node_world *w = quorum_world(2);

    CHECK_EQ(second_broker(w)->error_code, 0);
    CHECK_EQ(topic_of_two(w, "two"), 0);
    CHECK_EQ(node_topic(w, "one", 1, NULL, 0), 0);
    for (int16_t acks = -1; acks <= 1; acks += 2) {
        CHECK_EQ(produced(w, "two", acks), err_wire(E_NOT_ENOUGH_REPLICAS));
        CHECK_EQ(produced(w, "one", acks), 0);
    }
    CHECK_EQ(node_offset(w, "two", 0, -1), 0);
    node_world_drop(w);
}

/* A registration that nobody misses goes with one request; the next finds nobody. */
TEST(api_quorum, a_broker_is_unregistered_once)
{
    static const enum err want[] = {E_OK, E_BROKER_ID_NOT_REGISTERED};
    struct node_world *w = quorum_world(3);

    CHECK_EQ(second_broker(w)->error_code, 0);
    for (int i = 0; i < 2; i++) {
        struct UnregisterBrokerRequest *in = node_in(w, 0, API_UnregisterBroker);
        const struct UnregisterBrokerResponse *out;

        in->broker_id = 2;
        out = node_ask(w, 0, 0, in);
        CHECK_EQ(out->error_code, err_wire(want[i]));
    }
    node_world_drop(w);
}

/* A broker that is unregistered while it lives leads nothing; it registers when it starts again, and has all it had. */
TEST(api_quorum, an_unregistered_broker_comes_back)
{
    struct node_world *w = quorum_world(6);
    struct UnregisterBrokerRequest *in;
    const struct UnregisterBrokerResponse *out;

    CHECK_EQ(node_topic(w, "one", 1, NULL, 0), 0);
    CHECK_EQ(produced(w, "one", -1), 0);
    in = node_in(w, 0, API_UnregisterBroker);
    in->broker_id = 1;
    out = node_ask(w, 0, 0, in);
    CHECK_EQ(out->error_code, 0);
    CHECK_EQ(produced(w, "one", -1), err_wire(E_NOT_LEADER_OR_FOLLOWER));
    node_world_stop(w);
    node_world_start(w);
    CHECK_EQ(produced(w, "one", -1), 0);
    CHECK_EQ(node_offset(w, "one", 0, -1), 2);
    node_world_drop(w);
}

/* A heartbeat of the right epoch unfences who has caught up, one of another epoch is refused. */
TEST(api_quorum, heartbeats_unfence_who_has_caught_up)
{
    struct node_world *w = quorum_world(4);
    int64_t epoch = second_broker(w)->broker_epoch;

    for (int i = 0; i < 3; i++) {
        struct BrokerHeartbeatRequest *in = node_in(w, THE_CONTROLLERS_WIRE, API_BrokerHeartbeat);
        const struct BrokerHeartbeatResponse *out;

        in->broker_id = 2;
        in->broker_epoch = i == 0 ? epoch - 1 : epoch;
        in->current_metadata_offset = i == 1 ? epoch - 1 : epoch;
        out = node_ask(w, THE_CONTROLLERS_WIRE, 1, in);
        CHECK_EQ(out->error_code, i == 0 ? err_wire(E_STALE_BROKER_EPOCH) : 0);
        CHECK(out->is_fenced == (i < 2) && out->is_caught_up == (i == 2));
    }
    node_world_drop(w);
}

/* Elections, moves and features are answered on the clients' listener. */
TEST(api_quorum, operators_ask_any_broker)
{
    struct node_world *w = quorum_world(5);
    const struct ListPartitionReassignmentsResponse *moves;
    const struct ElectLeadersResponse *elected;
    const struct UpdateFeaturesResponse *updated;
    struct ElectLeadersRequest *elect;
    struct UpdateFeaturesRequest *update;
    struct ListPartitionReassignmentsRequest *list;

    CHECK_EQ(node_topic(w, "t", 2, NULL, 0), 0);
    elect = node_in(w, 0, API_ElectLeaders);
    PROTO_ARRAY_NEW(&w->asks[0].arena, ElectLeadersRequest_TopicPartitions, elect->topic_partitions, 1);
    elect->topic_partitions.v[0].topic = SLICE("t");
    elect->topic_partitions.v[0].partitions.v = arena_alloc(&w->asks[0].arena, sizeof(int32_t));
    elect->topic_partitions.v[0].partitions.n = 1;
    elected = node_ask(w, 0, 2, elect);
    CHECK_EQ(elected->replica_election_results.n, 1);
    CHECK_EQ(elected->replica_election_results.v[0].partition_result.v[0].error_code,
             err_wire(E_ELECTION_NOT_NEEDED));
    list = node_in(w, 0, API_ListPartitionReassignments);
    list->topics.n = -1;
    moves = node_ask(w, 0, 0, list);
    CHECK(moves->error_code == 0 && moves->topics.n == 0);
    update = node_in(w, 0, API_UpdateFeatures);
    PROTO_ARRAY_NEW(&w->asks[0].arena, UpdateFeaturesRequest_FeatureUpdateKey, update->feature_updates, 1);
    update->feature_updates.v[0].feature = SLICE("eligible.leader.replicas.version");
    update->feature_updates.v[0].max_version_level = 1;
    updated = node_ask(w, 0, 2, update);
    CHECK_EQ(updated->error_code, 0);
    node_world_drop(w);
}

/* ---- Envelope ---- */

/* CreateTopics of one topic as a broker that forwards it has it, for a client at 10.9.8.7. */
static struct EnvelopeRequest *envelope_of(struct node_world *w, int16_t key, int version, const void *inside)
{
    struct EnvelopeRequest *in = node_in(w, THE_CONTROLLERS_WIRE, API_Envelope);
    struct arena *a = &w->asks[THE_CONTROLLERS_WIRE].arena;
    struct DefaultPrincipalData who = {.type = SLICE("User"), .name = SLICE("them")};
    struct bytes b;

    bytes_init(&b, a->heap);
    CHECK_OK(proto_request_frame(proto_api(key), version, 77, SLICE("client"), inside, &b, NULL));
    in->request_data = arena_copy(a, slice_of(b.p + 4, b.len - 4));
    b.len = 0;
    bytes_add(&b, "\0", 2);
    CHECK_OK(proto_encode(&DefaultPrincipalData_type, 0, &who, &b, NULL));
    in->request_principal = arena_copy(a, bytes_slice(&b));
    in->client_host_address = slice_of("\x0a\x09\x08\x07", 4);
    bytes_drop(&b);
    return in;
}

static struct EnvelopeRequest *envelope_topic(struct node_world *w, const char *name)
{
    struct CreateTopicsRequest create;
    struct CreateTopicsRequest_CreatableTopic topic;

    proto_defaults(&CreateTopicsRequest_type, &create);
    proto_defaults(&CreateTopicsRequest_CreatableTopic_type, &topic);
    topic.name = SLICE(name);
    topic.num_partitions = topic.replication_factor = 1;
    create.topics.v = &topic;
    create.topics.n = 1;
    return envelope_of(w, API_CreateTopics, 7, &create);
}

/* A broker asks for its client, and the client's answer comes back whole. */
TEST(api_quorum, a_request_inside_of_another_is_answered_inside)
{
    struct node_world *w = quorum_world(7);

    for (int i = 0; i < 2; i++) {
        const struct EnvelopeResponse *out =
            node_ask(w, THE_CONTROLLERS_WIRE, 0, envelope_topic(w, "inside"));
        struct arena *a = &w->asks[THE_CONTROLLERS_WIRE].arena;
        struct CreateTopicsResponse created;
        int32_t correlation;

        CHECK_EQ(out->error_code, 0);
        CHECK_OK(proto_response_header(out->response_data, &correlation));
        CHECK_EQ(correlation, 77);
        CHECK_OK(proto_response_body(proto_api(API_CreateTopics), 7, out->response_data, a, &created));
        CHECK_EQ(created.topics.n, 1);
        CHECK_EQ(created.topics.v[0].error_code, i == 0 ? 0 : err_wire(E_TOPIC_ALREADY_EXISTS));
    }
    CHECK_EQ(produced(w, "inside", -1), 0);
    node_world_drop(w);
}

/* A broker that lost the answer asks again by the same id, and is told of what was done; another request isn't. */
TEST(api_quorum, a_request_that_comes_again_is_not_done_twice)
{
    static const uint8_t first[16] = {0xff, 1, 2, 3}, other[16] = {0xff, 1, 2, 4};
    struct node_world *w = quorum_world(9);
    struct uuid made = {{0}};

    for (int i = 0; i < 3; i++) {
        struct EnvelopeRequest *in = envelope_topic(w, "again");
        struct arena *a = &w->asks[THE_CONTROLLERS_WIRE].arena;
        struct CreateTopicsResponse created;
        const struct EnvelopeResponse *out;

        memcpy(in->request_id.b, i < 2 ? first : other, sizeof(in->request_id.b));
        out = node_ask(w, THE_CONTROLLERS_WIRE, 0, in);
        CHECK_OK(proto_response_body(proto_api(API_CreateTopics), 7, out->response_data, a, &created));
        CHECK_EQ(created.topics.v[0].error_code, i < 2 ? 0 : err_wire(E_TOPIC_ALREADY_EXISTS));
        if (i == 0)
            made = created.topics.v[0].topic_id;
        if (i == 1)
            CHECK(uuid_eq(made, created.topics.v[0].topic_id) && created.topics.v[0].num_partitions == 1);
    }
    node_world_drop(w);
}

/* What can't be forwarded, or can't be read, is refused; the connection and the node go on. */
TEST(api_quorum, envelopes_with_anything_else_are_refused)
{
    struct node_world *w = quorum_world(8);
    struct EnvelopeRequest *in;
    const struct EnvelopeResponse *out;

    for (int i = 0; i < 6; i++) {
        static const enum err want[] = {E_PRINCIPAL_DESERIALIZATION_FAILURE,
                                        E_INVALID_REQUEST,
                                        E_INVALID_REQUEST,
                                        E_INVALID_REQUEST,
                                        E_UNSUPPORTED_VERSION,
                                        E_INVALID_REQUEST};
        struct MetadataRequest metadata;

        in = envelope_topic(w, "refused");
        proto_defaults(&MetadataRequest_type, &metadata);
        if (i == 0)
            in->request_principal = slice_of("\0\x01", 2);
        if (i == 1)
            in->client_host_address.len = 3;
        if (i == 2)
            in->request_data.len = 3;
        if (i == 3)
            in = envelope_of(w, API_Metadata, 1, &metadata);
        if (i == 4)
            in->request_data.p[3] = 99;
        if (i == 5)
            in->request_data.p[0] = 0x60;
        out = node_ask(w, THE_CONTROLLERS_WIRE, 0, in);
        CHECK_EQ(out->error_code, err_wire(want[i]));
        CHECK(!out->response_data.p);
    }
    out = node_ask(w, THE_CONTROLLERS_WIRE, 0, envelope_topic(w, "refused"));
    CHECK_EQ(out->error_code, 0);
    node_world_drop(w);
}
