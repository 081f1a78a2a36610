/* Record batches: what is built is read back, and what a client sends is judged as Kafka judges it. */
#include "base/mem.h"
#include "proto/batch.h"
#include "proto/bigend.h"
#include "tests/check.h"

enum { NOW = 1000000 };

struct bench {
    struct heap *h;
    struct codec_cache *codecs;
    struct batch_rules rules;
    struct batch_record r[40];
    struct batch_spec spec;
    struct bytes b;
    struct batch_checked out;
};

static void bench_open(struct bench *t)
{
    *t = (struct bench){.h = heap_new(true),
                        .rules = {.produce_version = 11,
                                  .max_message_bytes = 1 << 20,
                                  .before_max_ms = INT64_MAX,
                                  .after_max_ms = 3600000,
                                  .now_ms = NOW}};
    t->codecs = codec_cache_new(t->h);
    batch_spec_init(&t->spec);
    for (int i = 0; i < 40; i++)
        t->r[i] =
            (struct batch_record){.timestamp = NOW + i % 7, .key = SLICE("key"), .value = SLICE("a value")};
    t->spec.v = t->r;
    t->spec.n = 40;
    bytes_init(&t->b, t->h);
}

static void bench_close(struct bench *t)
{
    bytes_drop(&t->b);
    codec_cache_drop(t->codecs);
    heap_drop(t->h);
}

static enum err check(struct bench *t)
{
    return batch_check(&t->rules, t->codecs, bytes_slice(&t->b), &t->out);
}

static enum err build_and_check(struct bench *t)
{
    t->b.len = 0;
    batch_build(t->codecs, &t->spec, &t->b);
    return check(t);
}

/* Changes header bytes and makes the CRC right again. */
static void patch(struct bench *t, size_t at, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, v >>= 8)
        t->b.p[at + (size_t)i] = (uint8_t)v;
    put_be32(t->b.p + 17, crc32c(0, t->b.p + BATCH_CRC_FROM, t->b.len - BATCH_CRC_FROM));
}

static const enum codec codecs[] = {CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD};

/* Records come back as they were built, with every codec: null keys, empty values and headers too. */
TEST_EACH(batch, round_trip, codecs)
{
    struct batch_header h[2] = {{SLICE("a"), SLICE_NULL}, {SLICE("bb"), SLICE("")}};
    struct record_iter it;
    struct batch_view v;
    struct slice rest, key, value;
    struct record r;
    struct bench t;
    enum err err;
    bool bad;
    int n = 0;

    bench_open(&t);
    uint8_t *large = heap_alloc(t.h, 300000);
    t.r[3] = (struct batch_record){
        .timestamp = NOW, .value = slice_of(large, 300000), .headers = h, .headers_n = 2};
    t.r[4].value = SLICE_NULL;
    t.spec.codec = *row;
    t.spec.base_offset = 0;
    CHECK_OK(build_and_check(&t));
    rest = bytes_slice(&t.b);
    CHECK_OK(batch_next(&rest, &v));
    CHECK(batch_crc_ok(&v) && v.count == 40 && v.max_timestamp == NOW + 6);
    record_iter_open(&it, t.h, t.codecs, &v, 1 << 20);
    for (; !(err = record_next(&it, &r)); n++) {
        CHECK_EQ(r.offset, n);
        CHECK_EQ(r.timestamp, t.r[n].timestamp);
        CHECK(slice_eq(r.key, t.r[n].key) && !r.key.p == !t.r[n].key.p);
        CHECK(slice_eq(r.value, t.r[n].value) && !r.value.p == !t.r[n].value.p);
        CHECK_EQ(r.headers_n, t.r[n].headers_n);
        for (int i = 0; i < r.headers_n; i++) {
            CHECK(record_header_next(&r.headers, &key, &value, &bad) && !bad);
            CHECK(slice_eq(key, h[i].key) && !value.p == !h[i].value.p);
        }
    }
    CHECK_EQ(err, E_EOF);
    CHECK_EQ(n, 40);
    record_iter_close(&it);
    record_iter_open(&it, t.h, t.codecs, &v, 1000);
    while (!(err = record_next(&it, &r)))
        ;
    CHECK_EQ(err, *row == CODEC_NONE ? E_EOF : E_NOMEM);
    record_iter_close(&it);
    heap_free(t.h, large);
    bench_close(&t);
}

/* A wrong max timestamp is corrected with its CRC; LogAppendTime is set with its CRC. */
TEST_EACH(batch, timestamps_are_set, codecs)
{
    struct batch_view v;
    struct bench t;

    bench_open(&t);
    t.spec.codec = *row;
    CHECK_OK(build_and_check(&t));
    patch(&t, 35, 5, 8);
    CHECK_OK(check(&t));
    CHECK_OK(batch_view(bytes_slice(&t.b), &v));
    CHECK(v.max_timestamp == NOW + 6 && batch_crc_ok(&v) && t.out.max_timestamp_index == 6);
    t.rules.append_time = true;
    t.rules.now_ms = NOW + 99;
    CHECK_OK(check(&t));
    CHECK_OK(batch_view(bytes_slice(&t.b), &v));
    CHECK(v.max_timestamp == NOW + 99 && batch_crc_ok(&v) && v.attributes & BATCH_APPEND_TIME);
    CHECK_EQ(check(&t), E_INVALID_TIMESTAMP); /* a client doesn't set that type */
    CHECK_EQ(t.out.faults_n, 40);
    bench_close(&t);
}

