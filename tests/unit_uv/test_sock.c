#include "world.h"
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Both ends of connections on one loop, and what happened at each, as a line of text. */
struct peer {
    struct sock s;
    uint8_t *buf;
    size_t got, room, piece; /* piece: room() gives at most so much */
    int rooms;               /* room() calls left before it gives nothing; < 0: no end */
    int refusals;            /* room() calls that gave nothing */
    bool open, closed, in_call;
    enum err why;
    void (*came)(struct peer *p);
    void (*opened)(struct peer *p);
    void (*ended)(struct peer *p);
};

enum { BUF = 8 << 20 };

static struct io *io;
static struct loop *loop;
static struct peer client, server;
static struct listener listener;
static struct addr local = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
static uint8_t pattern[4 << 20];
static int dones, canceled;
static int held_ticket;

static void p_open(struct sock *s)
{
    struct peer *p = container_of(s, struct peer, s);

    CHECK(!p->in_call && !p->open);
    p->open = true;
    if (p->opened)
        p->opened(p);
}

static struct slice p_room(struct sock *s)
{
    struct peer *p = container_of(s, struct peer, s);
    size_t left = p->room - p->got;

    CHECK(!p->in_call && !p->closed);
    if (p->rooms == 0) {
        p->refusals++;
        return SLICE_NULL;
    }
    p->rooms--;
    return slice_of(p->buf + p->got, left < p->piece ? left : p->piece);
}

static void p_came(struct sock *s, size_t len)
{
    struct peer *p = container_of(s, struct peer, s);

    CHECK(!p->closed && len > 0 && len <= p->piece);
    p->got += len;
    if (p->came)
        p->came(p);
}

static void p_closed(struct sock *s, enum err why)
{
    struct peer *p = container_of(s, struct peer, s);

    CHECK(!p->in_call && !p->closed);
    p->closed = true;
    p->why = why;
    if (p->ended)
        p->ended(p);
}

static const struct sock_ops ops = {.open = p_open, .room = p_room, .came = p_came, .closed = p_closed};

static void sent(struct out *out, enum err err)
{
    CHECK(!server.in_call && !client.in_call);
    if (err)
        canceled++;
    else
        dones++;
}

/* Sends memory that stays; the request is given back to the heap at the end of the process. */
static void send(struct peer *p, const struct part *v, int n)
{
    static struct out outs[4096];
    static int used;

    CHECK(used < 4096);
    struct out *o = &outs[used++];
    *o = (struct out){.v = v, .n = n, .done = sent};
    p->in_call = true;
    sock_send(&p->s, o);
    p->in_call = false;
}

static void close_peer(struct peer *p)
{
    p->in_call = true;
    sock_close(&p->s);
    p->in_call = false;
}

static void stop_when_both_ended(struct peer *p)
{
    if (client.closed && server.closed) {
        listener_close(&listener);
        loop_stop(loop, NULL, NULL);
    }
}

static void nothing(struct peer *p)
{
}

static void peer_init(struct peer *p)
{
    p->buf = malloc(BUF);
    p->room = BUF;
    if (!p->piece) {
        p->piece = 100000;
        p->rooms = -1;
    }
    if (!p->ended)
        p->ended = stop_when_both_ended;
}

static void adopt(struct listener *l, int ticket, const struct addr *peer)
{
    CHECK(peer->port != 0 && memcmp(peer->ip, local.ip, 16) == 0);
    server.in_call = true;
    sock_adopt(loop, &server.s, &ops, ticket);
    server.in_call = false;
}

static void dial(void)
{
    client.in_call = true;
    sock_dial(loop, &client.s, &ops, &local);
    client.in_call = false;
}

static void listen_and_dial(void *arg)
{
    if (!listener.arrived)
        listener.arrived = adopt;
    CHECK_OK(sock_listen(loop, &listener, &local));
    CHECK(local.port != 0);
    dial();
}

static struct call first;
static struct file *file;
static void (*before)(void); /* the loop starts */

/* The test has set the hooks of both peers. */
static void run(void)
{
    for (size_t k = 0; k < sizeof(pattern); k++)
        pattern[k] = (uint8_t)(k * 31 + k / 251);
    peer_init(&client);
    peer_init(&server);
    io = io_uv_new();
    if (before)
        before();
    loop = loop_start(io, LOOP_NET, "net");
    call_post(loop, &first, listen_and_dial, NULL);
    io_uv_run(io);
    if (file)
        file_unref(file);
    io_uv_drop(io);
    free(client.buf);
    free(server.buf);
}

static struct part echo_part[4096];
static int echoes;

static void echo(struct peer *p)
{
    static size_t from;

    echo_part[echoes] = (struct part){.mem = slice_of(p->buf + from, p->got - from)};
    send(p, &echo_part[echoes++], 1);
    from = p->got;
}

