#include "cluster_truth.h"
#include "scenario.h"
#include <stdio.h>
#include <string.h>

void truth_init(struct truth *t, struct heap *h)
{
    *t = (struct truth){.heap = h, .offset = -1};
}

static void text(char to[TRUTH_NAME], struct slice s)
{
    snprintf(to, TRUTH_NAME, "%.*s", (int)s.len, (const char *)s.p);
}

/* Room for one more of `size`; arrays of n things have the room that the next power of two gives them. */
static void *more(struct truth *t, void *v, int n, int *room, size_t size)
{
    if (n < *room)
        return v;
    *room = *room ? 2 * *room : 16;
    return heap_resize(t->heap, v, (size_t)*room * size);
}

/* ---- topics ---- */

const struct truth_topic *truth_topic(const struct truth *t, const char *name)
{
    for (int i = t->n_topics - 1; i >= 0; i--)
        if (strcmp(t->topics[i].name, name) == 0)
            return &t->topics[i];
    return NULL;
}

const struct truth_topic *truth_topic_id(const struct truth *t, const struct uuid *id)
{
    for (int i = 0; i < t->n_topics; i++)
        if (uuid_eq(t->topics[i].id, *id))
            return &t->topics[i];
    return NULL;
}

static struct truth_topic *own(struct truth *t, const struct uuid *id, int64_t at)
{
    struct truth_topic *topic = (struct truth_topic *)truth_topic_id(t, id);

    JUDGE(topic && topic->gone == TRUTH_EVER, "offset %lld speaks of a topic that isn't there",
          (long long)at);
    return topic;
}

static void topic_made(struct truth *t, const struct record_topic *r)
{
    char name[TRUTH_NAME];
    const struct truth_topic *before;

    text(name, r->name);
    before = truth_topic(t, name);
    JUDGE(!before, "%s is made at %lld, and was made at %lld by the same request", name, (long long)t->offset,
          (long long)before->made);
    JUDGE(!truth_topic_id(t, &r->id), "the id of %s is another's", name);
    t->topics = more(t, t->topics, t->n_topics, &t->topics_room, sizeof(t->topics[0]));
    t->topics[t->n_topics] = (struct truth_topic){.id = r->id, .made = t->offset, .gone = TRUTH_EVER};
    memcpy(t->topics[t->n_topics++].name, name, sizeof(name));
}

/* ---- partitions ---- */

static uint32_t bits(struct ids ids)
{
    uint32_t v = 0;

    for (int32_t i = 0; i < ids.n; i++) {
        JUDGE(ids.v[i] > 0 && ids.v[i] < TRUTH_NODES && !(v >> ids.v[i] & 1), "replica %d", ids.v[i]);
        v |= 1u << ids.v[i];
    }
    return v;
}

static void part_add(struct truth *t, struct truth_topic *topic, int32_t index, struct truth_part p)
{
    int n = topic->n_part[index];

    p.from = t->offset;
    JUDGE((p.isr & ~p.replicas) == 0, "%s-%d: at %lld its ISR is %x, its replicas %x", topic->name, index,
          (long long)p.from, p.isr, p.replicas);
    JUDGE(p.leader == LEADER_NONE || (p.leader > 0 && p.leader < TRUTH_NODES && p.isr >> p.leader & 1),
          "%s-%d: at %lld %d leads, the ISR is %x", topic->name, index, (long long)p.from, p.leader, p.isr);
    if (n > 0 && topic->part[index][n - 1].from == p.from) { /* the same batch: no image lies between them */
        topic->part[index][n - 1] = p;
        return;
    }
    if ((n & (n - 1)) == 0)
        topic->part[index] =
            heap_resize(t->heap, topic->part[index], (size_t)(n ? 2 * n : 1) * sizeof(struct truth_part));
    topic->part[index][n] = p;
    topic->n_part[index]++;
}

static void part_made(struct truth *t, const struct record_partition *r)
{
    struct truth_topic *topic = own(t, &r->topic, t->offset);

    JUDGE(r->index == topic->n_parts && r->index < TRUTH_PARTS, "%s-%d: %d come before it", topic->name,
          r->index, topic->n_parts);
    topic->n_parts++;
    topic->parts_from[r->index] = t->offset;
    part_add(t, topic, r->index,
             (struct truth_part){.leader = r->leader,
                                 .leader_epoch = r->leader_epoch,
                                 .isr = bits(r->isr),
                                 .replicas = bits(r->replicas)});
}

static void part_changed(struct truth *t, const struct record_partition_change *r)
{
    struct truth_topic *topic = own(t, &r->topic, t->offset);
    struct truth_part p;

    JUDGE(r->index >= 0 && r->index < topic->n_parts, "%s-%d changes and was never made", topic->name,
          r->index);
    p = topic->part[r->index][topic->n_part[r->index] - 1];
    if (r->leader != LEADER_SAME) {
        p.leader = r->leader;
        p.leader_epoch++;
    }
    if (r->isr.n >= 0)
        p.isr = bits(r->isr);
    if (r->replicas.n >= 0)
        p.replicas = bits(r->replicas);
    part_add(t, topic, r->index, p);
}

/* ---- brokers ---- */

