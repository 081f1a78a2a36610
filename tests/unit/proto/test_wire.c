#include "base/check.h"
#include "proto/bigend.h"
#include "proto/varint.h"
#include "proto_gen.h"
#include "tests/wire/random.h"

struct world {
    struct heap *heap;
    struct arena arena;
    struct bytes out;
};

static void world_init(struct world *w)
{
    w->heap = heap_new(true);
    arena_init(&w->arena, w->heap, SIZE_MAX);
    bytes_init(&w->out, w->heap);
}

static void world_drop(struct world *w)
{
    heap_drop(w->heap);
}

static const struct golden {
    const struct proto_type *type;
    int version;
    const char *hex, *json;
} goldens[] = {
#define GOLDEN(message, version, hex, json) {&message##_type, version, hex, json},
#include "tests/wire/golden.def"
#undef GOLDEN
};

static struct slice from_hex(struct world *w, const char *hex)
{
    struct slice s = slice_of(arena_alloc(&w->arena, strlen(hex) / 2 + 1), 0);
    unsigned byte;

    for (; *hex; hex += 2) {
        if (*hex == ' ')
            hex++;
        CHECK(sscanf(hex, "%2x", &byte) == 1);
        s.p[s.len++] = (uint8_t)byte;
    }
    return s;
}

