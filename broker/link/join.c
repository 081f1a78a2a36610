#include "broker/link/join.h"
#include "base/check.h"
#include "base/trace.h"
#include "broker/control.h"
#include "proto_gen.h"

#define MS INT64_C(1000000)
enum { CALL_MS = 5000 };

struct joiner {
    struct node *node;
    struct loop *control;
    struct uplink *uplink;
    struct uuid directory_id;
    struct timer timer;
    struct uplink_call call;
    struct arena arena;
    bool asking, stopped;
};

static void rest(struct joiner *j)
{
    timer_set(j->control, &j->timer, loop_now(j->control) + JOIN_REST_MS * MS);
}

/* ---- what is asked ---- */

static enum err read_added(struct uplink_call *c)
{
    const struct AddRaftVoterResponse *out = c->out;
    enum err err = err_of_wire(out->error_code);

    return err == E_NOT_LEADER_OR_FOLLOWER ? E_NOT_CONTROLLER : err;
}

static enum err read_removed(struct uplink_call *c)
{
    const struct RemoveRaftVoterResponse *out = c->out;
    enum err err = err_of_wire(out->error_code);

    return err == E_NOT_LEADER_OR_FOLLOWER ? E_NOT_CONTROLLER : err;
}

static const struct AddRaftVoterRequest *add_in(struct joiner *j)
{
    struct AddRaftVoterRequest *in = proto_new(&AddRaftVoterRequest_type, &j->arena, 1);
    int n;
    const struct config_listener *all = config_listeners(j->node->config, &n);

    in->cluster_id = SLICE(j->node->cluster_id);
    in->timeout_ms = CALL_MS;
    in->voter_id = j->node->id;
    in->voter_directory_id = j->directory_id;
    in->ack_when_committed = false;
    PROTO_ARRAY_NEW(&j->arena, AddRaftVoterRequest_Listener, in->listeners, n);
    in->listeners.n = 0;
    for (int i = 0; i < n; i++) {
        const struct config_listener *l = &all[i];

        if (!l->controller)
            continue;
        in->listeners.v[in->listeners.n++] =
            (struct AddRaftVoterRequest_Listener){.name = SLICE(l->name),
                                                  .host = SLICE(l->advertised_host[0] ? l->advertised_host
                                                                : l->host[0]          ? l->host
                                                                                      : "localhost"),
                                                  .port = l->advertised_port ? l->advertised_port : l->port};
    }
    return in;
}

static const struct RemoveRaftVoterRequest *remove_in(struct joiner *j, const struct uuid *directory_id)
{
    struct RemoveRaftVoterRequest *in = proto_new(&RemoveRaftVoterRequest_type, &j->arena, 1);

    in->cluster_id = SLICE(j->node->cluster_id);
    in->voter_id = j->node->id;
    in->voter_directory_id = *directory_id;
    return in;
}

static void asked(struct uplink_call *c)
{
    struct joiner *j = c->arg;

    j->asking = false;
    if (j->stopped)
        return;
    if (c->err)
        TRACE(j->node->io, quorum_join_failed, err_text(c->err));
    rest(j);
}

/* ---- when ---- */

static void look(struct timer *timer)
{
    struct joiner *j = container_of(timer, struct joiner, timer);
    const struct quorum_view v = control_quorum(j->node->control);
    const int old = quorum_view_voter(&v, j->node->id);

    if (j->asking)
        return;
    if (!v.observes || v.removed || v.kraft_version == 0 || v.n_voters == 0 || v.leader < 0 || v.failed) {
        rest(j);
        return;
    }
    if (old >= 0 && uuid_eq(v.progress[old].directory_id, j->directory_id)) {
        rest(j); /* it is one, or about to be */
        return;
    }
    arena_reset(&j->arena);
    j->asking = true;
    j->call = (struct uplink_call){.api_key = old < 0 ? API_AddRaftVoter : API_RemoveRaftVoter,
                                   .in = old < 0 ? (const void *)add_in(j)
                                                 : (const void *)remove_in(j, &v.progress[old].directory_id),
                                   .arena = &j->arena,
                                   .timeout_ms = CALL_MS,
                                   .read = old < 0 ? read_added : read_removed,
                                   .done = asked,
                                   .arg = j};
    TRACE(j->node->io, quorum_joins,
          old < 0 ? "asks to be a voter" : "takes out the directory it voted from");
    uplink_send(j->uplink, &j->call);
}

/* ---- begin and end ---- */

struct joiner *joiner_new(struct node *node, struct loop *control, struct uplink *uplink,
                          const struct uuid *directory_id)
{
    struct joiner *j = heap_alloc(node->heap, sizeof(*j));

    j->node = node;
    j->control = control;
    j->uplink = uplink;
    j->directory_id = *directory_id;
    j->timer.fire = look;
    arena_init(&j->arena, node->heap, SIZE_MAX);
    rest(j);
    return j;
}

void joiner_stop(struct joiner *j)
{
    j->stopped = true;
    timer_stop(&j->timer);
}

void joiner_drop(struct joiner *j)
{
    if (!j)
        return;
    ASSERT(!j->asking);
    arena_drop(&j->arena);
    heap_free(j->node->heap, j);
}
