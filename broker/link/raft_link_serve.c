/* What other controllers ask of this one: RaftHello, Raft, and pieces of its checkpoints. On the controller's listener alone, also
 * before the quorum has loaded: it loads by these.
 *
 * A connection belongs to the controller that said hello on it, and only its messages are taken, from the directory that it
 * said then. A hello to whoever listens here (VoterId -1) only asks. Each is answered when the control
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

/* The connection is the peer's as long as this lives. */
struct link_in {
    struct conn_tie tie;
    struct link_peer *peer;
    struct list link; /* peer.ins */
    struct uuid directory_id;
    int64_t heard_ns; /* what came last */
    bool old;         /* its process is gone: it doesn't count */
};

/* Whoever lives asks at least every LINK_PROBE_MS. */
enum { SILENT_MS = 3 * LINK_PROBE_MS };

static void link_in_cut(struct conn_tie *tie)
{
    struct link_in *in = container_of(tie, struct link_in, tie);
    struct link_peer *p = in->peer;
    bool old = in->old;

    list_remove(&in->link);
    heap_free(p->link->node->heap, in);
    if (!old)
        link_left(p);
}

static struct link_in *link_in_of(const struct request *r)
{
    struct conn_tie *tie = request_tied(r, link_in_cut);

    return tie ? container_of(tie, struct link_in, tie) : NULL;
}

static bool only_asks(const struct request *r)
{
    return ((const struct RaftHelloRequest *)r->in)->voter_id == -1;
}

/* Is it who it says? In words too. */
static enum err identity_check(struct request *r, const char **why)
{
    const struct RaftHelloRequest *in = r->in;
    const struct node *node = r->net->node;

    if (!slice_eq(in->cluster_id, SLICE(node->cluster_id))) {
        *why = arena_printf(&r->arena, "it is of cluster %.*s, this one is %s", (int)in->cluster_id.len,
                            (const char *)in->cluster_id.p, node->cluster_id);
        return E_INCONSISTENT_CLUSTER_ID;
    }
    if (in->voter_id != node->id && !only_asks(r)) {
        *why = arena_printf(&r->arena, "it means node %d, this is node %d", in->voter_id, node->id);
        return E_INVALID_VOTER_KEY;
    }
    if (in->node_id < 0 || uuid_is_zero(in->directory_id)) {
        *why = "it doesn't say which node it is, or which directory";
        return E_INVALID_VOTER_KEY;
    }
    if ((in->node_id == node->id) != uuid_eq(in->directory_id, node->raft_link->directory_id)) {
        *why = in->node_id == node->id ? "it says that it is this node, from another directory"
                                       : "it speaks from this node's directory";
        return E_INVALID_VOTER_KEY;
    }
    return E_OK;
}

/* From the directory that it is known by. Of a machine that lost its power connections stay open here, but nothing comes by
 * them. */
static bool connected(const struct link_peer *p)
{
    int64_t now = loop_now(p->link->net);

    if (p->state == LINK_UP)
        return true;
    list_each (it, &p->ins) {
        const struct link_in *in = container_of(it, struct link_in, link);

        if (!in->old && now - in->heard_ns < SILENT_MS * INT64_C(1000000))
            return true;
    }
    return false;
}

/* The peer that it is; NULL: this node itself, asking. */
static enum err peer_check(struct request *r, struct link_peer **peer, const char **why)
{
    const struct RaftHelloRequest *in = r->in;
    struct raft_link *l = r->net->node->raft_link;
    char a[UUID_TEXT_LEN + 1], b[UUID_TEXT_LEN + 1];
    struct link_peer *p;

    *peer = NULL;
    if (in->node_id == r->net->node->id) {
        *why = "it is this node itself";
        return only_asks(r) ? E_OK : E_INVALID_VOTER_KEY;
    }
    *peer = p = link_peer_add(l, in->node_id);
    if (!p) {
        *why = arena_printf(&r->arena, "%d other controllers are known already", RAFT_LINK_PEERS);
        return E_INVALID_REQUEST;
    }
    if (p->known && !uuid_eq(p->directory_id, in->directory_id) && connected(p)) {
        link_doubt(p);
        uuid_text(in->directory_id, a);
        uuid_text(p->directory_id, b);
        *why =
            arena_printf(&r->arena, "its directory is %s, but node %d is connected from %s", a, p->node, b);
        return E_INVALID_VOTER_KEY;
    }
    return E_OK;
}

