/* One to five voters of the metadata quorum, while processes and powers fail, links are cut, slow and reset, disks stall,
 * fill and fail, nodes pause and clocks jump; and while just elected leaders and candidates are hunted, because there the
 * protocol is thinnest. Judges: quorum_wire.h hears every message, quorum_book.h all that voters are told, both look at
 * the disks after each crash. Each act ends with a phase in which everything is healed and all must agree in time. */
#include "base/check.h"
#include "quorum_faults.h"
#include "scenario.h"
#include "tally.h"

enum { ACTS = 3, GOAL = 10 };
static const int64_t MS = 1000000, ACT_NS = 20000000000, ROUND_NS = 2000000000, LIVENESS_NS = 60000000000,
                     STOP_NS = 60000000000, REVIVE_NS = 3000000000;

static int n_of(const struct qworld *w)
{
    return w->cluster.n;
}

/* ---- danger ---- */

static void safety(struct qworld *w)
{
    int64_t end = sim_now(w->s) + ACT_NS;
    bool hunts;

    while (sim_now(w->s) < end) {
        if (sim_below(w->s, 2))
            qschedule_any(w);
        hunts = sim_below(w->s, 2);
        for (int k = 0; k < 4; k++) {
            qfault_calm_some(w);
            if (hunts) {
                qfault_hunt(w);
            } else {
                (void)sim_run(w->s, NULL, NULL, (int64_t)sim_below(w->s, (uint64_t)ROUND_NS));
                qfault_any(w);
            }
        }
    }
}

/* ---- progress ---- */

static bool all_lead_or_follow(struct qworld *w)
{
    const struct qnode *first = &w->nodes[1];

    for (int i = 1; i <= n_of(w); i++) {
        const struct qnode *n = &w->nodes[i];

        if (!n->io || !sim_up(w->s, i) || n->over || n->failed || !n->committed || n->leader < 1 ||
            n->leader != first->leader || n->epoch != first->epoch || n->leads != (n->leader == i))
            return false;
    }
    return true;
}

static bool goes_on(void *arg)
{
    struct qworld *w = arg;

    return qbook_rows(w->cluster.book) >= w->goal && all_lead_or_follow(w);
}

static bool agrees(void *arg)
{
    struct qworld *w = arg;

    if (!all_lead_or_follow(w))
        return false;
    for (int i = 1; i <= n_of(w); i++)
        if (w->nodes[i].in_flight > 0 || qbook_known(w->cluster.book, i) != qbook_end(w->cluster.book))
            return false;
    return true;
}

static void say(struct qworld *w, const char *what)
{
    for (int i = 1; i <= n_of(w); i++) {
        const struct qnode *n = &w->nodes[i];

        sim_note(w->s, "node %d: %s%s%s leader %d epoch %d known %lld of %lld in flight %d", i,
                 n->io ? "up" : "down", n->failed ? ", failed" : "", n->committed ? "" : ", not loaded",
                 n->leader, n->epoch, (long long)qbook_known(w->cluster.book, i),
                 (long long)qbook_end(w->cluster.book), n->in_flight);
    }
    JUDGE(false, "%d voters healed, and within %lld s they don't %s", n_of(w),
          (long long)(LIVENESS_NS / 1000 / MS), what);
}

/* While random faults go on, what they break is repaired. */
static void reach(struct qworld *w, bool (*until)(void *arg), const char *what)
{
    int64_t end = sim_now(w->s) + LIVENESS_NS, began = sim_now(w->s);

    while (!sim_run(w->s, until, w, REVIVE_NS)) {
        if (sim_now(w->s) > end)
            say(w, what);
        for (int i = 1; i <= n_of(w) && !w->calm; i++)
            qfault_revive(w, i);
    }
    tally_add(TALLY_quorum_seconds_to_heal, (uint64_t)((sim_now(w->s) - began) / MS / 1000));
}

static void liveness(struct qworld *w)
{
    w->goal = qbook_rows(w->cluster.book) + GOAL;
    reach(w, goes_on, "commit");
    w->cluster.quiet = true;
    reach(w, agrees, "agree");
    for (int i = 1; i <= n_of(w); i++)
        qbook_judge_end(w->cluster.book, i, w->nodes[i].committed, io_heap(w->nodes[i].io));
    w->cluster.quiet = false;
}

static bool all_down(void *arg)
{
    struct qworld *w = arg;
    bool down = true;

    for (int i = 1; i <= n_of(w); i++)
        down &= qfault_is_down(w, i);
    return down;
}

/* Random faults have ended for good: clean stops are clean, and what was known is known again. */
static void the_end(struct qworld *w)
{
    w->calm = true;
    sim_calm(w->s);
    qfault_heal(w);
    liveness(w);
    for (int i = 1; i <= n_of(w); i++)
        qfault_stop(w, i);
    JUDGE(sim_run(w->s, all_down, w, STOP_NS) || all_down(w),
          "not everybody stops"); /* the last one leaves no event */
    qfault_heal(w);
    liveness(w);
    for (int i = 1; i <= n_of(w); i++)
        qfault_crash(w, i, SIM_PROCESS);
}

