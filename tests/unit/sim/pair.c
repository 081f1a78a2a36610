#include "pair.h"
#include <stdlib.h>

struct pair *pair_of;

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

void pair_listen_now(struct loop *loop, void *arg)
{
    struct addr at = sim_addr(2, PORT);

    pair_of->loop[2] = loop;
    pair_of->listener.arrived = came;
    CHECK_OK(sock_listen(loop, &pair_of->listener, &at));
}

void pair_dial_now(struct loop *loop, void *arg)
{
    struct addr to = sim_addr(2, PORT);

    sock_dial(loop, &pair_of->sender, &sender_ops, &to);
}

static void more_now(struct loop *loop, void *arg)
{
    pair_of->read_max = BYTES + 1; /* where the end is found */
    sock_more(&pair_of->reader);
}

void pair_begin(struct pair *p, uint64_t seed)
{
    *p = (struct pair){
        .s = sim_new(seed), .bytes = malloc(BYTES), .got = malloc(BYTES + 1), .read_max = BYTES};
    pair_of = p;
    for (int i = 0; i < BYTES; i++)
        p->bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    p->io[1] = sim_node(p->s, 1);
    p->io[2] = sim_node(p->s, 2);
}

void pair_end(struct pair *p)
{
    sim_drop(p->s);
    free(p->bytes);
    free(p->got);
}

void pair_dial(struct pair *p)
{
    CHECK(sim_call(p->s, p->io[2], LOOP_NET, pair_listen_now, p));
    CHECK(sim_call(p->s, p->io[1], LOOP_NET, pair_dial_now, p));
}

void pair_pass(struct pair *p, int64_t ms)
{
    (void)sim_run(p->s, NULL, NULL, ms * 1000000);
}

void pair_more(struct pair *p)
{
    CHECK(sim_call(p->s, p->io[2], LOOP_NET, more_now, p));
}
