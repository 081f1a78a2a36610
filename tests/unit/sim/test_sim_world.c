/* What befalls machines of a cluster: pauses, one-way cuts, slow and lossy ways, slow disks, clocks that jump. */
#include "pair.h"

static void look(struct loop *loop, void *arg)
{
    *(int64_t *)arg = loop_now(loop);
}

/* A process that is paused runs nothing, while its kernel connects and takes in what its buffers hold; afterwards
 * everything goes on. */
TEST(sim, a_paused_process_is_silent_and_its_kernel_isnt)
{
    struct pair p;

    pair_begin(&p, 1);
    CHECK(sim_call(p.s, p.io[2], LOOP_NET, pair_listen_now, &p));
    sim_pause(p.s, 2, true);
    CHECK(sim_call(p.s, p.io[1], LOOP_NET, pair_dial_now, &p));
    pair_pass(&p, 100000);
    CHECK(sim_paused(p.s, 2) && p.opened && !p.adopted && !p.sent && !p.sender_closed);
    sim_pause(p.s, 2, false);
    pair_pass(&p, 10000);
    CHECK(p.adopted && p.sent && p.n_got == BYTES && memcmp(p.bytes, p.got, BYTES) == 0);
    pair_end(&p);
}

/* A sender that is paused gives nothing more to its kernel, which sends on what it has. */
TEST(sim, a_paused_sender_sends_what_its_kernel_holds)
{
    struct pair p;
    size_t got;

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pair_pass(&p, 1000);
    sim_pause(p.s, 1, true);
    pair_more(&p);
    pair_pass(&p, 10000);
    got = p.n_got;
    CHECK(got > 100 && got < BYTES && !p.sent);
    pair_pass(&p, 10000);
    CHECK_EQ(p.n_got, got);
    sim_pause(p.s, 1, false);
    pair_pass(&p, 10000);
    CHECK(p.sent && p.n_got == BYTES);
    pair_end(&p);
}

static void rang(struct timer *t)
{
    t->fire = NULL;
}

static void wind(struct loop *loop, void *arg)
{
    timer_set(loop, arg, loop_now(loop) + 1000000);
}

/* Timers of a paused process ring when it goes on. */
TEST(sim, timers_of_a_paused_process_ring_late)
{
    struct sim *s = sim_new(1);
    struct timer t = {.fire = rang};
    struct io *io = sim_node(s, 1);

    CHECK(sim_call(s, io, LOOP_NET, wind, &t));
    sim_pause(s, 1, true);
    (void)sim_run(s, NULL, NULL, 1000000000);
    CHECK(t.fire != NULL);
    sim_pause(s, 1, false);
    (void)sim_run(s, NULL, NULL, 1000000);
    CHECK(t.fire == NULL);
    sim_drop(s);
}

struct syncing {
    struct io *io;
    struct file *file;
    struct msg msg;
    int n; /* syncs that have returned */
};

static void sync_prepare(struct loop *loop, void *arg)
{
    struct syncing *y = arg;

    CHECK_OK(file_open(y->io, "/f", FILE_WRITE | FILE_CREATE, &y->file));
}

static void sync_one(struct msg *msg)
{
    struct syncing *y = container_of(msg, struct syncing, msg);

    CHECK_OK(file_sync(&y->file, 1));
    y->n++;
}

/* A DISK loop that is paused within a file call goes on behind it later, also when it is killed meanwhile. */
TEST(sim, a_file_call_waits_for_a_paused_process)
{
    for (int kill = 0; kill < 2; kill++) {
        struct sim *s = sim_new(1);
        struct syncing y = {.io = sim_node(s, 1), .msg.run = sync_one};
        struct loop *loop = loop_start(y.io, LOOP_DISK, "disk");

        CHECK(sim_call(s, y.io, LOOP_DISK, sync_prepare, &y));
        loop_post(loop, &y.msg);
        (void)sim_run(s, NULL, NULL, 20000); /* it is in the sync */
        sim_pause(s, 1, true);
        (void)sim_run(s, NULL, NULL, 1000000000);
        CHECK_EQ(y.n, 0);
        if (kill)
            sim_crash(s, 1, SIM_PROCESS);
        else
            sim_pause(s, 1, false);
        (void)sim_run(s, NULL, NULL, 1000000000);
        CHECK_EQ(y.n, !kill);
        sim_drop(s);
    }
}

