#include "tests/unit/quorum/observer_world.h"
#include "proto/batch.h"
#include <stdio.h>
#include <stdlib.h>

enum { BOUND_NS = 2000000000, PIECES_MAX = 100000 };

static void make_run(struct loop *loop, void *arg)
{
    struct observer_world *w = arg;

    CHECK_OK(dir_make(w->io, OBSERVER_DIR));
    CHECK_OK(dir_sync(w->io, "."));
}

void oworld_init_with(struct observer_world *w, uint64_t seed, int64_t segment_bytes)
{
    *w = (struct observer_world){.fetch_bytes = 1 << 16, .piece_bytes = 1 << 16};
    qworld_init(&w->voter, &qdoors[0], seed);
    w->voter.settings.segment_bytes = segment_bytes;
    w->voter.settings.retention_bytes = 1000;
    CHECK(qworld_start(&w->voter) && qworld_up(&w->voter));
    w->settings = w->voter.settings;
    w->settings.dir = OBSERVER_DIR;
    w->settings.node_id = OBSERVER_NODE_ID;
    w->settings.directory_id.b[0] ^= 0x55;
    w->settings.observes = true;
    w->io = sim_node(w->voter.sim, OBSERVER_NODE);
    CHECK(sim_call(w->voter.sim, w->io, LOOP_DISK, make_run, w));
}

void oworld_init(struct observer_world *w, uint64_t seed)
{
    oworld_init_with(w, seed, 2000);
}

/* ---- the broker's part ---- */

static bool up(const struct observer_world *w)
{
    return sim_up(w->voter.sim, OBSERVER_NODE);
}

static void told(struct observer_world *w)
{
    int n = oworld_topics(w);

    if (n > w->topics_told)
        w->topics_told = n;
}

static void on_loaded(void *arg, struct image *image)
{
    struct observer_world *w = arg;

    CHECK_EQ(w->loaded++, 0);
    CHECK(image->sealed);
    w->committed = image;
    CHECK(oworld_topics(w) >= w->topics_told);
    told(w);
}

static void on_leader(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset)
{
    struct observer_world *w = arg;

    CHECK(w->loaded == 1 && !self && next_offset == -1);
    CHECK(epoch >= w->epoch);
    w->led++;
    w->leader = leader;
    w->epoch = epoch;
}

static void on_committed(void *arg, struct slice batch)
{
    struct observer_world *w = arg;
    struct image *draft = image_draft(w->committed, &w->grave);
    struct batch_content c;
    struct arena a;
    size_t used;

    arena_init(&a, io_heap(w->io), SIZE_MAX);
    CHECK_OK(batches_read(batch, &a, &c, &used));
    CHECK_EQ(c.base_offset, w->committed->offset + 1);
    for (int i = 0; i < c.n && !c.is_control; i++)
        image_replay(draft, &w->grave, &c.records[i]);
    draft->offset = c.last_offset;
    draft->epoch = c.epoch;
    image_seal(draft);
    image_unref(w->committed, &w->grave);
    w->committed = draft;
    arena_drop(&a);
    told(w);
}

static void on_installed(void *arg, struct image *image)
{
    struct observer_world *w = arg;

    CHECK(image->offset > w->committed->offset);
    image_unref(w->committed, &w->grave);
    w->committed = image;
    w->installed++;
    told(w);
}

static struct image *on_hold(void *arg)
{
    struct observer_world *w = arg;

    CHECK_EQ(w->held++, w->given_back);
    return image_ref(w->committed);
}

static void on_released(void *arg, struct image *image)
{
    struct observer_world *w = arg;

    w->given_back++;
    image_unref(image, &w->grave);
}

static void on_failed(void *arg, enum err err, const char *what)
{
    struct observer_world *w = arg;

    CHECK(err && what);
    CHECK_EQ(w->failures++, 0);
    w->failed = err;
}

static void on_fetch(void *arg, int64_t offset, int32_t epoch)
{
    struct observer_world *w = arg;

    CHECK(!w->asked && !w->stopping && offset >= 0);
    w->asked = true;
    w->offset = offset;
    w->last_epoch = epoch;
    if (offset > w->asked_max)
        w->asked_max = offset;
}

static void on_ask(void *arg, int32_t node, struct quorum_checkpoint id, int64_t at)
{
    struct observer_world *w = arg;

    CHECK_EQ(node, WORLD_NODE_ID);
    w->wanted = true;
    w->piece = id;
    w->piece_at = at;
}

