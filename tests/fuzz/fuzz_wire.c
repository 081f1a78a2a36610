/* Every message and version: the first two bytes choose the message, the third the version.
 * What is decoded must be written back, and that must decode to the same value.
 * FUZZ_CANARY plants a bug between the input and the decoder, which shows that the fuzzer can find one. */
#include "base/check.h"
#include "proto/bigend.h"
#include "proto_gen.h"
#include "tests/wire/random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed);

enum { HEAD = 3, ARENA_MAX = 64 << 20 };

#ifdef FUZZ_CANARY
/* A decoder that reads a string as long as its length says, whatever is there. */
static enum err decode(const struct proto_type *t, int version, struct slice in, struct arena *a, void *msg)
{
    volatile uint8_t sum = 0;

    if (t == &ApiVersionsRequest_type && version >= 3 && in.len > 0) {
        for (int i = 1; i < in.p[0]; i++)
            sum = (uint8_t)(sum + in.p[i]);
    }
    return proto_decode(t, version, in, a, msg);
}
#else
#define decode proto_decode
#endif

static const struct proto_type *choose(const uint8_t *data, int *version)
{
    const struct proto_type *t = proto_types[get_be16(data) % proto_types_n];

    *version = t->versions.first + data[2] % (t->versions.last - t->versions.first + 1);
    return t;
}

static void round_trip(const struct proto_type *t, int version, const void *msg, struct arena *a,
                       struct bytes *out)
{
    void *back = arena_alloc(a, t->size);

    ASSERT(proto_encode(t, version, msg, out, NULL) == E_OK);
    ASSERT(proto_decode(t, version, bytes_slice(out), a, back) == E_OK);
    ASSERT(proto_equal(t, msg, back));
    out->len = 0;
    proto_json(t, version, msg, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct heap *heap;
    struct arena arena;
    struct bytes out;
    struct slice in;
    void *msg;
    int version;
    const struct proto_type *t;

    if (len < HEAD)
        return 0;
    t = choose(data, &version);
    heap = heap_new(false);
    arena_init(&arena, heap, ARENA_MAX);
    bytes_init(&out, heap);
    msg = heap_alloc(heap, t->size);
    in = heap_copy(heap, slice_of(data + HEAD, len - HEAD)); /* its end is the end of a block */
    if (decode(t, version, in, &arena, msg) == E_OK) {
        arena.max = SIZE_MAX;
        round_trip(t, version, msg, &arena, &out);
    }
    heap_free(heap, in.p);
    heap_free(heap, msg);
    bytes_drop(&out);
    arena_drop(&arena);
    heap_drop(heap);
    return 0;
}

/* Now and then a whole message of random values, so that no decoder waits for luck to get past its first count. */
static size_t fresh(uint8_t *data, size_t max, unsigned seed)
{
    struct heap *heap = heap_new(false);
    struct test_random r;
    struct arena arena;
    struct bytes out;
    size_t len = HEAD;
    int version;
    const struct proto_type *t;
    void *msg;

    test_random_init(&r, seed);
    for (int i = 0; i < HEAD; i++)
        data[i] = (uint8_t)test_random_next(&r);
    t = choose(data, &version);
    arena_init(&arena, heap, SIZE_MAX);
    bytes_init(&out, heap);
    msg = arena_alloc(&arena, t->size);
    wire_random(t, version, &r, &arena, msg);
    ASSERT(proto_encode(t, version, msg, &out, NULL) == E_OK);
    if (out.len + HEAD <= max) {
        memcpy(data + HEAD, out.p, out.len);
        len += out.len;
    }
    bytes_drop(&out);
    arena_drop(&arena);
    heap_drop(heap);
    return len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max, unsigned seed)
{
    if (max >= HEAD && seed % 16 == 0)
        return fresh(data, max, seed);
    return LLVMFuzzerMutate(data, len, max);
}
