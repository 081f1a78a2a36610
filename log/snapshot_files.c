#include "log/snapshot_files.h"
#include "base/check.h"
#include "base/codec.h"
#include "log/whole_file.h"
#include <stdio.h>

enum {
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_HEAD = 10,
    SNAPSHOT_CRC_FROM = 6,
    SNAPSHOT_ROW = 46,
    SNAPSHOT_NAME_DIGITS = 20,
    SNAPSHOT_FILE_MAX = 1 << 30,
};

static void put(uint8_t **to, uint64_t v, int size)
{
    for (int i = size - 1; i >= 0; i--, v >>= 8)
        (*to)[i] = (uint8_t)v;
    *to += size;
}

/* Signed, as all fields but the checksum are. */
static int64_t take(const uint8_t **from, int size)
{
    uint64_t v = (*from)[0] & 0x80 ? UINT64_MAX : 0;

    for (int i = 0; i < size; i++)
        v = v << 8 | (*from)[i];
    *from += size;
    return (int64_t)v;
}

static void encode_row(const struct producer *r, uint8_t **to)
{
    put(to, (uint64_t)r->id, 8);
    put(to, (uint64_t)r->epoch, 2);
    put(to, (uint64_t)producer_last_sequence(r), 4);
    put(to, (uint64_t)producer_last_offset(r), 8);
    put(to, r->n ? (uint64_t)r->past[r->n - 1].offset_delta : 0, 4);
    put(to, (uint64_t)r->last_timestamp, 8);
    put(to, (uint64_t)r->coordinator_epoch, 4);
    put(to, (uint64_t)r->txn_first, 8);
}

void snapshot_encode(const struct producers *p, struct bytes *out)
{
    size_t len = SNAPSHOT_HEAD + (size_t)p->n * SNAPSHOT_ROW;
    uint8_t *head = bytes_more(out, len), *to = head + SNAPSHOT_CRC_FROM;

    put(&to, p->n, 4);
    for (uint32_t i = 0; i < p->n; i++)
        encode_row(&p->rows[i], &to);
    ASSERT(to == head + len);
    to = head;
    put(&to, SNAPSHOT_VERSION, 2);
    put(&to, crc32c(0, head + SNAPSHOT_CRC_FROM, len - SNAPSHOT_CRC_FROM), 4);
}

static bool decode_row(const uint8_t *from, struct producer *r)
{
    struct producer_past past;

    *r = (struct producer){.id = take(&from, 8)};
    r->epoch = (int16_t)take(&from, 2);
    past.last_sequence = (int32_t)take(&from, 4);
    past.last_offset = take(&from, 8);
    past.offset_delta = (int32_t)take(&from, 4);
    past.timestamp = r->last_timestamp = take(&from, 8);
    r->coordinator_epoch = (int32_t)take(&from, 4);
    r->txn_first = take(&from, 8);
    if (r->txn_first < 0)
        r->txn_first = -1;
    if (past.last_offset >= 0)
        r->past[r->n++] = past;
    return r->id >= 0;
}

enum err snapshot_decode(struct producers *p, struct slice s)
{
    struct producer row;
    const uint8_t *at = s.p;

    if (s.len < SNAPSHOT_HEAD || take(&at, 2) != SNAPSHOT_VERSION)
        return E_MALFORMED;
    uint32_t crc = (uint32_t)take(&at, 4);
    if (crc != crc32c(0, at, s.len - SNAPSHOT_CRC_FROM))
        return E_CORRUPT_MESSAGE;
    int64_t n = take(&at, 4);
    if (n < 0 || (uint64_t)n * SNAPSHOT_ROW != s.len - SNAPSHOT_HEAD)
        return E_MALFORMED;
    for (int64_t i = 0; i < n; i++)
        if (!decode_row(at + i * SNAPSHOT_ROW, &row))
            return E_MALFORMED;
    for (int64_t i = 0; i < n; i++) {
        (void)decode_row(at + i * SNAPSHOT_ROW, &row);
        producers_put(p, &row);
    }
    return E_OK;
}

/* The caller frees it. */
static char *path_of(struct heap *h, const char *dir, int64_t offset)
{
    char name[SNAPSHOT_NAME_DIGITS + sizeof(".snapshot") + 1];

    (void)snprintf(name, sizeof(name), "%020lld.snapshot", (long long)offset);
    return path_join(h, dir, name);
}

static bool offset_of(const char *name, int64_t *out)
{
    uint64_t v = 0;

    for (int i = 0; i < SNAPSHOT_NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(name[i] - '0');
    }
    *out = (int64_t)v;
    return strcmp(name + SNAPSHOT_NAME_DIGITS, ".snapshot") == 0;
}

