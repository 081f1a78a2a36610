/* Changes of the voters. One configuration after the other, each a control batch of the log; the library decides when one
 * holds, this file what is in it, and what is told.
 *
 *     add       raft_add (it doesn't vote) ─► committed ─► raft_assign: caught up, votes ─► committed
 *                                                    └─► not in time: raft_remove ─► committed
 *     remove    raft_remove ─► committed; of the leader itself: leadership goes to another, who is asked again
 *     rewrite   the same voters: a barrier that is written as a configuration
 *
 *  1. A change begins when the newest configuration has committed, and the barrier of this term: so at most one in a log
 *     hasn't, and the majorities of two that are in force at one time meet.
 *  2. A leader that finds a server which doesn't vote, and adds none, takes it out: the one before didn't get through. */
#include "quorum/raft_internal.h"
#include <stdio.h>

enum { ROOM_AGAIN_MS = 30000 };

static void change_end(struct quorum *q, enum err err)
{
    struct quorum_change *c = q->change;

    q->change = NULL;
    q->change_step = CHANGE_NONE;
    q->healing = false;
    if (c && err)
        TRACE(q->io, quorum_change_failed, c->node, err_text(err));
    else if (c)
        TRACE(q->io, quorum_changed, voters_voting(&q->voters), c->node);
    if (c)
        c->done(c, err); /* last touch */
}

static void step_over(struct quorum *q, int status)
{
    q->change_over = true;
    q->change_status = status;
}

static void changed(struct raft_change *req, int status)
{
    step_over(container_of(req, struct quorum, change_req), status);
}

static void rewritten(struct raft_barrier *req, int status)
{
    step_over(container_of(req, struct quorum, rewrite_req), status);
}

static void transferred(struct raft_transfer *req)
{
    step_over(container_of(req, struct quorum, transfer_req), 0);
}

/* The library takes it, or not: then its callback doesn't come. */
bool change_to(struct quorum *q, enum change_step step)
{
    char address[16];
    raft_id id = (raft_id)q->change_server;
    int rv;

    raft_enter(q);
    q->change_over = false;
    q->change_step = step;
    snprintf(address, sizeof(address), "%d", q->change_server);
    if (step == CHANGE_ADD)
        rv = raft_add(&q->raft, &q->change_req, id, address, changed);
    else if (step == CHANGE_PROMOTE)
        rv = raft_assign(&q->raft, &q->change_req, id, RAFT_VOTER, changed);
    else if (step == CHANGE_REWRITE)
        rv = raft_barrier(&q->raft, &q->rewrite_req, rewritten);
    else if (step == CHANGE_TRANSFER)
        rv = raft_transfer(&q->raft, &q->transfer_req, id, transferred);
    else
        rv = raft_remove(&q->raft, &q->change_req, id, changed);
    q->rewrite.n = 0;
    if (rv)
        q->change_step = CHANGE_NONE;
    return rv == 0;
}

static bool rewrite(struct quorum *q, const struct voters *v)
{
    q->rewrite = *v;
    return change_to(q, CHANGE_REWRITE);
}

/* ---- what may begin ---- */

static enum err add_check(struct quorum *q, struct quorum_change *c)
{
    int32_t server = voter_server_added(&c->directory_id);

    if (c->node < 0 || uuid_is_zero(c->directory_id)) {
        snprintf(c->why, sizeof(c->why), "a voter needs a node id and a directory id");
        return E_INVALID_REQUEST;
    }
    for (int i = 0; i < q->voters.n; i++) {
        const struct voter *v = &q->voters.v[i];

        if (v->node != c->node && !uuid_eq(v->directory_id, c->directory_id) && v->server_id != server)
            continue;
        snprintf(c->why, sizeof(c->why), "node %d is a voter%s", v->node,
                 v->node == c->node ? " already" : ", and its directory can't be told from this one");
        return E_DUPLICATE_VOTER;
    }
    if (q->voters.n == VOTERS_MAX) {
        snprintf(c->why, sizeof(c->why), "there can't be more than %d voters", VOTERS_MAX);
        return E_INVALID_REQUEST;
    }
    return E_OK;
}

bool member_answers(const struct quorum *q, int voter)
{
    return q->voters.v[voter].server_id == q->server_id ||
           (q->peers[voter].heard > 0 &&
            loop_now(q->control) - q->peers[voter].heard <= member_patience_ns(q));
}

