#include "life_watch.h"
#include "base/check.h"
#include "proto_gen.h"

struct watched {
    int32_t id;
    int64_t epoch;
    struct life life;
    int n_open;
    int64_t offset; /* its heartbeats have told; -1: none yet */
    bool leaving;
    int64_t leaves_at;
    int64_t dialled_ms; /* when last; -LIFE_DIAL_MS: never */
    int64_t asked_ms;   /* whether it lives, when last; -1: never */
    int asked_open;     /* n_open then */
    bool dialling, fencing;
    bool seen; /* in the newest image */
};

/* Connections of an epoch that the image here doesn't have yet: a controller that doesn't lead hears of it later. */
struct early {
    int32_t id;
    int64_t epoch;
    int n_open;
};

struct life_watch {
    struct heap *heap;
    int32_t self;
    int64_t self_epoch;
    struct life_rules rules;
    struct life_watch_ops ops;
    const struct image *image; /* NULL: none yet */
    struct watched *v;         /* by id */
    int n, room;
    struct early *early;
    int n_early, early_room;
    bool leads;
    int64_t leads_ms;
};

/* Its place, or where it belongs. */
static int place_of(const struct life_watch *w, int32_t id)
{
    int from = 0, to = w->n;

    while (from < to) {
        int at = from + (to - from) / 2;

        if (w->v[at].id < id)
            from = at + 1;
        else
            to = at;
    }
    return from;
}

static struct watched *find(const struct life_watch *w, int32_t id)
{
    int at = place_of(w, id);

    return at < w->n && w->v[at].id == id ? &w->v[at] : NULL;
}

static struct watched *find_epoch(const struct life_watch *w, int32_t id, int64_t epoch)
{
    struct watched *b = find(w, id);

    return b && b->epoch == epoch ? b : NULL;
}

/* Those of a broker that has come to a new epoch; older ones are none of it. */
static int early_take(struct life_watch *w, int32_t id, int64_t epoch)
{
    int n_open = 0, kept = 0;

    for (int i = 0; i < w->n_early; i++) {
        const struct early *e = &w->early[i];

        if (e->id == id && e->epoch == epoch)
            n_open = e->n_open;
        if (e->id != id || e->epoch > epoch)
            w->early[kept++] = *e;
    }
    w->n_early = kept;
    return n_open;
}

/* by: 1 or -1. */
static void early_count(struct life_watch *w, int32_t id, int64_t epoch, int by)
{
    for (int i = 0; i < w->n_early; i++) {
        struct early *e = &w->early[i];

        if (e->id != id || e->epoch != epoch)
            continue;
        e->n_open += by;
        if (e->n_open == 0)
            *e = w->early[--w->n_early];
        return;
    }
    if (by < 0) /* of an epoch that is over */
        return;
    if (w->n_early == w->early_room) {
        w->early_room = w->early_room ? 2 * w->early_room : 8;
        w->early = heap_resize(w->heap, w->early, (size_t)w->early_room * sizeof(*w->early));
    }
    w->early[w->n_early++] = (struct early){.id = id, .epoch = epoch, .n_open = by};
}

static void begin(struct life_watch *w, struct watched *b, int32_t id, int64_t epoch)
{
    *b = (struct watched){.id = id,
                          .epoch = epoch,
                          .n_open = early_take(w, id, epoch),
                          .life = {.heard_ms = w->leads_ms, .closed_ms = -1, .refused_ms = -1},
                          .dialled_ms = -LIFE_DIAL_MS,
                          .asked_ms = -1,
                          .offset = -1};
}

static struct watched *find_or_make(struct life_watch *w, int32_t id, int64_t epoch)
{
    int at = place_of(w, id);

    if (at < w->n && w->v[at].id == id) {
        if (w->v[at].epoch != epoch)
            begin(w, &w->v[at], id, epoch);
        return &w->v[at];
    }
    if (w->n == w->room) {
        w->room = w->room ? 2 * w->room : 8;
        w->v = heap_resize(w->heap, w->v, (size_t)w->room * sizeof(*w->v));
    }
    memmove(&w->v[at + 1], &w->v[at], (size_t)(w->n - at) * sizeof(*w->v));
    w->n++;
    begin(w, &w->v[at], id, epoch);
    return &w->v[at];
}

