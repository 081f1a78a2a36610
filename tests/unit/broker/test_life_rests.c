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
