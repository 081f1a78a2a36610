/* Topics that come to be because somebody asked for them, as auto.create.topics.enable has it.
 *
 * The controller is asked to create them and the request waits until it has decided, so what is in flight is
 * bounded by what requests are admitted; Kafka answers at once, and so tells the same:
 * UNKNOWN_TOPIC_OR_PARTITION first, the topic to whom asks again.
 * Loop:   the request's NET loop; `done` runs there, at once when there is nothing to create.
 * Memory: from the request's arena; names are lent.
 * Always: coordinators' topics get the partitions, replicas and settings that their settings name. */
#pragma once
#include "base/err.h"
#include "broker/request.h"

struct auto_topics;
struct auto_topics *auto_topics_new(struct request *r, int max);
/* Each name once; it doesn't exist yet. What the client is told of it, in the answer to this request:
 * E_UNKNOWN_TOPIC_OR_PARTITION   it will be asked for
 * E_INVALID_TOPIC_EXCEPTION, E_TOPIC_AUTHORIZATION_FAILED   it won't */
enum err auto_topics_add(struct auto_topics *a, struct slice name);
void auto_topics_go(struct auto_topics *a, void (*done)(struct request *r));
