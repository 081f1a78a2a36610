#include "metadata/change.h"
#include "base/check.h"
#include "metadata/invariant.h"
#include "proto/bigend.h"
#include <stdio.h>

/* ---- lists of brokers ---- */

bool ids_equal(struct ids a, struct ids b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.v, b.v, (size_t)a.n * sizeof(a.v[0])) == 0);
}

struct ids ids_copy(struct arena *a, struct ids v)
{
    int32_t *to = arena_alloc(a, ((size_t)v.n + 1) * sizeof(*to));

    if (v.n)
        memcpy(to, v.v, (size_t)v.n * sizeof(*to));
    return (struct ids){to, v.n};
}

struct ids ids_without(struct ctl_out *o, struct ids from, struct ids gone)
{
    int32_t *to = arena_alloc(o->work, ((size_t)from.n + 1) * sizeof(*to));
    int n = 0;

    for (int i = 0; i < from.n; i++)
        if (!ids_has(gone, from.v[i]))
            to[n++] = from.v[i];
    return (struct ids){to, n};
}

static struct ids just(struct ctl_out *o, int32_t id)
{
    return ids_copy(o->work, (struct ids){&id, 1});
}

static bool all_in(struct ids small, struct ids large)
{
    for (int i = 0; i < small.n; i++)
        if (!ids_has(large, small.v[i]))
            return false;
    return true;
}

/* ---- directories ---- */

/* Kafka's DirectoryId: MIGRATING 0, UNASSIGNED 1, LOST 2. */
const struct uuid DIR_UNASSIGNED = {{[15] = 1}};
enum { DIR_LOST = 2, DIRS_RESERVED = 100 };

bool directory_reserved(const struct uuid *u)
{
    for (int i = 0; i < 15; i++)
        if (u->b[i])
            return false;
    return u->b[15] < DIRS_RESERVED;
}

struct uuid directory_for(const struct image *tip, int32_t broker)
{
    const struct image_broker *b = image_broker(tip, broker);

    return b && b->reg.dirs.n == 1 ? b->reg.dirs.v[0] : DIR_UNASSIGNED;
}

bool directory_online(const struct image_broker *b, struct uuid dir)
{
    if (directory_reserved(&dir))
        return dir.b[15] != DIR_LOST;
    for (int i = 0; i < b->reg.dirs.n; i++)
        if (uuid_eq(b->reg.dirs.v[i], dir))
            return true;
    return b->reg.dirs.n == 0;
}

/* ---- what holds for a topic ---- */

struct slice topic_setting(const struct image *tip, const struct ctl_rules *rules, struct slice topic,
                           const char *name)
{
    char id[16];
    int len = snprintf(id, sizeof(id), "%d", rules->node_id);
    struct slice v = image_config(tip, CONFIG_TOPIC, topic, name);

    if (!v.p)
        v = image_config(tip, CONFIG_BROKER, slice_of(id, (size_t)len), name);
    if (!v.p)
        v = image_config(tip, CONFIG_BROKER, SLICE(""), name);
    return v.p ? v : rules->fallback(rules->arg, CONFIG_TOPIC, SLICE(name));
}

static int number(struct slice s, int otherwise)
{
    int64_t v = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || v > INT32_MAX)
            return otherwise;
        v = 10 * v + (s.p[i] - '0');
    }
    return s.len == 0 || v > INT32_MAX ? otherwise : (int)v;
}

void changer_topic(struct changer *c, const struct image_topic *t)
{
    const struct image_partition *first = image_partition(t, 0);
    int factor = first ? first->n_replicas : 1;

    if (c->topic == t)
        return;
    c->topic = t;
    c->min_isr = number(topic_setting(c->tip, c->out->rules, t->name, SETTING_MIN_ISR), 1);
    if (c->min_isr > factor)
        c->min_isr = factor;
    c->may_lose = slice_eq(topic_setting(c->tip, c->out->rules, t->name, "unclean.leader.election.enable"),
                           SLICE("true"));
}

/* ---- a change's beginning ---- */

struct seen {
    uint8_t key[20];
    struct record_partition now;
};

static struct slice seen_key(uint8_t key[20], struct uuid topic, int32_t index)
{
    memcpy(key, topic.b, 16);
    put_be32(key + 16, (uint32_t)index);
    return slice_of(key, 20);
}

