/* delete-records: partitions and offsets from a JSON file, as Kafka's tool takes them. */
#include "broker/config.h"
#include "tools/commands.h"
#include <inttypes.h>
#include <jansson.h>

/* clang-format off */
const struct flag flags_delete_records[] = {
    {"offset-json-file", 0, FLAG_TEXT, "FILE", NULL, NULL, "{\"partitions\": [{\"topic\": \"t\", \"partition\": 0, \"offset\": 5}], \"version\": 1}; -1: up to the end"},
    FLAGS_CLIENT,
    {0},
};
/* clang-format on */

struct deletion {
    struct slice topic;
    int32_t partition;
    int64_t offset;
    struct client_call *call;
};

struct deletions {
    struct deletion *v;
    int n;
};

static bool deletion_parse(struct tool *t, json_t *row, struct deletions *s)
{
    const char *topic;
    json_int_t partition, offset;

    if (json_unpack(row, "{s:s, s:I, s:I}", "topic", &topic, "partition", &partition, "offset", &offset)) {
        tool_fail(t, "each of \"partitions\" has a topic, a partition and an offset");
        return false;
    }
    for (int i = 0; i < s->n; i++)
        if (slice_eq(s->v[i].topic, SLICE(topic)) && s->v[i].partition == partition) {
            tool_fail(t, "the file names %s-%d twice", topic, (int)partition);
            return false;
        }
    s->v[s->n++] = (struct deletion){
        .topic = arena_copy(&t->arena, SLICE(topic)), .partition = (int32_t)partition, .offset = offset};
    return true;
}

static void file_parse(struct tool *t, struct deletions *s, const char *path, struct slice text)
{
    json_error_t fault;
    json_t *root = json_loadb((const char *)text.p, text.len, 0, &fault), *list, *version;

    if (!root) {
        tool_fail(t, "%s:%d: this is no JSON: %s", path, fault.line, fault.text);
        return;
    }
    list = json_object_get(root, "partitions");
    version = json_object_get(root, "version");
    if (version && json_integer_value(version) != 1)
        tool_fail(t, "%s: \"version\" has to be 1", path);
    else if (!json_is_array(list))
        tool_fail(t, "%s: there is no list \"partitions\"", path);
    s->v = arena_alloc(&t->arena, (json_array_size(list) + 1) * sizeof(*s->v));
    for (size_t i = 0; !t->ended && i < json_array_size(list); i++)
        if (!deletion_parse(t, json_array_get(list, i), s))
            break;
    json_decref(root);
}

static void ask(struct tool *t)
{
    struct deletions *s = t->state;

    if (!t->json)
        bytes_printf(&t->out, "Executing records delete operation\n");
    for (int i = 0; i < s->n; i++) {
        struct DeleteRecordsRequest *in = tool_request(t, API_DeleteRecords);

        in->timeout_ms = 30000;
        PROTO_ARRAY_NEW(&t->arena, DeleteRecordsRequest_DeleteRecordsTopic, in->topics, 1);
        in->topics.v[0].name = s->v[i].topic;
        PROTO_ARRAY_NEW(&t->arena, DeleteRecordsRequest_DeleteRecordsPartition, in->topics.v[0].partitions,
                        1);
        in->topics.v[0].partitions.v[0].partition_index = s->v[i].partition;
        in->topics.v[0].partitions.v[0].offset = s->v[i].offset;
        s->v[i].call = tool_ask(t, client_leader(s->v[i].topic, s->v[i].partition), API_DeleteRecords, in);
    }
}

/* Why not, or NULL; *low is the first offset that is left. */
static const char *result(struct tool *t, const struct deletion *d, int64_t *low)
{
    const struct DeleteRecordsResponse *out;

    if (d->call->err == E_UNKNOWN_TOPIC_OR_PARTITION)
        return tool_error(t, err_wire(d->call->err), SLICE_NULL);
    out = tool_answer(t, d->call);
    if (!out || out->topics.n != 1 || out->topics.v[0].partitions.n != 1)
        return "no answer";
    *low = out->topics.v[0].partitions.v[0].low_watermark;
    int16_t code = out->topics.v[0].partitions.v[0].error_code;
    return code ? tool_error(t, code, SLICE_NULL) : NULL;
}

static void print(struct tool *t)
{
    const struct deletions *s = t->state;
    struct json j = tool_json(t);

    if (t->json)
        json_open(&j, NULL, '[');
    else
        bytes_printf(&t->out, "Records delete operation completed:\n");
    for (int i = 0; i < s->n; i++) {
        int64_t low = -1;
        const char *why = result(t, &s->v[i], &low);

        if (why)
            t->exit = EXIT_FAILED;
        if (t->json) {
            json_open(&j, NULL, '{');
            json_text(&j, "topic", s->v[i].topic);
            json_int(&j, "partition", s->v[i].partition);
            json_int(&j, "lowWatermark", low);
            json_str(&j, "error", why);
            json_close(&j, '}');
            continue;
        }
        bytes_printf(&t->out, "partition: %.*s-%d\t", (int)s->v[i].topic.len, s->v[i].topic.p,
                     s->v[i].partition);
        if (why)
            bytes_printf(&t->out, "error: %s\n", why);
        else
            bytes_printf(&t->out, "low_watermark: %" PRId64 "\n", low);
    }
    if (t->json) {
        json_close(&j, ']');
        bytes_printf(&t->out, "\n");
    }
}

void cmd_delete_records(struct tool *t)
{
    static const tool_step steps[] = {ask, print, NULL};
    struct deletions *s = arena_alloc(&t->arena, sizeof(*s));
    const char *path = flag_text(&t->flags, "offset-json-file");
    struct bytes text;

    t->state = s;
    if (!path) {
        tool_usage(t, "which records? --offset-json-file FILE");
        return;
    }
    bytes_init(&text, t->heap);
    enum err err = config_read_file(t->io, path, &text);
    if (err)
        tool_fail(t, "%s can't be read: %s", path, err_text(err));
    else
        file_parse(t, s, path, bytes_slice(&text));
    bytes_drop(&text);
    if (!t->ended)
        tool_steps(t, steps);
}
