/* The quorum's DISK loop under raft: what raft writes, in the order in which it asked, one sync for all that came
 * meanwhile; a snapshot goes on between them, a step at a time.
 *
 *     control loop                          the quorum's DISK loop
 *     raft_disk_post ───── disk_op ───────► in line; the first one posts `work` behind what is in the mailbox
 *     raft_append_done ◄── disk_op ──────── work: appends and cuts in order, one sync, all go back in order
 *     raft_snapshot_put ── snapshot ──────► a message a step
 *     … its callback ◄──── written ──────── its end
 *
 * 1. What went back without error is on disk.
 * 2. A full disk makes the line wait, in order; any other error ends it for good, once.
 * 3. At the start nothing of the log has committed but what a checkpoint holds, or with one voter all of it, as of an
 *    observer's copy. */
#include "quorum/log_walk.h"
#include "quorum/raft_internal.h"

enum { FULL_RETRY_MS = 500 };

struct disk_op *raft_disk_op(struct quorum *q, enum disk_what what)
{
    struct disk_op *op = heap_alloc(q->heap, sizeof(*op));

    op->quorum = q;
    op->what = what;
    list_init(&op->stuck);
    arena_init(&op->own, q->heap, SIZE_MAX);
    return op;
}

void raft_disk_op_free(struct disk_op *op)
{
    struct heap *h = op->quorum->heap;

    arena_drop(&op->own);
    heap_free(h, op->bytes.p);
    heap_free(h, op->v);
    heap_free(h, op);
}

/* ---- the control loop's ends ---- */

static void op_back(struct msg *msg)
{
    struct disk_op *op = container_of(msg, struct disk_op, msg);
    struct quorum *q = op->quorum;

    q->ops_out--;
    stand_disk_answered(q);
    switch (op->what) {
    case DISK_APPEND:
        if (q->observes)
            observe_append_done(q, op);
        else
            raft_append_done(q, op);
        break;
    case DISK_CUT:
        raft_disk_op_free(op);
        break;
    case DISK_INSTALL:
        raft_install_done(q, op);
        break;
    }
    quorum_drained(q);
}

static void op_came(struct msg *msg);

void raft_disk_post(struct quorum *q, struct disk_op *op)
{
    if (q->ops_out++ == 0)
        q->disk_ns = loop_now(q->control);
    op->msg.run = op_came;
    loop_post(q->loop, &op->msg);
}

/* ---- the line ---- */

static void tell_failure(struct quorum *q)
{
    if (!q->disk.err || q->told)
        return;
    q->told = true;
    loop_post(q->control, &q->fail);
}

void raft_disk_read(struct quorum *q, enum err err)
{
    if (err != E_KAFKA_STORAGE_ERROR)
        return;
    (void)!local_disk_failed(&q->disk, err, "reading the metadata log");
    tell_failure(q);
}

static void room_told(void *arg, bool tight)
{
    struct quorum *q = arg;

    q->tight = tight;
    if (q->ops.room)
        q->ops.room(q->ops.arg, tight);
    member_room(q);
}

static void looked(struct disk_room *room)
{
    tell_failure(container_of(room, struct quorum, room));
}

static enum err op_run(struct quorum *q, struct disk_op *op)
{
    enum err err = E_OK;

    switch (op->what) {
    case DISK_APPEND:
        for (; op->done < op->n && !err; op->done += !err)
            err = local_disk_append(&q->disk, op->v[op->done]);
        break;
    case DISK_CUT:
        err = local_disk_cut(&q->disk, op->offset);
        break;
    case DISK_INSTALL:
        err = raft_install_run(q, op);
        break;
    }
    return err;
}

static void give_back(struct quorum *q, const struct msg *end, enum err err)
{
    while (q->first != end) {
        struct disk_op *op = container_of(q->first, struct disk_op, msg);

        q->first = q->first->next;
        op->err = err;
        op->msg.run = op_back;
        loop_post(q->control, &op->msg); /* last touch */
    }
    if (!q->first)
        q->last = &q->first;
}

static void crowded_back(struct msg *msg)
{
    container_of(msg, struct quorum, crowded)->crowding = false;
}

static void crowded_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, crowded);

    if (q->stopped)
        return;
    stand_disk_answered(q); /* that it is full */
    member_give_way(q);
    quorum_crowded(q);
    msg->run = crowded_back;
    loop_post(q->loop, msg);
}

