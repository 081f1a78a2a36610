/* A message to bytes, in one pass: the length of a tagged field is put in when the field is written. */
#include "base/check.h"
#include "proto/bigend.h"
#include "proto/field.h"
#include "proto/varint.h"

const uint8_t proto_elsewhere[1];

enum { ROOM_MORE = 512 };

struct enc {
    uint8_t *p, *end; /* room in `out` */
    struct bytes *out;
    struct proto_cuts *cuts;
    enum err err;
    int version;
    bool flexible;
};

static void encode_struct(struct enc *e, const struct proto_type *t, const void *msg);

static void fail(struct enc *e, enum err err)
{
    if (!e->err)
        e->err = err;
}

/* Room for len bytes at e->p. */
static inline void need(struct enc *e, size_t len)
{
    if ((size_t)(e->end - e->p) >= len)
        return;
    e->out->len = (size_t)(e->p - e->out->p);
    e->p = bytes_more(e->out, len + ROOM_MORE);
    e->end = e->p + len + ROOM_MORE;
}

static void put_number(struct enc *e, size_t len, uint64_t v)
{
    need(e, 8);
    switch (len) {
    case 1:
        e->p[0] = (uint8_t)v;
        break;
    case 2:
        put_be16(e->p, (uint16_t)v);
        break;
    case 4:
        put_be32(e->p, (uint32_t)v);
        break;
    default:
        put_be64(e->p, v);
    }
    e->p += len;
}

static void put_varint(struct enc *e, uint32_t v)
{
    need(e, VARINT32_MAX);
    e->p = varint_write(e->p, v);
}

static void put_bytes(struct enc *e, const void *p, size_t len)
{
    need(e, len);
    if (len)
        memcpy(e->p, p, len);
    e->p += len;
}

/* A length or a count; -1: null. */
static void put_length(struct enc *e, bool compact, size_t wide, int64_t len)
{
    if (compact)
        put_varint(e, (uint32_t)(len + 1));
    else
        put_number(e, wide, (uint64_t)len);
}

static bool null_is_fine(struct enc *e, const struct proto_field *f)
{
    if (!proto_in(f->nullable, e->version))
        fail(e, E_UNSUPPORTED_VERSION);
    return !e->err;
}

static void cut(struct enc *e, struct slice records)
{
    struct proto_cuts *c = e->cuts;

    if (c->n == c->room) {
        int room = c->room ? 2 * c->room : 8;
        struct proto_cut *v = arena_alloc(c->arena, (size_t)room * sizeof *v);

        if (!v) {
            fail(e, E_NOMEM);
            return;
        }
        if (c->n)
            memcpy(v, c->v, (size_t)c->n * sizeof *v);
        c->v = v;
        c->room = room;
    }
    c->v[c->n++] = (struct proto_cut){.at = (size_t)(e->p - e->out->p), .records = records};
    c->len += records.len;
}

static void encode_slice(struct enc *e, const struct proto_field *f, bool nullable, const struct slice *s)
{
    bool compact = e->flexible && !(f->flags & PROTO_RIGID);
    size_t wide = f->kind == PROTO_STRING ? 2 : 4;

    if (!s->p) {
        if (!nullable)
            fail(e, E_UNSUPPORTED_VERSION);
        else if (null_is_fine(e, f))
            put_length(e, compact, wide, -1);
        return;
    }
    if (s->len > (f->kind == PROTO_STRING ? PROTO_STRING_MAX : INT32_MAX)) {
        fail(e, E_MESSAGE_TOO_LARGE);
        return;
    }
    put_length(e, compact, wide, (int64_t)s->len);
    if (f->kind == PROTO_RECORDS && e->cuts && (s->p == PROTO_ELSEWHERE || s->len >= PROTO_CUT_MIN)) {
        cut(e, *s);
        return;
    }
    ASSERT(s->p != PROTO_ELSEWHERE);
    put_bytes(e, s->p, s->len);
}

static void encode_value(struct enc *e, const struct proto_field *f, bool nullable, const void *at)
{
    switch ((enum proto_kind)f->kind) {
    case PROTO_BOOL:
        put_number(e, 1, *(const bool *)at);
        break;
    case PROTO_INT8:
        put_number(e, 1, *(const uint8_t *)at);
        break;
    case PROTO_INT16:
    case PROTO_UINT16:
        put_number(e, 2, *(const uint16_t *)at);
        break;
    case PROTO_INT32:
    case PROTO_UINT32:
        put_number(e, 4, *(const uint32_t *)at);
        break;
    case PROTO_INT64:
        put_number(e, 8, *(const uint64_t *)at);
        break;
    case PROTO_FLOAT64: {
        uint64_t bits;

        memcpy(&bits, at, 8);
        put_number(e, 8, bits);
        break;
    }
    case PROTO_UUID:
        put_bytes(e, at, 16);
        break;
    case PROTO_STRING:
    case PROTO_BYTES:
    case PROTO_RECORDS:
        encode_slice(e, f, nullable, at);
        break;
    case PROTO_STRUCT:
        encode_struct(e, f->sub, at);
        break;
    }
}

