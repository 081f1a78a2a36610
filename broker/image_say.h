/* Says each image's hash, for whoever compares nodes: a row of the trace, said at TRACE alone. While it is said, an image
 * costs what changed since the one before.
 * Loop:   the control loop.
 * Memory: the image that was said last is held until the next.
 * Always: each CHECK_EVERY-th is hashed anew, so that a value that changed where others hold it is found. */
#pragma once
#include "broker/node.h"

struct image_say {
    struct node *node;
    struct grave *grave;
    struct image *last; /* NULL: none was said */
    uint64_t hash;      /* of it */
    int n;
};

void image_say(struct image_say *s, struct image *image);
void image_say_end(struct image_say *s);
