/* Small files that are read and written whole: checkpoints, snapshots.
 * Loop: DISK loops. Memory: a file's bytes, for as long as the caller holds them. */
#pragma once
#include "base/io.h"

/* dir/name; the caller frees it. */
char *path_join(struct heap *h, const char *dir, const char *name);

/* All of it, added to `out`. E_NOENT; E_MALFORMED: larger than `max`, so it isn't what it should be. */
enum err whole_file_read(struct io *io, const char *path, size_t max, struct bytes *out);
/* The file holds these bytes and no others, on disk if `sync`. A crash meanwhile leaves anything: for what
 * has a checksum of its own. */
enum err whole_file_write(struct io *io, const char *path, struct slice what, bool sync);
/* dir/name holds these bytes afterwards, on disk; after an error or a crash what it held before, or these.
 * By way of dir/name.tmp, which is left behind at worst and overwritten by the next. */
enum err whole_file_replace(struct io *io, const char *dir, const char *name, struct slice what);
/* The same for a crash of the process alone. After a power cut it may also be torn or missing, until the caller has
 * synced the file and then `dir`: for what can be told from elsewhere. */
enum err whole_file_swap(struct io *io, const char *dir, const char *name, struct slice what);
