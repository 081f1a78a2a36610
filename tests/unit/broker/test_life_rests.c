/* A node whose quorum rests: other disks come in the place of its own, it is stopped, others are elected. */
#include "base/trace.h"
#include "tests/unit/broker/life_world.h"
#include <stdlib.h>
/* ---- another disk in its place ---- */

/* Until it rests; the others go on. */
static void breaks(struct life *w, int i)
{
    int other = (i + 1) % N;

    sim_disk_break(w->sim, i + 1, "/meta");
    life_create_begin(w, other);
    life_created(w, other, 5000);
    CHECK(sim_run(w->sim, life_rests, w->v[i]->node->control, 5000 * A_MS));
}

struct moving {
    struct io *io;
    const char *from, *to; /* NULL: it goes, whole */
};

static void move_run(struct loop *loop, void *arg)
{
    const struct moving *m = arg;

    CHECK_OK(m->to ? path_move(m->io, m->from, m->to) : path_remove(m->io, m->from));
}

static void move(const struct life *w, int i, const char *from, const char *to)
{
    struct moving m = {w->v[i]->io, from, to};

    CHECK(sim_call(w->sim, m.io, LOOP_DISK, move_run, &m));
}

struct copying {
    struct sim *sim;
    int from, to;
};

static void copy_each(void *arg, const char *path, bool is_dir, int64_t size)
{
    const struct copying *c = arg;
    char to[300];
    uint8_t *bytes;
    size_t got;

    if (is_dir)
        return;
    bytes = malloc((size_t)size + 1);
    CHECK(bytes && snprintf(to, sizeof(to), "/theirs%s", path + strlen("/meta")) < (int)sizeof(to));
    CHECK_OK(sim_file_read(c->sim, c->from, path, 0, bytes, (size_t)size, &got));
    CHECK_OK(sim_file_put(c->sim, c->to, to, bytes, got));
    free(bytes);
}

/* It finds that disk again and again, believes nothing of it, and says so. */
static void disbelieves(struct life *w, int i)
{
    int64_t still = life_told(w, i, TR_quorum_fails_still), back = life_told(w, i, TR_control_back);

    life_run(w, 40000);
    CHECK(sim_run(w->sim, life_rests, w->v[i]->node->control, 1000 * A_MS));
    CHECK(life_told(w, i, TR_quorum_fails_still) > still && life_told(w, i, TR_control_back) == back);
    CHECK(w->v[i]->ready && !w->v[i]->stopped);
}

static void has_its_own_again(struct life *w, int i)
{
    move(w, i, "/meta", NULL);
    move(w, i, "/own", "/meta");
    CHECK(sim_run(w->sim, life_is_back, w->v[i]->node->control, 40000 * A_MS));
    CHECK(sim_run(w->sim, life_all_alike, w, 5000 * A_MS));
}

/* The disk of another voter, of the same cluster and with a newer epoch and a longer log, isn't believed: the node would vote twice. */
TEST(life_rests, another_nodes_disk_is_not_believed)
{
    struct life w;
    int i, other, leads;
    struct copying c;

    life_init(&w, 12);
    i = (life_leader(&w) + 1) % N;
    other = (i + 1) % N;
    breaks(&w, i);
    leads = life_leader(&w);
    whole_crash(w.v[leads],
                SIM_PROCESS); /* in the next epoch nothing that this node has voted speaks against it */
    whole_start(w.v[leads]);
    CHECK(sim_run(w.sim, whole_ready, w.v[leads], 20000 * A_MS));
    life_create_begin(&w, i);
    life_created(&w, i, 5000);
    CHECK(sim_run(w.sim, life_all_alike, &w, 5000 * A_MS));
    c = (struct copying){w.sim, other + 1, i + 1};
    sim_files(w.sim, other + 1, "/meta", copy_each, &c);
    sim_disk_break(w.sim, i + 1, NULL);
    move(&w, i, "/meta", "/own");
    move(&w, i, "/theirs", "/meta");
    disbelieves(&w, i);
    has_its_own_again(&w, i);
    life_drop(&w);
}

/* An empty disk isn't believed either, as it came or formatted for this very node: what it had voted is forgotten there. */
TEST(life_rests, an_empty_disk_is_not_believed)
{
    for (int formatted = 0; formatted < 2; formatted++) {
        struct life w;
        int i;

        life_init(&w, 13);
        i = (life_leader(&w) + formatted) % N;
        breaks(&w, i);
        if (formatted)
            whole_dir(w.v[i], "/empty", (uint8_t)(0x20 + i));
        else
            CHECK_OK(sim_file_put(w.sim, i + 1, "/empty/lost+found", "", 0));
        sim_disk_break(w.sim, i + 1, NULL);
        move(&w, i, "/meta", "/own");
        move(&w, i, "/empty", "/meta");
        disbelieves(&w, i);
        has_its_own_again(&w, i);
        life_drop(&w);
    }
}

