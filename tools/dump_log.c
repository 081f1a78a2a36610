/* Batches and records of .log and .checkpoint files. */
#include "log/producers.h"
#include "tools/dump.h"
#include <inttypes.h>
#include <stdlib.h>

enum { FLUSH_BYTES = 1 << 18 };

struct walk {
    struct dump *d;
    const char *path;
    int64_t at;          /* of the batch */
    int64_t last_offset; /* of the record before; -1: none */
};

static const char *time_kind(const struct batch_view *v)
{
    return v->attributes & BATCH_APPEND_TIME ? "LogAppendTime" : "CreateTime";
}

static const char *yes_no(bool yes)
{
    return yes ? "true" : "false";
}

static int32_t sequence_at(const struct batch_view *v, int32_t delta)
{
    return v->base_sequence < 0 ? -1 : producer_sequence_add(v->base_sequence, delta);
}

static void batch_print(struct walk *w, const struct batch_view *v, bool valid)
{
    struct bytes *out = &w->d->t->out;

    bytes_printf(out,
                 "baseOffset: %" PRId64 " lastOffset: %" PRId64
                 " count: %d baseSequence: %d lastSequence: %d "
                 "producerId: %" PRId64
                 " producerEpoch: %d partitionLeaderEpoch: %d isTransactional: %s isControl: %s ",
                 v->base_offset, v->last_offset, v->count, v->base_sequence,
                 sequence_at(v, v->last_offset_delta), v->producer_id, v->producer_epoch, v->leader_epoch,
                 yes_no(v->attributes & BATCH_TRANSACTIONAL), yes_no(v->attributes & BATCH_CONTROL));
    if (v->attributes & BATCH_DELETE_HORIZON)
        bytes_printf(out, "deleteHorizonMs: OptionalLong[%" PRId64 "]", v->base_timestamp);
    else
        bytes_printf(out, "deleteHorizonMs: OptionalLong.empty");
    bytes_printf(
        out,
        " position: %" PRId64 " %s: %" PRId64 " size: %zu magic: 2 compresscodec: %s crc: %u isvalid: %s\n",
        w->at, time_kind(v), v->max_timestamp, v->len, codec_name(batch_codec(v)), v->crc, yes_no(valid));
}

static void batch_json(struct walk *w, struct json *j, const struct batch_view *v, bool valid)
{
    json_open(j, NULL, '{');
    json_str(j, "file", w->path);
    json_int(j, "position", w->at);
    json_int(j, "size", (int64_t)v->len);
    json_int(j, "baseOffset", v->base_offset);
    json_int(j, "lastOffset", v->last_offset);
    json_int(j, "count", v->count);
    json_int(j, "leaderEpoch", v->leader_epoch);
    json_int(j, "producerId", v->producer_id);
    json_int(j, "producerEpoch", v->producer_epoch);
    json_int(j, "baseSequence", v->base_sequence);
    json_bool(j, "transactional", v->attributes & BATCH_TRANSACTIONAL);
    json_bool(j, "control", v->attributes & BATCH_CONTROL);
    json_str(j, "timestampType", time_kind(v));
    json_int(j, "maxTimestamp", v->max_timestamp);
    json_str(j, "codec", codec_name(batch_codec(v)));
    json_int(j, "crc", v->crc);
    json_bool(j, "valid", valid);
}

static int64_t size_or_null(struct slice s)
{
    return s.p ? (int64_t)s.len : -1;
}

static void header_keys(const struct record *r, struct bytes *out)
{
    struct slice rest = r->headers, key, value;
    const char *comma = "";
    bool bad;

    while (record_header_next(&rest, &key, &value, &bad)) {
        bytes_printf(out, "%s%.*s", comma, (int)key.len, (char *)key.p);
        comma = ",";
    }
}

static void record_print(struct walk *w, const struct batch_view *v, const struct record *r)
{
    struct bytes *out = &w->d->t->out;
    bool control = v->attributes & BATCH_CONTROL;

    if (!w->d->skip_metadata) {
        bytes_printf(out, "| offset: %" PRId64 " %s: %" PRId64 " keySize: %" PRId64 " valueSize: %" PRId64,
                     r->offset, time_kind(v), r->timestamp, size_or_null(r->key), size_or_null(r->value));
        bytes_printf(out, " sequence: %d headerKeys: [", sequence_at(v, r->offset_delta));
        header_keys(r, out);
        bytes_printf(out, "]");
        if (control)
            dump_control(r->key, r->value, &w->d->arena, out);
    } else if (w->d->data && !control) {
        bytes_printf(out, "|");
    }
    if (w->d->data && !control)
        dump_payload(w->d, r, out);
    bytes_printf(out, "\n");
}

