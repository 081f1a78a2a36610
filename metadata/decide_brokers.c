#include "base/check.h"
#include "metadata/change.h"
#include "proto_gen.h"

/* Bootstrap, BrokerRegistration, UnregisterBroker, ControllerRegistration, AllocateProducerIds. */

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

/* ---- BrokerRegistration ---- */

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

    if (req->broker_id < 0 || dirs.n <= 0 || dirs.n > DIRS_MAX)
        return E_INVALID_REGISTRATION;
    for (int i = 0; i < dirs.n; i++)
        if (directory_reserved(&dirs.v[i]) || has_dir((struct uuids){dirs.v, i}, dirs.v[i]))
            return E_INVALID_REGISTRATION;
    while ((b = image_brokers_next(&w)))
        for (int i = 0; b->reg.id != req->broker_id && i < dirs.n; i++)
            if (has_dir(b->reg.dirs, dirs.v[i]))
                return E_INVALID_REGISTRATION;
    return E_OK;
}

static const struct BrokerRegistrationRequest_Feature *feature_of(const struct BrokerRegistrationRequest *req,
                                                                  struct slice name)
{
    for (int i = 0; i < req->features.n; i++)
        if (slice_eq(req->features.v[i].name, name))
            return &req->features.v[i];
    return NULL;
}

/* Every feature lies at a level that the broker can do; what isn't finalized lies at 0. */
static enum err check_features(const struct image *tip, const struct BrokerRegistrationRequest *req)
{
    struct image_features w = image_features_all(tip);
    const struct image_feature *f;

    if (req->features.n > FEATURES_MAX || !feature_of(req, SLICE(FEATURE_METADATA)))
        return E_INVALID_REGISTRATION;
    for (int i = 0; i < req->features.n; i++) {
        const struct BrokerRegistrationRequest_Feature *b = &req->features.v[i];
        int level = image_feature_slice(tip, b->name);

        if (level < b->min_supported_version || level > b->max_supported_version)
            return E_UNSUPPORTED_VERSION;
    }
    while ((f = image_features_next(&w))) /* kraft.version is the voters' alone */
        if (!feature_of(req, f->name) && !slice_eq(f->name, SLICE(FEATURE_KRAFT)))
            return E_UNSUPPORTED_VERSION;
    return E_OK;
}

static bool same_disks(const struct image_broker *old, const struct BrokerRegistrationRequest *req)
{
    for (int i = 0; i < old->reg.dirs.n; i++)
        if (has_dir((struct uuids){req->log_dirs.v, req->log_dirs.n}, old->reg.dirs.v[i]))
            return true;
    return false;
}

bool broker_returns(const struct image_broker *old, const struct BrokerRegistrationRequest *req)
{
    return !uuid_eq(old->reg.incarnation, req->incarnation_id) && same_disks(old, req);
}

/* Does the broker that is registered still live? Its disks in another incarnation's hands say that it doesn't, once its
 * connections have ended. One with other disks waits until its session has ended too. */
static bool taken(const struct image_broker *old, const struct broker_registration *in)
{
    if (!old || uuid_eq(old->reg.incarnation, in->request->incarnation_id))
        return false;
    return in->connected || (in->session && !same_disks(old, in->request));
}

/* Is everything still there that the old incarnation told anybody? It says so by that one's epoch: its directories
 * were closed in order, or the kernel lived on. */
static bool kept_all(const struct image_broker *old, const struct BrokerRegistrationRequest *req)
{
    const struct uuids dirs = {req->log_dirs.v, req->log_dirs.n};

    if (!old)
        return false;
    for (int i = 0; i < old->reg.dirs.n; i++)
        if (!has_dir(dirs, old->reg.dirs.v[i]))
            return false;
    return req->previous_broker_epoch == old->reg.epoch;
}

/* The new incarnation begins outside of every ISR; with ELR on, and if something may be lost, outside of the ELR too.
 * Where it is the only replica it leads on, because nobody else can have led meanwhile: in the same epoch if everything
 * is still there, else in a new one, by which clients notice that offsets may mean other records now. */
