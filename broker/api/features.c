/* UpdateFeatures. Levels are records that the controller decides (metadata/decide_features.c), all of a request in one batch: they
 * commit together, or none does. kraft.version is the quorum's own: its record says that it is to be raised, and from then on
 * each leader sees to that (quorum_raise()), also one that comes after who decided. The answer waits until it has been:
 * REQUEST_TIMED_OUT if that takes longer than the request may, because another change of the voters is under way; then it is
 * raised all the same. */
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "proto_gen.h"

enum { RAISE_AGAIN_MS = 5, NS_A_MS = 1000000 };

struct features_call {
    struct control_call call;
    struct quorum_change change;
    struct timer again;
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
    struct loop *loop = control_loop(f->call.node->control);

    if (err == E_UNSUPPORTED_VERSION) /* the quorum was faster, or began so */
        err = E_OK;
    if (err == E_REQUEST_TIMED_OUT && loop_now(loop) < f->call.deadline) {
        timer_set(loop, &f->again, loop_now(loop) + (int64_t)RAISE_AGAIN_MS * NS_A_MS);
        return;
    }
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
    return features_kraft(call->in, call->out);
}

/* As ApiVersions here tells it; whoever raised it. */
static bool upgrade_shown(const struct control_call *call)
{
    return !upgrade_wanted(call) || atomic_load(&call->node->kraft_version) > 0;
}

static void upgrade_again(struct timer *timer)
{
    struct features_call *f = container_of(timer, struct features_call, again);

    f->change = (struct quorum_change){.kind = QUORUM_UPGRADE, .node = f->call.node->id, .done = upgraded};
    control_change(f->call.node->control, &f->change);
}

static void upgrade_here(struct control_call *call)
{
    struct features_call *f = container_of(call, struct features_call, call);

    f->again = (struct timer){.fire = upgrade_again};
    list_init(&f->again.link);
    upgrade_again(&f->again);
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
    f->call.shows = upgrade_shown;
    control_call(&f->call);
}
