/* weir metadata stats: how many of what, and how large. */
#include "metadata/states.h"
#include "tools/cmd_metadata.h"
#include <inttypes.h>

const struct flag flags_metadata_stats[] = {FLAGS_METADATA, {0}};

enum { TYPES_MAX = 64 }; /* of records; there are half as many */

struct type_count {
    const char *name;
    int64_t n, bytes;
};
struct stats {
    struct tool *t;
    struct type_count types[TYPES_MAX];
    int n_types;
    int64_t batches, bytes, records, largest, first, last, first_ms, last_ms;
    int32_t epoch;
    int64_t leaders; /* changes of the controller */
    /* of the image at the end */
    int64_t partitions[PARTITION_OFFLINE + 1], replicas[REPLICA_OFFLINE + 1];
    int64_t brokers, fenced, configs;
};

static void count_type(struct stats *s, const char *name, size_t bytes)
{
    int k = 0;

    while (k < s->n_types && strcmp(s->types[k].name, name) != 0)
        k++;
    if (k == TYPES_MAX)
        return;
    if (k == s->n_types) {
        s->types[k] = (struct type_count){.name = arena_str(&s->t->arena, SLICE(name))};
        s->n_types++;
    }
    s->types[k].n++;
    s->types[k].bytes += (int64_t)bytes;
}

static void count_item(struct stats *s, const struct meta_item *i, struct arena *a)
{
    const char *name = meta_item_name(i, a);

    if (i->first) {
        s->batches++;
        s->bytes += (int64_t)i->batch.view.len;
        if ((int64_t)i->batch.view.len > s->largest)
            s->largest = (int64_t)i->batch.view.len;
    }
    if (s->records++ == 0) {
        s->first = i->offset;
        s->first_ms = i->time_ms;
    }
    s->last = i->offset;
    s->last_ms = i->time_ms;
    s->epoch = i->epoch;
    s->leaders += strcmp(name, "LeaderChange") == 0;
    count_type(s, name, i->value.len);
}

static bool count_log(struct stats *s, const struct meta_file *v, int n)
{
    struct meta_reader r;
    struct meta_item i;

    meta_reader_open(&r, s->t, meta_files(s->t, v, n, 0));
    while (meta_reader_next(&r, &i))
        count_item(s, &i, &r.arena);
    if (r.why)
        tool_warn(s->t, "%s; counted up to there", r.why);
    meta_reader_close(&r);
    return !r.why;
}

static void count_image(struct stats *s, const struct image *i)
{
    struct image_topics topics = image_topics_from(i, SLICE_NULL);
    struct image_brokers brokers = image_brokers_all(i);
    const struct image_topic *t;
    const struct image_broker *b;

    while ((t = image_topics_next(&topics))) {
        struct image_partitions w = image_partitions_from(t, 0);
        const struct image_partition *p;

        while ((p = image_partitions_next(&w))) {
            struct ids replicas = partition_replicas(p);

            s->partitions[partition_state(i, p)]++;
            for (int n = 0; n < replicas.n; n++)
                s->replicas[replica_state(i, p, replicas.v[n])]++;
        }
    }
    for (; (b = image_brokers_next(&brokers)); s->brokers++)
        s->fenced += b->reg.fenced;
    s->configs = i->configs.count;
}

