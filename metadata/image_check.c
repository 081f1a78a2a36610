#include "metadata/image_check.h"
#include "base/check.h"
#include "metadata/change.h"
#include "metadata/image_kinds.h"
#include "metadata/topic_name.h"
#include <inttypes.h>

#define TEXT(s) (int)((s).len > 300 ? 300 : (s).len), (const char *)(s).p

static const char *id_text(struct uuid id, struct arena *a)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_text(id, text);
    return arena_str(a, SLICE(text));
}

/* ---- would replay take it? One function a record type. ---- */

static const char *refuse_register_broker(const struct image *i, const struct meta_record *r, struct arena *a)
{
    return r->register_broker.id < 0 ? arena_printf(a, "broker %d is registered", r->register_broker.id)
                                     : NULL;
}

static const char *refuse_unregister_broker(const struct image *i, const struct meta_record *r,
                                            struct arena *a)
{
    int32_t id = r->unregister_broker.id;

    return image_broker(i, id) ? NULL
                               : arena_printf(a, "broker %d, which isn't registered, is unregistered", id);
}

static const char *refuse_broker_change(const struct image *i, const struct meta_record *r, struct arena *a)
{
    const struct record_broker_change *c = &r->broker_change;
    const struct image_broker *b = image_broker(i, c->id);

    if (!b)
        return arena_printf(a, "broker %d, which isn't registered, changes", c->id);
    if (b->reg.epoch != c->epoch)
        return arena_printf(a, "a change of broker %d names epoch %" PRId64 ", but it has %" PRId64, c->id,
                            c->epoch, b->reg.epoch);
    return NULL;
}

static const char *refuse_topic(const struct image *i, const struct meta_record *r, struct arena *a)
{
    const struct record_topic *t = &r->topic;

    if (t->name.len == 0 || t->name.len >= NAME_KEY_MAX / 2)
        return arena_printf(a, "a topic's name has %zu bytes", t->name.len);
    if (!topic_name_ok(t->name)) /* it becomes a directory's */
        return arena_printf(a, "a topic can't be named %.*s", TEXT(t->name));
    if (image_topic_by_id(i, t->id))
        return arena_printf(a, "topic id %s is given to %.*s, but it is in use", id_text(t->id, a),
                            TEXT(t->name));
    if (image_topic_by_name(i, t->name))
        return arena_printf(a, "topic %.*s is created, but it exists", TEXT(t->name));
    return NULL;
}

static const char *refuse_remove_topic(const struct image *i, const struct meta_record *r, struct arena *a)
{
    struct uuid id = r->remove_topic.id;

    return image_topic_by_id(i, id)
               ? NULL
               : arena_printf(a, "topic id %s, which doesn't exist, is removed", id_text(id, a));
}

/* Changes count epochs on from here, and there is no end to count to in sight. */
enum { EPOCH_MAX = INT32_MAX / 2 };

/* Lists and epochs as the image can hold them. */
static const char *refuse_lists(const struct image_topic *t, const struct record_partition *p,
                                struct arena *a)
{
    const struct ids lists[] = {p->replicas, p->isr, p->removing, p->adding, p->elr, p->last_elr};

    for (size_t n = 0; n < sizeof(lists) / sizeof(lists[0]); n++)
        if (lists[n].n < 0 || lists[n].n > UINT16_MAX)
            return arena_printf(a, "%.*s-%d names %d brokers in one list", TEXT(t->name), p->index,
                                lists[n].n);
    if (p->leader_epoch < 0 || p->leader_epoch > EPOCH_MAX || p->partition_epoch < 0 ||
        p->partition_epoch > EPOCH_MAX)
        return arena_printf(a, "%.*s-%d has leader epoch %d and partition epoch %d", TEXT(t->name), p->index,
                            p->leader_epoch, p->partition_epoch);
    if (p->dirs.n != p->replicas.n)
        return arena_printf(a, "%.*s-%d has %d replicas and %d directories", TEXT(t->name), p->index,
                            p->replicas.n, p->dirs.n);
    return NULL;
}

static const char *refuse_partition(const struct image *i, const struct meta_record *r, struct arena *a)
{
    const struct record_partition *p = &r->partition;
    const struct image_topic *t = image_topic_by_id(i, p->topic);

    if (!t)
        return arena_printf(a, "partition %d belongs to topic id %s, which doesn't exist", p->index,
                            id_text(p->topic, a));
    if (p->index < 0 || (uint32_t)p->index > t->partitions.count)
        return arena_printf(a, "partition %d of %.*s comes where %u is the next", p->index, TEXT(t->name),
                            t->partitions.count);
    return r->unknown.len > UINT16_MAX ? arena_printf(a, "%.*s-%d has %zu bytes of unknown fields",
                                                      TEXT(t->name), p->index, r->unknown.len)
                                       : refuse_lists(t, p, a);
}

