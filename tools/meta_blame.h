/* Which records concern a topic, a partition, a broker or a setting. Pure.
 *
 * A word may mean several things, and then all that it means concerns it: `a-1` is topic a-1 and partition 1 of topic
 * a, `7` is broker 7 and a topic of that name, `retention.ms` is that setting of any resource and a topic of that name.
 * Loop: any. Memory: the word is lent. */
#pragma once
#include "metadata/image.h"

struct meta_target {
    struct slice name;  /* of a topic, or of a setting */
    struct slice topic; /* with partition; null: it doesn't look like one */
    int32_t partition;
    int32_t broker; /* -1: not a number */
};
struct meta_target meta_target(const char *word);
bool meta_names_partition(const struct meta_target *t, const char *partition); /* "orders-0" */
/* `i`: the image before the record. */
bool meta_concerns(const struct meta_target *t, const struct image *i, const struct meta_record *r);
