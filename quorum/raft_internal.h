/* What the files of quorum on raft share; nobody else includes it.
 *
 *     quorum.c       the door: start, stop, submit, and what is told to the broker
 *     quorum_confirm.c   does this node still lead?
 *     quorum_snapshot.c  when a snapshot is due
 *     raft_io.c      struct raft_io: what raft asks for; every way into and out of the library
 *     raft_fsm.c     what has committed: applied, kept as a snapshot, restored
 *     raft_rules.c   nine rules without which libraft 0.15.0 isn't safe
 *     raft_msg.c     raft's messages to bytes and back
 *     raft_disk.c    the quorum's DISK loop: appends, cuts, snapshots, in order
 *     replay.c       what commits, in steps
 *     raft_install.c a snapshot from the leader: pieces, check, restore
 *     entry_book.c   entries and offsets
 *     observe.c      a node outside: no library, the same files
 *     membership.c   voters that come and go: the configuration in force
 *     member_change.c    … and changes of it
 *     found.c        fixed voters begin a log together
 *     stand.c        a voter stands for election before its time
 *     heal.c         … and one of them comes with another disk
 *
 * What holds:
 *  1. The library is entered on the control loop alone, after raft_enter(): its allocator is one for a process.
 *  2. An append calls back without error or not at all before raft is closed.
 *  3. The book has a row for each entry that raft holds, and what lies behind `entry_book_end` is on no disk.
 *  4. `applied` is raft's last_applied whenever the library has returned.
 *  5. The broker is told of leadership when the barrier has committed, and of its loss before anything else.
 *  6. The library's configuration is `voters`, the newest in the log, whether it has committed or not; at most one in a log
 *     hasn't, so a cut goes back to `voters_before`. The library never goes back by itself: it would look for that
 *     one in its log, where it may not be any more.
 *  7. Each entry submitted is done exactly once: with success when it is applied, else when leadership ends. */
#pragma once
#include "base/check.h"
#include "base/trace.h"
#include "quorum/entry_book.h"
#include "quorum/local_disk.h"
#include "quorum/observer.h"
#include "quorum/quorum.h"
#include "quorum/room.h"
#include <limits.h>
#include <raft.h>

struct RaftInstall;
struct install;

enum {
    MS = 1000000,
    NOT_HEARD = 2,              /* election timeouts: it isn't there */
    APPEND_BYTES_MAX = 1 << 20, /* of one message; longer ones leave as several */
    BULK_BYTES = 1 << 16,       /* an append that long to one that is searched is outstanding alone */
    BULK_WAIT_MS = 2000,        /* … unless its answer stays away that long */
    PROGRESS_PROBE = 0,         /* raft_progress.state, whose names the library keeps to itself */
    TERM_JUMP_MAX = 1 << 20,
    ENTRIES_MAX = 50000,      /* in raft's memory before a snapshot is due */
    ENTRIES_TRAILING = 5000,  /* of them stay behind one, for followers that lag */
    BYTES_TRAILING = 16 << 20 /* … or fewer, if they are large */
};

/* The disk's half of an append, a cut, an install: there and back in order. */
enum disk_what { DISK_APPEND, DISK_CUT, DISK_INSTALL };
struct disk_op {
    struct msg msg;
    struct list stuck;
    struct quorum *quorum;
    enum disk_what what;
    struct raft_io_append *req; /* of raft's append */
    raft_term term;             /* raft's when it asked */
    raft_index last;            /* index of the last entry */
    struct slice *v;            /* its batches: of data, in raft's memory, which stays until the callback */
    int n, done;                /* batches, and how many are in the log */
    int told;                   /* … and told, of an observer's */
    bool has_voters;            /* a configuration of the leader's is among them */
    struct arena own;           /* barriers and configurations, copied */
    struct slice bytes;         /* of an observer's append: all its batches */
    int64_t offset;             /* of a cut or an install */
    int32_t epoch;              /* of an install */
    enum err err;
};