/* ---- while it rests ---- */

static bool lives(void *arg)
{
    return ((const struct control *)arg)->quorum;
}

/* A stop while a voter of three rests, or on its way back, is an orderly one and takes no longer than another; the others go
 * on, and it votes again after its next start. */
TEST(life_rests, a_stop_while_it_rests)
{
    for (uint64_t seed = 30; seed < 42; seed++) {
        struct life w;
        int i, other;
        int64_t began;

        life_init(&w, seed);
        i = (life_leader(&w) + (int)(seed % 2)) % N;
        other = (i + 1) % N;
        breaks(&w, i);
        (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, 4000000000));
        if (seed % 3 == 0) {
            sim_disk_break(w.sim, i + 1, NULL);
            CHECK(sim_run(w.sim, lives, w.v[i]->node->control, 40000 * A_MS));
            (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, 3000000));
        }
        began = sim_now(w.sim);
        whole_stop(w.v[i]);
        CHECK(sim_run(w.sim, whole_over, w.v[i], 30000 * A_MS));
        CHECK_OK(w.v[i]->why);
        CHECK(w.v[i]->stopped_at - began < 5000 * A_MS);
        life_create_begin(&w, other);
        life_created(&w, other, 5000);
        sim_disk_break(w.sim, i + 1, NULL);
        whole_start(w.v[i]);
        CHECK(sim_run(w.sim, whole_ready, w.v[i], 20000 * A_MS));
        CHECK(sim_run(w.sim, life_all_alike, &w, 5000 * A_MS));
        life_drop(&w);
    }
}

/* A stop while this node rests and the machines of the others are silent, their connections half open, ends too. */
TEST(life_rests, a_stop_among_silent_peers)
{
    for (uint64_t seed = 50; seed < 54; seed++) {
        struct life w;
        int i;

        life_init(&w, seed);
        i = (life_leader(&w) + 1) % N;
        if (seed % 2)
            breaks(&w, i);
        for (int n = 1; n < N; n++)
            whole_crash(w.v[(i + n) % N], SIM_POWER);
        (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, 8000000000));
        whole_stop(w.v[i]);
        CHECK(sim_run(w.sim, whole_over, w.v[i], 30000 * A_MS));
        CHECK_OK(w.v[i]->why);
        sim_disk_break(w.sim, i + 1, NULL);
        for (int n = 0; n < N; n++)
            whole_start(w.v[n]);
        for (int n = 0; n < N; n++)
            CHECK(sim_run(w.sim, whole_ready, w.v[n], 20000 * A_MS));
        life_drop(&w);
    }
}

struct hearing {
    struct life *w;
    int i, epoch;
};

/* Node i rests, and knows who leads now. */
static bool hears(void *arg)
{
    const struct hearing *h = arg;
    const struct control *c = h->w->v[h->i]->node->control;
    int leader = life_leader(h->w);

    return leader >= 0 && life_rests((void *)c) && control_quorum(c).epoch > h->epoch &&
           control_quorum(c).leader == leader + 1 &&
           control_quorum(c).epoch == control_quorum(h->w->v[leader]->node->control).epoch;
}

/* Elections among the others while it follows from afar: it hears who leads, has every image, and its clients' wishes get
 * there. */
TEST(life_rests, elections_while_it_rests)
{
    for (uint64_t seed = 60; seed < 64; seed++) {
        struct life w;
        int i;

        life_init(&w, seed);
        i = (life_leader(&w) + (int)(seed % 2)) % N;
        breaks(&w, i);
        for (int round = 0; round < 4; round++) {
            int leads = life_leader(&w);
            struct hearing h = {&w, i, control_quorum(w.v[leads]->node->control).epoch};

            CHECK(leads != i);
            whole_crash(w.v[leads], round % 2 ? SIM_POWER : SIM_PROCESS);
            (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, 5000000000));
            whole_start(w.v[leads]);
            CHECK(sim_run(w.sim, hears, &h, 30000 * A_MS));
            CHECK(sim_run(w.sim, whole_ready, w.v[leads], 20000 * A_MS));
            life_create_begin(&w, i);
            life_created(&w, i, 5000);
            CHECK(sim_run(w.sim, life_all_alike, &w, 2000 * A_MS));
            CHECK(w.v[i]->ready && w.v[i]->node->control->resting);
        }
        sim_disk_break(w.sim, i + 1, NULL);
        CHECK(sim_run(w.sim, life_is_back, w.v[i]->node->control, 40000 * A_MS));
        CHECK(sim_run(w.sim, life_all_alike, &w, 5000 * A_MS));
        life_drop(&w);
    }
}

