/* Is a batch that isn't right the rest of a write that a crash tore, or did it rot on the disk?
 *
 *  1. A process that was killed leaves a file that ends too early, never wrong bytes.
 *  2. A power cut loses whole sectors of what wasn't synced. The file only grows, so what was lost reads as zeros, and of a
 *     batch all of its bytes in that sector.
 *
 * So a batch of whose head and of whose records no sector is zeros, and which doesn't reach past the file's end, was whole
 * once. Where its length reaches past the end, another batch behind it says that the length itself is wrong. (A batch that
 * ends with few bytes in a sector of their own, zeros by nature, passes for a torn one.)
 * Loop: the log's. Memory: up to TORN_LOOK_BYTES, while it looks. */
#pragma once
#include "base/io.h"

enum { TORN_LOOK_BYTES = 8 << 20 };

/* The bytes at .. size of the file begin with a batch that isn't right; `next` is the offset that it should have. */
enum err tail_torn(struct heap *h, struct file *file, int64_t at, int64_t size, int64_t next, bool *torn);
