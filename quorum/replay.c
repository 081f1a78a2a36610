/* What the library applies in one call may be long: all that lies behind the checkpoint after a start, or 1 MB that a leader sent
 * in one message. It is noted here and taken in steps, in order: before `loaded` into an image of this node's own, after it
 * by ops.committed(). A little is passed on at once.
 *
 * 1. The batches stay where they are, in raft's log and in the book: neither gives up one that has committed before a
 *    snapshot was taken, which takes that nothing is noted, or installed, which waits until nothing is.
 * 2. Neither `loaded` is told while anything is noted, nor that this node leads; while it leads, nothing is noted.
 * 3. What is noted when the quorum ends is dropped: the next start reads it from the log. Then it keeps no last snapshot, for
 *    the broker's image isn't what the library has applied. */
#include "quorum/raft_internal.h"

enum {
    STEP_BYTES = 1 << 16, /* into an image that nobody sees */
    NOTES_FIRST = 256
};

static void take(struct quorum *q, struct slice batch)
{
    if (q->loaded)
        q->ops.committed(q->ops.arg, batch);
    else
        quorum_take(q, batch);
}

static void step_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, replay.step);
    struct replay *r = &q->replay;
    size_t done = 0, most = q->loaded ? QUORUM_STEP_BYTES : STEP_BYTES;

    r->posted = false;
    if (q->phase != QUORUM_RUNNING) {
        r->dropped = true;
        replay_drop(q);
        quorum_drained(q);
        return;
    }
    for (; r->at < r->n && done < most; done += r->v[r->at++].len)
        take(q, r->v[r->at]);
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

static void note(struct quorum *q, struct slice batch)
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

void replay_pass(struct quorum *q, struct slice batch)
{
    struct replay *r = &q->replay;

    ASSERT(!q->told_self || replay_over(q));
    if (q->told_self || (q->loaded && replay_over(q) && r->passed < QUORUM_STEP_BYTES)) {
        r->passed += batch.len;
        take(q, batch);
    } else {
        note(q, batch);
    }
}

void replay_returned(struct quorum *q)
{
    q->replay.passed = 0;
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
