/* Rows of a segment's two indexes: in the tail, or in the file by way of a few cached pages. Sorted, so a
 * search is by halves; a reader who goes on where it was finds its page first in the segment's list. */
#include "base/check.h"
#include "log/log_internal.h"
#include "proto/bigend.h"

static uint32_t row_size(enum segment_file kind)
{
    return kind == SEGMENT_INDEX ? INDEX_ROW : TIME_ROW;
}

static uint32_t page_rows(enum segment_file kind)
{
    return (uint32_t)sizeof((struct index_page *)0)->bytes / row_size(kind);
}

static void page_drop(struct index_page *page)
{
    struct log_env *env = page->segment->log->env;
    struct index_page **at = &page->segment->pages;

    while (*at != page)
        at = &(*at)->next;
    *at = page->next;
    list_remove(&page->link);
    heap_free(env->heap, page);
    env->pages_n--;
}

void index_pages_drop(struct segment *s)
{
    while (s->pages)
        page_drop(s->pages);
}

/* First in both lists. */
static void page_touch(struct index_page *page)
{
    struct segment *s = page->segment;
    struct index_page **at = &s->pages;

    if (s->pages == page)
        return;
    while (*at != page)
        at = &(*at)->next;
    *at = page->next;
    page->next = s->pages;
    s->pages = page;
    list_remove(&page->link);
    list_add(&s->log->env->pages, &page->link);
}

static enum err page_load(struct segment *s, enum segment_file kind, uint32_t number, struct index_page **out)
{
    struct log_env *env = s->log->env;
    struct index_page *page;
    struct file *file;
    size_t got;
    enum err err = segment_file(s, kind, &file);

    if (err)
        return err;
    page = heap_alloc(env->heap, sizeof *page);
    page->segment = s;
    page->kind = kind;
    page->number = number;
    err = file_read(file, (int64_t)number * page_rows(kind) * row_size(kind), page->bytes,
                    (size_t)page_rows(kind) * row_size(kind), &got);
    if (err) {
        heap_free(env->heap, page);
        return err;
    }
    env->counters.index_reads++;
    page->rows = (uint32_t)got / row_size(kind);
    page->next = s->pages;
    s->pages = page;
    list_add(&env->pages, &page->link);
    env->pages_n++;
    if (env->pages_n > env->config.index_pages_max)
        page_drop(container_of(env->pages.next, struct index_page, link));
    *out = page;
    return E_OK;
}

/* The bytes of row i, which is in the file. */
static enum err row_find(struct segment *s, enum segment_file kind, uint32_t i, const uint8_t **out)
{
    uint32_t number = i / page_rows(kind);
    struct index_page *page = s->pages;
    enum err err;

    while (page && (page->kind != kind || page->number != number))
        page = page->next;
    if (page)
        page_touch(page);
    else {
        err = page_load(s, kind, number, &page);
        if (err)
            return err;
    }
    i %= page_rows(kind);
    if (i >= page->rows)
        return E_MALFORMED;
    *out = page->bytes + (size_t)i * row_size(kind);
    return E_OK;
}

enum err index_rows_load(struct segment *s)
{
    struct file *file;
    enum err err;

    if (s->index_n != INDEX_UNKNOWN)
        return E_OK;
    err = segment_file(s, SEGMENT_INDEX, &file);
    if (err)
        return err;
    s->index_n = (uint32_t)(file_size(file) / INDEX_ROW);
    err = segment_file(s, SEGMENT_TIME, &file);
    if (err) {
        s->index_n = INDEX_UNKNOWN;
        return err;
    }
    s->time_n = (uint32_t)(file_size(file) / TIME_ROW);
    return E_OK;
}

enum err index_get(struct segment *s, uint32_t i, struct index_row *out)
{
    uint32_t in_file = s->index_n - (s->tail ? s->tail->index_n : 0);
    const uint8_t *p;
    enum err err;

    ASSERT(i < s->index_n);
    if (i >= in_file) {
        *out = s->tail->index[i - in_file];
        return E_OK;
    }
    err = row_find(s, SEGMENT_INDEX, i, &p);
    if (!err)
        *out = (struct index_row){.offset = s->base + get_be32(p), .at = get_be32(p + 4)};
    return err;
}

