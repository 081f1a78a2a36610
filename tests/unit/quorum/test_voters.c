/* Voters that are added and removed, while nodes stop and crash: what was acknowledged stays, and one thing is decided. */
#include "proto_gen.h"
#include "tests/unit/quorum/voters_world.h"

static void added(struct vworld *w, int node)
{
    vworld_start(w, node);
    CHECK_OK(vworld_change(w, QUORUM_ADD, node, 1, NULL));
    vworld_agree(w);
}

/* One voter becomes two, and three; each step outlives a restart of all; the first one dies, and the others go on with all
 * that was acknowledged. */
TEST(voters, one_grows_to_three_and_outlives_the_first)
{
    struct vworld w;

    vworld_init(&w, 1, 1);
    vworld_write(&w, 20);
    added(&w, 2);
    CHECK_EQ(vworld_voters(&w), 1 << 1 | 1 << 2);
    vworld_write(&w, 20);
    vworld_restart_all(&w);
    vworld_agree(&w);
    CHECK_EQ(vworld_voters(&w), 1 << 1 | 1 << 2);
    added(&w, 3);
    vworld_restart_all(&w);
    vworld_agree(&w);
    vworld_write(&w, 20);
    CHECK_EQ(vworld_voters(&w), 1 << 1 | 1 << 2 | 1 << 3);
    vworld_crash(&w, 1, SIM_POWER);
    vworld_write(&w, 20);
    vworld_agree(&w);
    CHECK(vworld_leader(&w)->id != 1);
    vworld_start(&w, 1);
    vworld_agree(&w);
    CHECK_EQ(w.promised, 80);
    vworld_drop(&w);
}

/* A follower is removed, learns it, and follows from then on; it can come back. */
TEST(voters, a_follower_is_removed_and_added_again)
{
    struct vworld w;
    int gone;

    vworld_init(&w, 3, 2);
    vworld_write(&w, 20);
    gone = vworld_leader(&w)->id % 3 + 1;
    CHECK_OK(vworld_change(&w, QUORUM_REMOVE, gone, 1, NULL));
    vworld_agree(&w);
    CHECK(quorum_view(w.nodes[gone].quorum).observes);
    CHECK_EQ(vworld_voters(&w), (1 << 1 | 1 << 2 | 1 << 3) & ~(1 << gone));
    vworld_write(&w, 20);
    vworld_restart_all(&w);
    vworld_agree(&w);
    CHECK_OK(vworld_change(&w, QUORUM_ADD, gone, 1, NULL));
    vworld_agree(&w);
    CHECK_EQ(vworld_voters(&w), 1 << 1 | 1 << 2 | 1 << 3);
    vworld_write(&w, 20);
    vworld_restart_all(&w);
    vworld_agree(&w);
    vworld_drop(&w);
}

/* The leader isn't removed while it leads: it gives its leadership away, and the next one does it. What was in flight is told
 * as not its own, and nothing acknowledged is lost. */
TEST(voters, a_leader_is_removed_by_the_next)
{
    struct vworld w;
    struct vnode *led;

    vworld_init(&w, 3, 3);
    vworld_write(&w, 20);
    led = vworld_leader(&w);
    vworld_submit(&w, led, 5);
    CHECK_EQ(vworld_change(&w, QUORUM_REMOVE, led->id, 1, NULL), E_NOT_CONTROLLER);
    CHECK(vworld_leader(&w) != led);
    CHECK_OK(vworld_change(&w, QUORUM_REMOVE, led->id, 5, NULL));
    vworld_agree(&w);
    CHECK(quorum_view(led->quorum).observes);
    vworld_write(&w, 20);
    vworld_restart_all(&w);
    vworld_agree(&w);
    vworld_drop(&w);
}

/* Who was removed while it was down follows when it comes back, with what it had written cut to what has committed. */
TEST(voters, a_voter_removed_while_down_learns_it)
{
    struct vworld w;
    int gone;

    vworld_init(&w, 3, 4);
    vworld_write(&w, 20);
    gone = vworld_leader(&w)->id;
    for (int i = 1; i <= 3; i++)
        w.cut[i] = i != gone;
    vworld_submit(&w, &w.nodes[gone], 3);
    vworld_carry(&w, 100000000);
    vworld_crash(&w, gone, SIM_PROCESS);
    for (int i = 1; i <= 3; i++)
        w.cut[i] = false;
    vworld_write(&w, 20);
    CHECK_OK(vworld_change(&w, QUORUM_REMOVE, gone, 5, NULL));
    vworld_write(&w, 20);
    vworld_start(&w, gone);
    vworld_agree(&w);
    CHECK(quorum_view(w.nodes[gone].quorum).observes);
    vworld_restart_all(&w);
    vworld_agree(&w);
    CHECK(quorum_view(w.nodes[gone].quorum).observes);
    vworld_drop(&w);
}

