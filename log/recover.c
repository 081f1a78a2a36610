/* Opening what is on disk.
 *
 *     clean stop    nothing is scanned: the end is behind the last batch, found from the last index row; where it isn't,
 *                   the newest segment is scanned
 *     same boot     the page cache outlived the process: scanned from the last index row, or from the
 *                   recovery point if that is earlier
 *     power cut     scanned from the recovery point: what lies before it, indexes included, was synced
 *     a sync failed and this process goes on: scanned up to where the last one that hadn't ended; what is behind that is cut,
 *                   whatever it says (log_start.doubted)
 *
 * Scanning checks every batch: whole, its CRC, offsets that rise. The first one that isn't right ends the
 * log; what is behind it, later segments too, was never promised. Index rows from the scan's begin on are
 * dropped first and made again by the scan. Producers come from the newest snapshot and the headers behind
 * it, epochs from their file and the scan. Doing it twice does no harm, so a crash in here is nothing new. */
#include "base/check.h"
#include "log/clean_swap.h"
#include "log/log_internal.h"
#include "log/snapshot_files.h"
#include "log/torn.h"

enum { SCAN_AHEAD = 262144, HEADS_AHEAD = 65536 };

/* ---- indexes ---- */

/* Leading rows that rise, lie in the log, and speak of offsets below `limit`. */
static enum err rows_good(struct segment *s, int64_t limit, uint32_t *index_n, uint32_t *time_n)
{
    struct index_row row, last = {.offset = s->base - 1, .at = 0};
    struct time_row time, before = {.timestamp = -1, .offset = s->base - 1};
    enum err err = index_rows_load(s);

    for (*index_n = 0; !err && *index_n < s->index_n; ++*index_n, last = row) {
        err = index_get(s, *index_n, &row);
        if (err || row.offset <= last.offset || row.at <= last.at || row.at >= s->size || row.offset >= limit)
            break;
    }
    for (*time_n = 0; !err && *time_n < s->time_n; ++*time_n, before = time) {
        err = time_get(s, *time_n, &time);
        if (err || time.timestamp <= before.timestamp || time.offset < before.offset || time.offset >= limit)
            break;
    }
    return err;
}

static enum err rows_cut(struct segment *s, uint32_t index_n, uint32_t time_n)
{
    struct file *file;
    enum err err = segment_file(s, SEGMENT_INDEX, &file);

    if (!err && file_size(file) != (int64_t)index_n * INDEX_ROW)
        err = file_resize(file, (int64_t)index_n * INDEX_ROW);
    if (!err)
        err = segment_file(s, SEGMENT_TIME, &file);
    if (!err && file_size(file) != (int64_t)time_n * TIME_ROW)
        err = file_resize(file, (int64_t)time_n * TIME_ROW);
    s->index_n = index_n;
    s->time_n = time_n;
    index_pages_drop(s);
    return err;
}

/* Rows of `s` below `from` are kept; *at is where its scan begins. A last row that doesn't point at its batch
 * means that none can be believed. */
static enum err scan_prepare(struct segment *s, int64_t from, int64_t *at)
{
    uint32_t index_n, time_n;
    struct index_row row = {.offset = s->base};
    struct segment_walk w;
    struct batch_view v;
    enum err err;

    *at = 0;
    if (s->no_index || from <= s->base)
        return segment_indexes_clear(s);
    err = rows_good(s, from, &index_n, &time_n);
    if (!err)
        err = rows_cut(s, index_n, time_n);
    if (!err && index_n > 0)
        err = index_get(s, index_n - 1, &row);
    if (err || index_n == 0)
        return err ? err : segment_indexes_clear(s);
    err = segment_walk_open(&w, s, row.at, BATCH_HEAD);
    if (err)
        return err;
    err = segment_walk_head(&w, &v);
    segment_walk_close(&w);
    if (!err && v.last_offset == row.offset) {
        *at = row.at;
        return E_OK;
    }
    TRACE(s->log->env->io, log_index_rebuilt, s->log->name, (long long)s->base);
    return segment_indexes_clear(s);
}

/* ---- the scan ---- */

/* A batch needn't have an epoch: the field lies outside the CRC, and very old ones have none. */
static void epoch_met(struct log *log, const struct batch_view *v)
{
    if (v->leader_epoch >= 0)
        (void)epochs_assign(&log->epochs, v->leader_epoch, v->base_offset);
}

