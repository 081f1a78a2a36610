/* Brokers, partitions and rights as clients see them; and DescribeCluster, which tells the first. */
#include "cluster.h"
#include "base/check.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "broker/node.h"
#include "proto_gen.h"

/* Kafka's DirectoryId: what a replica's directory may be besides the id of one. */
static const struct uuid dir_migrating = {{0}};
static const struct uuid dir_unassigned = {{[15] = 1}};
static const struct uuid dir_lost = {{[15] = 2}};

static const struct endpoint *endpoint_named(const struct endpoint *v, int32_t n, struct slice listener)
{
    for (int32_t i = 0; i < n; i++)
        if (slice_eq(v[i].name, listener))
            return &v[i];
    return NULL;
}

static const struct endpoint *endpoint_of(const struct image_broker *b, struct slice listener)
{
    return endpoint_named(b->reg.endpoints, b->reg.n_endpoints, listener);
}

void cluster_view_init(struct cluster_view *c, struct request *r)
{
    const struct image *image = r->net->image;
    struct slice listener = SLICE(r->listener->name);
    struct image_brokers walk = image_brokers_all(image);
    const struct image_broker *b;

    c->n = 0;
    c->v = arena_alloc(&r->arena, image->brokers.count * sizeof(*c->v));
    while ((b = image_brokers_next(&walk)))
        c->v[c->n++] = (struct node_view){.id = b->reg.id, .broker = b, .at = endpoint_of(b, listener)};
    ASSERT(c->n == (int)image->brokers.count);
}

const struct node_view *cluster_node(const struct cluster_view *c, int32_t id)
{
    int from = 0, to = c->n;

    while (from < to) {
        int at = from + (to - from) / 2;
        if (c->v[at].id == id)
            return &c->v[at];
        if (c->v[at].id < id)
            from = at + 1;
        else
            to = at;
    }
    return NULL;
}

int32_t cluster_controller(const struct cluster_view *c, struct request *r)
{
    const struct node_view *self = cluster_node(c, r->net->node->id);
    uint32_t chance = 0;
    int unfenced = 0;

    if (self && !self->broker->reg.fenced) /* it lives: who has just died may not be known to have */
        return self->id;
    for (int i = 0; i < c->n; i++)
        unfenced += !c->v[i].broker->reg.fenced;
    if (unfenced == 0)
        return -1;
    if (unfenced > 1)
        io_random(r->net->node->io, &chance, sizeof(chance));
    chance %= (uint32_t)unfenced;
    for (int i = 0; i < c->n; i++)
        if (!c->v[i].broker->reg.fenced && chance-- == 0)
            return c->v[i].id;
    return -1;
}

/* ---- partitions ---- */

static bool dir_online(const struct image_broker *b, const struct uuid *dir)
{
    if (uuid_eq(*dir, dir_unassigned) || uuid_eq(*dir, dir_migrating))
        return true;
    if (uuid_eq(*dir, dir_lost))
        return false;
    for (int32_t i = 0; i < b->reg.dirs.n; i++)
        if (uuid_eq(b->reg.dirs.v[i], *dir))
            return true;
    return b->reg.dirs.n == 0;
}

static bool replica_offline(const struct cluster_view *c, struct ids replicas, struct uuids dirs, int32_t i)
{
    const struct node_view *n = cluster_node(c, replicas.v[i]);

    return !node_alive(n) || (i < dirs.n && !dir_online(n->broker, &dirs.v[i]));
}

static struct ids offline_of(const struct cluster_view *c, struct arena *arena,
                             const struct image_partition *ip)
{
    struct ids replicas = partition_replicas(ip);
    struct uuids dirs = partition_dirs(ip);
    int32_t n = 0;
    int32_t *v;

    for (int32_t i = 0; i < replicas.n; i++)
        n += replica_offline(c, replicas, dirs, i);
    if (n == 0)
        return (struct ids){0};
    v = arena_alloc(arena, (size_t)n * sizeof(*v));
    n = 0;
    for (int32_t i = 0; i < replicas.n; i++)
        if (replica_offline(c, replicas, dirs, i))
            v[n++] = replicas.v[i];
    return (struct ids){v, n};
}

static struct ids alive_of(const struct cluster_view *c, struct arena *arena, struct ids all)
{
    int32_t *v = arena_alloc(arena, (size_t)all.n * sizeof(*v));
    int32_t n = 0;

