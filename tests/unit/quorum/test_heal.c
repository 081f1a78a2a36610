/* Fixed voters: they begin a log together, their directories are noted, and one that comes with an empty disk is replaced, while
 * it never has a word in what it has forgotten. */
#include "base/trace.h"
#include "tests/unit/quorum/voters_world.h"

static void start_all(struct vworld *w, int voters)
{
    for (int i = 1; i <= voters; i++)
        vworld_start(w, i);
}

static bool all_noted(struct vworld *w, void *arg)
{
    struct quorum_view v = quorum_view(vworld_leader(w)->quorum);
    const int *voters = arg;

    for (int i = 0; i < v.n_voters; i++)
        if (!uuid_eq(v.progress[i].directory_id, w->nodes[v.voters[i]].settings.directory_id))
            return false;
    return v.n_voters == *voters;
}

/* Every voter of the setting votes, from the directory that its node has now. */
static void healed(struct vworld *w, int voters)
{
    CHECK(vworld_until(w, all_noted, &voters));
    vworld_agree(w);
    CHECK_EQ(vworld_voters(w), (2 << voters) - 2);
    CHECK_EQ(quorum_view(vworld_leader(w)->quorum).kraft_version, 0);
}

static void begin(struct vworld *w, int voters, uint64_t seed)
{
    vworld_init_fixed(w, voters, seed);
    start_all(w, voters);
    vworld_write(w, 20);
    healed(w, voters);
}

static bool anybody_leads(const struct vworld *w)
{
    bool leads = false;

    for (int i = 1; i <= VWORLD_NODES; i++)
        leads |= w->nodes[i].leads;
    return leads;
}

/* Nobody leads for so long. */
static void nobody(struct vworld *w, int64_t ns)
{
    for (int64_t end = sim_now(w->sim) + ns; sim_now(w->sim) < end;) {
        vworld_carry(w, 50000000);
        CHECK(!anybody_leads(w));
    }
}

static int follower(struct vworld *w, int voters, int which)
{
    return (vworld_leader(w)->id - 1 + which) % voters + 1;
}

static void emptied(struct vworld *w, int i, enum sim_crash how)
{
    vworld_crash(w, i, how);
    vworld_new_disk(w, i);
}

/* All are needed for the very first start, in whatever order they come, and a majority from then on. */
TEST(heal, fixed_voters_begin_together)
{
    struct vworld w;

    vworld_init_fixed(&w, 3, 21);
    vworld_start(&w, 3);
    vworld_start(&w, 1);
    nobody(&w, 5000000000);
    vworld_start(&w, 2);
    vworld_write(&w, 20);
    healed(&w, 3);
    for (int i = 1; i <= 3; i++)
        vworld_stop(&w, i);
    vworld_start(&w, 2);
    vworld_start(&w, 3);
    vworld_write(&w, 20);
    vworld_drop(&w);
}

/* A crash of one of them while they begin, whatever file call it is at: they begin all the same. */
TEST(heal, a_crash_while_they_begin)
{
    for (int call = 1; call < 60; call++) {
        struct vworld w;

        vworld_init_fixed(&w, 3, 22 + (uint64_t)call);
        start_all(&w, 3);
        sim_fail_at(w.sim, 1 + call % 3, call, call % 2 ? SIM_CRASH_POWER : SIM_CRASH_PROCESS);
        vworld_carry(&w, 1500000000);
        vworld_crash(&w, 1 + call % 3, SIM_PROCESS);
        vworld_start(&w, 1 + call % 3);
        vworld_write(&w, 5);
        healed(&w, 3);
        vworld_drop(&w);
    }
}

/* A voter's disk is emptied: it is taken out, brought up and votes again, by itself; the quorum bears the loss of another one then,
 * and a new start of all. */
TEST(heal, an_emptied_voter_is_replaced)
{
    for (int leads = 0; leads <= 1; leads++) {
        struct vworld w;
        int gone, other;

        begin(&w, 3, 100 + (uint64_t)leads);
        gone = leads ? vworld_leader(&w)->id : follower(&w, 3, 1);
        emptied(&w, gone, SIM_POWER);
        vworld_write(&w, 20);
        vworld_start(&w, gone);
        healed(&w, 3);
        other = vworld_leader(&w)->id;
        vworld_crash(&w, other, SIM_POWER);
        vworld_write(&w, 20);
        CHECK(vworld_leader(&w)->id != other);
        vworld_start(&w, other);
        healed(&w, 3);
        vworld_restart_all(&w);
        healed(&w, 3);
        CHECK_EQ(w.promised, 60);
        vworld_drop(&w);
    }
}

