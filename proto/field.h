/* What decode, encode and JSON share; nobody else includes this. */
#pragma once
#include "proto/wire.h"

enum { PROTO_STRING_MAX = 32767 }; /* bytes of a string, in either form */

/* Any field that points to a struct. */
typedef void *proto_pointer __attribute__((may_alias));

/* Any array field. */
struct __attribute__((may_alias)) proto_array {
    void *v;
    int32_t n;
};

static inline size_t proto_kind_size(int kind)
{
    static const uint8_t sizes[] = {
        [PROTO_BOOL] = 1,
        [PROTO_INT8] = 1,
        [PROTO_INT16] = 2,
        [PROTO_UINT16] = 2,
        [PROTO_INT32] = 4,
        [PROTO_UINT32] = 4,
        [PROTO_INT64] = 8,
        [PROTO_FLOAT64] = 8,
        [PROTO_UUID] = 16,
        [PROTO_STRING] = sizeof(struct slice),
        [PROTO_BYTES] = sizeof(struct slice),
        [PROTO_RECORDS] = sizeof(struct slice),
    };

    return sizes[kind];
}

/* Of one element of an array, or of the value itself. */
static inline size_t proto_item_size(const struct proto_field *f)
{
    return f->kind == PROTO_STRUCT ? f->sub->size : proto_kind_size(f->kind);
}

void proto_field_default(const struct proto_field *f, void *at);
bool proto_field_is_default(const struct proto_field *f, const void *at);
