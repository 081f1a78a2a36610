/* Connections. Reading goes straight into the owner's memory; writing is gathered until the end of the loop's
 * turn, so that answers which were made together leave together.
 *
 *   dialling ──connected──► open ──sock_close()──► closing ──all sent──► ending ──► closed()
 *       └────── refused, reset, ended by the peer, closed twice ───────────┘
 *
 * 1. A connection is polled for what it waits for and for nothing else (conn_poll).
 * 2. It is on loop->unsent while it has something to write that the kernel hasn't refused (`blocked`).
 * 3. closed() and done() are called from the loop's turn only: conn_finish() by net_flush() or by poll
 * events. */
#include "io_uv_net.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

enum { READ_BYTES_PER_TURN = 512 * 1024, WRITE_BYTES_PER_TURN = 1024 * 1024, IOV_AT_ONCE = 64 };
enum { LINGER_BYTES = 1024 * 1024 };

/* A peer that vanished while nothing was on its way is noticed after idle + interval * count seconds. While there is, the
 * kernel sends no keepalive and repeats itself for a quarter of an hour, and what waits behind holds its memory all that
 * time. TCP_USER_TIMEOUT would bound it, but end a consumer too that works longer than that between two polls, with its
 * receive window shut. So whoever can't send is looked at: one that lives acknowledges each probe of its window; one that
 * has left VANISHED_TRIES in a row without an answer for VANISHED_MS has vanished. */
enum { KEEP_IDLE_S = 60, KEEP_INTERVAL_S = 15, KEEP_COUNT = 4 };
enum { VANISHED_MS = 30000, VANISHED_TRIES = 3, WATCH_NS = 5000000000 };

struct conn {
    struct sock *sock;
    struct loop *loop;
    uv_poll_t poll;
    struct list link;    /* loop->conns */
    struct list pending; /* loop->unsent or loop->ending */
    struct out *head, **tail;
    struct out *late; /* sent after sock_close(): newest first, canceled at the end */
    int part;         /* of head */
    size_t off;       /* of that part */
    int fd;           /* -1: it never came to be, and has no poll handle */
    int events;       /* polled for */
    bool dialling, paused, blocked, closing, ending;
    enum err why;
};

static void on_event(uv_poll_t *poll, int status, int events);

static void conn_poll(struct conn *c)
{
    int want = c->dialling ? UV_WRITABLE
                           : (c->paused || c->closing ? 0 : UV_READABLE) | (c->blocked ? UV_WRITABLE : 0);

    if (c->ending || want == c->events)
        return;
    c->events = want;
    ASSERT((want ? uv_poll_start(&c->poll, want, on_event) : uv_poll_stop(&c->poll)) == 0);
}

/* Finished at the end of this turn, or of the next one. */
static void conn_end(struct conn *c, enum err why)
{
    if (c->ending)
        return;
    c->ending = true;
    c->why = why;
    list_remove(&c->pending);
    list_add(&c->loop->ending, &c->pending);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = container_of((uv_poll_t *)(void *)handle, struct conn, poll);

    heap_free(c->loop->io->heap, c);
}

static struct out *out_pop(struct conn *c)
{
    struct out *o = c->head;

    c->head = o->next;
    if (!c->head)
        c->tail = &c->head;
    c->part = 0;
    c->off = 0;
    return o;
}

/* Bytes that the peer sent and nobody will read would make the kernel reset the connection, and the peer lose
 * what we sent last; so they are read away first. */
static void part_gently(int fd)
{
    char unread[4096];
    ssize_t left = LINGER_BYTES, n = 1;

    if (shutdown(fd, SHUT_WR) != 0)
        return;
    while (left > 0 && n > 0) {
        n = recv(fd, unread, sizeof(unread), MSG_DONTWAIT);
        left -= n;
    }
}

static void cancel_one(struct conn *c)
{
    struct out *o = c->head;

    if (o) {
        o = out_pop(c);
    } else {
        o = c->late;
        c->late = o->next;
    }
    o->done(o, E_CANCELED);
}

static void conn_finish(struct conn *c)
{
    struct sock *s = c->sock;
    bool gently = c->closing && !c->head && c->why == E_CANCELED;

    c->ending = true;
    list_remove(&c->pending);
    list_remove(&c->link);
    while (c->head || c->late)
        cancel_one(c);
    enum err why = c->why;
    if (gently)
        part_gently(c->fd);
    if (c->fd >= 0) {
        uv_close((uv_handle_t *)&c->poll, on_closed);
        close(c->fd);
    } else {
        heap_free(c->loop->io->heap, c);
    }
    s->impl = NULL;
    s->ops->closed(s, why);
}

static enum err why_of_errno(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return E_REFUSED;
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return E_TIMEOUT;
    default:
        return E_RESET;
    }
}

