/* Appending: batches are taken in groups that fit the active segment, their heads patched in a copy on the
 * stack, and written with one call from where they lie. */
#include "base/check.h"
#include "log/log_internal.h"
#include "log/snapshot_files.h"
#include "proto/bigend.h"

enum { GROUP_MAX = 32 };

struct group {
    int n;
    size_t len;
    int64_t next; /* offset behind the last batch */
    struct batch_view views[GROUP_MAX];
    struct segment_batch notes[GROUP_MAX];
    struct slice slices[2 * GROUP_MAX];
    uint8_t heads[GROUP_MAX][BATCH_HEAD];
};

/* The marker's key says commit or abort, its value which epoch the coordinator had: version 2 bytes, epoch 4.
 */
static void marker_epoch(const struct batch_view *v, struct producer_batch *b)
{
    struct record_iter it;
    struct record r;

    record_iter_open(&it, NULL, NULL, v, v->len); /* in place: nothing is allocated, nothing to close */
    if (!record_next(&it, &r) && r.value.len >= 6)
        b->coordinator_epoch = (int32_t)get_be32(r.value.p + 2);
}

void producer_batch_of(const struct batch_view *v, struct producer_batch *b)
{
    *b = (struct producer_batch){
        .producer_id = v->producer_id,
        .base_offset = v->base_offset,
        .last_offset = v->last_offset,
        .max_timestamp = v->max_timestamp,
        .base_sequence = v->base_sequence,
        .epoch = v->producer_epoch,
        .transactional = v->attributes & BATCH_TRANSACTIONAL,
        .control = v->attributes & BATCH_CONTROL,
    };
    if (b->control && batch_codec(v) == CODEC_NONE)
        marker_epoch(v, b);
}

/* ---- roll ---- */

/* The active segment isn't compacted, so on a compacted topic it may not stay active for longer than a record may stay
 * uncompacted. A jitter as long as that is none, else each append would roll. */
static int64_t active_ms_max(const struct log *log)
{
    const struct log_config *c = log->config;
    int64_t ms =
        c->cleanup_compact && c->max_compaction_lag_ms > 0 && c->max_compaction_lag_ms < c->segment_ms
            ? c->max_compaction_lag_ms
            : c->segment_ms;

    return log->jitter_ms < ms ? ms - log->jitter_ms : ms;
}

static bool roll_by_time(const struct log *log, const struct segment *s, int64_t timestamp, int64_t now_ms)
{
    int64_t waited =
        s->first_timestamp >= 0 && timestamp >= 0 ? timestamp - s->first_timestamp : now_ms - log->active_ms;

    return s->size > 0 && waited > active_ms_max(log);
}

static bool indexes_full(const struct log *log, const struct segment *s)
{
    uint32_t bytes = (uint32_t)log->config->segment_index_bytes;

    return s->index_n != INDEX_UNKNOWN &&
           (s->index_n >= bytes / INDEX_ROW || s->time_n + 1 >= bytes / TIME_ROW) && s->size > 0;
}

static enum err roll_if_due(struct log *log, const struct batch_view *v, int64_t last_offset, int64_t now_ms)
{
    struct segment *s = log_active(log);
    enum err err;

    if (!s)
        return log_roll(log, log->end, now_ms);
    err = segment_times(s);
    if (err)
        return log_failed(log, err, "reading timestamps");
    if ((s->size > 0 && s->size + (int64_t)v->len > log->config->segment_bytes) ||
        last_offset - s->base > INT32_MAX || indexes_full(log, s) ||
        roll_by_time(log, s, v->max_timestamp, now_ms))
        return log_roll(log, log->end, now_ms);
    return E_OK;
}

enum err log_roll(struct log *log, int64_t base, int64_t now_ms)
{
    struct segment *old = log_active(log);
    enum err err = E_OK;
    char *path;

    if (old && old->size == 0 && old->base == base)
        return E_OK;
    if (!log->made)
        err = log_make(log);
    if (!err && old)
        err = segment_finish(old);
    if (!err && old) {
        path = log_path(log);
        err = snapshot_write(&log->producers, log->env->io, path, false);
        heap_free(log->env->heap, path);
    }
    if (err)
        return log_failed(log, err, "rolling a segment");
    if (old)
        segment_files_close(old);
    log_segment_push(log, segment_new(log, base, ""));
    log->names_loose = true;
    log->active_ms = now_ms;
    if (log->config->segment_jitter_ms > 0) {
        uint64_t random;

        io_random(log->env->io, &random, sizeof random);
        log->jitter_ms = (int32_t)(random % (uint64_t)log->config->segment_jitter_ms);
    }
    log->env->counters.rolls++;
    if (old)
        TRACE(log->env->io, log_rolled, log->name, (long long)base);
    return E_OK;
}

/* ---- groups ---- */

static enum err group_view(struct log *log, const struct log_append *a, struct slice *rest, int64_t next,
                           struct batch_view *v)
{
    enum err err = batch_next(rest, v);

    if (err == E_EOF)
        return err;
    if (a->origin != LOG_FROM_LEADER) {
        ASSERT(!err); /* batch_check() or our own coordinator made it */
        v->base_offset = next;
        v->last_offset = next + v->last_offset_delta;
        v->leader_epoch = a->leader_epoch;
        return E_OK;
    }
    if (err || !batch_crc_ok(v))
        return E_CORRUPT_MESSAGE;
    return v->base_offset < next ? E_OFFSET_OUT_OF_RANGE : E_OK;
}

