/* This node as a member of its cluster: its broker's session (session.h), and what its controller says of itself, asked of the
 * active controller wherever that is. Where this node leads, it asks itself.
 * Loop:   the control loop calls and is called; never inside a call of control.h.
 * Order:  new → begin → ready → [leave → left] → stop → drop. */
#pragma once
#include "broker/control.h"

struct BrokerRegistrationRequest;
struct ControllerRegistrationRequest;
struct member;

struct member_ops {
    /* This broker is registered with another epoch than before. */
    void (*joined)(void *arg, int64_t broker_epoch);
    /* Once: unfenced, and every loop has got the image that says so: clients may come. */
    void (*ready)(void *arg);
    void (*left)(void *arg); /* after member_leave(): the others have taken over what there was */
    void (*failed)(void *arg, enum err err, const char *what);
    void *arg;
};

struct member *member_new(struct node *node, struct loop *control, const struct member_ops *ops);
/* The listeners are open. What the requests point to is lent until the end. NULL: this node isn't one. */
void member_begin(struct member *m, const struct BrokerRegistrationRequest *broker,
                  const struct ControllerRegistrationRequest *controller);
void member_image(struct member *m, const struct image *image); /* published to every loop */
void member_leader(struct member *m, bool local);
/* Nobody can come to lead, as it seems, or somebody can again: who leaves doesn't wait then. */
void member_deserted(struct member *m, bool deserted);
void member_leave(struct member *m);
/* Asks nothing more; what is under way ends with control_end_waits(). */
void member_stop(struct member *m);
void member_drop(struct member *m);
