#include "quorum_wire.h"
#include "proto_gen.h"
#include "scenario.h"

enum { VOTERS = 8 };
enum kind {
    VOTE = 1,
    VOTE_RESULT,
    APPEND,
    APPEND_RESULT,
    INSTALL,
    TIMEOUT_NOW,
    CONFIRM,
    CONFIRMED,
    STANDING,
    REMOVED,
    EMPTY
};

struct lead {
    int leader; /* 0: nobody was seen to lead it */
    uint64_t life;
};

struct speaker {
    int32_t named; /* the highest epoch that it said it is in */
    int32_t vote_epoch;
    int vote;
    int64_t asked, stood; /* epochs for which it asked in advance, stood for election, in this life */
    uint64_t life;
};

struct qwire {
    struct sim *sim;
    struct heap *heap;
    struct qvoters *voters;
    struct lead *leads; /* by epoch */
    size_t leads_room;
    struct speaker v[VOTERS];
    struct qwire_seen seen;
};

struct qwire *qwire_new(struct sim *s, struct heap *h, struct qvoters *voters)
{
    struct qwire *w = heap_alloc(h, sizeof(*w));

    *w = (struct qwire){.sim = s, .heap = h, .voters = voters};
    return w;
}

void qwire_start(struct qwire *w, int node)
{
    w->v[node].life++;
    w->v[node].asked = w->v[node].stood = 0;
}

void qwire_disk(struct qwire *w, int node)
{
    w->v[node] = (struct speaker){.life = w->v[node].life};
}

const struct qwire_seen *qwire_seen(const struct qwire *w)
{
    return &w->seen;
}

/* ---- leaders ---- */

static struct lead *lead_of(struct qwire *w, int32_t epoch)
{
    JUDGE(epoch >= 0 && epoch < 1000000, "epoch %d", epoch);
    while ((size_t)epoch >= w->leads_room) {
        size_t room = w->leads_room ? 2 * w->leads_room : 256;

        w->leads = heap_resize(w->heap, w->leads, room * sizeof(w->leads[0]));
        memset(w->leads + w->leads_room, 0, (room - w->leads_room) * sizeof(w->leads[0]));
        w->leads_room = room;
    }
    return &w->leads[epoch];
}

void qwire_leads(struct qwire *w, int node, int leader, int32_t epoch)
{
    struct lead *l = lead_of(w, epoch);

    JUDGE(l->leader == 0 || l->leader == leader, "epoch %d: node %d says that %d leads, and %d did", epoch,
          node, leader, l->leader);
    l->leader = leader;
    if (node != leader)
        return;
    JUDGE(l->life == 0 || l->life == w->v[node].life, "node %d leads epoch %d in a second life", node, epoch);
    w->seen.led += l->life == 0;
    w->seen.leader = l->life == 0 ? node : w->seen.leader;
    l->life = w->v[node].life;
}

/* ---- votes ---- */

static void names(struct qwire *w, int node, int64_t epoch)
{
    struct speaker *v = &w->v[node];

    JUDGE(epoch >= v->named, "node %d speaks in epoch %lld after %d", node, (long long)epoch, v->named);
    v->named = (int32_t)epoch;
}

static void votes(struct qwire *w, int node, int candidate, int64_t epoch)
{
    struct speaker *v = &w->v[node];

    names(w, node, epoch);
    JUDGE(v->vote_epoch != epoch || v->vote == candidate, "node %d votes for %d and for %d in epoch %lld",
          node, v->vote, candidate, (long long)epoch);
    v->vote_epoch = (int32_t)epoch;
    v->vote = candidate;
}

static void asks(struct qwire *w, int node, const struct RaftVote *m)
{
    struct speaker *v = &w->v[node];

    if (m->pre_vote) {
        v->asked = m->term;
        return;
    }
    JUDGE(v->asked == m->term || m->disrupt_leader || v->stood == m->term ||
              (v->stood > 0 && v->stood == m->term - 1),
          "node %d stands for epoch %lld without asking first", node, (long long)m->term);
    w->seen.stood += v->stood != m->term;
    v->stood = m->term;
    w->seen.candidate = node;
    votes(w, node, m->from, m->term);
}

static void answers(struct qwire *w, int node, const struct RaftVoteResult *m)
{
    w->seen.granted += m->granted;
    w->seen.refused += !m->granted;
    if (m->granted && !m->pre_vote) {
        votes(w, node, m->to, m->term);
        qvoters_voted(w->voters, m->from, m->to, m->term);
    } else if (m->pre_vote) { /* of a vote in advance, the candidate's epoch if that is higher */
        JUDGE(m->term >= w->v[node].named, "node %d, asked in advance, answers with epoch %lld after %d",
              node, (long long)m->term, w->v[node].named);
    } else {
        names(w, node, m->term);
    }
}

static void read_row(const struct proto_type *type, struct slice bytes, struct arena *a, void *out)
{
    JUDGE(proto_decode(type, bytes.p[1], slice_of(bytes.p + 2, bytes.len - 2), a, out) == E_OK,
          "a message of kind %d doesn't read", bytes.p[0]);
}

void qwire_sent(struct qwire *w, int node, struct slice bytes)
{
    union {
        struct RaftVote vote;
        struct RaftVoteResult result;
        struct RaftAppend append;
        struct RaftAppendResult append_result;
    } m;
    struct arena a;

    JUDGE(bytes.len >= 2, "node %d sends %zu bytes", node, bytes.len);
    /* Anybody may have read the one in what committed; the others ask whether one votes, and say that there is nothing. */
    if (bytes.p[0] != REMOVED && bytes.p[0] != STANDING && bytes.p[0] != EMPTY)
        qvoters_said(w->voters, node);
    arena_init(&a, w->heap, SIZE_MAX);
    switch (bytes.p[0]) {
    case VOTE:
        read_row(&RaftVote_type, bytes, &a, &m);
        asks(w, node, &m.vote);
        break;
    case VOTE_RESULT:
        read_row(&RaftVoteResult_type, bytes, &a, &m);
        answers(w, node, &m.result);
        break;
    case APPEND:
        read_row(&RaftAppend_type, bytes, &a, &m);
        names(w, node, m.append.term);
        qwire_leads(w, node, node, (int32_t)m.append.term);
        break;
    case APPEND_RESULT:
        read_row(&RaftAppendResult_type, bytes, &a, &m);
        names(w, node, m.append_result.term);
        break;
    default:
        break;
    }
    arena_drop(&a);
}

void qwire_judge_disk(struct qwire *w, int node)
{
    struct qdisk_state on_disk = qdisk_state(w->sim, node);
    const struct speaker *v = &w->v[node];

    JUDGE(on_disk.epoch >= v->named, "node %d named epoch %d and its disk says %d", node, v->named,
          on_disk.epoch);
    JUDGE(v->vote_epoch == 0 || on_disk.epoch != v->vote_epoch || on_disk.voted == v->vote,
          "node %d voted for %d in epoch %d and its disk says %d", node, v->vote, v->vote_epoch,
          on_disk.voted);
}
