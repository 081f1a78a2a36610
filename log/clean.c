/* The phases of a cleaning:
 *
 *     MAP ──map full, or all dirty segments entered──► COPY ──last segment of the group──► swap ──► COPY
 *                                                       └── no segment below map_end is left ──► DONE
 *
 * 1. Positions are kept as (base of a segment, position in its file), never as a pointer: between two steps
 * any segment may go. If the one that is due is gone, the cleaning ends.
 * 2. Nothing at or behind range.upto is read or replaced; the segment there exists, so the active one is
 * safe.
 * 3. A record is dropped only if the map knows a later one of its key below map_end, which stays. */
#include "log/clean.h"
#include "base/check.h"
#include "log/clean_batch.h"
#include "log/clean_map.h"
#include "log/clean_swap.h"
#include "log/log_internal.h"

enum phase { MAP, COPY, DONE };
enum { RECORD_MAX = 256 << 20 }; /* one record, uncompressed */

enum { STEP_BYTES_MIN = 4096 };

struct clean {
    struct log *log;
    struct clean_range range;
    struct clean_map map;
    struct clean_rules rules;
    struct clean_progress progress;
    enum phase phase;
    uint32_t cuts;      /* of the log when it began */
    int64_t base;       /* the segment being read … */
    int64_t at;         /* … and where in its file */
    int64_t map_end;    /* keys below are in the map */
    int64_t group_base; /* the first segment of the group … */
    int64_t group_end;  /* … and the one behind it */
    int64_t step_bytes;
    struct segment *fresh; /* their copy; NULL between groups */
    struct bytes out;
};

/* ---- before ---- */

/* Rows of an index aren't counted, which would cost a descriptor: one comes after index.interval.bytes. */
static enum err segment_of(struct segment *s, bool times, struct clean_segment *out)
{
    int64_t interval = s->log->config->index_interval_bytes;
    enum err err = times ? segment_times(s) : E_OK;

    *out = (struct clean_segment){
        .base = s->base,
        .bytes = s->size,
        .index_bytes = (s->size / (interval > BATCH_HEAD ? interval : BATCH_HEAD) + 1) * TIME_ROW,
        .first_timestamp = s->first_timestamp,
        .largest_timestamp = s->max_timestamp,
    };
    return err;
}

/* `view` as the choice wants it; the caller frees its segments. */
static enum err view_of(struct log *log, bool times, struct clean_view *view)
{
    struct clean_segment *v = heap_alloc(log->env->heap, (log->segments_n + 1) * sizeof(*v));
    enum err err = E_OK;

    *view = (struct clean_view){
        .segments = v, .n = log->segments_n, .log_start = log->start, .log_end = log->end};
    for (uint32_t i = 0; i < log->segments_n && !err; i++)
        err = segment_of(log->segments[i], times, &v[i]);
    return err;
}

static void view_drop(struct log *log, struct clean_view *view)
{
    heap_free(log->env->heap, (void *)(uintptr_t)view->segments);
}

enum err clean_look(struct log *log, int64_t checkpoint, int64_t stable_end, int64_t now_ms,
                    struct clean_range *out)
{
    struct clean_view view;
    const struct log_config *c = log->config;

    *out = (struct clean_range){.from = log->start, .upto = log->start};
    if (log->segments_n < 2)
        return E_OK;
    enum err err = view_of(log, c->min_compaction_lag_ms > 0 || c->max_compaction_lag_ms < now_ms, &view);
    view.checkpoint = checkpoint;
    view.stable_end = stable_end;
    if (!err)
        *out = clean_range_of(&view, c, now_ms);
    view_drop(log, &view);
    return err ? log_failed(log, err, "looking for what to compact") : E_OK;
}

struct clean *clean_new(struct log *log, const struct clean_range *range, uint64_t map_bytes, int64_t now_ms)
{
    struct clean *c = heap_alloc(log->env->heap, sizeof(*c));
    const struct segment *s = log_segment_at(log, range->from);
    uint64_t key[2];

