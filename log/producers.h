/* What a partition remembers of its idempotent and transactional producers: a pure core, no clock, no file.
 * snapshot_files.h keeps it on disk.
 *
 * The rules are Kafka 4's (ProducerAppendInfo, ProducerStateEntry):
 *  - A batch that equals one of the last five of its producer's epoch (first and last sequence) is a
 * duplicate.
 *  - An epoch below the known one is refused.
 *  - A new epoch of a known producer begins at sequence 0. An unknown producer may begin anywhere: what was
 * known of it may have been deleted with its records.
 *  - Else the first sequence follows the last one; after 2^31-1 comes 0.
 *  - What came from the leader is applied, not checked; what comes from a coordinator of ours has no
 * sequences.
 *
 * Loop:   the log's own.
 * Memory: 152 bytes and about 10 of index a producer seen within producer.id.expiration.ms; nothing when
 * none was. Order:  producers_check(), write the batch, producers_apply(); check changes nothing, apply can't
 * fail. Always: ids are distinct; batches of a producer are of its epoch, rise in offset, and are at most
 * five. */
#pragma once
#include "base/err.h"
#include "base/mem.h"

enum { PRODUCER_BATCHES_MAX = 5 };

/* One batch as far as producers go; offsets matter to apply alone. */
struct producer_batch {
    int64_t producer_id; /* not -1 */
    int64_t base_offset;
    int64_t last_offset;
    int64_t max_timestamp;
    int32_t base_sequence; /* -1: has none */
    int16_t epoch;
    bool transactional;
    bool control;              /* an end-of-transaction marker */
    int32_t coordinator_epoch; /* of a marker */
};

struct producer_past {
    int64_t last_offset;
    int64_t timestamp;
    int32_t last_sequence;
    int32_t offset_delta; /* last offset - base offset, and the same between sequences */
};

struct producer {
    int64_t id;
    int64_t last_timestamp;
    int64_t txn_first;         /* first offset of its open transaction; -1: none */
    int32_t coordinator_epoch; /* -1: no marker yet */
    int16_t epoch;
    uint16_t n; /* of past, oldest first */
    struct producer_past past[PRODUCER_BATCHES_MAX];
};

struct producers {
    struct heap *heap;
    uint64_t seed;
    struct producer *rows; /* in the order in which they were met */
    uint32_t *index;       /* open addressing: row + 1 */
    uint32_t n;
    uint32_t room;
    uint32_t index_mask;
    int64_t end;      /* what is here covers the log up to this offset, exclusive */
    int64_t snapshot; /* the same, for the newest snapshot file; 0: none */
};

/* Where an append came from says how much is checked. */
enum producer_origin { FROM_CLIENT, FROM_COORDINATOR, FROM_LEADER };

int32_t producer_sequence_add(int32_t sequence, int32_t n); /* wraps as Kafka's; of -1, -1 */
int32_t producer_sequence_sub(int32_t sequence, int32_t n);
static inline int32_t producer_last_sequence(const struct producer *r)
{
    return r->n ? r->past[r->n - 1].last_sequence : -1;
}
static inline int64_t producer_last_offset(const struct producer *r)
{
    return r->n ? r->past[r->n - 1].last_offset : -1;
}

void producers_init(struct producers *p, struct heap *h, uint64_t seed); /* seed: from io_random */
void producers_drop(struct producers *p);
void producers_clear(struct producers *p, int64_t end); /* forgets all; covers up to `end` */

const struct producer *producers_get(const struct producers *p,
                                     int64_t id); /* NULL: unknown; until it changes */
/* May this batch be appended? b->last_offset - b->base_offset must be right, the offsets themselves needn't
 * be. E_DUPLICATE_SEQUENCE_NUMBER        it was, from a client: *past says where; answer as if appended now
 * E_OUT_OF_ORDER_SEQUENCE_NUMBER     a hole, a repetition older than five batches, or a new epoch not at 0
 * E_INVALID_PRODUCER_EPOCH           a newer incarnation of this producer was here
 * E_INVALID_TXN_STATE                outside its open transaction
 * E_TRANSACTION_COORDINATOR_FENCED   a marker from an older coordinator */
enum err producers_check(const struct producers *p, const struct producer_batch *b,
                         enum producer_origin origin, struct producer_past *past);
/* The batch lies in the log (also: met while recovering). Moves p->end past it. */
void producers_apply(struct producers *p, const struct producer_batch *b);
/* The log reaches to `end` by batches that speak of no producer. */
void producers_reach(struct producers *p, int64_t end);
/* As a snapshot remembers it. An id met twice: the later row counts. */
void producers_put(struct producers *p, const struct producer *row);
/* Forgets those without an open transaction whose last batch is `expiration_ms` old or more. How many. */
uint32_t producers_expire(struct producers *p, int64_t now_ms, int64_t expiration_ms);
/* Compaction keeps this batch, empty if need be: it alone tells a live producer's last sequence or epoch. */
bool producers_need(const struct producers *p, int64_t producer_id, int16_t epoch, int64_t last_offset,
                    bool control);
