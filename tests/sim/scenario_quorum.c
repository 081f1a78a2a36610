/* One to five voters of the metadata quorum, while processes and powers fail, links are cut, slow and reset, disks stall,
 * fill and fail, nodes pause and clocks jump; and while just elected leaders and candidates are hunted, because there the
 * protocol is thinnest. Judges: quorum_wire.h hears every message, quorum_book.h all that voters are told, both look at
 * the disks after each crash. Each act ends with a phase in which everything is healed and all must agree in time. */
#include "base/check.h"
#include "log/reserve.h"
#include "quorum_node.h"
#include "scenario.h"
#include "tally.h"

enum { ACTS = 3, GOAL = 10, VOTERS_ROOM = 8, WALL_MS_MAX = 3600000 };
static const int64_t MS = 1000000, ACT_NS = 20000000000, ROUND_NS = 2000000000, HUNT_NS = 3000000000,
                     LIVENESS_NS = 60000000000, STOP_NS = 60000000000, REVIVE_NS = 3000000000;

struct world {
    struct sim *s;
    struct qcluster cluster;
    struct qnode nodes[VOTERS_ROOM]; /* from 1 on */
    bool armed_power[VOTERS_ROOM];   /* what sim_fail_at() was told to do */
    bool
        errors; /* disks fail, and then the power doesn't: what a sync had failed on may be in the page cache for ever,
                  * where a new process finds it and can't tell */
    bool calm;
    int64_t goal;
};

static int n_of(const struct world *w)
{
    return w->cluster.n;
}

static int any(struct world *w)
{
    return 1 + (int)sim_below(w->s, (uint64_t)n_of(w));
}

/* Often the leader. */
static int victim(struct world *w)
{
    if (sim_below(w->s, 2))
        for (int i = 1; i <= n_of(w); i++)
            if (w->nodes[i].io && sim_up(w->s, i) && w->nodes[i].leads)
                return i;
    return any(w);
}

/* ---- lives ---- */

static void crash(struct world *w, int i, enum sim_crash how)
{
    bool torn;

    if (!w->nodes[i].io)
        return;
    if (sim_up(w->s, i))
        tally_add(how == SIM_POWER ? TALLY_quorum_crashes_of_power : TALLY_quorum_crashes_of_process, 1);
    qnode_crash(&w->nodes[i], how);
    torn = qbook_judge_disk(w->cluster.book, i);
    tally_add(TALLY_quorum_torn_writes, torn && how == SIM_POWER);
}

/* Whether it is down, by itself or by what it was armed with; judged then. */
static bool is_down(struct world *w, int i)
{
    struct qnode *n = &w->nodes[i];

    if (!n->io)
        return true;
    if (!sim_up(w->s, i)) {
        tally_add(TALLY_quorum_crashes_in_a_file_call, 1);
        crash(w, i, w->armed_power[i] ? SIM_POWER : SIM_PROCESS);
        return true;
    }
    if (!qnode_over(n))
        return false;
    tally_add(TALLY_quorum_clean_stops, 1);
    (void)qbook_judge_disk(w->cluster.book, i);
    return true;
}

static void stop(struct world *w, int i)
{
    if (!is_down(w, i) && !w->nodes[i].told_to_stop)
        qnode_stop(&w->nodes[i]);
}

static void power_or_process(struct world *w, int i)
{
    crash(w, i, !w->errors && sim_below(w->s, 3) ? SIM_POWER : SIM_PROCESS);
}

static void start(struct world *w, int i)
{
    if (is_down(w, i))
        qnode_start(&w->nodes[i]);
}

/* ---- faults ---- */

static void arm(struct world *w, int i)
{
    static const enum sim_fault with[] = {SIM_CRASH_PROCESS, SIM_EIO, SIM_FULL};
    static const enum sim_fault without[] = {SIM_CRASH_PROCESS, SIM_CRASH_POWER, SIM_CRASH_POWER};
    enum sim_fault fault = (w->errors ? with : without)[sim_below(w->s, 3)];

    w->armed_power[i] = fault == SIM_CRASH_POWER;
    sim_fail_at(w->s, i, 1 + (int64_t)sim_below(w->s, sim_below(w->s, 2) ? 10 : 200), fault);
}

