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
    JUDGE(!before, "%s is made at %lld, was made at %lld, and nobody asked for it who may find it gone", name,
          (long long)t->offset, (long long)before->made);
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

static void in_sync_judge(const struct truth *t, const struct truth_topic *topic, int32_t index,
                          const struct truth_part *p, uint32_t came)
{
    JUDGE((p->isr & ~p->replicas) == 0, "%s-%d: at %lld its ISR is %x, its replicas %x", topic->name, index,
          (long long)t->offset, p->isr, p->replicas);
    JUDGE((p->elr & ~p->replicas) == 0 && (p->elr & p->isr) == 0,
          "%s-%d: at %lld %x are eligible, the ISR is %x, the replicas %x", topic->name, index,
          (long long)t->offset, p->elr, p->isr, p->replicas);
    JUDGE(p->leader == LEADER_NONE || (p->leader > 0 && p->leader < TRUTH_NODES && p->isr >> p->leader & 1),
          "%s-%d: at %lld %d leads, the ISR is %x", topic->name, index, (long long)t->offset, p->leader,
          p->isr);
    for (int i = 1; i < TRUTH_NODES; i++)
        JUDGE(!(came >> i & 1) || (t->brokers[i].registered && !t->brokers[i].fenced),
              "%s-%d: at %lld %d comes into the ISR, and is fenced", topic->name, index, (long long)t->offset,
              i);
}

static void part_add(struct truth *t, struct truth_topic *topic, int32_t index, struct truth_part p)
{
    int n = topic->n_part[index];

    p.from = t->offset;
    in_sync_judge(t, topic, index, &p, n > 0 ? p.isr & ~topic->part[index][n - 1].isr : p.isr);
    p.stood = p.replicas;
    p.preferred_led = p.leader == p.preferred;
    if (n > 0 && topic->part[index][n - 1].from == p.from) { /* the same batch: no image lies between them */
        p.stood |= topic->part[index][n - 1].stood;
        p.preferred_led |= topic->part[index][n - 1].preferred_led;
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
                                 .partition_epoch = r->partition_epoch,
                                 .preferred = r->replicas.v[0],
                                 .isr = bits(r->isr),
                                 .elr = bits(r->elr),
                                 .replicas = bits(r->replicas)});
}

static struct truth_part *part_now(const struct truth_topic *topic, int32_t index)
{
    return &topic->part[index][topic->n_part[index] - 1];
}

static void election_judge(const struct truth *t, const struct truth_topic *topic, int32_t index,
                           const struct truth_part *now)
{
    const struct truth_part *was = part_now(topic, index);

    JUDGE(now->leader <= 0 || now->leader == was->leader || now->recovering ||
              (was->isr | was->elr) >> now->leader & 1 || was->replicas != now->replicas,
          "%s-%d: at %lld %d is elected, the ISR was %x, eligible were %x", topic->name, index,
          (long long)t->offset, now->leader, was->isr, was->elr);
}

static void part_changed(struct truth *t, const struct record_partition_change *r)
{
    struct truth_topic *topic = own(t, &r->topic, t->offset);
    struct truth_part p;

    JUDGE(r->index >= 0 && r->index < topic->n_parts, "%s-%d changes and was never made", topic->name,
          r->index);
    p = *part_now(topic, r->index);
    p.partition_epoch++;
    if (r->leader != LEADER_SAME) {
        p.leader = r->leader;
        p.leader_epoch++;
    }
    if (r->isr.n >= 0)
        p.isr = bits(r->isr);
    if (r->replicas.n >= 0) {
        p.replicas = bits(r->replicas);
        p.preferred = r->replicas.v[0];
    }
    if (r->elr.n >= 0)
        p.elr = bits(r->elr);
    if (r->last_elr.n >= 0)
        p.elects = r->last_elr.n > 0;
    if (r->recovering >= 0)
        p.recovering = r->recovering > 0;
    election_judge(t, topic, r->index, &p);
    part_add(t, topic, r->index, p);
}

/* Of a topic, or of all. */
static void elr_cleared(struct truth *t, const struct record_clear_elr *r)
{
    for (int i = 0; i < t->n_topics; i++) {
        struct truth_topic *topic = &t->topics[i];
        bool is = topic->gone == TRUTH_EVER && (r->topic.len == 0 || slice_eq(r->topic, SLICE(topic->name)));

        for (int32_t k = 0; is && k < topic->n_parts; k++) {
            struct truth_part p = *part_now(topic, k);

            if (r->leaderless_stay && p.isr == 0)
                continue;
            p.partition_epoch += p.elr || p.elects;
            p.elr = 0;
            p.elects = false;
            part_add(t, topic, k, p);
        }
    }
}

