#include "metadata/controller.h"
#include "base/check.h"
#include "metadata/batches.h"

/* Invariants, numbered as in controller.h:
 * 1. tip is sealed and equals the image of the newest batch in flight, or `image` if none is.
 * 2. `held` rises in `after`, and none of it has committed yet.
 * 3. flight[first …] in order of offsets; next_offset follows the last of them.
 * 4. `current` is the request whose records aren't all proposed; nothing else is decided meanwhile.
 * 5. A controller that doesn't lead has nothing waiting, held or in flight. */

enum { DECISIONS_MAX = 64 }; /* a turn */

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
    struct ctl_out out; /* of current: records from `at` on aren't proposed */
    int at;
    struct arena work;
};

/* A batch that is being filled. */
struct filling {
    struct image *draft; /* NULL: no record yet */
    struct bytes values;
    size_t ends[CTL_BATCH_MAX];
    int n;
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
    while (grave_step(&c->grave, 1000))
        ;
    for (int i = 0; i < CTL_FLIGHT_MAX; i++)
        bytes_drop(&c->flight[i].bytes);
    arena_drop(&c->work);
    heap_free(c->heap, c);
}

struct grave *ctl_grave(struct controller *c)
{
    return &c->grave;
}

struct image *ctl_image(const struct controller *c)
{
    return c->image;
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
    const struct image *newest =
        c->n_flight ? c->flight[(c->first + c->n_flight - 1) % CTL_FLIGHT_MAX].image : c->image;

    if (!c->leads && !ctl_idle(c))
        return false;
    return c->tip == newest && c->tip->sealed &&
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
}

static void fail_all(struct list *requests)
{
    while (!list_empty(requests)) {
        struct ctl_request *r = list_first(requests, struct ctl_request, link);

        list_remove(&r->link);
        r->done(r, E_NOT_CONTROLLER);
    }
}

void ctl_lost(struct controller *c)
{
    struct list failed;

    list_init(&failed);
    list_take(&failed, &c->held);
    if (c->current)
        list_add(&failed, &c->current->link);
    list_take(&failed, &c->waiting);
    c->leads = false;
    c->current = NULL;
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
        for (int i = 0; i < b.n && !b.is_control; i++)
            image_replay(draft, &c->grave, &b.records[i]);
        draft->offset = b.last_offset;
        draft->epoch = b.epoch;
        draft->append_ms = b.append_ms;
        image_seal(draft);
        c->committed = b.last_offset;
        replace(c, &c->image, draft);
        replace(c, &c->tip, image_ref(draft));
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
    list_add(&c->held, &r->link);
}

static void release(struct controller *c)
{
    struct ctl_request *r;

    while ((r = list_first(&c->held, struct ctl_request, link)) && r->after <= c->committed) {
        list_remove(&r->link);
        r->done(r, E_OK);
    }
}

/* Decides the next request on the newest state. What it wrote waits in c->out. */
static void decide_next(struct controller *c, const struct image *tip, int64_t next_offset, int64_t now_ms)
{
    struct ctl_request *r = list_first(&c->waiting, struct ctl_request, link);
    size_t limit = r->arena->max;

    list_remove(&r->link);
    arena_reset(&c->work);
    c->out = (struct ctl_out){.rules = c->rules,
                              .arena = r->arena,
                              .work = &c->work,
                              .now_ms = now_ms,
                              .base_offset = next_offset,
                              .version = r->version};
    c->ops->random(c->arg, c->out.seed);
    r->arena->max = SIZE_MAX; /* the request was admitted; what it asks for bounds its reply */
    r->decide(tip, r->in, r->out, &c->out);
    r->arena->max = limit > r->arena->used ? limit : r->arena->used;
    c->current = r;
    c->at = 0;
}

/* How many of the current records fit into `room`, without parting what belongs together. */
static int cut(const struct controller *c, int room)
{
    int left = c->out.n - c->at;
    int n = left < room ? left : room;

    while (n > 0 && n < left && c->out.glued[c->at + n])
        n--;
    return n;
}

static void fill(struct controller *c, struct filling *f, int n, int64_t now_ms)
{
    if (n > 0 && !f->draft)
        f->draft = image_draft(c->tip, &c->grave);
    for (int i = 0; i < n; i++) {
        const struct meta_record *r = &c->out.records[c->at + i];

        image_replay(f->draft, &c->grave, r);
        record_encode(r, &f->values);
        f->ends[f->n++] = f->values.len;
    }
    c->at += n;
    if (f->draft) {
        f->draft->offset = c->next_offset + f->n - 1;
        f->draft->epoch = c->epoch;
        f->draft->append_ms = now_ms;
    }
}

static void propose(struct controller *c, struct filling *f, int64_t now_ms)
{
    struct ctl_batch *b = &c->flight[(c->first + c->n_flight) % CTL_FLIGHT_MAX];
    struct batch_place at = {.base_offset = c->next_offset, .epoch = c->epoch, .now_ms = now_ms};
    struct arena a;

    ASSERT(!b->busy && c->n_flight < CTL_FLIGHT_MAX);
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
    c->n_flight++;
    c->ops->propose(c->arg, b);
}

bool ctl_turn(struct controller *c, int64_t now_ms)
{
    struct filling f = {0};

    if (!c->leads || c->n_flight == CTL_FLIGHT_MAX)
        return false;
    bytes_init(&f.values, c->heap);
    for (int i = 0; i < DECISIONS_MAX; i++) {
        int n;

        if (!c->current) {
            if (list_empty(&c->waiting))
                break;
            decide_next(c, f.draft ? f.draft : c->tip, c->next_offset + f.n, now_ms);
        }
        n = cut(c, CTL_BATCH_MAX - f.n);
        ASSERT(n > 0 || f.n > 0 || c->out.n == c->at); /* else a decision that no batch can hold */
        fill(c, &f, n, now_ms);
        if (c->at < c->out.n)
            break; /* the batch is full */
        hold(c, c->current, c->next_offset + f.n - 1);
        c->current = NULL;
    }
    if (f.draft)
        propose(c, &f, now_ms);
    bytes_drop(&f.values);
    release(c);
    ASSERT(invariant(c));
    return c->n_flight < CTL_FLIGHT_MAX && (c->current || !list_empty(&c->waiting));
}

bool ctl_committed(struct controller *c, int64_t offset)
{
    bool moved = false;

    while (c->n_flight > 0 && c->flight[c->first].last_offset <= offset) {
        struct ctl_batch *b = &c->flight[c->first];

        c->committed = b->last_offset;
        replace(c, &c->image, b->image);
        b->busy = false;
        c->first = (c->first + 1) % CTL_FLIGHT_MAX;
        c->n_flight--;
        moved = true;
    }
    release(c);
    ASSERT(invariant(c));
    return moved;
}
