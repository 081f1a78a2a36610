/* A cluster's metadata from outside: what nodes say in rows of the trace (their images, who leads), and the bytes of
 * __cluster_metadata on all disks.
 *
 * Always: an epoch has one leader, of one life;
 *         what a node shows as its image lies on a majority of the voters' disks, in the same bytes, and does so for ever;
 *         offsets have no gap, and epochs never fall;
 *         images of one offset are equal on all nodes, in all lives;
 *         a node's image never goes back, not even by a restart, and its own disk has all of it after any crash, but for what
 *         came while that disk had failed.
 * Memory: its own heap. */
#pragma once
#include "cluster_truth.h"

struct cbook;

/* copies: snapshots that nodes outside the quorum have taken over, of all the installs. */
struct cbook_seen {
    int64_t elections, images, snapshots, installs, copies, truncations, dead, follows, rests;
};

/* Nodes 1 .. n, of which the first vote; the others keep copies. */
struct cbook *cbook_new(struct sim *s, int voters, int n);
void cbook_drop(struct cbook *b);
void cbook_life(struct cbook *b, int node);               /* it begins one */
void cbook_new_disk(struct cbook *b, int node);           /* it is down, and all that it had is gone */
void cbook_line(void *book, int node, struct slice line); /* a sim_ear */
/* It is down. Says whether the end of its log is torn. */
bool cbook_judge_disk(struct cbook *b, int node);
void cbook_judge_kept(struct cbook *b); /* all that has committed is on a majority of the voters' disks */
/* All nodes show the newest image. */
bool cbook_agree(const struct cbook *b);
/* This node's disk has failed below the metadata log, and in this life it hasn't said yet that it takes part again: if it
 * votes, its vote is missing in every majority. */
bool cbook_rests(const struct cbook *b, int node);
int cbook_leader(const struct cbook *b);              /* who led last; 0: nobody ever */
int64_t cbook_image(const struct cbook *b, int node); /* -1: none in this life */
int64_t cbook_end(const struct cbook *b);             /* behind what is known to have committed */
const struct truth *cbook_truth(const struct cbook *b);
const struct cbook_seen *cbook_seen(const struct cbook *b);
