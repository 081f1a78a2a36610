#include "broker/dirs.h"
#include "base/check.h"
#include "broker/control.h"
#include "proto_gen.h"

enum { NS_A_MS = 1000000 };

/* A choice or a loss, on its way to the control loop and then in a queue there. */
struct told {
    struct msg msg;
    struct list link;
    struct dirs *dirs;
    struct uuid dir;
    struct uuid topic;
    int32_t partition; /* -1: the directory is lost */
};

struct dirs {
    struct node *node;
    struct loop *control;
    struct dirs_ops ops;
    int64_t broker_epoch; /* -1: not registered yet */
    struct list choices;
    struct list losses;
    struct timer patience; /* while there are losses */
    int asked;             /* so many of the first of the list are in the question under way */
    bool losing;
    bool stopped;
    struct arena arena;
    struct broker_heartbeat beat;
    struct control_call call;
};

static void dirs_work(struct dirs *d);

/* Drops the first n of a list. */
static void forget(struct dirs *d, struct list *from, int n)
{
    while (n-- > 0) {
        struct told *t = list_first(from, struct told, link);
        list_remove(&t->link);
        heap_free(d->node->heap, t);
    }
}

static void patience_over(struct timer *timer)
{
    const struct dirs *d = container_of(timer, struct dirs, patience);

    d->ops.failed(d->ops.arg, E_REQUEST_TIMED_OUT,
                  "no controller could be told of a failed log directory for log.dir.failure.timeout.ms");
}

static void answered(struct control_call *c)
{
    struct dirs *d = container_of(c, struct dirs, call);

    if (!c->err) /* whatever the controller refused is of a partition that isn't there any more */
        forget(d, d->losing ? &d->losses : &d->choices, d->asked);
    if (list_empty(&d->losses))
        timer_stop(&d->patience);
    d->asked = 0;
    if (c->err != E_NOT_CONTROLLER)
        dirs_work(d);
}

static void ask(struct dirs *d, ctl_decide_fn decide, const void *in, void *out, int16_t version)
{
    d->call = (struct control_call){.node = d->node,
                                    .back = d->control,
                                    .decide = decide,
                                    .in = in,
                                    .out = out,
                                    .version = version,
                                    .arena = &d->arena,
                                    .done = answered};
    control_call(&d->call);
}

static int length(const struct list *l, int max)
{
    int n = 0;

    list_each (it, l)
        if (++n == max)
            break;
    return n;
}

static void losses_tell(struct dirs *d)
{
    struct BrokerHeartbeatRequest *in = proto_new(&BrokerHeartbeatRequest_type, &d->arena, 1);
    struct BrokerHeartbeatResponse *out = proto_new(&BrokerHeartbeatResponse_type, &d->arena, 1);
    int n = length(&d->losses, DIRS_TOLD_MAX);

    in->broker_id = d->node->id;
    in->broker_epoch = d->broker_epoch;
    in->current_metadata_offset = d->broker_epoch;
    in->offline_log_dirs.v = arena_alloc(&d->arena, (size_t)n * sizeof(struct uuid));
    list_each (it, &d->losses)
        if (in->offline_log_dirs.n < n)
            in->offline_log_dirs.v[in->offline_log_dirs.n++] = container_of(it, struct told, link)->dir;
    d->asked = n;
    d->losing = true;
    d->beat = (struct broker_heartbeat){.request = in, .lowest_offset = INT64_MAX};
    ask(d, decide_broker_heartbeat, &d->beat, out, 1);
}

/* A directory with one topic and one partition for each choice: their order is what matters here. */
static void choices_tell(struct dirs *d)
{
    struct AssignReplicasToDirsRequest *in = proto_new(&AssignReplicasToDirsRequest_type, &d->arena, 1);
    struct AssignReplicasToDirsResponse *out = proto_new(&AssignReplicasToDirsResponse_type, &d->arena, 1);
    int n = length(&d->choices, DIRS_TOLD_MAX), at = 0;

    in->broker_id = d->node->id;
    in->broker_epoch = d->broker_epoch;
    PROTO_ARRAY_NEW(&d->arena, AssignReplicasToDirsRequest_DirectoryData, in->directories, n);
    list_each (it, &d->choices) {
        const struct told *t = container_of(it, struct told, link);
        struct AssignReplicasToDirsRequest_DirectoryData *dir = &in->directories.v[at];
        if (at++ == n)
            break;
        dir->id = t->dir;
        PROTO_ARRAY_NEW(&d->arena, AssignReplicasToDirsRequest_TopicData, dir->topics, 1);
        dir->topics.v[0].topic_id = t->topic;
        PROTO_ARRAY_NEW(&d->arena, AssignReplicasToDirsRequest_PartitionData, dir->topics.v[0].partitions, 1);
        dir->topics.v[0].partitions.v[0].partition_index = t->partition;
    }
    d->asked = n;
    d->losing = false;
    ask(d, decide_assign_replicas, in, out, 0);
}

static void dirs_work(struct dirs *d)
{
    if (d->asked > 0 || d->broker_epoch < 0 || d->stopped)
        return;
    arena_reset(&d->arena);
    if (!list_empty(&d->losses))
        losses_tell(d);
    else if (!list_empty(&d->choices))
        choices_tell(d);
}

static void told_came(struct msg *msg)
{
    struct told *t = container_of(msg, struct told, msg);
    struct dirs *d = t->dirs;

    if (t->partition < 0 && list_empty(&d->losses) && !d->stopped)
        timer_set(d->control, &d->patience,
                  loop_now(d->control) + config_int(d->node->config, C_log_dir_failure_timeout_ms) * NS_A_MS);
    list_add(t->partition < 0 ? &d->losses : &d->choices, &t->link);
    dirs_work(d);
}

static void tell(struct dirs *d, const struct uuid *dir, const struct uuid *topic, int32_t partition)
{
    struct told *t = heap_alloc(d->node->heap, sizeof(*t));

    *t = (struct told){.dirs = d, .dir = *dir, .topic = *topic, .partition = partition};
    t->msg.run = told_came;
    loop_post(d->control, &t->msg);
}

void dirs_chose(struct dirs *d, const struct uuid *topic, int32_t partition, const struct uuid *dir)
{
    ASSERT(partition >= 0);
    tell(d, dir, topic, partition);
}

void dirs_lost(struct dirs *d, const struct uuid *dir)
{
    tell(d, dir, &(struct uuid){0}, -1);
}

struct dirs *dirs_new(struct node *node, struct loop *control, const struct dirs_ops *ops)
{
    struct dirs *d = heap_alloc(node->heap, sizeof(*d));

    d->node = node;
    d->control = control;
    d->ops = *ops;
    d->patience.fire = patience_over;
    d->broker_epoch = -1;
    list_init(&d->choices);
    list_init(&d->losses);
    arena_init(&d->arena, node->heap, SIZE_MAX);
    return d;
}

void dirs_registered(struct dirs *d, int64_t broker_epoch)
{
    d->broker_epoch = broker_epoch;
    dirs_work(d);
}

void dirs_stop(struct dirs *d)
{
    d->stopped = true;
    timer_stop(&d->patience);
}

void dirs_drop(struct dirs *d)
{
    ASSERT(d->asked == 0);
    forget(d, &d->choices, length(&d->choices, INT32_MAX));
    forget(d, &d->losses, length(&d->losses, INT32_MAX));
    arena_drop(&d->arena);
    heap_free(d->node->heap, d);
}
