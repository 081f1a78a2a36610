#include "base/map.h"
#include "metadata/change.h"
#include "proto_gen.h"
#include <stdarg.h>
#include <stdio.h>

/* UpdateFeatures: all features of a request, or none. What a level brought stays as long as that level: a downgrade that
 * would lose something is refused and says what. kraft.version is the quorum's to keep, but what was decided of it is a record
 * like the others', in one batch with them: from then on the quorum raises it, whoever leads (quorum_raise()). */

enum { UPGRADE = 1, SAFE_DOWNGRADE = 2, UNSAFE_DOWNGRADE = 3 };

static struct api_error bad_level(struct ctl_out *o, struct slice name, int level, const char *why)
{
    return api_error(o, E_INVALID_UPDATE_VERSION, "Invalid update version %d for feature %.*s. %s", level,
                     SLICE_ARG(name), why);
}

static struct api_error out_of_range(struct ctl_out *o, struct slice name, int level, const char *who,
                                     int min, int max, const char *more)
{
    char why[320];

    if (max == 0)
        (void)snprintf(why, sizeof(why), "%s does not support this feature.%s", who, more);
    else
        (void)snprintf(why, sizeof(why), "%s only supports versions %d-%d", who, min, max);
    return bad_level(o, name, level, why);
}

/* Kafka's features whose behaviour isn't here yet: a release that switches them on names them all at once. */
static const char *const LATER[] = {"group.version", "share.version", "streams.version",
                                    "transaction.version"};
enum { LATER_N = sizeof(LATER) / sizeof(LATER[0]), LATER_WORDS = 160 };

/* Those that the request asks for, if this is one of them; "" otherwise. */
static void later_told(const struct UpdateFeaturesRequest *req, struct slice name, char words[LATER_WORDS])
{
    const char *head = " Left to a later version of weir: ";
    bool one = false;
    size_t len = 0;

    words[0] = 0;
    for (int k = 0; k < LATER_N; k++)
        one |= slice_eq(name, SLICE(LATER[k]));
    for (int i = 0; i < req->feature_updates.n && one; i++)
        for (int k = 0; k < LATER_N; k++) {
            if (req->feature_updates.v[i].max_version_level < 1 || len >= LATER_WORDS ||
                !slice_eq(req->feature_updates.v[i].feature, SLICE(LATER[k])))
                continue;
            len += (size_t)snprintf(words + len, LATER_WORDS - len, "%s%s", len ? ", " : head, LATER[k]);
        }
}

/* Levels of metadata.version that brought something to the metadata which going below them would lose. Those
 * after 25 are taken to have. */
static bool loses_metadata(int from, int to)
{
    static const int8_t changed[] = {8, 11, 13, 14, 15, 17, 23, 26, 27, 28, 29, 30};

    for (size_t i = 0; i < sizeof(changed); i++)
        if (changed[i] > to && changed[i] <= from)
            return true;
    return false;
}

static struct feature_range range_of(const struct feature_range *v, int n, struct slice name)
{
    for (int i = 0; i < n; i++)
        if (slice_eq(v[i].name, name))
            return v[i];
    return (struct feature_range){0};
}

/* Does everybody who is registered know that level? */
static struct api_error check_supported(const struct image *tip, const struct UpdateFeaturesRequest *req,
                                        struct ctl_out *o, struct slice name, int level)
{
    const struct feature_row *row = feature_find(name);
    struct image_brokers brokers = image_brokers_all(tip);
    struct image_controllers controllers = image_controllers_all(tip);
    const struct image_broker *b;
    const struct image_controller *c;
    struct feature_range can;
    char who[48], later[LATER_WORDS];

    (void)snprintf(who, sizeof(who), "Local controller %d", o->rules->node_id);
    later_told(req, name, later);
    if (level < (row ? row->min : 0) || level > (row ? row->max : 0))
        return out_of_range(o, name, level, who, row ? row->min : 0, row ? row->max : 0, later);
    while (level != 0 && (b = image_brokers_next(&brokers))) {
        can = range_of(b->reg.features, b->reg.n_features, name);
        (void)snprintf(who, sizeof(who), "Broker %d", b->reg.id);
        if (level < can.min || level > can.max)
            return out_of_range(o, name, level, who, can.min, can.max, "");
    }
    while (level != 0 && (c = image_controllers_next(&controllers))) {
        can = range_of(c->reg.features, c->reg.n_features, name);
        (void)snprintf(who, sizeof(who), "Controller %d", c->reg.id);
        if (level < can.min || level > can.max)
            return out_of_range(o, name, level, who, can.min, can.max, "");
    }
    return API_OK;
}

