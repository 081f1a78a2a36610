/* Stories that chance alone tells too seldom: the steps are fixed, who, when and all else is drawn. The voters of a quorum
 * must come through them as through everything else. */
#include "quorum_faults.h"
#include "quorum_moves.h"
#include "tally.h"

static const int64_t MS = 1000000, SOON_NS = 2000000000, PEACE_NS = 20000000000;

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

static int64_t election_ns(const struct qworld *w)
{
    return (int64_t)w->nodes[1].settings.election_ms * MS;
}

/* One of the nodes that is none of those; 0: none is left. */
static int other_than(const struct qworld *w, int a, int b, int c)
{
    int i = w->cluster.n;

    while (i == a || i == b || i == c)
        i--;
    return i;
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
    if (sim_below(w->s, 4)) /* the other of the first two keeps what it had */
        cut_between(w, d, d == a ? b : a);
    (void)sim_run(w->s, NULL, NULL, 50 * MS);
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

static bool all_follow(void *arg)
{
    return qfault_all_follow(arg);
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

struct turned {
    const struct qnode *n;
    int leader;
};

static bool it_follows(void *arg)
{
    const struct turned *x = arg;

    return x->n->leader == x->leader;
}

/* The first word of `c` gets to `f` and none after it. */
static void first_word(struct qworld *w, int c, int f)
{
    struct turned x = {&w->nodes[f], c};

    if (sim_below(w->s, 2))
        sim_disk_stall(w->s, f,
                       0); /* what has begun isn't over yet; else its epoch waits for that disk, too */
    (void)sim_run(w->s, it_follows, &x, (int64_t)w->nodes[c].settings.heartbeat_ms * MS * 8 / 10);
    sim_partition(w->s, c, f, true);
}

/* A write that ends when its epoch is over: of a leader whose entries reach that one alone, which hears it until the others
 * have another leader. Of the new one it hears the first word, which says nothing of entries, and nothing more: when its disk
 * answers, what it has written lies where the new leader has its own. That one reaches one other, besides, and then these two
 * are gone. */
static void old_write(struct qworld *w)
{
    int n = w->cluster.n, a = healthy_leader(w), f = 1 + (a + (int)sim_below(w->s, (uint64_t)n - 1)) % n, c,
        d, e;
    int64_t ends = sim_now(w->s) + election_ns(w) * (14 + (int64_t)sim_below(w->s, 12)) / 10;
    struct wait x = {.s = w->s};

    if (a == 0)
        return;
    sim_disk_stall(w->s, f, ends);
    for (int i = 1; i <= n; i++)
        if (i != a && i != f)
            cut_between(w, a, i);
    c = qfault_rises(w);
    if (c == 0 || c == a || c == f)
        return;
    e = other_than(w, a, f, c);
    for (d = 1; d == a || d == f || d == c;)
        d++;
    cut_between(w, c, e);
    first_word(w, c, f);
    tally_add(TALLY_quorum_old_writes, 1);
    x.n = &w->nodes[c];
    (void)sim_run(w->s, it_leads, &x, ends - sim_now(w->s) + 300 * MS);
    cut_off(w, c, d);
    sim_partition(w->s, a, e, false);
    sim_partition(w->s, e, a, false);
    if (sim_below(w->s, 2))
        qfault_either(w, c);
    (void)qfault_rises(w);
    run_up_to(w, 1000);
}

struct standing {
    const struct qwire_seen *seen;
    int64_t stood, granted;
    int a, b; /* not they */
};

static struct standing standing_now(struct qworld *w, int a, int b)
{
    const struct qwire_seen *seen = qwire_seen(qbook_wire(w->cluster.book));

    return (struct standing){seen, seen->stood, seen->granted, a, b};
}

static bool another_stands(void *arg)
{
    const struct standing *x = arg;

    return x->seen->stood > x->stood && x->seen->candidate != x->a && x->seen->candidate != x->b;
}

static bool a_vote(void *arg)
{
    const struct standing *x = arg;

    return x->seen->granted > x->granted;
}

/* Waits for a vote, while what `from` has said to `to` arrives. */
static void lets_vote(struct qworld *w, int from, int to)
{
    struct standing x = standing_now(w, 0, 0);

    sim_partition(w->s, from, to, false);
    (void)sim_run(w->s, a_vote, &x, 100 * MS);
}

/* `y` stands in the epoch in which `x` does, because `a` asked it to: `a` hears of both late, when it leads no more. */
static void votes_twice(struct qworld *w, int a, int x, int y)
{
    int z = other_than(w, a, x, y);
    struct standing votes = standing_now(w, 0, 0);

    for (int i = 1; i <= w->cluster.n; i++)
        if (i != y)
            sim_partition(w->s, i, y, true);
    (void)sim_run(w->s, a_vote, &votes, 100 * MS);
    sim_partition(w->s, a, z, false); /* what it says is of an epoch that is over */
    sim_partition(w->s, z, a, false);
    run_up_to(w, 50);
    lets_vote(w, y, a);
    lets_vote(w, x, a);
}

/* A leader gives its leadership away when nobody but the heir hears it any more, and one of the others stands by itself. Both do
 * in the same epoch, all logs are equal, and the vote of the leader that was is to be given once. */
static void two_heirs(struct qworld *w)
{
    int a = healthy_leader(w), heir = a == 1 ? 2 : 1; /* the lowest of those who have everything */
    struct standing x;

    w->cluster.quiet = true;
    if (a > 0 && sim_run(w->s, all_follow, w, PEACE_NS) && w->nodes[1].leader == a) {
        (void)sim_run(w->s, NULL, NULL, 300 * MS);
        cut_off(w, a, heir);
        x = standing_now(w, a, heir);
        (void)sim_run(w->s, NULL, NULL, election_ns(w) * (5 + (int64_t)sim_below(w->s, 5)) / 10);
        sim_partition(w->s, heir, a, true);
        qmoves_yield(&w->nodes[a]);
        if (sim_run(w->s, another_stands, &x, 2 * election_ns(w)))
            votes_twice(w, a, heir, x.seen->candidate);
        tally_add(TALLY_quorum_two_heirs, x.seen->stood > x.stood);
        sim_heal(w->s);
    }
    w->cluster.quiet = false;
    run_up_to(w, 2000);
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

/* All its connections end, and dialling again takes until it is cut off: nothing that is said meanwhile arrives later. */
static void hang_up(struct qworld *w, int a)
{
    struct sim_link slow = sim_link_plain(w->s);

    slow.net = (struct sim_range){30 * MS, 30 * MS};
    for (int i = 1; i <= w->cluster.n; i++)
        if (i != a) {
            sim_link(w->s, a, i, &slow);
            sim_link(w->s, i, a, &slow);
            sim_reset(w->s, a, i);
        }
    (void)sim_run(w->s, NULL, NULL, 40 * MS);
}

/* A stale end, and a leader that has more to send to it than goes in one message at a time: what it says meanwhile names a
 * commit far behind what they have in common. */
static void long_backlog(struct qworld *w)
{
    int a = healthy_leader(w), c;

    if (a == 0)
        return;
    if (sim_below(w->s, 4))
        hang_up(w, a);
    cut_off(w, a, a);
    run_up_to(w, 300);
    c = qfault_rises(w);
    if (c == 0)
        return;
    w->cluster.big = true;
    run_up_to(w, 3000);
    w->cluster.big = false;
    sim_heal(w->s);
    run_up_to(w, 3000);
    tally_add(TALLY_quorum_long_backlogs, 1);
}

struct snapshot_wait {
    struct sim *s;
    int node;
};

static bool has_checkpoint(void *arg)
{
    const struct snapshot_wait *x = arg;

    return qdisk_checkpoint(x->s, x->node) >= 0 || !sim_up(x->s, x->node);
}

/* A leader that keeps its whole log hears nothing of a follower that takes all and keeps next to nothing of it behind a
 * snapshot; some of what is on its way there is lost. Then the leader goes back entry by entry, for there are few, to the very
 * first, which the follower has no more. */
void qschedule_first(struct qworld *w)
{
    struct sim_link slow = sim_link_plain(w->s);
    struct snapshot_wait x = {.s = w->s};
    int a = 0;

    w->cluster.quiet = true;
    if (sim_run(w->s, all_follow, w, PEACE_NS))
        a = w->nodes[1].leader;
    x.node = 1 + a % w->cluster.n;
    if (a > 0) {
        w->nodes[x.node].settings.snapshot_bytes = 1000;
        w->nodes[x.node].settings.trailing_entries = 1;
        qfault_crash(w, x.node, SIM_PROCESS);
        qfault_start(w, x.node);
    }
    if (a == 0 || !sim_run(w->s, all_follow, w, PEACE_NS) || w->nodes[1].leader != a) {
        w->cluster.quiet = false;
        return;
    }
    slow.net.min += 50 * MS;
    slow.net.max += 150 * MS;
    sim_link(w->s, a, x.node, &slow);
    sim_partition(w->s, x.node, a, true);
    w->cluster.quiet = false;
    (void)sim_run(w->s, has_checkpoint, &x, 2 * SOON_NS);
    run_up_to(w, 300);
    sim_reset(w->s, a, x.node);
    sim_heal(w->s);
    run_up_to(w, 4000);
    tally_add(TALLY_quorum_first_entries_again, 1);
}

/* Nobody's voters are about to be others, as far as anybody knows. */
static bool at_peace(void *arg)
{
    struct qworld *w = arg;
    const struct qvoters *v = qbook_voters(w->cluster.book);

    if (!qfault_all_follow(w) || !qvoters_all_vote(v))
        return false;
    for (int i = 1; i <= w->cluster.n; i++) {
        struct quorum_view view = quorum_view(w->nodes[i].quorum);

        if (w->nodes[i].changing > 0 || view.observes == qvoters_votes(v, i) ||
            view.n_voters != qvoters_voting(v))
            return false;
        for (int k = 0; k < view.n_voters; k++)
            if (!view.progress[k].votes || !qvoters_votes(v, view.voters[k]))
                return false;
    }
    return true;
}

/* Without another one than the voter that is lost, two would be left, and that one of them: to be refused, once it is known that
 * it doesn't answer, which takes as long as what it said before is still on its way. */
static void wish_too_much(struct qworld *w, int lost)
{
    const struct qvoters *v = qbook_voters(w->cluster.book);
    int i = 1;

    while (i == lost || !qvoters_votes(v, i))
        i++;
    (void)sim_run(w->s, NULL, NULL, SOON_NS + 3 * election_ns(w));
    qmoves_wish(&w->cluster, QCHANGE_REMOVE, i, &w->nodes[i].settings.directory_id);
    w->cluster.wishes[w->cluster.n_wishes - 1].led = true; /* its answer may be no */
}

/* A disk is lost, and its node comes back with an empty one: another server, which takes the place of the first one when that
 * has been removed, or is replaced by the leader while kraft.version is 0. Only one at a time, and while nothing else
 * moves: who loses two of three has lost what had committed. */
static void lost_disk(struct qworld *w)
{
    const struct qvoters *v = qbook_voters(w->cluster.book);
    int i = 1 + (int)sim_below(w->s, (uint64_t)w->cluster.n);
    struct uuid old = w->nodes[i].settings.directory_id;
    bool votes, fixed;

    if (!qmoves_over(&w->cluster) || w->nodes[i].settings.observes)
        return;
    w->cluster.still = true;
    if (healthy_leader(w) == 0 || !sim_run(w->s, at_peace, w, PEACE_NS) || !qmoves_over(&w->cluster) ||
        (qvoters_version(v) == 0 && !qvoters_knows(v, i)) || (qvoters_votes(v, i) && qvoters_voting(v) < 3)) {
        w->cluster.still = false;
        return;
    }
    votes = qvoters_votes(v, i);
    fixed = qvoters_version(v) == 0;
    qfault_new_disk(w, i);
    if (votes && !fixed && qvoters_voting(v) == 3 && sim_below(w->s, 2))
        wish_too_much(w, i);
    if (votes && !fixed)
        qmoves_wish(&w->cluster, QCHANGE_REMOVE, i, &old);
    if (!fixed)
        qmoves_wish(&w->cluster, QCHANGE_ADD, i, &w->nodes[i].settings.directory_id);
    w->cluster.still = false;
    qfault_start(w, i);
    run_up_to(w, 3000);
}

struct promotion {
    struct qworld *w;
    int leader, node;
};

/* The leader has written that it does, or is no leader any more. */
static bool is_made_voter(void *arg)
{
    const struct promotion *x = arg;
    const struct qnode *n = &x->w->nodes[x->leader];
    struct quorum_view view;

    if (!n->io || !sim_up(x->w->s, x->leader) || !n->leads)
        return true;
    view = quorum_view(n->quorum);
    for (int i = 0; i < view.n_voters; i++)
        if (view.voters[i] == x->node && view.progress[i].votes)
            return true;
    return false;
}

/* The only voter makes another node the second one, which is gone before it hears of that. By now it takes both to lead. */
static void second_voter(struct qworld *w)
{
    const struct qvoters *v = qbook_voters(w->cluster.book);
    struct promotion x = {.w = w, .node = 1};

    w->cluster.still = true;
    x.leader = healthy_leader(w);
    while (x.node <= w->cluster.n && (w->nodes[x.node].settings.observes || qvoters_votes(v, x.node)))
        x.node++;
    if (x.leader > 0 && x.node <= w->cluster.n && qmoves_over(&w->cluster) &&
        sim_run(w->s, at_peace, w, PEACE_NS) && qvoters_voting(v) == 1 && w->nodes[x.leader].leads) {
        qmoves_wish(&w->cluster, QCHANGE_ADD, x.node, &w->nodes[x.node].settings.directory_id);
        (void)sim_run(w->s, is_made_voter, &x, PEACE_NS);
        sim_partition(w->s, x.leader, x.node, true);
        tally_add(TALLY_quorum_second_voters, w->nodes[x.leader].leads && is_made_voter(&x));
        qfault_either(w, x.node);
        (void)sim_run(w->s, NULL, NULL, 3 * election_ns(w)); /* it leads no more */
        qfault_heal(w);
    }
    w->cluster.still = false;
    run_up_to(w, 3000);
}

static bool is_told_of_two(void *arg)
{
    const struct qnode *n = arg;

    return !n->io || !sim_up(n->sim, n->node) || !n->quorum || quorum_view(n->quorum).n_voters == 2;
}

/* One of three voters is removed, and the other one that follows has heard of it, but not written it yet, when the leader is gone:
 * the removed one's vote doesn't help it any more. */
static void late_removal(struct qworld *w)
{
    const struct qvoters *v = qbook_voters(w->cluster.book);
    int a, f = 1, gone = 1;

    w->cluster.still = true;
    a = healthy_leader(w);
    if (a > 0 && sim_run(w->s, at_peace, w, PEACE_NS) && qmoves_over(&w->cluster) && qvoters_voting(v) == 3 &&
        w->nodes[a].leads) {
        while (f == a || !qvoters_votes(v, f))
            f++;
        while (gone == a || gone == f || !qvoters_votes(v, gone))
            gone++;
        sim_disk_stall(w->s, f, sim_now(w->s) + 6 * election_ns(w));
        qmoves_wish(&w->cluster, QCHANGE_REMOVE, gone, &w->nodes[gone].settings.directory_id);
        (void)sim_run(w->s, is_told_of_two, &w->nodes[f], 2 * election_ns(w));
        tally_add(TALLY_quorum_late_removals, is_told_of_two(&w->nodes[f]));
        sim_disk_stall(w->s, f, 0); /* what has begun isn't over yet */
        qfault_either(w, a);
        (void)sim_run(w->s, NULL, NULL, 7 * election_ns(w));
    }
    w->cluster.still = false;
    qfault_heal(w);
}

/* What takes five voters who stay. */
static void any_of_five(struct qworld *w)
{
    if (sim_below(w->s, 2)) {
        figure_8(w);
        return;
    }
    old_write(w);
    if (!w->fixed)
        two_heirs(w);
}

void qschedule_any(struct qworld *w)
{
    const struct qvoters *v = qbook_voters(w->cluster.book);

    if (w->cluster.moves && qvoters_voting(v) == 1 && qvoters_version(v) > 0)
        second_voter(w);
    else if (!w->cluster.moves && w->cluster.n == 5 && sim_below(w->s, 4))
        any_of_five(w);
    else if (w->cluster.moves && qvoters_voting(v) == 3 && qvoters_version(v) > 0 && sim_below(w->s, 4) == 0)
        late_removal(w);
    else if ((w->cluster.moves || (w->fixed && w->cluster.n >= 3)) && sim_below(w->s, 2))
        lost_disk(w);
    else if (w->cluster.n >= 3 && sim_below(w->s, 4) == 0)
        long_backlog(w);
    else if (w->cluster.n >= 3)
        stale_end(w);
}
