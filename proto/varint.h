/* Variable-length integers: seven bits a byte, the least first; a set top bit says that more follow.
 * Unsigned for lengths and tags; zigzag (0, -1, 1, -2 …) for the fields of records. */
#pragma once
#include "base/mem.h"

enum { VARINT32_MAX = 5, VARINT64_MAX = 10 };

static inline uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline size_t varint_size(uint64_t v)
{
    return (size_t)(70 - __builtin_clzll(v | 1)) / 7;
}

static inline uint8_t *varint_write(uint8_t *to, uint64_t v)
{
    for (; v > 127; v >>= 7)
        *to++ = (uint8_t)(v | 128);
    *to++ = (uint8_t)v;
    return to;
}

/* Reads at *p, before end. On success *p is behind it. false: it doesn't end in time, or has more than 64
 * bits. */
static inline bool varint64_read(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    const uint8_t *at = *p;
    uint64_t v = 0;

    for (int shift = 0; at < end && shift < 70; shift += 7) {
        uint8_t b = *at++;

        v |= (uint64_t)(b & 127) << shift;
        if (b < 128) {
            if (!(shift < 63 || b < 2))
                return false;
            *p = at;
            *out = v;
            return true;
        }
    }
    return false;
}

/* The same for 32 bits: at most five bytes. */
static inline bool varint32_read(const uint8_t **p, const uint8_t *end, uint32_t *out)
{
    const uint8_t *at = *p;
    uint32_t v = 0;

    for (int shift = 0; at < end && shift < 35; shift += 7) {
        uint8_t b = *at++;

        v |= (uint32_t)(b & 127) << shift;
        if (b < 128) {
            if (!(shift < 28 || b < 16))
                return false;
            *p = at;
            *out = v;
            return true;
        }
    }
    return false;
}

/* Zigzag, as in records. */
static inline bool varint_read_i32(const uint8_t **p, const uint8_t *end, int32_t *out)
{
    uint32_t v;

    if (!varint32_read(p, end, &v))
        return false;
    *out = (int32_t)unzigzag(v);
    return true;
}

static inline bool varint_read_i64(const uint8_t **p, const uint8_t *end, int64_t *out)
{
    uint64_t v;

    if (!varint64_read(p, end, &v))
        return false;
    *out = unzigzag(v);
    return true;
}