static bool begin_anew(const struct image *tip, int32_t id, bool kept, struct ctl_out *o)
{
    struct changer c;
    bool over;

    changer_init(&c, tip, o, false);
    if (!kept)
        c.unclean = id;
    if (kept || !c.elr)
        c.removed = id;
    c.alone = kept ? ALONE_STAYS : ALONE_NEW_EPOCH;
    over = changer_walk(&c, walk_of(o), WALK_ISR);
    changer_end(&c);
    return over;
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

static enum err check_registration(const struct image *tip, const struct image_broker *old,
                                   const struct broker_registration *in)
{
    const struct BrokerRegistrationRequest *req = in->request;
    enum err err;

    if (!slice_eq(req->cluster_id, SLICE(tip->cluster_id)))
        return E_INCONSISTENT_CLUSTER_ID;
    if (taken(old, in))
        return E_DUPLICATE_BROKER_REGISTRATION;
    if (req->is_migrating_zk_broker)
        return E_BROKER_ID_NOT_REGISTERED;
    err = check_dirs(tip, req);
    return err ? err : check_features(tip, req);
}

void decide_broker_registration(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct BrokerRegistrationRequest *req = ((const struct broker_registration *)in)->request;
    struct BrokerRegistrationResponse *resp = out;
    const struct image_broker *old = image_broker(tip, req->broker_id);
    bool same = old && uuid_eq(old->reg.incarnation, req->incarnation_id);
    enum err err = check_registration(tip, old, in);

    resp->error_code = err_wire(err);
    resp->broker_epoch = -1;
    if (err)
        return;
    if (!same && !begin_anew(tip, req->broker_id, kept_all(old, req), o))
        return;
    resp->broker_epoch = same ? old->reg.epoch : o->base_offset + o->n;
    emit_registration(req, old, resp->broker_epoch, same, o);
}

/* ---- UnregisterBroker ---- */

/* Unlike in Kafka it leaves the ELR as well: the next broker of that number has other disks. */
void decide_unregister_broker(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct UnregisterBrokerRequest *req = in;
    struct UnregisterBrokerResponse *resp = out;
    const struct image_broker *b = image_broker(tip, req->broker_id);
    struct meta_record *r;
    struct changer c;
    bool over;

    if (!b) {
        api_error_set(api_error(o, E_BROKER_ID_NOT_REGISTERED, "Broker ID %d is not currently registered",
                                req->broker_id),
                      &resp->error_code, &resp->error_message);
        return;
    }
    changer_init(&c, tip, o, false);
    c.removed = c.unclean = req->broker_id;
    over = changer_walk(&c, walk_of(o), WALK_ISR);
    changer_end(&c);
    if (!over)
        return;
    r = ctl_emit(o, RECORD_UNREGISTER_BROKER, false);
    r->unregister_broker = (struct record_unregister_broker){.id = b->reg.id, .epoch = b->reg.epoch};
}

/* ---- ControllerRegistration ---- */

void decide_controller_registration(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct ControllerRegistrationRequest *req = in;
    struct ControllerRegistrationResponse *resp = out;
    struct endpoint *e = arena_alloc(o->work, ((size_t)req->listeners.n + 1) * sizeof(*e));
    struct feature_range *f = arena_alloc(o->work, ((size_t)req->features.n + 1) * sizeof(*f));
    struct meta_record *r;

    if (image_feature(tip, FEATURE_WEIR) < WEIR_VERSION_CONTROLLERS) {
        api_error_set(api_error(o, E_UNSUPPORTED_VERSION,
                                "Controllers register from level %d of " FEATURE_WEIR " on.",
                                WEIR_VERSION_CONTROLLERS),
                      &resp->error_code, &resp->error_message);
        return;
    }
    if (req->controller_id < 0) {
        api_error_set(
            api_error(o, E_INVALID_REQUEST, "No controller can have the id %d.", req->controller_id),
            &resp->error_code, &resp->error_message);
        return;
    }
    for (int i = 0; i < req->listeners.n; i++)
        e[i] = (struct endpoint){.name = req->listeners.v[i].name,
                                 .host = req->listeners.v[i].host,
                                 .port = req->listeners.v[i].port,
                                 .security_protocol = req->listeners.v[i].security_protocol};
    for (int i = 0; i < req->features.n; i++)
        f[i] = (struct feature_range){.name = req->features.v[i].name,
                                      .min = req->features.v[i].min_supported_version,
                                      .max = req->features.v[i].max_supported_version};
    r = ctl_emit(o, RECORD_REGISTER_CONTROLLER, false);
    r->register_controller = (struct record_register_controller){.id = req->controller_id,
                                                                 .incarnation = req->incarnation_id,
                                                                 .endpoints = e,
                                                                 .n_endpoints = req->listeners.n,
                                                                 .features = f,
                                                                 .n_features = req->features.n};
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
