#include "base/check.h"
#include "metadata/image.h"
#include "metadata/image_kinds.h"

/* image_replay(): one function a record type. They change the draft and nothing else, and assert what decide
 * promises. */

static void replay_register_broker(struct image *i, struct grave *g, const struct meta_record *r)
{
    pmap_put(&i->brokers, g, &image_broker_make(g, &r->register_broker, r->unknown)->ref);
}

static void replay_unregister_broker(struct image *i, struct grave *g, const struct meta_record *r)
{
    uint8_t key[4];

    ASSERT(pmap_remove(&i->brokers, g, image_int_key(key, r->unregister_broker.id)));
}

static void replay_broker_change(struct image *i, struct grave *g, const struct meta_record *r)
{
    const struct record_broker_change *c = &r->broker_change;
    const struct image_broker *old = image_broker(i, c->id);
    struct record_register_broker reg;

    ASSERT(old && old->reg.epoch == c->epoch);
    reg = old->reg;
    if (c->fenced)
        reg.fenced = c->fenced > 0;
    if (c->in_controlled_shutdown)
        reg.in_controlled_shutdown = true;
    if (c->dirs.n >= 0)
        reg.dirs = c->dirs;
    if (c->cordoned.n >= 0)
        reg.cordoned = c->cordoned;
    pmap_put(&i->brokers, g, &image_broker_make(g, &reg, old->unknown)->ref);
}

static void replay_topic(struct image *i, struct grave *g, const struct meta_record *r)
{
    const struct record_topic *t = &r->topic;
    uint8_t room[NAME_KEY_MAX];
    struct slice prefix;

    ASSERT(t->name.len < NAME_KEY_MAX / 2 && !image_topic_by_id(i, t->id) && !pmap_get(&i->names, t->name));
    pmap_put(&i->topics, g, &image_topic_make(g, t, r->unknown)->ref);
    pmap_put(&i->names, g, &image_name_make(g, t->name, t->name, t->id)->ref);
    if (image_collision_prefix(t->name, room, &prefix)) {
        memcpy(prefix.p + prefix.len, t->name.p, t->name.len);
        prefix.len += t->name.len;
        pmap_put(&i->collisions, g, &image_name_make(g, prefix, t->name, t->id)->ref);
    }
}

/* Its settings go with a topic: one at a time, because removing moves what a walk stands on. */
static void remove_configs(struct image *i, struct grave *g, enum config_resource type, struct slice resource)
{
    for (;;) {
        struct image_configs w = image_configs_of(i, type, resource);
        const struct image_config *c = image_configs_next(&w);

        if (!c)
            return;
        ASSERT(pmap_remove(&i->configs, g, c->key));
    }
}

static void replay_remove_topic(struct image *i, struct grave *g, const struct meta_record *r)
{
    const struct image_topic *t = image_topic_by_id(i, r->remove_topic.id);
    uint8_t room[NAME_KEY_MAX];
    struct slice prefix;

    ASSERT(t != NULL);
    remove_configs(i, g, CONFIG_TOPIC, t->name);
    if (image_collision_prefix(t->name, room, &prefix)) {
        memcpy(prefix.p + prefix.len, t->name.p, t->name.len);
        prefix.len += t->name.len;
        ASSERT(pmap_remove(&i->collisions, g, prefix));
    }
    i->n_partitions -= t->partitions.count;
    ASSERT(pmap_remove(&i->names, g, t->name));
    ASSERT(pmap_remove(&i->topics, g, slice_of(r->remove_topic.id.b, sizeof(struct uuid))));
}

static void put_partition(struct image *i, struct grave *g, const struct record_partition *r,
                          struct slice unknown)
{
    struct image_topic *t =
        (struct image_topic *)pmap_edit(&i->topics, g, slice_of(r->topic.b, sizeof(r->topic.b)));
    uint32_t before;

    ASSERT(t && r->index >= 0 && (uint32_t)r->index <= t->partitions.count);
    before = t->partitions.count;
    pmap_put(&t->partitions, g, &image_partition_make(g, r, unknown)->ref);
    i->n_partitions += t->partitions.count - before;
}

static void replay_partition(struct image *i, struct grave *g, const struct meta_record *r)
{
    put_partition(i, g, &r->partition, r->unknown);
}

static void replay_partition_change(struct image *i, struct grave *g, const struct meta_record *r)
{
    const struct record_partition_change *c = &r->partition_change;
    const struct image_topic *t = image_topic_by_id(i, c->topic);
    const struct image_partition *p = t ? image_partition(t, c->index) : NULL;
    struct meta_record now;

    ASSERT(p != NULL);
    partition_record(t, p, &now);
    partition_merge(&now.partition, c);
    put_partition(i, g, &now.partition, now.unknown);
}

static void clear_elr(struct image *i, struct grave *g, struct uuid topic, bool leaderless_stay)
{
    const struct image_topic *t = image_topic_by_id(i, topic);
    int32_t n = (int32_t)t->partitions.count;

    for (int32_t index = 0; index < n; index++) {
        const struct image_partition *p = image_partition(image_topic_by_id(i, topic), index);
        struct record_partition_change none = partition_unchanged(topic, index);
        struct meta_record now;

        if ((p->n_elr == 0 && p->n_last_elr == 0) || (leaderless_stay && p->n_isr == 0))
            continue;
        partition_record(t, p, &now);
        none.elr = none.last_elr = (struct ids){0};
        partition_merge(&now.partition, &none);
        put_partition(i, g, &now.partition, now.unknown);
        t = image_topic_by_id(i, topic);
    }
}

