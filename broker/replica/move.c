/* A move, step by step (move.h). What a DISK loop learns in it is in its own struct moving; the messages are all here. */
#include "broker/replica/move.h"
#include "broker/replica/manager_internal.h"

struct fence { /* a NET loop to a DISK loop */
    struct msg msg;
    struct moving *to;
};

struct handed { /* a DISK loop to another */
    struct msg msg;
    struct moving *from, *to;
    uint64_t lost; /* directories, a bit each */
};

/* What a DISK loop does in a move; its own but for the constants. */
struct moving {
    struct move *move;
    struct partitions *ps;
    struct msg msg;        /* the table on its way here, in the end the answer */
    struct msg step;       /* to this loop itself: hands over some partitions */
    uint32_t at;           /* where that goes on, in ps->resting */
    int fences_due;        /* NET loops */
    int handed_due;        /* other DISK loops */
    bool gave;             /* everything was handed over */
    bool *got;             /* by loop: everything from it is here */
    struct handed *handed; /* to each loop */
};

struct turn { /* a NET loop takes the next table */
    struct msg msg;
    struct move *move;
    struct net_loop *net;
    struct fence *fences; /* to each DISK loop */
};

struct move {
    struct heap *heap;
    struct loop *control;
    const struct disk_table *was, *now;
    int n_net;
    struct turn *nets;
    struct moving *disks;
    int pending; /* DISK loops that have not ended it */
    struct msg *ended;
};

/* A partition on its way. */
struct parcel {
    struct msg msg;
    struct partitions *to;
    struct resting *resting;
    struct cleaner_place clean;
    struct uuid topic_id;
    int32_t index;
    int64_t seen; /* offset of the image that the old owner had */
    bool dirty;   /* was in upkeep's list */
};

/* ---- lanes that wait ---- */

static bool complete(const struct moving *m)
{
    return m->gave && m->handed_due == 0;
}

static bool awaits(const struct moving *m, const struct lane *lane)
{
    if (lane->scatter->all)
        return !complete(m);
    for (const struct scatter_item *it = lane->first; it; it = it->next) {
        const struct disk_loop *from = disk_of(m->move->was, it->key);
        if (from != m->ps->disk && !m->got[from->index])
            return true;
    }
    return false;
}

bool move_holds(struct partitions *ps, struct lane *lane)
{
    const struct moving *m = ps->moving;

    ASSERT(lane->scatter->generation == ps->disk->disks->generation ||
           (m && lane->scatter->generation == m->move->was->generation));
    if (!m || lane->scatter->generation == m->move->was->generation)
        return false;
    if (list_empty(&ps->held) && !awaits(m, lane))
        return false;
    list_add(&ps->held, &lane->commit);
    return true;
}

static void held_visit(struct moving *m)
{
    struct lane *lane;

    while ((lane = list_first(&m->ps->held, struct lane, commit)) && !awaits(m, lane)) {
        list_remove(&lane->commit);
        lane->scatter->visit(lane);
    }
}

/* ---- the end ---- */

static void ended_home(struct msg *msg)
{
    struct move *mv = container_of(msg, struct moving, msg)->move;

    if (--mv->pending == 0)
        loop_post(mv->control, mv->ended);
}

static void end_if_complete(struct moving *m)
{
    if (!complete(m))
        return;
    ASSERT(list_empty(&m->ps->held));
    m->ps->moving = NULL;
    m->msg.run = ended_home;
    loop_post(m->move->control, &m->msg); /* last touch */
}

/* ---- a partition arrives ---- */

/* Its topic was deleted while it was on its way: the loop that it left has no directory of it to remove any more. */
static void arrived_late(struct partitions *ps, struct parcel *c)
{
    struct resting *r = c->resting;
    struct partition *p = r->loaded;
    struct image_topic gone = {.id = c->topic_id};
    enum log_dir_kind kind;
    int32_t index;

    if (!p && log_dir_parse((const char *)r->name.p, &kind, &gone.name, &index) &&
        partition_make(ps, &gone, 0, index, &p) != E_OK)
        p = NULL;
    if (p)
        partition_delete(ps, p);
}