static enum err remove_check(struct quorum *q, struct quorum_change *c)
{
    int at = voters_of_directory(&q->voters, c->node, &c->directory_id);
    int left = voters_voting(&q->voters) - 1, there = 0;

    if (at < 0)
        return E_VOTER_NOT_FOUND;
    if (left == 0) {
        snprintf(c->why, sizeof(c->why), "node %d is the only voter", c->node);
        return E_INVALID_REQUEST;
    }
    for (int i = 0; i < q->voters.n; i++)
        there += i != at && member_answers(q, i);
    if (there <= left / 2) {
        snprintf(c->why, sizeof(c->why),
                 "without node %d the majority would be lost: %d of the %d voters that are left answer",
                 c->node, there, left);
        return E_INVALID_REQUEST;
    }
    q->change_server = q->voters.v[at].server_id;
    return E_OK;
}

static enum err change_check(struct quorum *q, struct quorum_change *c)
{
    bool busy = q->change_step != CHANGE_NONE;
    bool raise = c->kind == QUORUM_UPGRADE;

    if (q->phase != QUORUM_RUNNING || q->observes || !q->told_self)
        return E_NOT_CONTROLLER;
    busy |= !member_settled(q);
    if (!(busy && raise) && raise != (q->voters.kraft_version == 0)) {
        snprintf(c->why, sizeof(c->why), "kraft.version is %d", q->voters.kraft_version);
        return E_UNSUPPORTED_VERSION;
    }
    if (busy) {
        snprintf(c->why, sizeof(c->why), "another change of the voters is under way");
        return E_REQUEST_TIMED_OUT;
    }
    return c->kind == QUORUM_ADD ? add_check(q, c) : c->kind == QUORUM_REMOVE ? remove_check(q, c) : E_OK;
}

/* ---- giving leadership away ---- */

int32_t member_heir(const struct quorum *q, raft_index least, bool roomy)
{
    const struct raft_progress *p = q->raft.leader_state.progress;
    int best = -1;

    for (int i = 0; i < q->voters.n; i++) {
        ASSERT(q->raft.configuration.servers[i].id == (raft_id)q->voters.v[i].server_id);
        if (q->voters.v[i].role == VOTER_VOTES && q->voters.v[i].server_id != q->server_id &&
            member_answers(q, i) && p[i].match_index >= least && !(roomy && q->peers[i].tight) &&
            (best < 0 || p[i].match_index > p[best].match_index))
            best = i;
    }
    return best < 0 ? -1 : q->voters.v[best].server_id;
}

static void transfer_begin(struct quorum *q, int32_t to)
{
    raft_term term = q->raft.current_term;

    q->change_server = to;
    q->transferring = true;
    quorum_abandon(q);
    if (change_to(q, CHANGE_TRANSFER))
        return;
    q->change_step = CHANGE_TRANSFER; /* what is in flight was given up: this epoch is over in any case */
    raft_step_down(q, term + 1);
}

static bool may_give_way(const struct quorum *q)
{
    return q->phase == QUORUM_RUNNING && !q->observes && q->change_step == CHANGE_NONE && member_settled(q);
}

static void give_way(struct quorum *q, int32_t to)
{
    if (to < 0) /* nobody has room, or nobody has said so yet */
        return;
    TRACE(q->io, quorum_gives_way, member_node(q, (raft_id)to));
    transfer_begin(q, to);
    quorum_observe(q);
}

void member_give_way(struct quorum *q)
{
    if (may_give_way(q))
        give_way(q, member_heir(q, q->raft.last_stored + 1, false));
}

/* Before the reserve is used up: it is for what frees room, and all else would wait here. Not soon again: two disks that are
 * nearly full may take turns in having room. */
void member_room(struct quorum *q)
{
    int64_t now = loop_now(q->control);
    int32_t to;

    if (!q->tight || !may_give_way(q) ||
        (q->gave_way_ns > 0 && now - q->gave_way_ns < (int64_t)ROOM_AGAIN_MS * MS))
        return;
    to = member_heir(q, q->raft.commit_index, true);
    if (to > 0)
        q->gave_way_ns = now;
    give_way(q, to);
}

static bool upgrade(struct quorum *q)
{
    struct voters v = q->voters;

    v.kraft_version = 1;
    v.awaited = 0;
    return rewrite(q, &v);
}

