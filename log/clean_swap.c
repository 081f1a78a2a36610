#include "log/clean_swap.h"
#include "base/check.h"
#include "log/log_internal.h"
#include "log/snapshot_files.h"
#include "log/whole_file.h"
#include <stdio.h>

enum { BASE_DIGITS = 20, NAME_MAX_ = 64 };

static enum err remove_files(const struct segment *s)
{
    struct io *io = s->log->env->io;
    struct heap *h = s->log->env->heap;
    enum err err = E_OK;

    for (int kind = 0; kind < SEGMENT_FILES; kind++)
        for (int swapped = 0; swapped < 2; swapped++) {
            char *path = segment_path(s, (enum segment_file)kind, swapped ? ".swap" : ".cleaned");
            enum err one = path_remove(io, path);
            if (one && one != E_NOENT && !err)
                err = one;
            heap_free(h, path);
        }
    return err;
}

enum err clean_swap_begin(struct log *log, int64_t base, struct segment **fresh)
{
    *fresh = segment_new(log, base, ".cleaned");
    enum err err = remove_files(*fresh);
    if (err) {
        segment_free(*fresh);
        *fresh = NULL;
    }
    return err;
}

enum err clean_swap_discard(struct segment *fresh)
{
    segment_files_close(fresh);
    enum err err = remove_files(fresh);
    segment_free(fresh);
    return err;
}

static enum err sync_names(struct log *log)
{
    char *path = log_path(log);
    enum err err = dir_sync(log->env->io, path);

    heap_free(log->env->heap, path);
    return err;
}

static enum err sync_files(struct segment *s)
{
    struct file *f;
    enum err err = E_OK;

    for (int kind = 0; kind < SEGMENT_FILES && !err; kind++) {
        if (!(s->unsynced & 1 << kind))
            continue;
        err = segment_file(s, (enum segment_file)kind, &f);
        if (!err)
            err = file_sync(&f, 1);
        if (!err)
            s->unsynced &= (uint8_t) ~(1 << kind);
    }
    return err;
}

/* Up to where nothing has happened yet. The log file is there even if nothing stayed: it is what a start goes
 * by. */
static enum err prepare(struct log *log, struct segment *fresh)
{
    struct file *f;
    enum err err = segment_file(fresh, SEGMENT_LOG, &f);

    if (!err)
        err = segment_finish(fresh);
    if (!err)
        err = sync_files(fresh);
    if (!err)
        err = segment_rename(fresh, ".swap");
    if (!err)
        err = sync_names(log);
    return err;
}

/* With the producers' snapshots that were taken where they began. */
static enum err drop_old(struct log *log, struct segment **old, uint32_t n, int64_t base, int64_t now_ms)
{
    char *path = log_path(log);
    enum err err = E_OK;

    for (uint32_t i = 0; i < n; i++) {
        if (!err && old[i]->base != base)
            err = snapshot_remove(log->env->io, path, old[i]->base);
        if (!err)
            err = log_segment_drop(log, old[i], now_ms);
        if (err) /* those that are left go when a start finishes the swap */
            segment_free(old[i]);
    }
    heap_free(log->env->heap, path);
    return err;
}

enum err clean_swap(struct log *log, uint32_t first, uint32_t n, struct segment *fresh, int64_t now_ms)
{
    struct heap *h = log->env->heap;
    enum err err = prepare(log, fresh);

    ASSERT(n > 0 && first + n < log->segments_n && log->segments[first]->base == fresh->base);
    if (err) {
        enum err undone = clean_swap_discard(fresh);
        if (undone) /* a .swap may be left, which a start would finish */
            log_dir_fail(log->env, log->dir, undone, "undoing a compaction");
        return err;
    }
    struct segment **old = heap_alloc(h, n * sizeof(struct segment *));
    memcpy(old, log->segments + first, n * sizeof(struct segment *));
    log_segments_splice(log, first, n, &fresh, 1);
    err = drop_old(log, old, n, fresh->base, now_ms);
    heap_free(h, old);
    if (!err)
        err = sync_names(log);
    if (!err)
        err = segment_rename(fresh, "");
    if (!err)
        err = sync_names(log);
    if (err)
        log_dir_fail(log->env, log->dir, err, "replacing compacted segments");
    return err;
}

/* ---- at a start ---- */

struct names {
    struct heap *heap;
    char (*v)[NAME_MAX_];
    uint32_t n;
    uint32_t room;
};

