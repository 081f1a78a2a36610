/* The client that both systems are measured with: librdkafka, so cheap that the broker is what is seen.
 *
 *   load produce BROKERS TOPIC partitions=6 records=N size=1024 [librdkafka setting=value]…
 *   load consume BROKERS TOPIC partitions=6 records=N [setting=value]…
 *   load latency BROKERS TOPIC partitions=1 rate=1000 records=N size=1024 [setting=value]…
 *   load touch   BROKERS TOPIC partitions=N
 *
 * Prints one line of JSON. latency is an open loop: record i is due at i / rate, whatever the answers do, and its
 * latency counts from then until its acknowledgement. */
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NS_PER_S = 1000 * 1000 * 1000, POOL_BYTES = 4 * 1024 * 1024, RUN_BYTES = 64 * 1024 };

struct load {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    const char *topic_name;
    long partitions, records, size, rate;
    char *pool;
    size_t pool_at;
    long acked, failed; /* of the thread that polls */
    int64_t *latency_ns;
    _Atomic bool sent_all;
};

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

static void acked(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct load *l = opaque;

    (void)rk;
    if (m->err) {
        l->failed++;
        return;
    }
    if (l->latency_ns)
        l->latency_ns[l->acked] = now_ns() - (int64_t)(intptr_t)m->_private;
    l->acked++;
}

/* Words in random order: codecs make about a third of them, as of people's text. */
static char *pool_new(void)
{
    char words[512][12], *pool = malloc(POOL_BYTES + 12);
    uint64_t x = 88172645463325252u;

    for (int i = 0; i < 512; i++) {
        for (int k = 0; k < 12; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            words[i][k] = (char)('a' + x % 26);
        }
    }
    for (size_t at = 0; at < POOL_BYTES;) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        size_t len = 3 + (x >> 16) % 8;
        memcpy(pool + at, words[x % 512], len);
        pool[at + len] = ' ';
        at += len + 1;
    }
    return pool;
}

static const void *payload(struct load *l)
{
    if (l->pool_at + (size_t)l->size > POOL_BYTES)
        l->pool_at = l->pool_at % 997;
    const void *p = l->pool + l->pool_at;
    l->pool_at += (size_t)l->size;
    return p;
}

static void send_one(struct load *l, int32_t partition, int64_t due)
{
    while (rd_kafka_produce(l->topic, partition, 0, (void *)payload(l), (size_t)l->size, NULL, 0,
                            (void *)(intptr_t)due) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce", rd_kafka_err2str(rd_kafka_last_error()));
        if (l->latency_ns)
            die("produce", "the open loop's queue is full");
        rd_kafka_poll(l->rk, 5);
    }
}

/* Waits for the acknowledgement of one record, so that metadata and connections are there. */
static void warm_up(struct load *l)
{
    int64_t *latency_ns = l->latency_ns;

    l->latency_ns = NULL;
    send_one(l, 0, 0);
    while (l->acked + l->failed == 0)
        rd_kafka_poll(l->rk, 100);
    if (l->failed)
        die("the first record", "was refused");
    l->acked = 0;
    l->latency_ns = latency_ns;
}

static void produce(struct load *l)
{
    long run = RUN_BYTES / l->size > 0 ? RUN_BYTES / l->size : 1;

    warm_up(l);
    int64_t start = now_ns();
    for (long i = 0; i < l->records; i++) {
        send_one(l, (int32_t)(i / run % l->partitions), 0);
        if (i % 1024 == 0)
            rd_kafka_poll(l->rk, 0);
    }
    while (l->acked + l->failed < l->records)
        rd_kafka_poll(l->rk, 100);
    double s = (double)(now_ns() - start) / NS_PER_S;
    printf("{\"acked\": %ld, \"failed\": %ld, \"seconds\": %.3f, \"bytes\": %ld}\n", l->acked, l->failed, s,
           l->acked * l->size);
}

