#include "metadata/snapshot.h"
#include "base/check.h"
#include "metadata/batches.h"
#include "metadata/image_check.h"
#include "proto/bigend.h"
#include "proto_gen.h"

void snapshot_start(struct snapshot_writer *w, struct heap *h, const struct image *i)
{
    *w = (struct snapshot_writer){.records = image_records(i), .image = i, .stage = SNAPSHOT_HEAD};
    arena_init(&w->arena, h, SIZE_MAX);
    bytes_init(&w->values, h);
    w->codecs = codec_cache_new(h);
}

void snapshot_end(struct snapshot_writer *w)
{
    arena_drop(&w->arena);
    bytes_drop(&w->values);
    codec_cache_drop(w->codecs);
    w->stage = SNAPSHOT_DONE;
}

/* A control record's value is the message alone: its first field is the version. */
static void control_batch(struct snapshot_writer *w, enum control_type type, const struct proto_type *t,
                          const void *msg, struct bytes *out)
{
    struct batch_place at = {
        .base_offset = w->offset++, .epoch = w->image->epoch, .now_ms = w->image->append_ms};
    struct control_record r = {.type = type};

    w->values.len = 0;
    ASSERT(!proto_encode(t, 0, msg, &w->values, NULL));
    r.value = bytes_slice(&w->values);
    batches_control(&at, &r, 1, &w->arena, out);
}

static void write_header(struct snapshot_writer *w, struct bytes *out)
{
    struct SnapshotHeaderRecord head;

    proto_defaults(&SnapshotHeaderRecord_type, &head);
    head.last_contained_log_timestamp = w->image->append_ms;
    control_batch(w, CONTROL_SNAPSHOT_HEADER, &SnapshotHeaderRecord_type, &head, out);
}

static void write_footer(struct snapshot_writer *w, struct bytes *out)
{
    struct SnapshotFooterRecord foot;

    proto_defaults(&SnapshotFooterRecord_type, &foot);
    control_batch(w, CONTROL_SNAPSHOT_FOOTER, &SnapshotFooterRecord_type, &foot, out);
}

/* false: no record was left. */
static bool write_data(struct snapshot_writer *w, int max, struct bytes *out)
{
    struct batch_place at = {
        .base_offset = w->offset, .epoch = w->image->epoch, .now_ms = w->image->append_ms};
    size_t ends[SNAPSHOT_BATCH_MAX];
    struct meta_record r;
    int n = 0;

    w->values.len = 0;
    for (; n < max && w->values.len < SNAPSHOT_BATCH_BYTES && image_records_next(&w->records, &r); n++) {
        record_encode(&r, &w->values);
        ends[n] = w->values.len;
    }
    if (n == 0)
        return false;
    batches_data_packed(&at, bytes_slice(&w->values), ends, n, w->codecs, &w->arena, out);
    w->offset += n;
    return true;
}

bool snapshot_step(struct snapshot_writer *w, int max, struct bytes *out)
{
    ASSERT(max > 0 && max <= SNAPSHOT_BATCH_MAX && w->stage != SNAPSHOT_DONE);
    arena_reset(&w->arena);
    if (w->stage == SNAPSHOT_HEAD) {
        write_header(w, out);
        w->stage = SNAPSHOT_DATA;
        return true;
    }
    if (w->stage == SNAPSHOT_DATA && write_data(w, max, out))
        return true;
    write_footer(w, out);
    w->stage = SNAPSHOT_FOOT;
    return false;
}

void snapshot_read_start(struct snapshot_reader *r, struct grave *g)
{
    *r = (struct snapshot_reader){.grave = g, .draft = image_new(g)};
    arena_init(&r->arena, g->heap, SNAPSHOT_READ_BYTES);
    r->codecs = codec_cache_new(g->heap);
}

static enum err read_control_batch(struct snapshot_reader *r, const struct batch_content *c)
{
    if (c->n != 1)
        return E_MALFORMED;
    if (!r->header && c->control[0].type == CONTROL_SNAPSHOT_HEADER) {
        r->header = true;
        r->draft->append_ms = c->append_ms;
        return E_OK;
    }
    if (!r->header || c->control[0].type != CONTROL_SNAPSHOT_FOOTER)
        return E_MALFORMED;
    r->footer = true;
    return E_OK;
}

enum err snapshot_read_step(struct snapshot_reader *r, struct slice in, size_t *used)
{
    struct batch_content c;
    enum err err;

    arena_reset(&r->arena);
    err = batches_read_packed(in, r->codecs, &r->arena, &c, used);
    if (err)
        return err;
    if (r->footer)
        return E_MALFORMED;
    if (c.is_control)
        return read_control_batch(r, &c);
    if (!r->header)
        return E_MALFORMED;
    for (int i = 0; i < c.n && !err; i++) {
        err = image_refuses(r->draft, &c.records[i], &r->arena) ? E_MALFORMED : E_OK;
        if (!err)
            image_replay(r->draft, r->grave, &c.records[i]);
    }
    return err;
}

enum err snapshot_read_end(struct snapshot_reader *r, int64_t offset, int32_t epoch, struct image **out)
{
    arena_drop(&r->arena);
    codec_cache_drop(r->codecs);
    r->draft->offset = offset - 1;
    r->draft->epoch = epoch;
    image_seal(r->draft);
    if (!r->footer) {
        image_unref(r->draft, r->grave);
        return E_TRUNCATED;
    }
    *out = r->draft;
    return E_OK;
}
