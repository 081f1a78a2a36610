#include "tests/unit/metadata/cluster_world.h"

/* UpdateFeatures, and what ELR asks of min.insync.replicas. */

enum { UPGRADE = 1, SAFE = 2, UNSAFE = 3 };

struct update {
    const char *name;
    int level;
    int8_t type;
};

static const struct UpdateFeaturesResponse *update(struct cluster *c, const struct update *v, int n, bool dry)
{
    struct UpdateFeaturesRequest req;
    struct UpdateFeaturesResponse *resp = arena_alloc(&c->w.arena, sizeof(*resp));

    proto_defaults(&UpdateFeaturesRequest_type, &req);
    proto_defaults(&UpdateFeaturesResponse_type, resp);
    req.validate_only = dry;
    PROTO_ARRAY_NEW(&c->w.arena, UpdateFeaturesRequest_FeatureUpdateKey, req.feature_updates, n);
    for (int i = 0; i < n; i++) {
        req.feature_updates.v[i].feature = SLICE(v[i].name);
        req.feature_updates.v[i].max_version_level = (int16_t)v[i].level;
        req.feature_updates.v[i].upgrade_type = v[i].type;
    }
    cluster_call(c, decide_update_features, &req, resp, 2);
    return resp;
}

static void check_words(struct cluster *c, const struct UpdateFeaturesResponse *r, const char *want)
{
    const char *text = arena_str(&c->w.arena, r->error_message);
    const char *head = "The update failed for all features since the following feature had an error: ";

    CHECK_EQ(r->error_code, err_wire(E_INVALID_UPDATE_VERSION));
    CHECK(strncmp(text, head, strlen(head)) == 0);
    CHECK_STR(text + strlen(head), want);
}

struct update_row {
    struct update u;
    const char *words; /* NULL: it works */
};
static const struct update_row ROWS[] = {
    {{FEATURE_METADATA, 30, UPGRADE}, NULL},
    {{FEATURE_METADATA, 31, UPGRADE},
     "Invalid update version 31 for feature metadata.version. Local controller 1 only supports versions "
     "7-30"},
    {{FEATURE_METADATA, 6, SAFE},
     "Invalid update version 6 for feature metadata.version. Local controller 1 only supports versions 7-30"},
    {{"group.version", 1, UPGRADE},
     "Invalid update version 1 for feature group.version. Local controller 1 does not support this feature. "
     "Left to a later version of weir: group.version"},
    {{"no.version", 1, UPGRADE},
     "Invalid update version 1 for feature no.version. Local controller 1 does not support this feature."},
    {{FEATURE_METADATA, -1, UPGRADE},
     "Invalid update version -1 for feature metadata.version. A feature version cannot be less than 0."},
    {{FEATURE_METADATA, 29, UPGRADE},
     "Invalid update version 29 for feature metadata.version. Can't downgrade the version of this feature "
     "without setting the upgrade type to either safe or unsafe downgrade."},
    {{FEATURE_ELR, 1, SAFE},
     "Invalid update version 1 for feature eligible.leader.replicas.version. Can't downgrade to a newer "
     "version."},
    {{FEATURE_METADATA, 30, 0},
     "Invalid update version 30 for feature metadata.version. The controller does not support the given "
     "upgrade type."},
    {{FEATURE_METADATA, 11, SAFE},
     "Unsupported metadata.version downgrade from 30 to 11. Refusing to perform the requested downgrade "
     "because it might delete metadata information."},
    {{FEATURE_METADATA, 11, UNSAFE},
     "Unsupported metadata.version downgrade from 30 to 11. Unsafe metadata downgrade is not supported in "
     "this version."},
    {{FEATURE_ELR, 1, UPGRADE}, NULL},
    {{FEATURE_WEIR, 1, SAFE}, NULL},
    {{FEATURE_KRAFT, 2, UPGRADE},
     "Invalid update version 2 for feature kraft.version. Local controller 1 only supports versions 0-1"},
    {{FEATURE_KRAFT, 1, SAFE},
     "Invalid update version 1 for feature kraft.version. Can't downgrade to a newer version."},
};

