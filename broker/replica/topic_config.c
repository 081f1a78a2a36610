#include "topic_config.h"

enum { ENTRIES_MAX = 64 }; /* more than there are topic settings */

bool topic_has_settings(const struct image *image, struct slice topic)
{
    struct image_configs walk = image_configs_of(image, CONFIG_TOPIC, topic);
    return image_configs_next(&walk) != NULL;
}

void topic_log_config(const struct config *config, const struct image *image, struct slice topic,
                      struct log_config *out)
{
    struct image_configs walk = image_configs_of(image, CONFIG_TOPIC, topic);
    struct config_entry own[ENTRIES_MAX];
    const struct image_config *c;
    int n = 0;

    while (n < ENTRIES_MAX && (c = image_configs_next(&walk)))
        own[n++] = (struct config_entry){.name = c->name, .value = c->value};
    config_log(config, own, n, out);
}
