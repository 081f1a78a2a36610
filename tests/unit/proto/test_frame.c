#include "proto/bigend.h"
#include "proto_gen.h"
#include "tests/check.h"

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

/* The frame without its length, which is checked. */
static struct slice unframe(struct slice frame)
{
    CHECK(frame.len >= 4);
    CHECK_EQ(get_be32(frame.p), frame.len - 4);
    return slice_of(frame.p + 4, frame.len - 4);
}

/* A request comes back with its header, in a version with the old header and in one with the new. */
TEST(proto, requests_come_back_with_their_headers)
{
    static const int versions[] = {8, 12};
    struct MetadataRequest req, back;
    struct proto_request r;
    struct world w;

    world_init(&w);
    proto_defaults(&MetadataRequest_type, &req);
    req.topics.n = -1;
    for (int i = 0; i < 2; i++) {
        w.out.len = 0;
        CHECK_OK(
            proto_request_frame(proto_api(API_Metadata), versions[i], 77, SLICE("me"), &req, &w.out, NULL));
        CHECK_OK(proto_request_header(unframe(bytes_slice(&w.out)), &r));
        CHECK(r.api->key == API_Metadata && r.version == versions[i] && r.correlation_id == 77);
        CHECK(slice_eq(r.client_id, SLICE("me")));
        CHECK_OK(proto_request_body(&r, &w.arena, &back));
        CHECK(proto_equal(&MetadataRequest_type, &req, &back));
    }
    heap_drop(w.heap);
}

/* A request of an unknown version still tells what an answer needs; an unknown API is refused. */
TEST(proto, unknown_requests_say_what_they_are)
{
    uint8_t frame[] = {0, 18, 0, 99, 0, 0, 0, 7, 0, 1, 'c', 0, 1, 2, 3};
    struct proto_request r;

    CHECK_EQ(proto_request_header(slice_of(frame, sizeof frame), &r), E_UNSUPPORTED_VERSION);
    CHECK(r.api && r.correlation_id == 7 && slice_eq(r.client_id, SLICE("c")));
    frame[1] = 4; /* LeaderAndIsr: gone */
    CHECK_EQ(proto_request_header(slice_of(frame, sizeof frame), &r), E_INVALID_REQUEST);
    CHECK_EQ(proto_request_header(slice_of(frame, 3), &r), E_TRUNCATED);
    frame[1] = 18;
    CHECK_EQ(proto_request_header(slice_of(frame, 9), &r), E_TRUNCATED);
}

/* A response comes back; that of ApiVersions has the oldest header in every version. */
TEST(proto, responses_come_back_with_their_headers)
{
    struct ApiVersionsResponse resp, back;
    struct world w;
    int32_t id;

    world_init(&w);
    proto_defaults(&ApiVersionsResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, ApiVersionsResponse_ApiVersion, resp.api_keys, 3);
    CHECK_OK(proto_response_frame(proto_api(API_ApiVersions), 3, 9, &resp, &w.out, NULL));
    CHECK_OK(proto_response_header(unframe(bytes_slice(&w.out)), &id));
    CHECK_EQ(id, 9);
    CHECK_OK(
        proto_decode(&ApiVersionsResponse_type, 3, slice_of(w.out.p + 8, w.out.len - 8), &w.arena, &back));
    CHECK_OK(
        proto_response_body(proto_api(API_ApiVersions), 3, unframe(bytes_slice(&w.out)), &w.arena, &back));
    CHECK(proto_equal(&ApiVersionsResponse_type, &resp, &back));
    heap_drop(w.heap);
}

/* The output with its cuts put in; what is elsewhere becomes letters e. */
static struct slice joined(struct world *w, struct slice out, const struct proto_cuts *cuts)
{
    struct bytes all;
    size_t at = 0;

    bytes_init(&all, w->heap);
    for (int i = 0; i < cuts->n; i++) {
        const struct proto_cut *c = &cuts->v[i];

        bytes_add(&all, out.p + at, c->at - at);
        at = c->at;
        if (c->records.p == PROTO_ELSEWHERE)
            memset(bytes_more(&all, c->records.len), 'e', c->records.len);
        else
            bytes_add(&all, c->records.p, c->records.len);
    }
    bytes_add(&all, out.p + at, out.len - at);
    return bytes_slice(&all);
}

