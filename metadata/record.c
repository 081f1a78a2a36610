#include "metadata/record.h"
#include "base/check.h"
#include "proto/varint.h"
#include "records.pb-c.h"

/* to_…() fills a protobuf message that borrows from the struct; of_…() fills the struct from a message that
 * was decoded into the arena. of_…() says false to what encode never writes. */

static const uint8_t EMPTY[1];

static ProtobufCBinaryData text(struct slice s)
{
    return (ProtobufCBinaryData){.len = s.len, .data = s.p};
}

static struct slice text_of(ProtobufCBinaryData b)
{
    return b.len ? slice_of(b.data, b.len) : slice_of(EMPTY, 0);
}

static ProtobufCBinaryData uuid(const struct uuid *u)
{
    return (ProtobufCBinaryData){.len = sizeof(u->b), .data = (uint8_t *)u->b};
}

static bool uuid_of(ProtobufCBinaryData b, struct uuid *out)
{
    if (b.len != sizeof(out->b))
        return false;
    memcpy(out->b, b.data, sizeof(out->b));
    return true;
}

static ProtobufCBinaryData uuid_list(struct uuids u)
{
    return (ProtobufCBinaryData){.len = (size_t)u.n * sizeof(u.v[0]), .data = (uint8_t *)u.v};
}

static bool uuid_list_of(ProtobufCBinaryData b, struct uuids *out)
{
    *out = (struct uuids){.v = (const struct uuid *)b.data, .n = (int32_t)(b.len / sizeof(struct uuid))};
    return b.len % sizeof(struct uuid) == 0;
}

/* Lists that may be absent as a whole. */
static Weir__Ids *ids_maybe(struct ids ids, struct arena *a)
{
    Weir__Ids *m;

    if (ids.n < 0)
        return NULL;
    m = arena_alloc(a, sizeof(*m));
    weir__ids__init(m);
    m->n_v = (size_t)ids.n;
    m->v = (int32_t *)ids.v;
    return m;
}

static struct ids ids_of(const Weir__Ids *m)
{
    return m ? (struct ids){.v = m->v, .n = (int32_t)m->n_v} : IDS_SAME;
}

static Weir__Uuids *uuids_maybe(struct uuids u, struct arena *a)
{
    Weir__Uuids *m;

    if (u.n < 0)
        return NULL;
    m = arena_alloc(a, sizeof(*m));
    weir__uuids__init(m);
    m->v = uuid_list(u);
    return m;
}

static bool uuids_of(const Weir__Uuids *m, struct uuids *out)
{
    *out = UUIDS_SAME;
    return !m || uuid_list_of(m->v, out);
}

/* ---- one pair a record ---- */

static Weir__Endpoint **to_endpoints(const struct endpoint *v, int32_t n, struct arena *a)
{
    Weir__Endpoint **m = arena_alloc(a, (size_t)n * sizeof(*m));

    for (int32_t i = 0; i < n; i++) {
        m[i] = arena_alloc(a, sizeof(*m[i]));
        weir__endpoint__init(m[i]);
        m[i]->name = text(v[i].name);
        m[i]->host = text(v[i].host);
        m[i]->port = v[i].port;
        m[i]->security_protocol = v[i].security_protocol;
    }
    return m;
}

static Weir__FeatureRange **to_features(const struct feature_range *v, int32_t n, struct arena *a)
{
    Weir__FeatureRange **m = arena_alloc(a, (size_t)n * sizeof(*m));

    for (int32_t i = 0; i < n; i++) {
        m[i] = arena_alloc(a, sizeof(*m[i]));
        weir__feature_range__init(m[i]);
        m[i]->name = text(v[i].name);
        m[i]->min = v[i].min;
        m[i]->max = v[i].max;
    }
    return m;
}

/* NULL: the arena's limit. */
static const struct endpoint *endpoints_of(Weir__Endpoint *const *m, size_t n, struct arena *a)
{
    struct endpoint *v = arena_alloc(a, n * sizeof(*v));

    for (size_t i = 0; v && i < n; i++)
        v[i] = (struct endpoint){.name = text_of(m[i]->name),
                                 .host = text_of(m[i]->host),
                                 .port = (uint16_t)m[i]->port,
                                 .security_protocol = (int16_t)m[i]->security_protocol};
    return v;
}

