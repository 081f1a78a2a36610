#include "base/check.h"
#include "metadata/decide.h"
#include "proto_gen.h"
#include <stdio.h>

/* Bootstrap, BrokerRegistration, BrokerHeartbeat, AllocateProducerIds, UpdateFeatures. */

enum { PRODUCER_IDS_BLOCK = 1000, FEATURES_MAX = 64, DIRS_MAX = 1000 };

void decide_bootstrap(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct bootstrap *b = in;
    struct meta_record *r;

    if (tip->cluster_id[0])
        return;
    r = ctl_emit(o, RECORD_CLUSTER, false);
    r->cluster.id = b->cluster_id;
    r = ctl_emit(o, RECORD_FEATURE, true);
    r->feature = (struct record_feature){.name = SLICE(FEATURE_METADATA), .level = b->metadata_version};
    r = ctl_emit(o, RECORD_FEATURE, true);
    r->feature = (struct record_feature){.name = SLICE(FEATURE_WEIR), .level = WEIR_VERSION};
}

/* ---- who leads ---- */

/* The broker leads, in a new epoch, what `leader` led until now and it may lead. */
static void elect(const struct image *tip, int32_t id, int32_t leader, struct ctl_out *o)
{
    struct image_topics topics = image_topics_from(tip, SLICE_NULL);
    const struct image_topic *t;
    const struct image_partition *p;

    while ((t = image_topics_next(&topics))) {
        struct image_partitions w = image_partitions_from(t, 0);

        while ((p = image_partitions_next(&w))) {
            struct meta_record *r;

            if (p->leader != leader || !ids_has(partition_isr(p), id))
                continue;
            r = ctl_emit(o, RECORD_PARTITION_CHANGE, false);
            r->partition_change = (struct record_partition_change){.topic = t->id,
                                                                   .index = partition_index(p),
                                                                   .leader = id,
                                                                   .recovering = -1,
                                                                   .replicas = IDS_SAME,
                                                                   .isr = IDS_SAME,
                                                                   .removing = IDS_SAME,
                                                                   .adding = IDS_SAME,
                                                                   .elr = IDS_SAME,
                                                                   .last_elr = IDS_SAME,
                                                                   .dirs = UUIDS_SAME};
        }
    }
}

/* ---- BrokerRegistration ---- */

/* Kafka keeps the first hundred ids for meanings of its own (unassigned, lost, migrating). */
static bool dir_reserved(const struct uuid *u)
{
    for (int i = 0; i < 15; i++)
        if (u->b[i])
            return false;
    return u->b[15] < 100;
}

static bool has_dir(struct uuids dirs, struct uuid u)
{
    for (int i = 0; i < dirs.n; i++)
        if (uuid_eq(dirs.v[i], u))
            return true;
    return false;
}

static enum err check_dirs(const struct image *tip, const struct BrokerRegistrationRequest *req)
{
    struct uuids dirs = {req->log_dirs.v, req->log_dirs.n};
    struct image_brokers w = image_brokers_all(tip);
    const struct image_broker *b;

    if (dirs.n <= 0 || dirs.n > DIRS_MAX)
        return E_INVALID_REGISTRATION;
    for (int i = 0; i < dirs.n; i++)
        if (dir_reserved(&dirs.v[i]) || has_dir((struct uuids){dirs.v, i}, dirs.v[i]))
            return E_INVALID_REGISTRATION;
    while ((b = image_brokers_next(&w)))
        for (int i = 0; b->reg.id != req->broker_id && i < dirs.n; i++)
            if (has_dir(b->reg.dirs, dirs.v[i]))
                return E_INVALID_REGISTRATION;
    return E_OK;
}

/* Every finalized feature must lie within what the broker can do. */
static enum err check_features(const struct image *tip, const struct BrokerRegistrationRequest *req)
{
    struct image_features w = image_features_all(tip);
    const struct image_feature *f;