/* Bytes worked out by hand say what they should, and are written back byte for byte. */
TEST_EACH(proto, golden_bytes_are_read_and_written, goldens)
{
    struct world w;
    struct bytes json;
    struct slice in;
    char *expect;
    void *msg;

    world_init(&w);
    bytes_init(&json, w.heap);
    in = from_hex(&w, row->hex);
    expect = arena_str(&w.arena, SLICE(row->json));
    for (char *c = expect; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    msg = arena_alloc(&w.arena, row->type->size);
    CHECK_OK(proto_decode(row->type, row->version, in, &w.arena, msg));
    proto_json(row->type, row->version, msg, &json);
    bytes_add(&json, "", 1);
    CHECK_STR((char *)json.p, expect);
    CHECK_OK(proto_encode(row->type, row->version, msg, &w.out, NULL));
    CHECK(slice_eq(bytes_slice(&w.out), in));
    world_drop(&w);
}

static void round_trip(struct world *w, const struct proto_type *t, int version, struct test_random *r)
{
    void *msg = arena_alloc(&w->arena, t->size), *back = arena_alloc(&w->arena, t->size);

    wire_random(t, version, r, &w->arena, msg);
    w->out.len = 0;
    CHECK_OK(proto_encode(t, version, msg, &w->out, NULL));
    if (proto_decode(t, version, bytes_slice(&w->out), &w->arena, back) || !proto_equal(t, msg, back))
        test_fail(__FILE__, __LINE__, "%s version %d", t->name, version);
}

/* Every message in every version comes back as it was written. */
TEST(proto, every_message_and_version_survives_a_round_trip)
{
    struct test_random r;
    struct world w;

    test_random_init(&r, 1);
    world_init(&w);
    for (int i = 0; i < proto_types_n; i++) {
        const struct proto_type *t = proto_types[i];

        for (int v = t->versions.first; v <= t->versions.last; v++) {
            for (int n = 0; n < 20; n++) {
                round_trip(&w, t, v, &r);
                arena_reset(&w.arena);
            }
        }
    }
    world_drop(&w);
}

/* A copy whose end is the end of its memory, so that reading on is seen by the sanitizer. */
static enum err decode_exact(struct world *w, const struct proto_type *t, int version, struct slice in)
{
    struct slice tight = slice_of(heap_alloc(w->heap, in.len ? in.len : 1), in.len);
    void *msg = arena_alloc(&w->arena, t->size);
    enum err err;

    if (in.len)
        memcpy(tight.p, in.p, in.len);
    err = proto_decode(t, version, tight, &w->arena, msg);
    heap_free(w->heap, tight.p);
    return err;
}

/* A message cut short at any byte is refused, and so is one with a byte left over. */
TEST(proto, only_the_exact_length_is_accepted)
{
    struct test_random r;
    struct world w;

    test_random_init(&r, 2);
    world_init(&w);
    for (int i = 0; i < proto_types_n; i++) {
        const struct proto_type *t = proto_types[i];
        int v = t->versions.last;

        arena_reset(&w.arena);
        w.out.len = 0;
        void *msg = arena_alloc(&w.arena, t->size);
        wire_random(t, v, &r, &w.arena, msg);
        CHECK_OK(proto_encode(t, v, msg, &w.out, NULL));
        for (size_t len = 0; len < w.out.len && len < 500; len++)
            CHECK(decode_exact(&w, t, v, slice_of(w.out.p, len)) != E_OK);
        bytes_add(&w.out, "", 1);
        CHECK_EQ(decode_exact(&w, t, v, bytes_slice(&w.out)), E_MALFORMED);
    }
    world_drop(&w);
}

/* Bytes changed at random are refused or read, but never more than that. */
TEST(proto, damaged_messages_do_no_harm)
{
    struct test_random r;
    struct world w;
    int refused = 0;

    test_random_init(&r, 3);
    world_init(&w);
    w.arena.max = 1 << 20;
    for (int i = 0; i < 4 * proto_types_n; i++) {
        const struct proto_type *t = proto_types[i % proto_types_n];
        int v = t->versions.first +
                (int)test_random_below(&r, (uint64_t)(t->versions.last - t->versions.first + 1));
        void *msg;

        arena_reset(&w.arena);
        w.out.len = 0;
        msg = arena_alloc(&w.arena, t->size);
        wire_random(t, v, &r, &w.arena, msg);
        CHECK_OK(proto_encode(t, v, msg, &w.out, NULL));
        for (int n = 0; n < 20 && w.out.len; n++) {
            w.out.p[test_random_below(&r, w.out.len)] = (uint8_t)test_random_next(&r);
            refused += decode_exact(&w, t, v, bytes_slice(&w.out)) != E_OK;
        }
    }
    CHECK(refused > 1000);
    world_drop(&w);
}

static const struct hostile {
    const struct proto_type *type;
    int version;
    const char *hex;
    enum err err;
} hostiles[] = {
    {&MetadataRequest_type, 0, "7fffffff 0001 74", E_TRUNCATED}, /* a count of 2^31-1 */
    {&MetadataRequest_type, 12, "ffffffff07 00", E_TRUNCATED},   /* the same, compact */
    {&MetadataRequest_type, 12, "ffffffffff 00", E_MALFORMED},   /* a varint of more than 32 bits */
    {&MetadataRequest_type, 12, "ffffffff1f 00", E_MALFORMED},
    {&MetadataRequest_type, 0, "ffffffff", E_MALFORMED},         /* null before version 1 */
    {&MetadataRequest_type, 0, "00000001 ffff", E_MALFORMED},    /* a null name before version 10 */
    {&MetadataRequest_type, 0, "00000001 7fff 74", E_TRUNCATED}, /* a string longer than the rest */
    {&MetadataRequest_type, 14, "", E_UNSUPPORTED_VERSION},
    {&ApiVersionsRequest_type, 3, "01 01 01 63 ffffffff0f", E_TRUNCATED}, /* an unknown tag of 4 GiB */
    {&ApiVersionsRequest_type, 3, "01 01 ffffffff0f", E_TRUNCATED},       /* 2^32-1 tags */
    {&ApiVersionsResponse_type, 3, "0000 01 00000000 01 01 09 000000000000000700",
     E_MALFORMED}, /* not filled */
    {&ApiVersionsResponse_type, 3, "0000 01 00000000 01 01 07 0000000000000007",
     E_TRUNCATED}, /* overfilled */
    {&ConsumerProtocolSubscription_type, 0, "00000001 ffff 00000000",
     E_MALFORMED}, /* a null inside an array */
};

/* What lies about its lengths is refused with the right word, before anything is allocated for it. */
TEST_EACH(proto, hostile_lengths_are_refused, hostiles)
{
    struct world w;
    struct slice in;

    world_init(&w);
    in = from_hex(&w, row->hex);
    CHECK_EQ(decode_exact(&w, row->type, row->version, in), row->err);
    CHECK(w.arena.used < 4096);
    world_drop(&w);
}

/* A value that isn't there at all is as short as one can be. */
TEST(proto, no_bytes_are_truncated)
{
    struct world w;

    world_init(&w);
    CHECK_EQ(decode_exact(&w, &MetadataRequest_type, 0, SLICE_NULL), E_TRUNCATED);
    world_drop(&w);
}

/* The arena's limit bounds what a message that is honest about its counts may take. */
TEST(proto, a_message_larger_than_the_arena_is_refused)
{
    struct MetadataRequest req;
    struct world w;
    struct arena small;

    world_init(&w);
    proto_defaults(&MetadataRequest_type, &req);
    PROTO_ARRAY_NEW(&w.arena, MetadataRequest_MetadataRequestTopic, req.topics, 5000);
    CHECK_OK(proto_encode(&MetadataRequest_type, 0, &req, &w.out, NULL));
    arena_init(&small, w.heap, 10000);
    CHECK_EQ(proto_decode(&MetadataRequest_type, 0, bytes_slice(&w.out), &small, &req), E_NOMEM);
    world_drop(&w);
}

/* Unknown tagged fields are skipped; the rest of the message is read. */
TEST(proto, unknown_tags_are_skipped)
{
    struct ApiVersionsRequest req;
    struct world w;

    world_init(&w);
    CHECK_OK(proto_decode(&ApiVersionsRequest_type, 3, from_hex(&w, "02 61 02 62 02 00 01 ff 63 03 010203"),
                          &w.arena, &req));
    CHECK(slice_eq(req.client_software_version, SLICE("b")));
    world_drop(&w);
}

/* A value that a version can't carry is refused, unless it may be ignored or is the default; nothing is left behind. */
TEST(proto, a_version_that_cannot_say_it_is_refused)
{
    struct ProduceResponse_TopicProduceResponse topic;
    struct FetchRequest req;
    struct world w;

    world_init(&w);
    bytes_add(&w.out, "x", 1);
    proto_defaults(&FetchRequest_type, &req);
    CHECK_OK(proto_encode(&FetchRequest_type, 4, &req, &w.out, NULL));
    w.out.len = 1;
    req.session_id = 5; /* may be ignored */
    CHECK_OK(proto_encode(&FetchRequest_type, 4, &req, &w.out, NULL));
    w.out.len = 1;
    req.replica_state.replica_id = 3; /* may not, before version 15 */
    CHECK_EQ(proto_encode(&FetchRequest_type, 14, &req, &w.out, NULL), E_UNSUPPORTED_VERSION);
    CHECK_EQ(w.out.len, 1);
    CHECK_EQ(proto_encode(&FetchRequest_type, 99, &req, &w.out, NULL), E_UNSUPPORTED_VERSION);
    req.replica_state.replica_id = -1;
    req.rack_id = SLICE_NULL; /* never null */
    CHECK_EQ(proto_encode(&FetchRequest_type, 11, &req, &w.out, NULL), E_UNSUPPORTED_VERSION);
    proto_defaults(&ProduceResponse_TopicProduceResponse_type, &topic);
    CHECK(topic.name.p && topic.name.len == 0 && topic.partition_responses.n == 0);
    world_drop(&w);
}

/* A string of 32768 bytes has no form on the wire. */
TEST(proto, strings_end_at_32767_bytes)
{
    struct DescribeTopicPartitionsRequest req, back;
    struct world w;
    uint8_t *text;

    world_init(&w);
    text = arena_alloc(&w.arena, 32768);
    proto_defaults(&DescribeTopicPartitionsRequest_type, &req);
    PROTO_ARRAY_NEW(&w.arena, DescribeTopicPartitionsRequest_TopicRequest, req.topics, 1);
    req.topics.v[0].name = slice_of(text, 32767);
    CHECK_OK(proto_encode(&DescribeTopicPartitionsRequest_type, 0, &req, &w.out, NULL));
    w.out.p[1] += 1; /* 00 80 02 is the length: now 32768 */
    CHECK_EQ(proto_decode(&DescribeTopicPartitionsRequest_type, 0, bytes_slice(&w.out), &w.arena, &back),
             E_MALFORMED);
    req.topics.v[0].name.len++;
    CHECK_EQ(proto_encode(&DescribeTopicPartitionsRequest_type, 0, &req, &w.out, NULL), E_MESSAGE_TOO_LARGE);
    world_drop(&w);
}

/* Varints of every size come back, and one that is too long or cut off is refused. */
TEST(proto, varints_come_back)
{
    static const int64_t numbers[] = {0,    -1,   1,         63,        64,        -64,      -65,
                                      8191, 8192, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    uint8_t buf[16];

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint8_t *end = varint_write(buf, zigzag(numbers[i]));
        const uint8_t *p = buf, *q = buf, *cut = buf;
        int64_t v;
        int32_t small;

        CHECK_EQ(end - buf, varint_size(zigzag(numbers[i])));
        CHECK(varint_read_i64(&p, end, &v) && v == numbers[i] && p == end);
        CHECK(!varint_read_i64(&cut, end - 1, &v) && cut == buf);
        CHECK_EQ(varint_read_i32(&q, end, &small), numbers[i] >= INT32_MIN && numbers[i] <= INT32_MAX);
    }
    memset(buf, 0xff, sizeof buf);
    const uint8_t *p = buf;
    uint64_t v;
    CHECK(!varint64_read(&p, buf + sizeof buf, &v));
}

/* The text of a uuid is Kafka's and comes back; anything else is refused. */
TEST(proto, uuids_have_kafkas_text)
{
    struct uuid u = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}}, back;
    char text[UUID_TEXT_LEN + 1];

    uuid_text(u, text);
    CHECK_STR(text, "AAECAwQFBgcICQoLDA0O_w");
    CHECK(uuid_parse(SLICE(text), &back) && uuid_eq(u, back));
    CHECK(!uuid_parse(SLICE("AAECAwQFBgcICQoLDA0O+w"), &back));
    CHECK(!uuid_parse(SLICE("AAECAwQFBgcICQoLDA0O_"), &back));
}
