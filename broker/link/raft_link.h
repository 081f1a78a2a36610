/* The way between the controllers of the quorum: what one control loop sends, the other's is told.
 *
 *     control loop                 net[0]                                       net[0]                control loop
 *     raft_link_send ──► one connection to each of them (net/client.h): ──► raft_link_serve.c ──► ops.came, then
 *          ▲             first RaftHello, then Raft, Raft …                    checks the hello    the answer
 *          └── counted out when the answer came ◄──────────────────────────────────────────────────────┘
 *
 * Who:    any controller of this cluster may say hello: the right cluster, a node id and a directory id of its own, from one
 *         directory at a time. Those that vote are dialled (raft_link_voters), those of controller.quorum.voters, and whoever
 *         said hello here. At most RAFT_LINK_PEERS, for as long as this process lives.
 * Where:  as controller.quorum.voters says; else as the controller itself says in its hello; as it has registered; as another
 *         controller says. While one that votes can't be reached, controller.quorum.bootstrap.servers are asked for it, and
 *         those that are connected, again and again: so a cluster finds itself if each node finds one that the others find.
 * Loop:   the control loop calls and is called. The connections live on net[0], where the controller's listener is served
 *         too: so one loop sees both halves of what is known of a voter's life, and the listener needs that loop before
 *         the quorum has loaded anyway. Names are looked up on a DISK loop of the link's own.
 * Memory: bytes are copied at raft_link_send(). At most RAFT_LINK_BYTES and RAFT_LINK_MESSAGES wait for one peer's answers;
 *         a peer answers a message when its control loop has taken it, so neither side piles up what the other can't take.
 * Order:  messages to one peer arrive in order or not at all: nothing is sent again, the quorum does that. ops.hello comes
 *         before anything else of that peer.
 * Ends:   a peer whose connections have ended and whose port refuses is told dead, once until it is heard again. One that
 *         is silent, can't be reached, or accepts is not. */
#pragma once
#include "broker/link/dial.h"
#include "broker/node.h"
#include "proto_gen.h"
#include "quorum/quorum.h"

enum { RAFT_LINK_BYTES = 4 << 20, RAFT_LINK_MESSAGES = 1024, RAFT_LINK_PEERS = 32 };

struct raft_link;
struct request;

struct raft_link_settings {
    struct uuid directory_id;          /* this node's, of its metadata */
    const struct config_voter *voters; /* of controller.quorum.voters; lent */
    int n_voters;
};

struct raft_link_ops {
    /* That node speaks from this directory: quorum_hello(). Again for all known ones after raft_link_voters(). */
    void (*hello)(void *arg, int32_t node, const struct uuid *directory_id);
    /* Bytes of that node, lent for the call. false: they don't read, and its connection ends. */
    bool (*came)(void *arg, int32_t node, struct slice bytes);
    void (*dead)(void *arg, int32_t node);
    void (*alive)(void *arg, int32_t node); /* it has taken this node's hello */
    /* What raft_link_ask() asked for, once for each; quorum_piece(). */
    void (*piece)(void *arg, struct quorum_checkpoint id, int64_t at, int64_t size, struct slice bytes,
                  enum err err);
    void *arg;
};

/* net[0] is there; dialling begins at once. */
struct raft_link *raft_link_start(struct node *node, struct loop *control,
                                  const struct raft_link_settings *settings, const struct raft_link_ops *ops);
/* The newest configuration (ops.voters of quorum.h): these are dialled from now on. */
void raft_link_voters(struct raft_link *l, const int32_t *nodes, int n);
/* Where a controller listens, as somebody says who may add voters. */
void raft_link_place(struct raft_link *l, int32_t node, struct slice host, uint16_t port);
/* Who is to become a voter, asked before anything of the quorum changes. On the control loop; lent, with `host`, until `done`,
 * which never runs inside of the call:
 *
 *     E_OK                  a controller of this cluster listens there, that node with that directory, and knows kraft_version
 *     E_REQUEST_TIMED_OUT   nobody could be asked, in timeout_ms at the latest: refused, silent, no such host
 *     E_INVALID_REQUEST     another node, directory or cluster; what is no controller; another kraft.version; no address
 *     E_NOT_CONTROLLER      the link stops
 *
 * `why` says it in words. */
struct raft_link_vet {
    int32_t node;
    struct uuid directory_id;
    struct slice host;
    uint16_t port;
    int kraft_version;
    int64_t timeout_ms;
    void (*done)(struct raft_link_vet *v, enum err err);
    char why[QUORUM_WHY_MAX];
    /* the link's */
    struct raft_link *link;
    struct msg msg;
    struct list on_link;
    struct client *client;
    struct client_call call;
    struct RaftHelloRequest hello;
    struct arena arena;
    char at[DIAL_TEXT_MAX];
    enum err err;
    bool kraft_known, closing;
};
void raft_link_vet(struct raft_link *l, struct raft_link_vet *v);
/* On net[0]: where that controller listens, lent for this callback; false: not known. */
bool raft_link_where(const struct raft_link *l, int32_t node, struct slice *host, uint16_t *port);
/* On net[0]: where the others listen, as far as it is known; how many. Lent for this callback. */
struct raft_link_at {
    int32_t node;
    struct slice host;
    uint16_t port;
};
int raft_link_places(const struct raft_link *l, struct raft_link_at out[RAFT_LINK_PEERS]);
/* false: dropped, there is no connection or too much waits on it. */
bool raft_link_send(struct raft_link *l, int32_t node, struct slice bytes);
void raft_link_ask(struct raft_link *l, int32_t node, struct quorum_checkpoint id, int64_t at);
/* No request of a peer is under way here any more. Its connections end, nothing is told from now on; `stopped` is posted to the
 * control loop, then the link is gone. */
void raft_link_stop(struct raft_link *l, struct msg *stopped);
