#include "base/check.h"
#include "base/map.h"
#include "metadata/decide.h"
#include "metadata/mentions.h"
#include "metadata/topic_name.h"
#include "proto_gen.h"
#include <stdio.h>

/* CreateTopics and CreatePartitions, in steps: rules and messages are Kafka's. All of a topic is checked before its first
 * record, so what has begun comes to its end: brokers don't change while a decision is made. */

enum { PARTITIONS_PER_REQUEST_MAX = 10000 };

typedef struct CreateTopicsRequest_CreatableTopic new_topic;
typedef struct CreateTopicsResponse_CreatableTopicResult new_topic_result;

struct api_error check_topic_name(struct ctl_out *o, struct slice name)
{
    const enum err bad = E_INVALID_TOPIC_EXCEPTION;

    switch (topic_name_fault(name)) {
    case TOPIC_NAME_FINE:
        return API_OK;
    case TOPIC_NAME_EMPTY:
        return api_error(o, bad, "Topic name is invalid: the empty string is not allowed");
    case TOPIC_NAME_DOTS:
        return api_error(o, bad, "Topic name is invalid: '%.*s' is not allowed", SLICE_ARG(name));
    case TOPIC_NAME_LONG:
        return api_error(
            o, bad, "Topic name is invalid: the length of '%.*s' is longer than the max allowed length %d",
            SLICE_ARG(name), TOPIC_NAME_MAX);
    case TOPIC_NAME_CHARS:
        break;
    }
    return api_error(o, bad,
                     "Topic name is invalid: '%.*s' contains one or more characters other than ASCII "
                     "alphanumerics, '.', '_' and '-'",
                     SLICE_ARG(name));
}

/* ---- partitions that come ---- */

/* Of one topic; next == end: none. */
struct spread {
    struct uuid topic;
    int next;
    int end;
    int factor;
    int first;                 /* the first of them */
    struct placer *placer;     /* places them, unless … */
    const struct ids *by_hand; /* … the request did, from `first` on */
    bool kept;                 /* the placer lies where it lasts from step to step */
};

/* true: they are all there. A topic's first partition goes with the topic. */
static bool spread_step(const struct image *tip, struct spread *s, struct ctl_out *o)
{
    while (s->next < s->end) {
        struct ids replicas;

        if (s->next > 0 && ctl_pause(o)) {
            s->placer = s->by_hand || s->kept ? s->placer : placer_keep(s->placer, o->arena);
            s->kept = true;
            return false;
        }
        if (s->by_hand) {
            replicas = s->by_hand[s->next - s->first];
        } else {
            int32_t *v = arena_alloc(o->work, (size_t)s->factor * sizeof(*v));

            placer_next(s->placer, v);
            replicas = (struct ids){v, s->factor};
        }
        ASSERT(partition_emit(tip, o, s->topic, s->next, replicas, s->next == 0));
        s->next++;
    }
    return true;
}

/* Replicas that a request names for the partitions of one topic, checked in steps; v == NULL: not begun. */
struct hand {
    struct ids *v; /* by index, from `first` on */
    int n;
    int first;
    int factor; /* of the others; -1: there are none */
    int checked;
    struct api_error e;
};

static void hand_begin(struct hand *h, struct ctl_out *o, int n, int first, int factor)
{
    *h = (struct hand){.n = n, .first = first, .factor = factor};
    h->v = arena_alloc(o->arena, ((size_t)n + 1) * sizeof(*h->v));
}

static struct api_error hand_check(const struct image *tip, struct ctl_out *o, struct hand *h, int index,
                                   struct ids replicas)
{
    bool known = index >= 0 && index < h->n;
    struct api_error e;

    if (known && h->v[index].n)
        return api_error(o, E_INVALID_REPLICA_ASSIGNMENT,
                         "Found multiple manual partition assignments for partition %d", index);
    e = check_manual(tip, o, replicas, h->factor);
    if (e.err)
        return e;
    h->factor = replicas.n;
    if (known)
        h->v[index] = replicas;
    for (int i = 0; i < replicas.n; i++)
        if (broker_active(tip, replicas.v[i]))
            return API_OK;
    return api_error(
        o, E_INVALID_REPLICA_ASSIGNMENT,
        "All brokers specified in the manual partition assignment for partition %d are fenced or "
        "in controlled shutdown.",
        h->first + index);
}