void life_watch_image(struct life_watch *w, const struct image *image)
{
    struct image_brokers walk = image_brokers_all(image);
    const struct image_broker *b;
    int n = 0;

    w->image = image;
    for (int i = 0; i < w->n; i++)
        w->v[i].seen = false;
    while ((b = image_brokers_next(&walk))) {
        struct watched *k = find_or_make(w, b->reg.id, b->reg.epoch);

        k->seen = true;
        k->leaving &= !b->reg.fenced;
    }
    for (int i = 0; i < w->n; i++)
        if (w->v[i].seen)
            w->v[n++] = w->v[i];
    w->n = n;
}

void life_watch_lead(struct life_watch *w, bool leads, int64_t now_ms)
{
    w->leads = leads;
    w->leads_ms = now_ms;
    for (int i = 0; leads && i < w->n; i++) {
        struct watched *b = &w->v[i];

        /* Who had a connection here and has none is in doubt at once. */
        b->life = (struct life){
            .heard_ms = now_ms, .closed_ms = b->life.closed_ms < 0 ? -1 : now_ms, .refused_ms = -1};
        b->offset = -1;
        b->leaving = b->dialling = b->fencing = false;
    }
}

void life_watch_self(struct life_watch *w, int64_t epoch)
{
    w->self_epoch = epoch;
}

void life_watch_opened(struct life_watch *w, int32_t id, int64_t epoch)
{
    struct watched *b = find(w, id);

    if (!b || b->epoch < epoch)
        early_count(w, id, epoch, 1);
    if (!b || b->epoch != epoch)
        return;
    b->n_open++;
    b->life.closed_ms = b->life.refused_ms = -1;
}

void life_watch_closed(struct life_watch *w, int32_t id, int64_t epoch, int64_t now_ms)
{
    struct watched *b = find_epoch(w, id, epoch);

    if (!b)
        early_count(w, id, epoch, -1);
    else if (b->n_open > 0 && --b->n_open == 0)
        b->life.closed_ms = now_ms;
}

void life_watch_dialled(struct life_watch *w, int32_t id, int64_t epoch, bool refused, int64_t now_ms)
{
    struct watched *b = find_epoch(w, id, epoch);

    if (!b)
        return;
    b->dialling = false;
    if (refused)
        b->life.refused_ms = now_ms;
}

void life_watch_fenced(struct life_watch *w, int32_t id)
{
    struct watched *b = find(w, id);

    if (b)
        b->fencing = false;
}

/* ---- judging ---- */

static bool is_self(const struct life_watch *w, const struct watched *b)
{
    return b->id == w->self && b->epoch == w->self_epoch;
}

/* A new controller's doubt about who has no connection here and hasn't spoken. */
static int64_t unheard(const struct life_watch *w, struct watched *b, int64_t now_ms)
{
    int64_t due = w->leads_ms + LIFE_DIAL_MS;

    if (b->n_open > 0 || b->life.closed_ms >= 0)
        return INT64_MAX;
    if (now_ms < due)
        return due;
    b->life.closed_ms = due;
    return INT64_MAX;
}

static int64_t look_at(struct life_watch *w, struct watched *b, const struct image_broker *in, int64_t now_ms)
{
    int64_t due = unheard(w, b, now_ms);
    struct life_judged j = life_judge(&b->life, &w->rules, now_ms);

    if (j.verdict == LIFE_DEAD) {
        if (!b->fencing) {
            b->fencing = true;
            w->ops.fence(w->ops.arg, b->id, b->epoch, j.why);
        }
        return INT64_MAX;
    }
    if (j.verdict == LIFE_DOUBT && !b->dialling && now_ms >= b->dialled_ms + LIFE_DIAL_MS) {
        b->dialling = true;
        b->dialled_ms = now_ms;
        w->ops.dial(w->ops.arg, in);
    }
    return due < j.look_again_ms ? due : j.look_again_ms;
}

