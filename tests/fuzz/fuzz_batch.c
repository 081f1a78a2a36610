/* Record batches of clients: the first two bytes are rules, the rest is the batch. What batch_check() lets through is read,
 * recompressed into every codec, and must be the same records then.
 * FUZZ_CANARY: a reader that believes the count of records. */
#include "fuzz.h"
#include "proto/recompress.h"
#include <limits.h>

enum { HEAD = 2, ROOM = 1 << 20 };

static uint64_t records_hash(struct codec_cache *cache, struct heap *h, const struct batch_view *v, int *n)
{
    struct record_iter it;
    struct record r;
    struct slice key, value;
    uint64_t sum = 0;
    enum err err;

    *n = 0;
    record_iter_open(&it, h, cache, v, ROOM);
    while ((err = record_next(&it, &r)) == E_OK) {
        bool bad = false;
        sum = sum * 31 + crc32c(0, r.key.p, r.key.len) + r.value.len + (uint64_t)r.timestamp +
              (uint64_t)r.offset;
        for (int i = 0; i < r.headers_n; i++)
            ASSERT(record_header_next(&r.headers, &key, &value, &bad) && !bad);
        (*n)++;
    }
    ASSERT(err == E_EOF);
    record_iter_close(&it);
    return sum;
}

#ifdef FUZZ_CANARY
static void believe(struct slice in)
{
    volatile uint8_t sum = 0;
    struct batch_view v;

    if (batch_view(in, &v) != E_OK)
        return;
    for (int32_t i = 0; i < v.count; i++)
        sum = (uint8_t)(sum + in.p[BATCH_HEAD + i]);
}
#else
static void believe(struct slice in)
{
}
#endif

static void accepted(struct codec_cache *cache, struct heap *h, struct batch_view *v)
{
    struct bytes out;
    int n, again;
    uint64_t hash = records_hash(cache, h, v, &n);

    ASSERT(n == v->count);
    for (enum codec c = CODEC_NONE; c <= CODEC_ZSTD; c++) {
        struct batch_view other;
        enum err err;

        bytes_init(&out, h);
        err = batch_recompress(cache, v, c, INT_MIN, ROOM, &out);
        ASSERT(err == E_OK || err == E_MESSAGE_TOO_LARGE);
        if (!err && out.len > 0) {
            ASSERT(batch_view(bytes_slice(&out), &other) == E_OK && batch_crc_ok(&other));
            ASSERT(records_hash(cache, h, &other, &again) == hash && again == n);
        }
        bytes_drop(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct batch_rules rules = {.produce_version = 9,
                                .max_message_bytes = ROOM,
                                .before_max_ms = INT64_MAX,
                                .after_max_ms = INT64_MAX,
                                .now_ms = 1000000};
    struct batch_checked checked;
    struct codec_cache *cache;
    struct heap *h;
    struct slice in;

    if (len < HEAD)
        return 0;
    h = heap_new(false);
    cache = codec_cache_new(h);
    in = heap_copy(h, slice_of(data + HEAD, len - HEAD)); /* its end is the end of a block */
    rules.compacted = data[0] & 1;
    rules.append_time = data[0] & 2;
    rules.produce_version = data[0] & 4 ? 3 : 9;
    if (data[0] & 8)
        rules.before_max_ms = rules.after_max_ms = 100;
    fuzz_batches_mend(in.p, in.len, data[1] & 8 ? 7 : data[1]);
    believe(in);
    if (batch_check(&rules, cache, in, &checked) == E_OK)
        accepted(cache, h, &checked.batch);
    heap_free(h, in.p);
    codec_cache_drop(cache);
    heap_drop(h);
    return 0;
}

/* Now and then a whole batch of random records in a random codec. */
static size_t fresh(uint8_t *data, size_t max, unsigned seed)
{
    enum { RECORDS = 12, VALUE = 60 };
    struct heap *h = heap_new(false);
    struct codec_cache *cache = codec_cache_new(h);
    struct batch_record v[RECORDS];
    struct batch_header headers[2] = {{SLICE("k"), SLICE("value")}, {SLICE(""), SLICE_NULL}};
    struct batch_spec spec;
    struct test_random r;
    struct bytes out;
    size_t len = HEAD;
    uint8_t value[VALUE];

    test_random_init(&r, seed);
    for (int i = 0; i < VALUE; i++)
        value[i] = (uint8_t)(i < 8 ? test_random_next(&r) : 7);
    batch_spec_init(&spec);
    spec.v = v;
    spec.n = 1 + (int)test_random_below(&r, RECORDS);
    for (int i = 0; i < spec.n; i++)
        v[i] = (struct batch_record){.timestamp = 999950 + (int64_t)test_random_below(&r, 100),
                                     .key = test_random_below(&r, 2) ? SLICE("key") : SLICE_NULL,
                                     .value = slice_of(value, test_random_below(&r, VALUE)),
                                     .headers = headers,
                                     .headers_n = (int32_t)test_random_below(&r, 3)};
    spec.codec = (enum codec)test_random_below(&r, CODEC_ZSTD + 1);
    spec.level = INT_MIN;
    bytes_init(&out, h);
    batch_build(cache, &spec, &out);
    data[0] = (uint8_t)test_random_next(&r);
    data[1] = 8;
    if (out.len + HEAD <= max) {
        memcpy(data + HEAD, out.p, out.len);
        len += out.len;
    }
    bytes_drop(&out);
    codec_cache_drop(cache);
    heap_drop(h);
    return len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed)
{
    if (max >= HEAD && seed % 16 == 0)
        return fresh(data, max, seed);
    return LLVMFuzzerMutate(data, len, max);
}