/* true: all are checked, or h->e says what is wrong. */
static bool hand_step(const struct image *tip, struct ctl_out *o, struct hand *h,
                      struct ids (*of)(const void *topic, int i, int *index), const void *topic)
{
    for (; h->checked < h->n && !h->e.err; h->checked++) {
        struct ids replicas;
        int index;

        if (ctl_pause(o))
            return false;
        o->cost += h->checked % 8 == 0;
        replicas = of(topic, h->checked, &index);
        h->e = hand_check(tip, o, h, index, replicas);
    }
    for (int i = 0; i < h->n && !h->e.err; i++)
        if (h->v[i].n == 0)
            h->e = api_error(o, E_INVALID_REPLICA_ASSIGNMENT,
                             "partitions should be a consecutive 0-based integer sequence");
    return true;
}

/* ---- CreateTopics ---- */

static struct api_error check_new_name(const struct image *tip, struct ctl_out *o, struct slice name)
{
    struct api_error e = check_topic_name(o, name);
    struct slice other;

    if (e.err)
        return e;
    if (image_topic_by_name(tip, name))
        return api_error(o, E_TOPIC_ALREADY_EXISTS, "Topic '%.*s' already exists.", SLICE_ARG(name));
    other = image_name_collision(tip, name);
    if (other.p)
        return api_error(o, E_INVALID_TOPIC_EXCEPTION, "Topic '%.*s' collides with existing topic: %.*s",
                         SLICE_ARG(name), SLICE_ARG(other));
    return API_OK;
}

/* What CreateTopics tells of the new topic's settings: dynamic ones before static ones. */
static struct slice effective(const struct image *tip, struct ctl_out *o, const struct config_change *v,
                              int n, const struct ctl_topic_config *row, int8_t *source)
{
    char id[16];
    struct slice value;

    for (int i = 0; i < n; i++)
        if (slice_eq(v[i].name, row->name) && v[i].value.p)
            return *source = 1, v[i].value; /* DYNAMIC_TOPIC_CONFIG */
    if (row->broker_name) {
        int len = snprintf(id, sizeof(id), "%d", o->rules->node_id);

        value = image_config(tip, CONFIG_BROKER, slice_of(id, (size_t)len), row->broker_name);
        if (value.p)
            return *source = 2, value; /* DYNAMIC_BROKER_CONFIG */
        value = image_config(tip, CONFIG_BROKER, SLICE(""), row->broker_name);
        if (value.p)
            return *source = 3, value; /* DYNAMIC_DEFAULT_BROKER_CONFIG */
    }
    *source = row->source;
    return row->value;
}

static void describe_configs(const struct image *tip, struct ctl_out *o, const struct config_change *v, int n,
                             new_topic_result *result)
{
    struct ctl_topic_config row;
    int count = 0;

    while (o->rules->topic_config(o->rules->arg, count, &row))
        count++;
    PROTO_ARRAY_NEW(o->arena, CreateTopicsResponse_CreatableTopicConfigs, result->configs, count);
    o->cost += count / 2;
    for (int i = 0; o->rules->topic_config(o->rules->arg, i, &row); i++) {
        struct CreateTopicsResponse_CreatableTopicConfigs *c = &result->configs.v[i];

        c->name = row.name;
        c->value = effective(tip, o, v, n, &row, &c->config_source);
        c->is_sensitive = row.sensitive;
        if (row.sensitive)
            c->value = SLICE_NULL;
        else if (c->config_source < 4) /* lent by the image or the request: the reply may outlive both */
            c->value = arena_copy(o->arena, c->value);
    }
}

static struct ids new_hand(const void *topic, int i, int *index)
{
    const struct CreateTopicsRequest_CreatableReplicaAssignment *a =
        &((const new_topic *)topic)->assignments.v[i];

    *index = a->partition_index;
    return (struct ids){a->broker_ids.v, a->broker_ids.n};
}

