/* What the subcommands of `weir metadata` share. */
#pragma once
#include "tools/commands.h"
#include "tools/meta_walk.h"

enum { META_FLUSH_BYTES = 1 << 18 };

/* The path that was typed first, found. false after tool_fail() or tool_usage(). Long work may follow: Ctrl-C ends. */
bool meta_open(struct tool *t, struct meta_place *out);
/* A point that was typed. false after tool_usage(). */
bool meta_point(struct tool *t, const char *text, struct meta_point *out);
void meta_flush(struct tool *t); /* what was written, if it is much */
/* "offset 45, epoch 2, 2026-11-21T10:15:02.123Z" of the last record in it; "nothing yet". */
const char *meta_image_place(const struct image *i, struct arena *a);