static void encode_array(struct enc *e, const struct proto_field *f, const struct proto_array *a)
{
    size_t size = proto_item_size(f);

    if (a->n < 0 && !null_is_fine(e, f))
        return;
    put_length(e, e->flexible, 4, a->n);
    if (a->v == PROTO_ELSEWHERE) {
        ASSERT(e->cuts);
        cut(e, slice_of(PROTO_ELSEWHERE, e->cuts->elements));
        return;
    }
    for (int32_t i = 0; i < a->n && !e->err; i++)
        encode_value(e, f, false, (char *)a->v + (size_t)i * size);
}

static void encode_field(struct enc *e, const struct proto_field *f, const void *at)
{
    if (f->flags & PROTO_ARRAY) {
        encode_array(e, f, at);
    } else if (f->flags & PROTO_POINTER) {
        const void *sub = *(const proto_pointer *)at;

        if (!sub && !null_is_fine(e, f))
            return;
        put_number(e, 1, sub ? 1 : proto_in(f->tagged, e->version) ? 0 : 255);
        if (sub)
            encode_struct(e, f->sub, sub);
    } else {
        encode_value(e, f, true, at);
    }
}

static bool tag_is_written(const struct enc *e, const struct proto_field *f, const void *msg)
{
    return proto_in(f->tagged, e->version) && !proto_field_is_default(f, (const char *)msg + f->offset);
}

/* The length comes before the field: one byte is kept for it, and the field moves on if that is too few. */
static void encode_tag(struct enc *e, const struct proto_field *f, const void *msg)
{
    size_t at, len, wide;

    put_varint(e, f->tag);
    at = (size_t)(e->p - e->out->p);
    put_number(e, 1, 0);
    encode_field(e, f, (const char *)msg + f->offset);
    len = (size_t)(e->p - e->out->p) - at - 1;
    wide = varint_size(len);
    if (wide > 1) {
        need(e, wide);
        memmove(e->out->p + at + wide, e->out->p + at + 1, len);
        e->p += wide - 1;
    }
    (void)varint_write(e->out->p + at, len);
}

/* They are written in the order of their tags. */
static const struct proto_field *tag_after(const struct enc *e, const struct proto_type *t, const void *msg,
                                           int last)
{
    const struct proto_field *next = NULL;

    for (int i = 0; i < t->n_fields; i++) {
        const struct proto_field *f = &t->fields[i];

        if (f->tag > last && (!next || f->tag < next->tag) && tag_is_written(e, f, msg))
            next = f;
    }
    return next;
}

static void encode_tags(struct enc *e, const struct proto_type *t, const void *msg)
{
    const struct proto_field *f;
    uint32_t n = 0;
    int last = -1;

    for (int i = 0; t->n_tags && i < t->n_fields; i++)
        n += tag_is_written(e, &t->fields[i], msg);
    put_varint(e, n);
    for (; n > 0; n--) {
        f = tag_after(e, t, msg, last);
        encode_tag(e, f, msg);
        last = f->tag;
    }
}

static void encode_struct(struct enc *e, const struct proto_type *t, const void *msg)
{
    for (int i = 0; i < t->n_fields; i++) { /* a message without fields has no table either */
        const struct proto_field *f = &t->fields[i];
        const void *at = (const char *)msg + f->offset;

        if (!proto_in(f->versions, e->version)) {
            if (!(f->flags & PROTO_IGNORABLE) && !proto_field_is_default(f, at))
                fail(e, E_UNSUPPORTED_VERSION);
        } else if (!proto_in(f->tagged, e->version)) {
            encode_field(e, f, at);
        }
    }
    if (e->flexible)
        encode_tags(e, t, msg);
}

enum err proto_encode(const struct proto_type *t, int version, const void *msg, struct bytes *out,
                      struct proto_cuts *cuts)
{
    size_t before = out->len;
    struct enc e = {.out = out, .cuts = cuts, .version = version};

    if (!proto_in(t->versions, version))
        return E_UNSUPPORTED_VERSION;
    e.flexible = proto_in(t->flexible, version);
    e.p = bytes_more(out, ROOM_MORE);
    e.end = e.p + ROOM_MORE;
    encode_struct(&e, t, msg);
    out->len = (size_t)(e.p - out->p);
    if (!e.err && out->len - before + (cuts ? cuts->len : 0) > INT32_MAX)
        e.err = E_MESSAGE_TOO_LARGE;
    if (e.err)
        out->len = before;
    return e.err;
}
