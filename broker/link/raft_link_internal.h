/* What raft_link.c (dials, sends) and raft_link_serve.c (answers) share; nobody else includes it. */
#pragma once
#include "base/check.h"
#include "base/trace.h"
#include "broker/link/raft_link.h"
#include "broker/net/client.h"
#include "proto/uuid.h"
#include "proto_gen.h"
#include <stdatomic.h>

/* What is known of one other voter. A connection to it is UP when its hello was accepted. */
enum link_state { LINK_RESTS, LINK_HELLO, LINK_UP };

struct link_voter {
    struct raft_link *link;
    int32_t node;
    /* ---- net[0] ---- */
    struct client *client; /* messages */
    struct client
        *bulk; /* pieces of checkpoints, which messages don't wait behind; NULL until one is asked for */
    enum link_state state;
    struct client_call call; /* the hello */
    struct RaftHelloRequest hello;
    struct arena arena;
    struct timer again;
    int64_t wait_ns;
    bool refused; /* its port refused the last dial */
    bool dead;    /* told so */
    int n_in;     /* connections by which it said hello here */
    bool known;   /* its directory is: */
    struct uuid directory_id;
    /* ---- control loop ---- */
    bool up;
    int n_waiting; /* messages on their way, */
    size_t bytes_waiting;
};

struct raft_link {
    struct node *node;
    struct loop *control, *net;
    struct loop *names; /* DISK: looks up hosts */
    struct raft_link_ops ops;
    struct uuid directory_id;
    struct link_voter *voters; /* the others */
    int n;
    bool stopping; /* the control loop's */
    /* net[0] */
    bool ending;
    int n_clients; /* that haven't closed yet */
    struct msg begin, stop;
    struct msg *stopped;
};

struct link_voter *link_voter_of(struct raft_link *l, int32_t node);
/* On net[0]: the voter has said hello here, or a connection by which it had has ended. */
void link_heard(struct link_voter *v);
void link_left(struct link_voter *v);
