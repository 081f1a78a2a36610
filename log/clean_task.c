#include "log/clean_task.h"
#include "base/check.h"

enum { SHORT_NS = 1000 * 1000 }; /* not worth a timer */

static void over(struct clean_task *t, enum err err)
{
    t->err = err;
    t->reached = clean_reached(t->clean);
    t->progress = *clean_progress(t->clean);
    clean_drop(t->clean);
    t->clean = NULL;
}

/* The step's bytes at the allowed rate. */
static int64_t charge_ns(struct clean_task *t)
{
    const struct clean_progress *p = clean_progress(t->clean);
    int64_t bytes = p->bytes_read + p->bytes_written - t->bytes;

    t->bytes += bytes;
    double ns = (double)bytes * 1e9 / t->bytes_per_second;
    return ns < 3600e9 ? (int64_t)ns : (int64_t)3600e9;
}

static void step(struct msg *msg)
{
    struct clean_task *t = container_of(msg, struct clean_task, msg);

    if (t->clean) {
        enum err err = clean_step(t->clean, io_wall_ms(t->io));
        if (err == E_BUSY) {
            int64_t now = loop_now(t->loop);
            t->free_at = (t->free_at > now ? t->free_at : now) + charge_ns(t);
            t->waiting = t->free_at - now > SHORT_NS;
            if (t->waiting)
                timer_set(t->loop, &t->timer, t->free_at);
            else
                loop_post(t->loop, &t->msg);
            return;
        }
        over(t, err);
    }
    t->done(t, t->err); /* may free t: last touch */
}

static void waited(struct timer *timer)
{
    struct clean_task *t = container_of(timer, struct clean_task, timer);

    t->waiting = false;
    step(&t->msg);
}

void clean_task_start(struct clean_task *t, struct clean *clean)
{
    ASSERT(t->bytes_per_second > 0 && t->done);
    t->clean = clean;
    t->bytes = 0;
    t->free_at = 0;
    t->waiting = false;
    t->msg = (struct msg){.run = step};
    t->timer = (struct timer){.fire = waited};
    list_init(&t->timer.link);
    loop_post(t->loop, &t->msg);
}

void clean_task_stop(struct clean_task *t)
{
    if (!t->clean)
        return;
    over(t, E_CANCELED);
    if (t->waiting) {
        t->waiting = false;
        timer_stop(&t->timer);
        loop_post(t->loop, &t->msg);
    }
}
