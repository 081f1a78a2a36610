#include "metadata/states.h"
#include "base/check.h"

static const struct uuid LOST = {{[15] = 2}}; /* Kafka's DirectoryId.LOST: that log directory has failed */

static bool broker_lives(const struct image *i, int32_t id)
{
    const struct image_broker *b = image_broker(i, id);

    return b && !b->reg.fenced;
}

enum partition_state partition_state(const struct image *i, const struct image_partition *p)
{
    if (!p)
        return PARTITION_NONEXISTENT;
    if (p->leader < 0)
        return p->leader_epoch == 0 ? PARTITION_NEW : PARTITION_OFFLINE;
    return broker_lives(i, p->leader) ? PARTITION_ONLINE : PARTITION_OFFLINE;
}

static bool being_added(const struct image_partition *p, int32_t broker)
{
    struct ids adding = {p->ids + p->n_replicas + p->n_isr + p->n_removing, p->n_adding};

    return ids_has(adding, broker) && !ids_has(partition_isr(p), broker);
}

enum replica_state replica_state(const struct image *i, const struct image_partition *p, int32_t broker)
{
    struct ids replicas = p ? partition_replicas(p) : (struct ids){.n = 0};

    for (int n = 0; n < replicas.n; n++) {
        struct uuid dir;

        if (replicas.v[n] != broker)
            continue;
        memcpy(&dir, partition_dirs(p).v + n, sizeof(dir));
        if (!broker_lives(i, broker) || uuid_eq(dir, LOST))
            return REPLICA_OFFLINE;
        if (being_added(p, broker) || partition_state(i, p) == PARTITION_NEW)
            return REPLICA_NEW;
        return REPLICA_ONLINE;
    }
    return REPLICA_NONEXISTENT;
}

const char *partition_state_name(enum partition_state s)
{
    static const char *const names[] = {[PARTITION_NONEXISTENT] = "Nonexistent",
                                        [PARTITION_NEW] = "New",
                                        [PARTITION_ONLINE] = "Online",
                                        [PARTITION_OFFLINE] = "Offline"};

    ASSERT(s <= PARTITION_OFFLINE);
    return names[s];
}

const char *replica_state_name(enum replica_state s)
{
    static const char *const names[] = {[REPLICA_NONEXISTENT] = "Nonexistent",
                                        [REPLICA_NEW] = "New",
                                        [REPLICA_ONLINE] = "Online",
                                        [REPLICA_OFFLINE] = "Offline"};

    ASSERT(s <= REPLICA_OFFLINE);
    return names[s];
}