static void *poll_acks(void *arg)
{
    struct load *l = arg;

    while (!l->sent_all || l->acked + l->failed < l->records)
        rd_kafka_poll(l->rk, 100);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void latency(struct load *l)
{
    pthread_t poller;

    for (int32_t p = 0; p < l->partitions;
         p++) /* the partitions' first records also make their directories */
        send_one(l, p, 0);
    while (l->acked + l->failed < l->partitions)
        rd_kafka_poll(l->rk, 100);
    l->acked = 0;
    l->latency_ns = calloc((size_t)l->records, sizeof(int64_t));
    if (!l->latency_ns || pthread_create(&poller, NULL, poll_acks, l) != 0)
        die("latency", "no memory");
    int64_t start = now_ns() + NS_PER_S / 10;
    for (long i = 0; i < l->records; i++) {
        int64_t due = start + i * NS_PER_S / l->rate;
        struct timespec ts = {.tv_sec = due / NS_PER_S, .tv_nsec = due % NS_PER_S};

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
        send_one(l, (int32_t)(i % l->partitions), due);
    }
    l->sent_all = true;
    pthread_join(poller, NULL);
    if (l->acked == 0)
        die("latency", "nothing was acknowledged");
    qsort(l->latency_ns, (size_t)l->acked, sizeof(int64_t), by_value);
    printf("{\"acked\": %ld, \"failed\": %ld, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
           l->acked, l->failed, (double)l->latency_ns[l->acked / 2] / 1e6,
           (double)l->latency_ns[l->acked * 99 / 100] / 1e6, (double)l->latency_ns[l->acked - 1] / 1e6);
}

static void touch(struct load *l)
{
    int64_t start = now_ns();

    l->size = 100;
    for (int32_t p = 0; p < l->partitions; p++)
        send_one(l, p, 0);
    while (l->acked + l->failed < l->partitions)
        rd_kafka_poll(l->rk, 100);
    printf("{\"acked\": %ld, \"failed\": %ld, \"seconds\": %.3f}\n", l->acked, l->failed,
           (double)(now_ns() - start) / NS_PER_S);
}

static void consume(struct load *l)
{
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new((int)l->partitions);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(l->rk);
    rd_kafka_message_t *got[1000];
    int64_t start = 0, bytes = 0;
    long records = 0;

    for (int32_t p = 0; p < l->partitions; p++)
        rd_kafka_topic_partition_list_add(all, l->topic_name, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_resp_err_t err = rd_kafka_assign(l->rk, all);
    if (err)
        die("assign", rd_kafka_err2str(err));
    while (records < l->records) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, got, 1000);
        for (ssize_t i = 0; i < n; i++) {
            if (!got[i]->err && !start)
                start = now_ns();
            records += !got[i]->err;
            bytes += got[i]->err ? 0 : (int64_t)got[i]->len;
            rd_kafka_message_destroy(got[i]);
        }
    }
    printf("{\"records\": %ld, \"bytes\": %ld, \"seconds\": %.3f}\n", records, (long)bytes,
           (double)(now_ns() - start) / NS_PER_S);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_destroy(all);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];

    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
        die(name, why);
}

/* Ours, or one of librdkafka's. */
static void option(struct load *l, rd_kafka_conf_t *conf, char *arg)
{
    const struct {
        const char *name;
        long *to;
    } ours[] = {
        {"partitions", &l->partitions}, {"records", &l->records}, {"size", &l->size}, {"rate", &l->rate}};
    char *value = strchr(arg, '=');

    if (!value)
        die(arg, "name=value was expected");
    *value++ = 0;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (strcmp(arg, ours[i].name) == 0) {
            *ours[i].to = atol(value);
            return;
        }
    }
    set(conf, arg, value);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct load *l);
    } modes[] = {{"produce", produce}, {"consume", consume}, {"latency", latency}, {"touch", touch}};
    struct load l = {.partitions = 1, .size = 1024, .rate = 1000, .pool = pool_new()};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];

    if (argc < 4)
        die("arguments", "MODE BROKERS TOPIC name=value…");
    bool consumer = strcmp(argv[1], "consume") == 0;
    l.topic_name = argv[3];
    set(conf, "bootstrap.servers", argv[2]);
    set(conf, "broker.address.family", "v4");
    if (consumer) {
        set(conf, "group.id", "bench");
        set(conf, "enable.auto.commit", "false");
    } else {
        rd_kafka_conf_set_dr_msg_cb(conf, acked);
        set(conf, "queue.buffering.max.messages", "1000000");
    }
    rd_kafka_conf_set_opaque(conf, &l);
    for (int i = 4; i < argc; i++)
        option(&l, conf, argv[i]);
    l.rk = rd_kafka_new(consumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    if (!l.rk)
        die("start", why);
    if (!consumer && !(l.topic = rd_kafka_topic_new(l.rk, l.topic_name, NULL)))
        die("topic", rd_kafka_err2str(rd_kafka_last_error()));
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run(&l);
            fflush(stdout);
            _Exit(0); /* a consumer in a group that doesn't exist takes seconds to leave it */
        }
    }
    die(argv[1], "unknown");
}
