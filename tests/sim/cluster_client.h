/* Clients of a cluster who administrate: each asks one question at a time, of any broker, and keeps books of what it was
 * told.
 *
 * Always: what was answered as done is in the committed log, and stays: a topic that was made is there for whoever has the
 *         controller asked (making it again is refused), one that was deleted isn't;
 *         who was told so by a broker finds it in the Metadata of that broker from then on, on any connection;
 *         Metadata is the state of one offset of the committed log, and on one connection never an older one;
 *         nobody hears NOT_CONTROLLER from a broker; some ask controllers, of whom one does what it is asked.
 * Loop:   one NET loop of the clients' machine, which never fails. A lie ends the process. */
#pragma once
#include "cluster_book.h"

struct cclients;

struct cclients_tally {
    uint64_t dials, asked, unanswered, late, refused;
    uint64_t made, deleted, grown, settings, shown;
    uint64_t elections, moves, levels, removals, isrs, stale_beats, not_controller;
    uint64_t metadata, stale, made_checks, gone_checks, clusters, described;
};

/* Nodes 1 .. voters are controllers; brokers: the nodes that are, as bits. */
struct cclients *cclients_new(struct sim *s, int node, int voters, uint32_t brokers, struct cbook *book);
void cclients_start(struct cclients *c);
/* This broker is never unregistered by them, nor is ELR taken away by force: what only it has would have no leader any more. */
void cclients_spare(struct cclients *c, int broker);
/* From now on the goal is: each client has made a topic on as many brokers as there are by asking each of them, and each has
 * shown it the newest state. */
void cclients_goal(struct cclients *c);
bool cclients_reached(const struct cclients *c);
void cclients_rest(struct cclients *c);      /* no goal any more: anything goes */
void cclients_say(const struct cclients *c); /* who hasn't, on standard error */
const struct cclients_tally *cclients_tally(const struct cclients *c);
void cclients_drop(struct cclients *c); /* ends the machine */