static const char *refuse_partition_change(const struct image *i, const struct meta_record *r,
                                           struct arena *a)
{
    const struct record_partition_change *c = &r->partition_change;
    const struct image_topic *t = image_topic_by_id(i, c->topic);
    const struct image_partition *p = t ? image_partition(t, c->index) : NULL;
    struct meta_record now;

    if (!t)
        return arena_printf(a, "partition %d of topic id %s changes, but that topic doesn't exist", c->index,
                            id_text(c->topic, a));
    if (!p)
        return arena_printf(a, "%.*s-%d changes, but it doesn't exist", TEXT(t->name), c->index);
    partition_record(t, p, &now);
#define TAKE(field)                                                                                          \
    if (c->field.n >= 0)                                                                                     \
        now.partition.field = c->field;
    TAKE(replicas)
    TAKE(isr)
    TAKE(removing)
    TAKE(adding)
    TAKE(elr)
    TAKE(last_elr)
    TAKE(dirs)
#undef TAKE
    return refuse_lists(t, &now.partition, a);
}

static const char *refuse_config(const struct image *i, const struct meta_record *r, struct arena *a)
{
    size_t len = r->config.resource.len;

    return len > UINT16_MAX ? arena_printf(a, "a resource's name has %zu bytes", len) : NULL;
}

static const char *refuse_feature(const struct image *i, const struct meta_record *r, struct arena *a)
{
    return r->feature.name.len ? NULL : "a feature has no name";
}

static const char *refuse_producer_ids(const struct image *i, const struct meta_record *r, struct arena *a)
{
    int64_t next = r->producer_ids.next;

    return next >= i->next_producer_id
               ? NULL
               : arena_printf(a, "the next producer id goes back from %" PRId64 " to %" PRId64,
                              i->next_producer_id, next);
}

static const char *refuse_no_op(const struct image *i, const struct meta_record *r, struct arena *a)
{
    return NULL;
}

static const char *refuse_register_controller(const struct image *i, const struct meta_record *r,
                                              struct arena *a)
{
    int32_t id = r->register_controller.id;

    return id < 0 ? arena_printf(a, "controller %d is registered", id) : NULL;
}

/* Of a topic that doesn't exist: Kafka takes that too. */
static const char *refuse_clear_elr(const struct image *i, const struct meta_record *r, struct arena *a)
{
    return NULL;
}

static const char *refuse_begin_transaction(const struct image *i, const struct meta_record *r,
                                            struct arena *a)
{
    return i->before ? "a transaction begins inside another" : NULL;
}

static const char *refuse_end_transaction(const struct image *i, const struct meta_record *r, struct arena *a)
{
    return i->before ? NULL : "a transaction ends that hasn't begun";
}

static const char *refuse_abort_transaction(const struct image *i, const struct meta_record *r,
                                            struct arena *a)
{
    return refuse_end_transaction(i, r, a);
}

static const char *refuse_request_done(const struct image *i, const struct meta_record *r, struct arena *a)
{
    const struct record_request_done *d = &r->request_done;

    return d->at_ms < 0 || d->at_ms > INT64_MAX / 2 || d->keep_ms < 0 || d->piece < 0 ||
                   d->piece > d->last_piece
               ? arena_printf(
                     a, "piece %d of %d of the answer to request %s is kept from %" PRId64 " ms for %d ms",
                     d->piece, d->last_piece, id_text(d->id, a), d->at_ms, d->keep_ms)
               : NULL;
}

static const char *refuse_requests_forget(const struct image *i, const struct meta_record *r, struct arena *a)
{
    return NULL;
}

static const char *refuse_cluster(const struct image *i, const struct meta_record *r, struct arena *a)
{
    size_t len = r->cluster.id.len;

    return len <= CLUSTER_ID_MAX ? NULL : arena_printf(a, "the cluster's id has %zu bytes", len);
}

const char *image_refuses(const struct image *i, const struct meta_record *r, struct arena *a)
{
    switch (r->type) {
#define RECORD(NAME, name, message, number)                                                                  \
    case RECORD_##NAME:                                                                                      \
        return refuse_##name(i, r, a);
#include "metadata/record.def"
#undef RECORD
    }
    return arena_printf(a, "there is no record of type %d", r->type);
}

