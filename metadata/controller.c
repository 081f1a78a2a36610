#include "metadata/controller.h"
#include "base/check.h"
#include "metadata/batches.h"
#include "metadata/image_check.h"
#include "metadata/requests.h"
#include "proto/wire.h"

/* Invariants, numbered as in controller.h:
 * 1. tip is sealed and equals the image of the newest batch in flight, or `image` if none is.
 * 2. `held` rises in `after`, and none of it has committed yet.
 * 3. flight[first …] in order of offsets; next_offset follows the last of them.
 * 4. `current` is the request whose decision isn't complete or whose records aren't all in a batch; nothing else is
 *    decided meanwhile. Between turns a batch is open (`filling`) only while there is one.
 * 5. A controller that doesn't lead has nothing waiting, held or in flight.
 * 6. While it leads, a transaction is open in the tip only for `current`; one that it found is undone before anything is
 *    decided. */

enum { DECISIONS_MAX = 64 }; /* a turn */

/* A batch that is being filled. */
struct filling {
    struct image *draft; /* NULL: no record yet */
    struct bytes values;
    size_t ends[CTL_BATCH_MAX];
    int n;
};

struct controller {
    struct heap *heap;
    const struct ctl_rules *rules;
    const struct ctl_ops *ops;
    void *arg;
    struct grave grave;
    struct image *image;
    struct image *tip;
    bool leads;
    int32_t epoch;
    int64_t next_offset;
    int64_t committed;
    struct list waiting;
    struct list held;
    struct ctl_batch flight[CTL_FLIGHT_MAX];
    int first;
    int n_flight;
    struct ctl_request *current;
    ctl_decide_fn deciding; /* current's own, or what tells the rest of an answer that was kept */
    struct ctl_out out;     /* of current: records from `at` on aren't proposed */
    int at;
    bool begun;       /* current is a transaction */
    int written;      /* records of current in batches */
    int64_t clock_ms; /* of kept answers */
    struct arena work;
    struct filling filling;
};

struct controller *ctl_new(struct heap *h, const struct ctl_rules *rules, const struct ctl_ops *ops,
                           void *arg)
{
    struct controller *c = heap_alloc(h, sizeof(*c));

    c->heap = h;
    c->rules = rules;
    c->ops = ops;
    c->arg = arg;
    c->committed = -1;
    grave_init(&c->grave, h);
    list_init(&c->waiting);
    list_init(&c->held);
    arena_init(&c->work, h, SIZE_MAX);
    for (int i = 0; i < CTL_FLIGHT_MAX; i++) {
        c->flight[i].slot = i;
        bytes_init(&c->flight[i].bytes, h);
    }
    bytes_init(&c->filling.values, h);
    c->image = image_new(&c->grave);
    image_seal(c->image);
    c->tip = image_ref(c->image);
    return c;
}

void ctl_drop(struct controller *c)
{
    ASSERT(ctl_idle(c));
    image_unref(c->tip, &c->grave);
    image_unref(c->image, &c->grave);
    grave_empty(&c->grave);
    for (int i = 0; i < CTL_FLIGHT_MAX; i++)
        bytes_drop(&c->flight[i].bytes);
    bytes_drop(&c->filling.values);
    arena_drop(&c->work);
    heap_free(c->heap, c);
}

struct grave *ctl_grave(struct controller *c)
{
    return &c->grave;
}

struct image *ctl_image(const struct controller *c)
{
    return image_settled(c->image);
}

bool ctl_in_transaction(const struct controller *c)
{
    return c->image->before != NULL;
}

const struct image *ctl_tip(const struct controller *c)
{
    return c->tip;
}

bool ctl_idle(const struct controller *c)
{
    return list_empty(&c->waiting) && list_empty(&c->held) && !c->current && c->n_flight == 0;
}

static bool invariant(const struct controller *c)
{
    const struct image *last =
        c->n_flight ? c->flight[(c->first + c->n_flight - 1) % CTL_FLIGHT_MAX].image : c->image;

    if (!c->leads && !ctl_idle(c))
        return false;
    return c->tip == last && c->tip->sealed &&
           (c->n_flight || !c->leads || c->committed == c->next_offset - 1);
}

static void replace(struct controller *c, struct image **at, struct image *by)
{
    image_unref(*at, &c->grave);
    *at = by;
}

/* ---- what the log says ---- */

void ctl_load(struct controller *c, struct image *image)
{
    ASSERT(ctl_idle(c) && !c->leads);
    c->committed = image->offset;
    replace(c, &c->image, image);
    replace(c, &c->tip, image_ref(image));
}

