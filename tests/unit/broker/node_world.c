#include "node_world.h"
#include <stdio.h>
#include <stdlib.h>

static const int64_t START_MS = 20000;

static void ask_done(struct wire_ask *a)
{
    struct node_world *w = a->arg;

    w->end = a->err;
    w->answered[a - w->asks] = true;
}

static void client_begin(struct loop *loop, void *arg)
{
    struct node_world *w = arg;

    w->loop = loop;
    for (int i = 0; i < NODE_WIRES; i++) {
        wire_init(&w->wires[i], w->client, loop);
        wire_ask_init(&w->asks[i], w->client);
        w->asks[i].done = ask_done;
        w->asks[i].arg = w;
    }
}

static void client_dial(struct loop *loop, void *arg)
{
    struct node_world *w = arg;
    struct addr to = sim_addr(1, WHOLE_PORT);

    for (int i = 0; i < NODE_WIRES; i++)
        if (!w->wires[i].dialled)
            wire_dial(&w->wires[i], &to);
}

static bool client_open(void *arg)
{
    const struct node_world *w = arg;

    for (int i = 0; i < NODE_WIRES; i++)
        if (!w->wires[i].open)
            return false;
    return true;
}

static bool client_closed(void *arg)
{
    const struct node_world *w = arg;

    for (int i = 0; i < NODE_WIRES; i++)
        if (w->wires[i].dialled)
            return false;
    return true;
}

static void client_cut(struct loop *loop, void *arg)
{
    struct node_world *w = arg;

    for (int i = 0; i < NODE_WIRES; i++)
        wire_cut(&w->wires[i]);
}

void node_run(struct node_world *w, int64_t ms)
{
    (void)sim_run(w->sim, NULL, NULL, ms * 1000000);
}

bool node_world_try(struct node_world *w)
{
    whole_start(w->whole);
    CHECK(sim_run(w->sim, whole_up, w->whole, START_MS * 1000000));
    if (!w->whole->ready) {
        CHECK(sim_run(w->sim, whole_over, w->whole, START_MS * 1000000));
        return false;
    }
    CHECK(sim_call(w->sim, w->client, LOOP_NET, client_dial, w));
    CHECK(sim_run(w->sim, client_open, w, START_MS * 1000000));
    return true;
}

void node_world_start(struct node_world *w)
{
    if (!node_world_try(w))
        test_fail(__FILE__, __LINE__, "the node did not start: %s", w->whole->text);
}

struct node_world *node_world_with(const struct sim_options *o, int n_dirs, const char *const *sets,
                                   int n_sets)
{
    struct node_world *w = calloc(1, sizeof(*w));

    w->sim = sim_new_with(o);
    w->whole = whole_new(w->sim, 1, n_dirs, sets, n_sets);
    w->client = sim_node(w->sim, NODE_CLIENT);
    CHECK(sim_call(w->sim, w->client, LOOP_NET, client_begin, w));
    node_world_start(w);
    return w;
}

struct node_world *node_world_new(uint64_t seed, int n_dirs, const char *const *sets, int n_sets)
{
    struct sim_options o = sim_plain(seed);

    return node_world_with(&o, n_dirs, sets, n_sets);
}

void node_world_stop(struct node_world *w)
{
    whole_stop(w->whole);
    CHECK(sim_run(w->sim, whole_over, w->whole, START_MS * 1000000));
    if (w->whole->why)
        test_fail(__FILE__, __LINE__, "the stop says: %s", w->whole->text);
    CHECK(sim_run(w->sim, client_closed, w, START_MS * 1000000));
}

void node_world_crash(struct node_world *w, enum sim_crash how)
{
    whole_crash(w->whole, how);
    CHECK(sim_call(w->sim, w->client, LOOP_NET, client_cut, w));
    CHECK(sim_run(w->sim, client_closed, w, START_MS * 1000000));
}

void node_world_drop(struct node_world *w)
{
    if (w->whole->io)
        node_world_stop(w);
    whole_drop(w->whole);
    sim_crash(w->sim, NODE_CLIENT, SIM_PROCESS);
    sim_drop(w->sim);
    free(w);
}

