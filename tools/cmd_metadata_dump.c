/* weir metadata dump: every record, one a line, as it comes. */
#include "tools/cmd_metadata.h"
#include <inttypes.h>

/* clang-format off */
const struct flag flags_metadata_dump[] = {
    {"from", 0, FLAG_NUMBER, "OFFSET", "0", NULL, "the first one"},
    {"to", 0, FLAG_NUMBER, "OFFSET", "9223372036854775807", NULL, "the last one"},
    {"type", 0, FLAG_TEXT, "NAME", NULL, NULL, "only records of this type: TOPIC_RECORD, or topic"},
    {"batches", 0, FLAG_BOOL, NULL, NULL, NULL, "a line for each batch too"},
    FLAGS_METADATA,
    {0},
};
/* clang-format on */

/* "topic" and "TOPIC_RECORD" mean the same. */
static bool is_type(const char *wanted, const char *name)
{
    size_t len = strlen(wanted);

    return !wanted[0] ||
           (strncasecmp(wanted, name, len) == 0 && (!name[len] || strcmp(name + len, "_RECORD") == 0));
}

static void print_text(struct tool *t, const struct meta_item *i, const char *name, struct arena *a)
{
    char time[META_TIME_LEN + 1];

    bytes_printf(&t->out, "%" PRId64 "  epoch %d  %s  %s ", i->offset, i->epoch, meta_time(i->time_ms, time),
                 name);
    meta_item_json(i, a, &t->out);
    bytes_add(&t->out, "\n", 1);
}

static void print_json(struct tool *t, const struct meta_item *i, const char *name, struct arena *a)
{
    bytes_printf(&t->out, "{\"offset\":%" PRId64 ",\"epoch\":%d,\"timestamp\":%" PRId64 ",\"type\":\"%s\"",
                 i->offset, i->epoch, i->time_ms, name);
    if (i->is_kafka)
        bytes_printf(&t->out, ",\"version\":%d", i->kafka.version);
    bytes_printf(&t->out, ",\"data\":");
    meta_item_json(i, a, &t->out);
    bytes_add(&t->out, "}\n", 2);
}

static void print_batch(struct tool *t, const struct meta_item *i)
{
    const struct batch_view *v = &i->batch.view;

    bytes_printf(&t->out,
                 "batch %" PRId64 "-%" PRId64 "  epoch %d  %d records, %zu bytes%s%s%s, position %" PRId64
                 " of %s\n",
                 v->base_offset, v->last_offset, v->leader_epoch, v->count, v->len,
                 v->attributes & BATCH_CONTROL ? ", control" : "", batch_codec(v) ? ", " : "",
                 batch_codec(v) ? codec_name(batch_codec(v)) : "", i->batch.position, i->batch.where);
}

static void dump(struct tool *t, const struct meta_file *v, int n)
{
    int64_t from = flag_number(&t->flags, "from"), to = flag_number(&t->flags, "to");
    const char *type = flag_text(&t->flags, "type");
    bool batches = flag_given(&t->flags, "batches") && !t->json;
    struct meta_reader r;
    struct meta_item i;

    meta_reader_open(&r, t, meta_files(t, v, n, from));
    while (meta_reader_next(&r, &i) && i.offset <= to) {
        const char *name = meta_item_name(&i, &r.arena);

        if (i.first && batches)
            print_batch(t, &i);
        if (i.offset < from || !is_type(type ? type : "", name))
            continue;
        if (t->json)
            print_json(t, &i, name, &r.arena);
        else
            print_text(t, &i, name, &r.arena);
        meta_flush(t);
    }
    if (r.why)
        tool_fail(t, "%s", r.why);
    meta_reader_close(&r);
}

void cmd_metadata_dump(struct tool *t)
{
    struct meta_place p;

    if (!meta_open(t, &p))
        return;
    if (p.n_logs && p.n_checkpoints && p.logs[0].live && p.logs[0].offset == p.checkpoints[0].offset &&
        flag_number(&t->flags, "from") == 0)
        dump(t, p.checkpoints, 1); /* all that the cluster still has of what was before its log */
    if (t->ended)
        return;
    if (p.n_logs)
        dump(t, p.logs, p.n_logs);
    else
        dump(t, &p.checkpoints[p.n_checkpoints - 1], 1);
}
