/* What a broker does to a client's batch: every record is walked, once, at the speed of memory where it isn't
 * compressed; compressed ones are walked as the codec's stretches come, and nothing larger than a stretch is
 * held.
 *
 * A walk reads bytes through a `struct walk`: a stretch in memory, and for compressed batches the stream that
 * gives the next one. A record that lies in one stretch takes the straight path, or if it is a plain one the short
 * path; one across two takes the careful path, which asks for a stretch whenever one ends. */
#include "base/check.h"
#include "proto/batch.h"
#include "proto/bigend.h"
#include "proto/varint.h"
#include <inttypes.h>

struct walk {
    const uint8_t *p;
    const uint8_t *end;
    struct codec_stream *stream; /* NULL: the stretch is all */
};

struct walked {
    int64_t time_delta;
    int32_t offset_delta;
    bool has_key;
};

/* ---- the straight path ---- */

static inline bool zz32(const uint8_t **p, const uint8_t *end, int32_t *out)
{
    if (*p < end && **p < 128) {
        *out = (int32_t)unzigzag(*(*p)++);
        return true;
    }
    return varint_read_i32(p, end, out);
}

static inline bool zz64(const uint8_t **p, const uint8_t *end, int64_t *out)
{
    if (*p < end && **p < 128) {
        *out = unzigzag(*(*p)++);
        return true;
    }
    return varint_read_i64(p, end, out);
}

/* Length and bytes, `least` is -1 where null is allowed. */
static inline bool skip_field(const uint8_t **p, const uint8_t *end, int32_t least, bool *present)
{
    int32_t len;

    if (!zz32(p, end, &len) || len < least || len > end - *p)
        return false;
    *present = len >= 0;
    *p += len < 0 ? 0 : len;
    return true;
}

static inline bool body_walk(const uint8_t *p, const uint8_t *end, struct walked *w)
{
    int32_t headers_n;
    bool there;

    if (p == end)
        return false;
    p++;
    if (!zz64(&p, end, &w->time_delta) || !zz32(&p, end, &w->offset_delta) ||
        !skip_field(&p, end, -1, &w->has_key) || !skip_field(&p, end, -1, &there) ||
        !zz32(&p, end, &headers_n) || headers_n < 0)
        return false;
    for (int32_t i = 0; i < headers_n; i++)
        if (!skip_field(&p, end, 0, &there) || !skip_field(&p, end, -1, &there))
            return false;
    return p == end;
}

/* ---- the short path: a record without headers, all of whose fields have varints of at most three bytes, as nearly all
 * have. It judges nothing: what it doesn't know to be right goes the straight path. ---- */

enum { SHORT_AHEAD = 16 /* how far behind a record's end it may look */ };

/* Behind the varint at p; NULL: it has more than three bytes. */
static inline const uint8_t *short_zz(const uint8_t *p, int32_t *out)
{
    uint32_t v = *p++;

    if (v >= 128) {
        v = (v & 127) | (uint32_t)*p << 7;
        if (*p++ >= 128) {
            if (*p >= 128)
                return NULL;
            v = (v & 0x3fff) | (uint32_t)*p++ << 14;
        }
    }
    *out = (int32_t)(v >> 1) ^ -(int32_t)(v & 1);
    return p;
}

/* true: the record from p to `end` is whole and *w describes it. SHORT_AHEAD bytes lie behind its end. */
static inline bool short_walk(const uint8_t *p, const uint8_t *end, struct walked *w)
{
    int32_t time_delta, key, value, headers_n = -1;

    p++;
    if (!(p = short_zz(p, &time_delta)) || !(p = short_zz(p, &w->offset_delta)) || !(p = short_zz(p, &key)) ||
        key < -1 || key > end - p)
        return false;
    p += key < 0 ? 0 : key;
    if (!(p = short_zz(p, &value)) || value < -1 || value > end - p)
        return false;
    p += value < 0 ? 0 : value;
    w->time_delta = time_delta;
    w->has_key = key >= 0;
    return p < end && short_zz(p, &headers_n) == end && headers_n == 0;
}

/* ---- the careful path: `left` counts what the record still has ---- */