/* ---- asking ---- */

void *node_in(struct node_world *w, int i, int16_t key)
{
    return wire_in(&w->asks[i], key);
}

struct sending {
    struct node_world *w;
    int i, version;
    const void *in;
};

static void send_run(struct loop *loop, void *arg)
{
    struct sending *s = arg;

    CHECK(wire_ask(&s->w->wires[s->i], &s->w->asks[s->i], s->version, s->in));
}

void node_send(struct node_world *w, int i, int version, const void *in)
{
    struct sending s = {.w = w, .i = i, .version = version, .in = in};

    w->answered[i] = false;
    CHECK(sim_call(w->sim, w->client, LOOP_NET, send_run, &s));
}

bool node_answered(const struct node_world *w, int i)
{
    return w->answered[i];
}

struct waiting {
    const struct node_world *w;
    int i;
};

static bool is_answered(void *arg)
{
    const struct waiting *x = arg;

    return x->w->answered[x->i];
}

void *node_wait(struct node_world *w, int i, int64_t ms)
{
    struct waiting x = {w, i};

    CHECK(sim_run(w->sim, is_answered, &x, ms * 1000000));
    CHECK_OK(w->end);
    return w->asks[i].out;
}

void *node_ask(struct node_world *w, int i, int version, const void *in)
{
    node_send(w, i, version, in);
    return node_wait(w, i, 5000);
}

/* ---- the usual ones ---- */

