#include "log/checkpoint.h"
#include "log/whole_file.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHECKPOINT_MAX = 1 << 28, KEY_MAX = 300 };

const char *const checkpoint_names[ROWS_KINDS] = {
    [ROWS_RECOVERY] = CHECKPOINT_RECOVERY, [ROWS_START] = CHECKPOINT_LOG_START, [ROWS_HW] = CHECKPOINT_HW,
    [ROWS_CLEANED] = CHECKPOINT_CLEANER,   [ROWS_TOPICS] = CHECKPOINT_TOPICS,
};

struct checkpoint_row {
    int64_t offset;
    int32_t partition;
    uint32_t topic_len;
    char key[]; /* topic-partition */
};

void checkpoint_init(struct checkpoint *c, struct heap *h, uint64_t seed)
{
    c->heap = h;
    map_init(&c->rows, h, seed);
}

void checkpoint_drop(struct checkpoint *c)
{
    map_each (struct checkpoint_row, row, &c->rows)
        heap_free(c->heap, row);
    map_drop(&c->rows);
}

static struct slice row_key(char *to, struct slice topic, int32_t partition)
{
    int n = snprintf(to, KEY_MAX, "%.*s-%d", (int)topic.len, (char *)topic.p, partition);

    return slice_of(to, (size_t)n < KEY_MAX ? (size_t)n : KEY_MAX - 1);
}

void checkpoint_set(struct checkpoint *c, struct slice topic, int32_t partition, int64_t offset)
{
    char buf[KEY_MAX];
    struct slice key = row_key(buf, topic, partition);
    struct checkpoint_row *row = map_get(&c->rows, key);

    if (!row) {
        row = heap_alloc(c->heap, sizeof *row + key.len + 1);
        memcpy(row->key, key.p, key.len);
        row->partition = partition;
        row->topic_len = (uint32_t)topic.len;
        (void)map_put(&c->rows, slice_of(row->key, key.len), row);
    }
    row->offset = offset;
}

void checkpoint_remove(struct checkpoint *c, struct slice topic, int32_t partition)
{
    char buf[KEY_MAX];

    heap_free(c->heap, map_remove(&c->rows, row_key(buf, topic, partition)));
}

int64_t checkpoint_get(const struct checkpoint *c, struct slice topic, int32_t partition)
{
    char buf[KEY_MAX];
    const struct checkpoint_row *row = map_get(&c->rows, row_key(buf, topic, partition));

    return row ? row->offset : -1;
}

/* The next line without its end; false: there is none. */
static bool line_next(char **at, char *end, char **line)
{
    char *stop;

    if (*at >= end)
        return false;
    stop = memchr(*at, '\n', (size_t)(end - *at));
    *line = *at;
    *at = stop ? stop + 1 : end;
    *(stop ? stop : end) = 0;
    return true;
}

static bool row_parse(struct checkpoint *c, char *line)
{
    char *last = strrchr(line, ' '), *end;
    char *middle;
    int64_t offset;
    long partition;

    if (!last || last == line)
        return false;
    offset = strtoll(last + 1, &end, 10);
    if (*end || end == last + 1 || offset < 0)
        return false;
    *last = 0;
    middle = strrchr(line, ' ');
    if (!middle || middle == line)
        return false;
    partition = strtol(middle + 1, &end, 10);
    if (*end || end == middle + 1 || partition < 0 || partition > INT32_MAX || middle - line > 249)
        return false;
    checkpoint_set(c, slice_of(line, (size_t)(middle - line)), (int32_t)partition, offset);
    return true;
}

static enum err checkpoint_parse(struct checkpoint *c, char *text, size_t len)
{
    char *at = text, *line, *end;
    long count;

    if (!line_next(&at, text + len, &line) || strcmp(line, "0") != 0 || !line_next(&at, text + len, &line))
        return E_MALFORMED;
    count = strtol(line, &end, 10);
    if (*end || end == line || count < 0)
        return E_MALFORMED;
    for (; count > 0; count--)
        if (!line_next(&at, text + len, &line) || !row_parse(c, line))
            return E_MALFORMED;
    return at < text + len ? E_MALFORMED : E_OK;
}

enum err checkpoint_load(struct checkpoint *c, struct io *io, const char *dir, const char *name)
{
    char *path = path_join(c->heap, dir, name);
    struct bytes text;
    enum err err;

    bytes_init(&text, c->heap);
    err = whole_file_read(io, path, CHECKPOINT_MAX, &text);
    if (!err) {
        *bytes_more(&text, 1) = 0;
        err = checkpoint_parse(c, (char *)text.p, text.len - 1);
    }
    bytes_drop(&text);
    heap_free(c->heap, path);
    return err == E_NOENT ? E_OK : err;
}

enum err checkpoint_save(const struct checkpoint *c, struct io *io, const char *dir, const char *name)
{
    struct bytes text;
    enum err err;

    bytes_init(&text, c->heap);
    bytes_printf(&text, "0\n%u\n", c->rows.count);
    map_each (struct checkpoint_row, row, &c->rows)
        bytes_printf(&text, "%.*s %d %" PRId64 "\n", (int)row->topic_len, row->key, row->partition,
                     row->offset);
    err = whole_file_replace(io, dir, name, bytes_slice(&text));
    bytes_drop(&text);
    return err;
}
