#include "topic_name.h"

enum { NAME_MAX_BYTES = 249 };

static bool char_ok(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool topic_name_ok(struct slice name)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES || slice_eq(name, SLICE(".")) ||
        slice_eq(name, SLICE("..")))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!char_ok(name.p[i]))
            return false;
    return true;
}
