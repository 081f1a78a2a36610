/* A node outside the quorum keeps a copy of its log, on the same files and the same DISK loop as a voter's
 * (raft_disk.c), and tells the broker the same things in the same order (quorum.h):
 *
 *     control loop                                   the quorum's DISK loop
 *     ops.fetch ─► … ─► quorum_fetched ── disk_op ─► appended, synced
 *     image, ops.committed, ops.leader ◄─ disk_op ── in order
 *     … and the next ops.fetch
 *
 *  1. Only what has committed comes, so everything in this log has, and nothing of it is ever cut. What contradicts it
 *     stops the node.
 *  2. A batch is told when it is on this disk: what a broker has once acted on, its next start knows.
 *  3. One thing at a time: a question, an answer on its way to the disk or told in steps, a snapshot that comes, or a pause.
 *     So the offset that a question names is the end of this log, and of two answers to it one at most is taken.
 *  4. `loaded` waits until a leader's barrier is here, and all that it had committed when it was first heard of, and what an
 *     earlier life of this process has told. */
#include "quorum/raft_internal.h"

enum { AGAIN_MS = 500 };

static void ask(struct quorum *q)
{
    if (q->phase != QUORUM_RUNNING || q->view.failed || q->stopped)
        return;
    ASSERT(!q->asking && q->ops_out == 0 && !q->install);
    q->asking = true;
    q->ops.fetch(q->ops.arg, q->seen.end, q->seen.last_epoch);
}

static void again_fired(struct timer *timer)
{
    ask(container_of(timer, struct quorum, again));
}

/* What came was of no use: not at once, so that a voter that is wrong isn't asked without a pause. */
void observe_again(struct quorum *q)
{
    q->again.fire = again_fired;
    if (q->phase == QUORUM_RUNNING)
        timer_set(q->control, &q->again, loop_now(q->control) + (int64_t)AGAIN_MS * MS);
}

void observe_begin(struct quorum *q)
{
    ASSERT(q->ops.fetch);
    q->phase = QUORUM_RUNNING;
    q->applied = q->opened_last;
    q->since_snapshot = q->disk.replayed;
    q->view.committed = q->view.end = q->end;
    observer_init(&q->seen, q->end, q->opened_epoch > 0 ? q->opened_epoch : -1);
    ask(q);
}

void observe_rest(struct quorum *q)
{
    q->phase = QUORUM_CLOSED;
    timer_stop(&q->again);
    found_end(q);
    raft_install_cancel(q);
}

static void stop_for(struct quorum *q, enum err err, const char *what)
{
    (void)!local_disk_failed(&q->disk, err, what);
    quorum_fail(q);
}

/* ---- what is told ---- */

static void tell(struct quorum *q)
{
    const struct observer *o = &q->seen;

    q->view.leader = o->leader;
    q->view.epoch = o->epoch;
    if (!q->loaded && observer_caught_up(o) && q->view.committed > q->settings.told)
        quorum_tell_loaded(q);
    if (!q->loaded || (o->leader == q->told_leader && o->epoch == q->told_epoch))
        return;
    q->told_leader = o->leader;
    q->told_epoch = o->epoch;
    q->ops.leader(q->ops.arg, o->leader, o->epoch, false, -1);
}

static bool votes(const struct quorum *q, int32_t node)
{
    return voters_of_node(&q->voters, node) >= 0;
}

static void follow_voters(struct quorum *q)
{
    if (q->seen.by >= 0 && !votes(q, q->seen.by))
        observer_doubt(&q->seen);
    member_follow(q);
}

static void apply(struct quorum *q, struct slice batch, struct arena *a)
{
    struct batch_content c;
    size_t used;
    enum err err = batches_read(batch, a, &c, &used);

    ASSERT(!err); /* it was read when it came */
    q->applied++;
    if (voters_in(&c)) {
        struct voters voters;

        err = voters_read(&c, a, &voters);
        ASSERT(!err);
        member_restore(q, &voters, q->applied);
        follow_voters(q);
    }
    observer_reached(&q->seen, c.last_offset + 1, c.epoch);
    q->view.committed = q->view.end = q->seen.end;
    q->since_snapshot += (int64_t)batch.len;
    if (q->loaded)
        q->ops.committed(q->ops.arg, batch);
    else
        quorum_take(q, batch);
}

/* Some of what is on disk now, in a callback of its own; as long as there is more, the disk isn't asked for anything else. */
static void append_step(struct msg *msg)
{
    struct disk_op *op = container_of(msg, struct disk_op, msg);
    struct quorum *q = op->quorum;

    q->ops_out--;
    observe_append_done(q, op);
    quorum_drained(q);
}

