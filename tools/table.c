#include "tools/table.h"
#include "base/check.h"
#include "tools/utf8.h"
#include <inttypes.h>
#include <stdarg.h>

void table_init(struct table *t, struct heap *h, int columns)
{
    *t = (struct table){.heap = h, .columns = columns};
}

void table_cell(struct table *t, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    ASSERT(len >= 0);
    if (t->n == t->room) {
        t->room = t->room ? t->room * 2 : 32;
        t->cells = heap_resize(t->heap, t->cells, (size_t)t->room * sizeof(*t->cells));
    }
    t->cells[t->n] = heap_alloc(t->heap, (size_t)len + 1);
    vsnprintf(t->cells[t->n++], (size_t)len + 1, fmt, again);
    va_end(again);
}

static int column_width(const struct table *t, int column)
{
    size_t width = 0;

    for (int i = column; i < t->n; i += t->columns)
        if (strlen(t->cells[i]) > width)
            width = strlen(t->cells[i]);
    return (int)width;
}

void table_print(const struct table *t, struct bytes *out)
{
    ASSERT(t->n % t->columns == 0);
    int *widths = heap_alloc(t->heap, (size_t)t->columns * sizeof(*widths));

    for (int c = 0; c + 1 < t->columns; c++)
        widths[c] = column_width(t, c);
    for (int i = 0; i < t->n; i++) {
        bool last = (i + 1) % t->columns == 0;

        if (last)
            bytes_printf(out, "%s\n", t->cells[i]);
        else
            bytes_printf(out, "%-*s  ", widths[i % t->columns], t->cells[i]);
    }
    heap_free(t->heap, widths);
}

void table_drop(struct table *t)
{
    for (int i = 0; i < t->n; i++)
        heap_free(t->heap, t->cells[i]);
    heap_free(t->heap, t->cells);
}

static void quoted(struct bytes *out, struct slice text)
{
    bytes_add(out, "\"", 1);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];

        if (c == '"' || c == '\\')
            bytes_printf(out, "\\%c", c);
        else if (c == '\n')
            bytes_add(out, "\\n", 2);
        else if (c == '\t')
            bytes_add(out, "\\t", 2);
        else if (c < 0x20)
            bytes_printf(out, "\\u%04x", c);
        else
            bytes_add(out, &c, 1);
    }
    bytes_add(out, "\"", 1);
}

static void begin(struct json *j, const char *name)
{
    if (j->comma)
        bytes_add(j->out, ",", 1);
    j->comma = true;
    if (name) {
        quoted(j->out, SLICE(name));
        bytes_add(j->out, ":", 1);
    }
}

void json_open(struct json *j, const char *name, char bracket)
{
    begin(j, name);
    bytes_add(j->out, &bracket, 1);
    j->comma = false;
}

void json_close(struct json *j, char bracket)
{
    bytes_add(j->out, &bracket, 1);
    j->comma = true;
}

void json_text(struct json *j, const char *name, struct slice text)
{
    begin(j, name);
    if (text.p)
        quoted(j->out, text);
    else
        bytes_add(j->out, "null", 4);
}

void json_bytes(struct json *j, const char *name, struct slice bytes)
{
    struct bytes text;

    if (!bytes.p || utf8_ok(bytes)) {
        json_text(j, name, bytes);
        return;
    }
    bytes_init(&text, j->out->heap);
    utf8_add(&text, bytes);
    json_text(j, name, bytes_slice(&text));
    text.len = 0;
    bytes_printf(&text, "\"%sBase64\":\"", name);
    base64_add(&text, bytes);
    bytes_printf(j->out, ",%.*s\"", (int)text.len, (const char *)text.p);
    bytes_drop(&text);
}

void json_str(struct json *j, const char *name, const char *text)
{
    json_text(j, name, text ? SLICE(text) : SLICE_NULL);
}

void json_int(struct json *j, const char *name, int64_t number)
{
    begin(j, name);
    bytes_printf(j->out, "%" PRId64, number);
}

void json_number(struct json *j, const char *name, double number, int digits)
{
    begin(j, name);
    bytes_printf(j->out, "%.*f", digits, number);
}

void json_bool(struct json *j, const char *name, bool yes)
{
    begin(j, name);
    bytes_printf(j->out, "%s", yes ? "true" : "false");
}
