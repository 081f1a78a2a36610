#include "tools/meta_live.h"
#include "base/check.h"
#include "broker/link/metadata_log.h"
#include <inttypes.h>

/* ---- one question ---- */

/* What to do about an error of the world, for a person. */
static const char *lost(const struct meta_live *l, enum err err)
{
    struct arena *a = &l->t->arena;

    switch (err) {
    case E_REFUSED:
        return arena_printf(a, "no controller listens at %s", l->at);
    case E_NOENT:
        return arena_printf(a, "there is no host of that name: %s", l->at);
    case E_TIMEOUT:
        return arena_printf(a, "%s didn't answer in time; is it up, and is that a controller's port?", l->at);
    case E_RESET:
    case E_EOF:
        return arena_printf(a, "%s broke the connection off; is that a controller's port?", l->at);
    case E_UNSUPPORTED_VERSION:
        return arena_printf(a, "%s has no Fetch by topic id (Kafka's before 3.1 don't), or is no controller",
                            l->at);
    default:
        return arena_printf(a, "%s can't be asked: %s", l->at, err_text(err));
    }
}

/* … and of one that was answered. */
static const char *refused(const struct meta_live *l, enum err err)
{
    struct arena *a = &l->t->arena;

    switch (err) {
    case E_UNKNOWN_TOPIC_ID:
    case E_UNKNOWN_TOPIC_OR_PARTITION:
        return arena_printf(
            a,
            "%s is no controller's listener: a broker answered, which doesn't serve "
            "__cluster_metadata; controller.quorum.bootstrap.servers (or .voters) has the port",
            l->at);
    case E_NOT_LEADER_OR_FOLLOWER:
    case E_FENCED_LEADER_EPOCH:
    case E_UNKNOWN_LEADER_EPOCH:
        return arena_printf(a,
                            "no leader yet: the controllers at %s have elected none that answers within %d s",
                            l->at, LIVE_TRIES * LIVE_PAUSE_MS / 1000);
    case E_CLUSTER_AUTHORIZATION_FAILED:
        return arena_printf(a, "%s lets only those read the metadata who may CLUSTER_ACTION on the cluster",
                            l->at);
    default:
        return arena_printf(a, "%s refuses: %s", l->at, err_text(err));
    }
}

/* Who leads, as an answer tells it. true: that was news. */
static bool leader_learn(struct meta_live *l, int32_t leader, int32_t epoch, const struct FetchResponse *out)
{
    bool news = epoch >= 0 && epoch != l->leader_epoch;

    if (epoch >= 0)
        l->leader_epoch = epoch;
    for (int i = 0; i < out->node_endpoints.n; i++) {
        const struct FetchResponse_NodeEndpoint *e = &out->node_endpoints.v[i];

        if (e->node_id != leader || leader < 0 || leader == l->node || e->port <= 0 || e->port > UINT16_MAX)
            continue;
        l->asker->place(l->asker, leader, e->host, (uint16_t)e->port);
        l->node = leader;
        news = true;
    }
    return news;
}

static const struct FetchRequest *fetch_request(const struct meta_live *l, int64_t offset, int32_t epoch,
                                                int32_t max, struct arena *a)
{
    struct FetchRequest *in = proto_new(&FetchRequest_type, a, 1);
    struct FetchRequest_FetchPartition *p;
    const struct uuid id = METADATA_TOPIC_ID;

    in->max_bytes = max;
    PROTO_ARRAY_NEW(a, FetchRequest_FetchTopic, in->topics, 1);
    in->topics.v[0].topic_id = id;
    PROTO_ARRAY_NEW(a, FetchRequest_FetchPartition, in->topics.v[0].partitions, 1);
    p = &in->topics.v[0].partitions.v[0];
    p->current_leader_epoch = l->leader_epoch;
    p->fetch_offset = offset;
    p->last_fetched_epoch = epoch;
    p->partition_max_bytes = max;
    return in;
}

