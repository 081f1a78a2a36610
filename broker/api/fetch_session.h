/* Incremental fetch sessions (KIP-227): a consumer names its partitions once and from then on only what changes.
 * A pure core: no clock but the `now` it is given, no image.
 *
 * Loop:   a session lives on the NET loop that made it. A client that comes back on another loop is told
 *         FETCH_SESSION_ID_NOT_FOUND, as after a restart, and begins anew.
 * Memory: a slot share of max.incremental.fetch.session.cache.slots a loop, and FETCH_SESSION_PARTITIONS_MAX cached
 *         partitions a loop; who finds no place is answered without a session.
 * Order:  partitions are answered in the order of the session; those that had data go to its end, so that none starves. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "proto/uuid.h"
#include "proto_gen.h"

enum { FETCH_SESSION_PARTITIONS_MAX = 200000, FETCH_SESSION_INITIAL = 0, FETCH_SESSION_FINAL = -1 };

/* A partition that somebody fetches: from a session, or from one request alone. */
struct fetch_wish {
    struct list link;     /* the session's order */
    struct slice key;     /* topic id or name, and the index: made of the fields below */
    struct uuid topic_id; /* zero below version 13 */
    struct slice topic;   /* empty from version 13 on */
    int32_t partition;
    int32_t leader_epoch;
    int32_t last_fetched_epoch;
    int32_t max_bytes;
    int64_t offset;
    /* What the client was told last. */
    int64_t hw;
    int64_t log_start;
    bool told;
};

struct fetch_session {
    int32_t id;
    int32_t epoch; /* of the next request */
    bool by_id;
    bool busy; /* a request of it is under way: one at a time */
    int64_t used_ms;
    struct list lru;
    struct list order; /* struct fetch_wish */
    struct map wishes;
};

struct fetch_sessions;
struct fetch_sessions *fetch_sessions_new(struct heap *h, uint64_t seed, int slots, int64_t eviction_ms);
void fetch_sessions_drop(struct fetch_sessions *s);
int fetch_sessions_count(const struct fetch_sessions *s);

/* Which session a request belongs to, changed as the request says.
 * E_OK: *out, or NULL for a request that stands alone (all its partitions are in the request).
 * E_FETCH_SESSION_ID_NOT_FOUND, E_INVALID_FETCH_SESSION_EPOCH, E_FETCH_SESSION_TOPIC_ID_ERROR: for the whole request */
enum err fetch_session_open(struct fetch_sessions *s, const struct FetchRequest *in, int version,
                            int32_t new_id, int64_t now_ms, struct fetch_session **out);
/* The request is answered: another may come. */
void fetch_session_close(struct fetch_sessions *s, struct fetch_session *session);

/* Must the answer name this partition? Remembers what it says then. */
bool fetch_wish_tell(struct fetch_session *session, struct fetch_wish *w, int16_t error, int64_t hw,
                     int64_t log_start, bool has_records, bool diverging);
void fetch_wish_of(const struct FetchRequest_FetchTopic *topic, const struct FetchRequest_FetchPartition *p,
                   struct fetch_wish *out);