/* Nothing passes between it and some others, one way or both. */
static void cut(struct world *w, int i)
{
    bool out = sim_below(w->s, 3) > 0, in = !out || sim_below(w->s, 2);
    int spared = sim_below(w->s, 2) ? any(w) : 0;

    tally_add(in && out ? TALLY_quorum_cuts : TALLY_quorum_cuts_one_way, 1);
    for (int k = 1; k <= n_of(w); k++) {
        if (k == i || k == spared)
            continue;
        if (out)
            sim_partition(w->s, i, k, true);
        if (in)
            sim_partition(w->s, k, i, true);
    }
}

static void link_slow(struct world *w, int i)
{
    struct sim_link link = sim_link_plain(w->s);

    tally_add(TALLY_quorum_slow_links, 1);
    link.net.max += (int64_t)sim_below(w->s, 500) * MS;
    if (sim_below(w->s, 2))
        link.bytes_per_s = 20000 + (int64_t)sim_below(w->s, 1000000);
    for (int k = 1; k <= n_of(w); k++)
        if (k != i && sim_below(w->s, 2))
            sim_link(w->s, i, k, &link);
}

static void disk_slow(struct world *w, int i)
{
    int64_t max = (int64_t)(20 + sim_below(w->s, 400)) * MS;
    struct sim_range speed = {max / 4, max};

    tally_add(TALLY_quorum_slow_disks, 1);
    sim_disk_speed(w->s, i, &speed);
}

static void disk_stall(struct world *w, int i)
{
    tally_add(TALLY_quorum_stalls, 1);
    sim_disk_stall(w->s, i, sim_now(w->s) + (int64_t)sim_below(w->s, 1500) * MS);
}

/* Somebody else's bytes: the reserve that the quorum keeps is in them, or not. */
static void disk_fill(struct world *w, int i)
{
    int64_t left = (int64_t)sim_below(w->s, 20000), used = sim_disk_used(w->s, i);

    tally_add(TALLY_quorum_full_disks, 1);
    if (sim_below(w->s, 2) && used > LOG_RESERVE_BYTES)
        used -= LOG_RESERVE_BYTES;
    sim_disk_limit(w->s, i, used + left);
}

static void pause(struct world *w, int i)
{
    if (is_down(w, i) || w->nodes[i].over)
        return;
    tally_add(TALLY_quorum_pauses, 1);
    sim_pause(w->s, i, true);
}

static void wall_jump(struct world *w, int i)
{
    if (is_down(w, i))
        return;
    tally_add(TALLY_quorum_wall_jumps, 1);
    sim_wall_jump(w->s, i, (int64_t)sim_below(w->s, 2 * WALL_MS_MAX) - WALL_MS_MAX);
}

static void resets(struct world *w, int i)
{
    tally_add(TALLY_quorum_resets, 1);
    for (int k = 1; k <= n_of(w); k++)
        if (k != i)
            sim_reset(w->s, i, k);
}

static void all_crash(struct world *w)
{
    tally_add(TALLY_quorum_crashes_of_all, 1);
    for (int i = 1; i <= n_of(w); i++)
        power_or_process(w, i);
}

static void chaos(struct world *w)
{
    int i = victim(w);

    switch (sim_below(w->s, 16)) {
    case 0:
    case 1:
    case 2:
        power_or_process(w, i);
        break;
    case 3:
    case 4:
        arm(w, i);
        break;
    case 5:
    case 6:
    case 7:
        cut(w, i);
        break;
    case 8:
        link_slow(w, i);
        break;
    case 9:
        disk_slow(w, i);
        break;
    case 10:
        disk_stall(w, i);
        break;
    case 11:
        disk_fill(w, i);
        break;
    case 12:
        pause(w, i);
        break;
    case 13:
        wall_jump(w, i);
        break;
    case 14:
        resets(w, i);
        break;
    default:
        if (sim_below(w->s, 2))
            stop(w, i);
        else
            all_crash(w);
    }
}

