#include "quorum_moves.h"
#include "base/check.h"
#include "scenario.h"
#include "tally.h"

struct change {
    struct quorum_change change;
    struct qnode *n;
    enum qchange what;
    int64_t wish;       /* its number; 0: nobody's */
    bool leads, was_up; /* the one that it is about, when it was asked for */
};

/* ---- wishes ---- */

void qmoves_wish(struct qcluster *c, enum qchange what, int node, const struct uuid *directory)
{
    ASSERT(c->n_wishes < QWISHES_MAX);
    c->wishes[c->n_wishes++] =
        (struct qwish){.number = ++c->wish_number, .what = what, .node = node, .directory = *directory};
}

bool qmoves_over(const struct qcluster *c)
{
    return c->n_wishes == 0;
}

static void wish_over(struct qcluster *c)
{
    c->n_wishes--;
    memmove(c->wishes, c->wishes + 1, (size_t)c->n_wishes * sizeof(c->wishes[0]));
}

/* An answer that an earlier one came about in spite of what was said counts too. */
static bool wish_done(const struct change *x, enum err err)
{
    if (!err)
        return true;
    if (x->what == QCHANGE_REMOVE)
        return err == E_VOTER_NOT_FOUND;
    return err == E_DUPLICATE_VOTER && qvoters_votes(qbook_voters(x->n->book), x->change.node);
}

/* ---- what comes of it ---- */

static void count(const struct change *x, enum err err)
{
    const struct quorum_change *c = &x->change;
    struct qnode_tally *t = &x->n->cluster->tally;

    t->additions_late += c->kind == QUORUM_ADD && strstr(c->why, "catch up");
    t->transfers += c->kind == QUORUM_REMOVE && err == E_NOT_CONTROLLER && c->node == x->n->node;
    t->changes_refused += strstr(c->why, "under way") != NULL;
    t->removals_refused += strstr(c->why, "majority") != NULL;
    t->changes_at_0 += err == E_UNSUPPORTED_VERSION && x->what != QCHANGE_UPGRADE;
    if (err)
        return;
    t->additions += x->what == QCHANGE_ADD;
    t->removals += x->what == QCHANGE_REMOVE;
    t->removals_of_down += x->what == QCHANGE_REMOVE && !x->was_up;
    t->upgrades += x->what == QCHANGE_UPGRADE;
}

static void changed(struct quorum_change *c, enum err err)
{
    struct change *x = container_of(c, struct change, change);
    struct qnode *n = x->n;
    struct qcluster *cluster = n->cluster;

    n->changing--;
    sim_note(n->sim, "node %d: change %d of node %d: %s, %s", n->node, (int)x->what, c->node, err_text(err),
             c->why);
    if (!err)
        qvoters_acknowledged(qbook_voters(n->book), x->what, c->node, &c->directory_id);
    count(x, err);
    if (x->wish && cluster->n_wishes > 0 && cluster->wishes[0].number == x->wish && wish_done(x, err)) {
        cluster->tally.removals_of_leaders += cluster->wishes[0].led && !err;
        cluster->tally.additions_of_new_disks += x->what == QCHANGE_ADD && !err;
        wish_over(cluster);
    } else if (x->wish && cluster->n_wishes > 0 && cluster->wishes[0].number == x->wish &&
               cluster->wishes[0].led && err != E_NOT_CONTROLLER && err != E_REQUEST_TIMED_OUT) {
        wish_over(cluster); /* the next leader has a reason not to */
    }
    /* The leader gave its leadership away: the next one is asked. */
    if (x->what == QCHANGE_REMOVE && err == E_NOT_CONTROLLER && c->node == n->node && cluster->moves &&
        !x->wish && cluster->n_wishes == 0) {
        qmoves_wish(cluster, x->what, c->node, &c->directory_id);
        cluster->wishes[0].led = true;
    }
    heap_free(io_heap(n->io), x);
}

static void ask(struct qnode *n, enum qchange what, int node, const struct uuid *directory, int64_t wish)
{
    static const enum quorum_change_kind kinds[] = {
        [QCHANGE_ADD] = QUORUM_ADD, [QCHANGE_REMOVE] = QUORUM_REMOVE, [QCHANGE_UPGRADE] = QUORUM_UPGRADE};
    struct change *x = heap_alloc(io_heap(n->io), sizeof(*x));

    *x = (struct change){
        .change = {.kind = kinds[what], .node = node, .directory_id = *directory, .done = changed},
        .n = n,
        .what = what,
        .wish = wish,
        .was_up = node > n->cluster->n || sim_up(n->sim, node)};
    qvoters_asked(qbook_voters(n->book), what, node, directory, n->epoch);
    n->changing++;
    quorum_change(n->quorum, &x->change);
}

/* ---- what is asked for ---- */

/* One that never comes. */
static void ask_ghost(struct qnode *n)
{
    struct uuid directory = n->settings.directory_id;

    directory.b[1] = (uint8_t)(1 + sim_below(n->sim, 200));
    ask(n, QCHANGE_ADD, n->cluster->n + 1, &directory, 0);
}

static void ask_any(struct qnode *n)
{
    struct qcluster *c = n->cluster;
    struct quorum_view view = quorum_view(n->quorum);
    int node = 1 + (int)sim_below(n->sim, (uint64_t)c->n), at;

    switch (sim_below(n->sim, 8)) {
    case 0:
        ask_ghost(n);
        return;
    case 1: /* seldom in the middle of a lost disk: from then on nobody replaces it by himself */
        if (!qvoters_all_vote(qbook_voters(n->book)) && sim_below(n->sim, 8))
            return;
        ask(n, QCHANGE_UPGRADE, n->node, &n->settings.directory_id, 0);
        return;
    case 2:
    case 3:
    case 4:
        if (c->nodes[node].settings.observes || qvoters_votes(qbook_voters(n->book), node))
            return; /* a broker alone */
        ask(n, QCHANGE_ADD, node, &c->nodes[node].settings.directory_id, 0);
        return;
    default:
        at = (int)sim_below(n->sim, (uint64_t)view.n_voters);
        if (view.n_voters > 1)
            ask(n, QCHANGE_REMOVE, view.voters[at], &view.progress[at].directory_id, 0);
    }
}

static void yield_run(struct msg *msg)
{
    struct qnode *n = container_of(msg, struct qnode, yield);

    n->yielding = false;
    if (n->leads && !n->stopping && !n->turning)
        ask(n, QCHANGE_REMOVE, n->node, &n->settings.directory_id, 0);
}

void qmoves_yield(struct qnode *n)
{
    if (!n->io || !sim_up(n->sim, n->node) || n->yielding)
        return;
    n->yielding = true;
    n->yield.run = yield_run;
    loop_post(n->control, &n->yield);
}

void qmoves_tick(struct qnode *n)
{
    struct qcluster *c = n->cluster;
    const struct qwish *w = &c->wishes[0];

    if (!n->leads || c->quiet)
        return;
    if (c->n_wishes > 0) {
        if (sim_below(n->sim, 4) == 0)
            ask(n, w->what, w->node, &w->directory, w->number);
    } else if (!c->moves) {
        if (sim_below(n->sim, 40))
            return;
        if (sim_below(n->sim, 3))
            ask_ghost(n);
        else /* it gives its leadership away, and nobody asks the next one */
            ask(n, QCHANGE_REMOVE, n->node, &n->settings.directory_id, 0);
    } else if (!c->still && sim_below(n->sim, 15) == 0) {
        ask_any(n);
    }
}
