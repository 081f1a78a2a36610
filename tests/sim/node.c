/* Machines and the nodes on them: starts, crashes, pauses, clocks, and what befalls their disks. */
#include "base/trace.h"
#include "sim_impl.h"
#include <stdio.h>
#include <stdlib.h>

/* The wall clock's zero: 2026-01-01. */
static const int64_t WALL_MS = INT64_C(1767225600000);

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
    for (int i = 0; i < s->n_links; i++)
        s->links[i].reset_ppm = s->links[i].stall_ppm = 0;
}

int64_t sim_delayed_until(const struct sim *s)
{
    int64_t last = net_delayed_until(s);

    last = last > s->now ? last : s->now;
    for (int i = 0; i < SIM_NODES_MAX; i++)
        last = s->hosts[i].calls_until > last ? s->hosts[i].calls_until : last;
    return last;
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

void sim_disk_new(struct sim *s, int node)
{
    struct host *h = host_of(s, node);

    ASSERT(!h->io && h->disk);
    disk_drop(h->disk);
    h->disk = disk_new();
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

enum sim_crash sim_crashed(const struct sim *s, int node)
{
    return host_of(s, node)->crashed;
}

void world_crash(struct sim *s, int node, enum sim_crash how)
{
    struct host *h = host_of(s, node);
    bool off = how == SIM_POWER && h->powered;

    world_event(s, "crash", node, how, h->file_calls);
    h->crashed = how;
    if (off)
        h->powered = false; /* and so it answers nobody from here on */
    if (h->io) {
        struct io *io = h->io;
        net_kill(io, how);
        io_kill(io);
    }
    h->fail_at = 0;
    if (off)
        disk_power(h->disk, &h->chance);
}

void sim_exit(struct sim *s, int node)
{
    struct io *io = host_of(s, node)->io;

    ASSERT(io && !s->cur && !io->paused && list_empty(&io->files));
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

void sim_disk_break(struct sim *s, int node, const char *below)
{
    host_of(s, node)->broken = below;
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

void sim_disk_speed(struct sim *s, int node, const struct sim_range *disk)
{
    host_of(s, node)->speed = disk ? *disk : (struct sim_range){0};
}

/* ---- pauses and the wall clock ---- */

void sim_pause(struct sim *s, int node, bool on)
{
    struct io *io = host_of(s, node)->io;

    ASSERT(io && !(s->cur && s->cur->io == io));
    if (io->paused == on)
        return;
    world_event(s, on ? "pause" : "resume", node, 0, 0);
    io->paused = on;
    if (on)
        return;
    list_each (it, &io->loops)
        loop_resume(container_of(it, struct loop, link));
    net_resume(io);
}

bool sim_paused(const struct sim *s, int node)
{
    const struct io *io = host_of(s, node)->io;

    return io && io->paused;
}

void sim_wall_jump(struct sim *s, int node, int64_t ms)
{
    struct io *io = host_of(s, node)->io;

    ASSERT(io);
    world_event(s, "wall", node, ms, 0);
    io->wall_base += ms;
}

int64_t sim_wall_ms(const struct sim *s, int node)
{
    ASSERT(host_of(s, node)->io);
    return io_wall_ms(host_of(s, node)->io);
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
    if (io->s->ear)
        io->s->ear(io->s->ear_arg, io->node, line);
    if (io->s->opt.print)
        printf("%12lld n%-3d | %.*s\n", (long long)io->s->now, io->node, (int)line.len, (const char *)line.p);
}

void sim_ear_set(struct sim *s, sim_ear ear, void *arg)
{
    s->ear = ear;
    s->ear_arg = arg;
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
