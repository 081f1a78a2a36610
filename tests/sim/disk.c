#include "disk_impl.h"
#include <stdlib.h>

void *disk_must(void *p)
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

struct disk *disk_new(void)
{
    struct disk *d = disk_must(calloc(1, sizeof(*d)));

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
    names_drop(&ino->live_names);
    names_drop(&ino->durable_names);
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
void disk_collect(struct disk *d)
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
    disk_collect(d);
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
        names_copy(&ino->live_names, &ino->durable_names);
        d->used += pages_used(&ino->live);
    }
    disk_collect(d);
}
