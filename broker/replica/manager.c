#include "broker/replica/manager_internal.h"

static void key_of(uint8_t key[PARTITION_KEY], const struct uuid *topic_id, int32_t index)
{
    memcpy(key, topic_id->b, 16);
    for (int i = 0; i < 4; i++)
        key[16 + i] = (uint8_t)((uint32_t)index >> (24 - 8 * i));
}

/* All who have a table must agree, so this is arithmetic on what is in the metadata. */
uint32_t disk_key(struct slice topic, int32_t partition)
{
    uint32_t h = 2166136261u; /* FNV-1a; then neighbours go to neighbours */

    for (size_t i = 0; i < topic.len; i++)
        h = (h ^ topic.p[i]) * 16777619u;
    return (h >> 8) + (uint32_t)partition;
}

struct disk_loop *disk_of(const struct disk_table *t, uint32_t key)
{
    return t->v[key % (uint32_t)t->n_active];
}

enum err partition_led(const struct image_partition *ip, int32_t node_id)
{
    if (ip->leader == node_id || (ip->leader < 0 && ids_has(partition_replicas(ip), node_id)))
        return E_OK;
    return E_NOT_LEADER_OR_FOLLOWER;
}

bool partition_invariant(const struct partition *p)
{
    return log_start(p->log) <= p->hw && p->hw <= log_end(p->log) &&
           (!log_settings(p->log)->durable || p->hw <= log_synced(p->log));
}

/* ---- settings ---- */