static void on_readable(struct conn *c)
{
    struct sock *s = c->sock;
    size_t budget = READ_BYTES_PER_TURN;

    while (!c->closing && !c->ending && budget > 0) {
        struct slice room = s->ops->room(s);
        if (c->closing || c->ending)
            return;
        if (room.len == 0) {
            c->paused = true;
            return;
        }
        size_t want = room.len < budget ? room.len : budget;
        ssize_t n = recv(c->fd, room.p, want, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            conn_end(c, n == 0 ? E_EOF : why_of_errno(errno));
            return;
        }
        s->ops->came(s, (size_t)n);
        step_end(c->loop, (const void *)s->ops->came);
        budget -= (size_t)n;
        if ((size_t)n < want)
            return; /* that was all for now */
    }
}

static void want_write(struct conn *c)
{
    if (c->head && !c->dialling && !c->blocked && !c->ending && list_empty(&c->pending))
        list_add(&c->loop->unsent, &c->pending);
}

static void conn_event(struct conn *c, int status, int events)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (status < 0 || c->dialling) {
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = errno;
        if (status < 0 || error) {
            conn_end(c, why_of_errno(error));
            return;
        }
        c->dialling = false;
        c->sock->ops->open(c->sock);
    }
    if (events & UV_WRITABLE)
        c->blocked = false;
    if (events & UV_READABLE)
        on_readable(c);
    want_write(c);
    conn_poll(c);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct conn *c = container_of(poll, struct conn, poll);

    if (c->ending)
        return;
    step_begin(c->loop);
    conn_event(c, status, events);
    step_end(c->loop, (const void *)conn_event);
}

static size_t part_len(const struct part *p)
{
    return p->file ? p->len : p->mem.len;
}

/* Goes past what is complete. done() may send more, or close. */
static void skip_done(struct conn *c)
{
    while (c->head) {
        while (c->part < c->head->n && c->off == part_len(&c->head->v[c->part])) {
            c->part++;
            c->off = 0;
        }
        if (c->part < c->head->n)
            return;
        struct out *o = out_pop(c);
        o->done(o, E_OK);
    }
}

static void advance(struct conn *c, size_t n)
{
    while (n > 0) {
        size_t left = part_len(&c->head->v[c->part]) - c->off, take = n < left ? n : left;
        c->off += take;
        n -= take;
        skip_done(c);
    }
}

/* The memory that goes next, up to the first piece of a file; *more: such a piece follows. */
static int gather(const struct conn *c, struct iovec *iov, size_t *len, bool *more)
{
    size_t off = c->off;
    int k = 0, part = c->part;

    *len = 0;
    *more = false;
    for (const struct out *o = c->head; o; o = o->next, part = 0) {
        for (; part < o->n; part++, off = 0) {
            const struct part *p = &o->v[part];
            *more = p->file != NULL;
            if (*more || k == IOV_AT_ONCE)
                return k;
            if (p->mem.len == off)
                continue;
            iov[k++] = (struct iovec){.iov_base = p->mem.p + off, .iov_len = p->mem.len - off};
            *len += p->mem.len - off;
        }
    }
    return k;
}

/* What the kernel took; *all: it may take more at once. */
static ssize_t write_next(struct conn *c, bool *all)
{
    const struct part *p = &c->head->v[c->part];
    struct iovec iov[IOV_AT_ONCE];
    struct msghdr msg = {.msg_iov = iov};
    size_t len;
    bool more;

    if (p->file) {
        off_t at = p->at + (off_t)c->off;
        size_t left = p->len - c->off;
        ssize_t n =
            sendfile(c->fd, file_fd(p->file), &at, left < WRITE_BYTES_PER_TURN ? left : WRITE_BYTES_PER_TURN);
        *all = true;
        if (n == 0)
            errno = EIO; /* the file is shorter than was promised to the peer */
        return n == 0 ? -1 : n;
    }
    msg.msg_iovlen = (size_t)gather(c, iov, &len, &more);
    ssize_t n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    *all = n >= 0 && (size_t)n == len;
    return n;
}

static bool vanished(const struct conn *c)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           info.tcpi_last_ack_recv >= VANISHED_MS &&
           (info.tcpi_retransmits >= VANISHED_TRIES || info.tcpi_probes >= VANISHED_TRIES);
}

static void watch(struct loop *loop);

static void watch_fired(struct timer *timer)
{
    struct loop *loop = container_of(timer, struct loop, watch);

    loop->watching = false;
    list_each (it, &loop->conns) {
        struct conn *c = container_of(it, struct conn, link);

        if (!c->blocked || c->ending)
            continue;
        if (vanished(c))
            conn_end(c, E_TIMEOUT);
        else
            watch(loop);
    }
}

