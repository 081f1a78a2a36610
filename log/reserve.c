#include "log/reserve.h"
#include "base/trace.h"
#include "log/whole_file.h"

enum { BLOCK = 1 << 16, BLOCKS = LOG_RESERVE_BYTES / BLOCK };

/* Chance can't be compressed away by a file system. */
static enum err fill(struct io *io, const char *dir, const char *path)
{
    uint8_t *block = heap_alloc(io_heap(io), BLOCK);
    struct slice v[BLOCKS];
    struct file *f;
    enum err err = file_open(io, path, FILE_WRITE | FILE_CREATE, &f);

    io_random(io, block, BLOCK);
    for (int i = 0; i < BLOCKS; i++)
        v[i] = slice_of(block, BLOCK);
    if (!err) {
        err = file_write(f, 0, v, BLOCKS);
        if (!err)
            err = file_sync(&f, 1);
        file_unref(f);
    }
    if (!err)
        err = dir_sync(io, dir);
    heap_free(io_heap(io), block);
    return err;
}

static enum err is_whole(struct io *io, const char *path, bool *whole)
{
    struct file *f;
    enum err err = file_open(io, path, 0, &f);

    *whole = false;
    if (err)
        return err == E_NOENT ? E_OK : err;
    *whole = file_size(f) >= LOG_RESERVE_BYTES;
    file_unref(f);
    return E_OK;
}

static enum err give_up(struct io *io, const char *dir, const char *path)
{
    enum err err = path_remove(io, path);

    if (err == E_NOENT)
        return E_OK;
    if (!err)
        TRACE(io, log_reserve_used, dir, (int)LOG_RESERVE_BYTES);
    return err;
}

enum err log_reserve_look(struct io *io, const char *dir, bool *tight)
{
    int64_t bytes_free, bytes;
    bool whole;
    char *path;
    enum err err;

    *tight = false;
    if (path_space(io, dir, &bytes_free, &bytes))
        return E_OK;
    path = path_join(io_heap(io), dir, LOG_RESERVE_FILE);
    err = is_whole(io, path, &whole);
    *tight = bytes_free < LOG_RESERVE_BYTES || (!whole && bytes_free < (int64_t)3 * LOG_RESERVE_BYTES);
    if (!err && *tight)
        err = give_up(io, dir, path);
    else if (!err && !whole)
        err = fill(io, dir, path);
    if (err == E_FULL) { /* others were faster: what was written of it is theirs */
        *tight = true;
        err = give_up(io, dir, path);
    }
    heap_free(io_heap(io), path);
    return err;
}
