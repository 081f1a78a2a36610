/* Records to a batch. */
#include "base/check.h"
#include "proto/batch.h"
#include "proto/bigend.h"
#include "proto/varint.h"
#include <limits.h>

void batch_spec_init(struct batch_spec *s)
{
    *s = (struct batch_spec){.producer_id = -1,
                             .leader_epoch = -1,
                             .base_sequence = -1,
                             .producer_epoch = -1,
                             .level = INT_MIN,
                             .max_timestamp = -1,
                             .delete_horizon = -1};
}

static size_t bytes_field_size(struct slice s)
{
    return varint_size(zigzag(s.p ? (int64_t)s.len : -1)) + (s.p ? s.len : 0);
}

static uint8_t *bytes_field_write(uint8_t *to, struct slice s)
{
    to = varint_write(to, zigzag(s.p ? (int64_t)s.len : -1));
    if (s.len > 0)
        memcpy(to, s.p, s.len);
    return to + s.len;
}

static size_t record_body_size(const struct batch_record *r, int64_t time_delta, int32_t offset_delta)
{
    size_t size = 1 + varint_size(zigzag(time_delta)) + varint_size(zigzag(offset_delta)) +
                  bytes_field_size(r->key) + bytes_field_size(r->value) + varint_size(zigzag(r->headers_n));

    for (int32_t i = 0; i < r->headers_n; i++)
        size += bytes_field_size(r->headers[i].key) + bytes_field_size(r->headers[i].value);
    return size;
}

static void record_add(struct bytes *out, const struct batch_record *r, int64_t time_delta,
                       int32_t offset_delta)
{
    size_t size = record_body_size(r, time_delta, offset_delta);
    uint8_t *p = bytes_more(out, varint_size(zigzag((int64_t)size)) + size);

    p = varint_write(p, zigzag((int64_t)size));
    *p++ = 0;
    p = varint_write(p, zigzag(time_delta));
    p = varint_write(p, zigzag(offset_delta));
    p = bytes_field_write(p, r->key);
    p = bytes_field_write(p, r->value);
    p = varint_write(p, zigzag(r->headers_n));
    for (int32_t i = 0; i < r->headers_n; i++) {
        p = bytes_field_write(p, r->headers[i].key);
        p = bytes_field_write(p, r->headers[i].value);
    }
    ASSERT(p == out->p + out->len);
}

static void head_write(uint8_t *p, size_t len, const struct batch_spec *s, int64_t base_timestamp,
                       int64_t max)
{
    uint16_t horizon = s->delete_horizon >= 0 ? BATCH_DELETE_HORIZON : 0;
    int32_t last = s->sparse ? s->last_offset_delta : s->n > 0 ? s->n - 1 : 0;

    put_be64(p, (uint64_t)s->base_offset);
    put_be32(p + 8, (uint32_t)(len - BATCH_PREFIX));
    put_be32(p + 12, (uint32_t)s->leader_epoch);
    p[BATCH_MAGIC_AT] = 2;
    put_be16(p + 21, (uint16_t)(s->attributes | s->codec | horizon));
    put_be32(p + 23, (uint32_t)last);
    put_be64(p + 27, (uint64_t)base_timestamp);
    put_be64(p + 35, (uint64_t)max);
    put_be64(p + 43, (uint64_t)s->producer_id);
    put_be16(p + 51, (uint16_t)s->producer_epoch);
    put_be32(p + 53, (uint32_t)s->base_sequence);
    put_be32(p + 57, (uint32_t)s->n);
    put_be32(p + 17, crc32c(0, p + BATCH_CRC_FROM, len - BATCH_CRC_FROM));
}

void batch_build(struct codec_cache *cache, const struct batch_spec *s, struct bytes *out)
{
    int64_t base = s->delete_horizon >= 0 ? s->delete_horizon : s->n > 0 ? s->v[0].timestamp : -1;
    int64_t max = -1;
    size_t at = out->len;
    struct bytes body;

    bytes_init(&body, out->heap);
    (void)bytes_more(out, BATCH_HEAD);
    for (int32_t i = 0; i < s->n; i++) {
        const struct batch_record *r = &s->v[i];

        record_add(s->codec == CODEC_NONE ? out : &body, r, r->timestamp - base,
                   s->sparse ? r->offset_delta : i);
        max = r->timestamp > max ? r->timestamp : max;
    }
    if (s->codec != CODEC_NONE)
        codec_compress(cache, s->codec, s->level, bytes_slice(&body), out);
    if (s->attributes & BATCH_APPEND_TIME || s->n == 0)
        max = s->max_timestamp;
    head_write(out->p + at, out->len - at, s, base, max);
    bytes_drop(&body);
}
