/* When a snapshot of the committed image is due, and what comes of it (raft_fsm.c: what the library has to do with it). */
#include "quorum/raft_internal.h"

enum { PUT_OFF_MS = 60000 };

static void nudged(struct raft_barrier *req, int status)
{
    container_of(req, struct quorum, nudge)->nudging = false;
}

/* The library takes a snapshot when it applies an entry. Where none is on its way the leader makes one: a barrier. */
static void nudge(struct quorum *q)
{
    if (!q->told_self || q->nudging || !list_empty(&q->flights))
        return;
    q->nudging = raft_barrier(&q->raft, &q->nudge, nudged) == 0;
    if (q->nudging)
        q->ops.skipped(q->ops.arg, entry_book_end(&q->book));
}

static void snapshot_due(struct quorum *q)
{
    if (q->due || q->held || q->stopped || !q->loaded || q->since_snapshot == 0)
        return;
    if (q->observes) {
        observe_snapshot(q);
        return;
    }
    q->due = true;
    raft_set_snapshot_threshold(&q->raft, 1);
    nudge(q);
}

static void snapshot_fired(struct timer *timer)
{
    struct quorum *q = container_of(timer, struct quorum, snapshot_timer);

    q->timed = false;
    raft_enter(q);
    snapshot_due(q);
}

void quorum_snapshot_look(struct quorum *q)
{
    const struct quorum_settings *s = &q->settings;

    if (q->since_snapshot == 0 || q->held || q->stopped) /* nobody stops the timer any more */
        return;
    if ((s->snapshot_bytes > 0 && q->since_snapshot >= s->snapshot_bytes) ||
        q->applied + 1 - q->book.first > ENTRIES_MAX) {
        snapshot_due(q);
    } else if (s->snapshot_ms > 0 && !q->timed) {
        q->timed = true;
        timer_set(q->control, &q->snapshot_timer, loop_now(q->control) + s->snapshot_ms * MS);
    }
}

static void written_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, written);
    struct image *image = q->held;
    bool good = q->disk.snapshot == q->put_id.offset && !q->disk.err;

    q->held = NULL;
    q->view.log_start = q->log_start;
    if (good) {
        q->newest = q->put_id;
        q->newest_voters = q->put_voters;
        q->view.snapshot = q->put_id.offset;
        q->timed = false;
        timer_stop(&q->snapshot_timer);
    } else if (!q->stopped) { /* put off by a full disk */
        q->timed = true;
        timer_set(q->control, &q->snapshot_timer, loop_now(q->control) + (int64_t)PUT_OFF_MS * MS);
    }
    if (q->put) {
        struct raft_io_snapshot_put *put = q->put;

        q->put = NULL;
        raft_enter(q);
        q->put_cb(put, good ? 0 : RAFT_CANCELED);
        quorum_observe(q);
    }
    if (q->get_waits && !q->get_posted) {
        q->get_posted = true;
        loop_post(q->control, &q->get_msg);
    }
    q->ops.released(q->ops.arg, image);
    quorum_drained(q);
}

void quorum_snapshot(struct quorum *q)
{
    raft_enter(q);
    if (q->phase == QUORUM_RUNNING)
        snapshot_due(q);
}

void quorum_snapshot_last(struct quorum *q)
{
    struct image *image;
    const struct entry_row *row;
    raft_index at;

    if (q->observes) {
        observe_snapshot(q);
        return;
    }
    image = q->ops.hold(q->ops.arg);
    row = entry_book_row(&q->book, q->applied);
    q->since_snapshot = 0;
    if (!image)
        return;
    if (!row || image->offset < 0) {
        q->ops.released(q->ops.arg, image);
        return;
    }
    q->held = image;
    q->put_id = (struct ckpt_id){row->last_offset + 1, row->epoch};
    q->put_voters = *member_committed(q, q->applied, &at);
    q->put_voters.index = (int64_t)q->applied;
    q->put_voters.configuration_index = (int64_t)at;
    loop_post(q->loop, &q->snapshot);
}

void quorum_snapshots_make(struct quorum *q)
{
    q->snapshot_timer.fire = snapshot_fired;
    q->written.run = written_run;
}
