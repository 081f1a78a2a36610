/* A message as JSON, for people and their scripts. */
#include "proto/field.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void json_struct(const struct proto_type *t, int version, const void *msg, struct bytes *out);

/* The length of the UTF-8 sequence at p, or 0. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;

    if (n > left || (n == 2 && p[0] < 0xc2) || (n == 4 && p[0] > 0xf4))
        return 0;
    for (size_t i = 1; i < n; i++) {
        if (p[i] >> 6 != 2)
            return 0;
    }
    if ((n == 3 && p[0] == 0xe0 && p[1] < 0xa0) || (n == 3 && p[0] == 0xed && p[1] > 0x9f))
        return 0;
    return (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))) ? 0 : n;
}

static void json_string(struct slice s, struct bytes *out)
{
    bytes_add(out, "\"", 1);
    for (size_t i = 0; i < s.len;) {
        size_t n = utf8_len(s.p + i, s.len - i);

        if (n == 0) {
            bytes_add(out, "\\ufffd", 6);
            n = 1;
        } else if (s.p[i] == '"' || s.p[i] == '\\') {
            bytes_printf(out, "\\%c", s.p[i]);
        } else if (s.p[i] < 0x20) {
            bytes_printf(out, "\\u%04x", s.p[i]);
        } else {
            bytes_add(out, s.p + i, n);
        }
        i += n;
    }
    bytes_add(out, "\"", 1);
}

static void json_base64(struct slice s, struct bytes *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    bytes_add(out, "\"", 1);
    for (size_t i = 0; i < s.len; i += 3) {
        size_t n = s.len - i < 3 ? s.len - i : 3;
        uint32_t v =
            (uint32_t)s.p[i] << 16 | (n > 1 ? (uint32_t)s.p[i + 1] << 8 : 0) | (n > 2 ? s.p[i + 2] : 0u);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
                        n > 2 ? digits[v & 63] : '='};

        bytes_add(out, four, 4);
    }
    bytes_add(out, "\"", 1);
}

static void json_uuid(const struct uuid *u, struct bytes *out)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_text(*u, text);
    bytes_printf(out, "\"%s\"", text);
}

/* The shortest digits that say the same number; always with a point or an exponent. */
static void json_finite(double v, struct bytes *out)
{
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    bytes_printf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

/* JSON has no number for what isn't finite; Kafka's converter writes those as strings too. */
static void json_double(double v, struct bytes *out)
{
    if (isnan(v))
        bytes_printf(out, "\"NaN\"");
    else if (isinf(v))
        bytes_printf(out, "\"%sInfinity\"", v < 0 ? "-" : "");
    else
        json_finite(v, out);
}

static void json_value(const struct proto_field *f, int version, const void *at, struct bytes *out)
{
    const struct slice *s = at;

    switch ((enum proto_kind)f->kind) {
    case PROTO_BOOL:
        bytes_printf(out, "%s", *(const bool *)at ? "true" : "false");
        break;
    case PROTO_INT8:
        bytes_printf(out, "%d", *(const int8_t *)at);
        break;
    case PROTO_INT16:
        bytes_printf(out, "%d", *(const int16_t *)at);
        break;
    case PROTO_UINT16:
        bytes_printf(out, "%u", *(const uint16_t *)at);
        break;
    case PROTO_INT32:
        bytes_printf(out, "%" PRId32, *(const int32_t *)at);
        break;
    case PROTO_UINT32:
        bytes_printf(out, "%" PRIu32, *(const uint32_t *)at);
        break;
    case PROTO_INT64:
        bytes_printf(out, "%" PRId64, *(const int64_t *)at);
        break;
    case PROTO_FLOAT64:
        json_double(*(const double *)at, out);
        break;
    case PROTO_UUID:
        json_uuid(at, out);
        break;
    case PROTO_STRING:
        s->p ? json_string(*s, out) : bytes_add(out, "null", 4);
        break;
    case PROTO_BYTES:
        s->p ? json_base64(*s, out) : bytes_add(out, "null", 4);
        break;
    case PROTO_RECORDS:
        s->p ? bytes_printf(out, "%zu", s->len) : bytes_add(out, "null", 4);
        break;
    case PROTO_STRUCT:
        json_struct(f->sub, version, at, out);
        break;
    }
}

static void json_field(const struct proto_field *f, int version, const void *at, struct bytes *out)
{
    const struct proto_array *a = at;
    size_t size = proto_item_size(f);

    if (f->flags & PROTO_ARRAY) {
        if (a->n < 0) {
            bytes_add(out, "null", 4);
            return;
        }
        bytes_add(out, "[", 1);
        for (int32_t i = 0; i < a->n; i++) {
            if (i > 0)
                bytes_add(out, ",", 1);
            json_value(f, version, (char *)a->v + (size_t)i * size, out);
        }
        bytes_add(out, "]", 1);
    } else if (f->flags & PROTO_POINTER && !*(const proto_pointer *)at) {
        bytes_add(out, "null", 4);
    } else {
        json_value(f, version, f->flags & PROTO_POINTER ? *(const proto_pointer *)at : at, out);
    }
}

static void json_struct(const struct proto_type *t, int version, const void *msg, struct bytes *out)
{
    const char *comma = "";

    bytes_add(out, "{", 1);
    for (int i = 0; i < t->n_fields; i++) {
        const struct proto_field *f = &t->fields[i];
        const void *at = (const char *)msg + f->offset;
        bool sized = f->kind == PROTO_RECORDS && ((const struct slice *)at)->p;

        if (!proto_in(f->versions, version) ||
            (proto_in(f->tagged, version) && proto_field_is_default(f, at)))
            continue;
        bytes_printf(out, "%s\"%s%s\":", comma, f->name, sized ? "SizeInBytes" : "");
        json_field(f, version, at, out);
        comma = ",";
    }
    bytes_add(out, "}", 1);
}

void proto_json(const struct proto_type *t, int version, const void *msg, struct bytes *out)
{
    json_struct(t, version, msg, out);
}
