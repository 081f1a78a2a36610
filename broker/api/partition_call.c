#include "partition_call.h"
#include "broker/replica/manager.h"

enum err partition_resolve(const struct request *r, struct slice name, enum acl_operation op,
                           struct scatter_item *item)
{
    const struct image_topic *topic = image_topic_by_name(r->net->image, name);
    const struct image_partition *p;

    if (!authorize(r, op, RES_TOPIC, name))
        return E_TOPIC_AUTHORIZATION_FAILED;
    p = topic ? image_partition(topic, item->partition) : NULL;
    if (!p)
        return E_UNKNOWN_TOPIC_OR_PARTITION;
    scatter_aim(item, topic);
    return partition_led(p, r->net->node->id);
}

bool topic_is_internal(struct slice name)
{
    return slice_eq(name, SLICE("__consumer_offsets")) || slice_eq(name, SLICE("__transaction_state")) ||
           slice_eq(name, SLICE("__share_group_state"));
}
