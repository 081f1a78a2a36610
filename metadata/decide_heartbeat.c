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

static void fence(struct changer *c, const struct image_broker *b)
{
    struct record_broker_change r = change_of(b);

    c->removed = b->reg.id;
    changer_walk(c, WALK_ISR);
    r.fenced = 1;
    if (!b->reg.fenced)
        ctl_emit(c->out, RECORD_BROKER_CHANGE, false)->broker_change = r;
}

static void unfence(struct changer *c, const struct image_broker *b)
{
    struct record_broker_change r = change_of(b);

    r.fenced = -1;
    ctl_emit(c->out, RECORD_BROKER_CHANGE, false)->broker_change = r;
    c->added = b->reg.id;
    changer_walk(c, WALK_NO_LEADER);
}

static void leave(struct changer *c, const struct image_broker *b)
{
    struct record_broker_change r = change_of(b);

    r.in_controlled_shutdown = 1;
    if (!b->reg.in_controlled_shutdown)
        ctl_emit(c->out, RECORD_BROKER_CHANGE, false)->broker_change = r;
    c->removed = b->reg.id;
    changer_walk(c, WALK_ISR);
}

static bool leads(const struct image *tip, int32_t id)
{
    struct image_topics topics = image_topics_from(tip, SLICE_NULL);
    const struct image_topic *t;
    const struct image_partition *p;

    while ((t = image_topics_next(&topics))) {
        struct image_partitions w = image_partitions_from(t, 0);

        while ((p = image_partitions_next(&w)))
            if (p->leader == id)
                return true;
    }
    return false;
}

/* ---- BrokerHeartbeat ---- */

enum state { FENCED, UNFENCED, LEAVING, GONE };

static enum state next_state(const struct image *tip, const struct image_broker *b,
                             const struct broker_heartbeat *in)
{
    const struct BrokerHeartbeatRequest *req = in->request;

    if (b->reg.fenced) {
        if (req->want_shut_down)
            return GONE;
        return !req->want_fence && req->current_metadata_offset >= b->reg.epoch ? UNFENCED : FENCED;
    }
    if (in->leaving)
        return leads(tip, b->reg.id) || in->leaves_at > in->lowest_offset ? LEAVING : GONE;
    if (req->want_fence)
        return req->want_shut_down ? GONE : FENCED;
    if (req->want_shut_down)
        return leads(tip, b->reg.id) ? LEAVING : GONE;
    return UNFENCED;
}

static void move_to(struct changer *c, const struct image_broker *b, enum state next, bool leaving)
{
    if (next == UNFENCED && b->reg.fenced)
        unfence(c, b);
    else if (next == LEAVING && !leaving)
        leave(c, b);
    else if ((next == FENCED || next == GONE) && !b->reg.fenced)
        fence(c, b);
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
static void dirs_failed(struct changer *c, const struct image_broker *b, struct uuids offline)
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
        return;
    c->removed = b->reg.id;
    c->added = NOBODY;
    changer_walk_dirs(c, (struct uuids){lost, n_lost});
    r.dirs = (struct uuids){left, n_left};
    if (n_left)
        ctl_emit(c->out, RECORD_BROKER_CHANGE, false)->broker_change = r;
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

void decide_broker_heartbeat(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct broker_heartbeat *beat = in;
    const struct BrokerHeartbeatRequest *req = beat->request;
    struct BrokerHeartbeatResponse *resp = out;
    const struct image_broker *b = image_broker(tip, req->broker_id);
    struct changer c;
    enum state next;

    resp->is_fenced = true;
    if (!b || b->reg.epoch != req->broker_epoch) {
        resp->error_code = err_wire(E_STALE_BROKER_EPOCH);
        return;
    }
    next = next_state(tip, b, beat);
    changer_init(&c, tip, o, req->offline_log_dirs.n > 0);
    move_to(&c, b, next, beat->leaving);
    dirs_failed(&c, b, (struct uuids){req->offline_log_dirs.v, req->offline_log_dirs.n});
    if (req->cordoned_log_dirs.n >= 0)
        dirs_cordoned(o, b, (struct uuids){req->cordoned_log_dirs.v, req->cordoned_log_dirs.n});
    changer_end(&c);
    resp->is_caught_up = req->current_metadata_offset >= b->reg.epoch;
    resp->is_fenced = next == FENCED || next == GONE;
    resp->should_shut_down = next == GONE;
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
    fence(&c, b);
    changer_end(&c);
}
