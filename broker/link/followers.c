#include "broker/link/followers.h"
#include "base/check.h"

#define MS INT64_C(1000000)

struct known {
    struct follower who;
    int32_t told_leader, told_epoch; /* in the last answer: what has changed since is told at once */
};

struct followers {
    struct node *node;
    struct loop *control;
    struct quorum *quorum; /* NULL: not open yet, or */
    bool closed;           /* not any more */
    struct list waiting;   /* struct follower_fetch */
    int n_reading;
    bool ended;
    struct known known[FOLLOWERS_MAX];
    int n;
};

/* ---- who there is ---- */

static struct known *known_find(struct followers *f, const struct follower_fetch *x)
{
    for (int i = 0; i < f->n; i++)
        if (f->known[i].who.replica == x->replica && uuid_eq(f->known[i].who.directory, x->directory))
            return &f->known[i];
    return NULL;
}

static struct known *known_add(struct followers *f, const struct follower_fetch *x)
{
    struct known *k = &f->known[0];

    for (int i = 1; i < f->n; i++)
        if (f->known[i].who.fetched_ms < k->who.fetched_ms)
            k = &f->known[i];
    if (f->n < FOLLOWERS_MAX)
        k = &f->known[f->n++];
    *k = (struct known){.who = {.replica = x->replica, .directory = x->directory, .caught_up_ms = -1},
                        .told_epoch = INT32_MIN};
    return k;
}

/* true: it was told something else of the leader than is true now. */
static bool note(struct followers *f, const struct follower_fetch *x, const struct quorum_view *v)
{
    struct known *k;

    if (x->replica < 0)
        return false;
    k = known_find(f, x);
    if (!k)
        k = known_add(f, x);
    k->who.end = x->offset;
    k->who.fetched_ms = io_wall_ms(f->node->io);
    if (x->offset >= v->committed)
        k->who.caught_up_ms = k->who.fetched_ms;
    return k->told_leader != v->leader || k->told_epoch != v->epoch;
}

int followers_known(const struct followers *f)
{
    return f->n;
}

const struct follower *followers_at(const struct followers *f, int i)
{
    ASSERT(i >= 0 && i < f->n);
    return &f->known[i].who;
}

/* ---- a fetch ---- */

static void fetch_back(struct msg *msg)
{
    struct follower_fetch *x = container_of(msg, struct follower_fetch, msg);

    x->done(x); /* last touch */
}

static void answer(struct followers *f, struct follower_fetch *x)
{
    struct quorum_view v = {.leader = -1, .epoch = -1};
    struct known *k = known_find(f, x);

    if (f->quorum)
        v = quorum_view(f->quorum);
    timer_stop(&x->timer);
    x->leader = v.leader;
    x->epoch = v.epoch;
    if (k) {
        k->told_leader = v.leader;
        k->told_epoch = v.epoch;
    }
    x->msg.run = fetch_back;
    loop_post(x->back, &x->msg); /* last touch */
}

/* What can be said without a look at the log. */
static enum err refusal(const struct followers *f, const struct follower_fetch *x,
                        const struct quorum_view *v)
{
    if (f->closed || v->failed || v->observes || (v->n_voters > 0 && quorum_view_voter(v, f->node->id) < 0))
        return E_NOT_LEADER_OR_FOLLOWER;
    if (x->leader_epoch >= 0 && x->leader_epoch < v->epoch)
        return E_FENCED_LEADER_EPOCH;
    return x->leader_epoch > v->epoch ? E_UNKNOWN_LEADER_EPOCH : E_OK;
}

/* Does what was read say anything? An offset behind this log's end is the leader's to judge: of another voter it is only
 * news that has not come yet. */
static bool says(const struct followers *f, struct follower_fetch *x)
{
    const struct quorum_read *r = &x->read;
    bool outside = r->err == E_OFFSET_OUT_OF_RANGE;
    bool empty =
        !r->err && x->offset == 0 && x->replica >= 0 && r->newest.offset > 0; /* a snapshot is faster */

    if ((outside && x->offset < r->log_start) || empty) {
        log_range_drop(&x->read.range);
        x->begins_later = r->newest.offset > x->offset;
        x->err = x->begins_later ? E_OK : E_OFFSET_OUT_OF_RANGE;
        return true;
    }
    if (f->closed) { /* between the look and now */
        log_range_drop(&x->read.range);
        x->err = E_NOT_LEADER_OR_FOLLOWER;
        return true;
    }
    if (outside && quorum_view(f->quorum).leader != f->node->id)
        return false;
    x->err = r->err;
    return r->err || r->diverges || r->range.len > 0;
}

