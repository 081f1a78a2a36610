#include "quorum/ckpt.h"
#include "base/check.h"
#include "log/whole_file.h"
#include "proto/batch.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { READ_AHEAD = 1 << 18, OFFSET_DIGITS = 20, EPOCH_DIGITS = 10 };

/* ---- names ---- */

void ckpt_name(struct ckpt_id id, char name[CKPT_NAME_LEN + 1])
{
    int n =
        snprintf(name, CKPT_NAME_LEN + 1, "%020" PRId64 "-%010" PRId32 ".checkpoint", id.offset, id.epoch);

    ASSERT(n == CKPT_NAME_LEN);
}

bool ckpt_parse(const char *name, struct ckpt_id *out)
{
    char again[CKPT_NAME_LEN + 1];

    if (strlen(name) != CKPT_NAME_LEN || strspn(name, "0123456789") != OFFSET_DIGITS ||
        strspn(name + OFFSET_DIGITS + 1, "0123456789") != EPOCH_DIGITS)
        return false;
    out->offset = strtoll(name, NULL, 10);
    out->epoch = (int32_t)strtoll(name + OFFSET_DIGITS + 1, NULL, 10);
    if (out->epoch < 0)
        return false;
    ckpt_name(*out, again);
    return strcmp(again, name) == 0;
}

static char *ckpt_path(struct heap *h, const char *dir, struct ckpt_id id, const char *suffix)
{
    size_t len = strlen(dir) + 1 + CKPT_NAME_LEN + strlen(suffix) + 1;
    char *path = heap_alloc(h, len), name[CKPT_NAME_LEN + 1];

    ckpt_name(id, name);
    (void)snprintf(path, len, "%s/%s%s", dir, name, suffix);
    return path;
}

/* ---- which there are ---- */

/* Names come in order: the newest last. A full list forgets its oldest. */
static void listed(void *arg, const char *name, bool is_dir)
{
    struct ckpt_list *l = arg;
    struct ckpt_id id;

    if (is_dir || !ckpt_parse(name, &id) || id.offset == 0)
        return;
    if (l->n < CKPT_LIST_MAX)
        l->n++;
    memmove(l->v + 1, l->v, (size_t)(l->n - 1) * sizeof(l->v[0]));
    l->v[0] = id;
}

enum err ckpt_list_read(struct io *io, const char *dir, struct ckpt_list *out)
{
    out->n = 0;
    return dir_list(io, dir, listed, out);
}

enum err ckpt_keep(struct io *io, const char *dir, int keep, int64_t *oldest)
{
    struct ckpt_list l;
    enum err err = ckpt_list_read(io, dir, &l);

    *oldest = -1;
    for (int i = keep; i < l.n && !err; i++) {
        char *path = ckpt_path(io_heap(io), dir, l.v[i], "");

        err = path_remove(io, path);
        heap_free(io_heap(io), path);
    }
    if (!err && l.n >= keep)
        *oldest = l.v[keep - 1].offset;
    return err;
}

/* ---- reading ---- */

/* A stretch of the file, from which whole batches are taken one by one. */
struct ckpt_reader {
    struct file *file;
    struct bytes buf;
    size_t used;
    int64_t at; /* of the first byte behind the stretch */
};

static void reader_open(struct ckpt_reader *r, struct heap *h, struct file *file)
{
    *r = (struct ckpt_reader){.file = file};
    bytes_init(&r->buf, h);
}

static struct slice reader_rest(const struct ckpt_reader *r)
{
    return r->buf.p ? slice_of(r->buf.p + r->used, r->buf.len - r->used) : SLICE_NULL;
}

/* More bytes behind those that are left. E_EOF: there are none. */
static enum err reader_more(struct ckpt_reader *r)
{
    struct slice rest = reader_rest(r);
    size_t want = rest.len < READ_AHEAD ? READ_AHEAD : rest.len, got;
    enum err err;

    if (r->used > 0)
        memmove(r->buf.p, rest.p, rest.len);
    r->buf.len = rest.len;
    r->used = 0;
    err = file_read(r->file, r->at, bytes_more(&r->buf, want), want, &got);
    if (err)
        got = 0;
    r->buf.len = rest.len + got;
    r->at += (int64_t)got;
    return !err && got == 0 ? E_EOF : err;
}

/* The next whole batch is at the front of reader_rest(). E_EOF: the file ends. */
static enum err reader_batch(struct ckpt_reader *r, struct batch_view *v)
{
    enum err err;

    while ((err = batch_view(reader_rest(r), v)) == E_TRUNCATED) {
        bool torn = reader_rest(r).len > 0;

        err = reader_more(r);
        if (err)
            return err == E_EOF && torn ? E_TRUNCATED : err;
    }
    if (!err && !batch_crc_ok(v))
        err = E_CORRUPT_MESSAGE;
    return err;
}

static enum err take_voters(struct slice batch, struct heap *h, bool *is_voters, struct voters *out)
{
    struct batch_content c;
    struct arena a;
    size_t used;
    enum err err;

