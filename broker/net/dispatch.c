/* From a frame to its handler: the table is made of broker/api/handlers.def and the generated types. */
#include "broker/api/handlers.h"
#include "broker/net/internal.h"
#include <proto_gen.h>

/* How much a decoded request may take for each byte of its frame: the leanest element on the wire is a few bytes, the
 * fattest struct that it becomes some hundred. */
enum { DECODE_FACTOR = 64, DECODE_LEAST = 64 * 1024, DECODE_MOST = 256 * 1024 * 1024 };

#define HANDLER(name, min, max, where, function)                                                             \
    {.key = API_##name,                                                                                      \
     .version_min = (min),                                                                                   \
     .version_max = (max),                                                                                   \
     .on = (where),                                                                                          \
     .in = &name##Request_type,                                                                              \
     .out = &name##Response_type,                                                                            \
     .run = (function)},
static const struct handler handlers[] = {
#define X HANDLER
#include "broker/api/handlers.def"
#undef X
};
enum { HANDLERS = sizeof(handlers) / sizeof(handlers[0]) };

/* Row by key, plus one; 0: none. Kafka's keys, and behind them ours from 0x7000 on. */
enum { KAFKA_KEYS = 128, OUR_KEYS = 16 };
#define SLOT(key) ((int)(key) < OWN_API_FIRST ? (int)(key) : KAFKA_KEYS + (int)(key)-OWN_API_FIRST)
static const uint8_t by_key[KAFKA_KEYS + OUR_KEYS] = {
#define X(name, min, max, on, function) [SLOT(API_##name)] = 1 + HANDLER_##name,
#include "broker/api/handlers.def"
#undef X
};

static const struct handler *find(int16_t key, enum served_on on)
{
    bool known = (key >= 0 && key < KAFKA_KEYS) || (key >= OWN_API_FIRST && key < OWN_API_FIRST + OUR_KEYS);
    const struct handler *h = known && by_key[SLOT(key)] ? &handlers[by_key[SLOT(key)] - 1] : NULL;

    return h && (h->on & on) ? h : NULL;
}

const struct handler *handler_find(int16_t key)
{
    return find(key, ON_BROKER);
}

const struct handler *handler_find_controller(int16_t key)
{
    return find(key, ON_CONTROLLER);
}

const struct handler *handler_next(const struct handler *h)
{
    if (!h)
        return &handlers[0];
    return h + 1 < handlers + HANDLERS ? h + 1 : NULL;
}

static size_t decode_max(size_t frame)
{
    size_t max = frame * DECODE_FACTOR + DECODE_LEAST;

    return max < DECODE_MOST ? max : DECODE_MOST;
}

enum err request_prepare(struct request *r, const struct proto_request *head)
{
    void *in = proto_new(r->handler->in, &r->arena, 1);
    enum err err;

    if (!in)
        return E_NOMEM;
    r->in = in;
    r->arena.max = decode_max(r->frame.len);
    err = proto_decode(r->handler->in, r->version, head->body, &r->arena, in);
    r->arena.max = SIZE_MAX;
    r->out = proto_new(r->handler->out, &r->arena, 1);
    return err;
}

/* Takes the request back out of its connection; nothing was answered. */
static bool refuse(struct net_request *q, enum err err, int16_t key, int16_t version)
{
    TRACE(q->net->io, net_bad_request, err_name(err), key, version);
    list_remove(&q->r.link);
    q->r.conn->n_requests--;
    request_free(q);
    return false;
}

bool dispatch(struct net_request *q)
{
    struct request *r = &q->r;
    struct proto_request head = {.key = -1, .version = -1};
    enum err err = proto_request_header(r->frame, &head);

    r->handler = err && err != E_UNSUPPORTED_VERSION ? NULL : r->conn->door->serve(head.key);
    if (r->handler && r->conn->door->early && !r->net->image && !(r->handler->on & ON_EARLY)) {
        r->handler = NULL;
        err = E_NOT_CONTROLLER;
    }
    if (!r->handler)
        return refuse(q, err ? err : E_INVALID_REQUEST, head.key, head.version);
    r->version = head.version;
    r->correlation = head.correlation_id;
    r->client_id = head.client_id;
    if (err || head.version < r->handler->version_min || head.version > r->handler->version_max) {
        if (head.key != API_ApiVersions)
            return refuse(q, E_UNSUPPORTED_VERSION, head.key, head.version);
        r->version = 0; /* the one version that every client reads */
        r->out = proto_new(r->handler->out, &r->arena, 1);
        api_versions_unsupported(r);
        return true;
    }
    err = request_prepare(r, &head);
    if (err)
        return refuse(q, err, head.key, head.version);
    r->handler->run(r); /* may end it: last touch */
    return true;
}
