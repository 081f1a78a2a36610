/* A place in the metadata's history, as people type it.
 * Loop: any. Memory: values. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum meta_point_kind { META_OFFSET, META_TIME };
struct meta_point {
    enum meta_point_kind kind;
    int64_t value; /* the last offset, or the last millisecond, that counts */
};
#define META_END ((struct meta_point){META_OFFSET, INT64_MAX})

/* 123, end, 2026-11-21T10:15:02.123Z, 2026-11-21T10:15, 2026-11-21 (UTC, its first moment), 1795272593869ms, or
 * s, m, h, d before now: -15m. false: none of these. */
bool meta_point_parse(const char *text, int64_t now_ms, struct meta_point *out);

enum { META_TIME_LEN = 24 };
/* 2026-11-21T10:15:02.123Z; "-" for a time that isn't one. */
const char *meta_time(int64_t ms, char text[META_TIME_LEN + 1]);
