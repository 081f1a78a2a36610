#include "tools/meta_reader.h"
#include "proto/bigend.h"
#include "tools/dump.h"
#include <inttypes.h>

void meta_reader_open(struct meta_reader *r, struct tool *t, struct meta_source *source)
{
    *r = (struct meta_reader){.t = t, .source = source, .codecs = codec_cache_new(t->heap)};
    arena_init(&r->arena, t->heap, SIZE_MAX);
}

void meta_reader_close(struct meta_reader *r)
{
    if (r->in_batch)
        record_iter_close(&r->it);
    r->source->close(r->source);
    codec_cache_drop(r->codecs);
    arena_drop(&r->arena);
}

/* The sentence outlives this reader. */
static bool fail(struct meta_reader *r, const char *what, enum err err)
{
    struct arena *a = &r->t->arena;

    if (err && r->source->why) {
        r->why = r->source->why;
        return false;
    }
    r->torn = err == E_TRUNCATED && !r->in_batch;
    r->why =
        arena_printf(a, "%s, position %" PRId64 ": %s%s%s", r->batch.where ? r->batch.where : "the source",
                     r->batch.position, what, err ? ": " : "", err ? err_text(err) : "");
    return false;
}

static bool batch_begin(struct meta_reader *r)
{
    enum err err = r->source->next(r->source, &r->batch);

    if (err == E_EOF)
        return false;
    if (err)
        return fail(r, r->batch.position ? "no whole batch begins here" : "can't be read", err);
    if (!batch_crc_ok(&r->batch.view))
        return fail(r, "the checksum of the batch is wrong", E_OK);
    arena_reset(&r->arena);
    record_iter_open(&r->it, r->t->heap, r->codecs, &r->batch.view, META_RECORD_MAX);
    r->in_batch = true;
    r->seen = 0;
    return true;
}

static bool batch_end(struct meta_reader *r)
{
    record_iter_close(&r->it);
    r->in_batch = false;
    if (r->seen != r->batch.view.last_offset_delta + 1)
        return fail(r, "the batch doesn't hold a record for each of its offsets", E_OK);
    return true;
}

static enum err item_decode(struct meta_reader *r, struct meta_item *i)
{
    if (i->is_control)
        return i->key.len >= 4 ? E_OK : E_MALFORMED;
    if (!i->value.p)
        return E_MALFORMED;
    i->is_kafka = kafka_record_is(i->value);
    return i->is_kafka ? kafka_record_decode(i->value, &r->arena, &i->kafka)
                       : record_decode(i->value, &r->arena, &i->record);
}

bool meta_reader_next(struct meta_reader *r, struct meta_item *out)
{
    struct record rec;
    enum err err = E_EOF;

    while (!r->why) {
        if (!r->in_batch && !batch_begin(r))
            return false;
        err = record_next(&r->it, &rec);
        if (err != E_EOF)
            break;
        if (!batch_end(r))
            return false;
    }
    if (r->why)
        return false;
    if (err)
        return fail(r, "a record can't be read", err);
    if (rec.offset_delta != r->seen++)
        return fail(r, "offsets inside the batch aren't in a row", E_OK);
    *out = (struct meta_item){.batch = r->batch,
                              .offset = rec.offset,
                              .time_ms = rec.timestamp,
                              .epoch = r->batch.view.leader_epoch,
                              .first = rec.offset_delta == 0,
                              .last = rec.offset == r->batch.view.last_offset,
                              .is_control = r->batch.view.attributes & BATCH_CONTROL,
                              .key = rec.key,
                              .value = rec.value};
    err = item_decode(r, out);
    if (err)
        return fail(
            r, arena_printf(&r->t->arena, "the record at offset %" PRId64 " can't be decoded", rec.offset),
            err);
    return true;
}

/* ---- in words ---- */

bool meta_item_record(const struct meta_item *i, struct arena *a, struct meta_record *out)
{
    if (i->is_control)
        return false;
    if (i->is_kafka)
        return kafka_record_ours(&i->kafka, a, out) == KAFKA_CHANGES;
    *out = i->record;
    return true;
}

enum control_type meta_control_type(const struct meta_item *i)
{
    return (enum control_type)get_be16(i->key.p + 2);
}

const char *meta_item_where(const struct meta_item *i, struct arena *a)
{
    return arena_printf(a, "%s, position %" PRId64 ", offset %" PRId64, i->batch.where, i->batch.position,
                        i->offset);
}

const char *meta_item_name(const struct meta_item *i, struct arena *a)
{
    struct bytes name;
    char *out;

    if (!i->is_control && !i->is_kafka)
        return arena_printf(a, "%s_RECORD", record_name(i->record.type));
    if (i->is_control) {
        switch (meta_control_type(i)) {
        case CONTROL_LEADER_CHANGE:
            return "LeaderChange";
        case CONTROL_SNAPSHOT_HEADER:
            return "SnapshotHeader";
        case CONTROL_SNAPSHOT_FOOTER:
            return "SnapshotFooter";
        case CONTROL_KRAFT_VERSION:
            return "KRaftVersion";
        case CONTROL_KRAFT_VOTERS:
            return "KRaftVoters";
        case CONTROL_RAFT_PLACE:
            return "RaftPlace";
        }
        return arena_printf(a, "Control(%d)", get_be16(i->key.p + 2));
    }
    bytes_init(&name, a->heap);
    kafka_record_name(&i->kafka, &name);
    out = arena_str(a, bytes_slice(&name));
    bytes_drop(&name);
    return out;
}

/* Behind the name that a dump puts before it. */
static void control_json(const struct meta_item *i, struct arena *a, struct bytes *out)
{
    struct bytes text;
    uint8_t *brace;

    bytes_init(&text, a->heap);
    dump_control(i->key, i->value, a, &text);
    brace = memchr(text.p, '{', text.len);
    if (brace)
        bytes_add(out, brace, text.len - (size_t)(brace - text.p));
    else
        bytes_printf(out, "{}");
    bytes_drop(&text);
}

void meta_item_json(const struct meta_item *i, struct arena *a, struct bytes *out)
{
    if (i->is_control)
        control_json(i, a, out);
    else if (i->is_kafka)
        proto_json(i->kafka.type, i->kafka.version, i->kafka.msg, out);
    else
        dump_record_data(&i->record, out);
}
