#include "base/check.h"
#include "tests/check.h"
#include "tests/sim/sim.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Messages in order: a sender on one loop, a receiver on another. */
struct order {
    struct loop *to;
    struct msg msgs[50];
    int came;
};

static struct order *order_of;

static void order_came(struct msg *msg)
{
    CHECK_EQ(msg - order_of->msgs, order_of->came);
    order_of->came++;
}

static void order_send(struct loop *loop, void *arg)
{
    struct order *o = arg;

    for (int i = 0; i < 50; i++) {
        o->msgs[i].run = order_came;
        loop_post(o->to, &o->msgs[i]);
        CHECK_EQ(o->came, 0); /* never inside the call that asked for it; our own cost isn't over */
    }
}

/* One sender's messages run in the order posted, none of them inside loop_post(). */
TEST(sim, messages_run_in_order)
{
    struct sim *s = sim_new(1);
    struct io *io = sim_node(s, 1);
    struct order o = {.to = loop_start(io, LOOP_NET, "to")};

    order_of = &o;
    CHECK(sim_call(s, io, LOOP_DISK, order_send, &o));
    (void)sim_run(s, NULL, NULL, 1000000000);
    CHECK_EQ(o.came, 50);
    sim_drop(s);
}

static void quiet_send(struct loop *loop, void *arg)
{
    struct order *o = arg;

    for (int i = 0; i < 50; i++) {
        o->msgs[i].run = order_came;
        if (i < 49)
            loop_post_quietly(o->to, &o->msgs[i]);
    }
}

static void loud_send(struct loop *loop, void *arg)
{
    loop_post(order_of->to, &order_of->msgs[49]);
}

/* What is posted quietly to a loop that rests lies there until there is something else for it, and runs before that. */
TEST(sim, quiet_messages_wake_nobody)
{
    struct sim *s = sim_new(1);
    struct io *io = sim_node(s, 1);
    struct order o = {.to = loop_start(io, LOOP_NET, "to")};

    order_of = &o;
    CHECK(sim_call(s, io, LOOP_DISK, quiet_send, &o));
    (void)sim_run(s, NULL, NULL, 1000000000);
    CHECK_EQ(o.came, 0);
    CHECK(sim_call(s, io, LOOP_DISK, loud_send, &o));
    (void)sim_run(s, NULL, NULL, 1000000000);
    CHECK_EQ(o.came, 50);
    sim_drop(s);
}

struct timers {
    struct timer timer[4];
    struct loop *loop;
    char fired[8];
};

static struct timers *timers_of;

static void timer_fired(struct timer *timer)
{
    int i = (int)(timer - timers_of->timer);

    CHECK(loop_now(timers_of->loop) >= timer->due);
    timers_of->fired[strlen(timers_of->fired)] = (char)('0' + i);
    if (i == 0)
        timer_stop(&timers_of->timer[1]);
}

static void timers_set(struct loop *loop, void *arg)
{
    struct timers *t = arg;

    t->loop = loop;
    for (int i = 0; i < 4; i++) {
        t->timer[i].fire = timer_fired;
        timer_set(loop, &t->timer[i], loop_now(loop) + 1000000 * (i + 1));
    }
    timer_set(loop, &t->timer[3], loop_now(loop) + 2500000);
}

/* Timers fire by due time, as last set, and not after timer_stop(). */
TEST(sim, timers_fire_by_due_time)
{
    struct sim *s = sim_new(1);
    struct io *io = sim_node(s, 1);
    struct timers t = {0};

    timers_of = &t;
    CHECK(sim_call(s, io, LOOP_NET, timers_set, &t));
    (void)sim_run(s, NULL, NULL, 1000000000);
    CHECK_STR(t.fired, "032");
    sim_drop(s);
}

/* A NET loop that ticks while a DISK loop of the same node waits for its disk. */
struct ticks {
    struct loop *net;
    struct msg start;
    struct timer timer;
    int n, n_during;
};

static void tick(struct timer *timer)
{
    struct ticks *t = container_of(timer, struct ticks, timer);

    t->n++;
    timer_set(t->net, timer, loop_now(t->net) + 1000000);
}

