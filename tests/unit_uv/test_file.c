#include "world.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static struct io *io;
static char names[256];

static const char *in_dir(const char *dir, const char *name)
{
    static char path[4][512];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
    return path[turn];
}

static const char *at(const char *name)
{
    return in_dir(test_dir(), name);
}

static struct file *make(const char *path, const char *text)
{
    struct slice v = SLICE(text);
    struct file *f;

    CHECK_OK(file_open(io, path, FILE_WRITE | FILE_CREATE, &f));
    CHECK_OK(file_write(f, 0, &v, 1));
    return f;
}

/* What is written in many pieces is read where it was put; reading is short only at the end; growing adds
 * zeros. */
TEST(file, reads_what_was_written)
{
    static uint8_t big[200000], back[300000];
    struct slice v[150];
    struct file *f;
    size_t got;

    io = io_uv_new();
    for (size_t k = 0; k < sizeof(big); k++)
        big[k] = (uint8_t)(k * 7 + k / 256);
    for (size_t k = 0, from = 0; k < 150; k++) {
        size_t len = k == 149 ? sizeof(big) - from : k * 10; /* the first is empty */
        v[k] = slice_of(big + from, len);
        from += len;
    }
    CHECK_OK(file_open(io, at("a"), FILE_WRITE | FILE_NEW, &f));
    CHECK_OK(file_write(f, 1000, v, 150));
    CHECK_EQ(file_size(f), 1000 + sizeof(big));
    CHECK_OK(file_read(f, 1000, back, sizeof(back), &got));
    CHECK(got == sizeof(big) && memcmp(back, big, got) == 0);
    CHECK_OK(file_read(f, 0, back, 1000, &got));
    CHECK(got == 1000 && back[0] == 0 && back[999] == 0);
    CHECK_OK(file_resize(f, 10));
    CHECK_OK(file_resize(f, 3000));
    CHECK_OK(file_read(f, 0, back, sizeof(back), &got));
    CHECK(got == 3000 && back[1500] == 0);
    CHECK_OK(file_read(f, 3000, back, 10, &got));
    CHECK_EQ(got, 0);
    file_unref(f);
    io_uv_drop(io);
}

/* A peek gives what is in memory, short only at the end, and says so when it would wait. */
TEST(file, peek_never_waits)
{
    static uint8_t big[1 << 20], back[1 << 20];
    struct slice v = slice_of(big, sizeof(big));
    size_t got;

    io = io_uv_new();
    struct file *f = make(at("a"), "hello");
    CHECK_OK(file_peek(f, 0, back, 100, &got));
    CHECK(got == 5 && memcmp(back, "hello", 5) == 0);
    CHECK_OK(file_peek(f, 5, back, 100, &got));
    CHECK_EQ(got, 0);
    CHECK_OK(file_write(f, 0, &v, 1));
    CHECK_OK(file_sync(&f, 1));
    int fd = open(at("a"), O_RDONLY);
    CHECK(fd >= 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    close(fd);
    if (file_peek(f, 0, back, sizeof(back), &got) == E_OK)
        printf("file/peek_never_waits: this file system drops nothing from memory\n");
    CHECK_OK(file_warm(f, 0, sizeof(big)));
    CHECK_OK(file_peek(f, 0, back, sizeof(back), &got));
    CHECK_EQ(got, sizeof(back));
    file_unref(f);
    io_uv_drop(io);
}

static void add_name(void *arg, const char *name, bool is_dir)
{
    strcat(names, name);
    strcat(names, is_dir ? "/ " : " ");
}

/* Directories list in the order of their names, and a tree goes with all that is in it. */
TEST(file, directories)
{
    io = io_uv_new();
    CHECK_OK(dir_make(io, at("d")));
    CHECK_EQ(dir_make(io, at("d")), E_EXISTS);
    CHECK_OK(dir_make(io, at("d/sub")));
    file_unref(make(at("d/zz"), "1"));
    file_unref(make(at("d/a"), "1"));
    file_unref(make(at("d/sub/x"), "1"));
    CHECK_OK(dir_list(io, at("d"), add_name, NULL));
    CHECK_STR(names, "a sub/ zz ");
    CHECK_OK(dir_sync(io, at("d")));
    CHECK_OK(path_move(io, at("d/a"), at("d/zz")));
    CHECK_OK(path_remove(io, at("d")));
    CHECK_EQ(dir_list(io, at("d"), add_name, NULL), E_NOENT);
    CHECK_EQ(path_remove(io, at("d")), E_NOENT);
    CHECK_EQ(path_move(io, at("d"), at("e")), E_NOENT);
    CHECK_EQ(dir_sync(io, at("d")), E_NOENT);
    io_uv_drop(io);
}

/* Opening says what stands in the way. */
TEST(file, open_errors)
{
    struct file *f;

    io = io_uv_new();
    CHECK_EQ(file_open(io, at("a"), 0, &f), E_NOENT);
    CHECK_EQ(file_open(io, at("no/a"), FILE_WRITE | FILE_CREATE, &f), E_NOENT);
    CHECK_OK(file_open(io, at("a"), FILE_WRITE | FILE_NEW, &f));
    file_unref(file_ref(f));
    file_unref(f);
    CHECK_EQ(file_open(io, at("a"), FILE_WRITE | FILE_NEW, &f), E_EXISTS);
    io_uv_drop(io);
}

/* A lock excludes a second holder, in this process as in another, and goes with its file. */
TEST(file, lock_is_exclusive)
{
    struct file *f, *g;
    int status;

    io = io_uv_new();
    CHECK_OK(path_lock(io, at(".lock"), &f));
    CHECK_EQ(path_lock(io, at(".lock"), &g), E_BUSY);
    char path[512];
    snprintf(path, sizeof(path), "%s", at(".lock"));
    pid_t pid = fork();
    if (pid == 0)
        _exit(path_lock(io, path, &g) == E_BUSY ? 0 : 1);
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    file_unref(f);
    CHECK_OK(path_lock(io, at(".lock"), &f));
    file_unref(f);
    io_uv_drop(io);
}

/* A file system of 4 MiB of our own, seen by this process alone; NULL, and says why, where we may not mount.
 */
static const char *small_disk(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", test_dir(), "tmpfs", 0, "size=4m") != 0) {
        printf("skipped: mounting a small file system: %s\n", strerror(errno));
        return NULL;
    }
    return test_dir();
}

