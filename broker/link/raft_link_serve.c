/* What other voters ask of this one: RaftHello, Raft, and pieces of its checkpoints. On the controller's listener alone, also
 * before the quorum has loaded: it loads by these.
 *
 * A connection belongs to the voter that said hello on it, and only its messages are taken. Each is answered when the control
 * loop has taken it, so a connection piles up no more than any other may (net/net.h). */
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "broker/link/piece.h"
#include "broker/link/raft_link_internal.h"
#include "metadata/topic_name.h"

static bool allowed(const struct request *r)
{
    return authorize(r, OP_CLUSTER_ACTION, RES_CLUSTER, CLUSTER_NAME);
}

/* ---- hello ---- */

/* The connection is the voter's as long as this lives. */
struct link_in {
    struct conn_tie tie;
    struct link_voter *voter;
};

static void link_in_cut(struct conn_tie *tie)
{
    struct link_in *in = container_of(tie, struct link_in, tie);
    struct link_voter *v = in->voter;

    heap_free(v->link->node->heap, in);
    link_left(v);
}

static struct link_voter *voter_here(const struct request *r)
{
    struct conn_tie *tie = request_tied(r, link_in_cut);

    return tie ? container_of(tie, struct link_in, tie)->voter : NULL;
}

/* E_OK, or what is wrong with it, in words too. */
static enum err hello_check(struct request *r, struct link_voter **voter, const char **why)
{
    const struct RaftHelloRequest *in = r->in;
    const struct node *node = r->net->node;
    struct link_voter *v = node->raft_link ? link_voter_of(node->raft_link, in->node_id) : NULL;
    char a[UUID_TEXT_LEN + 1], b[UUID_TEXT_LEN + 1];

    *voter = v;
    if (!slice_eq(in->cluster_id, SLICE(node->cluster_id))) {
        *why = arena_printf(&r->arena, "it is of cluster %.*s, this one is %s", (int)in->cluster_id.len,
                            (const char *)in->cluster_id.p, node->cluster_id);
        return E_INCONSISTENT_CLUSTER_ID;
    }
    if (in->voter_id != node->id) {
        *why = arena_printf(&r->arena, "it means node %d, this is node %d", in->voter_id, node->id);
        return E_INVALID_VOTER_KEY;
    }
    if (!v) {
        *why = arena_printf(&r->arena, "node %d is none of the other voters in controller.quorum.voters",
                            in->node_id);
        return E_VOTER_NOT_FOUND;
    }
    if (uuid_is_zero(in->directory_id) || (v->known && !uuid_eq(v->directory_id, in->directory_id))) {
        uuid_text(in->directory_id, a);
        uuid_text(v->directory_id, b);
        *why = arena_printf(&r->arena, "its directory is %s, but node %d voted from %s", a, v->node, b);
        return E_INVALID_VOTER_KEY;
    }
    return E_OK;
}

static void hello_take(struct request *r, struct link_voter *v)
{
    struct link_in *in;

    if (!r->conn || voter_here(r) == v)
        return;
    in = heap_alloc(v->link->node->heap, sizeof(*in));
    in->tie.cut = link_in_cut;
    in->voter = v;
    v->known = true;
    v->directory_id = ((const struct RaftHelloRequest *)r->in)->directory_id;
    request_tie(r, &in->tie);
    link_heard(v);
}

void raft_hello(struct request *r)
{
    struct RaftHelloResponse *out = r->out;
    struct link_voter *v = NULL;
    const char *why = "it may not act as a controller";
    enum err err = allowed(r) ? hello_check(r, &v, &why) : E_CLUSTER_AUTHORIZATION_FAILED;

    if (!err && voter_here(r) && voter_here(r) != v) {
        err = E_INVALID_REQUEST;
        why = "another voter said hello on its connection";
    } else if (!err && !voter_here(r) && request_has_tie(r)) {
        err = E_INVALID_REQUEST;
        why = "a broker speaks on its connection";
    }
    if (!err) {
        hello_take(r, v);
    } else {
        TRACE(r->net->node->io, raft_link_refused, ((const struct RaftHelloRequest *)r->in)->node_id, why);
        out->error_code = err_wire(err);
        out->error_message = SLICE(why);
    }
    request_reply(r);
}

/* ---- messages ---- */

struct raft_in {
    struct msg msg;
    struct request *r;
    struct link_voter *voter;
    bool reads;
};

static void in_taken(struct msg *msg)
{
    struct raft_in *in = container_of(msg, struct raft_in, msg);

    if (in->reads)
        request_reply(in->r);
    else
        request_abort(in->r);
}

static void in_came(struct msg *msg)
{
    struct raft_in *in = container_of(msg, struct raft_in, msg);
    struct raft_link *l = in->voter->link;

    in->reads = l->stopping ||
                l->ops.came(l->ops.arg, in->voter->node, ((const struct RaftRequest *)in->r->in)->message);
    msg->run = in_taken;
    loop_post(l->net, msg);
}

