/* FindCoordinator: who looks after a group, a transactional id or a shared partition. Nobody does yet, and it says so
 * with the error that clients wait out. It is announced all the same because librdkafka takes its first version as the
 * sign that a broker understands lz4, and would send such batches uncompressed. */
#include "broker/api/handlers.h"
#include "proto_gen.h"

enum key_type { KEY_GROUP, KEY_TRANSACTION, KEY_SHARE };

static enum err find(const struct request *r, int8_t type, struct slice key)
{
    switch ((enum key_type)type) {
    case KEY_GROUP:
        return authorize(r, OP_DESCRIBE, RES_GROUP, key) ? E_COORDINATOR_NOT_AVAILABLE
                                                         : E_GROUP_AUTHORIZATION_FAILED;
    case KEY_TRANSACTION:
        return authorize(r, OP_DESCRIBE, RES_TRANSACTIONAL_ID, key) ? E_COORDINATOR_NOT_AVAILABLE
                                                                    : E_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    case KEY_SHARE:
        if (r->version < 6)
            return E_INVALID_REQUEST;
        return authorize(r, OP_CLUSTER_ACTION, RES_CLUSTER, SLICE("kafka-cluster"))
                   ? E_COORDINATOR_NOT_AVAILABLE
                   : E_CLUSTER_AUTHORIZATION_FAILED;
    default:
        return E_INVALID_REQUEST;
    }
}

void find_coordinator(struct request *r)
{
    const struct FindCoordinatorRequest *in = r->in;
    struct FindCoordinatorResponse *out = r->out;

    if (r->version < 4) {
        enum err err = find(r, in->key_type, in->key);
        out->error_code = err_wire(err);
        out->error_message = SLICE(err_text(err));
        out->node_id = out->port = -1;
    } else {
        PROTO_ARRAY_NEW(&r->arena, FindCoordinatorResponse_Coordinator, out->coordinators,
                        in->coordinator_keys.n);
        for (int32_t i = 0; i < in->coordinator_keys.n; i++) {
            struct slice key = in->coordinator_keys.v[i];
            enum err err = find(r, in->key_type, key);
            out->coordinators.v[i] =
                (struct FindCoordinatorResponse_Coordinator){.key = key,
                                                             .node_id = -1,
                                                             .host = SLICE(""),
                                                             .port = -1,
                                                             .error_code = err_wire(err),
                                                             .error_message = SLICE(err_text(err))};
        }
    }
    request_reply(r);
}