static void start_run(struct loop *loop, void *arg)
{
    struct observer_world *w = arg;
    const struct quorum_ops ops = {.loaded = on_loaded,
                                   .leader = on_leader,
                                   .committed = on_committed,
                                   .installed = on_installed,
                                   .hold = on_hold,
                                   .released = on_released,
                                   .failed = on_failed,
                                   .fetch = on_fetch,
                                   .ask = on_ask,
                                   .arg = w};

    w->control = loop;
    grave_init(&w->grave, io_heap(w->io));
    w->quorum = quorum_start(w->io, loop, &w->grave, &w->settings, &ops);
}

static bool opened(void *arg)
{
    struct observer_world *w = arg;
    return !up(w) || w->asked || w->failures;
}

bool oworld_start(struct observer_world *w)
{
    w->loaded = w->led = w->installed = w->failures = w->held = w->given_back = 0;
    w->failed = E_OK;
    w->asked = w->wanted = w->stopping = w->is_stopped = false;
    w->committed = NULL;
    w->epoch = w->told_leader = w->told_epoch = -1;
    if (!sim_call(w->voter.sim, w->io, LOOP_DISK, start_run, w))
        return false;
    CHECK(sim_run(w->voter.sim, opened, w, BOUND_NS));
    return up(w);
}

/* ---- carrying ---- */

struct carried {
    struct quorum_read read;
    struct observer_world *world;
    uint8_t *bytes;
    size_t len;
    bool done;
};

static void read_done(struct quorum_read *r)
{
    container_of(r, struct carried, read)->done = true;
}

static void read_run(struct loop *loop, void *arg)
{
    struct carried *c = arg;

    c->read.back = loop;
    c->read.done = read_done;
    quorum_read(c->world->voter.quorum, &c->read);
}

static bool was_read(void *arg)
{
    return ((struct carried *)arg)->done;
}

static void bytes_run(struct loop *loop, void *arg)
{
    struct carried *c = arg;

    c->bytes = malloc(c->read.range.len + 1);
    if (c->read.range.len > 0)
        CHECK_OK(file_read(c->read.range.file, c->read.range.at, c->bytes, c->read.range.len, &c->len));
    log_range_drop(&c->read.range);
}

static void carry(struct observer_world *w, struct carried *c)
{
    struct quorum_world *v = &w->voter;

    c->world = w;
    CHECK(sim_call(v->sim, v->io, LOOP_DISK, read_run, c));
    CHECK(sim_run(v->sim, was_read, c, BOUND_NS));
    CHECK(sim_call(v->sim, v->io, LOOP_DISK, bytes_run, c));
}

struct answer {
    struct observer_world *world;
    struct quorum_fetched f;
    struct carried *piece;
};

static void answer_run(struct loop *loop, void *arg)
{
    struct answer *a = arg;
    struct observer_world *w = a->world;

    w->asked = false;
    if (w->meddle)
        w->meddle(w, &a->f);
    quorum_fetched(w->quorum, &a->f);
    if (w->twice)
        quorum_fetched(w->quorum, &a->f);
}

/* false: nothing is to be told yet. */
static bool carry_fetch(struct observer_world *w)
{
    struct carried c = {
        .read = {.offset = w->offset, .last_epoch = w->last_epoch, .max_bytes = w->fetch_bytes}};
    struct answer a = {.world = w};
    struct quorum_view view = w->voter.door->view(w->voter.quorum);

    carry(w, &c);
    a.f = (struct quorum_fetched){.offset = w->offset,
                                  .node = WORLD_NODE_ID,
                                  .diverges = c.read.diverges,
                                  .leader = view.leader,
                                  .epoch = view.epoch,
                                  .committed = c.read.committed,
                                  .snapshot = {-1, -1},
                                  .batches = slice_of(c.bytes, c.len)};
    if (w->offset < c.read.log_start)
        a.f.snapshot = c.read.newest;
    else
        a.f.err = c.read.err;
    if (c.len == 0 && a.f.snapshot.offset < 0 && !a.f.err && !a.f.diverges && view.leader == w->told_leader &&
        view.epoch == w->told_epoch) {
        free(c.bytes);
        return false;
    }
    w->told_leader = view.leader;
    w->told_epoch = view.epoch;
    if (up(w))
        (void)!sim_call(w->voter.sim, w->io, LOOP_DISK, answer_run, &a);
    free(c.bytes);
    return true;
}

static void piece_run(struct loop *loop, void *arg)
{
    struct answer *a = arg;
    struct quorum_read *r = &a->piece->read;

    quorum_piece(a->world->quorum, r->checkpoint, r->offset, r->size,
                 slice_of(a->piece->bytes, a->piece->len), r->err);
}

