/* Bytes to a message. Errors stick: the first one empties the input, so that every later read fails at once,
 * and loops look at it once a turn. */
#include "proto/bigend.h"
#include "proto/field.h"
#include "proto/varint.h"

struct dec {
    const uint8_t *p, *end;
    struct arena *arena;
    enum err err;
    int version;
    bool flexible;
};

static void decode_struct(struct dec *d, const struct proto_type *t, void *msg);

static void fail(struct dec *d, enum err err)
{
    if (!d->err)
        d->err = err;
    d->p = d->end;
}

static size_t left(const struct dec *d)
{
    return (size_t)(d->end - d->p);
}

/* The next len bytes, or NULL after fail(). */
static const uint8_t *take(struct dec *d, size_t len)
{
    const uint8_t *p = d->p;

    if (left(d) < len) {
        fail(d, E_TRUNCATED);
        return NULL;
    }
    d->p += len;
    return p;
}

static uint32_t take_varint(struct dec *d)
{
    uint32_t v = 0;

    if (!varint32_read(&d->p, d->end, &v))
        fail(d, left(d) < VARINT32_MAX ? E_TRUNCATED : E_MALFORMED);
    return v;
}

static uint64_t take_number(struct dec *d, size_t len)
{
    const uint8_t *p = take(d, len);

    if (!p)
        return 0;
    switch (len) {
    case 1:
        return p[0];
    case 2:
        return get_be16(p);
    case 4:
        return get_be32(p);
    default:
        return get_be64(p);
    }
}

/* A length or a count; negative: null. `wide` bytes when it isn't compact. */
static int64_t take_length(struct dec *d, bool compact, size_t wide)
{
    if (compact)
        return (int64_t)take_varint(d) - 1;
    return wide == 2 ? (int16_t)take_number(d, 2) : (int32_t)take_number(d, 4);
}

static void decode_null(struct dec *d, const struct proto_field *f)
{
    if (!proto_in(f->nullable, d->version))
        fail(d, E_MALFORMED);
}

/* `nullable` is false for the elements of an array. */
static void decode_slice(struct dec *d, const struct proto_field *f, bool nullable, struct slice *out)
{
    bool compact = d->flexible && !(f->flags & PROTO_RIGID);
    int64_t len = take_length(d, compact, f->kind == PROTO_STRING ? 2 : 4);

    *out = SLICE_NULL;
    if (d->err)
        return;
    if (f->kind == PROTO_STRING && len > PROTO_STRING_MAX)
        fail(d, E_MALFORMED); /* the compact form could be longer, but Kafka's strings are not */
    else if (len >= 0)
        *out = slice_of(take(d, (size_t)len), (size_t)len);
    else if (nullable)
        decode_null(d, f);
    else
        fail(d, E_MALFORMED);
}

static void decode_value(struct dec *d, const struct proto_field *f, bool nullable, void *at)
{
    const uint8_t *p;

    switch ((enum proto_kind)f->kind) {
    case PROTO_BOOL:
        *(bool *)at = take_number(d, 1) != 0;
        break;
    case PROTO_INT8:
        *(int8_t *)at = (int8_t)take_number(d, 1);
        break;
    case PROTO_INT16:
    case PROTO_UINT16:
        *(uint16_t *)at = (uint16_t)take_number(d, 2);
        break;
    case PROTO_INT32:
    case PROTO_UINT32:
        *(uint32_t *)at = (uint32_t)take_number(d, 4);
        break;
    case PROTO_INT64:
        *(uint64_t *)at = take_number(d, 8);
        break;
    case PROTO_FLOAT64: {
        uint64_t bits = take_number(d, 8);

        memcpy(at, &bits, 8);
        break;
    }
    case PROTO_UUID:
        p = take(d, 16);
        if (p)
            memcpy(at, p, 16);
        break;
    case PROTO_STRING:
    case PROTO_BYTES:
    case PROTO_RECORDS:
        decode_slice(d, f, nullable, at);
        break;
    case PROTO_STRUCT:
        decode_struct(d, f->sub, at);
        break;
    }
}

/* The fewest bytes of an element: what bounds a count before anything is allocated for it. */
static size_t item_min(const struct dec *d, const struct proto_field *f)
{
    switch ((enum proto_kind)f->kind) {
    case PROTO_STRING:
        return d->flexible ? 1 : 2;
    case PROTO_BYTES:
    case PROTO_RECORDS:
        return d->flexible ? 1 : 4;
    case PROTO_STRUCT:
        return f->sub->wire_min;
    default:
        return proto_kind_size(f->kind);
    }
}

