/* What voters tell each other, message by message: how much at once, how often, and that nobody waits for an answer for good. */
#include "proto_gen.h"
#include "tests/unit/quorum/voters_world.h"

/* The last offer of a snapshot (RaftInstall, 5), and the newest answer (RaftAppendResult, 4) of the one to whom it went. */
static struct {
    uint8_t bytes[1024];
    size_t len;
    int from, to;
    struct RaftAppendResult answer;
} offer;

static bool offers(struct vworld *w, int from, int to, struct slice bytes)
{
    if (bytes.p[0] == 5) {
        CHECK(bytes.len <= sizeof(offer.bytes));
        memcpy(offer.bytes, bytes.p, bytes.len);
        offer.len = bytes.len;
        offer.from = from;
        offer.to = to;
    }
    if (bytes.p[0] == 4 && from == offer.to && to == offer.from)
        vworld_read(w, from, &RaftAppendResult_type, bytes, &offer.answer);
    return false;
}

static bool has_it_all(struct vworld *w, void *arg)
{
    return offer.answer.last_index == *(int64_t *)arg;
}

/* A leader that offers a snapshot sends nothing else until it is answered: a voter that has all of it by now says so. */
TEST(voters, an_old_snapshot_is_answered)
{
    struct RaftInstall offered;
    struct vworld w;
    int away;

    vworld_init(&w, 3, 11);
    for (int i = 1; i <= 3; i++) {
        w.nodes[i].settings.snapshot_bytes = w.nodes[i].settings.segment_bytes = 2000;
        w.nodes[i].settings.retention_bytes = 1000;
    }
    vworld_restart_all(&w);
    away = vworld_leader(&w)->id % 3 + 1;
    vworld_crash(&w, away, SIM_PROCESS);
    vworld_write(&w, 400);
    for (int i = 1; i <= 3; i++) /* who has just begun has no entry in memory from before its snapshot */
        if (i != away) {
            vworld_crash(&w, i, SIM_PROCESS);
            vworld_start(&w, i);
        }
    vworld_write(&w, 5);
    memset(&offer, 0, sizeof(offer));
    w.loses = offers;
    vworld_start(&w, away);
    vworld_agree(&w);
    CHECK(offer.len > 0);
    vworld_write(&w, 5);
    vworld_agree(&w);
    vworld_read(&w, away, &RaftInstall_type, slice_of(offer.bytes, offer.len), &offered);
    CHECK(offer.answer.last_index > offered.last_index);
    vworld_say(&w, offer.from, offer.to, slice_of(offer.bytes, offer.len));
    CHECK(vworld_until(&w, has_it_all, &offered.last_index));
    CHECK_EQ(offer.answer.rejected, 0);
    vworld_write(&w, 5);
    vworld_agree(&w);
    vworld_drop(&w);
}

/* ---- much at once ---- */

enum { OUTSIDE = 4, MUCH = 800, STEP = 1 << 14, ONE = 1000 /* of these batches none is longer */ };

/* What a follower missed comes in few messages, or in the very one that makes it leader: it is told in steps, in order, and
 * nobody is told to lead before. A node outside is told its answers so, too. */
TEST(voters, much_is_told_in_steps)
{
    for (uint64_t seed = 60; seed < 66; seed++) {
        struct vworld w;
        int away, leads;

        vworld_init(&w, 3, seed);
        for (int i = 1; i <= OUTSIDE; i++)
            w.nodes[i].settings.segment_bytes = 1 << 20; /* an answer is of one */
        vworld_start(&w, OUTSIDE);
        vworld_restart_all(&w);
        vworld_write(&w, 20);
        vworld_agree(&w);
        leads = vworld_leader(&w)->id;
        away = leads % 3 + 1;
        w.cut[away] = w.cut[OUTSIDE] = true;
        for (int n = 0; n < MUCH; n += 100)
            vworld_write(&w, 100);
        w.nodes[away].told_max = w.nodes[OUTSIDE].told_max = 0;
        w.cut[away] = w.cut[OUTSIDE] = false;
        vworld_carry(&w, (int64_t)sim_below(w.sim, 100000000));
        if (seed % 2) { /* one that is on its way may have to lead */
            vworld_stop(&w, leads);
            vworld_write(&w, 20);
            vworld_start(&w, leads);
        }
        vworld_write(&w, 20);
        vworld_agree(&w);
        CHECK(w.nodes[away].told_max > 0 && w.nodes[away].told_max < STEP + ONE);
        CHECK(w.nodes[OUTSIDE].told_max > STEP && w.nodes[OUTSIDE].told_max < STEP + ONE);
        vworld_drop(&w);
    }
}

