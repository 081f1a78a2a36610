#include "base/trace.h"
#include "tests/unit/broker/config_world.h"
#include "tests/unit/broker/net_world.h"
#include <time.h>

/* A node with a topic, a broker and some dynamic settings, and one connection to it. */
struct api_world {
    struct net_world *w;
    struct small_world small;
    struct raw *raw;
    struct grave grave;
    struct image *image;
    struct arena arena;
    struct config *config;
    int asked;
};

static void put_config(struct api_world *a, enum config_resource type, const char *resource, const char *name,
                       const char *value)
{
    struct meta_record r = {.type = RECORD_CONFIG,
                            .config = {.resource_type = (int8_t)type,
                                       .resource = SLICE(resource),
                                       .name = SLICE(name),
                                       .value = SLICE(value)}};

    image_replay(a->image, &a->grave, &r);
}

static void api_world_init(struct api_world *a)
{
    struct meta_record topic = {.type = RECORD_TOPIC, .topic = {.name = SLICE("t"), .id = {{1}}}};
    struct meta_record broker = {.type = RECORD_REGISTER_BROKER,
                                 .register_broker = {.id = NW_NODE, .epoch = 1}};
    struct config_entry retention = {.name = SLICE("log.retention.ms"), .value = SLICE("70")};

    *a = (struct api_world){.w = nw_new(5)};
    a->config = small_config(&a->small, "log.retention.minutes=5\n");
    a->config = config_with(a->config, &retention, 1, NULL, 0);
    arena_init(&a->arena, a->small.heap, SIZE_MAX);
    grave_init(&a->grave, a->small.heap);
    a->image = image_new(&a->grave);
    image_replay(a->image, &a->grave, &topic);
    image_replay(a->image, &a->grave, &broker);
    put_config(a, CONFIG_TOPIC, "t", "retention.ms", "60");
    put_config(a, CONFIG_BROKER, "", "log.retention.ms", "70");
    put_config(a, CONFIG_CLIENT_METRICS, "m", "metrics", "*");
    put_config(a, CONFIG_CLIENT_METRICS, "m", "interval.ms", "1000");
    put_config(a, CONFIG_GROUP, "g", "consumer.session.timeout.ms", "50000");
    image_seal(a->image);
    a->w->node.id = NW_NODE;
    for (int i = 0; i < NW_LOOPS; i++) {
        a->w->loops[i].image = a->image;
        a->w->loops[i].config = a->config;
    }
    a->raw = raw_dial(a->w, 2);
}

static void api_world_drop(struct api_world *a)
{
    raw_free(a->raw);
    nw_drop(a->w);
    heap_drop(a->small.heap);
}

/* Sends a request of a version whose header isn't flexible and decodes its answer. */
static void ask(struct api_world *a, int16_t key, int version, const void *in, const struct proto_type *type,
                void *out)
{
    struct bytes b;
    struct slice got;

    bytes_init(&b, a->raw->heap);
    frame_add(&b, key, version, a->asked, in);
    raw_send(a->raw, b.p, b.len);
    bytes_drop(&b);
    nw_run(a->w, 10);
    CHECK_EQ(raw_answers(a->raw), a->asked + 1);
    CHECK_EQ(raw_correlation(a->raw, a->asked), a->asked);
    got = raw_answer(a->raw, a->asked++);
    got = arena_copy(&a->arena, got);
    CHECK_OK(proto_decode(type, version, slice_of(got.p + 4, got.len - 4), &a->arena, out));
}

static struct DescribeConfigsResponse describe(struct api_world *a, int type, const char *name,
                                               const char *key)
{
    struct DescribeConfigsResponse out;
    struct DescribeConfigsRequest in;
    struct slice keys = key ? SLICE(key) : SLICE_NULL;

    proto_defaults(&DescribeConfigsRequest_type, &in);
    PROTO_ARRAY_NEW(&a->arena, DescribeConfigsRequest_DescribeConfigsResource, in.resources, 1);
    in.resources.v[0].resource_type = (int8_t)type;
    in.resources.v[0].resource_name = SLICE(name);
    in.resources.v[0].configuration_keys.v = key ? &keys : NULL;
    in.resources.v[0].configuration_keys.n = key ? 1 : 0;
    in.include_synonyms = true;
    in.include_documentation = true;
    ask(a, API_DescribeConfigs, 3, &in, &DescribeConfigsResponse_type, &out);
    CHECK_EQ(out.results.n, 1);
    return out;
}

