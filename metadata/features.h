/* The features of the cluster: what this build can do, and what one level needs of another.
 * metadata.version is Kafka's: 7 is 3.3-IV3, 30 is 4.3-IV0; it gates nothing here. weir.version is ours: a record or
 * field is written only at the level that brought it:
 *
 *     1   the first records
 *     2   REGISTER_CONTROLLER, CLEAR_ELR; the ELR fields of partitions are used
 *     3   BEGIN_TRANSACTION, END_TRANSACTION, ABORT_TRANSACTION: what a batch can't hold counts as a whole
 *     4   REQUEST_DONE, REQUESTS_FORGET: what comes again is answered as before (requests.h)
 *
 * kraft.version is the quorum's: whether its voters come and go. What holds is in the quorum's own records (quorum/voters.h), and
 * ctl_rules tells decisions what that is. A FEATURE record of it says that it was decided: together with the other levels of its
 * request, or none. Whoever leads then has the quorum raise it, so it holds a moment later, whatever becomes of the one who
 * decided. A quorum that began with it has no such record.
 *
 * A new record or field: a level more, a line here, a reason in features_lost() (decide_features.c). */
#pragma once
#include "base/mem.h"

#define FEATURE_METADATA "metadata.version"
#define FEATURE_WEIR     "weir.version"
#define FEATURE_KRAFT    "kraft.version"
#define FEATURE_ELR      "eligible.leader.replicas.version"
enum {
    METADATA_VERSION_MIN = 7,
    METADATA_VERSION = 30,
    METADATA_VERSION_ELR = 23, /* 4.0-IV1: what ELR depends on */
    WEIR_VERSION_MIN = 1,
    WEIR_VERSION_CONTROLLERS = 2,
    WEIR_VERSION_TRANSACTIONS = 3,
    WEIR_VERSION_REQUESTS = 4,
    WEIR_VERSION = 4,
    ELR_VERSION = 1,
    KRAFT_VERSION = 1
};

struct feature_row {
    const char *name;
    int16_t min; /* 0: it may be off */
    int16_t max;
};
enum { FEATURE_COUNT = 4 };
extern const struct feature_row FEATURES[FEATURE_COUNT];
const struct feature_row *feature_find(struct slice name); /* NULL: nobody here knows it */
