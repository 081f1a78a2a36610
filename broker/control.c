#include "broker/control_internal.h"
#include "proto_gen.h"

enum { GRAVE_STEP = 1000 }; /* nodes freed in one turn */

void control_turn(struct control *c)
{
    if (c->turn_posted)
        return;
    c->turn_posted = true;
    loop_post(c->loop, &c->turn);
}

static void turn_run(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, turn);
    bool more;

    c->turn_posted = false;
    more =
        !c->stopped && ctl_turn(c->ctl, io_wall_ms(c->node->io)); /* a quorum that stops takes nothing more */
    more |= grave_step(ctl_grave(c->ctl), GRAVE_STEP);
    if (more)
        control_turn(c);
}

void control_submit(struct control *c, struct ctl_request *r)
{
    ctl_submit(c->ctl, r);
    control_turn(c);
}

static void on_submit(void *arg, struct ctl_request *r)
{
    control_submit(arg, r);
}

static void publish(struct control *c)
{
    if (publisher_publish(c->publisher, ctl_image(c->ctl)))
        c->ops.configured(c->ops.arg, publisher_config(c->publisher));
    if (!list_empty(&c->unshown))
        publisher_hurry(c->publisher);
    c->ops.published(c->ops.arg, ctl_image(c->ctl));
}

void control_saw(struct control *c)
{
    image_say(&c->say, ctl_image(c->ctl));
    overseer_image(c->overseer, ctl_image(c->ctl));
    if (c->quorum && image_feature(ctl_image(c->ctl), FEATURE_KRAFT) > 0)
        quorum_raise(c->quorum);
}

void control_moved(struct control *c)
{
    control_saw(c);
    if (c->publishing)
        publish(c);
}

static void seed(void *arg, uint8_t to[16])
{
    struct control *c = arg;
    io_random(c->node->io, to, 16);
}

/* ---- the first records ---- */

static void bootstrapped(struct ctl_request *r, enum err err)
{
    struct control *c = container_of(r, struct control, first);

    (void)err; /* E_NOT_CONTROLLER: whoever leads next does it */
    c->bootstrapping = false;
}

void control_first(struct control *c)
{
    if (c->bootstrapping || ctl_image(c->ctl)->cluster_id[0])
        return;
    c->bootstrapping = true;
    c->bootstrap.cluster_id = SLICE(c->node->cluster_id);
    c->bootstrap.metadata_version = c->settings.metadata_version;
    arena_reset(&c->first_arena);
    c->first = (struct ctl_request){
        .decide = decide_bootstrap, .in = &c->bootstrap, .arena = &c->first_arena, .done = bootstrapped};
    control_submit(c, &c->first);
}

/* ---- start and stop ---- */

static void on_shown(void *arg)
{
    shown_look(arg);
}

static const struct ctl_ops ctl_ops = {.propose = control_propose, .random = seed};

struct control *control_start(struct node *node, const struct control_settings *settings,
                              const struct control_ops *ops)
{
    struct control *c = heap_alloc(node->heap, sizeof(*c));
    const struct config *cfg = settings->config;
    const struct overseer_ops oversight = {.submit = on_submit, .arg = c};
    const struct presence_ops present = {.gone = control_gone, .arg = c};
    c->node = node;
    c->loop = settings->loop;
    c->settings = *settings;
    c->ops = *ops;
    c->turn.run = turn_run;
    list_init(&c->decided);
    list_init(&c->held);
    list_init(&c->unshown);
    control_calls_begin(c);
    for (int i = 0; i < CTL_FLIGHT_MAX; i++)
        c->flight[i].control = c;
    arena_init(&c->first_arena, node->heap, SIZE_MAX);
    config_rules(cfg, &c->rules);
    c->ctl = ctl_new(node->heap, &c->rules, &ctl_ops, c);
    c->say = (struct image_say){.node = node, .grave = ctl_grave(c->ctl)};
    c->publisher = publisher_new(node, c->loop, ctl_grave(c->ctl), cfg);
    publisher_watch(c->publisher, on_shown, c);
    node->leader_apis = leader_apis_new(node, c->loop);
    c->uplink = uplink_new(node, c->loop);
    c->presence = presence_new(node, c->loop, &present);
    c->overseer = overseer_new(node, c->loop, &oversight);
    control_life_first(c);
    if (config_controls(cfg) && config_bool(cfg, C_controller_quorum_auto_join_enable))
        c->joiner = joiner_new(node, c->loop, c->uplink, &c->settings.metadata_dir_id);
    return c;
}

