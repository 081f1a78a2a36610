/* The quorum of a node ends and begins again while the node runs on. */
#include "base/trace.h"
#include "tests/unit/broker/life_world.h"

/* ---- it becomes something else ---- */

struct again {
    struct msg msg;
    struct control *c;
};

static void again_run(struct msg *msg)
{
    control_role(container_of(msg, struct again, msg)->c);
}

static void again_post(struct loop *loop, void *arg)
{
    struct again *a = arg;

    a->msg.run = again_run;
    loop_post(control_loop(a->c), &a->msg);
}

/* A quorum begins again in a node that runs on, on a follower and on a leader: whoever asks that node meanwhile is answered
 * by the leader that there is, or will be; nothing goes back. */
TEST(life, a_quorum_begins_again)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct life w;

        life_init(&w, seed);
        for (int n = 0; n < N; n++) {
            int i = n < 2 ? (life_leader(&w) + n) % N : life_leader(&w);
            struct again a = {.c = w.v[i]->node->control};
            int64_t before = life_newest(&w, i), loads = life_told(&w, i, TR_quorum_loaded_log);

            life_create_begin(&w, i);
            life_run(&w, (int64_t)(seed % 3));
            CHECK(sim_call(w.sim, w.v[i]->io, LOOP_DISK, again_post, &a));
            life_created(&w, i, 5000);
            life_create_begin(&w, i);
            life_created(&w, i, 5000);
            CHECK(sim_run(w.sim, life_runs_again, a.c, 5000 * A_MS));
            CHECK(sim_run(w.sim, life_all_alike, &w, 5000 * A_MS) && life_newest(&w, i) > before);
            CHECK_EQ(life_told(&w, i, TR_quorum_loaded_log), loads + 1);
        }
        for (int i = 0; i < N; i++)
            CHECK(w.v[i]->ready && !w.v[i]->stopped);
        life_drop(&w);
    }
}

/* A node may be told to stop at any moment of it. */
TEST(life, a_stop_between_two_lives)
{
    for (int us = 0; us < 4000; us += 250) {
        struct life w;
        struct again a;

        life_init(&w, 7);
        a = (struct again){.c = w.v[1]->node->control};
        CHECK(sim_call(w.sim, w.v[1]->io, LOOP_DISK, again_post, &a));
        (void)sim_run(w.sim, NULL, NULL, us * INT64_C(1000));
        life_drop(&w);
    }
}

/* ---- a disk that fails ---- */

/* The disk of the metadata breaks below a leader and below a follower: one line says so, another node leads, the broker of
 * that node goes on, with every image and with its clients' wishes, and it votes again when the disk does. */
TEST(life, a_disk_breaks_and_comes_back)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct life w;
        life_init(&w, seed);
        for (int n = 0; n < 2; n++) { /* a leader, then one that follows */
            int i = (life_leader(&w) + n) % N, other = (i + 1) % N, third = (i + 2) % N;
            struct control *c = w.v[i]->node->control;

            int64_t failed = life_told(&w, i, TR_quorum_failed), rested = life_told(&w, i, TR_control_rests),
                    back = life_told(&w, i, TR_control_back);

            sim_disk_break(w.sim, i + 1, "/meta");
            life_create_begin(&w, other);
            life_created(&w, other, 5000);
            CHECK(sim_run(w.sim, life_rests, c, 5000 * A_MS));
            CHECK(sim_run(w.sim, life_led_elsewhere, &w, 5000 * A_MS) && life_leader(&w) != i);
            for (int round = 0; round < 3; round++) {
                life_create_begin(&w, i);
                life_created(&w, i, 5000);
                CHECK(sim_run(w.sim, life_all_alike, &w, 2000 * A_MS));
                life_run(&w, 4000);
            }
            CHECK_EQ(life_told(&w, i, TR_quorum_failed), failed + 1);
            CHECK_EQ(life_told(&w, i, TR_control_rests), rested + 1);
            CHECK(w.v[i]->ready && !w.v[i]->stopped);
            sim_disk_break(w.sim, i + 1, NULL);
            CHECK(sim_run(w.sim, life_is_back, c, 40000 * A_MS));
            CHECK_EQ(life_told(&w, i, TR_control_back), back + 1);
            whole_crash(w.v[third], SIM_PROCESS); /* without this node's vote there is no majority */
            life_create_begin(&w, i);
            life_created(&w, i, 5000);
            whole_start(w.v[third]);
            CHECK(sim_run(w.sim, whole_up, w.v[third], 20000 * A_MS));
            CHECK(sim_run(w.sim, life_all_alike, &w, 5000 * A_MS));
            whole_crash(w.v[i], SIM_POWER); /* nothing that it said was in the page cache alone */
            whole_start(w.v[i]);
            CHECK(sim_run(w.sim, whole_up, w.v[i], 20000 * A_MS));
            CHECK(sim_run(w.sim, life_all_alike, &w, 5000 * A_MS));
            sim_reset(w.sim, CLIENT, i + 1);
            life_run(&w, 10);
            life_dial(&w);
        }
        life_drop(&w);
    }
}

