/* Names and values that people type: k1=v1,k2=[v1,v2],k3=v3, and files of name=value lines.
 * Loop: any. Memory: from the arena. */
#pragma once
#include "base/mem.h"

struct property {
    const char *name;
    const char *value;
};
struct properties {
    struct property *v;
    int n;
};

/* Kafka's --add-config: commas separate, square brackets hold a list together. false: `why` says what is wrong. */
bool properties_inline(struct arena *a, const char *text, struct properties *out, struct bytes *why);
/* Kafka's --delete-config: names separated by commas. */
void properties_names(struct arena *a, const char *text, struct properties *out);
/* A properties file: # and ! begin comments, = : or a blank ends a name, \ at a line's end goes on. */
void properties_file(struct arena *a, struct slice text, struct properties *out);
/* One name=value. false: there is no '='. */
bool property_parse(struct arena *a, const char *text, struct property *out);
