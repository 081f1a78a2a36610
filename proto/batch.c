/* Reading and patching a batch; batch_check.c judges one, batch_build.c makes one. */
#include "proto/batch.h"
#include "base/check.h"
#include "proto/bigend.h"
#include "proto/varint.h"
#include <limits.h>

enum err batch_head(struct slice bytes, struct batch_view *v)
{
    const uint8_t *p = bytes.p;
    int32_t length;

    if (bytes.len < BATCH_MAGIC_AT + 1)
        return E_TRUNCATED;
    length = (int32_t)get_be32(p + 8);
    if ((int8_t)p[BATCH_MAGIC_AT] >= 0 && (int8_t)p[BATCH_MAGIC_AT] < 2)
        return length < 14 ? E_CORRUPT_MESSAGE : E_UNSUPPORTED_FOR_MESSAGE_FORMAT;
    if ((int8_t)p[BATCH_MAGIC_AT] != 2 || length < BATCH_HEAD - BATCH_PREFIX)
        return E_CORRUPT_MESSAGE;
    if (bytes.len < BATCH_HEAD)
        return E_TRUNCATED;
    *v = (struct batch_view){
        .p = bytes.p,
        .len = (size_t)length + BATCH_PREFIX,
        .base_offset = (int64_t)get_be64(p),
        .leader_epoch = (int32_t)get_be32(p + 12),
        .crc = get_be32(p + 17),
        .attributes = get_be16(p + 21),
        .last_offset_delta = (int32_t)get_be32(p + 23),
        .base_timestamp = (int64_t)get_be64(p + 27),
        .max_timestamp = (int64_t)get_be64(p + 35),
        .producer_id = (int64_t)get_be64(p + 43),
        .producer_epoch = (int16_t)get_be16(p + 51),
        .base_sequence = (int32_t)get_be32(p + 53),
        .count = (int32_t)get_be32(p + 57),
    };
    if (v->last_offset_delta < 0 || v->count < 0 || v->base_offset < 0 ||
        v->base_offset > INT64_MAX - v->last_offset_delta - 1)
        return E_CORRUPT_MESSAGE;
    v->last_offset = v->base_offset + v->last_offset_delta;
    return E_OK;
}

enum err batch_view(struct slice bytes, struct batch_view *v)
{
    enum err err = batch_head(bytes, v);

    if (!err && v->len > bytes.len)
        err = E_TRUNCATED;
    return err;
}

enum err batch_next(struct slice *rest, struct batch_view *v)
{
    enum err err;

    if (rest->len == 0)
        return E_EOF;
    err = batch_view(*rest, v);
    if (!err)
        *rest = slice_of(rest->p + v->len, rest->len - v->len);
    return err;
}

static uint32_t batch_crc(const struct batch_view *v)
{
    return crc32c(0, v->p + BATCH_CRC_FROM, v->len - BATCH_CRC_FROM);
}

bool batch_crc_ok(const struct batch_view *v)
{
    return batch_crc(v) == v->crc;
}

void batch_base_offset_set(struct batch_view *v, int64_t base_offset)
{
    v->base_offset = base_offset;
    v->last_offset = base_offset + v->last_offset_delta;
    put_be64(v->p, (uint64_t)base_offset);
}

void batch_leader_epoch_set(struct batch_view *v, int32_t epoch)
{
    v->leader_epoch = epoch;
    put_be32(v->p + 12, (uint32_t)epoch);
}

static void batch_time_set(struct batch_view *v, int64_t max_timestamp, uint16_t attributes)
{
    v->max_timestamp = max_timestamp;
    v->attributes = attributes;
    put_be16(v->p + 21, attributes);
    put_be64(v->p + 35, (uint64_t)max_timestamp);
    v->crc = batch_crc(v);
    put_be32(v->p + 17, v->crc);
}

void batch_append_time_set(struct batch_view *v, int64_t now_ms)
{
    batch_time_set(v, now_ms, v->attributes | BATCH_APPEND_TIME);
}

void batch_max_timestamp_set(struct batch_view *v, int64_t max_timestamp)
{
    batch_time_set(v, max_timestamp, v->attributes & (uint16_t)~BATCH_APPEND_TIME);
}

/* ---- records ---- */

void record_iter_open(struct record_iter *it, struct heap *h, struct codec_cache *cache,
                      const struct batch_view *v, size_t record_max)
{
    struct slice body = slice_of(v->p + BATCH_HEAD, v->len - BATCH_HEAD);

    *it = (struct record_iter){.batch = *v, .left = v->count, .record_max = record_max};
    bytes_init(&it->joined, h);
    if (batch_codec(v) == CODEC_NONE)
        it->rest = body;
    else if (batch_codec(v) <= CODEC_ZSTD)
        it->stream = codec_open(cache, batch_codec(v), body);
    else
        it->left = -1; /* a codec that doesn't exist: the first record says so */
}

