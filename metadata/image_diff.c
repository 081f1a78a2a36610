#include "base/map.h"
#include "metadata/image.h"
#include "metadata/image_kinds.h"

/* ---- what changed ---- */

struct diff_walk {
    const struct image_diff *ops;
    const struct image_topic *topic;
};

static void each_feature(void *arg, const struct pval *before, const struct pval *after)
{
    struct diff_walk *w = arg;

    w->ops->feature(w->ops->arg, (const struct image_feature *)before, (const struct image_feature *)after);
}

static void each_broker(void *arg, const struct pval *before, const struct pval *after)
{
    struct diff_walk *w = arg;

    w->ops->broker(w->ops->arg, (const struct image_broker *)before, (const struct image_broker *)after);
}

static void each_controller(void *arg, const struct pval *before, const struct pval *after)
{
    struct diff_walk *w = arg;

    w->ops->controller(w->ops->arg, (const struct image_controller *)before,
                       (const struct image_controller *)after);
}

static void each_config(void *arg, const struct pval *before, const struct pval *after)
{
    struct diff_walk *w = arg;

    w->ops->config(w->ops->arg, (const struct image_config *)before, (const struct image_config *)after);
}

static void each_request(void *arg, const struct pval *before, const struct pval *after)
{
    struct diff_walk *w = arg;

    w->ops->request(w->ops->arg, (const struct image_request *)before, (const struct image_request *)after);
}

static void each_partition(void *arg, const struct pval *before, const struct pval *after)
{
    struct diff_walk *w = arg;

    w->ops->partition(w->ops->arg, w->topic, (const struct image_partition *)before,
                      (const struct image_partition *)after);
}

static void each_topic(void *arg, const struct pval *before, const struct pval *after)
{
    static const struct pmap none = {.kind = &image_partition_kind};
    const struct image_topic *old = (const struct image_topic *)before,
                             *now = (const struct image_topic *)after;
    struct diff_walk *w = arg;

    if (w->ops->topic)
        w->ops->topic(w->ops->arg, old, now);
    w->topic = now ? now : old;
    if (w->ops->partition)
        pmap_diff(old ? &old->partitions : &none, now ? &now->partitions : &none, each_partition, w);
}

void image_diff(const struct image *before, const struct image *after, const struct image_diff *ops)
{
    struct diff_walk w = {.ops = ops};
    static const struct image nothing = {.topics = {.kind = &image_topic_kind},
                                         .brokers = {.kind = &image_broker_kind},
                                         .controllers = {.kind = &image_controller_kind},
                                         .configs = {.kind = &image_config_kind},
                                         .features = {.kind = &image_feature_kind},
                                         .requests = {.kind = &image_request_kind}};

    if (!before)
        before = &nothing;
    if (ops->feature)
        pmap_diff(&before->features, &after->features, each_feature, &w);
    if (ops->broker)
        pmap_diff(&before->brokers, &after->brokers, each_broker, &w);
    if (ops->controller)
        pmap_diff(&before->controllers, &after->controllers, each_controller, &w);
    if (ops->topic || ops->partition)
        pmap_diff(&before->topics, &after->topics, each_topic, &w);
    if (ops->config)
        pmap_diff(&before->configs, &after->configs, each_config, &w);
    if (ops->request)
        pmap_diff(&before->requests, &after->requests, each_request, &w);
}

/* ---- as records ---- */

enum {
    STAGE_CLUSTER,
    STAGE_FEATURES,
    STAGE_BROKERS,
    STAGE_CONTROLLERS,
    STAGE_TOPICS,
    STAGE_CONFIGS,
    STAGE_PRODUCER_IDS,
    STAGE_REQUESTS,
    STAGE_END
};

struct image_records image_records(const struct image *i)
{
    return (struct image_records){.image = i,
                                  .features = image_features_all(i),
                                  .brokers = image_brokers_all(i),
                                  .controllers = image_controllers_all(i),
                                  .topics = image_topics_from(i, SLICE_NULL),
                                  .configs = image_configs_all(i),
                                  .requests = image_requests_all(i)};
}

