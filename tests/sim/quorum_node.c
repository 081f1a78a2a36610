#include "quorum_node.h"
#include "base/check.h"
#include "base/trace.h"
#include "quorum_follow.h"
#include "scenario.h"

enum { PIECE_MAX = 60000 };
static const int64_t PATIENCE_NS = 3000000000, EXIT_NS = 1000000;

struct ask_body {
    int64_t offset, at;
    int32_t epoch, zero;
};

struct piece_body {
    int64_t offset, at, size;
    int32_t epoch, err;
};

/* ---- what the quorum tells ---- */

static void on_loaded(void *arg, struct image *image)
{
    struct qnode *n = arg;

    JUDGE(!n->committed && image->sealed, "node %d is loaded twice", n->node);
    n->committed = image;
    qbook_image(n->book, n->node, image, io_heap(n->io));
}

static void on_leader(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset)
{
    struct qnode *n = arg;

    JUDGE(n->committed && !n->failed, "node %d is told of a leader", n->node);
    sim_note(n->sim, "node %d: leader %d epoch %d%s next %lld", n->node, leader, epoch, self ? " self" : "",
             (long long)next_offset);
    qbook_leader(n->book, n->node, leader, epoch, self, next_offset, quorum_view(n->quorum).observes);
    n->leader = leader;
    n->epoch = epoch;
    n->leads = self;
    n->next = next_offset;
}

static void on_skipped(void *arg, int64_t next_offset)
{
    struct qnode *n = arg;

    /* One that is to stop still leads, until it has said all. */
    JUDGE((n->leads || n->stopping) && next_offset > n->next, "node %d skips to %lld from %lld", n->node,
          (long long)next_offset, (long long)n->next);
    n->next = next_offset;
}

static void on_committed(void *arg, struct slice batch)
{
    qwork_apply(arg, batch);
}

static void on_installed(void *arg, struct image *image)
{
    struct qnode *n = arg;

    JUDGE(n->committed && !n->leads, "node %d gets a snapshot", n->node);
    n->cluster->tally.observers_installs += quorum_view(n->quorum).observes;
    qbook_image(n->book, n->node, image, io_heap(n->io));
    image_unref(n->committed, &n->grave);
    n->committed = image;
}

static struct image *on_hold(void *arg)
{
    struct qnode *n = arg;

    JUDGE(n->held == 0, "node %d: two snapshots at a time", n->node);
    n->held++;
    return image_ref(n->committed);
}

static void on_released(void *arg, struct image *image)
{
    struct qnode *n = arg;

    n->held--;
    image_unref(image, &n->grave);
}

static void on_failed(void *arg, enum err err, const char *what)
{
    struct qnode *n = arg;

    JUDGE(!n->failed && err, "node %d fails twice", n->node);
    sim_note(n->sim, "node %d failed: %s, %s", n->node, what, err_text(err));
    n->failed = err;
    n->what = what;
    n->cluster->tally.failed++;
    n->leads = false;
}

static void on_room(void *arg, bool tight)
{
    ((struct qnode *)arg)->tight = tight;
}

static void on_voters(void *arg)
{
    struct qnode *n = arg;

    memset(n->told_hello, 0, sizeof(n->told_hello));
}

static void on_role(void *arg, bool member)
{
    struct qnode *n = arg;

    JUDGE(!n->role_over, "node %d changes its role twice in a start", n->node);
    sim_note(n->sim, "node %d %s", n->node, member ? "is named" : "was removed");
    n->role_over = true;
    n->removed = !member;
    n->leads = false;
    if (!member) {
        qvoters_removed(qbook_voters(n->book), n->node);
        qbook_forget(n->book, n->node);
    }
    loop_post(n->control, &n->turn);
}

static bool on_send(void *arg, int32_t node, struct slice bytes)
{
    struct qnode *n = arg;

    if (node > n->cluster->n) /* it was added, and doesn't exist */
        return false;
    qwire_sent(qbook_wire(n->book), n->node, bytes);
    return qnet_send(&n->net, node, QKIND_RAFT, SLICE_NULL, bytes);
}

/* ---- pieces of snapshots ---- */

static void ask_late(struct timer *timer)
{
    struct qnode *n = container_of(timer, struct qnode, ask.patience);

    n->ask.active = false;
    if (n->quorum && !n->stopping && !n->turning)
        quorum_piece(n->quorum, n->ask.id, n->ask.at, 0, SLICE_NULL, E_TIMEOUT);
}

static void on_ask(void *arg, int32_t node, struct quorum_checkpoint id, int64_t at)
{
    struct qnode *n = arg;
    struct ask_body body = {.offset = id.offset, .epoch = id.epoch, .at = at};
    bool sent = qnet_send(&n->net, node, QKIND_ASK, SLICE_NULL, slice_of(&body, sizeof(body)));

    n->ask.active = true;
    n->ask.id = id;
    n->ask.at = at;
    n->ask.node = node;
    n->ask.patience.fire = ask_late;
    timer_set(n->control, &n->ask.patience, loop_now(n->control) + (sent ? PATIENCE_NS : 0));
}

