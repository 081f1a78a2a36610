/* Text in columns, and JSON: the two shapes of an answer.
 * Loop: any. Memory: a table copies its cells and gives them back in table_drop(). */
#pragma once
#include "base/mem.h"
#include <stdio.h>

struct table {
    struct heap *heap;
    int columns;
    char **cells; /* row by row */
    int n;
    int room;
};
void table_init(struct table *t, struct heap *h, int columns);
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *t,
                 struct bytes *out); /* two blanks between columns; no blanks at a line's end */
void table_drop(struct table *t);

/* JSON on one line, commas included. name is NULL inside an array and at the top. */
struct json {
    struct bytes *out;
    bool comma;
};
void json_open(struct json *j, const char *name, char bracket);      /* '{' or '[' */
void json_close(struct json *j, char bracket);                       /* '}' or ']' */
void json_text(struct json *j, const char *name, struct slice text); /* null for a null slice */
/* Text, and where it is no UTF-8 a second field, nameBase64, with the bytes as they are. */
void json_bytes(struct json *j, const char *name, struct slice bytes);
void json_str(struct json *j, const char *name, const char *text);
void json_int(struct json *j, const char *name, int64_t number);
void json_number(struct json *j, const char *name, double number, int digits);
void json_bool(struct json *j, const char *name, bool yes);
