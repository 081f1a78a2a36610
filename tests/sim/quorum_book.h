/* What the voters of one cluster were told and what they sent, kept outside of them all, and judged as it comes.
 *
 * Always: a batch that anybody was told to have committed has the same bytes at its offset everywhere and for ever;
 *         each voter is told of all offsets in order, and after a restart of no fewer than before;
 *         the epochs that a voter is told of never fall, restarts included; an observer's not within a start;
 *         a leader knows all that had committed before it was told to lead;
 *         what a voter was told is on its disk after any crash;
 *         images are what the batches make of an empty one.
 * Memory: its own heap; nothing of a node's is kept. */
#pragma once
#include "metadata/image.h"
#include "quorum_voters.h"
#include "quorum_wire.h"

struct qbook;

struct qbook *qbook_new(struct sim *s);
void qbook_drop(struct qbook *b);
/* A voter begins a life: it has been told of nothing yet. */
void qbook_start(struct qbook *b, int node);
/* A disk, from the begin or in the place of the one before: what that one held is gone. */
void qbook_disk(struct qbook *b, int node, const struct uuid *directory, bool founds);
/* It was removed, and keeps of its log what it knows to have committed: that may be less than it once knew. */
void qbook_forget(struct qbook *b, int node);
/* It was told of a batch (committed, or done without error); of an image (loaded, installed); of a leader. */
void qbook_committed(struct qbook *b, int node, struct slice batch);
void qbook_image(struct qbook *b, int node, const struct image *image, struct heap *h);
void qbook_leader(struct qbook *b, int node, int leader, int32_t epoch, bool self, int64_t next_offset,
                  bool observes);
/* It is down: what it was told, and what it said, is on its disk. Says whether the end of its log is torn. */
bool qbook_judge_disk(struct qbook *b, int node);
struct qwire *qbook_wire(struct qbook *b);
struct qvoters *qbook_voters(struct qbook *b);
/* Behind the newest batch that anybody was told of: for confirmations. */
int64_t qbook_end(const struct qbook *b);
int64_t qbook_known(const struct qbook *b, int node); /* -1: nothing yet */
/* At the end: a voter that knows everything has this image. */
void qbook_judge_end(struct qbook *b, int node, const struct image *image, struct heap *h);
int64_t qbook_rows(const struct qbook *b);
int64_t qbook_elections(const struct qbook *b);
