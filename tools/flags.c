#include "tools/flags.h"
#include "base/check.h"
#include "tools/table.h"
#include <errno.h>
#include <stdlib.h>

enum { WORD_MAX = 64 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* How many letters have to be put in, taken out or changed. */
static int distance(const char *a, const char *b)
{
    int row[WORD_MAX + 1], na = least((int)strlen(a), WORD_MAX), nb = least((int)strlen(b), WORD_MAX);

    for (int j = 0; j <= nb; j++)
        row[j] = j;
    for (int i = 1; i <= na; i++) {
        int corner = row[0];

        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            int above = row[j];

            row[j] = least(least(above, row[j - 1]) + 1, corner + (a[i - 1] != b[j - 1]));
            corner = above;
        }
    }
    return row[nb];
}

const char *nearest(const char *word, const char *const *candidates, int n)
{
    int limit = (int)strlen(word) / 3 + 1;
    const char *best = NULL;

    for (int i = 0; i < n; i++) {
        int d = distance(word, candidates[i]);

        if (d <= limit) {
            limit = d - 1;
            best = candidates[i];
        }
    }
    return best;
}

static int rows_count(const struct flag *rows)
{
    int n = 0;

    while (rows[n].name)
        n++;
    return n;
}

static const struct flag *by_letter(const struct flag *rows, char letter)
{
    for (; rows->name; rows++)
        if (rows->letter == letter)
            return rows;
    return NULL;
}

/* The flag of that name, or the only one that begins so. */
static const struct flag *by_name(const struct flag *rows, const char *name, size_t len)
{
    const struct flag *found = NULL;
    bool several = false;

    for (; rows->name; rows++) {
        if (strncmp(rows->name, name, len) != 0)
            continue;
        if (strlen(rows->name) == len)
            return rows;
        several = found != NULL;
        found = rows;
    }
    return several || len < 2 ? NULL : found;
}

static bool unknown_flag(const struct flag *rows, const char *word, struct arena *a, struct bytes *why)
{
    int n = rows_count(rows);
    const char **names = arena_alloc(a, (size_t)(n + 1) * sizeof(*names));
    char *name = arena_str(a, slice_of(word + 2, strcspn(word + 2, "=")));

    for (int i = 0; i < n; i++)
        names[i] = rows[i].name;
    const char *near = word[1] == '-' ? nearest(name, names, n) : NULL;
    bytes_printf(why, "there is no flag %.*s", (int)strcspn(word, "="), word);
    if (near)
        bytes_printf(why, "; did you mean --%s?", near);
    return false;
}

static bool number_parse(const char *text, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == 0;
}

static bool value_set(const struct flag *row, struct flag_value *v, const char *text, struct bytes *why)
{
    v->text = text;
    if (row->kind == FLAG_NUMBER && !number_parse(text, &v->number)) {
        bytes_printf(why, "--%s takes a whole number, not \"%s\"", row->name, text);
        return false;
    }
    return true;
}

static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9');
}

/* The words from argv[*at] on that are the flag's value; *at moves to the last one taken. */
static bool value_take(const struct flag *row, struct flag_value *v, const char *joined, int argc,
                       char **argv, int *at, struct bytes *why)
{
    bool more = *at + 1 < argc && !is_flag(argv[*at + 1]);

    v->given = true;
    if (row->kind == FLAG_BOOL) {
        if (joined)
            bytes_printf(why, "--%s takes no value", row->name);
        return !joined;
    }
    if (joined && row->kind == FLAG_LIST)
        v->list[v->n++] = joined;
    if (joined)
        return value_set(row, v, joined, why);
    if (row->kind == FLAG_MAYBE && !more)
        return value_set(row, v, row->preset, why);
    /* A value may look like a flag where it has to be one: --key-separator - . */
    if (!more && (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0)) {
        bytes_printf(why, "--%s needs a value: --%s %s", row->name, row->name, row->value);
        return false;
    }
    if (row->kind == FLAG_LIST) {
        do
            v->list[v->n++] = argv[++*at];
        while (*at + 1 < argc && !is_flag(argv[*at + 1]));
        return true;
    }
    return value_set(row, v, argv[++*at], why);
}

static bool word_parse(struct flags *f, int argc, char **argv, int *at, int rest_max, struct arena *a,
                       struct bytes *why)
{
    const char *word = argv[*at], *joined = NULL;
    const struct flag *row;

    if (!is_flag(word)) {
        if (f->n_rest == rest_max)
            bytes_printf(why, "\"%s\" belongs to no flag", word);
        else
            f->rest[f->n_rest++] = word;
        return why->len == 0;
    }
    if (word[1] == '-') {
        size_t len = strcspn(word + 2, "=");

        row = by_name(f->rows, word + 2, len);
        joined = word[2 + len] ? word + 3 + len : NULL;
    } else {
        row = word[2] ? NULL : by_letter(f->rows, word[1]);
    }
    if (!row)
        return unknown_flag(f->rows, word, a, why);
    if (row->later) {
        bytes_printf(why, "--%s isn't there yet: it comes with %s", row->name, row->later);
        return false;
    }
    return value_take(row, &f->values[row - f->rows], joined, argc, argv, at, why);
}

bool flags_parse(struct flags *f, const struct flag *rows, int argc, char **argv, int rest_max,
                 struct arena *a, struct bytes *why)
{
    int n = rows_count(rows);

    *f = (struct flags){.rows = rows, .values = arena_alloc(a, (size_t)(n + 1) * sizeof(*f->values))};
    f->rest = arena_alloc(a, (size_t)(rest_max + 1) * sizeof(*f->rest));
    for (int i = 0; i < n; i++) {
        f->values[i].list = arena_alloc(a, (size_t)(argc + 1) * sizeof(char *));
        if (rows[i].preset && rows[i].kind != FLAG_MAYBE)
            ASSERT(value_set(&rows[i], &f->values[i], rows[i].preset, why));
    }
    for (int at = 0; at < argc; at++)
        if (!word_parse(f, argc, argv, &at, rest_max, a, why))
            return false;
    return true;
}

static const struct flag_value *value_of(const struct flags *f, const char *name)
{
    for (int i = 0; f->rows[i].name; i++)
        if (strcmp(f->rows[i].name, name) == 0)
            return &f->values[i];
    ASSERT(!"a flag of the table");
    return NULL;
}

bool flag_given(const struct flags *f, const char *name)
{
    return value_of(f, name)->given;
}

const char *flag_text(const struct flags *f, const char *name)
{
    return value_of(f, name)->text;
}

int64_t flag_number(const struct flags *f, const char *name)
{
    return value_of(f, name)->number;
}

const struct flag_value *flag_list(const struct flags *f, const char *name)
{
    return value_of(f, name);
}

void flags_help(const struct flag *rows, struct bytes *out)
{
    struct table table;

    table_init(&table, out->heap, 2);
    for (; rows->name; rows++) {
        char left[128], letter[8] = "";

        if (!rows->help || rows->later)
            continue;
        if (rows->letter)
            snprintf(letter, sizeof(letter), "-%c, ", rows->letter);
        snprintf(left, sizeof(left), "  %s--%s%s%s", letter, rows->name, rows->value ? " " : "",
                 rows->value ? rows->value : "");
        table_cell(&table, "%s", left);
        if (rows->preset)
            table_cell(&table, "%s (default: %s)", rows->help, rows->preset);
        else
            table_cell(&table, "%s", rows->help);
    }
    table_print(&table, out);
    table_drop(&table);
}
