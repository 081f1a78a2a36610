/* A loop's partitions begin, lose a directory, tell their checkpoints, and end. */
#include "broker/replica/manager_internal.h"
#include "log/reserve.h"

enum {
    FILES_PER_LOOP_MAX = 512,     /* open descriptors that a loop keeps */
    INDEX_PAGES_PER_LOOP_MAX = 64 /* of 4 KiB */
};

/* ---- a directory fails ---- */

/* One loop met it; each other loop hears of it by a message of its own, once. */
static void dir_down_run(struct msg *msg)
{
    struct dir_down *d = container_of(msg, struct dir_down, msg);

    log_dir_fail(d->partitions->env, d->partitions->dirs[d->dir], E_KAFKA_STORAGE_ERROR,
                 "another loop used it");
}

static void dir_failed(void *arg, struct log_dir *dir)
{
    struct partitions *ps = arg;
    const struct disk_table *t = ps->disk->disks;
    int index = 0;

    while (ps->dirs[index] != dir)
        index++;
    if (!atomic_flag_test_and_set(&ps->down[index].told))
        dirs_lost(ps->disk->node->dirs, &ps->dir_ids[index]);
    for (int i = 0; i < t->n; i++) {
        struct dir_down *d = &t->v[i]->partitions->down[index];
        if (!atomic_flag_test_and_set(&d->told))
            loop_post(t->v[i]->loop, &d->msg);
    }
    map_each (struct partition, p, &ps->loaded)
        if (log_directory(p->log) == dir)
            partition_tell(p, INT64_MAX);
}

struct partitions *partitions_new(struct disk_loop *disk, const struct dir_told *dirs, int n_dirs)
{
    struct node *node = disk->node;
    struct partitions *ps = heap_alloc(node->heap, sizeof(*ps));
    struct log_env_config env = {.io = node->io, .failed = dir_failed, .arg = ps};
    uint64_t seed;

    io_random(node->io, &seed, sizeof(seed));
    ps->disk = disk;
    ps->io = node->io;
    ps->heap = node->heap;
    ps->codecs = codec_cache_new(ps->heap);
    map_init(&ps->loaded, ps->heap, seed);
    map_init(&ps->resting, ps->heap, seed);
    list_init(&ps->unsynced);
    list_init(&ps->commits);
    list_init(&ps->held);
    env.codecs = ps->codecs;
    env.files_max = FILES_PER_LOOP_MAX;
    env.index_pages_max = INDEX_PAGES_PER_LOOP_MAX;
    env.keep_free = (int64_t)2 * LOG_RESERVE_BYTES;
    env.producer_expiration_ms = config_int(node->config, C_producer_id_expiration_ms);
    ps->env = log_env_new(&env);
    ps->n_dirs = n_dirs;
    ps->upkeep = upkeep_new(ps);
    ps->cleaner = cleaner_new(ps);
    ps->dirs = heap_alloc(ps->heap, (size_t)n_dirs * sizeof(struct log_dir *));
    ps->past = heap_alloc(ps->heap, (size_t)n_dirs * sizeof(*ps->past));
    ps->dir_ids = heap_alloc(ps->heap, (size_t)n_dirs * sizeof(*ps->dir_ids));
    ps->dir_counts = heap_alloc(ps->heap, (size_t)n_dirs * sizeof(*ps->dir_counts));
    ps->down = heap_alloc(ps->heap, (size_t)n_dirs * sizeof(*ps->down));
    for (int i = 0; i < n_dirs; i++) {
        ps->past[i] = dirs[i].past;
        ps->dir_ids[i] = dirs[i].id;
        ps->dirs[i] = log_env_dir(ps->env, config_log_dirs(node->config).v[i]);
        ps->down[i] =
            (struct dir_down){.partitions = ps, .dir = i, .msg.run = dir_down_run, .told = ATOMIC_FLAG_INIT};
    }
    return ps;
}

bool partitions_found(struct partitions *ps, int dir, struct slice name, int64_t recovery_point,
                      int64_t start, int64_t hw)
{
    struct resting *r;

    if (map_get(&ps->resting, name))
        return false;
    r = heap_alloc(ps->heap, sizeof(*r) + name.len + 1);
    r->name = slice_of(r + 1, name.len);
    memcpy(r->name.p, name.p, name.len);
    r->dir = dir;
    r->recovery_point = recovery_point;
    r->start = start;
    r->hw = hw;
    resting_put(ps, r);
    return true;
}

void partitions_unlisted(struct partitions *ps, int dir)
{
    ps->dirs[dir]->offline = true;
    atomic_flag_test_and_set(&ps->down[dir].told);
    ps->unlisted = true;
}

/* ---- checkpoints and the end ---- */

