#include "metadata/invariant.h"
#include "base/map.h"
#include "metadata/image_kinds.h"

/* Numbers are those of invariant.h. */

static bool distinct(struct ids v)
{
    for (int i = 0; i < v.n; i++)
        if (ids_has((struct ids){v.v, i}, v.v[i]))
            return false;
    return true;
}

static bool within(struct ids small, struct ids large)
{
    for (int i = 0; i < small.n; i++)
        if (!ids_has(large, small.v[i]))
            return false;
    return true;
}

static bool apart(struct ids a, struct ids b)
{
    for (int i = 0; i < a.n; i++)
        if (ids_has(b, a.v[i]))
            return false;
    return true;
}

const char *partition_fault(const struct record_partition *p)
{
    if (p->replicas.n == 0 || !distinct(p->replicas) || p->dirs.n != p->replicas.n)
        return "1: replicas and their directories";
    if (!within(p->isr, p->replicas) || !distinct(p->isr))
        return "2: the ISR lies within the replicas";
    if (!within(p->elr, p->replicas) || !distinct(p->elr) || !apart(p->elr, p->isr))
        return "3: the ELR lies within the replicas and outside the ISR";
    if (p->leader != LEADER_NONE && !ids_has(p->isr, p->leader))
        return "4: the leader is in the ISR";
    if (!within(p->adding, p->replicas) || !within(p->removing, p->replicas))
        return "5: adding and removing replicas";
    if (p->recovering && p->isr.n > 1)
        return "6: who recovers is alone in the ISR";
    if (p->leader_epoch < 0 || p->partition_epoch < 0)
        return "7: epochs aren't negative";
    return NULL;
}

bool partition_sound(const struct record_partition *p)
{
    return partition_fault(p) == NULL;
}

/* ---- of the cluster ---- */

static bool unfenced(const struct image *i, int32_t id)
{
    const struct image_broker *b = image_broker(i, id);

    return b && !b->reg.fenced;
}

static const char *check_liveness(const struct image *i, const struct record_partition *p)
{
    if (p->replicas.n > 1 && p->leader != LEADER_NONE && !unfenced(i, p->leader))
        return "10: no leader is fenced";
    for (int n = 0; n < p->isr.n; n++)
        if (p->isr.n > 1 && !unfenced(i, p->isr.v[n]))
            return "10: nobody in the ISR is fenced";
    return NULL;
}

static const char *check_topic(const struct image *i, const struct image_topic *t, uint64_t *partitions)
{
    struct image_partitions w = image_partitions_from(t, 0);
    const struct image_topic *named = image_topic_by_name(i, t->name);
    const struct image_partition *p;
    int32_t n = 0;

    if (!named || !uuid_eq(named->id, t->id))
        return "9: topics and names match";
    for (; (p = image_partitions_next(&w)); n++) {
        struct meta_record r;
        const char *fault;

        partition_record(t, p, &r);
        if (partition_index(p) != n)
            return "8: partitions are 0 … n-1";
        fault = partition_fault(&r.partition);
        if (!fault)
            fault = check_liveness(i, &r.partition);
        if (fault)
            return fault;
    }
    *partitions += (uint64_t)n;
    return n ? NULL : "8: a topic has a partition";
}

static const char *check_topics(const struct image *i)
{
    struct image_topics w = image_topics_from(i, SLICE_NULL);
    struct pmap_iter it = pmap_first(&i->collisions);
    const struct image_topic *t;
    const struct image_name *n;
    const char *fault = NULL;
    uint64_t partitions = 0;
    uint8_t room[NAME_KEY_MAX];
    struct slice key;
    uint32_t may_collide = 0;

    if (i->names.count != i->topics.count)
        return "9: as many names as topics";
    while (!fault && (t = image_topics_next(&w))) {
        may_collide += image_collision_prefix(t->name, room, &key);
        fault = check_topic(i, t, &partitions);
    }
    while (!fault && (n = (const struct image_name *)pmap_next(&it)))
        if (!image_topic_by_name(i, n->name))
            fault = "9: what may collide exists";
    if (!fault && may_collide != i->collisions.count)
        fault = "9: all that may collide is known";
    if (!fault && partitions != i->n_partitions)
        fault = "8: n_partitions is their sum";
    return fault;
}

