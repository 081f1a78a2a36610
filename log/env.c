/* What the logs of one DISK loop share: directories, descriptors, removals that are due. */
#include "base/check.h"
#include "log/log_internal.h"

enum { FILE_IDLE_MS = 60000, FULL_RETRY_MS = 500 };

struct log_env *log_env_new(const struct log_env_config *config)
{
    struct heap *heap = io_heap(config->io);
    struct log_env *env = heap_alloc(heap, sizeof *env);

    ASSERT(config->files_max >= SEGMENT_FILES && config->index_pages_max >= 1);
    *env =
        (struct log_env){.config = *config, .io = config->io, .heap = heap, .now_ms = io_wall_ms(config->io)};
    io_random(env->io, &env->seed, sizeof env->seed);
    list_init(&env->files);
    list_init(&env->pages);
    list_init(&env->removals);
    list_init(&env->logs);
    return env;
}

static void removal_free(struct log_env *env, struct log_removal *r)
{
    list_remove(&r->link);
    heap_free(env->heap, r->path);
    heap_free(env->heap, r);
}

void log_env_drop(struct log_env *env)
{
    ASSERT(list_empty(&env->logs) && env->files_n == 0 && env->pages_n == 0);
    list_each_safe (
        it, &env->removals) /* what is left is removed when the log, or the directory, is next opened */
        removal_free(env, container_of(it, struct log_removal, link));
    for (int i = 0; i < env->dirs_n; i++) {
        heap_free(env->heap, env->dirs[i]->path);
        heap_free(env->heap, env->dirs[i]);
    }
    heap_free(env->heap, env->dirs);
    heap_free(env->heap, env);
}

struct log_dir *log_env_dir(struct log_env *env, const char *path)
{
    struct log_dir *dir;

    for (int i = 0; i < env->dirs_n; i++)
        if (strcmp(env->dirs[i]->path, path) == 0)
            return env->dirs[i];
    dir = heap_alloc(env->heap, sizeof *dir);
    dir->path = heap_str(env->heap, SLICE(path));
    env->dirs = heap_resize(env->heap, env->dirs, (size_t)(env->dirs_n + 1) * sizeof *env->dirs);
    env->dirs[env->dirs_n++] = dir;
    return dir;
}

void log_dir_fail(struct log_env *env, struct log_dir *dir, enum err why, const char *what)
{
    if (dir->offline)
        return;
    dir->offline = true;
    dir->why = why;
    dir->doing = what;
    if (why != E_KAFKA_STORAGE_ERROR && !env->config.silent)
        TRACE(env->io, log_dir_failed, dir->path, err_text(why), what);
    if (env->config.failed)
        env->config.failed(env->config.arg, dir);
}

enum err log_failed(struct log *log, enum err err, const char *doing)
{
    struct log_dir *dir = log->dir;

    if (err == E_KAFKA_STORAGE_ERROR || dir->offline)
        return E_KAFKA_STORAGE_ERROR;
    if (err == E_FULL) {
        if (!dir->full)
            TRACE(log->env->io, log_dir_full, dir->path);
        dir->full = true;
        dir->full_retry_ms = log->env->now_ms + FULL_RETRY_MS;
        return E_FULL;
    }
    log_dir_fail(log->env, dir, err, doing);
    return E_KAFKA_STORAGE_ERROR;
}

enum { LOOK_MS = 1000, LOOK_SHARE = 16 };

/* Is now still within that wait? One that ends later than it could have begun is of a wall clock that was set back since. */
static bool within(int64_t now_ms, int64_t until_ms, int64_t wait_ms)
{
    return now_ms < until_ms && until_ms - now_ms <= wait_ms;
}

bool log_still_full(const struct log *log, int64_t now_ms)
{
    return log->dir->full && within(now_ms, log->dir->full_retry_ms, FULL_RETRY_MS);
}

/* Many loops append to a disk, and others write to it too: one may take a small part of what is free without looking. */
enum err log_room(struct log *log, size_t bytes, int64_t now_ms)
{
    struct log_dir *dir = log->dir;
    int64_t keep = log->env->config.keep_free, bytes_free, all;

    if (keep == 0)
        return E_OK;
    if (!dir->full && (int64_t)bytes <= dir->room && within(now_ms, dir->room_until_ms, LOOK_MS)) {
        dir->room -= (int64_t)bytes;
        return E_OK;
    }
    if (path_space(log->env->io, dir->path, &bytes_free, &all))
        return E_OK; /* the write will tell */
    if (bytes_free - keep < (int64_t)bytes)
        return log_failed(log, E_FULL, "appending");
    dir->room = (bytes_free - keep - (int64_t)bytes) / LOOK_SHARE;
    dir->room_until_ms = now_ms + LOOK_MS;
    return E_OK;
}

int64_t log_removal_ms(const struct log *log, int64_t now_ms)
{
    int64_t bytes_free, all;

    if (log->dir->full ||
        (log->env->config.keep_free > 0 && !path_space(log->env->io, log->dir->path, &bytes_free, &all) &&
         bytes_free < 2 * log->env->config.keep_free))
        return now_ms;
    return now_ms + log->config->file_delete_delay_ms;
}

const struct log_counters *log_env_counters(const struct log_env *env)
{
    return &env->counters;
}

int log_env_files_open(const struct log_env *env)
{
    return env->files_n;
}

void log_remove_later(struct log_env *env, char *path, int64_t due_ms)
{
    struct log_removal *r = heap_alloc(env->heap, sizeof *r);
    struct list *at = &env->removals;

    *r = (struct log_removal){.due_ms = due_ms, .path = path};
    while (at->prev != &env->removals && container_of(at->prev, struct log_removal, link)->due_ms > due_ms)
        at = at->prev;
    list_add(at, &r->link);
}

int64_t log_env_due(struct log_env *env, int64_t now_ms)
{
    struct log_removal *r;
    int64_t next;

    env->now_ms = now_ms;
    while ((r = list_first(&env->removals, struct log_removal, link)) && r->due_ms <= now_ms) {
        /* One that can't be removed now is found again when its log is next opened. */
        enum err err = path_remove(env->io, r->path);

        if (err && err != E_NOENT)
            TRACE(env->io, log_dir_failed, r->path, err_text(err), "removing");
        removal_free(env, r);
    }
    files_rest(env, now_ms - FILE_IDLE_MS);
    next = r ? r->due_ms : INT64_MAX;
    if (env->files_n > 0 && now_ms + FILE_IDLE_MS < next)
        next = now_ms + FILE_IDLE_MS;
    return next;
}
