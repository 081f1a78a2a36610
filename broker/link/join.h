/* controller.quorum.auto.join.enable: a controller that follows makes itself a voter, by the active controller's AddRaftVoter,
 * again and again until a configuration names it. The directory from which its node voted before, which is gone then, is taken
 * out first. One that was removed from the voters doesn't come back by itself.
 * Loop:   the control loop. Memory: one request at a time. */
#pragma once
#include "broker/link/uplink.h"

enum { JOIN_REST_MS = 1000 };

struct joiner;

struct joiner *joiner_new(struct node *node, struct loop *control, struct uplink *uplink,
                          const struct uuid *directory_id);
/* Asks nothing more; what is under way ends with uplink_end(). */
void joiner_stop(struct joiner *j);
void joiner_drop(struct joiner *j); /* NULL is fine */
