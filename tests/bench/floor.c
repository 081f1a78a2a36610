/* What the work costs at least: only the system calls that no broker can do without, on the same sockets and disk.
 * A child is the client; the parent's own CPU time is what counts.
 *
 *   floor produce FILE BYTES FRAME     receive frames into memory, CRC32C, append, answer 64 bytes a frame
 *   floor consume FILE BYTES FRAME     a 64-byte request a frame, answered with 64 bytes and sendfile
 *   floor request FILE COUNT FLIGHT    as produce, with frames of 1 KiB and FLIGHT of them under way
 *   floor sync FILE COUNT FILES        1 KiB appended and fdatasynced, each millisecond at the most, to FILES in turn
 *
 * Prints one line of JSON. */
#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 64, NS_PER_S = 1000 * 1000 * 1000, NS_PER_MS = 1000 * 1000 };

static uint32_t crc_of_all; /* keeps the checksum from being optimised away */

static void check(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static void write_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        check(n > 0, "write");
        p += n;
        len -= (size_t)n;
    }
}

static void client(int fd, long frames, size_t send_bytes, size_t answer_bytes, long flight)
{
    char *out = calloc(1, send_bytes), *in = malloc(1 << 20);
    long sent = 0;
    size_t got = 0;

    while (got < (size_t)frames * answer_bytes) {
        while (sent < frames && sent < (long)(got / answer_bytes) + flight) {
            write_all(fd, out, send_bytes);
            sent++;
        }
        ssize_t n = read(fd, in, 1 << 20);
        check(n > 0, "read");
        got += (size_t)n;
    }
    _exit(0);
}

/* A connected pair on loopback: the child runs client(). */
static int client_start(long frames, size_t send_bytes, size_t answer_bytes, long flight)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    check(bind(l, (struct sockaddr *)&at, len) == 0 && listen(l, 1) == 0, "listen");
    check(getsockname(l, (struct sockaddr *)&at, &len) == 0, "getsockname");
    if (fork() == 0) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        check(connect(fd, (struct sockaddr *)&at, len) == 0, "connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        client(fd, frames, send_bytes, answer_bytes, flight);
    }
    int fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
    check(fd >= 0, "accept");
    (void)!setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); /* as weir does within a host */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    close(l);
    return fd;
}

static int poller;

static void wait_for(int fd, uint32_t events)
{
    static uint32_t armed;
    struct epoll_event e = {.events = events};

    if (armed != events) {
        check(epoll_ctl(poller, armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
        armed = events;
    }
    check(epoll_wait(poller, &e, 1, -1) == 1, "epoll_wait");
}

static void receive(int fd, char *to, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(fd, to, len, 0);
        if (n < 0 && errno == EAGAIN) {
            wait_for(fd, EPOLLIN);
            continue;
        }
        check(n > 0, "recv");
        to += n;
        len -= (size_t)n;
    }
}

static void serve_produce(int fd, int file, long frames, size_t frame)
{
    char *buffer = malloc(frame), answer[ANSWER_BYTES] = "";
    int64_t at = 0;

    for (long i = 0; i < frames; i++) {
        receive(fd, buffer, frame);
        crc_of_all ^= crc32_iscsi((unsigned char *)buffer, (int)frame, 0xffffffff);
        check(pwrite(file, buffer, frame, at) == (ssize_t)frame, "pwrite");
        at += (int64_t)frame;
        check(send(fd, answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer), "send");
    }
}

static void serve_consume(int fd, int file, long frames, size_t frame)
{
    char request[ANSWER_BYTES], answer[ANSWER_BYTES] = "";

    for (long i = 0; i < frames; i++) {
        off_t at = (off_t)(i * (long)frame), end = at + (off_t)frame;
        receive(fd, request, sizeof(request));
        while (send(fd, answer, sizeof(answer), MSG_NOSIGNAL | MSG_MORE) < 0) {
            check(errno == EAGAIN, "send");
            wait_for(fd, EPOLLOUT);
        }
        while (at < end) {
            if (sendfile(fd, file, &at, (size_t)(end - at)) >= 0)
                continue;
            check(errno == EAGAIN, "sendfile");
            wait_for(fd, EPOLLOUT);
        }
    }
}

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int sync_mode(const char *path, long count, int files)
{
    int64_t *took = calloc((size_t)count, sizeof(*took));
    int *fd = calloc((size_t)files, sizeof(*fd));
    char name[4096], record[1024] = "";

    for (int i = 0; i < files; i++) {
        snprintf(name, sizeof(name), "%s.%d", path, i);
        check((fd[i] = open(name, O_RDWR | O_CREAT | O_APPEND, 0600)) >= 0, "open");
        check(unlink(name) == 0, "unlink");
    }
    for (long i = 0; i < count; i++) {
        int64_t before = now_ns();

        check(write(fd[i % files], record, sizeof(record)) == sizeof(record), "write");
        check(fdatasync(fd[i % files]) == 0, "fdatasync");
        took[i] = now_ns() - before;
        if (took[i] < NS_PER_MS)
            usleep((useconds_t)(NS_PER_MS - took[i]) / 1000);
    }
    qsort(took, (size_t)count, sizeof(*took), by_value);
    printf("{\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n", (double)took[count / 2] / 1e6,
           (double)took[count * 99 / 100] / 1e6, (double)took[count - 1] / 1e6);
    return 0;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    struct rusage before, after;

    check(argc == 5, "floor produce|consume|request|sync FILE N N");
    const char *mode = argv[1];
    if (strcmp(mode, "sync") == 0)
        return sync_mode(argv[2], atol(argv[3]), atoi(argv[4]));
    int file = open(argv[2], O_RDWR | O_CREAT, 0600), is_request = strcmp(mode, "request") == 0, state = 0;
    int is_consume = strcmp(mode, "consume") == 0;
    size_t frame = is_request ? 1024 : (size_t)atol(argv[4]);
    long frames = is_request ? atol(argv[3]) : atol(argv[3]) / (long)frame,
         flight = is_request ? atol(argv[4]) : 5;
    int fd;

    check(file >= 0, "open");
    check((poller = epoll_create1(0)) >= 0, "epoll_create1");
    if (is_consume)
        fd = client_start(frames, ANSWER_BYTES, ANSWER_BYTES + frame, flight);
    else
        fd = client_start(frames, frame, ANSWER_BYTES, flight);
    getrusage(RUSAGE_SELF, &before);
    if (is_consume)
        serve_consume(fd, file, frames, frame);
    else
        serve_produce(fd, file, frames, frame);
    getrusage(RUSAGE_SELF, &after);
    check(wait(&state) > 0 && state == 0, "client");
    printf("{\"frames\": %ld, \"bytes\": %ld, \"user\": %.6f, \"system\": %.6f}\n", frames,
           frames * (long)frame, seconds(after.ru_utime) - seconds(before.ru_utime),
           seconds(after.ru_stime) - seconds(before.ru_stime));
    return 0;
}
