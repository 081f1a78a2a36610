#include "base/check.h"
#include "base/map.h"
#include "metadata/decide.h"
#include "metadata/topic_name.h"
#include "proto_gen.h"
#include <stdio.h>

/* CreateTopics, DeleteTopics, CreatePartitions: rules and messages are Kafka's. */

enum { PARTITIONS_PER_REQUEST_MAX = 10000 };
#define METADATA_TOPIC "__cluster_metadata"

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

/* How often each name occurs in a request. */
struct tally {
    struct map map;
    int *counts;
};

static void tally_init(struct tally *t, struct ctl_out *o, int n)
{
    map_init(&t->map, o->work->heap, ctl_random(o));
    t->counts = arena_alloc(o->work, ((size_t)n + 1) * sizeof(int));
}

static int *tally_of(struct tally *t, struct slice name)
{
    return map_get(&t->map, name);
}

static void tally_add(struct tally *t, struct slice name)
{
    int *count = tally_of(t, name);

    if (!count) {
        count = t->counts++;
        (void)map_put(&t->map, name, count);
    }
    ++*count;
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

/* Emits the partitions of a topic that says which brokers hold them. */
static struct api_error place_by_hand(const struct image *tip, const new_topic *t, struct ctl_out *o,
                                      struct uuid id, int *factor)
{
    int n = t->assignments.n;
    const struct CreateTopicsRequest_CreatableReplicaAssignment **by_index =
        arena_alloc(o->work, (size_t)n * sizeof(*by_index));

    *factor = -1;
    if (t->replication_factor != -1)
        return api_error(
            o, E_INVALID_REQUEST,
            "A manual partition assignment was specified, but replication factor was not set to -1.");
    if (t->num_partitions != -1)
        return api_error(o, E_INVALID_REQUEST,
                         "A manual partition assignment was specified, but numPartitions was not set to -1.");
    for (int i = 0; i < n; i++) {
        const struct CreateTopicsRequest_CreatableReplicaAssignment *a = &t->assignments.v[i];
        struct ids replicas = {a->broker_ids.v, a->broker_ids.n};
        struct api_error e;
        bool active = false;

        if (a->partition_index >= 0 && a->partition_index < n && by_index[a->partition_index])
            return api_error(o, E_INVALID_REPLICA_ASSIGNMENT,
                             "Found multiple manual partition assignments for partition %d",
                             a->partition_index);
        e = check_manual(tip, o, replicas, *factor);
        if (e.err)
            return e;
        *factor = replicas.n;
        for (int j = 0; j < replicas.n; j++)
            active |= broker_active(tip, replicas.v[j]);
        if (!active)
            return api_error(
                o, E_INVALID_REPLICA_ASSIGNMENT,
                "All brokers specified in the manual partition assignment for partition %d are fenced or "
                "in controlled shutdown.",
                a->partition_index);
        if (a->partition_index >= 0 && a->partition_index < n)
            by_index[a->partition_index] = a;
    }
    for (int i = 0; i < n; i++)
        if (!by_index[i])
            return api_error(o, E_INVALID_REPLICA_ASSIGNMENT,
                             "partitions should be a consecutive 0-based integer sequence");
    for (int i = 0; i < n; i++)
        (void)partition_emit(tip, o, id, i,
                             (struct ids){by_index[i]->broker_ids.v, by_index[i]->broker_ids.n}, i == 0);
    return API_OK;
}

/* Emits partitions first … first + n - 1, placed by us. */
static struct api_error place(const struct image *tip, struct ctl_out *o, struct uuid id, int first, int n,
                              int factor, bool glued)
{
    struct placer *p;
    struct api_error e = placer_new(tip, o, factor, &p);

    if (e.err)
        return e;
    ctl_expect(o, n);
    for (int i = 0; i < n; i++) {
        int32_t *replicas = arena_alloc(o->work, (size_t)factor * sizeof(*replicas));

        placer_next(p, replicas);
        if (!partition_emit(tip, o, id, first + i, (struct ids){replicas, factor}, glued && i == 0))
            return api_error(o, E_INVALID_REPLICATION_FACTOR,
                             "All brokers are currently fenced or in controlled shutdown.");
    }
    return API_OK;
}

static struct api_error place_new(const struct image *tip, const new_topic *t, struct ctl_out *o,
                                  struct uuid id, int *n, int *factor)
{
    struct api_error e;

    if (t->assignments.n > 0) {
        *n = t->assignments.n;
        return place_by_hand(tip, t, o, id, factor);
    }
    if (t->replication_factor < -1 || t->replication_factor == 0)
        return api_error(o, E_INVALID_REPLICATION_FACTOR,
                         "Replication factor must be larger than 0, or -1 to use the default value.");
    if (t->num_partitions < -1 || t->num_partitions == 0)
        return api_error(o, E_INVALID_PARTITIONS,
                         "Number of partitions was set to an invalid non-positive value.");
    *n = t->num_partitions == -1 ? o->rules->default_partitions : t->num_partitions;
    *factor = t->replication_factor == -1 ? o->rules->default_replication_factor : t->replication_factor;
    e = place(tip, o, id, 0, *n, *factor, true);
    if (e.err)
        return api_error(o, e.err, "Unable to replicate the partition %d time(s): %.*s", *factor,
                         SLICE_ARG(e.text));
    return API_OK;
}

/* What a new topic says of its settings; of one that is said twice the last counts. */
static struct api_error new_configs(const struct image *tip, const new_topic *t, struct ctl_out *o,
                                    struct config_change *v, int *n)
{
    struct map seen; /* name → its place in v */

    *n = 0;
    map_init(&seen, o->work->heap, ctl_random(o));
    for (int i = 0; i < t->configs.n; i++) {
        struct config_change c = {t->configs.v[i].name, t->configs.v[i].value};
        struct config_change *at = map_get(&seen, c.name);

        if (!c.value.p) {
            map_drop(&seen);
            return api_error(o, E_INVALID_CONFIG, "Null value not supported for topic configs: %.*s",
                             SLICE_ARG(c.name));
        }
        if (!at)
            (void)map_put(&seen, c.name, at = &v[(*n)++]);
        *at = c;
    }
    map_drop(&seen);
    return check_configs(tip, o, CONFIG_TOPIC, t->name, v, *n);
}

static struct api_error create_topic(const struct image *tip, const new_topic *t, struct ctl_out *o,
                                     new_topic_result *result)
{
    struct config_change *configs = arena_alloc(o->work, ((size_t)t->configs.n + 1) * sizeof(*configs));
    struct uuid id = ctl_uuid(o);
    struct api_error e = check_new_name(tip, o, t->name);
    struct meta_record *r;
    int n = 0, n_configs, factor = 0;

    if (e.err)
        return e;
    e = new_configs(tip, t, o, configs, &n_configs);
    if (e.err)
        return e;
    r = ctl_emit(o, RECORD_TOPIC, false);
    r->topic = (struct record_topic){.name = t->name, .id = id};
    for (int i = 0; i < n_configs; i++) {
        r = ctl_emit(o, RECORD_CONFIG, true);
        r->config = (struct record_config){.resource_type = CONFIG_TOPIC,
                                           .resource = t->name,
                                           .name = configs[i].name,
                                           .value = configs[i].value};
    }
    e = place_new(tip, t, o, id, &n, &factor);
    if (e.err)
        return e;
    result->topic_id = id;
    result->num_partitions = n;
    result->replication_factor = (int16_t)factor;
    if (o->version >= 5)
        describe_configs(tip, o, configs, n_configs, result);
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

/* Does a single topic need more records than a batch has room for? Nobody may see a part of it. */
static bool has_large(const struct CreateTopicsRequest *req, const struct ctl_out *o)
{
    for (int i = 0; i < req->topics.n; i++)
        if (partitions_asked(&req->topics.v[i], o) + req->topics.v[i].configs.n >= CTL_BATCH_MAX)
            return true;
    return false;
}

/* A decision topic by topic, in steps: how far it is, and how often each topic's name stands in the request; 0: it was
 * answered. */
struct by_topic {
    int at;
    bool excessive;
    int grown; /* partitions that were added */
    int *times;
};

static void by_topic_begin(struct ctl_out *o, struct by_topic *s, const struct slice *names, int n)
{
    struct tally t;

    tally_init(&t, o, n);
    s->times = arena_alloc(o->arena, ((size_t)n + 1) * sizeof(*s->times));
    for (int i = 0; i < n; i++)
        tally_add(&t, names[i]);
    for (int i = 0; i < n; i++) {
        int *count = tally_of(&t, names[i]);

        s->times[i] = *count;
        *count = 0; /* for those that come again */
    }
    map_drop(&t.map);
    o->state = s;
}

static struct by_topic *create_begin(const struct CreateTopicsRequest *req, struct CreateTopicsResponse *resp,
                                     struct ctl_out *o)
{
    struct by_topic *s = arena_alloc(o->arena, sizeof(*s));
    struct slice *names = arena_alloc(o->work, ((size_t)req->topics.n + 1) * sizeof(*names));

    for (int i = 0; i < req->topics.n; i++)
        names[i] = req->topics.v[i].name;
    by_topic_begin(o, s, names, req->topics.n);
    s->excessive = too_many(req, o);
    PROTO_ARRAY_NEW(o->arena, CreateTopicsResponse_CreatableTopicResult, resp->topics, req->topics.n);
    resp->topics.n = 0;
    return s;
}

static void create_one(const struct image *tip, const new_topic *t, int times, bool excessive,
                       struct ctl_out *o, new_topic_result *result)
{
    int before = o->n;
    struct api_error e;

    result->name = t->name;
    result->error_message = SLICE_NULL;
    if (times > 1)
        e = api_error(o, E_INVALID_REQUEST, "Duplicate topic name.");
    else if (slice_eq(t->name, SLICE(METADATA_TOPIC)))
        e = api_error(o, E_INVALID_REQUEST, "Creation of internal topic " METADATA_TOPIC " is prohibited.");
    else if (excessive)
        e = api_error(o, E_POLICY_VIOLATION, "Excessively large number of partitions per request.");
    else
        e = create_topic(tip, t, o, result);
    if (e.err) {
        o->n = before;
        proto_defaults(&CreateTopicsResponse_CreatableTopicResult_type, result);
        result->name = t->name;
    }
    api_error_set(e, &result->error_code, &result->error_message);
}

void decide_create_topics(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct CreateTopicsRequest *req = in;
    struct CreateTopicsResponse *resp = out;
    struct by_topic *s = o->state ? o->state : create_begin(req, resp, o);

    if (!req->validate_only && has_large(req, o))
        o->together = "CreateTopics";
    while (s->at < req->topics.n && !ctl_pause(o)) {
        int i = s->at++;

        if (s->times[i] > 0)
            create_one(tip, &req->topics.v[i], s->times[i], s->excessive, o,
                       &resp->topics.v[resp->topics.n++]);
    }
    if (req->validate_only)
        o->n = 0;
}

/* ---- DeleteTopics ---- */

typedef struct DeleteTopicsResponse_DeletableTopicResult deleted;

static deleted *delete_result(struct DeleteTopicsResponse *resp, struct slice name, struct uuid id,
                              struct api_error e)
{
    deleted *d = &resp->responses.v[resp->responses.n++];

    d->name = name;
    d->topic_id = id;
    api_error_set(e, &d->error_code, &d->error_message);
    return d;
}

/* One topic, by name or by id; both tallies have counted the whole request. */
static void delete_one(const struct image *tip, struct slice name, struct uuid id, struct tally *names,
                       struct tally *ids, struct map *gone, struct DeleteTopicsResponse *resp,
                       struct ctl_out *o)
{
    const struct uuid zero = {{0}};
    int *count = name.p ? tally_of(names, name) : tally_of(ids, slice_of(id.b, sizeof(id.b)));
    const struct image_topic *t = name.p ? image_topic_by_name(tip, name) : image_topic_by_id(tip, id);

    if (*count == 0)
        return;
    if (*count > 1) {
        (void)delete_result(resp, name, id,
                            api_error(o, E_INVALID_REQUEST, "Duplicate topic %s.", name.p ? "name" : "id"));
    } else if (!t && name.p) {
        (void)delete_result(
            resp, name, zero,
            api_error(o, E_UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition."));
    } else if (!t) {
        (void)delete_result(resp, name, id,
                            api_error(o, E_UNKNOWN_TOPIC_ID, "This server does not host this topic ID."));
    } else if (map_get(gone, slice_of(t->id.b, sizeof(t->id.b)))) {
        (void)delete_result(resp, name, t->id,
                            api_error(o, E_INVALID_REQUEST,
                                      "The provided topic name maps to an ID that was already supplied."));
    } else {
        struct meta_record *r = ctl_emit(o, RECORD_REMOVE_TOPIC, false);

        r->remove_topic.id = t->id;
        (void)map_put(gone, slice_of(t->id.b, sizeof(t->id.b)), (void *)t);
        (void)delete_result(resp, arena_copy(o->arena, t->name), t->id, API_OK);
    }
    *count = 0;
}

static void refuse_all(const struct DeleteTopicsRequest *req, struct DeleteTopicsResponse *resp,
                       struct api_error e)
{
    for (int i = 0; i < req->topics.n; i++)
        (void)delete_result(resp, req->topics.v[i].name, req->topics.v[i].topic_id, e);
    for (int i = 0; i < req->topic_names.n; i++)
        (void)delete_result(resp, req->topic_names.v[i], (struct uuid){{0}}, e);
}

/* NULL, or why this way of naming a topic is refused. */
static const char *badly_named(const struct DeleteTopicsRequest_DeleteTopicState *t)
{
    bool has_id = !uuid_is_zero(t->topic_id);

    if (!t->name.p && !has_id)
        return "Neither topic name nor id were specified.";
    return t->name.p && has_id ? "You may not specify both topic name and topic id." : NULL;
}

void decide_delete_topics(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct DeleteTopicsRequest *req = in;
    struct DeleteTopicsResponse *resp = out;
    const struct uuid zero = {{0}};
    int n_topics = req->topics.n, n_names = req->topic_names.n;
    struct tally names, ids;
    struct map gone;

    PROTO_ARRAY_NEW(o->arena, DeleteTopicsResponse_DeletableTopicResult, resp->responses, n_topics + n_names);
    resp->responses.n = 0;
    if (!o->rules->delete_topics) {
        refuse_all(req, resp,
                   api_error_plain(o->version < 3 ? E_INVALID_REQUEST : E_TOPIC_DELETION_DISABLED));
        return;
    }
    tally_init(&names, o, n_topics + n_names);
    tally_init(&ids, o, n_topics);
    map_init(&gone, o->work->heap, ctl_random(o));
    for (int i = 0; i < n_names; i++)
        tally_add(&names, req->topic_names.v[i]);
    for (int i = 0; i < n_topics; i++) {
        struct DeleteTopicsRequest_DeleteTopicState *t = &req->topics.v[i];

        if (!badly_named(t))
            tally_add(t->name.p ? &names : &ids,
                      t->name.p ? t->name : slice_of(t->topic_id.b, sizeof(t->topic_id.b)));
    }
    for (int i = 0; i < n_topics; i++) { /* ids first: a name that means the same topic is the one refused */
        const struct DeleteTopicsRequest_DeleteTopicState *t = &req->topics.v[i];
        const char *why = badly_named(t);

        if (why)
            (void)delete_result(resp, t->name, t->topic_id, api_error(o, E_INVALID_REQUEST, "%s", why));
        else if (!t->name.p)
            delete_one(tip, SLICE_NULL, t->topic_id, &names, &ids, &gone, resp, o);
    }
    for (int i = 0; i < n_topics; i++)
        if (req->topics.v[i].name.p && !badly_named(&req->topics.v[i]))
            delete_one(tip, req->topics.v[i].name, zero, &names, &ids, &gone, resp, o);
    for (int i = 0; i < n_names; i++)
        delete_one(tip, req->topic_names.v[i], zero, &names, &ids, &gone, resp, o);
    map_drop(&names.map);
    map_drop(&ids.map);
    map_drop(&gone);
}

/* ---- CreatePartitions ---- */

typedef struct CreatePartitionsRequest_CreatePartitionsTopic grown;

static struct api_error grow_by_hand(const struct image *tip, const struct image_topic *t, const grown *g,
                                     int factor, struct ctl_out *o)
{
    int first = (int)t->partitions.count;

    for (int i = 0; i < g->assignments.n; i++) {
        struct ids replicas = {g->assignments.v[i].broker_ids.v, g->assignments.v[i].broker_ids.n};
        struct api_error e = check_manual(tip, o, replicas, factor);

        if (e.err)
            return e;
        if (!partition_emit(tip, o, t->id, first + i, replicas, false))
            return api_error(
                o, E_INVALID_REPLICA_ASSIGNMENT,
                "All brokers specified in the manual partition assignment for partition %d are fenced or "
                "in controlled shutdown.",
                first + i);
    }
    return API_OK;
}

/* total: partitions that this request has added so far. */
static struct api_error grow_topic(const struct image *tip, const grown *g, int *total, struct ctl_out *o)
{
    const struct image_topic *t = image_topic_by_name(tip, g->name);
    struct api_error e;
    int count, factor;

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
    if (*total + g->count - count > PARTITIONS_PER_REQUEST_MAX)
        return api_error(o, E_POLICY_VIOLATION, "Unable to perform excessively large batch operation.");
    factor = image_partition(t, 0)->n_replicas;
    e = g->assignments.n >= 0 ? grow_by_hand(tip, t, g, factor, o)
                              : place(tip, o, t->id, count, g->count - count, factor, false);
    if (!e.err)
        *total += g->count - count;
    return e;
}

static struct by_topic *grow_begin(const struct CreatePartitionsRequest *req,
                                   struct CreatePartitionsResponse *resp, struct ctl_out *o)
{
    struct by_topic *s = arena_alloc(o->arena, sizeof(*s));
    struct slice *names = arena_alloc(o->work, ((size_t)req->topics.n + 1) * sizeof(*names));

    for (int i = 0; i < req->topics.n; i++)
        names[i] = req->topics.v[i].name;
    by_topic_begin(o, s, names, req->topics.n);
    PROTO_ARRAY_NEW(o->arena, CreatePartitionsResponse_CreatePartitionsTopicResult, resp->results,
                    req->topics.n);
    resp->results.n = 0;
    return s;
}

void decide_create_partitions(const struct image *tip, const void *in, void *out, struct ctl_out *o)
{
    const struct CreatePartitionsRequest *req = in;
    struct CreatePartitionsResponse *resp = out;
    struct by_topic *s = o->state ? o->state : grow_begin(req, resp, o);

    while (s->at < req->topics.n && !ctl_pause(o)) {
        const grown *g = &req->topics.v[s->at];
        int times = s->times[s->at++], before = o->n;
        struct CreatePartitionsResponse_CreatePartitionsTopicResult *result;
        struct api_error e;

        if (times == 0)
            continue;
        e = times > 1 ? api_error(o, E_INVALID_REQUEST, "Duplicate topic name.")
                      : grow_topic(tip, g, &s->grown, o);
        if (e.err)
            o->n = before;
        result = &resp->results.v[resp->results.n++];
        result->name = g->name;
        api_error_set(e, &result->error_code, &result->error_message);
    }
    if (req->validate_only)
        o->n = 0;
}
