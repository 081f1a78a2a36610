/* Finding and walking the batches of one segment. */
#include "base/check.h"
#include "log/log_internal.h"

enum { FIND_AHEAD = 4096 };

enum err segment_walk_open(struct segment_walk *w, struct segment *s, int64_t at, size_t ahead)
{
    struct file *file;
    enum err err = segment_file(s, SEGMENT_LOG, &file);

    *w = (struct segment_walk){.s = s, .at = at, .ahead = ahead < BATCH_HEAD ? BATCH_HEAD : ahead};
    if (err)
        return err;
    w->file = file_ref(file);
    w->buf = heap_alloc(s->log->env->heap, w->ahead);
    return E_OK;
}

void segment_walk_close(struct segment_walk *w)
{
    if (w->file)
        file_unref(w->file);
    heap_free(w->s->log->env->heap, w->buf);
    w->file = NULL;
    w->buf = NULL;
}

/* Makes `len` bytes from w->at on be in the buffer, or what there is before the segment's end. */
static enum err walk_fill(struct segment_walk *w, size_t len, struct slice *out)
{
    int64_t left = w->s->size - w->at;
    size_t want;
    enum err err;

    if ((int64_t)len > left)
        len = left < 0 ? 0 : (size_t)left;
    if (w->at < w->buf_at || w->at + (int64_t)len > w->buf_at + (int64_t)w->buf_len) {
        if (len > w->ahead) {
            w->buf = heap_resize(w->s->log->env->heap, w->buf, len);
            w->ahead = len;
        }
        want = (int64_t)w->ahead < left ? w->ahead : (size_t)(left < 0 ? 0 : left);
        err = file_read(w->file, w->at, w->buf, want, &w->buf_len);
        w->buf_at = w->at;
        if (err) {
            w->buf_len = 0;
            return err;
        }
    }
    *out = slice_of(w->buf + (w->at - w->buf_at), w->buf_len - (size_t)(w->at - w->buf_at));
    return E_OK;
}

enum err segment_walk_head(struct segment_walk *w, struct batch_view *v)
{
    struct slice in;
    enum err err;

    if (w->at >= w->s->size)
        return E_EOF;
    err = walk_fill(w, BATCH_HEAD, &in);
    if (!err)
        err = batch_head(in, v);
    if (!err && (int64_t)v->len > w->s->size - w->at)
        err = E_TRUNCATED;
    if (err)
        return err;
    v->p = NULL;
    w->at += (int64_t)v->len;
    return E_OK;
}

enum err segment_walk_batch(struct segment_walk *w, struct batch_view *v)
{
    struct slice in;
    size_t len;
    enum err err = segment_walk_head(w, v);

    if (err)
        return err;
    len = v->len;
    w->at -= (int64_t)len;
    err = walk_fill(w, len, &in);
    if (!err)
        err = batch_view(in, v);
    if (!err)
        w->at += (int64_t)len;
    return err;
}

enum err segment_find(struct segment *s, int64_t offset, int64_t *at, struct batch_view *head)
{
    uint8_t buf[FIND_AHEAD];
    struct index_row row;
    struct file *file;
    size_t have = 0;
    int64_t buf_at = 0, pos;
    enum err err = index_floor(s, offset, &row);

    if (!err)
        err = segment_file(s, SEGMENT_LOG, &file);
    if (err)
        return err;
    for (pos = row.at; pos < s->size; pos += (int64_t)head->len) {
        if (pos + BATCH_HEAD > buf_at + (int64_t)have || pos < buf_at) {
            size_t want = s->size - pos < FIND_AHEAD ? (size_t)(s->size - pos) : FIND_AHEAD;

            err = file_read(file, pos, buf, want, &have);
            if (err)
                return err;
            buf_at = pos;
        }
        err = batch_head(slice_of(buf + (pos - buf_at), have - (size_t)(pos - buf_at)), head);
        if (err)
            return err == E_TRUNCATED ? E_CORRUPT_MESSAGE : err;
        if (head->last_offset >= offset) {
            head->p = NULL;
            *at = pos;
            return E_OK;
        }
    }
    return E_EOF;
}

enum err segment_times_below(struct segment *s, int64_t at)
{
    struct time_row last = {.timestamp = -1, .offset = s->base};
    struct index_row floor;
    struct segment_walk w;
    struct batch_view v;
    enum err err = index_rows_load(s);

    if (!err && s->time_n > 0)
        err = time_get(s, s->time_n - 1, &last);
    if (!err)
        err = index_floor(s, last.offset, &floor);
    if (!err)
        err = segment_walk_open(&w, s, floor.at, FIND_AHEAD);
    if (err)
        return err;
    s->max_timestamp = last.timestamp;
    s->max_timestamp_offset = last.offset;
    while (w.at < at && !(err = segment_walk_head(&w, &v)))
        if (v.max_timestamp > s->max_timestamp) {
            s->max_timestamp = v.max_timestamp;
            s->max_timestamp_offset = v.last_offset;
        }
    segment_walk_close(&w);
    return err == E_EOF ? E_OK : err;
}

enum err segment_times(struct segment *s)
{
    struct segment_walk w;
    struct batch_view v;
    enum err err = E_OK;

    if (s->max_timestamp == INT64_MIN)
        err = segment_times_below(s, s->size);
    if (err || s->first_timestamp != INT64_MIN || s->size == 0)
        return err;
    err = segment_walk_open(&w, s, 0, BATCH_HEAD);
    if (err)
        return err;
    err = segment_walk_head(&w, &v);
    segment_walk_close(&w);
    if (!err)
        s->first_timestamp = v.max_timestamp;
    return err;
}