static void tell(const struct qworld *w)
{
    const struct qnode_tally *t = &w->cluster.tally;
    const struct qwire_seen *seen = qwire_seen(qbook_wire(w->cluster.book));

    tally_add(TALLY_quorum_seeds, 1);
    tally_add(TALLY_quorum_virtual_seconds, (uint64_t)(sim_now(w->s) / MS / 1000));
    tally_add(TALLY_quorum_elections, (uint64_t)qbook_elections(w->cluster.book));
    tally_add(TALLY_quorum_leaders_that_fell_early, (uint64_t)(seen->led - qbook_elections(w->cluster.book)));
    tally_add(TALLY_quorum_candidates, (uint64_t)seen->stood);
    tally_add(TALLY_quorum_votes_granted, (uint64_t)seen->granted);
    tally_add(TALLY_quorum_votes_refused, (uint64_t)seen->refused);
    tally_add(TALLY_quorum_batches_proposed, t->proposed);
    tally_add(TALLY_quorum_batches_acknowledged, t->committed);
    tally_add(TALLY_quorum_batches_lost_leadership, t->lost);
    tally_add(TALLY_quorum_batches_committed, (uint64_t)qbook_rows(w->cluster.book));
    tally_add(TALLY_quorum_truncations, t->truncations);
    tally_add(TALLY_quorum_snapshots_written, t->snapshots);
    tally_add(TALLY_quorum_snapshots_installed, t->installs);
    tally_add(TALLY_quorum_confirms, t->confirms);
    tally_add(TALLY_quorum_confirms_refused, t->confirms_refused);
    tally_add(TALLY_quorum_deaths_told, t->deaths);
    tally_add(TALLY_quorum_additions, t->additions);
    tally_add(TALLY_quorum_additions_undone, t->additions_undone);
    tally_add(TALLY_quorum_transfers, t->transfers);
    tally_add(TALLY_quorum_changes_refused, t->changes_refused);
    tally_add(TALLY_quorum_waits_for_room, t->full);
    tally_add(TALLY_quorum_failures, t->failed);
}

/* Of the log, each voter's own: one that keeps all of it leads others that keep next to nothing. */
static void log_settings_draw(struct qworld *w, struct quorum_settings *q)
{
    bool keeps = sim_below(w->s, 4) == 0;

    q->snapshot_bytes = keeps ? INT64_MAX : 2000 + (int64_t)sim_below(w->s, 60000);
    q->snapshot_ms = !keeps && sim_below(w->s, 2) ? 500 + (int64_t)sim_below(w->s, 10000) : 0;
    q->trailing_entries = 1 + (int32_t)sim_below(w->s, sim_below(w->s, 2) ? 5 : 100);
    q->segment_bytes = 4096 + (int64_t)sim_below(w->s, 100000);
    q->segment_ms = 3600000;
    q->retention_ms = -1;
    q->retention_bytes = sim_below(w->s, 2) ? -1 : (int64_t)sim_below(w->s, 50000);
}

static void voters_make(struct qworld *w)
{
    struct quorum_settings all = {.dir = QUORUM_DIR};

    all.election_ms = 200 + (int32_t)sim_below(w->s, 800);
    all.heartbeat_ms = all.election_ms / (4 + (int32_t)sim_below(w->s, 6));
    for (int i = 1; i <= n_of(w); i++)
        all.voters[all.n_voters++] = i;
    for (int i = 1; i <= n_of(w); i++) {
        struct qnode *n = &w->nodes[i];

        *n = (struct qnode){.sim = w->s, .cluster = &w->cluster, .node = i, .settings = all};
        log_settings_draw(w, &n->settings);
        n->settings.node_id = i;
        n->settings.directory_id.b[0] = (uint8_t)i;
        (void)sim_node(w->s, i); /* a disk begins with its machine */
        ASSERT(sim_file_put(w->s, i, QUORUM_DIR "/here", "", 0) == E_OK);
        sim_exit(w->s, i);
        qnode_start(n);
    }
}

void scenario_quorum(struct sim *s)
{
    static const int sizes[] = {3, 3, 3, 3, 5, 5, 5, 1, 2, 4};
    struct qworld w = {.s = s};

    w.cluster = (struct qcluster){.sim = s, .book = qbook_new(s), .n = sizes[sim_below(s, 10)]};
    w.errors = sim_below(s, 4) == 0;
    if (!w.errors)
        sim_disk_errors(s, 0);
    voters_make(&w);
    for (int act = 0; act < ACTS; act++) {
        safety(&w);
        qfault_heal(&w);
        liveness(&w);
    }
    the_end(&w);
    tell(&w);
    qbook_drop(w.cluster.book);
}
