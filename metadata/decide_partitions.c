#include "base/check.h"
#include "metadata/change.h"
#include "proto_gen.h"

/* AlterPartition (a leader tells who is in sync) and AssignReplicasToDirs (a broker tells where its replicas lie). */

static bool epoch_current(const struct image *tip, int32_t broker, int64_t epoch)
{
    const struct image_broker *b = image_broker(tip, broker);

    return b && b->reg.epoch == epoch;
}

/* ---- AlterPartition ---- */

enum { RECOVERED, RECOVERING };

typedef struct AlterPartitionRequest_PartitionData alter;
typedef struct AlterPartitionResponse_PartitionData altered;

/* The new ISR and, from version 3 on, its brokers' epochs; -1 matches any. */
struct new_isr {
    struct ids ids;
    const struct AlterPartitionRequest_BrokerState *states; /* NULL: epochs aren't told */
};

static struct new_isr isr_asked(const alter *a, struct ctl_out *o)
{
    int32_t *v;

    if (o->version < 3)
        return (struct new_isr){.ids = {a->new_isr.v, a->new_isr.n}};
    v = arena_alloc(o->work, ((size_t)a->new_isr_with_epochs.n + 1) * sizeof(*v));
    for (int i = 0; i < a->new_isr_with_epochs.n; i++)
        v[i] = a->new_isr_with_epochs.v[i].broker_id;
    return (struct new_isr){.ids = {v, a->new_isr_with_epochs.n}, .states = a->new_isr_with_epochs.v};
}

static bool isr_valid(const struct record_partition *p, struct ids isr)
{
    for (int i = 0; i < isr.n; i++)
        if (!ids_has(p->replicas, isr.v[i]) || ids_has((struct ids){isr.v, i}, isr.v[i]))
            return false;
    return ids_has(isr, p->leader);
}

static bool isr_eligible(const struct image *tip, const struct new_isr *isr)
{
    for (int i = 0; i < isr->ids.n; i++) {
        int64_t epoch = isr->states ? isr->states[i].broker_epoch : -1;

        if (!broker_active(tip, isr->ids.v[i]) || (epoch != -1 && !epoch_current(tip, isr->ids.v[i], epoch)))
            return false;
    }
    return true;
}

/* Epochs ahead of ours: another node has become the controller and this one hasn't noticed. */
static enum err check_alter(const struct image *tip, const struct record_partition *p, int32_t broker,
                            const alter *a, const struct new_isr *isr)
{
    if (a->leader_epoch > p->leader_epoch || a->partition_epoch > p->partition_epoch)
        return E_NOT_CONTROLLER;
    if (a->leader_epoch < p->leader_epoch)
        return E_FENCED_LEADER_EPOCH;
    if (broker != p->leader)
        return E_INVALID_REQUEST;
    if (a->partition_epoch < p->partition_epoch)
        return E_INVALID_UPDATE_VERSION;
    if (!isr_valid(p, isr->ids) || a->leader_recovery_state < RECOVERED ||
        a->leader_recovery_state > RECOVERING)
        return E_INVALID_REQUEST;
    if (a->leader_recovery_state == RECOVERING && (isr->ids.n > 1 || !p->recovering))
        return E_INVALID_REQUEST;
    return isr_eligible(tip, isr) ? E_OK : E_INELIGIBLE_REPLICA;
}

/* A change that ends a reassignment may end the asker's leadership too: it is done, and the asker told. */
static enum err alter_one(struct changer *c, int32_t broker, const alter *a, altered *out)
{
    struct new_isr isr = isr_asked(a, c->out);
    struct change ch;
    enum err err;

    if (!changer_open(c, a->partition_index, &ch))
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    err = check_alter(c->tip, &ch.old, broker, a, &isr);
    if (err)
        return err;
    ch.isr = isr.ids;
    ch.recovering = a->leader_recovery_state == RECOVERING;
    if (changer_put(c, &ch) && ch.now.leader != broker)
        return E_NEW_LEADER_ELECTED;
    out->leader_id = ch.now.leader;
    out->leader_epoch = ch.now.leader_epoch;
    out->partition_epoch = ch.now.partition_epoch;
    out->leader_recovery_state = ch.now.recovering ? RECOVERING : RECOVERED;
    isr.ids = ids_copy(c->out->arena, ch.now.isr);
    out->isr.v = (int32_t *)isr.ids.v;
    out->isr.n = isr.ids.n;
    return E_OK;
}

