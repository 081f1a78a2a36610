#include "tests/unit/broker/config_world.h"

/* Every setting of Kafka 4.3.1 is here with its type, default, importance and the way it may be changed. */
TEST(config, rows_are_kafkas)
{
    static const struct {
        enum config_resource resource;
        const char *name;
        enum config_type type;
        const char *preset;
        enum config_importance importance;
        enum config_update update;
    } facts[] = {
#define FACT(r, n, t, d, i, u)                                                                               \
    {.resource = CONFIG_##r,                                                                                 \
     .name = n,                                                                                              \
     .type = CONFIG_##t,                                                                                     \
     .preset = d,                                                                                            \
     .importance = CONFIG_##i,                                                                               \
     .update = CONFIG_##u},
#include "tests/wire/kafka_configs.inc"
    };

    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        enum config_id id = config_find(facts[i].resource, SLICE(facts[i].name));
        if (id == CONFIG_COUNT)
            test_fail(__FILE__, __LINE__, "no row for %s", facts[i].name);
        const struct config_row *row = config_row(id);
        bool same = row->preset && facts[i].preset ? strcmp(row->preset, facts[i].preset) == 0
                                                   : row->preset == facts[i].preset;
        if (!same || row->type != facts[i].type || row->importance != facts[i].importance ||
            row->update != facts[i].update)
            test_fail(__FILE__, __LINE__, "the row of %s differs", facts[i].name);
    }
}

