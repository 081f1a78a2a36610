#include "log/clean_batch.h"
#include "base/check.h"

enum err clean_batch_map(struct clean_map *m, struct heap *h, struct codec_cache *codecs,
                         const struct batch_view *v, int64_t from, size_t record_max, bool *full)
{
    struct record_iter it;
    struct record r;
    enum err err;

    *full = false;
    if (v->attributes & BATCH_CONTROL)
        return E_OK;
    record_iter_open(&it, h, codecs, v, record_max);
    while (!(err = record_next(&it, &r)) && !*full)
        if (r.key.p && r.offset >= from)
            *full = !clean_map_put(m, r.key, r.offset);
    record_iter_close(&it);
    return err == E_EOF ? E_OK : err;
}

static bool stays(const struct clean_rules *rules, const struct batch_view *v, const struct record *r)
{
    if (!r->key.p || r->offset < clean_map_get(rules->map, r->key))
        return false;
    bool horizon_passed = (v->attributes & BATCH_DELETE_HORIZON) && rules->now_ms >= v->base_timestamp;
    return r->value.p || !horizon_passed;
}

struct survey {
    int32_t stay;
    bool tombstones; /* among those that stay */
};

static enum err look(const struct clean_rules *rules, const struct batch_view *v, struct survey *s)
{
    struct record_iter it;
    struct record r;
    enum err err;

    *s = (struct survey){.stay = 0};
    record_iter_open(&it, rules->heap, rules->codecs, v, rules->record_max);
    while (!(err = record_next(&it, &r)))
        if (stays(rules, v, &r)) {
            s->stay++;
            s->tombstones |= !r.value.p;
        }
    record_iter_close(&it);
    return err == E_EOF ? E_OK : err;
}

/* All that the batch keeps whatever becomes of its records. */
static void spec_of(const struct batch_view *v, struct batch_spec *s)
{
    batch_spec_init(s);
    s->base_offset = v->base_offset;
    s->producer_id = v->producer_id;
    s->leader_epoch = v->leader_epoch;
    s->base_sequence = v->base_sequence;
    s->last_offset_delta = v->last_offset_delta;
    s->producer_epoch = v->producer_epoch;
    s->attributes = v->attributes & (BATCH_APPEND_TIME | BATCH_TRANSACTIONAL);
    s->sparse = true;
    s->max_timestamp = v->max_timestamp;
}

static enum err copy_headers(struct arena *a, const struct record *r, const struct batch_header **out)
{
    struct batch_header *v = arena_alloc(a, (size_t)r->headers_n * sizeof(*v));
    struct slice rest = r->headers, key, value;
    bool bad = false;
    int32_t n = 0;

    while (n < r->headers_n && record_header_next(&rest, &key, &value, &bad))
        v[n++] = (struct batch_header){.key = arena_copy(a, key), .value = arena_copy(a, value)};
    *out = v;
    return n == r->headers_n && !bad ? E_OK : E_INVALID_RECORD;
}

/* The records that stay, copied: those of a compressed batch don't outlive the next one. */
static enum err copy_staying(const struct clean_rules *rules, const struct batch_view *v, struct arena *a,
                             struct batch_record *to, int32_t n)
{
    struct record_iter it;
    struct record r;
    enum err err;
    int32_t i = 0;

    record_iter_open(&it, rules->heap, rules->codecs, v, rules->record_max);
    while (!(err = record_next(&it, &r))) {
        if (!stays(rules, v, &r))
            continue;
        ASSERT(i < n);
        to[i] = (struct batch_record){.timestamp = r.timestamp,
                                      .key = arena_copy(a, r.key),
                                      .value = arena_copy(a, r.value),
                                      .headers_n = r.headers_n,
                                      .offset_delta = r.offset_delta};
        err = copy_headers(a, &r, &to[i++].headers);
        if (err)
            break;
    }
    record_iter_close(&it);
    return err == E_EOF ? E_OK : err;
}

static enum err rewrite(const struct clean_rules *rules, const struct batch_view *v, const struct survey *s,
                        struct bytes *out)
{
    struct arena a;
    struct batch_spec spec;
    bool had_horizon = v->attributes & BATCH_DELETE_HORIZON;

    arena_init(&a, rules->heap, SIZE_MAX);
    struct batch_record *records = arena_alloc(&a, (size_t)s->stay * sizeof(*records));
    enum err err = copy_staying(rules, v, &a, records, s->stay);
    if (err)
        goto out;
    spec_of(v, &spec);
    spec.codec = batch_codec(v);
    if (had_horizon)
        spec.delete_horizon = v->base_timestamp;
    else if (s->tombstones)
        spec.delete_horizon = rules->now_ms + rules->delete_retention_ms;
    spec.v = records;
    spec.n = s->stay;
    batch_build(rules->codecs, &spec, out);
out:
    arena_drop(&a);
    return err;
}

static bool header_stays(const struct clean_rules *rules, const struct batch_view *v)
{
    if (v->last_offset + 1 == rules->upto)
        return true;
    return v->producer_id >= 0 && producers_need(rules->producers, v->producer_id, v->producer_epoch,
                                                 v->last_offset, v->attributes & BATCH_CONTROL);
}

enum err clean_batch(const struct clean_rules *rules, const struct batch_view *v, struct bytes *out,
                     int32_t *records)
{
    struct survey s;

    *records = v->count;
    if (v->attributes & BATCH_CONTROL || v->base_offset >= rules->map_end) {
        bytes_add(out, v->p, v->len);
        return E_OK;
    }
    ASSERT(v->last_offset < rules->map_end);
    enum err err = look(rules, v, &s);
    if (err)
        return err;
    *records = s.stay;
    if (s.stay == 0) {
        struct batch_spec empty;
        spec_of(v, &empty);
        if (header_stays(rules, v))
            batch_build(NULL, &empty, out);
        return E_OK;
    }
    if (s.stay == v->count && (!s.tombstones || v->attributes & BATCH_DELETE_HORIZON)) {
        bytes_add(out, v->p, v->len);
        return E_OK;
    }
    return rewrite(rules, v, &s, out);
}
