#include "metadata/change.h"
#include "proto_gen.h"

/* BrokerHeartbeat, and fencing without one. A broker is
 *
 *     fenced ──caught up──► unfenced ──wants to go, leads──► leaving ──leads nothing, all have seen it──► gone: fenced
 *        ▲                     │ wants to be fenced, or to go and leads nothing
 *        └─────────────────────┘
 *
 * Whoever is fenced has left every ISR before, in the records that lead up to it: each prefix of them is a cluster in
 * which no leader is fenced. */

static struct record_broker_change change_of(const struct image_broker *b)
{
    return (struct record_broker_change){
        .id = b->reg.id, .epoch = b->reg.epoch, .dirs = UUIDS_SAME, .cordoned = UUIDS_SAME};
}

/* Each of these is false while it isn't over. */
static bool fence(struct changer *c, const struct image_broker *b, struct walk *w)
{
    struct record_broker_change r = change_of(b);

    c->removed = b->reg.id;
    if (!changer_walk(c, w, WALK_ISR))
        return false;
    r.fenced = 1;
    if (!b->reg.fenced)
        ctl_emit(c->out, RECORD_BROKER_CHANGE, false)->broker_change = r;
    return true;
}

static bool unfence(struct changer *c, const struct image_broker *b, struct walk *w)
{
    struct record_broker_change r = change_of(b);

    r.fenced = -1;
    if (!w->begun)
        ctl_emit(c->out, RECORD_BROKER_CHANGE, false)->broker_change = r;
    c->added = b->reg.id;
    return changer_walk(c, w, WALK_NO_LEADER);
}

static bool leave(struct changer *c, const struct image_broker *b, struct walk *w)
{
    struct record_broker_change r = change_of(b);

    r.in_controlled_shutdown = 1;
    if (!w->begun && !b->reg.in_controlled_shutdown)
        ctl_emit(c->out, RECORD_BROKER_CHANGE, false)->broker_change = r;
    c->removed = b->reg.id;
    return changer_walk(c, w, WALK_ISR);
}

/* ---- BrokerHeartbeat ---- */

enum state { FENCED, UNFENCED, LEAVING, GONE };

/* What a heartbeat brings, one behind the other, each as long as it takes. */
struct beat {
    enum { LOOK, MOVE, DIRS, REST } stage;
    struct walk looks, moves, dirs;
    bool leads; /* so far as it has looked */
    enum state next;
    enum { STAY, FENCE, UNFENCE, LEAVE } move;
};

/* Does it matter whether the broker leads? Only then every partition is looked at. */
static bool asks_leads(const struct image_broker *b, const struct broker_heartbeat *in)
{
    return !b->reg.fenced && (in->leaving || (in->request->want_shut_down && !in->request->want_fence));
}

static bool look(struct beat *s, const struct image *tip, int32_t id, struct ctl_out *o)
{
    const struct image_partition *p;

    walk_step(&s->looks, tip, o);
    while (!s->leads && (p = walk_next(&s->looks)))
        s->leads = p->leader == id;
    return s->leads || s->looks.over;
}

static enum state next_state(const struct image_broker *b, const struct broker_heartbeat *in, bool leads)
{
    const struct BrokerHeartbeatRequest *req = in->request;

    if (b->reg.fenced) {
        if (req->want_shut_down)
            return GONE;
        return !req->want_fence && req->current_metadata_offset >= b->reg.epoch ? UNFENCED : FENCED;
    }
    if (in->leaving)
        return leads || in->leaves_at > in->lowest_offset ? LEAVING : GONE;
    if (req->want_fence)
        return req->want_shut_down ? GONE : FENCED;
    if (req->want_shut_down)
        return leads ? LEAVING : GONE;
    return UNFENCED;
}

static void moves(struct beat *s, const struct image_broker *b, bool leaving)
{
    if (s->next == UNFENCED && b->reg.fenced)
        s->move = UNFENCE;
    else if (s->next == LEAVING && !leaving)
        s->move = LEAVE;
    else if ((s->next == FENCED || s->next == GONE) && !b->reg.fenced)
        s->move = FENCE;
}

static bool move(struct beat *s, struct changer *c, const struct image_broker *b)
{
    switch (s->move) {
    case FENCE:
        return fence(c, b, &s->moves);
    case UNFENCE:
        return unfence(c, b, &s->moves);
    case LEAVE:
        return leave(c, b, &s->moves);
    case STAY:
        break;
    }
    return true;
}

