/* perf consume: how fast records come. Kafka's columns; without a group, the time of a rebalance is the time until the
 * first answer. */
#include "tools/console/console.h"
#include <time.h>

enum { TURN_MS = 100, BATCH = 1000 };

struct perf {
    struct console *c;
    int64_t n, bytes;
    int64_t start_ms, start_us, joined_us; /* joined_us: when partitions were known */
    int64_t last_n, last_bytes, last_us;   /* of the reporting interval */
};

static void time_text(int64_t ms, char text[64])
{
    time_t seconds = ms / 1000;
    struct tm local;
    size_t len;

    localtime_r(&seconds, &local);
    len = strftime(text, 48, "%Y-%m-%d %H:%M:%S", &local);
    snprintf(text + len, 8, ":%03d", (int)(ms % 1000));
}

static double mb(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void detail_print(struct perf *p, int64_t now)
{
    double seconds = (double)(now - p->last_us) / 1e6;
    char text[64];

    time_text(console_wall_ms(), text);
    bytes_printf(&p->c->out, "%s, 0, %.4f, %.4f, %lld, %.4f, %d, %lld, %.4f, %.4f\n", text, mb(p->bytes),
                 mb(p->bytes - p->last_bytes) / seconds, (long long)p->n,
                 (double)(p->n - p->last_n) / seconds, 0, (long long)((now - p->last_us) / 1000),
                 mb(p->bytes - p->last_bytes) / seconds, (double)(p->n - p->last_n) / seconds);
    console_flush(p->c);
}

static void report(struct perf *p)
{
    int64_t now = console_now_us();

    if (now - p->last_us < flag_number(&p->c->flags, "reporting-interval") * 1000)
        return;
    if (flag_given(&p->c->flags, "show-detailed-stats"))
        detail_print(p, now);
    p->last_us = now;
    p->last_n = p->n;
    p->last_bytes = p->bytes;
}

static void messages_read(struct perf *p, struct feed *f, int64_t max)
{
    int64_t timeout = flag_number(&p->c->flags, "timeout"), last = console_now_us();
    rd_kafka_message_t *v[BATCH];

    while (p->n < max && !console_stopped() && !p->c->failed) {
        ssize_t got = rd_kafka_consume_batch_queue(f->queue, TURN_MS, v,
                                                   (size_t)(max - p->n < BATCH ? max - p->n : BATCH));

        for (ssize_t i = 0; i < got; i++) {
            if (!v[i]->err) {
                p->n++;
                p->bytes += (int64_t)(v[i]->len + v[i]->key_len);
            } else if (v[i]->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                console_fail(p->c, "%s", rd_kafka_message_errstr(v[i]));
            }
            rd_kafka_message_destroy(v[i]);
        }
        if (got > 0)
            last = console_now_us();
        report(p);
        if (console_now_us() - last > timeout * 1000) {
            fprintf(stderr, "weir: gave up after %lld ms without a record; --timeout gives it more\n",
                    (long long)timeout);
            break;
        }
    }
}

static void total_print(struct perf *p)
{
    int64_t end_us = console_now_us();
    double seconds = (double)(end_us - p->start_us) / 1e6, fetch = (double)(end_us - p->joined_us) / 1e6;
    char from[64], to[64];

    if (p->c->json) {
        struct json j = {.out = &p->c->out};

        json_open(&j, NULL, '{');
        json_int(&j, "records", p->n);
        json_number(&j, "megabytes", mb(p->bytes), 4);
        json_number(&j, "megabytesPerSecond", mb(p->bytes) / seconds, 4);
        json_number(&j, "recordsPerSecond", (double)p->n / seconds, 4);
        json_number(&j, "fetchSeconds", fetch, 3);
        json_close(&j, '}');
        bytes_printf(&p->c->out, "\n");
        return;
    }
    time_text(p->start_ms, from);
    time_text(console_wall_ms(), to);
    bytes_printf(&p->c->out, "%s, %s, %.4f, %.4f, %lld, %.4f, %lld, %lld, %.4f, %.4f\n", from, to,
                 mb(p->bytes), mb(p->bytes) / seconds, (long long)p->n, (double)p->n / seconds,
                 (long long)((p->joined_us - p->start_us) / 1000),
                 (long long)((end_us - p->joined_us) / 1000), mb(p->bytes) / fetch, (double)p->n / fetch);
}

static void header_print(struct console *c)
{
    bool detailed = flag_given(&c->flags, "show-detailed-stats");

    if (c->json || flag_given(&c->flags, "hide-header"))
        return;
    bytes_printf(
        &c->out,
        "%s, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, "
        "fetch.MB.sec, fetch.nMsg.sec\n",
        detailed ? "time, threadId" : "start.time, end.time");
}

int console_perf_consume(struct console *c)
{
    const char *topic = flag_text(&c->flags, "topic"), *include = flag_text(&c->flags, "include");
    int64_t max = flag_number(&c->flags, flag_given(&c->flags, "num-records") ? "num-records" : "messages");
    struct perf p = {.c = c};
    struct feed f;

    if (!topic == !include || max <= 0)
        console_usage(c, "perf consume takes --topic NAME (or --include REGEX) and --num-records N");
    else if (strcmp(flag_text(&c->flags, "date-format"), "yyyy-MM-dd HH:mm:ss:SSS") != 0)
        console_usage(c, "times are printed as yyyy-MM-dd HH:mm:ss:SSS only");
    if (c->failed || !console_conf_begin(c) ||
        !console_conf_set(c, "max.partition.fetch.bytes", flag_text(&c->flags, "fetch-size")) ||
        !console_conf_set(c, "receive.buffer.bytes", flag_text(&c->flags, "socket-buffer-size")) ||
        !console_conf_set(c, "check.crcs", "true") ||
        !console_conf_end(c, "command-config", "consumer.config", "command-property", NULL) ||
        !console_start(c, RD_KAFKA_CONSUMER))
        return c->exit;
    header_print(c);
    p.start_ms = console_wall_ms();
    p.start_us = console_now_us();
    if (feed_open(c, &f, topic, include, -1,
                  flag_given(&c->flags, "from-latest") ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING)) {
        p.joined_us = p.last_us = console_now_us();
        messages_read(&p, &f, max);
        if (c->json || !flag_given(&c->flags, "show-detailed-stats"))
            total_print(&p);
    }
    feed_close(&f);
    rd_kafka_destroy(c->rk);
    return c->failed ? c->exit : EXIT_OK;
}
