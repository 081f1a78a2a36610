/* base/io.h's loops on the virtual clock. A loop with something to do has one event, its next turn; a turn runs one
 * callback. Which of a due timer, a message and a socket's callback comes first is drawn: the contract orders only
 * what one sender posts and what one socket does. */
#include "sim_impl.h"
#include <stdlib.h>

static void turn(struct sim *s, void *arg, int64_t n);

static bool timer_due(const struct loop *l)
{
    struct timer *t = list_first(&l->timers, struct timer, link);

    return t && t->due <= l->io->s->now;
}

static void alarm_ring(struct sim *s, void *arg, int64_t due);

/* Events for timers that are still to come, the earliest last: one is only added before all others. */
static void alarm_set(struct loop *l, int64_t due)
{
    if (l->n_alarms == l->alarms_room) {
        l->alarms_room = l->alarms_room ? l->alarms_room * 2 : 4;
        l->alarms = realloc(l->alarms, (size_t)l->alarms_room * sizeof(*l->alarms));
        ASSERT(l->alarms);
    }
    l->alarms[l->n_alarms++] = due;
    world_at(l->io->s, due, alarm_ring, l, due);
}

/* Sees to it that an event comes for what the loop has to do. */
static void wake(struct loop *l, int64_t after)
{
    struct sim *s = l->io->s;
    struct timer *t = list_first(&l->timers, struct timer, link);

    if (l->stopped || l->turn_due || l->in_callback || l->io->paused)
        return;
    if (l->first || !list_empty(&l->tasks) || timer_due(l)) {
        int64_t at = s->now + after;
        l->turn_due = true;
        world_at(s, at > l->free_at ? at : l->free_at, turn, l, 0);
    } else if (t && (l->n_alarms == 0 || t->due < l->alarms[l->n_alarms - 1])) {
        alarm_set(l, t->due);
    }
}

static void alarm_ring(struct sim *s, void *arg, int64_t due)
{
    struct loop *l = arg;

    if (l->stopped)
        return;
    ASSERT(l->n_alarms > 0 && l->alarms[l->n_alarms - 1] == due);
    l->n_alarms--;
    wake(l, 0);
}

/* Sockets end first; the loop runs until they have. */
static void stop_begin(struct loop *l)
{
    l->stopping = true;
    if (l->kind == LOOP_NET)
        net_close_loop(l);
}

static void stop_end(struct loop *l)
{
    world_event(l->io->s, "stop", l->io->node, l->id, 0);
    if (l->tell_msg)
        loop_post(l->tell, l->tell_msg);
    l->stopped = true;
}

static void callback(struct loop *l)
{
    struct task *task;
    struct msg *m;

    if (l->running) {
        task = l->running;
        l->running = NULL;
        task->run(task);
        return;
    }
    if (timer_due(l) && (!l->first || sim_below(l->io->s, 2))) {
        struct timer *t = list_first(&l->timers, struct timer, link);
        list_remove(&t->link);
        world_event(l->io->s, "timer", l->io->node, l->id, t->due);
        t->fire(t);
        return;
    }
    m = l->first;
    l->first = m->next;
    if (!l->first)
        l->last = &l->first;
    l->n_msgs--;
    m->next = NULL;
    world_event(l->io->s, "msg", l->io->node, l->id, l->n_msgs);
    if (m == &l->stop_mark)
        stop_begin(l);
    else
        m->run(m);
}

static void callback_done(struct loop *l)
{
    struct sim *s = l->io->s;

    l->in_callback = false;
    l->free_at = s->now + world_draw(s, s->opt.cost);
    if (l->stopping && l->n_socks == 0 && !l->first && list_empty(&l->tasks))
        stop_end(l);
    if (l->stopped && l->fiber) {
        fiber_drop(&s->fibers, l->fiber);
        l->fiber = NULL;
    }
    wake(l, 0);
}

static void fiber_body(void *arg)
{
    struct loop *l = arg;

    for (;;) {
        callback(l);
        l->in_callback = false;
        fiber_leave(&l->io->s->fibers);
    }
}

/* A callback that crashed its own node has just been left. */
static bool crashed(struct sim *s)
{
    struct io *io = s->crash_io;

    s->crash_io = NULL;
    if (io)
        world_crash(s, io->node, s->crash_how);
    return io != NULL;
}

/* Runs the loop's fiber until its callback has ended or waits. */
static void resume(struct loop *l)
{
    struct sim *s = l->io->s;

    ASSERT(!s->cur);
    s->cur = l;
    fiber_enter(&s->fibers, l->fiber);
    s->cur = NULL;
    if (!crashed(s) && !l->in_callback)
        callback_done(l);
}

static void turn(struct sim *s, void *arg, int64_t n)
{
    struct loop *l = arg;

    l->turn_due = false;
    if (l->stopped || l->in_callback || l->io->paused)
        return;
    if (!l->first && list_empty(&l->tasks) && !timer_due(l)) { /* a timer was stopped */
        wake(l, 0);
        return;
    }
    ASSERT(!s->cur && !l->running);
    if (!list_empty(&l->tasks) && ((!l->first && !timer_due(l)) || sim_below(s, 2))) {
        l->running = list_first(&l->tasks, struct task, link);
        list_remove(&l->running->link);
    }
    l->in_callback = true;
    l->now = s->now;
    if (l->kind == LOOP_DISK) {
        if (!l->fiber)
            l->fiber = fiber_new(&s->fibers, fiber_body, l);
        resume(l);
        return;
    }
    s->cur = l;
    callback(l);
    s->cur = NULL;
    if (!crashed(s))
        callback_done(l);
}

