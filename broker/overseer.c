#include "overseer.h"
#include "base/check.h"
#include "base/trace.h"
#include "broker/life_watch.h"
#include "broker/link/knock.h"
#include "broker/link/presence.h"
#include "proto_gen.h"

enum {
    NS_A_MS = 1000000,
    ELECTIONS_MAX = 1000,
    STRANDED_MS = 1000 /* after it begins to lead: who died with the controller before it is fenced by then */
};

/* Elections that come round by time: one kind of them at a time. */
struct rounds_of {
    ctl_decide_fn decide;
    const char *who; /* was elected */
    struct balance in;
    struct balance_done out;
    struct ctl_request ctl;
    struct arena arena;
    struct timer timer;
    struct overseer *overseer;
    int64_t every_ms; /* 0: not by itself */
    bool asking;
};

struct overseer {
    struct node *node;
    struct loop *loop;
    struct overseer_ops ops;
    struct life_watch *watch;
    struct knocker *knocker;
    struct timer look;
    struct rounds_of preferred, unclean, stranded;
    bool open, leads, ended;
};

static void look(struct overseer *o);

static int64_t now_ms(const struct overseer *o)
{
    return loop_now(o->loop) / NS_A_MS;
}

/* ---- fencing ---- */

struct fencing {
    struct overseer *overseer;
    struct ctl_request ctl;
    struct arena arena;
    struct broker_fence in;
    const char *why;
    bool fenced;
};

static void fence_done(struct ctl_request *r, enum err err)
{
    struct fencing *f = container_of(r, struct fencing, ctl);
    struct overseer *o = f->overseer;

    if (!err && f->fenced)
        TRACE(o->node->io, broker_fenced, f->in.id, f->in.epoch, f->why);
    life_watch_fenced(o->watch, f->in.id);
    arena_drop(&f->arena);
    heap_free(o->node->heap, f);
}

static void on_fence(void *arg, int32_t id, int64_t epoch, const char *why)
{
    struct overseer *o = arg;
    struct fencing *f = heap_alloc(o->node->heap, sizeof(*f));

    *f = (struct fencing){.overseer = o, .in = {.id = id, .epoch = epoch}, .why = why};
    arena_init(&f->arena, o->node->heap, SIZE_MAX);
    f->ctl = (struct ctl_request){.decide = decide_fence_broker,
                                  .in = &f->in,
                                  .out = &f->fenced,
                                  .arena = &f->arena,
                                  .done = fence_done};
    o->ops.submit(o->ops.arg, &f->ctl);
}

/* ---- dialling ---- */

struct dialling {
    struct overseer *overseer;
    struct knock knock;
    int32_t id;
    int64_t epoch;
    char host[];
};

static void dialled(struct knock *k)
{
    struct dialling *d = container_of(k, struct dialling, knock);
    struct overseer *o = d->overseer;

    life_watch_dialled(o->watch, d->id, d->epoch, k->refused, now_ms(o));
    heap_free(o->node->heap, d);
    if (!o->ended)
        look(o);
}

/* Where brokers speak to each other. */
static const struct endpoint *endpoint_of(const struct overseer *o, const struct image_broker *b)
{
    const char *name = config_str(o->node->config, C_inter_broker_listener_name);

    for (int i = 0; name && i < b->reg.n_endpoints; i++)
        if (slice_eq(b->reg.endpoints[i].name, SLICE(name)))
            return &b->reg.endpoints[i];
    return b->reg.n_endpoints > 0 ? &b->reg.endpoints[0] : NULL;
}

static void on_dial(void *arg, const struct image_broker *b)
{
    struct overseer *o = arg;
    const struct endpoint *e = endpoint_of(o, b);
    struct dialling *d;

    if (!e || !o->open || o->ended) {
        life_watch_dialled(o->watch, b->reg.id, b->reg.epoch, false, now_ms(o));
        return;
    }
    d = heap_alloc(o->node->heap, sizeof(*d) + e->host.len + 1);
    d->overseer = o;
    d->id = b->reg.id;
    d->epoch = b->reg.epoch;
    memcpy(d->host, e->host.p, e->host.len);
    d->knock = (struct knock){.host = d->host, .port = e->port, .timeout_ms = LIFE_DIAL_MS, .done = dialled};
    knocker_knock(o->knocker, &d->knock);
}

/* ---- looking ---- */

