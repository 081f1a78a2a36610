#include "log/clean_batch.h"
#include "tests/check.h"
#include <limits.h>
#include <stdio.h>

struct bench {
    struct heap *heap;
    struct codec_cache *codecs;
    struct clean_map map;
    struct producers producers;
    struct bytes in, out;
    struct clean_rules rules;
};

static void bench_open(struct bench *b)
{
    static const uint64_t key[2] = {1, 2};

    b->heap = heap_new(true);
    b->codecs = codec_cache_new(b->heap);
    clean_map_open(&b->map, b->heap, 1000, 1 << 20, key);
    producers_init(&b->producers, b->heap, 1);
    bytes_init(&b->in, b->heap);
    bytes_init(&b->out, b->heap);
    b->rules = (struct clean_rules){.heap = b->heap,
                                    .codecs = b->codecs,
                                    .map = &b->map,
                                    .producers = &b->producers,
                                    .map_end = 1000,
                                    .upto = 1000,
                                    .now_ms = 50000,
                                    .delete_retention_ms = 100,
                                    .record_max = 1 << 20};
}

static void bench_close(struct bench *b)
{
    clean_map_drop(&b->map);
    producers_drop(&b->producers);
    bytes_drop(&b->in);
    bytes_drop(&b->out);
    codec_cache_drop(b->codecs);
    CHECK_EQ(heap_used(b->heap), 0);
    heap_drop(b->heap);
}

/* A batch from words "key=value", "key" for a tombstone, "=value" for no key; timestamps 2000, 2001, … */
static struct batch_view made(struct bench *b, int64_t base, int64_t producer, enum codec codec, int n,
                              const char *const *words)
{
    static const struct batch_header header = {.key = {(uint8_t *)"h", 1}, .value = {(uint8_t *)"", 0}};
    struct batch_record v[16];
    struct batch_spec spec;
    struct batch_view view;

    for (int i = 0; i < n; i++) {
        const char *eq = strchr(words[i], '=');
        size_t key = eq ? (size_t)(eq - words[i]) : strlen(words[i]);
        v[i] = (struct batch_record){.timestamp = 2000 + i, .headers = &header, .headers_n = i & 1};
        v[i].key = key ? slice_of(words[i], key) : SLICE_NULL;
        v[i].value = eq ? SLICE(eq + 1) : SLICE_NULL;
    }
    batch_spec_init(&spec);
    spec.base_offset = base;
    spec.leader_epoch = 4;
    spec.producer_id = producer;
    spec.producer_epoch = producer < 0 ? -1 : 3;
    spec.base_sequence = producer < 0 ? -1 : 70;
    spec.codec = codec;
    spec.v = v;
    spec.n = n;
    b->in.len = 0;
    batch_build(b->codecs, &spec, &b->in);
    CHECK_OK(batch_view(bytes_slice(&b->in), &view));
    return view;
}
#define WORDS(...)                                                                                           \
    (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[])                          \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static void map_put(struct bench *b, const char *key, int64_t offset)
{
    CHECK(clean_map_put(&b->map, SLICE(key), offset));
}

/* Cleans `in`; false: nothing is left. */
static bool cleaned(struct bench *b, const struct batch_view *in, struct batch_view *out)
{
    int32_t kept;

    b->out.len = 0;
    CHECK_OK(clean_batch(&b->rules, in, &b->out, &kept));
    if (b->out.len == 0)
        return false;
    CHECK_OK(batch_view(bytes_slice(&b->out), out));
    CHECK(out->len == b->out.len && batch_crc_ok(out) && out->count == kept);
    CHECK(out->base_offset == in->base_offset && out->last_offset == in->last_offset);
    CHECK(out->leader_epoch == 4 && out->producer_id == in->producer_id);
    CHECK(out->producer_epoch == in->producer_epoch && out->base_sequence == in->base_sequence);
    return true;
}

/* "offset:key=value@timestamp+headers …" */
static void check_records(struct bench *b, const struct batch_view *v, const char *want)
{
    struct record_iter it;
    struct record r;
    char text[512] = "";
    size_t at = 0;
    enum err err;

    record_iter_open(&it, b->heap, b->codecs, v, 1 << 20);
    while (!(err = record_next(&it, &r)))
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%lld:%.*s%s%.*s@%lld+%d", at ? " " : "",
                               (long long)r.offset, (int)r.key.len, (char *)r.key.p, r.value.p ? "=" : "",
                               (int)r.value.len, (char *)r.value.p, (long long)r.timestamp, r.headers_n);
    record_iter_close(&it);
    CHECK_EQ(err, E_EOF);
    CHECK_STR(text, want);
}

static const enum codec codecs[] = {CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD};
/* Records whose key comes again later go, as do those without a key; the others keep offset, timestamp,
 * headers and the batch its codec. */
