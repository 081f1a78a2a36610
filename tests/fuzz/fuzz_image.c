/* Checkpoints of the metadata: bytes from a disk or a peer, as a row of batches whose checksums are mended. An image that comes
 * out of them can be walked, and written and read again as an equal one; everything else is an error.
 * FUZZ_CANARY: each record is replayed unasked. */
#include "fuzz.h"
#include "metadata/batches.h"
#include "metadata/snapshot.h"
#include "quorum/voters.h"

enum { HEAD = 1 };

static void image_end(struct image *i, struct grave *g)
{
    image_unref(i, g);
    grave_empty(g);
}

static void again(struct image *i, struct grave *g)
{
    struct snapshot_writer w;
    struct snapshot_reader r;
    struct image *other;
    struct bytes out;
    size_t used;

    bytes_init(&out, g->heap);
    snapshot_start(&w, g->heap, i);
    while (snapshot_step(&w, 3, &out))
        ;
    snapshot_end(&w);
    snapshot_read_start(&r, g);
    for (size_t at = 0; at < out.len; at += used)
        ASSERT(snapshot_read_step(&r, slice_of(out.p + at, out.len - at), &used) == E_OK);
    ASSERT(snapshot_read_end(&r, 1, 1, &other) == E_OK);
    ASSERT(image_equal(i, other, g->heap) && image_hash(i, g->heap) == image_hash(other, g->heap));
    image_diff(NULL, other, &(struct image_diff){0});
    image_end(other, g);
    bytes_drop(&out);
}

static enum err step(struct snapshot_reader *r, struct slice in, size_t *used)
{
#ifdef FUZZ_CANARY
    struct batch_content c;

    if (batches_read(in, &r->arena, &c, used) == E_OK && !c.is_control && r->header)
        for (int i = 0; i < c.n; i++)
            image_replay(r->draft, r->grave, &c.records[i]);
    arena_reset(&r->arena);
#endif
    return snapshot_read_step(r, in, used);
}

