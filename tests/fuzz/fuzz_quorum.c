/* The metadata log's directory of a voter, changed by a broken disk: segments, indexes, a checkpoint, quorum-state. It opens, and
 * is recovered as the only voter, or says why not; what it opens is replayed, cut, appended to, and closed.
 *
 *     input   a byte of flags, then edits (files.h)
 *
 * FUZZ_CANARY: a reader of quorum-state that looks for its closing brace. */
#include "files.h"
#include "fuzz.h"
#include "metadata/batches.h"
#include "quorum/local_disk.h"
#include "quorum/log_walk.h"
#include "quorum/recover.h"
#include <stdio.h>

enum { NODE = 1, BATCHES = 12, SNAPSHOT_AT = 6 };
enum { MEND = 1, REWRITE = 2, MEND_STATE = 4 };
#define DIR "/m"
#define CRC ",\"crc32c\":\""

static const struct quorum_settings settings = {.dir = DIR,
                                                .node_id = 1,
                                                .directory_id = {{1}},
                                                .election_ms = 400,
                                                .heartbeat_ms = 50,
                                                .snapshot_bytes = 1 << 20,
                                                .segment_bytes = 1500,
                                                .segment_ms = INT64_MAX,
                                                .retention_bytes = -1,
                                                .retention_ms = -1};

struct quorum_fuzz {
    struct io *io;
    uint8_t flags;
};

/* ---- the log ---- */

static void record_make(int i, struct meta_record *r)
{
    *r = (struct meta_record){0};
    switch (i % 4) {
    case 0:
    case 1:
        r->type = RECORD_TOPIC;
        r->topic =
            (struct record_topic){.name = i % 4 ? SLICE("a") : SLICE("b.c"), .id = {{(uint8_t)(i + 1)}}};
        break;
    case 2:
        r->type = RECORD_REQUEST_DONE;
        r->request_done = (struct record_request_done){.id = {{(uint8_t)i}},
                                                       .at_ms = 100 * i,
                                                       .keep_ms = 5000,
                                                       .api_key = 19,
                                                       .answer = SLICE("answer")};
        break;
    default:
        r->type = RECORD_REQUESTS_FORGET;
        r->requests_forget = (struct record_requests_forget){.due_ms = 100 * i, .last = {{(uint8_t)i}}};
    }
}

/* A topic of each name once, answers that are kept and dropped. */
static enum err append(struct local_disk *d, int i)
{
    struct batch_place at = {.base_offset = log_end(d->log), .epoch = 1 + i / 5, .now_ms = 1000 + i};
    struct bytes out, values;
    struct meta_record r;
    struct arena a;
    size_t end;
    enum err err;

    bytes_init(&out, io_heap(d->io));
    bytes_init(&values, io_heap(d->io));
    arena_init(&a, io_heap(d->io), SIZE_MAX);
    record_make(i > 1 ? 2 + i % 2 : i, &r);
    record_encode(&r, &values);
    end = values.len;
    batches_data(&at, bytes_slice(&values), &end, 1, &a, &out);
    err = local_disk_append(d, bytes_slice(&out));
    arena_drop(&a);
    bytes_drop(&values);
    bytes_drop(&out);
    return err;
}

static void image_end(struct local_disk *d, struct image *image)
{
    if (image)
        image_unref(image, &d->grave);
    grave_empty(&d->grave);
}

static void snapshot(struct local_disk *d)
{
    struct image *image = NULL;
    bool more = true;

    ASSERT(local_disk_sync(d) == E_OK && local_disk_replay(d, &image) == E_OK);
    local_disk_snapshot_start(d, (struct ckpt_id){log_end(d->log), 1 + SNAPSHOT_AT / 5}, image, &d->voters);
    while (more)
        ASSERT(local_disk_snapshot_step(d, &more) == E_OK);
    local_disk_snapshot_end(d);
    image_end(d, image);
}

