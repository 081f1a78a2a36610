/* The checkpoint round: every log.flush.offset.checkpoint.interval.ms a message goes from DISK loop to DISK loop, has each
 * sync what was appended there (so that recovery points move) and add its rows, and comes home to write the files.
 * Loop:   the first DISK loop starts and ends a round; each loop serves its own part, in steps of ROUND_STEP logs.
 * Memory: the rows of all partitions while a round runs in which something had moved; nothing in between. */
#pragma once
#include "broker/boot.h"

enum { ROUND_STEP = 64 };

struct rounds;
struct rounds *rounds_new(struct node *node, struct boot *boot);
void rounds_run(struct rounds *r); /* the first DISK loop */
/* No round begins any more; the one under way ends, then `stopped` is posted to `tell`. */
void rounds_stop(struct rounds *r, struct loop *tell, struct msg *stopped);
void rounds_again(struct rounds *r); /* after a stop, on the first DISK loop */
void rounds_drop(struct rounds *r);
