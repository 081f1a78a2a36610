#include "broker/config_rows.h"
#include "log/log.h"
#include "metadata/controller.h"
#include "tests/unit/broker/config_world.h"
#include <limits.h>
#include <time.h>

static struct config_entry entry(const char *name, const char *value)
{
    return (struct config_entry){.name = SLICE(name), .value = value ? SLICE(value) : SLICE_NULL};
}

/* A value for this broker wins over one for the cluster, that over the file, that over the default. */
TEST(config, layers)
{
    struct small_world w;
    struct config *c = small_config(&w, "num.io.threads=5\n"), *d;
    struct config_entry cluster[] = {entry("num.io.threads", "6"), entry("log.retention.ms", "77"),
                                     entry("num.partitions", "9")};
    struct config_entry broker[] = {entry("num.io.threads", "7"), entry("num.network.threads", "rubbish")};

    CHECK_EQ(config_int(c, C_num_io_threads), 5);
    CHECK_EQ(config_int(c, C_num_network_threads), 3);
    d = config_with(c, cluster, 3, broker, 0);
    CHECK_EQ(config_int(d, C_num_io_threads), 6);
    CHECK_EQ(config_int(d, C_num_partitions), 1); /* read-only: a stored record can't change it */
    d = config_with(d, cluster, 3, broker, 2);
    CHECK_EQ(config_int(d, C_num_io_threads), 7);
    CHECK_EQ(config_int(d, C_num_network_threads), 3);
    d = config_with(d, NULL, 0, NULL, 0);
    CHECK_EQ(config_int(d, C_num_io_threads), 5);
    CHECK_EQ(config_int(c, C_num_io_threads), 5);
    heap_drop(w.heap);
}

/* A topic's own value wins over the broker's synonyms, whose finer unit wins over the coarser. */
TEST(config, topics_fall_back_to_synonyms)
{
    struct small_world w;
    struct config *c =
        small_config(&w, "log.retention.minutes=2\nlog.roll.hours=3\nmessage.max.bytes=5000\n"
                         "log.cleanup.policy=compact\ncompression.type=zstd\nlog.durable=true\n"
                         "log.flush.scheduler.interval.ms=9\n");
    struct config_entry own[] = {entry("max.message.bytes", "6000"),
                                 entry("cleanup.policy", "delete,compact"), entry("compression.type", "gzip"),
                                 entry("log.durable", "false"), entry("internal.segment.bytes", "1000")};
    struct log_config log;

    config_log(c, NULL, 0, &log);
    CHECK_EQ(log.retention_ms, 120000);
    CHECK_EQ(log.segment_ms, 3 * 3600000);
    CHECK_EQ(log.max_message_bytes, 5000);
    CHECK_EQ(log.flush_ms, 9);
    CHECK(log.cleanup_compact && !log.cleanup_delete && log.durable);
    CHECK(log.recompress && log.codec == CODEC_ZSTD && log.codec_level == 3);
    config_log(c, own, 5, &log);
    CHECK_EQ(log.max_message_bytes, 6000);
    CHECK_EQ(log.segment_bytes, 1000);
    CHECK(log.cleanup_compact && log.cleanup_delete && !log.durable);
    CHECK(log.codec == CODEC_GZIP && log.codec_level == INT_MIN);
    c = small_load(&w, "");
    config_log(c, NULL, 0, &log);
    CHECK_EQ(log.retention_ms, 604800000);
    CHECK_EQ(log.flush_ms, INT64_MAX);
    CHECK(!log.recompress && log.cleanup_delete && !log.durable && !log.append_time);
    heap_drop(w.heap);
}

