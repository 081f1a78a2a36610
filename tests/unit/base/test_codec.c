#include "base/codec.h"
#include "base/err.h"
#include "tests/check.h"
#include <limits.h>

static const enum codec all[] = {CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD};
static const enum codec framed[] = {CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD};

struct world {
    struct heap *heap;
    struct codec_cache *cache;
    struct bytes packed, plain;
};

static void world_init(struct world *w)
{
    w->heap = heap_new(false);
    w->cache = codec_cache_new(w->heap);
    bytes_init(&w->packed, w->heap);
    bytes_init(&w->plain, w->heap);
}

static void world_drop(struct world *w)
{
    bytes_drop(&w->packed);
    bytes_drop(&w->plain);
    codec_cache_drop(w->cache);
    CHECK_EQ(heap_used(w->heap), 0);
    heap_drop(w->heap);
}

/* All that decodes, up to `most` bytes. */
static enum err unpack(struct world *w, enum codec codec, struct slice in, size_t most)
{
    struct codec_stream *s = codec_open(w->cache, codec, in);
    struct slice next = {.len = 1};
    enum err err = E_OK;

    w->plain.len = 0;
    while (!err && next.len > 0 && w->plain.len < most) {
        err = codec_next(s, &next);
        if (!err)
            bytes_add(&w->plain, next.p, next.len);
    }
    codec_close(s);
    return err;
}

/* Text-like: repeats itself, with chance in between. */
static struct slice sample(struct heap *h, size_t len, uint64_t seed)
{
    struct test_random r;
    uint8_t *p = heap_alloc(h, len ? len : 1);

    test_random_init(&r, seed);
    for (size_t i = 0; i < len; i++)
        p[i] = i > 100 && test_random_below(&r, 8) ? p[i - 100] : (uint8_t)test_random_next(&r);
    return slice_of(p, len);
}

static const struct known {
    const char *text;
    uint32_t crc;
} known[] = {
    {"", 0},
    {"a", 0xc1d04330},
    {"123456789", 0xe3069283},
    {"The quick brown fox jumps over the lazy dog", 0x22620404},
};

/* CRC-32C's published answers. */
TEST_EACH(codec, crc32c_known_answers, known)
{
    CHECK_EQ(crc32c(0, row->text, strlen(row->text)), row->crc);
}

/* RFC 3720's answers, and any cut of the bytes into two gives the same sum as the whole. */
TEST(codec, crc32c_continues)
{
    uint8_t b[3000] = {0};

    CHECK_EQ(crc32c(0, b, 32), 0x8a9136aa);
    memset(b, 0xff, 32);
    CHECK_EQ(crc32c(0, b, 32), 0x62a8ab43);
    for (size_t i = 0; i < sizeof(b); i++)
        b[i] = (uint8_t)(i * 31 + i / 7);
    for (size_t cut = 0; cut <= sizeof(b); cut += 13)
        CHECK_EQ(crc32c(crc32c(0, b, cut), b + cut, sizeof(b) - cut), crc32c(0, b, sizeof(b)));
}

/* What is compressed comes back, at any size and level, read whole or piece by piece. */
TEST_EACH(codec, round_trip, all)
{
    static const size_t sizes[] = {0, 1, 2, 100, 32767, 32768, 32769, 65535, 65536, 65537, 1000000};
    static const int levels[] = {INT_MIN, -131072, -1, 1, 3, 9, 12, 17, 22};
    struct world w;

    world_init(&w);
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        struct slice in = sample(w.heap, sizes[k], k);
        for (size_t l = 0; l < sizeof(levels) / sizeof(levels[0]); l++) {
            if (l > 0 && (!codec_level_ok(*row, levels[l]) || sizes[k] > 100000))
                continue;
            w.packed.len = 0;
            bytes_add(&w.packed, "x", 1);
            codec_compress(w.cache, *row, levels[l], in, &w.packed);
            CHECK_EQ(w.packed.p[0], 'x');
            struct slice packed = slice_of(w.packed.p + 1, w.packed.len - 1);
            CHECK_OK(unpack(&w, *row, packed, SIZE_MAX));
            CHECK(slice_eq(bytes_slice(&w.plain), in));

            struct codec_stream *s = codec_open(w.cache, *row, packed);
            uint8_t piece[777];
            for (size_t at = 0, got; at < in.len; at += got) {
                CHECK_OK(codec_read(s, piece, sizeof(piece), &got));
                CHECK(got == (in.len - at < sizeof(piece) ? in.len - at : sizeof(piece)));
                CHECK(memcmp(piece, in.p + at, got) == 0);
            }
            codec_close(s);
        }
        heap_free(w.heap, in.p);
    }
    world_drop(&w);
}