/* Who was removed while it was down, and knows nobody that votes now, learns it from those that follow. */
TEST(voters, a_removed_one_asks_those_that_follow)
{
    struct vworld w;

    vworld_init(&w, 3, 20);
    vworld_write(&w, 20);
    vworld_crash(&w, 3, SIM_PROCESS);
    added(&w, 4);
    added(&w, 5);
    for (int i = 1; i <= 3; i++)
        CHECK_OK(vworld_change(&w, QUORUM_REMOVE, i, 5, NULL));
    vworld_write(&w, 5);
    vworld_start(&w, 3);
    vworld_agree(&w);
    CHECK(quorum_view(w.nodes[3].quorum).removed);
    CHECK_EQ(vworld_voters(&w), 1 << 4 | 1 << 5);
    vworld_drop(&w);
}

/* Nobody is added who doesn't come: the change ends, and leaves no trace among the voters. */
TEST(voters, one_that_is_down_is_not_added)
{
    struct vworld w;
    char why[QUORUM_WHY_MAX];

    vworld_init(&w, 3, 5);
    vworld_write(&w, 5);
    CHECK_EQ(vworld_change(&w, QUORUM_ADD, 4, 1, why), E_REQUEST_TIMED_OUT);
    CHECK(strstr(why, "node 4"));
    vworld_agree(&w);
    CHECK_EQ(vworld_voters(&w), 1 << 1 | 1 << 2 | 1 << 3);
    vworld_start(&w, 4);
    vworld_agree(&w);
    CHECK_OK(vworld_change(&w, QUORUM_ADD, 4, 1, NULL));
    vworld_agree(&w);
    vworld_drop(&w);
}

/* What contradicts the voters that there are is refused, with the reason. */
TEST(voters, what_cannot_be_is_refused)
{
    struct vworld w;
    char why[QUORUM_WHY_MAX];
    int lead, other;

    vworld_init(&w, 3, 6);
    lead = vworld_leader(&w)->id;
    other = lead % 3 + 1;
    CHECK_EQ(vworld_change(&w, QUORUM_ADD, other, 1, why), E_DUPLICATE_VOTER);
    CHECK_EQ(vworld_change(&w, QUORUM_REMOVE, 4, 1, why), E_VOTER_NOT_FOUND);
    CHECK_EQ(vworld_change(&w, QUORUM_UPGRADE, 1, 1, why), E_UNSUPPORTED_VERSION);
    vworld_crash(&w, other % 3 + 1 == lead ? lead % 3 + 1 : other % 3 + 1, SIM_PROCESS);
    vworld_carry(&w, 2000000000);
    lead = vworld_leader(&w)->id;
    for (int i = 1; i <= 3; i++)
        if (i != lead && w.nodes[i].io)
            other = i;
    CHECK_EQ(vworld_change(&w, QUORUM_REMOVE, other, 1, why), E_INVALID_REQUEST);
    CHECK(strstr(why, "majority"));
    vworld_drop(&w);

    vworld_init(&w, 1, 7);
    CHECK_EQ(vworld_change(&w, QUORUM_REMOVE, 1, 1, why), E_INVALID_REQUEST);
    CHECK(strstr(why, "only voter"));
    vworld_drop(&w);
}

static bool not_voting_yet(struct vworld *w, void *arg)
{
    int *node = arg;
    struct quorum_view v;

    if (!w->nodes[*node].io || !w->nodes[*node].leads)
        return false;
    v = quorum_view(w->nodes[*node].quorum);
    for (int i = 0; i < v.n_voters; i++)
        if (!v.progress[i].votes)
            return true;
    return false;
}

struct posted {
    struct quorum_change change;
    struct vnode *node;
    enum err err;
    bool done;
};

