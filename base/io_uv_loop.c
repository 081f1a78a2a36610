#include "io_uv_internal.h"
#include <linux/futex.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024, STACK_BYTES_CHECKED = 4 * 1024 * 1024 };
enum { STEP_NS_MAX = 2 * 1000 * 1000 };
enum { NS_PER_MS = 1000 * 1000, NS_PER_S = 1000 * 1000 * 1000 };

extern const char __executable_start[]; /* the linker's */

static _Thread_local struct loop *current;

struct loop *loop_current(void)
{
    return current;
}

static int64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t loop_now(const struct loop *loop)
{
    ASSERT(loop == current);
    return loop->now;
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Until `until` on the monotonic clock, or for as long as it takes. */
static void futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t until)
{
    struct timespec ts = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};

    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, until == INT64_MAX ? NULL : &ts, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

static void wake(struct loop *loop)
{
    uint64_t one = 1;

    if (loop->kind == LOOP_NET) {
        ASSERT(write(loop->wake_fd, &one, sizeof(one)) == sizeof(one));
        return;
    }
    atomic_store_explicit(&loop->woken, 1, memory_order_release);
    futex_wake(&loop->woken);
}

/* true: it sleeps, and no longer if `wakes`. */
static bool mail_push(struct loop *to, struct msg *msg, bool wakes)
{
    uintptr_t old = atomic_load_explicit(&to->mail, memory_order_relaxed), new;

    do {
        msg->next = (struct msg *)(old & ~(uintptr_t)ASLEEP);
        new = (uintptr_t)msg | (wakes ? 0 : old & ASLEEP);
    } while (!atomic_compare_exchange_weak_explicit(&to->mail, &old, new, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return old & ASLEEP;
}

void loop_post(struct loop *to, struct msg *msg)
{
    if (mail_push(to, msg, true))
        wake(to);
}

void loop_post_quietly(struct loop *to, struct msg *msg)
{
    (void)mail_push(to, msg, false);
}

void loop_wake(struct loop *loop)
{
    if (atomic_fetch_and_explicit(&loop->mail, ~(uintptr_t)ASLEEP, memory_order_acq_rel) & ASLEEP)
        wake(loop);
}

/* All that lies in the mailbox, in the order posted. */
static struct msg *mail_take(struct loop *loop)
{
    uintptr_t mail = atomic_exchange_explicit(&loop->mail, 0, memory_order_acq_rel);
    struct msg *m = (struct msg *)(mail & ~(uintptr_t)ASLEEP), *first = NULL;

    while (m) {
        struct msg *next = m->next;
        m->next = first;
        first = m;
        m = next;
    }
    return first;
}

/* False: there is mail. */
static bool mail_sleep(struct loop *loop)
{
    uintptr_t none = 0;

    atomic_store_explicit(&loop->woken, 0, memory_order_relaxed);
    return atomic_compare_exchange_strong_explicit(&loop->mail, &none, ASLEEP, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static bool mail_none(struct loop *loop)
{
    return (atomic_load_explicit(&loop->mail, memory_order_relaxed) & ~(uintptr_t)ASLEEP) == 0;
}

/* What a callback took, told where it was too much for a loop on which others wait (STEP_NS_MAX). `what` names it: its
 * place in the program, which nm and addr2line turn into a name (tests/bench/stalls.py). */
void step_begin(struct loop *loop)
{
    loop->step_from = clock_ns();
}

void step_end(struct loop *loop, const void *what)
{
    int64_t now = clock_ns(), took = now - loop->step_from;

    loop->step_from = now;
    if (took > STEP_NS_MAX)
        TRACE(loop->io, loop_stalled, loop->name, took / 1000,
              (size_t)((const char *)what - __executable_start));
}

static void timer_unlink(struct timer *timer)
{
    if (timer->link.next) /* else never set */
        list_remove(&timer->link);
}

void timer_set(struct loop *loop, struct timer *timer, int64_t due)
{
    uint64_t ahead_ms = due > loop->now ? (uint64_t)(due - loop->now) / NS_PER_MS : 0;
    int list = ahead_ms ? 64 - __builtin_clzll(ahead_ms) : 0;
    struct list *head = &loop->timers[list < TIMER_LISTS ? list : TIMER_LISTS - 1], *at = head;

    ASSERT(loop == current);
    timer_unlink(timer);
    timer->due = due;
    while (at->prev != head && container_of(at->prev, struct timer, link)->due > due)
        at = at->prev;
    list_add(at, &timer->link);
}

void timer_stop(struct timer *timer)
{
    timer_unlink(timer);
}

static struct timer *timer_first(struct loop *loop)
{
    struct timer *first = NULL;

    for (int i = 0; i < TIMER_LISTS; i++) {
        struct timer *t = list_first(&loop->timers[i], struct timer, link);
        if (t && (!first || t->due < first->due))
            first = t;
    }
    return first;
}

/* Those due now; what they set anew has its turn later, even if it is due already. */
static void timers_run(struct loop *loop)
{
    struct list due;
    struct timer *t;

    list_init(&due);
    while ((t = timer_first(loop)) && t->due <= loop->now) {
        list_remove(&t->link);
        list_add(&due, &t->link);
    }
    while ((t = list_first(&due, struct timer, link))) {
        void (*fire)(struct timer *) = t->fire;

        list_remove(&t->link);
        fire(t);
        step_end(loop, (const void *)fire);
    }
}

static void mail_run(struct loop *loop)
{
    for (struct msg *m = mail_take(loop), *next; m; m = next) {
        void (*run)(struct msg *) = m->run;

        next = m->next;
        if (loop->kind == LOOP_DISK)
            loop->now = loop->step_from; /* the one before may have waited for a disk */
        run(m);
        step_end(loop, (const void *)run);
    }
}

static void wait_for_work(struct loop *loop)
{
    const struct timer *first = timer_first(loop);
    int64_t until = first ? first->due : INT64_MAX;
    bool busy = loop->stopping || (loop->kind == LOOP_NET && net_busy(loop)) || !mail_sleep(loop);

    if (loop->kind == LOOP_NET)
        net_wait(loop, busy ? 0 : until);
    else if (!busy)
        futex_wait(&loop->woken, 0, until);
    step_begin(loop);
    loop->now = loop->step_from;
}

static void *loop_run(void *arg)
{
    struct loop *loop = current = arg;
    struct io *io = loop->io;

    loop->now = clock_ns();
    while (!loop->stopping || !mail_none(loop) || (loop->kind == LOOP_NET && !net_empty(loop))) {
        wait_for_work(loop);
        mail_run(loop);
        timers_run(loop);
        if (loop->kind == LOOP_NET)
            net_flush(loop);
    }
    if (loop->kind == LOOP_NET)
        net_end(loop);
    if (loop->tell)
        loop_post(loop->tell, loop->stopped);
    pthread_mutex_lock(&io->lock);
    if (--io->running == 0) {
        uint64_t one = 1;
        ASSERT(write(io->quiet_fd, &one, sizeof(one)) == sizeof(one));
    }
    pthread_mutex_unlock(&io->lock);
    return NULL;
}

struct loop *loop_start(struct io *io, enum loop_kind kind, const char *name)
{
    struct loop *loop = heap_alloc(io->heap, sizeof(*loop));
    pthread_attr_t attr;

    loop->io = io;
    loop->kind = kind;
    snprintf(loop->name, sizeof(loop->name), "%s", name);
    for (int i = 0; i < TIMER_LISTS; i++)
        list_init(&loop->timers[i]);
    if (kind == LOOP_NET)
        net_start(loop);

    pthread_mutex_lock(&io->lock);
    list_add(&io->loops, &loop->link);
    io->running++;
    pthread_mutex_unlock(&io->lock);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    size_t stack = STACK_BYTES_CHECKED;
#else
    size_t stack = STACK_BYTES;
#endif
    ASSERT(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, stack) == 0);
    ASSERT(pthread_create(&loop->thread, &attr, loop_run, loop) == 0);
    pthread_attr_destroy(&attr);
    (void)pthread_setname_np(loop->thread, loop->name); /* for those who look at top */
    return loop;
}

static void stop_run(struct msg *msg)
{
    struct loop *loop = container_of(msg, struct loop, stop);

    loop->stopping = true;
    if (loop->kind == LOOP_NET)
        net_close_all(loop);
}

void loop_stop(struct loop *loop, struct loop *tell, struct msg *stopped)
{
    ASSERT(tell != loop);
    loop->tell = tell;
    loop->stopped = stopped;
    loop->stop.run = stop_run;
    loop_post(loop, &loop->stop);
}