static struct meta_record cluster_record(const struct image *i)
{
    return (struct meta_record){.type = RECORD_CLUSTER, .cluster = {.id = SLICE(i->cluster_id)}};
}

static struct meta_record feature_record(const struct image_feature *f)
{
    return (struct meta_record){.type = RECORD_FEATURE, .feature = {.name = f->name, .level = f->level}};
}

static struct meta_record broker_record(const struct image_broker *b)
{
    return (struct meta_record){
        .type = RECORD_REGISTER_BROKER, .register_broker = b->reg, .unknown = b->unknown};
}

static struct meta_record controller_record(const struct image_controller *c)
{
    return (struct meta_record){
        .type = RECORD_REGISTER_CONTROLLER, .register_controller = c->reg, .unknown = c->unknown};
}

static struct meta_record topic_record(const struct image_topic *t)
{
    return (struct meta_record){
        .type = RECORD_TOPIC, .topic = {.name = t->name, .id = t->id}, .unknown = t->unknown};
}

static struct meta_record config_record(const struct image_config *c)
{
    return (struct meta_record){
        .type = RECORD_CONFIG,
        .config = {.resource_type = c->type, .resource = c->resource, .name = c->name, .value = c->value}};
}

static struct meta_record producer_ids_record(const struct image *i)
{
    return (struct meta_record){
        .type = RECORD_PRODUCER_IDS,
        .producer_ids = {.broker_id = -1, .broker_epoch = -1, .next = i->next_producer_id}};
}

static struct meta_record request_record(const struct image_request *q)
{
    return (struct meta_record){.type = RECORD_REQUEST_DONE, .request_done = q->done, .unknown = q->unknown};
}

static bool feature_next(struct image_records *w, struct meta_record *out)
{
    const struct image_feature *f = image_features_next(&w->features);

    if (f)
        *out = feature_record(f);
    return f != NULL;
}

static bool broker_next(struct image_records *w, struct meta_record *out)
{
    const struct image_broker *b = image_brokers_next(&w->brokers);

    if (b)
        *out = broker_record(b);
    return b != NULL;
}

static bool controller_next(struct image_records *w, struct meta_record *out)
{
    const struct image_controller *c = image_controllers_next(&w->controllers);

    if (c)
        *out = controller_record(c);
    return c != NULL;
}

/* A topic, its partitions, the next topic. */
static bool topic_next(struct image_records *w, struct meta_record *out)
{
    const struct image_partition *p = w->topic ? image_partitions_next(&w->partitions) : NULL;

    if (p) {
        partition_record(w->topic, p, out);
        return true;
    }
    w->topic = image_topics_next(&w->topics);
    if (!w->topic)
        return false;
    w->partitions = image_partitions_from(w->topic, 0);
    *out = topic_record(w->topic);
    return true;
}

static bool config_next(struct image_records *w, struct meta_record *out)
{
    const struct image_config *c = image_configs_next(&w->configs);

    if (c)
        *out = config_record(c);
    return c != NULL;
}

static bool request_next(struct image_records *w, struct meta_record *out)
{
    const struct image_request *q = image_requests_next(&w->requests);

    if (q)
        *out = request_record(q);
    return q != NULL;
}

bool image_records_next(struct image_records *w, struct meta_record *out)
{
    for (;; w->stage++) {
        switch (w->stage) {
        case STAGE_CLUSTER:
            if (!w->image->cluster_id[0])
                continue;
            *out = cluster_record(w->image);
            w->stage++;
            return true;
        case STAGE_FEATURES:
            if (feature_next(w, out))
                return true;
            continue;
        case STAGE_BROKERS:
            if (broker_next(w, out))
                return true;
            continue;
        case STAGE_CONTROLLERS:
            if (controller_next(w, out))
                return true;
            continue;
        case STAGE_TOPICS:
            if (topic_next(w, out))
                return true;
            continue;
        case STAGE_CONFIGS:
            if (config_next(w, out))
                return true;
            continue;
        case STAGE_PRODUCER_IDS:
            if (w->image->next_producer_id == 0)
                continue;
            *out = producer_ids_record(w->image);
            w->stage++;
            return true;
        case STAGE_REQUESTS:
            if (request_next(w, out))
                return true;
            continue;
        default:
            return false;
        }
    }
}

