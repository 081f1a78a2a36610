/* What a NET loop remembers of topics' settings, so that a produce needn't look them up in the image each time.
 * Loop:   the NET loop that owns it.
 * Memory: a row a topic produced to since the settings last changed; all go when they change (topic_rules_adopted). */
#pragma once
#include "base/map.h"
#include "broker/node.h"
#include "log/log.h"

struct topic_rules {
    struct uuid id;
    struct log_config log;
};

struct topic_rules_cache {
    struct heap *heap;
    struct map rows;
};

void topic_rules_init(struct topic_rules_cache *c, struct heap *h, uint64_t seed);
void topic_rules_drop(struct topic_rules_cache *c);
const struct topic_rules *topic_rules_get(struct topic_rules_cache *c, const struct net_loop *net,
                                          const struct image_topic *topic);
void topic_rules_adopted(struct topic_rules_cache *c, const struct published *old,
                         const struct published *now);