void ctl_lead(struct controller *c, int32_t epoch, int64_t next_offset)
{
    ASSERT(ctl_idle(c));
    c->leads = true;
    c->epoch = epoch;
    c->next_offset = next_offset;
    c->committed = next_offset - 1;
    c->clock_ms = requests_clock(c->tip);
}

void ctl_elapsed(struct controller *c, int64_t ms)
{
    ASSERT(ms >= 0);
    c->clock_ms += ms;
}

bool ctl_keeps(const struct controller *c)
{
    return c->tip->requests.count > 0;
}

void ctl_skip(struct controller *c, int64_t next_offset)
{
    int64_t skipped = next_offset - c->next_offset;

    ASSERT(c->leads && skipped > 0);
    list_each (it, &c->held) { /* what is being filled comes behind it */
        struct ctl_request *r = container_of(it, struct ctl_request, link);

        if (r->after >= c->next_offset)
            r->after += skipped;
    }
    if (c->filling.n > 0)
        c->filling.draft->offset += skipped;
    c->next_offset = next_offset;
    if (c->n_flight == 0)
        c->committed = next_offset - 1;
    ASSERT(invariant(c));
}

static void fail_all(struct list *requests)
{
    while (!list_empty(requests)) {
        struct ctl_request *r = list_first(requests, struct ctl_request, link);

        list_remove(&r->link);
        r->done(r, E_NOT_CONTROLLER);
    }
}

static void filling_clear(struct filling *f)
{
    f->draft = NULL;
    f->values.len = 0;
    f->n = 0;
}

void ctl_lost(struct controller *c)
{
    struct list failed;

    list_init(&failed);
    list_take(&failed, &c->held);
    if (c->current)
        list_add(&failed, &c->current->link);
    list_take(&failed, &c->waiting);
    c->leads = c->begun = false;
    c->current = NULL;
    if (c->filling.draft)
        image_unref(c->filling.draft, &c->grave);
    filling_clear(&c->filling);
    for (; c->n_flight > 0; c->n_flight--) {
        image_unref(c->flight[c->first].image, &c->grave);
        c->flight[c->first].busy = false;
        c->first = (c->first + 1) % CTL_FLIGHT_MAX;
    }
    replace(c, &c->tip, image_ref(c->image));
    arena_reset(&c->work);
    fail_all(&failed);
    ASSERT(invariant(c));
}

enum err ctl_follow(struct controller *c, struct slice batch)
{
    struct batch_content b;
    struct image *draft;
    size_t used;
    enum err err;

    ASSERT(!c->leads);
    err = batches_read(batch, &c->work, &b, &used);
    if (!err) {
        draft = image_draft(c->image, &c->grave);
        err = image_follow(draft, &c->grave, &b, &c->work) ? E_MALFORMED : E_OK;
        image_seal(draft);
        if (err) {
            image_unref(draft, &c->grave);
        } else {
            c->committed = b.last_offset;
            replace(c, &c->image, draft);
            replace(c, &c->tip, image_ref(draft));
        }
    }
    arena_reset(&c->work);
    return err;
}

/* ---- deciding ---- */

void ctl_submit(struct controller *c, struct ctl_request *r)
{
    if (!c->leads) {
        r->done(r, E_NOT_CONTROLLER);
        return;
    }
    list_add(&c->waiting, &r->link);
}

bool ctl_cancel(struct controller *c, struct ctl_request *r)
{
    if (r == c->current)
        return false;
    list_remove(&r->link);
    return true;
}

/* The reply may go when all that it was decided on has committed; last: the newest offset of it. */
static void hold(struct controller *c, struct ctl_request *r, int64_t last)
{
    r->after = last;
    r->changed = c->written > 0 || c->out.retold;
    list_add(&c->held, &r->link);
}

static void release(struct controller *c)
{
    struct ctl_request *r;

    while ((r = list_first(&c->held, struct ctl_request, link)) && r->after <= c->committed) {
        list_remove(&r->link);
        r->done(r, r->err);
    }
}

static const struct image *newest(const struct controller *c)
{
    return c->filling.draft ? c->filling.draft : c->tip;
}

/* After a step: the whole of it has an answer when it has been decided to the end. */
static void keep_answer(struct controller *c, const struct ctl_request *r)
{
    if (r->again == CTL_AGAIN_ANSWERED && !c->out.together)
        c->out.together = r->api->name;
    if (!c->out.more && c->written + c->out.n > 0)
        request_keep(r, c->clock_ms, &c->out);
}