static void list_one(void *arg, const char *name, bool is_dir)
{
    struct snapshot_list *l = arg;
    int64_t offset;

    if (is_dir || !offset_of(name, &offset))
        return;
    if (l->n == l->room) {
        l->room = l->room ? l->room * 2 : 4;
        l->offsets = heap_resize(l->heap, l->offsets, l->room * sizeof(*l->offsets));
    }
    l->offsets[l->n++] = offset;
}

enum err snapshot_list_read(struct snapshot_list *out, struct io *io, const char *dir)
{
    *out = (struct snapshot_list){.heap = io_heap(io)};
    enum err err = dir_list(io, dir, list_one, out);
    if (err)
        snapshot_list_drop(out);
    return err;
}

void snapshot_list_drop(struct snapshot_list *l)
{
    heap_free(l->heap, l->offsets);
    *l = (struct snapshot_list){.heap = l->heap};
}

enum err snapshot_write(struct producers *p, struct io *io, const char *dir, bool sync)
{
    struct bytes out;

    if (p->end <= p->snapshot)
        return E_OK;
    char *path = path_of(p->heap, dir, p->end);
    bytes_init(&out, p->heap);
    snapshot_encode(p, &out);
    enum err err = whole_file_write(io, path, bytes_slice(&out), sync);
    if (!err && sync)
        err = dir_sync(io, dir);
    if (!err)
        p->snapshot = p->end;
    bytes_drop(&out);
    heap_free(p->heap, path);
    return err;
}

enum err snapshot_remove(struct io *io, const char *dir, int64_t offset)
{
    struct heap *h = io_heap(io);
    char *path = path_of(h, dir, offset);
    enum err err = path_remove(io, path);

    heap_free(h, path);
    return err == E_NOENT ? E_OK : err;
}

enum err snapshot_remove_before(struct io *io, const char *dir, int64_t offset)
{
    struct snapshot_list l;
    enum err err = snapshot_list_read(&l, io, dir);

    if (err)
        return err;
    for (uint32_t i = 0; i < l.n && !err; i++)
        if (l.offsets[i] < offset)
            err = snapshot_remove(io, dir, l.offsets[i]);
    snapshot_list_drop(&l);
    return err;
}

static bool begins_segment(int64_t offset, const int64_t *bases, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (bases[i] == offset)
            return true;
    return false;
}

enum err snapshot_remove_strays(struct io *io, const char *dir, const int64_t *bases, uint32_t n)
{
    struct snapshot_list l;
    int64_t last = -1;
    enum err err = snapshot_list_read(&l, io, dir);

    if (err)
        return err;
    for (uint32_t i = 0; i < n; i++)
        last = bases[i] > last ? bases[i] : last;
    for (uint32_t i = 0; i < l.n && !err; i++) {
        bool kept = i == l.n - 1 && l.offsets[i] > last;
        if (!kept && !begins_segment(l.offsets[i], bases, n))
            err = snapshot_remove(io, dir, l.offsets[i]);
    }
    snapshot_list_drop(&l);
    return err;
}

/* Files outside the log's range go, and stay gone: one from before a cut would speak of other records. */
static enum err remove_outside(struct io *io, const char *dir, const struct snapshot_list *l,
                               int64_t log_start, int64_t log_end)
{
    bool removed = false;
    enum err err = E_OK;

    for (uint32_t i = 0; i < l->n && !err; i++) {
        if (l->offsets[i] > log_start && l->offsets[i] <= log_end)
            continue;
        err = snapshot_remove(io, dir, l->offsets[i]);
        removed = true;
    }
    return !err && removed ? dir_sync(io, dir) : err;
}

static enum err load_one(struct producers *p, struct io *io, const char *dir, int64_t offset)
{
    struct bytes text;
    char *path = path_of(p->heap, dir, offset);

    bytes_init(&text, p->heap);
    enum err err = whole_file_read(io, path, SNAPSHOT_FILE_MAX, &text);
    if (!err)
        err = snapshot_decode(p, bytes_slice(&text));
    bytes_drop(&text);
    heap_free(p->heap, path);
    return err;
}

enum err snapshot_reload(struct producers *p, struct io *io, const char *dir, int64_t log_start,
                         int64_t log_end, int64_t now_ms, int64_t expiration_ms)
{
    struct snapshot_list l;

    producers_clear(p, log_start);
    enum err err = snapshot_list_read(&l, io, dir);
    if (err)
        return err;
    err = remove_outside(io, dir, &l, log_start, log_end);
    for (uint32_t i = l.n; i-- > 0 && !err;) {
        int64_t at = l.offsets[i];
        if (at <= log_start || at > log_end)
            continue;
        err = load_one(p, io, dir, at);
        if (!err) {
            p->end = p->snapshot = at;
            (void)producers_expire(p, now_ms, expiration_ms);
            break;
        }
        if (err == E_MALFORMED || err == E_CORRUPT_MESSAGE)
            err = snapshot_remove(io, dir, at);
    }
    snapshot_list_drop(&l);
    return err;
}