static bool change_begin(struct quorum *q, struct quorum_change *c)
{
    int32_t to;

    q->change = c;
    switch (c->kind) {
    case QUORUM_ADD:
        q->newcomer = (struct voter){.server_id = voter_server_added(&c->directory_id),
                                     .node = c->node,
                                     .directory_id = c->directory_id};
        q->change_server = q->newcomer.server_id;
        return change_to(q, CHANGE_ADD);
    case QUORUM_REMOVE:
        if (q->change_server != q->server_id)
            return change_to(q, CHANGE_REMOVE);
        to = member_heir(q, 0, false);
        ASSERT(to > 0); /* a majority of the others answers */
        transfer_begin(q, to);
        return true;
    case QUORUM_UPGRADE:
        return upgrade(q);
    }
    return false;
}

static void change_run(struct msg *msg)
{
    struct quorum_change *c = container_of(msg, struct quorum_change, msg);
    struct quorum *q = c->owner;
    enum err err;

    q->changes_posted--;
    err = change_check(q, c);
    if (err) {
        c->done(c, err);
        quorum_drained(q);
        return;
    }
    if (!change_begin(q, c))
        change_end(q, E_REQUEST_TIMED_OUT);
    quorum_observe(q);
}

void quorum_raise(struct quorum *q)
{
    q->raises = true;
}

void quorum_change(struct quorum *q, struct quorum_change *c)
{
    ASSERT(!q->stopped);
    c->owner = q;
    c->why[0] = 0;
    c->msg.run = change_run;
    q->changes_posted++;
    loop_post(q->control, &c->msg);
}

/* ---- steps ---- */

/* Directories that the configuration doesn't have yet, of those who said theirs. */
static bool directories_note(struct quorum *q)
{
    struct voters v = q->voters;
    bool new = false;

    for (int i = 0; i < v.n; i++) {
        const struct uuid *said =
            v.v[i].server_id == q->server_id ? &q->settings.directory_id : &q->peers[i].hello;

        if (!uuid_is_zero(v.v[i].directory_id) || uuid_is_zero(*said))
            continue;
        v.v[i].directory_id = *said;
        new = true;
    }
    return new &&rewrite(q, &v);
}

/* What the leader does by itself. */
static void tidy(struct quorum *q)
{
    for (int i = 0; i < q->voters.n; i++) {
        if (q->voters.v[i].role == VOTER_VOTES)
            continue;
        q->change_server = q->voters.v[i].server_id;
        TRACE(q->io, quorum_change_undone, q->voters.v[i].node);
        (void)change_to(q, CHANGE_BACK);
        return;
    }
    if (directories_note(q) || (q->raises && q->voters.kraft_version == 0 && upgrade(q)))
        return;
    heal_look(q);
}

static void step_next(struct quorum *q)
{
    struct voter gone = {.server_id = q->change_server, .node = q->change ? q->change->node : -1};

    if (q->healing)
        heal_stepped(q);
    switch (q->change_step) {
    case CHANGE_ADD:
        if (!change_to(q, CHANGE_PROMOTE) && !change_to(q, CHANGE_BACK))
            change_end(q, E_REQUEST_TIMED_OUT);
        break;
    case CHANGE_PROMOTE:
        if (q->change_status == 0)
            change_end(q, E_OK);
        else if (!change_to(q, CHANGE_BACK))
            change_end(q, E_REQUEST_TIMED_OUT);
        break;
    case CHANGE_BACK:
        if (q->change)
            snprintf(q->change->why, sizeof(q->change->why), "node %d didn't catch up in time", gone.node);
        change_end(q, E_REQUEST_TIMED_OUT);
        break;
    case CHANGE_REMOVE:
        raft_msg_removed(q, &gone, q->applied_epoch, q->voters_index);
        change_end(q, E_OK);
        break;
    default:
        change_end(q, E_OK);
        break;
    }
}

void member_step(struct quorum *q)
{
    member_tell(q);
    if (raft_state(&q->raft) != RAFT_LEADER) {
        q->transferring = false;
        if (q->change_step != CHANGE_NONE)
            change_end(q, E_NOT_CONTROLLER);
        return;
    }
    if (q->change_step == CHANGE_TRANSFER && q->change_over) {
        raft_step_down(q, q->raft.current_term + 1);
    } else if (member_settled(q) && q->change_step != CHANGE_TRANSFER) {
        if (q->change_step == CHANGE_NONE)
            tidy(q);
        else if (q->change_over)
            step_next(q);
    }
}

void member_end(struct quorum *q)
{
    q->transferring = false;
    if (q->change_step != CHANGE_NONE)
        change_end(q, q->view.failed ? q->view.failed : E_NOT_CONTROLLER);
}
