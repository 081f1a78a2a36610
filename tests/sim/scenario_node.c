/* One node, whole, and its clients, while processes crash, powers fail, disks stall, fill and fail, connections break.
 * Judges: client_*.c hold what clients are told against the books, here the books against the disk after each crash. In the
 * end all must be well again within a bound, a stop be clean, and everything that was promised be read once more. */
#include "client_node.h"
#include "scenario.h"
#include "tally.h"
#include "whole.h"
#include <stdio.h>

enum { NODE = 1, CLIENTS = 9, ROUNDS = 16, GOAL = 6, WALL_MS_MAX = 11 * 3600000 };
static const int64_t ROUND_NS = 2500000000, LIVENESS_NS = 300000000000, STOP_NS = 60000000000;

struct world {
    struct sim *s;
    struct whole *node;
    struct clients *clients;
    bool
        errors; /* disks fail, and then the power doesn't: what a sync had failed on may be in the page cache for
                  * ever, where a new process finds it and can't tell */
};

/* ---- the end of a life ---- */

static void disks_judge(struct world *w, bool power)
{
    struct book *books;
    int n = clients_books(w->clients, &books);

    for (int i = 0; i < n; i++) {
        bool torn;
        (void)book_judge_disk(&books[i], w->s, NODE, w->node->n_dirs, power, &torn);
        tally_add(TALLY_node_torn_tails, torn);
    }
}

static void crash(struct world *w, enum sim_crash how)
{
    if (!w->node->io)
        return;
    whole_crash(w->node, how);
    tally_add(how == SIM_POWER ? TALLY_node_crashes_of_power : TALLY_node_crashes_of_process, 1);
    disks_judge(w, how == SIM_POWER);
}

/* Whether the node is down, by itself or by what it was armed with; judged then. */
static bool is_down(struct world *w)
{
    if (!w->node->io)
        return true;
    if (!sim_up(w->s, NODE)) {
        tally_add(TALLY_node_crashes_in_a_file_call, 1);
        crash(w, sim_crashed(w->s, NODE));
        return true;
    }
    if (!whole_over(w->node))
        return false;
    tally_add(w->node->why ? TALLY_node_gave_up : TALLY_node_clean_stops, 1);
    disks_judge(w, false);
    return true;
}

static bool is_over(void *arg)
{
    return is_down(arg);
}

/* ---- faults ---- */

static void arm(struct world *w)
{
    static const enum sim_fault with[] = {SIM_CRASH_PROCESS, SIM_EIO,
                                          SIM_FULL}; /* of a sync, both are errors */
    static const enum sim_fault without[] = {SIM_CRASH_PROCESS, SIM_CRASH_POWER, SIM_CRASH_POWER};
    enum sim_fault fault = (w->errors ? with : without)[sim_below(w->s, 3)];

    sim_fail_at(w->s, NODE, 1 + (int64_t)sim_below(w->s, sim_below(w->s, 2) ? 10 : 300), fault);
}

static void disk_fill(struct world *w)
{
    int64_t used = 0;

    tally_add(TALLY_node_full_disks, 1);
    used = sim_disk_used(w->s, NODE);
    sim_disk_limit(w->s, NODE, used + (int64_t)sim_below(w->s, 100000));
}

static void network_fault(struct world *w)
{
    if (sim_below(w->s, 2)) {
        tally_add(TALLY_node_resets, 1);
        sim_reset(w->s, CLIENTS, NODE);
    } else {
        tally_add(TALLY_node_partitions, 1);
        sim_partition(w->s, CLIENTS, NODE, sim_below(w->s, 2));
        sim_partition(w->s, NODE, CLIENTS, sim_below(w->s, 2));
    }
}

/* The node's wall clock is `ahead_ms` before that of its clients from now on. */
static void wall_set(struct world *w, int64_t ahead_ms)
{
    if (!sim_up(w->s, NODE))
        return;
    sim_wall_jump(w->s, NODE, sim_wall_ms(w->s, CLIENTS) + ahead_ms - sim_wall_ms(w->s, NODE));
    clients_clock(w->clients, ahead_ms);
}

/* Far, but not so far that retention or the expiry of producers may take anything. */
static void wall_jump(struct world *w)
{
    tally_add(TALLY_node_wall_jumps, 1);
    wall_set(w, (int64_t)sim_below(w->s, 2 * WALL_MS_MAX) - WALL_MS_MAX);
}

static void start(struct world *w)
{
    whole_start(w->node);
    clients_clock(w->clients, sim_wall_ms(w->s, NODE) - sim_wall_ms(w->s, CLIENTS));
}

static void chaos(struct world *w)
{
    switch (sim_below(w->s, 12)) {
    case 0:
    case 1:
        crash(w, SIM_PROCESS);
        break;
    case 2:
    case 3:
        crash(w, w->errors ? SIM_PROCESS : SIM_POWER);
        break;
    case 4:
    case 5:
        arm(w);
        break;
    case 6:
        network_fault(w);
        break;
    case 7:
        tally_add(TALLY_node_stalls, 1);
        sim_disk_stall(w->s, NODE, sim_now(w->s) + (int64_t)sim_below(w->s, 2000000000));
        break;
    case 8:
        disk_fill(w);
        break;
    case 9:
    case 10:
        wall_jump(w);
        break;
    default:
        if (w->node->io)
            whole_stop(w->node);
        (void)sim_run(w->s, is_over, w, (int64_t)sim_below(w->s, (uint64_t)STOP_NS));
    }
}

