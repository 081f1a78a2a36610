/* What an observer knows, and what it makes of a voter's answer: no file, no clock.
 *
 * Always: `end` and `last_epoch` never fall. What lies before `end` has committed, so it is never cut: an answer that
 *         contradicts it is a diverging one, if who says it knows of no older epoch than this node: one that was cut off, or led
 *         before, may lack what has committed since. */
#pragma once
#include "quorum/quorum.h"

struct observer {
    int64_t end;        /* the first offset that isn't on this node's disk */
    int32_t last_epoch; /* of the batch before it; -1: none */
    int32_t leader;     /* as voters told; -1: nobody */
    int32_t epoch;      /* the newest one told */
    int32_t led;        /* the newest one of which a leader was told; -1: none */
    int32_t by;         /* the voter that told of `epoch`, where that is newer; -1: it isn't */
    int64_t goal;       /* what had committed when this leader was first told of */
};

enum observed {
    OBSERVED_STALE,    /* says nothing: ask again */
    OBSERVED_NEWS,     /* of a leader, or that there is nothing yet */
    OBSERVED_BATCHES,  /* from `end` on, or so it claims */
    OBSERVED_SNAPSHOT, /* to begin with */
    OBSERVED_DIVERGED
};

void observer_init(struct observer *o, int64_t end, int32_t last_epoch);
enum observed observer_judge(const struct observer *o, const struct quorum_fetched *f);
/* Takes over what it says of the leader, unless somebody told of a newer epoch before. `votes`: it comes from a voter, by the
 * newest configuration that is known. */
void observer_heard(struct observer *o, const struct quorum_fetched *f, bool votes);
/* `by` votes no more: one that was removed while it was cut off stands again and again, and its epochs, which nobody else hears
 * of, would be believed for ever. */
void observer_doubt(struct observer *o);
void observer_reached(struct observer *o, int64_t end, int32_t last_epoch);
/* All that the leader had committed when it was first heard of is here, and its barrier with it. */
bool observer_caught_up(const struct observer *o);
