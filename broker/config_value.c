/* Texts to values and back, by the rules of their rows. */
#include "broker/config_rows.h"
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && s.p[0] <= ' ')
        s = slice_of(s.p + 1, s.len - 1);
    while (s.len > 0 && s.p[s.len - 1] <= ' ')
        s.len--;
    return s;
}

bool slice_cut(struct slice *rest, uint8_t at, struct slice *head)
{
    uint8_t *end;

    if (!rest->p)
        return false;
    end = rest->len ? memchr(rest->p, at, rest->len) : NULL;
    *head = slice_of(rest->p, end ? (size_t)(end - rest->p) : rest->len);
    *rest = end ? slice_of(end + 1, rest->len - head->len - 1) : SLICE_NULL;
    return true;
}

bool slice_is(struct slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

bool slice_int(struct slice s, int64_t min, int64_t max, int64_t *out)
{
    bool minus = s.len > 0 && s.p[0] == '-';
    uint64_t n = 0, limit = minus ? 0 - (uint64_t)min : (uint64_t)max;
    size_t i = s.len > 0 && (s.p[0] == '-' || s.p[0] == '+');

    if (i == s.len || (minus && min >= 0))
        return false;
    for (; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.p[i] - '0'), &n) || n > limit)
            return false;
    }
    *out = minus ? (int64_t)(0 - n) : (int64_t)n;
    return *out >= min;
}

static bool in_words(const struct config_row *row, struct slice s)
{
    struct slice rest = SLICE(row->words), word;

    while (slice_cut(&rest, ',', &word)) {
        if (slice_eq(word, s))
            return true;
        if ((row->rules & CASELESS) && word.len == s.len &&
            strncasecmp((const char *)word.p, (const char *)s.p, s.len) == 0)
            return true;
    }
    return false;
}

bool config_host_port(struct slice text, struct slice *host, uint16_t *port)
{
    int64_t n;
    size_t at = text.len;

    while (at > 0 && text.p[at - 1] != ':')
        at--;
    if (at == 0 || !slice_int(slice_of(text.p + at, text.len - at), 0, 65535, &n))
        return false;
    *port = (uint16_t)n;
    *host = slice_of(text.p, at - 1);
    if (host->len >= 2 && host->p[0] == '[' && host->p[host->len - 1] == ']')
        *host = slice_of(host->p + 1, host->len - 2);
    else if (host->len > 0 && memchr(host->p, ':', host->len))
        return false;
    return true;
}

bool config_endpoint(struct slice text, struct config_endpoint *out)
{
    struct slice rest = text;

    if (!slice_cut(&rest, ':', &out->name) || out->name.len == 0 || rest.len < 2 ||
        memcmp(rest.p, "//", 2) != 0)
        return false;
    for (size_t i = 0; i < out->name.len; i++)
        if (!isalnum(out->name.p[i]) && !strchr("_.-", out->name.p[i]))
            return false;
    return config_host_port(slice_of(rest.p + 2, rest.len - 2), &out->host, &out->port);
}

static bool is_pair_of_numbers(struct slice s)
{
    struct slice rest = s, a, b;
    int64_t n;

    return slice_cut(&rest, ':', &a) && slice_cut(&rest, ':', &b) && !rest.p &&
           slice_int(a, 0, INT_MAX, &n) && slice_int(b, 0, INT_MAX, &n);
}

static bool is_voter(struct slice s)
{
    struct slice rest = s, id, host;
    int64_t n;
    uint16_t port;

    return slice_cut(&rest, '@', &id) && rest.p && slice_int(id, 0, INT_MAX, &n) &&
           config_host_port(rest, &host, &port) && host.len > 0;
}

