/* Who lives, as three whole nodes know it of each other: processes that came back after a power cut, brokers that die while
 * nobody leads, and two who say that they are the same. */
#include "base/trace.h"
#include "broker/control.h"
#include "tests/check.h"
#include "tests/sim/client_wire.h"
#include "tests/sim/whole.h"

#define VOTERS "controller.quorum.voters=1@10.0.0.1:9093,2@10.0.0.2:9093,3@10.0.0.3:9093"
enum { NODES = 4, VOTING = 3, CLIENT = 9 };
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

/* A broker whose machine lost its power, and has it back at once, is let in as soon as it runs: its old process is asked whether
 * it lives, and nobody answers. No session is waited for, that of the last leader or one that begins with a new one. */
TEST(who_lives, a_power_cut_is_over_with_it)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct lives t;

        lives_init(&t, seed);
        CHECK(agree(&t));
        (void)sim_run(t.sim, NULL, NULL, 3000 * A_MS);
        whole_crash(t.v[NODES], SIM_POWER);
        if (seed % 2) {
            whole_crash(t.v[leader(&t)], SIM_PROCESS);
            CHECK(sim_run(t.sim, somebody_leads, &t, 20 * A_MS));
        }
        whole_start(t.v[NODES]);
        CHECK(sim_run(t.sim, agreed, &t, 1000 * A_MS));
        lives_drop(&t);
    }
}

/* ---- two of the same number, from the same disks ---- */

struct double_ {
    struct wire wire;
    struct wire_ask ask;
    int at; /* who is asked */
    const struct image_broker *of;
    struct uuid dir;
    bool answered;
};

static void double_answered(struct wire_ask *a)
{
    ((struct double_ *)a->arg)->answered = true;
}

static bool double_open(void *arg)
{
    return ((struct double_ *)arg)->wire.open;
}

static bool double_told(void *arg)
{
    return ((struct double_ *)arg)->answered;
}

static void double_dials(struct loop *loop, void *arg)
{
    struct double_ *d = arg;
    struct addr to = sim_addr(d->at, WHOLE_CONTROL_PORT);

    wire_dial(&d->wire, &to);
}

static void double_begins(struct loop *loop, void *arg)
{
    struct double_ *d = arg;

    wire_init(&d->wire, d->wire.io, loop);
    wire_ask_init(&d->ask, d->wire.io);
    d->wire.patience = d->ask.patience = 20000 * A_MS;
    d->ask.done = double_answered;
    d->ask.arg = d;
    double_dials(loop, d);
}

static void double_asks(struct loop *loop, void *arg)
{
    struct double_ *d = arg;
    struct BrokerRegistrationRequest *in = wire_in(&d->ask, API_BrokerRegistration);

    d->answered = false;
    in->cluster_id = SLICE("sim-cluster");
    in->broker_id = d->of->reg.id;
    in->incarnation_id = (struct uuid){{0xd0, 0xb1}};
    d->dir = d->of->reg.dirs.v[0];
    in->log_dirs.v = &d->dir;
    in->log_dirs.n = 1;
    CHECK(wire_ask(&d->wire, &d->ask, -1, in));
}

static void double_ends(struct loop *loop, void *arg)
{
    struct double_ *d = arg;

    wire_cut(&d->wire);
    wire_ask_drop(&d->ask);
}

/* A copy of a broker's disks begins beside it: the one that lives answers each time that it is asked, and stays. */
TEST(who_lives, one_who_lives_isnt_replaced)
{
    struct lives t;
    struct double_ d = {0};
    int64_t epoch;

    lives_init(&t, 1);
    CHECK(agree(&t));
    (void)sim_run(t.sim, NULL, NULL, 3000 * A_MS);
    d.at = leader(&t);
    d.of = image_broker(control_image(control_of(&t, d.at)), NODES);
    epoch = d.of->reg.epoch;
    d.wire.io = sim_node(t.sim, CLIENT);
    CHECK(sim_call(t.sim, d.wire.io, LOOP_NET, double_begins, &d));
    CHECK(sim_run(t.sim, double_open, &d, 1000 * A_MS));
    for (int i = 0; i < 100; i++) {
        const struct BrokerRegistrationResponse *out;

        d.of = image_broker(control_image(control_of(&t, d.at)), NODES);
        CHECK(d.of->reg.epoch == epoch && !d.of->reg.fenced);
        CHECK(sim_call(t.sim, d.wire.io, LOOP_NET, double_asks, &d));
        CHECK(sim_run(t.sim, double_told, &d, 1000 * A_MS));
        out = d.ask.out;
        CHECK_EQ(out->error_code, err_wire(E_DUPLICATE_BROKER_REGISTRATION));
        (void)sim_run(t.sim, NULL, NULL, 100 * A_MS);
    }
    CHECK(sim_call(t.sim, d.wire.io, LOOP_NET, double_ends, &d));
    sim_crash(t.sim, CLIENT, SIM_PROCESS);
    lives_drop(&t);
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