    ASSERT(s && range->from < range->upto && range->upto <= log->end);
    io_random(log->env->io, key, sizeof(key));
    clean_map_open(&c->map, log->env->heap, (uint64_t)(range->upto - range->from), map_bytes, key);
    c->log = log;
    c->range = *range;
    c->cuts = log->cuts;
    c->base = s->base;
    c->map_end = range->from;
    c->step_bytes = CLEAN_STEP_BYTES;
    bytes_init(&c->out, log->env->heap);
    c->rules = (struct clean_rules){.heap = log->env->heap,
                                    .codecs = log->env->config.codecs,
                                    .map = &c->map,
                                    .producers = &log->producers,
                                    .now_ms = now_ms,
                                    .delete_retention_ms = log->config->delete_retention_ms,
                                    .record_max = RECORD_MAX};
    return c;
}

void clean_tune(struct clean *c, double map_load, int64_t step_bytes)
{
    double most = map_load * (double)c->map.n_slots;

    if (most < (double)c->map.n_max)
        c->map.n_max = most < 1 ? 1 : (uint64_t)most;
    c->step_bytes = step_bytes < STEP_BYTES_MIN ? STEP_BYTES_MIN : step_bytes;
}

/* ---- both passes ---- */

/* The segment with exactly this base; NULL: it went. */
static struct segment *segment_based(const struct clean *c, int64_t base)
{
    struct segment *s = log_segment_at(c->log, base);
    return s && s->base == base ? s : NULL;
}

static int64_t base_behind(const struct clean *c, const struct segment *s)
{
    return log_segment_end(c->log, log_segment_number(c->log, s));
}

/* Batches of one segment from c->at on, until `each` says so, about a step's bytes are read, or it ends:
 * E_EOF. */
static enum err walk(struct clean *c, struct segment *s,
                     enum err (*each)(struct clean *c, const struct batch_view *v))
{
    struct segment_walk w;
    struct batch_view v;
    int64_t began = c->at;
    enum err err = segment_walk_open(&w, s, c->at, (size_t)c->step_bytes);

    if (err)
        return err;
    while (!err && c->at - began < c->step_bytes) {
        err = segment_walk_batch(&w, &v);
        if (!err)
            err = batch_crc_ok(&v) ? each(c, &v) : E_CORRUPT_MESSAGE;
        if (!err)
            c->at = w.at;
    }
    segment_walk_close(&w);
    c->progress.bytes_read += c->at - began;
    return err;
}

/* ---- first pass ---- */

static void copy_begin(struct clean *c)
{
    c->phase = COPY;
    c->rules.map_end = c->map_end;
    c->rules.upto = c->map_end;
    c->base = c->log->segments[0]->base;
    c->at = 0;
}

/* E_NOMEM: the map is full. */
static enum err map_batch(struct clean *c, const struct batch_view *v)
{
    bool full;

    if (v->last_offset < c->range.from)
        return E_OK;
    enum err err =
        clean_batch_map(&c->map, c->log->env->heap, c->rules.codecs, v, c->range.from, RECORD_MAX, &full);
    if (err)
        return err;
    if (full)
        return E_NOMEM;
    c->map_end = v->last_offset + 1;
    return E_OK;
}

static enum err map_step(struct clean *c)
{
    struct segment *s = segment_based(c, c->base);

    if (!s)
        return E_CANCELED;
    enum err err = walk(c, s, map_batch);
    if (err == E_NOMEM && c->map_end > c->range.from) {
        copy_begin(c);
        return E_OK;
    }
    if (err != E_EOF)
        return err;
    c->base = base_behind(c, s);
    c->at = 0;
    c->map_end = c->base;
    if (c->base >= c->range.upto)
        copy_begin(c);
    return E_OK;
}

/* ---- second pass ---- */

static enum err group_begin(struct clean *c)
{
    struct clean_view view;
    enum err err = view_of(c->log, false, &view);
    uint32_t first = log_segment_number(c->log, segment_based(c, c->base));

    if (!err)
        err = clean_swap_begin(c->log, c->base, &c->fresh);
    if (!err) {
        uint32_t n = clean_group(&view, c->log->config, first, c->map_end);
        c->group_base = c->base;
        c->group_end = log_segment_end(c->log, first + n - 1);
        c->progress.segments_before += n;
        c->progress.segments_after++;
    }
    view_drop(c->log, &view);
    return err;
}