/* ---- one level needs another ---- */

/* The level that a feature will have when the whole request is done. */
static int level_then(const struct image *tip, const struct UpdateFeaturesRequest *req, const char *name)
{
    for (int i = 0; i < req->feature_updates.n; i++)
        if (slice_eq(req->feature_updates.v[i].feature, SLICE(name)))
            return req->feature_updates.v[i].max_version_level;
    return image_feature(tip, name);
}

static struct api_error check_needs(const struct image *tip, const struct UpdateFeaturesRequest *req,
                                    struct slice name, int level, struct ctl_out *o)
{
    static const struct {
        const char *name;
        int level;
    } needs[] = {{FEATURE_METADATA, METADATA_VERSION_ELR}, {FEATURE_WEIR, WEIR_VERSION_CONTROLLERS}};
    char why[160];

    for (size_t i = 0; i < 2 && level > 0 && slice_eq(name, SLICE(FEATURE_ELR)); i++) {
        if (level_then(tip, req, needs[i].name) >= needs[i].level)
            continue;
        (void)snprintf(why, sizeof(why),
                       FEATURE_ELR " could not be set to %d because it depends on %s level %d", level,
                       needs[i].name, needs[i].level);
        return bad_level(o, name, level, why);
    }
    return API_OK;
}

/* ---- what a downgrade would lose ---- */

enum { LOST_TOLD_MAX = 1000 };

struct losses {
    struct bytes text;
    int n;
};

