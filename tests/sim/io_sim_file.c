/* base/io.h's files on disk.c. Each call is counted, may be told or drawn to fail, takes virtual time, and only then
 * has its effect: what happens meanwhile on other loops comes before it. */
#include "sim_impl.h"
#include <stdlib.h>

struct file {
    struct list link;
    struct io *io;
    struct inode *ino;
    char *path; /* as it was opened */
    int refs;
    bool writable;
    bool lock;
};

static struct host *host_of(struct io *io)
{
    return &io->s->hosts[io->node];
}

static struct disk *disk_of(struct io *io)
{
    return host_of(io)->disk;
}

enum cost { COST_FILE, COST_DISK };

/* What is to become of a file call. */
struct fate {
    enum err err; /* what it returns, if not E_OK */
    bool crash;   /* in the middle of it */
    bool half;    /* a crash: part of its effect comes first */
    enum sim_crash how;
};

static struct loop *disk_loop(struct io *io)
{
    struct loop *l = io->s->cur;

    ASSERT(l && l->kind == LOOP_DISK && l->io == io); /* file calls are for a DISK loop of the node */
    return l;
}

static int64_t call_cost(struct sim *s, const struct host *h, enum cost cost)
{
    if (cost == COST_DISK && h->speed.max > 0)
        return world_draw(s, h->speed);
    return world_draw(s, cost == COST_DISK ? s->opt.disk : s->opt.file);
}

/* `can_fail`: E_IO and E_FULL are among what the call may return at all. */
static struct fate call_begin(struct io *io, const char *what, enum cost cost, bool can_fail)
{
    struct loop *l = disk_loop(io);
    struct sim *s = io->s;
    struct host *h = host_of(io);
    struct fate fate = {0};
    int64_t at;

    h->file_calls++;
    world_event(s, what, io->node, l->id, h->file_calls);
    if (h->fail_at == h->file_calls) {
        fate.crash = h->fault <= SIM_CRASH_POWER;
        fate.how = h->fault == SIM_CRASH_POWER ? SIM_POWER : SIM_PROCESS;
        fate.half = fate.crash && sim_below(s, 2);
        if (!fate.crash && can_fail)
            fate.err = h->fault == SIM_FULL ? E_FULL : E_IO;
        h->fail_at = 0;
    }
    if (can_fail && sim_chance(s, s->opt.disk_error_ppm))
        fate.err = E_IO;
    at = (h->stall_until > s->now ? h->stall_until : s->now) + call_cost(s, h, cost);
    if (sim_chance(s, s->opt.disk_stall_ppm))
        at += world_draw(s, s->opt.stall);
    if (h->calls_until < at)
        h->calls_until = at;
    loop_wait(l, at);
    if (fate.crash && !fate.half)
        sim_crash(s, io->node, fate.how);
    return fate;
}

static bool is_broken(struct io *io, const char *path)
{
    const char *broken = host_of(io)->broken;

    return broken && strncmp(path, broken, strlen(broken)) == 0;
}

static struct fate call_on(struct io *io, const char *path, const char *what, enum cost cost)
{
    struct fate fate = call_begin(io, what, cost, true);

    if (!fate.crash && is_broken(io, path))
        fate.err = E_IO;
    return fate;
}

/* After the effect, or as much of it as a crash allowed. */
static enum err call_end(struct io *io, struct fate fate, enum err err)
{
    if (fate.crash)
        sim_crash(io->s, io->node, fate.how);
    if (err)
        world_event(io->s, "failed", io->node, err, 0);
    return err;
}

/* ---- handles ---- */

static struct file *handle_new(struct io *io, const char *path, struct inode *ino, bool writable)
{
    struct file *f = heap_alloc(io->heap, sizeof(*f));

    *f = (struct file){.io = io, .ino = ino, .refs = 1, .writable = writable};
    f->path = heap_str(io->heap, SLICE(path));
    list_add(&io->files, &f->link);
    inode_open(ino);
    return f;
}

static void handle_close(struct file *f)
{
    list_remove(&f->link);
    if (f->lock)
        inode_lock(f->ino, false);
    inode_close(f->ino);
}

void files_kill(struct io *io)
{
    list_each_safe (it, &io->files)
        handle_close(container_of(it, struct file, link));
}

struct file *file_ref(struct file *f)
{
    ASSERT(f->refs > 0);
    f->refs++;
    return f;
}

void file_unref(struct file *f)
{
    ASSERT(f->refs > 0);
    if (--f->refs > 0)
        return;
    handle_close(f);
    heap_free(f->io->heap, f->path);
    heap_free(f->io->heap, f);
}

