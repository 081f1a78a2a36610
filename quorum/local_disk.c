/* Opening: the newest good checkpoint, then every batch of the log behind it; with one voter all that the log
 * holds has committed. The log is scanned from that checkpoint's offset on, whatever ended the last process:
 * below it the log and its indexes were synced before the checkpoint got its name.
 *
 *  1. The configuration is on disk before quorum-state is: a state without a log means that the log was lost.
 *  2. quorum-state names an epoch before the first batch of it is written.
 *  3. What was recovered is synced before it is told. Only what a crash tore is cut (log/torn.h): a batch that rotted was
 *     counted on by others, so it stops the start, with file and position.
 *  4. The log below the older one of the two checkpoints that are kept may go: one of them may be damaged. */
#include "quorum/local_disk.h"
#include "base/check.h"
#include "base/trace.h"
#include "log/dir.h"
#include "log/reserve.h"
#include "log/whole_file.h"
#include "metadata/image_check.h"
#include "quorum/log_walk.h"
#include "quorum/quorum_state.h"
#include <stdio.h>

#define LOG_NAME "__cluster_metadata-0"
enum { FILES_MAX = 8, INDEX_PAGES_MAX = 8, CKPT_KEPT = 2, FIRST_EPOCH = 1 };

enum err local_disk_failed(struct local_disk *d, enum err err, const char *what)
{
    if (!err || d->err)
        return d->err;
    d->err = d->why = err;
    d->what = what;
    if (err == E_KAFKA_STORAGE_ERROR && d->env) {
        const struct log_dir *dir = log_env_dir(d->env, d->settings->dir);

        if (dir->offline)
            d->why = dir->why;
    }
    return d->err;
}

static bool opened_before(const struct local_disk *d)
{
    return d->settings->mark && d->settings->mark->known;
}

void local_disk_init(struct local_disk *d, struct io *io, const struct quorum_settings *settings)
{
    struct log_env_config env = {.io = io,
                                 .silent = true,
                                 .files_max = FILES_MAX,
                                 .index_pages_max = INDEX_PAGES_MAX,
                                 .producer_expiration_ms = INT64_MAX};

    *d = (struct local_disk){.io = io, .settings = settings, .snapshot = -1};
    if (opened_before(d))
        d->synced = settings->mark->end;
    d->path = path_join(io_heap(io), settings->dir, LOG_NAME);
    d->codecs = codec_cache_new(io_heap(io));
    env.codecs = d->codecs;
    d->env = log_env_new(&env);
    grave_init(&d->grave, io_heap(io));
    log_config_init(&d->config);
    d->config.segment_bytes =
        settings->segment_bytes < INT32_MAX ? (int32_t)settings->segment_bytes : INT32_MAX;
    d->config.segment_ms = settings->segment_ms;
    d->config.retention_bytes = settings->retention_bytes;
    d->config.retention_ms = settings->retention_ms;
    d->config.file_delete_delay_ms = 0; /* nobody else reads these files */
    d->config.durable = true;
}

/* ---- what is there ---- */

static enum err make_directory(struct local_disk *d)
{
    enum err err = dir_make(d->io, d->path);

    if (err == E_EXISTS)
        err = E_OK;
    return err ? err : dir_sync(d->io, d->settings->dir);
}

static bool damaged(enum err err)
{
    return err == E_CORRUPT_MESSAGE || err == E_TRUNCATED || err == E_MALFORMED ||
           err == E_UNSUPPORTED_FOR_MESSAGE_FORMAT;
}

/* A name that nothing reads: it must not count as one of those that are kept. */
static enum err set_aside(struct local_disk *d, const char *name)
{
    struct heap *h = io_heap(d->io);
    char *from = path_join(h, d->path, name);
    size_t len = strlen(from) + sizeof(".damaged");
    char *to = heap_alloc(h, len);
    enum err err;

    (void)snprintf(to, len, "%s.damaged", from);
    err = path_move(d->io, from, to);
    heap_free(h, to);
    heap_free(h, from);
    return err;
}

