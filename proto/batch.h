/* Kafka's record batch, format 2.
 *
 *     offset size
 *          0    8  base offset             outside the CRC: the log assigns it
 *          8    4  length                  of what follows this field
 *         12    4  partition leader epoch  outside the CRC: the log assigns it
 *         16    1  magic                   2
 *         17    4  CRC32C                  of everything from the attributes on
 *         21    2  attributes              bits: codec 0-2, timestamp type 3, transactional 4, control 5,
 *                                          delete horizon 6
 *         23    4  last offset delta
 *         27    8  base timestamp          or the delete horizon, if that bit is set: deltas count from it
 *         35    8  max timestamp
 *         43    8  producer id
 *         51    2  producer epoch
 *         53    4  base sequence
 *         57    4  count of records
 *         61       the records, compressed as a whole:
 *                  varint length, 1 byte attributes, varlong timestamp delta, varint offset delta,
 *                  varint key length (-1: null), key, varint value length, value, varint count of headers,
 *                  each: varint key length, key, varint value length, value
 *
 * Loop:   any; a codec cache belongs to one thread.
 * Memory: views and records point into the bytes they were read from; a record of a compressed batch lives
 *         until the next one is asked for.
 * Always: whatever the bytes are, nothing outside them is read, and no length from them is an allocation. */
#pragma once
#include "base/codec.h"

enum {
    BATCH_HEAD = 61,   /* bytes before the records */
    BATCH_PREFIX = 12, /* bytes that the length field doesn't count */
    BATCH_MAGIC_AT = 16,
    BATCH_CRC_FROM = 21,
    BATCH_FAULTS_MAX = 16 /* record errors that a reply names */
};
enum {
    BATCH_CODEC = 7,
    BATCH_APPEND_TIME = 8,
    BATCH_TRANSACTIONAL = 16,
    BATCH_CONTROL = 32,
    BATCH_DELETE_HORIZON = 64
};

struct batch_view {
    uint8_t *p; /* the batch's first byte */
    size_t len; /* all of it, prefix included */
    int64_t base_offset;
    int64_t last_offset;
    int64_t base_timestamp;
    int64_t max_timestamp;
    int64_t producer_id; /* -1: none */
    int32_t leader_epoch;
    int32_t base_sequence;
    int32_t last_offset_delta;
    int32_t count;
    uint32_t crc;
    uint16_t attributes;
    int16_t producer_epoch;
};

static inline enum codec batch_codec(const struct batch_view *v)
{
    return (enum codec)(v->attributes & BATCH_CODEC);
}

/* The header alone; the bytes may end after it, and v->len may reach past them.
 * E_TRUNCATED                       fewer than BATCH_HEAD bytes
 * E_CORRUPT_MESSAGE                 a length, count or offset delta that no batch has
 * E_UNSUPPORTED_FOR_MESSAGE_FORMAT  magic 0 or 1 */
enum err batch_head(struct slice bytes, struct batch_view *v);
/* The same, and the whole batch lies in `bytes`, which may go on behind it. E_TRUNCATED: it doesn't. */
enum err batch_view(struct slice bytes, struct batch_view *v);
/* Takes the next batch off the front of `rest`. E_EOF: `rest` was empty. */
enum err batch_next(struct slice *rest, struct batch_view *v);
bool batch_crc_ok(const struct batch_view *v);

/* Changes bytes and view alike. The first two leave the CRC valid, the others renew it. */
void batch_base_offset_set(struct batch_view *v, int64_t base_offset);
void batch_leader_epoch_set(struct batch_view *v, int32_t epoch);
void batch_append_time_set(struct batch_view *v, int64_t now_ms);
void batch_max_timestamp_set(struct batch_view *v, int64_t max_timestamp);

/* ---- records ---- */
struct record {
    int64_t offset;
    int64_t timestamp; /* the batch's for LogAppendTime */
    struct slice key;  /* p == NULL: null */
    struct slice value;
    struct slice headers; /* as encoded, without their count */
    int32_t headers_n;
    int32_t offset_delta;
    size_t size; /* as encoded, length field included */
};
struct record_iter {
    struct batch_view batch;
    struct slice rest;           /* of the current stretch */
    struct codec_stream *stream; /* NULL: not compressed */
    struct bytes joined;         /* a record that lies across two stretches */
    size_t record_max;
    int32_t left;
};
/* record_max: a compressed record larger than this is E_NOMEM, so that a small batch can't ask for gigabytes.
 */
