/* Requests that bring as many entries as a frame may hold. */
#include "metadata/list_value.h"
#include "tests/unit/metadata/meta_world.h"
#include <time.h>

struct list_case {
    const char *list; /* NULL: null */
    const char *items;
    bool add;
    const char *want;
};
static const struct list_case LISTS[] = {
    {"a,b", "c", true, "a,b,c"},
    {"a,b", "b,c,c", true, "a,b,c"},
    {NULL, "a", true, "a"},
    {"", "a,b", true, "a,b"},
    {",a,,b,", "c", true, "a,b,c"},
    {"a", "b,,", true, "a,b"},
    {"a", "", true, "a,"},
    {"a", ",", true, "a"},
    {"ab", "a", true, "ab,a"},
    {"a,b,c", "b", false, "a,c"},
    {"a,b,c", "c,a", false, "b"},
    {"a", "a", false, ""},
    {"ab,a,abc", "a", false, "ab,abc"},
    {NULL, "a", false, ""},
    {"a,b,c", "x,b,,", false, "a,c"},
};

/* APPEND and SUBTRACT do to a list what Kafka's do, empty elements included. */
TEST_EACH(many, list_values, LISTS)
{
    struct heap *h = heap_new(false);
    struct slice got;
    struct arena a;

    arena_init(&a, h, SIZE_MAX);
    got = list_value_change(&a, 7, row->list ? SLICE(row->list) : SLICE_NULL, SLICE(row->items), row->add);
    CHECK_STR(arena_str(&a, got), row->want);
    arena_drop(&a);
    heap_drop(h);
}

static void create_many(struct ctl_world *w, int n)
{
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse resp;

    proto_defaults(&CreateTopicsRequest_type, &req);
    proto_defaults(&CreateTopicsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w->arena, CreateTopicsRequest_CreatableTopic, req.topics, 1);
    req.topics.v[0].name = SLICE("new");
    PROTO_ARRAY_NEW(&w->arena, CreateTopicsRequest_CreatableTopicConfig, req.topics.v[0].configs, n);
    for (int i = 0; i < n; i++) {
        req.topics.v[0].configs.v[i].name =
            SLICE(arena_printf(&w->arena, "%s%07d", i == n - 1 ? "bad" : "it", i));
        req.topics.v[0].configs.v[i].value = SLICE("1");
    }
    ctl_world_call(w, decide_create_topics, &req, &resp, 7);
    CHECK_EQ(resp.topics.v[0].error_code, err_wire(E_INVALID_CONFIG));
}

static void set_many(struct ctl_world *w, int n)
{
    struct IncrementalAlterConfigsRequest req;
    struct IncrementalAlterConfigsResponse resp;

    proto_defaults(&IncrementalAlterConfigsRequest_type, &req);
    proto_defaults(&IncrementalAlterConfigsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w->arena, IncrementalAlterConfigsRequest_AlterConfigsResource, req.resources, 1);
    req.resources.v[0].resource_type = CONFIG_TOPIC;
    req.resources.v[0].resource_name = SLICE("t");
    PROTO_ARRAY_NEW(&w->arena, IncrementalAlterConfigsRequest_AlterableConfig, req.resources.v[0].configs, n);
    for (int i = 0; i < n; i++) {
        req.resources.v[0].configs.v[i].name = SLICE(arena_printf(&w->arena, "it%07d", i));
        req.resources.v[0].configs.v[i].value = SLICE("1");
    }
    ctl_world_call(w, decide_incremental_alter_configs, &req, &resp, 1);
    CHECK_EQ(resp.responses.v[0].error_code, 0);
}

