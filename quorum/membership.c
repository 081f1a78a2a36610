/* Voters that come and go. One configuration after the other, each a control batch of the log; the library decides when one
 * holds, this file what is in it, and what is told.
 *
 *     add       raft_add (it doesn't vote) ─► committed ─► raft_assign: caught up, votes ─► committed
 *                                                    └─► not in time: raft_remove ─► committed
 *     remove    raft_remove ─► committed; of the leader itself: leadership goes to another, who is asked again
 *     rewrite   the same voters: a barrier that is written as a configuration
 *
 *  1. A change begins when the newest configuration has committed, and the barrier of this term: so at most one in a log
 *     hasn't, and the majorities of two that are in force at one time meet.
 *  2. A leader that finds a server which doesn't vote, and adds none, takes it out: the one before didn't get through.
 *  3. Nobody tells a server that it was removed: the leader only speaks to those that it counts. So a server that hears of no
 *     leader asks, and only a leader whose configuration has committed answers. What is believed: it is of this server's
 *     epoch or a later one, and it isn't older than a configuration that such a leader wrote.
 *  4. A server that was removed cuts its log to what has committed when it stops, and then writes so into quorum-state:
 *     only then its next start may take the log for one of which all has committed (observe.c). */
#include "quorum/raft_internal.h"
#include <stdio.h>

enum { NOT_HEARD = 2 }; /* election timeouts */

/* ---- the configuration in force ---- */

static int64_t patience_ns(const struct quorum *q)
{
    return (int64_t)NOT_HEARD * q->settings.election_ms * MS;
}

static void peers_move(struct quorum *q, const struct voters *v)
{
    struct quorum_progress progress[VOTERS_MAX];
    struct raft_peer peers[VOTERS_MAX];

    for (int i = 0; i < v->n; i++) {
        int was = voters_of_server(&q->voters, v->v[i].server_id);

        peers[i] = was < 0 ? (struct raft_peer){.ours_then = INT64_MAX} : q->peers[was];
        progress[i] = was < 0 ? (struct quorum_progress){.end = -1, .heard_ms = -1, .caught_up_ms = -1}
                              : q->view.progress[was];
    }
    memcpy(q->peers, peers, (size_t)v->n * sizeof(peers[0]));
    memcpy(q->view.progress, progress, (size_t)v->n * sizeof(progress[0]));
}

void member_take(struct quorum *q, const struct voters *v, raft_index index)
{
    const struct voters now = *v;

    ASSERT(index > q->voters_index || q->voters_index == 0);
    peers_move(q, &now);
    q->voters_before = q->voters;
    q->before_index = q->voters_index;
    q->voters = now;
    q->voters_index = index;
}

void member_restore(struct quorum *q, const struct voters *v, raft_index index)
{
    const struct voters now = *v;

    peers_move(q, &now);
    q->voters = q->voters_before = now;
    q->voters_index = q->before_index = index;
}

bool member_cut(struct quorum *q, raft_index index)
{
    if (index > q->voters_index)
        return true;
    if (index <= q->before_index)
        return false;
    member_restore(q, &q->voters_before, q->before_index);
    member_library(q);
    return true;
}

void member_library(struct quorum *q)
{
    struct raft_configuration c;
    int rv = raft_voters(&q->voters, &c);

    ASSERT(rv == 0);
    raft_configuration_close(&q->raft.configuration);
    q->raft.configuration = c;
}

const struct voters *member_committed(const struct quorum *q, raft_index index, raft_index *at)
{
    bool newest = q->voters_index <= index;

    *at = newest ? q->voters_index : q->before_index;
    return newest ? &q->voters : &q->voters_before;
}

static enum voter_role role_of(int role)
{
    return role == RAFT_VOTER ? VOTER_VOTES : role == RAFT_STANDBY ? VOTER_STANDBY : VOTER_SPARE;
}

void member_of_library(const struct quorum *q, struct voters *out)
{
    const struct raft_configuration *c = &q->raft.configuration;

    *out = (struct voters){.kraft_version = q->voters.kraft_version};
    ASSERT(c->n > 0 && c->n <= VOTERS_MAX);
    for (unsigned i = 0; i < c->n; i++) {
        int32_t server = (int32_t)c->servers[i].id;
        int at = voters_of_server(&q->voters, server);
        struct voter *v = &out->v[out->n++];

        ASSERT(at >= 0 || (q->change && q->change->kind == QUORUM_ADD && server == q->change_server));
        *v = at >= 0 ? q->voters.v[at]
                     : (struct voter){.server_id = server,
                                      .node = q->change->node,
                                      .directory_id = q->change->directory_id};
        v->role = role_of(c->servers[i].role);
    }
}