void control_slot(struct control *c, struct image_slot *slot, struct loop *loop, enum loop_kind kind,
                  void (*adopted)(struct image_slot *, const struct published *, const struct published *))
{
    publisher_slot(c->publisher, slot, loop, kind, adopted);
}

void control_publish(struct control *c)
{
    c->publishing = true;
    publish(c);
    overseer_open(c->overseer, c->node->net[0]);
    uplink_open(c->uplink, c->node->net[0]);
    presence_open(c->presence, c->node->net[0]);
}

void control_publish_end(struct control *c)
{
    c->publishing = false;
    publisher_rest(c->publisher);
}

struct overseer *control_overseer(const struct control *c)
{
    return c->overseer;
}

void control_registered(struct control *c, int64_t epoch)
{
    overseer_self(c->overseer, epoch);
    presence_epoch(c->presence, epoch);
}

struct loop *control_loop(const struct control *c)
{
    return c->loop;
}

const struct image *control_image(const struct control *c)
{
    return ctl_image(c->ctl);
}

const struct config *control_config(const struct control *c)
{
    return publisher_config(c->publisher);
}

/* The log is closed: whatever still waits can't be decided any more. */
static void quorum_gone(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, drained);
    struct msg *stopped = c->stopped;
    struct heap *heap = c->node->heap;
    struct loop *loop = c->loop;

    if (c->turn_posted) { /* c must outlive it */
        loop_post(loop, &c->drained);
        return;
    }
    if (c->leads)
        ctl_lost(c->ctl);
    joiner_drop(c->joiner);
    timer_stop(&c->keeps);
    uplink_drop(c->uplink);
    presence_drop(c->presence);
    leader_apis_drop(c->node->leader_apis);
    overseer_drop(c->overseer);
    image_say_end(&c->say);
    publisher_drop(c->publisher);
    grave_empty(ctl_grave(c->ctl));
    ctl_drop(c->ctl);
    arena_drop(&c->first_arena);
    heap_free(heap, c);
    loop_post(loop, stopped);
}

static void calls_check(struct control *c)
{
    if (c->calls_ended && c->n_ended == 3)
        loop_post(c->loop, c->calls_ended);
}

static void uplink_over(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, uplink_ended);

    c->n_ended++;
    calls_check(c);
}

static void overseer_over(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, overseer_ended);

    c->n_ended++;
    calls_check(c);
}

static void presence_over(struct msg *msg)
{
    struct control *c = container_of(msg, struct control, presence_ended);

    c->n_ended++;
    calls_check(c);
}

void control_end_waits(struct control *c)
{
    c->ending = true;
    leader_apis_end(c->node->leader_apis);
    if (c->joiner)
        joiner_stop(c->joiner);
    uplink_end(c->uplink);
    c->uplink_ended.run = uplink_over;
    uplink_await_end(c->uplink, &c->uplink_ended);
    c->overseer_ended.run = overseer_over;
    overseer_end(c->overseer, &c->overseer_ended);
    c->presence_ended.run = presence_over;
    presence_end(c->presence, &c->presence_ended);
    followers_end(c->node->followers);
    control_held_end(c, E_NOT_CONTROLLER);
    if (c->quorum)
        quorum_end_waits(c->quorum);
}

void control_await_calls(struct control *c, struct msg *ended)
{
    c->calls_ended = ended;
    shown_end(c); /* connections end next */
    calls_check(c);
}

void control_stop(struct control *c, struct msg *stopped)
{
    c->stopped = stopped;
    c->drained.run = quorum_gone;
    control_life_end(c);
}
