/* When a voter stands for election before its time: its leader's process is dead, or its leader's disk.
 *
 *     dead    evidence from outside (quorum_dead): the survivor of the lowest id stands
 *     rests   the leader's last word (RaftRests), for which it needs no disk: who answered it and has most of its log stands.
 *             Its disk has failed, or is silent and others have stored what it hasn't: the library commits nothing that isn't on
 *             the leader's own disk, and a leader that heard of a newer epoch would wait for that disk on the control loop
 *     less    one that stood in such a hurry has less than this one, whose vote it would need: this one stands, or the election
 *             would have to wait for its timeout
 *
 *  1. Standing is safe at any time: who lacks what has committed isn't elected. Nobody else stands meanwhile, so the vote isn't
 *     split; who doesn't get there is followed by the election timeout, as ever.
 *  2. A leader that said who stands isn't dead for anybody else when its connections break next. */
#include "quorum/raft_internal.h"

enum { SILENT_MS = 2000, SILENT_ELECTIONS = 4 }; /* the longer of them: the disk hangs */

static raft_term last_term(struct quorum *q)
{
    const struct entry_row *row = entry_book_row(&q->book, raft_last_index(&q->raft));

    return row ? (raft_term)row->epoch : q->raft.log.snapshot.last_term;
}

/* The library stands when the last leader that it knew asks it to, also of an epoch before, and names the end of this log. */
static void stand(struct quorum *q)
{
    struct raft_message m = {.type = RAFT_IO_TIMEOUT_NOW,
                             .server_id = q->raft.follower_state.current_leader.id,
                             .timeout_now = {.term = q->raft.current_term,
                                             .last_log_index = raft_last_index(&q->raft),
                                             .last_log_term = last_term(q)}};

    if (m.server_id == 0) /* it knew none: its timeout ends soon */
        return;
    raft_give(q, &m);
}

static bool lowest(const struct quorum *q)
{
    for (int i = 0; i < q->voters.n; i++)
        if (!q->peers[i].dead && q->voters.v[i].role == VOTER_VOTES &&
            q->voters.v[i].server_id < q->server_id)
            return false;
    return true;
}

/* Has whoever stood in this epoch no majority without this vote, which it didn't get? */
static void stand_instead(struct quorum *q)
{
    int votes = 0, others = 0;

    for (int i = 0; i < q->voters.n; i++) {
        votes += q->voters.v[i].role == VOTER_VOTES;
        others += q->voters.v[i].role == VOTER_VOTES && !q->peers[i].dead &&
                  q->voters.v[i].server_id != q->server_id;
    }
    if (q->refused_term != q->raft.current_term || raft_state(&q->raft) != RAFT_FOLLOWER ||
        q->raft.voted_for != 0 || quorum_leads(q) >= 0 || raft_install_busy(q) || others > votes / 2)
        return;
    TRACE(q->io, quorum_stands_instead);
    stand(q);
}

void stand_asked(struct quorum *q, const struct raft_message *m)
{
    const struct raft_request_vote *v = &m->request_vote;

    if (m->type != RAFT_IO_REQUEST_VOTE || v->pre_vote || !v->disrupt_leader ||
        v->term != q->raft.current_term || v->last_log_term > last_term(q) ||
        (v->last_log_term == last_term(q) && v->last_log_index >= raft_last_index(&q->raft)))
        return;
    q->refused_term = v->term;
    stand_instead(q);
}

void quorum_alive(struct quorum *q, int32_t node)
{
    int voter = voters_of_node(&q->voters, node);

    if (voter >= 0)
        q->peers[voter].dead = false;
    found_alive(q, node);
}

void quorum_dead(struct quorum *q, int32_t node)
{
    int voter = voters_of_node(&q->voters, node), leads;

    if (q->observes || q->phase != QUORUM_RUNNING || voter < 0 || node == q->settings.node_id)
        return;
    q->peers[voter].dead = true;
    if (raft_install_busy(q) || q->rested_term == q->raft.current_term)
        return;
    stand_instead(q);
    leads = voters_of_node(&q->voters,
                           quorum_leads(q)); /* also one that died before another one of a lower id did */
    if (raft_state(&q->raft) != RAFT_FOLLOWER || leads < 0 || !q->peers[leads].dead || !lowest(q))
        return;
    TRACE(q->io, quorum_leader_dead, q->voters.v[leads].node);
    stand(q);
}

void stand_heard(struct quorum *q, int leader, raft_term term, int32_t heir)
{
    if (term != q->raft.current_term || raft_state(&q->raft) != RAFT_FOLLOWER ||
        quorum_leads(q) != q->voters.v[leader].node || q->rested_term == term)
        return;
    q->rested_term = term;
    q->peers[leader].dead = true;
    if (raft_install_busy(q) || (heir > 0 ? heir != q->server_id : !lowest(q)))
        return;
    TRACE(q->io, quorum_leader_rests, q->voters.v[leader].node);
    stand(q);
}

void stand_hurry(struct quorum *q)
{
    int32_t heir;

    if (q->observes || q->phase != QUORUM_RUNNING || q->state_err || raft_state(&q->raft) != RAFT_LEADER)
        return;
    heir = member_heir(q, 0, false);
    for (int i = 0; i < q->voters.n; i++)
        if (q->voters.v[i].server_id != q->server_id)
            raft_msg_rests(q, i, heir > 0 ? heir : 0);
}

/* ---- a disk that doesn't answer ---- */

void stand_disk_answered(struct quorum *q)
{
    int64_t now = loop_now(q->control);

    if (q->hangs_ns > 0)
        TRACE(q->io, quorum_answers, (long long)((now - q->disk_ns) / MS));
    q->hangs_ns = 0;
    q->disk_ns = now;
}

/* Said when it begins, and each time that it has taken twice as long. */
void stand_look(struct quorum *q)
{
    int64_t silent = loop_now(q->control) - q->disk_ns, least = (int64_t)SILENT_MS * MS;
    int32_t heir;

    if (least < (int64_t)SILENT_ELECTIONS * q->settings.election_ms * MS)
        least = (int64_t)SILENT_ELECTIONS * q->settings.election_ms * MS;
    if (q->ops_out == 0 || silent < least)
        return;
    if (silent >= 2 * q->hangs_ns) {
        q->hangs_ns = silent;
        TRACE(q->io, quorum_hangs, (long long)(silent / MS));
    }
    if (raft_state(&q->raft) != RAFT_LEADER)
        return;
    heir = member_heir(q, q->raft.last_stored + 1, false);
    if (heir < 0) /* theirs don't answer either */
        return;
    TRACE(q->io, quorum_hangs_away, member_node(q, (raft_id)heir));
    quorum_hung(q);
}
