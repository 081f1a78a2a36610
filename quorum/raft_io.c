/* struct raft_io over the quorum's own loops, files and messages: what the library asks for, and every way into it. */
#include "proto/batch.h"
#include "quorum/raft_internal.h"
#include <stdio.h>

/* ---- memory: the library has one allocator for a process, so each entry sets the node's ---- */

static void *heap_malloc(void *data, size_t size)
{
    return heap_alloc(data, size);
}

static void heap_release(void *data, void *p)
{
    heap_free(data, p);
}

static void *heap_calloc(void *data, size_t n, size_t size)
{
    ASSERT(size == 0 || n <= SIZE_MAX / size);
    return heap_alloc(data, n * size);
}

static void *heap_realloc(void *data, void *p, size_t size)
{
    return heap_resize(data, p, size);
}

void raft_enter(struct quorum *q)
{
    raft_heap_set(&q->raft_heap);
}

static struct quorum *quorum_of(struct raft_io *io)
{
    return io->impl;
}

/* ---- configurations ---- */

int raft_voters(const struct voters *v, struct raft_configuration *out)
{
    int rv = 0;

    raft_configuration_init(out);
    for (int i = 0; i < v->n && !rv; i++) {
        static const int roles[] = {
            [VOTER_VOTES] = RAFT_VOTER, [VOTER_STANDBY] = RAFT_STANDBY, [VOTER_SPARE] = RAFT_SPARE};
        char address[16];

        snprintf(address, sizeof(address), "%d", v->v[i].server_id);
        rv = raft_configuration_add(out, (raft_id)v->v[i].server_id, address, roles[v->v[i].role]);
    }
    if (rv)
        raft_configuration_close(out);
    return rv;
}

/* ---- term and vote: the one thing for which the control loop waits ---- */

/* The library hears of no error: a candidate that can't store its vote frees what isn't its own. From the first one on
 * nothing is sent or written, and quorum_observe() ends it all when this call of the library has returned. */
static int state_write(struct quorum *q, const struct quorum_state *s)
{
    if (q->state_err)
        return 0;
    q->state_err = quorum_state_write(q->io, q->disk.path, s);
    raft_enter(q); /* others ran meanwhile */
    if (!q->state_err)
        q->state = *s;
    return 0;
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    struct quorum_state s = {.leader_id = -1,
                             .voted_id = -1,
                             .leader_epoch = (int32_t)term,
                             .founder = quorum_of(io)->state.founder};

    ASSERT(term < INT32_MAX && (int32_t)term >= quorum_of(io)->state.leader_epoch);
    return state_write(quorum_of(io), &s);
}

static int io_set_vote(struct raft_io *io, raft_id server)
{
    struct quorum *q = quorum_of(io);
    struct quorum_state s = q->state;

    int at = voters_of_server(&q->voters, (int32_t)server);

    s.voted_id = (int32_t)server;
    if (at >= 0)
        s.voted_directory_id = q->voters.v[at].directory_id;
    return state_write(q, &s);
}

/* ---- entries ---- */

/* The leader's own: its place in the log is decided here. */
static void barrier_make(struct quorum *q, struct disk_op *op, raft_term term)
{
    struct batch_place at = {
        .base_offset = entry_book_end(&q->book), .epoch = (int32_t)term, .now_ms = io_wall_ms(q->io)};
    struct bytes out;

    bytes_init(&out, q->heap);
    barrier_batch(&at, (int32_t)q->raft.id, &q->voters, &op->own, &out);
    op->v[op->n++] = arena_copy(&op->own, bytes_slice(&out));
    entry_book_add(&q->book, ENTRY_BARRIER, at.epoch, at.base_offset, bytes_slice(&out));
    bytes_drop(&out);
}

/* The leader's: the library has changed its own, or a barrier is to say it anew. */
static void voters_make(struct quorum *q, struct disk_op *op, raft_term term, raft_index index)
{
    struct batch_place at = {
        .base_offset = entry_book_end(&q->book), .epoch = (int32_t)term, .now_ms = io_wall_ms(q->io)};
    struct voters v = q->rewrite;
    struct bytes out;

    if (v.n == 0)
        member_of_library(q, &v);
    v.index = 0; /* that of a checkpoint, if it came with one */
    bytes_init(&out, q->heap);
    voters_batch(&at, &v, &op->own, &out);
    op->v[op->n++] = arena_copy(&op->own, bytes_slice(&out));
    entry_book_add(&q->book, ENTRY_VOTERS, at.epoch, at.base_offset + voters_records(&v) - 1,
                   bytes_slice(&out));
    bytes_drop(&out);
    member_take(q, &v, index);
    if (q->told_self)
        q->ops.skipped(q->ops.arg, entry_book_end(&q->book));
}

