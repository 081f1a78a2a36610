/* Settings as the controller asks for them. Of a broker's settings it checks nothing, as in Kafka: the broker
 * did before it passed the request on (api/configs_alter.c), knowing its static ones and what is in force
 * now. */
#include "broker/config_rows.h"
#include "metadata/controller.h"

static enum err rules_check(const void *arg, enum config_resource type, struct slice resource,
                            struct slice name, struct slice value, char *why, size_t room)
{
    if (type == CONFIG_BROKER)
        return config_check_resource(type, resource, why, room);
    return config_check(arg, type, resource, name, value, why, room);
}

static enum err rules_check_all(const void *arg, enum config_resource type, struct slice resource,
                                const struct slice *names, const struct slice *values, int n, char *why,
                                size_t room)
{
    if (type == CONFIG_BROKER)
        return config_check_resource(type, resource, why, room);
    return config_check_all(arg, type, resource, names, values, n, why, room);
}

static bool rules_is_list(const void *arg, enum config_resource type, struct slice name)
{
    (void)arg;
    return config_is_list(type, name);
}

static struct slice shown(const struct config *c, enum config_id id)
{
    return c->shown[id] ? SLICE(c->shown[id]) : SLICE_NULL;
}

static struct slice rules_fallback(const void *arg, enum config_resource type, struct slice name)
{
    enum config_id id = config_find(type, name);

    return id == CONFIG_COUNT ? SLICE_NULL : shown(arg, id);
}

/* The first of a topic setting's synonyms, CONFIG_COUNT if it has none. */
static enum config_id broker_synonym(enum config_id id)
{
    for (int i = 0; i < config_synonyms_count; i++)
        if (config_synonyms[i].of == id)
            return config_synonyms[i].broker;
    return CONFIG_COUNT;
}

static bool rules_topic_config(const void *arg, int row, struct ctl_topic_config *out)
{
    const struct config *c = arg;
    enum config_id family[3], broker;

    for (int i = 0; i < CONFIG_COUNT; i++) {
        enum config_id id = (enum config_id)i;
        if (config_row(id)->resource != CONFIG_TOPIC || id == T_internal_segment_bytes || row-- > 0)
            continue;
        *out = (struct ctl_topic_config){
            .name = SLICE(config_row(id)->name), .value = shown(c, id), .source = CONFIG_FROM_DEFAULT};
        broker = broker_synonym(id);
        if (broker == CONFIG_COUNT)
            return true;
        out->broker_name = config_row(broker)->name;
        for (int n = config_family(broker, family); n > 0; n--)
            if (c->text[LAYER_FILE][family[n - 1]])
                out->source = CONFIG_FROM_FILE;
        return true;
    }
    return false;
}

void config_rules(const struct config *c, struct ctl_rules *out)
{
    *out = (struct ctl_rules){
        .arg = c,
        .node_id = (int32_t)config_int(c, C_node_id),
        .default_partitions = (int32_t)config_int(c, C_num_partitions),
        .default_replication_factor = (int32_t)config_int(c, C_default_replication_factor),
        .delete_topics = config_bool(c, C_delete_topic_enable),
        .check = rules_check,
        .is_list = rules_is_list,
        .fallback = rules_fallback,
        .check_all = rules_check_all,
        .topic_config = rules_topic_config,
    };
}
