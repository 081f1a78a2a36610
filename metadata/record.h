/* Metadata records: plain structs here, protobuf on the disk (proto/records.proto), joined in record.c alone.
 *
 * A record's value in its batch:   byte     frame version, RECORD_FRAME
 *                                  varint   record type
 *                                  ...      the protobuf message of that type
 * Memory: record_decode() puts all that the struct points to into the arena; encoding borrows the struct.
 * Always: what encode writes, decode reads back equal. Fields of a newer version come back in `unknown` and
 * are written again, so that an older node loses nothing. */
#pragma once
#include "base/err.h"
#include "base/mem.h"
#include "proto/uuid.h"

enum { RECORD_FRAME = 1 };

enum record_type {
#define RECORD(NAME, name, message, number) RECORD_##NAME = (number),
#include "metadata/record.def"
#undef RECORD
};

struct ids {
    const int32_t *v;
    int32_t n;
};

struct uuids {
    const struct uuid *v;
    int32_t n;
};

struct endpoint {
    struct slice name;
    struct slice host;
    uint16_t port;
    int16_t security_protocol; /* Kafka's: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL */
};

struct feature_range {
    struct slice name;
    int16_t min;
    int16_t max;
};

struct record_register_broker {
    int32_t id;
    struct uuid incarnation;
    int64_t epoch;
    const struct endpoint *endpoints;
    int32_t n_endpoints;
    const struct feature_range *features;
    int32_t n_features;
    struct slice rack; /* may be null */
    bool fenced;
    bool in_controlled_shutdown;
    struct uuids dirs;
    struct uuids cordoned;
};

struct record_unregister_broker {
    int32_t id;
    int64_t epoch;
};

struct record_topic {
    struct slice name;
    struct uuid id;
};

/* Also stands for the partition in the image: sizes of replicas and directories are equal. */
struct record_partition {
    struct uuid topic;
    int32_t index;
    int32_t leader; /* -1: none */
    int32_t leader_epoch;
    int32_t partition_epoch;
    bool recovering; /* LeaderRecoveryState: elected uncleanly */
    struct ids replicas;
    struct ids isr;
    struct ids removing;
    struct ids adding;
    struct ids elr;
    struct ids last_elr;
    struct uuids dirs;
};

/* A list that is absent (p == NULL and n == -1) and LEADER_SAME say "unchanged". */
enum { LEADER_NONE = -1, LEADER_SAME = -2 };
#define IDS_SAME   ((struct ids){.n = -1})
#define UUIDS_SAME ((struct uuids){.n = -1})

struct record_partition_change {
    struct uuid topic;
    int32_t index;
    int32_t leader;
    int8_t recovering; /* -1: unchanged */
    struct ids replicas;
    struct ids isr;
    struct ids removing;
    struct ids adding;
    struct ids elr;
    struct ids last_elr;
    struct uuids dirs;
};

struct record_config {
    int8_t resource_type; /* enum config_resource of image.h */
    struct slice resource;
    struct slice name;
    struct slice value; /* null: back to the default */
};

struct record_remove_topic {
    struct uuid id;
};

struct record_feature {
    struct slice name;
    int16_t level; /* 0: not finalized any more */
};

struct record_producer_ids {
    int32_t broker_id;
    int64_t broker_epoch;
    int64_t next;
};

struct record_broker_change {
    int32_t id;
    int64_t epoch;
    int8_t fenced;                 /* -1 unfence, 0 unchanged, 1 fence */
    int8_t in_controlled_shutdown; /* 0 unchanged, 1 yes */
    struct uuids dirs;             /* n == -1: unchanged */
    struct uuids cordoned;
};

struct record_no_op {
    uint8_t unused;
};

/* A transaction: what lies between holds only once it has ended, and never if it is aborted. One at a time. */
struct record_begin_transaction {
    struct slice name; /* what it is for */
};

struct record_end_transaction {
    uint8_t unused;
};

struct record_abort_transaction {
    struct slice reason;
};

struct record_register_controller {
    int32_t id;
    struct uuid incarnation;
    const struct endpoint *endpoints;
    int32_t n_endpoints;
    const struct feature_range *features;
    int32_t n_features;
};

/* No partition of the topic has eligible leaders outside its ISR any more. */
struct record_clear_elr {
    struct slice topic;   /* empty: of every topic */
    bool leaderless_stay; /* but where nobody is in sync: there they are all who may lead */
};

/* Ours: the cluster's name, the first record of all. */
struct record_cluster {
    struct slice id;
};

/* Ours: the answer of a request that may come again (metadata/requests.h). */
struct record_request_done {
    struct uuid id;
    int64_t at_ms; /* by the leaders' clock */
    int32_t keep_ms;
    int16_t api_key;
    int16_t version;
    struct slice answer; /* a piece of it; null: it was too large, or is gone */
    int32_t piece, last_piece;
};

/* Drops the answers that are due up to that time, of those that are due then the ones with ids up to `last`. */
struct record_requests_forget {
    int64_t due_ms;
    struct uuid last;
    bool answers_only; /* that they were given stays */
};

struct meta_record {
    enum record_type type;
    union {
#define RECORD(NAME, name, message, number) struct record_##name name;
#include "metadata/record.def"
#undef RECORD
    };
    struct slice unknown; /* protobuf fields that this version doesn't know; usually empty */
};

/* Appends the record's value: frame and message. */
void record_encode(const struct meta_record *r, struct bytes *out);
/* E_UNSUPPORTED_VERSION  a frame version or record type that this version doesn't know
 * E_MALFORMED            not what encode writes
 * E_NOMEM                the arena's limit */
enum err record_decode(struct slice value, struct arena *a, struct meta_record *out);
const char *record_name(enum record_type type); /* "PARTITION"; NULL: no such type */
