/* What changed between two images, in words. Pure.
 *
 *     topic orders: created with 3 partitions, id 6nmwQFAQ…
 *     partition orders-0: leader 1 -> 2 (leader epoch 3 -> 4)
 *     broker 2: fenced
 *     config of topic orders: retention.ms = 86400000 (was not set)
 *
 * Loop: any. Memory: a change is lent for its call. Images needn't share anything: what differs is compared by value. */
#pragma once
#include "metadata/image.h"

struct meta_change {
    const char *kind;           /* cluster feature broker controller topic partition config producer-ids */
    const char *subject;        /* "orders-0", "2", "topic orders" */
    const char *what;           /* leader isr fenced … created deleted */
    const char *before, *after; /* NULL: there was, there is none */
    const char *words;          /* the whole line */
};
typedef void (*meta_change_fn)(void *arg, const struct meta_change *c);
/* before NULL: nothing was. */
void meta_changes(const struct image *before, const struct image *after, struct heap *h, meta_change_fn each,
                  void *arg);

const char *meta_ids(struct ids ids, struct arena *a); /* 1,2,3; "none" */
const char *meta_resource(int8_t type, struct slice name,
                          struct arena *a); /* "topic orders", "all brokers" */
const char *meta_endpoints(const struct endpoint *v, int32_t n, struct arena *a);
