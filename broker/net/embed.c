/* Requests inside of requests: no connection, no frame and no charge of their own. */
#include "broker/net/internal.h"

static const struct handler *handler_inside(const struct proto_request *head,
                                            const struct request_origin *asks)
{
    const struct handler *h = asks->serves(head->key) ? handler_find_controller(head->key) : NULL;

    return h && head->version >= h->version_min && head->version <= h->version_max ? h : NULL;
}

enum err request_inside(struct request *outer, struct slice frame, const struct request_origin *asks,
                        request_inside_done done)
{
    struct net_request *around = container_of(outer, struct net_request, r), *q;
    struct proto_request head = {.key = -1, .version = -1};
    enum err err = proto_request_header(frame, &head);
    const struct handler *handler = err ? NULL : handler_inside(&head, asks);

    if (!handler) /* of a known request it can only be the version */
        return err ? err : asks->serves(head.key) ? E_UNSUPPORTED_VERSION : E_INVALID_REQUEST;
    q = request_new(around->net, 0);
    q->around = outer;
    q->inside_done = done;
    q->r.frame = frame;
    q->r.handler = handler;
    q->r.listener = outer->listener;
    q->r.principal = asks->principal;
    q->r.peer = asks->peer;
    q->r.id = asks->id;
    q->r.time_left_ms = asks->time_left_ms;
    q->r.came = outer->came;
    q->r.version = head.version;
    q->r.correlation = head.correlation_id;
    q->r.client_id = head.client_id;
    err = request_prepare(&q->r, &head);
    if (err) {
        request_free(q);
        return err;
    }
    handler->run(&q->r); /* may end it: last touch */
    return E_OK;
}

void request_inside_end(struct net_request *q)
{
    struct request *r = &q->r;
    enum err err =
        proto_response_frame(proto_api(r->handler->key), r->version, r->correlation, r->out, &q->reply, NULL);

    r->ended = true;
    q->inside_done(q->around, r, err,
                   err ? SLICE_NULL : slice_of(q->reply.p + 4, q->reply.len - 4)); /* without the length */
    request_free(q);
}
