#include "trace.h"
#include "check.h"
#include <stdatomic.h>
#include <stdio.h>

/* What BROKER_LOGGER configs name, and what a row of trace.def may name. */
#define LOGGERS(X) X(weir) X(server) X(log) X(network) X(metadata) X(quorum) X(request) X(config)

enum logger {
#define LOGGER_ENUM(name) LOGGER_##name,
    LOGGERS(LOGGER_ENUM)
#undef LOGGER_ENUM
        LOGGER_COUNT
};

static const char *const logger_names[LOGGER_COUNT] = {
#define LOGGER_NAME(name) [LOGGER_##name] = #name,
    LOGGERS(LOGGER_NAME)
#undef LOGGER_NAME
};

static const char *const level_names[] = {
    [TRACE_FATAL] = "FATAL", [TRACE_ERROR] = "ERROR", [TRACE_WARN] = "WARN",
    [TRACE_INFO] = "INFO",   [TRACE_DEBUG] = "DEBUG", [TRACE_TRACE] = "TRACE",
};

struct row {
    const char *name;
    enum trace_level level;
    enum logger logger;
};

static const struct row rows[TR_COUNT] = {
#define TRACE_ROW(n, lv, lg, format) [TR_##n] = {.name = #n, .level = TRACE_##lv, .logger = LOGGER_##lg},
#include "trace.def"
#undef TRACE_ROW
};

struct trace {
    _Atomic uint8_t levels[LOGGER_COUNT];
    _Atomic uint64_t counts[TR_COUNT];
};

enum { LINE_MAX_BYTES = 1024 };

struct trace *trace_new(struct heap *h)
{
    struct trace *t = heap_alloc(h, sizeof(*t));

    for (int i = 0; i < LOGGER_COUNT; i++)
        atomic_init(&t->levels[i], (uint8_t)TRACE_INFO);
    return t;
}

void trace_drop(struct trace *t, struct heap *h)
{
    heap_free(h, t);
}

/* Days since 1970 to a date of the Gregorian calendar. Years are counted from March, which puts the leap day
 * last; 400 of them have 146,097 days. (libc's would ask the environment for a time zone.) */
static void date_of(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

static int put_head(char *to, size_t room, int64_t wall_ms, const struct row *row)
{
    int year, month, day, ms = (int)(wall_ms % 86400000);

    date_of(wall_ms / 86400000, &year, &month, &day);
    return snprintf(to, room, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s [%s] ", year, month, day, ms / 3600000,
                    ms / 60000 % 60, ms / 1000 % 60, ms % 1000, level_names[row->level],
                    logger_names[row->logger]);
}

bool trace_says(struct io *io, enum trace_id id)
{
    ASSERT(id < TR_COUNT);
    return rows[id].level <=
           atomic_load_explicit(&io_trace(io)->levels[rows[id].logger], memory_order_relaxed);
}

void trace_emit(struct io *io, enum trace_id id, const char *format, ...)
{
    struct trace *t = io_trace(io);
    char line[LINE_MAX_BYTES];
    va_list ap;

    ASSERT(id < TR_COUNT);
    atomic_fetch_add_explicit(&t->counts[id], 1, memory_order_relaxed);
    if (!trace_says(io, id))
        return;

    size_t head = (size_t)put_head(line, sizeof(line), io_wall_ms(io), &rows[id]), room = sizeof(line) - head;
    va_start(ap, format);
    size_t len = (size_t)vsnprintf(line + head, room, format, ap);
    va_end(ap);
    if (len >= room) {
        len = room - 1;
        memcpy(line + head + len - 3, "...", 3);
    }
    /* What a client named may hold anything: one thing that happened is one line. */
    for (size_t i = head; i < head + len; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    io_say(io, slice_of(line, head + len));
}

uint64_t trace_count(const struct trace *t, enum trace_id id)
{
    ASSERT(id < TR_COUNT);
    return atomic_load_explicit(&t->counts[id], memory_order_relaxed);
}

const char *trace_name(enum trace_id id)
{
    ASSERT(id < TR_COUNT);
    return rows[id].name;
}

int trace_logger_count(void)
{
    return LOGGER_COUNT;
}

const char *trace_logger_name(int logger)
{
    ASSERT(logger >= 0 && logger < LOGGER_COUNT);
    return logger_names[logger];
}

enum trace_level trace_logger_level(const struct trace *t, int logger)
{
    ASSERT(logger >= 0 && logger < LOGGER_COUNT);
    return (enum trace_level)atomic_load_explicit(&t->levels[logger], memory_order_relaxed);
}

void trace_logger_set(struct trace *t, int logger, enum trace_level level)
{
    ASSERT(logger >= 0 && logger < LOGGER_COUNT);
    atomic_store_explicit(&t->levels[logger], (uint8_t)level, memory_order_relaxed);
}

const char *trace_level_name(enum trace_level level)
{
    return level_names[level];
}

bool trace_level_find(struct slice name, enum trace_level *out)
{
    for (int i = 0; i <= TRACE_TRACE; i++) {
        if (slice_eq(name, SLICE(level_names[i]))) {
            *out = (enum trace_level)i;
            return true;
        }
    }
    return false;
}
