/* Several log directories: the metadata knows which of them holds a partition, and follows them when one is lost. */
#include "broker/node.h"
#include "node_world.h"
#include <stdio.h>

enum { PARTITIONS = 8 };

/* Which of the directories the metadata names for t-<p>; -1: none. Directory i has the id 0x11 + i (whole.c). */
static int dir_of(struct node_world *w, const char *topic, int p)
{
    const struct image *image = w->whole->node->net[0]->image;
    struct uuid dir = partition_dir_of(image_partition(image_topic_by_name(image, SLICE(topic)), p), 1);

    return dir.b[0] == dir.b[15] && dir.b[0] >= 0x11 ? dir.b[0] - 0x11 : -1;
}

static bool lies_in(struct node_world *w, const char *topic, int p, int dir)
{
    char path[96];

    snprintf(path, sizeof(path), "/data/%d/%s-%d/00000000000000000000.log", dir, topic, p);
    return sim_file_size(w->sim, 1, path) > 0;
}

static int16_t append(struct node_world *w, const char *topic, int p)
{
    const struct node_batch b = {.producer_id = -1, .n = 1};
    return node_produce(w, topic, p, &b)->error_code;
}

/* A new partition's directory is chosen by the broker and known in the metadata, before its first record comes, and after
 * restarts the record goes where the metadata says. */
TEST(dirs, are_told_when_a_partition_is_made)
{
    struct node_world *w = node_world_new(1, 3, NULL, 0);
    int dirs[PARTITIONS], used = 0;

    CHECK_EQ(node_topic(w, "t", PARTITIONS, NULL, 0), 0);
    node_run(w, 100);
    for (int p = 0; p < PARTITIONS; p++) {
        dirs[p] = dir_of(w, "t", p);
        CHECK(dirs[p] >= 0 && dirs[p] < 3);
        used |= 1 << dirs[p];
    }
    CHECK_EQ(used, 7);
    node_world_stop(w);
    node_world_start(w);
    for (int p = 0; p < PARTITIONS; p++) {
        if (p == PARTITIONS / 2) {
            node_world_crash(w, SIM_POWER);
            node_world_start(w);
        }
        CHECK_EQ(append(w, "t", p), 0);
        CHECK(lies_in(w, "t", p, dirs[p]));
        CHECK_EQ(dir_of(w, "t", p), dirs[p]);
    }
    node_world_drop(w);
}

static int32_t leader_of(struct node_world *w, const char *topic, int p)
{
    const struct image *image = w->whole->node->net[0]->image;
    return image_partition(image_topic_by_name(image, SLICE(topic)), p)->leader;
}

/* When a directory fails nobody leads what lies there, its partitions say so by KAFKA_STORAGE_ERROR, new ones go elsewhere;
 * after a restart that finds it well again they are led and hold what they held. */
TEST(dirs, that_fail_take_their_leaders_along)
{
    static const struct node_setting durable[] = {{"log.durable", "true"}};
    struct node_world *w = node_world_new(2, 2, NULL, 0);
    int lost = 0;

    CHECK_EQ(node_topic(w, "t", PARTITIONS, durable, 1), 0);
    for (int p = 0; p < PARTITIONS; p++)
        CHECK_EQ(append(w, "t", p), 0);
    node_run(w, 100);
    while (dir_of(w, "t", lost) != 1)
        lost++;
    sim_fail_at(w->sim, 1, 2, SIM_EIO); /* the sync */
    CHECK_EQ(append(w, "t", lost), err_wire(E_KAFKA_STORAGE_ERROR));
    node_run(w, 100);
    CHECK_EQ(image_broker(w->whole->node->net[0]->image, 1)->reg.dirs.n, 1);
    for (int p = 0; p < PARTITIONS; p++) {
        bool there = dir_of(w, "t", p) == 0;
        CHECK_EQ(leader_of(w, "t", p), there ? 1 : -1);
        CHECK_EQ(append(w, "t", p), there ? 0 : err_wire(E_KAFKA_STORAGE_ERROR));
    }
    CHECK_EQ(node_topic(w, "new", PARTITIONS, NULL, 0), 0);
    for (int p = 0; p < PARTITIONS; p++) {
        CHECK_EQ(append(w, "new", p), 0);
        CHECK_EQ(dir_of(w, "new", p), 0);
    }
    node_world_crash(w, SIM_PROCESS);
    node_world_start(w);
    for (int p = 0; p < PARTITIONS; p++) {
        CHECK_EQ(leader_of(w, "t", p), 1);
        CHECK_EQ(append(w, "t", p), 0);
        CHECK(node_offset(w, "t", p, -1) >= 2);
    }
    node_world_drop(w);
}

/* A broker that can't tell any controller in time of a lost directory would be taken for the leader of what it can't
 * serve: it stops. Here the controller's own log takes longer than that time. */
TEST(dirs, that_fail_in_silence_end_the_node)
{
    static const struct node_setting durable[] = {{"log.durable", "true"}};
    static const char *const sets[] = {"log.dir.failure.timeout.ms=50"};
    static const struct sim_range slow = {INT64_C(100) * 1000000, INT64_C(100) * 1000000};
    struct node_world *w = node_world_new(3, 2, sets, 1);
    int lost = 0;

    CHECK_EQ(node_topic(w, "t", PARTITIONS, durable, 1), 0);
    for (int p = 0; p < PARTITIONS; p++)
        CHECK_EQ(append(w, "t", p), 0);
    node_run(w, 100);
    while (dir_of(w, "t", lost) != 1)
        lost++;
    sim_disk_speed(w->sim, 1, &slow);
    sim_fail_at(w->sim, 1, 2, SIM_EIO); /* the sync */
    CHECK_EQ(append(w, "t", lost), err_wire(E_KAFKA_STORAGE_ERROR));
    CHECK(sim_run(w->sim, whole_over, w->whole, INT64_C(60) * 1000000000));
    CHECK_EQ(w->whole->why, E_REQUEST_TIMED_OUT);
    node_world_drop(w);
}
