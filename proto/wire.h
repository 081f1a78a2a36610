/* What bytes mean: one engine that reads and writes every message by its table (gen.py makes the tables).
 *
 * Memory: decode lends: strings, bytes and records point into the input; arrays come from the arena. Encode
 *         borrows the message for the call only.
 * Always: no input makes decode read outside of it, allocate more than the arena allows or recurse deeper than
 *         the schema. What decode accepts, encode writes back; unknown tagged fields are skipped and not kept.
 * Null:   a slice with p == NULL, an array with n == -1, a nullable struct's pointer that is NULL.
 *
 * A message of our own begins with proto_defaults(), an array of structs with PROTO_ARRAY_NEW(): then each field
 * that isn't set has Kafka's default, and versions that lack it can be written. */
#pragma once
#include "base/err.h"
#include "base/mem.h"
#include "proto/uuid.h"

enum proto_kind {
    PROTO_BOOL,
    PROTO_INT8,
    PROTO_INT16,
    PROTO_UINT16,
    PROTO_INT32,
    PROTO_UINT32,
    PROTO_INT64,
    PROTO_FLOAT64,
    PROTO_UUID,
    PROTO_STRING,
    PROTO_BYTES,
    PROTO_RECORDS,
    PROTO_STRUCT,
};

enum proto_flag {
    PROTO_ARRAY = 1,         /* struct { T *v; int32_t n; } */
    PROTO_POINTER = 2,       /* a struct that may be null */
    PROTO_IGNORABLE = 4,     /* may be left out of a version that lacks it, whatever its value */
    PROTO_RIGID = 8,         /* never in the compact form */
    PROTO_NULL_DEFAULT = 16, /* null by default, else empty */
};

/* Versions from first to last; first > last is none. */
struct proto_range {
    int16_t first, last;
};

static inline bool proto_in(struct proto_range r, int version)
{
    return version >= r.first && version <= r.last;
}

struct proto_field {
    const char *name;             /* as in Kafka's JSON */
    const struct proto_type *sub; /* of a struct or an array of structs */
    int64_t number;               /* the default, of integers and bool */
    uint32_t offset;
    uint8_t kind;  /* enum proto_kind; of an array, its elements' */
    uint8_t flags; /* enum proto_flag */
    uint16_t tag;
    struct proto_range versions, nullable, tagged;
};

/* A message or a struct inside one. */
struct proto_type {
    const char *name;
    const struct proto_field *fields;
    uint32_t size; /* of the C struct */
    uint16_t n_fields;
    uint16_t wire_min; /* no version of it takes fewer bytes */
    uint16_t n_tags;
    struct proto_range versions, flexible;
};

enum { PROTO_ON_BROKER = 1, PROTO_ON_CONTROLLER = 2 };

/* One row an API: dispatch, ApiVersions, the client and the fuzz targets all read this table. */
struct proto_api {
    int16_t key, version_min, version_max;
    int16_t stable_max;    /* versions above are for those who ask for unstable ones */
    int16_t flexible_from; /* INT16_MAX: never */
    uint8_t listeners;
    const char *name;
    const struct proto_type *request, *response;
};

/* What a coordinator stores: a record of `topic` whose key begins with `type`. */
struct proto_record {
    const char *topic, *name;
    int16_t type;
    const struct proto_type *key, *value;
};

/* A record of Kafka's own metadata log (proto/records); ours are protobuf, metadata/record.h. */
struct proto_metadata {
    int16_t key;
    const struct proto_type *type;
};

extern const struct proto_api proto_apis[]; /* by key */
extern const int proto_apis_n;
extern const struct proto_record proto_records[]; /* by topic and type */
extern const int proto_records_n;
extern const struct proto_metadata proto_metadata[]; /* by key */
extern const int proto_metadata_n;
extern const struct proto_type *const proto_types[]; /* every message */
extern const int proto_types_n;

const struct proto_api *proto_api(int16_t key);              /* NULL: none */
const struct proto_type *proto_type_find(struct slice name); /* "FetchRequest"; NULL: none */
const struct proto_record *proto_record_find(struct slice topic, int16_t type);

/* ---- Values ---- */

void proto_defaults(const struct proto_type *t, void *msg); /* all of *msg is overwritten */
/* n structs with defaults, or NULL past the arena's limit. */
void *proto_new(const struct proto_type *t, struct arena *a, int32_t n);
/* Deep; null differs from empty. */
bool proto_equal(const struct proto_type *t, const void *a, const void *b);

/* Gives the array field `array` (not a pointer to it) n elements of defaults:
 * PROTO_ARRAY_NEW(a, FetchResponse_PartitionData, topic->partitions, 3). For arenas without a limit. */