static const struct feature_range *features_of(Weir__FeatureRange *const *m, size_t n, struct arena *a)
{
    struct feature_range *v = arena_alloc(a, n * sizeof(*v));

    for (size_t i = 0; v && i < n; i++)
        v[i] = (struct feature_range){
            .name = text_of(m[i]->name), .min = (int16_t)m[i]->min, .max = (int16_t)m[i]->max};
    return v;
}

static void to_register_broker(const struct record_register_broker *r, Weir__RegisterBroker *m,
                               struct arena *a)
{
    m->id = r->id;
    m->incarnation = uuid(&r->incarnation);
    m->epoch = r->epoch;
    m->fenced = r->fenced;
    m->in_controlled_shutdown = r->in_controlled_shutdown;
    m->has_rack = r->rack.p != NULL;
    m->rack = text(r->rack);
    m->dirs = uuid_list(r->dirs);
    m->cordoned = uuid_list(r->cordoned);
    m->n_endpoints = (size_t)r->n_endpoints;
    m->endpoints = to_endpoints(r->endpoints, r->n_endpoints, a);
    m->n_features = (size_t)r->n_features;
    m->features = to_features(r->features, r->n_features, a);
}

static bool of_register_broker(const Weir__RegisterBroker *m, struct record_register_broker *r,
                               struct arena *a)
{
    *r = (struct record_register_broker){.id = m->id,
                                         .epoch = m->epoch,
                                         .endpoints = endpoints_of(m->endpoints, m->n_endpoints, a),
                                         .n_endpoints = (int32_t)m->n_endpoints,
                                         .features = features_of(m->features, m->n_features, a),
                                         .n_features = (int32_t)m->n_features,
                                         .rack = m->has_rack ? text_of(m->rack) : SLICE_NULL,
                                         .fenced = m->fenced,
                                         .in_controlled_shutdown = m->in_controlled_shutdown};
    return r->endpoints && r->features && uuid_of(m->incarnation, &r->incarnation) &&
           uuid_list_of(m->dirs, &r->dirs) && uuid_list_of(m->cordoned, &r->cordoned);
}

static void to_register_controller(const struct record_register_controller *r, Weir__RegisterController *m,
                                   struct arena *a)
{
    m->id = r->id;
    m->incarnation = uuid(&r->incarnation);
    m->n_endpoints = (size_t)r->n_endpoints;
    m->endpoints = to_endpoints(r->endpoints, r->n_endpoints, a);
    m->n_features = (size_t)r->n_features;
    m->features = to_features(r->features, r->n_features, a);
}

static bool of_register_controller(const Weir__RegisterController *m, struct record_register_controller *r,
                                   struct arena *a)
{
    *r = (struct record_register_controller){.id = m->id,
                                             .endpoints = endpoints_of(m->endpoints, m->n_endpoints, a),
                                             .n_endpoints = (int32_t)m->n_endpoints,
                                             .features = features_of(m->features, m->n_features, a),
                                             .n_features = (int32_t)m->n_features};
    return r->endpoints && r->features && uuid_of(m->incarnation, &r->incarnation);
}

static void to_clear_elr(const struct record_clear_elr *r, Weir__ClearElr *m, struct arena *a)
{
    m->topic = text(r->topic);
    m->leaderless_stay = r->leaderless_stay;
}

static bool of_clear_elr(const Weir__ClearElr *m, struct record_clear_elr *r, struct arena *a)
{
    r->topic = text_of(m->topic);
    r->leaderless_stay = m->leaderless_stay;
    return true;
}

static void to_unregister_broker(const struct record_unregister_broker *r, Weir__UnregisterBroker *m,
                                 struct arena *a)
{
    m->id = r->id;
    m->epoch = r->epoch;
}

static bool of_unregister_broker(const Weir__UnregisterBroker *m, struct record_unregister_broker *r,
                                 struct arena *a)
{
    *r = (struct record_unregister_broker){.id = m->id, .epoch = m->epoch};
    return true;
}

static void to_topic(const struct record_topic *r, Weir__Topic *m, struct arena *a)
{
    m->name = text(r->name);
    m->id = uuid(&r->id);
}

static bool of_topic(const Weir__Topic *m, struct record_topic *r, struct arena *a)
{
    r->name = text_of(m->name);
    return uuid_of(m->id, &r->id);
}

