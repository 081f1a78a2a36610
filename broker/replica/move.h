/* Partitions change loops while they are used, because num.io.threads is dynamic.
 *
 *   control  the next table (node.h) ──► every DISK loop ──► every NET loop
 *   NET      sends by the next table from now on, and a fence to every DISK loop: nothing by the old one follows
 *   DISK     all fences came, so all that was sent by the old table has been served ─► flushes, answers, hands over each
 *            partition that another loop owns by the next table, a message each ─► `handed` to every other loop
 *   DISK     what was sent by the next table waits for `handed` of the loops from which its partitions come
 *   DISK     has handed over and got everything ─► control, which ends the move when all have said so
 *
 * Loop:   move_begin() and `ended` on the control loop; move_holds() on a DISK loop, for each lane that arrives.
 * Memory: a struct for each pair of loops while partitions move, a message for each partition. No file is opened, closed,
 *         written or read because of a move, but for the flush of what waits for one.
 * Order:  two requests of one connection take effect on a partition in the order in which they arrived, whichever of them
 *         was sent by which table.
 * Always: 1. a partition belongs to one loop, or is on its way in one message
 *         2. before the fences of all NET loops a DISK loop serves what was sent by the old table and hands over nothing
 *         3. lanes that wait do so in one queue: none passes another
 *         4. all of a partition moves: its log with producers, open files and what isn't on disk yet, high watermark, settings,
 *            how far it is clean. Who waits for its records is told to look again and does so at the new owner
 *         5. a directory that was lost is lost to all loops before a partition of it is served by another
 *         6. one move at a time, and no checkpoint round meanwhile; a loop behind the active ones owns nothing afterwards */
#pragma once
#include "broker/node.h"
#include "broker/replica/scatter.h"

enum { MOVE_STEP = 256 /* partitions that a loop hands over between other messages */ };

/* Both tables are lent until `ended` was posted; the old one is nobody's then. node->disks is `now` already. */
struct move *move_begin(struct node *node, struct loop *control, const struct disk_table *was,
                        const struct disk_table *now, struct msg *ended);
void move_free(struct move *m); /* after `ended` */
/* true: the lane waits, and is visited when its partitions are here. */
bool move_holds(struct partitions *ps, struct lane *lane);
