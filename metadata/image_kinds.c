#include "metadata/image_kinds.h"
#include "base/check.h"
#include "proto/bigend.h"

/* Each value is one block of memory: the struct, then what it points to. A packer runs twice over the same
 * calls: first with to == NULL to measure, then to copy. */
struct packer {
    uint8_t *to;
    size_t len;
};

static void *pack(struct packer *p, const void *from, size_t len, size_t align)
{
    size_t at = (p->len + align - 1) / align * align;
    uint8_t *to = p->to ? p->to + at : NULL;

    p->len = at + len;
    if (to && len)
        memcpy(to, from, len);
    return to;
}

static struct slice pack_slice(struct packer *p, struct slice s)
{
    return s.p ? slice_of(pack(p, s.p, s.len, 1), s.len) : SLICE_NULL;
}

static void simple_drop(struct grave *g, struct pval *v)
{
    heap_free(g->heap, v);
}

/* For values that are replaced, never edited. */
static struct pval *never_copy(struct grave *g, const struct pval *v)
{
    ASSERT(false);
    return NULL;
}

struct slice image_int_key(uint8_t to[4], int32_t n)
{
    put_be32(to, (uint32_t)n);
    return slice_of(to, 4);
}

/* ---- topics and their names ---- */

static struct slice topic_key(const struct pval *v)
{
    return slice_of(((const struct image_topic *)v)->id.b, sizeof(struct uuid));
}

static void topic_drop(struct grave *g, struct pval *v)
{
    pmap_drop(&((struct image_topic *)v)->partitions, g);
    heap_free(g->heap, v);
}

struct image_topic *image_topic_make(struct grave *g, const struct record_topic *r, struct slice unknown)
{
    struct image_topic *t = heap_alloc(g->heap, sizeof(*t) + r->name.len + unknown.len);
    struct packer p = {.to = (uint8_t *)t, .len = sizeof(*t)};

    t->ref.refs = 1;
    t->id = r->id;
    t->name = pack_slice(&p, r->name);
    t->unknown = pack_slice(&p, unknown);
    t->partitions.kind = &image_partition_kind;
    return t;
}

static struct pval *topic_copy(struct grave *g, const struct pval *v)
{
    const struct image_topic *old = (const struct image_topic *)v;
    struct image_topic *t =
        image_topic_make(g, &(struct record_topic){.name = old->name, .id = old->id}, old->unknown);

    t->partitions = pmap_ref(&old->partitions);
    return &t->ref;
}

const struct pmap_kind image_topic_kind = {.key = topic_key, .drop = topic_drop, .copy = topic_copy};

static struct slice name_key(const struct pval *v)
{
    return ((const struct image_name *)v)->key;
}

const struct pmap_kind image_name_kind = {.key = name_key, .drop = simple_drop, .copy = never_copy};

struct image_name *image_name_make(struct grave *g, struct slice key, struct slice name, struct uuid id)
{
    struct image_name *n = heap_alloc(g->heap, sizeof(*n) + key.len);
    struct packer p = {.to = (uint8_t *)n, .len = sizeof(*n)};

    ASSERT(name.len <= key.len);
    n->ref.refs = 1;
    n->id = id;
    n->key = pack_slice(&p, key);
    n->name = slice_of(n->key.p + key.len - name.len, name.len); /* keys end with the name */
    return n;
}

bool image_collision_prefix(struct slice name, uint8_t to[NAME_KEY_MAX], struct slice *key)
{
    bool has = false;

    if (name.len + 1 > NAME_KEY_MAX / 2)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        has |= name.p[i] == '.' || name.p[i] == '_';
        to[i] = name.p[i] == '.' ? '_' : name.p[i];
    }
    to[name.len] = 0;
    *key = slice_of(to, name.len + 1);
    return has;
}

/* ---- partitions ---- */

static struct slice partition_key(const struct pval *v)
{
    return slice_of(((const struct image_partition *)v)->key, 4);
}

const struct pmap_kind image_partition_kind = {.key = partition_key, .drop = simple_drop, .copy = never_copy};

static uint16_t put_ids(int32_t **at, struct ids ids)
{
    ASSERT(ids.n >= 0 && ids.n <= UINT16_MAX);
    if (ids.n)
        memcpy(*at, ids.v, (size_t)ids.n * sizeof(ids.v[0]));
    *at += ids.n;
    return (uint16_t)ids.n;
}

