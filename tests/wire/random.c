#include "tests/wire/random.h"
#include "base/check.h"
#include "proto/field.h"

struct fill {
    struct test_random *r;
    struct arena *arena;
    int version;
    int depth;
};

static void fill_struct(struct fill *c, const struct proto_type *t, void *msg);

/* Small, large and extreme numbers alike. */
static uint64_t random_number(struct fill *c)
{
    uint64_t v = test_random_next(c->r);

    switch (test_random_below(c->r, 4)) {
    case 0:
        return v % 4 - 1;
    case 1:
        return v & 1 ? UINT64_C(0x7fffffffffffffff) : UINT64_C(0x8000000000000000) >> (v % 64);
    default:
        return v >> test_random_below(c->r, 64);
    }
}

static struct slice random_bytes(struct fill *c, bool text)
{
    static const char *const strange[] = {"", "ä", "日本", "a\"b\\c\n", "\xf0\x9f\x90\x9f"};
    const char *odd = strange[test_random_below(c->r, 5)];
    size_t len = test_random_below(c->r, test_random_below(c->r, 40) == 0 ? 400 : 12);
    struct slice s = slice_of(arena_alloc(c->arena, len + 1), len);

    if (text && test_random_below(c->r, 8) == 0)
        return arena_copy(c->arena, SLICE(odd));
    for (size_t i = 0; i < len; i++)
        s.p[i] = text ? (uint8_t)('a' + test_random_below(c->r, 26)) : (uint8_t)test_random_next(c->r);
    return s;
}

static void fill_value(struct fill *c, const struct proto_field *f, void *at)
{
    uint64_t v = random_number(c);
    double d = (double)(int64_t)v / 3;

    switch ((enum proto_kind)f->kind) {
    case PROTO_BOOL:
        *(bool *)at = v & 1;
        break;
    case PROTO_UUID:
        for (int i = 0; i < 16; i++)
            ((uint8_t *)at)[i] = (uint8_t)test_random_next(c->r);
        break;
    case PROTO_STRING:
    case PROTO_BYTES:
    case PROTO_RECORDS:
        *(struct slice *)at = random_bytes(c, f->kind == PROTO_STRING);
        break;
    case PROTO_STRUCT:
        fill_struct(c, f->sub, at);
        break;
    case PROTO_FLOAT64:
        memcpy(at, &d, 8);
        break;
    default:
        memcpy(at, &v, proto_kind_size(f->kind));
    }
}

static void fill_array(struct fill *c, const struct proto_field *f, struct proto_array *a)
{
    size_t size = proto_item_size(f);

    a->n = (int32_t)test_random_below(c->r, c->depth > 2 ? 3 : 4);
    if (test_random_below(c->r, 60) == 0)
        a->n = 130;
    if (c->depth > 1 && a->n > 3)
        a->n = 2;
    a->v = a->n ? arena_alloc(c->arena, (size_t)a->n * size) : NULL;
    for (int32_t i = 0; i < a->n; i++)
        fill_value(c, f, (char *)a->v + (size_t)i * size);
}

static void fill_field(struct fill *c, const struct proto_field *f, void *at)
{
    bool null = proto_in(f->nullable, c->version) && test_random_below(c->r, 4) == 0;

    if (f->flags & PROTO_ARRAY) {
        if (null)
            *(struct proto_array *)at = (struct proto_array){.n = -1};
        else
            fill_array(c, f, at);
    } else if (f->flags & PROTO_POINTER) {
        *(proto_pointer *)at = null ? NULL : arena_alloc(c->arena, f->sub->size);
        if (!null)
            fill_struct(c, f->sub, *(proto_pointer *)at);
    } else if (null) {
        *(struct slice *)at = SLICE_NULL;
    } else {
        fill_value(c, f, at);
    }
}

static void fill_struct(struct fill *c, const struct proto_type *t, void *msg)
{
    c->depth++;
    proto_defaults(t, msg);
    for (int i = 0; i < t->n_fields; i++) {
        const struct proto_field *f = &t->fields[i];
        bool keep = proto_in(f->tagged, c->version) && test_random_below(c->r, 3) == 0;

        if (proto_in(f->versions, c->version) && !keep)
            fill_field(c, f, (char *)msg + f->offset);
    }
    c->depth--;
}

void wire_random(const struct proto_type *t, int version, struct test_random *r, struct arena *a, void *msg)
{
    struct fill c = {.r = r, .arena = a, .version = version};

    ASSERT(proto_in(t->versions, version));
    fill_struct(&c, t, msg);
}
