#include "log/whole_file.h"
#include <stdio.h>

char *path_join(struct heap *h, const char *dir, const char *name)
{
    size_t len = strlen(dir) + strlen(name) + 2;
    char *path = heap_alloc(h, len);
    (void)snprintf(path, len, "%s/%s", dir, name);
    return path;
}

enum err whole_file_read(struct io *io, const char *path, size_t max, struct bytes *out)
{
    struct file *f;
    size_t had = out->len, got;
    enum err err = file_open(io, path, 0, &f);

    if (err)
        return err;
    int64_t size = file_size(f);
    if ((uint64_t)size > max) {
        err = E_MALFORMED;
        goto out;
    }
    err = file_read(f, 0, bytes_more(out, (size_t)size), (size_t)size, &got);
    out->len = had + (err ? 0 : got);
out:
    file_unref(f);
    return err;
}

enum err whole_file_write(struct io *io, const char *path, struct slice what, bool sync)
{
    struct file *f;
    enum err err = file_open(io, path, FILE_WRITE | FILE_CREATE, &f);

    if (err)
        return err;
    err = file_resize(f, 0);
    if (!err)
        err = file_write(f, 0, &what, 1);
    if (!err && sync)
        err = file_sync(&f, 1);
    file_unref(f);
    return err;
}

static enum err swap(struct io *io, const char *dir, const char *name, struct slice what, bool sync)
{
    struct heap *h = io_heap(io);
    char *to = path_join(h, dir, name);
    size_t len = strlen(to) + sizeof(".tmp");
    char *tmp = heap_alloc(h, len);

    (void)snprintf(tmp, len, "%s.tmp", to);
    enum err err = whole_file_write(io, tmp, what, sync);
    if (!err)
        err = path_move(io, tmp, to);
    if (!err && sync)
        err = dir_sync(io, dir);
    heap_free(h, tmp);
    heap_free(h, to);
    return err;
}

enum err whole_file_replace(struct io *io, const char *dir, const char *name, struct slice what)
{
    return swap(io, dir, name, what, true);
}

enum err whole_file_swap(struct io *io, const char *dir, const char *name, struct slice what)
{
    return swap(io, dir, name, what, false);
}