struct raft_peer {
    int64_t bulk_until;  /* no second long append before */
    int64_t confirmed;   /* round */
    raft_term held_term; /* of this answer, which waits for the barrier; 0: none */
    struct raft_append_entries_result held;
    int64_t ours_then; /* where this node's log ended at its last answer */
    int64_t heard;     /* when it last answered this leader */
    raft_index taken;  /* it has this leader's log up to there, as it said … */
    raft_index told;   /* … and was told that this much has committed */
    struct uuid hello; /* the directory that its node speaks from; zero: it didn't say */
    bool dead, refused;
    bool tight; /* its disk has no room, as its last answer said */
};

/* What a change of voters waits for. */
enum change_step {
    CHANGE_NONE,
    CHANGE_ADD,     /* the new one, which doesn't vote yet */
    CHANGE_PROMOTE, /* it is caught up, and votes */
    CHANGE_BACK,    /* it didn't get there, and goes again */
    CHANGE_REMOVE,
    CHANGE_REWRITE, /* the same voters: kraft.version, their directories */
    CHANGE_TRANSFER /* of this leader, to be removed by the next */
};

struct flight {
    struct list link;
    struct raft_apply req;
    struct quorum *quorum;
    struct quorum_entry *entry; /* NULL: it has been told that leadership is lost */
    raft_index index;
};

/* Batches that have committed and aren't in the image yet (replay.c). */
struct replay {
    struct slice *v;
    size_t n, at, room;
    struct msg step;
    bool posted;
    bool dropped;  /* some were, at the end */
    size_t passed; /* bytes, in this call of the library */
};

enum quorum_phase { QUORUM_OPENING, QUORUM_RUNNING, QUORUM_CLOSING, QUORUM_CLOSED };

struct quorum {
    struct io *io;
    struct heap *heap;
    struct loop *control, *loop;
    struct grave *grave; /* the control loop's */
    struct quorum_settings settings;
    struct quorum_ops ops;