static enum err walk_refill(struct walk *k)
{
    struct slice next = SLICE_NULL;
    enum err err;

    if (!k->stream)
        return E_EOF;
    err = codec_next(k->stream, &next);
    if (err || next.len == 0)
        return err ? err : E_EOF;
    k->p = next.p;
    k->end = next.p + next.len;
    return E_OK;
}

static enum err careful_byte(struct walk *k, int64_t *left, uint8_t *out)
{
    if (*left < 1)
        return E_INVALID_RECORD;
    if (k->p == k->end) {
        enum err err = walk_refill(k);

        if (err)
            return err == E_EOF ? E_INVALID_RECORD : err;
    }
    *out = *k->p++;
    --*left;
    return E_OK;
}

static enum err careful_zz(struct walk *k, int64_t *left, size_t max, int64_t *out)
{
    uint8_t b[VARINT64_MAX];
    size_t n = 0;
    const uint8_t *p = b;
    int32_t v32;

    do {
        enum err err = n < max ? careful_byte(k, left, &b[n]) : E_INVALID_RECORD;

        if (err)
            return err;
    } while (b[n++] & 128);
    if (max == VARINT64_MAX)
        return varint_read_i64(&p, b + n, out) ? E_OK : E_INVALID_RECORD;
    if (!varint_read_i32(&p, b + n, &v32))
        return E_INVALID_RECORD;
    *out = v32;
    return E_OK;
}

static enum err careful_skip(struct walk *k, int64_t *left, int64_t least, bool *present)
{
    int64_t len;
    enum err err = careful_zz(k, left, VARINT32_MAX, &len);

    if (err)
        return err;
    if (len < least || len > *left)
        return E_INVALID_RECORD;
    *present = len >= 0;
    *left -= len < 0 ? 0 : len;
    while (len > 0) {
        if (k->p == k->end) {
            err = walk_refill(k);
            if (err)
                return err == E_EOF ? E_INVALID_RECORD : err;
        }
        size_t n = (size_t)(k->end - k->p) < (size_t)len ? (size_t)(k->end - k->p) : (size_t)len;

        k->p += n;
        len -= (int64_t)n;
    }
    return E_OK;
}

static enum err careful_walk(struct walk *k, struct walked *w)
{
    int64_t left = VARINT32_MAX;
    int64_t headers_n, delta;
    uint8_t attributes;
    bool there;
    enum err err = careful_zz(k, &left, VARINT32_MAX, &left);

    if (!err && left < 0)
        err = E_INVALID_RECORD;
    if (!err)
        err = careful_byte(k, &left, &attributes);
    if (!err)
        err = careful_zz(k, &left, VARINT64_MAX, &w->time_delta);
    if (!err)
        err = careful_zz(k, &left, VARINT32_MAX, &delta);
    if (!err)
        err = careful_skip(k, &left, -1, &w->has_key);
    if (!err)
        err = careful_skip(k, &left, -1, &there);
    if (!err)
        err = careful_zz(k, &left, VARINT32_MAX, &headers_n);
    if (!err)
        w->offset_delta = (int32_t)delta;
    if (!err && headers_n < 0)
        err = E_INVALID_RECORD;
    for (int64_t i = 0; !err && i < headers_n; i++) {
        err = careful_skip(k, &left, 0, &there);
        if (!err)
            err = careful_skip(k, &left, -1, &there);
    }
    return !err && left != 0 ? E_INVALID_RECORD : err;
}

static inline enum err walk_record(struct walk *k, struct walked *w)
{
    const uint8_t *p = k->p;
    int32_t len;

    if (k->end - p >= SHORT_AHEAD && (p = short_zz(p, &len)) && len >= 0 && len <= k->end - p - SHORT_AHEAD &&
        short_walk(p, p + len, w)) {
        k->p = p + len;
        return E_OK;
    }
    p = k->p;
    if (zz32(&p, k->end, &len) && len >= 0 && len <= k->end - p) {
        k->p = p + len;
        return body_walk(p, p + len, w) ? E_OK : E_INVALID_RECORD;
    }
    return k->stream ? careful_walk(k, w) : E_INVALID_RECORD;
}

/* ---- the judgement ---- */