static void data_add(struct quorum *q, struct disk_op *op, const struct raft_entry *e)
{
    struct slice bytes = slice_of(e->buf.base, e->buf.len);
    struct batch_view v;
    enum err err = batch_view(bytes, &v);

    ASSERT(!err && v.base_offset == entry_book_end(&q->book) && v.leader_epoch == (int32_t)e->term);
    entry_book_add(&q->book, ENTRY_DATA, v.leader_epoch, v.last_offset, SLICE_NULL);
    op->v[op->n++] = bytes;
}

/* A configuration counts from here on, not only when it is on disk: then this server may be a candidate, and the library
 * wouldn't look. */
static void voters_came(struct quorum *q, struct slice batch, raft_index index)
{
    struct batch_content c;
    struct voters voters;
    struct arena a;
    size_t used;
    enum err err;

    arena_init(&a, q->heap, SIZE_MAX);
    err = batches_read(batch, &a, &c, &used);
    if (!err)
        err = voters_read(&c, &a, &voters);
    ASSERT(!err); /* it was read when it came */
    arena_drop(&a);
    member_take(q, &voters, index);
    member_library(q);
}

/* A follower's: the batch as the leader sent it. */
static void control_add(struct quorum *q, struct disk_op *op, const struct raft_entry *e, raft_index index)
{
    struct slice rest = q->incoming;
    struct batch_view v;
    enum err err = E_OK;

    for (raft_index at = q->incoming_first; !err && at <= index; at++)
        err = batch_next(&rest, &v);
    ASSERT(!err && v.base_offset == entry_book_end(&q->book) && v.leader_epoch == (int32_t)e->term);
    entry_book_add(&q->book, e->type == RAFT_BARRIER ? ENTRY_BARRIER : ENTRY_VOTERS, v.leader_epoch,
                   v.last_offset, slice_of(v.p, v.len));
    op->v[op->n++] = arena_copy(&op->own, slice_of(v.p, v.len));
    op->has_voters |= e->type == RAFT_CHANGE;
    if (e->type == RAFT_CHANGE)
        voters_came(q, slice_of(v.p, v.len), index);
}

static int io_append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[],
                     unsigned n, raft_io_append_cb cb)
{
    struct quorum *q = quorum_of(io);
    struct disk_op *op = raft_disk_op(q, DISK_APPEND);

    req->cb = cb;
    op->req = req;
    op->term = q->raft.current_term;
    op->last = raft_last_index(&q->raft);
    op->v = heap_alloc(q->heap, n * sizeof(op->v[0]));
    ASSERT(entry_book_next(&q->book) == op->last - n + 1);
    for (unsigned i = 0; i < n; i++) {
        raft_index index = op->last - n + 1 + i;

        if (entries[i].type == RAFT_COMMAND)
            data_add(q, op, &entries[i]);
        else if (raft_state(&q->raft) != RAFT_LEADER)
            control_add(q, op, &entries[i], index);
        else if (entries[i].type == RAFT_CHANGE || q->rewrite.n > 0)
            voters_make(q, op, entries[i].term, index);
        else
            barrier_make(q, op, entries[i].term);
    }
    if (q->state_err)
        list_add(&q->stuck, &op->stuck);
    else
        raft_disk_post(q, op);
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    struct quorum *q = quorum_of(io);
    struct disk_op *op;

    if (!member_cut(q, index))
        return RAFT_SHUTDOWN; /* a leader that cuts what has committed */
    op = raft_disk_op(q, DISK_CUT);
    op->offset = entry_book_offset(&q->book, index);
    TRACE(q->io, quorum_truncated, (long long)op->offset);
    entry_book_cut(&q->book, index);
    raft_disk_post(q, op);
    return 0;
}

/* Rule 6: what failed calls back only when the library is closed and doesn't look at the outcome. */
void raft_append_done(struct quorum *q, struct disk_op *op)
{
    struct raft_message m;

    if (q->phase != QUORUM_RUNNING || op->err) {
        list_add(&q->stuck, &op->stuck);
        return;
    }
    raft_enter(q);
    q->in_append = true;
    q->append_term = op->term;
    q->result_max = op->last;
    op->req->cb(op->req, 0);
    q->in_append = false;
    if (op->has_voters && raft_state(&q->raft) == RAFT_FOLLOWER)
        member_library(q); /* it has taken what lay in this write, which may not be the newest */
    raft_disk_op_free(op);
    quorum_observe(q);
    while (q->phase == QUORUM_RUNNING && rule_release(q, &m))
        raft_give(q, &m);
}

/* ---- messages ---- */