/* Each update does what it says, or is refused in Kafka's words and changes nothing. */
TEST_EACH(features, update, ROWS)
{
    const struct UpdateFeaturesResponse *r;
    struct cluster c;
    int before;

    cluster_start(&c);
    cluster_join(&c, 1, NULL);
    before = image_feature(ctl_image(c.w.c), row->u.name);
    r = update(&c, &row->u, 1, false);
    if (row->words) {
        check_words(&c, r, row->words);
        CHECK_EQ(image_feature(ctl_image(c.w.c), row->u.name), before);
    } else {
        CHECK_EQ(r->error_code, 0);
        CHECK_EQ(image_feature(ctl_image(c.w.c), row->u.name), row->u.level);
    }
    cluster_stop(&c);
}

/* Several features go together or not at all, and one may need the other of the same request. */
TEST(features, all_or_none)
{
    const struct update bad[] = {{FEATURE_ELR, 1, UPGRADE}, {FEATURE_METADATA, 99, UPGRADE}};
    const struct update down[] = {{FEATURE_WEIR, 1, SAFE}};
    const struct update alone[] = {{FEATURE_ELR, 1, UPGRADE}};
    const struct update both[] = {{FEATURE_ELR, 1, UPGRADE}, {FEATURE_WEIR, 2, UPGRADE}};
    struct cluster c;

    cluster_start(&c);
    cluster_join(&c, 1, NULL);
    CHECK(update(&c, bad, 2, false)->error_code);
    CHECK_EQ(image_feature(ctl_image(c.w.c), FEATURE_ELR), 0);
    CHECK_EQ(update(&c, down, 1, false)->error_code, 0);
    check_words(&c, update(&c, alone, 1, false),
                "Invalid update version 1 for feature eligible.leader.replicas.version. "
                "eligible.leader.replicas.version could not be set to 1 because it depends on weir.version "
                "level 2");
    CHECK_EQ(update(&c, both, 2, true)->error_code, 0);
    CHECK_EQ(image_feature(ctl_image(c.w.c), FEATURE_ELR), 0); /* a dry run */
    CHECK_EQ(update(&c, both, 2, false)->error_code, 0);
    CHECK(image_feature(ctl_image(c.w.c), FEATURE_ELR) == 1 &&
          image_feature(ctl_image(c.w.c), FEATURE_WEIR) == 2);
    cluster_stop(&c);
}

/* Of a feature that a request names more than once the last level counts, and it is one record: what goes together in one batch
 * doesn't grow with the request. */
TEST(features, a_name_said_often_counts_once)
{
    enum { N = 2 * CTL_BATCH_MAX };
    struct update often[N];
    struct cluster c;
    int64_t offset;

    cluster_start(&c);
    cluster_join(&c, 1, NULL);
    offset = ctl_image(c.w.c)->offset;
    for (int i = 0; i < N; i++)
        often[i] = i % 2 ? (struct update){FEATURE_ELR, 1, UPGRADE}
                         : (struct update){FEATURE_METADATA, i < N - 2 ? 99 : 30, UPGRADE};
    CHECK_EQ(update(&c, often, N, false)->error_code, 0);
    CHECK_EQ(image_feature(ctl_image(c.w.c), FEATURE_ELR), 1);
    CHECK_EQ(image_feature(ctl_image(c.w.c), FEATURE_METADATA), 30);
    CHECK_EQ(ctl_image(c.w.c)->offset, offset + 3); /* both, and the one min.insync.replicas */
    cluster_stop(&c);
}