/* What ends too early is an error wherever it was cut, but for snappy's frames at a block's end, which has no
 * end mark. */
TEST_EACH(codec, truncation_is_noticed, framed)
{
    struct world w;

    world_init(&w);
    struct slice in = sample(w.heap, 3000, 1);
    codec_compress(w.cache, *row, INT_MIN, in, &w.packed);
    for (size_t len = 0; len < w.packed.len; len++) {
        enum err err = unpack(&w, *row, slice_of(w.packed.p, len), SIZE_MAX);
        CHECK(err == E_CORRUPT_MESSAGE || (*row == CODEC_SNAPPY && len == 16));
    }
    heap_free(w.heap, in.p);
    world_drop(&w);
}

/* Damage ends in an error or in other bytes, never in a crash or in memory without bound. */
TEST_EACH(codec, damage_is_survived, framed)
{
    struct test_random r;
    struct world w;

    world_init(&w);
    test_random_init(&r, 11);
    struct slice in = sample(w.heap, 5000, 2);
    codec_compress(w.cache, *row, INT_MIN, in, &w.packed);
    struct slice bad = heap_copy(w.heap, bytes_slice(&w.packed));
    for (int k = 0; k < 20000; k++) {
        memcpy(bad.p, w.packed.p, bad.len);
        for (uint64_t n = 1 + test_random_below(&r, 4); n > 0; n--)
            bad.p[test_random_below(&r, k % 2 ? bad.len : 40)] = (uint8_t)test_random_next(&r);
        enum err err = unpack(&w, *row, bad, 1 << 20);
        CHECK(err == E_OK || err == E_CORRUPT_MESSAGE);
    }
    for (int k = 0; k < 2000; k++) {
        for (size_t i = k % 16; i < bad.len; i++)
            bad.p[i] = (uint8_t)test_random_next(&r);
        enum err err = unpack(&w, *row, bad, 1 << 20);
        CHECK(err == E_OK || err == E_CORRUPT_MESSAGE);
    }
    heap_free(w.heap, bad.p);
    heap_free(w.heap, in.p);
    world_drop(&w);
}

/* A snappy block that claims more than its bytes can hold is refused before memory is taken for it. */
TEST(codec, snappy_claims_are_checked)
{
    uint8_t raw[] = {0xa0, 0xc2, 0x1e, 0, 0, 0}; /* 500,000 */
    struct world w;

    world_init(&w);
    size_t before = heap_used(w.heap);
    CHECK_EQ(unpack(&w, CODEC_SNAPPY, slice_of(raw, sizeof(raw)), SIZE_MAX), E_CORRUPT_MESSAGE);
    CHECK_EQ(heap_used(w.heap), before);
    world_drop(&w);
}

/* The frames' bytes are those that Java writes. */
TEST(codec, frames_are_javas)
{
    static const uint8_t snappy[] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0,   0,   1,  0,
                                     0,    0,   1,   0,   0,   0,   5,   3, 8, 'a', 'b', 'c'};
    static const uint8_t lz4[] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 3, 0,
                                  0,    0x80, 'a',  'b',  'c',  0,    0,    0, 0};
    struct world w;

    world_init(&w);
    codec_compress(w.cache, CODEC_SNAPPY, INT_MIN, SLICE("abc"), &w.packed);
    CHECK(slice_eq(bytes_slice(&w.packed), slice_of(snappy, sizeof(snappy))));
    w.packed.len = 0;
    codec_compress(w.cache, CODEC_LZ4, INT_MIN, SLICE("abc"), &w.packed);
    CHECK(slice_eq(bytes_slice(&w.packed), slice_of(lz4, sizeof(lz4))));
    world_drop(&w);
}

