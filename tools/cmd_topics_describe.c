/* topics --describe: partitions come a page at a time, settings beside them; all is printed when the last is here. */
#include "tools/cmd_topics.h"
#include "tools/commands.h"

typedef struct DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponseTopic described_topic;
typedef struct DescribeTopicPartitionsResponse_DescribeTopicPartitionsResponsePartition described_partition;
typedef struct DescribeConfigsResponse_DescribeConfigsResult described_configs;

enum { FROM_DEFAULT = 5 };

struct page {
    struct client_call *call;
    struct page *next;
};

struct describe {
    struct page *pages, **end;
    const struct DescribeTopicPartitionsRequest_Cursor *cursor;
    int asked; /* resources of the DescribeConfigs */
    bool under_replicated, unavailable, under_min, at_min, overrides;
    bool filtered; /* one of the first four: only the partitions that it means */
};

static void configs_ask(struct tool *t, struct topics *s)
{
    struct DescribeConfigsRequest *in = tool_request(t, API_DescribeConfigs);

    PROTO_ARRAY_NEW(&t->arena, DescribeConfigsRequest_DescribeConfigsResource, in->resources, s->n);
    for (int i = 0; i < s->n; i++) {
        in->resources.v[i].resource_type = 2;
        in->resources.v[i].resource_name = s->names[i];
        in->resources.v[i].configuration_keys.n = -1;
    }
    s->configs = tool_ask(t, client_any(), API_DescribeConfigs, in);
}

static void partitions_ask(struct tool *t, struct topics *s)
{
    struct DescribeTopicPartitionsRequest *in = tool_request(t, API_DescribeTopicPartitions);
    struct page *page = arena_alloc(&t->arena, sizeof(*page));

    PROTO_ARRAY_NEW(&t->arena, DescribeTopicPartitionsRequest_TopicRequest, in->topics, s->n);
    for (int i = 0; i < s->n; i++)
        in->topics.v[i].name = s->names[i];
    in->response_partition_limit = (int32_t)flag_number(&t->flags, "partition-size-limit-per-response");
    in->cursor = (struct DescribeTopicPartitionsRequest_Cursor *)s->describe->cursor;
    page->call = tool_ask(t, client_any(), API_DescribeTopicPartitions, in);
    *s->describe->end = page;
    s->describe->end = &page->next;
}

static void describe_ask(struct tool *t)
{
    struct topics *s = t->state;

    if (s->n == 0)
        return;
    configs_ask(t, s);
    partitions_ask(t, s);
}

/* Comes again while there is another page. */
static void describe_more(struct tool *t)
{
    struct topics *s = t->state;
    struct describe *d = s->describe;
    struct page *last = d->pages;
    const struct DescribeTopicPartitionsResponse *out;

    while (last && last->next)
        last = last->next;
    out = last ? tool_answer(t, last->call) : NULL;
    if (!out || !out->next_cursor)
        return;
    struct DescribeTopicPartitionsRequest_Cursor *cursor = arena_alloc(&t->arena, sizeof(*cursor));
    cursor->topic_name = out->next_cursor->topic_name;
    cursor->partition_index = out->next_cursor->partition_index;
    d->cursor = cursor;
    partitions_ask(t, s);
    tool_again(t);
}

/* ---- Printing ---- */

static const described_configs *configs_of(const struct topics *s, struct slice topic)
{
    const struct DescribeConfigsResponse *out = s->configs->out;

    for (int i = 0; out && i < out->results.n; i++)
        if (slice_eq(out->results.v[i].resource_name, topic))
            return &out->results.v[i];
    return NULL;
}

static bool has_override(const described_configs *c)
{
    for (int i = 0; c && i < c->configs.n; i++)
        if (c->configs.v[i].config_source != FROM_DEFAULT)
            return true;
    return false;
}

static int min_isr(const described_configs *c)
{
    for (int i = 0; c && i < c->configs.n; i++)
        if (slice_eq(c->configs.v[i].name, SLICE("min.insync.replicas")) && c->configs.v[i].value.p) {
            int n = 0;

            for (size_t k = 0; k < c->configs.v[i].value.len; k++)
                n = n * 10 + (c->configs.v[i].value.p[k] - '0');
            return n;
        }
    return 1;
}