/* A downgrade that would lose something names each record and is refused; an unsafe one of ELR gives it up. */
TEST(features, a_downgrade_says_what_it_would_lose)
{
    static const int32_t two[] = {1, 2};
    const struct update weir = {FEATURE_WEIR, 1, SAFE}, elr = {FEATURE_ELR, 0, SAFE},
                        anyway = {FEATURE_ELR, 0, UNSAFE};
    struct ControllerRegistrationRequest req;
    struct ControllerRegistrationResponse resp;
    struct cluster c;

    cluster_start(&c);
    cluster_join(&c, 1, NULL);
    cluster_join(&c, 2, NULL);
    cluster_place(&c, "t", 2, two);
    CHECK_EQ(cluster_feature(&c, FEATURE_ELR, 1, UPGRADE), 0);
    cluster_set(&c, CONFIG_TOPIC, "t", SETTING_MIN_ISR, "2");
    CHECK(cluster_fence(&c, 2));
    CHECK_STR(cluster_text(&c, "t", 0), "1 2/1 L1 E0 elr 2");
    proto_defaults(&ControllerRegistrationRequest_type, &req);
    proto_defaults(&ControllerRegistrationResponse_type, &resp);
    req.controller_id = 7;
    PROTO_ARRAY_NEW(&c.w.arena, ControllerRegistrationRequest_Feature, req.features, FEATURE_COUNT);
    for (int i = 0; i < FEATURE_COUNT; i++)
        req.features.v[i] = (struct ControllerRegistrationRequest_Feature){SLICE(FEATURES[i].name),
                                                                           FEATURES[i].min, FEATURES[i].max};
    cluster_call(&c, decide_controller_registration, &req, &resp, 0);
    check_words(
        &c, update(&c, &weir, 1, false),
        "Invalid update version 1 for feature weir.version. Refusing to perform the requested downgrade "
        "because it would delete: REGISTER_CONTROLLER 7, FEATURE eligible.leader.replicas.version");
    check_words(
        &c, update(&c, &elr, 1, false),
        "Invalid update version 0 for feature eligible.leader.replicas.version. Refusing to perform the "
        "requested downgrade because it would delete: the eligible leaders of PARTITION t-0");
    CHECK_EQ(update(&c, &anyway, 1, false)->error_code, 0);
    CHECK_STR(cluster_text(&c, "t", 0), "1 2/1 L1 E0");
    check_words(
        &c, update(&c, &weir, 1, false),
        "Invalid update version 1 for feature weir.version. Refusing to perform the requested downgrade "
        "because it would delete: REGISTER_CONTROLLER 7");
    cluster_stop(&c);
}

/* A level must suit every broker that is registered, fenced ones too. */
TEST(features, brokers_must_be_able_to)
{
    struct BrokerRegistrationRequest req;
    struct BrokerRegistrationResponse resp;
    const struct update up = {FEATURE_ELR, 1, UPGRADE};
    struct cluster c;

    cluster_start(&c);
    proto_defaults(&BrokerRegistrationRequest_type, &req);
    proto_defaults(&BrokerRegistrationResponse_type, &resp);
    req.broker_id = 4;
    req.cluster_id = SLICE("cluster");
    PROTO_ARRAY_NEW(&c.w.arena, BrokerRegistrationRequest_Feature, req.features, 2);
    req.features.v[0] = (struct BrokerRegistrationRequest_Feature){SLICE(FEATURE_METADATA), 7, 30};
    req.features.v[1] = (struct BrokerRegistrationRequest_Feature){SLICE(FEATURE_WEIR), 1, WEIR_VERSION};
    req.log_dirs.v = (struct uuid[]){{{4, 4}}};
    req.log_dirs.n = 1;
    cluster_call(&c, decide_broker_registration, &(struct broker_registration){.request = &req}, &resp, 4);
    CHECK_EQ(resp.error_code, 0);
    check_words(&c, update(&c, &up, 1, false),
                "Invalid update version 1 for feature eligible.leader.replicas.version. Broker 4 does not "
                "support this feature.");
    cluster_stop(&c);
}

/* ---- min.insync.replicas under ELR ---- */

static const struct IncrementalAlterConfigsResponse_AlterConfigsResourceResponse *set(struct cluster *c,
                                                                                      const char *broker,
                                                                                      const char *value)
{
    struct IncrementalAlterConfigsRequest req;
    struct IncrementalAlterConfigsResponse *resp = arena_alloc(&c->w.arena, sizeof(*resp));

    proto_defaults(&IncrementalAlterConfigsRequest_type, &req);
    proto_defaults(&IncrementalAlterConfigsResponse_type, resp);
    PROTO_ARRAY_NEW(&c->w.arena, IncrementalAlterConfigsRequest_AlterConfigsResource, req.resources, 1);
    req.resources.v[0].resource_type = CONFIG_BROKER;
    req.resources.v[0].resource_name = SLICE(broker);
    PROTO_ARRAY_NEW(&c->w.arena, IncrementalAlterConfigsRequest_AlterableConfig, req.resources.v[0].configs,
                    1);
    req.resources.v[0].configs.v[0].name = SLICE(SETTING_MIN_ISR);
    req.resources.v[0].configs.v[0].value = value ? SLICE(value) : SLICE_NULL;
    req.resources.v[0].configs.v[0].config_operation = value ? 0 : 1;
    cluster_call(c, decide_incremental_alter_configs, &req, resp, 1);
    return &resp->responses.v[0];
}

