/* The client's connections: one to the bootstrap list, one to each node that a call is for. client.c and client_peer.c
 * share this; nobody else includes it. */
#pragma once
#include "base/check.h"
#include "base/map.h"
#include "broker/net/client.h"
#include <proto_gen.h>

enum {
    PEER_ADDRS_MAX = 8,
    CLIENT_SCRATCH = 16 * 1024,
    RESPONSE_MAX = 512 * 1024 * 1024,
    CLIENT_RETRY_NS = 100 * 1000 * 1000, /* between questions for a leader that isn't there yet */
};

enum peer_state { PEER_IDLE, PEER_LOOKUP, PEER_DIALING, PEER_ASKING, PEER_READY, PEER_CLOSING };

struct peer_host {
    char *name;
    uint16_t port;
};

struct peer {
    struct client *client;
    struct list link;
    int32_t node; /* -1: bootstrap */
    struct peer_host *hosts;
    int n_hosts, host; /* tried in order */
    enum peer_state state;
    struct sock sock;
    struct msg lookup; /* to the DISK loop and back */
    struct addr addrs[PEER_ADDRS_MAX];
    int n_addrs, addr;
    struct timer setup; /* while it dials */
    int silent;         /* addresses in a row that said nothing in that time */
    enum err lookup_err;
    enum err why;        /* the connection's end, where we are the cause */
    struct list waiting; /* calls until it is ready */
    struct list pending; /* sent, in order */
    int32_t next_correlation;
    struct client_call asking; /* ApiVersions */
    struct ApiVersionsRequest asking_in;
    const struct ApiVersionsResponse *versions; /* what the node has */
    struct arena arena;                         /* for the above, since the last dial */
    uint8_t head[4];
    uint8_t got;
    struct slice frame;
    size_t read;
};

struct client {
    struct heap *heap;
    struct client_options o;
    char *bootstrap_text;
    char *client_id;
    char *software_version;
    struct list peers; /* the bootstrap's first */
    struct list all;   /* calls */
    struct list fresh; /* not yet routed */
    struct list lost;  /* waiting for metadata */
    struct msg work;
    bool work_posted;
    struct timer timer; /* the one for deadlines and for retry_at */
    int64_t timer_due;  /* INT64_MAX: not set */
    int64_t retry_at;   /* asks for metadata again; INT64_MAX: doesn't */
    struct client_call meta;
    bool meta_busy;
    bool meta_wanted; /* at the end of this turn: one question for all */
    int meta_asked;   /* how often */
    struct arena meta_arena;
    struct map topics;  /* name -> topic_leaders */
    int32_t controller; /* -1: unknown */
    struct arena arena; /* tools' */
    int n_asked;
    void (*next)(void *arg);
    void *next_arg;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
    uint8_t scratch[CLIENT_SCRATCH];
};

struct peer *peer_new(struct client *c, int32_t node);
void peer_host_add(struct peer *p, struct slice host, uint16_t port);
/* The node lives elsewhere now; idle. */
void peer_moved(struct peer *p, struct slice host, uint16_t port);
void peer_give(struct peer *p, struct client_call *call); /* sends it now or once it is connected */
void peer_fail(struct peer *p, enum err why);             /* ends the connection and its calls */
void peer_free(struct peer *p);                           /* idle */

void call_end(struct client_call *call, enum err err);
void client_peer_idle(struct client *c); /* a connection has ended: client_close() may be waiting */
