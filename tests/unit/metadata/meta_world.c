#include "tests/unit/metadata/meta_world.h"
#include "base/check.h"

static struct uuid random_uuid(struct test_random *r)
{
    struct uuid u;

    for (int i = 0; i < 16; i++)
        u.b[i] = (uint8_t)test_random_next(r);
    return u;
}

static struct ids random_ids(struct test_random *r, struct arena *a, int max)
{
    int n = (int)test_random_below(r, (uint64_t)max + 1);
    int32_t *v = arena_alloc(a, 64);

    for (int i = 0; i < n; i++)
        v[i] = (int32_t)test_random_below(r, 9);
    return (struct ids){v, n};
}

static struct uuids random_dirs(struct test_random *r, struct arena *a, int n)
{
    struct uuid *v = arena_alloc(a, 256);

    for (int i = 0; i < n; i++)
        v[i] = random_uuid(r);
    return (struct uuids){v, n};
}

static struct slice random_name(struct test_random *r, struct arena *a)
{
    const char *name =
        arena_printf(a, "t%c%d", "._-"[test_random_below(r, 3)], (int)test_random_below(r, 40));

    return SLICE(name);
}

static const struct image_topic *random_topic(struct test_random *r, const struct image *i)
{
    struct uuid from = random_uuid(r);
    struct pmap_iter it = pmap_from(&i->topics, slice_of(from.b, 16));
    const struct pval *v = pmap_next(&it);

    if (!v) {
        it = pmap_first(&i->topics);
        v = pmap_next(&it);
    }
    return (const struct image_topic *)v;
}

static void random_partition(struct test_random *r, const struct image_topic *t, struct arena *a,
                             struct meta_record *out)
{
    struct ids replicas = random_ids(r, a, 3);

    out->type = RECORD_PARTITION;
    out->partition =
        (struct record_partition){.topic = t->id,
                                  .index = (int32_t)test_random_below(r, t->partitions.count + 1u),
                                  .leader = (int32_t)test_random_below(r, 5) - 1,
                                  .leader_epoch = (int32_t)test_random_below(r, 1000),
                                  .partition_epoch = 3,
                                  .recovering = test_random_below(r, 2) == 0,
                                  .replicas = replicas,
                                  .isr = random_ids(r, a, 3),
                                  .adding = random_ids(r, a, 1),
                                  .elr = random_ids(r, a, 2),
                                  .dirs = random_dirs(r, a, replicas.n)};
}

static void random_change(struct test_random *r, const struct image_topic *t, struct arena *a,
                          struct meta_record *out)
{
    bool move = test_random_below(r, 2) == 0;
    struct ids replicas = random_ids(r, a, 3);

    out->type = RECORD_PARTITION_CHANGE;
    out->partition_change =
        (struct record_partition_change){.topic = t->id,
                                         .index = (int32_t)test_random_below(r, t->partitions.count),
                                         .leader = (int32_t)test_random_below(r, 4) - 2,
                                         .recovering = (int8_t)((int)test_random_below(r, 3) - 1),
                                         .replicas = move ? replicas : IDS_SAME,
                                         .dirs = move ? random_dirs(r, a, replicas.n) : UUIDS_SAME,
                                         .isr = random_ids(r, a, 3),
                                         .removing = random_ids(r, a, 1),
                                         .adding = IDS_SAME,
                                         .elr = IDS_SAME,
                                         .last_elr = random_ids(r, a, 1)};
}

static void random_broker(struct test_random *r, struct arena *a, struct meta_record *out)
{
    struct endpoint *e = arena_alloc(a, 2 * sizeof(*e));
    struct feature_range *f = arena_alloc(a, sizeof(*f));

    e[0] = (struct endpoint){.name = SLICE("PLAINTEXT"), .host = random_name(r, a), .port = 9092};
    e[1] = (struct endpoint){.name = SLICE("SSL"), .host = SLICE(""), .port = 65535, .security_protocol = 1};
    f[0] = (struct feature_range){.name = SLICE(FEATURE_METADATA), .min = 7, .max = 30};
    out->type = RECORD_REGISTER_BROKER;
    out->register_broker = (struct record_register_broker){.id = (int32_t)test_random_below(r, 6),
                                                           .incarnation = random_uuid(r),
                                                           .epoch = (int64_t)test_random_below(r, 1u << 30),
                                                           .endpoints = e,
                                                           .n_endpoints = (int32_t)test_random_below(r, 3),
                                                           .features = f,
                                                           .n_features = 1,
                                                           .fenced = true,
                                                           .dirs = random_dirs(r, a, 2)};
    if (test_random_below(r, 2))
        out->register_broker.rack = SLICE("rack");
}