int32_t member_node(const struct quorum *q, raft_id server)
{
    int at = voters_of_server(&q->voters, (int32_t)server);

    if (at >= 0)
        return q->voters.v[at].node;
    at = voters_of_server(&q->voters_before, (int32_t)server);
    if (at >= 0)
        return q->voters_before.v[at].node;
    return q->guest.server_id == (int32_t)server ? q->guest.node : -1;
}

static void voters_tell(struct quorum *q)
{
    if (q->voters_told == q->voters_index)
        return;
    q->voters_told = q->voters_index;
    if (q->ops.voters)
        q->ops.voters(q->ops.arg);
}

/* ---- who speaks ---- */

/* The newest configuration has committed, and this leader may say so. */
static bool settled(const struct quorum *q)
{
    return q->told_self && raft_state((struct raft *)&q->raft) == RAFT_LEADER &&
           q->voters_index <= q->applied;
}

void quorum_hello(struct quorum *q, int32_t node, const struct uuid *directory_id)
{
    int at = voters_of_node(&q->voters, node);

    if (at < 0)
        return;
    q->peers[at].hello = *directory_id;
    q->peers[at].refused = false;
}

static bool other_disk(struct quorum *q, int voter)
{
    const struct voter *v = &q->voters.v[voter];
    struct raft_peer *p = &q->peers[voter];

    if (uuid_is_zero(v->directory_id) || uuid_is_zero(p->hello) || uuid_eq(v->directory_id, p->hello))
        return false;
    if (!p->refused)
        TRACE(q->io, quorum_other_disk, v->node);
    p->refused = true;
    return true;
}

bool member_speaks(struct quorum *q, int32_t node, int32_t server, int *voter)
{
    *voter = voters_of_server(&q->voters, server);
    if (*voter < 0) {
        q->guest = (struct voter){.server_id = server, .node = node};
        return server > 0;
    }
    if (q->voters.v[*voter].node != node || other_disk(q, *voter))
        return false;
    q->peers[*voter].dead = false;
    return true;
}

void member_heard(struct quorum *q, int voter)
{
    q->peers[voter].heard = loop_now(q->control);
    q->peers[voter].bulk_until = 0;
}

/* ---- who was removed ---- */

void member_standing(struct quorum *q, raft_term term)
{
    if (!settled(q))
        return;
    if (term > q->raft.current_term)
        raft_step_down(q, term); /* a word of an older epoch wouldn't be believed */
    else
        raft_msg_removed(q, &q->guest);
}

void member_removed(struct quorum *q, raft_term term, raft_index index)
{
    const struct entry_row *row = entry_book_row(&q->book, q->voters_index);

    if (term < q->raft.current_term || raft_state(&q->raft) == RAFT_LEADER)
        return;
    if (q->voters_index > index && (q->voters_index <= q->applied || !row || (raft_term)row->epoch >= term))
        return;
    q->removed_by = index;
    q->removed_at = q->view.committed;
    TRACE(q->io, quorum_removed);
    quorum_leave(q);
}

static void standing_ask(struct quorum *q, const struct voters *v)
{
    for (int i = 0; i < v->n; i++)
        if (v->v[i].server_id != q->server_id)
            raft_msg_standing(q, &v->v[i]);
}

void member_tick(struct quorum *q)
{
    int64_t now = loop_now(q->control);

    if (raft_state(&q->raft) == RAFT_LEADER || q->leader_ns == 0)
        q->leader_ns = now;
    if (now - q->leader_ns < patience_ns(q) || now - q->standing_ns < patience_ns(q) / NOT_HEARD)
        return;
    q->standing_ns = now;
    standing_ask(q, &q->voters);
    if (q->before_index < q->voters_index)
        standing_ask(q, &q->voters_before);
}

void member_follow(struct quorum *q)
{
    voters_tell(q);
    if (q->role_told || q->settings.observes || (int64_t)q->voters_index <= q->state.removed_index ||
        !voters_name(&q->voters, q->settings.node_id, &q->settings.directory_id))
        return;
    q->role_told = true;
    TRACE(q->io, quorum_named);
    if (q->ops.role)
        q->ops.role(q->ops.arg, true);
}

/* ---- changes ---- */