/* Snappy without frames, as clients other than Java's write it, is read as well. */
TEST(codec, snappy_without_frames)
{
    static const uint8_t raw[] = {3, 8, 'a', 'b', 'c'};
    struct world w;

    world_init(&w);
    CHECK_OK(unpack(&w, CODEC_SNAPPY, slice_of(raw, sizeof(raw)), SIZE_MAX));
    CHECK(slice_eq(bytes_slice(&w.plain), SLICE("abc")));
    world_drop(&w);
}

static const enum codec chained[] = {CODEC_GZIP, CODEC_SNAPPY, CODEC_ZSTD};

/* Streams that follow one another read as one, and gzip leaves alone what follows and is no member. */
TEST_EACH(codec, streams_follow_one_another, chained)
{
    struct world w;

    world_init(&w);
    codec_compress(w.cache, *row, INT_MIN, SLICE("first,"), &w.packed);
    codec_compress(w.cache, *row, INT_MIN, SLICE("second"), &w.packed);
    if (*row == CODEC_GZIP)
        bytes_add(&w.packed, "garbage", 7);
    CHECK_OK(unpack(&w, *row, bytes_slice(&w.packed), SIZE_MAX));
    CHECK(slice_eq(bytes_slice(&w.plain), SLICE("first,second")));
    world_drop(&w);
}

/* A frame of the lz4 tool with block and content checksums and the content's size is read, and each byte of
 * the head and of the block is covered by a checksum that is checked. */
TEST(codec, lz4_options)
{
    uint8_t f[] = {0x04, 0x22, 0x4d, 0x18, 0x7c, 0x40, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21,
                   0x28, 0x00, 0x00, 0x00, 0xf2, 0x09, 0x74, 0x68, 0x65, 0x20, 0x73, 0x61, 0x6d, 0x65, 0x20,
                   0x77, 0x6f, 0x72, 0x64, 0x73, 0x20, 0x61, 0x67, 0x61, 0x69, 0x6e, 0x20, 0x61, 0x6e, 0x64,
                   0x0a, 0x00, 0x2f, 0x2c, 0x20, 0x20, 0x00, 0x48, 0x50, 0x61, 0x69, 0x6e, 0x2c, 0x20, 0x40,
                   0x26, 0x2e, 0x46, 0x00, 0x00, 0x00, 0x00, 0x4e, 0xa8, 0xff, 0x06};
    struct world w;

    world_init(&w);
    CHECK_OK(unpack(&w, CODEC_LZ4, slice_of(f, sizeof(f)), SIZE_MAX));
    CHECK_EQ(w.plain.len, 128);
    CHECK(memcmp(w.plain.p + 96, "the same words again and again, ", 32) == 0);
    for (size_t i = 0; i < sizeof(f) - 8; i++) {
        f[i] ^= 1;
        CHECK_EQ(unpack(&w, CODEC_LZ4, slice_of(f, sizeof(f)), SIZE_MAX), E_CORRUPT_MESSAGE);
        f[i] ^= 1;
    }
    world_drop(&w);
}

/* Codecs are found by Kafka's names and take Kafka's levels. */
TEST(codec, names_and_levels)
{
    enum codec c;

    for (int k = 0; k < 5; k++)
        CHECK(codec_find(SLICE(codec_name(all[k])), &c) && c == all[k]);
    CHECK(!codec_find(SLICE("brotli"), &c) && !codec_find(SLICE_NULL, &c));
    CHECK(codec_level_ok(CODEC_GZIP, -1) && codec_level_ok(CODEC_GZIP, 9) && !codec_level_ok(CODEC_GZIP, 0));
    CHECK(codec_level_ok(CODEC_LZ4, 17) && !codec_level_ok(CODEC_LZ4, 0) && !codec_level_ok(CODEC_LZ4, 18));
    CHECK(codec_level_ok(CODEC_ZSTD, -131072) && codec_level_ok(CODEC_ZSTD, 22) &&
          !codec_level_ok(CODEC_ZSTD, 23));
    CHECK(!codec_level_ok(CODEC_SNAPPY, 1) && codec_level_ok(CODEC_SNAPPY, INT_MIN));
}
