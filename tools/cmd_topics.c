#include "tools/cmd_topics.h"
#include "base/check.h"
#include "tools/commands.h"
#include <stdlib.h>

/* clang-format off */
const struct flag flags_topics[] = {
    {"create", 0, FLAG_BOOL, NULL, NULL, NULL, "make a topic"},
    {"list", 0, FLAG_BOOL, NULL, NULL, NULL, "the names of all topics"},
    {"describe", 0, FLAG_BOOL, NULL, NULL, NULL, "partitions, replicas and settings"},
    {"alter", 0, FLAG_BOOL, NULL, NULL, NULL, "raise the number of partitions"},
    {"delete", 0, FLAG_BOOL, NULL, NULL, NULL, "delete topics with all their records"},
    {"topic", 0, FLAG_TEXT, "NAME", NULL, NULL, "a topic, or a regular expression where none is made"},
    {"topic-id", 0, FLAG_TEXT, "ID", NULL, NULL, "the topic with this id, to describe"},
    {"partitions", 0, FLAG_NUMBER, "N", NULL, NULL, "how many partitions; num.partitions where it isn't given"},
    {"replication-factor", 0, FLAG_NUMBER, "N", NULL, NULL, "replicas of each partition; default.replication.factor where it isn't given"},
    {"replica-assignment", 0, FLAG_TEXT, "1:2,2:3", NULL, NULL, "brokers of each partition, the preferred leader first"},
    {"config", 0, FLAG_LIST, "NAME=VALUE", NULL, NULL, "a setting of the new topic; may come several times"},
    {"delete-config", 0, FLAG_TEXT, "NAME", NULL, "`weir configs --alter --delete-config`, as in Kafka since 4.0", NULL},
    {"if-exists", 0, FLAG_BOOL, NULL, NULL, NULL, "no failure where the topic doesn't exist"},
    {"if-not-exists", 0, FLAG_BOOL, NULL, NULL, NULL, "no failure where the topic exists already"},
    {"exclude-internal", 0, FLAG_BOOL, NULL, NULL, NULL, "without the topics that the cluster keeps for itself"},
    {"under-replicated-partitions", 0, FLAG_BOOL, NULL, NULL, NULL, "only partitions of which a replica isn't in sync"},
    {"unavailable-partitions", 0, FLAG_BOOL, NULL, NULL, NULL, "only partitions without a live leader"},
    {"under-min-isr-partitions", 0, FLAG_BOOL, NULL, NULL, NULL, "only partitions with fewer in sync than min.insync.replicas"},
    {"at-min-isr-partitions", 0, FLAG_BOOL, NULL, NULL, NULL, "only partitions with just min.insync.replicas in sync"},
    {"topics-with-overrides", 0, FLAG_BOOL, NULL, NULL, NULL, "only topics with settings of their own, without partitions"},
    {"partition-size-limit-per-response", 0, FLAG_NUMBER, "N", "2000", NULL, "partitions asked for at once"},
    FLAGS_CLIENT,
    {0},
};
/* clang-format on */

