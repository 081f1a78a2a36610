#include "tools/meta_source.h"
#include "base/check.h"
#include "quorum/ckpt.h"
#include "tools/dump.h"
#include "tools/meta_live.h"
#include <stdlib.h>

#define LOG_NAME "__cluster_metadata-0"

/* ---- which files there are ---- */

static bool ends_with(const char *name, const char *suffix)
{
    size_t len = strlen(name), n = strlen(suffix);

    return len > n && strcmp(name + len - n, suffix) == 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

struct listing {
    struct tool *t;
    const char *dir;
    struct meta_place *place;
    int room_logs, room_checkpoints;
    bool nested;
};

static void add(struct tool *t, struct meta_file **v, int *n, int *room, struct meta_file f)
{
    if (*n == *room) {
        struct meta_file *more;

        *room = *room ? *room * 2 : 16;
        more = arena_alloc(&t->arena, (size_t)*room * sizeof(*more));
        if (*n)
            memcpy(more, *v, (size_t)*n * sizeof(*more));
        *v = more;
    }
    (*v)[(*n)++] = f;
}

/* Names come in order, and a name's order is its offset's. */
static void listed(void *arg, const char *name, bool is_dir)
{
    struct listing *l = arg;
    struct meta_place *p = l->place;
    struct ckpt_id id = {0};

    if (is_dir && strcmp(name, LOG_NAME) == 0)
        l->nested = true;
    if (is_dir)
        return;
    struct meta_file f = {.path = arena_printf(&l->t->arena, "%s/%s", l->dir, name)};
    if (ckpt_parse(name, &id)) {
        f.offset = id.offset;
        f.epoch = id.epoch;
        add(l->t, &p->checkpoints, &p->n_checkpoints, &l->room_checkpoints, f);
    } else if (ends_with(name, ".log") && strspn(name, "0123456789") == strlen(name) - 4) {
        f.offset = strtoll(name, NULL, 10);
        add(l->t, &p->logs, &p->n_logs, &l->room_logs, f);
    }
}

static bool list(struct tool *t, const char *dir, struct meta_place *out)
{
    struct listing l = {.t = t, .dir = dir, .place = out};
    enum err err = dir_list(t->io, dir, listed, &l);

    if (!err && l.nested && out->n_logs == 0 && out->n_checkpoints == 0) {
        l.dir = arena_printf(&t->arena, "%s/" LOG_NAME, dir);
        err = dir_list(t->io, l.dir, listed, &l);
    }
    if (err && strchr(dir, ':'))
        tool_fail(t,
                  "%s: no such directory; a running cluster is read with --bootstrap-controller HOST:PORT, "
                  "or from the "
                  "metadata.log.dir of one of its nodes",
                  dir);
    else if (err)
        tool_fail(t, "%s can't be read: %s", l.dir, err_text(err));
    else if (out->n_logs == 0 && out->n_checkpoints == 0)
        tool_fail(t, "%s holds no metadata: no segment (.log), no snapshot (.checkpoint), no " LOG_NAME, dir);
    out->path = l.dir;
    return !t->ended;
}

/* A segment that doesn't begin at 0 makes no image by itself: the checkpoints beside it come with it. */
static void place_segment(struct tool *t, const char *path, struct meta_place *out)
{
    struct meta_file f = {.path = path};
    const char *name = base_name(path);
    struct listing l = {.t = t, .place = out, .dir = "."};

    if (strspn(name, "0123456789") == strlen(name) - 4)
        f.offset = strtoll(name, NULL, 10);
    if (f.offset > 0) {
        if (name != path)
            l.dir = arena_str(&t->arena, slice_of(path, (size_t)(name - path)));
        if (dir_list(t->io, l.dir, listed, &l))
            out->n_checkpoints = 0;
    }
    out->logs = NULL;
    out->n_logs = l.room_logs = 0;
    add(t, &out->logs, &out->n_logs, &l.room_logs, f);
}

bool meta_place_find(struct tool *t, const char *path, struct meta_place *out)
{
    struct meta_file f = {.path = path};
    struct ckpt_id id;
    int room = 0;

    *out = (struct meta_place){.path = path};
    if (ends_with(path, ".checkpoint")) {
        if (ckpt_parse(base_name(path), &id)) {
            f.offset = id.offset;
            f.epoch = id.epoch;
        }
        add(t, &out->checkpoints, &out->n_checkpoints, &room, f);
    } else if (ends_with(path, ".log")) {
        place_segment(t, path, out);
    } else {
        out->directory = true;
        return list(t, path, out);
    }
    return true;
}

/* ---- reading them one after the other ---- */

struct files {
    struct meta_source source;
    struct dump dump; /* for dump_reader */
    const struct meta_file *v;
    int n, at;
    int64_t from;
    bool open;
    struct dump_reader reader;
    int64_t position;
};

static enum err file_step(struct files *f, struct meta_batch *out)
{
    enum err err = E_OK;

    out->where = f->v[f->at].path;
    out->position = f->position;
    out->file = f->at;
    if (!f->open) {
        f->open = true;
        err = dump_open(&f->dump, &f->reader, out->where, INT64_MAX);
        f->reader.batch_max = META_BATCH_MAX;
    }
    if (!err)
        err = dump_batch(&f->reader, f->position, &out->view);
    if (!err)
        f->position += (int64_t)out->view.len;
    return err;
}

static enum err files_next(struct meta_source *s, struct meta_batch *out)
{
    struct files *f = container_of(s, struct files, source);

    while (f->at < f->n) {
        enum err err = file_step(f, out);

        if (!err && out->view.last_offset < f->from)
            continue;
        if (err != E_EOF)
            return err;
        dump_close(&f->reader);
        f->open = false;
        f->position = 0;
        f->at++;
    }
    return E_EOF;
}

static void files_close(struct meta_source *s)
{
    struct files *f = container_of(s, struct files, source);

    if (f->open)
        dump_close(&f->reader);
    heap_free(f->dump.t->heap, f);
}

struct meta_source *meta_files(struct tool *t, const struct meta_file *v, int n, int64_t from)
{
    struct files *f;

    if (n > 0 && v[0].live)
        return meta_live_source(v, from);
    f = heap_alloc(t->heap, sizeof(*f));
    while (n > 1 && v[1].offset <= from) {
        v++;
        n--;
    }
    *f = (struct files){
        .source = {.next = files_next, .close = files_close}, .dump = {.t = t}, .v = v, .n = n, .from = from};
    return &f->source;
}