struct failing {
    struct life *w;
    int i;
    int64_t times;
};

static bool has_failed(void *arg)
{
    const struct failing *f = arg;

    return life_told(f->w, f->i, TR_quorum_failed) > f->times;
}

/* Who leads when its disk breaks says who is next: another one leads long before silence would have told it, whatever was on
 * its way. */
TEST(life, a_broken_disk_hurries_the_next_leader)
{
    for (uint64_t seed = 20; seed < 28; seed++) {
        struct life w;

        life_init(&w, seed);
        for (int round = 0; round < 3; round++) {
            int i = life_leader(&w), other = (i + 1 + round % 2) % N;
            struct failing f = {&w, i, life_told(&w, i, TR_quorum_failed)};

            life_create_begin(&w, other);
            (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, 2000000));
            sim_disk_break(w.sim, i + 1, "/meta");
            life_create_begin(&w, i);
            CHECK(sim_run(w.sim, has_failed, &f, 5000 * A_MS));
            CHECK(sim_run(w.sim, life_led_elsewhere, &w, 50 * A_MS));
            life_created(&w, other, 5000);
            life_created(&w, i, 5000);
            sim_disk_break(w.sim, i + 1, NULL);
            CHECK(sim_run(w.sim, life_is_back, w.v[i]->node->control, 40000 * A_MS));
        }
        life_drop(&w);
    }
}

/* Disks that break at any moment, one at a time, for long and for short: nothing is lost, no process ends, and every node takes
 * part again. */
TEST(life, disks_break_at_any_moment)
{
    int64_t failed = 0;

    for (uint64_t seed = 100; seed < 112; seed++) {
        struct life w;

        life_init(&w, seed);
        for (int round = 0; round < 12; round++) {
            int i = (int)sim_below(w.sim, N), at = (int)sim_below(w.sim, N);
            struct control *c = w.v[i]->node->control;

            life_create_begin(&w, at);
            (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, 400000));
            sim_disk_break(w.sim, i + 1, "/meta");
            (void)sim_run(w.sim, NULL, NULL, (int64_t)sim_below(w.sim, round % 2 ? 1000000 : 4000000000));
            sim_disk_break(w.sim, i + 1, NULL);
            life_created(&w, at, 20000);
            CHECK(sim_run(w.sim, life_runs_again, c, 40000 * A_MS));
            life_create_begin(
                &w, i); /* an epoch that began with nothing to say has no offset in its leader's image */
            life_created(&w, i, 5000);
            CHECK(sim_run(w.sim, life_all_alike, &w, 5000 * A_MS));
        }
        for (int i = 0; i < N; i++) {
            CHECK(w.v[i]->ready && !w.v[i]->stopped);
            failed += life_told(&w, i, TR_quorum_failed);
        }
        life_drop(&w);
    }
    CHECK(failed > 40);
}

static bool two_alike(void *arg)
{
    const struct life *w = arg;

    return life_newest(w, 0) == life_newest(w, 1);
}

/* A broker's copy of the log breaks: it goes on in memory, and keeps a copy again when the disk does. */
TEST(life, a_brokers_copy_breaks)
{
    static const char *const controller[] = {"process.roles=controller", "listeners=CONTROLLER://:9093",
                                             "advertised.listeners=CONTROLLER://10.0.0.1:9093",
                                             "controller.quorum.voters=1@10.0.0.1:9093"};
    static const char *const broker[] = {"process.roles=broker", "listeners=PLAINTEXT://:9092",
                                         "controller.quorum.voters=1@10.0.0.1:9093",
                                         "metadata.log.dir=/meta"};
    struct life w = {.sim = sim_new(3)};
    struct control *c;

    w.v[0] = whole_new(w.sim, 1, 1, controller, 4);
    w.v[1] = whole_new(w.sim, 2, 1, broker, 4);
    whole_dir(w.v[1], "/meta", 0x20);
    for (int i = 0; i < 2; i++) {
        whole_start(w.v[i]);
        CHECK(sim_run(w.sim, whole_ready, w.v[i], 20000 * A_MS));
    }
    c = w.v[1]->node->control;
    for (int round = 0; round < 3; round++) {
        sim_disk_break(w.sim, 2, "/meta");
        w.client = sim_node(w.sim, CLIENT);
        CHECK(sim_call(w.sim, w.client, LOOP_NET, life_client_begin, &w));
        CHECK(sim_call(w.sim, w.client, LOOP_NET, life_client_dial, &w));
        life_run(&w, 10);
        life_create_begin(&w, 1);
        life_created(&w, 1, 5000);
        CHECK(sim_run(w.sim, life_rests, c, 5000 * A_MS));
        life_create_begin(&w, 1);
        life_created(&w, 1, 5000);
        CHECK(sim_run(w.sim, two_alike, &w, 1000 * A_MS));
        sim_disk_break(w.sim, 2, NULL);
        CHECK(sim_run(w.sim, life_is_back, c, 40000 * A_MS));
        CHECK(sim_run(w.sim, two_alike, &w, 1000 * A_MS));
        sim_crash(w.sim, CLIENT, SIM_PROCESS);
    }
    CHECK(w.v[1]->ready && !w.v[1]->stopped);
    for (int i = 1; i >= 0; i--) {
        whole_stop(w.v[i]);
        CHECK(sim_run(w.sim, whole_over, w.v[i], 30000 * A_MS));
        CHECK_OK(w.v[i]->why);
        whole_drop(w.v[i]);
    }
    sim_drop(w.sim);
}

