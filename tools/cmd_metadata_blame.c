/* weir metadata blame: each change of one thing, with the record that made it. */
#include "tools/cmd_metadata.h"
#include "tools/meta_blame.h"
#include "tools/meta_words.h"
#include <inttypes.h>

const struct flag flags_metadata_blame[] = {FLAGS_METADATA, {0}};

struct blame {
    struct tool *t;
    struct meta_target target;
    const struct meta_item *item; /* whose changes are told; NULL: of a snapshot */
    const struct image *image;
    int told;
};

static void print(void *arg, const struct meta_change *c)
{
    struct blame *b = arg;
    struct tool *t = b->t;
    int64_t offset = b->item ? b->item->offset : b->image->offset;
    int64_t ms = b->item ? b->item->time_ms : b->image->append_ms;
    int32_t epoch = b->item ? b->item->epoch : b->image->epoch;
    char time[META_TIME_LEN + 1];

    if (strcmp(c->kind, "partition") == 0 && !meta_names_partition(&b->target, c->subject))
        return; /* the record changed others besides */
    b->told++;
    if (t->json) {
        struct json j = tool_json(t);

        json_open(&j, NULL, '{');
        json_int(&j, "offset", offset);
        json_int(&j, "epoch", epoch);
        json_int(&j, "timestamp", ms);
        json_bool(&j, "snapshot", !b->item);
        json_str(&j, "kind", c->kind);
        json_str(&j, "subject", c->subject);
        json_str(&j, "what", c->what);
        json_str(&j, "before", c->before);
        json_str(&j, "after", c->after);
        json_close(&j, '}');
        bytes_add(&t->out, "\n", 1);
    } else {
        bytes_printf(&t->out, "%s%" PRId64 "  epoch %d  %s  %s\n", b->item ? "" : "by ", offset, epoch,
                     meta_time(ms, time), c->words);
    }
    meta_flush(t);
}

static bool concerns(struct blame *b, struct meta_walk *w, const struct meta_item *i)
{
    struct meta_record r;

    return meta_item_record(i, &w->reader.arena, &r) && meta_concerns(&b->target, w->state.draft, &r);
}

/* The draft before and after one record: what it did is what differs. */
static bool tell(struct blame *b, struct meta_walk *w)
{
    struct meta_state *s = &w->state;
    struct meta_item item = *b->item;
    struct image *before = s->draft;
    bool well;

    image_seal(before);
    s->draft = image_draft(before, &s->grave);
    well = meta_walk_apply(w);
    b->item = &item;
    if (well)
        meta_changes(before, s->draft, b->t->heap, print, b);
    image_unref(before, &s->grave);
    return well;
}

/* What was there already where the history that is left begins: told of the oldest snapshot. */
static void tell_base(struct blame *b, const struct image *i)
{
    struct image_records all = image_records(i);
    struct grave g;
    struct meta_record r;
    struct image *draft;

    grave_init(&g, b->t->heap);
    b->image = i;
    for (draft = image_new(&g); image_records_next(&all, &r);) {
        struct image *before = draft;

        if (!meta_concerns(&b->target, i, &r)) {
            image_replay(draft, &g, &r);
            continue;
        }
        image_seal(before);
        draft = image_draft(before, &g);
        image_replay(draft, &g, &r);
        meta_changes(before, draft, b->t->heap, print, b);
        image_unref(before, &g);
    }
    image_unref(draft, &g);
    grave_empty(&g);
}

void cmd_metadata_blame(struct tool *t)
{
    struct blame b = {.t = t};
    int words = meta_words(t);
    struct meta_place p;
    struct meta_walk w;

    if (!meta_open(t, &p))
        return;
    if (t->flags.n_rest <= words) {
        tool_usage(t,
                   "whom? A topic, TOPIC-PARTITION, a broker's id or the name of a setting behind the path");
        return;
    }
    b.target = meta_target(t->flags.rest[words]);
    if (!meta_walk_open(&w, t, &p, META_END, p.n_logs > 0))
        return;
    if (w.state.header)
        tell_base(&b, w.state.draft);
    while ((b.item = meta_walk_peek(&w, META_END)))
        if (!(concerns(&b, &w, b.item) ? tell(&b, &w) : meta_walk_apply(&w)))
            break;
    if (!t->ended && b.told == 0)
        tool_fail(t, "nothing here concerns %s: no topic, partition, broker or setting of that name",
                  t->flags.rest[words]);
    meta_walk_close(&w);
}