/* Does the state of version k of a partition hold at `since`, or later? */
static bool holds_since(const struct truth_topic *t, int part, int k, int64_t since)
{
    return k + 1 == t->n_part[part] || t->part[part][k + 1].from > since;
}

bool truth_elected(const struct truth_topic *t, int part, int64_t since)
{
    for (int k = 0; k < t->n_part[part]; k++)
        if (t->part[part][k].from > since ||
            (holds_since(t, part, k, since) && t->part[part][k].preferred_led))
            return true;
    return false;
}

bool truth_replicated(const struct truth_topic *t, int part, uint32_t replicas, int64_t since)
{
    for (int k = 0; k < t->n_part[part]; k++)
        if (holds_since(t, part, k, since) && (t->part[part][k].stood & replicas) == replicas)
            return true;
    return false;
}

/* ---- brokers ---- */

static struct truth_broker *broker(struct truth *t, int32_t id)
{
    JUDGE(id > 0 && id < TRUTH_NODES, "broker %d", id);
    return &t->brokers[id];
}

static bool has_dir(const struct record_register_broker *r, const struct uuid *dir)
{
    for (int32_t i = 0; i < r->dirs.n; i++)
        if (uuid_eq(r->dirs.v[i], *dir))
            return true;
    return false;
}

static bool other_disks(const struct truth_broker *b, const struct record_register_broker *r)
{
    for (int i = 0; i < b->n_dirs; i++)
        if (!has_dir(r, &b->dirs[i]))
            return true;
    return false;
}

static void new_disk_judge(const struct truth *t, int32_t id)
{
    for (int i = 0; i < t->n_topics; i++) {
        const struct truth_topic *topic = &t->topics[i];
        for (int p = 0; p < topic->n_parts && topic->gone == TRUTH_EVER; p++) {
            const struct truth_part *part = part_now(topic, p);
            JUDGE(part->replicas == 1u << id || !((part->isr | part->elr) >> id & 1),
                  "%s-%d: broker %d comes with other disks at %lld, in ISR %x or eligible %x", topic->name, p,
                  id, (long long)t->offset, part->isr, part->elr);
        }
    }
}

static void registered(struct truth *t, const struct record_register_broker *r)
{
    struct truth_broker *b = broker(t, r->id);

    bool again = b->registered && uuid_eq(b->incarnation, r->incarnation);

    JUDGE(again ? r->epoch == b->epoch : r->epoch > b->epoch,
          "broker %d registers with epoch %lld after %lld", r->id, (long long)r->epoch, (long long)b->epoch);
    if (b->n_dirs > 0 && other_disks(b, r) && truth_level(t, TRUTH_ELR, 1, t->offset))
        new_disk_judge(t, r->id);
    for (b->n_dirs = 0; b->n_dirs < r->dirs.n && b->n_dirs < TRUTH_DIRS; b->n_dirs++)
        b->dirs[b->n_dirs] = r->dirs.v[b->n_dirs];
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
    b->removed_at = t->offset;
    b->removals++;
}

bool truth_unfenced(const struct truth *t, uint32_t brokers)
{
    for (int i = 1; i < TRUTH_NODES; i++)
        if (brokers >> i & 1 && (!t->brokers[i].registered || t->brokers[i].fenced))
            return false;
    return true;
}

/* ---- settings and features ---- */

static void level_set(struct truth *t, const struct record_feature *r)
{
    t->levels = more(t, t->levels, t->n_levels, &t->levels_room, sizeof(t->levels[0]));
    t->levels[t->n_levels] = (struct truth_level){.level = r->level, .from = t->offset};
    text(t->levels[t->n_levels++].name, r->name);
}

bool truth_level(const struct truth *t, const char *name, int level, int64_t since)
{
    int at = 0; /* nobody has set it */
    bool was = false;

    for (int i = 0; i < t->n_levels; i++) {
        if (strcmp(t->levels[i].name, name) != 0)
            continue;
        was |= t->levels[i].from > since && at == level;
        at = t->levels[i].level;
    }
    return was || at == level;
}

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
    case RECORD_CLEAR_ELR:
        elr_cleared(t, &r->clear_elr);
        break;
    case RECORD_FEATURE:
        level_set(t, &r->feature);
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
            const struct truth_part *part = part_now(topic, p);
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
