/* Requests that come again because their answer was lost: answered as before, done once. */
#include "metadata/requests.h"
#include "tests/unit/metadata/cluster_world.h"

enum { KEEP_MS = 5000 };

static const struct uuid FIRST = {{1}}, OTHER = {{2}};

/* One leader is gone after the commit, another begins where it ended. */
static void another_leads(struct cluster *c)
{
    ctl_lost(c->w.c);
    ctl_lead(c->w.c, ctl_image(c->w.c)->epoch + 1, ctl_image(c->w.c)->offset + 1);
}

/* Asks by an id; the response, with what else is known of it in *call. */
static void *ask_call(struct cluster *c, int16_t key, int16_t version, ctl_decide_fn decide,
                      enum ctl_again again, struct uuid id, const void *in, struct ctl_call *call)
{
    const struct proto_api *api = proto_api(key);
    void *out = proto_new(api->response, &c->w.arena, 1);

    ctl_world_submit(&c->w, call, decide, in, out, version);
    call->r.id = id;
    call->r.api = api;
    call->r.again = again;
    call->r.keep_ms = KEEP_MS;
    cluster_settle(c);
    CHECK(call->done == 1);
    return out;
}

static void *ask_err(struct cluster *c, int16_t key, int16_t version, ctl_decide_fn decide,
                     enum ctl_again again, struct uuid id, const void *in, enum err *err)
{
    struct ctl_call call;
    void *out = ask_call(c, key, version, decide, again, id, in, &call);

    *err = call.err;
    return out;
}

static void *ask(struct cluster *c, int16_t key, int16_t version, ctl_decide_fn decide, enum ctl_again again,
                 struct uuid id, const void *in)
{
    enum err err;
    void *out = ask_err(c, key, version, decide, again, id, in, &err);

    CHECK_OK(err);
    return out;
}

/* ---- one deed an API ---- */

static void delete_in(struct arena *a, void *msg)
{
    struct DeleteTopicsRequest *in = msg;

    PROTO_ARRAY_NEW(a, DeleteTopicsRequest_DeleteTopicState, in->topics, 2);
    in->topics.v[0].name = SLICE("t");
    in->topics.v[1].name = SLICE("unknown");
}

static void grow_in(struct arena *a, void *msg)
{
    struct CreatePartitionsRequest *in = msg;

    PROTO_ARRAY_NEW(a, CreatePartitionsRequest_CreatePartitionsTopic, in->topics, 1);
    in->topics.v[0].name = SLICE("t");
    in->topics.v[0].count = 4;
    in->topics.v[0].assignments.n = -1;
}

