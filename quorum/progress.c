/* How far each voter has come, as its answers to appends tell the leader: for those who ask how the quorum does, and
 * so that they hear of commits. */
#include "quorum/raft_internal.h"

enum { TELL_MS = 2 };

void progress_begin(struct quorum *q)
{
    for (int i = 0; i < q->voters.n; i++) {
        q->view.progress[i].end = q->view.progress[i].heard_ms = q->view.progress[i].caught_up_ms = -1;
        q->peers[i].ours_then = INT64_MAX;
        q->peers[i].taken = q->peers[i].told = 0;
    }
}

/* A voter that has all that this node had at its answer before has caught up to that moment, also if more is written all
 * the time. */
void progress_answer(struct quorum *q, int voter, bool taken, raft_index last)
{
    struct quorum_progress *p = &q->view.progress[voter];
    struct raft_peer *peer = &q->peers[voter];
    int64_t now = io_wall_ms(q->io), ours = entry_book_end(&q->book);

    if (taken && last + 1 >= q->book.first && last < entry_book_next(&q->book)) {
        p->end = entry_book_offset(&q->book, last + 1);
        peer->taken = last;
        if (p->end >= ours)
            p->caught_up_ms = now;
        else if (p->end >= peer->ours_then && p->heard_ms > p->caught_up_ms)
            p->caught_up_ms = p->heard_ms;
    }
    peer->ours_then = ours;
    p->heard_ms = now;
}

static bool all_has_committed(struct quorum *q)
{
    return q->phase == QUORUM_RUNNING && raft_state(&q->raft) == RAFT_LEADER && q->barrier_done &&
           q->raft.commit_index >= raft_last_index(&q->raft);
}

static void tell_commits(struct quorum *q)
{
    raft_index at = q->raft.commit_index;
    const struct entry_row *row = entry_book_row(&q->book, at);

    if (!row || !all_has_committed(q))
        return;
    q->tell_ns = loop_now(q->control);
    for (int i = 0; i < q->voters.n; i++) {
        struct raft_peer *peer = &q->peers[i];
        struct raft_message m = {.type = RAFT_IO_APPEND_ENTRIES,
                                 .server_id = (raft_id)q->voters.v[i].server_id,
                                 .append_entries = {.term = q->raft.current_term,
                                                    .prev_log_index = at,
                                                    .prev_log_term = (raft_term)row->epoch,
                                                    .leader_commit = at}};

        if (q->voters.v[i].server_id == q->server_id || peer->taken < at || peer->told >= at)
            continue;
        peer->told = at;
        (void)raft_msg_send(q, &m);
    }
}

static void tell_fired(struct timer *timer)
{
    struct quorum *q = container_of(timer, struct quorum, tell_timer);

    q->tells = false;
    tell_commits(q);
}

/* The library tells a commit with the next append, or heartbeat. Where no append is under way that is far off, and brokers wait
 * for it: so who has it all is told by a heartbeat of its own. Where one commits after the other, the next append mostly comes
 * before anybody needs to know, and a heartbeat for each would only be in its way: then it goes TELL_MS after the last. */
void progress_commits(struct quorum *q)
{
    int64_t due = q->tell_ns + (int64_t)TELL_MS * MS;

    if (q->tells || q->stopped || !all_has_committed(q))
        return;
    if (loop_now(q->control) >= due) {
        tell_commits(q);
        return;
    }
    q->tells = true;
    q->tell_timer.fire = tell_fired;
    timer_set(q->control, &q->tell_timer, due);
}

void quorum_hurry(struct quorum *q)
{
    tell_commits(q);
}
