/* The controller: requests become records. A pure state machine: no clock, file, socket or thread.
 *
 *   ctl_submit ─► waiting ─► ctl_turn: decide and replay on tip, ─► in flight ─► ctl_committed:
 *                            propose at most 1,000 records                       image moves, replies go
 *
 * 1. `tip` is `image` plus every batch in flight plus the draft under way. A request is decided on the tip
 *    alone.
 * 2. A reply goes when the tip on which it was decided has committed, whether it wrote or not. (With nothing in flight it
 *    goes at once: where there are several voters the shell keeps it until a majority has confirmed this leader.)
 * 3. At most CTL_FLIGHT_MAX batches are in flight; each keeps the image that it leads to, so a commit is a
 *    pointer move.
 * 4. A decision larger than a batch (CTL_BATCH_MAX records, about CTL_BATCH_BYTES) goes out in several, each complete in itself; nothing is decided between
 *    them. One that may be large is made in steps, each on the tip that the ones before led to, and a turn takes one
 *    (ctl_pause): so a turn ends within 2 ms.
 * 5. One whose records mean something only together, and don't fit in a batch by number or bytes, becomes a transaction: its pieces are in
 *    the tip as they come, but `image` is what was before it until the end of it has committed. A new leader that finds
 *    one open undoes it first.
 * 6. A request that may come again is looked up before it is decided, on the tip; its answer is put behind its records.
 * 7. When leadership is lost, tip = image and every request that waits ends with E_NOT_CONTROLLER.
 *
 * Loop:   the control loop. Callbacks run inside ctl_turn(), ctl_committed(), ctl_lost() and must not call
 *         back into any of these; ctl_submit() is allowed.
 * Memory: requests are embedded in their owners and lent, with in, out and arena, until `done`. */
#pragma once
#include "base/list.h"
#include "metadata/image.h"

enum { CTL_FLIGHT_MAX = 4, CTL_BATCH_MAX = 1000, CTL_STEP_MAX = 300, CTL_BATCH_BYTES = 1 << 20 };

struct ctl_out;
struct ctl_request;

/* One setting of a topic as CreateTopics tells it back. */
struct ctl_topic_config {
    struct slice name;
    struct slice value;      /* static or default; may be null */
    int8_t source;           /* 4 STATIC_BROKER_CONFIG, 5 DEFAULT_CONFIG */
    const char *broker_name; /* the broker's setting that dynamic broker configs may set; NULL: none */
    bool sensitive;
};

/* What the controller must know of settings, put in by the broker: constant data and pure functions. */
struct ctl_rules {
    const void *arg;
    int32_t node_id;            /* whose dynamic settings apply to defaults */
    int32_t default_partitions; /* num.partitions */
    int32_t default_replication_factor;
    bool delete_topics; /* delete.topic.enable */
    int kraft_version;  /* the quorum's, now */
    /* Is there such a setting of this resource type, and may it have this value (null: unset)? E_OK,
     * E_INVALID_CONFIG, E_INVALID_REQUEST …; `why` is Kafka's message then. */
    enum err (*check)(const void *arg, enum config_resource type, struct slice resource, struct slice name,
                      struct slice value, char *why, size_t room);
    bool (*is_list)(const void *arg, enum config_resource type,
                    struct slice name); /* APPEND and SUBTRACT go */
    /* The value when none is set on the resource itself: static or default; null when there is none. */
    struct slice (*fallback)(const void *arg, enum config_resource type, struct slice name);
    /* All resulting settings of a resource together (NULL: always fine). */
    enum err (*check_all)(const void *arg, enum config_resource type, struct slice resource,
                          const struct slice *names, const struct slice *values, int n, char *why,
                          size_t room);
    bool (*topic_config)(const void *arg, int row,
                         struct ctl_topic_config *out); /* in name order; false: no such row */
};

/* What a decision is made of, and what it makes. */
struct ctl_out {
    const struct ctl_rules *rules;
    struct arena *arena; /* the reply's: the request's own */
    struct arena *work;  /* the records' and what is needed to decide */
    int64_t now_ms;      /* wall clock: data */
    int64_t base_offset; /* of the first record */
    int16_t version;     /* of the request */
    struct uuid id;      /* of the request: zero, or the same when it comes again */
    uint8_t seed[16];    /* chance, fresh for each decision (topic ids) */
    uint64_t drawn;
    struct meta_record *records;
    bool *glued; /* with the one before, in one batch */
    int n;
    int room;
    int cost;    /* of this step beside its records, in records */
    void *state; /* of a decision in steps, from `arena`: it is called again while it says `more` */
    bool more;
    bool retold; /* the answer tells of what was done when the request came before */
    /* Said in the first step: all that it writes counts together or not at all, and may be more than a batch; what it
     * is for. (Where weir.version doesn't have transactions yet, it goes in pieces all the same.) */
    const char *together;
};
/* Is this step long enough? Then the decision returns, and is called again with what it keeps in `state` and the tip that
 * its records led to. Nothing else of it, of that tip or of `work` lasts. */
