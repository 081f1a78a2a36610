#include "proto/recompress.h"
#include "tests/check.h"
#include <limits.h>

enum { RECORDS = 200 };

struct bench {
    struct heap *heap;
    struct codec_cache *codecs;
    struct bytes in, out, back;
};

static void bench_open(struct bench *b)
{
    b->heap = heap_new(true);
    b->codecs = codec_cache_new(b->heap);
    bytes_init(&b->in, b->heap);
    bytes_init(&b->out, b->heap);
    bytes_init(&b->back, b->heap);
}

static void bench_close(struct bench *b)
{
    bytes_drop(&b->in);
    bytes_drop(&b->out);
    bytes_drop(&b->back);
    codec_cache_drop(b->codecs);
    CHECK_EQ(heap_used(b->heap), 0);
    heap_drop(b->heap);
}

static struct batch_view made(struct bench *b, enum codec codec)
{
    struct batch_record v[RECORDS];
    struct batch_spec spec;
    struct batch_view view;

    for (int i = 0; i < RECORDS; i++)
        v[i] = (struct batch_record){.timestamp = 1000 + i * 7,
                                     .key = SLICE("some key"),
                                     .value = i % 5 ? SLICE("some value") : SLICE_NULL};
    batch_spec_init(&spec);
    spec.base_offset = 1234567;
    spec.leader_epoch = 9;
    spec.producer_id = 42;
    spec.producer_epoch = 2;
    spec.base_sequence = 17;
    spec.attributes = BATCH_TRANSACTIONAL;
    spec.codec = codec;
    spec.v = v;
    spec.n = RECORDS;
    batch_build(b->codecs, &spec, &b->in);
    CHECK_OK(batch_view(bytes_slice(&b->in), &view));
    return view;
}

struct pair {
    enum codec from, to;
};
#define TO_ALL(from)                                                                                         \
    {from, CODEC_NONE}, {from, CODEC_GZIP}, {from, CODEC_SNAPPY}, {from, CODEC_LZ4},                         \
    {                                                                                                        \
        from, CODEC_ZSTD                                                                                     \
    }
static const struct pair pairs[] = {TO_ALL(CODEC_NONE), TO_ALL(CODEC_GZIP), TO_ALL(CODEC_SNAPPY),
                                    TO_ALL(CODEC_LZ4), TO_ALL(CODEC_ZSTD)};

/* Every codec becomes every other, and back, without a byte of the records or a field of the header changing; to
 * itself nothing is done. */
TEST_EACH(recompress, every_codec_to_every_other_and_back, pairs)
{
    struct bench b;
    struct batch_view in, out, back;

    bench_open(&b);
    in = made(&b, row->from);
    CHECK_OK(batch_recompress(b.codecs, &in, row->to, INT_MIN, 1 << 20, &b.out));
    if (row->from == row->to) {
        CHECK_EQ(b.out.len, 0);
        bench_close(&b);
        return;
    }
    CHECK_OK(batch_view(bytes_slice(&b.out), &out));
    CHECK(batch_codec(&out) == row->to && batch_crc_ok(&out) && out.len == b.out.len);
    CHECK(out.attributes & BATCH_TRANSACTIONAL);
    CHECK_OK(batch_recompress(b.codecs, &out, row->from, INT_MIN, 1 << 20, &b.back));
    CHECK_OK(batch_view(bytes_slice(&b.back), &back));
    CHECK(slice_eq(slice_of(in.p + BATCH_PREFIX, BATCH_HEAD - BATCH_PREFIX),
                   slice_of(back.p + BATCH_PREFIX, BATCH_HEAD - BATCH_PREFIX)));
    CHECK(slice_eq(bytes_slice(&b.in), bytes_slice(&b.back)));
    bench_close(&b);
}

/* A batch that unpacks to more than there is room for is refused, and nothing of it is left behind. */
TEST_EACH(recompress, larger_than_the_room_is_refused, pairs)
{
    struct bench b;
    struct batch_view in;

    bench_open(&b);
    in = made(&b, row->from);
    bytes_add(&b.out, "before", 6);
    CHECK_EQ(batch_recompress(b.codecs, &in, row->to, INT_MIN, 1000, &b.out),
             row->from == row->to ? E_OK : E_MESSAGE_TOO_LARGE);
    CHECK_EQ(b.out.len, 6);
    bench_close(&b);
}

/* What isn't compressed data is an error, not records. */
TEST_EACH(recompress, damaged_data_is_refused, pairs)
{
    struct bench b;
    struct batch_view in;

    bench_open(&b);
    in = made(&b, row->from);
    memset(in.p + BATCH_HEAD, 0xee, in.len - BATCH_HEAD);
    if (row->from != CODEC_NONE && row->from != row->to)
        CHECK_EQ(batch_recompress(b.codecs, &in, row->to, INT_MIN, 1 << 20, &b.out), E_CORRUPT_MESSAGE);
    CHECK_EQ(b.out.len, 0);
    bench_close(&b);
}
