#include "quorum_follow.h"
#include "base/check.h"

enum { BYTES_MAX = 60000 };
static const int64_t PATIENCE_NS = 1000000000, AGAIN_NS = 50000000;

struct fetch_body {
    int64_t offset;
    int32_t epoch, number;
};

struct fetched_body {
    int64_t offset, committed;
    struct quorum_checkpoint snapshot;
    int32_t number, leader, epoch, err;
    uint32_t diverges, votes, says; /* says: there is something to tell */
};

/* ---- who asks ---- */

static void question_send(struct qnode *n)
{
    struct qfollow *f = &n->follow;
    struct fetch_body body = {.offset = f->offset, .epoch = f->epoch, .number = ++f->number};
    int64_t wait = AGAIN_NS;

    if (f->from == n->node || f->from == 0)
        f->from = 1 + (int)sim_below(n->sim, (uint64_t)n->cluster->n);
    if (f->from != n->node &&
        qnet_send(&n->net, f->from, QKIND_FETCH, SLICE_NULL, slice_of(&body, sizeof(body))))
        wait = PATIENCE_NS;
    timer_set(n->control, &f->patience, loop_now(n->control) + wait);
}

/* Nobody answered, or there was nothing new; the next one, at random. */
static void late(struct timer *timer)
{
    struct qnode *n = container_of(timer, struct qnode, follow.patience);

    if (n->follow.unanswered)
        n->follow.from = 0;
    n->follow.unanswered = true;
    if (n->follow.asked)
        question_send(n);
}

void qfollow_ask(void *arg, int64_t offset, int32_t epoch)
{
    struct qnode *n = arg;

    if (n->stopping || n->turning) /* it may wait for those who read, and the next life asks anew */
        return;
    ASSERT(!n->follow.asked);
    n->follow.asked = n->follow.unanswered = true;
    n->follow.offset = offset;
    n->follow.epoch = epoch;
    n->follow.patience.fire = late;
    question_send(n);
}

void qfollow_answered(struct qnode *n, int from, struct slice body)
{
    struct qfollow *f = &n->follow;
    struct fetched_body b;
    struct quorum_fetched told;

    ASSERT(body.len >= sizeof(b));
    memcpy(&b, body.p, sizeof(b));
    if (!f->asked || b.number != f->number || from != f->from)
        return;
    f->unanswered =
        !b.votes || (b.leader < 0 && !b.says); /* nobody it knows leads: somebody else may know one */
    if (!b.votes || (!b.says && b.leader == f->told_leader && b.epoch == f->told_epoch)) {
        timer_set(n->control, &f->patience, loop_now(n->control) + AGAIN_NS);
        return;
    }
    timer_stop(&f->patience);
    f->told_leader = b.leader;
    f->told_epoch = b.epoch;
    f->asked = false;
    if (b.leader > 0 && sim_below(n->sim, 4)) /* the leader, or whoever tells something */
        f->from = b.leader;
    told = (struct quorum_fetched){.offset = b.offset,
                                   .node = from,
                                   .err = (enum err)b.err,
                                   .diverges = b.diverges,
                                   .leader = b.leader,
                                   .epoch = b.epoch,
                                   .committed = b.committed,
                                   .snapshot = b.snapshot,
                                   .batches = slice_of(body.p + sizeof(b), body.len - sizeof(b))};
    quorum_fetched(n->quorum, &told);
}

void qfollow_stop(struct qnode *n)
{
    timer_stop(&n->follow.patience);
    n->follow.asked = false;
    n->follow.told_leader = n->follow.told_epoch = -1; /* the quorum's next life knows nothing */
}

/* ---- who is asked ---- */

struct looking {
    struct quorum_read read;
    struct qnode *n;
    int to;
    int32_t number;
};

/* As the broker decides it: what lies behind this log's end is the leader's to judge. */
static void judge(const struct looking *x, struct fetched_body *b)
{
    const struct quorum_read *r = &x->read;
    bool outside = r->err == E_OFFSET_OUT_OF_RANGE;
    bool empty = !r->err && r->offset == 0 && r->newest.offset > 0;

    b->says = true;
    if ((outside && r->offset < r->log_start) || empty) {
        b->err = r->newest.offset > r->offset ? E_OK : E_OFFSET_OUT_OF_RANGE;
        b->snapshot = r->newest;
    } else if (outside && quorum_view(x->n->quorum).leader != x->n->node) {
        b->says = false;
    } else {
        b->err = (int32_t)r->err;
        b->says = r->err || r->diverges || r->range.len > 0;
    }
}

static void looked(struct quorum_read *r)
{
    struct looking *x = container_of(r, struct looking, read);
    struct qnode *n = x->n;
    struct quorum_view view = quorum_view(n->quorum);
    struct fetched_body b = {.offset = r->offset,
                             .committed = r->committed,
                             .snapshot = {-1, -1},
                             .number = x->number,
                             .leader = view.leader,
                             .epoch = view.epoch,
                             .diverges = r->diverges,
                             .votes = !view.failed && !view.observes};
    uint8_t *bytes = heap_alloc(io_heap(n->io), r->range.len + 1);
    size_t got = 0;

    judge(x, &b);
    if (b.err == E_KAFKA_STORAGE_ERROR)
        b.votes = false;
    if (!r->err && r->range.len > 0 && b.snapshot.offset < 0 &&
        file_read(r->range.file, r->range.at, bytes, r->range.len, &got))
        b.votes = false;
    if (!r->err)
        log_range_drop(&r->range);
    (void)!qnet_send(&n->net, x->to, QKIND_FETCHED, slice_of(&b, sizeof(b)), slice_of(bytes, got));
    heap_free(io_heap(n->io), bytes);
    heap_free(io_heap(n->io), x);
    qnode_read_over(n);
}

void qfollow_asked(struct qnode *n, int from, struct slice body)
{
    struct looking *x = heap_alloc(io_heap(n->io), sizeof(*x));
    struct fetch_body b;

    ASSERT(body.len == sizeof(b));
    memcpy(&b, body.p, sizeof(b));
    x->n = n;
    x->to = from;
    x->number = b.number;
    x->read = (struct quorum_read){.back = n->control,
                                   .offset = b.offset,
                                   .last_epoch = b.epoch,
                                   .max_bytes = 1 + (size_t)sim_below(n->sim, BYTES_MAX),
                                   .done = looked};
    n->reading++;
    quorum_read(n->quorum, &x->read);
}
