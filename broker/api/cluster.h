/* The cluster as one listener sees it: what Metadata, DescribeCluster and DescribeTopicPartitions have in
 * common.
 * Loop:   the NET loop of the request.
 * Memory: a view is from the request's arena and borrows the loop's image: it is used up in one callback, or while a long
 *         answer keeps that image. */
#pragma once
#include "broker/control.h"
#include "metadata/image.h"

struct node_view {
    int32_t id;
    const struct image_broker *broker;
    const struct endpoint *at; /* on the request's listener; NULL: not there */
};

struct cluster_view {
    struct node_view *v; /* every registered broker, by id */
    int n;
};

void cluster_view_init(struct cluster_view *c, struct request *r);
const struct node_view *cluster_node(const struct cluster_view *c, int32_t id); /* NULL: not registered */
static inline bool node_alive(const struct node_view *n)
{
    return n && n->at && !n->broker->reg.fenced;
}
/* Who clients are told is the controller: this broker, since every broker takes the controller's requests and this one is
 * known to live; while it is fenced another that isn't, by chance; -1 if there is none. */
int32_t cluster_controller(const struct cluster_view *c, struct request *r);

/* A partition as clients are told of it: leader, or why there is none. */
struct partition_view {
    enum err err;
    int32_t leader;      /* -1: none that this listener reaches */
    struct ids replicas; /* lent by the image, or from the arena */
    struct ids isr;
    struct ids offline;
};
/* alive_only: replicas without an endpoint are left out and that is an error (Metadata v0).
 * no_listener: the error when the leader is known but isn't on this listener. */
struct partition_view_rules {
    bool alive_only;
    enum err no_listener;
};
void partition_view_init(struct partition_view *p, const struct cluster_view *c, struct arena *arena,
                         const struct image_partition *ip, const struct partition_view_rules *rules);
/* For int32 arrays of generated responses, which only read what they point to. */
#define IDS_LEND(array, ids) ((array).v = (int32_t *)(ids).v, (array).n = (ids).n)

/* What this principal may do, a bit for each of Kafka's operations: all of them until security comes. */
int32_t authorized_operations(const struct request *r, enum acl_resource type, struct slice name);
#define CLUSTER_NAME SLICE("kafka-cluster")
/* May this principal do that to the cluster? If not, r has been answered: `failed` fills r->out. */
typedef void (*cluster_failed_fn)(struct request *r, enum err err);
bool cluster_allowed(struct request *r, enum acl_operation op, cluster_failed_fn failed);
/* Whoever may, asks the controller (control.h). */
void cluster_ask(struct request *r, enum acl_operation op, ctl_decide_fn decide, cluster_failed_fn failed);
