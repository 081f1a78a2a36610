/* A node that starts while the disk of its metadata doesn't work. */
#include "base/trace.h"
#include "tests/unit/broker/life_world.h"

#include <stdio.h>
#include <string.h>

#define LOG "/meta/__cluster_metadata-0"

static bool is_back(void *arg)
{
    const struct whole *v = arg;

    return whole_ready(arg) && v->node->control->quorum && !quorum_view(v->node->control->quorum).failed &&
           life_runs_again(v->node->control);
}

static void client_again(struct life *w, int i)
{
    sim_reset(w->sim, CLIENT, i + 1);
    life_run(w, 10);
    life_dial(w);
}

static void creates(struct life *w, int i)
{
    life_create_begin(w, i);
    life_created(w, i, 10000);
}

/* Without the next one, a topic takes the vote of this one. */
static void votes_again(struct life *w, int i)
{
    struct whole *next = w->v[(i + 1) % N];

    whole_crash(next, SIM_PROCESS);
    creates(w, i);
    whole_start(next);
    CHECK(sim_run(w->sim, whole_ready, next, 20000 * A_MS));
}

/* Node i starts on a broken disk: it is ready, does what clients ask, and votes when the disk works. */
static void rests_and_votes_again(struct life *w, int i)
{
    struct whole *v = w->v[i];

    whole_start(v);
    CHECK(sim_run(w->sim, whole_up, v, 20000 * A_MS));
    if (!v->ready)
        test_fail(__FILE__, __LINE__, "%s", v->text);
    CHECK(v->ready && v->node->control->rest_s > 0);
    client_again(w, i);
    creates(w, i);
    life_run(w, 10000);
    CHECK(v->ready && !v->stopped);
    sim_disk_break(w->sim, i + 1, NULL);
    CHECK(sim_run(w->sim, life_is_back, v->node->control, 40000 * A_MS));
    votes_again(w, i);
}

/* One voter of three starts while its metadata log can't be read: it serves clients with what the others have told it, follows
 * them, and votes when the disk is back. The others' log is whole, or its begin is gone. */
TEST(life_starts, a_broken_disk_of_three)
{
    static const char *const short_log[] = {"metadata.log.segment.ms=500",
                                            "metadata.log.max.record.bytes.between.snapshots=2000",
                                            "metadata.max.retention.bytes=1"};

    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct life w;
        int i;

        life_init_with(&w, seed, short_log, seed % 2 ? 3 : 0);
        i = (life_leader(&w) + (int)(seed % 3)) % N;
        whole_crash(w.v[i], seed % 4 < 2 ? SIM_PROCESS : SIM_POWER);
        for (int n = 0; n < 12; n++)
            creates(&w, (i + 1) % N);
        sim_disk_break(w.sim, i + 1, LOG);
        rests_and_votes_again(&w, i);
        life_drop(&w);
    }
}

/* The same where no setting says who votes, but the directories themselves, as they were formatted. */
TEST(life_starts, a_broken_disk_of_three_formatted)
{
    for (uint64_t seed = 11; seed <= 16; seed++) {
        struct life w;
        int i;

        life_init_formatted(&w, seed);
        i = (life_leader(&w) + (int)(seed % 3)) % N;
        whole_crash(w.v[i], seed % 2 ? SIM_PROCESS : SIM_POWER);
        for (int n = 0; n < 3; n++)
            creates(&w, (i + 1) % N);
        sim_disk_break(w.sim, i + 1, LOG);
        rests_and_votes_again(&w, i);
        life_drop(&w);
    }
}

/* A log that can't be opened when the node serves already, with what it has heard: nobody knows what an earlier process had left
 * unsynced there, so it isn't believed in this process any more, and the broker goes on. */
TEST(life_starts, a_log_of_which_nobody_can_tell)
{
    struct life w;
    int i;

    life_init(&w, 9);
    i = life_leader(&w);
    whole_crash(w.v[i], SIM_PROCESS);
    creates(&w, (i + 1) % N);
    sim_disk_break(w.sim, i + 1, LOG "/quorum-state");
    whole_start(w.v[i]);
    CHECK(sim_run(w.sim, whole_ready, w.v[i], 20000 * A_MS));
    sim_disk_break(w.sim, i + 1, LOG "/00000000000000000000.log");
    life_run(&w, 40000);
    CHECK_EQ(life_told(&w, i, TR_control_rests_for_good), 1);
    sim_disk_break(w.sim, i + 1, NULL);
    life_run(&w, 40000);
    CHECK(w.v[i]->ready && !w.v[i]->stopped && !w.v[i]->node->control->quorum);
    client_again(&w, i);
    creates(&w, i);
    whole_stop(w.v[i]);
    CHECK(sim_run(w.sim, whole_over, w.v[i], 30000 * A_MS));
    CHECK_OK(w.v[i]->why);
    whole_start(w.v[i]);
    CHECK(sim_run(w.sim, whole_ready, w.v[i], 20000 * A_MS) && w.v[i]->node->control->rest_s == 0);
    life_drop(&w);
}

