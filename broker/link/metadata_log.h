/* The metadata log as a topic, on the controllers' listeners: its fixed id, and how much goes in one answer: what a
 * follower takes in one callback. */
#pragma once
#include "metadata/topic_name.h"
#include "proto/uuid.h"

#define METADATA_TOPIC_ID                                                                                    \
    {                                                                                                        \
        .b = { [15] = 1 }                                                                                    \
    } /* AAAAAAAAAAAAAAAAAAAAAQ */
enum { METADATA_FETCH_BYTES = 64 << 10 };