static void random_other(struct test_random *r, const struct image *i, struct arena *a,
                         struct meta_record *out)
{
    struct image_brokers w = image_brokers_all(i);
    const struct image_broker *b = image_brokers_next(&w);

    switch (test_random_below(r, 10)) {
    case 9:
        out->type = RECORD_REQUESTS_FORGET;
        out->requests_forget = (struct record_requests_forget){.due_ms = (int64_t)test_random_below(r, 400),
                                                               .last.b = {(uint8_t)test_random_below(r, 8)},
                                                               .answers_only = test_random_below(r, 2)};
        break;
    case 8:
        out->type = RECORD_REQUEST_DONE;
        out->request_done = (struct record_request_done){.id.b = {(uint8_t)test_random_below(r, 8)},
                                                         .at_ms = 1 + (int64_t)test_random_below(r, 300),
                                                         .keep_ms = (int32_t)test_random_below(r, 200),
                                                         .api_key = 20,
                                                         .piece = (int32_t)test_random_below(r, 3),
                                                         .last_piece = 2,
                                                         .answer = random_name(r, a)};
        if (test_random_below(r, 4) == 0)
            out->request_done.answer = SLICE_NULL;
        break;
    case 7:
        out->type = !i->before                ? RECORD_BEGIN_TRANSACTION
                    : test_random_below(r, 2) ? RECORD_END_TRANSACTION
                                              : RECORD_ABORT_TRANSACTION;
        break;
    case 5:
        out->type = RECORD_CLEAR_ELR;
        out->clear_elr.topic = test_random_below(r, 2) ? random_name(r, a) : SLICE("");
        out->clear_elr.leaderless_stay = test_random_below(r, 2);
        break;
    case 6:
        out->type = RECORD_REGISTER_CONTROLLER;
        out->register_controller = (struct record_register_controller){.id = (int32_t)test_random_below(r, 4),
                                                                       .incarnation = random_uuid(r)};
        break;
    case 0:
        out->type = RECORD_FEATURE;
        out->feature =
            (struct record_feature){.name = random_name(r, a), .level = (int16_t)test_random_below(r, 3)};
        break;
    case 1:
        out->type = RECORD_PRODUCER_IDS;
        out->producer_ids = (struct record_producer_ids){.broker_id = 1, .next = i->next_producer_id + 1000};
        break;
    case 2:
        out->type = RECORD_CLUSTER;
        out->cluster.id = random_name(r, a);
        break;
    case 3:
        if (!b)
            break;
        out->type = RECORD_UNREGISTER_BROKER;
        out->unregister_broker = (struct record_unregister_broker){.id = b->reg.id, .epoch = b->reg.epoch};
        break;
    default:
        if (!b)
            break;
        out->type = RECORD_BROKER_CHANGE;
        out->broker_change =
            (struct record_broker_change){.id = b->reg.id,
                                          .epoch = b->reg.epoch,
                                          .fenced = (int8_t)((int)test_random_below(r, 3) - 1),
                                          .dirs = UUIDS_SAME,
                                          .cordoned = random_dirs(r, a, 1)};
    }
}

void random_record(struct test_random *r, const struct image *draft, struct arena *a, struct meta_record *out)
{
    const struct image_topic *t = random_topic(r, draft);
    uint64_t dice = test_random_below(r, 20);

    *out = (struct meta_record){.type = RECORD_NO_OP};
    if (dice < 3) {
        struct slice name = random_name(r, a);

        if (image_topic_by_name(draft, name))
            return;
        out->type = RECORD_TOPIC;
        out->topic = (struct record_topic){.name = name, .id = random_uuid(r)};
    } else if (dice < 4 && t) {
        out->type = RECORD_REMOVE_TOPIC;
        out->remove_topic.id = t->id;
    } else if (dice < 10 && t) {
        random_partition(r, t, a, out);
    } else if (dice < 13 && t && t->partitions.count) {
        random_change(r, t, a, out);
    } else if (dice < 17) {
        out->type = RECORD_CONFIG;
        out->config =
            (struct record_config){.resource_type = t && dice < 15 ? CONFIG_TOPIC : CONFIG_GROUP,
                                   .resource = t && dice < 15 ? t->name : random_name(r, a),
                                   .name = random_name(r, a),
                                   .value = test_random_below(r, 3) ? random_name(r, a) : SLICE_NULL};
    } else if (dice < 18) {
        random_broker(r, a, out);
    } else {
        random_other(r, draft, a, out);
    }
}

