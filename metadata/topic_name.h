/* Kafka's rules for names of topics: the one place that knows them. Pure. */
#pragma once
#include "base/mem.h"
#include <stdbool.h>

enum { TOPIC_NAME_MAX = 249 };

enum topic_name_fault {
    TOPIC_NAME_FINE,
    TOPIC_NAME_EMPTY,
    TOPIC_NAME_DOTS,
    TOPIC_NAME_LONG,
    TOPIC_NAME_CHARS
};
enum topic_name_fault topic_name_fault(struct slice name); /* null is empty */

static inline bool topic_name_ok(struct slice name)
{
    return topic_name_fault(name) == TOPIC_NAME_FINE;
}
/* The metadata log as a topic. */
#define METADATA_TOPIC "__cluster_metadata"