static const char *brokers_min_isr(struct cluster *c, const char *broker)
{
    struct slice v = image_config(ctl_image(c->w.c), CONFIG_BROKER, SLICE(broker), SETTING_MIN_ISR);

    return v.p ? arena_str(&c->w.arena, v) : NULL;
}

/* With ELR on, the brokers' min.insync.replicas is written down, brokers lose their own, and neither comes undone. */
TEST(features, min_isr_stands_under_elr)
{
    struct UnregisterBrokerResponse gone = {0};
    struct cluster c;

    cluster_start(&c);
    cluster_join(&c, 1, NULL);
    cluster_join(&c, 2, NULL);
    CHECK_EQ(set(&c, "1", "3")->error_code, 0);
    CHECK_EQ(set(&c, "2", "3")->error_code, 0);
    cluster_call(&c, decide_unregister_broker, &(struct UnregisterBrokerRequest){.broker_id = 2}, &gone, 0);
    CHECK_EQ(cluster_feature(&c, FEATURE_ELR, 1, UPGRADE), 0);
    CHECK_STR(brokers_min_isr(&c, ""), "1");
    CHECK(brokers_min_isr(&c, "1") == NULL);
    CHECK_STR(arena_str(&c.w.arena, set(&c, "1", "2")->error_message),
              "Broker-level min.insync.replicas cannot be altered while ELR is enabled.");
    CHECK_STR(arena_str(&c.w.arena, set(&c, "", NULL)->error_message),
              "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.");
    CHECK_EQ(set(&c, "", NULL)->error_code, err_wire(E_INVALID_CONFIG));
    CHECK_EQ(set(&c, "", "2")->error_code, 0);
    CHECK_STR(brokers_min_isr(&c, ""), "2");
    cluster_stop(&c);
}

/* A release whose features aren't all here is refused, and the refusal names those that come later. */
TEST(features, a_release_names_what_is_missing)
{
    const struct update release[] = {{"group.version", 1, UPGRADE},
                                     {FEATURE_KRAFT, 1, UPGRADE},
                                     {FEATURE_METADATA, 30, UPGRADE},
                                     {"transaction.version", 2, UPGRADE}};
    struct cluster c;

    cluster_start(&c);
    cluster_join(&c, 1, NULL);
    check_words(
        &c, update(&c, release, 4, false),
        "Invalid update version 1 for feature group.version. Local controller 1 does not support this "
        "feature. Left to a later version of weir: group.version, transaction.version");
    cluster_stop(&c);
}

/* What is decided of kraft.version is a record in one batch with the others, once; it never goes down. Where the quorum began with
 * it there is none. */
TEST(features, kraft_version_is_the_quorums)
{
    const struct update both[] = {{FEATURE_KRAFT, 1, UPGRADE}, {FEATURE_WEIR, WEIR_VERSION, UPGRADE}};
    const struct update down[] = {{FEATURE_KRAFT, 0, SAFE}};
    struct UpdateFeaturesRequest_FeatureUpdateKey keys[] = {
        {.feature = SLICE(FEATURE_KRAFT), .max_version_level = 1}, {.feature = SLICE(FEATURE_KRAFT)}};
    struct UpdateFeaturesRequest req = {.feature_updates = {.v = keys, .n = 1}};
    struct UpdateFeaturesResponse refused = {.error_code = 1};
    const struct UpdateFeaturesResponse *r;
    struct cluster c;
    int64_t offset;

    cluster_start(&c);
    cluster_join(&c, 1, NULL);
    r = update(&c, both, 2, false);
    CHECK_EQ(r->error_code, 0);
    CHECK_EQ(image_feature(ctl_image(c.w.c), FEATURE_KRAFT), 1);
    CHECK(features_kraft(&req, r) && !features_kraft(&req, &refused));
    req.feature_updates.n = 2;
    CHECK(!features_kraft(&req, r)); /* the last one counts */
    req.feature_updates.n = 1;
    req.validate_only = true;
    CHECK(!features_kraft(&req, r));
    for (int i = 0; i < 2; i++) { /* … before the quorum has come to it, too */
        check_words(&c, update(&c, down, 1, false),
                    "Invalid update version 0 for feature kraft.version. Can't downgrade the version of "
                    "this feature.");
        c.w.rules.kraft_version = 1;
    }
    offset = ctl_image(c.w.c)->offset;
    CHECK_EQ(update(&c, both, 1, false)->error_code, 0);
    CHECK_EQ(ctl_image(c.w.c)->offset, offset);
    cluster_stop(&c);
}
