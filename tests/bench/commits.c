/* How fast metadata commits: quorums of one process, on the disk that DIR lies on, and beside them what that disk can do.
 *
 *   bench_commits DIR VOTERS [crash]     crash: ends in the midst of it; a start on the same DIR has much to read then
 *
 * sync      one thread for each voter appends 512 bytes to a file of its own and waits for fdatasync, again and again
 * one       a batch of one record at a time, the next when it has committed; in turns with `sync`, a quarter of a
 *           second each, because a disk that others use too is another one a moment later
 * batched   batches of 1,000 records, so many in flight as a controller has
 *
 * Several voters are a lower bound of what a cluster takes: their messages are posted from one to the other without a
 * network, and all of them share one control loop and one disk. Records are agreed on, not decided or replayed. */
#include "base/check.h"
#include "base/io_uv.h"
#include "meta_node.h"
#include "metadata/batches.h"
#include "metadata/controller.h"
#include "say.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VOTERS_MAX = 7,
    RECORDS = 1000,
    SYNC_BYTES = 512,
    TURNS = 12,
    TURN_US = 250000,
    BATCHED_US = 3000000,
    CRASH_RECORDS = 300000
};

struct voter {
    int32_t node;
    char dir[256];
    struct quorum *quorum;
    struct grave grave;
    struct image *image;
    struct msg stopped;
    bool leads;
    int64_t synced; /* by its thread */
};

struct proposal {
    struct quorum_entry entry;
    struct bytes bytes;
};

/* Bytes from one voter to another. */
struct mail {
    struct msg msg;
    struct voter *to;
    int32_t from;
    struct slice bytes;
};

static struct {
    const char *dir;
    bool crash;
    int n;
    struct io *io;
    struct loop *control;
    struct voter v[VOTERS_MAX];
    struct voter *leader;
    int stopped, posted; /* mail on its way */
    struct proposal flight[CTL_FLIGHT_MAX];
    int records, in_flight; /* of a batch; batches */
    int64_t next;
    int32_t epoch;
    int64_t committed, started_us, start_us, behind, from_us, until_us;
    struct msg synced;
    int turn;
    double sync_rate[TURNS], commit_rate[TURNS], share[TURNS];
} g;

/* ---- the disk alone ---- */

static void *sync_run(void *arg)
{
    struct voter *v = arg;
    char path[512], block[SYNC_BYTES] = "x";
    int fd;

    (void)snprintf(path, sizeof(path), "%s/sync", v->dir);
    fd = open(path, O_CREAT | O_APPEND | O_WRONLY, 0644);
    ASSERT(fd >= 0);
    for (int64_t end = now_us() + TURN_US; now_us() < end; v->synced++)
        ASSERT(write(fd, block, sizeof(block)) == sizeof(block) && fdatasync(fd) == 0);
    (void)close(fd);
    return NULL;
}

/* The rate of the slowest thread: each voter has its own. */
static void *syncs_run(void *arg)
{
    pthread_t threads[VOTERS_MAX];

    for (int i = 0; i < g.n; i++) {
        g.v[i].synced = 0;
        ASSERT(!pthread_create(&threads[i], NULL, sync_run, &g.v[i]));
    }
    for (int i = 0; i < g.n; i++)
        (void)pthread_join(threads[i], NULL);
    loop_post(g.control, &g.synced);
    return NULL;
}

static void syncs_begin(void)
{
    pthread_t thread;

    g.from_us = now_us();
    ASSERT(!pthread_create(&thread, NULL, syncs_run, NULL) && !pthread_detach(thread));
}

/* ---- proposals ---- */

static void propose(struct proposal *p);
static void commits_end(void);

static void proposal_done(struct quorum_entry *e, enum err err)
{
    struct proposal *p = container_of(e, struct proposal, entry);

    ASSERT(!err);
    g.committed++;
    if (g.crash && g.records == RECORDS && g.committed * RECORDS == CRASH_RECORDS)
        _exit(0);
    if (now_us() < g.until_us) {
        propose(p);
    } else if (--g.in_flight == 0) {
        commits_end();
    }
}

