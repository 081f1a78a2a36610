/* Voters that come and go: the configuration in force, whose message it is, and who was removed. member_change.c has what changes
 * it, heal.c the disks of fixed voters.
 *
 *  1. Nobody tells a server that it was removed: the leader only speaks to those that it counts. So a server that hears of no
 *     leader asks all that it takes for voters, and each who has a committed configuration without it answers, whether it leads,
 *     votes or follows: those who led when it fell may do none of that any more. The answer names the newest entry of which
 *     its sender knows that it has committed, by epoch, and the newest configuration up to there. It is believed if this
 *     server has no later configuration of that epoch or a later one: who is counted as a voter has the configuration that says
 *     so, and one of an earlier epoch that the sender lacks never committed.
 *  2. A server that was removed cuts its log to what has committed when it stops, and then writes so into quorum-state:
 *     only then its next start may take the log for one of which all has committed (observe.c).
 *  3. A server that neither the newest configuration names nor the one before is a stranger, or a voter of a configuration that
 *     hasn't come here yet. The second kind is needed only where no leader is left that we know: else that one would have sent the
 *     configuration. So a stranger is believed when no leader has been heard of for `member_patience_ns()`, and while it is
 *     itself the leader; before, its terms, votes (also those which may disrupt a leader), entries and snapshots are dropped. */
#include "quorum/raft_internal.h"

/* ---- the configuration in force ---- */

int64_t member_patience_ns(const struct quorum *q)
{
    return (int64_t)NOT_HEARD * q->settings.election_ms * MS;
}

static void peers_move(struct quorum *q, const struct voters *v)
{
    struct quorum_progress progress[VOTERS_MAX];
    struct raft_peer peers[VOTERS_MAX];

    for (int i = 0; i < v->n; i++) {
        int was = voters_of_server(&q->voters, v->v[i].server_id);

        peers[i] = was < 0 ? (struct raft_peer){.ours_then = INT64_MAX, .hello = heal_said(q, v->v[i].node)}
                           : q->peers[was];
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

        ASSERT(at >= 0 || server == q->newcomer.server_id);
        *v = at >= 0 ? q->voters.v[at] : q->newcomer;
        v->role = role_of(c->servers[i].role);
    }
    out->awaited = heal_awaited(q, out);
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

void member_tell(struct quorum *q)
{
    if (q->voters_told == q->voters_index)
        return;
    q->voters_told = q->voters_index;
    if (q->ops.voters)
        q->ops.voters(q->ops.arg);
}

/* ---- who speaks ---- */

bool member_settled(const struct quorum *q)
{
    bool settled = q->told_self && raft_state((struct raft *)&q->raft) == RAFT_LEADER;

    ASSERT(!settled || q->change_step != CHANGE_NONE || q->voters_index <= q->applied);
    return settled;
}

bool member_other_disk(const struct quorum *q, int voter)
{
    const struct voter *v = &q->voters.v[voter];
    const struct raft_peer *p = &q->peers[voter];

    return !uuid_is_zero(v->directory_id) && !uuid_is_zero(p->hello) && !uuid_eq(v->directory_id, p->hello);
}

void quorum_hello(struct quorum *q, int32_t node, const struct uuid *directory_id)
{
    int at = voters_of_node(&q->voters, node);

    heal_hello(q, node, directory_id);
    if (at < 0)
        return;
    q->peers[at].hello = *directory_id;
    q->peers[at].refused = false;
    if (member_other_disk(q, at))
        heal_hopeless(q);
}

static bool refuse(struct quorum *q, int voter)
{
    struct raft_peer *p = &q->peers[voter];

    if (!member_other_disk(q, voter))
        return false;
    if (!p->refused)
        TRACE(q->io, quorum_other_disk, q->voters.v[voter].node);
    p->refused = true;
    return true;
}

int member_named(const struct quorum *q, const struct voters *v)
{
    int at = voters_of_directory(v, q->settings.node_id, &q->settings.directory_id);
    bool any = q->settings.fixed || q->settings.joins || v->kraft_version == 0;

    if (at >= 0 && any && v->n > 1 && uuid_is_zero(v->v[at].directory_id) && !q->state.founder)
        return -1;
    return at;
}

bool member_speaks(struct quorum *q, int32_t node, int32_t server, int *voter)
{
    *voter = voters_of_server(&q->voters, server);
    if (*voter < 0) {
        q->guest = (struct voter){.server_id = server, .node = node};
        return server > 0;
    }
    if (q->voters.v[*voter].node != node || refuse(q, *voter))
        return false;
    q->peers[*voter].dead = false;
    return true;
}

static bool follows(const struct quorum *q, int32_t server)
{
    return q->raft.state == RAFT_FOLLOWER && q->raft.follower_state.current_leader.id == (raft_id)server;
}

bool member_believed(const struct quorum *q, int32_t server)
{
    if (voters_of_server(&q->voters, server) >= 0 || voters_of_server(&q->voters_before, server) >= 0 ||
        q->newcomer.server_id == server || follows(q, server))
        return true;
    return q->raft.state != RAFT_LEADER && q->leader_ns > 0 &&
           loop_now(q->control) - q->leader_ns >= member_patience_ns(q);
}

void member_heard(struct quorum *q, int voter)
{
    q->peers[voter].heard = loop_now(q->control);
    q->peers[voter].bulk_until = 0;
}

/* ---- who was removed ---- */

void member_standing(struct quorum *q)
{
    int32_t epoch = q->observes ? q->seen.last_epoch : q->applied_epoch;
    raft_index at;
    const struct voters *v = member_committed(q, q->applied, &at);

    if (epoch > 0 && at > 0 && v->n > 0 && voters_of_server(v, q->guest.server_id) < 0)
        raft_msg_removed(q, &q->guest, epoch, at);
}

void member_removed(struct quorum *q, raft_term term, raft_index index)
{
    const struct entry_row *row = entry_book_row(&q->book, q->voters_index);

    if (raft_state(&q->raft) == RAFT_LEADER)
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
    if (now - q->leader_ns < member_patience_ns(q) ||
        now - q->standing_ns < member_patience_ns(q) / NOT_HEARD)
        return;
    q->standing_ns = now;
    standing_ask(q, &q->voters);
    if (q->before_index < q->voters_index)
        standing_ask(q, &q->voters_before);
}

void member_follow(struct quorum *q)
{
    member_tell(q);
    if (q->role_told || q->settings.observes || (int64_t)q->voters_index <= q->state.removed_index ||
        member_named(q, &q->voters) < 0)
        return;
    q->role_told = true;
    TRACE(q->io, quorum_named);
    if (q->ops.role)
        q->ops.role(q->ops.arg, true);
}