/* The newest good one; *image stays NULL if there is none. */
static enum err load_checkpoint(struct local_disk *d, struct image **image)
{
    char name[CKPT_NAME_LEN + 1];
    struct ckpt_list list;
    enum err err = ckpt_list_read(d->io, d->path, &list);

    *image = NULL;
    for (int i = 0; i < list.n && !err; i++) {
        err = ckpt_load(d->io, d->path, list.v[i], &d->grave, image, &d->voters);
        if (!err) {
            d->snapshot = list.v[i].offset;
            d->snapshot_epoch = list.v[i].epoch;
            return E_OK;
        }
        *image = NULL;
        d->voters.n = 0;
        if (!damaged(err))
            return err;
        ckpt_name(list.v[i], name);
        TRACE(d->io, quorum_checkpoint_bad, name, err_text(err));
        err = set_aside(d, name);
    }
    return err;
}

/* A checkpoint came from the leader and the process ended before the log began anew behind it: what the log says up to
 * there is another history, so its last entry is not of the checkpoint's epoch. */
static bool stale(const struct local_disk *d)
{
    struct epoch_end e;

    if (d->snapshot < 0 || log_start(d->log) >= d->snapshot)
        return false;
    e = log_epoch_end(d->log, d->snapshot_epoch);
    return e.epoch != d->snapshot_epoch || e.end < d->snapshot;
}

static enum err open_log(struct local_disk *d)
{
    static const struct uuid topic_id = {.b[15] = 1}; /* Kafka's for the metadata topic */
    struct log_start from = {
        .recovery_point = d->snapshot < 0 ? 0 : d->snapshot,
        .start = -1,
        .promised = true,
        .doubted = opened_before(d),
        .synced = d->synced,
    };
    enum err err = log_open(d->env, log_env_dir(d->env, d->settings->dir), LOG_NAME, &topic_id, &d->config,
                            &from, &d->log);

    if (!err && (log_end(d->log) < from.recovery_point || stale(d)))
        err = log_restart_at(d->log, from.recovery_point, io_wall_ms(d->io));
    if (!err && log_start(d->log) > from.recovery_point)
        err = E_OFFSET_OUT_OF_RANGE;
    if (!err)
        err = log_sync(&d->log, 1, LOG_SYNC_DATA); /* a snapshot syncs the indexes below it */
    if (!err && log_end(d->log) < d->synced)
        return local_disk_failed(d, E_KAFKA_STORAGE_ERROR,
                                 "looking for the end of the metadata log, which was synced");
    if (err)
        return err;
    d->synced = log_end(d->log);
    d->known = true;
    return E_OK;
}

/* What an earlier process wrote and never synced, the kernel may have given up in there: the next look would find it, and not
 * on disk. What finds no room is written nowhere. */
static enum err open_failed(struct local_disk *d, enum err err)
{
    err = local_disk_failed(d, err, "opening the metadata log");
    d->unsure = err && !opened_before(d) && d->why != E_FULL;
    return err;
}

/* ---- our own batches ---- */

enum { BATCH_CONFIGURATION, BATCH_BARRIER };

static enum err append_own(struct local_disk *d, int what, int32_t epoch, int64_t now_ms)
{
    struct batch_place at = {.base_offset = log_end(d->log), .epoch = epoch, .now_ms = now_ms};
    struct bytes out;
    struct arena a;
    enum err err;

    bytes_init(&out, io_heap(d->io));
    arena_init(&a, io_heap(d->io), SIZE_MAX);
    if (what == BATCH_CONFIGURATION)
        voters_batch(&at, &d->voters, &a, &out);
    else
        barrier_batch(&at, d->server_id, &d->voters, &a, &out);
    err = local_disk_append(d, bytes_slice(&out));
    if (!err)
        err = local_disk_sync(d);
    arena_drop(&a);
    bytes_drop(&out);
    return err;
}

