/* Stacks for DISK loops, so that a file call can wait in the middle of a callback, and a crash can leave it there.
 * One thread: fiber_enter() runs a fiber until it leaves; fibers don't nest. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct fiber;
struct fibers {
    struct fiber *spare;
    struct fiber *cur;
    void *main_sp;
    const void *main_bottom; /* what AddressSanitizer wants to know */
    size_t main_size;
    void *main_fake;
};
struct fiber *fiber_new(struct fibers *fs, void (*run)(void *arg), void *arg); /* run() never returns */
void fiber_enter(struct fibers *fs, struct fiber *f);
void fiber_leave(struct fibers *fs);                 /* from inside: back to who entered */
void fiber_drop(struct fibers *fs, struct fiber *f); /* wherever it stands; not from inside */
void fibers_drop(struct fibers *fs);
