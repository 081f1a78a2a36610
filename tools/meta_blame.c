#include "tools/meta_blame.h"
#include <stdlib.h>

struct meta_target meta_target(const char *word)
{
    struct meta_target t = {.name = SLICE(word), .partition = -1, .broker = -1};
    const char *dash = strrchr(word, '-');
    char *end;

    if (*word && strspn(word, "0123456789") == strlen(word) && strlen(word) < 10)
        t.broker = (int32_t)strtol(word, &end, 10);
    if (dash && dash != word && dash[1] && strspn(dash + 1, "0123456789") == strlen(dash + 1) &&
        strlen(dash) < 11) {
        t.topic = slice_of(word, (size_t)(dash - word));
        t.partition = (int32_t)strtol(dash + 1, &end, 10);
    }
    return t;
}

static bool topic_of(const struct meta_target *t, struct slice name)
{
    return slice_eq(t->name, name) || (t->topic.p && slice_eq(t->topic, name));
}

/* A partition of a topic: all of them, or the one that was named. */
static bool partition_of(const struct meta_target *t, const struct image *i, struct uuid id, int32_t n)
{
    const struct image_topic *topic = image_topic_by_id(i, id);

    return topic && (slice_eq(t->name, topic->name) ||
                     (t->topic.p && slice_eq(t->topic, topic->name) && t->partition == n));
}

/* Of a resource, or of that name on any. */
static bool config_of(const struct meta_target *t, const struct record_config *c)
{
    if (slice_eq(t->name, c->name))
        return true;
    if (c->resource_type == CONFIG_TOPIC)
        return topic_of(t, c->resource);
    return t->broker >= 0 && slice_eq(t->name, c->resource);
}

bool meta_names_partition(const struct meta_target *t, const char *partition)
{
    struct meta_target p = meta_target(partition);

    return slice_eq(t->name, p.name) || (p.topic.p && slice_eq(t->name, p.topic));
}

bool meta_concerns(const struct meta_target *t, const struct image *i, const struct meta_record *r)
{
    const struct image_topic *topic;

    switch (r->type) {
    case RECORD_REGISTER_BROKER:
        return r->register_broker.id == t->broker;
    case RECORD_UNREGISTER_BROKER:
        return r->unregister_broker.id == t->broker;
    case RECORD_BROKER_CHANGE:
        return r->broker_change.id == t->broker;
    case RECORD_REGISTER_CONTROLLER:
        return r->register_controller.id == t->broker;
    case RECORD_CLEAR_ELR:
        return r->clear_elr.topic.len == 0 || topic_of(t, r->clear_elr.topic);
    case RECORD_TOPIC:
        return topic_of(t, r->topic.name);
    case RECORD_REMOVE_TOPIC:
        topic = image_topic_by_id(i, r->remove_topic.id);
        return topic && (topic_of(t, topic->name) || /* its settings go with it */
                         image_config_slice(i, CONFIG_TOPIC, topic->name, t->name).p);
    case RECORD_PARTITION:
        return partition_of(t, i, r->partition.topic, r->partition.index);
    case RECORD_PARTITION_CHANGE:
        return partition_of(t, i, r->partition_change.topic, r->partition_change.index);
    case RECORD_CONFIG:
        return config_of(t, &r->config);
    case RECORD_FEATURE:
        return slice_eq(t->name, r->feature.name);
    case RECORD_PRODUCER_IDS:
    case RECORD_BEGIN_TRANSACTION:
    case RECORD_END_TRANSACTION:
    case RECORD_ABORT_TRANSACTION:
    case RECORD_NO_OP:
    case RECORD_CLUSTER:
    case RECORD_REQUEST_DONE:
    case RECORD_REQUESTS_FORGET:
        return false;
    }
    return false;
}
