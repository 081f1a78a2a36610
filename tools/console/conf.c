/* Kafka's settings of clients, as librdkafka calls them. */
#include "tools/console/console.h"
#include <stdlib.h>

enum { SLICE_MS = 250, METADATA_MS = 30000, FILE_MAX = 1 << 20 };

/* Kafka's name, librdkafka's, and by what its value is divided; NULL: accepted, and without meaning here. */
static const struct {
    const char *kafka, *name;
    int divide;
} names[] = {
    {"buffer.memory", "queue.buffering.max.kbytes", 1024},
    {"max.request.size", "message.max.bytes", 1},
    {"delivery.timeout.ms", "message.timeout.ms", 1},
    {"fetch.max.wait.ms", "fetch.wait.max.ms", 1},
    {"send.buffer.bytes", "socket.send.buffer.bytes", 1},
    {"receive.buffer.bytes", "socket.receive.buffer.bytes", 1},
    {"reconnect.backoff.max.ms", "reconnect.backoff.max.ms", 1},
    {"max.block.ms", NULL, 1},
    {"max.poll.records", NULL, 1},
    {"key.serializer", NULL, 1},
    {"value.serializer", NULL, 1},
    {"key.deserializer", NULL, 1},
    {"value.deserializer", NULL, 1},
    {"group.id", NULL, 1},
    {"enable.auto.commit", NULL, 1},
};

bool console_conf_set(struct console *c, const char *name, const char *value)
{
    char why[256];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].kafka, name) != 0)
            continue;
        if (!names[i].name)
            return true;
        name = names[i].name;
        if (names[i].divide > 1)
            value = arena_printf(&c->arena, "%lld", atoll(value) / names[i].divide);
        break;
    }
    if (strcmp(name, "security.protocol") == 0 && strcasecmp(value, "PLAINTEXT") != 0) {
        console_usage(c, "security.protocol=%s isn't there yet: it comes with security", value);
        return false;
    }
    if (strcmp(name, "transactional.id") == 0) {
        console_usage(c, "transactional.id isn't there yet: it comes with transactions");
        return false;
    }
    c->idempotence = c->idempotence || strcmp(name, "enable.idempotence") == 0;
    if (rd_kafka_conf_set(c->conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK) {
        console_usage(c, "%s=%s: %s", name, value, why);
        return false;
    }
    return true;
}

bool console_conf_number(struct console *c, const char *name, const char *flag)
{
    return !flag_given(&c->flags, flag) || console_conf_set(c, name, flag_text(&c->flags, flag));
}

/* librdkafka's own lines: what a person needs to know is said by us. */
static void quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    if (level <= 2)
        fprintf(stderr, "%s: %s\n", facility, text);
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    struct console *c = opaque;

    (void)rk;
    (void)reason;
    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        c->exit = EXIT_FAILED; /* console_metadata() asks whether it is still so */
}

bool console_conf_begin(struct console *c)
{
    c->conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(c->conf, quiet);
    rd_kafka_conf_set_error_cb(c->conf, on_error);
    rd_kafka_conf_set_opaque(c->conf, c);
    return console_conf_set(c, "bootstrap.servers", flag_text(&c->flags, "bootstrap-server")) &&
           console_conf_set(c, "client.id", "weir-console");
}

static bool file_read(struct console *c, const char *path, struct properties *out)
{
    char *text = arena_alloc(&c->arena, FILE_MAX);
    FILE *f = fopen(path, "r");

    if (!f) {
        console_fail(c, "%s can't be read", path);
        return false;
    }
    size_t len = fread(text, 1, FILE_MAX, f);
    fclose(f);
    properties_file(&c->arena, slice_of(text, len), out);
    return true;
}