    /* ---- control loop ---- */
    bool observes; /* no raft: observe.c*/
    enum quorum_phase phase;
    struct raft raft;
    struct raft_io raft_io;
    struct raft_fsm fsm;
    struct raft_heap raft_heap;
    struct quorum_view view;
    raft_io_tick_cb raft_tick;
    raft_io_recv_cb raft_recv;
    struct timer ticker;
    struct entry_book book;
    raft_index applied;
    int32_t server_id;    /* this node's */
    struct voters voters; /* the newest configuration in the log */
    raft_index voters_index;
    struct voters voters_before; /* the one before it */
    raft_index before_index;
    raft_index voters_told;             /* index of the one that the broker was told of */
    struct raft_peer peers[VOTERS_MAX]; /* as voters.v */
    struct voter guest;                 /* who spoke last of those that aren't in it */
    /* a change of voters */
    struct quorum_change *change; /* NULL: none, or one of the leader's own */
    enum change_step change_step;
    bool raises; /* kraft.version, when it leads */
    struct raft_change change_req;
    bool change_over; /* its callback came, with */
    int change_status;
    int32_t change_server;
    struct voter newcomer; /* who is added */
    bool healing;          /* the step is one of the leader's own, for a fixed voter's new disk */
    int64_t heal_ns;       /* not before */
    struct uuid
        said[QUORUM_VOTERS_MAX]; /* the directories of settings.voters, as their nodes say; zero: not yet */
    int64_t said_ns;             /* when one of them said another one than before */
    /* fixed voters that begin a log */
    bool founding;
    bool empty[QUORUM_VOTERS_MAX]; /* as settings.voters: said that its log is */
    struct timer found_timer;
    int found_asked;
    struct voters rewrite; /* what the next barrier is written as, when it isn't empty */
    struct raft_barrier rewrite_req;
    struct raft_transfer transfer_req; /* the library may look at it late: never freed */
    bool transferring;
    int changes_posted;
    bool role_told;
    bool tight;          /* this node's disk has no room */
    int64_t gave_way_ns; /* leadership, because of that; 0: never */
    int64_t disk_ns;  /* the disk's last answer, or when it was asked after there had been nothing to ask */
    int64_t hangs_ns; /* so long it has been silent, as was said; 0: nothing was */
    raft_term rested_term;          /* whose leader said that it leads no more, and who stands */
    raft_term refused_term;         /* in which somebody stood in a hurry who has less than this one */
    int64_t leader_ns, standing_ns; /* when a leader was last known, when others were last asked for one */
    struct quorum_state state;      /* as on disk */
    enum err state_err;             /* it could not be written */
    /* rules */
    raft_term lead_term; /* whose barrier was appended */
    raft_index barrier;
    struct raft_barrier barrier_req;
    bool barrier_pending, barrier_done;
    bool in_recv, in_append; /* inside the library, for an AppendEntries, a write that ended */
    raft_term append_term;
    raft_index result_max;
    struct slice incoming; /* batches of the append that the library is in */
    raft_index incoming_first;
    /* what was told */
    struct image *image; /* until `loaded` */
    bool draft;          /* … is not sealed */
    bool loaded;
    struct replay replay;
    int32_t told_leader, told_epoch;
    bool told_self;
    int32_t applied_epoch; /* of the newest barrier applied */
    raft_term target_term; /* first append of a leader: applied up to its commit, this node has caught up */
    raft_index target;
    int32_t heard; /* who sent it */
    struct list flights;
    struct list sent; /* struct sending: raft gets its requests back */
    struct msg sent_msg;
    bool sent_posted;
    struct list confirms;
    int64_t round;
    struct msg confirm_msg;
    bool confirm_posted;
    struct timer confirm_timer;
    struct timer tell_timer; /* progress.c */
    bool tells;              /* … is set */
    int64_t tell_ns;         /* voters were told what has committed */
    int ops_out;             /* on the disk loop */
    struct list stuck;       /* appends that failed: they call back when raft is closed */
    /* an observer's */
    struct observer seen;
    bool asking; /* ops.fetch() isn't answered */
    struct timer again;
    /* snapshots */
    int64_t since_snapshot; /* bytes committed */
    struct timer snapshot_timer;
    bool timed, due;
    struct raft_barrier nudge;
    bool nudging;
    struct image *held;
    struct raft_io_snapshot_put *put;
    raft_io_snapshot_put_cb put_cb;
    struct ckpt_id put_id;
    struct voters put_voters;
    struct ckpt_id newest; /* offset -1: none */
    struct voters newest_voters;
    struct ckpt_id start_id; /* with which raft began: the newest, or the log's end of a single voter */
    struct voters start_voters;
    struct raft_io_snapshot_get *get;
    raft_io_snapshot_get_cb get_cb;
    struct msg get_msg;
    bool get_posted, get_waits; /* get_waits: for a snapshot to be written */
    struct install *install;
    int installs_out; /* on the disk loop, those that nobody wants any more too */
    /* the end */
    struct msg *stopped;
    bool stopping;
    bool waits_ended; /* `end_waits` is posted */
    int refusals;     /* entries on their way back */
    struct msg leave, gone;
    bool leave_posted;

    /* ---- DISK loop ---- */
    struct local_disk disk;
    struct msg *first, **last; /* struct disk_op in line */
    bool working, full, ending, told;
    struct timer retry;
    struct disk_room room;
    struct msg work, step;
    struct msg crowded; /* there and back: an entry finds no room */
    bool crowding;      /* … is on its way */

    /* ---- to and fro ---- */
    struct msg open, opened, snapshot, written, fail, end_waits, stop, closed;
    struct image *opened_image;
    struct loaded_entry *entries;
    size_t n_entries, entries_room;
    raft_index opened_last;      /* of the last entry in the log */
    raft_index opened_voters;    /* of the newest configuration */
    struct voters opened_before; /* the one before it */
    raft_index opened_before_index;
    bool opened_observes, opened_empty; /* there is nothing behind the first batch, if that */
    bool founds;                        /* the log begins now */
    raft_index removed_by; /* index of the configuration that this server was removed by; 0: it wasn't */
    int64_t removed_at;    /* what had committed then */
    int32_t opened_epoch;  /* of the last entry */
    int64_t end, log_start;
};

