/* What metadata records lead to: an image, whatever they say. Pure.
 *
 * Loop:   one thread. Memory: the image, in the state's own grave; items are lent for the call.
 * Always: a record that makes no sense changes nothing and is told by a sentence (metadata/image_check.h). */
#pragma once
#include "metadata/image_check.h"
#include "tools/meta_reader.h"

struct meta_state {
    struct grave grave;
    struct image *draft;
    int64_t elsewhere;   /* records that the image has no place for */
    bool header, footer; /* of a checkpoint */
    int64_t header_ms;   /* time of the last record in it */
};
void meta_state_init(struct meta_state *s, struct heap *h);
void meta_state_drop(struct meta_state *s);
/* The item happens. NULL, or why it can't. */
const char *meta_state_apply(struct meta_state *s, const struct meta_item *i, struct arena *a);
/* The image as of now, sealed: before a transaction that hasn't ended. The caller's reference, given back with
 * image_unref(…, &s->grave) before the state is dropped. The state can go on. */
struct image *meta_state_image(struct meta_state *s);
