#include "base/trace.h"
#include "cluster_world.h"
#include "faults.h"
#include "quorum_disk.h"
#include "scenario.h"
#include "tally.h"

static const int64_t ROLL_NS = 20000000000;

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

void cworld_crash(struct world *w, int i, enum sim_crash how)
{
    bool torn;

    if (!w->nodes[i]->io)
        return;
    if (!sim_up(w->s, i)) /* what it was armed with was faster */
        how = sim_crashed(w->s, i);
    else
        tally_add(how == SIM_POWER ? TALLY_cluster_crashes_of_power : TALLY_cluster_crashes_of_process, 1);
    sim_note(w->s, "node %d: crash of the %s", i, how == SIM_POWER ? "power" : "process");
    whole_crash(w->nodes[i], how);
    torn = cbook_judge_disk(w->book, i);
    cworld_records_judge(w, i, how == SIM_POWER);
    tally_add(TALLY_cluster_torn_writes, torn && how == SIM_POWER);
}

/* Whether it is down, by itself or by what it was armed with; judged then. */
bool cworld_down(struct world *w, int i)
{
    struct whole *n = w->nodes[i];

    if (!n->io)
        return true;
    if (!sim_up(w->s, i)) {
        tally_add(TALLY_cluster_crashes_in_a_file_call, 1);
        cworld_crash(w, i, SIM_PROCESS);
        return true;
    }
    if (sim_paused(w->s, i) || !whole_over(n))
        return false;
    tally_add(n->why ? TALLY_cluster_gave_up : TALLY_cluster_clean_stops, 1);
    sim_note(w->s, "node %d is down: %s", i, n->text);
    (void)cbook_judge_disk(w->book, i);
    cworld_records_judge(w, i, false);
    return true;
}

void cworld_stop(struct world *w, int i)
{
    if (cworld_down(w, i) || w->stopping[i])
        return;
    w->stopping[i] = true;
    cwire_ending(w->wire, i);
    whole_stop(w->nodes[i]);
}

static void power_or_process(struct world *w, int i)
{
    cworld_crash(w, i, !w->errors && sim_below(w->s, 3) ? SIM_POWER : SIM_PROCESS);
}

void cworld_start(struct world *w, int i)
{
    struct whole *n = w->nodes[i];

    if (!cworld_down(w, i))
        return;
    w->stopping[i] = false;
    cbook_life(w->book, i);
    cwire_life(w->wire, i);
    whole_start(n);
    for (int k = 0; k < trace_logger_count(); k++)
        if (strcmp(trace_logger_name(k), "metadata") == 0)
            trace_logger_set(io_trace(n->io), k, TRACE_TRACE);
    cworld_records_clock(w, i);
}

/* ---- faults ---- */

static void arm(struct world *w, int i)
{
    static const enum sim_fault with[] = {SIM_CRASH_PROCESS, SIM_EIO, SIM_FULL};
    static const enum sim_fault without[] = {SIM_CRASH_PROCESS, SIM_CRASH_POWER, SIM_CRASH_POWER};
    enum sim_fault fault = (w->errors ? with : without)[sim_below(w->s, 3)];

    sim_fail_at(w->s, i, 1 + (int64_t)sim_below(w->s, sim_below(w->s, 2) ? 10 : 200), fault);
}

static void pause(struct world *w, int i)
{
    if (cworld_down(w, i) || w->nodes[i]->stopped)
        return;
    tally_add(TALLY_cluster_pauses, 1);
    sim_pause(w->s, i, true);
}

static void wall_jump(struct world *w, int i)
{
    if (cworld_down(w, i))
        return;
    tally_add(TALLY_cluster_wall_jumps, 1);
    fault_wall_jump(w->s, i);
    cworld_records_clock(w, i);
}

/* A broker outside comes with an empty disk: with no voter, for what has committed may rest on that. */
static void disk_lost(struct world *w)
{
    int i = w->voters + 1 + (int)sim_below(w->s, (uint64_t)NODES_MAX);

    if (i > w->n || (w->records && i == w->keeper))
        return;
    cworld_crash(w, i, w->errors ? SIM_PROCESS : SIM_POWER);
    if (!cworld_down(w, i))
        return;
    tally_add(TALLY_cluster_empty_disks, 1);
    sim_note(w->s, "node %d: its disk is empty", i);
    whole_new_disk(w->nodes[i]);
    whole_dir(w->nodes[i], "/" QUORUM_DIR, 0x80);
    cbook_new_disk(w->book, i);
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
    return cworld_down(x->w, x->i);
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

        cworld_stop(w, i);
        (void)sim_run(w->s, one_down, &x, (int64_t)sim_below(w->s, (uint64_t)ROLL_NS));
        cworld_start(w, i);
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
        sim_reset(w->s, i, sim_below(w->s, 2) ? CLIENTS : RECORDS);
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

void cworld_chaos(struct world *w)
{
    int i = victim(w);

    switch (sim_below(w->s, 21)) {
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
        cworld_stop(w, i);
        break;
    case 19:
        disk_lost(w);
        break;
    default:
        if (sim_below(w->s, 2))
            roll(w);
        else
            all_crash(w);
    }
}

/* ---- healing ---- */

void cworld_calm_some(struct world *w)
{
    if (sim_below(w->s, 2))
        sim_heal(w->s);
    for (int i = 1; i <= w->n; i++) {
        if (sim_below(w->s, 2))
            fault_over(w->s, i);
        if (sim_below(w->s, 3) > 0)
            cworld_start(w, i);
    }
}

void cworld_heal(struct world *w)
{
    sim_heal(w->s);
    for (int i = 1; i <= w->n; i++) {
        fault_over(w->s, i);
        if (!cworld_down(w, i) && w->stopping[i])
            cworld_crash(w, i, SIM_PROCESS);
        cworld_start(w, i);
    }
    if (w->records) { /* a clock that lies far behind refuses what comes from its future */
        sim_wall_jump(w->s, w->keeper, sim_wall_ms(w->s, RECORDS) - sim_wall_ms(w->s, w->keeper));
        cworld_records_clock(w, w->keeper);
    }
}
