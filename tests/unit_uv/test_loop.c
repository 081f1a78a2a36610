#include "base/trace.h"
#include "world.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SENDERS = 3, EACH = 20000, MS = 1000000 };

static struct io *io;
static struct loop *loop, *others[SENDERS];

struct numbered {
    struct msg msg;
    int sender, number;
};

static struct numbered sent[SENDERS][EACH];
static int next_of[SENDERS], arrived;
static struct call calls[SENDERS], again;

static void numbered_run(struct msg *msg)
{
    struct numbered *m = container_of(msg, struct numbered, msg);

    CHECK_EQ(m->number, next_of[m->sender]++);
    if (++arrived == SENDERS * EACH)
        loop_stop(loop, NULL, NULL);
}

static void send_all(void *arg)
{
    int k = (int)(intptr_t)arg;

    for (int j = 0; j < EACH; j++) {
        sent[k][j] = (struct numbered){.msg.run = numbered_run, .sender = k, .number = j};
        loop_post(loop, &sent[k][j].msg);
    }
    loop_stop(others[k], NULL, NULL);
}

static const enum loop_kind kinds[] = {LOOP_NET, LOOP_DISK};

/* Each sender posts all of its messages to a loop of that kind, and they arrive in order. */
static void all_arrive(enum loop_kind kind, void (*posts)(void *k))
{
    io = io_uv_new();
    loop = loop_start(io, kind, "to");
    for (int k = 0; k < SENDERS; k++)
        others[k] = loop_start(io, k % 2 ? LOOP_NET : LOOP_DISK, "from");
    for (int k = 0; k < SENDERS; k++)
        call_post(others[k], &calls[k], posts, (void *)(intptr_t)k);
    io_uv_run(io);
    CHECK_EQ(arrived, SENDERS * EACH);
    io_uv_drop(io);
}

/* Messages of one sender run in the order posted, and none is lost, while others post too. */
TEST_EACH(loop, messages_keep_a_senders_order, kinds)
{
    all_arrive(*row, send_all);
}

static void post_mixed(void *arg)
{
    int k = (int)(intptr_t)arg;

    for (int j = 0; j < EACH; j++) {
        sent[k][j] = (struct numbered){.msg.run = numbered_run, .sender = k, .number = j};
        (j % 3 ? loop_post_quietly : loop_post)(loop, &sent[k][j].msg);
    }
    loop_wake(loop);
    loop_stop(others[k], NULL, NULL);
}

/* Those posted quietly keep their place among the others, and the last ones run when the loop is woken. */
TEST_EACH(loop, quiet_messages_keep_their_place, kinds)
{
    all_arrive(*row, post_mixed);
}

static void quiet_run(struct msg *msg)
{
    loop_stop(loop, NULL, NULL);
}

static void wake_for_quiet(void *arg)
{
    loop_stop(others[0], NULL, NULL);
    loop_post_quietly(loop, &calls[1].msg);
    loop_wake(loop);
}

/* A loop that sleeps with a quiet message in its mailbox, or is about to, is woken by loop_wake(). */
TEST_EACH(loop, a_quiet_message_runs_when_it_is_woken, kinds)
{
    for (int n = 0; n < 200; n++) {
        calls[1] = (struct call){.msg.run = quiet_run};
        io = io_uv_new();
        loop = loop_start(io, *row, "to");
        others[0] = loop_start(io, LOOP_DISK, "from");
        call_post(others[0], &calls[0], wake_for_quiet, NULL);
        io_uv_run(io);
        io_uv_drop(io);
    }
}

static struct timer timers[7];
static char fired[16];

static void timer_fired(struct timer *t)
{
    size_t n = strlen(fired);

    CHECK(loop_now(loop) >= t->due);
    fired[n] = (char)('a' + (t - timers));
    if (t == &timers[0])
        timer_stop(&timers[5]);
    if (t == &timers[3])
        loop_stop(loop, NULL, NULL);
}

static void set_timers(void *arg)
{
    static const int ms[7] = {5, 1, 40, 60, 0, 30, 50};

    for (int k = 0; k < 7; k++) {
        timers[k].fire = timer_fired;
        timer_set(loop, &timers[k], loop_now(loop) + ms[k] * MS);
    }
    timer_set(loop, &timers[2], loop_now(loop) + 20 * MS); /* moved */
}

/* Timers fire in the order of their times, not before them, not after timer_stop(), and where they were moved
 * to. */
TEST_EACH(loop, timers_fire_in_order, kinds)
{
    world_run(*row, set_timers, &io, &loop);
    CHECK_STR(fired, "ebacgd");
}

static int rounds;

static void ping(void *arg);

static void pong(void *arg)
{
    call_post(loop, &again, ping, NULL);
}

static void other_stopped(void *arg)
{
    loop_stop(loop, NULL, NULL);
}

