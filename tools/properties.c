#include "tools/properties.h"

static struct slice trimmed(const char *p, size_t len)
{
    while (len && strchr(" \t\f", *p)) {
        p++;
        len--;
    }
    while (len && strchr(" \t\f", p[len - 1]))
        len--;
    return slice_of(p, len);
}

bool property_parse(struct arena *a, const char *text, struct property *out)
{
    const char *equals = strchr(text, '=');

    if (!equals)
        return false;
    out->name = arena_str(a, trimmed(text, (size_t)(equals - text)));
    out->value = arena_str(a, trimmed(equals + 1, strlen(equals + 1)));
    return true;
}

/* How far the next name=value reaches: to a comma outside of brackets. */
static size_t element_len(const char *text)
{
    int deep = 0;
    size_t i;

    for (i = 0; text[i] && (deep || text[i] != ','); i++)
        deep += (text[i] == '[') - (text[i] == ']');
    return i;
}

static void brackets_off(struct arena *a, struct property *p)
{
    size_t len = strlen(p->value);

    if (len >= 2 && p->value[0] == '[' && p->value[len - 1] == ']')
        p->value = arena_str(a, slice_of(p->value + 1, len - 2));
}

bool properties_inline(struct arena *a, const char *text, struct properties *out, struct bytes *why)
{
    *out = (struct properties){.v = arena_alloc(a, (strlen(text) / 2 + 1) * sizeof(*out->v))};
    while (*text) {
        size_t len = element_len(text);
        char *one = arena_str(a, slice_of(text, len));

        if (!property_parse(a, one, &out->v[out->n])) {
            bytes_printf(why, "--add-config takes name=value, not \"%s\"", one);
            if (out->n)
                bytes_printf(why, " (a value with commas stands in brackets: name=[a,b])");
            return false;
        }
        brackets_off(a, &out->v[out->n++]);
        text += len + (text[len] == ',');
    }
    return true;
}

void properties_names(struct arena *a, const char *text, struct properties *out)
{
    *out = (struct properties){.v = arena_alloc(a, (strlen(text) + 1) * sizeof(*out->v))};
    while (*text) {
        size_t len = strcspn(text, ",");
        struct slice name = trimmed(text, len);

        if (name.len)
            out->v[out->n++].name = arena_str(a, name);
        text += len + (text[len] == ',');
    }
}

/* Java's way to write letters: \t \n \: \\ ; \uXXXX isn't used by the settings that come this way. */
static char *unescaped(struct arena *a, struct slice s)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = (char)s.p[i];

        if (c == '\\' && i + 1 < s.len) {
            c = (char)s.p[++i];
            c = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
        }
        out[n++] = c;
    }
    return out;
}

static void line_parse(struct arena *a, struct slice line, struct properties *out)
{
    size_t name = 0, value;

    if (line.len == 0 || line.p[0] == '#' || line.p[0] == '!')
        return;
    while (name < line.len && !strchr("=: \t\f", line.p[name]))
        name += 1 + (line.p[name] == '\\');
    if (name > line.len)
        name = line.len;
    for (value = name; value < line.len && strchr(" \t\f", line.p[value]); value++)
        ;
    if (value < line.len && (line.p[value] == '=' || line.p[value] == ':'))
        value++;
    while (value < line.len && strchr(" \t\f", line.p[value]))
        value++;
    out->v[out->n++] = (struct property){.name = unescaped(a, slice_of(line.p, name)),
                                         .value = unescaped(a, slice_of(line.p + value, line.len - value))};
}

static bool goes_on(struct slice line)
{
    size_t n = 0;

    while (n < line.len && line.p[line.len - 1 - n] == '\\')
        n++;
    return n % 2 == 1;
}

void properties_file(struct arena *a, struct slice text, struct properties *out)
{
    struct bytes whole;
    size_t lines = 1;

    for (size_t i = 0; i < text.len; i++)
        lines += text.p[i] == '\n';
    *out = (struct properties){.v = arena_alloc(a, lines * sizeof(*out->v))};
    bytes_init(&whole, a->heap);
    for (size_t at = 0; at < text.len;) {
        size_t len = 0;

        while (at + len < text.len && text.p[at + len] != '\n' && text.p[at + len] != '\r')
            len++;
        struct slice line = slice_of(text.p + at, len);
        while (line.len && strchr(" \t\f", line.p[0]))
            line = slice_of(line.p + 1, line.len - 1);
        at += len + 1;
        bytes_add(&whole, line.p, line.len);
        if (goes_on(line) && at < text.len) {
            whole.len--;
            continue;
        }
        line_parse(a, bytes_slice(&whole), out);
        whole.len = 0;
    }
    bytes_drop(&whole);
}
