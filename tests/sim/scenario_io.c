/* io.h alone: servers that store numbered slots and answer when they are durable, and one client that sends each
 * server the next number when the last was answered. Judge: what was answered is on the disk after any crash; of a slot
 * that wasn't, each byte is missing or right. */
#include "base/check.h"
#include "scenario.h"

enum { SERVERS = 3, CLIENT = 9, PORT = 9092, SLOT = 16, ROUNDS = 15 };
#define FILE_PATH "/data/slots"
static const int64_t PATIENCE_NS = 5000000000;

struct frame {
    uint64_t number, check;
};

struct world {
    struct sim *s;
    uint64_t acked[SERVERS + 1];
    uint64_t goal;
};

struct server {
    struct world *w;
    struct io *io;
    int node;
    struct loop *disk, *net;
    struct listener listener;
    struct file *file;
    struct msg start;
};

/* A connection of a server; freed when it is closed and its request is back. */
struct peer {
    struct sock sock;
    struct server *sv;
    struct frame frame, answer;
    size_t got;
    bool busy, closed;
    struct msg store, back;
    struct out out;
    struct part part;
};

static uint64_t check_of(uint64_t number)
{
    return (number + 1) * 0x9e3779b97f4a7c15u;
}

/* ---- server, DISK ---- */

static void server_listen(struct msg *msg);

static enum err server_open(struct server *sv)
{
    enum err err = dir_make(sv->io, "/data");

    if (err && err != E_EXISTS)
        return err;
    err = dir_sync(sv->io, "/");
    if (!err)
        err = file_open(sv->io, FILE_PATH, FILE_WRITE | FILE_CREATE, &sv->file);
    if (!err)
        err = dir_sync(sv->io, "/data");
    return err;
}

/* A disk that fails ends the process, from inside of its own callback: that never returns. */
static void server_start(struct msg *msg)
{
    struct server *sv = container_of(msg, struct server, start);

    if (server_open(sv))
        sim_crash(sv->w->s, sv->node, SIM_PROCESS);
    sv->start.run = server_listen;
    loop_post(sv->net, &sv->start);
}

static void peer_store(struct msg *msg)
{
    struct peer *p = container_of(msg, struct peer, store);
    struct server *sv = p->sv;
    struct slice v[2] = {slice_of(&p->frame.number, 8), slice_of(&p->frame.check, 8)};

    if (file_write(sv->file, (int64_t)p->frame.number * SLOT, v, 2) || file_sync(&sv->file, 1))
        sim_crash(sv->w->s, sv->node, SIM_PROCESS);
    loop_post(sv->net, &p->back);
}

/* ---- server, NET ---- */

static void peer_release(struct peer *p)
{
    if (p->closed && !p->busy)
        heap_free(io_heap(p->sv->io), p);
}

static void peer_sent(struct out *out, enum err err)
{
    struct peer *p = container_of(out, struct peer, out);

    p->busy = false;
    if (err == E_OK && !p->closed) {
        p->got = 0;
        sock_more(&p->sock);
    }
}

static void peer_back(struct msg *msg)
{
    struct peer *p = container_of(msg, struct peer, back);

    if (p->closed) {
        p->busy = false;
        peer_release(p);
        return;
    }
    p->answer = p->frame;
    p->part = (struct part){.mem = slice_of(&p->answer, sizeof(p->answer))};
    p->out = (struct out){.v = &p->part, .n = 1, .done = peer_sent};
    sock_send(&p->sock, &p->out);
}

static void peer_open(struct sock *sock)
{
}

static struct slice peer_room(struct sock *sock)
{
    struct peer *p = container_of(sock, struct peer, sock);

    return slice_of((uint8_t *)&p->frame + p->got, p->busy ? 0 : sizeof(p->frame) - p->got);
}

static void peer_came(struct sock *sock, size_t len)
{
    struct peer *p = container_of(sock, struct peer, sock);

    p->got += len;
    if (p->got < sizeof(p->frame))
        return;
    JUDGE(p->frame.check == check_of(p->frame.number), "bytes changed on the way");
    p->busy = true;
    p->store.run = peer_store;
    p->back.run = peer_back;
    loop_post(p->sv->disk, &p->store);
}

