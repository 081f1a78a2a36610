/* Who votes: what the committed log says of it, what was asked for, and what voters say to each other, judged without
 * anything that a voter thinks.
 *
 * Always: of two configurations that commit one after the other, the voters differ in one at most, so that their majorities
 *         meet; each difference was asked for of the leader of that epoch, but for one that doesn't vote yet and goes;
 *         a server is named before it votes, and when it does, its disk has all from before it was named;
 *         kraft.version never falls, and while it is 0 nobody comes or goes but a lost disk and the one in its
 *         place, one node at a time, for which nobody asks;
 *         a change that was acknowledged is in the newest configuration;
 *         an epoch begins with a barrier of a leader that votes in the newest configuration before it, and has its votes;
 *         who is told that it was removed has been;
 *         a directory that nobody began with or asked for says nothing to voters, nor one that has become an observer again.
 * Memory: the book's heap. */
#pragma once
#include "metadata/batches.h"
#include "quorum_disk.h"

enum qchange { QCHANGE_ADD, QCHANGE_REMOVE, QCHANGE_UPGRADE };

struct qvoters;
struct qvoters *qvoters_new(struct sim *s, struct heap *h);
/* A node's disk, from its machine's begin or in the place of the one before; founds: it is among the first voters. */
void qvoters_disk(struct qvoters *v, int node, const struct uuid *directory, bool founds);
void qvoters_asked(struct qvoters *v, enum qchange what, int node, const struct uuid *directory,
                   int32_t epoch);
void qvoters_acknowledged(struct qvoters *v, enum qchange what, int node, const struct uuid *directory);
/* A control batch has committed; first: it is the first batch of its epoch. */
void qvoters_batch(struct qvoters *v, const struct batch_content *c, struct arena *a, bool first);
void qvoters_said(struct qvoters *v, int node);
void qvoters_voted(struct qvoters *v, int32_t server, int32_t candidate, int64_t epoch);
void qvoters_removed(struct qvoters *v, int node);  /* it was told so */
void qvoters_observes(struct qvoters *v, int node); /* … has stopped, and follows from its next start on */
/* Of the newest configuration: is this node's disk a voter, how many are there, do all that it names vote, and has
 * no fixed voter another disk than it names? */
bool qvoters_votes(const struct qvoters *v, int node);
bool qvoters_knows(const struct qvoters *v, int node); /* … by its directory, which is noted */
int qvoters_voting(const struct qvoters *v);
bool qvoters_all_vote(const struct qvoters *v);
int qvoters_version(const struct qvoters *v);
