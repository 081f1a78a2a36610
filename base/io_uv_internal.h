/* What the files of io_uv share: the loop's turn, and where each part hooks in. */
#pragma once
#include "check.h"
#include "io.h"
#include "io_uv.h"
#include "trace.h"
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

/* Lines wait here for a thread of their own, so that a full pipe or a slow disk behind stderr stops no loop.
 */
struct say {
    pthread_mutex_t lock;
    pthread_cond_t some;
    pthread_t thread;
    bool started, ending;
    struct bytes waiting; /* at most SAY_MAX bytes */
    uint64_t dropped;
};

/* A connection that was accepted and not yet adopted. */
struct ticket {
    int number, fd;
    const struct listener *from;
};

struct io {
    struct heap *heap;
    struct trace *trace;
    struct say say;
    pthread_mutex_t lock; /* all below */
    struct list loops;
    int running;
    struct loop *stop_loop;
    struct msg *stop;
    struct ticket *tickets;
    int n_tickets, tickets_room, next_ticket;
    int quiet_fd; /* eventfd: the last loop has stopped */
    int signal_fd;
};

/* Timers lie in lists by how far ahead they were set, a list for each power of two of milliseconds. Timers of
 * one list have been set for about the same time ahead, so a new one belongs at its end or close to it. */
enum { TIMER_LISTS = 32 };

/* A loop's turn: sockets, mailbox, timers, writes; then it sleeps until one of them has something.
 * 1. The mailbox is a stack that senders push on and the loop takes as a whole and turns round.
 * 2. ASLEEP is set in it only while the loop sleeps or is about to: the sender that clears it wakes the loop, all
 * others need not. What is posted quietly leaves it set. */
enum { ASLEEP = 1 };
struct loop {
    struct io *io;
    struct list link; /* of io->loops */
    enum loop_kind kind;
    char name[16];
    pthread_t thread;
    int64_t now;
    int64_t step_from; /* when the callback under way began */
    struct list timers[TIMER_LISTS];

    char apart[64];         /* senders' cache line from the loop's own */
    _Atomic uintptr_t mail; /* the last message posted, or 0; and ASLEEP */
    _Atomic uint32_t woken; /* DISK loops sleep on it */
    int wake_fd;            /* NET loops poll it */

    struct msg stop;
    bool stopping;
    struct loop *tell;
    struct msg *stopped;

    /* NET loops only. */
    uv_loop_t uv;
    uv_poll_t wake_poll;
    uv_timer_t wake_timer;
    struct list conns, listeners;
    struct list unsent; /* connections with something to write */
    struct list ending; /* connections to finish */
    struct timer watch; /* set while a connection can't send: has its peer vanished? */
    bool watching;
};

void step_begin(struct loop *loop);
void step_end(struct loop *loop, const void *what); /* the next begins */

struct loop *loop_current(void); /* of this thread; NULL outside loops */

void net_start(struct loop *loop);
void net_wait(struct loop *loop, int64_t until); /* runs sockets; INT64_MAX: no timer */
void net_flush(struct loop *loop);
bool net_busy(const struct loop *loop); /* has work for the next turn at once */
void net_close_all(struct loop *loop);
bool net_empty(const struct loop *loop); /* no connection, no listener */
void net_end(struct loop *loop);

void say_init(struct io *io);
void say_end(struct io *io);

enum err err_of_errno(int error);
int file_fd(const struct file *f);