static bool is_live(const struct topics *s, int32_t broker)
{
    const struct MetadataResponse *m = s->metadata->out;

    for (int i = 0; i < m->brokers.n; i++)
        if (m->brokers.v[i].node_id == broker)
            return true;
    return false;
}

static bool is_shown(const struct topics *s, const described_partition *p, const described_configs *c)
{
    const struct describe *d = s->describe;

    return !d->filtered || (d->under_replicated && p->isr_nodes.n < p->replica_nodes.n) ||
           (d->unavailable && !is_live(s, p->leader_id)) || (d->under_min && p->isr_nodes.n < min_isr(c)) ||
           (d->at_min && p->isr_nodes.n == min_isr(c));
}

static void ids_print(struct tool *t, const char *before, const int32_t *v, int n)
{
    bytes_printf(&t->out, "\t%s: ", before);
    if (n < 0)
        bytes_printf(&t->out, "N/A");
    for (int i = 0; i < n; i++)
        bytes_printf(&t->out, "%s%d", i ? "," : "", v[i]);
}

static void partition_print(struct tool *t, struct slice topic, const described_partition *p)
{
    bytes_printf(&t->out, "\tTopic: %.*s\tPartition: %d\tLeader: ", (int)topic.len, topic.p,
                 p->partition_index);
    if (p->leader_id < 0)
        bytes_printf(&t->out, "none");
    else
        bytes_printf(&t->out, "%d", p->leader_id);
    ids_print(t, "Replicas", p->replica_nodes.v, p->replica_nodes.n);
    ids_print(t, "Isr", p->isr_nodes.v, p->isr_nodes.n);
    ids_print(t, "Elr", p->eligible_leader_replicas.v, p->eligible_leader_replicas.n);
    ids_print(t, "LastKnownElr", p->last_known_elr.v, p->last_known_elr.n);
    bytes_printf(&t->out, "\n");
}

static void topic_print(struct tool *t, const described_topic *topic, int partitions,
                        const described_configs *c)
{
    char id[UUID_TEXT_LEN + 1];
    const char *comma = "";

    uuid_text(topic->topic_id, id);
    bytes_printf(&t->out, "Topic: %.*s\tTopicId: %s\tPartitionCount: %d\tReplicationFactor: %d\tConfigs: ",
                 (int)topic->name.len, topic->name.p, id, partitions,
                 topic->partitions.n ? topic->partitions.v[0].replica_nodes.n : 0);
    for (int i = 0; c && i < c->configs.n; i++) {
        if (c->configs.v[i].config_source == FROM_DEFAULT)
            continue;
        bytes_printf(&t->out, "%s%.*s=%.*s", comma, (int)c->configs.v[i].name.len, c->configs.v[i].name.p,
                     (int)c->configs.v[i].value.len, c->configs.v[i].value.p);
        comma = ",";
    }
    bytes_printf(&t->out, "\n");
}

static void ids_json(struct json *j, const char *name, const int32_t *v, int n)
{
    if (n < 0) {
        json_str(j, name, NULL);
        return;
    }
    json_open(j, name, '[');
    for (int i = 0; i < n; i++)
        json_int(j, NULL, v[i]);
    json_close(j, ']');
}

static void partition_json(struct json *j, const described_partition *p)
{
    json_open(j, NULL, '{');
    json_int(j, "partition", p->partition_index);
    if (p->leader_id < 0)
        json_str(j, "leader", NULL);
    else
        json_int(j, "leader", p->leader_id);
    json_int(j, "leaderEpoch", p->leader_epoch);
    ids_json(j, "replicas", p->replica_nodes.v, p->replica_nodes.n);
    ids_json(j, "isr", p->isr_nodes.v, p->isr_nodes.n);
    ids_json(j, "elr", p->eligible_leader_replicas.v, p->eligible_leader_replicas.n);
    ids_json(j, "lastKnownElr", p->last_known_elr.v, p->last_known_elr.n);
    json_close(j, '}');
}

static void topic_json(struct json *j, const described_topic *topic, const described_configs *c)
{
    char id[UUID_TEXT_LEN + 1];

    uuid_text(topic->topic_id, id);
    json_text(j, "topic", topic->name);
    json_str(j, "topicId", id);
    json_open(j, "configs", '{');
    for (int i = 0; c && i < c->configs.n; i++)
        if (c->configs.v[i].config_source != FROM_DEFAULT) {
            char name[256];

            snprintf(name, sizeof(name), "%.*s", (int)c->configs.v[i].name.len, c->configs.v[i].name.p);
            json_text(j, name, c->configs.v[i].value);
        }
    json_close(j, '}');
}