static enum err open_ino(struct io *io, const char *path, int how, struct inode **out)
{
    *out = disk_find(disk_of(io), path);
    if (*out && (how & FILE_NEW))
        return E_EXISTS;
    if (*out)
        return inode_is_dir(*out) ? E_ACCESS : E_OK;
    if (!(how & (FILE_CREATE | FILE_NEW)))
        return E_NOENT;
    return disk_create(disk_of(io), path, false, out);
}

enum err file_open(struct io *io, const char *path, int how, struct file **out)
{
    struct fate fate = call_on(io, path, "open", COST_FILE);
    struct inode *ino;
    enum err err = fate.err;

    ASSERT((how & FILE_WRITE) || !(how & (FILE_CREATE | FILE_NEW)));
    if (err == E_OK)
        err = open_ino(io, path, how, &ino);
    err = call_end(io, fate, err);
    if (err)
        return err;
    *out = handle_new(io, path, ino, (how & FILE_WRITE) != 0);
    return E_OK;
}

enum err path_lock(struct io *io, const char *path, struct file **out)
{
    struct fate fate = call_on(io, path, "lock", COST_FILE);
    struct inode *ino;
    enum err err = fate.err;

    if (err == E_OK)
        err = open_ino(io, path, FILE_WRITE | FILE_CREATE, &ino);
    if (err == E_OK && inode_locked(ino))
        err = E_BUSY;
    err = call_end(io, fate, err);
    if (err)
        return err;
    *out = handle_new(io, path, ino, true);
    (*out)->lock = true;
    inode_lock(ino, true);
    return E_OK;
}

int64_t file_size(const struct file *f)
{
    ASSERT(f->refs > 0);
    return inode_size(f->ino);
}

/* ---- bytes ---- */

static bool is_warm(const struct file *f, int64_t at, size_t len)
{
    for (int64_t i = at / DISK_PAGE * DISK_PAGE; i < at + (int64_t)len; i += DISK_PAGE)
        if (inode_page(f->ino, i) == PAGE_COLD)
            return false;
    return true;
}

enum err file_read(struct file *f, int64_t at, void *to, size_t len, size_t *got)
{
    ASSERT(f->refs > 0 && at >= 0);
    struct fate fate = call_on(f->io, f->path, "read", is_warm(f, at, len) ? COST_FILE : COST_DISK);

    *got = 0;
    if (fate.err == E_OK) {
        *got = inode_read(f->ino, at, to, len);
        inode_page_set(f->ino, at, *got, PAGE_WARM);
    }
    return call_end(f->io, fate, fate.err);
}

static size_t total(const struct slice *v, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += v[i].len;
    return len;
}

/* The first `most` bytes of v; says whether they found room. */
static bool write_some(struct file *f, int64_t at, const struct slice *v, int n, size_t most)
{
    for (int i = 0; i < n && most > 0; i++) {
        struct slice part = {.p = v[i].p, .len = v[i].len < most ? v[i].len : most};
        size_t done = inode_write(disk_of(f->io), f->ino, at, part);
        world_fold_bytes(f->io->s, part.p, done);
        if (done < part.len)
            return false;
        at += (int64_t)done;
        most -= done;
    }
    return true;
}

enum err file_write(struct file *f, int64_t at, const struct slice *v, int n)
{
    ASSERT(f->refs > 0 && f->writable && at >= 0 && n >= 0);
    struct fate fate = call_on(f->io, f->path, "write", COST_FILE);
    size_t len = total(v, n);

    if (fate.crash || fate.err) /* after an error, unknown */
        len = (size_t)sim_below(f->io->s, len + 1);
    world_event(f->io->s, "bytes", f->io->node, at, (int64_t)len);
    if (inode_failed(f->ino))
        return call_end(f->io, fate, E_IO);
    if (!write_some(f, at, v, n, len) && !fate.err)
        fate.err = E_FULL;
    return call_end(f->io, fate, fate.err);
}

enum err file_resize(struct file *f, int64_t size)
{
    ASSERT(f->refs > 0 && f->writable && size >= 0);
    struct fate fate = call_on(f->io, f->path, "resize", COST_FILE);

    if (inode_failed(f->ino) && !fate.err)
        fate.err = E_IO;
    if (!fate.err)
        inode_resize(disk_of(f->io), f->ino, size);
    return call_end(f->io, fate, fate.err);
}

