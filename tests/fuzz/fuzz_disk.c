/* A log directory that a broken disk has changed: segments, indexes, snapshots of producers, epochs, checkpoints and the small
 * files at its top, of a log that was whole before. It opens or says why not; what it opens can be read from end to end, asked
 * by time, appended to, cut, and closed.
 *
 *     input   a byte of flags, then edits: file 1, how 1 (128: cut there; else its low bits: so many bytes), offset 2, bytes
 *
 * FUZZ_CANARY: a reader of producers' snapshots that believes their count. */
#include "files.h"
#include "fuzz.h"
#include "log/checkpoint.h"
#include "log/log.h"
#include "quorum/quorum_state.h"
#include <stdlib.h>

enum { NODE = 1, BATCHES = 14 };
enum { CLEAN = 1, SAME_BOOT = 2, MEND = 4, NO_POINT = 8 };
#define DIR "/d"
#define LOG "t-0"

struct disk_fuzz {
    struct io *io;
    uint8_t flags;
    bool making;
};

/* ---- the log ---- */

static void batch_make(struct heap *h, int i, struct bytes *out)
{
    uint8_t value[100] = {(uint8_t)i};
    struct batch_record v[3];
    struct batch_spec spec;

    batch_spec_init(&spec);
    for (int k = 0; k < 3; k++)
        v[k] = (struct batch_record){.timestamp = 1000 + i * 10 + k, .value = slice_of(value, sizeof(value))};
    spec.v = v;
    spec.n = 3;
    spec.producer_id = 7 + i % 2;
    spec.producer_epoch = 0;
    spec.base_sequence = i / 2 * 3;
    bytes_init(out, h);
    batch_build(NULL, &spec, out);
}

static enum err append(struct log *log, struct heap *h, int i)
{
    struct bytes b;
    struct log_append a = {.origin = LOG_FROM_CLIENT, .leader_epoch = i / 5, .now_ms = 2000 + i};
    enum err err;

    batch_make(h, i, &b);
    a.bytes = bytes_slice(&b);
    err = log_append(log, &a);
    bytes_drop(&b);
    return err;
}

static void read_all(struct log *log)
{
    const struct log_limits limits = {.up_to = INT64_MAX, .max_bytes = 1000, .min_one = true};
    struct log_at at;

    for (int64_t offset = log_start(log), n = 0; offset < log_end(log) && n < 200; n++) {
        struct log_range r;
        uint8_t head[BATCH_HEAD];
        struct batch_view v;
        size_t got;
        if (log_read(log, offset, &limits, &r) != E_OK)
            return;
        if (r.len == 0) {
            log_range_drop(&r);
            return;
        }
        ASSERT(r.base_offset >= log_start(log) || n == 0);
        if (file_read(r.file, r.at, head, sizeof(head), &got) == E_OK &&
            batch_head(slice_of(head, got), &v) == E_OK && v.last_offset >= offset)
            offset = v.last_offset + 1;
        else
            offset = log_end(log);
        log_range_drop(&r);
    }
    (void)(log_offset_at_time(log, 1050, INT64_MAX, &at) == E_OK);
    (void)(log_max_timestamp(log, INT64_MAX, &at) == E_OK);
}

static void use(struct log *log, struct heap *h)
{
    int removed;

    ASSERT(log_start(log) <= log_end(log));
    read_all(log);
    for (int i = BATCHES; i < BATCHES + 3; i++)
        (void)(append(log, h, i) == E_OK);
    (void)(log_sync(&log, 1, LOG_SYNC_ALL) == E_OK);
    read_all(log);
    (void)(log_truncate(log, (log_start(log) + log_end(log)) / 2) == E_OK);
    (void)(log_retain(log, 3000, log_end(log), &removed) == E_OK);
    ASSERT(log_start(log) <= log_end(log));
}

static void small_files(struct io *io, struct log_start *from)
{
    struct quorum_state state;
    struct log_meta meta;
    struct checkpoint c;

    (void)(quorum_state_read(io, DIR, &state) == E_OK);
    (void)(log_meta_read(io, DIR, &meta) == E_OK);
    (void)(log_dir_past_read(io, DIR, &from->past) == E_OK);
    checkpoint_init(&c, io_heap(io), 1);
    (void)(checkpoint_load(&c, io, DIR, CHECKPOINT_RECOVERY) == E_OK);
    from->recovery_point = checkpoint_get(&c, SLICE("t"), 0);
    if (from->recovery_point < 0)
        from->recovery_point = 0;
    checkpoint_drop(&c);
}

