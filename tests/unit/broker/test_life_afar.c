/* Who leads, as a broker outside the quorum is told while its copy of the log rests and while it comes back: by two who follow
 * at the same time, each at its own pace. */
#include "tests/unit/broker/life_world.h"
#include <stdio.h>

#define VOTERS "controller.quorum.voters=1@10.0.0.1:9093,2@10.0.0.2:9093,3@10.0.0.3:9093"
enum { BROKER = 4 };

struct afar_world {
    struct sim *sim;
    struct whole *v[N], *broker;
    int32_t leader, epoch; /* the last one of whom the broker was told */
};

/* The broker is told of leaders in the order of their epochs. */
static void hear(void *arg, int node, struct slice line)
{
    struct afar_world *w = arg;
    char text[300];
    const char *at;
    int leader, epoch;

    if (node != BROKER)
        return;
    CHECK(snprintf(text, sizeof(text), "%.*s", (int)line.len, (const char *)line.p) > 0);
    at = strstr(text, "] node ");
    if (!at || sscanf(at, "] node %d leads the metadata in epoch %d", &leader, &epoch) != 2)
        return;
    if (epoch < w->epoch)
        test_fail(__FILE__, __LINE__, "told of epoch %d, then of epoch %d", w->epoch, epoch);
    w->epoch = epoch;
    w->leader = leader;
}

static struct whole *node_new(struct sim *s, int id)
{
    char told[64];
    const char *controller[] = {"process.roles=controller", "listeners=CONTROLLER://:9093", told, VOTERS};
    const char *broker[] = {"process.roles=broker", "listeners=PLAINTEXT://:9092", VOTERS,
                            "metadata.log.dir=/meta"};

    CHECK(snprintf(told, sizeof(told), "advertised.listeners=CONTROLLER://10.0.0.%d:9093", id) > 0);
    return whole_new(s, id, 1, id == BROKER ? broker : controller, 4);
}

static void world_init(struct afar_world *w, uint64_t seed)
{
    *w = (struct afar_world){.sim = sim_new(seed)};
    sim_ear_set(w->sim, hear, w);
    for (int i = 0; i < N; i++)
        w->v[i] = node_new(w->sim, i + 1);
    w->broker = node_new(w->sim, BROKER);
    whole_dir(w->broker, "/meta", 0x20);
    for (int i = 0; i < N; i++)
        whole_start(w->v[i]);
    whole_start(w->broker);
    for (int i = 0; i < N; i++)
        CHECK(sim_run(w->sim, whole_ready, w->v[i], 20000 * A_MS));
    CHECK(sim_run(w->sim, whole_ready, w->broker, 20000 * A_MS));
}

static void world_drop(struct afar_world *w)
{
    struct whole *all[] = {w->broker, w->v[0], w->v[1], w->v[2]};

    for (int i = 0; i <= N; i++) {
        whole_stop(all[i]);
        CHECK(sim_run(w->sim, whole_over, all[i], 30000 * A_MS));
        CHECK_OK(all[i]->why);
        whole_drop(all[i]);
    }
    sim_drop(w->sim);
}

static struct control *control_of(const struct afar_world *w)
{
    return w->broker->node->control;
}

static struct whole *leader_of(const struct afar_world *w)
{
    for (int i = 0; i < N; i++)
        if (w->v[i]->io && control_quorum(w->v[i]->node->control).leader == i + 1)
            return w->v[i];
    return NULL;
}

/* Somebody leads, and the broker was told so. */
static bool told(void *arg)
{
    const struct afar_world *w = arg;
    const struct whole *leader = leader_of(w);

    return leader && w->leader == leader->id && w->epoch == control_quorum(leader->node->control).epoch;
}

/* The leader's process ends: the next one's barrier commits. */
static struct whole *leader_dies(struct afar_world *w)
{
    struct whole *leader = leader_of(w);

    CHECK(leader);
    whole_crash(leader, SIM_PROCESS);
    CHECK(sim_run(w->sim, told, w, 5000 * A_MS));
    return leader;
}

static void comes_back(const struct afar_world *w, struct whole *node)
{
    whole_start(node);
    CHECK(sim_run(w->sim, whole_ready, node, 20000 * A_MS));
}

/* The broker's next life has asked, for the first time. */
static bool asks(void *arg)
{
    return ((const struct control *)arg)->follow;
}

/* The broker has what was told, on its disk. */
static bool follows_it(void *arg)
{
    const struct afar_world *w = arg;
    const struct control *c = control_of(w);

    return life_is_back((void *)c) && told((void *)w) && quorum_view(c->quorum).epoch == w->epoch &&
           quorum_view(c->quorum).committed == control_quorum(leader_of(w)->node->control).committed;
}

/* An election while the answer with which a broker's copy comes back is still on its way to the disk: it knows less than what was
 * heard from afar meanwhile, and the broker isn't told of the leader before. */
TEST(life_afar, an_older_leader_is_told_of_no_more)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct afar_world w;
        struct control *c;
        struct whole *dead;
        int32_t before;

        world_init(&w, seed);
        c = control_of(&w);
        sim_disk_break(w.sim, BROKER, "/meta");
        comes_back(&w, leader_dies(&w));
        CHECK(sim_run(w.sim, life_rests, c, 5000 * A_MS));
        sim_disk_break(w.sim, BROKER, NULL);
        CHECK(sim_run(w.sim, asks, c, 40000 * A_MS));
        sim_disk_stall(w.sim, BROKER, sim_now(w.sim) + 5000 * A_MS);
        (void)sim_run(w.sim, NULL, NULL, 100 * A_MS); /* it is answered */
        before = w.epoch;
        dead = leader_dies(&w);
        CHECK(w.epoch > before && c->quorum && c->well_ns == 0);
        CHECK(sim_run(w.sim, life_is_back, c, 40000 * A_MS));
        CHECK(sim_run(w.sim, follows_it, &w, 5000 * A_MS));
        comes_back(&w, dead);
        world_drop(&w);
    }
}