static struct api_error place_new(const struct image *tip, const new_topic *t, struct ctl_out *o,
                                  const struct hand *h, struct spread *s)
{
    struct api_error e;

    *s = (struct spread){.end = h->n, .factor = h->factor, .by_hand = h->v};
    if (t->assignments.n > 0 && t->replication_factor != -1)
        return api_error(
            o, E_INVALID_REQUEST,
            "A manual partition assignment was specified, but replication factor was not set to -1.");
    if (t->assignments.n > 0 && t->num_partitions != -1)
        return api_error(o, E_INVALID_REQUEST,
                         "A manual partition assignment was specified, but numPartitions was not set to -1.");
    if (t->assignments.n > 0)
        return h->e;
    if (t->replication_factor < -1 || t->replication_factor == 0)
        return api_error(o, E_INVALID_REPLICATION_FACTOR,
                         "Replication factor must be larger than 0, or -1 to use the default value.");
    if (t->num_partitions < -1 || t->num_partitions == 0)
        return api_error(o, E_INVALID_PARTITIONS,
                         "Number of partitions was set to an invalid non-positive value.");
    s->end = t->num_partitions == -1 ? o->rules->default_partitions : t->num_partitions;
    s->factor = t->replication_factor == -1 ? o->rules->default_replication_factor : t->replication_factor;
    e = placer_new(tip, o, s->factor, &s->placer);
    if (e.err)
        return api_error(o, e.err, "Unable to replicate the partition %d time(s): %.*s", s->factor,
                         SLICE_ARG(e.text));
    return API_OK;
}

/* What a new topic says of its settings; of one that is said twice the last counts. Room for all of them; how many there are. */
static int new_configs(const new_topic *t, struct ctl_out *o, struct config_change *v)
{
    struct map seen; /* name → its place in v */
    int n = 0;

    map_init(&seen, o->work->heap, ctl_random(o));
    for (int i = 0; i < t->configs.n; i++) {
        struct config_change c = {t->configs.v[i].name, t->configs.v[i].value};
        struct config_change *at = map_get(&seen, c.name);

        if (!at)
            (void)map_put(&seen, c.name, at = &v[n++]);
        *at = c;
    }
    map_drop(&seen);
    return n;
}

static struct api_error check_new_configs(const struct image *tip, const new_topic *t, struct ctl_out *o,
                                          const struct config_change *v, int n)
{
    for (int i = 0; i < t->configs.n; i++)
        if (!t->configs.v[i].value.p)
            return api_error(o, E_INVALID_CONFIG, "Null value not supported for topic configs: %.*s",
                             SLICE_ARG(t->configs.v[i].name));
    return check_configs(tip, o, CONFIG_TOPIC, t->name, v, n);
}

/* The id of the request's i-th topic. It comes from the request's own, so that a request whose answer was lost, and which
 * comes again, knows the topic that it has made. */
static struct uuid own_uuid(const struct ctl_out *o, int i)
{
    struct uuid u = o->id;

    u.b[0] &= 0x7f; /* its text doesn't begin with a hyphen */
    u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x40);
    u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
    for (int at = 0; at < 4; at++)
        u.b[12 + at] ^= (uint8_t)(i >> 8 * at);
    return u;
}

static struct uuid topic_uuid(const struct image *tip, struct ctl_out *o, int i)
{
    struct uuid u = own_uuid(o, i);

    return uuid_is_zero(o->id) || image_topic_by_id(tip, u) ? ctl_uuid(o) : u;
}

/* The topic that this very request has made when it came before; NULL: none. */
static const struct image_topic *made_before(const struct image *tip, const struct ctl_out *o,
                                             struct slice name, int i)
{
    const struct image_topic *t = uuid_is_zero(o->id) ? NULL : image_topic_by_name(tip, name);

    return t && uuid_eq(t->id, own_uuid(o, i)) ? t : NULL;
}

static void tell_topic(const struct image *tip, struct ctl_out *o, const struct config_change *configs, int n,
                       const struct spread *s, new_topic_result *result)
{
    result->topic_id = s->topic;
    result->num_partitions = s->end;
    result->replication_factor = (int16_t)s->factor;
    if (o->version >= 5)
        describe_configs(tip, o, configs, n, result);
}

/* The topic and its settings; `to` has its partitions, the first of which must come next. */
static struct api_error create_topic(const struct image *tip, const new_topic *t, int at, struct ctl_out *o,
                                     const struct hand *h, struct spread *to, new_topic_result *result)
{
    struct config_change *configs = arena_alloc(o->work, ((size_t)t->configs.n + 1) * sizeof(*configs));
    const struct image_topic *before = made_before(tip, o, t->name, at);
    struct api_error e = before ? API_OK : check_new_name(tip, o, t->name);
    struct spread s;
    int n = new_configs(t, o, configs);

    if (!e.err)
        e = check_new_configs(tip, t, o, configs, n);
    if (!e.err && before) {
        s = (struct spread){.topic = before->id,
                            .end = (int)before->partitions.count,
                            .factor = image_partition(before, 0)->n_replicas};
        tell_topic(tip, o, configs, n, &s, result);
        o->retold = true;
        return API_OK;
    }
    if (!e.err)
        e = place_new(tip, t, o, h, &s);
    if (e.err)
        return e;
    s.topic = topic_uuid(tip, o, at);
    ctl_emit(o, RECORD_TOPIC, false)->topic = (struct record_topic){.name = t->name, .id = s.topic};
    for (int i = 0; i < n; i++)
        ctl_emit(o, RECORD_CONFIG, true)->config = (struct record_config){.resource_type = CONFIG_TOPIC,
                                                                          .resource = t->name,
                                                                          .name = configs[i].name,
                                                                          .value = configs[i].value};
    tell_topic(tip, o, configs, n, &s, result);
    *to = s;
    return API_OK;
}

