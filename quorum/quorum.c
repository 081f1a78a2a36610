/* The door of the quorum on raft (raft_internal.h has the picture): start, stop, submit, and what the broker is told. */
#include "quorum/quorum.h"
#include "proto_gen.h"
#include "quorum/raft_internal.h"

enum { STOP_BYTES = 1 << 16 };

/* ---- what is told ---- */

static bool alone(const struct quorum *q)
{
    return !q->observes && voters_alone(&q->voters, q->server_id);
}

/* The leader as the broker may know it: this node only when its barrier has committed, another only in the epoch in which
 * it spoke: the library, whose term was raised by a candidate, still names the leader of the term before. */
static int32_t leader_now(struct quorum *q, bool *self)
{
    raft_id id = 0;
    const char *address;

    *self = false;
    if (q->phase != QUORUM_RUNNING)
        return -1;
    if (raft_state(&q->raft) == RAFT_LEADER) {
        *self = q->barrier_done && q->applied >= q->barrier && !q->transferring && replay_over(q);
        return *self ? q->settings.node_id : -1;
    }
    if (raft_state(&q->raft) == RAFT_FOLLOWER && q->target_term == q->raft.current_term)
        raft_leader(&q->raft, &id, &address);
    return id > 0 ? q->heard : -1;
}

int32_t quorum_leads(struct quorum *q)
{
    bool self;

    return leader_now(q, &self);
}

void quorum_tell_loaded(struct quorum *q)
{
    struct image *image = q->image;

    if (q->draft)
        image_seal(image);
    q->draft = false;
    q->image = NULL;
    q->loaded = true;
    if (q->settings.mark)
        q->settings.mark->failed = false;
    q->ops.loaded(q->ops.arg, image);
}

/* The first time that this node has all that a leader had committed. */
static void tell_loaded(struct quorum *q, int32_t leader, bool self)
{
    bool caught_up = self || (leader >= 0 && q->target_term == q->raft.current_term &&
                              q->applied >= q->target && q->applied_epoch == (int32_t)q->raft.current_term);

    if (!q->loaded && caught_up && q->view.committed > q->settings.told && replay_over(q))
        quorum_tell_loaded(q);
}

static void tell_leader(struct quorum *q, int32_t leader, bool self)
{
    int32_t epoch = (int32_t)q->raft.current_term;

    if (!q->loaded || (leader == q->told_leader && epoch == q->told_epoch && self == q->told_self))
        return;
    if (q->told_self && self) /* in another epoch */
        quorum_tell_lost(q);
    q->told_leader = leader;
    q->told_epoch = epoch;
    if (q->told_self && !self) {
        q->told_self = false;
        quorum_confirms_end(q, E_NOT_CONTROLLER);
    }
    q->told_self = self;
    q->ops.leader(q->ops.arg, leader, epoch, self, self ? entry_book_end(&q->book) : -1);
}

void quorum_tell_lost(struct quorum *q)
{
    tell_leader(q, -1, false);
}

/* ---- after each return of the library ---- */

void quorum_observe(struct quorum *q)
{
    int32_t leader;
    bool self;

    if (q->phase != QUORUM_RUNNING)
        return;
    if (raft_state(&q->raft) == RAFT_UNAVAILABLE || q->state_err) {
        (void)!local_disk_failed(&q->disk, q->state_err ? q->state_err : E_CORRUPT_MESSAGE,
                                 q->state_err ? "writing quorum-state" : "following the leader's log");
        quorum_fail(q);
        return;
    }
    rule_lead(q);
    quorum_applied_to(q, q->raft.last_applied);
    ASSERT(q->applied == q->raft.last_applied);
    if (q->raft.log.offset >= q->book.first && q->raft.log.offset <= q->applied)
        entry_book_forget(&q->book, q->raft.log.offset);
    q->view.end = entry_book_end(&q->book);
    replay_returned(q);
    leader = leader_now(q, &self);
    tell_loaded(q, leader, self);
    tell_leader(q, leader, self);
    raft_enter(q); /* whoever was told may have waited for files, and others ran */
    q->view.leader = leader;
    q->view.epoch = (int32_t)q->raft.current_term;
    quorum_snapshot_look(q);
    member_step(q);
    progress_commits(q);
}

/* ---- the disk ends it ---- */

static void rest(struct quorum *q)
{
    if (q->observes)
        observe_rest(q);
    else
        raft_rest(q);
}

