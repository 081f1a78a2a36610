/* One to five voters of the metadata quorum, while processes and powers fail, links are cut, slow and reset, disks stall,
 * fill and fail, nodes pause and clocks jump; and while just elected leaders and candidates are hunted, because there the
 * protocol is thinnest. In every second world there are up to three more nodes, which follow, and voters come and go: nodes
 * are added and removed, the leader too, disks are lost and their nodes added again, kraft.version is raised. Of fixed voters
 * disks are lost in any world, and the leader replaces them by itself.
 * Judges: quorum_wire.h hears every message, quorum_book.h all that nodes are told, quorum_voters.h reads who votes, all look
 * at the disks after each crash. Each act ends with a phase in which everything is healed and all must agree in time. */
#include "base/check.h"
#include "quorum_faults.h"
#include "quorum_moves.h"
#include "scenario.h"
#include "tally.h"

enum { ACTS = 3, GOAL = 10 };
static const int64_t MS = 1000000, ACT_NS = 20000000000, ROUND_NS = 2000000000, LIVENESS_NS = 60000000000,
                     STOP_NS = 60000000000, REVIVE_NS = 3000000000,
                     BEGUN_NS = 13000000000; /* more than the longest stalls of a disk, one after another */

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

static bool goes_on(void *arg)
{
    struct qworld *w = arg;

    return qbook_rows(w->cluster.book) >= w->goal && qmoves_over(&w->cluster) && qfault_all_follow(w);
}

static bool agrees(void *arg)
{
    struct qworld *w = arg;
    const struct qvoters *v = qbook_voters(w->cluster.book);

    if (!qfault_all_follow(w) || !qvoters_all_vote(v))
        return false;
    for (int i = 1; i <= n_of(w); i++)
        if (w->nodes[i].in_flight > 0 || w->nodes[i].changing > 0 ||
            qbook_known(w->cluster.book, i) != qbook_end(w->cluster.book) ||
            quorum_view(w->nodes[i].quorum).observes == qvoters_votes(v, i))
            return false;
    return true;
}