/* ---- comparing ---- */

bool image_equal(const struct image *x, const struct image *y, struct heap *h)
{
    struct image_records wx = image_records(x), wy = image_records(y);
    struct meta_record r;
    struct bytes bx, by;
    bool equal = true;

    bytes_init(&bx, h);
    bytes_init(&by, h);
    for (bool more = true; more && equal; bx.len = by.len = 0) {
        more = image_records_next(&wx, &r);
        if (more)
            record_encode(&r, &bx);
        equal = image_records_next(&wy, &r) == more;
        if (equal && more)
            record_encode(&r, &by);
        equal = equal && slice_eq(bytes_slice(&bx), bytes_slice(&by));
    }
    bytes_drop(&bx);
    bytes_drop(&by);
    return equal;
}

/* ---- hashes ---- */

/* The sum of the hashes of all records: it doesn't depend on an order, so what went is subtracted, what came is added. */
struct hash_walk {
    struct bytes b;
    uint64_t sum;
};

static uint64_t hash_of(struct hash_walk *w, const struct meta_record *r)
{
    w->b.len = 0;
    record_encode(r, &w->b);
    return map_hash(1, bytes_slice(&w->b));
}

static void hash_change(struct hash_walk *w, const struct meta_record *before,
                        const struct meta_record *after)
{
    if (before)
        w->sum -= hash_of(w, before);
    if (after)
        w->sum += hash_of(w, after);
}

/* One callback of image_diff for each kind of value. */
#define HASH_CHANGE(kind)                                                                                    \
    static void hash_##kind(void *arg, const struct image_##kind *before, const struct image_##kind *after)  \
    {                                                                                                        \
        struct meta_record x = before ? kind##_record(before) : (struct meta_record){0};                     \
        struct meta_record y = after ? kind##_record(after) : (struct meta_record){0};                       \
                                                                                                             \
        hash_change(arg, before ? &x : NULL, after ? &y : NULL);                                             \
    }
HASH_CHANGE(feature)
HASH_CHANGE(broker)
HASH_CHANGE(controller)
HASH_CHANGE(topic)
HASH_CHANGE(config)
HASH_CHANGE(request)

static void hash_partition(void *arg, const struct image_topic *topic, const struct image_partition *before,
                           const struct image_partition *after)
{
    struct meta_record x, y;

    if (before)
        partition_record(topic, before, &x);
    if (after)
        partition_record(topic, after, &y);
    hash_change(arg, before ? &x : NULL, after ? &y : NULL);
}

static uint64_t hash_single(struct hash_walk *w, const struct image *i)
{
    struct meta_record r;
    uint64_t sum = 0;

    if (i->cluster_id[0]) {
        r = cluster_record(i);
        sum += hash_of(w, &r);
    }
    if (i->next_producer_id) {
        r = producer_ids_record(i);
        sum += hash_of(w, &r);
    }
    return sum;
}

uint64_t image_hash_after(uint64_t hash, const struct image *before, const struct image *after,
                          struct heap *h)
{
    struct hash_walk w = {.sum = hash};
    const struct image_diff ops = {.feature = hash_feature,
                                   .broker = hash_broker,
                                   .controller = hash_controller,
                                   .topic = hash_topic,
                                   .partition = hash_partition,
                                   .config = hash_config,
                                   .request = hash_request,
                                   .arg = &w};

    bytes_init(&w.b, h);
    image_diff(before, after, &ops);
    if (before)
        w.sum -= hash_single(&w, before);
    w.sum += hash_single(&w, after);
    bytes_drop(&w.b);
    return w.sum;
}

uint64_t image_hash(const struct image *i, struct heap *h)
{
    return image_hash_after(0, NULL, i, h);
}