static void fail_say(struct quorum *q, enum err why, const char *what)
{
    struct quorum_mark *m = q->settings.mark;

    if (m && m->failed)
        TRACE(q->io, quorum_fails_still, q->settings.dir, what, err_text(why));
    else
        TRACE(q->io, quorum_failed, q->settings.dir, what, err_text(why));
    if (m)
        m->failed = true;
}

static void fail(struct quorum *q, enum err err, enum err why, const char *what)
{
    if (q->view.failed)
        return;
    q->view.failed = err;
    q->view.leader = -1;
    timer_stop(&q->snapshot_timer);
    stand_hurry(q);
    if (q->phase == QUORUM_RUNNING)
        rest(q);
    q->told_self = false;
    quorum_confirms_end(q, E_NOT_CONTROLLER);
    fail_say(q, why, what);
    q->ops.failed(q->ops.arg, err, what);
    quorum_drained(q);
}

void quorum_fail(struct quorum *q)
{
    q->view.for_good |= q->disk.unsure;
    fail(q, q->disk.err, q->disk.why, q->disk.what);
}

/* Before anybody was told anything: the others may have more to tell. */
void quorum_crowded(struct quorum *q)
{
    if (q->phase == QUORUM_RUNNING && !q->loaded && !alone(q))
        fail(q, E_FULL, E_FULL, "waiting for room for the metadata log");
}

/* What it had begun isn't waited for: the disk may be silent for long. */
void quorum_hung(struct quorum *q)
{
    quorum_abandon(q);
    fail(q, E_KAFKA_STORAGE_ERROR, E_TIMEOUT, "waiting for the disk");
}

void quorum_leave(struct quorum *q)
{
    q->view.leader = -1;
    timer_stop(&q->snapshot_timer);
    rest(q);
    if (q->ops.role)
        q->ops.role(q->ops.arg, false);
    quorum_drained(q);
}

static void fail_run(struct msg *msg)
{
    quorum_fail(container_of(msg, struct quorum, fail));
}

/* ---- opening ---- */

static void opened_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, opened);
    enum err err;

    if (q->image) /* of the empty log that it had, before it began one */
        image_unref(q->image, q->grave);
    q->draft = false;
    q->image = q->opened_image;
    q->opened_image = NULL;
    if (q->stopped) { /* raft never ran */
        q->phase = QUORUM_CLOSED;
        quorum_drained(q);
        return;
    }
    q->observes = q->opened_observes;
    q->server_id = q->disk.server_id;
    q->voters = q->disk.voters;
    q->voters_told = q->voters_index = q->opened_voters;
    q->voters_before = q->opened_before_index > 0 ? q->opened_before : q->voters;
    q->before_index = q->opened_before_index > 0 ? q->opened_before_index : q->voters_index;
    q->newest = (struct ckpt_id){q->disk.snapshot, q->disk.snapshot_epoch};
    q->view.log_start = q->log_start;
    q->view.snapshot = q->disk.snapshot;
    q->view.removed = q->state.removed_index > 0; /* the state is the DISK loop's while it opens */
    for (int i = 0; i < q->voters.n; i++)
        q->peers[i].hello = heal_said(q, q->voters.v[i].node);
    if (q->ops.voters && q->voters.n > 0)
        q->ops.voters(q->ops.arg);
    if (q->observes) {
        observe_begin(q);
        if (q->opened_empty)
            found_begin(q);
        return;
    }
    if (alone(q)) { /* all of it is in the image: as if a snapshot ended where the log does */
        entry_book_restart(&q->book, q->opened_last + 1, q->end);
        q->start_id = (struct ckpt_id){q->end, q->opened_epoch};
        q->start_voters = q->voters;
        q->start_voters.index = (int64_t)q->opened_last;
        q->start_voters.configuration_index = (int64_t)q->opened_voters;
        q->since_snapshot = q->disk.replayed;
        q->view.committed = q->end;
    } else {
        q->start_id = q->newest;
        q->start_voters = q->newest_voters;
        entry_book_restart(&q->book, (raft_index)q->newest_voters.index + 1,
                           q->newest.offset < 0 ? 0 : q->newest.offset);
        for (size_t i = 0; i < q->n_entries; i++)
            entry_book_add(&q->book, q->entries[i].kind, q->entries[i].epoch, q->entries[i].last_offset,
                           q->entries[i].bytes);
        q->view.committed = q->image->offset + 1;
    }
    q->applied_epoch = q->start_id.offset < 0 ? 0 : q->start_id.epoch;
    err = raft_begin(q);
    if (err) {
        (void)!local_disk_failed(&q->disk, err, "starting raft");
        quorum_fail(q);
        return;
    }
    quorum_observe(q);
}