/* Said at each try: another voter may have room by then. */
static void wait_for_room(struct quorum *q)
{
    if (!q->full)
        TRACE(q->io, quorum_full);
    if (!q->crowding) {
        q->crowding = true;
        q->crowded.run = crowded_run;
        loop_post(q->control, &q->crowded);
    }
    q->full = q->working = true;
    timer_set(q->loop, &q->retry, loop_now(q->loop) + (int64_t)FULL_RETRY_MS * MS);
}

static void work(struct quorum *q)
{
    struct msg *m = q->first;

    while (m && !op_run(q, container_of(m, struct disk_op, msg)))
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
    disk_room_tell(&q->room);
}

static void retry_fired(struct timer *timer)
{
    struct quorum *q = container_of(timer, struct quorum, retry);

    q->working = false;
    work(q);
}

static void work_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, work);

    q->working = false;
    work(q);
}

static void op_came(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct disk_op, msg)->quorum;

    msg->next = NULL;
    *q->last = msg;
    q->last = &msg->next;
    if (q->working)
        return;
    q->working = true;
    loop_post(q->loop, &q->work);
}

/* A line that waits for room is tried once more, at once. */
static void end_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, end_waits);

    q->ending = true;
    disk_room_end(&q->room);
    if (!q->full)
        return;
    timer_stop(&q->retry);
    q->working = false;
    work(q);
}

/* ---- snapshots ---- */

static void snapshot_over(struct quorum *q)
{
    local_disk_snapshot_end(&q->disk);
    q->log_start = q->disk.log ? log_start(q->disk.log) : 0;
    loop_post(q->control, &q->written);
}

static void step_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, step);
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
    struct quorum *q = container_of(msg, struct quorum, snapshot);

    if (q->disk.err) { /* `fail` is on its way */
        snapshot_over(q);
        return;
    }
    local_disk_snapshot_start(&q->disk, q->put_id, q->held, &q->put_voters);
    loop_post(q->loop, &q->step);
}

/* ---- opening ---- */

/* The control loop gets every entry behind the checkpoint; of a single voter's log only their number. */
static enum err entry_found(void *arg, const struct batch_content *c, struct slice bytes, struct arena *a)
{
    struct quorum *q = arg;
    struct loaded_entry *e;
    enum entry_kind kind = barrier_in(c) ? ENTRY_BARRIER : voters_in(c) ? ENTRY_VOTERS : ENTRY_DATA;

    if (c->epoch < q->opened_epoch || c->epoch < 1)
        return E_CORRUPT_MESSAGE;
    q->opened_epoch = c->epoch;
    q->opened_last++;
    if (kind == ENTRY_VOTERS) {
        struct voters voters;
        enum err err = voters_read(c, a, &voters);

        if (err)
            return err;
        q->opened_before = q->disk.voters;
        q->opened_before_index = q->opened_voters;
        q->disk.voters = voters;
        q->opened_voters = q->opened_last;
    }
    q->disk.replayed += (int64_t)bytes.len;
    if (q->n_entries == q->entries_room) {
        q->entries_room = q->entries_room ? 2 * q->entries_room : 256;
        q->entries = heap_resize(q->heap, q->entries, q->entries_room * sizeof(*e));
    }
    e = &q->entries[q->n_entries++];
    *e = (struct loaded_entry){
        .kind = kind, .epoch = c->epoch, .last_offset = c->last_offset, .bytes = heap_copy(q->heap, bytes)};
    return E_OK;
}

/* A checkpoint of a voter without raft says no index: any will do, if it is always the same one. */
static void place_find(struct quorum *q)
{
    struct voters *v = &q->disk.voters;

    if (q->disk.snapshot >= 0 && v->index == 0) {
        v->index = q->disk.snapshot;
        v->configuration_index = 1;
    }
    q->opened_last = (raft_index)v->index;
    q->opened_voters = (raft_index)v->configuration_index;
}

/* Everything in the log has committed: the image is made here. */
static enum err open_whole(struct quorum *q)
{
    for (size_t i = 0; i < q->n_entries; i++)
        heap_free(q->heap, q->entries[i].bytes.p);
    q->n_entries = 0;
    q->disk.replayed = 0; /* the replay counts them */
    return local_disk_replay(&q->disk, &q->opened_image);
}

/* With one voter, this one, raft gets no entries, but begins behind them in a new epoch. */
static enum err open_alone(struct quorum *q)
{
    struct quorum_state now = {.leader_id = q->disk.server_id,
                               .voted_id = q->disk.server_id,
                               .voted_directory_id = q->settings.directory_id,
                               .founder = q->state.founder};

    now.leader_epoch =
        (q->state.leader_epoch > q->opened_epoch ? q->state.leader_epoch : q->opened_epoch) + 1;
    if (open_whole(q))
        return q->disk.err;
    if (quorum_state_write(q->io, q->disk.path, &now))
        return local_disk_failed(&q->disk, E_KAFKA_STORAGE_ERROR, "writing quorum-state");
    q->state = now;
    return E_OK;
}

