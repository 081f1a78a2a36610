#include "base/check.h"
#include "metadata/change.h"
#include "proto_gen.h"

/* AlterPartitionReassignments and ListPartitionReassignments (KIP-455). A partition that moves keeps the replicas that
 * it is to lose beside those that it is to have, and both lists; it is done when all who shall stay are in sync, which
 * change.c notices in whatever change brings it about. */

typedef struct AlterPartitionReassignmentsRequest_ReassignablePartition move;

static bool moves(const struct record_partition *p)
{
    return p->removing.n > 0 || p->adding.n > 0;
}

/* `from` without `gone`, rising. */
static struct ids difference(struct ctl_out *o, struct ids from, struct ids gone)
{
    struct ids d = ids_without(o, from, gone);
    int32_t *v = (int32_t *)d.v;

    for (int i = 1; i < d.n; i++)
        for (int j = i; j > 0 && v[j - 1] > v[j]; j--) {
            int32_t swap = v[j];

            v[j] = v[j - 1];
            v[j - 1] = swap;
        }
    return d;
}

static struct ids join(struct ctl_out *o, struct ids a, struct ids b)
{
    int32_t *v = arena_alloc(o->work, (size_t)(a.n + b.n + 1) * sizeof(*v));

    if (a.n)
        memcpy(v, a.v, (size_t)a.n * sizeof(*v));
    if (b.n)
        memcpy(v + a.n, b.v, (size_t)b.n * sizeof(*v));
    return (struct ids){v, a.n + b.n};
}

/* How many replicas it has when nothing moves. */
static int factor_of(const struct record_partition *p, struct ctl_out *o)
{
    if (!moves(p))
        return p->replicas.n;
    return ids_without(o, p->replicas, p->removing).n;
}

static struct api_error start(struct changer *c, struct change *ch, struct ids target, bool any_factor)
{
    struct ids had = ch->old.replicas, removing, adding;
    struct api_error e = check_manual(c->tip, c->out, target, -1);
    int factor = factor_of(&ch->old, c->out);

    if (e.err)
        return e;
    if (!any_factor && factor != target.n)
        return api_error(c->out, E_INVALID_REPLICATION_FACTOR,
                         "The replication factor is changed from %d to %d", factor, target.n);
    removing = difference(c->out, had, target);
    adding = difference(c->out, target, had);
    ch->replicas = join(c->out, target, removing);
    if (removing.n)
        ch->removing = removing;
    if (adding.n)
        ch->adding = adding;
    ch->election = ELECT_ONLINE;
    (void)changer_put(c, ch);
    return API_OK;
}

/* Back to who held it before. When nobody of them is in sync, that is an unclean election. */
static struct api_error cancel(struct changer *c, struct change *ch)
{
    struct slice name = c->topic->name;

    if (!moves(&ch->old))
        return api_error(c->out, E_NO_REASSIGNMENT_IN_PROGRESS, "No partition reassignment is in progress.");
    ch->replicas = ids_without(c->out, ch->old.replicas, ch->old.adding);
    ch->isr = ids_without(c->out, ch->old.isr, ch->old.adding);
    if (ch->replicas.n == 0)
        return api_error(c->out, E_INVALID_REPLICA_ASSIGNMENT,
                         "Invalid replica assignment: addingReplicas contains all replicas.");
    if (ch->isr.n == 0) {
        if (!c->may_lose)
            return api_error(c->out, E_INVALID_REPLICA_ASSIGNMENT,
                             "Unable to revert partition assignment for %.*s:%d because it would require an "
                             "unclean leader election.",
                             SLICE_ARG(name), ch->old.index);
        ch->isr = (struct ids){ch->replicas.v, 1};
    }
    ch->removing = ch->adding = (struct ids){0};
    (void)changer_put(c, ch);
    return API_OK;
}

static struct api_error move_one(struct changer *c, const struct image_topic *t, struct slice name,
                                 const move *m, bool any_factor)
{
    struct change ch;

    if (!t)
        return api_error(c->out, E_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find a topic named %.*s.",
                         SLICE_ARG(name));
    if (!changer_open(c, m->partition_index, &ch))
        return api_error(c->out, E_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find partition %.*s:%d.",
                         SLICE_ARG(name), m->partition_index);
    if (m->replicas.n < 0)
        return cancel(c, &ch);
    return start(c, &ch, (struct ids){m->replicas.v, m->replicas.n}, any_factor);
}