static void lost(struct losses *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void lost(struct losses *l, const char *fmt, ...)
{
    char one[400];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(one, sizeof(one), fmt, args);
    va_end(args);
    if (l->n++ < LOST_TOLD_MAX)
        bytes_printf(&l->text, "%s%s", l->n > 1 ? ", " : "", one);
}

static void lost_elr(const struct image *tip, struct losses *l)
{
    struct image_topics topics = image_topics_from(tip, SLICE_NULL);
    const struct image_topic *t;
    const struct image_partition *p;

    while ((t = image_topics_next(&topics))) {
        struct image_partitions w = image_partitions_from(t, 0);

        while ((p = image_partitions_next(&w)))
            if (p->n_elr || p->n_last_elr)
                lost(l, "the eligible leaders of PARTITION %.*s-%d", SLICE_ARG(t->name), partition_index(p));
    }
}

static void lost_of_weir(const struct image *tip, const struct UpdateFeaturesRequest *req, int level,
                         struct losses *l)
{
    struct image_controllers w = image_controllers_all(tip);
    const struct image_controller *c;

    if (level >= WEIR_VERSION_CONTROLLERS)
        return;
    while ((c = image_controllers_next(&w)))
        lost(l, "REGISTER_CONTROLLER %d", c->reg.id);
    if (level_then(tip, req, FEATURE_ELR) > 0)
        lost(l, "FEATURE " FEATURE_ELR);
}

static struct api_error check_lost(const struct image *tip, const struct UpdateFeaturesRequest *req,
                                   struct slice name, int level, int type, struct ctl_out *o)
{
    struct api_error e = API_OK;
    struct losses l = {0};

    bytes_init(&l.text, o->work->heap);
    if (slice_eq(name, SLICE(FEATURE_WEIR)))
        lost_of_weir(tip, req, level, &l);
    else if (slice_eq(name, SLICE(FEATURE_ELR)) && type != UNSAFE_DOWNGRADE)
        lost_elr(tip, &l);
    if (l.n > LOST_TOLD_MAX)
        bytes_printf(&l.text, " and %d more", l.n - LOST_TOLD_MAX);
    if (l.n)
        e = api_error(
            o, E_INVALID_UPDATE_VERSION,
            "Invalid update version %d for feature %.*s. Refusing to perform the requested downgrade "
            "because it would delete: %.*s",
            level, SLICE_ARG(name), (int)l.text.len, (const char *)l.text.p);
    bytes_drop(&l.text);
    return e;
}

static struct api_error check_downgrade(const struct image *tip, const struct UpdateFeaturesRequest *req,
                                        struct slice name, int now, int level, int type, struct ctl_out *o)
{
    if (level >= now)
        return API_OK;
    if (slice_eq(name, SLICE(FEATURE_KRAFT)))
        return bad_level(o, name, level, "Can't downgrade the version of this feature.");
    if (!slice_eq(name, SLICE(FEATURE_METADATA)))
        return check_lost(tip, req, name, level, type, o);
    if (!loses_metadata(now, level))
        return API_OK;
    return api_error(
        o, E_INVALID_UPDATE_VERSION, "Unsupported metadata.version downgrade from %d to %d. %s", now, level,
        type == UNSAFE_DOWNGRADE ? "Unsafe metadata downgrade is not supported in this version."
                                 : "Refusing to perform the requested downgrade because it might "
                                   "delete metadata information.");
}

/* ---- records ---- */

static void emit_min_isr(struct ctl_out *o, struct slice broker, struct slice value)
{
    ctl_emit(o, RECORD_CONFIG, false)->config = (struct record_config){
        .resource_type = CONFIG_BROKER, .resource = broker, .name = SLICE(SETTING_MIN_ISR), .value = value};
}

/* ELR rests on one min.insync.replicas that all brokers share: it is written down, and each broker's own goes, also one
 * that is left of a broker that isn't registered any more. */
static void elr_begins(const struct image *tip, struct ctl_out *o)
{
    struct image_configs w = image_configs_all(tip);
    const struct image_config *c;

    if (!image_config(tip, CONFIG_BROKER, SLICE(""), SETTING_MIN_ISR).p)
        emit_min_isr(o, SLICE(""), o->rules->fallback(o->rules->arg, CONFIG_TOPIC, SLICE(SETTING_MIN_ISR)));
    while ((c = image_configs_next(&w)))
        if (c->type == CONFIG_BROKER && c->resource.len && slice_eq(c->name, SLICE(SETTING_MIN_ISR)))
            emit_min_isr(o, c->resource, SLICE_NULL);
}

/* Answers that were kept for a few seconds aren't a loss that somebody would have to wait for. */
static void forget_requests(struct ctl_out *o)
{
    struct record_requests_forget *r = &ctl_emit(o, RECORD_REQUESTS_FORGET, false)->requests_forget;

    r->due_ms = INT64_MAX;
    memset(&r->last, 0xff, sizeof(r->last));
}

/* The quorum may begin with a kraft.version that no record says, and comes to one that was decided a little later. */
static int level_now(const struct image *tip, struct slice name, const struct ctl_out *o)
{
    int level = image_feature_slice(tip, name);

    return slice_eq(name, SLICE(FEATURE_KRAFT)) && o->rules->kraft_version > level ? o->rules->kraft_version
                                                                                   : level;
}

/* First what must be so before the levels change, as many batches as it takes; then all levels in one. */
static void emit_levels(const struct image *tip, const struct UpdateFeaturesRequest *req, struct ctl_out *o)
{
    int now = image_feature(tip, FEATURE_ELR), then = level_then(tip, req, FEATURE_ELR), n = 0;

    if (level_then(tip, req, FEATURE_WEIR) < WEIR_VERSION_REQUESTS && tip->requests.count > 0)
        forget_requests(o);
    if (now == 0 && then > 0)
        elr_begins(tip, o);
    if (now > 0 && then == 0)
        ctl_emit(o, RECORD_CLEAR_ELR, false)->clear_elr.leaderless_stay =
            level_then(tip, req, FEATURE_WEIR) >= WEIR_VERSION_CONTROLLERS;
    for (int i = 0; i < req->feature_updates.n; i++) {
        const struct UpdateFeaturesRequest_FeatureUpdateKey *u = &req->feature_updates.v[i];

        if (slice_eq(u->feature, SLICE(FEATURE_KRAFT)) &&
            u->max_version_level <= level_now(tip, u->feature, o)) /* the quorum began so */
            continue;
        ctl_emit(o, RECORD_FEATURE, n++ > 0)->feature =
            (struct record_feature){.name = u->feature, .level = u->max_version_level};
    }
}

bool features_kraft(const struct UpdateFeaturesRequest *req, const struct UpdateFeaturesResponse *resp)
{
    if (req->validate_only || resp->error_code)
        return false;
    for (int i = req->feature_updates.n - 1; i >= 0; i--)
        if (slice_eq(req->feature_updates.v[i].feature, SLICE(FEATURE_KRAFT)))
            return req->feature_updates.v[i].max_version_level > 0;
    return false;
}

/* Each feature once; of one that is named more often the last counts. So the levels of a request, which go in one batch, are few:
 * as many as there are features. */
static struct UpdateFeaturesRequest each_once(const struct UpdateFeaturesRequest *req, struct ctl_out *o)
{
    struct UpdateFeaturesRequest out = *req;
    struct map seen; /* name → its place in out */
    int n = 0;

    PROTO_ARRAY_NEW(o->work, UpdateFeaturesRequest_FeatureUpdateKey, out.feature_updates,
                    req->feature_updates.n);
    map_init(&seen, o->work->heap, ctl_random(o));
    for (int i = 0; i < req->feature_updates.n; i++) {
        const struct UpdateFeaturesRequest_FeatureUpdateKey *u = &req->feature_updates.v[i];
        struct UpdateFeaturesRequest_FeatureUpdateKey *at = map_get(&seen, u->feature);

        if (!at)
            (void)map_put(&seen, u->feature, at = &out.feature_updates.v[n++]);
        *at = *u;
    }
    map_drop(&seen);
    out.feature_updates.n = n;
    return out;
}

static struct api_error check_update(const struct image *tip, const struct UpdateFeaturesRequest *req,
                                     const struct UpdateFeaturesRequest_FeatureUpdateKey *u, int type,
                                     struct ctl_out *o)
{
    int level = u->max_version_level, now = level_now(tip, u->feature, o);
    struct api_error e;

    if (type < UPGRADE || type > UNSAFE_DOWNGRADE)
        return bad_level(o, u->feature, level, "The controller does not support the given upgrade type.");
    if (level < 0)
        return bad_level(o, u->feature, level, "A feature version cannot be less than 0.");
    e = check_supported(tip, req, o, u->feature, level);
    if (e.err)
        return e;
    if (level < now && type == UPGRADE)
        return bad_level(
            o, u->feature, level,
            "Can't downgrade the version of this feature without setting the upgrade type to either safe "
            "or unsafe downgrade.");
    if (level > now && type != UPGRADE)
        return bad_level(o, u->feature, level, "Can't downgrade to a newer version.");
    e = check_needs(tip, req, u->feature, level, o);
    return e.err ? e : check_downgrade(tip, req, u->feature, now, level, type, o);
}

void decide_update_features(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct UpdateFeaturesRequest once = each_once(in, o), *req = &once;
    struct UpdateFeaturesResponse *resp = out;
    struct api_error e = API_OK;

    for (int i = 0; i < req->feature_updates.n && !e.err; i++) {
        const struct UpdateFeaturesRequest_FeatureUpdateKey *u = &req->feature_updates.v[i];
        int type = o->version > 0 ? u->upgrade_type : u->allow_downgrade ? SAFE_DOWNGRADE : UPGRADE;

        e = check_update(tip, req, u, type, o);
    }
    resp->error_code = err_wire(e.err);
    if (e.err) {
        resp->error_message =
            api_error(o, e.err,
                      "The update failed for all features since the following feature had an "
                      "error: %.*s",
                      SLICE_ARG(e.text))
                .text;
    } else if (o->version <= 1) {
        PROTO_ARRAY_NEW(o->arena, UpdateFeaturesResponse_UpdatableFeatureResult, resp->results,
                        req->feature_updates.n);
        for (int i = 0; i < resp->results.n; i++)
            resp->results.v[i].feature = req->feature_updates.v[i].feature;
    }
    if (!e.err && !req->validate_only)
        emit_levels(tip, req, o);
}
