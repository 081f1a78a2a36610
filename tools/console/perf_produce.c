/* perf produce: as many records as it takes, and how long each of them did. */
#include "tools/console/console.h"
#include "tools/latency.h"
#include <stdlib.h>
#include <time.h>

enum { LETTERS_MORE = 4096 };

struct payloads {
    struct slice *v;
    int n;
    int64_t size; /* without payloads: of random letters; -1: rising numbers */
    uint8_t *
        letters; /* a record is a stretch of them that begins anywhere: made once, the client has other work */
};

struct perf {
    struct console *c;
    struct latency all, steady; /* steady: behind the warmup */
    int64_t warmup, interval_us;
    int64_t failed;
};

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct perf *p = ((struct console *)opaque)->user;
    int64_t us = console_now_us() - (int64_t)(intptr_t)m->_private;

    (void)rk;
    if (m->err) {
        if (p->failed++ == 0)
            console_fail(p->c, "a record was not stored: %s", rd_kafka_err2str(m->err));
        return;
    }
    latency_add(&p->all, us, (int64_t)m->len);
    if (p->warmup && p->all.all.n > p->warmup) {
        if (p->steady.all.n == 0)
            p->steady.all.start_us = console_now_us() - us;
        latency_add(&p->steady, us, (int64_t)m->len);
    }
}

/* ---- What is sent ---- */

static bool payloads_read(struct console *c, struct payloads *p, const char *path)
{
    const char *mark = flag_text(&c->flags, "payload-delimiter");
    FILE *f = fopen(path, "r");
    struct slice rest;
    long size = 0;

    if (strcmp(mark, "\\n") == 0)
        mark = "\n";
    if (f && fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    if (size <= 0) {
        if (f)
            fclose(f);
        console_fail(c, "%s can't be read, or is empty", path);
        return false;
    }
    rewind(f);
    rest = slice_of(arena_alloc(&c->arena, (size_t)size), (size_t)size);
    rest.len = fread(rest.p, 1, rest.len, f);
    fclose(f);
    p->v = arena_alloc(&c->arena, (rest.len + 1) * sizeof(*p->v));
    while (rest.len) {
        uint8_t *at = memmem(rest.p, rest.len, mark, strlen(mark));
        size_t len = at ? (size_t)(at - rest.p) : rest.len;

        p->v[p->n++] = slice_of(rest.p, len);
        len += at ? strlen(mark) : 0;
        rest = slice_of(rest.p + len, rest.len - len);
    }
    return true;
}

static bool payloads_init(struct console *c, struct payloads *p)
{
    int ways = flag_given(&c->flags, "record-size") + flag_given(&c->flags, "payload-file") +
               flag_given(&c->flags, "payload-monotonic");

    *p = (struct payloads){.size = -1};
    if (ways != 1) {
        console_usage(c, "what to send? one of --record-size, --payload-file, --payload-monotonic");
        return false;
    }
    if (flag_given(&c->flags, "payload-file"))
        return payloads_read(c, p, flag_text(&c->flags, "payload-file"));
    if (!flag_given(&c->flags, "record-size"))
        return true;
    p->size = flag_number(&c->flags, "record-size");
    if (p->size <= 0 || p->size > INT32_MAX) {
        console_usage(c, "--record-size takes a number above 0");
        return false;
    }
    p->letters = arena_alloc(&c->arena, (size_t)p->size + LETTERS_MORE);
    for (int64_t k = 0; k < p->size + LETTERS_MORE; k++)
        p->letters[k] = (uint8_t)('A' + random() % 26);
    return true;
}

static struct slice payload_of(struct payloads *p, int64_t i, char number[32])
{
    if (p->v)
        return p->v[random() % p->n];
    if (p->size < 0)
        return slice_of(number, (size_t)snprintf(number, 32, "%lld", (long long)i));
    return slice_of(p->letters + random() % LETTERS_MORE, (size_t)p->size);
}

/* ---- The run ---- */

static void progress(struct perf *p)
{
    int64_t now = console_now_us();

    if (now - p->all.window.start_us < p->interval_us)
        return;
    if (!p->c->json)
        latency_window_print(&p->all, now, &p->c->out);
    else
        p->all.window = (struct latency_window){.start_us = now};
    console_flush(p->c);
}

/* Not faster than --throughput. */
static void pace(struct perf *p, int64_t i, double per_second)
{
    int64_t due = p->all.all.start_us + (int64_t)((double)i / per_second * 1e6), now;

    while ((now = console_now_us()) < due && !console_stopped()) {
        rd_kafka_poll(p->c->rk, due - now >= 2000 ? 1 : 0);
        progress(p);
        now = console_now_us();
        if (now < due && due - now < 2000) {
            struct timespec rest = {.tv_nsec = (due - now) * 1000};

            nanosleep(&rest, NULL);
        }
    }
}

static void records_send(struct perf *p, rd_kafka_topic_t *topic, struct payloads *payloads, int64_t n,
                         double per_second)
{
    char number[32];

    for (int64_t i = 0; i < n && !console_stopped() && !p->c->failed; i++) {
        struct slice value = payload_of(payloads, i, number);

        if (per_second > 0)
            pace(p, i, per_second);
        while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value.p, value.len, NULL,
                                0, (void *)(intptr_t)console_now_us())) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                console_fail(p->c, "record %lld can't be sent: %s", (long long)i,
                             rd_kafka_err2str(rd_kafka_last_error()));
                return;
            }
            rd_kafka_poll(p->c->rk, 10);
            progress(p);
        }
        if (i % 64 == 0) {
            rd_kafka_poll(p->c->rk, 0);
            progress(p);
        }
    }
    while (rd_kafka_outq_len(p->c->rk) > 0 && !console_stopped()) {
        rd_kafka_poll(p->c->rk, 50);
        progress(p);
    }
}