    for (int32_t i = 0; i < all.n; i++)
        if (node_alive(cluster_node(c, all.v[i])))
            v[n++] = all.v[i];
    return (struct ids){v, n};
}

void partition_view_init(struct partition_view *p, const struct cluster_view *c, struct arena *arena,
                         const struct image_partition *ip, const struct partition_view_rules *rules)
{
    const struct node_view *leader = cluster_node(c, ip->leader);

    *p = (struct partition_view){.leader = -1, .replicas = partition_replicas(ip), .isr = partition_isr(ip)};
    p->offline = offline_of(c, arena, ip);
    if (rules->alive_only) {
        p->replicas = alive_of(c, arena, p->replicas);
        p->isr = alive_of(c, arena, p->isr);
    }
    if (!leader)
        p->err = E_LEADER_NOT_AVAILABLE;
    else if (!leader->at)
        p->err = rules->no_listener;
    else if (p->replicas.n < ip->n_replicas || p->isr.n < ip->n_isr)
        p->err = E_REPLICA_NOT_AVAILABLE;
    if (leader && leader->at)
        p->leader = leader->id;
}

/* ---- rights ---- */

int32_t authorized_operations(const struct request *r, enum acl_resource type, struct slice name)
{
    static const enum acl_operation of_topic[] = {
        OP_READ,  OP_WRITE,    OP_CREATE,           OP_DELETE,
        OP_ALTER, OP_DESCRIBE, OP_DESCRIBE_CONFIGS, OP_ALTER_CONFIGS};
    static const enum acl_operation of_cluster[] = {
        OP_CREATE,           OP_ALTER,         OP_DESCRIBE,        OP_CLUSTER_ACTION,
        OP_DESCRIBE_CONFIGS, OP_ALTER_CONFIGS, OP_IDEMPOTENT_WRITE};
    const enum acl_operation *v = type == RES_TOPIC ? of_topic : of_cluster;
    size_t n =
        type == RES_TOPIC ? sizeof(of_topic) / sizeof(*of_topic) : sizeof(of_cluster) / sizeof(*of_cluster);
    int32_t bits = 0;

    ASSERT(type == RES_TOPIC || type == RES_CLUSTER);
    for (size_t i = 0; i < n; i++)
        if (authorize(r, v[i], type, name))
            bits |= 1 << v[i];
    return bits;
}

/* ---- DescribeCluster ---- */

enum endpoint_type { ENDPOINT_BROKER = 1, ENDPOINT_CONTROLLER = 2 };

static void endpoint_refuse(struct request *r, enum endpoint_type here, int8_t type)
{
    static const char *const names[] = {[ENDPOINT_BROKER] = "BROKER", [ENDPOINT_CONTROLLER] = "CONTROLLER"};
    struct DescribeClusterResponse *out = r->out;
    bool known = type == ENDPOINT_CONTROLLER || type == ENDPOINT_BROKER;
    enum err err = known ? E_MISMATCHED_ENDPOINT_TYPE : E_UNSUPPORTED_ENDPOINT_TYPE;

    out->error_code = err_wire(r->version == 0 ? E_INVALID_REQUEST : err);
    out->error_message = SLICE(
        known ? arena_printf(
                    &r->arena,
                    "The request was sent to an endpoint of type %s, but we wanted an endpoint of type %s",
                    names[here], names[type])
              : arena_printf(&r->arena, "Unsupported endpoint type %d", type));
}

static void brokers_tell(struct request *r, const struct cluster_view *c, bool fenced_too)
{
    struct DescribeClusterResponse *out = r->out;
    int32_t n = 0;

    PROTO_ARRAY_NEW(&r->arena, DescribeClusterResponse_DescribeClusterBroker, out->brokers, c->n);
    for (int i = 0; i < c->n; i++) {
        const struct node_view *b = &c->v[i];
        if (!b->at || (b->broker->reg.fenced && !fenced_too))
            continue;
        out->brokers.v[n++] = (struct DescribeClusterResponse_DescribeClusterBroker){
            .broker_id = b->id,
            .host = b->at->host,
            .port = b->at->port,
            .rack = b->broker->reg.rack,
            .is_fenced = r->version >= 2 && b->broker->reg.fenced};
    }
    out->brokers.n = n;
}