/* Settings of one broker, the same ones again and again. */
static void propose(struct proposal *p)
{
    struct batch_place at = {.base_offset = g.next, .epoch = g.epoch, .now_ms = io_wall_ms(g.io)};
    static size_t ends[RECORDS];
    struct bytes values;
    struct arena a;

    bytes_init(&values, io_heap(g.io));
    arena_init(&a, io_heap(g.io), SIZE_MAX);
    for (int i = 0; i < g.records; i++) {
        struct meta_record r = {.type = RECORD_CONFIG};
        char name[32];

        (void)snprintf(name, sizeof(name), "some.setting.%d", i);
        r.config = (struct record_config){.resource_type = CONFIG_BROKER,
                                          .resource = SLICE("1"),
                                          .name = SLICE(name),
                                          .value = SLICE("1000000")};
        record_encode(&r, &values);
        ends[i] = values.len;
    }
    p->bytes.len = 0;
    batches_data(&at, bytes_slice(&values), ends, g.records, &a, &p->bytes);
    arena_drop(&a);
    bytes_drop(&values);
    p->entry = (struct quorum_entry){.bytes = bytes_slice(&p->bytes),
                                     .base_offset = g.next,
                                     .last_offset = g.next + g.records - 1,
                                     .done = proposal_done};
    g.next += g.records;
    quorum_submit(g.leader->quorum, &p->entry);
}

static void commits_begin(int records, int flight, int64_t us)
{
    g.records = records;
    g.in_flight = flight;
    g.committed = 0;
    g.from_us = now_us();
    g.until_us = g.from_us + us;
    for (int i = 0; i < flight; i++)
        propose(&g.flight[i]);
}

/* Of the leader: all of the log behind its checkpoint goes into its image. */
static void say_start(void)
{
    struct node_pauses p = node_pauses();
    char line[160];

    if (g.behind < RECORDS)
        return;
    node_name_pause(&p);
    say("  start: records behind the checkpoint", (double)g.behind, "");
    say("  start: until one leads", (double)g.start_us / 1e6, "s");
    (void)snprintf(line, sizeof(line), "  start: longest callback%s%s",
                   p.longest_us ? " " : " (0: none of 2 ms)", p.what);
    say(line, (double)p.longest_us / 1000, "ms");
}

static void synced_run(struct msg *msg)
{
    int64_t least = INT64_MAX;

    if (g.turn == 0)
        say_start(); /* the callback that told of the leader has ended */
    for (int i = 0; i < g.n; i++)
        least = g.v[i].synced < least ? g.v[i].synced : least;
    g.sync_rate[g.turn] = (double)least * 1e6 / (double)(now_us() - g.from_us);
    commits_begin(1, 1, TURN_US);
}

static void stop_all(void)
{
    for (int i = 0; i < g.n; i++)
        quorum_stop(g.v[i].quorum, &g.v[i].stopped);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, TURNS, sizeof(v[0]), by_size);
    return v[TURNS / 2];
}

static void commits_end(void)
{
    double rate = (double)g.committed * 1e6 / (double)(now_us() - g.from_us);

    if (g.records == RECORDS) {
        say("  batches of 1,000 records, 4 in flight", rate * RECORDS, "records/s");
        stop_all();
        return;
    }
    g.commit_rate[g.turn] = rate;
    g.share[g.turn] = 100 * rate / g.sync_rate[g.turn];
    if (++g.turn < TURNS) {
        syncs_begin();
        return;
    }
    say("  fdatasync alone, each of as many files, median", median(g.sync_rate), "/s");
    say("  one record at a time, median", median(g.commit_rate), "commits/s");
    say("  … of the fdatasyncs of the same half second, median", median(g.share), "%");
    say("  … best", g.share[TURNS - 1], "%");
    commits_begin(RECORDS, CTL_FLIGHT_MAX, BATCHED_US);
}

/* ---- the voters ---- */

static void on_loaded(void *arg, struct image *image)
{
    struct voter *v = arg;

    v->image = image;
}

static void on_leader(void *arg, int32_t leader, int32_t epoch, bool self, int64_t next_offset)
{
    struct voter *v = arg;
    struct quorum_view at;

    ASSERT(!v->leads); /* nobody takes leadership away here: the figures would be of something else */
    if (!self)
        return;
    v->leads = true;
    g.leader = v;
    g.epoch = epoch;
    g.next = next_offset;
    g.start_us = now_us() - g.started_us;
    at = quorum_view(v->quorum);
    g.behind = at.end - (at.snapshot < 0 ? 0 : at.snapshot);
    syncs_begin();
}

static void on_skipped(void *arg, int64_t next_offset)
{
    g.next = next_offset;
}

