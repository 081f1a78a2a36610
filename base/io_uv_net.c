/* Listeners, tickets and addresses; and what a NET loop's turn needs of libuv. */
#include "io_uv_net.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPTS_PER_TURN = 64, ACCEPT_PAUSE_MS = 100 };

/* Held in reserve: when descriptors run out, it makes room to accept a connection and refuse it, for else the
 * listener would stay readable and the loop would spin. */
struct listening {
    struct listener *owner;
    struct loop *loop;
    struct list link; /* of loop->listeners */
    uv_poll_t poll;
    uv_timer_t pause;
    int fd, spare_fd;
    int closing; /* handles that libuv still holds */
};

static void on_wake(uv_poll_t *poll, int status, int events)
{
    struct loop *loop = container_of(poll, struct loop, wake_poll);
    uint64_t count;

    ASSERT(read(loop->wake_fd, &count, sizeof(count)) == sizeof(count) || errno == EAGAIN);
}

static void on_time(uv_timer_t *timer)
{
    /* Only ends the wait: the loop's turn looks at its own timers. */
}

void net_start(struct loop *loop)
{
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(loop->wake_fd >= 0);
    ASSERT(uv_loop_init(&loop->uv) == 0);
    ASSERT(uv_poll_init(&loop->uv, &loop->wake_poll, loop->wake_fd) == 0);
    ASSERT(uv_poll_start(&loop->wake_poll, UV_READABLE, on_wake) == 0);
    ASSERT(uv_timer_init(&loop->uv, &loop->wake_timer) == 0);
    list_init(&loop->conns);
    list_init(&loop->listeners);
    list_init(&loop->unsent);
    list_init(&loop->ending);
}

void net_wait(struct loop *loop, int64_t until)
{
    int64_t left = until - loop->now;

    if (until == 0) {
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
        return;
    }
    uv_update_time(&loop->uv);
    if (until != INT64_MAX)
        ASSERT(uv_timer_start(&loop->wake_timer, on_time, left > 0 ? (uint64_t)(left + 999999) / 1000000 : 0,
                              0) == 0);
    (void)uv_run(&loop->uv, UV_RUN_ONCE);
    ASSERT(uv_timer_stop(&loop->wake_timer) == 0);
}

bool net_empty(const struct loop *loop)
{
    return list_empty(&loop->conns) && list_empty(&loop->listeners);
}

void net_end(struct loop *loop)
{
    uv_close((uv_handle_t *)&loop->wake_poll, NULL);
    uv_close((uv_handle_t *)&loop->wake_timer, NULL);
    ASSERT(uv_run(&loop->uv, UV_RUN_DEFAULT) == 0);
    ASSERT(uv_loop_close(&loop->uv) == 0);
    close(loop->wake_fd);
}

void net_close_all(struct loop *loop)
{
    list_each_safe (it, &loop->listeners)
        listener_close(container_of(it, struct listening, link)->owner);
    conns_close_all(loop);
}

static bool is_v4(const struct addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(a->ip, mapped, sizeof(mapped)) == 0;
}

socklen_t addr_to_native(const struct addr *a, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof(*to));
    if (is_v4(a)) {
        struct sockaddr_in *in = (void *)to;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip + 12, 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (void *)to;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(a->port);
    memcpy(&in6->sin6_addr, a->ip, 16);
    return sizeof(*in6);
}

static struct addr addr_from_native(const struct sockaddr_storage *ss)
{
    const struct sockaddr_in *in = (const void *)ss;
    const struct sockaddr_in6 *in6 = (const void *)ss;
    struct addr a = {.ip = {[10] = 0xff, [11] = 0xff}};

    if (ss->ss_family == AF_INET) {
        memcpy(a.ip + 12, &in->sin_addr, 4);
        a.port = ntohs(in->sin_port);
    } else {
        memcpy(a.ip, &in6->sin6_addr, 16);
        a.port = ntohs(in6->sin6_port);
    }
    return a;
}

static int ticket_add(struct io *io, const struct listener *from, int fd)
{
    pthread_mutex_lock(&io->lock);
    if (io->n_tickets == io->tickets_room) {
        io->tickets_room = io->tickets_room ? 2 * io->tickets_room : 16;
        io->tickets = heap_resize(io->heap, io->tickets, (size_t)io->tickets_room * sizeof(io->tickets[0]));
    }
    int number = io->next_ticket;
    io->next_ticket = number == INT32_MAX ? 0 : number + 1;
    io->tickets[io->n_tickets++] = (struct ticket){.number = number, .fd = fd, .from = from};
    pthread_mutex_unlock(&io->lock);
    return number;
}

int ticket_take(struct io *io, int number)
{
    int fd = -1;

    pthread_mutex_lock(&io->lock);
    for (int i = 0; i < io->n_tickets && fd < 0; i++) {
        if (io->tickets[i].number == number) {
            fd = io->tickets[i].fd;
            io->tickets[i] = io->tickets[--io->n_tickets];
        }
    }
    pthread_mutex_unlock(&io->lock);
    return fd;
}

