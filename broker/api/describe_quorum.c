/* DescribeQuorum: who votes, who leads, how far each one has come. Only the leader knows, so it is asked like any decision:
 * it answers as a leader that a majority has confirmed, and a broker's clients are answered wherever it is. On the
 * controller's listener another node says that it doesn't lead, as in Kafka. Observers are those that follow this node. */
#include "broker/api/describe_quorum.h"
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "broker/link/followers.h"
#include "metadata/topic_name.h"
#include "proto/uuid.h"
#include "proto_gen.h"

enum { OBSERVER_GONE_MS = 300000 }; /* Kafka's: not heard for so long, it is none any more */

struct describe {
    struct DescribeQuorumRequest in; /* first: it goes to another node as it is */
    struct control_call call;
};

static bool metadata_asked(const struct DescribeQuorumRequest *in)
{
    return in->topics.n == 1 && slice_eq(in->topics.v[0].topic_name, SLICE(METADATA_TOPIC)) &&
           in->topics.v[0].partitions.n == 1 && in->topics.v[0].partitions.v[0].partition_index == 0;
}

/* Whatever else was asked for is no partition of a quorum. */
static void unknown(struct arena *a, const struct DescribeQuorumRequest *in,
                    struct DescribeQuorumResponse *out)
{
    PROTO_ARRAY_NEW(a, DescribeQuorumResponse_TopicData, out->topics, in->topics.n);
    for (int i = 0; i < in->topics.n; i++) {
        struct DescribeQuorumResponse_TopicData *t = &out->topics.v[i];

        t->topic_name = in->topics.v[i].topic_name;
        PROTO_ARRAY_NEW(a, DescribeQuorumResponse_PartitionData, t->partitions, in->topics.v[i].partitions.n);
        for (int k = 0; k < t->partitions.n; k++) {
            t->partitions.v[k].partition_index = in->topics.v[i].partitions.v[k].partition_index;
            t->partitions.v[k].error_code = err_wire(E_UNKNOWN_TOPIC_OR_PARTITION);
            t->partitions.v[k].error_message = SLICE(err_text(E_UNKNOWN_TOPIC_OR_PARTITION));
        }
    }
}

static void tell_voters(const struct quorum_view *v, struct ctl_out *o,
                        struct DescribeQuorumResponse_PartitionData *p)
{
    PROTO_ARRAY_NEW(o->arena, DescribeQuorumResponse_ReplicaState, p->current_voters, v->n_voters);
    for (int i = 0; i < v->n_voters; i++) {
        bool self = v->voters[i] == v->leader;

        p->current_voters.v[i] = (struct DescribeQuorumResponse_ReplicaState){
            .replica_id = v->voters[i],
            .replica_directory_id = o->version >= 2 ? v->progress[i].directory_id : (struct uuid){{0}},
            .log_end_offset = self ? v->end : v->progress[i].end,
            .last_fetch_timestamp = self ? o->now_ms : v->progress[i].heard_ms,
            .last_caught_up_timestamp = self ? o->now_ms : v->progress[i].caught_up_ms};
    }
}

static bool is_voter(const struct quorum_view *v, const struct follower *x)
{
    const int at = quorum_view_voter(v, x->replica);

    return at >= 0 && uuid_eq(v->progress[at].directory_id, x->directory);
}

/* Those who asked this node for the log in the last minutes and don't vote by now: one that follows another voter is that
 * one's to tell. */
static void tell_observers(const struct followers *f, const struct quorum_view *v, struct ctl_out *o,
                           struct DescribeQuorumResponse_PartitionData *p)
{
    int n = followers_known(f);

    PROTO_ARRAY_NEW(o->arena, DescribeQuorumResponse_ReplicaState, p->observers, n);
    p->observers.n = 0;
    for (int i = 0; i < n; i++) {
        const struct follower *x = followers_at(f, i);

        if (o->now_ms - x->fetched_ms > OBSERVER_GONE_MS || is_voter(v, x))
            continue;
        p->observers.v[p->observers.n++] = (struct DescribeQuorumResponse_ReplicaState){
            .replica_id = x->replica,
            .replica_directory_id = o->version >= 2 ? x->directory : (struct uuid){{0}},
            .log_end_offset = x->end,
            .last_fetch_timestamp = x->fetched_ms,
            .last_caught_up_timestamp = x->caught_up_ms};
    }
}

/* This node's own, until it has registered. */
static struct config_voter own_place(const struct node *node)
{
    int n;
    const struct config_listener *all = config_listeners(node->config, &n);
    struct config_voter v = {.id = node->id, .host = "localhost"};

