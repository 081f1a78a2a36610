/* The binary: the words that were typed, the environment, the terminal and exec. Everything else is a command's. */
#include "base/check.h"
#include "base/io_uv.h"
#include "tools/commands.h"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void terminal_write(void *arg, int fd, struct slice bytes)
{
    (void)arg;
    while (bytes.len) {
        ssize_t n = write(fd, bytes.p, bytes.len);

        if (n <= 0)
            _exit(EXIT_FAILED); /* nobody reads: head(1) has seen enough */
        bytes = slice_of(bytes.p + n, bytes.len - (size_t)n);
    }
}

static const char *environment(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

/* io_uv_new() holds SIGINT and SIGTERM back for its loops. */
static void interruptible(void *arg)
{
    sigset_t all;

    (void)arg;
    sigfillset(&all);
    ASSERT(sigprocmask(SIG_UNBLOCK, &all, NULL) == 0);
}

/* From where this binary lies, links followed. */
static void program_exec(void *arg, const char *program, char **argv)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);

    (void)arg;
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n <= 0 || strlen(program) >= 64)
        return;
    memcpy(path + n, program, strlen(program) + 1);
    interruptible(NULL);
    ASSERT(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    execv(path, argv);
}

int main(int argc, char **argv)
{
    static const struct tool_world world = {
        .write = terminal_write, .env = environment, .exec = program_exec, .interruptible = interruptible};
    struct io *io = io_uv_new();
    struct tool t;

    tool_init(&t, io, &world);
    command_run(&t, argc, argv);
    if (t.running)
        io_uv_run(io);
    tool_flush(&t);
    tool_end(&t);
    io_uv_drop(io);
    return t.exit;
}