static int partitions_asked(const new_topic *t, const struct ctl_out *o)
{
    return t->assignments.n > 0      ? t->assignments.n
           : t->num_partitions == -1 ? o->rules->default_partitions
           : t->num_partitions > 0   ? t->num_partitions
                                     : 0;
}

/* More partitions than Kafka makes in one request? */
static bool too_many(const struct CreateTopicsRequest *req, const struct ctl_out *o)
{
    int64_t sum = 0;

    for (int i = 0; i < req->topics.n; i++)
        sum += partitions_asked(&req->topics.v[i], o);
    return sum > PARTITIONS_PER_REQUEST_MAX;
}

/* Of a topic's records, about: what is in them, and each replica with its directory, in three lists and one. */
static size_t bytes_asked(const new_topic *t, const struct ctl_out *o)
{
    enum { RECORD = 64, REPLICA = 40 };
    size_t sum = (size_t)partitions_asked(t, o) * RECORD;
    int factor = t->replication_factor > 0 ? t->replication_factor : o->rules->default_replication_factor;

    for (int i = 0; i < t->configs.n; i++)
        sum += RECORD + t->name.len + t->configs.v[i].name.len + t->configs.v[i].value.len;
    for (int i = 0; i < t->assignments.n; i++)
        sum += (size_t)t->assignments.v[i].broker_ids.n * REPLICA;
    if (t->assignments.n <= 0)
        sum += (size_t)partitions_asked(t, o) * (size_t)factor * REPLICA;
    return sum;
}

/* Does a single topic need more records, or more bytes, than a batch has room for? Nobody may see a part of it. */
static bool has_large(const struct CreateTopicsRequest *req, const struct ctl_out *o)
{
    for (int i = 0; i < req->topics.n; i++)
        if (partitions_asked(&req->topics.v[i], o) + req->topics.v[i].configs.n >= CTL_BATCH_MAX ||
            bytes_asked(&req->topics.v[i], o) > CTL_BATCH_BYTES)
            return true;
    return false;
}

/* A decision topic by topic: how far it is, and how often each topic's name stands in the request; 0: it was answered. */
struct by_topic {
    struct mentions names;
    int counted;
    int at;
    bool excessive;
    int grown; /* partitions that are added */
    struct hand hand;
    struct spread spread;
};

static struct by_topic *by_topic_new(struct ctl_out *o, int n)
{
    struct by_topic *s = o->state = arena_alloc(o->arena, sizeof(*s));

    mentions_init(&s->names, o->arena, ctl_random(o), n);
    return s;
}

/* Counts on. true: all are counted. */
static bool by_topic_count(struct by_topic *s, struct slice (*name)(const void *req, int i), const void *req,
                           int n, struct ctl_out *o)
{
    for (; s->counted < n && !ctl_pause(o); s->counted++) {
        mentions_add(&s->names, name(req, s->counted));
        o->cost += s->counted % 16 == 0;
    }
    return s->counted == n;
}

static struct slice new_name(const void *req, int i)
{
    return ((const struct CreateTopicsRequest *)req)->topics.v[i].name;
}

static struct by_topic *create_begin(const struct CreateTopicsRequest *req, struct CreateTopicsResponse *resp,
                                     struct ctl_out *o)
{
    struct by_topic *s = by_topic_new(o, req->topics.n);

    s->excessive = too_many(req, o);
    if (!req->validate_only && has_large(req, o))
        o->together = "CreateTopics";
    PROTO_ARRAY_NEW(o->arena, CreateTopicsResponse_CreatableTopicResult, resp->topics, req->topics.n);
    resp->topics.n = 0;
    return s;
}