/* A topic without settings of its own costs nothing: its log borrows the loop's defaults. */
void partition_configure(struct partitions *ps, struct partition *p, struct slice topic,
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

/* A new partition goes where the fewest of this loop are, among the directories that work; each loop begins at another
 * one, so that the loops' first partitions don't all meet in the first. */
static int dir_choose(const struct partitions *ps)
{
    int best = -1;

    for (int i = 0; i < ps->n_dirs; i++) {
        int at = (ps->disk->index + i) % ps->n_dirs;
        if (!ps->dirs[at]->offline && (best < 0 || ps->dir_counts[at] < ps->dir_counts[best]))
            best = at;
    }
    return best;
}

/* Of the metadata's choice; -1: it made none, or of a directory that isn't here. */
static int dir_assigned(const struct partitions *ps, const struct image_partition *ip)
{
    struct uuid dir = partition_dir_of(ip, ps->disk->node->id);

    for (int i = 0; i < ps->n_dirs && !uuid_is_zero(dir); i++)
        if (uuid_eq(ps->dir_ids[i], dir))
            return i;
    return -1;
}

static struct resting *place_new(struct partitions *ps, const struct image_topic *topic, int32_t index,
                                 bool fresh, struct slice name)
{
    const struct image_partition *ip = image_partition(topic, index);
    int dir = ip ? dir_assigned(ps, ip) : -1;
    bool told = dir >= 0;
    struct resting *r;

    if (dir < 0 && (fresh || !ps->unlisted))
        dir = dir_choose(ps);
    if (dir < 0 || !partitions_found(ps, dir, name, 0, -1, 0))
        return NULL;
    r = map_get(&ps->resting, name);
    r->fresh = true;
    if (!told)
        dirs_chose(ps->disk->node->dirs, &topic->id, index, &ps->dir_ids[dir]);
    return r;
}

struct resting *partition_place(struct partitions *ps, const struct image_topic *topic, int32_t index,
                                bool fresh)
{
    struct resting *r;
    struct bytes name;

    bytes_init(&name, ps->heap);
    bytes_printf(&name, "%.*s-%d", (int)topic->name.len, (const char *)topic->name.p, index);
    r = map_get(&ps->resting, bytes_slice(&name));
    if (!r)
        r = place_new(ps, topic, index, fresh, bytes_slice(&name));
    bytes_drop(&name);
    return r;
}

/* The directory has the name but another topic's id: it is set aside for the operator, and this topic begins empty. */
static enum err stray_set_aside(struct partitions *ps, struct resting *r)
{
    const char *dir = ps->dirs[r->dir]->path;
    enum err err = log_dir_stray(ps->io, dir, (const char *)r->name.p);

    TRACE(ps->io, partition_stray, dir, (const char *)r->name.p, err_text(err));
    r->recovery_point = 0;
    r->start = -1;
    return err;
}

static enum err partition_open(struct partitions *ps, struct partition *p, const struct resting *r,
                               const struct log_config *config)
{
    struct log_start from = {
        .recovery_point = r->recovery_point, .start = r->start, .past = ps->past[r->dir]};

    return log_open(ps->env, ps->dirs[r->dir], (const char *)r->name.p, &p->topic_id, config, &from, &p->log);
}

/* What a scan found behind the recovery point was acknowledged, perhaps, and must not vanish behind the high watermark;
 * it may be in the page cache alone. Where it can't be synced the log isn't served: what was promised would be hidden. */
static enum err recovered_sync(struct partition *p)
{
    enum err err;

    if (!log_settings(p->log)->durable || log_synced(p->log) == log_end(p->log))
        return E_OK;
    err = log_sync(&p->log, 1, LOG_SYNC_DATA);
    if (err)
        log_abandon(p->log);
    return err;
}

static enum err partition_load(struct partitions *ps, struct partition *p, const struct image_topic *topic)
{
    struct resting *r = partition_place(ps, topic, p->index, false);
    const struct log_config *config;
    enum err err;

    if (!r)
        return E_KAFKA_STORAGE_ERROR;
    partition_configure(ps, p, topic->name, &config);
    err = partition_open(ps, p, r, config);
    if (err == E_MALFORMED) {
        err = stray_set_aside(ps, r);
        if (!err)
            err = partition_open(ps, p, r, config);
    }
    if (!err && log_checkpoint_first(p->log))
        log_checkpointed(p->log, 0); /* boot.c emptied the checkpoint: it promises nothing */
    return err ? err : recovered_sync(p);
}

void partition_free(struct partitions *ps, struct partition *p)
{
    ASSERT(list_empty(&p->watchers));
    list_remove(&p->unsynced);
    list_remove(&p->dirty);
    heap_free(ps->heap, p->own_config);
    heap_free(ps->heap, p);
}

struct resting *resting_of(const struct partitions *ps, const struct partition *p)
{
    struct resting *r = map_get(&ps->resting, SLICE(log_name(p->log)));
    ASSERT(r);
    return r;
}

enum err partition_make(struct partitions *ps, const struct image_topic *topic, int32_t leader_epoch,
                        int32_t index, struct partition **out)
{
    struct partition *p = heap_alloc(ps->heap, sizeof(*p));
    enum err err;

    p->topic_id = topic->id;
    p->index = index;
    p->leader_epoch = leader_epoch;
    p->leads = true;
    key_of(p->key, &topic->id, index);
    list_init(&p->watchers);
    list_init(&p->unsynced);
    list_init(&p->dirty);
    err = partition_load(ps, p, topic);
    if (err) {
        TRACE(ps->io, partition_not_loaded, (int)topic->name.len, (const char *)topic->name.p, index,
              err_text(err));
        partition_free(ps, p);
        return err_wire(err) == -1 ? E_KAFKA_STORAGE_ERROR : err;
    }
    p->hw = log_settings(p->log)->durable ? log_synced(p->log) : log_end(p->log);
    p->warm_from = log_end(p->log);
    ASSERT(partition_invariant(p));
    map_put(&ps->loaded, slice_of(p->key, PARTITION_KEY), p);
    resting_of(ps, p)->loaded = p;
    resting_of(ps, p)->fresh = false;
    cleaner_met(ps, p);
    ps->moved = true;
    *out = p;
    return E_OK;
}

/* Nobody leads what lies in a directory that is lost. */
static enum err not_led(struct partitions *ps, const struct image_topic *topic,
                        const struct image_partition *ip)
{
    const struct resting *r;

    if (partition_led(ip, ps->disk->node->id))
        return E_NOT_LEADER_OR_FOLLOWER;
    r = partition_place(ps, topic, partition_index(ip), false);
    return !r || ps->dirs[r->dir]->offline ? E_KAFKA_STORAGE_ERROR : E_NOT_LEADER_OR_FOLLOWER;
}

enum err partition_find(struct partitions *ps, const struct uuid *topic_id, int32_t index,
                        struct partition **out)
{
    uint8_t key[PARTITION_KEY];
    const struct image_topic *topic;
    const struct image_partition *ip;

    key_of(key, topic_id, index);
    *out = map_get(&ps->loaded, slice_of(key, PARTITION_KEY));
    if (*out && log_directory((*out)->log)->offline)
        return E_KAFKA_STORAGE_ERROR;
    if (*out)
        return (*out)->leads ? E_OK : E_NOT_LEADER_OR_FOLLOWER;
    topic = image_topic_by_id(ps->disk->image, *topic_id);
    ip = topic ? image_partition(topic, index) : NULL;
    if (!ip)
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    if (ip->leader != ps->disk->node->id)
        return not_led(ps, topic, ip);
    return partition_make(ps, topic, ip->leader_epoch, index, out);
}

enum err partition_epoch_check(const struct partition *p, int32_t current_leader_epoch)
{
    if (current_leader_epoch == -1 || current_leader_epoch == p->leader_epoch)
        return E_OK;
    return current_leader_epoch < p->leader_epoch ? E_FENCED_LEADER_EPOCH : E_UNKNOWN_LEADER_EPOCH;
}

struct epoch_end partition_epoch_end(const struct partition *p, int32_t epoch)
{
    int32_t written = epochs_latest(log_epochs(p->log));

    if (epoch < -1) /* before all: Kafka repeats it */
        return (struct epoch_end){.epoch = epoch, .end = log_start(p->log)};
    if (epoch == p->leader_epoch)
        return (struct epoch_end){.epoch = epoch, .end = log_end(p->log)};
    if (epoch > written && epoch < p->leader_epoch)
        return (struct epoch_end){.epoch = written >= 0 ? written : epoch, .end = log_end(p->log)};
    return log_epoch_end(p->log, epoch);
}

void resting_put(struct partitions *ps, struct resting *r)
{
    map_put(&ps->resting, r->name, r);
    ps->dir_counts[r->dir]++;
}

void resting_take(struct partitions *ps, struct resting *r)
{
    map_remove(&ps->resting, r->name);
    ps->dir_counts[r->dir]--;
}

void resting_forget(struct partitions *ps, struct resting *r)
{
    resting_take(ps, r);
    heap_free(ps->heap, r);
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