static void on_committed(void *arg, struct slice batch)
{
}

static struct image *on_hold(void *arg)
{
    return image_ref(((struct voter *)arg)->image);
}

static void on_released(void *arg, struct image *image)
{
    image_unref(image, &((struct voter *)arg)->grave);
}

static void on_failed(void *arg, enum err err, const char *what)
{
    fprintf(stderr, "the quorum failed: %s while %s\n", err_text(err), what);
    _exit(1);
}

static void mail_run(struct msg *msg)
{
    struct mail *m = container_of(msg, struct mail, msg);

    g.posted--;
    if (g.stopped == 0)
        quorum_deliver(m->to->quorum, m->from, m->bytes);
    heap_free(io_heap(g.io), m->bytes.p);
    heap_free(io_heap(g.io), m);
}

static bool on_send(void *arg, int32_t node, struct slice bytes)
{
    struct mail *m = heap_alloc(io_heap(g.io), sizeof(*m));

    m->msg.run = mail_run;
    m->to = &g.v[node - 1];
    m->from = ((struct voter *)arg)->node;
    m->bytes = heap_copy(io_heap(g.io), bytes);
    g.posted++;
    loop_post(g.control, &m->msg);
    return true;
}

static void on_ask(void *arg, int32_t node, struct quorum_checkpoint id, int64_t at)
{
    ASSERT(false); /* nobody falls that far behind */
}

static void stopped_run(struct msg *msg)
{
    struct voter *v = container_of(msg, struct voter, stopped);

    if (v->image)
        image_unref(v->image, &v->grave);
    grave_empty(&v->grave);
    if (++g.stopped < g.n)
        return;
    for (int i = 0; i < CTL_FLIGHT_MAX; i++)
        bytes_drop(&g.flight[i].bytes);
    loop_stop(g.control, NULL, NULL); /* mail that was posted has its turn before */
}

static void voter_start(struct voter *v, const struct quorum_settings *settings)
{
    struct quorum_settings s = *settings;
    const struct quorum_ops ops = {.loaded = on_loaded,
                                   .leader = on_leader,
                                   .skipped = on_skipped,
                                   .committed = on_committed,
                                   .hold = on_hold,
                                   .released = on_released,
                                   .failed = on_failed,
                                   .send = on_send,
                                   .ask = on_ask,
                                   .arg = v};

    (void)snprintf(v->dir, sizeof(v->dir), "%s/voter-%d", g.dir, v->node);
    ASSERT(!mkdir(v->dir, 0755) || errno == EEXIST);
    s.dir = v->dir;
    s.node_id = v->node;
    s.directory_id = (struct uuid){.b = {(uint8_t)v->node}};
    grave_init(&v->grave, io_heap(g.io));
    v->stopped.run = stopped_run;
    v->quorum = quorum_start(g.io, g.control, &v->grave, &s, &ops);
}

static void start_run(struct msg *msg)
{
    struct quorum_settings s = {.n_voters = g.n,
                                .election_ms = 400,
                                .heartbeat_ms = 50,
                                .snapshot_bytes = 20 << 20,
                                .segment_bytes = 1 << 30,
                                .segment_ms = 604800000,
                                .retention_bytes = 100 << 20,
                                .retention_ms = 604800000};

    for (int i = 0; i < g.n; i++)
        s.voters[i] = i + 1;
    for (int i = 0; i < g.n; i++) {
        g.v[i].node = i + 1;
        voter_start(&g.v[i], &s);
    }
}

int main(int argc, char **argv)
{
    struct msg start = {.run = start_run};

    g.crash = argc == 4 && strcmp(argv[3], "crash") == 0;
    if (argc != 3 + g.crash || (g.n = atoi(argv[2])) < 1 || g.n > VOTERS_MAX) {
        fprintf(stderr, "bench_commits DIR VOTERS [crash]\n");
        return 2;
    }
    g.dir = argv[1];
    g.started_us = now_us();
    say("commits: voters in one process", g.n, "");
    g.synced.run = synced_run;
    g.io = io_uv_new();
    for (int i = 0; i < CTL_FLIGHT_MAX; i++)
        bytes_init(&g.flight[i].bytes, io_heap(g.io));
    g.control = loop_start(g.io, LOOP_DISK, "control");
    loop_post(g.control, &start);
    io_uv_run(g.io);
    io_uv_drop(g.io);
    return 0;
}
