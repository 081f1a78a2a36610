/* Group commit: the unsynced files of many logs go to the disk with one call.
 *
 * `synced` follows the records; `recovered`, what the checkpoint says, waits until the indexes are on disk
 * too, so that after a power cut every index row below it can be believed and those behind it are made again.
 */
#include "base/check.h"
#include "log/log_internal.h"
#include "log/whole_file.h"

enum { SYNC_FILES_MAX = 256 };

/* The files of a flush, and whose they are. */
struct sync_batch {
    enum log_sync_how how;
    int n;
    struct file *files[SYNC_FILES_MAX];
    struct log *owners[SYNC_FILES_MAX];
};

static uint8_t sync_mask(enum log_sync_how how)
{
    return how == LOG_SYNC_ALL ? 1 << SEGMENT_LOG | 1 << SEGMENT_INDEX | 1 << SEGMENT_TIME : 1 << SEGMENT_LOG;
}

/* The row of the largest time, which a stop writes behind records that are on disk already, counts too: the next life of the
 * log believes it and doesn't write it again. */
static bool sync_needed(const struct log *log, enum log_sync_how how)
{
    const struct segment *s = log_active(log);

    if (how == LOG_SYNC_ALL && s && s->unsynced)
        return true;
    return log->synced < log->end || log->names_loose || log->id_loose || log->epochs_loose ||
           (how == LOG_SYNC_ALL && log->recovered < log->end);
}

static void sync_blame(struct log *log, enum err err)
{
    if (!log->sync_err)
        log->sync_err = err;
}

/* Where the whole fails, each file says on its own whether it did: on the descriptor that met the failure, because one
 * opened anew would call itself well. */
static void sync_files(struct sync_batch *b)
{
    enum err err = b->n > 0 ? file_sync(b->files, b->n) : E_OK;

    for (int i = 0; i < b->n; i++) {
        if (err)
            sync_blame(b->owners[i], file_sync(&b->files[i], 1));
        file_unref(b->files[i]);
    }
    b->n = 0;
}

/* Takes over the file. */
static void sync_add(struct sync_batch *b, struct log *log, struct file *file)
{
    b->files[b->n] = file;
    b->owners[b->n++] = log;
    if (b->n == SYNC_FILES_MAX)
        sync_files(b);
}

static enum err segment_gather(struct segment *s, struct sync_batch *b)
{
    enum err err = b->how == LOG_SYNC_ALL ? segment_tail_write(s) : E_OK;
    uint8_t mask = sync_mask(b->how);

    for (int kind = 0; kind < SEGMENT_FILES && !err; kind++) {
        struct file *file;

        if (!(s->unsynced & mask & 1 << kind))
            continue;
        err = segment_file(s, (enum segment_file)kind, &file);
        if (!err)
            sync_add(b, s->log, file_ref(file));
    }
    return err;
}

static enum err small_gather(struct log *log, const char *name, struct sync_batch *b)
{
    struct heap *h = log->env->heap;
    char *dir = log_path(log), *path = path_join(h, dir, name);
    struct file *file;
    enum err err = file_open(log->env->io, path, FILE_WRITE, &file);

    if (!err)
        sync_add(b, log, file);
    heap_free(h, path);
    heap_free(h, dir);
    return err == E_NOENT ? E_OK : err;
}

static void log_gather(struct log *log, struct sync_batch *b)
{
    enum err err = E_OK;

    for (uint32_t i = log->segments_n; i-- > 0 && !err;) {
        err = segment_gather(log->segments[i], b);
        if (log->segments[i]->base <= log->recovered)
            break;
    }
    if (!err && log->id_loose)
        err = small_gather(log, METADATA_FILE, b);
    if (!err && log->epochs_loose)
        err = small_gather(log, EPOCHS_FILE, b);
    sync_blame(log, err);
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
    log->id_loose = log->epochs_loose = false;
    log->synced = log->end;
    if (how == LOG_SYNC_ALL)
        log->recovered = log->end;
}

/* Its files have been synced, or not. */
static enum err sync_end(struct log *log, enum log_sync_how how)
{
    enum err err = log->sync_err;

    if (err)
        return log_failed(log, err, "syncing");
    err = names_sync(log);
    if (err)
        return log_failed(log, err, "syncing names");
    log_settle(log, how);
    return E_OK;
}

enum err log_sync(struct log *const *v, int n, enum log_sync_how how)
{
    struct sync_batch b = {.how = how};
    enum err first = E_OK;

    for (int i = 0; i < n; i++) {
        v[i]->sync_err = E_OK;
        if (!v[i]->dir->offline && sync_needed(v[i], how))
            log_gather(v[i], &b);
    }
    sync_files(&b);
    for (int i = 0; i < n; i++) {
        enum err one = E_OK;

        if (v[i]->dir->offline)
            one = E_KAFKA_STORAGE_ERROR;
        else if (!sync_needed(v[i], how))
            continue;
        else
            one = sync_end(v[i], how);
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
