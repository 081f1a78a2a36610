/* One voter that is left becomes the whole quorum. */
#include "quorum/quorum_state.h"
#include "quorum/recover.h"
#include "tests/unit/quorum/voters_world.h"

#define LOG   VOTERS_DIR "/__cluster_metadata-0"
#define FIRST LOG "/00000000000000000000.log"

struct recovering {
    struct vnode *node;
    bool write;
    struct recovery r;
    enum err err;
};

static void recover_run(struct loop *loop, void *arg)
{
    struct recovering *x = arg;

    (void)loop;
    x->err = recover(x->node->io, &x->node->settings, x->write, &x->r);
}

/* As a process of its own does it; the power fails behind it. */
static struct recovering run(struct vworld *w, int i, bool write)
{
    struct recovering x = {.node = &w->nodes[i], .write = write};

    x.node->io = sim_node(w->sim, i);
    CHECK(sim_call(w->sim, x.node->io, LOOP_DISK, recover_run, &x));
    vworld_crash(w, i, SIM_POWER);
    return x;
}

static bool all_there(struct vworld *w, void *arg)
{
    const struct vnode *n = arg;
    struct image_topics it;
    int count = 0;

    (void)w;
    if (!n->committed)
        return false;
    for (it = image_topics_from(n->committed, SLICE_NULL); image_topics_next(&it);)
        count++;
    return count >= w->promised;
}

/* Three voters with 20 topics everywhere; 2 and 3 die, 1 is stopped. */
static void survivor(struct vworld *w, uint64_t seed)
{
    vworld_init(w, 3, seed);
    vworld_write(w, 20);
    for (int i = 1; i <= 3; i++)
        CHECK(vworld_until(w, all_there, &w->nodes[i]));
    vworld_crash(w, 2, SIM_POWER);
    vworld_crash(w, 3, SIM_POWER);
    vworld_stop(w, 1);
}

/* A look writes nothing; recovered, the survivor leads alone, in an epoch far beyond, with all that it had, also after the power
 * failed; it takes more, and another voter by a new disk. */
TEST(recover, one_goes_on_with_what_it_has)
{
    struct vworld w;
    struct recovering x;
    int32_t epoch;

    survivor(&w, 1);
    x = run(&w, 1, false);
    CHECK_OK(x.err);
    CHECK(x.r.votes && x.r.voters.n == 3 && x.r.committed == 0 && x.r.end > 20);
    epoch = x.r.epoch;
    x = run(&w, 1, true);
    CHECK_OK(x.err);
    CHECK(x.r.epoch >= epoch + RECOVER_EPOCHS);
    CHECK(sim_file_size(w.sim, 1, LOG "/quorum-state.before-recover") > 0);
    vworld_start(&w, 1);
    CHECK(vworld_leader(&w) == &w.nodes[1] && w.nodes[1].epoch > x.r.epoch);
    CHECK(all_there(&w, &w.nodes[1]));
    CHECK_EQ(vworld_voters(&w), 1 << 1);
    CHECK_EQ(quorum_view(w.nodes[1].quorum).kraft_version, 1);
    vworld_write(&w, 20);
    vworld_start(&w, 4);
    CHECK_OK(vworld_change(&w, QUORUM_ADD, 4, 1, NULL));
    vworld_agree(&w);
    CHECK_EQ(vworld_voters(&w), 1 << 1 | 1 << 4);
    vworld_restart_all(&w);
    vworld_agree(&w);
    vworld_drop(&w);
}

/* An old voter that comes back with its old disk changes nothing: the survivor leads on, in the same epoch, and takes more. A
 * second run finds nothing to recover. */
TEST(recover, an_old_disk_disturbs_nobody)
{
    struct vworld w;
    int32_t epoch;

    survivor(&w, 2);
    CHECK_OK(run(&w, 1, true).err);
    CHECK_EQ(run(&w, 1, true).err, E_INVALID_REQUEST);
    vworld_start(&w, 1);
    CHECK(vworld_leader(&w) == &w.nodes[1]);
    epoch = w.nodes[1].epoch;
    vworld_write(&w, 10);
    vworld_start(&w, 2);
    vworld_carry(&w, 10000000000);
    CHECK(w.nodes[1].leads && w.nodes[1].epoch == epoch && !w.nodes[2].leads && !w.nodes[2].changed_role);
    vworld_write(&w, 10);
    CHECK(w.nodes[1].epoch == epoch);
    vworld_crash(&w, 2, SIM_PROCESS);
    vworld_restart_all(&w);
    vworld_agree(&w);
    vworld_drop(&w);
}

