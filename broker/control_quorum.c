#include "broker/control_internal.h"

/* The metadata log and those that it comes from: what the controller proposes goes in, what has committed comes out. */

/* ---- the controller's batches through the quorum ---- */

/* Images go to the loops before answers do: whoever hears that a topic was created finds it. */
static void flight_done(struct quorum_entry *e, enum err err)
{
    struct control *c = container_of(e, struct flight, entry)->control;
    bool moved;

    if (err ||
        !c->leads) /* quorum_ops.failed has said so, or says so next; or its life is over, and the next one reads it */
        return;
    c->committing = true;
    moved = ctl_committed(c->ctl, e->last_offset);
    c->committing = false;
    if (moved)
        control_moved(c);
    control_answers_post(c);
    followers_look(c->node->followers);
    control_turn(c);
}

void control_propose(void *arg, struct ctl_batch *b)
{
    struct control *c = arg;
    struct quorum_entry *e = &c->flight[b->slot].entry;

    e->bytes = bytes_slice(&b->bytes);
    e->base_offset = b->base_offset;
    e->last_offset = b->last_offset;
    e->done = flight_done;
    quorum_submit(c->quorum, e);
}

/* ---- what the quorum tells ---- */

static void on_installed(void *arg, struct image *image)
{
    struct control *c = arg;

    ctl_load(c->ctl, image);
    followers_look(c->node->followers);
    control_moved(c);
    control_turn(c);
}

void control_loaded(struct control *c)
{
    c->loaded = true;
    control_saw(c);
    publisher_begin(c->publisher, ctl_image(c->ctl));
    c->ops.loaded(c->ops.arg, ctl_image(c->ctl));
}

/* Again, in a later life of the quorum: an image like any other that comes from a leader. */
static void on_loaded(void *arg, struct image *image)
{
    struct control *c = arg;

    control_well(c);
    if (c->loaded) {
        ASSERT(image->offset >= ctl_tip(c->ctl)->offset);
        on_installed(c, image);
        return;
    }
    ctl_load(c->ctl, image);
    control_loaded(c);
}

static void lead_over(struct control *c)
{
    control_held_end(c, E_NOT_CONTROLLER);
    if (c->leads)
        ctl_lost(c->ctl);
    c->leads = false;
    overseer_lead(c->overseer, false);
    c->ops.leader(c->ops.arg, false);
}

void control_unlead(struct control *c)
{
    if (c->leads)
        uplink_leader(c->uplink, -1);
    lead_over(c);
    c->tight = false;
}

static void on_leader(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset)
{
    struct control *c = arg;

    if (!c->quorum || !control_led(c, leader, epoch)) /* its life is over; or it knows less than was told */
        return;
    if (self)
        TRACE(c->node->io, quorum_leads, epoch, next_offset);
    else if (leader >= 0)
        TRACE(c->node->io, quorum_follows, leader, epoch);
    else
        TRACE(c->node->io, quorum_leaderless, epoch);
    if (!self) {
        uplink_leader(c->uplink,
                      leader == c->node->id ? -1 : leader); /* itself, before its barrier: not yet */
        lead_over(c);
        return;
    }
    ctl_lead(c->ctl, epoch, next_offset);
    c->leads = true;
    uplink_leader(c->uplink, leader);
    control_turn(c);
    control_first(c);
    overseer_lead(c->overseer, true);
    c->ops.leader(c->ops.arg, true);
    shown_look(c);
}

static void on_skipped(void *arg, int64_t next_offset)
{
    const struct control *c = arg;

    if (c->leads)
        ctl_skip(c->ctl, next_offset);
}

static void on_committed(void *arg, struct slice batch)
{
    struct control *c = arg;
    enum err err;

    followers_look(c->node->followers);
    if (c->leads || !c->quorum) /* a control batch: ctl_skip() knows of it; the next life reads it */
        return;
    err = ctl_follow(c->ctl, batch);
    if (err)
        c->ops.failed(c->ops.arg, err, "a committed metadata batch can't be read");
    else
        control_moved(c);
}

static struct image *on_hold(void *arg)
{
    struct control *c = arg;

    if (!c->quorum) /* the next life does it */
        return NULL;
    return ctl_in_transaction(c->ctl) ? NULL : image_ref(ctl_image(c->ctl));
}

static void on_released(void *arg, struct image *image)
{
    struct control *c = arg;

    image_unref(image, ctl_grave(c->ctl));
    control_turn(c);
}

