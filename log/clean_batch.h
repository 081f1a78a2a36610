/* What compaction leaves of one batch. Kafka's rules:
 *  - A record stays if no later one in the cleaned part has its key; one without a key goes; what lies behind
 * the part that the map covers stays.
 *  - A tombstone (no value) stays until its batch's delete horizon. The horizon is set the first time that a
 * batch with a tombstone is cleaned: now + delete.retention.ms, kept in the batch itself (the base timestamp,
 * with a bit in the attributes), so every reader who starts from the front has that long to see it.
 *  - A batch of which nothing stays goes, unless it holds a live producer's last sequence or the last offset
 * of the cleaned part: then its header stays, with no records.
 *  - What stays keeps its offset, timestamp and sequence; the batch its base and last offset, producer and
 * codec.
 *  - Control batches stay.
 * Loop:   one at a time; never asks for a file.
 * Memory: a batch that loses records is held uncompressed while it is rewritten. */
#pragma once
#include "log/clean_map.h"
#include "log/producers.h"
#include "proto/batch.h"

struct clean_rules {
    struct heap *heap;
    struct codec_cache *codecs;
    const struct clean_map *map;
    const struct producers *producers;
    int64_t map_end; /* the map knows every key from the first dirty offset up to here */
    int64_t upto;    /* where the cleaned part ends */
    int64_t now_ms;
    int64_t delete_retention_ms;
    size_t record_max; /* a larger one, uncompressed, is E_NOMEM */
};

/* Adds what is left to `out`; *records counts those that stay. */
enum err clean_batch(const struct clean_rules *rules, const struct batch_view *v, struct bytes *out,
                     int32_t *records);
/* Enters the keys from `from` on. *full: the map has no room for one of them; the batch counts as not
 * entered. */
enum err clean_batch_map(struct clean_map *m, struct heap *h, struct codec_cache *codecs,
                         const struct batch_view *v, int64_t from, size_t record_max, bool *full);