static struct truth_broker *broker(struct truth *t, int32_t id)
{
    JUDGE(id > 0 && id < TRUTH_NODES, "broker %d", id);
    return &t->brokers[id];
}

static void registered(struct truth *t, const struct record_register_broker *r)
{
    struct truth_broker *b = broker(t, r->id);

    bool again = b->registered && uuid_eq(b->incarnation, r->incarnation);

    JUDGE(again ? r->epoch == b->epoch : r->epoch > b->epoch,
          "broker %d registers with epoch %lld after %lld", r->id, (long long)r->epoch, (long long)b->epoch);
    b->registered = true;
    b->fenced = r->fenced;
    b->epoch = r->epoch;
    b->incarnation = r->incarnation;
    b->registrations += !again;
}

static void broker_changed(struct truth *t, const struct record_broker_change *r)
{
    struct truth_broker *b = broker(t, r->id);

    JUDGE(b->registered && r->epoch == b->epoch, "broker %d of epoch %lld changes in epoch %lld", r->id,
          (long long)b->epoch, (long long)r->epoch);
    b->fencings += r->fenced > 0 && !b->fenced;
    b->unfencings += r->fenced < 0 && b->fenced;
    b->leavings += r->in_controlled_shutdown > 0;
    if (r->fenced)
        b->fenced = r->fenced > 0;
}

/* Its number stays, and with it the epoch that the next registration has to exceed. */
static void unregistered(struct truth *t, const struct record_unregister_broker *r)
{
    struct truth_broker *b = broker(t, r->id);

    JUDGE(b->registered && r->epoch == b->epoch, "broker %d of epoch %lld is removed in epoch %lld", r->id,
          (long long)b->epoch, (long long)r->epoch);
    b->registered = false;
    b->removals++;
}

bool truth_unfenced(const struct truth *t, uint32_t brokers)
{
    for (int i = 1; i < TRUTH_NODES; i++)
        if (brokers >> i & 1 && (!t->brokers[i].registered || t->brokers[i].fenced))
            return false;
    return true;
}

/* ---- settings ---- */

static void config_set(struct truth *t, const struct record_config *r)
{
    struct truth_config *c;

    t->configs = more(t, t->configs, t->n_configs, &t->configs_room, sizeof(t->configs[0]));
    c = &t->configs[t->n_configs++];
    *c = (struct truth_config){.type = r->resource_type, .at = t->offset};
    text(c->resource, r->resource);
    text(c->name, r->name);
    text(c->value, r->value.p ? r->value : SLICE(""));
}

bool truth_had(const struct truth *t, int8_t type, const char *resource, const char *name, const char *value)
{
    for (int i = 0; i < t->n_configs; i++) {
        const struct truth_config *c = &t->configs[i];
        if (c->type == type && strcmp(c->resource, resource) == 0 && strcmp(c->name, name) == 0 &&
            strcmp(c->value, value) == 0)
            return true;
    }
    return false;
}

/* ---- batches ---- */

static void record(struct truth *t, const struct meta_record *r)
{
    switch (r->type) {
    case RECORD_TOPIC:
        topic_made(t, &r->topic);
        break;
    case RECORD_REMOVE_TOPIC:
        own(t, &r->remove_topic.id, t->offset)->gone = t->offset;
        break;
    case RECORD_PARTITION:
        part_made(t, &r->partition);
        break;
    case RECORD_PARTITION_CHANGE:
        part_changed(t, &r->partition_change);
        break;
    case RECORD_REGISTER_BROKER:
        registered(t, &r->register_broker);
        break;
    case RECORD_BROKER_CHANGE:
        broker_changed(t, &r->broker_change);
        break;
    case RECORD_UNREGISTER_BROKER:
        unregistered(t, &r->unregister_broker);
        break;
    case RECORD_CONFIG:
        config_set(t, &r->config);
        break;
    default:
        JUDGE(r->type != RECORD_BEGIN_TRANSACTION, "nobody asked for so much at once: %s",
              record_name(r->type));
    }
}

static void leaders_judge(const struct truth *t)
{
    for (int i = 0; i < t->n_topics; i++) {
        const struct truth_topic *topic = &t->topics[i];
        for (int p = 0; p < topic->n_parts && topic->gone == TRUTH_EVER; p++) {
            const struct truth_part *part = &topic->part[p][topic->n_part[p] - 1];
            const struct truth_broker *b = &t->brokers[part->leader > 0 ? part->leader : 0];
            bool alone = part->replicas == 1u << (part->leader > 0 ? part->leader : 0);
            JUDGE(part->leader == LEADER_NONE || (b->registered && (!b->fenced || alone)),
                  "%s-%d: at %lld %d leads and is fenced", topic->name, p, (long long)t->offset,
                  part->leader);
        }
    }
}

void truth_batch(struct truth *t, const struct batch_content *c)
{
    JUDGE(c->last_offset > t->offset, "offset %lld behind %lld", (long long)c->last_offset,
          (long long)t->offset);
    if (c->is_control)
        return;
    t->offset = c->last_offset;
    for (int i = 0; i < c->n; i++)
        record(t, &c->records[i]);
    leaders_judge(t);
}
