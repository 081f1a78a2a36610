/* Stories that chance alone tells too seldom: the steps are fixed, who, when and all else is drawn. The voters of a quorum
 * must come through them as through everything else. */
#include "quorum_faults.h"
#include "tally.h"

static const int64_t MS = 1000000, SOON_NS = 2000000000;

static void run_up_to(struct qworld *w, int64_t ms)
{
    (void)sim_run(w->s, NULL, NULL, (int64_t)sim_below(w->s, (uint64_t)(ms * MS)));
}

/* Nothing passes between those two and the others; or that one alone, if both are the same. */
static void cut_off(struct qworld *w, int a, int b)
{
    for (int i = 1; i <= w->cluster.n; i++) {
        if (i == a || i == b)
            continue;
        sim_partition(w->s, a, i, true);
        sim_partition(w->s, b, i, true);
        sim_partition(w->s, i, a, true);
        sim_partition(w->s, i, b, true);
    }
}

static void cut_between(struct qworld *w, int a, int b)
{
    sim_partition(w->s, a, b, true);
    sim_partition(w->s, b, a, true);
}

/* After everything was healed; 0: nobody leads. */
static int healthy_leader(struct qworld *w)
{
    int leader = 0;

    qfault_heal(w);
    run_up_to(w, 3000);
    for (int i = 1; i <= w->cluster.n; i++)
        leader = w->nodes[i].io && sim_up(w->s, i) && w->nodes[i].leads ? i : leader;
    return leader;
}

/* What it appends from now on reaches one other at most. */
static void mutter(struct qworld *w, int a, int b)
{
    for (int i = 1; i <= w->cluster.n; i++)
        if (i != a && i != b)
            sim_partition(w->s, a, i, true);
    run_up_to(w, 400);
}

/* Figure 8 of the paper on Raft: an entry that reached two of five, a leader of the next epoch that reached nobody, the first
 * ones back and gone again before their own epoch is on their disks, and an election among these three. */
static void figure_8(struct qworld *w)
{
    int a = healthy_leader(w), b = 1 + a % w->cluster.n, c, d;

    if (a == 0)
        return;
    mutter(w, a, b);
    cut_off(w, a, b);
    c = qfault_rises(w);
    if (c == 0)
        return;
    cut_off(w, c, c);
    run_up_to(w, 100);
    for (int i = 1; i <= w->cluster.n; i++) /* healed, what c has said would arrive first */
        for (int k = 1; k <= w->cluster.n; k++)
            if (i != c && k != c && i != k)
                sim_partition(w->s, i, k, false);
    d = qfault_rises(w);
    if (d == 0)
        return;
    sim_disk_stall(w->s, d, sim_now(w->s) + 1000 * MS);
    run_up_to(w, 200);
    qfault_either(w, d);
    qfault_well(w, d);
    sim_heal(w->s);
    for (int i = 1; i <= w->cluster.n; i++)
        if (i != a && i != b && i != c)
            cut_off(w, i, i);
    qfault_start(w, d);
    run_up_to(w, 3000);
    tally_add(TALLY_quorum_figures_8, 1);
}

struct wait {
    const struct qnode *n;
    struct sim *s;
};

static bool it_leads(void *arg)
{
    const struct wait *x = arg;

    return x->n->leads || !sim_up(x->s, x->n->node);
}

/* A stale end: entries of a leader that reached nobody, or one whose disk hasn't written them yet. The next leader can talk to
 * that one and to no more others than it needs with it; as soon as it is told that it leads, it is gone, and they with it. */
static void stale_end(struct qworld *w)
{
    int n = w->cluster.n, a = healthy_leader(w), b = n > 3 && sim_below(w->s, 2) ? 1 + a % n : a, c, e = 0;
    struct wait x = {.s = w->s};

    if (a == 0)
        return;
    if (b != a)
        sim_disk_stall(w->s, b, sim_now(w->s) + (int64_t)(500 + sim_below(w->s, 2500)) * MS);
    mutter(w, a, b);
    cut_off(w, a, b);
    c = qfault_rises(w);
    if (c == 0)
        return;
    sim_heal(w->s);
    if (a != b)
        cut_off(w, a, a);
    for (int i = 1; i <= n; i++) {
        if (i == a || i == b || i == c)
            continue;
        if (n > 3 && e == 0)
            e = i;
        else
            cut_between(w, c, i);
    }
    x.n = &w->nodes[c];
    (void)sim_run(w->s, it_leads, &x, SOON_NS);
    qfault_either(w, c);
    run_up_to(w, 50);
    sim_heal(w->s);
    if (e)
        cut_off(w, e, e);
    run_up_to(w, 3000);
    tally_add(TALLY_quorum_stale_ends, 1);
}

void qschedule_any(struct qworld *w)
{
    if (w->cluster.n == 5 && sim_below(w->s, 3))
        figure_8(w);
    else if (w->cluster.n >= 3)
        stale_end(w);
}
