/* An image as a checkpoint file and back. The file is a row of Kafka record batches, as Kafka's .checkpoint:
 *
 *     control batch    SnapshotHeader
 *     data batches     the image as records: cluster, features, brokers, topics with their partitions,
 *                      configs, producer ids; at most SNAPSHOT_BATCH_MAX records each; zstd
 *     control batch    SnapshotFooter
 *
 * Offsets inside count from 0. Its name says where it stands: <offset>-<epoch>.checkpoint, where offset is
 * the first one that isn't in it.
 * Loop:   any one thread; the image is only read and must be held until the end.
 * Memory: a codec's context, one batch, and `out`. */
#pragma once
#include "base/codec.h"
#include "metadata/image.h"

enum {
    SNAPSHOT_BATCH_MAX = 1000,
    SNAPSHOT_BATCH_BYTES = 1 << 20, /* of records, before they are compressed; the last one may exceed it */
    SNAPSHOT_READ_BYTES = 1 << 28   /* what a batch's records may take in memory */
};

struct snapshot_writer {
    struct image_records records;
    const struct image *image;
    struct arena arena; /* of one step */
    struct bytes values;
    struct codec_cache *codecs;
    enum { SNAPSHOT_HEAD, SNAPSHOT_DATA, SNAPSHOT_FOOT, SNAPSHOT_DONE } stage;
    int64_t offset; /* of the next record in the file */
};
void snapshot_start(struct snapshot_writer *w, struct heap *h, const struct image *i);
/* Appends one batch of at most `max` records (1 .. SNAPSHOT_BATCH_MAX). false: that was the last. */
bool snapshot_step(struct snapshot_writer *w, int max, struct bytes *out);
void snapshot_end(struct snapshot_writer *w); /* at any time */

/* Reads a checkpoint batch by batch: whole batches from the start of the file on, in any cutting. */
struct snapshot_reader {
    struct grave *grave;
    struct image *draft;
    struct arena arena;
    struct codec_cache *codecs;
    bool header;
    bool footer;
};
void snapshot_read_start(struct snapshot_reader *r, struct grave *g);
/* Takes the first batch of `in`. E_TRUNCATED: no whole batch is there; E_CORRUPT_MESSAGE, E_MALFORMED,
 * E_UNSUPPORTED_VERSION. */
enum err snapshot_read_step(struct snapshot_reader *r, struct slice in, size_t *used);
/* The image, sealed, as of offset - 1; E_TRUNCATED: the footer is missing. Frees what the reader holds. */
enum err snapshot_read_end(struct snapshot_reader *r, int64_t offset, int32_t epoch, struct image **out);
