/* One voter without raft, on the files that raft will keep (local_disk.h): append, sync, committed.
 *
 *     control loop                         the quorum's DISK loop
 *     quorum_submit ────── entry ────────► queued; the first one posts `commit` behind what is in the mailbox
 *     done ◄────────────── entry ───────── commit: append all, one sync, all go back in order
 *     ask: ops.hold ────── image ────────► snapshot, a message a step, between commits
 *     ops.released ◄────── image ────────── its end
 *
 * What holds:
 *  1. A field of `struct local` belongs to one loop, or is written before the message that hands it over.
 *  2. References of images are counted on the control loop alone; the DISK loop reads the one held for it.
 *  3. Entries come back in the order submitted; `failed` comes behind those that committed.
 *  4. Submitted offsets follow each other without a gap.
 *  5. After local_stop() each message in flight comes home before the quorum is freed.
 *  6. A full disk stops nothing: the line waits in order, what was appended before it is synced and told. */
#include "quorum/local.h"
#include "base/check.h"
#include "base/trace.h"
#include "quorum/room.h"

enum { MS = 1000000, FULL_RETRY_MS = 500, PUT_OFF_MS = 60000, STOP_BYTES = 1 << 16 };

struct local {
    struct io *io;
    struct loop *control, *loop;
    struct grave *grave; /* the control loop's */
    struct quorum_settings settings;
    struct quorum_ops ops;
    /* control loop */
    struct quorum_view view;
    int64_t next;           /* offset of the next entry */
    int64_t since_snapshot; /* bytes committed */
    struct timer timer;     /* snapshot_ms after the first of them */
    bool timed;
    bool asking; /* `ask` is posted */
    struct image *held;
    struct msg ask, gone;
    struct msg *stopped; /* local_stop() was called */
    bool stopping;       /* `stop` is posted */
    /* DISK loop */
    struct local_disk disk;
    struct msg *first, **last; /* entries that wait for `commit` */
    bool committing;           /* `commit` is posted, or `retry` is set */
    bool full;                 /* the first one waits for room */
    bool ending;               /* nobody waits for room any more */
    struct timer retry;
    struct disk_room room;
    bool told; /* `fail` is posted */
    struct msg commit, step;
    /* to and fro; of the disk, epoch and replayed stay after `opened`, err and what after `fail` */
    struct msg open, opened, snapshot, written, fail, end_waits, stop, closed;
    struct image *image; /* with `opened` */
    int64_t end;
    int64_t log_start, newest; /* with `opened` and `written` */
};

/* ---- the DISK loop ---- */

static void tell_failure(struct local *q)
{
    if (!q->disk.err || q->told)
        return;
    q->told = true;
    TRACE(q->io, quorum_failed, q->disk.settings->dir, q->disk.what, err_text(q->disk.why));
    loop_post(q->control, &q->fail);
}

static void looked(struct disk_room *room)
{
    tell_failure(container_of(room, struct local, room));
}

static void open_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, open);
    enum err err;

    local_disk_init(&q->disk, q->io, &q->settings);
    err = local_disk_open(&q->disk, &q->image);
    if (err) {
        tell_failure(q);
        return;
    }
    ASSERT(!q->disk.grave.first && q->image->refs == 1 && q->image->sealed);
    q->end = log_end(q->disk.log);
    q->log_start = log_start(q->disk.log);
    q->newest = q->disk.snapshot;
    loop_post(q->control, &q->opened);
    disk_room_tell(&q->room);
}

static void entry_back(struct msg *msg);

/* The entries before `end` have met their fate. */
static void give_back(struct local *q, const struct msg *end, enum err err)
{
    while (q->first != end) {
        struct quorum_entry *e = container_of(q->first, struct quorum_entry, msg);

        q->first = q->first->next;
        e->err = err;
        e->msg.run = entry_back;
        loop_post(q->control, &e->msg); /* last touch of e */
    }
    if (!q->first)
        q->last = &q->first;
}

/* A full disk: `commit` comes again by itself, what comes meanwhile joins the line. */
static void wait_for_room(struct local *q)
{
    if (!q->full)
        TRACE(q->io, quorum_full);
    q->full = q->committing = true;
    timer_set(q->loop, &q->retry, loop_now(q->loop) + FULL_RETRY_MS * MS);
}

