#include "init_producer_id.h"
#include "base/check.h"
#include "broker/api/handlers.h"
#include "broker/control.h"
#include "proto_gen.h"

/* Those who come while a block is on its way wait in line; the line is as long as there are requests admitted. */
struct producer_ids {
    struct net_loop *net;
    int64_t next;
    int64_t end;
    struct list waiting; /* struct waiter.link */
    bool asking;
    struct control_call call;
    struct arena arena;
    struct AllocateProducerIdsRequest ask;
    struct AllocateProducerIdsResponse answer;
};

struct waiter {
    struct list link;
    struct request *request;
};

struct producer_ids *producer_ids_new(struct net_loop *net)
{
    struct producer_ids *ids = heap_alloc(net->node->heap, sizeof(*ids));

    ids->net = net;
    list_init(&ids->waiting);
    arena_init(&ids->arena, net->node->heap, SIZE_MAX);
    return ids;
}

void producer_ids_drop(struct producer_ids *ids)
{
    ASSERT(!ids->asking);
    arena_drop(&ids->arena);
    heap_free(ids->net->node->heap, ids);
}

static void answer(struct request *r, enum err err, int64_t id)
{
    struct InitProducerIdResponse *out = r->out;

    out->error_code = err_wire(err);
    out->producer_id = err ? -1 : id;
    out->producer_epoch = err ? -1 : 0;
    request_reply(r);
}

static void serve(struct producer_ids *ids);

static void allocated(struct control_call *c)
{
    struct producer_ids *ids = c->arg;
    enum err err = c->err ? c->err : err_of_wire(ids->answer.error_code);

    ids->asking = false;
    if (!err) {
        ids->next = ids->answer.producer_id_start;
        ids->end = ids->next + ids->answer.producer_id_len;
        serve(ids);
        return;
    }
    list_each_safe (it, &ids->waiting) {
        list_remove(it);
        answer(container_of(it, struct waiter, link)->request, E_COORDINATOR_NOT_AVAILABLE, -1);
    }
}

static void allocate(struct producer_ids *ids)
{
    const struct image_broker *self = image_broker(ids->net->image, ids->net->node->id);

    ids->asking = true;
    arena_reset(&ids->arena);
    proto_defaults(&AllocateProducerIdsRequest_type, &ids->ask);
    proto_defaults(&AllocateProducerIdsResponse_type, &ids->answer);
    ids->ask.broker_id = ids->net->node->id;
    ids->ask.broker_epoch = self ? self->reg.epoch : -1;
    ids->call = (struct control_call){.node = ids->net->node,
                                      .back = ids->net->loop,
                                      .decide = decide_allocate_producer_ids,
                                      .in = &ids->ask,
                                      .out = &ids->answer,
                                      .arena = &ids->arena,
                                      .done = allocated,
                                      .arg = ids};
    control_call(&ids->call);
}

static void serve(struct producer_ids *ids)
{
    while (!list_empty(&ids->waiting) && ids->next < ids->end) {
        struct waiter *w = list_first(&ids->waiting, struct waiter, link);
        list_remove(&w->link);
        answer(w->request, E_OK, ids->next++);
    }
    if (!list_empty(&ids->waiting) && !ids->asking)
        allocate(ids);
}

/* Transactional ids come with the transaction coordinator; a client that names one is told that there is none yet. */
void init_producer_id(struct request *r)
{
    const struct InitProducerIdRequest *in = r->in;
    struct producer_ids *ids = r->net->producer_ids;
    struct waiter *w;

    if (in->transactional_id.p) {
        answer(r, in->transactional_id.len ? E_COORDINATOR_NOT_AVAILABLE : E_INVALID_REQUEST, -1);
        return;
    }
    if (!authorize(r, OP_IDEMPOTENT_WRITE, RES_CLUSTER, SLICE("kafka-cluster"))) {
        answer(r, E_CLUSTER_AUTHORIZATION_FAILED, -1);
        return;
    }
    if (r->version >= 3 && (in->producer_id == -1) != (in->producer_epoch == -1)) {
        answer(r, E_INVALID_REQUEST, -1);
        return;
    }
    w = arena_alloc(&r->arena, sizeof(*w));
    w->request = r;
    list_add(&ids->waiting, &w->link);
    serve(ids);
}
