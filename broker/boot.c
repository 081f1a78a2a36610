#include "boot.h"
#include "base/check.h"
#include "base/trace.h"
#include "broker/bootstrap.h"
#include "broker/dirs.h"
#include "broker/replica/cleaner.h"
#include "broker/replica/manager.h"
#include "log/reserve.h"
#include "metadata/topic_name.h"
#include <stdio.h>

static enum err refuse(struct boot *b, enum err err, const char *path, const char *text)
{
    snprintf(b->why, sizeof(b->why), "%s: %s", path, text);
    return err;
}

static enum err dir_read(struct boot *b, struct boot_dir *d)
{
    enum err err = log_dir_lock(b->io, d->path, &d->lock);

    if (err == E_BUSY)
        return refuse(b, err, d->path, "another process uses this directory");
    if (err == E_NOENT)
        return refuse(b, err, d->path, "no such directory; `weir format` makes and formats it");
    if (err)
        return err;
    err = log_meta_read(b->io, d->path, &d->meta);
    if (err == E_NOENT)
        return refuse(b, err, d->path, "not formatted (no meta.properties); `weir format` does that");
    if (err == E_MALFORMED)
        return refuse(b, err, d->path, "meta.properties is damaged: a line is missing or wrong");
    return err ? err : log_dir_past_read(b->io, d->path, &d->past);
}

static enum err dir_agrees(struct boot *b, const struct boot_dir *d, int32_t node_id)
{
    if (d->meta.node_id != node_id) {
        snprintf(b->why, sizeof(b->why), "%s: meta.properties says node.id=%d, the settings say %d", d->path,
                 d->meta.node_id, node_id);
        return E_INVALID_CONFIG;
    }
    if (strcmp(d->meta.cluster_id, b->metadata.meta.cluster_id) != 0) {
        snprintf(b->why, sizeof(b->why), "%s: belongs to cluster %s, %s to cluster %s", d->path,
                 d->meta.cluster_id, b->metadata.path, b->metadata.meta.cluster_id);
        return E_INCONSISTENT_CLUSTER_ID;
    }
    return E_OK;
}

/* A disk that fails takes its own partitions along, not the node; what a person must mend stops the start. */
static enum err dir_open(struct boot *b, struct boot_dir *d)
{
    enum err err = dir_read(b, d);

    if (!err || b->why[0])
        return err;
    d->offline = true;
    TRACE(b->io, log_dir_failed, d->path, err_text(err), "starting");
    return E_OK;
}

static enum err metadata_open(struct boot *b, const struct config *config)
{
    const char *path = config_metadata_dir(config);
    enum err err;

    for (int i = 0; i < b->n; i++)
        if (strcmp(b->dirs[i].path, path) == 0) {
            b->metadata = b->dirs[i];
            b->metadata.lock = NULL;
            return b->dirs[i].offline
                       ? refuse(b, E_KAFKA_STORAGE_ERROR, path, "the metadata log can't be read")
                       : E_OK;
        }
    b->metadata.path = path;
    err = dir_read(b, &b->metadata);
    return err && !b->why[0] ? refuse(b, err, path, "can't be read") : err;
}

/* A file there doesn't read: it is damaged, or the disk doesn't work. */
static enum err refuse_file(struct boot *b, enum err err, const char *path, const char *file)
{
    bool damaged = err == E_MALFORMED || err == E_CORRUPT_MESSAGE || err == E_TRUNCATED ||
                   err == E_UNSUPPORTED_VERSION || err == E_NOMEM;

    snprintf(b->why, sizeof(b->why), "%s: %s %s", path, file, damaged ? "is damaged" : "can't be read");
    return err;
}

/* Where the disk below the second one doesn't work, control_life.c waits for it. */
static enum err beginning_read(struct boot *b)
{
    enum err err = bootstrap_read(b->io, b->metadata.path, &b->metadata_version);

    if (err)
        return refuse_file(b, err, b->metadata.path, "bootstrap.checkpoint");
    err = formatted_read(b->io, b->metadata.path, &b->formatted);
    return err && err != E_IO
               ? refuse_file(b, err, b->metadata.path,
                             METADATA_TOPIC "-0/00000000000000000000-0000000000.checkpoint, which `weir "
                                            "format` wrote to say who votes first,")
               : E_OK;
}

enum err boot_open(struct boot *b, struct io *io, const struct config *config)
{
    struct config_list dirs = config_log_dirs(config);
    enum err err = E_OK;

    *b = (struct boot){.io = io, .heap = io_heap(io), .n = dirs.n};
    b->dirs = heap_alloc(b->heap, (size_t)dirs.n * sizeof(*b->dirs));
    for (int i = 0; i < dirs.n && !err; i++) {
        b->dirs[i].path = dirs.v[i];
        err = dir_open(b, &b->dirs[i]);
    }
    if (!err)
        err = metadata_open(b, config);
    if (!err)
        err = dir_agrees(b, &b->metadata, (int32_t)config_int(config, C_node_id));
    if (!err)
        err = beginning_read(b);
    for (int i = 0; i < b->n && !err; i++)
        if (!b->dirs[i].offline)
            err = dir_agrees(b, &b->dirs[i], (int32_t)config_int(config, C_node_id));
    if (err)
        boot_drop(b);
    return err;
}