/* A disk is as slow as it was told to be, and only that machine's. */
TEST(sim, a_slow_disk_is_slow)
{
    const struct sim_range slow = {50000000, 60000000};

    for (int told = 0; told < 2; told++) {
        struct sim *s = sim_new(1);
        struct syncing y = {.io = sim_node(s, 1), .msg.run = sync_one};
        struct loop *loop = loop_start(y.io, LOOP_DISK, "disk");

        CHECK(sim_call(s, y.io, LOOP_DISK, sync_prepare, &y));
        sim_disk_speed(s, told ? 1 : 2, &slow);
        loop_post(loop, &y.msg);
        (void)sim_run(s, NULL, NULL, 49000000);
        CHECK_EQ(y.n, !told);
        (void)sim_run(s, NULL, NULL, 12000000);
        CHECK_EQ(y.n, 1);
        sim_drop(s);
    }
}

/* Where only the way back is cut, bytes arrive until the window is full, and then the sender gives up in time. */
TEST(sim, a_cut_of_the_way_back_stops_the_sender)
{
    struct pair p;
    size_t got;

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pair_pass(&p, 1000);
    sim_partition(p.s, 2, 1, true);
    pair_more(&p);
    pair_pass(&p, 5000);
    got = p.n_got;
    CHECK(got > 100 && got < BYTES && !p.sent && !p.sender_closed);
    pair_pass(&p, 60000);
    CHECK_EQ(p.n_got, got);
    CHECK(p.sender_closed && p.sender_why == E_TIMEOUT && !p.reader_closed);
    pair_end(&p);
}

/* … and if it is healed before, everything goes on. */
TEST(sim, a_healed_way_back_loses_nothing)
{
    struct pair p;

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pair_pass(&p, 1000);
    sim_partition(p.s, 2, 1, true);
    pair_more(&p);
    pair_pass(&p, 5000);
    sim_partition(p.s, 2, 1, false);
    pair_pass(&p, 10000);
    CHECK(p.sent && p.n_got == BYTES && memcmp(p.bytes, p.got, BYTES) == 0);
    pair_end(&p);
}

/* Bytes that wait at a cut are given up in time, and never come out of it then. */
TEST(sim, what_a_sender_gave_up_never_arrives)
{
    struct pair p;
    size_t got;

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pair_pass(&p, 1000);
    sim_partition(p.s, 1, 2, true);
    pair_more(&p);
    pair_pass(&p, 60000);
    CHECK(p.sender_closed && p.sender_why == E_TIMEOUT && !p.reader_closed);
    got = p.n_got;
    CHECK(got < BYTES);
    sim_heal(p.s);
    pair_pass(&p, 60000);
    CHECK(p.n_got == got && !p.reader_closed);
    pair_end(&p);
}

static int64_t transfer_ms(const struct sim_link *link)
{
    struct pair p;
    int64_t ms;

    pair_begin(&p, 1);
    if (link)
        sim_link(p.s, 1, 2, link);
    pair_dial(&p);
    for (ms = 0; ms < 100000 && p.n_got < BYTES && !p.sender_closed; ms += 10)
        pair_pass(&p, 10);
    ms = p.n_got == BYTES ? ms : -1;
    pair_end(&p);
    return ms;
}

/* A way has its own latency, rate and resets, in one direction. */
TEST(sim, a_link_is_as_it_was_told)
{
    const struct sim_link far = {.net = {200000000, 200000000}};
    const struct sim_link narrow = {.net = {20000, 60000}, .bytes_per_s = BYTES / 4};
    const struct sim_link broken = {.net = {20000, 60000}, .reset_ppm = 1000000};

    CHECK(transfer_ms(NULL) >= 0 && transfer_ms(NULL) < 200);
    CHECK(transfer_ms(&far) > 1000);
    CHECK(transfer_ms(&narrow) >= 3900 && transfer_ms(&narrow) < 6000);
    CHECK_EQ(transfer_ms(&broken), -1);
}