struct image_partition *image_partition_make(struct grave *g, const struct record_partition *r,
                                             struct slice unknown)
{
    size_t n = (size_t)(r->replicas.n + r->isr.n + r->removing.n + r->adding.n + r->elr.n + r->last_elr.n);
    size_t dirs = (size_t)r->dirs.n * sizeof(struct uuid);
    struct image_partition *p;
    int32_t *at;

    ASSERT(r->dirs.n == r->replicas.n && unknown.len <= UINT16_MAX);
    p = heap_alloc(g->heap, sizeof(*p) + n * sizeof(int32_t) + dirs + unknown.len);
    p->ref.refs = 1;
    put_be32(p->key, (uint32_t)r->index);
    p->leader = r->leader;
    p->leader_epoch = r->leader_epoch;
    p->partition_epoch = r->partition_epoch;
    p->recovering = r->recovering;
    at = p->ids;
    p->n_replicas = put_ids(&at, r->replicas);
    p->n_isr = put_ids(&at, r->isr);
    p->n_removing = put_ids(&at, r->removing);
    p->n_adding = put_ids(&at, r->adding);
    p->n_elr = put_ids(&at, r->elr);
    p->n_last_elr = put_ids(&at, r->last_elr);
    if (dirs)
        memcpy(at, r->dirs.v, dirs);
    p->unknown_len = (uint16_t)unknown.len;
    if (unknown.len)
        memcpy((uint8_t *)at + dirs, unknown.p, unknown.len);
    return p;
}

/* ---- brokers ---- */

static struct slice broker_key(const struct pval *v)
{
    return slice_of(((const struct image_broker *)v)->key, 4);
}

const struct pmap_kind image_broker_kind = {.key = broker_key, .drop = simple_drop, .copy = never_copy};

static const struct endpoint *pack_endpoints(struct packer *p, const struct endpoint *v, int32_t n)
{
    struct endpoint *e = pack(p, v, (size_t)n * sizeof(*e), _Alignof(struct endpoint));

    for (int32_t i = 0; i < n; i++) {
        struct slice name = pack_slice(p, v[i].name), host = pack_slice(p, v[i].host);

        if (e) {
            e[i].name = name;
            e[i].host = host;
        }
    }
    return e;
}

static const struct feature_range *pack_features(struct packer *p, const struct feature_range *v, int32_t n)
{
    struct feature_range *f = pack(p, v, (size_t)n * sizeof(*f), _Alignof(struct feature_range));

    for (int32_t i = 0; i < n; i++) {
        struct slice name = pack_slice(p, v[i].name);

        if (f)
            f[i].name = name;
    }
    return f;
}

static void broker_pack(struct packer *p, struct image_broker *b, const struct record_register_broker *r,
                        struct slice unknown)
{
    b->reg.endpoints = pack_endpoints(p, r->endpoints, r->n_endpoints);
    b->reg.features = pack_features(p, r->features, r->n_features);
    b->reg.rack = pack_slice(p, r->rack);
    b->reg.dirs.v = pack(p, r->dirs.v, (size_t)r->dirs.n * sizeof(struct uuid), 1);
    b->reg.cordoned.v = pack(p, r->cordoned.v, (size_t)r->cordoned.n * sizeof(struct uuid), 1);
    b->unknown = pack_slice(p, unknown);
}

struct image_broker *image_broker_make(struct grave *g, const struct record_register_broker *r,
                                       struct slice unknown)
{
    struct image_broker measure = {.reg = *r}, *b;
    struct packer p = {.len = sizeof(*b)};

    broker_pack(&p, &measure, r, unknown);
    b = heap_alloc(g->heap, p.len);
    b->ref.refs = 1;
    (void)image_int_key(b->key, r->id);
    b->reg = *r;
    p = (struct packer){.to = (uint8_t *)b, .len = sizeof(*b)};
    broker_pack(&p, b, r, unknown);
    return b;
}

static struct slice controller_key(const struct pval *v)
{
    return slice_of(((const struct image_controller *)v)->key, 4);
}

const struct pmap_kind image_controller_kind = {
    .key = controller_key, .drop = simple_drop, .copy = never_copy};

static void controller_pack(struct packer *p, struct image_controller *c,
                            const struct record_register_controller *r, struct slice unknown)
{
    c->reg.endpoints = pack_endpoints(p, r->endpoints, r->n_endpoints);
    c->reg.features = pack_features(p, r->features, r->n_features);
    c->unknown = pack_slice(p, unknown);
}

