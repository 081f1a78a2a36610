/* A snapshot from the leader. raft's message is a ticket; before the library sees it, the checkpoint that it names is
 * fetched in pieces, written beside the log, read back and made an image, all on the DISK loop. What the library then
 * does is to swap one pointer and to begin the log anew:
 *
 *     RaftInstall ─► FETCHING: ops.ask ─► quorum_piece ─► written ─► … ─► LOADING ─► the library: snapshot_put
 *                 ─► PUTTING: named, log restarted ─► its callback ─► fsm_restore takes the image
 *
 * An observer has no library: LOADING goes on to PUTTING by itself, and the image to quorum_restore().
 *
 * One at a time; a newer term's ticket takes the place of one that is being fetched. A piece that doesn't come, or a
 * file that doesn't read, ends it: the leader offers the next ticket by itself. */
#include "proto_gen.h"
#include "quorum/raft_internal.h"

enum stage { FETCHING, LOADING, PUTTING };

struct install {
    struct msg msg; /* to the DISK loop and back */
    struct quorum *quorum;
    enum stage stage;
    bool busy;    /* `msg` is on its way */
    bool dropped; /* nobody wants it any more; freed when `msg` is home */
    int32_t node, server;
    struct ckpt_id id;
    raft_term term;
    raft_index last_index, configuration_index;
    struct voters voters;
    int64_t at, size;
    struct slice piece; /* owned */
    struct image *image;
    enum err err;
    struct raft_io_snapshot_put *put;
    raft_io_snapshot_put_cb put_cb;
    struct raft_buffer *bufs; /* the library's: it forgets them when it is closed */
};

static void install_free(struct install *in)
{
    struct quorum *q = in->quorum;

    if (in->image)
        image_unref(in->image, q->grave);
    heap_free(q->heap, in->piece.p);
    if (q->install == in)
        q->install = NULL;
    heap_free(q->heap, in);
}

static void install_drop(struct install *in)
{
    struct quorum *q = in->quorum;

    q->install = NULL;
    in->dropped = true;
    if (!in->busy && in->stage != PUTTING)
        install_free(in);
}

bool raft_install_idle(const struct quorum *q)
{
    return !q->install && q->installs_out == 0;
}

/* Nobody offers an observer the next one: it asks again. */
static void install_failed(struct install *in, enum err err)
{
    struct quorum *q = in->quorum;

    TRACE(q->io, quorum_install_failed, (long long)in->id.offset, err_text(err));
    install_drop(in);
    if (q->observes)
        observe_again(q);
}

bool raft_install_busy(const struct quorum *q)
{
    return q->install && q->install->stage == PUTTING;
}

static void install_send(struct install *in, void (*run)(struct msg *msg))
{
    in->busy = true;
    in->quorum->installs_out++;
    in->msg.run = run;
    loop_post(in->quorum->loop, &in->msg);
}

/* true: it is still wanted. */
static bool install_home(struct install *in)
{
    struct quorum *q = in->quorum;

    in->busy = false;
    q->installs_out--;
    heap_free(q->heap, in->piece.p);
    in->piece = SLICE_NULL;
    if (!in->dropped && in->err) {
        install_failed(in, in->err);
    } else if (in->dropped) {
        install_free(in);
    } else {
        return true;
    }
    quorum_drained(q);
    return false;
}

/* ---- fetching ---- */

static void piece_written(struct msg *msg);
static void loaded(struct msg *msg);

static void piece_run(struct msg *msg)
{
    struct install *in = container_of(msg, struct install, msg);

    in->err = ckpt_part_write(in->quorum->io, in->quorum->disk.path, in->id, in->at, in->piece);
    msg->run = piece_written;
    loop_post(in->quorum->control, msg);
}

/* What a voter's message says beside the file, an observer finds in it. */
static void voters_of_file(struct install *in, const struct voters *voters)
{
    in->voters = *voters;
    in->last_index = (raft_index)(voters->index ? voters->index : in->id.offset);
    in->configuration_index = (raft_index)(voters->index ? voters->configuration_index : 1);
}