static void print_json(struct stats *s, const struct image *i)
{
    struct json j = tool_json(s->t);

    json_open(&j, NULL, '{');
    json_int(&j, "batches", s->batches);
    json_int(&j, "records", s->records);
    json_int(&j, "bytes", s->bytes);
    json_int(&j, "largestBatch", s->largest);
    json_int(&j, "firstOffset", s->first);
    json_int(&j, "lastOffset", s->last);
    json_int(&j, "firstTimestamp", s->first_ms);
    json_int(&j, "lastTimestamp", s->last_ms);
    json_int(&j, "epoch", s->epoch);
    json_int(&j, "leaderChanges", s->leaders);
    json_open(&j, "types", '[');
    for (int k = 0; k < s->n_types; k++) {
        json_open(&j, NULL, '{');
        json_str(&j, "type", s->types[k].name);
        json_int(&j, "records", s->types[k].n);
        json_int(&j, "bytes", s->types[k].bytes);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    if (i) {
        json_open(&j, "image", '{');
        json_int(&j, "topics", i->topics.count);
        json_int(&j, "partitions", i->n_partitions);
        for (int k = PARTITION_NEW; k <= PARTITION_OFFLINE; k++)
            json_int(&j, arena_printf(&s->t->arena, "partitions%s", partition_state_name(k)),
                     s->partitions[k]);
        for (int k = REPLICA_NEW; k <= REPLICA_OFFLINE; k++)
            json_int(&j, arena_printf(&s->t->arena, "replicas%s", replica_state_name(k)), s->replicas[k]);
        json_int(&j, "brokers", s->brokers);
        json_int(&j, "fencedBrokers", s->fenced);
        json_int(&j, "configs", s->configs);
        json_close(&j, '}');
    }
    json_close(&j, '}');
    bytes_add(&s->t->out, "\n", 1);
}

static void print_text(struct stats *s, const struct image *i)
{
    struct bytes *out = &s->t->out;
    char from[META_TIME_LEN + 1], to[META_TIME_LEN + 1];
    struct table table;

    bytes_printf(out,
                 "%" PRId64 " records in %" PRId64 " batches, %" PRId64 " bytes (the largest %" PRId64 ")\n",
                 s->records, s->batches, s->bytes, s->largest);
    if (s->records)
        bytes_printf(
            out,
            "offsets %" PRId64 " to %" PRId64 ", %s to %s, epoch %d, %" PRId64 " changes of the leader\n",
            s->first, s->last, meta_time(s->first_ms, from), meta_time(s->last_ms, to), s->epoch, s->leaders);
    if (i) {
        bytes_printf(out, "image: %u topics, %u partitions", i->topics.count, i->n_partitions);
        bytes_printf(out, " (%" PRId64 " Online, %" PRId64 " Offline, %" PRId64 " New)",
                     s->partitions[PARTITION_ONLINE], s->partitions[PARTITION_OFFLINE],
                     s->partitions[PARTITION_NEW]);
        bytes_printf(out, ", replicas %" PRId64 " Online, %" PRId64 " Offline, %" PRId64 " New; ",
                     s->replicas[REPLICA_ONLINE], s->replicas[REPLICA_OFFLINE], s->replicas[REPLICA_NEW]);
        bytes_printf(out, "%" PRId64 " brokers (%" PRId64 " fenced), %" PRId64 " settings\n", s->brokers,
                     s->fenced, s->configs);
    }
    table_init(&table, s->t->heap, 3);
    table_cell(&table, "TYPE");
    table_cell(&table, "RECORDS");
    table_cell(&table, "BYTES");
    for (int k = 0; k < s->n_types; k++) {
        table_cell(&table, "%s", s->types[k].name);
        table_cell(&table, "%" PRId64, s->types[k].n);
        table_cell(&table, "%" PRId64, s->types[k].bytes);
    }
    table_print(&table, out);
    table_drop(&table);
}

static void print(struct stats *s, const struct image *i)
{
    if (s->t->json)
        print_json(s, i);
    else
        print_text(s, i);
}

void cmd_metadata_stats(struct tool *t)
{
    struct stats s = {.t = t};
    struct image *i = NULL;
    struct meta_place p;
    struct meta_walk w;
    bool well;

    if (!meta_open(t, &p))
        return;
    well = p.n_logs ? count_log(&s, p.logs, p.n_logs) : count_log(&s, &p.checkpoints[p.n_checkpoints - 1], 1);
    if (well && (p.n_checkpoints || p.logs[0].offset == 0) && meta_walk_open(&w, t, &p, META_END, false)) {
        i = meta_walk_to(&w, META_END);
        if (i) {
            count_image(&s, i);
            print(&s, i);
            image_unref(i, &w.state.grave);
        }
        meta_walk_close(&w);
    }
    if (!i)
        print(&s, NULL);
    if (!well)
        t->exit = EXIT_FAILED;
}