void record_iter_open(struct record_iter *it, struct heap *h, struct codec_cache *cache,
                      const struct batch_view *v, size_t record_max);
enum err record_next(struct record_iter *it,
                     struct record *r); /* E_EOF at the end; E_INVALID_RECORD; E_CORRUPT_MESSAGE */
void record_iter_close(struct record_iter *it);
/* false at the end; *bad if what is there is no header. */
bool record_header_next(struct slice *rest, struct slice *key, struct slice *value, bool *bad);

/* ---- what a broker does to a client's batch before it is appended ---- */
struct batch_rules {
    int16_t produce_version;
    bool compacted;   /* records need keys */
    bool append_time; /* message.timestamp.type=LogAppendTime */
    bool recompress;  /* compression.type isn't `producer` … */
    enum codec codec; /* … but this */
    int32_t max_message_bytes;
    int64_t before_max_ms;
    int64_t after_max_ms;
    int64_t now_ms;
};
struct batch_fault {
    int32_t index; /* of the record in its batch */
    enum { FAULT_KEY, FAULT_TIMESTAMP, FAULT_TIMESTAMP_TYPE, FAULT_OFFSET } what;
    int64_t value; /* the timestamp or offset delta */
};
struct batch_checked {
    struct batch_view batch;
    const char *why; /* a sentence for the reply's error message; NULL where the code says all */
    int64_t max_timestamp;
    int64_t max_timestamp_index; /* of the record that has it */
    bool recompress;             /* the topic wants another codec: recompress.h does it */
    int32_t faults_n;            /* all of them; the first BATCH_FAULTS_MAX are in `faults` */
    struct batch_fault faults[BATCH_FAULTS_MAX];
};
/* Walks every record of the one batch in `bytes`, and leaves it ready for log_append(): a wrong max timestamp
 * is corrected, and LogAppendTime is set, with the CRC.
 * E_OK                            *out describes it
 * E_INVALID_RECORD                no batch, two, an old magic, a control batch, counts that disagree, a
 *                                 record without a key where one is needed, an offset delta out of turn
 *                                 (out->faults)
 * E_CORRUPT_MESSAGE               length, magic or CRC are wrong, or what was compressed with gzip
 * E_UNKNOWN_SERVER_ERROR          a codec that doesn't exist, or another's data that can't be decompressed
 * E_MESSAGE_TOO_LARGE             larger than max_message_bytes
 * E_INVALID_TIMESTAMP             out of the topic's limits (out->faults)
 * E_UNSUPPORTED_COMPRESSION_TYPE  zstd before version 7 */
enum err batch_check(const struct batch_rules *rules, struct codec_cache *cache, struct slice bytes,
                     struct batch_checked *out);
/* The text that a reply's record error has. */
void batch_fault_text(const struct batch_rules *rules, const struct batch_fault *f, struct bytes *out);

/* ---- building ---- */
struct batch_header {
    struct slice key, value;
};
struct batch_record {
    int64_t timestamp;
    struct slice key, value;
    const struct batch_header *headers;
    int32_t headers_n;
    int32_t offset_delta; /* used where batch_spec.sparse is set */
};
struct batch_spec {
    int64_t base_offset;
    int64_t producer_id; /* batch_spec_init(): -1 */
    int32_t leader_epoch;
    int32_t base_sequence;
    int32_t last_offset_delta; /* used where sparse */
    int16_t producer_epoch;
    uint16_t attributes; /* BATCH_APPEND_TIME, _TRANSACTIONAL, _CONTROL; the codec comes from `codec` */
    bool sparse;         /* offsets as given: compaction */
    enum codec codec;
    int level;              /* INT_MIN: the codec's default */
    int64_t max_timestamp;  /* of LogAppendTime */
    int64_t delete_horizon; /* -1: none */
    const struct batch_record *v;
    int32_t n;
};
void batch_spec_init(struct batch_spec *s);
/* Adds one batch to `out`. cache may be NULL for CODEC_NONE. */
void batch_build(struct codec_cache *cache, const struct batch_spec *s, struct bytes *out);
