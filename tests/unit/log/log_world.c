#include "tests/unit/log/log_world.h"

void world_config(struct log_world *w)
{
    log_config_init(&w->config);
    w->config.segment_bytes = 2000;
    w->config.index_interval_bytes = 200;
    w->config.file_delete_delay_ms = 0;
    w->config.retention_ms = -1;
}

static void dir_failed(void *arg, struct log_dir *dir)
{
    (void)dir;
    ((struct log_world *)arg)->offline++;
}

enum err world_start(struct log_world *w, struct io *io)
{
    struct log_env_config config = {.io = io,
                                    .files_max = 6,
                                    .index_pages_max = 4,
                                    .producer_expiration_ms = 86400000,
                                    .failed = dir_failed,
                                    .arg = w};
    struct uuid id = {{1, 2, 3}};
    struct log_start from = {.start = -1, .doubted = w->doubted, .synced = w->promised};
    struct checkpoint points;
    enum err err;

    w->io = io;
    w->codecs = codec_cache_new(io_heap(io));
    config.codecs = w->codecs;
    w->env = log_env_new(&config);
    w->dir = log_env_dir(w->env, WORLD_DIR);
    w->log = NULL;
    w->offline = 0;
    err = dir_make(io, WORLD_DIR);
    if (err == E_EXISTS)
        err = E_OK;
    if (!err)
        err = dir_sync(io, ".");
    if (!err)
        err = log_dir_past_read(io, WORLD_DIR, &from.past);
    checkpoint_init(&points, io_heap(io), 1);
    if (!err)
        err = checkpoint_load(&points, io, WORLD_DIR, CHECKPOINT_RECOVERY);
    from.recovery_point = checkpoint_get(&points, SLICE("events"), 0);
    checkpoint_drop(&points);
    if (from.recovery_point < 0)
        from.recovery_point = 0;
    if (!err)
        err = log_dir_running(io, WORLD_DIR, &from.past);
    if (!err)
        err = log_open(w->env, w->dir, WORLD_LOG, &id, &w->config, &from, &w->log);
    if (!err && log_checkpoint_first(w->log))
        err = world_checkpoint(w);
    return err;
}

enum err world_checkpoint(struct log_world *w)
{
    struct checkpoint points;
    enum err err;

    checkpoint_init(&points, io_heap(w->io), 1);
    checkpoint_set(&points, SLICE("events"), 0, log_recovery_point(w->log));
    err = checkpoint_save(&points, w->io, WORLD_DIR, CHECKPOINT_RECOVERY);
    checkpoint_drop(&points);
    if (!err)
        log_checkpointed(w->log, log_recovery_point(w->log));
    return err;
}

void world_drop(struct log_world *w)
{
    if (w->log)
        log_abandon(w->log);
    w->log = NULL;
    log_env_drop(w->env);
    codec_cache_drop(w->codecs);
}

enum err world_stop(struct log_world *w)
{
    enum err err = log_sync(&w->log, 1, LOG_SYNC_ALL), closed;

    if (!err)
        err = world_checkpoint(w);
    closed = log_close(w->log);
    w->log = NULL;
    if (!err)
        err = closed;
    if (!err)
        err = log_dir_clean(w->io, WORLD_DIR, 7);
    world_drop(w);
    return err;
}

/* ---- the model ---- */

int64_t world_time(int i)
{
    return WORLD_T0 + (int64_t)i * 10;
}

void world_batch(struct heap *h, int i, int64_t base, struct bytes *out)
{
    struct batch_record r[3];
    struct batch_spec s;
    uint8_t value[160];

    batch_spec_init(&s);
    for (size_t k = 0; k < sizeof value; k++)
        value[k] = (uint8_t)(i * 7 + (int)k);
    for (int k = 0; k < 3; k++)
        r[k] = (struct batch_record){.timestamp = world_time(i),
                                     .key = slice_of(&i, sizeof i),
                                     .value = slice_of(value, 20 + (size_t)(i * 13 % 140))};
    s.base_offset = base;
    s.leader_epoch = i / 50;
    s.v = r;
    s.n = 1 + i % 3;
    bytes_init(out, h);
    batch_build(NULL, &s, out);
}

