#include "control.h"
#include "base/check.h"
#include "base/trace.h"
#include "broker/link/follow.h"
#include "broker/link/followers.h"
#include "broker/link/forward.h"
#include "broker/link/raft_link.h"
#include "broker/overseer.h"
#include "broker/publish.h"
#include "proto_gen.h"

enum {
    HEARTBEATS = 8,    /* of a leader, in the time after which silence begins an election */
    GRAVE_STEP = 1000, /* nodes freed in one turn */
    CALL_WAIT_MS = 30000
};

struct flight {
    struct quorum_entry entry;
    struct control *control;
};

struct control {
    struct node *node;
    struct loop *loop;
    struct control_settings settings;
    struct control_ops ops;
    struct ctl_rules rules;
    struct controller *ctl;
    struct quorum *quorum;
    struct uplink *uplink;
    struct overseer *overseer;
    struct msg uplink_ended, overseer_ended;
    int n_ended;             /* of these two */
    struct msg *calls_ended; /* who waits for both */
    struct follow *follow;   /* NULL: this node votes */
    int n_voters;
    struct publisher *publisher;
    struct flight flight[CTL_FLIGHT_MAX];
    struct ctl_request first; /* of a new cluster */
    struct bootstrap bootstrap;
    struct arena first_arena;
    bool bootstrapping;
    struct msg turn;
    bool turn_posted;
    bool committing;     /* answers wait in `decided` for the image that they speak of */
    struct list decided; /* struct control_call.ctl.link */
    bool tight;          /* the metadata log lives on its reserve */
    struct list held;    /* struct control_call.ctl.link: until there is room */
    bool leads;          /* the quorum says so */
    bool publishing;     /* control_publish() was called */
    bool ending;         /* control_end_waits() was called */
    struct msg *stopped;
    struct msg drained;
};

static void turn_post(struct control *c)
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
        turn_post(c);
}

static void submit(struct control *c, struct ctl_request *r)
{
    ctl_submit(c->ctl, r);
    turn_post(c);
}

static void on_submit(void *arg, struct ctl_request *r)
{
    submit(arg, r);
}

static void publish(struct control *c)
{
    if (publisher_publish(c->publisher, ctl_image(c->ctl)))
        c->ops.configured(c->ops.arg, publisher_config(c->publisher));
    c->ops.published(c->ops.arg, ctl_image(c->ctl));
}

/* The committed image is another one. */
static void moved_on(struct control *c)
{
    overseer_image(c->overseer, ctl_image(c->ctl));
    if (c->publishing)
        publish(c);
}

/* ---- the controller's batches through the quorum ---- */

static void answers_post(struct control *c);

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
        moved_on(c);
    answers_post(c);
    followers_look(c->node->followers);
    turn_post(c);
}

