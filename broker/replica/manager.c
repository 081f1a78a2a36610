#include "manager.h"
#include "base/check.h"
#include "base/trace.h"
#include "broker/replica/cleaner.h"
#include "broker/replica/topic_config.h"
#include "broker/replica/upkeep.h"

enum {
    FILES_PER_LOOP_MAX = 512,      /* open descriptors that a loop keeps */
    INDEX_PAGES_PER_LOOP_MAX = 64, /* of 4 KiB */
    LOG_DIRS_MAX = 64,
    SYNC_MAX = 256 /* logs that one flush takes */
};

static void key_of(uint8_t key[PARTITION_KEY], const struct uuid *topic_id, int32_t index)
{
    memcpy(key, topic_id->b, 16);
    for (int i = 0; i < 4; i++)
        key[16 + i] = (uint8_t)((uint32_t)index >> (24 - 8 * i));
}

/* Every loop and every start must agree, so this is arithmetic on what is in the metadata. */
struct disk_loop *node_disk_of(struct node *n, const struct uuid *topic_id, int32_t partition)
{
    uint32_t h = (uint32_t)partition;
    for (int i = 0; i < 16; i++)
        h = h * 31 + topic_id->b[i];
    return n->disk[h % (uint32_t)n->n_disk];
}

static bool partition_invariant(const struct partition *p)
{
    return log_start(p->log) <= p->hw && p->hw <= log_end(p->log) &&
           (!log_settings(p->log)->durable || p->hw <= log_synced(p->log));
}

/* ---- a directory fails ---- */

/* One loop met it; each other loop hears of it by a message of its own, once. */
static void dir_down_run(struct msg *msg)
{
    struct dir_down *d = container_of(msg, struct dir_down, msg);

    log_dir_fail(d->partitions->env, d->partitions->dirs[d->dir], E_KAFKA_STORAGE_ERROR, "another loop used it");
}

static void dir_failed(void *arg, struct log_dir *dir)
{
    struct partitions *ps = arg;
    struct node *node = ps->disk->node;
    int index = 0;

    while (ps->dirs[index] != dir)
        index++;
    atomic_flag_test_and_set(&ps->down[index].told);
    for (int i = 0; i < node->n_disk; i++) {
        struct dir_down *d = &node->disk[i]->partitions->down[index];
        if (!atomic_flag_test_and_set(&d->told))
            loop_post(node->disk[i]->loop, &d->msg);
    }
    map_each (struct partition, p, &ps->loaded)
        if (log_directory(p->log) == dir)
            partition_tell(p, INT64_MAX);
}

struct partitions *partitions_new(struct disk_loop *disk, const struct log_dir_past *past, int n_dirs)
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
    env.codecs = ps->codecs;
    env.files_max = FILES_PER_LOOP_MAX;
    env.index_pages_max = INDEX_PAGES_PER_LOOP_MAX;
    env.producer_expiration_ms = config_int(node->config, C_producer_id_expiration_ms);
    ps->env = log_env_new(&env);
    ps->n_dirs = n_dirs;
    ps->upkeep = upkeep_new(ps);
    ps->cleaner = cleaner_new(ps);
    ps->dirs = heap_alloc(ps->heap, (size_t)n_dirs * sizeof(struct log_dir *));
    ps->past = heap_alloc(ps->heap, (size_t)n_dirs * sizeof(*past));
    memcpy(ps->past, past, (size_t)n_dirs * sizeof(*past));
    ps->down = heap_alloc(ps->heap, (size_t)n_dirs * sizeof(*ps->down));
    for (int i = 0; i < n_dirs; i++) {
        ps->dirs[i] = log_env_dir(ps->env, config_log_dirs(node->config).v[i]);
        ps->down[i] = (struct dir_down){.partitions = ps, .dir = i, .msg.run = dir_down_run, .told = ATOMIC_FLAG_INIT};
    }
    return ps;
}

bool partitions_found(struct partitions *ps, int dir, struct slice name, int64_t recovery_point, int64_t start,
                      int64_t hw)
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
    map_put(&ps->resting, r->name, r);
    return true;
}

/* ---- settings ---- */

/* A topic without settings of its own costs nothing: its log borrows the loop's defaults. */
static void partition_configure(struct partitions *ps, struct partition *p, struct slice topic,
                                const struct log_config **out)
{
    if (topic_has_settings(ps->disk->image, topic)) {
        if (!p->own_config)
            p->own_config = heap_alloc(ps->heap, sizeof(*p->own_config));
        topic_log_config(ps->disk->config, ps->disk->image, topic, p->own_config);
        *out = p->own_config;
    } else {
        *out = &ps->defaults;
    }
    p->compacted = (*out)->cleanup_compact;
}

/* ---- loading ---- */

