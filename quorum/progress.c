/* How far each voter has come, as its answers to appends tell the leader: for those who ask how the quorum does. */
#include "quorum/raft_internal.h"

void progress_begin(struct quorum *q)
{
    for (int i = 0; i < q->voters.n; i++) {
        q->view.progress[i].end = q->view.progress[i].heard_ms = q->view.progress[i].caught_up_ms = -1;
        q->peers[i].ours_then = INT64_MAX;
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
        if (p->end >= ours)
            p->caught_up_ms = now;
        else if (p->end >= peer->ours_then && p->heard_ms > p->caught_up_ms)
            p->caught_up_ms = p->heard_ms;
    }
    peer->ours_then = ours;
    p->heard_ms = now;
}
