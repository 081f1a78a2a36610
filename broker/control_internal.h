/* What the files of the control loop share; nobody else includes it. control.c decides in turns and publishes, control_calls.c
 * has the requests of the other loops, control_quorum.c the metadata log and those that it comes from, control_life.c its
 * lives: it begins, ends and begins again while the node runs on (control_formatted.c: as what, the first time); control_afar*.c
 * follow the others' log meanwhile.
 * Loop: the control loop, but for messages that name another. */
#pragma once
#include "base/check.h"
#include "base/trace.h"
#include "broker/control.h"
#include "broker/image_say.h"
#include "broker/link/follow.h"
#include "broker/link/followers.h"
#include "broker/link/forward.h"
#include "broker/link/join.h"
#include "broker/link/presence.h"
#include "broker/link/raft_link.h"
#include "broker/overseer.h"
#include "broker/publish.h"
#include "quorum/ckpt.h"
#include "quorum/observer.h"

struct flight {
    struct quorum_entry entry;
    struct control *control;
};

/* A checkpoint of another voter, decoded on a loop of its own (control_afar_image.c). */
struct afar_image {
    struct msg msg;    /* to that loop and back */
    struct loop *loop; /* NULL: none was needed yet */
    bool busy;         /* one is being fetched, */
    bool wanted;       /* … and not for nothing; */
    bool away;         /* `msg` is on its way */
    bool begun, last;  /* a piece was decoded; the one on its way is the last */
    int32_t node;      /* who has it */
    struct quorum_checkpoint id;
    int64_t at, size;
    struct slice piece; /* owned */
    struct ckpt_stream stream;
    struct grave grave; /* that loop's */
    struct image *image;
    struct voters voters;
    enum err err;
};

/* What is followed while this node has no quorum (control_afar.c). */
struct afar {
    struct follow *follow; /* NULL: nothing */
    struct observer seen;
    struct timer again;
    int32_t told_leader, told_epoch;
    int64_t led_ns;       /* since then somebody leads, and all is here; 0: not now */
    struct slice batches; /* of the last answer, owned; NULL: they are done, */
    size_t taken;         /* … as far as this is */
    struct msg step;
    struct afar_image image;
    struct msg unfollowed; /* nobody is asked any more */
    bool silent;           /* … it says */
    struct msg *ended;     /* who waits until nothing is under way */
};

/* The file that says who votes first is read again (control_formatted.c). */
struct formats {
    struct msg msg; /* to the loop that reads, and back */
    struct loop *loop;
    struct msg *over;
    struct formatted formatted;
    enum err err;
};

struct control {
    struct node *node;
    struct loop *loop;
    struct control_settings settings;
    struct control_ops ops;
    struct ctl_rules rules;
    struct controller *ctl;
    struct quorum *quorum; /* NULL: between two lives */
    struct quorum_settings quorum_settings;
    struct quorum_view view; /* of the life before, while there is none */
    struct quorum_mark mark;
    struct formats formats;
    struct msg quorum_gone, follow_gone, link_gone, afar_gone, formats_gone;
    int n_closing;        /* of these, what is on its way out */
    bool follow_closing;  /* … among it what the quorum followed by, */
    bool afar_closing;    /* … and what was followed from afar */
    struct msg *unlinked; /* who waits until nothing is */
    struct msg over;      /* the life ends: another role, or a disk that failed */
    bool over_posted, over_due;
    bool resting; /* before the next life */
    int rest_s;
    int64_t well_ns; /* since then the life is well */
    struct timer rest;
    struct afar afar;
    bool loaded; /* an image was told */
    int32_t led; /* the newest epoch of which a leader was told, in any life or from afar; 0: none */
    struct uplink *uplink;
    struct joiner *joiner; /* NULL: it doesn't join by itself */
    struct overseer *overseer;
    struct presence *presence;
    struct msg uplink_ended, overseer_ended, presence_ended;
    int n_ended;             /* of these three */
    struct msg *calls_ended; /* who waits for all */
    struct follow *follow;   /* NULL: nothing was asked of it in this life: this node votes */
    int32_t dead
        [RAFT_LINK_PEERS]; /* whose processes have ended, as raft_link_ops says; without a link, presence_ops */
    int n_dead;
    bool deserted; /* told so */
    int n_voters;  /* of the newest configuration */
    struct publisher *publisher;
    struct image_say say;
    struct flight flight[CTL_FLIGHT_MAX];
    struct ctl_request first; /* of a new cluster */
    struct bootstrap bootstrap;
    struct arena first_arena;
    bool bootstrapping;
    struct msg turn;
    bool turn_posted;
    bool committing;     /* answers wait in `decided` for the image that they speak of */
    struct list decided; /* struct control_call.ctl.link */
    struct list unshown; /* struct control_call.ctl.link: answers of what isn't shown here yet */
    bool shows_late;     /* … one has gone all the same */
    bool tight;          /* the metadata log lives on its reserve */
    struct list held;    /* struct control_call.ctl.link: until there is room */
    struct timer keeps;  /* runs while answers are kept */
    int64_t keeps_since;
    bool leads;      /* the quorum says so */
    bool publishing; /* control_publish() was called */
    bool ending;     /* control_end_waits() was called */
    struct msg *stopped;
    struct msg drained;
};