/* A new topic took the name meanwhile, and with it the directory, out of which the old one was set aside. */
static void arrived_twice(struct partitions *ps, struct parcel *c)
{
    struct partition *p = c->resting->loaded;

    if (p) {
        log_abandon(p->log);
        partition_free(ps, p);
    }
    heap_free(ps->heap, c->resting);
}

static void arrived(struct msg *msg)
{
    struct parcel *c = container_of(msg, struct parcel, msg);
    struct partitions *ps = c->to;
    struct resting *r = c->resting, *here;
    struct partition *p = r->loaded;
    const struct image_topic *topic = image_topic_by_id(ps->disk->image, c->topic_id);
    const struct image_partition *ip = topic ? image_partition(topic, c->index) : NULL;

    if (p)
        log_enter(p->log, ps->env, ps->dirs[r->dir]);
    here = map_get(&ps->resting, r->name);
    if (here && here->fresh) { /* chosen here from the image alone */
        if (ip)
            dirs_chose(ps->disk->node->dirs, &c->topic_id, c->index, &ps->dir_ids[r->dir]);
        resting_forget(ps, here);
    } else if (here) {
        arrived_twice(ps, c);
        heap_free(ps->heap, c);
        return;
    }
    resting_put(ps, r);
    cleaner_came(ps, r->name, c->clean);
    ps->moved = true;
    if (p) {
        map_put(&ps->loaded, slice_of(p->key, PARTITION_KEY), p);
        partition_reconfigure(ps, p, topic ? topic->name : SLICE(""));
    }
    if (!ip && ps->disk->image->offset >= c->seen) {
        arrived_late(ps, c);
    } else if (p) {
        if (ip && ps->disk->image->offset >= c->seen) {
            p->leader_epoch = ip->leader_epoch;
            p->leads = ip->leader == ps->disk->node->id;
        }
        if (c->dirty)
            upkeep_appended(ps, p);
    }
    unsynced_flush(ps);
    heap_free(ps->heap, c);
}

static void handed_all(struct msg *msg)
{
    struct handed *h = container_of(msg, struct handed, msg);
    struct moving *m = h->to;

    for (int i = 0; i < m->ps->n_dirs; i++)
        if (h->lost >> i & 1)
            log_dir_fail(m->ps->env, m->ps->dirs[i], E_KAFKA_STORAGE_ERROR, "another loop used it");
    m->got[h->from->ps->disk->index] = true;
    m->handed_due--;
    held_visit(m);
    end_if_complete(m);
}

/* ---- a partition leaves ---- */

/* Whose it is now: by the image, which is as new as the row. */
static struct disk_loop *owner_of(const struct moving *m, const struct resting *r, struct parcel *c)
{
    const struct image_topic *t;
    enum log_dir_kind kind;
    struct slice topic;

    if (!log_dir_parse((const char *)r->name.p, &kind, &topic, &c->index))
        return m->ps->disk;
    t = image_topic_by_name(m->ps->disk->image, topic);
    if (!t && !r->loaded)
        return m->ps->disk;
    c->topic_id = r->loaded ? r->loaded->topic_id : t->id;
    return disk_of(m->move->now, disk_key(topic, c->index));
}

static void partition_leave(struct partitions *ps, struct partition *p)
{
    partition_tell(p, INT64_MAX);
    list_each_safe (it, &p->watchers)
        watcher_clear(container_of(it, struct watch, link)->watcher);
    ASSERT(list_empty(&p->unsynced));
    map_remove(&ps->loaded, slice_of(p->key, PARTITION_KEY));
    list_remove(&p->dirty);
    log_leave(p->log);
}

static void hand_over(struct moving *m, struct resting *r)
{
    struct partitions *ps = m->ps;
    struct parcel look = {.resting = r}, *c;
    struct disk_loop *to = owner_of(m, r, &look);

    if (to == ps->disk)
        return;
    look.clean = cleaner_leave(ps, r);
    look.to = to->partitions;
    look.seen = ps->disk->image->offset;
    look.dirty = r->loaded && !list_empty(&r->loaded->dirty);
    look.msg.run = arrived;
    if (r->loaded)
        partition_leave(ps, r->loaded);
    resting_take(ps, r);
    c = heap_alloc(ps->heap, sizeof(*c));
    *c = look;
    loop_post(to->loop, &c->msg);
}