/* An entry found in the log at the start: its bytes, which raft takes over. */
struct loaded_entry {
    enum entry_kind kind;
    int32_t epoch;
    int64_t last_offset;
    struct slice bytes;
};

/* ---- quorum.c ---- */
void quorum_observe(struct quorum *q);   /* after each return of the library */
void quorum_tell_lost(struct quorum *q); /* this node led */
int32_t quorum_leads(struct quorum *q);  /* who leads, as the broker may know it; -1: nobody */
void quorum_fail(struct quorum *q);
void quorum_hung(struct quorum *q); /* this leader's disk doesn't answer: as if it had failed */
void quorum_crowded(
    struct quorum *q); /* an entry finds no room: a start ends, if others can be asked meanwhile */
void quorum_drained(struct quorum *q); /* the disk loop has nothing of ours any more */
void quorum_leave(struct quorum *q);   /* this server was removed: it does nothing any more, but to stop */
void quorum_abandon(struct quorum *q); /* leadership is given away: what is in flight is nobody's */
void quorum_tell_loaded(struct quorum *q); /* seals the image and hands it over */

/* ---- quorum_confirm.c ---- */
void quorum_confirms_make(struct quorum *q);
void quorum_confirms_end(struct quorum *q, enum err err); /* of all that wait */
void quorum_confirmed(struct quorum *q, int voter, int64_t round);

/* ---- quorum_snapshot.c ---- */
void quorum_snapshots_make(struct quorum *q);
void quorum_snapshot_look(struct quorum *q); /* something has committed: is a snapshot due? */
void quorum_snapshot_last(struct quorum *q); /* before a stop */

/* ---- progress.c ---- */
void progress_begin(struct quorum *q); /* this node leads now */
/* A voter took an append, up to that entry, or refused one. */
void progress_answer(struct quorum *q, int voter, bool taken, raft_index last);
void progress_commits(struct quorum *q); /* voters are to be told what they have that has committed, soon */

/* ---- raft_io.c ---- */
void raft_enter(struct quorum *q);
void raft_io_make(struct quorum *q);
enum err raft_begin(struct quorum *q); /* on what was opened */
void raft_rest(struct quorum *q); /* nothing is given to the library any more: what it asked for comes home */
void raft_end(struct quorum *q);  /* closes it, when everything is home */
void raft_give(struct quorum *q, struct raft_message *m); /* to the library, by the rules */
void raft_append_done(struct quorum *q, struct disk_op *op);
int raft_voters(const struct voters *v, struct raft_configuration *out);
void raft_step_down(struct quorum *q, raft_term term); /* into that epoch, a later one */

/* ---- raft_fsm.c ---- */
void raft_fsm_make(struct quorum *q);
void quorum_applied_to(struct quorum *q, raft_index index); /* control batches up to there are applied */
void quorum_take(struct quorum *q, struct slice batch);     /* into the image, which isn't told yet */
void quorum_restore(struct quorum *q, struct image *image); /* takes the place of what had committed */
int raft_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                      const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb);
int raft_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req, raft_io_snapshot_get_cb cb);
/* NULL: the library has no memory for it. */
struct raft_snapshot *raft_snapshot_of(struct ckpt_id id, const struct voters *voters);

/* ---- replay.c ---- */
void replay_pass(struct quorum *q, struct slice batch); /* lent until it is taken or dropped */
void replay_returned(struct quorum *q);                 /* the library has */
bool replay_over(const struct quorum *q);               /* the image has all that was applied */
void replay_drop(struct quorum *q);