const char *image_follow(struct image *draft, struct grave *g, const struct batch_content *batch,
                         struct arena *a)
{
    draft->epoch = batch->epoch;
    draft->append_ms = batch->append_ms;
    for (int i = 0; i < batch->n && !batch->is_control; i++) {
        const char *why = image_refuses(draft, &batch->records[i], a);

        if (why)
            return why;
        image_replay(draft, g, &batch->records[i]);
        draft->offset = batch->base_offset + i;
    }
    draft->offset = batch->last_offset;
    return NULL;
}

/* ---- does it go back? ---- */

static const char *partition_backwards(const struct image *i, const struct record_partition *r,
                                       struct arena *a)
{
    const struct image_topic *t = image_topic_by_id(i, r->topic);
    const struct image_partition *p = t ? image_partition(t, r->index) : NULL;

    if (p && r->leader_epoch < p->leader_epoch)
        return arena_printf(a, "the leader epoch of %.*s-%d goes back from %d to %d", TEXT(t->name), r->index,
                            p->leader_epoch, r->leader_epoch);
    if (p && r->partition_epoch < p->partition_epoch)
        return arena_printf(a, "the partition epoch of %.*s-%d goes back from %d to %d", TEXT(t->name),
                            r->index, p->partition_epoch, r->partition_epoch);
    return NULL;
}

const char *image_backwards(const struct image *i, const struct meta_record *r, struct arena *a)
{
    const struct image_broker *b;

    if (r->type == RECORD_REGISTER_BROKER) {
        b = image_broker(i, r->register_broker.id);
        if (b && r->register_broker.epoch < b->reg.epoch)
            return arena_printf(a, "the epoch of broker %d goes back from %" PRId64 " to %" PRId64, b->reg.id,
                                b->reg.epoch, r->register_broker.epoch);
    }
    if (r->type == RECORD_PARTITION)
        return partition_backwards(i, &r->partition, a);
    if (r->type == RECORD_FEATURE && r->feature.level < 0)
        return arena_printf(a, "feature %.*s gets level %d", TEXT(r->feature.name), r->feature.level);
    return NULL;
}

/* ---- what must hold of an image ---- */

struct faults {
    const struct image *image;
    struct arena arena;
    image_fault_fn each;
    void *arg;
    const struct image_topic *topic;
    int32_t index;
    int64_t stranded, leaving; /* partitions, as in the midst of a walk */
};

#define FAULT(f, fmt, ...) tell(f, false, arena_printf(&(f)->arena, fmt, __VA_ARGS__))
#define NOTE(f, fmt, ...)  tell(f, true, arena_printf(&(f)->arena, fmt, __VA_ARGS__))

static void tell(struct faults *f, bool note, const char *what)
{
    f->each(f->arg, arena_printf(&f->arena, "%.*s-%d: %s", TEXT(f->topic->name), f->index, what), note);
}

static void check_list(struct faults *f, const char *name, struct ids ids, struct ids replicas, bool kafkas)
{
    for (int n = 0; n < ids.n; n++) {
        struct ids before = {.v = ids.v, .n = n};

        if (ids_has(before, ids.v[n]))
            FAULT(f, "%s names broker %d twice", name, ids.v[n]);
        if (!ids_has(replicas, ids.v[n]) && kafkas)
            NOTE(f, "%s names broker %d, which is no replica", name, ids.v[n]);
        else if (!ids_has(replicas, ids.v[n]))
            FAULT(f, "%s names broker %d, which is no replica", name, ids.v[n]);
    }
}

static bool is_active(const struct image *i, int32_t id)
{
    const struct image_broker *b = image_broker(i, id);

    return b && !b->reg.fenced && !b->reg.in_controlled_shutdown;
}

static bool could_lead(const struct image *i, const struct record_partition *p, int32_t id)
{
    const struct image_broker *b = image_broker(i, id);

    if (!is_active(i, id))
        return false;
    for (int n = 0; n < p->replicas.n && n < p->dirs.n; n++)
        if (p->replicas.v[n] == id)
            return directory_online(b, p->dirs.v[n]);
    return true;
}

/* Who may lead a partition that nobody leads: how many, and the first of them. */
static int heirs(const struct faults *f, const struct record_partition *p, int32_t *first)
{
    const struct ids *v = p->isr.n == 0 && image_feature(f->image, FEATURE_ELR) > 0 ? &p->elr : &p->isr;
    int count = 0;

    for (int n = v->n - 1; n >= 0; n--)
        if (ids_has(p->replicas, v->v[n]) && could_lead(f->image, p, v->v[n])) {
            *first = v->v[n];
            count++;
        }
    return count;
}

/* A broker is fenced, or taken back, in steps: meanwhile it may lead what nobody leads. It is one broker, and a walk leaves an
 * ISR of more only where somebody of it leads. */
