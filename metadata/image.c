#include "metadata/image.h"
#include "base/check.h"
#include "metadata/image_kinds.h"

/* ---- holding ---- */

struct image *image_new(struct grave *g)
{
    struct image *i = heap_alloc(g->heap, sizeof(*i));

    i->refs = 1;
    i->offset = -1;
    i->topics.kind = &image_topic_kind;
    i->names.kind = i->collisions.kind = &image_name_kind;
    i->brokers.kind = &image_broker_kind;
    i->controllers.kind = &image_controller_kind;
    i->configs.kind = &image_config_kind;
    i->features.kind = &image_feature_kind;
    i->requests.kind = &image_request_kind;
    i->dues.kind = i->answers.kind = &image_due_kind;
    return i;
}

struct image *image_ref(struct image *i)
{
    ASSERT(i->sealed && i->refs > 0);
    i->refs++;
    return i;
}

static void content_drop(struct image *i, struct grave *g)
{
    pmap_drop(&i->topics, g);
    pmap_drop(&i->names, g);
    pmap_drop(&i->collisions, g);
    pmap_drop(&i->brokers, g);
    pmap_drop(&i->controllers, g);
    pmap_drop(&i->configs, g);
    pmap_drop(&i->features, g);
    pmap_drop(&i->requests, g);
    pmap_drop(&i->dues, g);
    pmap_drop(&i->answers, g);
    if (i->before)
        image_unref(i->before, g);
}

/* A draft that shares all of `base`. */
static void content_share(struct image *i, const struct image *base)
{
    *i = *base;
    i->refs = 1;
    i->sealed = false;
    i->topics = pmap_ref(&base->topics);
    i->names = pmap_ref(&base->names);
    i->collisions = pmap_ref(&base->collisions);
    i->brokers = pmap_ref(&base->brokers);
    i->controllers = pmap_ref(&base->controllers);
    i->configs = pmap_ref(&base->configs);
    i->features = pmap_ref(&base->features);
    i->requests = pmap_ref(&base->requests);
    i->dues = pmap_ref(&base->dues);
    i->answers = pmap_ref(&base->answers);
    if (base->before)
        i->before = image_ref(base->before);
}

void image_unref(struct image *i, struct grave *g)
{
    ASSERT(i->refs > 0);
    if (--i->refs > 0)
        return;
    content_drop(i, g);
    heap_free(g->heap, i);
}

struct image *image_draft(const struct image *base, struct grave *g)
{
    struct image *i = heap_alloc(g->heap, sizeof(*i));

    ASSERT(base->sealed);
    content_share(i, base);
    return i;
}

void image_return(struct image *draft, const struct image *base, struct grave *g)
{
    struct image was = *draft;

    ASSERT(!draft->sealed && draft->refs == 1);
    content_share(draft, base);
    draft->offset = was.offset;
    draft->epoch = was.epoch;
    draft->append_ms = was.append_ms;
    content_drop(&was, g);
}

void image_seal(struct image *draft)
{
    draft->sealed = true;
}

/* ---- asking ---- */

const struct image_topic *image_topic_by_id(const struct image *i, struct uuid id)
{
    return (const struct image_topic *)pmap_get(&i->topics, slice_of(id.b, sizeof(id.b)));
}

const struct image_topic *image_topic_by_name(const struct image *i, struct slice name)
{
    const struct image_name *n = (const struct image_name *)pmap_get(&i->names, name);

    return n ? image_topic_by_id(i, n->id) : NULL;
}

const struct image_partition *image_partition(const struct image_topic *t, int32_t n)
{
    uint8_t key[4];

    return (const struct image_partition *)pmap_get(&t->partitions, image_int_key(key, n));
}

const struct image_broker *image_broker(const struct image *i, int32_t id)
{
    uint8_t key[4];

    return (const struct image_broker *)pmap_get(&i->brokers, image_int_key(key, id));
}

const struct image_controller *image_controller(const struct image *i, int32_t id)
{
    uint8_t key[4];

    return (const struct image_controller *)pmap_get(&i->controllers, image_int_key(key, id));
}

const struct image_request *image_request(const struct image *i, struct uuid id, int32_t piece)
{
    uint8_t key[REQUEST_KEY_LEN];

    return (const struct image_request *)pmap_get(&i->requests, image_request_key(key, id, piece));
}