static void propose(void *arg, struct ctl_batch *b)
{
    struct control *c = arg;
    struct quorum_entry *e = &c->flight[b->slot].entry;

    e->bytes = bytes_slice(&b->bytes);
    e->base_offset = b->base_offset;
    e->last_offset = b->last_offset;
    e->done = flight_done;
    quorum_submit(c->quorum, e);
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

static void bootstrap(struct control *c)
{
    if (c->bootstrapping || ctl_image(c->ctl)->cluster_id[0])
        return;
    c->bootstrapping = true;
    c->bootstrap.cluster_id = SLICE(c->node->cluster_id);
    c->bootstrap.metadata_version = METADATA_VERSION;
    arena_reset(&c->first_arena);
    c->first = (struct ctl_request){
        .decide = decide_bootstrap, .in = &c->bootstrap, .arena = &c->first_arena, .done = bootstrapped};
    submit(c, &c->first);
}

/* ---- a full disk: what frees room goes on ---- */

/* Deletions and settings may free some; what a broker says of itself is little, and it must be heard. */
static bool needs_no_room(ctl_decide_fn decide)
{
    return decide == decide_delete_topics || decide == decide_alter_configs ||
           decide == decide_incremental_alter_configs || decide == decide_broker_registration ||
           decide == decide_broker_heartbeat;
}

static void call_answer(struct control_call *call);
static void call_elsewhere(struct control_call *call);

/* err: nobody decides them any more; E_OK: now they are decided, in the order in which they came. */
static void held_end(struct control *c, enum err err)
{
    list_each_safe (it, &c->held) {
        struct control_call *call = container_of(it, struct control_call, ctl.link);

        list_remove(it);
        call->held = false;
        if (!err) {
            submit(c, &call->ctl);
            continue;
        }
        call->err = err;
        call_elsewhere(call);
    }
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
        held_end(c, E_NOT_CONTROLLER);
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
    turn_post(c);
    bootstrap(c);
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
        moved_on(c);
}

static void on_installed(void *arg, struct image *image)
{
    struct control *c = arg;

    ctl_load(c->ctl, image);
    followers_look(c->node->followers);
    moved_on(c);
    turn_post(c);
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
    turn_post(c);
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
        held_end(c, E_OK);
}

static void on_failed(void *arg, enum err err, const char *what)
{
    struct control *c = arg;

    followers_look(c->node->followers);
    held_end(c, E_NOT_CONTROLLER);
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

/* ---- requests from the NET loops ---- */

static void call_back(struct msg *msg)
{
    struct control_call *c = container_of(msg, struct control_call, msg);

    if (c->request && c->err == E_NOT_CONTROLLER)
        c->request->not_controller = true;
    c->done(c); /* last touch */
}

static void call_answer(struct control_call *call)
{
    if (call->request && call->err == E_NOT_CONTROLLER)
        call->request->abandoned = call->node->control->ending;
    call->msg.run = call_back;
    loop_post(call->back, &call->msg); /* last touch */
}

static void answers_post(struct control *c)
{
    list_each_safe (it, &c->decided) {
        list_remove(it);
        call_answer(container_of(it, struct control_call, ctl.link));
    }
}

static void call_submit(struct control_call *call);

/* The time that the controller there takes is counted there. */
static void call_returned(struct uplink_call *up)
{
    struct control_call *call = container_of(up, struct control_call, up);

    call->err = up->err;
    if (up->here)
        call_submit(call);
    else
        call_answer(call);
}

/* This node doesn't lead, or not any more (call->err): another may. */
static void call_elsewhere(struct control_call *call)
{
    struct control *c = call->node->control;

    timer_stop(&call->timer);
    if (c->ending || !forward_may(call)) {
        call_answer(call);
        return;
    }
    forward_call(call);
    call->up.done = call_returned;
    call->up.timeout_ms = (call->deadline - loop_now(c->loop)) / 1000000;
    uplink_send(c->uplink, &call->up);
}

static void call_confirmed(struct quorum_confirm *confirm, enum err err)
{
    struct control_call *call = container_of(confirm, struct control_call, confirm);

    call->err = err;
    if (err)
        call_elsewhere(call);
    else
        call_answer(call);
}

/* An answer for which nothing had to commit may be an old leader's: a majority says that it isn't. */
static void call_decided(struct ctl_request *r, enum err err)
{
    struct control_call *call = container_of(r, struct control_call, ctl);
    struct control *c = call->node->control;

    timer_stop(&call->timer);
    call->err = err;
    if (!err)
        overseer_after(c->overseer, call);
    if (err == E_NOT_CONTROLLER) {
        call_elsewhere(call);
    } else if (c->committing) {
        list_add(&c->decided, &r->link);
    } else if (!err && c->n_voters > 1) {
        call->confirm.done = call_confirmed;
        quorum_confirm(c->quorum, &call->confirm);
    } else {
        call_answer(call);
    }
}

/* A request whose records are partly on their way is answered when all of them are. */
static void call_late(struct timer *timer)
{
    struct control_call *call = container_of(timer, struct control_call, timer);

    if (call->held)
        list_remove(&call->ctl.link);
    else if (!ctl_cancel(call->node->control->ctl, &call->ctl))
        return;
    call->held = false;
    call->err = E_REQUEST_TIMED_OUT;
    call_answer(call);
}

static void call_submit(struct control_call *call)
{
    struct control *c = call->node->control;

    timer_set(c->loop, &call->timer, call->deadline);
    call->ctl = (struct ctl_request){.decide = call->decide,
                                     .in = call->in,
                                     .out = call->out,
                                     .version = call->version,
                                     .id = call->id,
                                     .arena = call->arena,
                                     .done = call_decided};
    if (c->leads)
        overseer_before(c->overseer, call);
    call->held = c->tight && c->leads && !c->ending && !needs_no_room(call->decide);
    if (call->held)
        list_add(&c->held, &call->ctl.link);
    else
        submit(c, &call->ctl);
}

static void call_arrived(struct msg *msg)
{
    struct control_call *call = container_of(msg, struct control_call, msg);
    int64_t ms = call->timeout_ms > 0 ? call->timeout_ms : CALL_WAIT_MS;

    if (call->request && uuid_is_zero(call->id))
        io_random(call->node->io, call->id.b, sizeof(call->id.b));
    call->timer = (struct timer){.fire = call_late};
    call->deadline = loop_now(call->node->control->loop) + ms * 1000000;
    call_submit(call);
}

void control_call(struct control_call *c)
{
    if (c->request) {
        c->peer = *c->request->peer;
        c->principal = *c->request->principal;
        c->id = c->request->id;
    }
    c->msg.run = call_arrived;
    loop_post(c->node->control->loop, &c->msg);
}

struct decided {
    struct control_call call;
    void (*failed)(struct request *r, enum err err);
};

static void request_decided(struct control_call *c)
{
    struct request *r = c->arg;

    if (c->err)
        container_of(c, struct decided, call)->failed(r, c->err);
    request_reply(r);
}

void control_request(struct request *r, ctl_decide_fn decide, void (*failed)(struct request *r, enum err err))
{
    struct decided *d = arena_alloc(&r->arena, sizeof(*d));

    d->failed = failed;
    d->call.node = r->net->node;
    d->call.back = r->net->loop;
    d->call.request = r;
    d->call.decide = decide;
    d->call.in = r->in;
    d->call.out = r->out;
    d->call.version = r->version;
    d->call.arena = &r->arena;
    d->call.done = request_decided;
    d->call.arg = r;
    control_call(&d->call);
}

/* ---- start and stop ---- */

static const struct ctl_ops ctl_ops = {.propose = propose, .random = seed};

static void quorum_voters(struct control *c, const struct config_voter *voters, struct quorum_settings *out)
{
    for (int i = 0; i < c->n_voters; i++)
        out->voters[out->n_voters++] = voters[i].id;
}

struct control *control_start(struct node *node, const struct control_settings *settings,
                              const struct control_ops *ops)
{
    struct control *c = heap_alloc(node->heap, sizeof(*c));
    const struct config *cfg = settings->config;
    const struct overseer_ops oversight = {.submit = on_submit, .arg = c};
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
        .directory_id = settings->metadata_dir_id,
        .observes = !config_controls(cfg),
        .snapshot_bytes = config_int(cfg, C_metadata_log_max_record_bytes_between_snapshots),
        .snapshot_ms = config_int(cfg, C_metadata_log_max_snapshot_interval_ms),
        .segment_bytes = config_int(cfg, C_metadata_log_segment_bytes),
        .segment_ms = config_int(cfg, C_metadata_log_segment_ms),
        .retention_bytes = config_int(cfg, C_metadata_max_retention_bytes),
        .retention_ms = config_int(cfg, C_metadata_max_retention_ms),
    };

    c->node = node;
    c->loop = settings->loop;
    c->settings = *settings;
    c->ops = *ops;
    c->turn.run = turn_run;
    list_init(&c->decided);
    list_init(&c->held);
    for (int i = 0; i < CTL_FLIGHT_MAX; i++)
        c->flight[i].control = c;
    arena_init(&c->first_arena, node->heap, SIZE_MAX);
    config_rules(cfg, &c->rules);
    c->ctl = ctl_new(node->heap, &c->rules, &ctl_ops, c);
    c->publisher = publisher_new(node, c->loop, ctl_grave(c->ctl), cfg);
    c->uplink = uplink_new(node, c->loop);
    c->overseer = overseer_new(node, c->loop, &oversight);
    voters = config_voters(cfg, &c->n_voters);
    quorum_voters(c, voters, &quorum);
    if (quorum.observes)
        follow_begin(c);
    else if (c->n_voters > 1)
        link_begin(c, voters);
    c->quorum = quorum_start(node->io, c->loop, ctl_grave(c->ctl), &quorum, &quorum_ops);
    followers_open(node->followers, c->quorum);
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
}

void control_publish_end(struct control *c)
{
    c->publishing = false;
}

struct overseer *control_overseer(const struct control *c)
{
    return c->overseer;
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
    uplink_drop(c->uplink);
    overseer_drop(c->overseer);
    publisher_drop(c->publisher);
    while (grave_step(ctl_grave(c->ctl), GRAVE_STEP))
        ;
    ctl_drop(c->ctl);
    arena_drop(&c->first_arena);
    heap_free(heap, c);
    loop_post(loop, stopped);
}

static void calls_check(struct control *c)
{
    if (c->calls_ended && c->n_ended == 2)
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

void control_end_waits(struct control *c)
{
    c->ending = true;
    uplink_end(c->uplink);
    c->uplink_ended.run = uplink_over;
    uplink_await_end(c->uplink, &c->uplink_ended);
    c->overseer_ended.run = overseer_over;
    overseer_end(c->overseer, &c->overseer_ended);
    followers_end(c->node->followers);
    held_end(c, E_NOT_CONTROLLER);
    quorum_end_waits(c->quorum);
}

void control_await_calls(struct control *c, struct msg *ended)
{
    c->calls_ended = ended;
    calls_check(c);
}

void control_stop(struct control *c, struct msg *stopped)
{
    c->stopped = stopped;
    c->drained.run = quorum_gone;
    quorum_stop(c->quorum, &c->drained);
}
