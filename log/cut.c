/* Where a log loses records: at its end (truncation), at its start (DeleteRecords, retention), or as a whole.
 * A segment that goes is renamed first, the newest first when the end is cut and the oldest first when the
 * start is, so that a crash in between leaves a log without holes. A power cut may keep later names and lose
 * earlier ones: behind a hole everything is lost when the log is opened, which is right where the end was
 * cut. Where the start is, each name is made durable before the next one changes. */
#include "base/check.h"
#include "log/log_internal.h"
#include "log/snapshot_files.h"
#include <stdio.h>

enum err log_segment_drop(struct log *log, struct segment *s, int64_t now_ms)
{
    struct log_env *env = log->env;
    int64_t due_ms = log_removal_ms(log, now_ms);
    enum err err;

    if (!*s->suffix) {
        err = segment_rename(s, ".deleted");
        if (err)
            return err;
    }
    for (int kind = 0; kind < SEGMENT_FILES; kind++)
        log_remove_later(env, segment_path(s, (enum segment_file)kind, s->suffix), due_ms);
    segment_free(s);
    return E_OK;
}

/* The segments [first, first + n) go. */
static enum err segments_drop(struct log *log, uint32_t first, uint32_t n, bool newest_first, int64_t now_ms)
{
    char *path = log_path(log);
    enum err err = E_OK;

    for (uint32_t left = n; left > 0 && !err; left--) {
        uint32_t i = newest_first ? first + left - 1 : first;
        struct segment *s = log->segments[i];

        err = log_segment_drop(log, s, now_ms);
        if (!err)
            log_segments_splice(log, i, 1, NULL, 0);
        if (!err && !newest_first)
            err = dir_sync(log->env->io, path);
    }
    heap_free(log->env->heap, path);
    return err;
}

/* After the end came down: producers from a snapshot and the batches behind it, the recovery point, the disk.
 */
static enum err end_settle(struct log *log)
{
    enum err err = E_OK;

    log->synced = log->synced < log->end ? log->synced : log->end;
    log->recovered = log->recovered < log->end ? log->recovered : log->end;
    if (epochs_cut_end(&log->epochs, log->end))
        err = log_epochs_keep(log);
    if (!err)
        err = log_producers_rebuild(log, false);
    return err;
}

/* Cut files are synced now: after a power cut the old bytes must not come back behind new ones. */
static enum err cut_sync(struct log *log)
{
    log->names_loose = true;
    return log_sync(&log, 1, LOG_SYNC_ALL);
}

enum err log_truncate(struct log *log, int64_t offset)
{
    struct segment *s;
    uint32_t keep;
    enum err err;

    if (log->dir->offline)
        return E_KAFKA_STORAGE_ERROR;
    ASSERT(offset >= log->start);
    if (offset >= log->end)
        return E_OK;
    log->cuts++;
    s = log_segment_at(log, offset);
    keep = log_segment_number(log, s) + 1;
    err = segments_drop(log, keep, log->segments_n - keep, true, log->env->now_ms);
    if (!err)
        err = segment_cut(s, offset);
    if (!err && s->size > 0 && s->last_end > offset) /* the head of what is left has rotted */
        err = E_CORRUPT_MESSAGE;
    if (err)
        return log_failed(log, err, "truncating");
    if (s->size == 0) /* also of one that a broken disk has shortened behind our back */
        s->last_end = s->base;
    log->end = s->last_end >= log->start && s->last_end <= offset ? s->last_end : offset;
    err = end_settle(log);
    if (err)
        return log_failed(log, err, "truncating");
    s->unsynced |= 1 << SEGMENT_LOG;
    log->env->counters.truncations++;
    TRACE(log->env->io, log_truncated, log->name, (long long)log->end);
    err = cut_sync(log);
    log_check(log);
    return err;
}

enum err log_restart_at(struct log *log, int64_t offset, int64_t now_ms)
{
    enum err err;

    if (log->dir->offline)
        return E_KAFKA_STORAGE_ERROR;
    log->env->now_ms = now_ms;
    log->cuts++;
    err = segments_drop(log, 0, log->segments_n, true, now_ms);
    if (err)
        return log_failed(log, err, "starting a log anew");
    log->start = log->end = log->synced = log->recovered = offset;
    if (epochs_cut_end(&log->epochs, 0) && log->made)
        err = log_epochs_keep(log);
    if (!err && log->made)
        err = log_producers_rebuild(log, false);
    producers_clear(&log->producers, offset);
    if (!err)
        err = log_roll(log, offset, now_ms);
    if (!err) {
        struct file *file; /* the empty file says where the log goes on after a restart */

        err = segment_file(log_active(log), SEGMENT_LOG, &file);
    }
    if (err)
        return log_failed(log, err, "starting a log anew");
    err = cut_sync(log);
    log_check(log);
    return err;
}