/* The very first start: the log begins with who votes. Several voters write this each for themselves, and must write the same
 * bytes, whatever they know of each other when they do: so its time is none of theirs, but 0 (1970 in a dump). Nothing that
 * they share has a time: a cluster id is chance, and what they could agree on would be lost by one that falls before it
 * has written it down. The barrier right behind it says when the cluster began. */
static enum err found_cluster(struct local_disk *d, const struct voters *first)
{
    d->voters = *first;
    return append_own(d, BATCH_CONFIGURATION, FIRST_EPOCH, first->n > 1 ? 0 : io_wall_ms(d->io));
}

enum err local_disk_found(struct local_disk *d, const struct voters *first)
{
    return local_disk_failed(d, found_cluster(d, first), "writing the first configuration");
}

/* ---- replay ---- */

struct replay {
    struct local_disk *disk;
    struct image *draft;
};

static enum err replay_batch(void *arg, const struct batch_content *c, struct slice bytes, struct arena *a)
{
    struct replay *r = arg;
    struct local_disk *d = r->disk;
    enum err err = E_OK;

    if (c->epoch < r->draft->epoch)
        return E_CORRUPT_MESSAGE;
    if (voters_in(c))
        err = voters_read(c, a, &d->voters);
    if (!err && image_follow(r->draft, &d->grave, c, a))
        err = E_MALFORMED;
    d->replayed += (int64_t)bytes.len;
    return err;
}

enum err local_disk_replay(struct local_disk *d, struct image **image)
{
    struct image *base = *image;
    struct replay r = {.disk = d};
    enum err err;

    r.draft = base ? image_draft(base, &d->grave) : image_new(&d->grave);
    if (base) {
        r.draft->offset = base->offset;
        r.draft->epoch = base->epoch;
        image_unref(base, &d->grave);
    }
    err = log_walk(d->log, d->grave.heap, d->snapshot < 0 ? 0 : d->snapshot, replay_batch, &r);
    image_seal(r.draft);
    *image = r.draft;
    return local_disk_failed(d, err, "replaying the metadata log");
}

/* ---- a new epoch ---- */

static bool alone(const struct local_disk *d)
{
    return d->voters.n == 1 && d->voters.v[0].server_id == d->server_id &&
           uuid_eq(d->voters.v[0].directory_id, d->settings->directory_id);
}

static enum err lead(struct local_disk *d, const struct quorum_state *before, int32_t last_epoch)
{
    struct quorum_state now = {
        .leader_id = d->server_id, .voted_id = d->server_id, .voted_directory_id = d->settings->directory_id};

    d->epoch = (before->leader_epoch > last_epoch ? before->leader_epoch : last_epoch) + 1;
    now.leader_epoch = d->epoch;
    if (quorum_state_write(d->io, d->path, &now))
        return local_disk_failed(d, E_KAFKA_STORAGE_ERROR, "writing quorum-state");
    return local_disk_failed(d, append_own(d, BATCH_BARRIER, d->epoch, io_wall_ms(d->io)),
                             "writing the barrier");
}

/* The file that was read is the one that this process wrote last, or one that it tried to write after that. */
static bool state_agrees(const struct quorum_state *state, const struct quorum_mark *m)
{
    return state->removed_index >= m->removed_index &&
           (state->leader_epoch > m->epoch ||
            (state->leader_epoch == m->epoch && (m->voted_id < 0 || state->voted_id == m->voted_id)));
}

/* Another node's disk may have come back in its place, with a newer epoch and a longer log. One without the file is judged by
 * what else is there. */
static enum err same_directory(struct local_disk *d)
{
    struct log_meta meta;
    enum err err = opened_before(d) ? log_meta_read(d->io, d->settings->dir, &meta) : E_NOENT;

    if (!err && !uuid_eq(meta.directory_id, d->settings->directory_id))
        err = E_KAFKA_STORAGE_ERROR;
    return local_disk_failed(d, err == E_NOENT ? E_OK : err, "looking for this node's directory id");
}

/* Its name may not be on disk yet, if a process was killed or a sync failed after the file was replaced: a vote that is given
 * again, because it is found here, must be. */
