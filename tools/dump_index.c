/* The files beside a log: indexes, and what is known of producers. */
#include "log/producers.h"
#include "log/segment.h"
#include "log/snapshot_files.h"
#include "log/whole_file.h"
#include "proto/bigend.h"
#include "tools/dump.h"
#include <inttypes.h>
#include <stdlib.h>

enum { FILE_MAX = 1 << 30, TXN_ROW = 34 };

/* An index as a whole, and the log that it speaks of. */
struct indexed {
    struct dump *d;
    const char *path;
    int64_t base;
    struct bytes rows;
    struct dump_reader log;
    bool has_log;
};

static const char *beside(struct dump *d, const char *path, const char *suffix)
{
    const char *dot = strrchr(path, '.');

    return arena_printf(&d->t->arena, "%.*s%s", (int)(dot - path), path, suffix);
}

/* false: there is nothing more to do with it. */
static bool indexed_open(struct indexed *x, struct dump *d, const char *path, size_t row)
{
    const char *slash = strrchr(path, '/');

    *x = (struct indexed){.d = d, .path = path, .base = atoll(slash ? slash + 1 : path)};
    bytes_init(&x->rows, d->t->heap);
    enum err err = whole_file_read(d->t->io, path, FILE_MAX, &x->rows);
    if (err)
        dump_fault(d, "%s can't be read: %s", path, err_text(err));
    else if (x->rows.len == 0 && !d->t->json)
        bytes_printf(&d->t->out, "%s is empty.\n", path);
    else if (x->rows.len % row)
        dump_fault(d, "%s: %zu bytes are no whole number of rows of %zu", path, x->rows.len, row);
    return !err && x->rows.len && x->rows.len % row == 0;
}

static bool log_open_for(struct indexed *x)
{
    enum err err = dump_open(x->d, &x->log, beside(x->d, x->path, ".log"), INT64_MAX);

    if (err)
        dump_fault(x->d, "%s: its log can't be read: %s", x->path, err_text(err));
    x->has_log = true;
    return !err;
}

static void indexed_close(struct indexed *x)
{
    bytes_drop(&x->rows);
    if (x->has_log)
        dump_close(&x->log);
}

/* Rows rise; zeros behind the last are room that was set aside. */
static void sanity(struct indexed *x, bool rising)
{
    struct json j = tool_json(x->d->t);

    if (!rising)
        dump_fault(x->d, "%s is not whole: its rows don't rise", x->path);
    if (x->d->t->json) {
        json_open(&j, NULL, '{');
        json_str(&j, "file", x->path);
        json_bool(&j, "sane", rising);
        json_close(&j, '}');
        bytes_printf(&x->d->t->out, "\n");
    } else if (rising)
        bytes_printf(&x->d->t->out, "%s passed sanity check.\n", x->path);
}

/* ---- .index ---- */

static void index_row(struct indexed *x, int64_t offset, uint32_t position)
{
    struct bytes *out = &x->d->t->out;
    struct batch_view v;
    enum err err = dump_batch(&x->log, position, &v);

    if (err)
        dump_fault(x->d, "%s: no batch begins at %u: %s", x->path, position, err_text(err));
    else if (v.last_offset != offset)
        dump_fault(x->d, "%s: index offset: %" PRId64 ", log offset: %" PRId64, x->path, offset,
                   v.last_offset);
    if (x->d->verify)
        return;
    if (x->d->t->json)
        bytes_printf(out, "{\"offset\":%" PRId64 ",\"position\":%u}\n", offset, position);
    else
        bytes_printf(out, "offset: %" PRId64 " position: %u\n", offset, position);
}

void dump_index(struct dump *d, const char *path)
{
    struct indexed x;
    bool rising = true;
    uint32_t last = 0;

    if (!indexed_open(&x, d, path, INDEX_ROW) || (!d->sanity && !log_open_for(&x))) {
        indexed_close(&x);
        return;
    }
    for (size_t at = 0; at < x.rows.len; at += INDEX_ROW) {
        uint32_t relative = get_be32(x.rows.p + at);

        if (at && relative == 0)
            break;
        rising = rising && (at == 0 || relative > last);
        last = relative;
        if (!d->sanity)
            index_row(&x, x.base + relative, get_be32(x.rows.p + at + 4));
    }
    if (d->sanity)
        sanity(&x, rising);
    indexed_close(&x);
}

/* ---- .timeindex ---- */

/* Where in the log to begin: the last row of .index at or before the offset. */
static int64_t position_of(const struct bytes *index, int64_t base, int64_t offset)
{
    int64_t position = 0;

    for (size_t at = 0; at + INDEX_ROW <= index->len; at += INDEX_ROW) {
        uint32_t relative = get_be32(index->p + at);

        if ((at && relative == 0) || base + relative > offset)
            break;
        position = get_be32(index->p + at + 4);
    }
    return position;
}

static int64_t batch_time(struct dump *d, const struct batch_view *v)
{
    struct record_iter it;
    struct record r;
    int64_t max = -1;

    if (v->attributes & BATCH_APPEND_TIME)
        return v->max_timestamp;
    record_iter_open(&it, d->t->heap, d->codecs, v, d->max_record);
    while (!record_next(&it, &r))
        max = r.timestamp > max ? r.timestamp : max;
    record_iter_close(&it);
    return max;
}

