#include "log/torn.h"
#include "base/check.h"
#include "proto/batch.h"

enum { SECTOR = 512, AHEAD_MAX = INT32_MAX };

static bool all_zero(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i])
            return false;
    return true;
}

/* true: of one sector of the file, all that `bytes`, which begin at `at`, have in it is zeros. */
static bool sector_lost(struct slice bytes, int64_t at)
{
    for (size_t i = 0; i < bytes.len;) {
        size_t n = SECTOR - (size_t)((at + (int64_t)i) % SECTOR);

        if (n > bytes.len - i)
            n = bytes.len - i;
        if (all_zero(slice_of(bytes.p + i, n)))
            return true;
        i += n;
    }
    return false;
}

/* The same of the head and of the records: they are written by one call, but each from a place of its own. */
static bool part_lost(struct slice batch, int64_t at)
{
    return sector_lost(slice_of(batch.p, BATCH_HEAD), at) ||
           sector_lost(slice_of(batch.p + BATCH_HEAD, batch.len - BATCH_HEAD), at + BATCH_HEAD);
}

/* true: a whole batch that could follow lies somewhere behind the first byte. */
static bool batch_behind(struct slice bytes, int64_t next)
{
    for (size_t i = 1; i + BATCH_HEAD <= bytes.len; i++) {
        struct slice rest = slice_of(bytes.p + i, bytes.len - i);
        struct batch_view v;

        if (rest.p[BATCH_MAGIC_AT] != 2 || batch_view(rest, &v))
            continue;
        if (v.base_offset > next && v.base_offset - next < AHEAD_MAX && batch_crc_ok(&v))
            return true;
    }
    return false;
}

static bool looks_torn(struct slice rest, int64_t at, int64_t next)
{
    struct batch_view v;
    enum err err = batch_head(rest, &v);

    if (rest.len < BATCH_HEAD)
        return true;
    if (err)
        return sector_lost(slice_of(rest.p, BATCH_HEAD), at);
    if (v.len <= rest.len)
        return part_lost(slice_of(rest.p, v.len), at);
    return part_lost(rest, at) || !batch_behind(rest, next);
}

enum err tail_torn(struct heap *h, struct file *file, int64_t at, int64_t size, int64_t next, bool *torn)
{
    size_t len = size - at < TORN_LOOK_BYTES ? (size_t)(size - at) : TORN_LOOK_BYTES, got;
    uint8_t *buf = heap_alloc(h, len);
    enum err err;

    ASSERT(size > at);
    err = file_read(file, at, buf, len, &got);
    if (!err)
        *torn = looks_torn(slice_of(buf, got), at, next);
    heap_free(h, buf);
    return err;
}
