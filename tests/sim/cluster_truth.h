/* What the committed batches of __cluster_metadata say, with the time of each change in offsets: an independent, small
 * image, against which answers to clients are held.
 *
 * Always: the epochs of a broker only grow, and a change of it names the newest;
 *         no incarnation has two epochs, and no epoch two incarnations;
 *         an ISR lies within the replicas, and a leader in the ISR;
 *         nobody leads a partition who is fenced, or not registered, but the only replica, which begins again as its leader;
 *         a topic is made once by each name, for nobody asks for a name again.
 * A disagreement ends the process by JUDGE(). */
#pragma once
#include "metadata/batches.h"
#include "sim.h"

enum { TRUTH_NODES = 16, TRUTH_PARTS = 8, TRUTH_NAME = 32 };
#define TRUTH_EVER INT64_MAX

struct truth_part { /* from an offset on */
    int64_t from;
    int32_t leader, leader_epoch;
    uint32_t isr, replicas; /* bits */
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

struct truth_broker {
    bool registered, fenced;
    int64_t epoch;
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
    struct truth_broker brokers[TRUTH_NODES];
};

void truth_init(struct truth *t, struct heap *h);
void truth_batch(struct truth *t, const struct batch_content *c);
/* The newest of that name; NULL: never made. */
const struct truth_topic *truth_topic(const struct truth *t, const char *name);
const struct truth_topic *truth_topic_id(const struct truth *t, const struct uuid *id);
/* Did that setting ever have that value? */
bool truth_had(const struct truth *t, int8_t type, const char *resource, const char *name, const char *value);
bool truth_unfenced(const struct truth *t, uint32_t brokers); /* all of these bits are */