static void decode_array(struct dec *d, const struct proto_field *f, struct proto_array *out)
{
    int64_t n = take_length(d, d->flexible, 4);
    size_t size = proto_item_size(f);

    *out = (struct proto_array){.n = n < 0 ? -1 : 0};
    if (d->err || n == 0)
        return;
    if (n < 0) {
        decode_null(d, f);
        return;
    }
    if ((uint64_t)n > left(d) / item_min(d, f)) {
        fail(d, E_TRUNCATED);
        return;
    }
    out->v = arena_alloc(d->arena, (size_t)n * size);
    if (!out->v) {
        fail(d, E_NOMEM);
        return;
    }
    out->n = (int32_t)n;
    for (char *at = out->v, *end = at + (size_t)n * size; at < end && !d->err; at += size)
        decode_value(d, f, false, at);
}

/* One byte says whether the struct is there: -1 or 1, but in a tagged field 0 or 1, as a varint. */
static bool take_present(struct dec *d, const struct proto_field *f)
{
    if (proto_in(f->tagged, d->version))
        return take_varint(d) > 0;
    return (int8_t)take_number(d, 1) >= 0;
}

static void decode_pointer(struct dec *d, const struct proto_field *f, proto_pointer *out)
{
    *out = NULL;
    if (!take_present(d, f)) {
        decode_null(d, f);
        return;
    }
    if (d->err)
        return;
    *out = arena_alloc(d->arena, f->sub->size);
    if (*out)
        decode_struct(d, f->sub, *out);
    else
        fail(d, E_NOMEM);
}

static void decode_field(struct dec *d, const struct proto_field *f, void *at)
{
    if (f->flags & PROTO_ARRAY)
        decode_array(d, f, at);
    else if (f->flags & PROTO_POINTER)
        decode_pointer(d, f, at);
    else
        decode_value(d, f, true, at);
}

static const struct proto_field *tagged_field(const struct dec *d, const struct proto_type *t, uint32_t tag)
{
    for (int i = 0; t->n_tags && i < t->n_fields; i++) {
        if (t->fields[i].tag == tag && proto_in(t->fields[i].tagged, d->version))
            return &t->fields[i];
    }
    return NULL;
}

/* Each tagged field says its length; one that we know must fill it. */
static void decode_tags(struct dec *d, const struct proto_type *t, void *msg)
{
    const uint8_t *outer_end = d->end;

    for (uint32_t n = take_varint(d); n > 0 && !d->err; n--) {
        uint32_t tag = take_varint(d), len = take_varint(d);
        const struct proto_field *f = tagged_field(d, t, tag);

        if (!f) {
            (void)take(d, len);
            continue;
        }
        if (len > left(d)) {
            fail(d, E_TRUNCATED);
            return;
        }
        d->end = d->p + len;
        decode_field(d, f, (char *)msg + f->offset);
        if (d->p != d->end)
            fail(d, E_MALFORMED);
        d->end = outer_end;
        if (d->err)
            fail(d, d->err);
    }
}

/* A struct that may be null, but isn't by default, has to be made; proto_defaults() can't, and leaves null. */
static void decode_absent(struct dec *d, const struct proto_field *f, void *at)
{
    proto_field_default(f, at);
    if ((f->flags & (PROTO_POINTER | PROTO_NULL_DEFAULT)) != PROTO_POINTER)
        return;
    *(proto_pointer *)at = proto_new(f->sub, d->arena, 1);
    if (!*(proto_pointer *)at)
        fail(d, E_NOMEM);
}

static void decode_struct(struct dec *d, const struct proto_type *t, void *msg)
{
    for (int i = 0; i < t->n_fields; i++) { /* a message without fields has no table either */
        const struct proto_field *f = &t->fields[i];
        void *at = (char *)msg + f->offset;

        if (proto_in(f->versions, d->version) && !proto_in(f->tagged, d->version))
            decode_field(d, f, at);
        else
            decode_absent(d, f, at);
    }
    if (d->flexible)
        decode_tags(d, t, msg);
}

enum err proto_decode_prefix(const struct proto_type *t, int version, struct slice in, struct arena *a,
                             void *msg, size_t *used)
{
    struct dec d = {.p = in.p, .end = in.len ? in.p + in.len : in.p, .arena = a, .version = version};

    *used = 0;
    if (!proto_in(t->versions, version))
        return E_UNSUPPORTED_VERSION;
    d.flexible = proto_in(t->flexible, version);
    memset(msg, 0, t->size);
    decode_struct(&d, t, msg);
    if (d.err)
        return d.err;
    *used = (size_t)(d.p - in.p);
    return E_OK;
}

enum err proto_decode(const struct proto_type *t, int version, struct slice in, struct arena *a, void *msg)
{
    size_t used;
    enum err err = proto_decode_prefix(t, version, in, a, msg, &used);

    return !err && used != in.len ? E_MALFORMED : err;
}
