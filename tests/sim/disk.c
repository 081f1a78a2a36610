#include "disk.h"
#include "base/check.h"
#include <stdlib.h>

/* Invariants
 * 1. A durable table names what a power crash would find if no pending change were kept.
 * 2. Applying all pending operations of a file in order to its durable bytes gives its live bytes, unless a sync of
 *    it has failed.
 * 3. used = pages of live bytes; nothing else counts against the limit. */

struct pages {
    uint8_t **v; /* NULL: zeros */
    uint8_t *state;
    size_t n;
    int64_t size;
};

struct entry {
    char *name;
    struct inode *ino;
};

struct table {
    struct entry *v;
    int n, room;
};

/* A write (p) or a resize (p == NULL, at: the size) that isn't durable. */
struct change {
    struct change *next;
    uint64_t seq;
    int64_t at;
    size_t len;
    uint8_t *p;
};

struct inode {
    struct inode *next;
    bool is_dir;
    bool failed;
    bool locked;
    bool seen, seen_live; /* by collect() */
    bool moved;           /* scratch of one look at the pending names */
    int opens;
    struct pages live, durable;
    struct table live_names, durable_names;
    struct change *first, **last;
    size_t pending; /* bytes */
    uint64_t seq;
};

enum name_op { NAME_ADD, NAME_DEL, NAME_MOVE };
struct name_change {
    enum name_op op;
    struct inode *dir, *dir2, *ino;
    char *name, *name2;
};

struct disk {
    struct inode *root;
    struct inode *inodes;
    struct name_change *names;
    int n_names, names_room;
    int64_t used, limit; /* bytes */
    int garbage;
};

enum { PENDING_MAX = 4 << 20, GARBAGE_MAX = 256, PART_MAX = 256 };

static void *must(void *p)
{
    ASSERT(p);
    return p;
}

