#include "tests/unit/metadata/cluster_world.h"
#include "base/check.h"
#include "metadata/image_check.h"

static void heir_proposes(void *arg, struct ctl_batch *b)
{
    struct cluster *c = arg;

    ASSERT(c->takeovers > 0); /* it doesn't lead before */
    c->w.proposed[c->w.n_proposed++] = b;
}

static void heir_random(void *arg, uint8_t seed[16])
{
    memset(seed, ((struct cluster *)arg)->takeovers, 16);
}

static const struct ctl_ops HEIR_OPS = {.propose = heir_proposes, .random = heir_random};

void cluster_start(struct cluster *c)
{
    struct bootstrap b = {.cluster_id = SLICE("cluster"), .metadata_version = METADATA_VERSION};

    memset(c, 0, sizeof(*c));
    c->dirs = 1;
    ctl_world_start_empty(&c->w);
    c->follower = ctl_new(c->w.heap, &c->w.rules, &HEIR_OPS, c);
    cluster_call(c, decide_bootstrap, &b, NULL, 0);
}

void cluster_stop(struct cluster *c)
{
    image_unref(c->before, ctl_grave(c->w.c));
    ctl_drop(c->follower);
    ctl_world_stop(&c->w);
}

/* Between the batches of a decision an image may be as it is only then. */
static void each_fault(void *arg, const char *sentence, bool note)
{
    if (!note || (*(const bool *)arg && strstr(sentence, "that is so while")))
        test_fail(__FILE__, __LINE__, "%s", sentence);
}

static void check_image(struct cluster *c, bool over)
{
    const char *fault = image_invariant(c->before, ctl_image(c->w.c), c->w.heap);

    if (fault)
        test_fail(__FILE__, __LINE__, "%s", fault);
    image_faults(ctl_image(c->w.c), c->w.heap, each_fault, &over);
    CHECK(image_equal(ctl_image(c->w.c), ctl_image(c->follower), c->w.heap));
}

static void commit_one(struct cluster *c)
{
    CHECK_OK(ctl_follow(c->follower, bytes_slice(&c->w.proposed[0]->bytes)));
    ctl_world_commit(&c->w);
}

/* call: the one that is settled; NULL: it isn't looked at. */
static void settle(struct cluster *c, const struct ctl_call *call)
{
    struct image *before = image_ref(ctl_image(c->w.c));

    if (c->before)
        image_unref(c->before, ctl_grave(c->w.c));
    c->before = before;
    ctl_world_turns(&c->w);
    while (c->w.n_proposed) {
        commit_one(c);
        check_image(c, call && call->done && !c->midway);
        ctl_world_turns(&c->w);
    }
}

void cluster_call(struct cluster *c, ctl_decide_fn decide, const void *in, void *out, int16_t version)
{
    struct ctl_call call;

    ctl_world_submit(&c->w, &call, decide, in, out, version);
    settle(c, &call);
    CHECK(call.done == 1 && call.err == E_OK);
}

void cluster_settle(struct cluster *c)
{
    settle(c, NULL);
}

void cluster_takeover(struct cluster *c, ctl_decide_fn decide, const void *in, void *out, int16_t version,
                      int batches)
{
    struct controller *old = c->w.c;
    struct ctl_call call;

    ctl_world_submit(&c->w, &call, decide, in, out, version);
    ctl_world_turns(&c->w);
    for (int i = 0; i < batches; i++) {
        CHECK(c->w.n_proposed > 0);
        commit_one(c);
        check_image(c, false);
        ctl_world_turns(&c->w);
    }
    CHECK(!call.done);
    c->w.n_proposed = 0;
    ctl_lost(old);
    CHECK(call.done == 1 && call.err == E_NOT_CONTROLLER);
    c->w.c = c->follower;
    c->follower = old;
    c->takeovers++;
    c->midway = true;
    ctl_lead(c->w.c, 1 + c->takeovers, ctl_image(c->w.c)->offset + 1);
}