/* ---- control.c ---- */
void control_turn(struct control *c); /* soon */
void control_submit(struct control *c, struct ctl_request *r);
/* The committed image is another one: nobody but the control loop has it yet; … and all are told. */
void control_saw(struct control *c);
void control_moved(struct control *c);
void control_first(struct control *c); /* this node leads: the first records, if there are none */

/* ---- control_calls.c ---- */
void control_calls_begin(struct control *c);
/* err: nobody decides them any more; E_OK: now they are decided, in the order in which they came. */
void control_held_end(struct control *c, enum err err);
void control_answers_post(struct control *c);      /* to all whose image has been published */
void control_call_give(struct control_call *call); /* to its loop: last touch */

/* ---- control_shown.c ---- */
/* true: its answer is given when this broker shows what it tells. */
bool shown_wait(struct control_call *call);
void shown_look(struct control *c); /* which can go now? */
void shown_end(struct control *c);  /* all of them */

/* ---- control_quorum.c ---- */
void control_propose(void *arg, struct ctl_batch *b);
void control_loaded(struct control *c);            /* the controller's image is the first one that is told */
void control_voters(struct control *c);            /* control_quorum() says others than before */
extern const struct quorum_ops control_quorum_ops; /* but for arg */
void control_unlead(
    struct control *c); /* it doesn't lead, and knows of nobody but who led before it heard that */

/* ---- control_life.c ---- */
void control_life_first(struct control *c);
void control_life_end(struct control *c); /* for good: then `drained` runs */
void control_role(struct control *c);     /* quorum_ops.role */
/* Its files failed. false: that is no disk that may come back. */
bool control_rest(struct control *c, enum err err);
void control_well(struct control *c); /* it has loaded */
/* Somebody leads, or nobody is known to (leader -1). false: that is older than what was told, and isn't told on. */
bool control_led(struct control *c, int32_t leader, int32_t epoch);
/* So many voters are dead that nobody can come to lead, or no more: says so. */
void control_desert(struct control *c);
void control_gone(void *arg, int32_t node, bool is); /* presence_ops.gone */
void control_follow(struct control *c);              /* there is a struct follow from now on */

/* ---- control_formatted.c ---- */
/* settings.formatted is unread: reads it into `formats`; then `over` runs. */
void control_formatted_read(struct control *c, struct msg *over);

/* ---- control_afar.c ---- */
void afar_begin(struct control *c);
void afar_end(struct control *c, struct msg *ended); /* it runs; what is on its way ends before `ended` */
void afar_ended(struct control *c);                  /* is it? */
void afar_again(struct control *c);                  /* asks once more, a little later */
/* Takes the image over. */
void afar_installed(struct control *c, struct quorum_checkpoint id, struct image *image,
                    const struct voters *voters);

/* ---- control_afar_image.c ---- */
void afar_image_begin(struct control *c, int32_t node, struct quorum_checkpoint id);
/* follow_ops.piece */
void afar_image_piece(void *arg, struct quorum_checkpoint id, int64_t at, int64_t size, struct slice bytes,
                      enum err err);
void afar_image_end(struct control *c); /* what is on its way comes home, for nobody */