static bool has_dir(struct uuids dirs, struct uuid dir)
{
    for (int i = 0; i < dirs.n; i++)
        if (uuid_eq(dirs.v[i], dir))
            return true;
    return false;
}

/* Partitions in directories that have failed are led by others. A broker without any directory is about to end: its
 * registration keeps the last. */
static bool dirs_failed(struct changer *c, const struct image_broker *b, struct walk *w, struct uuids offline)
{
    struct uuid *left = arena_alloc(c->out->work, ((size_t)b->reg.dirs.n + 1) * sizeof(*left));
    struct uuid *lost = arena_alloc(c->out->work, ((size_t)b->reg.dirs.n + 1) * sizeof(*lost));
    struct record_broker_change r = change_of(b);
    int n_left = 0, n_lost = 0;

    for (int i = 0; i < b->reg.dirs.n; i++) {
        if (has_dir(offline, b->reg.dirs.v[i]))
            lost[n_lost++] = b->reg.dirs.v[i];
        else
            left[n_left++] = b->reg.dirs.v[i];
    }
    if (n_lost == 0)
        return true;
    c->removed = b->reg.id;
    c->added = NOBODY;
    if (!changer_walk_dirs(c, w, (struct uuids){lost, n_lost}))
        return false;
    r.dirs = (struct uuids){left, n_left};
    if (n_left)
        ctl_emit(c->out, RECORD_BROKER_CHANGE, false)->broker_change = r;
    return true;
}

static void dirs_cordoned(struct ctl_out *o, const struct image_broker *b, struct uuids cordoned)
{
    struct record_broker_change r = change_of(b);
    bool same = cordoned.n == b->reg.cordoned.n;

    for (int i = 0; i < cordoned.n && same; i++)
        same = has_dir(b->reg.cordoned, cordoned.v[i]);
    r.cordoned = cordoned;
    if (!same)
        ctl_emit(o, RECORD_BROKER_CHANGE, false)->broker_change = r;
}

static bool beat_step(struct beat *s, struct changer *c, const struct image_broker *b,
                      const struct broker_heartbeat *in)
{
    const struct BrokerHeartbeatRequest *req = in->request;

    if (s->stage == LOOK) {
        if (asks_leads(b, in) && !look(s, c->tip, b->reg.id, c->out))
            return false;
        c->out->more = false;
        s->next = next_state(b, in, s->leads);
        moves(s, b, in->leaving);
        s->stage = MOVE;
    }
    if (s->stage == MOVE) {
        if (!move(s, c, b))
            return false;
        s->stage = DIRS;
    }
    if (s->stage == DIRS) {
        if (!dirs_failed(c, b, &s->dirs, (struct uuids){req->offline_log_dirs.v, req->offline_log_dirs.n}))
            return false;
        s->stage = REST;
    }
    if (req->cordoned_log_dirs.n >= 0)
        dirs_cordoned(c->out, b, (struct uuids){req->cordoned_log_dirs.v, req->cordoned_log_dirs.n});
    return true;
}

void decide_broker_heartbeat(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct broker_heartbeat *beat = in;
    const struct BrokerHeartbeatRequest *req = beat->request;
    struct BrokerHeartbeatResponse *resp = out;
    const struct image_broker *b = image_broker(tip, req->broker_id);
    struct beat *s;
    struct changer c;
    bool over;

    resp->is_fenced = true;
    if (!b || b->reg.epoch != req->broker_epoch) {
        resp->error_code = err_wire(E_STALE_BROKER_EPOCH);
        return;
    }
    if (!o->state)
        o->state = arena_alloc(o->arena, sizeof(*s));
    s = o->state;
    changer_init(&c, tip, o, req->offline_log_dirs.n > 0);
    over = beat_step(s, &c, b, beat);
    changer_end(&c);
    if (!over)
        return;
    resp->is_caught_up = req->current_metadata_offset >= b->reg.epoch;
    resp->is_fenced = s->next == FENCED || s->next == GONE;
    resp->should_shut_down = s->next == GONE;
}

/* ---- the controller's own doing ---- */

void decide_fence_broker(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct broker_fence *f = in;
    const struct image_broker *b = image_broker(tip, f->id);
    struct changer c;

    *(bool *)out = b && b->reg.epoch == f->epoch;
    if (!b || b->reg.epoch != f->epoch)
        return; /* another incarnation lives */
    changer_init(&c, tip, o, false);
    (void)fence(&c, b, walk_of(o)); /* until it is over, o->more says so */
    changer_end(&c);
}
