/* Reading what has committed, for those that follow from outside the quorum and for tools: on the quorum's DISK loop. */
#include "quorum/raft_internal.h"

static void read_back(struct msg *msg)
{
    struct quorum_read *r = container_of(msg, struct quorum_read, msg);

    r->done(r); /* last touch */
}

/* What committed here has committed everywhere, so of that it can be said whether the reader has the same; of what
 * comes behind it nobody knows yet. */
static bool diverges(const struct log *log, struct quorum_read *r)
{
    struct epoch_end ours;

    if (r->last_epoch < 0 || r->offset > r->committed || r->offset <= log_start(log))
        return false;
    ours = log_epoch_end(log, r->last_epoch);
    r->ours_epoch = ours.epoch;
    r->ours_end = ours.end;
    return epochs_at(log_epochs(log), r->offset - 1) != r->last_epoch;
}

static void read_log(struct quorum *q, struct quorum_read *r)
{
    struct log_limits limits = {.up_to = r->committed, .max_bytes = r->max_bytes, .min_one = true};

    r->log_start = log_start(q->disk.log);
    r->end = log_end(q->disk.log);
    r->diverges = diverges(q->disk.log, r);
    if (r->diverges || (r->offset > r->committed && r->offset <= r->end))
        return;
    r->err = log_read(q->disk.log, r->offset, &limits, &r->range);
    if (!r->err && r->range.len > 0)
        r->err = file_warm(r->range.file, r->range.at, r->range.len); /* a NET loop sends it */
    if (r->err)
        log_range_drop(&r->range);
}

static void read_checkpoint(struct quorum *q, struct quorum_read *r)
{
    struct file *file;
    int64_t rest;

    r->err =
        ckpt_open(q->io, q->disk.path, (struct ckpt_id){r->checkpoint.offset, r->checkpoint.epoch}, &file);
    if (r->err)
        return;
    r->size = file_size(file);
    rest = r->size - r->offset;
    if (r->offset < 0 || rest <= 0) {
        r->err = E_POSITION_OUT_OF_RANGE;
        file_unref(file);
        return;
    }
    r->range = (struct log_range){
        .file = file, .at = r->offset, .len = (size_t)rest < r->max_bytes ? (size_t)rest : r->max_bytes};
    r->err = file_warm(file, r->range.at, r->range.len); /* a NET loop sends it */
    if (r->err)
        log_range_drop(&r->range);
}

static void read_run(struct msg *msg)
{
    struct quorum_read *r = container_of(msg, struct quorum_read, msg);
    struct quorum *q = r->owner;

    if (q->disk.err || !q->disk.log)
        r->err = E_KAFKA_STORAGE_ERROR;
    else if (r->is_checkpoint)
        read_checkpoint(q, r);
    else
        read_log(q, r);
    raft_disk_read(q, r->err);
    msg->run = read_back;
    loop_post(r->back, msg);
}

void quorum_read(struct quorum *q, struct quorum_read *r)
{
    r->owner = q;
    r->committed = q->view.committed;
    r->newest = (struct quorum_checkpoint){q->newest.offset, q->newest.epoch};
    r->err = E_OK;
    r->diverges = false;
    r->leader = q->view.leader;
    r->epoch = q->view.epoch;
    r->range = (struct log_range){0};
    r->msg.run = read_run;
    loop_post(q->loop, &r->msg);
}
