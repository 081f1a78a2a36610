/* What the handlers that name partitions share. */
#pragma once
#include "broker/replica/scatter.h"
#include "broker/request.h"

enum { NAMED_TWICE_MAX = 4096 }; /* how far a request is searched for partitions that it names twice */

/* Finds the partition in the loop's image and sets item->topic_id; item->partition is set before.
 * E_TOPIC_AUTHORIZATION_FAILED, E_UNKNOWN_TOPIC_OR_PARTITION, E_NOT_LEADER_OR_FOLLOWER */
enum err partition_resolve(const struct request *r, struct slice topic, enum acl_operation op,
                           struct scatter_item *item);
bool topic_is_internal(struct slice name);

/* Every item of every lane. */
#define scatter_each(it, s)                                                                                  \
    for (int it##_lane = 0; it##_lane < (s)->n_lanes; it##_lane++)                                           \
        for (struct scatter_item *it = (s)->lanes[it##_lane].first; it; it = it->next)