void record_iter_close(struct record_iter *it)
{
    if (it->stream)
        codec_close(it->stream);
    it->stream = NULL;
    bytes_drop(&it->joined);
}

/* `len` more bytes of the stream go behind what is joined. E_EOF: it ends before. */
static enum err iter_join(struct record_iter *it, size_t len)
{
    while (len > 0) {
        size_t n;

        if (it->rest.len == 0) {
            enum err err = codec_next(it->stream, &it->rest);

            if (err)
                return err;
            if (it->rest.len == 0)
                return E_EOF;
        }
        n = len < it->rest.len ? len : it->rest.len;
        bytes_add(&it->joined, it->rest.p, n);
        it->rest = slice_of(it->rest.p + n, it->rest.len - n);
        len -= n;
    }
    return E_OK;
}

/* The length field and the bytes of the next record, in one piece. */
static enum err iter_whole(struct record_iter *it, struct slice *out, size_t *size)
{
    const uint8_t *p = it->rest.p;
    const uint8_t *end = it->rest.len > 0 ? p + it->rest.len : p;
    int32_t len;
    enum err err;
    size_t head;

    if (it->rest.len > 0 && varint_read_i32(&p, end, &len) && len >= 0 && len <= end - p) {
        *out = slice_of(p, (size_t)len);
        *size = (size_t)(p - it->rest.p) + (size_t)len;
        it->rest = slice_of(p + len, (size_t)(end - p) - (size_t)len);
        return E_OK;
    }
    if (!it->stream)
        return E_INVALID_RECORD;
    it->joined.len = 0;
    do {
        err = iter_join(it, 1);
        if (err)
            return err == E_EOF ? E_INVALID_RECORD : err;
        if (it->joined.len > VARINT32_MAX)
            return E_INVALID_RECORD;
    } while (it->joined.p[it->joined.len - 1] & 128);
    head = it->joined.len;
    p = it->joined.p;
    if (!varint_read_i32(&p, p + head, &len) || len < 0)
        return E_INVALID_RECORD;
    if ((size_t)len > it->record_max)
        return E_NOMEM;
    err = iter_join(it, (size_t)len);
    if (err)
        return err == E_EOF ? E_INVALID_RECORD : err;
    *out = slice_of(it->joined.p + head, (size_t)len);
    *size = head + (size_t)len;
    return E_OK;
}

/* varint length and as many bytes; -1 is null. */
static bool take_bytes(const uint8_t **p, const uint8_t *end, struct slice *out)
{
    int32_t len;

    if (!varint_read_i32(p, end, &len) || len < -1 || len > end - *p)
        return false;
    *out = len < 0 ? SLICE_NULL : slice_of(*p, (size_t)len);
    *p += len < 0 ? 0 : len;
    return true;
}

bool record_header_next(struct slice *rest, struct slice *key, struct slice *value, bool *bad)
{
    const uint8_t *p = rest->p;
    const uint8_t *end = p + rest->len;

    *bad = false;
    if (rest->len == 0)
        return false;
    *bad = !take_bytes(&p, end, key) || !key->p || !take_bytes(&p, end, value);
    if (*bad)
        return false;
    *rest = slice_of(p, (size_t)(end - p));
    return true;
}

static bool record_parse(const struct batch_view *v, struct slice in, struct record *r)
{
    const uint8_t *p = in.p;
    const uint8_t *end = p + in.len;
    int64_t delta;

    if (in.len < 1)
        return false;
    p++;
    if (!varint_read_i64(&p, end, &delta) || !varint_read_i32(&p, end, &r->offset_delta) ||
        !take_bytes(&p, end, &r->key) || !take_bytes(&p, end, &r->value) ||
        !varint_read_i32(&p, end, &r->headers_n) || r->headers_n < 0 || r->headers_n > (end - p) / 2)
        return false;
    r->headers = slice_of(p, (size_t)(end - p));
    r->offset = v->base_offset + r->offset_delta;
    r->timestamp = v->attributes & BATCH_APPEND_TIME
                       ? v->max_timestamp
                       : (int64_t)((uint64_t)v->base_timestamp + (uint64_t)delta);
    return true;
}

enum err record_next(struct record_iter *it, struct record *r)
{
    struct slice whole;
    enum err err;

    if (it->left < 0)
        return E_CORRUPT_MESSAGE;
    if (it->left == 0) {
        if (it->rest.len == 0 && it->stream) {
            err = codec_next(it->stream, &it->rest);
            if (err)
                return err;
        }
        return it->rest.len > 0 ? E_INVALID_RECORD : E_EOF;
    }
    err = iter_whole(it, &whole, &r->size);
    if (err)
        return err;
    if (!record_parse(&it->batch, whole, r))
        return E_INVALID_RECORD;
    it->left--;
    return E_OK;
}
