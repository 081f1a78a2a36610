/* One partition changes: who is in sync, who leads, who may lead later. Every decision that touches a partition
 * comes through here, so the rules of election stand in one place (KIP-966 and KIP-455 as Kafka keeps them).
 *
 *   changer_init ─► changer_topic ─► changer_open ─► the targets in `struct change` ─► changer_put: a record, or none
 *
 * A replica may lead if it is in the ISR, or in the ELR when the ISR is empty, and its broker is active and has the
 * directory online. Who leads goes on leading as long as it may. An unclean election, allowed by the request or by
 * unclean.leader.election.enable, takes any active replica, makes it the whole ISR and marks the partition as
 * recovering.
 *
 * Memory: lists in records are lent by the tip, the request or the decision's work arena.
 * Always: after changer_put() ISR and ELR lie within the replicas and share nobody; the leader is in the ISR, or -1. */
#pragma once
#include "base/map.h"
#include "metadata/decide.h"
#include "metadata/walk.h"

enum { NOBODY = -1 };

/* What a decision knows better than the tip, and what it has done already. */
struct changer {
    const struct image *tip;
    struct ctl_out *out;
    int32_t removed; /* leaves every ISR and may lead nothing, whatever the tip says of it */
    int32_t added;   /* may lead although the tip has it fenced */
    int32_t unclean; /* lost what it had: leaves ISR and ELR */
    enum {
        ALONE_AS_OTHERS,
        ALONE_STAYS,    /* a walk leaves partitions alone that have one replica … */
        ALONE_NEW_EPOCH /* … and its leader stays, in a new epoch */
    } alone;
    bool elr;        /* eligible.leader.replicas.version is on */
    bool remembers;  /* changes of this decision are seen by its later ones */
    struct map seen; /* … topic and number -> struct seen */
    const struct image_topic *topic;
    int min_isr;   /* of that topic, at most its replication factor */
    bool may_lose; /* unclean.leader.election.enable of that topic */
};

enum election { ELECT_ONLINE, ELECT_PREFERRED, ELECT_UNCLEAN };

/* Targets; what is left alone stays as it was. */
struct change {
    struct record_partition old;
    enum election election; /* ELECT_UNCLEAN if the topic allows it, else ELECT_ONLINE */
    struct ids replicas;
    struct ids isr;
    struct ids removing;
    struct ids adding;
    bool recovering;
    int32_t dir_broker; /* NOBODY, or whose replica lies in `dir` now */
    struct uuid dir;
    struct record_partition now; /* by changer_put() */
};

/* remembers: a request may name a partition twice, or the decision goes over partitions twice. */
void changer_init(struct changer *c, const struct image *tip, struct ctl_out *o, bool remembers);
void changer_end(struct changer *c);
void changer_topic(struct changer *c, const struct image_topic *t);
bool changer_open(struct changer *c, int32_t index, struct change *ch); /* false: no such partition */
/* Completes a reassignment that can be, elects, emits. false: there was nothing to change. */
bool changer_put(struct changer *c, struct change *ch);

/* Takes c->removed and c->unclean out of ISR and ELR and elects, in every partition of every topic that … */
enum change_walk {
    WALK_ISR = 1,      /* … has them in its ISR or ELR, or a leader among them */
    WALK_NO_LEADER = 2 /* … has no leader */
};
/* In steps: false: return, and go on here when the decision is called again. */
bool changer_walk(struct changer *c, struct walk *w, enum change_walk what);
/* … keeps the replica of c->removed in one of these directories. */
bool changer_walk_dirs(struct changer *c, struct walk *w, struct uuids dirs);

bool ids_equal(struct ids a, struct ids b);
struct ids ids_without(struct ctl_out *o, struct ids from, struct ids gone);
struct ids ids_copy(struct arena *a, struct ids v);

/* A broker's directory as partitions name it: of a broker with one it is known, else the broker tells. */
extern const struct uuid DIR_UNASSIGNED;
struct uuid directory_for(const struct image *tip, int32_t broker);
bool directory_reserved(const struct uuid *u); /* Kafka keeps the first hundred ids */
bool directory_online(const struct image_broker *b, struct uuid dir);

/* A topic's setting as the controller sees it: the topic's own, this node's, the brokers' default, the file's. */
struct slice topic_setting(const struct image *tip, const struct ctl_rules *rules, struct slice topic,
                           const char *name);