struct image_controller *image_controller_make(struct grave *g, const struct record_register_controller *r,
                                               struct slice unknown)
{
    struct image_controller measure, *c;
    struct packer p = {.len = sizeof(*c)};

    controller_pack(&p, &measure, r, unknown);
    c = heap_alloc(g->heap, p.len);
    c->ref.refs = 1;
    (void)image_int_key(c->key, r->id);
    c->reg = *r;
    p = (struct packer){.to = (uint8_t *)c, .len = sizeof(*c)};
    controller_pack(&p, c, r, unknown);
    return c;
}

/* ---- configs and features ---- */

static struct slice config_key(const struct pval *v)
{
    return ((const struct image_config *)v)->key;
}

const struct pmap_kind image_config_kind = {.key = config_key, .drop = simple_drop, .copy = never_copy};

struct slice image_config_key(uint8_t *to, size_t room, enum config_resource type, struct slice resource,
                              struct slice name)
{
    size_t len = CONFIG_KEY_HEAD + resource.len + name.len;

    if (resource.len > UINT16_MAX || len > room)
        return SLICE_NULL;
    to[0] = (uint8_t)type;
    put_be16(to + 1, (uint16_t)resource.len);
    if (resource.len)
        memcpy(to + CONFIG_KEY_HEAD, resource.p, resource.len);
    if (name.len)
        memcpy(to + CONFIG_KEY_HEAD + resource.len, name.p, name.len);
    return slice_of(to, len);
}

struct image_config *image_config_make(struct grave *g, const struct record_config *r)
{
    size_t key = CONFIG_KEY_HEAD + r->resource.len + r->name.len;
    struct image_config *c = heap_alloc(g->heap, sizeof(*c) + key + r->value.len);
    uint8_t *at = (uint8_t *)(c + 1);

    c->ref.refs = 1;
    c->type = r->resource_type;
    c->key = image_config_key(at, key, (enum config_resource)r->resource_type, r->resource, r->name);
    ASSERT(c->key.p != NULL);
    c->resource = slice_of(at + CONFIG_KEY_HEAD, r->resource.len);
    c->name = slice_of(at + CONFIG_KEY_HEAD + r->resource.len, r->name.len);
    c->value = slice_of(at + key, r->value.len);
    if (r->value.len)
        memcpy(at + key, r->value.p, r->value.len);
    return c;
}

static struct slice feature_key(const struct pval *v)
{
    return ((const struct image_feature *)v)->name;
}

const struct pmap_kind image_feature_kind = {.key = feature_key, .drop = simple_drop, .copy = never_copy};

struct image_feature *image_feature_make(struct grave *g, const struct record_feature *r)
{
    struct image_feature *f = heap_alloc(g->heap, sizeof(*f) + r->name.len);
    struct packer p = {.to = (uint8_t *)f, .len = sizeof(*f)};

    f->ref.refs = 1;
    f->level = r->level;
    f->name = pack_slice(&p, r->name);
    return f;
}

/* ---- answers of requests ---- */

struct slice image_request_key(uint8_t to[REQUEST_KEY_LEN], struct uuid id, int32_t piece)
{
    memcpy(to, id.b, sizeof(id.b));
    put_be32(to + sizeof(id.b), (uint32_t)piece);
    return slice_of(to, REQUEST_KEY_LEN);
}

static struct slice request_key(const struct pval *v)
{
    return slice_of(((const struct image_request *)v)->due + 8, REQUEST_KEY_LEN);
}

const struct pmap_kind image_request_kind = {.key = request_key, .drop = simple_drop, .copy = never_copy};

static struct slice due_key(const struct pval *v)
{
    const struct image_request *q = (const struct image_request *)v;

    return slice_of(q->due, sizeof(q->due));
}

const struct pmap_kind image_due_kind = {.key = due_key, .drop = simple_drop, .copy = never_copy};

struct image_request *image_request_make(struct grave *g, const struct record_request_done *r,
                                         struct slice unknown)
{
    struct image_request *q = heap_alloc(g->heap, sizeof(*q) + r->answer.len + unknown.len);
    struct packer p = {.to = (uint8_t *)q, .len = sizeof(*q)};

    q->ref.refs = r->answer.p ? 3 : 2;
    put_be64(q->due, (uint64_t)request_due_ms(r));
    (void)image_request_key(q->due + 8, r->id, r->piece);
    q->done = *r;
    q->done.answer = pack_slice(&p, r->answer);
    q->unknown = pack_slice(&p, unknown);
    return q;
}
