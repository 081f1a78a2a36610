#include "metadata/topic_name.h"

static bool char_ok(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

enum topic_name_fault topic_name_fault(struct slice name)
{
    if (name.len == 0)
        return TOPIC_NAME_EMPTY;
    if (slice_eq(name, SLICE(".")) || slice_eq(name, SLICE("..")))
        return TOPIC_NAME_DOTS;
    if (name.len > TOPIC_NAME_MAX)
        return TOPIC_NAME_LONG;
    for (size_t i = 0; i < name.len; i++)
        if (!char_ok(name.p[i]))
            return TOPIC_NAME_CHARS;
    return TOPIC_NAME_FINE;
}
