/* Who lives, as three whole nodes know it of each other: processes that came back after a power cut, and brokers that die while
 * nobody leads. */
#include "base/trace.h"
#include "broker/control.h"
#include "tests/check.h"
#include "tests/sim/whole.h"

#define VOTERS "controller.quorum.voters=1@10.0.0.1:9093,2@10.0.0.2:9093,3@10.0.0.3:9093"
enum { NODES = 4, VOTING = 3 };
static const int64_t A_MS = 1000000;

struct lives {
    struct sim *sim;
    struct whole *v[NODES + 1]; /* from 1 on; the fourth is a broker alone */
};

static void lives_init(struct lives *t, uint64_t seed)
{
    static const char *const sets[] = {VOTERS};

    *t = (struct lives){.sim = sim_new(seed)};
    for (int i = 1; i <= NODES; i++)
        t->v[i] = whole_new_as(t->sim, i, i <= VOTING ? WHOLE_BOTH : WHOLE_BROKER, 1, sets, 1);
    for (int i = 1; i <= NODES; i++)
        whole_start(t->v[i]);
}

static const struct control *control_of(const struct lives *t, int i)
{
    return t->v[i]->io ? t->v[i]->node->control : NULL;
}

/* In the newest epoch that anybody leads in; 0: nobody. */
static int leader(const struct lives *t)
{
    int best = 0, epoch = -1;

    for (int i = 1; i <= VOTING; i++) {
        struct quorum_view v = {.leader = -1};

        if (control_of(t, i))
            v = control_quorum(control_of(t, i));
        if (v.leader == i && v.epoch > epoch) {
            best = i;
            epoch = v.epoch;
        }
    }
    return best;
}

static bool somebody_leads(void *arg)
{
    return leader(arg) > 0;
}

/* Who is up knows the leader, has what has committed there, and in it all brokers that are up are unfenced. */
static bool agreed(void *arg)
{
    const struct lives *t = arg;
    int l = leader(t);
    const struct image *image = l ? control_image(control_of(t, l)) : NULL;

    for (int i = 1; i <= NODES && image; i++) {
        const struct image_broker *b = image_broker(image, i);

        if (!t->v[i]->io)
            continue;
        if (!control_of(t, i) || !b || b->reg.fenced || !whole_ready(t->v[i]) ||
            control_quorum(control_of(t, i)).leader != l ||
            control_image(control_of(t, i))->offset != image->offset)
            return false;
    }
    return image != NULL;
}

static bool agree(struct lives *t)
{
    bool is = sim_run(t->sim, agreed, t, 20000 * A_MS);

    (void)sim_run(t->sim, NULL, NULL, 300 * A_MS);
    return is;
}

static bool fourth_fenced(void *arg)
{
    const struct lives *t = arg;
    int l = leader(t);
    const struct image *image = l ? control_image(control_of(t, l)) : NULL;

    return image && image_broker(image, NODES)->reg.fenced;
}

static void lives_drop(struct lives *t)
{
    for (int i = 1; i <= NODES; i++) {
        if (t->v[i]->io)
            whole_crash(t->v[i], SIM_PROCESS);
        whole_drop(t->v[i]);
    }
    sim_drop(t->sim);
}

/* The first voter leads as soon as nobody else does: it has the lowest id. */
static void first_leads(struct lives *t)
{
    int old = leader(t);

    if (old == 1)
        return;
    whole_crash(t->v[old], SIM_PROCESS);
    CHECK(agree(t));
    whole_start(t->v[old]);
    CHECK(agree(t));
    CHECK_EQ(leader(t), 1);
}

/* A leader whose machine once lost its power, and whose process is killed after it came back, is replaced by evidence: the
 * halves of connections that were left of the process before don't count. */
TEST(who_lives, halves_of_connections_keep_no_leader)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct lives t;

        lives_init(&t, seed);
        CHECK(agree(&t));
        whole_crash(t.v[1], SIM_POWER);
        CHECK(agree(&t));
        whole_start(t.v[1]);
        CHECK(agree(&t));
        first_leads(&t);
        whole_crash(t.v[1], SIM_PROCESS);
        CHECK(sim_run(t.sim, somebody_leads, &t, 20 * A_MS));
        lives_drop(&t);
    }
}

static bool second_linked(void *arg)
{
    const struct lives *t = arg;

    return t->v[2]->io && trace_count(io_trace(t->v[2]->io), TR_raft_link_up) == VOTING - 1;
}

/* A voter whose machine lost its power comes back at once with an empty disk: what is left of the old connections doesn't hold
 * it up, for nothing answers by them where it listens. Its broker waits for the old one's session, as in Kafka. */
TEST(who_lives, halves_of_connections_keep_no_disk)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct lives t;

        lives_init(&t, seed);
        CHECK(agree(&t));
        (void)sim_run(t.sim, NULL, NULL, 3000 * A_MS);
        whole_crash(t.v[2], SIM_POWER);
        whole_new_disk(t.v[2]);
        whole_start(t.v[2]);
        CHECK(sim_run(t.sim, second_linked, &t, 700 * A_MS));
        CHECK(agree(&t));
        lives_drop(&t);
    }
}

/* A broker that dies together with the active controller is fenced by the next one as it begins to lead: its connections there
 * have closed, and its port refuses; nobody's silence is waited for. So is the broker in the process of the old leader. It holds
 * also of a controller that was away when these brokers registered. */
TEST(who_lives, the_dead_are_known_to_the_next_leader)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct lives t;
        int old;

        lives_init(&t, seed);
        CHECK(agree(&t));
        for (int i = 1; i <= 2; i++) {
            whole_crash(t.v[i], SIM_PROCESS);
            CHECK(agree(&t));
            whole_start(t.v[i]);
            CHECK(agree(&t));
        }
        (void)sim_run(t.sim, NULL, NULL, 3000 * A_MS);
        old = leader(&t);
        whole_crash(t.v[old], SIM_PROCESS);
        whole_crash(t.v[NODES], SIM_PROCESS);
        CHECK(sim_run(t.sim, somebody_leads, &t, 20 * A_MS));
        CHECK(sim_run(t.sim, fourth_fenced, &t, 20 * A_MS));
        CHECK(image_broker(control_image(control_of(&t, leader(&t))), old)->reg.fenced);
        lives_drop(&t);
    }
}

static bool is_over(void *arg)
{
    return ((struct whole *)arg)->stopped;
}

static const int lasts[] = {2, NODES};

/* The last of a cluster that stops waits for nobody: the ports of the others refuse, so nobody can come to lead, whom it could
 * ask; a broker alone knows it as well as a voter. While others may only be silent it waits. */
TEST_EACH(who_lives, the_last_one_leaves_at_once, lasts)
{
    for (int silent = 0; silent < 2; silent++) {
        struct lives t;
        int last = *row;

        lives_init(&t, 5);
        CHECK(agree(&t));
        for (int i = 1; i <= VOTING; i++) {
            if (i == last)
                continue;
            if (silent)
                sim_pause(t.sim, i, true);
            else
                whole_crash(t.v[i], SIM_PROCESS);
        }
        (void)sim_run(t.sim, NULL, NULL, 300 * A_MS);
        whole_stop(t.v[last]);
        CHECK_EQ(sim_run(t.sim, is_over, t.v[last], 2500 * A_MS), !silent);
        CHECK(sim_run(t.sim, is_over, t.v[last], 20000 * A_MS));
        for (int i = 1; i <= VOTING; i++)
            if (silent && i != last)
                sim_pause(t.sim, i, false);
        lives_drop(&t);
    }
}
