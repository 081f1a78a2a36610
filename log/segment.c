/* One segment: bytes behind bytes, and what its indexes note of them. */
#include "log/segment.h"
#include "base/check.h"
#include "log/log_internal.h"
#include "proto/bigend.h"

struct segment *segment_new(struct log *log, int64_t base, const char *suffix)
{
    struct segment *s = heap_alloc(log->env->heap, sizeof *s);

    *s = (struct segment){.log = log,
                          .suffix = suffix,
                          .base = base,
                          .last_end = base,
                          .max_timestamp = -1,
                          .max_timestamp_offset = base,
                          .first_timestamp = INT64_MIN};
    return s;
}

static void tail_drop(struct segment *s)
{
    heap_free(s->log->env->heap, s->tail);
    s->tail = NULL;
}

void segment_free(struct segment *s)
{
    segment_files_close(s);
    index_pages_drop(s);
    tail_drop(s);
    heap_free(s->log->env->heap, s);
}

/* ---- the tail ---- */

enum err segment_tail(struct segment *s)
{
    struct time_row last = {.timestamp = -1};
    enum err err;

    if (s->tail)
        return E_OK;
    err = index_rows_load(s);
    if (!err && s->time_n > 0)
        err = time_get(s, s->time_n - 1, &last);
    if (err)
        return err;
    s->tail = heap_alloc(s->log->env->heap, sizeof *s->tail);
    s->tail->time_last = last.timestamp;
    return E_OK;
}

static enum err rows_write(struct segment *s, enum segment_file kind, const void *rows, int64_t at,
                           size_t len)
{
    struct slice v = slice_of(rows, len);
    struct file *file;
    enum err err = segment_file(s, kind, &file);

    if (!err && len > 0) {
        err = file_write(file, at, &v, 1);
        s->unsynced |= (uint8_t)(1 << kind);
    }
    return err;
}

enum err segment_tail_write(struct segment *s)
{
    struct segment_tail *t = s->tail;
    uint8_t rows[INDEX_TAIL_MAX * TIME_ROW];
    enum err err;

    if (!t || (t->index_n == 0 && t->time_n == 0))
        return E_OK;
    for (uint32_t i = 0; i < t->index_n; i++) {
        put_be32(rows + (size_t)i * INDEX_ROW, (uint32_t)(t->index[i].offset - s->base));
        put_be32(rows + (size_t)i * INDEX_ROW + 4, (uint32_t)t->index[i].at);
    }
    err = rows_write(s, SEGMENT_INDEX, rows, (int64_t)(s->index_n - t->index_n) * INDEX_ROW,
                     (size_t)t->index_n * INDEX_ROW);
    if (err)
        return err;
    t->index_n = 0;
    for (uint32_t i = 0; i < t->time_n; i++) {
        put_be64(rows + (size_t)i * TIME_ROW, (uint64_t)t->time[i].timestamp);
        put_be32(rows + (size_t)i * TIME_ROW + 8, (uint32_t)(t->time[i].offset - s->base));
    }
    err = rows_write(s, SEGMENT_TIME, rows, (int64_t)(s->time_n - t->time_n) * TIME_ROW,
                     (size_t)t->time_n * TIME_ROW);
    if (!err)
        t->time_n = 0;
    index_pages_drop(s);
    return err;
}

enum err time_row_add(struct segment *s)
{
    struct segment_tail *t = s->tail;
    enum err err = E_OK;

    if (s->max_timestamp <= t->time_last)
        return E_OK;
    if (t->time_n == INDEX_TAIL_MAX)
        err = segment_tail_write(s);
    if (err)
        return err;
    t->time[t->time_n++] =
        (struct time_row){.timestamp = s->max_timestamp, .offset = s->max_timestamp_offset};
    t->time_last = s->max_timestamp;
    s->time_n++;
    return E_OK;
}

enum err segment_note(struct segment *s, const struct segment_batch *b, int64_t at)
{
    struct segment_tail *t;
    enum err err = segment_tail(s);

    if (err)
        return err;
    t = s->tail;
    if (b->max_timestamp > s->max_timestamp) {
        s->max_timestamp = b->max_timestamp;
        s->max_timestamp_offset = b->last_offset;
    }
    if (at == 0)
        s->first_timestamp = b->max_timestamp;
    if (t->since_row > s->log->config->index_interval_bytes && at <= INT32_MAX) {
        if (t->index_n == INDEX_TAIL_MAX)
            err = segment_tail_write(s);
        if (!err) {
            t->index[t->index_n++] = (struct index_row){.offset = b->last_offset, .at = at};
            s->index_n++;
            t->since_row = 0;
            err = time_row_add(s);
        }
    }
    t->since_row += (int64_t)b->len;
    s->finished = false;
    s->last_end = b->last_offset + 1;
    return err;
}