/* ---- healing ---- */

static void well(struct world *w, int i)
{
    sim_disk_limit(w->s, i, -1);
    sim_disk_speed(w->s, i, NULL);
    sim_disk_stall(w->s, i, 0);
    sim_fail_at(w->s, i, 0, SIM_EIO);
    if (sim_paused(w->s, i))
        sim_pause(w->s, i, false);
}

/* What failed is stopped, what is down is started. */
static void revive(struct world *w, int i)
{
    if (!is_down(w, i) && w->nodes[i].failed) {
        if (sim_below(w->s, 2))
            stop(w, i);
        else
            crash(w, i, SIM_PROCESS);
    }
    start(w, i);
}

static void calm_some(struct world *w)
{
    if (sim_below(w->s, 2))
        sim_heal(w->s);
    for (int i = 1; i <= n_of(w); i++) {
        if (sim_below(w->s, 2))
            well(w, i);
        if (sim_below(w->s, 3) > 0)
            revive(w, i);
    }
}

/* ---- hunts ---- */

struct scent {
    const struct qwire_seen *seen;
    int64_t led, stood;
};

static bool somebody_rose(void *arg)
{
    const struct scent *x = arg;

    return x->seen->led > x->led || x->seen->stood > x->stood;
}

/* As soon as somebody leads a new epoch or stands for one, it is hit, at once or a little later. */
static void hunt(struct world *w)
{
    const struct qwire_seen *seen = qwire_seen(qbook_wire(w->cluster.book));
    bool leaders_only = sim_below(w->s, 2);
    struct scent x = {seen, seen->led, leaders_only ? INT64_MAX : seen->stood};
    int prey;

    if (!sim_run(w->s, somebody_rose, &x, HUNT_NS))
        return;
    tally_add(TALLY_quorum_hunts, 1);
    prey = seen->led > x.led ? seen->leader : seen->candidate;
    if (sim_below(w->s, 2))
        (void)sim_run(w->s, NULL, NULL, (int64_t)sim_below(w->s, (uint64_t)(60 * MS)));
    switch (sim_below(w->s, 6)) {
    case 0:
        power_or_process(w, prey);
        break;
    case 1:
        disk_slow(w, prey);
        break;
    case 2:
        pause(w, prey);
        break;
    default:
        cut(w, prey);
    }
}

static void safety(struct world *w)
{
    int64_t end = sim_now(w->s) + ACT_NS;
    bool hunts;

    while (sim_now(w->s) < end) {
        hunts = sim_below(w->s, 2);
        for (int k = 0; k < 4; k++) {
            calm_some(w);
            if (hunts) {
                hunt(w);
            } else {
                (void)sim_run(w->s, NULL, NULL, (int64_t)sim_below(w->s, (uint64_t)ROUND_NS));
                chaos(w);
            }
        }
    }
}

/* ---- progress ---- */

static bool all_lead_or_follow(struct world *w)
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
    struct world *w = arg;

    return qbook_rows(w->cluster.book) >= w->goal && all_lead_or_follow(w);
}

static bool agrees(void *arg)
{
    struct world *w = arg;

    if (!all_lead_or_follow(w))
        return false;
    for (int i = 1; i <= n_of(w); i++)
        if (w->nodes[i].in_flight > 0 || qbook_known(w->cluster.book, i) != qbook_end(w->cluster.book))
            return false;
    return true;
}