struct bad_row {
    size_t at;
    uint64_t value;
    int bytes;
    enum err want;
};

static const struct bad_row bad_rows[] = {
    {0, 5, 8, E_INVALID_RECORD},                    /* base offset */
    {8, 48, 4, E_CORRUPT_MESSAGE},                  /* shorter than a header */
    {8, 1 << 30, 4, E_INVALID_RECORD},              /* no whole batch */
    {16, 1, 1, E_INVALID_RECORD},                   /* magic */
    {16, 9, 1, E_CORRUPT_MESSAGE},                  /**/
    {21, BATCH_CONTROL, 2, E_INVALID_RECORD},       /* control batch */
    {21, BATCH_TRANSACTIONAL, 2, E_INVALID_RECORD}, /* without a producer */
    {21, 5, 2, E_UNKNOWN_SERVER_ERROR},             /* no such codec */
    {0, 1ull << 63, 8, E_INVALID_RECORD},           /* a negative base offset */
    {57, UINT32_MAX, 4, E_INVALID_RECORD},          /* a negative count */
    {23, 38, 4, E_INVALID_RECORD},                  /* last offset delta */
    {57, 0, 4, E_INVALID_RECORD},                   /* count */
    {57, 39, 4, E_INVALID_RECORD},                  /**/
    {43, 7, 8, E_INVALID_RECORD},                   /* a producer without a sequence */
    {61, 0x7f, 1, E_INVALID_RECORD},                /* a record's length */
};

/* What a header or record says wrong is refused with Kafka's code. */
TEST_EACH(batch, bad_batches_are_refused, bad_rows)
{
    struct bench t;

    bench_open(&t);
    CHECK_OK(build_and_check(&t));
    patch(&t, row->at, row->value, row->bytes);
    CHECK_EQ(check(&t), row->want);
    bench_close(&t);
}

/* Limits of the topic and of the request's version. */
TEST(batch, limits_are_kept)
{
    struct bench t;

    bench_open(&t);
    CHECK_OK(build_and_check(&t));
    t.b.p[70] ^= 1;
    CHECK_EQ(check(&t), E_CORRUPT_MESSAGE);
    t.rules.max_message_bytes = (int32_t)t.b.len - 1;
    CHECK_EQ(build_and_check(&t), E_MESSAGE_TOO_LARGE);
    t.rules.max_message_bytes++;
    CHECK_OK(build_and_check(&t));
    t.rules.max_message_bytes = 1 << 20;
    batch_build(t.codecs, &t.spec, &t.b); /* a second one */
    CHECK_EQ(check(&t), E_INVALID_RECORD);
    t.spec.codec = CODEC_ZSTD;
    t.rules.produce_version = 6;
    CHECK_EQ(build_and_check(&t), E_UNSUPPORTED_COMPRESSION_TYPE);
    t.spec.codec = CODEC_NONE;
    t.r[5].key = SLICE_NULL;
    CHECK_OK(build_and_check(&t));
    t.rules.compacted = true;
    CHECK_EQ(build_and_check(&t), E_INVALID_RECORD);
    CHECK(t.out.faults_n == 1 && t.out.faults[0].index == 5 && t.out.faults[0].what == FAULT_KEY);
    t.rules.compacted = false;
    t.r[7].timestamp = NOW + 3600001;
    t.r[9].timestamp = -1;
    CHECK_EQ(build_and_check(&t), E_INVALID_TIMESTAMP);
    CHECK(t.out.faults_n == 1 && t.out.faults[0].index == 7);
    t.r[7].timestamp = NOW - 5001;
    t.rules.before_max_ms = 5000;
    CHECK_EQ(build_and_check(&t), E_INVALID_TIMESTAMP);
    t.b.len = 0;
    CHECK_EQ(check(&t), E_INVALID_RECORD);
    bench_close(&t);
}

/* Offset deltas must count from 0, in every codec. */
TEST_EACH(batch, offset_deltas_are_walked, codecs)
{
    struct bench t;

    bench_open(&t);
    t.spec.codec = *row;
    t.spec.sparse = true;
    t.spec.last_offset_delta = 39;
    for (int i = 0; i < 40; i++)
        t.r[i].offset_delta = i == 11 ? 12 : i;
    CHECK_EQ(build_and_check(&t), E_INVALID_RECORD);
    CHECK(t.out.faults_n == 1 && t.out.faults[0].index == 11 && t.out.faults[0].what == FAULT_OFFSET);
    bench_close(&t);
}