/* It is replaced when the log before it is gone, too: by a snapshot. */
TEST(heal, an_emptied_voter_begins_with_a_snapshot)
{
    struct vworld w;
    int gone;

    vworld_init_fixed(&w, 3, 110);
    for (int i = 1; i <= 3; i++) {
        w.nodes[i].settings.snapshot_bytes = 2000;
        w.nodes[i].settings.retention_bytes = w.nodes[i].settings.segment_bytes = 1000;
    }
    start_all(&w, 3);
    vworld_write(&w, 200);
    gone = follower(&w, 3, 1);
    emptied(&w, gone, SIM_PROCESS);
    vworld_write(&w, 200);
    CHECK(quorum_view(vworld_leader(&w)->quorum).log_start > 0);
    vworld_start(&w, gone);
    healed(&w, 3);
    vworld_restart_all(&w);
    healed(&w, 3);
    vworld_drop(&w);
}

/* Two of three are emptied: they don't elect each other, whether the third runs or not, and nothing is replaced; what was
 * acknowledged is there when one of the old disks comes back, and the other one is replaced then. */
TEST(heal, two_of_three_emptied_wait)
{
    for (int runs = 0; runs <= 1; runs++) {
        struct vworld w;
        int left;

        begin(&w, 3, 120 + (uint64_t)runs);
        left = vworld_leader(&w)->id;
        for (int i = 1; i <= 3; i++) {
            vworld_crash(&w, i, SIM_POWER);
            if (i != left)
                vworld_new_disk(&w, i);
        }
        for (int i = 1; i <= 3; i++)
            if (runs || i != left)
                vworld_start(&w, i);
        nobody(&w, 10000000000);
        vworld_start(&w, left);
        nobody(&w, 10000000000);
        vworld_crash(&w, left % 3 + 1, SIM_PROCESS);
        vworld_old_disk(&w, left % 3 + 1);
        vworld_start(&w, left % 3 + 1);
        vworld_write(&w, 10);
        healed(&w, 3);
        CHECK_EQ(w.promised, 30);
        vworld_drop(&w);
    }
}

/* The others of three fall at once, and one comes back empty before the leader can know of the other's end: it isn't taken for
 * present, nothing is begun that can't be ended, and the old disk alone is enough to go on. */
TEST(heal, who_has_just_fallen_is_not_present)
{
    struct vworld w;
    int a, b;

    begin(&w, 3, 125);
    vworld_carry(&w, 1000000000);
    a = follower(&w, 3, 1);
    b = follower(&w, 3, 2);
    vworld_crash(&w, b, SIM_POWER);
    emptied(&w, a, SIM_POWER);
    vworld_start(&w, a);
    vworld_carry(&w, 5000000000);
    vworld_crash(&w, a, SIM_PROCESS);
    vworld_old_disk(&w, a);
    vworld_start(&w, a);
    vworld_write(&w, 10);
    CHECK_EQ(w.promised, 30);
    vworld_drop(&w);
}

/* All three are emptied: there is nothing left to lose, and a new cluster begins. */
TEST(heal, all_emptied_begin_anew)
{
    struct vworld w;

    begin(&w, 3, 130);
    for (int i = 1; i <= 3; i++)
        emptied(&w, i, SIM_PROCESS);
    w.promised = 0;
    start_all(&w, 3);
    vworld_write(&w, 10);
    healed(&w, 3);
    vworld_drop(&w);
}

/* Nobody had noted its directory when a voter was emptied, and the other one that runs lacks what the two had acknowledged: it gets
 * no vote, and the leader's return brings all back. */
TEST(heal, an_emptied_voter_that_nobody_noted_does_not_vote)
{
    struct vworld w;
    int led, lags, gone;

    vworld_init_fixed(&w, 3, 140);
    w.mute = true;
    start_all(&w, 3);
    led = vworld_leader(&w)->id;
    lags = led % 3 + 1;
    gone = lags % 3 + 1;
    w.cut[lags] = true;
    vworld_write(&w, 20);
    emptied(&w, gone, SIM_POWER);
    vworld_crash(&w, led, SIM_PROCESS);
    w.cut[lags] = false;
    vworld_start(&w, gone);
    nobody(&w, 10000000000);
    w.mute = false;
    vworld_start(&w, led);
    vworld_write(&w, 5);
    healed(&w, 3);
    CHECK_EQ(w.promised, 25);
    vworld_drop(&w);
}

/* Nobody notes its directory: an emptied voter follows for ever, started anew or not; noted, it votes. */
TEST(heal, an_emptied_voter_waits_until_it_is_noted)
{
    struct vworld w;
    int gone;

    vworld_init_fixed(&w, 3, 145);
    w.mute = true;
    start_all(&w, 3);
    vworld_write(&w, 20);
    gone = follower(&w, 3, 1);
    emptied(&w, gone, SIM_POWER);
    for (int i = 0; i < 3; i++) {
        vworld_start(&w, gone);
        vworld_carry(&w, 2000000000);
        CHECK(quorum_view(w.nodes[gone].quorum).observes && w.nodes[gone].committed);
        vworld_stop(&w, gone);
    }
    w.mute = false;
    vworld_start(&w, gone);
    healed(&w, 3);
    vworld_drop(&w);
}

struct stage {
    int voters;
    bool all_vote;
};