/* ---- without a majority ---- */

struct dying {
    struct life *w;
    int i; /* killed */
};

static bool known_dead(void *arg)
{
    const struct dying *d = arg;

    for (int n = 0; n < N; n++) {
        const struct image_broker *b;

        if (n == d->i)
            continue;
        b = image_broker(control_image(d->w->v[n]->node->control), d->i + 1);
        if (!b || !b->reg.fenced)
            return false;
    }
    return true;
}

/* Of three voters one rests, and the broker of another, the leader's or not, is killed: nobody is told that it is dead, however
 * plain it is, for a majority has to agree. The rest is over, and both know it at once, long before any session is. */
TEST(life_rests, a_broker_dies_meanwhile)
{
    for (uint64_t seed = 100; seed < 106; seed++) {
        struct life w;
        struct dying d;
        struct control *c;
        int i;

        life_init(&w, seed);
        i = (life_leader(&w) + 1) % N;
        c = w.v[i]->node->control;
        d = (struct dying){&w, (i + 1 + (int)(seed % 2)) % N};
        breaks(&w, i);
        CHECK(sim_run(w.sim, life_all_alike, &w, 5000 * A_MS));
        whole_crash(w.v[d.i], SIM_PROCESS);
        CHECK(!sim_run(w.sim, known_dead, &d, 12000 * A_MS) && life_rests(c));
        sim_disk_break(w.sim, i + 1, NULL);
        CHECK(sim_run(w.sim, life_is_back, c, 40000 * A_MS));
        CHECK(sim_run(w.sim, known_dead, &d, 1000 * A_MS));
        whole_start(w.v[d.i]);
        CHECK(sim_run(w.sim, whole_ready, w.v[d.i], 20000 * A_MS));
        life_drop(&w);
    }
}

/* ---- behind the log's start ---- */

static void part(struct life *w, int i, bool on)
{
    for (int other = 0; other < N; other++) {
        if (other == i)
            continue;
        sim_partition(w->sim, i + 1, other + 1, on);
        sim_partition(w->sim, other + 1, i + 1, on);
    }
}

static int64_t log_starts(const struct life *w)
{
    return life_leader(w) < 0 ? 0 : control_quorum(w->v[life_leader(w)]->node->control).log_start;
}

/* The others go on without it until their log begins behind what it has. */
static void falls_behind(struct life *w, int i)
{
    int other = (i + 1) % N;

    part(w, i, true);
    life_run(w, 3000);
    for (int n = 0; log_starts(w) <= life_newest(w, i) + 1; n++) {
        CHECK(n < 200);
        life_create_begin(w, other);
        life_created(w, other, 10000);
        life_run(w, 300);
    }
}

struct catching_up {
    struct life *w;
    int i;
};

static bool caught_up(void *arg)
{
    const struct catching_up *u = arg;

    return life_leader(u->w) >= 0 && life_newest(u->w, u->i) >= log_starts(u->w);
}

/* The last topic. Offsets of images tell less here: one that ends with a leader's control batch counts it or doesn't. */
static bool all_have_it(void *arg)
{
    const struct life *w = arg;
    char name[16];

    CHECK(snprintf(name, sizeof(name), "t%d", w->topics - 1) > 0);
    for (int i = 0; i < N; i++)
        if (!image_topic_by_name(control_image(w->v[i]->node->control), SLICE(name)))
            return false;
    return true;
}

static const char *const short_log[] = {
    "metadata.log.segment.ms=500", "metadata.log.max.record.bytes.between.snapshots=2000",
    "metadata.max.retention.bytes=1",
    "controller.quorum.fetch.snapshot.max.bytes=300", /* a checkpoint comes in several pieces */
};
enum { N_SHORT_LOG = sizeof(short_log) / sizeof(short_log[0]) };

/* A node that rests and fell behind the others' log, whose begin is gone, takes a voter's snapshot in memory: it has every
 * image and its clients' wishes get there, long before its disk is back, and it votes when it is. */
