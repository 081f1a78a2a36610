/* What the subcommands of `weir metadata` share. */
#pragma once
#include "tools/commands.h"
#include "tools/meta_walk.h"

enum { META_FLUSH_BYTES = 1 << 18 };

/* Rows that every one of them has. */
/* clang-format off */
#define FLAGS_METADATA                                                                                         \
    {"bootstrap-controller", 0, FLAG_TEXT, "HOST:PORT,...", NULL, NULL,                                        \
     "in place of PATH: a running cluster, by its controllers' listeners"},                                    \
    {"command-config", 0, FLAG_TEXT, "FILE", NULL, NULL, "settings of the client, as properties"},             \
    FLAGS_TOOL
/* clang-format on */

/* The path that was typed first, found, or the cluster that --bootstrap-controller names. false after tool_fail() or
 * tool_usage(). Long work may follow: Ctrl-C ends. */
bool meta_open(struct tool *t, struct meta_place *out);
/* The first word behind the path; 0 where --bootstrap-controller is in its place. */
int meta_words(const struct tool *t);
/* A point that was typed. false after tool_usage(). */
bool meta_point(struct tool *t, const char *text, struct meta_point *out);
void meta_flush(struct tool *t); /* what was written, if it is much */
/* "offset 45, epoch 2, 2026-11-21T10:15:02.123Z" of the last record in it; "nothing yet". */
const char *meta_image_place(const struct image *i, struct arena *a);