/* Long records and records elsewhere are cut out; put in again, the frame is whole and its length true. */
TEST(proto, records_are_cut_out_and_not_copied)
{
    struct FetchResponse resp, back;
    struct FetchResponse_FetchableTopicResponse *topic;
    struct proto_cuts cuts;
    struct slice whole;
    uint8_t records[300] = {1};
    struct world w;

    world_init(&w);
    cuts = (struct proto_cuts){.arena = &w.arena};
    proto_defaults(&FetchResponse_type, &resp);
    PROTO_ARRAY_NEW(&w.arena, FetchResponse_FetchableTopicResponse, resp.responses, 1);
    topic = &resp.responses.v[0];
    PROTO_ARRAY_NEW(&w.arena, FetchResponse_PartitionData, topic->partitions, 30);
    topic->partitions.v[0].records = slice_of(records, 300);
    topic->partitions.v[1].records = slice_of(PROTO_ELSEWHERE, 5);
    topic->partitions.v[2].records = slice_of(records, 7);
    for (int i = 3; i < 30; i++)
        topic->partitions.v[i].records = slice_of(PROTO_ELSEWHERE, 0);
    CHECK_OK(proto_response_frame(proto_api(API_Fetch), 13, 1, &resp, &w.out, &cuts));
    CHECK_EQ(cuts.n, 29);
    CHECK_EQ(cuts.len, 305);
    CHECK(cuts.v[0].records.p == records);
    whole = joined(&w, bytes_slice(&w.out), &cuts);
    CHECK_OK(proto_response_body(proto_api(API_Fetch), 13, unframe(whole), &w.arena, &back));
    topic = &back.responses.v[0];
    CHECK(slice_eq(topic->partitions.v[0].records, slice_of(records, 300)));
    CHECK(slice_eq(topic->partitions.v[1].records, SLICE("eeeee")));
    CHECK_EQ(topic->partitions.v[2].records.len, 7);
    heap_drop(w.heap);
}

/* Stored records name their type and version and come back; of an unknown type it is said so. */
TEST(proto, stored_records_come_back)
{
    const struct proto_record *rec = proto_record_find(SLICE("__consumer_offsets"), 1), *found;
    struct OffsetCommitKey key = {.group = SLICE("g"), .topic = SLICE("t"), .partition = 3}, key_back;
    struct OffsetCommitValue value, value_back;
    struct bytes k;
    struct world w;

    world_init(&w);
    bytes_init(&k, w.heap);
    proto_defaults(&OffsetCommitValue_type, &value);
    value.offset = 42;
    CHECK_OK(proto_record_key_write(rec, &key, &k));
    CHECK_OK(proto_record_value_write(rec, 3, &value, &w.out));
    CHECK_EQ(get_be16(k.p), 1);
    CHECK_EQ(get_be16(w.out.p), 3);
    CHECK_OK(proto_record_type(SLICE("__consumer_offsets"), bytes_slice(&k), &found));
    CHECK(found == rec);
    CHECK_OK(proto_record_key_read(rec, bytes_slice(&k), &w.arena, &key_back));
    CHECK_OK(proto_record_value_read(rec, bytes_slice(&w.out), &w.arena, &value_back));
    CHECK(proto_equal(&OffsetCommitKey_type, &key, &key_back));
    CHECK(proto_equal(&OffsetCommitValue_type, &value, &value_back));
    k.p[1] = 99;
    CHECK_EQ(proto_record_type(SLICE("__consumer_offsets"), bytes_slice(&k), &found), E_UNSUPPORTED_VERSION);
    heap_drop(w.heap);
}

/* Every row of the API table finds itself, and its messages have the versions that it says. */
TEST(proto, the_api_table_is_consistent)
{
    for (int i = 0; i < proto_apis_n; i++) {
        const struct proto_api *a = &proto_apis[i];

        CHECK(proto_api(a->key) == a);
        CHECK(a->request->versions.first == a->version_min && a->response->versions.last == a->version_max);
        CHECK(a->stable_max <= a->version_max && a->listeners != 0);
        CHECK(proto_type_find(SLICE(a->request->name)) == a->request);
    }
    CHECK(proto_api(4) == NULL && proto_api(-1) == NULL);
}
