#include "metadata/batches.h"
#include "proto/batch.h"
#include "proto/bigend.h"

enum { RECORD_BYTES_MAX = 1 << 24 }; /* of a compressed one */

static void build(const struct batch_place *at, const struct batch_record *v, int n, uint16_t attributes,
                  struct codec_cache *codecs, struct bytes *out)
{
    struct batch_spec spec;

    batch_spec_init(&spec);
    spec.base_offset = at->base_offset;
    spec.leader_epoch = at->epoch;
    spec.attributes = attributes;
    spec.codec = codecs ? CODEC_ZSTD : CODEC_NONE;
    spec.v = v;
    spec.n = n;
    batch_build(codecs, &spec, out);
}

void batches_data_packed(const struct batch_place *at, struct slice values, const size_t *ends, int n,
                         struct codec_cache *codecs, struct arena *a, struct bytes *out)
{
    struct batch_record *v = arena_alloc(a, (size_t)n * sizeof(*v));
    size_t from = 0;

    for (int i = 0; i < n; from = ends[i++]) {
        v[i].timestamp = at->now_ms;
        v[i].value = slice_of(values.p + from, ends[i] - from);
    }
    build(at, v, n, 0, codecs, out);
}

void batches_data(const struct batch_place *at, struct slice values, const size_t *ends, int n,
                  struct arena *a, struct bytes *out)
{
    batches_data_packed(at, values, ends, n, NULL, a, out);
}

void batches_control(const struct batch_place *at, const struct control_record *v, int n, struct arena *a,
                     struct bytes *out)
{
    struct batch_record *r = arena_alloc(a, (size_t)n * sizeof(*r));

    for (int i = 0; i < n; i++) {
        uint8_t *key = arena_alloc(a, 4); /* version 0, type */

        put_be16(key + 2, (uint16_t)v[i].type);
        r[i].timestamp = at->now_ms;
        r[i].key = slice_of(key, 4);
        r[i].value = v[i].value;
    }
    build(at, r, n, BATCH_CONTROL, NULL, out);
}

static enum err read_control(const struct record *r, struct control_record *out)
{
    if (r->key.len < 4)
        return E_MALFORMED;
    out->type = (enum control_type)get_be16(r->key.p + 2);
    out->value = r->value;
    return E_OK;
}

static enum err read_records(struct record_iter *it, struct arena *a, struct batch_content *out)
{
    struct meta_record *records = NULL;
    struct control_record *control = NULL;
    struct record r;
    enum err err;

    if (out->is_control)
        out->control = control = arena_alloc(a, (size_t)it->batch.count * sizeof(*control));
    else
        out->records = records = arena_alloc(a, (size_t)it->batch.count * sizeof(*records));
    for (out->n = 0; !(err = record_next(it, &r)); out->n++) {
        if (out->is_control)
            err = read_control(&r, &control[out->n]);
        else
            err = r.value.p ? record_decode(r.value, a, &records[out->n]) : E_MALFORMED;
        if (err)
            return err;
    }
    return err == E_EOF ? E_OK : err;
}

/* Every record is some bytes of the batch, unless it is compressed. */
static bool count_ok(const struct batch_view *v, bool packed)
{
    return v->count >= 0 && (packed ? v->count <= BATCHES_PACKED_MAX : (size_t)v->count <= v->len);
}

enum err batches_read(struct slice in, struct arena *a, struct batch_content *out, size_t *used)
{
    return batches_read_packed(in, NULL, a, out, used);
}

enum err batches_read_packed(struct slice in, struct codec_cache *codecs, struct arena *a,
                             struct batch_content *out, size_t *used)
{
    struct record_iter it;
    struct batch_view v;
    bool packed;
    enum err err;

    err = batch_view(in, &v);
    if (err)
        return err;
    if (!batch_crc_ok(&v))
        return E_CORRUPT_MESSAGE;
    packed = batch_codec(&v) != CODEC_NONE;
    if ((packed && (!codecs || v.attributes & BATCH_CONTROL)) || !count_ok(&v, packed))
        return E_MALFORMED;
    *out = (struct batch_content){.base_offset = v.base_offset,
                                  .last_offset = v.last_offset,
                                  .epoch = v.leader_epoch,
                                  .append_ms = v.max_timestamp,
                                  .is_control = v.attributes & BATCH_CONTROL};
    *used = v.len;
    record_iter_open(&it, a->heap, codecs, &v, packed ? RECORD_BYTES_MAX : v.len);
    err = read_records(&it, a, out);
    record_iter_close(&it);
    return err;
}
