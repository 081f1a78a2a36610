/* weir metadata on a cluster that answers as it likes: who leads, in what pieces bytes come, what is refused. */
#include "broker/link/metadata_log.h"
#include "metadata/batches.h"
#include "metadata/snapshot.h"
#include "proto_gen.h"
#include "tests/check.h"
#include "tools/meta_live.h"
#include "tools/meta_state.h"
#include "tools/meta_walk.h"

enum { BATCHES = 20, RECORDS = 10, SNAPSHOT_AT = 100 };

/* Two nodes: 1, whose address was typed, and 2, which has to be named first. */
struct cluster {
    struct meta_asker asker;
    struct tool t;
    struct bytes log, snapshot;
    size_t at[BATCHES + 1]; /* where each batch begins */
    int64_t log_start, committed;
    bool strict;           /* as Apache Kafka's: the epoch before the log's start has to be right */
    int32_t leader, epoch; /* leader -1: none */
    bool has_snapshot;
    size_t most;   /* bytes in an answer */
    int32_t share; /* an answer takes one in so many of the bytes that it may have */
    enum err world, refuses;
    int placed, paused, asked, unasked; /* unasked: at a node that doesn't lead */
};

static void fill(struct cluster *c)
{
    struct image *i;
    struct grave g;
    struct snapshot_writer w;
    struct arena a;

    arena_init(&a, c->t.heap, SIZE_MAX);
    for (int b = 0; b < BATCHES; b++, arena_reset(&a)) {
        struct batch_place at = {.base_offset = RECORDS * b, .epoch = 1 + b / 10, .now_ms = 1000 + b};
        size_t ends[RECORDS];

        for (int k = 0; k < RECORDS; k++)
            ends[k] = 3 * (size_t)(k + 1);
        c->at[b] = c->log.len;
        batches_data(&at, slice_of("thirty bytes, ten records' own", 30), ends, RECORDS, &a, &c->log);
    }
    c->at[BATCHES] = c->log.len;
    arena_drop(&a);
    grave_init(&g, c->t.heap);
    i = image_new(&g);
    image_seal(i);
    snapshot_start(&w, c->t.heap, i);
    while (snapshot_step(&w, 1, &c->snapshot))
        ;
    snapshot_end(&w);
    image_unref(i, &g);
    grave_empty(&g);
}

static void answer_log(struct cluster *c, const struct FetchRequest *in,
                       struct FetchResponse_PartitionData *p, struct arena *a)
{
    const struct FetchRequest_FetchPartition *asked = &in->topics.v[0].partitions.v[0];
    int64_t offset = asked->fetch_offset;
    size_t len = (size_t)(asked->partition_max_bytes / c->share), left;

    p->high_watermark = c->committed;
    p->log_start_offset = c->log_start;
    if (offset < c->log_start ||
        (c->strict && c->has_snapshot && offset == c->log_start && asked->last_fetched_epoch != 1)) {
        p->snapshot_id.end_offset = SNAPSHOT_AT;
        p->snapshot_id.epoch = 1;
        return;
    }
    if (offset > c->log_start && asked->last_fetched_epoch != 1 + (offset - 1) / SNAPSHOT_AT) {
        p->diverging_epoch.epoch = 1;
        p->diverging_epoch.end_offset = SNAPSHOT_AT;
        return;
    }
    left = c->log.len - c->at[offset / RECORDS];
    len = len < c->most ? len : c->most;
    p->records = arena_copy(a, slice_of(c->log.p + c->at[offset / RECORDS], len < left ? len : left));
}

static enum err leads(struct cluster *c, int32_t node, int32_t epoch)
{
    if (node != c->leader && !(node < 0 && c->leader == 1)) {
        c->unasked++;
        return E_NOT_LEADER_OR_FOLLOWER;
    }
    if (c->refuses)
        return c->refuses;
    return epoch < c->epoch ? E_FENCED_LEADER_EPOCH : E_OK;
}

