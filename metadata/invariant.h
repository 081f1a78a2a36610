/* What every image is that our controller decided, in sentences with numbers. Tests ask after each step; change.c asserts
 * the sentences about one partition of each that it makes. (image_check.h asks less of images that Kafka may have
 * written.)
 *
 * Of a partition:
 *  1. It has a replica, no broker holds two, and each replica has a directory.
 *  2. The ISR lies within the replicas and names nobody twice.
 *  3. The ELR lies within the replicas, names nobody twice and nobody of the ISR.
 *  4. The leader is in the ISR, or there is none.
 *  5. Adding and removing replicas are replicas.
 *  6. A partition that recovers from an unclean election has a leader alone in its ISR, or none.
 *  7. Epochs aren't negative.
 * Of the cluster:
 *  8. A topic has partitions 0 … n-1, at least one; n_partitions is their sum.
 *  9. Topics and names match one to one; so do names that may collide and `collisions`.
 * 10. The leader of a partition with more than one replica is unfenced; whoever is in the ISR is registered and unfenced
 *     or the only one in it.
 * 11. No broker has a directory twice, none has another's.
 * 12. Settings of a topic belong to one that exists.
 * 13. With ELR on, the brokers' default of min.insync.replicas is set and no single broker has it.
 * 14. Finalized features are within what this build supports.
 * 16. Answers that are kept are found by their id and by the time when they are dropped, those that aren't gone among the
 *     answers too; their bytes are counted.
 * Of two images, the later after the earlier:
 * 15. Leader epochs and partition epochs of a partition that stays only rise; partitions of a topic that stays only
 *     grow in number; a broker's epoch only rises; producer ids only rise. */
#pragma once
#include "metadata/image.h"

/* NULL, or the sentence that doesn't hold (for 15: `before` may be NULL). */
const char *image_invariant(const struct image *before, const struct image *after, struct heap *h);
/* Sentences 1 to 7. */
bool partition_sound(const struct record_partition *p);
const char *partition_fault(const struct record_partition *p);