/* ---- raft_rules.c ---- */
void rule_lead(struct quorum *q);                               /* 1: at once a barrier */
bool rule_hold(struct quorum *q, const struct raft_message *m); /* 1: true: this result comes too early */
bool rule_release(struct quorum *q, struct raft_message *m);    /* 1: true: one that may come now */
void rule_trim(const struct quorum *q, struct raft_message *m); /* 4 */
void rule_commit(struct raft_message *m);                       /* 7: of what it covers */
bool rule_silent(const struct quorum *q, const struct raft_message *m); /* 3: true: say nothing */
void rule_truth(const struct quorum *q, struct raft_message *m);        /* 2 and 5: what a result may say */

/* 9: what the library thinks of this server while it looks at that vote */
void rule_vote_as(struct quorum *q, const struct raft_message *m, int from, int to);
void rule_leader_over(struct quorum *q, const struct raft_message *m); /* 9: silent for an election timeout */
bool rule_vote_once(const struct quorum *q, const struct raft_message *m); /* 8: true: drop it */

/* ---- membership.c ---- */
void member_take(struct quorum *q, const struct voters *v, raft_index index); /* it is the newest one now */
void member_restore(struct quorum *q, const struct voters *v,
                    raft_index index); /* … of a snapshot: nothing is before it */
bool member_cut(struct quorum *q,
                raft_index index);     /* this entry and those behind it go; false: that can't be */
void member_library(struct quorum *q); /* the library's configuration becomes `voters` */
/* The newest one of which every entry up to `index` has committed. */
const struct voters *member_committed(const struct quorum *q, raft_index index, raft_index *at);
/* What the library has just made of the newest one. */
void member_of_library(const struct quorum *q, struct voters *out);
int32_t member_node(const struct quorum *q, raft_id server); /* -1: not known */
void member_heard(struct quorum *q, int voter);
void member_standing(struct quorum *q); /* the guest, who is no voter here, asks whether it is one */
/* Whose message is this? *voter: in `voters`, or -1. false: it is dealt with. */
bool member_speaks(struct quorum *q, int32_t node, int32_t server, int *voter);
/* May it raise the term, be voted for, write to our log? */
bool member_believed(const struct quorum *q, int32_t server);
void member_removed(struct quorum *q, raft_term term,
                    raft_index index); /* somebody says that this server is not in it */
void member_step(struct quorum *q);    /* after each return of the library */
void member_tick(struct quorum *q);
void member_end(struct quorum *q);                  /* no library from now on */
int64_t member_patience_ns(const struct quorum *q); /* who isn't heard for so long isn't there */
void member_tell(struct quorum *q);                 /* the broker, of a newer configuration */
/* The barrier of this leader has committed; and, with no change under way, the newest configuration: what this term wrote is a
 * change, what others wrote lies before the barrier. */
bool member_settled(const struct quorum *q);
bool member_other_disk(const struct quorum *q,
                       int voter); /* its node speaks from another directory than noted */
/* Where this node's disk is named as a voter; -1: nowhere, or it is one of fixed voters of whom nobody knows yet from which
 * directory they vote, and it didn't begin the log with them: it may have been emptied since. */
int member_named(const struct quorum *q, const struct voters *v);
void member_follow(struct quorum *q); /* a follower outside has taken a configuration */

/* ---- member_change.c ---- */
bool member_answers(const struct quorum *q, int voter); /* this leader, lately */
/* This node's disk has no room: if it leads, one that has stored what it couldn't leads from now on. */
void member_give_way(struct quorum *q);
/* Who answers this leader and has most of its log, and that entry at least: its server; -1: there is none. */
int32_t member_heir(const struct quorum *q, raft_index least,
                    bool roomy); /* roomy: of those whose disk has room */
void member_room(
    struct quorum *q); /* this disk has no room: if it leads, one that has some leads from now on */
bool change_to(struct quorum *q,
               enum change_step step); /* of change_server; false: the library doesn't take it */