/* A new partition goes where the fewest are, among the directories that work. */
static int dir_choose(const struct partitions *ps)
{
    int best = -1;
    uint32_t counts[LOG_DIRS_MAX] = {0};

    map_each (struct resting, r, &ps->resting)
        counts[r->dir]++;
    for (int i = 0; i < ps->n_dirs; i++)
        if (!ps->dirs[i]->offline && (best < 0 || counts[i] < counts[best]))
            best = i;
    return best;
}

static enum err partition_load(struct partitions *ps, struct partition *p, struct slice topic)
{
    const struct log_config *config;
    struct log_start from = {.start = -1};
    struct slice name;
    struct bytes text;
    struct resting *r;
    enum err err;

    bytes_init(&text, ps->heap);
    bytes_printf(&text, "%.*s-%d", (int)topic.len, (const char *)topic.p, p->index);
    name = bytes_slice(&text);
    r = map_get(&ps->resting, name);
    if (!r) {
        int dir = dir_choose(ps);
        if (dir < 0) {
            bytes_drop(&text);
            return E_KAFKA_STORAGE_ERROR;
        }
        ASSERT(partitions_found(ps, dir, name, 0, -1, 0));
        r = map_get(&ps->resting, name);
    }
    from.recovery_point = r->recovery_point;
    from.start = r->start;
    from.past = ps->past[r->dir];
    partition_configure(ps, p, topic, &config);
    bytes_add(&text, "", 1);
    err = log_open(ps->env, ps->dirs[r->dir], (const char *)text.p, &p->topic_id, config, &from, &p->log);
    bytes_drop(&text);
    if (!err && log_checkpoint_first(p->log))
        log_checkpointed(p->log, 0); /* boot.c emptied the checkpoint: it promises nothing */
    return err;
}

static void partition_free(struct partitions *ps, struct partition *p)
{
    ASSERT(list_empty(&p->watchers));
    list_remove(&p->unsynced);
    list_remove(&p->dirty);
    heap_free(ps->heap, p->own_config);
    heap_free(ps->heap, p);
}

static struct resting *resting_of(const struct partitions *ps, const struct partition *p)
{
    struct resting *r = map_get(&ps->resting, SLICE(log_name(p->log)));
    ASSERT(r);
    return r;
}

/* What a scan found behind the recovery point was acknowledged, perhaps, and must not vanish behind the high watermark;
 * it may be in the page cache alone. */
static void recovered_sync(struct partitions *ps, struct partition *p)
{
    if (log_settings(p->log)->durable && log_synced(p->log) < log_end(p->log) &&
        log_sync(&p->log, 1, LOG_SYNC_DATA) != E_OK)
        TRACE(ps->io, sync_failed, 1);
}

static enum err partition_make(struct partitions *ps, const struct image_topic *topic,
                               int32_t leader_epoch, int32_t index, struct partition **out)
{
    struct partition *p = heap_alloc(ps->heap, sizeof(*p));
    enum err err;

    p->topic_id = topic->id;
    p->index = index;
    p->leader_epoch = leader_epoch;
    key_of(p->key, &topic->id, index);
    list_init(&p->watchers);
    list_init(&p->unsynced);
    list_init(&p->dirty);
    err = partition_load(ps, p, topic->name);
    if (err) {
        TRACE(ps->io, partition_not_loaded, (int)topic->name.len, (const char *)topic->name.p, index, err_text(err));
        partition_free(ps, p);
        return err_wire(err) == -1 ? E_KAFKA_STORAGE_ERROR : err;
    }
    recovered_sync(ps, p);
    p->hw = log_settings(p->log)->durable ? log_synced(p->log) : log_end(p->log);
    p->warm_from = log_end(p->log);
    ASSERT(partition_invariant(p));
    map_put(&ps->loaded, slice_of(p->key, PARTITION_KEY), p);
    resting_of(ps, p)->loaded = p;
    cleaner_met(ps, p);
    ps->moved = true;
    *out = p;
    return E_OK;
}

enum err partition_find(struct partitions *ps, const struct uuid *topic_id, int32_t index, struct partition **out)
{
    uint8_t key[PARTITION_KEY];
    const struct image_topic *topic;
    const struct image_partition *ip;

    key_of(key, topic_id, index);
    *out = map_get(&ps->loaded, slice_of(key, PARTITION_KEY));
    if (*out)
        return log_directory((*out)->log)->offline ? E_KAFKA_STORAGE_ERROR : E_OK;
    topic = image_topic_by_id(ps->disk->image, *topic_id);
    ip = topic ? image_partition(topic, index) : NULL;
    if (!ip)
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    if (ip->leader != ps->disk->node->id)
        return E_NOT_LEADER_OR_FOLLOWER;
    return partition_make(ps, topic, ip->leader_epoch, index, out);
}

