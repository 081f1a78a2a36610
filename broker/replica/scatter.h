/* One request, many partitions, several DISK loops: takes a request's partitions to the loops that own them and comes
 * back to its NET loop when all have answered.
 *
 *   NET: scatter_add() per partition → scatter_go() ─► DISK: visit(lane), once a loop ─► lane_answer() ─► NET: done()
 *
 * Loop:   scatter_*() on the request's NET loop; visit() and lane_answer() on the lane's DISK loop.
 * Memory: all from the request's arena; items are embedded in the handler's own structs and lent until done().
 * Order:  two scatters of one connection reach a partition in the order of their scatter_go(), also while it moves to
 *         another loop (move.h); items of a lane keep the order in which they were added. done() runs once a scatter_go(), never inside it. */
#pragma once
#include "broker/node.h"
#include "broker/request.h"

struct scatter_item {
    struct scatter_item *next; /* of its lane */
    struct uuid topic_id;
    int32_t partition;
    uint32_t key; /* of the loop that owns it (disk_key) */
    enum err err; /* the visit's verdict on this partition */
};

struct lane {
    struct msg msg;
    struct scatter *scatter;
    struct disk_loop *disk;
    struct scatter_item *first;
    struct scatter_item *last;
    bool owing;         /* is visited by the next scatter_go() though it has no items */
    struct list commit; /* while it waits for a move (move.h) or for a flush (manager.h) … */
    void (*committed)(struct lane *lane);
    void *state; /* the visit's own */
};

struct scatter {
    struct request *request;
    void (*visit)(struct lane *lane); /* must lead to one lane_answer(), at once or later */
    void (*done)(struct scatter *s);
    struct lane *lanes; /* one a DISK loop; those without items are not visited */
    int n_lanes;
    uint32_t generation; /* of the table by which its items found their lanes */
    bool all;            /* scatter_go_all() */
    int pending;         /* lanes out */
    struct msg empty;    /* brings done() about when there was nothing to visit */
    void *state;         /* the handler's own */
};

struct scatter *scatter_new(struct request *r, void (*visit)(struct lane *), void (*done)(struct scatter *));
void scatter_aim(struct scatter_item *item, const struct image_topic *topic); /* its partition is set */
void scatter_add(struct scatter *s, struct scatter_item *item);               /* aimed */
/* May be called again once done() has run: after a wait scatter_renew() first. */
void scatter_go(struct scatter *s);
/* true: partitions belong to other loops than before, so every item is to be added again. Lanes stay and keep their state;
 * there may be more of them. Where a lane has left something on its loop that a visit must end, `owing` is set then. */
bool scatter_renew(struct scatter *s);
void scatter_go_all(struct scatter *s); /* to every loop, items or not */
void lane_answer(struct lane *lane);