/* Every setting is found by its resource and name; no other name is. */
TEST(config, rows_are_found_by_name)
{
    for (int id = 0; id < CONFIG_COUNT; id++) {
        const struct config_row *row = config_row((enum config_id)id);
        char longer[200];

        CHECK_EQ(config_find(row->resource, SLICE(row->name)), id);
        CHECK(id == 0 || config_row((enum config_id)(id - 1))->resource != row->resource ||
              strcmp(config_row((enum config_id)(id - 1))->name, row->name) < 0);
        (void)snprintf(longer, sizeof(longer), "%s.", row->name);
        CHECK_EQ(config_find(row->resource, SLICE(longer)), CONFIG_COUNT);
        CHECK_EQ(config_find(CONFIG_BROKER_LOGGER, SLICE(row->name)), CONFIG_COUNT);
    }
    CHECK_EQ(config_find(CONFIG_BROKER, SLICE("")), CONFIG_COUNT);
    CHECK_EQ(config_find(CONFIG_CLIENT_METRICS, SLICE("zzz")), CONFIG_COUNT);
}

static double seconds_with_unknown(const struct config *c, int n)
{
    struct config_entry *v = heap_alloc(c->heap, (size_t)n * sizeof(*v));
    struct config_described *d;
    struct config *with;
    struct arena a;
    clock_t from;
    int told, seen = 0;

    arena_init(&a, c->heap, SIZE_MAX);
    for (int i = 0; i < n; i++)
        v[i] = entry(arena_printf(&a, "my.%d", i % (n - 1)), i == n - 1 ? "new" : "old");
    from = clock();
    with = config_with(c, NULL, 0, v, n);
    from = clock() - from;
    d = config_describe(with, CONFIG_BROKER, false, NULL, 0, &a, &told);
    for (int i = 0; i < told; i++)
        if (strncmp(d[i].name, "my.", 3) == 0)
            seen++;
    CHECK_EQ(seen, n - 1); /* the one that came twice is there once, as it came last */
    CHECK_EQ(with->n_unknown, n - 1);
    CHECK_STR(with->unknown[0].value, "new");
    CHECK_STR(with->unknown[n - 2].value, "old");
    config_drop(with);
    heap_free(c->heap, v);
    arena_drop(&a);
    return (double)from / CLOCKS_PER_SEC;
}

/* Settings that nobody knows cost the same each, however many are stored. */
TEST(config, many_unknown_settings)
{
    struct small_world w;
    struct config *c = small_config(&w, "");
    double few = seconds_with_unknown(c, 5000), many = seconds_with_unknown(c, 100000);

    CHECK(many < 80 * few + 0.1);
    heap_drop(w.heap);
}

static int16_t check(const struct config *c, enum config_resource type, const char *resource,
                     const char *name, const char *value)
{
    char why[512];

    return err_wire(config_check(c, type, SLICE(resource), SLICE(name), value ? SLICE(value) : SLICE_NULL,
                                 why, sizeof(why)));
}

