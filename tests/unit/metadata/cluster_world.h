/* For tests of decisions over many brokers: a controller and one that follows its log. After each decision the image
 * keeps every invariant, and the follower's image is equal: what was decided is what was written. */
#pragma once
#include "metadata/change.h"
#include "metadata/invariant.h"
#include "tests/unit/metadata/meta_world.h"

struct cluster {
    struct ctl_world w;
    struct controller *follower;
    struct image *before; /* of the last decision */
    uint8_t incarnations;
    int dirs; /* of each broker; 1 */
    int takeovers;
    bool midway; /* the last takeover has left something: the caller says when no more */
};

void cluster_start(struct cluster *c);
void cluster_stop(struct cluster *c);
/* Decides, commits, follows, checks. Any error is in `out`. */
void cluster_call(struct cluster *c, ctl_decide_fn decide, const void *in, void *out, int16_t version);
/* The same, but the controller ends when so many batches of it have committed, and the one that followed leads. */
void cluster_takeover(struct cluster *c, ctl_decide_fn decide, const void *in, void *out, int16_t version,
                      int batches);

/* The same for what was submitted to c->w. */
void cluster_settle(struct cluster *c);

/* A new incarnation of a broker with one directory of its own; E_OK: its epoch is in the image. kept: it says that
 * nothing was lost. */
enum err cluster_register(struct cluster *c, int32_t id, const char *rack, bool kept);
/* A heartbeat of a broker that has caught up; what it wants is in `beat`, whose broker is filled in. */
struct BrokerHeartbeatResponse cluster_beat(struct cluster *c, int32_t id,
                                            struct BrokerHeartbeatRequest *beat);
void cluster_join(struct cluster *c, int32_t id, const char *rack); /* registers, unfences */
bool cluster_fence(struct cluster *c, int32_t id);
int16_t cluster_create(struct cluster *c, const char *name, int partitions, int factor);
/* One partition, on these brokers. */
void cluster_place(struct cluster *c, const char *name, int n, const int32_t *replicas);
void cluster_set(struct cluster *c, enum config_resource type, const char *resource, const char *name,
                 const char *value);
int16_t cluster_feature(struct cluster *c, const char *name, int level, int8_t type);

const struct record_partition *cluster_part(struct cluster *c, const char *topic, int32_t index);
/* "1 2 3/1 2 L1 E0" : replicas, ISR, leader, its epoch; then " elr 2", " last 1", " adding 3", " removing 1",
 * " recovering" where there are any. */
const char *cluster_text(struct cluster *c, const char *topic, int32_t index);