void observe_append_done(struct quorum *q, struct disk_op *op)
{
    size_t done = 0;

    if (op->err || q->phase != QUORUM_RUNNING) { /* `fail` is on its way, or the end is */
        raft_disk_op_free(op);
        return;
    }
    for (; op->told < op->n && done < QUORUM_STEP_BYTES; done += op->v[op->told++].len) {
        apply(q, op->v[op->told], &op->own);
        arena_reset(&op->own);
    }
    if (op->told < op->n) {
        q->ops_out++;
        op->msg.run = append_step;
        loop_post(q->control, &op->msg);
        return;
    }
    raft_disk_op_free(op);
    tell(q);
    quorum_snapshot_look(q);
    ask(q);
}

/* ---- answers ---- */

/* One batch at the front of `rest`, which continues the log at *next. */
static enum err batch_follows(struct slice rest, struct arena *a, int64_t *next, int32_t *epoch, size_t *used)
{
    struct batch_content c;
    struct voters voters;
    enum err err;

    arena_reset(a);
    err = batches_read(rest, a, &c, used);
    if (!err && (c.base_offset != *next || c.last_offset < c.base_offset || c.epoch < *epoch || c.epoch < 1))
        err = E_CORRUPT_MESSAGE;
    if (!err && voters_in(&c))
        err = voters_read(&c, a, &voters);
    if (!err) {
        *next = c.last_offset + 1;
        *epoch = c.epoch;
    }
    return err;
}

/* Every whole batch of the answer, as far as they are right. */
static enum err batches_take(struct quorum *q, struct slice bytes, struct disk_op *op)
{
    int64_t next = q->seen.end;
    int32_t epoch = q->seen.last_epoch;
    struct arena a;
    size_t used;
    int room = 0;
    enum err err;

    op->bytes = heap_copy(q->heap, bytes);
    arena_init(&a, q->heap, SIZE_MAX);
    for (struct slice rest = op->bytes; !(err = batch_follows(rest, &a, &next, &epoch, &used));) {
        if (op->n == room) {
            room = room ? 2 * room : 16;
            op->v = heap_resize(q->heap, op->v, (size_t)room * sizeof(op->v[0]));
        }
        op->v[op->n++] = slice_of(rest.p, used);
        rest = slice_of(rest.p + used, rest.len - used);
    }
    arena_drop(&a);
    return op->n > 0 ? E_OK : err;
}

static void batches_came(struct quorum *q, const struct quorum_fetched *f)
{
    struct disk_op *op = raft_disk_op(q, DISK_APPEND);
    enum err err = batches_take(q, f->batches, op);

    if (!err) {
        raft_disk_post(q, op);
        return;
    }
    raft_disk_op_free(op);
    if (err == E_CORRUPT_MESSAGE || err == E_TRUNCATED) {
        TRACE(q->io, quorum_fetch_bad, f->node, (long long)q->seen.end, err_text(err));
        observe_again(q);
    } else {
        stop_for(q, err, "reading a batch of the metadata log that a voter sent");
    }
}

void quorum_fetched(struct quorum *q, const struct quorum_fetched *f)
{
    enum observed what;

    if (q->phase != QUORUM_RUNNING || q->view.failed || !q->asking)
        return;
    q->asking = false;
    what = observer_judge(&q->seen, f);
    if (what != OBSERVED_STALE && what != OBSERVED_DIVERGED)
        observer_heard(&q->seen, f, votes(q, f->node));
    switch (what) {
    case OBSERVED_STALE:
        observe_again(q);
        break;
    case OBSERVED_NEWS:
        tell(q);
        ask(q);
        break;
    case OBSERVED_BATCHES:
        batches_came(q, f);
        break;
    case OBSERVED_SNAPSHOT:
        if (q->held ||
            !raft_install_observe(q, f->node, (struct ckpt_id){f->snapshot.offset, f->snapshot.epoch}))
            observe_again(q);
        break;
    case OBSERVED_DIVERGED:
        TRACE(q->io, quorum_diverged, f->node, (long long)q->seen.end, q->seen.last_epoch);
        stop_for(q, E_OFFSET_OUT_OF_RANGE,
                 "following the metadata log: this node's copy is of another history");
        break;
    }
}

/* ---- snapshots ---- */

void observe_installed(struct quorum *q, struct ckpt_id id, struct image *image)
{
    observer_reached(&q->seen, id.offset, id.epoch);
    q->view.committed = q->view.end = q->view.log_start = id.offset;
    quorum_restore(q, image);
    follow_voters(q);
    tell(q);
    ask(q);
}

void observe_snapshot(struct quorum *q)
{
    struct image *image;

    q->due = false;
    if (q->install)
        return;
    image = q->ops.hold(q->ops.arg);
    if (!image) /* a later commit asks again */
        return;
    q->since_snapshot = 0;
    q->held = image;
    q->put_id = (struct ckpt_id){q->seen.end, q->seen.last_epoch};
    q->put_voters = q->voters;
    q->put_voters.index = (int64_t)q->applied;
    q->put_voters.configuration_index = (int64_t)q->voters_index;
    loop_post(q->loop, &q->snapshot);
}
