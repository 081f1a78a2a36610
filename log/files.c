/* Descriptors of segments: opened when needed, closed when there are too many or nobody uses them. */
#include "base/check.h"
#include "log/log_internal.h"
#include <inttypes.h>
#include <stdio.h>

#define MENDED ".cleaned" /* a start removes what it finds of it */

char *segment_path(const struct segment *s, enum segment_file kind, const char *suffix)
{
    static const char *const ends[SEGMENT_FILES] = {".log", ".index", ".timeindex"};
    struct bytes path;

    bytes_init(&path, s->log->env->heap);
    bytes_printf(&path, "%s/%s/%020" PRId64 "%s%s", s->log->dir->path, s->log->name, s->base, ends[kind],
                 suffix);
    return (char *)path.p;
}

void files_close(struct log_file *f)
{
    struct log_env *env = f->segment->log->env;

    f->segment->files[f->kind] = NULL;
    list_remove(&f->link);
    file_unref(f->file);
    heap_free(env->heap, f);
    env->files_n--;
}

void segment_files_close(struct segment *s)
{
    for (int i = 0; i < SEGMENT_FILES; i++)
        if (s->files[i])
            files_close(s->files[i]);
}

static bool files_closable(const struct log_file *f)
{
    return !(f->segment->log->config->durable && f->segment->unsynced & 1 << f->kind);
}

/* Down to the bound again, but for those of `keep`, which is in use. Writing a tail opens files: not from
 * inside. */
static void files_trim(struct log_env *env, const struct segment *keep)
{
    if (env->trimming)
        return;
    env->trimming = true;
    for (struct list *it = env->files.next; it != &env->files && env->files_n > env->config.files_max;) {
        struct log_file *f = container_of(it, struct log_file, link);

        it = it->next;
        if (f->segment == keep || !files_closable(f))
            continue;
        if (f->segment->tail) {
            segment_rest(f->segment);
            it = env->files.next;
        } else {
            files_close(f);
        }
    }
    env->trimming = false;
}

void files_rest(struct log_env *env, int64_t unused_since_ms)
{
    for (struct list *it = env->files.next; it != &env->files;) {
        struct log_file *f = container_of(it, struct log_file, link);

        if (f->used_ms > unused_since_ms)
            break;
        it = it->next;
        if (!files_closable(f))
            continue;
        segment_rest(f->segment);
        it = env->files.next;
    }
}

enum err segment_file(struct segment *s, enum segment_file kind, struct file **out)
{
    struct log_env *env = s->log->env;
    struct log_file *f = s->files[kind];
    struct file *file;
    enum err err;
    char *path;

    if (f) {
        f->used_ms = env->now_ms;
        list_remove(&f->link);
        list_add(&env->files, &f->link);
        *out = f->file;
        return E_OK;
    }
    path = segment_path(s, kind, s->mending && kind != SEGMENT_LOG ? MENDED : s->suffix);
    err = file_open(env->io, path, FILE_WRITE, &file);
    if (err == E_NOENT) {
        err = file_open(env->io, path, FILE_WRITE | FILE_CREATE, &file);
        s->log->names_loose = true;
    }
    heap_free(env->heap, path);
    if (err)
        return err;
    f = heap_alloc(env->heap, sizeof *f);
    *f = (struct log_file){.segment = s, .kind = kind, .file = file, .used_ms = env->now_ms};
    list_add(&env->files, &f->link);
    s->files[kind] = f;
    env->files_n++;
    env->counters.files_opened++;
    files_trim(env, s);
    *out = file;
    return E_OK;
}

enum err segment_rename(struct segment *s, const char *suffix)
{
    struct log_env *env = s->log->env;
    enum err err = E_OK;

    segment_files_close(s);
    /* The log goes first when it leaves, last when it comes: there is never a .log whose indexes are older.
     */
    for (int i = 0; i < SEGMENT_FILES && !err; i++) {
        enum segment_file kind = *suffix ? (enum segment_file)i : (enum segment_file)(SEGMENT_FILES - 1 - i);
        char *from = segment_path(s, kind, s->suffix);
        char *to = segment_path(s, kind, suffix);

        err = path_move(env->io, from, to);
        if (err == E_NOENT)
            err = E_OK;
        heap_free(env->heap, from);
        heap_free(env->heap, to);
    }
    if (!err)
        s->suffix = suffix;
    s->log->names_loose = true;
    return err;
}

enum err segment_indexes_place(struct segment *s)
{
    struct log_env *env = s->log->env;
    enum err err = E_OK;

    ASSERT(s->mending && s->finished);
    for (int i = SEGMENT_INDEX; i <= SEGMENT_TIME && !err; i++) {
        enum segment_file kind = (enum segment_file)i;
        char *from = segment_path(s, kind, MENDED), *to = segment_path(s, kind, s->suffix);
        struct file *file;

        err = segment_file(s, kind, &file);
        if (!err)
            err = file_sync(&file, 1);
        if (!err)
            err = path_move(env->io, from, to);
        heap_free(env->heap, from);
        heap_free(env->heap, to);
    }
    segment_files_close(s);
    s->mending = false;
    s->log->names_loose = true;
    return err;
}