/* The image has no other owner and leaves nothing in the DISK loop's grave. */
static void load_run(struct msg *msg)
{
    struct install *in = container_of(msg, struct install, msg);
    struct quorum *q = in->quorum;
    struct voters voters;

    in->err = ckpt_part_load(q->io, q->disk.path, in->id, &q->disk.grave, &in->image, &voters);
    if (in->err)
        in->image = NULL;
    else if (q->observes)
        voters_of_file(in, &voters);
    grave_empty(&q->disk.grave);
    msg->run = loaded;
    loop_post(q->control, msg);
}

static void piece_written(struct msg *msg)
{
    struct install *in = container_of(msg, struct install, msg);
    struct quorum *q = in->quorum;

    in->at += (int64_t)in->piece.len;
    if (!install_home(in))
        return;
    if (in->at < in->size) {
        q->ops.ask(q->ops.arg, in->node, (struct quorum_checkpoint){in->id.offset, in->id.epoch}, in->at);
        return;
    }
    in->stage = LOADING;
    install_send(in, load_run);
}

void quorum_piece(struct quorum *q, struct quorum_checkpoint id, int64_t at, int64_t size, struct slice bytes,
                  enum err err)
{
    struct install *in = q->install;

    if (!in || in->stage != FETCHING || in->busy || in->id.offset != id.offset || in->id.epoch != id.epoch ||
        in->at != at)
        return;
    if (!err && !ckpt_piece_fits(at, size, in->size, bytes.len))
        err = E_MALFORMED;
    if (err) {
        install_failed(in, err);
        return;
    }
    in->size = size;
    in->piece = heap_copy(q->heap, bytes);
    install_send(in, piece_run);
}

static struct install *install_new(struct quorum *q, const struct install *ticket)
{
    struct install *in = heap_alloc(q->heap, sizeof(*in));

    *in = *ticket;
    q->install = in;
    TRACE(q->io, quorum_install, (long long)in->id.offset, in->id.epoch, in->node);
    return in;
}

static void install_ask(struct install *in)
{
    struct quorum *q = in->quorum;

    q->ops.ask(q->ops.arg, in->node, (struct quorum_checkpoint){in->id.offset, in->id.epoch}, in->at);
}

/* The library owns what it is given. */
static bool give_ticket(struct install *in)
{
    struct raft_message m = {.type = RAFT_IO_INSTALL_SNAPSHOT, .server_id = (raft_id)in->server};
    struct raft_install_snapshot *s = &m.install_snapshot;

    raft_enter(in->quorum);
    *s = (struct raft_install_snapshot){.term = in->term,
                                        .last_index = in->last_index,
                                        .last_term = (raft_term)in->id.epoch,
                                        .conf_index = in->configuration_index};
    if (raft_voters(&in->voters, &s->conf))
        return false;
    s->data = (struct raft_buffer){raft_malloc(sizeof(in->id)), sizeof(in->id)};
    memcpy(s->data.base, &in->id, sizeof(in->id));
    raft_give(in->quorum, &m);
    return true;
}

void raft_install_begin(struct quorum *q, const struct voter *from, const struct RaftInstall *m,
                        const struct voters *voters)
{
    struct install ticket = {.quorum = q,
                             .node = from->node,
                             .server = from->server_id,
                             .id = {m->offset, m->epoch},
                             .term = (raft_term)m->term,
                             .last_index = (raft_index)m->last_index,
                             .configuration_index = (raft_index)m->configuration_index,
                             .voters = *voters};
    struct install *in = q->install;

    if (q->phase != QUORUM_RUNNING || ticket.term < q->raft.current_term)
        return;
    if (in && (in->stage == PUTTING || in->term >= ticket.term))
        return;
    if (ticket.last_index <= q->applied) { /* the library says so, or its leader would wait */
        (void)give_ticket(&ticket);
        return;
    }
    if (in)
        install_drop(in);
    install_ask(install_new(q, &ticket));
}

