/* Who asks for changes of the voters, of which leader, and what becomes of it. What must be done is asked for until it is.
 *
 * Thread: qmoves_tick() from the control loop, the others from outside of loops. */
#pragma once
#include "quorum_node.h"

/* The leader is asked for a change now and then: call it at each of its ticks. */
void qmoves_tick(struct qnode *n);
/* To be asked for, in order, until it has come about. */
void qmoves_wish(struct qcluster *c, enum qchange what, int node, const struct uuid *directory);
/* It gives its leadership away at once, if it leads, and nobody asks the next one to. */
void qmoves_yield(struct qnode *n);
bool qmoves_over(const struct qcluster *c); /* nothing is left to ask for */
