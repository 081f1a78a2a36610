/* Several quorums in one simulator, voters and nodes that follow. What would go over the network is carried by hand: each says
 * its directory to each other first (hello), messages when they come, a follower's question when there is something to tell. A node that is told to be something else is
 * stopped and started again, as a broker does it. */
#pragma once
#include "metadata/batches.h"
#include "proto/wire.h"
#include "quorum/quorum.h"
#include "tests/check.h"
#include "tests/sim/sim.h"

#define VOTERS_DIR   "meta"
#define VOTERS_EMPTY "new" /* a directory in which there is nothing yet */
enum { VWORLD_NODES = 5, VWORLD_FLIGHT = 16 };

struct vworld;
struct ventry {
    struct quorum_entry entry;
    struct vnode *node;
    struct bytes bytes;
    bool busy;
};

struct vnode {
    struct vworld *world;
    int id; /* of the simulator's node, and node.id */
    int life;
    struct quorum_settings settings;
    /* one start */
    struct io *io; /* NULL: it is down */
    struct quorum *quorum;
    struct grave grave;
    struct image *committed;
    struct loop *control;
    int64_t told_ns; /* the callback in which the last batch was told that came from another, */
    size_t told;     /* … bytes in it, */
    size_t told_max; /* … and in the longest */
    struct ventry flight[VWORLD_FLIGHT];
    int in_flight, held;
    bool leads;
    int32_t leader, epoch;
    int64_t next;
    enum err failed;
    int voters_told;
    bool changed_role, member, restart; /* ops.role */
    bool asked;                         /* ops.fetch */
    int64_t offset;
    int32_t last_epoch, told_leader, told_epoch;
    bool wanted; /* ops.ask */
    int piece_of;
    struct quorum_checkpoint piece;
    int64_t piece_at;
    struct msg stopped;
    bool is_stopped;
};

/* A batch of another was told. Time passes between callbacks, not in one. */
static inline void vnode_told(struct vnode *n, size_t len)
{
    int64_t now = loop_now(n->control);

    n->told = now == n->told_ns ? n->told + len : len;
    n->told_ns = now;
    if (n->told > n->told_max)
        n->told_max = n->told;
}

struct vworld {
    struct sim *sim;
    struct vnode nodes[VWORLD_NODES + 1];               /* from 1 on */
    struct list queue;                                  /* messages on their way */
    bool cut[VWORLD_NODES + 1];                         /* nothing comes or goes */
    int lives, met[VWORLD_NODES + 1][VWORLD_NODES + 1]; /* whose life said hello to which node's */
    bool (*loses)(struct vworld *w, int from, int to,
                  struct slice bytes); /* … nor that message; NULL: every one does */
    bool mute;                         /* nobody says hello */
    int attempted, promised;           /* topics */
    int fat;                           /* bytes that an entry has beside its topic */
    bool refuses_restart;              /* a node that is told to be something else isn't started again */
};

static inline bool vnode_up(const struct vnode *n)
{
    return n->io && sim_up(n->world->sim, n->id);
}

/* Nodes 1 … voters begin a log together; the others follow, when they are started. */
void vworld_init(struct vworld *w, int voters, uint64_t seed);
/* Nodes 1 … voters are fixed, and don't know each other's directories; nothing runs yet. */
void vworld_init_fixed(struct vworld *w, int voters, uint64_t seed);
/* A node that is down has another directory from now on, with nothing in it. Once for each node; vworld_old_disk: back. */
void vworld_new_disk(struct vworld *w, int i);
void vworld_old_disk(struct vworld *w, int i);
void vworld_start(struct vworld *w, int i);
void vworld_stop(struct vworld *w, int i);
void vworld_crash(struct vworld *w, int i, enum sim_crash how);
void vworld_restart_all(struct vworld *w);
void vworld_carry(struct vworld *w, int64_t ns); /* so long */
/* A message of another making, on a connection of node `from`. */
void vworld_say(struct vworld *w, int from, int to, struct slice bytes);
/* What a message to or from node i says. Of its strings only the lengths are left. */
void vworld_read(struct vworld *w, int i, const struct proto_type *type, struct slice bytes, void *out);
/* Carries until it holds; false: not within 30 s. */
bool vworld_until(struct vworld *w, bool (*holds)(struct vworld *w, void *arg), void *arg);
struct vnode *vworld_leader(struct vworld *w);   /* waits for one that a majority follows */
void vworld_write(struct vworld *w, int topics); /* committed */
void vworld_submit(struct vworld *w, struct vnode *n, int topics);
/* By the leader; asked again where that is what its answer says, up to `tries` times. */
enum err vworld_change(struct vworld *w, enum quorum_change_kind kind, int node, int tries, char *why);
/* All that run have all that was promised and agree who votes. */
void vworld_agree(struct vworld *w);
int vworld_voters(
    struct vworld *w); /* who votes, as the leader knows: a bit each, 1 << node; asserts that all vote */
void vworld_drop(struct vworld *w);
