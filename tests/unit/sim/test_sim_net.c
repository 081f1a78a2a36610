#include "pair.h"

/* All bytes come in order, then the end; a close sends first what was given to it. */
TEST(sim, bytes_come_in_order_and_then_the_end)
{
    struct pair p;

    for (uint64_t seed = 0; seed < 10; seed++) {
        pair_begin(&p, seed);
        p.close_when_sent = true;
        pair_dial(&p);
        pair_pass(&p, 10000);
        CHECK(p.sent && p.sent_err == E_OK);
        CHECK(p.sender_closed && p.sender_why == E_CANCELED);
        CHECK_EQ(p.n_got, BYTES);
        CHECK(p.n_got == BYTES && memcmp(p.bytes, p.got, BYTES) == 0);
        CHECK(!p.reader_closed); /* it had no room: not asked again before sock_more() */
        pair_more(&p);
        pair_pass(&p, 1000);
        CHECK(p.reader_closed && p.reader_why == E_EOF);
        pair_end(&p);
    }
}

/* A reader that stops reading stops the sender, behind no more than the kernels' buffers. */
TEST(sim, slow_reader_holds_the_sender)
{
    struct pair p;

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pair_pass(&p, 10000);
    CHECK(!p.sent);
    CHECK_EQ(p.n_got, 100);
    pair_more(&p);
    pair_pass(&p, 10000);
    CHECK(p.sent && p.n_got == BYTES && memcmp(p.bytes, p.got, BYTES) == 0);
    pair_end(&p);
}

/* Nobody listens: refused. The machine is off: a timeout. */
TEST(sim, dials_fail_as_the_world_is)
{
    struct pair p;

    pair_begin(&p, 1);
    CHECK(sim_call(p.s, p.io[1], LOOP_NET, pair_dial_now, &p));
    pair_pass(&p, 100);
    CHECK(p.sender_closed && p.sender_why == E_REFUSED);
    p.sender_closed = false;
    sim_crash(p.s, 2, SIM_POWER);
    CHECK(sim_call(p.s, p.io[1], LOOP_NET, pair_dial_now, &p));
    pair_pass(&p, 60000);
    CHECK(p.sender_closed && p.sender_why == E_TIMEOUT && !p.opened);
    pair_end(&p);
}

/* Nothing passes a partition, and everything does once it is healed. */
TEST(sim, partition_delays_until_healed)
{
    struct pair p;

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pair_pass(&p, 1000);
    sim_partition(p.s, 1, 2, true);
    pair_more(&p);
    pair_pass(&p, 5000);
    CHECK(p.n_got < BYTES && !p.reader_closed);
    sim_heal(p.s);
    pair_pass(&p, 5000);
    CHECK(p.n_got == BYTES && memcmp(p.bytes, p.got, BYTES) == 0);
    pair_end(&p);
}

/* A killed process closes its connections at once; a machine without power says nothing until it is back. */
TEST(sim, peers_see_crashes)
{
    struct pair p;

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pair_pass(&p, 1000);
    sim_crash(p.s, 2, SIM_PROCESS);
    pair_pass(&p, 100);
    CHECK(p.sender_closed && p.sender_why == E_RESET);
    CHECK(p.sent && p.sent_err == E_CANCELED);
    pair_end(&p);

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pair_pass(&p, 1000);
    sim_crash(p.s, 1, SIM_POWER);
    p.read_max = BYTES;
    pair_more(&p);
    pair_pass(&p, 100000);
    CHECK(p.n_got < BYTES && !p.reader_closed);
    pair_end(&p);
}

static void stop_reader(struct loop *loop, void *arg)
{
    loop_stop(pair_of->loop[2], loop, arg);
}

static void loop_gone(struct msg *msg)
{
    CHECK(pair_of->reader_closed); /* first the sockets, then the loop */
    msg->run = NULL;
}

/* A loop that stops ends its sockets first, and its listener refuses from then on. */
TEST(sim, stopped_loop_closes_its_sockets)
{
    struct pair p;
    struct msg gone = {.run = loop_gone};

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pair_pass(&p, 1000);
    CHECK(sim_call(p.s, p.io[2], LOOP_DISK, stop_reader, &gone));
    pair_pass(&p, 1000);
    CHECK(gone.run == NULL && p.reader_why == E_CANCELED);
    CHECK(p.sender_closed);
    p.sender_closed = false;
    CHECK(sim_call(p.s, p.io[1], LOOP_NET, pair_dial_now, &p));
    pair_pass(&p, 1000);
    CHECK(p.sender_closed && p.sender_why == E_REFUSED);
    pair_end(&p);
}
