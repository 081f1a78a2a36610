#include "upkeep.h"
#include "base/check.h"
#include "base/trace.h"

enum { NS_PER_MS = 1000000 };

struct upkeep {
    struct partitions *ps;
    struct timer timer;
    int64_t due;       /* loop time that the timer is set to; INT64_MAX: not set */
    struct list dirty; /* partitions appended to since their last write-back */
    int64_t flush_due; /* loop time; INT64_MAX: nothing is dirty */
    int64_t retain_due;
    int64_t files_due;
    struct msg step; /* the round of retention under way */
    bool stepping;
    bool stopped;
    void (*recovered)(void *arg);
    void *arg;
    uint32_t at; /* where it goes on, in ps->resting */
};

static void timer_for(struct upkeep *u, int64_t due)
{
    if (u->stopped || due >= u->due)
        return;
    u->due = due;
    timer_set(u->ps->disk->loop, &u->timer, due);
}

static int64_t ms_from_now(const struct upkeep *u, int64_t ms)
{
    return loop_now(u->ps->disk->loop) +
           (ms < INT64_MAX / NS_PER_MS / 2 ? ms : INT64_MAX / NS_PER_MS / 2) * NS_PER_MS;
}

/* ---- write-back ---- */

void upkeep_appended(struct partitions *ps, struct partition *p)
{
    struct upkeep *u = ps->upkeep;
    int64_t sync_due;

    p->appended = true;
    if (list_empty(&p->dirty)) {
        list_add(&u->dirty, &p->dirty);
        if (u->flush_due == INT64_MAX) {
            u->flush_due = ms_from_now(u, UPKEEP_FLUSH_MS);
            timer_for(u, u->flush_due);
        }
    }
    sync_due = log_sync_due(p->log);
    if (sync_due != INT64_MAX) {
        int64_t in = sync_due - io_wall_ms(ps->io);
        int64_t due = ms_from_now(u, in > 0 ? in : 0);
        if (due < u->flush_due)
            u->flush_due = due;
        timer_for(u, due);
    }
}

/* Begins the write-back of what was appended, and syncs the logs whose flush.ms is over. */
static void flush_round(struct upkeep *u)
{
    int64_t now = io_wall_ms(u->ps->io), next = INT64_MAX;
    struct list round;

    list_init(&round);
    list_take(&round, &u->dirty);
    u->flush_due = INT64_MAX;
    list_each_safe (it, &round) {
        struct partition *p = container_of(it, struct partition, dirty);
        int64_t due = log_sync_due(p->log);
        list_remove(it);
        if (due <= now) {
            if (log_sync(&p->log, 1, LOG_SYNC_DATA) != E_OK)
                TRACE(u->ps->io, sync_failed, 1);
            partition_advance(p);
        } else if (due != INT64_MAX) {
            list_add(&u->dirty, &p->dirty);
            next = due < next ? due : next;
        } else {
            log_flush(p->log);
        }
    }
    if (next != INT64_MAX)
        u->flush_due = ms_from_now(u, next - now);
}

/* ---- retention ---- */

static void retain_one(struct upkeep *u, const struct resting *r)
{
    int64_t now_ms = io_wall_ms(u->ps->io);
    struct partition *p = r->fresh && !r->loaded ? NULL : partition_of_name(u->ps, r);
    int removed = 0;
    enum err err;

    if (!p)
        return;
    err = log_retain(p->log, now_ms, p->hw, &removed);
    if (!err) {
        log_producers_expire(p->log, now_ms);
        if (!p->appended)
            err = log_rest(p->log);
    }
    p->appended = false;
    if (err)
        TRACE(u->ps->io, retain_failed, (int)r->name.len, (const char *)r->name.p, err_text(err));
}

