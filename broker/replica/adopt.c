/* What a new image means for the partitions of a loop: topics that are gone, settings that changed. */
#include "broker/replica/manager_internal.h"

/* The topic is gone: waiting fetches look again and find nothing; the directory is renamed now and removed later. */
void partition_delete(struct partitions *ps, struct partition *p)
{
    struct resting *r = resting_of(ps, p);
    enum err err;

    (void)cleaner_leave(ps, r);
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

/* Does the directory say that it is another topic's? Then it isn't ours to delete: the name has a new owner. */
static bool taken_over(struct partitions *ps, const struct resting *r, const struct uuid *topic_id)
{
    struct uuid id;

    if (r->loaded)
        return true; /* ours would have been found by its id */
    return log_dir_topic_id(ps->io, ps->dirs[r->dir]->path, (const char *)r->name.p, &id) == E_OK &&
           !uuid_eq(id, *topic_id);
}

/* One that was never touched is loaded to be deleted: its directory must go as well. One that is on its way here is dealt
 * with where it arrives (move.c). */
static void partition_gone(struct partitions *ps, const struct image_topic *topic, int32_t index)
{
    struct partition *p = partition_loaded(ps, &topic->id, index);
    struct bytes name;
    struct resting *r;

    if (p) {
        partition_delete(ps, p);
        return;
    }
    bytes_init(&name, ps->heap);
    bytes_printf(&name, "%.*s-%d", (int)topic->name.len, (const char *)topic->name.p, index);
    r = map_get(&ps->resting, bytes_slice(&name));
    bytes_drop(&name);
    if (r && r->fresh)
        resting_forget(ps, r);
    else if (r && !taken_over(ps, r, &topic->id) && partition_make(ps, topic, 0, index, &p) == E_OK)
        partition_delete(ps, p);
}

static void partition_changed(void *arg, const struct image_topic *topic,
                              const struct image_partition *before, const struct image_partition *after)
{
    struct partitions *ps = arg;
    struct partition *p;

    if (!after) {
        partition_gone(ps, topic, partition_index(before));
        return;
    }
    if (!before && ps->n_dirs > 1 && after->leader == ps->disk->node->id &&
        disk_of(ps->disk->disks, disk_key(topic->name, partition_index(after))) == ps->disk)
        (void)partition_place(ps, topic, partition_index(after), true);
    p = partition_loaded(ps, &topic->id, partition_index(after));
    if (p) {
        p->leader_epoch = after->leader_epoch;
        p->leads = after->leader == ps->disk->node->id;
    }
}

/* Who turns log.durable on finds everything durable that clients may read. */
void partition_reconfigure(struct partitions *ps, struct partition *p, struct slice topic)
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
