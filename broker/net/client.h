/* The one client, for brokers and tools: asks by generated structs, routes, negotiates versions, pipelines.
 *
 * Loop:   a NET loop; every call and callback below is on it. Names are looked up on a DISK loop.
 * Memory: a call is lent, with `in` and `arena`, until `done`. The response and the frame that it points into come from
 *         `arena`, which must have no limit.
 * Order:  calls to one node leave in the order given. `done` runs once for each, never inside client_send().
 * Errors: call->err is E_OK if a response came, whatever it says inside, else the world's: E_REFUSED, E_RESET, E_EOF,
 *         E_TIMEOUT; E_NOENT (no such host); E_UNSUPPORTED_VERSION (no version in common, or none that can say this);
 *         E_UNKNOWN_TOPIC_OR_PARTITION, E_BROKER_NOT_AVAILABLE (no such target); E_CANCELED (client_close()).
 *
 * A tool is a chain of steps: each asks what it needs, in parallel, and names the step that runs when all is back.
 *
 *     static void list(void *arg)
 *     {
 *         struct topics_tool *t = arg;
 *         struct MetadataRequest *in = client_in(t->client, API_Metadata);
 *
 *         in->topics.n = -1;
 *         t->metadata = client_ask(t->client, client_any(), API_Metadata, in);
 *         client_then(t->client, print, t);
 *     }
 *
 *     static void print(void *arg)
 *     {
 *         struct topics_tool *t = arg;
 *         const struct MetadataResponse *m = t->metadata->out; // NULL when t->metadata->err
 *         …
 *     } */
#pragma once
#include "base/io.h"
#include "proto/wire.h"

struct ApiVersionsResponse;
struct client;
struct peer;

struct client_options {
    struct io *io;
    struct loop *net;  /* the client's */
    struct loop *disk; /* looks up names */
    const char *
        bootstrap; /* host:port, separated by commas; [v6]:port. NULL: only client_place() tells where nodes are */
    const char *client_id;
    const char *software_version; /* told in ApiVersions, beside the name weir */
    int64_t timeout_ns;           /* of a call that has none of its own, dialling included */
    /* socket.connection.setup.timeout.ms: how long one address may take to accept before the next is tried; doubled with each
     * that didn't, up to the second. 0: as long as the calls wait. */
    int64_t setup_ns, setup_max_ns;
    /* A connection to a node is ready for calls: what the node has, lent for the call, in which nothing is asked of the client.
     * The bootstrap's has -1. NULL: nobody cares. */
    void (*ready)(void *arg, int32_t node, const struct ApiVersionsResponse *has);
    void *ready_arg;
    /* A connection over which calls could go has ended, after the end of those that were on it. NULL: nobody cares. */
    void (*ended)(void *arg);
    void *ended_arg;
};

enum client_target { CLIENT_ANY, CLIENT_NODE, CLIENT_CONTROLLER, CLIENT_LEADER };

struct client_route {
    enum client_target target;
    int32_t node;
    struct slice topic; /* lent as long as the call */
    int32_t partition;
};

static inline struct client_route client_any(void)
{
    return (struct client_route){.target = CLIENT_ANY};
}
static inline struct client_route client_node(int32_t id)
{
    return (struct client_route){.target = CLIENT_NODE, .node = id};
}
static inline struct client_route client_controller(void)
{
    return (struct client_route){.target = CLIENT_CONTROLLER};
}
static inline struct client_route client_leader(struct slice topic, int32_t partition)
{
    return (struct client_route){.target = CLIENT_LEADER, .topic = topic, .partition = partition};
}

enum client_stage { CALL_FRESH, CALL_LOST, CALL_WAITING, CALL_SENT, CALL_ANSWERED };

struct client_call {
    /* the caller's: client_call_init() fills them, and a caller may narrow the versions then */
    const struct proto_api *api;
    int16_t version_min, version_max; /* the highest of these that the node has is used */
    struct client_route route;
    const void *in;
    struct arena *arena;
    int64_t timeout_ns; /* 0: the client's */
    void (*done)(struct client_call *call);
    void *arg;
    /* the answer */
    enum err err;
    void *out;
    int16_t version;
    /* the client's */
    struct client *client;
    struct peer *peer; /* once it has one */
    struct list link;  /* where it stands: fresh, lost, or a connection's waiting or pending */
    struct list all;   /* of the client's calls */
    int64_t deadline;
    int32_t correlation;
    int asked_in; /* the number of the Metadata request that asks for it */
    enum client_stage stage;
    bool looked;  /* that has been answered */
    bool sending; /* the socket has not given the request back */
    struct bytes frame;
    struct part part;
    struct out sent;
};

/* E_INVALID_REQUEST: the bootstrap list isn't one. */
enum err client_new(const struct client_options *options, struct client **out);
void client_close(struct client *c, void (*closed)(void *arg),
                  void *arg); /* ends all calls; then it is gone */

void client_call_init(struct client_call *call, int16_t api_key, struct client_route route, const void *in,
                      struct arena *arena);
void client_send(struct client *c, struct client_call *call);
/* Where a node is, before a call goes there; where there is a connection already, it is used until it ends. */
void client_place(struct client *c, int32_t node, struct slice host, uint16_t port);
/* Ends the connection to a node; the calls on it end with E_CANCELED. */
void client_hang_up(struct client *c, int32_t node);
/* What it knew of leaders and the controller was wrong (NOT_LEADER_OR_FOLLOWER …): the next calls ask anew. */
void client_stale(struct client *c);

/* For tools: memory from the client's own arena, good until it is closed. */
struct arena *client_arena(struct client *c);
void *client_in(struct client *c, int16_t api_key); /* a request with defaults */
struct client_call *client_ask(struct client *c, struct client_route route, int16_t api_key, const void *in);
void client_then(struct client *c, void (*next)(void *arg),
                 void *arg);                          /* when all that was asked has ended */
const char *client_bootstrap(const struct client *c); /* for messages */
