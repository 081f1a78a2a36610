/* A whole node: server_start() to its last loop, over simulated disks and sockets. */
#include "node_world.h"

/* What was produced is fetched, also after a clean stop and a new start. */
TEST(node, keeps_records_over_a_clean_restart)
{
    struct node_world *w = node_world_new(1, 1, NULL, 0);

    CHECK_EQ(node_topic(w, "t", 2, NULL, 0), 0);
    for (int life = 0; life < 2; life++) {
        const struct node_batch b = {.producer_id = -1, .n = 10, .first = life * 10};
        struct ProduceResponse_PartitionProduceResponse *p = node_produce(w, "t", 1, &b);
        CHECK_EQ(p->error_code, 0);
        CHECK_EQ(p->base_offset, life * 10);
        CHECK_EQ(
            node_records(w, node_fetched(node_ask(w, 0, 12, node_fetch_in(w, 0, "t", 1, 0, 0, 1))), 0, 0),
            (life + 1) * 10);
        CHECK_EQ(node_offset(w, "t", 1, -1), (life + 1) * 10);
        CHECK_EQ(node_offset(w, "t", 1, -2), 0);
        CHECK_EQ(node_offset(w, "t", 0, -1), 0);
        node_world_stop(w);
        node_world_start(w);
    }
    CHECK_EQ(node_records(w, node_fetched(node_ask(w, 0, 12, node_fetch_in(w, 0, "t", 1, 5, 0, 1))), 5, 5),
             15);
    node_world_drop(w);
}