static bool base_of(const char *name, int64_t *base)
{
    uint64_t v = 0;

    for (int i = 0; i < BASE_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(name[i] - '0');
    }
    *base = (int64_t)v;
    return name[BASE_DIGITS] == '.';
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

static void collect(void *arg, const char *name, bool is_dir)
{
    struct names *l = arg;
    int64_t base;

    if (is_dir || !base_of(name, &base) || strlen(name) >= NAME_MAX_)
        return;
    if (l->n == l->room) {
        l->room = l->room ? l->room * 2 : 16;
        l->v = heap_resize(l->heap, l->v, l->room * sizeof(*l->v));
    }
    (void)snprintf(l->v[l->n++], NAME_MAX_, "%s", name);
}

static enum err remove_name(struct io *io, const char *dir, const char *name)
{
    char *path = path_join(io_heap(io), dir, name);
    enum err err = path_remove(io, path);

    heap_free(io_heap(io), path);
    return err == E_NOENT ? E_OK : err;
}

/* Without its suffix; fine if it isn't there. */
static enum err unswap(struct io *io, const char *dir, const char *name)
{
    struct heap *h = io_heap(io);
    char plain[NAME_MAX_];

    (void)snprintf(plain, sizeof(plain), "%.*s", (int)(strlen(name) - strlen(".swap")), name);
    char *from = path_join(h, dir, name), *to = path_join(h, dir, plain);
    enum err err = path_move(io, from, to);
    heap_free(h, from);
    heap_free(h, to);
    return err == E_NOENT ? E_OK : err;
}

/* The offset behind its last batch; behind the last whole one if it was damaged since. */
static enum err swap_end(struct io *io, const char *dir, const char *name, int64_t base, int64_t *end)
{
    uint8_t head[BATCH_HEAD];
    struct batch_view v;
    struct file *f;
    size_t got;
    char *path = path_join(io_heap(io), dir, name);
    enum err err = file_open(io, path, 0, &f);

    *end = base;
    heap_free(io_heap(io), path);
    if (err)
        return err;
    for (int64_t at = 0; at < file_size(f) && !err; at += (int64_t)v.len) {
        err = file_read(f, at, head, sizeof(head), &got);
        if (!err && batch_head(slice_of(head, got), &v))
            break;
        if (!err)
            *end = v.last_offset + 1;
    }
    file_unref(f);
    return err;
}

static bool is_segment_file(const char *name)
{
    return ends_with(name, ".log") || ends_with(name, "index");
}

/* Its indexes before the log itself: until then doing it again begins at the same place. */
static enum err finish(struct io *io, const char *dir, const struct names *l, const char *swap)
{
    int64_t base, end, at;
    enum err err = E_OK;

    if (!base_of(swap, &base))
        return E_MALFORMED;
    err = swap_end(io, dir, swap, base, &end);
    for (uint32_t i = 0; i < l->n && !err; i++)
        if (is_segment_file(l->v[i]) && base_of(l->v[i], &at) && (at == base || (at > base && at < end)))
            err = remove_name(io, dir, l->v[i]);
    if (!err)
        err = dir_sync(io, dir);
    for (uint32_t i = 0; i < l->n && !err; i++)
        if (ends_with(l->v[i], "index.swap") && base_of(l->v[i], &at) && at == base)
            err = unswap(io, dir, l->v[i]);
    return err ? err : unswap(io, dir, swap);
}

/* An index that was swapped behind its log, by a crash between the two, is as good as none: it is rebuilt. */
static enum err remove_left(struct io *io, const char *dir, const struct names *l)
{
    enum err err = E_OK;

    for (uint32_t i = 0; i < l->n && !err; i++)
        if (ends_with(l->v[i], "index.swap"))
            err = remove_name(io, dir, l->v[i]);
    return err;
}

enum err clean_swap_recover(struct io *io, const char *path)
{
    struct names l = {.heap = io_heap(io)};
    bool found = false;
    enum err err = dir_list(io, path, collect, &l);

    for (uint32_t i = 0; i < l.n && !err; i++)
        if (ends_with(l.v[i], ".cleaned")) {
            err = remove_name(io, path, l.v[i]);
            found = true;
        }
    for (uint32_t i = 0; i < l.n && !err; i++)
        if (ends_with(l.v[i], ".log.swap")) {
            err = finish(io, path, &l, l.v[i]);
            found = true;
        }
    if (!err)
        err = remove_left(io, path, &l);
    if (!err && found)
        err = dir_sync(io, path);
    heap_free(l.heap, l.v);
    return err;
}
