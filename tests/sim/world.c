#include "sim_impl.h"
#include <stdio.h>
#include <stdlib.h>

void *sim_alloc(size_t len)
{
    void *p = calloc(1, len);

    ASSERT(p);
    return p;
}

/* ---- options ---- */

struct sim_options sim_plain(uint64_t seed)
{
    return (struct sim_options){
        .seed = seed,
        .cost = {1000, 5000},
        .post = {500, 3000},
        .file = {500, 2000},
        .disk = {50000, 200000},
        .net = {20000, 60000},
        .stall = {1000000, 10000000},
        .tcp_timeout = INT64_C(30000000000),
        .buffer_min = 16384,
        .buffer_max = 65536,
    };
}

static uint32_t often(struct chance *c, uint32_t ppm_max)
{
    return chance_below(c, 2) ? (uint32_t)chance_below(c, ppm_max + 1) : 0;
}

static struct sim_range range(struct chance *c, int64_t min, int64_t max)
{
    int64_t low = min + (int64_t)chance_below(c, (uint64_t)(max - min) / 4 + 1);

    return (struct sim_range){low, low + (int64_t)chance_below(c, (uint64_t)(max - low) + 1)};
}

struct sim_options sim_swarm(uint64_t seed)
{
    struct chance c = {.state = seed ^ 0x5eed5eed5eed5eedu};
    struct sim_options o = sim_plain(seed);

    o.cost = range(&c, 1000, 200000);
    o.post = range(&c, 500, 50000);
    o.file = range(&c, 500, 50000);
    o.disk = range(&c, 20000, 20000000);
    o.net = range(&c, 20000, 5000000);
    o.skew = (struct sim_range){-60000000000, 60000000000};
    o.stall = range(&c, 1000000, 2000000000);
    o.disk_stall_ppm = often(&c, 2000);
    o.disk_error_ppm = often(&c, 500);
    o.cold_ppm = often(&c, 500000);
    o.net_reset_ppm = often(&c, 1000);
    o.net_stall_ppm = often(&c, 5000);
    o.buffer_min = 512 + (uint32_t)chance_below(&c, 16384);
    o.buffer_max = o.buffer_min + (uint32_t)chance_below(&c, 262144);
    return o;
}

static void range_print(const char *name, struct sim_range r)
{
    printf("  %-10s %.3f .. %.3f ms\n", name, (double)r.min / 1e6, (double)r.max / 1e6);
}

void sim_options_print(const struct sim_options *o)
{
    printf("seed %llu\n", (unsigned long long)o->seed);
    range_print("cost", o->cost);
    range_print("post", o->post);
    range_print("file", o->file);
    range_print("disk", o->disk);
    range_print("net", o->net);
    range_print("skew", o->skew);
    range_print("stall", o->stall);
    printf("  ppm        disk_stall %u, disk_error %u, cold %u, net_reset %u, net_stall %u\n",
           o->disk_stall_ppm, o->disk_error_ppm, o->cold_ppm, o->net_reset_ppm, o->net_stall_ppm);
    printf("  buffer     %u .. %u bytes\n", o->buffer_min, o->buffer_max);
}

/* ---- chance and trace ---- */

uint64_t sim_random(struct sim *s)
{
    return chance_next(&s->chance);
}

uint64_t sim_below(struct sim *s, uint64_t n)
{
    return chance_below(&s->chance, n);
}

bool sim_chance(struct sim *s, uint32_t ppm)
{
    return chance_hit(&s->chance, ppm);
}

int64_t world_draw(struct sim *s, struct sim_range r)
{
    ASSERT(r.min <= r.max);
    return r.min == r.max ? r.min : r.min + (int64_t)sim_below(s, (uint64_t)(r.max - r.min) + 1);
}

void world_fold(struct sim *s, uint64_t v)
{
    s->hash = (s->hash ^ v) * 0x9e3779b97f4a7c15u;
    s->hash ^= s->hash >> 29;
}

void world_fold_bytes(struct sim *s, const void *p, size_t len)
{
    const uint8_t *at = p;
    uint64_t v;

    world_fold(s, len);
    for (; len >= 8; at += 8, len -= 8) {
        memcpy(&v, at, 8);
        world_fold(s, v);
    }
    v = 0;
    if (len > 0)
        memcpy(&v, at, len);
    world_fold(s, v);
}

void world_event(struct sim *s, const char *what, int node, int64_t a, int64_t b)
{
    uint64_t word = 0;

    for (const char *at = what; *at; at++)
        word = word * 131 + (uint8_t)*at;
    world_fold(s, word);
    world_fold(s, (uint64_t)s->now);
    world_fold(s, (uint64_t)node);
    world_fold(s, (uint64_t)a);
    world_fold(s, (uint64_t)b);
    if (s->opt.print)
        printf("%12lld n%-3d %-8s %lld %lld\n", (long long)s->now, node, what, (long long)a, (long long)b);
}

void sim_note(struct sim *s, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    world_fold_bytes(s, line, strlen(line));
    if (s->opt.print)
        printf("%12lld      %s\n", (long long)s->now, line);
}

int64_t sim_now(const struct sim *s)
{
    return s->now;
}

uint64_t sim_trace_hash(const struct sim *s)
{
    return s->hash;
}

/* ---- events ---- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void world_at(struct sim *s, int64_t at, void (*run)(struct sim *, void *, int64_t), void *arg, int64_t n)
{
    struct event ev = {.at = at, .seq = s->seq++, .run = run, .arg = arg, .n = n};
    size_t i = s->n_events++;

    ASSERT(at >= s->now);
    if (i == s->events_room) {
        s->events_room = s->events_room ? s->events_room * 2 : 64;
        s->events = realloc(s->events, s->events_room * sizeof(*s->events));
        ASSERT(s->events);
    }
    for (; i > 0 && before(&ev, &s->events[(i - 1) / 2]); i = (i - 1) / 2)
        s->events[i] = s->events[(i - 1) / 2];
    s->events[i] = ev;
}

static struct event event_take(struct sim *s)
{
    struct event first = s->events[0], last = s->events[--s->n_events];
    size_t i = 0;

    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= s->n_events)
            break;
        if (c + 1 < s->n_events && before(&s->events[c + 1], &s->events[c]))
            c++;
        if (!before(&s->events[c], &last))
            break;
        s->events[i] = s->events[c];
        i = c;
    }
    s->events[i] = last;
    return first;
}

bool world_step(struct sim *s)
{
    struct event ev;

    if (s->n_events == 0)
        return false;
    ev = event_take(s);
    s->now = ev.at;
    ev.run(s, ev.arg, ev.n);
    return true;
}

bool sim_run(struct sim *s, bool (*until)(void *arg), void *arg, int64_t bound_ns)
{
    int64_t end = s->now + bound_ns;
    bool held = until && until(arg);

    ASSERT(!s->running && !s->cur);
    s->running = true;
    while (!held && s->n_events > 0 && s->events[0].at <= end) {
        ASSERT(world_step(s));
        held = until && until(arg);
    }
    s->running = false;
    if (!held) {
        s->now = end;
        held = until && until(arg); /* it may be about the time alone, and nothing happened in it */
    }
    return held;
}