/* What goes to one node, whose answers get lost but for the first, which refuses. */
static struct {
    int node, answers;
    size_t bytes;
} searched;

static bool answers_of_the_searched(struct vworld *w, int from, int to, struct slice bytes)
{
    if (to == searched.node)
        searched.bytes += bytes.len;
    return from == searched.node && searched.answers++ > 0;
}

/* Where the log of a voter fits isn't known to a new leader before the voter says so: until then a heartbeat asks with one entry,
 * not with all that it might lack, on a way that may be narrow. */
TEST(voters, who_is_searched_gets_one_entry)
{
    enum { ENTRIES = 150 };
    struct vworld w;
    struct vnode *leader;

    vworld_init(&w, 3, 1);
    leader = vworld_leader(&w);
    memset(&searched, 0, sizeof(searched));
    searched.node = leader->id % 3 + 1;
    vworld_write(&w, 1);
    vworld_crash(&w, searched.node, SIM_PROCESS);
    for (int i = 0; i < ENTRIES; i++)
        vworld_write(&w, 1);
    vworld_crash(&w, leader->id, SIM_PROCESS);
    vworld_start(&w, leader->id);
    leader = vworld_leader(&w);
    w.loses = answers_of_the_searched;
    vworld_start(&w, searched.node);
    vworld_carry(&w, 300000000);
    CHECK(searched.bytes > 0 && searched.bytes < 3000);
    w.loses = NULL;
    vworld_write(&w, 1);
    CHECK(vworld_leader(&w) == leader);
    vworld_drop(&w);
}

static int empties;

static bool counts_empties(struct vworld *w, int from, int to, struct slice bytes)
{
    struct RaftAppend m;

    if (bytes.p[0] == 3) {
        vworld_read(w, from, &RaftAppend_type, bytes, &m);
        empties += m.records.len == 0;
    }
    return false;
}

/* Voters hear soon of what has committed, and where one commit follows the other not of each by a message of its own. */
TEST(voters, commits_in_a_row_are_told_now_and_then)
{
    enum { WRITES = 60, TELL_NS = 2000000, BEAT_NS = 40000000, SOON_NS = 10000000 };
    struct vworld w;
    int64_t began, most;

    vworld_init(&w, 3, 1);
    vworld_write(&w, 1);
    empties = 0;
    w.loses = counts_empties;
    began = sim_now(w.sim);
    for (int i = 0; i < WRITES; i++)
        vworld_write(&w, 1);
    vworld_carry(&w, SOON_NS);
    most = (sim_now(w.sim) - began) / TELL_NS + (sim_now(w.sim) - began) / BEAT_NS + 2;
    CHECK(empties <= 2 * most);
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(w.nodes[i].committed->offset, vworld_leader(&w)->committed->offset);
    vworld_drop(&w);
}

static struct {
    int all, refused;
} answers;

static bool counts_answers(struct vworld *w, int from, int to, struct slice bytes)
{
    struct RaftAppendResult m;

    if (bytes.p[0] == 4) {
        vworld_read(w, from, &RaftAppendResult_type, bytes, &m);
        answers.all++;
        answers.refused += m.rejected != 0;
    }
    return false;
}

/* Long appends that follow one another aren't held back until the one before is answered: what comes next wouldn't fit, and be
 * refused. */
TEST(voters, long_appends_in_a_row_go_at_once)
{
    enum { FAT = 100000, WRITES = 64 };
    struct vworld w;

    vworld_init(&w, 3, 1);
    vworld_write(&w, 1);
    w.fat = FAT;
    w.loses = counts_answers;
    vworld_write(&w, WRITES);
    w.fat = 0;
    CHECK(answers.all >= WRITES && answers.refused == 0);
    vworld_agree(&w);
    vworld_drop(&w);
}
