/* What lies in a partition's directory when it is opened: segments, and what an earlier life left to be
 * removed. */
#include "log/log_internal.h"
#include <stdlib.h>

enum { BASE_DIGITS = 20 };

struct listing {
    struct log *log;
    struct bytes remove; /* names, each with a NUL */
};

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);

    return n >= m && strcmp(name + n - m, end) == 0;
}

static struct segment *segment_of(struct log *log, int64_t base)
{
    struct segment *s = log_segment_at(log, base);

    return s && s->base == base ? s : NULL;
}

/* Names come in order, so bases rise. */
static void listed(void *arg, const char *name, bool is_dir)
{
    struct listing *l = arg;
    struct segment *s;
    char *end;
    int64_t base;

    if (is_dir)
        return;
    if (ends_with(name, ".deleted") || ends_with(name, ".tmp")) {
        bytes_add(&l->remove, name, strlen(name) + 1);
        return;
    }
    base = strtoll(name, &end, 10);
    if (end != name + BASE_DIGITS || base < 0 || strcmp(end, ".log") != 0)
        return;
    s = segment_new(l->log, base, "");
    s->index_n = INDEX_UNKNOWN;
    s->last_end = -1;
    s->max_timestamp = INT64_MIN;
    s->no_index = true; /* until both were listed */
    log_segment_push(l->log, s);
}

struct index_listing {
    struct listing *l;
    uint8_t *seen;
};

static void index_listed(void *arg, const char *name, bool is_dir)
{
    struct index_listing *x = arg;
    struct segment *s;
    char *end;
    int64_t base = strtoll(name, &end, 10);
    bool time = strcmp(end, ".timeindex") == 0;

    if (is_dir || end != name + BASE_DIGITS || (!time && strcmp(end, ".index") != 0))
        return;
    s = segment_of(x->l->log, base);
    if (s)
        x->seen[log_segment_number(x->l->log, s)] |= time ? 2 : 1;
    else
        bytes_add(&x->l->remove, name, strlen(name) + 1); /* its log is gone */
}

static enum err names_remove(struct log *log, const char *path, const struct bytes *names)
{
    enum err err = E_OK;

    for (size_t at = 0; at < names->len && !err; at += strlen((char *)names->p + at) + 1) {
        struct bytes full;

        bytes_init(&full, log->env->heap);
        bytes_printf(&full, "%s/%s", path, (char *)names->p + at);
        err = path_remove(log->env->io, (char *)full.p);
        if (err == E_NOENT)
            err = E_OK;
        bytes_drop(&full);
    }
    return err;
}

enum err log_directory_load(struct log *log, const char *path)
{
    struct listing l = {.log = log};
    struct index_listing x = {.l = &l};
    enum err err;

    bytes_init(&l.remove, log->env->heap);
    err = dir_list(log->env->io, path, listed, &l);
    if (!err) {
        x.seen = heap_alloc(log->env->heap, log->segments_n + 1);
        err = dir_list(log->env->io, path, index_listed, &x);
        for (uint32_t i = 0; i < log->segments_n; i++)
            log->segments[i]->no_index = x.seen[i] != 3;
        heap_free(log->env->heap, x.seen);
    }
    if (!err)
        err = names_remove(log, path, &l.remove);
    bytes_drop(&l.remove);
    for (uint32_t i = 0; i < log->segments_n && !err; i++) {
        struct file *file;

        err = segment_file(log->segments[i], SEGMENT_LOG, &file);
        if (!err)
            log->segments[i]->size = file_size(file);
    }
    return err;
}
