/* A row per thing that happens (trace.def): its log line, its level, its logger and its counter.
 * Loop:  any thread. Lines go to io_say(), which drops and counts rather than waits.
 * Rows:  TRACE_ROW(name, LEVEL, logger, "format"); the format is checked by the compiler at each TRACE().
 * Loggers are what BROKER_LOGGER configs name; each has a level of its own, below which its rows only count.
 * The line: `2026-11-21T10:15:02.123Z INFO [log] text`. */
#pragma once
#include "io.h"
#include <inttypes.h>
#include <stdarg.h>

enum trace_level { TRACE_FATAL, TRACE_ERROR, TRACE_WARN, TRACE_INFO, TRACE_DEBUG, TRACE_TRACE };

enum trace_id {
#define TRACE_ROW(name, level, logger, format) TR_##name,
#include "trace.def"
#undef TRACE_ROW
    TR_COUNT
};

#define TRACE_ROW(name, level, logger, format)                                                               \
    static const char TR_FORMAT_##name[] __attribute__((unused)) = format;
#include "trace.def"
#undef TRACE_ROW

#define TRACE(io, name, ...) trace_emit(io, TR_##name, TR_FORMAT_##name, ##__VA_ARGS__)

struct trace; /* a node's counters and levels; io_trace() finds it */
struct trace *trace_new(struct heap *h);
void trace_drop(struct trace *t, struct heap *h);
void trace_emit(struct io *io, enum trace_id id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Does the row make a line now? For what costs something to say. */
bool trace_says(struct io *io, enum trace_id id);
uint64_t trace_count(const struct trace *t, enum trace_id id);
const char *trace_name(enum trace_id id);

int trace_logger_count(void);
const char *trace_logger_name(int logger);
enum trace_level trace_logger_level(const struct trace *t, int logger);
void trace_logger_set(struct trace *t, int logger, enum trace_level level);
const char *trace_level_name(enum trace_level level); /* FATAL ERROR WARN INFO DEBUG TRACE */
bool trace_level_find(struct slice name, enum trace_level *out);
