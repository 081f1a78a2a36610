/* weir metadata at: the image as it was. */
#include "tools/cmd_metadata.h"
#include "tools/meta_print.h"
#include "tools/meta_words.h"
#include <inttypes.h>

/* clang-format off */
const struct flag flags_metadata_at[] = {
    {"topic", 0, FLAG_TEXT, "NAME", NULL, NULL, "only this topic"},
    FLAGS_METADATA,
    {0},
};
/* clang-format on */

#define TEXT(s) (int)(s).len, (const char *)(s).p

static void json_topic(struct tool *t, struct json *j, const struct image *i, const struct image_topic *topic)
{
    struct image_partitions w = image_partitions_from(topic, 0);
    const struct image_partition *p;
    char id[UUID_TEXT_LEN + 1];

    uuid_text(topic->id, id);
    json_open(j, NULL, '{');
    json_text(j, "name", topic->name);
    json_str(j, "id", id);
    json_open(j, "partitions", '[');
    for (; (p = image_partitions_next(&w)); meta_flush(t))
        meta_json_partition(j, NULL, i, p);
    json_close(j, ']');
    json_close(j, '}');
}

static void json_image(struct tool *t, const struct image *i, const char *topic)
{
    struct json j = tool_json(t);
    struct image_features features = image_features_all(i);
    struct image_brokers brokers = image_brokers_all(i);
    struct image_controllers controllers = image_controllers_all(i);
    struct image_topics topics = image_topics_from(i, SLICE_NULL);
    struct image_configs configs = image_configs_all(i);
    const struct image_feature *f;
    const struct image_broker *b;
    const struct image_controller *r;
    const struct image_topic *each;
    const struct image_config *c;

    json_open(&j, NULL, '{');
    json_int(&j, "offset", i->offset);
    json_int(&j, "epoch", i->epoch);
    json_int(&j, "timestamp", i->append_ms);
    json_str(&j, "clusterId", i->cluster_id[0] ? i->cluster_id : NULL);
    json_int(&j, "nextProducerId", i->next_producer_id);
    json_open(&j, "features", '[');
    while ((f = image_features_next(&features)))
        meta_json_feature(&j, NULL, f);
    json_close(&j, ']');
    json_open(&j, "brokers", '[');
    while ((b = image_brokers_next(&brokers)))
        meta_json_broker(&j, NULL, b);
    json_close(&j, ']');
    json_open(&j, "controllers", '[');
    while ((r = image_controllers_next(&controllers)))
        meta_json_controller(&j, NULL, r);
    json_close(&j, ']');
    json_open(&j, "topics", '[');
    while ((each = image_topics_next(&topics)))
        if (!topic || slice_eq(each->name, SLICE(topic)))
            json_topic(t, &j, i, each);
    json_close(&j, ']');
    json_open(&j, "configs", '[');
    for (; (c = image_configs_next(&configs)); meta_flush(t))
        if (!topic || (c->type == CONFIG_TOPIC && slice_eq(c->resource, SLICE(topic))))
            meta_json_config(&j, NULL, c);
    json_close(&j, ']');
    json_close(&j, '}');
    bytes_add(&t->out, "\n", 1);
}

static void text_head(struct tool *t, const struct image *i)
{
    struct image_features features = image_features_all(i);
    struct image_brokers brokers = image_brokers_all(i);
    struct image_controllers controllers = image_controllers_all(i);
    const struct image_feature *f;
    const struct image_broker *b;
    const struct image_controller *r;

    bytes_printf(&t->out, "%s\n", meta_image_place(i, &t->arena));
    if (i->cluster_id[0])
        bytes_printf(&t->out, "cluster %s\n", i->cluster_id);
    while ((f = image_features_next(&features)))
        bytes_printf(&t->out, "feature %.*s: %d\n", TEXT(f->name), f->level);
    if (i->next_producer_id)
        bytes_printf(&t->out, "next producer id: %" PRId64 "\n", i->next_producer_id);
    while ((b = image_brokers_next(&brokers))) {
        bytes_printf(&t->out, "broker %d: ", b->reg.id);
        meta_text_broker(b, &t->out);
        bytes_printf(&t->out, "\n");
    }
    while ((r = image_controllers_next(&controllers)))
        bytes_printf(&t->out, "controller %d: %s\n", r->reg.id,
                     meta_endpoints(r->reg.endpoints, r->reg.n_endpoints, &t->arena));
}

static void text_topic(struct tool *t, const struct image *i, const struct image_topic *topic)
{
    struct image_partitions w = image_partitions_from(topic, 0);
    struct image_configs configs = image_configs_of(i, CONFIG_TOPIC, topic->name);
    const struct image_partition *p;
    const struct image_config *c;
    char id[UUID_TEXT_LEN + 1];

    uuid_text(topic->id, id);
    bytes_printf(&t->out, "topic %.*s: id %s, %u partitions\n", TEXT(topic->name), id,
                 topic->partitions.count);
    while ((c = image_configs_next(&configs)))
        bytes_printf(&t->out, "  %.*s=%.*s\n", TEXT(c->name), TEXT(c->value));
    for (; (p = image_partitions_next(&w)); meta_flush(t)) {
        bytes_printf(&t->out, "  %d: ", partition_index(p));
        meta_text_partition(i, p, &t->out);
        bytes_printf(&t->out, "\n");
    }
}

static void text_image(struct tool *t, const struct image *i, const char *topic)
{
    struct image_topics topics = image_topics_from(i, SLICE_NULL);
    struct image_configs configs = image_configs_all(i);
    const struct image_topic *each;
    const struct image_config *c;

    if (!topic)
        text_head(t, i);
    while ((each = image_topics_next(&topics)))
        if (!topic || slice_eq(each->name, SLICE(topic)))
            text_topic(t, i, each);
    for (; !topic && (c = image_configs_next(&configs)); meta_flush(t))
        if (c->type != CONFIG_TOPIC)
            bytes_printf(&t->out, "config of %s: %.*s=%.*s\n", meta_resource(c->type, c->resource, &t->arena),
                         TEXT(c->name), TEXT(c->value));
}

void cmd_metadata_at(struct tool *t)
{
    const char *topic = flag_text(&t->flags, "topic");
    struct meta_point point = META_END;
    int words = meta_words(t);
    struct meta_place p;
    struct meta_walk w;
    struct image *i;

    if (!meta_open(t, &p) || (t->flags.n_rest > words && !meta_point(t, t->flags.rest[words], &point)) ||
        !meta_walk_open(&w, t, &p, point, false))
        return;
    i = meta_walk_to(&w, point);
    if (i) {
        if (topic && !image_topic_by_name(i, SLICE(topic)))
            tool_fail(t, "there was no topic %s (%s)", topic, meta_image_place(i, &t->arena));
        else if (t->json)
            json_image(t, i, topic);
        else
            text_image(t, i, topic);
        image_unref(i, &w.state.grave);
    }
    meta_walk_close(&w);
}
