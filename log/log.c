/* One partition's log: open, close, facts. append.c, sync.c, read.c, cut.c and recover.c do the rest.
 *
 * What holds after every call, but on a directory that failed (log_check):
 *  1. start <= end.
 *  2. recovered <= synced <= end.
 *  3. Segments rise strictly in base; the first holds or precedes `start`; only the last one grows.
 *  4. The active segment's base <= end, and end is behind its last batch.
 *  5. Offsets in a segment fit its index: end - base of the active one <= 2^31.
 *  6. Producers cover the log to its end.
 *  7. No epoch starts at or behind the end.
 *  8. A log without segments has no bytes, and its directory need not exist. */
#include "log/log.h"
#include "base/check.h"
#include "log/log_internal.h"
#include "log/snapshot_files.h"
#include "log/whole_file.h"

void log_config_init(struct log_config *c)
{
    *c = (struct log_config){
        .segment_bytes = 1073741824,
        .segment_index_bytes = 10485760,
        .index_interval_bytes = 4096,
        .max_message_bytes = 1048588,
        .segment_ms = 604800000,
        .retention_ms = 604800000,
        .retention_bytes = -1,
        .file_delete_delay_ms = 60000,
        .flush_messages = INT64_MAX,
        .flush_ms = INT64_MAX,
        .delete_retention_ms = 86400000,
        .max_compaction_lag_ms = INT64_MAX,
        .timestamp_before_max_ms = INT64_MAX,
        .timestamp_after_max_ms = 3600000,
        .min_cleanable_dirty_ratio = 0.5,
        .codec_level = INT32_MIN,
        .cleanup_delete = true,
    };
}

void log_check(const struct log *log)
{
    const struct segment *s = log_active(log);

    if (log->dir->offline) /* it answers errors alone, and may have stopped halfway */
        return;
    ASSERT(log->start <= log->end);
    ASSERT(log->recovered <= log->synced && log->synced <= log->end);
    ASSERT(log->producers.end == log->end);
    ASSERT(log->epochs.n == 0 || log->epochs.rows[log->epochs.n - 1].start < log->end ||
           log->end == log->start);
    if (!s)
        return;
    ASSERT(log->segments[0]->base <= log->start || log->segments_n == 1);
    ASSERT(s->base <= log->end && log->end - s->base <= (int64_t)INT32_MAX + 1);
    ASSERT(s->last_end <= log->end && (s->size > 0 || s->last_end == s->base));
    ASSERT(log->segments_n < 2 || log->segments[log->segments_n - 2]->base < s->base);
}

/* ---- paths and segments ---- */

char *log_path(const struct log *log)
{
    return path_join(log->env->heap, log->dir->path, log->name);
}

void log_segments_splice(struct log *log, uint32_t first, uint32_t n, struct segment *const *fresh,
                         uint32_t fresh_n)
{
    uint32_t count = log->segments_n - n + fresh_n;

    ASSERT(first + n <= log->segments_n);
    if (count > log->segments_room) {
        log->segments_room = count < 4 ? count : count + count / 2;
        log->segments =
            heap_resize(log->env->heap, log->segments, log->segments_room * sizeof(struct segment *));
    }
    if (log->segments_n > first + n)
        memmove(log->segments + first + fresh_n, log->segments + first + n,
                (log->segments_n - first - n) * sizeof(struct segment *));
    if (fresh_n > 0)
        memcpy(log->segments + first, fresh, fresh_n * sizeof(struct segment *));
    log->segments_n = count;
}

void log_segment_push(struct log *log, struct segment *s)
{
    log_segments_splice(log, log->segments_n, 0, &s, 1);
}