enum err world_append(struct log_world *w)
{
    struct log_append a = {.origin = LOG_FROM_CLIENT, .leader_epoch = w->n / 50, .now_ms = io_wall_ms(w->io)};
    struct bytes b;
    enum err err;
    int i = w->n;

    CHECK(i < WORLD_BATCHES_MAX);
    world_batch(io_heap(w->io), i, 0, &b);
    a.bytes = bytes_slice(&b);
    w->base[i] = log_end(w->log);
    w->base[i + 1] = w->base[i] + 1 + i % 3;
    w->n = i + 1;
    w->attempted = w->base[i + 1];
    err = log_append(w->log, &a);
    bytes_drop(&b);
    if (err) {
        w->n = i;
        return err;
    }
    CHECK_EQ(a.base_offset, w->base[i]);
    CHECK_EQ(a.last_offset, w->base[i + 1] - 1);
    CHECK_EQ(a.max_timestamp, world_time(i));
    CHECK_EQ(log_end(w->log), w->base[i + 1]);
    w->written = w->attempted;
    return E_OK;
}

enum err world_sync(struct log_world *w, enum log_sync_how how)
{
    enum err err = log_sync(&w->log, 1, how);

    if (!err && log_synced(w->log) > w->promised)
        w->promised = log_synced(w->log);
    return err;
}

void world_adopt_end(struct log_world *w)
{
    int64_t end = log_end(w->log);

    if (w->attempted == end && w->base[w->n] < end)
        w->n++; /* appended, but never said so */
    while (w->n > 0 && w->base[w->n] > end)
        w->n--;
    CHECK_EQ(w->n == 0 ? 0 : w->base[w->n], end);
    w->written = w->attempted = end;
}

static void verify_range(struct log_world *w, const struct log_range *r, int i)
{
    struct heap *h = io_heap(w->io);
    uint8_t *got = heap_alloc(h, r->len);
    struct bytes want;
    size_t n;

    CHECK_OK(file_read(r->file, r->at, got, r->len, &n));
    CHECK_EQ(n, r->len);
    for (size_t at = 0; at < n; i++) {
        CHECK(i < w->n);
        world_batch(h, i, w->base[i], &want);
        size_t len = want.len < n - at ? want.len : n - at;

        CHECK(memcmp(got + at, want.p, len) == 0);
        at += len;
        bytes_drop(&want);
    }
    heap_free(h, got);
}

void world_verify(struct log_world *w)
{
    int64_t end = log_end(w->log);
    struct log_range r;

    for (int i = 0; i < w->n; i++) {
        if (w->base[i + 1] <= log_start(w->log) || w->base[i] >= end)
            continue;
        for (int64_t o = w->base[i]; o < w->base[i + 1]; o++) {
            struct log_limits limits = {.up_to = end, .max_bytes = (size_t)(o * 97 % 900), .min_one = true};

            if (o < log_start(w->log))
                continue;
            CHECK_OK(log_read(w->log, o, &limits, &r));
            CHECK(r.len > 0);
            CHECK_EQ(r.base_offset, w->base[i]);
            verify_range(w, &r, i);
            log_range_drop(&r);
        }
        if (w->base[i] >= log_start(w->log)) {
            struct log_at at;

            CHECK_OK(log_offset_at_time(w->log, world_time(i) - 3, end, &at));
            CHECK_EQ(at.offset, w->base[i]);
            CHECK_EQ(at.timestamp, world_time(i));
            CHECK_EQ(at.leader_epoch, i / 50);
        }
    }
    struct log_limits limits = {.up_to = end, .max_bytes = 100, .min_one = true};

    CHECK_OK(log_read(w->log, end, &limits, &r));
    CHECK_EQ(r.len, 0);
    CHECK_EQ(log_read(w->log, end + 1, &limits, &r), E_OFFSET_OUT_OF_RANGE);
}
