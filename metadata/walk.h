/* Every partition of every topic, in the steps of one decision: however many there are, a step of the walk is a short one
 * (ctl_pause). Between steps it keeps a name and a number; the tip may be another one, its topics are the same.
 *
 *     struct walk *w = walk_of(o);              kept in o->state, if nothing else is
 *     walk_step(w, tip, o);                     each time that the decision is called
 *     while ((p = walk_next(w))) …              w->topic is p's
 *     if (!w->over) return;                     o->more is set: the decision is called again
 *
 * Memory: in the request's arena. */
#pragma once
#include "metadata/decide.h"

struct walk {
    bool begun, over;
    struct slice name; /* where it goes on */
    int32_t index;
    /* of this step */
    struct ctl_out *out;
    const struct image_topic *topic;
    struct image_topics topics;
    struct image_partitions partitions;
    int seen; /* whose cost hasn't been told */
};

struct walk *walk_of(struct ctl_out *o);
void walk_step(struct walk *w, const struct image *tip, struct ctl_out *o);
/* NULL: all have been told (over), or the step is long enough. */
const struct image_partition *walk_next(struct walk *w);
