/* weir metadata diff: what changed between two moments, or between two places. */
#include "tools/cmd_metadata.h"
#include "tools/meta_link.h"
#include "tools/meta_words.h"

const struct flag flags_metadata_diff[] = {FLAGS_METADATA, {0}};

static void print(void *arg, const struct meta_change *c)
{
    struct tool *t = arg;

    if (t->json) {
        struct json j = tool_json(t);

        json_open(&j, NULL, '{');
        json_str(&j, "kind", c->kind);
        json_str(&j, "subject", c->subject);
        json_str(&j, "what", c->what);
        json_str(&j, "before", c->before);
        json_str(&j, "after", c->after);
        json_close(&j, '}');
        bytes_add(&t->out, "\n", 1);
    } else {
        bytes_printf(&t->out, "%s\n", c->words);
    }
    meta_flush(t);
}

static void compare(struct tool *t, const struct image *before, const struct image *after)
{
    if (!t->json)
        bytes_printf(&t->out, "from %s\nto   %s\n", meta_image_place(before, &t->arena),
                     meta_image_place(after, &t->arena));
    meta_changes(before, after, t->heap, print, t);
}

/* One of the two sides: a walk of its own. */
struct side {
    struct meta_place place;
    struct meta_point point;
    struct meta_walk walk;
    struct image *image;
};

static bool side_load(struct tool *t, struct side *s)
{
    if (!meta_walk_open(&s->walk, t, &s->place, s->point, false))
        return false;
    s->image = meta_walk_to(&s->walk, s->point);
    if (!s->image)
        meta_walk_close(&s->walk);
    return s->image != NULL;
}

static void side_end(struct side *s)
{
    image_unref(s->image, &s->walk.state.grave);
    meta_walk_close(&s->walk);
}

/* Both moments of one log, the first one first: one walk, so that what they share is shared. */
static bool forward(const struct side *a, const struct side *b)
{
    return strcmp(a->place.path, b->place.path) == 0 && a->point.kind == b->point.kind &&
           a->point.value <= b->point.value;
}

static void diff_forward(struct tool *t, struct side *a, const struct side *b)
{
    struct image *after;

    if (!side_load(t, a))
        return;
    after = meta_walk_to(&a->walk, b->point);
    if (after) {
        compare(t, a->image, after);
        image_unref(after, &a->walk.state.grave);
    }
    side_end(a);
}

/* The words as they were typed, with NULL where --bootstrap-controller stands: a place like the others. */
static int words(const struct tool *t, const char **out)
{
    const char *live = flag_text(&t->flags, "bootstrap-controller");
    int n = 0, rest = 0;

    for (int i = 0; i < t->argc; i++) {
        const char *word = t->argv[i];

        if (rest < t->flags.n_rest && word == t->flags.rest[rest])
            out[n++] = t->flags.rest[rest++];
        else if (live && word + strlen(word) == live + strlen(live)) /* its value, or --flag=value */
            out[n++] = NULL;
    }
    return n;
}

/* PATH A B, PATH A (to the end), PATH PATH, PATH A PATH B. */
static bool parse(struct tool *t, struct side side[2])
{
    const char **word = arena_alloc(&t->arena, (size_t)(t->argc + 1) * sizeof(*word));
    int n = words(t, word), paths = 0, points = 0;

    side[0].point = side[1].point = META_END;
    for (int i = 0; i < n; i++) {
        struct meta_point point;

        if (i > 0 && word[i] && meta_point_parse(word[i], io_wall_ms(t->io), &point)) {
            side[paths == 2 ? 1 : points].point = point;
            points++;
        } else if (paths == 2) {
            tool_usage(t, "\"%s\" is one too many: PATH A B, or PATH [A] PATH [B]",
                       word[i] ? word[i] : "--bootstrap-controller");
        } else if (!(word[i] ? meta_place_find(t, word[i], &side[paths].place)
                             : meta_link_place(t, &side[paths].place))) {
            return false;
        } else {
            paths++;
        }
    }
    if (paths == 1)
        side[1].place = side[0].place;
    if (paths == 0 || (paths == 1 && points == 0) || points > 2)
        tool_usage(t, "which two? `weir metadata diff PATH A B` (offsets, times), or PATH [A] PATH [B]; "
                      "--bootstrap-controller HOST:PORT may stand for a PATH");
    return !t->ended;
}

void cmd_metadata_diff(struct tool *t)
{
    struct side side[2] = {0};

    t->world->interruptible(t->world->arg);
    if (!parse(t, side))
        return;
    if (forward(&side[0], &side[1])) {
        diff_forward(t, &side[0], &side[1]);
        return;
    }
    if (!side_load(t, &side[0]))
        return;
    if (side_load(t, &side[1])) {
        compare(t, side[0].image, side[1].image);
        side_end(&side[1]);
    }
    side_end(&side[0]);
}