uint64_t chance_next(struct chance *c)
{
    uint64_t z = (c->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t chance_below(struct chance *c, uint64_t n)
{
    ASSERT(n > 0);
    return chance_next(c) % n;
}

bool chance_hit(struct chance *c, uint32_t ppm)
{
    return ppm > 0 && chance_below(c, 1000000) < ppm;
}

/* ---- bytes of a file ---- */

static void pages_cut(struct pages *p, size_t n)
{
    for (size_t i = n; i < p->n; i++)
        free(p->v[i]);
    if (n < p->n)
        p->n = n;
}

static int64_t pages_used(const struct pages *p)
{
    int64_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        n += p->v[i] != NULL;
    return n * DISK_PAGE;
}

static void pages_resize(struct pages *p, int64_t size)
{
    size_t n = (size_t)((size + DISK_PAGE - 1) / DISK_PAGE);

    ASSERT(size >= 0);
    if (n > p->n) {
        p->v = must(realloc(p->v, n * sizeof(*p->v)));
        p->state = must(realloc(p->state, n));
        memset(p->v + p->n, 0, (n - p->n) * sizeof(*p->v));
        memset(p->state + p->n, PAGE_WRITTEN, n - p->n);
        p->n = n;
    }
    pages_cut(p, n);
    size_t tail = (size_t)(size % DISK_PAGE);
    if (size < p->size && tail && p->v[n - 1])
        memset(p->v[n - 1] + tail, 0, DISK_PAGE - tail);
    p->size = size;
}

/* used and limit: NULL where space doesn't matter. Says how many bytes found room. */
static size_t pages_write(struct pages *p, int64_t at, const uint8_t *from, size_t len, int64_t *used,
                          int64_t limit)
{
    size_t done = 0;

    if (len > 0 && at + (int64_t)len > p->size)
        pages_resize(p, at + (int64_t)len);
    while (done < len) {
        size_t i = (size_t)(at / DISK_PAGE), off = (size_t)(at % DISK_PAGE);
        size_t n = DISK_PAGE - off < len - done ? DISK_PAGE - off : len - done;
        if (!p->v[i]) {
            if (used && limit >= 0 && *used + DISK_PAGE > limit)
                break;
            p->v[i] = must(calloc(1, DISK_PAGE));
            if (used)
                *used += DISK_PAGE;
        }
        memcpy(p->v[i] + off, from + done, n);
        if (p->state[i] == PAGE_COLD && n == DISK_PAGE)
            p->state[i] = PAGE_WRITTEN;
        done += n;
        at += (int64_t)n;
    }
    return done;
}

static void pages_drop(struct pages *p)
{
    pages_cut(p, 0);
    free(p->v);
    free(p->state);
    *p = (struct pages){0};
}

static void pages_copy(struct pages *to, const struct pages *from)
{
    pages_drop(to);
    pages_resize(to, from->size);
    for (size_t i = 0; i < from->n; i++) {
        to->state[i] = PAGE_COLD;
        if (from->v[i])
            memcpy(to->v[i] = must(malloc(DISK_PAGE)), from->v[i], DISK_PAGE);
    }
}

bool inode_is_dir(const struct inode *ino)
{
    return ino->is_dir;
}

int64_t inode_size(const struct inode *ino)
{
    return ino->live.size;
}

size_t inode_read(const struct inode *ino, int64_t at, void *to, size_t len)
{
    const struct pages *p = &ino->live;
    size_t done = 0;

    ASSERT(at >= 0);
    while (done < len && at < p->size) {
        size_t i = (size_t)(at / DISK_PAGE), off = (size_t)(at % DISK_PAGE);
        size_t n = DISK_PAGE - off < len - done ? DISK_PAGE - off : len - done;
        if ((int64_t)n > p->size - at)
            n = (size_t)(p->size - at);
        if (p->v[i])
            memcpy((uint8_t *)to + done, p->v[i] + off, n);
        else
            memset((uint8_t *)to + done, 0, n);
        done += n;
        at += (int64_t)n;
    }
    return done;
}

static struct change *change_add(struct inode *ino, int64_t at, size_t len)
{
    struct change *c = must(calloc(1, sizeof(*c)));

    *c = (struct change){.seq = ++ino->seq, .at = at, .len = len};
    *ino->last = c;
    ino->last = &c->next;
    ino->pending += len;
    return c;
}

static void change_free(struct change *c)
{
    free(c->p);
    free(c);
}

static struct change *change_take(struct inode *ino)
{
    struct change *c = ino->first;

    ino->first = c->next;
    if (!ino->first)
        ino->last = &ino->first;
    ino->pending -= c->len;
    return c;
}

static void change_apply(struct inode *ino, const struct change *c)
{
    if (c->p)
        ASSERT(pages_write(&ino->durable, c->at, c->p, c->len, NULL, -1) == c->len);
    else
        pages_resize(&ino->durable, c->at);
}

static void collect(struct disk *d);

size_t inode_write(struct disk *d, struct inode *ino, int64_t at, struct slice bytes)
{
    int64_t size = ino->live.size;
    size_t n;

    ASSERT(at >= 0 && !ino->is_dir);
    if (bytes.len == 0)
        return 0;
    if (d->limit >= 0 && d->used + (int64_t)bytes.len + 2 * DISK_PAGE > d->limit)
        collect(d);
    n = pages_write(&ino->live, at, bytes.p, bytes.len, &d->used, d->limit);
    if (n < bytes.len) /* what found no room wasn't appended */
        pages_resize(&ino->live, size > at + (int64_t)n ? size : n > 0 ? at + (int64_t)n : size);
    if (n == 0)
        return 0;
    struct change *c = change_add(ino, at, n);
    memcpy(c->p = must(malloc(n)), bytes.p, n);
    while (ino->pending > PENDING_MAX) { /* the kernel writes back by itself at some time */
        c = change_take(ino);
        change_apply(ino, c);
        change_free(c);
    }
    return n;
}

void inode_resize(struct disk *d, struct inode *ino, int64_t size)
{
    int64_t before = pages_used(&ino->live);

    ASSERT(!ino->is_dir);
    pages_resize(&ino->live, size);
    d->used -= before - pages_used(&ino->live);
    change_add(ino, size, 0);
}

enum page_state inode_page(const struct inode *ino, int64_t at)
{
    size_t i = (size_t)(at / DISK_PAGE);

    return i < ino->live.n ? (enum page_state)ino->live.state[i] : PAGE_WARM;
}

void inode_page_set(struct inode *ino, int64_t at, size_t len, enum page_state st)
{
    size_t i = (size_t)(at / DISK_PAGE);

    for (; i < ino->live.n && (int64_t)i * DISK_PAGE < at + (int64_t)len; i++)
        ino->live.state[i] = (uint8_t)st;
}

static void pages_flip(struct pages *p, int64_t at, uint8_t bits)
{
    uint8_t b = 0;

    if (at >= p->size)
        return;
    if (p->v[at / DISK_PAGE])
        b = p->v[at / DISK_PAGE][at % DISK_PAGE];
    b ^= bits;
    ASSERT(pages_write(p, at, &b, 1, NULL, -1) == 1);
}

void inode_flip(struct inode *ino, int64_t at, uint8_t bits)
{
    ASSERT(at < ino->live.size);
    pages_flip(&ino->live, at, bits);
    pages_flip(&ino->durable, at, bits);
}

uint64_t inode_mark(const struct inode *ino)
{
    return ino->seq;
}

void inode_sync(struct inode *ino, uint64_t mark)
{
    while (ino->first && ino->first->seq <= mark) {
        struct change *c = change_take(ino);
        change_apply(ino, c);
        change_free(c);
    }
}

void inode_write_back(struct inode *ino, struct chance *c)
{
    while (ino->first && chance_below(c, 4) != 0)
        inode_sync(ino, ino->first->seq);
}

void inode_sync_failed(struct inode *ino, struct chance *c)
{
    ino->failed = true;
    while (ino->first) {
        struct change *ch = change_take(ino);
        if (chance_below(c, 2))
            change_apply(ino, ch);
        change_free(ch);
    }
}

void inode_open(struct inode *ino)
{
    ino->opens++;
}

void inode_close(struct inode *ino)
{
    ASSERT(ino->opens > 0);
    if (--ino->opens == 0)
        ino->failed = false;
}

bool inode_failed(const struct inode *ino)
{
    return ino->failed;
}

bool inode_locked(const struct inode *ino)
{
    return ino->locked;
}

void inode_lock(struct inode *ino, bool on)
{
    ino->locked = on;
}

/* ---- names ---- */

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
        t->v = must(realloc(t->v, (size_t)t->room * sizeof(*t->v)));
    }
    memmove(t->v + i + 1, t->v + i, (size_t)(t->n - i) * sizeof(*t->v));
    t->v[i] = (struct entry){.name = must(strdup(name)), .ino = ino};
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

static void table_drop(struct table *t)
{
    for (int i = 0; i < t->n; i++)
        free(t->v[i].name);
    free(t->v);
    *t = (struct table){0};
}

static void table_copy(struct table *to, const struct table *from)
{
    table_drop(to);
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
        d->names = must(realloc(d->names, (size_t)d->names_room * sizeof(*d->names)));
    }
    nc.name = must(strdup(nc.name));
    nc.name2 = nc.name2 ? must(strdup(nc.name2)) : NULL;
    d->names[d->n_names++] = nc;
}