static void look(struct overseer *o)
{
    int64_t again = o->leads && !o->ended ? life_watch_look(o->watch, now_ms(o)) : INT64_MAX;

    if (again == INT64_MAX)
        timer_stop(&o->look);
    else
        timer_set(o->loop, &o->look, again * NS_A_MS);
}

static void look_fire(struct timer *timer)
{
    look(container_of(timer, struct overseer, look));
}

void overseer_image(struct overseer *o, const struct image *image)
{
    life_watch_image(o->watch, image);
    if (o->leads)
        look(o);
}

void overseer_self(struct overseer *o, int64_t epoch)
{
    life_watch_self(o->watch, epoch);
}

void overseer_before(struct overseer *o, const struct control_call *call)
{
    if (call->decide == decide_broker_registration)
        life_watch_registering(o->watch, (struct broker_registration *)call->in, now_ms(o));
    else if (call->decide == decide_broker_heartbeat)
        life_watch_beating(o->watch, (struct broker_heartbeat *)call->in, now_ms(o));
}

void overseer_after(struct overseer *o, const struct control_call *call)
{
    if (call->decide == decide_broker_heartbeat)
        life_watch_beaten(o->watch, call->in, call->out, call->ctl.after);
}

/* ---- connections ---- */

struct liveness {
    struct conn_tie tie;
    struct list link; /* net_loop.lives */
    struct node *node;
    int32_t id;
    int64_t epoch;
    bool alone;
};

/* From a connection's loop to the control loop. */
struct liveness_news {
    struct msg msg;
    struct node *node;
    int32_t id;
    int64_t epoch;
    bool opened;
};

static void news_run(struct msg *msg)
{
    struct liveness_news *n = container_of(msg, struct liveness_news, msg);
    struct overseer *o = control_overseer(n->node->control);

    if (n->opened) {
        life_watch_opened(o->watch, n->id, n->epoch);
    } else {
        life_watch_closed(o->watch, n->id, n->epoch, now_ms(o));
        look(o);
    }
    heap_free(n->node->heap, n);
}

static void news_tell(const struct liveness *l, bool opened)
{
    struct liveness_news *n = heap_alloc(l->node->heap, sizeof(*n));

    *n = (struct liveness_news){
        .msg.run = news_run, .node = l->node, .id = l->id, .epoch = l->epoch, .opened = opened};
    loop_post(control_loop(l->node->control), &n->msg);
}

static void liveness_cut(struct conn_tie *tie)
{
    struct liveness *l = container_of(tie, struct liveness, tie);

    list_remove(&l->link);
    news_tell(l, false);
    heap_free(l->node->heap, l);
}

void liveness_note(struct request *r, int32_t broker, int64_t epoch, bool alone)
{
    struct conn_tie *tie = request_tied(r, liveness_cut);
    struct liveness *l = tie ? container_of(tie, struct liveness, tie) : NULL;

    if (!r->conn || (!l && request_has_tie(r)) || (l && l->id == broker && l->epoch == epoch))
        return;
    if (l) {
        news_tell(l, false);
    } else {
        l = heap_alloc(r->net->node->heap, sizeof(*l));
        l->tie.cut = liveness_cut;
        l->node = r->net->node;
        l->alone = alone;
        list_add(&r->net->lives, &l->link);
        request_tie(r, &l->tie);
    }
    l->id = broker;
    l->epoch = epoch;
    news_tell(l, true);
}

/* ---- a broker is asked whether it lives ---- */

_Static_assert((int)LIFE_ANSWER_MS >= 2 * (int)PRESENCE_REST_MS, "who lives has dialled again by then");

/* From the control loop to a NET loop. */
struct asking {
    struct msg msg;
    struct net_loop *net;
    int32_t id;
    int64_t epoch;
};

static void asking_run(struct msg *msg)
{
    struct asking *a = container_of(msg, struct asking, msg);

    list_each (it, &a->net->lives) {
        struct liveness *l = container_of(it, struct liveness, link);

        if (l->alone && l->id == a->id && l->epoch == a->epoch)
            request_tie_end(&l->tie);
    }
    heap_free(a->net->node->heap, a);
}

static void on_ask(void *arg, int32_t id, int64_t epoch)
{
    const struct overseer *o = arg;

    for (int i = 0; i < o->node->n_net && !o->ended; i++) {
        struct asking *a = heap_alloc(o->node->heap, sizeof(*a));

        *a = (struct asking){.msg.run = asking_run, .net = o->node->net[i], .id = id, .epoch = epoch};
        loop_post(a->net->loop, &a->msg);
    }
}

/* ---- elections by time ---- */