/* A topic that was cut between two pages, as one. */
static described_topic *topics_join(struct tool *t, const struct describe *d, int *n)
{
    size_t room = 0;
    described_topic *v;

    *n = 0;
    for (const struct page *p = d->pages; p; p = p->next)
        room += (size_t)((const struct DescribeTopicPartitionsResponse *)p->call->out)->topics.n;
    v = arena_alloc(&t->arena, (room + 1) * sizeof(*v));
    for (const struct page *p = d->pages; p; p = p->next) {
        const struct DescribeTopicPartitionsResponse *out = p->call->out;

        for (int i = 0; i < out->topics.n; i++) {
            const described_topic *from = &out->topics.v[i];
            described_topic *to = *n ? &v[*n - 1] : NULL;

            if (!to || !slice_eq(to->name, from->name)) {
                v[(*n)++] = *from;
                continue;
            }
            described_partition *all =
                arena_alloc(&t->arena, (size_t)(to->partitions.n + from->partitions.n) * sizeof(*all));
            memcpy(all, to->partitions.v, (size_t)to->partitions.n * sizeof(*all));
            memcpy(all + to->partitions.n, from->partitions.v, (size_t)from->partitions.n * sizeof(*all));
            to->partitions.v = all;
            to->partitions.n += from->partitions.n;
        }
    }
    return v;
}

static void one_json(struct tool *t, struct json *j, const described_topic *topic, const described_configs *c)
{
    const struct topics *s = t->state;

    json_open(j, NULL, '{');
    topic_json(j, topic, c);
    json_open(j, "partitions", '[');
    for (int k = 0; k < topic->partitions.n; k++)
        if (is_shown(s, &topic->partitions.v[k], c))
            partition_json(j, &topic->partitions.v[k]);
    json_close(j, ']');
    json_close(j, '}');
}

static void one_text(struct tool *t, const described_topic *topic, const described_configs *c)
{
    const struct topics *s = t->state;

    if (!s->describe->filtered)
        topic_print(t, topic, topic->partitions.n, c);
    for (int k = 0; k < topic->partitions.n && !s->describe->overrides; k++)
        if (is_shown(s, &topic->partitions.v[k], c))
            partition_print(t, topic->name, &topic->partitions.v[k]);
}

static void describe_print(struct tool *t)
{
    const struct topics *s = t->state;
    struct json j = tool_json(t);
    int n;

    if (s->n && !tool_answer(t, s->configs))
        return;
    described_topic *v = topics_join(t, s->describe, &n);
    if (t->json)
        json_open(&j, NULL, '[');
    for (int i = 0; i < n; i++) {
        const described_configs *c = configs_of(s, v[i].name);

        if (v[i].error_code || (s->describe->overrides && !has_override(c)))
            continue;
        if (t->json)
            one_json(t, &j, &v[i], c);
        else
            one_text(t, &v[i], c);
    }
    if (t->json) {
        json_close(&j, ']');
        bytes_printf(&t->out, "\n");
    }
}

void topics_describe(struct tool *t)
{
    static const tool_step steps[] = {topics_find,   topics_choose,  describe_ask,
                                      describe_more, describe_print, NULL};
    struct topics *s = t->state;
    struct describe *d = arena_alloc(&t->arena, sizeof(*d));

    d->end = &d->pages;
    d->under_replicated = flag_given(&t->flags, "under-replicated-partitions");
    d->unavailable = flag_given(&t->flags, "unavailable-partitions");
    d->under_min = flag_given(&t->flags, "under-min-isr-partitions");
    d->at_min = flag_given(&t->flags, "at-min-isr-partitions");
    d->overrides = flag_given(&t->flags, "topics-with-overrides");
    d->filtered = d->under_replicated || d->unavailable || d->under_min || d->at_min;
    if (d->overrides && d->filtered) {
        tool_usage(t, "--topics-with-overrides shows no partitions: it can't be limited to some");
        return;
    }
    s->describe = d;
    tool_steps(t, steps);
}
