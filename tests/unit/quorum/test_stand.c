/* Who stands for election when a leader is known to be dead, and when. */
#include "tests/unit/quorum/voters_world.h"

struct rank {
    int behind; /* of the two that are left, who has less: the first or the second */
    int first;  /* who hears first that the leader is dead */
};

static const struct rank ranks[] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}};

struct death {
    struct vnode *told;
    int32_t of;
};

static void dead_run(struct loop *loop, void *arg)
{
    struct death *d = arg;

    quorum_dead(d->told->quorum, d->of);
}

static bool node_leads(struct vworld *w, void *arg)
{
    return ((struct vnode *)arg)->leads;
}

/* Of two voters that are left the one that has what committed leads at once, whichever of them stands first and whoever hears
 * first of the death: nobody waits for an election's timeout. */
TEST_EACH(stand, who_has_most_leads_without_a_timeout, ranks)
{
    struct vworld w;
    struct vnode *dead, *left[2];
    int64_t began;

    vworld_init(&w, 3, 1);
    dead = vworld_leader(&w);
    vworld_write(&w, 3);
    for (int i = 1, n = 0; i <= 3; i++)
        if (&w.nodes[i] != dead)
            left[n++] = &w.nodes[i];
    w.cut[left[row->behind]->id] = true;
    vworld_write(&w, 2);
    vworld_crash(&w, dead->id, SIM_PROCESS);
    w.cut[left[row->behind]->id] = false;
    began = sim_now(w.sim);
    for (int i = 0; i < 2; i++) {
        struct death d = {left[i == 0 ? row->first : !row->first], dead->id};

        CHECK(sim_call(w.sim, d.told->io, LOOP_DISK, dead_run, &d));
        vworld_carry(&w, 5000000);
    }
    CHECK(vworld_until(&w, node_leads, left[!row->behind]));
    CHECK(sim_now(w.sim) - began < 200000000); /* half of an election's timeout */
    vworld_drop(&w);
}
