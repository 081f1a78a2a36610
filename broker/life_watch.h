/* What a controller knows of the brokers beside the image: when each was heard, whether a connection of its is open, what its
 * kernel says. Soft state: it lives in memory, and a new active controller has to find it out. A pure state machine over
 * metadata/life.h: what is seen goes in, what is to be done comes back by ops.
 *
 *   unfenced ──its last connection closed──► doubted: dialled at once and every 50 ms ──refused──► fenced
 *      ▲  └────── its session is over ─────────────────┬──────────────────────────────────────────► fenced
 *      └── accepted, or silent, for broker.fence.grace.ms: its session decides
 *
 * 1. Only the active controller doubts, dials or fences; what is open and heard is noted by each.
 * 2. Everything is known of one epoch of a broker; another epoch, and all of it is forgotten. Connections of one that the image
 *    doesn't have yet are counted for it when it comes.
 * 3. A new active controller takes all brokers for heard at that moment. It dials at once whose last connection here has closed,
 *    and after LIFE_DIAL_MS whoever never had one and was silent.
 * 4. A broker is dialled once at a time, fenced once at a time. One in this process isn't judged: who judges lives.
 * 5. A connection of a machine that lost its power stays open here until something is sent on it. So where another process
 *    registers on the disks of a broker that is connected, that one is asked whether it lives: its connections that are there for
 *    nothing else (link/presence.h) are ended here. Who lives dials again and says so; of whom nothing has come in
 *    LIFE_ANSWER_MS, that one stands in nobody's way. Each controller asks for itself; other disks wait for the session.
 * Loop:  the control loop. Ops run inside life_watch_look() alone, but for `ask`, in life_watch_registering().
 * Times: of one monotonic clock, in ms. */
#pragma once
#include "metadata/controller.h"
#include "metadata/life.h"

struct BrokerHeartbeatResponse;
struct life_watch;

struct life_watch_ops {
    void (*dial)(void *arg, const struct image_broker *b);
    /* life_watch_fenced() says what came of it. */
    void (*fence)(void *arg, int32_t id, int64_t epoch, const char *why);
    /* life_watch_closed() and, if it lives, _opened() and _beating() come of it. */
    void (*ask)(void *arg, int32_t id, int64_t epoch);
    void *arg;
};

struct life_watch *life_watch_new(struct heap *h, int32_t self, const struct life_rules *rules,
                                  const struct life_watch_ops *ops);
void life_watch_drop(struct life_watch *w);

/* The newest committed image: lent until the next. */
void life_watch_image(struct life_watch *w, const struct image *image);
void life_watch_lead(struct life_watch *w, bool leads, int64_t now_ms);
/* The broker of this process has got this epoch: it lives. */
void life_watch_self(struct life_watch *w, int64_t epoch);
/* A connection on which a broker has sent a heartbeat, once; and its end. */
void life_watch_opened(struct life_watch *w, int32_t id, int64_t epoch);
void life_watch_closed(struct life_watch *w, int32_t id, int64_t epoch, int64_t now_ms);
void life_watch_dialled(struct life_watch *w, int32_t id, int64_t epoch, bool refused, int64_t now_ms);
void life_watch_fenced(struct life_watch *w, int32_t id);
/* Judges all. Returns when to look again if nothing else happens; INT64_MAX: never. */
int64_t life_watch_look(struct life_watch *w, int64_t now_ms);

/* What goes with a request into its decision, and what is learned from the heartbeat's answer. */
void life_watch_registering(struct life_watch *w, struct broker_registration *r, int64_t now_ms);
void life_watch_beating(struct life_watch *w, struct broker_heartbeat *b, int64_t now_ms);
void life_watch_beaten(struct life_watch *w, const struct broker_heartbeat *b,
                       const struct BrokerHeartbeatResponse *out, int64_t after);
