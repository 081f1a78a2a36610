/* What the clients of the scenario `cluster` never do, since their judges rest on it. */
#include "tests/check.h"
#include "tests/sim/cluster_client_internal.h"
#include "tests/sim/whole.h"
#include <stdio.h>

enum { CLIENTS = 20, BROKERS = 2, OWNED = 200, HOURS = 1 };
static const int64_t HOUR_NS = 3600000000000;

/* Brokers who are connected to, and take in what is asked, and never read it. */
struct mute {
    struct sim *s;
    struct heap *heap;
    struct listener listeners[BROKERS + 1][2];
    struct cbook *book;
    struct cclients *clients;
    bool again[ALL_ASKERS][OWNED]; /* was to be made again */
    int agains, deletes, wrong;
};

static void nobody_comes(struct listener *l, int ticket, const struct addr *peer)
{
}

static void listen_now(struct loop *loop, void *arg)
{
    struct listener *l = arg;

    for (int i = 0; i < 2; i++) {
        struct addr at = {.port = i ? WHOLE_CONTROL_PORT : WHOLE_PORT};

        l[i].arrived = nobody_comes;
        CHECK_OK(sock_listen(loop, &l[i], &at));
    }
}

static bool *again_of(struct mute *m, struct slice name)
{
    char text[TRUTH_NAME];
    int client = -1, topic = -1;

    snprintf(text, sizeof(text), "%.*s", (int)name.len, (const char *)name.p);
    CHECK(sscanf(text, "of%d-%d", &client, &topic) == 2 && client < ALL_ASKERS && topic < OWNED);
    return &m->again[client][topic];
}

/* A question is one piece, and has one topic. */
static void asked(void *arg, uint64_t conn, int from, int to, uint16_t port, bool dialler, struct slice bytes)
{
    struct mute *m = arg;
    struct proto_request r;
    struct arena a;

    CHECK_OK(proto_request_header(slice_of(bytes.p + 4, bytes.len - 4), &r));
    arena_init(&a, m->heap, SIZE_MAX);
    if (r.key == API_CreateTopics) {
        struct CreateTopicsRequest in;

        CHECK_OK(proto_request_body(&r, &a, &in));
        m->agains += !in.validate_only;
        m->wrong += !in.validate_only && *again_of(m, in.topics.v[0].name);
        *again_of(m, in.topics.v[0].name) |= !in.validate_only;
    } else if (r.key == API_DeleteTopics) {
        struct DeleteTopicsRequest in;

        CHECK_OK(proto_request_body(&r, &a, &in));
        m->deletes++;
        m->wrong += *again_of(m, in.topic_names.v[0]);
    }
    arena_drop(&a);
}

static void mute_begin(struct mute *m, uint64_t seed)
{
    *m = (struct mute){.s = sim_new(seed), .heap = heap_new(true)};
    sim_tap_set(m->s, asked, m);
    m->book = cbook_new(m->s, BROKERS, BROKERS);
    for (int i = 1; i <= BROKERS; i++)
        CHECK(sim_call(m->s, sim_node(m->s, i), LOOP_NET, listen_now, m->listeners[i]));
    m->clients = cclients_new(m->s, CLIENTS, BROKERS, 3 << 1, m->book);
    for (int i = 0; i < ALL_ASKERS; i++) {
        struct asker *a = &m->clients->askers[i];

        for (a->n_owned = 0; a->n_owned < OWNED; a->n_owned++)
            a->owned[a->n_owned] = (struct owned){.is = OWN_SURE, .parts = 1};
    }
    cclients_start(m->clients);
}

static void mute_end(struct mute *m)
{
    cclients_drop(m->clients);
    cbook_drop(m->book);
    sim_drop(m->s);
    heap_drop(m->heap);
}

/* What was to be made again, and hasn't been refused, isn't deleted: a broker may have the question before it for as long as
 * it likes, and would then be right to do it. Nor is it asked for once more: that answer would say nothing of this one. */
TEST(cluster_client, deletes_nothing_that_may_still_be_made_again)
{
    struct mute m;

    mute_begin(&m, 1);
    (void)sim_run(m.s, NULL, NULL, HOURS * HOUR_NS);
    CHECK(m.agains > 20);
    CHECK(m.deletes > 20);
    CHECK_EQ(m.wrong, 0);
    mute_end(&m);
}

/* An answer to the question itself that says no ends that; neither does one that time is over, nor one to who only looks. */
TEST(cluster_client, deletes_again_what_was_refused)
{
    static const struct {
        bool only_look, asked_after;
        enum err answer;
    } of[] = {{false, false, E_TOPIC_ALREADY_EXISTS},
              {false, true, E_REQUEST_TIMED_OUT},
              {true, true, E_TOPIC_ALREADY_EXISTS}};

    for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
        struct CreateTopicsResponse_CreatableTopicResult result = {.error_code = err_wire(of[i].answer)};
        struct CreateTopicsResponse out = {.topics = {.v = &result, .n = 1}};
        struct cclients c = {0};
        struct asker a = {.c = &c,
                          .question = ASK_CREATE_AGAIN,
                          .only_look = of[i].only_look,
                          .ask.out = &out,
                          .owned[0] = {.is = OWN_SURE, .asked_again = true}};

        asker_answered(&a);
        CHECK_EQ(a.owned[0].asked_again, of[i].asked_after);
    }
}
