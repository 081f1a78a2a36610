/* What the scenario `cluster` is made of: cluster_shape.c draws who there is, cluster_chaos.c is what befalls them,
 * scenario_cluster.c tells the story. */
#pragma once
#include "client_node.h"
#include "cluster_client.h"
#include "cluster_wire.h"
#include "whole.h"

enum { NODES_MAX = 13, CLIENTS = 20, RECORDS };

struct world {
    struct sim *s;
    int voters, n;    /* nodes 1 .. voters vote; the others, up to n, are brokers outside */
    uint32_t brokers; /* as bits */
    struct whole *nodes[NODES_MAX + 1];
    bool stopping[NODES_MAX + 1];
    bool
        errors; /* disks fail, and then the power doesn't: what a sync had failed on may be in the page cache for
                  * ever, where a new process finds it and can't tell */
    bool calm;
    int64_t settled_ns; /* before that what was calmed still shows */
    int64_t session_ms;
    struct cbook *book;
    struct cwire *wire;
    struct cclients *clients;
    struct clients *records; /* at partitions with one replica, on one broker; NULL: nobody is */
    int keeper;              /* that broker */
};

/* Three or five voters; brokers among them, or apart, up to eight, or both. Nobody runs. */
void cworld_shape(struct world *w);

/* In some worlds. */
void cworld_records(struct world *w);
void cworld_records_judge(struct world *w, int i, bool power); /* it is down */
void cworld_records_clock(struct world *w, int i);             /* its wall clock has jumped */

void cworld_start(struct world *w, int i); /* if it is down */
void cworld_stop(struct world *w, int i);  /* in order, if it is up */
void cworld_crash(struct world *w, int i, enum sim_crash how);
/* Whether it is down, by itself or by what it was armed with; judged then. */
bool cworld_down(struct world *w, int i);
void cworld_chaos(struct world *w);     /* one thing */
void cworld_calm_some(struct world *w); /* some of what is broken is mended */
void cworld_heal(struct world *w);      /* all of it, and everybody starts */