static enum err state_load(struct local_disk *d, struct quorum_state *state, bool *there)
{
    enum err err = quorum_state_read(d->io, d->path, state);

    *there = err == E_OK;
    if (err && err != E_NOENT)
        return local_disk_failed(d, err, "reading quorum-state");
    if (opened_before(d) && !state_agrees(state, d->settings->mark))
        return local_disk_failed(d, E_KAFKA_STORAGE_ERROR, "looking for quorum-state, which was written");
    if (!*there && !opened_before(d))
        return local_disk_failed(d, make_directory(d), "making the metadata log's directory");
    if (*there && opened_before(d))
        return local_disk_failed(d, quorum_state_write(d->io, d->path, state), "writing quorum-state");
    return local_disk_failed(d, dir_sync(d->io, d->path), "syncing the metadata log's directory");
}

static enum err load_steps(struct local_disk *d, const struct voters *first, struct image **image,
                           struct quorum_state *state)
{
    bool there;

    if (same_directory(d) || state_load(d, state, &there) ||
        local_disk_failed(d, log_reserve_look(d->io, d->settings->dir, &d->tight),
                          "looking at the reserve") ||
        local_disk_failed(d, load_checkpoint(d, image), "loading a checkpoint") ||
        open_failed(d, open_log(d)))
        return d->err;
    if (log_end(d->log) > 0)
        return E_OK;
    if (there)
        return local_disk_failed(d, E_CORRUPT_MESSAGE,
                                 "looking for the metadata log that quorum-state speaks of");
    return first->n > 0 ? local_disk_found(d, first) : E_OK;
}

enum err local_disk_load(struct local_disk *d, const struct voters *first, struct image **image,
                         struct quorum_state *state)
{
    *image = NULL;
    *state = (struct quorum_state){.leader_id = -1, .voted_id = -1};
    return load_steps(d, first, image, state);
}

static enum err open_steps(struct local_disk *d, struct image **image)
{
    const struct voters first = {.n = 1,
                                 .kraft_version = 1,
                                 .v = {{.server_id = d->server_id,
                                        .node = d->settings->node_id,
                                        .directory_id = d->settings->directory_id}}};
    struct quorum_state state;

    if (local_disk_load(d, &first, image, &state))
        return d->err;
    if (local_disk_replay(d, image))
        return d->err;
    if (!alone(d))
        return local_disk_failed(d, E_INCONSISTENT_VOTER_SET, "looking for this node as the only voter");
    return lead(d, &state, (*image)->epoch);
}

enum err local_disk_open(struct local_disk *d, struct image **image)
{
    *image = NULL;
    if (d->settings->node_id < 0 || d->settings->node_id == INT32_MAX)
        return local_disk_failed(d, E_INVALID_CONFIG, "deriving a server id from node.id");
    d->server_id = voter_server_first(d->settings->node_id);
    (void)!open_steps(d, image);
    if (d->err && *image) {
        image_unref(*image, &d->grave);
        *image = NULL;
    }
    grave_empty(&d->grave);
    if (!d->err)
        local_disk_told(d, d->epoch);
    return d->err;
}

void local_disk_told(const struct local_disk *d, int32_t epoch)
{
    long long end = (long long)log_end(d->log), replayed = (long long)d->replayed;

    if (d->snapshot < 0)
        TRACE(d->io, quorum_loaded_log, replayed, end, epoch);
    else
        TRACE(d->io, quorum_loaded, (long long)d->snapshot, replayed, end, epoch);
}

/* ---- records ---- */

enum err local_disk_append(struct local_disk *d, struct slice bytes)
{
    struct log_append a = {.bytes = bytes, .origin = LOG_FROM_LEADER, .now_ms = io_wall_ms(d->io)};

    enum err err;

    if (d->err)
        return d->err;
    err = log_append(d->log, &a);
    if (err == E_FULL && !d->tight) { /* the reserve is for this */
        local_disk_look(d);
        log_directory(d->log)->full_retry_ms = a.now_ms;
        err = log_append(d->log, &a);
    }
    return err == E_FULL ? err : local_disk_failed(d, err, "appending to the metadata log");
}

