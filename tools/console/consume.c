/* consume: a record is a line. What the line shows is said by Kafka's formatter properties. */
#include "tools/console/console.h"
#include <stdlib.h>

enum { TURN_MS = 100, BATCH = 500, FLUSH_BYTES = 1 << 16 };

struct format {
    bool timestamp, key, offset, epoch, partition, headers, value;
    const char *key_separator, *line_separator, *headers_separator, *null_literal;
};

static const char *format_set(struct format *f, const char *name, const char *value)
{
    const struct {
        const char *name;
        bool *flag;
        const char **text;
    } rows[] = {{"print.timestamp", &f->timestamp, NULL},
                {"print.key", &f->key, NULL},
                {"print.offset", &f->offset, NULL},
                {"print.epoch", &f->epoch, NULL},
                {"print.partition", &f->partition, NULL},
                {"print.headers", &f->headers, NULL},
                {"print.value", &f->value, NULL},
                {"key.separator", NULL, &f->key_separator},
                {"line.separator", NULL, &f->line_separator},
                {"headers.separator", NULL, &f->headers_separator},
                {"null.literal", NULL, &f->null_literal}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        if (rows[i].flag)
            *rows[i].flag = strcmp(value, "true") == 0;
        else
            *rows[i].text = value;
        return NULL;
    }
    if (strstr(name, "deserializer"))
        return strstr(value, "StringDeserializer") || strstr(value, "ByteArrayDeserializer")
                   ? NULL
                   : "only StringDeserializer and ByteArrayDeserializer are built in: bytes are printed as "
                     "they are";
    return "there is no such property; `weir consume --help` lists them";
}

static void bytes_or_null(struct bytes *out, const struct format *f, const void *p, size_t len)
{
    if (p)
        bytes_add(out, p, len);
    else
        bytes_printf(out, "%s", f->null_literal);
}

static void headers_print(struct bytes *out, const struct format *f, const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t len;

    if (rd_kafka_message_headers(m, &headers)) {
        bytes_printf(out, "NO_HEADERS");
        return;
    }
    for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++) {
        bytes_printf(out, "%s%s:", i ? f->headers_separator : "", name);
        bytes_or_null(out, f, value, len);
    }
}

/* Between two parts, or behind the last. */
static void separate(struct bytes *out, const struct format *f, bool more)
{
    bytes_printf(out, "%s", more ? f->key_separator : f->line_separator);
}

static void message_print(struct bytes *out, const struct format *f, const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    int64_t timestamp = rd_kafka_message_timestamp(m, &type);
    bool after_headers = f->key || f->value, after_epoch = f->headers || after_headers,
         after_offset = f->epoch || after_epoch, after_partition = f->offset || after_offset;

    if (f->timestamp) {
        if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
            bytes_printf(out, "NO_TIMESTAMP");
        else
            bytes_printf(out, "%s:%lld",
                         type == RD_KAFKA_TIMESTAMP_CREATE_TIME ? "CreateTime" : "LogAppendTime",
                         (long long)timestamp);
        separate(out, f, f->partition || after_partition);
    }
    if (f->partition) {
        bytes_printf(out, "Partition:%d", m->partition);
        separate(out, f, after_partition);
    }
    if (f->offset) {
        bytes_printf(out, "Offset:%lld", (long long)m->offset);
        separate(out, f, after_offset);
    }
    if (f->epoch) {
        bytes_printf(out, "Epoch:NOT_PRESENT"); /* librdkafka 2.0 doesn't tell */
        separate(out, f, after_epoch);
    }
    if (f->headers) {
        headers_print(out, f, m);
        separate(out, f, after_headers);
    }
    if (f->key) {
        bytes_or_null(out, f, m->key, m->key_len);
        separate(out, f, f->value);
    }
    if (f->value) {
        bytes_or_null(out, f, m->payload, m->len);
        separate(out, f, false);
    }
}

static struct slice bytes_of(const void *p, size_t len)
{
    return p ? slice_of(p, len) : SLICE_NULL;
}

static void message_json(struct bytes *out, const rd_kafka_message_t *m)
{
    struct json j = {.out = out};
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t len;

    json_open(&j, NULL, '{');
    json_str(&j, "topic", rd_kafka_topic_name(m->rkt));
    json_int(&j, "partition", m->partition);
    json_int(&j, "offset", m->offset);
    json_int(&j, "timestamp", rd_kafka_message_timestamp(m, &type));
    json_str(&j, "timestampType",
             type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? "LogAppendTime" : "CreateTime");
    json_bytes(&j, "key", bytes_of(m->key, m->key_len));
    json_bytes(&j, "value", bytes_of(m->payload, m->len));
    json_open(&j, "headers", '[');
    if (!rd_kafka_message_headers(m, &headers))
        for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++) {
            json_open(&j, NULL, '{');
            json_str(&j, "key", name);
            json_bytes(&j, "value", bytes_of(value, len));
            json_close(&j, '}');
        }
    json_close(&j, ']');
    json_close(&j, '}');
    bytes_printf(out, "\n");
}