struct slice image_config_slice(const struct image *i, enum config_resource type, struct slice resource,
                                struct slice name)
{
    uint8_t room[1024];
    struct slice key = image_config_key(room, sizeof(room), type, resource, name);
    struct image_configs w;
    const struct image_config *c;

    if (key.p) {
        c = (const struct image_config *)pmap_get(&i->configs, key);
        return c ? c->value : SLICE_NULL;
    }
    w = image_configs_of(i, type, resource); /* names that nobody needs in a hurry */
    while ((c = image_configs_next(&w)))
        if (slice_eq(c->name, name))
            return c->value;
    return SLICE_NULL;
}

struct slice image_config(const struct image *i, enum config_resource type, struct slice resource,
                          const char *name)
{
    return image_config_slice(i, type, resource, SLICE(name));
}

int16_t image_feature_slice(const struct image *i, struct slice name)
{
    const struct image_feature *f = (const struct image_feature *)pmap_get(&i->features, name);

    return f ? f->level : 0;
}

int16_t image_feature(const struct image *i, const char *name)
{
    return image_feature_slice(i, SLICE(name));
}

struct slice image_name_collision(const struct image *i, struct slice name)
{
    uint8_t room[NAME_KEY_MAX];
    struct slice prefix;
    struct pmap_iter it;
    const struct image_name *n;

    if (!image_collision_prefix(name, room, &prefix))
        return SLICE_NULL;
    it = pmap_from(&i->collisions, prefix);
    while ((n = (const struct image_name *)pmap_next(&it))) {
        if (n->key.len < prefix.len || memcmp(n->key.p, prefix.p, prefix.len) != 0)
            break;
        if (!slice_eq(n->name, name))
            return n->name;
    }
    return SLICE_NULL;
}

struct uuids partition_dirs(const struct image_partition *p)
{
    int n = p->n_replicas + p->n_isr + p->n_removing + p->n_adding + p->n_elr + p->n_last_elr;

    return (struct uuids){.v = (const struct uuid *)(const void *)(p->ids + n), .n = p->n_replicas};
}

struct uuid partition_dir_of(const struct image_partition *p, int32_t broker)
{
    struct uuids dirs = partition_dirs(p);

    for (int i = 0; i < p->n_replicas && i < dirs.n; i++)
        if (p->ids[i] == broker)
            return dirs.v[i];
    return (struct uuid){{0}};
}

static struct ids next_ids(const int32_t **at, int n)
{
    struct ids ids = {.v = *at, .n = n};

    *at += n;
    return ids;
}

void partition_record(const struct image_topic *t, const struct image_partition *p, struct meta_record *out)
{
    struct record_partition *r = &out->partition;
    const int32_t *at = p->ids;

    memset(out, 0, sizeof(*out));
    out->type = RECORD_PARTITION;
    r->topic = t->id;
    r->index = partition_index(p);
    r->leader = p->leader;
    r->leader_epoch = p->leader_epoch;
    r->partition_epoch = p->partition_epoch;
    r->recovering = p->recovering;
    r->replicas = next_ids(&at, p->n_replicas);
    r->isr = next_ids(&at, p->n_isr);
    r->removing = next_ids(&at, p->n_removing);
    r->adding = next_ids(&at, p->n_adding);
    r->elr = next_ids(&at, p->n_elr);
    r->last_elr = next_ids(&at, p->n_last_elr);
    r->dirs = partition_dirs(p);
    if (p->unknown_len)
        out->unknown = slice_of(r->dirs.v + r->dirs.n, p->unknown_len);
}

bool ids_has(struct ids ids, int32_t id)
{
    for (int i = 0; i < ids.n; i++)
        if (ids.v[i] == id)
            return true;
    return false;
}

struct record_partition_change partition_unchanged(struct uuid topic, int32_t index)
{
    return (struct record_partition_change){.topic = topic,
                                            .index = index,
                                            .leader = LEADER_SAME,
                                            .recovering = -1,
                                            .replicas = IDS_SAME,
                                            .isr = IDS_SAME,
                                            .removing = IDS_SAME,
                                            .adding = IDS_SAME,
                                            .elr = IDS_SAME,
                                            .last_elr = IDS_SAME,
                                            .dirs = UUIDS_SAME};
}