int16_t node_topic(struct node_world *w, const char *name, int partitions, const struct node_setting *v,
                   int n)
{
    struct CreateTopicsRequest *in = node_in(w, 0, API_CreateTopics);
    struct arena *a = &w->asks[0].arena;
    const struct CreateTopicsResponse *out;

    PROTO_ARRAY_NEW(a, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    in->topics.v[0].name = SLICE(name);
    in->topics.v[0].num_partitions = partitions;
    in->topics.v[0].replication_factor = 1;
    PROTO_ARRAY_NEW(a, CreateTopicsRequest_CreatableTopicConfig, in->topics.v[0].configs, n);
    for (int i = 0; i < n; i++) {
        in->topics.v[0].configs.v[i].name = SLICE(v[i].name);
        in->topics.v[0].configs.v[i].value = SLICE(v[i].value);
    }
    out = node_ask(w, 0, -1, in);
    CHECK_EQ(out->topics.n, 1);
    return out->topics.v[0].error_code;
}

static void batch_bytes(struct arena *a, const struct node_batch *b, int64_t now_ms, struct bytes *out)
{
    struct batch_record *v = arena_alloc(a, (size_t)b->n * sizeof(*v));
    struct batch_spec spec;

    batch_spec_init(&spec);
    for (int i = 0; i < b->n; i++) {
        char *text = arena_alloc(a, 16 + b->fill);
        int len = snprintf(text, 16, "v%d", b->first + i);
        memset(text + len, '.', b->fill);
        v[i].timestamp = now_ms;
        v[i].value = slice_of(text, (size_t)len + b->fill);
    }
    spec.v = v;
    spec.n = b->n;
    spec.producer_id = b->producer_id;
    spec.producer_epoch = b->producer_id < 0 ? -1 : b->epoch;
    spec.base_sequence = b->producer_id < 0 ? -1 : b->sequence;
    batch_build(NULL, &spec, out);
}

void node_produce_make(struct node_world *w, int i, const char *topic, int partition, int16_t acks,
                       const struct node_batch *b, const void **in_out)
{
    struct ProduceRequest *in = node_in(w, i, API_Produce);
    struct arena *a = &w->asks[i].arena;
    struct bytes bytes;

    in->acks = acks;
    in->timeout_ms = 1000;
    PROTO_ARRAY_NEW(a, ProduceRequest_TopicProduceData, in->topic_data, 1);
    in->topic_data.v[0].name = SLICE(topic);
    PROTO_ARRAY_NEW(a, ProduceRequest_PartitionProduceData, in->topic_data.v[0].partition_data, 1);
    in->topic_data.v[0].partition_data.v[0].index = partition;
    bytes_init(&bytes, io_heap(w->client));
    batch_bytes(a, b, io_wall_ms(w->client), &bytes);
    in->topic_data.v[0].partition_data.v[0].records = arena_copy(a, bytes_slice(&bytes));
    bytes_drop(&bytes);
    *in_out = in;
}

struct ProduceResponse_PartitionProduceResponse *node_produce(struct node_world *w, const char *topic,
                                                              int partition, const struct node_batch *b)
{
    struct ProduceResponse *out;
    const void *in;

    node_produce_make(w, 0, topic, partition, -1, b, &in);
    out = node_ask(w, 0, 9, in);
    CHECK_EQ(out->responses.n, 1);
    CHECK_EQ(out->responses.v[0].partition_responses.n, 1);
    return &out->responses.v[0].partition_responses.v[0];
}

void *node_fetch_in(struct node_world *w, int i, const char *topic, int partition, int64_t offset,
                    int wait_ms, int min_bytes)
{
    struct FetchRequest *in = node_in(w, i, API_Fetch);
    struct arena *a = &w->asks[i].arena;

    in->max_wait_ms = wait_ms;
    in->min_bytes = min_bytes;
    in->max_bytes = 1 << 20;
    PROTO_ARRAY_NEW(a, FetchRequest_FetchTopic, in->topics, 1);
    in->topics.v[0].topic = SLICE(topic);
    PROTO_ARRAY_NEW(a, FetchRequest_FetchPartition, in->topics.v[0].partitions, 1);
    in->topics.v[0].partitions.v[0].partition = partition;
    in->topics.v[0].partitions.v[0].fetch_offset = offset;
    in->topics.v[0].partitions.v[0].partition_max_bytes = 1 << 20;
    return in;
}

struct FetchResponse_PartitionData *node_fetched(const void *fetch_response)
{
    const struct FetchResponse *out = fetch_response;

    CHECK_EQ(out->error_code, 0);
    CHECK_EQ(out->responses.n, 1);
    CHECK_EQ(out->responses.v[0].partitions.n, 1);
    return &out->responses.v[0].partitions.v[0];
}

int node_records(struct node_world *w, const struct FetchResponse_PartitionData *p, int64_t offset, int first)
{
    struct slice rest = p->records;
    struct batch_view v;
    int n = 0;

    CHECK_EQ(p->error_code, 0);
    while (batch_next(&rest, &v) == E_OK) {
        struct record_iter it;
        struct record r;
        CHECK(batch_crc_ok(&v));
        record_iter_open(&it, io_heap(w->client), NULL, &v, 1 << 20);
        while (record_next(&it, &r) == E_OK) {
            char want[16];
            int len = snprintf(want, sizeof(want), "v%d", first + n);
            if (r.offset < offset)
                continue;
            CHECK_EQ(r.offset, offset + n);
            CHECK(r.value.len >= (size_t)len && memcmp(r.value.p, want, (size_t)len) == 0);
            n++;
        }
        record_iter_close(&it);
    }
    return n;
}

int64_t node_offset(struct node_world *w, const char *topic, int partition, int64_t timestamp)
{
    struct ListOffsetsRequest *in = node_in(w, 0, API_ListOffsets);
    struct arena *a = &w->asks[0].arena;
    const struct ListOffsetsResponse *out;

    in->replica_id = -1;
    PROTO_ARRAY_NEW(a, ListOffsetsRequest_ListOffsetsTopic, in->topics, 1);
    in->topics.v[0].name = SLICE(topic);
    PROTO_ARRAY_NEW(a, ListOffsetsRequest_ListOffsetsPartition, in->topics.v[0].partitions, 1);
    in->topics.v[0].partitions.v[0].partition_index = partition;
    in->topics.v[0].partitions.v[0].timestamp = timestamp;
    out = node_ask(w, 0, 7, in);
    CHECK_EQ(out->topics.n, 1);
    CHECK_EQ(out->topics.v[0].partitions.v[0].error_code, 0);
    return out->topics.v[0].partitions.v[0].offset;
}