/* DescribeConfigs tells the setting that was asked for, with the sources behind it. */
TEST(configs_api, describes_a_topic)
{
    struct api_world a;
    struct DescribeConfigsResponse out;

    api_world_init(&a);
    out = describe(&a, CONFIG_TOPIC, "t", "retention.ms");
    CHECK_EQ(out.results.v[0].error_code, 0);
    CHECK_EQ(out.results.v[0].configs.n, 1);
    CHECK(slice_eq(out.results.v[0].configs.v[0].value, SLICE("60")));
    CHECK_EQ(out.results.v[0].configs.v[0].config_source, CONFIG_FROM_TOPIC);
    CHECK_EQ(out.results.v[0].configs.v[0].config_type, CONFIG_LONG);
    CHECK(out.results.v[0].configs.v[0].documentation.len > 0);
    CHECK_EQ(out.results.v[0].configs.v[0].synonyms.n, 4);
    CHECK(slice_eq(out.results.v[0].configs.v[0].synonyms.v[1].value, SLICE("70")));
    CHECK_EQ(describe(&a, CONFIG_TOPIC, "t", NULL).results.v[0].configs.n, 34);
    api_world_drop(&a);
}

/* A resource that isn't there is answered with the code that Kafka gives it. */
TEST(configs_api, describing_answers_with_kafkas_codes)
{
    static const struct {
        int type;
        const char *name;
        int16_t code;
    } cases[] = {
        {CONFIG_TOPIC, "nope", 3},      {CONFIG_TOPIC, "a b", 17},       {CONFIG_BROKER, "1", 0},
        {CONFIG_BROKER, "2", 42},       {CONFIG_BROKER, "", 0},          {CONFIG_BROKER_LOGGER, "1", 0},
        {CONFIG_BROKER_LOGGER, "", 42}, {CONFIG_CLIENT_METRICS, "", 42}, {CONFIG_CLIENT_METRICS, "m", 0},
        {CONFIG_GROUP, "", 42},         {CONFIG_GROUP, "g", 0},          {77, "x", 42},
    };
    struct api_world a;

    api_world_init(&a);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK_EQ(describe(&a, cases[i].type, cases[i].name, NULL).results.v[0].error_code, cases[i].code);
    CHECK_EQ(describe(&a, CONFIG_BROKER, "", NULL).results.v[0].configs.n, 1);
    CHECK_EQ(describe(&a, CONFIG_BROKER_LOGGER, "1", NULL).results.v[0].configs.n, trace_logger_count());
    api_world_drop(&a);
}

/* Every resource that has settings is listed once; version 0 knows of subscriptions alone. */
TEST(configs_api, lists_resources)
{
    struct api_world a;
    struct ListConfigResourcesRequest in;
    struct ListConfigResourcesResponse out;
    struct arena *mem = &a.arena;
    struct bytes b;

    api_world_init(&a);
    bytes_init(&b, a.raw->heap);
    proto_defaults(&ListConfigResourcesRequest_type, &in);
    for (int version = 0; version <= 1; version++) {
        struct slice got;
        b.len = 0;
        frame_add(&b, API_ListConfigResources, version, a.asked, &in);
        raw_send(a.raw, b.p, b.len);
        nw_run(a.w, 10);
        got = raw_answer(a.raw, a.asked++);
        CHECK_OK(proto_decode(&ListConfigResourcesResponse_type, version, slice_of(got.p + 5, got.len - 5),
                              mem, &out));
        CHECK_EQ(out.error_code, 0);
        CHECK_EQ(out.config_resources.n, version ? 5 : 1); /* t, 1 twice, m, g */
    }
    bytes_drop(&b);
    api_world_drop(&a);
}

static struct IncrementalAlterConfigsResponse alter(struct api_world *a, int type, const char *resource,
                                                    const char *name, int op, const char *value)
{
    struct IncrementalAlterConfigsRequest_AlterableConfig one = {
        .name = SLICE(name), .config_operation = (int8_t)op, .value = value ? SLICE(value) : SLICE_NULL};
    struct IncrementalAlterConfigsRequest_AlterConfigsResource on = {.resource_type = (int8_t)type,
                                                                     .resource_name = SLICE(resource)};
    struct IncrementalAlterConfigsRequest in;
    struct IncrementalAlterConfigsResponse out;

    proto_defaults(&IncrementalAlterConfigsRequest_type, &in);
    on.configs.v = &one;
    on.configs.n = 1;
    in.resources.v = &on;
    in.resources.n = 1;
    ask(a, API_IncrementalAlterConfigs, 0, &in, &IncrementalAlterConfigsResponse_type, &out);
    CHECK_EQ(out.responses.n, 1);
    CHECK(slice_eq(out.responses.v[0].resource_name, SLICE(resource)));
    return out;
}

