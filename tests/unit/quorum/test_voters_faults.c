/* Crashes of the process and of the power, and EIO, at the file calls of each voter while one is added or removed, then a new
 * start of all: what was acknowledged is there, and the change is asked again until it is so. */
#include "tests/unit/quorum/voters_world.h"

struct sweep_row {
    enum quorum_change_kind kind;
    int node; /* whose file calls */
    enum sim_fault fault;
    int least; /* file calls that it makes at least */
};

struct under_way {
    struct quorum_change change;
    struct vnode *node;
    bool done;
};

static void under_way_done(struct quorum_change *c, enum err err)
{
    container_of(c, struct under_way, change)->done = true;
}

static void change_run(struct loop *loop, void *arg)
{
    struct under_way *u = arg;

    u->change.done = under_way_done;
    quorum_change(u->node->quorum, &u->change);
}

static bool is_over(struct vworld *w, void *arg)
{
    const struct under_way *u = arg;
    const struct vnode *other = &w->nodes[2];
    struct quorum_view v;

    if (!sim_up(w->sim, 1) || !sim_up(w->sim, 2) || w->nodes[1].failed || other->failed)
        return true;
    if (!u->done || other->changed_role || !other->quorum)
        return false;
    v = quorum_view(other->quorum); /* it is what it was made */
    return v.observes == (u->change.kind == QUORUM_REMOVE) && v.leader > 0;
}

static void again(struct vworld *w, const struct sweep_row *row)
{
    bool add = row->kind == QUORUM_ADD;
    enum err err;

    for (int i = 1; i <= 2; i++)
        vworld_crash(w, i, SIM_PROCESS);
    for (int i = 1; i <= 2; i++)
        vworld_start(w, i);
    err = vworld_change(w, row->kind, 2, 8, NULL);
    CHECK(!err || err == (add ? E_DUPLICATE_VOTER : E_VOTER_NOT_FOUND));
    vworld_agree(w);
    CHECK_EQ(vworld_voters(w), add ? 1 << 1 | 1 << 2 : 1 << 1);
    vworld_write(w, 5);
    vworld_restart_all(w);
    vworld_agree(w);
}

/* false: the change was over before the fault. */
static bool one(const struct sweep_row *row, int64_t nth)
{
    struct under_way u = {.change = {.kind = row->kind, .node = 2}};
    struct vworld w;
    int64_t calls;
    bool met;

    vworld_init(&w, 1, (uint64_t)nth * 5 + row->node);
    vworld_write(&w, 10);
    vworld_start(&w, 2);
    if (row->kind == QUORUM_REMOVE) {
        CHECK_OK(vworld_change(&w, QUORUM_ADD, 2, 1, NULL));
        vworld_agree(&w);
        for (int i = 0; i < 10 && vworld_leader(&w)->id != 1; i++) { /* node 2 is to go */
            vworld_restart_all(&w);
            vworld_agree(&w);
        }
        if (vworld_leader(&w)->id != 1) {
            vworld_drop(&w);
            return true;
        }
    }
    vworld_agree(&w);
    u.node = &w.nodes[1];
    u.change.directory_id = w.nodes[2].settings.directory_id;
    calls = sim_file_calls(w.sim, row->node);
    sim_fail_at(w.sim, row->node, nth, row->fault);
    (void)!sim_call(w.sim, w.nodes[1].io, LOOP_DISK, change_run, &u);
    (void)vworld_until(&w, is_over, &u);
    met = sim_file_calls(w.sim, row->node) - calls >= nth;
    sim_fail_at(w.sim, row->node, 0, row->fault);
    again(&w, row);
    vworld_drop(&w);
    return met;
}

static const struct sweep_row rows[] = {
#define FAULTS(kind, node, least)                                                                            \
    {kind, node, SIM_CRASH_PROCESS, least}, {kind, node, SIM_CRASH_POWER, least},                            \
    {                                                                                                        \
        kind, node, SIM_EIO, least                                                                           \
    }
    FAULTS(QUORUM_ADD, 1, 4),
    FAULTS(QUORUM_ADD, 2, 20),
    FAULTS(QUORUM_REMOVE, 1, 2),
    FAULTS(QUORUM_REMOVE, 2, 20),
};

/* No one fault loses what was acknowledged, or leaves a voter behind that isn't one. */
TEST_EACH(voters_faults, a_change_outlives_them, rows)
{
    int64_t nth = 1;

    while (one(row, nth))
        nth += nth < 12 ? 1 : 3;
    CHECK(nth > row->least);
}

/* A voter that is told to stop while it starts, at whatever moment, stops. */
TEST(voters_faults, a_stop_in_the_midst_of_a_start)
{
    enum { STEP_NS = 10000, STEPS = 400 };
    struct vworld w;
    int running = 0;

    vworld_init(&w, 1, 1);
    vworld_write(&w, 3);
    for (int i = 0; i < STEPS; i++) {
        vworld_stop(&w, 1);
        vworld_start(&w, 1);
        (void)!sim_run(w.sim, NULL, NULL, (int64_t)i * STEP_NS);
        running += w.nodes[1].committed != NULL;
    }
    CHECK(running > 0 && running < STEPS);
    vworld_write(&w, 3);
    vworld_drop(&w);
}

struct reading {
    struct quorum_read read;
    struct vnode *node;
    enum err err;
    bool done;
};

static void read_done(struct quorum_read *r)
{
    struct reading *x = container_of(r, struct reading, read);

    x->err = r->err;
    x->done = true;
    if (!r->err)
        log_range_drop(&r->range);
}

static void read_run(struct loop *loop, void *arg)
{
    struct reading *x = arg;

    x->read = (struct quorum_read){
        .back = loop, .offset = 3, .last_epoch = -1, .max_bytes = 1000, .done = read_done};
    quorum_read(x->node->quorum, &x->read);
}

static bool was_read(struct vworld *w, void *arg)
{
    return ((struct reading *)arg)->done;
}

/* A disk from which a follower's answer can't be read has failed, although nothing is written just now: the node doesn't go on
 * to lead with a log that nobody can follow. */
TEST(voters_faults, a_log_that_cannot_be_read_has_failed)
{
    struct reading x = {0};
    struct vworld w;

    vworld_init(&w, 1, 1);
    vworld_write(&w, 3);
    vworld_stop(&w, 1);
    vworld_start(&w, 1); /* no file of it is open for reading */
    x.node = vworld_leader(&w);
    sim_disk_errors(w.sim, 1000000);
    CHECK(sim_call(w.sim, x.node->io, LOOP_DISK, read_run, &x));
    CHECK(vworld_until(&w, was_read, &x));
    sim_disk_errors(w.sim, 0);
    vworld_carry(&w, 1000000);
    CHECK_EQ(x.err, E_KAFKA_STORAGE_ERROR);
    CHECK_EQ(x.node->failed, E_KAFKA_STORAGE_ERROR);
    vworld_crash(&w, 1, SIM_PROCESS);
    vworld_drop(&w);
}