/* The one partition, or an error. */
static enum err fetch_read(const struct FetchResponse *out, const struct FetchResponse_PartitionData **p)
{
    if (out->error_code)
        return err_of_wire(out->error_code);
    if (out->responses.n != 1 || out->responses.v[0].partitions.n != 1)
        return E_MALFORMED;
    *p = &out->responses.v[0].partitions.v[0];
    return (*p)->error_code ? err_of_wire((*p)->error_code) : E_OK;
}

static bool comes_again(enum err err)
{
    return err == E_NOT_LEADER_OR_FOLLOWER || err == E_FENCED_LEADER_EPOCH || err == E_UNKNOWN_LEADER_EPOCH ||
           err == E_REFUSED || err == E_RESET || err == E_EOF;
}

/* Fetch, again and again while nobody leads. A leader that was named and can't be reached isn't asked again: who was
 * typed may name another. NULL: l->why. */
static const struct FetchResponse_PartitionData *fetch(struct meta_live *l, int64_t offset, int32_t epoch,
                                                       int32_t max, struct arena *a)
{
    const struct FetchResponse_PartitionData *p = NULL;
    enum err err = E_OK, told = E_OK;

    for (int i = 0; i < LIVE_TRIES; i++) {
        const void *out = NULL;
        bool news = false;

        arena_reset(a);
        err = l->asker->ask(l->asker, l->node, API_Fetch, fetch_request(l, offset, epoch, max, a), a, &out);
        if (err && (l->node < 0 || !comes_again(err))) {
            l->why = lost(l, err);
            return NULL;
        }
        p = NULL;
        if (err)
            l->node = -1;
        else
            told = err = fetch_read(out, &p);
        if (p)
            news = leader_learn(l, p->current_leader.leader_id, p->current_leader.leader_epoch, out);
        if (!err && (l->end >= 0 || (p->current_leader.leader_id >= 0 && p->high_watermark >= 0)))
            return p;
        if (err && !comes_again(err))
            break;
        if (!err)
            told = E_NOT_LEADER_OR_FOLLOWER;
        if (!news || i > 3)
            l->asker->pause(l->asker, LIVE_PAUSE_MS);
    }
    l->why = told ? refused(l, told) : lost(l, err);
    return NULL;
}

/* ---- the place ---- */

static bool begins_later(const struct FetchResponse_PartitionData *p)
{
    return p->snapshot_id.end_offset >= 0;
}

/* The history before the snapshot is read too where the node gives it: from the log's own start on. */
static bool start_find(struct meta_live *l, int64_t log_start, struct arena *a)
{
    const struct FetchResponse_PartitionData *p;

    if (log_start < 0 || log_start >= l->start)
        return true;
    p = fetch(l, log_start, 0, 1, a);
    if (!p)
        return false;
    if (!begins_later(p) && p->diverging_epoch.end_offset < 0 && p->records.len > 0) {
        l->start = log_start;
        l->start_epoch = 0;
    }
    return true;
}

bool meta_live_begin(struct meta_live *l, struct tool *t, struct meta_asker *asker, const char *at,
                     struct meta_place *out)
{
    const struct FetchResponse_PartitionData *p;
    struct meta_file *f = arena_alloc(&t->arena, 2 * sizeof(*f));
    struct arena a;

    *l = (struct meta_live){.t = t, .asker = asker, .at = at, .node = -1, .end = -1};
    *out = (struct meta_place){.path = at, .logs = &f[0], .n_logs = 1};
    arena_init(&a, t->heap, SIZE_MAX);
    p = fetch(l, 0, 0, LIVE_FETCH_BYTES, &a);
    if (p)
        l->end = p->high_watermark;
    if (p && begins_later(p)) {
        int64_t log_start = p->log_start_offset;

        l->start = p->snapshot_id.end_offset;
        l->start_epoch = p->snapshot_id.epoch;
        f[1] = (struct meta_file){.path = arena_printf(&t->arena, "%s/%020" PRId64 "-%010d.checkpoint", at,
                                                       l->start, l->start_epoch),
                                  .offset = l->start,
                                  .epoch = l->start_epoch,
                                  .live = l};
        out->checkpoints = &f[1];
        out->n_checkpoints = 1;
        p = start_find(l, log_start, &a) ? p : NULL;
    }
    f[0] = (struct meta_file){.path = at, .offset = l->start, .epoch = -1, .live = l};
    arena_drop(&a);
    return p != NULL;
}