static void group_add(struct group *g, const struct batch_view *v)
{
    uint8_t *head = g->heads[g->n];

    memcpy(head, v->p, BATCH_HEAD);
    put_be64(head, (uint64_t)v->base_offset);
    put_be32(head + 12, (uint32_t)v->leader_epoch);
    g->slices[2 * g->n] = slice_of(head, BATCH_HEAD);
    g->slices[2 * g->n + 1] = slice_of(v->p + BATCH_HEAD, v->len - BATCH_HEAD);
    g->views[g->n] = *v;
    g->notes[g->n] = (struct segment_batch){v->last_offset, v->max_timestamp, v->len};
    g->n++;
    g->len += v->len;
    g->next = v->last_offset + 1;
}

/* As many as fit the active segment, which is rolled first if the first of them asks for it. `rest` moves
 * past those taken. An error behind some good ones comes back with the next group. */
static enum err group_take(struct log *log, const struct log_append *a, struct slice *rest, struct group *g)
{
    struct batch_view v;
    enum err err = E_OK;

    g->n = 0;
    g->len = 0;
    g->next = log->end;
    while (g->n < GROUP_MAX) {
        struct slice ahead = *rest;
        struct segment *s = log_active(log);

        err = group_view(log, a, &ahead, g->next, &v);
        if (err)
            break;
        if (g->n > 0 && (s->size + (int64_t)(g->len + v.len) > log->config->segment_bytes ||
                         v.last_offset - s->base > INT32_MAX || v.leader_epoch != g->views[0].leader_epoch))
            break;
        if (g->n == 0) {
            err = roll_if_due(log, &v, v.last_offset, a->now_ms);
            if (err)
                return err;
        }
        group_add(g, &v);
        *rest = ahead;
    }
    return g->n > 0 ? E_OK : err;
}

static enum err group_write(struct log *log, struct group *g)
{
    enum err err;

    if (g->views[0].leader_epoch >= 0 &&
        epochs_assign(&log->epochs, g->views[0].leader_epoch, g->views[0].base_offset)) {
        err = log_epochs_keep(log);
        if (err) {
            (void)epochs_cut_end(&log->epochs, log->end);
            return log_failed(log, err, "saving a leader epoch");
        }
    }
    err = segment_append(log_active(log), g->slices, 2 * g->n, g->notes, g->n);
    if (err) {
        (void)epochs_cut_end(&log->epochs, log->end);
        return err;
    }
    for (int i = 0; i < g->n; i++) {
        struct producer_batch b;

        if (g->views[i].producer_id < 0)
            continue;
        producer_batch_of(&g->views[i], &b);
        producers_apply(&log->producers, &b);
    }
    producers_reach(&log->producers, g->next);
    return E_OK;
}

/* ---- the door ---- */

/* What may be refused before anything is touched. *past is where a duplicate lies. */
static enum err append_admit(struct log *log, const struct log_append *a, struct producer_past *past)
{
    struct slice rest = a->bytes;
    struct batch_view v;
    enum err err = E_OK;

    if (log->dir->offline)
        return E_KAFKA_STORAGE_ERROR;
    if (log_still_full(log, a->now_ms))
        return E_FULL;
    err = log_room(log, a->bytes.len, a->now_ms);
    if (err)
        return err;
    if (a->origin == LOG_FROM_LEADER)
        return E_OK;
    if (a->bytes.len > (size_t)log->config->segment_bytes)
        return E_RECORD_LIST_TOO_LARGE;
    for (int n = 0; !err && rest.len > 0; n++) {
        struct producer_batch b;

        if (n == GROUP_MAX)
            return E_RECORD_LIST_TOO_LARGE;
        if (batch_next(&rest, &v))
            return E_CORRUPT_MESSAGE;
        if (v.producer_id < 0)
            continue;
        producer_batch_of(&v, &b);
        err = producers_check(&log->producers, &b,
                              a->origin == LOG_FROM_CLIENT ? FROM_CLIENT : FROM_COORDINATOR, past);
    }
    return err;
}

static void append_counted(struct log *log, struct log_append *a, const struct group *g)
{
    if (!log_unsynced(log))
        log->unsynced_ms = a->now_ms;
    log->end = g->next;
    log->env->counters.bytes_in += g->len;
    a->last_offset = g->next - 1;
    for (int i = 0; i < g->n; i++)
        if (g->views[i].max_timestamp > a->max_timestamp)
            a->max_timestamp = g->views[i].max_timestamp;
    if (log->dir->full) {
        log->dir->full = false;
        TRACE(log->env->io, log_dir_room, log->dir->path);
    }
}

enum err log_append(struct log *log, struct log_append *a)
{
    struct slice rest = a->bytes;
    struct producer_past past;
    struct group g;
    enum err err;

    log->env->now_ms = a->now_ms;
    a->base_offset = -1;
    a->last_offset = -1;
    a->max_timestamp = -1;
    a->duplicate = false;
    a->flush_due = false;
    err = append_admit(log, a, &past);
    if (err == E_DUPLICATE_SEQUENCE_NUMBER && a->origin == LOG_FROM_CLIENT) {
        a->duplicate = true;
        a->base_offset = past.last_offset - past.offset_delta;
        a->last_offset = past.last_offset;
        a->max_timestamp = past.timestamp;
        a->flush_due = log->config->durable && past.last_offset >= log->synced;
        return E_OK;
    }
    while (!err) {
        err = group_take(log, a, &rest, &g);
        if (!err)
            err = group_write(log, &g);
        if (err)
            break;
        if (a->base_offset < 0)
            a->base_offset = g.views[0].base_offset;
        append_counted(log, a, &g);
    }
    if (err == E_EOF)
        err = a->base_offset < 0 ? E_CORRUPT_MESSAGE : E_OK;
    log->env->counters.appends++;
    a->flush_due =
        log_unsynced(log) && (log->config->durable || log->end - log->synced >= log->config->flush_messages);
    log_check(log);
    return err;
}
