/* The sockets behind --bootstrap-controller: a client on loops of its own, and a main thread that waits for it.
 *
 * Loop:   the main thread calls; the client lives on the NET loop that this starts.
 * Memory: t->arena's, as long as the command. Ends: with the command, by t->behind. */
#pragma once
#include "tools/meta_live.h"

/* The cluster that --bootstrap-controller names, as a place. false after tool_fail() or tool_usage(). */
bool meta_link_place(struct tool *t, struct meta_place *out);