/* ---- the log ---- */

struct live {
    struct meta_source source;
    struct meta_live *l;
    const struct meta_file *file;
    struct arena arena; /* the answer */
    int64_t position;   /* bytes that were passed on */
    /* of the log */
    struct slice rest; /* of the answer */
    int64_t from, next;
    int32_t epoch;
    int32_t max;
    /* of a snapshot */
    struct bytes have;
    size_t used; /* of `have` */
    int64_t size;
};

static enum err live_fail(struct live *s, const char *why)
{
    s->source.why = why;
    return E_IO;
}

static enum err log_more(struct live *s)
{
    struct meta_live *l = s->l;
    const struct FetchResponse_PartitionData *p = fetch(l, s->next, s->epoch, s->max, &s->arena);

    if (!p)
        return live_fail(s, l->why);
    if (begins_later(p) || p->log_start_offset > s->next)
        return live_fail(s,
                         arena_printf(&l->t->arena,
                                      "%s: the log was cut meanwhile, behind offset %" PRId64 "; ask again",
                                      l->at, s->next));
    if (p->diverging_epoch.end_offset >= 0)
        return live_fail(s, arena_printf(&l->t->arena,
                                         "%s: what %s has before offset %" PRId64
                                         " isn't what was read before: these are two histories",
                                         l->at, l->node < 0 ? "it" : "the new leader", s->next));
    s->rest = p->records;
    return E_OK;
}

/* The next batch that lies whole in an answer; more is asked for if it didn't, and a voter that others follow may be
 * behind the one that was asked first. */
static enum err log_batch(struct live *s, struct batch_view *v)
{
    struct meta_live *l = s->l;
    enum err err;

    for (int tries = 0; (err = batch_next(&s->rest, v)) == E_EOF || err == E_TRUNCATED; tries++) {
        if (tries == LIVE_TRIES || s->max > META_BATCH_MAX)
            return live_fail(s,
                             arena_printf(&l->t->arena, "%s gives no whole batch from offset %" PRId64 " on",
                                          l->at, s->next));
        if (tries > 0 && err == E_TRUNCATED)
            s->max *= 2;
        else if (tries > 0)
            l->asker->pause(l->asker, LIVE_PAUSE_MS);
        err = log_more(s);
        if (err)
            return err;
    }
    return err;
}

static enum err log_next(struct meta_source *source, struct meta_batch *out)
{
    struct live *s = container_of(source, struct live, source);

    while (s->next < s->l->end) {
        enum err err;

        out->where = s->file->path;
        out->position = s->position;
        out->file = 0;
        err = log_batch(s, &out->view);
        if (err)
            return err;
        if (out->view.last_offset >= s->l->end)
            break;
        s->position += (int64_t)out->view.len;
        if (out->view.last_offset < s->next)
            continue;
        s->next = out->view.last_offset + 1;
        s->epoch = out->view.leader_epoch;
        if (out->view.last_offset >= s->from)
            return E_OK;
    }
    return E_EOF;
}

/* ---- the snapshot ---- */

static const struct FetchSnapshotRequest *piece_request(const struct live *s, int64_t at, struct arena *a)
{
    struct FetchSnapshotRequest *in = proto_new(&FetchSnapshotRequest_type, a, 1);
    struct FetchSnapshotRequest_PartitionSnapshot *p;

    in->max_bytes = LIVE_FETCH_BYTES;
    PROTO_ARRAY_NEW(a, FetchSnapshotRequest_TopicSnapshot, in->topics, 1);
    in->topics.v[0].name = SLICE(METADATA_TOPIC);
    PROTO_ARRAY_NEW(a, FetchSnapshotRequest_PartitionSnapshot, in->topics.v[0].partitions, 1);
    p = &in->topics.v[0].partitions.v[0];
    p->current_leader_epoch = s->l->leader_epoch;
    p->snapshot_id.end_offset = s->file->offset;
    p->snapshot_id.epoch = s->file->epoch;
    p->position = at;
    return in;
}

