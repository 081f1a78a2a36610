/* Metadata records one by one, out of a source of batches; ours and Apache Kafka's alike.
 *
 * Loop:   the main thread. Memory: of one batch; what an item points to lives until the next call.
 * Always: a batch's checksum is checked before anything in it is decoded; no bytes assert. After an error `why` is a
 *         sentence with file and position, and nothing more comes. */
#pragma once
#include "metadata/batches.h"
#include "metadata/kafka_records.h"
#include "tools/meta_source.h"

enum { META_RECORD_MAX = 16 << 20 }; /* a compressed record beyond this isn't read */

struct meta_item {
    struct meta_batch batch;
    int64_t offset;
    int64_t time_ms;
    int32_t epoch;
    bool first, last; /* of its batch */
    bool is_control;
    bool is_kafka;
    struct slice key, value;   /* as stored */
    struct kafka_record kafka; /* where is_kafka */
    struct meta_record record; /* of data that are ours */
};

struct meta_reader {
    struct tool *t;
    struct meta_source *source;
    struct codec_cache *codecs;
    struct meta_batch batch;
    struct record_iter it;
    bool in_batch;
    int32_t seen; /* records of this batch */
    struct arena arena;
    bool torn;       /* the error is the end of a file inside a batch */
    const char *why; /* NULL: well */
};
void meta_reader_open(struct meta_reader *r, struct tool *t, struct meta_source *source); /* takes it over */
bool meta_reader_next(struct meta_reader *r, struct meta_item *out); /* false: the end, or `why` */
void meta_reader_close(struct meta_reader *r);

/* The change of the image that it is, as a record of ours; false: none. */
bool meta_item_record(const struct meta_item *i, struct arena *a, struct meta_record *out);
enum control_type meta_control_type(const struct meta_item *i);
/* "…/0….log, position 1234, offset 56" */
const char *meta_item_where(const struct meta_item *i, struct arena *a);
/* The type as Kafka prints it, "TOPIC_RECORD", "LeaderChange"; its content as one line of JSON. */
const char *meta_item_name(const struct meta_item *i, struct arena *a);
void meta_item_json(const struct meta_item *i, struct arena *a, struct bytes *out);