static void peer_closed(struct sock *sock, enum err why)
{
    struct peer *p = container_of(sock, struct peer, sock);

    p->closed = true;
    peer_release(p);
}

static const struct sock_ops peer_ops = {peer_open, peer_room, peer_came, peer_closed};

static void server_arrived(struct listener *l, int ticket, const struct addr *from)
{
    struct server *sv = container_of(l, struct server, listener);
    struct peer *p = heap_alloc(io_heap(sv->io), sizeof(*p));

    JUDGE(from->ip[15] == CLIENT, "from node %d", from->ip[15]);
    p->sv = sv;
    sock_adopt(sv->net, &p->sock, &peer_ops, ticket);
}

static void server_listen(struct msg *msg)
{
    struct server *sv = container_of(msg, struct server, start);
    struct addr at = sim_addr(sv->node, PORT);

    sv->listener.arrived = server_arrived;
    ASSERT(sock_listen(sv->net, &sv->listener, &at) == E_OK);
}

static void server_boot(struct world *w, int node)
{
    struct io *io = sim_node(w->s, node);
    struct server *sv = heap_alloc(io_heap(io), sizeof(*sv));

    *sv = (struct server){.w = w, .io = io, .node = node, .start.run = server_start};
    sv->disk = loop_start(io, LOOP_DISK, "disk");
    sv->net = loop_start(io, LOOP_NET, "net");
    loop_post(sv->disk, &sv->start);
}

/* ---- client ---- */

struct dial {
    struct world *w;
    int node;
    struct loop *loop;
    struct sock sock;
    struct timer again;
    struct msg start;
    struct frame frame, answer;
    size_t got;
    bool dialled, sending;
    struct out out;
    struct part part;
};

static void dial_send(struct dial *d)
{
    d->frame = (struct frame){.number = d->w->acked[d->node]};
    d->frame.check = check_of(d->frame.number);
    d->part = (struct part){.mem = slice_of(&d->frame, sizeof(d->frame))};
    d->sending = true;
    timer_set(d->loop, &d->again, loop_now(d->loop) + PATIENCE_NS);
    sock_send(&d->sock, &d->out);
}

static void dial_sent(struct out *out, enum err err)
{
    container_of(out, struct dial, out)->sending = false;
}

static void dial_open(struct sock *sock)
{
    dial_send(container_of(sock, struct dial, sock));
}

static struct slice dial_room(struct sock *sock)
{
    struct dial *d = container_of(sock, struct dial, sock);

    return slice_of((uint8_t *)&d->answer + d->got, sizeof(d->answer) - d->got);
}

static void dial_came(struct sock *sock, size_t len)
{
    struct dial *d = container_of(sock, struct dial, sock);

    d->got += len;
    if (d->got < sizeof(d->answer))
        return;
    d->got = 0;
    JUDGE(d->answer.number == d->w->acked[d->node] && !memcmp(&d->answer, &d->frame, sizeof(d->frame)),
          "answer %llu", (unsigned long long)d->answer.number);
    d->w->acked[d->node]++;
    if (d->sending) /* the answer came before our kernel told us: close, and dial again */
        sock_close(sock);
    else
        dial_send(d);
}

static void dial_closed(struct sock *sock, enum err why)
{
    struct dial *d = container_of(sock, struct dial, sock);

    JUDGE(!d->sending, "closed before done");
    d->got = 0;
    d->dialled = false;
    timer_set(d->loop, &d->again, loop_now(d->loop) + 10000000);
}

static const struct sock_ops dial_ops = {dial_open, dial_room, dial_came, dial_closed};

static void dial_again(struct timer *timer)
{
    struct dial *d = container_of(timer, struct dial, again);
    struct addr to = sim_addr(d->node, PORT);

    if (d->dialled) { /* no answer: a machine that lost its power says nothing */
        sock_close(&d->sock);
        sock_close(&d->sock);
        return;
    }
    d->dialled = true;
    sock_dial(d->loop, &d->sock, &dial_ops, &to);
}

static void dial_start(struct msg *msg)
{
    struct dial *d = container_of(msg, struct dial, start);

    dial_again(&d->again);
}