enum err partition_epoch_check(const struct partition *p, int32_t current_leader_epoch)
{
    if (current_leader_epoch == -1 || current_leader_epoch == p->leader_epoch)
        return E_OK;
    return current_leader_epoch < p->leader_epoch ? E_FENCED_LEADER_EPOCH : E_UNKNOWN_LEADER_EPOCH;
}

/* ---- append and commit ---- */

void partition_advance(struct partition *p)
{
    int64_t to = log_settings(p->log)->durable ? log_synced(p->log) : log_end(p->log);

    if (to <= p->hw)
        return;
    p->hw = to;
    ASSERT(partition_invariant(p));
}

enum err partition_append(struct partitions *ps, struct partition *p, struct log_append *a, bool *wait)
{
    int64_t before = log_size(p->log);
    enum err err = log_append(p->log, a);

    if (err)
        return err;
    *wait = a->flush_due || (a->duplicate && log_settings(p->log)->durable && a->last_offset >= p->hw);
    if (*wait) {
        if (list_empty(&p->unsynced))
            list_add(&ps->unsynced, &p->unsynced);
        return E_OK;
    }
    partition_advance(p);
    partition_tell(p, log_size(p->log) - before);
    upkeep_appended(ps, p);
    return E_OK;
}

/* A log that could not be synced is on a directory that is offline now, which is how a waiter's own look finds out. */
static void unsynced_flush(struct partitions *ps)
{
    struct log *batch[SYNC_MAX];
    struct list turn;
    int n;

    do {
        n = 0;
        list_init(&turn);
        while (n < SYNC_MAX && !list_empty(&ps->unsynced)) {
            struct partition *p = list_first(&ps->unsynced, struct partition, unsynced);
            list_remove(&p->unsynced);
            list_add(&turn, &p->unsynced);
            batch[n++] = p->log;
        }
        if (n > 0 && log_sync(batch, n, LOG_SYNC_DATA) != E_OK)
            TRACE(ps->io, sync_failed, n);
        list_each_safe (it, &turn) {
            struct partition *p = container_of(it, struct partition, unsynced);
            list_remove(it);
            partition_advance(p);
            partition_tell(p, INT64_MAX);
            upkeep_appended(ps, p);
        }
    } while (n == SYNC_MAX);
}

/* Everything that this turn of the mailbox appended shares one flush; then all who waited for it are answered. */
static void commit_run(struct msg *msg)
{
    struct partitions *ps = container_of(msg, struct partitions, commit);
    struct list turn;

    ps->commit_posted = false;
    unsynced_flush(ps);
    list_init(&turn);
    list_take(&turn, &ps->commits);
    list_each_safe (it, &turn) {
        struct lane *lane = container_of(it, struct lane, commit);
        list_remove(it);
        lane->committed(lane); /* last touch */
    }
}

void partitions_commit(struct partitions *ps, struct lane *lane, void (*committed)(struct lane *))
{
    lane->committed = committed;
    list_add(&ps->commits, &lane->commit);
    if (ps->commit_posted)
        return;
    ps->commit_posted = true;
    ps->commit.run = commit_run;
    loop_post(ps->disk->loop, &ps->commit);
}

struct partition *partition_loaded(struct partitions *ps, const struct uuid *topic_id, int32_t index)
{
    uint8_t key[PARTITION_KEY];

    key_of(key, topic_id, index);
    return map_get(&ps->loaded, slice_of(key, PARTITION_KEY));
}

struct partition *partition_of_name(struct partitions *ps, const struct resting *r)
{
    enum log_dir_kind kind;
    struct slice topic;
    int32_t index;
    const struct image_topic *t;
    struct partition *p;

    if (!log_dir_parse((const char *)r->name.p, &kind, &topic, &index))
        return NULL;
    t = image_topic_by_name(ps->disk->image, topic);
    return t && partition_find(ps, &t->id, index, &p) == E_OK ? p : NULL;
}

/* ---- what the metadata says ---- */

static void resting_forget(struct partitions *ps, struct resting *r)
{
    map_remove(&ps->resting, r->name);
    heap_free(ps->heap, r);
}

/* The topic is gone: waiting fetches look again and find nothing; the directory is renamed now and removed later. */
static void partition_delete(struct partitions *ps, struct partition *p)
{
    struct resting *r = resting_of(ps, p);
    enum err err;

    cleaner_leave(ps, p);
    partition_tell(p, INT64_MAX);
    list_each_safe (it, &p->watchers)
        watcher_clear(container_of(it, struct watch, link)->watcher);
    map_remove(&ps->loaded, slice_of(p->key, PARTITION_KEY));
    TRACE(ps->io, partition_deleted, log_name(p->log));
    err = log_delete(p->log, io_wall_ms(ps->io));
    if (err)
        TRACE(ps->io, partition_not_deleted, (int)r->name.len, (const char *)r->name.p, err_text(err));
    resting_forget(ps, r);
    partition_free(ps, p);
    ps->moved = true;
    upkeep_files(ps);
}