static bool is_match(struct slice s)
{
    static const char *const names =
        ",client_instance_id,client_id,client_software_name,client_software_version,"
        "client_source_address,client_source_port,";
    struct slice rest = s, name;
    char pattern[512], wanted[64];
    regex_t re;

    if (!slice_cut(&rest, '=', &name) || !rest.p)
        return false;
    name = slice_trim(name);
    rest = slice_trim(rest);
    if (name.len == 0 || name.len > 40 || rest.len == 0 || rest.len >= sizeof(pattern))
        return false;
    snprintf(wanted, sizeof(wanted), ",%.*s,", (int)name.len, (const char *)name.p);
    snprintf(pattern, sizeof(pattern), "%.*s", (int)rest.len, (const char *)rest.p);
    if (!strstr(names, wanted) || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    regfree(&re);
    return true;
}

/* PnDTnHnMn.nS: at least one part, none negative. */
static bool is_duration(struct slice s)
{
    const char *units = "DHMS", *unit;
    bool time = false, any = false;

    if (s.len < 3 || s.p[0] != 'P')
        return false;
    for (size_t i = 1; i < s.len;) {
        size_t from = i;
        if (s.p[i] == 'T' && !time) {
            time = true;
            any = false;
            i++;
            continue;
        }
        while (i < s.len && (isdigit(s.p[i]) || s.p[i] == '.'))
            i++;
        if (i == from || i == s.len || !(unit = strchr(units, s.p[i])) || (*unit == 'D') == time)
            return false;
        units = unit + 1;
        any = true;
        i++;
    }
    return any;
}

/* One word or element against the row's rules; NULL: fine. */
static const char *element_fault(const struct config_row *row, struct slice s, int n)
{
    struct config_endpoint ep;
    struct slice host;
    uint16_t port;

    if (row->words && !in_words(row, s))
        return "it must be one of";
    if ((row->rules & THROTTLED) && !is_pair_of_numbers(s) && !(n == 1 && slice_is(s, "*")))
        return "it must be a list of partition:broker, or * alone";
    if ((row->rules & LISTENERS) && !config_endpoint(s, &ep))
        return "it must be a list of name://host:port";
    if ((row->rules & VOTERS) && !is_voter(s))
        return "it must be a list of id@host:port";
    if ((row->rules & SERVERS) && (!config_host_port(s, &host, &port) || host.len == 0))
        return "it must be a list of host:port";
    if ((row->rules & CLIENT_MATCH) && !is_match(s))
        return "it must be a list of name=regular expression, with names like client_id or "
               "client_software_name";
    return NULL;
}

/* The last colon counts: an address of version 6 has more of them. */
static bool is_host_count(struct slice s)
{
    size_t at = s.len;
    int64_t n;

    while (at > 0 && s.p[at - 1] != ':')
        at--;
    return at > 1 && slice_int(slice_of(s.p + at, s.len - at), 0, INT_MAX, &n);
}

/* Texts that are lists in Kafka's code, though it calls them strings: name:what,name:what */
static const char *string_fault(const struct config_row *row, struct slice s)
{
    struct slice rest = s, one, name;

    if (s.len == 0)
        return row->rules & FILLED ? "it must not be empty" : NULL;
    if (row->rules & OFFSET_RESET) {
        static const char by[] = "by_duration:";
        bool known = slice_is(s, "latest") || slice_is(s, "earliest") ||
                     (s.len > sizeof(by) && memcmp(s.p, by, sizeof(by) - 1) == 0 &&
                      is_duration(slice_of(s.p + sizeof(by) - 1, s.len - sizeof(by) + 1)));
        return known ? NULL : "it must be earliest, latest or by_duration:PnDTnHnMn.nS";
    }
    if (!(row->rules & (PROTOCOL_MAP | IP_OVERRIDES)))
        return element_fault(row, s, 1);
    while (slice_cut(&rest, ',', &one)) {
        if ((row->rules & IP_OVERRIDES) && !is_host_count(slice_trim(one)))
            return "it must be a list of host:count";
        if ((row->rules & PROTOCOL_MAP) &&
            (!slice_cut(&one, ':', &name) || !one.p || slice_trim(name).len == 0))
            return "it must be a list of name:protocol";
    }
    return NULL;
}

static bool parse_list(const struct config_row *row, struct slice s, struct arena *a, struct config_list *out,
                       const char **fault)
{
    struct slice rest = s, one;
    int room = 1;
    const char **v;

    *out = (struct config_list){0};
    if (s.len == 0) {
        *fault = "it must not be empty";
        return !(row->rules & FILLED);
    }
    for (size_t i = 0; i < s.len; i++)
        room += s.p[i] == ',';
    v = arena_alloc(a, (size_t)room * sizeof(*v));
    while (slice_cut(&rest, ',', &one)) {
        bool twice = false;
        one = slice_trim(one);
        if (one.len == 0) {
            *fault = "its elements must not be empty";
            return false;
        }
        if ((*fault = element_fault(row, one, room)))
            return false;
        for (int i = 0; i < out->n && (row->rules & UNIQUE); i++)
            twice |= slice_is(one, v[i]);
        if (!twice)
            v[out->n++] = arena_str(a, one);
    }
    out->v = v;
    return true;
}

static bool parse_number(const struct config_row *row, struct slice s, struct arena *a,
                         struct config_value *out, char *why, size_t room)
{
    static const struct {
        const char *name;
        int64_t min, max;
    } kinds[] = {
        [CONFIG_SHORT] = {"a whole number up to 32767", INT16_MIN, INT16_MAX},
        [CONFIG_INT] = {"a whole number up to 2147483647", INT32_MIN, INT32_MAX},
        [CONFIG_LONG] = {"a whole number", INT64_MIN, INT64_MAX},
    };
    double d;

    if (row->type == CONFIG_DOUBLE) {
        char *text = arena_str(a, s), *end;
        d = out->d = strtod(text, &end);
        end += *end && strchr("dDfF", *end) ? 1 : 0; /* as Java's literals may end */
        if (end == text || *end || isnan(d)) {
            snprintf(why, room, "it must be a number");
            return false;
        }
    } else {
        if (!slice_int(s, kinds[row->type].min, kinds[row->type].max, &out->i)) {
            snprintf(why, room, "it must be %s", kinds[row->type].name);
            return false;
        }
        d = (double)out->i;
    }
    if (d >= row->min && d <= row->max && (!(row->rules & GZIP_LEVEL) || d == -1 || (d >= 1 && d <= 9)))
        return true;
    if (row->rules & GZIP_LEVEL)
        snprintf(why, room, "it must be between 1 and 9, or -1");
    else if (row->max >= (double)INT64_MAX)
        snprintf(why, room, "it must be at least %.0f", row->min);
    else
        snprintf(why, room, "it must be between %.0f and %g", row->min, row->max);
    return false;
}

bool config_parse(const struct config_row *row, struct slice text, struct arena *a, struct config_value *out,
                  char *why, size_t room)
{
    struct slice s = slice_trim(text);
    const char *fault = NULL;

    *out = (struct config_value){0};
    switch (row->type) {
    case CONFIG_BOOLEAN:
        out->i = s.len == 4;
        if (!(s.len == 4 && strncasecmp((char *)s.p, "true", 4) == 0) &&
            !(s.len == 5 && strncasecmp((char *)s.p, "false", 5) == 0))
            fault = "it must be true or false";
        break;
    case CONFIG_INT:
    case CONFIG_SHORT:
    case CONFIG_LONG:
    case CONFIG_DOUBLE:
        return parse_number(row, s, a, out, why, room);
    case CONFIG_LIST:
        if (parse_list(row, s, a, &out->list, &fault))
            fault = NULL;
        break;
    case CONFIG_STRING:
    case CONFIG_CLASS:
    case CONFIG_PASSWORD:
        fault = string_fault(row, s);
        out->s = arena_str(a, s);
        break;
    }
    if (fault)
        snprintf(why, room, "%s%s%s", fault, row->words ? " " : "", row->words ? row->words : "");
    return !fault;
}

bool config_is_preset(const struct config_row *row, const struct config_value *v, struct arena *a)
{
    const char *mine = config_print(row, v, a), *preset = NULL;
    struct slice rest = SLICE(row->builtin ? row->builtin : ""), one;
    struct config_value std;
    char why[128];

    if (row->preset && config_parse(row, SLICE(row->preset), a, &std, why, sizeof(why)))
        preset = config_print(row, &std, a);
    if (!mine || !preset)
        return mine == preset;
    if (strcmp(mine, preset) == 0)
        return true;
    while (row->builtin && slice_cut(&rest, ',', &one))
        if (slice_is(one, mine))
            return true;
    return false;
}

/* Java prints a double with the fewest digits that read back the same, and as 1.0E10 from ten million on. */
static const char *print_double(double d, struct arena *a)
{
    char text[40], *e;
    int digits = 0;

    if (d == 0 || (fabs(d) >= 1e-3 && fabs(d) < 1e7)) {
        do {
            snprintf(text, sizeof(text), "%.*f", ++digits, d);
        } while (strtod(text, NULL) != d && digits < 20);
        return arena_str(a, SLICE(text));
    }
    do {
        snprintf(text, sizeof(text), "%.*e", ++digits, d);
    } while (strtod(text, NULL) != d && digits < 17);
    e = strchr(text, 'e');
    *e = '\0';
    return arena_printf(a, "%sE%d", text, atoi(e + 1));
}

const char *config_print(const struct config_row *row, const struct config_value *v, struct arena *a)
{
    char *text;

    if (v->null)
        return NULL;
    switch (row->type) {
    case CONFIG_BOOLEAN:
        return v->i ? "true" : "false";
    case CONFIG_INT:
    case CONFIG_SHORT:
    case CONFIG_LONG:
        return arena_printf(a, "%lld", (long long)v->i);
    case CONFIG_DOUBLE:
        return print_double(v->d, a);
    case CONFIG_LIST:
        text = arena_str(a, SLICE(""));
        for (int i = 0; i < v->list.n; i++)
            text = arena_printf(a, "%s%s%s", text, i ? "," : "", v->list.v[i]);
        return text;
    case CONFIG_STRING:
    case CONFIG_CLASS:
    case CONFIG_PASSWORD:
        break;
    }
    return v->s;
}
