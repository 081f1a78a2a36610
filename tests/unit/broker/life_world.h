/* Three whole nodes that vote, each with its metadata below /meta, and a client at each of them. Node i, 0 to 2, is i + 1 of the
 * simulator. */
#pragma once
#include "broker/control.h"
#include "broker/control_internal.h"
#include "tests/check.h"
#include "tests/sim/client_wire.h"
#include "tests/sim/whole.h"

enum { N = 3, CLIENT = 9 };
static const int64_t A_MS = 1000000;

struct life {
    struct sim *sim;
    struct whole *v[N];
    struct io *client;
    struct wire wires[N];
    struct wire_ask asks[N];
    bool answered[N];
    int topics;
};

void life_init(struct life *w, uint64_t seed);
/* With more settings, "name=value". */
void life_init_with(struct life *w, uint64_t seed, const char *const *more, int n);
/* The same, but no setting says who votes: each directory was formatted with all three. */
void life_init_formatted(struct life *w, uint64_t seed);
/* Formats v's directory /meta with the voters 1 to n; v is down. */
void life_format(struct sim *sim, struct whole *v, int n);
void life_drop(struct life *w);
/* On the client's loop. */
void life_client_begin(struct loop *loop, void *arg);
void life_client_dial(struct loop *loop, void *arg);
void life_dial(struct life *w);
void life_run(struct life *w, int64_t ms);
/* How often node i told that. */
int64_t life_told(const struct life *w, int i, enum trace_id id);
/* -1: none. */
int life_leader(const struct life *w);
/* By a node whose disk is well. arg: the struct life */
bool life_led_elsewhere(void *arg);
/* A topic, asked of node i. */
void life_create_begin(struct life *w, int i);
/* arg: answered[i]. */
bool life_is_answered(void *arg);
/* It was, within that time. */
void life_created(struct life *w, int i, int64_t ms);
void life_deleted(struct life *w, int i, int topic);
/* The offset of node i's image. */
int64_t life_newest(const struct life *w, int i);
/* arg: the struct life */
bool life_all_alike(void *arg);
/* arg: the struct control */
bool life_runs_again(void *arg);
bool life_rests(void *arg);
bool life_is_back(void *arg);