static void create_in(struct arena *a, void *msg)
{
    struct CreateTopicsRequest *in = msg;

    PROTO_ARRAY_NEW(a, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    in->topics.v[0].name = SLICE("new");
    in->topics.v[0].num_partitions = 2;
    in->topics.v[0].replication_factor = 1;
}

static void configs_in(struct arena *a, void *msg)
{
    struct AlterConfigsRequest *in = msg;

    PROTO_ARRAY_NEW(a, AlterConfigsRequest_AlterConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = CONFIG_TOPIC;
    in->resources.v[0].resource_name = SLICE("t");
    PROTO_ARRAY_NEW(a, AlterConfigsRequest_AlterableConfig, in->resources.v[0].configs, 1);
    in->resources.v[0].configs.v[0].name = SLICE("cleanup.policy");
    in->resources.v[0].configs.v[0].value = SLICE("compact");
}

static void incremental_in(struct arena *a, void *msg)
{
    struct IncrementalAlterConfigsRequest *in = msg;

    PROTO_ARRAY_NEW(a, IncrementalAlterConfigsRequest_AlterConfigsResource, in->resources, 1);
    in->resources.v[0].resource_type = CONFIG_TOPIC;
    in->resources.v[0].resource_name = SLICE("t");
    PROTO_ARRAY_NEW(a, IncrementalAlterConfigsRequest_AlterableConfig, in->resources.v[0].configs, 1);
    in->resources.v[0].configs.v[0].name = SLICE("cleanup.policy");
    in->resources.v[0].configs.v[0].config_operation = 2;
    in->resources.v[0].configs.v[0].value = SLICE("compact");
}

static void elect_in(struct arena *a, void *msg)
{
    struct ElectLeadersRequest *in = msg;

    in->election_type = 1; /* unclean */
    PROTO_ARRAY_NEW(a, ElectLeadersRequest_TopicPartitions, in->topic_partitions, 1);
    in->topic_partitions.v[0].topic = SLICE("lost");
    in->topic_partitions.v[0].partitions.v = arena_alloc(a, sizeof(int32_t));
    in->topic_partitions.v[0].partitions.n = 1;
}

static void move_in(struct arena *a, void *msg)
{
    struct AlterPartitionReassignmentsRequest *in = msg;
    struct AlterPartitionReassignmentsRequest_ReassignablePartition *p;

    PROTO_ARRAY_NEW(a, AlterPartitionReassignmentsRequest_ReassignableTopic, in->topics, 1);
    in->topics.v[0].name = SLICE("t");
    PROTO_ARRAY_NEW(a, AlterPartitionReassignmentsRequest_ReassignablePartition, in->topics.v[0].partitions,
                    1);
    p = &in->topics.v[0].partitions.v[0];
    p->replicas.v = arena_alloc(a, sizeof(int32_t));
    p->replicas.n = 1;
    p->replicas.v[0] = 3;
}

static void cancel_in(struct arena *a, void *msg)
{
    struct AlterPartitionReassignmentsRequest *in = msg;

    move_in(a, in);
    in->topics.v[0].partitions.v[0].replicas.n = -1;
}

static void features_in(struct arena *a, void *msg)
{
    struct UpdateFeaturesRequest *in = msg;

    PROTO_ARRAY_NEW(a, UpdateFeaturesRequest_FeatureUpdateKey, in->feature_updates, 1);
    in->feature_updates.v[0].feature = SLICE(FEATURE_ELR);
    in->feature_updates.v[0].max_version_level = 1;
    in->feature_updates.v[0].upgrade_type = 1;
}

static void unregister_in(struct arena *a, void *msg)
{
    ((struct UnregisterBrokerRequest *)msg)->broker_id = 4;
}

struct deed {
    const char *name;
    int16_t key, version;
    ctl_decide_fn decide;
    enum ctl_again again;
    void (*make)(struct arena *a, void *in);
    enum err by_another; /* a request by another id says so; E_OK: it is as good as the first */
};
static const struct deed DEEDS[] = {
    {"CreateTopics", API_CreateTopics, 7, decide_create_topics, CTL_AGAIN_ANSWERED, create_in,
     E_TOPIC_ALREADY_EXISTS},
    {"DeleteTopics", API_DeleteTopics, 6, decide_delete_topics, CTL_AGAIN_ANSWERED, delete_in,
     E_UNKNOWN_TOPIC_OR_PARTITION},
    {"CreatePartitions", API_CreatePartitions, 3, decide_create_partitions, CTL_AGAIN_ANSWERED, grow_in,
     E_INVALID_PARTITIONS},
    {"AlterConfigs", API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, configs_in, E_OK},
    {"IncrementalAlterConfigs", API_IncrementalAlterConfigs, 1, decide_incremental_alter_configs,
     CTL_AGAIN_ANSWERED, incremental_in, E_OK},
    {"ElectLeaders", API_ElectLeaders, 2, decide_elect_leaders, CTL_AGAIN_ANSWERED, elect_in,
     E_ELECTION_NOT_NEEDED},
    {"AlterPartitionReassignments", API_AlterPartitionReassignments, 1, decide_alter_reassignments,
     CTL_AGAIN_ANSWERED, move_in, E_OK},
    {"UpdateFeatures", API_UpdateFeatures, 2, decide_update_features, CTL_AGAIN_ANSWERED, features_in, E_OK},
    {"UnregisterBroker", API_UnregisterBroker, 0, decide_unregister_broker, CTL_AGAIN_IN_PARTS, unregister_in,
     E_BROKER_ID_NOT_REGISTERED},
};

static void begin(struct cluster *c)
{
    static const int32_t one[] = {1, 2};

    cluster_start(c);
    for (int32_t id = 1; id <= 4; id++)
        cluster_join(c, id, NULL);
    cluster_place(c, "t", 1, one);
    cluster_place(c, "lost", 2, one);
    CHECK(cluster_fence(c, 2) && cluster_fence(c, 1));
    cluster_join(c, 2, NULL); /* it isn't in the ISR any more */
}

static void json_of(const struct deed *d, const void *out, struct bytes *to)
{
    to->len = 0;
    proto_json(proto_api(d->key)->response, d->version, out, to);
    bytes_add(to, "", 1);
}

/* Whoever asks again by the same id after its request had committed is answered as the first time, by whichever leader, and
 * nothing is done; asked by another id it isn't. */
TEST_EACH(requests, what_comes_again_is_answered_as_the_first_time, DEEDS)
{
    struct cluster c;
    struct bytes first, again;
    char code[32];
    int64_t offset;
    void *in;

    begin(&c);
    bytes_init(&first, c.w.heap);
    bytes_init(&again, c.w.heap);
    in = proto_new(proto_api(row->key)->request, &c.w.arena, 1);
    row->make(&c.w.arena, in);
    json_of(row, ask(&c, row->key, row->version, row->decide, row->again, FIRST, in), &first);
    offset = ctl_image(c.w.c)->offset;
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            another_leads(&c);
        json_of(row, ask(&c, row->key, row->version, row->decide, row->again, FIRST, in), &again);
        CHECK_STR((char *)again.p, (char *)first.p);
        CHECK_EQ(ctl_image(c.w.c)->offset, offset);
    }
    json_of(row, ask(&c, row->key, row->version, row->decide, row->again, OTHER, in), &again);
    (void)snprintf(code, sizeof(code), "\"errorCode\":%d,", err_wire(row->by_another));
    CHECK(strstr((char *)again.p, code) != NULL);
    bytes_drop(&first);
    bytes_drop(&again);
    cluster_stop(&c);
}

/* An answer says whether it tells of a change, and from which offset on images show that: when it was done, and by whichever
 * leader when it comes again; an answer by another id, where nothing is left to do, tells of none. */
TEST_EACH(requests, what_comes_again_tells_of_the_same_change, DEEDS)
{
    struct cluster c;
    struct ctl_call call;
    int64_t done;
    void *in;

    begin(&c);
    in = proto_new(proto_api(row->key)->request, &c.w.arena, 1);
    row->make(&c.w.arena, in);
    (void)ask_call(&c, row->key, row->version, row->decide, row->again, FIRST, in, &call);
    CHECK(call.r.changed);
    done = ctl_image(c.w.c)->offset;
    CHECK_EQ(call.r.after, done);
    for (int i = 0; i < 2; i++) {
        another_leads(&c);
        (void)ask_call(&c, row->key, row->version, row->decide, row->again, FIRST, in, &call);
        CHECK(call.r.changed && call.r.after >= done);
    }
    (void)ask_call(&c, row->key, row->version, row->decide, row->again, OTHER, in, &call);
    CHECK_EQ(call.r.changed, ctl_image(c.w.c)->offset > done);
    cluster_stop(&c);
}

static const char *policy_of(struct cluster *c)
{
    return arena_str(&c->w.arena,
                     image_config(ctl_image(c->w.c), CONFIG_TOPIC, SLICE("t"), "cleanup.policy"));
}

/* What another client has done meanwhile isn't undone by a request that comes again. */
TEST(requests, what_comes_again_undoes_nothing)
{
    struct AlterConfigsRequest in;
    struct cluster c;

    begin(&c);
    proto_defaults(&AlterConfigsRequest_type, &in);
    configs_in(&c.w.arena, &in);
    (void)ask(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, FIRST, &in);
    CHECK_STR(policy_of(&c), "compact");
    cluster_set(&c, CONFIG_TOPIC, "t", "cleanup.policy", "delete");
    another_leads(&c);
    (void)ask(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, FIRST, &in);
    CHECK_STR(policy_of(&c), "delete");
    cluster_stop(&c);
}

/* A reassignment that was called off isn't called off again, and the answer isn't that there is none. */
TEST(requests, a_cancelled_move_is_answered_once)
{
    struct AlterPartitionReassignmentsRequest move, cancel;
    const struct AlterPartitionReassignmentsResponse *out;
    struct cluster c;

    begin(&c);
    proto_defaults(&AlterPartitionReassignmentsRequest_type, &move);
    proto_defaults(&AlterPartitionReassignmentsRequest_type, &cancel);
    move_in(&c.w.arena, &move);
    cancel_in(&c.w.arena, &cancel);
    (void)ask(&c, API_AlterPartitionReassignments, 1, decide_alter_reassignments, CTL_AGAIN_ANSWERED, OTHER,
              &move);
    for (int i = 0; i < 2; i++, another_leads(&c)) {
        out = ask(&c, API_AlterPartitionReassignments, 1, decide_alter_reassignments, CTL_AGAIN_ANSWERED,
                  FIRST, &cancel);
        CHECK(out->responses.n == 1 && out->responses.v[0].partitions.v[0].error_code == 0);
    }
    cluster_stop(&c);
}

/* An answer is kept for its time, as leaders count it, through every change of leaders; then it goes. */
TEST(requests, an_answer_goes_when_its_time_is_over)
{
    struct AlterConfigsRequest in;
    struct cluster c;

    begin(&c);
    proto_defaults(&AlterConfigsRequest_type, &in);
    configs_in(&c.w.arena, &in);
    CHECK(!ctl_keeps(c.w.c));
    ctl_elapsed(c.w.c, 100);
    (void)ask(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, FIRST, &in);
    another_leads(&c);
    ctl_elapsed(c.w.c, KEEP_MS - 1);
    cluster_settle(&c);
    CHECK(ctl_keeps(c.w.c) && image_request(ctl_image(c.w.c), FIRST, 0));
    ctl_elapsed(c.w.c, 1);
    cluster_settle(&c);
    CHECK(!ctl_keeps(c.w.c) && !image_request(ctl_image(c.w.c), FIRST, 0));
    cluster_stop(&c);
}

/* The image as it would be with these records, too: their ids count on from `id`. */
static void add_done(struct cluster *c, struct record_request_done done, int n)
{
    struct grave *g = ctl_grave(c->w.c);
    struct image *draft;

    ctl_lost(c->w.c);
    draft = image_draft(ctl_image(c->w.c), g);
    for (int i = 0; i < n; i++) {
        struct meta_record r = {.type = RECORD_REQUEST_DONE, .request_done = done};

        r.request_done.id.b[14] = (uint8_t)(i >> 8);
        r.request_done.id.b[15] = (uint8_t)i;
        image_replay(draft, g, &r);
    }
    draft->offset++;
    image_seal(draft);
    ctl_load(c->follower, image_ref(draft));
    ctl_load(c->w.c, draft);
    ctl_lead(c->w.c, draft->epoch + 1, draft->offset + 1);
}

/* While there are REQUESTS_MAX no more are taken: the next one isn't done, and none of the others could be done twice. When they
 * have gone, step by step, it is. */
TEST(requests, no_more_are_taken_than_there_is_room_for)
{
    struct AlterConfigsRequest in;
    struct cluster c;
    enum err err;

    begin(&c);
    add_done(&c,
             (struct record_request_done){
                 .id = OTHER, .keep_ms = KEEP_MS, .api_key = API_AlterConfigs, .version = 2},
             REQUESTS_MAX);
    proto_defaults(&AlterConfigsRequest_type, &in);
    configs_in(&c.w.arena, &in);
    (void)ask_err(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, FIRST, &in, &err);
    CHECK_EQ(err, E_REQUEST_TIMED_OUT);
    CHECK_STR(policy_of(&c), "");
    CHECK_EQ(ctl_image(c.w.c)->requests.count, REQUESTS_MAX);
    ctl_elapsed(c.w.c, KEEP_MS);
    cluster_settle(&c);
    CHECK(!ctl_keeps(c.w.c));
    (void)ask(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, FIRST, &in);
    CHECK_STR(policy_of(&c), "compact");
    cluster_stop(&c);
}

/* Where answers are too many bytes, the oldest go, piece by piece, but not that they were given: those requests aren't done
 * again. */
TEST(requests, answers_go_before_that_they_were_given)
{
    enum { N = 20 };
    struct slice answer = {.len = REQUESTS_BYTES_MAX / N};
    struct record_request_done done = {
        .id = OTHER, .keep_ms = KEEP_MS, .api_key = API_AlterConfigs, .version = 2, .last_piece = 1};
    struct AlterConfigsRequest in;
    struct cluster c;
    enum err err;

    begin(&c);
    answer.p = done.answer.p = arena_alloc(&c.w.arena, answer.len);
    done.answer.len = answer.len;
    add_done(&c, done, N);
    done.piece = 1;
    done.answer.len = 10;
    add_done(&c, done, N);
    CHECK(ctl_image(c.w.c)->request_bytes > REQUESTS_BYTES_MAX);
    ctl_lost(c.w.c); /* its clock stands where the newest was given */
    ctl_lead(c.w.c, ctl_image(c.w.c)->epoch + 1, ctl_image(c.w.c)->offset + 1);
    cluster_settle(&c);
    CHECK(ctl_image(c.w.c)->request_bytes <= REQUESTS_BYTES_MAX);
    CHECK(!image_request(ctl_image(c.w.c), OTHER, 0)->done.answer.p);
    CHECK(!image_request(ctl_image(c.w.c), OTHER, 1));
    done.id.b[15] = N - 1;
    CHECK(image_request(ctl_image(c.w.c), done.id, 0)->done.answer.len == answer.len);
    CHECK(image_request(ctl_image(c.w.c), done.id, 1)->done.answer.len == 10);
    proto_defaults(&AlterConfigsRequest_type, &in);
    configs_in(&c.w.arena, &in);
    (void)ask_err(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, OTHER, &in, &err);
    CHECK_EQ(err, E_REQUEST_TIMED_OUT);
    CHECK_STR(policy_of(&c), "");
    cluster_stop(&c);
}

/* An answer of any length up to REQUEST_ANSWER_MAX is kept, in pieces, and no batch is larger for it than it may be. */
TEST(requests, long_answers_are_kept_in_pieces)
{
    enum { UNKNOWN = 6000, NAME = 240 };
    struct DeleteTopicsRequest in;
    struct bytes first, again;
    struct cluster c;
    const struct deed *d = &DEEDS[1];
    char name[NAME + 1];

    begin(&c);
    bytes_init(&first, c.w.heap);
    bytes_init(&again, c.w.heap);
    proto_defaults(&DeleteTopicsRequest_type, &in);
    PROTO_ARRAY_NEW(&c.w.arena, DeleteTopicsRequest_DeleteTopicState, in.topics, UNKNOWN + 1);
    for (int i = 0; i < UNKNOWN; i++) {
        (void)snprintf(name, sizeof(name), "%0*d", NAME, i);
        in.topics.v[i].name = arena_copy(&c.w.arena, SLICE(name));
    }
    in.topics.v[UNKNOWN].name = SLICE("t");
    json_of(d, ask(&c, d->key, d->version, d->decide, d->again, FIRST, &in), &first);
    CHECK(image_request(ctl_image(c.w.c), FIRST, 0)->done.last_piece >= UNKNOWN * NAME / REQUEST_PIECE_BYTES);
    CHECK(c.w.largest < CTL_BATCH_BYTES + REQUEST_PIECE_BYTES + 4096);
    another_leads(&c);
    json_of(d, ask(&c, d->key, d->version, d->decide, d->again, FIRST, &in), &again);
    CHECK(first.len > UNKNOWN * NAME);
    CHECK_STR((char *)again.p, (char *)first.p);
    bytes_drop(&first);
    bytes_drop(&again);
    cluster_stop(&c);
}

/* A CreateTopics of many topics, with settings of their own, is answered again as it was, settings included, though little is
 * kept of it; and what others have deleted meanwhile isn't made again. */
TEST(requests, topics_that_others_deleted_are_not_made_again)
{
    enum { TOPICS = 1200 };
    struct CreateTopicsRequest in;
    struct DeleteTopicsRequest gone;
    struct bytes first, again;
    struct cluster c;
    const struct deed *d = &DEEDS[0];

    begin(&c);
    bytes_init(&first, c.w.heap);
    bytes_init(&again, c.w.heap);
    proto_defaults(&CreateTopicsRequest_type, &in);
    PROTO_ARRAY_NEW(&c.w.arena, CreateTopicsRequest_CreatableTopic, in.topics, TOPICS);
    for (int i = 0; i < TOPICS; i++) {
        in.topics.v[i].name = SLICE(arena_printf(&c.w.arena, "many%d", i == 7 ? 5 : i)); /* one twice */
        in.topics.v[i].num_partitions = in.topics.v[i].replication_factor = 1;
        PROTO_ARRAY_NEW(&c.w.arena, CreateTopicsRequest_CreatableTopicConfig, in.topics.v[i].configs, 1);
        in.topics.v[i].configs.v[0].name = SLICE("cleanup.policy");
        in.topics.v[i].configs.v[0].value = SLICE(i % 2 ? "compact" : "delete");
    }
    json_of(d, ask(&c, d->key, d->version, d->decide, d->again, FIRST, &in), &first);
    CHECK(strstr((char *)first.p, "\"value\":\"compact\"") != NULL);
    CHECK(ctl_image(c.w.c)->request_bytes < TOPICS * 80);
    proto_defaults(&DeleteTopicsRequest_type, &gone);
    PROTO_ARRAY_NEW(&c.w.arena, DeleteTopicsRequest_DeleteTopicState, gone.topics, 1);
    gone.topics.v[0].name = SLICE("many9");
    (void)ask(&c, API_DeleteTopics, 6, decide_delete_topics, CTL_AGAIN_ANSWERED, OTHER, &gone);
    another_leads(&c);
    json_of(d, ask(&c, d->key, d->version, d->decide, d->again, FIRST, &in), &again);
    CHECK_STR((char *)again.p, (char *)first.p);
    CHECK(!image_topic_by_name(ctl_image(c.w.c), SLICE("many9")));
    CHECK(image_topic_by_name(ctl_image(c.w.c), SLICE("many8")));
    bytes_drop(&first);
    bytes_drop(&again);
    cluster_stop(&c);
}

/* Deletions of more topics than a batch holds count together or not at all: a leader that is lost in the middle has done
 * nothing, and the next one does it all. */
TEST(requests, a_large_one_counts_as_a_whole)
{
    enum { TOPICS = 1500 };
    struct CreateTopicsRequest create;
    struct DeleteTopicsRequest in;
    struct CreateTopicsResponse created;
    struct DeleteTopicsResponse *out;
    struct ctl_call call;
    struct cluster c;

    begin(&c);
    proto_defaults(&CreateTopicsRequest_type, &create);
    proto_defaults(&CreateTopicsResponse_type, &created);
    proto_defaults(&DeleteTopicsRequest_type, &in);
    PROTO_ARRAY_NEW(&c.w.arena, CreateTopicsRequest_CreatableTopic, create.topics, TOPICS);
    PROTO_ARRAY_NEW(&c.w.arena, DeleteTopicsRequest_DeleteTopicState, in.topics, TOPICS);
    for (int i = 0; i < TOPICS; i++) {
        create.topics.v[i].name = in.topics.v[i].name = SLICE(arena_printf(&c.w.arena, "many%d", i));
        create.topics.v[i].num_partitions = create.topics.v[i].replication_factor = 1;
    }
    cluster_call(&c, decide_create_topics, &create, &created, 7);
    out = proto_new(&DeleteTopicsResponse_type, &c.w.arena, 1);
    ctl_world_submit(&c.w, &call, decide_delete_topics, &in, out, 6);
    call.r.id = FIRST;
    call.r.api = proto_api(API_DeleteTopics);
    call.r.keep_ms = KEEP_MS;
    ctl_world_turns(&c.w);
    CHECK(c.w.n_proposed >= 2);
    CHECK_OK(ctl_follow(c.follower, bytes_slice(&c.w.proposed[0]->bytes)));
    ctl_world_commit(&c.w);
    CHECK(ctl_in_transaction(c.w.c));
    c.w.n_proposed = 0;
    ctl_lost(c.w.c);
    CHECK(call.done && call.err == E_NOT_CONTROLLER);
    ctl_lead(c.w.c, 2, ctl_tip(c.w.c)->offset + 1);
    for (int i = 0; i < 2; i++, another_leads(&c)) {
        out = ask(&c, API_DeleteTopics, 6, decide_delete_topics, CTL_AGAIN_ANSWERED, FIRST, &in);
        CHECK_EQ(out->responses.n, TOPICS);
        for (int n = 0; n < TOPICS; n++)
            CHECK_EQ(out->responses.v[n].error_code, 0);
        CHECK(!image_topic_by_name(ctl_image(c.w.c), SLICE("many7")));
    }
    cluster_stop(&c);
}

/* An answer of more than REQUEST_ANSWER_MAX isn't kept, but it isn't done twice either. */
TEST(requests, an_answer_that_is_too_large_is_not_made_up)
{
    struct meta_record r = {.type = RECORD_REQUEST_DONE,
                            .request_done = {.id = FIRST, .keep_ms = 9, .api_key = 33, .version = 2}};
    struct grave *g;
    struct AlterConfigsRequest in;
    struct image *draft;
    struct cluster c;
    enum err err;

    begin(&c);
    g = ctl_grave(c.w.c);
    ctl_lost(c.w.c);
    draft = image_draft(ctl_image(c.w.c), g);
    image_replay(draft, g, &r);
    draft->offset++;
    image_seal(draft);
    ctl_load(c.follower, image_ref(draft));
    ctl_load(c.w.c, draft);
    ctl_lead(c.w.c, 2, draft->offset + 1);
    proto_defaults(&AlterConfigsRequest_type, &in);
    configs_in(&c.w.arena, &in);
    (void)ask_err(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, FIRST, &in, &err);
    CHECK_EQ(err, E_REQUEST_TIMED_OUT);
    CHECK_STR(policy_of(&c), "");
    cluster_stop(&c);
}

/* Below its level nothing is kept, and going down to one drops what is kept; back again it is kept again. */
TEST(requests, a_downgrade_drops_answers)
{
    struct AlterConfigsRequest in;
    struct cluster c;

    begin(&c);
    proto_defaults(&AlterConfigsRequest_type, &in);
    configs_in(&c.w.arena, &in);
    for (int i = 0; i < 2; i++) {
        in.resources.v[0].configs.v[0].value = SLICE("compact");
        (void)ask(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, FIRST, &in);
        CHECK(image_request(ctl_image(c.w.c), FIRST, 0));
        CHECK_EQ(cluster_feature(&c, FEATURE_WEIR, WEIR_VERSION_REQUESTS - 1, 2), 0);
        CHECK(!ctl_keeps(c.w.c));
        in.resources.v[0].configs.v[0].value = SLICE("delete");
        (void)ask(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, OTHER, &in);
        CHECK(!ctl_keeps(c.w.c));
        CHECK_EQ(cluster_feature(&c, FEATURE_WEIR, WEIR_VERSION_REQUESTS, 1), 0);
    }
    cluster_stop(&c);
}

/* Errors and what was only checked write nothing, and so leave nothing behind. */
TEST(requests, what_wrote_nothing_is_not_kept)
{
    struct AlterConfigsRequest in;
    struct cluster c;

    begin(&c);
    proto_defaults(&AlterConfigsRequest_type, &in);
    configs_in(&c.w.arena, &in);
    in.validate_only = true;
    (void)ask(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, FIRST, &in);
    in.validate_only = false;
    in.resources.v[0].resource_name = SLICE("unknown");
    (void)ask(&c, API_AlterConfigs, 2, decide_alter_configs, CTL_AGAIN_ANSWERED, FIRST, &in);
    CHECK(!ctl_keeps(c.w.c));
    cluster_stop(&c);
}