static void reserve_look(struct boot *b, const char *path)
{
    bool tight;
    enum err err = log_reserve_look(b->io, path, &tight);

    if (err)
        TRACE(b->io, log_reserve_failed, path, err_text(err));
}

void boot_reserve(struct boot *b)
{
    for (int i = 0; i < b->n; i++)
        if (!b->dirs[i].offline)
            reserve_look(b, b->dirs[i].path);
    if (b->metadata.lock) /* a directory of its own */
        reserve_look(b, b->metadata.path);
}

static bool after_power_cut(const struct boot_dir *d)
{
    return !d->past.clean && !d->past.same_boot;
}

static enum err running(struct boot *b, bool power_cut)
{
    for (int i = 0; i < b->n; i++) {
        enum err err;
        if (b->dirs[i].offline || after_power_cut(&b->dirs[i]) != power_cut)
            continue;
        err = log_dir_running(b->io, b->dirs[i].path, &b->dirs[i].past);
        if (err)
            return refuse(b, err, b->dirs[i].path, err_text(err));
    }
    return E_OK;
}

enum err boot_running(struct boot *b)
{
    boot_reserve(b);
    return running(b, false);
}

int64_t boot_kept_epoch(const struct boot *b, int64_t registered)
{
    for (int i = 0; i < b->n; i++) {
        const struct log_dir_past *past = &b->dirs[i].past;
        if (b->dirs[i].offline || (past->clean ? past->broker_epoch != registered : !past->same_boot))
            return -1;
    }
    return registered;
}

bool boot_must_recover(const struct boot *b)
{
    for (int i = 0; i < b->n; i++)
        if (!b->dirs[i].offline && after_power_cut(&b->dirs[i]))
            return true;
    return false;
}

enum err boot_recovered(struct boot *b)
{
    return running(b, true);
}

/* ---- what lies in a directory ---- */

/* A directory that isn't a partition's any more: seen during the walk, dealt with after it. */
struct leftover {
    char *name;
    bool deleted; /* of a topic that was deleted: the last process could not finish; else -stray */
};

struct finding {
    struct boot *boot;
    struct node *node;
    const struct image *image;
    int dir;
    struct checkpoint rows[ROWS_KINDS];
    struct arena names;
    struct leftover *left;
    int n_left, left_room;
    int n_found;
};

static void leftover_note(struct finding *f, const char *name, bool deleted)
{
    if (f->n_left == f->left_room) {
        f->left_room = f->left_room ? 2 * f->left_room : 16;
        f->left = heap_resize(f->boot->heap, f->left, (size_t)f->left_room * sizeof(*f->left));
    }
    f->left[f->n_left++] = (struct leftover){.name = arena_str(&f->names, SLICE(name)), .deleted = deleted};
}

static void leftover_end(struct finding *f, const struct leftover *l)
{
    const char *dir = f->boot->dirs[f->dir].path;
    enum err err;

    if (l->deleted) {
        err = path_remove(f->boot->io, arena_printf(&f->names, "%s/%s", dir, l->name));
        if (err)
            TRACE(f->boot->io, leftover_stays, dir, l->name, err_text(err));
        return;
    }
    err = log_dir_stray(f->boot->io, dir, l->name);
    TRACE(f->boot->io, partition_stray, dir, l->name, err_text(err));
}

static void found_one(void *arg, const char *name, enum log_dir_kind kind, struct slice topic, int32_t index)
{
    struct finding *f = arg;
    const struct uuid *id = &f->boot->dirs[f->dir].meta.directory_id;
    const struct image_topic *t;
    struct partitions *ps;
    int64_t at[ROWS_KINDS];

    if (kind == LOG_DIR_DELETE)
        leftover_note(f, name, true);
    if (kind != LOG_DIR_LIVE || slice_eq(topic, SLICE(METADATA_TOPIC)))
        return;
    t = image_topic_by_name(f->image, topic);
    if (!t || !image_partition(t, index)) {
        leftover_note(f, name, false);
        return;
    }
    ps = disk_of(f->node->disks, disk_key(topic, index))->partitions;
    for (int i = 0; i < ROWS_KINDS; i++)
        at[i] = checkpoint_get(&f->rows[i], topic, index);
    if (at[ROWS_TOPICS] >= 0 && at[ROWS_TOPICS] != checkpoint_topic(&t->id))
        at[ROWS_RECOVERY] = at[ROWS_START] = at[ROWS_HW] = at[ROWS_CLEANED] =
            -1; /* of a topic that is gone */
    f->n_found++;
    if (!partitions_found(ps, f->dir, SLICE(name), at[ROWS_RECOVERY] < 0 ? 0 : at[ROWS_RECOVERY],
                          at[ROWS_START], at[ROWS_HW] < 0 ? 0 : at[ROWS_HW])) {
        leftover_note(f, name, false); /* the same partition lies in another directory too */
        return;
    }
    if (at[ROWS_CLEANED] >= 0)
        cleaner_found(ps->cleaner, SLICE(name), at[ROWS_CLEANED]);
    if (!uuid_eq(partition_dir_of(image_partition(t, index), f->node->id), *id))
        dirs_chose(f->node->dirs, &t->id, index,
                   id); /* somebody moved it, or the last process couldn't tell */
}

