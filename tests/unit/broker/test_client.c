#include "broker/net/client.h"
#include "net_world.h"

/* A tool on node 2 that talks to the node of net_world. */
struct tool {
    struct net_world *w;
    struct io *io;
    struct loop *disk;
    struct client *client;
    const char *bootstrap;
    int64_t timeout_ns, setup_ns;
    struct client_call *calls[4];
    int step;
    bool closed;
    void (*first)(struct tool *t);
    enum err new_err;
};

static void disk_run(struct loop *loop, void *arg)
{
    ((struct tool *)arg)->disk = loop;
}

static void tool_begin(struct loop *loop, void *arg)
{
    struct tool *t = arg;
    struct client_options o = {.io = t->io,
                               .net = loop,
                               .disk = t->disk,
                               .bootstrap = t->bootstrap,
                               .client_id = "tool",
                               .software_version = "1.0",
                               .timeout_ns = t->timeout_ns,
                               .setup_ns = t->setup_ns,
                               .setup_max_ns = 2 * t->setup_ns};

    t->new_err = client_new(&o, &t->client);
    if (!t->new_err)
        t->first(t);
}

static void tool_start(struct tool *t, struct net_world *w, const char *bootstrap,
                       void (*first)(struct tool *t))
{
    *t = (struct tool){.w = w,
                       .bootstrap = bootstrap,
                       .timeout_ns = INT64_C(2) * 1000000000,
                       .setup_ns = INT64_C(100) * 1000000,
                       .first = first};
    t->io = sim_node(w->sim, 2);
    CHECK(sim_call(w->sim, t->io, LOOP_DISK, disk_run, t));
    CHECK(sim_call(w->sim, t->io, LOOP_NET, tool_begin, t));
}

static void tool_closed(void *arg)
{
    ((struct tool *)arg)->closed = true;
}

static void tool_end(struct loop *loop, void *arg)
{
    struct tool *t = arg;

    (void)loop;
    client_close(t->client, tool_closed, t);
}

static void tool_stop(struct tool *t)
{
    CHECK(sim_call(t->w->sim, t->io, LOOP_NET, tool_end, t));
    nw_run(t->w, 100);
    CHECK(t->closed);
}

static void next_step(void *arg)
{
    ((struct tool *)arg)->step++;
}

static void ask_versions_thrice(struct tool *t)
{
    struct ApiVersionsRequest *in = client_in(t->client, API_ApiVersions);

    in->client_software_name = SLICE("tool");
    in->client_software_version = SLICE("1");
    for (int i = 0; i < 3; i++)
        t->calls[i] = client_ask(t->client, client_any(), API_ApiVersions, in);
    client_then(t->client, next_step, t);
}

static bool announces(const struct ApiVersionsResponse *out, int16_t key)
{
    for (int i = 0; i < out->api_keys.n; i++)
        if (out->api_keys.v[i].api_key == key)
            return true;
    return false;
}

/* A tool asks, in parallel, and its next step runs once when all is back. */
TEST(client, asks_and_goes_on)
{
    struct net_world *w = nw_new(1);
    struct tool t;

    tool_start(&t, w, "10.0.0.1:9092", ask_versions_thrice);
    nw_run(w, 100);
    CHECK_EQ(t.step, 1);
    for (int i = 0; i < 3; i++) {
        const struct ApiVersionsResponse *out = t.calls[i]->out;

        CHECK_OK(t.calls[i]->err);
        CHECK_EQ(t.calls[i]->version, 4);
        CHECK_EQ(out->error_code, 0);
        CHECK(announces(out, API_ApiVersions) && !announces(out, API_Vote));
    }
    tool_stop(&t);
    nw_drop(w);
}

