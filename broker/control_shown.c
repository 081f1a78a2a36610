/* Who is answered that something was done finds it here from then on. An answer that tells of a change waits until every NET
 * loop of this broker has adopted an image that shows it: with whichever of them the client speaks next, and wherever it was
 * decided. Nothing polls: a loop that has adopted an image says so, and the answers that it lacked go.
 *
 *     decided here ─► committed ─► published ──────────────┐
 *     decided elsewhere ─► answer, with the offset          ├─► adopted by all NET loops ─► answered
 *                          … this node follows up to it ───┘
 *
 *  1. It waits SHOWN_WAIT_MS at most, and not beyond its time: what was done isn't failed because this node hears of
 *     nothing new. One line says so, until it does again.
 *  2. Who changed nothing, or failed, doesn't wait; nor who asks a controller (he hears on net[0] from net[0]), nor this
 *     broker for itself.
 *  3. Where this node leads, its newest image is enough: what committed later is nobody's answer yet, and what isn't in
 *     images (barriers, voters) has offsets, too.
 *  4. What isn't in images is shown by the node as a whole (control_call.shows): kraft.version, by the voters' configuration.
 *  5. What waits is the request itself, so it is bounded by what is admitted. */
#include "broker/control_internal.h"

enum { SHOWN_WAIT_MS = 1000, NS_A_MS = 1000000 };

static bool is_shown(const struct control *c, const struct control_call *call)
{
    int64_t newest = ctl_image(c->ctl)->offset;
    int64_t from = c->leads && call->shown_from > newest ? newest : call->shown_from;

    return publisher_shown(c->publisher) >= from && (!call->shows || call->shows(call));
}

static void wait_over(struct timer *timer)
{
    struct control_call *call = container_of(timer, struct control_call, timer);
    struct control *c = call->node->control;

    list_remove(&call->ctl.link);
    if (!c->shows_late)
        TRACE(c->node->io, control_shows_late, (long long)call->shown_from,
              (long long)publisher_shown(c->publisher));
    c->shows_late = true;
    control_call_give(call);
}

bool shown_wait(struct control_call *call)
{
    struct control *c = call->node->control;
    int64_t now = loop_now(c->loop), until = now + (int64_t)SHOWN_WAIT_MS * NS_A_MS;

    if (!call->request || call->request->listener->controller || call->err || c->calls_ended ||
        now >= call->deadline || is_shown(c, call))
        return false;
    list_add(&c->unshown, &call->ctl.link);
    publisher_hurry(c->publisher);
    call->timer = (struct timer){.fire = wait_over};
    timer_set(c->loop, &call->timer, until < call->deadline ? until : call->deadline);
    return true;
}

static void give(struct control_call *call)
{
    list_remove(&call->ctl.link);
    timer_stop(&call->timer);
    control_call_give(call);
}

void shown_look(struct control *c)
{
    c->shows_late = false;
    list_each_safe (it, &c->unshown) {
        struct control_call *call = container_of(it, struct control_call, ctl.link);

        if (!is_shown(c, call))
            continue;
        give(call);
    }
}

void shown_end(struct control *c)
{
    list_each_safe (it, &c->unshown)
        give(container_of(it, struct control_call, ctl.link));
}