/* Those that have registered, where they listen by the name of this listener; of the other voters what the settings say. */
static void controllers_tell(struct request *r)
{
    struct DescribeClusterResponse *out = r->out;
    const struct image *image = r->net->image;
    const struct image_controller *c;
    int n_voters, n = 0;
    const struct config_voter *voters = config_voters(r->net->node->config, &n_voters);

    for (struct image_controllers it = image_controllers_all(image); image_controllers_next(&it);)
        n++;
    PROTO_ARRAY_NEW(&r->arena, DescribeClusterResponse_DescribeClusterBroker, out->brokers, n + n_voters);
    n = 0;
    for (struct image_controllers it = image_controllers_all(image); (c = image_controllers_next(&it));) {
        const struct endpoint *at =
            endpoint_named(c->reg.endpoints, c->reg.n_endpoints, SLICE(r->listener->name));

        if (at)
            out->brokers.v[n++] = (struct DescribeClusterResponse_DescribeClusterBroker){
                .broker_id = c->reg.id, .host = at->host, .port = at->port, .rack = SLICE_NULL};
    }
    for (int i = 0; i < n_voters; i++)
        if (!image_controller(image, voters[i].id))
            out->brokers.v[n++] =
                (struct DescribeClusterResponse_DescribeClusterBroker){.broker_id = voters[i].id,
                                                                       .host = SLICE(voters[i].host),
                                                                       .port = voters[i].port,
                                                                       .rack = SLICE_NULL};
    out->brokers.n = n;
}

static void operations_tell(struct request *r)
{
    const struct DescribeClusterRequest *in = r->in;
    struct DescribeClusterResponse *out = r->out;

    if (in->include_cluster_authorized_operations)
        out->cluster_authorized_operations = authorize(r, OP_DESCRIBE, RES_CLUSTER, CLUSTER_NAME)
                                                 ? authorized_operations(r, RES_CLUSTER, CLUSTER_NAME)
                                                 : 0;
}

static void leader_known(struct control_look *l)
{
    struct request *r = l->arg;
    struct DescribeClusterResponse *out = r->out;

    out->controller_id = l->view.leader;
    out->cluster_id = SLICE(r->net->node->cluster_id);
    if (r->version >= 1)
        out->endpoint_type = ENDPOINT_CONTROLLER;
    controllers_tell(r);
    operations_tell(r);
    request_reply(r);
}

static void controllers_describe(struct request *r)
{
    struct control_look *l = arena_alloc(&r->arena, sizeof(*l));

    l->back = r->net->loop;
    l->done = leader_known;
    l->arg = r;
    control_look(r->net->node->control, l);
}

static void brokers_describe(struct request *r)
{
    const struct DescribeClusterRequest *in = r->in;
    struct DescribeClusterResponse *out = r->out;
    struct cluster_view view;
    const struct node_view *controller;

    cluster_view_init(&view, r);
    brokers_tell(r, &view, in->include_fenced_brokers);
    out->cluster_id = SLICE(r->net->node->cluster_id);
    controller = cluster_node(&view, cluster_controller(&view, r));
    out->controller_id = node_alive(controller) ? controller->id : -1; /* only one that is told above */
    operations_tell(r);
    request_reply(r);
}

/* Clients of a broker are told the brokers, and one of them in the controller's place; on the controller's listener the
 * controllers, and who really leads. */
void describe_cluster(struct request *r)
{
    const struct DescribeClusterRequest *in = r->in;
    enum endpoint_type here = r->listener && r->listener->controller ? ENDPOINT_CONTROLLER : ENDPOINT_BROKER;

    if (in->endpoint_type != (int8_t)here) {
        endpoint_refuse(r, here, in->endpoint_type);
        request_reply(r);
    } else if (here == ENDPOINT_CONTROLLER) {
        controllers_describe(r);
    } else {
        brokers_describe(r);
    }
}

bool cluster_allowed(struct request *r, enum acl_operation op, cluster_failed_fn failed)
{
    if (authorize(r, op, RES_CLUSTER, CLUSTER_NAME))
        return true;
    failed(r, E_CLUSTER_AUTHORIZATION_FAILED);
    request_reply(r);
    return false;
}

void cluster_ask(struct request *r, enum acl_operation op, ctl_decide_fn decide, cluster_failed_fn failed)
{
    if (cluster_allowed(r, op, failed))
        control_request(r, decide, failed);
}