static void create_one(const struct image *tip, const struct CreateTopicsRequest *req, int i, int times,
                       struct by_topic *s, struct ctl_out *o, new_topic_result *result)
{
    const new_topic *t = &req->topics.v[i];
    struct api_error e;

    result->name = t->name;
    result->error_message = SLICE_NULL;
    if (times > 1)
        e = api_error(o, E_INVALID_REQUEST, "Duplicate topic name.");
    else if (slice_eq(t->name, SLICE(METADATA_TOPIC)))
        e = api_error(o, E_INVALID_REQUEST, "Creation of internal topic " METADATA_TOPIC " is prohibited.");
    else if (s->excessive)
        e = api_error(o, E_POLICY_VIOLATION, "Excessively large number of partitions per request.");
    else
        e = create_topic(tip, t, i, o, &s->hand, &s->spread, result);
    if (e.err)
        o->cost++;
    api_error_set(e, &result->error_code, &result->error_message);
}

void decide_create_topics(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct CreateTopicsRequest *req = in;
    struct CreateTopicsResponse *resp = out;
    struct by_topic *s = o->state ? o->state : create_begin(req, resp, o);

    if (!by_topic_count(s, new_name, req, req->topics.n, o))
        return;
    while (spread_step(tip, &s->spread, o) && s->at < req->topics.n && !ctl_pause(o)) {
        const new_topic *t = &req->topics.v[s->at];
        int *times = mentions_of(&s->names, t->name);

        if (*times == 1 && !s->excessive && t->assignments.n > 0) {
            if (!s->hand.v)
                hand_begin(&s->hand, o, t->assignments.n, 0, -1);
            if (!hand_step(tip, o, &s->hand, new_hand, t))
                break;
        }
        if (*times > 0)
            create_one(tip, req, s->at, *times, s, o, &resp->topics.v[resp->topics.n++]);
        s->at++;
        *times = 0;
        s->hand = (struct hand){0};
        if (req->validate_only)
            s->spread.end = s->spread.next;
    }
    if (req->validate_only)
        o->n = 0;
}

/* ---- CreateTopics, told again ---- */

const void *create_topics_slim(const void *out, struct arena *a)
{
    const struct CreateTopicsResponse *whole = out;
    struct CreateTopicsResponse *slim = arena_alloc(a, sizeof(*slim));

    *slim = *whole;
    slim->topics.v = arena_alloc(a, ((size_t)whole->topics.n + 1) * sizeof(*slim->topics.v));
    for (int i = 0; i < whole->topics.n; i++) {
        slim->topics.v[i] = whole->topics.v[i];
        if (slim->topics.v[i].configs.n > 0)
            slim->topics.v[i].configs.n = 0;
    }
    return slim;
}

/* How far it is: a topic that the request names twice is answered once, at its first mention. */
struct told {
    int asked, answered;
};

void create_topics_retell(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct CreateTopicsRequest *req = in;
    const struct CreateTopicsResponse *resp = out;
    struct told *s = o->state ? o->state : (o->state = arena_alloc(o->arena, sizeof(*s)));

    for (; s->asked < req->topics.n && s->answered < resp->topics.n && !ctl_pause(o); s->asked++) {
        const new_topic *t = &req->topics.v[s->asked];
        new_topic_result *result = &resp->topics.v[s->answered];
        struct config_change *configs;

        o->cost++;
        if (!slice_eq(t->name, result->name))
            continue;
        s->answered++;
        if (result->error_code || o->version < 5)
            continue;
        configs = arena_alloc(o->work, ((size_t)t->configs.n + 1) * sizeof(*configs));
        describe_configs(tip, o, configs, new_configs(t, o, configs), result);
    }
}

/* ---- CreatePartitions ---- */

typedef struct CreatePartitionsRequest_CreatePartitionsTopic grown;

static struct ids grown_hand(const void *topic, int i, int *index)
{
    const struct CreatePartitionsRequest_CreatePartitionsAssignment *a =
        &((const grown *)topic)->assignments.v[i];

    *index = i;
    return (struct ids){a->broker_ids.v, a->broker_ids.n};
}

/* Checks what is asked for by hand. true: as far as need be. */
static bool grow_by_hand(const struct image *tip, const grown *g, struct by_topic *s, struct ctl_out *o)
{
    const struct image_topic *t = image_topic_by_name(tip, g->name);

    if (!t || g->assignments.n <= 0 || g->count <= 0 ||
        (int64_t)g->count - t->partitions.count != g->assignments.n ||
        g->assignments.n > PARTITIONS_PER_REQUEST_MAX)
        return true; /* it is refused anyway */
    if (!s->hand.v)
        hand_begin(&s->hand, o, g->assignments.n, (int)t->partitions.count,
                   image_partition(t, 0)->n_replicas);
    return hand_step(tip, o, &s->hand, grown_hand, g);
}

