/* voters_world.h: the voters, and changes of them. */
#include "tests/unit/quorum/voters_world.h"
#include <stdlib.h>

struct asked_change {
    struct quorum_change change;
    struct vnode *node;
    bool done;
    enum err err;
};

static void change_done(struct quorum_change *c, enum err err)
{
    struct asked_change *a = container_of(c, struct asked_change, change);

    CHECK(!a->done);
    a->done = true;
    a->err = err;
}

static void change_run(struct loop *loop, void *arg)
{
    struct asked_change *a = arg;

    a->change.done = change_done;
    quorum_change(a->node->quorum, &a->change);
}

static bool change_over(struct vworld *w, void *arg)
{
    struct asked_change *a = arg;
    return a->done || !vnode_up(a->node);
}

enum err vworld_change(struct vworld *w, enum quorum_change_kind kind, int node, int tries, char *why)
{
    struct asked_change *a = calloc(1, sizeof(*a)); /* a node that crashes keeps it */
    enum err err;

    a->node = vworld_leader(w);
    a->change.kind = kind;
    a->change.node = node;
    a->change.directory_id = w->nodes[node].settings.directory_id;
    (void)!sim_call(w->sim, a->node->io, LOOP_DISK, change_run, a);
    CHECK(vworld_until(w, change_over, a));
    err = a->done ? a->err : E_NOT_CONTROLLER;
    if (why)
        memcpy(why, a->change.why, QUORUM_WHY_MAX);
    free(a);
    if ((err == E_NOT_CONTROLLER || err == E_REQUEST_TIMED_OUT) && tries > 1) {
        vworld_carry(w, 500000000);
        return vworld_change(w, kind, node, tries - 1, why);
    }
    return err;
}

int vworld_voters(struct vworld *w)
{
    struct quorum_view v = quorum_view(vworld_leader(w)->quorum);
    int bits = 0;

    for (int i = 0; i < v.n_voters; i++) {
        CHECK(v.progress[i].votes);
        bits |= 1 << v.voters[i];
    }
    return bits;
}