/* What has come since the last time: appended in order as far as there is room, then one sync for all. */
static void commit(struct local *q)
{
    struct msg *m = q->first;

    while (m && !local_disk_append(&q->disk, container_of(m, struct quorum_entry, msg)->bytes))
        m = m->next;
    if (m != q->first && !local_disk_sync(&q->disk))
        give_back(q, m, E_OK);
    if (m && q->ending)
        local_disk_give_up(&q->disk);
    if (q->disk.err) {
        give_back(q, NULL, q->disk.err);
        tell_failure(q);
    } else if (m) {
        wait_for_room(q);
    } else if (q->full) {
        q->full = false;
        TRACE(q->io, quorum_room);
    }
    if (!q->ending)
        disk_room_tell(&q->room);
}

static void retry_fired(struct timer *timer)
{
    struct local *q = container_of(timer, struct local, retry);

    q->committing = false;
    commit(q);
}

/* A line that waits for room is tried once more, at once. */
static void end_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, end_waits);

    q->ending = true;
    disk_room_end(&q->room);
    if (!q->full)
        return;
    timer_stop(&q->retry);
    q->committing = false;
    commit(q);
}

static void commit_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, commit);

    q->committing = false;
    commit(q);
}

static void entry_came(struct msg *msg)
{
    struct local *q = container_of(msg, struct quorum_entry, msg)->owner;

    msg->next = NULL;
    *q->last = msg;
    q->last = &msg->next;
    if (q->committing)
        return;
    q->committing = true;
    loop_post(q->loop, &q->commit);
}

static void snapshot_over(struct local *q)
{
    local_disk_snapshot_end(&q->disk);
    q->newest = q->disk.snapshot;
    q->log_start = log_start(q->disk.log);
    loop_post(q->control, &q->written);
}

static void step_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, step);
    bool more;

    if (!q->disk.writing) /* stopped meanwhile */
        return;
    if (!local_disk_snapshot_step(&q->disk, &more) && more) {
        loop_post(q->loop, &q->step);
        return;
    }
    snapshot_over(q);
    tell_failure(q);
}

static void snapshot_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, snapshot);

    if (q->disk.err) { /* `fail` is on its way */
        snapshot_over(q);
        return;
    }
    local_disk_snapshot_start(&q->disk, (struct ckpt_id){q->held->offset + 1, q->held->epoch}, q->held,
                              &q->disk.voters);
    loop_post(q->loop, &q->step);
}

static void stop_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, stop);

    q->ending = true;
    timer_stop(&q->retry);
    disk_room_end(&q->room);
    commit(q);
    if (q->disk.writing)
        snapshot_over(q);
    (void)!local_disk_close(&q->disk); /* an error is in q->disk.err */
    tell_failure(q);
    loop_post(q->control, &q->closed);
}

/* ---- the control loop ---- */

/* If a stop waited for a last snapshot, it goes on. */
static void stop_post(struct local *q)
{
    if (!q->stopped || q->stopping)
        return;
    q->stopping = true;
    loop_post(q->loop, &q->stop);
}

static void ask_post(struct local *q)
{
    if (q->asking || q->held || q->stopped || q->view.failed)
        return;
    q->asking = true;
    loop_post(q->control, &q->ask);
}

static void ask_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, ask);
    struct image *image;

    q->asking = false;
    if (q->view.failed || q->stopping) {
        stop_post(q);
        return;
    }
    image = q->ops.hold(q->ops.arg);
    timer_stop(&q->timer);
    q->timed = false;
    if (!image) {
        stop_post(q);
        return;
    }
    ASSERT(image->sealed && image->offset < q->view.committed);
    q->since_snapshot = 0;
    if (image->offset + 1 <= q->view.snapshot || image->offset < 0) { /* there is nothing new to keep */
        q->ops.released(q->ops.arg, image);
        stop_post(q);
        return;
    }
    q->held = image;
    loop_post(q->loop, &q->snapshot);
}

static void written_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, written);
    struct image *image = q->held;

    q->held = NULL;
    q->view.snapshot = q->newest;
    q->view.log_start = q->log_start;
    if (q->newest != image->offset + 1 && !q->stopped) { /* put off by a full disk */
        q->timed = true;
        timer_set(q->control, &q->timer, loop_now(q->control) + (int64_t)PUT_OFF_MS * MS);
    }
    q->ops.released(q->ops.arg, image);
    stop_post(q);
}

static void timer_fired(struct timer *timer)
{
    struct local *q = container_of(timer, struct local, timer);

    q->timed = false;
    ask_post(q);
}

/* More has committed than the newest snapshot holds. */
static void snapshot_when_due(struct local *q)
{
    if (q->stopped)
        return;
    if (q->settings.snapshot_bytes > 0 && q->since_snapshot >= q->settings.snapshot_bytes) {
        ask_post(q);
    } else if (q->settings.snapshot_ms > 0 && !q->timed) {
        q->timed = true;
        timer_set(q->control, &q->timer, loop_now(q->control) + q->settings.snapshot_ms * MS);
    }
}

