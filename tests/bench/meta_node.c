#include "meta_node.h"
#include "base/check.h"
#include "base/io_uv.h"
#include "base/trace.h"
#include "say.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { GRAVE_STEP = 1000 };

struct flight {
    struct quorum_entry entry;
};

static struct {
    struct io *io;
    struct loop *control;
    const char *dir;
    void (*body)(void);
    struct controller *ctl;
    struct ctl_rules rules;
    struct quorum *quorum;
    struct flight flight[CTL_FLIGHT_MAX];
    struct msg turn, stopped;
    bool turn_posted, stopping;
    _Atomic bool snapshot_over, holding;
    sem_t leads, gone, idle;
    bool wants_idle;
    pthread_mutex_t lock; /* of: */
    struct node_pauses pauses;
} n = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- clocks and pauses ---- */

void __real_trace_emit(struct io *io, enum trace_id id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void __wrap_trace_emit(struct io *io, enum trace_id id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void node_name_pause(struct node_pauses *p)
{
    char command[256], exe[128] = "", *end;
    FILE *f;

    (void)strtoul(p->what, &end, 16);
    if (!p->what[0] || *end)
        return;
    (void)!readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    (void)snprintf(command, sizeof(command), "addr2line -f -e '%s' %s", exe, p->what);
    f = popen(command, "r");
    if (f && fgets(p->what, sizeof(p->what), f))
        p->what[strcspn(p->what, "\n")] = 0;
    if (f)
        (void)pclose(f);
}

/* Every row of the product goes through here (the linker's --wrap). */
void __wrap_trace_emit(struct io *io, enum trace_id id, const char *format, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, format);
    if (id == TR_loop_stalled) {
        const char *loop = va_arg(ap, const char *);
        int64_t us = va_arg(ap, int64_t);
        size_t what = va_arg(ap, size_t);

        pthread_mutex_lock(&n.lock);
        if (strcmp(loop, "control") == 0) {
            n.pauses.count++;
            if (us > n.pauses.longest_us) {
                n.pauses.longest_us = us;
                (void)snprintf(n.pauses.what, sizeof(n.pauses.what), "0x%zx", what);
            }
        }
        pthread_mutex_unlock(&n.lock);
    } else {
        (void)vsnprintf(line, sizeof(line), format, ap);
        __real_trace_emit(io, id, "%s", line);
    }
    va_end(ap);
}

void node_clear(void)
{
    pthread_mutex_lock(&n.lock);
    n.pauses = (struct node_pauses){0};
    pthread_mutex_unlock(&n.lock);
}

struct node_pauses node_pauses(void)
{
    struct node_pauses p;

    pthread_mutex_lock(&n.lock);
    p = n.pauses;
    pthread_mutex_unlock(&n.lock);
    return p;
}

static void longest(int64_t *at, int64_t from)
{
    int64_t took = clock_us(CLOCK_THREAD_CPUTIME_ID) - from;

    pthread_mutex_lock(&n.lock);
    if (took > *at)
        *at = took;
    pthread_mutex_unlock(&n.lock);
}

/* ---- turns ---- */

static void turn_post(void)
{
    if (n.turn_posted)
        return;
    n.turn_posted = true;
    loop_post(n.control, &n.turn);
}

static void turn_run(struct msg *msg)
{
    int64_t at = clock_us(CLOCK_THREAD_CPUTIME_ID);
    bool more, dead;

    n.turn_posted = false;
    more = !n.stopping && ctl_turn(n.ctl, io_wall_ms(n.io));
    longest(&n.pauses.turn_us, at);
    at = clock_us(CLOCK_THREAD_CPUTIME_ID);
    dead = grave_step(ctl_grave(n.ctl), GRAVE_STEP);
    longest(&n.pauses.grave_us, at);
    if (more || dead) {
        turn_post();
    } else if (n.wants_idle && ctl_idle(n.ctl)) {
        n.wants_idle = false;
        (void)sem_post(&n.idle);
    }
}

static void flight_done(struct quorum_entry *e, enum err err)
{
    if (err)
        return;
    (void)ctl_committed(n.ctl, e->last_offset);
    turn_post();
}

static void propose(void *arg, struct ctl_batch *b)
{
    struct quorum_entry *e = &n.flight[b->slot].entry;

    e->bytes = bytes_slice(&b->bytes);
    e->base_offset = b->base_offset;
    e->last_offset = b->last_offset;
    e->done = flight_done;
    quorum_submit(n.quorum, e);
}

static void seed(void *arg, uint8_t to[16])
{
    io_random(n.io, to, 16);
}

static const struct ctl_ops CTL_OPS = {.propose = propose, .random = seed};

/* ---- rules: no setting is known but what decisions ask for ---- */

static enum err rules_check(const void *arg, enum config_resource type, struct slice resource,
                            struct slice name, struct slice value, char *why, size_t room)
{
    return E_OK;
}

static bool rules_is_list(const void *arg, enum config_resource type, struct slice name)
{
    return false;
}

static struct slice rules_fallback(const void *arg, enum config_resource type, struct slice name)
{
    return slice_eq(name, SLICE(SETTING_MIN_ISR)) ? SLICE("1") : SLICE("false");
}

static bool rules_topic_config(const void *arg, int row, struct ctl_topic_config *out)
{
    return false;
}

/* ---- the quorum ---- */

static void on_loaded(void *arg, struct image *image)
{
    ctl_load(n.ctl, image);
}

static void on_leader(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset)
{
    if (!self)
        return;
    ctl_lead(n.ctl, epoch, next_offset);
    turn_post();
    (void)sem_post(&n.leads);
}

static void on_skipped(void *arg, int64_t next_offset)
{
    ctl_skip(n.ctl, next_offset);
}

static void on_committed(void *arg, struct slice batch)
{
}

static struct image *on_hold(void *arg)
{
    if (ctl_in_transaction(n.ctl))
        return NULL;
    n.holding = true;
    return image_ref(ctl_image(n.ctl));
}

static void on_released(void *arg, struct image *image)
{
    image_unref(image, ctl_grave(n.ctl));
    n.snapshot_over = true;
    n.holding = false;
    turn_post();
}

static void on_failed(void *arg, enum err err, const char *what)
{
    fprintf(stderr, "the quorum failed: %s while %s\n", err_text(err), what);
    _exit(1);
}

static void stopped_run(struct msg *msg)
{
    struct image *none = image_new(ctl_grave(n.ctl));
    bool more = true;

    ctl_lost(n.ctl);
    image_seal(none);
    ctl_load(n.ctl, none); /* all of the image goes */
    while (more) {
        int64_t at = clock_us(CLOCK_THREAD_CPUTIME_ID);

        more = grave_step(ctl_grave(n.ctl), GRAVE_STEP);
        longest(&n.pauses.grave_us, at);
    }
    ctl_drop(n.ctl);
    (void)sem_post(&n.gone);
}

/* ---- the program's side: a function on the control loop, and its end awaited ---- */

struct call {
    struct msg msg;
    void (*fn)(void *arg);
    void *arg;
    sem_t done;
};

static void call_run(struct msg *msg)
{
    struct call *c = container_of(msg, struct call, msg);

    c->fn(c->arg);
    (void)sem_post(&c->done);
}

static void call(void (*fn)(void *arg), void *arg)
{
    struct call c = {.msg.run = call_run, .fn = fn, .arg = arg};

    (void)sem_init(&c.done, 0, 0);
    loop_post(n.control, &c.msg);
    while (sem_wait(&c.done))
        ;
    (void)sem_destroy(&c.done);
}

static void start_fn(void *arg)
{
    const struct quorum_ops ops = {.loaded = on_loaded,
                                   .leader = on_leader,
                                   .skipped = on_skipped,
                                   .committed = on_committed,
                                   .hold = on_hold,
                                   .released = on_released,
                                   .failed = on_failed};
    const struct quorum_settings settings = {.dir = n.dir,
                                             .node_id = 1,
                                             .directory_id = {.b = {7}},
                                             .election_ms = 400,
                                             .heartbeat_ms = 50,
                                             .snapshot_bytes = 20 << 20,
                                             .snapshot_ms = 3600000,
                                             .segment_bytes = 1 << 30,
                                             .segment_ms = 604800000,
                                             .retention_bytes = 100 << 20,
                                             .retention_ms = 604800000};

    n.rules = (struct ctl_rules){.node_id = 1,
                                 .default_partitions = 1,
                                 .default_replication_factor = 1,
                                 .delete_topics = true,
                                 .check = rules_check,
                                 .is_list = rules_is_list,
                                 .fallback = rules_fallback,
                                 .topic_config = rules_topic_config};
    n.stopping = n.turn_posted = false;
    n.turn.run = turn_run;
    n.ctl = ctl_new(io_heap(n.io), &n.rules, &CTL_OPS, NULL);
    n.quorum = quorum_start(n.io, n.control, ctl_grave(n.ctl), &settings, &ops);
}

void node_start(void)
{
    call(start_fn, NULL);
    while (sem_wait(&n.leads))
        ;
}

static void stop_fn(void *arg)
{
    n.stopping = true;
    n.stopped.run = stopped_run;
    quorum_stop(n.quorum, &n.stopped);
}

static void nothing_fn(void *arg)
{
}

void node_stop(void)
{
    node_settle();
    call(stop_fn, NULL);
    while (sem_wait(&n.gone))
        ;
    call(nothing_fn, NULL); /* what told it has ended, too */
}

static void view_fn(void *arg)
{
    *(struct quorum_view *)arg = quorum_view(n.quorum);
}

struct quorum_view node_view(void)
{
    struct quorum_view v;

    call(view_fn, &v);
    return v;
}

static void ask_done(struct ctl_request *r, enum err err)
{
    struct node_ask *a = container_of(r, struct node_ask, req);

    ASSERT(!err);
    (void)sem_post(&a->done);
}

static void ask_run(struct msg *msg)
{
    ctl_submit(n.ctl, &container_of(msg, struct node_ask, msg)->req);
    turn_post();
}

void node_submit(struct node_ask *a, ctl_decide_fn decide, const void *in, void *out, int16_t version,
                 struct arena *arena)
{
    ASSERT(!a->busy);
    a->busy = true;
    (void)sem_init(&a->done, 0, 0);
    a->req = (struct ctl_request){
        .decide = decide, .in = in, .out = out, .version = version, .arena = arena, .done = ask_done};
    a->msg.run = ask_run;
    loop_post(n.control, &a->msg);
}

void node_wait(struct node_ask *a)
{
    if (!a->busy)
        return;
    while (sem_wait(&a->done))
        ;
    (void)sem_destroy(&a->done);
    a->busy = false;
}

void node_ask(ctl_decide_fn decide, const void *in, void *out, int16_t version, struct arena *a)
{
    struct node_ask one = {0};

    node_submit(&one, decide, in, out, version, a);
    node_wait(&one);
}

static void settle_fn(void *arg)
{
    n.wants_idle = true;
    turn_post();
}

void node_settle(void)
{
    call(settle_fn, NULL);
    while (sem_wait(&n.idle))
        ;
}

static void image_fn(void *arg)
{
    *(struct image **)arg = image_ref(ctl_image(n.ctl));
}

const struct image *node_image(void)
{
    struct image *i;

    call(image_fn, &i);
    return i;
}

static void drop_fn(void *arg)
{
    image_unref(arg, ctl_grave(n.ctl));
    turn_post();
}

void node_image_drop(const struct image *i)
{
    call(drop_fn, (void *)i);
}

static void snapshot_fn(void *arg)
{
    n.snapshot_over = false;
    quorum_snapshot(n.quorum);
}

void node_snapshot_begin(void)
{
    while (n.holding)
        (void)usleep(1000);
    call(snapshot_fn, NULL);
}

bool node_snapshot_over(void)
{
    return n.snapshot_over;
}

struct io *node_io(void)
{
    return n.io;
}

/* ---- the run ---- */

static void end_fn(void *arg)
{
    loop_stop(n.control, NULL, NULL);
}

static void *body_run(void *arg)
{
    n.body();
    call(end_fn, NULL);
    return NULL;
}

void node_run(const char *dir, void (*body)(void))
{
    pthread_t thread;

    n.dir = dir;
    n.body = body;
    (void)sem_init(&n.leads, 0, 0);
    (void)sem_init(&n.gone, 0, 0);
    (void)sem_init(&n.idle, 0, 0);
    n.io = io_uv_new();
    n.control = loop_start(n.io, LOOP_DISK, "control");
    ASSERT(!pthread_create(&thread, NULL, body_run, NULL));
    io_uv_run(n.io);
    (void)pthread_join(thread, NULL);
    io_uv_drop(n.io);
}