enum err file_warm(struct file *f, int64_t at, size_t len)
{
    ASSERT(f->refs > 0 && at >= 0);
    struct fate fate = call_on(f->io, f->path, "warm", is_warm(f, at, len) ? COST_FILE : COST_DISK);

    if (!fate.err)
        inode_page_set(f->ino, at, len, PAGE_WARM);
    return call_end(f->io, fate, fate.err);
}

void file_flush(struct file *f, int64_t at, size_t len)
{
    ASSERT(f->refs > 0 && f->writable && at >= 0);
    struct loop *l = disk_loop(f->io);

    world_event(f->io->s, "flush", f->io->node, l->id, at);
    inode_write_back(f->ino, &host_of(f->io)->chance);
}

enum { SYNC_MAX = 4096 };

enum err file_sync(struct file *const *v, int n)
{
    ASSERT(n > 0 && n <= SYNC_MAX);
    struct io *io = v[0]->io;
    struct chance *chance = &host_of(io)->chance;
    uint64_t *marks = heap_alloc(io->heap, (size_t)n * sizeof(*marks));
    enum err err = E_OK;

    for (int i = 0; i < n; i++) {
        ASSERT(v[i]->refs > 0 && v[i]->io == io && v[i]->writable);
        marks[i] = inode_mark(v[i]->ino);
    }
    struct fate fate = call_begin(io, "sync", COST_DISK, true);
    for (int i = 0; i < n; i++)
        if (!fate.crash && is_broken(io, v[i]->path))
            fate.err = E_IO;
    int some = fate.half ? (int)sim_below(io->s, (uint64_t)n + 1) : n;
    for (int i = 0; i < some; i++) {
        if (inode_failed(v[i]->ino))
            err = E_IO;
        else if (fate.err && (i == 0 || sim_below(io->s, 2)))
            inode_sync_failed(v[i]->ino, chance);
        else
            inode_sync(v[i]->ino, marks[i]);
    }
    heap_free(io->heap, marks);
    return call_end(io, fate, fate.err ? E_IO : err);
}

enum err file_peek(struct file *f, int64_t at, void *to, size_t len, size_t *got)
{
    struct sim *s = f->io->s;
    bool cold = false;

    ASSERT(f->refs > 0 && at >= 0 && s->cur && s->cur->io == f->io);
    for (int64_t i = at / DISK_PAGE * DISK_PAGE; i < at + (int64_t)len; i += DISK_PAGE) {
        enum page_state st = inode_page(f->ino, i);
        if (st == PAGE_WRITTEN)
            st = sim_chance(s, s->opt.cold_ppm) ? PAGE_COLD : PAGE_WARM;
        if (i < inode_size(f->ino))
            inode_page_set(f->ino, i, 1, st);
        cold = cold || st == PAGE_COLD;
    }
    *got = 0;
    if (cold)
        return E_COLD;
    *got = inode_read(f->ino, at, to, len);
    return E_OK;
}

size_t file_send(struct file *f, int64_t at, void *to, size_t len)
{
    ASSERT(f->refs > 0);
    ASSERT(is_warm(f, at, len)); /* a NET loop never waits for a disk: file_peek() or file_warm() first */
    return inode_read(f->ino, at, to, len);
}

/* ---- directories and paths ---- */

struct name {
    char *name;
    bool is_dir;
};

enum err dir_list(struct io *io, const char *path, dir_cb each, void *arg)
{
    struct fate fate = call_on(io, path, "list", COST_FILE);
    struct inode *dir = disk_find(disk_of(io), path), *ino;
    enum err err = fate.err;
    struct name *v;
    int n;

    if (!err && (!dir || !inode_is_dir(dir)))
        err = dir ? E_IO : E_NOENT;
    err = call_end(io, fate, err);
    if (err)
        return err;
    n = inode_names(dir); /* what each() changes in the directory isn't seen */
    v = heap_alloc(io->heap, ((size_t)n + 1) * sizeof(*v));
    for (int i = 0; i < n; i++) {
        v[i].name = heap_str(io->heap, SLICE(inode_name(dir, i, &ino)));
        v[i].is_dir = inode_is_dir(ino);
    }
    for (int i = 0; i < n; i++) {
        each(arg, v[i].name, v[i].is_dir);
        heap_free(io->heap, v[i].name);
    }
    heap_free(io->heap, v);
    return E_OK;
}

enum err dir_make(struct io *io, const char *path)
{
    struct fate fate = call_on(io, path, "mkdir", COST_FILE);
    struct inode *ino;

