#include "tools/voter_list.h"
#include <stdarg.h>
#include <stdio.h>

static bool no(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool no(char *why, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, VOTER_LIST_WHY_MAX, fmt, args);
    va_end(args);
    return false;
}

/* Digits alone, as far as they count. */
static bool number(struct slice s, int64_t max, int64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *out = *out * 10 + s.p[i] - '0';
        if (*out > max)
            return false;
    }
    return s.len > 0;
}

static struct slice trim(struct slice s)
{
    while (s.len && s.p[0] == ' ')
        s = slice_of(s.p + 1, s.len - 1);
    while (s.len && s.p[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* What is before `c`, which goes too. */
static bool until(struct slice *rest, char c, struct slice *out)
{
    const uint8_t *at = rest->len ? memchr(rest->p, c, rest->len) : NULL;

    if (!at)
        return false;
    *out = slice_of(rest->p, (size_t)(at - rest->p));
    *rest = slice_of(at + 1, rest->len - out->len - 1);
    return true;
}

static bool take_host(struct slice *rest, struct formatted_voter *v, char *why)
{
    struct slice host;

    if (rest->len && rest->p[0] == '[') {
        *rest = slice_of(rest->p + 1, rest->len - 1);
        if (!until(rest, ']', &host))
            return no(why, "Hostname began with left bracket, but no right bracket was found.");
        if (rest->len == 0 || rest->p[0] != ':')
            return no(why, "Port section must start with a colon.");
        *rest = slice_of(rest->p + 1, rest->len - 1);
    } else if (!until(rest, ':', &host)) {
        return no(why, "No colon following hostname could be found.");
    }
    if (host.len == 0 || host.len > FORMATTED_HOST_MAX)
        return no(why, "node %d needs a host of 1 to %d letters", v->node, FORMATTED_HOST_MAX);
    memcpy(v->host, host.p, host.len);
    return true;
}

static bool take(struct slice s, struct formatted_voter *v, char *why)
{
    struct slice rest = trim(s), part;
    int64_t n;

    *v = (struct formatted_voter){.node = -1};
    if (!until(&rest, '@', &part))
        return no(why, "No @ found in dynamic voter string.");
    if (!number(part, INT32_MAX - 1, &n))
        return no(why, "Failed to parse node id in dynamic voter string.");
    v->node = (int32_t)n;
    if (!take_host(&rest, v, why))
        return false;
    if (!until(&rest, ':', &part))
        return no(why, "No colon following port could be found.");
    if (!number(part, INT32_MAX, &n))
        return no(why, "Failed to parse port in dynamic voter string.");
    if (n == 0 || n > UINT16_MAX)
        return no(why, "Invalid port %d in dynamic voter string.", (int)n);
    v->port = (uint16_t)n;
    if (!uuid_parse(rest, &v->directory_id) || uuid_is_zero(v->directory_id))
        return no(why, "Failed to parse directory ID in dynamic voter string.");
    return true;
}

static bool fits(const struct formatted *f, const struct formatted_voter *v, char *why)
{
    for (int i = 0; i < f->n; i++) {
        if (f->v[i].node == v->node)
            return no(why, "Node id %d was specified more than once.", v->node);
        if (uuid_eq(f->v[i].directory_id, v->directory_id))
            return no(why, "nodes %d and %d have the same directory id", f->v[i].node, v->node);
    }
    return f->n < VOTERS_MAX || no(why, "there can't be more than %d voters", VOTERS_MAX);
}

bool voter_list_parse(const char *text, struct formatted *out, char why[VOTER_LIST_WHY_MAX])
{
    struct slice rest = SLICE(text);

    *out = (struct formatted){.n = 0};
    while (rest.len) {
        struct formatted_voter v;
        struct slice one = rest;

        if (!until(&rest, ',', &one))
            rest.len = 0;
        if (trim(one).len == 0)
            continue;
        if (!take(one, &v, why) || !fits(out, &v, why))
            return false;
        out->v[out->n++] = v;
    }
    return out->n > 0 || no(why, "No voters given.");
}
