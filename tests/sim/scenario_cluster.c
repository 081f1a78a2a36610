/* Whole nodes with a static quorum of three or five, brokers among the voters, apart from them, or both, and clients who
 * administrate by asking any of them; while processes and powers fail, nodes pause, stop in order and come again, brokers
 * come with an empty disk, links are cut both ways and one way, slow and reset, disks are slow, stall, fill and fail, and
 * clocks jump.
 * Judges: cluster_book.h holds what nodes say against all disks, cluster_truth.h what has committed against itself,
 * cluster_client.h what clients are told against that. Each act ends with everything healed: then within a bound all
 * brokers are unfenced, all images equal, and every broker does what it is asked; when random faults have ended for good,
 * every node takes part in the quorum, too, and a broker that is killed then is known dead within some hundred ms. */
#include "cluster_world.h"
#include "scenario.h"
#include "tally.h"
#include <stdio.h>

enum { ACTS = 2, GOAL = 2 };
static const int64_t MS = 1000000, ACT_NS = 18000000000, LAST_ACT_NS = 50000000000, ROUND_NS = 2000000000,
                     LIVENESS_NS = 90000000000, STOP_NS = 90000000000, REVIVE_NS = 3000000000,
                     SEED_NS = 60000000000, SETTLE_NS = 3000000000, KILLED_NS = 400000000,
                     KILLED_LEADER_NS = 800000000;

static void safety(struct world *w, int64_t least)
{
    int64_t end = sim_now(w->s) + ACT_NS;

    end = end > least ? end : least;
    while (sim_now(w->s) < end) {
        cworld_calm_some(w);
        (void)sim_run(w->s, NULL, NULL, (int64_t)sim_below(w->s, (uint64_t)ROUND_NS));
        cworld_chaos(w);
    }
}

/* ---- progress ---- */

/* A directory that failed stays failed until the end, when its node starts anew. */
static bool records_count(const struct world *w)
{
    return w->records && (w->calm || !w->errors);
}

/* Whose disk has failed takes part again when it does: its rests are 30 s long at most. While random faults go on it may fail
 * each time. */
static bool rests_count(const struct world *w, int i)
{
    return w->calm && cbook_rests(w->book, i);
}

static bool all_well(void *arg)
{
    struct world *w = arg;

    if (!cclients_reached(w->clients) || (records_count(w) && !clients_reached(w->records)) ||
        !cbook_agree(w->book) || !truth_unfenced(cbook_truth(w->book), w->brokers) ||
        sim_now(w->s) < w->settled_ns)
        return false;
    for (int i = 1; i <= w->n; i++)
        if (!w->nodes[i]->ready || rests_count(w, i))
            return false;
    return true;
}

static void say(struct world *w)
{
    const struct truth *t = cbook_truth(w->book);

    cclients_say(w->clients);
    if (w->records)
        clients_say(w->records);
    for (int i = 1; i <= w->n; i++)
        fprintf(stderr, "node %d: %s%s%s, image %lld of %lld, broker %s\n", i,
                w->nodes[i]->io ? "up" : "down", w->nodes[i]->ready ? ", ready" : "",
                cbook_rests(w->book, i) ? ", rests" : "", (long long)cbook_image(w->book, i),
                (long long)t->offset,
                !(w->brokers >> i & 1)      ? "is none"
                : !t->brokers[i].registered ? "unknown"
                : t->brokers[i].fenced      ? "fenced"
                                            : "unfenced");
    JUDGE(false, "%d nodes healed, and within %lld s all isn't well", w->n,
          (long long)(LIVENESS_NS / 1000 / MS));
}

/* While random faults go on, who they ended is started again. */
static void liveness(struct world *w)
{
    int64_t began = sim_now(w->s), end = began + LIVENESS_NS;

    cclients_goal(w->clients);
    if (records_count(w))
        clients_goal(w->records, GOAL);
    while (!sim_run(w->s, all_well, w, REVIVE_NS)) {
        if (sim_now(w->s) > end)
            say(w);
        for (int i = 1; i <= w->n && !w->calm; i++)
            cworld_start(w, i);
    }
    cbook_judge_kept(w->book);
    tally_add(TALLY_cluster_seconds_to_heal, (uint64_t)((sim_now(w->s) - began) / MS / 1000));
    cclients_rest(w->clients);
    if (w->records)
        clients_rest(w->records);
}

/* ---- a broker's process is killed ---- */

struct kill {
    struct world *w;
    int i;
    int64_t offset; /* its end as everybody should know it; -1: nobody does */
};