struct reading {
    struct quorum_read read;
    struct qnode *n;
    int to;
};

static void stop_step(struct qnode *n);

void qnode_read_over(struct qnode *n)
{
    n->reading--;
    stop_step(n);
}

static void read_done(struct quorum_read *r)
{
    struct reading *x = container_of(r, struct reading, read);
    struct qnode *n = x->n;
    struct piece_body head = {.offset = r->checkpoint.offset,
                              .epoch = r->checkpoint.epoch,
                              .at = r->offset,
                              .size = r->size,
                              .err = (int32_t)r->err};
    uint8_t *bytes = heap_alloc(io_heap(n->io), PIECE_MAX);
    size_t got = 0;

    if (!r->err && r->range.len > 0)
        head.err = (int32_t)file_read(r->range.file, r->range.at, bytes, r->range.len, &got);
    if (!r->err)
        log_range_drop(&r->range);
    (void)!qnet_send(&n->net, x->to, QKIND_PIECE, slice_of(&head, sizeof(head)), slice_of(bytes, got));
    heap_free(io_heap(n->io), bytes);
    heap_free(io_heap(n->io), x);
    qnode_read_over(n);
}

static void ask_came(struct qnode *n, int from, struct slice body)
{
    struct ask_body b;
    struct reading *x = heap_alloc(io_heap(n->io), sizeof(*x));

    ASSERT(body.len == sizeof(b));
    memcpy(&b, body.p, sizeof(b));
    x->n = n;
    x->to = from;
    x->read = (struct quorum_read){.back = n->control,
                                   .offset = b.at,
                                   .max_bytes = 1 + (size_t)sim_below(n->sim, PIECE_MAX),
                                   .is_checkpoint = true,
                                   .checkpoint = {b.offset, b.epoch},
                                   .done = read_done};
    n->reading++;
    quorum_read(n->quorum, &x->read);
}

static void piece_came(struct qnode *n, int from, struct slice body)
{
    struct piece_body b;

    ASSERT(body.len >= sizeof(b));
    memcpy(&b, body.p, sizeof(b));
    if (!n->ask.active || n->ask.node != from || n->ask.id.offset != b.offset || n->ask.id.epoch != b.epoch ||
        n->ask.at != b.at)
        return;
    n->ask.active = false;
    timer_stop(&n->ask.patience);
    quorum_piece(n->quorum, n->ask.id, b.at, b.size, slice_of(body.p + sizeof(b), body.len - sizeof(b)),
                 (enum err)b.err);
}

/* A connection's other end has said which directory it speaks from, before anything else. */
static void hello(struct qnode *n, int from, const struct uuid *directory)
{
    if (!uuid_eq(n->told_hello[from], *directory))
        quorum_hello(n->quorum, from, directory);
    n->told_hello[from] = *directory;
}

static void on_came(void *arg, int from, const struct uuid *directory, int kind, struct slice body)
{
    struct qnode *n = arg;

    if (!n->quorum || n->stopping || n->turning)
        return;
    hello(n, from, directory); /* also of one that only follows */
    switch ((enum qkind)kind) {
    case QKIND_RAFT:
        quorum_deliver(n->quorum, from, body);
        return;
    case QKIND_ASK:
        ask_came(n, from, body);
        return;
    case QKIND_PIECE:
        piece_came(n, from, body);
        return;
    case QKIND_FETCH:
        qfollow_asked(n, from, body);
        return;
    case QKIND_FETCHED:
        qfollow_answered(n, from, body);
        return;
    }
    ASSERT(false);
}

static void on_dead(void *arg, int node)
{
    struct qnode *n = arg;

    n->cluster->tally.deaths++;
    if (n->quorum && !n->stopping && !n->turning)
        quorum_dead(n->quorum, node);
}

/* ---- lives ---- */

static void count_life(struct qnode *n)
{
    const struct trace *t = io_trace(n->io);
    struct qnode_tally *tally = &n->cluster->tally;

    tally->installs += trace_count(t, TR_quorum_installed);
    tally->snapshots += trace_count(t, TR_quorum_checkpoint);
    tally->truncations += trace_count(t, TR_quorum_truncated);
    tally->full += trace_count(t, TR_quorum_full);
    tally->bad_messages += trace_count(t, TR_quorum_message_bad);
    tally->additions_undone += trace_count(t, TR_quorum_change_undone);
    tally->hangs_away += trace_count(t, TR_quorum_hangs_away);
    tally->rests += trace_count(t, TR_quorum_leader_rests);
}

static void gone_run(struct msg *msg)
{
    struct qnode *n = container_of(msg, struct qnode, gone);

    loop_stop(n->control, NULL, NULL);
    n->over = true;
    n->over_at = sim_now(n->sim);
}

static void quorum_begin(struct qnode *n);

