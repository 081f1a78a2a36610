/* Who votes, and who leads: the control batches of the metadata log, in Kafka's formats.
 *
 *     configuration   KRaftVersion (0: the voters are those of the setting; 1: they come and go) and KRaftVoters in one
 *                     batch: the very first of every log, at epoch 1, and the second of every checkpoint, because
 *                     the log below it may be gone
 *                     there with a third record of ours, RaftPlace (type 0x7000): which entry of raft it ends with
 *     barrier         LeaderChange: the first batch of every epoch but that one
 *
 * Voter ids are raft's server ids, and a server stands for one directory, whose id is beside it: node.id + 1 for the
 * voters that a cluster begins with (raft has no server 0), one derived from the directory for those that are added. The
 * node of such a one, and that it doesn't vote yet, lie in tagged fields of ours, and so does the node of a fixed quorum that
 * is between two directories (heal.c).
 * Loop: any. Memory: values. */
#pragma once
#include "metadata/batches.h"

enum { VOTERS_MAX = 7 };

enum voter_role { VOTER_VOTES, VOTER_STANDBY, VOTER_SPARE }; /* as numbered in the files */

struct voter {
    int32_t server_id;
    int32_t node;
    struct uuid directory_id; /* zero: not known */
    enum voter_role role;
};

struct voters {
    int n;
    int16_t kraft_version;
    struct voter v[VOTERS_MAX];
    int32_t
        awaited; /* node id + 1 of a fixed voter whose old directory was taken out, its new one not in yet; 0: none */
    /* Of a checkpoint: raft's index of the last entry that it holds, and of this configuration. 0: it doesn't say,
     * as those that a voter without raft wrote. */
    int64_t index;
    int64_t configuration_index;
};

int32_t voter_server_first(int32_t node);                    /* of a voter that a cluster begins with */
int32_t voter_server_added(const struct uuid *directory_id); /* 31 bits, the highest one set */
/* Where it is in v, -1: nowhere. */
int voters_of_server(const struct voters *voters, int32_t server_id);
int voters_of_node(const struct voters *voters, int32_t node);
/* This directory of this node, by its id where that is known. */
int voters_of_directory(const struct voters *voters, int32_t node, const struct uuid *directory_id);
int voters_voting(const struct voters *voters);                    /* how many vote */
bool voters_alone(const struct voters *voters, int32_t server_id); /* this one, and nobody else, does */

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
