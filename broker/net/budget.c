/* How frames share queued.max.request.bytes.
 *
 * Taking is one compare-and-swap. A loop that finds too little puts its connection at the end of its own queue, stands
 * itself in the stack of waiting loops and looks again; who gives back looks at the stack after it gave. Both orders are
 * sequentially consistent, so one of the two sees the other, and nobody sleeps beside free budget. */
#include "broker/net/internal.h"

static bool take_shared(struct budget *b, int64_t bytes)
{
    int64_t used = atomic_load(&b->used);

    while (used + bytes <= b->max)
        if (atomic_compare_exchange_weak(&b->used, &used, used + bytes))
            return true;
    return false;
}

bool budget_take(struct budget_loop *b, int64_t bytes, bool *pass)
{
    ASSERT(bytes >= 0);
    *pass = false;
    if (take_shared(b->budget, bytes))
        return true;
    if (b->passing)
        return false;
    budget_force(b, bytes);
    b->passing = *pass = true;
    return true;
}

bool budget_take_aside(struct budget *b, int64_t bytes)
{
    if (atomic_fetch_add(&b->aside, bytes) + bytes <= b->max / ASIDE_PART)
        return true;
    budget_give_aside(b, bytes);
    return false;
}

void budget_give_aside(struct budget *b, int64_t bytes)
{
    int64_t before = atomic_fetch_sub(&b->aside, bytes);

    ASSERT(before >= bytes);
}

void budget_force(struct budget_loop *b, int64_t bytes)
{
    atomic_fetch_add(&b->budget->used, bytes);
}

/* Joins the loops that are woken when budget returns. */
static void ask(struct budget_loop *b)
{
    if (b->asked)
        return;
    b->asked = true;
    b->next = atomic_load(&b->budget->waiting);
    while (!atomic_compare_exchange_weak(&b->budget->waiting, &b->next, b))
        continue;
}

static void wake_waiting(struct budget *b)
{
    if (!atomic_load(&b->waiting))
        return;
    for (struct budget_loop *w = atomic_exchange(&b->waiting, NULL), *next; w; w = next) {
        next = w->next; /* w may ask again as soon as it is posted */
        loop_post(w->loop, &w->wake);
    }
}

void budget_give(struct budget_loop *b, int64_t bytes, bool pass)
{
    int64_t before = atomic_fetch_sub(&b->budget->used, bytes);

    ASSERT(before >= bytes);
    if (pass) {
        ASSERT(b->passing);
        b->passing = false;
        if (!list_empty(&b->queue))
            ask(b);
    }
    wake_waiting(b->budget);
}

void budget_wait(struct budget_loop *b, struct list *waiter)
{
    list_add(&b->queue, waiter);
    ask(b);
    /* Budget that came back before we asked woke nobody. */
    if (atomic_load(&b->budget->used) + b->size(b->queue.next) <= b->budget->max)
        wake_waiting(b->budget);
}

static void budget_wake(struct msg *msg)
{
    struct budget_loop *b = container_of(msg, struct budget_loop, wake);
    bool pass;

    b->asked = false;
    while (!list_empty(&b->queue)) {
        struct list *first = b->queue.next;
        int64_t size = b->size(first);

        if (!budget_take(b, size, &pass)) {
            ask(b);
            if (!budget_take(b, size, &pass)) /* what is given back from here on wakes us */
                return;
        }
        list_remove(first);
        b->granted(first, pass);
    }
}

void budget_loop_init(struct budget_loop *b, struct budget *budget, struct loop *loop)
{
    *b = (struct budget_loop){.budget = budget, .loop = loop, .wake.run = budget_wake};
    list_init(&b->queue);
}
