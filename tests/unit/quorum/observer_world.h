/* A quorum of one on node 1 (quorum_world.h), and a node outside that follows it. What would go over the network is carried
 * by hand: a question waits until there is something to tell. */
#pragma once
#include "tests/unit/quorum/quorum_world.h"

#define OBSERVER_DIR "copy"
#define OBSERVER_LOG OBSERVER_DIR "/__cluster_metadata-0"
enum { OBSERVER_NODE = 2, OBSERVER_NODE_ID = 9 };

struct observer_world {
    struct quorum_world voter;
    struct io *io;
    struct loop *control;
    struct quorum_settings settings;
    /* one start */
    struct quorum *quorum;
    struct grave grave;
    struct image *committed;
    int loaded, led, installed, failures, held, given_back;
    int32_t leader, epoch;
    enum err failed;
    bool asked; /* ops.fetch */
    int64_t offset;
    int32_t last_epoch;
    bool wanted; /* ops.ask */
    struct quorum_checkpoint piece;
    int64_t piece_at;
    int32_t told_leader, told_epoch; /* what answers said */
    struct msg stopped;
    bool stopping, is_stopped;
    /* what outlives crashes */
    int topics_told; /* most that the broker here was told of */
    int told_before;
    int64_t asked_max; /* highest offset asked for: it is on disk */
    size_t fetch_bytes, piece_bytes;
    bool twice; /* each answer comes twice, one right behind the other */
    /* a hand that changes an answer; NULL: as it is */
    void (*meddle)(struct observer_world *w, struct quorum_fetched *f);
};

void oworld_init(struct observer_world *w, uint64_t seed);                             /* the voter leads */
void oworld_init_with(struct observer_world *w, uint64_t seed, int64_t segment_bytes); /* of the voter */
bool oworld_start(struct observer_world *w); /* false: the node crashed */
/* Carries until the observer has all that the voter has committed and told it; false: it crashed or failed. */
bool oworld_follow(struct observer_world *w);
bool oworld_rest(struct observer_world *w); /* until no snapshot is under way; false: crashed */
bool oworld_stop(struct observer_world *w);
void oworld_begin(struct observer_world *w); /* a new process: after a crash, or a stop, which it does */
/* All that is to be told in one answer is on its way, and some of it, but not all, was told to the broker here. */
void oworld_answer_some(struct observer_world *w);
void oworld_restart(struct observer_world *w);
int oworld_topics(const struct observer_world *w);       /* those told, all of 0 … n - 1 */
void oworld_write(struct observer_world *w, int topics); /* by the voter, committed */
void oworld_drop(struct observer_world *w);
