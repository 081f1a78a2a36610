/* How compaction puts one segment in the place of several, so that a crash at any moment leaves all of the
 * old ones or the new one, never a mixture. Kafka's protocol and names, which its own start can finish too:
 *
 *     1  <base>.{log,index,timeindex}.cleaned   written and synced             a crash: removed
 *     2  … .swap                                renamed, directory synced      a crash: finished, from here
 * on 3  the old segments' files .deleted       renamed, directory synced 4  <base>.log … renamed, directory
 * synced
 *
 * A swapped segment stands for the offsets from its base to behind its last batch: finishing removes every
 * segment that begins there. What an old one holds behind that is still right, if not compact, and is cleaned
 * again.
 *
 * Loop: the log's. */
#pragma once
#include "log/segment.h"

/* A segment for step 1, without a file; what an earlier try may have left under its names is removed. */
enum err clean_swap_begin(struct log *log, int64_t base, struct segment **fresh);
/* Steps 1 to 4: `fresh` (.cleaned, all of its bytes appended) takes the place of n segments from `first` on.
 * It belongs to the log if it is E_OK. Before step 2 is done an error leaves the log as it was; the files of
 * `fresh` are removed, and it is freed. Behind that a start has to finish, so the directory is offline. */
enum err clean_swap(struct log *log, uint32_t first, uint32_t n, struct segment *fresh, int64_t now_ms);
/* A segment that was not to be: its files are removed, it is freed. */
enum err clean_swap_discard(struct segment *fresh);
/* At a start, before the segments in the directory `path` are listed: removes what was being written,
 * finishes what was being swapped. Doing it again changes nothing. */
enum err clean_swap_recover(struct io *io, const char *path);
