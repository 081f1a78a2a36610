/* How a node outside the quorum asks its voters: quorum_ops.fetch and .ask over the controllers' listeners.
 *
 *     control loop                       net[0]
 *     follow_fetch ── question ──► Fetch of the leader if it is known and answers, else of each voter in turn ──► a voter
 *     ops.fetched ◄── question ─── its answer; without one the next voter is asked, with a rest once none is left
 *
 * Loop:   the control loop calls and is called. Connections live on net[0]; names are looked up on a DISK loop of its own.
 * Memory: one question, one piece of a checkpoint at a time; what an answer holds is lent for the call.
 * Order:  each follow_fetch() is answered once, if it takes for ever; after follow_stop() never.
 * Where:  controller.quorum.voters, else controller.quorum.bootstrap.servers, and what voters tell of their leader; when
 *         none of those answers, where controllers have registered, and those that the link to them knows. */
#pragma once
#include "broker/node.h"
#include "quorum/quorum.h"

enum { FOLLOW_WAIT_MS = 500, FOLLOW_CALL_MS = 1000, FOLLOW_PIECE_MS = 30000 };

struct follow;
struct raft_link;

struct follow_ops {
    void (*fetched)(void *arg, const struct quorum_fetched *f); /* quorum_fetched() */
    void (*piece)(void *arg, struct quorum_checkpoint id, int64_t at, int64_t size, struct slice bytes,
                  enum err err); /* quorum_piece(), once for each follow_ask() */
    void *arg;
};

/* Does this node's configuration name anybody else who might be asked? Only then: */
bool follow_may(const struct node *node);
/* net[0] is there. link: of a controller, else NULL; it ends later. */
struct follow *follow_start(struct node *node, struct loop *control, const struct uuid *directory_id,
                            struct raft_link *link, const struct follow_ops *ops);
void follow_fetch(struct follow *f, int64_t offset, int32_t epoch);
/* `from`: quorum_fetched.node of the answer that named the checkpoint. */
void follow_ask(struct follow *f, int32_t from, struct quorum_checkpoint id, int64_t at);
/* Nothing is told from now on; net[0] runs until `stopped` is posted to the control loop, then f is gone. */
void follow_stop(struct follow *f, struct msg *stopped);
