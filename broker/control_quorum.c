#include "broker/control_internal.h"

/* The metadata log and those that it comes from: what the controller proposes goes in, what has committed comes out. */

enum { HEARTBEATS = 8 }; /* of a leader, in the time after which silence begins an election */

/* ---- the controller's batches through the quorum ---- */

/* Images go to the loops before answers do: whoever hears that a topic was created finds it. */
static void flight_done(struct quorum_entry *e, enum err err)
{
    struct control *c = container_of(e, struct flight, entry)->control;
    bool moved;

    if (err) /* quorum_ops.failed has said so, or says so next */
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

static void on_loaded(void *arg, struct image *image)
{
    struct control *c = arg;

    ctl_load(c->ctl, image);
    overseer_image(c->overseer, image);
    publisher_begin(c->publisher, ctl_image(c->ctl));
    c->ops.loaded(c->ops.arg, ctl_image(c->ctl));
}

static void on_leader(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset)
{
    struct control *c = arg;

    if (self)
        TRACE(c->node->io, quorum_leads, epoch, next_offset);
    else if (leader >= 0)
        TRACE(c->node->io, quorum_follows, leader, epoch);
    else
        TRACE(c->node->io, quorum_leaderless, epoch);
    if (!self) {
        uplink_leader(c->uplink,
                      leader == c->node->id ? -1 : leader); /* itself, before its barrier: not yet */
        control_held_end(c, E_NOT_CONTROLLER);
        if (c->leads)
            ctl_lost(c->ctl);
        c->leads = false;
        overseer_lead(c->overseer, false);
        c->ops.leader(c->ops.arg, false);
        return;
    }
    ctl_lead(c->ctl, epoch, next_offset);
    c->leads = true;
    uplink_leader(c->uplink, leader);
    control_turn(c);
    control_first(c);
    overseer_lead(c->overseer, true);
    c->ops.leader(c->ops.arg, true);
}

static void on_skipped(void *arg, int64_t next_offset)
{
    ctl_skip(((struct control *)arg)->ctl, next_offset);
}

static void on_committed(void *arg, struct slice batch)
{
    struct control *c = arg;
    enum err err;

    followers_look(c->node->followers);
    if (c->leads) /* a control batch: ctl_skip() knows of it */
        return;
    err = ctl_follow(c->ctl, batch);
    if (err)
        c->ops.failed(c->ops.arg, err, "a committed metadata batch can't be read");
    else
        control_moved(c);
}

static void on_installed(void *arg, struct image *image)
{
    struct control *c = arg;

    ctl_load(c->ctl, image);
    followers_look(c->node->followers);
    control_moved(c);
    control_turn(c);
}

static struct image *on_hold(void *arg)
{
    struct control *c = arg;
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

    followers_look(c->node->followers);
    control_held_end(c, E_NOT_CONTROLLER);
    if (c->leads)
        ctl_lost(c->ctl);
    c->leads = false;
    if (err != E_FULL || !c->ending) /* a stop is no failure for having cut short what waited for room */
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

static void on_fetch(void *arg, int64_t offset, int32_t epoch)
{
    const struct control *c = arg;

    if (c->follow)
        follow_fetch(c->follow, offset, epoch);
}

static void on_fetched(void *arg, const struct quorum_fetched *f)
{
    quorum_fetched(((struct control *)arg)->quorum, f);
}

static bool on_came(void *arg, int32_t node, struct slice bytes)
{
    return quorum_deliver(((struct control *)arg)->quorum, node, bytes);
}

static void on_dead(void *arg, int32_t node)
{
    quorum_dead(((struct control *)arg)->quorum, node);
}

static void on_alive(void *arg, int32_t node)
{
    quorum_alive(((struct control *)arg)->quorum, node);
}

static void on_piece(void *arg, struct quorum_checkpoint id, int64_t at, int64_t size, struct slice bytes,
                     enum err err)
{
    quorum_piece(((struct control *)arg)->quorum, id, at, size, bytes, err);
}

static void link_begin(struct control *c, const struct config_voter *voters)
{
    const struct raft_link_settings settings = {
        .directory_id = c->settings.metadata_dir_id, .voters = voters, .n_voters = c->n_voters};
    const struct raft_link_ops ops = {
        .came = on_came, .dead = on_dead, .alive = on_alive, .piece = on_piece, .arg = c};

    c->node->raft_link = raft_link_start(c->node, c->loop, &settings, &ops);
}

/* A node that doesn't vote asks those that do. */
static void follow_begin(struct control *c)
{
    const struct follow_ops ops = {.fetched = on_fetched, .piece = on_piece, .arg = c};

    c->follow = follow_start(c->node, c->loop, &c->settings.metadata_dir_id, &ops);
}

void control_unlink(struct control *c, struct msg *unlinked)
{
    struct raft_link *l = c->node->raft_link;
    struct follow *f = c->follow;

    c->node->raft_link = NULL;
    c->follow = NULL;
    if (f)
        follow_stop(f, unlinked);
    else if (l)
        raft_link_stop(l, unlinked);
    else
        loop_post(c->loop, unlinked);
}

/* ---- looks at it from other loops ---- */

struct quorum_view control_quorum(const struct control *c)
{
    return quorum_view(c->quorum);
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

static void read_asked(struct msg *msg)
{
    struct quorum_read *r = container_of(msg, struct quorum_read, msg);

    quorum_read(((struct control *)r->owner)->quorum, r);
}

void control_read(struct control *c, struct quorum_read *r)
{
    r->owner = c;
    r->msg.run = read_asked;
    loop_post(c->loop, &r->msg);
}

/* ---- start ---- */

static void quorum_voters(struct control *c, const struct config_voter *voters, struct quorum_settings *out)
{
    for (int i = 0; i < c->n_voters; i++)
        out->voters[out->n_voters++] = voters[i].id;
}

void control_quorum_begin(struct control *c)
{
    const struct config *cfg = c->settings.config;
    struct node *node = c->node;
    const struct config_voter *voters;
    const struct quorum_ops quorum_ops = {.loaded = on_loaded,
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
                                          .arg = c};
    struct quorum_settings quorum = {
        .election_ms = (int32_t)config_int(cfg, C_quorum_election_ms),
        .heartbeat_ms = (int32_t)config_int(cfg, C_quorum_election_ms) / HEARTBEATS,
        .dir = config_metadata_dir(cfg),
        .node_id = node->id,
        .directory_id = c->settings.metadata_dir_id,
        .observes = !config_controls(cfg),
        .snapshot_bytes = config_int(cfg, C_metadata_log_max_record_bytes_between_snapshots),
        .snapshot_ms = config_int(cfg, C_metadata_log_max_snapshot_interval_ms),
        .segment_bytes = config_int(cfg, C_metadata_log_segment_bytes),
        .segment_ms = config_int(cfg, C_metadata_log_segment_ms),
        .retention_bytes = config_int(cfg, C_metadata_max_retention_bytes),
        .retention_ms = config_int(cfg, C_metadata_max_retention_ms),
    };

    voters = config_voters(cfg, &c->n_voters);
    quorum_voters(c, voters, &quorum);
    if (quorum.observes)
        follow_begin(c);
    else if (c->n_voters > 1)
        link_begin(c, voters);
    c->quorum = quorum_start(node->io, c->loop, ctl_grave(c->ctl), &quorum, &quorum_ops);
    followers_open(node->followers, c->quorum);
}
