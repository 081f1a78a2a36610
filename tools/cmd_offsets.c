/* get-offsets: one line topic:partition:offset each. One request a leader. */
#include "tools/cmd_topics.h"
#include "tools/commands.h"
#include <inttypes.h>
#include <stdlib.h>

/* clang-format off */
const struct flag flags_get_offsets[] = {
    {"topic", 0, FLAG_TEXT, "NAME", NULL, NULL, "a topic, or a regular expression"},
    {"partitions", 0, FLAG_TEXT, "0,1,...", NULL, NULL, "only these partitions"},
    {"topic-partitions", 0, FLAG_TEXT, "T1:1,T2:0-3,T3,T4:5-", NULL, NULL, "topics, each with a partition or a range; the upper end isn't in it"},
    {"time", 0, FLAG_TEXT, "WHEN", "latest", NULL, "a timestamp in ms, or latest -1, earliest -2, max-timestamp -3, earliest-local -4, latest-tiered -5, earliest-pending-upload -6"},
    {"exclude-internal-topics", 0, FLAG_BOOL, NULL, NULL, NULL, "without the topics that the cluster keeps for itself"},
    FLAGS_CLIENT,
    {0},
};
/* clang-format on */

struct range {
    const struct pattern *topic;
    int32_t from, to; /* to isn't in it */
};

struct wanted {
    struct slice topic;
    int32_t partition, leader;
    int64_t offset; /* -1: unknown */
};

struct offsets {
    struct range *ranges;
    int n_ranges;
    int64_t time;
    struct client_call *metadata;
    struct wanted *v; /* by topic and partition */
    int n;
    struct client_call **calls;
    int n_calls;
};

static bool is_wanted(const struct offsets *s, struct slice topic, int32_t partition)
{
    for (int i = 0; i < s->n_ranges; i++)
        if (partition >= s->ranges[i].from && partition < s->ranges[i].to &&
            (!s->ranges[i].topic || pattern_matches(s->ranges[i].topic, topic)))
            return true;
    return s->n_ranges == 0;
}

