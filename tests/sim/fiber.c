#include "fiber.h"
#include "base/check.h"
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SWITCH_START(save, bottom, size) __sanitizer_start_switch_fiber(save, bottom, size)
#define SWITCH_END(fake, bottom, size)   __sanitizer_finish_switch_fiber(fake, bottom, size)
#define STACK_CLEAN(stack, size)         __asan_unpoison_memory_region(stack, size)
#else
#define SWITCH_START(save, bottom, size) (void)(save)
#define SWITCH_END(fake, bottom, size)   (void)(fake)
#define STACK_CLEAN(stack, size)         (void)(stack)
#endif

enum { STACK_BYTES = 512 * 1024, GUARD_BYTES = 4096 };

struct fiber {
    struct fiber *next;
    struct fibers *fs;
    char *stack; /* above its guard page */
    void *sp;
    void *fake;
    void (*run)(void *arg);
    void *arg;
};

/* Saves the registers that a call preserves, keeps the stack pointer in *save and goes on at `to`. */
void fiber_switch(void **save, void *to);
#if defined(__x86_64__)
__asm__(".text\n.globl fiber_switch\n.type fiber_switch,@function\nfiber_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n"
        ".size fiber_switch,.-fiber_switch\n.section .note.GNU-stack,\"\",@progbits\n.text\n");
enum { SAVED_WORDS = 7, RETURN_WORD = 6 };
#elif defined(__aarch64__)
__asm__(".text\n.globl fiber_switch\n.type fiber_switch,%function\nfiber_switch:\n"
        "  sub sp, sp, #160\n"
        "  stp x29, x30, [sp]\n  stp x19, x20, [sp, #16]\n  stp x21, x22, [sp, #32]\n"
        "  stp x23, x24, [sp, #48]\n  stp x25, x26, [sp, #64]\n  stp x27, x28, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n"
        "  stp d14, d15, [sp, #144]\n  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
        "  ldp x29, x30, [sp]\n  ldp x19, x20, [sp, #16]\n  ldp x21, x22, [sp, #32]\n"
        "  ldp x23, x24, [sp, #48]\n  ldp x25, x26, [sp, #64]\n  ldp x27, x28, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n  ldp d12, d13, [sp, #128]\n"
        "  ldp d14, d15, [sp, #144]\n  add sp, sp, #160\n  ret\n"
        ".size fiber_switch,.-fiber_switch\n");
enum { SAVED_WORDS = 20, RETURN_WORD = 1 };
#else
#error "fiber_switch() needs a few lines for this processor"
#endif

/* The first code on a new stack; it finds its fiber where fiber_enter() left it. */
static struct fiber *starting;

static void fiber_first(void)
{
    struct fiber *f = starting;

    SWITCH_END(NULL, &f->fs->main_bottom, &f->fs->main_size);
    f->run(f->arg);
    ASSERT(!"a fiber's function returned");
}

static struct fiber *fiber_take(struct fibers *fs)
{
    struct fiber *f = fs->spare;

    if (f) {
        fs->spare = f->next;
        return f;
    }
    f = calloc(1, sizeof(*f));
    ASSERT(f);
    char *p = mmap(NULL, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    ASSERT(p != MAP_FAILED);
    ASSERT(mprotect(p, GUARD_BYTES, PROT_NONE) == 0);
    f->stack = p + GUARD_BYTES;
    f->fs = fs;
    return f;
}

struct fiber *fiber_new(struct fibers *fs, void (*run)(void *arg), void *arg)
{
    struct fiber *f = fiber_take(fs);
    void **top = (void **)(void *)(f->stack + STACK_BYTES - 64);

    f->run = run;
    f->arg = arg;
    f->fake = NULL;
    top -= SAVED_WORDS + SAVED_WORDS % 2;
    for (int i = 0; i < SAVED_WORDS; i++)
        top[i] = NULL;
    /* x86: 7 words above a multiple of 16 is where a called function expects its stack. */
    top[RETURN_WORD] = (void *)(uintptr_t)fiber_first;
    f->sp = top;
    return f;
}

void fiber_enter(struct fibers *fs, struct fiber *f)
{
    ASSERT(!fs->cur);
    fs->cur = f;
    starting = f;
    SWITCH_START(&fs->main_fake, f->stack, STACK_BYTES);
    fiber_switch(&fs->main_sp, f->sp);
    SWITCH_END(fs->main_fake, NULL, NULL);
    fs->cur = NULL;
}

void fiber_leave(struct fibers *fs)
{
    struct fiber *f = fs->cur;

    ASSERT(f);
    SWITCH_START(&f->fake, fs->main_bottom, fs->main_size);
    fiber_switch(&f->sp, fs->main_sp);
    SWITCH_END(f->fake, &fs->main_bottom, &fs->main_size);
}

void fiber_drop(struct fibers *fs, struct fiber *f)
{
    ASSERT(fs->cur != f);
    STACK_CLEAN(f->stack, STACK_BYTES); /* frames that were left standing */
    f->next = fs->spare;
    fs->spare = f;
}

void fibers_drop(struct fibers *fs)
{
    ASSERT(!fs->cur);
    for (struct fiber *f = fs->spare, *next; f; f = next) {
        next = f->next;
        ASSERT(munmap(f->stack - GUARD_BYTES, STACK_BYTES + GUARD_BYTES) == 0);
        free(f);
    }
    fs->spare = NULL;
}
