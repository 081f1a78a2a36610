/* What must hold of metadata that others wrote, said in words: image_replay() asserts what decide promises, so records
 * from files that may hold anything are asked here first.
 * Loop: any. Memory: sentences come from the arena. */
#pragma once
#include "metadata/batches.h"
#include "metadata/image.h"

/* NULL: image_replay() takes the record; else the reason why it makes no sense on this image. */
const char *image_refuses(const struct image *i, const struct meta_record *r, struct arena *a);

/* The batch happens to the draft, which has its offset, epoch and time then. NULL, or the reason why a record of it makes
 * no sense; the draft is worth nothing then. */
const char *image_follow(struct image *draft, struct grave *g, const struct batch_content *batch,
                         struct arena *a);

/* What an accepted record breaks of the order in which a controller writes: broker epochs, leader epochs, partition
 * epochs and producer ids only grow, features have a level above 0. NULL: nothing. */
const char *image_backwards(const struct image *i, const struct meta_record *r, struct arena *a);

/* Every sentence that isn't true of the image, one call each, lent for the call:
 *  1. replicas, ISR, ELR, adding and removing name no broker twice; replicas aren't empty
 *  2. ISR, adding and removing lie within the replicas; ISR and ELR share no broker. ELR and last known ELR should
 *     too, but that is only a note: Kafka 4.3.1 leaves a replica there that a reassignment has removed
 *  3. the leader is registered and in the ISR; if it is fenced, nobody else there could lead
 *  4. of a partition without a leader, no broker in the ISR (where that is empty, in the ELR) could lead: registered, unfenced,
 *     not about to shut down, its directory online
 *  5. epochs aren't negative; partitions are 0 .. n-1, and a topic has at least one
 *  6. settings of topics belong to topics that exist
 * A broker is fenced, leaves and comes back in steps, and a log or checkpoint may end between two of them. What is so meanwhile
 * is a note for all partitions together: of 4, that one broker alone could lead, and the ISR names no other; and that a leader
 * is about to shut down while others of the ISR could lead. */
typedef void (*image_fault_fn)(void *arg, const char *sentence, bool note);
void image_faults(const struct image *i, struct heap *h, image_fault_fn each, void *arg);