/* Every other broker's image says so. */
static bool everybody_knows(void *arg)
{
    struct kill *k = arg;
    const struct truth *t = cbook_truth(k->w->book);
    const struct truth_broker *b = &t->brokers[k->i];

    if (k->offset < 0 && (!b->registered || b->fenced))
        k->offset = t->offset;
    if (k->offset < 0)
        return false;
    for (int i = 1; i <= k->w->n; i++)
        if (i != k->i && k->w->brokers >> i & 1 && cbook_image(k->w->book, i) < k->offset)
            return false;
    return true;
}

/* Nothing else is broken: its end is known by evidence, long before its session is over (3 s and more). This world's disks
 * and links may each take some milliseconds; where it led the quorum, a new leader comes first. Halves of connections
 * that others have of a machine which once lost its power don't count.
 *
 * That it is fenced has to commit, so the bounds hold only if all other voters can answer in that time. The end of random
 * faults alone doesn't say so. A voter whose disk was full rests for up to 30 s; with two of three left, one of them at rest,
 * there is no majority before its rest is over (tests/unit/broker/test_life_rests.c). And a segment that was lost before
 * comes up to 2 s later, with all behind it. Hence all_well() and calm(). */
static void kill_one(struct world *w)
{
    struct kill k = {.w = w, .i = 1 + (int)sim_below(w->s, (uint64_t)w->n), .offset = -1};
    int64_t began = sim_now(w->s);
    bool led = cbook_leader(w->book) == k.i;
    int64_t bound = led ? KILLED_LEADER_NS : KILLED_NS;

    if (!(w->brokers >> k.i & 1))
        return;
    cworld_crash(w, k.i, SIM_PROCESS);
    JUDGE(sim_run(w->s, everybody_knows, &k, bound), "%d brokers don't know that node %d%s is dead",
          __builtin_popcount(w->brokers), k.i, led ? ", which led," : "");
    tally_add(TALLY_cluster_kills_known, 1);
    tally_add(TALLY_cluster_kills_known_in_ms, (uint64_t)((sim_now(w->s) - began) / MS));
    cworld_start(w, k.i);
}

static bool all_down(void *arg)
{
    struct world *w = arg;
    bool down = true;

    for (int i = 1; i <= w->n; i++)
        down &= cworld_down(w, i);
    return down;
}

/* Random faults have ended for good. What they have delayed comes first; then connections that they have ended are there
 * again: who dials rests for 2 s at most (broker/link/presence.h), and a kernel asks again after 1 s. */
static void calm(struct world *w)
{
    w->calm = true;
    sim_calm(w->s);
    cworld_heal(w);
    w->settled_ns = sim_delayed_until(w->s) + SETTLE_NS;
}

/* Clean stops are clean, and what was known is known again. */
static void the_end(struct world *w)
{
    calm(w);
    if (w->errors) /* a directory that failed stays failed */
        for (int i = 1; i <= w->n; i++) {
            cworld_crash(w, i, SIM_PROCESS);
            cworld_start(w, i);
        }
    liveness(w);
    kill_one(w);
    for (int i = 1; i <= w->n; i++)
        cworld_stop(w, i);
    JUDGE(sim_run(w->s, all_down, w, STOP_NS) || all_down(w), "not everybody stops");
    for (int i = 1; i <= w->n; i++)
        JUDGE(w->nodes[i]->why == E_OK, "node %d: its stop says %s", i, w->nodes[i]->text);
    cworld_heal(w);
    liveness(w);
}

/* ---- the world ---- */