int64_t life_watch_look(struct life_watch *w, int64_t now_ms)
{
    int64_t next = INT64_MAX;

    if (!w->leads || !w->image)
        return next;
    for (int i = 0; i < w->n; i++) {
        const struct image_broker *in = image_broker(w->image, w->v[i].id);
        int64_t again;

        ASSERT(in && in->reg.epoch == w->v[i].epoch);
        if (in->reg.fenced || is_self(w, &w->v[i]))
            continue;
        again = look_at(w, &w->v[i], in, now_ms);
        next = again < next ? again : next;
    }
    return next;
}

/* ---- what goes into decisions ---- */

/* Does it stand in the way of another process that registers on its disks? Asks it if that isn't known. One of whom no
 * connection could be ended wasn't asked, so its silence says nothing. */
static bool stands(struct life_watch *w, struct watched *b, bool connected, int64_t now_ms)
{
    if (b->asked_ms >= 0 && b->life.heard_ms <= b->asked_ms) /* nothing has come since */
        return now_ms - b->asked_ms < LIFE_ANSWER_MS || (connected && b->n_open >= b->asked_open);
    if (!connected)
        return false;
    b->asked_ms = now_ms;
    b->asked_open = b->n_open;
    w->ops.ask(w->ops.arg, b->id, b->epoch);
    return true;
}

void life_watch_registering(struct life_watch *w, struct broker_registration *r, int64_t now_ms)
{
    struct watched *b = find(w, r->request->broker_id);
    const struct image_broker *in = b ? image_broker(w->image, b->id) : NULL;
    bool heard = b && now_ms - b->life.heard_ms < w->rules.session_ms;

    r->connected = heard && b->n_open > 0;
    if (b && is_self(w, b))
        r->connected = true;
    else if (b && broker_returns(in, r->request))
        r->connected = stands(w, b, r->connected, now_ms);
    r->session = r->connected || (heard && !in->reg.fenced);
}

/* The offset that each active broker has told; this process's own has what has committed. */
static int64_t lowest_offset(const struct life_watch *w)
{
    int64_t lowest = INT64_MAX;

    for (int i = 0; i < w->n; i++) {
        const struct watched *b = &w->v[i];
        const struct image_broker *in = image_broker(w->image, b->id);
        int64_t offset = is_self(w, b) ? w->image->offset : b->offset;

        if (!in->reg.fenced && !in->reg.in_controlled_shutdown && offset < lowest)
            lowest = offset;
    }
    return lowest;
}

void life_watch_beating(struct life_watch *w, struct broker_heartbeat *b, int64_t now_ms)
{
    struct watched *k = find_epoch(w, b->request->broker_id, b->request->broker_epoch);

    b->leaving = false;
    b->lowest_offset = INT64_MAX;
    if (!k) /* of another epoch: it is refused */
        return;
    k->life.heard_ms = now_ms;
    if (b->request->current_metadata_offset > k->offset)
        k->offset = b->request->current_metadata_offset;
    b->leaving = k->leaving;
    b->leaves_at = k->leaves_at;
    b->lowest_offset = lowest_offset(w);
}

void life_watch_beaten(struct life_watch *w, const struct broker_heartbeat *b,
                       const struct BrokerHeartbeatResponse *out, int64_t after)
{
    struct watched *k = find_epoch(w, b->request->broker_id, b->request->broker_epoch);

    if (!k || out->error_code || !b->request->want_shut_down || out->is_fenced || out->should_shut_down ||
        k->leaving)
        return;
    k->leaving = true;
    k->leaves_at = after;
}

struct life_watch *life_watch_new(struct heap *h, int32_t self, const struct life_rules *rules,
                                  const struct life_watch_ops *ops)
{
    struct life_watch *w = heap_alloc(h, sizeof(*w));

    w->heap = h;
    w->self = self;
    w->self_epoch = -1;
    w->rules = *rules;
    w->ops = *ops;
    return w;
}

void life_watch_drop(struct life_watch *w)
{
    heap_free(w->heap, w->v);
    heap_free(w->heap, w->early);
    heap_free(w->heap, w);
}
