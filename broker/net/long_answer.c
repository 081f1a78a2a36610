/* The line of those who are owed long answers, and the pages that they get.
 *
 * Invariants:
 *   1. a request stands in the line only while it is the first of its connection that hasn't ended;
 *   2. `active` alone has begun: it holds the published image, and `building` is its own;
 *   3. an answer is counted while a request uses it: room but for its first page; `kept` is counted only if one does. */
#include "broker/net/long_answer.h"
#include "broker/net/internal.h"
#include "broker/publish.h"
#include "proto/field.h"

enum {
    PAGE_BYTES = 64 * 1024,
    PAGE_FIRST = 2 * 1024, /* it grows */
    PAGE_LEFT = 4 * 1024,  /* when so little is left, the next begins */
    STEP_UNITS = 1000,     /* of a callback: pieces, … */
    UNIT_BYTES = 32,       /* … and bytes of them */
    BEGIN_UNITS = 20,
    LISTED_MIN = 64, /* elements of an answer that is worth steps */
};

struct long_answer {
    struct net *net;
    int users; /* requests, while it is building or being sent */
    bool kept;
    int16_t version;
    enum err err;
    int32_t n;   /* elements of the array */
    size_t len;  /* and their bytes */
    size_t room; /* bytes of all pages */
    struct bytes *pages;
    int n_pages;
    int work; /* of this step */
    bool open;
    struct bytes tail; /* of the open element */
    struct arena scratch;
    int64_t charged;
    bool pass;

    bool shared; /* and then by whom: */
    const struct handler *handler;
    const struct config_listener *listener;
    struct slice who_type, who_name;
    const struct image *image;
    const struct config *config;
    uint32_t flags;
};

/* ---- pages ---- */

/* Room for a piece at the end. */
static struct bytes *page(struct long_answer *a)
{
    struct bytes *last = a->n_pages > 0 ? &a->pages[a->n_pages - 1] : NULL;

    if (last && last->len <= PAGE_BYTES - PAGE_LEFT)
        return last;
    a->pages = heap_resize(a->net->heap, a->pages, (size_t)(a->n_pages + 1) * sizeof(*a->pages));
    last = &a->pages[a->n_pages++];
    bytes_init(last, a->net->heap);
    (void)bytes_more(last, a->n_pages == 1 ? PAGE_FIRST : PAGE_BYTES);
    last->len = 0;
    a->room += last->room;
    return last;
}

static void piece(struct long_answer *a, const struct proto_type *t, const void *msg, struct proto_cuts *cuts)
{
    struct bytes *to = page(a);
    size_t before = to->len, room = to->room;

    a->err = proto_encode(t, a->version, msg, to, cuts);
    if (cuts && !a->err) { /* what follows the cut comes with long_close() */
        ASSERT(cuts->n == 1);
        bytes_add(&a->tail, to->p + cuts->v->at, to->len - cuts->v->at);
        to->len = cuts->v->at;
    }
    a->len += to->len - before;
    a->room += to->room - room;
    if (a->len > INT32_MAX && !a->err)
        a->err = E_MESSAGE_TOO_LARGE;
}

void long_add(struct long_answer *a, const struct proto_type *t, const void *msg)
{
    a->n += !a->open;
    if (!a->err)
        piece(a, t, msg, NULL);
}

void long_open(struct long_answer *a, const struct proto_type *t, const void *msg)
{
    struct proto_cuts cuts = {.arena = &a->scratch};

    ASSERT(!a->open);
    a->open = true;
    a->n++;
    if (!a->err)
        piece(a, t, msg, &cuts);
}

void long_close(struct long_answer *a)
{
    struct bytes *to = page(a);
    size_t room = to->room;

    ASSERT(a->open);
    a->open = false;
    bytes_add(to, a->tail.p, a->tail.len);
    a->len += a->tail.len;
    a->room += to->room - room;
    a->tail.len = 0;
}

void long_work(struct long_answer *a, int steps)
{
    a->work += steps;
}

struct arena *long_scratch(struct long_answer *a)
{
    return &a->scratch;
}

size_t long_bytes(const struct long_answer *a)
{
    return a->len;
}

/* ---- an answer ---- */

static struct long_answer *answer_new(struct net *net, const struct request *r, const struct long_plan *plan)
{
    struct long_answer *a = heap_alloc(net->heap, sizeof(*a));

    a->net = net;
    a->users = 1;
    a->version = r->version;
    a->shared = plan->shared;
    a->handler = r->handler;
    a->listener = r->listener;
    a->image = r->net->image;
    a->config = r->net->config;
    a->flags = plan->flags;
    a->who_type = heap_copy(net->heap, r->principal->type);
    a->who_name = heap_copy(net->heap, r->principal->name);
    bytes_init(&a->tail, net->heap);
    arena_init(&a->scratch, net->heap, SIZE_MAX);
    return a;
}