static void look(struct followers *f, struct follower_fetch *x);

static void looked(struct quorum_read *r)
{
    struct follower_fetch *x = container_of(r, struct follower_fetch, read);
    struct followers *f = x->node->followers;
    struct quorum_view v;

    f->n_reading--;
    if (says(f, x) || x->last_look || f->ended) {
        answer(f, x);
        return;
    }
    v = quorum_view(f->quorum);
    if (v.committed > r->committed) { /* meanwhile */
        look(f, x);
    } else if (v.leader != x->leader || v.epoch != x->epoch) {
        answer(f, x);
    } else {
        list_add(&f->waiting, &x->link);
    }
}

static void look(struct followers *f, struct follower_fetch *x)
{
    x->read = (struct quorum_read){.back = f->control,
                                   .offset = x->offset,
                                   .last_epoch = x->last_epoch,
                                   .max_bytes = x->max_bytes,
                                   .done = looked};
    f->n_reading++;
    quorum_read(f->quorum, &x->read);
}

static void late(struct timer *timer)
{
    struct follower_fetch *x = container_of(timer, struct follower_fetch, timer);

    x->last_look = true;
    if (list_empty(&x->link)) /* it is being read for */
        return;
    list_remove(&x->link);
    answer(x->node->followers, x);
}

static void arrived(struct msg *msg)
{
    struct follower_fetch *x = container_of(msg, struct follower_fetch, msg);
    struct followers *f = x->node->followers;
    struct quorum_view v = {.leader = -1, .epoch = -1};
    int64_t ms = x->wait_ms < FOLLOW_WAIT_MAX_MS ? x->wait_ms : FOLLOW_WAIT_MAX_MS;
    bool news;

    list_init(&x->link);
    x->timer = (struct timer){.fire = late};
    if (f->quorum)
        v = quorum_view(f->quorum);
    news = note(f, x, &v);
    x->leader = v.leader;
    x->epoch = v.epoch;
    x->err = refusal(f, x, &v);
    x->last_look = ms <= 0 || news;
    if (x->err || f->ended) {
        answer(f, x);
        return;
    }
    if (ms > 0)
        timer_set(f->control, &x->timer, loop_now(f->control) + ms * MS);
    if (f->quorum && v.n_voters > 0) /* its files are open */
        look(f, x);
    else if (x->last_look)
        answer(f, x);
    else
        list_add(&f->waiting, &x->link);
}

void followers_fetch(struct follower_fetch *x)
{
    x->read.range = (struct log_range){0};
    x->begins_later = false;
    x->msg.run = arrived;
    loop_post(x->node->followers->control, &x->msg);
}

/* ---- news ---- */

void followers_look(struct followers *f)
{
    struct quorum_view v;
    struct list all;

    if (!f->quorum)
        return;
    v = quorum_view(f->quorum);
    list_init(&all);
    list_take(&all, &f->waiting);
    list_each_safe (it, &all) {
        struct follower_fetch *x = container_of(it, struct follower_fetch, link);

        list_remove(it);
        if (v.failed) {
            x->err = E_NOT_LEADER_OR_FOLLOWER;
            answer(f, x);
        } else if (v.committed > x->offset) {
            look(f, x);
        } else if (v.leader != x->leader || v.epoch != x->epoch) {
            answer(f, x);
        } else {
            list_add(&f->waiting, it);
        }
    }
}

/* ---- begin and end ---- */

struct followers *followers_new(struct node *node, struct loop *control)
{
    struct followers *f = heap_alloc(node->heap, sizeof(*f));

    f->node = node;
    f->control = control;
    list_init(&f->waiting);
    return f;
}

void followers_open(struct followers *f, struct quorum *q)
{
    f->quorum = q;
    f->closed = false;
}

void followers_close(struct followers *f)
{
    f->quorum = NULL;
    f->closed = true;
    list_each_safe (it, &f->waiting) {
        struct follower_fetch *x = container_of(it, struct follower_fetch, link);

        list_remove(it);
        x->err = E_NOT_LEADER_OR_FOLLOWER;
        answer(f, x);
    }
}

void followers_end(struct followers *f)
{
    f->ended = true;
    list_each_safe (it, &f->waiting) {
        list_remove(it);
        answer(f, container_of(it, struct follower_fetch, link));
    }
}

void followers_drop(struct followers *f)
{
    ASSERT(list_empty(&f->waiting) && f->n_reading == 0);
    heap_free(f->node->heap, f);
}