    while ((f = image_features_next(&w))) {
        bool found = false;

        for (int i = 0; i < req->features.n && !found; i++) {
            const struct BrokerRegistrationRequest_Feature *b = &req->features.v[i];

            if (!slice_eq(b->name, f->name))
                continue;
            found = true;
            if (f->level < b->min_supported_version || f->level > b->max_supported_version)
                return E_UNSUPPORTED_VERSION;
        }
        if (!found)
            return E_UNSUPPORTED_VERSION;
    }
    return E_OK;
}

/* Does the broker that is registered still live? Its directories tell the same disks: a new incarnation
 * replaces it at once (the caller knows that the old one's connections have ended). Others wait until it is
 * fenced. */
static bool taken(const struct image_broker *old, const struct BrokerRegistrationRequest *req)
{
    if (!old || old->reg.fenced || uuid_eq(old->reg.incarnation, req->incarnation_id))
        return false;
    for (int i = 0; i < old->reg.dirs.n; i++)
        if (has_dir((struct uuids){req->log_dirs.v, req->log_dirs.n}, old->reg.dirs.v[i]))
            return false;
    return true;
}

/* Is everything still there that the old incarnation told anybody? It says so by that one's epoch: its directories
 * were closed in order, or the kernel lived on. Then who led leads on in the same epoch: nobody else can have led while
 * the image names it. Else it leads in a new one, by which clients notice that offsets may mean other records now. */
static bool kept_all(const struct image_broker *old, const struct BrokerRegistrationRequest *req)
{
    const struct uuids dirs = {req->log_dirs.v, req->log_dirs.n};

    for (int i = 0; i < old->reg.dirs.n; i++)
        if (!has_dir(dirs, old->reg.dirs.v[i]))
            return false;
    return req->previous_broker_epoch == old->reg.epoch;
}

static void emit_registration(const struct BrokerRegistrationRequest *req, const struct image_broker *old,
                              int64_t epoch, bool same, struct ctl_out *o)
{
    struct endpoint *e = arena_alloc(o->work, ((size_t)req->listeners.n + 1) * sizeof(*e));
    struct feature_range *f = arena_alloc(o->work, ((size_t)req->features.n + 1) * sizeof(*f));
    struct meta_record *r = ctl_emit(o, RECORD_REGISTER_BROKER, false);

    for (int i = 0; i < req->listeners.n; i++)
        e[i] = (struct endpoint){.name = req->listeners.v[i].name,
                                 .host = req->listeners.v[i].host,
                                 .port = req->listeners.v[i].port,
                                 .security_protocol = req->listeners.v[i].security_protocol};
    for (int i = 0; i < req->features.n; i++)
        f[i] = (struct feature_range){.name = req->features.v[i].name,
                                      .min = req->features.v[i].min_supported_version,
                                      .max = req->features.v[i].max_supported_version};
    r->register_broker =
        (struct record_register_broker){.id = req->broker_id,
                                        .incarnation = req->incarnation_id,
                                        .epoch = epoch,
                                        .endpoints = e,
                                        .n_endpoints = req->listeners.n,
                                        .features = f,
                                        .n_features = req->features.n,
                                        .rack = req->rack,
                                        .fenced = !same || old->reg.fenced,
                                        .in_controlled_shutdown = same && old->reg.in_controlled_shutdown,
                                        .dirs = {req->log_dirs.v, req->log_dirs.n}};
}

void decide_broker_registration(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct BrokerRegistrationRequest *req = in;
    struct BrokerRegistrationResponse *resp = out;
    const struct image_broker *old = image_broker(tip, req->broker_id);
    bool same = old && uuid_eq(old->reg.incarnation, req->incarnation_id);
    enum err err = E_OK;

    if (!slice_eq(req->cluster_id, SLICE(tip->cluster_id)))
        err = E_INCONSISTENT_CLUSTER_ID;
    else if (taken(old, req))
        err = E_DUPLICATE_BROKER_REGISTRATION;
    else if (req->is_migrating_zk_broker)
        err = E_BROKER_ID_NOT_REGISTERED;
    if (!err)
        err = check_dirs(tip, req);
    if (!err && req->features.n > FEATURES_MAX)
        err = E_INVALID_REGISTRATION;
    if (!err)
        err = check_features(tip, req);
    resp->error_code = err_wire(err);
    resp->broker_epoch = -1;
    if (err)
        return;
    resp->broker_epoch = same ? old->reg.epoch : o->base_offset + o->n;
    emit_registration(req, old, resp->broker_epoch, same, o);
    if (old && !same && !kept_all(old, req))
        elect(tip, req->broker_id, req->broker_id, o);
}

