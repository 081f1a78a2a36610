/* What the model of a disk is made of: disk_bytes.c has the bytes of files, disk_names.c names and paths, disk.c the disk
 * as a whole and what a power cut does to it.
 *
 * Invariants
 * 1. A durable table names what a power crash would find if no pending change were kept.
 * 2. Applying all pending operations of a file in order to its durable bytes gives its live bytes, unless a sync of
 *    it has failed.
 * 3. used = pages of live bytes; nothing else counts against the limit. */
#pragma once
#include "base/check.h"
#include "disk.h"

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

void *disk_must(void *p);          /* p, which isn't NULL */
void disk_collect(struct disk *d); /* gives back what is neither named nor open */

/* disk_bytes.c */
int64_t pages_used(const struct pages *p);
size_t pages_write(struct pages *p, int64_t at, const uint8_t *from, size_t len, int64_t *used,
                   int64_t limit);
void pages_copy(struct pages *to, const struct pages *from);
void pages_drop(struct pages *p);
struct change *change_take(struct inode *ino); /* the oldest; the caller frees it */
void change_apply(struct inode *ino, const struct change *c);
void change_free(struct change *c);

/* disk_names.c */
struct inode *inode_new(struct disk *d, bool is_dir);
void names_drop(struct table *t);
void names_copy(struct table *to, const struct table *from);
void name_apply(const struct name_change *nc);
void moved_clear(struct disk *d);