static void wait_over(struct sim *s, void *arg, int64_t n)
{
    struct loop *l = arg;

    l->waited = !l->stopped && l->io->paused;
    if (!l->stopped && !l->waited)
        resume(l);
}

void loop_resume(struct loop *l)
{
    if (l->waited && !l->stopped)
        world_at(l->io->s, l->io->s->now, wait_over, l, 0);
    l->waited = false;
    wake(l, 0);
}

void loop_wait(struct loop *l, int64_t until)
{
    struct sim *s = l->io->s;

    ASSERT(s->cur == l && l->kind == LOOP_DISK);
    if (until <= s->now)
        return;
    world_at(s, until, wait_over, l, 0);
    fiber_leave(&s->fibers);
}

void loop_unwind(struct loop *l)
{
    struct sim *s = l->io->s;

    ASSERT(s->cur == l && l->kind == LOOP_DISK);
    l->in_callback = true; /* and so it stays: nobody resumes it */
    fiber_leave(&s->fibers);
    ASSERT(!"a crashed node's callback went on");
}

void loop_kill(struct loop *l)
{
    struct sim *s = l->io->s;

    ASSERT(s->cur != l);
    l->stopped = true;
    if (l->fiber)
        fiber_drop(&s->fibers, l->fiber);
    l->fiber = NULL;
}

struct loop *loop_open(struct io *io, enum loop_kind kind)
{
    struct loop *l = sim_alloc(sizeof(*l));

    ASSERT(!io->dead);
    *l = (struct loop){.io = io, .kind = kind, .id = io->n_loops++, .now = io->s->now};
    l->last = &l->first;
    list_init(&l->timers);
    list_init(&l->tasks);
    list_add(&io->loops, &l->link);
    return l;
}

void loop_task(struct loop *l, struct task *task)
{
    ASSERT(!l->stopped);
    if (task->link.next && !list_empty(&task->link))
        return;
    list_add(&l->tasks, &task->link);
    wake(l, world_draw(l->io->s, l->io->s->opt.post));
}

/* ---- io.h ---- */

struct loop *loop_start(struct io *io, enum loop_kind kind, const char *name)
{
    struct loop *l = loop_open(io, kind);

    ASSERT(name);
    world_event(io->s, "loop", io->node, l->id, kind);
    return l;
}

void loop_post_quietly(struct loop *to, struct msg *msg)
{
    ASSERT(!to->stopped && !to->io->dead); /* whoever posts knows that the loop lives */
    ASSERT(msg->run || msg == &to->stop_mark);
    if (to->n_msgs < 64) /* lent until it runs: not a second time */
        for (struct msg *m = to->first; m; m = m->next)
            ASSERT(m != msg);
    msg->next = NULL;
    *to->last = msg;
    to->last = &msg->next;
    to->n_msgs++;
}

void loop_wake(struct loop *l)
{
    wake(l, world_draw(l->io->s, l->io->s->opt.post));
}

void loop_post(struct loop *to, struct msg *msg)
{
    loop_post_quietly(to, msg);
    loop_wake(to);
}

void loop_stop(struct loop *l, struct loop *tell, struct msg *stopped)
{
    ASSERT(tell != l && (tell == NULL) == (stopped == NULL) && !l->tell_msg && !l->stopping);
    loop_post(l, &l->stop_mark);
    l->tell = tell;
    l->tell_msg = stopped;
}

int64_t loop_now(const struct loop *l)
{
    ASSERT(l->io->s->cur == l);
    return l->now;
}

void timer_set(struct loop *l, struct timer *timer, int64_t due)
{
    struct list *at = &l->timers;

    ASSERT(l->io->s->cur == l && timer->fire);
    timer_stop(timer);
    timer->due = due;
    while (at->prev != &l->timers && container_of(at->prev, struct timer, link)->due > due)
        at = at->prev;
    list_add(at, &timer->link);
}

void timer_stop(struct timer *timer)
{
    if (timer->link.next)
        list_remove(&timer->link);
}

/* ---- sim_call ---- */

struct call {
    struct task task;
    struct loop *loop;
    void (*fn)(struct loop *loop, void *arg);
    void *arg;
    bool done;
};

static void call_run(struct task *task)
{
    struct call *c = container_of(task, struct call, task);

    c->fn(c->loop, c->arg);
    c->done = true;
}

bool sim_call(struct sim *s, struct io *io, enum loop_kind kind, void (*fn)(struct loop *loop, void *arg),
              void *arg)
{
    struct call c = {.task.run = call_run, .fn = fn, .arg = arg};

    ASSERT(!s->running && !s->cur && !io->dead && !io->paused);
    if (!io->call[kind])
        io->call[kind] = loop_open(io, kind);
    c.loop = io->call[kind];
    loop_task(c.loop, &c.task);
    s->running = true;
    while (!c.done && !io->dead)
        ASSERT(world_step(s));
    s->running = false;
    return c.done;
}
