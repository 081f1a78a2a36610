/* Images go to every loop before the answers that speak of them. */
#include "broker/control.h"
#include "broker/node.h"
#include "metadata/decide.h"
#include "node_world.h"

enum { LOOPS_MAX = 16 };

/* A look from one loop: does its image have the topic? */
struct look {
    struct msg msg;
    struct asked *asked;
    const struct image *const *image;
};

/* A topic made from a NET loop, as a request does it. */
struct asked {
    struct msg go;
    struct control_call call;
    struct arena arena;
    struct CreateTopicsRequest in;
    struct CreateTopicsRequest_CreatableTopic topic;
    struct CreateTopicsResponse out;
    struct net_loop *net;
    struct look looks[LOOPS_MAX];
    int n_looks, n_found, n_looked;
    char name[16];
};

static void look(struct msg *msg)
{
    struct look *l = container_of(msg, struct look, msg);

    l->asked->n_looked++;
    l->asked->n_found += image_topic_by_name(*l->image, SLICE(l->asked->name)) != NULL;
}

/* The loop that asked looks at once; the others as soon as a message from it has reached them. */
static void made(struct control_call *call)
{
    struct asked *a = call->arg;
    struct node *n = a->net->node;

    CHECK(!call->err && a->out.topics.n == 1 && a->out.topics.v[0].error_code == 0);
    CHECK(image_topic_by_name(a->net->image, SLICE(a->name)));
    for (int i = 0; i < n->n_net + n->disks->n; i++) {
        struct look *l = &a->looks[a->n_looks++];
        *l = (struct look){.msg.run = look, .asked = a};
        l->image = i < n->n_net ? &n->net[i]->image : &n->disks->v[i - n->n_net]->image;
        loop_post(i < n->n_net ? n->net[i]->loop : n->disks->v[i - n->n_net]->loop, &l->msg);
    }
}

static bool is_made(void *arg)
{
    const struct asked *a = arg;

    return a->n_looks > 0 && a->n_looked == a->n_looks;
}

static void make(struct msg *msg)
{
    struct asked *a = container_of(msg, struct asked, go);

    proto_defaults(&CreateTopicsRequest_type, &a->in);
    proto_defaults(&CreateTopicsRequest_CreatableTopic_type, &a->topic);
    proto_defaults(&CreateTopicsResponse_type, &a->out);
    a->topic.name = SLICE(a->name);
    a->topic.num_partitions = a->topic.replication_factor = 1;
    a->in.topics.v = &a->topic;
    a->in.topics.n = 1;
    a->call = (struct control_call){.node = a->net->node,
                                    .back = a->net->loop,
                                    .decide = decide_create_topics,
                                    .in = &a->in,
                                    .out = &a->out,
                                    .version = 7,
                                    .arena = &a->arena,
                                    .done = made,
                                    .arg = a};
    control_call(&a->call);
}

/* Where the answer is, the image is too, and so it is on any loop that hears from there: nothing in between may help,
 * such as a client's way. */
TEST(publish, images_come_before_answers)
{
    static const char *const sets[] = {"num.network.threads=3", "num.io.threads=4"};

    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct node_world *w = node_world_new(seed, 1, sets, 2);
        struct node *n = w->whole->node;

        for (int i = 0; i < n->n_net; i++) {
            struct asked a = {.go.run = make, .net = n->net[i]};
            snprintf(a.name, sizeof(a.name), "t-%d", i);
            arena_init(&a.arena, n->heap, SIZE_MAX);
            loop_post(a.net->loop, &a.go);
            node_run(w, 1000);
            CHECK(a.n_looks == n->n_net + n->disks->n && a.n_looked == a.n_looks);
            CHECK_EQ(a.n_found, a.n_looks);
            arena_drop(&a.arena);
        }
        node_world_drop(w);
    }
}

/* ---- many in a row ---- */

/* A DISK loop that nobody asks anything. */
struct rester {
    struct node *node;
    struct loop *loop;
    struct image_slot slot;
    int adopted;
    int64_t offset;
};

static void rester_adopted(struct image_slot *slot, const struct published *old, const struct published *now)
{
    struct rester *r = container_of(slot, struct rester, slot);

    r->adopted++;
    r->offset = now->image->offset;
}

static void rester_begin(struct loop *loop, void *arg)
{
    struct rester *r = arg;

    control_slot(r->node->control, &r->slot, r->loop, LOOP_DISK, rester_adopted);
}

static bool has_newest(void *arg)
{
    const struct rester *r = arg;

    return r->offset == control_image(r->node->control)->offset;
}

/* Where one image follows the other, a loop that rests isn't woken for each; it has the newest soon. */
TEST(publish, who_rests_is_not_woken_for_each_image)
{
    enum { MADE = 60, SOON_NS = 7000000 };
    struct node_world *w = node_world_new(3, 1, NULL, 0);
    struct node *n = w->whole->node;
    struct rester r = {.node = n, .loop = loop_start(n->io, LOOP_DISK, "rester")};

    CHECK(sim_call(w->sim, n->io, LOOP_DISK, rester_begin, &r));
    for (int i = 0; i < MADE; i++) {
        struct asked a = {.go.run = make, .net = n->net[0]};
        snprintf(a.name, sizeof(a.name), "t-%d", i);
        arena_init(&a.arena, n->heap, SIZE_MAX);
        loop_post(a.net->loop, &a.go);
        CHECK(sim_run(w->sim, is_made, &a, 1000000000));
        arena_drop(&a.arena);
    }
    CHECK(sim_run(w->sim, has_newest, &r, SOON_NS));
    CHECK(r.adopted > 0 && r.adopted < MADE / 2);
    node_world_crash(w, SIM_PROCESS); /* nobody stops this loop */
    node_world_drop(w);
}