/* As a broker does it: the process goes on, and its quorum begins anew as what it is now. */
static void turned(struct qnode *n)
{
    (void)qbook_judge_disk(n->book, n->node);
    if (n->removed && !n->failed)
        qvoters_observes(qbook_voters(n->book), n->node);
    n->cluster->tally.became_observers += n->removed;
    n->cluster->tally.became_voters += !n->removed;
    n->turning = n->ending = n->role_over = n->removed = n->tight = false;
    n->failed = E_OK;
    n->what = NULL;
    n->leader = n->epoch = 0;
    n->ask.active = false;
    memset(n->told_hello, 0, sizeof(n->told_hello));
    qbook_start(n->book, n->node);
    quorum_begin(n);
}

static void stopped_run(struct msg *msg)
{
    struct qnode *n = container_of(msg, struct qnode, stopped);

    n->quorum = NULL;
    JUDGE(n->in_flight == 0 && n->held == 0 && n->confirming == 0 && n->changing == 0,
          "node %d stopped with %d proposals, %d images, %d confirmations, %d changes", n->node, n->in_flight,
          n->held, n->confirming, n->changing);
    n->settings.told = n->committed ? n->committed->offset : n->settings.told;
    if (n->committed)
        image_unref(n->committed, &n->grave);
    n->committed = NULL;
    grave_empty(&n->grave);
    if (n->stopping) {
        if (n->removed && !n->failed)
            qvoters_observes(qbook_voters(n->book), n->node);
        qnet_stop(&n->net, &n->gone);
    } else {
        turned(n);
    }
}

static void stop_step(struct qnode *n)
{
    if (!n->stopping && !n->turning)
        return;
    if (n->ending || n->reading > 0)
        return;
    n->ending = true;
    quorum_stop(n->quorum, &n->stopped);
}

static void rest(struct qnode *n)
{
    n->leads = false;
    timer_stop(&n->ask.patience);
    qfollow_stop(n);
    stop_step(n);
}

static void turn_run(struct msg *msg)
{
    struct qnode *n = container_of(msg, struct qnode, turn);

    if (n->stopping)
        return;
    n->turning = true;
    rest(n);
}

static void stop_run(struct msg *msg)
{
    struct qnode *n = container_of(msg, struct qnode, stop);

    n->stopping = true;
    timer_stop(&n->propose);
    rest(n);
}

static void quorum_begin(struct qnode *n)
{
    const struct quorum_ops ops = {.loaded = on_loaded,
                                   .leader = on_leader,
                                   .skipped = on_skipped,
                                   .committed = on_committed,
                                   .installed = on_installed,
                                   .hold = on_hold,
                                   .released = on_released,
                                   .failed = on_failed,
                                   .room = on_room,
                                   .send = on_send,
                                   .ask = on_ask,
                                   .fetch = qfollow_ask,
                                   .voters = on_voters,
                                   .role = on_role,
                                   .arg = n};

    n->quorum = quorum_start(n->io, n->control, &n->grave, &n->settings, &ops);
}

static void start_run(struct msg *msg)
{
    struct qnode *n = container_of(msg, struct qnode, start);

    grave_init(&n->grave, io_heap(n->io));
    quorum_begin(n);
    qnet_start(&n->net);
    qwork_start(n);
}

void qnode_start(struct qnode *n)
{
    struct qnode fresh = {.sim = n->cluster->sim,
                          .cluster = n->cluster,
                          .book = n->cluster->book,
                          .node = n->node,
                          .settings = n->settings,
                          .start.run = start_run,
                          .stop.run = stop_run,
                          .stopped.run = stopped_run,
                          .turn.run = turn_run,
                          .gone.run = gone_run};

    ASSERT(!n->io);
    *n = fresh;
    n->settings.told = 0;
    n->io = sim_node(n->sim, n->node);
    n->control = loop_start(n->io, LOOP_DISK, "control");
    n->net = (struct qnet){.sim = n->sim,
                           .io = n->io,
                           .node = n->node,
                           .n = n->cluster->n,
                           .directory = n->settings.directory_id,
                           .control = n->control,
                           .came = on_came,
                           .dead = on_dead,
                           .arg = n};
    qbook_start(n->book, n->node);
    loop_post(n->control, &n->start);
}

void qnode_stop(struct qnode *n)
{
    ASSERT(n->io && !n->told_to_stop);
    n->told_to_stop = true;
    loop_post(n->control, &n->stop);
}

void qnode_crash(struct qnode *n, enum sim_crash how)
{
    if (n->io && sim_up(n->sim, n->node)) {
        count_life(n);
        sim_crash(n->sim, n->node, how);
    }
    n->io = NULL;
}

bool qnode_over(struct qnode *n)
{
    if (n->io && !sim_up(n->sim, n->node))
        n->io = NULL;
    if (!n->io)
        return true;
    if (!n->over || sim_now(n->sim) < n->over_at + EXIT_NS)
        return false;
    count_life(n);
    JUDGE(sim_files_open(n->sim, n->node) == 0, "node %d leaves files open", n->node);
    sim_exit(n->sim, n->node);
    n->io = NULL;
    return true;
}