    arena_init(&a, h, SIZE_MAX);
    err = batches_read(batch, &a, &c, &used);
    *is_voters = !err && voters_in(&c);
    if (*is_voters)
        err = voters_read(&c, &a, out);
    arena_drop(&a);
    return err;
}

void ckpt_stream_start(struct ckpt_stream *s, struct ckpt_id id, struct grave *g)
{
    *s = (struct ckpt_stream){.id = id};
    snapshot_read_start(&s->records, g);
    bytes_init(&s->rest, g->heap);
}

static enum err take_batch(struct ckpt_stream *s, const struct batch_view *v)
{
    struct slice batch = slice_of(v->p, v->len);
    bool is_voters = false;
    size_t used;
    enum err err = batch_crc_ok(v) ? E_OK : E_CORRUPT_MESSAGE;

    if (!err && (v->attributes & BATCH_CONTROL))
        err = take_voters(batch, s->rest.heap, &is_voters, &s->voters);
    if (!err && !is_voters)
        err = snapshot_read_step(&s->records, batch, &used);
    return err;
}

enum err ckpt_stream_take(struct ckpt_stream *s, struct slice bytes)
{
    struct batch_view v;
    size_t used = 0;
    enum err err = s->err;

    if (err)
        return err;
    bytes_add(&s->rest, bytes.p, bytes.len);
    while (!(err = batch_view(slice_of(s->rest.p + used, s->rest.len - used), &v)) &&
           !(err = take_batch(s, &v)))
        used += v.len;
    s->rest.len -= used;
    memmove(s->rest.p, s->rest.p + used, s->rest.len);
    if (err == E_TRUNCATED)
        err = s->rest.len <= SNAPSHOT_READ_BYTES ? E_OK : E_CORRUPT_MESSAGE;
    return s->err = err;
}

enum err ckpt_stream_end(struct ckpt_stream *s, struct image **image, struct voters *voters)
{
    enum err end = snapshot_read_end(&s->records, s->id.offset, s->id.epoch, image);
    enum err err = s->err ? s->err : end;

    if (!err && s->rest.len > 0)
        err = E_TRUNCATED;
    if (!err && s->voters.n == 0)
        err = E_MALFORMED;
    if (err && !end)
        image_unref(*image, s->records.grave);
    if (err)
        *image = NULL;
    *voters = s->voters;
    bytes_drop(&s->rest);
    return err;
}

static enum err load_pieces(struct file *file, struct ckpt_stream *s)
{
    uint8_t *piece = heap_alloc(s->rest.heap, READ_AHEAD);
    int64_t at = 0;
    size_t got;
    enum err err;

    while (!(err = file_read(file, at, piece, READ_AHEAD, &got)) && got > 0 &&
           !(err = ckpt_stream_take(s, slice_of(piece, got))))
        at += (int64_t)got;
    heap_free(s->rest.heap, piece);
    return err;
}

static enum err load(struct io *io, const char *dir, struct ckpt_id id, const char *suffix, struct grave *g,
                     struct image **image, struct voters *voters)
{
    char *path = ckpt_path(g->heap, dir, id, suffix);
    struct ckpt_stream s;
    struct file *file;
    enum err err = file_open(io, path, 0, &file), end;

    *image = NULL;
    heap_free(g->heap, path);
    if (err)
        return err;
    ckpt_stream_start(&s, id, g);
    err = load_pieces(file, &s);
    end = ckpt_stream_end(&s, image, voters);
    if (err && !end) {
        image_unref(*image, g);
        *image = NULL;
    }
    file_unref(file);
    return err ? err : end;
}

enum err ckpt_load(struct io *io, const char *dir, struct ckpt_id id, struct grave *g, struct image **image,
                   struct voters *voters)
{
    return load(io, dir, id, "", g, image, voters);
}

enum err ckpt_open(struct io *io, const char *dir, struct ckpt_id id, struct file **out)
{
    char *path = ckpt_path(io_heap(io), dir, id, "");
    enum err err = file_open(io, path, 0, out);

    heap_free(io_heap(io), path);
    return err == E_NOENT ? E_SNAPSHOT_NOT_FOUND : err;
}

/* ---- from another voter ---- */

bool ckpt_piece_fits(int64_t at, int64_t size, int64_t known, size_t len)
{
    return len > 0 && size > at && (int64_t)len <= size - at && (known == 0 || known == size);
}

#define PART ".part"

enum err ckpt_part_write(struct io *io, const char *dir, struct ckpt_id id, int64_t at, struct slice bytes)
{
    char *path = ckpt_path(io_heap(io), dir, id, PART);
    struct file *file;
    enum err err = file_open(io, path, FILE_WRITE | FILE_CREATE, &file);

    heap_free(io_heap(io), path);
    if (err)
        return err;
    if (at == 0)
        err = file_resize(file, 0);
    if (!err)
        err = file_size(file) == at ? file_write(file, at, &bytes, 1) : E_OFFSET_OUT_OF_RANGE;
    file_unref(file);
    return err;
}