static void posted_done(struct quorum_change *c, enum err err)
{
    struct posted *p = container_of(c, struct posted, change);

    p->done = true;
    p->err = err;
}

static void post_run(struct loop *loop, void *arg)
{
    struct posted *p = arg;

    p->change.done = posted_done;
    quorum_change(p->node->quorum, &p->change);
}

static void post(struct vworld *w, struct posted *p, struct vnode *n, enum quorum_change_kind kind, int node)
{
    *p = (struct posted){
        .node = n,
        .change = {.kind = kind, .node = node, .directory_id = w->nodes[node].settings.directory_id}};
    CHECK(sim_call(w->sim, n->io, LOOP_DISK, post_run, p));
}

/* One change at a time. */
TEST(voters, a_change_under_way_refuses_the_next)
{
    struct posted first, second;
    struct vworld w;
    struct vnode *n;

    vworld_init(&w, 3, 8);
    n = vworld_leader(&w);
    post(&w, &first, n, QUORUM_ADD, 4);
    post(&w, &second, n, QUORUM_REMOVE, n->id % 3 + 1);
    vworld_carry(&w, 1000000000);
    CHECK(!first.done && second.done && second.err == E_REQUEST_TIMED_OUT);
    vworld_carry(&w, 8000000000);
    CHECK(first.done && first.err == E_REQUEST_TIMED_OUT);
    vworld_drop(&w);
}

/* A leader that dies between the two steps of an addition: the next one takes the half-added one out, and it can be
 * added then. A single one that dies there does it itself when it comes back. */
TEST(voters, half_an_addition_is_undone)
{
    for (int voters = 1; voters <= 3; voters += 2) {
        struct posted p;
        struct vworld w;
        int lead;

        vworld_init(&w, voters, 9);
        vworld_write(&w, 10);
        lead = vworld_leader(&w)->id;
        post(&w, &p, &w.nodes[lead], QUORUM_ADD, 5); /* which is down */
        CHECK(vworld_until(&w, not_voting_yet, &lead));
        vworld_carry(&w, 300000000);
        vworld_crash(&w, lead, SIM_POWER);
        if (voters == 1)
            vworld_start(&w, lead);
        vworld_write(&w, 10);
        vworld_start(&w, lead);
        vworld_carry(&w, 2000000000);
        vworld_agree(&w);
        CHECK_EQ(vworld_voters(&w), voters == 1 ? 1 << 1 : 1 << 1 | 1 << 2 | 1 << 3);
        vworld_start(&w, 5);
        CHECK_OK(vworld_change(&w, QUORUM_ADD, 5, 3, NULL));
        vworld_agree(&w);
        vworld_drop(&w);
    }
}

/* A configuration that only a cut-off leader has goes with its entries: that voter counts the voters as the others do. Also when
 * it was started anew with it in its log, and when a snapshot took the place of the configuration before it. */
TEST(voters, an_uncommitted_configuration_gives_way)
{
    for (int variant = 0; variant < 4; variant++) {
        struct posted p;
        struct vworld w;
        int lead;

        vworld_init(&w, 3, 10 + (uint64_t)variant);
        for (int i = 1; i <= 3 && variant >= 2; i++)
            w.nodes[i].settings.snapshot_bytes = 500;
        if (variant >= 2)
            vworld_restart_all(&w);
        vworld_write(&w, 30);
        lead = vworld_leader(&w)->id;
        w.cut[lead] = true;
        post(&w, &p, &w.nodes[lead], QUORUM_ADD, 5);
        CHECK(vworld_until(&w, not_voting_yet, &lead));
        CHECK_EQ(quorum_view(w.nodes[lead].quorum).n_voters, 4);
        if (variant % 2) {
            vworld_crash(&w, lead, SIM_PROCESS);
            vworld_start(&w, lead);
        }
        vworld_write(&w, 10);
        w.cut[lead] = false;
        vworld_agree(&w);
        CHECK_EQ(quorum_view(w.nodes[lead].quorum).n_voters, 3);
        vworld_write(&w, 10);
        vworld_agree(&w);
        vworld_drop(&w);
    }
}

/* A new voter begins with the leader's snapshot where the log before it is gone, and the voters in it are right; it is there well
 * within a second, also when the snapshot has all that there is. */