static void opened_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, opened);

    if (q->stopped) {
        image_unref(q->image, q->grave);
        return;
    }
    q->next = q->end;
    q->view.epoch = q->disk.epoch;
    q->view.leader = q->settings.node_id;
    q->view.log_start = q->log_start;
    q->view.snapshot = q->newest;
    q->view.end = q->view.committed = q->end;
    q->view.voters[0] = q->settings.node_id;
    q->view.progress[0].votes = true;
    q->view.n_voters = 1;
    q->view.progress[0].directory_id = q->settings.directory_id;
    q->view.kraft_version = 1;
    q->since_snapshot = q->disk.replayed;
    q->ops.loaded(q->ops.arg, q->image);
    q->ops.leader(q->ops.arg, q->view.leader, q->view.epoch, true, q->next);
}

static void entry_back(struct msg *msg)
{
    struct quorum_entry *e = container_of(msg, struct quorum_entry, msg);
    struct local *q = e->owner;
    enum err err = e->err;

    if (!err) {
        q->view.end = q->view.committed = e->last_offset + 1;
        q->since_snapshot += (int64_t)e->bytes.len;
    }
    e->done(e, err); /* last touch of e */
    if (!err)
        snapshot_when_due(q);
}

static void fail_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, fail);

    q->view.failed = q->disk.err;
    q->view.leader = -1;
    timer_stop(&q->timer);
    q->ops.failed(q->ops.arg, q->disk.err, q->disk.what);
}

/* Everything is home, but for what this loop may have posted to itself. */
static void gone_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, gone);
    struct msg *stopped = q->stopped;
    struct loop *control = q->control;

    if (q->asking) {
        loop_post(control, &q->gone);
        return;
    }
    ASSERT(!q->held && !q->first);
    heap_free(io_heap(q->io), (char *)q->settings.dir);
    heap_free(io_heap(q->io), q);
    loop_post(control, stopped);
}

static void closed_run(struct msg *msg)
{
    struct local *q = container_of(msg, struct local, closed);

    loop_stop(q->loop, q->control, &q->gone);
}

/* ---- the door ---- */

struct local *local_start(struct io *io, struct loop *control, struct grave *grave,
                          const struct quorum_settings *settings, const struct quorum_ops *ops)
{
    struct local *q = heap_alloc(io_heap(io), sizeof(*q));

    ASSERT(grave->heap == io_heap(io)); /* images change hands between graves */
    q->io = io;
    q->control = control;
    q->grave = grave;
    q->settings = *settings;
    q->settings.dir = heap_str(io_heap(io), SLICE(settings->dir));
    q->ops = *ops;
    q->view = (struct quorum_view){.leader = -1, .snapshot = -1};
    q->timer.fire = timer_fired;
    q->retry.fire = retry_fired;
    q->last = &q->first;
    q->open.run = open_run;
    q->opened.run = opened_run;
    q->commit.run = commit_run;
    q->snapshot.run = snapshot_run;
    q->step.run = step_run;
    q->written.run = written_run;
    q->fail.run = fail_run;
    q->ask.run = ask_run;
    q->end_waits.run = end_run;
    q->stop.run = stop_run;
    q->closed.run = closed_run;
    q->gone.run = gone_run;
    q->loop = loop_start(io, LOOP_DISK, "quorum");
    q->room = (struct disk_room){.disk = &q->disk,
                                 .loop = q->loop,
                                 .control = control,
                                 .told = ops->room,
                                 .arg = ops->arg,
                                 .looked = looked};
    loop_post(q->loop, &q->open);
    return q;
}

void local_submit(struct local *q, struct quorum_entry *e)
{
    ASSERT(!q->stopped && q->next > 0 && e->base_offset == q->next && e->last_offset >= e->base_offset);
    q->next = e->last_offset + 1;
    e->owner = q;
    e->msg.run = entry_came;
    loop_post(q->loop, &e->msg);
}

void local_snapshot(struct local *q)
{
    if (q->next > 0)
        ask_post(q);
}

struct quorum_view local_view(const struct local *q)
{
    return q->view;
}

void local_stop(struct local *q, struct msg *stopped)
{
    ASSERT(!q->stopped && stopped);
    q->stopped = stopped;
    timer_stop(&q->timer);
    if (q->view.failed || q->held || q->since_snapshot < STOP_BYTES)
        stop_post(q);
    else if (!q->asking) {
        q->asking = true;
        loop_post(q->control, &q->ask);
    }
}

void local_end_waits(struct local *q)
{
    ASSERT(!q->stopped);
    loop_post(q->loop, &q->end_waits);
}
