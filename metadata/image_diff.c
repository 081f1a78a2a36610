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

static bool feature_next(struct image_records *w, struct meta_record *out)
{
    const struct image_feature *f = image_features_next(&w->features);

    if (f)
        *out = (struct meta_record){.type = RECORD_FEATURE, .feature = {.name = f->name, .level = f->level}};
    return f != NULL;
}

static bool broker_next(struct image_records *w, struct meta_record *out)
{
    const struct image_broker *b = image_brokers_next(&w->brokers);

    if (b)
        *out = (struct meta_record){
            .type = RECORD_REGISTER_BROKER, .register_broker = b->reg, .unknown = b->unknown};
    return b != NULL;
}

static bool controller_next(struct image_records *w, struct meta_record *out)
{
    const struct image_controller *c = image_controllers_next(&w->controllers);

    if (c)
        *out = (struct meta_record){
            .type = RECORD_REGISTER_CONTROLLER, .register_controller = c->reg, .unknown = c->unknown};
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
    *out = (struct meta_record){.type = RECORD_TOPIC,
                                .topic = {.name = w->topic->name, .id = w->topic->id},
                                .unknown = w->topic->unknown};
    return true;
}

static bool config_next(struct image_records *w, struct meta_record *out)
{
    const struct image_config *c = image_configs_next(&w->configs);

    if (c)
        *out = (struct meta_record){
            .type = RECORD_CONFIG,
            .config = {
                .resource_type = c->type, .resource = c->resource, .name = c->name, .value = c->value}};
    return c != NULL;
}

static bool request_next(struct image_records *w, struct meta_record *out)
{
    const struct image_request *q = image_requests_next(&w->requests);

    if (q)
        *out =
            (struct meta_record){.type = RECORD_REQUEST_DONE, .request_done = q->done, .unknown = q->unknown};
    return q != NULL;
}

bool image_records_next(struct image_records *w, struct meta_record *out)
{
    for (;; w->stage++) {
        switch (w->stage) {
        case STAGE_CLUSTER:
            if (!w->image->cluster_id[0])
                continue;
            *out =
                (struct meta_record){.type = RECORD_CLUSTER, .cluster = {.id = SLICE(w->image->cluster_id)}};
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
            *out = (struct meta_record){
                .type = RECORD_PRODUCER_IDS,
                .producer_ids = {.broker_id = -1, .broker_epoch = -1, .next = w->image->next_producer_id}};
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

uint64_t image_hash(const struct image *i, struct heap *h)
{
    struct image_records w = image_records(i);
    struct meta_record r;
    struct bytes b;
    uint64_t hash = 1;

    bytes_init(&b, h);
    for (; image_records_next(&w, &r); b.len = 0) {
        record_encode(&r, &b);
        hash = map_hash(hash, bytes_slice(&b));
    }
    bytes_drop(&b);
    return hash;
}

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
