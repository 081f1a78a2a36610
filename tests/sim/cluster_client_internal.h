/* What the clients of a cluster share: cluster_client.c asks, cluster_answers.c judges; cluster_more.c does both for what isn't
 * about topics alone. */
#pragma once
#include "client_wire.h"
#include "cluster_client.h"

enum {
    TIMEOUT_MS = 4000,
    ASKERS = 4,
    DIRECTS = 2,
    ALL_ASKERS = ASKERS + DIRECTS,
    OWNED_MAX = 400,
    OWNED_SURE = 8,
    PARTS_START_MAX = 3,
    CREATE_VERSION = 7,
    SETTING_TOPIC = 2
};

enum question {
    ASK_CREATE,
    ASK_CREATE_AGAIN, /* what is there: refused */
    ASK_CREATE_GONE,  /* what was deleted, to look only: not refused */
    ASK_DELETE,
    ASK_DELETE_GONE,
    ASK_GROW,
    ASK_SETTING,
    ASK_DESCRIBE,
    ASK_METADATA,
    ASK_CLUSTER,
    ASK_ELECT,
    ASK_MOVE, /* a reassignment, or the end of one */
    ASK_FEATURE,
    ASK_UNREGISTER,
    ASK_ISR,        /* as the leader would, who has none yet that follow it */
    ASK_STALE_BEAT, /* a heartbeat in an epoch that isn't the broker's */
    QUESTIONS
};

enum ownership { OWN_MAYBE, OWN_SURE, OWN_LEAVING, OWN_GONE };

struct owned {
    enum ownership is;
    struct uuid id;
    int parts; /* at least */
    bool growing;
    /* It was to be made again, and nobody has said no yet. Who gave that up doesn't know how long it lies in a socket, of a
     * broker that is paused or about to start: it would be right to make a topic that is gone by then. */
    bool asked_again;
};

struct asker {
    struct cclients *c;
    int number;
    struct wire wire;
    struct timer again, tick;
    struct wire_ask ask;
    bool direct;    /* asks controllers, of whom only the active one does what it is asked */
    bool elsewhere; /* it was told so */
    int broker;     /* that it is connected to: a node */
    enum question question;
    int at; /* the topic that it is about */
    bool only_look;
    char value[24];
    int64_t since; /* what had committed when it asked */
    int part, target;
    uint32_t targets;
    int64_t knows; /* an offset whose state this connection has shown */
    struct owned owned[OWNED_MAX];
    int n_owned;
    uint32_t to_ask, to_see; /* brokers, as bits: the goal */
};

struct cclients {
    struct sim *s;
    struct io *io;
    struct loop *loop;
    int node, n_brokers, voters;
    int spared; /* 0: nobody is */
    uint32_t brokers;
    struct cbook *book;
    struct asker askers[ALL_ASKERS];
    struct cclients_tally tally;
    int64_t values; /* given out */
    bool to_goal;
    struct msg start;
};

void owned_name(const struct asker *a, int i, char name[TRUTH_NAME]);
void asker_ask(struct asker *a, enum question q, int version, const void *in);
bool asker_pick(struct asker *a, enum ownership is); /* one of its topics in that state, into a->at */
/* false: it wasn't done, or nobody knows. Whatever the question, a broker forwards it. */
bool asker_went_well(struct asker *a, int16_t code);
void asker_unknown(struct asker *a, int16_t code, enum err also); /* nothing else may be answered */
/* One of the questions from ASK_ELECT on, or none. */
void asker_ask_more(struct asker *a);
void asker_judge_more(struct asker *a);
void asker_answered(struct asker *a); /* judges a->ask */
