#include "io_uv_internal.h"
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { ARENAS = 2, MMAP_FROM_BYTES = 256 * 1024, SAY_MAX = 64 * 1024 };

/* The signals that ask for a stop. */
static sigset_t stop_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

struct io *io_uv_new(void)
{
    sigset_t stop = stop_signals();

    /* Few arenas and a fixed border to mmap: what was freed goes back, and idle threads hold no memory. */
    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES);
    ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* sendfile has no flag against it */
    ASSERT(pthread_sigmask(SIG_BLOCK, &stop, NULL) == 0);

    struct heap *heap = heap_new(false);
    struct io *io = heap_alloc(heap, sizeof(*io));
    io->heap = heap;
    io->trace = trace_new(heap);
    ASSERT(pthread_mutex_init(&io->lock, NULL) == 0);
    list_init(&io->loops);
    io->quiet_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    io->signal_fd = signalfd(-1, &stop, SFD_CLOEXEC);
    ASSERT(io->quiet_fd >= 0 && io->signal_fd >= 0);
    say_init(io);
    return io;
}

/* From here on signals do what they do to any process. */
static void signals_default(const sigset_t *set)
{
    ASSERT(pthread_sigmask(SIG_UNBLOCK, set, NULL) == 0);
}

static void on_signal(struct io *io, const struct signalfd_siginfo *info, const sigset_t *set)
{
    pthread_mutex_lock(&io->lock);
    struct loop *loop = io->stop_loop;
    struct msg *stop = io->stop;
    io->stop = NULL;
    pthread_mutex_unlock(&io->lock);
    signals_default(set);
    if (stop)
        loop_post(loop, stop);
    else
        ASSERT(raise((int)info->ssi_signo) == 0);
}

static bool any_running(struct io *io)
{
    pthread_mutex_lock(&io->lock);
    bool any = io->running > 0;
    pthread_mutex_unlock(&io->lock);
    return any;
}

void io_uv_run(struct io *io)
{
    sigset_t set = stop_signals();
    struct signalfd_siginfo info;
    struct pollfd v[2] = {{.fd = io->quiet_fd, .events = POLLIN}, {.fd = io->signal_fd, .events = POLLIN}};
    uint64_t count;

    while (any_running(io)) {
        int n = poll(v, 2, -1);
        ASSERT(n > 0 || errno == EINTR);
        if (n > 0 && v[1].revents && read(io->signal_fd, &info, sizeof(info)) == sizeof(info))
            on_signal(io, &info, &set);
        if (n > 0 && v[0].revents)
            ASSERT(read(io->quiet_fd, &count, sizeof(count)) == sizeof(count) || errno == EAGAIN);
    }
}

void io_uv_drop(struct io *io)
{
    struct heap *heap = io->heap;

    list_each_safe (it, &io->loops) {
        struct loop *loop = container_of(it, struct loop, link);
        ASSERT(loop->stopping);
        ASSERT(pthread_join(loop->thread, NULL) == 0);
        heap_free(heap, loop);
    }
    for (int i = 0; i < io->n_tickets; i++)
        close(io->tickets[i].fd);
    heap_free(heap, io->tickets);
    say_end(io);
    trace_drop(io->trace, heap);
    close(io->quiet_fd);
    close(io->signal_fd);
    pthread_mutex_destroy(&io->lock);
    heap_free(heap, io);
    heap_drop(heap);
}

void io_on_stop(struct io *io, struct loop *loop, struct msg *stop)
{
    pthread_mutex_lock(&io->lock);
    io->stop_loop = loop;
    io->stop = stop;
    pthread_mutex_unlock(&io->lock);
}

int64_t io_wall_ms(struct io *io)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void io_random(struct io *io, void *to, size_t len)
{
    for (uint8_t *p = to; len > 0;) {
        ssize_t n = getrandom(p, len, 0);
        ASSERT(n > 0 || errno == EINTR);
        if (n > 0)
            p += n, len -= (size_t)n;
    }
}

static int hex_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Where the kernel doesn't say, each start counts as another boot. */
void io_boot_id(struct io *io, uint8_t id[16])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    int n = 0, c, digit;

    memset(id, 0, 16);
    while (f && n < 32 && (c = getc(f)) != EOF)
        if ((digit = hex_digit(c)) >= 0)
            id[n / 2] = (uint8_t)(id[n / 2] << 4 | digit), n++;
    if (f)
        (void)fclose(f);
    if (n < 32)
        io_random(io, id, 16);
}

struct heap *io_heap(struct io *io)
{
    return io->heap;
}

struct trace *io_trace(struct io *io)
{
    return io->trace;
}

static void write_all(struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(STDERR_FILENO, text.p, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody listens */
        text = slice_of(text.p + n, text.len - (size_t)n);
    }
}

static void *say_run(void *arg)
{
    struct io *io = arg;
    struct say *say = &io->say;
    struct bytes text;

    bytes_init(&text, io->heap);
    pthread_mutex_lock(&say->lock);
    for (;;) {
        while (say->waiting.len == 0 && !say->ending)
            pthread_cond_wait(&say->some, &say->lock);
        if (say->waiting.len == 0)
            break;
        struct bytes taken = say->waiting;
        say->waiting = text;
        if (say->dropped)
            bytes_printf(&taken, "(%llu lines were dropped here)\n", (unsigned long long)say->dropped);
        say->dropped = 0;
        pthread_mutex_unlock(&say->lock);
        write_all(bytes_slice(&taken));
        text = taken;
        text.len = 0;
        pthread_mutex_lock(&say->lock);
    }
    pthread_mutex_unlock(&say->lock);
    bytes_drop(&text);
    return NULL;
}

void say_init(struct io *io)
{
    ASSERT(pthread_mutex_init(&io->say.lock, NULL) == 0 && pthread_cond_init(&io->say.some, NULL) == 0);
    bytes_init(&io->say.waiting, io->heap);
}

void say_end(struct io *io)
{
    struct say *say = &io->say;

    pthread_mutex_lock(&say->lock);
    say->ending = true;
    pthread_cond_signal(&say->some);
    pthread_mutex_unlock(&say->lock);
    if (say->started)
        ASSERT(pthread_join(say->thread, NULL) == 0);
    bytes_drop(&say->waiting);
    pthread_cond_destroy(&say->some);
    pthread_mutex_destroy(&say->lock);
}

void io_say(struct io *io, struct slice line)
{
    struct say *say = &io->say;

    pthread_mutex_lock(&say->lock); /* never held over a write */
    if (!say->started) {
        say->started = true;
        ASSERT(pthread_create(&say->thread, NULL, say_run, io) == 0);
    }
    if (say->waiting.len + line.len + 1 > SAY_MAX) {
        say->dropped++;
    } else {
        bytes_add(&say->waiting, line.p, line.len);
        bytes_add(&say->waiting, "\n", 1);
        pthread_cond_signal(&say->some);
    }
    pthread_mutex_unlock(&say->lock);
}
