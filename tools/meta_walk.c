#include "tools/meta_walk.h"
#include <inttypes.h>

const char *meta_checkpoint(struct tool *t, const struct meta_file *f, struct meta_state *s)
{
    struct meta_reader r;
    struct meta_item i;
    const char *why = NULL;

    s->header_ms = -1;
    meta_reader_open(&r, t, meta_files(t, f, 1, 0));
    while (!why && meta_reader_next(&r, &i)) {
        why = s->footer ? "records behind the footer" : meta_state_apply(s, &i, &r.arena);
        if (!why && !s->header)
            why = "it doesn't begin with a snapshot's header";
        if (why)
            why = arena_printf(&t->arena, "%s: %s", meta_item_where(&i, &r.arena), why);
    }
    if (!why)
        why = r.why;
    if (!why && !s->footer)
        why = arena_printf(&t->arena, "%s: the footer is missing: it isn't whole", f->path);
    meta_reader_close(&r);
    s->draft->offset = f->offset - 1;
    s->draft->epoch = f->epoch;
    s->draft->append_ms = s->header_ms;
    return why;
}

/* ---- where to begin ---- */

/* Time of the last record that a checkpoint holds; INT64_MAX: unreadable. */
static int64_t checkpoint_ms(struct tool *t, const struct meta_file *f)
{
    struct meta_state s;
    struct meta_reader r;
    struct meta_item i;
    int64_t ms = INT64_MAX;

    meta_state_init(&s, t->heap);
    meta_reader_open(&r, t, meta_files(t, f, 1, 0));
    if (meta_reader_next(&r, &i) && !meta_state_apply(&s, &i, &r.arena) && s.header)
        ms = s.header_ms;
    meta_reader_close(&r);
    meta_state_drop(&s);
    return ms;
}

static bool before(struct tool *t, const struct meta_file *f, struct meta_point point)
{
    return point.kind == META_OFFSET ? f->offset - 1 <= point.value : checkpoint_ms(t, f) <= point.value;
}

static bool load(struct meta_walk *w, const struct meta_file *f)
{
    const char *why = meta_checkpoint(w->t, f, &w->state);

    if (!why)
        return true;
    tool_warn(w->t, "%s", why);
    meta_state_drop(&w->state);
    meta_state_init(&w->state, w->t->heap);
    return false;
}

/* The first offset that no checkpoint gave, -1: none could be loaded. */
static int64_t load_newest(struct meta_walk *w, struct meta_point point)
{
    const struct meta_place *p = w->place;

    for (int i = p->n_checkpoints - 1; i >= 0; i--)
        if (before(w->t, &p->checkpoints[i], point) && load(w, &p->checkpoints[i]))
            return p->checkpoints[i].offset;
    return -1;
}

static int64_t load_oldest(struct meta_walk *w)
{
    const struct meta_place *p = w->place;
    int64_t first = p->n_logs ? p->logs[0].offset : 0;

    for (int i = 0; i < p->n_checkpoints; i++)
        if (p->checkpoints[i].offset >= first && load(w, &p->checkpoints[i]))
            return p->checkpoints[i].offset;
    return -1;
}

bool meta_walk_open(struct meta_walk *w, struct tool *t, const struct meta_place *place,
                    struct meta_point point, bool oldest)
{
    int64_t first = place->n_logs ? place->logs[0].offset : -1, from = -1;

    *w = (struct meta_walk){.t = t, .place = place};
    meta_state_init(&w->state, t->heap);
    if (!oldest || first != 0)
        from = oldest ? load_oldest(w) : load_newest(w, point);
    if (from < 0)
        from = 0;
    meta_reader_open(&w->reader, t, meta_files(t, place->logs, place->n_logs, from));
    if (first < 0 && !w->state.header)
        tool_fail(t, "%s: no snapshot can be read that isn't later than that", place->path);
    else if (first > from)
        tool_fail(t, "%s: the log begins at offset %" PRId64 ", and no snapshot leads to it", place->path,
                  first);
    if (t->ended)
        meta_walk_close(w);
    return !t->ended;
}

void meta_walk_close(struct meta_walk *w)
{
    meta_reader_close(&w->reader);
    meta_state_drop(&w->state);
}

/* ---- going on ---- */

static void ended_badly(struct meta_walk *w)
{
    const char *last = w->place->n_logs ? w->place->logs[w->place->n_logs - 1].path : "";

    if (w->reader.torn && strcmp(last, w->reader.batch.where) == 0)
        tool_warn(w->t, "%s (being written at this moment, or cut off)", w->reader.why);
    else
        tool_fail(w->t, "%s", w->reader.why);
}

/* The next record behind the state; a checkpoint may end inside a batch. */
static void read_on(struct meta_walk *w)
{
    int64_t next = w->state.draft->offset + 1;

    w->ended = !meta_reader_next(&w->reader, &w->held);
    if (w->ended && w->reader.why)
        ended_badly(w);
    w->holds = !w->ended && w->held.offset >= next;
    if (w->holds && w->held.offset > next) {
        w->ended = true;
        tool_fail(w->t, "%s: it comes where offset %" PRId64 " was expected; what is between is missing",
                  meta_item_where(&w->held, &w->reader.arena), next);
    }
}

const struct meta_item *meta_walk_peek(struct meta_walk *w, struct meta_point point)
{
    while (!w->holds && !w->ended)
        read_on(w);
    if (w->ended ||
        (point.kind == META_OFFSET ? w->held.offset > point.value : w->held.time_ms > point.value))
        return NULL;
    return &w->held;
}

bool meta_walk_apply(struct meta_walk *w)
{
    const char *why = meta_state_apply(&w->state, &w->held, &w->reader.arena);

    w->holds = false;
    if (why)
        tool_fail(w->t, "%s: %s", meta_item_where(&w->held, &w->reader.arena), why);
    return !why;
}

struct image *meta_walk_to(struct meta_walk *w, struct meta_point point)
{
    while (meta_walk_peek(w, point))
        if (!meta_walk_apply(w))
            return NULL;
    return w->t->ended ? NULL : meta_state_image(&w->state);
}