static void voters_try(struct slice in, struct heap *h)
{
    struct batch_content c;
    struct voters voters;
    struct arena a;
    size_t used;

    arena_init(&a, h, SIZE_MAX);
    if (batches_read(in, &a, &c, &used) == E_OK && voters_in(&c))
        (void)(voters_read(&c, &a, &voters) == E_OK);
    arena_drop(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct snapshot_reader r;
    struct image *image;
    struct heap *h;
    struct grave g;
    struct slice in;
    size_t used;

    if (len < HEAD)
        return 0;
    h = heap_new(false);
    grave_init(&g, h);
    in = heap_copy(h, slice_of(data + HEAD, len - HEAD));
    fuzz_batches_mend(in.p, in.len, data[0] & 8 ? 7 : data[0]);
    snapshot_read_start(&r, &g);
    for (size_t at = 0; at < in.len; at += used) {
        struct slice rest = slice_of(in.p + at, in.len - at);
        voters_try(rest, h);
        if (step(&r, rest, &used) != E_OK)
            break;
    }
    r.footer |= (data[0] & 16) != 0; /* what was read so far is looked at */
    if (snapshot_read_end(&r, 1, 1, &image) == E_OK) {
        again(image, &g);
        image_end(image, &g);
    }
    grave_empty(&g);
    heap_free(h, in.p);
    heap_drop(h);
    return 0;
}

/* ---- checkpoints to begin with ---- */

static void record_make(struct test_random *r, struct meta_record *m)
{
    static const int32_t ids[] = {1, 2, 3, 1, 2};
    static const struct uuid dirs[] = {{{1}}, {{2}}, {{3}}};
    static const char *const names[] = {"a", "b.c", "b_c", "d"};
    struct ids some = {ids + test_random_below(r, 3), (int32_t)test_random_below(r, 3)};
    const char *name = names[test_random_below(r, 4)];
    uint8_t topic = (uint8_t)test_random_below(r, 3);

    *m = (struct meta_record){0};
    switch (test_random_below(r, 9)) {
    case 0:
        m->type = RECORD_TOPIC;
        m->topic = (struct record_topic){.name = SLICE(name), .id = {{topic}}};
        break;
    case 1:
    case 2:
        m->type = RECORD_PARTITION;
        m->partition = (struct record_partition){.topic = {{topic}},
                                                 .index = (int32_t)test_random_below(r, 3),
                                                 .leader = 1,
                                                 .replicas = some,
                                                 .isr = some,
                                                 .elr = some,
                                                 .dirs = {dirs, some.n}};
        break;
    case 3:
        m->type = RECORD_PARTITION_CHANGE;
        m->partition_change = (struct record_partition_change){.topic = {{topic}},
                                                               .leader = (int32_t)test_random_below(r, 4) - 2,
                                                               .recovering = -1,
                                                               .replicas = IDS_SAME,
                                                               .isr = some,
                                                               .removing = IDS_SAME,
                                                               .adding = IDS_SAME,
                                                               .elr = IDS_SAME,
                                                               .last_elr = IDS_SAME,
                                                               .dirs = UUIDS_SAME};
        break;
    case 4:
        m->type = RECORD_REGISTER_BROKER;
        m->register_broker = (struct record_register_broker){
            .id = (int32_t)test_random_below(r, 3), .epoch = 5, .dirs = {dirs, 2}, .rack = SLICE("r")};
        break;
    case 5:
        m->type = RECORD_BROKER_CHANGE;
        m->broker_change = (struct record_broker_change){.id = (int32_t)test_random_below(r, 3),
                                                         .epoch = 5,
                                                         .fenced = 1,
                                                         .dirs = UUIDS_SAME,
                                                         .cordoned = UUIDS_SAME};
        break;
    case 6:
        m->type = RECORD_CONFIG;
        m->config = (struct record_config){
            .resource_type = CONFIG_TOPIC, .resource = SLICE(name), .name = SLICE("k"), .value = SLICE("v")};
        break;
    case 7:
        m->type = RECORD_REMOVE_TOPIC;
        m->remove_topic = (struct record_remove_topic){.id = {{topic}}};
        break;
    default:
        m->type = RECORD_PRODUCER_IDS;
        m->producer_ids = (struct record_producer_ids){.next = (int64_t)test_random_below(r, 3000)};
    }
}

/* A header, some random records, a footer. */
static size_t fresh(uint8_t *data, size_t max, unsigned seed)
{
    struct heap *h = heap_new(false);
    struct snapshot_writer w;
    struct test_random r;
    struct grave g;
    struct image *i;
    struct arena a;
    struct bytes out, values;
    size_t ends[16], len = HEAD;
    int n;

    test_random_init(&r, seed);
    grave_init(&g, h);
    arena_init(&a, h, SIZE_MAX);
    bytes_init(&out, h);
    bytes_init(&values, h);
    i = image_new(&g);
    image_seal(i);
    snapshot_start(&w, h, i);
    (void)snapshot_step(&w, 1, &out); /* the header */
    snapshot_end(&w);
    n = 1 + (int)test_random_below(&r, 16);
    for (int k = 0; k < n; k++) {
        struct meta_record m;
        record_make(&r, &m);
        record_encode(&m, &values);
        ends[k] = values.len;
    }
    batches_data(&(struct batch_place){.base_offset = 1}, bytes_slice(&values), ends, n, &a, &out);
    data[0] = 8 | 16;
    if (out.len + HEAD <= max) {
        memcpy(data + HEAD, out.p, out.len);
        len += out.len;
    }
    image_end(i, &g);
    bytes_drop(&out);
    bytes_drop(&values);
    arena_drop(&a);
    heap_drop(h);
    return len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed)
{
    if (max >= HEAD && seed % 16 == 0)
        return fresh(data, max, seed);
    return LLVMFuzzerMutate(data, len, max);
}
