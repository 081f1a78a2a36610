/* weir metadata on batches from memory: any source will do. */
#include "proto/bigend.h"
#include "proto/recompress.h"
#include "tests/unit/metadata/meta_world.h"
#include "tools/meta_state.h"
#include "tools/meta_words.h"

struct memory {
    struct meta_source source;
    struct slice rest;
    int64_t at;
};

static enum err memory_next(struct meta_source *s, struct meta_batch *out)
{
    struct memory *m = container_of(s, struct memory, source);
    enum err err;

    out->where = "memory";
    out->position = m->at;
    err = batch_next(&m->rest, &out->view);
    if (!err)
        m->at += (int64_t)out->view.len;
    return err;
}

static void memory_close(struct meta_source *s)
{
}

struct world {
    struct tool t;
    struct memory memory;
    struct meta_reader reader;
    struct meta_state state;
};

static void world_start(struct world *w)
{
    *w = (struct world){.t = {.heap = heap_new(false)}};
    arena_init(&w->t.arena, w->t.heap, SIZE_MAX);
    meta_state_init(&w->state, w->t.heap);
}

static void world_end(struct world *w)
{
    meta_state_drop(&w->state);
    arena_drop(&w->t.arena);
    CHECK_EQ(heap_used(w->t.heap), 0);
    heap_drop(w->t.heap);
}

/* How many items came and how many of them the state took. */
static int feed(struct world *w, struct slice batches, int *taken)
{
    struct meta_item i;
    int n = 0;

    *taken = 0;
    w->memory = (struct memory){.source = {memory_next, memory_close}, .rest = batches};
    meta_reader_open(&w->reader, &w->t, &w->memory.source);
    for (; meta_reader_next(&w->reader, &i); n++) {
        struct bytes json;

        bytes_init(&json, w->t.heap);
        meta_item_json(&i, &w->reader.arena, &json);
        CHECK(json.len > 0 && strlen(meta_item_name(&i, &w->reader.arena)) > 0);
        bytes_drop(&json);
        *taken += !meta_state_apply(&w->state, &i, &w->reader.arena);
    }
    meta_reader_close(&w->reader);
    return n;
}

/* A history of ours in batches of ten. */
static void history(struct world *w, uint64_t seed, int batches, struct bytes *out)
{
    struct meta_state s;
    struct bytes values;
    struct arena a;
    struct test_random r;
    size_t ends[10];

    meta_state_init(&s, w->t.heap);
    arena_init(&a, w->t.heap, SIZE_MAX);
    bytes_init(&values, w->t.heap);
    test_random_init(&r, seed);
    for (int b = 0; b < batches; b++, values.len = 0, arena_reset(&a)) {
        struct batch_place at = {.base_offset = 10 * b, .epoch = 1, .now_ms = 1000 + b};

        for (int i = 0; i < 10; i++) {
            struct meta_record record;

            random_record(&r, s.draft, &a, &record);
            image_replay(s.draft, &s.grave, &record);
            record_encode(&record, &values);
            ends[i] = values.len;
        }
        batches_data(&at, bytes_slice(&values), ends, 10, &a, out);
    }
    bytes_drop(&values);
    arena_drop(&a);
    meta_state_drop(&s);
}

static const enum codec CODECS[] = {CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD};

/* Batches in any codec lead to the same image as those that aren't compressed. */
TEST_EACH(meta_reader, compressed_batches_are_read, CODECS)
{
    struct world w, plain;
    struct bytes batches, small;
    struct codec_cache *codecs;
    struct batch_view v;
    struct slice rest;
    int taken;

    world_start(&w);
    world_start(&plain);
    codecs = codec_cache_new(w.t.heap);
    bytes_init(&batches, w.t.heap);
    bytes_init(&small, w.t.heap);
    history(&w, 3, 20, &batches);
    for (rest = bytes_slice(&batches); !batch_next(&rest, &v);)
        CHECK_OK(batch_recompress(codecs, &v, *row, INT32_MIN, 1 << 20, &small));
    CHECK_EQ(feed(&plain, bytes_slice(&batches), &taken), 200);
    CHECK_EQ(taken, 200);
    CHECK_EQ(feed(&w, bytes_slice(&small), &taken), 200);
    CHECK_EQ(taken, 200);
    CHECK(!w.reader.why && image_equal(w.state.draft, plain.state.draft, w.t.heap));
    CHECK_EQ(w.state.draft->offset, 199);
    bytes_drop(&small);
    bytes_drop(&batches);
    codec_cache_drop(codecs);
    world_end(&plain);
    world_end(&w);
}

/* A wrong byte is told, with its place, before anything is decoded; where the checksum was mended, it is told by what follows or
 * does no harm. */
TEST(meta_reader, any_wrong_byte_is_told_or_harmless)
{
    struct test_random r;
    struct bytes batches;
    struct world w;
    struct batch_view v;
    int taken, told = 0;

    world_start(&w);
    bytes_init(&batches, w.t.heap);
    history(&w, 5, 1, &batches);
    test_random_init(&r, 1);
    for (int n = 0; n < 4000; n++) {
        size_t at = BATCH_CRC_FROM + test_random_below(&r, batches.len - BATCH_CRC_FROM);
        uint8_t was = batches.p[at];
        struct world one;

        batches.p[at] ^= (uint8_t)(1 + test_random_below(&r, 255));
        world_start(&one);
        if (n % 2 && !batch_view(bytes_slice(&batches), &v))
            batch_max_timestamp_set(&v, v.max_timestamp); /* mends the checksum */
        else
            CHECK_EQ(feed(&one, bytes_slice(&batches), &taken), 0);
        if (!(n % 2))
            CHECK(one.reader.why && strstr(one.reader.why, "memory, position 0: "));
        else
            told += feed(&one, bytes_slice(&batches), &taken) < 10 || taken < 10;
        world_end(&one);
        batches.p[at] = was;
        if (!batch_view(bytes_slice(&batches), &v))
            batch_max_timestamp_set(&v, v.max_timestamp);
    }
    CHECK(told > 500);
    bytes_drop(&batches);
    world_end(&w);
}
