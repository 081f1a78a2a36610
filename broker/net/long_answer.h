/* Long answers: the one array of a response that may hold thousands of elements is encoded in steps, between which the
 * loop does other things, and may be shared by all who ask the same of one image.
 *
 *   handler ─ request_reply_long() ─► waits for its turn ─► begin() ─► step() … step() ─► encoded around it ─► sent
 *                                     (first of its            │         └ paused while there is no memory
 *                                      connection, then        └─────── kept from the last one who asked: no step
 *                                      in order of arrival)
 *
 * Loop:   the request's. A callback runs about as many steps as take half a millisecond.
 * Memory: what is encoded lies in pages. All but the first are taken from the budget for frames before they are filled, and
 *         given back when the last answer that shares them is written. One answer a loop may go beyond, so that each goes
 *         on; one alone is built at a time. Who doesn't read an
 *         answer that is counted loses its connection when others wait for memory. Which image and settings begin() saw stay as they are until the last step.
 *         A loop keeps the newest shared one, up to LONG_KEPT_BYTES, while its image is in force: that isn't counted.
 * Order:  as of all answers. No request behind it in its connection is answered at length before it is.
 * Small:  request_reply() does the same for an answer with many elements that a handler has put into r->out.
 * Ends:   if the connection closes, step() isn't called again: what a state holds must lie in the request's arena. */
#pragma once
#include "broker/request.h"
#include "metadata/image.h"

struct long_answer;

struct long_plan {
    void *array; /* the field of r->out that gets the elements: &out->topics */
    /* Adds one small piece (a partition, a topic without its partitions), or nothing; false: that was the end. */
    bool (*step)(struct long_answer *a, struct request *r, void *state);
    void *state;
    bool
        shared; /* others of this API, version, listener and principal with the same flags get the same elements */
    uint32_t flags;
};

/* In place of request_reply(), and like it the last touch. begin() runs when it is the request's turn, maybe at once: it
 * fills r->out but for the array. */
void request_reply_long(struct request *r, void (*begin)(struct request *r, struct long_plan *plan));

/* ---- for step() ---- */

/* An element. */
void long_add(struct long_answer *a, const struct proto_type *t, const void *msg);
/* An element whose own array of elements comes one by one: it has v == PROTO_ELSEWHERE and n. long_add() adds to that one
 * until long_close(). */
void long_open(struct long_answer *a, const struct proto_type *t, const void *msg);
void long_close(struct long_answer *a);
/* This step costs as much as so many usual ones, each a microsecond at most. */
void long_work(struct long_answer *a, int steps);
struct arena *long_scratch(struct long_answer *a); /* empty at each step */
size_t long_bytes(const struct long_answer *a);    /* so far */