void decide_alter_reassignments(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct AlterPartitionReassignmentsRequest *req = in;
    struct AlterPartitionReassignmentsResponse *resp = out;
    struct changer c;

    changer_init(&c, tip, o, true);
    resp->error_message = SLICE_NULL;
    resp->allow_replication_factor_change = req->allow_replication_factor_change;
    PROTO_ARRAY_NEW(o->arena, AlterPartitionReassignmentsResponse_ReassignableTopicResponse, resp->responses,
                    req->topics.n);
    for (int i = 0; i < req->topics.n; i++) {
        const struct AlterPartitionReassignmentsRequest_ReassignableTopic *ask = &req->topics.v[i];
        const struct image_topic *t = image_topic_by_name(tip, ask->name);
        struct AlterPartitionReassignmentsResponse_ReassignableTopicResponse *tell = &resp->responses.v[i];

        tell->name = ask->name;
        if (t)
            changer_topic(&c, t);
        PROTO_ARRAY_NEW(o->arena, AlterPartitionReassignmentsResponse_ReassignablePartitionResponse,
                        tell->partitions, ask->partitions.n);
        for (int j = 0; j < ask->partitions.n; j++) {
            struct api_error e =
                move_one(&c, t, ask->name, &ask->partitions.v[j], req->allow_replication_factor_change);

            tell->partitions.v[j].partition_index = ask->partitions.v[j].partition_index;
            api_error_set(e, &tell->partitions.v[j].error_code, &tell->partitions.v[j].error_message);
        }
    }
    changer_end(&c);
}

/* ---- ListPartitionReassignments ---- */

typedef struct ListPartitionReassignmentsResponse_OngoingTopicReassignment ongoing;

#define LEND(o, field, list)                                                                                 \
    do {                                                                                                     \
        struct ids lent_ = ids_copy((o)->arena, (list));                                                     \
        (field).v = (int32_t *)lent_.v;                                                                      \
        (field).n = lent_.n;                                                                                 \
    } while (0)

static void list_partition(const struct image_topic *t, int32_t index, ongoing *tell, struct ctl_out *o)
{
    const struct image_partition *p = index < 0 ? NULL : image_partition(t, index);
    struct ListPartitionReassignmentsResponse_OngoingPartitionReassignment *to;
    struct meta_record r;

    if (!p)
        return;
    partition_record(t, p, &r);
    if (!moves(&r.partition))
        return;
    to = &tell->partitions.v[tell->partitions.n++];
    to->partition_index = index;
    LEND(o, to->replicas, r.partition.replicas);
    LEND(o, to->adding_replicas, r.partition.adding);
    LEND(o, to->removing_replicas, r.partition.removing);
}

/* NULL: all partitions. A topic without any isn't told. */
static void list_topic(const struct image_topic *t, const int32_t *v, int32_t n,
                       struct ListPartitionReassignmentsResponse *resp, struct ctl_out *o)
{
    ongoing *tell = &resp->topics.v[resp->topics.n];

    if (!t)
        return;
    PROTO_ARRAY_NEW(o->arena, ListPartitionReassignmentsResponse_OngoingPartitionReassignment,
                    tell->partitions, n);
    tell->partitions.n = 0;
    for (int32_t i = 0; i < n; i++)
        list_partition(t, v ? v[i] : i, tell, o);
    if (tell->partitions.n == 0)
        return;
    tell->name = arena_copy(o->arena, t->name);
    resp->topics.n++;
}

static bool any_moves(const struct image_topic *t)
{
    struct image_partitions w = image_partitions_from(t, 0);
    const struct image_partition *p;

    while ((p = image_partitions_next(&w)))
        if (p->n_adding || p->n_removing)
            return true;
    return false;
}

void decide_list_reassignments(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct ListPartitionReassignmentsRequest *req = in;
    struct ListPartitionReassignmentsResponse *resp = out;
    struct image_topics w = image_topics_from(tip, SLICE_NULL);
    const struct image_topic *t;
    int32_t n = req->topics.n < 0 ? 0 : req->topics.n;

    resp->error_message = SLICE_NULL;
    if (req->topics.n < 0)
        while ((t = image_topics_next(&w)))
            n += any_moves(t);
    PROTO_ARRAY_NEW(o->arena, ListPartitionReassignmentsResponse_OngoingTopicReassignment, resp->topics, n);
    resp->topics.n = 0;
    if (req->topics.n < 0) {
        w = image_topics_from(tip, SLICE_NULL);
        while ((t = image_topics_next(&w)))
            if (any_moves(t))
                list_topic(t, NULL, (int32_t)t->partitions.count, resp, o);
        return;
    }
    for (int i = 0; i < req->topics.n; i++)
        list_topic(image_topic_by_name(tip, req->topics.v[i].name), req->topics.v[i].partition_indexes.v,
                   req->topics.v[i].partition_indexes.n, resp, o);
}
