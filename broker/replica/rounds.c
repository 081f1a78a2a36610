#include "rounds.h"
#include "base/check.h"
#include "base/trace.h"
#include "broker/replica/manager.h"

enum { NS_PER_MS = 1000000 };

struct rounds {
    struct node *node;
    struct disk_loop *home; /* the first; its table doesn't change during a round */
    struct boot *boot;
    struct timer timer;
    struct msg msg;
    struct checkpoint *rows; /* ROWS_KINDS a directory, while a round runs */
    uint32_t at;             /* where the sync of this loop's logs goes on */
    int loop;
    bool moved; /* some loop had something new */
    bool running;
    bool stopping;
    struct loop *tell;
    struct msg *stopped;
};

static void round_visit(struct msg *msg);
static void round_home(struct msg *msg);

static void rows_init(struct rounds *r)
{
    r->rows = heap_alloc(r->node->heap, (size_t)r->boot->n * ROWS_KINDS * sizeof(*r->rows));
    for (int i = 0; i < r->boot->n * ROWS_KINDS; i++)
        checkpoint_init(&r->rows[i], r->node->heap, 0);
}

static void rows_drop(struct rounds *r)
{
    for (int i = 0; i < r->boot->n * ROWS_KINDS; i++)
        checkpoint_drop(&r->rows[i]);
    heap_free(r->node->heap, r->rows);
    r->rows = NULL;
}

static void timer_again(struct rounds *r)
{
    int64_t ms = config_int(r->home->config, C_log_flush_offset_checkpoint_interval_ms);
    int64_t starts = config_int(r->home->config, C_log_flush_start_offset_checkpoint_interval_ms);

    ms = starts < ms ? starts : ms;
    timer_set(r->home->loop, &r->timer, loop_now(r->home->loop) + ms * NS_PER_MS);
}

static void round_begin(struct timer *t)
{
    struct rounds *r = container_of(t, struct rounds, timer);

    r->running = true;
    r->moved = false;
    r->loop = 0;
    r->at = 0;
    rows_init(r);
    r->msg.run = round_visit;
    loop_post(r->home->loop, &r->msg);
}

/* true: there are more logs to look at. */
static bool sync_some(struct rounds *r, struct partitions *ps)
{
    struct log *batch[ROUND_STEP];
    struct partition *p = NULL;
    int n = 0;

    while (n < ROUND_STEP && (p = map_next(&ps->loaded, &r->at)))
        if (log_recovery_point(p->log) < log_end(p->log) && !log_directory(p->log)->offline)
            batch[n++] = p->log;
    if (n > 0) {
        ps->moved = true;
        if (log_sync(batch, n, LOG_SYNC_ALL) != E_OK)
            TRACE(r->node->io, sync_failed, n);
    }
    return p != NULL;
}

static void round_visit(struct msg *msg)
{
    struct rounds *r = container_of(msg, struct rounds, msg);
    struct disk_loop *disk = r->home->disks->v[r->loop];
    struct partitions *ps = disk->partitions;

    if (sync_some(r, ps)) {
        loop_post(disk->loop, &r->msg);
        return;
    }
    for (int i = 0; i < r->boot->n; i++)
        partitions_checkpoint(ps, i, &r->rows[i * ROWS_KINDS]);
    r->moved |= ps->moved;
    ps->moved = false;
    r->at = 0;
    r->loop++;
    if (r->loop < r->home->disks->n) {
        loop_post(r->home->disks->v[r->loop]->loop, &r->msg);
    } else {
        r->msg.run = round_home;
        loop_post(r->home->loop, &r->msg);
    }
}

/* A directory whose checkpoints can't be written has failed as one whose records can't; a full one is tried again. */
static void rows_save(struct rounds *r)
{
    struct partitions *ps = r->home->partitions;

    for (int i = 0; i < r->boot->n; i++) {
        const char *path = r->boot->dirs[i].path;
        enum err err = E_OK;
        if (r->boot->dirs[i].offline || ps->dirs[i]->offline)
            continue;
        for (int k = 0; k < ROWS_KINDS && !err; k++)
            err = checkpoint_save(&r->rows[i * ROWS_KINDS + k], r->node->io, path, checkpoint_names[k]);
        if (err == E_FULL)
            TRACE(r->node->io, checkpoint_failed, path, err_text(err));
        else if (err)
            log_dir_fail(ps->env, ps->dirs[i], err, "saving checkpoints");
    }
}

static void round_home(struct msg *msg)
{
    struct rounds *r = container_of(msg, struct rounds, msg);

    boot_reserve(r->boot);
    if (r->moved)
        rows_save(r);
    rows_drop(r);
    r->running = false;
    if (r->stopping)
        loop_post(r->tell, r->stopped);
    else
        timer_again(r);
}

struct rounds *rounds_new(struct node *node, struct boot *boot)
{
    struct rounds *r = heap_alloc(node->heap, sizeof(*r));

    r->node = node;
    r->home = node->disks->v[0];
    r->boot = boot;
    list_init(&r->timer.link);
    r->timer.fire = round_begin;
    return r;
}

void rounds_run(struct rounds *r)
{
    if (!r->stopping)
        timer_again(r);
}

void rounds_stop(struct rounds *r, struct loop *tell, struct msg *stopped)
{
    r->stopping = true;
    r->tell = tell;
    r->stopped = stopped;
    timer_stop(&r->timer);
    if (!r->running)
        loop_post(tell, stopped);
}

void rounds_again(struct rounds *r)
{
    r->stopping = false;
    rounds_run(r);
}

void rounds_drop(struct rounds *r)
{
    ASSERT(!r->running);
    heap_free(r->node->heap, r);
}