/* Random damage with a right CRC is never read past, and ends in an error or a batch. */
TEST_EACH(batch, damage_is_survived, codecs)
{
    struct test_random rnd;
    struct bench t;

    bench_open(&t);
    test_random_init(&rnd, 7);
    t.spec.codec = *row;
    for (int round = 0; round < 3000; round++) {
        struct record_iter it;
        struct batch_view v;
        struct record r;

        t.b.len = 0;
        batch_build(t.codecs, &t.spec, &t.b);
        uint8_t *copy = heap_alloc(t.h, t.b.len); /* exact, so that a read past it is seen */
        memcpy(copy, t.b.p, t.b.len);
        for (uint64_t n = 1 + test_random_below(&rnd, 4); n > 0; n--)
            copy[21 + test_random_below(&rnd, t.b.len - 21)] = (uint8_t)test_random_next(&rnd);
        put_be32(copy + 17, crc32c(0, copy + BATCH_CRC_FROM, t.b.len - BATCH_CRC_FROM));
        enum err err = batch_check(&t.rules, t.codecs, slice_of(copy, t.b.len), &t.out);

        CHECK(err == E_OK || err == E_INVALID_RECORD || err == E_CORRUPT_MESSAGE ||
              err == E_INVALID_TIMESTAMP || err == E_UNKNOWN_SERVER_ERROR);
        if (!batch_view(slice_of(copy, t.b.len), &v)) {
            record_iter_open(&it, t.h, t.codecs, &v, 100000);
            while (!record_next(&it, &r))
                ;
            record_iter_close(&it);
        }
        heap_free(t.h, copy);
    }
    bench_close(&t);
}

/* As batch_check() should judge it, by the reader of records: every record whole, to its last header. */
static bool reads_whole(struct bench *t, struct slice bytes, bool *in_turn, int64_t *max_timestamp)
{
    struct record_iter it;
    struct batch_view v;
    struct record r;
    enum err err = batch_view(bytes, &v);
    int32_t i = 0;

    *in_turn = true;
    *max_timestamp = -1;
    CHECK(err == E_OK);
    record_iter_open(&it, t->h, t->codecs, &v, 100000);
    while (!(err = record_next(&it, &r))) {
        struct slice key, value;
        int32_t n = 0;
        bool bad = false;

        *in_turn &= r.offset_delta == i++;
        if (r.timestamp > *max_timestamp)
            *max_timestamp = r.timestamp;
        while (n < r.headers_n && record_header_next(&r.headers, &key, &value, &bad))
            n++;
        if (bad || n != r.headers_n || r.headers.len > 0)
            break;
    }
    record_iter_close(&it);
    return err == E_EOF;
}

/* The walk's shortcuts accept what the reader of records accepts, no more and no less, wherever a varint's length
 * changes. */
TEST(batch, shortcuts_judge_as_the_reader_does)
{
    struct bench t;
    struct test_random rnd;
    static const uint8_t pad[8192];

    bench_open(&t);
    test_random_init(&rnd, 99);
    t.rules.after_max_ms = INT64_MAX;
    for (int round = 0; round < 20000; round++) {
        static const size_t sizes[] = {0, 1, 49, 63, 64, 100, 8191, 8192};
        bool in_turn;
        int64_t max;

        t.spec.n = 1 + (int32_t)test_random_below(&rnd, 3);
        for (int i = 0; i < t.spec.n; i++) {
            t.r[i].key =
                test_random_below(&rnd, 2) ? SLICE_NULL : slice_of(pad, sizes[test_random_below(&rnd, 8)]);
            t.r[i].value = slice_of(pad, sizes[test_random_below(&rnd, 8)]);
            t.r[i].timestamp = NOW + (int64_t)test_random_below(&rnd, 1u << test_random_below(&rnd, 30));
        }
        t.b.len = 0;
        batch_build(t.codecs, &t.spec, &t.b);
        /* Near the beginning, where the fields are. */
        for (uint64_t n = test_random_below(&rnd, 3); n > 0; n--)
            t.b.p[BATCH_HEAD +
                  test_random_below(&rnd, 24 < t.b.len - BATCH_HEAD ? 24 : t.b.len - BATCH_HEAD)] =
                (uint8_t)test_random_next(&rnd);
        put_be32(t.b.p + 17, crc32c(0, t.b.p + BATCH_CRC_FROM, t.b.len - BATCH_CRC_FROM));
        bool whole = reads_whole(&t, bytes_slice(&t.b), &in_turn, &max);
        enum err err = check(&t);

        if (!whole)
            CHECK(err == E_INVALID_RECORD);
        else if (!in_turn)
            CHECK(err != E_OK && t.out.faults_n > 0);
        else
            CHECK((err == E_OK && t.out.max_timestamp == max) || t.out.faults_n > 0);
    }
    bench_close(&t);
}