/* A step of a walk over all partitions. false: the walk is over, or upkeep is. */
static bool walk_step(struct upkeep *u, void (*each)(struct upkeep *, const struct resting *))
{
    const struct resting *r = NULL;

    u->stepping = false;
    for (int i = 0; i < UPKEEP_STEP && !u->stopped && (r = map_next(&u->ps->resting, &u->at)); i++)
        each(u, r);
    if (!r || u->stopped)
        return false;
    u->stepping = true;
    loop_post(u->ps->disk->loop, &u->step);
    return true;
}

static void walk_begin(struct upkeep *u, void (*run)(struct msg *))
{
    ASSERT(!u->stepping);
    u->at = 0;
    u->stepping = true;
    u->step.run = run;
    loop_post(u->ps->disk->loop, &u->step);
}

static void retain_step(struct msg *msg)
{
    struct upkeep *u = container_of(msg, struct upkeep, step);

    if (walk_step(u, retain_one) || u->stopped)
        return;
    u->retain_due = ms_from_now(u, config_int(u->ps->disk->config, C_log_retention_check_interval_ms));
    timer_for(u, u->retain_due);
    u->files_due = 0; /* segments may wait to be removed now */
    timer_for(u, loop_now(u->ps->disk->loop));
}

static void upkeep_fire(struct timer *t)
{
    struct upkeep *u = container_of(t, struct upkeep, timer);
    int64_t now = loop_now(u->ps->disk->loop);

    u->due = INT64_MAX;
    if (u->flush_due <= now)
        flush_round(u);
    if (u->files_due <= now) {
        int64_t wall = io_wall_ms(u->ps->io), next = log_env_due(u->ps->env, wall);
        u->files_due = next == INT64_MAX ? INT64_MAX : ms_from_now(u, next > wall ? next - wall : 1);
    }
    if (u->retain_due <= now && !u->stepping) {
        u->retain_due = INT64_MAX;
        walk_begin(u, retain_step);
    }
    timer_for(u, u->flush_due);
    timer_for(u, u->files_due);
    timer_for(u, u->retain_due);
}

struct upkeep *upkeep_new(struct partitions *ps)
{
    struct upkeep *u = heap_alloc(ps->heap, sizeof(*u));

    u->ps = ps;
    u->due = u->flush_due = u->retain_due = u->files_due = INT64_MAX;
    list_init(&u->dirty);
    list_init(&u->timer.link);
    u->timer.fire = upkeep_fire;
    return u;
}

/* ---- recovery after a power cut: loading is scanning ---- */

static void recover_one(struct upkeep *u, const struct resting *r)
{
    struct partition *p = partition_of_name(u->ps, r);

    if (p && log_rest(p->log) != E_OK)
        TRACE(u->ps->io, retain_failed, (int)r->name.len, (const char *)r->name.p,
              "its files could not be closed");
}

static void recover_step(struct msg *msg)
{
    struct upkeep *u = container_of(msg, struct upkeep, step);

    if (walk_step(u, recover_one))
        return;
    if (!u->stopped)
        u->recovered(u->arg);
    if (u->retain_due != INT64_MAX)
        timer_for(u, u->retain_due);
}

void upkeep_recover(struct upkeep *u, void (*recovered)(void *arg), void *arg)
{
    u->recovered = recovered;
    u->arg = arg;
    walk_begin(u, recover_step);
}

void upkeep_run(struct upkeep *u)
{
    u->retain_due = ms_from_now(u, UPKEEP_FIRST_RETENTION_MS);
    u->files_due = loop_now(u->ps->disk->loop);
    timer_for(u, u->files_due);
    timer_for(u, u->retain_due);
}

void upkeep_files(struct partitions *ps)
{
    struct upkeep *u = ps->upkeep;

    u->files_due = loop_now(ps->disk->loop);
    timer_for(u, u->files_due);
}

void upkeep_stop(struct upkeep *u)
{
    u->stopped = true;
    timer_stop(&u->timer);
}

bool upkeep_stopped(const struct upkeep *u)
{
    return u->stopped && !u->stepping;
}

void upkeep_drop(struct upkeep *u)
{
    ASSERT(upkeep_stopped(u));
    heap_free(u->ps->heap, u);
}