static inline bool ctl_pause(struct ctl_out *o)
{
    o->more = o->n + o->cost >= CTL_STEP_MAX;
    return o->more;
}
/* The next record, zeroed. glued: must be in the same batch as the one before it. Valid until the next call.
 */
struct meta_record *ctl_emit(struct ctl_out *o, enum record_type type, bool glued);
uint64_t ctl_random(struct ctl_out *o);
struct uuid ctl_uuid(struct ctl_out *o);

/* Reads `tip` and `in` (a generated request), writes `out` (its response, defaults filled in) and records.
 * Pure, also in steps: they may depend on the tip, never on how many there are. */
typedef void (*ctl_decide_fn)(const struct image *tip, const void *in, void *out, struct ctl_out *o);

/* What becomes of a request that comes again, by its id, after it was done. */
enum ctl_again {
    CTL_AGAIN_ANSWERED, /* its answer is kept (requests.h); so it counts as a whole, or not at all */
    CTL_AGAIN_IN_PARTS /* the same, but what a lost leader did of it doesn't show in the answer: it goes on from there */
};

struct ctl_request {
    struct list link;
    ctl_decide_fn decide;
    const void *in;
    void *out;
    int16_t version;
    struct uuid id;              /* ctl_out.id */
    const struct proto_api *api; /* whose response `out` is: it may come again; NULL: it won't */
    enum ctl_again again;
    int32_t keep_ms;     /* for so long */
    struct arena *arena; /* the reply's pieces */
    /* E_OK: `out` is the reply. E_NOT_CONTROLLER; E_REQUEST_TIMED_OUT: it was done when it came before, but its answer isn't
     * known any more, or no more requests are taken that may come again (requests.h). */
    void (*done)(struct ctl_request *r, enum err err);
    enum err err;  /* the controller's: what `done` will be told */
    int64_t after; /* the controller's: offset that has to commit first */
    bool
        changed; /* … the answer tells of what was done, now or when it came before: images from `after` on show it */
};

/* A batch on its way. Its bytes are one record batch with base offset and epoch filled in. */
struct ctl_batch {
    int64_t base_offset;
    int64_t last_offset;
    struct bytes bytes;
    struct image *image; /* what it leads to */
    int slot;            /* 0 .. CTL_FLIGHT_MAX-1: the shell has as many quorum entries */
    bool busy;
};

struct ctl_ops {
    /* Starts making the batch durable; its bytes are lent until ctl_committed() or ctl_lost(). */
    void (*propose)(void *arg, struct ctl_batch *b);
    void (*random)(void *arg, uint8_t seed[16]);
};

struct controller;
struct controller *ctl_new(struct heap *h, const struct ctl_rules *rules, const struct ctl_ops *ops,
                           void *arg);
void ctl_drop(struct controller *c);           /* nothing may wait or be in flight */
struct grave *ctl_grave(struct controller *c); /* step it when idle: grave_step(…, 1000) */

/* Committed state but for a transaction that hasn't ended, held by the controller until the next commit. Before
 * ctl_load(): an empty image. */
struct image *ctl_image(const struct controller *c);
const struct image *ctl_tip(const struct controller *c);

/* The image that the log led to at the start; takes over the reference. */
void ctl_load(struct controller *c, struct image *image);
/* This node leads now; the barrier has committed and the next record gets `next_offset`. */
void ctl_lead(struct controller *c, int32_t epoch, int64_t next_offset);
/* The log has got a batch that isn't the controller's: the next record gets this offset. Not inside a callback. */
void ctl_skip(struct controller *c, int64_t next_offset);
void ctl_lost(struct controller *c);
/* So much time has passed since the last call; kept answers are dropped by that clock (requests.h). */
void ctl_elapsed(struct controller *c, int64_t ms);
bool ctl_keeps(const struct controller *c); /* are there any? */

void ctl_submit(struct controller *c,
                struct ctl_request *r); /* done may run inside if this node doesn't lead */
/* The request is its owner's again, `done` won't run; what it has written already stays. false: its records are
 * only partly proposed, so it is ended by done() all the same. */
bool ctl_cancel(struct controller *c, struct ctl_request *r);
/* One step: decides what waits and proposes at most one batch. true: call again in another turn of the loop.
 */