enum err time_get(struct segment *s, uint32_t i, struct time_row *out)
{
    uint32_t in_file = s->time_n - (s->tail ? s->tail->time_n : 0);
    const uint8_t *p;
    enum err err;

    ASSERT(i < s->time_n);
    if (i >= in_file) {
        *out = s->tail->time[i - in_file];
        return E_OK;
    }
    err = row_find(s, SEGMENT_TIME, i, &p);
    if (!err)
        *out = (struct time_row){.timestamp = (int64_t)get_be64(p), .offset = s->base + get_be32(p + 8)};
    return err;
}

/* Narrows the search to one page or the tail where the last search suggests it. */
static void floor_guess(const struct segment *s, int64_t offset, uint32_t *low, uint32_t *high)
{
    const struct index_page *page = s->pages;
    uint32_t first;

    if (s->tail && s->tail->index_n > 0 && s->tail->index[0].offset <= offset) {
        *low = s->index_n - s->tail->index_n;
        return;
    }
    if (!page || page->kind != SEGMENT_INDEX || page->rows == 0)
        return;
    first = page->number * page_rows(SEGMENT_INDEX);
    if (first + page->rows <= *high && s->base + get_be32(page->bytes) <= offset &&
        offset < s->base + get_be32(page->bytes + (size_t)(page->rows - 1) * INDEX_ROW)) {
        *low = first;
        *high = first + page->rows;
    }
}

enum err index_floor(struct segment *s, int64_t offset, struct index_row *out)
{
    uint32_t low = 0, high;
    struct index_row row;
    enum err err = index_rows_load(s);

    *out = (struct index_row){.offset = s->base};
    if (err)
        return err;
    high = s->index_n;
    floor_guess(s, offset, &low, &high);
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        err = index_get(s, mid, &row);
        if (err)
            return err;
        if (row.offset <= offset) {
            *out = row;
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return E_OK;
}

enum err time_floor(struct segment *s, int64_t timestamp, struct time_row *out)
{
    uint32_t low = 0, high;
    struct time_row row;
    enum err err = index_rows_load(s);

    *out = (struct time_row){.timestamp = -1, .offset = s->base};
    if (err)
        return err;
    high = s->time_n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        err = time_get(s, mid, &row);
        if (err)
            return err;
        if (row.timestamp <= timestamp) {
            *out = row;
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return E_OK;
}

/* How many leading rows speak of offsets below the given one. Time rows rise in offset too. */
static enum err rows_below(struct segment *s, enum segment_file kind, int64_t offset, uint32_t *n)
{
    uint32_t low = 0, high = kind == SEGMENT_INDEX ? s->index_n : s->time_n;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        struct index_row row = {0};
        struct time_row time = {0};
        enum err err = kind == SEGMENT_INDEX ? index_get(s, mid, &row) : time_get(s, mid, &time);

        if (err)
            return err;
        if ((kind == SEGMENT_INDEX ? row.offset : time.offset) < offset)
            low = mid + 1;
        else
            high = mid;
    }
    *n = low;
    return E_OK;
}

enum err index_cut(struct segment *s, int64_t offset)
{
    struct file *file;
    uint32_t index_n = 0, time_n = 0;
    enum err err = segment_tail_write(s);

    if (!err)
        err = index_rows_load(s);
    if (!err)
        err = rows_below(s, SEGMENT_INDEX, offset, &index_n);
    if (!err)
        err = rows_below(s, SEGMENT_TIME, offset, &time_n);
    index_pages_drop(s);
    if (!err)
        err = segment_file(s, SEGMENT_INDEX, &file);
    if (!err)
        err = file_resize(file, (int64_t)index_n * INDEX_ROW);
    if (!err)
        err = segment_file(s, SEGMENT_TIME, &file);
    if (!err)
        err = file_resize(file, (int64_t)time_n * TIME_ROW);
    if (err)
        return err;
    s->index_n = index_n;
    s->time_n = time_n;
    s->unsynced |= 1 << SEGMENT_INDEX | 1 << SEGMENT_TIME;
    heap_free(s->log->env->heap, s->tail); /* it remembers the last time row */
    s->tail = NULL;
    return E_OK;
}
