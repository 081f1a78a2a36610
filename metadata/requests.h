/* Answers that are kept for requests that may come again. A broker that lost the answer of a request asks the next
 * controller by the same id: what was done then is answered as it was, and not done twice. The answer is committed with the
 * request's records, in their last batch, and is dropped when nobody can ask for it any more.
 *
 *     decide ─► records, REQUEST_DONE {id, at, keep, answer}        … at + keep has passed ─► REQUESTS_FORGET
 *
 * Time:   the leader's own, which only runs while somebody leads: a new leader begins where the newest answer was given. So
 *         it is never ahead of what has passed, whatever becomes of the wall clock, and an answer is never dropped early.
 * Bounds: REQUESTS_MAX answers, REQUESTS_BYTES_MAX bytes; above either the ones that would be dropped next are dropped.
 * Level:  weir.version 4. */
#pragma once
#include "metadata/controller.h"

enum {
    REQUESTS_MAX = 4096,
    REQUESTS_BYTES_MAX = 16 << 20,
    REQUEST_ANSWER_MAX =
        CTL_BATCH_BYTES /
        2, /* a larger one isn't kept, but that it was given is: it is in one batch with the records */
    REQUEST_RETOLD_MAX = 4096,    /* a larger one of a decision that can tell it again isn't kept at all */
    REQUEST_KEEP_MAX_MS = 600000, /* longer than that nobody waits */
    REQUESTS_FORGET_MAX = CTL_STEP_MAX /* with one record */
};

/* Does the tip say that this request was done before? Then r->out is its answer; E_REQUEST_TIMED_OUT: it was done, but what
 * was answered isn't known. E_NOENT: it wasn't. */
enum err request_done_before(const struct image *tip, struct ctl_request *r);
/* May this request's answer be kept? Decided on `tip`, with what the decision has written in `o`. */
bool request_keeps(const struct image *tip, const struct ctl_request *r, const struct ctl_out *o);
/* Puts the answer in r->out behind the records. */
void request_keep(const struct ctl_request *r, int64_t clock_ms, struct ctl_out *o);
/* The record that drops what is due, as much as one step may. false: nothing is. */
bool requests_due(const struct image *tip, int64_t clock_ms, struct meta_record *out);
/* Where the clock of a new leader begins. */
int64_t requests_clock(const struct image *tip);
