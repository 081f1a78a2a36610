#include "tools/meta_point.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool parse_number(const char *text, struct meta_point *out)
{
    char *end;
    long long n = strtoll(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || (*end && strcmp(end, "ms") != 0))
        return false;
    *out = (struct meta_point){*end ? META_TIME : META_OFFSET, n};
    return true;
}

static bool parse_ago(const char *text, int64_t now_ms, struct meta_point *out)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    long long n;

    if (text[0] != '-' || text[1] < '0' || text[1] > '9')
        return false;
    n = strtoll(text + 1, &end, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) == 0 && n <= now_ms / units[i].ms) {
            *out = (struct meta_point){META_TIME, now_ms - n * units[i].ms};
            return true;
        }
    }
    return false;
}

static bool in(int v, int low, int high)
{
    return v >= low && v <= high;
}

static bool parse_date(const char *text, struct meta_point *out)
{
    int year, month, day, hour = 0, minute = 0, second = 0, ms = 0, used = 0, more = 0;
    struct tm tm = {0};

    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3)
        return false;
    text += used;
    if ((*text == 'T' || *text == ' ') && sscanf(text + 1, "%2d:%2d%n", &hour, &minute, &used) == 2)
        text += 1 + used;
    if (*text == ':' && sscanf(text + 1, "%2d%n", &second, &used) == 1)
        text += 1 + used;
    if (*text == '.' && sscanf(text + 1, "%3d%n", &ms, &more) == 1) {
        text += 1 + more;
        for (; more < 3; more++)
            ms *= 10;
    }
    if (*text == 'Z')
        text++;
    if (*text || !in(year, 1970, 9999) || !in(month, 1, 12) || !in(day, 1, 31) || !in(hour, 0, 23) ||
        !in(minute, 0, 59) || !in(second, 0, 60))
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = second;
    *out = (struct meta_point){META_TIME, (int64_t)timegm(&tm) * 1000 + ms};
    return true;
}

bool meta_point_parse(const char *text, int64_t now_ms, struct meta_point *out)
{
    if (strcmp(text, "end") == 0) {
        *out = META_END;
        return true;
    }
    return parse_ago(text, now_ms, out) || parse_number(text, out) || parse_date(text, out);
}

const char *meta_time(int64_t ms, char text[META_TIME_LEN + 1])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;

    if (ms < 0 || ms > 253402300799999 || !gmtime_r(&s, &tm))
        return strcpy(text, "-");
    (void)snprintf(text, META_TIME_LEN + 1, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
                   (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
                   (unsigned)tm.tm_sec % 100, (unsigned)(ms % 1000));
    return text;
}
