/* A cleaning as messages to its own loop: each is one step and posts the next, so that whatever else waits
 * for the loop gets its turn; log.cleaner.io.max.bytes.per.second makes it wait in between. Loop:   the
 * log's. Memory: embedded in its owner, who keeps it until `done`. Order:  `done` is called once, last, never
 * inside start or stop. */
#pragma once
#include "log/clean.h"

struct clean_task {
    struct msg msg;
    struct timer timer;
    struct loop *loop;
    struct io *io;
    struct clean *clean; /* NULL once it is over */
    double bytes_per_second;
    int64_t bytes;   /* read and written so far */
    int64_t free_at; /* loop time at which the rate allows the next step */
    int64_t reached; /* for the checkpoint, if it ended with E_OK */
    struct clean_progress progress;
    enum err err;
    bool waiting; /* for the timer */
    void (*done)(struct clean_task *t, enum err err);
};

/* Takes `clean`. loop, io, bytes_per_second and done are set before. */
void clean_task_start(struct clean_task *t, struct clean *clean);
/* Ends at once, so the log may be closed when this returns; done comes later with E_CANCELED. Fine when it is
 * over already. */
void clean_task_stop(struct clean_task *t);