static void make(struct loop *loop, void *arg)
{
    const struct voters first = {.n = 3,
                                 .kraft_version = 1,
                                 .v = {{.server_id = 1, .node = 1, .directory_id = {{1}}},
                                       {.server_id = 2, .node = 2, .directory_id = {{2}}},
                                       {.server_id = 3, .node = 3, .directory_id = {{3}}}}};
    const struct quorum_state now = {.leader_id = 2, .leader_epoch = 3, .voted_id = 2};
    struct quorum_fuzz *f = arg;
    struct quorum_state state;
    struct local_disk d;
    struct image *image;

    ASSERT(dir_make(f->io, DIR) == E_OK);
    local_disk_init(&d, f->io, &settings);
    ASSERT(local_disk_load(&d, &first, &image, &state) == E_OK);
    ASSERT(quorum_state_write(f->io, d.path, &now) == E_OK);
    for (int i = 0; i < BATCHES; i++) {
        ASSERT(append(&d, i) == E_OK);
        if (i == SNAPSHOT_AT)
            snapshot(&d);
    }
    ASSERT(local_disk_close(&d) == E_OK);
}

static const struct stored *whole(int *n)
{
    static struct stored_files all;

    if (all.n == 0) {
        struct sim *s = sim_new(1);
        struct quorum_fuzz f = {.io = sim_node(s, NODE)};

        ASSERT(sim_call(s, f.io, LOOP_DISK, make, &f));
        stored_keep(&all, s, NODE);
        sim_drop(s);
    }
    *n = all.n;
    return all.v;
}

/* ---- what a start does with it ---- */

static enum err found(void *arg, const struct batch_content *c, struct slice bytes, struct arena *a)
{
    struct voters v;

    return voters_in(c) ? voters_read(c, a, &v) : E_OK;
}

static void use(struct local_disk *d, struct image **image)
{
    int64_t from = d->snapshot < 0 ? 0 : d->snapshot;

    if (log_walk(d->log, io_heap(d->io), from, found, d) || local_disk_replay(d, image))
        return;
    (void)(local_disk_cut(d, (from + log_end(d->log)) / 2) == E_OK);
    for (int i = BATCHES; i < BATCHES + 2 && !d->err; i++)
        (void)(append(d, i) == E_OK);
    (void)(local_disk_sync(d) == E_OK);
}

static void run(struct loop *loop, void *arg)
{
    static const struct voters nobody;
    struct quorum_fuzz *f = arg;
    struct quorum_state state;
    struct recovery told;
    struct local_disk d;
    struct image *image = NULL;

    (void)(recover(f->io, &settings, false, &told) == E_OK);
    if (f->flags & REWRITE)
        (void)(recover(f->io, &settings, true, &told) == E_OK);
    local_disk_init(&d, f->io, &settings);
    if (!local_disk_load(&d, &nobody, &image, &state) && log_end(d.log) > 0)
        use(&d, &image);
    image_end(&d, image);
    (void)(local_disk_close(&d) == E_OK);
}

/* ---- edits ---- */

/* The checksum of what is in front of it. */
static void state_mend(uint8_t *p, size_t len)
{
    uint8_t *at = memmem(p, len, CRC, strlen(CRC));
    char crc[9];

    if (!at || (size_t)(at - p) + strlen(CRC) + 8 > len)
        return;
    (void)snprintf(crc, sizeof(crc), "%08x", crc32c(0, p, (size_t)(at - p)));
    memcpy(at + strlen(CRC), crc, 8);
}

#ifdef FUZZ_CANARY
static void believe(const char *path, const uint8_t *p, size_t len)
{
    volatile size_t n = 0;
    uint8_t *own;

    if (!strstr(path, "quorum-state") || len == 0)
        return;
    own = malloc(len);
    memcpy(own, p, len);
    while (own[n] != '}')
        n++;
    free(own);
}
#else
static void believe(const char *path, const uint8_t *p, size_t len)
{
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct stored *files;
    struct quorum_fuzz f;
    struct sim *sim;
    int n;

    if (len < 1)
        return 0;
    files = whole(&n);
    sim = sim_new(1);
    f = (struct quorum_fuzz){.io = sim_node(sim, NODE), .flags = data[0]};
    for (int i = 0; i < n; i++) {
        size_t size;
        uint8_t *p = stored_edited(files, i, n, slice_of(data + 1, len - 1), &size);
        if ((data[0] & MEND) && (strstr(files[i].path, ".log") || strstr(files[i].path, ".checkpoint")))
            fuzz_batches_mend(p, size, 4);
        if ((data[0] & MEND_STATE) && strstr(files[i].path, "quorum-state"))
            state_mend(p, size);
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