static void on_room(void *arg, bool tight)
{
    struct control *c = arg;

    if (!c->quorum)
        return;
    c->tight = tight;
    if (tight)
        TRACE(c->node->io, control_tight);
    else
        TRACE(c->node->io, control_roomy);
    if (!tight)
        control_held_end(c, E_OK);
}

static void on_failed(void *arg, enum err err, const char *what)
{
    struct control *c = arg;

    if (!c->quorum) /* its life is over, and the next one cuts what wasn't written */
        return;
    followers_look(c->node->followers);
    control_unlead(c);
    if (c->ending ? err != E_FULL
                  : !control_rest(c, err)) /* a stop is no failure for cutting short what waited for room */
        c->ops.failed(c->ops.arg, err, what);
}

/* ---- the other voters ---- */

static bool on_send(void *arg, int32_t node, struct slice bytes)
{
    const struct control *c = arg;

    return c->node->raft_link && raft_link_send(c->node->raft_link, node, bytes);
}

static void on_ask(void *arg, int32_t node, struct quorum_checkpoint id, int64_t at)
{
    const struct control *c = arg;

    if (c->follow)
        follow_ask(c->follow, node, id, at);
    else if (c->node->raft_link)
        raft_link_ask(c->node->raft_link, node, id, at);
}

/* A node that doesn't vote asks those that do. */
static void on_fetch(void *arg, int64_t offset, int32_t epoch)
{
    struct control *c = arg;

    if (!c->quorum || c->ending)
        return;
    control_follow(c);
    follow_fetch(c->follow, offset, epoch);
}

void control_voters(struct control *c)
{
    const struct quorum_view v = control_quorum(c);

    c->n_voters = v.n_voters;
    presence_voters(c->presence, v.voters, v.n_voters);
    control_desert(c);
    c->rules.kraft_version = v.kraft_version;
    atomic_store(&c->node->kraft_version, (int16_t)v.kraft_version);
    if (c->node->raft_link)
        raft_link_voters(c->node->raft_link, v.voters, v.n_voters);
    shown_look(c);
}

static void on_voters(void *arg)
{
    struct control *c = arg;

    if (c->quorum)
        control_voters(c);
}

static void on_role(void *arg, bool member)
{
    control_role(arg);
}

const struct quorum_ops control_quorum_ops = {.loaded = on_loaded,
                                              .leader = on_leader,
                                              .skipped = on_skipped,
                                              .committed = on_committed,
                                              .hold = on_hold,
                                              .released = on_released,
                                              .failed = on_failed,
                                              .room = on_room,
                                              .installed = on_installed,
                                              .send = on_send,
                                              .ask = on_ask,
                                              .fetch = on_fetch,
                                              .voters = on_voters,
                                              .role = on_role};

/* ---- looks at it from other loops ---- */

struct quorum_view control_quorum(const struct control *c)
{
    return c->quorum ? quorum_view(c->quorum) : c->view;
}

static void change_refused(struct msg *msg)
{
    struct quorum_change *change = container_of(msg, struct quorum_change, msg);

    change->done(change, E_NOT_CONTROLLER); /* last touch */
}

void control_change(struct control *c, struct quorum_change *change)
{
    if (c->quorum) {
        quorum_change(c->quorum, change);
        return;
    }
    change->msg.run = change_refused;
    loop_post(c->loop, &change->msg);
}

static void look_back(struct msg *msg)
{
    struct control_look *l = container_of(msg, struct control_look, msg);

    l->done(l); /* last touch */
}

static void look_asked(struct msg *msg)
{
    struct control_look *l = container_of(msg, struct control_look, msg);

    l->view = control_quorum(l->control);
    msg->run = look_back;
    loop_post(l->back, msg);
}

void control_look(struct control *c, struct control_look *l)
{
    l->control = c;
    l->msg.run = look_asked;
    loop_post(c->loop, &l->msg);
}

static void read_refused(struct msg *msg)
{
    struct quorum_read *r = container_of(msg, struct quorum_read, msg);

    r->done(r); /* last touch */
}

static void read_asked(struct msg *msg)
{
    struct quorum_read *r = container_of(msg, struct quorum_read, msg);
    const struct control *c = r->owner;

    if (c->quorum) {
        quorum_read(c->quorum, r);
        return;
    }
    r->err = E_KAFKA_STORAGE_ERROR;
    r->range = (struct log_range){0};
    r->leader = c->view.leader;
    r->epoch = c->view.epoch;
    msg->run = read_refused;
    loop_post(r->back, msg);
}

void control_read(struct control *c, struct quorum_read *r)
{
    r->owner = c;
    r->msg.run = read_asked;
    loop_post(c->loop, &r->msg);
}