bool ctl_turn(struct controller *c, int64_t now_ms);
/* All up to `offset` is durable. Replies go. true: ctl_image() is another one now: publish it. */
bool ctl_committed(struct controller *c, int64_t offset);
/* Between the begin and the end of a transaction: ctl_image() isn't all that has committed. */
bool ctl_in_transaction(const struct controller *c);
/* Another leader's batch has committed here; ctl_image() may be another one now. */
enum err ctl_follow(struct controller *c, struct slice batch);
bool ctl_idle(const struct controller *c); /* nothing waits, nothing is in flight */

/* ---- Decisions (decide_*.c): `in` and `out` are the generated structs of that API ----
 * The caller has authorized every resource (what isn't allowed is taken out of `in` and answered by it). */
void decide_create_topics(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_delete_topics(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_create_partitions(const struct image *tip, const void *in, void *out, struct ctl_out *o);
/* BROKER resources: the broker that was asked has checked that the name is its own id or empty. BROKER_LOGGER
 * resources get no answer here: they are the broker's own. */
void decide_alter_configs(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_incremental_alter_configs(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_update_features(const struct image *tip, const void *in, void *out, struct ctl_out *o);
struct UpdateFeaturesRequest;
struct UpdateFeaturesResponse;
/* What was decided so names a kraft.version: it isn't done before the quorum has that, too. */
bool features_kraft(const struct UpdateFeaturesRequest *req, const struct UpdateFeaturesResponse *resp);
void decide_allocate_producer_ids(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_unregister_broker(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_controller_registration(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_alter_partition(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_assign_replicas(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_elect_leaders(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_alter_reassignments(const struct image *tip, const void *in, void *out, struct ctl_out *o);
void decide_list_reassignments(const struct image *tip, const void *in, void *out, struct ctl_out *o);

/* What the active controller knows of brokers beside the image is soft: it is measured where it decides, and goes with
 * the request. */
struct broker_registration {
    const struct BrokerRegistrationRequest *request;
    bool
        connected; /* the registered incarnation still has a liveness connection, and its session isn't over; where
                    * broker_returns(), it may have been asked, and is silent: then it has none */
    bool session; /* … or has been heard within its session */
};
void decide_broker_registration(const struct image *tip, const void *in, void *out, struct ctl_out *o);
/* Does another process register on disks of the one that is registered? */
bool broker_returns(const struct image_broker *old, const struct BrokerRegistrationRequest *req);

/* A controlled shutdown is over when the others have seen the records that moved the leaders. The shell keeps for each
 * broker the offset that it told last, and `leaves_at` as ctl_request.after of the first heartbeat that was answered
 * with neither is_fenced nor should_shut_down while it wanted to shut down; a new controller knows neither. */
struct broker_heartbeat {
    const struct BrokerHeartbeatRequest *request;
    bool leaving; /* leaves_at is known */
    int64_t leaves_at;
    int64_t lowest_offset; /* told by an active broker; INT64_MAX: there is none */
};
void decide_broker_heartbeat(const struct image *tip, const void *in, void *out, struct ctl_out *o);

/* Fences a broker whose evidence (metadata/life.h) says that it is dead. out: bool, it was fenced. */
struct broker_fence {
    int32_t id;
    int64_t epoch; /* whose evidence it is */
};
void decide_fence_broker(const struct image *tip, const void *in, void *out, struct ctl_out *o);

/* Elects preferred leaders of brokers that lead less than their share, at most `max` in one decision. out: struct
 * balance_done. Kafka's leader.imbalance.per.broker.percentage is `percent`; a value of 0 elects them all. */
struct balance {
    int32_t max;
    int32_t percent;
};
struct balance_done {
    int32_t elected;
    bool more; /* the same again at once */
};
void decide_balance_leaders(const struct image *tip, const void *in, void *out, struct ctl_out *o);
/* Elects leaders of partitions without one whose topic allows unclean elections. in, out: as above. */
void decide_unclean_leaders(const struct image *tip, const void *in, void *out, struct ctl_out *o);
/* Elects leaders where there is none though somebody may lead: what a controller leaves that ends in the midst of fencing a
 * broker, which then lives on, or of taking one back. In steps. in: unused; out: struct balance_done, zeroed. */
void decide_stranded_leaders(const struct image *tip, const void *in, void *out, struct ctl_out *o);

/* The first records of a new cluster; decided like a request. in: struct bootstrap; out: unused. Nothing when
 * the cluster has a name already. */
struct bootstrap {
    struct slice cluster_id;
    int16_t metadata_version;
};
void decide_bootstrap(const struct image *tip, const void *in, void *out, struct ctl_out *o);
