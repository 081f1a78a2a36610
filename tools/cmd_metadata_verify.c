/* weir metadata verify: everything that can be said to be wrong.
 *
 *  1. each batch has its checksum, and a record for each of its offsets
 *  2. offsets go on from batch to batch and from file to file, epochs never go back; a segment begins at its name
 *  3. each record can be decoded and makes sense where it stands (metadata/image_check.h)
 *  4. each checkpoint is whole, and equal to the image that the log leads to at its offset
 *  5. at the end every sentence of image_faults() holds of what is settled: a transaction that is open there is told by a note
 * Memory: one image and one batch; a checkpoint's image beside it while the two are compared. */
#include "tools/cmd_metadata.h"
#include <inttypes.h>

const struct flag flags_metadata_verify[] = {FLAGS_METADATA, {0}};

enum { FAULTS_MAX = 1000 }; /* said one by one */

struct verify {
    struct tool *t;
    struct meta_place place;
    struct meta_state state;
    bool has_state; /* the image stands for all that came before */
    int64_t from;   /* offsets below are in the checkpoint that the image began with */
    int checked;    /* checkpoints that are done with */
    int64_t next;   /* offset; -1: any */
    int32_t epoch;
    int file;
    int64_t batches, records, faults, notes;
    const char *where; /* of faults that image_faults() tells */
};

static void fault(struct verify *v, const char *where, const char *what, bool note)
{
    if (note)
        v->notes++;
    else
        v->faults++;
    if (v->faults + v->notes > FAULTS_MAX)
        return;
    if (v->t->json) {
        struct json j = tool_json(v->t);

        json_open(&j, NULL, '{');
        json_str(&j, note ? "note" : "fault", what);
        json_str(&j, "where", where);
        json_close(&j, '}');
        bytes_add(&v->t->out, "\n", 1);
    } else {
        bytes_printf(&v->t->out, "%s: %s%s\n", where, note ? "note: " : "", what);
    }
}

static void image_fault(void *arg, const char *sentence, bool note)
{
    struct verify *v = arg;

    fault(v, v->where, sentence, note);
}

/* ---- checkpoints ---- */

static void check_image(struct verify *v, const char *where, struct image *i)
{
    v->where = where;
    if (i->before)
        fault(v, where, "it ends inside a transaction: what holds is what was before it", true);
    image_faults(image_settled(i), v->t->heap, image_fault, v);
}

/* On its own, and against the log where that leads to the same offset. */
static void check_checkpoint(struct verify *v, const struct meta_file *f)
{
    struct meta_state s;
    const char *why;

    meta_state_init(&s, v->t->heap);
    why = meta_checkpoint(v->t, f, &s);
    if (why)
        fault(v, f->path, why, false);
    else
        check_image(v, f->path, s.draft);
    if (!why && v->has_state && v->state.draft->offset == f->offset - 1 && !v->state.draft->before &&
        !image_equal(v->state.draft, s.draft, v->t->heap))
        fault(v, f->path, "it isn't what the log leads to at its offset", false);
    if (!why && !v->has_state) {
        struct meta_state none = v->state;

        v->state = s;
        s = none;
        v->has_state = true;
        v->from = f->offset;
    }
    meta_state_drop(&s);
}

/* Those that end before the record at `offset`. */
static void checkpoints_until(struct verify *v, int64_t offset)
{
    for (; v->checked < v->place.n_checkpoints && v->place.checkpoints[v->checked].offset <= offset;
         v->checked++)
        check_checkpoint(v, &v->place.checkpoints[v->checked]);
}

/* ---- the log ---- */

static void check_batch(struct verify *v, const struct meta_item *i, struct arena *a)
{
    const struct batch_view *b = &i->batch.view;
    const char *where = meta_item_where(i, a);

    if (v->next >= 0 && b->base_offset != v->next)
        fault(v, where,
              arena_printf(a, "offset %" PRId64 " comes where %" PRId64 " was expected", b->base_offset,
                           v->next),
              false);
    if (v->file != i->batch.file &&
        strspn(strrchr(i->batch.where, '/') ? strrchr(i->batch.where, '/') + 1 : i->batch.where,
               "0123456789") == 20 &&
        v->place.logs[i->batch.file].offset != b->base_offset)
        fault(v, where, "the segment's name names another first offset", false);
    if (b->leader_epoch < v->epoch)
        fault(v, where, arena_printf(a, "epoch %d comes behind epoch %d", b->leader_epoch, v->epoch), false);
    v->epoch = b->leader_epoch;
    v->next = b->last_offset + 1;
    v->file = i->batch.file;
    v->batches++;
}

