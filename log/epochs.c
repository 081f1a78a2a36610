#include "log/epochs.h"
#include "base/check.h"
#include "log/whole_file.h"

enum { EPOCHS_FILE_MAX = 16 << 20 };

void epochs_init(struct epochs *e, struct heap *h)
{
    *e = (struct epochs){.heap = h};
}

void epochs_drop(struct epochs *e)
{
    heap_free(e->heap, e->rows);
    *e = (struct epochs){.heap = e->heap};
}

static void invariant(const struct epochs *e)
{
    ASSERT(e->n <= e->room);
    if (e->n)
        ASSERT(e->rows[0].epoch >= 0 && e->rows[0].start >= 0);
    if (e->n > 1) {
        const struct epoch_row *last = &e->rows[e->n - 1];
        ASSERT(last[-1].epoch < last->epoch && last[-1].start < last->start);
    }
}

static void add(struct epochs *e, struct epoch_row row)
{
    if (e->n == e->room) {
        e->room = e->room ? e->room * 2 : 2;
        e->rows = heap_resize(e->heap, e->rows, e->room * sizeof(*e->rows));
    }
    e->rows[e->n++] = row;
}

bool epochs_assign(struct epochs *e, int32_t epoch, int64_t start)
{
    ASSERT(epoch >= 0 && start >= 0);
    if (e->n) {
        const struct epoch_row *last = &e->rows[e->n - 1];
        if (epoch == last->epoch && start >= last->start)
            return false;
    }
    while (e->n && (e->rows[e->n - 1].epoch >= epoch || e->rows[e->n - 1].start >= start))
        e->n--;
    add(e, (struct epoch_row){.epoch = epoch, .start = start});
    invariant(e);
    return true;
}

bool epochs_cut_end(struct epochs *e, int64_t end)
{
    uint32_t had = e->n;

    while (e->n && e->rows[e->n - 1].start >= end)
        e->n--;
    invariant(e);
    return e->n != had;
}

bool epochs_cut_start(struct epochs *e, int64_t start)
{
    uint32_t gone = 0; /* rows at or before `start` */

    while (gone < e->n && e->rows[gone].start <= start)
        gone++;
    if (gone == 0 || (gone == 1 && e->rows[0].start == start))
        return false;
    e->rows[gone - 1].start = start;
    memmove(e->rows, e->rows + gone - 1, (e->n - gone + 1) * sizeof(*e->rows));
    e->n -= gone - 1;
    invariant(e);
    return true;
}

int32_t epochs_latest(const struct epochs *e)
{
    return e->n ? e->rows[e->n - 1].epoch : -1;
}

/* How many rows aren't past `key`, which is an epoch or an offset. */
static uint32_t upto(const struct epochs *e, int64_t key, bool by_epoch)
{
    uint32_t lo = 0, hi = e->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int64_t at = by_epoch ? e->rows[mid].epoch : e->rows[mid].start;
        if (at <= key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int32_t epochs_at(const struct epochs *e, int64_t offset)
{
    uint32_t n = upto(e, offset, false);
    return n ? e->rows[n - 1].epoch : -1;
}

struct epoch_end epochs_end_of(const struct epochs *e, int32_t epoch, int64_t log_end)
{
    if (epoch < 0 || epoch > epochs_latest(e))
        return (struct epoch_end){.epoch = -1, .end = -1};
    if (epoch == epochs_latest(e))
        return (struct epoch_end){.epoch = epoch, .end = log_end};
    uint32_t n = upto(e, epoch, true);
    return (struct epoch_end){.epoch = n ? e->rows[n - 1].epoch : epoch, .end = e->rows[n].start};
}

/* A decimal number and the one byte behind it. */
static bool take_number(struct slice *s, char after, int64_t max, int64_t *out)
{
    int64_t v = 0;
    size_t i = 0;

    for (; i < s->len && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
        int64_t digit = s->p[i] - '0';
        if (digit > max || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (i == 0 || i == s->len || s->p[i] != (uint8_t)after)
        return false;
    *s = slice_of(s->p + i + 1, s->len - i - 1);
    *out = v;
    return true;
}

static bool parse(struct epochs *e, struct slice s)
{
    int64_t version, n, epoch, start;

    if (!take_number(&s, '\n', 0, &version) || !take_number(&s, '\n', INT32_MAX, &n))
        return false;
    for (int64_t i = 0; i < n; i++) {
        if (!take_number(&s, ' ', INT32_MAX, &epoch) || !take_number(&s, '\n', INT64_MAX, &start))
            return false;
        (void)epochs_assign(e, (int32_t)epoch, start);
    }
    return s.len == 0;
}

enum err epochs_load(struct epochs *e, struct io *io, const char *dir)
{
    struct bytes text;
    char *path = path_join(e->heap, dir, EPOCHS_FILE);

    e->n = 0;
    bytes_init(&text, e->heap);
    enum err err = whole_file_read(io, path, EPOCHS_FILE_MAX, &text);
    if (!err && !parse(e, bytes_slice(&text)))
        err = E_MALFORMED;
    if (err)
        e->n = 0;
    bytes_drop(&text);
    heap_free(e->heap, path);
    return err;
}

enum err epochs_save(const struct epochs *e, struct io *io, const char *dir, bool sync)
{
    struct bytes text;

    bytes_init(&text, e->heap);
    bytes_printf(&text, "0\n%u\n", e->n);
    for (uint32_t i = 0; i < e->n; i++)
        bytes_printf(&text, "%d %lld\n", e->rows[i].epoch, (long long)e->rows[i].start);
    enum err err = sync ? whole_file_replace(io, dir, EPOCHS_FILE, bytes_slice(&text))
                        : whole_file_swap(io, dir, EPOCHS_FILE, bytes_slice(&text));
    bytes_drop(&text);
    return err;
}
