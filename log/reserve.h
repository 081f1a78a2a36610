/* Room for what must be written on a disk that is full: a start, the deletion of topics, settings that lower retention.
 *
 *     <dir>/weir-reserve   LOG_RESERVE_BYTES of nothing, in each log directory and in that of the metadata log
 *
 *     well    the file is there, and appends of records leave twice as much free beside it (log_env_config.keep_free)
 *     tight   somebody else took that room, or the metadata log did: the file was given up for metadata. Records are
 *             refused, and whoever decides metadata takes what frees room and lets the rest wait
 *     back    with three times as much free the file is made again
 *
 * Loop:   DISK loops; two may look at once.
 * Memory: one block, while the file is made. */
#pragma once
#include "base/io.h"

#define LOG_RESERVE_FILE "weir-reserve"
enum { LOG_RESERVE_BYTES = 1 << 20 };

/* Looks at the disk, and gives the file up or makes it as that says: at a start, when a write found no room, and from time
 * to time while it is tight. *tight: how it is now. What was made is on disk: a power cut must not take it. Fails only where the
 * disk does; one that can't say how much is free counts as well. */
enum err log_reserve_look(struct io *io, const char *dir, bool *tight);
