/* How a node outside the quorum asks voters for what has committed, and how they answer: a broker's Fetch, made small. Who has
 * nothing new says so, and is asked again a little later; who doesn't vote is left for another one.
 * Thread: the control loop's callbacks. */
#pragma once
#include "quorum_node.h"

void qfollow_ask(void *arg, int64_t offset, int32_t epoch); /* quorum_ops.fetch */
void qfollow_asked(struct qnode *n, int from, struct slice body);
void qfollow_answered(struct qnode *n, int from, struct slice body);
void qfollow_stop(struct qnode *n);
