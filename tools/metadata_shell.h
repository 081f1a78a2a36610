/* The shell on a place that was typed: `weir metadata shell` and weir-console's line editor begin with it. */
#pragma once
#include "broker/config.h"
#include "tools/cmd_metadata.h"
#include "tools/meta_shell.h"

/* clang-format off */
#define METADATA_SHELL_FLAGS                                                                                   \
    {"at", 0, FLAG_TEXT, "OFFSET|TIME", NULL, NULL, "the image as it was then"},                               \
    {"script", 0, FLAG_TEXT, "FILE", NULL, NULL, "commands, one a line"},                                      \
    {"snapshot", 's', FLAG_TEXT, "FILE", NULL, NULL, "the path, as Kafka's shell takes it"},                   \
    {"directory", 'd', FLAG_TEXT, "DIR", NULL, NULL, "the path, as Kafka's shell takes it"}
/* clang-format on */

struct metadata_shell {
    struct meta_place place;
    struct meta_walk walk;
    struct image *image;
    struct meta_shell shell; /* writes to t->out */
    int words;               /* the first word of the command, in t->flags.rest */
};
bool metadata_shell_open(struct tool *t,
                         struct metadata_shell *m); /* false after tool_fail(), tool_usage() */
void metadata_shell_close(struct metadata_shell *m);
