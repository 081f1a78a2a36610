/* AddRaftVoter, RemoveRaftVoter, UpdateRaftVoter: the voters of the metadata come and go. The active controller has the quorum
 * do it; a broker's clients are answered wherever it is, and also when it is the one that is removed: it hands leadership over,
 * and the next leader is asked. On the controller's listener another node says that it doesn't lead, as in Kafka.
 *
 *     handler ─► control_call, as any decision ─► this node leads ─► here: checks ─► quorum_change ─► the answer
 *                                                  AddRaftVoter: the new voter is asked ┘ first (raft_link_vet)
 *
 * One that can't be asked at the place that the request names, or isn't who the request says, is refused before anything
 * changes. AddRaftVoter's TimeoutMs bounds that and the answer, not what was begun.
 * Where a controller listens isn't the quorum's to know: what a request says of that goes to link/raft_link.h. */
#include "broker/api/raft_voters.h"
#include "base/check.h"
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "broker/link/raft_link.h"
#include "proto_gen.h"
#include <stdio.h>
#include <strings.h>

enum { NS_A_MS = 1000000 };

/* Outlives its request where that doesn't wait for the commit. */
struct voter_change {
    struct quorum_change change;
    struct msg begun;
    struct control_call *call; /* NULL: it was answered */
    struct node *node;
    struct timer late; /* the request's time is over, not the change's */
    bool waits;        /* for the commit */
    bool over;
    struct raft_link_at at; /* AddRaftVoter: where the voter listens, its host in the heap */
};

/* A request on its way. */
struct voter_call {
    struct control_call call;
    int16_t *error_code;
    struct slice *error_message;
    char why[QUORUM_WHY_MAX];
    struct raft_link_vet vet;
};

/* ---- answers ---- */

static void tell(struct voter_call *v, struct arena *a, enum err err)
{
    *v->error_code = err_wire(err);
    if (!err)
        return;
    *v->error_message = v->why[0] ? arena_copy(a, SLICE(v->why)) : SLICE(err_text(err));
}

/* What another node's controller has said is in `out` already. */
static void answered(struct control_call *call)
{
    struct request *r = call->arg;
    struct voter_call *v = container_of(call, struct voter_call, call);

    if (call->err)
        tell(v, &r->arena, call->err == E_NOT_CONTROLLER ? E_NOT_LEADER_OR_FOLLOWER : call->err);
    request_reply(r);
}

/* On the control loop: the controller's word, or there is none and another one is asked. */
static void decided(struct voter_call *v, enum err err)
{
    if (err != E_NOT_CONTROLLER) {
        tell(v, v->call.arena, err);
        err = E_OK;
    }
    control_call_end(&v->call, err); /* last touch */
}

/* ---- the change ---- */

static void change_drop(struct voter_change *c)
{
    if (!c->over || c->begun.run)
        return;
    heap_free(c->node->heap, c->at.host.p);
    heap_free(c->node->heap, c);
}

static void change_answer(struct voter_change *c, enum err err)
{
    struct voter_call *v = c->call ? container_of(c->call, struct voter_call, call) : NULL;

    c->call = NULL;
    timer_stop(&c->late);
    if (!v)
        return;
    snprintf(v->why, sizeof(v->why), "%s", c->over ? c->change.why : "");
    decided(v, err);
}

/* It may still come to be. */
static void change_late(struct timer *timer)
{
    change_answer(container_of(timer, struct voter_change, late), E_REQUEST_TIMED_OUT);
}

static void change_done(struct quorum_change *change, enum err err)
{
    struct voter_change *c = container_of(change, struct voter_change, change);

    c->over = true;
    change_answer(c, err);
    change_drop(c);
}

/* Behind the quorum's own message: what it didn't refuse at once is under way. Only then a place is noted, for the link knows
 * few controllers, and none goes (RAFT_LINK_PEERS). */
static void change_begun(struct msg *msg)
{
    struct voter_change *c = container_of(msg, struct voter_change, begun);
    struct raft_link *link = c->node->raft_link;

    c->begun.run = NULL;
    if (c->at.port && !c->over && link)
        raft_link_place(link, c->at.node, c->at.host, c->at.port);
    if (!c->waits && !c->over)
        change_answer(c, E_OK);
    change_drop(c);
}

