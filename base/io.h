/* base/io.h: the one door to the outside. io_uv.c opens it on Linux, tests/sim/io_sim.c on a seed.
 *
 * Loops:  a loop runs one callback at a time, never inside the call that asked for it; its time stands still
 *         meanwhile. A NET loop owns sockets and never waits for a disk. A DISK loop may wait and owns no socket.
 *         Sections say who may call: any thread, the object's own loop, a DISK loop. Anything else asserts.
 * Order:  one sender's messages run in the order posted; one socket's bytes leave in the order sent.
 * Memory: requests live inside their owners and are lent, with all they point to, until their callback.
 * Ends:   what was started calls back exactly once; starting can't fail, ending can. Closing first ends what is
 *         pending with E_CANCELED; `closed` comes last.
 * Errors: the world's: NOENT EXISTS ACCESS FULL IO BUSY COLD EOF RESET REFUSED TIMEOUT CANCELED; misuse asserts. */
#pragma once
#include "err.h"
#include "list.h"
#include "mem.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io;   /* one node's outside: clock, chance, network, disks. A process has one, a simulation many. */
struct loop; /* one thread of control */
struct addr {
    uint8_t ip[16];
    uint16_t port;
};

/* Any thread. */
int64_t io_wall_ms(struct io *io); /* may jump: never for order or timeouts */
void io_random(struct io *io, void *to, size_t len);
void io_boot_id(struct io *io, uint8_t id[16]); /* unchanged: the page cache outlived the process */
struct heap *io_heap(struct io *io);            /* all of the node's memory */
struct trace *io_trace(struct io *io);          /* its counters and log levels (trace.h) */
void io_say(struct io *io,
            struct slice line); /* a line for the journal; drops and counts rather than waits */

/* Loops. Any thread posts. A long job is a message that posts itself again after each short step. */
enum loop_kind { LOOP_NET, LOOP_DISK };
struct msg {
    struct msg *next;
    void (*run)(struct msg *msg);
};
struct timer {
    struct list link;
    int64_t due;
    void (*fire)(struct timer *timer);
};
struct loop *loop_start(struct io *io, enum loop_kind kind, const char *name);
void loop_post(struct loop *to,
               struct msg *msg); /* never fails, never waits: its owner was admitted before */
/* In its order as any other, but a loop that sleeps isn't woken for it: it runs when that loop has something else to do, or
 * after loop_wake(). For what comes often, and is needed only by what comes after it. */
void loop_post_quietly(struct loop *to, struct msg *msg);
void loop_wake(struct loop *loop);
/* Runs what was posted before, ends what sockets are still open with E_CANCELED, forgets timers and later posts, and
 * then posts `stopped` to another loop; tell may be NULL. */
void loop_stop(struct loop *loop, struct loop *tell, struct msg *stopped);
void io_on_stop(struct io *io, struct loop *loop, struct msg *stop); /* SIGTERM or SIGINT, once */
/* Own loop. */
int64_t loop_now(const struct loop *loop);                           /* monotonic ns */
void timer_set(struct loop *loop, struct timer *timer, int64_t due); /* set again: moved */
void timer_stop(struct timer *timer);                                /* fire() won't run */

/* Files: DISK loops, in straight lines. Paths are as configured, absolute or from the working
 * directory; the simulator gives each node a tree of its own. */
struct file; /* shared by count */
enum { FILE_WRITE = 1, FILE_CREATE = 2, FILE_NEW = 4 };
enum err file_open(struct io *io, const char *path, int how, struct file **out);
enum err file_read(struct file *f, int64_t at, void *to, size_t len, size_t *got); /* short only at the end */
enum err file_write(struct file *f, int64_t at, const struct slice *v,
                    int n);                                 /* all; after an error, unknown */
enum err file_resize(struct file *f, int64_t size);         /* what grows reads as zeros */
enum err file_warm(struct file *f, int64_t at, size_t len); /* into the page cache */
void file_flush(struct file *f, int64_t at, size_t len);    /* begins write-back */
enum err file_sync(struct file *const *v,
                   int n); /* n files for the price of one, if it can; failure sticks */
typedef void (*dir_cb)(void *arg, const char *name, bool is_dir);
enum err dir_list(struct io *io, const char *path, dir_cb each, void *arg); /* in name order */
enum err dir_make(struct io *io, const char *path);
enum err dir_sync(struct io *io, const char *path); /* names made, moved and removed in it are durable */
enum err path_move(struct io *io, const char *from, const char *to); /* atomic, replaces */
enum err path_remove(struct io *io, const char *path);               /* a whole tree */
enum err path_space(struct io *io, const char *path, int64_t *bytes_free, int64_t *bytes);
enum err path_lock(struct io *io, const char *path, struct file **out); /* E_BUSY: another process has it */
enum err addr_find(struct io *io, const char *host, uint16_t port, struct addr *v, int max, int *n);
/* Any thread. */
enum err file_peek(struct file *f, int64_t at, void *to, size_t len, size_t *got); /* E_COLD: would wait */
int64_t file_size(const struct file *f);
struct file *file_ref(struct file *f);
void file_unref(struct file *f); /* the last one closes it */

/* Sockets: their own NET loop. */
struct part {
    struct slice mem;
    struct file *file;
    int64_t at;
    size_t len;
}; /* mem, or a warm range of a file */
struct out {
    struct out *next;
    const struct part *v;
    int n;
    void (*done)(struct out *out, enum err err);
};
struct sock {
    void *impl;
    struct loop *loop;
    const struct sock_ops *ops;
};
struct sock_ops {
    void (*open)(struct sock *s);                 /* dialled or adopted */
    struct slice (*room)(struct sock *s);         /* where bytes may go; empty: not until sock_more() */
    void (*came)(struct sock *s, size_t len);     /* into that room, len > 0. Between a room() and its came()
                                                         * nothing else runs on the loop: sockets may share a room */
    void (*closed)(struct sock *s, enum err why); /* last: EOF, RESET, REFUSED, TIMEOUT, CANCELED */
};
struct listener {
    void *impl;
    void (*arrived)(struct listener *l, int ticket, const struct addr *peer);
    int32_t send_bytes; /* buffers in the kernel of the connections that come in; ≤ 0: it sizes them itself */
    int32_t receive_bytes;
};
enum err sock_listen(struct loop *loop, struct listener *l, struct addr *at); /* port 0 is filled in */
void sock_adopt(struct loop *loop, struct sock *s, const struct sock_ops *ops,
                int ticket); /* on any NET loop */
void sock_dial(struct loop *loop, struct sock *s, const struct sock_ops *ops, const struct addr *to);
void sock_send(struct sock *s, struct out *out); /* done: the kernel has all of it */
void sock_more(struct sock *s);                  /* asks room() again */
void sock_close(struct sock *s);                 /* after what was sent; a second time: at once */
void listener_close(struct listener *l);         /* tickets not adopted are refused */