TEST(life_rests, behind_the_logs_start)
{
    for (uint64_t seed = 70; seed < 74; seed++) {
        struct life w;
        struct catching_up u;
        int64_t installed;

        life_init_with(&w, seed, short_log, N_SHORT_LOG);
        u = (struct catching_up){&w, (life_leader(&w) + (int)(seed % 2)) % N};
        breaks(&w, u.i);
        installed = life_told(&w, u.i, TR_quorum_installed);
        falls_behind(&w, u.i);
        part(&w, u.i, false);
        CHECK(sim_run(w.sim, caught_up, &u, 10000 * A_MS));
        CHECK_EQ(life_told(&w, u.i, TR_quorum_installed), installed + 1);
        CHECK(!w.v[u.i]->node->control->quorum ||
              !quorum_view(w.v[u.i]->node->control->quorum).committed); /* not by its disk */
        sim_reset(w.sim, CLIENT, u.i + 1);
        life_run(&w, 10);
        life_dial(&w);
        life_create_begin(&w, u.i);
        life_created(&w, u.i, 5000);
        CHECK(sim_run(w.sim, all_have_it, &w, 5000 * A_MS)); /* it follows the log from there on */
        sim_disk_break(w.sim, u.i + 1, NULL);
        CHECK(sim_run(w.sim, life_is_back, w.v[u.i]->node->control, 40000 * A_MS));
        CHECK(sim_run(w.sim, all_have_it, &w, 5000 * A_MS));
        life_drop(&w);
    }
}

static bool fetches_one(void *arg)
{
    const struct catching_up *u = arg;

    return u->w->v[u->i]->node->control->afar.image.busy;
}

/* Whatever happens in the midst of it, a disk that comes back, a stop, voters that fall, leaves no process behind that isn't
 * well. */
TEST(life_rests, ends_in_the_midst_of_a_snapshot)
{
    for (uint64_t seed = 80; seed < 92; seed++) {
        struct life w;
        struct catching_up u;

        life_init_with(&w, seed, short_log, N_SHORT_LOG);
        u = (struct catching_up){&w, (life_leader(&w) + 1) % N};
        breaks(&w, u.i);
        falls_behind(&w, u.i);
        part(&w, u.i, false);
        CHECK(sim_run(w.sim, fetches_one, &u, 5000 * A_MS));
        (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, 10000000));
        if (seed % 3 == 0) {
            whole_stop(w.v[u.i]);
            CHECK(sim_run(w.sim, whole_over, w.v[u.i], 30000 * A_MS));
            CHECK_OK(w.v[u.i]->why);
            sim_disk_break(w.sim, u.i + 1, NULL);
            whole_start(w.v[u.i]);
        } else if (seed % 3 == 1) {
            int leads = life_leader(&w);

            whole_crash(w.v[leads], SIM_PROCESS);
            whole_start(w.v[leads]);
            CHECK(sim_run(w.sim, whole_ready, w.v[leads], 20000 * A_MS));
            CHECK(sim_run(w.sim, caught_up, &u, 10000 * A_MS));
        }
        sim_disk_break(w.sim, u.i + 1, NULL);
        CHECK(sim_run(w.sim, whole_ready, w.v[u.i], 40000 * A_MS));
        CHECK(sim_run(w.sim, life_runs_again, w.v[u.i]->node->control, 40000 * A_MS));
        sim_reset(w.sim, CLIENT, u.i + 1);
        life_run(&w, 10);
        life_dial(&w);
        life_create_begin(&w, u.i);
        life_created(&w, u.i, 10000);
        CHECK(sim_run(w.sim, all_have_it, &w, 10000 * A_MS));
        life_drop(&w);
    }
}

static bool in_the_midst(void *arg)
{
    const struct afar *a = &((const struct control *)arg)->afar;

    return a->batches.p && a->taken > 0;
}

/* A long answer goes into the image in steps, in order, and whatever happens between them is well. */
TEST(life_rests, a_long_answer_is_taken_in_steps)
{
    for (uint64_t seed = 95; seed < 98; seed++) {
        struct life w;
        struct control *c;
        int i;

        life_init(&w, seed);
        i = (life_leader(&w) + 1) % N;
        c = w.v[i]->node->control;
        breaks(&w, i);
        part(&w, i, true);
        for (int n = 0; n < 150; n++) {
            life_create_begin(&w, (i + 1) % N);
            life_created(&w, (i + 1) % N, 10000);
        }
        part(&w, i, false);
        CHECK(sim_run(w.sim, in_the_midst, c, 10000 * A_MS));
        if (seed % 3 == 0) {
            whole_stop(w.v[i]);
            CHECK(sim_run(w.sim, whole_over, w.v[i], 30000 * A_MS));
            CHECK_OK(w.v[i]->why);
            sim_disk_break(w.sim, i + 1, NULL);
            whole_start(w.v[i]);
            CHECK(sim_run(w.sim, whole_ready, w.v[i], 20000 * A_MS));
        } else if (seed % 3 == 1) {
            sim_disk_break(w.sim, i + 1, NULL);
        }
        CHECK(sim_run(w.sim, all_have_it, &w, 40000 * A_MS));
        sim_disk_break(w.sim, i + 1, NULL);
        life_drop(&w);
    }
}
