/* What the simulator's own files share. world.c has clock and events, node.c nodes; disk*.c the model of a disk; io_sim_*.c
 * and net_*.c are base/io.h. */
#pragma once
#include "base/check.h"
#include "disk.h"
#include "fiber.h"
#include "sim.h"
#include <stdarg.h>

/* Events: no pointer takes part in their order. An event that outlives its object must find that out itself. */
struct event {
    int64_t at;
    uint64_t seq;
    void (*run)(struct sim *s, void *arg, int64_t n);
    void *arg;
    int64_t n;
};

/* A machine: its disk and its place in the network, whether a node runs on it or not. */
struct host {
    struct disk *disk; /* NULL: never started */
    struct io *io;     /* NULL: down */
    struct chance chance;
    bool powered;
    enum sim_crash crashed; /* the last time */
    uint8_t boot_id[16];
    int64_t file_calls;
    int64_t fail_at; /* the number of the file call; 0: never */
    enum sim_fault fault;
    const char *broken; /* sim_disk_break() */
    int64_t stall_until;
    int64_t calls_until;    /* the last of the file calls that have begun is over */
    struct sim_range speed; /* of syncs and cold reads; max 0: the options' */
    uint16_t next_port;
};

struct sim {
    struct sim_options opt;
    int64_t now;
    uint64_t seq;
    struct event *events; /* binary heap */
    size_t n_events, events_room;
    struct chance chance;
    uint64_t hash;
    struct host hosts[SIM_NODES_MAX];
    struct list ios;     /* every start of every node, dead ones too */
    struct loop *cur;    /* whose callback runs */
    bool running;        /* inside sim_run or sim_call */
    struct io *crash_io; /* its own callback asked for the crash */
    enum sim_crash crash_how;
    struct fibers fibers;
    struct list conns;
    struct list listeners;
    uint64_t next_conn;
    bool blocked[SIM_NODES_MAX][SIM_NODES_MAX];
    uint8_t link_at[SIM_NODES_MAX][SIM_NODES_MAX]; /* 0: plain; else one more than its place in links */
    struct sim_link links[SIM_LINKS_MAX];
    int n_links;
    sim_tap tap;
    void *tap_arg;
    sim_ear ear;
    void *ear_arg;
};

/* One start of a node. */
struct io {
    struct list link;
    struct sim *s;
    int node;
    bool dead;
    bool paused;
    struct heap *heap;
    struct trace *trace;
    int64_t wall_base; /* ms */
    struct list loops;
    struct list files; /* open */
    struct loop *call[2];
    int n_loops;
    int next_ticket;
    struct loop *stop_loop;
    struct msg *stop_msg;
};

/* One callback to come on a loop, embedded in what it is for. */
struct task {
    struct list link;
    void (*run)(struct task *task);
};

struct loop {
    struct list link;
    struct io *io;
    enum loop_kind kind;
    int id; /* within its node, in order of starts */
    bool stopping, stopped;
    bool in_callback; /* a DISK loop's may be waiting for its disk */
    bool turn_due;    /* an event will run its next callback */
    bool waited;      /* its file call is over, and the node paused */
    int64_t now;
    int64_t free_at;
    struct msg *first, **last; /* mailbox */
    int n_msgs;
    struct list timers; /* by due time, then by when they were set */
    int64_t *alarms;    /* events for timers, falling */
    int n_alarms, alarms_room;
    struct list tasks;    /* callbacks of sockets and of sim_call */
    int n_socks;          /* sockets and listeners that are open */
    struct fiber *fiber;  /* DISK */
    struct task *running; /* what the fiber is to run */
    struct loop *tell;
    struct msg *tell_msg;
    struct msg stop_mark;
};

void *sim_alloc(size_t len); /* zeroed */

/* world.c */
void world_at(struct sim *s, int64_t at, void (*run)(struct sim *, void *, int64_t), void *arg, int64_t n);
int64_t world_draw(struct sim *s, struct sim_range r);
void world_fold(struct sim *s, uint64_t v);
void world_fold_bytes(struct sim *s, const void *p, size_t len);
/* An event for the trace: `what` is a word, the numbers mean what it says. */
void world_event(struct sim *s, const char *what, int node, int64_t a, int64_t b);
bool world_step(struct sim *s); /* false: no events */
void world_crash(struct sim *s, int node, enum sim_crash how);

/* io_sim_loop.c */
struct loop *loop_open(struct io *io, enum loop_kind kind);
void loop_task(struct loop *loop, struct task *task); /* queues it; nothing if it is queued already */
void loop_wait(struct loop *loop, int64_t until);     /* own DISK loop: virtual time passes */
void loop_kill(struct loop *loop);                    /* no callback any more; not the one that runs now */
void loop_resume(struct loop *loop);                  /* the node isn't paused any more */
void loop_unwind(struct loop *loop);                  /* own DISK loop: leaves the callback for ever */

/* io_sim_file.c, io_sim_net.c */
void files_kill(struct io *io);
void net_kill(struct io *io, enum sim_crash how);
void net_drop(struct sim *s);
int64_t net_delayed_until(const struct sim *s); /* 0: nothing was ever sent */
void net_resume(struct io *io);
void net_close_loop(struct loop *loop); /* own loop: ends its listeners and sockets */
/* The next bytes of a file part as sendfile would find them; warm or assert. Short: the file has been cut. */
size_t file_send(struct file *f, int64_t at, void *to, size_t len);
