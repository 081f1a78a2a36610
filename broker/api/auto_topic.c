#include "auto_topic.h"
#include "base/check.h"
#include "broker/api/cluster.h"
#include "broker/control.h"
#include "metadata/topic_name.h"
#include "proto_gen.h"

enum { CREATE_TOPICS_VERSION = 7, SETTINGS_MAX = 5, WAIT_MS = 1000 };

struct auto_topics {
    struct request *r;
    int max;
    struct CreateTopicsRequest ask;
    struct CreateTopicsResponse answer;
    struct control_call call;
    void (*done)(struct request *r);
};

/* A coordinator's topic, with the settings that Kafka gives it. */
struct coordinator_topic {
    const char *name;
    enum config_id partitions;
    enum config_id replicas;
    struct {
        const char *name;
        const char *value; /* NULL: of `from` */
        enum config_id from;
    } settings[SETTINGS_MAX];
};

static const struct coordinator_topic coordinator_topics[] = {
    {.name = "__consumer_offsets",
     .partitions = C_offsets_topic_num_partitions,
     .replicas = C_offsets_topic_replication_factor,
     .settings = {{"cleanup.policy", "compact", 0},
                  {"compression.type", "producer", 0},
                  {"segment.bytes", NULL, C_offsets_topic_segment_bytes}}},
    {.name = "__transaction_state",
     .partitions = C_transaction_state_log_num_partitions,
     .replicas = C_transaction_state_log_replication_factor,
     .settings = {{"unclean.leader.election.enable", "false", 0},
                  {"compression.type", "uncompressed", 0},
                  {"cleanup.policy", "compact", 0},
                  {"min.insync.replicas", NULL, C_transaction_state_log_min_isr},
                  {"segment.bytes", NULL, C_transaction_state_log_segment_bytes}}},
    {.name = "__share_group_state",
     .partitions = C_share_coordinator_state_topic_num_partitions,
     .replicas = C_share_coordinator_state_topic_replication_factor,
     .settings = {{"cleanup.policy", "delete", 0},
                  {"compression.type", "producer", 0},
                  {"segment.bytes", NULL, C_share_coordinator_state_topic_segment_bytes},
                  {"min.insync.replicas", NULL, C_share_coordinator_state_topic_min_isr},
                  {"retention.ms", "-1", 0}}},
};
enum { COORDINATOR_TOPICS = sizeof(coordinator_topics) / sizeof(coordinator_topics[0]) };

struct auto_topics *auto_topics_new(struct request *r, int max)
{
    struct auto_topics *a = arena_alloc(&r->arena, sizeof(*a));

    a->r = r;
    a->max = max;
    proto_defaults(&CreateTopicsRequest_type, &a->ask);
    proto_defaults(&CreateTopicsResponse_type, &a->answer);
    PROTO_ARRAY_NEW(&r->arena, CreateTopicsRequest_CreatableTopic, a->ask.topics, max);
    a->ask.topics.n = 0;
    return a;
}

static void settings_fill(struct auto_topics *a, const struct coordinator_topic *from,
                          struct CreateTopicsRequest_CreatableTopic *t)
{
    const struct config *config = a->r->net->config;
    int32_t n = 0;

    t->num_partitions = (int32_t)config_int(config, from->partitions);
    t->replication_factor = (int16_t)config_int(config, from->replicas);
    PROTO_ARRAY_NEW(&a->r->arena, CreateTopicsRequest_CreatableTopicConfig, t->configs, SETTINGS_MAX);
    for (; n < SETTINGS_MAX && from->settings[n].name; n++) {
        const char *value = from->settings[n].value;
        if (!value)
            value = arena_printf(&a->r->arena, "%lld", (long long)config_int(config, from->settings[n].from));
        t->configs.v[n].name = SLICE(from->settings[n].name);
        t->configs.v[n].value = SLICE(value);
    }
    t->configs.n = n;
}

static void topic_ask(struct auto_topics *a, struct slice name)
{
    struct CreateTopicsRequest_CreatableTopic *t = &a->ask.topics.v[a->ask.topics.n++];

    t->name = name;
    t->num_partitions = (int32_t)config_int(a->r->net->config, C_num_partitions);
    t->replication_factor = (int16_t)config_int(a->r->net->config, C_default_replication_factor);
    for (int i = 0; i < COORDINATOR_TOPICS; i++)
        if (slice_eq(name, SLICE(coordinator_topics[i].name)))
            settings_fill(a, &coordinator_topics[i], t);
}

enum err auto_topics_add(struct auto_topics *a, struct slice name)
{
    ASSERT(a->ask.topics.n < a->max);
    if (!authorize(a->r, OP_CREATE, RES_CLUSTER, CLUSTER_NAME) &&
        !authorize(a->r, OP_CREATE, RES_TOPIC, name))
        return E_TOPIC_AUTHORIZATION_FAILED;
    if (!topic_name_ok(name))
        return E_INVALID_TOPIC_EXCEPTION;
    topic_ask(a, name);
    return E_UNKNOWN_TOPIC_OR_PARTITION;
}

/* Whatever came of it: who asks again finds the topic, or asks for it again. */
static void decided(struct control_call *c)
{
    struct auto_topics *a = c->arg;
    a->done(a->r);
}

void auto_topics_go(struct auto_topics *a, void (*done)(struct request *r))
{
    int16_t min = 0, max = CREATE_TOPICS_VERSION;

    a->done = done;
    a->ask.timeout_ms = WAIT_MS;
    if (a->ask.topics.n == 0) {
        done(a->r);
        return;
    }
    a->call = control_call_of(a->r, decide_create_topics, &a->ask, decided, a);
    a->call.out = &a->answer;
    a->call.version = CREATE_TOPICS_VERSION;
    if (leader_apis_share(&a->r->net->controller, API_CreateTopics, &min, &max))
        a->call.version = max;
    a->call.timeout_ms = WAIT_MS; /* the asker has its answer whatever comes of it */
    control_call(&a->call);
}
