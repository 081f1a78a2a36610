/* What the committed batches of __cluster_metadata say, with the time of each change in offsets: an independent, small
 * image, against which answers to clients are held.
 *
 * Always: the epochs of a broker only grow, and a change of it names the newest;
 *         no incarnation has two epochs, and no epoch two incarnations;
 *         an ISR lies within the replicas, and a leader in the ISR; who may lead later lies within them, outside of it;
 *         who comes into an ISR is registered and not fenced;
 *         a new leader was in sync or eligible, or the partition is marked as recovering;
 *         with ELR on, a broker that comes with other disks is in no ISR and not eligible, but where it is alone;
 *         nobody leads a partition who is fenced, or not registered, but the only replica, which begins again as its leader;
 *         a topic is made once by each name: nobody asks for a name again but to be refused, and whoever did and wasn't
 *         answered leaves the topic there (cluster_client_internal.h, asked_again).
 * A disagreement ends the process by JUDGE(). */
#pragma once
#include "metadata/batches.h"
#include "sim.h"

enum { TRUTH_NODES = 16, TRUTH_DIRS = 4, TRUTH_PARTS = 8, TRUTH_NAME = 40 };
#define TRUTH_EVER INT64_MAX
#define TRUTH_ELR  "eligible.leader.replicas.version"

struct truth_part { /* from an offset on */
    int64_t from;
    int32_t leader, leader_epoch, partition_epoch;
    int32_t preferred;           /* the first of the replicas */
    uint32_t isr, replicas, elr; /* bits */
    /* What else was so within the batch that led here, which no image shows, but who asked for it was told of. */
    uint32_t stood; /* replicas */
    bool preferred_led;
    bool recovering;
    bool elects; /* last_elr names somebody */
};

struct truth_topic {
    char name[TRUTH_NAME];
    struct uuid id;
    int64_t made, gone;              /* offsets; TRUTH_EVER: it is there */
    int64_t parts_from[TRUTH_PARTS]; /* when each partition came */
    struct truth_part *part[TRUTH_PARTS];
    int n_part[TRUTH_PARTS];
    int n_parts;
};

struct truth_config {
    int8_t type;
    char resource[TRUTH_NAME], name[TRUTH_NAME], value[TRUTH_NAME];
    int64_t at;
};

struct truth_level { /* of a feature, from an offset on */
    char name[TRUTH_NAME];
    int16_t level;
    int64_t from;
};

struct truth_broker {
    bool registered, fenced;
    int64_t epoch, removed_at;
    struct uuid dirs[TRUTH_DIRS];
    int n_dirs;
    struct uuid incarnation;
    uint64_t registrations, fencings, unfencings, leavings, removals;
};

struct truth {
    struct heap *heap;
    int64_t offset; /* of the last record; -1: none */
    struct truth_topic *topics;
    int n_topics, topics_room;
    struct truth_config *configs;
    int n_configs, configs_room;
    struct truth_level *levels;
    int n_levels, levels_room;
    struct truth_broker brokers[TRUTH_NODES];
};

void truth_init(struct truth *t, struct heap *h);
void truth_batch(struct truth *t, const struct batch_content *c);
/* The newest of that name; NULL: never made. */
const struct truth_topic *truth_topic(const struct truth *t, const char *name);
const struct truth_topic *truth_topic_id(const struct truth *t, const struct uuid *id);
/* Did that setting ever have that value? */
bool truth_had(const struct truth *t, int8_t type, const char *resource, const char *name, const char *value);
/* From the state of `since` on: was that feature ever at that level? Did the preferred replica ever lead, or
 * anything else come of its election (as in Kafka, where any record is a success)? Have all of these replicas stood for the
 * partition? */
bool truth_level(const struct truth *t, const char *name, int level, int64_t since);
bool truth_elected(const struct truth_topic *t, int part, int64_t since);
bool truth_replicated(const struct truth_topic *t, int part, uint32_t replicas, int64_t since);
bool truth_unfenced(const struct truth *t, uint32_t brokers); /* all of these bits are */