static void client_boot(struct world *w)
{
    struct io *io = sim_node(w->s, CLIENT);
    struct loop *loop = loop_start(io, LOOP_NET, "client");

    for (int node = 1; node <= SERVERS; node++) {
        struct dial *d = heap_alloc(io_heap(io), sizeof(*d));
        *d = (struct dial){
            .w = w, .node = node, .loop = loop, .again.fire = dial_again, .start.run = dial_start};
        d->out = (struct out){.v = &d->part, .n = 1, .done = dial_sent};
        loop_post(loop, &d->start);
    }
}

/* ---- judge ---- */

static void judge(struct world *w, int node)
{
    int64_t size = sim_file_size(w->s, node, FILE_PATH);
    uint64_t slots = size < 0 ? 0 : (uint64_t)size / SLOT;

    JUDGE(slots >= w->acked[node], "node %d lost its end: %llu slots, %llu acknowledged", node,
          (unsigned long long)slots, (unsigned long long)w->acked[node]);
    for (uint64_t i = 0; i < slots; i++) {
        struct frame f;
        size_t got;
        JUDGE(sim_file_read(w->s, node, FILE_PATH, (int64_t)i * SLOT, &f, SLOT, &got) == E_OK, "unreadable");
        if (f.number == i && f.check == check_of(i))
            continue;
        JUDGE(i >= w->acked[node], "node %d lost slot %llu", node, (unsigned long long)i);
        struct frame right = {.number = i, .check = check_of(i)};
        for (int b = 0; b < SLOT; b++)
            JUDGE(((uint8_t *)&f)[b] == 0 || ((uint8_t *)&f)[b] == ((uint8_t *)&right)[b],
                  "node %d slot %llu", node, (unsigned long long)i);
    }
}

static bool reached(void *arg)
{
    struct world *w = arg;

    for (int node = 1; node <= SERVERS; node++)
        if (!sim_up(w->s, node))
            server_boot(w, node);
    for (int node = 1; node <= SERVERS; node++)
        if (w->acked[node] < w->goal)
            return false;
    return true;
}

static void chaos(struct world *w)
{
    struct sim *s = w->s;
    int node = 1 + (int)sim_below(s, SERVERS);

    switch (sim_below(s, 7)) {
    case 0:
        sim_crash(s, node, SIM_PROCESS);
        break;
    case 1:
        sim_crash(s, node, SIM_POWER);
        break;
    case 2:
        sim_fail_at(s, node, 1 + (int64_t)sim_below(s, 8), (enum sim_fault)sim_below(s, 4));
        break;
    case 3:
        sim_partition(s, sim_below(s, 2) ? node : CLIENT, sim_below(s, 2) ? node : CLIENT, true);
        break;
    case 4:
        sim_reset(s, CLIENT, node);
        break;
    case 5:
        sim_disk_stall(s, node, sim_now(s) + (int64_t)sim_below(s, 100000000));
        break;
    default:
        sim_heal(s);
    }
}

void scenario_io(struct sim *s)
{
    struct world w = {.s = s};

    client_boot(&w);
    for (int round = 0; round < ROUNDS; round++) {
        for (int node = 1; node <= SERVERS; node++)
            if (!sim_up(s, node) && (round == 0 || sim_below(s, 3) > 0))
                server_boot(&w, node);
        (void)sim_run(s, NULL, NULL, (int64_t)sim_below(s, 100000000));
        chaos(&w);
        for (int node = 1; node <= SERVERS; node++)
            judge(&w, node);
    }
    sim_calm(s);
    sim_heal(s);
    for (int node = 1; node <= SERVERS; node++)
        w.goal = w.goal > w.acked[node] + 5 ? w.goal : w.acked[node] + 5;
    JUDGE(sim_run(s, reached, &w, INT64_C(600000000000)), "no progress: %llu %llu %llu of %llu",
          (unsigned long long)w.acked[1], (unsigned long long)w.acked[2], (unsigned long long)w.acked[3],
          (unsigned long long)w.goal);
    for (int node = 1; node <= SERVERS; node++)
        judge(&w, node);
}
