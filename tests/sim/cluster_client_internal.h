/* What the clients of a cluster share: cluster_client.c asks, cluster_answers.c judges. */
#pragma once
#include "client_wire.h"
#include "cluster_client.h"

enum { ASKERS = 4, OWNED_MAX = 400, PARTS_START_MAX = 3, CREATE_VERSION = 7, SETTING_TOPIC = 2 };

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
    QUESTIONS
};

enum ownership { OWN_MAYBE, OWN_SURE, OWN_LEAVING, OWN_GONE };

struct owned {
    enum ownership is;
    struct uuid id;
    int parts; /* at least */
    bool growing;
};

struct asker {
    struct cclients *c;
    int number;
    struct wire wire;
    struct timer again, tick;
    struct wire_ask ask;
    int broker; /* that it is connected to */
    enum question question;
    int at; /* the topic that it is about */
    char value[24];
    int64_t knows; /* an offset whose state this connection has shown */
    struct owned owned[OWNED_MAX];
    int n_owned;
    uint32_t to_ask, to_see; /* brokers, as bits: the goal */
};

struct cclients {
    struct sim *s;
    struct io *io;
    struct loop *loop;
    int node, n_brokers;
    uint32_t brokers;
    struct cbook *book;
    struct asker askers[ASKERS];
    struct cclients_tally tally;
    int64_t values; /* given out */
    bool to_goal;
    struct msg start;
};

void owned_name(const struct asker *a, int i, char name[TRUTH_NAME]);
void asker_answered(struct asker *a); /* judges a->ask */