static void make_small_files(struct io *io)
{
    const struct quorum_state state = {.leader_id = 2, .leader_epoch = 5, .voted_id = 2};
    struct log_meta meta = {.cluster_id = "c", .node_id = 1};
    struct checkpoint c;

    ASSERT(quorum_state_write(io, DIR, &state) == E_OK && log_meta_write(io, DIR, &meta) == E_OK);
    ASSERT(log_dir_clean(io, DIR, 3) == E_OK);
    checkpoint_init(&c, io_heap(io), 1);
    checkpoint_set(&c, SLICE("t"), 0, BATCHES * 3);
    ASSERT(checkpoint_save(&c, io, DIR, CHECKPOINT_RECOVERY) == E_OK);
    checkpoint_drop(&c);
}

static void run(struct loop *loop, void *arg)
{
    struct disk_fuzz *f = arg;
    struct heap *h = io_heap(f->io);
    struct codec_cache *codecs = codec_cache_new(h);
    const struct log_env_config config = {.io = f->io,
                                          .codecs = codecs,
                                          .files_max = 6,
                                          .index_pages_max = 4,
                                          .producer_expiration_ms = 86400000};
    struct log_env *env = log_env_new(&config);
    struct log_config settings;
    struct log_start from = {.start = -1};
    struct uuid id = {{1, 2, 3}};
    struct log *log = NULL;

    log_config_init(&settings);
    settings.segment_bytes = 2000;
    settings.index_interval_bytes = 300;
    settings.retention_ms = 1500;
    settings.file_delete_delay_ms = 0;
    if (f->making)
        ASSERT(dir_make(f->io, DIR) == E_OK);
    else
        small_files(f->io, &from);
    from.past = (struct log_dir_past){
        .clean = f->flags & CLEAN, .same_boot = f->flags & SAME_BOOT, .broker_epoch = -1};
    if (f->flags & NO_POINT)
        from.recovery_point = 0;
    if (log_open(env, log_env_dir(env, DIR), LOG, &id, &settings, &from, &log) == E_OK) {
        for (int i = 0; i < BATCHES && f->making; i++)
            ASSERT(append(log, h, i) == E_OK);
        if (!f->making)
            use(log, h);
        (void)(log_close(log) == E_OK);
    }
    if (f->making)
        make_small_files(f->io);
    (void)log_env_due(env, INT64_MAX / 2);
    log_env_drop(env);
    codec_cache_drop(codecs);
}

/* ---- the files before the edits ---- */

static const struct stored *whole(int *n)
{
    static struct stored_files all;

    if (all.n == 0) {
        struct disk_fuzz f = {.making = true, .flags = CLEAN};
        struct sim *s = sim_new(1);

        f.io = sim_node(s, NODE);
        ASSERT(sim_call(s, f.io, LOOP_DISK, run, &f));
        stored_keep(&all, s, NODE);
        sim_drop(s);
    }
    *n = all.n;
    return all.v;
}

#ifdef FUZZ_CANARY
static void believe(const char *path, const uint8_t *p, size_t len)
{
    volatile uint8_t sum = 0;
    uint8_t *own;

    if (!strstr(path, ".snapshot") || len < 10)
        return;
    own = malloc(len);
    memcpy(own, p, len);
    for (uint32_t i = 0; i < get_be32(own + 6) && i < 100; i++)
        sum = (uint8_t)(sum + own[10 + i * 46]);
    free(own);
}
#else
static void believe(const char *path, const uint8_t *p, size_t len)
{
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct disk_fuzz f = {0};
    const struct stored *files;
    struct sim *sim;
    int n;

    if (len < 1)
        return 0;
    files = whole(&n);
    sim = sim_new(1);
    f.flags = data[0];
    f.io = sim_node(sim, NODE);
    for (int i = 0; i < n; i++) {
        size_t size;
        uint8_t *p = stored_edited(files, i, n, slice_of(data + 1, len - 1), &size);
        if ((data[0] & MEND) && strstr(files[i].path, ".log"))
            fuzz_batches_mend(p, size, 4);
        believe(files[i].path, p, size);
        ASSERT(sim_file_put(sim, NODE, files[i].path, p, size) == E_OK);
        free(p);
    }
    ASSERT(sim_call(sim, f.io, LOOP_DISK, run, &f));
    sim_drop(sim);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed)
{
    return max > 0 && seed % 4 == 0 ? stored_fresh(data, max, seed) : LLVMFuzzerMutate(data, len, max);
}
