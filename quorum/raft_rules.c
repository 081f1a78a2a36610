/* Seven rules that libraft 0.15.0 leaves to its raft_io, and that it isn't safe without. Each was found by losing a
 * committed entry, or a process, in simulation; canaries.def removes those that a seed catches.
 *
 *  1. A new leader appends a barrier in the callback that elected it, and takes no success of a follower before that
 *     barrier is on its own disk, but keeps it until then: else it would commit entries of older terms by counting
 *     copies.
 *  2. A follower's success names at most the end of the request that it answers: what it stored behind that may be a
 *     stale tail, which the leader would take for its own entries.
 *  3. A follower whose term moved on while it wrote stays silent: its write belongs to another leader's request.
 *  4. An append that begins below the part of the log that a snapshot replaced is cut to what lies behind it: the
 *     library would put its entries at the wrong index. If nothing is left, what the snapshot ends with is confirmed, which every
 *     leader that may still speak has: without an answer it would send the same again for ever.
 *  5. A refused pre-vote answers with the voter's own term: else a candidate of an older term never learns of it, and
 *     nobody is elected.
 *  6. An append never ends with an error (raft_io.c: raft_append_done): the library would cut its log once for each.
 *  7. A follower learns of a commit up to the end of the request that tells it: the library would take its own stale tail
 *     behind that for committed. No seed brings that about any more since a leader that searches sends one entry, for its logs
 *     differ first where a barrier begins an epoch, and that barrier comes with the first question that fits. The rule doesn't
 *     count on it.
 *
 * And two for membership.c:
 *  8. A server votes once in an epoch, also while it gives its leadership away: the library would vote for the heir again.
 *  9. A server votes whether or not its own log says that it may: the candidate counts by its own. Else one that becomes the
 *     second voter, and has gone before it was told so, leaves the first one without a majority for ever.
 *     Nor does it believe for ever in the leader that it heard last: the library forgets that one when a server stands itself,
 *     and refuses its vote to all others until then.
 */
#include "quorum/raft_internal.h"

static void barrier_over(struct raft_barrier *req, int status)
{
    struct quorum *q = container_of(req, struct quorum, barrier_req);

    q->barrier_pending = false;
    q->barrier_done = status == 0;
}

void rule_lead(struct quorum *q)
{
    if (raft_state(&q->raft) != RAFT_LEADER || q->lead_term == q->raft.current_term)
        return;
    ASSERT(!q->barrier_pending);
    progress_begin(q);
    q->lead_term = q->raft.current_term;
    q->barrier_pending = true;
    q->barrier_done = false;
    if (raft_barrier(&q->raft, &q->barrier_req, barrier_over)) {
        q->barrier_pending = false;
        q->lead_term = 0; /* again at the next look: until then no result counts */
        q->barrier = 0;
        return;
    }
    q->barrier = raft_last_index(&q->raft);
}

static bool barrier_stored(const struct quorum *q)
{
    return q->barrier != 0 && q->raft.last_stored >= q->barrier;
}

/* It is kept rather than dropped: the barrier goes to a follower when its first result has come, and without this one the
 * next is a heartbeat away. */
bool rule_hold(struct quorum *q, const struct raft_message *m)
{
    if (m->type != RAFT_IO_APPEND_ENTRIES_RESULT || q->raft.state != RAFT_LEADER ||
        m->append_entries_result.rejected != 0 || m->append_entries_result.term > q->raft.current_term ||
        barrier_stored(q))
        return false;
    for (int i = 0; i < q->voters.n; i++)
        if ((raft_id)q->voters.v[i].server_id == m->server_id) {
            q->peers[i].held_term = q->raft.current_term;
            q->peers[i].held = m->append_entries_result;
        }
    return true;
}

bool rule_release(struct quorum *q, struct raft_message *m)
{
    if (q->raft.state != RAFT_LEADER || !barrier_stored(q))
        return false;
    for (int i = 0; i < q->voters.n; i++) {
        if (q->peers[i].held_term != q->raft.current_term)
            continue;
        q->peers[i].held_term = 0;
        *m = (struct raft_message){.type = RAFT_IO_APPEND_ENTRIES_RESULT,
                                   .server_id = (raft_id)q->voters.v[i].server_id,
                                   .append_entries_result = q->peers[i].held};
        return true;
    }
    return false;
}

void rule_trim(const struct quorum *q, struct raft_message *m)
{
    struct raft_append_entries *a = &m->append_entries;
    raft_index offset = q->raft.log.offset, skip;

    if (m->type != RAFT_IO_APPEND_ENTRIES || a->n_entries == 0 || offset == 0 || a->prev_log_index >= offset)
        return;
    skip = offset + (q->raft.log.snapshot.last_index == offset ? 0 : 1) - a->prev_log_index;
    if (skip >= a->n_entries) {
        raft_free(a->entries[0].batch);
        raft_free(a->entries);
        a->entries = NULL;
        a->n_entries = 0;
        a->prev_log_index = q->raft.log.snapshot.last_index;
        a->prev_log_term = q->raft.log.snapshot.last_term;
        return;
    }
    a->prev_log_index += skip;
    a->prev_log_term = a->entries[skip - 1].term;
    memmove(a->entries, a->entries + skip, (a->n_entries - skip) * sizeof(a->entries[0]));
    a->n_entries -= (unsigned)skip;
}

void rule_commit(struct raft_message *m)
{
    struct raft_append_entries *a = &m->append_entries;

    if (m->type == RAFT_IO_APPEND_ENTRIES && a->leader_commit > a->prev_log_index + a->n_entries)
        a->leader_commit = a->prev_log_index + a->n_entries;
}

bool rule_silent(const struct quorum *q, const struct raft_message *m)
{
    return m->type == RAFT_IO_APPEND_ENTRIES_RESULT && m->append_entries_result.rejected == 0 &&
           q->in_append && q->append_term != q->raft.current_term;
}

void rule_truth(const struct quorum *q, struct raft_message *m)
{
    struct raft_append_entries_result *r = &m->append_entries_result;
    struct raft_request_vote_result *v = &m->request_vote_result;

    if (m->type == RAFT_IO_APPEND_ENTRIES_RESULT && r->rejected == 0 && (q->in_append || q->in_recv) &&
        r->last_log_index > q->result_max)
        r->last_log_index = q->result_max;
    if (m->type == RAFT_IO_REQUEST_VOTE_RESULT && v->pre_vote == raft_tribool_true && !v->vote_granted &&
        v->term < q->raft.current_term)
        v->term = q->raft.current_term;
}

bool rule_vote_once(const struct quorum *q, const struct raft_message *m)
{
    return m->type == RAFT_IO_REQUEST_VOTE && q->raft.transfer && !m->request_vote.pre_vote &&
           m->request_vote.term <= q->raft.current_term && q->raft.voted_for != 0 &&
           q->raft.voted_for != m->request_vote.candidate_id;
}

void rule_vote_as(struct quorum *q, const struct raft_message *m, int from, int to)
{
    struct raft_configuration *c = &q->raft.configuration;

    for (unsigned i = 0; i < c->n && m->type == RAFT_IO_REQUEST_VOTE; i++)
        if (c->servers[i].id == q->raft.id && c->servers[i].role == from)
            c->servers[i].role = to;
}

void rule_leader_over(struct quorum *q, const struct raft_message *m)
{
    raft_time now = (raft_time)(loop_now(q->control) / MS);

    if (m->type == RAFT_IO_REQUEST_VOTE && q->raft.state == RAFT_FOLLOWER &&
        now - q->raft.election_timer_start >= q->raft.election_timeout)
        q->raft.follower_state.current_leader.id = 0;
}
