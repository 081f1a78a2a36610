/* DescribeTopicPartitions: topics in the order of their names, a bounded number of partitions at a time; a
 * cursor says where the next page begins. */
#include "broker/api/cluster.h"
#include "broker/api/handlers.h"
#include "broker/api/partition_call.h"
#include "broker/api/topic_name.h"
#include "broker/node.h"
#include "proto_gen.h"
#include <stdlib.h>

typedef struct DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponseTopic told_topic;
typedef struct DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponsePartition told_partition;

struct page {
    struct cluster_view cluster;
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

static void partition_tell(struct request *r, const struct page *p, const struct image_partition *ip,
                           told_partition *out)
{
    const struct partition_view_rules rules = {.no_listener = E_LISTENER_NOT_FOUND};
    struct partition_view view;
    struct ids elr = {ip->ids + ip->n_replicas + ip->n_isr + ip->n_removing + ip->n_adding, ip->n_elr};
    struct ids last = {elr.v + elr.n, ip->n_last_elr};

    partition_view_init(&view, &p->cluster, r, ip,
                        &rules); /* this API tells of no error: leader -1 says it */
    out->partition_index = partition_index(ip);
    out->leader_id = view.leader;
    out->leader_epoch = ip->leader_epoch;
    IDS_LEND(out->replica_nodes, view.replicas);
    IDS_LEND(out->isr_nodes, view.isr);
    IDS_LEND(out->eligible_leader_replicas, elr);
    IDS_LEND(out->last_known_elr, last);
    IDS_LEND(out->offline_replicas, view.offline);
}

static void cursor_set(struct request *r, struct slice topic, int32_t partition)
{
    struct DescribeTopicPartitionsResponse *out = r->out;

    out->next_cursor = proto_new(&DescribeTopicPartitionsResponse_Cursor_type, &r->arena, 1);
    out->next_cursor->topic_name = topic;
    out->next_cursor->partition_index = partition;
}

static told_topic *topic_add(struct request *r, struct slice name, enum err err)
{
    struct DescribeTopicPartitionsResponse *out = r->out;
    told_topic *told = &out->topics.v[out->topics.n++];

    told->name = name;
    told->error_code = err_wire(err);
    return told;
}

/* false: the page ends inside this topic. */
static bool topic_tell(struct request *r, struct page *p, const struct image_topic *t)
{
    told_topic *told = topic_add(r, t->name, E_OK);
    bool at_cursor = p->cursor && slice_eq(p->cursor->topic_name, t->name);
    int32_t first = at_cursor ? p->cursor->partition_index : 0;
    int32_t count = (int32_t)t->partitions.count;
    int32_t n = first >= count ? 0 : count - first < p->left ? count - first : p->left;
    struct image_partitions walk = image_partitions_from(t, first);

    told->topic_id = t->id;
    told->is_internal = topic_is_internal(t->name);
    told->topic_authorized_operations = authorized_operations(r, RES_TOPIC, t->name);
    PROTO_ARRAY_NEW(&r->arena, DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponsePartition,
                    told->partitions, n);
    for (int32_t i = 0; i < n; i++)
        partition_tell(r, p, image_partitions_next(&walk), &told->partitions.v[i]);
    p->left -= n;
    if (first + n >= count)
        return true;
    cursor_set(r, t->name, first + n);
    return false;
}

static void topics_all(struct request *r, struct page *p)
{
    struct image_topics walk =
        image_topics_from(r->net->image, p->cursor ? p->cursor->topic_name : SLICE_NULL);
    const struct image_topic *t;

    while ((t = image_topics_next(&walk))) {
        if (!authorize(r, OP_DESCRIBE, RES_TOPIC, t->name))
            continue;
        if (p->left == 0) {
            cursor_set(r, t->name, 0);
            return;
        }
        if (!topic_tell(r, p, t))
            return;
    }
}

/* What may not be described comes last, whatever the page holds. */
static void topics_refused(struct request *r, const struct page *p)
{
    for (int32_t i = 0; i < p->n_names; i++)
        if (!authorize(r, OP_DESCRIBE, RES_TOPIC, p->names[i]))
            topic_add(r, p->names[i], E_TOPIC_AUTHORIZATION_FAILED);
}

static void topic_missing(struct request *r, struct slice name)
{
    told_topic *told =
        topic_add(r, name, topic_name_ok(name) ? E_UNKNOWN_TOPIC_OR_PARTITION : E_INVALID_TOPIC_EXCEPTION);

    told->is_internal = topic_is_internal(name);
    told->topic_authorized_operations = authorized_operations(r, RES_TOPIC, name);
}

static void topics_named(struct request *r, struct page *p)
{
    bool more = true;

    for (int32_t i = 0; i < p->n_names && more; i++) {
        const struct image_topic *t = image_topic_by_name(r->net->image, p->names[i]);
        if (!authorize(r, OP_DESCRIBE, RES_TOPIC, p->names[i]))
            continue;
        if (p->left == 0) {
            cursor_set(r, p->names[i], 0);
            more = false;
        } else if (t) {
            more = topic_tell(r, p, t);
        } else {
            topic_missing(r, p->names[i]);
        }
    }
    topics_refused(r, p);
}

/* As Kafka: nothing but each topic with that error. */
static void answer_invalid(struct request *r)
{
    const struct DescribeTopicPartitionsRequest *in = r->in;

    for (int32_t i = 0; i < in->topics.n; i++)
        topic_add(r, in->topics.v[i].name, E_INVALID_REQUEST);
}

static int32_t partitions_max(const struct request *r)
{
    const struct DescribeTopicPartitionsRequest *in = r->in;
    int64_t limit = config_int(r->net->config, C_max_request_partition_size_limit);

    if (in->response_partition_limit < limit)
        limit = in->response_partition_limit;
    return limit < 1 ? 1 : (int32_t)limit;
}

void describe_topic_partitions(struct request *r)
{
    const struct DescribeTopicPartitionsRequest *in = r->in;
    struct DescribeTopicPartitionsResponse *out = r->out;
    struct page p = {.cursor = in->cursor, .left = partitions_max(r)};
    int64_t room = in->topics.n, topics = r->net->image->topics.count;

    names_collect(r, &p);
    if (room == 0) /* every topic has a partition, but the cursor may lie behind its topic's last */
        room = p.left < topics ? p.left + INT64_C(1) : topics;
    PROTO_ARRAY_NEW(&r->arena, DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponseTopic,
                    out->topics, (int32_t)room);
    out->topics.n = 0;
    if (!cursor_ok(r, &p)) {
        answer_invalid(r);
    } else {
        cluster_view_init(&p.cluster, r);
        if (in->topics.n > 0)
            topics_named(r, &p);
        else
            topics_all(r, &p);
    }
    request_reply(r);
}