void changer_init(struct changer *c, const struct image *tip, struct ctl_out *o, bool remembers)
{
    *c = (struct changer){.tip = tip,
                          .out = o,
                          .removed = NOBODY,
                          .added = NOBODY,
                          .unclean = NOBODY,
                          .elr = image_feature(tip, FEATURE_ELR) > 0,
                          .remembers = remembers};
    if (remembers)
        map_init(&c->seen, o->work->heap, ctl_random(o));
}

void changer_end(struct changer *c)
{
    if (c->remembers)
        map_drop(&c->seen);
}

/* As it is when all that this decision did to it has happened. */
static void change_begin(struct changer *c, const struct image_partition *p, struct change *ch)
{
    struct meta_record r;
    const struct seen *seen = NULL;
    uint8_t key[20];

    partition_record(c->topic, p, &r);
    if (c->remembers)
        seen = map_get(&c->seen, seen_key(key, c->topic->id, partition_index(p)));
    *ch = (struct change){.old = seen ? seen->now : r.partition, .dir_broker = NOBODY};
    ch->election = c->may_lose ? ELECT_UNCLEAN : ELECT_ONLINE;
    ch->replicas = ch->old.replicas;
    ch->isr = ch->old.isr;
    ch->removing = ch->old.removing;
    ch->adding = ch->old.adding;
    ch->recovering = ch->old.recovering;
}

bool changer_open(struct changer *c, int32_t index, struct change *ch)
{
    const struct image_partition *p = index < 0 ? NULL : image_partition(c->topic, index);

    if (p)
        change_begin(c, p, ch);
    return p != NULL;
}

/* ---- what becomes of it ---- */

/* A reassignment is over when everybody who shall stay is in sync. */
static void complete(struct changer *c, struct change *ch)
{
    struct ids isr, replicas;

    if (ch->removing.n == 0 && ch->adding.n == 0)
        return;
    isr = ids_without(c->out, ch->isr, ch->removing);
    replicas = ids_without(c->out, ch->replicas, ch->removing);
    if (isr.n == 0 || replicas.n == 0 || !all_in(replicas, isr))
        return;
    ch->isr = isr;
    ch->replicas = replicas;
    ch->removing = ch->adding = (struct ids){0};
}

/* With fewer in sync than min.insync.replicas nothing more is acknowledged, so whoever leaves the ISR from then on has
 * all that was: it stays eligible. Unlike Kafka's, the ELR never names a broker that is no replica any more. Without ELR only those
 * are left who were eligible when it ended, where nobody was in sync: until one of them leads. */
static struct ids eligible(struct changer *c, const struct change *ch)
{
    int32_t *v;
    int n = 0;

    if (c->elr ? ch->isr.n >= c->min_isr : ch->old.isr.n > 0 || ch->isr.n > 0)
        return (struct ids){0};
    v = arena_alloc(c->out->work, (size_t)(ch->old.elr.n + ch->old.isr.n + 1) * sizeof(*v));
    for (int i = 0; i < ch->old.elr.n + ch->old.isr.n; i++) {
        int32_t id = i < ch->old.elr.n ? ch->old.elr.v[i] : ch->old.isr.v[i - ch->old.elr.n];
        int at = n;

        if (ids_has(ch->isr, id) || ids_has((struct ids){v, n}, id) || id == c->unclean ||
            !ids_has(ch->replicas, id))
            continue;
        for (; at > 0 && v[at - 1] > id; at--)
            v[at] = v[at - 1];
        v[at] = id;
        n++;
    }
    return (struct ids){v, n};
}

static bool acceptable(const struct changer *c, const struct change *ch, int32_t id)
{
    const struct image_broker *b = image_broker(c->tip, id);

    if (!b || id == c->removed || id == c->unclean)
        return false;
    if (id != c->added && (b->reg.fenced || b->reg.in_controlled_shutdown))
        return false;
    if (id == ch->dir_broker)
        return directory_online(b, ch->dir);
    for (int i = 0; i < ch->old.replicas.n; i++)
        if (ch->old.replicas.v[i] == id)
            return directory_online(b, ch->old.dirs.v[i]);
    return true; /* a new replica: its broker has yet to say where */
}

static bool may_lead(const struct changer *c, const struct change *ch, struct ids elr, int32_t id)
{
    return (ids_has(ch->isr, id) || (ch->isr.n == 0 && ids_has(elr, id))) && acceptable(c, ch, id);
}

