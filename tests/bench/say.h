/* How the metadata benches speak: a line of a table, and one of JSON at the end of the file that WEIR_BENCH_JSON names. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline int64_t clock_us(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static inline int64_t now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

static inline void say(const char *name, double value, const char *unit)
{
    const char *path = getenv("WEIR_BENCH_JSON");
    FILE *json = path ? fopen(path, "a") : NULL;

    printf("%-58s %12.*f %s\n", name, value < 100 ? 2 : 0, value, unit);
    (void)fflush(stdout);
    if (!json)
        return;
    fprintf(json, "{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"%s\"}\n", name, value, unit);
    (void)fclose(json);
}