/* A controller alone, or a node that is its own controller, waits for its disk, and can be stopped meanwhile. */
TEST(life_starts, a_broken_disk_of_one)
{
    static const char *const controller[] = {
        "metadata.log.dir=/meta", "process.roles=controller", "listeners=CONTROLLER://:9093",
        "advertised.listeners=CONTROLLER://10.0.0.1:9093", "controller.quorum.voters=1@10.0.0.1:9093"};

    for (int both = 0; both < 2; both++) {
        for (int first = 0; first < 2; first++) {
            struct sim *sim = sim_new(3);
            struct whole *v = whole_new(sim, 1, 1, controller, both ? 1 : 5);

            whole_dir(v, "/meta", 0x20);
            if (!first) {
                whole_start(v);
                CHECK(sim_run(sim, whole_ready, v, 20000 * A_MS));
                whole_crash(v, SIM_PROCESS);
            }
            sim_disk_break(sim, 1, LOG);
            whole_start(v);
            (void)sim_run(sim, NULL, NULL, 9000 * A_MS);
            CHECK(!v->ready && !v->stopped && v->node->control->rest_s > 1);
            whole_stop(v);
            CHECK(sim_run(sim, whole_over, v, 10000 * A_MS));
            CHECK_OK(v->why);
            whole_start(v);
            (void)sim_run(sim, NULL, NULL, 9000 * A_MS);
            sim_disk_break(sim, 1, NULL);
            CHECK(sim_run(sim, is_back, v, 40000 * A_MS));
            whole_stop(v);
            CHECK(sim_run(sim, whole_over, v, 10000 * A_MS));
            CHECK_OK(v->why);
            whole_drop(v);
            sim_drop(sim);
        }
    }
}

/* A file that says with what the log begins can't be read for good, or not yet: that is said in words of its own, or waited for;
 * damaged is what is damaged. */
TEST(life_starts, unreadable_is_not_damaged)
{
    static const char *const sets[] = {"metadata.log.dir=/meta", "controller.quorum.voters=",
                                       "controller.quorum.bootstrap.servers=10.0.0.1:9093"};
    static const struct {
        const char *file;
        const char *words; /* it stops with these */
    } files[] = {{"/meta/meta.properties", "/meta: can't be read (input or output error)"},
                 {"/meta/bootstrap.checkpoint", "bootstrap.checkpoint can't be read (input or output error)"},
                 {LOG "/00000000000000000000-0000000000.checkpoint", NULL}};

    for (int k = 0; k < 6; k++) {
        struct sim *sim = sim_new(17);
        struct whole *v = whole_new(sim, 1, 1, sets, 3);
        const char *file = files[k % 3].file, *words = files[k % 3].words;

        whole_dir(v, "/meta", 0x20);
        life_format(sim, v, 1);
        if (k < 3)
            sim_disk_break(sim, 1, file);
        else
            CHECK_OK(sim_file_put(sim, 1, file, "rotten", 6));
        whole_start(v);
        (void)sim_run(sim, whole_up, v, 9000 * A_MS);
        if (k < 3 && !words) {
            CHECK(!v->ready && !v->stopped && v->node->control->rest_s > 1);
            whole_stop(v);
            CHECK(sim_run(sim, whole_over, v, 10000 * A_MS));
            CHECK_OK(v->why);
            whole_start(v);
            (void)sim_run(sim, whole_up, v, 9000 * A_MS);
            sim_disk_break(sim, 1, NULL);
            CHECK(sim_run(sim, is_back, v, 40000 * A_MS));
            CHECK(quorum_view(v->node->control->quorum).leader == 1); /* it began, and doesn't follow */
            whole_stop(v);
        } else {
            CHECK(!v->ready && strstr(v->text, k < 3 ? words : "damaged"));
        }
        CHECK(sim_run(sim, whole_over, v, 10000 * A_MS));
        CHECK(!v->why == (k < 3 && !words));
        whole_drop(v);
        sim_drop(sim);
    }
}

/* ---- without any room ---- */

static void no_room(struct sim *sim, int node, bool none)
{
    sim_disk_limit(sim, node, none ? 0 : -1);
}

/* A start on a disk without any room at all: one of three serves, and votes when there is room; the others go on. */
TEST(life_starts, a_full_disk_of_three)
{
    for (uint64_t seed = 21; seed <= 28; seed++) {
        struct life w;
        int i;

        life_init(&w, seed);
        i = (life_leader(&w) + (int)(seed % 3)) % N;
        whole_crash(w.v[i], seed % 2 ? SIM_PROCESS : SIM_POWER);
        for (int n = 0; n < 3; n++)
            creates(&w, (i + 1) % N);
        no_room(w.sim, i + 1, true);
        whole_start(w.v[i]);
        CHECK(sim_run(w.sim, whole_up, w.v[i], 20000 * A_MS));
        CHECK(w.v[i]->ready);
        client_again(&w, i);
        creates(&w, i);
        life_run(&w, 10000);
        CHECK(w.v[i]->ready && !w.v[i]->stopped);
        no_room(w.sim, i + 1, false);
        CHECK(sim_run(w.sim, is_back, w.v[i], 40000 * A_MS));
        life_run(&w, 2000);
        votes_again(&w, i);
        life_drop(&w);
    }
}