static void fetch_answer(struct cluster *c, int32_t node, const struct FetchRequest *in,
                         struct FetchResponse *out, struct arena *a)
{
    const struct uuid id = METADATA_TOPIC_ID;
    struct FetchResponse_PartitionData *p;
    enum err err;

    CHECK(uuid_eq(in->topics.v[0].topic_id, id));
    PROTO_ARRAY_NEW(a, FetchResponse_FetchableTopicResponse, out->responses, 1);
    PROTO_ARRAY_NEW(a, FetchResponse_PartitionData, out->responses.v[0].partitions, 1);
    p = &out->responses.v[0].partitions.v[0];
    err = leads(c, node, in->topics.v[0].partitions.v[0].current_leader_epoch);
    p->error_code = err_wire(err);
    p->current_leader.leader_id = c->leader;
    p->current_leader.leader_epoch = c->epoch;
    if (err && c->leader >= 0) {
        PROTO_ARRAY_NEW(a, FetchResponse_NodeEndpoint, out->node_endpoints, 1);
        out->node_endpoints.v[0].node_id = c->leader;
        out->node_endpoints.v[0].host = SLICE("there");
        out->node_endpoints.v[0].port = 9093;
    }
    if (!err)
        answer_log(c, in, p, a);
    c->committed += RECORDS; /* a cluster doesn't stand still */
}

static void piece_answer(struct cluster *c, int32_t node, const struct FetchSnapshotRequest *in,
                         struct FetchSnapshotResponse *out, struct arena *a)
{
    const struct FetchSnapshotRequest_PartitionSnapshot *asked = &in->topics.v[0].partitions.v[0];
    struct FetchSnapshotResponse_PartitionSnapshot *p;
    size_t left = c->snapshot.len - (size_t)asked->position;

    PROTO_ARRAY_NEW(a, FetchSnapshotResponse_TopicSnapshot, out->topics, 1);
    PROTO_ARRAY_NEW(a, FetchSnapshotResponse_PartitionSnapshot, out->topics.v[0].partitions, 1);
    p = &out->topics.v[0].partitions.v[0];
    p->error_code =
        err_wire(c->has_snapshot ? leads(c, node, asked->current_leader_epoch) : E_SNAPSHOT_NOT_FOUND);
    p->snapshot_id.end_offset = asked->snapshot_id.end_offset;
    p->size = (int64_t)c->snapshot.len;
    p->position = asked->position;
    CHECK_EQ(asked->snapshot_id.end_offset, SNAPSHOT_AT);
    p->unaligned_records =
        arena_copy(a, slice_of(c->snapshot.p + asked->position, left < c->most ? left : c->most));
}

static enum err ask(struct meta_asker *q, int32_t node, int16_t key, const void *in, struct arena *a,
                    const void **out)
{
    struct cluster *c = container_of(q, struct cluster, asker);
    void *answer = proto_new(key == API_Fetch ? &FetchResponse_type : &FetchSnapshotResponse_type, a, 1);

    c->asked++;
    *out = answer;
    if (c->world)
        return c->world;
    if (key == API_Fetch)
        fetch_answer(c, node, in, answer, a);
    else
        piece_answer(c, node, in, answer, a);
    return E_OK;
}

static void place(struct meta_asker *q, int32_t node, struct slice host, uint16_t port)
{
    struct cluster *c = container_of(q, struct cluster, asker);

    CHECK(node == c->leader && slice_eq(host, SLICE("there")) && port == 9093);
    c->placed++;
}

static void pause_count(struct meta_asker *q, int ms)
{
    struct cluster *c = container_of(q, struct cluster, asker);

    CHECK(ms > 0);
    c->paused++;
}

static void cluster_start(struct cluster *c)
{
    *c = (struct cluster){.asker = {.ask = ask, .place = place, .pause = pause_count},
                          .t = {.heap = heap_new(false)},
                          .committed = RECORDS * (BATCHES - 5),
                          .leader = 1,
                          .epoch = 3,
                          .most = SIZE_MAX,
                          .share = 1};
    arena_init(&c->t.arena, c->t.heap, SIZE_MAX);
    bytes_init(&c->log, c->t.heap);
    bytes_init(&c->snapshot, c->t.heap);
    fill(c);
}

