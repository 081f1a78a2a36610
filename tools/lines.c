#include "tools/lines.h"
#include "tools/flags.h"

void line_rules_init(struct line_rules *r)
{
    *r = (struct line_rules){.key_separator = "\t",
                             .headers_delimiter = "\t",
                             .headers_separator = ",",
                             .headers_key_separator = ":"};
}

const char *line_rules_set(struct line_rules *r, const char *name, const char *value)
{
    const struct {
        const char *name;
        bool *flag;
        const char **text;
    } rows[] = {{"parse.key", &r->parse_key, NULL},
                {"parse.headers", &r->parse_headers, NULL},
                {"ignore.error", &r->ignore_error, NULL},
                {"key.separator", NULL, &r->key_separator},
                {"headers.delimiter", NULL, &r->headers_delimiter},
                {"headers.separator", NULL, &r->headers_separator},
                {"headers.key.separator", NULL, &r->headers_key_separator},
                {"null.marker", NULL, &r->null_marker}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        if (rows[i].flag)
            *rows[i].flag = strcmp(value, "true") == 0;
        else if (!*value)
            return "it can't be empty";
        else
            *rows[i].text = value;
        return NULL;
    }
    return "there is no such property; `weir produce --help` lists them";
}

/* Two that are alike would leave open where a line is cut. */
const char *line_rules_check(const struct line_rules *r)
{
    if (strcmp(r->headers_delimiter, r->headers_separator) == 0)
        return "headers.delimiter and headers.separator may not be the same";
    if (strcmp(r->headers_delimiter, r->headers_key_separator) == 0)
        return "headers.delimiter and headers.key.separator may not be the same";
    if (strcmp(r->headers_separator, r->headers_key_separator) == 0)
        return "headers.separator and headers.key.separator may not be the same";
    if (r->null_marker &&
        (strcmp(r->null_marker, r->key_separator) == 0 || strcmp(r->null_marker, r->headers_delimiter) == 0 ||
         strcmp(r->null_marker, r->headers_separator) == 0 ||
         strcmp(r->null_marker, r->headers_key_separator) == 0))
        return "null.marker may not be one of the separators";
    return NULL;
}

/* Takes what stands before `mark` off the front of `rest`, and the mark; false: it isn't there. */
static bool take(struct slice *rest, const char *mark, struct slice *out)
{
    size_t len = strlen(mark);
    uint8_t *at = rest->len ? memmem(rest->p, rest->len, mark, len) : NULL;

    if (!at)
        return false;
    *out = slice_of(rest->p, (size_t)(at - rest->p));
    *rest = slice_of(at + len, rest->len - out->len - len);
    return true;
}

static struct slice unmarked(const struct line_rules *r, struct slice s)
{
    return r->null_marker && slice_eq(s, SLICE(r->null_marker)) ? SLICE_NULL : s;
}

static const char *headers_split(const struct line_rules *r, struct slice text, struct arena *a,
                                 struct line_parts *out)
{
    out->headers = arena_alloc(a, (text.len + 1) * sizeof(*out->headers));
    while (text.len) {
        struct slice one, key;

        if (!take(&text, r->headers_separator, &one)) {
            one = text;
            text.len = 0;
        }
        if (!take(&one, r->headers_key_separator, &key)) {
            if (!r->ignore_error)
                return "a header has no headers.key.separator";
            key = one;
            one = SLICE_NULL;
        }
        if (r->null_marker && slice_eq(key, SLICE(r->null_marker)))
            return "a header's key can't be null";
        out->headers[out->n_headers++] = (struct line_header){.key = key, .value = unmarked(r, one)};
    }
    return NULL;
}

const char *line_split(const struct line_rules *r, struct slice line, struct arena *a, struct line_parts *out)
{
    struct slice headers, key;

    *out = (struct line_parts){0};
    if (r->parse_headers) {
        if (take(&line, r->headers_delimiter, &headers)) {
            const char *why = r->null_marker && slice_eq(headers, SLICE(r->null_marker))
                                  ? NULL
                                  : headers_split(r, headers, a, out);

            if (why)
                return why;
        } else if (!r->ignore_error) {
            return "there is no headers.delimiter";
        }
    }
    if (r->parse_key) {
        if (take(&line, r->key_separator, &key))
            out->key = unmarked(r, key);
        else if (!r->ignore_error)
            return "there is no key.separator";
    }
    out->value = unmarked(r, line);
    if (!out->value.p && !r->null_marker)
        out->value = SLICE("");
    return NULL;
}
