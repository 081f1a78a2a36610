#include "tools/meta_state.h"
#include "proto_gen.h"

enum { GRAVE_STEP = 1000 };

void meta_state_init(struct meta_state *s, struct heap *h)
{
    *s = (struct meta_state){0};
    grave_init(&s->grave, h);
    s->draft = image_new(&s->grave);
}

void meta_state_drop(struct meta_state *s)
{
    image_unref(s->draft, &s->grave);
    grave_empty(&s->grave);
}

/* What there is becomes a value of its own; the draft goes on from it. */
static struct image *split(struct meta_state *s)
{
    struct image *now = s->draft;

    image_seal(now);
    s->draft = image_draft(now, &s->grave);
    return now;
}

struct image *meta_state_image(struct meta_state *s)
{
    return s->draft->before ? image_ref(s->draft->before) : split(s);
}

/* ---- records ---- */

static const char *replay(struct meta_state *s, const struct meta_record *r, struct arena *a)
{
    const char *why = image_refuses(s->draft, r, a);

    if (!why)
        image_replay(s->draft, &s->grave, r);
    return why;
}

static const char *apply_kafka(struct meta_state *s, const struct meta_item *i, struct arena *a)
{
    struct meta_record r;

    switch (kafka_record_ours(&i->kafka, a, &r)) {
    case KAFKA_CHANGES:
        return replay(s, &r, a);
    case KAFKA_ELSEWHERE:
        s->elsewhere++;
        return NULL;
    }
    return NULL;
}

/* A checkpoint says when its last record was written. */
static const char *apply_control(struct meta_state *s, const struct meta_item *i, struct arena *a)
{
    struct SnapshotHeaderRecord head;

    if (meta_control_type(i) == CONTROL_SNAPSHOT_FOOTER)
        s->footer = true;
    if (meta_control_type(i) != CONTROL_SNAPSHOT_HEADER)
        return NULL;
    if (proto_decode(&SnapshotHeaderRecord_type, 0, i->value, a, &head))
        return "the snapshot's header can't be decoded";
    s->header = true;
    s->header_ms = head.last_contained_log_timestamp;
    return NULL;
}

const char *meta_state_apply(struct meta_state *s, const struct meta_item *i, struct arena *a)
{
    const char *why = i->is_control ? apply_control(s, i, a)
                      : i->is_kafka ? apply_kafka(s, i, a)
                                    : replay(s, &i->record, a);

    if (why)
        return why;
    s->draft->offset = i->offset;
    s->draft->epoch = i->epoch;
    s->draft->append_ms = i->time_ms;
    (void)grave_step(&s->grave, GRAVE_STEP);
    return NULL;
}