static void cluster_end(struct cluster *c)
{
    bytes_drop(&c->log);
    bytes_drop(&c->snapshot);
    arena_drop(&c->t.arena);
    CHECK_EQ(heap_used(c->t.heap), 0);
    heap_drop(c->t.heap);
}

/* Reads all of the log; where it has to begin and what comes after its last record. */
static void read_log(struct cluster *c, const struct meta_place *p, int64_t first, int64_t end)
{
    struct meta_source *s = meta_files(&c->t, p->logs, p->n_logs, 0);
    struct meta_batch b = {0};
    enum err err;

    while (!(err = s->next(s, &b))) {
        CHECK_EQ(b.view.base_offset, first);
        CHECK(batch_crc_ok(&b.view));
        CHECK_STR(b.where, "here");
        first = b.view.last_offset + 1;
    }
    CHECK_EQ(err, E_EOF);
    CHECK_EQ(first, end);
    s->close(s);
}

static const struct {
    size_t most;
    int32_t share;
} PIECES[] = {{SIZE_MAX, 1}, {200, 1}, {400, 1}, {SIZE_MAX, LIVE_FETCH_BYTES / 60}};

/* Each batch comes once, however answers are cut, and none that wasn't committed when the first question was asked. */
TEST_EACH(meta_live, the_log_comes_whole_and_ends_where_it_ended, PIECES)
{
    struct cluster c;
    struct meta_live l;
    struct meta_place p;
    int64_t end;

    cluster_start(&c);
    c.most = row->most;
    c.share = row->share;
    end = c.committed + RECORDS; /* the first question is answered with the epoch, the second with the end */
    CHECK(meta_live_begin(&l, &c.t, &c.asker, "here", &p));
    CHECK(p.n_logs == 1 && p.n_checkpoints == 0 && p.logs[0].offset == 0);
    read_log(&c, &p, 0, end);
    CHECK_EQ(c.paused, 0);
    cluster_end(&c);
}

/* From an offset on: the batch that holds it comes first. */
TEST(meta_live, reading_may_begin_inside_the_log)
{
    struct cluster c;
    struct meta_live l;
    struct meta_place p;
    struct meta_source *s;
    struct meta_batch b;

    cluster_start(&c);
    CHECK(meta_live_begin(&l, &c.t, &c.asker, "here", &p));
    s = meta_files(&c.t, p.logs, 1, 55);
    CHECK_OK(s->next(s, &b));
    CHECK_EQ(b.view.base_offset, 50);
    s->close(s);
    cluster_end(&c);
}

/* A log that no longer begins at 0: its snapshot comes too, in pieces of any size, and the log either from its start
 * (a voter of ours) or from the snapshot's end (Apache Kafka's). */
TEST_EACH(meta_live, a_snapshot_leads_to_a_log_that_was_cut, PIECES)
{
    for (int strict = 0; strict < 2; strict++) {
        struct cluster c;
        struct meta_live l;
        struct meta_place p;
        struct meta_state s;

        cluster_start(&c);
        c.has_snapshot = true;
        c.strict = strict;
        c.log_start = 50;
        CHECK(meta_live_begin(&l, &c.t, &c.asker, "here", &p));
        CHECK(p.n_checkpoints == 1 && p.checkpoints[0].offset == SNAPSHOT_AT);
        CHECK_EQ(p.logs[0].offset, strict ? SNAPSHOT_AT : 50);
        c.most = row->most < SIZE_MAX ? row->most / 50 : SIZE_MAX;
        meta_state_init(&s, c.t.heap);
        CHECK(!meta_checkpoint(&c.t, &p.checkpoints[0], &s));
        CHECK_EQ(s.draft->offset, SNAPSHOT_AT - 1);
        meta_state_drop(&s);
        c.most = row->most;
        read_log(&c, &p, p.logs[0].offset, l.end);
        cluster_end(&c);
    }
}