enum err log_start_set(struct log *log, int64_t offset, int64_t up_to)
{
    if (offset > up_to || offset > log->end)
        return E_OFFSET_OUT_OF_RANGE;
    if (log->dir->offline)
        return E_KAFKA_STORAGE_ERROR;
    if (offset <= log->start)
        return E_OK;
    log->start = offset;
    if (epochs_cut_start(&log->epochs, offset)) {
        enum err err = log_epochs_keep(log);

        if (err)
            return log_failed(log, err, "moving the log's start");
    }
    log_check(log);
    return E_OK;
}

/* ---- retention ---- */

static enum err expired(struct log *log, uint32_t i, int64_t now_ms, int64_t *size, const char **why)
{
    const struct log_config *c = log->config;
    struct segment *s = log->segments[i];
    enum err err = segment_times(s);

    *why = NULL;
    if (err)
        return err;
    if (i + 1 < log->segments_n && log->segments[i + 1]->base <= log->start)
        *why = "it lies before the log's start";
    else if (!c->cleanup_delete)
        return E_OK;
    else if (c->retention_ms >= 0 && s->size > 0 && s->max_timestamp >= 0 &&
             now_ms - s->max_timestamp > c->retention_ms)
        *why = "retention.ms";
    else if (c->retention_bytes >= 0 && s->size > 0 && *size - s->size >= c->retention_bytes)
        *why = "retention.bytes";
    if (*why)
        *size -= s->size;
    return E_OK;
}

enum err log_retain(struct log *log, int64_t now_ms, int64_t up_to, int *removed)
{
    int64_t size = log_size(log);
    uint32_t n = 0;
    const char *why;
    enum err err = E_OK;
    char *path;

    *removed = 0;
    if (log->dir->offline)
        return E_KAFKA_STORAGE_ERROR;
    log->env->now_ms = now_ms;
    while (n < log->segments_n && log_segment_end(log, n) <= up_to) {
        err = expired(log, n, now_ms, &size, &why);
        if (err)
            return log_failed(log, err, "retention");
        if (!why)
            break;
        TRACE(log->env->io, log_segment_retired, log->name, (long long)log->segments[n]->base, why);
        n++;
    }
    if (n == 0)
        return E_OK;
    if (n == log->segments_n) /* the active one too: an empty one remembers where the log goes on */
        err = log_roll(log, log->end, now_ms);
    if (!err && n == log->segments_n - 1 && log_active(log)->size == 0) {
        struct file *file;

        err = segment_file(log_active(log), SEGMENT_LOG, &file);
    }
    if (!err && log->segments[n]->base > log->start)
        err = log_start_set(log, log->segments[n]->base, log->end);
    if (!err && n == log->segments_n - 1)
        err = log_sync(&log, 1, LOG_SYNC_ALL); /* its name must outlive theirs */
    if (!err)
        err = segments_drop(log, 0, n, false, now_ms);
    path = log_path(log);
    if (!err)
        err = snapshot_remove_before(log->env->io, path, log->segments[0]->base);
    heap_free(log->env->heap, path);
    if (err)
        return log_failed(log, err, "retention");
    *removed = (int)n;
    log_check(log);
    return E_OK;
}

/* ---- the whole ---- */

static void uuid_hex(struct io *io, char out[33])
{
    uint8_t b[16];

    io_random(io, b, sizeof b);
    for (int i = 0; i < 16; i++)
        snprintf(out + (size_t)2 * i, 3, "%02x", b[i]);
}

enum err log_delete(struct log *log, int64_t now_ms)
{
    struct log_env *env = log->env;
    struct bytes to;
    char id[33], *from;
    enum err err = E_OK;

    if (!log->made || log->dir->offline) {
        err = log->dir->offline ? E_KAFKA_STORAGE_ERROR : E_OK;
        log_abandon(log);
        return err;
    }
    for (uint32_t i = 0; i < log->segments_n; i++)
        segment_files_close(log->segments[i]);
    uuid_hex(env->io, id);
    bytes_init(&to, env->heap);
    /* Names have 255 bytes at most: a long topic's is cut, as Kafka does. */
    bytes_printf(&to, "%s/%.*s.%s-delete", log->dir->path, 255 - 40, log->name, id);
    from = log_path(log);
    err = path_move(env->io, from, (char *)to.p);
    if (!err)
        err = dir_sync(env->io, log->dir->path);
    heap_free(env->heap, from);
    if (err) {
        bytes_drop(&to);
        err = log_failed(log, err, "deleting a log");
    } else {
        TRACE(env->io, log_deleted, log->name, (char *)to.p);
        log_remove_later(env, (char *)to.p, log_removal_ms(log, now_ms));
    }
    log_abandon(log);
    return err;
}
