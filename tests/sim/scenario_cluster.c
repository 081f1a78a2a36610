/* Three or five whole nodes, broker and controller each, with a static quorum, and clients who administrate by asking any of
 * them; while processes and powers fail, nodes pause, stop in order and come again, links are cut both ways and one way,
 * slow and reset, disks are slow, stall, fill and fail, and clocks jump.
 * Judges: cluster_book.h holds what nodes say against all disks, cluster_truth.h what has committed against itself,
 * cluster_client.h what clients are told against that. Each act ends with everything healed: then within a bound all
 * brokers are unfenced, all images equal, and every broker does what it is asked. */
#include "base/trace.h"
#include "cluster_client.h"
#include "faults.h"
#include "quorum_disk.h"
#include "scenario.h"
#include "tally.h"
#include "whole.h"
#include <stdio.h>

enum { NODES_MAX = 5, CLIENTS = 9, ACTS = 2, SETS = 12, WORDS = 128 };
static const int64_t MS = 1000000, ACT_NS = 15000000000, ROUND_NS = 2000000000, LIVENESS_NS = 90000000000,
                     STOP_NS = 90000000000, REVIVE_NS = 3000000000, ROLL_NS = 20000000000;

struct world {
    struct sim *s;
    int n;
    struct whole *nodes[NODES_MAX + 1];
    bool stopping[NODES_MAX + 1];
    bool armed_power[NODES_MAX + 1]; /* what sim_fail_at() was told to do */
    bool
        errors; /* disks fail, and then the power doesn't: what a sync had failed on may be in the page cache for ever,
                  * where a new process finds it and can't tell */
    bool calm;
    struct cbook *book;
    struct cclients *clients;
};

static int any(struct world *w)
{
    return 1 + (int)sim_below(w->s, (uint64_t)w->n);
}

/* Often the leader. */
static int victim(struct world *w)
{
    int leader = cbook_leader(w->book);

    return leader && sim_below(w->s, 2) ? leader : any(w);
}

/* ---- lives ---- */

static void crash(struct world *w, int i, enum sim_crash how)
{
    bool torn;

    if (!w->nodes[i]->io)
        return;
    if (sim_up(w->s, i))
        tally_add(how == SIM_POWER ? TALLY_cluster_crashes_of_power : TALLY_cluster_crashes_of_process, 1);
    sim_note(w->s, "node %d: crash of the %s", i, how == SIM_POWER ? "power" : "process");
    whole_crash(w->nodes[i], how);
    torn = cbook_judge_disk(w->book, i);
    tally_add(TALLY_cluster_torn_writes, torn && how == SIM_POWER);
}

/* Whether it is down, by itself or by what it was armed with; judged then. */
static bool is_down(struct world *w, int i)
{
    struct whole *n = w->nodes[i];

    if (!n->io)
        return true;
    if (!sim_up(w->s, i)) {
        tally_add(TALLY_cluster_crashes_in_a_file_call, 1);
        crash(w, i, w->armed_power[i] ? SIM_POWER : SIM_PROCESS);
        return true;
    }
    if (sim_paused(w->s, i) || !whole_over(n))
        return false;
    tally_add(n->why ? TALLY_cluster_gave_up : TALLY_cluster_clean_stops, 1);
    sim_note(w->s, "node %d is down: %s", i, n->text);
    (void)cbook_judge_disk(w->book, i);
    return true;
}

static void stop(struct world *w, int i)
{
    if (is_down(w, i) || w->stopping[i])
        return;
    w->stopping[i] = true;
    whole_stop(w->nodes[i]);
}

static void power_or_process(struct world *w, int i)
{
    crash(w, i, !w->errors && sim_below(w->s, 3) ? SIM_POWER : SIM_PROCESS);
}

