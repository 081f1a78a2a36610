/* Decisions that another node's controller is asked for: what a client of this broker wants goes there as it stands, in an
 * Envelope with the client's name and address; what the broker wants for itself goes in its own request.
 * Loop: any, but for forward_call(), whose call goes to uplink_send(). */
#pragma once
#include "broker/control.h"

/* May clients of any broker ask for it? (Kafka's forwardable APIs, as far as they are here.) */
bool forward_api(int16_t api_key);
/* May this call go to another node? Not if it came on the controller's own listener: who asks there looks for the active
 * controller himself. */
bool forward_may(const struct control_call *call);
/* Has the active controller that API in the call's version, as far as is known on its NET loop, where this is asked? Clients are told no
 * other, but may have been told so by an earlier controller, or not have asked. */
bool forward_shared(const struct control_call *call);
/* Whose answer is to be kept, in case it comes again (metadata/requests.h); NULL: it needn't be. */
const struct proto_api *forward_kept(const struct control_call *call, enum ctl_again *again);
/* Fills call->up: all but `done`, and the time. The answer goes to call->out. */
void forward_call(struct control_call *call);