#define LIST_TO(m, r, field) ((m)->n_##field = (size_t)(r)->field.n, (m)->field = (int32_t *)(r)->field.v)
#define LIST_OF(m, r, field) ((r)->field = (struct ids){.v = (m)->field, .n = (int32_t)(m)->n_##field})

static void to_partition(const struct record_partition *r, Weir__Partition *m, struct arena *a)
{
    m->topic = uuid(&r->topic);
    m->index = r->index;
    m->leader = r->leader;
    m->leader_epoch = r->leader_epoch;
    m->partition_epoch = r->partition_epoch;
    m->recovering = r->recovering;
    m->dirs = uuid_list(r->dirs);
    LIST_TO(m, r, replicas);
    LIST_TO(m, r, isr);
    LIST_TO(m, r, removing);
    LIST_TO(m, r, adding);
    LIST_TO(m, r, elr);
    LIST_TO(m, r, last_elr);
}

static bool of_partition(const Weir__Partition *m, struct record_partition *r, struct arena *a)
{
    *r = (struct record_partition){.index = m->index,
                                   .leader = m->leader,
                                   .leader_epoch = m->leader_epoch,
                                   .partition_epoch = m->partition_epoch,
                                   .recovering = m->recovering};
    LIST_OF(m, r, replicas);
    LIST_OF(m, r, isr);
    LIST_OF(m, r, removing);
    LIST_OF(m, r, adding);
    LIST_OF(m, r, elr);
    LIST_OF(m, r, last_elr);
    return uuid_of(m->topic, &r->topic) && uuid_list_of(m->dirs, &r->dirs) && r->dirs.n == r->replicas.n &&
           r->replicas.n <= UINT16_MAX;
}

static void to_partition_change(const struct record_partition_change *r, Weir__PartitionChange *m,
                                struct arena *a)
{
    m->topic = uuid(&r->topic);
    m->index = r->index;
    m->leader = r->leader;
    m->recovering = r->recovering;
    m->replicas = ids_maybe(r->replicas, a);
    m->isr = ids_maybe(r->isr, a);
    m->removing = ids_maybe(r->removing, a);
    m->adding = ids_maybe(r->adding, a);
    m->elr = ids_maybe(r->elr, a);
    m->last_elr = ids_maybe(r->last_elr, a);
    m->dirs = uuids_maybe(r->dirs, a);
}

static bool of_partition_change(const Weir__PartitionChange *m, struct record_partition_change *r,
                                struct arena *a)
{
    *r = (struct record_partition_change){.index = m->index,
                                          .leader = m->leader,
                                          .recovering = (int8_t)m->recovering,
                                          .replicas = ids_of(m->replicas),
                                          .isr = ids_of(m->isr),
                                          .removing = ids_of(m->removing),
                                          .adding = ids_of(m->adding),
                                          .elr = ids_of(m->elr),
                                          .last_elr = ids_of(m->last_elr)};
    return uuid_of(m->topic, &r->topic) && uuids_of(m->dirs, &r->dirs);
}

static void to_config(const struct record_config *r, Weir__Config *m, struct arena *a)
{
    m->resource_type = r->resource_type;
    m->resource = text(r->resource);
    m->name = text(r->name);
    m->value = text(r->value);
    m->unset = r->value.p == NULL;
}

static bool of_config(const Weir__Config *m, struct record_config *r, struct arena *a)
{
    *r = (struct record_config){.resource_type = (int8_t)m->resource_type,
                                .resource = text_of(m->resource),
                                .name = text_of(m->name),
                                .value = m->unset ? SLICE_NULL : text_of(m->value)};
    return true;
}

static void to_remove_topic(const struct record_remove_topic *r, Weir__RemoveTopic *m, struct arena *a)
{
    m->id = uuid(&r->id);
}

static bool of_remove_topic(const Weir__RemoveTopic *m, struct record_remove_topic *r, struct arena *a)
{
    return uuid_of(m->id, &r->id);
}

static void to_feature(const struct record_feature *r, Weir__Feature *m, struct arena *a)
{
    m->name = text(r->name);
    m->level = r->level;
}

static bool of_feature(const Weir__Feature *m, struct record_feature *r, struct arena *a)
{
    *r = (struct record_feature){.name = text_of(m->name), .level = (int16_t)m->level};
    return true;
}