static bool at_stage(struct vworld *w, void *arg)
{
    const struct stage *s = arg;
    bool all = true, there = false;

    for (int i = 1; i <= VWORLD_NODES; i++) {
        struct quorum_view v;

        if (!w->nodes[i].leads)
            continue;
        v = quorum_view(w->nodes[i].quorum);
        there = v.n_voters == s->voters;
        for (int k = 0; k < v.n_voters; k++)
            all &= v.progress[k].votes;
    }
    return there && all == s->all_vote;
}

/* A leader, or all of them, that fall between the steps: the next leader goes on, also one that has been started anew. */
TEST(heal, a_fall_between_the_steps)
{
    static const struct stage stages[] = {{2, true}, {3, false}};

    for (int variant = 0; variant < 6; variant++) {
        const struct stage *stage = &stages[variant % 2];
        struct vworld w;
        int gone, led;

        begin(&w, 3, 150 + (uint64_t)variant);
        led = vworld_leader(&w)->id;
        gone = follower(&w, 3, 1);
        emptied(&w, gone, SIM_POWER);
        vworld_start(&w, gone);
        CHECK(vworld_until(&w, at_stage, (void *)stage));
        for (int i = 1; i <= 3; i++)
            if (variant >= 4 || i == led)
                vworld_crash(&w, i, variant >= 2 ? SIM_POWER : SIM_PROCESS);
        vworld_carry(&w, 500000000);
        start_all(&w, 3);
        vworld_write(&w, 10);
        healed(&w, 3);
        vworld_restart_all(&w);
        healed(&w, 3);
        CHECK_EQ(w.promised, 30);
        vworld_drop(&w);
    }
}

/* With two of four directories gone nobody is brought in, though two of the three that are left lead; with the third one back it
 * goes on. */
TEST(heal, a_majority_of_what_was_noted_is_needed)
{
    static const struct stage out = {3, true};
    struct vworld w;
    int gone, down;

    begin(&w, 4, 157);
    gone = follower(&w, 4, 1);
    down = follower(&w, 4, 2);
    emptied(&w, gone, SIM_POWER);
    vworld_start(&w, gone);
    CHECK(vworld_until(&w, at_stage, (void *)&out));
    vworld_crash(&w, gone, SIM_POWER);
    vworld_carry(&w, 3000000000);
    vworld_crash(&w, down, SIM_POWER);
    vworld_carry(&w, 3000000000);
    vworld_start(&w, gone);
    vworld_carry(&w, 10000000000);
    CHECK_EQ(quorum_view(vworld_leader(&w)->quorum).n_voters, 3);
    vworld_write(&w, 5);
    vworld_start(&w, down);
    healed(&w, 4);
    vworld_drop(&w);
}

/* Two of five are emptied at once: both are replaced, one after the other. */
TEST(heal, one_at_a_time)
{
    struct vworld w;
    int a, b, voters = 5;

    begin(&w, 5, 160);
    a = follower(&w, 5, 1);
    b = follower(&w, 5, 2);
    emptied(&w, a, SIM_POWER);
    emptied(&w, b, SIM_POWER);
    vworld_start(&w, a);
    vworld_start(&w, b);
    while (!all_noted(&w, &voters)) {
        CHECK(quorum_view(vworld_leader(&w)->quorum).n_voters >= 4);
        vworld_carry(&w, 10000000);
    }
    healed(&w, 5);
    vworld_write(&w, 10);
    vworld_drop(&w);
}

/* One that was removed while it was down doesn't say that its disk is empty, though nothing is left of its log but the first
 * batch: if all of the setting were removed so, they would begin another log. */
TEST(heal, a_removed_one_was_not_emptied)
{
    struct vworld w;
    int gone;

    begin(&w, 3, 51);
    CHECK_OK(vworld_change(&w, QUORUM_UPGRADE, 1, 3, NULL));
    gone = follower(&w, 3, 1);
    vworld_crash(&w, gone, SIM_PROCESS);
    CHECK_OK(vworld_change(&w, QUORUM_REMOVE, gone, 3, NULL));
    vworld_start(&w, gone);
    vworld_agree(&w);
    CHECK(quorum_view(w.nodes[gone].quorum).removed);
    CHECK_EQ(trace_count(io_trace(w.nodes[gone].io), TR_quorum_founding), 0);
    vworld_drop(&w);
}

/* Once kraft.version is 1 nobody is replaced: an emptied voter follows, and waits for the operator. */
TEST(heal, a_dynamic_quorum_waits_for_the_operator)
{
    struct vworld w;
    int gone;

    begin(&w, 3, 170);
    CHECK_OK(vworld_change(&w, QUORUM_UPGRADE, 1, 3, NULL));
    gone = follower(&w, 3, 1);
    emptied(&w, gone, SIM_PROCESS);
    vworld_start(&w, gone);
    vworld_carry(&w, 10000000000);
    CHECK(quorum_view(w.nodes[gone].quorum).observes);
    CHECK_EQ(vworld_voters(&w), 1 << 1 | 1 << 2 | 1 << 3);
    CHECK_EQ(vworld_change(&w, QUORUM_ADD, gone, 1, NULL), E_DUPLICATE_VOTER);
    vworld_drop(&w);
}
