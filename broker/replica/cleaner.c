#include "cleaner.h"
#include "base/check.h"
#include "base/trace.h"
#include "log/clean_task.h"

enum { NS_PER_MS = 1000000, CLEANER_LOOK_MAX = 256 /* logs looked at in one turn */ };

/* How far a compacted partition is clean. */
struct cleaned {
    struct slice name;
    int64_t offset; /* -1: never */
    bool broken;    /* it can't be cleaned until the next start; said once */
};

struct cleaner {
    struct partitions *ps;
    struct map rows; /* name → struct cleaned: compacted partitions and those of the checkpoint */
    struct timer timer;
    bool ticking;
    bool stopped;
    struct clean_task task;
    struct partition *busy; /* being cleaned */
    bool ending;            /* the task's last message is on its way */
};

static void cleaner_tick(struct timer *t);
static void task_done(struct clean_task *t, enum err err);

struct cleaner *cleaner_new(struct partitions *ps)
{
    struct cleaner *c = heap_alloc(ps->heap, sizeof(*c));
    uint64_t seed;

    io_random(ps->io, &seed, sizeof(seed));
    c->ps = ps;
    map_init(&c->rows, ps->heap, seed);
    list_init(&c->timer.link);
    c->timer.fire = cleaner_tick;
    c->task.loop = ps->disk->loop;
    c->task.io = ps->io;
    c->task.done = task_done;
    return c;
}

static struct cleaned *row_of(struct cleaner *c, struct slice name)
{
    struct cleaned *row = map_get(&c->rows, name);

    if (row)
        return row;
    row = heap_alloc(c->ps->heap, sizeof(*row) + name.len);
    row->name = slice_of(row + 1, name.len);
    memcpy(row->name.p, name.p, name.len);
    row->offset = -1;
    map_put(&c->rows, row->name, row);
    return row;
}

static void cleaner_tick_soon(struct cleaner *c)
{
    int64_t backoff = config_int(c->ps->disk->config, C_log_cleaner_backoff_ms);

    if (c->ticking || c->stopped || c->busy || c->ending ||
        !config_bool(c->ps->disk->config, C_log_cleaner_enable))
        return;
    c->ticking = true;
    timer_set(c->ps->disk->loop, &c->timer, loop_now(c->ps->disk->loop) + backoff * NS_PER_MS);
}

void cleaner_run(struct cleaner *c)
{
    if (c->rows.count > 0)
        cleaner_tick_soon(c);
}

void cleaner_found(struct cleaner *c, struct slice name, int64_t offset)
{
    row_of(c, name)->offset = offset;
}

void cleaner_met(struct partitions *ps, struct partition *p)
{
    if (!p->compacted)
        return;
    row_of(ps->cleaner, SLICE(log_name(p->log)));
    cleaner_tick_soon(ps->cleaner);
}

static bool can_clean(const struct partition *p, const struct cleaned *row)
{
    return p->compacted && !row->broken && !log_directory(p->log)->offline;
}

/* The dirtiest of those that are due; NULL: none is. */
static struct partition *choose(struct cleaner *c, struct clean_range *range)
{
    struct clean_range looks[CLEANER_LOOK_MAX];
    struct partition *of[CLEANER_LOOK_MAX];
    int n = 0, best;

    map_each (struct partition, p, &c->ps->loaded) {
        struct cleaned *row = p->compacted ? row_of(c, SLICE(log_name(p->log))) : NULL;
        if (n == CLEANER_LOOK_MAX || !row || !can_clean(p, row))
            continue;
        if (clean_look(p->log, row->offset, p->hw, io_wall_ms(c->ps->io), &looks[n]) != E_OK)
            continue;
        of[n++] = p;
    }
    best = clean_choose(looks, n);
    if (best < 0)
        return NULL;
    *range = looks[best];
    return of[best];
}

/* As Kafka shares it out: half to read into, half to write from, for each thread. A step is at most so long that others
 * on the loop don't wait for it. */
