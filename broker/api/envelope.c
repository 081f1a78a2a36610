/* Envelope: a broker asks for one of its clients. The request inside runs as that client's, with its name and address; its
 * answer goes back inside of this one's. Where this node isn't the active controller, the envelope says so, so that the
 * broker, and not its client, asks again elsewhere. */
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/link/forward.h"
#include "proto/bigend.h"
#include "proto_gen.h"

enum { IPV4_BYTES = 4, IPV4_AT = 12 };

static void refuse(struct request *r, enum err err)
{
    struct EnvelopeResponse *out = r->out;

    out->error_code = err_wire(err);
    request_reply(r);
}

static bool principal_read(struct request *r, struct slice in, struct principal *out)
{
    struct DefaultPrincipalData d;
    int version = in.len >= 2 ? (int16_t)get_be16(in.p) : -1;

    if (version < 0 || version > DefaultPrincipalData_type.versions.last ||
        proto_decode(&DefaultPrincipalData_type, version, slice_of(in.p + 2, in.len - 2), &r->arena, &d))
        return false;
    *out = (struct principal){.type = d.type, .name = d.name};
    return true;
}

static bool address_read(struct slice in, struct addr *out)
{
    *out = (struct addr){.ip = {[10] = 0xff, [11] = 0xff}};
    if (in.len != IPV4_BYTES && in.len != sizeof(out->ip))
        return false;
    memcpy(in.len == IPV4_BYTES ? out->ip + IPV4_AT : out->ip, in.p, in.len);
    return true;
}

static void answered(struct request *r, const struct request *inner, enum err err, struct slice answer)
{
    struct EnvelopeResponse *out = r->out;

    if (inner->not_controller)
        err = E_NOT_CONTROLLER;
    out->error_code = err_wire(err);
    out->response_data = err ? SLICE_NULL : answer;
    out->shown_from = err ? 0 : inner->shown_from;
    request_reply(r);
}

void envelope(struct request *r)
{
    const struct EnvelopeRequest *in = r->in;
    struct principal *principal = arena_alloc(&r->arena, sizeof(*principal));
    struct addr *peer = arena_alloc(&r->arena, sizeof(*peer));
    const struct request_origin asks = {.id = in->request_id,
                                        .time_left_ms = in->time_left_ms > 0 ? in->time_left_ms : 0,
                                        .principal = principal,
                                        .peer = peer,
                                        .serves = forward_api};
    enum err err = E_OK;

    if (!authorize(r, OP_CLUSTER_ACTION, RES_CLUSTER, CLUSTER_NAME))
        err = E_CLUSTER_AUTHORIZATION_FAILED;
    else if (!principal_read(r, in->request_principal, principal))
        err = E_PRINCIPAL_DESERIALIZATION_FAILURE;
    else if (!address_read(in->client_host_address, peer))
        err = E_INVALID_REQUEST;
    else
        err = request_inside(r, in->request_data, &asks, answered);
    if (err)
        refuse(r, err == E_TRUNCATED || err == E_MALFORMED || err == E_NOMEM ? E_INVALID_REQUEST : err);
}
