/* Names: directories, paths, and the changes that no sync of a directory has covered. */
#include "disk_impl.h"
#include <stdlib.h>

enum { GARBAGE_MAX = 256, PART_MAX = 256 };

static int table_find(const struct table *t, const char *name, bool *found)
{
    int lo = 0, hi = t->n;

    *found = false;
    while (lo < hi) {
        int mid = (lo + hi) / 2, c = strcmp(t->v[mid].name, name);
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct inode *table_get(const struct table *t, const char *name)
{
    bool found;
    int i = table_find(t, name, &found);

    return found ? t->v[i].ino : NULL;
}

static void table_put(struct table *t, const char *name, struct inode *ino)
{
    bool found;
    int i = table_find(t, name, &found);

    if (found) {
        t->v[i].ino = ino;
        return;
    }
    if (t->n == t->room) {
        t->room = t->room ? t->room * 2 : 8;
        t->v = disk_must(realloc(t->v, (size_t)t->room * sizeof(*t->v)));
    }
    memmove(t->v + i + 1, t->v + i, (size_t)(t->n - i) * sizeof(*t->v));
    t->v[i] = (struct entry){.name = disk_must(strdup(name)), .ino = ino};
    t->n++;
}

static void table_remove(struct table *t, const char *name)
{
    bool found;
    int i = table_find(t, name, &found);

    if (!found)
        return;
    free(t->v[i].name);
    t->n--;
    memmove(t->v + i, t->v + i + 1, (size_t)(t->n - i) * sizeof(*t->v));
}

void names_drop(struct table *t)
{
    for (int i = 0; i < t->n; i++)
        free(t->v[i].name);
    free(t->v);
    *t = (struct table){0};
}

void names_copy(struct table *to, const struct table *from)
{
    names_drop(to);
    for (int i = 0; i < from->n; i++)
        table_put(to, from->v[i].name, from->v[i].ino);
}

int inode_names(const struct inode *dir)
{
    return dir->live_names.n;
}

const char *inode_name(const struct inode *dir, int i, struct inode **out)
{
    *out = dir->live_names.v[i].ino;
    return dir->live_names.v[i].name;
}

/* The next part of a path into `part`; false at its end. */
static bool path_next(const char **at, char *part)
{
    for (;;) {
        size_t n = 0;
        while (**at == '/')
            (*at)++;
        while ((*at)[n] && (*at)[n] != '/')
            n++;
        if (n == 0)
            return false;
        ASSERT(n < PART_MAX);
        memcpy(part, *at, n);
        part[n] = 0;
        *at += n;
        ASSERT(strcmp(part, "..") != 0);
        if (strcmp(part, ".") != 0)
            return true;
    }
}

/* The directory that holds, or would hold, the last part of the path; NULL: there is none, or path is the root. */
static struct inode *parent_find(struct disk *d, const char *path, char *last)
{
    struct inode *dir = NULL, *ino = d->root;
    char part[PART_MAX];

    while (path_next(&path, part)) {
        if (!ino || !ino->is_dir)
            return NULL;
        dir = ino;
        ino = table_get(&dir->live_names, part);
        strcpy(last, part);
    }
    return dir;
}

struct inode *disk_find(struct disk *d, const char *path)
{
    struct inode *ino = d->root;
    char part[PART_MAX];

    while (ino && path_next(&path, part))
        ino = ino->is_dir ? table_get(&ino->live_names, part) : NULL;
    return ino;
}

static void name_change(struct disk *d, struct name_change nc)
{
    if (d->n_names == d->names_room) {
        d->names_room = d->names_room ? d->names_room * 2 : 16;
        d->names = disk_must(realloc(d->names, (size_t)d->names_room * sizeof(*d->names)));
    }
    nc.name = disk_must(strdup(nc.name));
    nc.name2 = nc.name2 ? disk_must(strdup(nc.name2)) : NULL;
    d->names[d->n_names++] = nc;
}

void name_apply(const struct name_change *nc)
{
    if (nc->op == NAME_ADD)
        table_put(&nc->dir->durable_names, nc->name, nc->ino);
    else if (nc->op == NAME_DEL)
        table_remove(&nc->dir->durable_names, nc->name);
    else {
        if (table_get(&nc->dir->durable_names, nc->name) == nc->ino)
            table_remove(&nc->dir->durable_names, nc->name);
        table_put(&nc->dir2->durable_names, nc->name2, nc->ino);
    }
}

struct inode *inode_new(struct disk *d, bool is_dir)
{
    struct inode *ino = disk_must(calloc(1, sizeof(*ino)));

    ino->is_dir = is_dir;
    ino->last = &ino->first;
    ino->next = d->inodes;
    d->inodes = ino;
    return ino;
}

enum err disk_create(struct disk *d, const char *path, bool is_dir, struct inode **out)
{
    char name[PART_MAX];
    struct inode *dir = parent_find(d, path, name);

    if (disk_find(d, path))
        return E_EXISTS;
    if (!dir)
        return E_NOENT;
    *out = inode_new(d, is_dir);
    table_put(&dir->live_names, name, *out);
    name_change(d, (struct name_change){.op = NAME_ADD, .dir = dir, .ino = *out, .name = name});
    return E_OK;
}

static void garbage(struct disk *d)
{
    if (++d->garbage > GARBAGE_MAX)
        disk_collect(d);
}

enum err disk_move(struct disk *d, const char *from, const char *to)
{
    char name[PART_MAX], name2[PART_MAX];
    struct inode *dir = parent_find(d, from, name), *dir2 = parent_find(d, to, name2);
    struct inode *ino = disk_find(d, from), *old = disk_find(d, to);

    if (!ino || !dir || !dir2)
        return E_NOENT;
    if (old == ino)
        return E_OK;
    if (old && (old->is_dir != ino->is_dir || old->live_names.n > 0))
        return E_EXISTS;
    table_remove(&dir->live_names, name);
    table_put(&dir2->live_names, name2, ino);
    name_change(d, (struct name_change){
                       .op = NAME_MOVE, .dir = dir, .dir2 = dir2, .ino = ino, .name = name, .name2 = name2});
    garbage(d);
    return E_OK;
}

static void remove_below(struct disk *d, struct inode *dir, const char *name, int64_t *names)
{
    struct inode *ino = table_get(&dir->live_names, name);

    while (*names > 0 && ino->live_names.n > 0)
        remove_below(d, ino, ino->live_names.v[0].name, names);
    if (*names <= 0)
        return;
    (*names)--;
    name_change(d, (struct name_change){.op = NAME_DEL, .dir = dir, .name = (char *)name});
    table_remove(&dir->live_names, name);
}

enum err disk_remove(struct disk *d, const char *path, int64_t names)
{
    char name[PART_MAX];
    struct inode *dir = parent_find(d, path, name);

    if (!dir || !table_get(&dir->live_names, name))
        return E_NOENT;
    remove_below(d, dir, name, &names);
    garbage(d);
    return E_OK;
}

static int64_t names_below(const struct inode *ino)
{
    int64_t n = 1;

    for (int i = 0; i < ino->live_names.n; i++)
        n += names_below(ino->live_names.v[i].ino);
    return n;
}

int64_t disk_names(struct disk *d, const char *path)
{
    struct inode *ino = disk_find(d, path);

    return ino ? names_below(ino) : 0;
}

void moved_clear(struct disk *d)
{
    for (int i = 0; i < d->n_names; i++)
        if (d->names[i].ino)
            d->names[i].ino->moved = false;
}

/* A move is atomic, so it takes what its file went through before with it. */
void disk_sync_dir(struct disk *d, struct inode *dir)
{
    int kept = 0;

    moved_clear(d);
    for (int i = 0; i < d->n_names; i++)
        if (d->names[i].op == NAME_MOVE && (d->names[i].dir == dir || d->names[i].dir2 == dir))
            d->names[i].ino->moved = true;
    for (int i = 0; i < d->n_names; i++) {
        struct name_change *nc = &d->names[i];
        if (nc->dir != dir && nc->dir2 != dir && !(nc->ino && nc->ino->moved)) {
            d->names[kept++] = *nc;
            continue;
        }
        name_apply(nc);
        free(nc->name);
        free(nc->name2);
    }
    d->n_names = kept;
}

static void walk(struct inode *dir, struct bytes *path, void (*each)(void *, const char *, struct inode *),
                 void *arg)
{
    size_t len = path->len;

    for (int i = 0; i < dir->live_names.n; i++) {
        struct inode *ino = dir->live_names.v[i].ino;
        bytes_printf(path, "/%s", dir->live_names.v[i].name);
        *bytes_more(path, 1) = 0;
        path->len--;
        each(arg, (const char *)path->p, ino);
        if (ino->is_dir)
            walk(ino, path, each, arg);
        path->len = len;
    }
}

void disk_walk(struct disk *d, const char *path, void (*each)(void *arg, const char *path, struct inode *ino),
               void *arg)
{
    struct inode *dir = disk_find(d, path);
    struct heap *h;
    struct bytes b;

    if (!dir || !dir->is_dir)
        return;
    h = heap_new(false);
    bytes_init(&b, h);
    if (dir != d->root)
        bytes_add(&b, path, strlen(path));
    walk(dir, &b, each, arg);
    bytes_drop(&b);
    heap_drop(h);
}