static bool batch_fits(const struct segment *s, const struct batch_view *v, int64_t next)
{
    return v->base_offset >= next && v->last_offset < s->log->scan_end &&
           v->last_offset - s->base <= INT32_MAX && batch_crc_ok(v);
}

/* Walks `s` from `at`; *good is where the last right batch ends, *next the offset behind it. */
static enum err segment_scan(struct segment *s, int64_t at, int64_t *good, int64_t *next)
{
    struct segment_walk w;
    struct batch_view v;
    enum err err = segment_walk_open(&w, s, at, SCAN_AHEAD);

    if (err)
        return err;
    *good = at;
    while (!(err = segment_walk_batch(&w, &v)) && batch_fits(s, &v, *next)) {
        struct segment_batch note = {v.last_offset, v.max_timestamp, v.len};

        err = segment_note(s, &note, *good);
        if (err)
            break;
        epoch_met(s->log, &v);
        *next = v.last_offset + 1;
        *good = w.at;
    }
    segment_walk_close(&w);
    s->log->env->counters.recovered_bytes += (uint64_t)(*good - at);
    return err == E_EOF || err == E_TRUNCATED || err == E_CORRUPT_MESSAGE ||
                   err == E_UNSUPPORTED_FOR_MESSAGE_FORMAT
               ? E_OK
               : err;
}

/* Is it sure that nobody was promised what lies behind `good`? */
static enum err tail_check(struct segment *s, int64_t good, int64_t next)
{
    struct file *file;
    char *path;
    bool torn = true;
    enum err err = segment_file(s, SEGMENT_LOG, &file);

    if (!err)
        err = tail_torn(s->log->env->heap, file, good, s->size, next, &torn);
    if (err || torn)
        return err;
    path = segment_path(s, SEGMENT_LOG, "");
    TRACE(s->log->env->io, log_batch_wrong, path, (long long)good, (long long)next);
    heap_free(s->log->env->heap, path);
    return E_CORRUPT_MESSAGE;
}

/* Synced at once: the next append may begin another segment, and no flush of that one looks back this far. */
static enum err tail_cut(struct segment *s, int64_t good, int64_t next)
{
    struct file *file;
    enum err err;

    if (good == s->size)
        return E_OK;
    TRACE(s->log->env->io, log_tail_cut, s->log->name, (long long)next, (long long)(s->size - good));
    err = segment_file(s, SEGMENT_LOG, &file);
    if (!err)
        err = file_resize(file, good);
    if (!err)
        err = file_sync(&file, 1);
    s->size = good;
    return err;
}

static bool world_failed(enum err err)
{
    return err && err != E_TRUNCATED && err != E_CORRUPT_MESSAGE && err != E_UNSUPPORTED_FOR_MESSAGE_FORMAT &&
           err != E_MALFORMED;
}

/* Time rows are believed up to the scan; what they don't say, headers do. A header in front of the scan that a disk has
 * damaged ends what is known of times there. */
static enum err scan_one(struct segment *s, int64_t from, int64_t *next, bool *whole)
{
    int64_t at, good, size = s->size;
    enum err err = scan_prepare(s, from, &at);

    if (err)
        return err;
    s->size = size;
    s->max_timestamp = -1;
    if (at > 0)
        err = segment_times_below(s, at);
    if (!world_failed(err))
        err = E_OK;
    if (!err)
        err = segment_scan(s, at, &good, next);
    if (!err) {
        *whole = good == s->size;
        err = s->log->promised && !*whole && *next < s->log->scan_end ? tail_check(s, good, *next) : E_OK;
    }
    if (!err) {
        err = tail_cut(s, good, *next);
    }
    s->last_end = s->size > 0 ? *next : s->base;
    s->unsynced |= 1 << SEGMENT_LOG | 1 << SEGMENT_INDEX | 1 << SEGMENT_TIME;
    return err;
}

/* Segments from number i on lie behind the end. */
static enum err segments_lose(struct log *log, uint32_t i)
{
    enum err err = E_OK;

    while (log->segments_n > i && !err) {
        struct segment *s = log->segments[log->segments_n - 1];

        TRACE(log->env->io, log_segment_lost, log->name, (long long)s->base);
        for (int kind = 0; kind < SEGMENT_FILES && !err; kind++) {
            char *path = segment_path(s, (enum segment_file)kind, "");

            segment_files_close(s);
            err = path_remove(log->env->io, path);
            if (err == E_NOENT)
                err = E_OK;
            heap_free(log->env->heap, path);
        }
        segment_free(s);
        log->segments_n--;
    }
    return err;
}