/* ---- a controller ---- */

static void world_propose(void *arg, struct ctl_batch *b)
{
    struct ctl_world *w = arg;

    w->proposed[w->n_proposed++] = b;
    CHECK(b->last_offset - b->base_offset < CTL_BATCH_MAX);
    if (b->bytes.len > w->largest)
        w->largest = b->bytes.len;
}

static void world_random(void *arg, uint8_t seed[16])
{
    struct ctl_world *w = arg;

    w->seed++;
    for (int i = 0; i < 2; i++)
        memcpy(seed + 8 * i, &w->seed, 8);
}

static enum err world_check(const void *arg, enum config_resource type, struct slice resource,
                            struct slice name, struct slice value, char *why, size_t room)
{
    if (name.len >= 3 && memcmp(name.p, "bad", 3) == 0) {
        (void)snprintf(why, room, "Unknown topic config name: %.*s", (int)name.len, (const char *)name.p);
        return E_INVALID_CONFIG;
    }
    return E_OK;
}

static bool world_is_list(const void *arg, enum config_resource type, struct slice name)
{
    return slice_eq(name, SLICE("cleanup.policy"));
}

static struct slice world_fallback(const void *arg, enum config_resource type, struct slice name)
{
    if (slice_eq(name, SLICE(SETTING_MIN_ISR)))
        return SLICE("1");
    return slice_eq(name, SLICE("cleanup.policy")) ? SLICE("delete") : SLICE("false");
}

static bool world_topic_config(const void *arg, int row, struct ctl_topic_config *out)
{
    *out = (struct ctl_topic_config){.name = SLICE("cleanup.policy"),
                                     .value = SLICE("delete"),
                                     .source = 5,
                                     .broker_name = "log.cleanup.policy"};
    return row == 0;
}

static const struct ctl_ops WORLD_OPS = {.propose = world_propose, .random = world_random};

void ctl_world_start_empty(struct ctl_world *w)
{
    memset(w, 0, sizeof(*w));
    w->heap = heap_new(false);
    w->rules = (struct ctl_rules){.node_id = 1,
                                  .default_partitions = 1,
                                  .default_replication_factor = 1,
                                  .delete_topics = true,
                                  .check = world_check,
                                  .is_list = world_is_list,
                                  .fallback = world_fallback,
                                  .topic_config = world_topic_config};
    arena_init(&w->arena, w->heap, SIZE_MAX);
    w->c = ctl_new(w->heap, &w->rules, &WORLD_OPS, w);
    ctl_lead(w->c, 1, 1);
}

void ctl_world_start(struct ctl_world *w)
{
    struct bootstrap b = {.cluster_id = SLICE("cluster"), .metadata_version = METADATA_VERSION};

    ctl_world_start_empty(w);
    ctl_world_call(w, decide_bootstrap, &b, NULL, 0);
}