static int64_t step_bytes(const struct config *config)
{
    int64_t threads = config_int(config, C_log_cleaner_threads);
    int64_t bytes = config_int(config, C_log_cleaner_io_buffer_size) / (threads > 0 ? threads : 1) / 2;

    return bytes < CLEAN_STEP_BYTES ? bytes : CLEAN_STEP_BYTES;
}

static void cleaner_tick(struct timer *t)
{
    struct cleaner *c = container_of(t, struct cleaner, timer);
    const struct config *config = c->ps->disk->config;
    uint64_t map_bytes = (uint64_t)config_int(config, C_log_cleaner_dedupe_buffer_size) /
                         (uint64_t)c->ps->disk->disks->n_active;
    struct clean_range range;
    struct clean *cleaning;
    struct partition *p;

    c->ticking = false;
    p = choose(c, &range);
    if (!p) {
        cleaner_tick_soon(c);
        return;
    }
    c->busy = p;
    c->task.bytes_per_second = config_double(config, C_log_cleaner_io_max_bytes_per_second);
    cleaning = clean_new(p->log, &range, map_bytes, io_wall_ms(c->ps->io));
    clean_tune(cleaning, config_double(config, C_log_cleaner_io_buffer_load_factor), step_bytes(config));
    clean_task_start(&c->task, cleaning);
}

static void task_done(struct clean_task *t, enum err err)
{
    struct cleaner *c = container_of(t, struct cleaner, task);

    c->ending = false;
    if (c->busy) {
        const char *name = log_name(c->busy->log);
        struct cleaned *row = row_of(c, SLICE(name));
        if (!err) {
            row->offset = t->reached;
            c->ps->moved = true;
        } else if (err != E_CANCELED) {
            row->broken = err != E_FULL;
            TRACE(c->ps->io, log_not_cleaned, name, err_text(err));
        }
    }
    c->busy = NULL;
    cleaner_tick_soon(c);
}

static void task_end(struct cleaner *c)
{
    c->busy = NULL;
    c->ending = true;
    clean_task_stop(&c->task);
}

struct cleaner_place cleaner_leave(struct partitions *ps, const struct resting *r)
{
    struct cleaner *c = ps->cleaner;
    struct cleaned *row = map_remove(&c->rows, r->name);
    struct cleaner_place place = {.offset = -1};

    if (c->busy && c->busy == r->loaded)
        task_end(c);
    if (row)
        place = (struct cleaner_place){.offset = row->offset, .broken = row->broken};
    heap_free(ps->heap, row);
    return place;
}

void cleaner_came(struct partitions *ps, struct slice name, struct cleaner_place place)
{
    struct cleaned *row;

    if (place.offset < 0 && !place.broken)
        return;
    row = row_of(ps->cleaner, name);
    row->offset = place.offset;
    row->broken = place.broken;
}

void cleaner_checkpoint(const struct cleaner *c, int dir, struct checkpoint *cleaned)
{
    map_each (struct cleaned, row, &c->rows) {
        const struct resting *r = map_get(&c->ps->resting, row->name);
        enum log_dir_kind kind;
        struct slice topic;
        int32_t index;
        if (r && r->dir == dir && row->offset >= 0 &&
            log_dir_parse((const char *)r->name.p, &kind, &topic, &index))
            checkpoint_set(cleaned, topic, index, row->offset);
    }
}

void cleaner_stop(struct cleaner *c)
{
    c->stopped = true;
    timer_stop(&c->timer);
    if (c->busy)
        task_end(c);
}

bool cleaner_stopped(const struct cleaner *c)
{
    return c->stopped && !c->busy && !c->ending;
}

void cleaner_drop(struct cleaner *c)
{
    map_each (struct cleaned, row, &c->rows) {
        map_remove(&c->rows, row->name);
        heap_free(c->ps->heap, row);
    }
    map_drop(&c->rows);
    heap_free(c->ps->heap, c);
}