static void carry_piece(struct observer_world *w)
{
    struct carried c = {.read = {.offset = w->piece_at,
                                 .max_bytes = w->piece_bytes,
                                 .is_checkpoint = true,
                                 .checkpoint = w->piece}};
    struct answer a = {.world = w, .piece = &c};

    carry(w, &c);
    w->wanted = false;
    if (up(w))
        (void)!sim_call(w->voter.sim, w->io, LOOP_DISK, piece_run, &a);
    free(c.bytes);
}

static bool something(void *arg)
{
    struct observer_world *w = arg;
    return !up(w) || w->failures || w->asked || w->wanted;
}

bool oworld_follow(struct observer_world *w)
{
    for (int i = 0; i < PIECES_MAX; i++) {
        CHECK(sim_run(w->voter.sim, something, w, BOUND_NS));
        if (!up(w) || w->failures)
            return false;
        if (w->wanted)
            carry_piece(w);
        else if (!carry_fetch(w))
            return true;
        if (!up(w) || w->failures)
            return false;
    }
    CHECK(!"it gets there");
    return false;
}

static bool told_more(void *arg)
{
    const struct observer_world *w = arg;
    return w->topics_told > w->told_before;
}

void oworld_answer_some(struct observer_world *w)
{
    CHECK(sim_run(w->voter.sim, something, w, BOUND_NS));
    w->told_before = w->topics_told;
    CHECK(carry_fetch(w));
    CHECK(sim_run(w->voter.sim, told_more, w, BOUND_NS));
    CHECK(w->topics_told < w->voter.promised && !w->asked);
}

/* ---- the end ---- */

static bool rested(void *arg)
{
    struct observer_world *w = arg;
    return !up(w) || w->held == w->given_back;
}

bool oworld_rest(struct observer_world *w)
{
    CHECK(sim_run(w->voter.sim, rested, w, BOUND_NS));
    return up(w);
}

static void stopped_run(struct msg *msg)
{
    container_of(msg, struct observer_world, stopped)->is_stopped = true;
}

static void stop_run(struct loop *loop, void *arg)
{
    struct observer_world *w = arg;

    w->stopped.run = stopped_run;
    w->stopping = true;
    quorum_stop(w->quorum, &w->stopped);
}

static bool stopped(void *arg)
{
    struct observer_world *w = arg;
    return !up(w) || w->is_stopped;
}

static void free_run(struct loop *loop, void *arg)
{
    struct observer_world *w = arg;

    if (w->committed)
        image_unref(w->committed, &w->grave);
    grave_empty(&w->grave);
    CHECK_EQ(w->held, w->given_back);
    CHECK_EQ(sim_files_open(w->voter.sim, OBSERVER_NODE), 0);
    loop_stop(loop, NULL, NULL);
}

bool oworld_stop(struct observer_world *w)
{
    (void)!sim_call(w->voter.sim, w->io, LOOP_DISK, stop_run, w);
    CHECK(sim_run(w->voter.sim, stopped, w, BOUND_NS));
    if (!up(w))
        return false;
    CHECK(sim_call(w->voter.sim, w->io, LOOP_DISK, free_run, w));
    (void)!sim_run(w->voter.sim, NULL, NULL, 1000000);
    sim_exit(w->voter.sim, OBSERVER_NODE);
    return true;
}

void oworld_begin(struct observer_world *w)
{
    if (up(w))
        CHECK(oworld_stop(w));
    w->io = sim_node(w->voter.sim, OBSERVER_NODE);
}

void oworld_restart(struct observer_world *w)
{
    oworld_begin(w);
    CHECK(oworld_start(w));
    CHECK_OK(w->failed);
}

void oworld_write(struct observer_world *w, int topics)
{
    while (topics > 0) {
        int n = topics < WORLD_FLIGHT ? topics : WORLD_FLIGHT;

        qworld_submit(&w->voter, n);
        CHECK(qworld_settle(&w->voter));
        topics -= n;
    }
}

int oworld_topics(const struct observer_world *w)
{
    struct image_topics it = image_topics_from(w->committed, SLICE_NULL);
    const struct image_topic *t;
    int n = 0;

    for (; (t = image_topics_next(&it)); n++) {
        char name[20];

        (void)snprintf(name, sizeof(name), "topic-%06d", n);
        CHECK(slice_eq(t->name, SLICE(name)));
    }
    return n;
}

void oworld_drop(struct observer_world *w)
{
    if (up(w))
        CHECK(oworld_stop(w));
    CHECK(qworld_stop(&w->voter));
    qworld_drop(&w->voter);
}