static void time_row(struct indexed *x, const struct bytes *index, int64_t timestamp, int64_t offset,
                     int64_t before)
{
    struct bytes *out = &x->d->t->out;
    int64_t at = position_of(index, x->base, offset);
    struct batch_view v;
    enum err err;

    while (!(err = dump_batch(&x->log, at, &v)) && v.last_offset < offset)
        at += (int64_t)v.len;
    if (err)
        dump_fault(x->d, "%s: offset %" PRId64 " isn't in the log", x->path, offset);
    else if (batch_time(x->d, &v) != timestamp)
        dump_fault(x->d, "%s: index timestamp: %" PRId64 ", log timestamp: %" PRId64, x->path, timestamp,
                   batch_time(x->d, &v));
    if (before >= timestamp)
        dump_fault(x->d, "%s: index timestamp: %" PRId64 " comes after %" PRId64, x->path, timestamp, before);
    if (x->d->verify)
        return;
    if (x->d->t->json)
        bytes_printf(out, "{\"timestamp\":%" PRId64 ",\"offset\":%" PRId64 "}\n", timestamp, offset);
    else
        bytes_printf(out, "timestamp: %" PRId64 " offset: %" PRId64 "\n", timestamp, offset);
}

void dump_timeindex(struct dump *d, const char *path)
{
    struct indexed x;
    struct bytes index;
    bool rising = true;
    uint32_t last = 0;
    int64_t before = -1;

    bytes_init(&index, d->t->heap);
    if (!indexed_open(&x, d, path, TIME_ROW) || (!d->sanity && !log_open_for(&x)))
        goto out;
    if (!d->sanity && whole_file_read(d->t->io, beside(d, path, ".index"), FILE_MAX, &index))
        index.len = 0; /* it only makes the search shorter */
    for (size_t at = 0; at < x.rows.len; at += TIME_ROW) {
        int64_t timestamp = (int64_t)get_be64(x.rows.p + at);
        uint32_t relative = get_be32(x.rows.p + at + 8);

        if (at && relative == 0)
            break;
        rising = rising && (at == 0 || relative > last);
        last = relative;
        if (!d->sanity)
            time_row(&x, &index, timestamp, x.base + relative, before);
        before = timestamp;
    }
    if (d->sanity)
        sanity(&x, rising);
out:
    indexed_close(&x);
    bytes_drop(&index);
}

/* ---- .txnindex ---- */

void dump_txnindex(struct dump *d, const char *path)
{
    struct indexed x;

    if (indexed_open(&x, d, path, TXN_ROW))
        for (const uint8_t *p = x.rows.p; p < x.rows.p + x.rows.len; p += TXN_ROW)
            bytes_printf(&d->t->out,
                         d->t->json ? "{\"version\":%d,\"producerId\":%" PRId64 ",\"firstOffset\":%" PRId64
                                      ",\"lastOffset\":%" PRId64 ",\"lastStableOffset\":%" PRId64 "}\n"
                                    : "version: %d producerId: %" PRId64 " firstOffset: %" PRId64
                                      " lastOffset: %" PRId64 " lastStableOffset: %" PRId64 "\n",
                         get_be16(p), (int64_t)get_be64(p + 2), (int64_t)get_be64(p + 10),
                         (int64_t)get_be64(p + 18), (int64_t)get_be64(p + 26));
    indexed_close(&x);
}

/* ---- .snapshot ---- */

static void producer_json(struct json *j, const struct producer *r)
{
    json_open(j, NULL, '{');
    json_int(j, "producerId", r->id);
    json_int(j, "producerEpoch", r->epoch);
    json_int(j, "coordinatorEpoch", r->coordinator_epoch);
    json_int(j, "currentTxnFirstOffset", r->txn_first);
    json_int(j, "lastTimestamp", r->last_timestamp);
    json_int(j, "lastSequence", producer_last_sequence(r));
    json_int(j, "lastOffset", producer_last_offset(r));
    json_close(j, '}');
}

static void producer_print(struct bytes *out, const struct producer *r)
{
    bytes_printf(
        out, "producerId: %" PRId64 " producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: ", r->id,
        r->epoch, r->coordinator_epoch);
    if (r->txn_first >= 0)
        bytes_printf(out, "OptionalLong[%" PRId64 "]", r->txn_first);
    else
        bytes_printf(out, "OptionalLong.empty");
    bytes_printf(out, " lastTimestamp: %" PRId64, r->last_timestamp);
    if (r->n) {
        const struct producer_past *p = &r->past[r->n - 1];

        bytes_printf(out,
                     " firstSequence: %d lastSequence: %d lastOffset: %" PRId64
                     " offsetDelta: %d timestamp: %" PRId64,
                     producer_sequence_sub(p->last_sequence, p->offset_delta), p->last_sequence,
                     p->last_offset, p->offset_delta, p->timestamp);
    }
    bytes_printf(out, "\n");
}

void dump_snapshot(struct dump *d, const char *path)
{
    struct producers producers;
    struct bytes file;
    struct json j;

    producers_init(&producers, d->t->heap, 0);
    bytes_init(&file, d->t->heap);
    enum err err = whole_file_read(d->t->io, path, FILE_MAX, &file);
    if (!err)
        err = snapshot_decode(&producers, bytes_slice(&file));
    if (err)
        dump_fault(d, "%s can't be read: %s", path, err_text(err));
    for (uint32_t i = 0; i < producers.n; i++) {
        j = tool_json(d->t);
        if (d->t->json) {
            producer_json(&j, &producers.rows[i]);
            bytes_printf(&d->t->out, "\n");
        } else {
            producer_print(&d->t->out, &producers.rows[i]);
        }
    }
    bytes_drop(&file);
    producers_drop(&producers);
}