/* The only voter's disk breaks: what was published is served, what would change it waits, and is done when the disk does. */
TEST(life, the_only_voters_disk_breaks)
{
    static const char *const sets[] = {"metadata.log.dir=/meta"};
    struct life w = {.sim = sim_new(4)};
    struct control *c;

    w.v[0] = whole_new(w.sim, 1, 1, sets, 1);
    whole_dir(w.v[0], "/meta", 0x20);
    whole_start(w.v[0]);
    CHECK(sim_run(w.sim, whole_ready, w.v[0], 20000 * A_MS));
    c = w.v[0]->node->control;
    w.client = sim_node(w.sim, CLIENT);
    CHECK(sim_call(w.sim, w.client, LOOP_NET, life_client_begin, &w));
    CHECK(sim_call(w.sim, w.client, LOOP_NET, life_client_dial, &w));
    life_run(&w, 10);
    for (int round = 0; round < 2; round++) {
        sim_disk_break(w.sim, 1, "/meta");
        life_create_begin(&w, 0);
        CHECK(sim_run(w.sim, life_rests, c, 10000 * A_MS));
        life_run(&w, 3000);
        CHECK(!w.answered[0] && w.v[0]->ready && !w.v[0]->stopped);
        sim_disk_break(w.sim, 1, NULL);
        life_created(&w, 0, 20000);
    }
    sim_disk_break(w.sim, 1, "/meta"); /* a stop while it rests */
    life_create_begin(&w, 0);
    CHECK(sim_run(w.sim, life_rests, c, 10000 * A_MS));
    whole_stop(w.v[0]);
    CHECK(sim_run(w.sim, whole_over, w.v[0], 30000 * A_MS));
    CHECK_OK(w.v[0]->why);
    whole_drop(w.v[0]);
    sim_crash(w.sim, CLIENT, SIM_PROCESS);
    sim_drop(w.sim);
}

/* A disk that comes back with an older vote than this process has given isn't believed: the node rests until it has the right
 * one. */
TEST(life, an_older_disk_is_not_believed)
{
    static const char path[] = "/meta/__cluster_metadata-0/quorum-state";
    struct life w;
    uint8_t old[512], now[512];
    size_t n_old, n_now;
    int first, i;
    struct control *c;

    life_init(&w, 11);
    first = life_leader(&w);
    i = (first + 1) % N;
    c = w.v[i]->node->control;
    CHECK_OK(sim_file_read(w.sim, i + 1, path, 0, old, sizeof(old), &n_old));
    sim_disk_break(w.sim, first + 1, "/meta");
    life_create_begin(&w, i);
    life_created(&w, i, 5000); /* in the next epoch */
    sim_disk_break(w.sim, first + 1, NULL);
    CHECK(sim_run(w.sim, life_is_back, w.v[first]->node->control, 40000 * A_MS));
    CHECK_OK(sim_file_read(w.sim, i + 1, path, 0, now, sizeof(now), &n_now));
    CHECK(n_old != n_now || memcmp(old, now, n_now) != 0);
    sim_disk_break(w.sim, i + 1, "/meta");
    life_create_begin(&w, i);
    life_created(&w, i, 5000);
    CHECK(sim_run(w.sim, life_rests, c, 5000 * A_MS));
    CHECK_OK(sim_file_read(w.sim, i + 1, path, 0, now, sizeof(now), &n_now));
    CHECK_OK(sim_file_put(w.sim, i + 1, path, old, n_old));
    sim_disk_break(w.sim, i + 1, NULL);
    life_run(&w, 20000);
    CHECK(life_rests(c) && life_told(&w, i, TR_control_back) == 0 &&
          life_told(&w, i, TR_quorum_fails_still) > 1);
    CHECK_OK(sim_file_put(w.sim, i + 1, path, now, n_now));
    CHECK(sim_run(w.sim, life_is_back, c, 40000 * A_MS));
    life_drop(&w);
}
