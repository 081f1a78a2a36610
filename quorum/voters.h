/* Who votes, and who leads: the control batches of the metadata log, in Kafka's formats.
 *
 *     configuration   KRaftVersion (1) and KRaftVoters in one batch: the very first of every log, at epoch 1,
 *                     and the second of every checkpoint, because the log below it may be gone
 *                     there with a third record of ours, RaftPlace (type 0x7000): which entry of raft it ends with
 *     barrier         LeaderChange: the first batch of every epoch but that one
 *
 * Voter ids are raft's server ids: node.id + 1 for the voters that a cluster begins with (raft has no server
 * 0); a server stands for one directory, whose id is beside it.
 * Loop: any. Memory: values. */
#pragma once
#include "metadata/batches.h"

enum { VOTERS_MAX = 7 };

struct voter {
    int32_t server_id;
    struct uuid directory_id;
};

struct voters {
    int n;
    struct voter v[VOTERS_MAX];
    /* Of a checkpoint: raft's index of the last entry that it holds, and of this configuration. 0: it doesn't say,
     * as those that a voter without raft wrote. */
    int64_t index;
    int64_t configuration_index;
};

/* Each adds one batch at `at`. The configuration takes two offsets, and a third one if it says an index; the
 * barrier one. */
enum { VOTERS_RECORDS = 2 };
int voters_records(const struct voters *voters);
void voters_batch(const struct batch_place *at, const struct voters *voters, struct arena *a,
                  struct bytes *out);
void barrier_batch(const struct batch_place *at, int32_t leader, const struct voters *voters, struct arena *a,
                   struct bytes *out);

/* true: this batch is a configuration, or wants to be one. */
bool voters_in(const struct batch_content *c);
/* true: it is a leader's barrier. */
bool barrier_in(const struct batch_content *c);
/* E_MALFORMED; E_UNSUPPORTED_VERSION: of a newer version, or more voters than there can be. */
enum err voters_read(const struct batch_content *c, struct arena *a, struct voters *out);
