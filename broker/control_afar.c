/* The metadata log of the others, followed in memory while this node's own copy rests (control_life.c): its broker goes on with
 * the newest image, and hears who leads.
 *
 *  1. It begins where what was published ends, and takes only what continues that, a long answer in steps.
 *  2. What it takes is on no disk here: the next life of the quorum waits until its copy has it too (quorum_settings.told).
 *     So from the moment at which that life begins, no more is taken; who leads is told on.
 *  3. Where the log before what it has is gone, it takes a voter's snapshot, whole (control_afar_image.c). Another history it
 *     leaves to the next life.
 *  4. At a start, while nothing was told yet, nothing is told before all is here that a leader had committed when it was first
 *     heard of (quorum/observer.h), as of a quorum; nor before the end of this node's own log, for the process before may have
 *     told all that lies there, and a leader that is cut off knows less. Where that end couldn't be seen, somebody must have led
 *     for so long that it would have heard by now that it leads no more. */
#include "broker/control_internal.h"
#include "metadata/batches.h"

enum { AGAIN_MS = 500, LED_MS = 3000 };

static void ask(struct control *c)
{
    follow_fetch(c->afar.follow, c->afar.seen.end, c->afar.seen.last_epoch);
}

static void again_fired(struct timer *timer)
{
    ask(container_of(timer, struct control, afar.again));
}

static bool may_begin(struct control *c)
{
    struct afar *a = &c->afar;
    int64_t now = loop_now(c->loop);

    if (!observer_caught_up(&a->seen)) {
        a->led_ns = 0;
        return false;
    }
    if (a->led_ns == 0)
        a->led_ns = now;
    return c->mark.known ? a->seen.end >= c->mark.end : now - a->led_ns >= LED_MS * INT64_C(1000000);
}

static void tell(struct control *c)
{
    struct afar *a = &c->afar;

    if (!c->loaded && !c->quorum && may_begin(c))
        control_loaded(c);
    if (!c->loaded)
        return;
    if ((a->told_leader == a->seen.leader && a->told_epoch == a->seen.epoch) ||
        !control_led(c, a->seen.leader, a->seen.epoch))
        return;
    a->told_leader = c->view.leader = a->seen.leader;
    a->told_epoch = c->view.epoch = a->seen.epoch;
    if (a->seen.leader >= 0)
        TRACE(c->node->io, quorum_follows, a->seen.leader, a->seen.epoch);
    uplink_leader(c->uplink, a->seen.leader == c->node->id ? -1 : a->seen.leader);
}

static void take_voters(struct control *c, const struct voters *v)
{
    c->view.n_voters = v->n;
    c->view.kraft_version = v->kraft_version;
    for (int i = 0; i < v->n; i++)
        c->view.voters[i] = v->v[i].node;
    if (c->afar.seen.by >= 0 && quorum_view_voter(&c->view, c->afar.seen.by) < 0)
        observer_doubt(&c->afar.seen);
    control_voters(c);
}

/* What came is the newest image. */
static void moved(struct control *c)
{
    if (c->loaded)
        control_moved(c);
    tell(c);
}

/* The batch at the front; false: it doesn't continue what is known here. */
static bool take_one(struct control *c, struct slice rest, struct arena *a, size_t *used)
{
    struct observer *seen = &c->afar.seen;
    struct batch_content b;
    struct voters voters;

    arena_reset(a);
    if (batches_read(rest, a, &b, used) || b.base_offset != seen->end || b.last_offset < b.base_offset ||
        b.epoch < seen->last_epoch || ctl_follow(c->ctl, slice_of(rest.p, *used)))
        return false;
    if (voters_in(&b) && !voters_read(&b, a, &voters))
        take_voters(c, &voters);
    observer_reached(seen, b.last_offset + 1, b.epoch);
    return true;
}

void afar_again(struct control *c)
{
    if (c->afar.follow)
        timer_set(c->loop, &c->afar.again, loop_now(c->loop) + AGAIN_MS * INT64_C(1000000));
}