static void backwards(struct verify *v, const struct meta_item *i, struct arena *a)
{
    struct meta_record r;
    const char *why = meta_item_record(i, a, &r) ? image_backwards(v->state.draft, &r, a) : NULL;

    if (why)
        fault(v, meta_item_where(i, a), why, false);
}

static void check_record(struct verify *v, const struct meta_item *i, struct arena *a)
{
    const char *why;

    v->records++;
    checkpoints_until(v, i->offset);
    if (!v->has_state || i->offset < v->from)
        return;
    if (i->offset != v->state.draft->offset + 1) {
        v->has_state = false; /* the next checkpoint begins anew */
        fault(v, meta_item_where(i, a),
              arena_printf(a, "what records lead to isn't known from here on: offset %" PRId64 " is missing",
                           v->state.draft->offset + 1),
              false);
        return;
    }
    backwards(v, i, a);
    why = meta_state_apply(&v->state, i, a);
    if (why)
        fault(v, meta_item_where(i, a), why, false);
    v->state.draft->offset = i->offset;
}

static void check_log(struct verify *v)
{
    struct meta_reader r;
    struct meta_item i;

    meta_reader_open(&r, v->t, meta_files(v->t, v->place.logs, v->place.n_logs, 0));
    while (meta_reader_next(&r, &i)) {
        if (i.first)
            check_batch(v, &i, &r.arena);
        check_record(v, &i, &r.arena);
        meta_flush(v->t);
    }
    if (r.why && r.torn && r.batch.file == v->place.n_logs - 1)
        fault(v, r.why, "the log ends inside a batch: it is being written, or was cut off", true);
    else if (r.why)
        fault(v, r.why, "nothing behind it was read", false);
    meta_reader_close(&r);
}

/* The one at offset 0 says who begins a quorum, and holds nothing. */
static int snapshots(const struct verify *v)
{
    int n = v->place.n_checkpoints;

    return v->place.directory && n > 0 && v->place.checkpoints[0].offset == 0 ? n - 1 : n;
}

static void summary(struct verify *v)
{
    struct tool *t = v->t;
    const char *end = meta_image_place(v->state.draft, &t->arena);

    if (t->json) {
        struct json j = tool_json(t);

        json_open(&j, NULL, '{');
        json_int(&j, "batches", v->batches);
        json_int(&j, "records", v->records);
        json_int(&j, "checkpoints", snapshots(v));
        json_int(&j, "offset", v->state.draft->offset);
        json_int(&j, "faults", v->faults);
        json_int(&j, "notes", v->notes);
        json_close(&j, '}');
        bytes_add(&t->out, "\n", 1);
        return;
    }
    if (v->faults + v->notes > FAULTS_MAX)
        bytes_printf(&t->out, "… and %" PRId64 " more\n", v->faults + v->notes - FAULTS_MAX);
    bytes_printf(&t->out, "%" PRId64 " batches, %" PRId64 " records, %d snapshots; up to %s: ", v->batches,
                 v->records, snapshots(v), end);
    if (v->faults)
        bytes_printf(&t->out, "%" PRId64 " faults\n", v->faults);
    else
        bytes_printf(&t->out, "well\n");
}

void cmd_metadata_verify(struct tool *t)
{
    struct verify v = {.t = t, .next = -1, .epoch = -1, .file = -1};

    if (!meta_open(t, &v.place))
        return;
    meta_state_init(&v.state, t->heap);
    v.has_state = v.place.n_logs && v.place.logs[0].offset == 0;
    check_log(&v);
    checkpoints_until(&v, INT64_MAX);
    if (v.has_state && v.place.n_logs)
        check_image(&v, v.place.logs[v.place.n_logs - 1].path, v.state.draft);
    summary(&v);
    meta_state_drop(&v.state);
    t->exit = v.faults ? EXIT_FAILED : EXIT_OK;
}
