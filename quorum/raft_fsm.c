/* What the library makes of what has committed: applied to the image, told, kept as a snapshot, restored from one. */
#include "metadata/image_check.h"
#include "quorum/raft_internal.h"

/* ---- snapshots ---- */

static struct raft_buffer *ticket(struct ckpt_id id)
{
    struct raft_buffer *buf = raft_malloc(sizeof(*buf));

    buf->len = sizeof(id);
    buf->base = raft_malloc(sizeof(id));
    memcpy(buf->base, &id, sizeof(id));
    return buf;
}

/* So many entries stay in memory behind a snapshot. Never none: that means another thing to the library. */
static unsigned trailing(const struct raft_log *l, int32_t wanted)
{
    unsigned n = 0, max = wanted > 0 ? (unsigned)wanted : ENTRIES_TRAILING;
    size_t bytes = 0;

    for (size_t at = l->back; n < max && bytes < BYTES_TRAILING && at != l->front; n++) {
        at = (at > 0 ? at : l->size) - 1;
        bytes += l->entries[at].buf.len;
    }
    return n > 0 ? n : 1;
}

/* In the library's apply, at last_applied; what is pinned here is written by raft_snapshot_put(). */
static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct quorum *q = fsm->data;
    const struct entry_row *row;
    raft_index at;

    quorum_applied_to(q, q->raft.last_applied);
    row = entry_book_row(&q->book, q->raft.last_applied);
    ASSERT(row && q->loaded && !q->held);
    if (!replay_over(q))
        return RAFT_BUSY;
    q->held = q->ops.hold(q->ops.arg);
    if (!q->held)
        return RAFT_BUSY; /* asks again when it applies the next entry */
    q->due = false;
    q->since_snapshot = 0;
    raft_set_snapshot_threshold(&q->raft, UINT_MAX);
    raft_set_snapshot_trailing(&q->raft, trailing(&q->raft.log, q->settings.trailing_entries));
    q->put_id = (struct ckpt_id){row->last_offset + 1, row->epoch};
    q->put_voters = *member_committed(q, q->raft.last_applied, &at);
    q->put_voters.index = (int64_t)q->raft.last_applied;
    q->put_voters.configuration_index = (int64_t)at;
    *bufs = ticket(q->put_id);
    *n_bufs = 1;
    return 0;
}

int raft_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                      const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct quorum *q = io->impl;

    if (trailing == 0)
        return raft_install_put(q, req, snapshot, cb);
    ASSERT(q->held && !q->put);
    q->put = req;
    q->put_cb = cb;
    loop_post(q->loop, &q->snapshot);
    return 0;
}

struct raft_snapshot *raft_snapshot_of(struct ckpt_id id, const struct voters *voters)
{
    struct raft_snapshot *s = raft_calloc(1, sizeof(*s));

    if (raft_voters(voters, &s->configuration)) {
        raft_free(s);
        return NULL;
    }
    s->index = (raft_index)voters->index;
    s->term = (raft_term)id.epoch;
    s->configuration_index = (raft_index)voters->configuration_index;
    s->bufs = ticket(id);
    s->n_bufs = 1;
    return s;
}

/* The newest checkpoint ends before the library's log begins: a single voter's log has committed whole, and the library got
 * none of its entries, as if a snapshot ended where it does. */
static bool none_yet(const struct quorum *q)
{
    return q->newest.offset < 0 || (raft_index)q->newest_voters.index < q->raft.log.snapshot.last_index;
}

static void get_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, get_msg);
    struct raft_io_snapshot_get *req = q->get;
    struct raft_snapshot *s;

    q->get_posted = false;
    if (q->phase != QUORUM_RUNNING) { /* io_close() calls back */
        quorum_drained(q);
        return;
    }
    if (none_yet(q) && !q->get_waits) { /* quorum_snapshot.c comes again when it is written, or isn't */
        q->get_waits = true;
        quorum_snapshot(q);
        return;
    }
    q->get = NULL;
    q->get_waits = false;
    raft_enter(q);
    s = none_yet(q) ? NULL : raft_snapshot_of(q->newest, &q->newest_voters);
    q->get_cb(req, s, s ? 0 : RAFT_NOTFOUND);
    quorum_observe(q);
}

int raft_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req, raft_io_snapshot_get_cb cb)
{
    struct quorum *q = io->impl;

    if (q->get || q->get_posted)
        return RAFT_BUSY;
    q->get = req;
    q->get_cb = cb;
    q->get_msg.run = get_run;
    q->get_posted = true;
    loop_post(q->control, &q->get_msg);
    return 0;
}

/* ---- the state machine: the broker's image, and until it is told, one of our own ---- */

void quorum_take(struct quorum *q, struct slice batch)
{
    struct batch_content c;
    struct arena a;
    size_t used;
    enum err err;

    if (!q->draft) {
        struct image *draft = image_draft(q->image, q->grave);

        image_unref(q->image, q->grave);
        q->image = draft;
        q->draft = true;
    }
    arena_init(&a, q->heap, SIZE_MAX);
    err = batches_read(batch, &a, &c, &used);
    ASSERT(!err); /* it was read when it came */
    ASSERT(!image_follow(q->image, q->grave, &c, &a));
    arena_drop(&a);
}

/* Leadership may have ended in the very call that applies now. */
static void batch_applied(struct quorum *q, const struct entry_row *row, struct slice batch, bool submitted)
{
    q->view.committed = row->last_offset + 1;
    q->since_snapshot += (int64_t)batch.len;
    if (q->told_self && raft_state(&q->raft) != RAFT_LEADER)
        quorum_tell_lost(q);
    if (!submitted)
        replay_pass(q, batch);
}

static bool submitted(const struct quorum *q, raft_index index)
{
    const struct flight *f = list_first(&q->flights, const struct flight, link);

    return f && f->index == index && f->entry; /* its `done` follows */
}

void quorum_applied_to(struct quorum *q, raft_index index)
{
    for (; q->applied < index; q->applied++) {
        const struct entry_row *row = entry_book_row(&q->book, q->applied + 1);

        ASSERT(row && row->kind != ENTRY_DATA); /* fsm_apply() saw those */
        if (row->kind == ENTRY_BARRIER)
            q->applied_epoch = row->epoch;
        batch_applied(q, row, row->batch, false);
    }
}

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct quorum *q = fsm->data;
    raft_index index = q->raft.last_applied + 1;
    const struct entry_row *row;

    *result = NULL;
    quorum_applied_to(q, index - 1);
    row = entry_book_row(&q->book, index);
    ASSERT(row && row->kind == ENTRY_DATA && q->applied == index - 1);
    q->applied = index;
    batch_applied(q, row, slice_of(buf->base, buf->len), submitted(q, index));
    return 0;
}

void quorum_restore(struct quorum *q, struct image *image)
{
    q->view.committed = image->offset + 1;
    if (q->loaded) {
        ASSERT(replay_over(q));
        q->ops.installed(q->ops.arg, image);
        return;
    }
    replay_drop(q);
    image_unref(q->image, q->grave);
    q->image = image;
    q->draft = false;
}

/* At the start the image is there already. */
static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct quorum *q = fsm->data;
    struct image *image = raft_install_image(q);

    raft_free(buf->base);
    if (image)
        quorum_restore(q, image);
    return 0;
}

void raft_fsm_make(struct quorum *q)
{
    q->fsm = (struct raft_fsm){
        .version = 1, .data = q, .apply = fsm_apply, .snapshot = fsm_snapshot, .restore = fsm_restore};
}