static int wanted_order(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    int order = slice_cmp(x->topic, y->topic);

    return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static void metadata_ask(struct tool *t)
{
    struct offsets *s = t->state;
    struct MetadataRequest *in = tool_request(t, API_Metadata);

    in->topics.n = -1;
    in->allow_auto_topic_creation = false;
    s->metadata = tool_ask(t, client_any(), API_Metadata, in);
}

static void partitions_choose(struct tool *t, const struct MetadataResponse *m)
{
    struct offsets *s = t->state;
    size_t room = 0;

    for (int i = 0; i < m->topics.n; i++)
        room += (size_t)m->topics.v[i].partitions.n;
    s->v = arena_alloc(&t->arena, (room + 1) * sizeof(*s->v));
    for (int i = 0; i < m->topics.n; i++) {
        const struct MetadataResponse_MetadataResponseTopic *topic = &m->topics.v[i];

        if (flag_given(&t->flags, "exclude-internal-topics") && is_internal_topic(topic->name))
            continue;
        for (int k = 0; k < topic->partitions.n; k++)
            if (is_wanted(s, topic->name, topic->partitions.v[k].partition_index))
                s->v[s->n++] = (struct wanted){.topic = topic->name,
                                               .partition = topic->partitions.v[k].partition_index,
                                               .leader = topic->partitions.v[k].leader_id,
                                               .offset = -1};
    }
    qsort(s->v, (size_t)s->n, sizeof(*s->v), wanted_order);
}

static void leader_ask(struct tool *t, int32_t leader)
{
    struct offsets *s = t->state;
    struct ListOffsetsRequest *in = tool_request(t, API_ListOffsets);
    struct ListOffsetsRequest_ListOffsetsTopic *topic = NULL;

    in->replica_id = -1;
    PROTO_ARRAY_NEW(&t->arena, ListOffsetsRequest_ListOffsetsTopic, in->topics, s->n);
    in->topics.n = 0;
    for (int i = 0; i < s->n; i++) {
        if (s->v[i].leader != leader)
            continue;
        if (!topic || !slice_eq(topic->name, s->v[i].topic)) {
            int n = 0;

            while (i + n < s->n && slice_eq(s->v[i + n].topic, s->v[i].topic))
                n++;
            topic = &in->topics.v[in->topics.n++];
            topic->name = s->v[i].topic;
            PROTO_ARRAY_NEW(&t->arena, ListOffsetsRequest_ListOffsetsPartition, topic->partitions, n);
            topic->partitions.n = 0;
        }
        topic->partitions.v[topic->partitions.n].partition_index = s->v[i].partition;
        topic->partitions.v[topic->partitions.n++].timestamp = s->time;
    }
    s->calls[s->n_calls++] = tool_ask(t, client_node(leader), API_ListOffsets, in);
}

static void offsets_ask(struct tool *t)
{
    struct offsets *s = t->state;
    const struct MetadataResponse *m = tool_answer(t, s->metadata);

    if (!m)
        return;
    partitions_choose(t, m);
    if (s->n == 0) {
        tool_fail(t, "no partition is meant by that; `weir topics --describe` shows those that there are");
        return;
    }
    s->calls = arena_alloc(&t->arena, ((size_t)m->brokers.n + 1) * sizeof(*s->calls));
    for (int b = 0; b < m->brokers.n; b++)
        for (int i = 0; i < s->n; i++)
            if (s->v[i].leader == m->brokers.v[b].node_id) {
                leader_ask(t, s->v[i].leader);
                break;
            }
    for (int i = 0; i < s->n; i++)
        if (s->v[i].leader < 0)
            tool_warn(t, "%.*s-%d has no leader at the moment: left out", (int)s->v[i].topic.len,
                      s->v[i].topic.p, s->v[i].partition);
}

static void offset_note(struct tool *t, struct slice topic,
                        const struct ListOffsetsResponse_ListOffsetsPartitionResponse *p)
{
    struct offsets *s = t->state;
    struct wanted key = {.topic = topic, .partition = p->partition_index};
    struct wanted *w = bsearch(&key, s->v, (size_t)s->n, sizeof(key), wanted_order);

    if (p->error_code)
        tool_warn(t, "%.*s-%d is left out: %s", (int)topic.len, topic.p, p->partition_index,
                  tool_error(t, p->error_code, SLICE_NULL));
    else if (w)
        w->offset = p->offset;
}

static void offsets_print(struct tool *t)
{
    const struct offsets *s = t->state;
    struct json j = tool_json(t);

    for (int c = 0; c < s->n_calls; c++) {
        const struct ListOffsetsResponse *out = tool_answer(t, s->calls[c]);

        for (int i = 0; out && i < out->topics.n; i++)
            for (int k = 0; k < out->topics.v[i].partitions.n; k++)
                offset_note(t, out->topics.v[i].name, &out->topics.v[i].partitions.v[k]);
    }
    if (t->json)
        json_open(&j, NULL, '[');
    for (int i = 0; i < s->n; i++) {
        if (s->v[i].offset < 0)
            continue;
        if (t->json) {
            json_open(&j, NULL, '{');
            json_text(&j, "topic", s->v[i].topic);
            json_int(&j, "partition", s->v[i].partition);
            json_int(&j, "offset", s->v[i].offset);
            json_close(&j, '}');
        } else {
            bytes_printf(&t->out, "%.*s:%d:%" PRId64 "\n", (int)s->v[i].topic.len, s->v[i].topic.p,
                         s->v[i].partition, s->v[i].offset);
        }
    }
    if (t->json) {
        json_close(&j, ']');
        bytes_printf(&t->out, "\n");
    }
}

/* ---- What was typed ---- */

static bool time_parse(const char *text, int64_t *out)
{
    static const char *const names[] = {"latest",         "earliest",      "max-timestamp",
                                        "earliest-local", "latest-tiered", "earliest-pending-upload"};
    char *end;

    for (int i = 0; i < 6; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = -1 - i;
            return true;
        }
    *out = strtoll(text, &end, 10);
    return end != text && *end == 0 && *out >= -6;
}

/* "3", "1-4", "2-", "-5" or nothing. */
static bool range_parse(const char *text, struct range *r)
{
    char *end;

    r->from = 0;
    r->to = INT32_MAX;
    if (!*text)
        return true;
    if (*text != '-') {
        r->from = (int32_t)strtol(text, &end, 10);
        if (end == text)
            return false;
        text = end;
        if (!*text) {
            r->to = r->from + 1;
            return true;
        }
    }
    if (*text++ != '-')
        return false;
    if (*text) {
        r->to = (int32_t)strtol(text, &end, 10);
        return end != text && *end == 0;
    }
    return true;
}

static void ranges_parse(struct tool *t, struct offsets *s, const char *text)
{
    char *rest = arena_str(&t->arena, SLICE(text)), *one;

    s->ranges = arena_alloc(&t->arena, (strlen(text) + 1) * sizeof(*s->ranges));
    while ((one = strsep(&rest, ",")) && !t->ended) {
        struct range *r = &s->ranges[s->n_ranges++];
        char *colon = strrchr(one, ':');

        if (colon)
            *colon++ = 0;
        if (!range_parse(colon ? colon : "", r))
            tool_usage(t, "--topic-partitions takes topic:partition or topic:from-to, not \"%s:%s\"", one,
                       colon);
        else if (*one)
            r->topic = pattern_new(t, one);
    }
}

static void partitions_parse(struct tool *t, struct offsets *s)
{
    const char *topic = flag_text(&t->flags, "topic"), *partitions = flag_text(&t->flags, "partitions");
    int32_t *ids, n = 0;
    const struct pattern *p = topic ? pattern_new(t, topic) : NULL;

    if (partitions && !ids_parse(&t->arena, partitions, ',', &ids, &n))
        tool_usage(t, "--partitions takes numbers separated by commas, not \"%s\"", partitions);
    if (t->ended || (!topic && !partitions))
        return;
    s->ranges = arena_alloc(&t->arena, ((size_t)n + 1) * sizeof(*s->ranges));
    for (int i = 0; i < n; i++)
        s->ranges[s->n_ranges++] = (struct range){.topic = p, .from = ids[i], .to = ids[i] + 1};
    if (n == 0)
        s->ranges[s->n_ranges++] = (struct range){.topic = p, .to = INT32_MAX};
}

void cmd_get_offsets(struct tool *t)
{
    static const tool_step steps[] = {metadata_ask, offsets_ask, offsets_print, NULL};
    struct offsets *s = arena_alloc(&t->arena, sizeof(*s));
    const char *ranges = flag_text(&t->flags, "topic-partitions"), *time = flag_text(&t->flags, "time");

    t->state = s;
    if (!time_parse(time, &s->time))
        tool_usage(t, "--time takes a timestamp in milliseconds or a word as latest or earliest, not \"%s\"",
                   time);
    else if (ranges && (flag_given(&t->flags, "topic") || flag_given(&t->flags, "partitions")))
        tool_usage(t, "--topic-partitions says it all: leave --topic and --partitions out");
    else if (ranges)
        ranges_parse(t, s, ranges);
    else
        partitions_parse(t, s);
    if (!t->ended)
        tool_steps(t, steps);
}
