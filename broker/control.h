/* The control loop: the one place that decides metadata and publishes images.
 * Loop:  control_*() calls named for a request run on its NET loop; everything inside runs on the control loop.
 * Order: a request is decided on the newest tip in order of arrival and answered when what it saw has committed. */
#pragma once
#include "broker/node.h"
#include "broker/request.h"
#include "metadata/controller.h"

/* Has the controller decide the request by `decide` into r->out, and replies on the NET loop when it holds.
 * On E_NOT_CONTROLLER and the like `failed` fills r->out instead (NULL: the connection is closed). */
void control_request(struct request *r, ctl_decide_fn decide, void (*failed)(struct request *r, enum err err));

/* The same, but `done` runs on the NET loop in place of the reply: for decisions inside larger requests (automatic topic
 * creation, producer id blocks). `in` and `out` are lent. */
struct control_call {
    struct msg msg;
    struct node *node;
    struct loop *back;
    ctl_decide_fn decide;
    const void *in;
    void *out;
    struct arena *arena;
    struct ctl_request ctl;
    enum err err;
    void (*done)(struct control_call *c);
    void *arg;
};
void control_call(struct control_call *c);