/* Names stay as they are meanwhile, so the walk over them does too. */
static void replay_clear_elr(struct image *i, struct grave *g, const struct meta_record *r)
{
    struct slice name = r->clear_elr.topic;
    struct pmap_iter it = pmap_from(&i->names, name);
    const struct image_name *n;

    while ((n = (const struct image_name *)pmap_next(&it)) && (name.len == 0 || slice_eq(n->name, name)))
        clear_elr(i, g, n->id, r->clear_elr.leaderless_stay);
}

static void replay_register_controller(struct image *i, struct grave *g, const struct meta_record *r)
{
    pmap_put(&i->controllers, g, &image_controller_make(g, &r->register_controller, r->unknown)->ref);
}

static void replay_config(struct image *i, struct grave *g, const struct meta_record *r)
{
    const struct record_config *c = &r->config;
    struct image_config *made = image_config_make(g, c);

    if (c->value.p) {
        pmap_put(&i->configs, g, &made->ref);
        return;
    }
    (void)pmap_remove(&i->configs, g, made->key);
    pval_unref(&image_config_kind, g, &made->ref);
}

static void replay_feature(struct image *i, struct grave *g, const struct meta_record *r)
{
    if (r->feature.level)
        pmap_put(&i->features, g, &image_feature_make(g, &r->feature)->ref);
    else
        (void)pmap_remove(&i->features, g, r->feature.name);
}

static void replay_producer_ids(struct image *i, struct grave *g, const struct meta_record *r)
{
    ASSERT(r->producer_ids.next >= i->next_producer_id);
    i->next_producer_id = r->producer_ids.next;
}

static void replay_no_op(struct image *i, struct grave *g, const struct meta_record *r)
{
}

static void replay_begin_transaction(struct image *i, struct grave *g, const struct meta_record *r)
{
    struct image *before;

    ASSERT(!i->before);
    image_seal(i);
    before = image_draft(i, g);
    i->sealed = false;
    image_seal(before);
    i->before = before;
}

static void replay_end_transaction(struct image *i, struct grave *g, const struct meta_record *r)
{
    ASSERT(i->before);
    image_unref(i->before, g);
    i->before = NULL;
}

static void replay_abort_transaction(struct image *i, struct grave *g, const struct meta_record *r)
{
    ASSERT(i->before);
    image_return(i, i->before, g);
}

/* ---- answers of requests ---- */

static void request_drop(struct image *i, struct grave *g, const struct image_request *q)
{
    uint8_t due[sizeof(q->due)];
    struct slice key = slice_of(due, sizeof(due));

    memcpy(due, q->due, sizeof(due));
    i->request_bytes -= request_size(q);
    if (q->done.answer.p)
        ASSERT(pmap_remove(&i->answers, g, key));
    ASSERT(pmap_remove(&i->dues, g, key));
    ASSERT(pmap_remove(&i->requests, g, slice_of(due + 8, sizeof(due) - 8)));
}

static void request_put(struct image *i, struct grave *g, struct image_request *q)
{
    i->request_bytes += request_size(q);
    pmap_put(&i->requests, g, &q->ref);
    pmap_put(&i->dues, g, &q->ref);
    if (q->done.answer.p)
        pmap_put(&i->answers, g, &q->ref);
}

static void replay_request_done(struct image *i, struct grave *g, const struct meta_record *r)
{
    const struct image_request *before = image_request(i, r->request_done.id, r->request_done.piece);

    if (before)
        request_drop(i, g, before);
    request_put(i, g, image_request_make(g, &r->request_done, r->unknown));
}

/* Of all its pieces the first stays, to say that it was given. */
static void answer_drop(struct image *i, struct grave *g, const struct image_request *q)
{
    struct record_request_done only = q->done;
    struct image_request *stays = NULL;

    only.answer = SLICE_NULL;
    only.last_piece = 0;
    if (only.piece == 0)
        stays = image_request_make(g, &only, q->unknown);
    request_drop(i, g, q);
    if (stays)
        request_put(i, g, stays);
}

/* One at a time, because removing moves what a walk stands on. */
static void replay_requests_forget(struct image *i, struct grave *g, const struct meta_record *r)
{
    const struct record_requests_forget *f = &r->requests_forget;

    for (;;) {
        struct image_requests w = f->answers_only ? image_requests_answers(i) : image_requests_all(i);
        const struct image_request *q = image_requests_next(&w);
        int64_t due = q ? request_due_ms(&q->done) : INT64_MAX;

        if (!q || due > f->due_ms || (due == f->due_ms && memcmp(&q->done.id, &f->last, sizeof(f->last)) > 0))
            return;
        if (f->answers_only)
            answer_drop(i, g, q);
        else
            request_drop(i, g, q);
    }
}

static void replay_cluster(struct image *i, struct grave *g, const struct meta_record *r)
{
    ASSERT(r->cluster.id.len <= CLUSTER_ID_MAX);
    memcpy(i->cluster_id, r->cluster.id.p, r->cluster.id.len);
    i->cluster_id[r->cluster.id.len] = 0;
}

void image_replay(struct image *draft, struct grave *g, const struct meta_record *r)
{
    ASSERT(!draft->sealed);
    switch (r->type) {
#define RECORD(NAME, name, message, number)                                                                  \
    case RECORD_##NAME:                                                                                      \
        replay_##name(draft, g, r);                                                                          \
        return;
#include "metadata/record.def"
#undef RECORD
    }
    ASSERT(false);
}