static bool list_add(struct console *c, const char *flag, struct properties *out)
{
    const struct flag_value *list = flag_list(&c->flags, flag);
    struct property *v = arena_alloc(&c->arena, ((size_t)out->n + (size_t)list->n + 1) * sizeof(*v));

    if (out->n)
        memcpy(v, out->v, (size_t)out->n * sizeof(*v));
    out->v = v;
    for (int i = 0; i < list->n; i++) {
        const char *equals = strchr(list->list[i], '=');

        if (!equals) {
            console_usage(c, "--%s takes name=value, not \"%s\"", flag, list->list[i]);
            return false;
        }
        v[out->n].name = arena_str(&c->arena, slice_of(list->list[i], (size_t)(equals - list->list[i])));
        v[out->n++].value = equals + 1; /* blanks count: key.separator=' ' */
    }
    return true;
}

bool console_properties(struct console *c, const char *file_flag, const char *list_flag,
                        const char *older_list_flag, struct properties *out)
{
    const char *path = flag_text(&c->flags, file_flag);

    *out = (struct properties){0};
    if (path && !file_read(c, path, out))
        return false;
    return (!older_list_flag || list_add(c, older_list_flag, out)) && list_add(c, list_flag, out);
}

bool console_conf_end(struct console *c, const char *file_flag, const char *older_file_flag,
                      const char *list_flag, const char *older_list_flag)
{
    struct properties older = {0}, p;
    const char *path = flag_text(&c->flags, older_file_flag);

    if (path && !file_read(c, path, &older))
        return false;
    for (int i = 0; i < older.n; i++)
        if (!console_conf_set(c, older.v[i].name, older.v[i].value))
            return false;
    if (!console_properties(c, file_flag, list_flag, older_list_flag, &p))
        return false;
    for (int i = 0; i < p.n; i++)
        if (!console_conf_set(c, p.v[i].name, p.v[i].value))
            return false;
    return true;
}

bool console_conf_idempotent(struct console *c)
{
    static const struct {
        const char *name, *without;
    } rules[] = {{"acks", "0"}, {"acks", "1"}, {"retries", "0"}};
    char value[32];

    if (c->idempotence)
        return true;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        size_t len = sizeof(value);

        if (!rd_kafka_conf_get(c->conf, rules[i].name, value, &len) && strcmp(value, rules[i].without) == 0)
            return true;
    }
    return console_conf_set(c, "enable.idempotence", "true");
}

bool console_start(struct console *c, rd_kafka_type_t type)
{
    char why[512];

    c->rk = rd_kafka_new(type, c->conf, why, sizeof(why));
    if (!c->rk)
        console_usage(c, "%s", why);
    return c->rk != NULL;
}

/* NULL for as long as there is nothing to tell. */
static const struct rd_kafka_metadata *metadata_try(struct console *c, rd_kafka_topic_t *topic)
{
    const struct rd_kafka_metadata *m;

    if (rd_kafka_metadata(c->rk, topic == NULL, topic, &m, SLICE_MS))
        return NULL;
    /* A topic that is being made shows up a little later. */
    if (!topic || (m->topic_cnt == 1 && !m->topics[0].err))
        return m;
    if (m->topic_cnt == 1 && (m->topics[0].err == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION ||
                              m->topics[0].err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED))
        console_fail(c, "%s: %s", m->topics[0].topic, rd_kafka_err2str(m->topics[0].err));
    rd_kafka_metadata_destroy(m);
    return NULL;
}

const struct rd_kafka_metadata *console_metadata(struct console *c, const char *name)
{
    rd_kafka_topic_t *topic = name ? rd_kafka_topic_new(c->rk, name, NULL) : NULL;
    const struct rd_kafka_metadata *m = NULL;
    int64_t end = console_now_us() + METADATA_MS * 1000ll;
    const char *at = flag_text(&c->flags, "bootstrap-server");

    c->exit = EXIT_OK;
    while (!c->failed && !console_stopped() && !(m = metadata_try(c, topic))) {
        rd_kafka_poll(c->rk, 10);
        if (c->exit == EXIT_FAILED && !c->failed)
            console_fail(
                c, "no broker listens at %s; `weir server` starts one, --bootstrap-server names another", at);
        else if (console_now_us() > end && name)
            console_fail(c, "%s: there is no such topic at %s, and it can't be made", name, at);
        else if (console_now_us() > end)
            console_fail(c, "%s doesn't answer", at);
    }
    if (topic)
        rd_kafka_topic_destroy(topic);
    return m;
}