struct sending {
    struct list link;
    struct raft_io_send *req;
};

static void sent_back(struct quorum *q)
{
    list_each_safe (it, &q->sent) {
        struct sending *s = container_of(it, struct sending, link);
        struct raft_io_send *req = s->req;

        list_remove(it);
        heap_free(q->heap, s);
        req->cb(req, 0);
    }
}

static void sent_run(struct msg *msg)
{
    struct quorum *q = container_of(msg, struct quorum, sent_msg);

    q->sent_posted = false;
    raft_enter(q);
    sent_back(q);
    quorum_drained(q);
}

/* A result that can't be sent counts as sent: the library would free twice what the request had brought. */
static int io_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
                   raft_io_send_cb cb)
{
    struct quorum *q = quorum_of(io);
    struct raft_message m = *message;
    struct sending *s;
    bool sent = false;

    rule_truth(q, &m);
    if (!q->state_err && !rule_silent(q, &m))
        sent = raft_msg_send(q, &m);
    if (!sent && m.type != RAFT_IO_APPEND_ENTRIES_RESULT)
        return RAFT_NOCONNECTION;
    if (!cb) /* of a transfer */
        return 0;
    s = heap_alloc(q->heap, sizeof(*s));
    req->cb = cb;
    s->req = req;
    list_add(&q->sent, &s->link);
    if (!q->sent_posted) {
        q->sent_posted = true;
        loop_post(q->control, &q->sent_msg);
    }
    return 0;
}

void raft_give(struct quorum *q, struct raft_message *m)
{
    int at = voters_of_server(&q->voters, q->server_id);
    bool spare = at >= 0 && q->voters.v[at].role == VOTER_SPARE;
    char address[16];

    raft_enter(q);
    snprintf(address, sizeof(address), "%llu", m->server_id);
    m->server_address = address;
    if (rule_hold(q, m))
        return;
    if (rule_vote_once(q, m))
        return;
    rule_trim(q, m);
    rule_commit(m);
    if (m->type == RAFT_IO_APPEND_ENTRIES) {
        q->raft.configuration_uncommitted_index = 0; /* io_truncate() goes back, by what is known here */
        q->in_recv = true;
        q->result_max = m->append_entries.prev_log_index + m->append_entries.n_entries;
    }
    if (spare) {
        rule_leader_over(q, m);
        rule_vote_as(q, m, RAFT_SPARE, RAFT_VOTER);
    }
    q->raft_recv(&q->raft_io, m);
    if (spare)
        rule_vote_as(q, m, RAFT_VOTER, RAFT_SPARE);
    q->in_recv = false;
    q->incoming = SLICE_NULL;
    stand_asked(q, m);
    quorum_observe(q);
}

/* As if somebody had answered from there. */
void raft_step_down(struct quorum *q, raft_term term)
{
    struct raft_message m = {.type = RAFT_IO_APPEND_ENTRIES_RESULT,
                             .server_id = (raft_id)q->server_id,
                             .append_entries_result.term = term};

    ASSERT(term > q->raft.current_term);
    raft_give(q, &m);
}

/* ---- time and chance ---- */

static raft_time io_time(struct raft_io *io)
{
    return (raft_time)(loop_now(quorum_of(io)->control) / MS);
}

static int io_random_between(struct raft_io *io, int min, int max)
{
    uint32_t r;

    io_random(quorum_of(io)->io, &r, sizeof(r));
    return max > min ? min + (int)(r % (uint32_t)(max - min)) : min;
}

static void tick_fired(struct timer *timer)
{
    struct quorum *q = container_of(timer, struct quorum, ticker);

    timer_set(q->control, &q->ticker, loop_now(q->control) + (int64_t)q->settings.heartbeat_ms * MS);
    if (raft_install_busy(q))
        return;
    raft_enter(q);
    q->raft_tick(&q->raft_io);
    quorum_observe(q);
    if (q->phase == QUORUM_RUNNING)
        member_tick(q);
    if (q->phase == QUORUM_RUNNING)
        member_room(q);
    if (q->phase == QUORUM_RUNNING)
        stand_look(q);
}

static int io_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct quorum *q = quorum_of(io);

    q->raft_tick = tick;
    q->raft_recv = recv;
    q->ticker.fire = tick_fired;
    timer_set(q->control, &q->ticker, loop_now(q->control) + (int64_t)msecs * MS);
    return 0;
}

/* ---- start and end ---- */

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    return 0;
}