static void change_end(struct quorum *q, enum err err)
{
    struct quorum_change *c = q->change;

    q->change = NULL;
    q->change_step = CHANGE_NONE;
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
static bool step_to(struct quorum *q, enum change_step step)
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
    return step_to(q, CHANGE_REWRITE);
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

static bool answers(const struct quorum *q, int voter)
{
    return q->voters.v[voter].server_id == q->server_id ||
           (q->peers[voter].heard > 0 && loop_now(q->control) - q->peers[voter].heard <= patience_ns(q));
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
        there += i != at && answers(q, i);
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

    if (q->phase != QUORUM_RUNNING || q->observes || !q->told_self)
        return E_NOT_CONTROLLER;
    if ((c->kind == QUORUM_UPGRADE) != (q->voters.kraft_version == 0)) {
        snprintf(c->why, sizeof(c->why), "kraft.version is %d", q->voters.kraft_version);
        return E_UNSUPPORTED_VERSION;
    }
    if (busy || !settled(q)) {
        snprintf(c->why, sizeof(c->why), "another change of the voters is under way");
        return E_REQUEST_TIMED_OUT;
    }
    return c->kind == QUORUM_ADD ? add_check(q, c) : c->kind == QUORUM_REMOVE ? remove_check(q, c) : E_OK;
}

/* ---- giving leadership away ---- */

/* To the one that answers and has most of the log. */
static int32_t heir(const struct quorum *q)
{
    const struct raft_progress *p = q->raft.leader_state.progress;
    int best = -1;

    for (int i = 0; i < q->voters.n; i++) {
        ASSERT(q->raft.configuration.servers[i].id == (raft_id)q->voters.v[i].server_id);
        if (q->voters.v[i].role == VOTER_VOTES && q->voters.v[i].server_id != q->server_id && answers(q, i) &&
            (best < 0 || p[i].match_index > p[best].match_index))
            best = i;
    }
    return best < 0 ? -1 : q->voters.v[best].server_id;
}

static void transfer_begin(struct quorum *q)
{
    raft_term term = q->raft.current_term;

    q->change_server = heir(q);
    ASSERT(q->change_server > 0); /* a majority of the others answers */
    q->transferring = true;
    quorum_abandon(q);
    if (step_to(q, CHANGE_TRANSFER))
        return;
    q->change_step = CHANGE_TRANSFER; /* what is in flight was given up: this epoch is over in any case */
    raft_step_down(q, term + 1);
}

static bool change_begin(struct quorum *q, struct quorum_change *c)
{
    struct voters v = q->voters;

    q->change = c;
    switch (c->kind) {
    case QUORUM_ADD:
        q->change_server = voter_server_added(&c->directory_id);
        return step_to(q, CHANGE_ADD);
    case QUORUM_REMOVE:
        if (q->change_server != q->server_id)
            return step_to(q, CHANGE_REMOVE);
        transfer_begin(q);
        return true;
    case QUORUM_UPGRADE:
        v.kraft_version = 1;
        return rewrite(q, &v);
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
        (void)step_to(q, CHANGE_BACK);
        return;
    }
    (void)directories_note(q);
}

static void step_next(struct quorum *q)
{
    struct voter gone = {.server_id = q->change_server, .node = q->change ? q->change->node : -1};

    switch (q->change_step) {
    case CHANGE_ADD:
        if (!step_to(q, CHANGE_PROMOTE) && !step_to(q, CHANGE_BACK))
            change_end(q, E_REQUEST_TIMED_OUT);
        break;
    case CHANGE_PROMOTE:
        if (q->change_status == 0)
            change_end(q, E_OK);
        else if (!step_to(q, CHANGE_BACK))
            change_end(q, E_REQUEST_TIMED_OUT);
        break;
    case CHANGE_BACK:
        if (q->change)
            snprintf(q->change->why, sizeof(q->change->why), "node %d didn't catch up in time", gone.node);
        change_end(q, E_REQUEST_TIMED_OUT);
        break;
    case CHANGE_REMOVE:
        raft_msg_removed(q, &gone);
        change_end(q, E_OK);
        break;
    default:
        change_end(q, E_OK);
        break;
    }
}

void member_step(struct quorum *q)
{
    voters_tell(q);
    if (raft_state(&q->raft) != RAFT_LEADER) {
        q->transferring = false;
        if (q->change_step != CHANGE_NONE)
            change_end(q, E_NOT_CONTROLLER);
        return;
    }
    if (q->change_step == CHANGE_TRANSFER && q->change_over) {
        raft_step_down(q, q->raft.current_term + 1);
    } else if (settled(q) && q->change_step != CHANGE_TRANSFER) {
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
