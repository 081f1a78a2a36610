/* A model of a disk under a page cache. Two trees: the live one, which the node sees, and the durable one, which a
 * power crash leaves. Between them lie the writes, resizes and changes of names that no sync has covered yet.
 * Pure: no clock, no io.h; chance comes in. One thread. */
#pragma once
#include "base/err.h"
#include "base/mem.h"

struct chance {
    uint64_t state;
};
uint64_t chance_next(struct chance *c);
uint64_t chance_below(struct chance *c, uint64_t n);
bool chance_hit(struct chance *c, uint32_t ppm);

enum { DISK_PAGE = 4096, DISK_SECTOR = 512 };
enum page_state { PAGE_COLD, PAGE_WRITTEN, PAGE_WARM };

struct disk;
struct inode;
struct disk *disk_new(void);
void disk_drop(struct disk *d);

/* Paths are normalised here: empty and "." parts vanish, relative ones begin at the root. */
struct inode *disk_find(struct disk *d, const char *path); /* NULL: no such file */
enum err disk_create(struct disk *d, const char *path, bool is_dir, struct inode **out); /* NOENT EXISTS */
enum err disk_move(struct disk *d, const char *from, const char *to);
/* Removes a tree, children first, at most `names` of them. */
enum err disk_remove(struct disk *d, const char *path, int64_t names);
int64_t disk_names(struct disk *d, const char *path); /* in the tree below and with path; 0: no such file */
void disk_sync_dir(struct disk *d, struct inode *dir);
/* All live names below path in name order, depth first. */
void disk_walk(struct disk *d, const char *path, void (*each)(void *arg, const char *path, struct inode *ino),
               void *arg);

bool inode_is_dir(const struct inode *ino);
int inode_names(const struct inode *dir);
const char *inode_name(const struct inode *dir, int i, struct inode **out); /* in name order */
int64_t inode_size(const struct inode *ino);
size_t inode_read(const struct inode *ino, int64_t at, void *to, size_t len); /* short at the end */
size_t inode_write(struct disk *d, struct inode *ino, int64_t at,
                   struct slice bytes); /* short: the disk is full */
void inode_resize(struct disk *d, struct inode *ino, int64_t size);
enum page_state inode_page(const struct inode *ino, int64_t at); /* WARM past the end */
void inode_page_set(struct inode *ino, int64_t at, size_t len, enum page_state st);
void inode_flip(struct inode *ino, int64_t at, uint8_t bits); /* on the platter too */

uint64_t inode_mark(const struct inode *ino);                /* what a sync that begins now must cover */
void inode_sync(struct inode *ino, uint64_t mark);           /* everything up to the mark is durable */
void inode_write_back(struct inode *ino, struct chance *c);  /* some of the oldest are */
void inode_sync_failed(struct inode *ino, struct chance *c); /* some are, the rest never will be */

/* Handles. `failed`: a sync failed while it was open; it is forgotten when the last handle closes. */
void inode_open(struct inode *ino);
void inode_close(struct inode *ino);
bool inode_failed(const struct inode *ino);
bool inode_locked(const struct inode *ino);
void inode_lock(struct inode *ino, bool on);

void disk_limit(struct disk *d, int64_t bytes); /* -1: none */
void disk_space(struct disk *d, int64_t *bytes_free, int64_t *bytes);
/* Power fails: each unsynced write is kept, lost or torn at sectors, each change of a name kept or lost. Nothing
 * may be open. */
void disk_power(struct disk *d, struct chance *c);
