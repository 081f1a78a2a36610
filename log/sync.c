/* Group commit: the unsynced files of many logs go to the disk with one call.
 *
 * `synced` follows the records; `recovered`, what the checkpoint says, waits until the indexes are on disk
 * too, so that after a power cut every index row below it can be believed and those behind it are made again.
 */
#include "base/check.h"
#include "log/log_internal.h"

enum { SYNC_FILES_MAX = 256 };

/* What one log adds to a flush. */
struct sync_batch {
    enum log_sync_how how;
    int n;
    struct file *files[SYNC_FILES_MAX];
};

static uint8_t sync_mask(enum log_sync_how how)
{
    return how == LOG_SYNC_ALL ? 1 << SEGMENT_LOG | 1 << SEGMENT_INDEX | 1 << SEGMENT_TIME : 1 << SEGMENT_LOG;
}

static bool sync_needed(const struct log *log, enum log_sync_how how)
{
    return log->synced < log->end || log->names_loose || (how == LOG_SYNC_ALL && log->recovered < log->end);
}

static enum err sync_files(struct sync_batch *b)
{
    enum err err = b->n > 0 ? file_sync(b->files, b->n) : E_OK;

    for (int i = 0; i < b->n; i++)
        file_unref(b->files[i]);
    b->n = 0;
    return err;
}

static enum err segment_gather(struct segment *s, struct sync_batch *b)
{
    enum err err = b->how == LOG_SYNC_ALL ? segment_tail_write(s) : E_OK;
    uint8_t mask = sync_mask(b->how);

    for (int kind = 0; kind < SEGMENT_FILES && !err; kind++) {
        struct file *file;

        if (!(s->unsynced & mask & 1 << kind))
            continue;
        if (b->n == SYNC_FILES_MAX)
            err = sync_files(b);
        if (!err)
            err = segment_file(s, (enum segment_file)kind, &file);
        if (!err)
            b->files[b->n++] = file_ref(file);
    }
    return err;
}

static enum err log_gather(struct log *log, struct sync_batch *b)
{
    for (uint32_t i = log->segments_n; i-- > 0;) {
        enum err err = segment_gather(log->segments[i], b);

        if (err)
            return err;
        if (log->segments[i]->base <= log->recovered)
            break;
    }
    return E_OK;
}

static enum err names_sync(struct log *log)
{
    char *path;
    enum err err = E_OK;

    if (log->names_loose) {
        path = log_path(log);
        err = dir_sync(log->env->io, path);
        heap_free(log->env->heap, path);
        log->names_loose = err;
    }
    if (!err && log->parent_loose) {
        err = dir_sync(log->env->io, log->dir->path);
        log->parent_loose = err;
    }
    return err;
}

static void log_settle(struct log *log, enum log_sync_how how)
{
    for (uint32_t i = log->segments_n; i-- > 0;) {
        log->segments[i]->unsynced &= (uint8_t)~sync_mask(how);
        if (log->segments[i]->base <= log->recovered)
            break;
    }
    log->synced = log->end;
    if (how == LOG_SYNC_ALL)
        log->recovered = log->end;
}

/* Which of them failed, if one did: alone each says so, because a failed sync sticks. */
static enum err sync_alone(struct log *log, enum log_sync_how how)
{
    struct sync_batch b = {.how = how};
    enum err err = log_gather(log, &b);
    enum err synced = sync_files(&b);

    if (!err)
        err = synced;
    if (!err)
        err = names_sync(log);
    if (err)
        return log_failed(log, err, "syncing");
    log_settle(log, how);
    return E_OK;
}

enum err log_sync(struct log *const *v, int n, enum log_sync_how how)
{
    struct sync_batch b = {.how = how};
    enum err err = E_OK, first = E_OK;

    for (int i = 0; i < n && !err; i++)
        if (!v[i]->dir->offline && sync_needed(v[i], how))
            err = log_gather(v[i], &b);
    if (!err)
        err = sync_files(&b);
    else
        (void)!sync_files(&b); /* the first error is looked into below */
    for (int i = 0; i < n; i++) {
        enum err one = E_OK;

        if (v[i]->dir->offline)
            one = E_KAFKA_STORAGE_ERROR;
        else if (!sync_needed(v[i], how))
            continue;
        else if (err)
            one = sync_alone(v[i], how);
        else {
            one = names_sync(v[i]);
            if (one)
                one = log_failed(v[i], one, "syncing names");
            else
                log_settle(v[i], how);
        }
        if (!first)
            first = one;
        v[i]->env->counters.syncs++;
        log_check(v[i]);
    }
    return first;
}

void log_flush(struct log *log)
{
    struct segment *s = log_active(log);

    if (s && s->unsynced & 1 << SEGMENT_LOG && s->files[SEGMENT_LOG])
        file_flush(s->files[SEGMENT_LOG]->file, 0, (size_t)s->size);
}

int64_t log_sync_due(const struct log *log)
{
    int64_t due;

    if (!log_unsynced(log) || log->config->flush_ms == INT64_MAX ||
        __builtin_add_overflow(log->unsynced_ms, log->config->flush_ms, &due))
        return INT64_MAX;
    return due;
}
