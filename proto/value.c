/* Values without their bytes: defaults, equality, the table of APIs. */
#include "base/check.h"
#include "proto/field.h"
#include <stdlib.h>

/* What an unset string that isn't null points to. */
static const uint8_t empty[1];

void proto_field_default(const struct proto_field *f, void *at)
{
    bool null = f->flags & PROTO_NULL_DEFAULT;

    if (f->flags & PROTO_ARRAY) {
        *(struct proto_array *)at = (struct proto_array){.n = null ? -1 : 0};
        return;
    }
    switch ((enum proto_kind)f->kind) {
    case PROTO_STRING:
    case PROTO_BYTES:
    case PROTO_RECORDS:
        *(struct slice *)at = null ? SLICE_NULL : slice_of(empty, 0);
        break;
    case PROTO_STRUCT:
        if (f->flags & PROTO_POINTER)
            *(proto_pointer *)at = NULL;
        else
            proto_defaults(f->sub, at);
        break;
    case PROTO_UUID:
        *(struct uuid *)at = (struct uuid){{0}};
        break;
    default: /* little-endian: a number's low bytes come first */
        memcpy(at, &f->number, proto_kind_size(f->kind));
    }
}

void proto_defaults(const struct proto_type *t, void *msg)
{
    memset(msg, 0, t->size);
    for (int i = 0; i < t->n_fields; i++)
        proto_field_default(&t->fields[i], (char *)msg + t->fields[i].offset);
}

void *proto_new(const struct proto_type *t, struct arena *a, int32_t n)
{
    char *v;

    ASSERT(n >= 0);
    v = arena_alloc(a, (size_t)n * t->size);
    for (int32_t i = 0; v && i < n; i++)
        proto_defaults(t, v + (size_t)i * t->size);
    return v;
}

static bool value_equal(const struct proto_field *f, const void *a, const void *b)
{
    switch ((enum proto_kind)f->kind) {
    case PROTO_STRING:
    case PROTO_BYTES:
    case PROTO_RECORDS: {
        const struct slice *x = a, *y = b;

        return !x->p == !y->p && slice_eq(*x, *y);
    }
    case PROTO_STRUCT:
        return proto_equal(f->sub, a, b);
    default:
        return memcmp(a, b, proto_kind_size(f->kind)) == 0;
    }
}

static bool array_equal(const struct proto_field *f, const struct proto_array *a, const struct proto_array *b)
{
    size_t size = proto_item_size(f);

    if (a->n != b->n)
        return false;
    for (int32_t i = 0; i < a->n; i++) {
        if (!value_equal(f, (char *)a->v + (size_t)i * size, (char *)b->v + (size_t)i * size))
            return false;
    }
    return true;
}

static bool field_equal(const struct proto_field *f, const void *a, const void *b)
{
    if (f->flags & PROTO_ARRAY)
        return array_equal(f, a, b);
    if (f->flags & PROTO_POINTER) {
        const void *x = *(const proto_pointer *)a, *y = *(const proto_pointer *)b;

        return x && y ? proto_equal(f->sub, x, y) : x == y;
    }
    return value_equal(f, a, b);
}

bool proto_equal(const struct proto_type *t, const void *a, const void *b)
{
    for (int i = 0; i < t->n_fields; i++) {
        const struct proto_field *f = &t->fields[i];

        if (!field_equal(f, (const char *)a + f->offset, (const char *)b + f->offset))
            return false;
    }
    return true;
}

static bool all_default(const struct proto_type *t, const void *msg)
{
    for (int i = 0; i < t->n_fields; i++) {
        if (!proto_field_is_default(&t->fields[i], (const char *)msg + t->fields[i].offset))
            return false;
    }
    return true;
}

bool proto_field_is_default(const struct proto_field *f, const void *at)
{
    bool null = f->flags & PROTO_NULL_DEFAULT;

    if (f->flags & PROTO_ARRAY)
        return ((const struct proto_array *)at)->n == (null ? -1 : 0);
    if (f->flags & PROTO_POINTER) {
        const void *sub = *(const proto_pointer *)at;

        return null ? !sub : sub && all_default(f->sub, sub);
    }
    switch ((enum proto_kind)f->kind) {
    case PROTO_STRING:
    case PROTO_BYTES:
    case PROTO_RECORDS:
        return ((const struct slice *)at)->len == 0 && !((const struct slice *)at)->p == null;
    case PROTO_STRUCT:
        return all_default(f->sub, at);
    case PROTO_UUID:
        return uuid_is_zero(*(const struct uuid *)at);
    default:
        return memcmp(at, &f->number, proto_kind_size(f->kind)) == 0;
    }
}

static int by_key(const void *key, const void *api)
{
    return *(const int16_t *)key - ((const struct proto_api *)api)->key;
}

const struct proto_api *proto_api(int16_t key)
{
    return bsearch(&key, proto_apis, (size_t)proto_apis_n, sizeof proto_apis[0], by_key);
}

const struct proto_type *proto_type_find(struct slice name)
{
    for (int i = 0; i < proto_types_n; i++) {
        if (slice_eq(name, SLICE(proto_types[i]->name)))
            return proto_types[i];
    }
    return NULL;
}

const struct proto_record *proto_record_find(struct slice topic, int16_t type)
{
    for (int i = 0; i < proto_records_n; i++) {
        if (proto_records[i].type == type && slice_eq(topic, SLICE(proto_records[i].topic)))
            return &proto_records[i];
    }
    return NULL;
}
