/* Rows of metadata records as Kafka record batches, and back. One record a record; the log's aren't compressed, those of
 * checkpoints are.
 * Loop: any. Memory: encoding appends to `out`; decoding puts what it finds into the arena. */
#pragma once
#include "base/codec.h"
#include "metadata/record.h"

/* Kafka's control record types that the metadata log has. */
enum control_type {
    CONTROL_LEADER_CHANGE = 2,
    CONTROL_SNAPSHOT_HEADER,
    CONTROL_SNAPSHOT_FOOTER,
    CONTROL_KRAFT_VERSION,
    CONTROL_KRAFT_VOTERS,
    CONTROL_RAFT_PLACE = 0x7000 /* ours: which entry of raft a checkpoint ends with */
};

struct batch_place {
    int64_t base_offset;
    int32_t epoch;
    int64_t now_ms;
};

/* values: encoded records, one behind the other; ends[i] is where the i-th ends. */
void batches_data(const struct batch_place *at, struct slice values, const size_t *ends, int n,
                  struct arena *a, struct bytes *out);
/* The same, compressed: zstd. */
void batches_data_packed(const struct batch_place *at, struct slice values, const size_t *ends, int n,
                         struct codec_cache *codecs, struct arena *a, struct bytes *out);
struct control_record {
    enum control_type type;
    struct slice value; /* the message, whose first field is its version */
};
void batches_control(const struct batch_place *at, const struct control_record *v, int n, struct arena *a,
                     struct bytes *out);

/* One whole batch, its CRC checked. */
struct batch_content {
    int64_t base_offset;
    int64_t last_offset;
    int32_t epoch;
    int64_t append_ms;
    bool is_control;
    const struct meta_record *records; /* of data */
    const struct control_record *control;
    int n;
};
/* E_TRUNCATED: `in` doesn't hold a whole batch. E_CORRUPT_MESSAGE, E_MALFORMED, E_UNSUPPORTED_VERSION. */
enum err batches_read(struct slice in, struct arena *a, struct batch_content *out, size_t *used);
/* The same, which may be compressed. Whoever compressed it isn't trusted to be modest: at most BATCHES_PACKED_MAX records, and
 * what they take is bounded by the arena (E_NOMEM). */
enum { BATCHES_PACKED_MAX = 10000 };
enum err batches_read_packed(struct slice in, struct codec_cache *codecs, struct arena *a,
                             struct batch_content *out, size_t *used);