static void batches_over(struct control *c)
{
    struct afar *a = &c->afar;

    heap_free(c->node->heap, a->batches.p);
    a->batches = SLICE_NULL;
    if (!a->follow)
        afar_ended(c);
    else if (a->taken > 0)
        ask(c);
    else
        afar_again(c);
}

/* Some of an answer in a callback; more of it in the next. */
static void batches_step(struct control *c)
{
    struct afar *a = &c->afar;
    size_t from = a->taken, used;
    struct arena arena;
    bool more = true;

    arena_init(&arena, c->node->heap, SIZE_MAX);
    while (a->follow && !c->quorum && a->taken - from < QUORUM_STEP_BYTES &&
           (more = take_one(c, slice_of(a->batches.p + a->taken, a->batches.len - a->taken), &arena, &used)))
        a->taken += used;
    arena_drop(&arena);
    if (a->taken > from)
        moved(c);
    if (more && a->follow && !c->quorum)
        loop_post(c->loop, &a->step);
    else
        batches_over(c);
}

static void step_run(struct msg *msg)
{
    batches_step(container_of(msg, struct control, afar.step));
}

static void batches_came(struct control *c, struct slice batches)
{
    struct afar *a = &c->afar;

    a->batches = heap_copy(c->node->heap, batches);
    a->taken = 0;
    a->step.run = step_run;
    batches_step(c);
}

void afar_installed(struct control *c, struct quorum_checkpoint id, struct image *image,
                    const struct voters *voters)
{
    observer_reached(&c->afar.seen, id.offset, id.epoch);
    ctl_load(c->ctl, image);
    TRACE(c->node->io, quorum_installed, (long long)id.offset, id.epoch);
    take_voters(c, voters);
    moved(c);
    control_turn(c);
    ask(c);
}

static void on_fetched(void *arg, const struct quorum_fetched *f)
{
    struct control *c = arg;
    struct afar *a = &c->afar;
    enum observed what = observer_judge(&a->seen, f);

    if (!a->follow)
        return;
    if (what != OBSERVED_STALE && what != OBSERVED_DIVERGED) {
        observer_heard(&a->seen, f, quorum_view_voter(&c->view, f->node) >= 0);
        tell(c);
    }
    if (what == OBSERVED_SNAPSHOT && !c->quorum)
        afar_image_begin(c, f->node, f->snapshot);
    else if (what == OBSERVED_BATCHES && !c->quorum)
        batches_came(c, f->batches);
    else if (what == OBSERVED_NEWS)
        ask(c);
    else
        afar_again(c);
}

void afar_begin(struct control *c)
{
    const struct follow_ops ops = {.fetched = on_fetched, .piece = afar_image_piece, .arg = c};
    const struct image *image = ctl_tip(c->ctl);
    struct afar *a = &c->afar;

    if (a->follow || !follow_may(c->node))
        return;
    observer_init(&a->seen, image->offset + 1, image->epoch > 0 ? image->epoch : -1);
    a->seen.epoch = a->seen.led = c->led; /* one without a leader, the life's before, may be nobody else's */
    a->told_leader = -1;                  /* uplink.h has the one before until there is news */
    a->told_epoch = c->led;
    a->led_ns = 0;
    a->again.fire = again_fired;
    a->follow = follow_start(c->node, c->loop, &c->settings.metadata_dir_id, c->node->raft_link, &ops);
    ask(c);
}

void afar_ended(struct control *c)
{
    struct afar *a = &c->afar;
    struct loop *decodes = a->image.loop;

    if (!a->silent || a->image.busy || a->batches.p)
        return;
    a->silent = false;
    a->image.loop = NULL;
    if (decodes)
        loop_stop(decodes, c->loop, a->ended);
    else
        loop_post(c->loop, a->ended);
}

static void unfollowed_run(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, afar.unfollowed);

    c->afar.silent = true;
    afar_ended(c);
}

void afar_end(struct control *c, struct msg *ended)
{
    struct afar *a = &c->afar;

    timer_stop(&a->again);
    a->ended = ended;
    a->unfollowed.run = unfollowed_run;
    follow_stop(a->follow, &a->unfollowed);
    a->follow = NULL;
    afar_image_end(c);
}