/* The only voter waits for room, from its very first start on. */
TEST(life_starts, a_full_disk_of_one)
{
    static const char *const sets[] = {"metadata.log.dir=/meta"};

    for (uint64_t seed = 31; seed <= 36; seed++) {
        struct sim *sim = sim_new(seed);
        struct whole *v = whole_new(sim, 1, 1, sets, 1);

        whole_dir(v, "/meta", 0x20);
        if (seed % 3) {
            whole_start(v);
            CHECK(sim_run(sim, whole_ready, v, 20000 * A_MS));
            whole_crash(v, seed % 3 == 1 ? SIM_PROCESS : SIM_POWER);
        }
        no_room(sim, 1, true);
        whole_start(v);
        (void)sim_run(sim, NULL, NULL, 9000 * A_MS);
        CHECK(!v->ready && !v->stopped);
        no_room(sim, 1, false);
        CHECK(sim_run(sim, is_back, v, 40000 * A_MS));
        whole_stop(v);
        CHECK(sim_run(sim, whole_over, v, 10000 * A_MS));
        CHECK_OK(v->why);
        whole_drop(v);
        sim_drop(sim);
    }
}

/* ---- one error at any file call ---- */

enum { CALLS = 76 }; /* of a start, and some more */

/* What a person must look at: the directories themselves, and a log of which nobody can tell what of it is on disk. */
static bool may_stop(const struct whole *v, enum sim_fault fault)
{
    return strncmp(v->text, "/", 1) == 0 || strstr(v->text, "could not register") ||
           (fault == SIM_EIO && strstr(v->text, "opening the metadata log"));
}

/* true: it came up by itself, having rested. */
static bool comes_up(struct life *w, enum sim_fault fault)
{
    struct whole *v = w->v[0];
    bool rested;

    CHECK(sim_run(w->sim, whole_up, v, 60000 * A_MS));
    sim_fail_at(w->sim, 1, 0, SIM_EIO);
    rested = v->ready && v->node->control->rest_s > 0;
    if (!v->ready) {
        if (!may_stop(v, fault))
            test_fail(__FILE__, __LINE__, "it stops: %s", v->text);
        CHECK(sim_run(w->sim, whole_over, v, 10000 * A_MS));
        whole_start(v);
        CHECK(sim_run(w->sim, whole_ready, v, 20000 * A_MS));
    }
    return rested;
}

/* What it says now is on its disk. */
static void keeps_what_it_says(struct life *w)
{
    struct whole *v = w->v[0];

    w->client = sim_node(w->sim, CLIENT);
    CHECK(sim_call(w->sim, w->client, LOOP_NET, life_client_begin, w));
    CHECK(sim_call(w->sim, w->client, LOOP_NET, life_client_dial, w));
    life_run(w, 10);
    creates(w, 0);
    whole_crash(v, SIM_POWER);
    whole_start(v);
    CHECK(sim_run(w->sim, whole_ready, v, 20000 * A_MS));
    CHECK(image_topic_by_name(control_image(v->node->control), SLICE("t0")));
    sim_crash(w->sim, CLIENT, SIM_PROCESS);
}

/* formatted: no setting says who votes. */
static int errors(enum sim_fault fault, bool formatted)
{
    static const char *const sets[] = {"metadata.log.dir=/meta", "controller.quorum.voters=",
                                       "controller.quorum.bootstrap.servers=10.0.0.1:9093"};
    int rested = 0;

    for (int nth = 1; nth <= CALLS; nth++) {
        struct life w = {.sim = sim_new(40)};
        struct whole *v = w.v[0] = whole_new(w.sim, 1, 1, sets, formatted ? 3 : 1);

        whole_dir(v, "/meta", 0x20);
        if (formatted)
            life_format(w.sim, v, 1);
        if (nth % 2) { /* else it is its very first start */
            whole_start(v);
            CHECK(sim_run(w.sim, whole_ready, v, 20000 * A_MS));
            whole_crash(v, nth % 4 == 1 ? SIM_PROCESS : SIM_POWER);
        }
        sim_fail_at(w.sim, 1, nth, fault);
        whole_start(v);
        rested += comes_up(&w, fault);
        keeps_what_it_says(&w);
        whole_stop(v);
        CHECK(sim_run(w.sim, whole_over, v, 10000 * A_MS));
        whole_drop(v);
        sim_drop(w.sim);
    }
    return rested;
}

/* One file call of a start fails: the node comes up all the same, by itself, or says what a person must look at; whoever says who
 * votes. */
TEST(life_starts, an_error_at_any_call)
{
    CHECK(errors(SIM_EIO, false) > 15);
}

TEST(life_starts, an_error_at_any_call_formatted)
{
    CHECK(errors(SIM_EIO, true) > 15);
}

/* The same where one finds no room; the log itself is no reason to stop then. */
TEST(life_starts, no_room_at_any_call)
{
    CHECK(errors(SIM_FULL, false) > 5);
}
