#include "broker/net/net.h"
#include "world.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* A node's network side on real sockets, and a client that is a thread with a blocking socket. */
static struct node node;
static struct net_loop net_loop;
static struct net_loop *net_loops[1] = {&net_loop};
static struct net_shared *shared;
static struct listener_open at;
static struct call begin, end;
static struct msg back;
static pthread_t client;
enum { ROUNDS = 2000 };

static void all_closed(struct msg *msg)
{
    (void)msg;
    net_free(net_loop.net);
    net_shared_drop(shared);
    loop_stop(net_loop.loop, NULL, NULL);
}

static void net_stopped(void *arg)
{
    (void)arg;
    back.run = all_closed; /* behind the connections that come back to the acceptor */
    loop_post(net_loop.loop, &back);
}

static void stop(void *arg)
{
    (void)arg;
    listeners_close(shared);
    net_stop(net_loop.net, 100000000, net_stopped, NULL);
}

static void *ask(void *arg)
{
    static const uint8_t frame[] = {0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(at.at.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t got[4096];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)arg;
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(send(fd, frame, sizeof(frame), 0), sizeof(frame));
        CHECK_EQ(recv(fd, got, 4, MSG_WAITALL), 4);
        ssize_t len = got[2] << 8 | got[3];
        CHECK(len < (ssize_t)sizeof(got) && recv(fd, got, (size_t)len, MSG_WAITALL) == len);
        CHECK(got[3] == 7 && got[4] == 0 && got[5] == 0);
    }
    CHECK(close(fd) == 0);
    call_post(net_loop.loop, &end, stop, NULL);
    return NULL;
}

static void start(void *arg)
{
    struct net_limits limits = {.request_bytes_max = 1000,
                                .queued_bytes_max = 100000,
                                .idle_ns = INT64_C(10000000000),
                                .backlog = 5,
                                .connections_max = 10,
                                .per_ip_max = 10,
                                .creation_rate = 100,
                                .listeners[0] = {10, 100}};

    (void)arg;
    shared = net_shared_new(&node, &limits);
    net_loop.net = net_new(shared, &net_loop);
    at = (struct listener_open){.serve = handler_find};
    at.at.ip[10] = at.at.ip[11] = 0xff;
    at.at.ip[12] = 127;
    at.at.ip[15] = 1;
    listeners_spread(shared, net_loops, 1);
    CHECK_OK(listeners_open(shared, &net_loop, &at, 1));
    CHECK(pthread_create(&client, NULL, ask, NULL) == 0);
}

/* Raw bytes of an ApiVersions request are answered through real sockets, again and again. */
TEST(net_uv, answers_over_real_sockets)
{
    struct io *io = io_uv_new();

    node = (struct node){.io = io, .heap = io_heap(io)};
    net_loop = (struct net_loop){.node = &node, .loop = loop_start(io, LOOP_NET, "net")};
    call_post(net_loop.loop, &begin, start, NULL);
    io_uv_run(io);
    CHECK(pthread_join(client, NULL) == 0);
    io_uv_drop(io);
}