static void send_pieces(struct peer *p)
{
    static struct part v[1000];

    for (int k = 0; k < 1000; k++) {
        v[k].mem = slice_of(pattern + k * 100, 100);
        send(p, &v[k], 1);
    }
}

static void close_at_100000(struct peer *p)
{
    if (p->got == 100000) {
        CHECK(memcmp(p->buf, pattern, p->got) == 0);
        close_peer(p);
    }
}

/* Bytes come back from an echo whole and in order; the end that didn't close sees EOF, and no callback comes
 * inside a call. */
TEST(sock, echo)
{
    client.opened = send_pieces;
    client.came = close_at_100000;
    server.came = echo;
    run();
    CHECK_EQ(client.why, E_CANCELED);
    CHECK_EQ(server.why, E_EOF);
    CHECK(client.open && server.open && dones == 1000 + echoes && canceled == 0);
}

static struct part mixed[5];

static void write_file(void)
{
    struct slice v = slice_of(pattern, sizeof(pattern));
    char path[512];

    snprintf(path, sizeof(path), "%s/f", test_dir());
    CHECK_OK(file_open(io, path, FILE_WRITE | FILE_NEW, &file));
    CHECK_OK(file_write(file, 0, &v, 1));
}

static void send_mixed(struct peer *p)
{
    mixed[0] = (struct part){.mem = SLICE("head")};
    mixed[1] = (struct part){.file = file, .at = 1000, .len = 3000000};
    mixed[2] = (struct part){.mem = SLICE("")};
    mixed[3] = (struct part){.file = file, .at = 0, .len = 10};
    mixed[4] = (struct part){.mem = SLICE("tail")};
    send(p, mixed, 5);
    send(p, NULL, 0);
    close_peer(p);
}

/* Ranges of files leave between pieces of memory, in order, and sock_close() lets all that was sent leave
 * first. */
TEST(sock, files_and_memory_in_order)
{
    before = write_file;
    server.opened = send_mixed;
    run();
    CHECK(client.why == E_EOF && server.why == E_CANCELED && dones == 2);
    CHECK_EQ(client.got, 4 + 3000000 + 10 + 4);
}

static struct part too_long;

static void send_too_long(struct peer *p)
{
    too_long = (struct part){.file = file, .at = sizeof(pattern) - 10, .len = 20};
    send(p, &too_long, 1);
}

/* A file that is shorter than what was promised ends the connection: the peer must not take what follows for
 * it. */
TEST(sock, short_file_ends_connection)
{
    before = write_file;
    server.opened = send_too_long;
    run();
    CHECK(canceled == 1 && dones == 0 && server.why == E_RESET && client.got == 10);
}

static void dial_nobody(void *arg)
{
    CHECK_OK(sock_listen(loop, &listener, &local));
    listener_close(&listener);
    dial();
}

static void stop_alone(struct peer *p)
{
    loop_stop(loop, NULL, NULL);
}

/* Where nobody listens, the dialler is told so, later and once. */
TEST(sock, refused)
{
    peer_init(&client);
    client.ended = stop_alone;
    world_run(LOOP_NET, dial_nobody, &io, &loop);
    CHECK(client.why == E_REFUSED && !client.open);
    free(client.buf);
}

static struct timer rest;
static struct part whole;

static void send_whole(struct peer *p)
{
    for (int k = 0; k < 20; k++)
        send(p, &whole, 1);
    close_peer(p);
}

static void look_again(struct timer *t)
{
    CHECK_EQ(client.got, 300);
    CHECK_EQ(client.refusals, 1);       /* it isn't asked again and again */
    CHECK(canceled == 0 && dones < 20); /* the kernel holds some, we hold the rest */
    client.rooms = -1;
    client.piece = 1 << 20;
    client.in_call = true;
    sock_more(&client.s);
    client.in_call = false;
}

static void read_three(struct peer *p)
{
    if (p->got == 300) {
        rest.fire = look_again;
        timer_set(loop, &rest, loop_now(loop) + 30 * 1000000);
    }
    if (p->got > 300)
        p->got = 300; /* the same room again */
}

/* Who gives no room isn't sent more than the kernel holds, and goes on where it was once it asks for more. */
TEST(sock, empty_room_pauses_reading)
{
    whole.mem = slice_of(pattern, sizeof(pattern));
    server.opened = send_whole;
    client.came = read_three;
    client.piece = 100;
    client.rooms = 3;
    run();
    CHECK(client.why == E_EOF && server.why == E_CANCELED && dones == 20);
}

static void close_twice(struct peer *p)
{
    send_whole(p);
    close_peer(p);
    CHECK_EQ(canceled, 0);
}

