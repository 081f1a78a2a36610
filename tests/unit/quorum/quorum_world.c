#include "tests/unit/quorum/quorum_world.h"
#include "proto/batch.h"
#include <stdio.h>

enum { BOUND_NS = 2000000000 };

/* ---- the doors ---- */

#define DOOR(pre)                                                                                            \
    static void *pre##_door_start(struct io *io, struct loop *control, struct grave *grave,                  \
                                  const struct quorum_settings *settings, const struct quorum_ops *ops)      \
    {                                                                                                        \
        return pre##_start(io, control, grave, settings, ops);                                               \
    }                                                                                                        \
    static void pre##_door_submit(void *q, struct quorum_entry *e)                                           \
    {                                                                                                        \
        pre##_submit(q, e);                                                                                  \
    }                                                                                                        \
    static void pre##_door_snapshot(void *q)                                                                 \
    {                                                                                                        \
        pre##_snapshot(q);                                                                                   \
    }                                                                                                        \
    static struct quorum_view pre##_door_view(const void *q)                                                 \
    {                                                                                                        \
        return pre##_view(q);                                                                                \
    }                                                                                                        \
    static void pre##_door_end_waits(void *q)                                                                \
    {                                                                                                        \
        pre##_end_waits(q);                                                                                  \
    }                                                                                                        \
    static void pre##_door_stop(void *q, struct msg *stopped)                                                \
    {                                                                                                        \
        pre##_stop(q, stopped);                                                                              \
    }
DOOR(quorum)
DOOR(local)
#define ROW(pre, room)                                                                                       \
    {                                                                                                        \
        .name = #pre, .start = pre##_door_start, .submit = pre##_door_submit,                                \
        .snapshot = pre##_door_snapshot, .view = pre##_door_view, .end_waits = pre##_door_end_waits,         \
        .stop = pre##_door_stop, .snapshot_needs_room = room                                                 \
    }
const struct qdoor qdoors[2] = {ROW(quorum, true), ROW(local, false)};

static void make_run(struct loop *loop, void *arg)
{
    struct quorum_world *w = arg;

    CHECK_OK(dir_make(w->io, WORLD_DIR));
    CHECK_OK(dir_sync(w->io, "."));
}