static void answer_free(struct long_answer *a)
{
    for (int i = 0; i < a->n_pages; i++)
        bytes_drop(&a->pages[i]);
    heap_free(a->net->heap, a->pages);
    heap_free(a->net->heap, a->who_type.p);
    heap_free(a->net->heap, a->who_name.p);
    bytes_drop(&a->tail);
    arena_drop(&a->scratch);
    heap_free(a->net->heap, a);
}

static bool is_asked_again(const struct long_answer *a, const struct request *r, const struct long_plan *plan)
{
    return a->handler == r->handler && a->version == r->version && a->listener == r->listener &&
           a->flags == plan->flags && a->image == r->net->image && a->config == r->net->config &&
           slice_eq(a->who_type, r->principal->type) && slice_eq(a->who_name, r->principal->name);
}

static size_t counted(const struct long_answer *a)
{
    return a->n_pages > 1 ? a->room - a->pages[0].room : 0;
}

static void answer_use(struct long_answer *a)
{
    if (a->users++ > 0)
        return;
    a->charged = (int64_t)counted(a);
    budget_force(&a->net->line.budget, a->charged);
}

void long_unuse(struct long_answer *a)
{
    ASSERT(a->users > 0);
    if (--a->users > 0)
        return;
    budget_give(&a->net->line.budget, a->charged, a->pass);
    a->charged = 0;
    a->pass = false;
    if (!a->kept)
        answer_free(a);
}

void long_forget(struct net *net)
{
    struct long_answer *a = net->line.kept;

    net->line.kept = NULL;
    if (!a)
        return;
    a->kept = false;
    if (a->users == 0)
        answer_free(a);
}

static void keep(struct net *net, struct long_answer *a)
{
    if (!a->shared || a->pass || a->room > LONG_KEPT_BYTES || a->image != net->owner->image)
        return;
    long_forget(net);
    a->kept = true;
    net->line.kept = a;
}

int long_pages(const struct long_answer *a)
{
    return a->n_pages;
}

size_t long_part(const struct long_answer *a, int i, struct part *out)
{
    const struct bytes *b = &a->pages[i];

    *out = (struct part){.mem = bytes_slice(b), .len = b->len};
    return b->len;
}

/* ---- the line ---- */

static void line_post(struct long_line *l)
{
    if (l->posted)
        return;
    l->posted = true;
    loop_post(l->net->loop, &l->msg);
}

/* Nobody builds any more. */
static void line_leave(struct long_line *l)
{
    if (l->held)
        slot_release(&l->net->owner->slot, l->held);
    l->held = NULL;
    l->active = NULL;
    l->building = NULL;
}

/* The connection has ended: so has the wait. */
static void long_gone(struct request *r)
{
    struct net_request *q = container_of(r, struct net_request, r);
    struct long_line *l = &q->net->line;

    list_remove(&q->turn);
    if (l->active == q) {
        if (!list_empty(&l->wait))
            list_remove(&l->wait);
        l->building->shared = false;
        long_unuse(l->building);
        line_leave(l);
        line_post(l);
    }
    request_skip(r);
}

/* True: it gets what is kept. */
static bool begin(struct long_line *l, struct net_request *q)
{
    struct image_slot *slot = &l->net->owner->slot;

    list_remove(&q->turn);
    q->begin(&q->r, &q->plan);
    if (q->plan.shared && l->kept && is_asked_again(l->kept, &q->r, &q->plan)) {
        answer_use(l->kept);
        request_encoded(q, request_encode_long(q, l->kept, l->kept->n, l->kept->len));
        return true;
    }
    l->active = q;
    l->held = slot->now ? slot_hold(slot) : NULL;
    l->building = answer_new(l->net, &q->r, &q->plan);
    return false;
}

/* The next page is paid for before it is begun. */
static bool memory(struct long_line *l)
{
    struct long_answer *a = l->building;
    int64_t want = (int64_t)a->room - a->charged;

    if (want <= 0)
        return true;
    if (a->pass) {
        budget_force(&l->budget, want);
        a->charged += want;
        return true;
    }
    if (budget_take(&l->budget, want, &a->pass)) {
        a->charged += want;
        return true;
    }
    budget_wait(&l->budget, &l->wait);
    return false;
}

static int64_t line_size(struct list *waiter)
{
    struct long_line *l = container_of(waiter, struct long_line, wait);

    return (int64_t)l->building->room - l->building->charged;
}

static void line_granted(struct list *waiter, bool pass)
{
    struct long_line *l = container_of(waiter, struct long_line, wait);

    l->building->pass = pass;
    l->building->charged = (int64_t)l->building->room;
    line_post(l);
}

