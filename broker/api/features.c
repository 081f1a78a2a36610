/* UpdateFeatures. Levels are records that the controller decides (metadata/decide_features.c), but for kraft.version, which is
 * the quorum's own: it is raised when the records of the same request have committed. Where that can't be done now, the answer
 * says so and the other levels stay; asked again, only it is left. */
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "proto_gen.h"

struct features_call {
    struct control_call call;
    struct quorum_change change;
};

static void features_failed(struct request *r, enum err err)
{
    struct UpdateFeaturesResponse *out = r->out;

    out->error_code = err_wire(err);
}

static void answered(struct control_call *call)
{
    struct request *r = call->arg;

    if (call->err)
        features_failed(r, call->err);
    request_reply(r);
}

static void upgraded(struct quorum_change *change, enum err err)
{
    struct features_call *f = container_of(change, struct features_call, change);
    struct UpdateFeaturesResponse *out = f->call.out;

    if (err == E_UNSUPPORTED_VERSION) /* somebody else was faster */
        err = E_OK;
    if (err && err != E_NOT_CONTROLLER) {
        out->error_code = err_wire(err);
        out->error_message = arena_copy(f->call.arena, SLICE(change->why[0] ? change->why : err_text(err)));
        out->results.n = 0;
        err = E_OK;
    }
    control_call_end(&f->call, err); /* last touch */
}

static bool upgrade_wanted(const struct control_call *call)
{
    return features_kraft(control_quorum(call->node->control).kraft_version, call->in, call->out);
}

static void upgrade_here(struct control_call *call)
{
    struct features_call *f = container_of(call, struct features_call, call);

    f->change = (struct quorum_change){.kind = QUORUM_UPGRADE, .node = call->node->id, .done = upgraded};
    control_change(call->node->control, &f->change);
}

void update_features(struct request *r)
{
    struct features_call *f;

    if (!cluster_allowed(r, OP_ALTER, features_failed))
        return;
    f = arena_alloc(&r->arena, sizeof(*f));
    f->call = control_call_of(r, decide_update_features, r->in, answered, r);
    f->call.here = upgrade_here;
    f->call.wants = upgrade_wanted;
    control_call(&f->call);
}
