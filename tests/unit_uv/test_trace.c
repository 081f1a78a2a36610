#include "base/trace.h"
#include "world.h"
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* What standard error got, after all was written. */
static char said[8192];

static struct io *begin(char *path, size_t len)
{
    snprintf(path, len, "%s/stderr", test_dir());
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    close(fd);
    return io_uv_new();
}

static void end(struct io *io, const char *path)
{
    io_uv_drop(io);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    said[fread(said, 1, sizeof(said) - 1, f)] = '\0';
    CHECK(fclose(f) == 0);
}

static int logger(const char *name)
{
    for (int k = 0; k < trace_logger_count(); k++)
        if (strcmp(trace_logger_name(k), name) == 0)
            return k;
    CHECK(!"no such logger");
    return -1;
}

/* A row is a line with time, level and logger; what a client named can't break it into two. */
TEST(trace, a_row_is_a_line)
{
    char path[512];
    struct io *io = begin(path, sizeof(path));
    int y, mo, d, h, mi, s, ms, n = 0;

    TRACE(io, server_stopping, "a\nb\tc\x7f");
    end(io, path);
    CHECK(sscanf(said, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &y, &mo, &d, &h, &mi, &s, &ms, &n) == 7);
    CHECK(y >= 2024 && mo >= 1 && mo <= 12 && d >= 1 && d <= 31 && h < 24 && mi < 60 && s < 60);
    CHECK_STR(said + n, " INFO [server] stopping: a?b?c?\n");
}

/* The date is the calendar's. */
TEST(trace, date_is_right)
{
    char path[512], date[32];
    struct io *io = begin(path, sizeof(path));
    time_t now = (time_t)(io_wall_ms(io) / 1000);
    struct tm tm;

    TRACE(io, server_stopped);
    end(io, path);
    CHECK(strftime(date, sizeof(date), "%Y-%m-%dT%H", gmtime_r(&now, &tm)) > 0);
    CHECK(strncmp(said, date, strlen(date)) == 0);
}

/* Below its logger's level a row only counts, and levels are set a logger at a time. */
TEST(trace, levels_silence_but_count)
{
    char path[512];
    struct io *io = begin(path, sizeof(path));
    struct trace *t = io_trace(io);

    CHECK_EQ(trace_logger_level(t, logger("server")), TRACE_INFO);
    trace_logger_set(t, logger("server"), TRACE_WARN);
    TRACE(io, server_stopped);
    trace_logger_set(t, logger("server"), TRACE_INFO);
    trace_logger_set(t, logger("network"), TRACE_FATAL);
    TRACE(io, server_stopped);
    CHECK_EQ(trace_count(t, TR_server_stopped), 2);
    CHECK_EQ(trace_count(t, TR_server_started), 0);
    CHECK_STR(trace_name(TR_server_stopped), "server_stopped");
    end(io, path);
    CHECK(strchr(said, '\n') == said + strlen(said) - 1);
}

/* A line that is too long is cut, and shows it. */
TEST(trace, long_lines_are_cut)
{
    char path[512], text[5000];
    struct io *io = begin(path, sizeof(path));

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    TRACE(io, server_stopping, text);
    end(io, path);
    size_t len = strlen(said);
    CHECK(len <= 1025 && strcmp(said + len - 5, "x...\n") == 0);
}

/* Levels are found by their names. */
TEST(trace, levels_have_names)
{
    enum trace_level level;

    for (int k = TRACE_FATAL; k <= TRACE_TRACE; k++)
        CHECK(trace_level_find(SLICE(trace_level_name((enum trace_level)k)), &level) && (int)level == k);
    CHECK(!trace_level_find(SLICE("LOUD"), &level) && !trace_level_find(SLICE_NULL, &level));
}