static void calm_some(struct world *w)
{
    if (sim_below(w->s, 2))
        sim_heal(w->s);
    if (sim_below(w->s, 2))
        sim_disk_limit(w->s, NODE, -1);
    if (sim_below(w->s, 2))
        wall_set(w, 0);
}

/* ---- progress ---- */

static bool reached(void *arg)
{
    struct world *w = arg;

    return clients_reached(w->clients);
}

static void liveness(struct world *w, int goal)
{
    clients_goal(w->clients, goal);
    if (sim_run(w->s, reached, w, LIVENESS_NS))
        return;
    clients_say(w->clients);
    JUDGE(false, "no progress; the node is %s%s", w->node->ready ? "ready" : "not ready", w->node->text);
}

static void all_well(struct world *w)
{
    sim_calm(w->s);
    sim_heal(w->s);
    sim_disk_limit(w->s, NODE, -1);
    sim_fail_at(w->s, NODE, 0, SIM_EIO);
    if (!is_down(w))
        crash(w, SIM_PROCESS); /* a directory that failed stays failed */
    start(w);
    liveness(w, GOAL);
    JUDGE(w->node->ready, "not ready: %s", w->node->text);
    whole_stop(w->node);
    JUDGE(sim_run(w->s, is_over, w, STOP_NS), "the node doesn't stop");
    JUDGE(w->node->why == E_OK, "the stop says %s", w->node->text);
    start(w);
    liveness(w, 1);
    crash(w, SIM_PROCESS);
}

static void tell(const struct clients_tally *t)
{
    tally_add(TALLY_node_seeds, 1);
    tally_add(TALLY_node_batches_too_early, t->too_early);
    tally_add(TALLY_node_batches_answered, t->answered);
    tally_add(TALLY_node_batches_unanswered, t->silent);
    tally_add(TALLY_node_batches_retried, t->retried);
    tally_add(TALLY_node_batches_refused, t->refused);
    tally_add(TALLY_node_new_producer_ids, t->new_ids);
    tally_add(TALLY_node_fetches, t->fetched);
    tally_add(TALLY_node_fetches_waited, t->waited);
    tally_add(TALLY_node_records_read, t->records);
    tally_add(TALLY_node_sessions, t->sessions);
    tally_add(TALLY_node_out_of_range, t->out_of_range);
    tally_add(TALLY_node_topics_made, t->topics_made);
    tally_add(TALLY_node_topics_deleted, t->topics_gone);
    tally_add(TALLY_node_settings_changed, t->settings);
    tally_add(TALLY_node_io_threads_changed, t->threads);
    tally_add(TALLY_node_records_deleted, t->deleted);
    tally_add(TALLY_node_offsets_listed, t->offsets);
    tally_add(TALLY_node_times_found, t->times);
}

static void clients_make(struct world *w)
{
    struct clients *c = w->clients = clients_new(w->s, CLIENTS, NODE);

    clients_topic(c, "durable", 2, "log.durable=true,segment.ms=900");
    clients_topic(c, "plain", 2, "segment.ms=1500,message.timestamp.type=LogAppendTime");
    clients_topic(c, "turns", 1, "");
    clients_topic(c, "short", 1, "segment.ms=300,retention.bytes=100000,file.delete.delay.ms=500");
    clients_book(c, "short", 0)->trimmed = true;
    clients_maker(c, clients_book(c, "durable", 0), -1, true);
    clients_maker(c, clients_book(c, "durable", 1), 1, false);
    clients_maker(c, clients_book(c, "plain", 0), -1, true);
    clients_maker(c, clients_book(c, "plain", 1), 1, false);
    clients_maker(c, clients_book(c, "plain", 1), 0, false);
    clients_maker(c, clients_book(c, "turns", 0), -1, false);
    clients_maker(c, clients_book(c, "short", 0), -1, false);
    clients_reader(c, "durable");
    clients_reader(c, "durable");
    clients_reader(c, "plain");
    clients_reader(c, "turns");
    clients_reader(c, "short");
    clients_admin(c);
    clients_start(c);
}

void scenario_node(struct sim *s)
{
    static const char *const sets[] = {"log.flush.offset.checkpoint.interval.ms=700",
                                       "log.retention.check.interval.ms=1000", "log.cleaner.enable=true"};
    struct world w = {.s = s};

    w.node = whole_new(s, NODE, 1 + (int)sim_below(s, 2), sets, 3);
    w.errors = sim_below(s, 3) == 0;
    if (!w.errors)
        sim_disk_errors(s, 0);
    clients_make(&w);
    for (int round = 0; round < ROUNDS; round++) {
        if (is_down(&w) && (round == 0 || sim_below(s, 4) > 0))
            start(&w);
        (void)sim_run(s, NULL, NULL, (int64_t)sim_below(s, (uint64_t)ROUND_NS));
        (void)is_down(&w);
        calm_some(&w);
        chaos(&w);
    }
    all_well(&w);
    tell(clients_tally(w.clients));
    clients_drop(w.clients);
    whole_drop(w.node);
}