static struct voter_change *change(struct control_call *call, enum quorum_change_kind kind, int32_t node,
                                   const struct uuid *directory_id, bool waits)
{
    struct voter_change *c = heap_alloc(call->node->heap, sizeof(*c));

    c->change.kind = kind;
    c->change.node = node;
    c->change.directory_id = *directory_id;
    c->change.done = change_done;
    c->call = call;
    c->node = call->node;
    c->waits = waits;
    c->begun.run = change_begun;
    c->late.fire = change_late;
    list_init(&c->late.link);
    timer_set(control_loop(call->node->control), &c->late, call->deadline);
    control_change(call->node->control, &c->change);
    loop_post(control_loop(call->node->control), &c->begun);
    return c;
}

/* ---- here, where the controller is ---- */

static enum err no(struct voter_call *v, const char *why)
{
    snprintf(v->why, sizeof(v->why), "%s", why);
    return E_INVALID_REQUEST;
}

static bool is_key(int32_t node, const struct uuid *directory_id)
{
    return node >= 0 && !uuid_is_zero(*directory_id);
}

/* The listener by which controllers reach each other. */
static const char *default_listener(const struct node *node)
{
    struct config_list names = config_list(node->config, C_controller_listener_names);

    return names.n ? names.v[0] : "";
}

static bool is_default(const struct node *node, struct slice name)
{
    const char *is = default_listener(node);

    return name.len == strlen(is) && strncasecmp((const char *)name.p, is, name.len) == 0;
}

static void vetted(struct raft_link_vet *vet, enum err err)
{
    struct voter_call *v = container_of(vet, struct voter_call, vet);
    const struct AddRaftVoterRequest *in = v->call.in;
    struct voter_change *c;

    if (err) {
        snprintf(v->why, sizeof(v->why), "%s", vet->why);
        decided(v, err);
        return;
    }
    c = change(&v->call, QUORUM_ADD, in->voter_id, &in->voter_directory_id, in->ack_when_committed);
    c->at = (struct raft_link_at){in->voter_id, heap_copy(v->call.node->heap, vet->host), vet->port};
}

/* What the quorum would refuse in any case it refuses now, and nobody is asked. */
static bool refused_anyway(const struct control_call *call)
{
    const struct AddRaftVoterRequest *in = call->in;
    const struct quorum_view view = control_quorum(call->node->control);

    return quorum_view_voter(&view, in->voter_id) >= 0 || view.kraft_version == 0 ||
           view.leader != call->node->id;
}

static void vet(struct control_call *call, const struct AddRaftVoterRequest_Listener *at)
{
    struct voter_call *v = container_of(call, struct voter_call, call);
    const struct AddRaftVoterRequest *in = call->in;
    int64_t left = (call->deadline - loop_now(control_loop(call->node->control))) / NS_A_MS;

    v->vet = (struct raft_link_vet){.node = in->voter_id,
                                    .directory_id = in->voter_directory_id,
                                    .host = at->host,
                                    .port = at->port,
                                    .kraft_version = control_quorum(call->node->control).kraft_version,
                                    .timeout_ms = left > 0 ? left : 1,
                                    .done = vetted};
    raft_link_vet(call->node->raft_link, &v->vet);
}

static void add_here(struct control_call *call)
{
    struct voter_call *v = container_of(call, struct voter_call, call);
    const struct AddRaftVoterRequest *in = call->in;
    const struct AddRaftVoterRequest_Listener *at = NULL;

    for (int i = 0; i < in->listeners.n; i++)
        if (is_default(call->node, in->listeners.v[i].name))
            at = &in->listeners.v[i];
    if (!is_key(in->voter_id, &in->voter_directory_id)) {
        decided(v, no(v, "a voter needs a node id and a directory id"));
        return;
    }
    if (!at) {
        snprintf(v->why, sizeof(v->why), "it says nothing of the listener %s", default_listener(call->node));
        decided(v, E_INVALID_REQUEST);
        return;
    }
    if (call->node->raft_link && !refused_anyway(call))
        vet(call, at);
    else
        (void)change(call, QUORUM_ADD, in->voter_id, &in->voter_directory_id, in->ack_when_committed);
}

static void remove_here(struct control_call *call)
{
    struct voter_call *v = container_of(call, struct voter_call, call);
    const struct RemoveRaftVoterRequest *in = call->in;

    if (is_key(in->voter_id, &in->voter_directory_id))
        (void)change(call, QUORUM_REMOVE, in->voter_id, &in->voter_directory_id, true);
    else
        decided(v, no(v, "a voter needs a node id and a directory id"));
}

void decide_add_voter(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
}

void decide_remove_voter(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
}

/* ---- handlers ---- */