static int io_load(struct raft_io *io, raft_term *term, raft_id *voted_for, struct raft_snapshot **snapshot,
                   raft_index *start_index, struct raft_entry *entries[], size_t *n_entries)
{
    struct quorum *q = quorum_of(io);
    struct raft_entry *v = NULL;

    *term = (raft_term)q->state.leader_epoch;
    *voted_for = q->state.voted_id > 0 ? (raft_id)q->state.voted_id : 0;
    *snapshot = q->start_id.offset < 0 ? NULL : raft_snapshot_of(q->start_id, &q->start_voters);
    *start_index = *snapshot ? (*snapshot)->index + 1 : 1;
    if (q->n_entries > 0)
        v = raft_calloc(q->n_entries, sizeof(*v));
    for (size_t i = 0; i < q->n_entries; i++) {
        struct loaded_entry *e = &q->entries[i];

        v[i].term = (raft_term)e->epoch;
        v[i].type = RAFT_COMMAND;
        v[i].buf = (struct raft_buffer){e->bytes.p, e->bytes.len};
        if (e->kind == ENTRY_DATA)
            continue;
        if (!raft_control_entry(q, e->bytes, &v[i]))
            ASSERT(false); /* it was read when the log was opened */
        heap_free(q->heap, e->bytes.p);
    }
    heap_free(q->heap, q->entries);
    q->entries = NULL;
    *entries = v;
    *n_entries = q->n_entries;
    q->n_entries = 0;
    return 0;
}

/* Everything that is pending calls back: the library is unavailable by now and looks at no outcome. */
static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct quorum *q = quorum_of(io);

    list_each_safe (it, &q->stuck) {
        struct disk_op *op = container_of(it, struct disk_op, stuck);

        list_remove(it);
        op->req->cb(op->req, 0);
        raft_disk_op_free(op);
    }
    sent_back(q);
    if (q->get)
        q->get_cb(q->get, NULL, RAFT_CANCELED);
    q->get = NULL;
    if (q->put)
        q->put_cb(q->put, RAFT_CANCELED);
    q->put = NULL;
    raft_install_cancel(q);
    cb(io);
}

static int io_bootstrap(struct raft_io *io, const struct raft_configuration *conf)
{
    return RAFT_CANTBOOTSTRAP; /* the log's first batch was written when it was opened */
}

static int io_recover(struct raft_io *io, const struct raft_configuration *conf)
{
    return RAFT_CANTBOOTSTRAP;
}

static void raft_over(struct raft *r)
{
}

void raft_io_make(struct quorum *q)
{
    q->raft_heap = (struct raft_heap){.data = q->heap,
                                      .malloc = heap_malloc,
                                      .free = heap_release,
                                      .calloc = heap_calloc,
                                      .realloc = heap_realloc};
    q->raft_io = (struct raft_io){.version = 1,
                                  .impl = q,
                                  .init = io_init,
                                  .close = io_close,
                                  .load = io_load,
                                  .start = io_start,
                                  .bootstrap = io_bootstrap,
                                  .recover = io_recover,
                                  .set_term = io_set_term,
                                  .set_vote = io_set_vote,
                                  .send = io_send,
                                  .append = io_append,
                                  .truncate = io_truncate,
                                  .snapshot_put = raft_snapshot_put,
                                  .snapshot_get = raft_snapshot_get,
                                  .time = io_time,
                                  .random = io_random_between};
    raft_fsm_make(q);
    q->sent_msg.run = sent_run;
}

enum err raft_begin(struct quorum *q)
{
    char address[16];
    int rv;

    raft_enter(q);
    snprintf(address, sizeof(address), "%d", q->server_id);
    rv = raft_init(&q->raft, &q->raft_io, &q->fsm, (raft_id)q->server_id, address);
    if (rv)
        return E_KAFKA_STORAGE_ERROR;
    raft_set_election_timeout(&q->raft, (unsigned)q->settings.election_ms);
    raft_set_heartbeat_timeout(&q->raft, (unsigned)q->settings.heartbeat_ms);
    raft_set_snapshot_threshold(&q->raft, UINT_MAX);
    raft_set_snapshot_trailing(&q->raft, ENTRIES_TRAILING);
    raft_set_pre_vote(&q->raft, true);
    q->phase = QUORUM_RUNNING;
    q->applied = q->book.first - 1;
    rv = raft_start(&q->raft);
    if (rv)
        return E_CORRUPT_MESSAGE;
    return q->state_err;
}

void raft_rest(struct quorum *q)
{
    q->phase = QUORUM_CLOSING;
    timer_stop(&q->ticker);
    member_end(q);
}

void raft_end(struct quorum *q)
{
    ASSERT(q->phase == QUORUM_CLOSING && q->ops_out == 0 && !q->in_recv && !q->in_append);
    raft_enter(q);
    q->phase = QUORUM_CLOSED;
    raft_close(&q->raft, raft_over);
}
