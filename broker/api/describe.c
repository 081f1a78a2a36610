/* DescribeProducers and DescribeLogDirs: what lies on the DISK loops, told as it is. */
#include "broker/api/handlers.h"
#include "broker/api/partition_call.h"
#include "broker/replica/manager.h"
#include "metadata/topic_name.h"
#include "proto_gen.h"
#include <stdlib.h>

/* ---- DescribeProducers ---- */

struct producers_part {
    struct scatter_item item;
    struct slice copy; /* of struct producer rows, from the node's heap */
    int n;
    struct DescribeProducersResponse_PartitionResponse *out;
};

static void producers_visit(struct lane *lane)
{
    struct partitions *ps = lane->disk->partitions;

    for (struct scatter_item *it = lane->first; it; it = it->next) {
        struct producers_part *part = container_of(it, struct producers_part, item);
        const struct producers *rows;
        struct partition *p;
        it->err = partition_find(ps, &it->topic_id, it->partition, &p);
        if (it->err)
            continue;
        rows = log_producers(p->log);
        part->n = (int)rows->n;
        part->copy = heap_copy(ps->heap, slice_of(rows->rows, rows->n * sizeof(*rows->rows)));
    }
    lane_answer(lane);
}

static void producers_tell(struct request *r, struct producers_part *part)
{
    const struct producer *rows = (const void *)part->copy.p;

    PROTO_ARRAY_NEW(&r->arena, DescribeProducersResponse_ProducerState, part->out->active_producers, part->n);
    for (int i = 0; i < part->n; i++) {
        struct DescribeProducersResponse_ProducerState *out = &part->out->active_producers.v[i];
        out->producer_id = rows[i].id;
        out->producer_epoch = rows[i].epoch;
        out->last_sequence = producer_last_sequence(&rows[i]);
        out->last_timestamp = rows[i].last_timestamp;
        out->coordinator_epoch = rows[i].coordinator_epoch;
        out->current_txn_start_offset = rows[i].txn_first;
    }
    heap_free(r->arena.heap, part->copy.p);
}

static void producers_done(struct scatter *s)
{
    scatter_each(it, s)
    {
        struct producers_part *part = container_of(it, struct producers_part, item);
        part->out->error_code = err_wire(it->err);
        if (!it->err)
            producers_tell(s->request, part);
    }
    request_reply(s->request);
}

void describe_producers(struct request *r)
{
    const struct DescribeProducersRequest *in = r->in;
    struct DescribeProducersResponse *out = r->out;
    struct scatter *s = scatter_new(r, producers_visit, producers_done);

    PROTO_ARRAY_NEW(&r->arena, DescribeProducersResponse_TopicResponse, out->topics, in->topics.n);
    for (int32_t i = 0; i < in->topics.n; i++) {
        const struct DescribeProducersRequest_TopicRequest *t = &in->topics.v[i];
        struct producers_part *parts =
            arena_alloc(&r->arena, (size_t)t->partition_indexes.n * sizeof(*parts));
        out->topics.v[i].name = t->name;
        PROTO_ARRAY_NEW(&r->arena, DescribeProducersResponse_PartitionResponse, out->topics.v[i].partitions,
                        t->partition_indexes.n);
        for (int32_t j = 0; j < t->partition_indexes.n; j++) {
            struct producers_part *p = &parts[j];
            enum err err;
            p->out = &out->topics.v[i].partitions.v[j];
            p->item.partition = p->out->partition_index = t->partition_indexes.v[j];
            err = topic_name_ok(t->name) ? partition_resolve(r, t->name, OP_READ, &p->item)
                                         : E_INVALID_TOPIC_EXCEPTION;
            p->out->error_code = err_wire(err);
            if (err)
                p->out->error_message = SLICE(err_text(err));
            if (!err)
                scatter_add(s, &p->item);
        }
    }
    scatter_go(s);
}

/* ---- DescribeLogDirs ---- */

struct found {
    struct slice topic;
    int32_t index;
    int32_t dir;
    int64_t size;
};

/* What one loop found: each lane has an arena of its own, because lanes work side by side. */
struct found_list {
    struct arena arena;
    struct found *v;
    int32_t n;
};

struct log_dirs_call {
    const struct DescribeLogDirsRequest *in;
    struct found_list *lanes;
    struct DescribeLogDirsResponse_DescribeLogDirsResult *results;
};

static bool wanted(const struct DescribeLogDirsRequest *in, struct slice topic, int32_t index)
{
    if (in->topics.n < 0)
        return true;
    for (int32_t i = 0; i < in->topics.n; i++) {
        if (!slice_eq(in->topics.v[i].topic, topic))
            continue;
        for (int32_t j = 0; j < in->topics.v[i].partitions.n; j++)
            if (in->topics.v[i].partitions.v[j] == index)
                return true;
    }
    return false;
}

static void found_add(struct partitions *ps, const struct DescribeLogDirsRequest *in, const struct resting *r,
                      struct found_list *list)
{
    struct found *f = &list->v[list->n];
    enum log_dir_kind kind;
    struct slice topic;
    struct partition *p = NULL;
    int32_t index;

