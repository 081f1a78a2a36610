/* AddRaftVoter and RemoveRaftVoter, decided where the active controller is. */
#pragma once
#include "metadata/controller.h"

/* Nothing that the image knows stands against it: the quorum says the rest. One for each, so that link/forward.c can tell
 * which API goes to another node. */
void decide_add_voter(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_remove_voter(const struct image *tip, const void *in, void *out, struct ctl_out *o);