static void watch(struct loop *loop)
{
    if (loop->watching)
        return;
    loop->watching = true;
    loop->watch.fire = watch_fired;
    timer_set(loop, &loop->watch, loop_now(loop) + WATCH_NS);
}

static void conn_write(struct conn *c)
{
    ssize_t budget = WRITE_BYTES_PER_TURN;

    skip_done(c);
    while (c->head && !c->ending && !c->blocked && budget > 0) {
        bool all;
        ssize_t n = write_next(c, &all);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            conn_end(c, why_of_errno(errno));
            return;
        }
        c->blocked = n < 0 || !all;
        budget -= n;
        if (n > 0)
            advance(c, (size_t)n);
    }
    if (c->closing && !c->head)
        conn_end(c, E_CANCELED);
    if (c->blocked)
        watch(c->loop);
    want_write(c);
    conn_poll(c);
}

void net_flush(struct loop *loop)
{
    struct list now;
    struct conn *c;

    list_init(&now);
    list_take(&now, &loop->unsent);
    while ((c = list_first(&now, struct conn, pending))) {
        list_remove(&c->pending);
        conn_write(c);
        step_end(loop, (const void *)conn_write);
    }
    list_take(&now, &loop->ending);
    while ((c = list_first(&now, struct conn, pending))) {
        conn_finish(c);
        step_end(loop, (const void *)conn_finish);
    }
}

bool net_busy(const struct loop *loop)
{
    return !list_empty(&loop->unsent) || !list_empty(&loop->ending);
}

static void set_option(int fd, int level, int option, int value)
{
    /* All of them only make things better; a socket that is reset already refuses some. */
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

/* Between two processes of one host there is nothing that pacing would spare, and where the system's congestion control
 * paces (bbr), setting its timers is a third of what a fetch costs. "reno" is in every kernel and doesn't pace; where it
 * isn't to be had, nothing changes. */
static void within_host(int fd, const struct sockaddr_storage *peer)
{
    const struct sockaddr_in *in = (const void *)peer;
    const struct sockaddr_in6 *in6 = (const void *)peer;
    bool v4 = peer->ss_family == AF_INET && ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    bool v6 = peer->ss_family == AF_INET6 &&
              (IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET));

    if (v4 || v6)
        (void)!setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static struct conn *conn_new(struct loop *loop, struct sock *s, const struct sock_ops *ops, int fd)
{
    struct conn *c = heap_alloc(loop->io->heap, sizeof(*c));

    ASSERT(loop == loop_current() && loop->kind == LOOP_NET);
    c->sock = s;
    c->loop = loop;
    c->fd = fd;
    c->tail = &c->head;
    c->dialling = true; /* an adopted one is writable at once, and open() comes by the same way */
    list_init(&c->pending);
    list_add(&loop->conns, &c->link);
    *s = (struct sock){.impl = c, .loop = loop, .ops = ops};
    if (fd < 0)
        return c;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
    ASSERT(uv_poll_init(&loop->uv, &c->poll, fd) == 0);
    return c;
}

void sock_adopt(struct loop *loop, struct sock *s, const struct sock_ops *ops, int ticket)
{
    int fd = ticket_take(loop->io, ticket);
    struct conn *c = conn_new(loop, s, ops, fd);
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (fd < 0)
        conn_end(c, E_CANCELED);
    else if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
        within_host(fd, &ss);
    conn_poll(c);
}

void sock_dial(struct loop *loop, struct sock *s, const struct sock_ops *ops, const struct addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_native(to, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct conn *c = conn_new(loop, s, ops, fd);

    if (fd >= 0)
        within_host(fd, &ss);
    if (fd < 0)
        conn_end(c, E_RESET);
    else if (connect(fd, (struct sockaddr *)&ss, len) != 0 && errno != EINPROGRESS)
        conn_end(c, why_of_errno(errno));
    conn_poll(c);
}

static struct conn *conn_of(const struct sock *s)
{
    struct conn *c = s->impl;

    ASSERT(c && c->loop == loop_current());
    return c;
}

void sock_send(struct sock *s, struct out *out)
{
    struct conn *c = conn_of(s);

    if (c->closing) {
        out->next = c->late;
        c->late = out;
        return;
    }
    out->next = NULL;
    *c->tail = out;
    c->tail = &out->next;
    want_write(c);
}

void sock_more(struct sock *s)
{
    struct conn *c = conn_of(s);

    c->paused = false;
    conn_poll(c);
}

void sock_close(struct sock *s)
{
    struct conn *c = conn_of(s);

    if (c->closing || !c->head || c->dialling)
        conn_end(c, E_CANCELED);
    c->closing = true;
    conn_poll(c);
}

void conns_close_all(struct loop *loop)
{
    list_each (it, &loop->conns)
        conn_end(container_of(it, struct conn, link), E_CANCELED);
}