void partition_merge(struct record_partition *p, const struct record_partition_change *c)
{
    if (c->leader != LEADER_SAME) {
        p->leader = c->leader;
        p->leader_epoch++;
    }
    if (c->recovering >= 0)
        p->recovering = c->recovering > 0;
    if (c->isr.n >= 0)
        p->isr = c->isr;
    if (c->removing.n >= 0)
        p->removing = c->removing;
    if (c->adding.n >= 0)
        p->adding = c->adding;
    if (c->elr.n >= 0)
        p->elr = c->elr;
    if (c->last_elr.n >= 0)
        p->last_elr = c->last_elr;
    if (c->replicas.n >= 0)
        p->replicas = c->replicas;
    if (c->dirs.n >= 0)
        p->dirs = c->dirs;
    p->partition_epoch++;
}

/* ---- walks ---- */

struct image_topics image_topics_from(const struct image *i, struct slice name)
{
    return (struct image_topics){.it = pmap_from(&i->names, name), .image = i};
}

const struct image_topic *image_topics_next(struct image_topics *w)
{
    const struct image_name *n = (const struct image_name *)pmap_next(&w->it);

    return n ? image_topic_by_id(w->image, n->id) : NULL;
}

struct image_partitions image_partitions_from(const struct image_topic *t, int32_t n)
{
    uint8_t key[4];

    return (struct image_partitions){.it = pmap_from(&t->partitions, image_int_key(key, n))};
}

const struct image_partition *image_partitions_next(struct image_partitions *w)
{
    return (const struct image_partition *)pmap_next(&w->it);
}

struct image_brokers image_brokers_all(const struct image *i)
{
    return (struct image_brokers){.it = pmap_first(&i->brokers)};
}

const struct image_broker *image_brokers_next(struct image_brokers *w)
{
    return (const struct image_broker *)pmap_next(&w->it);
}

struct image_controllers image_controllers_all(const struct image *i)
{
    return (struct image_controllers){.it = pmap_first(&i->controllers)};
}

const struct image_controller *image_controllers_next(struct image_controllers *w)
{
    return (const struct image_controller *)pmap_next(&w->it);
}

struct image_features image_features_all(const struct image *i)
{
    return (struct image_features){.it = pmap_first(&i->features)};
}

const struct image_feature *image_features_next(struct image_features *w)
{
    return (const struct image_feature *)pmap_next(&w->it);
}

struct image_requests image_requests_all(const struct image *i)
{
    return (struct image_requests){.it = pmap_first(&i->dues)};
}

struct image_requests image_requests_answers(const struct image *i)
{
    return (struct image_requests){.it = pmap_first(&i->answers)};
}

const struct image_request *image_requests_next(struct image_requests *w)
{
    return (const struct image_request *)pmap_next(&w->it);
}

struct image_configs image_configs_of(const struct image *i, enum config_resource type, struct slice resource)
{
    uint8_t head[CONFIG_KEY_HEAD] = {(uint8_t)type, (uint8_t)(resource.len >> 8), (uint8_t)resource.len};
    uint8_t room[1024];
    struct slice key = image_config_key(room, sizeof(room), type, resource, SLICE_NULL);

    if (!key.p) /* too long for the stack: begin where names of that length begin */
        key = slice_of(head, sizeof(head));
    return (struct image_configs){
        .it = pmap_from(&i->configs, key), .type = (int8_t)type, .resource = resource};
}

struct image_configs image_configs_all(const struct image *i)
{
    return (struct image_configs){.it = pmap_first(&i->configs)};
}

const struct image_config *image_configs_next(struct image_configs *w)
{
    const struct image_config *c;

    while ((c = (const struct image_config *)pmap_next(&w->it))) {
        int order = w->type ? c->type - w->type : 0;

        if (w->type && order == 0)
            order = c->resource.len != w->resource.len ? (c->resource.len > w->resource.len ? 1 : -1)
                                                       : slice_cmp(c->resource, w->resource);
        if (order == 0)
            return c;
        if (order > 0)
            break;
    }
    w->it.depth = 0;
    return NULL;
}