/* What connections come from: nobody listens elsewhere without saying so. */
static struct slice peer_host(struct request *r)
{
    static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const uint8_t *ip = r->peer->ip;
    struct slice text = {0};
    const char *s = "";

    if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
        s = arena_printf(&r->arena, "%d.%d.%d.%d", ip[12], ip[13], ip[14], ip[15]);
    } else {
        for (int i = 0; i < (int)sizeof(r->peer->ip); i += 2)
            s = arena_printf(&r->arena, "%s%s%x", s, i ? ":" : "", ip[i] << 8 | ip[i + 1]);
    }
    text = SLICE(s);
    return text;
}

/* Of a process of that node there is one at a time: what is open of another one is the half of a connection. */
static void incarnation_take(struct link_peer *p, const struct uuid *incarnation)
{
    if (uuid_eq(p->incarnation, *incarnation))
        return;
    p->incarnation = *incarnation;
    p->n_in = 0;
    list_each (it, &p->ins) {
        struct link_in *in = container_of(it, struct link_in, link);

        in->old = true;
        request_tie_end(&in->tie);
    }
}

static void hello_take(struct request *r, struct link_peer *p)
{
    const struct RaftHelloRequest *said = r->in;
    struct link_in *in = r->conn ? link_in_of(r) : NULL;

    (void)link_place_note(p, PLACE_SAID, said->host.len ? said->host : peer_host(r), said->port);
    if (only_asks(r)) {
        link_reach(p);
        return;
    }
    if (in)
        in->heard_ns = loop_now(p->link->net);
    if (!r->conn || in)
        return;
    in = heap_alloc(p->link->node->heap, sizeof(*in));
    in->tie.cut = link_in_cut;
    in->peer = p;
    in->directory_id = said->directory_id;
    in->heard_ns = loop_now(p->link->net);
    incarnation_take(p, &said->incarnation_id);
    list_add(&p->ins, &in->link);
    request_tie(r, &in->tie);
    link_heard(p, &in->directory_id);
}

/* A connection is one peer's. */
static enum err tie_check(const struct request *r, const struct link_peer *p, const char **why)
{
    const struct link_in *in = link_in_of(r);

    if (in && in->peer != p) {
        *why = "another controller said hello on its connection";
        return E_INVALID_REQUEST;
    }
    if (!in && request_has_tie(r)) {
        *why = "a broker speaks on its connection";
        return E_INVALID_REQUEST;
    }
    return E_OK;
}

static enum err hello_check(struct request *r, struct link_peer **p, const char **why)
{
    enum err err = E_CLUSTER_AUTHORIZATION_FAILED;

    *why = "it may not act as a controller";
    if (!r->net->node->raft_link)
        return E_BROKER_NOT_AVAILABLE;
    if (allowed(r))
        err = identity_check(r, why);
    if (!err)
        err = peer_check(r, p, why);
    return err || only_asks(r) ? err : tie_check(r, *p, why);
}

void raft_hello(struct request *r)
{
    struct RaftHelloResponse *out = r->out;
    struct link_peer *p = NULL;
    const char *why;
    enum err err = hello_check(r, &p, &why);

    if (!err) {
        if (p)
            hello_take(r, p);
        link_controllers_tell(r->net->node->raft_link, &r->arena, out);
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
    struct link_peer *peer;
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
    struct raft_link *l = in->peer->link;

    in->reads = l->stopping ||
                l->ops.came(l->ops.arg, in->peer->node, ((const struct RaftRequest *)in->r->in)->message);
    msg->run = in_taken;
    loop_post(l->net, msg);
}

void raft_message(struct request *r)
{
    struct RaftResponse *out = r->out;
    struct link_in *tie = link_in_of(r);
    struct raft_in *in;

    if (!tie || tie->old || !allowed(r) || !uuid_eq(tie->directory_id, tie->peer->directory_id)) {
        out->error_code = err_wire(E_CLUSTER_AUTHORIZATION_FAILED);
        request_reply(r);
        return;
    }
    tie->heard_ns = loop_now(tie->peer->link->net);
    in = arena_alloc(&r->arena, sizeof(*in));
    in->r = r;
    in->peer = tie->peer;
    in->msg.run = in_came;
    loop_post(tie->peer->link->control, &in->msg);
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
