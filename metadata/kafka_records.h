/* Kafka's own metadata records: read by the generated codec, and told as ours where the image has a place for them.
 *
 * A record's value:   varint  frame version, 1
 *                     varint  type (proto_metadata[])
 *                     varint  version of that type
 *                     ...     the message
 * Ours (record.h) begin alike, but what follows the type is a protobuf tag, which is 8 or more, or the end; Kafka's
 * versions are 7 or less: so each record says by itself whose it is.
 *
 * Loop: any. Memory: the input is lent; the rest lies in the arena. */
#pragma once
#include "metadata/image.h"
#include "proto/wire.h"

enum { KAFKA_RECORD_VERSION_MAX = 7 };

struct kafka_record {
    int16_t key;
    int16_t version;
    const struct proto_type *type;
    const void *msg; /* the generated struct */
};

bool kafka_record_is(struct slice value); /* Kafka's, as far as the first bytes tell */
/* E_UNSUPPORTED_VERSION  a frame, type or version that 4.3.1 doesn't have
 * E_TRUNCATED, E_MALFORMED  not what Kafka writes
 * E_NOMEM  the arena's limit */
enum err kafka_record_decode(struct slice value, struct arena *a, struct kafka_record *out);
/* Appends Kafka's name of the type, "TOPIC_RECORD". */
void kafka_record_name(const struct kafka_record *r, struct bytes *out);

/* What a record means to an image. */
enum kafka_meaning {
    KAFKA_CHANGES,   /* the record of ours that it stands for */
    KAFKA_ELSEWHERE, /* the image has no place for it: credentials, quotas, ACLs, tokens */
};
/* *out, with KAFKA_CHANGES: lent by the message and the arena. */
enum kafka_meaning kafka_record_ours(const struct kafka_record *r, struct arena *a, struct meta_record *out);