static enum err copy_batch(struct clean *c, const struct batch_view *v)
{
    int32_t kept;
    enum err err = clean_batch(&c->rules, v, &c->out, &kept);

    c->progress.records_read += v->count;
    c->progress.records_kept += err ? 0 : kept;
    return err;
}

static enum err append_out(struct clean *c)
{
    struct slice rest = bytes_slice(&c->out), all = rest;
    struct segment_batch *v;
    struct batch_view b;
    int n = 0;

    if (all.len == 0)
        return E_OK;
    v = heap_alloc(c->log->env->heap, (all.len / BATCH_HEAD + 1) * sizeof(*v));
    while (!batch_next(&rest, &b))
        v[n++] = (struct segment_batch){
            .last_offset = b.last_offset, .max_timestamp = b.max_timestamp, .len = b.len};
    ASSERT(rest.len == 0);
    enum err err = segment_append(c->fresh, &all, 1, v, n);
    heap_free(c->log->env->heap, v);
    c->progress.bytes_written += (int64_t)all.len;
    c->out.len = 0;
    return err;
}

static enum err group_end(struct clean *c, int64_t now_ms)
{
    struct segment *first = segment_based(c, c->group_base), *behind = segment_based(c, c->group_end);

    if (!first || !behind)
        return E_CANCELED;
    uint32_t at = log_segment_number(c->log, first);
    struct segment *fresh = c->fresh;
    c->fresh = NULL; /* it is the log's, or gone */
    return clean_swap(c->log, at, log_segment_number(c->log, behind) - at, fresh, now_ms);
}

static enum err copy_step(struct clean *c, int64_t now_ms)
{
    struct segment *s = segment_based(c, c->base);
    enum err err = E_OK;

    if (!s)
        return E_CANCELED;
    if (!c->fresh)
        err = group_begin(c);
    if (!err)
        err = walk(c, s, copy_batch);
    if (err && err != E_EOF)
        return err;
    enum err appended = append_out(c);
    if (appended || err != E_EOF)
        return appended;
    c->base = base_behind(c, s);
    c->at = 0;
    if (c->base >= c->group_end)
        err = group_end(c, now_ms);
    else
        err = E_OK;
    if (!err && c->base >= c->map_end)
        c->phase = DONE;
    return err;
}

/* The log's own trouble is told as such; a disk's is the directory's. */
static enum err step_failed(struct clean *c, enum err err)
{
    switch (err) {
    case E_CANCELED:
    case E_NOMEM:
    case E_CORRUPT_MESSAGE:
    case E_INVALID_RECORD:
    case E_TRUNCATED:
    case E_UNSUPPORTED_FOR_MESSAGE_FORMAT:
        return err;
    default:
        return log_failed(c->log, err, "compacting");
    }
}

enum err clean_step(struct clean *c, int64_t now_ms)
{
    enum err err;

    if (c->phase == DONE)
        return E_OK;
    if (c->log->dir->offline)
        return E_KAFKA_STORAGE_ERROR;
    if (c->cuts != c->log->cuts)
        err = E_CANCELED;
    else
        err = c->phase == MAP ? map_step(c) : copy_step(c, now_ms);
    if (err)
        return step_failed(c, err);
    if (c->phase != DONE)
        return E_BUSY;
    TRACE(c->log->env->io, log_compacted, c->log->name, (long long)c->map_end,
          (long long)c->progress.records_kept, (long long)c->progress.records_read);
    return E_OK;
}

int64_t clean_reached(const struct clean *c)
{
    return c->map_end;
}

const struct clean_progress *clean_progress(const struct clean *c)
{
    return &c->progress;
}

void clean_drop(struct clean *c)
{
    struct heap *h = c->log->env->heap;

    if (c->fresh && clean_swap_discard(c->fresh))
        c->fresh = NULL; /* a .cleaned that couldn't be removed goes at the next start */
    clean_map_drop(&c->map);
    bytes_drop(&c->out);
    heap_free(h, c);
}