/* ---- BrokerHeartbeat ---- */

/* fenced and shutdown as record_broker_change has them. */
static void emit_change(const struct image_broker *b, int8_t fenced, int8_t shutdown, struct ctl_out *o)
{
    struct meta_record *r = ctl_emit(o, RECORD_BROKER_CHANGE, false);

    r->broker_change = (struct record_broker_change){.id = b->reg.id,
                                                     .epoch = b->reg.epoch,
                                                     .fenced = fenced,
                                                     .in_controlled_shutdown = shutdown,
                                                     .dirs = UUIDS_SAME,
                                                     .cordoned = UUIDS_SAME};
}

/* One broker has nobody to hand its partitions to, so a controlled shutdown is granted at once. */
void decide_broker_heartbeat(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct BrokerHeartbeatRequest *req = in;
    struct BrokerHeartbeatResponse *resp = out;
    const struct image_broker *b = image_broker(tip, req->broker_id);

    resp->is_fenced = true;
    if (!b || b->reg.epoch != req->broker_epoch) {
        resp->error_code = err_wire(b ? E_STALE_BROKER_EPOCH : E_BROKER_ID_NOT_REGISTERED);
        return;
    }
    resp->is_caught_up = req->current_metadata_offset >= b->reg.epoch;
    resp->is_fenced = b->reg.fenced;
    if (req->want_shut_down) {
        resp->should_shut_down = true;
        if (!b->reg.in_controlled_shutdown)
            emit_change(b, 0, 1, o);
    } else if (req->want_fence && !b->reg.fenced) {
        resp->is_fenced = true;
        emit_change(b, 1, 0, o);
    } else if (!req->want_fence && b->reg.fenced && resp->is_caught_up) {
        resp->is_fenced = false;
        emit_change(b, -1, 0, o);
        elect(tip, b->reg.id, LEADER_NONE, o);
    }
}

/* ---- AllocateProducerIds ---- */

void decide_allocate_producer_ids(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct AllocateProducerIdsRequest *req = in;
    struct AllocateProducerIdsResponse *resp = out;
    const struct image_broker *b = image_broker(tip, req->broker_id);
    struct meta_record *r;

    if (!b || b->reg.epoch != req->broker_epoch) {
        resp->error_code = err_wire(E_STALE_BROKER_EPOCH);
        return;
    }
    if (tip->next_producer_id > INT64_MAX - PRODUCER_IDS_BLOCK) {
        resp->error_code = err_wire(E_UNKNOWN_SERVER_ERROR);
        return;
    }
    resp->producer_id_start = tip->next_producer_id;
    resp->producer_id_len = PRODUCER_IDS_BLOCK;
    r = ctl_emit(o, RECORD_PRODUCER_IDS, false);
    r->producer_ids = (struct record_producer_ids){.broker_id = req->broker_id,
                                                   .broker_epoch = req->broker_epoch,
                                                   .next = tip->next_producer_id + PRODUCER_IDS_BLOCK};
}

/* ---- UpdateFeatures ---- */

enum { UPGRADE = 1, SAFE_DOWNGRADE = 2, UNSAFE_DOWNGRADE = 3 };

static struct api_error bad_level(struct ctl_out *o, struct slice name, int level, const char *why)
{
    return api_error(o, E_INVALID_UPDATE_VERSION, "Invalid update version %d for feature %.*s. %s", level,
                     SLICE_ARG(name), why);
}