static enum err request_check(const struct request *r, enum acl_operation op, struct slice cluster_id)
{
    if (!authorize(r, op, RES_CLUSTER, CLUSTER_NAME))
        return E_CLUSTER_AUTHORIZATION_FAILED;
    return cluster_id.p && !slice_eq(cluster_id, SLICE(r->net->node->cluster_id)) ? E_INCONSISTENT_CLUSTER_ID
                                                                                  : E_OK;
}

/* timeout_ms: 0 or less: the usual one. */
static void ask(struct request *r, struct slice cluster_id, int32_t timeout_ms, ctl_decide_fn decide,
                void (*here)(struct control_call *call), int16_t *error_code, struct slice *error_message)
{
    struct voter_call *v = arena_alloc(&r->arena, sizeof(*v));
    enum err err = request_check(r, OP_ALTER, cluster_id);

    v->error_code = error_code;
    v->error_message = error_message;
    if (err) {
        tell(v, &r->arena, err);
        request_reply(r);
        return;
    }
    v->call = control_call_of(r, decide, r->in, answered, r);
    v->call.timeout_ms = timeout_ms;
    v->call.here = here;
    control_call(&v->call);
}

void add_raft_voter(struct request *r)
{
    const struct AddRaftVoterRequest *in = r->in;
    struct AddRaftVoterResponse *out = r->out;

    ask(r, in->cluster_id, in->timeout_ms, decide_add_voter, add_here, &out->error_code, &out->error_message);
}

void remove_raft_voter(struct request *r)
{
    const struct RemoveRaftVoterRequest *in = r->in;
    struct RemoveRaftVoterResponse *out = r->out;

    ask(r, in->cluster_id, 0, decide_remove_voter, remove_here, &out->error_code, &out->error_message);
}

/* ---- where a voter listens, as it says itself ---- */

static const struct UpdateRaftVoterRequest_Listener *update_place(const struct request *r)
{
    const struct UpdateRaftVoterRequest *in = r->in;

    for (int i = 0; i < in->listeners.n; i++)
        if (is_default(r->net->node, in->listeners.v[i].name))
            return &in->listeners.v[i];
    return NULL;
}

/* In Kafka's order. */
static enum err update_check(const struct request *r, const struct quorum_view *view)
{
    const struct UpdateRaftVoterRequest *in = r->in;
    const int at = quorum_view_voter(view, in->voter_id);

    if (in->current_leader_epoch != view->epoch)
        return in->current_leader_epoch < view->epoch ? E_FENCED_LEADER_EPOCH : E_UNKNOWN_LEADER_EPOCH;
    if (view->leader != r->net->node->id)
        return E_NOT_LEADER_OR_FOLLOWER;
    if (!is_key(in->voter_id, &in->voter_directory_id) || !update_place(r))
        return E_INVALID_REQUEST;
    if (in->kraft_version_feature.min_supported_version > view->kraft_version ||
        in->kraft_version_feature.max_supported_version < view->kraft_version)
        return E_INVALID_REQUEST;
    return at >= 0 && uuid_eq(view->progress[at].directory_id, in->voter_directory_id) ? E_OK
                                                                                       : E_VOTER_NOT_FOUND;
}

/* Whoever leads is told, by whomever was asked. */
static void update_looked(struct control_look *look)
{
    struct request *r = look->arg;
    const struct UpdateRaftVoterRequest *in = r->in;
    struct UpdateRaftVoterResponse *out = r->out;
    struct raft_link *link = r->net->node->raft_link;
    enum err err = update_check(r, &look->view);
    struct slice host;
    uint16_t port;

    if (!err && link && in->voter_id != r->net->node->id)
        raft_link_place(link, in->voter_id, update_place(r)->host, update_place(r)->port);
    out->error_code = err_wire(err);
    out->current_leader.leader_id = look->view.leader;
    out->current_leader.leader_epoch = look->view.epoch;
    if (look->view.leader >= 0 && uplink_place(r->net, look->view.leader, &host, &port)) {
        out->current_leader.host = host;
        out->current_leader.port = port;
    }
    request_reply(r);
}

void update_raft_voter(struct request *r)
{
    const struct UpdateRaftVoterRequest *in = r->in;
    struct UpdateRaftVoterResponse *out = r->out;
    struct control_look *look = arena_alloc(&r->arena, sizeof(*look));
    enum err err = request_check(r, OP_CLUSTER_ACTION, in->cluster_id);

    if (err) {
        out->error_code = err_wire(err);
        request_reply(r);
        return;
    }
    look->back = r->net->loop;
    look->done = update_looked;
    look->arg = r;
    control_look(r->net->node->control, look);
}