    if (!fate.err)
        fate.err = disk_create(disk_of(io), path, true, &ino);
    return call_end(io, fate, fate.err);
}

enum err dir_sync(struct io *io, const char *path)
{
    struct fate fate = call_on(io, path, "dirsync", COST_DISK);
    struct inode *dir = disk_find(disk_of(io), path);

    if (!fate.err && !dir)
        fate.err = E_NOENT;
    if (!fate.err)
        disk_sync_dir(disk_of(io), dir);
    return call_end(io, fate, fate.err);
}

enum err path_move(struct io *io, const char *from, const char *to)
{
    struct fate fate = call_on(io, from, "move", COST_FILE);

    if (!fate.err)
        fate.err = disk_move(disk_of(io), from, to);
    return call_end(io, fate, fate.err);
}

/* A crash or an error in the middle of it leaves some of the tree. */
enum err path_remove(struct io *io, const char *path)
{
    struct fate fate = call_on(io, path, "remove", COST_FILE);
    int64_t names = disk_names(disk_of(io), path);
    enum err err;

    if (names > 0 && (fate.err || fate.half))
        names = (int64_t)sim_below(io->s, (uint64_t)names);
    err = disk_remove(disk_of(io), path, names);
    return call_end(io, fate, fate.err ? fate.err : err);
}

enum err path_space(struct io *io, const char *path, int64_t *bytes_free, int64_t *bytes)
{
    struct fate fate = call_on(io, path, "space", COST_FILE);

    if (!fate.err && !disk_find(disk_of(io), path))
        fate.err = E_NOENT;
    if (!fate.err)
        disk_space(disk_of(io), bytes_free, bytes);
    return call_end(io, fate, fate.err);
}

/* ---- looks from outside ---- */

static struct disk *disk_at(struct sim *s, int node)
{
    ASSERT(node > 0 && node < SIM_NODES_MAX && s->hosts[node].disk);
    return s->hosts[node].disk;
}

enum err sim_file_read(struct sim *s, int node, const char *path, int64_t at, void *to, size_t len,
                       size_t *got)
{
    struct inode *ino = disk_find(disk_at(s, node), path);

    *got = 0;
    if (!ino || inode_is_dir(ino))
        return E_NOENT;
    *got = inode_read(ino, at, to, len);
    return E_OK;
}

int64_t sim_file_size(struct sim *s, int node, const char *path)
{
    struct inode *ino = disk_find(disk_at(s, node), path);

    return ino && !inode_is_dir(ino) ? inode_size(ino) : -1;
}

struct look {
    void (*each)(void *arg, const char *path, bool is_dir, int64_t size);
    void *arg;
};

static void look_each(void *arg, const char *path, struct inode *ino)
{
    struct look *look = arg;

    look->each(look->arg, path, inode_is_dir(ino), inode_size(ino));
}

void sim_files(struct sim *s, int node, const char *path,
               void (*each)(void *arg, const char *path, bool is_dir, int64_t size), void *arg)
{
    struct look look = {.each = each, .arg = arg};

    disk_walk(disk_at(s, node), path, look_each, &look);
}

/* Each parent on the way is made if it is missing, and everything is durable. */
enum err sim_file_put(struct sim *s, int node, const char *path, const void *p, size_t len)
{
    struct disk *d = disk_at(s, node);
    struct inode *ino = disk_find(d, "/"), *dir = ino;
    char part[1024];

    ASSERT(strlen(path) < sizeof(part));
    for (size_t i = 1; i <= strlen(path); i++) {
        if (path[i] && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        dir = ino;
        ino = disk_find(d, part);
        if (ino)
            continue;
        enum err err = disk_create(d, part, path[i] != 0, &ino);
        if (err)
            return err;
        disk_sync_dir(d, dir);
    }
    if (inode_is_dir(ino))
        return E_EXISTS;
    inode_resize(d, ino, 0);
    size_t n = inode_write(d, ino, 0, slice_of(p, len));
    inode_sync(ino, inode_mark(ino));
    return n == len ? E_OK : E_FULL;
}

enum err sim_file_flip(struct sim *s, int node, const char *path, int64_t at, uint8_t bits)
{
    struct inode *ino = disk_find(disk_at(s, node), path);

    if (!ino || inode_is_dir(ino) || at >= inode_size(ino))
        return E_NOENT;
    inode_flip(ino, at, bits);
    return E_OK;
}

int sim_files_open(const struct sim *s, int node)
{
    struct io *io = s->hosts[node].io;
    int n = 0;

    if (io)
        list_each (it, &io->files)
            n++;
    return n;
}
