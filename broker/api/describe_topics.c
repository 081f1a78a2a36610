/* DescribeTopicPartitions: topics in the order of their names, a bounded number of partitions at a time; a
 * cursor says where the next page begins. Told in steps (net/long_answer.h). */
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/api/partition_call.h"
#include "broker/net/long_answer.h"
#include "broker/node.h"
#include "metadata/topic_name.h"
#include "proto_gen.h"
#include <stdlib.h>

typedef struct DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponseTopic told_topic;
typedef struct DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponsePartition told_partition;

enum stage { TELL_ALL, TELL_NAMED, TELL_REFUSED, TELL_INVALID };

struct page {
    const struct image *image;
    struct cluster_view cluster;
    enum stage stage;
    int32_t at;               /* of the names, or of what was asked for */
    struct image_topics walk; /* all topics */
    bool in_topic;
    struct image_partitions partitions;                         /* and these of the one under way, */
    int32_t to_tell;                                            /* as many */
    const struct DescribeTopicPartitionsRequest_Cursor *cursor; /* NULL: from the beginning */
    struct slice *names;                                        /* those asked for, sorted, each once */
    int32_t n_names;
    int32_t left; /* partitions that may still be told */
};

/* ---- what was asked for ---- */

static int compare_names(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static void names_collect(struct request *r, struct page *p)
{
    const struct DescribeTopicPartitionsRequest *in = r->in;
    int32_t n = 0;

    p->names = arena_alloc(&r->arena, (size_t)in->topics.n * sizeof(*p->names));
    for (int32_t i = 0; i < in->topics.n; i++)
        if (!p->cursor || slice_cmp(in->topics.v[i].name, p->cursor->topic_name) >= 0)
            p->names[n++] = in->topics.v[i].name;
    qsort(p->names, (size_t)n, sizeof(*p->names), compare_names);
    for (int32_t i = 0; i < n; i++)
        if (i == 0 || !slice_eq(p->names[i], p->names[p->n_names - 1]))
            p->names[p->n_names++] = p->names[i];
}

/* A cursor points into what is asked for. */
static bool cursor_ok(const struct request *r, const struct page *p)
{
    const struct DescribeTopicPartitionsRequest *in = r->in;

    if (!p->cursor)
        return true;
    if (in->topics.n > 0 && (p->n_names == 0 || !slice_eq(p->names[0], p->cursor->topic_name)))
        return false;
    return p->cursor->partition_index >= 0;
}

/* ---- telling ---- */

static void partition_tell(struct long_answer *to, struct page *p)
{
    const struct partition_view_rules rules = {.no_listener = E_LISTENER_NOT_FOUND};
    const struct image_partition *ip;
    struct partition_view view;
    struct ids elr, last;
    told_partition told;

    if (p->to_tell == 0) {
        p->in_topic = false;
        long_close(to);
        return;
    }
    p->to_tell--;
    ip = image_partitions_next(&p->partitions);
    elr = (struct ids){ip->ids + ip->n_replicas + ip->n_isr + ip->n_removing + ip->n_adding, ip->n_elr};
    last = (struct ids){elr.v + elr.n, ip->n_last_elr};
    partition_view_init(&view, &p->cluster, long_scratch(to), ip,
                        &rules); /* this API tells of no error: leader -1 says it */
    proto_defaults(&DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponsePartition_type, &told);
    told.partition_index = partition_index(ip);
    told.leader_id = view.leader;
    told.leader_epoch = ip->leader_epoch;
    IDS_LEND(told.replica_nodes, view.replicas);
    IDS_LEND(told.isr_nodes, view.isr);
    IDS_LEND(told.eligible_leader_replicas, elr);
    IDS_LEND(told.last_known_elr, last);
    IDS_LEND(told.offline_replicas, view.offline);
    long_add(to, &DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponsePartition_type, &told);
}

static void cursor_set(struct request *r, struct slice topic, int32_t partition)
{
    struct DescribeTopicPartitionsResponse *out = r->out;

    out->next_cursor = proto_new(&DescribeTopicPartitionsResponse_Cursor_type, &r->arena, 1);
    out->next_cursor->topic_name = topic;
    out->next_cursor->partition_index = partition;
}

/* A topic without partitions; the operations that may be done with it: 0, nobody is told. */
static void topic_add(struct long_answer *to, struct slice name, enum err err, int32_t operations)
{
    told_topic told;

    proto_defaults(&DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponseTopic_type, &told);
    told.name = name;
    told.error_code = err_wire(err);
    told.is_internal = operations && topic_is_internal(name);
    if (operations)
        told.topic_authorized_operations = operations;
    long_add(to, &DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponseTopic_type, &told);
}

/* false: the page ends inside this topic. Its partitions come in the next steps. */
static bool topic_tell(struct long_answer *to, struct request *r, struct page *p, const struct image_topic *t)
{
    bool at_cursor = p->cursor && slice_eq(p->cursor->topic_name, t->name);
    int32_t first = at_cursor ? p->cursor->partition_index : 0;
    int32_t count = (int32_t)t->partitions.count;
    int32_t n = first >= count ? 0 : count - first < p->left ? count - first : p->left;
    told_topic told;

    proto_defaults(&DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponseTopic_type, &told);
    told.name = t->name;
    told.topic_id = t->id;
    told.is_internal = topic_is_internal(t->name);
    told.topic_authorized_operations = authorized_operations(r, RES_TOPIC, t->name);
    told.partitions.v = (void *)PROTO_ELSEWHERE;
    told.partitions.n = n;
    long_open(to, &DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponseTopic_type, &told);
    p->in_topic = true;
    p->partitions = image_partitions_from(t, first);
    p->to_tell = n;
    p->left -= n;
    if (first + n >= count)
        return true;
    cursor_set(r, t->name, first + n);
    return false;
}

/* Each of these three: false, that was the last. */
static bool step_all(struct long_answer *to, struct request *r, struct page *p)
{
    const struct image_topic *t = image_topics_next(&p->walk);

    if (!t)
        return false;
    if (!authorize(r, OP_DESCRIBE, RES_TOPIC, t->name))
        return true;
    if (p->left > 0)
        return topic_tell(to, r, p, t);
    cursor_set(r, t->name, 0);
    return false;
}

static bool step_named(struct long_answer *to, struct request *r, struct page *p)
{
    struct slice name;
    const struct image_topic *t;

    if (p->at == p->n_names)
        return false;
    name = p->names[p->at++];
    t = image_topic_by_name(p->image, name);
    if (!authorize(r, OP_DESCRIBE, RES_TOPIC, name))
        return true;
    if (p->left == 0) {
        cursor_set(r, name, 0);
        return false;
    }
    if (t)
        return topic_tell(to, r, p, t);
    topic_add(to, name, topic_name_ok(name) ? E_UNKNOWN_TOPIC_OR_PARTITION : E_INVALID_TOPIC_EXCEPTION,
              authorized_operations(r, RES_TOPIC, name));
    return true;
}

/* What may not be described comes last, whatever the page holds. */
static bool step_refused(struct long_answer *to, struct request *r, struct page *p)
{
    if (p->at == p->n_names)
        return false;
    if (!authorize(r, OP_DESCRIBE, RES_TOPIC, p->names[p->at]))
        topic_add(to, p->names[p->at], E_TOPIC_AUTHORIZATION_FAILED, 0);
    p->at++;
    return true;
}

/* As Kafka: nothing but each topic with that error. */
static bool step_invalid(struct long_answer *to, struct request *r, struct page *p)
{
    const struct DescribeTopicPartitionsRequest *in = r->in;

    if (p->at == in->topics.n)
        return false;
    topic_add(to, in->topics.v[p->at++].name, E_INVALID_REQUEST, 0);
    return true;
}

static bool step(struct long_answer *to, struct request *r, void *state)
{
    struct page *p = state;

    if (p->in_topic) {
        partition_tell(to, p);
        return true;
    }
    switch (p->stage) {
    case TELL_ALL:
        if (!step_all(to, r, p))
            p->stage = TELL_REFUSED; /* there is none: no name was given */
        return true;
    case TELL_NAMED:
        if (!step_named(to, r, p)) {
            p->stage = TELL_REFUSED;
            p->at = 0;
        }
        return true;
    case TELL_REFUSED:
        return step_refused(to, r, p);
    case TELL_INVALID:
        return step_invalid(to, r, p);
    }
    return false;
}

static int32_t partitions_max(const struct request *r)
{
    const struct DescribeTopicPartitionsRequest *in = r->in;
    int64_t limit = config_int(r->net->config, C_max_request_partition_size_limit);

    if (in->response_partition_limit < limit)
        limit = in->response_partition_limit;
    return limit < 1 ? 1 : (int32_t)limit;
}

static void begin(struct request *r, struct long_plan *plan)
{
    const struct DescribeTopicPartitionsRequest *in = r->in;
    struct DescribeTopicPartitionsResponse *out = r->out;
    struct page *p = arena_alloc(&r->arena, sizeof(*p));

    p->image = r->net->image;
    p->cursor = in->cursor;
    p->left = partitions_max(r);
    p->walk = image_topics_from(p->image, p->cursor ? p->cursor->topic_name : SLICE_NULL);
    names_collect(r, p);
    p->stage = !cursor_ok(r, p) ? TELL_INVALID : in->topics.n > 0 ? TELL_NAMED : TELL_ALL;
    cluster_view_init(&p->cluster, r);
    *plan = (struct long_plan){.array = &out->topics, .step = step, .state = p};
}

void describe_topic_partitions(struct request *r)
{
    request_reply_long(r, begin);
}