enum err ckpt_part_load(struct io *io, const char *dir, struct ckpt_id id, struct grave *g,
                        struct image **image, struct voters *voters)
{
    return load(io, dir, id, PART, g, image, voters);
}

/* The file moves to its name when it is on disk, and the name is. */
static enum err name_durably(struct io *io, const char *dir, struct ckpt_id id, const char *suffix)
{
    struct heap *h = io_heap(io);
    char *from = ckpt_path(h, dir, id, suffix), *to = ckpt_path(h, dir, id, "");
    enum err err = path_move(io, from, to);

    if (!err)
        err = dir_sync(io, dir);
    heap_free(h, from);
    heap_free(h, to);
    return err;
}

enum err ckpt_part_name(struct io *io, const char *dir, struct ckpt_id id)
{
    char *path = ckpt_path(io_heap(io), dir, id, PART);
    struct file *file;
    enum err err = file_open(io, path, FILE_WRITE, &file);

    heap_free(io_heap(io), path);
    if (err)
        return err;
    err = file_sync(&file, 1);
    file_unref(file);
    return err ? err : name_durably(io, dir, id, PART);
}

/* ---- writing ---- */

void ckpt_start(struct ckpt_writer *w, struct io *io, const char *dir, struct ckpt_id id,
                const struct image *image, const struct voters *voters)
{
    ASSERT(image->offset < id.offset && image->epoch <= id.epoch);
    *w = (struct ckpt_writer){
        .io = io, .dir = dir, .id = id, .image = image, .voters = *voters, .stage = CKPT_WRITE};
    snapshot_start(&w->records, io_heap(io), image);
    bytes_init(&w->out, io_heap(io));
}

static enum err tmp_open(struct ckpt_writer *w)
{
    char *path = ckpt_path(io_heap(w->io), w->dir, w->id, ".tmp");
    enum err err = file_open(w->io, path, FILE_WRITE | FILE_CREATE, &w->file);

    heap_free(io_heap(w->io), path);
    return err ? err : file_resize(w->file, 0);
}

static void add_voters(struct ckpt_writer *w)
{
    struct batch_place at = {
        .base_offset = w->records.offset, .epoch = w->image->epoch, .now_ms = w->image->append_ms};
    struct arena a;

    arena_init(&a, io_heap(w->io), SIZE_MAX);
    voters_batch(&at, &w->voters, &a, &w->out);
    w->records.offset += voters_records(&w->voters);
    arena_drop(&a);
}

/* One batch; with the last one the file is synced. */
static enum err step_write(struct ckpt_writer *w)
{
    bool more, first = !w->file;
    struct slice s;
    enum err err = first ? tmp_open(w) : E_OK;

    if (err)
        return err;
    w->out.len = 0;
    more = snapshot_step(&w->records, SNAPSHOT_BATCH_MAX, &w->out);
    if (first)
        add_voters(w);
    s = bytes_slice(&w->out);
    err = file_write(w->file, w->at, &s, 1);
    w->at += (int64_t)s.len;
    if (!err && !more) {
        err = file_sync(&w->file, 1);
        w->stage = CKPT_CHECK;
        w->at = 0;
    }
    return err;
}

/* Some batches are read again; the last one must be there. */
static enum err step_check(struct ckpt_writer *w)
{
    struct ckpt_reader r;
    struct batch_view v;
    enum err err;

    reader_open(&r, io_heap(w->io), w->file);
    r.at = w->at;
    err = reader_batch(&r, &v);
    while (!err) {
        r.used += v.len;
        w->at += (int64_t)v.len;
        if (batch_view(reader_rest(&r), &v))
            break;
        err = batch_crc_ok(&v) ? E_OK : E_CORRUPT_MESSAGE;
    }
    bytes_drop(&r.buf);
    if (!err && w->at == file_size(w->file))
        w->stage = CKPT_NAME;
    return err == E_EOF ? E_CORRUPT_MESSAGE : err;
}

static enum err step_name(struct ckpt_writer *w)
{
    enum err err = name_durably(w->io, w->dir, w->id, ".tmp");

    if (!err) {
        file_unref(w->file);
        w->file = NULL;
    }
    return err;
}

enum err ckpt_step(struct ckpt_writer *w, bool *more)
{
    *more = true;
    switch (w->stage) {
    case CKPT_WRITE:
        return step_write(w);
    case CKPT_CHECK:
        return step_check(w);
    case CKPT_NAME:
        *more = false;
        return step_name(w);
    }
    ASSERT(false);
    return E_OK;
}

void ckpt_end(struct ckpt_writer *w)
{
    char *path = ckpt_path(io_heap(w->io), w->dir, w->id, ".tmp");

    snapshot_end(&w->records);
    bytes_drop(&w->out);
    if (w->file) {
        file_unref(w->file);
        (void)!path_remove(w->io, path); /* what stays is removed at the next start */
    }
    w->file = NULL;
    heap_free(io_heap(w->io), path);
}