static void to_producer_ids(const struct record_producer_ids *r, Weir__ProducerIds *m, struct arena *a)
{
    m->broker_id = r->broker_id;
    m->broker_epoch = r->broker_epoch;
    m->next = r->next;
}

static bool of_producer_ids(const Weir__ProducerIds *m, struct record_producer_ids *r, struct arena *a)
{
    *r = (struct record_producer_ids){
        .broker_id = m->broker_id, .broker_epoch = m->broker_epoch, .next = m->next};
    return true;
}

static void to_broker_change(const struct record_broker_change *r, Weir__BrokerChange *m, struct arena *a)
{
    m->id = r->id;
    m->epoch = r->epoch;
    m->fenced = r->fenced;
    m->in_controlled_shutdown = r->in_controlled_shutdown;
    m->dirs = uuids_maybe(r->dirs, a);
    m->cordoned = uuids_maybe(r->cordoned, a);
}

static bool of_broker_change(const Weir__BrokerChange *m, struct record_broker_change *r, struct arena *a)
{
    *r = (struct record_broker_change){.id = m->id,
                                       .epoch = m->epoch,
                                       .fenced = (int8_t)m->fenced,
                                       .in_controlled_shutdown = (int8_t)m->in_controlled_shutdown};
    return uuids_of(m->dirs, &r->dirs) && uuids_of(m->cordoned, &r->cordoned);
}

static void to_no_op(const struct record_no_op *r, Weir__NoOp *m, struct arena *a)
{
}

static bool of_no_op(const Weir__NoOp *m, struct record_no_op *r, struct arena *a)
{
    return true;
}

static void to_begin_transaction(const struct record_begin_transaction *r, Weir__BeginTransaction *m,
                                 struct arena *a)
{
    m->name = text(r->name);
}

static bool of_begin_transaction(const Weir__BeginTransaction *m, struct record_begin_transaction *r,
                                 struct arena *a)
{
    r->name = text_of(m->name);
    return true;
}

static void to_end_transaction(const struct record_end_transaction *r, Weir__EndTransaction *m,
                               struct arena *a)
{
}

static bool of_end_transaction(const Weir__EndTransaction *m, struct record_end_transaction *r,
                               struct arena *a)
{
    return true;
}

static void to_abort_transaction(const struct record_abort_transaction *r, Weir__AbortTransaction *m,
                                 struct arena *a)
{
    m->reason = text(r->reason);
}

static bool of_abort_transaction(const Weir__AbortTransaction *m, struct record_abort_transaction *r,
                                 struct arena *a)
{
    r->reason = text_of(m->reason);
    return true;
}

static void to_cluster(const struct record_cluster *r, Weir__Cluster *m, struct arena *a)
{
    m->id = text(r->id);
}

static bool of_cluster(const Weir__Cluster *m, struct record_cluster *r, struct arena *a)
{
    r->id = text_of(m->id);
    return true;
}

static void to_request_done(const struct record_request_done *r, Weir__RequestDone *m, struct arena *a)
{
    m->id = uuid(&r->id);
    m->at_ms = r->at_ms;
    m->keep_ms = r->keep_ms;
    m->api_key = r->api_key;
    m->version = r->version;
    m->answer = text(r->answer);
    m->has_answer = r->answer.p != NULL;
    m->piece = r->piece;
    m->last_piece = r->last_piece;
}

static bool of_request_done(const Weir__RequestDone *m, struct record_request_done *r, struct arena *a)
{
    *r = (struct record_request_done){.at_ms = m->at_ms,
                                      .keep_ms = m->keep_ms,
                                      .api_key = (int16_t)m->api_key,
                                      .version = (int16_t)m->version,
                                      .answer = m->has_answer ? text_of(m->answer) : SLICE_NULL,
                                      .piece = m->piece,
                                      .last_piece = m->last_piece};
    return uuid_of(m->id, &r->id);
}

static void to_requests_forget(const struct record_requests_forget *r, Weir__RequestsForget *m,
                               struct arena *a)
{
    m->due_ms = r->due_ms;
    m->last = uuid(&r->last);
    m->answers_only = r->answers_only;
}

static bool of_requests_forget(const Weir__RequestsForget *m, struct record_requests_forget *r,
                               struct arena *a)
{
    r->due_ms = m->due_ms;
    r->answers_only = m->answers_only;
    return uuid_of(m->last, &r->last);
}

/* ---- all of them ---- */