/* False: not all yet. */
static bool build(struct long_line *l, int *units)
{
    struct net_request *q = l->active;
    struct long_answer *a = l->building;

    while (*units > 0) {
        size_t before = a->len;
        bool more = q->plan.step(a, &q->r, q->plan.state);

        arena_reset(&a->scratch);
        *units -= 1 + a->work + (int)((a->len - before) / UNIT_BYTES);
        a->work = 0;
        if (!more || a->err)
            return true;
    }
    return false;
}

/* What was taken ahead goes back. */
static void settle(struct long_line *l, struct long_answer *a)
{
    int64_t over = a->charged - (int64_t)counted(a);

    if (over < 0)
        budget_force(&l->budget, -over);
    else if (over > 0)
        budget_give(&l->budget, over, false);
    a->charged -= over;
}

static void finish(struct long_line *l)
{
    struct net_request *q = l->active;
    struct long_answer *a = l->building;
    enum err err = a->err;

    ASSERT(err || !a->open);
    settle(l, a);
    if (!err) {
        keep(l->net, a);
        err = request_encode_long(q, a, a->n, a->len); /* borrows the image once more */
    } else {
        long_unuse(a);
    }
    line_leave(l);
    request_encoded(q, err);
}

static void line_run(struct long_line *l)
{
    int units = STEP_UNITS;

    l->running = true;
    while (units > 0 && list_empty(&l->wait)) {
        if (!l->active) {
            if (list_empty(&l->queue))
                break;
            units -= BEGIN_UNITS;
            if (begin(l, container_of(l->queue.next, struct net_request, turn)))
                continue;
        }
        if (!memory(l))
            break;
        if (build(l, &units))
            finish(l);
    }
    l->running = false;
    if (list_empty(&l->wait) && (l->active || !list_empty(&l->queue)))
        line_post(l);
}

static void line_msg(struct msg *msg)
{
    struct long_line *l = container_of(msg, struct long_line, msg);

    l->posted = false;
    line_run(l);
}

void long_next(struct conn *c)
{
    struct long_line *l = &c->net->line;

    list_each (it, &c->requests) {
        struct net_request *q = container_of(it, struct net_request, r.link);

        if (q->r.ended)
            continue;
        if (!q->begin || !list_empty(&q->turn) || l->active == q || c->unsent >= CONN_UNSENT_MAX)
            return;
        list_add(&l->queue, &q->turn);
        if (!l->running && !l->active && l->queue.next->next == &l->queue)
            line_run(l); /* a short one is answered at once */
        else
            line_post(l);
        return;
    }
}

void request_reply_long(struct request *r, void (*begin_fn)(struct request *r, struct long_plan *plan))
{
    struct net_request *q = container_of(r, struct net_request, r);

    ASSERT(!r->ended && r->out && !q->around);
    if (!r->conn) {
        request_skip(r);
        return;
    }
    q->begin = begin_fn;
    r->gone = long_gone;
    conn_flush(r->conn);
}

/* ---- elements that are there already ---- */

struct listed {
    const struct proto_type *type;
    const char *v;
    int32_t n, at;
};

/* The response's longest array of structs; NULL: none is long. */
static const struct proto_field *long_array(const struct request *r)
{
    const struct proto_field *longest = NULL;
    int32_t n = LISTED_MIN - 1;

    for (int i = 0; i < r->handler->out->n_fields; i++) {
        const struct proto_field *f = &r->handler->out->fields[i];
        const struct proto_array *a = (const void *)((const char *)r->out + f->offset);

        if (!(f->flags & PROTO_ARRAY) || f->kind != PROTO_STRUCT || !proto_in(f->versions, r->version) ||
            proto_in(f->tagged, r->version) || a->n <= n)
            continue;
        longest = f;
        n = a->n;
    }
    return longest;
}

static bool listed_step(struct long_answer *a, struct request *r, void *state)
{
    struct listed *l = state;

    if (l->at == l->n)
        return false;
    long_add(a, l->type, l->v + (size_t)l->at++ * l->type->size);
    return true;
}

static void listed_begin(struct request *r, struct long_plan *plan)
{
    const struct proto_field *f = long_array(r);
    struct proto_array *a = (void *)((char *)r->out + f->offset);
    struct listed *l = arena_alloc(&r->arena, sizeof(*l));

    *l = (struct listed){.type = f->sub, .v = a->v, .n = a->n};
    *plan = (struct long_plan){.array = a, .step = listed_step, .state = l};
}

bool request_reply_listed(struct request *r)
{
    if (r->n_ranges > 0 || !long_array(r))
        return false;
    request_reply_long(r, listed_begin);
    return true;
}

void long_line_init(struct long_line *l, struct net *net)
{
    l->net = net;
    l->msg.run = line_msg;
    list_init(&l->queue);
    list_init(&l->wait);
    budget_loop_init(&l->budget, &net->shared->budget, net->loop);
    l->budget.granted = line_granted;
    l->budget.size = line_size;
}
