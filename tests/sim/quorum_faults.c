#include "quorum_faults.h"
#include "base/check.h"
#include "faults.h"
#include "tally.h"

static const int64_t MS = 1000000, HUNT_NS = 3000000000;

static int n_of(const struct qworld *w)
{
    return w->cluster.n;
}

static int any(struct qworld *w)
{
    return 1 + (int)sim_below(w->s, (uint64_t)n_of(w));
}

/* Often the leader. */
static int victim(struct qworld *w)
{
    if (sim_below(w->s, 2))
        for (int i = 1; i <= n_of(w); i++)
            if (w->nodes[i].io && sim_up(w->s, i) && w->nodes[i].leads)
                return i;
    return any(w);
}

/* ---- lives ---- */

void qfault_crash(struct qworld *w, int i, enum sim_crash how)
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
bool qfault_is_down(struct qworld *w, int i)
{
    struct qnode *n = &w->nodes[i];

    if (!n->io)
        return true;
    if (!sim_up(w->s, i)) {
        tally_add(TALLY_quorum_crashes_in_a_file_call, 1);
        qfault_crash(w, i, sim_crashed(w->s, i));
        return true;
    }
    if (!qnode_over(n))
        return false;
    tally_add(TALLY_quorum_clean_stops, 1);
    (void)qbook_judge_disk(w->cluster.book, i);
    return true;
}

void qfault_stop(struct qworld *w, int i)
{
    if (!qfault_is_down(w, i) && !w->nodes[i].told_to_stop)
        qnode_stop(&w->nodes[i]);
}

void qfault_either(struct qworld *w, int i)
{
    qfault_crash(w, i, !w->errors && sim_below(w->s, 3) ? SIM_POWER : SIM_PROCESS);
}

void qfault_start(struct qworld *w, int i)
{
    if (qfault_is_down(w, i))
        qnode_start(&w->nodes[i]);
}

void qfault_new_disk(struct qworld *w, int i)
{
    struct quorum_settings *s = &w->nodes[i].settings;

    if (!qfault_is_down(w, i))
        qfault_crash(w, i, w->errors ? SIM_PROCESS : SIM_POWER);
    tally_add(TALLY_quorum_disks_lost, 1);
    sim_disk_new(w->s, i);
    ASSERT(sim_file_put(w->s, i, QUORUM_DIR "/here", "", 0) == E_OK);
    s->directory_id.b[2] = (uint8_t)++w->disks;
    s->joins = qvoters_version(qbook_voters(w->cluster.book)) > 0; /* fixed ones may have to begin together */
    qbook_disk(w->cluster.book, i, &s->directory_id, false);
}

bool qfault_all_follow(const struct qworld *w)
{
    const struct qnode *first = &w->nodes[1];

    for (int i = 1; i <= n_of(w); i++) {
        const struct qnode *n = &w->nodes[i];

        if (!n->io || !sim_up(w->s, i) || n->over || n->turning || n->failed || !n->committed ||
            n->leader < 1 || n->leader != first->leader || n->epoch != first->epoch ||
            n->leads != (n->leader == i))
            return false;
    }
    return true;
}

/* ---- faults ---- */

static void arm(struct qworld *w, int i)
{
    static const enum sim_fault with[] = {SIM_CRASH_PROCESS, SIM_EIO, SIM_FULL};
    static const enum sim_fault without[] = {SIM_CRASH_PROCESS, SIM_CRASH_POWER, SIM_CRASH_POWER};
    enum sim_fault fault = (w->errors ? with : without)[sim_below(w->s, 3)];

    sim_fail_at(w->s, i, 1 + (int64_t)sim_below(w->s, sim_below(w->s, 2) ? 10 : 200), fault);
}

static void cut(struct qworld *w, int i)
{
    tally_add(fault_cut(w->s, i, n_of(w)) ? TALLY_quorum_cuts : TALLY_quorum_cuts_one_way, 1);
}

static void link_slow(struct qworld *w, int i)
{
    tally_add(TALLY_quorum_slow_links, 1);
    fault_link_slow(w->s, i, n_of(w));
}

static void disk_slow(struct qworld *w, int i)
{
    tally_add(TALLY_quorum_slow_disks, 1);
    fault_disk_slow(w->s, i);
}

static void disk_stall(struct qworld *w, int i)
{
    tally_add(TALLY_quorum_stalls, 1);
    if (sim_below(w->s, 2)) /* as long as a leader doesn't wait for it */
        sim_disk_stall(w->s, i, sim_now(w->s) + (int64_t)(2000 + sim_below(w->s, 8000)) * MS);
    else
        fault_disk_stall(w->s, i);
}

static void disk_fill(struct qworld *w, int i)
{
    tally_add(TALLY_quorum_full_disks, 1);
    fault_disk_fill(w->s, i);
}

static void pause(struct qworld *w, int i)
{
    if (qfault_is_down(w, i) || w->nodes[i].over)
        return;
    tally_add(TALLY_quorum_pauses, 1);
    sim_pause(w->s, i, true);
}

static void wall_jump(struct qworld *w, int i)
{
    if (qfault_is_down(w, i))
        return;
    tally_add(TALLY_quorum_wall_jumps, 1);
    fault_wall_jump(w->s, i);
}

static void resets(struct qworld *w, int i)
{
    tally_add(TALLY_quorum_resets, 1);
    fault_resets(w->s, i, n_of(w));
}

static void all_crash(struct qworld *w)
{
    tally_add(TALLY_quorum_crashes_of_all, 1);
    for (int i = 1; i <= n_of(w); i++)
        qfault_either(w, i);
}

void qfault_any(struct qworld *w)
{
    int i = victim(w);

    switch (sim_below(w->s, 16)) {
    case 0:
    case 1:
    case 2:
        qfault_either(w, i);
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
            qfault_stop(w, i);
        else
            all_crash(w);
    }
}

/* ---- healing ---- */

void qfault_well(struct qworld *w, int i)
{
    fault_over(w->s, i);
}

void qfault_revive(struct qworld *w, int i)
{
    if (!qfault_is_down(w, i) && w->nodes[i].failed) {
        if (sim_below(w->s, 2))
            qfault_stop(w, i);
        else
            qfault_crash(w, i, SIM_PROCESS);
    }
    qfault_start(w, i);
}

void qfault_calm_some(struct qworld *w)
{
    if (sim_below(w->s, 2))
        sim_heal(w->s);
    for (int i = 1; i <= n_of(w); i++) {
        if (sim_below(w->s, 2))
            qfault_well(w, i);
        if (sim_below(w->s, 3) > 0)
            qfault_revive(w, i);
    }
}

void qfault_heal(struct qworld *w)
{
    sim_heal(w->s);
    for (int i = 1; i <= n_of(w); i++) {
        qfault_well(w, i);
        if (!qfault_is_down(w, i) && (w->nodes[i].told_to_stop || w->nodes[i].failed))
            qfault_crash(w, i, SIM_PROCESS);
        qfault_start(w, i);
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

void qfault_hunt(struct qworld *w)
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
        qfault_either(w, prey);
        break;
    case 1:
        disk_slow(w, prey);
        break;
    case 2:
        pause(w, prey);
        break;
    case 3:
        disk_stall(w, prey);
        break;
    default:
        cut(w, prey);
    }
}

int qfault_rises(struct qworld *w)
{
    const struct qwire_seen *seen = qwire_seen(qbook_wire(w->cluster.book));
    struct scent x = {seen, seen->led, INT64_MAX};

    return sim_run(w->s, somebody_rose, &x, HUNT_NS) ? seen->leader : 0;
}
