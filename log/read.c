/* Reading: offsets and times to places in files. Nothing is copied but the headers that are looked at. */
#include "base/check.h"
#include "log/log_internal.h"

enum { TIME_AHEAD = 65536, RECORD_MAX = 1 << 30 };

void log_range_drop(struct log_range *r)
{
    if (r->file)
        file_unref(r->file);
    r->file = NULL;
    r->len = 0;
}

/* Where in the segment the batches end that lie wholly below up_to. */
static enum err range_end(struct log *log, uint32_t i, int64_t up_to, int64_t *end)
{
    struct segment *s = log->segments[i];
    struct batch_view head;
    enum err err;

    *end = s->size;
    if (up_to >= log_segment_end(log, i))
        return E_OK;
    err = segment_find(s, up_to, end, &head);
    return err == E_EOF ? E_OK : err;
}

static enum err read_in(struct log *log, uint32_t i, int64_t offset, const struct log_limits *limits,
                        struct log_range *out)
{
    struct segment *s = log->segments[i];
    struct batch_view head;
    struct file *file;
    int64_t at, end = 0;
    size_t most;
    enum err err = segment_find(s, offset, &at, &head);

    if (err)
        return err;
    if (head.last_offset >= limits->up_to)
        return E_OK;
    err = range_end(log, i, limits->up_to, &end);
    if (!err)
        err = segment_file(s, SEGMENT_LOG, &file);
    if (err)
        return err;
    if (end < at + (int64_t)head.len) /* its length rotted: it would reach beyond what is there */
        return E_CORRUPT_MESSAGE;
    most = limits->min_one && head.len > limits->max_bytes ? head.len : limits->max_bytes;
    out->len = end - at < (int64_t)most ? (size_t)(end - at) : most;
    out->at = at;
    out->base_offset = head.base_offset;
    out->first_len = head.len;
    if (out->len > 0)
        out->file = file_ref(file);
    return E_OK;
}

enum err log_read(struct log *log, int64_t offset, const struct log_limits *limits, struct log_range *out)
{
    struct segment *s;
    enum err err = E_EOF;

    *out = (struct log_range){.base_offset = -1};
    if (log->dir->offline)
        return E_KAFKA_STORAGE_ERROR;
    if (offset < log->start || offset > log->end)
        return E_OFFSET_OUT_OF_RANGE;
    if (offset == log->end || offset >= limits->up_to)
        return E_OK;
    s = log_segment_at(log, offset);
    ASSERT(s);
    for (uint32_t i = log_segment_number(log, s); err == E_EOF && i < log->segments_n; i++)
        err = read_in(log, i, offset, limits, out); /* E_EOF: compaction took it; the next one goes on */
    if (err == E_EOF)
        return E_OK;
    return err ? log_failed(log, err, "reading") : E_OK;
}

/* ---- time ---- */

/* The first record of a batch at or after `timestamp`; `exact`: the first that has it. */
static enum err record_at_time(struct log *log, struct batch_view *v, int64_t timestamp, bool exact,
                               int64_t least, struct log_at *out)
{
    struct record_iter it;
    struct record r;
    enum err err;

    record_iter_open(&it, log->env->heap, log->env->config.codecs, v, RECORD_MAX);
    while (!(err = record_next(&it, &r))) {
        if (r.offset < least || (exact ? r.timestamp != timestamp : r.timestamp < timestamp))
            continue;
        *out = (struct log_at){.offset = r.offset, .timestamp = r.timestamp, .leader_epoch = v->leader_epoch};
        break;
    }
    record_iter_close(&it);
    return err == E_EOF ? E_OK : err;
}

static enum err time_in(struct log *log, struct segment *s, int64_t timestamp, bool exact, int64_t up_to,
                        struct log_at *out)
{
    struct time_row time;
    struct index_row row;
    struct segment_walk w;
    struct batch_view v;
    /* Rows of the same timestamp may stand behind batches that have it: begin before them. */
    enum err err = time_floor(s, timestamp - 1, &time);

    if (!err)
        err = index_floor(s, time.offset > log->start ? time.offset : log->start, &row);
    if (!err)
        err = segment_walk_open(&w, s, row.at, TIME_AHEAD);
    if (err)
        return err;
    while (out->offset < 0 && !(err = segment_walk_head(&w, &v))) {
        if (v.last_offset >= up_to) {
            err = E_EOF;
            break;
        }
        if (v.last_offset < log->start || v.max_timestamp < timestamp)
            continue;
        w.at -= (int64_t)v.len;
        err = segment_walk_batch(&w, &v);
        if (!err)
            err = record_at_time(log, &v, timestamp, exact, log->start, out);
        if (err)
            break;
    }
    segment_walk_close(&w);
    return err == E_EOF ? E_OK : err;
}

enum err log_offset_at_time(struct log *log, int64_t timestamp, int64_t up_to, struct log_at *out)
{
    enum err err = E_OK;

    *out = (struct log_at){.offset = -1, .timestamp = -1, .leader_epoch = -1};
    for (uint32_t i = 0; i < log->segments_n && !err && out->offset < 0; i++) {
        struct segment *s = log->segments[i];

        if (log_segment_end(log, i) <= log->start && i + 1 < log->segments_n)
            continue;
        err = segment_times(s);
        if (!err && s->size > 0 && s->max_timestamp >= timestamp)
            err = time_in(log, s, timestamp, false, up_to, out);
    }
    return err ? log_failed(log, err, "looking for a time") : E_OK;
}

/* The largest timestamp of batches below up_to, by their headers. */
static enum err max_below(struct log *log, struct segment *s, int64_t up_to, int64_t *max)
{
    struct segment_walk w;
    struct batch_view v;
    enum err err = segment_walk_open(&w, s, 0, TIME_AHEAD);

    if (err)
        return err;
    while (!(err = segment_walk_head(&w, &v)) && v.last_offset < up_to)
        if (v.last_offset >= log->start && v.max_timestamp > *max)
            *max = v.max_timestamp;
    segment_walk_close(&w);
    return err == E_EOF ? E_OK : err;
}

enum err log_max_timestamp(struct log *log, int64_t up_to, struct log_at *out)
{
    struct segment *best = NULL;
    int64_t max = -1;
    enum err err = E_OK;

    *out = (struct log_at){.offset = -1, .timestamp = -1, .leader_epoch = -1};
    for (uint32_t i = 0; i < log->segments_n && !err; i++) {
        struct segment *s = log->segments[i];
        int64_t here = -1;
        bool part = s->base < log->start || log_segment_end(log, i) > up_to;

        if (log_segment_end(log, i) <= log->start || s->base >= up_to)
            continue;
        err = part ? max_below(log, s, up_to, &here) : segment_times(s);
        if (!part)
            here = s->max_timestamp;
        if (!err && here > max) {
            max = here;
            best = s;
        }
    }
    if (!err && best)
        err = time_in(log, best, max, true, up_to, out);
    return err ? log_failed(log, err, "looking for the largest timestamp") : E_OK;
}