void qworld_init(struct quorum_world *w, const struct qdoor *door, uint64_t seed)
{
    *w = (struct quorum_world){.sim = sim_new(seed), .door = door};
    w->settings = (struct quorum_settings){
        .dir = WORLD_DIR,
        .node_id = WORLD_NODE_ID,
        .directory_id = {.b = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
        .election_ms = 400,
        .heartbeat_ms = 50,
        .snapshot_bytes = 1 << 30,
        .segment_bytes = 4096,
        .segment_ms = 604800000,
        .retention_bytes = -1,
        .retention_ms = -1,
    };
    w->io = sim_node(w->sim, WORLD_NODE);
    CHECK(sim_call(w->sim, w->io, LOOP_DISK, make_run, w));
}

static void on_loaded(void *arg, struct image *image)
{
    struct quorum_world *w = arg;

    CHECK_EQ(w->loaded++, 0);
    CHECK(image->sealed);
    w->committed = image;
}

static void on_leader(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset)
{
    struct quorum_world *w = arg;

    CHECK(w->loaded == 1 && w->led++ == 0 && self);
    CHECK_EQ(leader, WORLD_NODE_ID);
    CHECK(epoch > w->last_epoch);
    CHECK(next_offset > w->last_next);
    w->epoch = w->last_epoch = epoch;
    w->next = w->last_next = next_offset;
}

/* Nobody else leads: only what the quorum writes itself. */
static void on_committed(void *arg, struct slice batch)
{
    struct batch_view v;

    CHECK_OK(batch_view(batch, &v));
    CHECK(v.attributes & BATCH_CONTROL);
}

static void on_skipped(void *arg, int64_t next_offset)
{
    struct quorum_world *w = arg;

    CHECK(next_offset > w->next);
    w->next = next_offset; /* it may not outlive a crash */
}

static struct image *on_hold(void *arg)
{
    struct quorum_world *w = arg;

    CHECK_EQ(w->held++, w->given_back);
    return image_ref(w->committed);
}

static void on_released(void *arg, struct image *image)
{
    struct quorum_world *w = arg;

    w->given_back++;
    image_unref(image, &w->grave);
}

static void on_failed(void *arg, enum err err, const char *what)
{
    struct quorum_world *w = arg;

    CHECK(err && what);
    CHECK_EQ(w->failures++, 0);
    w->failed = err;
}

static void start_run(struct loop *loop, void *arg)
{
    struct quorum_world *w = arg;
    const struct quorum_ops ops = {.loaded = on_loaded,
                                   .leader = on_leader,
                                   .skipped = on_skipped,
                                   .committed = on_committed,
                                   .hold = on_hold,
                                   .released = on_released,
                                   .failed = on_failed,
                                   .arg = w};

    w->control = loop;
    grave_init(&w->grave, io_heap(w->io));
    w->quorum = w->door->start(w->io, loop, &w->grave, &w->settings, &ops);
}

static bool opened(void *arg)
{
    struct quorum_world *w = arg;
    return !sim_up(w->sim, WORLD_NODE) || w->led || w->failures;
}

bool qworld_start(struct quorum_world *w)
{
    w->loaded = w->led = w->held = w->given_back = w->failures = w->errors = w->in_flight = 0;
    w->failed = E_OK;
    w->is_stopped = false;
    w->committed = NULL;
    memset(w->flight, 0, sizeof(w->flight));
    if (!sim_call(w->sim, w->io, LOOP_DISK, start_run, w))
        return false;
    CHECK(sim_run(w->sim, opened, w, BOUND_NS));
    return sim_up(w->sim, WORLD_NODE);
}

bool qworld_up(struct quorum_world *w)
{
    return w->led && !w->failures;
}

/* ---- proposals ---- */

static void topic_record(struct meta_record *r, int i, char name[20])
{
    *r = (struct meta_record){.type = RECORD_TOPIC};
    (void)snprintf(name, 20, "topic-%06d", i);
    r->topic.name = SLICE(name);
    memcpy(r->topic.id.b, &i, sizeof(i));
    r->topic.id.b[15] = 1;
}

static void submitted_done(struct quorum_entry *e, enum err err)
{
    struct world_entry *x = container_of(e, struct world_entry, entry);
    struct quorum_world *w = x->world;
    struct meta_record r;
    char name[20];

    w->in_flight--;
    x->busy = false;
    bytes_drop(&x->bytes);
    if (err) {
        w->errors++;
        return;
    }
    CHECK_EQ(w->errors, 0);
    struct image *draft = image_draft(w->committed, &w->grave);

    topic_record(&r, w->promised++, name);
    image_replay(draft, &w->grave, &r);
    CHECK(e->last_offset > draft->offset);
    draft->offset = e->last_offset;
    draft->epoch = w->epoch;
    image_seal(draft);
    image_unref(w->committed, &w->grave);
    w->committed = draft;
    w->last_next = e->last_offset + 1;
}

static void submit_one(struct quorum_world *w)
{
    struct batch_place at = {.base_offset = w->next, .epoch = w->epoch, .now_ms = io_wall_ms(w->io)};
    struct world_entry *x = w->flight;
    struct meta_record r;
    struct bytes value;
    struct arena a;
    char name[20];
    size_t end;

    while (x->busy)
        x++;
    CHECK(x < w->flight + WORLD_FLIGHT);
    topic_record(&r, w->attempted++, name);
    bytes_init(&value, io_heap(w->io));
    bytes_init(&x->bytes, io_heap(w->io));
    arena_init(&a, io_heap(w->io), SIZE_MAX);
    record_encode(&r, &value);
    end = value.len;
    batches_data(&at, bytes_slice(&value), &end, 1, &a, &x->bytes);
    arena_drop(&a);
    bytes_drop(&value);
    x->world = w;
    x->busy = true;
    x->entry = (struct quorum_entry){.bytes = bytes_slice(&x->bytes),
                                     .base_offset = w->next,
                                     .last_offset = w->next,
                                     .done = submitted_done};
    w->next++;
    w->in_flight++;
    w->door->submit(w->quorum, &x->entry);
}

struct submission {
    struct quorum_world *world;
    int n;
};

static void submit_run(struct loop *loop, void *arg)
{
    struct submission *s = arg;

    for (int i = 0; i < s->n; i++)
        submit_one(s->world);
}

void qworld_submit(struct quorum_world *w, int n)
{
    struct submission s = {w, n};
    (void)!sim_call(w->sim, w->io, LOOP_DISK, submit_run, &s); /* a crash shows when it is waited for */
}

static bool settled(void *arg)
{
    struct quorum_world *w = arg;
    return !sim_up(w->sim, WORLD_NODE) || (w->in_flight == 0 && w->held == w->given_back);
}

bool qworld_settle(struct quorum_world *w)
{
    CHECK(sim_run(w->sim, settled, w, BOUND_NS));
    return sim_up(w->sim, WORLD_NODE);
}

static void snapshot_run(struct loop *loop, void *arg)
{
    struct quorum_world *w = arg;

    w->door->snapshot(w->quorum);
}

static bool held(void *arg)
{
    struct quorum_world *w = arg;
    return !sim_up(w->sim, WORLD_NODE) || w->held > 0;
}

void qworld_snapshot_begin(struct quorum_world *w)
{
    w->held = w->given_back = 0;
    (void)!sim_call(w->sim, w->io, LOOP_DISK, snapshot_run, w);
}

bool qworld_snapshot(struct quorum_world *w)
{
    qworld_snapshot_begin(w);
    CHECK(sim_run(w->sim, held, w, BOUND_NS));
    return qworld_settle(w);
}

/* ---- the end ---- */

static void stopped_run(struct msg *msg)
{
    container_of(msg, struct quorum_world, stopped)->is_stopped = true;
}

static void stop_run(struct loop *loop, void *arg)
{
    struct quorum_world *w = arg;

    w->stopped.run = stopped_run;
    w->door->stop(w->quorum, &w->stopped);
}

static bool stopped(void *arg)
{
    struct quorum_world *w = arg;
    return !sim_up(w->sim, WORLD_NODE) || w->is_stopped;
}

static void free_run(struct loop *loop, void *arg)
{
    struct quorum_world *w = arg;

    if (w->committed)
        image_unref(w->committed, &w->grave);
    grave_empty(&w->grave);
    CHECK_EQ(w->in_flight, 0);
    CHECK_EQ(w->held, w->given_back);
    CHECK_EQ(sim_files_open(w->sim, WORLD_NODE), 0);
    loop_stop(loop, NULL, NULL);
}

bool qworld_stop(struct quorum_world *w)
{
    (void)!sim_call(w->sim, w->io, LOOP_DISK, stop_run, w);
    CHECK(sim_run(w->sim, stopped, w, BOUND_NS));
    if (!sim_up(w->sim, WORLD_NODE))
        return false;
    CHECK(sim_call(w->sim, w->io, LOOP_DISK, free_run, w));
    (void)!sim_run(w->sim, NULL, NULL, 1000000); /* the loop ends */
    sim_exit(w->sim, WORLD_NODE);                /* asserts that the heap is empty */
    return true;
}

void qworld_begin(struct quorum_world *w)
{
    if (sim_up(w->sim, WORLD_NODE))
        CHECK(qworld_stop(w));
    w->io = sim_node(w->sim, WORLD_NODE);
}

void qworld_restart(struct quorum_world *w)
{
    qworld_begin(w);
    CHECK(qworld_start(w));
    CHECK_OK(w->failed);
}

void qworld_verify(struct quorum_world *w)
{
    struct image_topics it = image_topics_from(w->committed, SLICE_NULL);
    const struct image_topic *t;
    int n = 0;

    while ((t = image_topics_next(&it))) {
        struct meta_record r;
        char name[20];

        topic_record(&r, n++, name);
        CHECK(slice_eq(t->name, r.topic.name) && uuid_eq(t->id, r.topic.id));
    }
    CHECK(n >= w->promised && n <= w->attempted);
    w->promised = w->attempted = n;
}

void qworld_drop(struct quorum_world *w)
{
    sim_drop(w->sim);
}
