/* Files of java.util.Properties, and values that stand elsewhere.
 *
 *   line       begins with # or !: a comment. Ends with an odd number of \: goes on in the next, whose
 *              indentation is dropped.
 *   name       up to the first =, : or white space that no \ stands before
 *   value      after that, white space and one = or : ; white space at its end stays
 *   escapes    \t \n \r \f \uXXXX, and \ before anything else drops out */
#include "broker/config_rows.h"
#include <ctype.h>
#include <stdio.h>

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

/* One natural line, without its end. */
static bool next_line(struct slice *rest, struct slice *line)
{
    size_t len = 0;

    if (rest->len == 0)
        return false;
    while (len < rest->len && rest->p[len] != '\n' && rest->p[len] != '\r')
        len++;
    *line = slice_of(rest->p, len);
    if (len < rest->len && rest->p[len] == '\r' && len + 1 < rest->len && rest->p[len + 1] == '\n')
        len++;
    len += len < rest->len;
    *rest = slice_of(rest->p + len, rest->len - len);
    return true;
}

static bool goes_on(struct slice line)
{
    size_t n = 0;

    while (n < line.len && line.p[line.len - 1 - n] == '\\')
        n++;
    return n % 2 == 1;
}

static int hex4(const uint8_t *p, size_t len)
{
    int n = 0;

    if (len < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        if (!isxdigit(p[i]))
            return -1;
        n = n * 16 + (isdigit(p[i]) ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
    }
    return n;
}

static size_t utf8(uint8_t *to, uint32_t c)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n; i > 1; i--, c >>= 6)
        to[i - 1] = (uint8_t)(0x80 | (c & 0x3f));
    to[0] = (uint8_t)(first[n] | c);
    return n;
}

/* In place: what is unescaped is never longer. Surrogate pairs become one character. */
static bool unescape(struct slice *s)
{
    size_t to = 0;

    for (size_t i = 0; i < s->len; i++) {
        uint8_t c = s->p[i];
        if (c != '\\' || i + 1 == s->len) {
            if (c != '\\')
                s->p[to++] = c;
            continue;
        }
        c = s->p[++i];
        if (c == 'u') {
            int high = hex4(s->p + i + 1, s->len - i - 1), low = -1;
            if (high < 0)
                return false;
            i += 4;
            if (high >= 0xd800 && high < 0xdc00 && s->len - i > 6 && s->p[i + 1] == '\\' &&
                s->p[i + 2] == 'u')
                low = hex4(s->p + i + 3, s->len - i - 3);
            if (low >= 0xdc00 && low < 0xe000)
                i += 6;
            to +=
                utf8(s->p + to, low >= 0xdc00 && low < 0xe000
                                    ? 0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00)
                                    : (uint32_t)high);
            continue;
        }
        s->p[to++] = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
    }
    s->len = to;
    return true;
}

static void split(struct slice line, struct slice *name, struct slice *value)
{
    size_t at = 0, from;

    while (at < line.len && line.p[at] != '=' && line.p[at] != ':' && !is_blank(line.p[at]))
        at += line.p[at] == '\\' && at + 1 < line.len ? 2 : 1;
    *name = slice_of(line.p, at);
    for (from = at; from < line.len && is_blank(line.p[from]);)
        from++;
    if (from < line.len && (line.p[from] == '=' || line.p[from] == ':'))
        from++;
    while (from < line.len && is_blank(line.p[from]))
        from++;
    *value = slice_of(line.p + from, line.len - from);
}

bool config_properties(struct slice text, struct arena *a, config_pair_cb each, void *arg, char *why,
                       size_t room)
{
    struct slice rest = text, line, name, value;
    int number = 0;

    while (next_line(&rest, &line)) {
        int first = ++number;
        struct bytes whole;

        while (line.len > 0 && is_blank(line.p[0]))
            line = slice_of(line.p + 1, line.len - 1);
        if (line.len == 0 || line.p[0] == '#' || line.p[0] == '!')
            continue;
        bytes_init(&whole, a->heap);
        while (goes_on(line)) {
            bytes_add(&whole, line.p, line.len - 1);
            if (!next_line(&rest, &line)) {
                line = SLICE("");
                break;
            }
            number++;
            while (line.len > 0 && is_blank(line.p[0]))
                line = slice_of(line.p + 1, line.len - 1);
        }
        bytes_add(&whole, line.p, line.len);
        line = arena_copy(a, bytes_slice(&whole));
        bytes_drop(&whole);
        split(line, &name, &value);
        if (!unescape(&name) || !unescape(&value)) {
            snprintf(why, room, "line %d: \\u must be followed by four hexadecimal digits", first);
            return false;
        }
        each(arg, first, name, value);
    }
    return true;
}

struct wanted {
    struct slice key;
    struct slice found;
};

static void look_for(void *arg, int line, struct slice name, struct slice value)
{
    struct wanted *w = arg;

    if (slice_eq(name, w->key))
        w->found = value;
}

static bool from_file(const struct config_world *w, struct slice what, struct arena *a, struct slice *out,
                      char *why, size_t room)
{
    size_t at = what.len;
    struct wanted wanted;
    struct bytes text;
    char *path;
    enum err err;

    while (at > 0 && what.p[at - 1] != ':')
        at--;
    if (at < 2) {
        snprintf(why, room, "${file:…} needs a path and a key");
        return false;
    }
    wanted = (struct wanted){.key = slice_of(what.p + at, what.len - at)};
    path = arena_str(a, slice_of(what.p, at - 1));
    bytes_init(&text, a->heap);
    err = w->read(w->arg, path, &text);
    if (err)
        snprintf(why, room, "%s: %s", path, err_text(err));
    else if (config_properties(bytes_slice(&text), a, look_for, &wanted, why, room) && !wanted.found.p)
        snprintf(why, room, "%s has no key %.*s", path, (int)wanted.key.len, (char *)wanted.key.p);
    bytes_drop(&text);
    *out = wanted.found;
    return wanted.found.p != NULL;
}

static bool from_env(const struct config_world *w, struct slice name, struct arena *a, struct slice *out,
                     char *why, size_t room)
{
    const char *text = arena_str(a, name), *value = w->env(w->arg, text);

    if (!value) {
        snprintf(why, room, "the environment has no %s", text);
        return false;
    }
    *out = SLICE(value);
    return true;
}

bool config_expand(const struct config_world *w, struct slice in, struct arena *a, struct slice *out,
                   char *why, size_t room)
{
    struct bytes all;
    bool ok = true;
    size_t i = 0;

    bytes_init(&all, a->heap);
    while (ok && i < in.len) {
        struct slice rest = slice_of(in.p + i, in.len - i), value = SLICE("");
        uint8_t *end = memchr(rest.p, '}', rest.len);
        bool env = end && rest.len > 6 && memcmp(rest.p, "${env:", 6) == 0;
        bool file = end && rest.len > 7 && memcmp(rest.p, "${file:", 7) == 0;

        if (!env && !file) {
            bytes_add(&all, rest.p, 1);
            i++;
            continue;
        }
        rest.len = (size_t)(end - rest.p);
        i += rest.len + 1;
        ok = env ? from_env(w, slice_of(rest.p + 6, rest.len - 6), a, &value, why, room)
                 : from_file(w, slice_of(rest.p + 7, rest.len - 7), a, &value, why, room);
        bytes_add(&all, value.p, value.len);
    }
    *out = ok ? arena_copy(a, bytes_slice(&all)) : SLICE_NULL;
    if (ok && !out->p)
        *out = SLICE("");
    bytes_drop(&all);
    return ok;
}