static void name_apply(const struct name_change *nc)
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

static struct inode *inode_new(struct disk *d, bool is_dir)
{
    struct inode *ino = must(calloc(1, sizeof(*ino)));

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
        collect(d);
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

static void moved_clear(struct disk *d)
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

/* ---- the whole disk ---- */

struct disk *disk_new(void)
{
    struct disk *d = must(calloc(1, sizeof(*d)));

    d->limit = -1;
    d->root = inode_new(d, true);
    return d;
}

static void inode_free(struct disk *d, struct inode *ino)
{
    ASSERT(ino->opens == 0);
    d->used -= pages_used(&ino->live);
    while (ino->first)
        change_free(change_take(ino));
    pages_drop(&ino->live);
    pages_drop(&ino->durable);
    table_drop(&ino->live_names);
    table_drop(&ino->durable_names);
    free(ino);
}

void disk_drop(struct disk *d)
{
    for (struct inode *ino = d->inodes, *next; ino; ino = next) {
        next = ino->next;
        ino->opens = 0;
        inode_free(d, ino);
    }
    for (int i = 0; i < d->n_names; i++) {
        free(d->names[i].name);
        free(d->names[i].name2);
    }
    free(d->names);
    free(d);
}

static void see_live(struct inode *ino)
{
    ino->seen_live = true;
    for (int i = 0; i < ino->live_names.n; i++)
        see_live(ino->live_names.v[i].ino);
}

static void see(struct inode *ino)
{
    if (!ino || ino->seen)
        return;
    ino->seen = true;
    for (int i = 0; i < ino->live_names.n; i++)
        see(ino->live_names.v[i].ino);
    for (int i = 0; i < ino->durable_names.n; i++)
        see(ino->durable_names.v[i].ino);
}

/* Gives back the live bytes of what is neither named nor open, and what not even a power crash could bring back. */
static void collect(struct disk *d)
{
    d->garbage = 0;
    for (struct inode *ino = d->inodes; ino; ino = ino->next)
        ino->seen = ino->seen_live = false;
    see_live(d->root);
    see(d->root);
    for (int i = 0; i < d->n_names; i++) {
        see(d->names[i].dir);
        see(d->names[i].dir2);
        see(d->names[i].ino);
    }
    for (struct inode **at = &d->inodes; *at;) {
        struct inode *ino = *at;
        if (!ino->seen_live && ino->opens == 0 && ino->live.n > 0) {
            d->used -= pages_used(&ino->live);
            pages_drop(&ino->live);
        }
        if (ino->seen || ino->opens > 0) {
            at = &ino->next;
            continue;
        }
        *at = ino->next;
        inode_free(d, ino);
    }
}

void disk_limit(struct disk *d, int64_t bytes)
{
    d->limit = bytes;
}

void disk_space(struct disk *d, int64_t *bytes_free, int64_t *bytes)
{
    collect(d);
    *bytes = d->limit >= 0 ? d->limit : INT64_C(1) << 40;
    *bytes_free = *bytes > d->used ? *bytes - d->used : 0;
}

/* A torn write: of each of its sectors, the old or the new. */
static void tear(struct inode *ino, const struct change *c, struct chance *chance)
{
    for (size_t done = 0; done < c->len;) {
        size_t n = DISK_SECTOR - (size_t)((c->at + (int64_t)done) % DISK_SECTOR);
        if (n > c->len - done)
            n = c->len - done;
        if (chance_below(chance, 2))
            ASSERT(pages_write(&ino->durable, c->at + (int64_t)done, c->p + done, n, NULL, -1) == n);
        done += n;
    }
}

static void inode_power(struct inode *ino, struct chance *chance)
{
    uint64_t mood = chance_below(chance, 4); /* 0: all lost; 1: all kept; else each for itself */

    while (ino->first) {
        struct change *c = change_take(ino);
        uint64_t fate = mood < 2 ? mood : chance_below(chance, 3);
        if (fate == 1)
            change_apply(ino, c);
        else if (fate == 2 && c->p)
            tear(ino, c, chance);
        change_free(c);
    }
}

void disk_power(struct disk *d, struct chance *chance)
{
    uint64_t mood = chance_below(chance, 4); /* as for writes */

    moved_clear(d);
    for (int i = 0; i < d->n_names; i++) {
        struct name_change *nc = &d->names[i];
        bool kept = mood == 1 || (mood > 1 && chance_below(chance, 2));
        if (kept && !(nc->ino && nc->ino->moved))
            name_apply(nc);
        else if (nc->ino)
            nc->ino->moved =
                true; /* where a move was lost, the next one of the same file has nothing to move */
        free(nc->name);
        free(nc->name2);
    }
    d->n_names = 0;
    d->used = 0;
    for (struct inode *ino = d->inodes; ino; ino = ino->next) {
        ASSERT(ino->opens == 0);
        ino->locked = ino->failed = false;
        inode_power(ino, chance);
        pages_copy(&ino->live, &ino->durable);
        table_copy(&ino->live_names, &ino->durable_names);
        d->used += pages_used(&ino->live);
    }
    collect(d);
}