static void check_leaderless(struct faults *f, const struct record_partition *p)
{
    int32_t heir = -1;
    int n = heirs(f, p, &heir);

    if (n > 1 || (n == 1 && p->isr.n > 1))
        FAULT(f, "it has no leader, but broker %d %s could lead", heir,
              p->isr.n ? "of the ISR" : "of the eligible leaders");
    f->stranded += n == 1 && p->isr.n <= 1;
}

static void check_leader(struct faults *f, const struct record_partition *p)
{
    const struct image_broker *b = image_broker(f->image, p->leader);
    int32_t better = -1;

    for (int n = 0; n < p->isr.n && better < 0; n++)
        if (could_lead(f->image, p, p->isr.v[n]))
            better = p->isr.v[n];
    if (!ids_has(p->isr, p->leader))
        FAULT(f, "its leader %d isn't in the ISR", p->leader);
    if (!b)
        FAULT(f, "its leader %d isn't registered", p->leader);
    else if (b->reg.fenced && better >= 0)
        FAULT(f, "its leader %d is fenced, but broker %d could lead", p->leader, better);
    else if (!b->reg.fenced && b->reg.in_controlled_shutdown && better >= 0)
        f->leaving++;
}

static void check_partition(struct faults *f, const struct image_partition *p)
{
    struct meta_record all;
    const struct record_partition *r = &all.partition;

    partition_record(f->topic, p, &all);
    if (r->replicas.n == 0)
        FAULT(f, "it has %d replicas", r->replicas.n);
    check_list(f, "the list of replicas", r->replicas, r->replicas, false);
    check_list(f, "the ISR", r->isr, r->replicas, false);
    check_list(f, "the list of eligible leaders", r->elr, r->replicas, true);
    check_list(f, "the last known list of eligible leaders", r->last_elr, r->replicas, true);
    check_list(f, "the list of those being added", r->adding, r->replicas, false);
    check_list(f, "the list of those being removed", r->removing, r->replicas, false);
    for (int n = 0; n < r->elr.n; n++)
        if (ids_has(r->isr, r->elr.v[n]))
            FAULT(f, "broker %d is in the ISR and eligible besides", r->elr.v[n]);
    if (r->leader_epoch < 0 || r->partition_epoch < 0)
        FAULT(f, "its leader epoch is %d, its partition epoch %d", r->leader_epoch, r->partition_epoch);
    if (r->leader < 0)
        check_leaderless(f, r);
    else
        check_leader(f, r);
}

static void check_topic(struct faults *f)
{
    struct image_partitions w = image_partitions_from(f->topic, 0);
    const struct image_partition *p;

    for (f->index = 0; (p = image_partitions_next(&w)); f->index++) {
        if (partition_index(p) != f->index)
            FAULT(f, "it comes where partition %d was expected", partition_index(p));
        check_partition(f, p);
        arena_reset(&f->arena);
    }
    if (f->index == 0)
        f->each(f->arg, arena_printf(&f->arena, "topic %.*s has no partition", TEXT(f->topic->name)), false);
}

/* What may be so while a decision that looks at every partition is made, and isn't when it is over. */
static void tell_midway(struct faults *f)
{
    if (f->stranded)
        f->each(
            f->arg,
            arena_printf(&f->arena,
                         "%" PRId64
                         " partitions have no leader, but one broker that could lead: that is so while it "
                         "is fenced, leaves or comes back",
                         f->stranded),
            true);
    if (f->leaving)
        f->each(
            f->arg,
            arena_printf(&f->arena,
                         "%" PRId64
                         " partitions are led by a broker that is about to shut down, but others could lead: "
                         "that is so while it leaves",
                         f->leaving),
            true);
}

void image_faults(const struct image *i, struct heap *h, image_fault_fn each, void *arg)
{
    struct faults f = {.image = i, .each = each, .arg = arg};
    struct image_topics topics = image_topics_from(i, SLICE_NULL);
    struct image_configs configs = image_configs_all(i);
    const struct image_config *c;

    arena_init(&f.arena, h, SIZE_MAX);
    while ((f.topic = image_topics_next(&topics)))
        check_topic(&f);
    for (; (c = image_configs_next(&configs)); arena_reset(&f.arena))
        if (c->type == CONFIG_TOPIC && !image_topic_by_name(i, c->resource))
            each(arg,
                 arena_printf(&f.arena, "%.*s is set on topic %.*s, which doesn't exist", TEXT(c->name),
                              TEXT(c->resource)),
                 false);
    tell_midway(&f);
    arena_drop(&f.arena);
}