/* How many begin at or before the offset. */
static uint32_t segments_to(const struct log *log, int64_t offset)
{
    uint32_t low = 0, high = log->segments_n;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (log->segments[mid]->base <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct segment *log_segment_at(const struct log *log, int64_t offset)
{
    uint32_t n = segments_to(log, offset);

    return n > 0 ? log->segments[n - 1] : NULL;
}

uint32_t log_segment_number(const struct log *log, const struct segment *s)
{
    uint32_t n = segments_to(log, s->base);

    ASSERT(n > 0 && log->segments[n - 1] == s);
    return n - 1;
}

int64_t log_segment_end(const struct log *log, uint32_t i)
{
    return i + 1 < log->segments_n ? log->segments[i + 1]->base : log->end;
}

/* ---- open and close ---- */

/* On disk with the first sync of the log: before that, nothing in the directory was promised. */
static enum err metadata_write(struct log *log, const char *path)
{
    char *name = path_join(log->env->heap, path, METADATA_FILE);
    char id[UUID_TEXT_LEN + 1];
    struct bytes text;
    enum err err;

    bytes_init(&text, log->env->heap);
    uuid_text(log->topic_id, id);
    bytes_printf(&text, "version: 0\ntopic_id: %s", id);
    err = whole_file_write(log->env->io, name, bytes_slice(&text), false);
    log->id_loose = true;
    bytes_drop(&text);
    heap_free(log->env->heap, name);
    return err;
}

enum err log_make(struct log *log)
{
    char *path = log_path(log);
    enum err err = dir_make(log->env->io, path);

    if (err == E_EXISTS)
        err = E_OK;
    if (!err && !uuid_is_zero(log->topic_id))
        err = metadata_write(log, path);
    heap_free(log->env->heap, path);
    log->made = !err;
    log->names_loose = true;
    log->parent_loose = true;
    return err;
}

/* E_MALFORMED: it names another topic. One that isn't whole (a power cut) or isn't there is written anew. */
static enum err metadata_agree(struct log *log)
{
    struct uuid found;
    char *path;
    enum err err = log_dir_topic_id(log->env->io, log->dir->path, log->name, &found);

    if (!err)
        return uuid_is_zero(log->topic_id) || uuid_eq(found, log->topic_id) ? E_OK : E_MALFORMED;
    if ((err != E_NOENT && err != E_MALFORMED) || uuid_is_zero(log->topic_id))
        return err == E_NOENT || err == E_MALFORMED ? E_OK : err;
    path = log_path(log);
    err = metadata_write(log, path);
    heap_free(log->env->heap, path);
    log->names_loose = true;
    return err;
}

/* With one segment a file that a power cut tore is soon made again from the batches' headers, so it waits for the log's
 * next sync. With more that would take long, and an epoch is seldom new. */
enum err log_epochs_keep(struct log *log)
{
    bool now = log->segments_n > 1;
    char *path = log_path(log);
    enum err err = epochs_save(&log->epochs, log->env->io, path, now);

    if (!now)
        log->epochs_loose = log->names_loose = true;
    heap_free(log->env->heap, path);
    return err;
}

void log_abandon(struct log *log)
{
    struct heap *h = log->env->heap;

    for (uint32_t i = 0; i < log->segments_n; i++)
        segment_free(log->segments[i]);
    epochs_drop(&log->epochs);
    producers_drop(&log->producers);
    list_remove(&log->link);
    heap_free(h, log->segments);
    heap_free(h, log->name);
    heap_free(h, log);
}

enum err log_open(struct log_env *env, struct log_dir *dir, const char *name, const struct uuid *topic_id,
                  const struct log_config *config, const struct log_start *from, struct log **out)
{
    struct log *log;
    enum err err;

    *out = NULL;
    if (dir->offline)
        return E_KAFKA_STORAGE_ERROR;
    log = heap_alloc(env->heap, sizeof *log);
    log->env = env;
    log->dir = dir;
    log->name = heap_str(env->heap, SLICE(name));
    log->config = config;
    log->topic_id = *topic_id;
    log->checkpointed = from->recovery_point;
    log->promised = from->promised;
    log->scan_end = from->doubted ? from->synced : INT64_MAX;
    list_add(&env->logs, &log->link);
    epochs_init(&log->epochs, env->heap);
    producers_init(&log->producers, env->heap, env->seed);
    log->active_ms = io_wall_ms(env->io);
    err = log_recover(log, from, metadata_agree);
    if (err) {
        if (err != E_MALFORMED && !(from->promised && err == E_CORRUPT_MESSAGE))
            err = log_failed(log, err, "opening a log");
        log_abandon(log);
        return err;
    }
    log_check(log);
    *out = log;
    return E_OK;
}

enum err log_close(struct log *log)
{
    struct segment *s = log_active(log);
    enum err err = E_OK;
    char *path;

    if (!log->dir->offline && s) {
        if (!s->finished)
            err = segment_finish(s);
        path = log_path(log);
        if (!err && (log->producers.n > 0 || log->producers.snapshot > 0))
            err = snapshot_write(&log->producers, log->env->io, path, true);
        heap_free(log->env->heap, path);
        if (err)
            err = log_failed(log, err, "closing a log");
        else
            err = log_sync(&log, 1, LOG_SYNC_ALL);
    }
    log_abandon(log);
    return err;
}

enum err log_rest(struct log *log)
{
    for (uint32_t i = 0; i < log->segments_n; i++)
        if (!(log->config->durable && log->segments[i]->unsynced))
            segment_rest(log->segments[i]);
    return log->dir->offline ? E_KAFKA_STORAGE_ERROR : E_OK;
}

void log_configure(struct log *log, const struct log_config *config)
{
    log->config = config;
}

/* ---- facts ---- */

int64_t log_start(const struct log *log)
{
    return log->start;
}

int64_t log_end(const struct log *log)
{
    return log->end;
}

int64_t log_synced(const struct log *log)
{
    return log->synced;
}

int64_t log_recovery_point(const struct log *log)
{
    return log->recovered;
}

bool log_checkpoint_first(const struct log *log)
{
    return log->checkpointed > log->recovered;
}

void log_checkpointed(struct log *log, int64_t recovery_point)
{
    ASSERT(recovery_point <= log->recovered);
    log->checkpointed = recovery_point;
}

int64_t log_size(const struct log *log)
{
    int64_t size = 0;

    for (uint32_t i = 0; i < log->segments_n; i++)
        size += log->segments[i]->size;
    return size;
}

int64_t log_stable_limit(const struct log *log)
{
    int64_t first = log->end;

    for (uint32_t i = 0; i < log->producers.n; i++)
        if (log->producers.rows[i].txn_first >= 0 && log->producers.rows[i].txn_first < first)
            first = log->producers.rows[i].txn_first;
    return first;
}

const char *log_name(const struct log *log)
{
    return log->name;
}

struct log_dir *log_directory(const struct log *log)
{
    return log->dir;
}

const struct log_config *log_settings(const struct log *log)
{
    return log->config;
}

const struct epochs *log_epochs(const struct log *log)
{
    return &log->epochs;
}

const struct producers *log_producers(const struct log *log)
{
    return &log->producers;
}

struct epoch_end log_epoch_end(const struct log *log, int32_t epoch)
{
    return epochs_end_of(&log->epochs, epoch, log->end);
}

void log_producers_expire(struct log *log, int64_t now_ms)
{
    (void)producers_expire(&log->producers, now_ms, log->env->config.producer_expiration_ms);
}