#define PROTO_ARRAY_NEW(arena, type, array, count)                                                           \
    ((array).n = (count), (array).v = proto_new(&type##_type, arena, (array).n))

/* ---- Bytes ---- */

/* All of `in` is the message.
 * E_UNSUPPORTED_VERSION  the type has no such version
 * E_TRUNCATED            `in` ends too early, or a length or count promises more than is there
 * E_MALFORMED            bytes are left over, null where it is not allowed, a bad varint
 * E_NOMEM                the arena's limit; *msg is undefined after any error */
enum err proto_decode(const struct proto_type *t, int version, struct slice in, struct arena *a, void *msg);
/* The same, but says how many bytes the message took and leaves the rest alone. */
enum err proto_decode_prefix(const struct proto_type *t, int version, struct slice in, struct arena *a,
                             void *msg, size_t *used);

/* Records that go out without being copied: `at` is where they belong, as an index into
 * the output. An array of structs may be elsewhere too, one of a message: v is PROTO_ELSEWHERE, n counts, and `elements` says
 * how many bytes its elements take, each encoded by itself with its type and the message's version. Set p to PROTO_ELSEWHERE for records that aren't in memory (a range of a file): their length is written, and
 * the caller puts them there; the cuts come in the order of the message. Begin with {.arena = …}. */
struct proto_cut {
    size_t at;
    struct slice records;
};
struct proto_cuts {
    struct arena *arena;
    struct proto_cut *v;
    int n, room;
    size_t len; /* sum of the cuts' */
    size_t elements;
};
extern const uint8_t proto_elsewhere[1];
#define PROTO_ELSEWHERE ((uint8_t *)proto_elsewhere)
enum { PROTO_CUT_MIN = 256 }; /* shorter records in memory are copied */

/* Appends the message. cuts == NULL: records are copied (and none is elsewhere).
 * E_UNSUPPORTED_VERSION  no such version, or it can't say this: a field that it lacks is set and not ignorable,
 *                        or null where it isn't allowed
 * E_MESSAGE_TOO_LARGE    a string of more than 32767 bytes, or more than 2 GiB in all
 * E_NOMEM                the limit of the cuts' arena
 * After an error, *out is as it was; cuts are not. */
enum err proto_encode(const struct proto_type *t, int version, const void *msg, struct bytes *out,
                      struct proto_cuts *cuts);

/* One line of JSON with Kafka's field names, as its converters print them: bytes in base64, records as their
 * size; fields that the version lacks and tagged fields with their default are left out. */
void proto_json(const struct proto_type *t, int version, const void *msg, struct bytes *out);

/* ---- Requests and responses ---- */

struct proto_request {
    const struct proto_api *api;
    int16_t key, version;
    int32_t correlation_id;
    struct slice client_id; /* may be null */
    struct slice body;
};

/* `frame` is what follows the length.
 * E_INVALID_REQUEST      no such API: nothing after the client id can be known; key and version are set
 * E_UNSUPPORTED_VERSION  all is set, but the body can't be decoded (ApiVersions answers this in its v0) */
enum err proto_request_header(struct slice frame, struct proto_request *out);
enum err proto_request_body(const struct proto_request *r, struct arena *a, void *msg);

/* Whole frames, length first, appended to *out. The length counts what is cut out as well. Errors:
 * proto_encode()'s. */
enum err proto_request_frame(const struct proto_api *api, int version, int32_t correlation_id,
                             struct slice client_id, const void *msg, struct bytes *out,
                             struct proto_cuts *cuts);
enum err proto_response_frame(const struct proto_api *api, int version, int32_t correlation_id,
                              const void *msg, struct bytes *out, struct proto_cuts *cuts);

/* For the client: which request a response (without its length) belongs to; then its body. */
enum err proto_response_header(struct slice frame, int32_t *correlation_id);
enum err proto_response_body(const struct proto_api *api, int version, struct slice frame, struct arena *a,
                             void *msg);

/* ---- Stored records: int16 type and key; int16 version and value ---- */

enum err proto_record_key_write(const struct proto_record *r, const void *key, struct bytes *out);
enum err proto_record_value_write(const struct proto_record *r, int version, const void *value,
                                  struct bytes *out);
/* E_UNSUPPORTED_VERSION: a type that we don't know; such records are skipped. */
enum err proto_record_type(struct slice topic, struct slice key, const struct proto_record **out);
enum err proto_record_key_read(const struct proto_record *r, struct slice key, struct arena *a, void *out);
enum err proto_record_value_read(const struct proto_record *r, struct slice value, struct arena *a,
                                 void *out);
