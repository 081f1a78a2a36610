#include "metadata/walk.h"
#include "base/check.h"

enum { SEEN_COST = 4 }; /* so many that are only looked at cost what a record does, if no cache holds them */

struct walk *walk_of(struct ctl_out *o)
{
    if (!o->state)
        o->state = arena_alloc(o->arena, sizeof(struct walk));
    return o->state;
}

static void topic_next(struct walk *w, int32_t from)
{
    w->topic = image_topics_next(&w->topics);
    w->over = !w->topic;
    if (w->topic)
        w->partitions = image_partitions_from(w->topic, from);
}

void walk_step(struct walk *w, const struct image *tip, struct ctl_out *o)
{
    w->begun = true;
    w->out = o;
    if (w->over)
        return;
    w->topics = image_topics_from(tip, w->name);
    topic_next(w, w->index);
    ASSERT(!w->name.p || (w->topic && slice_eq(w->topic->name, w->name)));
}

/* The place is kept; the name only when it is another one. */
static void pause(struct walk *w, int32_t index)
{
    if (!w->name.p || !slice_eq(w->name, w->topic->name))
        w->name = arena_copy(w->out->arena, w->topic->name);
    w->index = index;
}

const struct image_partition *walk_next(struct walk *w)
{
    const struct image_partition *p;

    while (!w->over) {
        p = image_partitions_next(&w->partitions);
        if (p && ctl_pause(w->out)) {
            pause(w, partition_index(p));
            return NULL;
        }
        if (p) {
            w->seen++;
            w->out->cost += w->seen % SEEN_COST == 0;
            return p;
        }
        w->out->cost++;
        topic_next(w, 0);
    }
    w->out->more = false;
    return NULL;
}
