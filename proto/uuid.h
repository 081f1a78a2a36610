/* 16 bytes that name a topic, a directory or a process; Kafka writes them as 22 characters of base64url. */
#pragma once
#include "base/mem.h"

struct uuid {
    uint8_t b[16];
};

enum { UUID_TEXT_LEN = 22 };

static inline bool uuid_eq(struct uuid a, struct uuid b)
{
    return memcmp(a.b, b.b, sizeof a.b) == 0;
}

static inline bool uuid_is_zero(struct uuid u)
{
    return uuid_eq(u, (struct uuid){{0}});
}

void uuid_text(struct uuid u, char text[UUID_TEXT_LEN + 1]); /* with a NUL at the end */
bool uuid_parse(struct slice text, struct uuid *out);        /* false: not 22 characters of base64url */