TEST_EACH(clean_batch, superseded_records_go, codecs)
{
    struct bench b;
    struct batch_view in, out;

    bench_open(&b);
    map_put(&b, "a", 12);
    map_put(&b, "b", 500);
    map_put(&b, "c", 13);
    in = made(&b, 10, 7, *row, WORDS("a=0", "b=1", "a=2", "c=3", "=4", "d=5"));
    CHECK(cleaned(&b, &in, &out));
    CHECK_EQ(batch_codec(&out), *row);
    check_records(&b, &out, "12:a=2@2002+0 13:c=3@2003+1 15:d=5@2005+1");
    CHECK_EQ(out.max_timestamp, 2005);
    bench_close(&b);
}

/* A batch that loses nothing stays as it is, byte for byte, and so does one behind the part that the map
 * covers. */
TEST(clean_batch, untouched_batches_stay_byte_for_byte)
{
    struct bench b;
    struct batch_view in, out;

    bench_open(&b);
    in = made(&b, 10, -1, CODEC_NONE, WORDS("a=0", "b=1"));
    CHECK(cleaned(&b, &in, &out));
    CHECK(slice_eq(bytes_slice(&b.in), bytes_slice(&b.out)));
    map_put(&b, "a", 999);
    in = made(&b, 1000, -1, CODEC_NONE, WORDS("a=0", "=1", "a"));
    CHECK(cleaned(&b, &in, &out));
    CHECK(slice_eq(bytes_slice(&b.in), bytes_slice(&b.out)));
    bench_close(&b);
}

/* A tombstone's horizon is set when it is first cleaned, doesn't move, and behind it the tombstone goes. */
TEST(clean_batch, tombstones_go_behind_their_horizon)
{
    struct bench b;
    struct batch_view in, once, twice;

    bench_open(&b);
    in = made(&b, 10, -1, CODEC_NONE, WORDS("a", "b=1"));
    CHECK(cleaned(&b, &in, &once));
    CHECK(once.attributes & BATCH_DELETE_HORIZON);
    CHECK_EQ(once.base_timestamp, 50100);
    check_records(&b, &once, "10:a@2000+0 11:b=1@2001+1");
    b.in.len = 0;
    bytes_add(&b.in, once.p, once.len);
    CHECK_OK(batch_view(bytes_slice(&b.in), &in));
    b.rules.now_ms = 50099;
    CHECK(cleaned(&b, &in, &twice));
    CHECK(slice_eq(bytes_slice(&b.in), bytes_slice(&b.out)));
    b.rules.now_ms = 50100;
    CHECK(cleaned(&b, &in, &twice));
    check_records(&b, &twice, "11:b=1@2001+1");
    CHECK_EQ(twice.base_timestamp, 50100);
    bench_close(&b);
}

/* A batch of which nothing is left goes, but its header stays if it tells a live producer's last sequence or
 * where the cleaned part ends. */
TEST(clean_batch, empty_batches_stay_where_they_are_needed)
{
    struct bench b;
    struct batch_view in, out;

    bench_open(&b);
    map_put(&b, "a", 500);
    in = made(&b, 10, 7, CODEC_ZSTD, WORDS("a=0", "a=1"));
    CHECK(!cleaned(&b, &in, &out));
    struct producer_batch last = {.producer_id = 7,
                                  .epoch = 3,
                                  .base_sequence = 70,
                                  .base_offset = 10,
                                  .last_offset = 11,
                                  .max_timestamp = 2001,
                                  .coordinator_epoch = -1};
    producers_apply(&b.producers, &last);
    CHECK(cleaned(&b, &in, &out));
    CHECK(out.len == BATCH_HEAD && out.count == 0 && out.max_timestamp == 2001);
    CHECK(out.base_timestamp == -1 && batch_codec(&out) == CODEC_NONE && out.last_offset_delta == 1);
    in = made(&b, 20, -1, CODEC_NONE, WORDS("a=0", "a=1"));
    CHECK(!cleaned(&b, &in, &out));
    b.rules.upto = 22;
    CHECK(cleaned(&b, &in, &out));
    CHECK_EQ(out.count, 0);
    bench_close(&b);
}

/* The first pass enters each key with its last offset, from the first dirty offset on, and says when it is
 * full. */
TEST(clean_batch, map_takes_keys_from_the_dirty_part)
{
    struct bench b;
    struct batch_view in;
    bool full;

    bench_open(&b);
    in = made(&b, 10, -1, CODEC_NONE, WORDS("a=0", "b=1", "=2", "b", "c=4"));
    CHECK_OK(clean_batch_map(&b.map, b.heap, b.codecs, &in, 11, 1 << 20, &full));
    CHECK(!full);
    CHECK_EQ(clean_map_get(&b.map, SLICE("a")), -1);
    CHECK_EQ(clean_map_get(&b.map, SLICE("b")), 13);
    CHECK_EQ(clean_map_get(&b.map, SLICE("c")), 14);
    b.map.n_max = 2;
    in = made(&b, 20, -1, CODEC_NONE, WORDS("b=0", "d=1"));
    CHECK_OK(clean_batch_map(&b.map, b.heap, b.codecs, &in, 11, 1 << 20, &full));
    CHECK(full);
    bench_close(&b);
}
