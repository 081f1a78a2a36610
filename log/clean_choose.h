/* What compaction would do to a log, and which log needs it most: pure functions.
 *
 * A log is clean up to its checkpoint: no key occurs twice below it. From there to the first offset that may
 * not be cleaned it is dirty. That offset begins a segment; the active segment, whatever isn't stable yet,
 * and what is younger than min.compaction.lag.ms lie behind it. The dirty part of the bytes below it is the
 * log's ratio. */
#pragma once
#include "log/log.h"

/* A segment as the choice sees it. Offsets are of the log, times are Kafka's milliseconds, -1: no record. */
struct clean_segment {
    int64_t base;
    int64_t bytes;
    int64_t index_bytes; /* of the larger index */
    int64_t first_timestamp;
    int64_t largest_timestamp;
};

/* Segments rise; the last one is active. */
struct clean_view {
    const struct clean_segment *segments;
    uint32_t n;
    int64_t log_start;
    int64_t log_end;
    int64_t stable_end; /* nothing at or behind it is cleaned: high watermark, first unstable offset */
    int64_t checkpoint; /* -1: never cleaned */
};

struct clean_range {
    int64_t from; /* first dirty offset */
    int64_t upto; /* exclusive; the base of a segment, or `from` */
    int64_t clean_bytes;
    int64_t dirty_bytes;
    double ratio;
    bool due; /* dirty enough, or dirty for longer than max.compaction.lag.ms */
};

struct clean_range clean_range_of(const struct clean_view *v, const struct log_config *c, int64_t now_ms);
/* The row with the highest ratio among those that are due, the first of equals; -1: none is. */
int clean_choose(const struct clean_range *v, int n);
/* How many segments from `first` on become one: together within segment.bytes, segment.index.bytes and 2^31-1
 * offsets, none of them at or behind `upto`. At least one. */
uint32_t clean_group(const struct clean_view *v, const struct log_config *c, uint32_t first, int64_t upto);