enum err cluster_register(struct cluster *c, int32_t id, const char *rack, bool kept)
{
    const struct image_broker *old = image_broker(ctl_image(c->w.c), id);
    struct BrokerRegistrationRequest req;
    struct BrokerRegistrationResponse resp;

    proto_defaults(&BrokerRegistrationRequest_type, &req);
    proto_defaults(&BrokerRegistrationResponse_type, &resp);
    req.broker_id = id;
    req.cluster_id = SLICE("cluster");
    req.incarnation_id.b[0] = (uint8_t)id;
    req.incarnation_id.b[1] = ++c->incarnations;
    req.rack = rack ? SLICE(rack) : SLICE_NULL;
    req.previous_broker_epoch = kept && old ? old->reg.epoch : -1;
    PROTO_ARRAY_NEW(&c->w.arena, BrokerRegistrationRequest_Feature, req.features, FEATURE_COUNT);
    for (int i = 0; i < FEATURE_COUNT; i++)
        req.features.v[i] = (struct BrokerRegistrationRequest_Feature){SLICE(FEATURES[i].name),
                                                                       FEATURES[i].min, FEATURES[i].max};
    req.log_dirs.n = c->dirs;
    req.log_dirs.v = arena_alloc(&c->w.arena, (size_t)c->dirs * sizeof(struct uuid));
    for (int i = 0; i < c->dirs; i++)
        memset(&req.log_dirs.v[i], 100 * (i + 1) + id, sizeof(struct uuid));
    cluster_call(c, decide_broker_registration, &(struct broker_registration){.request = &req}, &resp, 4);
    return resp.error_code ? err_of_wire(resp.error_code) : E_OK;
}

struct BrokerHeartbeatResponse cluster_beat(struct cluster *c, int32_t id,
                                            struct BrokerHeartbeatRequest *beat)
{
    struct broker_heartbeat in = {.request = beat, .lowest_offset = INT64_MAX};
    struct BrokerHeartbeatResponse resp;

    proto_defaults(&BrokerHeartbeatResponse_type, &resp);
    beat->broker_id = id;
    beat->broker_epoch = image_broker(ctl_image(c->w.c), id)->reg.epoch;
    beat->current_metadata_offset = ctl_image(c->w.c)->offset;
    cluster_call(c, decide_broker_heartbeat, &in, &resp, 2);
    CHECK_EQ(resp.error_code, 0);
    return resp;
}

void cluster_join(struct cluster *c, int32_t id, const char *rack)
{
    struct BrokerHeartbeatRequest beat;

    CHECK_OK(cluster_register(c, id, rack, true));
    proto_defaults(&BrokerHeartbeatRequest_type, &beat);
    CHECK(!cluster_beat(c, id, &beat).is_fenced);
}

bool cluster_fence(struct cluster *c, int32_t id)
{
    const struct image_broker *b = image_broker(ctl_image(c->w.c), id);
    struct broker_fence f = {.id = id, .epoch = b ? b->reg.epoch : -1};
    bool fenced = false;

    cluster_call(c, decide_fence_broker, &f, &fenced, 0);
    return fenced;
}

static int16_t create(struct cluster *c, struct CreateTopicsRequest *req)
{
    struct CreateTopicsResponse resp;

    proto_defaults(&CreateTopicsResponse_type, &resp);
    cluster_call(c, decide_create_topics, req, &resp, 7);
    return resp.topics.v[0].error_code;
}

int16_t cluster_create(struct cluster *c, const char *name, int partitions, int factor)
{
    struct CreateTopicsRequest req;

    proto_defaults(&CreateTopicsRequest_type, &req);
    PROTO_ARRAY_NEW(&c->w.arena, CreateTopicsRequest_CreatableTopic, req.topics, 1);
    req.topics.v[0].name = SLICE(name);
    req.topics.v[0].num_partitions = partitions;
    req.topics.v[0].replication_factor = (int16_t)factor;
    return create(c, &req);
}

