/* Every partition of some topics into one queue, without a group: what consumers are until groups come. */
#include "tools/console/console.h"
#include <regex.h>
#include <stdlib.h>

static bool feed_start(struct console *c, struct feed *f, const struct rd_kafka_metadata_topic *t,
                       int32_t partition, int64_t offset)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(c->rk, t->topic, NULL);

    f->topics[f->n_topics++] = topic;
    for (int i = 0; i < t->partition_cnt; i++) {
        if (partition >= 0 && t->partitions[i].id != partition)
            continue;
        if (rd_kafka_consume_start_queue(topic, t->partitions[i].id, offset, f->queue)) {
            console_fail(c, "%s-%d can't be read: %s", t->topic, t->partitions[i].id,
                         rd_kafka_err2str(rd_kafka_last_error()));
            return false;
        }
        f->parts[f->n_parts++] = (struct feed_part){.topic = topic, .partition = t->partitions[i].id};
    }
    if (partition >= 0 && f->n_parts == 0)
        console_fail(c, "%s has no partition %d", t->topic, partition);
    return !c->failed;
}

static void feed_room(struct console *c, struct feed *f, const struct rd_kafka_metadata *m)
{
    size_t n = 0;

    for (int i = 0; i < m->topic_cnt; i++)
        n += (size_t)m->topics[i].partition_cnt;
    f->topics = arena_alloc(&c->arena, ((size_t)m->topic_cnt + 1) * sizeof(*f->topics));
    f->parts = arena_alloc(&c->arena, (n + 1) * sizeof(*f->parts));
}

bool feed_open(struct console *c, struct feed *f, const char *topic, const char *include, int32_t partition,
               int64_t offset)
{
    regex_t pattern;
    const struct rd_kafka_metadata *m;

    *f = (struct feed){0};
    if (include && regcomp(&pattern, arena_printf(&c->arena, "^(%s)$", include), REG_EXTENDED | REG_NOSUB)) {
        console_usage(c, "\"%s\" is no regular expression that weir understands (POSIX, extended)", include);
        return false;
    }
    m = console_metadata(c, include ? NULL : topic);
    if (m) {
        f->queue = rd_kafka_queue_new(c->rk);
        feed_room(c, f, m);
    }
    for (int i = 0; m && i < m->topic_cnt && !c->failed; i++)
        if (!include || regexec(&pattern, m->topics[i].topic, 0, NULL, 0) == 0)
            (void)feed_start(c, f, &m->topics[i], partition, offset);
    if (m && !c->failed && f->n_parts == 0)
        console_fail(c, "no topic matches \"%s\"", include ? include : topic);
    if (m)
        rd_kafka_metadata_destroy(m);
    if (include)
        regfree(&pattern);
    return m && !c->failed;
}

void feed_close(struct feed *f)
{
    for (int i = 0; i < f->n_parts; i++)
        rd_kafka_consume_stop(f->parts[i].topic, f->parts[i].partition);
    for (int i = 0; i < f->n_topics; i++)
        rd_kafka_topic_destroy(f->topics[i]);
    if (f->queue)
        rd_kafka_queue_destroy(f->queue);
}
