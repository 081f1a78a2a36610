/* Flags of a command, declared as a table of rows: parsing, help and refusals follow from it.
 *
 *     --name value    --name=value    -n value    and any beginning of a name that only one flag has
 *
 * Loop:   any. Memory: a parsed flag lends the words of argv; lists come from the arena.
 * Always: a flag of a later version is refused with a sentence that says so, an unknown one with the nearest. */
#pragma once
#include "base/mem.h"

enum flag_kind {
    FLAG_BOOL,
    FLAG_TEXT,
    FLAG_NUMBER,
    FLAG_LIST,  /* may come again, or take several words: --producer-props a=b c=d */
    FLAG_MAYBE, /* its value may be left out: `preset` is meant then */
};

struct flag {
    const char *name;
    char letter; /* 0: none */
    enum flag_kind kind;
    const char *value;  /* what the help calls its value */
    const char *preset; /* the default; of FLAG_MAYBE, the value where it is left out; NULL: none */
    const char *later;  /* the feature that it needs and that isn't there: refused */
    const char *help;   /* NULL: left out of the help */
};

struct flag_value {
    bool given;
    const char *text;
    int64_t number;
    const char **list;
    int n;
};

struct flags {
    const struct flag *rows;
    struct flag_value *values; /* one a row */
    const char **rest;         /* words that belong to no flag */
    int n_rest;
};

/* rows end with a NULL name. false: `why` is a sentence. Words that belong to no flag are kept in `rest` up to
 * rest_max; one more is a fault. */
bool flags_parse(struct flags *f, const struct flag *rows, int argc, char **argv, int rest_max,
                 struct arena *a, struct bytes *why);
/* By name; a name that the table lacks asserts. */
bool flag_given(const struct flags *f, const char *name);
const char *flag_text(const struct flags *f, const char *name); /* NULL: not given and no default */
int64_t flag_number(const struct flags *f, const char *name);
const struct flag_value *flag_list(const struct flags *f, const char *name);

/* The candidate that is written most alike, or NULL where none comes close. */
const char *nearest(const char *word, const char *const *candidates, int n);

/* What the flags of a command say, in aligned columns. */
void flags_help(const struct flag *rows, struct bytes *out);
