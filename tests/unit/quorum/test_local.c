/* A quorum of one: what it says committed is there afterwards, whatever ends it. */
#include "tests/unit/quorum/quorum_world.h"

/* A fresh directory is founded at epoch 1 and led at epoch 2: two configuration records, then the barrier. */
TEST(local, first_start_founds_and_leads)
{
    struct quorum_world w;
    struct quorum_view v;

    qworld_init(&w, 1);
    CHECK(qworld_start(&w) && qworld_up(&w));
    CHECK_EQ(w.epoch, 2);
    CHECK_EQ(w.next, 3);
    CHECK_EQ(w.committed->n_partitions, 0);
    v = quorum_view(w.quorum);
    CHECK(v.leader == WORLD_NODE_ID && v.n_voters == 1 && v.voters[0] == WORLD_NODE_ID);
    CHECK(v.log_start == 0 && v.end == 3 && v.committed == 3 && v.snapshot == -1 && !v.failed);
    CHECK(qworld_stop(&w));
    qworld_drop(&w);
}

/* Each start leads in an epoch of its own and begins with the image that the log holds. */
TEST(local, restarts_keep_everything)
{
    struct quorum_world w;

    qworld_init(&w, 2);
    CHECK(qworld_start(&w));
    for (int i = 0; i < 5; i++) {
        qworld_submit(&w, 40);
        CHECK(qworld_settle(&w));
        qworld_restart(&w);
        qworld_verify(&w);
        CHECK_EQ(w.promised, 40 * (i + 1));
        CHECK_EQ(w.epoch, 3 + i);
    }
    CHECK(qworld_stop(&w));
    qworld_drop(&w);
}
