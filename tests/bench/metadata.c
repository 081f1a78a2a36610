/* What an image of a million partitions costs: a controller that decides, replays and commits on one disk.
 *
 *   bench_metadata build DIR TOPICS PARTITIONS     makes topics of so many partitions each, three replicas on twelve
 *                                                  brokers, and then measures; ends like a crash, the log behind its
 *                                                  last checkpoint
 *   bench_metadata start DIR                       a new process: until it leads; then a stop, and the checkpoint alone
 *
 * Pauses are the control loop's. What is measured several times says the least of its longest pauses: others run on the
 * machine, too. */
#include "base/check.h"
#include "meta_node.h"
#include "say.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BROKERS = 12,
    FACTOR = 3,
    REQUEST_PARTITIONS = 10000, /* of one CreateTopics */
    ASKS = 4,
    TRIES = 3,
    CREATES = 200,
    FENCED = 3, /* the first broker that is */
    US_PER_MS = 1000
};

static struct {
    const char *dir;
    int topics, partitions;
    int made;
    int64_t epochs[BROKERS + 1];
} g;

/* ---- memory ---- */

static double rss_mib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f) {
        (void)!fscanf(f, "%*d %ld", &pages);
        (void)fclose(f);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static double heap_mib(void)
{
    return (double)heap_used(io_heap(node_io())) / (1 << 20);
}

/* ---- requests ---- */

static void broker_join(int32_t id)
{
    struct BrokerRegistrationRequest req;
    struct BrokerRegistrationResponse resp;
    struct BrokerHeartbeatRequest beat;
    struct BrokerHeartbeatResponse beaten;
    struct arena a;

    arena_init(&a, io_heap(node_io()), SIZE_MAX);
    proto_defaults(&BrokerRegistrationRequest_type, &req);
    proto_defaults(&BrokerRegistrationResponse_type, &resp);
    proto_defaults(&BrokerHeartbeatRequest_type, &beat);
    proto_defaults(&BrokerHeartbeatResponse_type, &beaten);
    req.broker_id = id;
    req.cluster_id = SLICE("cluster");
    req.incarnation_id.b[0] = (uint8_t)id;
    req.rack = SLICE(id % 2 ? "a" : "b");
    PROTO_ARRAY_NEW(&a, BrokerRegistrationRequest_Feature, req.features, FEATURE_COUNT);
    for (int i = 0; i < FEATURE_COUNT; i++)
        req.features.v[i] = (struct BrokerRegistrationRequest_Feature){SLICE(FEATURES[i].name),
                                                                       FEATURES[i].min, FEATURES[i].max};
    req.log_dirs.v = arena_alloc(&a, sizeof(struct uuid));
    req.log_dirs.n = 1;
    memset(&req.log_dirs.v[0], id + 100, sizeof(struct uuid));
    node_ask(decide_broker_registration, &(struct broker_registration){.request = &req}, &resp, 4, &a);
    ASSERT(!resp.error_code);
    g.epochs[id] = resp.broker_epoch;
    beat.broker_id = id;
    beat.broker_epoch = beat.current_metadata_offset = resp.broker_epoch;
    node_ask(decide_broker_heartbeat,
             &(struct broker_heartbeat){.request = &beat, .lowest_offset = INT64_MAX}, &beaten, 1, &a);
    ASSERT(!beaten.error_code && !beaten.is_fenced);
    arena_drop(&a);
}

static void broker_unfence(int32_t id)
{
    struct BrokerHeartbeatRequest beat;
    struct BrokerHeartbeatResponse beaten;
    struct arena a;

    arena_init(&a, io_heap(node_io()), SIZE_MAX);
    proto_defaults(&BrokerHeartbeatRequest_type, &beat);
    proto_defaults(&BrokerHeartbeatResponse_type, &beaten);
    beat.broker_id = id;
    beat.broker_epoch = g.epochs[id];
    beat.current_metadata_offset = INT64_MAX;
    node_ask(decide_broker_heartbeat,
             &(struct broker_heartbeat){.request = &beat, .lowest_offset = INT64_MAX}, &beaten, 1, &a);
    ASSERT(!beaten.error_code && !beaten.is_fenced);
    arena_drop(&a);
}

struct creation {
    struct node_ask ask;
    struct arena arena;
    struct CreateTopicsRequest req;
    struct CreateTopicsResponse resp;
};

static void create_begin(struct creation *c, int topics, int partitions)
{
    proto_defaults(&CreateTopicsRequest_type, &c->req);
    proto_defaults(&CreateTopicsResponse_type, &c->resp);
    PROTO_ARRAY_NEW(&c->arena, CreateTopicsRequest_CreatableTopic, c->req.topics, topics);
    for (int i = 0; i < topics; i++) {
        char *name = arena_printf(&c->arena, "topic-%07d", g.made++);

        c->req.topics.v[i].name = SLICE(name);
        c->req.topics.v[i].num_partitions = partitions;
        c->req.topics.v[i].replication_factor = FACTOR;
    }
    node_submit(&c->ask, decide_create_topics, &c->req, &c->resp, 7, &c->arena);
}

static void create_end(struct creation *c)
{
    if (!c->ask.busy)
        return;
    node_wait(&c->ask);
    for (int i = 0; i < c->resp.topics.n; i++)
        ASSERT(!c->resp.topics.v[i].error_code);
    arena_reset(&c->arena);
}

static int64_t create_one(int partitions)
{
    struct creation c = {0};
    int64_t from = now_us();

    arena_init(&c.arena, io_heap(node_io()), SIZE_MAX);
    create_begin(&c, 1, partitions);
    create_end(&c);
    arena_drop(&c.arena);
    return now_us() - from;
}

static void fence(int32_t id)
{
    struct broker_fence f = {.id = id, .epoch = g.epochs[id]};
    struct arena a;
    bool fenced = false;

    arena_init(&a, io_heap(node_io()), SIZE_MAX);
    node_ask(decide_fence_broker, &f, &fenced, 0, &a);
    ASSERT(fenced);
    arena_drop(&a);
}

/* ---- figures ---- */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void say_spread(const char *name, int64_t *us, int n)
{
    char line[128];

    if (n == 0)
        return;
    qsort(us, (size_t)n, sizeof(us[0]), by_size);
    (void)snprintf(line, sizeof(line), "%s, p50", name);
    say(line, (double)us[n / 2] / US_PER_MS, "ms");
    (void)snprintf(line, sizeof(line), "%s, p99", name);
    say(line, (double)us[n * 99 / 100] / US_PER_MS, "ms");
}

static void say_pauses(const char *name, struct node_pauses *p)
{
    char line[160];

    node_name_pause(p);
    (void)snprintf(line, sizeof(line), "%s: longest turn, CPU", name);
    say(line, (double)p->turn_us / US_PER_MS, "ms");
    (void)snprintf(line, sizeof(line), "%s: longest callback%s%s", name,
                   p->longest_us ? " " : " (0: none of 2 ms)", p->what);
    say(line, (double)p->longest_us / US_PER_MS, "ms");
}

static void build(void)
{
    int per_request = REQUEST_PARTITIONS / g.partitions;
    struct creation c[ASKS] = {0};
    struct node_pauses p;
    int64_t from;

    for (int i = 0; i < ASKS; i++)
        arena_init(&c[i].arena, io_heap(node_io()), SIZE_MAX);
    node_clear();
    from = now_us();
    for (int i = 0; g.made < g.topics; i = (i + 1) % ASKS) {
        int left = g.topics - g.made;

        create_end(&c[i]);
        create_begin(&c[i], left < per_request ? left : per_request, g.partitions);
    }
    for (int i = 0; i < ASKS; i++) {
        create_end(&c[i]);
        arena_drop(&c[i].arena);
    }
    say("build: decide, replay, commit", (double)(now_us() - from) / 1e6, "s");
    p = node_pauses();
    say_pauses("build", &p);
    node_settle();
}

static void memory(void)
{
    const struct image *i = node_image();
    double heap = heap_mib();

    say("partitions", i->n_partitions, "");
    say("memory: heap", heap, "MiB");
    say("memory: heap a partition", heap * (1 << 20) / i->n_partitions, "bytes");
    say("memory: resident", rss_mib(), "MiB");
    node_image_drop(i);
}

static void creates(void)
{
    static int64_t us[CREATES];
    struct node_pauses p;

    node_clear();
    for (int i = 0; i < CREATES; i++)
        us[i] = create_one(10);
    p = node_pauses();
    say_spread("CreateTopics, 10 partitions, to its commit", us, CREATES);
    say_pauses("CreateTopics", &p);
}

static double file_mib(int64_t offset)
{
    char path[512];
    struct stat st = {0};

    (void)snprintf(path, sizeof(path), "%s/__cluster_metadata-0/%020lld-%010d.checkpoint", g.dir,
                   (long long)offset, node_view().epoch);
    (void)stat(path, &st);
    return (double)st.st_size / (1 << 20);
}

/* Changes go on meanwhile, one after the other. */
static void snapshots(void)
{
    static int64_t us[1 << 16];
    struct node_pauses best = {.longest_us = INT64_MAX};
    int64_t took = INT64_MAX;
    int n = 0, most = 0;

    for (int i = 0; i < TRIES; i++) {
        struct node_pauses p;
        int64_t from;

        create_one(1); /* else there may be nothing to write */
        node_settle();
        node_clear();
        node_snapshot_begin();
        from = now_us();
        for (n = 0; !node_snapshot_over(); n++)
            us[n % (1 << 16)] = create_one(1);
        took = now_us() - from < took ? now_us() - from : took;
        node_settle();
        p = node_pauses();
        best = p.longest_us < best.longest_us ? p : best;
        most = n > most ? n : most;
    }
    say("snapshot: written while changes go on", (double)took / 1e6, "s");
    say("snapshot: size", file_mib(node_view().snapshot), "MiB");
    say("snapshot: changes meanwhile", most, "");
    say_spread("CreateTopics, 1 partition, during a snapshot", us, n < (1 << 16) ? n : 1 << 16);
    say_pauses("snapshot", &best);
}

static void diff_topic(void *arg, const struct image_topic *before, const struct image_topic *after)
{
}

static void diff_partition(void *arg, const struct image_topic *topic, const struct image_partition *before,
                           const struct image_partition *after)
{
    ++*(int64_t *)arg;
}

static void diff_say(const char *name, const struct image *before, const struct image *after)
{
    int64_t changed = 0, took = INT64_MAX;
    const struct image_diff ops = {.topic = diff_topic, .partition = diff_partition, .arg = &changed};
    char line[128];

    for (int i = 0; i < TRIES; i++) {
        int64_t from = now_us();

        changed = 0;
        image_diff(before, after, &ops);
        took = now_us() - from < took ? now_us() - from : took;
    }
    (void)snprintf(line, sizeof(line), "diff: %s, %lld partitions", name, (long long)changed);
    say(line, (double)took / US_PER_MS, "ms");
}

static void few_changes(void)
{
    const struct image *before = node_image(), *after;

    for (int i = 0; i < 10; i++)
        create_one(1);
    after = node_image();
    diff_say("few changes", before, after);
    diff_say("from nothing", NULL, after);
    node_image_drop(before);
    node_image_drop(after);
}

/* What one thing costs, and the best of what it did to the loop. */
struct cost {
    int64_t us;
    struct node_pauses pauses;
};

static void cost_take(struct cost *c, int64_t from)
{
    int64_t took = now_us() - from;
    struct node_pauses p;

    node_settle();
    p = node_pauses();
    c->us = c->us == 0 || took < c->us ? took : c->us;
    if (c->pauses.turn_us == 0 || p.turn_us < c->pauses.turn_us)
        c->pauses.turn_us = p.turn_us;
    if (c->pauses.grave_us == 0 || p.grave_us < c->pauses.grave_us)
        c->pauses.grave_us = p.grave_us;
    if (c->pauses.count == 0 || p.longest_us < c->pauses.longest_us) {
        c->pauses.longest_us = p.longest_us;
        memcpy(c->pauses.what, p.what, sizeof(p.what));
    }
    c->pauses.count = 1; /* so many are in it */
}

static void cost_say(const char *name, struct cost *c)
{
    say(name, (double)c->us / US_PER_MS, "ms");
    say_pauses("  it", &c->pauses);
}

static void many_changes(void)
{
    struct cost fencing = {0}, unfencing = {0}, end = {0};
    const struct image *before, *after;
    int64_t from;

    for (int i = 0; i < TRIES; i++) {
        before = node_image();
        node_settle();
        node_clear();
        from = now_us();
        fence(FENCED + i);
        cost_take(&fencing, from);
        after = node_image();
        if (i == 0)
            diff_say("many changes", before, after);
        node_image_drop(after);
        node_settle();
        node_clear();
        from = now_us();
        node_image_drop(before);
        cost_take(&end, from);
        node_clear();
        from = now_us();
        broker_unfence(FENCED + i);
        cost_take(&unfencing, from);
    }
    cost_say("fencing one broker of twelve", &fencing);
    say("the image before it goes: longest step, CPU", (double)end.pauses.grave_us / US_PER_MS, "ms");
    cost_say("unfencing it", &unfencing);
}

static void build_body(void)
{
    struct bootstrap b = {.cluster_id = SLICE("cluster"), .metadata_version = METADATA_VERSION};
    struct arena a;

    node_start();
    arena_init(&a, io_heap(node_io()), SIZE_MAX);
    node_ask(decide_bootstrap, &b, NULL, 0, &a);
    arena_drop(&a);
    for (int32_t i = 1; i <= BROKERS; i++)
        broker_join(i);
    build();
    memory();
    creates();
    snapshots();
    few_changes();
    many_changes();
    _exit(0);
}

static void start_one(const char *what)
{
    char line[128];
    int64_t from = now_us(), took;
    struct quorum_view v;
    struct node_pauses p;
    const struct image *i;

    node_clear();
    node_start();
    took = now_us() - from;
    v = node_view();
    (void)snprintf(line, sizeof(line), "start: %s, %lld records behind it", what,
                   (long long)(v.snapshot < 0 ? v.end : v.end - v.snapshot));
    say(line, (double)took / 1e6, "s");
    p = node_pauses();
    say_pauses("start", &p);
    node_settle();
    i = node_image();
    say("  partitions", i->n_partitions, "");
    node_image_drop(i);
    say("  resident", rss_mib(), "MiB");
}

static void start_body(void)
{
    int64_t from;

    start_one("a checkpoint and the log");
    node_clear();
    from = now_us();
    node_stop();
    say("stop, with a last snapshot", (double)(now_us() - from) / 1e6, "s");
    say("  the whole image goes: longest step, CPU", (double)node_pauses().grave_us / US_PER_MS, "ms");
    start_one("a checkpoint");
    node_stop();
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "build") == 0) {
        g.topics = atoi(argv[3]);
        g.partitions = atoi(argv[4]);
    }
    if (argc < 3 || (strcmp(argv[1], "build") == 0 ? g.partitions < 1 || g.partitions > REQUEST_PARTITIONS
                                                   : strcmp(argv[1], "start") != 0)) {
        fprintf(stderr, "bench_metadata build DIR TOPICS PARTITIONS | start DIR\n");
        return 2;
    }
    g.dir = argv[2];
    node_run(g.dir, g.partitions ? build_body : start_body);
    return 0;
}