/* ---- entries ---- */

static void flight_over(struct raft_apply *req, int status, void *result)
{
    struct flight *f = container_of(req, struct flight, req);
    struct quorum_entry *e = f->entry;
    struct quorum *q = f->quorum;

    list_remove(&f->link);
    heap_free(q->heap, f);
    if (status && q->told_self) /* the library fails what was in flight before it is a follower */
        quorum_tell_lost(q);
    if (e)
        e->done(e, !status ? E_OK : q->view.failed ? q->view.failed : E_NOT_CONTROLLER); /* last touch */
}

void quorum_abandon(struct quorum *q)
{
    quorum_tell_lost(q);
    list_each (it, &q->flights) {
        struct flight *f = container_of(it, struct flight, link);
        struct quorum_entry *e = f->entry;

        f->entry = NULL;
        if (e)
            e->done(e, E_NOT_CONTROLLER);
    }
}

static void refused(struct msg *msg)
{
    struct quorum_entry *e = container_of(msg, struct quorum_entry, msg);
    struct quorum *q = e->owner;

    q->refusals--;
    e->done(e, q->view.failed ? q->view.failed : E_NOT_CONTROLLER);
    quorum_drained(q);
}

void quorum_submit(struct quorum *q, struct quorum_entry *e)
{
    struct flight *f = heap_alloc(q->heap, sizeof(*f));
    struct raft_buffer buf;

    ASSERT(!q->stopped);
    e->owner = q;
    f->quorum = q;
    f->entry = e;
    raft_enter(q);
    if (q->phase == QUORUM_RUNNING && q->told_self) {
        ASSERT(e->base_offset == entry_book_end(&q->book) && e->last_offset >= e->base_offset);
        buf = (struct raft_buffer){raft_malloc(e->bytes.len), e->bytes.len};
        memcpy(buf.base, e->bytes.p, e->bytes.len);
        f->index = raft_last_index(&q->raft) + 1;
        list_add(&q->flights, &f->link);
        if (raft_apply(&q->raft, &f->req, &buf, 1, flight_over) == 0) {
            q->view.end = entry_book_end(&q->book);
            return;
        }
        list_remove(&f->link);
        raft_free(buf.base);
    }
    heap_free(q->heap, f);
    q->refusals++;
    e->msg.run = refused;
    loop_post(q->control, &e->msg);
}

/* ---- messages ---- */

bool quorum_deliver(struct quorum *q, int32_t node, struct slice bytes)
{
    struct raft_message m;
    bool ours;

    if (q->phase != QUORUM_RUNNING || q->view.failed)
        return true;
    if (node == q->settings.node_id) {
        TRACE(q->io, quorum_message_bad, node);
        return false;
    }
    raft_enter(q);
    if (!raft_msg_read(q, node, bytes, &m, &ours))
        return ours;
    if (m.type == RAFT_IO_APPEND_ENTRIES && m.append_entries.term >= q->raft.current_term)
        q->leader_ns = loop_now(q->control);
    if (m.type == RAFT_IO_APPEND_ENTRIES && m.append_entries.term >= q->raft.current_term &&
        m.append_entries.term != q->target_term) {
        q->target_term = m.append_entries.term;
        q->target = m.append_entries.leader_commit;
        q->heard = node;
    }
    raft_give(q, &m);
    return true;
}

/* ---- the end ---- */

static void mark_keep(const struct quorum *q)
{
    struct quorum_mark *m = q->settings.mark;

    if (!m || !q->disk.known)
        return;
    m->known = true;
    m->end = q->disk.synced;
    m->epoch = q->state.leader_epoch;
    m->voted_id = q->state.voted_id;
    m->removed_index = q->state.removed_index;
}

/* Everything is home. */
static void gone_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, gone);
    struct msg *stopped = q->stopped;
    struct loop *control = q->control;

    ASSERT(!q->held && !q->first && !q->install && list_empty(&q->flights) && list_empty(&q->sent));
    mark_keep(q);
    replay_drop(q);
    if (q->image)
        image_unref(q->image, q->grave);
    for (size_t i = 0; i < q->n_entries; i++)
        heap_free(q->heap, q->entries[i].bytes.p);
    heap_free(q->heap, q->entries);
    entry_book_drop(&q->book);
    heap_free(q->heap, (char *)q->settings.dir);
    heap_free(q->heap, q);
    loop_post(control, stopped);
}