/* A second sock_close() ends at once what the first would have waited for. */
TEST(sock, second_close_cancels)
{
    whole.mem = slice_of(pattern, sizeof(pattern));
    server.opened = close_twice;
    run();
    CHECK(server.why == E_CANCELED && canceled == 20 && dones == 0 && client.got == 0);
}

static struct part late;

static void send_late(struct peer *p)
{
    late.mem = SLICE("late");
    whole.mem = slice_of(pattern, 1000);
    send(p, &whole, 1);
    close_peer(p);
    send(p, &late, 1);
}

/* What is sent after sock_close() is canceled and keeps nothing sent before it from leaving. */
TEST(sock, late_send_is_canceled)
{
    server.opened = send_late;
    run();
    CHECK(dones == 1 && canceled == 1 && client.got == 1000 && client.why == E_EOF);
}

static void keep_ticket(struct listener *l, int ticket, const struct addr *peer)
{
    held_ticket = ticket;
    listener_close(l);
    adopt(l, ticket, peer);
}

static void stop_at_both(struct peer *p)
{
    if (client.closed && server.closed)
        loop_stop(loop, NULL, NULL);
}

/* A ticket that wasn't adopted when its listener closed is refused: both sides learn it. */
TEST(sock, closed_listener_refuses_tickets)
{
    listener.arrived = keep_ticket;
    peer_init(&client);
    peer_init(&server);
    client.ended = server.ended = stop_at_both;
    world_run(LOOP_NET, listen_and_dial, &io, &loop);
    CHECK(server.why == E_CANCELED && !server.open && client.closed);
    free(client.buf);
    free(server.buf);
}

static void stop_now(struct peer *p)
{
    send(p, &whole, 1);
    loop_stop(loop, NULL, NULL);
}

/* A loop that stops ends its connections, and tells each, before it tells that it has stopped. */
TEST(sock, stop_ends_connections)
{
    whole.mem = slice_of(pattern, sizeof(pattern));
    peer_init(&client);
    peer_init(&server);
    client.ended = server.ended = nothing;
    server.opened = stop_now;
    world_run(LOOP_NET, listen_and_dial, &io, &loop);
    CHECK(client.why == E_CANCELED && server.why == E_CANCELED && dones + canceled == 1);
    free(client.buf);
    free(server.buf);
}

static struct rlimit before_limit;

static void limit_descriptors(void *arg)
{
    CHECK_OK(sock_listen(loop, &listener, &local));
    dial();
    int next = dup(0); /* the lowest free one */
    close(next);
    CHECK(getrlimit(RLIMIT_NOFILE, &before_limit) == 0);
    struct rlimit low = {.rlim_cur = (rlim_t)next, .rlim_max = before_limit.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
}

static void dial_again(struct peer *p)
{
    CHECK(setrlimit(RLIMIT_NOFILE, &before_limit) == 0);
    CHECK(p->why == E_EOF || p->why == E_RESET);
    p->closed = p->open = false;
    p->ended = stop_when_both_ended;
    p->opened = close_peer;
    dial();
}

/* Out of descriptors, a connection is refused rather than left waiting, and the next is taken when there are
 * some. */
TEST(sock, out_of_descriptors)
{
    listener.arrived = adopt;
    peer_init(&client);
    peer_init(&server);
    client.ended = dial_again;
    world_run(LOOP_NET, limit_descriptors, &io, &loop);
    CHECK(server.open && server.why == E_EOF);
    free(client.buf);
    free(server.buf);
}

static struct loop *other;
static struct call on_other;

static void other_done(void *arg)
{
    listener_close(&listener);
    loop_stop(loop, NULL, NULL);
}

static void server_ended(struct peer *p)
{
    CHECK(p->s.loop == other && memcmp(p->buf, pattern, 100000) == 0);
    first = (struct call){.msg.run = call_run, .fn = other_done};
    loop_stop(other, loop, &first.msg);
}

static void adopt_there(void *arg)
{
    sock_adopt(other, &server.s, &ops, held_ticket);
}

static void pass_on(struct listener *l, int ticket, const struct addr *peer)
{
    held_ticket = ticket;
    call_post(other, &on_other, adopt_there, NULL);
}

static void send_and_close(struct peer *p)
{
    send_pieces(p);
    close_peer(p);
}

static void start_other(void)
{
    other = loop_start(io, LOOP_NET, "other");
}

/* A connection is adopted by another loop than the one that listens, and lives there. */
TEST(sock, adopted_by_another_loop)
{
    before = start_other;
    listener.arrived = pass_on;
    client.opened = send_and_close;
    client.ended = nothing;
    server.ended = server_ended;
    run();
    CHECK(server.got == 100000 && server.why == E_EOF);
}