/* The current decision's next step, on the newest state. What it writes waits in c->out. */
static void decide_step(struct controller *c)
{
    struct ctl_request *r = c->current;
    const struct image *tip = newest(c);
    size_t limit = r->arena->max;

    arena_reset(&c->work);
    c->out.base_offset = c->next_offset + c->filling.n;
    c->out.records = NULL;
    c->out.glued = NULL;
    c->out.n = c->out.room = c->out.cost = 0;
    c->out.more = false;
    c->at = 0;
    r->arena->max = SIZE_MAX; /* the request was admitted; what it asks for bounds its reply */
    c->deciding(tip, r->in, r->out, &c->out);
    if (c->deciding == r->decide && request_keeps(tip, r, &c->out))
        keep_answer(c, r);
    r->arena->max = limit > r->arena->used ? limit : r->arena->used;
}

static void decide_next(struct controller *c, int64_t now_ms)
{
    struct ctl_request *r = list_first(&c->waiting, struct ctl_request, link);

    list_remove(&r->link);
    c->current = r;
    c->out = (struct ctl_out){.rules = c->rules,
                              .arena = r->arena,
                              .work = &c->work,
                              .now_ms = now_ms,
                              .version = r->version,
                              .id = r->id};
    c->at = c->written = 0;
    c->deciding = r->decide;
    r->err = request_done_before(newest(c), r);
    c->out.retold = !r->err;
    if (!r->err)
        c->deciding = request_retell(r);
    else if (r->err == E_NOENT)
        r->err = E_OK;
    if (r->err || !c->deciding)
        return;
    c->ops->random(c->arg, c->out.seed);
    decide_step(c);
}

/* Nobody sees a part of a transaction, so nothing in it needs one batch. */
static bool glued(const struct controller *c, int i)
{
    return c->out.glued[i] && !c->begun;
}

/* How many of the current records fit into `room`, without parting what belongs together. */
static int cut(const struct controller *c, int room)
{
    int left = c->out.n - c->at;
    int n = left < room ? left : room;

    while (n > 0 && n < left && glued(c, c->at + n))
        n--;
    return n;
}

static void fill_record(struct controller *c, const struct meta_record *r, int64_t now_ms)
{
    struct filling *f = &c->filling;

    ASSERT(f->n < CTL_BATCH_MAX);
    if (!f->draft)
        f->draft = image_draft(c->tip, &c->grave);
    f->draft->epoch = c->epoch;
    f->draft->append_ms = now_ms;
    image_replay(f->draft, &c->grave, r);
    record_encode(r, &f->values);
    f->ends[f->n] = f->values.len;
    f->draft->offset = c->next_offset + f->n++;
}

/* Voters pass a batch on as a whole, and hear nothing else from their leader meanwhile: a large one would be taken for a dead
 * leader. */
static bool filled(const struct controller *c)
{
    return c->filling.n == CTL_BATCH_MAX || c->filling.values.len >= CTL_BATCH_BYTES;
}

/* As many of n records as the batch takes; what is glued to one of them comes along, and all of what counts together and is no
 * transaction. How many those were. */
static int fill(struct controller *c, int n, int64_t now_ms)
{
    bool whole = c->out.together && !c->begun;
    int i = 0;

    while (i < n && (whole || !filled(c) || glued(c, c->at + i)))
        fill_record(c, &c->out.records[c->at + i++], now_ms);
    c->at += i;
    c->written += i;
    return i;
}

/* ---- transactions ---- */

/* One that another leader left open. */
static void undo_found(struct controller *c, int64_t now_ms)
{
    struct meta_record r = {.type = RECORD_ABORT_TRANSACTION,
                            .abort_transaction.reason = SLICE("its controller doesn't lead any more")};

    if (!c->current && newest(c)->before)
        fill_record(c, &r, now_ms);
}

/* Are all of the current records more than the batch has room for? */
static bool too_large(struct controller *c)
{
    struct bytes b;
    bool over = c->out.n > CTL_BATCH_MAX - c->filling.n;

    bytes_init(&b, c->heap);
    for (int i = 0; i < c->out.n && !over; i++) {
        record_encode(&c->out.records[i], &b);
        over = c->filling.values.len + b.len > CTL_BATCH_BYTES;
    }
    bytes_drop(&b);
    return over;
}

/* Before its first record: does it need one? */
static void begin_if_large(struct controller *c, int64_t now_ms)
{
    struct meta_record r = {.type = RECORD_BEGIN_TRANSACTION};

    if (!c->out.together || c->begun || c->written || !c->out.n || (!c->out.more && !too_large(c)) ||
        image_feature(newest(c), FEATURE_WEIR) < WEIR_VERSION_TRANSACTIONS)
        return;
    r.begin_transaction.name = SLICE(c->out.together);
    fill_record(c, &r, now_ms);
    c->begun = true;
}

