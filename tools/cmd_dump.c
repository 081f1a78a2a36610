#include "tools/commands.h"
#include "tools/dump.h"
#include <stdarg.h>

#define LATER_JAVA "Java classes, which can't run here"

/* clang-format off */
const struct flag flags_dump[] = {
    {"files", 0, FLAG_TEXT, "FILE,FILE", NULL, NULL, ".log .index .timeindex .txnindex .snapshot .checkpoint"},
    {"print-data-log", 0, FLAG_BOOL, NULL, NULL, NULL, "keys and values too"},
    {"deep-iteration", 0, FLAG_BOOL, NULL, NULL, NULL, "records too, not only batches"},
    {"skip-record-metadata", 0, FLAG_BOOL, NULL, NULL, NULL, "of records, only keys and values"},
    {"verify-index-only", 0, FLAG_BOOL, NULL, NULL, NULL, "of an index, only what is wrong"},
    {"index-sanity-check", 0, FLAG_BOOL, NULL, NULL, NULL, "of an index, only whether it is whole"},
    {"max-bytes", 0, FLAG_NUMBER, "BYTES", "2147483647", NULL, "only the first bytes of a log"},
    {"max-message-size", 0, FLAG_NUMBER, "BYTES", "5242880", NULL, "the largest record that is read"},
    {"cluster-metadata-decoder", 0, FLAG_BOOL, NULL, NULL, NULL, "values are metadata records"},
    {"offsets-decoder", 0, FLAG_BOOL, NULL, NULL, NULL, "records are those of __consumer_offsets"},
    {"transaction-log-decoder", 0, FLAG_BOOL, NULL, NULL, NULL, "records are those of __transaction_state"},
    {"share-group-state-decoder", 0, FLAG_BOOL, NULL, NULL, NULL, "records are those of __share_group_state"},
    {"remote-log-metadata-decoder", 0, FLAG_BOOL, NULL, NULL, "tiered storage", NULL},
    {"key-decoder-class", 0, FLAG_MAYBE, "CLASS", "", LATER_JAVA, NULL},
    {"value-decoder-class", 0, FLAG_MAYBE, "CLASS", "", LATER_JAVA, NULL},
    FLAGS_TOOL,
    {0},
};
/* clang-format on */

enum { READ_AHEAD = 1 << 18 };

void dump_fault(struct dump *d, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    tool_warn(d->t, "%s", text);
    d->faults++;
}

enum err dump_open(struct dump *d, struct dump_reader *r, const char *path, int64_t end)
{
    *r = (struct dump_reader){.heap = d->t->heap};
    bytes_init(&r->buf, r->heap);
    enum err err = file_open(d->t->io, path, 0, &r->file);
    if (err)
        return err;
    r->size = file_size(r->file);
    if (r->size > end)
        r->size = end;
    return E_OK;
}

void dump_close(struct dump_reader *r)
{
    bytes_drop(&r->buf);
    if (r->file)
        file_unref(r->file);
}

/* At least `len` bytes from `at` on, or all that there are. */
static enum err window(struct dump_reader *r, int64_t at, size_t len, struct slice *out)
{
    size_t want = len > READ_AHEAD ? len : READ_AHEAD, got = 0;
    enum err err = E_OK;

    if (at < r->buf_at || at + (int64_t)len > r->buf_at + (int64_t)r->buf.len) {
        if ((int64_t)want > r->size - at)
            want = (size_t)(r->size - at);
        r->buf.len = 0;
        err = file_read(r->file, at, bytes_more(&r->buf, want), want, &got);
        r->buf.len = err ? 0 : got;
        r->buf_at = at;
    }
    *out = slice_of(r->buf.p + (at - r->buf_at), r->buf.len - (size_t)(at - r->buf_at));
    return err;
}

enum err dump_batch(struct dump_reader *r, int64_t at, struct batch_view *v)
{
    struct slice bytes;
    enum err err = at >= r->size ? E_EOF : window(r, at, BATCH_HEAD, &bytes);

    if (!err)
        err = batch_head(bytes, v);
    if (!err && (int64_t)v->len > r->size - at)
        err = E_TRUNCATED;
    if (!err && r->batch_max && v->len > r->batch_max)
        err = E_NOMEM;
    if (!err)
        err = window(r, at, v->len, &bytes);
    return err ? err : batch_view(bytes, v);
}

static void one_file(struct dump *d, const char *path)
{
    static const struct {
        const char *suffix;
        void (*run)(struct dump *d, const char *path);
    } kinds[] = {{".log", dump_log},           {".checkpoint", dump_log},
                 {".index", dump_index},       {".timeindex", dump_timeindex},
                 {".txnindex", dump_txnindex}, {".snapshot", dump_snapshot}};
    size_t len = strlen(path);

    if (!d->t->json)
        bytes_printf(&d->t->out, "Dumping %s\n", path);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t n = strlen(kinds[i].suffix);

        if (len > n && strcmp(path + len - n, kinds[i].suffix) == 0) {
            kinds[i].run(d, path);
            return;
        }
    }
    dump_fault(d, "%s is no file of a log: .log .checkpoint .index .timeindex .txnindex .snapshot", path);
}

static enum dump_decoder decoder_of(const struct flags *f)
{
    return flag_given(f, "cluster-metadata-decoder")    ? DUMP_METADATA
           : flag_given(f, "offsets-decoder")           ? DUMP_OFFSETS
           : flag_given(f, "transaction-log-decoder")   ? DUMP_TRANSACTIONS
           : flag_given(f, "share-group-state-decoder") ? DUMP_SHARE
                                                        : DUMP_STRINGS;
}

void cmd_dump(struct tool *t)
{
    struct dump d = {.t = t,
                     .verify = flag_given(&t->flags, "verify-index-only"),
                     .sanity = flag_given(&t->flags, "index-sanity-check"),
                     .skip_metadata = flag_given(&t->flags, "skip-record-metadata"),
                     .max_bytes = flag_number(&t->flags, "max-bytes"),
                     .max_record = (size_t)flag_number(&t->flags, "max-message-size"),
                     .decoder = decoder_of(&t->flags)};
    const char *files = flag_text(&t->flags, "files");
    char *rest, *path;

    if (!files) {
        tool_usage(t, "which files? --files FILE,FILE");
        return;
    }
    d.data = flag_given(&t->flags, "print-data-log") || d.decoder != DUMP_STRINGS;
    d.deep = d.data || flag_given(&t->flags, "deep-iteration");
    d.codecs = codec_cache_new(t->heap);
    arena_init(&d.arena, t->heap, SIZE_MAX);
    t->world->interruptible(t->world->arg);
    rest = arena_str(&t->arena, SLICE(files));
    while ((path = strsep(&rest, ",")))
        one_file(&d, path + strspn(path, " "));
    arena_drop(&d.arena);
    codec_cache_drop(d.codecs);
    t->exit = d.faults ? EXIT_FAILED : EXIT_OK;
}