void cluster_place(struct cluster *c, const char *name, int n, const int32_t *replicas)
{
    struct CreateTopicsRequest req;

    proto_defaults(&CreateTopicsRequest_type, &req);
    PROTO_ARRAY_NEW(&c->w.arena, CreateTopicsRequest_CreatableTopic, req.topics, 1);
    req.topics.v[0].name = SLICE(name);
    req.topics.v[0].num_partitions = -1;
    req.topics.v[0].replication_factor = -1;
    PROTO_ARRAY_NEW(&c->w.arena, CreateTopicsRequest_CreatableReplicaAssignment, req.topics.v[0].assignments,
                    1);
    req.topics.v[0].assignments.v[0].broker_ids.v = (int32_t *)replicas;
    req.topics.v[0].assignments.v[0].broker_ids.n = n;
    CHECK_EQ(create(c, &req), 0);
}

void cluster_set(struct cluster *c, enum config_resource type, const char *resource, const char *name,
                 const char *value)
{
    struct IncrementalAlterConfigsRequest req;
    struct IncrementalAlterConfigsResponse resp;

    proto_defaults(&IncrementalAlterConfigsRequest_type, &req);
    proto_defaults(&IncrementalAlterConfigsResponse_type, &resp);
    PROTO_ARRAY_NEW(&c->w.arena, IncrementalAlterConfigsRequest_AlterConfigsResource, req.resources, 1);
    req.resources.v[0].resource_type = (int8_t)type;
    req.resources.v[0].resource_name = SLICE(resource);
    PROTO_ARRAY_NEW(&c->w.arena, IncrementalAlterConfigsRequest_AlterableConfig, req.resources.v[0].configs,
                    1);
    req.resources.v[0].configs.v[0].name = SLICE(name);
    req.resources.v[0].configs.v[0].value = value ? SLICE(value) : SLICE_NULL;
    req.resources.v[0].configs.v[0].config_operation = value ? 0 : 1;
    cluster_call(c, decide_incremental_alter_configs, &req, &resp, 1);
    CHECK_EQ(resp.responses.v[0].error_code, 0);
}

int16_t cluster_feature(struct cluster *c, const char *name, int level, int8_t type)
{
    struct UpdateFeaturesRequest req;
    struct UpdateFeaturesResponse resp;

    proto_defaults(&UpdateFeaturesRequest_type, &req);
    proto_defaults(&UpdateFeaturesResponse_type, &resp);
    PROTO_ARRAY_NEW(&c->w.arena, UpdateFeaturesRequest_FeatureUpdateKey, req.feature_updates, 1);
    req.feature_updates.v[0].feature = SLICE(name);
    req.feature_updates.v[0].max_version_level = (int16_t)level;
    req.feature_updates.v[0].upgrade_type = type;
    cluster_call(c, decide_update_features, &req, &resp, 2);
    return resp.error_code;
}

const struct record_partition *cluster_part(struct cluster *c, const char *topic, int32_t index)
{
    const struct image_topic *t = image_topic_by_name(ctl_image(c->w.c), SLICE(topic));
    struct meta_record *r = arena_alloc(&c->w.arena, sizeof(*r));

    partition_record(t, image_partition(t, index), r);
    return &r->partition;
}

static void say(struct bytes *b, const char *before, struct ids v)
{
    for (int i = 0; i < v.n; i++)
        bytes_printf(b, "%s%d", i ? " " : before, v.v[i]);
}

const char *cluster_text(struct cluster *c, const char *topic, int32_t index)
{
    const struct record_partition *p = cluster_part(c, topic, index);
    struct bytes b;
    const char *text;

    bytes_init(&b, c->w.heap);
    say(&b, "", p->replicas);
    bytes_printf(&b, "/");
    say(&b, "", p->isr);
    bytes_printf(&b, " L%d E%d", p->leader, p->leader_epoch);
    say(&b, " elr ", p->elr);
    say(&b, " last ", p->last_elr);
    say(&b, " adding ", p->adding);
    say(&b, " removing ", p->removing);
    bytes_printf(&b, "%s", p->recovering ? " recovering" : "");
    text = arena_str(&c->w.arena, bytes_slice(&b));
    bytes_drop(&b);
    return text;
}
