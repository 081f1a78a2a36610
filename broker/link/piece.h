/* A piece of a checkpoint by FetchSnapshot, as one asks for it: for voters that fell behind and for those who follow. */
#pragma once
#include "broker/node.h"
#include "quorum/quorum.h"

struct FetchSnapshotRequest;
struct FetchSnapshotResponse;

enum { PIECE_BYTES = 1 << 20 /* in one answer */ };

const struct FetchSnapshotRequest *piece_request(struct arena *a, const struct node *node,
                                                 const struct uuid *directory_id, struct quorum_checkpoint id,
                                                 int64_t at);
/* The one partition that was asked for; an error is what the node says, or that it says something else. */
enum err piece_read(const struct FetchSnapshotResponse *out, struct quorum_checkpoint id, int64_t at,
                    int64_t *size, struct slice *piece);