/* A calm world stalls and resets nothing on any link, and a healed one has plain links. */
TEST(sim, links_end_with_calm_and_heal)
{
    const struct sim_link broken = {.net = {20000, 60000}, .reset_ppm = 1000000};

    for (int heal = 0; heal < 2; heal++) {
        struct pair p;

        pair_begin(&p, 1);
        sim_link(p.s, 1, 2, &broken);
        if (heal)
            sim_heal(p.s);
        else
            sim_calm(p.s);
        pair_dial(&p);
        pair_pass(&p, 10000);
        CHECK_EQ(p.n_got, BYTES);
        pair_end(&p);
    }
}

/* What a stall has delayed comes late in a calm and healed world too, with all that is sent behind it, and it is known when. */
TEST(sim, what_is_under_way_stays_delayed)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        const struct sim_link stalls = {.net = {20000, 60000}, .stall_ppm = 1000000};
        struct pair p;
        int64_t until;
        size_t n_got;

        pair_begin(&p, seed);
        sim_link(p.s, 1, 2, &stalls);
        pair_dial(&p);
        for (int n = 0; n < 1000 && sim_delayed_until(p.s) < sim_now(p.s) + 1000000; n++)
            (void)sim_run(p.s, NULL, NULL, 100000);
        sim_calm(p.s);
        sim_heal(p.s);
        until = sim_delayed_until(p.s);
        CHECK(until >= sim_now(p.s) + 1000000);
        (void)sim_run(p.s, NULL, NULL, until - sim_now(p.s) - 1);
        n_got = p.n_got;
        (void)sim_run(p.s, NULL, NULL, 100000); /* the last of it */
        CHECK(p.n_got > n_got);
        pair_pass(&p, 10000);
        CHECK_EQ(p.n_got, BYTES);
        CHECK_EQ(sim_delayed_until(p.s), sim_now(p.s));
        pair_end(&p);
    }
}

/* A killed process's port refuses at once; a paused one's connects; a machine without power says nothing. */
TEST(sim, a_dial_tells_dead_from_paused_from_powerless)
{
    struct pair p;

    pair_begin(&p, 1);
    CHECK(sim_call(p.s, p.io[2], LOOP_NET, pair_listen_now, &p));
    sim_crash(p.s, 2, SIM_PROCESS);
    CHECK(sim_call(p.s, p.io[1], LOOP_NET, pair_dial_now, &p));
    pair_pass(&p, 2);
    CHECK(p.sender_closed && p.sender_why == E_REFUSED);
    p.sender_closed = false;
    p.io[2] = sim_node(p.s, 2);
    CHECK(sim_call(p.s, p.io[2], LOOP_NET, pair_listen_now, &p));
    sim_pause(p.s, 2, true);
    CHECK(sim_call(p.s, p.io[1], LOOP_NET, pair_dial_now, &p));
    pair_pass(&p, 2);
    CHECK(p.opened && !p.sender_closed);
    sim_crash(p.s, 2, SIM_POWER);
    pair_pass(&p, 20000);
    CHECK(!p.sender_closed);
    pair_end(&p);
}

/* The wall clock jumps both ways; the loop's time doesn't notice. */
TEST(sim, the_wall_jumps_and_time_doesnt)
{
    struct sim *s = sim_new(1);
    struct io *io = sim_node(s, 1);
    int64_t wall = sim_wall_ms(s, 1), before, after;

    CHECK(sim_call(s, io, LOOP_NET, look, &before));
    sim_wall_jump(s, 1, 3600000);
    CHECK_EQ(sim_wall_ms(s, 1), io_wall_ms(io));
    CHECK(io_wall_ms(io) - wall >= 3600000 && io_wall_ms(io) - wall < 3600010);
    sim_wall_jump(s, 1, -7200000);
    CHECK(io_wall_ms(io) < wall);
    CHECK(sim_call(s, io, LOOP_NET, look, &after));
    CHECK(after >= before && after - before < 1000000000);
    sim_drop(s);
}

struct hour {
    struct sim *s;
    int64_t at;
};

static bool has_struck(void *arg)
{
    const struct hour *h = arg;

    return sim_now(h->s) >= h->at;
}

/* A condition on the time alone comes to hold in a world in which nothing happens any more. */
TEST(sim, a_wait_for_the_time_ends_in_a_silent_world)
{
    struct sim *s = sim_new(1);
    struct hour h = {s, sim_now(s) + 1000};

    CHECK(!sim_run(s, has_struck, &h, 999));
    CHECK(sim_run(s, has_struck, &h, 1));
    sim_drop(s);
}