/* Sets n settings and takes them back by naming as many others. */
static void replace_many(struct ctl_world *w, int n)
{
    struct AlterConfigsRequest req;
    struct AlterConfigsResponse resp;

    set_many(w, n);
    proto_defaults(&AlterConfigsRequest_type, &req);
    proto_defaults(&AlterConfigsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w->arena, AlterConfigsRequest_AlterConfigsResource, req.resources, 1);
    req.resources.v[0].resource_type = CONFIG_TOPIC;
    req.resources.v[0].resource_name = SLICE("t");
    PROTO_ARRAY_NEW(&w->arena, AlterConfigsRequest_AlterableConfig, req.resources.v[0].configs, n);
    for (int i = 0; i < n; i++) {
        req.resources.v[0].configs.v[i].name = SLICE(arena_printf(&w->arena, "to%07d", i));
        req.resources.v[0].configs.v[i].value = SLICE("1");
    }
    ctl_world_call(w, decide_alter_configs, &req, &resp, 1);
    CHECK_EQ(resp.responses.v[0].error_code, 0);
}

/* One list of n elements, to which n others are added. */
static void append_many(struct ctl_world *w, int n)
{
    for (int round = 0; round < 2; round++) {
        struct IncrementalAlterConfigsRequest req;
        struct IncrementalAlterConfigsResponse resp;
        struct bytes text;

        bytes_init(&text, w->heap);
        for (int i = 0; i < n; i++)
            bytes_printf(&text, "%s%c%07d", i ? "," : "", "ab"[round], i);
        proto_defaults(&IncrementalAlterConfigsRequest_type, &req);
        proto_defaults(&IncrementalAlterConfigsResponse_type, &resp);
        PROTO_ARRAY_NEW(&w->arena, IncrementalAlterConfigsRequest_AlterConfigsResource, req.resources, 1);
        req.resources.v[0].resource_type = CONFIG_TOPIC;
        req.resources.v[0].resource_name = SLICE("t");
        PROTO_ARRAY_NEW(&w->arena, IncrementalAlterConfigsRequest_AlterableConfig, req.resources.v[0].configs,
                        1);
        req.resources.v[0].configs.v[0].name = SLICE("cleanup.policy");
        req.resources.v[0].configs.v[0].value = bytes_slice(&text);
        req.resources.v[0].configs.v[0].config_operation = round ? 2 : 0;
        ctl_world_call(w, decide_incremental_alter_configs, &req, &resp, 1);
        CHECK_EQ(resp.responses.v[0].error_code, 0);
        bytes_drop(&text);
    }
    CHECK_EQ(image_config(ctl_image(w->c), CONFIG_TOPIC, SLICE("t"), "cleanup.policy").len, 2 * n * 9 - 1);
}

static enum err all_is_fine(const void *arg, enum config_resource type, struct slice resource,
                            const struct slice *names, const struct slice *values, int n, char *why,
                            size_t room)
{
    return E_OK;
}

/* Of this process, so that a busy machine counts little. */
static double seconds_for(void (*work)(struct ctl_world *w, int n), int n)
{
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse resp;
    struct ctl_world w;
    clock_t from;

    ctl_world_start(&w);
    ctl_world_broker(&w, 1, NULL);
    w.rules.check_all = all_is_fine;
    proto_defaults(&CreateTopicsRequest_type, &req);
    proto_defaults(&CreateTopicsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, CreateTopicsRequest_CreatableTopic, req.topics, 1);
    req.topics.v[0].name = SLICE("t");
    req.topics.v[0].num_partitions = req.topics.v[0].replication_factor = -1;
    ctl_world_call(&w, decide_create_topics, &req, &resp, 7);
    from = clock();
    work(&w, n);
    from = clock() - from;
    ctl_world_stop(&w);
    return (double)from / CLOCKS_PER_SEC;
}

struct work {
    void (*work)(struct ctl_world *w, int n);
};
static const struct work WORKS[] = {{create_many}, {set_many}, {replace_many}, {append_many}};

/* Twenty times the entries cost about twenty times as much, not four hundred times. */
TEST_EACH(many, entries_cost_the_same_each, WORKS)
{
    double few = seconds_for(row->work, 5000), again = seconds_for(row->work, 5000);
    double many = seconds_for(row->work, 100000);

    CHECK(many < 80 * (few > again ? few : again) + 0.1);
}