/* Two old voters that come back have a majority of their own, under the old history. What they say isn't taken by the survivor:
 * nothing of its log is cut, and its epochs stay its own. */
TEST(recover, an_old_majority_is_not_heard)
{
    struct vworld w;
    int promised;

    survivor(&w, 3);
    CHECK_OK(run(&w, 1, true).err);
    vworld_start(&w, 1);
    CHECK(vworld_leader(&w) == &w.nodes[1]);
    vworld_write(&w, 10);
    promised = w.promised;
    vworld_start(&w, 2);
    vworld_start(&w, 3);
    vworld_carry(&w, 10000000000);
    CHECK(w.nodes[1].leads && (w.nodes[2].leads || w.nodes[3].leads));
    CHECK(all_there(&w, &w.nodes[1]) && w.promised == promised);
    CHECK(w.nodes[2].epoch < RECOVER_EPOCHS && w.nodes[1].epoch > RECOVER_EPOCHS);
    vworld_drop(&w);
}

/* A log with a byte that rotted isn't recovered, and nothing is written. */
TEST(recover, refuses_a_damaged_log)
{
    struct vworld w;
    struct recovering x;

    survivor(&w, 4);
    CHECK_OK(sim_file_flip(w.sim, 1, FIRST, sim_file_size(w.sim, 1, FIRST) / 2, 1));
    x = run(&w, 1, true);
    CHECK(x.err && x.r.what);
    CHECK_EQ(sim_file_size(w.sim, 1, LOG "/quorum-state.before-recover"), -1);
    vworld_drop(&w);
}

static void state_replace(struct loop *loop, void *arg)
{
    struct recovering *x = arg;
    struct quorum_state s;

    (void)loop;
    CHECK_OK(quorum_state_read(x->node->io, LOG, &s));
    s.leader_epoch = x->r.epoch;
    CHECK_OK(quorum_state_write(x->node->io, LOG, &s));
}

/* Epochs end at 2^31: near that a quorum isn't recovered, nor said to be recoverable, and nothing is written; up to the last epoch
 * that leaves some it is. */
TEST(recover, an_epoch_near_its_end_is_refused)
{
    static const int32_t over[] = {INT32_MAX, INT32_MAX - 1, RECOVER_EPOCH_MAX + 1};
    struct vworld w;
    struct recovering x;

    survivor(&w, 6);
    for (int i = 0; i <= 3; i++) {
        x = (struct recovering){.node = &w.nodes[1]};
        x.r.epoch = i < 3 ? over[i] : RECOVER_EPOCH_MAX;
        x.node->io = sim_node(w.sim, 1);
        CHECK(sim_call(w.sim, x.node->io, LOOP_DISK, state_replace, &x));
        vworld_crash(&w, 1, SIM_POWER);
        for (int write = 0; write < 2; write++) {
            x = run(&w, 1, write);
            CHECK_EQ(x.err, i < 3 ? E_UNKNOWN_LEADER_EPOCH : E_OK);
            CHECK(i == 3 || x.r.epoch == over[i]);
            CHECK_EQ(sim_file_size(w.sim, 1, LOG "/quorum-state.before-recover") > 0, i == 3 && write);
        }
    }
    CHECK_EQ(x.r.epoch, RECOVER_EPOCH_MAX + RECOVER_EPOCHS);
    vworld_start(&w, 1);
    CHECK(vworld_leader(&w) == &w.nodes[1]);
    vworld_write(&w, 5);
    vworld_drop(&w);
}

/* Where the power fails at any file call, the survivor is what it was or is recovered, and recovering goes on from there. */
TEST(recover, may_be_interrupted_anywhere)
{
    for (int at = 1;; at++) {
        struct vworld w;
        struct recovering x = {.write = true};
        bool whole;

        survivor(&w, 5);
        x.node = &w.nodes[1];
        x.node->io = sim_node(w.sim, 1);
        sim_fail_at(w.sim, 1, at, SIM_CRASH_POWER);
        whole = sim_call(w.sim, x.node->io, LOOP_DISK, recover_run, &x);
        vworld_crash(&w, 1, SIM_POWER);
        if (!whole) {
            x = run(&w, 1, true);
            CHECK(x.err == E_OK || x.err == E_INVALID_REQUEST);
        }
        vworld_start(&w, 1);
        CHECK(vworld_leader(&w) == &w.nodes[1]);
        CHECK(all_there(&w, &w.nodes[1]));
        vworld_drop(&w);
        if (whole)
            return;
    }
}