static struct api_error grow_topic(const struct image *tip, const grown *g, struct by_topic *all,
                                   struct ctl_out *o)
{
    const struct image_topic *t = image_topic_by_name(tip, g->name);
    struct api_error e;
    struct spread s;
    int count;

    if (!t)
        return api_error_plain(E_UNKNOWN_TOPIC_OR_PARTITION);
    count = (int)t->partitions.count;
    if (g->count == count)
        return api_error(o, E_INVALID_PARTITIONS, "Topic already has %d partition(s).", count);
    if (g->count < count)
        return api_error(o, E_INVALID_PARTITIONS,
                         "The topic %.*s currently has %d partition(s); %d would not be an increase.",
                         SLICE_ARG(g->name), count, g->count);
    if (g->assignments.n >= 0 && g->assignments.n != g->count - count)
        return api_error(
            o, E_INVALID_REPLICA_ASSIGNMENT,
            "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.",
            g->count - count, g->assignments.n);
    if (all->grown + g->count - count > PARTITIONS_PER_REQUEST_MAX)
        return api_error(o, E_POLICY_VIOLATION, "Unable to perform excessively large batch operation.");
    s = (struct spread){.topic = t->id,
                        .first = count,
                        .next = count,
                        .end = g->count,
                        .factor = image_partition(t, 0)->n_replicas,
                        .by_hand = all->hand.v};
    e = g->assignments.n >= 0 ? all->hand.e : placer_new(tip, o, s.factor, &s.placer);
    if (e.err)
        return e;
    all->grown += g->count - count;
    all->spread = s;
    return API_OK;
}

static struct slice grown_name(const void *req, int i)
{
    return ((const struct CreatePartitionsRequest *)req)->topics.v[i].name;
}

static struct by_topic *grow_begin(const struct CreatePartitionsRequest *req,
                                   struct CreatePartitionsResponse *resp, struct ctl_out *o)
{
    struct by_topic *s = by_topic_new(o, req->topics.n);

    PROTO_ARRAY_NEW(o->arena, CreatePartitionsResponse_CreatePartitionsTopicResult, resp->results,
                    req->topics.n);
    resp->results.n = 0;
    return s;
}

/* Does a single topic get more partitions than a batch has room for? */
static bool grows_much(const struct image *tip, const struct CreatePartitionsRequest *req)
{
    for (int i = 0; i < req->topics.n; i++) {
        const grown *g = &req->topics.v[i];
        const struct image_topic *t = g->count > CTL_BATCH_MAX ? image_topic_by_name(tip, g->name) : NULL;

        if (t && g->count - (int64_t)t->partitions.count > CTL_BATCH_MAX)
            return true;
    }
    return false;
}

void decide_create_partitions(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct CreatePartitionsRequest *req = in;
    struct CreatePartitionsResponse *resp = out;
    struct by_topic *s = o->state;

    if (!s) {
        s = grow_begin(req, resp, o);
        if (!req->validate_only && grows_much(tip, req))
            o->together = "CreatePartitions";
    }
    if (!by_topic_count(s, grown_name, req, req->topics.n, o))
        return;
    while (spread_step(tip, &s->spread, o) && s->at < req->topics.n && !ctl_pause(o)) {
        const grown *g = &req->topics.v[s->at];
        int *times = mentions_of(&s->names, g->name);
        struct CreatePartitionsResponse_CreatePartitionsTopicResult *result;
        struct api_error e;

        if (*times == 1 && !grow_by_hand(tip, g, s, o))
            break;
        s->at++;
        if (*times == 0)
            continue;
        e = *times > 1 ? api_error(o, E_INVALID_REQUEST, "Duplicate topic name.") : grow_topic(tip, g, s, o);
        *times = 0;
        s->hand = (struct hand){0};
        o->cost += e.err != E_OK;
        result = &resp->results.v[resp->results.n++];
        result->name = g->name;
        api_error_set(e, &result->error_code, &result->error_message);
        if (req->validate_only)
            s->spread.end = s->spread.next;
    }
    if (req->validate_only)
        o->n = 0;
}
