/* Term and vote: `quorum-state` beside the metadata log, the file that keeps a node from voting twice.
 *
 *     {"leaderId":2,"leaderEpoch":5,"votedId":2,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAQ",
 *      "data_version":1,"crc32c":"0a1b2c3d"}
 *
 * in one line: Kafka's fields of version 1, in Kafka's order, and one of ours that Kafka's reader ignores,
 * the CRC-32C of every byte before the comma in front of it. Ids are raft's server ids, -1 says nobody (voters.h).
 * A server that was removed says so in a second one of ours, before that: "removedIndex", raft's index of the
 * configuration that it isn't in. From then on its log holds what has committed and nothing else. One that began the log
 * with the other voters of its setting, before anybody had noted its directory, says "founder":true there: the disk on
 * which that stands was never emptied since.
 *
 * Loop:   a DISK loop.
 * Always: the file is replaced whole and is on disk before quorum_state_write() returns; what doesn't read
 *         back exactly is damaged, and a damaged one stops the quorum: guessing could vote twice. */
#pragma once
#include "base/io.h"
#include "proto/uuid.h"

struct quorum_state {
    int32_t leader_id;
    int32_t leader_epoch;
    int32_t voted_id;
    struct uuid voted_directory_id;
    int64_t removed_index; /* 0: not removed */
    bool founder;
};

void quorum_state_encode(const struct quorum_state *s, struct bytes *out);
/* E_CORRUPT_MESSAGE: not what encode writes. */
enum err quorum_state_decode(struct slice text, struct quorum_state *out);

/* E_NOENT: there is none. */
enum err quorum_state_read(struct io *io, const char *dir, struct quorum_state *out);
enum err quorum_state_write(struct io *io, const char *dir, const struct quorum_state *s);
