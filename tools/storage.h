/* Log directories before a node uses them: who they belong to. `storage` and an embedded node share it.
 * Loop:   the main thread, before any loop. */
#pragma once
#include "broker/config.h"
#include "tools/tool.h"

/* Settings from a file (NULL: none) and name=value words. NULL after tool_fail(). */
struct config *storage_config(struct tool *t, const char *path, const char *const *sets, int n_sets);
/* Makes what is missing of the directories and marks those that aren't formatted yet, which it says.
 * level: metadata.version of a new cluster. again: directories that are formatted already are no failure. false after tool_fail(). */
bool storage_format(struct tool *t, const struct config *c, const char *cluster_id, int level, bool again);
/* No directory waits to be formatted. One that can't be read is the server's to judge. */
bool storage_ready(struct tool *t, const struct config *c);
void storage_random_uuid(struct tool *t, char text[]); /* never begins with '-': it would look like a flag */