    for (int i = 0; i < n; i++) {
        if (!all[i].controller)
            continue;
        v.port = all[i].port;
        if (all[i].host[0])
            v.host = all[i].host;
    }
    return v;
}

static bool tell_registered(const struct image *tip, int32_t id, struct arena *a,
                            struct DescribeQuorumResponse_Node *to)
{
    const struct image_controller *c = image_controller(tip, id);

    if (!c)
        return false;
    PROTO_ARRAY_NEW(a, DescribeQuorumResponse_Listener, to->listeners, c->reg.n_endpoints);
    for (int i = 0; i < c->reg.n_endpoints; i++) {
        const struct endpoint *e = &c->reg.endpoints[i];

        to->listeners.v[i] = (struct DescribeQuorumResponse_Listener){
            .name = arena_copy(a, e->name), .host = arena_copy(a, e->host), .port = e->port};
    }
    return true;
}

static void tell_place(const struct node *node, const struct config_voter *at, struct arena *a,
                       struct DescribeQuorumResponse_Node *to)
{
    struct config_list names = config_list(node->config, C_controller_listener_names);

    PROTO_ARRAY_NEW(a, DescribeQuorumResponse_Listener, to->listeners, 1);
    to->listeners.v[0].name = SLICE(names.n ? names.v[0] : "");
    to->listeners.v[0].host = arena_copy(a, SLICE(at->host));
    to->listeners.v[0].port = at->port;
}

/* Where those that vote listen: by controller.quorum.voters, else as they have registered. */
static void tell_nodes(const struct image *tip, const struct node *node, const struct quorum_view *v,
                       struct ctl_out *o, struct DescribeQuorumResponse *out)
{
    const struct config_voter own = own_place(node);
    int n;
    const struct config_voter *of_settings = config_voters(node->config, &n);

    PROTO_ARRAY_NEW(o->arena, DescribeQuorumResponse_Node, out->nodes, v->n_voters);
    out->nodes.n = 0;
    for (int i = 0; i < v->n_voters; i++) {
        struct DescribeQuorumResponse_Node *to = &out->nodes.v[out->nodes.n++];
        const struct config_voter *at = v->voters[i] == node->id ? &own : NULL;

        to->node_id = v->voters[i];
        for (int k = 0; k < n; k++)
            if (of_settings[k].id == to->node_id)
                at = &of_settings[k];
        if (n == 0 && tell_registered(tip, to->node_id, o->arena, to))
            continue;
        if (at)
            tell_place(node, at, o->arena, to);
    }
}

void decide_describe_quorum(const struct image *tip, const void *in, void *response, struct ctl_out *o)
{
    const struct describe *d = container_of(in, const struct describe, in);
    const struct quorum_view v = control_quorum(d->call.node->control);
    struct DescribeQuorumResponse *out = response;
    struct DescribeQuorumResponse_PartitionData *p;

    if (!metadata_asked(in)) {
        unknown(o->arena, in, out);
        return;
    }
    PROTO_ARRAY_NEW(o->arena, DescribeQuorumResponse_TopicData, out->topics, 1);
    out->topics.v[0].topic_name = SLICE(METADATA_TOPIC);
    PROTO_ARRAY_NEW(o->arena, DescribeQuorumResponse_PartitionData, out->topics.v[0].partitions, 1);
    p = &out->topics.v[0].partitions.v[0];
    p->leader_id = v.leader;
    p->leader_epoch = v.epoch;
    p->high_watermark = v.committed;
    tell_voters(&v, o, p);
    tell_observers(d->call.node->followers, &v, o, p);
    if (o->version >= 2)
        tell_nodes(tip, d->call.node, &v, o, out);
}

static void described(struct control_call *call)
{
    struct request *r = call->arg;
    struct DescribeQuorumResponse *out = r->out;

    if (call->err) {
        enum err err = call->err == E_NOT_CONTROLLER ? E_NOT_LEADER_OR_FOLLOWER : call->err;

        out->error_code = err_wire(err);
        out->error_message = SLICE(err_text(err));
    }
    request_reply(r);
}

void describe_quorum(struct request *r)
{
    struct DescribeQuorumResponse *out = r->out;
    struct describe *d;

    if (!authorize(r, OP_DESCRIBE, RES_CLUSTER, CLUSTER_NAME)) {
        out->error_code = err_wire(E_CLUSTER_AUTHORIZATION_FAILED);
        request_reply(r);
        return;
    }
    d = arena_alloc(&r->arena, sizeof(*d));
    d->in = *(const struct DescribeQuorumRequest *)r->in;
    d->call = control_call_of(r, decide_describe_quorum, &d->in, described, r);
    control_call(&d->call);
}