/* Altering follows Kafka's rules and answers with its codes. */
TEST(config, alterations_are_checked_as_kafka_does)
{
    static const struct {
        enum config_resource type;
        const char *resource, *name, *value;
        int16_t code;
    } cases[] = {
        {CONFIG_TOPIC, "t", "retention.ms", "-1", 0},
        {CONFIG_TOPIC, "t", "retention.ms", " +5 ", 0},
        {CONFIG_TOPIC, "t", "retention.ms", "-2", 40},
        {CONFIG_TOPIC, "t", "retention.ms", "", 40},
        {CONFIG_TOPIC, "t", "retention.ms", "9223372036854775808", 40},
        {CONFIG_TOPIC, "t", "nope", "1", 40},
        {CONFIG_TOPIC, "t", "segment.bytes", "1.5", 40},
        {CONFIG_TOPIC, "t", "cleanup.policy", "", 0},
        {CONFIG_TOPIC, "t", "cleanup.policy", "delete, compact", 0},
        {CONFIG_TOPIC, "t", "cleanup.policy", "delete,", 40},
        {CONFIG_TOPIC, "t", "cleanup.policy", "Delete", 40},
        {CONFIG_TOPIC, "t", "preallocate", "TRUE", 0},
        {CONFIG_TOPIC, "t", "preallocate", "yes", 40},
        {CONFIG_TOPIC, "t", "compression.type", "GZIP", 40},
        {CONFIG_TOPIC, "t", "min.cleanable.dirty.ratio", "0.5d", 0},
        {CONFIG_TOPIC, "t", "min.cleanable.dirty.ratio", "NaN", 40},
        {CONFIG_TOPIC, "t", "leader.replication.throttled.replicas", "*", 0},
        {CONFIG_TOPIC, "t", "leader.replication.throttled.replicas", "1:2,3:4", 0},
        {CONFIG_TOPIC, "t", "leader.replication.throttled.replicas", "*,1:2", 40},
        {CONFIG_TOPIC, "t", "leader.replication.throttled.replicas", "1-2", 40},
        {CONFIG_TOPIC, "t", "remote.storage.enable", "true", 40},
        {CONFIG_TOPIC, "t", "log.durable", "true", 0},
        {CONFIG_BROKER, "1", "num.io.threads", "10", 0},
        {CONFIG_BROKER, "1", "num.io.threads", "17", 42},
        {CONFIG_BROKER, "1", "num.io.threads", "3", 42},
        {CONFIG_BROKER, "", "log.retention.ms", "5", 0},
        {CONFIG_BROKER, "x", "log.retention.ms", "5", 42},
        {CONFIG_BROKER, "", "log.retention.hours", "5", 42},
        {CONFIG_BROKER, "", "principal.builder.class", "x", 42},
        {CONFIG_BROKER, "1", "ssl.keystore.location", "x", 42},
        {CONFIG_BROKER, "1", "nobody.knows.it", "x", 0},
        {CONFIG_CLIENT_METRICS, "s", "interval.ms", "100", 0},
        {CONFIG_CLIENT_METRICS, "s", "interval.ms", "99", 42},
        {CONFIG_CLIENT_METRICS, "s", "nope", "1", 42},
        {CONFIG_BROKER, "1", "listener.name.plaintext.max.connections", "5", 0},
        {CONFIG_BROKER, "", "listener.name.plaintext.max.connection.creation.rate", "5", 0},
        {CONFIG_BROKER, "1", "listener.name.plaintext.max.connections", "-1", 42},
        {CONFIG_BROKER, "1", "listener.name.other.max.connections", "5", 42},
        {CONFIG_BROKER, "1", "listener.name.plaintext.num.network.threads", "5", 42},
        {CONFIG_BROKER, "", "leader.replication.throttled.rate", "5", 0},
        {CONFIG_CLIENT_METRICS, "s", "match", "client_id=a.*,client_software_name=librdkafka", 0},
        {CONFIG_CLIENT_METRICS, "s", "match", "client_id=(", 40},
        {CONFIG_CLIENT_METRICS, "s", "match", "name=a", 40},
        {CONFIG_CLIENT_METRICS, "", "interval.ms", "100", 42},
        {CONFIG_GROUP, "g", "share.auto.offset.reset", "by_duration:P1DT2H3.5S", 0},
        {CONFIG_GROUP, "g", "share.auto.offset.reset", "by_duration:1h", 40},
        {CONFIG_GROUP, "g", "consumer.nope", "1", 40},
        {CONFIG_GROUP, "", "consumer.session.timeout.ms", "45000", 42},
        {CONFIG_BROKER_LOGGER, "1", "server", "INFO", 42},
    };
    struct small_world w;
    struct config *c = small_config(&w, "");

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int16_t got = check(c, cases[i].type, cases[i].resource, cases[i].name, cases[i].value);
        if (got != cases[i].code)
            test_fail(__FILE__, __LINE__, "%s=%s: %d, not %d", cases[i].name, cases[i].value, got,
                      cases[i].code);
    }
    heap_drop(w.heap);
}

static int16_t check_all(const struct config *c, enum config_resource type, const char *resource,
                         const char *name, const char *value)
{
    struct slice n = SLICE(name), v = SLICE(value);
    char why[512];

    return err_wire(config_check_all(c, type, SLICE(resource), &n, &v, 1, why, sizeof(why)));
}

