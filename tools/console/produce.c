/* produce: a line is a record. What a line may hold is said by Kafka's reader properties. */
#include "tools/console/console.h"
#include "tools/lines.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct produce {
    struct console *c;
    struct line_rules rules;
    rd_kafka_topic_t *topic;
    int64_t sent, failed;
    int64_t line;
    bool sync;
};

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct produce *p = m->_private;

    (void)rk;
    (void)opaque;
    if (!m->err) {
        p->sent++;
        return;
    }
    if (p->failed++ == 0)
        console_fail(p->c, "a record was not stored: %s", rd_kafka_err2str(m->err));
}

static rd_kafka_headers_t *headers_of(const struct line_parts *parts)
{
    rd_kafka_headers_t *headers = parts->n_headers ? rd_kafka_headers_new((size_t)parts->n_headers) : NULL;

    for (int i = 0; i < parts->n_headers; i++)
        rd_kafka_header_add(headers, (const char *)parts->headers[i].key.p,
                            (ssize_t)parts->headers[i].key.len, parts->headers[i].value.p,
                            (ssize_t)parts->headers[i].value.len);
    return headers;
}

/* Waits where the queue is full: the reader is as slow as the broker. */
static bool record_send(struct produce *p, const struct line_parts *parts)
{
    rd_kafka_headers_t *headers = headers_of(parts);
    rd_kafka_resp_err_t err;

    do {
        err = rd_kafka_producev(p->c->rk, RD_KAFKA_V_RKT(p->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                RD_KAFKA_V_KEY(parts->key.p, parts->key.len),
                                RD_KAFKA_V_VALUE(parts->value.p, parts->value.len),
                                RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(p), RD_KAFKA_V_END);
        if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(p->c->rk, 100);
    } while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL && !console_stopped());
    if (err && headers)
        rd_kafka_headers_destroy(headers);
    if (err)
        console_fail(p->c, "line %lld can't be sent: %s", (long long)p->line, rd_kafka_err2str(err));
    if (!err && p->sync)
        rd_kafka_flush(p->c->rk, 120000);
    rd_kafka_poll(p->c->rk, 0);
    return !err;
}

static void lines_read(struct produce *p)
{
    char *line = NULL;
    size_t room = 0;
    bool prompt = isatty(0) && isatty(1);
    struct arena arena;
    ssize_t len;

    arena_init(&arena, p->c->heap, SIZE_MAX);
    while (!console_stopped()) {
        struct line_parts parts;
        const char *why;

        if (prompt && write(1, ">", 1) != 1)
            break;
        if ((len = getline(&line, &room, stdin)) < 0)
            break;
        p->line++;
        if (len && line[len - 1] == '\n')
            len--;
        if (len && line[len - 1] == '\r')
            len--;
        arena_reset(&arena);
        why = line_split(&p->rules, slice_of(line, (size_t)len), &arena, &parts);
        if (why) {
            console_fail(p->c, "line %lld: %s: \"%.*s\"", (long long)p->line, why, (int)len, line);
            break;
        }
        if (!record_send(p, &parts))
            break;
    }
    free(line);
    arena_drop(&arena);
}

static bool produce_conf(struct console *c)
{
    const char *codec = flag_text(&c->flags, "compression-codec");

    return console_conf_begin(c) && console_conf_set(c, "partitioner", "murmur2_random") &&
           console_conf_set(c, "acks", flag_text(&c->flags, "request-required-acks")) &&
           console_conf_set(c, "linger.ms",
                            flag_given(&c->flags, "sync") ? "0" : flag_text(&c->flags, "timeout")) &&
           (!codec || console_conf_set(c, "compression.type", codec)) &&
           console_conf_number(c, "request.timeout.ms", "request-timeout-ms") &&
           console_conf_number(c, "retries", "message-send-max-retries") &&
           console_conf_number(c, "retry.backoff.ms", "retry-backoff-ms") &&
           console_conf_number(c, "metadata.max.age.ms", "metadata-expiry-ms") &&
           console_conf_number(c, "delivery.timeout.ms", "max-block-ms") &&
           console_conf_number(c, "buffer.memory", "max-memory-bytes") &&
           console_conf_number(c, "batch.size", "max-partition-memory-bytes") &&
           console_conf_number(c, "batch.size", "batch-size") &&
           console_conf_number(c, "send.buffer.bytes", "socket-buffer-size") &&
           console_conf_end(c, "command-config", "producer.config", "command-property",
                            "producer-property") &&
           console_conf_idempotent(c);
}

static bool rules_read(struct console *c, struct line_rules *rules)
{
    struct properties p;
    const char *why = NULL;

    line_rules_init(rules);
    if (!console_properties(c, "reader-config", "reader-property", "property", &p))
        return false;
    for (int i = 0; i < p.n && !why; i++)
        if ((why = line_rules_set(rules, p.v[i].name, p.v[i].value)))
            console_usage(c, "%s: %s", p.v[i].name, why);
    if (!why && (why = line_rules_check(rules)))
        console_usage(c, "%s", why);
    return !why;
}

static int produce_end(struct produce *p, const char *name)
{
    struct console *c = p->c;
    struct json j = {.out = &c->out};

    for (int64_t end = console_now_us() + 120000000; rd_kafka_outq_len(c->rk) && console_now_us() < end;)
        rd_kafka_flush(c->rk, 200);
    if (c->json) {
        json_open(&j, NULL, '{');
        json_str(&j, "topic", name);
        json_int(&j, "sent", p->sent);
        json_int(&j, "failed", p->failed);
        json_close(&j, '}');
        bytes_printf(&c->out, "\n");
    }
    return c->failed ? c->exit : EXIT_OK;
}

int console_produce(struct console *c)
{
    struct produce p = {.c = c, .sync = flag_given(&c->flags, "sync")};
    const char *name = flag_text(&c->flags, "topic");
    const struct rd_kafka_metadata *m = NULL;
    int code;

    if (!name) {
        console_usage(c, "which topic? --topic NAME");
        return c->exit;
    }
    if (!rules_read(c, &p.rules) || !produce_conf(c))
        return c->exit;
    rd_kafka_conf_set_dr_msg_cb(c->conf, delivered);
    if (!console_start(c, RD_KAFKA_PRODUCER))
        return c->exit;
    if ((m = console_metadata(c, name))) {
        p.topic = rd_kafka_topic_new(c->rk, name, NULL);
        lines_read(&p);
        code = produce_end(&p, name);
        rd_kafka_topic_destroy(p.topic);
        rd_kafka_metadata_destroy(m);
    } else {
        code = c->exit;
    }
    rd_kafka_destroy(c->rk);
    return code;
}
