#include "metadata/decide.h"
#include "base/check.h"
#include <stdarg.h>
#include <stdio.h>

struct api_error api_error(struct ctl_out *o, enum err err, const char *fmt, ...)
{
    struct api_error e = {.err = err};
    va_list args, again;
    int len;

    va_start(args, fmt);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    ASSERT(len >= 0);
    e.text.p = arena_alloc(o->arena, (size_t)len + 1);
    e.text.len = (size_t)len;
    (void)vsnprintf((char *)e.text.p, (size_t)len + 1, fmt, again);
    va_end(again);
    return e;
}

struct api_error api_error_plain(enum err err)
{
    return (struct api_error){.err = err};
}

void api_error_set(struct api_error e, int16_t *code, struct slice *text)
{
    *code = err_wire(e.err);
    *text = e.text;
}

struct meta_record *ctl_emit(struct ctl_out *o, enum record_type type, bool glued)
{
    if (o->n == o->room) {
        int room = 2 * o->room + 16;
        struct meta_record *records = arena_alloc(o->work, (size_t)room * sizeof(*records));
        bool *marks = arena_alloc(o->work, (size_t)room * sizeof(*marks));

        if (o->n) {
            memcpy(records, o->records, (size_t)o->n * sizeof(*records));
            memcpy(marks, o->glued, (size_t)o->n * sizeof(*marks));
        }
        o->records = records;
        o->glued = marks;
        o->room = room;
    }
    ASSERT(!glued || o->n > 0);
    o->glued[o->n] = glued;
    o->records[o->n] = (struct meta_record){.type = type};
    return &o->records[o->n++];
}

/* splitmix64 over the seed: repeatable, and good enough to spread; topic ids take 122 bits of it. */
uint64_t ctl_random(struct ctl_out *o)
{
    uint64_t half[2], z;

    memcpy(half, o->seed, sizeof(half));
    o->drawn++;
    z = half[o->drawn & 1] + 0x9e3779b97f4a7c15u * o->drawn;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A random UUID (version 4). Kafka keeps those free whose text begins with '-', which tools would take for a
 * flag. */
struct uuid ctl_uuid(struct ctl_out *o)
{
    struct uuid u;
    char text[UUID_TEXT_LEN + 1];

    do {
        uint64_t half[2] = {ctl_random(o), ctl_random(o)};

        memcpy(u.b, half, sizeof(u.b));
        u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x40);
        u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
        uuid_text(u, text);
    } while (text[0] == '-');
    return u;
}