/* The one who led last, when nobody is left in ISR and ELR. */
static bool last_leader(const struct changer *c, const struct change *ch, struct ids elr)
{
    return c->elr && ch->isr.n == 0 && elr.n == 0 && ch->old.last_elr.n == 1 &&
           ids_has(ch->replicas, ch->old.last_elr.v[0]) && acceptable(c, ch, ch->old.last_elr.v[0]);
}

static int32_t elect(const struct changer *c, const struct change *ch, struct ids elr, bool *unclean)
{
    *unclean = false;
    if (ch->election == ELECT_PREFERRED && ch->replicas.n && may_lead(c, ch, elr, ch->replicas.v[0]))
        return ch->replicas.v[0];
    if (may_lead(c, ch, elr, ch->old.leader))
        return ch->old.leader;
    for (int i = 0; i < ch->replicas.n; i++)
        if (may_lead(c, ch, elr, ch->replicas.v[i]))
            return ch->replicas.v[i];
    *unclean = true;
    if (last_leader(c, ch, elr))
        return ch->old.last_elr.v[0];
    for (int i = 0; ch->election == ELECT_UNCLEAN && i < ch->replicas.n; i++)
        if (acceptable(c, ch, ch->replicas.v[i]))
            return ch->replicas.v[i];
    *unclean = false;
    return NOBODY;
}

/* ---- the record ---- */

static void put_leader(struct changer *c, struct change *ch, struct record_partition_change *r,
                       struct ids *elr)
{
    bool unclean;
    int32_t leader = elect(c, ch, *elr, &unclean);

    if (leader != ch->old.leader) {
        r->leader = leader;
        if (ids_has(*elr, leader)) {
            ch->isr = just(c->out, leader);
            *elr = ids_without(c->out, *elr, ch->isr);
        }
        if (unclean) {
            r->isr = just(c->out, leader);
            r->recovering = ch->old.recovering ? -1 : 1;
        }
    }
    /* A replica that is none any more must notice: a new epoch. */
    if (r->leader == LEADER_SAME && !all_in(ch->old.replicas, ch->replicas))
        r->leader = ch->old.leader;
}

/* Sets *field when `want` is news. */
static void put_ids(struct ids *field, struct ids want, struct ids old)
{
    if (!ids_equal(want, old))
        *field = want;
}

static void put_sync(struct changer *c, struct change *ch, struct record_partition_change *r, struct ids elr)
{
    if (r->isr.n >= 0 || (!c->elr && ch->isr.n > 0))
        elr = (struct ids){0};
    put_ids(&r->elr, elr, ch->old.elr);
    /* Without ELR the last one in sync stays in the ISR when it goes, so that it alone may come back as leader. */
    if (r->isr.n < 0 && (ch->isr.n > 0 || c->elr))
        put_ids(&r->isr, ch->isr, ch->old.isr);
    if (c->elr && r->leader == NOBODY && ch->old.last_elr.n == 0 && ch->old.leader >= 0)
        r->last_elr = just(c->out, ch->old.leader);
    else if (r->leader >= 0 && ch->old.last_elr.n > 0)
        r->last_elr = (struct ids){0};
}

static struct uuid dir_of(const struct changer *c, const struct change *ch, int32_t id)
{
    if (id == ch->dir_broker)
        return ch->dir;
    for (int i = 0; i < ch->old.replicas.n; i++)
        if (ch->old.replicas.v[i] == id)
            return ch->old.dirs.v[i];
    return directory_for(c->tip, id);
}

static void put_places(struct changer *c, struct change *ch, struct record_partition_change *r)
{
    struct uuid *dirs = arena_alloc(c->out->work, ((size_t)ch->replicas.n + 1) * sizeof(*dirs));
    bool same = ch->replicas.n == ch->old.dirs.n;

    for (int i = 0; i < ch->replicas.n; i++) {
        dirs[i] = dir_of(c, ch, ch->replicas.v[i]);
        same = same && uuid_eq(dirs[i], ch->old.dirs.v[i]);
    }
    if (!same)
        r->dirs = (struct uuids){dirs, ch->replicas.n};
    put_ids(&r->replicas, ch->replicas, ch->old.replicas);
    put_ids(&r->removing, ch->removing, ch->old.removing);
    put_ids(&r->adding, ch->adding, ch->old.adding);
    if (ch->recovering != ch->old.recovering)
        r->recovering = ch->recovering;
}

