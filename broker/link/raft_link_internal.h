/* What raft_link.c (dials, sends), raft_link_book.c (who there is, and where) and raft_link_serve.c (answers) share; nobody
 * else includes it. */
#pragma once
#include "base/check.h"
#include "base/trace.h"
#include "broker/link/raft_link.h"
#include "broker/net/client.h"
#include "proto/uuid.h"
#include "proto_gen.h"

/* Where a controller listens, by who says so: this is also the order in which they are believed. */
enum place_source {
    PLACE_SETTINGS, /* controller.quorum.voters */
    PLACE_SAID,     /* by itself */
    PLACE_TOLD,     /* by another controller, or by who adds it */
    PLACE_SOURCES
};

struct link_place {
    struct slice host; /* empty: not known */
    uint16_t port;
};

/* What is known of one other controller. A connection to it is UP when its hello was accepted. */
enum { LINK_PROBE_MS = 3000 }; /* so often a peer that is UP is asked, whoever else is seldom */
enum link_state { LINK_RESTS, LINK_HELLO, LINK_UP };

struct link_peer {
    struct raft_link *link;
    int32_t node;
    /* ---- net[0] ---- */
    struct client *client; /* messages; NULL until it is dialled first */
    struct client
        *bulk; /* pieces of checkpoints, which messages don't wait behind; NULL until one is asked for */
    enum link_state state;
    struct client_call call; /* the hello */
    struct RaftHelloRequest hello;
    struct arena arena;
    bool asking; /* it is under way */
    struct timer again;
    int64_t wait_ns;
    int64_t up_at;
    bool ended_soon; /* after it was UP last */
    struct link_place places[PLACE_SOURCES];
    int tries;               /* in vain, since it was UP or heard: with each, another place is tried */
    bool hearsay;            /* the last dial was to where others say that it is */
    bool wanted;             /* it votes, or the settings say so */
    bool refused;            /* its port refused the last dial */
    bool dead;               /* told so */
    struct list ins;         /* connections by which it said hello here: struct link_in */
    int n_in;                /* those of its newest process, */
    struct uuid incarnation; /* which is this */
    bool known;              /* its directory is: */
    struct uuid directory_id;
    /* ---- control loop ---- */
    bool listed;      /* in link.heard */
    struct uuid said; /* its directory */
    bool up;
    int n_waiting; /* messages on their way, */
    size_t bytes_waiting;
};

/* A question to somebody whose place is known, about the others. */
struct link_inquiry {
    struct client *client; /* NULL: none is under way */
    struct client_call call;
    struct RaftHelloRequest hello;
    struct arena arena;
    const char *at; /* host:port, in the arena */
    struct slice host;
    struct timer timer;
    int64_t wait_ns;
    int turn;
    bool timed, closing;
};

struct raft_link {
    struct node *node;
    struct net_loop *first; /* net[0]: the list of all is the control loop's, and moves */
    struct loop *control, *net;
    struct loop *names; /* DISK: looks up hosts */
    struct raft_link_ops ops;
    struct uuid directory_id;
    struct uuid incarnation;           /* of this process */
    const struct config_listener *own; /* where the others find this one */
    /* ---- control loop ---- */
    struct link_peer *heard[RAFT_LINK_PEERS]; /* those that net[0] has told of */
    int n_heard;
    bool stopping;
    /* ---- net[0] ---- */
    struct link_peer *peers[RAFT_LINK_PEERS]; /* the others; none goes before the link does */
    int n;
    struct link_inquiry inquiry;
    struct list vets; /* struct raft_link_vet.on_link, under way */
    bool ending;
    int n_clients; /* that haven't closed yet */
    struct msg begin, stop;
    struct msg *stopped;
};

/* ---- raft_link_book.c: net[0] ---- */
struct link_peer *link_peer_of(const struct raft_link *l, int32_t node);
struct link_peer *link_peer_add(struct raft_link *l, int32_t node); /* NULL: there are too many */
/* host, port: where it listens, says `source`; nothing if they can't be dialled. true: that is news. */
bool link_place_note(struct link_peer *p, enum place_source source, struct slice host, uint16_t port);
/* Where to dial it now; lent for this callback. hearsay: others say so. false: nobody knows. */
bool link_place_find(const struct link_peer *p, struct link_place *out, bool *hearsay);
/* What an answer to a hello tells: who answered, and where others are. `host`: what was dialled. */
void link_answer_note(struct raft_link *l, const struct RaftHelloResponse *out, struct slice host);
void link_controllers_tell(const struct raft_link *l, struct arena *a, struct RaftHelloResponse *out);
void link_hello_fill(const struct raft_link *l, int32_t node, struct RaftHelloRequest *out);
int64_t link_retry_ns(const struct raft_link *l);
/* Asks around as long as a voter isn't connected whose place may be another one; after every change of that. */
void link_inquire(struct raft_link *l);
void link_inquiry_init(struct raft_link *l);
void link_inquiry_end(struct raft_link *l); /* its client is counted in n_clients */
void link_book_drop(struct raft_link *l);

/* ---- raft_link_vet.c: net[0] ---- */
void link_vets_end(struct raft_link *l); /* their clients are counted in n_clients */

/* ---- raft_link.c: net[0] ---- */
void link_reach(struct link_peer *p); /* if it rests, and there is a reason to */
/* Another directory says that it is this peer: is the one that it is known by still there? */
void link_doubt(struct link_peer *p);
/* The peer has said hello here, or a connection by which it had has ended. */
void link_heard(struct link_peer *p, const struct uuid *directory_id);
void link_left(struct link_peer *p);
void link_client_closed(void *link);
