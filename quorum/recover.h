/* One voter that is left of a quorum whose majority is gone for good: what lies on its disk becomes the whole truth. Offline:
 * the caller holds the directory's lock, no quorum runs on it.
 *
 *     look      every batch is read, as at a start; nothing is written but what a start would mend (a torn tail)
 *     rewrite   quorum-state is kept as quorum-state.before-recover; then a new one, of an epoch that the lost ones can't have
 *               reached by themselves; then one batch behind the log: the configuration, this node alone, kraft.version 1
 *
 *  1. The configuration is the last step and one batch: after a crash it is in force or it isn't, and then what there was
 *     still is, but for an epoch that is higher: recovering can be begun again.
 *  2. This directory gets a new server id of raft: what an old voter still sends means the old one, and is dropped. So one that
 *     comes back with its old disk neither votes here nor cuts anything. (A majority of old ones that comes back goes on
 *     without this node, under the old history: nobody can prevent that from here.)
 *  3. All that lies in this log counts as committed from then on, though some of it may not have been; what the others had
 *     committed behind its end is gone, and this node can't know whether there was any.
 *
 * Loop: a DISK loop, or a thread that has none. */
#pragma once
#include "quorum/quorum.h"
#include "quorum/voters.h"

enum {
    RECOVER_EPOCHS = 1000,                                /* as many elections as nobody holds by then */
    RECOVER_EPOCH_MAX = INT32_MAX - 1000 * RECOVER_EPOCHS /* what comes after must have epochs left, too */
};

struct recovery {
    struct voters voters;   /* as the log says before */
    int64_t log_start, end; /* of the log: the next offset */
    int32_t epoch;          /* of the last batch; after the rewrite, of the configuration */
    int64_t
        committed; /* below that, all had committed for certain: the newest checkpoint's offset; 0: there is none */
    bool votes;       /* this directory is among the voters */
    const char *what; /* was being done when it failed */
};

/* settings: dir, node_id, directory_id and the log's own. write false: look only. E_INVALID_REQUEST: this node is the only voter
 * already; E_UNKNOWN_LEADER_EPOCH: its epoch lies beyond RECOVER_EPOCH_MAX, of which `epoch` tells; E_NOENT: there is no log;
 * E_CORRUPT_MESSAGE and others: damaged, a line of the trace says file and position. */
enum err recover(struct io *io, const struct quorum_settings *settings, bool write, struct recovery *out);
