#include "topic_rules.h"
#include "broker/replica/topic_config.h"

void topic_rules_init(struct topic_rules_cache *c, struct heap *h, uint64_t seed)
{
    c->heap = h;
    map_init(&c->rows, h, seed);
}

static void rows_drop(struct topic_rules_cache *c)
{
    map_each (struct topic_rules, row, &c->rows) {
        map_remove(&c->rows, slice_of(row->id.b, sizeof(row->id.b)));
        heap_free(c->heap, row);
    }
}

void topic_rules_drop(struct topic_rules_cache *c)
{
    rows_drop(c);
    map_drop(&c->rows);
}

const struct topic_rules *topic_rules_get(struct topic_rules_cache *c, const struct net_loop *net,
                                          const struct image_topic *topic)
{
    struct slice key = slice_of(topic->id.b, sizeof(topic->id.b));
    struct topic_rules *row = map_get(&c->rows, key);

    if (row)
        return row;
    row = heap_alloc(c->heap, sizeof(*row));
    row->id = topic->id;
    topic_log_config(net->config, net->image, topic->name, &row->log);
    map_put(&c->rows, slice_of(row->id.b, sizeof(row->id.b)), row);
    return row;
}

static void config_changed(void *arg, const struct image_config *before, const struct image_config *after)
{
    (void)before, (void)after;
    *(bool *)arg = true;
}

/* A topic that is gone takes its row along. */
static void topic_changed(void *arg, const struct image_topic *before, const struct image_topic *after)
{
    (void)before;
    if (!after)
        *(bool *)arg = true;
}

void topic_rules_adopted(struct topic_rules_cache *c, const struct published *old,
                         const struct published *now)
{
    bool changed = !old || old->config != now->config;
    struct image_diff ops = {.topic = topic_changed, .config = config_changed, .arg = &changed};

    if (!changed && c->rows.count > 0)
        image_diff(old->image, now->image, &ops);
    if (changed)
        rows_drop(c);
}