/* ---- what this node is ---- */

/* kraft.version 0: the setting must name those whom the log names, and who is between two disks. */
static bool voters_are(const struct quorum *q)
{
    const struct voters *v = &q->disk.voters;

    if (v->kraft_version > 0 || q->opened_observes)
        return true;
    for (int k = 0; k < q->settings.n_voters; k++)
        if (voters_of_node(v, q->settings.voters[k]) < 0 && v->awaited != q->settings.voters[k] + 1)
            return false;
    return v->n + (v->awaited > 0) == q->settings.n_voters;
}

static enum err not_ours(struct quorum *q, const char *what)
{
    return local_disk_failed(&q->disk, E_INCONSISTENT_VOTER_SET, what);
}

/* One of fixed voters that begin a log without knowing each other's directories (found.c). */
static bool waits_for_all(const struct quorum *q)
{
    const struct quorum_settings *s = &q->settings;
    bool named = false, known = false;

    for (int i = 0; i < s->n_voters; i++) {
        named |= s->voters[i] == s->node_id;
        known |= !uuid_is_zero(s->voter_directories[i]);
    }
    return s->fixed && s->n_voters > 1 && !s->observes && !s->joins && named && !known;
}

/* quorum-state is there before anything of a term is in the log that hasn't committed: without it, or when it says that
 * this server was removed, all in the log has. */
static enum err role_find(struct quorum *q)
{
    const struct voters *v = &q->disk.voters;
    int at = member_named(q, v);
    bool clean = q->state.leader_epoch == 0 || q->state.removed_index > 0;
    bool named = at >= 0 && (int64_t)q->opened_voters > q->state.removed_index;
    bool elsewhere = at < 0 && voters_of_node(v, q->settings.node_id) >= 0;

    q->opened_observes = q->settings.observes || (clean && !named);
    if (q->settings.observes && !clean)
        return not_ours(q, "following the log as a broker alone: this node votes, and must be removed first");
    if (q->opened_observes && !q->ops.fetch)
        return not_ours(q, "looking for this node's directory among the voters");
    if (q->opened_observes && elsewhere)
        TRACE(q->io, quorum_other_disk, q->settings.node_id);
    if (!q->opened_observes && elsewhere)
        return not_ours(q, "looking for this node's directory among the voters");
    q->opened_empty = q->opened_observes && q->state.leader_epoch == 0 && waits_for_all(q) &&
                      q->opened_last <= 1 && q->disk.snapshot < 0;
    /* neither: it was removed, or the batch that names it has been cut, and a leader will say which */
    q->disk.server_id = at >= 0 ? v->v[at].server_id : voter_server_added(&q->settings.directory_id);
    return E_OK;
}

/* It followed, and votes from now on: the state says so before the first entry that may be cut again. */
static enum err state_begin(struct quorum *q)
{
    struct quorum_state now = q->state;

    if (now.leader_epoch > 0 && now.removed_index == 0)
        return E_OK;
    if (now.leader_epoch < q->opened_epoch) {
        now.leader_epoch = q->opened_epoch;
        now.voted_id = -1;
        now.voted_directory_id = (struct uuid){0};
    }
    now.removed_index = 0;
    if (quorum_state_write(q->io, q->disk.path, &now))
        return local_disk_failed(&q->disk, E_KAFKA_STORAGE_ERROR, "writing quorum-state");
    q->state = now;
    return E_OK;
}

/* What is in the log, and what this node is by it. */
static enum err open_log(struct quorum *q)
{
    struct local_disk *d = &q->disk;
    int64_t from;

    place_find(q);
    from = d->snapshot < 0 ? 0 : d->snapshot;
    q->opened_epoch = q->opened_image ? q->opened_image->epoch : 0;
    q->newest_voters = d->voters;
    if (local_disk_failed(d, log_walk(d->log, q->heap, from, entry_found, q), "reading the metadata log"))
        return d->err;
    if (role_find(q))
        return d->err;
    if (q->opened_observes)
        return open_whole(q);
    if (!voters_are(q))
        return not_ours(q, "looking for the voters of the configuration");
    return voters_alone(&d->voters, d->server_id) ? open_alone(q) : state_begin(q);
}

static enum err open_steps(struct quorum *q, const struct voters *first)
{
    return local_disk_load(&q->disk, first, &q->opened_image, &q->state) ? q->disk.err : open_log(q);
}