/* What one setting can't tell is checked on all of a resource together. */
TEST(config, alterations_agree)
{
    struct small_world w;
    struct config *c = small_config(&w, "log.cleaner.min.compaction.lag.ms=10\n");

    CHECK_EQ(check_all(c, CONFIG_TOPIC, "t", "max.compaction.lag.ms", "5"), 40);
    CHECK_EQ(check_all(c, CONFIG_TOPIC, "t", "max.compaction.lag.ms", "10"), 0);
    CHECK_EQ(check_all(c, CONFIG_GROUP, "g", "consumer.session.timeout.ms", "1"), 40);
    CHECK_EQ(check_all(c, CONFIG_GROUP, "g", "consumer.session.timeout.ms", "50000"), 0);
    CHECK_EQ(check_all(c, CONFIG_GROUP, "g", "consumer.heartbeat.interval.ms", "60000"), 40);
    CHECK_EQ(check_all(c, CONFIG_BROKER, "", "log.cleaner.dedupe.buffer.size", "1000"), 42);
    CHECK_EQ(check_all(c, CONFIG_BROKER, "1", "log.retention.ms", "0"), 42);
    CHECK_EQ(check_all(c, CONFIG_BROKER, "1", "log.retention.ms", "-1"), 0);
    heap_drop(w.heap);
}

static const struct config_described *of(const struct config_described *v, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].name, name) == 0)
            return &v[i];
    return NULL;
}

/* A description names what is in force first and everything behind it in Kafka's order. */
TEST(config, descriptions_name_sources_and_synonyms)
{
    struct small_world w;
    struct config *c = small_config(&w, "log.retention.hours=1\nlog.retention.minutes=5\nmy.own=secret\n");
    struct config_entry cluster = entry("log.retention.ms", "70"), own = entry("retention.ms", "60");
    const struct config_described *v, *d;
    struct arena a;
    int n;

    arena_init(&a, w.heap, SIZE_MAX);
    c = config_with(c, &cluster, 1, NULL, 0);
    v = config_describe(c, CONFIG_TOPIC, false, &own, 1, &a, &n);
    CHECK_EQ(n, 34); /* Kafka's 34 without internal.segment.bytes, and log.durable */
    d = of(v, n, "retention.ms");
    CHECK_STR(d->value, "60");
    CHECK_EQ(d->source, CONFIG_FROM_TOPIC);
    CHECK(!d->read_only && d->type == CONFIG_LONG && d->doc && *d->doc);
    CHECK_EQ(d->n_synonyms, 5);
    CHECK_STR(d->synonyms[0].name, "retention.ms");
    CHECK_STR(d->synonyms[1].name, "log.retention.ms");
    CHECK_EQ(d->synonyms[1].source, CONFIG_FROM_DYNAMIC_DEFAULT);
    CHECK_STR(d->synonyms[2].name, "log.retention.minutes");
    CHECK_EQ(d->synonyms[2].source, CONFIG_FROM_FILE);
    CHECK_STR(d->synonyms[3].name, "log.retention.hours");
    CHECK_EQ(d->synonyms[4].source, CONFIG_FROM_DEFAULT);
    CHECK_STR(d->synonyms[4].value, "168");
    d = of(v, n, "min.cleanable.dirty.ratio");
    CHECK_STR(d->value, "0.5");
    CHECK_EQ(d->source, CONFIG_FROM_DEFAULT);
    v = config_describe(c, CONFIG_BROKER, false, NULL, 0, &a, &n);
    d = of(v, n, "log.retention.ms");
    CHECK_STR(d->value, "70");
    CHECK_EQ(d->source, CONFIG_FROM_DYNAMIC_DEFAULT);
    d = of(v, n, "my.own");
    CHECK(d->sensitive && d->read_only && !d->value && d->type == 0);
    CHECK(of(v, n, "node.id")->read_only);
    CHECK(!of(v, n, "ssl.key.password")->value && of(v, n, "ssl.key.password")->sensitive);
    CHECK_STR(of(v, n, "log.cleaner.io.max.bytes.per.second")->value, "1.7976931348623157E308");
    v = config_describe(c, CONFIG_BROKER, true, NULL, 0, &a, &n);
    CHECK_EQ(n, 1);
    CHECK_STR(v[0].name, "log.retention.ms");
    CHECK_EQ(v[0].n_synonyms, 1);
    v = config_describe(c, CONFIG_GROUP, false, NULL, 0, &a, &n);
    d = of(v, n, "consumer.session.timeout.ms");
    CHECK_STR(d->synonyms[0].name, "group.consumer.session.timeout.ms");
    CHECK_EQ(d->source, CONFIG_FROM_DEFAULT);
    arena_drop(&a);
    heap_drop(w.heap);
}