static void total_print(struct perf *p, struct latency *l, const char *which, int64_t now)
{
    static const double parts[] = {0.5, 0.95, 0.99, 0.999};
    double seconds = (double)(now - l->all.start_us) / 1e6, n = (double)l->all.n;
    double avg = l->all.n ? (double)l->all.sum_us / n / 1000 : 0;
    struct bytes *out = &p->c->out;
    long long ms[4];

    for (int i = 0; i < 4; i++)
        ms[i] = (latency_percentile_us(l, parts[i]) + 500) / 1000;
    if (p->c->json) {
        struct json j = {.out = out};

        json_open(&j, NULL, '{');
        json_str(&j, "part", *which ? "steady" : "all");
        json_int(&j, "records", l->all.n);
        json_int(&j, "failed", p->failed);
        json_number(&j, "recordsPerSecond", n / seconds, 1);
        json_number(&j, "megabytesPerSecond", (double)l->all.bytes / seconds / (1 << 20), 2);
        json_number(&j, "avgMs", avg, 3);
        json_number(&j, "maxMs", (double)l->all.max_us / 1000, 3);
        for (int i = 0; i < 4; i++) {
            static const char *const names[] = {"p50Ms", "p95Ms", "p99Ms", "p999Ms"};

            json_number(&j, names[i], (double)latency_percentile_us(l, parts[i]) / 1000, 3);
        }
        json_close(&j, '}');
        bytes_printf(out, "\n");
        return;
    }
    bytes_printf(
        out,
        "%lld%s records sent, %f records/sec (%.2f MB/sec), %.2f ms avg latency, %.2f ms max latency, "
        "%lld ms 50th, %lld ms 95th, %lld ms 99th, %lld ms 99.9th.\n",
        (long long)l->all.n, which, n / seconds, (double)l->all.bytes / seconds / (1 << 20), avg,
        (double)l->all.max_us / 1000, ms[0], ms[1], ms[2], ms[3]);
}

static bool perf_check(struct console *c, struct payloads *payloads, double *per_second)
{
    char *end;

    if (!flag_text(&c->flags, "topic") || flag_number(&c->flags, "num-records") <= 0)
        console_usage(c, "perf produce takes --topic NAME and --num-records N");
    *per_second = strtod(flag_text(&c->flags, "throughput"), &end);
    if (*end && !c->failed)
        console_usage(c, "--throughput takes a number, not \"%s\"", flag_text(&c->flags, "throughput"));
    return !c->failed && payloads_init(c, payloads) && console_conf_begin(c) &&
           console_conf_set(c, "partitioner", "murmur2_random") && console_conf_set(c, "acks", "all") &&
           console_conf_set(c, "linger.ms", "5") && console_conf_set(c, "batch.size", "16384") &&
           console_conf_set(c, "queue.buffering.max.kbytes", "32768") &&
           console_conf_end(c, "command-config", "producer.config", "command-property", "producer-props") &&
           console_conf_idempotent(c);
}

int console_perf_produce(struct console *c)
{
    struct perf p = {.c = c,
                     .warmup = flag_number(&c->flags, "warmup-records"),
                     .interval_us = flag_number(&c->flags, "reporting-interval") * 1000};
    const char *name = flag_text(&c->flags, "topic");
    int64_t n = flag_number(&c->flags, "num-records");
    const struct rd_kafka_metadata *m;
    struct payloads payloads;
    double per_second;

    if (!perf_check(c, &payloads, &per_second))
        return c->exit;
    rd_kafka_conf_set_dr_msg_cb(c->conf, delivered);
    if (!console_start(c, RD_KAFKA_PRODUCER))
        return c->exit;
    if ((m = console_metadata(c, name))) {
        rd_kafka_topic_t *topic = rd_kafka_topic_new(c->rk, name, NULL);

        c->user = &p;
        latency_init(&p.all, c->heap, n, console_now_us());
        latency_init(&p.steady, c->heap, n, console_now_us());
        records_send(&p, topic, &payloads, n, per_second);
        total_print(&p, &p.all, "", console_now_us());
        if (p.warmup)
            total_print(&p, &p.steady, " steady state", console_now_us());
        rd_kafka_topic_destroy(topic);
        rd_kafka_metadata_destroy(m);
        latency_drop(&p.all);
        latency_drop(&p.steady);
    }
    rd_kafka_destroy(c->rk);
    return c->failed ? c->exit : EXIT_OK;
}