static void ping(void *arg)
{
    if (rounds-- > 0)
        call_post(others[0], &again, pong, NULL);
    else
        loop_stop(others[0], loop, &calls[1].msg);
}

static void hop(int n)
{
    io = io_uv_new();
    loop = loop_start(io, LOOP_NET, "net");
    others[0] = loop_start(io, LOOP_DISK, "disk");
    calls[1] = (struct call){.msg.run = call_run, .fn = other_stopped};
    rounds = n;
    call_post(loop, &calls[0], ping, NULL);
    io_uv_run(io);
    io_uv_drop(io);
}

/* A message is answered however often the loops fall asleep in between. WEIR_HOPS=n prints what a round
 * costs. */
TEST(loop, wakes_whenever_it_is_told)
{
    const char *n = getenv("WEIR_HOPS");
    struct timespec a, b;

    clock_gettime(CLOCK_MONOTONIC, &a);
    hop(n ? atoi(n) : 1000);
    clock_gettime(CLOCK_MONOTONIC, &b);
    if (n)
        printf("%.2f us a round\n",
               ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1e3 / atoi(n));
}

static void stop_asked(void *arg)
{
    printf("stop\n");
    fflush(stdout);
    loop_stop(loop, NULL, NULL);
}

static void await_signal(void *arg)
{
    calls[0] = (struct call){.msg.run = call_run, .fn = stop_asked};
    if (arg == NULL)
        io_on_stop(io, loop, &calls[0].msg);
    CHECK(kill(getpid(), SIGTERM) == 0);
}

/* SIGTERM posts the message that asks for a stop, and the process ends as its loops stop. */
TEST(loop, sigterm_asks_for_a_stop)
{
    world_run(LOOP_DISK, await_signal, &io, &loop);
}

/* Where nobody has asked to be told, SIGTERM ends the process as it always does. */
TEST(loop, sigterm_kills_where_nobody_listens)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        io = io_uv_new();
        loop = loop_start(io, LOOP_DISK, "test");
        call_post(loop, &calls[1], await_signal, io);
        io_uv_run(io);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGTERM);
}

/* Lines that nobody reads are dropped and counted; nobody waits for the reader. */
TEST(loop, say_drops_rather_than_waits)
{
    int fds[2], n = 0;
    char line[1000], text[4096];
    bool counted = false;

    memset(line, 'x', sizeof(line));
    CHECK(pipe(fds) == 0 && dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
    close(fds[1]);
    io = io_uv_new();
    for (int k = 0; k < 1000; k++)
        io_say(io, slice_of(line, sizeof(line)));
    pid_t reader = fork();
    if (reader == 0) {
        close(STDERR_FILENO);
        FILE *f = fdopen(fds[0], "r");
        while (fgets(text, sizeof(text), f)) {
            counted |= strstr(text, "lines were dropped here") != NULL;
            n++;
        }
        _exit(counted && n > 64 && n < 500 ? 0 : 1);
    }
    io_uv_drop(io);
    close(STDERR_FILENO);
    int status;
    CHECK(waitpid(reader, &status, 0) == reader && WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* Chance differs, the boot's name doesn't, and the wall clock is of this century. */
TEST(loop, outside_facts)
{
    uint8_t a[16], b[16];

    io = io_uv_new();
    io_random(io, a, 16);
    io_random(io, b, 16);
    CHECK(memcmp(a, b, 16) != 0);
    io_boot_id(io, a);
    io_boot_id(io, b);
    CHECK(memcmp(a, b, 16) == 0 && memcmp(a, (uint8_t[16]){0}, 16) != 0);
    CHECK(io_wall_ms(io) > 1700000000000);
    io_uv_drop(io);
}

static void work(void *arg)
{
    struct timespec until = {.tv_nsec = (intptr_t)arg * MS};

    (void)nanosleep(&until, NULL);
}

static uint64_t stalls_told(enum loop_kind kind)
{
    uint64_t told;

    io = io_uv_new();
    loop = loop_start(io, kind, "loop");
    call_post(loop, &calls[0], work, (void *)0);
    call_post(loop, &calls[1], work, (void *)5);
    call_post(loop, &calls[2], work, (void *)0);
    loop_stop(loop, NULL, NULL);
    io_uv_run(io);
    told = trace_count(io_trace(io), TR_loop_stalled);
    io_uv_drop(io);
    return told;
}

/* A callback that keeps a loop from others for more than 2 ms leaves a trace row, and nothing else does. On a busy machine
 * another process may have had the core meanwhile, but not every time. */
TEST_EACH(loop, a_long_callback_is_told, kinds)
{
    uint64_t told = 0;

    for (int i = 0; i < 50 && told != 1; i++) {
        told = stalls_told(*row);
        CHECK(told >= 1);
    }
    CHECK_EQ(told, 1);
}
