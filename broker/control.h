/* The control loop: the one place that decides metadata and publishes images.
 * Loop:   control_request() and control_call() on a NET loop; `done` comes back there. The rest on the control loop.
 * Else:   where another node leads, or comes to, what clients and this broker ask goes there (link/forward.h), until the
 *         time of the request is over: clients of any broker may ask for anything and see no election.
 * Lacks:  what a client asks in a version that the active controller hasn't got ends with E_UNSUPPORTED_VERSION, in the answer of
 *         its own API: at once where this node knows, else when that controller says so. (Kafka's broker closes the client's
 *         connection then, so that it asks for the versions again.)
 * Ends:   a request that can't be answered in its time, because a full disk holds up the log, ends with
 *         E_REQUEST_TIMED_OUT: so what waits here is bounded by what is admitted, and ends even if the disk stays full.
 *         Clients of a broker that stops get no answer but the end of their connection: that one is asked elsewhere.
 * Full:   while the metadata log lives on its reserve (log/reserve.h), what may free room is decided, deletions and
 *         settings; the rest waits, in order, until there is room or its time is over.
 * Lives:  the quorum underneath may end and begin again (control_life.c). Meanwhile images stay published, nothing is led, what
 *         is asked goes to who leads elsewhere, and no image is published after that is older than one before.
 * Order:  requests are decided on the newest tip in order of arrival and answered when what they saw has committed.
 *         An image is published to every DISK loop before any NET loop, so whoever hears of a topic finds it.
 * Shown:  who is answered at a broker that something was done finds it at that broker from then on, on any connection,
 *         wherever it was decided (control_shown.c). */
#pragma once
#include "broker/link/uplink.h"
#include "broker/node.h"
#include "broker/request.h"
#include "metadata/controller.h"
#include "quorum/formatted.h"
#include "quorum/quorum.h"

/* Has the controller decide the request by `decide` into r->out, and replies on the NET loop when it holds. When
 * no controller could be asked, `failed` fills r->out instead. */
void control_request(struct request *r, ctl_decide_fn decide,
                     void (*failed)(struct request *r, enum err err));
/* By another `in`, which has what else the decision must know; from r's arena. */
void control_request_in(struct request *r, ctl_decide_fn decide, const void *in,
                        void (*failed)(struct request *r, enum err err));

/* The same with a `done` of its own in place of the reply: for decisions inside larger requests (automatic topic
 * creation, producer id blocks). in, out and arena are lent until then. */
struct control_call {
    struct msg msg;
    struct node *node;
    struct loop *back;
    struct request *request; /* whose wish it is; NULL: this broker's own */
    ctl_decide_fn decide;
    const void *in;
    void *out;
    int16_t version;
    int32_t timeout_ms; /* 0 or less: 30 s */
    struct arena *arena;
    struct ctl_request ctl;
    struct uplink_call up;
    struct uuid id;   /* the same wherever it is decided, and however often */
    bool comes_again; /* a broker sent it, and does so again */
    struct addr peer; /* the request's, whose connection may end meanwhile */
    struct principal principal;
    struct timer timer;
    int64_t deadline;
    struct quorum_confirm confirm;
    /* What is to be done where it was decided, on the control loop, before it is answered: it ends by control_call_end(),
     * with E_NOT_CONTROLLER if another node must be asked. NULL: nothing. */
    void (*here)(struct control_call *c);
    bool (*wants)(const struct control_call *c); /* is there such a thing to do? NULL: always */
    bool held;                                   /* needs room on a disk that has none */
    int64_t shown_from;                          /* as struct request's, whoever has decided it */
    bool (*shows)(
        const struct control_call *c); /* … and does this node, what isn't in images? NULL: all is */
    enum err err; /* E_REQUEST_TIMED_OUT: it may still come to be; E_NOT_CONTROLLER; E_UNSUPPORTED_VERSION */
    void (*done)(struct control_call *c);
    void *arg;
};
void control_call(struct control_call *c);
void control_call_end(struct control_call *c, enum err err);
/* One for a client's wish: answered into r->out on r's loop. */
struct control_call control_call_of(struct request *r, ctl_decide_fn decide, const void *in,
                                    void (*done)(struct control_call *c), void *arg);

struct overseer;

struct control_settings {
    struct loop *loop;
    struct uuid metadata_dir_id;
    int16_t metadata_version; /* with which a new cluster begins: bootstrap.h */
    /* … and which voters, where controller.quorum.voters says nothing; lent. Unread: it is read again, and waited for. */
    const struct formatted *formatted;
    const struct config *config; /* as started */
};
struct control_ops {
    void (*loaded)(void *arg,
                   const struct image *image); /* what the log led to, before anything is published */
    void (*leader)(void *arg, bool self);      /* another node leads now, or this one; or none */
    /* So many voters' processes have ended that nobody can come to lead; or no more. A broker alone knows it by its own
     * dials (link/presence.h). */
    void (*deserted)(void *arg, bool is);
    void (*published)(void *arg, const struct image *image); /* to every loop: lent for the call */
    void (*configured)(void *arg,
                       const struct config *config); /* published with an image: lent for the call */
    void (*failed)(void *arg, enum err err, const char *what);
    void *arg;
};
/* On its loop; the callbacks run there. */
struct control *control_start(struct node *node, const struct control_settings *settings,
                              const struct control_ops *ops);
/* A loop that wants images, DISK or NET: those of the first kind are told before. One that comes late gets the newest at
 * once. */
void control_slot(struct control *c, struct image_slot *slot, struct loop *loop, enum loop_kind kind,
                  void (*adopted)(struct image_slot *, const struct published *, const struct published *));
/* After `loaded`: loops get their first image. */
void control_publish(struct control *c);
/* Before the first of these loops stops: what still commits is for nobody. */
void control_publish_end(struct control *c);
const struct image *control_image(const struct control *c); /* the newest that has committed */
/* The broker's settings in force, dynamic ones included; from `loaded` on, until the next change. */
const struct config *control_config(const struct control *c);
struct quorum_view control_quorum(const struct control *c);
/* quorum_change(), on the control loop; where the quorum is between two lives, E_NOT_CONTROLLER. */
void control_change(struct control *c, struct quorum_change *change);
/* The same for any loop: `done` runs on `back`. */
struct control_look {
    struct msg msg;
    struct control *control;
    struct loop *back;
    struct quorum_view view;
    void (*done)(struct control_look *l);
    void *arg;
};
void control_look(struct control *c, struct control_look *l);
/* quorum_read() for any loop. */
void control_read(struct control *c, struct quorum_read *r);
/* For what the control loop is told by others. */
struct overseer *control_overseer(const struct control *c);
struct loop *control_loop(const struct control *c);
/* The broker of this process is registered with that epoch. */
void control_registered(struct control *c, int64_t epoch);
/* A stop is near: nothing waits for room on a full disk, nor for another node, any more. Once, before control_stop(). */
void control_end_waits(struct control *c);
/* After that: `ended` is posted to the control loop when no NET loop is used for calls to other nodes any more. */
void control_await_calls(struct control *c, struct msg *ended);
/* Ends the connections to the other voters: what is submitted from now on can't commit. No request of theirs is under way
 * any more; net[0] runs until `unlinked` is posted to the control loop. */
void control_unlink(struct control *c, struct msg *unlinked);
/* What was submitted commits, the log is closed; then `stopped` is posted to the control loop and c is gone. Every loop
 * with a slot has stopped before. */
void control_stop(struct control *c, struct msg *stopped);