/* ---- append ---- */

static size_t slices_len(const struct slice *v, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += v[i].len;
    return len;
}

static enum err preallocate(struct segment *s, struct file *file)
{
    enum err err;

    if (!s->log->config->preallocate || s->size > 0 || s->grown)
        return E_OK;
    err = file_resize(file, s->log->config->segment_bytes);
    s->grown = !err;
    return err;
}

enum err segment_append(struct segment *s, const struct slice *bytes, int n,
                        const struct segment_batch *batches, int batches_n)
{
    int64_t at = s->size;
    struct file *file;
    enum err err = segment_tail(s);

    if (!err)
        err = segment_file(s, SEGMENT_LOG, &file);
    if (!err)
        err = preallocate(s, file);
    if (err)
        return log_failed(s->log, err, "appending");
    err = file_write(file, at, bytes, n);
    s->unsynced |= 1 << SEGMENT_LOG;
    if (err) {
        enum err cut = file_resize(file, at); /* what the write left is unknown */

        if (!cut) /* now: the next append may begin another segment, and no flush looks back */
            cut = file_sync(&file, 1);
        s->grown = false;
        return log_failed(s->log, cut ? cut : err, "appending");
    }
    s->size += (int64_t)slices_len(bytes, n);
    for (int i = 0; i < batches_n; i++) {
        /* The records are there: a row that can't be written costs a longer search and nothing else. */
        err = segment_note(s, &batches[i], at);
        if (err) {
            err = log_failed(s->log, err, "indexing");
            tail_drop(s);
            s->index_n = INDEX_UNKNOWN;
        }
        at += (int64_t)batches[i].len;
    }
    ASSERT(at == s->size);
    return E_OK;
}

enum err segment_finish(struct segment *s)
{
    struct file *file;
    enum err err = segment_tail(s);

    if (!err)
        err = time_row_add(s);
    if (!err)
        err = segment_tail_write(s);
    if (!err)
        err = segment_file(s, SEGMENT_INDEX, &file);
    if (!err)
        err = segment_file(s, SEGMENT_TIME, &file);
    if (!err && s->grown) {
        err = segment_file(s, SEGMENT_LOG, &file);
        if (!err)
            err = file_resize(file, s->size);
        s->grown = err;
        s->unsynced |= 1 << SEGMENT_LOG;
    }
    if (err)
        return err;
    tail_drop(s);
    s->finished = true;
    return E_OK;
}

void segment_rest(struct segment *s)
{
    if (segment_tail_write(s)) { /* those rows are lost, and the rest of the files stands */
        s->index_n = INDEX_UNKNOWN;
        index_pages_drop(s);
    }
    tail_drop(s);
    segment_files_close(s);
}

enum err segment_indexes_clear(struct segment *s)
{
    struct file *file;
    enum err err;

    tail_drop(s);
    index_pages_drop(s);
    s->index_n = 0;
    s->time_n = 0;
    err = segment_file(s, SEGMENT_INDEX, &file);
    if (!err)
        err = file_resize(file, 0);
    if (!err)
        err = segment_file(s, SEGMENT_TIME, &file);
    if (!err)
        err = file_resize(file, 0);
    s->unsynced |= 1 << SEGMENT_INDEX | 1 << SEGMENT_TIME;
    return err;
}

enum err segment_cut(struct segment *s, int64_t offset)
{
    struct batch_view head;
    struct file *file;
    int64_t at;
    enum err err = segment_find(s, offset, &at, &head);

    if (err == E_EOF) /* all of it lies before */
        return E_OK;
    if (!err)
        err = index_cut(s, head.base_offset);
    if (!err)
        err = segment_file(s, SEGMENT_LOG, &file);
    if (!err)
        err = file_resize(file, at);
    if (err)
        return err;
    s->size = at;
    s->grown = false;
    s->last_end = head.base_offset;
    s->max_timestamp = at > 0 ? INT64_MIN : -1;
    s->max_timestamp_offset = s->base;
    s->first_timestamp = INT64_MIN;
    s->unsynced |= 1 << SEGMENT_LOG;
    return segment_times(s);
}