static void fault_add(struct batch_checked *out, int32_t index, int what, int64_t value)
{
    if (out->faults_n < BATCH_FAULTS_MAX)
        out->faults[out->faults_n] = (struct batch_fault){.index = index, .what = what, .value = value};
    out->faults_n++;
}

static bool timestamp_ok(const struct batch_rules *r, int64_t timestamp)
{
    int64_t age;

    if (__builtin_sub_overflow(r->now_ms, timestamp, &age))
        return false;
    return age <= r->before_max_ms && (age >= 0 || age >= -r->after_max_ms);
}

/* At most one fault a record, in the order in which Kafka looks. */
static inline void record_judge(const struct batch_rules *r, struct batch_checked *out,
                                const struct walked *w, int32_t index, int64_t timestamp, bool *wrong_time)
{
    if (w->offset_delta != index)
        fault_add(out, index, FAULT_OFFSET, w->offset_delta);
    else if (r->compacted && !w->has_key)
        fault_add(out, index, FAULT_KEY, 0);
    else if (!r->append_time && timestamp != -1) {
        if (timestamp_ok(r, timestamp))
            return;
        fault_add(out, index, FAULT_TIMESTAMP, timestamp);
        *wrong_time = true;
    } else if (out->batch.attributes & BATCH_APPEND_TIME) {
        fault_add(out, index, FAULT_TIMESTAMP_TYPE, timestamp);
        *wrong_time = true;
    }
}

static enum err records_check(const struct batch_rules *r, struct walk *k, struct batch_checked *out)
{
    struct batch_view *v = &out->batch;
    bool append_time = v->attributes & BATCH_APPEND_TIME;
    bool wrong_time = false;
    struct walked w;
    enum err err;

    for (int32_t i = 0; i < v->count; i++) {
        int64_t timestamp;

        err = walk_record(k, &w);
        if (err)
            return err;
        timestamp =
            append_time ? v->max_timestamp : (int64_t)((uint64_t)v->base_timestamp + (uint64_t)w.time_delta);
        record_judge(r, out, &w, i, timestamp, &wrong_time);
        if (timestamp > out->max_timestamp) {
            out->max_timestamp = timestamp;
            out->max_timestamp_index = i;
        }
    }
    err = k->p == k->end ? walk_refill(k) : E_OK;
    if (err && err != E_EOF)
        return err;
    if (!err) {
        out->why = "the batch holds more than its count of records";
        return E_INVALID_RECORD;
    }
    if (out->faults_n > 0) {
        out->why = wrong_time ? "One or more records have been rejected due to invalid timestamp"
                              : "One or more records have been rejected";
        return wrong_time ? E_INVALID_TIMESTAMP : E_INVALID_RECORD;
    }
    return E_OK;
}

static enum err invalid(struct batch_checked *out, const char *why)
{
    out->why = why;
    return E_INVALID_RECORD;
}

/* The head is that of a batch of this format; what is wrong is in its offsets and counts. */
static bool whole_head(struct slice bytes)
{
    return bytes.len >= BATCH_HEAD && bytes.p[BATCH_MAGIC_AT] == 2 &&
           (int32_t)get_be32(bytes.p + 8) >= BATCH_HEAD - BATCH_PREFIX;
}

/* What the request itself must look like: one batch, of this format. */
static enum err request_check(const struct batch_rules *r, struct slice bytes, struct batch_checked *out)
{
    struct slice rest = bytes;
    struct batch_view second;
    enum err err = batch_next(&rest, &out->batch);

    if (err == E_EOF || err == E_TRUNCATED)
        return invalid(out, "a produce request must have a record batch per partition");
    if (err == E_UNSUPPORTED_FOR_MESSAGE_FORMAT)
        return invalid(out, "a produce request may only hold record batches of magic 2");
    if (err && whole_head(bytes))
        return invalid(out, "a batch from a client must begin at offset 0 and hold a record");
    if (err)
        return err;
    if (batch_codec(&out->batch) == CODEC_ZSTD && r->produce_version < 7) {
        out->why = "zstd needs version 7 of the produce request";
        return E_UNSUPPORTED_COMPRESSION_TYPE;
    }
    if (batch_codec(&out->batch) > CODEC_ZSTD) {
        out->why = "there is no such codec";
        return E_UNKNOWN_SERVER_ERROR;
    }
    err = batch_next(&rest, &second);
    if (!err || err == E_UNSUPPORTED_FOR_MESSAGE_FORMAT)
        return invalid(out, "a produce request may only hold one record batch per partition");
    return err == E_EOF || err == E_TRUNCATED ? E_OK : E_CORRUPT_MESSAGE;
}