static const char *check_brokers(const struct image *i, struct heap *h)
{
    struct image_brokers w = image_brokers_all(i);
    const struct image_broker *b;
    const char *fault = NULL;
    struct map dirs;

    map_init(&dirs, h, 1);
    while ((b = image_brokers_next(&w)))
        for (int n = 0; n < b->reg.dirs.n; n++)
            if (map_put(&dirs, slice_of(b->reg.dirs.v[n].b, sizeof(struct uuid)), (void *)b))
                fault = "11: a directory is one broker's";
    map_drop(&dirs);
    return fault;
}

static const char *check_settings(const struct image *i)
{
    struct image_configs w = image_configs_all(i);
    struct image_features f = image_features_all(i);
    const struct image_config *c;
    const struct image_feature *level;
    bool elr = image_feature(i, FEATURE_ELR) > 0;

    while ((c = image_configs_next(&w))) {
        if (c->type == CONFIG_TOPIC && !image_topic_by_name(i, c->resource))
            return "12: settings of a topic that exists";
        if (elr && c->type == CONFIG_BROKER && c->resource.len && slice_eq(c->name, SLICE(SETTING_MIN_ISR)))
            return "13: no broker has its own min.insync.replicas";
    }
    if (elr && !image_config(i, CONFIG_BROKER, SLICE(""), SETTING_MIN_ISR).p)
        return "13: the brokers' min.insync.replicas is set";
    while ((level = image_features_next(&f))) {
        const struct feature_row *row = feature_find(level->name);

        if (!row || level->level < row->min || level->level > row->max)
            return "14: features are supported";
    }
    return NULL;
}

static const char *check_requests(const struct image *i)
{
    struct image_requests w = image_requests_all(i);
    const struct image_request *q;
    uint64_t bytes = 0;
    uint32_t answers = 0;

    for (; (q = image_requests_next(&w)); bytes += request_size(q), answers += q->done.answer.p != NULL) {
        if (image_request(i, q->done.id, q->done.piece) != q)
            return "16: answers by their time are those by their id";
        if ((q->done.answer.p != NULL) !=
            (pmap_get(&i->answers, slice_of(q->due, sizeof(q->due))) == &q->ref))
            return "16: those that have an answer are among the answers";
    }
    return i->requests.count != i->dues.count || answers != i->answers.count || bytes != i->request_bytes
               ? "16: as many answers by time as by id, and their bytes"
               : NULL;
}

/* ---- of two ---- */

struct later {
    const char *fault;
};

static void partition_later(void *arg, const struct image_topic *topic, const struct image_partition *before,
                            const struct image_partition *after)
{
    struct later *l = arg;

    if (before && after &&
        (after->leader_epoch < before->leader_epoch || after->partition_epoch < before->partition_epoch))
        l->fault = "15: epochs of partitions only rise";
}

static void topic_later(void *arg, const struct image_topic *before, const struct image_topic *after)
{
    struct later *l = arg;

    if (before && after && after->partitions.count < before->partitions.count)
        l->fault = "15: partitions only grow";
}

static void broker_later(void *arg, const struct image_broker *before, const struct image_broker *after)
{
    struct later *l = arg;

    if (before && after && after->reg.epoch < before->reg.epoch)
        l->fault = "15: epochs of brokers only rise";
}

const char *image_invariant(const struct image *before, const struct image *after, struct heap *h)
{
    struct later l = {0};
    struct image_diff ops = {
        .partition = partition_later, .topic = topic_later, .broker = broker_later, .arg = &l};
    const char *fault = check_topics(after);

    if (!fault)
        fault = check_brokers(after, h);
    if (!fault)
        fault = check_settings(after);
    if (!fault)
        fault = check_requests(after);
    if (fault || !before)
        return fault;
    image_diff(before, after, &ops);
    if (after->next_producer_id < before->next_producer_id)
        l.fault = "15: producer ids only rise";
    return l.fault;
}
