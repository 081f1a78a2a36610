/* A log changes its loop. What ties it to an env: the list of logs, open descriptors, cached index pages, the directory. */
#include "base/check.h"
#include "log/log_internal.h"

static void segment_leave(struct segment *s)
{
    index_pages_drop(s);
    for (int i = 0; i < SEGMENT_FILES; i++)
        if (s->files[i]) {
            list_remove(&s->files[i]->link);
            s->log->env->files_n--;
        }
}

void log_leave(struct log *log)
{
    for (uint32_t i = 0; i < log->segments_n; i++)
        segment_leave(log->segments[i]);
    list_remove(&log->link);
    log->env = NULL;
    log->dir = NULL;
}

static void segment_enter(struct segment *s, struct log_env *env)
{
    for (int i = 0; i < SEGMENT_FILES; i++)
        if (s->files[i]) {
            list_add(&env->files, &s->files[i]->link);
            s->files[i]->used_ms = env->now_ms; /* the list is in order of use */
            env->files_n++;
        }
}

void log_enter(struct log *log, struct log_env *env, struct log_dir *dir)
{
    ASSERT(!log->env && !log->dir);
    log->env = env;
    log->dir = dir;
    list_add(&env->logs, &log->link);
    for (uint32_t i = 0; i < log->segments_n; i++)
        segment_enter(log->segments[i], env);
    log_check(log);
}
