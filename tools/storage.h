/* Log directories before a node uses them: who they belong to. `storage` and an embedded node share it.
 * Loop:   the main thread, before any loop. */
#pragma once
#include "broker/config.h"
#include "quorum/formatted.h"
#include "tools/tool.h"

/* Settings from a file (NULL: none) and name=value words. NULL after tool_fail(). */
struct config *storage_config(struct tool *t, const char *path, const char *const *sets, int n_sets);
/* The same of a command's --config and --set. */
struct config *storage_config_flags(struct tool *t);
/* The metadata log's directory first, then log.dirs, each once; their number. */
int storage_dirs(struct tool *t, const struct config *c, const char ***out);

struct storage_plan {
    const char *cluster_id; /* NULL: a random one, or that of the directories that are formatted already */
    int level;              /* metadata.version of a new cluster */
    bool again;             /* directories that are formatted already are no failure */
    struct formatted first; /* who begins the quorum, where controller.quorum.voters doesn't say it */
};
/* This node alone, where its controller listens, with a new directory. */
void storage_alone(struct tool *t, const struct config *c, struct formatted *out);
/* Makes what is missing of the directories and marks those that aren't formatted yet, which it says. false after
 * tool_fail(). */
bool storage_format(struct tool *t, const struct config *c, const struct storage_plan *plan);
/* No directory waits to be formatted. One that can't be read is the server's to judge. */
bool storage_ready(struct tool *t, const struct config *c);
void storage_random_uuid(struct tool *t, char text[]); /* never begins with '-': it would look like a flag */