static void begins_with_a_snapshot(uint64_t seed)
{
    struct vworld w;
    int64_t began;

    vworld_init(&w, 1, seed);
    w.nodes[1].settings.snapshot_bytes = w.nodes[2].settings.snapshot_bytes = 2000;
    w.nodes[1].settings.retention_bytes = w.nodes[2].settings.retention_bytes = 1000;
    w.nodes[1].settings.segment_bytes = w.nodes[2].settings.segment_bytes = 1000;
    vworld_restart_all(&w);
    vworld_write(&w, 200);
    CHECK(quorum_view(vworld_leader(&w)->quorum).log_start > 0);
    added(&w, 2);
    vworld_write(&w, 200);
    began = sim_now(w.sim);
    added(&w, 3);
    CHECK(sim_now(w.sim) - began < 700000000);
    vworld_restart_all(&w);
    vworld_agree(&w);
    CHECK_EQ(vworld_voters(&w), 1 << 1 | 1 << 2 | 1 << 3);
    vworld_crash(&w, 1, SIM_POWER);
    vworld_write(&w, 50);
    vworld_start(&w, 1);
    vworld_agree(&w);
    vworld_drop(&w);
}

TEST(voters, a_new_one_begins_with_a_snapshot)
{
    for (uint64_t seed = 11; seed <= 30; seed++)
        begins_with_a_snapshot(seed);
}

static bool is_named(struct vworld *w, void *arg)
{
    return w->nodes[2].member;
}

/* A single voter whose log was never replaced by a snapshot, and that was started anew, writes one for a new voter which lacks
 * entries from before that start. */
TEST(voters, a_first_snapshot_is_written_for_a_new_one)
{
    struct posted p;
    struct vworld w;
    int lead = 1;

    vworld_init(&w, 1, 19);
    vworld_write(&w, 10);
    post(&w, &p, vworld_leader(&w), QUORUM_ADD, 2); /* which is down */
    CHECK(vworld_until(&w, not_voting_yet, &lead));
    vworld_write(&w, 2500); /* more than a few answers to a follower hold */
    vworld_crash(&w, 1, SIM_PROCESS);
    vworld_start(&w, 1);
    CHECK_EQ(quorum_view(vworld_leader(&w)->quorum).snapshot, -1);
    w.refuses_restart = true;
    vworld_start(&w, 2);
    CHECK(vworld_until(&w, is_named, NULL)); /* by what was undone since */
    w.refuses_restart = false;
    CHECK_OK(vworld_change(&w, QUORUM_ADD, 2, 1, NULL));
    vworld_agree(&w);
    CHECK(quorum_view(w.nodes[1].quorum).snapshot > 0);
    vworld_drop(&w);
}

/* Who votes from another directory than its node did is told from it: an emptied disk follows, and may be added when the old
 * one was removed. */
TEST(voters, an_emptied_disk_follows)
{
    struct vworld w;
    int node;

    vworld_init(&w, 3, 15);
    vworld_write(&w, 10);
    node = vworld_leader(&w)->id % 3 + 1;
    vworld_stop(&w, node);
    w.nodes[node].settings.directory_id.b[4] = 77;
    w.nodes[node].settings.joins = true;
    w.nodes[node].settings.dir = VOTERS_EMPTY;
    vworld_start(&w, node);
    vworld_carry(&w, 3000000000);
    CHECK(quorum_view(w.nodes[node].quorum).observes);
    CHECK_EQ(vworld_change(&w, QUORUM_ADD, node, 1, NULL), E_DUPLICATE_VOTER);
    vworld_drop(&w);
}

/* kraft.version 0: voters stay as they are until it is raised, which is an entry as any other. */
TEST(voters, a_fixed_quorum_is_upgraded)
{
    struct vworld w;

    vworld_init_fixed(&w, 3, 16);
    for (int i = 1; i <= 3; i++)
        vworld_start(&w, i);
    vworld_write(&w, 10);
    CHECK_EQ(quorum_view(vworld_leader(&w)->quorum).kraft_version, 0);
    vworld_start(&w, 4);
    CHECK_EQ(vworld_change(&w, QUORUM_ADD, 4, 1, NULL), E_UNSUPPORTED_VERSION);
    CHECK_OK(vworld_change(&w, QUORUM_UPGRADE, 1, 1, NULL));
    vworld_agree(&w);
    vworld_restart_all(&w);
    vworld_agree(&w);
    CHECK_EQ(quorum_view(vworld_leader(&w)->quorum).kraft_version, 1);
    CHECK_OK(vworld_change(&w, QUORUM_ADD, 4, 1, NULL));
    vworld_agree(&w);
    vworld_drop(&w);
}

