/* One request's life, from its frame to its answer.
 *
 *   conn reads the frame ──► dispatch decodes it into `in`, prepares `out` ──► the handler of its API
 *        ▲                                                                       │ at once, or after
 *        └───────────── request_reply() ◄──── back on the NET loop ◄── messages ─┘ messages to other loops
 *
 * Loop:   a request belongs to the NET loop of its connection. Its handler and every request_*() call run there.
 *         A handler that needs a DISK loop or the control loop posts a message embedded in its own state (from the
 *         request's arena); that loop may read the request and write what the handler lent it, never call request_*();
 *         it posts the message back.
 * Memory: `in` points into the frame; both, and all from `arena`, last until the request ends. The frame's size was taken
 *         from the budget before its body was read and is given back when the answer's bytes are written.
 * Order:  answers leave a connection in the order of its requests, whenever they are ready; exactly one
 *         request_reply(), request_skip() or request_abort() ends each request.
 * Ends:   a connection that closes leaves its requests alive until their handlers end them; the answer is dropped then.
 *         A handler that waits for an event sets `gone`, which is called once if the connection closes meanwhile.
 * Always: a handler passes authorize() for each resource before it tells or changes anything about it. */
#pragma once
#include "base/io.h"
#include "proto/wire.h"

struct conn;
struct net_loop;
struct config_listener;

/* Who asks. Until security comes everybody is User:ANONYMOUS, whom authorize() allows all. */
struct principal {
    struct slice type;
    struct slice name;
};

struct request {
    struct net_loop *net; /* its loop and what lives there (node.h) */
    struct conn *conn;    /* NULL once the connection has closed */
    const struct handler *handler;
    const struct config_listener
        *listener; /* where it came in: Metadata answers with that listener's addresses */
    const struct principal *principal;
    const struct addr *peer;
    int16_t version;
    int32_t correlation;
    struct slice client_id; /* may be null */
    struct slice frame;     /* the whole frame, header included */
    int64_t came;           /* loop_now() when its last byte arrived */
    struct arena arena;
    const void *in;      /* the decoded request message */
    void *out;           /* the response message, defaults filled in */
    int32_t throttle_ms; /* set into the reply's ThrottleTimeMs; quotas come later, 0 until then */
    void (*gone)(struct request *r);
    void *state; /* the handler's own */

    struct part *ranges; /* file ranges for `records` fields that were set with request_range() */
    int n_ranges;

    struct list link; /* conn's order */
    struct out sent;  /* the answer on its way */
    bool ended;
    bool silent;          /* ended by request_skip() */
    struct uuid id;       /* which it keeps when it is sent again (Envelope); zero: none yet */
    int32_t time_left_ms; /* which is left to it as the broker counts that sent it; 0: it doesn't say */
    int64_t
        shown_from; /* what its answer tells was done is in images of this offset and later ones; 0: nothing was */
    bool not_controller; /* the controller was asked, and is another node's */
    bool
        abandoned; /* and this node stops: a broker's client gets no answer, so that it asks another broker */
};

/* A row per API that works (broker/api/handlers.def); ApiVersions announces just these. */
enum served_on {
    ON_BROKER = 1,
    ON_CONTROLLER = 2,
    ON_BOTH = 3,
    ON_EARLY = 4 /* by the controller also before this node has an image: r->net->image may be NULL */
};
enum { OWN_API_FIRST = 0x7000 }; /* keys that Kafka lacks */
struct handler {
    int16_t key;
    uint8_t on;          /* enum served_on */
    int16_t version_min; /* announced and served */
    int16_t version_max;
    const struct proto_type *in;
    const struct proto_type *out;
    void (*run)(struct request *r);
};

void request_reply(struct request *r); /* encodes r->out */
void request_skip(struct request *r);  /* no answer: acks=0 */
void request_abort(struct request *r); /* closes the connection, as Kafka does for an error under acks=0 */

/* A request that came inside of another one, as Envelope brings it: it lives as any other, but has no connection, and its
 * whole answer, header and body, goes to `done`, where it lasts for the call. `outer` and what `asks` points to last until
 * then. E_INVALID_REQUEST (no such request is served there), E_UNSUPPORTED_VERSION, or one of decoding: `done` won't run. */
struct request_origin {
    struct uuid id;
    int32_t time_left_ms;
    const struct principal *principal;
    const struct addr *peer;
    bool (*serves)(int16_t api_key);
};
typedef void (*request_inside_done)(struct request *outer, const struct request *inner, enum err err,
                                    struct slice answer);
enum err request_inside(struct request *outer, struct slice frame, const struct request_origin *asks,
                        request_inside_done done);

/* What a connection stands for beyond its requests: at most one thing, for which it was tied once. `cut` runs once, on the
 * request's loop, when the connection has ended; the tie is its owner's again then. */
struct conn_tie {
    void (*cut)(struct conn_tie *tie);
    struct conn *conn; /* set by request_tie() */
};
void request_tie(struct request *r, struct conn_tie *tie); /* r->conn is there and has no tie */
void request_tie_end(struct conn_tie *tie); /* ends its connection; `cut` runs soon, not inside */
bool request_has_tie(const struct request *r);
/* The tie of the request's connection if it is of that kind, else NULL. */
struct conn_tie *request_tied(const struct request *r, void (*kind)(struct conn_tie *tie));

/* Sends `part` (a warm range of a file, whose reference the request takes over) as the value of a `records` field:
 * store what is returned into that field. */
struct slice request_range(struct request *r, const struct part *part);

/* What may be asked for: Kafka's operations and resources. Always true until security comes, on every path. */
enum acl_operation {
    OP_READ = 3,
    OP_WRITE,
    OP_CREATE,
    OP_DELETE,
    OP_ALTER,
    OP_DESCRIBE,
    OP_CLUSTER_ACTION,
    OP_DESCRIBE_CONFIGS,
    OP_ALTER_CONFIGS,
    OP_IDEMPOTENT_WRITE
};
enum acl_resource { RES_TOPIC = 2, RES_GROUP, RES_CLUSTER, RES_TRANSACTIONAL_ID };
bool authorize(const struct request *r, enum acl_operation op, enum acl_resource type, struct slice name);