static enum err scan(struct log *log, int64_t from)
{
    struct segment *first = log_segment_at(log, from);
    uint32_t i = first ? log_segment_number(log, first) : 0;
    int64_t next = log->segments[i]->base;
    enum err err = E_OK;

    for (; i < log->segments_n && !err; i++) {
        struct segment *s = log->segments[i];
        bool whole = true;

        /* A hole: the names between were lost with the power. Compaction leaves holes on purpose. */
        if (s->base < next ||
            (s->base > next && s != first && s->base > from && !log->config->cleanup_compact) ||
            (s->base >= log->scan_end && i > 0))
            break;
        next = s->base;
        err = scan_one(s, from, &next, &whole);
        if (!err && i + 1 < log->segments_n)
            err = whole ? segment_finish(s) : segments_lose(log, i + 1);
    }
    if (!err && i < log->segments_n)
        err = segments_lose(log, i);
    log->end =
        next > log->segments[log->segments_n - 1]->base ? next : log->segments[log->segments_n - 1]->base;
    log->names_loose = true;
    log->parent_loose = true;
    TRACE(log->env->io, log_recovered, log->name, (long long)from, (long long)log->end);
    return err;
}

/* Where a scan after a crash of the process alone may begin: the last index row's batch. */
static int64_t last_row(struct segment *s)
{
    struct index_row row;
    uint32_t index_n, time_n;

    if (s->no_index || rows_good(s, INT64_MAX, &index_n, &time_n) || index_n == 0 ||
        index_get(s, index_n - 1, &row))
        return s->base;
    return row.offset;
}

/* ---- a clean stop ---- */

static enum err end_find(struct log *log)
{
    struct segment *s = log_active(log);
    struct index_row row;
    struct segment_walk w;
    struct batch_view v;
    enum err err = index_floor(s, INT64_MAX, &row);

    s->last_end = s->base;
    if (!err)
        err = segment_walk_open(&w, s, row.at, HEADS_AHEAD);
    if (err)
        return err;
    while (!(err = segment_walk_head(&w, &v)) && v.base_offset >= s->last_end &&
           v.last_offset - s->base <= INT32_MAX)
        s->last_end = v.last_offset + 1;
    segment_walk_close(&w);
    if (!err)
        err = E_CORRUPT_MESSAGE;
    log->end = s->last_end;
    return err == E_EOF ? E_OK : err;
}

/* ---- producers and epochs ---- */

/* Heads alone: what a disk has damaged where no scan looks is met here unchecked. A batch that goes back, or beyond the end,
 * counts for nothing. */
static enum err heads_walk(struct log *log, int64_t from,
                           void (*each)(struct log *log, const struct batch_view *v))
{
    struct segment *s = log_segment_at(log, from);
    int64_t next = from;
    enum err err = E_OK;

    for (uint32_t i = s ? log_segment_number(log, s) : 0; i < log->segments_n && !err; i++) {
        struct index_row row;
        struct segment_walk w;
        struct batch_view v;

        s = log->segments[i];
        err = index_floor(s, from, &row);
        if (!err)
            err = segment_walk_open(&w, s, row.at, HEADS_AHEAD);
        if (err)
            return err;
        while (!(err = segment_walk_head(&w, &v))) {
            if (v.last_offset < next || v.last_offset >= log->end)
                continue;
            next = v.last_offset + 1;
            if (v.attributes & BATCH_CONTROL) { /* markers are read whole: their records matter */
                w.at -= (int64_t)v.len;
                err = segment_walk_batch(&w, &v);
                if (err)
                    break;
            }
            each(log, &v);
        }
        segment_walk_close(&w);
        err = err == E_EOF ? E_OK : err;
    }
    return err;
}

static void producer_met(struct log *log, const struct batch_view *v)
{
    struct producer_batch b;

    if (v->producer_id < 0)
        return;
    producer_batch_of(v, &b);
    producers_apply(&log->producers, &b);
}

enum err log_producers_rebuild(struct log *log, bool trust)
{
    char *path = log_path(log);
    enum err err = snapshot_reload(&log->producers, log->env->io, path, log->start, log->end,
                                   io_wall_ms(log->env->io), log->env->config.producer_expiration_ms);

    heap_free(log->env->heap, path);
    if (!err && log->producers.end < log->end && !(trust && log->producers.snapshot == 0))
        err = heads_walk(log, log->producers.end, producer_met);
    if (!err)
        producers_reach(&log->producers, log->end);
    return err;
}

