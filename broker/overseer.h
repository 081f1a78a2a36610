/* What the active controller does by itself: it fences brokers that are dead (life_watch.h), gives preferred leaders back what
 * they should lead (auto.leader.rebalance.enable), elects uncleanly where a topic would have it so, and, once when it has begun to
 * lead, wherever the controller before it ended between the steps of a fencing.
 * Loop:   the control loop calls and is called. `submit` may be called inside any of these.
 * Memory: the image is lent until the next. */
#pragma once
#include "broker/control.h"

struct overseer;

struct overseer_ops {
    void (*submit)(void *arg, struct ctl_request *r);
    void *arg;
};

struct overseer *overseer_new(struct node *node, struct loop *control, const struct overseer_ops *ops);
void overseer_open(struct overseer *o, struct net_loop *net); /* brokers can be dialled */
void overseer_image(struct overseer *o, const struct image *image);
void overseer_lead(struct overseer *o, bool leads);
/* The broker of this process is registered with that epoch. */
void overseer_self(struct overseer *o, int64_t epoch);
/* A call is decided next: what is known of its broker goes into `in`. */
void overseer_before(struct overseer *o, const struct control_call *call);
/* It was decided. */
void overseer_after(struct overseer *o, const struct control_call *call);
/* Nothing more is begun; `ended` is posted when nothing is left on other loops. */
void overseer_end(struct overseer *o, struct msg *ended);
void overseer_drop(struct overseer *o);

/* A heartbeat came in by this request, on its NET loop: its connection is one of that broker's, until it ends. `alone`: it is
 * there for nothing else, so it may be ended to see whether somebody dials again. */
void liveness_note(struct request *r, int32_t broker, int64_t epoch, bool alone);