static void closed_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, closed);

    loop_stop(q->loop, q->control, &q->gone);
}

/* The end in steps, each when the one before has ended: what was submitted, raft, a last snapshot, the disk. */
void quorum_drained(struct quorum *q)
{
    if (q->stopped && q->phase == QUORUM_RUNNING && (!alone(q) || list_empty(&q->flights))) {
        rest(q);
        q->told_self = false;
        quorum_confirms_end(q, E_NOT_CONTROLLER);
    }
    if (q->phase == QUORUM_CLOSING && q->ops_out == 0)
        raft_end(q);
    if (!q->stopped || q->stopping || q->phase == QUORUM_RUNNING || q->phase == QUORUM_CLOSING)
        return;
    if (q->held || q->ops_out > 0 || !raft_install_idle(q) || q->sent_posted || q->get_posted ||
        q->confirm_posted || q->leave_posted || q->replay.posted || q->refusals > 0 || q->changes_posted > 0)
        return;
    if (q->loaded && !q->view.failed && !q->replay.dropped && q->since_snapshot >= STOP_BYTES) {
        quorum_snapshot_last(q);
        if (q->held)
            return;
    }
    q->stopping = true;
    loop_post(q->loop, &q->stop);
}

/* Not inside the call: that one may come from a callback, which the library runs. */
static void leave_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, leave);

    q->leave_posted = false;
    if (q->phase != QUORUM_OPENING || q->view.failed)
        quorum_drained(q);
}

/* ---- the door ---- */

struct quorum *quorum_start(struct io *io, struct loop *control, struct grave *grave,
                            const struct quorum_settings *settings, const struct quorum_ops *ops)
{
    struct quorum *q = heap_alloc(io_heap(io), sizeof(*q));

    ASSERT(grave->heap == io_heap(io) && settings->n_voters <= QUORUM_VOTERS_MAX);
    ASSERT(settings->heartbeat_ms > 0 && settings->heartbeat_ms < settings->election_ms);
    q->io = io;
    q->heap = io_heap(io);
    q->control = control;
    q->grave = grave;
    q->settings = *settings;
    q->settings.dir = heap_str(q->heap, SLICE(settings->dir));
    if (q->settings.n_voters == 0) {
        q->settings.voters[0] = settings->node_id;
        q->settings.n_voters = 1;
    }
    q->ops = *ops;
    q->view = (struct quorum_view){.leader = -1, .snapshot = -1};
    q->told_leader = -1;
    q->told_epoch = -1;
    entry_book_init(&q->book, q->heap);
    list_init(&q->flights);
    list_init(&q->sent);
    list_init(&q->stuck);
    q->opened.run = opened_run;
    q->fail.run = fail_run;
    q->closed.run = closed_run;
    q->gone.run = gone_run;
    q->leave.run = leave_run;
    quorum_confirms_make(q);
    quorum_snapshots_make(q);
    raft_io_make(q);
    raft_disk_start(q);
    return q;
}

struct quorum_view quorum_view(const struct quorum *q)
{
    struct quorum_view view = q->view;

    view.n_voters = q->voters.n;
    view.kraft_version = q->voters.kraft_version;
    view.observes = q->observes;
    for (int i = 0; i < q->voters.n; i++) {
        view.voters[i] = q->voters.v[i].node;
        view.progress[i].directory_id = q->voters.v[i].directory_id;
        view.progress[i].votes = q->voters.v[i].role == VOTER_VOTES;
    }
    return view;
}

void quorum_stop(struct quorum *q, struct msg *stopped)
{
    ASSERT(!q->stopped && stopped);
    q->stopped = stopped;
    timer_stop(&q->snapshot_timer);
    timer_stop(&q->confirm_timer);
    timer_stop(&q->tell_timer);
    if (!q->waits_ended)
        loop_post(q->loop, &q->end_waits);
    q->waits_ended = true;
    q->leave_posted = true;
    loop_post(q->control, &q->leave);
}

void quorum_end_waits(struct quorum *q)
{
    ASSERT(!q->stopped);
    if (!q->waits_ended)
        loop_post(q->loop, &q->end_waits);
    q->waits_ended = true;
}