/* A full disk is E_FULL, keeps what was written before, and takes more as soon as there is room. */
TEST(file, full_disk_recovers)
{
    static uint8_t block[64 * 1024], back[16];
    struct slice v = slice_of(block, sizeof(block));
    int64_t size = 0, left, all;
    struct file *f;
    enum err err;
    size_t got;

    if (!small_disk())
        return;
    io = io_uv_new();
    file_unref(make(at("other"), "x"));
    CHECK_OK(file_open(io, at("other"), FILE_WRITE, &f));
    for (int k = 0; k < 16; k++)
        CHECK_OK(file_write(f, k * 65536, &v, 1));
    file_unref(f);
    f = make(at("log"), "first");
    for (size = 5; (err = file_write(f, size, &v, 1)) == E_OK; size += (int64_t)v.len)
        CHECK(size < 8 << 20);
    CHECK_EQ(err, E_FULL);
    CHECK_OK(path_space(io, test_dir(), &left, &all));
    CHECK(left < 65536 && all == 4 << 20);
    CHECK_OK(file_read(f, 0, back, 5, &got));
    CHECK(got == 5 && memcmp(back, "first", 5) == 0);
    CHECK_OK(file_resize(f, size)); /* cuts the torn end off */
    CHECK_OK(file_sync(&f, 1));
    CHECK_OK(path_remove(io, at("other")));
    CHECK_OK(file_write(f, size, &v, 1));
    CHECK_EQ(file_size(f), size + (int64_t)v.len);
    file_unref(f);
    io_uv_drop(io);
}

/* Many files sync together as few do, and in one call files of several file systems may be named. */
TEST(file, many_sync_at_once)
{
    struct file *v[64];

    io = io_uv_new();
    for (int k = 0; k < 64; k++) {
        char name[32];
        snprintf(name, sizeof(name), "f%d", k);
        v[k] = make(k % 5 ? at(name) : in_dir("/dev/shm", name), "text");
    }
    CHECK_OK(file_sync(v, 64));
    CHECK_OK(file_sync(v, 3));
    CHECK_OK(file_sync(v, 0));
    for (int k = 0; k < 64; k++) {
        char name[32];
        snprintf(name, sizeof(name), "f%d", k);
        if (k % 5 == 0)
            CHECK_OK(path_remove(io, in_dir("/dev/shm", name)));
        file_unref(v[k]);
    }
    io_uv_drop(io);
}

/* What was written before a process was killed is there after it, in whole records but for the last. */
TEST(file, kill_keeps_what_was_written)
{
    char path[512];
    struct file *f;

    snprintf(path, sizeof(path), "%s", at("log"));
    for (int round = 0; round < 20; round++) {
        int told[2];
        CHECK(pipe(told) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            io = io_uv_new();
            CHECK_OK(file_open(io, path, FILE_WRITE | FILE_CREATE, &f));
            for (int64_t k = 0;; k++) {
                int64_t record[64] = {k, [63] = k};
                struct slice v[2] = {slice_of(record, 40), slice_of(&record[5], sizeof(record) - 40)};
                CHECK_OK(file_write(f, k * (int64_t)sizeof(record), v, 2));
                CHECK(write(told[1], &k, sizeof(k)) == sizeof(k));
            }
        }
        close(told[1]);
        int64_t last = -1, record[64];
        while (last < 100 * (round + 1))
            CHECK(read(told[0], &last, sizeof(last)) == sizeof(last));
        CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
        while (read(told[0], &last, sizeof(last)) == sizeof(last))
            ;
        close(told[0]);
        io = io_uv_new();
        size_t got;
        CHECK_OK(file_open(io, path, FILE_WRITE, &f));
        for (int64_t k = 0; k <= last; k++) {
            CHECK_OK(file_read(f, k * (int64_t)sizeof(record), record, sizeof(record), &got));
            CHECK(got == sizeof(record) && record[0] == k && record[63] == k);
        }
        CHECK_OK(file_resize(f, 0));
        file_unref(f);
        io_uv_drop(io);
    }
}

/* The machine's own name is found, and one that can't exist isn't. */
TEST(file, addresses)
{
    static const uint8_t local[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
    struct addr v[4];
    int n;

    io = io_uv_new();
    CHECK_OK(addr_find(io, "127.0.0.1", 9092, v, 4, &n));
    CHECK(n == 1 && v[0].port == 9092 && memcmp(v[0].ip, local, 16) == 0);
    CHECK_OK(addr_find(io, "::1", 9092, v, 4, &n));
    CHECK(n == 1 && v[0].ip[15] == 1 && v[0].ip[10] == 0);
    CHECK(addr_find(io, "no-such-host.invalid", 1, v, 4, &n) != E_OK && n == 0);
    io_uv_drop(io);
}
