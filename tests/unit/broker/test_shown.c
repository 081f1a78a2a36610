/* Who is answered by a broker that something was done finds it at that broker from then on. */
#include "base/trace.h"
#include "broker/node.h"
#include "life_world.h"
#include "node_world.h"

enum { SOON_MS = 15, STALL_MS = 400, NEVER_MS = 5000, BUSY = 40 };

/* Does every NET loop of node i show the topic that was asked for last? */
static bool shows(const struct life *w, int i)
{
    const struct node *n = w->v[i]->node;
    char name[16];
    bool all = true;

    snprintf(name, sizeof(name), "t%d", w->topics - 1);
    for (int l = 0; l < n->n_net; l++)
        all &= image_topic_by_name(n->net[l]->image, SLICE(name)) != NULL;
    return all;
}

static void stall(struct life *w, int i, int64_t ms)
{
    sim_disk_stall(w->sim, i + 1, sim_now(w->sim) + ms * A_MS);
}

static int follower(const struct life *w)
{
    return (life_leader(w) + 1) % N;
}

/* A broker that doesn't lead answers when it shows what was decided elsewhere, however far behind it is; and the one that
 * leads, too. A commit is told at once: no heartbeat, every 50 ms, is waited for. */
TEST(shown, what_is_answered_is_there)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct life w;

        life_init(&w, seed);
        for (int n = 0; n < 4 * N; n++) {
            life_create_begin(&w, n % N);
            life_created(&w, n % N, SOON_MS);
            CHECK(shows(&w, n % N));
        }
        stall(&w, follower(&w), STALL_MS);
        life_create_begin(&w, follower(&w));
        life_run(&w, STALL_MS - 50);
        CHECK(!w.answered[follower(&w)]);
        life_created(&w, follower(&w), 200);
        CHECK(shows(&w, follower(&w)) && life_told(&w, follower(&w), TR_control_shows_late) == 0);
        life_drop(&w);
    }
}

/* One that hears of nothing new answers after a second all the same, for it was done, and says so once; or when the time of
 * the request is over. */
TEST(shown, a_broker_that_hears_of_nothing_answers_late)
{
    struct life w;
    int f;

    life_init(&w, 5);
    f = follower(&w);
    stall(&w, f, NEVER_MS);
    for (int n = 0; n < 2; n++) {
        life_create_begin(&w, f);
        life_run(&w, 990);
        CHECK(!w.answered[f]);
        life_created(&w, f, 100);
        CHECK(!shows(&w, f));
    }
    CHECK_EQ(life_told(&w, f, TR_control_shows_late), 1);
    life_run(&w, NEVER_MS);
    CHECK(shows(&w, f));
    stall(&w, f, 0);
    life_create_begin(&w, f);
    life_created(&w, f, 200);
    CHECK(shows(&w, f));
    life_drop(&w);
}

/* Who is refused changed nothing, and doesn't wait. */
TEST(shown, refusals_dont_wait)
{
    const struct CreateTopicsResponse *out;
    struct life w;
    int f;

    life_init(&w, 6);
    f = follower(&w);
    life_create_begin(&w, f);
    life_created(&w, f, 1000);
    stall(&w, f, NEVER_MS);
    life_create_begin(&w, (f + 1) % N);
    life_created(&w, (f + 1) % N, 1000);
    w.topics -= 2;
    life_create_begin(&w, f);
    CHECK(sim_run(w.sim, life_is_answered, &w.answered[f], 50 * A_MS));
    out = w.asks[f].out;
    CHECK_EQ(out->topics.v[0].error_code, err_wire(E_TOPIC_ALREADY_EXISTS));
    life_run(&w, NEVER_MS);
    life_drop(&w);
}

static void idle(struct msg *msg)
{
}

/* Where it is decided on the same node, a NET loop that is busy holds up the answer of another one: a client's next question
 * may come there. */
TEST(shown, busy_loops_show_it_too)
{
    static const char *const sets[] = {"num.network.threads=3"};
    struct sim_options o = sim_plain(7);
    struct node_world *w;
    const struct node *n;
    struct msg work[BUSY];

    o.cost = (struct sim_range){A_MS, A_MS};
    w = node_world_with(&o, 1, sets, 1);
    n = w->whole->node;
    for (int l = 0; l < n->n_net; l++) {
        struct CreateTopicsRequest *in = node_in(w, 0, API_CreateTopics);
        char name[16];

        snprintf(name, sizeof(name), "t%d", l);
        in->timeout_ms = 1000;
        PROTO_ARRAY_NEW(&w->asks[0].arena, CreateTopicsRequest_CreatableTopic, in->topics, 1);
        in->topics.v[0].name = SLICE(name);
        in->topics.v[0].num_partitions = in->topics.v[0].replication_factor = 1;
        node_send(w, 0, -1, in);
        for (int i = 0; i < BUSY; i++) {
            work[i] = (struct msg){.run = idle};
            loop_post(n->net[l]->loop, &work[i]);
        }
        (void)node_wait(w, 0, 1000);
        for (int i = 0; i < n->n_net; i++)
            CHECK(image_topic_by_name(n->net[i]->image, SLICE(name)));
        node_run(w, 1000);
    }
    node_world_drop(w);
}