union message {
    ProtobufCMessage base;
#define RECORD(NAME, name, message, number) Weir__##message name;
#include "metadata/record.def"
#undef RECORD
};

static void to_message(const struct meta_record *r, union message *m, struct arena *a)
{
    switch (r->type) {
#define RECORD(NAME, name, message, number)                                                                  \
    case RECORD_##NAME:                                                                                      \
        weir__##name##__init(&m->name);                                                                      \
        to_##name(&r->name, &m->name, a);                                                                    \
        return;
#include "metadata/record.def"
#undef RECORD
    }
    ASSERT(false);
}

static bool of_message(const ProtobufCMessage *m, struct meta_record *r, struct arena *a)
{
    switch (r->type) {
#define RECORD(NAME, name, message, number)                                                                  \
    case RECORD_##NAME:                                                                                      \
        return of_##name((const Weir__##message *)(const void *)m, &r->name, a);
#include "metadata/record.def"
#undef RECORD
    }
    return false;
}

static const ProtobufCMessageDescriptor *descriptor(uint64_t type)
{
    switch (type) {
#define RECORD(NAME, name, message, number)                                                                  \
    case number:                                                                                             \
        return &weir__##name##__descriptor;
#include "metadata/record.def"
#undef RECORD
    default:
        return NULL;
    }
}

const char *record_name(enum record_type type)
{
    switch (type) {
#define RECORD(NAME, name, message, number)                                                                  \
    case number:                                                                                             \
        return #NAME;
#include "metadata/record.def"
#undef RECORD
    }
    return NULL;
}

void record_encode(const struct meta_record *r, struct bytes *out)
{
    union message m;
    struct arena a;
    uint8_t head[1 + VARINT32_MAX] = {RECORD_FRAME};
    size_t len;

    arena_init(&a, out->heap, SIZE_MAX);
    to_message(r, &m, &a);
    bytes_add(out, head, (size_t)(varint_write(head + 1, (uint64_t)r->type) - head));
    len = protobuf_c_message_get_packed_size(&m.base);
    ASSERT(protobuf_c_message_pack(&m.base, bytes_more(out, len)) == len);
    if (r->unknown.len)
        bytes_add(out, r->unknown.p, r->unknown.len);
    arena_drop(&a);
}

static void *pb_alloc(void *arg, size_t len)
{
    return arena_alloc(arg, len);
}

static void pb_free(void *arg, void *p)
{
}

/* Fields that we don't know, in the form that they have on the disk. false: the arena's limit. */
static bool keep_unknown(const ProtobufCMessage *m, struct arena *a, struct slice *out)
{
    size_t room = 0;
    uint8_t *p;

    if (m->n_unknown_fields == 0)
        return true;
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        room += VARINT32_MAX + m->unknown_fields[i].len;
    p = arena_alloc(a, room);
    if (!p)
        return false;
    out->p = p;
    for (unsigned i = 0; i < m->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *f = &m->unknown_fields[i];

        p = varint_write(p, (uint64_t)f->tag << 3 | (uint64_t)f->wire_type);
        memcpy(p, f->data, f->len);
        p += f->len;
    }
    out->len = (size_t)(p - out->p);
    return true;
}

enum err record_decode(struct slice value, struct arena *a, struct meta_record *out)
{
    ProtobufCAllocator allocator = {.alloc = pb_alloc, .free = pb_free, .allocator_data = a};
    const uint8_t *p = value.p + 1, *end = value.p + value.len;
    const ProtobufCMessageDescriptor *d;
    const ProtobufCMessage *m;
    uint64_t type;

    if (value.len < 2)
        return E_MALFORMED;
    if (value.p[0] != RECORD_FRAME)
        return E_UNSUPPORTED_VERSION;
    if (!varint64_read(&p, end, &type))
        return E_MALFORMED;
    d = descriptor(type);
    if (!d)
        return E_UNSUPPORTED_VERSION;
    m = protobuf_c_message_unpack(d, &allocator, (size_t)(end - p), p);
    if (!m)
        return a->used >= a->max ? E_NOMEM : E_MALFORMED;
    memset(out, 0, sizeof(*out));
    out->type = (enum record_type)type;
    if (!of_message(m, out, a))
        return E_MALFORMED;
    return keep_unknown(m, a, &out->unknown) ? E_OK : E_NOMEM;
}