static void record_json(struct walk *w, struct json *j, const struct batch_view *v, const struct record *r)
{
    json_open(j, NULL, '{');
    json_int(j, "offset", r->offset);
    json_int(j, "timestamp", r->timestamp);
    json_int(j, "keySize", size_or_null(r->key));
    json_int(j, "valueSize", size_or_null(r->value));
    json_int(j, "sequence", sequence_at(v, r->offset_delta));
    if (v->attributes & BATCH_CONTROL) {
        struct bytes text;

        bytes_init(&text, w->d->t->heap);
        dump_control(r->key, r->value, &w->d->arena, &text);
        json_text(j, "control", slice_of(text.p + 1, text.len - 1));
        bytes_drop(&text);
    } else if (w->d->decoder != DUMP_STRINGS) {
        struct bytes text;

        bytes_init(&text, w->d->t->heap);
        dump_payload(w->d, r, &text);
        json_text(j, "decoded", slice_of(text.p + 1, text.len - 1));
        bytes_drop(&text);
    } else if (w->d->data) {
        json_bytes(j, "key", r->key);
        json_bytes(j, "value", r->value);
    }
    json_close(j, '}');
}

static void records_walk(struct walk *w, const struct batch_view *v, struct json *j)
{
    struct record_iter it;
    struct record r;
    enum err err;

    if (w->d->t->json)
        json_open(j, "records", '[');
    record_iter_open(&it, w->d->t->heap, w->d->codecs, v, w->d->max_record);
    while (!(err = record_next(&it, &r))) {
        if (w->last_offset >= 0 && r.offset != w->last_offset + 1)
            dump_fault(w->d, "%s: offset %" PRId64 " is followed by %" PRId64, w->path, w->last_offset,
                       r.offset);
        w->last_offset = r.offset;
        if (w->d->t->json)
            record_json(w, j, v, &r);
        else
            record_print(w, v, &r);
    }
    record_iter_close(&it);
    if (w->d->t->json)
        json_close(j, ']');
    if (err != E_EOF)
        dump_fault(w->d, "%s: the records of the batch at offset %" PRId64 " can't be read: %s", w->path,
                   v->base_offset, err_text(err));
}

static void batch_walk(struct walk *w, const struct batch_view *v)
{
    bool valid = batch_crc_ok(v);
    struct json j = tool_json(w->d->t);

    arena_reset(&w->d->arena);
    if (w->d->t->json)
        batch_json(w, &j, v, valid);
    else
        batch_print(w, v, valid);
    if (!valid)
        dump_fault(w->d, "%s: the checksum of the batch at offset %" PRId64 " is wrong", w->path,
                   v->base_offset);
    if (w->d->deep && valid)
        records_walk(w, v, &j);
    if (w->d->t->json) {
        json_close(&j, '}');
        bytes_printf(&w->d->t->out, "\n");
    }
    if (w->d->t->out.len > FLUSH_BYTES)
        tool_flush(w->d->t);
}

/* Where the file's name says that it stands. */
static void place_print(struct dump *d, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dash = strchr(name, '-');

    if (strcmp(name, "bootstrap.checkpoint") == 0)
        bytes_printf(&d->t->out, "KRaft bootstrap snapshot\n");
    else if (strstr(name, ".checkpoint"))
        bytes_printf(&d->t->out, "Snapshot end offset: %lld, epoch: %d\n", atoll(name),
                     dash ? atoi(dash + 1) : 0);
    else
        bytes_printf(&d->t->out, "Log starting offset: %lld\n", atoll(name));
}

void dump_log(struct dump *d, const char *path)
{
    struct walk w = {.d = d, .path = path, .last_offset = -1};
    struct dump_reader r;
    struct batch_view v;
    enum err err = dump_open(d, &r, path, d->max_bytes);

    if (!err && !d->t->json)
        place_print(d, path);
    while (!err && !(err = dump_batch(&r, w.at, &v))) {
        batch_walk(&w, &v);
        w.at += (int64_t)v.len;
    }
    if (r.file && err != E_EOF && d->max_bytes == INT32_MAX) {
        if (!d->t->json)
            bytes_printf(&d->t->out, "Found %" PRId64 " invalid bytes at the end of %s\n", r.size - w.at,
                         strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
        dump_fault(d, "%s: no batch begins at %" PRId64 ": %s", path, w.at, err_text(err));
    } else if (!r.file) {
        dump_fault(d, "%s can't be read: %s", path, err_text(err));
    }
    dump_close(&r);
}