/* One that was never touched is loaded to be deleted: its directory must go as well. */
static void partition_gone(struct partitions *ps, const struct image_topic *topic, int32_t index)
{
    struct partition *p = partition_loaded(ps, &topic->id, index);
    struct bytes name;
    struct resting *r;

    if (node_disk_of(ps->disk->node, &topic->id, index) != ps->disk)
        return;
    if (p) {
        partition_delete(ps, p);
        return;
    }
    bytes_init(&name, ps->heap);
    bytes_printf(&name, "%.*s-%d", (int)topic->name.len, (const char *)topic->name.p, index);
    r = map_get(&ps->resting, bytes_slice(&name));
    bytes_drop(&name);
    if (r && partition_make(ps, topic, 0, index, &p) == E_OK)
        partition_delete(ps, p);
}

static void partition_changed(void *arg, const struct image_topic *topic, const struct image_partition *before,
                              const struct image_partition *after)
{
    struct partitions *ps = arg;
    struct partition *p;

    if (!after) {
        partition_gone(ps, topic, partition_index(before));
        return;
    }
    p = partition_loaded(ps, &topic->id, partition_index(after));
    if (p)
        p->leader_epoch = after->leader_epoch;
}

/* Who turns log.durable on finds everything durable that clients may read. */
static void partition_reconfigure(struct partitions *ps, struct partition *p, struct slice topic)
{
    const struct log_config *config;

    partition_configure(ps, p, topic, &config);
    log_configure(p->log, config);
    if (config->durable && log_synced(p->log) < log_end(p->log) && list_empty(&p->unsynced))
        list_add(&ps->unsynced, &p->unsynced);
    partition_advance(p);
    cleaner_met(ps, p);
}

/* New settings reach a log that is open; one that isn't looks when it is loaded. */
static void settings_changed(struct partitions *ps, const struct image_topic *topic)
{
    for (int32_t i = 0; i < (int32_t)topic->partitions.count; i++) {
        struct partition *p = partition_loaded(ps, &topic->id, i);
        if (p)
            partition_reconfigure(ps, p, topic->name);
    }
}

static void config_changed(void *arg, const struct image_config *before, const struct image_config *after)
{
    struct partitions *ps = arg;
    const struct image_config *c = before ? before : after;
    const struct image_topic *topic;

    if (c->type != CONFIG_TOPIC)
        return;
    topic = image_topic_by_name(ps->disk->image, c->resource);
    if (topic)
        settings_changed(ps, topic);
}

static void defaults_changed(struct partitions *ps)
{
    topic_log_config(ps->disk->config, ps->disk->image, SLICE(""), &ps->defaults);
    map_each (struct partition, p, &ps->loaded) {
        const struct image_topic *topic = image_topic_by_id(ps->disk->image, p->topic_id);
        if (topic)
            partition_reconfigure(ps, p, topic->name);
    }
}

void partitions_adopted(struct partitions *ps, const struct published *old, const struct published *now)
{
    struct image_diff ops = {.partition = partition_changed, .config = config_changed, .arg = ps};

    if (!old || old->config != now->config)
        defaults_changed(ps);
    if (old)
        image_diff(old->image, now->image, &ops);
    unsynced_flush(ps);
}

/* ---- checkpoints and the end ---- */

void partitions_checkpoint(struct partitions *ps, int dir, struct checkpoint *recovery, struct checkpoint *start,
                           struct checkpoint *hw)
{
    map_each (struct resting, r, &ps->resting) {
        struct partition *p = r->loaded;
        enum log_dir_kind kind;
        struct slice topic;
        int32_t index;
        if (r->dir != dir || !log_dir_parse((const char *)r->name.p, &kind, &topic, &index))
            continue;
        if (p) /* said before it is saved: a cut that follows must think of the larger promise */
            log_checkpointed(p->log, log_recovery_point(p->log));
        checkpoint_set(recovery, topic, index, p ? log_recovery_point(p->log) : r->recovery_point);
        if (p || r->start >= 0)
            checkpoint_set(start, topic, index, p ? log_start(p->log) : r->start);
        checkpoint_set(hw, topic, index, p ? p->hw : r->hw);
    }
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
    ASSERT(ps->loaded.count == 0);
    map_each (struct resting, r, &ps->resting)
        resting_forget(ps, r);
    map_drop(&ps->resting);
    map_drop(&ps->loaded);
    upkeep_drop(ps->upkeep);
    cleaner_drop(ps->cleaner);
    log_env_drop(ps->env);
    codec_cache_drop(ps->codecs);
    heap_free(ps->heap, ps->dirs);
    heap_free(ps->heap, ps->down);
    heap_free(ps->heap, ps->past);
    heap_free(ps->heap, ps);
}