static void tickets_refuse(struct io *io, const struct listener *from)
{
    pthread_mutex_lock(&io->lock);
    for (int i = io->n_tickets - 1; i >= 0; i--) {
        if (io->tickets[i].from == from) {
            close(io->tickets[i].fd);
            io->tickets[i] = io->tickets[--io->n_tickets];
        }
    }
    pthread_mutex_unlock(&io->lock);
}

static int spare_open(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_pause_end(uv_timer_t *timer)
{
    struct listening *g = container_of(timer, struct listening, pause);

    if (g->spare_fd < 0)
        g->spare_fd = spare_open();
    ASSERT(uv_poll_start(&g->poll, UV_READABLE, on_connection) == 0);
}

/* Out of descriptors or of the kernel's memory: refuses one connection, and if not even that works, rests. */
static void accept_failed(struct listening *g, int error)
{
    TRACE(g->loop->io, accept_failed, strerror(error));
    if (g->spare_fd >= 0) {
        close(g->spare_fd);
        int fd = accept4(g->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            close(fd);
        g->spare_fd = spare_open();
        if (fd >= 0 && g->spare_fd >= 0)
            return;
    }
    ASSERT(uv_poll_stop(&g->poll) == 0);
    ASSERT(uv_timer_start(&g->pause, on_pause_end, ACCEPT_PAUSE_MS, 0) == 0);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct listening *g = container_of(poll, struct listening, poll);
    struct sockaddr_storage ss;

    for (int i = 0; i < ACCEPTS_PER_TURN && !g->closing; i++) {
        socklen_t len = sizeof(ss);
        int fd = accept4(g->fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            struct addr peer = addr_from_native(&ss);
            g->owner->arrived(g->owner, ticket_add(g->loop->io, g->owner, fd), &peer);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            accept_failed(g, errno);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* else that connection is gone before it was taken */
    }
}

/* Connections inherit them from the socket that they came in by. */
static bool buffers_set(int fd, const struct listener *l)
{
    return (l->send_bytes <= 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &l->send_bytes, sizeof(l->send_bytes)) == 0) &&
           (l->receive_bytes <= 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &l->receive_bytes, sizeof(l->receive_bytes)) == 0);
}

/* A socket bound and listening at `at`; -1 with errno. Where there is no IPv6, "any" means IPv4's. */
static int listen_fd(const struct listener *l, struct addr *at)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_native(at, &ss);
    int on = 1, off = 0, fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 && errno == EAFNOSUPPORT && memcmp(at->ip, (uint8_t[16]){0}, 16) == 0) {
        at->ip[10] = at->ip[11] = 0xff;
        return listen_fd(l, at);
    }
    if (fd < 0)
        return -1;
    if ((ss.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 || !buffers_set(fd, l) ||
        bind(fd, (struct sockaddr *)&ss, len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&ss, &len) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    at->port = addr_from_native(&ss).port;
    return fd;
}

enum err sock_listen(struct loop *loop, struct listener *l, struct addr *at)
{
    ASSERT(loop == loop_current() && loop->kind == LOOP_NET);
    int fd = listen_fd(l, at);
    if (fd < 0)
        return errno == EADDRINUSE ? E_BUSY : errno == EADDRNOTAVAIL ? E_NOENT : err_of_errno(errno);
    struct listening *g = heap_alloc(loop->io->heap, sizeof(*g));
    g->owner = l;
    g->loop = loop;
    g->fd = fd;
    g->spare_fd = spare_open();
    ASSERT(uv_poll_init(&loop->uv, &g->poll, fd) == 0 && uv_timer_init(&loop->uv, &g->pause) == 0);
    ASSERT(uv_poll_start(&g->poll, UV_READABLE, on_connection) == 0);
    list_add(&loop->listeners, &g->link);
    l->impl = g;
    return E_OK;
}

static void listening_free(struct listening *g)
{
    if (--g->closing == 0)
        heap_free(g->loop->io->heap, g);
}

static void on_poll_closed(uv_handle_t *handle)
{
    listening_free(container_of((uv_poll_t *)(void *)handle, struct listening, poll));
}

static void on_pause_closed(uv_handle_t *handle)
{
    listening_free(container_of((uv_timer_t *)(void *)handle, struct listening, pause));
}

void listener_close(struct listener *l)
{
    struct listening *g = l->impl;

    ASSERT(g && g->loop == loop_current());
    l->impl = NULL;
    list_remove(&g->link);
    g->closing = 2;
    uv_close((uv_handle_t *)&g->poll, on_poll_closed);
    uv_close((uv_handle_t *)&g->pause, on_pause_closed);
    close(g->fd);
    if (g->spare_fd >= 0)
        close(g->spare_fd);
    tickets_refuse(g->loop->io, l);
}
