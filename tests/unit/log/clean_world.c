#include "tests/unit/log/clean_world.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>

enum { BATCH_RECORDS_MAX = 8 };

void clean_world_init(struct clean_world *w, struct clean_world_record *records, uint64_t seed)
{
    *w = (struct clean_world){.records = records, .now_ms = 1000000, .checkpoint = -1};
    test_random_init(&w->random, seed);
    log_config_init(&w->config);
    w->config.segment_bytes = 1500;
    w->config.index_interval_bytes = 200;
    w->config.cleanup_compact = true;
    w->config.cleanup_delete = false;
    w->config.min_cleanable_dirty_ratio = 0;
    w->config.delete_retention_ms = 5000;
    w->config.file_delete_delay_ms = 1000;
}

enum err clean_world_open(struct clean_world *w, struct io *io)
{
    const struct uuid id = {.b = {1, 2, 3}};
    struct log_start from = {.recovery_point = w->recovery, .start = -1, .past = {.broker_epoch = -1}};
    struct log_env_config config = {
        .io = io, .files_max = 4, .index_pages_max = 4, .producer_expiration_ms = INT64_MAX};

    w->io = io;
    w->log = NULL;
    w->codecs = config.codecs = codec_cache_new(io_heap(io));
    w->env = log_env_new(&config);
    enum err err = dir_make(io, "d");
    if (err == E_EXISTS)
        err = E_OK;
    if (!err)
        err = dir_sync(io, ".");
    return err ? err : log_open(w->env, log_env_dir(w->env, "d"), "t-0", &id, &w->config, &from, &w->log);
}

void clean_world_abandon(struct clean_world *w)
{
    if (w->log)
        log_abandon(w->log);
    log_env_drop(w->env);
    codec_cache_drop(w->codecs);
}

enum err clean_world_close(struct clean_world *w)
{
    enum err err = log_close(w->log);

    w->log = NULL;
    w->recovery = err ? w->recovery : w->n;
    clean_world_abandon(w);
    return err;
}

static void draw(struct clean_world *w, int n, int keys, struct batch_record *v, char text[][32])
{
    for (int i = 0; i < n; i++) {
        struct clean_world_record *r = &w->records[w->n + i];
        *r = (struct clean_world_record){.key = (int)test_random_below(&w->random, (uint64_t)keys),
                                         .value = test_random_below(&w->random, 5) ? w->n + i : -1,
                                         .timestamp = w->now_ms + i};
        (void)snprintf(text[2 * i], 32, "key-%d", r->key);
        (void)snprintf(text[2 * i + 1], 32, "value-%lld", (long long)r->value);
        v[i] = (struct batch_record){.timestamp = r->timestamp,
                                     .key = SLICE(text[2 * i]),
                                     .value = r->value < 0 ? SLICE_NULL : SLICE(text[2 * i + 1])};
    }
}

enum err clean_world_append(struct clean_world *w, int n, int keys)
{
    struct batch_record v[BATCH_RECORDS_MAX];
    char text[2 * BATCH_RECORDS_MAX][32];
    struct batch_spec spec;
    struct bytes out;

    CHECK(n <= BATCH_RECORDS_MAX && w->n + n <= CLEAN_WORLD_RECORDS);
    draw(w, n, keys, v, text);
    batch_spec_init(&spec);
    if (test_random_below(&w->random, 4) == 0) { /* the last batch of this one stays for ever */
        spec.producer_id = 77;
        spec.producer_epoch = 0;
        spec.base_sequence = w->sequence;
    }
    spec.codec = w->codec;
    spec.v = v;
    spec.n = n;
    bytes_init(&out, io_heap(w->io));
    batch_build(w->codecs, &spec, &out);
    struct log_append a = {.bytes = bytes_slice(&out), .origin = LOG_FROM_CLIENT, .now_ms = w->now_ms};
    enum err err = log_append(w->log, &a);
    bytes_drop(&out);
    if (err)
        return err;
    CHECK(!a.duplicate && a.base_offset == w->n);
    w->n += n;
    w->sequence += spec.producer_id >= 0 ? n : 0;
    w->now_ms += 10;
    return E_OK;
}

enum err clean_world_fill(struct clean_world *w, int batches, int keys)
{
    enum err err = E_OK;

    for (int i = 0; i < batches && !err; i++)
        err = clean_world_append(w, 1 + (int)test_random_below(&w->random, BATCH_RECORDS_MAX), keys);
    return err;
}

enum err clean_world_clean(struct clean_world *w, uint64_t map_bytes)
{
    struct clean_range range;
    enum err err = clean_look(w->log, w->checkpoint, log_end(w->log), w->now_ms, &range);

    if (err || !range.due)
        return err;
    struct clean *c = clean_new(w->log, &range, map_bytes, w->now_ms);
    do
        err = clean_step(c, w->now_ms);
    while (err == E_BUSY);
    if (!err)
        w->checkpoint = clean_reached(c);
    clean_drop(c);
    return err;
}