static void round_set(struct rounds_of *r)
{
    struct overseer *o = r->overseer;

    if (o->leads && !o->ended && r->every_ms > 0)
        timer_set(o->loop, &r->timer, loop_now(o->loop) + r->every_ms * NS_A_MS);
}

static void round_done(struct ctl_request *ctl, enum err err)
{
    struct rounds_of *r = container_of(ctl, struct rounds_of, ctl);
    struct overseer *o = r->overseer;

    r->asking = false;
    if (!err && r->out.elected > 0)
        TRACE(o->node->io, leaders_elected, r->out.elected, r->who);
    if (!err && r->out.more && o->leads && !o->ended)
        timer_set(o->loop, &r->timer, loop_now(o->loop));
    else
        round_set(r);
}

static void round_run(struct rounds_of *r)
{
    struct overseer *o = r->overseer;

    if (!o->leads || o->ended || r->asking)
        return;
    r->asking = true;
    r->out = (struct balance_done){0};
    arena_reset(&r->arena);
    r->ctl = (struct ctl_request){
        .decide = r->decide, .in = &r->in, .out = &r->out, .arena = &r->arena, .done = round_done};
    o->ops.submit(o->ops.arg, &r->ctl);
}

static void round_fire(struct timer *timer)
{
    round_run(container_of(timer, struct rounds_of, timer));
}

static void round_init(struct overseer *o, struct rounds_of *r, ctl_decide_fn decide, const char *who,
                       int64_t every_ms)
{
    r->overseer = o;
    r->decide = decide;
    r->who = who;
    r->every_ms = every_ms;
    r->in = (struct balance){.max = ELECTIONS_MAX}; /* however few miss a leader: as Kafka's controller */
    r->timer.fire = round_fire;
    arena_init(&r->arena, o->node->heap, SIZE_MAX);
}

/* ---- beginning and end ---- */

void overseer_lead(struct overseer *o, bool leads)
{
    o->leads = leads;
    life_watch_lead(o->watch, leads, now_ms(o));
    look(o);
    timer_stop(&o->preferred.timer);
    timer_stop(&o->unclean.timer);
    timer_stop(&o->stranded.timer);
    round_set(&o->preferred);
    round_set(&o->unclean);
    if (leads && !o->ended)
        timer_set(o->loop, &o->stranded.timer, loop_now(o->loop) + (int64_t)STRANDED_MS * NS_A_MS);
}

void overseer_open(struct overseer *o, struct net_loop *net)
{
    knocker_open(o->knocker, net);
    o->open = true;
}

void overseer_end(struct overseer *o, struct msg *ended)
{
    o->ended = true;
    timer_stop(&o->look);
    timer_stop(&o->preferred.timer);
    timer_stop(&o->unclean.timer);
    timer_stop(&o->stranded.timer);
    knocker_end(o->knocker, ended);
}

struct overseer *overseer_new(struct node *node, struct loop *control, const struct overseer_ops *ops)
{
    struct overseer *o = heap_alloc(node->heap, sizeof(*o));
    const struct config *c = node->config;
    const struct life_watch_ops watch = {.dial = on_dial, .fence = on_fence, .ask = on_ask, .arg = o};
    const struct life_rules rules = {.grace_ms = config_int(c, C_broker_fence_grace_ms),
                                     .session_ms = config_int(c, C_broker_session_timeout_ms)};
    int64_t every_ms = config_int(c, C_leader_imbalance_check_interval_seconds) * 1000;

    o->node = node;
    o->loop = control;
    o->ops = *ops;
    o->look.fire = look_fire;
    o->watch = life_watch_new(node->heap, node->id, &rules, &watch);
    o->knocker = knocker_new(node, control);
    round_init(o, &o->preferred, decide_balance_leaders, "among those who are preferred",
               config_bool(c, C_auto_leader_rebalance_enable) ? every_ms : 0);
    round_init(o, &o->unclean, decide_unclean_leaders, "uncleanly, where nobody led", every_ms);
    round_init(o, &o->stranded, decide_stranded_leaders, "where an earlier controller had left none", 0);
    return o;
}

void overseer_drop(struct overseer *o)
{
    ASSERT(!o->preferred.asking && !o->unclean.asking && !o->stranded.asking);
    life_watch_drop(o->watch);
    knocker_drop(o->knocker);
    arena_drop(&o->preferred.arena);
    arena_drop(&o->unclean.arena);
    arena_drop(&o->stranded.arena);
    heap_free(o->node->heap, o);
}