/* Once it is decided that kraft.version is to be raised, whoever leads does it, though nobody asks any more. */
TEST(voters, who_leads_raises_what_was_decided)
{
    struct vworld w;
    int64_t until;

    vworld_init_fixed(&w, 3, 16);
    for (int i = 1; i <= 3; i++)
        vworld_start(&w, i);
    vworld_write(&w, 10);
    for (int i = 1; i <= 3; i++)
        quorum_raise(w.nodes[i].quorum);
    vworld_write(&w, 10);
    vworld_agree(&w);
    until = 100;
    while (quorum_view(vworld_leader(&w)->quorum).kraft_version == 0 && until-- > 0)
        vworld_write(&w, 1);
    CHECK_EQ(quorum_view(vworld_leader(&w)->quorum).kraft_version, 1);
    CHECK_EQ(vworld_change(&w, QUORUM_UPGRADE, 1, 1, NULL), E_UNSUPPORTED_VERSION);
    vworld_agree(&w);
    vworld_drop(&w);
}

/* A first voter whose disk is lost before its directory was noted is named by its node alone: its empty disk follows, and isn't
 * taken for the one before. */
TEST(voters, an_empty_disk_is_not_an_unnoted_one)
{
    struct vworld w;
    int node;

    vworld_init_fixed(&w, 3, 18);
    w.mute = true;
    for (int i = 1; i <= 3; i++)
        vworld_start(&w, i);
    CHECK_OK(vworld_change(&w, QUORUM_UPGRADE, 1, 3, NULL));
    vworld_write(&w, 10);
    node = vworld_leader(&w)->id % 3 + 1;
    vworld_crash(&w, node, SIM_POWER);
    vworld_new_disk(&w, node);
    w.nodes[node].settings.joins = true;
    w.refuses_restart = true;
    vworld_start(&w, node);
    vworld_carry(&w, 3000000000);
    for (int again = 0; again < 2; again++) {
        CHECK(quorum_view(w.nodes[node].quorum).observes && !w.nodes[node].changed_role);
        vworld_crash(&w, node, SIM_PROCESS);
        vworld_start(&w, node);
        vworld_carry(&w, 1000000000);
    }
    vworld_drop(&w);
}

/* ---- strangers ---- */

static void say(struct vworld *w, int from, int to, uint8_t kind, const struct proto_type *type,
                const void *row)
{
    struct heap *h = heap_new(false);
    struct bytes b;

    bytes_init(&b, h);
    bytes_add(&b, (const uint8_t[]){kind, 0}, 2);
    CHECK_OK(proto_encode(type, 0, row, &b, NULL));
    vworld_say(w, from, to, bytes_slice(&b));
    bytes_drop(&b);
    heap_drop(h);
}

/* All that would raise a term, get a vote, write or send away, of a server that nobody counts. */
static void talk(struct vworld *w, int from, int to, int64_t term)
{
    enum { STRANGER = 99 };
    int32_t self = to + 1;

    for (int flags = 0; flags < 4; flags++)
        say(w, from, to, 1, &RaftVote_type,
            &(struct RaftVote){.term = term,
                               .from = STRANGER,
                               .to = self,
                               .last_index = 1 << 30,
                               .last_term = term,
                               .disrupt_leader = flags & 1,
                               .pre_vote = flags & 2});
    say(w, from, to, 2, &RaftVoteResult_type,
        &(struct RaftVoteResult){.term = term, .from = STRANGER, .to = self});
    say(w, from, to, 3, &RaftAppend_type,
        &(struct RaftAppend){.term = term, .from = STRANGER, .to = self, .records = SLICE("")});
    say(w, from, to, 4, &RaftAppendResult_type,
        &(struct RaftAppendResult){.term = term, .from = STRANGER, .to = self});
    say(w, from, to, 6, &RaftTimeoutNow_type,
        &(struct RaftTimeoutNow){.term = term, .from = STRANGER, .to = self});
    say(w, from, to, 9, &RaftStanding_type,
        &(struct RaftStanding){.term = term, .from = STRANGER, .to = self});
    say(w, from, to, 10, &RaftRemoved_type,
        &(struct RaftRemoved){.term = term, .from = STRANGER, .to = self, .configuration_index = 1 << 30});
}

