/* The versions of forwarded APIs that the active controller has: ApiVersions announces on clients' listeners those that this
 * node shares with it (api/api_versions.c), and takes no others (forward_shared): those are UNSUPPORTED_VERSION at once.
 *
 *   net[0]: a connection of uplink or presence is ready ──came──► control loop: a book of controllers ◄──leads── who leads
 *                                                                    │
 *   every NET loop: net_loop.controller ◄──────── a copy each ───────┘
 *
 * Learns: from the ApiVersions with which each connection begins anyway; no call is made for it.
 * Says:   our own while nothing is known and where this node leads. Where nobody leads, or one whose versions aren't known yet,
 *         what was said before holds.
 * Memory: LEADER_APIS_BOOK controllers, the oldest forgotten first; one message for each NET loop and change, freed there. */
#pragma once
#include "base/io.h"

struct ApiVersionsResponse;
struct node;
struct leader_apis;

enum { LEADER_APIS_MAX = 24 /* forwarded APIs */, LEADER_APIS_BOOK = 32 };

struct api_range {
    int16_t key, min, max;
};

/* A value: each loop has its own. */
struct api_ranges {
    bool known; /* false: ours alone count */
    int n;
    struct api_range v[LEADER_APIS_MAX];
};

/* Before there are NET loops. */
struct leader_apis *leader_apis_new(struct node *node, struct loop *control);
/* client_options.ready, on net[0]; arg: the struct leader_apis. */
void leader_apis_came(void *arg, int32_t controller, const struct ApiVersionsResponse *has);
/* On the control loop; -1: nobody is known to lead. */
void leader_apis_leads(struct leader_apis *r, int32_t leader);
/* NET loops hear of nothing more: before the first of them stops. */
void leader_apis_end(struct leader_apis *r);
void leader_apis_drop(struct leader_apis *r); /* they have stopped */

/* Any loop. Narrows [min, max] to what the controller has, too; false: nothing of it. */
bool leader_apis_share(const struct api_ranges *c, int16_t key, int16_t *min, int16_t *max);
