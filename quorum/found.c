/* Fixed voters whose disks are empty, and whose directories nobody knows: is this a new cluster, or did some lose what they had
 * acknowledged? Each says to all others that its log is empty; who has heard so from every one of them, in this start, begins
 * the log with them (quorum_state.founder). Who hasn't, follows, and becomes a voter when a leader has noted its directory.
 *
 *  1. Nothing that ever committed is lost: it is on the disks of a majority. Those of them that weren't emptied don't say that
 *     they are empty, and while there is one, nobody begins anew; when there is none, there is nothing left to lose.
 *  2. It holds for what commits later, too: a disk that is empty, and was never anything else while it said so, has
 *     acknowledged nothing, so it may vote as any other.
 *     One that was removed isn't such a disk, even if its log was cut to the first batch: what it had acknowledged may be all that
 *     others took over from it.
 *  3. A founder answers while there is nothing behind its first batch: who missed a word gets it. From then on there is a
 *     leader, or will be one, who notes the directories. */
#include "quorum/raft_internal.h"
#include <stdio.h>

enum { WAITS_MS = 10000 };

static bool all_empty(const struct quorum *q)
{
    for (int i = 0; i < q->settings.n_voters; i++)
        if (!q->empty[i] && q->settings.voters[i] != q->settings.node_id)
            return false;
    return true;
}

static void found_now(struct quorum *q)
{
    TRACE(q->io, quorum_founded, q->settings.n_voters);
    found_end(q);
    timer_stop(&q->again);
    q->asking = false; /* the answer is nobody's */
    q->phase = QUORUM_OPENING;
    q->founds = true;
    loop_post(q->loop, &q->open);
}

static void look(struct quorum *q)
{
    if (q->seen.end > VOTERS_RECORDS) /* there is a leader */
        found_end(q);
    else if (all_empty(q) && q->ops_out == 0 && !q->install && !q->stopped)
        found_now(q);
}

/* ---- words ---- */

static void ask(struct quorum *q)
{
    for (int i = 0; i < q->settings.n_voters; i++)
        if (!q->empty[i] && q->settings.voters[i] != q->settings.node_id)
            raft_msg_empty(q, q->settings.voters[i], true);
}

static void tell_missing(struct quorum *q)
{
    char text[QUORUM_VOTERS_MAX * 13] = "";
    size_t len = 0;

    for (int i = 0; i < q->settings.n_voters; i++)
        if (!q->empty[i] && q->settings.voters[i] != q->settings.node_id)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%d", len ? ", " : "",
                                    q->settings.voters[i]);
    TRACE(q->io, quorum_founding_waits, text);
}

static void found_fired(struct timer *timer)
{
    struct quorum *q = container_of(timer, struct quorum, found_timer);
    int64_t pause_ms = q->settings.election_ms;

    look(q);
    if (!q->founding)
        return;
    ask(q);
    q->found_asked++;
    if (q->found_asked % (WAITS_MS / pause_ms + 1) == 0)
        tell_missing(q);
    timer_set(q->control, &q->found_timer, loop_now(q->control) + pause_ms * MS);
}

void found_alive(struct quorum *q, int32_t node)
{
    if (q->founding)
        raft_msg_empty(q, node, true);
}

void found_heard(struct quorum *q, int32_t node, bool asks)
{
    bool empty = q->founding ||
                 (!q->observes && q->state.founder && q->book.first == 1 && entry_book_next(&q->book) == 2);

    if (asks && empty)
        raft_msg_empty(q, node, false);
    for (int i = 0; i < q->settings.n_voters; i++)
        q->empty[i] |= q->settings.voters[i] == node;
    if (q->founding)
        look(q);
}

/* ---- begin and end ---- */

void found_begin(struct quorum *q)
{
    TRACE(q->io, quorum_founding, q->settings.n_voters);
    q->founding = true;
    q->server_id = voter_server_first(q->settings.node_id);
    q->found_timer.fire = found_fired;
    ask(q);
    timer_set(q->control, &q->found_timer, loop_now(q->control) + (int64_t)q->settings.election_ms * MS);
}

void found_end(struct quorum *q)
{
    q->founding = false;
    timer_stop(&q->found_timer);
}