    if (!log_dir_parse((const char *)r->name.p, &kind, &topic, &index) || !wanted(in, topic, index))
        return;
    if (r->loaded || !r->fresh) /* else it is empty */
        p = partition_of_name(ps, r);
    if (!p && !r->fresh)
        return;
    *f = (struct found){.topic = arena_copy(&list->arena, topic),
                        .index = index,
                        .dir = r->dir,
                        .size = p ? log_size(p->log) : 0};
    list->n++;
}

/* Space is asked for once, by the loop that comes first. */
static void space_tell(struct partitions *ps, struct log_dirs_call *c)
{
    for (int i = 0; i < ps->n_dirs; i++) {
        struct DescribeLogDirsResponse_DescribeLogDirsResult *out = &c->results[i];
        int64_t bytes_free, bytes;
        enum err err = ps->dirs[i]->offline ? E_KAFKA_STORAGE_ERROR
                                            : path_space(ps->io, ps->dirs[i]->path, &bytes_free, &bytes);
        out->error_code = err_wire(err);
        if (err)
            continue;
        out->total_bytes = bytes;
        out->usable_bytes = bytes_free;
    }
}

static void log_dirs_visit(struct lane *lane)
{
    struct partitions *ps = lane->disk->partitions;
    struct log_dirs_call *c = lane->scatter->state;
    struct found_list *list = &c->lanes[lane->disk->index];

    arena_init(&list->arena, ps->heap, SIZE_MAX);
    list->v = arena_alloc(&list->arena, ps->resting.count * sizeof(*list->v));
    map_each (struct resting, r, &ps->resting)
        found_add(ps, c->in, r, list);
    if (lane->disk->index == 0)
        space_tell(ps, c);
    lane_answer(lane);
}

static int by_place(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int c = x->dir != y->dir ? (x->dir > y->dir) - (x->dir < y->dir) : slice_cmp(x->topic, y->topic);

    return c ? c : (x->index > y->index) - (x->index < y->index);
}

/* all: in order of directory, topic, partition. */
static void result_fill(struct request *r, const struct found *all, int32_t n,
                        struct DescribeLogDirsResponse_DescribeLogDirsResult *out)
{
    struct DescribeLogDirsResponse_DescribeLogDirsTopic *topic = NULL;
    struct DescribeLogDirsResponse_DescribeLogDirsPartition *p =
        proto_new(&DescribeLogDirsResponse_DescribeLogDirsPartition_type, &r->arena, n);

    out->topics.v = proto_new(&DescribeLogDirsResponse_DescribeLogDirsTopic_type, &r->arena, n);
    for (int32_t i = 0; i < n; i++, p++) {
        if (!topic || !slice_eq(topic->name, all[i].topic)) {
            topic = &out->topics.v[out->topics.n++];
            topic->name = arena_copy(&r->arena, all[i].topic);
            topic->partitions.v = p;
        }
        topic->partitions.n++;
        p->partition_index = all[i].index;
        p->partition_size = all[i].size;
    }
}

static void log_dirs_done(struct scatter *s)
{
    struct request *r = s->request;
    struct log_dirs_call *c = s->state;
    struct found *all;
    int32_t n = 0, at = 0;

    for (int i = 0; i < s->n_lanes; i++)
        n += c->lanes[i].n;
    all = arena_alloc(&r->arena, (size_t)n * sizeof(*all));
    for (int i = 0; i < s->n_lanes; i++) {
        if (c->lanes[i].n > 0)
            memcpy(all + at, c->lanes[i].v, (size_t)c->lanes[i].n * sizeof(*all));
        at += c->lanes[i].n;
    }
    qsort(all, (size_t)n, sizeof(*all), by_place);
    for (int32_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && all[to].dir == all[from].dir; to++)
            ;
        result_fill(r, all + from, to - from, &c->results[all[from].dir]);
    }
    for (int i = 0; i < s->n_lanes; i++)
        arena_drop(&c->lanes[i].arena);
    request_reply(r);
}

void describe_log_dirs(struct request *r)
{
    struct DescribeLogDirsResponse *out = r->out;
    struct config_list dirs = config_log_dirs(r->net->node->config);
    struct scatter *s = scatter_new(r, log_dirs_visit, log_dirs_done);
    struct log_dirs_call *c = arena_alloc(&r->arena, sizeof(*c));

    if (!authorize(r, OP_DESCRIBE, RES_CLUSTER, SLICE("kafka-cluster"))) {
        out->error_code = err_wire(E_CLUSTER_AUTHORIZATION_FAILED);
        request_reply(r);
        return;
    }
    s->state = c;
    c->in = r->in;
    c->lanes = arena_alloc(&r->arena, (size_t)s->n_lanes * sizeof(*c->lanes));
    PROTO_ARRAY_NEW(&r->arena, DescribeLogDirsResponse_DescribeLogDirsResult, out->results, dirs.n);
    c->results = out->results.v;
    for (int i = 0; i < dirs.n; i++)
        out->results.v[i].log_dir = SLICE(dirs.v[i]);
    scatter_go_all(s);
}