/* Until --max-messages, --timeout-ms or Ctrl-C. Returns how many were printed. */
static int64_t messages_read(struct console *c, struct feed *f, const struct format *format)
{
    int64_t max = flag_given(&c->flags, "max-messages") ? flag_number(&c->flags, "max-messages") : INT64_MAX;
    int64_t patience =
        flag_given(&c->flags, "timeout-ms") ? flag_number(&c->flags, "timeout-ms") * 1000 : INT64_MAX;
    int64_t n = 0, last = console_now_us();
    rd_kafka_message_t *v[BATCH];

    while (n < max && !console_stopped() && !c->failed && console_now_us() - last < patience) {
        ssize_t got =
            rd_kafka_consume_batch_queue(f->queue, TURN_MS, v, (size_t)(max - n < BATCH ? max - n : BATCH));

        for (ssize_t i = 0; i < got; i++) {
            if (!v[i]->err) {
                if (c->json)
                    message_json(&c->out, v[i]);
                else
                    message_print(&c->out, format, v[i]);
                n++;
                last = console_now_us();
            } else if (v[i]->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                console_fail(c, "%s-%d: %s", rd_kafka_topic_name(v[i]->rkt), v[i]->partition,
                             rd_kafka_message_errstr(v[i]));
            }
            rd_kafka_message_destroy(v[i]);
            if (c->out.len > FLUSH_BYTES)
                console_flush(c);
        }
        console_flush(c);
        rd_kafka_poll(c->rk, 0);
    }
    return n;
}

static bool offset_parse(struct console *c, int64_t *out)
{
    const char *text = flag_text(&c->flags, "offset");
    char *end;

    *out = flag_given(&c->flags, "from-beginning") ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END;
    if (!text)
        return true;
    if (!flag_given(&c->flags, "partition")) {
        console_usage(c, "--offset needs --partition: offsets count within one");
        return false;
    }
    if (flag_given(&c->flags, "from-beginning")) {
        console_usage(c, "--from-beginning or --offset, not both");
        return false;
    }
    if (strcmp(text, "earliest") == 0) {
        *out = RD_KAFKA_OFFSET_BEGINNING;
        return true;
    }
    if (strcmp(text, "latest") == 0)
        return true;
    *out = strtoll(text, &end, 10);
    if (end == text || *end || *out < 0)
        console_usage(c, "--offset takes a number from 0 on, earliest or latest, not \"%s\"", text);
    return !c->failed;
}

static bool format_read(struct console *c, struct format *f)
{
    struct properties p;
    const char *why = NULL, *java[] = {flag_text(&c->flags, "key-deserializer"),
                                       flag_text(&c->flags, "value-deserializer")};

    *f = (struct format){.value = true,
                         .key_separator = "\t",
                         .line_separator = "\n",
                         .headers_separator = ",",
                         .null_literal = "null"};
    if (!console_properties(c, "formatter-config", "formatter-property", "property", &p))
        return false;
    for (int i = 0; i < p.n && !why; i++)
        if ((why = format_set(f, p.v[i].name, p.v[i].value)))
            console_usage(c, "%s: %s", p.v[i].name, why);
    for (int i = 0; i < 2 && !why; i++)
        if (java[i] && (why = format_set(f, "deserializer", java[i])))
            console_usage(c, "%s", why);
    return !why;
}

int console_consume(struct console *c)
{
    const char *topic = flag_text(&c->flags, "topic"), *include = flag_text(&c->flags, "include");
    int32_t partition =
        flag_given(&c->flags, "partition") ? (int32_t)flag_number(&c->flags, "partition") : -1;
    int64_t offset, n = 0;
    struct format format;
    struct feed f;

    if (!topic == !include || (include && partition >= 0)) {
        console_usage(c, "which topic? --topic NAME, or --include REGEX without --partition");
        return c->exit;
    }
    if (!offset_parse(c, &offset) || !format_read(c, &format) || !console_conf_begin(c) ||
        !console_conf_set(c, "isolation.level", flag_text(&c->flags, "isolation-level")) ||
        !console_conf_set(c, "allow.auto.create.topics", "true") ||
        !console_conf_end(c, "command-config", "consumer.config", "command-property", "consumer-property") ||
        !console_start(c, RD_KAFKA_CONSUMER))
        return c->exit;
    if (feed_open(c, &f, topic, include, partition, offset))
        n = messages_read(c, &f, &format);
    feed_close(&f);
    rd_kafka_destroy(c->rk);
    if (!c->json && !c->failed)
        fprintf(stderr, "Processed a total of %lld messages\n", (long long)n);
    return c->failed ? c->exit : EXIT_OK;
}
