/* What the console clients share: librdkafka set up from Kafka's names, and sentences for people.
 * Loop:   one thread; librdkafka has its own.
 * Memory: from c->arena, until the process ends.
 * Ends:   as weir: 0, 1, 2. A command returns its exit code. */
#pragma once
#include "tools/flags.h"
#include "tools/properties.h"
#include "tools/table.h"
#include <librdkafka/rdkafka.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct console {
    struct heap *heap;
    struct arena arena;
    struct flags flags;
    bool json;
    struct bytes out; /* stdout, until console_flush() */
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    bool idempotence; /* it was typed */
    void *user;       /* the command's own, for callbacks */
    bool failed;      /* a sentence was printed */
    int exit;         /* what it comes to then */
};

extern const struct flag flags_produce[], flags_consume[], flags_perf_produce[], flags_perf_consume[];

int console_produce(struct console *c);
int console_consume(struct console *c);
int console_perf_produce(struct console *c);
int console_perf_consume(struct console *c);

void console_fail(struct console *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void console_usage(struct console *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void console_flush(struct console *c);
bool console_stopped(void);   /* Ctrl-C or SIGTERM came */
int64_t console_now_us(void); /* monotonic */
int64_t console_wall_ms(void);

/* c->conf from --bootstrap-server, the config file and the properties, in Kafka's names; a later one wins.
 * false after console_fail(). */
bool console_conf_begin(struct console *c);
bool console_conf_set(struct console *c, const char *name, const char *value); /* a name of Kafka's */
bool console_conf_number(struct console *c, const char *name,
                         const char *flag); /* a flag's value, if it has one */
bool console_conf_end(struct console *c, const char *file_flag, const char *older_file_flag,
                      const char *list_flag, const char *older_list_flag);
/* As Java's producer: idempotent, unless something was typed that rules it out. After console_conf_end(). */
bool console_conf_idempotent(struct console *c);
bool console_start(struct console *c, rd_kafka_type_t type);
/* The properties of a file flag and of two list flags, in that order: how lines are read and written. */
bool console_properties(struct console *c, const char *file_flag, const char *list_flag,
                        const char *older_list_flag, struct properties *out);

/* The partitions of a topic, or of all whose names match; waits for brokers that are about to come, and gives up where
 * none listens. NULL after console_fail(). Free with rd_kafka_metadata_destroy(). */
const struct rd_kafka_metadata *console_metadata(struct console *c, const char *topic);

/* A consumer of every partition that was meant, without a group. */
struct feed {
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t **topics;
    int n_topics;
    struct feed_part {
        rd_kafka_topic_t *topic;
        int32_t partition;
    } * parts;
    int n_parts;
};
bool feed_open(struct console *c, struct feed *f, const char *topic, const char *include, int32_t partition,
               int64_t offset); /* partition -1: all; offset: librdkafka's */
void feed_close(struct feed *f);
