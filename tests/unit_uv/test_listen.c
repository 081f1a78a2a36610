#include "world.h"
#include <sys/socket.h>

static struct io *io;
static struct loop *loop;

/* The descriptor of this process that listens. */
static int listening_fd(void)
{
    for (int fd = 3; fd < 200; fd++) {
        int on = 0;
        socklen_t len = sizeof(on);
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on)
            return fd;
    }
    return -1;
}

static void arrived(struct listener *l, int ticket, const struct addr *peer)
{
    (void)l;
    (void)ticket;
    (void)peer;
}

static void buffers_open(void *arg)
{
    struct listener l = {.arrived = arrived, .send_bytes = 40000, .receive_bytes = 50000};
    struct addr any = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    int sent = 0, received = 0;
    socklen_t len = sizeof(int);

    (void)arg;
    CHECK_OK(sock_listen(loop, &l, &any));
    CHECK(getsockopt(listening_fd(), SOL_SOCKET, SO_SNDBUF, &sent, &len) == 0 && sent == 80000);
    CHECK(getsockopt(listening_fd(), SOL_SOCKET, SO_RCVBUF, &received, &len) == 0 && received == 100000);
    listener_close(&l);
    loop_stop(loop, NULL, NULL);
}

/* Buffers of a fixed size are asked of the kernel, which takes twice of it; connections inherit them. */
TEST(listen, a_listener_has_buffers_as_asked)
{
    static struct call open;

    io = io_uv_new();
    loop = loop_start(io, LOOP_NET, "net");
    call_post(loop, &open, buffers_open, NULL);
    io_uv_run(io);
    io_uv_drop(io);
}