static void say(struct world *w, const char *what)
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
static void reach(struct world *w, bool (*until)(void *arg), const char *what)
{
    int64_t end = sim_now(w->s) + LIVENESS_NS, began = sim_now(w->s);

    while (!sim_run(w->s, until, w, REVIVE_NS)) {
        if (sim_now(w->s) > end)
            say(w, what);
        for (int i = 1; i <= n_of(w) && !w->calm; i++)
            revive(w, i);
    }
    tally_add(TALLY_quorum_seconds_to_heal, (uint64_t)((sim_now(w->s) - began) / MS / 1000));
}

static void liveness(struct world *w)
{
    w->goal = qbook_rows(w->cluster.book) + GOAL;
    reach(w, goes_on, "commit");
    w->cluster.quiet = true;
    reach(w, agrees, "agree");
    for (int i = 1; i <= n_of(w); i++)
        qbook_judge_end(w->cluster.book, i, w->nodes[i].committed, io_heap(w->nodes[i].io));
    w->cluster.quiet = false;
}

static void heal(struct world *w)
{
    sim_heal(w->s);
    for (int i = 1; i <= n_of(w); i++) {
        well(w, i);
        if (!is_down(w, i) && (w->nodes[i].told_to_stop || w->nodes[i].failed))
            crash(w, i, SIM_PROCESS);
        start(w, i);
    }
}

static bool all_down(void *arg)
{
    struct world *w = arg;
    bool down = true;

    for (int i = 1; i <= n_of(w); i++)
        down &= is_down(w, i);
    return down;
}

/* Random faults have ended for good: clean stops are clean, and what was known is known again. */
static void the_end(struct world *w)
{
    w->calm = true;
    sim_calm(w->s);
    heal(w);
    liveness(w);
    for (int i = 1; i <= n_of(w); i++)
        stop(w, i);
    JUDGE(sim_run(w->s, all_down, w, STOP_NS) || all_down(w),
          "not everybody stops"); /* the last one leaves no event */
    heal(w);
    liveness(w);
    for (int i = 1; i <= n_of(w); i++)
        crash(w, i, SIM_PROCESS);
}

static void tell(const struct world *w)
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
    tally_add(TALLY_quorum_waits_for_room, t->full);
    tally_add(TALLY_quorum_failures, t->failed);
}

static void settings_draw(struct world *w, struct quorum_settings *q)
{
    *q = (struct quorum_settings){.dir = QUORUM_DIR, .retention_bytes = -1, .retention_ms = -1};
    q->election_ms = 200 + (int32_t)sim_below(w->s, 800);
    q->heartbeat_ms = q->election_ms / (4 + (int32_t)sim_below(w->s, 6));
    q->snapshot_bytes = 2000 + (int64_t)sim_below(w->s, 60000);
    q->snapshot_ms = sim_below(w->s, 2) ? 500 + (int64_t)sim_below(w->s, 10000) : 0;
    q->segment_bytes = 4096 + (int64_t)sim_below(w->s, 100000);
    q->segment_ms = 3600000;
    if (sim_below(w->s, 2))
        q->retention_bytes = (int64_t)sim_below(w->s, 50000);
    for (int i = 1; i <= n_of(w); i++)
        q->voters[q->n_voters++] = i;
}

static void voters_make(struct world *w)
{
    struct quorum_settings settings;

    settings_draw(w, &settings);
    for (int i = 1; i <= n_of(w); i++) {
        struct qnode *n = &w->nodes[i];

        *n = (struct qnode){.sim = w->s, .cluster = &w->cluster, .node = i, .settings = settings};
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
    struct world w = {.s = s};

    w.cluster = (struct qcluster){.sim = s, .book = qbook_new(s), .n = sizes[sim_below(s, 10)]};
    w.errors = sim_below(s, 4) == 0;
    if (!w.errors)
        sim_disk_errors(s, 0);
    voters_make(&w);
    for (int act = 0; act < ACTS; act++) {
        safety(&w);
        heal(&w);
        liveness(&w);
    }
    the_end(&w);
    tell(&w);
    qbook_drop(w.cluster.book);
}