static void tell(const struct world *w)
{
    const struct cclients_tally *t = cclients_tally(w->clients);
    const struct cbook_seen *seen = cbook_seen(w->book);
    const struct truth *truth = cbook_truth(w->book);
    const struct cwire_seen *wire = cwire_seen(w->wire);

    for (int i = 1; i <= w->n; i++) {
        const struct truth_broker *b = &truth->brokers[i];

        tally_add(TALLY_cluster_registrations, b->registrations);
        tally_add(TALLY_cluster_fencings, b->fencings);
        tally_add(TALLY_cluster_unfencings, b->unfencings);
        tally_add(TALLY_cluster_controlled_shutdowns, b->leavings);
    }
    tally_add(TALLY_cluster_seeds, 1);
    if (w->records) {
        tally_add(TALLY_cluster_seeds_with_records, 1);
        tally_add(TALLY_cluster_batches_answered, clients_tally(w->records)->answered);
        tally_add(TALLY_cluster_batches_refused, clients_tally(w->records)->refused);
        tally_add(TALLY_cluster_records_read, clients_tally(w->records)->records);
    }
    tally_add(TALLY_cluster_virtual_seconds, (uint64_t)(sim_now(w->s) / MS / 1000));
    tally_add(TALLY_cluster_elections, (uint64_t)seen->elections);
    tally_add(TALLY_cluster_images, (uint64_t)seen->images);
    tally_add(TALLY_cluster_snapshots_written, (uint64_t)seen->snapshots);
    tally_add(TALLY_cluster_truncations, (uint64_t)seen->truncations);
    tally_add(TALLY_cluster_deaths_told, (uint64_t)seen->dead);
    tally_add(TALLY_cluster_disks_failed_alone, (uint64_t)seen->rests);
    tally_add(TALLY_cluster_snapshots_fetched, (uint64_t)seen->installs);
    tally_add(TALLY_cluster_snapshots_fetched_outside, (uint64_t)seen->copies);
    tally_add(TALLY_cluster_forwarded, wire->forwarded);
    tally_add(TALLY_cluster_forwarded_again, wire->resent);
    tally_add(TALLY_cluster_heartbeats, wire->heartbeats);
    tally_add(TALLY_cluster_fenced_by_evidence, wire->fenced_by_evidence);
    tally_add(TALLY_cluster_fenced_by_session, wire->fenced_by_session);
    tally_add(TALLY_cluster_questions, t->asked);
    tally_add(TALLY_cluster_questions_unanswered, t->unanswered);
    tally_add(TALLY_cluster_questions_too_late, t->late);
    tally_add(TALLY_cluster_questions_refused, t->refused);
    tally_add(TALLY_cluster_topics_made, t->made);
    tally_add(TALLY_cluster_topics_deleted, t->deleted);
    tally_add(TALLY_cluster_topics_grown, t->grown);
    tally_add(TALLY_cluster_settings_changed, t->settings);
    tally_add(TALLY_cluster_settings_described, t->described);
    tally_add(TALLY_cluster_leaders_elected, t->elections);
    tally_add(TALLY_cluster_reassignments, t->moves);
    tally_add(TALLY_cluster_feature_levels, t->levels);
    tally_add(TALLY_cluster_brokers_unregistered, t->removals);
    tally_add(TALLY_cluster_isrs_told, t->isrs);
    tally_add(TALLY_cluster_stale_heartbeats, t->stale_beats);
    tally_add(TALLY_cluster_not_the_controller, t->not_controller);
    tally_add(TALLY_cluster_metadata_judged, t->metadata);
    tally_add(TALLY_cluster_metadata_stale, t->stale);
    tally_add(TALLY_cluster_changes_to_be_shown, t->shown);
    tally_add(TALLY_cluster_made_stays_made, t->made_checks);
    tally_add(TALLY_cluster_gone_stays_gone, t->gone_checks);
}

static void hear(void *world, int node, struct slice line)
{
    struct world *w = world;

    cbook_line(w->book, node, line);
    cwire_line(w->wire, node, line);
}

void scenario_cluster(struct sim *s)
{
    struct world w = {.s = s};

    w.errors = sim_below(s, 4) == 0;
    if (!w.errors)
        sim_disk_errors(s, 0);
    cworld_shape(&w);
    w.book = cbook_new(s, w.voters, w.n);
    w.wire = cwire_new(s, CLIENTS, w.session_ms, cbook_truth(w.book));
    sim_ear_set(s, hear, &w);
    sim_tap_set(s, cwire_tap, w.wire);
    w.clients = cclients_new(s, CLIENTS, w.voters, w.brokers, w.book);
    cclients_start(w.clients);
    cworld_records(&w);
    for (int i = 1; i <= w.n; i++)
        cworld_start(&w, i);
    for (int act = 1; act <= ACTS; act++) {
        safety(&w, act == ACTS ? LAST_ACT_NS : 0);
        cworld_heal(&w);
        liveness(&w);
    }
    the_end(&w);
    (void)sim_run(s, NULL, NULL, sim_now(s) < SEED_NS ? SEED_NS - sim_now(s) : 0);
    tell(&w);
    cclients_drop(w.clients);
    if (w.records)
        clients_drop(w.records);
    for (int i = 1; i <= w.n; i++)
        whole_drop(w.nodes[i]);
    cwire_drop(w.wire);
    cbook_drop(w.book);
}