static void say(struct qworld *w, const char *what)
{
    for (int i = 1; i <= n_of(w); i++) {
        const struct qnode *n = &w->nodes[i];

        sim_note(w->s, "node %d: %s%s%s%s leader %d epoch %d known %lld of %lld in flight %d", i,
                 n->io ? "up" : "down", n->failed ? ", failed" : "", n->committed ? "" : ", not loaded",
                 qvoters_votes(qbook_voters(w->cluster.book), i) ? "" : ", outside", n->leader, n->epoch,
                 (long long)qbook_known(w->cluster.book, i), (long long)qbook_end(w->cluster.book),
                 n->in_flight);
    }
    JUDGE(false, "%d nodes healed, and within %lld s they don't %s", n_of(w),
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

/* A file call that began before it was mended, and was to fail, may end as late as a stalled disk lets it: a node that it fails
 * is started again once more. From then on nothing fails. */
static void calm(struct qworld *w)
{
    w->calm = true;
    sim_calm(w->s);
    qfault_heal(w);
    if (!w->errors)
        return;
    (void)sim_run(w->s, NULL, NULL, BEGUN_NS);
    qfault_heal(w);
}

/* Random faults have ended for good: clean stops are clean, and what was known is known again. */
static void the_end(struct qworld *w)
{
    calm(w);
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

static void tell_changes(const struct qnode_tally *t)
{
    tally_add(TALLY_quorum_additions, t->additions);
    tally_add(TALLY_quorum_additions_late, t->additions_late);
    tally_add(TALLY_quorum_additions_undone, t->additions_undone);
    tally_add(TALLY_quorum_additions_of_new_disks, t->additions_of_new_disks);
    tally_add(TALLY_quorum_removals, t->removals);
    tally_add(TALLY_quorum_removals_of_leaders, t->removals_of_leaders);
    tally_add(TALLY_quorum_removals_of_down, t->removals_of_down);
    tally_add(TALLY_quorum_removals_refused, t->removals_refused);
    tally_add(TALLY_quorum_upgrades, t->upgrades);
    tally_add(TALLY_quorum_changes_at_0, t->changes_at_0);
    tally_add(TALLY_quorum_transfers, t->transfers);
    tally_add(TALLY_quorum_changes_refused, t->changes_refused);
    tally_add(TALLY_quorum_became_voters, t->became_voters);
    tally_add(TALLY_quorum_became_observers, t->became_observers);
    tally_add(TALLY_quorum_observers_installs, t->observers_installs);
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
    tell_changes(t);
    tally_add(TALLY_quorum_waits_for_room, t->full);
    tally_add(TALLY_quorum_leaders_that_hung, t->hangs_away);
    tally_add(TALLY_quorum_heirs_of_failed_leaders, t->rests);
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

static void node_make(struct qworld *w, int i, const struct quorum_settings *all)
{
    struct qnode *n = &w->nodes[i];
    bool founds = i <= w->founders;

    *n = (struct qnode){.sim = w->s, .cluster = &w->cluster, .node = i, .settings = *all};
    log_settings_draw(w, &n->settings);
    n->settings.node_id = i;
    n->settings.directory_id.b[0] = (uint8_t)i;
    n->settings.observes = !founds && sim_below(w->s, 3) == 0;
    n->settings.joins = !founds && !n->settings.observes;
    (void)sim_node(w->s, i); /* a disk begins with its machine */
    ASSERT(sim_file_put(w->s, i, QUORUM_DIR "/here", "", 0) == E_OK);
    sim_exit(w->s, i);
    qbook_disk(w->cluster.book, i, &n->settings.directory_id, founds);
}

static void nodes_make(struct qworld *w)
{
    struct quorum_settings all = {.dir = QUORUM_DIR, .fixed = w->fixed};

    all.election_ms = 200 + (int32_t)sim_below(w->s, 800);
    all.heartbeat_ms = all.election_ms / (4 + (int32_t)sim_below(w->s, 6));
    for (int i = 1; i <= w->founders; i++) {
        if (!w->fixed)
            all.voter_directories[all.n_voters].b[0] = (uint8_t)i;
        all.voters[all.n_voters++] = i;
    }
    for (int i = 1; i <= n_of(w); i++)
        node_make(w, i, &all);
    for (int i = 1; i <= n_of(w) && w->young; i++) {
        w->nodes[i].settings.snapshot_bytes = INT64_MAX;
        w->nodes[i].settings.snapshot_ms = 0;
    }
    for (int i = 1; i <= n_of(w); i++)
        qnode_start(&w->nodes[i]);
}

static void world_draw(struct qworld *w)
{
    static const int sizes[] = {3, 3, 3, 3, 5, 5, 5, 1, 2, 4};
    int room;

    w->founders = sizes[sim_below(w->s, 10)];
    room = QVOTERS_ROOM - 1 - w->founders;
    w->cluster.moves = sim_below(w->s, 2);
    w->cluster.n =
        w->founders + (w->cluster.moves ? 1 + (int)sim_below(w->s, room < 3 ? (uint64_t)room : 3) : 0);
    w->cluster.nodes = w->nodes;
    w->fixed = sim_below(w->s, 3) == 0;
    w->young = !w->cluster.moves && w->founders >= 3 && sim_below(w->s, 3) == 0;
    w->errors = sim_below(w->s, 4) == 0;
}

void scenario_quorum(struct sim *s)
{
    struct qworld w = {.s = s};

    w.cluster = (struct qcluster){.sim = s, .book = qbook_new(s)};
    world_draw(&w);
    if (!w.errors)
        sim_disk_errors(s, 0);
    nodes_make(&w);
    if (w.young)
        qschedule_first(&w);
    for (int act = 0; act < ACTS; act++) {
        safety(&w);
        qfault_heal(&w);
        liveness(&w);
    }
    the_end(&w);
    tell(&w);
    qbook_drop(w.cluster.book);
}