static void checkpoint_open(struct finding *f, struct checkpoint *c, const char *name)
{
    const char *path = f->boot->dirs[f->dir].path;
    enum err err;

    checkpoint_init(c, f->boot->heap, 0);
    err = checkpoint_load(c, f->boot->io, path, name);
    if (err)
        TRACE(f->boot->io, checkpoint_unread, path, name, err_text(err));
}

/* After a power cut the recovery points may promise more than the logs still hold. They are known by now, so they are
 * taken back for all partitions before any log is written. */
static void promises_drop(struct finding *f)
{
    const char *path = f->boot->dirs[f->dir].path;
    struct checkpoint none;
    enum err err;

    checkpoint_init(&none, f->boot->heap, 0);
    err = checkpoint_save(&none, f->boot->io, path, CHECKPOINT_RECOVERY);
    if (err)
        TRACE(f->boot->io, checkpoint_failed, path, err_text(err));
    checkpoint_drop(&none);
}

/* Some of what lies there may not have been seen: from here on the directory is as good as one that can't be read. */
static void unlisted(struct finding *f, enum err err)
{
    f->boot->dirs[f->dir].offline = true;
    TRACE(f->boot->io, log_dir_failed, f->boot->dirs[f->dir].path, err_text(err), "listing");
    for (int i = 0; i < f->node->disks->n; i++)
        partitions_unlisted(f->node->disks->v[i]->partitions, f->dir);
}

static void find_in(struct boot *b, struct node *node, const struct image *image, int dir)
{
    struct finding f = {.boot = b, .node = node, .image = image, .dir = dir};
    const char *path = b->dirs[dir].path;
    enum err err;

    arena_init(&f.names, b->heap, SIZE_MAX);
    for (int i = 0; i < ROWS_KINDS; i++)
        checkpoint_open(&f, &f.rows[i], checkpoint_names[i]);
    err = log_dir_list(b->io, path, found_one, &f);
    if (err)
        unlisted(&f, err);
    for (int i = 0; i < f.n_left; i++)
        leftover_end(&f, &f.left[i]);
    heap_free(b->heap, f.left);
    arena_drop(&f.names);
    if (!err && after_power_cut(&b->dirs[dir])) {
        promises_drop(&f);
        if (f.n_found > 0)
            TRACE(b->io, recovery_begins, path, f.n_found);
        b->scanning |= f.n_found > 0;
    }
    for (int i = 0; i < ROWS_KINDS; i++)
        checkpoint_drop(&f.rows[i]);
}

void boot_find(struct boot *b, struct node *node, const struct image *image)
{
    for (int i = 0; i < b->n; i++)
        if (!b->dirs[i].offline)
            find_in(b, node, image, i);
}

/* ---- the end ---- */

enum err boot_checkpoint(struct boot *b, struct node *node, int dir)
{
    struct checkpoint c[ROWS_KINDS];
    enum err err = E_OK;

    for (int i = 0; i < ROWS_KINDS; i++)
        checkpoint_init(&c[i], b->heap, 0);
    for (int i = 0; i < node->disks->n; i++)
        partitions_checkpoint(node->disks->v[i]->partitions, dir, c);
    for (int i = 0; i < ROWS_KINDS && !err; i++)
        err = checkpoint_save(&c[i], b->io, b->dirs[dir].path, checkpoint_names[i]);
    if (err)
        TRACE(b->io, checkpoint_failed, b->dirs[dir].path, err_text(err));
    for (int i = 0; i < ROWS_KINDS; i++)
        checkpoint_drop(&c[i]);
    return err;
}

void boot_clean(struct boot *b, const bool *ok, int n_loops, int64_t broker_epoch)
{
    for (int i = 0; i < b->n; i++) {
        bool whole = !b->dirs[i].offline;
        enum err err;
        for (int l = 0; l < n_loops; l++)
            whole &= ok[l * b->n + i];
        if (!whole)
            continue;
        err = log_dir_clean(b->io, b->dirs[i].path, broker_epoch);
        if (err)
            TRACE(b->io, checkpoint_failed, b->dirs[i].path, err_text(err));
    }
}

void boot_drop(struct boot *b)
{
    for (int i = 0; i < b->n; i++)
        if (b->dirs[i].lock)
            file_unref(b->dirs[i].lock);
    if (b->metadata.lock)
        file_unref(b->metadata.lock);
    b->metadata.lock = NULL; /* a start that failed has dropped it before the node ends */
    heap_free(b->heap, b->dirs);
    b->dirs = NULL;
    b->n = 0;
}