static void handed_tell(struct moving *m)
{
    uint64_t lost = 0;

    for (int i = 0; i < m->ps->n_dirs; i++)
        lost |= (uint64_t)m->ps->dirs[i]->offline << i;
    for (int i = 0; i < m->move->now->n; i++) {
        struct handed *h = &m->handed[i];
        h->from = m;
        h->to = &m->move->disks[i];
        h->lost = lost;
        h->msg.run = handed_all;
        if (h->to != m)
            loop_post(m->move->now->v[i]->loop, &h->msg);
    }
}

static void hand_over_some(struct msg *msg)
{
    struct moving *m = container_of(msg, struct moving, step);
    struct resting *r = NULL;

    for (int i = 0; i < MOVE_STEP && (r = map_next(&m->ps->resting, &m->at)); i++)
        hand_over(m, r);
    if (r) {
        loop_post(m->ps->disk->loop, &m->step);
        return;
    }
    m->ps->moved = true;
    m->gave = true;
    handed_tell(m);
    held_visit(m);
    end_if_complete(m);
}

/* ---- fences ---- */

static void fence_came(struct msg *msg)
{
    struct moving *m = container_of(msg, struct fence, msg)->to;

    if (--m->fences_due > 0)
        return;
    commit_now(m->ps);
    m->step.run = hand_over_some;
    hand_over_some(&m->step);
}

/* On a NET loop. */
static void net_turns(struct msg *msg)
{
    struct turn *t = container_of(msg, struct turn, msg);
    const struct disk_table *now = t->move->now;

    t->net->disks = now;
    for (int i = 0; i < now->n; i++) {
        t->fences[i].to = &t->move->disks[i];
        t->fences[i].msg.run = fence_came;
        loop_post(now->v[i]->loop, &t->fences[i].msg);
    }
}

/* ---- begin ---- */

static void table_came(struct msg *msg)
{
    struct moving *m = container_of(msg, struct moving, msg);

    ASSERT(!m->ps->moving);
    m->ps->disk->disks = m->move->now;
    m->ps->moving = m;
}

static void moving_init(struct move *mv, int i)
{
    struct moving *m = &mv->disks[i];

    m->move = mv;
    m->ps = mv->now->v[i]->partitions;
    m->fences_due = mv->n_net;
    m->handed_due = mv->now->n - 1;
    m->got = heap_alloc(mv->heap, (size_t)mv->now->n * sizeof(bool));
    m->handed = heap_alloc(mv->heap, (size_t)mv->now->n * sizeof(*m->handed));
    m->msg.run = table_came;
    loop_post(mv->now->v[i]->loop, &m->msg);
}

struct move *move_begin(struct node *node, struct loop *control, const struct disk_table *was,
                        const struct disk_table *now, struct msg *ended)
{
    struct move *mv = heap_alloc(node->heap, sizeof(*mv));

    *mv = (struct move){.heap = node->heap, .control = control, .was = was, .now = now, .ended = ended};
    mv->n_net = node->n_net;
    mv->pending = now->n;
    mv->nets = heap_alloc(mv->heap, (size_t)mv->n_net * sizeof(*mv->nets));
    mv->disks = heap_alloc(mv->heap, (size_t)now->n * sizeof(*mv->disks));
    for (int i = 0; i < now->n; i++)
        moving_init(mv, i);
    for (int i = 0; i < mv->n_net; i++) {
        struct turn *t = &mv->nets[i];
        t->move = mv;
        t->net = node->net[i];
        t->fences = heap_alloc(mv->heap, (size_t)now->n * sizeof(*t->fences));
        t->msg.run = net_turns;
        loop_post(t->net->loop, &t->msg);
    }
    return mv;
}

void move_free(struct move *mv)
{
    for (int i = 0; i < mv->now->n; i++) {
        heap_free(mv->heap, mv->disks[i].got);
        heap_free(mv->heap, mv->disks[i].handed);
    }
    for (int i = 0; i < mv->n_net; i++)
        heap_free(mv->heap, mv->nets[i].fences);
    heap_free(mv->heap, mv->nets);
    heap_free(mv->heap, mv->disks);
    heap_free(mv->heap, mv);
}
