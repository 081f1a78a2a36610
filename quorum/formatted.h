/* Who begins the quorum, as this node's directory was formatted, where the voters come and go (kraft.version 1): Kafka's
 * file under Kafka's name, beside the log that isn't there yet.
 *
 *     __cluster_metadata-0/00000000000000000000-0000000000.checkpoint
 *         control batch   SnapshotHeader
 *         control batch   KRaftVersion 1, KRaftVoters: node ids (not raft's server ids, as in our log), each with its
 *                         directory and where it listens
 *         control batch   SnapshotFooter
 *
 * It is no snapshot: a checkpoint at offset 0 holds nothing, so ckpt_list_read() passes over it, and it is neither loaded
 * nor removed. Once the log has begun, the log says who votes; then the file only says where the first voters listened.
 * Loop: a DISK loop. Memory: values. */
#pragma once
#include "base/io.h"
#include "quorum/voters.h"

enum { FORMATTED_HOST_MAX = 255 };

struct formatted_voter {
    int32_t node;
    struct uuid directory_id;
    char host[FORMATTED_HOST_MAX + 1];
    uint16_t port;
};
struct formatted {
    struct formatted_voter v[VOTERS_MAX];
    int n; /* 0: nothing was written: this node follows until a configuration names it, or its settings name the voters */
    bool unread; /* the disk failed: nobody knows */
};

/* This directory of this node is among them. */
bool formatted_names(const struct formatted *f, int32_t node, const struct uuid *directory_id);
/* dir: metadata.log.dir, which exists; listener: the name of theirs. Durable when it returns. */
enum err formatted_write(struct io *io, const char *dir, const char *listener, const struct formatted *f);
/* out->n is 0 if there is no such file. E_IO: unread. E_MALFORMED, E_CORRUPT_MESSAGE, E_TRUNCATED, E_UNSUPPORTED_VERSION: it is damaged, or
 * it wasn't written by a formatter. */
enum err formatted_read(struct io *io, const char *dir, struct formatted *out);
