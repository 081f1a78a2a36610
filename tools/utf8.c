#include "tools/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"

static bool continues(const uint8_t *p, const uint8_t *end, uint8_t min, uint8_t max)
{
    return p < end && *p >= min && *p <= max;
}

/* Bytes of the sequence at p, and whether it is one; else how many make one replacement: all that could have begun a
 * sequence, or a surrogate, which is whole but no character. */
static size_t take(const uint8_t *p, const uint8_t *end, bool *ok)
{
    uint8_t first = *p, min = 0x80, max = 0xbf;
    size_t want = first < 0x80   ? 1
                  : first < 0xc2 ? 0
                  : first < 0xe0 ? 2
                  : first < 0xf0 ? 3
                  : first < 0xf5 ? 4
                                 : 0;
    size_t n = 1;

    if (first == 0xe0)
        min = 0xa0;
    else if (first == 0xf0)
        min = 0x90;
    else if (first == 0xf4)
        max = 0x8f;
    for (; n < want && continues(p + n, end, min, max); n++) {
        min = 0x80;
        max = 0xbf;
    }
    *ok = n == want && !(first == 0xed && p[1] >= 0xa0);
    return n;
}

bool utf8_ok(struct slice text)
{
    const uint8_t *p = text.p, *end = p + text.len;
    bool ok = true;

    while (p < end && ok)
        p += take(p, end, &ok);
    return ok;
}

void utf8_add(struct bytes *out, struct slice text)
{
    const uint8_t *p = text.p, *end = p + text.len;

    while (p < end) {
        bool ok;
        size_t n = take(p, end, &ok);

        bytes_add(out, ok ? p : (const uint8_t *)REPLACEMENT, ok ? n : strlen(REPLACEMENT));
        p += n;
    }
}

void base64_add(struct bytes *out, struct slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t v = (uint32_t)bytes.p[i] << 16;
        char four[4];

        v |= n > 1 ? (uint32_t)bytes.p[i + 1] << 8 : 0;
        v |= n > 2 ? bytes.p[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            four[k] = k <= n ? digits[v >> (18 - 6 * k) & 63] : '=';
        bytes_add(out, four, sizeof(four));
    }
}