void raft_message(struct request *r)
{
    struct RaftResponse *out = r->out;
    struct link_voter *v = voter_here(r);
    struct raft_in *in;

    if (!v || !allowed(r)) {
        out->error_code = err_wire(E_CLUSTER_AUTHORIZATION_FAILED);
        request_reply(r);
        return;
    }
    in = arena_alloc(&r->arena, sizeof(*in));
    in->r = r;
    in->voter = v;
    in->msg.run = in_came;
    loop_post(v->link->control, &in->msg);
}

/* ---- checkpoints ---- */

struct snapshot_read {
    struct quorum_read read;
    struct request *r;
};

static enum err epoch_check(int32_t asked, int32_t now)
{
    return asked < 0 || asked == now ? E_OK : asked < now ? E_FENCED_LEADER_EPOCH : E_UNKNOWN_LEADER_EPOCH;
}

static void snapshot_done(struct quorum_read *q)
{
    struct request *r = container_of(q, struct snapshot_read, read)->r;
    const struct FetchSnapshotRequest *in = r->in;
    struct FetchSnapshotResponse *out = r->out;
    const struct FetchSnapshotRequest_PartitionSnapshot *asked = &in->topics.v[0].partitions.v[0];
    struct FetchSnapshotResponse_PartitionSnapshot *p = &out->topics.v[0].partitions.v[0];
    enum err err = epoch_check(asked->current_leader_epoch, q->epoch);
    struct part part = {.file = q->range.file, .at = q->range.at, .len = q->range.len};

    p->current_leader.leader_id = q->leader;
    p->current_leader.leader_epoch = q->epoch;
    p->snapshot_id.end_offset = asked->snapshot_id.end_offset;
    p->snapshot_id.epoch = asked->snapshot_id.epoch;
    if (!err)
        err = q->err;
    p->error_code = err_wire(err);
    p->size = err ? 0 : q->size;
    p->position = asked->position;
    p->unaligned_records = slice_of("", 0);
    if (!err && part.len > 0)
        p->unaligned_records = request_range(r, &part);
    else
        log_range_drop(&q->range);
    request_reply(r);
}

/* What was asked for as a whole: E_OK: one partition, and it is ours. */
static enum err snapshot_check(struct request *r)
{
    const struct FetchSnapshotRequest *in = r->in;

    if (!allowed(r))
        return E_CLUSTER_AUTHORIZATION_FAILED;
    if (in->cluster_id.p && !slice_eq(in->cluster_id, SLICE(r->net->node->cluster_id)))
        return E_INCONSISTENT_CLUSTER_ID;
    if (in->topics.n != 1 || in->topics.v[0].partitions.n != 1)
        return E_INVALID_REQUEST;
    return E_OK;
}

void fetch_snapshot(struct request *r)
{
    const struct FetchSnapshotRequest *in = r->in;
    struct FetchSnapshotResponse *out = r->out;
    struct FetchSnapshotResponse_PartitionSnapshot *p;
    const struct FetchSnapshotRequest_PartitionSnapshot *asked;
    struct snapshot_read *s;
    enum err err = snapshot_check(r);

    out->error_code = err_wire(err);
    if (err) {
        request_reply(r);
        return;
    }
    asked = &in->topics.v[0].partitions.v[0];
    PROTO_ARRAY_NEW(&r->arena, FetchSnapshotResponse_TopicSnapshot, out->topics, 1);
    out->topics.v[0].name = in->topics.v[0].name;
    PROTO_ARRAY_NEW(&r->arena, FetchSnapshotResponse_PartitionSnapshot, out->topics.v[0].partitions, 1);
    p = &out->topics.v[0].partitions.v[0];
    p->index = asked->partition;
    if (asked->partition != 0 || !slice_eq(in->topics.v[0].name, SLICE(METADATA_TOPIC))) {
        p->error_code = err_wire(E_UNKNOWN_TOPIC_OR_PARTITION);
        p->unaligned_records = slice_of("", 0);
        request_reply(r);
        return;
    }
    s = arena_alloc(&r->arena, sizeof(*s));
    s->r = r;
    s->read = (struct quorum_read){.back = r->net->loop,
                                   .offset = asked->position,
                                   .max_bytes = (size_t)(in->max_bytes < 1             ? 1
                                                         : in->max_bytes < PIECE_BYTES ? in->max_bytes
                                                                                       : PIECE_BYTES),
                                   .is_checkpoint = true,
                                   .checkpoint = {asked->snapshot_id.end_offset, asked->snapshot_id.epoch},
                                   .done = snapshot_done};
    control_read(r->net->node->control, &s->read);
}
