/* A voter as a program of straight lines sees it: quorum and controller on a control loop of their own, as in broker/control.c,
 * without a broker around them. The program is a thread of its own and waits for what it asks.
 *
 * What the control loop's callbacks took is noted: wall time of those that the loop itself calls too long (trace row
 * loop_stalled, 2 ms), and CPU time of the controller's turns, which other work on the machine doesn't lengthen. */
#pragma once
#include "metadata/controller.h"
#include "proto_gen.h"
#include "quorum/quorum.h"
#include <semaphore.h>

/* Runs `body` beside the loops; returns when both have ended. */
void node_run(const char *dir, void (*body)(void));

struct io *node_io(void);
void node_start(void); /* until it leads */
void node_stop(void);
struct quorum_view node_view(void);

/* One decision; returns when its records have committed and the reply is there. */
void node_ask(ctl_decide_fn decide, const void *in, void *out, int16_t version, struct arena *a);
/* The same in two halves: several at once. What it points to is lent until node_wait(). */
struct node_ask {
    struct ctl_request req;
    struct msg msg;
    sem_t done;
    bool busy;
};
void node_submit(struct node_ask *a, ctl_decide_fn decide, const void *in, void *out, int16_t version,
                 struct arena *arena);
void node_wait(struct node_ask *a);
void node_settle(void); /* nothing lies in the grave */

const struct image *node_image(void); /* counted */
void node_image_drop(const struct image *i);
void node_snapshot_begin(void); /* when one that is under way has ended */
bool node_snapshot_over(void);

/* Of the control loop, since the last node_clear(). */
struct node_pauses {
    int64_t longest_us; /* 0: none of 2 ms */
    char what[64];
    int count;
    int64_t turn_us; /* CPU of the longest turn: one step of deciding, filling, proposing */
    int64_t grave_us;
};
void node_clear(void);
struct node_pauses node_pauses(void);
void node_name_pause(
    struct node_pauses *p); /* `what` is an address until then: looking it up takes a process */
