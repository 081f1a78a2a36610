/* Integers in network order, at any address. */
#pragma once
#include <stdint.h>
#include <string.h>

#define BIGEND(bits)                                                                                         \
    static inline uint##bits##_t get_be##bits(const void *p)                                                 \
    {                                                                                                        \
        uint##bits##_t v;                                                                                    \
        memcpy(&v, p, sizeof v);                                                                             \
        return __builtin_bswap##bits(v);                                                                     \
    }                                                                                                        \
    static inline void put_be##bits(void *p, uint##bits##_t v)                                               \
    {                                                                                                        \
        v = __builtin_bswap##bits(v);                                                                        \
        memcpy(p, &v, sizeof v);                                                                             \
    }

BIGEND(16)
BIGEND(32)
BIGEND(64)
#undef BIGEND