static bool epochs_same(const struct epochs *a, const struct epochs *b)
{
    bool same = a->n == b->n;

    for (uint32_t i = 0; i < a->n && same; i++)
        same = a->rows[i].epoch == b->rows[i].epoch && a->rows[i].start == b->rows[i].start;
    return same;
}

/* What the file says of the log in front of the scan, and what the scan met; the file is saved if that is news. */
static enum err epochs_rebuild(struct log *log, const char *path)
{
    struct epochs scanned = log->epochs, saved;
    enum err err;

    epochs_init(&log->epochs, log->env->heap);
    epochs_init(&saved, log->env->heap);
    err = epochs_load(&saved, log->env->io, path);
    if (err == E_NOENT || err == E_MALFORMED)
        err = heads_walk(log, 0, epoch_met);
    for (uint32_t i = 0; i < saved.n; i++)
        (void)epochs_assign(&log->epochs, saved.rows[i].epoch, saved.rows[i].start);
    if (scanned.n > 0)
        (void)epochs_cut_end(&log->epochs, scanned.rows[0].start + 1);
    for (uint32_t i = 0; i < scanned.n; i++)
        (void)epochs_assign(&log->epochs, scanned.rows[i].epoch, scanned.rows[i].start);
    (void)epochs_cut_end(&log->epochs, log->end);
    (void)epochs_cut_start(&log->epochs, log->start);
    if (!err && !epochs_same(&log->epochs, &saved))
        err = log_epochs_keep(log);
    epochs_drop(&scanned);
    epochs_drop(&saved);
    return err;
}

/* ---- all of it ---- */

/* Of segments that no sync and no scan looks at any more: they take their place when they are on disk, so whatever a crash
 * leaves, an index that is there is right. */
static enum err indexes_mend(struct log *log, uint32_t n)
{
    enum err err = E_OK;

    for (uint32_t i = 0; i < n && !err; i++) {
        struct segment *s = log->segments[i];
        int64_t next = s->base;
        bool whole;

        if (!s->no_index)
            continue;
        TRACE(log->env->io, log_index_rebuilt, log->name, (long long)s->base);
        s->mending = true;
        err = scan_one(s, s->base, &next, &whole);
        if (!err)
            err = segment_finish(s);
        if (!err)
            err = segment_indexes_place(s);
        s->unsynced = 0; /* its records were on disk, or are since they were cut */
    }
    return err;
}

static enum err segments_recover(struct log *log, const struct log_start *from)
{
    struct segment *active = log_active(log);
    int64_t point = from->recovery_point;
    enum err err = E_OK;

    if (from->past.clean && !active->no_index) {
        err = end_find(log);
        if (world_failed(err))
            return err;
        if (!err) {
            active->finished = true;
            log->synced = log->recovered = log->end;
            return indexes_mend(log, log->segments_n);
        }
    }
    if (point < log->segments[0]->base)
        point = log->segments[0]->base;
    if (err && point > active->base) /* what is damaged lies there; what is older isn't touched */
        point = active->base;
    if (from->past.same_boot && last_row(active) < point)
        point = last_row(active);
    else if (from->past.clean && active->no_index)
        point = active->base;
    err = indexes_mend(log, log_segment_number(log, log_segment_at(log, point)));
    if (!err)
        err = scan(log, point);
    log->recovered = from->recovery_point < log->end ? from->recovery_point : log->end;
    if (log->recovered < 0)
        log->recovered = 0;
    log->synced = log->recovered;
    return err;
}

enum err log_recover(struct log *log, const struct log_start *from, enum err (*agree)(struct log *log))
{
    char *path = log_path(log);
    bool clean = from->past.clean;
    enum err err = clean_swap_recover(log->env->io, path);

    if (!err)
        err = log_directory_load(log, path);
    if (err == E_NOENT) {
        err = E_OK;
        goto out;
    }
    log->made = true;
    if (!err)
        err = agree(log);
    if (!err && log->segments_n > 0)
        err = segments_recover(log, from);
    if (err || log->segments_n == 0)
        goto out;
    log->start = from->start > log->segments[0]->base ? from->start : log->segments[0]->base;
    if (log->start > log->end)
        log->start = log->end;
    err = epochs_rebuild(log, path);
    if (!err)
        err = log_producers_rebuild(log, clean);
out:
    heap_free(log->env->heap, path);
    return err;
}