static bool is_nothing(const struct record_partition_change *r)
{
    return r->leader == LEADER_SAME && r->recovering < 0 && r->replicas.n < 0 && r->isr.n < 0 &&
           r->removing.n < 0 && r->adding.n < 0 && r->elr.n < 0 && r->last_elr.n < 0 && r->dirs.n < 0;
}

static void remember(struct changer *c, const struct change *ch)
{
    struct seen *s = arena_alloc(c->out->work, sizeof(*s));

    s->now = ch->now;
    (void)map_put(&c->seen, seen_key(s->key, ch->now.topic, ch->now.index), s);
}

bool changer_put(struct changer *c, struct change *ch)
{
    struct record_partition_change r = partition_unchanged(ch->old.topic, ch->old.index);
    struct ids elr;

    complete(c, ch);
    elr = eligible(c, ch);
    put_leader(c, ch, &r, &elr);
    put_sync(c, ch, &r, elr);
    put_places(c, ch, &r);
    ch->now = ch->old;
    if (is_nothing(&r))
        return false;
    partition_merge(&ch->now, &r);
    ASSERT(partition_sound(&ch->now));
    ctl_emit(c->out, RECORD_PARTITION_CHANGE, false)->partition_change = r;
    if (c->remembers)
        remember(c, ch);
    return true;
}

/* ---- many of them ---- */

static bool wanted(const struct changer *c, int32_t leader, struct ids isr, struct ids elr,
                   enum change_walk what)
{
    const int32_t gone[] = {c->removed, c->unclean};

    if (what == WALK_NO_LEADER)
        return leader == NOBODY;
    for (int i = 0; i < 2; i++)
        if (gone[i] != NOBODY && (leader == gone[i] || ids_has(isr, gone[i]) || ids_has(elr, gone[i])))
            return true;
    return false;
}

static bool lies_in(const struct changer *c, const struct change *ch, struct uuids dirs)
{
    for (int i = 0; i < ch->old.replicas.n; i++)
        for (int j = 0; ch->old.replicas.v[i] == c->removed && j < dirs.n; j++)
            if (uuid_eq(ch->old.dirs.v[i], dirs.v[j]))
                return true;
    return false;
}

static void leads_on(struct changer *c, const struct change *ch)
{
    struct record_partition_change r = partition_unchanged(ch->old.topic, ch->old.index);

    if (c->alone != ALONE_NEW_EPOCH || ch->old.leader == NOBODY)
        return;
    r.leader = ch->old.leader;
    ctl_emit(c->out, RECORD_PARTITION_CHANGE, false)->partition_change = r;
}

/* As the tip has it. Nothing that this decision has done may make it one of those that the walk is for. */
static bool concerned(const struct changer *c, const struct image_partition *p, enum change_walk what,
                      struct uuids dirs)
{
    return dirs.n ? ids_has(partition_replicas(p), c->removed)
                  : wanted(c, p->leader, partition_isr(p), partition_elr(p), what);
}

static void leave(struct changer *c, const struct image_partition *p, enum change_walk what,
                  struct uuids dirs)
{
    const int32_t gone[] = {c->removed, c->unclean};
    struct change ch;

    change_begin(c, p, &ch);
    if (dirs.n ? !lies_in(c, &ch, dirs) : !wanted(c, ch.old.leader, ch.old.isr, ch.old.elr, what))
        return;
    if (ch.old.replicas.n == 1 && c->alone != ALONE_AS_OTHERS) {
        leads_on(c, &ch);
        return;
    }
    ch.isr = ids_without(c->out, ch.isr, (struct ids){gone, 2});
    (void)changer_put(c, &ch);
}

static bool walk(struct changer *c, struct walk *w, enum change_walk what, struct uuids dirs)
{
    const struct image_partition *p;

    walk_step(w, c->tip, c->out);
    while ((p = walk_next(w))) {
        if (!concerned(c, p, what, dirs))
            continue;
        changer_topic(c, w->topic);
        leave(c, p, what, dirs);
    }
    return w->over;
}

bool changer_walk(struct changer *c, struct walk *w, enum change_walk what)
{
    return walk(c, w, what, (struct uuids){0});
}

bool changer_walk_dirs(struct changer *c, struct walk *w, struct uuids dirs)
{
    return dirs.n == 0 || walk(c, w, WALK_ISR, dirs);
}