/* The next address of the bootstrap list is tried when one refuses. */
TEST(client, tries_every_bootstrap_address)
{
    struct net_world *w = nw_new(2);
    struct tool t;

    tool_start(&t, w, "10.0.0.1:1, 10.0.0.1:9092", ask_versions_thrice);
    nw_run(w, 500);
    CHECK_EQ(t.step, 1);
    CHECK_OK(t.calls[2]->err);
    tool_stop(&t);
    nw_drop(w);
}

/* One that says nothing is left after its time, which doubles while it stays silent, up to a bound. */
TEST(client, a_silent_address_is_left_for_the_next)
{
    struct net_world *w = nw_new(3);
    struct tool t;

    sim_node(w->sim, 3);
    sim_partition(w->sim, 2, 3, true);
    tool_start(&t, w, "10.0.0.3:1, 10.0.0.3:2, 10.0.0.3:3, 10.0.0.1:9092", ask_versions_thrice);
    nw_run(w, 450);
    CHECK_EQ(t.step, 0);
    nw_run(w, 150);
    CHECK_EQ(t.step, 1);
    CHECK_OK(t.calls[2]->err);
    tool_stop(&t);
    nw_drop(w);
}

/* When no address answers, each call ends with the last refusal. */
TEST(client, refusal_ends_the_calls)
{
    struct net_world *w = nw_new(3);
    struct tool t;

    tool_start(&t, w, "10.0.0.1:1,10.0.0.1:2", ask_versions_thrice);
    nw_run(w, 500);
    CHECK_EQ(t.step, 1);
    CHECK_EQ(t.calls[0]->err, E_REFUSED);
    CHECK(t.calls[0]->out == NULL);
    tool_stop(&t);
    nw_drop(w);
}

static const struct {
    const char *text;
} bad_lists[] = {{""}, {"host"}, {":9092"}, {"host:"}, {"host:0"}, {"host:99999"}, {"a:1,b"}, {"host:12x"}};

/* A bootstrap list that isn't one is refused at once. */
TEST_EACH(client, bad_bootstrap_lists, bad_lists)
{
    struct net_world *w = nw_new(4);
    struct tool t;

    tool_start(&t, w, row->text, ask_versions_thrice);
    CHECK_EQ(t.new_err, E_INVALID_REQUEST);
    nw_drop(w);
}

static void ask_vote(struct tool *t)
{
    t->calls[0] = client_ask(t->client, client_any(), API_Vote, client_in(t->client, API_Vote));
    client_then(t->client, next_step, t);
}

/* A call that the node has no version for says so. */
TEST(client, no_version_in_common)
{
    struct net_world *w = nw_new(5);
    struct tool t;

    tool_start(&t, w, "10.0.0.1:9092", ask_vote);
    nw_run(w, 100);
    CHECK_EQ(t.step, 1);
    CHECK_EQ(t.calls[0]->err, E_UNSUPPORTED_VERSION);
    tool_stop(&t);
    nw_drop(w);
}

/* ---- Routing: the node announces Metadata, and tells of one broker and one topic ---- */

static void announce_metadata(struct request *r)
{
    struct ApiVersionsResponse *out = r->out;

    PROTO_ARRAY_NEW(&r->arena, ApiVersionsResponse_ApiVersion, out->api_keys, 2);
    out->api_keys.v[0] = (struct ApiVersionsResponse_ApiVersion){.api_key = API_Metadata, .max_version = 9};
    out->api_keys.v[1] =
        (struct ApiVersionsResponse_ApiVersion){.api_key = API_ApiVersions, .max_version = 4};
    request_reply(r);
}