bool raft_install_observe(struct quorum *q, int32_t node, struct ckpt_id id)
{
    if (q->install || q->installs_out > 0)
        return false;
    install_ask(install_new(q, &(struct install){.quorum = q, .node = node, .id = id}));
    return true;
}

/* ---- through the library ---- */

static void install_post(struct install *in)
{
    struct disk_op *op = raft_disk_op(in->quorum, DISK_INSTALL);

    in->stage = PUTTING;
    op->offset = in->id.offset;
    op->epoch = in->id.epoch;
    raft_disk_post(in->quorum, op);
}

static void loaded(struct msg *msg)
{
    struct install *in = container_of(msg, struct install, msg);
    struct quorum *q = in->quorum;

    /* The library frees its log when it hears of the snapshot, and what is noted there isn't taken yet. */
    if (!in->dropped && !in->err && q->phase == QUORUM_RUNNING && !replay_over(q)) {
        loop_post(q->control, msg);
        return;
    }
    if (!install_home(in))
        return;
    if (q->observes) {
        install_post(in);
        return;
    }
    if (!give_ticket(in) ||
        (q->install == in && in->stage != PUTTING)) /* it has all of it by now, or is busy */
        install_drop(in);
}

int raft_install_put(struct quorum *q, struct raft_io_snapshot_put *req, const struct raft_snapshot *snapshot,
                     raft_io_snapshot_put_cb cb)
{
    ASSERT(q->install && q->install->stage == LOADING);
    q->install->put = req;
    q->install->put_cb = cb;
    q->install->bufs = snapshot->bufs;
    install_post(q->install);
    return 0;
}

enum err raft_install_run(struct quorum *q, struct disk_op *op)
{
    struct ckpt_id id = {op->offset, op->epoch};

    if (q->disk.err)
        return q->disk.err;
    if (local_disk_failed(&q->disk, ckpt_part_name(q->io, q->disk.path, id), "naming the leader's snapshot"))
        return q->disk.err;
    return local_disk_restart(&q->disk, id);
}

static void install_over(struct install *in)
{
    in->stage = LOADING;
    install_drop(in);
}

void raft_install_done(struct quorum *q, struct disk_op *op)
{
    struct install *in = q->install;
    bool ok = in && !op->err && q->phase == QUORUM_RUNNING;

    raft_disk_op_free(op);
    if (!ok && q->observes && in)
        install_over(in);
    if (!ok) /* raft is closed, or is about to be: raft_install_cancel() */
        return;
    ASSERT(in->stage == PUTTING && in->last_index > q->applied);
    if (!q->observes)
        entry_book_restart(&q->book, in->last_index + 1, in->id.offset);
    q->applied = in->last_index;
    q->applied_epoch = in->id.epoch;
    member_restore(q, &in->voters, in->configuration_index);
    q->newest = in->id;
    q->newest_voters = in->voters;
    q->newest_voters.index = (int64_t)in->last_index;
    q->newest_voters.configuration_index = (int64_t)in->configuration_index;
    q->view.snapshot = in->id.offset;
    q->since_snapshot = 0;
    TRACE(q->io, quorum_installed, (long long)in->id.offset, in->id.epoch);
    if (q->observes) {
        struct ckpt_id id = in->id;
        struct image *image = raft_install_image(q);

        install_over(in);
        observe_installed(q, id, image);
        return;
    }
    raft_enter(q);
    q->raft.configuration_uncommitted_index = 0; /* it lay in the log that is gone */
    in->put_cb(in->put, 0);
    install_over(in);
    quorum_observe(q);
}

struct image *raft_install_image(struct quorum *q)
{
    struct image *image = NULL;

    if (q->install && q->install->stage == PUTTING) {
        image = q->install->image;
        q->install->image = NULL;
    }
    return image;
}

void raft_install_cancel(struct quorum *q)
{
    struct install *in = q->install;

    if (!in || (q->observes && in->stage == PUTTING)) /* raft_install_done() ends it */
        return;
    if (in->stage == PUTTING) {
        in->put_cb(in->put, RAFT_CANCELED);
        raft_free(in->bufs);
        in->stage = LOADING;
    }
    install_drop(in);
}