void ctl_world_broker(struct ctl_world *w, int32_t id, const char *rack)
{
    struct BrokerRegistrationRequest req;
    struct BrokerRegistrationResponse resp;
    struct BrokerHeartbeatRequest beat;
    struct BrokerHeartbeatResponse beaten;

    proto_defaults(&BrokerRegistrationRequest_type, &req);
    req.broker_id = id;
    req.cluster_id = SLICE("cluster");
    req.incarnation_id.b[0] = (uint8_t)(id + 1);
    req.rack = rack ? SLICE(rack) : SLICE_NULL;
    PROTO_ARRAY_NEW(&w->arena, BrokerRegistrationRequest_Feature, req.features, FEATURE_COUNT);
    for (int i = 0; i < FEATURE_COUNT; i++)
        req.features.v[i] =
            (struct BrokerRegistrationRequest_Feature){.name = SLICE(FEATURES[i].name),
                                                       .min_supported_version = FEATURES[i].min,
                                                       .max_supported_version = FEATURES[i].max};
    req.log_dirs.v = arena_alloc(&w->arena, sizeof(struct uuid));
    req.log_dirs.n = 1;
    memset(&req.log_dirs.v[0], id + 1, sizeof(struct uuid));
    proto_defaults(&BrokerRegistrationResponse_type, &resp);
    ctl_world_call(w, decide_broker_registration, &(struct broker_registration){.request = &req}, &resp, 4);
    CHECK_EQ(resp.error_code, 0);
    proto_defaults(&BrokerHeartbeatRequest_type, &beat);
    proto_defaults(&BrokerHeartbeatResponse_type, &beaten);
    beat.broker_id = id;
    beat.broker_epoch = beat.current_metadata_offset = resp.broker_epoch;
    ctl_world_call(w, decide_broker_heartbeat,
                   &(struct broker_heartbeat){.request = &beat, .lowest_offset = INT64_MAX}, &beaten, 1);
    CHECK_EQ(beaten.error_code, 0);
    CHECK(!beaten.is_fenced);
}

static void call_done(struct ctl_request *r, enum err err)
{
    struct ctl_call *call = container_of(r, struct ctl_call, r);

    CHECK_EQ(call->done, 0);
    call->done = 1;
    call->err = err;
}

void ctl_world_submit(struct ctl_world *w, struct ctl_call *call, ctl_decide_fn decide, const void *in,
                      void *out, int16_t version)
{
    *call = (struct ctl_call){.r = {.decide = decide,
                                    .in = in,
                                    .out = out,
                                    .version = version,
                                    .arena = &w->arena,
                                    .done = call_done}};
    ctl_submit(w->c, &call->r);
}

void ctl_world_turns(struct ctl_world *w)
{
    while (ctl_turn(w->c, 1000))
        ;
}

void ctl_world_commit(struct ctl_world *w)
{
    int64_t offset = w->proposed[0]->last_offset;

    memmove(w->proposed, w->proposed + 1, (size_t)--w->n_proposed * sizeof(w->proposed[0]));
    CHECK(ctl_committed(w->c, offset) || ctl_in_transaction(w->c));
    if (!ctl_in_transaction(w->c))
        CHECK_EQ(ctl_image(w->c)->offset, offset);
}

void ctl_world_settle(struct ctl_world *w)
{
    ctl_world_turns(w);
    while (w->n_proposed) {
        ctl_world_commit(w);
        ctl_world_turns(w);
    }
    CHECK(ctl_idle(w->c));
}

void ctl_world_call(struct ctl_world *w, ctl_decide_fn decide, const void *in, void *out, int16_t version)
{
    struct ctl_call call;

    ctl_world_submit(w, &call, decide, in, out, version);
    ctl_world_settle(w);
    CHECK(call.done == 1);
    CHECK_OK(call.err);
}

void ctl_world_stop(struct ctl_world *w)
{
    ctl_drop(w->c);
    arena_drop(&w->arena);
    CHECK_EQ(heap_used(w->heap), 0);
    heap_drop(w->heap);
}

struct CreateTopicsRequest create_one(struct ctl_world *w, const char *name, int partitions, int factor)
{
    struct CreateTopicsRequest req;

    proto_defaults(&CreateTopicsRequest_type, &req);
    PROTO_ARRAY_NEW(&w->arena, CreateTopicsRequest_CreatableTopic, req.topics, 1);
    req.topics.v[0].name = SLICE(name);
    req.topics.v[0].num_partitions = partitions;
    req.topics.v[0].replication_factor = (int16_t)factor;
    return req;
}

const struct CreateTopicsResponse_CreatableTopicResult *created(struct ctl_world *w,
                                                                const struct CreateTopicsRequest *req)
{
    struct CreateTopicsResponse *resp = arena_alloc(&w->arena, sizeof(*resp));

    proto_defaults(&CreateTopicsResponse_type, resp);
    ctl_world_call(w, decide_create_topics, req, resp, 7);
    CHECK_EQ(resp->topics.n, 1);
    return &resp->topics.v[0];
}
