/* What the actions of `topics` share. */
#pragma once
#include "tools/tool.h"

struct topics {
    const struct pattern *wanted; /* NULL: all */
    const char *literal;          /* asked by this name alone; NULL: all are asked for */
    struct client_call *metadata;
    struct slice *names; /* that match, sorted */
    int n;
    struct client_call *call;
    struct client_call *configs;
    struct describe *describe;
};

/* Two steps: asks for the topics that --topic means, and chooses them. */
void topics_find(struct tool *t);
void topics_choose(struct tool *t);
int slice_order(const void *a, const void *b); /* for qsort() */

/* Numbers separated by commas or colons. false: something else. */
bool ids_parse(struct arena *a, const char *text, char separator, int32_t **out, int32_t *n);

void topics_describe(struct tool *t); /* cmd_topics_describe.c */
