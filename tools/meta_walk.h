/* A place's image at one moment and then at later ones: from a checkpoint, then along the log.
 *
 * Loop:   the main thread. Memory: the images. Order: points only go forward.
 * Ends:   what can't be done is told by tool_fail(), once. */
#pragma once
#include "tools/meta_point.h"
#include "tools/meta_state.h"

struct meta_walk {
    struct tool *t;
    const struct meta_place *place;
    struct meta_state state;
    struct meta_reader reader;
    struct meta_item held; /* read and not applied yet */
    bool holds, ended;
};
/* Where the walk begins: at the newest checkpoint that isn't behind `point`, or (oldest) with all history that is
 * left. A damaged checkpoint is passed over, with a warning. */
bool meta_walk_open(struct meta_walk *w, struct tool *t, const struct meta_place *place,
                    struct meta_point point, bool oldest);
/* The next record up to `point`, not applied yet; NULL: none, or after tool_fail(). The end of a file inside a batch
 * is only a warning where it is the last one: it may be written at this moment. */
const struct meta_item *meta_walk_peek(struct meta_walk *w, struct meta_point point);
bool meta_walk_apply(struct meta_walk *w); /* what was peeked at happens; false after tool_fail() */
struct image *meta_walk_to(struct meta_walk *w,
                           struct meta_point point); /* meta_state_image(); NULL: it failed */
void meta_walk_close(struct meta_walk *w);

/* All of one checkpoint onto an empty state. NULL, or why it isn't whole. */
const char *meta_checkpoint(struct tool *t, const struct meta_file *f, struct meta_state *s);