/* What the broker refuses never reaches the controller, and says so with Kafka's code and a sentence. */
TEST(configs_api, the_broker_refuses_by_itself)
{
    static const struct {
        int type;
        const char *resource, *name;
        int op;
        const char *value;
        int16_t code;
    } cases[] = {
        {CONFIG_BROKER, "1", "log.retention.hours", 0, "5", 42},
        {CONFIG_BROKER, "1", "num.io.threads", 0, "400", 42},
        {CONFIG_BROKER, "1", "num.io.threads", 2, "4", 40},
        {CONFIG_BROKER, "1", "log.retention.ms", 0, "0", 42},
        {CONFIG_BROKER, "2", "log.retention.ms", 0, "5", 42},
        {CONFIG_BROKER, "", "log.cleanup.policy", 2, "melt", 42},
        {CONFIG_TOPIC, "t", "retention.ms", 0, NULL, 42},
        {CONFIG_TOPIC, "t", "retention.ms", 7, "5", 42},
        {CONFIG_TOPIC, "", "retention.ms", 0, "5", 42},
        {77, "x", "y", 0, "z", 42},
        {CONFIG_BROKER_LOGGER, "1", "nobody", 0, "INFO", 40},
        {CONFIG_BROKER_LOGGER, "1", "network", 0, "LOUD", 40},
        {CONFIG_BROKER_LOGGER, "1", "network", 2, "INFO", 42},
        {CONFIG_BROKER_LOGGER, "1", "weir", 1, NULL, 42},
        {CONFIG_BROKER_LOGGER, "2", "network", 0, "INFO", 42},
    };
    struct api_world a;

    api_world_init(&a);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct IncrementalAlterConfigsResponse out =
            alter(&a, cases[i].type, cases[i].resource, cases[i].name, cases[i].op, cases[i].value);
        if (out.responses.v[0].error_code != cases[i].code || out.responses.v[0].error_message.len == 0)
            test_fail(__FILE__, __LINE__, "case %zu: %d, not %d", i, out.responses.v[0].error_code,
                      cases[i].code);
    }
    api_world_drop(&a);
}

static double seconds_to_refuse(int n)
{
    struct IncrementalAlterConfigsRequest_AlterConfigsResource on = {.resource_type = CONFIG_BROKER,
                                                                     .resource_name = SLICE("1")};
    struct IncrementalAlterConfigsRequest in;
    struct IncrementalAlterConfigsResponse out;
    struct api_world a;
    clock_t from;

    api_world_init(&a);
    proto_defaults(&IncrementalAlterConfigsRequest_type, &in);
    PROTO_ARRAY_NEW(&a.arena, IncrementalAlterConfigsRequest_AlterableConfig, on.configs, n);
    for (int i = 0; i < n; i++) {
        on.configs.v[i].name = SLICE(arena_printf(&a.arena, "my.%07d", i));
        on.configs.v[i].value = SLICE("1");
    }
    on.configs.v[n - 1] = (struct IncrementalAlterConfigsRequest_AlterableConfig){
        .name = SLICE("num.io.threads"), .config_operation = 2, .value = SLICE("1")};
    in.resources.v = &on;
    in.resources.n = 1;
    from = clock();
    ask(&a, API_IncrementalAlterConfigs, 0, &in, &IncrementalAlterConfigsResponse_type, &out);
    from = clock() - from;
    CHECK_EQ(out.responses.v[0].error_code, err_wire(E_INVALID_CONFIG));
    api_world_drop(&a);
    return (double)from / CLOCKS_PER_SEC;
}

/* A broker's settings cost the same each, as many as a request may bring. */
TEST(configs_api, thirty_thousand_settings)
{
    double few = seconds_to_refuse(2000), many = seconds_to_refuse(30000);

    CHECK(many < 40 * few + 0.1);
}

/* A logger's level changes at once; deleted, it is the root's again. */
TEST(configs_api, loggers_change_here)
{
    struct api_world a;
    const struct trace *t;
    int logger = -1;

    api_world_init(&a);
    t = io_trace(a.w->io);
    for (int i = 0; i < trace_logger_count(); i++)
        if (strcmp(trace_logger_name(i), "network") == 0)
            logger = i;
    CHECK_EQ(alter(&a, CONFIG_BROKER_LOGGER, "1", "network", 0, "DEBUG").responses.v[0].error_code, 0);
    CHECK_EQ(trace_logger_level(t, logger), TRACE_DEBUG);
    CHECK_EQ(alter(&a, CONFIG_BROKER_LOGGER, "1", "network", 1, NULL).responses.v[0].error_code, 0);
    CHECK_EQ(trace_logger_level(t, logger), trace_logger_level(t, 0));
    api_world_drop(&a);
}