int64_t checkpoint_topic(const struct uuid *topic_id)
{
    uint64_t head = 0;

    for (int i = 0; i < 8; i++)
        head = head << 8 | topic_id->b[i];
    return (int64_t)(head & INT64_MAX);
}

/* Whose a row is: of one that rests, its name's in the image that this loop has. */
static void topic_row(const struct partitions *ps, const struct partition *p, struct slice topic,
                      int32_t index, struct checkpoint *topics)
{
    const struct image_topic *t = p ? NULL : image_topic_by_name(ps->disk->image, topic);

    if (p || t)
        checkpoint_set(topics, topic, index, checkpoint_topic(p ? &p->topic_id : &t->id));
}

void partitions_checkpoint(struct partitions *ps, int dir, struct checkpoint *rows)
{
    map_each (struct resting, r, &ps->resting) {
        struct partition *p = r->loaded;
        enum log_dir_kind kind;
        struct slice topic;
        int32_t index;
        if (r->dir != dir || (r->fresh && !p) ||
            !log_dir_parse((const char *)r->name.p, &kind, &topic, &index))
            continue;
        if (p) /* said before it is saved: a cut that follows must think of the larger promise */
            log_checkpointed(p->log, log_recovery_point(p->log));
        checkpoint_set(&rows[ROWS_RECOVERY], topic, index,
                       p ? log_recovery_point(p->log) : r->recovery_point);
        if (p || r->start >= 0)
            checkpoint_set(&rows[ROWS_START], topic, index, p ? log_start(p->log) : r->start);
        checkpoint_set(&rows[ROWS_HW], topic, index, p ? p->hw : r->hw);
        topic_row(ps, p, topic, index, &rows[ROWS_TOPICS]);
    }
    cleaner_checkpoint(ps->cleaner, dir, &rows[ROWS_CLEANED]);
}

void partitions_run(struct partitions *ps)
{
    upkeep_run(ps->upkeep);
    cleaner_run(ps->cleaner);
}

static void close_one(struct partitions *ps, struct partition *p, bool *dir_ok)
{
    struct resting *r = resting_of(ps, p);
    enum err err;

    partition_tell(p, INT64_MAX);
    r->start = log_start(p->log);
    r->recovery_point = log_recovery_point(p->log);
    r->hw = p->hw;
    err = log_sync(&p->log, 1, LOG_SYNC_ALL);
    if (!err)
        r->recovery_point = log_recovery_point(p->log);
    if (err) {
        log_abandon(p->log);
    } else {
        err = log_close(p->log);
    }
    if (err) {
        dir_ok[r->dir] = false;
        TRACE(ps->io, partition_not_closed, (int)r->name.len, (const char *)r->name.p, err_text(err));
    }
    r->loaded = NULL;
    map_remove(&ps->loaded, slice_of(p->key, PARTITION_KEY));
    partition_free(ps, p);
}

/* Waits, message by message, until no step of upkeep or cleaning is on its way any more. */
static void close_run(struct msg *msg)
{
    struct partitions *ps = container_of(msg, struct partitions, close);

    if (!upkeep_stopped(ps->upkeep) || !cleaner_stopped(ps->cleaner) || ps->commit_posted) {
        loop_post(ps->disk->loop, &ps->close);
        return;
    }
    map_each (struct resting, r, &ps->resting) /* what a crash left is unscanned until it is loaded */
        if (!r->loaded && !r->fresh && !ps->past[r->dir].clean)
            ps->dir_ok[r->dir] = false;
    map_each (struct partition, p, &ps->loaded)
        close_one(ps, p, ps->dir_ok);
    ps->closed(ps->closed_arg);
}

void partitions_close(struct partitions *ps, bool *dir_ok, void (*closed)(void *arg), void *arg)
{
    ps->dir_ok = dir_ok;
    ps->closed = closed;
    ps->closed_arg = arg;
    upkeep_stop(ps->upkeep);
    cleaner_stop(ps->cleaner);
    ps->close.run = close_run;
    loop_post(ps->disk->loop, &ps->close);
}

void partitions_drop(struct partitions *ps)
{
    ASSERT(ps->loaded.count == 0 && list_empty(&ps->held) && !ps->moving);
    map_each (struct resting, r, &ps->resting)
        resting_forget(ps, r);
    map_drop(&ps->resting);
    map_drop(&ps->loaded);
    upkeep_drop(ps->upkeep);
    cleaner_drop(ps->cleaner);
    log_env_drop(ps->env);
    codec_cache_drop(ps->codecs);
    heap_free(ps->heap, ps->dirs);
    heap_free(ps->heap, ps->dir_ids);
    heap_free(ps->heap, ps->dir_counts);
    heap_free(ps->heap, ps->down);
    heap_free(ps->heap, ps->past);
    heap_free(ps->heap, ps);
}
