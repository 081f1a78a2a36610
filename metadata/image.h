/* What the cluster is, as an immutable value. image_replay() on a draft is the only writer; a sealed image
 * never changes.
 *
 * Loop:   readers on any loop borrow a sealed image that somebody holds for them and count nothing.
 *         image_ref(), image_unref(), drafts and the grave belong to one thread: the control loop (at the
 *         start, the loading one).
 * Memory: all that an accessor returns lives as long as the image that it was asked of.
 * Order:  topics are walked by name, partitions by number, brokers by id, configs by resource.
 * Always: topic names and ids match one to one; partitions of a topic are 0 .. n-1; a topic's configs go
 *         with it. */
#pragma once
#include "metadata/features.h"
#include "metadata/pmap.h"
#include "metadata/record.h"

/* The resources that own settings, by Kafka's numbers. */
enum config_resource {
    CONFIG_UNKNOWN = 0,
    CONFIG_TOPIC = 2,
    CONFIG_BROKER = 4, /* "" is the default of all brokers */
    CONFIG_BROKER_LOGGER = 8,
    CONFIG_CLIENT_METRICS = 16,
    CONFIG_GROUP = 32,
};

#define SETTING_MIN_ISR "min.insync.replicas"
enum { CLUSTER_ID_MAX = 63 };

struct image {
    uint32_t refs;
    bool sealed;
    int64_t offset; /* of the last record in it; -1: none */
    int32_t epoch;
    int64_t append_ms;
    struct image *before; /* what holds while a transaction is under way: all before it. NULL: none is */
    int64_t next_producer_id;
    char cluster_id[CLUSTER_ID_MAX + 1];
    uint32_t n_partitions;  /* of all topics */
    struct pmap topics;     /* id -> image_topic */
    struct pmap names;      /* name -> image_name */
    struct pmap collisions; /* name with '.' as '_', NUL, name -> image_name; of names that have either */
    struct pmap brokers;
    struct pmap controllers;
    struct pmap configs;
    struct pmap features;
    struct pmap requests; /* id, piece -> image_request */
    struct pmap dues;     /* when it is dropped, id, piece -> the same */
    struct pmap answers;  /* … of those that have an answer */
    uint64_t request_bytes;
};

struct image_name {
    struct pval ref;
    struct uuid id;
    struct slice name;
    struct slice key;
};

struct image_topic {
    struct pval ref;
    struct uuid id;
    struct slice name;
    struct pmap partitions; /* n -> image_partition; .count of them */
    struct slice unknown;
};

/* ids: replicas, isr, removing, adding, elr, last_elr, one behind the other; then the directories of the
 * replicas. */
struct image_partition {
    struct pval ref;
    uint8_t key[4];
    int32_t leader; /* -1: none */
    int32_t leader_epoch;
    int32_t partition_epoch;
    uint16_t n_replicas, n_isr, n_removing, n_adding, n_elr, n_last_elr;
    uint16_t unknown_len;
    bool recovering;
    int32_t ids[];
};

struct image_broker {
    struct pval ref;
    uint8_t key[4];
    struct record_register_broker reg; /* fenced and in_controlled_shutdown as of now */
    struct slice unknown;
};

struct image_controller {
    struct pval ref;
    uint8_t key[4];
    struct record_register_controller reg;
    struct slice unknown;
};

struct image_config {
    struct pval ref;
    int8_t type;
    struct slice resource;
    struct slice name;
    struct slice value;
    struct slice key;
};

struct image_feature {
    struct pval ref;
    int16_t level;
    struct slice name;
};

/* The answer of a request that may come again (requests.h). */
struct image_request {
    struct pval ref;
    uint8_t due[8 + sizeof(struct uuid) + 4]; /* its time, then the key: id and piece */
    struct record_request_done done;
    struct slice unknown;
};

/* What holds: a transaction that hasn't ended is not there yet. Lent by the image. */
static inline struct image *image_settled(struct image *i)
{
    return i->before ? i->before : i;
}

/* ---- Asking ---- */

const struct image_topic *image_topic_by_name(const struct image *i, struct slice name); /* NULL: none */
const struct image_topic *image_topic_by_id(const struct image *i, struct uuid id);
const struct image_partition *image_partition(const struct image_topic *t, int32_t n); /* NULL: none */
const struct image_broker *image_broker(const struct image *i, int32_t id);
const struct image_controller *image_controller(const struct image *i, int32_t id);
/* The value as it was set on that resource alone; null: it wasn't. */
struct slice image_config(const struct image *i, enum config_resource type, struct slice resource,
                          const char *name);
struct slice image_config_slice(const struct image *i, enum config_resource type, struct slice resource,
                                struct slice name);
const struct image_request *image_request(const struct image *i, struct uuid id,
                                          int32_t piece);       /* NULL: none */
int16_t image_feature(const struct image *i, const char *name); /* 0: not finalized */
int16_t image_feature_slice(const struct image *i, struct slice name);
/* An existing topic whose name is equal but for '.' and '_' (itself excepted); null: none. */
struct slice image_name_collision(const struct image *i, struct slice name);