/* A coarser name that stands alone isn't told behind a finer one, as in Kafka. */
TEST(config, synonyms_begin_with_the_name_itself)
{
    struct small_world w;
    struct config *c = small_config(&w, "log.roll.hours=1\n");
    struct config_entry own = entry("retention.ms", "60");
    const struct config_described *v;
    struct arena a;
    int n;

    arena_init(&a, w.heap, SIZE_MAX);
    v = config_describe(c, CONFIG_TOPIC, false, &own, 1, &a, &n);
    CHECK_EQ(of(v, n, "retention.ms")->n_synonyms, 1);
    CHECK_EQ(of(v, n, "segment.ms")->n_synonyms, 0);
    CHECK_EQ(of(v, n, "segment.ms")->source, CONFIG_FROM_DEFAULT);
    CHECK_STR(of(v, n, "segment.ms")->value, "3600000");
    CHECK_EQ(of(v, n, "segment.bytes")->n_synonyms, 1);
    v = config_describe(c, CONFIG_BROKER, false, NULL, 0, &a, &n);
    CHECK_EQ(of(v, n, "log.roll.ms")->n_synonyms, 0);
    CHECK_EQ(of(v, n, "log.roll.hours")->n_synonyms, 2);
    arena_drop(&a);
    heap_drop(w.heap);
}

/* The controller finds its rules: list types, fallbacks, and every topic setting once, by name. */
TEST(config, rules_of_the_controller)
{
    struct small_world w;
    struct config *c = small_config(&w, "num.partitions=3\nlog.retention.hours=1\n");
    struct ctl_rules rules;
    struct ctl_topic_config t = {0};
    struct slice before = SLICE("");
    char why[512];
    int n = 0;

    config_rules(c, &rules);
    CHECK_EQ(rules.default_partitions, 3);
    CHECK(rules.is_list(rules.arg, CONFIG_TOPIC, SLICE("cleanup.policy")));
    CHECK(!rules.is_list(rules.arg, CONFIG_TOPIC, SLICE("retention.ms")));
    CHECK(slice_eq(rules.fallback(rules.arg, CONFIG_TOPIC, SLICE("cleanup.policy")), SLICE("delete")));
    CHECK(!rules.fallback(rules.arg, CONFIG_TOPIC, SLICE("nope")).p);
    CHECK_EQ(rules.check(rules.arg, CONFIG_BROKER, SLICE("1"), SLICE("num.io.threads"), SLICE("99"), why,
                         sizeof(why)),
             E_OK); /* the broker's own business */
    CHECK_EQ(rules.check(rules.arg, CONFIG_BROKER, SLICE("x"), SLICE("num.io.threads"), SLICE("8"), why,
                         sizeof(why)),
             E_INVALID_REQUEST);
    for (; rules.topic_config(rules.arg, n, &t); n++) {
        CHECK(slice_cmp(before, t.name) != 0);
        before = t.name;
        if (slice_eq(t.name, SLICE("retention.ms"))) {
            CHECK(slice_eq(t.value, SLICE("3600000")));
            CHECK_EQ(t.source, CONFIG_FROM_FILE);
            CHECK_STR(t.broker_name, "log.retention.ms");
        }
    }
    CHECK_EQ(n, 34);
    heap_drop(w.heap);
}