void local_disk_look(struct local_disk *d)
{
    if (!d->err)
        (void)local_disk_failed(d, log_reserve_look(d->io, d->settings->dir, &d->tight),
                                "looking at the reserve");
}

void local_disk_give_up(struct local_disk *d)
{
    (void)!local_disk_failed(d, E_FULL, "waiting for room for the metadata log");
}

enum err local_disk_sync(struct local_disk *d)
{
    if (!d->err && !local_disk_failed(d, log_sync(&d->log, 1, LOG_SYNC_DATA), "syncing the metadata log"))
        d->synced = log_end(d->log);
    return d->err;
}

enum err local_disk_cut(struct local_disk *d, int64_t offset)
{
    if (d->err || offset >= log_end(d->log))
        return d->err;
    if (offset < d->synced) /* also if it fails: what goes is never asked for again */
        d->synced = offset;
    return local_disk_failed(d, log_truncate(d->log, offset), "cutting the metadata log");
}

enum err local_disk_restart(struct local_disk *d, struct ckpt_id id)
{
    if (d->err)
        return d->err;
    d->snapshot = id.offset;
    d->snapshot_epoch = id.epoch;
    d->synced = id.offset; /* by the checkpoint, also if it fails */
    return local_disk_failed(d, log_restart_at(d->log, id.offset, io_wall_ms(d->io)),
                             "beginning the metadata log behind the leader's snapshot");
}

/* ---- snapshots ---- */

void local_disk_snapshot_start(struct local_disk *d, struct ckpt_id id, const struct image *image,
                               const struct voters *voters)
{
    ASSERT(!d->writing && image->sealed && id.offset <= log_synced(d->log));
    d->writing = true;
    ckpt_start(&d->writer, d->io, d->path, id, image, voters);
}

void local_disk_snapshot_end(struct local_disk *d)
{
    if (d->writing)
        ckpt_end(&d->writer);
    d->writing = false;
}

/* The new one is there: older ones go, and the log that only they need. */
static enum err snapshot_written(struct local_disk *d)
{
    int64_t oldest, now_ms = io_wall_ms(d->io);
    int removed;
    enum err err;

    d->snapshot = d->writer.id.offset;
    TRACE(d->io, quorum_checkpoint, (long long)d->snapshot, d->writer.id.epoch);
    err = ckpt_keep(d->io, d->path, CKPT_KEPT, &oldest);
    if (!err && oldest > 0)
        err = log_retain(d->log, now_ms, oldest, &removed);
    (void)log_env_due(d->env, now_ms);
    return err;
}

enum err local_disk_snapshot_step(struct local_disk *d, bool *more)
{
    enum err err = d->err;

    *more = false;
    if (!err && d->tight)
        err = E_FULL;
    if (!err && !d->writer.file) /* the log below it, indexes too, is on disk before its name is */
        err = log_sync(&d->log, 1, LOG_SYNC_ALL);
    if (!err)
        err = ckpt_step(&d->writer, more);
    if (!err && !*more)
        err = snapshot_written(d);
    if (!err && *more)
        return E_OK;
    *more = false;
    local_disk_snapshot_end(d);
    if (err == E_FULL && !d->err) {
        TRACE(d->io, quorum_checkpoint_put_off, err_text(err));
        return E_OK;
    }
    return local_disk_failed(d, err, "writing a checkpoint");
}

/* ---- the end ---- */

enum err local_disk_close(struct local_disk *d)
{
    enum err err = E_OK;

    local_disk_snapshot_end(d);
    if (d->log && d->err)
        log_abandon(d->log);
    else if (d->log) {
        int64_t end = log_end(d->log);

        err = local_disk_failed(d, log_close(d->log), "closing the metadata log");
        if (!err)
            d->synced = end;
    }
    d->log = NULL;
    ASSERT(!d->grave.first);
    log_env_drop(d->env);
    codec_cache_drop(d->codecs);
    heap_free(io_heap(d->io), d->path);
    return err;
}