void decide_alter_partition(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct AlterPartitionRequest *req = in;
    struct AlterPartitionResponse *resp = out;
    struct changer c;

    if (!epoch_current(tip, req->broker_id, req->broker_epoch)) {
        resp->error_code = err_wire(E_STALE_BROKER_EPOCH);
        return;
    }
    changer_init(&c, tip, o, true);
    PROTO_ARRAY_NEW(o->arena, AlterPartitionResponse_TopicData, resp->topics, req->topics.n);
    for (int i = 0; i < req->topics.n; i++) {
        const struct AlterPartitionRequest_TopicData *ask = &req->topics.v[i];
        const struct image_topic *t = image_topic_by_id(tip, ask->topic_id);
        struct AlterPartitionResponse_TopicData *tell = &resp->topics.v[i];

        tell->topic_id = ask->topic_id;
        PROTO_ARRAY_NEW(o->arena, AlterPartitionResponse_PartitionData, tell->partitions, ask->partitions.n);
        if (t)
            changer_topic(&c, t);
        for (int j = 0; j < ask->partitions.n; j++) {
            altered *p = &tell->partitions.v[j];

            p->partition_index = ask->partitions.v[j].partition_index;
            p->error_code =
                err_wire(t ? alter_one(&c, req->broker_id, &ask->partitions.v[j], p) : E_UNKNOWN_TOPIC_ID);
        }
    }
    changer_end(&c);
}

/* ---- AssignReplicasToDirs ---- */

struct assignment {
    struct changer c;
    const struct image_broker *broker;
    struct uuid dir;
};

/* A replica in a directory that is gone leaves the ISR, and whoever else can leads. */
static enum err assign_one(struct assignment *a, const struct image_topic *t, int32_t index)
{
    struct ids self = {&a->broker->reg.id, 1};
    struct change ch;

    if (!t)
        return E_UNKNOWN_TOPIC_ID;
    a->c.removed = NOBODY;
    changer_topic(&a->c, t);
    if (!changer_open(&a->c, index, &ch))
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    if (!ids_has(ch.old.replicas, a->broker->reg.id))
        return E_NOT_LEADER_OR_FOLLOWER;
    ch.dir_broker = a->broker->reg.id;
    ch.dir = a->dir;
    if (!directory_online(a->broker, a->dir)) {
        a->c.removed = a->broker->reg.id;
        ch.isr = ids_without(a->c.out, ch.isr, self);
    }
    (void)changer_put(&a->c, &ch);
    return E_OK;
}

void decide_assign_replicas(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct AssignReplicasToDirsRequest *req = in;
    struct AssignReplicasToDirsResponse *resp = out;
    struct assignment a = {.broker = image_broker(tip, req->broker_id)};

    if (!epoch_current(tip, req->broker_id, req->broker_epoch)) {
        resp->error_code = err_wire(E_STALE_BROKER_EPOCH);
        return;
    }
    changer_init(&a.c, tip, o, true);
    PROTO_ARRAY_NEW(o->arena, AssignReplicasToDirsResponse_DirectoryData, resp->directories,
                    req->directories.n);
    for (int i = 0; i < req->directories.n; i++) {
        const struct AssignReplicasToDirsRequest_DirectoryData *dir = &req->directories.v[i];
        struct AssignReplicasToDirsResponse_DirectoryData *told = &resp->directories.v[i];

        a.dir = told->id = dir->id;
        PROTO_ARRAY_NEW(o->arena, AssignReplicasToDirsResponse_TopicData, told->topics, dir->topics.n);
        for (int j = 0; j < dir->topics.n; j++) {
            const struct AssignReplicasToDirsRequest_TopicData *topic = &dir->topics.v[j];
            const struct image_topic *t = image_topic_by_id(tip, topic->topic_id);

            told->topics.v[j].topic_id = topic->topic_id;
            PROTO_ARRAY_NEW(o->arena, AssignReplicasToDirsResponse_PartitionData,
                            told->topics.v[j].partitions, topic->partitions.n);
            for (int k = 0; k < topic->partitions.n; k++) {
                struct AssignReplicasToDirsResponse_PartitionData *p = &told->topics.v[j].partitions.v[k];

                p->partition_index = topic->partitions.v[k].partition_index;
                p->error_code = err_wire(assign_one(&a, t, p->partition_index));
            }
        }
    }
    changer_end(&a.c);
}
