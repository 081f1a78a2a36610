/* What voters say to each other, judged as it is sent, and against their disks when they crash.
 *
 * Always: an epoch has one leader, of one life;
 *         a voter gives the vote of an epoch to one candidate, restarts included;
 *         nobody begins to stand for election who hasn't asked in advance, unless a leader's death or its wish made it;
 *         no answer names an epoch below one that its sender has named, restarts included;
 *         what a voter named, its epoch and its vote, is on its disk after any crash. */
#pragma once
#include "quorum_voters.h"

struct qwire;

struct qwire *qwire_new(struct sim *s, struct heap *h, struct qvoters *voters);
void qwire_start(struct qwire *w, int node);
void qwire_disk(struct qwire *w, int node); /* another one: what the one before had said is nobody's now */
void qwire_sent(struct qwire *w, int node, struct slice bytes);
/* `node` says that `leader` leads. */
void qwire_leads(struct qwire *w, int node, int leader, int32_t epoch);
void qwire_judge_disk(struct qwire *w, int node);

/* How often an epoch was led or asked for, and by whom last: for faults that hit there. */
struct qwire_seen {
    int64_t led, stood, granted, refused;
    int leader, candidate;
};
const struct qwire_seen *qwire_seen(const struct qwire *w);
