/* What brokers and controllers say to the active controller, and what operators say of them: registrations, heartbeats,
 * who is in sync, where replicas lie, feature levels. The controller decides (metadata/decide_*.c).
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
FAILED(features_failed, UpdateFeaturesResponse)

typedef void (*failed_fn)(struct request *r, enum err err);

static bool allowed(struct request *r, enum acl_operation op, failed_fn failed)
{
    if (authorize(r, op, RES_CLUSTER, CLUSTER_NAME))
        return true;
    failed(r, E_CLUSTER_AUTHORIZATION_FAILED);
    request_reply(r);
    return false;
}

static void ask_controller(struct request *r, enum acl_operation op, ctl_decide_fn decide, failed_fn failed)
{
    if (allowed(r, op, failed))
        control_request(r, decide, failed);
}

void unregister_broker(struct request *r)
{
    ask_controller(r, OP_ALTER, decide_unregister_broker, unregister_failed);
}

void update_features(struct request *r)
{
    ask_controller(r, OP_ALTER, decide_update_features, features_failed);
}

void controller_registration(struct request *r)
{
    ask_controller(r, OP_CLUSTER_ACTION, decide_controller_registration, controller_failed);
}

void allocate_producer_ids(struct request *r)
{
    ask_controller(r, OP_CLUSTER_ACTION, decide_allocate_producer_ids, producer_ids_failed);
}

void alter_partition(struct request *r)
{
    ask_controller(r, OP_CLUSTER_ACTION, decide_alter_partition, alter_partition_failed);
}

void assign_replicas_to_dirs(struct request *r)
{
    ask_controller(r, OP_CLUSTER_ACTION, decide_assign_replicas, assign_failed);
}

/* ---- those that go with what is known of the broker ---- */

struct said {
    struct control_call call;
    failed_fn failed;
    struct broker_registration registration;
    struct broker_heartbeat heartbeat;
};

static void said_done(struct control_call *c)
{
    struct request *r = c->arg;

    if (c->err)
        container_of(c, struct said, call)->failed(r, c->err);
    request_reply(r);
}

static struct said *said_new(struct request *r, ctl_decide_fn decide, failed_fn failed)
{
    struct said *s = arena_alloc(&r->arena, sizeof(*s));

    s->failed = failed;
    s->call = (struct control_call){.node = r->net->node,
                                    .back = r->net->loop,
                                    .request = r,
                                    .decide = decide,
                                    .out = r->out,
                                    .version = r->version,
                                    .arena = &r->arena,
                                    .done = said_done,
                                    .arg = r};
    return s;
}

void broker_registration(struct request *r)
{
    const struct BrokerRegistrationRequest *in = r->in;
    struct said *s;

    if (!allowed(r, OP_CLUSTER_ACTION, registration_failed))
        return;
    s = said_new(r, decide_broker_registration, registration_failed);
    s->registration.request = in;
    s->call.in = &s->registration;
    control_call(&s->call);
}

void broker_heartbeat(struct request *r)
{
    const struct BrokerHeartbeatRequest *in = r->in;
    struct said *s;

    if (!allowed(r, OP_CLUSTER_ACTION, heartbeat_failed))
        return;
    s = said_new(r, decide_broker_heartbeat, heartbeat_failed);
    liveness_note(r, in->broker_id, in->broker_epoch);
    s->heartbeat.request = in;
    s->call.in = &s->heartbeat;
    control_call(&s->call);
}