static void answer_metadata(struct request *r)
{
    const struct MetadataRequest *in = r->in;
    struct MetadataResponse *out = r->out;

    PROTO_ARRAY_NEW(&r->arena, MetadataResponse_MetadataResponseBroker, out->brokers, 1);
    out->brokers.v[0].node_id = 7;
    out->brokers.v[0].host = SLICE("10.0.0.1");
    out->brokers.v[0].port = NW_PORT;
    out->controller_id = 7;
    PROTO_ARRAY_NEW(&r->arena, MetadataResponse_MetadataResponseTopic, out->topics,
                    in->topics.n > 0 ? in->topics.n : 0);
    for (int i = 0; i < out->topics.n; i++) {
        struct MetadataResponse_MetadataResponseTopic *t = &out->topics.v[i];

        t->name = in->topics.v[i].name;
        if (!slice_eq(t->name, SLICE("here"))) {
            t->error_code = err_wire(E_UNKNOWN_TOPIC_OR_PARTITION);
            continue;
        }
        PROTO_ARRAY_NEW(&r->arena, MetadataResponse_MetadataResponsePartition, t->partitions, 2);
        t->partitions.v[0].leader_id = 7;
        t->partitions.v[1].partition_index = 1;
        t->partitions.v[1].leader_id = nw_of(r)->n_ran < 4 ? -1 : 7; /* elected after a while */
    }
    request_reply(r);
}

static void ask_leaders(struct tool *t)
{
    struct ApiVersionsRequest *in = client_in(t->client, API_ApiVersions);

    in->client_software_name = in->client_software_version = SLICE("1");
    t->calls[0] = client_ask(t->client, client_leader(SLICE("here"), 0), API_ApiVersions, in);
    t->calls[1] = client_ask(t->client, client_leader(SLICE("gone"), 0), API_ApiVersions, in);
    t->calls[2] = client_ask(t->client, client_leader(SLICE("here"), 1), API_ApiVersions, in);
    t->calls[3] = client_ask(t->client, client_controller(), API_ApiVersions, in);
    client_then(t->client, next_step, t);
}

/* A call for a leader or the controller finds it, waits while there is none, and fails for a topic that isn't there. */
TEST(client, finds_leaders_and_the_controller)
{
    struct net_world *w = nw_new(6);
    struct tool t;

    w->versions = announce_metadata;
    w->run = answer_metadata;
    tool_start(&t, w, "10.0.0.1:9092", ask_leaders);
    nw_run(w, 100);
    CHECK_EQ(w->n_ran, 1); /* one question for all */
    CHECK_EQ(t.step, 0);
    CHECK_OK(t.calls[0]->err);
    CHECK(t.calls[0]->out && t.calls[3]->out);
    CHECK_EQ(t.calls[1]->err, E_UNKNOWN_TOPIC_OR_PARTITION);
    nw_run(w, 1000);
    CHECK_EQ(t.step, 1);
    CHECK(t.calls[2]->out != NULL);
    CHECK_EQ(w->n_ran, 4);
    tool_stop(&t);
    nw_drop(w);
}

static void ask_metadata(struct tool *t)
{
    t->calls[0] = client_ask(t->client, client_any(), API_Metadata, client_in(t->client, API_Metadata));
    t->calls[1] = client_ask(t->client, client_node(7), API_Metadata, client_in(t->client, API_Metadata));
    client_then(t->client, next_step, t);
}

/* A node that doesn't answer costs a call its timeout and no more. */
TEST(client, silence_is_a_timeout)
{
    struct net_world *w = nw_new(7);
    struct tool t;

    w->versions = announce_metadata;
    tool_start(&t, w, "10.0.0.1:9092", ask_metadata);
    nw_run(w, 1900);
    CHECK_EQ(t.step, 0);
    nw_run(w, 300);
    CHECK_EQ(t.step, 1);
    CHECK_EQ(t.calls[0]->err, E_TIMEOUT);
    CHECK_EQ(t.calls[1]->err, E_TIMEOUT);
    tool_stop(&t);
    nw_drop(w);
}

/* Closing ends what was asked, wherever it stands. */
TEST(client, closing_ends_calls)
{
    struct net_world *w = nw_new(8);
    struct tool t;

    w->versions = announce_metadata;
    tool_start(&t, w, "10.0.0.1:9092", ask_metadata);
    nw_run(w, 100);
    tool_stop(&t);
    nw_drop(w);
}