static void start(struct world *w, int i)
{
    struct whole *n = w->nodes[i];

    if (!is_down(w, i))
        return;
    w->stopping[i] = false;
    cbook_life(w->book, i);
    whole_start(n);
    for (int k = 0; k < trace_logger_count(); k++)
        if (strcmp(trace_logger_name(k), "metadata") == 0)
            trace_logger_set(io_trace(n->io), k, TRACE_TRACE);
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

static void pause(struct world *w, int i)
{
    if (is_down(w, i) || w->nodes[i]->stopped)
        return;
    tally_add(TALLY_cluster_pauses, 1);
    sim_pause(w->s, i, true);
}

static void wall_jump(struct world *w, int i)
{
    if (is_down(w, i))
        return;
    tally_add(TALLY_cluster_wall_jumps, 1);
    fault_wall_jump(w->s, i);
}

static void all_crash(struct world *w)
{
    tally_add(TALLY_cluster_crashes_of_all, 1);
    for (int i = 1; i <= w->n; i++)
        power_or_process(w, i);
}

struct one {
    struct world *w;
    int i;
};

static bool one_down(void *arg)
{
    struct one *x = arg;
    return is_down(x->w, x->i);
}

static bool one_up(void *arg)
{
    struct one *x = arg;
    return whole_up(x->w->nodes[x->i]);
}

/* One after the other stops in order and comes again; what else is broken stays so. */
static void roll(struct world *w)
{
    tally_add(TALLY_cluster_rolls, 1);
    for (int i = 1; i <= w->n; i++) {
        struct one x = {w, i};

        stop(w, i);
        (void)sim_run(w->s, one_down, &x, (int64_t)sim_below(w->s, (uint64_t)ROLL_NS));
        start(w, i);
        (void)sim_run(w->s, one_up, &x, (int64_t)sim_below(w->s, (uint64_t)ROLL_NS / 4));
    }
}

static void cut(struct world *w, int i)
{
    tally_add(fault_cut(w->s, i, w->n) ? TALLY_cluster_cuts : TALLY_cluster_cuts_one_way, 1);
}

static void network_fault(struct world *w, int i)
{
    switch (sim_below(w->s, 3)) {
    case 0:
        tally_add(TALLY_cluster_slow_links, 1);
        fault_link_slow(w->s, i, w->n);
        break;
    case 1:
        tally_add(TALLY_cluster_resets, 1);
        fault_resets(w->s, i, w->n);
        break;
    default:
        sim_reset(w->s, i, CLIENTS);
        break;
    }
}

static void disk_fault(struct world *w, int i)
{
    switch (sim_below(w->s, 3)) {
    case 0:
        tally_add(TALLY_cluster_slow_disks, 1);
        fault_disk_slow(w->s, i);
        break;
    case 1:
        tally_add(TALLY_cluster_stalls, 1);
        fault_disk_stall(w->s, i);
        break;
    default:
        tally_add(TALLY_cluster_full_disks, 1);
        fault_disk_fill(w->s, i);
        break;
    }
}

static void chaos(struct world *w)
{
    int i = victim(w);

    switch (sim_below(w->s, 20)) {
    case 0:
    case 1:
    case 2:
    case 3:
        power_or_process(w, i);
        break;
    case 4:
    case 5:
        arm(w, i);
        break;
    case 6:
    case 7:
    case 8:
    case 9:
        cut(w, i);
        break;
    case 10:
    case 11:
        network_fault(w, i);
        break;
    case 12:
    case 13:
    case 14:
        disk_fault(w, i);
        break;
    case 15:
    case 16:
        pause(w, i);
        break;
    case 17:
        wall_jump(w, i);
        break;
    case 18:
        stop(w, i);
        break;
    default:
        if (sim_below(w->s, 2))
            roll(w);
        else
            all_crash(w);
    }
}

/* ---- healing ---- */

static void calm_some(struct world *w)
{
    if (sim_below(w->s, 2))
        sim_heal(w->s);
    for (int i = 1; i <= w->n; i++) {
        if (sim_below(w->s, 2))
            fault_over(w->s, i);
        if (sim_below(w->s, 3) > 0)
            start(w, i);
    }
}

static void safety(struct world *w)
{
    int64_t end = sim_now(w->s) + ACT_NS;

    while (sim_now(w->s) < end) {
        calm_some(w);
        (void)sim_run(w->s, NULL, NULL, (int64_t)sim_below(w->s, (uint64_t)ROUND_NS));
        chaos(w);
    }
}

static void heal(struct world *w)
{
    sim_heal(w->s);
    for (int i = 1; i <= w->n; i++) {
        fault_over(w->s, i);
        if (!is_down(w, i) && w->stopping[i])
            crash(w, i, SIM_PROCESS);
        start(w, i);
    }
}

/* ---- progress ---- */

static bool all_well(void *arg)
{
    struct world *w = arg;

    if (!cclients_reached(w->clients) || !cbook_agree(w->book) || !truth_unfenced(cbook_truth(w->book), w->n))
        return false;
    for (int i = 1; i <= w->n; i++)
        if (!w->nodes[i]->ready)
            return false;
    return true;
}

static void say(struct world *w)
{
    const struct truth *t = cbook_truth(w->book);

    cclients_say(w->clients);
    for (int i = 1; i <= w->n; i++)
        fprintf(stderr, "node %d: %s%s, image %lld of %lld, broker %s\n", i, w->nodes[i]->io ? "up" : "down",
                w->nodes[i]->ready ? ", ready" : "", (long long)cbook_image(w->book, i), (long long)t->offset,
                !t->brokers[i].registered ? "unknown"
                : t->brokers[i].fenced    ? "fenced"
                                          : "unfenced");
    JUDGE(false, "%d nodes healed, and within %lld s all isn't well", w->n,
          (long long)(LIVENESS_NS / 1000 / MS));
}

/* While random faults go on, who they ended is started again. */
static void liveness(struct world *w)
{
    int64_t began = sim_now(w->s), end = began + LIVENESS_NS;

    cclients_goal(w->clients);
    while (!sim_run(w->s, all_well, w, REVIVE_NS)) {
        if (sim_now(w->s) > end)
            say(w);
        for (int i = 1; i <= w->n && !w->calm; i++)
            start(w, i);
    }
    cbook_judge_kept(w->book);
    tally_add(TALLY_cluster_seconds_to_heal, (uint64_t)((sim_now(w->s) - began) / MS / 1000));
    cclients_rest(w->clients);
}

static bool all_down(void *arg)
{
    struct world *w = arg;
    bool down = true;

    for (int i = 1; i <= w->n; i++)
        down &= is_down(w, i);
    return down;
}

/* Random faults have ended for good: clean stops are clean, and what was known is known again. */
static void the_end(struct world *w)
{
    w->calm = true;
    sim_calm(w->s);
    heal(w);
    if (w->errors) /* a directory that failed stays failed */
        for (int i = 1; i <= w->n; i++) {
            crash(w, i, SIM_PROCESS);
            start(w, i);
        }
    liveness(w);
    for (int i = 1; i <= w->n; i++)
        stop(w, i);
    JUDGE(sim_run(w->s, all_down, w, STOP_NS) || all_down(w), "not everybody stops");
    for (int i = 1; i <= w->n; i++)
        JUDGE(w->nodes[i]->why == E_OK, "node %d: its stop says %s", i, w->nodes[i]->text);
    heal(w);
    liveness(w);
}

/* ---- the world ---- */

static void tell(const struct world *w)
{
    const struct cclients_tally *t = cclients_tally(w->clients);
    const struct cbook_seen *seen = cbook_seen(w->book);
    const struct truth *truth = cbook_truth(w->book);
    uint64_t fencings = 0, registrations = 0;

    for (int i = 1; i <= w->n; i++) {
        fencings += truth->brokers[i].fencings;
        registrations += truth->brokers[i].registrations;
    }
    tally_add(TALLY_cluster_seeds, 1);
    tally_add(TALLY_cluster_virtual_seconds, (uint64_t)(sim_now(w->s) / MS / 1000));
    tally_add(TALLY_cluster_elections, (uint64_t)seen->elections);
    tally_add(TALLY_cluster_images, (uint64_t)seen->images);
    tally_add(TALLY_cluster_snapshots_written, (uint64_t)seen->snapshots);
    tally_add(TALLY_cluster_truncations, (uint64_t)seen->truncations);
    tally_add(TALLY_cluster_deaths_told, (uint64_t)seen->dead);
    tally_add(TALLY_cluster_registrations, registrations);
    tally_add(TALLY_cluster_fencings, fencings);
    tally_add(TALLY_cluster_questions, t->asked);
    tally_add(TALLY_cluster_questions_unanswered, t->unanswered);
    tally_add(TALLY_cluster_questions_too_late, t->late);
    tally_add(TALLY_cluster_questions_refused, t->refused);
    tally_add(TALLY_cluster_done_twice, t->twice);
    tally_add(TALLY_cluster_topics_made, t->made);
    tally_add(TALLY_cluster_topics_deleted, t->deleted);
    tally_add(TALLY_cluster_topics_grown, t->grown);
    tally_add(TALLY_cluster_settings_changed, t->settings);
    tally_add(TALLY_cluster_settings_described, t->described);
    tally_add(TALLY_cluster_metadata_judged, t->metadata);
    tally_add(TALLY_cluster_metadata_stale, t->stale);
    tally_add(TALLY_cluster_made_stays_made, t->made_checks);
    tally_add(TALLY_cluster_gone_stays_gone, t->gone_checks);
}

/* All nodes have the same settings but for who they are: whole.c. */
static void nodes_make(struct world *w)
{
    char text[SETS][WORDS];
    const char *sets[SETS];
    struct sim *s = w->s;
    int64_t session = 3000 + (int64_t)sim_below(s, 6000);
    int n = 0;

    snprintf(text[n++], WORDS, "metadata.log.dir=/" QUORUM_DIR);
    snprintf(text[n], WORDS, "controller.quorum.voters=");
    for (int i = 1; i <= w->n; i++)
        snprintf(text[n] + strlen(text[n]), WORDS - strlen(text[n]), "%s%d@10.0.0.%d:9093", i > 1 ? "," : "",
                 i, i);
    n++;
    snprintf(text[n++], WORDS, "quorum.election.ms=%lld", 200 + (long long)sim_below(s, 800));
    snprintf(text[n++], WORDS, "broker.session.timeout.ms=%lld", (long long)session);
    snprintf(text[n++], WORDS, "broker.heartbeat.interval.ms=%lld", (long long)session / 5);
    snprintf(text[n++], WORDS, "metadata.log.max.record.bytes.between.snapshots=%lld",
             1000 + (long long)sim_below(s, 40000));
    snprintf(text[n++], WORDS, "metadata.log.max.snapshot.interval.ms=%lld",
             sim_below(s, 2) ? 500 + (long long)sim_below(s, 10000) : 0);
    snprintf(text[n++], WORDS, "metadata.log.segment.ms=%lld", 1000 + (long long)sim_below(s, 20000));
    snprintf(text[n++], WORDS, "metadata.max.retention.bytes=%lld",
             sim_below(s, 2) ? (long long)sim_below(s, 20000) : -1);
    for (int i = 0; i < n; i++)
        sets[i] = text[i];
    for (int i = 1; i <= w->n; i++) {
        w->nodes[i] = whole_new(s, i, 1, sets, n);
        whole_dir(w->nodes[i], "/" QUORUM_DIR, 0x80);
    }
}

void scenario_cluster(struct sim *s)
{
    struct world w = {.s = s, .n = sim_below(s, 4) ? 3 : 5};

    w.errors = sim_below(s, 4) == 0;
    if (!w.errors)
        sim_disk_errors(s, 0);
    w.book = cbook_new(s, w.n);
    sim_ear_set(s, cbook_line, w.book);
    nodes_make(&w);
    w.clients = cclients_new(s, CLIENTS, w.n, w.book);
    cclients_start(w.clients);
    for (int i = 1; i <= w.n; i++)
        start(&w, i);
    for (int act = 0; act < ACTS; act++) {
        safety(&w);
        heal(&w);
        liveness(&w);
    }
    the_end(&w);
    tell(&w);
    cclients_drop(w.clients);
    for (int i = 1; i <= w.n; i++)
        whole_drop(w.nodes[i]);
    cbook_drop(w.book);
}
