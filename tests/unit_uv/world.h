/* Loops for a test: start some, say what runs first on each, and wait until all have stopped. */
#pragma once
#include "base/check.h"
#include "base/io.h"
#include "base/io_uv.h"
#include "tests/check.h"

/* A message with an argument of the test's. */
struct call {
    struct msg msg;
    void (*fn)(void *arg);
    void *arg;
};

static inline void call_run(struct msg *msg)
{
    struct call *c = container_of(msg, struct call, msg);

    c->fn(c->arg);
}

static inline void call_post(struct loop *to, struct call *c, void (*fn)(void *), void *arg)
{
    *c = (struct call){.msg.run = call_run, .fn = fn, .arg = arg};
    loop_post(to, &c->msg);
}

/* Runs fn on a new loop; it, or what it starts, must end in loop_stop(). */
static inline void world_run(enum loop_kind kind, void (*fn)(void *), struct io **io, struct loop **loop)
{
    struct call first;

    *io = io_uv_new();
    *loop = loop_start(*io, kind, "test");
    call_post(*loop, &first, fn, NULL);
    io_uv_run(*io);
    io_uv_drop(*io);
}
