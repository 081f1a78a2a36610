/* ElectLeaders, AlterPartitionReassignments and ListPartitionReassignments: asked of any listener, decided by the
 * controller (metadata/decide_elections.c, decide_reassign.c). */
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "proto_gen.h"

/* Version 0 has no error of its own: each partition tells it. */
static void elect_failed(struct request *r, enum err err)
{
    const struct ElectLeadersRequest *in = r->in;
    struct ElectLeadersResponse *out = r->out;
    int32_t n = in->topic_partitions.n > 0 ? in->topic_partitions.n : 0;

    out->error_code = err_wire(err);
    PROTO_ARRAY_NEW(&r->arena, ElectLeadersResponse_ReplicaElectionResult, out->replica_election_results, n);
    for (int32_t i = 0; i < n; i++) {
        const struct ElectLeadersRequest_TopicPartitions *t = &in->topic_partitions.v[i];
        struct ElectLeadersResponse_ReplicaElectionResult *told = &out->replica_election_results.v[i];

        told->topic = t->topic;
        PROTO_ARRAY_NEW(&r->arena, ElectLeadersResponse_PartitionResult, told->partition_result,
                        t->partitions.n);
        for (int32_t j = 0; j < t->partitions.n; j++) {
            told->partition_result.v[j].partition_id = t->partitions.v[j];
            told->partition_result.v[j].error_code = err_wire(err);
            told->partition_result.v[j].error_message = SLICE_NULL;
        }
    }
}

void elect_leaders(struct request *r)
{
    cluster_ask(r, OP_ALTER, decide_elect_leaders, elect_failed);
}

static void alter_failed(struct request *r, enum err err)
{
    struct AlterPartitionReassignmentsResponse *out = r->out;

    out->error_code = err_wire(err);
    out->error_message = SLICE_NULL;
    out->responses.n = 0;
}

void alter_partition_reassignments(struct request *r)
{
    cluster_ask(r, OP_ALTER, decide_alter_reassignments, alter_failed);
}

static void list_failed(struct request *r, enum err err)
{
    struct ListPartitionReassignmentsResponse *out = r->out;

    out->error_code = err_wire(err);
    out->error_message = SLICE_NULL;
    out->topics.n = 0;
}

void list_partition_reassignments(struct request *r)
{
    cluster_ask(r, OP_DESCRIBE, decide_list_reassignments, list_failed);
}