/* While a leader lives, nothing that a server says moves anything which no configuration names: no term, also with the flag that
 * may disrupt leaders, no leader, no voter. */
TEST(voters, a_stranger_is_not_believed)
{
    struct vworld w;
    int32_t leader, epoch;

    vworld_init(&w, 3, 31);
    vworld_write(&w, 10);
    vworld_start(&w, 4);
    vworld_agree(&w);
    leader = vworld_leader(&w)->id;
    epoch = w.nodes[leader].epoch;
    for (int round = 0; round < 30; round++) {
        for (int i = 1; i <= 3; i++)
            talk(&w, 4, i, epoch + round % 3);
        vworld_carry(&w, 100000000);
    }
    vworld_write(&w, 10);
    vworld_agree(&w);
    CHECK_EQ(vworld_leader(&w)->id, leader);
    CHECK_EQ(w.nodes[leader].epoch, epoch);
    for (int i = 1; i <= 3; i++)
        CHECK(!w.nodes[i].changed_role && !quorum_view(w.nodes[i].quorum).observes);
    vworld_drop(&w);
}

/* A voter whose configuration hasn't come to another one is believed by that one when no leader is left: here nobody else can
 * be elected. */
TEST(voters, a_newer_voter_is_believed_in_the_end)
{
    struct vworld w;
    int lead, other, late;

    vworld_init(&w, 3, 32);
    vworld_write(&w, 10);
    lead = vworld_leader(&w)->id;
    late = lead % 3 + 1;
    other = late % 3 + 1;
    w.cut[late] = true;
    added(&w, 4);
    w.cut[other] = true;
    vworld_submit(&w, &w.nodes[lead], 3); /* only 4 gets these, besides */
    vworld_carry(&w, 100000000);
    vworld_crash(&w, lead, SIM_PROCESS);
    w.cut[late] = w.cut[other] = false;
    CHECK_EQ(vworld_leader(&w)->id, 4);
    vworld_write(&w, 10);
    vworld_start(&w, lead);
    vworld_agree(&w);
    vworld_drop(&w);
}

static bool votes_by_the_first(struct vworld *w, void *arg)
{
    struct quorum_view v = quorum_view(w->nodes[1].quorum);

    return v.n_voters == 2 && v.progress[0].votes && v.progress[1].votes;
}

/* Entries (RaftAppend, 3) that would tell the second one that it votes. */
static bool entries_for_the_second(struct vworld *w, int from, int to, struct slice bytes)
{
    struct RaftAppend m;

    if (from != 1 || to != 2 || bytes.p[0] != 3 || !votes_by_the_first(w, NULL))
        return false;
    vworld_read(w, 1, &RaftAppend_type, bytes, &m);
    return m.records.len > 0;
}

/* `arg`: the epoch that was. */
static bool second_follows(struct vworld *w, void *arg)
{
    struct quorum_view v = quorum_view(w->nodes[2].quorum);

    return v.leader == 1 && v.epoch > *(int *)arg;
}

/* The second voter votes before it has been told that it may, again and again; a leader that it has heard, and that has been
 * silent since, doesn't keep it from that. */
TEST(voters, one_that_is_not_told_yet_votes)
{
    struct posted p;
    struct vworld w;

    vworld_init(&w, 1, 33);
    vworld_write(&w, 10);
    vworld_start(&w, 2);
    vworld_agree(&w);
    w.loses = entries_for_the_second;
    post(&w, &p, &w.nodes[1], QUORUM_ADD, 2);
    CHECK(vworld_until(&w, votes_by_the_first, NULL));
    for (int round = 0; round < 3; round++) {
        int epoch;

        vworld_carry(&w, 1000000000);
        epoch = quorum_view(w.nodes[2].quorum).epoch;
        vworld_crash(&w, 1, SIM_PROCESS);
        vworld_start(&w, 1);
        CHECK(vworld_until(&w, second_follows, &epoch));
    }
    w.loses = NULL;
    vworld_write(&w, 10);
    vworld_agree(&w);
    CHECK_EQ(vworld_voters(&w), 1 << 1 | 1 << 2);
    vworld_drop(&w);
}