/* ---- judging ---- */

struct seen {
    int64_t last[CLEAN_WORLD_KEYS]; /* offset of the last record of each key that was read; -1: none */
    int64_t next;                   /* no offset below it comes any more */
};

static void see_record(struct clean_world *w, const struct record *r, struct seen *seen)
{
    char text[32];

    CHECK(r->offset >= seen->next && r->offset < w->n);
    seen->next = r->offset + 1;
    const struct clean_world_record *m = &w->records[r->offset];
    (void)snprintf(text, sizeof(text), "key-%d", m->key);
    CHECK(slice_eq(r->key, SLICE(text)));
    (void)snprintf(text, sizeof(text), "value-%lld", (long long)m->value);
    CHECK(m->value < 0 ? !r->value.p : slice_eq(r->value, SLICE(text)));
    CHECK_EQ(r->timestamp, m->timestamp);
    seen->last[m->key] = r->offset;
}

/* Whether offset is the last of its key below `end`. */
static bool is_last(const struct clean_world *w, int64_t offset, int64_t end)
{
    for (int64_t o = offset + 1; o < end; o++)
        if (w->records[o].key == w->records[offset].key)
            return false;
    return true;
}

static void see_batch(struct clean_world *w, const struct batch_view *v, struct seen *seen, int64_t clean_to,
                      bool *there)
{
    struct record_iter it;
    struct record r;
    enum err err;

    CHECK(batch_crc_ok(v) && v->base_offset >= seen->next);
    record_iter_open(&it, io_heap(w->io), w->codecs, v, 1 << 20);
    while (!(err = record_next(&it, &r))) {
        see_record(w, &r, seen);
        there[r.offset] = true;
        CHECK(r.offset >= clean_to || is_last(w, r.offset, clean_to));
    }
    record_iter_close(&it);
    CHECK_EQ(err, E_EOF);
    seen->next = v->last_offset + 1;
}

static void see_range(struct clean_world *w, const struct log_range *range, struct seen *seen,
                      int64_t clean_to, bool *there)
{
    struct batch_view v;
    struct bytes all;
    size_t got;

    bytes_init(&all, io_heap(w->io));
    CHECK_OK(file_read(range->file, range->at, bytes_more(&all, range->len), range->len, &got));
    CHECK_EQ(got, range->len);
    struct slice rest = bytes_slice(&all);
    while (rest.len > 0) {
        CHECK_OK(batch_next(&rest, &v));
        see_batch(w, &v, seen, clean_to, there);
    }
    bytes_drop(&all);
}

/* Its batches lie between its base and the next segment's, and its index points at them. */
static void see_segment(struct clean_world *w, uint32_t i)
{
    struct segment *s = w->log->segments[i];
    struct segment_walk walk;
    struct batch_view v;
    struct index_row row;
    int64_t next = s->base;
    enum err err;

    CHECK_OK(segment_walk_open(&walk, s, 0, 4096));
    for (int64_t at = 0; !(err = segment_walk_head(&walk, &v)); at = walk.at) {
        CHECK(v.base_offset >= next && v.last_offset < log_segment_end(w->log, i));
        next = v.last_offset + 1;
        CHECK_OK(index_floor(s, v.last_offset, &row));
        CHECK(row.at <= at && row.offset <= v.last_offset && (row.offset < v.last_offset || row.at == at));
    }
    segment_walk_close(&walk);
    CHECK_EQ(err, E_EOF);
}

void clean_world_check(struct clean_world *w, int64_t clean_to, int64_t whole_from)
{
    static bool there[CLEAN_WORLD_RECORDS];
    struct log_limits limits = {.up_to = INT64_MAX, .max_bytes = 1 << 20, .min_one = true};
    struct seen seen = {.next = 0};
    struct log_range range;

    memset(there, 0, sizeof(there));
    for (int key = 0; key < CLEAN_WORLD_KEYS; key++)
        seen.last[key] = -1;
    CHECK_EQ(log_end(w->log), w->n);
    for (uint32_t i = 0; i < w->log->segments_n; i++)
        see_segment(w, i);
    for (int64_t at = log_start(w->log); at < w->n; at = seen.next) {
        CHECK_OK(log_read(w->log, at, &limits, &range));
        if (range.len == 0)
            break; /* nothing is left behind `at` */
        see_range(w, &range, &seen, clean_to, there);
        log_range_drop(&range);
        CHECK(seen.next > at);
    }
    for (int64_t o = log_start(w->log); o < w->n; o++) {
        bool last = is_last(w, o, w->n);
        CHECK(there[o] || (!last && o < whole_from) || (last && w->records[o].value < 0 && o < whole_from));
    }
    for (int key = 0; key < CLEAN_WORLD_KEYS; key++)
        CHECK(seen.last[key] < 0 || is_last(w, seen.last[key], w->n)); /* nothing comes to life again */
}