static enum err header_check(const struct batch_rules *r, struct batch_checked *out)
{
    const struct batch_view *v = &out->batch;

    if (v->base_offset != 0)
        return invalid(out, "the base offset of a batch from a client must be 0");
    if (v->len > (size_t)(r->max_message_bytes < 0 ? 0 : r->max_message_bytes))
        return E_MESSAGE_TOO_LARGE;
    if (!batch_crc_ok(v))
        return E_CORRUPT_MESSAGE;
    if (v->count <= 0)
        return invalid(out, "a batch must hold a record");
    if (v->count - 1 != v->last_offset_delta)
        return invalid(out, "the batch's offset range and its count of records disagree");
    if (v->attributes & BATCH_CONTROL)
        return invalid(out, "clients may not write control records");
    if (v->producer_id > -1 && v->base_sequence < 0)
        return invalid(out, "a batch with a producer id needs a sequence number");
    if (v->producer_id <= -1 && v->attributes & BATCH_TRANSACTIONAL)
        return invalid(out, "a transactional batch needs a producer id");
    return E_OK;
}

enum err batch_check(const struct batch_rules *rules, struct codec_cache *cache, struct slice bytes,
                     struct batch_checked *out)
{
    struct batch_view *v = &out->batch;
    struct walk k;
    enum err err;

    out->why = NULL;
    out->faults_n = 0;
    out->max_timestamp = -1;
    out->max_timestamp_index = 0;
    err = request_check(rules, bytes, out);
    if (!err)
        err = header_check(rules, out);
    if (err)
        return err;
    out->recompress = rules->recompress && rules->codec != batch_codec(v);
    k = (struct walk){.p = v->p + BATCH_HEAD, .end = v->p + v->len};
    if (batch_codec(v) != CODEC_NONE) {
        k.stream = codec_open(cache, batch_codec(v), slice_of(k.p, (size_t)(k.end - k.p)));
        k.end = k.p;
    }
    err = records_check(rules, &k, out);
    if (k.stream)
        codec_close(k.stream);
    if (err == E_CORRUPT_MESSAGE && batch_codec(v) != CODEC_GZIP) {
        out->why = "the batch can't be decompressed";
        return E_UNKNOWN_SERVER_ERROR; /* Kafka's code for it, and one that clients don't try again after */
    }
    if (err)
        return err;
    if (rules->append_time) {
        batch_append_time_set(v, rules->now_ms);
        out->max_timestamp = rules->now_ms;
        out->max_timestamp_index = v->last_offset_delta;
    } else if (v->max_timestamp != out->max_timestamp || v->attributes & BATCH_APPEND_TIME) {
        batch_max_timestamp_set(v, out->max_timestamp);
    }
    return E_OK;
}

void batch_fault_text(const struct batch_rules *rules, const struct batch_fault *f, struct bytes *out)
{
    switch (f->what) {
    case FAULT_KEY:
        bytes_printf(out, "Compacted topic cannot accept message without key");
        break;
    case FAULT_TIMESTAMP:
        bytes_printf(out,
                     "Timestamp %" PRId64
                     " of message with offset %d is out of range. The timestamp should be "
                     "within [%" PRId64 ", %" PRId64 "]",
                     f->value, f->index, (int64_t)((uint64_t)rules->now_ms - (uint64_t)rules->before_max_ms),
                     (int64_t)((uint64_t)rules->now_ms + (uint64_t)rules->after_max_ms));
        break;
    case FAULT_TIMESTAMP_TYPE:
        bytes_printf(out, "Producer should not set timestamp type to LogAppendTime");
        break;
    case FAULT_OFFSET:
        bytes_printf(out, "Offset delta %" PRId64 " where %d was expected", f->value, f->index);
        break;
    }
}
