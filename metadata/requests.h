/* Answers that are kept for requests that may come again. A broker that lost the answer of a request asks the next
 * controller by the same id: what was done then is answered as it was, and not done twice. The answer is committed with the
 * request's records, in one batch or one transaction, and is dropped when nobody can ask for it any more.
 *
 *     decide ─► records, REQUEST_DONE {id, at, keep, answer} …     at + keep has passed ─► REQUESTS_FORGET
 *                        one for each piece of the answer          too many bytes       ─► REQUESTS_FORGET, answers only
 *
 * Form:   an answer as the API's response, in pieces of REQUEST_PIECE_BYTES; of CreateTopics without the new topics' settings, which
 *         are most of it: they are told anew, from the request and the settings of brokers now.
 * Time:   the leader's own, which only runs while somebody leads: a new leader begins where the newest answer was given. So
 *         it is never ahead of what has passed, whatever becomes of the wall clock, and an answer is never dropped early.
 *         Who asks again does so for REQUEST_KEEP_MAX_MS at most.
 * Bounds: REQUESTS_MAX records; while there are so many, no request that must be kept is decided: it ends with
 *         E_REQUEST_TIMED_OUT and nothing was done. REQUESTS_BYTES_MAX bytes: above, the answers that would be dropped next
 *         go, not that they were given. So nothing is ever done twice; but one whose answer went, or was larger than
 *         REQUEST_ANSWER_MAX, is E_REQUEST_TIMED_OUT the second time.
 * Level:  weir.version 4. */
#pragma once
#include "metadata/controller.h"

enum {
    REQUESTS_MAX = 32768,
    REQUESTS_BYTES_MAX = 16 << 20,
    REQUEST_PIECE_BYTES = CTL_BATCH_BYTES / 8, /* so that a batch isn't much larger than it may be */
    REQUEST_ANSWER_MAX = REQUESTS_BYTES_MAX / 2,
    REQUEST_KEEP_MAX_MS = 600000,
    REQUESTS_FORGET_MAX = CTL_STEP_MAX /* with one record */
};

/* Does the tip say that this request was done before? Then r->out is its answer, but for what request_retell() adds;
 * E_REQUEST_TIMED_OUT: it was done, but what was answered isn't known, or there is no room for more. E_NOENT: it wasn't. */
enum err request_done_before(const struct image *tip, struct ctl_request *r);
/* Tells the rest of an answer that was kept, in steps like a decision, without records; NULL: it is whole. */
ctl_decide_fn request_retell(const struct ctl_request *r);
/* May this request's answer be kept? Decided on `tip`, with what the decision has written in `o`. */
bool request_keeps(const struct image *tip, const struct ctl_request *r, const struct ctl_out *o);
/* Puts the answer in r->out behind the records. */
void request_keep(const struct ctl_request *r, int64_t clock_ms, struct ctl_out *o);
/* The record that drops what is due, as much as one step may. false: nothing is. */
bool requests_due(const struct image *tip, int64_t clock_ms, struct meta_record *out);
/* Where the clock of a new leader begins. */
int64_t requests_clock(const struct image *tip);