/* A process of one role has that role's listeners, and votes only as a controller. */
TEST(config, roles_agree)
{
    static const struct {
        const char *roles, *listeners, *voters, *said; /* NULL: nothing is wrong */
    } rows[] = {
        {"broker", "PLAINTEXT://:9092", "voters=7@a:1", NULL},
        {"broker", "PLAINTEXT://:9092", "bootstrap.servers=a:1,b:1", NULL},
        {"broker", "PLAINTEXT://:9092", "voters=1@a:1", "is among them"},
        {"broker", "PLAINTEXT://:9092,CONTROLLER://:9093", "voters=7@a:1", "process.roles has no controller"},
        {"controller", "CONTROLLER://:9093", "voters=1@a:1", NULL},
        {"controller", "CONTROLLER://:9093", "voters=7@a:1", "must be among them"},
        {"controller", "PLAINTEXT://:9092", "voters=1@a:1", "must name one of listeners"},
        {"controller", "PLAINTEXT://:9092,CONTROLLER://:9093", "voters=1@a:1", "all must be in"},
        {"controller", "CONTROLLER://:9093", "bootstrap.servers=a:1,b:1", NULL},
        {"controller", "CONTROLLER://:9093", "voters=", "must contain a parseable set of controllers"},
        {"broker,controller", "PLAINTEXT://:9092,CONTROLLER://:9093", "voters=1@a:1", NULL},
        {"broker,controller", "CONTROLLER://:9093", "voters=1@a:1", "clients need one"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char roles[64], listeners[64], voters[96];
        const char *sets[] = {roles, listeners, voters, "node.id=1", "controller.listener.names=CONTROLLER"};
        struct small_world w;

        snprintf(roles, sizeof(roles), "process.roles=%s", rows[i].roles);
        snprintf(listeners, sizeof(listeners), "listeners=%s", rows[i].listeners);
        snprintf(voters, sizeof(voters), "controller.quorum.%s", rows[i].voters);
        small_world_init(&w);
        if (!small_load_bare(&w, NULL, sets, 5) != (rows[i].said != NULL) ||
            (rows[i].said && !small_said(&w.why, rows[i].said)))
            test_fail(__FILE__, __LINE__, "row %zu: %.*s", i, (int)w.why.len, (char *)w.why.p);
        heap_drop(w.heap);
    }
}

/* The file that Kafka ships for one combined node starts weir. */
TEST(config, the_stock_file_loads)
{
    struct small_world w;
    struct config *c;
    int n;
    const struct config_listener *l;

    small_world_init(&w);
    c = small_load_bare(
        &w,
        "# stock\nprocess.roles=broker,controller\nnode.id=1\n"
        "controller.quorum.bootstrap.servers=localhost:9093\n"
        "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n"
        "advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n"
        "controller.listener.names=CONTROLLER\n"
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,"
        "SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n"
        "num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n"
        "socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\n"
        "log.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\nnum.recovery.threads.per.data.dir=2\n"
        "offsets.topic.replication.factor=1\nshare.coordinator.state.topic.replication.factor=1\n"
        "share.coordinator.state.topic.min.isr=1\ntransaction.state.log.replication.factor=1\n"
        "transaction.state.log.min.isr=1\nlog.retention.hours=168\n"
        "log.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n",
        NULL, 0);
    if (!c)
        test_fail(__FILE__, __LINE__, "%.*s", (int)w.why.len, (char *)w.why.p);
    CHECK_EQ(w.warned.len, 0);
    CHECK_EQ(config_int(c, C_num_io_threads), 8);
    CHECK_STR(config_log_dirs(c).v[0], "/tmp/kraft-combined-logs");
    CHECK_STR(config_metadata_dir(c), "/tmp/kraft-combined-logs");
    l = config_listeners(c, &n);
    CHECK_EQ(n, 2);
    CHECK_STR(l[0].name, "PLAINTEXT");
    CHECK_STR(l[0].host, "");
    CHECK_STR(l[0].advertised_host, "localhost");
    CHECK_EQ(l[0].advertised_port, 9092);
    CHECK(l[0].advertised && !l[0].controller);
    CHECK(!l[1].advertised && l[1].controller);
    heap_drop(w.heap);
}

/* A bad value is told with file, line, name, value and reason, and every bad one is told at once. */
TEST(config, bad_values_are_told_with_their_place)
{
    struct small_world w;

    small_world_init(&w);
    CHECK(!small_load(&w, "# one\nnum.io.threads=many\nlog.dirs=/a\nlog.cleanup.policy=compact,melt\n"));
    CHECK(small_said(&w.why, "server.properties:2: num.io.threads=many: it must be a whole number"));
    CHECK(small_said(&w.why, "server.properties:4: log.cleanup.policy=compact,melt: it must be one of"));
    CHECK(!small_load(&w, "num.io.threads=0\n"));
    CHECK(small_said(&w.why, "it must be at least 1"));
    heap_drop(w.heap);
}

/* A name that nobody knows is a warning with the nearest one that is known, and the start goes on. */
TEST(config, unknown_names_warn_with_the_nearest)
{
    struct small_world w;

    small_world_init(&w);
    CHECK(small_load(&w, "\nnum.io.thread=4\nsomething.else.entirely.yes=1\n"));
    CHECK(small_said(&w.warned,
                     "server.properties:2: there is no setting num.io.thread; did you mean num.io.threads?"));
    CHECK(small_said(&w.warned, "there is no setting something.else.entirely.yes\n"));
    heap_drop(w.heap);
}

/* A setting from which nothing follows is taken, with a warning where it isn't the default. */
TEST(config, settings_without_effect_warn)
{
    struct small_world w;

    small_world_init(&w);
    CHECK(small_load(&w, "queued.max.requests=500\nbackground.threads=20\n"));
    CHECK(small_said(&w.warned, "server.properties:2: background.threads=20 changes nothing: the loops do"));
    CHECK(!small_said(&w.warned, "queued.max.requests"));
    heap_drop(w.heap);
}

/* A listener's own limits are read by its name in any case, dynamic ones first; others are refused with the reason. */
TEST(config, listeners_have_limits_of_their_own)
{
    struct small_world w;
    struct config *c, *with;
    struct config_entry own = {SLICE("listener.name.plaintext.max.connections"), SLICE("4")};
    int n;

    small_world_init(&w);
    c = small_load(&w, "listener.name.PlainText.max.connections=7\n"
                       "listener.name.plaintext.max.connection.creation.rate=3\n");
    CHECK(c);
    CHECK_EQ(config_listeners(c, &n)[0].connections_max, 7);
    CHECK_EQ(config_listeners(c, &n)[0].creation_rate, 3);
    with = config_with(c, NULL, 0, &own, 1);
    CHECK_EQ(config_listeners(with, &n)[0].connections_max, 4);
    config_drop(with);
    CHECK(!small_load(&w, "listener.name.plaintext.max.connections=-1\n"));
    CHECK(small_said(&w.why, "it must be a number from 0"));
    CHECK(!small_load(&w, "listener.name.other.max.connections=1\n"));
    CHECK(small_said(&w.why, "listener.name.other.max.connections: there is no such listener"));
    CHECK(!small_load(&w, "listener.name.plaintext.num.network.threads=1\n"));
    CHECK(small_said(&w.why, "the same threads serve every listener"));
    heap_drop(w.heap);
}

/* node.id and broker.id are two names of one number, in values and in what is told. */
TEST(config, node_and_broker_id_are_one)
{
    struct small_world w;
    struct config *c;

    small_world_init(&w);
    c = small_load(&w, "");
    CHECK(c && config_int(c, C_broker_id) == config_int(c, C_node_id));
    heap_drop(w.heap);
}

/* A setting of a feature that isn't there stops the start unless it has its default or what is built in. */
TEST(config, missing_features_stop_the_start)
{
    static const char *const bad[] = {
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "group.max.size=5",
        "replica.high.watermark.checkpoint.interval.ms=1",
        "remote.log.storage.system.enable=true",
        "ssl.keystore.location=/k",
        "metric.reporters=com.example.Reporter",
        "listener.name.plaintext.sasl.jaas.config=x",
        "config.providers.x.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider",
    };
    struct small_world w;

    small_world_init(&w);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (small_load(&w, bad[i]))
            test_fail(__FILE__, __LINE__, "loaded: %s", bad[i]);
    CHECK(small_load(
        &w, "group.max.size=2147483647\ngroup.initial.rebalance.delay.ms=0\n"
            "metric.reporters=org.apache.kafka.common.metrics.JmxReporter\n"
            "principal.builder.class=org.apache.kafka.common.security.authenticator."
            "DefaultKafkaPrincipalBuilder\nsocket.receive.buffer.bytes=-1\n"
            "config.providers=env\n"
            "config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider\n"));
    heap_drop(w.heap);
}

/* A password is never repeated. */
TEST(config, passwords_are_not_told)
{
    struct small_world w;

    small_world_init(&w);
    CHECK(!small_load(&w, "ssl.keystore.password=geheim\n"));
    CHECK(small_said(&w.why, "[hidden]") && !small_said(&w.why, "geheim"));
    heap_drop(w.heap);
}

/* Files read as java.util.Properties reads them. */
TEST(config, properties_syntax)
{
    struct small_world w;
    struct config *c = small_config(&w, "! comment\r\n  broker.rack : a\\tb\\u00e9\\ud83d\\ude00 \n"
                                        "log.dirs = /a,\\\n    /b\\,\\\r\n  \\ /c\nnum\\.partitions 7\n"
                                        "delete.topic.enable=true\ndelete.topic.enable=FALSE\nlog.dir:=x");
    struct config_list dirs = config_log_dirs(c);

    CHECK_STR(config_str(c, C_broker_rack), "a\tb\u00e9\U0001F600");
    CHECK_EQ(dirs.n, 3);
    CHECK_STR(dirs.v[1], "/b");
    CHECK_STR(dirs.v[2], "/c");
    CHECK_EQ(config_int(c, C_num_partitions), 7);
    CHECK(!config_bool(c, C_delete_topic_enable));
    CHECK_STR(config_list(c, C_log_dir).v[0], "=x");
    CHECK(!small_load(&w, "a=1\nbroker.rack=\\u00x1\n"));
    CHECK(small_said(&w.why, "line 2"));
    heap_drop(w.heap);
}

/* Values come from the environment and from other files where they say so. */
TEST(config, values_from_elsewhere)
{
    struct small_world w;
    struct config *c;

    small_world_init(&w);
    w.env[0][0] = "RACK";
    w.env[0][1] = "r1";
    w.files[1][0] = "/run/secret";
    w.files[1][1] = "x=1\nparts = 12\n";
    c = small_load(&w, "broker.rack=a-${env:RACK}-$b\nnum.partitions=${file:/run/secret:parts}\n");
    CHECK(c);
    CHECK_STR(config_str(c, C_broker_rack), "a-r1-$b");
    CHECK_EQ(config_int(c, C_num_partitions), 12);
    CHECK(!small_load(&w, "broker.rack=${env:NOPE}\n"));
    CHECK(small_said(&w.why, "the environment has no NOPE"));
    CHECK(!small_load(&w, "broker.rack=${file:/run/secret:y}\n"));
    CHECK(small_said(&w.why, "/run/secret has no key y"));
    CHECK(!small_load(&w, "broker.rack=${file:/none:y}\n"));
    heap_drop(w.heap);
}

/* --set wins over the file. */
TEST(config, sets_come_last)
{
    struct small_world w;
    const char *sets[] = {"num.partitions=9", "broken"};
    struct config *c;

    small_world_init(&w);
    c = small_load_bare(&w,
                        "process.roles=broker,controller\nnode.id=4\ncontroller.listener.names=CONTROLLER\n"
                        "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.quorum.voters=4@h:9093\n"
                        "num.partitions=3\n",
                        sets, 1);
    CHECK(c);
    CHECK_EQ(config_int(c, C_num_partitions), 9);
    CHECK(!small_load_bare(&w, NULL, sets, 2));
    CHECK(small_said(&w.why, "--set broken"));
    heap_drop(w.heap);
}

/* What Kafka refuses between settings is refused. */
TEST(config, settings_agree)
{
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"listeners=PLAINTEXT://:9092", "controller.listener.names"},
        {"listeners=PLAINTEXT://:9092,CONTROLLER://:9092", "port of its own"},
        {"listeners=PLAINTEXT://h:9092,PLAINTEXT://i:9094,CONTROLLER://:9093", "name of its own"},
        {"listeners=FOO://:9092,CONTROLLER://:9093", "names no protocol for FOO"},
        {"listeners=SSL://:9092,CONTROLLER://:9093", "comes with security"},
        {"listeners=PLAINTEXT:9092,CONTROLLER://:9093", "name://host:port"},
        {"listeners=CONTROLLER://:9093", "clients need one"},
        {"listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093", "0.0.0.0"},
        {"advertised.listeners=PLAINTEXT://0.0.0.0:9092", "0.0.0.0"},
        {"advertised.listeners=FOO://a:1", "none of listeners"},
        {"inter.broker.listener.name=FOO", "inter.broker.listener.name"},
        {"queued.max.request.bytes=5", "queued.max.request.bytes"},
        {"broker.id=2", "the same"},
        {"log.retention.hours=0", "log.retention.ms"},
        {"log.roll.ms=0", "log.roll.ms"},
        {"max.connections.per.ip=0", "max.connections.per.ip"},
        {"max.connections.per.ip.overrides=127.0.0.1:5,foo", "host:count"},
        {"log.cleaner.dedupe.buffer.size=1", "1 MiB"},
        {"controller.quorum.voters=7@a:1", "must be among them"},
        {"controller.quorum.voters=1@a:1,2@b:0", "2@b:0 can't be dialled"},
        {"controller.quorum.voters=1@:1,2@b:1", "1@:1"},
        {"controller.quorum.voters=1@a:1,2@b:1,1@c:1", "1 is there twice"},
        {"controller.quorum.voters=1@a:1,2@a:1,3@a:1,4@a:1,5@a:1,6@a:1,7@a:1,8@a:1", "at most 7"},
        {"controller.quorum.voters=a:1", "id@host:port"},
        {"log.dirs=", "must not be empty"},
        {"min.insync.replicas=0", "at least 1"},
        {"compression.gzip.level=0", "between 1 and 9, or -1"},
        {"log.cleaner.min.cleanable.ratio=1.1", "between 0 and 1"},
    };
    struct small_world w;

    small_world_init(&w);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (small_load(&w, bad[i].text))
            test_fail(__FILE__, __LINE__, "loaded: %s", bad[i].text);
        if (!small_said(&w.why, bad[i].said))
            test_fail(__FILE__, __LINE__, "%s: %.*s", bad[i].text, (int)w.why.len, (char *)w.why.p);
    }
    CHECK(small_load(&w, "listeners=plaintext://[::1]:9092,CONTROLLER://:9093"));
    CHECK(small_load(&w, "max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:5,::1:6"));
    CHECK(small_load(&w, "log.retention.hours=-1\nlog.retention.bytes=-7"));
    heap_drop(w.heap);
}