static void end_if_begun(struct controller *c, int64_t now_ms)
{
    struct meta_record r = {.type = RECORD_END_TRANSACTION};

    if (c->begun)
        fill_record(c, &r, now_ms);
    c->begun = false;
}

static void propose(struct controller *c, int64_t now_ms)
{
    struct filling *f = &c->filling;
    struct ctl_batch *b = &c->flight[(c->first + c->n_flight) % CTL_FLIGHT_MAX];
    struct batch_place at = {.base_offset = c->next_offset, .epoch = c->epoch, .now_ms = now_ms};
    struct arena a;

    ASSERT(!b->busy && c->n_flight < CTL_FLIGHT_MAX);
    ASSERT(f->n > 0 && f->n <= CTL_BATCH_MAX); /* who follows tells of a batch in one callback */
    image_seal(f->draft);
    b->busy = true;
    b->base_offset = c->next_offset;
    b->last_offset = c->next_offset + f->n - 1;
    b->image = f->draft;
    b->bytes.len = 0;
    arena_init(&a, c->heap, SIZE_MAX);
    batches_data(&at, bytes_slice(&f->values), f->ends, f->n, &a, &b->bytes);
    arena_drop(&a);
    replace(c, &c->tip, image_ref(f->draft));
    c->next_offset += f->n;
    filling_clear(f);
    c->n_flight++;
    c->ops->propose(c->arg, b);
}

/* Decides and fills the batch as far as one turn may. True: it is full. */
static bool decide_turn(struct controller *c, int64_t now_ms)
{
    int work = 0;

    for (int i = 0; i < DECISIONS_MAX && work < CTL_STEP_MAX; i++) {
        int n;

        if (filled(c))
            return true;
        if (!c->current) {
            if (list_empty(&c->waiting))
                return false;
            decide_next(c, now_ms);
        } else if (c->at == c->out.n && c->out.more) {
            decide_step(c);
        }
        begin_if_large(c, now_ms);
        n = cut(c, c->filling.n + CTL_STEP_MAX < CTL_BATCH_MAX ? CTL_STEP_MAX : CTL_BATCH_MAX - c->filling.n);
        if (n == 0) /* what belongs together may be more than a step */
            n = cut(c, CTL_BATCH_MAX - c->filling.n);
        ASSERT(n > 0 || c->filling.n > 0 || c->out.n == c->at); /* else a decision that no batch can hold */
        n = fill(c, n, now_ms);
        if (n == 0 && c->at < c->out.n)
            return true;
        work += n + c->out.cost;
        if (c->at < c->out.n || c->out.more || (c->begun && c->filling.n == CTL_BATCH_MAX))
            continue;
        end_if_begun(c, now_ms);
        hold(c, c->current, c->next_offset + c->filling.n - 1);
        c->current = NULL;
    }
    return filled(c);
}

/* Answers for which nobody can come any more. */
static void forget_due(struct controller *c, int64_t now_ms)
{
    struct meta_record r;

    if (!c->current && requests_due(newest(c), c->clock_ms, &r))
        fill_record(c, &r, now_ms);
}

bool ctl_turn(struct controller *c, int64_t now_ms)
{
    struct meta_record due;
    bool full;

    if (!c->leads || c->n_flight == CTL_FLIGHT_MAX)
        return false;
    undo_found(c, now_ms);
    forget_due(c, now_ms);
    full = decide_turn(c, now_ms);
    if (c->filling.draft && (full || !c->current))
        propose(c, now_ms);
    release(c);
    ASSERT(invariant(c));
    return c->n_flight < CTL_FLIGHT_MAX &&
           (c->current || !list_empty(&c->waiting) || requests_due(c->tip, c->clock_ms, &due));
}

bool ctl_committed(struct controller *c, int64_t offset)
{
    struct image *before = image_ref(ctl_image(c));
    bool moved;

    while (c->n_flight > 0 && c->flight[c->first].last_offset <= offset) {
        struct ctl_batch *b = &c->flight[c->first];

        c->committed = b->last_offset;
        replace(c, &c->image, b->image);
        b->busy = false;
        c->first = (c->first + 1) % CTL_FLIGHT_MAX;
        c->n_flight--;
    }
    moved = ctl_image(c) != before;
    image_unref(before, &c->grave);
    if (c->n_flight == 0 && c->leads)
        c->committed = c->next_offset - 1; /* nothing of ours is skipped offsets */
    release(c);
    ASSERT(invariant(c));
    return moved;
}
