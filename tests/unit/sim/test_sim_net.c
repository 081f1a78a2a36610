#include "base/check.h"
#include "tests/check.h"
#include "tests/sim/sim.h"
#include <stdlib.h>

enum { BYTES = 1 << 20, PORT = 1000 };

/* A sender on node 1 dials a reader on node 2 and sends BYTES in one piece. */
struct pair {
    struct sim *s;
    struct io *io[3];
    struct listener listener;
    struct loop *loop[3];
    struct sock sender, reader;
    uint8_t *bytes, *got;
    size_t n_got;
    size_t read_max; /* the reader's appetite */
    bool opened, sent, adopted, sender_closed, reader_closed, close_when_sent;
    enum err sent_err, sender_why, reader_why;
    struct out out;
    struct part part;
};

static struct pair *pair_of;

static void sent(struct out *out, enum err err)
{
    CHECK(!pair_of->sent && !pair_of->sender_closed);
    pair_of->sent = true;
    pair_of->sent_err = err;
}

static void sender_open(struct sock *sock)
{
    struct pair *p = pair_of;

    p->opened = true;
    p->part = (struct part){.mem = slice_of(p->bytes, BYTES)};
    p->out = (struct out){.v = &p->part, .n = 1, .done = sent};
    sock_send(sock, &p->out);
    CHECK(!p->sent); /* never inline */
    if (p->close_when_sent)
        sock_close(sock);
}

static struct slice no_room(struct sock *sock)
{
    return slice_of(pair_of->bytes, 0);
}

static void none_came(struct sock *sock, size_t len)
{
    CHECK(false);
}

static void sender_closed(struct sock *sock, enum err why)
{
    CHECK(!pair_of->sender_closed);
    CHECK(pair_of->sent || !pair_of->opened);
    pair_of->sender_closed = true;
    pair_of->sender_why = why;
}

static void reader_open(struct sock *sock)
{
}

static struct slice reader_room(struct sock *sock)
{
    struct pair *p = pair_of;

    CHECK(!p->reader_closed);
    return slice_of(p->got + p->n_got, p->read_max - p->n_got);
}

static void reader_came(struct sock *sock, size_t len)
{
    CHECK(len > 0);
    pair_of->n_got += len;
}

static void reader_closed(struct sock *sock, enum err why)
{
    pair_of->reader_closed = true;
    pair_of->reader_why = why;
}

static const struct sock_ops sender_ops = {sender_open, no_room, none_came, sender_closed};
static const struct sock_ops reader_ops = {reader_open, reader_room, reader_came, reader_closed};

static void came(struct listener *l, int ticket, const struct addr *peer)
{
    CHECK_EQ(peer->ip[15], 1);
    pair_of->adopted = true;
    sock_adopt(pair_of->loop[2], &pair_of->reader, &reader_ops, ticket);
}

static void listen_now(struct loop *loop, void *arg)
{
    struct addr at = sim_addr(2, PORT);

    pair_of->loop[2] = loop;
    pair_of->listener.arrived = came;
    CHECK_OK(sock_listen(loop, &pair_of->listener, &at));
}

static void dial_now(struct loop *loop, void *arg)
{
    struct addr to = sim_addr(2, PORT);

    sock_dial(loop, &pair_of->sender, &sender_ops, &to);
}

static void more_now(struct loop *loop, void *arg)
{
    pair_of->read_max = BYTES + 1; /* where the end is found */
    sock_more(&pair_of->reader);
}

static void pair_begin(struct pair *p, uint64_t seed)
{
    *p = (struct pair){
        .s = sim_new(seed), .bytes = malloc(BYTES), .got = malloc(BYTES + 1), .read_max = BYTES};
    pair_of = p;
    for (int i = 0; i < BYTES; i++)
        p->bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    p->io[1] = sim_node(p->s, 1);
    p->io[2] = sim_node(p->s, 2);
}

static void pair_end(struct pair *p)
{
    sim_drop(p->s);
    free(p->bytes);
    free(p->got);
}

static void pair_dial(struct pair *p)
{
    CHECK(sim_call(p->s, p->io[2], LOOP_NET, listen_now, p));
    CHECK(sim_call(p->s, p->io[1], LOOP_NET, dial_now, p));
}

static void pass(struct pair *p, int64_t ms)
{
    (void)sim_run(p->s, NULL, NULL, ms * 1000000);
}

/* All bytes come in order, then the end; a close sends first what was given to it. */
TEST(sim, bytes_come_in_order_and_then_the_end)
{
    struct pair p;

    for (uint64_t seed = 0; seed < 10; seed++) {
        pair_begin(&p, seed);
        p.close_when_sent = true;
        pair_dial(&p);
        pass(&p, 10000);
        CHECK(p.sent && p.sent_err == E_OK);
        CHECK(p.sender_closed && p.sender_why == E_CANCELED);
        CHECK_EQ(p.n_got, BYTES);
        CHECK(p.n_got == BYTES && memcmp(p.bytes, p.got, BYTES) == 0);
        CHECK(!p.reader_closed); /* it had no room: not asked again before sock_more() */
        CHECK(sim_call(p.s, p.io[2], LOOP_NET, more_now, &p));
        pass(&p, 1000);
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
    pass(&p, 10000);
    CHECK(!p.sent);
    CHECK_EQ(p.n_got, 100);
    CHECK(sim_call(p.s, p.io[2], LOOP_NET, more_now, &p));
    pass(&p, 10000);
    CHECK(p.sent && p.n_got == BYTES && memcmp(p.bytes, p.got, BYTES) == 0);
    pair_end(&p);
}

/* Nobody listens: refused. The machine is off: a timeout. */
TEST(sim, dials_fail_as_the_world_is)
{
    struct pair p;

    pair_begin(&p, 1);
    CHECK(sim_call(p.s, p.io[1], LOOP_NET, dial_now, &p));
    pass(&p, 100);
    CHECK(p.sender_closed && p.sender_why == E_REFUSED);
    p.sender_closed = false;
    sim_crash(p.s, 2, SIM_POWER);
    CHECK(sim_call(p.s, p.io[1], LOOP_NET, dial_now, &p));
    pass(&p, 60000);
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
    pass(&p, 1000);
    sim_partition(p.s, 1, 2, true);
    CHECK(sim_call(p.s, p.io[2], LOOP_NET, more_now, &p));
    pass(&p, 5000);
    CHECK(p.n_got < BYTES && !p.reader_closed);
    sim_heal(p.s);
    pass(&p, 5000);
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
    pass(&p, 1000);
    sim_crash(p.s, 2, SIM_PROCESS);
    pass(&p, 100);
    CHECK(p.sender_closed && p.sender_why == E_RESET);
    CHECK(p.sent && p.sent_err == E_CANCELED);
    pair_end(&p);

    pair_begin(&p, 1);
    p.read_max = 100;
    pair_dial(&p);
    pass(&p, 1000);
    sim_crash(p.s, 1, SIM_POWER);
    p.read_max = BYTES;
    CHECK(sim_call(p.s, p.io[2], LOOP_NET, more_now, &p));
    pass(&p, 100000);
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
    pass(&p, 1000);
    CHECK(sim_call(p.s, p.io[2], LOOP_DISK, stop_reader, &gone));
    pass(&p, 1000);
    CHECK(gone.run == NULL && p.reader_why == E_CANCELED);
    CHECK(p.sender_closed);
    p.sender_closed = false;
    CHECK(sim_call(p.s, p.io[1], LOOP_NET, dial_now, &p));
    pass(&p, 1000);
    CHECK(p.sender_closed && p.sender_why == E_REFUSED);
    pair_end(&p);
}
