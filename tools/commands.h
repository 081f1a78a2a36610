/* The table of commands, and how the words that were typed choose one. */
#pragma once
#include "base/version.h"
#include "tools/tool.h"

#define KAFKA_VERSION_TEXT "4.3.1"

struct command {
    const char *name;   /* weir NAME */
    const char *second; /* … SECOND; NULL: one word is enough */
    const char *script; /* Kafka's script that does the same; NULL: it has none */
    int words;          /* that belong to no flag, at most */
    const struct flag *flags;
    void (*run)(struct tool *t);
    const char *summary;
};

#define COMMAND(name, second, script, words, id, summary)                                                    \
    extern const struct flag flags_##id[];                                                                   \
    void cmd_##id(struct tool *t);
#include "tools/commands.def"
#undef COMMAND

extern const struct command commands[];
extern const int commands_n;

/* Finds the command, parses its flags and begins it. The caller runs the loops that t has then, and tells t->exit. */
void command_run(struct tool *t, int argc, char **argv);
