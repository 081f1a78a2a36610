#include "forward.h"
#include "base/check.h"
#include "broker/api/describe_quorum.h"
#include "broker/api/raft_voters.h"
#include "proto/bigend.h"
#include "proto_gen.h"

enum { IPV4_AT = 12 };

enum asker {
    CLIENTS, /* of a broker: in an Envelope */
    SELF,    /* the node alone */
    SELF_AND /* … and its `in` begins with a pointer to the request, for the controller adds what it knows itself */
};

/* What becomes of it when it comes again, because its answer was lost, after it was done. */
enum again {
    READS,  /* nothing was done */
    SAME,   /* doing it twice is as good as once; ids that were given to nobody are many */
    VOTERS, /* the quorum keeps it, not the image: one that is done already is answered so */
    WHOLE,  /* its answer was kept, and none of it was done without */
    PARTS   /* its answer was kept; what was done of it without doesn't show, but that it is done already */
};

struct forward_row {
    ctl_decide_fn decide;
    int16_t api_key;
    enum asker asker;
    enum again again;
};

static const struct forward_row rows[] = {
    {decide_create_topics, API_CreateTopics, CLIENTS, WHOLE},
    {decide_delete_topics, API_DeleteTopics, CLIENTS, WHOLE},
    {decide_create_partitions, API_CreatePartitions, CLIENTS, WHOLE},
    {decide_alter_configs, API_AlterConfigs, CLIENTS, WHOLE},
    {decide_incremental_alter_configs, API_IncrementalAlterConfigs, CLIENTS, WHOLE},
    {decide_elect_leaders, API_ElectLeaders, CLIENTS, WHOLE},
    {decide_alter_reassignments, API_AlterPartitionReassignments, CLIENTS, WHOLE},
    {decide_list_reassignments, API_ListPartitionReassignments, CLIENTS, READS},
    {decide_update_features, API_UpdateFeatures, CLIENTS, WHOLE},
    {decide_describe_quorum, API_DescribeQuorum, CLIENTS, READS},
    {decide_unregister_broker, API_UnregisterBroker, CLIENTS, PARTS},
    {decide_add_voter, API_AddRaftVoter, CLIENTS, VOTERS},
    {decide_remove_voter, API_RemoveRaftVoter, CLIENTS, VOTERS},
    {decide_allocate_producer_ids, API_AllocateProducerIds, SELF, SAME},
    {decide_assign_replicas, API_AssignReplicasToDirs, SELF, SAME},
    {decide_controller_registration, API_ControllerRegistration, SELF, SAME},
    {decide_broker_registration, API_BrokerRegistration, SELF_AND, SAME},
    {decide_broker_heartbeat, API_BrokerHeartbeat, SELF_AND, SAME},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
_Static_assert((int)ROWS <= (int)LEADER_APIS_MAX, "what a controller has of each fits");

static const struct forward_row *row_of(ctl_decide_fn decide)
{
    for (int i = 0; i < ROWS; i++)
        if (rows[i].decide == decide)
            return &rows[i];
    return NULL;
}

bool forward_api(int16_t api_key)
{
    for (int i = 0; i < ROWS; i++)
        if (rows[i].api_key == api_key)
            return rows[i].asker == CLIENTS;
    return false;
}

bool forward_may(const struct control_call *call)
{
    const struct forward_row *row = row_of(call->decide);

    if (!row)
        return false;
    if (call->request)
        return row->asker == CLIENTS && !call->request->listener->controller;
    return row->asker != CLIENTS;
}

bool forward_shared(const struct control_call *call)
{
    const struct forward_row *row = row_of(call->decide);
    int16_t min = call->version, max = call->version;

    return !call->request || !forward_may(call) ||
           leader_apis_share(&call->request->net->controller, row->api_key, &min, &max);
}

const struct proto_api *forward_kept(const struct control_call *call, enum ctl_again *again)
{
    const struct forward_row *row = row_of(call->decide);

    if (!row || row->again < WHOLE)
        return NULL;
    *again = row->again == WHOLE ? CTL_AGAIN_ANSWERED : CTL_AGAIN_IN_PARTS;
    return proto_api(row->api_key);
}

/* ---- Envelope ---- */

static bool is_ipv4(const struct addr *a)
{
    static const uint8_t mapped[IPV4_AT] = {[10] = 0xff, [11] = 0xff};

    return memcmp(a->ip, mapped, sizeof(mapped)) == 0;
}

/* As Kafka's brokers write it: the version, then the message. */
static enum err principal_write(const struct principal *p, struct bytes *out)
{
    struct DefaultPrincipalData d;

    proto_defaults(&DefaultPrincipalData_type, &d);
    d.type = p->type;
    d.name = p->name;
    put_be16(bytes_more(out, 2), (uint16_t)DefaultPrincipalData_type.versions.last);
    return proto_encode(&DefaultPrincipalData_type, DefaultPrincipalData_type.versions.last, &d, out, NULL);
}

/* The request as the broker that checked it has it, with its header but for the length. */
static enum err envelope_make(struct uplink_call *up)
{
    struct control_call *call = up->arg;
    const struct request *r = call->request;
    struct EnvelopeRequest *in = proto_new(&EnvelopeRequest_type, call->arena, 1);
    const struct proto_api *api = proto_api(row_of(call->decide)->api_key);
    struct bytes b;
    enum err err;

    bytes_init(&b, call->node->heap);
    err = proto_request_frame(api, call->version, r->correlation, r->client_id, call->in, &b, NULL);
    if (!err) {
        in->request_data = arena_copy(call->arena, slice_of(b.p + 4, b.len - 4));
        b.len = 0;
        err = principal_write(&call->principal, &b);
    }
    if (!err)
        in->request_principal = arena_copy(call->arena, bytes_slice(&b));
    in->client_host_address = is_ipv4(&call->peer)
                                  ? slice_of(call->peer.ip + IPV4_AT, sizeof(call->peer.ip) - IPV4_AT)
                                  : slice_of(call->peer.ip, sizeof(call->peer.ip));
    in->request_id = call->id;
    up->in = in;
    up->left_ms = &in->time_left_ms;
    bytes_drop(&b);
    return err;
}

static enum err envelope_read(struct uplink_call *up)
{
    struct control_call *call = up->arg;
    const struct EnvelopeResponse *out = up->out;
    const struct proto_api *api = proto_api(row_of(call->decide)->api_key);

    if (out->error_code)
        return err_of_wire(out->error_code);
    if (proto_response_body(api, call->version, out->response_data, call->arena, call->out))
        return E_UNKNOWN_SERVER_ERROR;
    call->shown_from = out->shown_from;
    return E_OK;
}

/* ---- a broker's own ---- */

static enum err own_read(struct uplink_call *up)
{
    const struct control_call *call = up->arg;
    const struct proto_api *api = proto_api(up->api_key);
    int16_t code = 0;

    for (int i = 0; i < api->response->n_fields; i++)
        if (strcmp(api->response->fields[i].name, "errorCode") == 0)
            memcpy(&code, (const char *)up->out + api->response->fields[i].offset, sizeof(code));
    memcpy(call->out, up->out, api->response->size);
    return err_of_wire(code) == E_NOT_CONTROLLER ? E_NOT_CONTROLLER : E_OK;
}

void forward_call(struct control_call *call)
{
    const struct forward_row *row = row_of(call->decide);

    ASSERT(row);
    _Static_assert(offsetof(struct broker_registration, request) == 0,
                   "a pointer to the request comes first");
    _Static_assert(offsetof(struct broker_heartbeat, request) == 0, "a pointer to the request comes first");
    call->up = (struct uplink_call){.api_key = call->request ? API_Envelope : row->api_key,
                                    .in = row->asker == SELF_AND ? *(const void *const *)call->in : call->in,
                                    .arena = call->arena,
                                    .make = call->request ? envelope_make : NULL,
                                    .read = call->request ? envelope_read : own_read,
                                    .arg = call};
}