int slice_order(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

bool ids_parse(struct arena *a, const char *text, char separator, int32_t **out, int32_t *n)
{
    *out = arena_alloc(a, (strlen(text) + 1) * sizeof(**out));
    *n = 0;
    for (;;) {
        char *end;
        long id = strtol(text, &end, 10);

        if (end == text || id < 0 || id > INT32_MAX)
            return false;
        (*out)[(*n)++] = (int32_t)id;
        if (*end == 0)
            return true;
        if (*end != separator)
            return false;
        text = end + 1;
    }
}

/* ---- Which topics ---- */

/* No letter in it means anything else in a regular expression. */
static bool is_literal(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == 0;
}

void topics_find(struct tool *t)
{
    struct topics *s = t->state;
    struct MetadataRequest *in = tool_request(t, API_Metadata);
    const char *id = flag_text(&t->flags, "topic-id");

    in->allow_auto_topic_creation = false;
    in->topics.n = -1;
    if (s->literal || id) {
        PROTO_ARRAY_NEW(&t->arena, MetadataRequest_MetadataRequestTopic, in->topics, 1);
        in->topics.v[0].name = s->literal ? SLICE(s->literal) : SLICE_NULL;
        if (id && !uuid_parse(SLICE(id), &in->topics.v[0].topic_id)) {
            tool_usage(t, "--topic-id takes the 22 letters of an id, not \"%s\"", id);
            return;
        }
    }
    s->metadata = tool_ask(t, client_any(), API_Metadata, in);
}

static bool is_chosen(struct tool *t, const struct MetadataResponse_MetadataResponseTopic *topic)
{
    const struct topics *s = t->state;

    if (flag_given(&t->flags, "exclude-internal") && is_internal_topic(topic->name))
        return false;
    return !s->wanted || s->literal || pattern_matches(s->wanted, topic->name);
}

void topics_choose(struct tool *t)
{
    struct topics *s = t->state;
    const struct MetadataResponse *m = tool_answer(t, s->metadata);
    const char *name = flag_text(&t->flags, "topic"), *id = flag_text(&t->flags, "topic-id");

    if (!m)
        return;
    s->names = arena_alloc(&t->arena, ((size_t)m->topics.n + 1) * sizeof(*s->names));
    for (int i = 0; i < m->topics.n; i++) {
        enum err err = m->topics.v[i].error_code ? err_of_wire(m->topics.v[i].error_code) : E_OK;

        if (err && err != E_UNKNOWN_TOPIC_OR_PARTITION && err != E_UNKNOWN_TOPIC_ID &&
            err != E_LEADER_NOT_AVAILABLE) {
            tool_fail(t, "topic \"%.*s\": %s", (int)m->topics.v[i].name.len, m->topics.v[i].name.p,
                      err_text(err));
            return;
        }
        if ((!err || err == E_LEADER_NOT_AVAILABLE) && is_chosen(t, &m->topics.v[i]))
            s->names[s->n++] = m->topics.v[i].name;
    }
    qsort(s->names, (size_t)s->n, sizeof(*s->names), slice_order);
    if (s->n == 0 && (name || id) && !flag_given(&t->flags, "if-exists") && !flag_given(&t->flags, "list"))
        tool_fail(t, "there is no topic %s \"%s\"; `weir topics --list` shows those that there are",
                  name ? "called" : "with the id", name ? name : id);
}

/* ---- --list ---- */

static void list_print(struct tool *t)
{
    const struct topics *s = t->state;
    struct json j = tool_json(t);

    if (t->json)
        json_open(&j, NULL, '[');
    for (int i = 0; i < s->n; i++) {
        if (t->json)
            json_text(&j, NULL, s->names[i]);
        else
            bytes_printf(&t->out, "%.*s\n", (int)s->names[i].len, s->names[i].p);
    }
    if (t->json) {
        json_close(&j, ']');
        bytes_printf(&t->out, "\n");
    }
}

/* ---- --create ---- */

static bool config_add(struct tool *t, struct CreateTopicsRequest_CreatableTopic *topic)
{
    const struct flag_value *list = flag_list(&t->flags, "config");

    PROTO_ARRAY_NEW(&t->arena, CreateTopicsRequest_CreatableTopicConfig, topic->configs, list->n);
    for (int i = 0; i < list->n; i++) {
        const char *equals = strchr(list->list[i], '=');

        if (!equals) {
            tool_usage(t, "--config takes name=value, not \"%s\"", list->list[i]);
            return false;
        }
        topic->configs.v[i].name = slice_of(list->list[i], (size_t)(equals - list->list[i]));
        topic->configs.v[i].value = SLICE(equals + 1);
    }
    return true;
}

/* 1:2,2:3: the brokers of partition 0, of partition 1 … */
static bool assignment_parse(struct tool *t, char ***parts, int *n)
{
    char *rest = arena_str(&t->arena, SLICE(flag_text(&t->flags, "replica-assignment"))), *part;

    *parts = arena_alloc(&t->arena, (strlen(rest) + 1) * sizeof(**parts));
    *n = 0;
    while ((part = strsep(&rest, ",")))
        (*parts)[(*n)++] = part;
    for (int i = 0; i < *n; i++) {
        int32_t *ids, n_ids;

        if (!ids_parse(&t->arena, (*parts)[i], ':', &ids, &n_ids)) {
            tool_usage(t, "--replica-assignment takes brokers as in 1:2,2:3, not \"%s\"", (*parts)[i]);
            return false;
        }
    }
    return true;
}

static bool assignment_add(struct tool *t, struct CreateTopicsRequest_CreatableTopic *topic)
{
    char **parts;
    int n;

    if (!assignment_parse(t, &parts, &n))
        return false;
    PROTO_ARRAY_NEW(&t->arena, CreateTopicsRequest_CreatableReplicaAssignment, topic->assignments, n);
    for (int i = 0; i < n; i++) {
        topic->assignments.v[i].partition_index = i;
        ASSERT(ids_parse(&t->arena, parts[i], ':', &topic->assignments.v[i].broker_ids.v,
                         &topic->assignments.v[i].broker_ids.n));
    }
    return true;
}

static void create_ask(struct tool *t)
{
    struct topics *s = t->state;
    struct CreateTopicsRequest *in = tool_request(t, API_CreateTopics);
    struct CreateTopicsRequest_CreatableTopic *topic;
    const char *name = flag_text(&t->flags, "topic");

    PROTO_ARRAY_NEW(&t->arena, CreateTopicsRequest_CreatableTopic, in->topics, 1);
    topic = &in->topics.v[0];
    topic->name = SLICE(name);
    topic->num_partitions =
        flag_given(&t->flags, "partitions") ? (int32_t)flag_number(&t->flags, "partitions") : -1;
    topic->replication_factor = flag_given(&t->flags, "replication-factor")
                                    ? (int16_t)flag_number(&t->flags, "replication-factor")
                                    : -1;
    if (!config_add(t, topic))
        return;
    if (flag_given(&t->flags, "replica-assignment") && !assignment_add(t, topic))
        return;
    if (strchr(name, '.') || strchr(name, '_'))
        tool_warn(
            t, "WARNING: names of metrics can't tell '.' from '_': use only one of them in names of topics.");
    s->call = tool_ask(t, client_any(), API_CreateTopics, in);
}

static void create_print(struct tool *t)
{
    const struct topics *s = t->state;
    const struct CreateTopicsResponse *out = tool_answer(t, s->call);
    struct json j = tool_json(t);

    if (!out)
        return;
    for (int i = 0; i < out->topics.n; i++) {
        const struct CreateTopicsResponse_CreatableTopicResult *r = &out->topics.v[i];
        bool there =
            r->error_code == err_wire(E_TOPIC_ALREADY_EXISTS) && flag_given(&t->flags, "if-not-exists");
        char id[UUID_TEXT_LEN + 1];

        if (r->error_code && !there) {
            tool_fail(t, "topic \"%.*s\" was not created: %s", (int)r->name.len, r->name.p,
                      tool_error(t, r->error_code, r->error_message));
            return;
        }
        uuid_text(r->topic_id, id);
        if (t->json) {
            json_open(&j, NULL, '{');
            json_text(&j, "topic", r->name);
            json_bool(&j, "created", !there);
            json_str(&j, "topicId", there ? NULL : id);
            json_close(&j, '}');
            bytes_printf(&t->out, "\n");
        } else if (!there) {
            bytes_printf(&t->out, "Created topic %.*s.\n", (int)r->name.len, r->name.p);
        }
    }
}

/* ---- --alter ---- */

static int32_t partitions_now(const struct MetadataResponse *m, struct slice name)
{
    for (int i = 0; i < m->topics.n; i++)
        if (slice_eq(m->topics.v[i].name, name))
            return m->topics.v[i].partitions.n;
    return 0;
}

static void alter_ask(struct tool *t)
{
    struct topics *s = t->state;
    struct CreatePartitionsRequest *in = tool_request(t, API_CreatePartitions);
    bool assigned = flag_given(&t->flags, "replica-assignment");
    char **parts;
    int n_parts = 0;

    if (s->n == 0 || (assigned && !assignment_parse(t, &parts, &n_parts)))
        return;
    in->timeout_ms = 30000;
    PROTO_ARRAY_NEW(&t->arena, CreatePartitionsRequest_CreatePartitionsTopic, in->topics, s->n);
    for (int i = 0; i < s->n; i++) {
        struct CreatePartitionsRequest_CreatePartitionsTopic *topic = &in->topics.v[i];
        int32_t now = partitions_now(s->metadata->out, s->names[i]);
        int n_new = n_parts > now ? n_parts - now : 0;

        topic->name = s->names[i];
        topic->count = (int32_t)flag_number(&t->flags, "partitions");
        topic->assignments.n = -1;
        if (assigned)
            PROTO_ARRAY_NEW(&t->arena, CreatePartitionsRequest_CreatePartitionsAssignment, topic->assignments,
                            n_new);
        for (int k = 0; k < topic->assignments.n; k++)
            ASSERT(ids_parse(&t->arena, parts[now + k], ':', &topic->assignments.v[k].broker_ids.v,
                             &topic->assignments.v[k].broker_ids.n));
    }
    s->call = tool_ask(t, client_any(), API_CreatePartitions, in);
}

static void alter_print(struct tool *t)
{
    const struct topics *s = t->state;
    const struct CreatePartitionsResponse *out = s->call ? tool_answer(t, s->call) : NULL;

    for (int i = 0; out && i < out->results.n; i++)
        if (out->results.v[i].error_code)
            tool_fail(t, "topic \"%.*s\" keeps its partitions: %s", (int)out->results.v[i].name.len,
                      out->results.v[i].name.p,
                      tool_error(t, out->results.v[i].error_code, out->results.v[i].error_message));
    if (t->json && !t->ended)
        bytes_printf(&t->out, "{\"altered\":%d}\n", s->n);
}

/* ---- --delete ---- */

static void delete_ask(struct tool *t)
{
    struct topics *s = t->state;
    struct DeleteTopicsRequest *in = tool_request(t, API_DeleteTopics);

    if (s->n == 0)
        return;
    in->timeout_ms = 30000;
    PROTO_ARRAY_NEW(&t->arena, DeleteTopicsRequest_DeleteTopicState, in->topics, s->n);
    for (int i = 0; i < s->n; i++)
        in->topics.v[i].name = s->names[i];
    s->call = tool_ask(t, client_any(), API_DeleteTopics, in);
}

static void delete_print(struct tool *t)
{
    const struct topics *s = t->state;
    const struct DeleteTopicsResponse *out = s->call ? tool_answer(t, s->call) : NULL;

    for (int i = 0; out && i < out->responses.n; i++)
        if (out->responses.v[i].error_code)
            tool_fail(t, "topic \"%.*s\" was not deleted: %s", (int)out->responses.v[i].name.len,
                      out->responses.v[i].name.p,
                      tool_error(t, out->responses.v[i].error_code, out->responses.v[i].error_message));
    if (t->json && !t->ended)
        bytes_printf(&t->out, "{\"deleted\":%d}\n", s->n);
}

/* ---- Which action, and what goes with it ---- */

enum { CREATE = 1, LIST = 2, DESCRIBE = 4, ALTER = 8, DELETE = 16 };

static const struct {
    const char *name;
    int with;
} belongs[] = {
    {"partitions", CREATE | ALTER},
    {"replication-factor", CREATE},
    {"replica-assignment", CREATE | ALTER},
    {"config", CREATE},
    {"if-not-exists", CREATE},
    {"if-exists", DESCRIBE | ALTER | DELETE},
    {"topic-id", DESCRIBE},
    {"exclude-internal", LIST | DESCRIBE},
    {"under-replicated-partitions", DESCRIBE},
    {"unavailable-partitions", DESCRIBE},
    {"under-min-isr-partitions", DESCRIBE},
    {"at-min-isr-partitions", DESCRIBE},
    {"topics-with-overrides", DESCRIBE},
};

static const char *const actions[] = {"create", "list", "describe", "alter", "delete"};

static int action_choose(struct tool *t)
{
    int action = 0, n = 0;

    for (int i = 0; i < 5; i++)
        if (flag_given(&t->flags, actions[i])) {
            action = 1 << i;
            n++;
        }
    if (n != 1) {
        tool_usage(t, "topics takes one of --create, --list, --describe, --alter, --delete");
        return 0;
    }
    for (size_t i = 0; i < sizeof(belongs) / sizeof(belongs[0]); i++)
        if (flag_given(&t->flags, belongs[i].name) && !(belongs[i].with & action))
            tool_usage(t, "--%s has no meaning beside --%s", belongs[i].name,
                       actions[__builtin_ctz((unsigned)action)]);
    if ((action & (CREATE | ALTER | DELETE)) && !flag_given(&t->flags, "topic"))
        tool_usage(t, "which topic? --topic NAME");
    if (action == ALTER && !flag_given(&t->flags, "partitions"))
        tool_usage(t, "--alter takes the new number of partitions: --partitions N");
    if (flag_given(&t->flags, "partitions") && flag_number(&t->flags, "partitions") < 1)
        tool_usage(t, "--partitions takes a number above 0");
    if (flag_given(&t->flags, "replication-factor") &&
        (flag_number(&t->flags, "replication-factor") < 1 ||
         flag_number(&t->flags, "replication-factor") > INT16_MAX))
        tool_usage(t, "--replication-factor takes a number from 1 to 32767");
    if (action == CREATE && flag_given(&t->flags, "replica-assignment") &&
        (flag_given(&t->flags, "partitions") || flag_given(&t->flags, "replication-factor")))
        tool_usage(
            t,
            "--replica-assignment says how many partitions and replicas there are: leave the other two out");
    return t->ended ? 0 : action;
}

void cmd_topics(struct tool *t)
{
    static const tool_step create[] = {create_ask, create_print, NULL};
    static const tool_step list[] = {topics_find, topics_choose, list_print, NULL};
    static const tool_step alter[] = {topics_find, topics_choose, alter_ask, alter_print, NULL};
    static const tool_step delete[] = {topics_find, topics_choose, delete_ask, delete_print, NULL};
    struct topics *s = arena_alloc(&t->arena, sizeof(*s));
    int action = action_choose(t);
    const char *topic = flag_text(&t->flags, "topic");

    t->state = s;
    if (action && action != CREATE && topic) {
        s->literal = is_literal(topic) ? topic : NULL;
        s->wanted = pattern_new(t, topic);
    }
    if (t->ended)
        return;
    if (action == DESCRIBE)
        topics_describe(t);
    else
        tool_steps(t, action == CREATE ? create : action == LIST ? list : action == ALTER ? alter : delete);
}