/* The log was opened, and is empty but for its first batch: it begins now. */
static enum err found_steps(struct quorum *q, const struct voters *first)
{
    struct local_disk *d = &q->disk;

    d->voters = (struct voters){0};
    q->opened_last = q->opened_voters = 0;
    q->opened_epoch = 0;
    d->replayed = 0;
    if (log_end(d->log) == 0 && local_disk_found(d, first))
        return d->err;
    q->state = (struct quorum_state){.leader_id = -1, .leader_epoch = 1, .voted_id = -1, .founder = true};
    if (quorum_state_write(q->io, d->path, &q->state))
        return local_disk_failed(d, E_KAFKA_STORAGE_ERROR, "writing quorum-state");
    return open_log(q);
}

/* In the order of their ids, whatever order the setting has: the first configuration is the same on each voter. */
static void first_add(struct voters *first, const struct voter *v)
{
    int n = first->n++;

    for (; n > 0 && first->v[n - 1].server_id > v->server_id; n--)
        first->v[n] = first->v[n - 1];
    first->v[n] = *v;
}

/* Who begins a log that isn't there yet; nobody: this node follows. */
static void first_voters(struct quorum *q, struct voters *first)
{
    const struct quorum_settings *s = &q->settings;

    *first = (struct voters){.kraft_version = s->fixed ? 0 : 1};
    if (s->observes || s->joins || (waits_for_all(q) && !q->founds))
        return;
    for (int i = 0; i < s->n_voters; i++)
        first_add(first, &(struct voter){.server_id = voter_server_first(s->voters[i]),
                                         .node = s->voters[i],
                                         .directory_id = s->voter_directories[i]});
    if (first->n == 1) /* of the others nobody can know */
        first->v[0].directory_id = s->directory_id;
    if (voters_of_directory(first, s->node_id, &s->directory_id) < 0)
        first->n = 0;
}

static void open_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, open);
    struct voters first;

    first_voters(q, &first);
    if (q->founds) {
        (void)found_steps(q, &first); /* an error is in q->disk.err */
    } else {
        local_disk_init(&q->disk, q->io, &q->settings);
        (void)open_steps(q, &first);
    }
    if (q->disk.err && q->opened_image) {
        image_unref(q->opened_image, &q->disk.grave);
        q->opened_image = NULL;
    } else if (!q->disk.err && !q->opened_image) {
        q->opened_image = image_new(&q->disk.grave);
        image_seal(q->opened_image);
    }
    grave_empty(&q->disk.grave);
    if (q->disk.err) {
        tell_failure(q);
        return;
    }
    ASSERT(q->opened_image->refs == 1);
    q->end = log_end(q->disk.log);
    q->log_start = log_start(q->disk.log);
    local_disk_told(&q->disk, q->observes ? q->opened_epoch : q->state.leader_epoch);
    loop_post(q->control, &q->opened);
    disk_room_tell(&q->room);
}

/* ---- the end ---- */

/* It was removed: what hasn't committed goes, and only then the state says that the rest has. */
static void leave(struct quorum *q)
{
    struct quorum_state now = q->state;
    int64_t start = q->disk.log ? log_start(q->disk.log) : 0; /* of one that a snapshot has just replaced */
    int64_t at = q->removed_at > start ? q->removed_at : start;

    now.removed_index = (int64_t)q->removed_by;
    now.founder = false;
    if (local_disk_cut(&q->disk, at))
        return;
    if (quorum_state_write(q->io, q->disk.path, &now))
        (void)!local_disk_failed(&q->disk, E_KAFKA_STORAGE_ERROR, "writing quorum-state");
    else
        q->state = now;
}

static void stop_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, stop);

    q->ending = true;
    disk_room_end(&q->room);
    timer_stop(&q->retry);
    work(q);
    if (q->disk.writing)
        snapshot_over(q);
    if (q->removed_by > 0)
        leave(q);
    (void)!local_disk_close(&q->disk); /* an error is in q->disk.err */
    tell_failure(q);
    loop_post(q->control, &q->closed);
}

void raft_disk_start(struct quorum *q)
{
    q->last = &q->first;
    q->retry.fire = retry_fired;
    q->open.run = open_run;
    q->work.run = work_run;
    q->snapshot.run = snapshot_run;
    q->step.run = step_run;
    q->end_waits.run = end_run;
    q->stop.run = stop_run;
    q->loop = loop_start(q->io, LOOP_DISK, "quorum");
    q->room = (struct disk_room){.disk = &q->disk,
                                 .loop = q->loop,
                                 .control = q->control,
                                 .told = room_told,
                                 .arg = q,
                                 .looked = looked};
    loop_post(q->loop, &q->open);
}
