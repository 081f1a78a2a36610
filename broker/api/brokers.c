/* What brokers and controllers say to the active controller, and what operators say of them: registrations, heartbeats,
 * who is in sync, where replicas lie. The controller decides (metadata/decide_*.c).
 *
 * What is known of a broker beside the image goes into the decision where it is made (overseer.h). */
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "broker/overseer.h"
#include "proto_gen.h"

/* Every one of these answers has the error in a field of this name. */
#define FAILED(function, Response)                                                                           \
    static void function(struct request *r, enum err err)                                                    \
    {                                                                                                        \
        struct Response *out = r->out;                                                                       \
                                                                                                             \
        out->error_code = err_wire(err);                                                                     \
    }
FAILED(registration_failed, BrokerRegistrationResponse)
FAILED(heartbeat_failed, BrokerHeartbeatResponse)
FAILED(unregister_failed, UnregisterBrokerResponse)
FAILED(controller_failed, ControllerRegistrationResponse)
FAILED(producer_ids_failed, AllocateProducerIdsResponse)
FAILED(alter_partition_failed, AlterPartitionResponse)
FAILED(assign_failed, AssignReplicasToDirsResponse)

void unregister_broker(struct request *r)
{
    cluster_ask(r, OP_ALTER, decide_unregister_broker, unregister_failed);
}

void controller_registration(struct request *r)
{
    cluster_ask(r, OP_CLUSTER_ACTION, decide_controller_registration, controller_failed);
}

void allocate_producer_ids(struct request *r)
{
    cluster_ask(r, OP_CLUSTER_ACTION, decide_allocate_producer_ids, producer_ids_failed);
}

void alter_partition(struct request *r)
{
    cluster_ask(r, OP_CLUSTER_ACTION, decide_alter_partition, alter_partition_failed);
}

void assign_replicas_to_dirs(struct request *r)
{
    cluster_ask(r, OP_CLUSTER_ACTION, decide_assign_replicas, assign_failed);
}

/* ---- those that go with what is known of the broker ---- */

void broker_registration(struct request *r)
{
    struct broker_registration *in = arena_alloc(&r->arena, sizeof(*in));

    in->request = r->in;
    if (cluster_allowed(r, OP_CLUSTER_ACTION, registration_failed))
        control_request_in(r, decide_broker_registration, in, registration_failed);
}

void broker_heartbeat(struct request *r)
{
    struct broker_heartbeat *in = arena_alloc(&r->arena, sizeof(*in));

    in->request = r->in;
    if (!cluster_allowed(r, OP_CLUSTER_ACTION, heartbeat_failed))
        return;
    liveness_note(r, in->request->broker_id, in->request->broker_epoch,
                  in->request->current_metadata_offset < 0);
    control_request_in(r, decide_broker_heartbeat, in, heartbeat_failed);
}
