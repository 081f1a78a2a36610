/* What Kafka's console clients write on a line: headers, key, value. Pure, so that it is tested without a broker.
 * Loop: any. Memory: parts point into the line; headers come from the arena. */
#pragma once
#include "base/mem.h"

struct line_rules {
    bool parse_key, parse_headers, ignore_error;
    const char *key_separator, *headers_delimiter, *headers_separator, *headers_key_separator;
    const char *null_marker; /* NULL: none */
};
struct line_header {
    struct slice key, value;
};
struct line_parts {
    struct slice key, value; /* p == NULL: null */
    struct line_header *headers;
    int n_headers;
};

void line_rules_init(struct line_rules *r);
/* One of Kafka's reader properties. NULL, or what is wrong with it. Values are lent. */
const char *line_rules_set(struct line_rules *r, const char *name, const char *value);
const char *line_rules_check(const struct line_rules *r);
/* NULL, or what the line lacks. */
const char *line_split(const struct line_rules *r, struct slice line, struct arena *a,
                       struct line_parts *out);
