/* What brokers and controllers say to each other, as bytes on the wire, and what a controller says of a broker's end.
 *
 * Always: what a broker forwards names the client who asked and where it is, and each request has an id of its own, the same
 *         when it is sent again, by that broker alone;
 *         a controller fences a broker for its session no earlier than that time after it has answered its last heartbeat;
 *         it fences it for its end only if the process has ended, or was about to: a paused one hasn't.
 * Memory: its own heap. A disagreement ends the process by JUDGE(). */
#pragma once
#include "cluster_truth.h"

struct cwire;

struct cwire_seen {
    uint64_t forwarded, resent, heartbeats, fenced_by_evidence, fenced_by_session;
};

/* Who asks is at 10.0.0.<clients>, or the next. */
struct cwire *cwire_new(struct sim *s, int clients, int64_t session_ms, const struct truth *truth);
void cwire_drop(struct cwire *w);
void cwire_life(struct cwire *w, int node);   /* it begins one */
void cwire_ending(struct cwire *w, int node); /* it is told to stop, and its port may refuse from now on */
void cwire_line(struct cwire *w, int node, struct slice line);
void cwire_tap(void *wire, uint64_t conn, int from, int to, uint16_t port, bool dialler, struct slice bytes);
const struct cwire_seen *cwire_seen(const struct cwire *w);
