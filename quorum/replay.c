/* What commits before `loaded` goes into an image of this node's own. After a start that is all that lies behind the
 * checkpoint, and the library applies it in one call: here it is noted, and taken in steps.
 *
 * 1. The batches stay where they are, in raft's log and in the book: neither gives up one that has committed before a
 *    snapshot was taken, which takes `loaded`, or installed, which waits until nothing is noted.
 * 2. `loaded` isn't told while anything is noted. */
#include "quorum/raft_internal.h"

enum { STEP_BYTES = 1 << 16, NOTES_FIRST = 256 };

static void step_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, replay.step);
    struct replay *r = &q->replay;
    size_t done = 0;

    r->posted = false;
    if (q->phase != QUORUM_RUNNING)
        replay_drop(q);
    for (; r->at < r->n && done < STEP_BYTES; done += r->v[r->at++].len)
        quorum_take(q, r->v[r->at]);
    if (r->at < r->n) {
        r->posted = true;
        loop_post(q->control, &r->step);
        return;
    }
    replay_drop(q);
    raft_enter(q);
    quorum_observe(q);
    quorum_drained(q);
}

void replay_note(struct quorum *q, struct slice batch)
{
    struct replay *r = &q->replay;

    if (r->n == r->room) {
        r->room = r->room ? 2 * r->room : NOTES_FIRST;
        r->v = heap_resize(q->heap, r->v, r->room * sizeof(r->v[0]));
    }
    r->v[r->n++] = batch;
    if (r->posted)
        return;
    r->posted = true;
    r->step.run = step_run;
    loop_post(q->control, &r->step);
}

bool replay_over(const struct quorum *q)
{
    return q->replay.n == 0;
}

void replay_drop(struct quorum *q)
{
    heap_free(q->heap, q->replay.v);
    q->replay.v = NULL;
    q->replay.at = q->replay.n = q->replay.room = 0;
}
