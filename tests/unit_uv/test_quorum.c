/* The quorum of one on real threads and a real disk: what thread sanitizer should see. */
#include "metadata/batches.h"
#include "quorum/quorum.h"
#include "world.h"

enum { STARTS = 3, TOPICS = 400, FLIGHT = 8 };

struct proposal {
    struct quorum_entry entry;
    struct bytes bytes;
};

static struct {
    struct io *io;
    struct loop *loop;
    struct grave grave;
    struct quorum *quorum;
    struct image *image;
    struct proposal flight[FLIGHT];
    struct msg stopped;
    int64_t next;
    int32_t epoch;
    int sent, done, held, released, start;
} g;

static void record_of(struct meta_record *r, int i, char name[16])
{
    *r = (struct meta_record){.type = RECORD_TOPIC};
    (void)snprintf(name, 16, "t%d", i);
    r->topic.name = SLICE(name);
    memcpy(r->topic.id.b, &i, sizeof(i));
    r->topic.id.b[15] = 1;
}

static void propose(struct proposal *p);

static void proposal_done(struct quorum_entry *e, enum err err)
{
    struct proposal *p = container_of(e, struct proposal, entry);
    struct image *draft = image_draft(g.image, &g.grave);
    struct meta_record r;
    char name[16];

    CHECK_OK(err);
    record_of(&r, g.start * TOPICS + g.done++, name);
    image_replay(draft, &g.grave, &r);
    draft->offset = e->last_offset;
    draft->epoch = g.epoch;
    image_seal(draft);
    image_unref(g.image, &g.grave);
    g.image = draft;
    bytes_drop(&p->bytes);
    if (g.sent < TOPICS)
        propose(p);
    else if (g.done == TOPICS)
        quorum_stop(g.quorum, &g.stopped);
}

static void propose(struct proposal *p)
{
    struct batch_place at = {.base_offset = g.next, .epoch = g.epoch, .now_ms = io_wall_ms(g.io)};
    struct meta_record r;
    struct bytes value;
    struct arena a;
    char name[16];
    size_t end;

    record_of(&r, g.start * TOPICS + g.sent++, name);
    bytes_init(&value, io_heap(g.io));
    bytes_init(&p->bytes, io_heap(g.io));
    arena_init(&a, io_heap(g.io), SIZE_MAX);
    record_encode(&r, &value);
    end = value.len;
    batches_data(&at, bytes_slice(&value), &end, 1, &a, &p->bytes);
    arena_drop(&a);
    bytes_drop(&value);
    p->entry = (struct quorum_entry){
        .bytes = bytes_slice(&p->bytes), .base_offset = g.next, .last_offset = g.next, .done = proposal_done};
    g.next++;
    quorum_submit(g.quorum, &p->entry);
}

static void on_loaded(void *arg, struct image *image)
{
    CHECK_EQ(image->topics.count, g.start * TOPICS);
    g.image = image;
}

static void on_leader(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset)
{
    CHECK(self && epoch == g.start + 2);
    g.epoch = epoch;
    g.next = next_offset;
    for (int i = 0; i < FLIGHT; i++)
        propose(&g.flight[i]);
}

static struct image *on_hold(void *arg)
{
    g.held++;
    return image_ref(g.image);
}

static void on_released(void *arg, struct image *image)
{
    g.released++;
    image_unref(image, &g.grave);
}

static void on_failed(void *arg, enum err err, const char *what)
{
    CHECK_STR(what, "");
}

static void stopped_run(struct msg *msg)
{
    CHECK(g.held == g.released && g.held > 0);
    image_unref(g.image, &g.grave);
    grave_empty(&g.grave);
    loop_stop(g.loop, NULL, NULL);
}

static void start(void *arg)
{
    const struct quorum_settings settings = {.dir = test_dir(),
                                             .directory_id = {.b = {7}},
                                             .election_ms = 400,
                                             .heartbeat_ms = 50,
                                             .snapshot_bytes = 3000,
                                             .segment_bytes = 8192,
                                             .segment_ms = 604800000,
                                             .retention_bytes = 10000,
                                             .retention_ms = -1};
    const struct quorum_ops ops = {.loaded = on_loaded,
                                   .leader = on_leader,
                                   .hold = on_hold,
                                   .released = on_released,
                                   .failed = on_failed};

    grave_init(&g.grave, io_heap(g.io));
    g.stopped.run = stopped_run;
    g.quorum = quorum_start(g.io, g.loop, &g.grave, &settings, &ops);
}

/* Proposals, snapshots and their references cross between threads, and each start finds all of it. */
TEST(quorum, threads_hand_over_what_they_share)
{
    for (g.start = 0; g.start < STARTS; g.start++) {
        g.sent = g.done = g.held = g.released = 0;
        world_run(LOOP_DISK, start, &g.io, &g.loop);
        CHECK_EQ(g.done, TOPICS);
    }
}
