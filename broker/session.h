/* A broker's session with the active controller, as a pure state machine: events in, effects out; no clock, no memory.
 *
 *     IDLE ──begin──► JOINING ──registered──► FENCED ◄──the controller says──► ACTIVE
 *                        ▲  │                    │                               │ leave
 *       its epoch is     │  │ refused for good   │ leave                         ▼
 *       another's now    │  ▼                    ▼        may go; or nobody    LEAVING
 *       └────────────────┘ FAILED              LEFT ◄──── answers, or it has ────┘
 *                                                         taken too long
 * 1. At most one request is under way; what comes up meanwhile is asked right after it.
 * 2. A heartbeat carries the epoch of the registration that was answered last.
 * 3. `ready` is told once: when an image says that this broker, in this epoch, isn't fenced.
 * 4. Where this node leads it is its own controller, which needs no heartbeat of a broker in its own process: it beats
 *    only until it is ACTIVE, while it leaves, and when the image says that it isn't unfenced after all: the leader before
 *    fenced it, or somebody has unregistered it.
 * 5. A session that waits for nothing but time has a tick; one that failed or left has none.
 * 6. Who leaves waits for nobody where the processes of so many voters have ended that nobody can come to lead.
 * Times are of one monotonic clock, in ms. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    SESSION_RETRY_MS = 50, /* after a refusal or no answer; doubled up to */
    SESSION_RETRY_MAX_MS = 2000,
    SESSION_LEAVE_POLL_MS = 100,
    SESSION_LEAVE_SILENCE_MS = 3000, /* nobody answers: a quorum that stops as a whole isn't waited for */
    SESSION_LEAVE_MAX_MS = 60000,
};
#define SESSION_NEVER INT64_MAX

enum session_state {
    SESSION_IDLE,
    SESSION_JOINING,
    SESSION_FENCED,
    SESSION_ACTIVE,
    SESSION_LEAVING,
    SESSION_LEFT,
    SESSION_FAILED
};

struct session {
    enum session_state state;
    int64_t heartbeat_ms;    /* broker.heartbeat.interval.ms */
    int64_t registration_ms; /* initial.broker.registration.timeout.ms */
    int64_t epoch;           /* -1: none yet */
    bool local;              /* this node leads */
    bool asking;             /* a request is under way */
    bool again;              /* and another is due after it */
    bool ready;              /* was told */
    bool unfenced;           /* the image here says so */
    bool deserted;           /* nobody can come to lead: who leaves waits for no answer */
    bool leaver;             /* another broker leaves: it waits for what this one's heartbeats say */
    int tries;               /* without success, in a row */
    int64_t offset;          /* of the image here */
    int64_t due_ms;          /* of the next request; SESSION_NEVER */
    int64_t since_ms;        /* it joins, or leaves, since */
    int64_t heard_ms;        /* the last answer */
};

enum session_event_type {
    SESSION_BEGIN,
    SESSION_REGISTERED, /* err, epoch */
    SESSION_BEATEN,     /* err, fenced, may_go */
    SESSION_IMAGE,      /* offset, unfenced, leaver */
    SESSION_LEADER,     /* local: another node, or this one, leads now */
    SESSION_LEAVE,      /* alone */
    SESSION_DESERTED,   /* deserted */
    SESSION_TICK
};

struct session_event {
    enum session_event_type type;
    int64_t now_ms;
    enum err err;
    int64_t epoch;
    bool fenced;
    bool may_go; /* ShouldShutDown */
    int64_t offset;
    bool unfenced; /* this broker, in session.epoch, is so in the image */
    bool leaver;   /* another broker leaves, and waits until this one has seen what that changed */
    bool local;
    bool deserted;
    bool alone; /* there is no other broker that could take over anything */
};

struct session_effects {
    bool join;     /* ask: BrokerRegistration, after which epoch comes */
    bool beat;     /* ask: BrokerHeartbeat */
    bool want_out; /* with WantShutDown */
    bool ready;
    bool left;
    enum err failed;
    int64_t tick_ms; /* an absolute time; SESSION_NEVER */
};

void session_init(struct session *s, int64_t heartbeat_ms, int64_t registration_ms);
void session_step(struct session *s, const struct session_event *ev, struct session_effects *fx);