/* Walks: `for (it = …; (x = …_next(&it));)`. */
struct image_topics {
    struct pmap_iter it;
    const struct image *image;
};
struct image_topics image_topics_from(const struct image *i, struct slice name); /* null or empty: all */
const struct image_topic *image_topics_next(struct image_topics *w);
struct image_partitions {
    struct pmap_iter it;
};
struct image_partitions image_partitions_from(const struct image_topic *t, int32_t n);
const struct image_partition *image_partitions_next(struct image_partitions *w);
struct image_brokers {
    struct pmap_iter it;
};
struct image_brokers image_brokers_all(const struct image *i);
const struct image_broker *image_brokers_next(struct image_brokers *w);
struct image_controllers {
    struct pmap_iter it;
};
struct image_controllers image_controllers_all(const struct image *i);
const struct image_controller *image_controllers_next(struct image_controllers *w);
struct image_features {
    struct pmap_iter it;
};
struct image_features image_features_all(const struct image *i);
const struct image_feature *image_features_next(struct image_features *w);
struct image_requests {
    struct pmap_iter it;
};
struct image_requests image_requests_all(const struct image *i);     /* as they will be dropped */
struct image_requests image_requests_answers(const struct image *i); /* … those that have an answer */
const struct image_request *image_requests_next(struct image_requests *w);
/* Configs of one resource; type 0 walks all resources, one after the other. */
struct image_configs {
    struct pmap_iter it;
    int8_t type;
    struct slice resource;
};
struct image_configs image_configs_of(const struct image *i, enum config_resource type,
                                      struct slice resource);
struct image_configs image_configs_all(const struct image *i);
const struct image_config *image_configs_next(struct image_configs *w);

static inline int32_t partition_index(const struct image_partition *p)
{
    return (int32_t)((uint32_t)p->key[0] << 24 | (uint32_t)p->key[1] << 16 | (uint32_t)p->key[2] << 8 |
                     p->key[3]);
}
static inline struct ids partition_replicas(const struct image_partition *p)
{
    return (struct ids){p->ids, p->n_replicas};
}
static inline struct ids partition_isr(const struct image_partition *p)
{
    return (struct ids){p->ids + p->n_replicas, p->n_isr};
}
static inline struct ids partition_elr(const struct image_partition *p)
{
    return (struct ids){p->ids + p->n_replicas + p->n_isr + p->n_removing + p->n_adding, p->n_elr};
}
static inline int64_t request_due_ms(const struct record_request_done *r)
{
    return r->at_ms + r->keep_ms;
}
static inline size_t request_size(const struct image_request *q)
{
    return sizeof(*q) + q->done.answer.len + q->unknown.len;
}
struct uuids partition_dirs(const struct image_partition *p);
struct uuid partition_dir_of(const struct image_partition *p, int32_t broker); /* zero: it has no replica */
/* All of it; the lists are lent by the image. */
void partition_record(const struct image_topic *t, const struct image_partition *p, struct meta_record *out);
bool ids_has(struct ids ids, int32_t id);
/* A change of which every field says "as before", and what becomes of a partition by one: leader epoch and partition
 * epoch aren't in the record, they follow from it, as in Kafka. */
struct record_partition_change partition_unchanged(struct uuid topic, int32_t index);
void partition_merge(struct record_partition *p, const struct record_partition_change *c);

/* ---- Holding ---- */

struct image *image_new(struct grave *g); /* an empty draft */
struct image *image_ref(struct image *i);
void image_unref(struct image *i, struct grave *g); /* the last one frees it in steps (grave_step) */

/* ---- Changing ---- */

struct image *image_draft(const struct image *base, struct grave *g); /* equal to base; base stays as it is */
void image_seal(struct image *draft);
/* The draft holds what `base` holds again; its offset, epoch and time stay. */
void image_return(struct image *draft, const struct image *base, struct grave *g);
/* The next record happens to the draft, whose offset is that of the one before it. Asserts that it makes sense: decide emits no other, and files
 * are checked before. */
void image_replay(struct image *draft, struct grave *g, const struct meta_record *r);

/* ---- Comparing ---- */

/* What changed between two images; NULL before: it is new, NULL after: it is gone. Callbacks may be NULL.
 * `topic` is called for every topic in which anything changed, before its partitions; partitions of a topic
 * that is new or gone are told one by one too. Subtrees that both images share are skipped. Order: features,
 * brokers, controllers, topics (by id) with their partitions, configs, requests. */
struct image_diff {
    void (*feature)(void *arg, const struct image_feature *before, const struct image_feature *after);
    void (*broker)(void *arg, const struct image_broker *before, const struct image_broker *after);
    void (*controller)(void *arg, const struct image_controller *before,
                       const struct image_controller *after);
    void (*topic)(void *arg, const struct image_topic *before, const struct image_topic *after);
    void (*partition)(void *arg, const struct image_topic *topic, const struct image_partition *before,
                      const struct image_partition *after);
    void (*config)(void *arg, const struct image_config *before, const struct image_config *after);
    void (*request)(void *arg, const struct image_request *before, const struct image_request *after);
    void *arg;
};
void image_diff(const struct image *before, const struct image *after,
                const struct image_diff *ops); /* before may be NULL */
/* Offset, epoch and time of the last record aside. */
bool image_equal(const struct image *a, const struct image *b, struct heap *h);
uint64_t image_hash(const struct image *i, struct heap *h); /* equal images, equal hashes, in every process */
/* The same of `after` where the hash of `before` is known: at the cost of what changed. */
uint64_t image_hash_after(uint64_t hash, const struct image *before, const struct image *after,
                          struct heap *h);

/* The image as records in canonical order: replayed on an empty draft they give it again. */
struct image_records {
    const struct image *image;
    int stage;
    struct image_features features;
    struct image_brokers brokers;
    struct image_controllers controllers;
    struct image_topics topics;
    const struct image_topic *topic; /* whose partitions come next */
    struct image_partitions partitions;
    struct image_configs configs;
    struct image_requests requests;
};
struct image_records image_records(const struct image *i);
bool image_records_next(struct image_records *w,
                        struct meta_record *out); /* lent by the image; false: the end */
