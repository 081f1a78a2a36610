/* weir-console: the commands that need librdkafka. `weir` runs it in its own place; the first word names the command. */
#include "base/check.h"
#include "tools/console/console.h"
#include "tools/console/shell.h"
#include <signal.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    if (stopped)
        _exit(128 + number); /* asked for twice */
    stopped = 1;
}

bool console_stopped(void)
{
    return stopped;
}

int64_t console_now_us(void)
{
    struct timespec now;

    ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

int64_t console_wall_ms(void)
{
    struct timespec now;

    ASSERT(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static void say(struct console *c, const char *fmt, va_list args)
{
    console_flush(c);
    fputs("weir: ", stderr);
    vfprintf(stderr, fmt, args);
    fputs("\n", stderr);
    c->failed = true;
}

void console_fail(struct console *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(c, fmt, args);
    va_end(args);
    c->exit = EXIT_FAILED;
}

void console_usage(struct console *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(c, fmt, args);
    va_end(args);
    c->exit = EXIT_USAGE;
}

void console_flush(struct console *c)
{
    for (size_t at = 0; at < c->out.len;) {
        ssize_t n = write(1, c->out.p + at, c->out.len - at);

        if (n <= 0)
            _exit(EXIT_FAILED); /* nobody reads any more */
        at += (size_t)n;
    }
    c->out.len = 0;
}

static const struct {
    const char *name;
    const struct flag *flags;
    int (*run)(struct console *c);
} commands[] = {
    {"produce", flags_produce, console_produce},
    {"consume", flags_consume, console_consume},
    {"perf-produce", flags_perf_produce, console_perf_produce},
    {"perf-consume", flags_perf_consume, console_perf_consume},
};

static int command_run(struct console *c, int argc, char **argv)
{
    struct bytes why;

    bytes_init(&why, c->heap);
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, argv[1]) != 0)
            continue;
        if (!flags_parse(&c->flags, commands[i].flags, argc - 2, argv + 2, 0, &c->arena, &why)) {
            console_usage(c, "%.*s", (int)why.len, (char *)why.p);
            bytes_drop(&why);
            return EXIT_USAGE;
        }
        c->json = flag_given(&c->flags, "json");
        return commands[i].run(c);
    }
    console_usage(c, "weir-console is run by `weir produce`, `consume` and `perf`, not by itself");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "metadata-shell") == 0)
        return console_metadata_shell(argc - 2, argv + 2);

    struct heap *heap = heap_new(false);
    struct console c = {.heap = heap};
    struct sigaction action = {.sa_handler = on_signal};

    ASSERT(sigaction(SIGINT, &action, NULL) == 0 && sigaction(SIGTERM, &action, NULL) == 0);
    ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    arena_init(&c.arena, heap, SIZE_MAX);
    bytes_init(&c.out, heap);
    int code = command_run(&c, argc, argv);
    console_flush(&c);
    bytes_drop(&c.out);
    arena_drop(&c.arena);
    heap_drop(heap);
    return code;
}