/* ---- stand.c ---- */
void stand_disk_answered(struct quorum *q);
void stand_look(struct quorum *q);  /* at each tick: does the disk answer? */
void stand_hurry(struct quorum *q); /* this disk has failed: if it leads, it says who is to stand */
void stand_heard(struct quorum *q, int leader, raft_term term, int32_t heir);
/* The library has had it: was it a vote for less than is here? */
void stand_asked(struct quorum *q, const struct raft_message *m);

/* ---- heal.c ---- */
void heal_hello(struct quorum *q, int32_t node, const struct uuid *directory_id);
struct uuid heal_said(const struct quorum *q, int32_t node);
int32_t heal_awaited(const struct quorum *q,
                     const struct voters *next); /* voters.awaited of the one after `voters` */
void heal_look(struct quorum *q);     /* this leader has nothing else to do: is there a new disk? */
void heal_stepped(struct quorum *q);  /* a step of its own is over */
void heal_hopeless(struct quorum *q); /* another disk was seen: is there still a majority without such? */

/* ---- found.c ---- */
void found_begin(struct quorum *q);
void found_end(struct quorum *q);
void found_alive(struct quorum *q, int32_t node); /* it is connected */
void found_heard(struct quorum *q, int32_t node, bool asks);

/* ---- raft_msg.c ---- */
bool raft_msg_send(struct quorum *q, const struct raft_message *m);
/* What the library keeps of a control batch; false: it doesn't read. */
bool raft_control_entry(struct quorum *q, struct slice batch, struct raft_entry *e);
/* What came: for the library (true), or ours and dealt with, or it doesn't read. */
bool raft_msg_read(struct quorum *q, int32_t node, struct slice bytes, struct raft_message *m, bool *ours);
void raft_msg_confirm(struct quorum *q, int voter, int64_t round);
void raft_msg_standing(struct quorum *q, const struct voter *to);
/* Of the newest configuration, of that index, among entries that have committed, the last of them of that epoch. */
void raft_msg_removed(struct quorum *q, const struct voter *to, int32_t epoch, raft_index index);
void raft_msg_rests(struct quorum *q, int voter, int32_t heir);
void raft_msg_empty(struct quorum *q, int32_t node, bool asks);

/* ---- raft_disk.c ---- */
void raft_disk_start(struct quorum *q);
void raft_disk_post(struct quorum *q, struct disk_op *op);
/* The log was read, on the DISK loop: a disk that can't ends the life. */
void raft_disk_read(struct quorum *q, enum err err);
struct disk_op *raft_disk_op(struct quorum *q, enum disk_what what);
void raft_disk_op_free(struct disk_op *op);

/* ---- raft_install.c ---- */
void raft_install_begin(struct quorum *q, const struct voter *from, const struct RaftInstall *m,
                        const struct voters *voters);
int raft_install_put(struct quorum *q, struct raft_io_snapshot_put *req, const struct raft_snapshot *snapshot,
                     raft_io_snapshot_put_cb cb);
bool raft_install_observe(struct quorum *q, int32_t node, struct ckpt_id id); /* an observer's; false: busy */
enum err raft_install_run(struct quorum *q, struct disk_op *op);              /* on the DISK loop */
void raft_install_done(struct quorum *q, struct disk_op *op); /* the log begins anew behind it */
struct image *raft_install_image(struct quorum *q); /* the caller's now; NULL: none is being restored */
void raft_install_cancel(struct quorum *q);         /* raft closes */
bool raft_install_idle(const struct quorum *q);
/* The library's log is ahead of the disk and of the book: it must not stand for election. */
bool raft_install_busy(const struct quorum *q);

/* ---- observe.c---- */
void observe_begin(struct quorum *q); /* on what was opened */
void observe_rest(struct quorum *q);
void observe_again(struct quorum *q); /* asks once more, a little later */
void observe_append_done(struct quorum *q, struct disk_op *op);
void observe_installed(struct quorum *q, struct ckpt_id id, struct image *image);
void observe_snapshot(struct quorum *q);