/* Who doesn't lead names the leader, which is asked from then on; the new one too when that changes. */
TEST(meta_live, the_leader_is_followed)
{
    struct cluster c;
    struct meta_live l;
    struct meta_place p;

    cluster_start(&c);
    c.leader = 2;
    CHECK(meta_live_begin(&l, &c.t, &c.asker, "here", &p));
    CHECK_EQ(c.placed, 1);
    c.leader = 3;
    c.epoch++;
    read_log(&c, &p, 0, l.end);
    CHECK_EQ(c.placed, 2);
    CHECK_EQ(c.unasked, 2);
    cluster_end(&c);
}

static const struct {
    enum err world, refuses;
    int32_t leader;
    const char *words;
} REFUSALS[] = {
    {.leader = -1, .words = "no leader yet: the controllers at here have elected none"},
    {.leader = 1,
     .refuses = E_UNKNOWN_TOPIC_ID,
     .words = "here is no controller's listener: a broker answered"},
    {.leader = 1, .refuses = E_UNKNOWN_TOPIC_OR_PARTITION, .words = "here is no controller's listener"},
    {.leader = 1, .refuses = E_CLUSTER_AUTHORIZATION_FAILED, .words = "lets only those read the metadata"},
    {.leader = 1, .refuses = E_INVALID_REQUEST, .words = "here refuses: "},
    {.leader = 1, .world = E_REFUSED, .words = "no controller listens at here"},
    {.leader = 1, .world = E_NOENT, .words = "there is no host of that name: here"},
    {.leader = 1, .world = E_EOF, .words = "here broke the connection off"},
    {.leader = 1, .world = E_TIMEOUT, .words = "here didn't answer in time"},
};

/* What doesn't work is said in words, at once unless it may pass. */
TEST_EACH(meta_live, refusals_are_sentences, REFUSALS)
{
    struct cluster c;
    struct meta_live l;
    struct meta_place p;

    cluster_start(&c);
    c.world = row->world;
    c.refuses = row->refuses;
    c.leader = row->leader;
    CHECK(!meta_live_begin(&l, &c.t, &c.asker, "here", &p));
    CHECK(strstr(l.why, row->words));
    CHECK_EQ(c.asked, row->leader < 0 ? LIVE_TRIES : 1);
    cluster_end(&c);
}

/* The reader's sentence is the source's, not an error's text. */
static void read_fails(struct cluster *c, const struct meta_file *f, const char *words)
{
    struct meta_reader r;
    struct meta_item i;

    meta_reader_open(&r, &c->t, meta_files(&c->t, f, 1, 0));
    CHECK(!meta_reader_next(&r, &i));
    CHECK(r.why && strstr(r.why, words) && !r.torn);
    meta_reader_close(&r);
}

/* A batch that never comes whole is a failure, not a log that is being written. */
TEST(meta_live, a_batch_that_never_comes_is_told)
{
    struct cluster c;
    struct meta_live l;
    struct meta_place p;

    cluster_start(&c);
    CHECK(meta_live_begin(&l, &c.t, &c.asker, "here", &p));
    c.most = 100;
    read_fails(&c, &p.logs[0], "here gives no whole batch from offset 0 on");
    c.most = 0;
    read_fails(&c, &p.logs[0], "here gives no whole batch from offset 0 on");
    CHECK(c.paused > 0);
    cluster_end(&c);
}

/* What goes away between two questions is told, never stepped over. */
TEST(meta_live, what_went_meanwhile_is_told)
{
    struct cluster c;
    struct meta_live l;
    struct meta_place p;

    cluster_start(&c);
    c.log_start = 50;
    c.has_snapshot = true;
    CHECK(meta_live_begin(&l, &c.t, &c.asker, "here", &p));
    c.has_snapshot = false;
    read_fails(&c, &p.checkpoints[0], "a newer snapshot has taken its place");
    c.log_start = 150;
    read_fails(&c, &p.logs[0], "the log was cut meanwhile, behind offset 50");
    c.log_start = 0;
    read_fails(&c, &p.logs[0], "these are two histories");
    cluster_end(&c);
}