static enum err piece_read(struct live *s, const struct FetchSnapshotResponse *out, int64_t at)
{
    const struct FetchSnapshotResponse_PartitionSnapshot *p;

    if (out->error_code)
        return err_of_wire(out->error_code);
    if (out->topics.n != 1 || out->topics.v[0].partitions.n != 1)
        return E_MALFORMED;
    p = &out->topics.v[0].partitions.v[0];
    if (p->error_code) {
        if (p->current_leader.leader_epoch >= 0)
            s->l->leader_epoch = p->current_leader.leader_epoch;
        return err_of_wire(p->error_code);
    }
    if (p->position != at || p->unaligned_records.len == 0)
        return E_MALFORMED;
    s->size = p->size;
    bytes_add(&s->have, p->unaligned_records.p, p->unaligned_records.len);
    return E_OK;
}

/* What was used goes, the next piece comes behind the rest. */
static enum err piece_more(struct live *s)
{
    struct meta_live *l = s->l;
    size_t left = s->have.len - s->used;
    int64_t at = s->position + (int64_t)left;
    enum err err = E_OK;

    if (s->used > 0)
        memmove(s->have.p, s->have.p + s->used, left);
    s->have.len = left;
    s->used = 0;
    for (int i = 0; i < LIVE_TRIES; i++) {
        const void *out;

        arena_reset(&s->arena);
        err = l->asker->ask(l->asker, l->node, API_FetchSnapshot, piece_request(s, at, &s->arena), &s->arena,
                            &out);
        if (err)
            return live_fail(s, lost(l, err));
        err = piece_read(s, out, at);
        if (!comes_again(err))
            break;
        l->asker->pause(l->asker, LIVE_PAUSE_MS);
    }
    if (!err)
        return E_OK;
    return live_fail(
        s,
        err == E_SNAPSHOT_NOT_FOUND
            ? arena_printf(&l->t->arena, "%s: a newer snapshot has taken its place; ask again", s->file->path)
            : refused(l, err));
}

static enum err snapshot_next(struct meta_source *source, struct meta_batch *out)
{
    struct live *s = container_of(source, struct live, source);
    enum err err;

    out->where = s->file->path;
    out->position = s->position;
    out->file = 0;
    for (;;) {
        struct slice rest = slice_of(s->have.p + s->used, s->have.len - s->used);
        bool all = s->size >= 0 && s->position + (int64_t)rest.len >= s->size;

        err = batch_next(&rest, &out->view);
        if ((err != E_EOF && err != E_TRUNCATED) || all || rest.len > META_BATCH_MAX)
            break;
        err = piece_more(s);
        if (err)
            return err;
    }
    if (!err) {
        s->used += out->view.len;
        s->position += (int64_t)out->view.len;
    }
    return err;
}

/* ---- either ---- */

static void live_close(struct meta_source *source)
{
    struct live *s = container_of(source, struct live, source);

    arena_drop(&s->arena);
    bytes_drop(&s->have);
    heap_free(s->l->t->heap, s);
}

struct meta_source *meta_live_source(const struct meta_file *f, int64_t from)
{
    struct meta_live *l = f->live;
    struct live *s = heap_alloc(l->t->heap, sizeof(*s));
    bool is_log = f->epoch < 0;

    ASSERT(l->end >= 0);
    *s = (struct live){.source = {.next = is_log ? log_next : snapshot_next, .close = live_close},
                       .l = l,
                       .file = f,
                       .from = from,
                       .next = l->start,
                       .epoch = l->start_epoch,
                       .max = LIVE_FETCH_BYTES,
                       .size = -1};
    arena_init(&s->arena, l->t->heap, SIZE_MAX);
    bytes_init(&s->have, l->t->heap);
    return &s->source;
}
