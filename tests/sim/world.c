#include "base/trace.h"
#include "sim_impl.h"
#include <stdio.h>
#include <stdlib.h>

/* The wall clock's zero: 2026-01-01. */
static const int64_t WALL_MS = INT64_C(1767225600000);

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
    if (!held)
        s->now = end;
    return held;
}

/* ---- nodes ---- */

struct sim *sim_new_with(const struct sim_options *o)
{
    struct sim *s = sim_alloc(sizeof(*s));

    s->opt = *o;
    s->chance.state = o->seed;
    list_init(&s->ios);
    list_init(&s->conns);
    list_init(&s->listeners);
    return s;
}

struct sim *sim_new(uint64_t seed)
{
    struct sim_options o = sim_plain(seed);

    return sim_new_with(&o);
}

void sim_calm(struct sim *s)
{
    s->opt.disk_stall_ppm = s->opt.disk_error_ppm = s->opt.net_reset_ppm = s->opt.net_stall_ppm = 0;
}

static struct host *host_of(const struct sim *s, int node)
{
    ASSERT(node > 0 && node < SIM_NODES_MAX);
    return (struct host *)&s->hosts[node];
}

bool sim_up(const struct sim *s, int node)
{
    return host_of(s, node)->io != NULL;
}

struct sim *sim_of(struct io *io)
{
    return io->s;
}

static void host_power(struct sim *s, struct host *h, int node)
{
    if (!h->disk) {
        h->disk = disk_new();
        h->chance.state = s->opt.seed * 1000003 + (uint64_t)node;
    }
    h->powered = true;
    for (int i = 0; i < 16; i++)
        h->boot_id[i] = (uint8_t)chance_next(&h->chance);
}

struct io *sim_node(struct sim *s, int node)
{
    struct host *h = host_of(s, node);
    struct io *io = sim_alloc(sizeof(*io));

    ASSERT(!h->io);
    if (!h->powered)
        host_power(s, h, node);
    h->io = io;
    *io = (struct io){.s = s, .node = node, .next_ticket = 1};
    list_add(&s->ios, &io->link);
    list_init(&io->loops);
    list_init(&io->files);
    io->heap = heap_new(true);
    io->trace = trace_new(io->heap);
    io->wall_base = WALL_MS + world_draw(s, s->opt.skew) / 1000000;
    world_event(s, "start", node, 0, 0);
    return io;
}

static void io_kill(struct io *io)
{
    io->dead = true;
    list_each (it, &io->loops)
        loop_kill(container_of(it, struct loop, link));
    files_kill(io);
    heap_drop(io->heap);
    io->heap = NULL;
    io->trace = NULL;
    io->s->hosts[io->node].io = NULL;
}

void sim_crash(struct sim *s, int node, enum sim_crash how)
{
    struct host *h = host_of(s, node);

    if (s->cur && s->cur->io == h->io) {
        s->crash_io = h->io; /* as soon as the callback is left */
        s->crash_how = how;
        if (s->cur->kind == LOOP_DISK)
            loop_unwind(s->cur);
        return;
    }
    world_crash(s, node, how);
}

void world_crash(struct sim *s, int node, enum sim_crash how)
{
    struct host *h = host_of(s, node);

    world_event(s, "crash", node, how, h->file_calls);
    if (h->io) {
        struct io *io = h->io;
        net_kill(io, how);
        io_kill(io);
    }
    h->fail_at = 0;
    if (how == SIM_POWER && h->powered) {
        h->powered = false;
        disk_power(h->disk, &h->chance);
    }
}

void sim_exit(struct sim *s, int node)
{
    struct io *io = host_of(s, node)->io;

    ASSERT(io && !s->cur && list_empty(&io->files));
    list_each (it, &io->loops) {
        struct loop *l = container_of(it, struct loop, link);
        ASSERT(l->stopped || l == io->call[LOOP_NET] || l == io->call[LOOP_DISK]);
    }
    trace_drop(io->trace, io->heap);
    ASSERT(heap_used(io->heap) == 0);
    world_event(s, "exit", node, 0, 0);
    net_kill(io, SIM_PROCESS);
    io_kill(io);
}

void sim_drop(struct sim *s)
{
    ASSERT(!s->running && !s->cur);
    for (int i = 1; i < SIM_NODES_MAX; i++)
        if (s->hosts[i].io) {
            net_kill(s->hosts[i].io, SIM_POWER);
            io_kill(s->hosts[i].io);
        }
    net_drop(s);
    list_each_safe (it, &s->ios) {
        struct io *io = container_of(it, struct io, link);
        list_each_safe (l, &io->loops) {
            free(container_of(l, struct loop, link)->alarms);
            free(container_of(l, struct loop, link));
        }
        free(io);
    }
    for (int i = 1; i < SIM_NODES_MAX; i++)
        if (s->hosts[i].disk)
            disk_drop(s->hosts[i].disk);
    fibers_drop(&s->fibers);
    free(s->events);
    free(s);
}

void sim_fail_at(struct sim *s, int node, int64_t nth, enum sim_fault fault)
{
    struct host *h = host_of(s, node);

    ASSERT(nth >= 0);
    h->fail_at = nth ? h->file_calls + nth : 0;
    h->fault = fault;
}

int64_t sim_file_calls(const struct sim *s, int node)
{
    return host_of(s, node)->file_calls;
}

void sim_disk_errors(struct sim *s, uint32_t ppm)
{
    s->opt.disk_error_ppm = ppm;
}

int64_t sim_disk_used(const struct sim *s, int node)
{
    int64_t left, all;

    disk_space(s->hosts[node].disk, &left, &all);
    return all - left;
}

void sim_disk_limit(struct sim *s, int node, int64_t bytes)
{
    struct host *h = host_of(s, node);

    ASSERT(h->disk);
    disk_limit(h->disk, bytes);
}

void sim_disk_stall(struct sim *s, int node, int64_t until_ns)
{
    host_of(s, node)->stall_until = until_ns;
}

/* ---- io.h: what belongs to no loop ---- */

int64_t io_wall_ms(struct io *io)
{
    return io->wall_base + io->s->now / 1000000;
}

void io_random(struct io *io, void *to, size_t len)
{
    struct host *h = host_of(io->s, io->node);

    for (size_t i = 0; i < len; i++)
        ((uint8_t *)to)[i] = (uint8_t)(chance_next(&h->chance) >> 24);
}

void io_boot_id(struct io *io, uint8_t id[16])
{
    memcpy(id, host_of(io->s, io->node)->boot_id, 16);
}

struct heap *io_heap(struct io *io)
{
    return io->heap;
}

struct trace *io_trace(struct io *io)
{
    return io->trace;
}

void io_say(struct io *io, struct slice line)
{
    world_event(io->s, "say", io->node, 0, (int64_t)line.len);
    world_fold_bytes(io->s, line.p, line.len);
    if (io->s->opt.print)
        printf("%12lld n%-3d | %.*s\n", (long long)io->s->now, io->node, (int)line.len, (const char *)line.p);
}

void io_on_stop(struct io *io, struct loop *loop, struct msg *stop)
{
    ASSERT(!io->stop_msg);
    io->stop_loop = loop;
    io->stop_msg = stop;
}

void sim_signal(struct sim *s, int node)
{
    struct io *io = host_of(s, node)->io;

    ASSERT(io);
    if (!io->stop_msg)
        return;
    struct msg *m = io->stop_msg;
    io->stop_msg = NULL;
    loop_post(io->stop_loop, m);
}
