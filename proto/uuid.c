#include "proto/uuid.h"

static const char uuid_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* 128 bits are 21 digits of 6 bits and one of 2 bits, which stand at its upper end. */
void uuid_text(struct uuid u, char text[UUID_TEXT_LEN + 1])
{
    for (int i = 0; i < UUID_TEXT_LEN; i++) {
        int bit = i * 6, at = bit / 8;
        unsigned two = (unsigned)u.b[at] << 8 | (at + 1 < 16 ? u.b[at + 1] : 0u);

        text[i] = uuid_digits[two >> (10 - bit % 8) & 63];
    }
    text[UUID_TEXT_LEN] = 0;
}

bool uuid_parse(struct slice text, struct uuid *out)
{
    if (text.len != UUID_TEXT_LEN)
        return false;
    *out = (struct uuid){{0}};
    for (int i = 0; i < UUID_TEXT_LEN; i++) {
        const char *digit = text.p[i] ? strchr(uuid_digits, text.p[i]) : NULL;
        int bit = i * 6, at = bit / 8;
        unsigned two;

        if (!digit)
            return false;
        two = (unsigned)(digit - uuid_digits) << (10 - bit % 8);
        out->b[at] |= (uint8_t)(two >> 8);
        if (at + 1 < 16)
            out->b[at + 1] |= (uint8_t)two;
    }
    return true;
}
