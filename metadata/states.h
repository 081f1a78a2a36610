/* The states that the controller of old kept for each partition and replica, told from the image: nothing here is
 * stored, so they can't disagree with it.
 *
 *     partition  Nonexistent  no such partition in the image: never created, or deleted
 *                New          created, and nobody has led it yet: no leader, leader epoch 0
 *                Online       its leader is a registered, unfenced broker
 *                Offline      it had a leader and has none now, or the image's leader is fenced or gone (until the
 *                             controller has decided what follows from that)
 *     replica    Nonexistent  that broker isn't among the partition's replicas
 *                New          being added by a reassignment and not in the ISR yet, or its partition is New
 *                Offline      its broker isn't registered or is fenced, or its log directory has failed
 *                Online       any other: it leads or follows, in the ISR or on its way back
 *
 * What the old controller knew besides (ReplicaDeletionStarted, -Successful, -Ineligible) isn't a state here: a
 * deleted topic leaves the image at once, and each broker removes its files by itself.
 * Loop: any. */
#pragma once
#include "metadata/image.h"

enum partition_state { PARTITION_NONEXISTENT, PARTITION_NEW, PARTITION_ONLINE, PARTITION_OFFLINE };
enum replica_state { REPLICA_NONEXISTENT, REPLICA_NEW, REPLICA_ONLINE, REPLICA_OFFLINE };

/* p may be NULL: no such partition. */
enum partition_state partition_state(const struct image *i, const struct image_partition *p);
enum replica_state replica_state(const struct image *i, const struct image_partition *p, int32_t broker);
const char *partition_state_name(enum partition_state s); /* "Online" */
const char *replica_state_name(enum replica_state s);