static void ticks_start(struct msg *msg)
{
    struct ticks *t = container_of(msg, struct ticks, start);

    t->timer.fire = tick;
    tick(&t->timer);
}

static struct io *ticks_io;

static void slow_call(struct loop *loop, void *arg)
{
    struct ticks *t = arg;
    int64_t now = loop_now(loop);
    int before = t->n;

    CHECK_OK(dir_make(ticks_io, "/d"));
    t->n_during = t->n - before;
    CHECK_EQ(loop_now(loop), now); /* a loop's time stands still inside a callback */
}

/* A stalled disk holds up its DISK loop and no NET loop. */
TEST(sim, disk_stall_leaves_net_loops_alone)
{
    struct sim *s = sim_new(1);
    struct io *io = sim_node(s, 1);
    struct ticks t = {.net = loop_start(io, LOOP_NET, "net"), .start.run = ticks_start};

    ticks_io = io;
    loop_post(t.net, &t.start);
    sim_disk_stall(s, 1, 500000000);
    CHECK(sim_call(s, io, LOOP_DISK, slow_call, &t));
    CHECK(t.n_during > 400);
    CHECK(sim_now(s) >= 500000000);
    sim_drop(s);
}

static void stopped(struct msg *msg)
{
    msg->run = NULL;
}

static void stop_loops(struct loop *loop, void *arg)
{
    struct ticks *t = arg;

    t->start.run = stopped;
    loop_stop(t->net, loop, &t->start);
}

/* A loop that was stopped says so once, and a node whose loops have stopped can exit. */
TEST(sim, loops_stop_and_nodes_exit)
{
    struct sim *s = sim_new(1);
    struct io *io = sim_node(s, 1);
    struct ticks t = {.net = loop_start(io, LOOP_NET, "net")};

    CHECK(sim_call(s, io, LOOP_DISK, stop_loops, &t));
    (void)sim_run(s, NULL, NULL, 1000000000);
    CHECK(t.start.run == NULL);
    sim_exit(s, 1);
    CHECK(!sim_up(s, 1));
    sim_drop(s);
}

static uint64_t hash_of_run(uint64_t seed, size_t junk)
{
    void *p = malloc(junk);
    struct sim *s = sim_new(seed);
    struct io *io = sim_node(s, 1);
    struct ticks t = {.net = loop_start(io, LOOP_NET, "net"), .start.run = ticks_start};

    ticks_io = io;
    loop_post(t.net, &t.start);
    CHECK(sim_call(s, io, LOOP_DISK, slow_call, &t));
    (void)sim_run(s, NULL, NULL, 1000000000);
    uint64_t hash = sim_trace_hash(s);
    sim_drop(s);
    free(p);
    return hash;
}

/* The same seed gives the same trace wherever memory lies, another seed another one. */
TEST(sim, same_seed_same_trace)
{
    CHECK(hash_of_run(7, 10) == hash_of_run(7, 1000000));
    CHECK(hash_of_run(7, 10) != hash_of_run(8, 10));
}

/* Misuse: each must stop the process. */
static void misuse_file_on_net(struct loop *loop, void *arg)
{
    (void)!dir_make(arg, "/d");
}

static void misuse_sock_on_disk(struct loop *loop, void *arg)
{
    struct listener l = {0};
    struct addr at = sim_addr(1, 0);

    (void)!sock_listen(loop, &l, &at);
}

static void misuse_post_twice(struct loop *loop, void *arg)
{
    static struct msg m = {.run = stopped};

    loop_post(loop, &m);
    loop_post(loop, &m);
}

static const struct misuse {
    enum loop_kind kind;
    void (*fn)(struct loop *loop, void *arg);
} misuses[] = {
    {LOOP_NET, misuse_file_on_net},
    {LOOP_DISK, misuse_sock_on_disk},
    {LOOP_DISK, misuse_post_twice},
};

/* What the contract forbids asserts. */
TEST_EACH(sim, misuse_asserts, misuses)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        struct sim *s = sim_new(1);
        struct io *io = sim_node(s, 1);
        (void)sim_call(s, io, row->kind, row->fn, io);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
