/* Who is to become a voter is asked first, at the place where the request says that it listens, by a client of its own: its
 * ApiVersions tells whether it knows kraft.version, the answer to a hello that only asks (VoterId -1) who it is. */
#include "broker/link/dial.h"
#include "broker/link/raft_link_internal.h"
#include "metadata/features.h"
#include <stdio.h>

#define MS INT64_C(1000000)

static void vet_home(struct msg *msg)
{
    struct raft_link_vet *v = container_of(msg, struct raft_link_vet, msg);

    v->done(v, v->err); /* last touch */
}

static void vet_end(struct raft_link_vet *v)
{
    arena_drop(&v->arena);
    v->msg.run = vet_home;
    loop_post(v->link->control, &v->msg);
}

static void vet_closed(void *arg)
{
    struct raft_link_vet *v = arg;
    struct raft_link *l = v->link;

    vet_end(v);
    link_client_closed(l);
}

static void vet_close(struct raft_link_vet *v)
{
    if (v->closing)
        return;
    v->closing = true;
    list_remove(&v->on_link);
    client_close(v->client, vet_closed, v);
}

static void vet_ready(void *arg, int32_t node, const struct ApiVersionsResponse *has)
{
    struct raft_link_vet *v = arg;

    v->kraft_known = false;
    for (int i = 0; i < has->supported_features.n; i++) {
        const struct ApiVersionsResponse_SupportedFeatureKey *f = &has->supported_features.v[i];

        if (slice_eq(f->name, SLICE(FEATURE_KRAFT)))
            v->kraft_known = f->min_version <= v->kraft_version && v->kraft_version <= f->max_version;
    }
}

static enum err refuse(struct raft_link_vet *v, const char *why)
{
    snprintf(v->why, sizeof(v->why), "at %.60s %.90s", v->at, why);
    return E_INVALID_REQUEST;
}

static enum err answer_check(struct raft_link_vet *v, const struct RaftHelloResponse *out)
{
    char text[UUID_TEXT_LEN + 1], why[100];

    if (out->error_code) {
        snprintf(why, sizeof(why), "this controller is refused: %.*s", (int)out->error_message.len,
                 out->error_message.len ? (const char *)out->error_message.p : "");
        return refuse(v, why);
    }
    if (out->node_id != v->node) {
        snprintf(why, sizeof(why), "is node %d", out->node_id);
        return refuse(v, why);
    }
    if (!uuid_eq(out->directory_id, v->directory_id)) {
        uuid_text(out->directory_id, text);
        snprintf(why, sizeof(why), "node %d has directory %s", out->node_id, text);
        return refuse(v, why);
    }
    return v->kraft_known ? E_OK : refuse(v, "kraft.version isn't supported at the level of this quorum");
}

static void vet_answered(struct client_call *call)
{
    struct raft_link_vet *v = call->arg;

    if (v->link->ending)
        v->err = E_NOT_CONTROLLER;
    else if (call->err == E_UNSUPPORTED_VERSION)
        v->err = refuse(v, "there is no controller that speaks as this one");
    else if (!call->err)
        v->err = answer_check(v, call->out);
    else {
        v->err = E_REQUEST_TIMED_OUT;
        snprintf(v->why, sizeof(v->why), "node %d can't be asked at %.60s: %s", v->node, v->at,
                 err_text(call->err));
    }
    vet_close(v);
}

static enum err vet_dial(struct raft_link_vet *v)
{
    struct raft_link *l = v->link;
    struct client_options o = dial_options(l->node, l->net, l->names, "raft", v->timeout_ms);
    enum err err;

    if (v->host.len == 0 || v->host.len > DIAL_HOST_MAX || memchr(v->host.p, 0, v->host.len))
        return E_INVALID_REQUEST;
    dial_text(v->at, v->host, v->port);
    o.bootstrap = v->at;
    o.ready = vet_ready;
    o.ready_arg = v;
    err = client_new(&o, &v->client);
    if (err)
        return err;
    l->n_clients++;
    list_add(&l->vets, &v->on_link);
    link_hello_fill(l, -1, &v->hello);
    client_call_init(&v->call, API_RaftHello, client_any(), &v->hello, &v->arena);
    v->call.timeout_ns = v->timeout_ms * MS;
    v->call.done = vet_answered;
    v->call.arg = v;
    client_send(v->client, &v->call);
    return E_OK;
}

static void vet_run(struct msg *msg)
{
    struct raft_link_vet *v = container_of(msg, struct raft_link_vet, msg);

    v->err = v->link->ending ? E_NOT_CONTROLLER : vet_dial(v);
    if (v->err == E_INVALID_REQUEST)
        snprintf(v->why, sizeof(v->why), "no address: %.*s", (int)v->host.len,
                 v->host.len ? (const char *)v->host.p : "");
    if (v->err)
        vet_end(v);
}

void raft_link_vet(struct raft_link *l, struct raft_link_vet *v)
{
    ASSERT(!l->stopping && v->timeout_ms > 0);
    v->link = l;
    v->why[0] = 0;
    v->closing = v->kraft_known = false;
    list_init(&v->on_link);
    arena_init(&v->arena, l->node->heap, SIZE_MAX);
    v->msg.run = vet_run;
    loop_post(l->net, &v->msg);
}

void link_vets_end(struct raft_link *l)
{
    while (!list_empty(&l->vets)) {
        struct raft_link_vet *v = list_first(&l->vets, struct raft_link_vet, on_link);

        v->err = E_NOT_CONTROLLER;
        vet_close(v);
    }
}