static struct api_error out_of_range(struct ctl_out *o, struct slice name, int level, const char *who,
                                     int min, int max)
{
    char why[160];

    if (max == 0)
        (void)snprintf(why, sizeof(why), "%s does not support this feature.", who);
    else
        (void)snprintf(why, sizeof(why), "%s only supports versions %d-%d", who, min, max);
    return bad_level(o, name, level, why);
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

static struct api_error check_supported(const struct image *tip, struct ctl_out *o, struct slice name,
                                        int level)
{
    bool metadata = slice_eq(name, SLICE(FEATURE_METADATA)), weir = slice_eq(name, SLICE(FEATURE_WEIR));
    int min = metadata ? METADATA_VERSION_MIN : WEIR_VERSION_MIN,
        max = metadata ? METADATA_VERSION : WEIR_VERSION;
    struct image_brokers w = image_brokers_all(tip);
    const struct image_broker *b;
    char who[48];

    if (!metadata && !weir)
        min = max = 0;
    (void)snprintf(who, sizeof(who), "Local controller %d", o->rules->node_id);
    if ((level != 0 || metadata || weir) && (level < min || level > max))
        return out_of_range(o, name, level, who, min, max);
    while ((b = image_brokers_next(&w))) {
        int low = 0, high = 0;

        for (int i = 0; i < b->reg.n_features; i++)
            if (slice_eq(b->reg.features[i].name, name)) {
                low = b->reg.features[i].min;
                high = b->reg.features[i].max;
            }
        (void)snprintf(who, sizeof(who), "Broker %d", b->reg.id);
        if (level != 0 && (level < low || level > high))
            return out_of_range(o, name, level, who, low, high);
    }
    return API_OK;
}

static struct api_error update_feature(const struct image *tip,
                                       const struct UpdateFeaturesRequest_FeatureUpdateKey *u, int type,
                                       struct ctl_out *o)
{
    int level = u->max_version_level;
    const struct image_feature *f = (const struct image_feature *)pmap_get(&tip->features, u->feature);
    int now = f ? f->level : 0;
    struct api_error e;
    struct meta_record *r;

    if (type < UPGRADE || type > UNSAFE_DOWNGRADE)
        return bad_level(o, u->feature, level, "The controller does not support the given upgrade type.");
    if (level < 0)
        return bad_level(o, u->feature, level, "A feature version cannot be less than 0.");
    e = check_supported(tip, o, u->feature, level);
    if (e.err)
        return e;
    if (level < now && type == UPGRADE)
        return bad_level(
            o, u->feature, level,
            "Can't downgrade the version of this feature without setting the upgrade type to either safe "
            "or unsafe downgrade.");
    if (level > now && type != UPGRADE)
        return bad_level(o, u->feature, level, "Can't downgrade to a newer version.");
    if (slice_eq(u->feature, SLICE(FEATURE_METADATA)) && level < now && loses_metadata(now, level))
        return api_error(o, E_INVALID_UPDATE_VERSION, "Invalid metadata.version %d. %s", level,
                         type == UNSAFE_DOWNGRADE
                             ? "Unsafe metadata downgrade is not supported in this version."
                             : "Refusing to perform the requested downgrade because it might "
                               "delete metadata information.");
    r = ctl_emit(o, RECORD_FEATURE, o->n > 0);
    r->feature = (struct record_feature){.name = u->feature, .level = (int16_t)level};
    return API_OK;
}

void decide_update_features(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct UpdateFeaturesRequest *req = in;
    struct UpdateFeaturesResponse *resp = out;
    struct api_error e = API_OK;

    for (int i = 0; i < req->feature_updates.n && !e.err; i++) {
        const struct UpdateFeaturesRequest_FeatureUpdateKey *u = &req->feature_updates.v[i];
        int type = o->version > 0 ? u->upgrade_type : u->allow_downgrade ? SAFE_DOWNGRADE : UPGRADE;

        e = update_feature(tip, u, type, o);
    }
    resp->error_code = err_wire(e.err);
    if (e.err) {
        o->n = 0;
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
    if (req->validate_only)
        o->n = 0;
}
